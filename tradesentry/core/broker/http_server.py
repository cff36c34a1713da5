"""A small HTTP/1.1 server for venues of ours: JSON answers and streams of JSON lines, behind a bearer token.

asyncio and h11, as in the fake OANDA, because the gateway runs beside a terminal on a trading host and should bring as
little as possible along. It knows nothing of what is served. A request is answered or the connection is closed; nothing
is queued without a bound.
"""

import asyncio
import hmac
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from tradesentry.core.domain.errors import ConfigError

MAX_BODY_BYTES: Final = 1_000_000
MAX_CONNECTIONS: Final = 64
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Request:
    """A request that bears the token."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One JSON object."""

    status: int
    body: Mapping[str, Any]


Lines: TypeAlias = AsyncGenerator[Mapping[str, Any], None]
Handler: TypeAlias = Callable[[Request], Awaitable["Answer | Lines"]]


class HttpServer:
    """Serves one handler.

    Args:
        handler: Answers a request by an object, or by lines that are streamed until the client leaves.
        token: That requests have to bear.
        host: Address to listen on.
        port: Of the address; 0 takes a free one.
        tls: Certificate; needed beyond loopback.

    Raises:
        ConfigError: An address beyond loopback without TLS, or an empty token.
    """

    def __init__(
        self, handler: Handler, *, token: str, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        if len(token) < 16:
            raise ConfigError("The token is shorter than 16 characters, so it can be guessed. Make a longer one.")
        if host not in LOOPBACK and tls is None:
            raise ConfigError(
                f"{host} is reachable by others, so its traffic must be encrypted. Give --certificate and --key, or "
                "listen on 127.0.0.1 and let a tunnel carry it."
            )
        self.url = ""
        self._handler, self._token, self._address, self._tls = handler, token, (host, port), tls
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address is taken.
        """
        self._server = await asyncio.start_server(self._serve, *self._address, ssl=self._tls)
        host, port = self._server.sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'http' if self._tls is None else 'https'}://{shown}:{port}"

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._connections):
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._tasks.add(task)
        self._connections.add(writer)
        connection = h11.Connection(h11.SERVER)
        try:
            while True:
                request = await _receive(connection, reader, self._token)
                if request is None:
                    break
                await self._answer(request, connection, writer)
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        except (ConnectionError, h11.ProtocolError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            self._connections.discard(writer)
            writer.close()

    async def _answer(
        self, request: "Request | Answer", connection: h11.Connection, writer: asyncio.StreamWriter
    ) -> None:
        said = request if isinstance(request, Answer) else await self._handler(request)
        if isinstance(said, Answer):
            body = json.dumps(said.body).encode()
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            _write(connection, writer, h11.Response(status_code=said.status, headers=headers))
            _write(connection, writer, h11.Data(data=body))
            _write(connection, writer, h11.EndOfMessage())
            await writer.drain()
            return
        headers = [("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")]
        _write(connection, writer, h11.Response(status_code=200, headers=headers))
        async with aclosing(said) as lines:
            async for line in lines:
                _write(connection, writer, h11.Data(data=json.dumps(line).encode() + b"\n"))
                await writer.drain()
        _write(connection, writer, h11.EndOfMessage())
        await writer.drain()


def _write(connection: h11.Connection, writer: asyncio.StreamWriter, event: h11.Event) -> None:
    writer.write(connection.send(event) or b"")


async def _receive(connection: h11.Connection, reader: asyncio.StreamReader, token: str) -> "Request | Answer | None":
    """Return the next request, the answer to one that is not allowed, or None when the client has left."""
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
            if len(body) > MAX_BODY_BYTES:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return _parsed(head, body, token)
        else:
            return None


def _parsed(head: h11.Request, body: bytes, token: str) -> "Request | Answer":
    headers = {bytes(name).lower(): bytes(value) for name, value in head.headers}
    given = headers.get(b"authorization", b"")
    if not hmac.compare_digest(given, f"Bearer {token}".encode()):
        return Answer(401, {"code": "unauthorized", "errorMessage": "The token is missing or wrong."})
    try:
        said = json.loads(body) if body else {}
    except ValueError:
        said = None
    if not isinstance(said, dict):
        return Answer(400, {"code": "bad_request", "errorMessage": "The body is no JSON object."})
    url = urlsplit(bytes(head.target).decode("ascii", "replace"))
    return Request(bytes(head.method).decode(), unquote(url.path), dict(parse_qsl(url.query)), said)
