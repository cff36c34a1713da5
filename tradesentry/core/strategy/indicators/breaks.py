"""Judge a bar against a range that is set: stop orders, closes beyond it, and retests of a break.

The second half of `opening_range`, apart because it knows nothing of sessions: it needs a range, an ATR and the sides
that may be broken and entered. Beyond is strict for closes and non-strict for resting stop orders, which price fills by
touching them.
"""

from typing import Any, Final

from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.utils.kernel import kernel

IDLE: Final = 0
BUILDING: Final = 1
SET: Final = 2
PENDING: Final = 3
DONE: Final = 4

LONG: Final = 1
SHORT: Final = 2
BOTH: Final = 3

_COMPONENT: Final = int(ev.Component.OPENING_RANGE)
_OR_AMBIGUOUS: Final = int(ev.EventCode.OR_AMBIGUOUS)
_BREAKOUT: Final = int(ev.EventCode.BREAKOUT)
_RETEST_CANCEL: Final = int(ev.EventCode.RETEST_CANCEL)
_RETEST_TIMEOUT: Final = int(ev.EventCode.RETEST_TIMEOUT)
_ENTRY: Final = int(ev.EventCode.ENTRY)
_MODE_CLOSE: Final = 1


@kernel
def distance(multiple: float, atr: float) -> float:
    """Return `multiple` x ATR; 0 when it is switched off, NaN while the ATR does not exist."""
    return 0.0 if multiple == 0.0 else multiple * atr


@kernel
def trigger_price(params: Any, state: Any, side: int, atr: float) -> float:
    """Return where a break on `side` (+1, -1) begins: the range's edge and the buffer.

    Args:
        params: PARAMS record.
        state: STATE record with a range that is set.
        side: +1 above the range, -1 below.
        atr: ATR of the bar before the one that is judged; for an order that rests from now on, the present ATR.
    """
    edge = state.range.high if side > 0 else state.range.low
    return float(edge + side * distance(params.buf_atr, atr))


@kernel
def emit_range(state: Any, code: int, direction: int, events: Any) -> int:
    """Append an event of the instance with its range; return its position."""
    position = ev.new_event(events, _COMPONENT, code, direction, state.id)
    item = events.items[position]
    item.origin_index = state.range.first_index
    item.origin_ns = state.range.start_ns
    item.price_low = state.range.low
    item.price_high = state.range.high
    item.other_index = state.range.n_bars
    item.value = state.width
    return position


@kernel
def _emit_break(state: Any, code: int, price: float, events: Any) -> None:
    """Append an event of the present break; its bar is the origin and the far side of the range is other_price."""
    position = ev.new_event(events, _COMPONENT, code, state.direction, state.id)
    item = events.items[position]
    item.origin_index = state.break_index
    item.origin_ns = state.break_ns
    item.price_low = state.range.low
    item.price_high = state.range.high
    item.price = price
    item.other_price = state.range.low if state.direction > 0 else state.range.high


@kernel
def _break(state: Any, bar: Any, side: int, price: float, events: Any) -> None:
    state.direction = side
    state.break_index = events.bar_index
    state.break_ns = bar.open_ns
    state.n_waited = 0
    _emit_break(state, _BREAKOUT, price, events)


@kernel
def _enter(params: Any, state: Any, price: float, events: Any) -> None:
    _emit_break(state, _ENTRY, price, events)
    state.signal = state.direction
    state.signal_price = price
    state.n_trades += 1
    state.phase = DONE if state.n_trades >= params.max_trades else SET


@kernel
def judge_stop(
    params: Any, state: Any, bar: Any, atr_before: float, may_break: int, may_enter: int, events: Any
) -> None:
    """Fill resting stop orders on the sides that may be entered."""
    sides = may_break & may_enter
    upper = trigger_price(params, state, 1, atr_before)
    lower = trigger_price(params, state, -1, atr_before)
    is_up = (sides & LONG) != 0 and bar.high >= upper
    is_down = (sides & SHORT) != 0 and bar.low <= lower
    if is_up and is_down:
        state.is_ambiguous = True
        state.phase = DONE
        emit_range(state, _OR_AMBIGUOUS, 0, events)
    elif is_up or is_down:
        price = max(bar.open, upper) if is_up else min(bar.open, lower)
        _break(state, bar, 1 if is_up else -1, price, events)
        _enter(params, state, price, events)


@kernel
def judge_close(
    params: Any, state: Any, bar: Any, atr_before: float, may_break: int, may_enter: int, events: Any
) -> None:
    """Judge a close against both sides; strictly beyond is a break."""
    side = 0
    if (may_break & LONG) != 0 and bar.close > trigger_price(params, state, 1, atr_before):
        side = 1
    elif (may_break & SHORT) != 0 and bar.close < trigger_price(params, state, -1, atr_before):
        side = -1
    if side == 0:
        return
    _break(state, bar, side, bar.close, events)
    if params.entry_mode != _MODE_CLOSE:
        state.phase = PENDING
    elif (may_enter & (LONG if side > 0 else SHORT)) != 0:
        _enter(params, state, bar.close, events)


@kernel
def judge_retest(params: Any, state: Any, bar: Any, atr_before: float, may_enter: int, events: Any) -> None:
    """Judge a bar after a break: cancelled, entered, too late, or still waiting."""
    side = state.direction
    state.n_waited += 1
    middle = 0.5 * (state.range.high + state.range.low)
    edge = state.range.high if side > 0 else state.range.low
    reached = bar.low if side > 0 else bar.high
    if side * (bar.close - middle) < 0.0:
        state.phase = SET
        _emit_break(state, _RETEST_CANCEL, bar.close, events)
        return
    is_near = side * (reached - (edge + side * distance(params.tol_atr, atr_before))) <= 0.0
    may = (may_enter & (LONG if side > 0 else SHORT)) != 0
    if may and is_near and side * (bar.close - edge) > 0.0:
        _enter(params, state, bar.close, events)
    elif state.n_waited >= params.retest_bars:
        state.phase = SET
        _emit_break(state, _RETEST_TIMEOUT, bar.close, events)
