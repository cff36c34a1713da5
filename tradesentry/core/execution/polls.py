"""Ask the venue again and again, whatever its streams say: a lost frame, a fill without an event, a stop gone.

Each question is a task of its own on the injected clock; all end together. A poll that finds the venue away waits for
its next turn; one that loses the journal, or a broken event stream, runs the recovery, during which the others rest.
"""

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import Field

from tradesentry.core.broker.base_broker import BaseBroker
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import BrokerError, JournalUnavailable, ReconciliationFailed
from tradesentry.core.domain.live_orders import Evidence
from tradesentry.core.execution.error_budget import Mishap
from tradesentry.core.execution.order_manager import OrderManager
from tradesentry.core.execution.recovery import FINAL, Recovery
from tradesentry.core.utils.config_model import FrozenModel

Poll = Callable[[], Awaitable[object]]


class PollSettings(FrozenModel):
    """How often each question is asked, seconds."""

    in_flight_seconds: float = Field(2.0, gt=0, le=60, description="Orders of unknown outcome, while there are any.")
    heartbeat_seconds: float = Field(5.0, gt=0, le=60, description="Newest event number, and the account's money.")
    orders_seconds: float = Field(10.0, gt=0, le=600, description="Resting orders.")
    trades_seconds: float = Field(30.0, gt=0, le=600, description="Trades, stops and the balance.")
    clock_seconds: float = Field(3_600.0, gt=0, le=86_400, description="The venue's clock.")
    instruments_seconds: float = Field(86_400.0, gt=0, le=604_800, description="What can be traded, and how.")
    guards_seconds: float = Field(60.0, gt=0, le=3_600, description="Guards that have blocked for long.")


class Polls:
    """The polls of one account, and its event stream.

    Args:
        broker: The venue.
        orders: The account's orders.
        recovery: Brings the account back after a break.
        clock: Time.
        settings: How often.
    """

    def __init__(
        self,
        broker: BaseBroker,
        orders: OrderManager,
        recovery: Recovery,
        clock: Clock,
        settings: PollSettings | None = None,
    ) -> None:
        self._broker, self._orders, self._recovery, self._clock = broker, orders, recovery, clock
        self._settings = settings or PollSettings()
        self._calm = asyncio.Event()
        self._calm.set()
        self.n_failures = 0
        """Polls that found the venue away, since the start."""

    async def run(self) -> None:
        """Poll and follow the events until canceled; call it after `Recovery.recover`.

        Raises:
            LeaseLost: The account is another's now.
            BrokerAuthError: The venue does not accept the token any more.
        """
        numbers, recovery = self._settings, self._recovery
        gates = self._orders.gates
        loops = (
            (numbers.in_flight_seconds, self._orders.resolve),
            (numbers.heartbeat_seconds, recovery.look_at_money),
            (numbers.orders_seconds, lambda: recovery.compare(with_trades=False)),
            (numbers.trades_seconds, recovery.compare),
            (numbers.clock_seconds, recovery.look_at_clock),
            (numbers.instruments_seconds, self.look_at_instruments),
        )

        async def guards() -> None:
            """Look for guards that have blocked for long."""
            gates.check_guards(now_ns=self._clock.now_ns())

        try:
            with recovery.following():
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._follow(), name="events")
                    group.create_task(self._repeat(numbers.guards_seconds, guards), name="guards")
                    for seconds, poll in loops:
                        group.create_task(self._repeat(seconds, poll), name=poll.__name__)
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from group_error
        finally:
            await recovery.follower.close()

    async def look_at_instruments(self) -> None:
        """Read anew what can be traded: minimum distances and sizes change, markets are closed for good."""
        self._orders.take_instruments(await self._broker.instruments())

    async def _repeat(self, seconds: float, poll: Poll) -> None:
        while True:
            await self._clock.sleep(seconds)
            await self._calm.wait()
            await self._guarded(poll)

    async def _guarded(self, poll: Poll) -> None:
        try:
            await poll()
        except FINAL:
            raise
        except JournalUnavailable:
            self._recovery.outage.lost()
            await self._recover("journal")
        except ReconciliationFailed:
            await self._recover("reconnect")
        except BrokerError:
            self.n_failures += 1

    async def _follow(self) -> None:
        """Journal events as they come; a break of the stream is a reconnect."""
        follower, budget = self._recovery.follower, self._orders.gates.budget
        while True:
            try:
                await follower.wait()
            except FINAL:
                raise
            except BrokerError:
                self.n_failures += 1
                await self._clock.sleep(self._settings.heartbeat_seconds)
                await self._recover("reconnect")
            await self._calm.wait()
            losses = follower.take_losses()
            for _ in losses:
                budget.note(Mishap.STREAM_LOST, now_ns=self._clock.now_ns())
            if losses:
                await self._recover("reconnect")
            else:
                await self._guarded(self._ingest)

    async def _ingest(self) -> None:
        buffer = self._recovery.follower.buffer
        events = buffer.take()
        try:
            await self._orders.ingest(events, evidence=Evidence.STREAM)
        except JournalUnavailable:
            buffer.put_back(events)
            raise

    async def _recover(self, why: str) -> None:
        """Recover once, however many polls ask for it at the same time."""
        if not self._calm.is_set():
            await self._calm.wait()
            return
        self._calm.clear()
        try:
            await self._recovery.recover(why)
        finally:
            self._calm.set()
