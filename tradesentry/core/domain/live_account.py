"""What a live account looks like from inside: orders and trades as the journal's events tell them, and what changed.

A fold of venue events makes these values (`execution.account_book`); decisions, the watcher, the tracker and the
console read them. Frozen: a change makes a new value, so whoever holds one can keep it.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias
from uuid import UUID

from tradesentry.core.domain.events import Fill
from tradesentry.core.domain.live_orders import Effect, Evidence, OrderStatus
from tradesentry.core.domain.orders import OrderType, Side


@dataclass(frozen=True, slots=True)
class LiveOrder:
    """An order, ours or found at the venue (EXTERNAL), as the evidence so far shows it."""

    key: str
    """Client order id, or `venue:` and the venue's id when it is not ours."""
    seq: int | None
    """Number in the journal; None: EXTERNAL."""
    run: UUID | None
    symbol: str
    side: Side
    effect: Effect
    type: OrderType
    status: OrderStatus
    units: Decimal
    filled_units: Decimal = Decimal(0)
    average_price: float | None = None
    price: float | None = None
    """Of a limit or stop order, as it rests now."""
    stop_loss: float | None = None
    take_profit: float | None = None
    expires_ts_ns: int = 0
    venue_order_ids: tuple[str, ...] = ()
    """Newest last."""
    trade_ref: str | None = None
    """The trade that it opened or reduces."""
    reason: str = ""
    """Why it ended, in the venue's words."""
    evidence: Evidence | None = None
    last_ts_ns: int = 0
    bar_close_ns: int = 0
    """Bar that decided it; 0 none."""
    ticket: str = ""
    """INTENT record of the decision in hexadecimal; empty when no strategy made it."""
    group: str | None = None
    tag: str = ""

    @property
    def is_external(self) -> bool:
        """Whether somebody else placed it."""
        return self.seq is None


@dataclass(frozen=True, slots=True)
class LiveTrade:
    """A trade at the venue, from its first fill to its last."""

    trade_ref: str
    key: str | None
    """Of the order that opened it; None: EXTERNAL."""
    seq: int | None
    run: UUID | None
    symbol: str
    side: Side
    units: Decimal
    """Still open; 0 when closed."""
    initial_units: Decimal
    entry_price: float
    """Average over its opening fills."""
    entry_ts_ns: int
    stop_loss: float | None
    take_profit: float | None
    initial_stop: float | None
    initial_risk: Decimal | None = None
    """R: loss at the first stop, account currency, frozen at the entry fill."""
    realized: Decimal = Decimal(0)
    """Gross of all exits so far."""
    commission: Decimal = Decimal(0)
    """Charged so far, at least 0."""
    swap: Decimal = Decimal(0)
    exit_value: float = 0.0
    """Sum of units x price over exits."""
    exit_ts_ns: int = 0
    """Of the last exit; 0 while untouched."""
    exit_reason: str = ""
    tag: str = ""
    ticket: str = ""
    """INTENT record of the entry in hexadecimal; empty when no strategy made it."""

    @property
    def is_open(self) -> bool:
        """Whether units are left."""
        return self.units > 0

    @property
    def net(self) -> Decimal:
        """Result so far without what is still open."""
        return self.realized - self.commission + self.swap


@dataclass(frozen=True, slots=True)
class TradeOpened:
    """A fill opened a trade or added to it."""

    trade: LiveTrade
    fill: Fill


@dataclass(frozen=True, slots=True)
class TradeReduced:
    """A fill took units off a trade; `trade.is_open` says whether any are left."""

    trade: LiveTrade
    fill: Fill
    reason: str


@dataclass(frozen=True, slots=True)
class SwapBooked:
    """Overnight interest of one trade."""

    trade: LiveTrade
    amount: Decimal
    ts_ns: int


@dataclass(frozen=True, slots=True)
class ProtectionMoved:
    """The venue confirmed a new stop or target of a trade."""

    trade: LiveTrade
    which: str
    """stop_loss or take_profit."""
    old: float | None
    new: float | None
    ts_ns: int


@dataclass(frozen=True, slots=True)
class OrderMoved:
    """An order changed its status or terms."""

    order: LiveOrder
    old_status: OrderStatus | None


@dataclass(frozen=True, slots=True)
class MoneyMoved:
    """Money came or went that no trade made: a deposit, a withdrawal, a correction."""

    amount: Decimal
    ts_ns: int


AccountChange: TypeAlias = TradeOpened | TradeReduced | SwapBooked | ProtectionMoved | OrderMoved | MoneyMoved


@dataclass(frozen=True, slots=True)
class Enter:
    """A wish: open a position."""

    symbol: str
    side: Side
    units: Decimal
    type: OrderType
    stop_loss: float
    price: float | None = None
    """Of a limit or stop order."""
    take_profit: float | None = None
    expires_ts_ns: int = 0
    reference_price: float | None = None
    """What the decision expected to pay."""
    max_slippage_pips: float | None = None
    group: str | None = None
    """Entries that share it belong together; how is `group_policy`."""
    group_policy: str = "oco"
    """oco, all_or_unwind or independent."""
    allow_partial: bool = False
    risk: Decimal = Decimal(0)
    """Loss at the stop, account currency."""
    tag: str = ""
    ticket: str = ""
    """INTENT record in hexadecimal."""
    number: int = 0
    """Position among the wishes of one run and bar (`intent_index`)."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """A wish: take a resting entry back."""

    seq: int
    reason: str = "strategy"


@dataclass(frozen=True, slots=True)
class Amend:
    """A wish: move stop or target of a resting entry; None leaves one as it is."""

    seq: int
    stop_loss: float | None = None
    take_profit: float | None = None


@dataclass(frozen=True, slots=True)
class Reduce:
    """A wish: bring a trade down to `remaining_units`; absolute, so a twin does no harm."""

    trade_ref: str
    remaining_units: Decimal = Decimal(0)
    reason: str = "strategy"


@dataclass(frozen=True, slots=True)
class Protect:
    """A wish: move stop or target of a trade; None leaves one as it is. Stops only tighten."""

    trade_ref: str
    stop_loss: float | None = None
    take_profit: float | None = None
    reason: str = "strategy"


Wish: TypeAlias = Enter | Cancel | Amend | Reduce | Protect
