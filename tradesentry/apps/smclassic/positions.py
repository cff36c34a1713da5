"""Follow an idea from its fill to its end: what became of the orders, when it is over, what it leaves behind.

The strategy sees what is open and what rests, not why something is gone; that is read from the bar, pessimistically:
a bar that reached the stop ended there. A zone that lost, or that price jumped over, is dead; any other that was traded
has one return more. Stops never widen. Targets move only while a midpoint reset waits for the exposure to go, and only
toward price.
"""

import math
from typing import Any, Final

from tradesentry.apps.smclassic.helpers import earned, hits_stop, is_gone_through, mark_zone, reaches, targets
from tradesentry.apps.smclassic.layout import DEAD, SECOND_TAG
from tradesentry.apps.smclassic.orders import describe, is_entry_time
from tradesentry.core.domain.orders import ExitReason
from tradesentry.core.strategy.intents import LIMIT, cancel, close, enter, modify
from tradesentry.core.utils.kernel import copy_record, kernel

_BY_STRATEGY: Final = int(ExitReason.STRATEGY)


@kernel
def _lose(params: Any, state: Any, zone_id: int) -> None:
    """End the trading of a zone that lost, and pause."""
    mark_zone(state, zone_id, DEAD)
    state.pause = params.loss_pause


@kernel
def _open_idea(state: Any, plan: Any, position: Any) -> None:
    """Take over an entry that was filled."""
    idea = state.idea
    copy_record(idea.plan, plan)
    idea.is_open = True
    idea.entry_price = position.entry_price
    idea.units = position.units
    idea.taken = 0.0
    idea.is_leaving = False
    idea.has_second = False
    mark_zone(state, plan.zone_id, plan.n_touches + 1)


@kernel
def _judge_gone(params: Any, state: Any, plan: Any, bar: Any, view: Any) -> None:
    """Find out what became of an entry that neither rests nor is open: pulled, jumped over, stopped, or already won."""
    if plan.is_market:
        if hits_stop(plan, bar, view.last_spread):
            _lose(params, state, plan.zone_id)
    elif reaches(plan, bar, view.last_spread, view.tick):
        if is_gone_through(plan, bar):
            mark_zone(state, plan.zone_id, DEAD)
        elif hits_stop(plan, bar, view.last_spread):
            _lose(params, state, plan.zone_id)
        else:
            mark_zone(state, plan.zone_id, plan.n_touches + 1)


@kernel
def note_entries(params: Any, state: Any, bar: Any, view: Any) -> None:
    """Find out what this bar did to the entries that were asked for."""
    for i in range(2):
        plan = state.asked[i]
        if plan.zone_id == 0:
            continue
        is_resting = False
        for k in range(view.n_orders):
            is_resting |= view.orders[k].side == plan.side
        if view.n_positions > 0:
            if view.positions[0].side == plan.side:
                _open_idea(state, plan, view.positions[0])
            plan.zone_id = 0
        elif not is_resting:
            _judge_gone(params, state, plan, bar, view)
            plan.zone_id = 0


@kernel
def _first_tranche(view: Any) -> int:
    """Return the position of the first tranche, -1 when it is closed."""
    for i in range(view.n_positions):
        if view.positions[i].tag != SECOND_TAG:
            return i
    return -1


@kernel
def _exit_price(idea: Any, bar: Any, spread: float) -> float:
    """Return the price at which the first tranche seems to have left."""
    plan = idea.plan
    cost = 0.0 if plan.side > 0 else spread
    if idea.is_leaving:
        return float(bar.open + cost)
    if hits_stop(plan, bar, spread):
        return float(plan.stop)
    best = bar.high if plan.side > 0 else bar.low + spread
    if plan.side * (best - plan.target) >= 0.0:
        return float(plan.target)
    return float(bar.close + cost)


@kernel
def note_exit(params: Any, state: Any, bar: Any, view: Any) -> None:
    """Bring the open idea up to date with this bar, and end it when its first tranche is gone."""
    idea = state.idea
    first = _first_tranche(view)
    if first >= 0:
        position = view.positions[first]
        idea.units = position.units
        idea.taken = position.initial_units - position.units
        idea.has_second |= view.n_positions > 1
        return
    idea.is_open = False
    if earned(idea, _exit_price(idea, bar, view.last_spread)) < 0.0:
        _lose(params, state, idea.plan.zone_id)


@kernel
def _leave(state: Any, view: Any, intents: Any, n: int) -> int:
    """Close everything at the next open and let nothing rest."""
    state.idea.is_leaving = True
    if view.n_orders > 0:
        n = cancel(intents, n, 0)
    return close(intents, n, 0, 0.0, _BY_STRATEGY)


@kernel
def _is_thesis_gone(state: Any, position: Any, bar: Any, view: Any) -> bool:
    """Return whether structure broke against the position, or its fill came only where the open lay beyond the zone."""
    plan = state.idea.plan
    if state.context.bos == -plan.side:
        return True
    if position.entry_bar == view.bar_index and not plan.is_market and is_gone_through(plan, bar):
        mark_zone(state, plan.zone_id, DEAD)
        return True
    return False


@kernel
def _move_targets(params: Any, state: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Take over the equilibrium of a midpoint reset that waits for this exposure, where it is nearer to price.

    What leaves at the equilibrium of the entry leaves there; the target of the rest comes no nearer than that. A target
    that price has already passed closes at the next open.
    """
    plan = state.idea.plan
    side = plan.side
    _, target = targets(params, state.context, side, view.last_spread, view.tick)
    if params.eq_fraction < 1.0 and side * (plan.eq - target) > 0.0:
        target = plan.eq
    if not side * (plan.target - target) > 0.0:
        return n
    present = bar.close if side > 0 else bar.close + view.last_spread
    if not side * (target - present) > view.tick:
        return _leave(state, view, intents, n)
    plan.target = target
    return modify(intents, n, 0, math.nan, target)


@kernel
def _rest_second(params: Any, state: Any, position: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Let the second tranche rest at the middle of the zone while the first is open and whole."""
    plan = state.idea.plan
    side = plan.side
    is_whole = position.units == position.initial_units and not state.idea.has_second
    if not is_whole or not is_entry_time(params, state, bar, view):
        return cancel(intents, n, 0) if view.n_orders > 0 else n
    present = bar.close + view.last_spread if side > 0 else bar.close
    if view.n_orders > 0 or not side * (present - plan.second) > view.tick:
        return n
    n = enter(intents, n, LIMIT, side, plan.second, plan.stop, plan.target, plan.second_risk)
    describe(params, state, plan, plan.second, SECOND_TAG, intents[n - 1], view.clock)
    return n


@kernel
def manage(params: Any, state: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Decide about what is open; return the new count of intents. Stop, targets and time are exits of the position."""
    idea = state.idea
    first = _first_tranche(view)
    if first < 0 or not idea.is_open:
        # The second tranche never outlives the first.
        return _leave(state, view, intents, n)
    position = view.positions[first]
    if _is_thesis_gone(state, position, bar, view):
        return _leave(state, view, intents, n)
    if state.context.is_deferred:
        n = _move_targets(params, state, bar, view, intents, n)
        if idea.is_leaving:
            return n
    if params.tranches > 1:
        n = _rest_second(params, state, position, bar, view, intents, n)
    return n
