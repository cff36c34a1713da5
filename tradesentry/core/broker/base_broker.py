"""The broker port: what execution may ask of any venue, and the four things that can become of a command.

A command ends as `Accepted`, `Refused` (definitely not executed), `NotSent` (no byte can have left) or `Unknown` (it
may have been executed). Silence is `Unknown`, never `Refused`; an adapter never sends a command twice. A command raises
only for programming errors; reads raise `BrokerError`. Symbols are canonical at this port, prices float64 in quote
currency, money and units `Decimal`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from tradesentry.core.domain.clock import ClockSample
from tradesentry.core.domain.events import BrokerEvent, EventFacts, StreamDown
from tradesentry.core.domain.live_orders import OrderStatus, TimeInForce
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import AccountState, OpenTrade, Position, Quote, VenueInstrument
from tradesentry.core.market.bars import BarArray


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a venue can do, so that execution needs no list of brokers."""

    hedging: bool
    """Opposite trades on one instrument may be open at the same time."""
    brackets: bool
    """Stop and target travel with the entry."""
    partial_close: bool
    replace: bool
    replace_keeps_id: bool
    native_trailing: bool
    native_exits: bool
    """The venue itself runs break-even, trailing, partial targets, time stops and groups (`OrderRequest.ticket`)."""
    min_poll_seconds: float
    dedupe_scope: Literal["none", "pending_orders_and_open_trades", "always"]
    """Where the venue refuses a client id that it has seen; a second line of defense, never the first."""
    absence_horizon_seconds: float
    """How long after a send the venue may still execute it."""
    replace_units: bool = True
    """A resting order's units can be changed; else it has to be canceled and placed anew."""


@dataclass(frozen=True, slots=True)
class CommandStamp:
    """On whose authority a command is sent, and since when."""

    epoch: int = 0
    """Of the account's lease."""
    committed_at: float | None = None
    """Monotonic seconds of the clock at the `SENDING` commit; None: now."""
    attempt: int = 1


NO_STAMP = CommandStamp()


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An entry to be placed; it always carries a stop."""

    client_order_id: str
    symbol: str
    side: Side
    units: Decimal
    """Above 0."""
    type: OrderType
    stop_loss: float | None
    price: float | None = None
    """Of a limit or stop order."""
    take_profit: float | None = None
    tif: TimeInForce = TimeInForce.GTC
    expires_ts_ns: int = 0
    price_bound: float | None = None
    """Worst price at which a market or stop order may fill."""
    allow_partial: bool = False
    reference_price: float | None = None
    """What the decision expected to pay; a venue of ours cancels a market entry that opens half a stop away."""
    ticket: str = ""
    """INTENT record of the decision in hexadecimal, for venues with `native_exits`: exits, group and basket."""
    stamp: CommandStamp = NO_STAMP


@dataclass(frozen=True, slots=True)
class OrderRef:
    """Names an order at the venue: by its own id, else by ours."""

    client_order_id: str
    venue_order_id: str | None = None
    stamp: CommandStamp = NO_STAMP


@dataclass(frozen=True, slots=True)
class OrderChange:
    """New terms of a resting order; None leaves a term as it is."""

    price: float | None = None
    units: Decimal | None = None
    stop_loss: float | None = None
    take_profit: float | None = None
    expires_ts_ns: int | None = None


@dataclass(frozen=True, slots=True)
class TradeRef:
    """Names a trade at the venue."""

    trade_id: str
    symbol: str
    stamp: CommandStamp = NO_STAMP
    client_order_id: str | None = None
    """Of the order that closes the trade, or of the one that opened it for a protection; a venue of ours knows a
    repeated command by it."""


@dataclass(frozen=True, slots=True)
class OrderReport:
    """An order as the venue shows it now."""

    venue_order_id: str
    client_order_id: str | None
    symbol: str
    side: Side
    type: OrderType
    units: Decimal
    filled_units: Decimal
    status: OrderStatus
    price: float | None = None
    stop_loss: float | None = None
    take_profit: float | None = None
    expires_ts_ns: int = 0
    average_price: float | None = None
    trade_ref: str | None = None
    """The trade it opened."""
    reason: str = ""
    replaces: str | None = None
    replaced_by: str | None = None


@dataclass(frozen=True, slots=True)
class Rounding:
    """A number that was sent otherwise than asked."""

    field: str
    asked: str
    sent: str


class RefusalClass(StrEnum):
    """What may follow a refusal."""

    FINAL = "final"
    """Never again unchanged."""
    REQUOTE = "requote"
    """With a new quote, at most twice."""
    BACK_OFF = "back_off"
    """Later."""
    HALT = "halt"
    """No new risk on this account until a person has looked."""
    GONE = "gone"
    """The target is no longer there: filled, closed or canceled meanwhile. Read it again."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue took the command; what became of it is in the events."""

    order: OrderReport | None
    events: tuple[BrokerEvent, ...] = ()
    rounded: tuple[Rounding, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Refused:
    """Definitely not executed, by the venue's word."""

    code: str
    message: str
    kind: RefusalClass = RefusalClass.FINAL
    events: tuple[BrokerEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the command can have reached the venue."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The command may have been executed, may still be, or may never be; only evidence decides."""

    reason: str
    sent_ts_ns: int


Outcome: TypeAlias = Accepted | Refused | NotSent | Unknown


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after a sequence number, oldest first unless the venue mixed them up."""

    events: tuple[BrokerEvent, ...]
    last_seq: int
    """Newest number that the venue has given out."""
    log_id: str
    is_complete: bool
    """Every number from the one asked for up to `last_seq` is in it."""


def is_contiguous(events: Sequence[BrokerEvent], *, after: int, last_seq: int) -> bool:
    """Say whether `events` hold every number from `after` + 1 to `last_seq`, in any order and any number of times."""
    return {event.seq for event in events} >= set(range(after + 1, last_seq + 1))


def contiguous_through(events: Sequence[BrokerEvent], *, after: int) -> int:
    """Return the number up to which nothing is missing when everything up to `after` was there before."""
    numbers = {event.seq for event in events}
    while after + 1 in numbers:
        after += 1
    return after


@runtime_checkable
class StreamsHeard(Protocol):
    """A broker whose streams say from time to time that they live."""

    heard_at: Mapping[str, float]
    """When each stream (`events`, `quotes`) last said something, be it a heartbeat, monotonic seconds."""


class BaseBroker(Protocol):
    """One account at one venue."""

    name: str
    capabilities: Capabilities

    async def connect(self) -> AccountState:
        """Open the connection and prove that the account is the one that was linked.

        Raises:
            AccountMismatch: Login, environment, currency or netting differ.
            BrokerAuthError: Token or password are not accepted.
            BrokerUnavailable: The venue cannot be read.
        """

    async def close(self) -> None:
        """Close all connections; commands in flight end as Unknown."""

    async def server_clock(self) -> ClockSample:
        """Return how far the venue's clock is from ours."""

    async def instruments(self) -> Mapping[str, VenueInstrument]:
        """Return what can be traded, by canonical symbol."""

    async def get_balance(self) -> AccountState:
        """Return the money of the account."""

    async def positions(self) -> Sequence[Position]:
        """Return net positions by instrument."""

    async def open_orders(self) -> Sequence[OrderReport]:
        """Return the resting entries; stops and targets are shown with their trades."""

    async def open_trades(self) -> Sequence[OpenTrade]:
        """Return the open trades with their stops and targets."""

    async def find_order(self, client_order_id: str) -> OrderReport | None:
        """Return the newest order with an id of ours; None means not found now, which proves nothing."""

    async def quote(self, instrument: str) -> Quote:
        """Return the present bid and ask."""

    async def candles(self, instrument: str, *, granularity: str, start_ns: int, end_ns: int) -> BarArray:
        """Return complete bars that open in [start_ns, end_ns), bid prices with the spread at the close."""

    def quotes(self, instruments: Sequence[str]) -> AsyncIterator[Quote | StreamDown]:
        """Yield quotes as they come; reconnects by itself and says when it had to."""

    def events(self) -> AsyncIterator[BrokerEvent | StreamDown]:
        """Yield events as they come: at least once, in any order."""

    def facts(self, event: BrokerEvent) -> EventFacts:
        """Return what an event of this venue says; pure, so stored events can be read again."""

    async def events_since(self, seq: int) -> EventPage:
        """Return the events after `seq`; complete, or saying that it is not."""

    async def place_order(self, order: OrderRequest) -> Outcome:
        """Place an entry. At most one request is sent, whatever happens."""

    async def replace_order(self, target: OrderRef, change: OrderChange) -> Outcome:
        """Change the terms of a resting order; its venue id may change."""

    async def cancel_order(self, target: OrderRef) -> Outcome:
        """Cancel a resting order."""

    async def close_trade(self, target: TradeRef, *, remaining_units: Decimal) -> Outcome:
        """Reduce a trade to `remaining_units`; absolute, so a late twin can only reduce to the same."""

    async def set_protection(self, target: TradeRef, *, stop_loss: float | None, take_profit: float | None) -> Outcome:
        """Move stop or target of a trade; None leaves it as it is. A stop is never loosened nor removed."""
