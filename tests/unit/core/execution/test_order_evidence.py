"""What became of an order is found out by evidence: lost replies, late executions, holes, a new owner."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from tests.support.order_rigs import LONG, enter, order_rig, play
from tests.support.venues import entry
from tradesentry.core.broker.base_broker import Unknown
from tradesentry.core.domain.live_orders import Evidence

RUN = uuid4()


@pytest.mark.parametrize("fault", ["lose_reply", "no_reply", "truncated"])
def test_a_lost_reply_is_unknown_until_the_events_tell_and_nothing_is_sent_twice(fault):
    async def case():
        async with order_rig(faults=f"{fault} at 1 on place") as rig:
            sent = await rig.settle(rig.submit(enter()))
            during = rig.statuses()
            await rig.orders.resolve()
            return sent, during, rig.statuses(), len(rig.placed())

    sent, during, after, n_placed = play(case())

    assert isinstance(sent[0].outcome, Unknown)
    assert (during, after, n_placed) == (["unknown"], ["filled"], 1)


def test_an_order_that_never_arrived_is_not_placed_only_after_the_horizon():
    """Seen to fail: without the horizon the order was given up at once."""

    async def case():
        async with order_rig(faults="reset_before at 1 on place") as rig:
            rig.broker.capabilities = replace(rig.broker.capabilities, absence_horizon_seconds=60.0)
            await rig.submit(enter())
            await rig.orders.resolve()
            early = rig.statuses()
            denied = await rig.submit(enter())
            await rig.clock.advance(61)
            await rig.orders.resolve()
            return early, denied[0].verdict.code, rig.statuses()[0], rig.rows.reservations

    early, code, after, reserved = play(case())

    assert (early, code, after) == (["unknown"], "order_unresolved", "not_placed")
    assert reserved == {}


def test_a_late_execution_reopens_an_order_that_was_given_up_and_tells_people():
    async def case():
        async with order_rig(faults="reset_before at 1 on place") as rig:
            await rig.submit(enter())
            await rig.orders.resolve()
            before = rig.statuses()
            rig.venue.place(replace(entry(1), client_order_id=next(iter(rig.book.orders))))
            await rig.orders.catch_up()
            return before, rig.statuses(), rig.alerts, len(rig.book.trades)

    before, after, alerts, n_trades = play(case())

    assert (before, after, n_trades) == (["not_placed"], ["filled"], 1)
    assert [code for code, _ in alerts] == ["order_reopened"]


def test_a_canceled_caller_neither_stops_the_command_nor_loses_its_outcome():
    async def case():
        async with order_rig(faults="slow:2 at 1 on place") as rig:
            task = asyncio.ensure_future(rig.submit(enter()))
            for _ in range(50):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await rig.clock.advance(3)
            await rig.orders.drain()
            return rig.statuses(), len(rig.placed())

    assert play(case()) == (["filled"], 1)


def test_an_outcome_that_nobody_awaits_any_more_is_journaled_for_its_order():
    """Guards: a command whose task died with its caller ends here, known by the stamp that it was sent with."""

    async def case():
        async with order_rig() as rig:
            stamps = []
            place = rig.broker.place_order

            async def die(order):
                stamps.append((order.stamp, await place(order)))
                raise asyncio.CancelledError

            rig.broker.place_order = die
            with pytest.raises(asyncio.CancelledError):
                await rig.submit(enter())
            during = rig.statuses()
            rig.orders.on_late("place", *stamps[0])
            await rig.orders.drain()
            return during, rig.statuses(), rig.transitions(1)[-1]

    assert play(case()) == (["sending"], ["filled"], ("accepted", "filled"))


def is_open(rig):
    """Whether the gates will see a hole a second from now."""
    return rig.gates.watch.hole_seconds(rig.clock.now_ns() + 1_000_000_000) > 0


def test_events_with_a_hole_are_fetched_and_the_cursor_stays_before_it():
    async def case():
        async with order_rig() as rig:
            for n in (1, 2, 3):
                rig.venue.place(entry(n + 20, units=1_000))
            events = [rig.broker._event(row) for row in rig.venue.since(0)]
            await rig.orders.ingest([events[0], *events[4:]], evidence=Evidence.STREAM)
            at_hole = rig.book.cursor, is_open(rig)
            await rig.orders.drain()
            return at_hole, rig.book.cursor, rig.venue.last_seq, is_open(rig), len(rig.rows.events)

    at_hole, cursor, last_seq, hole, n_events = play(case())

    assert at_hole == (1, True)
    assert cursor == last_seq == n_events
    assert not hole


@pytest.mark.parametrize(
    "fault",
    ["page_incomplete at 1,2", "page_dropped at 1,2", "page_reversed at 1", "page_ahead at 1", "page_repeated at 1"],
)
def test_pages_that_are_wrong_lose_nothing(fault):
    async def case():
        async with order_rig() as rig:
            rig.broker.faults = rig.broker.faults.parse(fault)
            for n in (1, 2, 3):
                rig.venue.place(entry(n + 20, units=1_000))
            await rig.settle(rig.orders.catch_up())
            return rig.book.cursor, rig.venue.last_seq, len(rig.book.trades)

    cursor, last_seq, n_trades = play(case())

    assert cursor == last_seq
    assert n_trades == 3


def test_a_new_owner_treats_what_was_being_sent_as_unknown_and_never_sends_it_again():
    """Seen to fail: an owner that takes SENDING for NOT_PLACED (M7)."""

    async def case():
        async with order_rig() as rig:
            place = rig.broker.place_order
            reached = asyncio.Event()

            async def die(order):
                await place(order)
                reached.set()
                await asyncio.sleep(LONG)

            rig.broker.place_order = die
            task = asyncio.ensure_future(rig.submit(enter()))
            await reached.wait()
            rig.broker.place_order = place
            for running in tuple(rig.orders.desk.sender._running.values()):
                running.cancel()
            await asyncio.gather(task, return_exceptions=True)
            found = await rig.orders.load()
            during = rig.statuses()
            await rig.orders.resolve()
            return [change.order.status.value for change in found], during, rig.statuses(), len(rig.placed())

    found, during, after, n_placed = play(case())

    assert (found, during) == (["unknown"], ["unknown"])
    assert (after, n_placed) == (["filled"], 1)
