"""The life cycle of an order: every cell of its table, and its laws over any order and repetition of the evidence."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradesentry.core.domain.events import EventKind, Fill, OrderTerms
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.execution.journal import AttemptKind
from tradesentry.core.execution.order_status import (
    START,
    Answer,
    Answered,
    Asked,
    DeniedHere,
    EventKey,
    Filled,
    VenueSaid,
    is_reopened,
    order_units,
    stand,
)

UNITS = Decimal(100)
S = OrderStatus


def key(seq):
    return EventKey(1, seq)


def fill(seq, units, *, fill_id=None, price=1.1):
    made = Fill("a", str(fill_id or seq), 0, "v1", None, "t1", "EURUSD", Side.BUY, Decimal(units), price, Decimal(0),
                Decimal(0), Decimal(0), seq, Effect.OPEN)  # fmt: skip
    return Filled(key(seq), made)


def said(seq, kind, **fields):
    return VenueSaid(key(seq), kind, "v1", **fields)


def accepted(seq, **fields):
    return said(seq, EventKind.ORDER_ACCEPTED, **fields)


def canceled(seq, **fields):
    return said(seq, EventKind.ORDER_CANCELED, **fields)


def placed(attempt=1, after=0):
    return Asked(attempt, AttemptKind.PLACE, key(after))


def asked(kind, after, attempt=2):
    return Asked(attempt, kind, key(after))


def status(evidence):
    return stand(evidence, UNITS).status


FROM = {
    S.NEW: [],
    S.SENDING: [placed()],
    S.UNKNOWN: [placed(), Answered(1, Answer.UNKNOWN)],
    S.ACCEPTED: [placed(), Answered(1, Answer.ACCEPTED), accepted(1)],
    S.PARTLY_FILLED: [placed(), Answered(1, Answer.ACCEPTED), accepted(1), fill(2, 40)],
    S.REPLACING: [placed(), Answered(1, Answer.ACCEPTED), accepted(1), asked(AttemptKind.REPLACE, 5)],
    S.CANCELING: [placed(), Answered(1, Answer.ACCEPTED), accepted(1), asked(AttemptKind.CANCEL, 5)],
    S.CANCELED: [placed(), accepted(1), canceled(3)],
    S.EXPIRED: [placed(), accepted(1), said(3, EventKind.ORDER_EXPIRED)],
    S.REJECTED: [placed(), Answered(1, Answer.REFUSED, "MARGIN")],
    S.NOT_PLACED: [placed(), Answered(1, Answer.UNKNOWN), Answered(1, Answer.ABSENT)],
    S.FILLED: [placed(), accepted(1), fill(2, 100)],
}
REPLY_ACCEPTED, REFUSED = [Answered(1, Answer.ACCEPTED)], [Answered(1, Answer.REFUSED, "MARGIN")]
NO_REPLY, ABSENT = [Answered(1, Answer.UNKNOWN)], [Answered(1, Answer.ABSENT)]
RETRY = [Answered(1, Answer.RETRY, "REQUOTE", key(4))]
ACCEPT, PART, ALL, CANCEL = [accepted(10)], [fill(11, 40, fill_id="f")], [fill(11, 100, fill_id="f")], [canceled(12)]
EXPIRE, CHANGE_REFUSED = [said(12, EventKind.ORDER_EXPIRED)], [said(12, EventKind.CHANGE_REFUSED)]
TABLE = [
    (S.NEW, [DeniedHere("no_stop")], S.DENIED),
    (S.NEW, [Answered(0, Answer.ABSENT, "never_sent")], S.NOT_PLACED),
    (S.SENDING, REPLY_ACCEPTED, S.ACCEPTED),
    (S.SENDING, REFUSED, S.REJECTED),
    (S.SENDING, RETRY, S.NEW),
    (S.SENDING, NO_REPLY, S.UNKNOWN),
    (S.SENDING, ACCEPT, S.ACCEPTED),
    (S.SENDING, PART, S.PARTLY_FILLED),
    (S.SENDING, ALL, S.FILLED),
    (S.SENDING, CANCEL, S.CANCELED),
    (S.SENDING, ABSENT, S.NOT_PLACED),
    (S.UNKNOWN, REPLY_ACCEPTED, S.ACCEPTED),
    (S.UNKNOWN, REFUSED, S.REJECTED),
    (S.UNKNOWN, ACCEPT, S.ACCEPTED),
    (S.UNKNOWN, PART, S.PARTLY_FILLED),
    (S.UNKNOWN, ALL, S.FILLED),
    (S.UNKNOWN, CANCEL, S.CANCELED),
    (S.UNKNOWN, ABSENT, S.NOT_PLACED),
    (S.ACCEPTED, ACCEPT, S.ACCEPTED),
    (S.ACCEPTED, PART, S.PARTLY_FILLED),
    (S.ACCEPTED, ALL, S.FILLED),
    (S.ACCEPTED, CANCEL, S.CANCELED),
    (S.ACCEPTED, EXPIRE, S.EXPIRED),
    (S.ACCEPTED, ABSENT, S.ACCEPTED),
    (S.PARTLY_FILLED, ACCEPT, S.PARTLY_FILLED),
    (S.PARTLY_FILLED, PART, S.PARTLY_FILLED),
    (S.PARTLY_FILLED, [fill(11, 60)], S.FILLED),
    (S.PARTLY_FILLED, CANCEL, S.CANCELED),
    (S.PARTLY_FILLED, ABSENT, S.PARTLY_FILLED),
    (S.REPLACING, [Answered(2, Answer.ACCEPTED)], S.ACCEPTED),
    (S.REPLACING, [Answered(2, Answer.REFUSED)], S.ACCEPTED),
    (S.REPLACING, [Answered(2, Answer.UNKNOWN)], S.REPLACING),
    (S.REPLACING, [Answered(2, Answer.ABSENT)], S.ACCEPTED),
    (S.REPLACING, ACCEPT, S.ACCEPTED),
    (S.REPLACING, PART, S.PARTLY_FILLED),
    (S.REPLACING, ALL, S.FILLED),
    (S.REPLACING, CANCEL, S.CANCELED),
    (S.REPLACING, CHANGE_REFUSED, S.ACCEPTED),
    (S.CANCELING, [Answered(2, Answer.ACCEPTED)], S.CANCELED),
    (S.CANCELING, [Answered(2, Answer.REFUSED)], S.ACCEPTED),
    (S.CANCELING, [Answered(2, Answer.UNKNOWN)], S.CANCELING),
    (S.CANCELING, ACCEPT, S.ACCEPTED),
    (S.CANCELING, PART, S.PARTLY_FILLED),
    (S.CANCELING, ALL, S.FILLED),
    (S.CANCELING, CANCEL, S.CANCELED),
    (S.CANCELING, CHANGE_REFUSED, S.ACCEPTED),
    *[(ended, ACCEPT, S.ACCEPTED) for ended in (S.CANCELED, S.EXPIRED, S.REJECTED, S.NOT_PLACED)],
    *[(ended, PART, S.PARTLY_FILLED) for ended in (S.CANCELED, S.EXPIRED, S.REJECTED, S.NOT_PLACED)],
    *[(ended, ALL, S.FILLED) for ended in (S.CANCELED, S.EXPIRED, S.REJECTED, S.NOT_PLACED)],
    (S.CANCELED, CANCEL, S.CANCELED),
    (S.REJECTED, CANCEL, S.CANCELED),
    *[(S.FILLED, event, S.FILLED) for event in (ACCEPT, CANCEL, EXPIRE, CHANGE_REFUSED, ABSENT)],
]


@pytest.mark.parametrize("origin", list(FROM), ids=lambda origin: origin.value)
def test_every_state_can_be_reached(origin):
    assert status(FROM[origin]) is origin


@pytest.mark.parametrize(("origin", "event", "expected"), TABLE, ids=lambda value: str(getattr(value, "value", "")))
def test_a_cell_of_the_table(origin, event, expected):
    assert status([*FROM[origin], *event]) is expected
    assert status([*event, *FROM[origin]]) is expected


@pytest.mark.parametrize("ended", [S.CANCELED, S.EXPIRED, S.REJECTED, S.NOT_PLACED])
def test_contrary_evidence_reopens_what_was_taken_for_over_and_is_an_alert(ended):
    for event in (ACCEPT, PART, ALL):
        assert is_reopened(status(FROM[ended]), status([*FROM[ended], *event]))

    assert not is_reopened(S.DENIED, S.ACCEPTED)
    assert not is_reopened(S.FILLED, S.FILLED)
    assert not is_reopened(S.REJECTED, S.CANCELED)


def test_an_over_fill_is_shown_whole_and_flagged():
    standing = stand([*FROM[S.FILLED], fill(9, 30)], UNITS)

    assert (standing.status, standing.filled_units, standing.is_overfilled) == (S.FILLED, Decimal(130), True)


def test_a_denied_order_stays_denied():
    assert status([DeniedHere("no_stop"), *ALL]) is S.DENIED


def test_a_requote_gives_the_order_back_and_its_old_refusal_does_not_end_the_next_attempt():
    """The venue's log shows the refusal of attempt 1; attempt 2 is on its way, then working.

    Seen to fail: without the comparison with `after`, the refusal ended the order while the second attempt worked.
    """
    refusal = said(4, EventKind.ORDER_REJECTED)
    first = [placed(), Answered(1, Answer.RETRY, "REQUOTE", key(4)), refusal]

    assert status(first) is S.NEW
    assert status([*first, placed(2, 4)]) is S.SENDING
    assert status([*first, placed(2, 4), accepted(5)]) is S.ACCEPTED
    assert status([*first, placed(2, 4), Answered(2, Answer.REFUSED, "MARGIN")]) is S.REJECTED


def test_the_end_of_a_replaced_order_is_no_end():
    replaced = [*FROM[S.REPLACING], canceled(6, replaced_by="v2")]

    assert status(replaced) is S.ACCEPTED
    assert status([*replaced, VenueSaid(key(7), EventKind.ORDER_ACCEPTED, "v2")]) is S.ACCEPTED


def test_units_follow_the_venues_newest_terms_and_what_was_filled_before_them():
    terms = OrderTerms("EURUSD", Side.BUY, Decimal(60), OrderType.LIMIT, 1.1)
    evidence = [*FROM[S.PARTLY_FILLED], VenueSaid(key(7), EventKind.ORDER_ACCEPTED, "v2", terms=terms)]

    assert order_units(evidence, UNITS) == 100
    assert status(evidence) is S.PARTLY_FILLED


def test_a_confirmed_cancel_counts_until_the_venue_says_something_newer():
    """Seen to fail: a reply that wins over a later fill."""
    confirmed = [*FROM[S.CANCELING], Answered(2, Answer.ACCEPTED)]

    assert status([*confirmed, fill(4, 40)]) is S.CANCELED
    assert status([*confirmed, fill(9, 40)]) is S.PARTLY_FILLED


ITEMS = st.one_of(
    st.builds(placed, st.integers(1, 3), st.integers(0, 8)),
    st.builds(asked, st.sampled_from([AttemptKind.CANCEL, AttemptKind.REPLACE]), st.integers(0, 12), st.integers(2, 5)),
    st.builds(
        Answered, st.integers(0, 5), st.sampled_from(list(Answer)), st.sampled_from(["", "a"]),
        st.one_of(st.just(START), st.builds(key, st.integers(1, 12))),
    ),
    st.builds(
        said, st.integers(1, 15),
        st.sampled_from([EventKind.ORDER_ACCEPTED, EventKind.ORDER_CANCELED, EventKind.ORDER_EXPIRED,
                         EventKind.ORDER_REJECTED, EventKind.CHANGE_REFUSED]),
        replaced_by=st.sampled_from([None, None, "v2"]),
    ),
    st.builds(fill, st.integers(1, 15), st.sampled_from([20, 40, 100])),
)  # fmt: skip


def one_fill_per_number(items):
    """Drop what no venue says: two fills or words under one number."""
    seen = {}
    for item in items:
        if isinstance(item, Filled | VenueSaid):
            seen.setdefault(item.key, item)
    return [item for item in items if not isinstance(item, Filled | VenueSaid) or seen[item.key] is item]


EVIDENCE = st.lists(ITEMS, max_size=12).map(one_fill_per_number)


@settings(max_examples=1_200, deadline=None)
@given(evidence=EVIDENCE, data=st.data())
def test_order_and_repetition_of_the_evidence_change_nothing(evidence, data):
    """Seen to fail: taking the last answer of the list instead of the strongest one."""
    again = data.draw(st.lists(st.sampled_from(evidence), max_size=6)) if evidence else []
    shuffled = data.draw(st.permutations([*evidence, *again]))

    assert stand(shuffled, UNITS) == stand(evidence, UNITS)
    assert stand(frozenset(evidence), UNITS) == stand(evidence, UNITS)


@settings(max_examples=1_200, deadline=None)
@given(evidence=EVIDENCE)
def test_what_is_filled_is_the_sum_of_distinct_fills(evidence):
    standing = stand(evidence, UNITS)
    fills = {item.fill.fill_id: item.fill.units for item in evidence if isinstance(item, Filled)}

    if standing.status is not S.DENIED:
        assert standing.filled_units == sum(fills.values(), Decimal(0))
        assert (standing.filled_units > standing.units) == standing.is_overfilled
        assert (standing.status is S.FILLED) == (standing.filled_units >= standing.units)
        assert standing.status is not S.PARTLY_FILLED or standing.filled_units > 0


# An order told in the order in which things happened, and the table walked step by step.

STEPS = st.lists(
    st.sampled_from(
        ["accept", "part", "rest", "cancel", "expire", "ask_cancel", "ask_replace", "yes", "no", "silence"]
    ),
    max_size=10,
)


def told(steps):
    """Return evidence and the status of the table's walk, for steps that can follow one another."""
    evidence, seq, attempt, filled = [placed()], 0, 1, 0
    now, before, is_replied = S.SENDING, S.ACCEPTED, False
    for step in steps:
        is_over = now in (S.CANCELED, S.EXPIRED, S.REJECTED, S.FILLED)
        is_changing = now in (S.REPLACING, S.CANCELING)
        if step in ("accept", "part", "rest", "cancel", "expire"):
            if is_over:
                continue
            seq += 1
            if step == "accept":
                evidence.append(accepted(seq))
                now = S.PARTLY_FILLED if filled else S.ACCEPTED
            elif step in ("part", "rest"):
                units = 10 if step == "part" else 100 - filled
                if filled + units > 100:
                    continue
                filled += units
                evidence.append(fill(seq, units))
                now = S.FILLED if filled == 100 else S.PARTLY_FILLED
            else:
                evidence.append(canceled(seq) if step == "cancel" else said(seq, EventKind.ORDER_EXPIRED))
                now = S.CANCELED if step == "cancel" else S.EXPIRED
        elif step.startswith("ask"):
            if now not in (S.ACCEPTED, S.PARTLY_FILLED):
                continue
            attempt, before, is_replied = attempt + 1, now, False
            kind = AttemptKind.CANCEL if step == "ask_cancel" else AttemptKind.REPLACE
            evidence.append(asked(kind, seq, attempt))
            now = S.CANCELING if step == "ask_cancel" else S.REPLACING
        elif not is_replied and (is_changing or (attempt == 1 and now in (S.SENDING, S.UNKNOWN))):
            answer = {"yes": Answer.ACCEPTED, "no": Answer.REFUSED, "silence": Answer.UNKNOWN}[step]
            evidence.append(Answered(attempt, answer, through=key(seq)))
            is_replied = step != "silence"
            if attempt == 1:
                now = {"yes": S.ACCEPTED, "no": S.REJECTED, "silence": S.UNKNOWN}[step]
            elif step == "yes":
                now = S.CANCELED if now is S.CANCELING else before
            elif step == "no":
                now = before
    return evidence, now


@settings(max_examples=1_500, deadline=None)
@given(steps=STEPS, data=st.data())
def test_the_set_of_evidence_gives_the_status_that_the_table_gives_step_by_step(steps, data):
    """Seen to fail: a CANCELING that the fill after it does not end."""
    evidence, expected = told(steps)

    assert status(data.draw(st.permutations(evidence))) is expected
