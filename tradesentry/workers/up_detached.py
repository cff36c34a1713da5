"""Start `tradesentry up` in the background and wait until it is ready: what `--detach` and containers' hosts want."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

import typer

from tradesentry.backtest.commands.terminal import say
from tradesentry.workers.installation import Installation
from tradesentry.workers.up_report import ready_text

LAST_LINES: Final = 40
LOOK_SECONDS: Final = 0.1


def start_detached(installation: Installation, options: Sequence[str], *, as_json: bool) -> int:
    """Start an installation in the background; returns once it is ready or has failed.

    Args:
        installation: Where.
        options: Of `up`.
        as_json: Print one JSON document.

    Returns:
        Exit code: that of the background process when it ended before it was ready.
    """
    installation.logs.mkdir(parents=True, exist_ok=True)
    log = installation.logs / "up.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tradesentry.cli", "up", "--home", str(installation.home), *options],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=dict(os.environ),
        )  # fmt: skip
    say(f"starting TradeSentry in {installation.home} in the background ...")
    while process.poll() is None:
        document = installation.read()
        if document.get("pid") == process.pid and document.get("ready_seconds") is not None:
            typer.echo(json.dumps(document) if as_json else ready_text(document))
            return 0
        time.sleep(LOOK_SECONDS)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    say("\n".join(lines))
    return process.returncode or 1
