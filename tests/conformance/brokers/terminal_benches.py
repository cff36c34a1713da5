"""Benches of MetaTrader 5: in process, and through the gateway, each over a fake terminal."""

import itertools
import tempfile
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

from tests.support.fault_proxy import FaultyProxy
from tests.support.terminals import new_terminal
from tests.support.venues import TUESDAY_NS
from tradesentry.core.broker.commands import CommandGate, Throttle
from tradesentry.core.broker.faults import FaultScript
from tradesentry.core.broker.mt5 import Mt5Broker
from tradesentry.core.broker.mt5_gateway import Mt5Gateway
from tradesentry.core.broker.mt5_gateway_client import GatewayLink, Mt5GatewayBroker
from tradesentry.core.broker.mt5_session import Mt5Session
from tradesentry.core.broker.mt5_terminal import Mt5Link
from tradesentry.core.domain.clock import FakeClock

TOKEN = "0123456789abcdef"
UNIT_LOTS = {"volume_min": Decimal("0.00001"), "volume_step": Decimal("0.00001")}
"""Lots fine enough that one unit can be traded, as at the other venues."""


def terminal_for(clock, *, symbol=None, **options):
    """Return a terminal that trades single units and gives a call up after 12 s. Arguments as `new_terminal`."""
    options = {"timeout_seconds": 12.0} | options
    return new_terminal(clock=clock, symbol=UNIT_LOTS | (symbol or {}), **options)


def link_to(terminal, **differences):
    """Return the link to a terminal's account."""
    terms = terminal.terms
    fields = {
        "login": terms.login,
        "server": terms.server,
        "environment": "practice",
        "currency": "USD",
        "is_hedging": terms.is_hedging,
        "server_tz": terms.server_tz,
        "symbols": {name: symbol.name for name, symbol in terminal.server.symbols.items()},
    }
    return Mt5Link(**(fields | differences))


def session_of(terminal, clock, *, folder=None, link=None, ids=None, **options):
    """Return a session with a terminal, its logs in a folder of its own."""
    numbers = ids or itertools.count(1)
    return Mt5Session(
        link or link_to(terminal),
        clock,
        folder=Path(folder or tempfile.mkdtemp(prefix="ts-mt5-")),
        new_log_id=lambda: f"log-{next(numbers)}",
        package=terminal,
        **options,
    )


def open_gate(clock):
    """Return a gate that holds nothing back."""
    return CommandGate(clock, throttle=Throttle(clock, per_second=1e4, burst=1e4))


@asynccontextmanager
async def running_gateway(terminal, clock, *, folder=None, **options):
    """Serve a terminal on loopback."""
    broker = Mt5Broker(session_of(terminal, clock, folder=folder), clock, gate=open_gate(clock))
    gateway = Mt5Gateway(broker, clock, token=TOKEN, **options)
    await gateway.start()
    try:
        yield gateway
    finally:
        terminal.release()
        await gateway.stop()


@asynccontextmanager
async def proxied(gateway, clock, faults, seed=0):
    """Put a proxy in front of a gateway."""
    proxy = FaultyProxy(gateway.url, clock, faults=FaultScript.parse(faults, seed=seed))
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


def client_of(terminal, url, clock, *, gate=None, **differences):
    """Return a broker that talks to a gateway."""
    fields = {
        "url": url,
        "login": terminal.terms.login,
        "environment": "practice",
        "currency": "USD",
        "is_hedging": terminal.terms.is_hedging,
        "token": TOKEN,
    }
    return Mt5GatewayBroker(GatewayLink(**(fields | differences)), clock, gate=gate)


def new_clock():
    """Return a clock that stands at Tuesday noon."""
    return FakeClock(TUESDAY_NS)
