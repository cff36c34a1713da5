"""Serve one terminal over HTTP: the same `Mt5Broker`, for hosts where the package cannot run.

The venue side of this wire is ours, so it does what real venues do not: a repeated command is a question, an older
epoch and an unknown log are refused (409), a command that came too late is not sent, and the events are numbered
without a gap. `/v1/state` is one consistent read. Everything a client must prove is proven here again: the gateway
trusts a token, not its bearer's clock or lease.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from tradesentry.core.broker.base_broker import (
    CommandStamp,
    NotSent,
    OrderChange,
    OrderRef,
    OrderRequest,
    Outcome,
    TradeRef,
)
from tradesentry.core.broker.commands import CommandGate
from tradesentry.core.broker.http_server import Answer, HttpServer, Lines, Request
from tradesentry.core.broker.mt5 import Mt5Broker
from tradesentry.core.broker.mt5_words import KINDS, Kind
from tradesentry.core.broker.port_json import from_json, outcome_to_json, to_json
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.errors import BrokerError, BrokerProtocolError, UsageError
from tradesentry.core.domain.events import BrokerEvent, StreamDown
from tradesentry.core.domain.venue import AccountState

HEARTBEAT_SECONDS: Final = 5.0
QUEUE_LIMIT: Final = 64
"""Calls that may wait for the terminal before commands are refused."""
PATH: Final = "/v1"


class Mt5Gateway:
    """One terminal behind HTTP.

    Args:
        broker: The terminal; its gate need not throttle, the client's does.
        clock: Time.
        token: That requests have to bear.
        host: Address to listen on.
        port: Of the address; 0 takes a free one.
        tls: Certificate; needed beyond loopback.
        queue_limit: Calls that may wait for the terminal before commands are refused.
    """

    def __init__(
        self,
        broker: Mt5Broker,
        clock: Clock,
        *,
        token: str,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self.broker, self.server = broker, HttpServer(self._handle, token=token, host=host, port=port, tls=tls)
        self.n_commands = 0
        """Commands whose request arrived."""
        self._clock, self._queue_limit = clock, queue_limit
        self._routes: dict[tuple[str, str], Callable[[Request], Awaitable[Answer | Lines]]] = {
            ("POST", "/orders"): self._command,
            ("GET", "/events"): self._events,
            ("GET", "/state"): self._state,
            ("GET", "/symbols"): self._symbols,
            ("GET", "/rates"): self._rates,
            ("GET", "/ticks"): self._ticks,
            ("GET", "/health"): self._health,
        }

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    async def start(self) -> AccountState:
        """Connect to the terminal, prove the account, and listen.

        Raises:
            AccountMismatch: The terminal is logged in to another account; nothing is served then.
        """
        state = await self.broker.connect()
        await self.server.start()
        return state

    async def stop(self) -> None:
        """Stop listening, then let go of the terminal."""
        await self.server.stop()
        await self.broker.close()

    # Requests

    async def _handle(self, request: Request) -> Answer | Lines:
        path = request.path.removeprefix(PATH)
        route = self._routes.get((request.method, path))
        try:
            if route is not None:
                return await route(request)
            if request.method == "GET" and path.startswith("/orders/"):
                return await self._order(path.removeprefix("/orders/"))
        except (KeyError, ValueError, UsageError, BrokerProtocolError) as error:
            status = 416 if getattr(error, "code", "") == "cursor_out_of_range" else 400
            return _error(status, getattr(error, "code", "bad_request"), str(error))
        except BrokerError as error:
            return _error(404 if error.code == "unknown_instrument" else 503, error.code, str(error))
        return _error(404, "not_found", f"There is no {request.method} {request.path}.")

    async def _command(self, request: Request) -> Answer:
        """Carry out a command, once."""
        self.n_commands += 1
        said, terminal = request.body, self.broker.session.terminal
        kind, epoch = said["kind"], int(said["epoch"])
        if kind not in KINDS:
            raise BrokerProtocolError(f"There is no command {kind!r}. Known: {', '.join(KINDS)}.", code="bad_request")
        if said["log_id"] != terminal.log.log_id:
            return _error(409, "log_changed", f"The event log is {terminal.log.log_id} now. Take a full snapshot.")
        if epoch < terminal.outcomes.epoch:
            return _error(409, "stale_epoch", f"Epoch {epoch} is older than {terminal.outcomes.epoch}.")
        left_seconds = (int(said["expires_at"]) - self._clock.now_ns()) / NS_PER_SECOND
        if left_seconds <= 0:
            outcome: Outcome = NotSent("expired", f"The request came {-left_seconds:.1f} s after it had expired.")
        elif self.broker.session.depth >= self._queue_limit:
            outcome = NotSent("queue_full", "Too many calls wait for the terminal.")
        else:
            start = self._clock.monotonic() + left_seconds - CommandGate.MAX_SEND_SECONDS
            stamp = CommandStamp(epoch=epoch, committed_at=start, attempt=int(said["attempt"]))
            outcome = await self._carry_out(kind, said["request"], stamp, said.get("client_order_id"))
        return Answer(200, outcome_to_json(outcome))

    async def _carry_out(
        self, kind: Kind, said: Mapping[str, Any], stamp: CommandStamp, client_order_id: str | None
    ) -> Outcome:
        broker = self.broker
        if kind == "place":
            order = from_json(OrderRequest, said["order"])
            return await broker.place_order(replace(order, stamp=stamp))
        if kind in ("replace", "cancel"):
            target = replace(from_json(OrderRef, said["target"]), stamp=stamp)
            if kind == "cancel":
                return await broker.cancel_order(target)
            return await broker.replace_order(target, from_json(OrderChange, said["change"]))
        trade = replace(from_json(TradeRef, said["target"]), stamp=stamp, client_order_id=client_order_id)
        if kind == "close":
            return await broker.close_trade(trade, remaining_units=Decimal(said["remaining_units"]))
        return await broker.set_protection(trade, stop_loss=said["stop_loss"], take_profit=said["take_profit"])

    async def _order(self, client_order_id: str) -> Answer:
        report = await self.broker.find_order(client_order_id)
        return Answer(200, {"order": None if report is None else to_json(report)})

    async def _state(self, _request: Request) -> Answer:
        state, orders, trades = await self.broker.snapshot()
        return Answer(
            200,
            {
                "account": to_json(state),
                "orders": [to_json(order) for order in orders],
                "trades": [to_json(trade) for trade in trades],
                "last_seq": state.last_seq,
                "log_id": state.log_id,
            },
        )

    async def _symbols(self, _request: Request) -> Answer:
        items = await self.broker.instruments()
        return Answer(200, {"symbols": [to_json(item) for item in items.values()]})

    async def _rates(self, request: Request) -> Answer:
        query = request.query
        bars = await self.broker.candles(
            query["symbol"],
            granularity=query["granularity"],
            start_ns=int(query["start_ns"]),
            end_ns=int(query["end_ns"]),
        )
        return Answer(200, {"fields": list(bars.dtype.names or ()), "bars": [list(row) for row in bars.tolist()]})

    async def _ticks(self, request: Request) -> Answer | Lines:
        symbols = request.query["symbols"].split(",")
        if request.query.get("follow"):
            return self._follow_ticks(symbols)
        quotes = await self.broker.read_quotes(symbols)
        return Answer(200, {"ticks": [to_json(quote) for quote in quotes]})

    async def _health(self, _request: Request) -> Answer:
        session = self.broker.session
        start_ns = self._clock.now_ns()
        sample = await self.broker.server_clock()
        info, account = await session.run(
            lambda: (session.terminal.call("terminal_info"), session.terminal.call("account_info"))
        )
        return Answer(
            200,
            {
                "now_ns": start_ns,
                "connected": bool(info.connected),
                "trade_allowed": bool(info.trade_allowed and account.trade_allowed and account.trade_expert),
                "server_offset_ns": sample.offset_ns,
                "server_clock_problem": session.terminal.server_clock.problem,
                "ping_us": int(info.ping_last),
                "queue_depth": session.depth,
                "log_id": session.terminal.log.log_id,
                "last_seq": session.terminal.log.last_seq,
                "epoch": session.terminal.outcomes.epoch,
            },
        )

    # Streams

    async def _events(self, request: Request) -> Answer | Lines:
        since = int(request.query["since"])
        page = await self.broker.events_since(since)
        if request.query.get("follow"):
            return self._follow_events(since)
        return Answer(
            200,
            {
                "events": [to_json(event) for event in page.events],
                "last_seq": page.last_seq,
                "log_id": page.log_id,
                "is_complete": page.is_complete,
            },
        )

    async def _follow_events(self, since: int) -> Lines:
        async def items() -> AsyncIterator[Mapping[str, Any]]:
            async for item in self.broker.session.follow(since):
                yield _event_line(item)

        async with aclosing(self._with_heartbeats(items())) as lines:
            async for line in lines:
                yield line

    async def _follow_ticks(self, symbols: list[str]) -> Lines:
        async def items() -> AsyncIterator[Mapping[str, Any]]:
            async for item in self.broker.quotes(symbols):
                if isinstance(item, StreamDown):
                    yield {"type": "down", "reason": item.reason}
                else:
                    yield {"type": "tick", "tick": to_json(item)}

        async with aclosing(self._with_heartbeats(items())) as lines:
            async for line in lines:
                yield line

    async def _with_heartbeats(
        self, items: AsyncIterator[Mapping[str, Any]]
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Yield what `items` yields, and a heartbeat at once and every 5 s."""
        queue: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()

        async def pass_on() -> None:
            async for item in items:
                queue.put_nowait(item)
            queue.put_nowait(None)

        async def beat() -> None:
            while True:
                log = self.broker.session.terminal.log
                queue.put_nowait({"type": "heartbeat", "last_seq": log.last_seq, "log_id": log.log_id})
                await self._clock.sleep(HEARTBEAT_SECONDS)

        tasks = [asyncio.create_task(beat()), asyncio.create_task(pass_on())]
        try:
            while (line := await queue.get()) is not None:
                yield line
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _event_line(item: BrokerEvent | StreamDown) -> Mapping[str, Any]:
    if isinstance(item, StreamDown):
        return {"type": "down", "reason": item.reason}
    return {"type": "event", "event": to_json(item)}


def _error(status: int, code: str, text: str) -> Answer:
    return Answer(status, {"code": code, "errorMessage": text})
