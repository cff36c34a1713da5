"""How pivots, swings and structure are wired for `run`, each with what it reads.

Apart from `rigs`, which lists them, for length alone. `follow_structure` is the order of work of one timeframe without
zones (strategies 2.0): volatility, breaks of known levels, pivots, swings.
"""

from typing import Any

import numpy as np

from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import structure, swings, volatility
from tradesentry.core.utils.kernel import kernel

SWINGS_STATE = np.dtype([("pivots", swings.PIVOT_STATE), ("swings", swings.STATE), ("unseen", ev.EVENTS)], align=True)

STRUCTURE_STATE = np.dtype(
    [
        ("atr", volatility.STATE),
        ("pivots", swings.PIVOT_STATE),
        ("swings", swings.STATE),
        ("structure", structure.STATE),
        ("unseen", ev.EVENTS),  # pivots and swings, which are not what was asked for
    ],
    align=True,
)


@kernel
def pivots_step(params: Any, state: Any, hygiene: Any, _clock: Any, events: Any, _row: Any) -> int:
    """Step the component `pivots`."""
    return swings.pivot_update(params.left_bars, params.right_bars, state, hygiene.bar, events)


@kernel
def swings_step(params: Any, state: Any, hygiene: Any, _clock: Any, events: Any, _row: Any) -> int:
    """Step the component `swings`."""
    ev.begin(state.unseen, events.bar_index, events.close_ns)
    swings.pivot_update(params.left_bars, params.right_bars, state.pivots, hygiene.bar, state.unseen)
    return swings.update(params, state.swings, state.pivots, events)


@kernel
def follow_structure(params: Any, state: Any, bar: Any, is_weekend: bool, events: Any) -> int:
    """Take one closed bar into ATR, structure and swings; only breaks are emitted.

    Args:
        params: `structure.PARAMS` record.
        state: STRUCTURE_STATE record.
        bar: Closed bar, or completed bucket of a higher timeframe.
        is_weekend: It is the first after a weekend.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    ev.begin(state.unseen, events.bar_index, events.close_ns)
    volatility.update(params.atr, state.atr, bar, is_weekend)
    status = structure.update(params, state.structure, bar, state.swings, state.pivots, state.atr.before, events)
    swings.pivot_update(params.swings.left_bars, params.swings.right_bars, state.pivots, bar, state.unseen)
    swings.update(params.swings, state.swings, state.pivots, state.unseen)
    return status


@kernel
def structure_step(params: Any, state: Any, hygiene: Any, _clock: Any, events: Any, _row: Any) -> int:
    """Step the component `structure`."""
    return follow_structure(params, state, hygiene.bar, hygiene.is_weekend, events)
