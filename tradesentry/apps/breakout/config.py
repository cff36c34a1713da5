"""What a user of breakout may set: the model that gives YAML check, `--set`, help, docs table and kernel record.

Apart from the kernels because it is the only part of the app that speaks of names, minutes and wall clocks; `layout`
turns it into the numbers that kernels read.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from tradesentry.core.domain.errors import TradeSentryError
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.market.calendar import CalendarSpec
from tradesentry.core.market.sessions import SessionWindow, session_window
from tradesentry.core.strategy.base_strategy import Fraction, Minutes, StrategyConfig

Mode = Literal["orb", "london", "bb"]
"""Opening range of a session; night range traded from the London open; squeeze of Bollinger bands."""
Session = Literal["london", "new_york", "tokyo", "custom"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday"]
Bars = Annotated[int, Field(json_schema_extra={"unit": "bars"})]
"""A number of execution bars."""

MINUTE_NS: Final = 60_000_000_000
LONDON: Final = "Europe/London"
RANGE_WINDOWS: Final = {
    "london_00_07": (SessionWindow("london_00_07", LONDON, "00:00", "17:00"), 420),
    "london_00_08": (SessionWindow("london_00_08", LONDON, "00:00", "17:00"), 480),
    "tokyo_09_15": (SessionWindow("tokyo_09_15", "Asia/Tokyo", "09:00", "17:00", end_zone=LONDON), 360),
    "london_07_08": (SessionWindow("london_07_08", LONDON, "07:00", "17:00"), 60),
}
"""Ranges of mode london: the session from the range's start to 17:00 London, and the range's length in minutes.

No clock changes inside them (London changes on Sundays, Tokyo never), so minutes and wall clock agree.
"""
BANDS_MASK: Final = "07:00-20:00 Europe/London"
"""When mode bb may enter."""


class BreakoutConfig(StrategyConfig):
    """Parameters of breakout. A range of search is a bound: the optimizer and the user see the same one."""

    modes: tuple[Mode, ...] = Field(("orb",), min_length=1, description="What is watched, side by side.")
    sessions: tuple[Session, ...] = Field(
        ("london", "new_york"), min_length=1, description="Sessions whose opening range mode orb watches."
    )
    custom_session: str | None = Field(
        None, description="Window of session custom, as '09:30-16:00 America/New_York'; needed by it alone."
    )
    or_minutes: Literal[5, 15, 30, 60] = Field(
        30, description="Length of the opening range of mode orb.", json_schema_extra={"unit": "minutes"}
    )
    range_window: Literal["london_00_07", "london_00_08", "tokyo_09_15", "london_07_08"] = Field(
        "london_00_07", description="Range of mode london: local hours of London or Tokyo."
    )
    entry_window: Minutes = Field(
        150, ge=60, le=240, description="Entries from the range's end (mode london: from 08:00 London) that long."
    )
    entry_mode: Literal["stop", "close", "retest"] = Field(
        "close", description="Enter by resting stop orders, on a close beyond the range, or on its first retest."
    )
    buf_atr: float = Field(0.05, ge=0, le=0.25, description="Buffer beyond the range, multiples of the previous ATR.")
    width_unit: Literal["atr_d", "percentile"] = Field(
        "atr_d", description="Measure of w_lo and w_hi: width / ATR of FX days, or rank among the last 60 widths."
    )
    w_lo: float | None = Field(0.10, ge=0.05, le=0.25, description="Least width of a range; none: any.")
    w_hi: float | None = Field(0.60, ge=0.4, le=1.2, description="Greatest width of a range; none: any.")
    rvol_min: float | None = Field(
        None, ge=0.8, le=2.0, description="Least tick volume of the opening range / mean of its last 14; none: any."
    )
    breakout_bar: bool = Field(
        True, description="A break needs body >= half the range, close in the outer third, range <= 2.5 previous ATR."
    )
    direction: Literal["none", "or_candle", "htf"] = Field(
        "none", description="Sides that may be entered: both, that of the range's own candle, that of the trend."
    )
    htf: Literal["h1", "h4"] = Field(
        "h1", description="Timeframe of the trend: EMA 50/200 on H1 or 20/50 on H4, completed buckets only."
    )
    htf_er_min: float | None = Field(
        None, ge=0.1, le=0.9, description="Least efficiency ratio (48 bars) of a trend; none: any."
    )
    contraction: Literal["none", "nr4", "nr7", "inside_day", "stretch"] = Field(
        "none", description="Needed before a break: a narrow or inside FX day; stretch: beyond open +- Crabel stretch."
    )
    weekdays: tuple[Weekday, ...] = Field(
        ("monday", "tuesday", "wednesday", "thursday", "friday"), min_length=1, description="FX days with entries."
    )
    spread_frac: Fraction | None = Field(
        0.1, ge=0.01, le=1, description="Greatest spread as a share of the stop distance; none: any."
    )
    stop: Literal["opposite", "mid", "atr", "day_atr"] = Field(
        "opposite", description="Stop at the far side or middle of the range, stop_atr x previous ATR, or 0.05 x ATR_D."
    )
    stop_atr: float = Field(1.5, ge=1.0, le=2.5, description="Distance of stop atr, multiples of the previous ATR.")
    target: float | None = Field(
        2.0, ge=1, le=10, description="Take profit, multiples of the risk; none: exits alone.",
        json_schema_extra={"unit": "R"},
    )  # fmt: skip
    time_exit: Minutes | None = Field(
        None, ge=60, le=480, description="Longest time in a trade; always ended by the session's end."
    )
    retest_bars: Bars = Field(6, ge=3, le=12, description="Bars after a break in which a retest counts.")
    tol_atr: float = Field(0.05, ge=0, le=0.2, description="How near a retest comes, multiples of the previous ATR.")
    bb_n: Bars = Field(20, ge=10, le=50, description="Length of the Bollinger bands.")
    bb_k: float = Field(2.0, ge=1.5, le=3.0, description="Distance of the bands, standard deviations.")
    squeeze_q: Fraction = Field(0.2, ge=0.05, le=0.4, description="A squeeze is a width at or below this quantile.")
    squeeze_m: Bars = Field(120, ge=60, le=250, description="Earlier widths in the quantile.")
    bb_exit: Literal["mid_band", "atr_trail"] = Field(
        "mid_band", description="Exit of mode bb: a close back inside the middle band, or a stop trailing by 3 ATR."
    )
    bb_time: Bars | None = Field(None, ge=4, le=96, description="Longest trade of mode bb; 24 is customary; none: any.")
    max_trades: int = Field(1, ge=1, le=3, description="Entries a session and mode.")
    top_k: int = Field(3, ge=1, le=10, description="Symbols entered a session and mode, best score first.")
    ambiguous: Literal["loss", "skip"] = Field(
        "loss", description="One bar reaches both stop orders: the trade is a loss, or is skipped."
    )
    be: bool = Field(False, description="Take half off at 1 R and move the stop to entry.")

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        minutes = self.bar_minutes
        if "orb" in self.modes and (minutes > self.or_minutes or self.or_minutes % minutes != 0):
            raise ValueError(
                f"or_minutes {self.or_minutes} is no multiple of a {self.timeframe} bar. "
                "Use a shorter timeframe or a longer range."
            )
        if minutes > 60:
            raise ValueError(
                f"timeframe {self.timeframe} is too long to see a range break. Use M1, M5, M15, M30 or H1."
            )
        if self.be and self.target is not None and self.target <= 1.0:
            raise ValueError(
                f"be takes half off at 1 R, and target {self.target:g} R ends the trade there. Raise target."
            )
        if self.width_unit == "percentile" and self.w_hi is not None and self.w_hi > 1.0:
            raise ValueError(f"w_hi {self.w_hi:g} is a rank with width_unit percentile, so at most 1.")
        if "custom" in self.sessions and "orb" in self.modes and self.custom_session is None:
            raise ValueError("session custom has no window. Set custom_session, e.g. '09:30-16:00 America/New_York'.")
        if self.custom_session is not None:
            try:
                session_window(self.custom_session)
            except TradeSentryError as error:
                raise ValueError(str(error)) from error
        return self

    @property
    def bar_minutes(self) -> int:
        """Length of an execution bar, minutes."""
        return timeframe_ns(self.timeframe) // MINUTE_NS

    def calendar(self) -> CalendarSpec:
        """Declare the sessions of all modes, the same for every variant that shares windows and news.

        Slots 0 to 3 are the sessions of mode orb, 4 that of mode london from its range on, 5 the London session, 6 when
        mode bb may enter.
        """
        sessions: tuple[SessionWindow | str, ...] = (
            "london",
            "new_york",
            "tokyo",
            self.custom_session or "london",
            RANGE_WINDOWS[self.range_window][0],
            "london",
            BANDS_MASK,
        )
        return CalendarSpec(sessions=sessions, news=self.news_settings())
