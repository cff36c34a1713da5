"""Orders of a live account: what was intended, where each order stands, and how our ids are written.

Separate from `orders`, whose small integers are compiled into kernels. An order goes `OrderIntent → Order → Fill →
Position → Trade`; the status of an order is a fold of evidence, done in execution.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tradesentry.core.domain.errors import UsageError
from tradesentry.core.domain.orders import OrderType, Side

PREFIX: Final = "ts1-"
_DIGITS: Final = "abcdefghijklmnopqrstuvwxyz234567"
_N_DIGITS: Final = 13
_SEQ_BITS: Final = 48
_INSTANCE_BITS: Final = 15


class OrderStatus(StrEnum):
    """Where an order stands; terminal states but DENIED and FILLED are reopened by contrary evidence."""

    NEW = "new"
    SENDING = "sending"
    """Committed before the first byte leaves."""
    UNKNOWN = "unknown"
    """Sent, and nobody knows what became of it."""
    ACCEPTED = "accepted"
    PARTLY_FILLED = "partly_filled"
    REPLACING = "replacing"
    CANCELING = "canceling"
    DENIED = "denied"
    """Refused by our own gates; never sent."""
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    """Definitely refused by the venue."""
    NOT_PLACED = "not_placed"
    """Proven never to have reached the venue."""

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more is expected."""
        return self in TERMINAL


TERMINAL: Final = frozenset(
    (
        OrderStatus.DENIED,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
        OrderStatus.REJECTED,
        OrderStatus.NOT_PLACED,
    )
)


class Evidence(StrEnum):
    """How we know."""

    REPLY = "reply"
    STREAM = "stream"
    POLL = "poll"
    INFERRED = "inferred"


class Effect(StrEnum):
    """What an order may do to exposure."""

    OPEN = "open"
    REDUCE = "reduce"


class TimeInForce(StrEnum):
    """How long an order lives."""

    GTC = "GTC"
    GTD = "GTD"
    FOK = "FOK"
    IOC = "IOC"


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """What a strategy, a watcher or a person wants, as the journal keeps it."""

    account: str
    seq: int
    symbol: str
    side: Side
    units: Decimal
    type: OrderType = OrderType.MARKET
    run: str | None = None
    bar_close_ns: int = 0
    intent_index: int = 0
    limit_price: float | None = None
    stop_price: float | None = None
    tif: TimeInForce = TimeInForce.GTC
    expires_ts_ns: int = 0
    stop_loss: float | None = None
    take_profit: float | None = None
    max_slippage_pips: float | None = None
    effect: Effect = Effect.OPEN
    trade_ref: str | None = None
    group_id: str | None = None
    leg: int = 0
    allow_partial: bool = False
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the evidence so far shows it."""

    client_order_id: str
    status: OrderStatus
    units: Decimal
    filled_units: Decimal = Decimal(0)
    average_price: float | None = None
    venue_order_ids: tuple[str, ...] = field(default=())
    """The newest last; a replacement appends."""
    last_ts_ns: int = 0
    evidence: Evidence = Evidence.REPLY


def order_number(instance: int, seq: int) -> int:
    """Return the 63-bit number of an order, which is also MT5's `magic`.

    Args:
        instance: Drawn when the account was linked, 0 .. 32,767.
        seq: Of the account, from the journal, 1 .. 2**48 - 1.

    Raises:
        UsageError: Out of range.
    """
    if not (0 <= instance < 1 << _INSTANCE_BITS and 0 < seq < 1 << _SEQ_BITS):
        raise UsageError(
            f"No client order id can be made of instance {instance} and seq {seq}: instance takes {_INSTANCE_BITS} "
            f"bits and seq 1 to 2**{_SEQ_BITS} - 1. Take both from the account's lease row."
        )
    return instance << _SEQ_BITS | seq


def client_order_id(instance: int, seq: int) -> str:
    """Return the id that an order carries at the venue, 17 characters. Arguments as `order_number`."""
    number = order_number(instance, seq)
    digits = (_DIGITS[number >> 5 * i & 31] for i in reversed(range(_N_DIGITS)))
    return PREFIX + "".join(digits)


def parse_client_order_id(text: str | None) -> tuple[int, int] | None:
    """Return (instance, seq) of an id of ours, None for anything else."""
    if text is None or len(text) != len(PREFIX) + _N_DIGITS or not text.startswith(PREFIX):
        return None
    number = 0
    for digit in text[len(PREFIX) :]:
        value = _DIGITS.find(digit)
        if value < 0:
            return None
        number = number << 5 | value
    instance, seq = number >> _SEQ_BITS, number & (1 << _SEQ_BITS) - 1
    return (instance, seq) if instance < 1 << _INSTANCE_BITS and seq > 0 else None
