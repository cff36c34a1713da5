"""A venue of our own: one account whose fills, stops, swaps and margin are the kernels of the back-test.

Takes commands, prices and bars; answers with transactions, numbered without a gap and never changed. It knows nothing
of wires: delays and faults are `paper` (in process) and `fake_oanda` (HTTP), which are fronts over this class. Two ways
to fill: on quotes a command is executed at once at the present price; on bars (`fills_on = "bar"`) it works from the
open of the next bar, exactly as in a back-test, so that both agree to the last bit.

A market order without a fill, an expired order, an order beyond its bound are canceled with a reason. Every trade
shows its stop and target as orders of their own, which end with the trade.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Literal

import numpy as np

from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.faults import FaultKind, FaultScript, Point
from tradesentry.core.broker.paper_ledger import PaperLedger, PaperOrder, Sink, Transaction
from tradesentry.core.broker.paper_memory import PaperMemory, new_intent
from tradesentry.core.domain.events import EventKind
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.domain.money import ZERO, decimal_of, floor_to_step
from tradesentry.core.domain.orders import Action, OrderType, Side
from tradesentry.core.domain.records import BAR, INTENT
from tradesentry.core.domain.venue import Quote, VenueInstrument

CONFIG: Final = "CLIENT_REQUEST"
TICKET_FIELDS: Final = ("exits", "group", "skip_if_both", "basket", "score", "cause", "risk_money")
"""What a decision says beyond the terms of an order."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that the venue refused without touching the account."""

    code: str
    transactions: tuple[Transaction, ...] = ()


class PaperVenue(PaperLedger):
    """One account. All methods return the transactions that they caused.

    Args:
        memory: Records and kernels.
        instruments: In the order of the memory's markets.
        account: Name of the account.
        log_id: Of the transaction log.
        currency: Of the account.
        fills_on: What executes a command: the present quote, or the next bar.
        faults: What goes wrong in trading.
        sink: Receives every batch of transactions before anybody hears of it.
        dedupes: Whether a client id that rests or is open is refused; False makes twins possible, for tests of traders.
    """

    def __init__(
        self,
        memory: PaperMemory,
        instruments: Sequence[VenueInstrument],
        *,
        account: str,
        log_id: str,
        currency: str = "USD",
        fills_on: Literal["quote", "bar"] = "quote",
        faults: FaultScript | None = None,
        sink: Sink | None = None,
        dedupes: bool = True,
    ) -> None:
        super().__init__(memory, instruments, account=account, log_id=log_id, currency=currency, sink=sink)
        self._fills_on, self.faults, self._dedupes = fills_on, faults or FaultScript(), dedupes

    # What moves the account

    def on_quote(self, quote: Quote) -> list[Transaction]:
        """Show a price; resting orders, stops and targets that it reaches are filled."""
        self.quotes[quote.symbol] = quote
        spread = quote.ask - quote.bid
        bar = np.zeros(1, BAR).view(np.recarray)
        bar[0] = (quote.ts_ns, quote.ts_ns, quote.bid, quote.bid, quote.bid, quote.bid, 0.0, spread)
        m = self._symbols.index(quote.symbol)
        if not quote.is_tradeable:
            return []
        return self._settle({m: bar[0]}, quote.ts_ns, is_quote=True)

    def on_bars(self, bars: Mapping[str, Any]) -> list[Transaction]:
        """Settle closed bars of one instant, by symbol, as the back-test does."""
        rows = {self._symbols.index(symbol): bar for symbol, bar in bars.items()}
        now_ns = max(int(bar["close_ns"]) for bar in bars.values())
        transactions = self._settle(rows, now_ns, is_quote=False)
        for m in rows:
            present, symbol = self.memory.quotes[m], self._symbols[m]
            self.quotes[symbol] = Quote(symbol, float(present.bid), float(present.ask), now_ns, now_ns)
        return transactions

    def settled_ns(self, symbol: str) -> int:
        """Return the close of the newest bar, or the time of the newest quote, that a market has settled; 0 none."""
        return int(self.memory.quotes[self._symbols.index(symbol)].last_close_ns)

    def transfer(self, amount: Decimal) -> list[Transaction]:
        """Pay in, or out when negative; no part of the performance."""
        account = self.memory.account[0]
        account.balance += float(amount)
        account.equity += float(amount)
        account.free_margin += float(amount)
        self._write(EventKind.TRANSFER, amount=str(amount), reason="CLIENT_REQUEST")
        return self._publish()

    def _settle(self, rows: Mapping[int, Any], now_ns: int, *, is_quote: bool) -> list[Transaction]:
        self.now_ns = max(self.now_ns, now_ns)
        self._tell(self.memory.settle(rows, now_ns, is_quote=is_quote))
        return self._publish()

    # Commands

    def place(self, request: OrderRequest, *, replaces: str | None = None) -> list[Transaction] | Refusal:
        """Place an order; `request.stop_loss` may be absent, as at real venues."""
        fault = self.faults.draw(Point.TRADING, "place") if replaces is None else None
        kinds = {FaultKind.REQUOTE: "REQUOTE", FaultKind.HALTED: "MARKET_HALTED"}
        code = self._problem(request, replaces)
        if fault is not None and fault.kind is not FaultKind.PARTIAL:
            code = kinds.get(fault.kind, fault.value)
        if code is not None:
            self._write(EventKind.ORDER_REJECTED, reason=code, replaces=replaces, **_terms(request))
            return Refusal(code, tuple(self._publish()))
        order_id = str(self.last_seq + 1)
        order = PaperOrder(order_id, request, replaces=replaces)
        self.orders[order_id] = order
        self._write(EventKind.ORDER_ACCEPTED, order_id=order_id, replaces=replaces, **_terms(request))
        if request.type is not OrderType.MARKET:
            self.memory.rest(self._market(request), _entry(order, request.units), self.now_ns)
        else:
            units = request.units
            if fault is not None:
                step = self.instruments[request.symbol].unit_step
                units = max(step, floor_to_step(units * decimal_of(fault.number), step))
            reason = self._bound_problem(request)
            if reason is not None:
                self._end(order, reason)
                return self._publish()
            self.memory.queue(self._market(request), _entry(order, units))
        self._execute(self._market(request))
        if order.filled_units and order.filled_units < request.units:
            self._end(order, "INSUFFICIENT_LIQUIDITY")
        return self._publish()

    def cancel(self, spec: str, *, reason: str = CONFIG, replaced_by: str | None = None) -> list[Transaction] | Refusal:
        """Cancel a resting order."""
        fault = self.faults.draw(Point.TRADING, "cancel") if replaced_by is None else None
        order = self.find(spec)
        if order is None or order.status is not OrderStatus.ACCEPTED or fault is not None:
            code = fault.value if fault and fault.value else "ORDER_DOESNT_EXIST"
            told = {"order_id": order.order_id, **_ids(order.request)} if order else {"client_order_id": spec[1:]}
            self._write(EventKind.CHANGE_REFUSED, reason=code, **told)
            return Refusal(code, tuple(self._publish()))
        self.memory.withdraw(self._market(order.request), int(order.order_id))
        order.replaced_by = replaced_by
        self._end(order, reason)
        return self._publish() if replaced_by is None else []

    def replace(self, spec: str, terms: OrderRequest) -> list[Transaction] | Refusal:
        """Cancel a resting order and place another with `terms` under the same client id."""
        order = self.find(spec)
        if order is None or order.status is not OrderStatus.ACCEPTED:
            return self.cancel(spec)
        fault = self.faults.draw(Point.TRADING, "replace")
        code = (fault.value or "MARKET_HALTED") if fault else self._problem(terms, order.order_id)
        if code is not None:
            self._write(EventKind.CHANGE_REFUSED, reason=code, order_id=order.order_id, **_ids(terms))
            return Refusal(code, tuple(self._publish()))
        self.cancel(order.order_id, reason="CLIENT_REQUEST_REPLACED", replaced_by=str(self.last_seq + 2))
        first = order.request
        kept = replace(terms, client_order_id=first.client_order_id, ticket=terms.ticket or first.ticket)
        return self.place(kept, replaces=order.order_id)

    def close(self, trade_id: str, units: Decimal | None) -> list[Transaction] | Refusal:
        """Close `units` of a trade at market, all when None."""
        fault = self.faults.draw(Point.TRADING, "close")
        trade = self.trades.get(trade_id)
        position = None if trade is None else self.memory.position(trade.market, trade.position_id)
        code = fault.value if fault and fault.value else None
        if trade is None or position is None:
            code = "TRADE_DOESNT_EXIST"
        elif units is not None and not ZERO < units <= decimal_of(float(position.units)):
            code = "CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE"
        if code is not None or trade is None or position is None:
            self._write(EventKind.ORDER_REJECTED, reason=code, trade_id=trade_id, client_order_id=None)
            return Refusal(str(code), tuple(self._publish()))
        remaining = 0.0 if units is None else float(position.units) - float(units)
        order_id = trade.closing = str(self.last_seq + 1)
        side, symbol = -int(position.side), self._symbols[trade.market]
        wanted = decimal_of(float(position.units)) if units is None else units
        told = {"side": side, "symbol": symbol, "units": f"{wanted:f}", "type": "market"}
        self._write(EventKind.ORDER_ACCEPTED, order_id=order_id, trade_id=trade_id, client_order_id=None, **told)
        intent = new_intent(Action.CLOSE, target_id=trade.position_id, tag=int(order_id), size=remaining)
        self.memory.queue(trade.market, intent)
        self._execute(trade.market)
        return self._publish()

    def protect(
        self, trade_id: str, *, stop_loss: float | None, take_profit: float | None
    ) -> list[Transaction] | Refusal:
        """Set stop and target of a trade; None leaves one as it is, NaN removes it."""
        fault = self.faults.draw(Point.TRADING, "protect")
        trade = self.trades.get(trade_id)
        position = None if trade is None else self.memory.position(trade.market, trade.position_id)
        code = fault.value if fault and fault.value else None
        if trade is None or position is None:
            code = "TRADE_DOESNT_EXIST"
        elif code is None and stop_loss is not None and not math.isnan(stop_loss):
            quote = self.quotes[self._symbols[trade.market]]
            closing = quote.closing(Side(int(position.side)))
            code = "PRICE_INVALID" if position.side * (closing - stop_loss) <= 0 else None
        if code is not None or trade is None or position is None:
            self._write(EventKind.CHANGE_REFUSED, reason=code, trade_id=trade_id, client_order_id=None)
            return Refusal(str(code), tuple(self._publish()))
        for which, price in (("stop_loss", stop_loss), ("take_profit", take_profit)):
            if price is not None:
                absent = -np.inf * position.side if which == "stop_loss" else np.nan
                position[which] = absent if math.isnan(price) else price
                self._guard(trade, which, None if math.isnan(price) else price, "REPLACEMENT")
        return self._publish()

    # Rules

    def _market(self, request: OrderRequest) -> int:
        return self._symbols.index(request.symbol)

    def _execute(self, m: int) -> None:
        """Settle market `m` at its present quote, where commands do not wait for the next bar."""
        quote = self.quotes.get(self._symbols[m])
        if self._fills_on == "quote" and quote is not None and quote.is_tradeable:
            self._tell(self.memory.settle_again(m, self.now_ns))

    def _problem(self, request: OrderRequest, replaces: str | None) -> str | None:
        """Return why the venue does not take an order at all."""
        item = self.instruments.get(request.symbol)
        if item is None:
            return "INSTRUMENT_UNKNOWN"
        if request.client_order_id and self._dedupes:
            resting = (o for o in self.resting() if o.order_id != replaces)
            if any(order.request.client_order_id == request.client_order_id for order in resting):
                return "CLIENT_ORDER_ID_ALREADY_EXISTS"
            if any(t.is_open and t.client_order_id == request.client_order_id for t in self.trades.values()):
                return "CLIENT_TRADE_ID_ALREADY_EXISTS"
        checks = (
            (request.units < item.min_units, "UNITS_MIMIMUM_NOT_MET"),
            (request.units > item.max_units, "UNITS_LIMIT_EXCEEDED"),
            (request.units % item.unit_step != ZERO, "UNITS_PRECISION_EXCEEDED"),
            (0 < request.expires_ts_ns <= self.now_ns, "TIME_IN_FORCE_GTD_TIMESTAMP_IN_PAST"),
            (request.price is not None and not request.price > 0, "PRICE_INVALID"),
        )
        return next((code for is_wrong, code in checks if is_wrong), None)

    def _bound_problem(self, request: OrderRequest) -> str | None:
        """Return why a market order is canceled instead of filled."""
        if self._fills_on == "bar":
            return None
        quote = self.quotes.get(request.symbol)
        if quote is None or not quote.is_tradeable:
            return "MARKET_HALTED"
        price, m = quote.opening(request.side), self._market(request)
        if request.price_bound is not None and request.side * (price - request.price_bound) > 0:
            return "BOUNDS_VIOLATION"
        if request.stop_loss is not None and request.side * (quote.closing(request.side) - request.stop_loss) <= 0:
            return "STOP_LOSS_ON_FILL_LOSS"
        market = self.memory.markets[m]
        memory = self.memory
        value = float(memory.matching.unit_value(memory.markets, m, memory.desk, quote.bid, quote.ask))
        margin = float(request.units) * price * value * float(market.margin_fraction)
        return "INSUFFICIENT_MARGIN" if margin > self.free_margin() else None


def _ids(request: OrderRequest) -> dict[str, Any]:
    return {"client_order_id": request.client_order_id or None}


def _terms(request: OrderRequest) -> dict[str, Any]:
    """Return an order's terms as the log shows them."""
    return {
        **_ids(request),
        "symbol": request.symbol,
        "side": int(request.side),
        "units": f"{request.units:f}",
        "type": request.type.name.lower(),
        "price": request.price,
        "stop_loss": request.stop_loss,
        "take_profit": request.take_profit,
        "tif": request.tif.value,
        "expires_ts_ns": request.expires_ts_ns,
        "price_bound": request.price_bound,
    }


def _entry(order: PaperOrder, units: Decimal) -> Any:
    """Return the ENTER record of an order.

    No stop is a stop that no price reaches, and no reference price is one that every open is near enough to.
    """
    request = order.request
    side = int(request.side)
    intent = new_intent(
        Action.ENTER,
        type=int(request.type),
        side=side,
        price=math.nan if request.price is None else request.price,
        units=float(units),
        stop_loss=-side * math.inf if request.stop_loss is None else request.stop_loss,
        take_profit=math.nan if request.take_profit is None else request.take_profit,
        expiry_ns=request.expires_ts_ns,
        signal_price=side * math.inf if request.reference_price is None else request.reference_price,
        tag=int(order.order_id),
    )
    if request.ticket:
        ticket = np.frombuffer(bytes.fromhex(request.ticket), INTENT)[0]
        for name in TICKET_FIELDS:
            intent[name] = ticket[name]
    return intent
