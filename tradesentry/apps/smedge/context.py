"""What smedge knows of the market on one bar: every component in the order of strategies 2.0.

H4 trend, sessions and volatility; life of zones made earlier; sweeps and breaks of known levels; the block of the
break; gaps; pivots, swings and pools. One function, because the order is part of the contract.
"""

from typing import Any, Final

from tradesentry.apps.smedge.signals import follow_track, follow_trend, remember_sweeps
from tradesentry.apps.smedge.zones import forget_gaps
from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.indicators import (
    events,
    gaps,
    hygiene,
    liquidity,
    order_blocks,
    regime,
    sessions,
    structure,
    swings,
    volatility,
)
from tradesentry.core.utils.kernel import kernel

_OK: Final = int(Status.OK)


@kernel
def _follow_periods(params: Any, state: Any, bar: Any, clock: Any) -> int:
    """Take a bar into H4 trend, session ranges and ATR."""
    if state.hygiene.n_good == 1:
        regime.reset(state.trend)
    status = follow_trend(params, state, bar, clock)
    if status != _OK:
        return int(status)
    if state.hygiene.is_weekend or state.hygiene.is_reset:
        state.week_index = state.events.bar_index
    if state.hygiene.is_reset:
        sessions.clear(state.sessions)
    sessions.update(params.liquidity.sessions, state.sessions, bar, clock, state.events)
    volatility.update(params.blocks.structure.atr, state.atr, bar, state.hygiene.is_weekend)
    return _OK


@kernel
def follow_market(params: Any, state: Any, bar: Any, clock: Any, tick: float) -> int:
    """Take one closed bar into all components.

    Args:
        params: Parameters of smedge.
        state: STATE, its hygiene already updated.
        bar: The bar to work on, on the tick grid.
        clock: CLOCK of the bar.
        tick: Price step.

    Returns:
        A Status.
    """
    status = _follow_periods(params, state, bar, clock)
    if status != _OK:
        return status
    buffer = state.events
    index = buffer.bar_index
    before = state.atr.before
    within = params.blocks.structure
    order_blocks.advance(params.blocks, state.blocks, bar, buffer)
    gaps.advance(params.blocks.gaps, state.gaps, bar, buffer)
    first = buffer.n
    liquidity.advance(params.liquidity, state.liquidity, bar, before, buffer)
    if buffer.n > first:
        remember_sweeps(state, first)
    structure.update(within, state.structure, bar, state.swings, state.pivots, before, buffer)
    starts = state.tracks[0].start_index + state.tracks[1].start_index
    follow_track(state.tracks[0], 1, state.structure.high.swing, state.pivots, bar, index)
    follow_track(state.tracks[1], -1, state.structure.low.swing, state.pivots, bar, index)
    if state.tracks[0].start_index + state.tracks[1].start_index != starts:
        forget_gaps(state)
    order_blocks.create(params.blocks, state.blocks, bar, state.structure, -1, -1, before, state.atr.value, buffer)
    gaps.create(params.blocks.gaps, state.gaps, bar, tick, before, hygiene.is_contiguous(state.hygiene, 2), buffer)
    swings.pivot_update(within.swings.left_bars, within.swings.right_bars, state.pivots, bar, buffer)
    swings.update(within.swings, state.swings, state.pivots, buffer)
    liquidity.create(params.liquidity, state.liquidity, state.pivots, state.sessions, state.atr.value, buffer)
    return int(events.status(buffer))
