"""Hear what a venue says without ever holding it up: events wait here until the journal has room for them.

Separate from recovery and from the outage, which both take from it: recovery opens the stream before its snapshot and
drains it after, an outage lets it grow until the database is back. Beyond `limit` events only the newest number is
kept, because the venue can repeat the rest.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final, cast

from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.domain.errors import BrokerUnavailable
from tradesentry.core.domain.events import BrokerEvent, StreamDown

MAX_EVENTS: Final = 100_000


class EventBuffer:
    """Events that were heard and are not journaled yet.

    Args:
        limit: Most events kept.
    """

    def __init__(self, limit: int = MAX_EVENTS) -> None:
        self._events: deque[BrokerEvent] = deque()
        self._limit = limit
        self.newest: tuple[str, int] | None = None
        """Log and number of the newest event heard, kept or not."""
        self.n_left_out = 0
        """Events beyond the limit since the last `take`; the venue repeats them."""

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: BrokerEvent) -> None:
        """Keep an event, or only its number when there is no room."""
        if self.newest is None or self.newest[0] != event.log_id or event.seq > self.newest[1]:
            self.newest = (event.log_id, event.seq)
        if len(self._events) < self._limit:
            self._events.append(event)
        else:
            self.n_left_out += 1

    def take(self) -> list[BrokerEvent]:
        """Return everything kept, oldest first, and forget it."""
        events, self.n_left_out = list(self._events), 0
        self._events.clear()
        return events

    def put_back(self, events: Sequence[BrokerEvent]) -> None:
        """Keep events again that could not be journaled, before those that came meanwhile."""
        self._events.extendleft(reversed(events))


class EventFollower:
    """The event stream of one account, read in a task of its own.

    Args:
        broker: Whose stream.
        limit: Most events kept.
    """

    def __init__(self, broker: BaseBroker, *, limit: int = MAX_EVENTS) -> None:
        self._broker = broker
        self.buffer = EventBuffer(limit)
        self._losses: list[StreamDown] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the stream is being read."""
        return self._task is not None and not self._task.done()

    def open(self) -> None:
        """Begin to read; again is no harm."""
        if not self.is_open:
            self._task = asyncio.create_task(self._read())

    async def close(self) -> None:
        """Stop reading; what was heard stays."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def take_losses(self) -> list[StreamDown]:
        """Return the breaks of the stream since the last call."""
        losses, self._losses = self._losses, []
        return losses

    async def wait(self) -> None:
        """Wait until something was heard or the stream broke.

        Raises:
            BrokerError: The stream ended, for instance because the token is not accepted.
        """
        if not (len(self.buffer) or self._losses):
            self._news.clear()
            news = asyncio.ensure_future(self._news.wait())
            tasks: set[asyncio.Future[Any]] = {news} if self._task is None else {news, self._task}
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
                await asyncio.gather(news, return_exceptions=True)
        if len(self.buffer) or self._losses or self._task is None or not self._task.done():
            return
        if not self._task.cancelled():
            self._task.result()
        raise BrokerUnavailable("The venue's event stream has ended. It is opened again by the next recovery.")

    async def _read(self) -> None:
        stream = self._broker.events()
        async with aclosing(cast("Any", stream)) as items:
            async for item in items:
                if isinstance(item, StreamDown):
                    self._losses.append(item)
                else:
                    self.buffer.add(item)
                self._news.set()
