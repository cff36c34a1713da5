"""What processes noted of their lives, and how long they are to live so that as many die as are asked for."""

import json
import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.soak.evidence import Claim, Span

REARM_NS = 3 * 10**9
"""A person's word to re-arm an account is obeyed within that time, or asked again."""
SHORTEST, LONGEST = 0.1, 1.2
"""Bounds of the mean life, seconds."""
STEP = 1.12
NO_TRADERS = ("delayed restart", "postmaster", "backend", "gateway")
"""What is counted among the kills and is none of a trader."""


@dataclass
class Slot:
    """A place for one agent process at a time."""

    number: int
    pid: int = 0
    life: int = 0
    start_at: float = 0.0
    """When the next life begins; monotonic."""
    wake_at: float = 0.0
    """When a stopped process goes on; 0: it is not stopped."""
    die_at: float = math.inf
    """When this life is struck; monotonic."""
    is_zombie: bool = False
    """It neither renews nor fences itself any more."""


def deaths(kills: Counter[str]) -> int:
    """Return how many traders were struck."""
    return sum(n for kind, n in kills.items() if kind not in NO_TRADERS)


class RequestCount:
    """Counts the requests in a venue's log, whose writer is at work.

    Args:
        path: Of the log.
    """

    MARK = b'"what": "request"'

    def __init__(self, path: Path) -> None:
        self._path, self._read_to, self._n = path, 0, 0

    def read(self) -> int:
        """Return how many there are."""
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            text = file.read()
        end = text.rfind(b"\n") + 1
        self._read_to += end
        self._n += text[:end].count(self.MARK)
        return self._n


class LifeNotes:
    """A file of lines that processes and their supervisor append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_to = 0

    def note(self, what: str, **said: Any) -> None:
        """Append a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, "at": time.time_ns(), **said}) + "\n")

    def news(self) -> list[dict[str, Any]]:
        """Return what was noted since the last call."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_to += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def read(self) -> tuple[list[Claim], list[Span], list[Span]]:
        """Return who won which account, when an account was held by a living process, and when a halt was lifted."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        said = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return told(sorted(said, key=lambda row: row["at"]))


def told(rows: Iterable[dict[str, Any]]) -> tuple[list[Claim], list[Span], list[Span]]:
    """Return what rows in order of time say, as `LifeNotes.read`."""
    claims, spans, rearmed = [], [], []
    since: dict[tuple[str, str], int] = {}
    for said in rows:
        if said["what"] == "claim":
            claims.append(Claim(said["account"], said["sender"], said["epoch"], said["at"]))
        elif said["what"] == "rearm":
            rearmed.append(Span(said["at"], said["at"] + REARM_NS, said["account"]))
        elif said["what"] == "active":
            since.setdefault((said["sender"], said["account"]), said["at"])
        elif said["what"] in ("gone", "dead"):
            ended = [k for k in since if k[0] == said["sender"] and said.get("account", k[1]) == k[1]]
            spans += [Span(since.pop(key), said["at"], key[1]) for key in ended]
    return claims, spans, rearmed


class Pace:
    """Shortens lives while too few have died, and lengthens them while more than enough have.

    Args:
        mean_seconds: Of a life, at first.
        per_second: Deaths wanted; 0: the mean stays.
    """

    def __init__(self, mean_seconds: float, per_second: float) -> None:
        self.mean_seconds, self._per_second = mean_seconds, per_second

    def counted(self, n_deaths: int, seconds: float) -> None:
        """Take how many have died within how many seconds."""
        if self._per_second:
            is_behind = n_deaths < self._per_second * seconds
            mean = self.mean_seconds / STEP if is_behind else self.mean_seconds * STEP
            self.mean_seconds = min(max(mean, SHORTEST), LONGEST)
