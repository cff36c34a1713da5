"""Turn a leg into a resting limit, keep it true until it fills or its idea is over, and guard the position.

A symbol holds one position and rests one order. The first leg is the one in hand; a newer break while its order rests
makes a second leg, which takes over only with a zone that price meets sooner, or when the first one ends. The price of
an order never drifts: it moves for a new zone alone; its target follows the pools. An order rests inside the entry
windows; one that a window's end took back may rest again in the next if its zone was not reached.
"""

import math
from typing import Any, Final

from tradesentry.apps.smedge.config import POOL_SESSIONS
from tradesentry.apps.smedge.layout import Kind
from tradesentry.apps.smedge.signals import allows
from tradesentry.apps.smedge.zones import aim, choose_zone, follow_leg, start_leg
from tradesentry.core.domain.calendar_records import N_SESSIONS
from tradesentry.core.domain.orders import ExitReason
from tradesentry.core.execution.risk_manager import STOP_SPREADS, round_to
from tradesentry.core.strategy.intents import LIMIT, cancel, close, enter, modify
from tradesentry.core.utils.kernel import copy_record, kernel

_BY_STRATEGY: Final = int(ExitReason.STRATEGY)
_FIRST_WINDOW: Final = len(POOL_SESSIONS)
_N_KINDS: Final = len(Kind)
_SWING_TRAIL: Final = 1


@kernel
def open_until(params: Any, clock: Any, ts_ns: int) -> int:
    """Return when the last of the entry windows around an instant ends, ns UTC; 0 outside of all."""
    until = 0
    for slot in range(_FIRST_WINDOW, N_SESSIONS):
        window = clock.sessions[slot]
        is_wanted = (params.sessions >> (slot - _FIRST_WINDOW)) & 1 != 0
        if is_wanted and window.is_valid and window.start_ns <= ts_ns < window.end_ns:
            until = max(until, window.end_ns)
    return int(until)


@kernel
def _is_over(params: Any, state: Any, leg: Any, bar: Any, view: Any) -> bool:
    """Return whether the idea of a leg is over at this close, whatever becomes of its order.

    Blackout, week end or lock; life over; a change of character against it; a close beyond the stop; the trend no
    longer agrees; a weekend or long gap inside it.
    """
    structure = state.structure
    return bool(
        view.is_blocked
        or state.events.bar_index >= leg.ends_index
        or (structure.direction == -leg.side and structure.is_choch)
        or leg.side * (leg.stop - bar.close) > 0.0
        or not allows(params, state, leg.side)
        or leg.start_index < state.week_index
    )


@kernel
def _note_order(state: Any, bar: Any, view: Any) -> None:
    """Find out what became of the order: at a window's end it is only taken back, else the leg was used or refused."""
    plan = state.plan
    if plan.is_resting and view.n_orders == 0:
        plan.is_resting = False
        if bar.close_ns < plan.expiry_ns:
            state.legs[0].side = 0


@kernel
def _promote(state: Any) -> None:
    """Let the newer leg take the place of the first."""
    if state.legs[1].side != 0:
        copy_record(state.legs[0], state.legs[1])
        state.legs[1].side = 0
    else:
        state.legs[0].side = 0


@kernel
def _drop(state: Any, view: Any, intents: Any, n: int) -> int:
    """Cancel the order that rests; return the new count of intents."""
    if state.plan.is_resting:
        state.plan.is_resting = False
        return cancel(intents, n, view.orders[0].id)
    return n


@kernel
def forget_legs(state: Any) -> None:
    """Drop all legs, because one of them became a position."""
    state.legs[0].side = 0
    state.legs[1].side = 0
    state.plan.is_resting = False


@kernel
def _is_pool_reached(plan: Any, side: int, bar: Any) -> bool:
    """Return whether price came to the pool that the order aims at."""
    reach = bar.high if side > 0 else bar.low
    return bool(plan.is_resting and side * (reach - plan.pool) >= 0.0)


@kernel
def follow_legs(params: Any, state: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Take a closed bar into both legs; end those whose idea is over, with their order."""
    _note_order(state, bar, view)
    if state.legs[1].side != 0:
        if _is_over(params, state, state.legs[1], bar, view):
            state.legs[1].side = 0
        else:
            follow_leg(params, state, state.legs[1], bar)
    leg = state.legs[0]
    if leg.side != 0:
        if _is_over(params, state, leg, bar, view) or _is_pool_reached(state.plan, leg.side, bar):
            n = _drop(state, view, intents, n)
            leg.side = 0
        else:
            follow_leg(params, state, leg, bar)
    if leg.side == 0:
        _promote(state)
    return n


@kernel
def take_trigger(params: Any, state: Any, bar: Any, view: Any, trigger: int, intents: Any, n: int) -> int:
    """Make the leg of this bar's break; one against the order in hand ends that."""
    leg = state.legs[0]
    if leg.side == -state.structure.direction:
        n = _drop(state, view, intents, n)
        forget_legs(state)
    target = state.legs[1] if state.plan.is_resting else leg
    start_leg(params, state, target, bar, trigger)
    if _is_over(params, state, target, bar, view):
        target.side = 0
    return n


@kernel
def _write(params: Any, state: Any, leg: Any, intents: Any, n: int) -> int:
    """Write the order of the plan."""
    plan = state.plan
    n = enter(intents, n, LIMIT, leg.side, plan.price, plan.stop, plan.target, params.risk)
    intent = intents[n - 1]
    intent.expiry_ns = plan.expiry_ns
    exits = intent.exits
    exits.max_bars = params.time_exit
    if params.partial:
        exits.be_trigger_r = 1.0
        exits.partial_r[0] = 1.0
        exits.partial_fraction[0] = 0.5
    zone = leg.zones[plan.zone]
    intent.tag = _N_KINDS * (leg.trigger - 1) + zone.kind + 1
    intent.score = leg.side * (plan.target - plan.price) / (leg.side * (plan.price - plan.stop))
    intent.cause[0] = leg.break_id
    intent.cause[1] = zone.id
    intent.cause[2] = leg.sweep_id
    intent.cause[3] = state.trend.n_events
    return n


@kernel
def _rest(params: Any, state: Any, leg: Any, index: int, view: Any, close_ns: int, intents: Any, n: int) -> int:
    """Rest the order of a zone; what it moves away from is cancelled. Nothing happens where it cannot rest."""
    until = open_until(params, view.clock, close_ns)
    spread = view.last_spread
    if until == 0 or (not math.isnan(params.max_spread) and spread > params.max_spread * view.pip):
        return n
    side = leg.side
    ask = spread if side > 0 else 0.0
    price = round_to(leg.zones[index].entry + ask, view.tick)
    stop = round_to(leg.stop + spread - ask, view.tick)
    distance = side * (price - stop)
    # The engine refuses a stop nearer than that; the spread may still come back.
    if not distance > 0.0 or distance < STOP_SPREADS * spread:
        return n
    target, pool = aim(params, state, side, price, stop, spread)
    target = round_to(target, view.tick)
    if not side * (target - price) > 0.0:
        return n
    n = _drop(state, view, intents, n)
    plan = state.plan
    plan.is_resting = True
    plan.zone = index
    plan.entry = leg.zones[index].entry
    plan.price = price
    plan.stop = stop
    plan.target = target
    plan.pool = pool
    plan.spread = spread
    plan.expiry_ns = until
    if not leg.has_rested:
        leg.has_rested = True
        leg.ends_index = state.events.bar_index + params.order_life
    return _write(params, state, leg, intents, n)


@kernel
def _renew_target(params: Any, state: Any, view: Any, intents: Any, n: int) -> int:
    """Aim the resting order at the pools as they are now; without one it may have to go."""
    plan = state.plan
    side = state.legs[0].side
    target, pool = aim(params, state, side, plan.price, plan.stop, plan.spread)
    target = round_to(target, view.tick)
    plan.pool = pool
    if math.isnan(target):
        return _drop(state, view, intents, n)
    if target == plan.target:
        return n
    plan.target = target
    return modify(intents, n, view.orders[0].id, math.nan, target)


@kernel
def _is_nearer(leg: Any, index: int, plan: Any) -> bool:
    return bool(index >= 0 and leg.side * (leg.zones[index].entry - plan.entry) > 0.0)


@kernel
def place(params: Any, state: Any, bar: Any, view: Any, has_pool_event: bool, intents: Any, n: int) -> int:
    """Rest, move or renew the order of the legs as they are at this close; return the new count of intents."""
    plan = state.plan
    leg = state.legs[0]
    if leg.side == 0:
        return n
    if not plan.is_resting:
        index = choose_zone(params, leg, bar.close, -1)
        return _rest(params, state, leg, index, view, bar.close_ns, intents, n) if index >= 0 else n
    now = state.events.bar_index
    newer = state.legs[1]
    if newer.side != 0:
        index = choose_zone(params, newer, bar.close, -1)
        if _is_nearer(newer, index, plan):
            before = n
            n = _rest(params, state, newer, index, view, bar.close_ns, intents, n)
            if n > before:
                _promote(state)
                return n
    index = choose_zone(params, leg, bar.close, now - 1)
    if _is_nearer(leg, index, plan):
        before = n
        n = _rest(params, state, leg, index, view, bar.close_ns, intents, n)
        if n > before:
            return n
    if has_pool_event and math.isnan(params.target_r):
        return _renew_target(params, state, view, intents, n)
    return n


@kernel
def manage_position(params: Any, state: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Close on a change of character against the position, trail its stop; the rest are exits of the position.

    Stop, target, time, partial and week end belong to the position since its entry.
    """
    position = view.positions[0]
    side = position.side
    if state.structure.direction == -side and state.structure.is_choch:
        return close(intents, n, position.id, 0.0, _BY_STRATEGY)
    is_new = state.swings.new_low if side > 0 else state.swings.new_high
    if params.trail == _SWING_TRAIL and is_new:
        level = state.swings.low.price if side > 0 else state.swings.high.price
        stop = round_to(level if side > 0 else level + view.last_spread, view.tick)
        if side * (stop - position.stop_loss) > 0.0 and side * (bar.close - level) > 0.0:
            return modify(intents, n, position.id, stop, math.nan)
    return n
