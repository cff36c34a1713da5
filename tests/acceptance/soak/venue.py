"""The venue of the soak: fake OANDA accounts in a process of their own, whose log outlives everything.

Nothing is made up for a trader here: a request that comes twice is executed twice. Every command that arrives, every
transaction, every fault and every manual action is a line of an append-only file, written before anybody hears of it;
the checker reads that file and nothing else of the venue. Prices are a seeded walk around a level, so that stops,
targets and resting orders are reached all the time.
"""

import asyncio
import json
import math
import os
import random
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import h11

from tests.support.processes import end, fork, socket_pair
from tests.support.venues import new_venue
from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.fake_oanda import FakeOanda, _Request
from tradesentry.core.broker.fake_oanda_api import Answer
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.broker.paper_ledger import Transaction
from tradesentry.core.broker.paper_venue import PaperVenue
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import Quote
from tradesentry.core.market.calendar import CalendarSpec, build_calendar
from tradesentry.core.market.instruments import instrument

LEVELS: Final = {
    "EURUSD": 1.1, "GBPUSD": 1.25, "AUDUSD": 0.65, "USDCHF": 0.9, "EURGBP": 0.88, "EURCHF": 0.99, "GBPCHF": 1.125,
    "EURAUD": 1.6923,
}  # fmt: skip
SYMBOLS: Final = tuple(LEVELS)
DAY_NS: Final = 86_400 * 10**9
SPREAD_PIPS: Final = 1.0
STEP_PIPS: Final = 0.6
PULL: Final = 0.004
"""Share of the distance to the level that a price goes back each step."""


@dataclass(frozen=True)
class VenueSettings:
    """What kind of venue; faults are texts of `FaultScript`."""

    log: Path
    accounts: tuple[str, ...]
    symbols: tuple[str, ...] = SYMBOLS
    capital: float = 100_000.0
    wire: str = ""
    trading: str = ""
    seed: int = 0
    quotes_per_second: float = 40.0
    manual_per_second: float = 0.0
    """What somebody does by hand, all accounts together."""
    manual_actions: tuple[str, ...] = ("deposit", "trade", "close", "unstop")
    heartbeat_seconds: float = 1.0


class VenueLog:
    """An append-only file of JSON lines; a line is written in one call."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, what: str, **said: Any) -> None:
        """Append one line with the present time."""
        line = json.dumps({"what": what, "at": time.time_ns(), **said})
        os.write(self._file, line.encode() + b"\n")


class LoggedOanda(FakeOanda):
    """A fake OANDA that logs which command came when, from whom, and what it executed."""

    def __init__(self, venue: PaperVenue, log: VenueLog, **options: Any) -> None:
        super().__init__(venue, SystemClock(), **options)
        self._log, self._numbers = log, {}
        self.armed: tuple[str, int] | None = None
        """Operation and process: the next command of that kind kills the process once it is executed."""

    def _knows(self, token: str) -> bool:
        return bool(token)

    async def _handle(self, request: _Request, connection: h11.Connection, writer: asyncio.StreamWriter) -> None:
        if request.method != "GET":
            self._numbers[id(request)] = n = self.n_commands + 1
            said = {"method": request.method, "path": request.path, "body": request.body or {}}
            self._log.write("request", account=self.venue.account, n=n, sender=request.token, **said)
        await super()._handle(request, connection, writer)

    def _execute(self, request: _Request) -> Answer:
        first = self.venue.last_seq + 1
        answer = super()._execute(request)
        if request.method != "GET":
            n, last = self._numbers.get(id(request)), self.venue.last_seq
            self._log.write("executed", account=self.venue.account, n=n, status=answer[0], first=first, last=last)
            if self.armed is not None and (request.method == "POST" or self.armed[0] != "place"):
                _, pid = self.armed
                self.armed = None
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self._log.write("killed", pid=pid)
        return answer


def _calendars(symbols: Sequence[str]) -> dict[str, Any]:
    now = time.time_ns()
    return {s: build_calendar(CalendarSpec(), instrument(s), now - 30 * DAY_NS, now + 30 * DAY_NS) for s in symbols}


def new_account_venue(settings: VenueSettings, account: str, log: VenueLog, *, seed: int) -> PaperVenue:
    """Return the matching of one account, on the calendar of today."""

    def store(batch: Sequence[Transaction]) -> None:
        for said in batch:
            log.write("tx", account=account, tx=said)

    options = {"account": account, "log_id": f"oanda:{account}", "sink": store, "dedupes": False}
    venue = new_venue(settings.symbols, capital=settings.capital, faults=settings.trading, seed=seed, options=options)
    for market, symbol in zip(venue.memory.markets, settings.symbols, strict=True):
        market["calendar"] = _calendars([symbol])[symbol][0]
        market["calendar"]["news_to_ns"] = time.time_ns() + 30 * DAY_NS
    return venue


class Venue:
    """All accounts, the prices, the hand that meddles, and the control socket."""

    def __init__(self, settings: VenueSettings, control: socket.socket) -> None:
        self.settings, self._control, self.log = settings, control, VenueLog(settings.log)
        self.servers: dict[str, LoggedOanda] = {}
        for i, account in enumerate(settings.accounts):
            venue = new_account_venue(settings, account, self.log, seed=settings.seed * 101 + i)
            wire = FaultScript.parse(settings.wire, seed=settings.seed * 103 + i)
            options = {"faults": wire, "heartbeat_seconds": settings.heartbeat_seconds}
            self.servers[account] = LoggedOanda(venue, self.log, **options)
        self._random = random.Random(settings.seed)
        self._prices = {symbol: LEVELS[symbol] for symbol in settings.symbols}
        self._is_moving = True
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Serve until told to stop."""
        for symbol in self.settings.symbols:
            self._show(symbol)
        for account, server in self.servers.items():
            server.venue.transfer(Decimal(0))
            await server.start()
            self.log.write("start", account=account, last_seq=server.venue.last_seq)
        self._tasks = [asyncio.create_task(self._move())]
        reader, writer = await asyncio.open_connection(sock=self._control)
        self._answer(writer, {account: server.url for account, server in self.servers.items()})
        while line := await reader.readline():
            order = json.loads(line)
            said = await self._obey(order)
            self._answer(writer, said)
            await writer.drain()
            if order["do"] == "stop":
                break
        for task in self._tasks:
            task.cancel()
        for server in self.servers.values():
            await server.stop()

    def _answer(self, writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
        writer.write(json.dumps(said).encode() + b"\n")

    async def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        what = order["do"]
        if what == "begin":
            self._tasks.append(asyncio.create_task(self._meddle()))
        elif what == "calm":
            self._calm()
        elif what == "freeze":
            self._is_moving = False
        elif what == "arm":
            for server in self.servers.values():
                server.armed = (order["operation"], order["pid"])
        elif what == "down":
            await asyncio.gather(*(server.stop() for server in self.servers.values()))
        elif what == "up":
            ports = [int(server.url.rsplit(":", 1)[1]) for server in self.servers.values()]
            await asyncio.gather(*(s.start(port=p) for s, p in zip(self.servers.values(), ports, strict=True)))
        elif what == "bulk":
            return self._bulk(order["account"], order["trades"], order["events"])
        elif what in ("state", "stop"):
            return self._state(what)
        return {"done": what}

    def _calm(self) -> None:
        """Stop breaking things; what was already under way still happens."""
        self._write_hits()
        for server in self.servers.values():
            server.faults, server.venue.faults = FaultScript(), FaultScript()
        for task in self._tasks[1:]:
            task.cancel()

    def _write_hits(self) -> None:
        for server in self.servers.values():
            for script in (server.faults, server.venue.faults):
                self.log.write("hits", hits={kind.value: n for kind, n in script.hits.items()})
                script.hits.clear()

    def _state(self, what: str) -> dict[str, Any]:
        said = {}
        for account, server in self.servers.items():
            state = server.venue.state()
            trades = {
                t.trade_id: [t.symbol, int(t.side), str(t.units), t.stop_loss] for t in server.venue.open_trades()
            }
            said[account] = {
                "balance": str(state.balance),
                "equity": str(state.equity),
                "last_seq": state.last_seq,
                "trades": trades,
                "orders": [order.order_id for order in server.venue.resting()],
            }
        self._write_hits()
        self.log.write("final" if what == "stop" else "state", accounts=said)
        return said

    # Prices

    def _show(self, symbol: str) -> None:
        pip = instrument(symbol).pip
        price = self._prices[symbol]
        price += self._random.gauss(0.0, STEP_PIPS * pip) + PULL * (LEVELS[symbol] - price)
        self._prices[symbol] = price
        digits = 3 if pip > 0.001 else 5
        now = time.time_ns()
        quote = Quote(symbol, round(price, digits), round(price + SPREAD_PIPS * pip, digits), now, now)
        for server in self.servers.values():
            server.show(quote)

    async def _move(self) -> None:
        symbols = self.settings.symbols
        for i in range(10**9):
            await asyncio.sleep(1.0 / self.settings.quotes_per_second)
            if self._is_moving:
                self._show(symbols[i % len(symbols)])

    # By hand

    async def _meddle(self) -> None:
        rate = self.settings.manual_per_second
        if rate <= 0.0:
            return
        known = {"deposit": self._deposit, "trade": self._trade, "close": self._close, "unstop": self._unstop}
        while True:
            await asyncio.sleep(self._random.expovariate(rate))
            server = self._random.choice(list(self.servers.values()))
            name = self._random.choice(self.settings.manual_actions)
            faults, server.venue.faults = server.venue.faults, FaultScript()
            first = server.venue.last_seq + 1
            known[name](server.venue)
            server.venue.faults = faults
            last = server.venue.last_seq
            if last >= first:
                self.log.write("manual", account=server.venue.account, action=name, first=first, last=last)

    def _deposit(self, venue: PaperVenue) -> None:
        venue.transfer(Decimal(self._random.randrange(1, 100)))

    def _trade(self, venue: PaperVenue) -> None:
        if sum(trade.client_order_id is None for trade in venue.open_trades()) >= 2:
            return
        symbol = self._random.choice(self.settings.symbols)
        side = self._random.choice((Side.BUY, Side.SELL))
        stop = venue.quotes[symbol].bid - side * 40 * instrument(symbol).pip
        request = OrderRequest("", symbol, side, Decimal(1_000), OrderType.MARKET, round(stop, 5))
        venue.now_ns = time.time_ns()
        venue.place(request)

    def _close(self, venue: PaperVenue) -> None:
        trades = venue.open_trades()
        if trades:
            venue.now_ns = time.time_ns()
            venue.close(self._random.choice(trades).trade_id, None)

    def _unstop(self, venue: PaperVenue) -> None:
        trades = [t for t in venue.open_trades() if t.stop_loss is not None and t.client_order_id is not None]
        if trades:
            venue.now_ns = time.time_ns()
            venue.protect(self._random.choice(trades).trade_id, stop_loss=math.nan, take_profit=None)

    def _bulk(self, account: str, n_trades: int, n_events: int) -> dict[str, Any]:
        """Open trades by hand, then write events, while nobody of ours is there."""
        venue = self.servers[account].venue
        venue.now_ns = time.time_ns()
        for i in range(n_trades):
            symbol = self.settings.symbols[i % len(self.settings.symbols)]
            stop = round(venue.quotes[symbol].bid * 0.9, 5)
            venue.place(OrderRequest("", symbol, Side.BUY, Decimal(10), OrderType.MARKET, stop))
        for _ in range(n_events):
            venue.transfer(Decimal("0.01"))
        return {"last_seq": venue.last_seq}


class VenueProcess:
    """The parent's handle on a venue."""

    def __init__(self, settings: VenueSettings) -> None:
        self._ours, theirs = socket_pair()

        def work() -> None:
            self._ours.close()
            asyncio.run(Venue(settings, theirs).run())

        self.pid = fork(work)
        theirs.close()
        self._file = self._ours.makefile("rw")
        self.urls: dict[str, str] = json.loads(self._file.readline())

    def tell(self, what: str, **said: Any) -> dict[str, Any]:
        """Have the venue do something and return its answer."""
        self._file.write(json.dumps({"do": what, **said}) + "\n")
        self._file.flush()
        answer: dict[str, Any] = json.loads(self._file.readline())
        return answer

    def stop(self) -> dict[str, Any]:
        """End it; return the last state of its accounts."""
        state = self.tell("stop")
        end(self.pid, signal.SIGTERM)
        self._ours.close()
        return state
