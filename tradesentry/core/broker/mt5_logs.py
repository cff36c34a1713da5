"""The two files beside a terminal: what became of each command, and the numbered events of the account.

A terminal has neither idempotency nor events; these files give it both. They are not the journal: they make repeated
commands questions and numbers gap-free, and may be lost without losing money (a lost event log is a new `log_id`).
One JSON line per row with its checksum, synced before anybody acts on it. A torn last line never happened; a damaged
line before it means that the file cannot be trusted.
"""

import contextlib
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from tradesentry.core.broker.base_broker import Accepted, EventPage, NotSent, Outcome, Unknown, is_contiguous
from tradesentry.core.broker.mt5_words import Kind
from tradesentry.core.broker.port_json import Json, outcome_from_json, outcome_to_json
from tradesentry.core.domain.errors import BrokerError, BrokerProtocolError
from tradesentry.core.domain.events import BrokerEvent, EventKind

DAY_NS: Final = 86_400 * 1_000_000_000
KEEP_NS: Final = 30 * DAY_NS
"""How long outcomes are kept."""
PAGE: Final = 1_000


def _line(row: Mapping[str, Any]) -> bytes:
    body = json.dumps(row, separators=(",", ":"), sort_keys=True)
    return f'{{"crc":"{zlib.crc32(body.encode()):08x}","row":{body}}}\n'.encode()


def _row(line: bytes) -> Json | None:
    """Return the row of a whole and undamaged line."""
    try:
        said = json.loads(line)
        row: Json = said["row"]
    except (ValueError, KeyError, TypeError):
        return None
    return row if line.endswith(b"\n") and _line(row) == line else None


def _lock(file: IO[bytes], path: Path) -> None:
    """Take the file for this process alone, until it is closed."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise BrokerError(
            f"{path} is in use by another process, which therefore drives this terminal. Stop it first.",
            code="terminal_in_use",
            retry="never",
        ) from error


class LineFile:
    """Rows on disk, appended and synced.

    Args:
        path: Of the file; made when absent.

    Raises:
        BrokerError: Another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._guard = path.with_suffix(".lock").open("ab")
        try:
            _lock(self._guard, path)
        except BrokerError:
            self._guard.close()
            raise
        self.rows, self.is_damaged = self._read()
        self._file = path.open("ab")

    def _read(self) -> tuple[list[Json], bool]:
        """Return the rows before the first line that is not whole, and whether others follow it; cut a torn end off."""
        rows: list[Json] = []
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        for i, line in enumerate(lines):
            row = _row(line)
            if row is None:
                if i < len(lines) - 1:
                    return rows, True
                with self.path.open("r+b") as file:
                    file.truncate(sum(map(len, lines[:i])))
                break
            rows.append(row)
        return rows, False

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Write rows and sync them: they survive a power cut when this returns, and were not written when it raises."""
        end = os.fstat(self._file.fileno()).st_size
        try:
            self._file.write(b"".join(_line(row) for row in rows))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self._start_over(end)
            raise

    def _start_over(self, end: int) -> None:
        """Drop what a failed write has left, in the buffer and on disk."""
        with contextlib.suppress(OSError):
            self._file.close()
        with self.path.open("r+b") as file:
            file.truncate(end)
        self._file = self.path.open("ab")

    def rewrite(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put `rows` in place of everything, at once or not at all."""
        self._file.close()
        new = self.path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(b"".join(_line(row) for row in rows))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        self._file = self.path.open("ab")

    def close(self) -> None:
        """Close the file and let others have it."""
        self._file.close()
        self._guard.close()


@dataclass(frozen=True, slots=True)
class CommandKey:
    """Names one attempt of one command; the same key is the same command."""

    client_order_id: str
    kind: Kind
    attempt: int


@dataclass(slots=True)
class _Command:
    at_ns: int
    epoch: int
    request: Json
    outcome: Outcome | None = None


class OutcomeLog:
    """What became of each command.

    Args:
        path: Of the file.
        now_ns: Rows older than `KEEP_NS` before it are dropped.

    Raises:
        BrokerError: Another process holds the file, or it is damaged.
    """

    def __init__(self, path: Path, *, now_ns: int) -> None:
        self._file = LineFile(path)
        if self._file.is_damaged:
            self._file.close()
            raise BrokerProtocolError(
                f"{path} is damaged before its last line, so commands could be sent twice. Move it away after checking "
                "at the terminal that no command of the last minutes is missing from the journal.",
                code="outcome_log_damaged",
                retry="never",
            )
        self.epoch = 0
        """Highest seen."""
        self._commands: dict[CommandKey, _Command] = {}
        self._by_order: dict[str, list[CommandKey]] = {}
        for row in self._file.rows:
            self._remember(row)
        self._file.rows.clear()
        self._compacted_ns = now_ns
        self._compact(now_ns)

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest command that is kept was sent."""
        return min((command.at_ns for command in self._commands.values()), default=None)

    def sending(self, key: CommandKey, request: Json, *, epoch: int, at_ns: int) -> None:
        """Store that a request is about to be sent; when this returns it is on disk."""
        if at_ns >= self._compacted_ns + DAY_NS:
            self._compact(at_ns)
        self._write(_sent(key, request, epoch=epoch, at_ns=at_ns))

    def ended(self, key: CommandKey, outcome: Outcome, *, at_ns: int) -> None:
        """Store what became of a command."""
        self._write(_done(key, outcome, epoch=self.epoch, at_ns=at_ns))

    def saw_epoch(self, epoch: int, *, at_ns: int) -> None:
        """Store a higher epoch than seen before."""
        if epoch > self.epoch:
            self._write({"phase": "epoch", "at_ns": at_ns, "epoch": epoch})

    def outcome(self, key: CommandKey) -> Outcome | None:
        """Return what became of a command: `Unknown` while that is not known, None when it was never sent."""
        command = self._commands.get(key)
        if command is None:
            return None
        return command.outcome or Unknown("no_outcome", command.at_ns)

    def sent_at(self, client_order_id: str) -> int | None:
        """Return when the first command with this id was sent."""
        keys = self._by_order.get(client_order_id, ())
        return min((self._commands[key].at_ns for key in keys), default=None)

    def open_placements(self, client_order_id: str) -> list[CommandKey]:
        """Return the placements of an order that were executed or may have been."""
        keys = (key for key in self._by_order.get(client_order_id, ()) if key.kind == "place")
        return [key for key in keys if isinstance(self.outcome(key), (Accepted, Unknown))]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _compact(self, now_ns: int) -> None:
        """Forget commands that are older than `KEEP_NS`, on disk as well."""
        self._compacted_ns = now_ns
        old = [key for key, command in self._commands.items() if command.at_ns < now_ns - KEEP_NS]
        if not old:
            return
        for key in old:
            self._forget(key)
        rows: list[Json] = [{"phase": "epoch", "at_ns": now_ns, "epoch": self.epoch}]
        for key, command in self._commands.items():
            rows.append(_sent(key, command.request, epoch=command.epoch, at_ns=command.at_ns))
            if command.outcome is not None:
                rows.append(_done(key, command.outcome, epoch=command.epoch, at_ns=command.at_ns))
        self._file.rewrite(rows)

    def _forget(self, key: CommandKey) -> None:
        del self._commands[key]
        keys = self._by_order[key.client_order_id]
        keys.remove(key)
        if not keys:
            del self._by_order[key.client_order_id]

    def _write(self, row: Json) -> None:
        self._file.append(row)
        self._remember(row)

    def _remember(self, row: Json) -> None:
        self.epoch = max(self.epoch, int(row["epoch"]))
        if row["phase"] == "epoch":
            return
        key = CommandKey(row["id"], row["kind"], row["attempt"])
        if row["phase"] == "sent":
            # A second filling mode is a second request of the same attempt; the first was refused for certain.
            self._commands[key] = _Command(row["at_ns"], row["epoch"], row["request"])
            keys = self._by_order.setdefault(key.client_order_id, [])
            if key not in keys:
                keys.append(key)
        elif key in self._commands:
            outcome = outcome_from_json(row["outcome"])
            if isinstance(outcome, NotSent):
                # Stopped between the row and the first byte: the key may be used again.
                self._forget(key)
            else:
                self._commands[key].outcome = outcome


def _sent(key: CommandKey, request: Json, *, epoch: int, at_ns: int) -> Json:
    return {"phase": "sent", "at_ns": at_ns, "epoch": epoch, **_names(key), "request": request}


def _done(key: CommandKey, outcome: Outcome, *, epoch: int, at_ns: int) -> Json:
    return {"phase": "done", "at_ns": at_ns, "epoch": epoch, **_names(key), "outcome": outcome_to_json(outcome)}


def _names(key: CommandKey) -> Json:
    return {"id": key.client_order_id, "kind": key.kind, "attempt": key.attempt}


class EventLog:
    """The numbered events of an account.

    Args:
        path: Of the file.
        account: Login.
        now_ns: When this is.
        new_log_id: Names a new log.
        baseline: What the terminal shows when a log begins; called only then.

    Raises:
        BrokerError: Another process holds the file, or it belongs to another account.
    """

    def __init__(
        self, path: Path, *, account: str, now_ns: int, new_log_id: Callable[[], str], baseline: Callable[[], Json]
    ) -> None:
        self._file = LineFile(path)
        rows = self._file.rows
        self.is_new = not rows or self._file.is_damaged
        try:
            if self.is_new:
                head: Json = {"log_id": new_log_id(), "account": account, "born_ns": now_ns, "baseline": baseline()}
                self._file.rewrite([head])
                rows = [head]
            elif rows[0]["account"] != account:
                raise BrokerError(
                    f"{path} holds the events of another account. Give each account a folder of its own.",
                    code="account_mismatch",
                    retry="never",
                )
        except BaseException:
            self._file.close()
            raise
        self.account, self.log_id = account, str(rows[0]["log_id"])
        self.born_ns, self.baseline = int(rows[0]["born_ns"]), rows[0]["baseline"]
        self._events = [self._event(row) for row in rows[1:]]
        self._file.rows = []

    @property
    def last_seq(self) -> int:
        """Newest number."""
        return len(self._events)

    @property
    def events(self) -> Sequence[BrokerEvent]:
        """All events, oldest first."""
        return self._events

    def add(self, rows: Sequence[tuple[EventKind, int, Json]], *, now_ns: int) -> tuple[BrokerEvent, ...]:
        """Number events and store them; when this returns they are on disk.

        Args:
            rows: Kind, time (ns UTC) and payload of each, oldest first.
            now_ns: When they were noticed.
        """
        if not rows:
            return ()
        written = [
            {"seq": seq, "kind": kind.value, "ts_ns": ts_ns, "received_ts_ns": now_ns, "payload": payload}
            for seq, (kind, ts_ns, payload) in enumerate(rows, self.last_seq + 1)
        ]
        self._file.append(*written)
        events = tuple(self._event(row) for row in written)
        self._events.extend(events)
        return events

    def page(self, after: int, *, limit: int = PAGE) -> EventPage:
        """Return at most `limit` events with a higher number."""
        # The owner thread may add events meanwhile; one page has one end.
        last_seq = self.last_seq
        events = tuple(self._events[after : min(after + limit, last_seq)])
        is_complete = is_contiguous(events, after=after, last_seq=last_seq)
        return EventPage(events, last_seq, self.log_id, is_complete)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _event(self, row: Mapping[str, Any]) -> BrokerEvent:
        return BrokerEvent(
            account=self.account,
            log_id=self.log_id,
            seq=row["seq"],
            kind=EventKind(row["kind"]),
            payload=row["payload"],
            ts_ns=row["ts_ns"],
            received_ts_ns=row["received_ts_ns"],
        )
