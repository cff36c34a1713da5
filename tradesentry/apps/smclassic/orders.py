"""Turn candidates into orders: limits that rest while the set-up holds, and entries on rejection.

A symbol rests at most one buy and one sell limit, each for the nearest zone of its side; a fill cancels the other. The
limit nearer to price is placed first, so that of two reached by one bar it is the one that fills. Limits are renewed
when their prices move (a bucket, the spread) and pulled when the set-up ends, around 17:00 New York, and by `expiry_ns`
where bars are missing.
"""

from typing import Any, Final

from tradesentry.apps.smclassic.helpers import (
    ENTRY_REJECTION,
    make_plan,
    nearest_candidate,
    rejected_candidate,
)
from tradesentry.apps.smclassic.layout import ENTRY_SLOT, LIMIT_TAG
from tradesentry.core.strategy.intents import LIMIT, MARKET_ORDER, cancel, enter
from tradesentry.core.utils.kernel import copy_record, kernel

_MINUTE_NS: Final = 60_000_000_000
ROLLOVER_NS: Final = 15 * _MINUTE_NS
"""No entry rests that long before and after 17:00 New York, where spreads jump."""
WEEK_BARS: Final = 3
"""Bars of an FX week before its first entry."""
_GROUP: Final = 1


@kernel
def is_rollover(bar: Any, clock: Any) -> bool:
    """Return whether the bar after this one meets 17:00 New York by less than 15 minutes."""
    length = bar.close_ns - bar.open_ns
    is_before = bar.close_ns + length > clock.fx_day_end_ns - ROLLOVER_NS
    return bool(is_before or bar.close_ns < clock.fx_day_start_ns + ROLLOVER_NS)


@kernel
def is_entry_time(params: Any, state: Any, bar: Any, view: Any) -> bool:
    """Return whether an entry may rest from this close: blocks, warm-up, week, rollover, session and spread limit."""
    if view.is_blocked or state.hygiene.n_good <= params.warmup_bars or state.n_week < WEEK_BARS:
        return False
    clock = view.clock
    if is_rollover(bar, clock) or bar.close_ns >= clock.week_end_ns - params.weekend_no_entry * _MINUTE_NS:
        return False
    if params.has_session:
        session = clock.sessions[ENTRY_SLOT]
        if not (session.is_valid and session.start_ns <= bar.close_ns < session.end_ns):
            return False
    # A limit that is off is NaN, which no spread is above.
    return not view.last_spread > params.max_spread * view.pip


@kernel
def may_enter(params: Any, state: Any, bar: Any, view: Any) -> bool:
    """Return whether a new idea may be entered: the range regime, no recent loss, and the time."""
    return bool(state.context.regime.is_range and state.pause == 0 and is_entry_time(params, state, bar, view))


@kernel
def describe(params: Any, state: Any, plan: Any, entry: float, tag: int, intent: Any, clock: Any) -> None:
    """Write exits, expiry, rank and origin of an entry at price `entry`."""
    exits = intent.exits
    exits.max_bars = params.time_stop
    if params.eq_fraction < 1.0:
        exits.partial_r[0] = (plan.eq - entry) / (entry - plan.stop)
        exits.partial_fraction[0] = params.eq_fraction
    intent.expiry_ns = clock.fx_day_end_ns - ROLLOVER_NS
    intent.tag = tag
    intent.score = plan.reward
    intent.cause[0] = plan.zone_id
    intent.cause[1] = state.context.structure.n_breaks
    intent.cause[2] = state.context.midpoint.n_resets


@kernel
def _want(params: Any, state: Any, side: int, bar: Any, view: Any) -> None:
    """Write what should rest on a side into `wanted`; prices that nothing can have moved are copied."""
    row = 0 if side > 0 else 1
    plan = state.wanted[row]
    plan.zone_id = 0
    found = nearest_candidate(state, side, bar.close, view.last_spread)
    if found < 0:
        return
    candidate = state.candidates[found]
    asked = state.asked[row]
    is_same = asked.zone_id == candidate.zone_id and asked.n_touches == candidate.n_touches
    if is_same and asked.spread == view.last_spread and asked.n_buckets == state.context.n_buckets:
        copy_record(plan, asked)
    else:
        make_plan(params, state, candidate, candidate.level, view, plan)
    present = bar.close + view.last_spread if side > 0 else bar.close
    if not side * (present - plan.price) > 0.5 * view.tick:
        plan.zone_id = 0


@kernel
def _is_kept(asked: Any, wanted: Any) -> bool:
    """Return whether what rests is what should."""
    if asked.zone_id != wanted.zone_id:
        return False
    is_same = asked.price == wanted.price and asked.stop == wanted.stop and asked.target == wanted.target
    return bool(asked.zone_id == 0 or (is_same and asked.eq == wanted.eq))


@kernel
def _rest(params: Any, state: Any, side: int, view: Any, intents: Any, n: int) -> int:
    """Rest the wanted limit of one side."""
    plan = state.wanted[0 if side > 0 else 1]
    if plan.zone_id == 0:
        return n
    n = enter(intents, n, LIMIT, side, plan.price, plan.stop, plan.target, plan.risk)
    intent = intents[n - 1]
    describe(params, state, plan, plan.price, LIMIT_TAG + params.entry, intent, view.clock)
    intent.group = _GROUP
    return n


@kernel
def rest_limits(params: Any, state: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Let the right limits rest until the next close; return the new count of intents."""
    asked = state.asked
    wanted = state.wanted
    if may_enter(params, state, bar, view):
        _want(params, state, 1, bar, view)
        _want(params, state, -1, bar, view)
    else:
        wanted[0].zone_id = 0
        wanted[1].zone_id = 0
    has_both = wanted[0].zone_id > 0 and wanted[1].zone_id > 0
    first = state.first_side
    if has_both:
        first = 1 if bar.close + view.last_spread - wanted[0].price <= wanted[1].price - bar.close else -1
    is_kept = _is_kept(asked[0], wanted[0]) and _is_kept(asked[1], wanted[1])
    if not is_kept or (has_both and first != state.first_side):
        first = first if first != 0 else 1
        if view.n_orders > 0:
            n = cancel(intents, n, 0)
        n = _rest(params, state, first, view, intents, n)
        n = _rest(params, state, -first, view, intents, n)
        state.first_side = first
    copy_record(asked[0], wanted[0])
    copy_record(asked[1], wanted[1])
    return n


@kernel
def enter_rejection(params: Any, state: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Enter at the next open where this bar was turned back by a zone; return the new count of intents."""
    found = rejected_candidate(params, state, bar, view.last_spread)
    if found < 0 or not may_enter(params, state, bar, view):
        return n
    candidate = state.candidates[found]
    plan = state.asked[0 if candidate.side > 0 else 1]
    make_plan(params, state, candidate, bar.close, view, plan)
    n = enter(intents, n, MARKET_ORDER, candidate.side, plan.price, plan.stop, plan.target, plan.risk)
    describe(params, state, plan, plan.price, LIMIT_TAG + ENTRY_REJECTION, intents[n - 1], view.clock)
    return n
