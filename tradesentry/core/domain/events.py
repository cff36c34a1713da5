"""What happened at a venue: numbered events kept as they came, and the facts that can be read from one.

An event is stored raw and once, by (account, log_id, seq); everything else (orders, fills, positions) is a fold over
the facts of these events and can be computed again from the first one. A broker yields events, execution consumes
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.domain.orders import OrderType, Side


class EventKind(StrEnum):
    """The kinds that execution tells apart; what a venue says beyond them is OTHER and is kept."""

    ORDER_ACCEPTED = "order_accepted"
    ORDER_REJECTED = "order_rejected"
    ORDER_FILLED = "order_filled"
    ORDER_CANCELED = "order_canceled"
    ORDER_EXPIRED = "order_expired"
    CHANGE_REFUSED = "change_refused"
    """A cancel or replacement that the venue refused."""
    PROTECTION = "protection"
    """A stop or target of a trade was set or removed."""
    SWAP = "swap"
    TRANSFER = "transfer"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class BrokerEvent:
    """One numbered event of an account; key (account, log_id, seq)."""

    account: str
    log_id: str
    """Names one numbering; another one means that the venue's log was lost or replaced."""
    seq: int
    kind: EventKind
    payload: Mapping[str, Any]
    """As received, JSON values."""
    ts_ns: int
    received_ts_ns: int


@dataclass(frozen=True, slots=True)
class Fill:
    """Units that changed hands; key (account, fill_id, leg)."""

    account: str
    fill_id: str
    """Transaction or deal id of the venue."""
    leg: int
    """One venue fill may touch several trades."""
    venue_order_id: str
    client_order_id: str | None
    trade_ref: str
    symbol: str
    side: Side
    """Of the fill: closing a long sells."""
    units: Decimal
    """Above 0."""
    price: float
    commission: Decimal
    """Charged, at least 0."""
    swap: Decimal
    realized: Decimal
    ts_ns: int
    effect: Effect


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What the venue says that an order is: how one that is not ours becomes known, and new terms after a change."""

    symbol: str
    side: Side
    units: Decimal
    """Above 0."""
    type: OrderType
    price: float | None = None
    stop_loss: float | None = None
    take_profit: float | None = None
    expires_ts_ns: int = 0


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What one event says, in the platform's words; empty fields are not said."""

    kind: EventKind
    venue_order_id: str | None = None
    client_order_id: str | None = None
    trade_ref: str | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    reason: str = ""
    fills: tuple[Fill, ...] = ()
    which: str | None = None
    """stop_loss or take_profit, for PROTECTION."""
    price: float | None = None
    """The new stop or target; None when it was removed."""
    amount: Decimal = Decimal(0)
    """What the event added to the balance."""
    balance: Decimal | None = None
    """Afterwards, where the venue says so."""
    terms: OrderTerms | None = None
    """Of the order, for ORDER_ACCEPTED."""
    swaps: tuple[tuple[str, Decimal], ...] = ()
    """Overnight interest by trade, where one event tells it for several."""


@dataclass(frozen=True, slots=True)
class StreamDown:
    """A stream broke; what came between it and the next event must be fetched."""

    stream: str
    """events or quotes."""
    reason: str
    ts_ns: int
