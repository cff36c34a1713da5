"""Which zones may be traded and at which prices: set-up test, room to the opposite zone, tranches.

What only the zone timeframe can change (range, age, height, touches, room, discount) is judged once per bucket and kept
as candidates; what a bar can change (price, spread) is a comparison with a number of the candidate. Prices of a chart
are bids. All exits of a short lie one spread higher, so that the chart price that triggers them is the one the rule
names. A limit fills when the bid trades a spread inside the zone: a purchase rests at the near edge itself, which the
ask has to come to, a sale one spread above it. So long and short mirror each other exactly.
"""

from typing import Any, Final

from tradesentry.apps.smclassic.layout import N_MARKS
from tradesentry.core.execution.risk_manager import round_to
from tradesentry.core.strategy.indicators import zones
from tradesentry.core.strategy.indicators.zone_context import nearest_ahead
from tradesentry.core.utils.kernel import kernel

MIN_RANGE_ATR: Final = 2.0
"""Least height of a dealing range, multiples of the ATR of the zone timeframe."""
MIN_RANGE_SPREADS: Final = 30.0
ROOM_ATR: Final = 0.5
"""An opposite zone so near to the entry, and before equilibrium, forbids it."""
ENTRY_MID: Final = 1
ENTRY_REJECTION: Final = 2


@kernel
def mark_zone(state: Any, zone_id: int, n_touches: int) -> None:
    """Remember that a zone has had at least so many returns, `DEAD` to never trade it again."""
    state.is_stale = True
    for i in range(state.n_marks):
        mark = state.marks[i]
        if mark.zone_id == zone_id:
            mark.n_touches = max(mark.n_touches, n_touches)
            return
    if state.n_marks == N_MARKS:
        return
    mark = state.marks[state.n_marks]
    mark.zone_id = zone_id
    mark.n_touches = n_touches
    state.n_marks += 1


@kernel
def _prune_marks(state: Any) -> None:
    """Forget marks of zones that no longer live, so that there is room for those that do."""
    kept = 0
    for i in range(state.n_marks):
        mark = state.marks[i]
        if zones.find(state.context.bases.zones, mark.zone_id) >= 0:
            state.marks[kept].zone_id = mark.zone_id
            state.marks[kept].n_touches = mark.n_touches
            kept += 1
    state.n_marks = kept


@kernel
def _touches(params: Any, state: Any, zone: Any) -> int:
    """Return the returns to a zone that count; the visit that a rejection trades is not over and does not."""
    n = zone.n_touches
    if params.entry == ENTRY_REJECTION and zone.is_reached and n > 0:
        n -= 1
    for i in range(state.n_marks):
        if state.marks[i].zone_id == zone.id:
            n = max(n, state.marks[i].n_touches)
    return int(n)


@kernel
def spread_limit(params: Any, gain: float, loss: float, crossed: float) -> float:
    """Return the spread at which reward / risk is just `min_rr`; negative when it never is.

    Reward / risk is (gain - crossed x spread) / (loss + (1 + crossed) x spread): the stop adds one spread, and an entry
    at market pays another on both ways.

    Args:
        params: Parameters of smclassic.
        gain: Bid distance from entry to equilibrium.
        loss: Bid distance from entry to the stop without its spread.
        crossed: 1 for an entry at market, 0 for one that rests.
    """
    return float((gain - params.min_rr * loss) / (crossed + params.min_rr * (1.0 + crossed)))


@kernel
def has_room(context: Any, side: int, level: float) -> bool:
    """Return whether no opposite zone begins within 0.5 ATR of an entry and before equilibrium."""
    ahead = nearest_ahead(context.bases.zones, side, level)
    is_before = side * (context.span.equilibrium - ahead) > 0.0
    return not (is_before and side * (ahead - level) <= ROOM_ATR * context.atr.value)


@kernel
def _judge_zone(params: Any, state: Any, zone: Any, candidate: Any) -> bool:
    """Write a zone as a candidate; return whether its set-up holds as far as the zone timeframe says."""
    context = state.context
    span = context.span
    atr = context.atr.value
    side = zone.direction
    height = side * (zone.near - zone.far)
    if not (params.height_min * atr <= height <= params.height_max * atr):
        return False
    whole = span.range_high - span.range_low
    if not side * (span.equilibrium - zone.near) > params.discount * whole:
        return False
    n_touches = _touches(params, state, zone)
    if n_touches > params.max_touches:
        return False
    level = zone.mid if params.entry == ENTRY_MID else zone.near
    gain = side * (span.equilibrium - level)
    loss = side * (level - zone.far) + params.stop_buffer * atr
    limit = min(spread_limit(params, gain, loss, 0.0), whole / MIN_RANGE_SPREADS)
    if not limit >= 0.0 or (params.entry != ENTRY_REJECTION and not has_room(context, side, level)):
        return False
    candidate.zone_id = zone.id
    candidate.side = side
    candidate.n_touches = n_touches
    candidate.near = zone.near
    candidate.mid = zone.mid
    candidate.far = zone.far
    candidate.level = level
    candidate.loss = loss
    candidate.gain = gain
    candidate.max_spread = limit
    return True


@kernel
def find_candidates(params: Any, state: Any) -> None:
    """List the zones that may be traded until the next bucket; none where the range is unknown or too small."""
    state.is_stale = False
    state.n_candidates = 0
    if state.n_marks > 0:
        _prune_marks(state)
    span = state.context.span
    if not span.is_set or not span.range_high - span.range_low >= MIN_RANGE_ATR * state.context.atr.value:
        return
    ring = state.context.bases.zones
    for i in range(ring.n):
        if _judge_zone(params, state, ring.items[i], state.candidates[state.n_candidates]):
            state.n_candidates += 1


@kernel
def nearest_candidate(state: Any, side: int, close: float, spread: float) -> int:
    """Return the position of the candidate of a side whose entry price is nearest ahead of the close, -1 without."""
    best = -1
    for i in range(state.n_candidates):
        candidate = state.candidates[i]
        if candidate.side != side or not side * (close - candidate.level) > 0.0 or spread > candidate.max_spread:
            continue
        if best < 0 or side * (candidate.level - state.candidates[best].level) > 0.0:
            best = i
    return best


@kernel
def rejected_candidate(params: Any, state: Any, bar: Any, spread: float) -> int:
    """Return the candidate that the bar came back from with a body away from it and enough reward left, -1 without."""
    side = 1 if bar.close > bar.open else -1
    if bar.close == bar.open:
        return -1
    reach = bar.low if side > 0 else bar.high
    best = -1
    for i in range(state.n_candidates):
        candidate = state.candidates[i]
        near = candidate.near
        if candidate.side != side or not (side * (near - reach) >= 0.0 and side * (bar.close - near) > 0.0):
            continue
        further = side * (bar.close - near)
        payable = spread_limit(params, candidate.gain - further, candidate.loss + further, 1.0)
        if spread > min(payable, candidate.max_spread) or not has_room(state.context, side, bar.close):
            continue
        if best < 0 or side * (near - state.candidates[best].near) > 0.0:
            best = i
    return best


@kernel
def _rest_target(params: Any, context: Any, side: int) -> float:
    """Return the bid at which the rest leaves: its place in the range, or the nearest opposite zone before it."""
    span = context.span
    whole = span.range_high - span.range_low
    target = span.range_low + params.rest_position * whole
    if side < 0:
        target = span.range_high - params.rest_position * whole
    ahead = nearest_ahead(context.bases.zones, side, span.equilibrium)
    return float(ahead if side * (target - ahead) > 0.0 else target)


@kernel
def targets(params: Any, context: Any, side: int, spread: float, tick: float) -> tuple[float, float]:
    """Return (equilibrium, take profit) as exit prices: bids for a long, asks for a short.

    The take profit is equilibrium where all of a position leaves there.
    """
    cost = 0.0 if side > 0 else spread
    eq = round_to(context.span.equilibrium + cost, tick)
    if params.eq_fraction >= 1.0:
        return eq, eq
    rest = round_to(_rest_target(params, context, side) + cost, tick)
    return eq, rest if side * (rest - eq) > 0.0 else eq


@kernel
def _split_risk(params: Any, plan: Any) -> None:
    """Divide the risk between the tranches, so that equal units of both lose it at the stop.

    The bounded unit of a grid of two levels with equal weights (strategies 2.16): unit = risk / sum of the distances,
    each with the spread that sizing adds; a tranche's share is the unit times its own distance.
    """
    side = plan.side
    plan.risk = params.risk
    plan.second_risk = 0.0
    if params.tranches < 2:
        return
    first = side * (plan.price - plan.stop) + plan.spread
    second = side * (plan.second - plan.stop) + plan.spread
    plan.risk = params.risk * first / (first + second)
    plan.second_risk = params.risk - plan.risk


@kernel
def make_plan(params: Any, state: Any, candidate: Any, level: float, view: Any, plan: Any) -> None:
    """Fix the prices of an entry.

    Args:
        params: Parameters of smclassic.
        state: STATE.
        candidate: CANDIDATE that is entered.
        level: Edge that a limit rests at, or the close of an entry at market.
        view: VIEW.
        plan: PLAN, overwritten.
    """
    context = state.context
    side = candidate.side
    spread = view.last_spread
    tick = view.tick
    # A sale at the bid and all exits of a short lie a spread higher than the chart price, as does a purchase at market.
    exit_cost = 0.0 if side > 0 else spread
    entry_cost = exit_cost
    if params.entry == ENTRY_REJECTION:
        entry_cost = spread - exit_cost
    plan.zone_id = candidate.zone_id
    plan.side = side
    plan.n_touches = candidate.n_touches
    plan.is_market = params.entry == ENTRY_REJECTION
    plan.price = round_to(level + entry_cost, tick)
    beyond = params.stop_buffer * context.atr.value + spread
    plan.stop = round_to(candidate.far - side * beyond + exit_cost, tick)
    plan.eq, plan.target = targets(params, context, side, spread, tick)
    plan.far = candidate.far
    plan.second = round_to(candidate.mid + exit_cost, tick)
    plan.reward = (plan.eq - plan.price) / (plan.price - plan.stop)
    plan.spread = spread
    plan.n_buckets = context.n_buckets
    _split_risk(params, plan)


@kernel
def is_gone_through(plan: Any, bar: Any) -> bool:
    """Return whether a bar opened beyond the zone of a plan."""
    return bool(plan.side * (plan.far - bar.open) > 0.0)


@kernel
def hits_stop(plan: Any, bar: Any, spread: float) -> bool:
    """Return whether a bar reaches the stop of a plan."""
    return bool(bar.low <= plan.stop) if plan.side > 0 else bool(bar.high + spread >= plan.stop)


@kernel
def reaches(plan: Any, bar: Any, spread: float, tick: float) -> bool:
    """Return whether a bar trades through the limit of a plan by a tick."""
    if plan.side > 0:
        return bool(bar.low + spread <= plan.price - 0.5 * tick)
    return bool(bar.high >= plan.price + 0.5 * tick)


@kernel
def earned(idea: Any, exit_price: float) -> float:
    """Return what the first tranche earned per price unit x units: the part taken, and the rest at `exit_price`."""
    plan = idea.plan
    by_part = idea.taken * (plan.eq - idea.entry_price)
    return float(plan.side * (by_part + idea.units * (exit_price - idea.entry_price)))
