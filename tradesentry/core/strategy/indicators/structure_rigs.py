"""How swings, structure, liquidity and ranges are wired for `run`, each with what it reads.

Apart from `rigs`, which lists them, for length alone. `follow_structure` is the order of work of one timeframe without
zones (strategies 2.0): volatility, breaks of known levels, pivots, swings.
"""

from functools import cache
from typing import Any

import numpy as np

from tradesentry.core.strategy.indicators import (
    dealing_range,
    liquidity,
    midpoint,
    sessions,
    structure,
    swings,
    volatility,
)
from tradesentry.core.strategy.indicators import events as ev
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


@cache
def liquidity_state(capacity: int) -> np.dtype[Any]:
    """Return the layout of the component `liquidity` for `capacity` live pools a side."""
    return np.dtype(
        [
            ("atr", volatility.STATE),
            ("sessions", sessions.STATE),
            ("pivots", swings.PIVOT_STATE),
            ("liquidity", liquidity.state_dtype(capacity)),
            ("unseen", ev.EVENTS),
        ],
        align=True,
    )


@kernel
def liquidity_step(params: Any, state: Any, hygiene: Any, clock: Any, events: Any, _row: Any) -> int:
    """Step the component `liquidity`."""
    bar = hygiene.bar
    ev.begin(state.unseen, events.bar_index, events.close_ns)
    if hygiene.is_reset:
        sessions.clear(state.sessions)
    sessions.update(params.sessions, state.sessions, bar, clock, state.unseen)
    volatility.update(params.atr, state.atr, bar, hygiene.is_weekend)
    liquidity.advance(params, state.liquidity, bar, state.atr.before, events)
    swings.pivot_update(params.pivots.left_bars, params.pivots.right_bars, state.pivots, bar, state.unseen)
    return liquidity.create(params, state.liquidity, state.pivots, state.sessions, state.atr.value, events)


RANGE_STATE = np.dtype(
    [
        ("sessions", sessions.STATE),
        ("context", STRUCTURE_STATE),
        ("dealing_range", dealing_range.STATE),
        ("unseen", ev.EVENTS),
    ],
    align=True,
)


@kernel
def _follow_range(params: Any, state: Any, hygiene: Any, clock: Any, events: Any) -> int:
    """Take one closed bar into sessions, structure and dealing range."""
    bar = hygiene.bar
    context = state.context
    ev.begin(state.unseen, events.bar_index, events.close_ns)
    if hygiene.is_reset:
        sessions.clear(state.sessions)
    sessions.update(params.sessions, state.sessions, bar, clock, state.unseen)
    follow_structure(params.structure, context, bar, hygiene.is_weekend, state.unseen)
    return dealing_range.update(
        params, state.dealing_range, bar, context.swings, context.pivots, context.structure, state.sessions
    )


@kernel
def dealing_range_step(params: Any, state: Any, hygiene: Any, clock: Any, events: Any, row: Any) -> int:
    """Step the component `dealing_range`."""
    status = _follow_range(params, state, hygiene, clock, events)
    found = state.dealing_range
    row.is_set = found.is_set
    row.values[0] = found.range_low
    row.values[1] = found.range_high
    row.values[2] = found.equilibrium
    row.values[3] = found.position
    return status


MIDPOINT_STATE = np.dtype([("range", RANGE_STATE), ("midpoint", midpoint.STATE)], align=True)


@kernel
def midpoint_step(params: Any, state: Any, hygiene: Any, clock: Any, events: Any, row: Any) -> int:
    """Step the component `midpoint`; the inputs of the row are exposure and ATR, NaN where the caller gives none."""
    _follow_range(params.dealing_range, state.range, hygiene, clock, events)
    context = state.range.context
    exposure = 0.0 if np.isnan(row.inputs[0]) else row.inputs[0]
    atr = context.atr.value if np.isnan(row.inputs[1]) else row.inputs[1]
    return midpoint.update(
        params, state.midpoint, hygiene.bar, clock, context.structure, state.range.dealing_range, exposure, atr, events
    )
