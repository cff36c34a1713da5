"""Speak HTTP with a venue: reads that raise, commands that are sent once, streams that notice their own death.

A command's fate is told apart by what has left the machine, seen at the connection itself: until the first byte of the
request is written any failure is `NotSent`, afterwards any failure is `Unknown`. Nothing here is ever sent twice;
httpx with `retries=0` does not resend, which others do. A connection on which a reply came twice is not used again.
"""

import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import httpx

from tradesentry.core.broker.base_broker import NotSent, Unknown
from tradesentry.core.domain.clock import Clock, within
from tradesentry.core.domain.errors import (
    BrokerAuthError,
    BrokerError,
    BrokerProtocolError,
    BrokerRateLimited,
    BrokerUnavailable,
)
from tradesentry.core.utils.crash_points import crash_point

WIRE_ERRORS: Final = (httpx.HTTPError, httpx.StreamError, OSError, TimeoutError)
FIRST_BYTE: Final = "send_request_headers.started"
BODY: Final = "send_request_body.started"
"""The body is a write of its own: a process that was stopped between the two must not complete the request."""
CONNECTING: Final = "connect_tcp.started"
AWAITING: Final = "receive_response_headers.started"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that could be read."""

    status: int
    body: Mapping[str, Any]


class ConnectPacer:
    """Lets new connections be made no faster than a venue allows; those that are open are used as before.

    Args:
        clock: Time.
        per_second: New connections; None any.
    """

    def __init__(self, clock: Clock, per_second: float | None) -> None:
        self._clock, self._per_second, self._next_at = clock, per_second, 0.0

    async def trace(self, name: str, _info: Mapping[str, Any]) -> None:
        """Wait for a turn when a connection is about to be made; a hook of httpcore."""
        if self._per_second is None or not name.endswith(CONNECTING):
            return
        now = self._clock.monotonic()
        at = max(now, self._next_at)
        self._next_at = at + 1.0 / self._per_second
        if at > now:
            await self._clock.sleep(at - now)


class HttpClient:
    """One account's connections.

    Args:
        venue: Its name, for messages.
        base_url: Of the REST host.
        stream_url: Of the stream host.
        headers: Of every request, the authorization among them.
        clock: For deadlines and silence.
        timeout_seconds: How long a reply is awaited.
        dead_seconds: Silence after which a stream counts as dead, by stream.
        tls: Whom to trust, where the machine's own list is not meant.
        connects_per_second: New connections that the venue allows; None any.
    """

    def __init__(
        self,
        venue: str,
        *,
        base_url: str,
        stream_url: str,
        headers: Mapping[str, str],
        clock: Clock,
        timeout_seconds: float = 10.0,
        dead_seconds: Mapping[str, float] | None = None,
        tls: ssl.SSLContext | None = None,
        connects_per_second: float | None = None,
    ) -> None:
        self._pacer = ConnectPacer(clock, connects_per_second)
        self._venue, self._clock, self._timeout_seconds = venue, clock, timeout_seconds
        self._dead_seconds = dead_seconds or {"quotes": 10.0, "events": 20.0}
        self.heard_at: dict[str, float] = {}
        """When each stream last said anything, monotonic seconds."""
        # A request waits for the connection it was given: where connections are slow to come, few serve sooner.
        most = 20 if connects_per_second is None else 6
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=30.0)
        self._rest = _client(base_url, headers, limits, tls)
        self._streams = _client(stream_url, headers, limits, tls)

    async def close(self) -> None:
        """Close all connections."""
        await self._rest.aclose()
        await self._streams.aclose()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Return the JSON object behind `path`.

        Raises:
            BrokerAuthError: 401 or 403.
            BrokerRateLimited: 429.
            BrokerProtocolError: 416, or no JSON object.
            BrokerUnavailable: Anything else.
        """
        if self._rest.is_closed:
            raise BrokerUnavailable(f"{_shown(path)} was not read: the connections of this account were closed.")
        request = self._rest.build_request("GET", path, params=params, extensions={"trace": self._pacer.trace})
        try:
            response = await within(self._clock, self._timeout_seconds, self._rest.send(request))
            await _end_talkative(self._rest)
        except WIRE_ERRORS as error:
            raise BrokerUnavailable(
                f"{self._venue} could not be read at {_shown(path)}: {_text(error)}. Nothing was changed; try again."
            ) from error
        if response.status_code != 200:
            raise _failure(response, path, self._venue)
        return _object(response, path, self._venue)

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, deadline: float
    ) -> Reply | NotSent | Unknown:
        """Send a command once and return the answer, or what is known when there is none.

        Args:
            method: POST or PUT.
            path: Of the resource.
            body: JSON object; None sends none.
            deadline: Monotonic seconds after which the connection is closed.
        """
        if self._rest.is_closed:
            return NotSent("closed", "The connections of this account were closed.")
        sent_at: list[int] = []

        async def trace(name: str, info: Mapping[str, Any]) -> None:
            await self._pacer.trace(name, info)
            if name.endswith((FIRST_BYTE, BODY)) and self._clock.monotonic() >= deadline:
                raise TimeoutError
            if name.endswith(FIRST_BYTE):
                sent_at.append(self._clock.now_ns())
            elif name.endswith(AWAITING):
                crash_point("before_reply")

        seconds = min(self._timeout_seconds, deadline - self._clock.monotonic())
        request = self._rest.build_request(method, path, json=body, extensions={"trace": trace})
        try:
            response = await within(self._clock, seconds, self._rest.send(request))
            await _end_talkative(self._rest)
        except WIRE_ERRORS as error:
            return Unknown(_text(error), sent_at[0]) if sent_at else NotSent(_text(error), f"{method} {_shown(path)}")
        sent_ts_ns = sent_at[0] if sent_at else self._clock.now_ns()
        if response.status_code >= 500:
            return Unknown(f"status_{response.status_code}", sent_ts_ns)
        try:
            return Reply(response.status_code, _object(response, path, self._venue))
        except BrokerProtocolError:
            return Reply(429, {}) if response.status_code == 429 else Unknown("unreadable_reply", sent_ts_ns)

    @asynccontextmanager
    async def stream(
        self, kind: str, path: str, params: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """Open a stream; iterate over its objects. Lines that are no JSON object are skipped.

        Raises:
            BrokerError: It cannot be opened, ends, or was silent for too long.
        """
        try:
            hook = {"trace": self._pacer.trace}
            request = self._streams.build_request("GET", path, params=params, extensions=hook)
            response = await within(self._clock, self._timeout_seconds, self._streams.send(request, stream=True))
        except WIRE_ERRORS as error:
            raise BrokerUnavailable(f"{self._venue}'s {kind} stream cannot be opened: {_text(error)}.") from error
        try:
            if response.status_code != 200:
                await response.aread()
                raise _failure(response, path, self._venue)
            yield self._objects(kind, response)
        finally:
            await response.aclose()

    async def _objects(self, kind: str, response: httpx.Response) -> AsyncIterator[Mapping[str, Any]]:
        lines = response.aiter_lines()

        async def next_line() -> str:
            return await anext(lines)

        while True:
            try:
                line = await within(self._clock, self._dead_seconds[kind], next_line())
            except StopAsyncIteration:
                raise BrokerUnavailable(f"{self._venue} ended the {kind} stream.", code="stream_closed") from None
            except TimeoutError as error:
                raise BrokerUnavailable(
                    f"{self._venue}'s {kind} stream was silent for {self._dead_seconds[kind]:g} s.",
                    code="stream_stalled",
                ) from error
            except WIRE_ERRORS as error:
                raise BrokerUnavailable(
                    f"{self._venue}'s {kind} stream broke: {_text(error)}.", code="stream_closed"
                ) from error
            self.heard_at[kind] = self._clock.monotonic()
            try:
                said = json.loads(line) if line.strip() else None
            except json.JSONDecodeError:
                continue
            if isinstance(said, dict):
                yield said


@cache
def _certificates() -> ssl.SSLContext:
    """Return the one context of this process: reading the certificates takes 0.1 s, in which no other account moves."""
    return httpx.create_ssl_context()


def _client(
    url: str, headers: Mapping[str, str], limits: httpx.Limits, tls: ssl.SSLContext | None
) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(retries=0, limits=limits, verify=tls or _certificates())
    return httpx.AsyncClient(base_url=url, headers=dict(headers), transport=transport, timeout=None)  # noqa: S113


async def _end_talkative(client: httpx.AsyncClient) -> None:
    """Close connections on which more was said than was asked for.

    What is left over would be read as the answer to the next request, and every answer after it would be one too late.
    httpcore closes a connection whose socket is readable while idle, but not one whose rest was read already.
    """
    pool = getattr(getattr(client, "_transport", None), "_pool", None)
    for connection in tuple(getattr(pool, "connections", ())):
        state = getattr(getattr(connection, "_connection", None), "_h11_state", None)
        if state is not None and connection.is_idle() and state.trailing_data[0]:
            await connection.aclose()


def _text(error: BaseException) -> str:
    return "timeout" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _shown(path: str) -> str:
    """Return a path without the account's number, for messages."""
    return re.sub(r"/accounts/[^/]+", "/accounts/…", path)


def _object(response: httpx.Response, path: str, venue: str) -> Mapping[str, Any]:
    kind = response.headers.get("content-type", "").split(";")[0].strip()
    try:
        body = response.json() if kind == "application/json" else None
    except (ValueError, UnicodeDecodeError):
        body = None
    if isinstance(body, dict):
        return body
    raise BrokerProtocolError(
        f"{venue} answered {_shown(path)} with status {response.status_code} and {kind or 'no content type'} that "
        "holds no JSON object. Nothing is concluded from it; reconcile."
    )


def _failure(response: httpx.Response, path: str, venue: str) -> BrokerError:
    status = response.status_code
    try:
        said = response.json().get("errorMessage", "")
    except (ValueError, AttributeError):
        said = ""
    text = f"{venue} answered {_shown(path)} with status {status}{f' ({said})' if said else ''}."
    if status in (401, 403):
        return BrokerAuthError(f"{text} Check the token, its account and whether the host is practice or live.")
    if status == 429:
        return BrokerRateLimited(f"{text} Fewer requests; the limit may be shared with other programs.")
    if status == 416:
        return BrokerProtocolError(
            f"{text} The cursor is ahead of the account: a wrong account or a rollback. Take a full snapshot.",
            code="cursor_out_of_range",
        )
    if status == 404:
        return BrokerUnavailable(text, code="not_found", retry="never")
    return BrokerUnavailable(text)
