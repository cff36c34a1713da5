"""What a user of drlfusion may set: the model that gives YAML check, `--set`, help, docs table and kernel record.

Apart from the kernels because it is the only part of the decision that speaks of names; `layout` turns it into the
numbers that kernels read.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tradesentry.apps.drlfusion.training_config import TrainingConfig
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.market.calendar import CalendarSpec
from tradesentry.core.strategy.base_strategy import Fraction, StrategyConfig

Bars: TypeAlias = Annotated[int, Field(json_schema_extra={"unit": "bars"})]
"""A number of execution bars."""
Levels: TypeAlias = Annotated[float, Field(json_schema_extra={"unit": "levels"})]
"""A part of a full unit: positions are -1, -0.5, 0, 0.5 and 1."""
SESSIONS = ("tokyo", "london", "new_york")
"""Session slots of the calendar, in the order of the observation."""
DAY_NS = 86_400_000_000_000
TRADING_DAYS = 252


class DrlFusionConfig(StrategyConfig):
    """Parameters of drlfusion. What the networks know is not among them: it comes with the folder `models`."""

    timeframe: Literal["M15", "M30", "H1", "H4"] = Field("H1", description="Length of an execution bar.")
    risk: Fraction = Field(0.005, ge=0.001, le=0.01, description="Not read: see risk_fraction.")
    models: str = Field("shipped", description="Folder of the four models; shipped: the set that comes with the app.")
    rule: Literal["quorum", "mean", "softmax", "select", "hedge", "gate"] = Field(
        "quorum", description="How the proposals of the four agents become one."
    )
    quorum_n: int = Field(
        3, ge=2, le=4, description="Agents that must share a side.", json_schema_extra={"unit": "agents"}
    )
    vote_threshold: Levels = Field(0.25, ge=0, le=0.9, description="Proposal above which an agent votes for its side.")
    weights: Literal["equal", "softmax"] = Field(
        "equal", description="Votes of quorum and gate: alike, or by the results of the shadow accounts."
    )
    block_days: int = Field(
        63, ge=5, le=252, description="Length of a block of the shadow accounts.",
        json_schema_extra={"unit": "FX days"},
    )  # fmt: skip
    tau: float = Field(0.5, gt=0, le=10, description="Temperature of the softmax over scores, annual Sharpe ratio.")
    score_alpha: Fraction = Field(0.2, gt=0, le=1, description="Weight of the last block in a score.")
    weight_floor: Fraction = Field(0.05, ge=0, le=0.25, description="Least weight of an agent.")
    hedge_eta: float = Field(0.05, gt=0, le=1, description="Rate of rule hedge.", json_schema_extra={"unit": "per ATR"})
    hedge_alpha: Fraction = Field(0.02, ge=0, le=1, description="Share that rule hedge spreads evenly on each bar.")
    gate_k: float = Field(
        1.0, ge=0, le=5, description="Deviations that the mean proposal of rule gate must exceed.",
        json_schema_extra={"unit": "deviations"},
    )  # fmt: skip
    mirror: bool = Field(True, description="Ask each network about the mirrored market too, and average.")
    risk_fraction: Fraction = Field(
        0.005, ge=0.0001, le=0.02, description="Equity lost at the stop of a full unit, when it is fixed."
    )
    stop_atr: float = Field(
        3.0, ge=1, le=50, description="Distance of the stop from the close.", json_schema_extra={"unit": "ATR"}
    )
    max_hold_bars: Bars = Field(240, ge=0, le=5_000, description="Longest holding; 0: any.")
    hysteresis: Levels = Field(0.3, ge=0, le=0.5, description="Wishes that near to what is held change nothing.")
    deadband: Levels = Field(0.05, ge=0, le=0.25, description="Least change that is traded.")
    turbulence_gate: bool = Field(
        True, description="Lower entries where the market moves as it rarely did in training."
    )
    turbulence_floor: Fraction = Field(0.25, ge=0, le=1, description="Least multiplier of that gate.")
    volatility_target: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Volatility that caps a new position; 0: off.",
        json_schema_extra={"unit": "per year"},
    )
    training: TrainingConfig = Field(TrainingConfig(), description="How agents are trained; no decision reads it.")

    @property
    def bars_per_year(self) -> float:
        """Bars of 252 trading days."""
        return TRADING_DAYS * DAY_NS / timeframe_ns(self.timeframe)

    def calendar(self) -> CalendarSpec:
        """Return what the kernels need to know of time: three sessions, and the news if they count."""
        return CalendarSpec(sessions=SESSIONS, news=self.news_settings())
