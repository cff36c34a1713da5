"""What a user of smgrid may set: the model that gives YAML check, `--set`, help, docs table and kernel record.

Apart from the kernels because it is the only part of the app that speaks of names; `layout` turns it into the numbers
that kernels read. Distances are multiples of the ATR of the zone timeframe (H1) unless said otherwise.
"""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.strategy.base_strategy import Fraction, Minutes, StrategyConfig
from tradesentry.core.strategy.config import Pips

Bars: TypeAlias = Annotated[int, Field(json_schema_extra={"unit": "bars"})]
"""A number of execution bars, or of hours where said so."""
Target: TypeAlias = Annotated[float, Field(ge=0.2, le=1.0)] | Literal["zone_exit", "eq"]
"""Distance of the basket's target, or where it lies instead."""

MINUTE_NS = 60_000_000_000


class SMGridConfig(StrategyConfig):
    """Parameters of smgrid. A range of search is a bound: the optimizer and the user see the same one."""

    risk: Fraction = Field(
        0.0075, ge=0.0025, le=0.015, description="Equity lost when every level of one grid is filled and stopped."
    )
    weekend_lead: Minutes = Field(
        120, ge=0, le=480, description="Flatten that long before Friday 17:00 New York: by 15:00."
    )
    anchor: Literal["zone", "atr_band"] = Field(
        "zone", description="Levels inside a fresh H1 zone, or in steps of ATR from the midpoint of the range."
    )
    zone_kind: Literal["both", "base", "order_block"] = Field(
        "both", description="Zones of anchor zone: supply-demand bases, order blocks, or whichever is nearer."
    )
    levels: int = Field(5, ge=2, le=8, description="Levels of a grid; fewer where one would be too small to trade.")
    weights: Literal["equal", "linear", "geometric"] = Field(
        "equal", description="Units by level: the same, 1 to N, or growing by `ratio`."
    )
    ratio: float = Field(1.2, ge=1.0, le=1.3, description="Growth per level of weights geometric.")
    step: float = Field(0.5, ge=0.25, le=1.0, description="Distance of levels of anchor atr_band, ATR.")
    stop_buffer: float = Field(
        0.25, ge=0.1, le=0.5, description="Hard stop beyond the zone's far edge, ATR; a band's lies one step beyond."
    )
    slip_pips: Pips = Field(
        1.0, ge=0, le=20, description="Slippage and commissions that the worst case allows for, per unit."
    )
    tp: Target = Field(
        0.4,
        description="Target beyond the average price, 0.2 to 1.0 ATR and at least five spreads; zone_exit: 0.4 ATR "
        "beyond the zone; eq: the equilibrium of the range when the grid was planned.",
    )
    activation: float | None = Field(
        None, ge=1.0, le=3.0, description="Rest only levels that near, ATR; none: all rest at once."
    )
    leverage: float | None = Field(
        2.0, gt=0, le=30, description="Greatest notional of one grid, multiple of equity; none: any."
    )
    max_baskets: int = Field(
        4, ge=1, le=8,
        description="Baskets at once: one a side and symbol; over all symbols as far as the account's open risk goes.",
    )  # fmt: skip
    regime_er: float | None = Field(
        0.35, ge=0.0, le=0.5, description="No grid against a trend with an efficiency ratio above it; none: any."
    )
    trend_mode: Literal["ema", "structure", "both"] = Field(
        "ema", description="What makes a trend: EMA 50/200 on H1, H1 structure, or their agreement."
    )
    max_touches: int = Field(0, ge=0, le=2, description="Touches up to which a zone is armed again after a target.")
    time_stop: Bars = Field(96, ge=24, le=288, description="Longest life of a basket, from its first fill.")
    reset_k: float = Field(3.0, ge=2.0, le=5.0, description="Distance of hourly closes that moves the midpoint, ATR.")
    reset_n: int = Field(
        3, ge=1, le=5, description="Consecutive closes that far away.", json_schema_extra={"unit": "hours"}
    )
    cooldown: int = Field(
        12, ge=4, le=48, description="Hours between two resets of the midpoint.", json_schema_extra={"unit": "hours"}
    )
    lock: int = Field(
        24, ge=4, le=72, description="After a stop its side waits for a new zone, or that long.",
        json_schema_extra={"unit": "hours"},
    )  # fmt: skip
    recycle: bool = Field(
        False, description="Each level takes its own profit of one step and rests again; tp is not read."
    )
    dual: bool = Field(False, description="A buy grid and a sell grid on one symbol at the same time.")
    deleverage: bool = Field(
        False, description="Close half when H1 structure breaks against a grid that is half filled or more."
    )
    time_stop_to_break_even: bool = Field(
        False, description="A basket without loss at its time stop gets its net break-even as target."
    )
    range_source: Literal["swings", "leg", "day"] = Field(
        "swings", description="What the dealing range, and so equilibrium and midpoint, is taken from."
    )
    swing_left: int = Field(
        5, ge=3, le=10, description="H1 bars before a swing that do not exceed it.", json_schema_extra={"unit": "hours"}
    )
    swing_right: int = Field(
        5, ge=3, le=10, description="H1 bars after a swing that do not exceed it.", json_schema_extra={"unit": "hours"}
    )
    base_body: Fraction = Field(0.5, ge=0.3, le=0.6, description="Greatest body of a base bar, share of its range.")
    base_atr: float = Field(0.8, ge=0.5, le=1.0, description="Or greatest range of a base bar, ATR.")
    max_base: int = Field(6, ge=3, le=8, description="Longest base.", json_schema_extra={"unit": "hours"})
    dep_atr: float = Field(1.5, ge=1.0, le=2.5, description="Least body of the bar that leaves a base, ATR.")
    max_age: int = Field(
        240, ge=60, le=500, description="Age at which a zone is forgotten.", json_schema_extra={"unit": "hours"}
    )

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        minutes = self.bar_minutes
        if minutes > 60:
            raise ValueError(f"timeframe {self.timeframe} is longer than the hours of the zones. Use M1 to H1.")
        if self.dual and self.max_baskets < 2:
            raise ValueError(f"dual holds two baskets on a symbol and max_baskets is {self.max_baskets}. Raise it.")
        return self

    @property
    def bar_minutes(self) -> int:
        """Length of an execution bar, minutes."""
        return timeframe_ns(self.timeframe) // MINUTE_NS

    @property
    def target_mode(self) -> int:
        """How `tp` is meant: 0 beyond the average, 1 beyond the zone, 2 the equilibrium."""
        modes: dict[Any, int] = {"zone_exit": 1, "eq": 2}
        return modes.get(self.tp, 0)
