"""The OANDA adapter through Prism, which lets nothing pass that the venue's own description does not allow.

The job `oanda-contract`. Prism stands between the adapter and the fake OANDA and checks each request and each reply; on
a violation the adapter hears an error instead of the fake's answer, so the same work done with and without Prism has
the same outcomes only when every message is as described. Commands and reads, no streams.
"""

import asyncio
import os
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.conformance.brokers.conftest import Bench, gate_of
from tests.conftest import ROOT
from tests.support import prism as prism_process
from tests.support.markets import make_bars, utc
from tests.support.venues import TUESDAY_NS, entry, new_venue, quote_at
from tradesentry.core.broker.base_broker import Accepted, OrderChange, OrderRef, Refused, TradeRef
from tradesentry.core.broker.fake_oanda import FakeOanda
from tradesentry.core.broker.oanda import OandaBroker, OandaLink
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.errors import BrokerError, BrokerUnavailable
from tradesentry.core.domain.live_orders import TimeInForce, client_order_id
from tradesentry.core.domain.orders import OrderType, Side

pytestmark = pytest.mark.reference
DESCRIPTION = "v20-3.0.25.overlay.openapi3.json"
PATIENCE = 60.0
"""Real seconds for one case; its own clock stands still, so no deadline of the adapter passes."""
BARS = make_bars(np.full((8, 4), 1.1), start="2024-03-10T20:00", minutes=15, spread=0.0002)
MARKET = {"type": "MARKET", "instrument": "EUR_USD", "units": "100", "timeInForce": "FOK"}
LIMIT = {"type": "LIMIT", "instrument": "EUR_USD", "units": "100", "price": "1.05", "timeInForce": "GTC"}
PRICELESS = {name: value for name, value in LIMIT.items() if name != "price"}
TOKEN = {"Authorization": "Bearer token"}


@pytest.fixture(scope="module")
def prism(tmp_path_factory):
    folder = Path(os.environ.get("TRADESENTRY_SHARED_REFERENCE") or ROOT.parent / "shared" / "reference") / "oanda"
    if not (folder / DESCRIPTION).is_file():
        pytest.skip(f"OANDA's description is not here ({folder}); set TRADESENTRY_SHARED_REFERENCE to its parent")
    if reason := prism_process.missing():
        pytest.skip(reason)
    with prism_process.running(folder / DESCRIPTION, tmp_path_factory.mktemp("prism")) as running:
        yield running


@asynccontextmanager
async def bench_behind(prism, *, trading=""):
    """Open the adapter in front of a fake OANDA, with Prism between the two where it is given."""
    clock = FakeClock(TUESDAY_NS)
    venue = new_venue(faults=trading)
    server = FakeOanda(venue, clock, history=lambda symbol, granularity, start, end: BARS)
    await server.start(port=0 if prism is None else prism.upstream_port)
    url = server.url if prism is None else prism.url
    broker = OandaBroker(
        OandaLink(venue.account, "token", url, server.url, "practice", "USD", is_hedging=True),
        clock,
        gate=gate_of(clock, None, {}),
    )
    server.show(quote_at(1.1000))
    server.show(quote_at(150.0, symbol="USDJPY", spread=0.01))
    try:
        yield Bench(broker, venue, clock, server.faults, server.show, lambda: server.n_commands, server=server)
    finally:
        await broker.close()
        await server.stop()


def play(case):
    return asyncio.run(asyncio.wait_for(case, PATIENCE))


def with_and_without(prism, work, **options):
    """Return what `work` returns behind Prism, and what it returns without."""

    async def case(between):
        async with bench_behind(between, **options) as b:
            await b.broker.connect()
            return await work(b)

    return play(case(prism)), play(case(None))


async def every_command(b):
    """Send each kind of command that succeeds; return the outcomes."""
    gtd = {"tif": TimeInForce.GTD, "expires_ts_ns": b.clock.now_ns() + 3_600_000_000_000}
    orders = [
        entry(1, take_profit=1.12, price_bound=1.1010),
        entry(2, Side.SELL, kind=OrderType.LIMIT, price=1.105, stop=1.11, **gtd),
        entry(3, kind=OrderType.STOP, price=1.106, stop=1.10, price_bound=1.107, **gtd),
        entry(4, Side.SELL, symbol="USDJPY", stop=151.0, units=300, allow_partial=True),
        entry(5, kind=OrderType.LIMIT, price=1.05, stop=1.04, take_profit=1.2),
    ]
    outcomes = [await b.broker.place_order(order) for order in orders]
    outcomes.append(await b.broker.replace_order(OrderRef(client_order_id(7, 2)), OrderChange(price=1.1055)))
    resting = await b.broker.find_order(client_order_id(7, 3))
    outcomes.append(await b.broker.cancel_order(OrderRef(client_order_id(7, 3), resting.venue_order_id)))
    outcomes.append(await b.broker.cancel_order(OrderRef(client_order_id(7, 5))))
    trade = TradeRef((await b.broker.open_trades())[0].trade_id, "EURUSD")
    outcomes.append(await b.broker.set_protection(trade, stop_loss=1.0970, take_profit=1.13))
    outcomes.append(await b.broker.set_protection(trade, stop_loss=1.0980, take_profit=None))
    outcomes.append(await b.broker.close_trade(trade, remaining_units=Decimal(4_000)))
    outcomes.append(await b.broker.close_trade(trade, remaining_units=Decimal(0)))
    return outcomes


async def every_refusal(b):
    """Send commands that the venue refuses, with a transaction and without; return the outcomes."""
    await b.broker.place_order(entry(1))
    trade = TradeRef((await b.broker.open_trades())[0].trade_id, "EURUSD")
    beyond = entry(3, kind=OrderType.LIMIT, price=1.05, stop=1.04)
    return [
        await b.broker.place_order(entry(2)),
        await b.broker.place_order(beyond),
        await b.broker.place_order(beyond),
        await b.broker.cancel_order(OrderRef(client_order_id(7, 1))),
        await b.broker.cancel_order(OrderRef(client_order_id(7, 9))),
        await b.broker.replace_order(OrderRef(client_order_id(7, 9)), OrderChange(price=1.1)),
        await b.broker.close_trade(TradeRef("99", "EURUSD"), remaining_units=Decimal(0)),
        await b.broker.set_protection(trade, stop_loss=1.2, take_profit=None),
    ]


async def every_read(b):
    """Read all there is after some trading; return what was read."""
    await every_command(b)
    broker = b.broker
    found = [await broker.find_order(client_order_id(7, seq)) for seq in (1, 2, 3, 9)]
    span = {"start_ns": utc("2024-03-10T20:15"), "end_ns": utc("2024-03-10T21:00")}
    candles = {name: await broker.candles("EURUSD", granularity=name, **span) for name in ("M15", "H1", "D1")}
    with pytest.raises(BrokerError) as beyond:
        await broker.events_since(1_000)
    return [
        found,
        {name: bars.tolist() for name, bars in candles.items()},
        beyond.value.code,
        await broker.server_clock(),
        await broker.instruments(),
        await broker.get_balance(),
        await broker.positions(),
        await broker.open_orders(),
        await broker.open_trades(),
        await broker.quote("USDJPY"),
        await broker.events_since(0),
        await broker.events_since(b.venue.last_seq),
    ]


def test_every_command_and_its_reply_are_as_described(prism):
    """Seen to fail: a cancel that carried an empty object, where the description has no body."""
    checked, unchecked = with_and_without(prism, every_command)

    assert [type(outcome) for outcome in checked] == [Accepted] * 12, prism.said()
    assert checked == unchecked


def test_every_refusal_is_as_described(prism):
    options = {"trading": "reject:INSUFFICIENT_MARGIN at 2 on place"}

    checked, unchecked = with_and_without(prism, every_refusal, **options)

    refused = [outcome.code for outcome in checked if isinstance(outcome, Refused)]
    assert refused[0] == "INSUFFICIENT_MARGIN", prism.said()
    assert len(refused) >= 6
    assert checked == unchecked


def test_every_read_is_as_described(prism):
    checked, unchecked = with_and_without(prism, every_read)

    assert checked == unchecked


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/orders", {"json": {"order": {**MARKET, "units": 100}}}),
        ("POST", "/orders", {"json": {"order": PRICELESS}}),
        ("POST", "/orders", {"json": {"order": {**MARKET, "type": "BANANA"}}}),
        ("POST", "/orders", {"json": {"order": {**MARKET, "instrument": "EURUSD"}}}),
        ("POST", "/orders", {"json": {}}),
        ("GET", "/instruments/EUR_USD/candles", {"params": {"granularity": "ZZ"}}),
        ("GET", "/summary", {"headers": {}}),
    ],
    ids=[
        "units as a number", "limit without a price", "unknown type", "no underscore", "empty body",
        "unknown granularity", "no authorization",
    ],
)  # fmt: skip
def test_a_bad_request_ends_at_the_description_and_never_reaches_the_venue(prism, method, path, options):
    async def case():
        async with bench_behind(prism) as b, httpx.AsyncClient(base_url=prism.url) as client:
            before = b.server.n_bytes
            address = f"/v3/accounts/{b.venue.account}{path}"
            reply = await client.request(method, address, **{"headers": TOKEN, **options})
            return reply.status_code, reply.json()["type"], b.server.n_bytes - before

    status, kind, n_bytes = play(case())

    assert (status, kind.rpartition("#")[2]) == (422, "UNPROCESSABLE_ENTITY")
    assert n_bytes == 0


@pytest.mark.parametrize("order", [MARKET, LIMIT], ids=["market", "limit"])
def test_the_same_request_without_the_mistake_passes(prism, order):
    async def case():
        async with bench_behind(prism) as b, httpx.AsyncClient(base_url=prism.url, headers=TOKEN) as client:
            path = f"/v3/accounts/{b.venue.account}"
            placed = await client.post(f"{path}/orders", json={"order": order})
            bars = await client.get(f"{path}/instruments/EUR_USD/candles", params={
                "granularity": "M15", "from": "2024-03-10T20:15:00Z", "to": "2024-03-10T21:00:00Z",
            })  # fmt: skip
            return placed.status_code, bars.status_code, b.server.n_commands

    assert play(case()) == (201, 200, 1)


def test_a_reply_that_is_not_as_described_is_noticed_and_one_with_more_is_not(prism):
    async def case():
        async with bench_behind(prism) as b:
            b.server.account_fields["homeConversionFactors"] = {"gainQuoteHome": {"factor": "1"}}
            richer = await b.broker.connect()
            b.server.account_fields["balance"] = 100_000.0
            with pytest.raises(BrokerUnavailable) as caught:
                await b.broker.connect()
            return richer, caught.value

    richer, error = play(case())

    assert richer.balance == 100_000
    assert "status 500" in str(error)
