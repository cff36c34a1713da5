"""Where an order stands: a pure function of the set of what is known about it.

Evidence is collected and never taken back; the status is computed from all of it, so events that come twice, late or in
another order give the same status. Two kinds of evidence:

* ours, numbered by attempt: asked (`Asked`, committed before the first byte) and answered (`Answered`);
* the venue's, numbered by its log (`EventKey`): what it said about the order (`VenueSaid`) and filled (`Filled`).

Order of precedence: denied here → fills that complete the order → the newest word of the venue → our newest attempt to
place it. A change under way (REPLACING, CANCELING) lies over an order that works until it is answered or the venue says
something newer. So the venue's word reopens an order that we took for canceled, refused or never placed; that is an
alert, which the caller raises (`is_reopened`).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from tradesentry.core.domain.events import EventKind, Fill, OrderTerms
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.domain.money import ZERO
from tradesentry.core.execution.journal_rows import AttemptKind


class EventKey(NamedTuple):
    """Place of an event: rank of its log, oldest first, and its number in it."""

    log: int
    seq: int


START: Final = EventKey(0, 0)
"""Before everything that a venue said."""


class Answer(StrEnum):
    """What one attempt led to, as far as the reply or our own proof says."""

    UNKNOWN = "unknown"
    """It may have been executed."""
    ABSENT = "absent"
    """Proven never to have reached the venue, or known never sent."""
    RETRY = "retry"
    """Definitely not executed, and it may be asked again: a requote, a venue that is busy."""
    REFUSED = "refused"
    """Definitely not executed, and it is over."""
    DONE = "done"
    """Accepted, and there was nothing left to do."""
    ACCEPTED = "accepted"


STRENGTH: Final = {answer: rank for rank, answer in enumerate(Answer)}
"""Of two answers to one attempt the stronger counts: a late reply replaces UNKNOWN, and ABSENT was wrong."""


@dataclass(frozen=True, slots=True)
class DeniedHere:
    """Our own gates refused it; nothing is ever sent."""

    code: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was committed and then sent."""

    attempt: int
    kind: AttemptKind
    after: EventKey = START
    """Newest event known then: what is newer may be the consequence."""
    terms: OrderTerms | None = None
    """What the order becomes, for a replacement."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a request."""

    attempt: int
    answer: Answer
    reason: str = ""
    through: EventKey = START
    """Newest event that came with the answer."""


@dataclass(frozen=True, slots=True)
class VenueSaid:
    """One event about the order: ORDER_ACCEPTED, _CANCELED, _EXPIRED, _REJECTED or CHANGE_REFUSED."""

    key: EventKey
    kind: EventKind
    venue_order_id: str | None = None
    replaced_by: str | None = None
    """An end that is none: the order goes on under this id."""
    reason: str = ""
    terms: OrderTerms | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """Units that changed hands for the order; the same fill may be told under two keys."""

    key: EventKey
    fill: Fill


@dataclass(frozen=True, slots=True)
class Claimed:
    """An order of the venue without our id that is taken for this one: venues do not name the order of a close."""

    venue_order_id: str


Evidence: TypeAlias = DeniedHere | Asked | Answered | VenueSaid | Filled | Claimed

ENDS: Final = {
    EventKind.ORDER_CANCELED: OrderStatus.CANCELED,
    EventKind.ORDER_EXPIRED: OrderStatus.EXPIRED,
    EventKind.ORDER_REJECTED: OrderStatus.REJECTED,
}
PLACING: Final = (AttemptKind.PLACE, AttemptKind.CLOSE)
CHANGES: Final = {AttemptKind.CANCEL: OrderStatus.CANCELING, AttemptKind.REPLACE: OrderStatus.REPLACING}
FROM_ANSWER: Final = {
    Answer.UNKNOWN: OrderStatus.UNKNOWN,
    Answer.ABSENT: OrderStatus.NOT_PLACED,
    Answer.RETRY: OrderStatus.NEW,
    Answer.REFUSED: OrderStatus.REJECTED,
    Answer.DONE: OrderStatus.CANCELED,
    Answer.ACCEPTED: OrderStatus.ACCEPTED,
}
REOPENABLE: Final = frozenset((OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED, OrderStatus.NOT_PLACED))
WORKING: Final = frozenset(
    (OrderStatus.ACCEPTED, OrderStatus.PARTLY_FILLED, OrderStatus.REPLACING, OrderStatus.CANCELING)
)
IN_FLIGHT: Final = frozenset((OrderStatus.SENDING, OrderStatus.UNKNOWN))


@dataclass(frozen=True, slots=True)
class Standing:
    """What a set of evidence says about an order."""

    status: OrderStatus
    cause: str
    """What decided the status: of the answer, the venue's reason, or the kind of event."""
    units: Decimal
    """Of the whole order, as the venue took it."""
    filled_units: Decimal = ZERO
    average_price: float | None = None
    is_overfilled: bool = False
    key: EventKey | None = None
    """Of the venue's word that decided; None when ours did."""


def distinct_fills(evidence: Iterable[Evidence]) -> list[Filled]:
    """Return each fill once, the oldest first."""
    fills: dict[tuple[str, int], Filled] = {}
    for item in sorted((item for item in evidence if isinstance(item, Filled)), key=lambda item: item.key):
        fills.setdefault((item.fill.fill_id, item.fill.leg), item)
    return list(fills.values())


def place_attempt(evidence: Iterable[Evidence]) -> Asked | None:
    """Return the newest request to place the order; None: nothing was sent."""
    asked = (item for item in evidence if isinstance(item, Asked) and item.kind in PLACING)
    return max(asked, key=lambda item: item.attempt, default=None)


def answer_to(evidence: Iterable[Evidence], attempt: int) -> Answered | None:
    """Return the strongest answer to an attempt."""
    answers = (item for item in evidence if isinstance(item, Answered) and item.attempt == attempt)
    return max(answers, key=lambda item: (STRENGTH[item.answer], item.through, item.reason), default=None)


def _words(evidence: Collection[Evidence], placed: Asked | None) -> list[VenueSaid]:
    """Return what the venue said about the attempt that counts, oldest first.

    What it said before that attempt, or with an answer that let us ask again, was about an earlier one.
    """
    after = START if placed is None else placed.after
    for item in evidence:
        if isinstance(item, Answered) and item.answer is Answer.RETRY:
            after = max(after, item.through)
    said = (item for item in evidence if isinstance(item, VenueSaid) and item.key > after)
    return sorted(said, key=lambda item: (item.key, item.kind, item.venue_order_id or ""))


def order_units(evidence: Collection[Evidence], units: Decimal) -> Decimal:
    """Return the units of the whole order: what its newest terms ask for and what was filled before them.

    Args:
        evidence: About one order.
        units: As intended; counts until the venue has said its terms.
    """
    terms = [said for said in _words(evidence, place_attempt(evidence)) if said.terms is not None]
    if not terms or terms[-1].terms is None:
        return units
    newest = terms[-1]
    before = (item.fill.units for item in distinct_fills(evidence) if item.fill.venue_order_id != newest.venue_order_id)
    return terms[-1].terms.units + sum(before, ZERO)


def _average(fills: Collection[Filled], filled: Decimal) -> float | None:
    if not fills:
        return None
    if len({item.fill.price for item in fills}) == 1:
        return next(iter(fills)).fill.price
    return sum(float(item.fill.units) * item.fill.price for item in fills) / float(filled)


def _local(evidence: Collection[Evidence], placed: Asked | None) -> tuple[OrderStatus, str]:
    """Return where our newest attempt left the order, when the venue has said nothing about it."""
    answer = answer_to(evidence, 0 if placed is None else placed.attempt)
    if answer is not None:
        return FROM_ANSWER[answer.answer], answer.reason or answer.answer.value
    return (OrderStatus.NEW, "decided") if placed is None else (OrderStatus.SENDING, "sent")


def _change_under_way(evidence: Collection[Evidence], newest: EventKey | None) -> OrderStatus | None:
    """Return CANCELING or REPLACING while a change is asked, not answered, and the venue has said nothing since."""
    pending = set()
    for item in evidence:
        if not isinstance(item, Asked) or item.kind not in CHANGES or (newest is not None and newest > item.after):
            continue
        answer = answer_to(evidence, item.attempt)
        if answer is None or answer.answer is Answer.UNKNOWN:
            pending.add(CHANGES[item.kind])
    return next((status for status in CHANGES.values() if status in pending), None)


def _cancel_confirmed(evidence: Collection[Evidence], newest: EventKey | None) -> Answered | None:
    """Return the reply that confirmed a cancel, unless the venue has said something newer."""
    for item in evidence:
        if isinstance(item, Asked) and item.kind is AttemptKind.CANCEL:
            answer = answer_to(evidence, item.attempt)
            is_newest = newest is None or newest <= max(item.after, answer.through if answer else START)
            if answer is not None and answer.answer is Answer.ACCEPTED and is_newest:
                return answer
    return None


def _working(
    evidence: Collection[Evidence], newest: EventKey | None, heard: EventKey | None, filled: Decimal
) -> tuple[OrderStatus, str]:
    """Return the status of an order that works, with a change that may be under way.

    Args:
        evidence: About one order.
        newest: Of what the venue said about its life.
        heard: As `newest`, refused changes included.
        filled: Units.
    """
    confirmed = _cancel_confirmed(evidence, newest)
    if confirmed is not None:
        return OrderStatus.CANCELED, confirmed.reason or "cancel_confirmed"
    change = _change_under_way(evidence, heard)
    if change is not None:
        return change, change.value
    return (OrderStatus.PARTLY_FILLED, "fill") if filled else (OrderStatus.ACCEPTED, "accepted")


def stand(evidence: Collection[Evidence], units: Decimal) -> Standing:
    """Return where an order stands.

    Args:
        evidence: All that is known about one order, in any order and any number of times.
        units: As intended.
    """
    units = order_units(evidence, units)
    denied = min((item.code for item in evidence if isinstance(item, DeniedHere)), default=None)
    if denied is not None:
        return Standing(OrderStatus.DENIED, denied, units)
    fills = distinct_fills(evidence)
    filled = sum((item.fill.units for item in fills), ZERO)
    average = _average(fills, filled)
    if filled >= units and fills:
        return Standing(OrderStatus.FILLED, "fill", units, filled, average, filled > units, fills[-1].key)
    placed = place_attempt(evidence)
    words = _words(evidence, placed)
    life = [said for said in words if said.kind is not EventKind.CHANGE_REFUSED and said.replaced_by is None]
    last_fill = fills[-1].key if fills else None
    newest = max((key for key in (last_fill, life[-1].key if life else None) if key is not None), default=None)
    heard = max((key for key in (newest, words[-1].key if words else None) if key is not None), default=None)
    if newest is None:
        status, cause = _local(evidence, placed)
        if status is OrderStatus.ACCEPTED:
            status, cause = _working(evidence, None, heard, filled)
        return Standing(status, cause, units)
    if life and life[-1].key == newest and life[-1].kind in ENDS:
        status = ENDS[life[-1].kind]
        status = OrderStatus.CANCELED if filled and status is OrderStatus.REJECTED else status
        return Standing(status, life[-1].reason or status.value, units, filled, average, key=newest)
    status, cause = _working(evidence, newest, heard, filled)
    return Standing(status, cause, units, filled, average, key=newest)


def is_reopened(old: OrderStatus | None, new: OrderStatus) -> bool:
    """Say whether contrary evidence brought an order back that was taken for over; that is an alert."""
    return old in REOPENABLE and (not new.is_terminal or new is OrderStatus.FILLED)
