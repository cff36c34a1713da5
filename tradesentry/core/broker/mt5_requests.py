"""Write the requests that `order_send` takes: one function for each thing that can be asked of a terminal.

Pure: numbers come in as they are to be sent. Market orders carry a price and a deviation, which count on instant
execution and are ignored on market execution.
"""

import math
from decimal import Decimal
from typing import Any, Final, TypeAlias

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.mt5_messages import Symbol, magic_of
from tradesentry.core.domain.orders import OrderType, Side

Body: TypeAlias = dict[str, Any]
PENDING: Final = {
    (OrderType.LIMIT, Side.BUY): mt5.ORDER_TYPE_BUY_LIMIT,
    (OrderType.LIMIT, Side.SELL): mt5.ORDER_TYPE_SELL_LIMIT,
    (OrderType.STOP, Side.BUY): mt5.ORDER_TYPE_BUY_STOP,
    (OrderType.STOP, Side.SELL): mt5.ORDER_TYPE_SELL_STOP,
}
MARKET: Final = {Side.BUY: mt5.ORDER_TYPE_BUY, Side.SELL: mt5.ORDER_TYPE_SELL}


def entry_body(
    symbol: Symbol, request: OrderRequest, *, price: float, expires_s: int | None, deviation_points: int
) -> Body:
    """Return the request that places an entry.

    Args:
        symbol: What is traded.
        request: Prepared: rounded, with a stop.
        price: Of a pending order, or the present quote.
        expires_s: Server time, seconds; None lasts until it is canceled.
        deviation_points: Slippage allowed where `request` names no bound.
    """
    is_market = request.type is OrderType.MARKET
    body: Body = {
        "action": mt5.TRADE_ACTION_DEAL if is_market else mt5.TRADE_ACTION_PENDING,
        "symbol": symbol.name,
        "volume": float(symbol.volume(request.units)),
        "type": MARKET[request.side] if is_market else PENDING[request.type, request.side],
        "price": price,
        **_protection(request.stop_loss, request.take_profit),
        "magic": magic_of(request.client_order_id),
        "comment": request.client_order_id,
        **_expiry(expires_s),
    }
    if is_market:
        body["deviation"] = deviation_points
        if request.price_bound is not None:
            distance = request.side * (request.price_bound - price) / symbol.point
            body["deviation"] = max(0, math.floor(distance + 1e-6))
    return body


def change_body(symbol: Symbol, ticket: int, request: OrderRequest, *, expires_s: int | None) -> Body:
    """Return the request that gives a pending order new terms, all of them."""
    return {
        "action": mt5.TRADE_ACTION_MODIFY,
        "order": ticket,
        "symbol": symbol.name,
        "price": request.price,
        **_protection(request.stop_loss, request.take_profit),
        **_expiry(expires_s),
    }


def remove_body(symbol: Symbol, ticket: int) -> Body:
    """Return the request that takes a pending order back."""
    return {"action": mt5.TRADE_ACTION_REMOVE, "order": ticket, "symbol": symbol.name}


def close_body(
    symbol: Symbol, ticket: int, side: Side, volume: Decimal, *, price: float, client: str | None, deviation_points: int
) -> Body:
    """Return the request that closes `volume` of a position.

    Args:
        symbol: What is traded.
        ticket: Of the position; without it a netting account would be right and a hedging one opened the other way.
        side: Of the position.
        volume: Lots.
        price: Present closing price.
        client: Our id of the closing order.
        deviation_points: Slippage allowed on instant execution.
    """
    return {
        "action": mt5.TRADE_ACTION_DEAL,
        "symbol": symbol.name,
        "position": ticket,
        "volume": float(volume),
        "type": MARKET[Side(-side)],
        "price": price,
        "deviation": deviation_points,
        "magic": magic_of(client),
        "comment": client or "",
        **_expiry(None),
    }


def protection_body(symbol: Symbol, ticket: int, stop_loss: float | None, take_profit: float | None) -> Body:
    """Return the request that sets stop and target of a position; None removes one."""
    return {
        "action": mt5.TRADE_ACTION_SLTP,
        "symbol": symbol.name,
        "position": ticket,
        **_protection(stop_loss, take_profit),
    }


def _protection(stop_loss: float | None, take_profit: float | None) -> Body:
    return {"sl": stop_loss or 0.0, "tp": take_profit or 0.0}


def _expiry(expires_s: int | None) -> Body:
    if expires_s is None:
        return {"type_time": mt5.ORDER_TIME_GTC}
    return {"type_time": mt5.ORDER_TIME_SPECIFIED, "expiration": expires_s}
