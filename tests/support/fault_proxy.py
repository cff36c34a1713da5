"""A real proxy in front of a venue of ours: it forwards requests and disturbs them at the level of bytes.

Speaks the one fault language. The venue behind it is unchanged, so what it executed is what really happened.
"""

import asyncio
import json
from contextlib import suppress

import h11
import httpx

from tradesentry.core.broker.faults import FaultKind, FaultScript, Point, disturbed_lines

FOREVER_SECONDS = 1e6


class _Reset(Exception):
    """The connection is to be reset now."""


class FaultyProxy:
    """Forwards to `upstream` and counts the commands whose head arrived."""

    def __init__(self, upstream, clock, *, faults=None, hang_seconds=FOREVER_SECONDS):
        self._hang_seconds = hang_seconds
        self.upstream, self.clock, self.faults = upstream, clock, faults or FaultScript()
        self.n_commands, self.n_bytes, self.url = 0, 0, ""
        self.is_frozen = False
        """Bytes are read and nothing more happens, on every connection that was open or is opened meanwhile."""
        self.requests = []
        self._writers, self._tasks, self._server = set(), set(), None
        self._client = httpx.AsyncClient(timeout=None)

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self):
        """Stop listening and drop every connection; new ones are refused from then on."""
        self._server.close()
        self.drop_connections()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def drop_connections(self):
        """Reset what is open."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        self._writers.add(writer)
        connection = h11.Connection(h11.SERVER)
        try:
            while (request := await self._receive(connection, reader)) is not None:
                await self._forward(*request, connection, writer)
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        except (_Reset, ConnectionError, h11.ProtocolError, httpx.HTTPError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _receive(self, connection, reader):
        head, body = None, b""
        while True:
            event = connection.next_event()
            if event is not h11.NEED_DATA and self.is_frozen:
                await asyncio.sleep(FOREVER_SECONDS)
            if event is h11.NEED_DATA:
                data = await reader.read(65_536)
                self.n_bytes += len(data)
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return head, body
            else:
                return None

    async def _forward(self, head, body, connection, writer):
        target = head.target.decode()
        if "follow=" in target:
            return await self._stream(head, connection, writer)
        operation = "read"
        if head.method == b"POST":
            self.n_commands += 1
            operation = json.loads(body)["kind"]
            self.requests.append(json.loads(body))
        fault = self.faults.draw(Point.WIRE, operation)
        kind = fault.kind if fault else None
        if kind is FaultKind.RESET_BEFORE:
            raise _Reset
        if kind is FaultKind.STATUS:
            return await self._write(connection, writer, int(fault.number), b"{}")
        if kind is FaultKind.LATE:
            self._keep(asyncio.create_task(self._later(head, body, fault.number)))
            await self._hang()
        answer = await self._ask(head, body)
        if kind is FaultKind.LOSE_REPLY:
            raise _Reset
        if kind is FaultKind.NO_REPLY:
            await self._hang()
        if kind is FaultKind.SLOW:
            await self.clock.sleep(fault.number)
        status = int(fault.number) if kind is FaultKind.STATUS_AFTER else answer.status_code
        content = answer.content
        if target.startswith("/v1/events"):
            content = self._disturbed_page(content)
        return await self._write(connection, writer, status, content, kind)

    async def _hang(self):
        """Say nothing for as long as a wire may, then break."""
        await self.clock.sleep(self._hang_seconds)
        raise _Reset

    async def _ask(self, head, body):
        headers = {bytes(name).decode(): bytes(value).decode() for name, value in head.headers}
        headers.pop("host", None)
        target = f"{self.upstream}{head.target.decode()}"
        return await self._client.request(head.method.decode(), target, content=body, headers=headers)

    async def _later(self, head, body, seconds):
        await self.clock.sleep(seconds)
        with suppress(httpx.HTTPError):
            await self._ask(head, body)

    def _disturbed_page(self, content):
        fault = self.faults.draw(Point.PAGE, "events")
        said = json.loads(content)
        rows = said.get("events", [])
        kind = fault.kind if fault else None
        if kind is FaultKind.PAGE_REPEATED:
            said["events"] = rows + rows
        elif kind is FaultKind.PAGE_REVERSED:
            said["events"] = rows[::-1]
        elif kind is FaultKind.PAGE_INCOMPLETE and rows:
            del rows[len(rows) // 2]
        elif kind is FaultKind.PAGE_DROPPED:
            said["events"] = []
        elif kind is FaultKind.PAGE_AHEAD:
            said["last_seq"] += 1
        return json.dumps(said).encode()

    async def _write(self, connection, writer, status, body, kind=None):
        body = b"<html>not json</html>" if kind is FaultKind.NOT_JSON else body
        content = "text/html" if kind is FaultKind.WRONG_TYPE else "application/json"
        headers = [("Content-Type", content), ("Content-Length", str(len(body)))]
        data = connection.send(h11.Response(status_code=status, headers=headers))
        if kind is FaultKind.TRUNCATED:
            writer.write(data + body[: len(body) // 2])
            await writer.drain()
            raise _Reset
        data += connection.send(h11.Data(data=body))
        data += connection.send(h11.EndOfMessage()) or b""
        writer.write(data * 2 if kind is FaultKind.DOUBLE_REPLY else data)
        await writer.drain()

    async def _stream(self, head, connection, writer):
        kind = "events" if b"/events" in head.target else "quotes"
        headers = {"Authorization": dict(head.headers)[b"authorization"].decode()}
        async with self._client.stream("GET", f"{self.upstream}{head.target.decode()}", headers=headers) as answer:
            said = [("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")]
            writer.write(connection.send(h11.Response(status_code=answer.status_code, headers=said)))
            async for line in answer.aiter_lines():
                await self._write_line(kind, line.encode() + b"\n", connection, writer)

    async def _write_line(self, stream, line, connection, writer):
        is_news = json.loads(line).get("type") in ("event", "tick")
        fault = self.faults.draw(Point.STREAM, stream) if is_news else None
        kind = fault.kind if fault else None
        if kind is FaultKind.STREAM_CLOSED:
            raise _Reset
        if kind is FaultKind.STREAM_STALL:
            await self._hang()
        for part in disturbed_lines(kind, line):
            writer.write(connection.send(h11.Data(data=part)))
            await writer.drain()
            await asyncio.sleep(0)

    def _keep(self, task):
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
