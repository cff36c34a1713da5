"""Hold accounts by lease and keep a session running for each: the process that trades.

Order of work for one account: claim → self-fence from before the claim was asked → open a session → run it → on a lost
lease abandon it, on a clean stop end it and release. Renewing comes first in everything: it waits for no session. An
agent holds at most its share of the wanted accounts, so that a newcomer finds work and a dead one's accounts are taken
over by the rest. What a session does (recover, decide, send) is its own business; it is made by a function that
`bootstrap` provides.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID, uuid4

from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import AccountBusy, JournalUnavailable, LeaseLost, TradeSentryError
from tradesentry.core.execution.journal_port import Journal
from tradesentry.core.execution.journal_rows import Claim, Lease
from tradesentry.core.execution.lease import TTL_SECONDS, SelfFence
from tradesentry.core.monitoring.alerts import AlertSink
from tradesentry.core.utils.logger import get_logger
from tradesentry.database.repositories.agents import Load

_log = get_logger(__name__)

MAX_ACCOUNTS: Final = 50
MAX_PAUSE_SECONDS: Final = 60.0
PATIENCE: Final = 1.2
"""Lengths of a lease for which a command waits for its account: the lease of a dead process has run out by then."""


class Session(Protocol):
    """One account at work."""

    async def run(self) -> None:
        """Trade until `stop` or until there is nothing left to do; raises what makes that impossible."""

    async def obey(self) -> None:
        """Look once at what the owner wants and do it."""

    async def stop(self, *, keep_entries: bool) -> None:
        """End cleanly: decide nothing more, wait for what is under way, take entries back, take in the last news."""

    async def abandon(self) -> None:
        """The account is another's: close all connections and forget it; send nothing."""


OpenSession = Callable[[Claim, SelfFence], Awaitable[Session]]


class Roster(Protocol):
    """The rows of all agents."""

    async def register(
        self, agent_id: UUID, *, host: str, slot: int, brokers: Sequence[str], max_accounts: int
    ) -> None:
        """Write this process's row; also its heartbeat."""

    async def leave(self, agent_id: UUID) -> None:
        """Remove it."""

    async def load(self, brokers: Sequence[str]) -> Load:
        """Return how many accounts are wanted and by how many agents they are shared."""

    async def is_wanted(self, lease: Lease) -> bool:
        """Say whether anything is left to do on an account."""

    async def report_fenced(self, lease: Lease) -> None:
        """Tell the owner that this process lost the account."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How an agent works."""

    host: str
    """Of this installation."""
    slot: int
    """Place of this process in it; host and slot together own leases."""
    name: str = ""
    """Instead of the slot, for a command for one account."""
    brokers: tuple[str, ...] = ("paper", "oanda", "mt5")
    max_accounts: int = MAX_ACCOUNTS
    accounts: tuple[UUID, ...] | None = None
    """Only these, without a share: one command for one account."""
    ttl_seconds: float = TTL_SECONDS
    poll_seconds: float = 1.0
    """Between two looks for accounts and at what owners want."""
    reclaims: bool = False
    """The old process of this slot is known to be dead, so the first claim takes over what it held."""
    keep_entries: bool = False
    """Resting entries stay at the venue at a clean stop."""

    @property
    def owner(self) -> str:
        """Name on the leases."""
        return f"{self.host}:{self.name or self.slot}"


@dataclass(slots=True)
class Held:
    """An account that this agent owns."""

    claim: Claim
    fence: SelfFence
    session: Session | None = None
    task: "asyncio.Task[None] | None" = None
    n_failures: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """The session ended by itself: nothing is left to do."""
    is_lost: bool = False
    """The database refused a write of this epoch."""

    @property
    def lease(self) -> Lease:
        """The lease on it."""
        return self.claim.lease


class Agent:
    """One process that trades.

    Args:
        journal: Leases.
        roster: Rows of all agents.
        open_session: Makes the session of a claimed account.
        clock: Time of leases; never a replay's.
        settings: How it works.
        alerts: Returns who is told about an account, by its id.
        raises: A failing account ends the agent instead of being tried again: one command for one account.
    """

    def __init__(
        self,
        journal: Journal,
        roster: Roster,
        open_session: OpenSession,
        clock: Clock,
        settings: AgentSettings,
        *,
        alerts: Callable[[str], AlertSink] | None = None,
        raises: bool = False,
    ) -> None:
        self._journal, self._roster, self._open_session = journal, roster, open_session
        self._clock, self.settings, self._raises = clock, settings, raises
        self._alerts = alerts or (lambda _account: lambda _code, _text: None)
        self._id = uuid4()
        self._held: dict[UUID, Held] = {}
        self._may_reclaim = settings.reclaims
        self._failure: Exception | None = None
        self._began = 0.0

    @property
    def held(self) -> Mapping[UUID, Held]:
        """Accounts that this agent owns now."""
        return self._held

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then end every session cleanly and release its lease.

        Args:
            stop: Set by a signal or by whoever runs the agent.

        Raises:
            TradeSentryError: An account failed and the agent was told to end then.
        """
        renewing = asyncio.create_task(self._every(self.settings.ttl_seconds / 3, self.renew))
        obeying = asyncio.create_task(self._every(self.settings.poll_seconds, self._obey_all))
        self._began = self._clock.monotonic()
        try:
            while not stop.is_set() and self._failure is None and not self._is_done():
                await self._guarded(self.look_for_work)
                for task in (renewing, obeying):
                    if task.done():
                        task.result()
                await self._wait(stop, self.settings.poll_seconds)
        finally:
            obeying.cancel()
            await asyncio.gather(obeying, return_exceptions=True)
            await asyncio.gather(*(self._end(held) for held in tuple(self._held.values())))
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._guarded(self._leave)
        if self._failure is not None:
            raise self._failure

    def _is_done(self) -> bool:
        """Say whether the accounts that this agent is for have nothing left to do."""
        wanted = self.settings.accounts
        return (
            wanted is not None and len(self._held) == len(wanted) and all(h.ended.is_set() for h in self._held.values())
        )

    async def _leave(self) -> None:
        if self.settings.accounts is None:
            await self._roster.leave(self._id)

    async def _wait(self, stop: asyncio.Event, seconds: float) -> None:
        """Wait that long on the agent's clock, less when `stop` is set."""
        alarm = asyncio.ensure_future(self._clock.sleep(seconds))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({alarm, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (alarm, stopping):
                task.cancel()
            await asyncio.gather(alarm, stopping, return_exceptions=True)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._clock.sleep(seconds)
            await self._guarded(work)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that the database may be away for; it is done again at the next turn."""
        try:
            await work()
        except JournalUnavailable as error:
            _log.warning("database_away", code=error.code)

    # Leases

    async def renew(self) -> None:
        """Prolong all leases; what was lost is abandoned."""
        mine = list(self._held.values())
        if not mine:
            return
        asked_at = {held.lease.account_id: held.fence.ask() for held in mine}
        leases = [held.lease for held in mine]
        renewed = await self._journal.renew(self.settings.owner, leases, ttl_seconds=self.settings.ttl_seconds)
        for held in mine:
            if held.lease.account_id in renewed:
                held.fence.renewed(asked_at[held.lease.account_id])
            elif self._held.get(held.lease.account_id) is held:
                await self._lose(held)

    async def _lose(self, held: Held, *, is_ours: bool = False) -> None:
        """Forget an account that is another's now, or whose lease ran out before anybody else took it."""
        held.fence.lose()
        self._held.pop(held.lease.account_id, None)
        _log.error("lease_lost", account=str(held.lease.account_id), epoch=held.lease.epoch, is_free_again=is_ours)
        await self._cut(held)
        if is_ours:
            return
        self._alerts(str(held.lease.account_id))(
            "lease_lost",
            f"This process ({held.lease.owner}) lost an account of epoch {held.lease.epoch} to another. It sends "
            "nothing more there; whoever owns it now reconciles it. If that repeats, look for a slow database or a "
            "frozen host.",
        )
        await self._guarded(lambda: self._roster.report_fenced(held.lease))
        if self._raises:
            self._failure = LeaseLost(
                f"Another process took the account over at an epoch above {held.lease.epoch}. This one sent nothing "
                "since and has forgotten it. See `tradesentry live status` for who trades it."
            )

    async def _cut(self, held: Held) -> None:
        """End a session without a word to the venue."""
        if held.task is not None:
            held.task.cancel()
            await asyncio.gather(held.task, return_exceptions=True)
        if held.session is not None:
            await held.session.abandon()
            held.session = None

    async def look_for_work(self) -> None:
        """Beat, drop what is done, give surplus back, claim what is missing."""
        for held in tuple(self._held.values()):
            if held.is_lost:
                await self._lose(held, is_ours=await self._journal.release(held.lease))
            elif (
                held.ended.is_set() and self.settings.accounts is None and not await self._roster.is_wanted(held.lease)
            ):
                await self._end(held)
        room = await self._room()
        while room < 0 and len(self._held) > 0:
            await self._end(next(reversed(self._held.values())))
            room += 1
        if room > 0:
            await self._claim(room)
            self._give_up_if_busy()

    async def _room(self) -> int:
        """Return how many accounts this agent may take; negative when it holds too many."""
        settings = self.settings
        if settings.accounts is not None:
            return len(settings.accounts) - len(self._held)
        await self._roster.register(
            self._id, host=settings.host, slot=settings.slot, brokers=settings.brokers,
            max_accounts=settings.max_accounts,
        )  # fmt: skip
        load = await self._roster.load(settings.brokers)
        return load.share(settings.max_accounts) - len(self._held)

    def _give_up_if_busy(self) -> None:
        """Fail when the one account that this agent is for stays another's for longer than a lease lasts."""
        waited = self._clock.monotonic() - self._began
        if self._raises and not self._held and waited > PATIENCE * self.settings.ttl_seconds:
            self._failure = AccountBusy(
                f"Another process trades this account: its lease was renewed while this one waited {waited:.0f} s, and "
                "nothing was started. `tradesentry live status` names the owner; stop that process, or let it trade."
            )

    async def _claim(self, limit: int) -> None:
        settings = self.settings
        fences = SelfFence(self._clock.monotonic, ttl_seconds=settings.ttl_seconds)
        asked_at = fences.ask()
        claims = await self._journal.claim(
            settings.owner, limit=limit, ttl_seconds=settings.ttl_seconds, reclaim=self._may_reclaim,
            brokers=settings.brokers, accounts=settings.accounts,
        )  # fmt: skip
        self._may_reclaim = False
        for claim in claims:
            old = self._held.get(claim.lease.account_id)
            if old is not None:
                # Its lease ran out under us and nobody else was quicker: a new epoch begins with a new session.
                await self._lose(old, is_ours=True)
            fence = SelfFence(self._clock.monotonic, ttl_seconds=settings.ttl_seconds)
            fence.renewed(asked_at)
            held = self._held[claim.lease.account_id] = Held(claim, fence)
            _log.info(
                "account_claimed", account=str(claim.lease.account_id), epoch=claim.lease.epoch,
                old_owner=claim.old_owner,
            )  # fmt: skip
            held.task = asyncio.create_task(self._trade(held))

    # Sessions

    async def _trade(self, held: Held) -> None:
        """Keep a session running on an account, opening it anew after a failure."""
        while True:
            try:
                held.session = await self._open_session(held.claim, held.fence)
                await held.session.run()
            except LeaseLost:
                # A task cannot end itself; the next look for work abandons the account.
                held.fence.lose()
                held.is_lost = True
                return
            # A defect in one account's strategy must neither end the others nor leave this one held and dead.
            except Exception as error:  # noqa: BLE001
                await self._fail(held, error)
                if self._raises:
                    return
            else:
                held.ended.set()
                return
            pause = min(2.0 ** min(held.n_failures, 10), MAX_PAUSE_SECONDS)
            await self._clock.sleep(pause)

    async def _fail(self, held: Held, error: Exception) -> None:
        held.n_failures += 1
        code = error.code if isinstance(error, TradeSentryError) else type(error).__name__
        is_defect = None if isinstance(error, TradeSentryError) else error
        _log.error(
            "session_failed", account=str(held.lease.account_id), code=code, n_failures=held.n_failures,
            exc_info=is_defect,
        )  # fmt: skip
        self._alerts(str(held.lease.account_id))("account_failed", f"The account cannot be traded ({code}): {error}")
        if held.session is not None:
            await held.session.abandon()
            held.session = None
        if self._raises:
            self._failure = error

    async def _obey_all(self) -> None:
        await asyncio.gather(*(self._obey(held) for held in tuple(self._held.values())))

    async def _obey(self, held: Held) -> None:
        if held.session is None or held.ended.is_set() or held.is_lost:
            return
        try:
            await held.session.obey()
        except LeaseLost:
            held.fence.lose()
            held.is_lost = True
        except TradeSentryError as error:
            _log.warning("command_waits", account=str(held.lease.account_id), code=error.code)

    async def _end(self, held: Held) -> None:
        """End an account's session cleanly and give the lease back."""
        try:
            if held.session is not None:
                await held.session.stop(keep_entries=self.settings.keep_entries)
        except TradeSentryError as error:
            _log.error("stop_incomplete", account=str(held.lease.account_id), code=error.code)
        finally:
            if held.task is not None:
                held.task.cancel()
                await asyncio.gather(held.task, return_exceptions=True)
            held.fence.lose()
            self._held.pop(held.lease.account_id, None)
        await self._guarded(lambda: self._release(held.lease))

    async def _release(self, lease: Lease) -> None:
        await self._journal.release(lease)
