"""A fake MetaTrader 5 terminal: an object with the surface of the `MetaTrader5` package, over a paper account.

Put it where the package would be, `sys.modules["MetaTrader5"]`, and the connector runs unchanged: the constants, the
functions with their arguments, the structures with their fields. An empty tuple is "nothing found"; `None` is a
failure, its reason in `last_error()`. How it fails is `fake_terminal_program`, what the server does
`fake_terminal_server`.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

import numpy as np

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal_prices import Table, timeframe_seconds
from tradesentry.core.broker.fake_terminal_profile import TEXTS, SymbolTerms, seconds_of
from tradesentry.core.broker.fake_terminal_program import Failed, TerminalProgram
from tradesentry.core.broker.fake_terminal_requests import Request, parse_request
from tradesentry.core.broker.fake_terminal_rows import STRUCTURES, OrderRow, side_of
from tradesentry.core.broker.fake_terminal_server import Done, operation_of
from tradesentry.core.domain.clock import NS_PER_SECOND

T = TypeVar("T")
Moment = datetime | float
_MASKS: Final = ","


def is_in_group(name: str, group: str) -> bool:
    """Say whether a symbol is in a group like `*USD*, !*JPY*`; later masks win."""
    found = False
    for mask in (part.strip() for part in group.split(_MASKS)):
        if fnmatchcase(name, mask.removeprefix("!")):
            found = not mask.startswith("!")
    return found


class FakeTerminal(TerminalProgram):
    """The functions of the package. Arguments as `TerminalProgram`."""

    __version__ = mt5.VERSION
    __author__ = "MetaQuotes Ltd."

    # Account and program

    def account_info(self) -> Any:
        """Return the AccountInfo of the account that is logged in."""
        return self.call("read", self._account_info)

    def _account_info(self) -> Any:
        return self.server.money.account_info()

    def terminal_info(self) -> Any:
        """Return the TerminalInfo of the program."""
        return self.call("read", self._terminal_info)

    def _terminal_info(self) -> Any:
        terms = self.program
        said = dict.fromkeys(mt5.STRUCTURES["TerminalInfo"], False)
        return STRUCTURES["TerminalInfo"](
            **said
            | {
                "connected": terms.connected,
                "dlls_allowed": True,
                "trade_allowed": terms.trade_allowed,
                "tradeapi_disabled": terms.tradeapi_disabled,
                "build": terms.build,
                "maxbars": terms.maxbars,
                "codepage": 0,
                "ping_last": terms.ping_us,
                "community_balance": 0.0,
                "retransmission": 0.0,
                "company": self.terms.company,
                "name": "MetaTrader 5",
                "language": "English",
                "path": terms.path,
                "data_path": terms.path,
                "commondata_path": terms.path,
            }
        )

    # Symbols

    def symbols_total(self) -> int | None:
        """Return how many symbols the server has."""
        return self.call("read", lambda: len(self.server.symbols))

    def symbols_get(self, group: str = "*") -> tuple[Any, ...] | None:
        """Return the SymbolInfo of all symbols of a group."""
        return self.call(
            "read",
            lambda: tuple(
                self.prices.symbol_info(symbol)
                for symbol in self.server.symbols.values()
                if is_in_group(symbol.name, group)
            ),
        )

    def symbol_info(self, symbol: str) -> Any:
        """Return the SymbolInfo of a symbol."""
        return self.call("read", lambda: self._with_symbol(symbol, self.prices.symbol_info))

    def symbol_info_tick(self, symbol: str) -> Any:
        """Return the newest Tick of a symbol in the market watch."""
        return self.call("quotes", lambda: self._with_symbol(symbol, self.prices.tick))

    def symbol_select(self, symbol: str, enable: bool = True) -> bool | None:
        """Put a symbol into the market watch, or take it out."""

        def select(terms: SymbolTerms) -> bool:
            terms.is_selected = enable
            return True

        return self.call("read", lambda: bool(self._with_symbol(symbol, select)))

    def _with_symbol(self, name: str, work: Callable[[SymbolTerms], T | None]) -> T:
        symbol = self.server.checks.symbol_named(name)
        answer = None if symbol is None else work(symbol)
        if answer is None:
            raise Failed(mt5.RES_E_NOT_FOUND)
        return answer

    def market_book_add(self, symbol: str) -> bool | None:
        """Subscribe to the depth of a symbol."""
        return self.call("quotes", lambda: bool(self._with_symbol(symbol, lambda terms: self._watch(terms, True))))

    def market_book_release(self, symbol: str) -> bool | None:
        """End the subscription."""
        return self.call("quotes", lambda: bool(self._with_symbol(symbol, lambda terms: self._watch(terms, False))))

    def _watch(self, symbol: SymbolTerms, is_on: bool) -> bool:
        self.program.depth[symbol.name] = is_on
        return True

    def market_book_get(self, symbol: str) -> tuple[Any, ...] | None:
        """Return the BookInfo of both sides, best price only."""
        return self.call("quotes", lambda: self._with_symbol(symbol, self._depth))

    def _depth(self, symbol: SymbolTerms) -> tuple[Any, ...] | None:
        quote = self.server.checks.quote_of(symbol)
        if quote is None or not self.program.depth.get(symbol.name):
            return None
        size = float(symbol.volume_max)
        sides = ((mt5.BOOK_TYPE_SELL, quote.ask), (mt5.BOOK_TYPE_BUY, quote.bid))
        return tuple(STRUCTURES["BookInfo"](side, price, int(size), size) for side, price in sides)

    # Bars and ticks

    def copy_rates_from(self, symbol: str, timeframe: int, date_from: Moment, count: int) -> Table | None:
        """Return `count` bars up to a server time."""

        def cut(rates: Table) -> Table:
            return rates[rates["time"] <= seconds_of(date_from)][-count:]

        return self.call("quotes", lambda: self._rates(symbol, timeframe, cut))

    def copy_rates_from_pos(self, symbol: str, timeframe: int, start_pos: int, count: int) -> Table | None:
        """Return `count` bars counted back from the forming one, which is 0."""

        def cut(rates: Table) -> Table:
            stop = len(rates) - start_pos
            return rates[max(0, stop - count) : max(0, stop)]

        return self.call("quotes", lambda: self._rates(symbol, timeframe, cut))

    def copy_rates_range(self, symbol: str, timeframe: int, date_from: Moment, date_to: Moment) -> Table | None:
        """Return the bars that open between two server times, both included."""
        first, last = seconds_of(date_from), seconds_of(date_to)

        def cut(rates: Table) -> Table:
            return rates[(rates["time"] >= first) & (rates["time"] <= last)]

        return self.call("quotes", lambda: self._rates(symbol, timeframe, cut))

    def _rates(self, name: str, timeframe: int, cut: Callable[[Table], Table]) -> Table:
        seconds = timeframe_seconds(timeframe)
        if seconds is None:
            raise Failed(mt5.RES_E_INVALID_PARAMS)
        maxbars = self.program.maxbars
        return self._with_symbol(name, lambda symbol: cut(self.prices.rates(symbol, seconds, maxbars=maxbars)))

    def copy_ticks_from(self, symbol: str, date_from: Moment, count: int, flags: int) -> Table | None:
        """Return `count` ticks from a server time on."""
        return self.call("quotes", lambda: self._ticks(symbol, date_from, None, flags, count))

    def copy_ticks_range(self, symbol: str, date_from: Moment, date_to: Moment, flags: int) -> Table | None:
        """Return the ticks between two server times."""
        return self.call("quotes", lambda: self._ticks(symbol, date_from, date_to, flags, None))

    def _ticks(self, name: str, first: Moment, last: Moment | None, flags: int, count: int | None) -> Table:
        if flags not in (mt5.COPY_TICKS_ALL, mt5.COPY_TICKS_INFO, mt5.COPY_TICKS_TRADE):
            raise Failed(mt5.RES_E_INVALID_PARAMS)

        def cut(symbol: SymbolTerms) -> Table:
            ticks = self.prices.ticks(symbol)
            is_in = ticks["time_msc"] >= seconds_of(first) * 1_000
            if last is not None:
                is_in &= ticks["time_msc"] <= seconds_of(last) * 1_000
            if flags == mt5.COPY_TICKS_TRADE:
                is_in &= ticks["flags"] & np.uint32(mt5.TICK_FLAG_LAST) > 0
            return ticks[is_in][:count]

        return self._with_symbol(name, cut)

    # Trading

    def order_calc_margin(self, action: int, symbol: str, volume: float, price: float) -> float | None:
        """Return the margin of an order, account currency."""

        def margin(terms: SymbolTerms) -> float:
            if action not in (mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL) or self.server.checks.quote_of(terms) is None:
                raise Failed(mt5.RES_E_INVALID_PARAMS)
            return round(self.server.money.margin_per_unit(terms, price) * volume * float(terms.contract), 2)

        return self.call("read", lambda: self._with_symbol(symbol, margin))

    def order_calc_profit(
        self, action: int, symbol: str, volume: float, price_open: float, price_close: float
    ) -> float | None:
        """Return the gain of a deal between two prices, account currency."""

        def profit(terms: SymbolTerms) -> float:
            if action not in (mt5.ORDER_TYPE_BUY, mt5.ORDER_TYPE_SELL) or self.server.checks.quote_of(terms) is None:
                raise Failed(mt5.RES_E_INVALID_PARAMS)
            move = side_of(action) * (price_close - price_open)
            return round(move * volume * float(terms.contract) * self.venue.unit_value(terms.symbol), 2)

        return self.call("read", lambda: self._with_symbol(symbol, profit))

    def order_check(self, request: Any) -> Any:
        """Return the OrderCheckResult of a request; retcode 0 says that it may be sent."""
        return self.call("read", lambda: self._checked(request))

    def _checked(self, said: Any) -> Any:
        request = self._parsed(said)
        code, server = self.server.checks.problem(request), self.server
        symbol = server.checks.symbol_named(request.symbol)
        after = None
        if symbol is not None and request.action == mt5.TRADE_ACTION_DEAL and server.checks.quote_of(symbol):
            after = server.money.margin((symbol, request.side, symbol.units(request.lots)))
        text = TEXTS.get(code, str(code))
        return server.money.check_result(request.view(), code, text, None if request.position else after)

    def order_send(self, request: Any) -> Any:
        """Send a request to the trade server; return its OrderSendResult."""
        try:
            parsed = self._parsed(request)
            if self.program.tradeapi_disabled:
                raise Failed(mt5.RES_E_AUTO_TRADING_DISABLED)
        except Failed as failure:
            self.fail(*failure.args)
            return None
        return self.call(
            operation_of(parsed),
            lambda: self._result(parsed, self.server.send(parsed)),
            refuse=lambda code: self._result(parsed, Done(code)),
        )

    def _parsed(self, said: Any) -> Request:
        parsed = parse_request(said)
        if isinstance(parsed, Request):
            return parsed
        raise Failed(mt5.RES_E_INVALID_PARAMS, f'Invalid "{parsed}" argument')

    def _result(self, request: Request, done: Done) -> Any:
        return self.server.result(request, done, request_id=self.n_requests)

    # What is open

    def orders_total(self) -> int | None:
        """Return how many orders work."""
        return self.call("read", lambda: len(self.server.books.orders))

    def orders_get(self, *, symbol: str = "", group: str = "", ticket: int = 0) -> tuple[Any, ...] | None:
        """Return the TradeOrder of working orders."""
        return self.call("read", lambda: self._orders(self.server.books.orders.values(), symbol, group, ticket))

    def _orders(self, rows: Iterable[OrderRow], symbol: str, group: str, ticket: int) -> tuple[Any, ...]:
        checks = self.server.checks
        shown = [row for row in rows if self._is_asked(row.symbol, row.ticket, symbol, group, ticket)]
        quotes = {terms.name: checks.quote_of(terms) for terms in self.server.symbols.values()}
        return tuple(row.view(self.terms, quotes[row.symbol]) for row in shown)

    def _is_asked(self, name: str, number: int, symbol: str, group: str, ticket: int) -> bool:
        if ticket:
            return number == ticket
        return name == symbol if symbol else is_in_group(name, group or "*")

    def positions_total(self) -> int | None:
        """Return how many positions are open."""
        return self.call("read", lambda: len(self.server.books.positions))

    def positions_get(self, *, symbol: str = "", group: str = "", ticket: int = 0) -> tuple[Any, ...] | None:
        """Return the TradePosition of open positions."""
        return self.call("read", lambda: self._positions(symbol, group, ticket))

    def _positions(self, symbol: str, group: str, ticket: int) -> tuple[Any, ...]:
        rows = self.server.books.positions.values()
        asked = [row for row in rows if self._is_asked(row.terms.name, row.ticket, symbol, group, ticket)]
        quotes, value = self.venue.quotes, self.venue.unit_value
        return tuple(row.view(self.terms, quotes[row.terms.symbol], value(row.terms.symbol)) for row in asked)

    # History

    def history_orders_total(self, date_from: Moment, date_to: Moment) -> int | None:
        """Return how many orders ended between two server times."""
        return self.call("events", lambda: len(self._past_orders((date_from, date_to), "", 0, 0)))

    def history_orders_get(
        self,
        date_from: Moment | None = None,
        date_to: Moment | None = None,
        *,
        group: str = "",
        ticket: int = 0,
        position: int = 0,
    ) -> tuple[Any, ...] | None:
        """Return the TradeOrder of orders that ended between two server times, of a ticket or of a position."""
        return self.call("events", lambda: self._past_orders((date_from, date_to), group, ticket, position))

    def _past_orders(
        self, span: tuple[Moment | None, Moment | None], group: str, ticket: int, position: int
    ) -> tuple[Any, ...]:
        now = self.clock.now_ns()
        rows = [row for row in self.server.books.past.values() if row.visible_ns <= now]
        if position:
            return self._orders((r for r in rows if position in (r.position_id, r.position_by_id)), "", "", 0)
        if ticket:
            return self._orders(rows, "", "", ticket)
        window = self._window(span)
        inside = [row for row in rows if window[0] <= self.terms.server_ns(row.done_ns) <= window[1]]
        return self._orders(inside, "", group, 0)

    def history_deals_total(self, date_from: Moment, date_to: Moment) -> int | None:
        """Return how many deals were made between two server times."""
        return self.call("events", lambda: len(self._past_deals((date_from, date_to), "", 0, 0)))

    def history_deals_get(
        self,
        date_from: Moment | None = None,
        date_to: Moment | None = None,
        *,
        group: str = "",
        ticket: int = 0,
        position: int = 0,
    ) -> tuple[Any, ...] | None:
        """Return the TradeDeal of deals between two server times, of an order's ticket or of a position."""
        return self.call("events", lambda: self._past_deals((date_from, date_to), group, ticket, position))

    def _past_deals(
        self, span: tuple[Moment | None, Moment | None], group: str, ticket: int, position: int
    ) -> tuple[Any, ...]:
        now = self.clock.now_ns()
        rows = [row for row in self.server.books.deals if row.visible_ns <= now]
        if position:
            rows = [row for row in rows if row.position_id == position]
        elif ticket:
            rows = [row for row in rows if row.order == ticket]
        else:
            window = self._window(span)
            rows = [row for row in rows if window[0] <= self.terms.server_ns(row.ts_ns) <= window[1]]
            rows = [row for row in rows if is_in_group(row.symbol, group or "*")]
        return tuple(row.view(self.terms) for row in rows)

    def _window(self, span: tuple[Moment | None, Moment | None]) -> tuple[int, int]:
        """Return both server times in ns, the last whole second included."""
        if span[0] is None or span[1] is None:
            raise Failed(mt5.RES_E_INVALID_PARAMS)
        return seconds_of(span[0]) * NS_PER_SECOND, seconds_of(span[1]) * NS_PER_SECOND + NS_PER_SECOND - 1
