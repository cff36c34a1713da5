"""What a user of smedge may set: the model that gives YAML check, `--set`, help, docs table and kernel record.

Apart from the kernels because it is the only part of the app that speaks of names and wall clocks; `layout` turns it
into the numbers that kernels read.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.market.calendar import CalendarSpec
from tradesentry.core.strategy.base_strategy import Fraction, StrategyConfig

Bars = Annotated[int, Field(json_schema_extra={"unit": "bars"})]
"""A number of execution bars."""
Window = Literal["london_day", "kill_zone_asia", "kill_zone_london", "kill_zone_new_york", "kill_zone_london_close"]

MINUTE_NS: Final = 60_000_000_000
H4_MINUTES: Final = 240
POOL_SESSIONS: Final = ("tokyo", "london", "new_york")
"""Sessions whose completed highs and lows are pools: the first slots of the calendar."""
ENTRY_WINDOWS: Final = (
    "07:00-20:00 Europe/London", "kill_zone_asia", "kill_zone_london", "kill_zone_new_york", "kill_zone_london_close",
)  # fmt: skip
"""When orders may rest, in the order of `Window`: the slots after those of the pools."""


class SMEdgeConfig(StrategyConfig):
    """Parameters of smedge. A range of search is a bound: the optimizer and the user see the same one."""

    trend_mode: Literal["ema", "structure", "both", "off"] = Field(
        "both", description="Trend of completed H4 bars: EMA 20/50 with slope, market structure, or both agreeing."
    )
    h4_anchor: Literal["fx_day", "utc"] = Field(
        "fx_day", description="Where H4 bars start: 17:00 New York, or 00:00 UTC."
    )
    h4_coverage: Fraction = Field(
        1.0, ge=0.5, le=1, description="Share of its bars that an H4 bar needs; with fewer the trend stays as it was."
    )
    left_bars: Bars = Field(5, ge=3, le=10, description="Bars before a swing that do not exceed it.")
    right_bars: Bars | None = Field(None, ge=3, le=10, description="Bars after a swing; none: as many as before it.")
    break_mode: Literal["close", "wick"] = Field("close", description="Price that must lie beyond a swing to break it.")
    label_mode: Literal["state", "pattern"] = Field(
        "state",
        description="A CHoCH breaks against the trend state, or a swing after which the other side was exceeded.",
    )
    trigger: Literal["choch", "bos", "both", "choch_sweep"] = Field(
        "both",
        description="Break that starts a leg: any CHoCH, a BOS, a CHoCH after a sweep, or both of these last two.",
    )
    lookback: Bars = Field(24, ge=8, le=48, description="Bars before a CHoCH in which its sweep lies.")
    reclaim: Bars = Field(1, ge=0, le=3, description="Bars after a pool was pierced in which a close back sweeps it.")
    displacement: float = Field(
        0.8, ge=0, le=1.5, description="Least body of the breaking bar, multiples of the previous ATR; 0: any."
    )
    zone: Literal["fvg", "ob", "overlap", "fvg_or_ob"] = Field(
        "fvg_or_ob", description="Where the leg is entered: its gaps, its order block, what both cover, or either."
    )
    g_atr: float = Field(0.15, ge=0.05, le=0.5, description="Least height of a gap, multiples of the previous ATR.")
    fvg_entry: Literal["near", "mid"] = Field("mid", description="Entry in a gap, or where gap and block overlap.")
    ob_entry: Literal["near", "mid"] = Field("near", description="Entry in an order block or breaker.")
    discount: Fraction = Field(
        0.5, ge=0.38, le=0.705, description="Highest entry of a purchase, from the leg's low (0) to its high (1)."
    )
    stop_buffer: float = Field(
        0.1, ge=0.05, le=0.3, description="Stop beyond the block and the sweep, multiples of the ATR."
    )
    target: Literal["pool", "1.5R", "2R", "3R"] = Field(
        "pool", description="Take profit: the next opposing pool less the spread, or a multiple of the risk."
    )
    target_min: float = Field(
        1.5, ge=1, le=2, description="Pools nearer than that are passed over.", json_schema_extra={"unit": "R"}
    )
    target_cap: float = Field(
        4.0, ge=2, le=6, description="The target lies no further, wherever the pool is.",
        json_schema_extra={"unit": "R"},
    )  # fmt: skip
    no_pool: Literal["2R", "skip"] = Field("2R", description="Without a pool: a target of 2 R, or no order.")
    order_life: Bars = Field(24, ge=8, le=64, description="Life of an order, and of a leg that waits to have one.")
    time_exit: Bars = Field(192, ge=96, le=384, description="Longest trade.")
    partial: bool = Field(False, description="Take half off at 1 R and move the stop to entry.")
    trail: Literal["off", "swing"] = Field("off", description="Move the stop to each newly confirmed swing.")
    use_breakers: bool = Field(False, description="Broken blocks of the other side serve as zones too.")
    sessions: tuple[Window, ...] = Field(
        ("london_day",), min_length=1, description="When orders may rest: 07:00-20:00 London, or kill zones."
    )

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.bar_minutes > 60:
            raise ValueError(
                f"timeframe {self.timeframe} is too long for structure inside an H4 trend. Use M1, M5, M15, M30 or H1."
            )
        if self.partial and self.target_min <= 1.0:
            raise ValueError(
                "partial takes half off at 1 R, and target_min 1 may end the trade there. Raise target_min."
            )
        return self

    @property
    def bar_minutes(self) -> int:
        """Length of an execution bar, minutes."""
        return timeframe_ns(self.timeframe) // MINUTE_NS

    @property
    def n_right(self) -> int:
        """Bars after a swing."""
        return self.left_bars if self.right_bars is None else self.right_bars

    def calendar(self) -> CalendarSpec:
        """Declare pool sessions and entry windows, the same for every variant that shares news and H4 anchor."""
        return CalendarSpec(sessions=POOL_SESSIONS + ENTRY_WINDOWS, news=self.news_settings(), h4_anchor=self.h4_anchor)
