"""One life of an agent in the soak: claim accounts, hold them by renewal, trade each in a session, give them back.

The same rules as the real agent (section 6.3) at scaled times: renewals are asked for every third of the TTL and
counted from before they were asked, a lost lease ends its session at once, a clean stop releases. What a session does
is handed in, so a mutant can be a wholly different trader.
"""

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol
from uuid import UUID

from tests.acceptance.soak.settings import AgentSettings
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.domain.errors import JournalUnavailable, LeaseLost
from tradesentry.core.execution.journal import Claim, Lease
from tradesentry.core.execution.lease import SelfFence
from tradesentry.core.utils.crash_points import arm_crash_point
from tradesentry.database.repositories.journal import PostgresJournal
from tradesentry.database.session import create_pool


class Session(Protocol):
    """What holds one account."""

    async def run(self) -> None:
        """Trade until canceled or the lease is lost."""

    async def stop(self) -> None:
        """End cleanly: no more decisions, wait for what is under way, ingest what came of it."""


class Zombie(SelfFence):
    """A fence that can be told to stay open, as if the process had forgotten to look at the time."""

    is_forgotten = False

    @property
    def left_seconds(self) -> float:
        """How long the fence stays open; for good once forgotten."""
        return 1e9 if self.is_forgotten else super().left_seconds


class LifeLog:
    """Where a process notes when it won and lost an account."""

    def __init__(self, given: AgentSettings) -> None:
        self._file = os.open(given.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._given = given

    def write(self, what: str, account_id: UUID, **said: Any) -> None:
        """Append one line."""
        account = self._given.account_ids[account_id]
        line = {"what": what, "at": time.time_ns(), "sender": self._given.sender, "account": account, **said}
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Life:
    """One process of a slot.

    Args:
        given: Settings of this life.
        open_session: Makes what trades an account.
    """

    def __init__(self, given: AgentSettings, open_session: "OpenSession") -> None:
        self.given, self.log, self.clock = given, LifeLog(given), SystemClock()
        self._open = open_session
        self._held: dict[UUID, tuple[Claim, Zombie, Session, asyncio.Task[None]]] = {}
        self._stop = asyncio.Event()
        self.is_zombie = False
        self.journal: PostgresJournal
        self.pool: Any = None
        self._claimed_at = 0.0

    async def run(self) -> None:
        """Live until told to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._forget)
        self.pool = await self._pool()
        self.journal = PostgresJournal(self.pool, commit_seconds=self.given.soak.times.commit)
        is_first = self.given.may_reclaim
        while not self._stop.is_set():
            with suppress(JournalUnavailable):
                if not self.is_zombie:
                    await self._renew()
                    if not self._held or self.clock.monotonic() - self._claimed_at > self.given.soak.times.ttl / 2:
                        await self._claim(is_first=is_first)
                        is_first = False
            self._drop_ended()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self.given.soak.times.ttl / 6)
        await self._end()

    async def _pool(self) -> Any:
        while True:
            try:
                return await create_pool(self.given.database_url, n_connections=6, timeout_seconds=2.0)
            except JournalUnavailable:
                await asyncio.sleep(0.05)

    def may_decide(self) -> bool:
        """Say whether anything new is wanted; nothing is once the soak calms down."""
        return not self.given.calm_file.exists()

    def _forget(self) -> None:
        self.is_zombie = True
        for _, fence, _, _ in self._held.values():
            fence.is_forgotten = True

    async def _renew(self) -> None:
        leases = [claim.lease for claim, _, _, _ in self._held.values()]
        if not leases:
            return
        asked = self.clock.monotonic()
        kept = await self.journal.renew(self.given.owner, leases, ttl_seconds=self.given.soak.times.ttl)
        for account_id, (_, fence, _, _) in tuple(self._held.items()):
            if account_id in kept:
                fence.renewed(asked)
            else:
                await self._drop(account_id)

    async def _claim(self, *, is_first: bool) -> None:
        """Take one account at a time, and the next one later, so that two slots share them."""
        asked = self._claimed_at = self.clock.monotonic()
        ttl = self.given.soak.times.ttl
        claims = await self.journal.claim(self.given.owner, limit=1, ttl_seconds=ttl, reclaim=is_first)
        for claim in claims:
            fence = Zombie(self.clock.monotonic, ttl_seconds=ttl)
            fence.renewed(asked)
            account_id = claim.lease.account_id
            self.log.write("claim", account_id, epoch=claim.lease.epoch, old_owner=claim.old_owner)
            session = self._open(self, claim, fence)
            task = asyncio.create_task(self._guarded(session, claim.lease))
            self._held[account_id] = (claim, fence, session, task)

    async def _guarded(self, session: Session, lease: Lease) -> None:
        with suppress(LeaseLost):
            await session.run()
        self.log.write("gone", lease.account_id)

    def _drop_ended(self) -> None:
        for account_id, (_, fence, _, task) in tuple(self._held.items()):
            if task.done():
                fence.lose()
                del self._held[account_id]
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error

    async def _drop(self, account_id: UUID) -> None:
        if account_id not in self._held:
            return
        _, fence, _, task = self._held.pop(account_id)
        fence.lose()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.log.write("gone", account_id)

    async def _end(self) -> None:
        """Stop all sessions cleanly; their leases live on until they have stopped."""
        if not self.may_decide():
            # Nobody starts this slot again: who dies now leaves the account as it was last seen.
            arm_crash_point("")
        ends = {asyncio.create_task(self._stop_one(account_id)) for account_id in self._held}
        while ends:
            _, ends = await asyncio.wait(ends, timeout=self.given.soak.times.ttl / 4)
            with suppress(JournalUnavailable):
                await self._renew()

    async def _stop_one(self, account_id: UUID) -> None:
        claim, _, session, task = self._held[account_id]
        await session.stop()
        if self._held.pop(account_id, None) is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with suppress(JournalUnavailable):
            await self.journal.release(claim.lease)
        self.log.write("gone", account_id)


OpenSession = Callable[[Life, Claim, SelfFence], Session]


def live(given: AgentSettings, open_session: OpenSession) -> None:
    """Be an agent until killed or told to stop."""
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)
    arm_crash_point(given.crash_point)
    asyncio.run(Life(given, open_session).run())
