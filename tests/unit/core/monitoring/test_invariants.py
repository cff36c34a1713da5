"""Each invariant holds of a real account and is broken by exactly the fault it is for."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.support.recovering import Site, play
from tests.support.venues import entry
from tradesentry.core.domain.errors import JournalUnavailable
from tradesentry.core.domain.events import EventKind
from tradesentry.core.domain.live_account import Cancel, OrderMoved, Protect, Reduce
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.execution import live_picture
from tradesentry.core.execution.journal_rows import LiveState
from tradesentry.core.execution.live_picture import PictureReader
from tradesentry.core.monitoring.invariants import (
    INVARIANTS,
    InvariantMonitor,
    LimitUse,
    Marks,
    check,
    marks_after,
)

SECOND_NS = 1_000_000_000


async def account(site, owner):
    """Trade for a while: two trades, one reduced and protected, one closed, a resting entry and a canceled one."""
    await owner.recover()
    reader = PictureReader(owner.orders, site.journal, owner.claim.lease, site.clock, horizon_seconds=0.0)
    await owner.buy(10_000, take_profit=1.1200)
    await owner.buy(20_000)
    first, second = sorted(owner.book.trades)
    await send(owner, Reduce(first, Decimal(4_000)), Protect(first, stop_loss=1.0960), Reduce(second))
    await owner.buy(5_000, type=OrderType.LIMIT, price=1.0980)
    canceled = await owner.buy(6_000, type=OrderType.LIMIT, price=1.0970)
    await send(owner, Cancel(canceled.seq))
    site.venue.transfer(Decimal(250))
    site.show(1.1010)
    await owner.settle(owner.orders.catch_up())
    reader.note_account(await owner.broker.get_balance())
    return reader


async def send(owner, *wishes):
    for wish in wishes:
        await owner.settle(owner.orders.submit([wish], run=None, bar_close_ns=0))
    await owner.settle(owner.orders.catch_up())


def picture_of(work=None):
    """Return a picture of an account that traded; `work(site, owner, reader)` may go on with it."""

    async def case():
        site = Site()
        owner = await site.own()
        reader = await account(site, owner)
        if work is not None:
            await work(site, owner, reader)
        return await reader.read()

    return play(case())


@pytest.fixture(scope="module")
def picture():
    return picture_of()


def broken(picture, *, before=None):
    """Return which invariants a picture breaks."""
    return {violation.invariant for violation in check(picture, before or Marks())}


def test_nothing_is_broken_on_an_account_that_trades(picture):
    """The picture has what the invariants look at: events of every kind, fills, an ended trade, money from outside."""
    kinds = {facts.kind for facts in picture.facts}
    statuses = {order.status for order in picture.orders}

    assert check(picture, marks_after(picture, Marks())) == []
    assert {EventKind.ORDER_ACCEPTED, EventKind.ORDER_FILLED, EventKind.ORDER_CANCELED, EventKind.PROTECTION,
            EventKind.TRANSFER} <= kinds  # fmt: skip
    assert {OrderStatus.FILLED, OrderStatus.ACCEPTED, OrderStatus.CANCELED} <= statuses
    assert (len(picture.trades), len(picture.fills)) == (1, 4)
    assert {len(times) for times in picture.placements.values()} == {1}
    assert picture.venue_balance is not None


def first_accepted(picture):
    return next(i for i, facts in enumerate(picture.facts) if facts.kind is EventKind.ORDER_ACCEPTED)


def with_facts(picture, index, **fields):
    facts = list(picture.facts)
    facts[index] = replace(facts[index], **fields)
    return replace(picture, facts=facts)


def without_the_order_of_a_venue_order(picture):
    venue_id = picture.facts[first_accepted(picture)].venue_order_id
    return replace(picture, orders=[order for order in picture.orders if venue_id not in order.venue_order_ids])


def with_a_lost_intent(picture):
    return replace(picture, intents=frozenset(sorted(picture.intents)[1:]))


def with_a_second_venue_order(picture):
    """The same client id accepted once more, under another venue id that the book knows as well."""
    i = first_accepted(picture)
    twin = replace(picture.facts[i], venue_order_id="9999")
    orders = [
        replace(order, venue_order_ids=(*order.venue_order_ids, "9999")) if i_ == 0 else order
        for i_, order in enumerate(picture.orders)
    ]
    return replace(picture, facts=[*picture.facts, twin], orders=orders)


def with_a_second_execution(picture):
    """One intent filled under two venue orders; the second fill closes at once, so that units still add up."""
    entry = next(fill for fill in picture.fills if fill.client_order_id)
    again = replace(entry, fill_id="x1", venue_order_id="9999", trade_ref="x")
    undo = replace(again, fill_id="x2", side=-entry.side, effect=Effect.REDUCE, client_order_id=None)
    said = replace(picture.facts[-1], kind=EventKind.ORDER_FILLED, fills=(again, undo), venue_order_id="9999")
    return replace(picture, fills=[*picture.fills, again, undo], facts=[*picture.facts, said])


def with_a_fill_that_was_not_stored(picture):
    """Its trade was closed again by the next one, so the sums hold."""
    entry = next(fill for fill in picture.fills if fill.client_order_id)
    entry = replace(entry, fill_id="x1", trade_ref="x", client_order_id=None)
    undo = replace(entry, fill_id="x2", side=-entry.side, effect=Effect.REDUCE)
    said = replace(picture.facts[-1], kind=EventKind.ORDER_FILLED, fills=(entry, undo))
    return replace(picture, facts=[*picture.facts, said])


def with_units_that_are_not_the_fills(picture):
    (trade,) = picture.trades
    return replace(picture, trades=[replace(trade, units=trade.units + 1)])


def with_another_net_position(picture):
    return replace(picture, net_units={"EURUSD": Decimal(9_999)})


def with_a_cent_too_much(picture):
    return replace(picture, balance=picture.balance + Decimal("0.01"))


def with_another_equity(picture):
    return replace(picture, equity=Decimal(100), venue_equity=Decimal("100.01"))


def with_an_order_in_flight(picture):
    """A resting entry whose status is UNKNOWN since 31 s, at a venue that takes 0."""
    orders = [
        replace(order, status=OrderStatus.UNKNOWN) if order.status is OrderStatus.ACCEPTED else order
        for order in picture.orders
    ]
    seq = next(order.seq for order in orders if order.status is OrderStatus.UNKNOWN)
    placements = {**picture.placements, seq: [picture.now_ns - 31 * SECOND_NS]}
    return replace(picture, orders=orders, placements=placements)


def with_a_placed_order_that_is_not(picture):
    orders = [
        replace(order, status=OrderStatus.NOT_PLACED) if order.status is OrderStatus.CANCELED else order
        for order in picture.orders
    ]
    return replace(picture, orders=orders)


def without_a_stop(picture):
    (trade,) = picture.trades
    return replace(picture, trades=[replace(trade, stop_loss=None)], now_ns=trade.entry_ts_ns + 3 * SECOND_NS)


def beyond_a_limit(picture):
    return replace(picture, limits=[LimitUse("open_risk", 0.0301, 0.03)])


def with_an_entry_after_the_halt(picture):
    return replace(picture, sent_when_halted=(picture.orders[0].key,))


FAULTS = {
    "I1": [without_the_order_of_a_venue_order, with_a_lost_intent],
    "I2": [with_a_second_venue_order, with_a_second_execution],
    "I3": [with_a_fill_that_was_not_stored],
    "I4": [with_units_that_are_not_the_fills, with_another_net_position],
    "I5": [with_a_cent_too_much, with_another_equity],
    "I6": [with_an_order_in_flight],
    "I7": [with_a_placed_order_that_is_not],
    "I8": [without_a_stop],
    "I9": [beyond_a_limit, with_an_entry_after_the_halt],
}


@pytest.mark.parametrize(("invariant", "fault"), [(i, fault) for i, faults in FAULTS.items() for fault in faults])
def test_a_fault_breaks_exactly_the_invariant_it_is_for(picture, invariant, fault):
    """Seen to fail for each with the body of its invariant taken away."""
    assert broken(fault(picture)) == {invariant}


@pytest.mark.parametrize("copies", [2, 3])
def test_a_fill_that_is_stored_twice_is_seen(picture, copies):
    """The units no longer add up either, because nothing else says which of the two is wrong."""
    twice = replace(picture, fills=[*picture.fills[:1] * copies, *picture.fills[1:]])

    assert {"I3", "I4"} <= broken(twice)


@pytest.mark.parametrize(
    ("mark", "value"),
    [("epoch", 99), ("high_water_mark", Decimal(10**9)), ("state", "halted")],
    ids=["epoch", "high-water mark", "halted"],
)
def test_what_must_not_go_back_is_compared_with_the_picture_before(picture, mark, value):
    before = replace(marks_after(picture, Marks()), **{mark: value})

    assert broken(picture, before=before) == {"I10"}


def test_a_person_may_lift_a_halt(picture):
    before = replace(marks_after(picture, Marks()), state="halted")

    assert broken(replace(picture, n_rearmed=1), before=before) == set()


def test_a_stop_that_was_loosened_is_seen_for_as_long_as_it_is_loose(picture):
    """Seen to fail with the marks of the last picture only: after one look the loose stop was the measure."""
    (trade,) = picture.trades
    before = marks_after(picture, Marks())
    loose = replace(picture, trades=[replace(trade, stop_loss=trade.stop_loss - 0.0001)])

    first, before = broken(loose, before=before), marks_after(loose, before)

    assert (first, broken(loose, before=before), broken(picture, before=before)) == ({"I8"}, {"I8"}, set())


def test_young_trades_and_those_of_others_need_no_stop(picture):
    (trade,) = picture.trades
    bare = replace(trade, stop_loss=None)
    young = replace(picture, trades=[bare], now_ns=trade.entry_ts_ns + SECOND_NS)
    external = replace(without_a_stop(picture), trades=[replace(bare, seq=None, key=None)])

    assert (broken(young), broken(external)) == (set(), set())


def test_an_order_that_was_replaced_has_two_venue_orders_and_one_execution():
    async def work(site, owner, reader):
        resting = next(order for order in owner.book.orders.values() if order.status is OrderStatus.ACCEPTED)
        order = site.venue.find(resting.venue_order_ids[-1]).request
        site.venue.replace(resting.venue_order_ids[-1], replace(order, price=1.0985))
        site.show(1.0975)
        await owner.settle(owner.orders.catch_up())

    picture = picture_of(work)

    assert any(len(order.venue_order_ids) == 2 for order in picture.orders)
    assert broken(picture) == set()


# The reader


def test_an_entry_that_is_sent_while_halted_is_in_the_picture():
    """The gates would deny it, so what the order manager tells its listeners is said by the test."""

    async def work(site, owner, reader):
        sent = next(order for order in owner.book.orders.values() if order.effect is Effect.OPEN)
        told = OrderMoved(replace(sent, status=OrderStatus.SENDING), OrderStatus.NEW)
        owner.orders.listeners[-1]([told])
        await owner.orders.set_state(LiveState.HALTED, "test")
        owner.orders.listeners[-1]([told])

    picture = picture_of(work)

    assert len(picture.sent_when_halted) == 1
    assert broken(picture) == {"I9"}


def test_there_is_no_picture_while_the_account_recovers():
    async def work(site, owner, reader):
        await owner.orders.set_state(LiveState.RECONCILING, "test")

    assert picture_of(work) is None


def test_a_trade_by_hand_is_in_the_picture_as_external_and_breaks_nothing():
    async def work(site, owner, reader):
        site.venue.place(replace(entry(1), client_order_id=""))
        await owner.settle(owner.orders.catch_up())

    picture = picture_of(work)

    assert any(order.is_external for order in picture.orders)
    assert broken(picture) == set()


def test_a_new_period_begins_when_the_events_are_many(monkeypatch):
    monkeypatch.setattr(live_picture, "MAX_EVENTS", 5)
    sizes = []

    async def work(site, owner, reader):
        sizes.append(len((await reader.read()).facts))
        await owner.buy(3_000)
        await owner.settle(owner.orders.catch_up())

    picture = picture_of(work)

    assert 0 < len(picture.facts) < sizes[0]
    assert broken(picture) == set()


# The monitor


def watched(pictures, *, seconds=0.0, before=None):
    """Run a monitor over pictures; return (alerts, counts of each look)."""
    alerts, counts, left = [], [], list(pictures)
    site = Site()

    async def read():
        item = left.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    async def work():
        monitor = InvariantMonitor(
            read, site.clock, lambda *said: alerts.append(said), on_counts=counts.append, before=before
        )
        running = asyncio.create_task(monitor.run())
        await site.clock.advance(60.0 * (len(pictures) - 1) + seconds)
        running.cancel()

    asyncio.run(work())
    return alerts, counts


def test_each_violation_is_told_once_until_it_has_been_gone(picture):
    """Seen to fail without the memory of what is known: four alerts."""
    bad = with_a_cent_too_much(picture)

    alerts, counts = watched([picture, bad, bad, picture, bad, bad])

    assert [code for code, _ in alerts] == ["invariant_i5"] * 2
    assert [count["I5"] for count in counts] == [0, 1, 1, 0, 1, 1]
    assert set(counts[0]) == set(INVARIANTS)
    assert "The balance is" in alerts[0][1]
    assert "Pause the account" in alerts[0][1]


def test_a_journal_that_is_away_and_a_recovery_are_waited_for(picture):
    alerts, counts = watched([JournalUnavailable("away"), None, with_a_cent_too_much(picture)])

    assert [code for code, _ in alerts] == ["invariant_i5"]
    assert len(counts) == 1


def test_marks_of_an_earlier_process_are_compared_with_the_first_picture(picture):
    alerts, _ = watched([picture], before=Marks(epoch=99))

    assert [code for code, _ in alerts] == ["invariant_i10"]
