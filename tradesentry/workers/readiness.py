"""Decide when an installation is ready: everything runs, and the demonstration has decided a bar of its own.

Looks at what the processes say in the database, not at whether they were started. A state from before this start counts
for nothing: agents must have given a sign of life since then, the demonstration a bar newer than any.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import DatabaseError
from tradesentry.database.accounts import Accounts
from tradesentry.database.overview import agent_beats, alert_counts, leases, newest_bars
from tradesentry.database.roles import AGENT, APP, RELAY
from tradesentry.database.server import Server
from tradesentry.database.session import driver_errors
from tradesentry.workers.demo import Demo

LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Before:
    """How the demonstration stood before anything was started."""

    epoch: int = 0
    bar_ns: int = 0


class Readiness:
    """Says what is missing until an installation is ready.

    Args:
        server: Its database.
        owners: Agents that were started, as they sign leases.
        demo: The demonstration that has to run; None: there is none to wait for.
        clock: Time.
    """

    def __init__(self, server: Server, owners: tuple[str, ...], demo: Demo | None, clock: Clock) -> None:
        self._server, self._owners, self._demo, self._clock = server, owners, demo, clock
        self._before = self._look_before()
        self._began = clock.monotonic()

    def _look_before(self) -> Before:
        if self._demo is None:
            return Before()
        account = self._demo.account_id
        lease = leases(self._server.url(AGENT)).get(account)
        bars = newest_bars(self._server.url(AGENT))
        return Before(0 if lease is None else lease.epoch, bars.get(account, 0))

    def missing(self) -> list[str]:
        """Return in words what is not there yet; empty when it is ready.

        Raises:
            DatabaseError: The database does not answer.
        """
        with driver_errors():
            return [*self._missing_processes(), *self._missing_demo()]

    def _missing_processes(self) -> list[str]:
        lived = self._clock.monotonic() - self._began
        beats = {beat.owner: beat.age_seconds for beat in agent_beats(self._server.url(AGENT))}
        found = [f"agent {owner}" for owner in self._owners if beats.get(owner, lived + 1.0) > lived]
        if not alert_counts(self._server.url(RELAY)).is_relayed:
            found.append("the relay of alerts")
        return found

    def _missing_demo(self) -> list[str]:
        if self._demo is None:
            return []
        account, url = self._demo.account_id, self._server.url(AGENT)
        lease = leases(url).get(account)
        if lease is None or not lease.is_leased or lease.epoch <= self._before.epoch:
            return ["an agent for the demonstration's account"]
        row = next(row for row in Accounts(self._server.url(APP)).all() if row.account_id == account)
        if row.trading_state != "active":
            return [f"the demonstration's account is {row.trading_state or 'new'}"]
        if newest_bars(url).get(account, 0) <= self._before.bar_ns:
            return ["the first bar of the demonstration"]
        return []

    async def wait(self) -> None:
        """Wait until nothing is missing."""
        while True:
            try:
                if not await asyncio.to_thread(self.missing):
                    return
            except DatabaseError:
                # It is started again by whoever keeps it.
                pass
            await self._clock.sleep(LOOK_SECONDS)
