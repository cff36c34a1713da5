"""Every request and every reply of the OANDA tests against the venue's own description, where it is at hand.

The description is not part of the repository: the tests carry the marker `reference` and skip without it. It is of 2018
and strict only for requests; replies may hold more than it knows.
"""

import json
import os
import re
from pathlib import Path

import pytest

from tests.conformance.brokers.conftest import oanda_bench, play
from tests.conftest import ROOT
from tests.support.venues import entry, quote_at
from tradesentry.core.broker import oanda_words
from tradesentry.core.broker.base_broker import OrderChange, OrderRef, TradeRef
from tradesentry.core.broker.fake_oanda_messages import order_json, trade_json, transaction_json
from tradesentry.core.domain.live_orders import TimeInForce, client_order_id
from tradesentry.core.domain.orders import OrderType, Side

pytestmark = pytest.mark.reference
jsonschema = pytest.importorskip("jsonschema", reason="validates against the description")
DESCRIPTION = "v20-3.0.25.overlay.openapi3.json"


@pytest.fixture(scope="module")
def description():
    folder = Path(os.environ.get("TRADESENTRY_SHARED_REFERENCE") or ROOT.parent / "shared" / "reference") / "oanda"
    path = folder / DESCRIPTION
    if not path.is_file():
        pytest.skip(f"OANDA's description is not here ({path}); set TRADESENTRY_SHARED_REFERENCE to its folder")
    return json.loads(path.read_text(encoding="utf-8"))


def problems(description, schema, value):
    """Return what is wrong with a value, in words."""
    validator = jsonschema.Draft202012Validator({**schema, "components": description["components"]})
    return [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(value)]


def operation(description, method, path):
    """Return the operation of a request made below the account."""
    for template, operations in description["paths"].items():
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template.removeprefix("/v3/accounts/{accountID}"))
        is_ours = template.startswith("/v3/accounts/{accountID}") and re.fullmatch(pattern, path)
        if is_ours and method.lower() in operations:
            return operations[method.lower()]
    raise AssertionError(f"{method} {path} is not in the description")


async def every_command(b):
    """Send one of each kind of command."""
    await b.broker.connect()
    expires = b.clock.now_ns() + 3_600_000_000_000
    gtd = {"tif": TimeInForce.GTD, "expires_ts_ns": expires}
    await b.broker.place_order(entry(1, take_profit=1.12, price_bound=1.1010))
    await b.broker.place_order(entry(2, Side.SELL, kind=OrderType.LIMIT, price=1.105, stop=1.11, **gtd))
    await b.broker.place_order(entry(3, kind=OrderType.STOP, price=1.106, stop=1.10, price_bound=1.107))
    await b.broker.place_order(entry(4, Side.SELL, symbol="USDJPY", stop=151.0, units=300, allow_partial=True))
    await b.broker.replace_order(OrderRef(client_order_id(7, 2)), OrderChange(price=1.1055))
    await b.broker.cancel_order(OrderRef(client_order_id(7, 3)))
    await b.broker.cancel_order(OrderRef(client_order_id(7, 3)))
    trades = await b.broker.open_trades()
    target = TradeRef(trades[0].trade_id, "EURUSD")
    await b.broker.set_protection(target, stop_loss=1.0970, take_profit=1.13)
    await b.broker.close_trade(target, remaining_units=4_000)
    b.venue.transfer(100)
    b.show(quote_at(1.0900, seconds=2))


def test_every_request_is_what_the_description_asks_for(description):
    async def case():
        async with oanda_bench() as b:
            await every_command(b)
            return b.server.requests

    requests = play(case())

    assert len(requests) == 9
    for method, path, body in requests:
        asked = operation(description, method, path).get("requestBody")
        assert (asked is None) == (body is None), (method, path, body)
        if asked is not None:
            schema = asked["content"]["application/json"]["schema"]
            assert problems(description, schema, body) == [], (method, path, body)


@pytest.mark.parametrize(
    "change",
    [{"units": 100}, {"type": "BANANA"}, {"instrument": "EURUSD"}, {"type": "LIMIT", "price": None}],
    ids=["units as a number", "unknown type", "no underscore", "limit without a price"],
)
def test_the_description_refuses_bad_requests_so_the_check_can_fail(description, change):
    good = {"type": "MARKET", "instrument": "EUR_USD", "units": "100", "timeInForce": "FOK"}
    body = {key: value for key, value in {**good, **change}.items() if value is not None}

    schema = operation(description, "POST", "/orders")["requestBody"]["content"]["application/json"]["schema"]

    assert problems(description, schema, {"order": good}) == []
    assert problems(description, schema, {"order": body}) != []


def test_the_fakes_transactions_orders_and_trades_fit_the_description(description):
    async def case():
        async with oanda_bench(trading="reject:INSUFFICIENT_MARGIN at 4 on place") as b:
            await every_command(b)
            return b.venue

    venue = play(case())

    schemas = description["components"]["schemas"]
    for said in venue.transactions:
        value = transaction_json(venue, said)
        name = f"{''.join(word.title() for word in value['type'].split('_'))}Transaction"
        assert problems(description, schemas[name], value) == [], value
        assert set(value) <= set(schemas[name]["properties"]), value
    for order in venue.orders.values():
        assert problems(description, schemas["Order"], order_json(venue, order)) == []
    for trade in venue.open_trades():
        assert problems(description, schemas["Trade"], trade_json(venue, trade)) == []


def test_the_committed_words_are_those_of_the_description(description):
    schemas = description["components"]["schemas"]
    names = {
        "OrderCancelReason": oanda_words.CANCEL_REASONS,
        "TransactionRejectReason": oanda_words.REJECT_REASONS,
        "TransactionType": oanda_words.TRANSACTION_TYPES,
        "OrderFillReason": oanda_words.FILL_REASONS,
        "CandlestickGranularity": oanda_words.GRANULARITIES,
    }

    assert {name: set(schemas[name]["enum"]) for name in names} == {name: set(words) for name, words in names.items()}
