"""Read a venue's events page after page, the next one while the last is being stored.

Separate, because whoever stores events needs to know nothing of reading ahead. A page is read ahead from where the one
before it is complete, so that no number is skipped; one that was read for nothing is dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

from tradesentry.core.broker.base_broker import EventPage, contiguous_through

ReadEvents: TypeAlias = Callable[[int], Awaitable[EventPage]]


class EventPages:
    """Pages of one account; leave its block to give up what is being read ahead.

    Args:
        events_since: Reads the page after a number, as `BaseBroker.events_since`.
    """

    def __init__(self, events_since: ReadEvents) -> None:
        self._events_since = events_since
        self._ahead: tuple[int, asyncio.Task[EventPage]] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._drop()

    async def after(self, seq: int) -> EventPage:
        """Return the page after `seq`, and begin to read the one after it when the venue has more.

        Args:
            seq: Newest number up to which nothing is missing.
        """
        if self._ahead is not None and self._ahead[0] == seq:
            task, self._ahead = self._ahead[1], None
            page = await task
        else:
            await self._drop()
            page = await self._events_since(seq)
        through = contiguous_through(page.events, after=seq)
        if seq < through < page.last_seq:
            self._ahead = through, asyncio.ensure_future(self._events_since(through))
        return page

    async def _drop(self) -> None:
        if self._ahead is None:
            return
        task, self._ahead = self._ahead[1], None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
