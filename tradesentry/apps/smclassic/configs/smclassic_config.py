"""What a user of smclassic may set: the model that gives YAML check, `--set`, help, docs table and kernel record.

Apart from the kernels because it is the only part of the app that speaks of names and wall clocks; `layout` turns it
into the numbers that kernels read.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from tradesentry.core.domain.errors import TradeSentryError
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.market.calendar import CalendarSpec
from tradesentry.core.market.sessions import session_window
from tradesentry.core.strategy.base_strategy import Fraction, StrategyConfig

Bars = Annotated[int, Field(json_schema_extra={"unit": "bars"})]
"""A number of execution bars."""
Buckets = Annotated[int, Field(json_schema_extra={"unit": "zone bars"})]
"""A number of bars of the zone timeframe."""

MINUTE_NS: Final = 60_000_000_000
ZONE_MINUTES: Final = {"h1": 60, "h4": 240}


class SMClassicConfig(StrategyConfig):
    """Parameters of smclassic. A range of search is a bound: the optimizer and the user see the same one."""

    zone_timeframe: Literal["h1", "h4"] = Field("h1", description="Timeframe of zones, structure and dealing range.")
    swing_left: Buckets = Field(5, ge=3, le=10, description="Bars before a swing that do not exceed it.")
    swing_right: Buckets | None = Field(
        None, ge=3, le=10, description="Bars after a swing that do not exceed it; none: as before it."
    )
    base_body: Fraction = Field(0.5, ge=0.3, le=0.6, description="Greatest body of a base bar, share of its range.")
    base_atr: float = Field(0.8, ge=0.5, le=1.0, description="Or its greatest range, multiples of the previous ATR.")
    max_base: Buckets = Field(6, ge=3, le=8, description="Longest base.")
    dep_atr: float = Field(
        1.5, ge=1.0, le=2.5, description="Least body of the departure bar, multiples of the previous ATR."
    )
    max_touches: int = Field(0, ge=0, le=2, description="Returns to a zone after which it is no longer traded.")
    max_age: Buckets = Field(240, ge=60, le=500, description="Age at which a zone is forgotten.")
    height_min: float = Field(0.3, ge=0.1, le=1.0, description="Least height of a zone, multiples of the ATR.")
    height_max: float = Field(2.0, ge=1.0, le=4.0, description="Greatest height of a zone, multiples of the ATR.")
    discount: Fraction = Field(
        0.05, ge=0, le=0.15, description="How far beyond the middle of the range a zone must lie, share of the range."
    )
    range_source: Literal["swings", "leg", "day", "session"] = Field(
        "swings", description="Dealing range: the last two swings, the leg of the last break, FX day, or session."
    )
    range_session: str = Field("london", description="Session of range_source session: a name or a window.")
    min_rr: float = Field(
        1.2, ge=0.8, le=2.0, description="Least distance to equilibrium, multiples of the stop distance, after spread."
    )
    regime: Literal["off", "er", "er_adx"] = Field(
        "er_adx", description="Range regime that an entry needs: none, low efficiency ratio, and low ADX of H1 too."
    )
    er_max: float = Field(0.35, ge=0.25, le=0.45, description="Greatest efficiency ratio of 48 execution bars.")
    adx_max: float = Field(25.0, ge=20, le=30, description="Greatest ADX(14) of completed hours.")
    entry: Literal["limit", "mid", "rejection"] = Field(
        "limit", description="Limit at the zone's near edge or middle, or at market after a bar that was turned back."
    )
    tranches: int = Field(1, ge=1, le=2, description="2: half of the size waits at the middle of the zone.")
    stop_buffer: float = Field(
        0.15, ge=0.05, le=0.4, description="Stop beyond the far edge, multiples of the ATR; the spread is added."
    )
    eq_fraction: Fraction = Field(0.6, ge=0.5, le=1.0, description="Share of a position that leaves at equilibrium.")
    rest_position: Fraction = Field(
        0.75, ge=0.6, le=1.0, description="Where in the range the rest leaves, or at the nearest opposite zone before."
    )
    time_stop: Bars = Field(128, ge=32, le=256, description="Longest time in a trade.")
    reset_move: float = Field(
        1.0, ge=0, le=10, description="Move of equilibrium by a BOS that resets the midpoint, multiples of the ATR."
    )
    reset_k: float = Field(3.0, ge=2, le=5, description="Distance of closes that resets it, multiples of the ATR.")
    reset_n: Buckets = Field(3, ge=1, le=5, description="Consecutive closes that far away.")
    cooldown: Buckets = Field(12, ge=4, le=48, description="Bars from one reset to the next that must be exceeded.")
    loss_pause: Bars = Field(8, ge=0, le=96, description="No entry for so long after a loss.")
    entry_session: str | None = Field(
        None, description="Entries only inside a session (a name, or '07:00-20:00 Europe/London'); none: at any time."
    )

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.bar_minutes >= self.zone_minutes or self.zone_minutes % self.bar_minutes != 0:
            raise ValueError(
                f"timeframe {self.timeframe} does not divide zone_timeframe {self.zone_timeframe.upper()}. "
                "Use M1, M5, M15 or M30."
            )
        if self.tranches == 2 and self.entry == "mid":
            raise ValueError("entry mid with tranches 2 would rest twice at the middle. Use entry limit or rejection.")
        for window in (self.range_session, self.entry_session):
            if window is not None:
                try:
                    session_window(window)
                except TradeSentryError as error:
                    raise ValueError(str(error)) from error
        return self

    @property
    def bar_minutes(self) -> int:
        """Length of an execution bar, minutes."""
        return timeframe_ns(self.timeframe) // MINUTE_NS

    @property
    def zone_minutes(self) -> int:
        """Length of a bar of the zone timeframe, minutes."""
        return ZONE_MINUTES[self.zone_timeframe]

    def calendar(self) -> CalendarSpec:
        """Declare the session of the range (slot 0) and that of entries (slot 1)."""
        return CalendarSpec(
            sessions=(self.range_session, self.entry_session or self.range_session), news=self.news_settings()
        )
