"""Turn the state of baskets into intents: rest levels, move targets, close, halve, withdraw.

Levels rest as limit orders with the hard stop of the whole grid and the target of the basket as it will be when they
fill. Positions already open are moved to the new target at the close of the bar that filled a deeper level, and once a
day, when swap has been booked. A level pulled by a blackout rests again when it is over; one that price has passed
waits until price is back.
"""

from typing import Any, Final

import numpy as np

from tradesentry.apps.smgrid.baskets import drop_plan, end_basket
from tradesentry.apps.smgrid.helpers import floating, held_target, is_gone, level_target, on_grid
from tradesentry.apps.smgrid.layout import Mark, Phase
from tradesentry.core.domain.orders import ExitReason, SizeRule
from tradesentry.core.execution.risk_manager import floor_to
from tradesentry.core.strategy.intents import LIMIT, cancel, close, enter, modify
from tradesentry.core.utils.kernel import kernel

_BY_STRATEGY: Final = int(ExitReason.STRATEGY)
_BY_TARGET: Final = int(ExitReason.TAKE_PROFIT)
_BY_TIME: Final = int(ExitReason.TIME)
_UNITS: Final = int(SizeRule.UNITS)
_WAITING: Final = int(Mark.WAITING)
_RESTING: Final = int(Mark.RESTING)
_SPENT: Final = int(Mark.SPENT)
_CLOSING: Final = int(Phase.CLOSING)
_HALF: Final = 0.5


@kernel
def cancel_levels(basket: Any, held: Any, intents: Any, n: int) -> int:
    """Cancel what still rests of a basket; return the new count of intents."""
    if held.orders != 0:
        n = cancel(intents, n, 0)
        intents[n - 1].basket = basket.id
    return n


@kernel
def withdraw(basket: Any, held: Any, intents: Any, n: int) -> int:
    """Take back a grid that has not filled; return the new count of intents."""
    n = cancel_levels(basket, held, intents, n)
    drop_plan(basket)
    return n


@kernel
def _leave(basket: Any, held: Any, intents: Any, n: int, reason: int) -> int:
    """Close everything at the next open and cancel the rest."""
    n = cancel_levels(basket, held, intents, n)
    if held.n == 0:
        end_basket(basket, False)
        return n
    n = close(intents, n, 0, 0.0, reason)
    intents[n - 1].basket = basket.id
    basket.phase = _CLOSING
    return n


@kernel
def _is_near(params: Any, basket: Any, price: float, present: float) -> bool:
    """Return whether a level is near enough to rest, where that matters."""
    return bool(np.isnan(params.activation) or abs(present - price) <= params.activation * basket.atr)


@kernel
def place_levels(params: Any, basket: Any, side: int, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Rest the levels that may and do not; return the new count of intents."""
    present = bar.close + view.last_spread if side > 0 else bar.close
    for i in range(basket.n):
        price = basket.prices[i]
        if basket.marks[i] != _WAITING or not _is_near(params, basket, price, present):
            continue
        if not side * (present - price) > 0.5 * view.tick:
            continue
        target = on_grid(level_target(params, basket, side, i + 1, view.price_unit_value), side, view.tick)
        n = enter(intents, n, LIMIT, side, price, basket.stop, target, basket.units[i])
        intent = intents[n - 1]
        intent.size_rule = _UNITS
        intent.basket = basket.id
        intent.tag = i + 1
        intent.cause[0] = basket.zone.id
        intent.cause[1] = basket.zone.kind
        basket.marks[i] = _RESTING
    return n


@kernel
def _move_targets(basket: Any, held: Any, side: int, exit_price: float, view: Any, intents: Any, n: int) -> int:
    """Move every open position of a basket to its target where that changed; leave when price is past it already.

    Past its time stop a basket waits for its break-even, or for the next tick where price is past that.
    """
    target = on_grid(held_target(basket, held, side, view.price_unit_value), side, view.tick)
    if not side * (target - exit_price) > 0.5 * view.tick:
        if not basket.is_free:
            return _leave(basket, held, intents, n, _BY_TARGET)
        target = on_grid(exit_price + side * view.tick, side, view.tick)
    basket.target = target
    basket.fx_day = view.clock.fx_day
    basket.held_levels = held.levels
    for i in range(view.n_positions):
        position = view.positions[i]
        if position.basket == basket.id and not abs(position.take_profit - target) < 0.5 * view.tick:
            n = modify(intents, n, position.id, np.nan, target)
    return n


@kernel
def _halve(basket: Any, view: Any, intents: Any, n: int) -> int:
    """Close half of every open position of a basket; a level too small to halve is closed."""
    basket.is_halved = True
    for i in range(view.n_positions):
        position = view.positions[i]
        if position.basket != basket.id:
            continue
        kept = floor_to(_HALF * position.units, view.unit_step)
        if kept < view.unit_min:
            kept = 0.0
            basket.marks[position.tag - 1] = _SPENT
        n = close(intents, n, position.id, kept, _BY_STRATEGY)
    return n


@kernel
def _spend_rest(basket: Any) -> None:
    """Let no further level of a basket rest."""
    for i in range(basket.n):
        if basket.marks[i] == _WAITING or basket.marks[i] == _RESTING:
            basket.marks[i] = _SPENT


@kernel
def _is_broken_against(params: Any, context: Any, basket: Any, side: int) -> bool:
    """Return whether a basket is to be halved: half filled or more, and H1 structure broke against it on this bar."""
    if not params.deleverage or basket.is_halved or 2 * basket.n_filled < basket.n:
        return False
    return bool(context.bos == -side or context.choch == -side)


@kernel
def is_idle(params: Any, context: Any, basket: Any, side: int, view: Any) -> bool:
    """Return whether `manage_held` would do nothing on a bar that changed nothing in the book."""
    if basket.is_over or basket.is_free or params.recycle or basket.fx_day != view.clock.fx_day:
        return False
    if view.bar_index - basket.first_bar + 1 >= params.time_stop or (basket.n_waiting > 0 and not view.is_blocked):
        return False
    return bool(not _is_broken_against(params, context, basket, side))


@kernel
def manage_held(
    params: Any, context: Any, basket: Any, held: Any, side: int, bar: Any, view: Any, intents: Any, n: int
) -> int:
    """Decide on a basket that has filled: leave, halve, move its targets, rest its levels.

    Args:
        params: Parameters of smgrid.
        context: `zone_context.STATE`.
        basket: BASKET, followed up to this bar.
        held: HELD of it.
        side: +1 or -1.
        bar: Closed bar.
        view: VIEW.
        intents: INTENT array.
        n: Intents written so far.

    Returns:
        The new count of intents.
    """
    if basket.is_over:
        return _leave(basket, held, intents, n, _BY_STRATEGY)
    if held.n == 0 and is_gone(params, context, basket):
        return _leave(basket, held, intents, n, _BY_STRATEGY)
    exit_price = bar.close if side > 0 else bar.close + view.last_spread
    if view.bar_index - basket.first_bar + 1 >= params.time_stop:
        is_winning = held.n > 0 and floating(basket, held, side, exit_price, view.price_unit_value) >= 0.0
        if not (params.time_stop_to_break_even and is_winning):
            return _leave(basket, held, intents, n, _BY_TIME)
        if not basket.is_free:
            n = cancel_levels(basket, held, intents, n)
            _spend_rest(basket)
            basket.is_free = True
    if _is_broken_against(params, context, basket, side):
        n = _halve(basket, view, intents, n)
    has_moved = basket.held_levels != held.levels or basket.fx_day != view.clock.fx_day or basket.is_free
    if held.n > 0 and has_moved and (basket.is_free or not params.recycle):
        n = _move_targets(basket, held, side, exit_price, view, intents, n)
    if view.is_blocked or basket.phase == _CLOSING:
        return n
    return place_levels(params, basket, side, bar, view, intents, n)
