"""Look at a PostgreSQL data folder from outside: its version, the server on it, its port, its last words.

Separate from the launcher because `doctor`, `reset` and an upgrade ask the same questions without starting anything.
"""

import signal
import socket
from contextlib import suppress
from pathlib import Path

import psutil

from tradesentry.core.domain.errors import DatabaseError
from tradesentry.core.utils.logger import get_logger

log = get_logger(__name__)

STOP_SECONDS = 10.0
"""How long a server may take to stop before it is told to stop at once."""


def data_major(data: Path) -> int | None:
    """Return the major version that a data folder is of; None when there is none.

    Raises:
        DatabaseError: The folder exists but is no PostgreSQL data folder.
    """
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii"))
    except FileNotFoundError:
        if data.is_dir() and any(data.iterdir()):
            raise DatabaseError(
                f"{data} is not empty and holds no PostgreSQL data (no PG_VERSION). Move it away and start again.",
                code="data_folder",
            ) from None
        return None
    except (OSError, ValueError) as error:
        raise DatabaseError(
            f"{data}/PG_VERSION cannot be read: {error}. Correct its permissions.", code="data_folder"
        ) from error


def leftover_pid(data: Path) -> int | None:
    """Return the process id of a live server on a data folder, whoever started it; None when there is none."""
    try:
        pid = int((data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        process = psutil.Process(pid)
        is_ours = process.status() != psutil.STATUS_ZOMBIE and str(data) in process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if is_ours else None


def end_leftover(data: Path) -> None:
    """End a server that a dead process left behind on a data folder, and remove a process id file that lies.

    Raises:
        DatabaseError: It does not end.
    """
    pid = leftover_pid(data)
    if pid is None:
        # The number may belong to somebody else by now, and PostgreSQL would take that process for its own.
        (data / "postmaster.pid").unlink(missing_ok=True)
        return
    log.warning("postgres_leftover_stopped", pid=pid)
    process = psutil.Process(pid)
    for number in (signal.SIGINT, signal.SIGQUIT):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        with suppress(psutil.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return
    raise DatabaseError(
        f"A PostgreSQL server (pid {pid}) runs on {data} and does not end. End that process, then start again.",
        code="already_running",
    )


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def last_port(path: Path) -> int:
    """Return the port of the last start, 0 when there was none."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def last_words(path: Path, start: int, *, n_lines: int = 12) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return "\n".join(file.read().decode(errors="replace").strip().splitlines()[-n_lines:])
