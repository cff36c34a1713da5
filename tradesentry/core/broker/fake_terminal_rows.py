"""The three things a terminal's server remembers: orders, deals and positions, with the numbers that they show.

Separate from how they change (`fake_terminal_books`). An order is what was asked, a deal is what changed hands, a
position is the sum of its deals; they are tied by tickets: a deal names its order and the identifier of its position.
"""

from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal_profile import CENT, AccountTerms, SymbolTerms
from tradesentry.core.domain.money import ZERO
from tradesentry.core.domain.orders import Side
from tradesentry.core.domain.venue import Quote

# The fields are data here, so no static class can be written; `Any` is the honest type of such a tuple.
STRUCTURES: Final[Mapping[str, Any]] = MappingProxyType(
    {name: namedtuple(name, fields) for name, fields in mt5.STRUCTURES.items()}
)
"""A named tuple for each structure of the package."""
MILLISECOND_NS: Final = 1_000_000
BUYS: Final = (
    mt5.ORDER_TYPE_BUY,
    mt5.ORDER_TYPE_BUY_LIMIT,
    mt5.ORDER_TYPE_BUY_STOP,
    mt5.ORDER_TYPE_BUY_STOP_LIMIT,
)


def cents(amount: Decimal) -> Decimal:
    """Return money as an account counts it."""
    return amount.quantize(CENT)


def side_of(order_type: int) -> Side:
    """Return the direction of an order type."""
    return Side.BUY if order_type in BUYS else Side.SELL


@dataclass(slots=True)
class OrderRow:
    """An order; volumes in lots, times ns UTC."""

    ticket: int
    symbol: str
    """As the server names it."""
    type: int
    volume_initial: Decimal
    volume_current: Decimal
    setup_ns: int
    state: int = mt5.ORDER_STATE_STARTED
    magic: int = 0
    reason: int = mt5.ORDER_REASON_EXPERT
    price_open: float = 0.0
    price_stoplimit: float = 0.0
    sl: float = 0.0
    tp: float = 0.0
    type_time: int = mt5.ORDER_TIME_GTC
    type_filling: int = mt5.ORDER_FILLING_RETURN
    expires_ns: int = 0
    comment: str = ""
    position_id: int = 0
    """Of the position it opened or closes."""
    closes: int = 0
    """Identifier of the position that it was sent to close; 0 when it opens."""
    position_by_id: int = 0
    done_ns: int = 0
    visible_ns: int = 0
    """From when the history shows it."""

    @property
    def side(self) -> Side:
        """Direction."""
        return side_of(self.type)

    @property
    def is_pending(self) -> bool:
        """Whether it waits for a price."""
        return mt5.ORDER_TYPE_BUY_LIMIT <= self.type <= mt5.ORDER_TYPE_SELL_STOP_LIMIT

    def view(self, terms: AccountTerms, quote: Quote | None) -> Any:
        """Return the TradeOrder that the package shows."""
        setup, done = terms.server_ns(self.setup_ns), terms.server_ns(self.done_ns) if self.done_ns else 0
        return STRUCTURES["TradeOrder"](
            ticket=self.ticket,
            time_setup=setup // 1_000_000_000,
            time_setup_msc=setup // MILLISECOND_NS,
            time_done=done // 1_000_000_000,
            time_done_msc=done // MILLISECOND_NS,
            time_expiration=terms.server_seconds(self.expires_ns),
            type=self.type,
            type_time=self.type_time,
            type_filling=self.type_filling,
            state=self.state,
            magic=self.magic,
            position_id=self.position_id,
            position_by_id=self.position_by_id,
            reason=self.reason,
            volume_initial=float(self.volume_initial),
            volume_current=float(self.volume_current),
            price_open=self.price_open,
            sl=self.sl,
            tp=self.tp,
            price_current=0.0 if quote is None else quote.opening(self.side),
            price_stoplimit=self.price_stoplimit,
            symbol=self.symbol,
            comment=self.comment,
            external_id="",
        )


@dataclass(slots=True)
class DealRow:
    """A deal; money raw, shown in cents."""

    ticket: int
    order: int
    ts_ns: int
    type: int
    symbol: str = ""
    entry: int = mt5.DEAL_ENTRY_IN
    magic: int = 0
    position_id: int = 0
    reason: int = mt5.DEAL_REASON_EXPERT
    volume: Decimal = ZERO
    price: float = 0.0
    commission: Decimal = ZERO
    """Negative when charged."""
    swap: Decimal = ZERO
    profit: Decimal = ZERO
    comment: str = ""
    visible_ns: int = 0

    @property
    def amount(self) -> Decimal:
        """What the deal added to the balance, cents."""
        return cents(self.commission) + cents(self.swap) + cents(self.profit)

    def view(self, terms: AccountTerms) -> Any:
        """Return the TradeDeal that the package shows."""
        server_ns = terms.server_ns(self.ts_ns)
        return STRUCTURES["TradeDeal"](
            ticket=self.ticket,
            order=self.order,
            time=server_ns // 1_000_000_000,
            time_msc=server_ns // MILLISECOND_NS,
            type=self.type,
            entry=self.entry,
            magic=self.magic,
            position_id=self.position_id,
            reason=self.reason,
            volume=float(self.volume),
            price=round(self.price, 10),
            commission=float(cents(self.commission)),
            swap=float(cents(self.swap)),
            profit=float(cents(self.profit)),
            fee=0.0,
            symbol=self.symbol,
            comment=self.comment,
            external_id="",
        )


@dataclass(slots=True)
class Leg:
    """Units of a trade of the paper account that a position is made of."""

    side: Side
    units: Decimal
    price: float
    sl: float = 0.0
    tp: float = 0.0


@dataclass(slots=True)
class PositionRow:
    """A position; netting makes it of several trades."""

    ticket: int
    """Changes when netting turns the position round."""
    identifier: int
    """Never changes."""
    terms: SymbolTerms
    magic: int
    reason: int
    comment: str
    opened_ns: int
    updated_ns: int
    sl: float = 0.0
    tp: float = 0.0
    swap: Decimal = ZERO
    legs: dict[str, Leg] = field(default_factory=dict)
    """By trade id."""

    @property
    def net(self) -> Decimal:
        """Signed units."""
        return sum((leg.side * leg.units for leg in self.legs.values()), ZERO)

    @property
    def side(self) -> Side:
        """Direction."""
        return Side.BUY if self.net > ZERO else Side.SELL if self.net < ZERO else Side.NONE

    @property
    def volume(self) -> Decimal:
        """Lots."""
        return self.terms.lots(abs(self.net))

    @property
    def price_open(self) -> float:
        """Average over what is open."""
        units = sum((leg.units for leg in self.legs.values()), ZERO)
        total = sum(float(leg.units) * leg.price for leg in self.legs.values())
        return round(total / float(units), 10) if units else 0.0

    def profit(self, quote: Quote, unit_value: float) -> Decimal:
        """Return the open result at a quote, cents."""
        if self.side is Side.NONE:
            return ZERO
        move = self.side * (quote.closing(self.side) - self.price_open)
        return cents(Decimal(str(move * float(abs(self.net)) * unit_value)))

    def view(self, terms: AccountTerms, quote: Quote, unit_value: float) -> Any:
        """Return the TradePosition that the package shows."""
        opened, updated = terms.server_ns(self.opened_ns), terms.server_ns(self.updated_ns)
        return STRUCTURES["TradePosition"](
            ticket=self.ticket,
            time=opened // 1_000_000_000,
            time_msc=opened // MILLISECOND_NS,
            time_update=updated // 1_000_000_000,
            time_update_msc=updated // MILLISECOND_NS,
            type=mt5.POSITION_TYPE_BUY if self.side is Side.BUY else mt5.POSITION_TYPE_SELL,
            magic=self.magic,
            identifier=self.identifier,
            reason=self.reason,
            volume=float(self.volume),
            price_open=self.price_open,
            sl=self.sl,
            tp=self.tp,
            price_current=quote.closing(self.side),
            swap=float(cents(self.swap)),
            profit=float(self.profit(quote, unit_value)),
            symbol=self.terms.name,
            comment=self.comment,
            external_id="",
        )
