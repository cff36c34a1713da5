"""OANDA's commands: the body of each request, and what its reply means.

The reply's transactions decide, its status only says where to look. Anything that fits no rule is `Unknown`.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from tradesentry.core.broker.base_broker import (
    Accepted,
    OrderReport,
    OrderRequest,
    Outcome,
    RefusalClass,
    Refused,
    Rounding,
    Unknown,
)
from tradesentry.core.broker.oanda_client import Reply
from tradesentry.core.broker.oanda_schema import (
    ClientExtensions,
    CloseTradeBody,
    LimitOrderRequest,
    MarketOrderRequest,
    OrderBody,
    StopLossDetails,
    StopOrderRequest,
    TakeProfitDetails,
    TradeOrdersBody,
)
from tradesentry.core.domain.clock import format_time
from tradesentry.core.domain.errors import BrokerError, UsageError
from tradesentry.core.domain.events import BrokerEvent, EventKind
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.domain.money import ZERO, decimal_of, price_text, units_text
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.domain.venue import VenueInstrument

GONE: Final = frozenset(
    ("ORDER_DOESNT_EXIST", "NO_SUCH_ORDER", "TRADE_DOESNT_EXIST", "NO_SUCH_TRADE", "CLOSEOUT_POSITION_DOESNT_EXIST")
)
BACK_OFF: Final = frozenset(("MARKET_HALTED", "INSTRUMENT_BID_HALTED", "INSTRUMENT_ASK_HALTED", "RATE_LIMITED"))
HALT: Final = frozenset(
    ("ACCOUNT_LOCKED", "ACCOUNT_ORDER_CREATION_LOCKED", "ACCOUNT_NOT_ACTIVE", "ACCOUNT_NOT_TRADEABLE")
)


def _price(item: VenueInstrument, price: float | None) -> str | None:
    return None if price is None else price_text(price, tick=item.instrument.tick, digits=item.price_digits)


def order_body(item: VenueInstrument, request: OrderRequest) -> dict[str, Any]:
    """Return the body that places `request`, or replaces another order by it.

    Args:
        item: The instrument.
        request: Prepared: rounded, with a stop.
    """
    stop = _price(item, request.stop_loss)
    if stop is None:
        raise UsageError(f"{request.client_order_id} has no stop. Prepare an order before its body is made.")
    target, bound = _price(item, request.take_profit), _price(item, request.price_bound)
    ours = ClientExtensions(id=request.client_order_id)
    shared: dict[str, Any] = {
        "instrument": item.venue_name,
        "units": units_text(request.side * request.units, digits=item.units_digits),
        "client_extensions": ours,
        "trade_client_extensions": ours,
        "stop_loss_on_fill": StopLossDetails(price=stop),
        "take_profit_on_fill": None if target is None else TakeProfitDetails(price=target),
    }
    if request.type is OrderType.MARKET:
        tif = "IOC" if request.allow_partial else "FOK"
        return OrderBody(order=MarketOrderRequest(**shared, time_in_force=tif, price_bound=bound)).body()
    expires = request.expires_ts_ns
    shared |= {"price": _price(item, request.price), "time_in_force": "GTD" if expires else "GTC"}
    shared["gtd_time"] = format_time(expires) if expires else None
    if request.type is OrderType.LIMIT:
        return OrderBody(order=LimitOrderRequest(**shared)).body()
    return OrderBody(order=StopOrderRequest(**shared, price_bound=bound)).body()


def close_body(item: VenueInstrument, units: Decimal | None) -> dict[str, Any]:
    """Return the body that closes `units` of a trade, all when None."""
    return CloseTradeBody(units="ALL" if units is None else units_text(units, digits=item.units_digits)).body()


def trade_orders_body(item: VenueInstrument, stop: float | None, target: float | None) -> dict[str, Any]:
    """Return the body that sets stop and target; None is left out, which leaves it as it is."""
    stop_text, target_text = _price(item, stop), _price(item, target)
    return TradeOrdersBody(
        stop_loss=None if stop_text is None else StopLossDetails(price=stop_text),
        take_profit=None if target_text is None else TakeProfitDetails(price=target_text),
    ).body()


def refusal_class(code: str) -> RefusalClass:
    """Return what may follow a refusal with that reason."""
    for codes, kind in ((GONE, RefusalClass.GONE), (BACK_OFF, RefusalClass.BACK_OFF), (HALT, RefusalClass.HALT)):
        if code in codes:
            return kind
    return RefusalClass.FINAL


def _transactions(body: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found = [(name, said) for name, said in body.items() if name.endswith("Transaction") and isinstance(said, dict)]
    return sorted(found, key=lambda pair: int(pair[1].get("id", 0)))


def _report(request: OrderRequest, events: tuple[BrokerEvent, ...]) -> OrderReport | None:
    """Return the new order as the transactions of the reply show it."""
    created = next((event for event in events if event.kind is EventKind.ORDER_ACCEPTED), None)
    if created is None:
        return None
    fill = next((event.payload for event in events if event.kind is EventKind.ORDER_FILLED), None)
    opened = (fill or {}).get("tradeOpened") or {}
    filled = ZERO if fill is None else abs(decimal_of(fill.get("units", 0)))
    is_ended = any(event.kind is EventKind.ORDER_CANCELED and _is_about(event, created) for event in events)
    status = OrderStatus.CANCELED if is_ended else OrderStatus.ACCEPTED
    if filled > ZERO and not is_ended:
        status = OrderStatus.FILLED if filled >= request.units else OrderStatus.PARTLY_FILLED
    return OrderReport(
        venue_order_id=str(created.seq),
        client_order_id=request.client_order_id,
        symbol=request.symbol,
        side=request.side,
        type=request.type,
        units=request.units,
        filled_units=filled,
        status=status,
        price=request.price,
        stop_loss=request.stop_loss,
        take_profit=request.take_profit,
        expires_ts_ns=request.expires_ts_ns,
        average_price=None if fill is None else float(fill["price"]),
        trade_ref=None if "tradeID" not in opened else str(opened["tradeID"]),
        replaces=created.payload.get("replacesOrderID"),
    )


def _is_about(event: BrokerEvent, created: BrokerEvent) -> bool:
    return str(event.payload.get("orderID")) == str(created.seq)


def _is_foreign(said: Mapping[str, Any], client_order_id: str) -> bool:
    """Say whether a transaction of a reply is about an order of another id: the answer to somebody else's request."""
    shown = (said.get("clientExtensions") or {}).get("id")
    return shown is not None and client_order_id != "" and str(shown) != client_order_id


def outcome_of(
    reply: Reply,
    read: Callable[[Mapping[str, Any]], BrokerEvent],
    *,
    request: OrderRequest | None,
    rounded: tuple[Rounding, ...],
    now_ns: int,
) -> Outcome:
    """Return what a reply means.

    Args:
        reply: Any but 5xx.
        read: Makes an event of a transaction.
        request: The entry that was placed or that replaces another; None for other commands.
        rounded: To be reported.
        now_ns: For `Unknown`.
    """
    body = reply.body
    try:
        named = _transactions(body)
        events = tuple(read(said) for _, said in named)
    except (BrokerError, ValueError):
        return Unknown("unreadable_reply", now_ns)
    if request is not None and any(_is_foreign(said, request.client_order_id) for _, said in named):
        return Unknown("foreign_reply", now_ns)
    if reply.status in (200, 201):
        order = None if request is None else _report(request, events)
        if order is not None and order.status is OrderStatus.CANCELED and order.filled_units == ZERO:
            ended = next(
                e
                for e in events
                if e.kind is EventKind.ORDER_CANCELED and str(e.payload["orderID"]) == order.venue_order_id
            )
            code = str(ended.payload.get("reason", "CANCELED"))
            return Refused(code, f"OANDA took the order and canceled it at once: {code}.", refusal_class(code), events)
        return Accepted(order, events, rounded) if events else Unknown("unreadable_reply", now_ns)
    rejects = [said for name, said in named if name.endswith("RejectTransaction")]
    code = str(rejects[0].get("rejectReason", "")) if rejects else ""
    code = code or str(body.get("errorCode", "")) or f"STATUS_{reply.status}"
    text = str(body.get("errorMessage", "")) or f"OANDA refused: {code}."
    if reply.status in (400, 404, 405):
        kind = RefusalClass.GONE if reply.status == 404 and not rejects else refusal_class(code)
        return Refused(code, text, kind, events)
    if reply.status in (401, 403):
        return Refused(code, f"{text} Check token and account.", RefusalClass.HALT)
    if reply.status == 429:
        return Refused("RATE_LIMITED", "OANDA refused: too many requests.", RefusalClass.BACK_OFF)
    return Unknown(f"status_{reply.status}", now_ns)
