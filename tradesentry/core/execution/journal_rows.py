"""What the journal keeps: the values that go in and come out, without a word about how they are stored.

Separate from the port, so that the database's tables and the order manager name states and kinds from one place.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Final
from uuid import UUID

from tradesentry.core.domain.live_orders import Effect, Evidence, OrderIntent, OrderStatus, TimeInForce
from tradesentry.core.domain.orders import OrderType, Side

MAX_SEQ: Final = (1 << 48) - 1
MAX_INSTANCE: Final = (1 << 15) - 1
NS_PER_SECOND: Final = 1_000_000_000


class LiveState(StrEnum):
    """What a live account may do; stored before it takes effect."""

    RECONCILING = "reconciling"
    """Start and after any gap: protective changes only."""
    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


class AttemptKind(StrEnum):
    """What a request to the venue asks for."""

    PLACE = "place"
    REPLACE = "replace"
    CANCEL = "cancel"
    CLOSE = "close"
    PROTECT = "protect"


LOCAL: Final = "local"
"""Evidence of a transition that we made ourselves: sent, denied."""
STATUSES: Final = tuple(status.value for status in OrderStatus)
EVIDENCE: Final = (*(evidence.value for evidence in Evidence), LOCAL)
EFFECTS: Final = tuple(effect.value for effect in Effect)
ATTEMPT_KINDS: Final = tuple(kind.value for kind in AttemptKind)
TRADING_STATES: Final = tuple(state.value for state in LiveState)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act for an account, as long as its epoch is the newest."""

    account_id: UUID
    user_id: UUID
    owner: str
    """Installation and agent slot."""
    epoch: int
    instance: int
    """Upper bits of client order ids."""
    broker: str
    environment: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease just won, and from whom."""

    lease: Lease
    seq: int
    """Last order number given."""
    old_owner: str | None
    old_until_ns: int | None
    now_ns: int
    """The database's clock, ns UTC."""

    def wait_seconds(self, max_send_seconds: float) -> float:
        """Return how long nothing may be sent, because the old owner's last request may still be under way.

        Args:
            max_send_seconds: Longest time between a `SENDING` commit and the first byte.
        """
        if self.old_owner in (None, self.lease.owner) or self.old_until_ns is None:
            return 0.0
        return max(0.0, (self.old_until_ns - self.now_ns) / NS_PER_SECOND + max_send_seconds)


@dataclass(frozen=True, slots=True)
class Transition:
    """One step in the life of an order; the first comes from None."""

    from_status: OrderStatus | None
    to_status: OrderStatus
    cause: str
    evidence: str = LOCAL
    log_id: str | None = None
    event_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to the venue, exactly as it is about to be sent."""

    seq: int
    attempt: int
    kind: AttemptKind
    request: Mapping[str, Any]
    sending_ns: int = 0
    """When it was committed, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Headroom of an open intent."""

    account_id: UUID
    seq: int
    instrument: str
    legs: Mapping[str, Decimal]
    """Signed exposure by currency, account currency."""
    risk: Decimal
    """Loss at the stop, account currency, at least 0."""


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """What an order is now."""

    order_key: str
    """Client order id, or `venue:` and the venue's id."""
    seq: int | None
    """None: not ours (EXTERNAL)."""
    instrument: str
    side: Side
    effect: Effect
    status: OrderStatus
    units: Decimal
    filled_units: Decimal = Decimal(0)
    average_price: float | None = None
    venue_order_ids: tuple[str, ...] = ()
    terms: Mapping[str, Any] = field(default_factory=dict)
    evidence: str = LOCAL
    last_ts_ns: int = 0


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """An open trade at the venue; 0 units when closed."""

    trade_ref: str
    seq: int | None
    instrument: str
    side: Side
    units: Decimal
    entry_price: float
    stop_loss: float | None
    take_profit: float | None
    initial_risk: Decimal | None
    opened_ns: int
    last_ts_ns: int
    terms: Mapping[str, Any] = field(default_factory=dict)
    """What the trade follows from, exact; the numbers above are rounded where they are stored."""


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """Trading state and marks of an account."""

    state: LiveState
    reason: str
    balance: Decimal
    equity: Decimal
    high_water_mark: Decimal
    day_start_equity: Decimal
    as_of_ns: int
    flows: Decimal = Decimal(0)
    return_state: LiveState | None = None


@dataclass(frozen=True, slots=True)
class BookAccount:
    """Another account of the same user and environment, as its own agent last stored it."""

    account_id: UUID
    currency: str
    """Empty: not known."""
    equity: Decimal | None
    as_of_ns: int
    positions: tuple[PositionRecord, ...] = ()
    """Those with units."""


@dataclass(frozen=True, slots=True)
class EquityRecord:
    """Balance and equity at one instant."""

    ts_ns: int
    balance: Decimal
    equity: Decimal
    margin_used: Decimal


@dataclass(frozen=True, slots=True)
class SavedState:
    """A strategy's memory on one market after a bar."""

    run_id: UUID
    market: str
    bar_close_ns: int
    dtype_digest: str
    snapshot: bytes


@dataclass(frozen=True, slots=True)
class StoredIntent:
    """An intent as the journal holds it."""

    intent: OrderIntent
    client_order_id: str
    epoch: int
    risk: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AccountJournal:
    """All that recovery starts from."""

    account: AccountRecord | None
    log_id: str | None
    cursor: int
    """Events of `log_id` are complete up to here."""
    orders: Sequence[OrderRecord]
    """Those that are not terminal."""
    attempts: Sequence[Attempt]
    """Of these orders."""
    positions: Sequence[PositionRecord]
    """Those with units."""
    reservations: Sequence[Reservation]


@dataclass(frozen=True, slots=True)
class Durability:
    """Whether a confirmed commit survives a crash."""

    fsync: bool
    full_page_writes: bool

    @property
    def is_safe(self) -> bool:
        """Whether demo and real accounts may be traded."""
        return self.fsync and self.full_page_writes


_NUL: Final = "\\u0000"


def json_value(value: Any) -> Any:
    """Return a value as JSON that PostgreSQL takes: decimals as text, no NaN, no NUL character.

    Args:
        value: What a venue sent or a record holds; anything, therefore `Any`.
    """
    if isinstance(value, Enum):
        return json_value(value.value)
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {json_value(str(name)): json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(item) for item in value]
    return value


def json_text(value: Any) -> str:
    """Return a value as the JSON text of `json_value`: in one pass, unless it holds what PostgreSQL does not take.

    Args:
        value: Anything, therefore `Any`.
    """
    try:
        text = json.dumps(value, default=json_value, allow_nan=False)
    except (TypeError, ValueError):
        text = _NUL
    return json.dumps(json_value(value), allow_nan=False) if _NUL in text else text


def intent_json(intent: OrderIntent) -> dict[str, Any]:
    """Return an intent as JSON; `intent_of` reads it back equal."""
    return {str(name): json_value(value) for name, value in asdict(intent).items()}


def intent_of(values: Mapping[str, Any]) -> OrderIntent:
    """Return the intent that `intent_json` wrote."""
    return OrderIntent(
        **{
            **values,
            "side": Side(values["side"]),
            "units": Decimal(values["units"]),
            "type": OrderType(values["type"]),
            "tif": TimeInForce(values["tif"]),
            "effect": Effect(values["effect"]),
        }
    )
