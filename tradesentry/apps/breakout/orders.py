"""Turn signals into intents: market entries, resting stop orders that cancel one another, exits of mode bb.

A symbol holds one position and rests at most one buy and one sell order: of all armed slots the nearest price on each
side, because the nearer one fills first and cancels the other. The order nearer to price is placed first, so a bar that
reaches both loses on that side, whichever it is. Orders are renewed when price, stop or target moved, because the
buffer follows the ATR.
"""

from typing import Any, Final

import numpy as np

from tradesentry.apps.breakout.filters import (
    bit,
    exit_ns,
    is_in_window,
    last_entry_ns,
    open_sides,
    pays,
    stop_price,
    target_price,
    trigger,
)
from tradesentry.apps.breakout.layout import BANDS_SLOT, MASK_SESSION
from tradesentry.apps.breakout.score import score
from tradesentry.apps.breakout.slots import is_squeezed, rate_bands
from tradesentry.core.domain.orders import ExitReason, TrailMode
from tradesentry.core.execution.risk_manager import round_to
from tradesentry.core.strategy.indicators.breaks import SET
from tradesentry.core.strategy.intents import MARKET_ORDER, STOP, cancel, close, enter
from tradesentry.core.utils.kernel import kernel

_BY_STRATEGY: Final = int(ExitReason.STRATEGY)
_TRAIL_ATR: Final = int(TrailMode.ATR)
TRAIL_ATR: Final = 3.0
"""Distance of the trailing stop of mode bb, multiples of ATR(14)."""
_MID_BAND: Final = 0
_SKIP: Final = 1
_DIRECTION_HTF: Final = 2
_GROUP: Final = 1


@kernel
def _describe(params: Any, state: Any, index: int, intent: Any, clock: Any, distance: float) -> None:
    """Write exits, expiry, rank and origin of an entry."""
    slot = state.slots[index]
    exits = intent.exits
    exits.exit_ns = exit_ns(index, clock)
    exits.max_bars = params.hold_bars
    if index == BANDS_SLOT:
        if not np.isnan(params.bb_time):
            bars = int(params.bb_time)
            exits.max_bars = bars if exits.max_bars == 0 else min(bars, exits.max_bars)
        if params.bb_exit != _MID_BAND:
            exits.trail_mode = _TRAIL_ATR
            exits.trail_distance = TRAIL_ATR
    if params.be:
        exits.be_trigger_r = 1.0
        exits.partial_r[0] = 1.0
        exits.partial_fraction[0] = 0.5
    if not np.isnan(params.spread_frac):
        exits.max_spread = params.spread_frac * distance
    intent.tag = index + 1
    intent.score = slot.score
    # `top_k` symbols a session and mode: the start of the session and the slot name the quota that they share.
    intent.quota_key = slot.range.session_start_ns + index
    intent.quota_max = params.top_k
    intent.cause[0] = slot.range.id
    if index == BANDS_SLOT:
        intent.cause[1] = state.bands.squeeze_id
    if params.direction == _DIRECTION_HTF:
        intent.cause[2] = state.trend.n_events


@kernel
def best_signal(params: Any, state: Any, view: Any) -> int:
    """Score the signals of this bar and return the slot of the best one, -1 without any; ties go to the first slot."""
    best = -1
    for i in range(params.n_active):
        index = params.active[i]
        slot = state.slots[index]
        side = slot.range.signal
        if side == 0:
            continue
        if index == BANDS_SLOT:
            rate_bands(state)
        spread = view.last_spread
        entry = slot.range.signal_price + (spread if side > 0 else 0.0)
        distance = side * (entry - stop_price(params, state, index, side, entry, spread, state.atr.before))
        slot.score = score(params, state, index, side, spread / distance)
        if best < 0 or slot.score > state.slots[best].score:
            best = index
    return best


@kernel
def enter_signal(params: Any, state: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Enter the best signal of this bar at the next open; return the new count of intents."""
    index = best_signal(params, state, view)
    if index < 0:
        return n
    slot = state.slots[index]
    side = slot.range.signal
    spread = view.last_spread
    entry = bar.close + spread if side > 0 else bar.close
    stop = stop_price(params, state, index, side, entry, spread, state.atr.before)
    n = enter(intents, n, MARKET_ORDER, side, entry, stop, target_price(params, entry, stop), params.risk)
    intent = intents[n - 1]
    _describe(params, state, index, intent, view.clock, side * (entry - stop))
    # The fill may come as late as one bar after the last that could signal.
    intent.expiry_ns = last_fill_ns(params, index, slot, view.clock) + (bar.close_ns - bar.open_ns)
    slot.side = side
    return n


@kernel
def last_fill_ns(params: Any, index: int, slot: Any, clock: Any) -> int:
    """Return from when on an order of a slot may no longer be filled."""
    until = clock.sessions[MASK_SESSION].end_ns if index == BANDS_SLOT else slot.range.cutoff_ns
    return int(min(until, last_entry_ns(params, index, clock)))


@kernel
def note_fills(state: Any, bar: Any, view: Any) -> None:
    """Find out which resting orders this bar filled: those that are gone and were reached, by the bid or the ask.

    An order that filled and was stopped inside the bar leaves no position behind, so the position alone does not say.
    """
    state.filled[0] = 0
    state.filled[1] = 0
    if state.asked[0].slot == 0 and state.asked[1].slot == 0:
        return
    has_buy = False
    has_sell = False
    for i in range(view.n_orders):
        if view.orders[i].side > 0:
            has_buy = True
        else:
            has_sell = True
    is_new = view.n_positions > 0 and view.positions[0].entry_bar == view.bar_index
    buy = state.asked[0]
    sell = state.asked[1]
    if buy.slot > 0 and not has_buy and bar.high + view.last_spread >= buy.price:
        state.filled[0] = buy.slot
    if sell.slot > 0 and not has_sell and bar.low <= sell.price:
        state.filled[1] = sell.slot
    if is_new:
        state.filled[0 if view.positions[0].side > 0 else 1] = view.positions[0].tag
    for i in range(2):
        if state.filled[i] > 0:
            state.slots[state.filled[i] - 1].side = 1 if i == 0 else -1
    buy.slot = buy.slot if has_buy else 0
    sell.slot = sell.slot if has_sell else 0


@kernel
def _want(params: Any, state: Any, index: int, side: int, bar: Any, view: Any) -> None:
    """Put the stop order of one side of a slot into `wanted` if it is the nearest so far."""
    atr = state.atr.value
    level = trigger(params, state, index, side, atr)
    spread = view.last_spread
    cost = spread if side > 0 else 0.0
    price = round_to(level + cost, view.tick)
    if not side * (price - (bar.close + cost)) > 0.0:
        return
    stop = round_to(stop_price(params, state, index, side, price, spread, atr), view.tick)
    distance = side * (price - stop)
    if not pays(params, distance, spread):
        return
    ask = state.wanted[0 if side > 0 else 1]
    if ask.slot > 0 and not side * (ask.price - price) > 0.0:
        return
    ask.slot = index + 1
    ask.price = price
    ask.stop = stop
    ask.target = round_to(target_price(params, price, stop), view.tick)
    ask.distance = distance


@kernel
def _want_all(params: Any, state: Any, bar: Any, view: Any) -> None:
    """Find the nearest order on each side among all armed slots."""
    state.wanted[0].slot = 0
    state.wanted[1].slot = 0
    for i in range(params.n_active):
        index = params.active[i]
        slot = state.slots[index]
        if slot.range.phase != SET or not is_in_window(index, view.clock, bar.close_ns, bar.close_ns):
            continue
        if bar.close_ns >= last_fill_ns(params, index, slot, view.clock):
            continue
        if index == BANDS_SLOT and not is_squeezed(state):
            continue
        sides = open_sides(params, state, index, bar, view)
        if sides & bit(1) != 0:
            _want(params, state, index, 1, bar, view)
        if sides & bit(-1) != 0:
            _want(params, state, index, -1, bar, view)


@kernel
def _is_kept(asked: Any, wanted: Any) -> bool:
    """Return whether what rests is what should."""
    if asked.slot != wanted.slot:
        return False
    if asked.slot == 0:
        return True
    is_same_target = asked.target == wanted.target or (np.isnan(asked.target) and np.isnan(wanted.target))
    return bool(asked.price == wanted.price and asked.stop == wanted.stop and is_same_target)


@kernel
def _rest(params: Any, state: Any, side: int, view: Any, intents: Any, n: int) -> int:
    """Rest the wanted order of one side."""
    ask = state.wanted[0 if side > 0 else 1]
    if ask.slot == 0:
        return n
    index = ask.slot - 1
    slot = state.slots[index]
    if index == BANDS_SLOT:
        rate_bands(state)
    slot.score = score(params, state, index, side, view.last_spread / ask.distance)
    n = enter(intents, n, STOP, side, ask.price, ask.stop, ask.target, params.risk)
    intent = intents[n - 1]
    _describe(params, state, index, intent, view.clock, ask.distance)
    intent.expiry_ns = last_fill_ns(params, index, slot, view.clock)
    intent.group = _GROUP
    intent.skip_if_both = params.ambiguous == _SKIP
    return n


@kernel
def rest_orders(params: Any, state: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Let the right stop orders rest until the next close; return the new count of intents."""
    _want_all(params, state, bar, view)
    buy = state.wanted[0]
    sell = state.wanted[1]
    first = 1
    if sell.slot > 0 and (buy.slot == 0 or bar.close - sell.price < buy.price - view.last_spread - bar.close):
        first = -1
    is_kept = _is_kept(state.asked[0], buy) and _is_kept(state.asked[1], sell)
    if is_kept and (buy.slot == 0 or sell.slot == 0 or first == state.first_side):
        return n
    if view.n_orders > 0:
        n = cancel(intents, n, 0)
    n = _rest(params, state, first, view, intents, n)
    n = _rest(params, state, -first, view, intents, n)
    state.first_side = first
    for i in range(2):
        asked = state.asked[i]
        wanted = state.wanted[i]
        asked.slot = wanted.slot
        asked.price = wanted.price
        asked.stop = wanted.stop
        asked.target = wanted.target
        asked.distance = wanted.distance
    return n


@kernel
def manage_position(params: Any, state: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Close at the next open what a rule on closed bars ends; stop, target, time and session are exits of the position.

    Mode bb leaves when the close is back inside the middle band; a position that survived a bar that reached both
    orders leaves as well, because that bar has ended the day.
    """
    position = view.positions[0]
    index = position.tag - 1
    if index < 0 or index > BANDS_SLOT:
        return n
    is_over = state.slots[index].range.is_ambiguous and position.entry_bar == view.bar_index
    if index == BANDS_SLOT and params.bb_exit == _MID_BAND:
        is_over |= position.side * (bar.close - state.bands.middle) < 0.0
    return close(intents, n, position.id, 0.0, _BY_STRATEGY) if is_over else n
