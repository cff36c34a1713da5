"""The venue of a soak over the gateway: fake terminals whose server's books are logged, and the door to them.

A terminal lives in the venue's process, as the real one lives beside the gateway: the gateway's process calls it
through a socket and dies without it. What the server's books say is written in the words of the venue's log by
comparing them after each call, inside the terminal's own lock; so the judge needs nothing of the trader's reading.
"""

import random
import threading
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, Final

from tests.acceptance.soak.fronts import HAND_STOP_PIPS, HAND_UNITS, MOST_BY_HAND, VenueLog, set_calendars, shoot
from tests.support.terminals import SUFFIX, add_account, new_terminal_venue
from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal import FakeTerminal
from tradesentry.core.broker.fake_terminal_requests import Request
from tradesentry.core.broker.fake_terminal_rows import STRUCTURES, DealRow, OrderRow
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.domain.live_orders import client_order_id
from tradesentry.core.domain.orders import Side
from tradesentry.core.domain.venue import Quote
from tradesentry.core.market.instruments import instrument

SERVER_TZ: Final = "Europe/Athens"
PASSWORD: Final = "password"
SERVER: Final = "Fake-Demo"
FINE_LOTS: Final = {
    "volume_min": Decimal("0.00001"), "volume_step": Decimal("0.00001"), "filling_mode": mt5.FILLING_FLAG_IOC,
}  # fmt: skip
"""Lots so fine that units are traded as elsewhere, and filled in part."""
BY_SERVER: Final = (mt5.ORDER_REASON_SL, mt5.ORDER_REASON_TP, mt5.ORDER_REASON_SO)
ENDED: Final = {mt5.ORDER_STATE_EXPIRED: "order_expired"}
TYPES: Final = {0: "market", 1: "market", 2: "limit", 3: "limit", 4: "stop", 5: "stop"}


class BookLog:
    """Writes what the books of a terminal's server have gained since the last look.

    Args:
        terminal: Whose books.
        account: Name of the account.
        log: Of the venue.
    """

    def __init__(self, terminal: FakeTerminal, account: str, log: VenueLog) -> None:
        self._terminal, self._account, self._log = terminal, account, log
        self.last_seq = 0
        self._n_past, self._n_deals = 0, 0
        self._terms: dict[int, tuple[float, float, int]] = {}
        self._stops: dict[int, float] = {}

    def look(self) -> None:
        """Write orders, then deals, then stops, then endings."""
        books = self._terminal.server.books
        past = list(islice(books.past.values(), self._n_past, None))
        self._n_past = len(books.past)
        for row in sorted((*books.orders.values(), *past), key=lambda row: row.ticket):
            if row.reason not in BY_SERVER:
                self._order(row)
        deals, self._n_deals = books.deals[self._n_deals :], len(books.deals)
        for deal in deals:
            self._deal(deal)
        for position in books.positions.values():
            if self._stops.get(position.identifier, 0.0) != position.sl:
                self._stops[position.identifier] = position.sl
                self._write(
                    "protection", trade_id=str(position.identifier), which="stop_loss", price=position.sl or None
                )
        for row in past:
            if row.ticket in self._terms and row.volume_current > 0:
                self._write(
                    ENDED.get(row.state, "order_canceled"), order_id=str(row.ticket), client_order_id=_client(row)
                )

    def _write(self, kind: str, **said: Any) -> None:
        self.last_seq += 1
        balance = f"{self._terminal.server.books.balance:f}"
        tx = {"seq": self.last_seq, "kind": kind, **said, "balance": balance}
        self._log.write("tx", account=self._account, tx=tx)

    def _order(self, row: OrderRow) -> None:
        terms = (row.price_open, row.sl, row.expires_ns)
        known = self._terms.get(row.ticket)
        if known is not None and (known == terms or not row.is_pending):
            return
        is_stillborn = not row.is_pending and row.volume_current == row.volume_initial and row.done_ns
        if is_stillborn:
            self._write("order_rejected", order_id=str(row.ticket), client_order_id=_client(row), reason="REJECTED")
            return
        self._terms[row.ticket] = terms
        symbol = next(item for item in self._terminal.server.symbols.values() if item.name == row.symbol)
        self._write(
            "order_accepted" if known is None else "order_changed",
            order_id=str(row.ticket), client_order_id=_client(row), symbol=symbol.symbol, side=int(row.side),
            units=f"{symbol.units(row.volume_initial):f}", type=TYPES[row.type],
            price=row.price_open if row.is_pending else None, stop_loss=row.sl or None,
            trade_id=str(row.closes or row.position_id) if _closes(row) else None,
        )  # fmt: skip

    def _deal(self, deal: DealRow) -> None:
        books = self._terminal.server.books
        if deal.type not in (mt5.DEAL_TYPE_BUY, mt5.DEAL_TYPE_SELL):
            self._write("transfer", amount=f"{deal.amount:f}")
            return
        symbol = next(item for item in self._terminal.server.symbols.values() if item.name == deal.symbol)
        is_open = deal.entry == mt5.DEAL_ENTRY_IN
        self._write(
            "order_filled",
            fill_id=str(deal.ticket), order_id=str(deal.order), trade_id=str(deal.position_id),
            client_order_id=_client(deal) if is_open else None, symbol=symbol.symbol,
            side=1 if deal.type == mt5.DEAL_TYPE_BUY else -1, units=f"{symbol.units(deal.volume):f}", price=deal.price,
            realized=f"{deal.profit:f}", commission=f"{-deal.commission:f}", effect="open" if is_open else "reduce",
            is_closed=deal.position_id not in books.positions,
        )  # fmt: skip


def _client(row: OrderRow | DealRow) -> str | None:
    """Return our id of a magic number; 0 is a person's."""
    return client_order_id(row.magic >> 48, row.magic & (1 << 48) - 1) if row.magic else None


def _closes(row: OrderRow) -> bool:
    return bool(row.closes or (row.position_id and row.position_id != row.ticket))


class SoakTerminal(FakeTerminal):
    """A terminal that logs its server's books. Arguments as `TerminalProgram`."""

    book_log: BookLog | None = None
    target: int | None = None
    """Process to be killed when the next entry has been executed."""

    def _served(self, operation: str, work: Any, refuse: Any) -> Any:
        try:
            return super()._served(operation, work, refuse)
        finally:
            self._look()
            if operation == "place" and self.target is not None and self.book_log is not None:
                target, self.target = self.target, None
                shoot(target, self.book_log._log)

    def show(self, quote: Quote) -> None:
        """Bring a price."""
        with self._lock:
            super().show(quote)
            self._look()

    def pump(self) -> None:
        """Do what is due."""
        with self._lock:
            super().pump()
            self._look()

    def _look(self) -> None:
        if self.book_log is not None:
            self.book_log.look()

    # By hand

    def meddle(self, action: str, rng: random.Random) -> None:
        """Do something by hand, without faults: deposit, trade, close or unstop."""
        with self._lock:
            server = self.server
            faults, server.faults = server.faults, FaultScript()
            if action == "deposit":
                server.venue.transfer(Decimal(rng.randrange(1, 100)))
                server.catch_up()
            else:
                for request in self._by_hand(action, rng):
                    server.send(request)
            server.faults = faults
            self._look()

    def _by_hand(self, action: str, rng: random.Random) -> Iterator[Request]:
        rows = list(self.server.books.positions.values())
        if action == "trade" and sum(not row.magic for row in rows) < MOST_BY_HAND:
            symbol, side = rng.choice(list(self.server.symbols.values())), rng.choice((Side.BUY, Side.SELL))
            quote = self.venue.quotes[symbol.symbol]
            stop = round(quote.closing(side) - side * HAND_STOP_PIPS * instrument(symbol.symbol).pip, symbol.digits)
            yield _dealing(symbol.name, float(symbol.lots(Decimal(HAND_UNITS))), side, sl=stop)
        elif action == "close" and rows:
            row = rng.choice(rows)
            yield _dealing(row.terms.name, float(row.volume), Side(-row.side), position=row.ticket)
        elif action == "unstop" and (ours := [row for row in rows if row.magic and row.sl]):
            row = rng.choice(ours)
            yield Request(action=mt5.TRADE_ACTION_SLTP, symbol=row.terms.name, position=row.ticket, tp=row.tp)


def _dealing(name: str, volume: float, side: Side, **fields: Any) -> Request:
    kind = mt5.ORDER_TYPE_BUY if side is Side.BUY else mt5.ORDER_TYPE_SELL
    action, filling = mt5.TRADE_ACTION_DEAL, mt5.ORDER_FILLING_IOC
    return Request(action=action, symbol=name, volume=volume, type=kind, type_filling=filling, **fields)


def new_soak_terminal(
    login: int, symbols: Sequence[str], log: VenueLog, *, capital: float, faults: str, seed: int, timeout_seconds: float
) -> SoakTerminal:
    """Return a terminal with a hedging account whose books are logged.

    Args:
        login: Of the account.
        symbols: Its markets.
        log: Of the venue.
        capital: Its money.
        faults: Between gateway and terminal, of trading and of the server.
        seed: Of the faults.
        timeout_seconds: After which a call without an answer gives up.
    """
    terminal = SoakTerminal(SystemClock(), timeout_seconds=timeout_seconds)
    venue = new_terminal_venue(symbols, capital=capital)
    set_calendars(venue, symbols)
    add_account(terminal, venue, {"login": login, "password": PASSWORD, "server": SERVER}, FINE_LOTS, SUFFIX)
    terminal.disturb(FaultScript.parse(faults, seed=seed))
    terminal.book_log = BookLog(terminal, str(login), log)
    terminal.book_log.look()
    return terminal


# The door


def packed(value: Any) -> Any:
    """Return an answer of a terminal so that it can travel: structures by name, as they are no classes of a module."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return "struct", type(value).__name__, [packed(item) for item in value]
    if isinstance(value, tuple) and value and hasattr(value[0], "_fields"):
        return "rows", type(value[0]).__name__, [tuple(item) for item in value]
    return "value", "", value


def unpacked(said: Any) -> Any:
    """Return what `packed` packed."""
    kind, name, value = said
    if kind == "struct":
        return STRUCTURES[name](*(unpacked(item) for item in value))
    return tuple(STRUCTURES[name](*row) for row in value) if kind == "rows" else value


class TerminalDoor:
    """Lets other processes call a terminal, each over a connection of its own.

    Args:
        terminal: The terminal.
        path: Of the socket.
    """

    def __init__(self, terminal: SoakTerminal, path: Path) -> None:
        self._terminal, self._listener = terminal, Listener(str(path), "AF_UNIX", backlog=8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            while True:
                name, values, named = connection.recv()
                connection.send(packed(getattr(self._terminal, name)(*values, **named)))
        except (EOFError, OSError):
            connection.close()

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.close()


class RemoteTerminal:
    """The surface of the package, called through a door; what happens behind it is another process's.

    Args:
        path: Of the door's socket.
    """

    def __init__(self, path: Path) -> None:
        self._connection = Client(str(path), "AF_UNIX")
        self._turn = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name in mt5.CONSTANTS:
            return mt5.CONSTANTS[name]

        def call(*values: Any, **named: Any) -> Any:
            with self._turn:
                self._connection.send((name, values, named))
                return unpacked(self._connection.recv())

        return call
