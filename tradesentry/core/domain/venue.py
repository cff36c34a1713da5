"""What a venue says about itself: instruments as it trades them, quotes, the account, positions and trades.

Values only; who asks for them and what follows is the business of brokers and of execution. Symbols are canonical
(EURUSD); each adapter maps the venue's spelling at its border.
"""

from dataclasses import dataclass
from decimal import Decimal

from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.orders import Side


@dataclass(frozen=True, slots=True)
class VenueInstrument:
    """An instrument with the numbers that this venue trades it by; they override the table's."""

    instrument: Instrument
    venue_name: str
    """As the venue spells it: EUR_USD, EURUSD.m."""
    price_digits: int
    """Decimals of a price."""
    units_digits: int
    """Decimals of a size."""
    unit_step: Decimal
    min_units: Decimal
    max_units: Decimal
    min_stop_distance: float = 0.0
    """Price units between the closing quote and a stop."""
    freeze_distance: float = 0.0
    """Price units within which a resting order can no longer be changed."""
    is_tradeable: bool = True
    max_position_units: Decimal | None = None
    """Units that may be open in one direction; None any."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask."""

    symbol: str
    bid: float
    ask: float
    ts_ns: int
    """The venue's time."""
    received_ts_ns: int
    is_tradeable: bool = True

    def opening(self, side: Side) -> float:
        """Return the price at which a market order of `side` would fill."""
        return self.ask if side is Side.BUY else self.bid

    def closing(self, side: Side) -> float:
        """Return the price at which a position of `side` would close."""
        return self.bid if side is Side.BUY else self.ask


@dataclass(frozen=True, slots=True)
class AccountState:
    """The money of an account as of `last_seq`."""

    account: str
    balance: Decimal
    equity: Decimal
    unrealized: Decimal
    margin_used: Decimal
    margin_free: Decimal
    currency: str
    log_id: str
    last_seq: int
    """Newest event of the venue that these numbers contain."""
    is_hedging: bool
    as_of_ns: int
    environment: str = "paper"
    """paper, practice or live."""


@dataclass(frozen=True, slots=True)
class Position:
    """Net units of one instrument, negative when short."""

    symbol: str
    units: Decimal
    average_price: float
    unrealized: Decimal


@dataclass(frozen=True, slots=True)
class OpenTrade:
    """One venue trade or ticket."""

    trade_id: str
    symbol: str
    side: Side
    units: Decimal
    """Still open, above 0."""
    initial_units: Decimal
    entry_price: float
    entry_ts_ns: int
    stop_loss: float | None
    take_profit: float | None
    client_order_id: str | None
    """Ours when the trade came from an order of ours."""
    initial_stop: float | None = None
    unrealized: Decimal = Decimal(0)
