"""The trade server behind a fake terminal: it takes requests, executes them, and does what a server does by itself.

A request passes the checks, then becomes an order, then a deal, then a position. By itself the server fills what was
taken and not yet executed, turns stop-limit orders into limit orders, nets, and closes the largest loser when the
margin is gone. Fills, stops and targets are the paper account's kernels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.fake_terminal_books import TerminalBooks
from tradesentry.core.broker.fake_terminal_checks import RequestChecks
from tradesentry.core.broker.fake_terminal_money import TerminalMoney
from tradesentry.core.broker.fake_terminal_profile import TEXTS, AccountTerms, SymbolTerms, TerminalTerms
from tradesentry.core.broker.fake_terminal_requests import LIMITS, STOP_LIMITS, Request
from tradesentry.core.broker.fake_terminal_rows import STRUCTURES, DealRow, OrderRow, PositionRow
from tradesentry.core.broker.fake_terminal_venue import TerminalVenue
from tradesentry.core.broker.faults import Fault, FaultKind, FaultScript, Point
from tradesentry.core.broker.paper_venue import Refusal
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.live_orders import TimeInForce
from tradesentry.core.domain.money import ZERO, floor_to_step
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import Quote

CODES: Final[Mapping[str, int]] = {
    "INSUFFICIENT_MARGIN": mt5.TRADE_RETCODE_NO_MONEY,
    "MARKET_HALTED": mt5.TRADE_RETCODE_MARKET_CLOSED,
    "REQUOTE": mt5.TRADE_RETCODE_REQUOTE,
    "BOUNDS_VIOLATION": mt5.TRADE_RETCODE_PRICE_CHANGED,
    "STOP_LOSS_ON_FILL_LOSS": mt5.TRADE_RETCODE_INVALID_STOPS,
    "PRICE_INVALID": mt5.TRADE_RETCODE_INVALID_PRICE,
    "TRADE_DOESNT_EXIST": mt5.TRADE_RETCODE_POSITION_CLOSED,
    "ORDER_DOESNT_EXIST": mt5.TRADE_RETCODE_INVALID,
}
"""Retcodes for the words of the paper account."""
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


def code_of(word: str) -> int:
    """Return the retcode that a reason names: a number, a name of the package without its prefix, or a paper word."""
    if word.isdigit():
        return int(word)
    return CODES.get(word) or mt5.CONSTANTS.get(f"TRADE_RETCODE_{word}", mt5.TRADE_RETCODE_REJECT)


@dataclass(slots=True)
class Done:
    """What became of a request."""

    retcode: int
    order: int = 0
    deal: int = 0
    lots: Decimal = ZERO
    price: float = 0.0


class TradeServer:
    """One account and the rules by which it trades.

    Args:
        venue: The paper account.
        symbols: Terms of each symbol.
        terms: Of the account.
        terminal: Settings of the program.
        clock: Time of the server.
        faults: What goes wrong in trading.
    """

    def __init__(
        self,
        venue: TerminalVenue,
        symbols: list[SymbolTerms],
        terms: AccountTerms,
        terminal: TerminalTerms,
        clock: Clock,
        *,
        faults: FaultScript,
    ) -> None:
        self.venue, self.terms, self._clock, self.faults = venue, terms, clock, faults
        self.symbols = {symbol.symbol: symbol for symbol in symbols}
        self.books = TerminalBooks(venue, terms, self.symbols, clock.now_ns)
        self.money = TerminalMoney(self.books)
        self.checks = RequestChecks(self.books, self.money, terminal)
        self.history_lag_seconds = 0.0
        """After which the history shows what happened, always."""
        self._due: list[tuple[int, OrderRow]] = []
        """Market orders that were taken and are not executed."""

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
        row = self._new_order(request, symbol, price_open=request.price, position_id=held)
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

    def _execute(self, row: OrderRow, lots: Decimal) -> int:
        """Let the paper account fill `lots` of a market order; return the retcode of what stops it, 0 for nothing."""
        symbol = next(terms for terms in self.symbols.values() if terms.name == row.symbol)
        units = symbol.units(lots)
        position = self.books.positions.get(row.position_id)
        if row.position_id and position is None:
            self.books.retire(row, mt5.ORDER_STATE_REJECTED)
            return mt5.TRADE_RETCODE_POSITION_CLOSED
        self.books.acting, self.books.ended_reason = row, ""
        self._tell_time()
        if position is not None and self.terms.is_hedging:
            reason = self._close_legs(position, units)
        else:
            reason = self._place(row, symbol, units, OrderType.MARKET)
        self._settle_up()
        self.books.acting = None
        reason = reason or self.books.ended_reason
        if reason and row.ticket not in self.books.past:
            self.books.retire(row, mt5.ORDER_STATE_REJECTED)
        return code_of(reason) if reason else 0

    def _close_legs(self, position: PositionRow, units: Decimal) -> str:
        """Close units of a position, its oldest part first; return the reason of a refusal."""
        for trade_id, leg in tuple(position.legs.items()):
            part = min(units, leg.units)
            units -= part
            answer = self.venue.close(trade_id, None if part == leg.units else part) if part > ZERO else []
            if isinstance(answer, Refusal):
                return answer.code
        return ""

    def _place(self, row: OrderRow, symbol: SymbolTerms, units: Decimal, kind: OrderType) -> str:
        """Place an order at the paper account; return the reason of a refusal."""
        price = None if kind is OrderType.MARKET else row.price_stoplimit or row.price_open
        answer = self.venue.place(
            OrderRequest(
                client_order_id=f"t{row.ticket}",
                symbol=symbol.symbol,
                side=row.side,
                units=units,
                type=kind,
                stop_loss=row.sl or None,
                price=price,
                take_profit=row.tp or None,
                tif=TimeInForce.GTD if row.expires_ns else TimeInForce.GTC,
                expires_ts_ns=row.expires_ns,
            )
        )
        return answer.code if isinstance(answer, Refusal) else ""

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

    def _rest(self, row: OrderRow, symbol: SymbolTerms) -> str:
        self.books.acting = row
        self._tell_time()
        is_limit = row.type in LIMITS or row.type in STOP_LIMITS
        reason = self._place(
            row, symbol, symbol.units(row.volume_current), OrderType.LIMIT if is_limit else OrderType.STOP
        )
        self._settle_up()
        self.books.acting = None
        return reason

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

    def _guard(self, position: PositionRow) -> str:
        """Give all parts of a position its stop and target; return the reason of a refusal."""
        stop, aim = position.sl or math.nan, position.tp or math.nan
        for trade_id in position.legs:
            answer = self.venue.protect(trade_id, stop_loss=stop, take_profit=aim)
            if isinstance(answer, Refusal):
                return answer.code
        return ""

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
        self.venue.offset([*_shares(first, first.side, units), *_shares(second, second.side, units)], row.price_open)
        self._settle_up()
        self.books.acting = None
        self.books.retire(row, mt5.ORDER_STATE_FILLED)
        return Done(mt5.TRADE_RETCODE_DONE, row.ticket, self.books.deals[-1].ticket, row.volume_initial, row.price_open)

    # By itself

    def show(self, quote: Quote) -> None:
        """Bring a price; whatever it reaches is done."""
        self.venue.on_quote(quote)
        self._settle_up()
        for row in tuple(self.books.orders.values()):
            if row.type in STOP_LIMITS and not self.books.is_bound(row):
                self._trigger(row, quote)
        self.catch_up()
        while self.money.is_stopped_out():
            self._stop_out()

    def catch_up(self) -> None:
        """Book what happened at the venue, and execute the orders whose time has come."""
        self._settle_up()
        now = self._clock.now_ns()
        due = [row for at_ns, row in self._due if at_ns <= now]
        self._due = [(at_ns, row) for at_ns, row in self._due if at_ns > now]
        for row in due:
            if row.ticket in self.books.orders:
                self._execute(row, row.volume_current)

    def _trigger(self, row: OrderRow, quote: Quote) -> None:
        """Turn a stop-limit order that was reached into a limit order, or end it when its time is over."""
        symbol = self.symbols[quote.symbol]
        if symbol.name != row.symbol:
            return
        if row.expires_ns and quote.ts_ns >= row.expires_ns:
            self.books.retire(row, mt5.ORDER_STATE_EXPIRED)
        elif row.side * (quote.opening(row.side) - row.price_open) >= 0 and self._rest(row, symbol):
            self.books.retire(row, mt5.ORDER_STATE_REJECTED)

    def _stop_out(self) -> None:
        """Close the largest loser."""
        worst = min(self.books.positions.values(), key=lambda row: (self.money.profit_of(row), row.identifier))
        order_type = mt5.ORDER_TYPE_SELL if worst.side is Side.BUY else mt5.ORDER_TYPE_BUY
        row = self.books.new_order(worst.terms, order_type, worst.volume, reason=mt5.ORDER_REASON_SO)
        level = self.money.level(self.money.equity(), self.money.margin())
        row.position_id, row.comment = worst.identifier, self.terms.comment(f"[so {level}%]")
        self.books.acting = row
        self._tell_time()
        self._close_legs(worst, abs(worst.net))
        self._settle_up()
        self.books.acting = None

    def _settle_up(self) -> None:
        """Book what the venue did, net what is opposite, and keep one stop and target for all parts of a position."""
        self.books.drain()
        for position, deal in self.books.mixed():
            self._net(position, deal)
        if not self.terms.is_hedging:
            shown = {trade.trade_id: trade for trade in self.venue.open_trades()}
            for position in tuple(self.books.positions.values()):
                parts = [shown[trade_id] for trade_id in position.legs]
                wanted = (position.sl or None, position.tp or None)
                if any((part.stop_loss, part.take_profit) != wanted for part in parts):
                    self._guard(position)
            self.books.drain()

    def _net(self, position: PositionRow, deal: DealRow) -> None:
        """Set the two sides of a position off against each other at the price of the fill that mixed them."""
        sides = (Side.BUY, Side.SELL)
        units = min(sum((leg.units for leg in position.legs.values() if leg.side is side), ZERO) for side in sides)
        self.venue.offset([part for side in sides for part in _shares(position, side, units)], deal.price)
        self.books.drain()

    def _tell_time(self) -> None:
        self.venue.now_ns = max(self.venue.now_ns, self._clock.now_ns())

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


def _shares(position: PositionRow, side: Side, units: Decimal) -> list[tuple[str, Decimal]]:
    """Return the part of `units` that each trade of a side bears, in proportion, so that the average price stays."""
    legs = [(trade_id, leg.units) for trade_id, leg in position.legs.items() if leg.side is side]
    total = sum((held for _, held in legs), ZERO)
    left, shares = units, []
    for trade_id, held in legs[:-1]:
        share = held if units == total else (units * held / total).quantize(Decimal("1e-6"))
        shares.append((trade_id, share))
        left -= share
    shares.append((legs[-1][0], left))
    return [(trade_id, share) for trade_id, share in shares if share > ZERO]
