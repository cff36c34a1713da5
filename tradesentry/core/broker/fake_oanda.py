"""A fake OANDA: a real HTTP server on loopback over a paper account, with faults at the level of bytes.

REST, the transaction stream and the pricing stream. asyncio and h11 instead of a framework, because a fault has to
reset a connection between two bytes. It never makes up for a client: the same request twice is executed twice.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from tradesentry.core.broker.fake_oanda_api import Answer, History, OandaApi, price_json
from tradesentry.core.broker.fake_oanda_messages import transaction_json
from tradesentry.core.broker.faults import Fault, FaultKind, FaultScript, Point, disturbed_lines
from tradesentry.core.broker.paper_ledger import Transaction
from tradesentry.core.broker.paper_venue import PaperVenue
from tradesentry.core.domain.clock import Clock, format_time
from tradesentry.core.domain.venue import Quote

HEARTBEAT_SECONDS: Final = 5.0
FOREVER_SECONDS: Final = 1e6


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any] | None
    is_authorized: bool
    token: str
    """Names who asks, where several clients share an account."""


class _Reset(Exception):
    """The connection is to be reset now."""


class FakeOanda:
    """One account behind HTTP.

    Args:
        venue: The account.
        clock: For heartbeats and delays.
        faults: What goes wrong on the wire.
        token: That requests have to bear.
        history: Bars for candles.
        heartbeat_seconds: Between two signs of life of a stream.
    """

    def __init__(
        self,
        venue: PaperVenue,
        clock: Clock,
        *,
        faults: FaultScript | None = None,
        token: str = "token",  # noqa: S107 - of the fake
        history: History | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._heartbeat_seconds = heartbeat_seconds
        self.venue, self.faults = venue, faults or FaultScript()
        self.n_commands = 0
        """Mutating requests whose head arrived."""
        self.n_bytes = 0
        self.requests: list[tuple[str, str, Mapping[str, Any] | None]] = []
        """Mutating requests: method, path below the account, body if there was one."""
        self.url = ""
        self.is_frozen = False
        """Half-open: requests are read and neither executed nor answered, on whatever connection they come."""
        self._api, self._clock, self._token = OandaApi(venue, history), clock, token
        self.account_fields = self._api.account_fields
        self._streams: Counter[str] = Counter()
        self._prices: list[asyncio.Queue[dict[str, Any]]] = []
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, *, port: int = 0) -> None:
        """Listen on `port` of loopback, a free one when 0."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Stop listening and drop every connection; new ones are refused from then on."""
        if self._server is not None:
            self._server.close()
        self.drop_connections()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_connections(self) -> None:
        """Reset every connection and go on listening."""
        for writer in tuple(self._connections):
            writer.transport.abort()

    def show(self, quote: Quote) -> list[Transaction]:
        """Bring a price to the account and to the pricing streams."""
        transactions = self.venue.on_quote(quote)
        said = price_json(self.venue.instruments[quote.symbol], quote)
        for queue in self._prices:
            queue.put_nowait(said)
        return transactions

    def n_streams(self, kind: str) -> int:
        """Return how many streams of `events` or `quotes` are open."""
        return self._streams[kind]

    # Connections

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - inside a task
        self._tasks.add(task)
        self._connections.add(writer)
        connection = h11.Connection(h11.SERVER)
        try:
            while True:
                request = await self._receive(connection, reader)
                if request is None:
                    break
                if self.is_frozen:
                    await self._clock.sleep(FOREVER_SECONDS)
                await self._handle(request, connection, writer)
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        except (_Reset, ConnectionError, h11.ProtocolError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            self._connections.discard(writer)
            writer.close()

    async def _receive(self, connection: h11.Connection, reader: asyncio.StreamReader) -> _Request | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65_536)
                self.n_bytes += len(data)
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return self._parsed(head, body)
            else:
                return None

    def _parsed(self, head: h11.Request, body: bytes) -> _Request:
        url = urlsplit(head.target.decode())
        headers = {name.decode().lower(): value.decode() for name, value in head.headers}
        try:
            said = json.loads(body) if body else None
        except json.JSONDecodeError:
            said = {}
        token = headers.get("authorization", "").removeprefix("Bearer ")
        prefix = f"/v3/accounts/{self.venue.account}"
        path = unquote(url.path)
        is_ours = path == prefix or path.startswith(f"{prefix}/")
        below = path[len(prefix) :] if is_ours else f"!{path}"
        is_authorized = self._knows(token)
        return _Request(head.method.decode(), below, dict(parse_qsl(url.query)), said, is_authorized, token)

    def _knows(self, token: str) -> bool:
        return token == self._token

    # Requests

    async def _handle(self, request: _Request, connection: h11.Connection, writer: asyncio.StreamWriter) -> None:
        if not request.is_authorized:
            return await self._write(connection, writer, (401, {"errorMessage": "Insufficient authorization"}))
        if request.path.startswith("!"):
            return await self._write(connection, writer, (403, {"errorMessage": "Forbidden"}))
        if request.path.endswith("/stream"):
            return await self._stream(request, connection, writer)
        operation = _operation(request)
        if request.method != "GET":
            self.n_commands += 1
            self.requests.append((request.method, request.path, request.body))
        fault = self.faults.draw(Point.WIRE, operation)
        return await self._answer(request, fault, connection, writer)

    async def _answer(
        self, request: _Request, fault: Fault | None, connection: h11.Connection, writer: asyncio.StreamWriter
    ) -> None:
        kind = fault.kind if fault else None
        if kind is FaultKind.RESET_BEFORE:
            raise _Reset
        if kind is FaultKind.STATUS and fault is not None:
            return await self._write(connection, writer, (int(fault.number), {"errorMessage": "fault"}))
        if kind is FaultKind.LATE and fault is not None:
            self._keep(asyncio.create_task(self._execute_later(request, fault.number)))
            await self._clock.sleep(FOREVER_SECONDS)
        answer = self._execute(request)
        if kind is FaultKind.LOSE_REPLY:
            raise _Reset
        if kind is FaultKind.NO_REPLY:
            await self._clock.sleep(FOREVER_SECONDS)
        if kind is FaultKind.SLOW and fault is not None:
            await self._clock.sleep(fault.number)
        if kind is FaultKind.STATUS_AFTER and fault is not None:
            answer = (int(fault.number), {"errorMessage": "fault"})
        return await self._write(connection, writer, answer, kind)

    def _execute(self, request: _Request) -> Answer:
        self.venue.now_ns = max(self.venue.now_ns, self._clock.now_ns())
        status, said = self._api.answer(request.method, request.path, request.query, request.body or {})
        if request.path == "/transactions/sinceid" and status == 200:
            said = self._disturbed_page(said)
        return status, said

    async def _execute_later(self, request: _Request, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._execute(request)

    def _disturbed_page(self, said: dict[str, Any]) -> dict[str, Any]:
        fault = self.faults.draw(Point.PAGE, "events")
        kind = fault.kind if fault else None
        rows = list(said["transactions"])
        if kind is FaultKind.PAGE_REPEATED:
            rows = rows + rows
        elif kind is FaultKind.PAGE_REVERSED:
            rows.reverse()
        elif kind is FaultKind.PAGE_INCOMPLETE and rows:
            del rows[len(rows) // 2]
        elif kind is FaultKind.PAGE_DROPPED:
            rows = []
        elif kind is FaultKind.PAGE_AHEAD:
            said = said | {"lastTransactionID": str(int(said["lastTransactionID"]) + 1)}
        return said | {"transactions": rows}

    async def _write(
        self, connection: h11.Connection, writer: asyncio.StreamWriter, answer: Answer, kind: FaultKind | None = None
    ) -> None:
        status, said = answer
        body = b"<html>not json</html>" if kind is FaultKind.NOT_JSON else json.dumps(said).encode()
        content = "text/html" if kind is FaultKind.WRONG_TYPE else "application/json"
        headers = [("Content-Type", content), ("Content-Length", str(len(body)))]
        data = connection.send(h11.Response(status_code=status, headers=headers)) or b""
        if kind is FaultKind.TRUNCATED:
            writer.write(data + body[: len(body) // 2])
            await writer.drain()
            raise _Reset
        data += connection.send(h11.Data(data=body)) or b""
        data += connection.send(h11.EndOfMessage()) or b""
        writer.write(data * 2 if kind is FaultKind.DOUBLE_REPLY else data)
        await writer.drain()

    # Streams

    async def _stream(self, request: _Request, connection: h11.Connection, writer: asyncio.StreamWriter) -> None:
        kind = "quotes" if request.path.startswith("/pricing") else "events"
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def listen(transaction: Transaction) -> None:
            queue.put_nowait(transaction_json(self.venue, transaction))

        headers = [("Content-Type", "application/octet-stream"), ("Transfer-Encoding", "chunked")]
        writer.write(connection.send(h11.Response(status_code=200, headers=headers)) or b"")
        beat = asyncio.create_task(self._beat(kind, queue))
        if kind == "events":
            self.venue.listeners.append(listen)
        else:
            self._prices.append(queue)
        self._streams[kind] += 1
        try:
            while True:
                said = await queue.get()
                await self._write_line(kind, said, request.query, connection, writer)
        finally:
            beat.cancel()
            self._streams[kind] -= 1
            if kind == "events":
                self.venue.listeners.remove(listen)
            else:
                self._prices.remove(queue)

    async def _beat(self, kind: str, queue: "asyncio.Queue[dict[str, Any]]") -> None:
        while True:
            said: dict[str, Any] = {"type": "HEARTBEAT", "time": format_time(self._clock.now_ns())}
            if kind == "events":
                said["lastTransactionID"] = str(self.venue.last_seq)
            queue.put_nowait(said)
            await self._clock.sleep(self._heartbeat_seconds)

    async def _write_line(
        self,
        stream: str,
        said: dict[str, Any],
        query: Mapping[str, str],
        connection: h11.Connection,
        writer: asyncio.StreamWriter,
    ) -> None:
        if "instrument" in said and stream == "quotes" and said["instrument"] not in query["instruments"].split(","):
            return
        is_beat = said["type"] == "HEARTBEAT"
        fault = None if is_beat else self.faults.draw(Point.STREAM, stream)
        kind = fault.kind if fault else None
        line = json.dumps(said).encode() + b"\n"
        if kind is FaultKind.STREAM_CLOSED:
            raise _Reset
        if kind is FaultKind.STREAM_STALL:
            await self._clock.sleep(FOREVER_SECONDS)
        for part in disturbed_lines(kind, line):
            writer.write(connection.send(h11.Data(data=part)) or b"")
            await writer.drain()
            await asyncio.sleep(0)

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _operation(request: _Request) -> str:
    if request.method == "GET":
        return "read"
    if request.method == "POST":
        return "place"
    last = request.path.rsplit("/", 1)[-1]
    return {"cancel": "cancel", "close": "close", "orders": "protect"}.get(last, "replace")
