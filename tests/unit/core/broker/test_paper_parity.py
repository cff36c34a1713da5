"""The paper venue on bars is the back-test: the same intents give the same account, to the last bit."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.markets import make_bars, new_account, new_market, rules_of
from tests.support.scripted import close, enter, limit, play, stop_order
from tests.support.venues import NO_LIMIT, entry, new_venue, quote_at, venue_instrument
from tradesentry.core.broker.paper_memory import PaperMemory
from tradesentry.core.broker.paper_venue import PaperVenue, Refusal
from tradesentry.core.domain.orders import Action, OrderType, Side
from tradesentry.core.execution.matching import MATCHING

COSTS = {"commission_per_unit": 0.00003, "swap_long": -0.00007, "swap_short": 0.00002, "slippage_mean": 0.00001}


def venue_on_bars(market, *, capital=100_000.0):
    memory = PaperMemory(market, new_account(capital, **NO_LIMIT), rules_of(), MATCHING)
    return PaperVenue(memory, [venue_instrument("EURUSD")], account="a", log_id="l", fills_on="bar")


def replay(market, bars, script):
    """Play a script through the venue's commands; return the venue."""
    venue = venue_on_bars(market)
    lines = {}
    for at, row in script:
        lines.setdefault(at, []).append(row[0])
    for i, bar in enumerate(bars):
        venue.on_bars({"EURUSD": bar})
        for number, row in enumerate(lines.get(i, ())):
            send(venue, row, seq=1 + i * 100 + number, quote=venue.quotes["EURUSD"])
    return venue


def send(venue, row, *, seq, quote):
    trades = venue.open_trades()
    if row["action"] == Action.ENTER:
        side, kind = Side(int(row["side"])), OrderType(int(row["type"]))
        venue.place(
            entry(
                seq,
                side,
                units=Decimal(int(row["size"])),
                stop=float(row["stop_loss"]),
                kind=kind,
                price=None if kind is OrderType.MARKET else float(row["price"]),
                take_profit=None if np.isnan(row["take_profit"]) else float(row["take_profit"]),
                reference_price=quote.opening(side),
            )
        )
    elif row["action"] == Action.CLOSE:
        for trade in trades:
            excess = trade.units - Decimal(int(row["size"]))
            if excess > 0:
                venue.close(trade.trade_id, excess)


def account_of(memory):
    names = ("balance", "equity", "margin_used", "peak_equity", "worst_equity", "daily_pnl")
    return {name: float(memory.account[name][0]) for name in names}


SCRIPT = [
    enter(1, 1, 1.0950, 1.1040, units=20_000),
    limit(2, -1, 1.1030, 1.1080, 1.0990, units=7_000),
    stop_order(2, 1, 1.1025, 1.0990, units=3_000),
    close(9, 5_000),
    enter(14, -1, 1.1090, units=11_000),
    close(20),
    enter(30, 1, 1.0900, 1.1100, units=9_000),
]


def wave(n=140, *, seed=3, spread=0.0001):
    steps = np.random.default_rng(seed).normal(0, 0.0004, (n, 4))
    mid = 1.1 + np.cumsum(steps[:, 0])
    rows = []
    before = 1.1
    for price, step in zip(mid, np.abs(steps[:, 1:]), strict=True):
        rows.append((before, max(before, price) + step[0], min(before, price) - step[1], price))
        before = price
    return make_bars(np.round(rows, 5), spread=spread)


@pytest.mark.parametrize("seed", range(8))
def test_account_and_fills_equal_the_back_test_to_the_last_bit(seed):
    """140 bars with commission, swap, slippage and spread; both plays hold the same at the last bar.

    Seen to fail: an order that waited for the quote after next instead of the next open differed on the first bar.
    """
    market, bars = new_market(**COSTS), wave(seed=seed)
    script = SCRIPT

    arena = play(market, bars, script, rules=rules_of())
    venue = replay(market, bars, script)
    for trade in venue.open_trades():
        venue.close(trade.trade_id, None)

    fills = [row for row in venue.transactions if row["kind"] == "order_filled" and row["effect"] == "open"]
    rows = sorted(arena.trade_rows, key=lambda row: row.id)
    assert [row["price"] for row in fills] == [float(row.entry_price) for row in rows]
    assert [row["ts_ns"] for row in fills] == [int(row.entry_ns) for row in rows]
    ended = [row for row in venue.transactions if row["kind"] == "order_filled" and row.get("is_closed")]
    exits = {int(venue.trades[row["trade_id"]].position_id): row for row in ended}
    finished = [row for row in rows if int(row.id) in exits]
    assert [exits[int(row.id)]["ts_ns"] for row in finished] == [int(row.exit_ns) for row in finished]
    assert finished


@pytest.mark.parametrize("seed", range(8))
def test_the_account_at_every_bar_equals_the_back_test(seed):
    """The back-test's equity curve, point by point, against the paper account after each bar, as exact floats."""
    market, bars = new_market(**COSTS), wave(seed=seed)
    script = SCRIPT
    arena = play(market, bars, script, rules=rules_of())
    points = {int(row.ts_ns): row for row in arena.equity_rows}

    venue = venue_on_bars(market)
    seen = 0
    lines = {}
    for at, row in script:
        lines.setdefault(at, []).append(row[0])
    for i, bar in enumerate(bars[:-1]):
        venue.on_bars({"EURUSD": bar})
        point = points.get(int(bar["close_ns"]))
        account = account_of(venue.memory)
        if point is not None:
            assert (account["balance"], account["equity"]) == (float(point.balance), float(point.equity))
            seen += 1
        for number, row in enumerate(lines.get(i, ())):
            send(venue, row, seq=1 + i * 100 + number, quote=venue.quotes["EURUSD"])

    assert seen > 100


@settings(max_examples=60)
@given(
    moves=st.lists(st.floats(-0.01, 0.01), min_size=1, max_size=25),
    orders=st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 30_000), st.booleans()), max_size=8),
)
def test_balance_is_capital_plus_the_amounts_and_fills_sum_to_the_positions(moves, orders):
    """Seen to fail: with the commission left out of `amount` the balance was off by it."""
    venue = new_venue(symbols=("EURUSD",), commission_per_unit=0.00003)
    venue.on_quote(quote_at(1.1))
    price = 1.1
    for i, move in enumerate(moves):
        if i < len(orders):
            side, units, is_closed_later = orders[i]
            venue.place(entry(i + 1, Side(side), units=units, stop=price - side * 0.02))
            if is_closed_later and venue.open_trades():
                venue.close(venue.open_trades()[0].trade_id, None)
        price = round(max(price + move, 0.5), 5)
        venue.on_quote(quote_at(price, seconds=i + 1))

    amounts = sum((Decimal(row.get("amount", "0")) for row in venue.transactions), Decimal(100_000))
    assert float(amounts) == pytest.approx(float(venue.state().balance), abs=1e-6)
    fills = [row for row in venue.transactions if row["kind"] == "order_filled"]
    net = sum((row["side"] * Decimal(row["units"]) for row in fills), Decimal(0))
    assert net == sum((trade.side * trade.units for trade in venue.open_trades()), Decimal(0))
    unrealized = sum((trade.unrealized for trade in venue.open_trades()), Decimal(0))
    assert float(venue.state().unrealized) == pytest.approx(float(unrealized), abs=1e-6)
    assert [row["seq"] for row in venue.transactions] == list(range(1, venue.last_seq + 1))


@pytest.mark.parametrize("at", [3, 10, 16, 40])
def test_a_restart_at_any_bar_changes_nothing(at):
    market, bars = new_market(**COSTS), wave()
    whole = replay(market, bars, SCRIPT)

    first = venue_on_bars(market)
    lines = {}
    for line, row in SCRIPT:
        lines.setdefault(line, []).append(row[0])
    venue = first
    for i, bar in enumerate(bars):
        if i == at:
            snapshot, log = venue.snapshot(), venue.transactions
            venue = venue_on_bars(market)
            venue.restore(snapshot, log)
        venue.on_bars({"EURUSD": bar})
        for number, row in enumerate(lines.get(i, ())):
            send(venue, row, seq=1 + i * 100 + number, quote=venue.quotes["EURUSD"])

    assert venue.transactions == whole.transactions
    assert account_of(venue.memory) == account_of(whole.memory)


def test_swap_is_an_event_with_its_amount():
    market = new_market(swap_long=-0.0009)
    bars = make_bars([(1.1,) * 4] * 12, start="2024-01-09T19:00", minutes=60)

    venue = replay(market, bars, [enter(0, 1, 1.0, units=100_000)])

    (swap,) = [row for row in venue.transactions if row["kind"] == "swap"]
    assert float(swap["amount"]) == pytest.approx(-90.0)
    assert float(venue.state().balance) == pytest.approx(100_000 - 90.0)


def test_a_refusal_leaves_the_account_as_it_was():
    venue = venue_on_bars(new_market())
    venue.on_bars({"EURUSD": make_bars([(1.1,) * 4])[0]})
    before = account_of(venue.memory)

    result = venue.place(entry(1, symbol="GBPUSD"))

    assert isinstance(result, Refusal)
    assert account_of(venue.memory) == before
