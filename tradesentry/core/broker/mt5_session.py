"""Hold one terminal from outside: commands and reads by deadline, the poller, and those who listen to events.

What a call does is `mt5_terminal`'s business; when it may run, how long it is awaited and what is known when it does
not come back is decided here. A poller looks at the account every 200 ms; listeners hear of an event when it is on
disk.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from tradesentry.core.broker.base_broker import NotSent, Outcome, Unknown
from tradesentry.core.broker.mt5_terminal import Mt5Link, Mt5Terminal
from tradesentry.core.broker.mt5_thread import COMMAND, READ, URGENT, NotStarted, OwnerThread, Permit, QueueFull
from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import BrokerError, BrokerUnavailable
from tradesentry.core.domain.events import BrokerEvent, StreamDown
from tradesentry.core.domain.venue import AccountState

T = TypeVar("T")
POLL_SECONDS: Final = 0.2
HANG_SECONDS: Final = 30.0
"""A call that has not returned that long after it was given up loses the terminal to a new owner thread."""
MAX_BACKOFF_SECONDS: Final = 30.0


class Mt5Session:
    """One account at one terminal.

    Args:
        link: The account.
        clock: Time.
        folder: Of the logs; one per account.
        new_log_id: Names a new event log.
        package: The `MetaTrader5` package; imported when it is None.
        timeout_seconds: How long a call is awaited.
        queue_limit: Most calls that wait.
    """

    def __init__(
        self,
        link: Mt5Link,
        clock: Clock,
        *,
        folder: Path,
        new_log_id: Callable[[], str],
        package: Any = None,
        timeout_seconds: float = 10.0,
        queue_limit: int = 256,
    ) -> None:
        self.link, self.clock = link, clock
        self.terminal = Mt5Terminal(
            link, clock, folder=folder, new_log_id=new_log_id, package=package, on_events=self._heard
        )
        """To be used inside the owner thread only, but for the logs."""
        self._timeout_seconds, self._queue_limit = timeout_seconds, queue_limit
        self._owner = OwnerThread(clock, limit=queue_limit)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poller: asyncio.Task[None] | None = None
        self.heard_at: dict[str, float] = {}
        """When the terminal last showed its events and quotes, monotonic seconds."""
        self._wakers: set[asyncio.Event] = set()
        self._n_downs, self._down_reason = 0, ""
        self.is_closed = False

    async def start(self) -> AccountState:
        """Connect, prove the account, read the logs, and begin to look.

        Raises:
            AccountMismatch: The terminal is logged in elsewhere, or a pinned symbol is not what it should be.
            BrokerAuthError: Login or password are not accepted.
            BrokerUnavailable: The terminal does not answer.
            ConfigError: No symbols are pinned.
        """
        self._loop = asyncio.get_running_loop()
        state = await self.run(self.terminal.state)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        return state

    async def stop(self) -> None:
        """End the poller and the thread and close the logs; commands in flight end as Unknown."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
        self._wake()
        if self._owner.overdue_since is None:
            try:
                await self._owner.run(self.terminal.shut, seconds=self._timeout_seconds, priority=URGENT)
            except (NotStarted, QueueFull, TimeoutError):
                self.terminal.close_logs()
        else:
            self.terminal.close_logs()
        self._owner.stop()

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` reads in the owner thread, on a connection that is proven.

        Raises:
            BrokerError: The terminal does not answer, or not as it should.
        """
        if self.is_closed:
            raise BrokerUnavailable("The session with this terminal was closed; nothing was read.")
        try:
            return await self._thread().run(
                lambda: self.terminal.proven(work), seconds=self._timeout_seconds, priority=READ
            )
        except QueueFull:
            raise BrokerUnavailable("Too many calls wait for the terminal. Try again later.") from None
        except (NotStarted, TimeoutError):
            self.terminal.is_stale = True
            raise BrokerUnavailable(
                f"The terminal did not answer within {self._timeout_seconds:g} s. It is connected to anew."
            ) from None

    async def command(self, work: Callable[[Permit], Outcome], *, deadline: float, is_protective: bool) -> Outcome:
        """Return the outcome of a command that runs in the owner thread.

        Args:
            work: Takes the permit right before each `order_send`.
            deadline: Monotonic seconds after which nothing may leave.
            is_protective: It reduces or protects, and goes before entries and reads.
        """
        if self.is_closed:
            return NotSent("closed", "The session with this terminal was closed.")
        permit = Permit(self.clock, deadline)

        def proven() -> Outcome:
            try:
                return self.terminal.proven(lambda: work(permit))
            except BrokerError as error:
                if permit.sent_ts_ns is None:
                    return NotSent(error.code, str(error))
                return Unknown(error.code, permit.sent_ts_ns)
            except Exception as error:
                # Our own defect; but once the request has left, its fate is what counts.
                if permit.sent_ts_ns is None:
                    raise
                return Unknown(f"raised_{type(error).__name__}", permit.sent_ts_ns)

        priority = URGENT if is_protective else COMMAND
        try:
            return await self._thread().run(proven, seconds=self._timeout_seconds, priority=priority)
        except QueueFull:
            return NotSent("queue_full", "Too many calls wait for the terminal.")
        except NotStarted:
            return NotSent("terminal_busy", "The terminal was busy until the time was over.")
        except TimeoutError:
            self.terminal.is_stale = True
            if permit.revoke():
                return NotSent("timeout", "The terminal hung before the command was sent.")
            return Unknown("timeout", permit.sent_ts_ns or self.clock.now_ns())

    async def follow(self, after: int) -> AsyncIterator[BrokerEvent | StreamDown]:
        """Yield the events after a number as they come, and say when the terminal could not be looked at."""
        waker = asyncio.Event()
        self._wakers.add(waker)
        n_downs = self._n_downs
        try:
            while not self.is_closed:
                if n_downs != self._n_downs:
                    n_downs = self._n_downs
                    yield StreamDown("events", self._down_reason, self.clock.now_ns())
                page = self.terminal.log.page(after)
                for event in page.events:
                    yield event
                after = page.events[-1].seq if page.events else after
                if after >= self.terminal.log.last_seq and n_downs == self._n_downs:
                    await waker.wait()
                    waker.clear()
        finally:
            self._wakers.discard(waker)

    @property
    def n_followers(self) -> int:
        """How many listen to the events."""
        return len(self._wakers)

    @property
    def depth(self) -> int:
        """How many calls wait for the terminal."""
        return self._owner.depth

    def _thread(self) -> OwnerThread:
        """Return the owner thread, a new one when the old hangs for good."""
        since = self._owner.overdue_since
        if since is not None and self.clock.monotonic() - since >= HANG_SECONDS:
            self._owner.stop()
            self._owner = OwnerThread(self.clock, limit=self._queue_limit)
            self.terminal.is_stale = True
        return self._owner

    async def _poll(self) -> None:
        n_failures = 0
        while True:
            seconds = min(2.0 ** (n_failures - 1), MAX_BACKOFF_SECONDS) if n_failures else POLL_SECONDS
            await self.clock.sleep(seconds)
            try:
                await self.run(self.terminal.refresh)
                n_failures, self.heard_at["events"] = 0, self.clock.monotonic()
            except BrokerError as error:
                n_failures += 1
                if n_failures == 1:
                    self._n_downs, self._down_reason = self._n_downs + 1, error.code
                    self._wake()

    def _wake(self) -> None:
        for waker in self._wakers:
            waker.set()

    def _heard(self) -> None:
        """Wake the listeners; called in the owner thread when events are on disk."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)
