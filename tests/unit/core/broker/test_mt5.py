"""MetaTrader 5 alone: what the terminal lacks and the connector adds, and what it must not believe."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import numpy as np
import pytest

from tests.conformance.brokers.conftest import play
from tests.conformance.brokers.terminal_benches import link_to, new_clock, session_of, terminal_for
from tests.support.markets import make_bars, utc
from tests.support.venues import entry, quote_at
from tradesentry.core.broker import mt5_constants as mt5
from tradesentry.core.broker.base_broker import (
    Accepted,
    CommandStamp,
    NotSent,
    OrderChange,
    OrderRef,
    RefusalClass,
    Refused,
    TradeRef,
    Unknown,
)
from tradesentry.core.broker.mt5 import Mt5Broker
from tradesentry.core.broker.mt5_session import HANG_SECONDS
from tradesentry.core.domain.errors import BrokerUnavailable, ConfigError, UsageError
from tradesentry.core.domain.live_orders import OrderStatus, client_order_id
from tradesentry.core.domain.orders import OrderType, Side

BOTH = {"filling_mode": mt5.FILLING_FLAG_FOK | mt5.FILLING_FLAG_IOC}


@asynccontextmanager
async def connected(terminal, clock, **options):
    """Return a broker that is connected to `terminal`."""
    broker = Mt5Broker(session_of(terminal, clock, **options), clock)
    try:
        await broker.connect()
        yield broker
    finally:
        terminal.release()
        await broker.close()


async def settled(clock, awaitable, seconds=60.0):
    """Return what `awaitable` returns, moving the clock while it waits."""
    task = asyncio.ensure_future(awaitable)
    for _ in range(int(seconds / 0.25)):
        await asyncio.wait({task}, timeout=0.01)
        if task.done():
            return task.result()
        await clock.advance(0.25)
    raise AssertionError(f"not done after {seconds} s")


def fills_of(broker, page):
    return [fill for event in page.events for fill in broker.facts(event).fills]


def run(case, *, faults="", **options):
    """Run `case(broker, terminal, clock)` on a connected terminal."""

    async def outer():
        clock = new_clock()
        terminal = terminal_for(clock, faults=faults, **options)
        async with connected(terminal, clock) as broker:
            return await case(broker, terminal, clock)

    return play(outer())


def test_a_lost_reply_is_unknown_and_the_same_command_again_is_a_question():
    """Seen to fail: without the outcome log each repetition opened another position."""

    async def case(broker, terminal, clock):
        first = await broker.place_order(entry(1))
        again = await broker.place_order(entry(1))
        other = await broker.place_order(entry(1, stamp=CommandStamp(attempt=2)))
        return first, again, other, terminal.n_requests, len(terminal.positions_get())

    first, again, other, n_requests, n_positions = run(case, faults="lose_reply at 1 on place")

    assert isinstance(first, Unknown)
    assert [outcome.order.status for outcome in (again, other)] == [OrderStatus.FILLED] * 2
    assert (n_requests, n_positions) == (1, 1)


def test_an_entry_whose_outcome_is_not_known_and_that_is_nowhere_is_not_sent_again():
    async def case(broker, terminal, clock):
        first = await broker.place_order(entry(1))
        again = await broker.place_order(entry(1, stamp=CommandStamp(attempt=2)))
        return first, again, terminal.n_requests

    first, again, n_requests = run(case, faults="reset_before at 1 on place")

    assert isinstance(first, Unknown)
    assert isinstance(again, Unknown)
    assert n_requests == 1


def test_a_new_attempt_after_a_requote_is_a_new_request():
    async def case(broker, terminal, clock):
        first = await broker.place_order(entry(1))
        again = await broker.place_order(entry(1))
        second = await broker.place_order(entry(1, stamp=CommandStamp(attempt=2)))
        return first, again, second, terminal.n_requests

    first, again, second, n_requests = run(case, faults="requote at 1 on place")

    assert first.kind is RefusalClass.REQUOTE
    assert again == Refused(first.code, first.message, first.kind)
    assert isinstance(second, Accepted)
    assert n_requests == 2


@pytest.mark.parametrize("has_arrived", [True, False])
def test_a_process_that_died_in_the_middle_of_sending_finds_out_by_the_magic_number(tmp_path, has_arrived):
    """The row in the outcome log is on disk before the request leaves; what became of it, the terminal knows."""

    async def case():
        clock = new_clock()
        terminal = terminal_for(clock)
        async with connected(terminal, clock, folder=tmp_path) as broker:
            log = broker.session.terminal.outcomes
            ended, log.ended = log.ended, lambda *_, **__: None
            if has_arrived:
                await broker.place_order(entry(1))
            else:
                terminal.order_send = lambda _request: (_ for _ in ()).throw(SystemError("died"))
                await broker.place_order(entry(1))
                del terminal.order_send
            log.ended = ended
        async with connected(terminal, clock, folder=tmp_path) as broker:
            return await broker.place_order(entry(1)), len(terminal.server.books.positions)

    outcome, n_positions = play(case())

    assert isinstance(outcome, Accepted if has_arrived else Unknown)
    assert n_positions == int(has_arrived)


def test_what_happened_while_nobody_looked_is_told_under_the_same_numbers(tmp_path):
    async def case():
        clock = new_clock()
        terminal = terminal_for(clock)
        async with connected(terminal, clock, folder=tmp_path) as broker:
            await broker.place_order(entry(1, take_profit=1.12))
            before = await broker.events_since(0)
        terminal.show(quote_at(1.0930, seconds=5))
        await clock.advance(3 * 86_400.0)
        async with connected(terminal, clock, folder=tmp_path) as broker:
            page = await broker.events_since(before.last_seq)
            return before, page, fills_of(broker, page), await broker.events_since(0)

    before, page, fills, whole = play(case())

    assert (page.log_id, before.log_id) == ("log-1", "log-1")
    assert [event.seq for event in whole.events] == list(range(1, page.last_seq + 1))
    assert [(fill.units, fill.price, page.events[0].payload["reason"]) for fill in fills] == [
        (10_000, 1.0930, "STOP_LOSS_ORDER")
    ]


def test_a_lost_event_log_is_another_log_that_tells_the_fills_again(tmp_path):
    async def case():
        clock = new_clock()
        terminal = terminal_for(clock)
        numbers = iter(range(1, 9))
        async with connected(terminal, clock, folder=tmp_path, ids=numbers) as broker:
            await broker.place_order(entry(1))
            before = fills_of(broker, await broker.events_since(0))
        (tmp_path / "events.jsonl").unlink()
        async with connected(terminal, clock, folder=tmp_path, ids=numbers) as broker:
            page = await broker.events_since(0)
            return before, fills_of(broker, page), page.log_id

    before, again, log_id = play(case())

    assert log_id == "log-2"
    assert [fill.fill_id for fill in again] == [fill.fill_id for fill in before]


def test_the_history_of_an_account_that_is_new_here_is_not_told():
    async def case():
        clock = new_clock()
        terminal = terminal_for(clock, initialized=True)
        terminal.venue.transfer(Decimal(500))
        terminal.order_send(
            {
                "action": mt5.TRADE_ACTION_DEAL,
                "symbol": "EURUSD.m",
                "volume": 0.1,
                "type": 0,
                "sl": 1.09,
                "magic": 12_345,
            }
        )
        async with connected(terminal, clock) as broker:
            page, trades = await broker.events_since(0), await broker.open_trades()
            await broker.close_trade(TradeRef(trades[0].trade_id, "EURUSD"), remaining_units=Decimal(0))
            return page, trades, fills_of(broker, await broker.events_since(0))

    page, (trade,), fills = play(case())

    assert page.events == ()
    assert (trade.units, trade.client_order_id) == (10_000, None)
    assert [(fill.effect.value, fill.units) for fill in fills] == [("reduce", 10_000)]


def test_a_deal_that_the_history_shows_later_is_found_by_the_poller():
    async def case(broker, terminal, clock):
        outcome = await broker.place_order(entry(1))
        at_once = fills_of(broker, await broker.events_since(0))
        heard = []

        async def collect():
            async for event in broker.events():
                heard.extend(broker.facts(event).fills)
                if heard:
                    return

        await settled(clock, collect())
        return outcome, at_once, heard

    outcome, at_once, heard = run(case, faults="history_lag:2 at 1 on place")

    assert isinstance(outcome, Accepted)
    assert at_once == []
    assert [fill.client_order_id for fill in heard] == [client_order_id(7, 1)]


def test_an_order_that_was_only_placed_is_working_until_its_deal_comes():
    async def case(broker, terminal, clock):
        outcome = await broker.place_order(entry(1))
        await clock.advance(3.0)
        return outcome, await settled(clock, broker.find_order(client_order_id(7, 1)))

    outcome, later = run(case, faults="placed:2 at 1 on place")

    assert isinstance(outcome, Accepted)
    assert outcome.order.status is OrderStatus.ACCEPTED
    assert (later.status, later.average_price) == (OrderStatus.FILLED, 1.1001)


def test_a_filling_mode_is_probed_once_and_the_next_is_tried_when_it_is_refused():
    async def case(broker, terminal, clock):
        sent, checked = [], []
        send, check = terminal.order_send, terminal.order_check
        terminal.order_send = lambda request: sent.append(request["type_filling"]) or send(request)
        terminal.order_check = lambda request: checked.append(request["type_filling"]) or check(request)
        await broker.place_order(entry(1, allow_partial=True))
        probed = len(checked)
        terminal.server.symbols["EURUSD"].filling_mode = mt5.FILLING_FLAG_IOC
        outcome = await broker.place_order(entry(2, allow_partial=True))
        await broker.place_order(entry(3, allow_partial=True))
        return sent, probed, outcome

    sent, probed, outcome = run(case, symbol=BOTH)

    assert isinstance(outcome, Accepted)
    assert sent == [mt5.ORDER_FILLING_FOK, mt5.ORDER_FILLING_FOK, mt5.ORDER_FILLING_IOC, mt5.ORDER_FILLING_IOC]
    assert probed == 2


def test_an_order_that_must_fill_whole_is_not_sent_where_only_parts_are_filled():
    async def case(broker, terminal, clock):
        return await broker.place_order(entry(1)), terminal.n_requests

    outcome, n_requests = run(case, symbol={"filling_mode": mt5.FILLING_FLAG_IOC})

    assert (outcome.reason, n_requests) == ("filling_mode", 0)


def test_a_close_names_its_ticket_and_protection_keeps_what_it_does_not_change():
    async def case(broker, terminal, clock):
        sent = []
        send = terminal.order_send
        terminal.order_send = lambda request: sent.append(request) or send(request)
        await broker.place_order(entry(1, take_profit=1.12))
        (trade,) = await broker.open_trades()
        target = TradeRef(trade.trade_id, "EURUSD", client_order_id=client_order_id(7, 2))
        await broker.set_protection(target, stop_loss=1.0980, take_profit=None)
        await broker.close_trade(target, remaining_units=Decimal(0))
        return sent, fills_of(broker, await broker.events_since(0))

    (_, protect, close), fills = run(case)

    assert (protect["action"], protect["sl"], protect["tp"]) == (mt5.TRADE_ACTION_SLTP, 1.0980, 1.12)
    assert close["position"] == protect["position"]
    assert [fill.client_order_id for fill in fills] == [client_order_id(7, 1), client_order_id(7, 2)]


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"trade_allowed": False}, "CLIENT_DISABLES_AT", "Press `Algo Trading`"),
        ({"tradeapi_disabled": True}, "TRADE_API_DISABLED", "options"),
    ],
)
def test_a_terminal_that_may_not_trade_halts_the_account_before_anything_is_sent(change, code, text):
    async def case(broker, terminal, clock):
        for name, value in change.items():
            setattr(terminal.program, name, value)
        return await broker.place_order(entry(1)), terminal.n_requests

    outcome, n_requests = run(case)

    assert (outcome.code, outcome.kind, n_requests) == (code, RefusalClass.HALT, 0)
    assert text in outcome.message


def test_a_terminal_without_its_server_sends_nothing():
    async def case(broker, terminal, clock):
        terminal.program.connected = False
        return await broker.place_order(entry(1)), terminal.n_requests

    outcome, n_requests = run(case)

    assert (outcome.reason, n_requests) == ("not_connected", 0)


def test_events_are_not_complete_while_the_terminal_has_no_connection():
    """What the server knows and the terminal does not may be exactly what is looked for."""

    async def case(broker, terminal, clock):
        terminal.program.connected = False
        offline = await broker.events_since(0)
        terminal.program.connected = True
        return offline.is_complete, (await broker.events_since(0)).is_complete

    assert run(case) == (False, True)


def test_a_login_to_another_account_stops_commands():
    async def case(broker, terminal, clock):
        terminal.terms.trade_mode = mt5.ACCOUNT_TRADE_MODE_REAL
        return await broker.place_order(entry(1)), terminal.n_requests

    outcome, n_requests = run(case)

    assert (outcome.code, outcome.kind, n_requests) == ("ACCOUNT_CHANGED", RefusalClass.HALT, 0)


def test_a_server_clock_that_is_off_forbids_entries_and_lets_exits_pass():
    async def case():
        clock = new_clock()
        terminal = terminal_for(clock)
        link = link_to(terminal, server_tz="Europe/London")
        async with connected(terminal, clock, link=link) as broker:
            terminal.venue.place(type(entry(1))("", "EURUSD", Side.BUY, Decimal(500), OrderType.MARKET, None))
            terminal.pump()
            (trade,) = await broker.open_trades()
            placed = await broker.place_order(entry(1))
            closed = await broker.close_trade(TradeRef(trade.trade_id, "EURUSD"), remaining_units=Decimal(0))
            return placed, closed, await broker.server_clock()

    placed, closed, sample = play(case())

    assert placed.reason == "server_time"
    assert isinstance(closed, Accepted)
    assert sample.offset_ns == 2 * 3_600 * 1_000_000_000


@pytest.mark.parametrize(
    ("symbol", "order", "reason"),
    [
        ({"stops_level": 600}, entry(1), "stop_too_near"),
        ({"stops_level": 600}, entry(1, stop=1.09, take_profit=1.102), "stop_too_near"),
        ({"volume_limit": Decimal("0.05")}, entry(1), "volume_limit"),
        ({}, entry(1, price_bound=1.1), "bounds_violation"),
    ],
)
def test_what_the_server_would_refuse_is_not_sent(symbol, order, reason):
    async def case(broker, terminal, clock):
        return await broker.place_order(order), terminal.n_requests

    outcome, n_requests = run(case, symbol=symbol)

    assert (outcome.reason, n_requests) == (reason, 0)


def test_an_order_near_the_market_is_frozen():
    async def case(broker, terminal, clock):
        await broker.place_order(entry(1, kind=OrderType.LIMIT, price=1.0995, stop=1.09))
        return await broker.cancel_order(OrderRef(client_order_id(7, 1)))

    outcome = run(case, symbol={"freeze_level": 100})

    assert isinstance(outcome, NotSent)
    assert outcome.reason == "frozen"


def test_units_of_a_resting_order_cannot_be_changed():
    async def case(broker, terminal, clock):
        await broker.place_order(entry(1, kind=OrderType.LIMIT, price=1.09, stop=1.08))
        return await broker.replace_order(OrderRef(client_order_id(7, 1)), OrderChange(units=Decimal(4_000)))

    assert run(case).reason == "units_fixed"


def test_a_call_that_hangs_for_good_loses_the_terminal_to_a_new_thread():
    """Seen to fail: with one thread for ever, nothing was read again after the hang."""

    async def case(broker, terminal, clock):
        terminal.server.send = lambda _request: terminal._is_released.wait(30.0)
        outcome = await settled(clock, broker.place_order(entry(1)))
        del terminal.server.send
        terminal._lock = type(terminal._lock)()
        await clock.advance(HANG_SECONDS + 1.0)
        return outcome, await settled(clock, broker.get_balance())

    outcome, state = run(case)

    assert isinstance(outcome, Unknown)
    assert state.balance == 100_000


def test_after_a_fault_the_connection_is_made_anew_and_the_account_looked_at_before_the_next_command():
    async def case(broker, terminal, clock):
        await broker.place_order(entry(1))
        terminal.restart()
        outcome = await broker.place_order(entry(2))
        return outcome, terminal.n_restarts, len(await broker.open_trades())

    outcome, n_restarts, n_trades = run(case)

    assert (n_restarts, n_trades) == (1, 1) if isinstance(outcome, NotSent) else (1, 2)


def test_candles_are_complete_bars_in_utc_through_a_clock_change():
    bars = make_bars(np.full((120, 4), 1.1), start="2024-03-29T20:00", minutes=1, spread=0.0002)

    async def case(broker, terminal, clock):
        terminal.load("EURUSD", bars)
        clock.jump((utc("2024-03-29T21:30:30") - clock.now_ns()) / 1e9)
        span = {"start_ns": utc("2024-03-29T20:10"), "end_ns": utc("2024-03-29T23:00")}
        return await broker.candles("EURUSD", granularity="M1", **span)

    found = run(case)

    assert found.open_ns[0] == utc("2024-03-29T20:10")
    assert found.close_ns[-1] <= utc("2024-03-29T21:30:30")
    assert (found.close_ns - found.open_ns == 60_000_000_000).all()


def test_a_timeframe_that_the_terminal_lacks_is_refused():
    async def case(broker, terminal, clock):
        await broker.candles("EURUSD", granularity="M7", start_ns=0, end_ns=1)

    with pytest.raises(UsageError, match="no bars of 'M7'"):
        run(case)


def test_without_pinned_symbols_nothing_is_traded_and_what_fits_is_named():
    async def case():
        clock = new_clock()
        terminal = terminal_for(clock)
        async with connected(terminal, clock, link=link_to(terminal, symbols={})):
            pass

    with pytest.raises(ConfigError, match=r"EURUSD: EURUSD\.m, USDJPY: USDJPY\.m"):
        play(case())


def test_without_the_package_it_says_where_it_runs():
    async def case():
        clock = new_clock()
        terminal = terminal_for(clock)
        session = session_of(None, clock, link=link_to(terminal))
        try:
            await session.start()
        finally:
            await session.stop()

    with pytest.raises(UsageError, match="MT5_GATEWAY_URL"):
        play(case())


def test_a_full_disk_stops_commands_before_they_are_sent(monkeypatch):
    async def case(broker, terminal, clock):
        def fail(_number):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", fail)
            full = await broker.place_order(entry(1))
        return full, terminal.n_requests, await broker.place_order(entry(1))

    full, n_requests, after = run(case)

    assert (full.reason, n_requests) == ("log_failed", 0)
    assert isinstance(after, Accepted)


def test_after_closing_nothing_is_sent_or_read():
    async def case(broker, terminal, clock):
        await broker.close()
        outcome = await broker.place_order(entry(1))
        with pytest.raises(BrokerUnavailable, match="closed"):
            await broker.get_balance()
        return outcome

    assert run(case) == NotSent("closed", "The session with this terminal was closed.")
