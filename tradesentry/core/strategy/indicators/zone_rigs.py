"""How the components that make zones are wired for `run`, each with what it reads.

Apart from `rigs`, which lists them, for length alone. The order on one bar is that of strategies: volatility, life of
zones, breaks of structure, blocks, gaps and bases, pivots and swings.
"""

from functools import cache
from typing import Any

import numpy as np

from tradesentry.core.strategy.indicators import gaps, grid_basket, supply_demand, volatility
from tradesentry.core.strategy.indicators.hygiene import is_contiguous
from tradesentry.core.utils.kernel import kernel


def fill_tick(_params: Any, record: Any, tick: float) -> None:
    """Write the market's tick into the parameters of a component that counts in ticks."""
    record.tick = tick


@cache
def gaps_state(capacity: int) -> np.dtype[Any]:
    """Return the layout of gaps and their ruler."""
    return np.dtype([("atr", volatility.STATE), ("gaps", gaps.state_dtype(capacity))], align=True)


@kernel
def gaps_step(params: Any, state: Any, hygiene: Any, _clock: Any, events: Any, _row: Any) -> int:
    """Step the component `gaps`."""
    bar = hygiene.bar
    volatility.update(params.atr, state.atr, bar, hygiene.is_weekend)
    gaps.advance(params, state.gaps, bar, events)
    return gaps.create(params, state.gaps, bar, params.tick, state.atr.before, is_contiguous(hygiene, 2), events)


@cache
def supply_demand_state(capacity: int) -> np.dtype[Any]:
    """Return the layout of supply-demand zones and their ruler."""
    return np.dtype([("atr", volatility.STATE), ("zones", supply_demand.state_dtype(capacity))], align=True)


@kernel
def supply_demand_step(params: Any, state: Any, hygiene: Any, _clock: Any, events: Any, _row: Any) -> int:
    """Step the component `supply_demand`."""
    bar = hygiene.bar
    if hygiene.is_reset:
        supply_demand.clear(state.zones)
    volatility.update(params.atr, state.atr, bar, hygiene.is_weekend)
    supply_demand.advance(params, state.zones, bar, events)
    return supply_demand.create(params, state.zones, bar, state.atr.before, is_contiguous(hygiene, 1), events)


@kernel
def grid_step(params: Any, state: Any, hygiene: Any, _clock: Any, events: Any, _row: Any) -> int:
    """Step the component `grid`."""
    return grid_basket.update(params, state, hygiene.bar, events)
