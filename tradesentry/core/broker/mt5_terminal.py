"""Drive one terminal from inside its owner thread: a connection that is proven, what it shows, and the logs beside it.

Every function of the package is called through `call`, which knows that failure is `None`. After an IPC fault or a call
that hung the connection is made anew, its login proven and the account looked at before anything else happens; so no
command ever meets a terminal that nobody has reconciled.
"""

import importlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.mt5_events import Look, TerminalFold, baseline_of
from tradesentry.core.broker.mt5_logs import EventLog, OutcomeLog
from tradesentry.core.broker.mt5_messages import TRADES, Symbol, check_symbol, client_of, propose_symbols, read_symbol
from tradesentry.core.broker.mt5_time import ServerClock
from tradesentry.core.domain.clock import NS_PER_SECOND, Clock
from tradesentry.core.domain.errors import (
    AccountMismatch,
    BrokerAuthError,
    BrokerUnavailable,
    ConfigError,
    UsageError,
)
from tradesentry.core.domain.events import BrokerEvent
from tradesentry.core.domain.money import decimal_of
from tradesentry.core.domain.venue import AccountState
from tradesentry.core.market.instruments import canonical_symbol

T = TypeVar("T")
DAY_NS: Final = 86_400 * NS_PER_SECOND
IPC_ERRORS: Final = frozenset(range(mt5.RES_E_INTERNAL_FAIL_TIMEOUT, mt5.RES_E_INTERNAL_FAIL + 1))
ENVIRONMENTS: Final = {mt5.ACCOUNT_TRADE_MODE_DEMO: "practice", mt5.ACCOUNT_TRADE_MODE_CONTEST: "practice"}


@dataclass(frozen=True, slots=True)
class Mt5Link:
    """The account that was linked, and how its terminal is reached."""

    login: int
    server: str
    environment: str
    """practice or live."""
    currency: str
    is_hedging: bool
    server_tz: str
    """Clock of the server: Europe/Athens, America/New_York+7h."""
    symbols: Mapping[str, str] = field(default_factory=dict)
    """Name at this broker by canonical symbol; pinned, because names differ and lie."""
    password: str = field(default="", repr=False)
    terminal: str = ""
    """Path of the terminal's program; the one that runs when empty."""
    deviation_points: int = 20
    """Slippage allowed on instant execution where an order names no bound."""


class Mt5Terminal:
    """One account at one terminal. Arguments as `Mt5Session`; `on_events` is called when events are on disk."""

    outcomes: OutcomeLog
    log: EventLog
    fold: TerminalFold

    def __init__(
        self,
        link: Mt5Link,
        clock: Clock,
        *,
        folder: Path,
        new_log_id: Callable[[], str],
        package: Any,
        on_events: Callable[[], None],
    ) -> None:
        self.account = str(link.login)
        self.server_clock = ServerClock(link.server_tz)
        self.symbols: dict[str, Symbol] = {}
        """Pinned symbols by canonical name."""
        self.filling: dict[tuple[str, bool, bool], int] = {}
        """Filling mode that the terminal took, by (name, is pending, allow partial)."""
        self.is_stale = True
        """The connection has to be made anew before it is used."""
        self.is_online = False
        """Whether the terminal was connected to its server at the last look."""
        self.link, self._clock, self._package = link, clock, package
        self._folder, self._new_log_id, self._on_events = folder, new_log_id, on_events
        self._by_name: dict[str, Symbol] = {}
        self._has_logs = False
        self._looked_through_ns = 0
        self._owner: int | None = None
        self._handing_over = threading.Lock()
        """Held while the owner numbers events: another thread takes over before or after that, never in between."""

    def call(self, name: str, *values: Any, **named: Any) -> Any:
        """Return the result of a function of the package.

        Raises:
            BrokerUnavailable: It failed.
        """
        self.check_owner()
        result = getattr(self._package, name)(*values, **named)
        if result is not None:
            return result
        code, text = self.last_error()
        if code == mt5.RES_S_OK:
            # Older builds say "nothing found" by None and no error.
            return ()
        raise BrokerUnavailable(
            f"The terminal failed at {name}: {code} {text}. Nothing was changed; it is tried again.",
            code="terminal_ipc" if code in IPC_ERRORS else "terminal_failed",
        )

    def _take_over(self) -> None:
        with self._handing_over:
            self._owner = threading.get_ident()

    def check_owner(self) -> None:
        """Check that this thread still owns the terminal.

        Raises:
            BrokerUnavailable: It hung for so long that another thread took over.
        """
        if threading.get_ident() != self._owner:
            raise BrokerUnavailable("This call hung until another thread took the terminal over.", code="superseded")

    def send(self, request: Mapping[str, Any]) -> Any | None:
        """Call `order_send`; None when the package failed, `last_error` says how."""
        return self._package.order_send(dict(request))

    def last_error(self) -> tuple[int, str]:
        """Return the last error; an IPC fault makes the next call connect anew."""
        code, text = self._package.last_error()
        if code in IPC_ERRORS:
            self.is_stale = True
        return int(code), str(text)

    def client_of(self, magic: int) -> str | None:
        """Return our id of a magic number."""
        return client_of(int(magic))

    def symbol_of(self, name: str) -> Symbol:
        """Return the symbol of a name at the terminal, pinned or not."""
        if name not in self._by_name:
            pinned = {theirs: ours for ours, theirs in self.link.symbols.items()}
            info = self.call("symbol_info", name)
            self._by_name[name] = read_symbol(info, pinned.get(name) or canonical_symbol(name))
        return self._by_name[name]

    def read_symbols(self) -> dict[str, Symbol]:
        """Read the pinned symbols anew."""
        found: dict[str, Symbol] = {}
        for symbol, name in self.link.symbols.items():
            info = self._package.symbol_info(name) if self._package.symbol_select(name, True) else None
            if info is None and self.last_error()[0] in IPC_ERRORS:
                raise BrokerUnavailable(f"The terminal failed when it was asked for {name}. It is tried again.")
            check_symbol(info, symbol, name)
            found[symbol] = read_symbol(info, symbol)
        self._by_name = {item.name: item for item in found.values()}
        self.symbols = found
        return found

    def window(self, since_ns: int) -> tuple[int, int]:
        """Return a history window in server seconds, a day wider on both sides."""
        to_s = self.server_clock.to_server_s
        return to_s(since_ns - DAY_NS), to_s(self._clock.now_ns() + DAY_NS)

    def look(self) -> Look:
        """Return what the terminal shows now. The history is read first, so an order is never in neither.

        Raises:
            AccountMismatch: Somebody has logged in to another account, whose events are none of ours.
        """
        self._check_account(self.call("account_info"))
        window = self.window(self._looked_through_ns)
        now_ns = self._clock.now_ns()
        deals, past = self.call("history_deals_get", *window), self.call("history_orders_get", *window)
        shown = Look(self.call("orders_get"), self.call("positions_get"), past, deals)
        self.is_online = bool(self.call("terminal_info").connected)
        if self.is_online:
            self._looked_through_ns = now_ns
        return shown

    def refresh(self) -> tuple[BrokerEvent, ...]:
        """Look at the account, log what has happened since the last look, and return it."""
        now_ns = self._clock.now_ns()
        rows = self.fold.rows(self.look(), now_ns=now_ns)
        with self._handing_over:
            self.check_owner()
            events = self.log.add(rows, now_ns=now_ns)
            for event in events:
                self.fold.learn(event)
        if events:
            self._on_events()
        return events

    def state(self) -> AccountState:
        """Return the money of the account, as of the last event in the log."""
        for _ in range(5):
            self.refresh()
            info, as_of_ns = self.call("account_info"), self._clock.now_ns()
            if not self.refresh():
                break
        balance, equity = decimal_of(info.balance), decimal_of(info.equity)
        return AccountState(
            account=str(info.login),
            balance=balance,
            equity=equity,
            unrealized=equity - balance - decimal_of(info.credit),
            margin_used=decimal_of(info.margin),
            margin_free=decimal_of(info.margin_free),
            currency=str(info.currency),
            log_id=self.log.log_id,
            last_seq=self.log.last_seq,
            is_hedging=info.margin_mode == mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING,
            as_of_ns=as_of_ns,
            environment=ENVIRONMENTS.get(info.trade_mode, "live"),
        )

    def proven(self, work: Callable[[], T]) -> T:
        """Run `work` on a connection that is proven; make it anew when it is not."""
        self._take_over()
        try:
            if self.is_stale:
                self._connect()
                if self._has_logs:
                    self.refresh()
                else:
                    self._open_logs()
                self.is_stale = False
            return work()
        except OSError as error:
            raise BrokerUnavailable(
                f"The logs beside the terminal cannot be written: {error}. Free the disk; nothing is sent until then.",
                code="log_failed",
            ) from error

    def fitting_symbols(self) -> dict[str, str]:
        """Log in and return which symbol each instrument of ours probably is, for a person to confirm.

        Raises:
            BrokerError: The terminal cannot be opened, or is logged in to another account.
        """
        self._take_over()
        self._log_in()
        return propose_symbols(self.call("symbols_get"))

    def _connect(self) -> None:
        self._log_in()
        if not self.link.symbols:
            pins = ", ".join(f"{symbol}: {name}" for symbol, name in propose_symbols(self.call("symbols_get")).items())
            raise ConfigError(
                f"The account has no pinned symbols. What fits: {pins:.600}. Confirm them once in the configuration."
            )
        self.read_symbols()
        self.filling.clear()

    def _log_in(self) -> None:
        link = self.link
        if self._package is None:
            self._package = _package()
        self._package.shutdown()
        named: dict[str, Any] = {"login": link.login, "server": link.server}
        if link.password:
            named["password"] = link.password
        path = (link.terminal,) if link.terminal else ()
        if not self._package.initialize(*path, **named):
            code, text = self._package.last_error()
            said = f"The terminal could not be opened: {code} {text}."
            if code == mt5.RES_E_AUTH_FAILED:
                raise BrokerAuthError(f"{said} Check MT5_LOGIN, MT5_PASSWORD and MT5_SERVER.")
            raise BrokerUnavailable(f"{said} Check that it is installed, running and logged in.")
        self._check_account(self.call("account_info"))

    def _check_account(self, info: Any) -> None:
        link = self.link
        found = (
            info.login,
            ENVIRONMENTS.get(info.trade_mode, "live"),
            str(info.currency),
            info.margin_mode == mt5.ACCOUNT_MARGIN_MODE_RETAIL_HEDGING,
        )
        wanted = (link.login, link.environment, link.currency, link.is_hedging)
        if found == wanted:
            return
        shown = [(f"…{str(login)[-3:]}", *rest) for login, *rest in (found, wanted)]
        raise AccountMismatch(
            f"The terminal's account is {shown[0]} (login, environment, currency, hedging) and the link says "
            f"{shown[1]}. Log in to the linked account at the terminal, or link this one."
        )

    def _open_logs(self) -> None:
        now_ns, folder = self._clock.now_ns(), self._folder
        self.outcomes = OutcomeLog(folder / "outcomes.jsonl", now_ns=now_ns)
        try:
            # A log that was lost or damaged is told again as far back as commands of ours may be missing from it.
            oldest_ns = self.outcomes.oldest_ns
            self._looked_through_ns = oldest_ns or now_ns
            self.log = EventLog(
                folder / "events.jsonl",
                account=self.account,
                now_ns=now_ns,
                new_log_id=self._new_log_id,
                baseline=lambda: self._baseline(is_told_again=oldest_ns is not None),
            )
        except BaseException:
            self.outcomes.close()
            raise
        self._has_logs = True
        self.fold = TerminalFold(self.server_clock, self.symbol_of, self.client_of, self.log.baseline)
        for event in self.log.events:
            self.fold.learn(event)
        if self.log.is_new:
            self._looked_through_ns = oldest_ns or now_ns
        else:
            self._looked_through_ns = max((event.received_ts_ns for event in self.log.events), default=self.log.born_ns)
        self.refresh()

    def _baseline(self, *, is_told_again: bool) -> dict[str, Any]:
        empty = TerminalFold(
            self.server_clock,
            self.symbol_of,
            self.client_of,
            {"orders": {}, "past_orders": [], "deals": [], "positions": {}},
        )
        shown = self.look()
        if is_told_again:
            # Fills are known by their deals; a deposit that is told twice would be two.
            shown = Look((), (), (), [deal for deal in shown.deals if deal.type not in TRADES])
        return baseline_of(shown, self.symbol_of, empty.terms_of)

    def shut(self) -> None:
        self.close_logs()
        if self._package is not None:
            self._package.shutdown()

    def close_logs(self) -> None:
        if self._has_logs:
            self.outcomes.close()
            self.log.close()


def _package() -> Any:
    """Return the official package, which exists for Windows only."""
    try:
        return importlib.import_module("MetaTrader5")
    except ImportError as error:
        raise UsageError(
            "The MetaTrader5 package is not installed; it exists for Windows only. Install it there with "
            "`pip install MetaTrader5`, or run `tradesentry mt5-gateway` on a Windows host and set MT5_GATEWAY_URL.",
            code="no_terminal_package",
        ) from error
