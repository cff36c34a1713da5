"""What a strategy is: a name, a configuration, a state record and one pure `step`.

`step(params, state, bar, view, intents) -> n` is the whole decision. It is compiled once per strategy and handed to the
engine loops as a first-class function, so those are compiled once for all strategies. The same `step` decides in
back-test, sweep, walk-forward, paper and live.
"""

from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.execution.decide import ANY_STEP, step_signature
from tradesentry.core.market.calendar import CalendarSpec
from tradesentry.core.market.news import NewsSettings
from tradesentry.core.strategy.config import ParamsModel, params_dtype, params_record
from tradesentry.core.utils.kernel import function_pointer, new_records

Timeframe = Literal["M1", "M5", "M15", "M30", "H1", "H4", "D1"]
"""Length of an execution bar."""
Fraction = Annotated[float, Field(json_schema_extra={"unit": "fraction"})]
"""A share in [0, 1]."""
Minutes = Annotated[int, Field(json_schema_extra={"unit": "minutes"})]
"""A span of wall-clock minutes."""


class StrategyConfig(ParamsModel):
    """What every strategy lets its user set. Each field is also a kernel parameter of the same name."""

    symbols: tuple[str, ...] = Field(("EURUSD",), min_length=1, description="Markets, by canonical symbol.")
    timeframe: Timeframe = Field("M15", description="Length of an execution bar.")
    risk: Fraction = Field(0.005, ge=0.001, le=0.01, description="Equity lost at the stop of one idea.")
    max_spread: float | None = Field(
        None, gt=0, description="No entry above this spread; off by default.", json_schema_extra={"unit": "pips"}
    )
    news: bool = Field(False, description="Keep out of the market around scheduled news.")
    news_pre: Minutes = Field(30, ge=5, le=120, description="Blackout before an event.")
    news_post: Minutes = Field(30, ge=5, le=120, description="Blackout after an event.")
    news_impact: int = Field(3, ge=1, le=3, description="Least impact that counts: 1 low, 2 medium, 3 high.")
    require_calendar: bool = Field(False, description="No entry on dates the news calendar does not cover.")
    flatten_before: bool = Field(False, description="Close open positions when a blackout begins.")
    weekend: Literal["flatten", "hold"] = Field("flatten", description="What happens to positions at the week's end.")
    weekend_lead: Minutes = Field(0, ge=0, le=480, description="Flatten that long before Friday 17:00 New York.")
    weekend_no_entry: Minutes = Field(120, ge=0, le=1_440, description="No entry that long before it.")
    intrabar: Literal["pessimistic", "m1", "tick"] = Field(
        "pessimistic", description="How the path inside a bar is resolved."
    )
    target_volatility: float | None = Field(
        None, gt=0, le=2, description="Annual volatility that caps the size; off by default."
    )
    kelly_cap: bool = Field(False, description="Lower the risk by a quarter of Kelly once 100 trades are closed.")

    def news_settings(self) -> NewsSettings | None:
        """Return what counts as a blackout, None when news are ignored."""
        if not self.news:
            return None
        return NewsSettings(pre_minutes=self.news_pre, post_minutes=self.news_post, min_impact=self.news_impact)

    def calendar(self) -> CalendarSpec:
        """Return what the kernels of this strategy need to know of time; override to add sessions."""
        return CalendarSpec(news=self.news_settings())


class BaseStrategy:
    """A strategy app. Subclasses set `name`, `Config`, `STATE` and `step`; the rest has defaults."""

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    """One line for lists and help."""
    Config: ClassVar[type[StrategyConfig]]
    STATE: ClassVar[np.dtype[Any]]
    step: ClassVar[Any]
    EXTRA_PARAMS: ClassVar[list[tuple[str, Any]]] = []
    """Fields of the parameter record that are computed by `fill_params`, not configured."""
    TAGS: ClassVar[dict[int, str]] = {}
    """What `INTENT.tag` codes mean, for tables and reports."""

    @classmethod
    def params_dtype(cls) -> np.dtype[Any]:
        """Return the layout of the parameter record."""
        return _params_dtype(cls.Config, tuple(cls.EXTRA_PARAMS))

    @classmethod
    def fill_params(cls, config: Any, record: Any) -> None:
        """Write the fields of `EXTRA_PARAMS`; override together with it."""

    @classmethod
    def new_params(cls, config: Any) -> np.recarray[Any, Any]:
        """Return the parameter record of a configuration, shape (1,)."""
        records = params_record(config, cls.params_dtype())
        cls.fill_params(config, records[0])
        return records

    @classmethod
    def new_state(cls, _config: Any) -> np.recarray[Any, Any]:
        """Return the state before the first bar, shape (1,); override where zero is not empty."""
        return new_records(1, cls.STATE)

    @classmethod
    def bars_needed(cls, _config: Any) -> int:
        """Return the warm-up: bars before which the strategy makes no intent."""
        return 0

    @classmethod
    def chart_events(cls, config: Any, bars: Any, *, calendar: Any, tick: float) -> Any:  # noqa: ARG003
        """Return what the strategy saw on `bars` as a table of events for the price chart, None without one.

        Args:
            config: The configuration.
            bars: BAR array of one market.
            calendar: CALENDAR record of the market.
            tick: Price step.
        """
        return None

    @classmethod
    def baselines(cls, config: Any) -> Any:  # noqa: ARG003
        """Return the exits of this strategy and what else it must beat, as a `backtest.baselines.Suite`.

        None leaves both to the back-test, which reads the exits from the trades.

        Args:
            config: The configuration.
        """
        return None

    @classmethod
    def pointer(cls) -> Any:
        """Return `step` as a first-class function for the engine loops; compiled at the first call."""
        return _pointer(cls.step, cls.params_dtype(), cls.STATE)


@cache
def _params_dtype(model: type[StrategyConfig], extra: tuple[tuple[str, Any], ...]) -> np.dtype[Any]:
    return params_dtype(model, list(extra))


@cache
def _pointer(step: Any, params: Any, state: Any) -> Any:
    return function_pointer(step, exact=step_signature(params, state), general=ANY_STEP)
