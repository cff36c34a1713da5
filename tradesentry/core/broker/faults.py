"""One language for everything that can go wrong between us and a venue, spoken by all fakes.

A script is text, one rule per line or semicolon: a fault, how often or when, and to which operations:

    lose_reply 6% on place, close
    reject:INSUFFICIENT_MARGIN at 3,5 on place
    slow:0.3 4%
    late:0.05-0.6 4% on place
    page_incomplete 20%

`at` counts the operations that the rule looks at, from 1. Chance is a counter-based function of (seed, rule, count), so
the same script and the same calls give the same faults, whatever else happens in between. A value `A-B` is drawn evenly
between the two numbers.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tradesentry.core.domain.errors import ConfigError, nearest


class FaultKind(StrEnum):
    """What goes wrong; the value after a colon is named in brackets."""

    CONNECT_REFUSED = "connect_refused"
    """The connection is refused: nothing was sent."""
    RESET_BEFORE = "reset_before"
    """The connection is reset before the request is read: not executed."""
    LOSE_REPLY = "lose_reply"
    """Executed, and the connection is reset instead of a reply."""
    NO_REPLY = "no_reply"
    """Executed, and nothing ever comes back."""
    LATE = "late"
    """Executed [seconds] after it was received; nothing comes back."""
    SLOW = "slow"
    """Executed at once, answered after [seconds]."""
    DOUBLE_REPLY = "double_reply"
    """The reply arrives twice."""
    STATUS = "status"
    """Answered with HTTP status [code] without being executed."""
    STATUS_AFTER = "status_after"
    """Executed, and answered with HTTP status [code]."""
    TRUNCATED = "truncated"
    """Executed; the body stops half-way."""
    NOT_JSON = "not_json"
    """Executed; the body is not JSON."""
    WRONG_TYPE = "wrong_type"
    """Executed; the reply claims to be a web page."""
    REJECT = "reject"
    """Refused by the venue with reason [code]."""
    REQUOTE = "requote"
    """Refused because the price has moved."""
    HALTED = "halted"
    """Refused because the market is halted."""
    PARTIAL = "partial"
    """A market order fills only [fraction] of its units; the rest is canceled."""
    PLACED = "placed"
    """Taken at once, executed after [seconds]: the reply names an order and no deal."""
    HISTORY_LAG = "history_lag"
    """Executed at once; the history shows it after [seconds]."""
    TERMINAL_RESTART = "terminal_restart"
    """The program between us and the venue dies before it reads the request, and has to be started again."""
    PAGE_REPEATED = "page_repeated"
    PAGE_REVERSED = "page_reversed"
    PAGE_INCOMPLETE = "page_incomplete"
    """Events are missing from the middle while the last number is right."""
    PAGE_DROPPED = "page_dropped"
    """The page comes back empty although there are events."""
    PAGE_AHEAD = "page_ahead"
    """The last number is ahead of the page."""
    STREAM_STALL = "stream_stall"
    """The stream stays open and says nothing more, not even a heartbeat."""
    STREAM_CLOSED = "stream_closed"
    STREAM_SPLIT = "stream_split"
    """An object arrives in two pieces."""
    STREAM_GARBAGE = "stream_garbage"
    """A line that is no JSON comes first."""
    STREAM_DROP = "stream_drop"
    """One frame is missing; heartbeats go on."""
    STREAM_DOUBLE = "stream_double"


class Point(StrEnum):
    """Where in the course of things a fault strikes."""

    WIRE = "wire"
    TRADING = "trading"
    SERVER = "server"
    """A trade server that answers before it has executed, or remembers late."""
    PAGE = "page"
    STREAM = "stream"


_TRADING: Final = (FaultKind.REJECT, FaultKind.REQUOTE, FaultKind.HALTED, FaultKind.PARTIAL)
_SERVER: Final = (FaultKind.PLACED, FaultKind.HISTORY_LAG)
_NEEDS_VALUE: Final = {
    FaultKind.LATE: "seconds",
    FaultKind.SLOW: "seconds",
    FaultKind.STATUS: "an HTTP status",
    FaultKind.STATUS_AFTER: "an HTTP status",
    FaultKind.REJECT: "a reason",
    FaultKind.PARTIAL: "a fraction",
    FaultKind.PLACED: "seconds",
    FaultKind.HISTORY_LAG: "seconds",
}
OPERATIONS: Final = ("place", "replace", "cancel", "close", "protect", "read", "events", "quotes", "connect")
_RULE: Final = re.compile(
    r"(?P<kind>\w+)(?::(?P<value>[\w.]+(?:-[\d.]+)?))?\s+(?:(?P<chance>[\d.]+)\s*%|at\s+(?P<at>\d+(?:\s*,\s*\d+)*))"
    r"(?:\s+on\s+(?P<on>\w+(?:\s*,\s*\w+)*))?"
)


def point_of(kind: FaultKind) -> Point:
    """Return where a fault strikes."""
    if kind in _TRADING:
        return Point.TRADING
    if kind in _SERVER:
        return Point.SERVER
    head = kind.value.split("_")[0]
    return Point(head) if head in (Point.PAGE, Point.STREAM) else Point.WIRE


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One line of a script."""

    kind: FaultKind
    probability: float = 0.0
    at: frozenset[int] = frozenset()
    operations: frozenset[str] = frozenset()
    """Empty: all."""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that strikes now."""

    kind: FaultKind
    value: str = ""

    @property
    def number(self) -> float:
        """The value as a number: seconds, a fraction or a status."""
        return float(self.value)


def parse_rule(text: str) -> FaultRule:
    """Return one rule.

    Raises:
        ConfigError: Not a rule.
    """
    match = _RULE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"{text.strip()!r} is no fault. Write `FAULT[:VALUE] P%|at N,N [on OPERATION, ...]`, "
            "for example `lose_reply 6% on place`."
        )
    kinds = {kind.value: kind for kind in FaultKind}
    if match["kind"] not in kinds:
        raise ConfigError(f"There is no fault {match['kind']!r}. {nearest(match['kind'], kinds)}")
    kind = kinds[match["kind"]]
    if kind in _NEEDS_VALUE and not match["value"]:
        raise ConfigError(f"Fault {kind.value!r} lacks {_NEEDS_VALUE[kind]}. Write `{kind.value}:VALUE`.")
    operations = frozenset(name.strip() for name in (match["on"] or "").split(",") if name.strip())
    for name in operations:
        if name not in OPERATIONS:
            raise ConfigError(f"There is no operation {name!r}. {nearest(name, OPERATIONS)}")
    return FaultRule(
        kind=kind,
        probability=float(match["chance"] or 0.0) / 100.0,
        at=frozenset(int(n) for n in (match["at"] or "").split(",") if n.strip()),
        operations=operations,
        value=match["value"] or "",
    )


class FaultScript:
    """Says at each step whether something goes wrong, and counts what did.

    Args:
        rules: In order of precedence; at most one strikes at a step.
        seed: Of the chances.
    """

    def __init__(self, rules: tuple[FaultRule, ...] = (), *, seed: int = 0) -> None:
        self.rules, self.seed = rules, seed
        self.hits: Counter[FaultKind] = Counter()
        self._counts = [0] * len(rules)

    @classmethod
    def parse(cls, text: str, *, seed: int = 0) -> "FaultScript":
        """Return the script that `text` describes.

        Raises:
            ConfigError: A line that is no rule.
        """
        lines = (line.split("#")[0].strip() for line in re.split(r"[;\n]", text))
        return cls(tuple(parse_rule(line) for line in lines if line), seed=seed)

    def draw(self, point: Point, operation: str) -> Fault | None:
        """Return the fault that strikes at this step, if any.

        Args:
            point: Where we are.
            operation: One of OPERATIONS.
        """
        struck: Fault | None = None
        for i, rule in enumerate(self.rules):
            if point_of(rule.kind) is not point or (rule.operations and operation not in rule.operations):
                continue
            self._counts[i] += 1
            if struck is None and (self._counts[i] in rule.at or self._chance(i) < rule.probability):
                struck = Fault(rule.kind, self._value(i))
        if struck is not None:
            self.hits[struck.kind] += 1
        return struck

    def _value(self, i: int) -> str:
        low, dash, high = self.rules[i].value.partition("-")
        if not dash:
            return low
        return f"{float(low) + (float(high) - float(low)) * self._chance(i, 'value'):.4f}"

    def _chance(self, rule: int, what: str = "") -> float:
        text = f"{self.seed}:{rule}:{self._counts[rule]}{what}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) / 2.0**64


def disturbed_lines(kind: FaultKind | None, line: bytes) -> list[bytes]:
    """Return what arrives in place of one line of a stream, piece by piece.

    Args:
        kind: What happens to it; None, or a fault of another kind: nothing.
        line: With its line feed.
    """
    half = len(line) // 2
    pieces = {
        FaultKind.STREAM_SPLIT: [line[:half], line[half:]],
        FaultKind.STREAM_GARBAGE: [b'{"type": "\xff\n', line],
        FaultKind.STREAM_DOUBLE: [line, line],
        FaultKind.STREAM_DROP: [],
    }
    return [line] if kind is None else pieces.get(kind, [line])
