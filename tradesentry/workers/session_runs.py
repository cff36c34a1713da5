"""The runs of an account at work: which of them trade, what their owner wants of them, and what is said back.

Separate from the session, which opens, recovers and ends the account: here is what is looked at again and again while
it trades. The API writes `desired`; what is done about it is written as `actual`, once it is done.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from tradesentry.bootstrap.desk import Desk, orchestrator_of, specs_of
from tradesentry.core.domain.errors import TradeSentryError
from tradesentry.core.domain.live_account import Cancel
from tradesentry.core.domain.live_orders import Effect
from tradesentry.core.execution.journal_rows import Lease, LiveState
from tradesentry.core.strategy.live_memory import LiveRunSpec
from tradesentry.core.strategy.orchestrator import PortfolioOrchestrator
from tradesentry.core.utils.logger import get_logger
from tradesentry.database.repositories.runs import AgentRuns, RunRecord
from tradesentry.workers.monitors import AccountMonitors

_log = get_logger(__name__)
HALTED_BY_OWNER: Final = "kill_switch: the owner halted the account"


class AccountRuns:
    """The runs of one account, as this process trades them.

    Args:
        runs: Their rows.
        lease: On the account.
    """

    def __init__(self, runs: AgentRuns, lease: Lease) -> None:
        self._runs, self._lease = runs, lease
        self.desk: Desk | None = None
        """Of the account, once it is open."""
        self.environment = "real"
        """Of the account: paper, demo or real; the strictest until it is known."""
        self.monitors: AccountMonitors | None = None
        self.orchestrator: PortfolioOrchestrator | None = None
        """Lets the strategies decide; None before and after."""
        self.records: list[RunRecord] = []
        """Of the runs that decide now, in the order of their strategies."""
        self._trading: dict[UUID, str] = {}
        """Runs that decide now, and what they were last told."""
        self._was_halted = False
        """The owner's halt was seen; lifting it re-arms the account."""

    async def wanted(self) -> list[RunRecord]:
        """Return the runs that should trade, oldest first."""
        return _wanted(await self._runs.of_account(self._lease))

    async def choose(self) -> list[LiveRunSpec]:
        """Return the runs to trade now; one that cannot be is failed with its reason."""
        records = await self.wanted()
        specs, refused = specs_of(records)
        for record, error in refused:
            await self._runs.set_actual(self._lease, record.run_id, "failed", error=str(error))
        specs = [spec for spec in specs if await self._may_trade(spec)]
        chosen = {spec.run_id for spec in specs}
        self.records = [record for record in records if record.run_id in chosen]
        self._trading = {record.run_id: record.desired for record in self.records}
        return specs

    async def _may_trade(self, spec: LiveRunSpec) -> bool:
        """Say whether a run's app allows it on this account; one that is not allowed is failed with the reason."""
        try:
            orchestrator_of(spec.strategy).check_account(spec.config, environment=self.environment)
        except TradeSentryError as error:
            await self._runs.set_actual(self._lease, spec.run_id, "failed", error=str(error))
            return False
        return True

    async def begun(self, orchestrator: PortfolioOrchestrator) -> None:
        """Take the orchestrator that decides from now on, and tell the runs what is wanted of them."""
        self.orchestrator = orchestrator
        for run_id, desired in self._trading.items():
            await self._tell(run_id, desired)

    async def obey(self) -> bool:
        """Look once at what the owner wants and do it; return whether other runs are wanted than those that trade."""
        if self.desk is None or (self.orchestrator is None and self._trading):
            return False
        await self._take_requests()
        records = await self._runs.of_account(self._lease)
        await self._obey_halt(self.desk, records)
        for record in records:
            if record.desired == "flatten":
                await self._flatten(self.desk, record)
            elif record.desired == "stopped":
                await self._retire(self.desk, record)
            elif record.run_id in self._trading and record.desired != self._trading[record.run_id]:
                await self._tell(record.run_id, record.desired)
        wanted = {record.run_id for record in _wanted(records) if record.actual != "failed"}
        if wanted == set(self._trading):
            return False
        _log.info("runs_changed", account=str(self._lease.account_id), n_runs=len(wanted))
        return True

    async def _take_requests(self) -> None:
        """Store what strategies ask for their own runs; it takes effect when it is read back as wanted."""
        for lane in [] if self.orchestrator is None else self.orchestrator.lanes:
            request = lane.take_request()
            if request is None:
                continue
            is_new = await self._runs.restrain(
                self._lease, lane.place.run, request.desired, code=request.code, text=request.text,
                evidence=request.evidence,
            )  # fmt: skip
            if is_new:
                _log.error("run_restrained", run=str(lane.place.run), desired=request.desired, reason=request.text)

    async def end_replay(self) -> None:
        """Say that the runs are over, because the feed has ended."""
        for run_id in self._trading:
            await self._runs.set_actual(self._lease, run_id, "stopped")
        for record in await self._runs.of_account(self._lease):
            if record.desired in ("stopped", "flatten") and self.desk is not None:
                await self._retire(self.desk, record)

    async def confirm_stops(self) -> None:
        """Say that runs which should be stopped are."""
        for record in await self._runs.of_account(self._lease):
            if record.desired == "stopped":
                await self._runs.set_actual(self._lease, record.run_id, "stopped")

    async def _tell(self, run_id: UUID, desired: str) -> None:
        """Let a run enter or not, and say so."""
        if self.orchestrator is not None:
            (self.orchestrator.pause if desired == "paused" else self.orchestrator.resume)(run_id)
        self._trading[run_id] = desired
        await self._runs.set_actual(self._lease, run_id, desired)

    async def _obey_halt(self, desk: Desk, records: Sequence[RunRecord]) -> None:
        wants_halt = any(record.desired_trading == "halted" for record in records)
        if wants_halt and desk.orders.state is not LiveState.HALTED:
            await desk.orders.set_state(LiveState.HALTED, HALTED_BY_OWNER)
            await desk.orders.cancel_entries("the owner halted the account")
        elif not wants_halt and self._was_halted and desk.orders.state is LiveState.HALTED:
            await desk.recovery.rearm()
            if self.monitors is not None:
                self.monitors.note_rearmed()
        self._was_halted = wants_halt

    async def _flatten(self, desk: Desk, record: RunRecord) -> None:
        """Close everything; said to be done when nothing of ours is open.

        Asked for at every look, because an entry may fill while it is taken back. Closes under way are not repeated.
        """
        if not is_open(desk):
            await self._runs.set_actual(self._lease, record.run_id, "stopped")
            return
        if self.orchestrator is not None:
            self.orchestrator.pause(record.run_id)
        await desk.orders.flatten("the owner wants it flat", author="person")

    async def _retire(self, desk: Desk, record: RunRecord) -> None:
        """Take a run's entries back and say that it is over; its trades keep their stops at the venue."""
        await cancel_entries(desk, record.run_id)
        await self._runs.set_actual(self._lease, record.run_id, "stopped")


def _wanted(records: Sequence[RunRecord]) -> list[RunRecord]:
    return [record for record in records if record.desired in ("running", "paused")]


def is_open(desk: Desk) -> bool:
    """Say whether the account holds a trade or an order that may still fill."""
    book = desk.orders.book
    return bool(book.trades) or any(not order.status.is_terminal for order in book.orders.values())


async def cancel_entries(desk: Desk, run_id: UUID | None = None) -> None:
    """Take entries back.

    Args:
        desk: Of the account.
        run_id: Only those of one run; None: all of ours.
    """
    mine = [
        order.seq
        for order in desk.orders.book.orders.values()
        if order.seq is not None
        and not order.status.is_terminal
        and order.effect is Effect.OPEN
        and run_id in (None, order.run)
    ]
    if mine:
        wishes = [Cancel(seq, "stopped") for seq in mine]
        await desk.orders.submit(wishes, run=None, bar_close_ns=0, author="person")
