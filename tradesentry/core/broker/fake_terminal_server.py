"""The trade server behind a fake terminal: it takes requests and says what became of them.

A request passes the checks, then becomes an order, then a deal, then a position; what the server does without being
asked is `fake_terminal_desk`. A market order may be taken at once and filled later (10008), or filled in part (10010).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.fake_terminal_desk import TradeDesk, code_of, shares
from tradesentry.core.broker.fake_terminal_profile import TEXTS, SymbolTerms
from tradesentry.core.broker.fake_terminal_requests import STOP_LIMITS, Request
from tradesentry.core.broker.fake_terminal_rows import STRUCTURES, OrderRow
from tradesentry.core.broker.faults import Fault, FaultKind, Point
from tradesentry.core.broker.paper_venue import Refusal
from tradesentry.core.domain.clock import NS_PER_SECOND
from tradesentry.core.domain.live_orders import TimeInForce
from tradesentry.core.domain.money import ZERO, floor_to_step

OPERATIONS: Final[Mapping[int, str]] = {
    mt5.TRADE_ACTION_DEAL: "place",
    mt5.TRADE_ACTION_PENDING: "place",
    mt5.TRADE_ACTION_SLTP: "protect",
    mt5.TRADE_ACTION_MODIFY: "replace",
    mt5.TRADE_ACTION_REMOVE: "cancel",
    mt5.TRADE_ACTION_CLOSE_BY: "close",
}


def operation_of(request: Request) -> str:
    """Return what a request is in the language of faults."""
    is_close = request.action == mt5.TRADE_ACTION_DEAL and request.position
    return "close" if is_close else OPERATIONS.get(request.action, "place")


@dataclass(slots=True)
class Done:
    """What became of a request."""

    retcode: int
    order: int = 0
    deal: int = 0
    lots: Decimal = ZERO
    price: float = 0.0


class TradeServer(TradeDesk):
    """The requests that an account takes. Arguments as `TradeDesk`."""

    # Requests

    def send(self, request: Request) -> Done:
        """Execute a request; return what became of it."""
        self.catch_up()
        code = self.checks.problem(request)
        if code:
            return Done(code)
        operation = operation_of(request)
        trading, late = (self.faults.draw(point, operation) for point in (Point.TRADING, Point.SERVER))
        lag = late.number if late and late.kind is FaultKind.HISTORY_LAG else self.history_lag_seconds
        self.books.lag_ns = round(lag * NS_PER_SECOND)
        try:
            return self._act(request, trading, late)
        finally:
            self.books.lag_ns = round(self.history_lag_seconds * NS_PER_SECOND)

    def _act(self, request: Request, trading: Fault | None, late: Fault | None) -> Done:
        fraction = Decimal(1)
        if trading is not None and trading.kind is FaultKind.PARTIAL:
            fraction = Decimal(str(trading.number))
        elif trading is not None:
            words = {FaultKind.REQUOTE: "REQUOTE", FaultKind.HALTED: "MARKET_HALTED"}
            return Done(code_of(words.get(trading.kind, trading.value)))
        if request.action == mt5.TRADE_ACTION_DEAL:
            wait = late.number if late and late.kind is FaultKind.PLACED else None
            return self._deal(request, fraction, wait)
        if request.action == mt5.TRADE_ACTION_PENDING:
            return self._pending(request)
        if request.action == mt5.TRADE_ACTION_SLTP:
            return self._protect(request)
        if request.action == mt5.TRADE_ACTION_MODIFY:
            return self._modify(request)
        if request.action == mt5.TRADE_ACTION_REMOVE:
            return self._remove(request)
        return self._close_by(request)

    def _new_order(self, request: Request, symbol: SymbolTerms, **fields: Any) -> OrderRow:
        row = self.books.new_order(symbol, request.type, request.lots, magic=request.magic, **fields)
        row.sl, row.tp, row.comment = request.sl, request.tp, self.terms.comment(request.comment)
        row.type_filling, row.type_time = request.type_filling, request.type_time
        return row

    # At once

    def _deal(self, request: Request, fraction: Decimal, wait: float | None) -> Done:
        symbol = self.checks.symbol_named(request.symbol)
        position = self.checks.position_at(request.position) if request.position else None
        if symbol is None:
            return Done(mt5.TRADE_RETCODE_INVALID)
        held = 0 if position is None else position.identifier
        row = self._new_order(request, symbol, price_open=request.price, position_id=held, closes=held)
        if fraction < 1 and request.type_filling == mt5.ORDER_FILLING_FOK:
            self.books.retire(row, mt5.ORDER_STATE_CANCELED)
            return Done(mt5.TRADE_RETCODE_REJECT, row.ticket)
        self.books.orders[row.ticket] = row
        if wait is not None:
            row.state = mt5.ORDER_STATE_PLACED
            self._due.append((self._clock.now_ns() + round(wait * NS_PER_SECOND), row))
            return Done(mt5.TRADE_RETCODE_PLACED, row.ticket, lots=row.volume_initial)
        lots = max(symbol.volume_step, floor_to_step(row.volume_initial * fraction, symbol.volume_step))
        code = self._execute(row, min(lots, row.volume_initial))
        if code:
            return Done(code, row.ticket)
        return self._dealt(row)

    def _dealt(self, row: OrderRow) -> Done:
        deals = [deal for deal in self.books.deals if deal.order == row.ticket]
        lots = row.volume_initial - row.volume_current
        if not row.volume_current:
            code = mt5.TRADE_RETCODE_DONE
        else:
            code = mt5.TRADE_RETCODE_DONE_PARTIAL
            if row.type_filling == mt5.ORDER_FILLING_RETURN:
                self._due.append((self._clock.now_ns() + 1, row))
            else:
                self.books.retire(row, mt5.ORDER_STATE_CANCELED)
        return Done(code, row.ticket, deals[-1].ticket if deals else 0, lots, deals[-1].price if deals else 0.0)

    # Resting

    def _pending(self, request: Request) -> Done:
        symbol = self.checks.symbol_named(request.symbol)
        if symbol is None:
            return Done(mt5.TRADE_RETCODE_INVALID)
        row = self._new_order(request, symbol, price_open=request.price, price_stoplimit=request.stoplimit)
        row.expires_ns, row.state = self.checks.expires_ns(request), mt5.ORDER_STATE_PLACED
        reason = ""
        if request.type in STOP_LIMITS:
            self.books.orders[row.ticket] = row
        else:
            row.price_stoplimit = 0.0
            reason = self._rest(row, symbol)
        return Done(code_of(reason)) if reason else Done(mt5.TRADE_RETCODE_DONE, row.ticket, lots=row.volume_initial)

    def _modify(self, request: Request) -> Done:
        row = self.books.orders[request.order]
        expires_ns = self.checks.expires_ns(request)
        if row.type in STOP_LIMITS and not self.books.is_bound(row):
            row.price_open, row.price_stoplimit = request.price, request.stoplimit
            row.sl, row.tp, row.expires_ns = request.sl, request.tp, expires_ns
        else:
            present = self.venue.orders[self.books.venue_order(row)].request
            fields: dict[str, Any] = {name: getattr(present, name) for name in ("symbol", "side", "units", "type")}
            fields |= {"price": request.price, "stop_loss": request.sl or None, "take_profit": request.tp or None}
            fields["tif"] = TimeInForce.GTD if expires_ns else TimeInForce.GTC
            self._tell_time()
            terms = OrderRequest(client_order_id=f"t{row.ticket}", expires_ts_ns=expires_ns, **fields)
            answer = self.venue.replace(self.books.venue_order(row), terms)
            self._settle_up()
            if isinstance(answer, Refusal):
                return Done(code_of(answer.code), row.ticket)
        row.type_time = request.type_time
        return Done(mt5.TRADE_RETCODE_DONE, row.ticket)

    def _remove(self, request: Request) -> Done:
        row = self.books.orders[request.order]
        if not self.books.is_bound(row):
            self.books.retire(row, mt5.ORDER_STATE_CANCELED)
            return Done(mt5.TRADE_RETCODE_DONE, row.ticket)
        self._tell_time()
        answer = self.venue.cancel(self.books.venue_order(row))
        self._settle_up()
        code = code_of(answer.code) if isinstance(answer, Refusal) else mt5.TRADE_RETCODE_DONE
        return Done(code, row.ticket)

    # Positions

    def _protect(self, request: Request) -> Done:
        position = self.checks.position_at(request.position)
        if position is None:
            return Done(mt5.TRADE_RETCODE_POSITION_CLOSED)
        self._tell_time()
        position.sl, position.tp, position.updated_ns = request.sl, request.tp, self._clock.now_ns()
        reason = self._guard(position)
        self._settle_up()
        return Done(code_of(reason) if reason else mt5.TRADE_RETCODE_DONE)

    def _close_by(self, request: Request) -> Done:
        first, second = self.checks.position_at(request.position), self.checks.position_at(request.position_by)
        if first is None or second is None:
            return Done(mt5.TRADE_RETCODE_POSITION_CLOSED)
        units = min(abs(first.net), abs(second.net))
        order_type, symbol = mt5.ORDER_TYPE_CLOSE_BY, first.terms
        row = self.books.new_order(symbol, order_type, symbol.lots(units), magic=request.magic)
        row.comment = self.terms.comment(request.comment)
        row.position_id, row.position_by_id = first.identifier, second.identifier
        row.price_open, row.volume_current = second.price_open, ZERO
        self.books.acting = row
        self._tell_time()
        self.venue.offset([*shares(first, first.side, units), *shares(second, second.side, units)], row.price_open)
        self._settle_up()
        self.books.acting = None
        self.books.retire(row, mt5.ORDER_STATE_FILLED)
        return Done(mt5.TRADE_RETCODE_DONE, row.ticket, self.books.deals[-1].ticket, row.volume_initial, row.price_open)

    def result(self, request: Request, done: Done, *, request_id: int) -> Any:
        """Return the OrderSendResult that the package shows."""
        symbol = self.checks.symbol_named(request.symbol)
        quote = None if symbol is None else self.checks.quote_of(symbol)
        return STRUCTURES["OrderSendResult"](
            retcode=done.retcode,
            deal=done.deal,
            order=done.order,
            volume=float(done.lots),
            price=done.price,
            bid=0.0 if quote is None else quote.bid,
            ask=0.0 if quote is None else quote.ask,
            comment=TEXTS.get(done.retcode, str(done.retcode)),
            request_id=request_id,
            retcode_external=0,
            request=request.view(),
        )
