"""What must hold of a live account at any moment, checked every minute: I1 to I10 as far as they show from inside.

A `Picture` is one consistent reading of the journal and the account book; what the venue said is in it as the facts of
its stored events. Each invariant is one pure function that returns its violations, so a test can break exactly one. The
soak checks the same against the venue's own log.

| | |
|---|---|
| I1 | every venue order is one order of the book, and every one with an id of ours has an intent |
| I2 | no more venue orders than placements; at most one of an intent's orders was executed |
| I3 | the fills of the journal are those of the events, none twice |
| I4 | the fills of a trade add up to its units, those of an instrument to the net position |
| I5 | balance and equity are the venue's, to the cent |
| I6 | no order is NEW, SENDING or UNKNOWN for longer than the venue may take |
| I7 | an order that was NOT_PLACED or REJECTED is unknown to the venue |
| I8 | an open trade has a stop within 2 s of its fill, and never a looser one than before |
| I9 | no limit is exceeded, and nothing was opened after HALTED |
| I10 | epoch and high-water mark never go back, HALTED is left only by a person |
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.errors import TradeSentryError
from tradesentry.core.domain.events import EventFacts, EventKind, Fill
from tradesentry.core.domain.live_account import LiveOrder, LiveTrade
from tradesentry.core.domain.live_orders import Effect, OrderStatus, parse_client_order_id
from tradesentry.core.domain.money import ZERO
from tradesentry.core.monitoring.alerts import AlertSink
from tradesentry.core.utils.logger import get_logger

_log = get_logger(__name__)
CENT: Final = Decimal("0.005")
"""Half a cent: amounts that differ by less are equal to the cent."""
STOP_SECONDS: Final = 2.0
GRACE_SECONDS: Final = 30.0
EVERY_SECONDS: Final = 60.0
HALTED: Final = "halted"
_IN_FLIGHT: Final = (OrderStatus.NEW, OrderStatus.SENDING, OrderStatus.UNKNOWN)
_ABSENT: Final = (OrderStatus.NOT_PLACED, OrderStatus.REJECTED)


@dataclass(frozen=True, slots=True)
class LimitUse:
    """How much of a limit is used, pending orders included."""

    name: str
    used: float
    allowed: float


@dataclass(frozen=True, slots=True)
class Picture:
    """One reading of an account; the events are those of a period, the orders all that they are about."""

    account: str
    """Short name for texts."""
    now_ns: int
    instance: int
    """Of our order ids on this account."""
    orders: Sequence[LiveOrder]
    """All that the events are about, ours and EXTERNAL."""
    trades: Sequence[LiveTrade]
    """Open."""
    facts: Sequence[EventFacts]
    """Of the stored events of the period."""
    since_ns: int
    """Start of the period; 0: from the first event on."""
    fills: Sequence[Fill]
    """All that the journal has."""
    intents: Collection[int]
    """Numbers of the orders of the period whose intent is stored."""
    placements: Mapping[int, Sequence[int]]
    """When each placement of an order was committed, ns, by number; 0 where only that it was is known."""
    balance: Decimal
    venue_balance: Decimal | None
    """As of the same event; None: not comparable now."""
    state: str
    epoch: int
    high_water_mark: Decimal
    horizon_seconds: float
    """How long after a send the venue may still execute it."""
    equity: Decimal | None = None
    venue_equity: Decimal | None = None
    net_units: Mapping[str, Decimal] | None = None
    """Net position by symbol as the venue shows it; None: not read."""
    sent_when_halted: Collection[str] = ()
    """Keys of entries that were committed for sending while the account was HALTED."""
    n_rearmed: int = 0
    """How often a person has re-armed the account."""
    limits: Sequence[LimitUse] = ()


@dataclass(frozen=True, slots=True)
class Marks:
    """What a later picture is compared with."""

    stops: Mapping[str, float] = field(default_factory=dict)
    """Tightest stop seen, by trade."""
    epoch: int = 0
    high_water_mark: Decimal = ZERO
    state: str = ""
    n_rearmed: int = 0


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not be."""

    invariant: str
    """I1 .. I10."""
    subject: str
    """Order, trade or limit."""
    text: str


def marks_after(picture: Picture, before: Marks) -> Marks:
    """Return what the next picture is compared with; a mark never goes back."""
    stops = {}
    for trade in picture.trades:
        seen = [s for s in (trade.stop_loss, before.stops.get(trade.trade_ref)) if s is not None]
        if seen:
            stops[trade.trade_ref] = trade.side * max(trade.side * stop for stop in seen)
    return Marks(
        stops=stops,
        epoch=max(picture.epoch, before.epoch),
        high_water_mark=max(picture.high_water_mark, before.high_water_mark),
        state=picture.state,
        n_rearmed=picture.n_rearmed,
    )


def i1_every_order_is_known(picture: Picture) -> Iterator[Violation]:
    """Yield venue orders that no order of the book explains, that two do, or whose intent is lost."""
    holders = Counter(venue_id for order in picture.orders for venue_id in set(order.venue_order_ids))
    for facts in picture.facts:
        if facts.kind is not EventKind.ORDER_ACCEPTED or facts.venue_order_id is None:
            continue
        n_holders = holders[facts.venue_order_id]
        if n_holders != 1:
            text = f"Venue order {facts.venue_order_id} belongs to {n_holders} orders of the book instead of one."
            yield Violation("I1", facts.venue_order_id, text)
        own = parse_client_order_id(facts.client_order_id)
        if own is not None and own[0] == picture.instance and own[1] not in picture.intents:
            text = f"Venue order {facts.venue_order_id} carries our number {own[1]}, which has no intent."
            yield Violation("I1", str(facts.client_order_id), text)


def i2_nothing_is_placed_twice(picture: Picture) -> Iterator[Violation]:
    """Yield orders with more venue orders than placements, and those executed twice."""
    first = _first_of_chain(picture.facts)
    placed: dict[int, set[str]] = defaultdict(set)
    filled: dict[int, set[str]] = defaultdict(set)
    for facts in picture.facts:
        own = _own_number(picture, facts.client_order_id)
        if own is not None and facts.kind is EventKind.ORDER_ACCEPTED and facts.venue_order_id is not None:
            placed[own].add(first(facts.venue_order_id))
    for fill in picture.fills:
        own = _own_number(picture, fill.client_order_id)
        if own in placed and fill.effect is Effect.OPEN:
            filled[own].add(first(fill.venue_order_id))
    for seq, venue_ids in placed.items():
        n = len(picture.placements.get(seq, ()))
        if len(venue_ids) > n:
            text = (
                f"Order {seq} was placed {n} times and the venue has {len(venue_ids)}: {', '.join(sorted(venue_ids))}."
            )
            yield Violation("I2", str(seq), text)
    for seq, venue_ids in filled.items():
        if len(venue_ids) > 1:
            text = f"Order {seq} was executed {len(venue_ids)} times, as {', '.join(sorted(venue_ids))}."
            yield Violation("I2", str(seq), text)


def i3_fills_are_the_venues(picture: Picture) -> Iterator[Violation]:
    """Yield fills that only the journal or only the events have, or that one of them has twice."""
    said = Counter(_fill_words(fill) for facts in picture.facts for fill in facts.fills)
    kept = Counter(_fill_words(fill) for fill in picture.fills)
    lately = Counter(_fill_words(fill) for fill in picture.fills if fill.ts_ns >= picture.since_ns)
    keys = Counter((fill.fill_id, fill.leg) for fill in picture.fills)
    for (fill_id, leg), n in keys.items():
        if n > 1:
            yield Violation("I3", f"{fill_id}/{leg}", f"Fill {fill_id} (leg {leg}) is {n} times in the journal.")
    for words in said - kept:
        yield Violation("I3", words[0], f"Fill {words[0]} of the venue is not in the journal as it was said: {words}.")
    for words in lately - said:
        yield Violation("I3", words[0], f"Fill {words[0]} of the journal was never said by the venue so: {words}.")


def i4_fills_add_up(picture: Picture) -> Iterator[Violation]:
    """Yield trades and instruments whose units are not the sum of their fills."""
    held: dict[str, Decimal] = defaultdict(Decimal)
    shown = {trade.trade_ref: trade.side * trade.units for trade in picture.trades}
    # Of a trade that is over and was opened before the period only the end is here.
    whole = shown.keys() | {fill.trade_ref for fill in picture.fills if fill.effect is Effect.OPEN}
    by_trade: dict[str, Decimal] = defaultdict(Decimal)
    for fill in picture.fills:
        if fill.trade_ref in whole:
            by_trade[fill.trade_ref] += fill.side * fill.units
    for trade in picture.trades:
        held[trade.symbol] += trade.side * trade.units
    for ref in sorted(by_trade.keys() | shown.keys()):
        if by_trade[ref] != shown.get(ref, ZERO):
            text = f"Trade {ref} holds {shown.get(ref, ZERO)} units, its fills add up to {by_trade[ref]}."
            yield Violation("I4", ref, text)
    if picture.net_units is not None:
        for symbol in sorted(held.keys() | picture.net_units.keys()):
            at_venue = picture.net_units.get(symbol, ZERO)
            if held[symbol] != at_venue:
                text = f"{symbol}: our trades hold {held[symbol]} units, the venue shows {at_venue}."
                yield Violation("I4", symbol, text)


def i5_money_is_the_venues(picture: Picture) -> Iterator[Violation]:
    """Yield a balance or equity that differs from the venue's by a cent or more."""
    for name, ours, theirs in (
        ("balance", picture.balance, picture.venue_balance),
        ("equity", picture.equity, picture.venue_equity),
    ):
        if ours is not None and theirs is not None and abs(ours - theirs) >= CENT:
            yield Violation("I5", name, f"The {name} is {ours:f} here and {theirs:f} at the venue.")


def i6_nothing_stays_unresolved(picture: Picture) -> Iterator[Violation]:
    """Yield orders that have been in flight for longer than the venue may take."""
    allowed = picture.horizon_seconds + GRACE_SECONDS
    for order in picture.orders:
        if order.status not in _IN_FLIGHT:
            continue
        sent = picture.placements.get(order.seq, ()) if order.seq is not None else ()
        since = max(sent, default=order.last_ts_ns or order.bar_close_ns)
        age = (picture.now_ns - since) / NS_PER_SECOND
        if since and age > allowed:
            # The text says no age: it would be a new alert at every look.
            text = f"Order {order.key} is {order.status.value} for longer than {allowed:g} s."
            yield Violation("I6", order.key, text)


def i7_absent_orders_are_absent(picture: Picture) -> Iterator[Violation]:
    """Yield orders taken for never placed that the venue knows."""
    absent = {order.key: order for order in picture.orders if order.status in _ABSENT}
    known = {
        facts.client_order_id
        for facts in picture.facts
        if facts.kind in (EventKind.ORDER_ACCEPTED, EventKind.ORDER_FILLED)
    }
    filled = {fill.client_order_id for fill in picture.fills}
    for key, order in absent.items():
        if key in known or key in filled or order.filled_units:
            text = f"Order {key} is {order.status.value}, but the venue accepted or filled it."
            yield Violation("I7", key, text)


def i8_trades_are_protected(picture: Picture, before: Marks) -> Iterator[Violation]:
    """Yield trades of ours without a stop, and trades whose stop was loosened."""
    for trade in picture.trades:
        age = (picture.now_ns - trade.entry_ts_ns) / NS_PER_SECOND
        if trade.stop_loss is None:
            if trade.seq is not None and age > STOP_SECONDS:
                text = f"Trade {trade.trade_ref} on {trade.symbol} has no stop at the venue."
                yield Violation("I8", trade.trade_ref, text)
            continue
        tightest = before.stops.get(trade.trade_ref)
        if tightest is not None and trade.side * (trade.stop_loss - tightest) < 0:
            text = f"The stop of trade {trade.trade_ref} was {tightest} and is {trade.stop_loss}, which is looser."
            yield Violation("I8", trade.trade_ref, text)


def i9_limits_hold(picture: Picture) -> Iterator[Violation]:
    """Yield limits that are exceeded, and entries sent after the account was halted."""
    for limit in picture.limits:
        if limit.used > limit.allowed * (1.0 + 1e-9):
            yield Violation("I9", limit.name, f"Limit {limit.name} is exceeded; {limit.allowed:g} is allowed.")
    for key in picture.sent_when_halted:
        yield Violation("I9", key, f"Entry {key} was sent although the account was halted.")


def i10_nothing_goes_back(picture: Picture, before: Marks) -> Iterator[Violation]:
    """Yield an epoch or a high-water mark that went back, and a halt that nobody lifted."""
    if picture.epoch < before.epoch:
        yield Violation("I10", "epoch", f"The epoch went back from {before.epoch} to {picture.epoch}.")
    if picture.high_water_mark < before.high_water_mark:
        text = f"The high-water mark went back from {before.high_water_mark:f} to {picture.high_water_mark:f}."
        yield Violation("I10", "high_water_mark", text)
    if before.state == HALTED and picture.state != HALTED and picture.n_rearmed <= before.n_rearmed:
        yield Violation("I10", "state", f"The account left HALTED for {picture.state} without a person's word.")


INVARIANTS: Final = ("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10")


def check(picture: Picture, before: Marks) -> list[Violation]:
    """Return all violations, in the order of the invariants."""
    alone: Iterable[Callable[[Picture], Iterator[Violation]]] = (
        i1_every_order_is_known, i2_nothing_is_placed_twice, i3_fills_are_the_venues, i4_fills_add_up,
        i5_money_is_the_venues, i6_nothing_stays_unresolved, i7_absent_orders_are_absent, i9_limits_hold,
    )  # fmt: skip
    found = [violation for invariant in alone for violation in invariant(picture)]
    found += [*i8_trades_are_protected(picture, before), *i10_nothing_goes_back(picture, before)]
    return sorted(found, key=lambda violation: INVARIANTS.index(violation.invariant))


class InvariantMonitor:
    """Checks an account every minute; one alert per violation, until it has been gone.

    Args:
        read: Reads a picture; None when there is none now (recovering).
        clock: Time.
        alert: Tells people.
        before: Marks of an earlier process, from the journal; so that nothing goes back over a restart either.
        on_counts: Told how often each invariant is violated, for the metric.
        every_seconds: Between checks.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Picture | None]],
        clock: Clock,
        alert: AlertSink,
        *,
        before: Marks | None = None,
        on_counts: Callable[[Mapping[str, int]], None] | None = None,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._read, self._clock, self._alert = read, clock, alert
        self._marks, self._on_counts, self._every_seconds = before or Marks(), on_counts, every_seconds
        self._known: set[Violation] = set()

    async def run(self) -> None:
        """Check until canceled; a journal that cannot be read is tried again at the next look."""
        while True:
            try:
                await self.look()
            except TradeSentryError as error:
                _log.warning("invariants_not_checked", code=error.code)
            await self._clock.sleep(self._every_seconds)

    async def look(self) -> list[Violation]:
        """Check once and tell what is new; return all violations there are."""
        picture = await self._read()
        if picture is None:
            return []
        found = check(picture, self._marks)
        self._marks = marks_after(picture, self._marks)
        for violation in found:
            if violation not in self._known:
                _log.error("invariant_violated", invariant=violation.invariant, subject=violation.subject)
                self._alert(f"invariant_{violation.invariant.lower()}", _words(picture.account, violation))
        self._known = set(found)
        if self._on_counts is not None:
            self._on_counts(dict.fromkeys(INVARIANTS, 0) | Counter(v.invariant for v in found))
        return found


def _words(account: str, violation: Violation) -> str:
    return (
        f"{violation.text} Invariant {violation.invariant} of account {account} is broken: journal and venue may have "
        "drifted apart, or a part of the platform is wrong. Pause the account, compare it with the venue's own list, "
        "and report this with the log."
    )


def _own_number(picture: Picture, client_order_id: str | None) -> int | None:
    own = parse_client_order_id(client_order_id)
    return own[1] if own is not None and own[0] == picture.instance else None


def _first_of_chain(facts: Sequence[EventFacts]) -> Callable[[str], str]:
    """Return a function that follows replacements back to the venue order that was placed."""
    origins: dict[str, str] = {}
    for item in facts:
        if item.venue_order_id is not None and item.replaces is not None:
            origins[item.venue_order_id] = item.replaces
        if item.venue_order_id is not None and item.replaced_by is not None:
            origins[item.replaced_by] = item.venue_order_id

    def first(venue_id: str) -> str:
        seen = {venue_id}
        while venue_id in origins and origins[venue_id] not in seen:
            venue_id = origins[venue_id]
            seen.add(venue_id)
        return venue_id

    return first


def _fill_words(fill: Fill) -> tuple[str, int, str, int, Decimal, float]:
    return fill.fill_id, fill.leg, fill.trade_ref, int(fill.side), fill.units, fill.price
