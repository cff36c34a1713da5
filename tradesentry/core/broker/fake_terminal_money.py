"""The money of an account behind a terminal: margin with hedged legs, equity, and what a position would gain.

Separate because three ask for it: the account that is shown, the check before an order, and the stop-out. Matching and
conversion are the paper account's kernels; only the margin of hedged legs is the server's own rule: what one side has
over the other costs margin as usual, what both sides share costs `margin_hedged` units a lot, once.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal_books import TerminalBooks
from tradesentry.core.broker.fake_terminal_profile import SymbolTerms
from tradesentry.core.broker.fake_terminal_rows import STRUCTURES, PositionRow, cents
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import Side

_ZEROS: Mapping[str, Any] = dict.fromkeys(
    ("credit", "margin_initial", "margin_maintenance", "assets", "liabilities", "commission_blocked"), 0.0
)


class TerminalMoney:
    """What an account is worth and what it may still do.

    Args:
        books: Of the account.
    """

    def __init__(self, books: TerminalBooks) -> None:
        self._books, self._venue = books, books.venue

    def margin_per_unit(self, symbol: SymbolTerms, price: float) -> float:
        """Return the margin of one unit at `price`, account currency."""
        name = symbol.symbol
        return price * self._venue.unit_value(name) * self._venue.margin_fraction(name)

    def margin(self, extra: tuple[SymbolTerms, Side, Decimal] | None = None) -> Decimal:
        """Return the margin used, cents.

        Args:
            extra: (symbol, side, units) that would be open as well.
        """
        sides: dict[str, dict[Side, Decimal]] = {}
        for row in self._books.positions.values():
            both = sides.setdefault(row.terms.symbol, {Side.BUY: ZERO, Side.SELL: ZERO})
            if row.side is not Side.NONE:
                both[row.side] += abs(row.net)
        if extra is not None:
            self._add(sides, *extra)
        return cents(sum((self._of_symbol(self._books.symbols[name], both) for name, both in sides.items()), ZERO))

    def _add(self, sides: dict[str, dict[Side, Decimal]], symbol: SymbolTerms, side: Side, units: Decimal) -> None:
        both = sides.setdefault(symbol.symbol, {Side.BUY: ZERO, Side.SELL: ZERO})
        both[side] += units
        if not self._books.terms.is_hedging:
            net = both[Side.BUY] - both[Side.SELL]
            both[Side.BUY], both[Side.SELL] = max(net, ZERO), max(-net, ZERO)

    def _of_symbol(self, symbol: SymbolTerms, both: Mapping[Side, Decimal]) -> Decimal:
        quote = self._venue.quotes[symbol.symbol]
        per_unit = {side: Decimal(str(self.margin_per_unit(symbol, quote.closing(side)))) for side in both}
        costs = {side: both[side] * per_unit[side] for side in both}
        if symbol.is_margin_by_larger_leg:
            return max(costs.values())
        larger = max(both, key=lambda side: both[side])
        hedged = min(both.values())
        uncovered = (both[larger] - hedged) * per_unit[larger]
        average = sum(per_unit.values(), ZERO) / 2
        return uncovered + hedged * symbol.hedged_contract / symbol.contract * average

    def profit_of(self, row: PositionRow) -> Decimal:
        """Return the open result of a position, cents."""
        name = row.terms.symbol
        return row.profit(self._venue.quotes[name], self._venue.unit_value(name))

    def profit(self) -> Decimal:
        """Return the open result of all positions with their overnight interest, cents."""
        return sum((self.profit_of(row) + cents(row.swap) for row in self._books.positions.values()), ZERO)

    def equity(self) -> Decimal:
        """Return balance and open result."""
        return self._books.balance + self.profit()

    def level(self, equity: Decimal, margin: Decimal) -> float:
        """Return equity in percent of the margin, 0 without margin."""
        return round(float(equity / margin * 100), 2) if margin else 0.0

    def is_stopped_out(self) -> bool:
        """Say whether the server has to close something."""
        margin = self.margin()
        if margin <= ZERO:
            return False
        equity, terms = self.equity(), self._books.terms
        if terms.margin_so_mode == mt5.ACCOUNT_STOPOUT_MODE_MONEY:
            return float(equity) < terms.margin_so_so
        return float(equity / margin * 100) < terms.margin_so_so

    def affords(self, symbol: SymbolTerms, side: Side, units: Decimal) -> bool:
        """Say whether equity covers the margin with so much more open."""
        after = self.margin((symbol, side, units))
        return after <= self.margin() or after <= self.equity()

    def account_info(self) -> Any:
        """Return the AccountInfo that the package shows."""
        terms, books = self._books.terms, self._books
        margin, equity = self.margin(), self.equity()
        return STRUCTURES["AccountInfo"](
            login=terms.login,
            trade_mode=terms.trade_mode,
            leverage=terms.leverage,
            limit_orders=terms.limit_orders,
            margin_so_mode=terms.margin_so_mode,
            trade_allowed=terms.trade_allowed,
            trade_expert=terms.trade_expert,
            margin_mode=terms.margin_mode,
            currency_digits=2,
            fifo_close=terms.fifo_close,
            balance=float(books.balance),
            profit=float(self.profit()),
            equity=float(equity),
            margin=float(margin),
            margin_free=float(equity - margin),
            margin_level=self.level(equity, margin),
            margin_so_call=terms.margin_so_call,
            margin_so_so=terms.margin_so_so,
            name=terms.name,
            server=terms.server,
            currency=self._venue.currency,
            company=terms.company,
            **_ZEROS,
        )

    def check_result(self, request: Any, code: int, comment: str, after: Decimal | None) -> Any:
        """Return the OrderCheckResult that the package shows.

        Args:
            request: TradeRequest.
            code: Retcode, 0 when the request may be sent.
            comment: In words.
            after: Margin with the order filled; None when it cannot be told.
        """
        equity, margin = self.equity(), self.margin() if after is None else after
        return STRUCTURES["OrderCheckResult"](
            retcode=code,
            balance=float(self._books.balance),
            equity=float(equity),
            profit=float(self.profit()),
            margin=float(margin),
            margin_free=float(equity - margin),
            margin_level=self.level(equity, margin),
            comment=comment,
            request=request,
        )
