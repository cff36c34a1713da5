"""Keep processes alive: start them, start them again with growing pauses, end them all together.

Each child is a process group of its own, so that what it started dies with it: before a slot is started again, its old
group is killed and reaped, which is what an agent relies on when it reclaims its old leases. A child that keeps dying
ends everything: nothing is worse than half a system that looks alive.
"""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from tradesentry.core.domain.clock import Clock
from tradesentry.core.utils.logger import get_logger
from tradesentry.workers.lifeline import lifeline_of

_log = get_logger(__name__)
LAST_LINES: Final = 40


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own."""


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
    """Time to end cleanly before being killed."""


class Supervisor:
    """Runs processes; to be used from the main thread.

    Args:
        children: What to keep alive.
        logs: Folder of their output, one file each.
        clock: For pauses.
        policy: How hard.
    """

    def __init__(
        self, children: Sequence[Child], logs: Path, clock: Clock, *, policy: RestartPolicy | None = None
    ) -> None:
        self._children, self._logs, self._clock = list(children), logs, clock
        self._policy = policy or RestartPolicy()
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self.n_starts: dict[str, int] = {child.name: 0 for child in children}

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children that live."""
        return {name: process.pid for name, process in self._running.items() if process.returncode is None}

    async def run(self, stop: asyncio.Event) -> int:
        """Keep the children alive until `stop` is set or one cannot be kept alive.

        Args:
            stop: Set by a signal.

        Returns:
            Exit code: 0 after `stop`, 1 when a child kept dying.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        tasks = [asyncio.create_task(self._keep(child, reading)) for child in self._children]
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
            await asyncio.gather(*(self._end(name) for name in tuple(self._running)))
            os.close(writing)
            os.close(reading)

    async def _keep(self, child: Child, pipe: int) -> None:
        """Start a child again and again; returns when it has been started too often."""
        policy, starts = self._policy, deque[float]()
        pause = policy.first_pause_seconds
        while True:
            now = self._clock.monotonic()
            starts.append(now)
            while starts[0] < now - policy.window_seconds:
                starts.popleft()
            if len(starts) > policy.max_starts:
                self._give_up(child, len(starts) - 1)
                return
            code = await self._live(child, pipe)
            lived = self._clock.monotonic() - now
            _log.warning("process_ended", process=child.name, code=code, lived_seconds=round(lived, 1))
            pause = policy.first_pause_seconds if lived >= policy.healthy_seconds else pause
            await self._clock.sleep(pause)
            pause = min(2 * pause, policy.max_pause_seconds)

    async def _live(self, child: Child, pipe: int) -> int:
        """Run a child to its end, and end what it left behind."""
        with self._log_file(child.name).open("ab") as log:
            process = await self._start(child, pipe, log)
        try:
            return await process.wait()
        finally:
            if process.returncode is not None:
                _kill_group(process.pid)

    async def _start(self, child: Child, pipe: int, log: IO[bytes]) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *child.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **child.environment, **lifeline_of(pipe)},
            pass_fds=(pipe,),
            start_new_session=True,
        )
        self._running[child.name] = process
        self.n_starts[child.name] += 1
        _log.info("process_started", process=child.name, pid=process.pid, n_starts=self.n_starts[child.name])
        return process

    async def _end(self, name: str) -> None:
        """Ask a child to end; kill its group when it takes too long."""
        process = self._running.pop(name)
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), self._policy.stop_seconds)
            except TimeoutError:
                _log.error("process_killed", process=name, waited_seconds=self._policy.stop_seconds)
        _kill_group(process.pid)
        await process.wait()

    def _log_file(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _give_up(self, child: Child, n_starts: int) -> None:
        lines = self._log_file(child.name).read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        sys.stderr.write(
            f"{child.name} ended {n_starts} times within {self._policy.window_seconds:g} s, so everything is ended. "
            f"Its last lines ({self._log_file(child.name)}):\n" + "".join(f"  {line}\n" for line in lines)
        )


def _kill_group(pid: int) -> None:
    """Kill what is left of a process group; on Windows a child has none."""
    if sys.platform != "win32":
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
