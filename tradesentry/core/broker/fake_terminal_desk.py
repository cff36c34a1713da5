"""What a trade server does by itself: it fills what was taken, nets, guards, and closes when the margin is gone.

Separate from the requests (`fake_terminal_server`). Fills, stops and targets are the paper account's kernels; the desk
hands orders over to it, turns stop-limit orders that were reached into limit orders, sets opposite sides of a netting
position off against each other, and closes the largest loser first.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.fake_terminal_books import TerminalBooks
from tradesentry.core.broker.fake_terminal_checks import RequestChecks
from tradesentry.core.broker.fake_terminal_money import TerminalMoney
from tradesentry.core.broker.fake_terminal_profile import AccountTerms, SymbolTerms, TerminalTerms
from tradesentry.core.broker.fake_terminal_requests import LIMITS, STOP_LIMITS
from tradesentry.core.broker.fake_terminal_rows import DealRow, OrderRow, PositionRow
from tradesentry.core.broker.fake_terminal_venue import TerminalVenue
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.broker.paper_venue import Refusal
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.live_orders import TimeInForce
from tradesentry.core.domain.money import ZERO
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


def code_of(word: str) -> int:
    """Return the retcode that a reason names: a number, a name of the package without its prefix, or a paper word."""
    if word.isdigit():
        return int(word)
    return CODES.get(word) or mt5.CONSTANTS.get(f"TRADE_RETCODE_{word}", mt5.TRADE_RETCODE_REJECT)


class TradeDesk:
    """One account and what happens to it.

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

    def _execute(self, row: OrderRow, lots: Decimal) -> int:
        """Let the paper account fill `lots` of a market order; return the retcode of what stops it, 0 for nothing."""
        symbol = next(terms for terms in self.symbols.values() if terms.name == row.symbol)
        units = symbol.units(lots)
        position = self.books.positions.get(row.closes)
        if row.closes and position is None:
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

    def _guard(self, position: PositionRow) -> str:
        """Give all parts of a position its stop and target; return the reason of a refusal."""
        stop, aim = position.sl or math.nan, position.tp or math.nan
        for trade_id in position.legs:
            answer = self.venue.protect(trade_id, stop_loss=stop, take_profit=aim)
            if isinstance(answer, Refusal):
                return answer.code
        return ""

    # By itself

    def show(self, quote: Quote) -> None:
        """Bring a price; whatever it reaches is done."""
        self.venue.quotes[quote.symbol] = quote
        for row in tuple(self.books.orders.values()):
            self._check_activation(row, quote)
        self.venue.on_quote(quote)
        self._settle_up()
        for row in tuple(self.books.orders.values()):
            if row.type in STOP_LIMITS and not self.books.is_bound(row):
                self._trigger(row, quote)
        self.catch_up()
        while self.money.is_stopped_out():
            self._stop_out()

    def _check_activation(self, row: OrderRow, quote: Quote) -> None:
        """End a resting order that is reached and that the account cannot pay for."""
        symbol = self.symbols[quote.symbol]
        if symbol.name != row.symbol or not row.is_pending or not self.books.is_bound(row):
            return
        is_limit = row.type in LIMITS or row.type in STOP_LIMITS
        price = row.price_stoplimit or row.price_open
        beyond = row.side * (quote.opening(row.side) - price) * (-1 if is_limit else 1)
        is_reached = beyond >= (0.5 if is_limit else -0.5) * symbol.point and quote.is_tradeable
        if is_reached and not self.money.affords(symbol, row.side, symbol.units(row.volume_current)):
            row.comment = self.terms.comment("no money")
            self.venue.cancel(self.books.venue_order(row))

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
        for position, deal in self.books.take_mixed():
            self._net(position, deal)
        if not self.terms.is_hedging:
            for position in tuple(self.books.positions.values()):
                wanted = (position.sl, position.tp)
                if any((leg.sl, leg.tp) != wanted for leg in position.legs.values()):
                    self._guard(position)
            self.books.drain()

    def _net(self, position: PositionRow, deal: DealRow) -> None:
        """Set the two sides of a position off against each other at the price of the fill that mixed them."""
        sides = (Side.BUY, Side.SELL)
        units = min(sum((leg.units for leg in position.legs.values() if leg.side is side), ZERO) for side in sides)
        self.books.setting_off = deal
        self.venue.offset([part for side in sides for part in shares(position, side, units)], deal.price)
        self.books.drain()
        self.books.setting_off = None

    def _tell_time(self) -> None:
        self.venue.now_ns = max(self.venue.now_ns, self._clock.now_ns())


def shares(position: PositionRow, side: Side, units: Decimal) -> list[tuple[str, Decimal]]:
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
