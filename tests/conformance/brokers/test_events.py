"""What every broker tells: events at least once, in any order, complete or saying that they are not."""

import asyncio

import pytest

from tests.conformance.brokers.conftest import play
from tests.support.venues import entry, quote_at
from tradesentry.core.domain.events import StreamDown
from tradesentry.core.domain.orders import OrderType


async def some_trading(b, n=3):
    """Place `n` entries, so that there are events."""
    for seq in range(1, n + 1):
        await b.broker.place_order(entry(seq, units=10 * seq))


def test_pages_hold_every_number_once(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            await some_trading(b)
            return await b.broker.events_since(0), await b.broker.events_since(4), b.n_events()

    first, rest, last_seq = play(case())

    assert [event.seq for event in first.events] == list(range(1, last_seq + 1))
    assert [event.seq for event in rest.events] == list(range(5, last_seq + 1))
    assert first.is_complete
    assert rest.is_complete


@pytest.mark.parametrize(
    ("fault", "is_complete"),
    [
        ("page_repeated", True),
        ("page_reversed", True),
        ("page_incomplete", False),
        ("page_dropped", False),
        ("page_ahead", False),
    ],
)
def test_a_disturbed_page_is_complete_or_says_that_it_is_not(bench, fault, is_complete):
    async def case():
        async with bench(faults=f"{fault} at 1 on events") as b:
            await b.broker.connect()
            await some_trading(b)
            return await b.broker.events_since(0), await b.broker.events_since(0), b.n_events(), b

    page, again, last_seq, b = play(case())

    assert page.is_complete is (is_complete or not b.has_pages)
    assert again.is_complete
    assert {event.seq for event in again.events} == set(range(1, last_seq + 1))


def test_pages_of_a_long_history_follow_one_another(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            for _ in range(1_200):
                b.venue.transfer(1)
            seq, seen, n_pages = 0, set(), 0
            while True:
                page = await b.broker.events_since(seq)
                seen |= {event.seq for event in page.events}
                n_pages += 1
                while seq + 1 in seen:
                    seq += 1
                if page.is_complete:
                    return seen, n_pages

    seen, n_pages = play(case())

    assert seen == set(range(1, 1_201))
    assert n_pages > 1


async def listen(b, n):
    """Return the first `n` things that the event stream says."""
    heard = []

    async def collect():
        async for item in b.broker.events():
            heard.append(item)
            if len(heard) >= n:
                return

    task = asyncio.ensure_future(collect())
    return heard, task


def test_the_stream_tells_what_happens(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            heard, task = await listen(b, 3)
            await b.ready()
            await b.broker.place_order(entry(1))
            await b.settle(task)
            return heard

    heard = play(case())

    assert [event.kind for event in heard] == ["order_accepted", "order_filled", "protection"]
    assert [event.seq for event in heard] == [1, 2, 3]


@pytest.mark.parametrize("fault", ["stream_closed", "stream_stall"])
def test_a_stream_that_breaks_says_so_and_comes_back(bench, fault):
    async def case():
        async with bench(faults=f"{fault} at 2 on events") as b:
            await b.broker.connect()
            heard, task = await listen(b, 5)
            await b.ready()
            await b.broker.place_order(entry(1))
            await b.until(lambda: any(isinstance(item, StreamDown) for item in heard))
            await b.ready()
            await b.broker.place_order(entry(2))
            await b.settle(task, seconds=120)
            page = await b.broker.events_since(0)
            return heard, page

    heard, page = play(case())

    assert sum(isinstance(item, StreamDown) for item in heard) == 1
    assert page.is_complete
    assert {event.seq for event in heard if not isinstance(event, StreamDown)} <= {event.seq for event in page.events}


@pytest.mark.parametrize("fault", ["stream_split", "stream_garbage", "stream_double"])
def test_a_disturbed_frame_loses_no_event(bench, fault):
    async def case():
        async with bench(faults=f"{fault} at 2 on events") as b:
            await b.broker.connect()
            heard, task = await listen(b, 4 if fault == "stream_double" and b.has_pages else 3)
            await b.ready()
            await b.broker.place_order(entry(1))
            await b.settle(task, seconds=120)
            return heard

    heard = play(case())

    assert {event.seq for event in heard if not isinstance(event, StreamDown)} == {1, 2, 3}


def test_quotes_stream(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            heard = []

            async def collect():
                async for quote in b.broker.quotes(["EURUSD"]):
                    heard.append(quote)
                    if quote.bid == 1.1007:
                        return

            task = asyncio.ensure_future(collect())
            await b.ready("quotes")
            b.show(quote_at(151.0, symbol="USDJPY", spread=0.01, seconds=1))
            b.show(quote_at(1.1007, seconds=2))
            await b.settle(task)
            return heard

    heard = play(case())

    assert {quote.symbol for quote in heard} == {"EURUSD"}
    assert (heard[-1].bid, heard[-1].ask) == (1.1007, 1.1008)


def test_facts_are_a_pure_function_of_the_stored_event(bench):
    async def case():
        async with bench() as b:
            await b.broker.connect()
            await b.broker.place_order(entry(1, kind=OrderType.LIMIT, price=1.09, stop=1.08))
            b.show(quote_at(1.0890, seconds=1))
            page = await b.broker.events_since(0)
            return [b.broker.facts(event) for event in page.events], [b.broker.facts(event) for event in page.events]

    first, again = play(case())

    assert first == again
    assert [facts.kind for facts in first] == ["order_accepted", "order_filled", "protection"]
