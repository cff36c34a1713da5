"""Write intents from a `step` kernel: each call fills one record of `intents` and returns the new count.

A record is blanked first, so nothing of an earlier bar survives: no price is NaN-free by accident, no exit rule is
inherited. Fields beyond the arguments (exits, basket, group, score, cause, quota) are set on `intents[n - 1]`
afterwards.

The array has one row more than a strategy may write. When all others are taken, every further intent goes to that
spare row and the count stays at the length of the array: nothing is written past it, and `decide` ends the run with
FULL_INTENTS.
"""

import math
from typing import Any

from tradesentry.core.domain.orders import Action, OrderType, SizeRule
from tradesentry.core.utils.kernel import kernel

ENTER = int(Action.ENTER)
CANCEL = int(Action.CANCEL)
CLOSE = int(Action.CLOSE)
MODIFY = int(Action.MODIFY)
MARKET_ORDER = int(OrderType.MARKET)
LIMIT = int(OrderType.LIMIT)
STOP = int(OrderType.STOP)
RISK = int(SizeRule.RISK)


@kernel
def _blank(intent: Any, action: int) -> None:
    intent.action = action
    intent.type = MARKET_ORDER
    intent.side = 0
    intent.price = math.nan
    intent.stop_loss = math.nan
    intent.take_profit = math.nan
    intent.size_rule = RISK
    intent["size"] = 0.0
    intent.expiry_ns = 0
    intent.basket = 0
    intent.group = 0
    intent.skip_if_both = False
    intent.target_id = 0
    intent.tag = 0
    intent.score = 0.0
    for i in range(intent.cause.shape[0]):
        intent.cause[i] = 0
    intent.reason = 0
    intent.quota_key = 0
    intent.quota_max = 0
    exits = intent.exits
    exits.be_trigger_r = 0.0
    exits.be_offset = 0.0
    exits.trail_mode = 0
    exits.trail_start_r = 0.0
    exits.trail_distance = 0.0
    exits.trail_bars = 0
    for i in range(exits.partial_r.shape[0]):
        exits.partial_r[i] = 0.0
        exits.partial_fraction[i] = 0.0
    exits.exit_ns = 0
    exits.max_bars = 0
    exits.max_spread = 0.0
    intent.units = 0.0
    intent.risk_money = 0.0
    intent.signal_price = math.nan


@kernel
def _row(intents: Any, n: int) -> int:
    """Return the row for one more intent: `n`, or the spare last one when the array is full."""
    return int(min(n, intents.shape[0] - 1))


@kernel
def enter(
    intents: Any, n: int, order_type: int, side: int, price: float, stop_loss: float, take_profit: float, risk: float
) -> int:
    """Ask for an entry sized by risk.

    Args:
        intents: INTENT array.
        n: Intents written so far on this bar.
        order_type: OrderType; a MARKET order ignores `price`.
        side: 1 buy, -1 sell.
        price: Limit or stop price.
        stop_loss: Price of the stop; every entry has one.
        take_profit: Price of the target, NaN for none.
        risk: Fraction of equity lost at the stop.
    """
    row = _row(intents, n)
    intent = intents[row]
    _blank(intent, ENTER)
    intent.type = order_type
    intent.side = side
    intent.price = price
    intent.stop_loss = stop_loss
    intent.take_profit = take_profit
    intent["size"] = risk
    return row + 1


@kernel
def close(intents: Any, n: int, target_id: int, remaining_units: float, reason: int) -> int:
    """Ask to reduce position `target_id` (0: all of the market) to `remaining_units` at the next open."""
    row = _row(intents, n)
    intent = intents[row]
    _blank(intent, CLOSE)
    intent.target_id = target_id
    intent["size"] = remaining_units
    intent.reason = reason
    return row + 1


@kernel
def cancel(intents: Any, n: int, target_id: int) -> int:
    """Ask to cancel resting order `target_id` (0: all of the market) at once."""
    row = _row(intents, n)
    intent = intents[row]
    _blank(intent, CANCEL)
    intent.target_id = target_id
    return row + 1


@kernel
def modify(intents: Any, n: int, target_id: int, stop_loss: float, take_profit: float) -> int:
    """Ask to move stop and target of a position or order; NaN leaves a price as it is. Stops only tighten."""
    row = _row(intents, n)
    intent = intents[row]
    _blank(intent, MODIFY)
    intent.target_id = target_id
    intent.stop_loss = stop_loss
    intent.take_profit = take_profit
    return row + 1
