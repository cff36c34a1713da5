"""Which retcode refuses a request: the looks of a terminal's server, in its order, for each kind of request.

Separate from what the server then does (`fake_terminal_server`), because `order_check` asks the same questions without
doing anything. The first retcode that applies is the answer: may anybody trade, is it this symbol, is the market open,
then the terms.
"""

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal_profile import SymbolTerms
from tradesentry.core.broker.fake_terminal_requests import LIMITS, OK, STOP_LIMITS, Request, RequestLooks, is_on_grid
from tradesentry.core.broker.fake_terminal_rows import OrderRow, PositionRow
from tradesentry.core.domain.orders import Side

_MARKET_TYPES = (mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL)


class RequestChecks(RequestLooks):
    """The questions that a server asks of a request. Arguments as `RequestLooks`."""

    def problem(self, request: Request) -> int:
        """Return the retcode that refuses a request, 0 when nothing does."""
        by_action = {
            mt5.TRADE_ACTION_DEAL: self._deal,
            mt5.TRADE_ACTION_PENDING: self._pending,
            mt5.TRADE_ACTION_SLTP: self._protection,
            mt5.TRADE_ACTION_MODIFY: self._change,
            mt5.TRADE_ACTION_REMOVE: self._removal,
            mt5.TRADE_ACTION_CLOSE_BY: self._close_by,
        }
        check = by_action.get(request.action)
        return mt5.TRADE_RETCODE_INVALID if check is None else self._permission() or check(request)

    # At once

    def _deal(self, request: Request) -> int:
        symbol = self.symbol_named(request.symbol)
        code = self._market(symbol)
        if code or symbol is None:
            return code
        if request.type not in _MARKET_TYPES:
            return mt5.TRADE_RETCODE_INVALID
        if not symbol.order_mode & mt5.ORDER_FLAG_MARKET:
            return mt5.TRADE_RETCODE_INVALID_ORDER
        code = self._filling(symbol, request) or self._price(symbol, request)
        if code:
            return code
        return self._closing(symbol, request) if request.position else self._opening(symbol, request)

    def _price(self, symbol: SymbolTerms, request: Request) -> int:
        """Instant execution deals at the price that was asked or near it, or not at all."""
        if symbol.exemode not in (mt5.SYMBOL_TRADE_EXECUTION_REQUEST, mt5.SYMBOL_TRADE_EXECUTION_INSTANT):
            return OK
        if request.price <= 0:
            return mt5.TRADE_RETCODE_INVALID_PRICE
        quote = self.quote_of(symbol)
        moved = 0.0 if quote is None else abs(quote.opening(request.side) - request.price)
        return mt5.TRADE_RETCODE_REQUOTE if moved > (request.deviation + 0.5) * symbol.point else OK

    def _opening(self, symbol: SymbolTerms, request: Request) -> int:
        quote, side = self.quote_of(symbol), request.side
        if quote is None:
            return mt5.TRADE_RETCODE_PRICE_OFF
        stops = (request.sl, request.tp)
        return (
            self._direction(symbol, side)
            or self._volume(symbol, request.lots)
            or self._stops(symbol, side, quote.closing(side), stops)
            or self._limits(symbol, side, request.lots)
            or self._funds(symbol, side, request)
        )

    def _funds(self, symbol: SymbolTerms, side: Side, request: Request) -> int:
        is_new = self._books.terms.is_hedging or self._books.position_of(symbol) is None
        room = self._books.terms.limit_positions
        if is_new and room and len(self._books.positions) >= room:
            return mt5.TRADE_RETCODE_LIMIT_POSITIONS
        affords = self._money.affords(symbol, side, symbol.units(request.lots))
        return OK if affords else mt5.TRADE_RETCODE_NO_MONEY

    def _closing(self, symbol: SymbolTerms, request: Request) -> int:
        position = self.position_at(request.position)
        if position is None:
            return self._missing(request.position)
        if position.terms is not symbol or request.side is position.side:
            return mt5.TRADE_RETCODE_INVALID
        if any(row.closes == position.identifier for row in self._books.orders.values()):
            return mt5.TRADE_RETCODE_CLOSE_ORDER_EXIST
        if request.lots > position.volume:
            return mt5.TRADE_RETCODE_INVALID_CLOSE_VOLUME
        if self._books.terms.fifo_close and self._first(position) is not position:
            return mt5.TRADE_RETCODE_FIFO_CLOSE
        return OK if request.lots == position.volume else self._volume(symbol, request.lots)

    def _missing(self, ticket: int) -> int:
        """Return what is said of a position that is not open."""
        was_there = any(ticket in (row.ticket, row.identifier) for row in self._books.closed.values())
        return mt5.TRADE_RETCODE_POSITION_CLOSED if was_there else mt5.TRADE_RETCODE_INVALID

    def _first(self, position: PositionRow) -> PositionRow:
        """Return the oldest position on the same symbol and side."""
        rows = self._books.positions.values()
        return next(row for row in rows if row.terms is position.terms and row.side is position.side)

    # Resting

    def _pending(self, request: Request) -> int:
        symbol = self.symbol_named(request.symbol)
        code = self._market(symbol)
        if code or symbol is None:
            return code
        if not mt5.ORDER_TYPE_BUY_LIMIT <= request.type <= mt5.ORDER_TYPE_SELL_STOP_LIMIT:
            return mt5.TRADE_RETCODE_INVALID
        flags = (mt5.ORDER_FLAG_LIMIT, mt5.ORDER_FLAG_STOP, mt5.ORDER_FLAG_STOP_LIMIT)
        if not symbol.order_mode & flags[(request.type - mt5.ORDER_TYPE_BUY_LIMIT) // 2]:
            return mt5.TRADE_RETCODE_INVALID_ORDER
        room = self._books.terms.limit_orders
        if room and sum(row.is_pending for row in self._books.orders.values()) >= room:
            return mt5.TRADE_RETCODE_LIMIT_ORDERS
        return (
            self._direction(symbol, request.side)
            or self._volume(symbol, request.lots)
            or self._filling(symbol, request)
            or self._expiration(symbol, request)
            or self._resting_terms(symbol, request, request.type)
            or self._limits(symbol, request.side, request.lots)
        )

    def _resting_terms(self, symbol: SymbolTerms, request: Request, order_type: int) -> int:
        """Check the prices of a resting order: on its side of the market, and its stops on theirs of it."""
        quote, side = self.quote_of(symbol), request.side
        if quote is None:
            return mt5.TRADE_RETCODE_PRICE_OFF
        towards = -side if order_type in LIMITS else side
        distance = towards * (request.price - quote.opening(side))
        is_good = request.price > 0 and distance >= (max(symbol.stops_level, 1) - 0.5) * symbol.point
        entry = request.price
        if order_type in STOP_LIMITS:
            entry = request.stoplimit
            is_good = is_good and entry > 0 and side * (request.price - entry) >= symbol.point / 2
        if not is_good or not is_on_grid(symbol, request.price) or not is_on_grid(symbol, entry):
            return mt5.TRADE_RETCODE_INVALID_PRICE
        return self._stops(symbol, side, entry, (request.sl, request.tp))

    def _touchable(self, request: Request) -> tuple[OrderRow | None, SymbolTerms | None, int]:
        """Return a resting order with its symbol, and why it must not be touched."""
        row = self.resting(request.order)
        symbol = None if row is None else self.symbol_named(row.symbol)
        code = self._market(symbol)
        quote = None if symbol is None else self.quote_of(symbol)
        if not code and row is not None and symbol is not None and quote is not None:
            is_frozen = self._is_frozen(symbol, quote.opening(row.side), row.price_open)
            code = mt5.TRADE_RETCODE_FROZEN if is_frozen else OK
        return row, symbol, code

    def _change(self, request: Request) -> int:
        row, symbol, code = self._touchable(request)
        if code or row is None or symbol is None:
            return code
        terms = Request(
            action=mt5.TRADE_ACTION_PENDING,
            type=row.type,
            price=request.price,
            stoplimit=request.stoplimit,
            sl=request.sl,
            tp=request.tp,
            type_time=request.type_time,
            expiration=request.expiration,
        )
        old = (row.price_open, row.price_stoplimit, row.sl, row.tp, row.type_time, row.expires_ns)
        new = (request.price, request.stoplimit, request.sl, request.tp, request.type_time, self.expires_ns(request))
        if old == new:
            return mt5.TRADE_RETCODE_NO_CHANGES
        return self._expiration(symbol, terms) or self._resting_terms(symbol, terms, row.type)

    def _removal(self, request: Request) -> int:
        row, _, code = self._touchable(request)
        return mt5.TRADE_RETCODE_INVALID if row is None else code

    # Positions

    def _protection(self, request: Request) -> int:
        position = self.position_at(request.position)
        if position is None:
            return self._missing(request.position)
        symbol, side = position.terms, position.side
        code, quote = self._market(symbol), self.quote_of(symbol)
        if code or quote is None:
            return code
        if request.symbol and request.symbol != symbol.name:
            return mt5.TRADE_RETCODE_INVALID
        price = quote.closing(side)
        if self._is_frozen(symbol, price, position.sl) or self._is_frozen(symbol, price, position.tp):
            return mt5.TRADE_RETCODE_FROZEN
        if (request.sl, request.tp) == (position.sl, position.tp):
            return mt5.TRADE_RETCODE_NO_CHANGES
        return self._stops(symbol, side, price, (request.sl, request.tp))

    def _close_by(self, request: Request) -> int:
        first, second = self.position_at(request.position), self.position_at(request.position_by)
        if first is None or second is None:
            return self._missing(request.position if first is None else request.position_by)
        is_opposite = first.terms is second.terms and first.side is not second.side
        if not self._books.terms.is_hedging or not is_opposite:
            return mt5.TRADE_RETCODE_INVALID
        if not first.terms.order_mode & mt5.ORDER_FLAG_CLOSE_BY:
            return mt5.TRADE_RETCODE_INVALID_ORDER
        return self._market(first.terms)
