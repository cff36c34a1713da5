"""A whole installation as a user starts it: `tradesentry up` as a process, and what it says of itself."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

import psutil
import psycopg

from tests.support.live_cli import SECRETS
from tradesentry.backtest.commands.shell import run_command
from tradesentry.cli import app
from tradesentry.database.passwords import read_passwords
from tradesentry.database.placement import place
from tradesentry.database.postmaster import last_port
from tradesentry.database.roles import ADMIN, DATABASE


class Installed:
    """`tradesentry up` in a folder; use it as a block, which ends it.

    Args:
        home: Folder; any account may enter it.
        options: Of `up`.
        environment: Added to this process's own, without its secrets.
    """

    def __init__(self, home: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.home = home
        self._options = options
        clean = {name: value for name, value in os.environ.items() if name not in SECRETS}
        self._environment = clean | {"TRADESENTRY_HOME": str(home)} | (environment or {})
        self.ready: dict[str, Any] = {}
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.run("down", "--force")
        if self.process is not None:
            self.process.communicate(timeout=60)

    def start(self) -> None:
        """Start it and wait until it says READY."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tradesentry.cli", "up", "--json", *self._options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment, cwd=self.home,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        self.ready = json.loads(line)

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C; return exit code and what was said."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said

    def run(self, *line: str) -> tuple[int, str, str]:
        """Run a command on this installation as from another terminal; return exit code, stdout and stderr."""
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.dict(os.environ, self._environment, clear=True), redirect_stdout(out), redirect_stderr(err):
            code = run_command(app, line)
        return code, out.getvalue(), err.getvalue()

    def run_process(self, *line: str) -> tuple[int, str, str]:
        """Run a command as a process of its own: one that leaves a process behind; return as `run`."""
        done = subprocess.run(
            [sys.executable, "-m", "tradesentry.cli", *line], env=self._environment, cwd=self.home,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def status(self) -> tuple[int, dict[str, Any]]:
        """Return exit code and document of `tradesentry status --json`."""
        code, out, _ = self.run("status", "--json")
        return code, json.loads(out)

    def pids(self) -> dict[str, int]:
        """Return the processes by name, as they are written now."""
        document = json.loads((self.home / "run" / "up.json").read_text(encoding="utf-8"))
        return {process["name"]: process["pid"] for process in document["processes"]}

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return rows of its embedded database, of all tenants."""
        placement = place(self.home)
        password = read_passwords(placement.password_file)[ADMIN]
        url = f"postgresql://{ADMIN}:{password}@127.0.0.1:{last_port(placement.port_file)}/{DATABASE}"
        with psycopg.connect(url, connect_timeout=10) as connection:
            return connection.execute(statement, values).fetchall()


def until(is_true: Callable[[], object], *, seconds: float = 90.0, pause: float = 0.2) -> float:
    """Wait until something is true, also while the database is away; return how long it took, seconds."""
    began = time.monotonic()
    while True:
        with suppress(psycopg.OperationalError):
            if is_true():
                return time.monotonic() - began
        assert time.monotonic() - began < seconds, "not in time"
        time.sleep(pause)


def processes_of(home: Path) -> list[str]:
    """Return the command lines of all processes that belong to an installation."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and str(home) in line:
                found.append(line)
    return found
