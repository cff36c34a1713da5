"""How the components that make zones are wired for `run`, each with what it reads.

Apart from `rigs`, which lists them, for length alone. The order on one bar is that of strategies: volatility, life of
zones, breaks of structure, blocks, gaps and bases, pivots and swings.
"""

from functools import cache
from typing import Any

import numpy as np

from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import (
    gaps,
    grid_basket,
    order_blocks,
    structure,
    supply_demand,
    swings,
    volatility,
)
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


@cache
def order_blocks_state(capacity: int) -> np.dtype[Any]:
    """Return the layout of order blocks, the structure they come from, and the gaps they may ask for."""
    return np.dtype(
        [
            ("atr", volatility.STATE),
            ("pivots", swings.PIVOT_STATE),
            ("swings", swings.STATE),
            ("structure", structure.STATE),
            ("gap_atr", volatility.STATE),
            ("gaps", gaps.state_dtype(capacity)),
            ("blocks", order_blocks.state_dtype(capacity)),
            ("unseen", ev.EVENTS),  # of everything but the blocks
        ],
        align=True,
    )


@kernel
def order_blocks_step(params: Any, state: Any, hygiene: Any, _clock: Any, events: Any, _row: Any) -> int:
    """Step the component `order_blocks`; gaps are followed only where blocks ask for them."""
    bar = hygiene.bar
    within = params.structure
    unseen = state.unseen
    ev.begin(unseen, events.bar_index, events.close_ns)
    volatility.update(within.atr, state.atr, bar, hygiene.is_weekend)
    order_blocks.advance(params, state.blocks, bar, events)
    structure.update(within, state.structure, bar, state.swings, state.pivots, state.atr.before, unseen)
    up = state.gaps.newest_up - 1
    down = state.gaps.newest_down - 1
    atr = state.atr
    order_blocks.create(params, state.blocks, bar, state.structure, up, down, atr.before, atr.value, events)
    if params.needs_gap:
        volatility.update(params.gaps.atr, state.gap_atr, bar, hygiene.is_weekend)
        gaps.advance(params.gaps, state.gaps, bar, unseen)
        is_whole = is_contiguous(hygiene, 2)
        gaps.create(params.gaps, state.gaps, bar, params.tick, state.gap_atr.before, is_whole, unseen)
        order_blocks.confirm(params, state.blocks, bar, state.gaps.new_direction, events)
    swings.pivot_update(within.swings.left_bars, within.swings.right_bars, state.pivots, bar, unseen)
    swings.update(within.swings, state.swings, state.pivots, unseen)
    return ev.status(events)


@kernel
def grid_step(params: Any, state: Any, hygiene: Any, _clock: Any, events: Any, _row: Any) -> int:
    """Step the component `grid`."""
    return grid_basket.update(params, state, hygiene.bar, events)
