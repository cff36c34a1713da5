"""Write a paper account's transactions, orders and trades the way OANDA does.

The other half of `oanda_messages`, used by the fake alone. Ids are the numbers of the paper log, so both logs run side
by side.
"""

from decimal import Decimal
from typing import Any

from tradesentry.core.broker.paper_ledger import PaperLedger, PaperOrder, Transaction
from tradesentry.core.domain.clock import format_time
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.domain.money import money_text, price_text
from tradesentry.core.domain.venue import OpenTrade, VenueInstrument

STATES = {OrderStatus.ACCEPTED: "PENDING", OrderStatus.FILLED: "FILLED", OrderStatus.PARTLY_FILLED: "FILLED"}


def _price(item: VenueInstrument, price: float) -> str:
    return price_text(price, tick=item.instrument.tick, digits=item.price_digits)


def _units(units: Decimal | str, side: int) -> str:
    number = side * Decimal(units)
    return f"{number.quantize(Decimal(1)) if number == number.to_integral_value() else number:f}"


def _extensions(client: str | None, name: str = "clientExtensions") -> dict[str, Any]:
    return {name: {"id": client}} if client else {}


def _terms(item: VenueInstrument, said: Transaction) -> dict[str, Any]:
    """Return the fields that an order transaction shares with its order."""
    terms: dict[str, Any] = {
        "instrument": item.venue_name,
        "units": _units(said["units"], said["side"]),
        "positionFill": "DEFAULT",
        **_extensions(said["client_order_id"]),
        **_extensions(said["client_order_id"], "tradeClientExtensions"),
    }
    is_market = said["type"] == "market"
    terms["timeInForce"] = "FOK" if is_market else said.get("tif", "GTC")
    for name, key in (("price", "price"), ("priceBound", "price_bound")):
        if said.get(key) is not None:
            terms[name] = _price(item, said[key])
    if said.get("expires_ts_ns"):
        terms["gtdTime"] = format_time(said["expires_ts_ns"])
    for name, key in (("stopLossOnFill", "stop_loss"), ("takeProfitOnFill", "take_profit")):
        if said.get(key) is not None:
            terms[name] = {"price": _price(item, said[key]), "timeInForce": "GTC"}
    return terms


def _accepted(ledger: PaperLedger, said: Transaction) -> dict[str, Any]:
    item = ledger.instruments[said["symbol"]]
    reason = "REPLACEMENT" if said.get("replaces") else "CLIENT_ORDER"
    result = {"type": f"{said['type'].upper()}_ORDER", "reason": reason, **_terms(item, said)}
    if said.get("replaces"):
        result["replacesOrderID"] = said["replaces"]
    if said.get("trade_id"):
        result |= {"reason": "TRADE_CLOSE", "tradeClose": {"tradeID": said["trade_id"], "units": said["units"]}}
    return result


def _rejected(ledger: PaperLedger, said: Transaction) -> dict[str, Any]:
    kind = said.get("type", "market").upper()
    result = {"type": f"{kind}_ORDER_REJECT", "rejectReason": said["reason"], "reason": "CLIENT_ORDER"}
    if "symbol" in said and said["symbol"] in ledger.instruments:
        result |= _terms(ledger.instruments[said["symbol"]], said)
    return result


def _filled(ledger: PaperLedger, said: Transaction) -> dict[str, Any]:
    item = ledger.instruments[said["symbol"]]
    result: dict[str, Any] = {
        "type": "ORDER_FILL",
        "orderID": said["order_id"],
        "instrument": item.venue_name,
        "units": _units(said["units"], said["side"]),
        "price": _price(item, said["price"]),
        "reason": said["reason"],
        "pl": money_text(said["realized"]),
        "financing": "0.0000",
        "commission": money_text(said["commission"]),
        "accountBalance": money_text(Decimal(said["balance"])),
    }
    if said["client_order_id"]:
        result["clientOrderID"] = said["client_order_id"]
    part = {"tradeID": said["trade_id"], "units": result["units"], "price": result["price"]}
    if said["effect"] == "open":
        result["tradeOpened"] = part | _extensions(said["client_order_id"])
    else:
        part |= {"realizedPL": result["pl"], "financing": "0.0000"}
        result |= {"tradesClosed": [part]} if said["is_closed"] else {"tradeReduced": part}
    return result


def _ended(said: Transaction) -> dict[str, Any]:
    result = {"type": "ORDER_CANCEL", "orderID": said["order_id"], "reason": said["reason"]}
    if said.get("client_order_id") and said["kind"] != "protection":
        result["clientOrderID"] = said["client_order_id"]
    if said.get("replaced_by"):
        result["replacedByOrderID"] = said["replaced_by"]
    return result


def _protection(ledger: PaperLedger, said: Transaction) -> dict[str, Any]:
    if said["price"] is None:
        return _ended(said)
    item = list(ledger.instruments.values())[ledger.trades[said["trade_id"]].market]
    result = {
        "type": f"{said['which'].upper()}_ORDER",
        "tradeID": said["trade_id"],
        "price": _price(item, said["price"]),
        "timeInForce": "GTC",
        "triggerCondition": "DEFAULT",
        "reason": said["reason"],
    }
    if said["replaces"]:
        result["replacesOrderID"] = said["replaces"]
    return result


def _change_refused(said: Transaction) -> dict[str, Any]:
    if "trade_id" in said:
        return {"type": "STOP_LOSS_ORDER_REJECT", "tradeID": said["trade_id"], "rejectReason": said["reason"]}
    result = {"type": "ORDER_CANCEL_REJECT", "rejectReason": said["reason"]}
    for name, key in (("orderID", "order_id"), ("clientOrderID", "client_order_id")):
        if said.get(key):
            result[name] = said[key]
    return result


def transaction_json(ledger: PaperLedger, said: Transaction) -> dict[str, Any]:
    """Return one transaction in OANDA's form."""
    kind = said["kind"]
    head = {"id": str(said["seq"]), "time": format_time(said["ts_ns"]), "accountID": ledger.account, "userID": 1}
    head |= {"batchID": str(said["seq"])}
    if kind == "order_accepted":
        return head | _accepted(ledger, said)
    if kind == "order_rejected":
        return head | _rejected(ledger, said)
    if kind == "order_filled":
        return head | _filled(ledger, said)
    if kind in ("order_canceled", "order_expired"):
        return head | _ended(said)
    if kind == "protection":
        return head | _protection(ledger, said)
    if kind == "change_refused":
        return head | _change_refused(said)
    balance = {"accountBalance": money_text(Decimal(said["balance"]))}
    if kind == "swap":
        return head | {"type": "DAILY_FINANCING", "financing": money_text(Decimal(said["amount"])), **balance}
    return head | {"type": "TRANSFER_FUNDS", "amount": money_text(Decimal(said["amount"])), **balance}


def order_json(ledger: PaperLedger, order: PaperOrder) -> dict[str, Any]:
    """Return an order in OANDA's form."""
    said = ledger.transactions[int(order.order_id) - 1]
    item = ledger.instruments[order.request.symbol]
    result = {
        "id": order.order_id,
        "createTime": format_time(said["ts_ns"]),
        "state": STATES.get(order.status, "CANCELLED"),
        "type": order.request.type.name,
        **_terms(item, said),
    }
    if order.trade_id is not None:
        result |= {"tradeOpenedID": order.trade_id, "fillingTransactionID": order.trade_id}
    for name, value in (("replacesOrderID", order.replaces), ("replacedByOrderID", order.replaced_by)):
        if value is not None:
            result[name] = value
    ended = order.status in (OrderStatus.CANCELED, OrderStatus.EXPIRED)
    if ended:
        about = (row for row in ledger.transactions if row["kind"].startswith(("order_canceled", "order_expired")))
        number = next(row["seq"] for row in about if row.get("order_id") == order.order_id)
        result["cancellingTransactionID"] = str(number)
    return result


def trade_json(ledger: PaperLedger, trade: OpenTrade) -> dict[str, Any]:
    """Return an open trade in OANDA's form."""
    item, guards = ledger.instruments[trade.symbol], ledger.trades[trade.trade_id].guards
    result: dict[str, Any] = {
        "id": trade.trade_id,
        "instrument": item.venue_name,
        "price": _price(item, trade.entry_price),
        "openTime": format_time(trade.entry_ts_ns),
        "state": "OPEN",
        "initialUnits": _units(trade.initial_units, trade.side),
        "currentUnits": _units(trade.units, trade.side),
        "realizedPL": "0.0000",
        "unrealizedPL": money_text(trade.unrealized),
        "financing": "0.0000",
        **_extensions(trade.client_order_id),
    }
    for name, key, price in (
        ("stopLossOrder", "stop_loss", trade.stop_loss),
        ("takeProfitOrder", "take_profit", trade.take_profit),
    ):
        if price is not None and key in guards:
            order = {"id": guards[key], "type": key.upper(), "tradeID": trade.trade_id, "state": "PENDING"}
            result[name] = order | {"price": _price(item, price), "timeInForce": "GTC"}
    return result
