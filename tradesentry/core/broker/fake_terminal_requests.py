"""What may be asked of a terminal's server: one request, and what a server looks at whatever is asked.

Each look answers with a retcode, 0 when there is nothing to say; `fake_terminal_checks` puts them in order for each
kind of request. Prices are compared with half a point of slack, as floats need.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Final

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal_books import TerminalBooks
from tradesentry.core.broker.fake_terminal_money import TerminalMoney
from tradesentry.core.broker.fake_terminal_profile import SymbolTerms, TerminalTerms
from tradesentry.core.broker.fake_terminal_rows import STRUCTURES, OrderRow, PositionRow, side_of
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import Side
from tradesentry.core.domain.venue import Quote

OK: Final = 0
DAY_SECONDS: Final = 86_400
_FILLING_FLAGS: Final = {
    mt5.ORDER_FILLING_FOK: mt5.FILLING_FLAG_FOK,
    mt5.ORDER_FILLING_IOC: mt5.FILLING_FLAG_IOC,
    mt5.ORDER_FILLING_BOC: mt5.FILLING_FLAG_BOC,
}
LIMITS: Final = (mt5.ORDER_TYPE_BUY_LIMIT, mt5.ORDER_TYPE_SELL_LIMIT)
STOP_LIMITS: Final = (mt5.ORDER_TYPE_BUY_STOP_LIMIT, mt5.ORDER_TYPE_SELL_STOP_LIMIT)
_MODE_CODES: Final = {
    mt5.SYMBOL_TRADE_MODE_DISABLED: mt5.TRADE_RETCODE_TRADE_DISABLED,
    mt5.SYMBOL_TRADE_MODE_CLOSEONLY: mt5.TRADE_RETCODE_CLOSE_ONLY,
}


@dataclass(frozen=True, slots=True)
class Request:
    """A trade request; fields in the order of the package's TradeRequest."""

    action: int = 0
    magic: int = 0
    order: int = 0
    symbol: str = ""
    volume: float = 0.0
    price: float = 0.0
    stoplimit: float = 0.0
    sl: float = 0.0
    tp: float = 0.0
    deviation: int = 0
    type: int = 0
    type_filling: int = 0
    type_time: int = 0
    expiration: int = 0
    comment: str = ""
    position: int = 0
    position_by: int = 0

    @property
    def side(self) -> Side:
        """Direction of the order type."""
        return side_of(self.type)

    @property
    def lots(self) -> Decimal:
        """Volume as it reads."""
        return Decimal(str(self.volume))

    def view(self) -> Any:
        """Return the TradeRequest that the package shows."""
        return STRUCTURES["TradeRequest"](*(getattr(self, item.name) for item in fields(self)))


_TYPES: Final[Mapping[str, type]] = {item.name: type(item.default) for item in fields(Request)}


def parse_request(said: Any) -> Request | str:
    """Return the request of a dictionary, or the name of what the package cannot read in it."""
    if not isinstance(said, Mapping):
        return "request"
    for name, value in said.items():
        wanted = _TYPES.get(name)
        numbers = (int, float) if wanted is float else (int,)
        if wanted is None or isinstance(value, bool) or not isinstance(value, str if wanted is str else numbers):
            return str(name)
    return Request(**{name: _TYPES[name](value) for name, value in said.items()})


class RequestLooks:
    """What a server looks at, whatever is asked of it.

    Args:
        books: Of the account.
        money: Of the account.
        terminal: Settings of the program.
    """

    def __init__(self, books: TerminalBooks, money: TerminalMoney, terminal: TerminalTerms) -> None:
        self._books, self._money, self._terminal = books, money, terminal

    # Look-ups

    def symbol_named(self, name: str) -> SymbolTerms | None:
        """Return a symbol by the server's name."""
        return next((terms for terms in self._books.symbols.values() if terms.name == name), None)

    def position_at(self, ticket: int) -> PositionRow | None:
        """Return an open position by its present ticket."""
        return next((row for row in self._books.positions.values() if row.ticket == ticket), None)

    def resting(self, ticket: int) -> OrderRow | None:
        """Return a resting order."""
        row = self._books.orders.get(ticket)
        return row if row is not None and row.is_pending else None

    def quote_of(self, symbol: SymbolTerms) -> Quote | None:
        """Return the present prices of a symbol."""
        return self._books.venue.quotes.get(symbol.symbol)

    # Common questions

    def _permission(self) -> int:
        terms = self._books.terms
        if not self._terminal.connected:
            return mt5.TRADE_RETCODE_CONNECTION
        if not self._terminal.trade_allowed:
            return mt5.TRADE_RETCODE_CLIENT_DISABLES_AT
        if not terms.trade_expert:
            return mt5.TRADE_RETCODE_SERVER_DISABLES_AT
        return OK if terms.trade_allowed else mt5.TRADE_RETCODE_TRADE_DISABLED

    def _market(self, symbol: SymbolTerms | None) -> int:
        if symbol is None:
            return mt5.TRADE_RETCODE_INVALID
        if symbol.trade_mode == mt5.SYMBOL_TRADE_MODE_DISABLED:
            return mt5.TRADE_RETCODE_TRADE_DISABLED
        quote = self.quote_of(symbol)
        if quote is None or not symbol.is_selected:
            return mt5.TRADE_RETCODE_PRICE_OFF
        return OK if quote.is_tradeable else mt5.TRADE_RETCODE_MARKET_CLOSED

    def _direction(self, symbol: SymbolTerms, side: Side) -> int:
        if symbol.trade_mode == mt5.SYMBOL_TRADE_MODE_LONGONLY and side is Side.SELL:
            return mt5.TRADE_RETCODE_LONG_ONLY
        if symbol.trade_mode == mt5.SYMBOL_TRADE_MODE_SHORTONLY and side is Side.BUY:
            return mt5.TRADE_RETCODE_SHORT_ONLY
        return _MODE_CODES.get(symbol.trade_mode, OK)

    def _volume(self, symbol: SymbolTerms, lots: Decimal) -> int:
        is_good = symbol.volume_min <= lots <= symbol.volume_max and lots % symbol.volume_step == ZERO
        return OK if is_good else mt5.TRADE_RETCODE_INVALID_VOLUME

    def _filling(self, symbol: SymbolTerms, request: Request) -> int:
        is_pending = request.action == mt5.TRADE_ACTION_PENDING
        if request.type_filling == mt5.ORDER_FILLING_RETURN:
            is_good = is_pending or symbol.exemode != mt5.SYMBOL_TRADE_EXECUTION_MARKET
        else:
            is_good = bool(_FILLING_FLAGS.get(request.type_filling, 0) & symbol.filling_mode)
            if request.type_filling == mt5.ORDER_FILLING_BOC:
                is_good = is_good and request.type in (*LIMITS, *STOP_LIMITS)
        return OK if is_good else mt5.TRADE_RETCODE_INVALID_FILL

    def _stops(self, symbol: SymbolTerms, side: Side, reference: float, stops: tuple[float, float]) -> int:
        """Check (stop loss, take profit), 0 for none, against the price at which the position would close."""
        stop_loss, take_profit = stops
        least = (max(symbol.stops_level, 1) - 0.5) * symbol.point
        is_near = (stop_loss and side * (reference - stop_loss) < least) or (
            take_profit and side * (take_profit - reference) < least
        )
        is_good = not is_near and is_on_grid(symbol, stop_loss) and is_on_grid(symbol, take_profit)
        return OK if is_good else mt5.TRADE_RETCODE_INVALID_STOPS

    def _limits(self, symbol: SymbolTerms, side: Side, lots: Decimal) -> int:
        """Check the volume that may be open and resting in one direction."""
        books = self._books
        if symbol.volume_limit:
            held = sum(
                (row.volume for row in books.positions.values() if row.terms is symbol and row.side == side), ZERO
            )
            rest = (row for row in books.orders.values() if row.symbol == symbol.name and row.side == side)
            if held + sum((row.volume_current for row in rest), ZERO) + lots > symbol.volume_limit:
                return mt5.TRADE_RETCODE_LIMIT_VOLUME
        return OK

    def _is_frozen(self, symbol: SymbolTerms, price: float, level: float) -> bool:
        """Say whether the price is too near to a level for the level to be changed."""
        return bool(level and symbol.freeze_level) and abs(price - level) < (symbol.freeze_level + 0.5) * symbol.point

    def _expiration(self, symbol: SymbolTerms, request: Request) -> int:
        flags = {
            mt5.ORDER_TIME_GTC: mt5.EXPIRATION_FLAG_GTC,
            mt5.ORDER_TIME_DAY: mt5.EXPIRATION_FLAG_DAY,
            mt5.ORDER_TIME_SPECIFIED: mt5.EXPIRATION_FLAG_SPECIFIED,
            mt5.ORDER_TIME_SPECIFIED_DAY: mt5.EXPIRATION_FLAG_SPECIFIED_DAY,
        }
        is_good = bool(flags.get(request.type_time, 0) & symbol.expiration_mode)
        if request.type_time >= mt5.ORDER_TIME_SPECIFIED:
            is_good = is_good and self.expires_ns(request) > self._books.now()
        return OK if is_good else mt5.TRADE_RETCODE_INVALID_EXPIRATION

    def expires_ns(self, request: Request) -> int:
        """Return the instant at which a resting order ends, 0 for never."""
        terms = self._books.terms
        if request.type_time == mt5.ORDER_TIME_GTC:
            return 0
        if request.type_time == mt5.ORDER_TIME_SPECIFIED:
            return terms.utc_ns(request.expiration)
        is_today = request.type_time == mt5.ORDER_TIME_DAY
        day = (terms.server_seconds(self._books.now()) if is_today else request.expiration) // DAY_SECONDS
        return terms.utc_ns((day + 1) * DAY_SECONDS - 1)


def is_on_grid(symbol: SymbolTerms, price: float) -> bool:
    """Say whether a price is a multiple of the symbol's tick."""
    steps = price / symbol.item.instrument.tick
    return abs(steps - round(steps)) < 1e-3
