"""What the soak's venue offers to a trader, whatever it looks like: one account that keeps prices, faults and hands.

Nothing is made up for a trader here: a request that comes twice is executed twice. Every command that arrives, every
transaction and every manual action is a line of the venue's log, written before anybody hears of it.
"""

import asyncio
import json
import math
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import h11

from tests.support.venues import new_venue
from tradesentry.core.broker.base_broker import OrderRequest
from tradesentry.core.broker.fake_oanda import FakeOanda, _Request
from tradesentry.core.broker.fake_oanda_api import Answer
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.broker.paper_ledger import Transaction
from tradesentry.core.broker.paper_venue import PaperVenue
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.records import BAR
from tradesentry.core.domain.venue import Quote
from tradesentry.core.market.bars import BarArray
from tradesentry.core.market.calendar import CalendarSpec, build_calendar
from tradesentry.core.market.instruments import instrument
from tradesentry.core.utils.kernel import new_records

DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9
HAND_UNITS = 1_000
HAND_STOP_PIPS = 40
MOST_BY_HAND = 2
"""Trades of hands that are open at a time."""


class VenueLog:
    """An append-only file of JSON lines; a line is written in one call, from any process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, what: str, **said: Any) -> None:
        """Append one line with the present time."""
        line = json.dumps({"what": what, "at": time.time_ns(), **said})
        os.write(self._file, line.encode() + b"\n")


class Minutes:
    """The bars of one minute that the venue's prices make, for whoever was not there."""

    def __init__(self) -> None:
        self._bars: dict[str, dict[int, list[float]]] = defaultdict(dict)

    def note(self, quote: Quote) -> None:
        """Take a price."""
        open_ns, bid = quote.ts_ns // MINUTE_NS * MINUTE_NS, quote.bid
        bar = self._bars[quote.symbol].setdefault(open_ns, [bid, bid, bid, bid, 0.0])
        bar[1:] = [max(bar[1], bid), min(bar[2], bid), bid, quote.ask - bid]

    def between(self, symbol: str, granularity: str, start_ns: int, end_ns: int) -> BarArray:
        """Return the complete bars that open in [start_ns, end_ns)."""
        if granularity != "M1":
            raise UsageError(f"The soak's venue makes bars of one minute, not of {granularity}.")
        end_ns = min(end_ns, time.time_ns() // MINUTE_NS * MINUTE_NS)
        known = [(at, bar) for at, bar in self._bars[symbol].items() if start_ns <= at < end_ns]
        bars = new_records(len(known), BAR)
        for i, (at, (first, high, low, last, spread)) in enumerate(known):
            bars[i] = (at, at + MINUTE_NS, first, high, low, last, 1.0, spread)
        return bars


class Front(Protocol):
    """One account as the soak's venue keeps it."""

    account: str
    url: str
    """Where traders talk to it."""

    @property
    def last_seq(self) -> int:
        """Number of the newest line of its log."""

    async def start(self, *, port: int = 0) -> None:
        """Listen."""

    async def stop(self) -> None:
        """Listen no more."""

    def show(self, quote: Quote) -> object:
        """Bring a price."""

    def scripts(self) -> Sequence[FaultScript]:
        """Return the faults, which count what struck."""

    def calm(self) -> None:
        """Stop breaking things."""

    def state(self) -> dict[str, Any]:
        """Return balance, equity, last_seq, trades and resting orders."""

    def arm(self, pid: int) -> None:
        """Kill a process at the moment when the next entry is executed."""

    def meddle(self, action: str, rng: random.Random) -> None:
        """Do something by hand: deposit, trade, close or unstop."""


def shoot(pid: int, log: VenueLog) -> None:
    """Kill a process and note it."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    log.write("killed", pid=pid)


def set_calendars(venue: PaperVenue, symbols: Sequence[str]) -> None:
    """Give the markets of a venue the calendar of today, without news."""
    now = time.time_ns()
    for market, symbol in zip(venue.memory.markets, symbols, strict=True):
        market["calendar"] = build_calendar(CalendarSpec(), instrument(symbol), now - 30 * DAY_NS, now + 30 * DAY_NS)[0]
        market["calendar"]["news_to_ns"] = now + 30 * DAY_NS


def meddle(venue: PaperVenue, action: str, rng: random.Random) -> None:
    """Do something by hand at a paper account, without faults.

    Args:
        venue: The account.
        action: deposit, trade, close or unstop.
        rng: Draws what it is about.
    """
    faults, venue.faults = venue.faults, FaultScript()
    venue.now_ns = max(venue.now_ns, time.time_ns())
    trades = venue.open_trades()
    ours = [t for t in trades if t.stop_loss is not None and t.client_order_id is not None]
    if action == "deposit":
        venue.transfer(Decimal(rng.randrange(1, 100)))
    elif action == "trade" and len(trades) - sum(t.client_order_id is not None for t in trades) < MOST_BY_HAND:
        symbol, side = rng.choice(list(venue.quotes)), rng.choice((Side.BUY, Side.SELL))
        stop = venue.quotes[symbol].bid - side * HAND_STOP_PIPS * instrument(symbol).pip
        venue.place(OrderRequest("", symbol, side, Decimal(HAND_UNITS), OrderType.MARKET, round(stop, 5)))
    elif action == "close" and trades:
        venue.close(rng.choice(trades).trade_id, None)
    elif action == "unstop" and ours:
        venue.protect(rng.choice(ours).trade_id, stop_loss=math.nan, take_profit=None)
    venue.faults = faults


def state_of(venue: PaperVenue) -> dict[str, Any]:
    """Return the state of a paper account as `Front.state`."""
    state = venue.state()
    trades = {t.trade_id: [t.symbol, int(t.side), str(t.units), t.stop_loss] for t in venue.open_trades()}
    return {
        "balance": str(state.balance),
        "equity": str(state.equity),
        "last_seq": state.last_seq,
        "trades": trades,
        "orders": [order.order_id for order in venue.resting()],
    }


class OandaFront(FakeOanda):
    """A fake OANDA that logs which command came when, from whom, and what it executed.

    Args:
        account: Its name.
        symbols: Its markets.
        capital: Its money.
        log: Of the venue.
        seed: Of its faults.
        wire: Faults between it and the trader.
        trading: Faults of trading.
        heartbeat_seconds: Of its streams.
    """

    def __init__(
        self,
        account: str,
        symbols: Sequence[str],
        log: VenueLog,
        *,
        capital: float,
        seed: int,
        wire: str,
        trading: str,
        heartbeat_seconds: float,
    ) -> None:
        def store(batch: Sequence[Transaction]) -> None:
            for said in batch:
                log.write("tx", account=account, tx=said)

        options = {"account": account, "log_id": f"oanda:{account}", "sink": store, "dedupes": False}
        venue = new_venue(symbols, capital=capital, faults=trading, seed=seed, options=options)
        set_calendars(venue, symbols)
        faults = FaultScript.parse(wire, seed=seed + 1)
        self._minutes = Minutes()
        super().__init__(
            venue, SystemClock(), faults=faults, heartbeat_seconds=heartbeat_seconds, history=self._minutes.between
        )
        self.account = account
        self._log, self._numbers = log, {}
        self._target: int | None = None

    @property
    def last_seq(self) -> int:
        """Number of the newest transaction."""
        return self.venue.last_seq

    async def start(self, *, port: int = 0) -> None:
        """Listen; an account has a history from the beginning."""
        if not self.venue.transactions:
            self.venue.transfer(Decimal(0))
        await super().start(port=port)

    def show(self, quote: Quote) -> list[Transaction]:
        """Bring a price."""
        self._minutes.note(quote)
        return super().show(quote)

    def scripts(self) -> Sequence[FaultScript]:
        """Return the faults of the wire and of trading."""
        return self.faults, self.venue.faults

    def calm(self) -> None:
        """Stop breaking things; what was already under way still happens."""
        self.faults, self.venue.faults = FaultScript(), FaultScript()

    def state(self) -> dict[str, Any]:
        """Return the account."""
        return state_of(self.venue)

    def arm(self, pid: int) -> None:
        """Kill a process at the next entry."""
        self._target = pid

    def meddle(self, action: str, rng: random.Random) -> None:
        """Do something by hand."""
        meddle(self.venue, action, rng)

    def _knows(self, token: str) -> bool:
        return bool(token)

    async def _handle(self, request: _Request, connection: h11.Connection, writer: asyncio.StreamWriter) -> None:
        if request.method != "GET":
            self._numbers[id(request)] = n = self.n_commands + 1
            said = {"method": request.method, "path": request.path, "body": request.body or {}}
            self._log.write("request", account=self.account, n=n, sender=request.token, **said)
        await super()._handle(request, connection, writer)

    def _execute(self, request: _Request) -> Answer:
        first = self.venue.last_seq + 1
        answer = super()._execute(request)
        if request.method != "GET":
            n, last = self._numbers.get(id(request)), self.venue.last_seq
            self._log.write("executed", account=self.account, n=n, status=answer[0], first=first, last=last)
            if self._target is not None and request.method == "POST":
                target, self._target = self._target, None
                shoot(target, self._log)
        return answer
