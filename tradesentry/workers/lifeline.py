"""End with the process that started us, and know that no older process of our slot is alive.

A supervisor that is killed can tell nobody. So a child ends by itself: Linux sends it a signal when its parent dies
(which a change of credentials would clear, and which belongs to the thread that forked: children are started from the
main thread and never change their user), and everywhere a pipe reaches its end.

A slot is a file that is locked for as long as a process lives. Who holds the lock knows that the slot's old process is
dead, which is what makes it safe to reclaim that process's leases.
"""

import ctypes
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from tradesentry.core.domain.errors import AccountBusy
from tradesentry.core.utils.file_lock import lock_file

LIFELINE: Final = "TRADESENTRY_LIFELINE"
"""Environment variable: process id of the supervisor and number of the pipe, as `123:7`."""
_PR_SET_PDEATHSIG: Final = 1


def lifeline_of(pipe: int) -> dict[str, str]:
    """Return the variable that a supervisor gives to its children.

    Args:
        pipe: Reading end, inherited by the child; only the supervisor holds the other end.
    """
    return {LIFELINE: f"{os.getpid()}:{pipe}"}


def end_with_supervisor(environment: Mapping[str, str] | None = None) -> bool:
    """Arrange that this process is told to end (SIGTERM) when its supervisor dies; call it from the main thread.

    Args:
        environment: Where the supervisor left word; this process's when None.

    Returns:
        Whether there is a supervisor. When it has died already, this process ends now.
    """
    text = (os.environ if environment is None else environment).get(LIFELINE, "")
    parent, _, pipe = text.partition(":")
    if not (parent.isdigit() and pipe.isdigit()):
        return False
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.name == "posix" and os.getppid() != int(parent):
        sys.exit(0)
    threading.Thread(target=_watch, args=(int(pipe),), name="lifeline", daemon=True).start()
    return True


def _watch(pipe: int) -> None:
    try:
        while os.read(pipe, 1):
            pass
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGTERM)


class Slot:
    """The place of one process in an installation; held while the block runs.

    Args:
        home: Folder of the installation.
        name: Of the place: a number, or the account that a command is for.
        wait_seconds: How long a dying old process is waited for.

    Raises:
        AccountBusy: A process of this machine holds it.
    """

    def __init__(self, home: Path, name: str, *, wait_seconds: float = 0.0) -> None:
        self._path = home / "run" / f"slot-{name}.lock"
        self._wait_seconds = wait_seconds
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        end = time.monotonic() + self._wait_seconds
        while not lock_file(file):
            if time.monotonic() >= end:
                file.seek(0)
                holder = file.read().strip()
                file.close()
                raise AccountBusy(
                    f"Process {holder or 'unknown'} of this machine does the same already ({self._path.name}), so "
                    "nothing was started. Let it work, or stop it with Ctrl-C or `kill` first."
                )
            time.sleep(0.05)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()


def installation_id(home: Path) -> str:
    """Return the name of an installation, made at its first use and kept in its folder.

    Args:
        home: Folder of the installation.
    """
    path = home / "run" / "installation"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(uuid.uuid4().hex[:12])
    except FileExistsError:
        pass
    return path.read_text(encoding="utf-8").strip()
