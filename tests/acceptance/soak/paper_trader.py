"""The trader of the soak on a paper account: opened as the product opens it, from its log, at a real venue's prices.

A paper account lives in the process that owns it and dies with it; its log in PostgreSQL outlives it. So venue and
trader fall together here, the faults are those of the paper wire, and hands meddle inside the process. What reaches the
account is noted as it arrives, before it is carried out; what the account did is in its log alone.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from pydantic import SecretStr

from tests.acceptance.soak.fronts import VenueLog, meddle, state_of
from tests.acceptance.soak.trader import TraderSession
from tests.acceptance.soak.venue import SYMBOLS
from tradesentry.bootstrap.paper import open_paper
from tradesentry.bootstrap.parts import OpenAccount, Opening, Stores
from tradesentry.core.broker.faults import Fault, FaultScript, Point
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.broker.paper_venue import PaperVenue
from tradesentry.core.domain.errors import BrokerError, LeaseLost
from tradesentry.core.execution.journal import Claim
from tradesentry.core.execution.lease import SelfFence
from tradesentry.database.repositories.agents import LinkRecord
from tradesentry.settings import Settings

if TYPE_CHECKING:
    from tests.acceptance.soak.agent import Life

PRICES = "001-001-1234567-009"
"""Account whose prices the paper accounts live on; nothing is traded there."""


class LoggedScript(FaultScript):
    """Faults that note each hit in the venue's log, as their process may die at any time."""

    log: VenueLog

    @classmethod
    def noting(cls, text: str, log: VenueLog, *, seed: int) -> "LoggedScript":
        """Return the script of a text."""
        script = cls(FaultScript.parse(text).rules, seed=seed)
        script.log = log
        return script

    def draw(self, point: Point, operation: str) -> Fault | None:
        """Return the fault that strikes at this step, if any."""
        struck = super().draw(point, operation)
        if struck is not None:
            self.log.write("hits", hits={struck.kind.value: 1})
        return struck


class PaperSession(TraderSession):
    """One paper account, traded by the product."""

    def __init__(self, life: "Life", claim: Claim, fence: SelfFence) -> None:
        super().__init__(life, claim, fence)
        self._log = VenueLog(life.given.log.parent / "venue.jsonl")
        self._rng = random.Random(f"{life.given.sender}:{self._account}")

    @property
    def _venue(self) -> PaperVenue:
        return cast(PaperBroker, self._parts.broker).venue

    async def run(self) -> None:
        """Open the account from its log, then trade until canceled or the lease is lost."""
        account = await self._open()
        broker = cast(PaperBroker, account.broker)
        self._break(broker)
        self._spy(broker.venue)
        self._set_up(broker)
        tasks = [asyncio.ensure_future(work()) for work in (*account.background, self._meddle)]
        try:
            await super().run()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for other in account.others:
                with suppress(Exception):
                    await asyncio.shield(other.close())

    async def stop(self) -> None:
        """End cleanly; note the account as the venue has it."""
        if not hasattr(self, "_parts"):
            return
        await super().stop()
        self._log.write("final", accounts={self._account: state_of(self._venue)})

    async def _open(self) -> OpenAccount:
        """Open the account; try again while the database or the prices are away."""
        while True:
            try:
                return await open_paper(self._opening())
            except LeaseLost:
                raise
            except BrokerError:
                await self._life.clock.sleep(0.05)

    def _opening(self) -> Opening:
        life, given = self._life, self._life.given
        values = {"symbols": list(SYMBOLS), "prices": "oanda", "capital": 100_000.0, "limits": "off", "timeframe": "M1"}
        link = LinkRecord(self._lease.account_id, "paper", self._account, "paper", values, "running")
        secrets = Settings(
            oanda_token=SecretStr(given.sender), oanda_account=PRICES, oanda_url=given.accounts[self._account]
        )
        return Opening(link, self._lease, (), self._gate, Stores.over(life.pool), secrets, life.clock)

    def _break(self, broker: PaperBroker) -> None:
        """Let the wire and the account fail as they are to, unless the soak has calmed down."""
        soak = self._life.given.soak
        seed = self._rng.getrandbits(32)
        if self._life.may_decide():
            broker.faults = LoggedScript.noting(soak.wire, self._log, seed=seed)
            broker.venue.faults = LoggedScript.noting(soak.trading, self._log, seed=seed + 1)
        broker._timeout_seconds = soak.times.timeout
        broker.capabilities = replace(broker.capabilities, absence_horizon_seconds=soak.times.horizon)

    def _spy(self, venue: PaperVenue) -> None:
        """Note every command that reaches the account."""
        known: dict[str, Callable[..., dict[str, Any]]] = {
            "place": lambda request, **_: {"client": request.client_order_id},
            "cancel": lambda spec, **_: {"order": spec},
            "replace": lambda spec, _terms: {"order": spec},
            "close": lambda trade, _units: {"trade": trade},
            "protect": lambda trade, **_: {"trade": trade},
        }
        for kind, told in known.items():
            setattr(venue, kind, self._noted(kind, getattr(venue, kind), told))

    def _noted(self, kind: str, act: Callable[..., Any], told: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
        def acting(*values: Any, **named: Any) -> Any:
            # What the account does on behalf of a command, and what hands do, is no command.
            if not self._is_inside:
                said = {"kind": kind, **told(*values, **named)}
                self._log.write(
                    "request", account=self._account, n=0, sender=self._life.given.sender, method=kind,
                    path=f"/{kind}", body=said,
                )  # fmt: skip
            before, self._is_inside = self._is_inside, True
            try:
                return act(*values, **named)
            finally:
                self._is_inside = before

        return acting

    _is_inside = False

    async def _meddle(self) -> None:
        """Do by hand what hands do, a part of it in each account."""
        soak = self._life.given.soak
        if soak.manual_per_second <= 0.0:
            return
        while True:
            await asyncio.sleep(self._rng.expovariate(0.5 * soak.manual_per_second))
            venue = self._venue
            if not self._life.may_decide() or not self._fence.is_open or len(venue.quotes) < len(SYMBOLS):
                continue
            action, first = self._rng.choice(soak.manual_actions), venue.last_seq + 1
            self._is_inside = True
            try:
                meddle(venue, action, self._rng)
            finally:
                self._is_inside = False
            last = venue.last_seq
            if last >= first and await cast(PaperBroker, self._parts.broker)._is_kept():
                self._log.write("manual", account=self._account, action=action, first=first, last=last)
