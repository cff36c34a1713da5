"""Who is on the other side: an account that is not the linked one is never traded."""

from contextlib import asynccontextmanager

import pytest

from tests.conformance.brokers.conftest import play
from tests.conformance.brokers.terminal_benches import (
    client_of,
    link_to,
    new_clock,
    running_gateway,
    session_of,
    terminal_for,
)
from tests.support.venues import new_venue
from tradesentry.core.broker.fake_oanda import FakeOanda
from tradesentry.core.broker.mt5 import Mt5Broker
from tradesentry.core.broker.oanda import OandaBroker, OandaLink
from tradesentry.core.domain.errors import AccountMismatch, BrokerAuthError


@asynccontextmanager
async def oanda_link(**differences):
    """Open an OANDA broker whose link differs from the account."""
    clock = new_clock()
    server = FakeOanda(new_venue(), clock)
    await server.start()
    names = {"account": server.venue.account, "currency": "USD", "is_hedging": True, "token": "token"}
    link = OandaLink(base_url=server.url, stream_url=server.url, environment="practice", **(names | differences))
    broker = OandaBroker(link, clock)
    try:
        yield broker
    finally:
        await broker.close()
        await server.stop()


@asynccontextmanager
async def mt5_link(**differences):
    """Open a terminal whose link differs from the account."""
    clock = new_clock()
    terminal = terminal_for(clock)
    broker = Mt5Broker(session_of(terminal, clock, link=link_to(terminal, **differences)), clock)
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def gateway_link(**differences):
    """Open a gateway's client whose link differs from the account."""
    clock = new_clock()
    terminal = terminal_for(clock)
    async with running_gateway(terminal, clock) as gateway:
        broker = client_of(terminal, gateway.url, clock, **differences)
        try:
            yield broker
        finally:
            await broker.close()


CASES = [
    (oanda_link, {"account": "001-001-9999999-009"}, BrokerAuthError),
    (oanda_link, {"token": "stolen"}, BrokerAuthError),
    (oanda_link, {"currency": "EUR"}, AccountMismatch),
    (oanda_link, {"is_hedging": False}, AccountMismatch),
    (mt5_link, {"login": 9_999_999}, BrokerAuthError),
    (mt5_link, {"password": "stolen"}, BrokerAuthError),
    (mt5_link, {"environment": "live"}, AccountMismatch),
    (mt5_link, {"currency": "EUR"}, AccountMismatch),
    (mt5_link, {"is_hedging": False}, AccountMismatch),
    (mt5_link, {"symbols": {"EURUSD": "USDJPY.m"}}, AccountMismatch),
    (mt5_link, {"symbols": {"EURUSD": "EURUSD.pro"}}, AccountMismatch),
    (gateway_link, {"login": 9_999_999}, AccountMismatch),
    (gateway_link, {"token": "stolen-token-16-characters"}, BrokerAuthError),
    (gateway_link, {"environment": "live"}, AccountMismatch),
    (gateway_link, {"currency": "EUR"}, AccountMismatch),
    (gateway_link, {"is_hedging": False}, AccountMismatch),
]


@pytest.mark.parametrize(
    ("opened", "differences", "error"), CASES, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_an_account_that_is_not_the_linked_one_is_refused(opened, differences, error):
    async def case():
        async with opened(**differences) as broker:
            await broker.connect()

    with pytest.raises(error) as caught:
        play(case())
    assert "5012345" not in str(caught.value)
    assert "stolen" not in str(caught.value)
