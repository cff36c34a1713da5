"""Run the embedded PostgreSQL: initialize, start, recover, stop.

Only the programs of the wheel are used; its own launcher trusts everybody, creates a system user, opens the modes of
parent folders and gives up after 10 s. Ours listens on loopback only, asks for passwords, survives `kill -9` of
anything, and never loses a confirmed commit: `fsync` and `full_page_writes` are on.

Order of a start: lock HOME, choose programs of the data folder's major, initialize a missing data folder aside and
rename it, end a server that an earlier process left behind, then start on a free port and wait while it recovers.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psycopg

from tradesentry.core.domain.errors import DatabaseError
from tradesentry.core.utils.file_lock import lock_file
from tradesentry.core.utils.logger import get_logger
from tradesentry.database.binaries import Binaries, find_binaries, is_reachable, reachable_copy
from tradesentry.database.passwords import ensure_passwords, write_private
from tradesentry.database.placement import SYSTEM_STATE, Placement, place
from tradesentry.database.postmaster import STOP_SECONDS, data_major, end_leftover, free_port, last_port, last_words
from tradesentry.database.roles import ADMIN, ROLES

log = get_logger(__name__)

RECOVERY_SECONDS = 120.0
"""How long a start may take; crash recovery may need more than 30 s."""
PORT_TRIES = 5
LOG_BYTES = 10_000_000
_POLL_SECONDS = (0.02, 0.25)
"""First and longest pause between two looks at a starting server; each look is a line in its log."""
_PORT_TAKEN = re.compile(r"could not bind|Address already in use|could not create any TCP/IP sockets")
_OLD_MEMORY = re.compile(r"pre-existing shared memory block|lock file \"postmaster.pid\" already exists")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    "log_checkpoints": "off",
}
if sys.platform == "linux":
    # Before it recovers, PostgreSQL syncs the whole data folder, file by file: seconds instead of a moment.
    _SETTINGS["recovery_init_sync_method"] = "syncfs"


class EmbeddedPostgres:
    """One PostgreSQL server that belongs to this process; also a context manager.

    Args:
        home: Folder of the installation.
        major: Version of a new data folder; an existing one pins its own.
        bin_dir: Programs to use instead of the wheel's (TRADESENTRY_PG_BIN).
        system_state: Where data go when the server's account cannot enter `home`.
        is_durable: False skips syncing to disk; for tests only, a crash of the machine loses everything.
    """

    def __init__(
        self,
        home: Path,
        *,
        major: int | None = None,
        bin_dir: Path | None = None,
        system_state: Path = SYSTEM_STATE,
        is_durable: bool = True,
    ) -> None:
        self.placement: Placement = place(home, system_state=system_state)
        self.port = 0
        self._asked_major = major
        self._bin_dir = bin_dir
        self._is_durable = is_durable
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self.passwords: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether the server that this object started is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the server.

        Raises:
            DatabaseError: It was not started.
        """
        if self._process is None:
            raise DatabaseError("The embedded PostgreSQL is not running. Call start() first.", code="not_running")
        return self._process.pid

    def url(self, role: str, database: str = "tradesentry") -> str:
        """Return the address of a database for a role, password included: never log it."""
        return f"postgresql://{role}:{self.passwords[role]}@127.0.0.1:{self.port}/{database}"

    def binaries(self) -> Binaries:
        """Return the programs that fit the data folder, where the server's account can reach them.

        Raises:
            DatabaseError: There are none, or the data folder is of another major than asked for.
        """
        pinned = data_major(self.placement.data)
        if pinned is not None and self._asked_major not in (None, pinned):
            raise DatabaseError(
                f"The data in {self.placement.data} are of PostgreSQL {pinned}, not {self._asked_major}. Run "
                f"`tradesentry db upgrade` to move them to {self._asked_major}; a backup is made first.",
                code="major_mismatch",
            )
        try:
            found = find_binaries(pinned or self._asked_major, folder=self._bin_dir)
        except DatabaseError as error:
            if pinned is None:
                raise
            raise DatabaseError(
                f"The data in {self.placement.data} are of PostgreSQL {pinned}. {error} Or move the data to a version "
                "that is here with `tradesentry db upgrade`.",
                code="major_mismatch",
            ) from error
        return self.reachable(found)

    def reachable(self, found: Binaries) -> Binaries:
        """Return programs that the server's account can run: the given ones or a copy."""
        run_as = self.placement.run_as
        if run_as is None or is_reachable(found.folder, run_as.uid, run_as.gid):
            return found
        return reachable_copy(found, self.placement.root)

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            DatabaseError: Another process runs it, the disk is full, the data folder is unusable, or it does not answer
                in 120 s; the message holds the server's last words.
        """
        if self.is_running:
            return
        self.lock()
        try:
            programs = self.binaries()
            is_new = data_major(self.placement.data) is None
            self.passwords = ensure_passwords(self.placement.password_file, (ADMIN, *ROLES), may_create=is_new)
            end_leftover(self.placement.data)
            if is_new:
                self.make_data(programs, self.placement.data)
            for seconds in self._launching(programs):
                time.sleep(seconds)
        except BaseException:
            self.stop()
            raise

    async def revive(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Start the server again after it died, on its old port where that is free; HOME stays locked.

        To be called from the main thread, where it does not hold up other work: the server dies with the thread that
        started it.

        Args:
            sleep: Waits that many seconds.

        Raises:
            DatabaseError: It ends again, or does not answer in 120 s.
        """
        end_leftover(self.placement.data)
        for seconds in self._launching(self.binaries()):
            await sleep(seconds)

    def exit_code(self) -> int | None:
        """Return with what the server ended; None while it runs or was not started."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> None:
        """Stop the server: fast, after 10 s at once; then free the lock. Doing it twice is no error."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
                    break
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        extra_environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one of PostgreSQL's programs under the server's account and return what it said.

        Args:
            arguments: Program and arguments.
            cwd: Where; the folder of the data when None.
            extra_environment: Added to a small clean environment.
        """
        identity = self._identity()
        identity["env"] |= extra_environment or {}
        line = [str(argument) for argument in arguments]
        return subprocess.run(line, capture_output=True, check=False, cwd=cwd or self.placement.root, **identity)

    def _identity(self) -> dict[str, Any]:
        run_as = self.placement.run_as
        values: dict[str, Any] = {"env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}}
        if os.name == "nt":
            values["env"] |= {"SYSTEMROOT": os.environ.get("SYSTEMROOT", "")}
        if run_as is not None:
            values |= {"user": run_as.uid, "group": run_as.gid, "extra_groups": []}
        return values

    def lock(self) -> None:
        """Lock HOME for this process until `stop`.

        Raises:
            DatabaseError: Another process holds it.
        """
        path = self.placement.lock_file
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise DatabaseError(
                f"The lock file {path} cannot be opened: {error.strerror}. Correct its permissions.",
                code="home_unusable",
            ) from error
        if not lock_file(file):
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise DatabaseError(
                f"Another TradeSentry process (pid {owner}) runs the database of {self.placement.home}. Stop it with "
                "`tradesentry down`, or choose another TRADESENTRY_HOME.",
                code="already_running",
            )
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        self._lock = file

    def make_data(self, programs: Binaries, target: Path) -> None:
        """Make a data folder aside and rename it, so that a killed start leaves nothing that looks complete.

        Args:
            programs: Of the version it is made for.
            target: Where it belongs; must not exist.

        Raises:
            DatabaseError: `initdb` refused, the disk is full, or the place may not be written.
        """
        root, run_as = self.placement.root, self.placement.run_as
        for half in root.glob("data.new-*"):
            shutil.rmtree(half, ignore_errors=True)
        half = root / f"data.new-{uuid.uuid4().hex[:8]}"
        secret = root / f"pw-{uuid.uuid4().hex[:8]}"
        owner = None if run_as is None else (run_as.uid, run_as.gid)
        try:
            half.mkdir(mode=0o700)
            if owner is not None:
                os.chown(half, *owner)
            write_private(secret, self.passwords[ADMIN], owner=owner)
            done = self.run(
                [
                    programs.program("initdb"), "-D", half, "-U", ADMIN, "--auth=scram-sha-256", f"--pwfile={secret}",
                    "--encoding=UTF8", "--no-locale", "--data-checksums", *([] if self._is_durable else ["--no-sync"]),
                ]
            )  # fmt: skip
            if done.returncode:
                said = (done.stderr + done.stdout).decode(errors="replace").strip()[-800:]
                raise DatabaseError(
                    f"PostgreSQL could not make its data folder in {root}: {said}. Free space and correct permissions "
                    "there, or choose another TRADESENTRY_HOME.",
                    code="initdb",
                )
            half.rename(target)
        except OSError as error:
            raise DatabaseError(
                f"The data folder in {root} cannot be made: {error.strerror or error}. Free space and correct "
                "permissions there, or choose another TRADESENTRY_HOME.",
                code="initdb",
            ) from error
        finally:
            secret.unlink(missing_ok=True)
            shutil.rmtree(half, ignore_errors=True)
        log.info("postgres_initialized", major=programs.major)

    def _launching(self, programs: Binaries) -> Iterator[float]:
        """Start on a free port, yielding the pauses; a port lost to a race and memory of a killed server are no end."""
        began = time.monotonic()
        n_ports = 0
        # Clients reconnect to the address that they were given.
        self.port = last_port(self.placement.port_file) or free_port()
        while True:
            said = yield from self._awaited(self._spawn(programs), began)
            if said is None:
                self.placement.port_file.write_text(f"{self.port}\n", encoding="ascii")
                log.info("postgres_started", major=programs.major, port=self.port, pid=self.pid)
                return
            if _PORT_TAKEN.search(said) and n_ports < PORT_TRIES:
                n_ports += 1
                self.port = free_port()
                continue
            # Backends of a killed server take a moment to notice.
            if _OLD_MEMORY.search(said) and time.monotonic() - began < STOP_SECONDS:
                end_leftover(self.placement.data)
                yield 0.1
                continue
            raise DatabaseError(
                f"PostgreSQL {programs.major} ended while starting on {self.placement.data}. Its last words:\n{said}\n"
                f"The whole log is {self.placement.log_file}.",
                code="postgres_start",
            )

    def _spawn(self, programs: Binaries) -> int:
        """Start the server once and return where its words begin in the log."""
        synced = dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit"), "on" if self._is_durable else "off")
        settings = _SETTINGS | {"port": str(self.port)} | synced
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(programs.program("postgres")), "-D", str(self.placement.data), *options]
        log_file = self.placement.log_file
        if log_file.exists() and log_file.stat().st_size > LOG_BYTES:
            log_file.replace(log_file.with_suffix(".log.1"))
        with log_file.open("ab") as out:
            start = out.tell()
            self._process = subprocess.Popen(
                _dying_with_us(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.placement.root,
                start_new_session=True,
                **self._identity(),
            )
        return start

    def _awaited(self, start: int, began: float) -> Generator[float, None, str | None]:
        """Yield pauses until the server answers; return None then, its last words when it ended."""
        pause, longest = _POLL_SECONDS
        while time.monotonic() - began < RECOVERY_SECONDS:
            if not self.is_running:
                return last_words(self.placement.log_file, start)
            if self._answers():
                return None
            yield pause
            pause = min(1.5 * pause, longest)
        raise DatabaseError(
            f"PostgreSQL did not answer within {RECOVERY_SECONDS:.0f} s. Its last words:\n"
            f"{last_words(self.placement.log_file, start)}\n"
            "If it is still recovering, start again and wait; else read the log.",
            code="postgres_start",
        )

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url(ADMIN, "postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise DatabaseError(
                    f"The database does not accept the password in {self.placement.password_file}. Restore that file "
                    "from a backup, or drop everything with `tradesentry db reset --confirm HOME`.",
                    code="passwords_lost",
                ) from error
            return False


def _dying_with_us(command: list[str]) -> list[str]:
    """Return a command whose process is told to stop when ours dies, where the system can do that.

    The kernel forgets the wish when credentials change, so `setpriv` states it after they have.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "INT", *command] if setpriv else command
