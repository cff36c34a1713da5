"""One thread that owns the terminal: every call of the package goes through it, one after another.

The package is a synchronous extension without documented thread safety that may hang in a call, so the deadline is
measured outside. A job that has not begun is taken back; one that has begun is left alone and its late result is still
used by whoever waits. `Permit` decides between the two sides who was first: the byte or the deadline.
"""

import asyncio
import contextlib
import itertools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from tradesentry.core.domain.clock import Clock, within

T = TypeVar("T")
URGENT: Final = 0
"""Priority of commands that protect or reduce."""
COMMAND: Final = 1
READ: Final = 2
_END: Final = 9


class Permit:
    """Leave to send one command: taken by the owner thread, or revoked from outside, never both.

    Args:
        clock: Time.
        deadline: Monotonic seconds after which nothing may leave.
    """

    def __init__(self, clock: Clock, deadline: float) -> None:
        self._clock, self._deadline = clock, deadline
        self._guard = threading.Lock()
        self._is_over = False
        self.sent_ts_ns: int | None = None
        """When it was taken."""

    def take(self) -> bool:
        """Say whether the command may leave now; a second request of the same command asks again."""
        with self._guard:
            if self._is_over or self._clock.monotonic() >= self._deadline:
                return False
            self.sent_ts_ns = self._clock.now_ns()
            return True

    def revoke(self) -> bool:
        """Forbid the command from now on; say whether nothing had left."""
        with self._guard:
            self._is_over = True
            return self.sent_ts_ns is None


class NotStarted(Exception):
    """The time was over before the owner thread came to the job; it will not run any more."""


class QueueFull(Exception):
    """Too many jobs wait for the owner thread."""


@dataclass(order=True)
class _Job:
    priority: int
    number: int
    work: Callable[[], Any] = field(compare=False)
    done: Callable[[Any, BaseException | None], None] = field(compare=False)
    guard: threading.Lock = field(compare=False, default_factory=threading.Lock)
    is_begun: bool = field(compare=False, default=False)
    is_withdrawn: bool = field(compare=False, default=False)

    def begin(self) -> bool:
        """Say whether the job may run."""
        with self.guard:
            self.is_begun = not self.is_withdrawn
            return self.is_begun

    def withdraw(self) -> bool:
        """Take the job back; say whether it had not begun."""
        with self.guard:
            self.is_withdrawn = not self.is_begun
            return self.is_withdrawn


class OwnerThread:
    """Runs jobs in order of priority, then of arrival.

    Args:
        clock: Measures the deadlines.
        limit: Most jobs that wait.
    """

    def __init__(self, clock: Clock, *, limit: int = 256) -> None:
        self._clock, self._limit = clock, limit
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self.overdue_since: float | None = None
        """Monotonic time at which the job that still runs was given up; None while all is well."""

    @property
    def depth(self) -> int:
        """How many jobs wait."""
        return self._jobs.qsize()

    async def run(self, work: Callable[[], T], *, seconds: float, priority: int = READ) -> T:
        """Return what `work` returns in the owner thread.

        Args:
            work: Calls of the package.
            seconds: How long it is awaited.
            priority: URGENT, COMMAND or READ.

        Raises:
            QueueFull: Too many jobs wait.
            NotStarted: The time was over before it began.
            TimeoutError: The time was over while it ran; it may still end.
        """
        if self.depth >= self._limit:
            raise QueueFull
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        done = _settler(future)
        job = _Job(priority, next(self._numbers), work, done)
        self._put(job)
        try:
            return await within(self._clock, seconds, _result(future))
        except TimeoutError:
            if job.withdraw():
                raise NotStarted from None
            self.overdue_since = self._clock.monotonic()
            raise

    def stop(self) -> None:
        """Let the thread end when its present job does; what waits is not run."""
        if self._thread is not None:
            self._jobs.put(_Job(-1, next(self._numbers), lambda: None, lambda _r, _e: None))

    def _put(self, job: _Job) -> None:
        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="mt5-terminal", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            if job.priority < 0:
                return
            if not job.begin():
                continue
            result, error = None, None
            try:
                result = job.work()
            except BaseException as caught:  # noqa: BLE001 - handed to whoever waits
                error = caught
            self.overdue_since = None
            job.done(result, error)


def _settler(future: "asyncio.Future[Any]") -> Callable[[Any, BaseException | None], None]:
    """Return what hands a result from the owner thread to whoever waits in the event loop."""
    loop = future.get_loop()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
            # Whoever waited may have gone; that is no defect to be reported.
            future.exception()

    def done(result: Any, error: BaseException | None) -> None:
        # A loop that is gone took everybody who waited with it.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    return done


async def _result(future: "asyncio.Future[T]") -> T:
    return await asyncio.shield(future)
