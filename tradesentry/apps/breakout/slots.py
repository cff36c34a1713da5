"""Follow every slot through its session: IDLE, BUILDING, SET or REJECTED, ARMED, PENDING_RETEST, IN_TRADE, DONE.

Ranges are the shared component `opening_range`; mode bb puts its bands into the same record and is judged by the same
`breaks`. Each bar a slot gets two masks: sides that the bar may break (breakout bar, stretch, entry window), and sides
that may be entered (every other filter). A symbol in a trade looks for nothing new, so an opposite signal reverses
nothing; all state of the day is dropped at the start of the FX day.
"""

from typing import Any, Final

import numpy as np

from tradesentry.apps.breakout.context import SQUEEZE_BARS
from tradesentry.apps.breakout.filters import (
    bit,
    is_breakout_bar,
    is_in_window,
    open_sides,
    pays,
    stop_price,
    trigger,
)
from tradesentry.apps.breakout.layout import (
    BANDS_SLOT,
    LONDON_SESSION,
    LONDON_SLOT,
    MASK_SESSION,
    Phase,
)
from tradesentry.apps.breakout.score import rate, rate_range
from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import opening_range
from tradesentry.core.strategy.indicators.breaks import (
    BOTH,
    BUILDING,
    DONE,
    IDLE,
    PENDING,
    SET,
    judge_close,
    judge_retest,
    judge_stop,
)
from tradesentry.core.utils.kernel import kernel

_OK: Final = int(Status.OK)
_MINUTE_NS: Final = 60_000_000_000
_MODE_STOP: Final = 0
_STRETCH: Final = 4
_BANDS: Final = int(ev.Component.BANDS)
_MEASURED_REASON: Final = opening_range.BAD_WIDTH

_IDLE: Final = int(Phase.IDLE)
_BUILDING: Final = int(Phase.BUILDING)
_SET: Final = int(Phase.SET)
_REJECTED: Final = int(Phase.REJECTED)
_ARMED: Final = int(Phase.ARMED)
_PENDING: Final = int(Phase.PENDING_RETEST)
_IN_TRADE: Final = int(Phase.IN_TRADE)
_DONE: Final = int(Phase.DONE)


@kernel
def start_day(params: Any, state: Any, clock: Any) -> None:
    """Drop all state of the day at the first bar of an FX day, and after a long gap in the data."""
    if clock.fx_day_end_ns == state.fx_day_end_ns and not state.hygiene.is_reset:
        return
    state.fx_day_end_ns = clock.fx_day_end_ns
    for i in range(params.n_active):
        slot = state.slots[params.active[i]]
        opening_range.clear(slot.range)
        slot.session_ns = 0
        slot.side = 0


@kernel
def _start_session(slot: Any) -> None:
    slot.session_ns = slot.range.session_start_ns
    slot.side = 0
    slot.is_measured = False
    slot.is_costed = False
    slot.z_contraction = 0.0
    slot.z_rvol = 0.0
    slot.z_cost = 0.0
    slot.score = 0.0


@kernel
def _closed_side(params: Any, state: Any, index: int, bar: Any) -> int:
    """Return the side on which the bar closes beyond the raw range, and stretch, of a slot; 0 inside."""
    found = state.slots[index].range.range
    side = 1 if bar.close > found.high else (-1 if bar.close < found.low else 0)
    if side != 0 and params.contraction == _STRETCH and index != BANDS_SLOT:
        # The buffer is judged by the component; without it this is open +- stretch, or the edge.
        if not side * (bar.close - trigger(params, state, index, side, 0.0)) > 0.0:
            return 0
    return side


@kernel
def _may_enter(params: Any, state: Any, index: int, side: int, bar: Any, view: Any) -> int:
    """Return the mask of a side that every other filter lets enter at this close, 0 if one does not."""
    if open_sides(params, state, index, bar, view) & bit(side) == 0:
        return 0
    spread = view.last_spread
    entry = bar.close + spread if side > 0 else bar.close
    stop = stop_price(params, state, index, side, entry, spread, state.atr.before)
    return int(bit(side)) if pays(params, side * (entry - stop), spread) else 0


@kernel
def _masks(params: Any, state: Any, index: int, bar: Any, view: Any) -> tuple[int, int]:
    """Return (sides that this bar may break, sides that may be entered on it) of a slot."""
    found = state.slots[index].range
    if params.entry_mode == _MODE_STOP:
        # `settle` has filled the orders by now: the masks say which.
        sides = 0
        if state.filled[0] == index + 1:
            sides |= bit(1)
        if state.filled[1] == index + 1:
            sides |= bit(-1)
        return sides, sides
    if found.phase == PENDING:
        return BOTH, _may_enter(params, state, index, found.direction, bar, view)
    is_set = found.phase == SET or (found.phase == BUILDING and bar.open_ns >= found.range.end_ns)
    if not is_set or view.n_positions > 0:
        return 0, 0
    side = _closed_side(params, state, index, bar)
    if side == 0 or not is_in_window(index, view.clock, bar.open_ns, bar.close_ns):
        return 0, 0
    if params.breakout_bar and not is_breakout_bar(bar, side, state.atr.before):
        return 0, 0
    return int(bit(side)), _may_enter(params, state, index, side, bar, view)


@kernel
def _count_fill(params: Any, state: Any, index: int, n_before: int) -> None:
    """Count a fill of this bar that the bids alone do not show, because the spread had changed."""
    found = state.slots[index].range
    if (state.filled[0] != index + 1 and state.filled[1] != index + 1) or found.is_ambiguous:
        return
    if found.n_trades == n_before:
        found.n_trades += 1
        found.phase = DONE if found.n_trades >= params.max_trades else SET
    if state.filled[0] == index + 1 and state.filled[1] == index + 1:
        found.is_ambiguous = True
        found.phase = DONE


@kernel
def _is_measured(found: Any) -> bool:
    """Return whether the range is whole: set, used at once, or refused for its width or volume."""
    return bool(
        found.phase == SET
        or found.phase == PENDING
        or found.reason >= _MEASURED_REASON
        or found.signal != 0
        or found.is_ambiguous
    )


@kernel
def _follow_range(params: Any, state: Any, index: int, bar: Any, view: Any) -> int:
    """Take a bar in a slot of mode orb or london."""
    slot = state.slots[index]
    found = slot.range
    may_break, may_enter = _masks(params, state, index, bar, view)
    n_before = found.n_trades
    status = opening_range.update(
        params.ranges[index], found, bar, view.clock, state.atr.before, state.atr_d, may_break, may_enter, state.events
    )
    if found.session_start_ns != slot.session_ns:
        _start_session(slot)
    elif params.entry_mode == _MODE_STOP:
        _count_fill(params, state, index, n_before)
    if found.phase == BUILDING:
        if index == LONDON_SLOT:
            london = view.clock.sessions[LONDON_SESSION]
            found.cutoff_ns = min(london.start_ns + params.entry_window * _MINUTE_NS, london.end_ns)
    elif not slot.is_measured and _is_measured(found):
        rate_range(slot)
    return int(status)


@kernel
def _is_quiet(params: Any, state: Any, index: int, bar: Any, clock: Any) -> bool:
    """Return whether `opening_range.update` would change nothing: most bars of a day, told by a few comparisons.

    The session is over or has not begun, or the range is set, its window open, and nothing closed beyond it or filled.
    """
    found = state.slots[index].range
    if found.session_start_ns != clock.sessions[index].start_ns:
        return False
    phase = found.phase
    if phase == DONE:
        return True
    if phase == BUILDING:
        return bool(bar.open_ns < found.range.start_ns)
    if phase != SET or bar.open_ns >= found.cutoff_ns:
        return False
    if params.entry_mode == _MODE_STOP:
        return bool(state.filled[0] != index + 1 and state.filled[1] != index + 1)
    return bool(found.range.low <= bar.close <= found.range.high)


@kernel
def _start_mask(slot: Any, mask: Any) -> None:
    """Begin the session of mode bb."""
    found = slot.range
    found.session_start_ns = mask.start_ns
    found.range.is_valid = mask.is_valid
    found.phase = SET
    found.id += 1
    found.n_trades = 0
    found.reason = 0
    found.width = np.nan
    _start_session(slot)
    slot.is_measured = True


@kernel
def _watch_squeeze(state: Any) -> bool:
    """Return whether the bands have been squeezed lately and no close has left them since."""
    n = state.hygiene.n_good
    if state.bands.is_squeeze:
        state.squeeze_bar = n
        state.is_spent = False
    return bool(state.squeeze_bar > 0 and n - state.squeeze_bar < SQUEEZE_BARS and not state.is_spent)


@kernel
def _judge_bands(params: Any, state: Any, bar: Any, view: Any, is_fresh: bool) -> None:
    """Judge the close against the bands of this bar; only the first close outside since a squeeze is a break."""
    found = state.slots[BANDS_SLOT].range
    found.range.high = state.bands.upper
    found.range.low = state.bands.lower
    may_break, may_enter = 0, 0
    if params.entry_mode != _MODE_STOP and found.phase == SET and is_fresh:
        may_break, may_enter = _masks(params, state, BANDS_SLOT, bar, view)
        judge_close(params.ranges[BANDS_SLOT], found, bar, state.atr.before, may_break, may_enter, state.events)
    is_above = bar.close > trigger(params, state, BANDS_SLOT, 1, state.atr.before)
    is_below = bar.close < trigger(params, state, BANDS_SLOT, -1, state.atr.before)
    if is_above or is_below:
        state.is_spent = True


@kernel
def _follow_bands(params: Any, state: Any, bar: Any, view: Any) -> None:
    """Take a bar in the slot of mode bb."""
    slot = state.slots[BANDS_SLOT]
    found = slot.range
    found.signal = 0
    found.is_ambiguous = False
    mask = view.clock.sessions[MASK_SESSION]
    if found.session_start_ns != mask.start_ns:
        _start_mask(slot, mask)
    is_fresh = _watch_squeeze(state)
    is_filled = state.filled[0] == BANDS_SLOT + 1 or state.filled[1] == BANDS_SLOT + 1
    if not (is_fresh or is_filled or found.phase == PENDING):
        return
    first_event = state.events.n
    own = params.ranges[BANDS_SLOT]
    may_break, may_enter = _masks(params, state, BANDS_SLOT, bar, view)
    if found.phase == PENDING:
        judge_retest(own, found, bar, state.atr.before, may_enter, state.events)
    elif params.entry_mode == _MODE_STOP and may_enter != 0:
        # The orders rested at the bands of the bar before, which the range still holds.
        n_before = found.n_trades
        judge_stop(own, found, bar, state.atr.before, may_break, may_enter, state.events)
        _count_fill(params, state, BANDS_SLOT, n_before)
        state.is_spent = True
    if found.phase != PENDING:
        _judge_bands(params, state, bar, view, is_fresh)
    for i in range(first_event, state.events.n):
        state.events.items[i].component = _BANDS


@kernel
def follow_slots(params: Any, state: Any, bar: Any, view: Any) -> int:
    """Take one closed bar in every active slot; `slots[k].range.signal` is the side of a signal on it.

    Returns:
        A Status.
    """
    state.n_signals = 0
    for i in range(params.n_active):
        index = params.active[i]
        found = state.slots[index].range
        if index == BANDS_SLOT:
            _follow_bands(params, state, bar, view)
        elif _is_quiet(params, state, index, bar, view.clock):
            found.signal = 0
            found.is_ambiguous = False
        else:
            status = _follow_range(params, state, index, bar, view)
            if status != _OK:
                return status
        if found.signal != 0:
            state.n_signals += 1
    return int(ev.status(state.events))


@kernel
def rate_bands(state: Any) -> None:
    """Rate the contraction of the bands at a signal of mode bb."""
    slot = state.slots[BANDS_SLOT]
    found = slot.range
    found.width = found.range.high - found.range.low
    found.width_ratio = found.width / state.atr_d
    if not slot.is_costed:
        slot.z_contraction = rate(slot.contraction, -found.width_ratio)


@kernel
def is_squeezed(state: Any) -> bool:
    """Return whether the next bar could still break out of the last squeeze."""
    n = state.hygiene.n_good + 1
    return bool(state.squeeze_bar > 0 and n - state.squeeze_bar < SQUEEZE_BARS and not state.is_spent)


@kernel
def phase_of(state: Any, index: int, bar: Any, view: Any) -> int:
    """Return what a slot is doing after this bar."""
    found = state.slots[index].range
    for i in range(view.n_positions):
        if view.positions[i].tag == index + 1:
            return _IN_TRADE
    if found.phase == IDLE:
        return _IDLE
    if found.phase == BUILDING:
        return _BUILDING if bar.close_ns > found.range.start_ns else _IDLE
    if found.phase == PENDING:
        return _PENDING
    if found.phase == DONE:
        is_rejected = found.reason != 0 or (index != BANDS_SLOT and found.range.n_bars == 0)
        return _REJECTED if is_rejected else _DONE
    if index == BANDS_SLOT and not found.range.is_valid:
        return _REJECTED
    is_open = is_in_window(index, view.clock, bar.close_ns, bar.close_ns)
    if index == BANDS_SLOT:
        if bar.close_ns < found.session_start_ns:
            return _IDLE
        return _ARMED if is_open and is_squeezed(state) else _SET
    return _ARMED if is_open and bar.close_ns < found.cutoff_ns else _SET
