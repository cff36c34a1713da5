"""What runs in a folder: the lock that lets one `tradesentry up` run there, and what it says of its processes.

The lock is the truth: the system frees it however that process dies. The file beside it is for whoever asks
(`tradesentry status`, `tradesentry down`); of a process that was killed it says what was true last.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from tradesentry.core.domain.errors import UsageError
from tradesentry.core.utils.file_lock import lock_file

_TRIES: Final = 5
_PAUSE_SECONDS: Final = 0.05


class Installation:
    """One folder.

    Args:
        home: The folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.logs = home / "logs"
        self._lock_path, self._state_path = home / "run" / "up.lock", home / "run" / "up.json"
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        """Be the one process that runs it.

        Raises:
            UsageError: Another one does.
        """
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        file = self._lock_path.open("a+", encoding="utf-8")
        for _ in range(_TRIES):
            if lock_file(file):
                break
            # Whoever asks what runs here holds the lock for a moment.
            time.sleep(_PAUSE_SECONDS)
        else:
            file.close()
            raise UsageError(
                f"TradeSentry runs in {self.home} already (process {self._written_pid() or 'unknown'}), so nothing was "
                "started. See `tradesentry status`; stop it with `tradesentry down`, or choose another --home.",
                code="already_up",
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._state_path.unlink(missing_ok=True)
        self._lock = file
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._state_path.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()

    def running_pid(self) -> int | None:
        """Return the process that runs it; None when nobody does."""
        if not self._lock_path.exists():
            return None
        with self._lock_path.open("a+", encoding="utf-8") as file:
            return None if lock_file(file) else self._written_pid()

    def write(self, document: dict[str, Any]) -> None:
        """Say how it stands, whole or not at all.

        Args:
            document: JSON values.
        """
        half = self._state_path.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps(document), encoding="utf-8")
        half.replace(self._state_path)

    def read(self) -> dict[str, Any]:
        """Return what was said last; empty when nothing was."""
        with suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(self._state_path.read_text(encoding="utf-8"))
            return found
        return {}

    def _written_pid(self) -> int | None:
        with suppress(OSError, ValueError):
            return int(self._lock_path.read_text(encoding="utf-8"))
        return None
