"""Prism as a validation proxy: a process that refuses every request and reply which a description does not allow.

Installed by `make oanda-contract` into an ignored folder, at the version of its lock file. Contract only: it keeps no
state and buffers streams, so nothing is learned from it about behavior.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

PROGRAM = ROOT / "build" / "prism" / "node_modules" / ".bin" / "prism"
START_SECONDS = 60.0


@dataclass(frozen=True)
class Prism:
    """A running proxy."""

    url: str
    upstream_port: int
    """Where it forwards to; whoever serves there may come and go."""
    log: Path

    def said(self, n_lines: int = 12) -> str:
        """Return the end of its log, for messages."""
        return "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-n_lines:])


def missing() -> str:
    """Return why Prism cannot run here; empty when it can."""
    if shutil.which("node") is None:
        return "Node.js is not installed; Prism needs version 18.20 or newer"
    if not PROGRAM.exists():
        return f"Prism is not installed ({PROGRAM.relative_to(ROOT)}); run `make oanda-contract`, which does that"
    return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(description: Path, folder: Path) -> Iterator[Prism]:
    """Start the proxy and wait until it listens.

    Args:
        description: OpenAPI 3 document.
        folder: For its log.
    """
    upstream, port, log = _free_port(), _free_port(), folder / "prism.log"
    asked = [PROGRAM, "proxy", description, f"http://127.0.0.1:{upstream}", "--errors", "-h", "127.0.0.1"]
    with log.open("wb") as out:
        process = subprocess.Popen([*map(str, asked), "-p", str(port)], stdout=out, stderr=subprocess.STDOUT)
    prism = Prism(f"http://127.0.0.1:{port}", upstream, log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while f"listening on {prism.url}" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, f"Prism ended: {prism.said()}"
            assert time.monotonic() < deadline, f"Prism does not listen after {START_SECONDS:g} s: {prism.said()}"
            time.sleep(0.02)
        yield prism
    finally:
        process.terminate()
        process.wait(10.0)
