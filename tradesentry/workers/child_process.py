"""One process that a supervisor keeps: started, waited for, ended, with all that it started itself.

A child is a process group of its own. When it ends, however it ends, what is left of its group is killed before anybody
starts it again. Separate from the supervisor, which decides when; here is how.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tradesentry.core.domain.clock import Clock, within
from tradesentry.core.utils.logger import get_logger
from tradesentry.workers.lifeline import lifeline_of

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own."""
    stage: int = 1
    """Higher stages are ended first: what needs others ends before them."""


class Kept(Protocol):
    """Something that runs, ends, and can be started again."""

    @property
    def name(self) -> str:
        """Its name, also of its log."""

    @property
    def stage(self) -> int:
        """Higher stages are ended first."""

    @property
    def log_file(self) -> Path:
        """What it says."""

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""

    async def start(self) -> None:
        """Start it; returns once it runs.

        Raises:
            TradeSentryError: It cannot be started now.
        """

    async def wait(self) -> int:
        """Wait for its end, clear away what it left behind, and return its exit code."""

    def ask_to_end(self) -> None:
        """Ask it to end cleanly."""

    async def stop(self, seconds: float) -> None:
        """Ask it to end, wait that long, then make it end."""


class ChildProcess:
    """A command as a process group of its own that dies with us.

    Args:
        child: What to run.
        logs: Folder of its output.
        clock: For the time that it may take to end.
        pipe: Reading end of the lifeline.
    """

    def __init__(self, child: Child, logs: Path, clock: Clock, *, pipe: int) -> None:
        self._child, self._clock, self._pipe = child, clock, pipe
        self._process: asyncio.subprocess.Process | None = None
        self.name, self.stage = child.name, child.stage
        self.log_file = logs / f"{child.name}.log"

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def start(self) -> None:
        """Start it; to be called from the main thread, with which it dies."""
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._child.environment, **lifeline_of(self._pipe)},
                pass_fds=(self._pipe,),
                start_new_session=True,
            )

    async def wait(self) -> int:
        """Wait for its end, kill what is left of its group, and return its exit code."""
        if self._process is None:
            return 0
        code = await self._process.wait()
        _kill_group(self._process.pid)
        return code

    def ask_to_end(self) -> None:
        """Ask it to end cleanly (SIGTERM)."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    async def stop(self, seconds: float) -> None:
        """Ask it to end; kill its group when it takes longer."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            self.ask_to_end()
            try:
                await within(self._clock, seconds, process.wait())
            except TimeoutError:
                _log.error("process_killed", process=self.name, waited_seconds=round(seconds, 1))
        _kill_group(process.pid)
        await process.wait()


def _kill_group(pid: int) -> None:
    """Kill what is left of a process group; on Windows a child has none."""
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
