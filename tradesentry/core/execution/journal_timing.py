"""Measure how long a journal takes to commit, without the journal or its users knowing.

Separate, because every implementation is measured alike: from the end of a transaction's block to the confirmation.
"""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, cast

from tradesentry.core.domain.clock import Clock
from tradesentry.core.execution.journal_port import Journal, JournalTransaction
from tradesentry.core.execution.journal_rows import Lease

J = TypeVar("J", bound=Journal)


def timed(journal: J, clock: Clock, observe: Callable[[float], None]) -> J:
    """Return the journal with its durable commits measured; everything else goes through untouched.

    Args:
        journal: Any implementation.
        clock: Time.
        observe: Takes seconds: `AccountMetrics.observe_commit`.
    """
    return cast("J", _TimedJournal(journal, clock, observe))


class _TimedJournal:
    def __init__(self, journal: Journal, clock: Clock, observe: Callable[[float], None]) -> None:
        self._journal, self._clock, self._observe = journal, clock, observe

    def __getattr__(self, name: str) -> Any:  # whatever the journal has
        return getattr(self._journal, name)

    def effect(self, lease: Lease) -> AbstractAsyncContextManager[JournalTransaction]:
        return self._timed(self._journal.effect(lease))

    def fenced(self, lease: Lease, *, is_durable: bool = True) -> AbstractAsyncContextManager[JournalTransaction]:
        block = self._journal.fenced(lease, is_durable=is_durable)
        return self._timed(block) if is_durable else block

    @asynccontextmanager
    async def _timed(self, block: AbstractAsyncContextManager[JournalTransaction]) -> AsyncIterator[JournalTransaction]:
        transaction = await block.__aenter__()
        try:
            yield transaction
        except BaseException:
            if not await block.__aexit__(*sys.exc_info()):
                raise
        else:
            ended_at = self._clock.monotonic()
            await block.__aexit__(None, None, None)
            self._observe(self._clock.monotonic() - ended_at)
