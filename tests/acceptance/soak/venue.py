"""The venue of the soak: its accounts in a process of their own, whose log outlives everything.

Every command that arrives, every transaction, every fault and every manual action is a line of an append-only file,
written before anybody hears of it; the checker reads that file and nothing else of the venue. What an account looks
like to a trader is its front's business. Prices are a seeded walk around a level, so that stops, targets and resting
orders are reached all the time.
"""

import asyncio
import json
import random
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tests.acceptance.soak.fronts import Front, OandaFront, VenueLog
from tests.acceptance.soak.gateways import GatewayFront
from tests.support.processes import end, fork, socket_pair
from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.venue import Quote
from tradesentry.core.market.instruments import instrument

LEVELS: Final = {
    "EURUSD": 1.1, "GBPUSD": 1.25, "AUDUSD": 0.65, "USDCHF": 0.9, "EURGBP": 0.88, "EURCHF": 0.99, "GBPCHF": 1.125,
    "EURAUD": 1.6923,
}  # fmt: skip
SYMBOLS: Final = tuple(LEVELS)
SPREAD_PIPS: Final = 1.0
SWITCH_SECONDS: Final = 0.0005
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
    quotes_per_second: float = 24.0
    manual_per_second: float = 0.0
    """What somebody does by hand, all accounts together."""
    manual_actions: tuple[str, ...] = ("deposit", "trade", "close", "unstop")
    heartbeat_seconds: float = 1.0
    terminal: str = ""
    """Faults between a gateway and its terminal, and of the terminal's server."""
    terminal_seconds: float = 0.3
    """After which a call of the terminal gives up."""
    gateways: Mapping[str, int] = field(default_factory=dict)
    """Port of the gateway by account, where the accounts are behind gateways."""


class Venue:
    """All accounts, the prices, the hand that meddles, and the control socket."""

    def __init__(self, settings: VenueSettings, control: socket.socket) -> None:
        self.settings, self._control, self.log = settings, control, VenueLog(settings.log)
        self.servers = {account: self._front(account, i) for i, account in enumerate(settings.accounts)}
        self._random = random.Random(settings.seed)
        self._prices = {symbol: LEVELS[symbol] for symbol in settings.symbols}
        self._is_moving = True
        self._tasks: list[asyncio.Task[None]] = []

    def _front(self, account: str, number: int) -> Front:
        given = self.settings
        common = {"capital": given.capital, "seed": given.seed * 101 + 2 * number, "wire": given.wire}
        if account not in given.gateways:
            return OandaFront(
                account, given.symbols, self.log, trading=given.trading, heartbeat_seconds=given.heartbeat_seconds,
                **common,
            )  # fmt: skip
        return GatewayFront(
            int(account), given.symbols, self.log, folder=given.log.parent, terminal=given.terminal + given.trading,
            upstream=f"http://127.0.0.1:{given.gateways[account]}", timeout_seconds=given.terminal_seconds, **common,
        )  # fmt: skip

    async def run(self) -> None:
        """Serve until told to stop."""
        for symbol in self.settings.symbols:
            self._show(symbol)
        for account, server in self.servers.items():
            await server.start()
            self.log.write("start", account=account, last_seq=server.last_seq)
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
                server.arm(order["pid"])
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
            server.calm()
        for task in self._tasks[1:]:
            task.cancel()

    def _write_hits(self) -> None:
        for server in self.servers.values():
            for script in server.scripts():
                self.log.write("hits", hits={kind.value: n for kind, n in script.hits.items()})
                script.hits.clear()

    def _state(self, what: str) -> dict[str, Any]:
        said = {account: server.state() for account, server in self.servers.items()}
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
        while True:
            await asyncio.sleep(self._random.expovariate(rate))
            server = self._random.choice(list(self.servers.values()))
            name = self._random.choice(self.settings.manual_actions)
            first = server.last_seq + 1
            server.meddle(name, self._random)
            if server.last_seq >= first:
                self.log.write("manual", account=server.account, action=name, first=first, last=server.last_seq)

    def _bulk(self, account: str, n_trades: int, n_events: int) -> dict[str, Any]:
        """Open trades by hand, then write events, while nobody of ours is there."""
        front = self.servers[account]
        if not isinstance(front, OandaFront):
            raise TypeError(f"{account} is no account at OANDA, and only those are filled at once.")
        venue = front.venue
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
            # Threads that serve terminals are not to wait for the loop's turn to end.
            sys.setswitchinterval(SWITCH_SECONDS)
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
