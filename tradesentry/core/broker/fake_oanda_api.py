"""What the fake OANDA answers: one function per resource, from a paper account to (status, JSON object).

Knows nothing of sockets and faults. Statuses, names of transactions in replies and their order are OANDA's; a command
is refused by a reject transaction where OANDA writes one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.fake_oanda_messages import order_json, trade_json, transaction_json
from tradesentry.core.broker.paper_ledger import Transaction, net_positions
from tradesentry.core.broker.paper_venue import PaperVenue, Refusal
from tradesentry.core.domain.clock import format_time, parse_time_ns
from tradesentry.core.domain.live_orders import TimeInForce
from tradesentry.core.domain.money import money_text, price_text
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import Quote, VenueInstrument
from tradesentry.core.market.bars import BarArray

Answer = tuple[int, dict[str, Any]]
History = Callable[[str, str, int, int], BarArray]
PAGE: Final = 1_000
TYPES: Final = {"MARKET": OrderType.MARKET, "LIMIT": OrderType.LIMIT, "STOP": OrderType.STOP}
ASSETS: Final = {"fx": "CURRENCY", "metal": "METAL"}
NOT_FOUND: Final = ("ORDER_DOESNT_EXIST", "TRADE_DOESNT_EXIST")


class BadRequest(Exception):
    """A request that OANDA would not even log."""


def price_json(item: VenueInstrument, quote: Quote) -> dict[str, Any]:
    """Return a quote as a PRICE object."""
    texts = [price_text(p, tick=item.instrument.tick, digits=item.price_digits) for p in (quote.bid, quote.ask)]
    return {
        "type": "PRICE",
        "instrument": item.venue_name,
        "time": format_time(quote.ts_ns),
        "tradeable": quote.is_tradeable,
        "status": "tradeable" if quote.is_tradeable else "non-tradeable",
        "bids": [{"price": texts[0], "liquidity": 10_000_000}],
        "asks": [{"price": texts[1], "liquidity": "10000000"}],
        "closeoutBid": texts[0],
        "closeoutAsk": texts[1],
    }


def _decimal(said: Mapping[str, Any], name: str) -> Decimal:
    value = said.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"Invalid value specified for '{name}'")
    try:
        return Decimal(value)
    except InvalidOperation as error:
        raise BadRequest(f"Invalid value specified for '{name}'") from error


def _price_of(said: Mapping[str, Any], name: str, item: VenueInstrument | None) -> float:
    price = _decimal(said, name)
    if item is not None and -int(price.as_tuple().exponent) > item.price_digits:
        raise BadRequest(f"PRICE_PRECISION_EXCEEDED in '{name}'")
    return float(price)


class OandaApi:
    """The resources of one account.

    Args:
        venue: The account.
        history: Bars by (symbol, granularity, start, end).
    """

    def __init__(self, venue: PaperVenue, history: History | None) -> None:
        self._venue, self._history = venue, history
        self.account_fields: dict[str, Any] = {}
        """Shown with the account besides its own."""
        self._by_name = {item.venue_name: item for item in venue.instruments.values()}
        self._routes: Sequence[tuple[str, str, Callable[..., Answer]]] = (
            ("GET", r"", self.account),
            ("GET", r"/summary", self.account),
            ("GET", r"/instruments", self.instruments),
            ("GET", r"/pricing", self.pricing),
            ("GET", r"/instruments/(\w+)/candles", self.candles),
            ("GET", r"/transactions/sinceid", self.since),
            ("GET", r"/transactions/(\d+)", self.transaction),
            ("GET", r"/pendingOrders", self.pending),
            ("GET", r"/orders/([^/]+)", self.order),
            ("GET", r"/openTrades", self.trades),
            ("GET", r"/trades/([^/]+)", self.trade),
            ("GET", r"/openPositions", self.positions),
            ("POST", r"/orders", self.place),
            ("PUT", r"/orders/([^/]+)/cancel", self.cancel),
            ("PUT", r"/orders/([^/]+)", self.replace),
            ("PUT", r"/trades/([^/]+)/close", self.close),
            ("PUT", r"/trades/([^/]+)/orders", self.protect),
        )

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        """Return status and object for a request; `path` is that below the account."""
        for verb, pattern, function in self._routes:
            match = re.fullmatch(pattern, path)
            if match and verb == method:
                try:
                    return function(*match.groups(), query if method == "GET" else body)
                except BadRequest as error:
                    return 400, {"errorMessage": str(error)}
        is_known = any(re.fullmatch(pattern, path) for _, pattern, _ in self._routes)
        return (405 if is_known else 404), {"errorMessage": "No such resource, or not with this method"}

    def _last(self) -> dict[str, Any]:
        return {"lastTransactionID": str(self._venue.last_seq)}

    # Reading

    def account(self, _said: Mapping[str, Any]) -> Answer:
        """GET the account."""
        state = self._venue.state()
        money = {
            "balance": state.balance,
            "NAV": state.equity,
            "unrealizedPL": state.unrealized,
            "marginUsed": state.margin_used,
            "marginAvailable": state.margin_free,
        }
        account = {"id": state.account, "currency": state.currency, "hedgingEnabled": state.is_hedging}
        account |= {name: money_text(amount) for name, amount in money.items()} | self._last()
        return 200, {"account": account | self.account_fields, **self._last()}

    def instruments(self, _said: Mapping[str, Any]) -> Answer:
        """GET the instruments."""
        return 200, {"instruments": [self._instrument(item) for item in self._by_name.values()], **self._last()}

    def _instrument(self, item: VenueInstrument) -> dict[str, Any]:
        pip_location = round(Decimal(str(item.instrument.pip)).log10())
        return {
            "name": item.venue_name,
            "type": ASSETS.get(item.instrument.kind, "CFD"),
            "displayName": item.venue_name.replace("_", "/"),
            "pipLocation": pip_location,
            "displayPrecision": item.price_digits,
            "tradeUnitsPrecision": item.units_digits,
            "minimumTradeSize": f"{item.min_units:f}",
            "maximumOrderUnits": f"{item.max_units:f}",
            "maximumPositionSize": f"{item.max_position_units or 0:f}",
            "marginRate": f"{item.instrument.margin_fraction:.6f}",
            "tags": [],
        }

    def pricing(self, said: Mapping[str, Any]) -> Answer:
        """GET prices."""
        names = said.get("instruments", "").split(",")
        if any(name not in self._by_name for name in names):
            raise BadRequest("Invalid Instrument")
        quotes = self._venue.quotes
        items = [self._by_name[name] for name in names]
        prices = [price_json(i, quotes[i.instrument.symbol]) for i in items if i.instrument.symbol in quotes]
        return 200, {"prices": prices, "time": format_time(self._venue.now_ns)}

    def candles(self, name: str, said: Mapping[str, Any]) -> Answer:
        """GET candles."""
        if self._history is None or name not in self._by_name:
            raise BadRequest("Invalid Instrument")
        item = self._by_name[name]
        span = [parse_time_ns(said[key]) for key in ("from", "to")]
        bars = self._history(item.instrument.symbol, said["granularity"], *span)
        return 200, {
            "instrument": name,
            "granularity": said["granularity"],
            "candles": [_candle(b, item) for b in bars],
        }

    def since(self, said: Mapping[str, Any]) -> Answer:
        """GET transactions after an id, at most 1,000."""
        seq = int(said.get("id", "x")) if said.get("id", "x").isdigit() else -1
        if not 0 <= seq <= self._venue.last_seq:
            return 416, {"errorMessage": "The transaction ID is out of range"}
        rows = self._venue.since(seq, limit=PAGE)
        return 200, {"transactions": [transaction_json(self._venue, row) for row in rows], **self._last()}

    def transaction(self, number: str, _said: Mapping[str, Any]) -> Answer:
        """GET one transaction."""
        if not 0 < int(number) <= self._venue.last_seq:
            return 404, {"errorMessage": "The transaction ID specified does not exist"}
        row = self._venue.transactions[int(number) - 1]
        return 200, {"transaction": transaction_json(self._venue, row), **self._last()}

    def pending(self, _said: Mapping[str, Any]) -> Answer:
        """GET resting orders."""
        return 200, {"orders": [order_json(self._venue, order) for order in self._venue.resting()], **self._last()}

    def order(self, spec: str, _said: Mapping[str, Any]) -> Answer:
        """GET an order."""
        order = self._venue.find(spec)
        if order is None:
            return 404, {"errorCode": "NO_SUCH_ORDER", "errorMessage": "The order specified does not exist"}
        return 200, {"order": order_json(self._venue, order), **self._last()}

    def trades(self, _said: Mapping[str, Any]) -> Answer:
        """GET open trades."""
        return 200, {"trades": [trade_json(self._venue, trade) for trade in self._venue.open_trades()], **self._last()}

    def trade(self, spec: str, _said: Mapping[str, Any]) -> Answer:
        """GET a trade; a closed one shows its state."""
        found = next((trade for trade in self._venue.open_trades() if trade.trade_id == spec), None)
        if found is not None:
            return 200, {"trade": trade_json(self._venue, found), **self._last()}
        if spec in self._venue.trades:
            return 200, {"trade": {"id": spec, "state": "CLOSED"}, **self._last()}
        return 404, {"errorCode": "NO_SUCH_TRADE", "errorMessage": "The trade specified does not exist"}

    def positions(self, _said: Mapping[str, Any]) -> Answer:
        """GET net positions."""
        trades = self._venue.open_trades()
        rows = []
        for position in net_positions(trades):
            item = self._venue.instruments[position.symbol]
            row: dict[str, Any] = {"instrument": item.venue_name, "unrealizedPL": money_text(position.unrealized)}
            for name, side in (("long", Side.BUY), ("short", Side.SELL)):
                own = [t for t in trades if t.symbol == position.symbol and t.side is side]
                units = sum((t.units for t in own), Decimal(0))
                row[name] = {"units": f"{side * units:f}"}
                if own:
                    average = sum(float(t.units) * t.entry_price for t in own) / float(units)
                    row[name]["averagePrice"] = f"{average:.{item.price_digits}f}"
            rows.append(row)
        return 200, {"positions": rows, **self._last()}

    # Commands

    def _request(self, said: Any) -> OrderRequest:
        if not isinstance(said, dict) or said.get("type") not in TYPES:
            raise BadRequest("Invalid value specified for 'type'")
        name = said.get("instrument")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Z0-9]+_[A-Z0-9]+", name):
            raise BadRequest("Invalid value specified for 'instrument'")
        item = self._by_name.get(name)
        units, kind = _decimal(said, "units"), TYPES[said["type"]]
        if kind is not OrderType.MARKET and "price" not in said:
            raise BadRequest("The price is missing")
        tif = said.get("timeInForce", "FOK" if kind is OrderType.MARKET else "GTC")
        stop, target = said.get("stopLossOnFill"), said.get("takeProfitOnFill")
        return OrderRequest(
            client_order_id=str((said.get("clientExtensions") or {}).get("id", "")),
            symbol=item.instrument.symbol if item else name,
            side=Side.BUY if units > 0 else Side.SELL,
            units=abs(units),
            type=kind,
            stop_loss=_price_of(stop, "price", item) if stop else None,
            take_profit=_price_of(target, "price", item) if target else None,
            price=_price_of(said, "price", item) if "price" in said else None,
            tif=TimeInForce(tif),
            expires_ts_ns=parse_time_ns(said["gtdTime"]) if tif == "GTD" else 0,
            price_bound=_price_of(said, "priceBound", item) if "priceBound" in said else None,
        )

    def _written(self, transactions: Sequence[Transaction]) -> list[dict[str, Any]]:
        return [transaction_json(self._venue, said) for said in transactions]

    def _reply(self, written: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the fields that all successful replies share, the order's own transactions under their names."""
        reply: dict[str, Any] = {}
        for said in written:
            kind = said["type"]
            name = {"ORDER_FILL": "orderFillTransaction", "ORDER_CANCEL": "orderCancelTransaction"}.get(kind)
            if kind in ("MARKET_ORDER", "LIMIT_ORDER", "STOP_ORDER"):
                name = "orderCreateTransaction"
            # A fill that closes a trade also ends the trade's other orders; those are only among the related ids.
            created = reply.get("orderCreateTransaction", {}).get("id")
            is_other = kind == "ORDER_CANCEL" and "orderFillTransaction" in reply and said["orderID"] != created
            if name is not None and not is_other:
                reply.setdefault(name, said)
        return reply | {"relatedTransactionIDs": [said["id"] for said in written], **self._last()}

    def _refused(self, refusal: Refusal, name: str, *, missing: int = 404) -> Answer:
        written = self._written(refusal.transactions)
        status = missing if refusal.code in NOT_FOUND else 400
        said = {"errorCode": refusal.code, "errorMessage": f"Refused: {refusal.code}"}
        ids = {"relatedTransactionIDs": [row["id"] for row in written], **self._last()}
        return status, {name: written[-1], **said, **ids}

    def place(self, said: Mapping[str, Any]) -> Answer:
        """POST an order."""
        result = self._venue.place(self._request(said.get("order")))
        if isinstance(result, Refusal):
            return self._refused(result, "orderRejectTransaction")
        return 201, self._reply(self._written(result))

    def replace(self, spec: str, said: Mapping[str, Any]) -> Answer:
        """PUT other terms of an order."""
        result = self._venue.replace(spec, self._request(said.get("order")))
        if isinstance(result, Refusal):
            return self._refused(result, "orderCancelRejectTransaction")
        return 201, self._reply(self._written(result))

    def cancel(self, spec: str, _said: Mapping[str, Any]) -> Answer:
        """PUT the end of an order."""
        result = self._venue.cancel(spec)
        if isinstance(result, Refusal):
            return self._refused(result, "orderCancelRejectTransaction")
        return 200, self._reply(self._written(result))

    def close(self, spec: str, said: Mapping[str, Any]) -> Answer:
        """PUT the end of a trade, or of a part."""
        wanted = said.get("units", "ALL")
        result = self._venue.close(spec, None if wanted == "ALL" else _decimal(said, "units"))
        if isinstance(result, Refusal):
            return self._refused(result, "orderRejectTransaction")
        return 200, self._reply(self._written(result))

    def protect(self, spec: str, said: Mapping[str, Any]) -> Answer:
        """PUT stop and target of a trade."""
        prices: dict[str, float | None] = {}
        for name, key in (("stopLoss", "stop_loss"), ("takeProfit", "take_profit")):
            row = said.get(name, ...)
            prices[key] = None if row is ... else float("nan") if row is None else _price_of(row, "price", None)
        result = self._venue.protect(spec, stop_loss=prices["stop_loss"], take_profit=prices["take_profit"])
        if isinstance(result, Refusal):
            return self._refused(result, "stopLossOrderRejectTransaction")
        reply: dict[str, Any] = {}
        for row in self._written(result):
            kind = "stopLoss" if row["type"] == "STOP_LOSS_ORDER" else "takeProfit"
            is_end = row["type"] == "ORDER_CANCEL"
            name = f"{kind}Order{'Cancel' if is_end else ''}Transaction"
            reply[name if name not in reply else "stopLossOrderCancelTransaction"] = row
        return 200, reply | {"relatedTransactionIDs": [str(row["seq"]) for row in result], **self._last()}


def _candle(bar: Any, item: VenueInstrument) -> dict[str, Any]:
    def side(extra: float) -> dict[str, str]:
        names = {"o": "open", "h": "high", "l": "low", "c": "close"}
        tick, digits = item.instrument.tick, item.price_digits
        return {k: price_text(float(bar[v]) + extra, tick=tick, digits=digits) for k, v in names.items()}

    told = {"time": format_time(int(bar["open_ns"])), "complete": True, "volume": int(bar["volume"])}
    return told | {"bid": side(0.0), "ask": side(float(bar["spread"]))}
