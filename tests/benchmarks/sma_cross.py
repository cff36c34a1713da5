"""The measured strategy on our side: two simple averages, reverse on every cross, bracketed market entries."""

from typing import Any, Final

import numpy as np
from pydantic import Field
from workloads import FAST_BARS, SLOW_BARS, STOP_PIPS, TARGET_PIPS, UNITS

from tradesentry.core.domain.orders import OrderType, SizeRule
from tradesentry.core.strategy import intents as write
from tradesentry.core.strategy.base_strategy import BaseStrategy, StrategyConfig
from tradesentry.core.strategy.config import Pips
from tradesentry.core.utils.kernel import kernel

write_close = write.close
write_enter = write.enter
RING: Final = 512
"""Closes kept; a power of two above the longest average, so that a mask finds a row."""
MASK: Final = RING - 1
MARKET_ORDER: Final = int(OrderType.MARKET)
BY_UNITS: Final = int(SizeRule.UNITS)


class SmaCrossConfig(StrategyConfig):
    """What the benchmark sets."""

    fast_bars: int = Field(FAST_BARS, ge=1, lt=RING, description="Length of the fast average, bars.")
    slow_bars: int = Field(SLOW_BARS, ge=2, lt=RING, description="Length of the slow average, bars.")
    stop_pips: Pips = Field(STOP_PIPS, gt=0, description="Distance of the stop from the deciding close.")
    target_pips: Pips = Field(TARGET_PIPS, gt=0, description="Distance of the target from the deciding close.")
    size_units: float = Field(UNITS, gt=0, description="Size of every entry, units of the base currency.")


STATE = np.dtype(
    [("n_bars", "i8"), ("fast_sum", "f8"), ("slow_sum", "f8"), ("side", "i8"), ("closes", "f8", (RING,))], align=True
)
"""`side` is 1 while the fast average is above the slow one, -1 below, 0 before both exist."""


@kernel
def step(params: Any, state: Any, bar: Any, view: Any, intents: Any) -> int:
    """Update both sums with the closed `bar`; on a cross close what is open and enter in its direction.

    Returns the number of intents written: 0, 1 or 2.
    """
    n_bars = state.n_bars
    close = bar.close
    closes = state.closes
    # Rows not yet written are zero, so both sums are right from the first bar on.
    state.fast_sum += close - closes[(n_bars - params.fast_bars) & MASK]
    state.slow_sum += close - closes[(n_bars - params.slow_bars) & MASK]
    closes[n_bars & MASK] = close
    state.n_bars = n_bars + 1
    if n_bars + 1 < params.slow_bars:
        return 0
    side = 1 if params.slow_bars * state.fast_sum > params.fast_bars * state.slow_sum else -1
    last_side = state.side
    if side == last_side:
        return 0
    state.side = side
    if last_side == 0:
        return 0
    n = 0
    if view.n_positions > 0:
        n = write_close(intents, n, 0, 0.0, 0)
    stop_loss = close - side * params.stop_pips * view.pip
    take_profit = close + side * params.target_pips * view.pip
    n = write_enter(intents, n, MARKET_ORDER, side, 0.0, stop_loss, take_profit, 0.0)
    intents[n - 1].size_rule = BY_UNITS
    intents[n - 1]["size"] = params.size_units
    return n


class SmaCross(BaseStrategy):
    """Reverse on every cross of two simple averages."""

    name = "sma_cross"
    summary = "Benchmark: reverse on every cross of two simple averages."
    Config = SmaCrossConfig
    STATE = STATE
    step = step
