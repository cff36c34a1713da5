"""Keep processes alive: start them, start them again with growing pauses, end them all together in order.

Before a slot is started again, its old process group is killed and reaped, which is what an agent relies on when it
reclaims its old leases. A process that keeps dying ends everything: nothing is worse than half a system that looks
alive. At the end the highest stage goes first: who uses the database ends before it does.
"""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tradesentry.core.domain.clock import Clock
from tradesentry.core.domain.errors import TradeSentryError
from tradesentry.core.utils.logger import get_logger
from tradesentry.workers.child_process import Child, ChildProcess, Kept

__all__ = ["Child", "Kept", "ProcessState", "RestartPolicy", "Supervisor"]

_log = get_logger(__name__)
LAST_LINES: Final = 40
LEAST_SECONDS: Final = 0.5
"""What a later stage has for its end when earlier ones have used the time up."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How hard a process is kept alive."""

    first_pause_seconds: float = 0.2
    max_pause_seconds: float = 10.0
    healthy_seconds: float = 60.0
    """A process that lived that long starts with the first pause again."""
    max_starts: int = 10
    window_seconds: float = 60.0
    """More starts than that within it end everything."""
    stop_seconds: float = 10.0
    """Time that all have together to end cleanly before being killed."""


@dataclass(slots=True)
class ProcessState:
    """How one process stands."""

    name: str
    pid: int | None = None
    """None: it does not run now."""
    started_ns: int = 0
    n_starts: int = 0
    last_code: int | None = None
    """With what it ended last; negative: the signal that killed it."""


class Supervisor:
    """Runs processes; to be used from the main thread.

    Args:
        children: What to keep alive: commands, or what starts and ends in a way of its own.
        logs: Folder of their output, one file each.
        clock: For pauses.
        policy: How hard.
        on_change: Told whenever a process was started or has ended.
    """

    def __init__(
        self,
        children: Sequence[Child | Kept],
        logs: Path,
        clock: Clock,
        *,
        policy: RestartPolicy | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self._children, self._logs, self._clock = list(children), logs, clock
        self._policy, self._on_change = policy or RestartPolicy(), on_change or (lambda: None)
        self._kept: list[Kept] = []
        self.states: dict[str, ProcessState] = {child.name: ProcessState(child.name) for child in children}

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children that live."""
        return {kept.name: kept.pid for kept in self._kept if kept.pid is not None}

    @property
    def n_starts(self) -> dict[str, int]:
        """How often each was started."""
        return {name: state.n_starts for name, state in self.states.items()}

    async def run(self, stop: asyncio.Event) -> int:
        """Keep the children alive until `stop` is set or one cannot be kept alive.

        Args:
            stop: Set by a signal.

        Returns:
            Exit code: 0 after `stop`, 1 when a child kept dying.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        self._kept = [
            ChildProcess(child, self._logs, self._clock, pipe=reading) if isinstance(child, Child) else child
            for child in self._children
        ]
        tasks = [asyncio.create_task(self._keep(kept)) for kept in self._kept]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            failed = [task for task in tasks if task.done()]
            for one in failed:
                one.result()
            return 1 if failed else 0
        finally:
            for waiting in (*tasks, stopping):
                waiting.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            await self._end_all()
            os.close(writing)
            os.close(reading)

    def restart(self, *, from_stage: int) -> None:
        """Ask the processes of a stage and those above to end; they are started again with what is true now.

        Args:
            from_stage: Lowest stage concerned.
        """
        for kept in self._kept:
            if kept.stage >= from_stage:
                kept.ask_to_end()

    async def _keep(self, kept: Kept) -> None:
        """Start a child again and again; returns when it has been started too often."""
        policy, starts = self._policy, deque[float]()
        pause = policy.first_pause_seconds
        while True:
            now = self._clock.monotonic()
            starts.append(now)
            while starts[0] < now - policy.window_seconds:
                starts.popleft()
            if len(starts) > policy.max_starts:
                self._give_up(kept, len(starts) - 1)
                return
            code = await self._live(kept)
            lived = self._clock.monotonic() - now
            _log.warning("process_ended", process=kept.name, code=code, lived_seconds=round(lived, 1))
            pause = policy.first_pause_seconds if lived >= policy.healthy_seconds else pause
            await self._clock.sleep(pause)
            pause = min(2 * pause, policy.max_pause_seconds)

    async def _live(self, kept: Kept) -> int:
        """Start a child and return the code that it ended with; one that cannot be started has ended with 1."""
        state = self.states[kept.name]
        state.n_starts += 1
        code = 1
        try:
            await kept.start()
            state.pid, state.started_ns = kept.pid, self._clock.now_ns()
            _log.info("process_started", process=kept.name, pid=kept.pid, n_starts=state.n_starts)
            self._on_change()
            code = await kept.wait()
        except TradeSentryError as error:
            _log.error("process_not_started", process=kept.name, code=error.code, error=str(error))
        state.pid, state.last_code = None, code
        self._on_change()
        return code

    async def _end_all(self) -> None:
        """End stage after stage, the highest first; all share the time there is."""
        end = self._clock.monotonic() + self._policy.stop_seconds
        for stage in sorted({kept.stage for kept in self._kept}, reverse=True):
            seconds = max(LEAST_SECONDS, end - self._clock.monotonic())
            due = [kept for kept in self._kept if kept.stage == stage]
            await asyncio.gather(*(kept.stop(seconds) for kept in due))
            for kept in due:
                self.states[kept.name].pid = None
            _log.info("stage_ended", stage=stage, processes=[kept.name for kept in due])
            self._on_change()

    def _give_up(self, kept: Kept, n_starts: int) -> None:
        lines: list[str] = []
        if kept.log_file.exists():
            lines = kept.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        sys.stderr.write(
            f"{kept.name} ended {n_starts} times within {self._policy.window_seconds:g} s, so everything is ended. "
            f"Its last lines ({kept.log_file}):\n" + "".join(f"  {line}\n" for line in lines)
        )
