"""`tradesentry down`: stop what `tradesentry up` started, from another terminal.

Asks first: agents give their accounts back, the relay sends what it has, PostgreSQL stops. `--force` kills instead; no
order is lost by it, because the next start recovers as it does after any crash.
"""

import os
import signal
import time
from contextlib import suppress
from typing import Annotated, Any, Final

import psutil
import typer

from tradesentry.backtest.commands.terminal import say
from tradesentry.core.domain.errors import CheckFailed
from tradesentry.database.placement import place
from tradesentry.database.postmaster import end_leftover
from tradesentry.settings import load_settings
from tradesentry.workers.installation import Installation
from tradesentry.workers.options import HomeOption

WAIT_SECONDS: Final = 30.0
"""How long a clean end is waited for; it takes less than 10 s unless the machine is very busy."""
LOOK_SECONDS: Final = 0.05


def down(
    home: HomeOption = None,
    force: Annotated[bool, typer.Option("--force", help="Kill instead of asking.")] = False,
) -> None:
    """Stop what `tradesentry up` started."""
    installation = Installation((home or load_settings().home).absolute())
    began = time.monotonic()
    pid = installation.running_pid()
    if pid is None:
        say(f"nothing runs in {installation.home}")
        return
    if force:
        _kill(installation, pid)
    else:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    while installation.running_pid() is not None:
        if time.monotonic() - began > WAIT_SECONDS:
            raise CheckFailed(
                f"Process {pid} has not ended within {WAIT_SECONDS:.0f} s. Its log is "
                f"{installation.logs / 'supervisor.log'}; kill it with `tradesentry down --force`.",
                code="still_up",
            )
        time.sleep(LOOK_SECONDS)
    say(f"stopped in {time.monotonic() - began:.1f} s")


def _kill(installation: Installation, pid: int) -> None:
    """Kill everything: first who would start it again, then the process groups, then the database, which recovers."""
    groups = [one["pid"] for one in installation.read().get("processes", []) if _is_ours(one)]
    for number in (pid, *groups):
        with suppress(ProcessLookupError, PermissionError):
            (os.kill if number == pid else os.killpg)(number, signal.SIGKILL)
    end_leftover(place(installation.home).data)


def _is_ours(process: dict[str, Any]) -> bool:
    """Say whether a written process id still is the process that it was, and is killed as a group."""
    if process["pid"] is None or process["name"] == "postgres":
        return False
    with suppress(psutil.Error):
        return "tradesentry.workers.entry" in psutil.Process(process["pid"]).cmdline()
    return False
