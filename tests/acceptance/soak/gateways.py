"""The soak's gateway: the product's server as a process of its own, and the wire in front of it that breaks.

A trader talks to the proxy, which logs every command that arrives and from whom, and forwards it to the gateway, which
calls the terminal in the venue's process. Each of the three dies or fails by itself.
"""

import asyncio
import json
import random
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
from pydantic import SecretStr

from tests.acceptance.soak.fronts import VenueLog
from tests.acceptance.soak.terminals import (
    PASSWORD,
    SERVER,
    SERVER_TZ,
    RemoteTerminal,
    SoakTerminal,
    TerminalDoor,
    new_soak_terminal,
)
from tests.support.fault_proxy import FaultyProxy
from tests.support.terminals import SUFFIX
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.domain.clock import SystemClock
from tradesentry.core.domain.errors import BrokerError
from tradesentry.core.domain.venue import Quote
from tradesentry.settings import Settings
from tradesentry.workers.mt5_gateway import GatewayConfig, serve

TOKEN = "soak-gateway-token"
HANG_SECONDS = 3.0
"""How long the wire holds a connection on which nothing comes back; the trader has given up by then."""


@dataclass(frozen=True)
class GatewaySettings:
    """One gateway."""

    login: int
    port: int
    symbols: tuple[str, ...]
    folder: Path
    """Of the soak; the gateway's logs are below it."""

    @property
    def door(self) -> Path:
        """Socket of the terminal."""
        return door_of(self.folder, self.login)

    @property
    def logs(self) -> Path:
        """Folder of the outcome and event logs."""
        return logs_of(self.folder, str(self.login))


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def door_of(folder: Path, login: int) -> Path:
    """Return the socket through which a terminal is called."""
    return folder / f"terminal-{login}"


def logs_of(folder: Path, account: str) -> Path:
    """Return the folder of a gateway's logs."""
    return folder / f"gateway-{account}"


def run_gateway(given: GatewaySettings) -> None:
    """Be a gateway until killed or told to stop."""
    config = GatewayConfig(
        server_tz=SERVER_TZ, symbols={name: f"{name}{SUFFIX}" for name in given.symbols}, port=given.port
    )
    secrets = Settings(
        mt5_login=given.login, mt5_password=SecretStr(PASSWORD), mt5_server=SERVER, mt5_gateway_token=SecretStr(TOKEN)
    )

    async def play() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        package = RemoteTerminal(given.door)
        await serve(config, secrets, SystemClock(), stop, folder=given.logs, say=lambda _: None, package=package)

    # A terminal that is down while it starts ends it; it is started again.
    with suppress(BrokerError):
        asyncio.run(play())


class LoggedProxy(FaultyProxy):
    """The wire between traders and a gateway; notes which command arrived from whom.

    A trader's token is its name, so that one that sends without right is found; the gateway's own token replaces it.
    """

    def __init__(self, upstream: str, account: str, log: VenueLog, faults: FaultScript) -> None:
        super().__init__(upstream, SystemClock(), faults=faults, hang_seconds=HANG_SECONDS)
        self._account, self._log = account, log

    async def _forward(self, head: Any, body: bytes, connection: Any, writer: Any) -> Any:
        given = dict(head.headers)[b"authorization"].decode().removeprefix("Bearer ")
        if head.method == b"POST":
            said = {"method": "POST", "path": head.target.decode(), "body": json.loads(body)}
            self._log.write("request", account=self._account, n=self.n_commands + 1, sender=given, **said)
        kept = [(name, value) for name, value in head.headers if name != b"authorization"]
        headers = [*kept, (b"authorization", f"Bearer {TOKEN}".encode())]
        known = h11.Request(method=head.method, target=head.target, headers=headers)
        return await super()._forward(known, body, connection, writer)


class GatewayFront:
    """One account at a terminal, behind a gateway and a wire that breaks.

    Args:
        login: Of the account.
        symbols: Its markets.
        log: Of the venue.
        folder: Of the soak.
        upstream: Address of the gateway.
        capital: Its money.
        seed: Of its faults.
        wire: Faults between trader and gateway.
        terminal: Faults between gateway and terminal, of trading and of the server.
        timeout_seconds: After which a call of the terminal gives up.
    """

    def __init__(
        self,
        login: int,
        symbols: Sequence[str],
        log: VenueLog,
        *,
        folder: Path,
        upstream: str,
        capital: float,
        seed: int,
        wire: str,
        terminal: str,
        timeout_seconds: float,
    ) -> None:
        self.account = str(login)
        self.terminal: SoakTerminal = new_soak_terminal(
            login, symbols, log, capital=capital, faults=terminal, seed=seed, timeout_seconds=timeout_seconds
        )
        self._door = TerminalDoor(self.terminal, door_of(folder, login))
        self._proxy = LoggedProxy(upstream, self.account, log, FaultScript.parse(wire, seed=seed + 1))
        self.url = ""

    @property
    def last_seq(self) -> int:
        """Number of the newest line of the books."""
        return 0 if self.terminal.book_log is None else self.terminal.book_log.last_seq

    async def start(self, *, port: int = 0) -> None:
        """Listen."""
        del port
        await self._proxy.start()
        self.url = self._proxy.url

    async def stop(self) -> None:
        """Listen no more."""
        self._door.close()
        self.terminal.release()
        await self._proxy.stop()

    def show(self, quote: Quote) -> None:
        """Bring a price."""
        self.terminal.show(quote)

    def scripts(self) -> Sequence[FaultScript]:
        """Return the faults of the wire and of the terminal."""
        return self._proxy.faults, self.terminal.faults

    def calm(self) -> None:
        """Stop breaking things; what was already under way still happens."""
        self._proxy.faults = FaultScript()
        self.terminal.disturb(FaultScript())

    def state(self) -> dict[str, Any]:
        """Return the account."""
        with self.terminal._lock:
            self.terminal.pump()
            info, books = self.terminal.server.money.account_info(), self.terminal.server.books
            return {
                "balance": str(info.balance),
                "equity": str(info.equity),
                "last_seq": self.last_seq,
                "trades": {
                    str(row.identifier): [row.terms.symbol, int(row.side), f"{abs(row.net):f}", row.sl or None]
                    for row in books.positions.values()
                },
                "orders": [str(row.ticket) for row in books.orders.values() if row.is_pending],
            }

    def arm(self, pid: int) -> None:
        """Kill a process at the next entry."""
        self.terminal.target = pid

    def meddle(self, action: str, rng: random.Random) -> None:
        """Do something by hand."""
        self.terminal.meddle(action, rng)
