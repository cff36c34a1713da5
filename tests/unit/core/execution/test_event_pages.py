"""Pages of a venue's events: none twice, none skipped, the next one under way while the last is stored."""

import asyncio

import pytest

from tests.support.order_rigs import play
from tradesentry.core.broker.base_broker import EventPage, is_contiguous
from tradesentry.core.domain.errors import BrokerUnavailable
from tradesentry.core.domain.events import BrokerEvent, EventKind
from tradesentry.core.execution.event_pages import EventPages


class Log:
    """A venue with `n` events, shown ten at a time."""

    def __init__(self, n, *, missing=(), failing=()):
        self._n, self._missing, self._failing = n, set(missing), set(failing)
        self.asked, self.answered = [], []
        self.gate = asyncio.Event()
        self.gate.set()

    async def since(self, seq):
        self.asked.append(seq)
        await self.gate.wait()
        if seq in self._failing:
            raise BrokerUnavailable(f"no page after {seq}")
        numbers = [n for n in range(seq + 1, min(seq + 10, self._n) + 1) if n not in self._missing]
        events = tuple(BrokerEvent("a", "log-1", n, EventKind.OTHER, {}, n, n) for n in numbers)
        self.answered.append(seq)
        return EventPage(events, self._n, "log-1", is_contiguous(events, after=seq, last_seq=self._n))


async def idle():
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_next_page_is_read_while_the_last_is_stored():
    """Seen to fail: when it was asked for only after the last had been stored."""

    async def case():
        log, seen = Log(25), []
        async with EventPages(log.since) as pages:
            for after in (0, 10, 20):
                page = await pages.after(after)
                await idle()
                seen.append((len(page.events), list(log.answered)))
        return seen, log.asked

    seen, asked = play(case())

    assert seen == [(10, [0, 10]), (10, [0, 10, 20]), (5, [0, 10, 20])]
    assert asked == [0, 10, 20]


def test_a_page_with_a_hole_is_followed_from_before_the_hole():
    async def case():
        log = Log(25, missing=[7])
        async with EventPages(log.since) as pages:
            await pages.after(0)
            await idle()
        return log.asked

    assert play(case()) == [0, 6]


def test_nothing_is_read_ahead_of_a_page_that_shows_nothing_new():
    async def case():
        log = Log(25, missing=[1])
        async with EventPages(log.since) as pages:
            await pages.after(0)
            await idle()
        return log.asked

    assert play(case()) == [0]


def test_what_was_read_ahead_of_another_place_is_dropped():
    """The stream brought events meanwhile, so the cursor stands elsewhere."""

    async def case():
        log = Log(40)
        async with EventPages(log.since) as pages:
            await pages.after(0)
            page = await pages.after(13)
            await idle()
        return log.asked, page.events[0].seq

    assert play(case()) == ([0, 13, 23], 14)


def test_leaving_gives_up_what_is_under_way():
    async def case():
        log = Log(40)
        async with EventPages(log.since) as pages:
            await pages.after(0)
            log.gate.clear()
            await idle()
        return log.asked, log.answered, len(asyncio.all_tasks())

    assert play(case()) == ([0, 10], [0], 1)


def test_an_error_of_a_page_read_ahead_is_told_to_whoever_asks_for_that_page():
    async def case():
        log = Log(40, failing=[10])
        async with EventPages(log.since) as pages:
            await pages.after(0)
            await idle()
            with pytest.raises(BrokerUnavailable, match="no page after 10"):
                await pages.after(10)
            return (await pages.after(0)).last_seq

    assert play(case()) == 40
