"""The program between us and the trade server: it is started, dies, loses replies, and is switched by hand.

Separate from the functions of the package (`fake_terminal`), which all pass through `call`. A failure is `None` with
the reason in `last_error()`. Calls may come from any thread; one at a time is served, but who waits for a slow reply
holds nobody up.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.fake_terminal_prices import TerminalPrices
from tradesentry.core.broker.fake_terminal_profile import AccountTerms, SymbolTerms, TerminalTerms
from tradesentry.core.broker.fake_terminal_server import TradeServer
from tradesentry.core.broker.fake_terminal_venue import TerminalVenue
from tradesentry.core.broker.faults import Fault, FaultKind, FaultScript, Point
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.venue import Quote
from tradesentry.core.market.bars import BarArray

T = TypeVar("T")
TURN_SECONDS: Final = 0.001
ERRORS: Final = {
    mt5.RES_S_OK: "Success",
    mt5.RES_E_FAIL: "Generic fail",
    mt5.RES_E_INVALID_PARAMS: "Invalid params",
    mt5.RES_E_NOT_FOUND: "Not found",
    mt5.RES_E_AUTH_FAILED: "Authorization failed",
    mt5.RES_E_AUTO_TRADING_DISABLED: "Auto-trading disabled",
    mt5.RES_E_INTERNAL_FAIL: "Internal fail",
    mt5.RES_E_INTERNAL_FAIL_SEND: "IPC send failed",
    mt5.RES_E_INTERNAL_FAIL_RECEIVE: "IPC recv failed",
    mt5.RES_E_INTERNAL_FAIL_INIT: "IPC initialize failed",
    mt5.RES_E_INTERNAL_FAIL_CONNECT: "No IPC connection",
    mt5.RES_E_INTERNAL_FAIL_TIMEOUT: "IPC timeout",
}
_BEFORE: Final = {
    FaultKind.CONNECT_REFUSED: mt5.RES_E_INTERNAL_FAIL_CONNECT,
    FaultKind.TERMINAL_RESTART: mt5.RES_E_INTERNAL_FAIL_CONNECT,
    FaultKind.RESET_BEFORE: mt5.RES_E_INTERNAL_FAIL_SEND,
    FaultKind.STATUS: mt5.RES_E_INTERNAL_FAIL_SEND,
}
_AFTER: Final = {
    FaultKind.LOSE_REPLY: mt5.RES_E_INTERNAL_FAIL_RECEIVE,
    FaultKind.STATUS_AFTER: mt5.RES_E_INTERNAL_FAIL_RECEIVE,
    FaultKind.TRUNCATED: mt5.RES_E_INTERNAL_FAIL_RECEIVE,
    FaultKind.NOT_JSON: mt5.RES_E_INTERNAL_FAIL,
    FaultKind.WRONG_TYPE: mt5.RES_E_INTERNAL_FAIL,
    FaultKind.NO_REPLY: mt5.RES_E_INTERNAL_FAIL_TIMEOUT,
}
_NEVER_ARRIVED: Final = (FaultKind.CONNECT_REFUSED, FaultKind.TERMINAL_RESTART)
HTTP_TOO_MANY: Final = "429"


class Failed(Exception):
    """A call that ends without an answer.

    Args:
        code: One of the package's RES codes.
        text: In words; the package's own when empty.
        wait: Seconds until that is known.
    """

    def __init__(self, code: int, text: str = "", *, wait: float = 0.0) -> None:
        super().__init__(code, text or ERRORS[code])
        self.wait = wait


def retcode_of(fault: Fault) -> int | None:
    """Return the retcode that a fault of kind STATUS answers with; HTTP has one that a trade server has as well."""
    if fault.kind not in (FaultKind.STATUS, FaultKind.STATUS_AFTER):
        return None
    if fault.value == HTTP_TOO_MANY:
        return mt5.TRADE_RETCODE_TOO_MANY_REQUESTS
    return int(fault.value) if int(fault.value) >= mt5.TRADE_RETCODE_REQUOTE else None


class TerminalProgram:
    """The terminal as a process.

    Args:
        clock: Time of everything behind it.
        faults: What goes wrong between us and it, and in trading.
        program: Its settings.
        timeout_seconds: After which a call that is not answered gives up.
        pause: How a call lets time pass; None waits on `clock`, which somebody else has to move.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        faults: FaultScript | None = None,
        program: TerminalTerms | None = None,
        timeout_seconds: float = 60.0,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self.clock, self.faults = clock, faults or FaultScript()
        self.program = program or TerminalTerms()
        self.servers: dict[int, TradeServer] = {}
        """By login."""
        self.is_running = True
        """Whether the program can be started."""
        self.n_requests = 0
        """Trade requests that reached the program."""
        self.n_restarts = 0
        self._prices: dict[int, TerminalPrices] = {}
        self._login = 0
        self._is_linked = False
        self._error = (mt5.RES_E_INTERNAL_FAIL_CONNECT, ERRORS[mt5.RES_E_INTERNAL_FAIL_CONNECT])
        self._timeout_seconds, self._pause = timeout_seconds, pause or self._wait_on_clock
        self._lock = threading.RLock()
        self._is_released = threading.Event()
        self._late: list[tuple[int, Callable[[], object]]] = []

    # Hands

    def add_account(self, venue: TerminalVenue, symbols: list[SymbolTerms], terms: AccountTerms) -> TradeServer:
        """Make an account known; the first one is logged in."""
        server = TradeServer(venue, symbols, terms, self.program, self.clock, faults=self.faults)
        self.servers[terms.login], self._prices[terms.login] = server, TerminalPrices(venue, terms)
        self._login = self._login or terms.login
        return server

    @property
    def server(self) -> TradeServer:
        """The trade server of the account that is logged in."""
        return self.servers[self._login]

    @property
    def prices(self) -> TerminalPrices:
        """The market as the present account sees it."""
        return self._prices[self._login]

    @property
    def venue(self) -> TerminalVenue:
        """The paper account behind the present login."""
        return self.server.venue

    @property
    def terms(self) -> AccountTerms:
        """Terms of the present account."""
        return self.server.terms

    def show(self, quote: Quote) -> None:
        """Bring a price to all accounts."""
        with self._lock:
            for login, server in self.servers.items():
                symbol = server.symbols.get(quote.symbol)
                if symbol is not None:
                    self._prices[login].heard(quote, point=symbol.point)
                    server.show(quote)
            self._run_late()

    def load(self, symbol: str, bars: BarArray) -> None:
        """Give all accounts a history of one-minute bars of a canonical symbol."""
        for login, server in self.servers.items():
            self._prices[login].load(server.symbols[symbol], bars)

    def pump(self) -> None:
        """Do what is due by now."""
        with self._lock:
            self._run_late()
            for server in self.servers.values():
                server.catch_up()

    def disturb(self, faults: FaultScript) -> None:
        """From now on let a script say what goes wrong, on the way and in trading."""
        with self._lock:
            self.faults = faults
            for server in self.servers.values():
                server.faults = faults

    def restart(self) -> None:
        """Let the program die and come up again; who used it has to initialize again."""
        with self._lock:
            self._is_linked = False
            self.n_restarts += 1

    def switch_login(self, login: int) -> None:
        """Log in to another known account by hand."""
        with self._lock:
            self._login = login

    def release(self) -> None:
        """End the wait of all calls that hang."""
        self._is_released.set()

    # Calls

    def last_error(self) -> tuple[int, str]:
        """Return the code and text of the last call's failure, (1, "Success") after a success."""
        return self._error

    def fail(self, code: int, text: str = "") -> None:
        """Note why a call failed."""
        self._error = (code, text or ERRORS[code])

    def call(self, operation: str, work: Callable[[], T], *, refuse: Callable[[int], T] | None = None) -> T | None:
        """Return what `work` returns, or what a fault leaves of it; None when it failed.

        Args:
            operation: In the language of faults.
            work: What the program does; raises `Failed`.
            refuse: How an answer with a retcode looks, for trade requests.
        """
        with self._lock:
            answer: T | None = None
            try:
                answer, wait = self._served(operation, work, refuse)
            except Failed as failure:
                self.fail(*failure.args)
                wait = failure.wait
        if wait > 0:
            self._pause(min(wait, self._timeout_seconds))
            self.pump()
        if wait >= self._timeout_seconds:
            self.fail(mt5.RES_E_INTERNAL_FAIL_TIMEOUT)
            return None
        return answer

    def _served(self, operation: str, work: Callable[[], T], refuse: Callable[[int], T] | None) -> tuple[T, float]:
        """Return the answer and the seconds it takes.

        Raises:
            Failed: There is none.
        """
        if not self._is_linked:
            raise Failed(mt5.RES_E_INTERNAL_FAIL_CONNECT)
        self.pump()
        self._error = (mt5.RES_S_OK, ERRORS[mt5.RES_S_OK])
        fault = self.faults.draw(Point.WIRE, operation)
        self.n_requests += refuse is not None and (fault is None or fault.kind not in _NEVER_ARRIVED)
        return (work(), 0.0) if fault is None else self._disturbed(fault, work, refuse)

    def _disturbed(self, fault: Fault, work: Callable[[], T], refuse: Callable[[int], T] | None) -> tuple[T, float]:
        code = retcode_of(fault)
        if fault.kind is FaultKind.TERMINAL_RESTART:
            self.restart()
        if fault.kind is FaultKind.LATE:
            self._late.append((self.clock.now_ns() + round(fault.number * NS_PER_SECOND), work))
            raise Failed(mt5.RES_E_INTERNAL_FAIL_TIMEOUT, wait=self._timeout_seconds)
        if fault.kind in _BEFORE and code is None:
            raise Failed(_BEFORE[fault.kind])
        if fault.kind is FaultKind.STATUS and code is not None and refuse is not None:
            return refuse(code), 0.0
        answer = work()
        if fault.kind is FaultKind.STATUS_AFTER and code is not None and refuse is not None:
            return refuse(code), 0.0
        if fault.kind in _AFTER:
            is_silent = fault.kind is FaultKind.NO_REPLY
            raise Failed(_AFTER[fault.kind], wait=self._timeout_seconds if is_silent else 0.0)
        return answer, fault.number if fault.kind is FaultKind.SLOW else 0.0

    def _run_late(self) -> None:
        now = self.clock.now_ns()
        due = [work for at_ns, work in self._late if at_ns <= now]
        self._late = [(at_ns, work) for at_ns, work in self._late if at_ns > now]
        for work in due:
            with suppress(Failed):
                work()

    def _wait_on_clock(self, seconds: float) -> None:
        due = self.clock.monotonic() + seconds
        while self.clock.monotonic() < due and not self._is_released.wait(TURN_SECONDS):
            pass

    # Starting

    def initialize(
        self,
        path: str = "",
        *,
        login: int = 0,
        password: str = "",
        server: str = "",
        timeout: int = 60_000,
        portable: bool = False,
    ) -> bool:
        """Start or find the program and connect to it, logging in where a login is given."""
        del path, timeout, portable
        with self._lock:
            if not self.is_running or self.faults.draw(Point.WIRE, "connect") is not None:
                self.fail(mt5.RES_E_INTERNAL_FAIL_INIT)
                return False
            if login and not self._log_in(login, password, server):
                return False
            self._is_linked = True
            self._error = (mt5.RES_S_OK, ERRORS[mt5.RES_S_OK])
            return True

    def login(self, login: int, password: str = "", server: str = "", timeout: int = 60_000) -> bool:
        """Log in to an account."""
        del timeout
        with self._lock:
            if self._is_linked:
                return self._log_in(login, password, server)
            self.fail(mt5.RES_E_INTERNAL_FAIL_CONNECT)
            return False

    def _log_in(self, login: int, password: str, server: str) -> bool:
        known = self.servers.get(login)
        is_known = known is not None and password in ("", known.terms.password) and server in ("", known.terms.server)
        if not is_known:
            self.fail(mt5.RES_E_AUTH_FAILED)
            return False
        self._login = login
        self._error = (mt5.RES_S_OK, ERRORS[mt5.RES_S_OK])
        return True

    def shutdown(self) -> None:
        """Disconnect from the program."""
        with self._lock:
            self._is_linked = False

    def version(self) -> tuple[int, int, str] | None:
        """Return (terminal version, build, date of the build)."""
        return self.call("read", lambda: (500, self.program.build, "22 Nov 2025"))

    def __getattr__(self, name: str) -> Any:
        """Return a constant of the package."""
        if name in mt5.CONSTANTS:
            return mt5.CONSTANTS[name]
        raise AttributeError(f"module 'MetaTrader5' has no attribute {name!r}")
