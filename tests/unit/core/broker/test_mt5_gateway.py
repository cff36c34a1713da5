"""The gateway: what a venue of ours owes its clients, asked over real HTTP."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import httpx
import pytest

from tests.conformance.brokers.conftest import play
from tests.conformance.brokers.terminal_benches import (
    TOKEN,
    client_of,
    new_clock,
    proxied,
    running_gateway,
    session_of,
    terminal_for,
)
from tests.support.venues import entry, quote_at
from tradesentry.core.broker.base_broker import (
    Accepted,
    CommandStamp,
    NotSent,
    RefusalClass,
    Refused,
    TradeRef,
    Unknown,
)
from tradesentry.core.broker.http_server import Answer, HttpServer
from tradesentry.core.broker.mt5 import Mt5Broker
from tradesentry.core.broker.mt5_gateway import Mt5Gateway
from tradesentry.core.broker.port_json import from_json, to_json
from tradesentry.core.domain.errors import AccountMismatch, ConfigError
from tradesentry.core.domain.events import StreamDown
from tradesentry.core.domain.venue import OpenTrade

SECOND = 1_000_000_000


@asynccontextmanager
async def served(*, faults="", **options):
    """Serve a terminal; yield (gateway, terminal, clock, HTTP client with the token)."""
    clock = new_clock()
    terminal = terminal_for(clock, faults=faults)
    async with running_gateway(terminal, clock, **options) as gateway:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=20.0) as http:
            yield gateway, terminal, clock, http


def command(gateway, clock, seq=1, *, attempt=1, epoch=0, seconds=5.0, **changes):
    """Return the body of a placement."""
    order = entry(seq)
    body = {
        "log_id": gateway.broker.session.terminal.log.log_id,
        "kind": "place",
        "client_order_id": order.client_order_id,
        "attempt": attempt,
        "epoch": epoch,
        "request": {"order": to_json(order)},
        "expires_at": clock.now_ns() + round(seconds * SECOND),
    }
    return body | changes


def test_the_same_command_again_is_answered_from_the_log_and_the_terminal_is_untouched():
    async def case():
        async with served() as (gateway, terminal, clock, http):
            body = command(gateway, clock)
            answers = [(await http.post("/v1/orders", json=body)).json() for _ in range(3)]
            return answers, terminal.n_requests

    answers, n_requests = play(case())

    assert [answer["outcome"] for answer in answers] == ["accepted"] * 3
    assert n_requests == 1


def test_commands_that_come_twice_at_once_are_one_command():
    async def case():
        async with served() as (gateway, terminal, clock, http):
            body = command(gateway, clock)
            answers = await asyncio.gather(*(http.post("/v1/orders", json=body) for _ in range(5)))
            return [answer.json()["outcome"] for answer in answers], terminal.n_requests

    outcomes, n_requests = play(case())

    assert (set(outcomes), n_requests) == ({"accepted"}, 1)


def test_a_new_attempt_after_a_refusal_is_sent():
    """Seen to fail: with the attempt left out of the key, the second attempt was answered with the first refusal."""

    async def case():
        async with served(faults="requote at 1 on place") as (gateway, terminal, clock, http):
            bodies = [command(gateway, clock, attempt=attempt) for attempt in (1, 1, 2)]
            answers = [(await http.post("/v1/orders", json=body)).json() for body in bodies]
            return answers, terminal.n_requests

    answers, n_requests = play(case())

    assert [answer["outcome"] for answer in answers] == ["refused", "refused", "accepted"]
    assert n_requests == 2


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"log_id": "another"}, 409, "log_changed"),
        ({"epoch": 2}, 409, "stale_epoch"),
        ({"kind": "borrow"}, 400, "bad_request"),
        ({"request": {"order": {"units": "x"}}}, 400, "broker_protocol"),
        ({"request": {}}, 400, "bad_request"),
    ],
)
def test_a_command_that_must_not_be_carried_out_is_refused(change, status, code):
    async def case():
        async with served() as (gateway, terminal, clock, http):
            await http.post("/v1/orders", json=command(gateway, clock, epoch=3))
            answer = await http.post("/v1/orders", json=command(gateway, clock, 2, **({"epoch": 3} | change)))
            return answer.status_code, answer.json()["code"], terminal.n_requests

    assert play(case()) == (status, code, 1)


def test_a_command_that_comes_after_it_expired_is_not_sent():
    async def case():
        async with served() as (gateway, terminal, clock, http):
            answer = await http.post("/v1/orders", json=command(gateway, clock, seconds=-0.5))
            return answer.json(), terminal.n_requests

    said, n_requests = play(case())

    assert (said["outcome"], said["reason"], n_requests) == ("not_sent", "expired", 0)


def test_a_full_queue_sends_nothing():
    async def case():
        async with served(queue_limit=0) as (gateway, terminal, clock, http):
            return (await http.post("/v1/orders", json=command(gateway, clock))).json(), terminal.n_requests

    said, n_requests = play(case())

    assert (said["reason"], n_requests) == ("queue_full", 0)


def test_the_epoch_survives_a_restart_of_the_gateway(tmp_path):
    async def case():
        clock = new_clock()
        terminal = terminal_for(clock)
        answers = []
        for epoch in (7, 6):
            async with running_gateway(terminal, clock, folder=tmp_path) as gateway:
                broker = client_of(terminal, gateway.url, clock)
                await broker.connect()
                answers.append(await broker.place_order(entry(epoch, stamp=CommandStamp(epoch=epoch))))
                await broker.close()
        return answers

    new, old = play(case())

    assert isinstance(new, Accepted)
    assert (old.code, old.kind) == ("STALE_EPOCH", RefusalClass.HALT)


def test_the_state_is_one_read_with_its_place_in_the_log():
    async def case():
        async with served() as (gateway, _terminal, clock, http):
            await http.post("/v1/orders", json=command(gateway, clock))
            state = (await http.get("/v1/state")).json()
            page = (await http.get("/v1/events", params={"since": 0})).json()
            return state, page

    state, page = play(case())

    (trade,) = (from_json(OpenTrade, row) for row in state["trades"])
    assert state["last_seq"] == state["account"]["last_seq"] == page["last_seq"] == 3
    assert state["log_id"] == page["log_id"]
    assert (trade.units, trade.stop_loss) == (10_000, 1.0950)


def test_health_says_what_a_person_would_look_at():
    async def case():
        async with served() as (_gateway, terminal, _clock, http):
            terminal.program.trade_allowed = False
            return (await http.get("/v1/health")).json()

    said = play(case())

    assert (said["connected"], said["trade_allowed"], said["server_clock_problem"]) == (True, False, "")
    assert (said["queue_depth"], said["last_seq"], said["epoch"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/nothing", 404),
        ("/v1/events", 400),
        ("/v1/events?since=9", 416),
        ("/v1/ticks?symbols=XAUUSD", 404),
        ("/v1/rates?symbol=EURUSD&granularity=M7&start_ns=0&end_ns=1", 400),
        ("/v1/orders/ts1-aabyaaaaaaaab", 200),
    ],
)
def test_a_wrong_question_has_an_answer_that_says_so(path, status):
    async def case():
        async with served() as (_, _, _, http):
            return await http.get(path)

    answer = play(case())

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
def test_without_the_token_nothing_is_shown_or_done(header):
    async def case():
        async with served() as (gateway, terminal, clock, _), httpx.AsyncClient(base_url=gateway.url) as http:
            answers = [await http.get("/v1/state", headers=header)]
            answers.append(await http.post("/v1/orders", json=command(gateway, clock), headers=header))
            return [answer.status_code for answer in answers], terminal.n_requests

    assert play(case()) == ([401, 401], 0)


def test_the_stream_of_events_beats_every_five_seconds_with_the_last_number():
    async def case():
        async with served() as (gateway, _terminal, clock, http):
            await http.post("/v1/orders", json=command(gateway, clock))
            heard = []
            async with http.stream("GET", "/v1/events", params={"since": 1, "follow": "true"}) as answer:
                async for line in answer.aiter_lines():
                    heard.append(json.loads(line))
                    if len(heard) == 3:
                        await clock.advance(5.0)
                    if len(heard) == 4:
                        break
            return heard

    heard = play(case())

    assert [said["event"]["seq"] for said in heard if said["type"] == "event"] == [2, 3]
    beats = [said for said in heard if said["type"] == "heartbeat"]
    assert [(beat["last_seq"], beat["log_id"]) for beat in beats] == [(3, "log-1")] * 2


def test_a_client_hears_that_the_terminal_is_down_and_then_what_it_missed():
    async def case():
        async with served() as (gateway, terminal, clock, _):
            broker = client_of(terminal, gateway.url, clock)
            await broker.connect()
            heard = []

            async def collect():
                async for item in broker.events():
                    heard.append(item)
                    if sum(not isinstance(item, StreamDown) for item in heard) == 3:
                        return

            task = asyncio.ensure_future(collect())
            while not gateway.broker.n_streams("events"):  # noqa: ASYNC110 - what is awaited lies behind a socket
                await asyncio.sleep(0.001)
            terminal.is_running = False
            terminal.restart()
            while not heard:
                await clock.advance(0.25)
                await asyncio.sleep(0.002)
            terminal.is_running = True
            await broker.place_order(entry(1))
            while not task.done():
                await clock.advance(0.25)
                await asyncio.sleep(0.002)
            await broker.close()
            return heard

    heard = play(case())

    assert isinstance(heard[0], StreamDown)
    assert [item.seq for item in heard[1:]] == [1, 2, 3]


def test_a_client_that_knows_another_log_sends_nothing_until_it_has_connected_anew(tmp_path):
    """Its picture of the account is older than the loss. Seen to fail: without the comparison the order was placed."""

    async def case():
        clock = new_clock()
        terminal = terminal_for(clock)
        numbers = iter(range(1, 9))
        session = session_of(terminal, clock, folder=tmp_path, ids=numbers)
        gateway = Mt5Gateway(Mt5Broker(session, clock), clock, token=TOKEN)
        await gateway.start()
        broker = client_of(terminal, gateway.url, clock)
        await broker.connect()
        session.terminal.log.log_id = "log-9"
        refused = await broker.place_order(entry(1))
        await broker.connect()
        accepted = await broker.place_order(entry(1))
        await broker.close()
        await gateway.stop()
        return refused, accepted, terminal.n_requests

    refused, accepted, n_requests = play(case())

    assert isinstance(refused, Refused)
    assert (refused.code, refused.kind) == ("LOG_CHANGED", RefusalClass.FINAL)
    assert isinstance(accepted, Accepted)
    assert n_requests == 1


def test_a_gateway_that_is_gone_leaves_nothing_sent_and_one_that_answers_nonsense_leaves_it_open():
    async def case():
        async with (
            served() as (gateway, terminal, clock, _),
            proxied(gateway, clock, "not_json at 1 on place") as proxy,
        ):
            broker = client_of(terminal, proxy.url, clock)
            await broker.connect()
            odd = await broker.place_order(entry(1))
            await proxy.stop()
            gone = await broker.place_order(entry(2))
            await broker.close()
            return odd, gone

    odd, gone = play(case())

    assert isinstance(odd, Unknown)
    assert isinstance(gone, NotSent)


def test_a_command_before_the_instruments_were_read_is_not_sent():
    """Found by the soak. Seen to fail: the command raised KeyError, and the exit was not tried again."""

    async def case():
        async with served() as (gateway, terminal, clock, _):
            first, late = (client_of(terminal, gateway.url, clock) for _ in range(2))
            await first.connect()
            await first.place_order(entry(1))
            trade = (await first.open_trades())[0]
            ref = TradeRef(trade.trade_id, trade.symbol)
            closed = await late.close_trade(ref, remaining_units=Decimal(0))
            moved = await late.set_protection(ref, stop_loss=1.096, take_profit=None)
            for client in (first, late):
                await client.close()
            return closed, moved

    assert [outcome.reason for outcome in play(case())] == ["unknown_instrument"] * 2


def test_it_does_not_listen_for_an_account_that_is_not_the_linked_one():
    async def case():
        clock = new_clock()
        terminal = terminal_for(clock)
        session = session_of(terminal, clock)
        session.link = session.terminal.link = replace(session.link, environment="live")
        gateway = Mt5Gateway(Mt5Broker(session, clock), clock, token=TOKEN)
        try:
            await gateway.start()
        finally:
            await gateway.stop()
            assert gateway.url == ""

    with pytest.raises(AccountMismatch):
        play(case())


@pytest.mark.parametrize(
    ("options", "text"), [({"token": "short"}, "can be guessed"), ({"host": "0.0.0.0"}, "must be encrypted")]
)
def test_an_address_or_token_that_is_not_safe_is_refused(options, text):
    async def handler(_request):
        return Answer(200, {})

    with pytest.raises(ConfigError, match=text):
        HttpServer(handler, **({"token": TOKEN} | options))


def test_quotes_carry_our_own_time_of_arrival():
    async def case():
        async with served() as (gateway, terminal, clock, _):
            broker = client_of(terminal, gateway.url, clock)
            await broker.connect()
            clock.jump(2.0)
            terminal.show(quote_at(1.2, seconds=1))
            quote = await broker.quote("EURUSD")
            await broker.close()
            return quote, clock.now_ns()

    quote, now_ns = play(case())

    assert (quote.bid, quote.received_ts_ns) == (1.2, now_ns)
