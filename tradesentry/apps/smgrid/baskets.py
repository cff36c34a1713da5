"""Follow a basket through a bar: which levels filled, whether it has ended, and by what.

The book knows positions and orders by basket and level; a level that neither rests nor is held was filled and left,
refused, or pulled by a blackout. Separate from the decisions because those are made on what is found here. A basket
ends at its stop when price reached it, at its target when price reached only that, and otherwise because the account or
the calendar closed it; only a stop locks its side.
"""

from typing import Any, Final

import numpy as np

from tradesentry.apps.smgrid.helpers import is_wide
from tradesentry.apps.smgrid.layout import Mark, Phase, ZoneKind
from tradesentry.core.utils.kernel import copy_record, kernel

_WAITING: Final = int(Mark.WAITING)
_RESTING: Final = int(Mark.RESTING)
_FILLED: Final = int(Mark.FILLED)
_SPENT: Final = int(Mark.SPENT)
_FLAT: Final = int(Phase.FLAT)
_HELD: Final = int(Phase.HELD)
_CLOSING: Final = int(Phase.CLOSING)
_UNFILLED: Final = int(Phase.RESTING)
_NO_ZONE: Final = int(ZoneKind.NONE)
_HOUR_NS: Final = 3_600_000_000_000
RETRY_BARS: Final = 8
"""Bars without a new plan after the account refused part of one."""


@kernel
def look(view: Any, basket: Any, held: Any) -> None:
    """Write into `held` what the view shows of a basket."""
    held.n = 0
    held.units = 0.0
    held.initial_units = 0.0
    held.cost = 0.0
    held.commission = 0.0
    held.swap = 0.0
    held.levels = 0
    held.orders = 0
    for i in range(view.n_orders):
        order = view.orders[i]
        if order.basket == basket.id:
            held.orders |= 1 << (order.tag - 1)
    for i in range(view.n_positions):
        position = view.positions[i]
        if position.basket == basket.id:
            held.n += 1
            held.units += position.units
            held.initial_units += position.initial_units
            held.cost += position.units * position.entry_price
            held.commission += position.commission
            held.swap += position.swap
            held.levels |= 1 << (position.tag - 1)


@kernel
def reaches_stop(basket: Any, side: int, bar: Any, view: Any) -> bool:
    """Return whether the bar came to the hard stop."""
    worst = bar.low if side > 0 else bar.high + view.last_spread
    return bool(side * (worst - basket.stop) <= 0.5 * view.tick)


@kernel
def reaches_target(basket: Any, side: int, bar: Any, view: Any) -> bool:
    """Return whether the bar came to the target that the open positions carried; False where they had none."""
    best = bar.high if side > 0 else bar.low + view.last_spread
    return bool(side * (best - basket.target) >= -0.5 * view.tick)


@kernel
def _reaches_level(price: float, side: int, bar: Any, view: Any) -> bool:
    """Return whether the bar traded through a limit by a tick."""
    best = bar.low + view.last_spread if side > 0 else bar.high
    return bool(side * (price - best) >= 0.5 * view.tick)


@kernel
def _mark_levels(params: Any, basket: Any, held: Any, side: int, bar: Any, view: Any) -> tuple[int, int]:
    """Bring the marks of all levels up to date; return how many left after a fill and how many were refused."""
    n_left = 0
    n_refused = 0
    spent = _WAITING if params.recycle else _SPENT
    for i in range(basket.n):
        bit = 1 << i
        mark = basket.marks[i]
        if held.levels & bit != 0:
            basket.marks[i] = _FILLED
            basket.n_filled = max(basket.n_filled, i + 1)
        elif mark == _FILLED:
            basket.marks[i] = spent
            n_left += 1
        elif mark == _RESTING and held.orders & bit == 0:
            if _reaches_level(basket.prices[i], side, bar, view):
                basket.marks[i] = spent
                basket.n_filled = max(basket.n_filled, i + 1)
                n_left += 1
            elif view.is_blocked or is_wide(params, view):
                basket.marks[i] = _WAITING
            else:
                basket.marks[i] = _SPENT
                n_refused += 1
    return n_left, n_refused


@kernel
def _lock(params: Any, context: Any, basket: Any, now_ns: int) -> None:
    """Keep a side out after a stop, until a new zone or for `lock` hours."""
    basket.lock_until_ns = now_ns + params.lock * _HOUR_NS
    basket.lock_base = context.bases.zones.last_id
    basket.lock_block = context.blocks.zones.last_id
    basket.lock_resets = context.midpoint.n_resets


@kernel
def end_basket(basket: Any, is_lost: bool) -> None:
    """End a basket that has filled; its zone counts as used."""
    copy_record(basket.used, basket.zone)
    basket.is_lost = is_lost
    basket.phase = _FLAT
    basket.candidate.kind = _NO_ZONE


@kernel
def _follow_fills(params: Any, context: Any, basket: Any, held: Any, side: int, bar: Any, view: Any) -> None:
    """Take what left a basket on this bar: it ends, or what remains has to follow."""
    is_stopped = reaches_stop(basket, side, bar, view)
    if params.recycle and not is_stopped and not (view.is_blocked and held.n == 0):
        return
    if held.n > 0:
        basket.is_over = True
        return
    exit_open = bar.open if side > 0 else bar.open + view.last_spread
    is_jumped = basket.phase == _UNFILLED and side * (exit_open - basket.stop) <= 0.5 * view.tick
    is_paid = reaches_target(basket, side, bar, view)
    # Limits beyond which the bar opened at the stop were cancelled, not filled: nothing was lost.
    is_lost = not view.is_blocked and not is_jumped and (is_stopped or not is_paid)
    if is_lost:
        _lock(params, context, basket, bar.close_ns)
    end_basket(basket, is_lost)


@kernel
def follow(params: Any, context: Any, basket: Any, held: Any, side: int, bar: Any, view: Any) -> None:
    """Take one closed bar in a basket that rests, is held or is closing.

    Args:
        params: Parameters of smgrid.
        context: `zone_context.STATE`.
        basket: BASKET; phase and marks are brought up to date.
        held: HELD, written.
        side: +1 or -1.
        bar: Closed bar.
        view: VIEW.
    """
    look(view, basket, held)
    if basket.phase == _CLOSING:
        if held.n == 0:
            end_basket(basket, False)
        return
    n_left, n_refused = _mark_levels(params, basket, held, side, bar, view)
    has_filled = held.n > 0 or n_left > 0
    if basket.phase == _UNFILLED:
        if not has_filled:
            if n_refused > 0:
                # The account has no room for the whole grid: it is not placed, and not made smaller either.
                basket.retry_bar = view.bar_index + RETRY_BARS
                basket.is_over = True
            return
        # It may have been about to give way to the other side: price was faster.
        basket.is_over = False
    if n_left > 0:
        _follow_fills(params, context, basket, held, side, bar, view)
        if basket.phase == _FLAT:
            return
    if basket.phase == _UNFILLED:
        basket.phase = _HELD
        basket.first_bar = view.bar_index
    if held.n > 0 and not basket.is_halved:
        basket.fee = 2.0 * held.commission / held.initial_units


@kernel
def drop_plan(basket: Any) -> None:
    """Forget a grid that has not filled."""
    basket.phase = _FLAT
    basket.target = np.nan


@kernel
def count_levels(state: Any) -> None:
    """Count what rests and what is held, so that the next bar can tell at once whether anything happened."""
    state.n_resting = 0
    state.n_open = 0
    for index in range(2):
        basket = state.baskets[index]
        basket.n_waiting = 0
        if basket.phase == _FLAT:
            continue
        for i in range(basket.n):
            mark = basket.marks[i]
            if mark == _WAITING:
                basket.n_waiting += 1
            elif mark == _RESTING:
                state.n_resting += 1
            elif mark == _FILLED:
                state.n_open += 1


@kernel
def is_unchanged(state: Any, view: Any) -> bool:
    """Return whether no level was filled, left or pulled since the last bar: a fill takes an order away."""
    return bool(view.n_orders == state.n_resting and view.n_positions == state.n_open)
