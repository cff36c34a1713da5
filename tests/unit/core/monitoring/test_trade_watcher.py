"""The watcher guards a live trade exactly as `settle` guards a position, and never loosens anything."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.markets import make_bars, rules_of, utc
from tests.support.venues import quote_at
from tests.unit.core.monitoring.watched import THURSDAY, Bench, exits_of, stops_of, walk, with_units
from tradesentry.core.domain.live_account import Protect
from tradesentry.core.domain.orders import ExitReason, OrderType, TrailMode
from tradesentry.core.domain.venue import Quote

COSTS = {"commission_per_unit": 0.00003, "commission_min": 0.4, "swap_long": -0.00007, "swap_short": 0.00002}
CROSS = ("EURUSD", "USDJPY", "EURGBP", "GBPUSD")
PRICES = {"EURUSD": 1.1, "USDJPY": 144.0, "EURGBP": 0.86, "GBPUSD": 1.27}
SCHEDULED = (ExitReason.TIME, ExitReason.WEEKEND, ExitReason.NEWS)


def random_exits(random, price, start_ns):
    mode = TrailMode(int(random.integers(0, 4)))
    distance = 0.002 * price if mode is TrailMode.DISTANCE else 1.5
    return {
        "be_trigger_r": float(random.choice([0.0, 0.5, 1.0])),
        "be_offset": 0.00005 * price,
        "trail_mode": int(mode),
        "trail_start_r": float(random.choice([0.0, 0.7])),
        "trail_distance": distance,
        "trail_bars": int(random.integers(2, 30)),
        "max_bars": int(random.choice([0, 0, 9, 40])),
        "exit_ns": int(start_ns + random.integers(5, 60) * 900_000_000_000) if random.random() < 0.3 else 0,
    }


def enter_somewhere(bench, random, m, price, start_ns):
    side = 1 if random.random() < 0.5 else -1
    exits = random_exits(random, price, start_ns)
    at = random.choice([0, 1, 2])
    away = {0: np.nan, 1: price - side * 0.0006 * price, 2: price + side * 0.0006 * price}[at]
    base = price if at == 0 else away
    bench.enter(side, base - side * 0.003 * price, m=m, kind=OrderType(int(at)), price=away, **exits)


@pytest.mark.parametrize("seed", range(8))
def test_stops_and_scheduled_exits_are_those_of_the_back_test_to_the_last_bit(seed):
    """Four markets that convert through one another, with commissions, swaps and changing spreads, over a weekend;
    entries at market, by limit and by stop with break-even, all trailing modes and time exits.

    Seen to fail: with the bars held counted from 1 on the bar of the entry (time exits came a bar early); with the
    excursion of a whole bar for an entry inside it.
    """
    random = np.random.default_rng(seed)
    rules = rules_of(weekend_flatten=bool(seed % 2), weekend_lead_ns=0)
    bench = Bench(CROSS, rules=rules, **COSTS)
    paths = {m: walk(190, seed=seed * 10 + m, price=PRICES[s], spread=0.0001 * PRICES[s]) for m, s in enumerate(CROSS)}
    n_moved = n_exits = 0

    for k in range(190):
        bars = {m: path[k] for m, path in paths.items()}
        seen = bench.settle(bars)
        proposals = bench.propose(seen, bars)
        n_moved += len(stops_of(proposals))
        still_open = bench.trades()
        for ref in still_open:
            assert bench.watcher.wanted_stop(ref) == bench.settled_stop(ref), (seed, k, ref)
        ended = {f"{c.market}-{c.position_id}": c.reason for c in bench.changes if getattr(c, "is_closed", False)}
        for ref, left, reason in exits_of(proposals):
            if ref in still_open or ended[ref] in SCHEDULED:
                assert (ended[ref], left) == (reason, 0), (seed, k, ref)
                n_exits += 1
        due = {ref for ref, reason in ended.items() if reason in SCHEDULED and ref in seen}
        assert due <= {ref for ref, _, _ in exits_of(proposals)} | (set(ended) - set(seen))
        for m in paths:
            if k < 180 and random.random() < 0.15:
                enter_somewhere(bench, random, m, float(bars[m]["close"]), int(bars[m]["close_ns"]))

    assert n_moved > 30
    assert n_exits > 3


def test_partial_targets_leave_the_units_that_the_back_test_leaves():
    """Seen to fail with shares of what is left instead of shares of the first size."""
    exits = {"partial_r": [0.5, 1.0, 1.5], "partial_fraction": [0.5, 0.27, 0.1]}
    n_partials = 0
    for seed in range(12):
        bench = Bench()
        path = walk(100, seed=seed)
        bench.settle({0: path[0]})
        side = 1 if seed % 2 else -1
        bench.enter(side, float(path[0]["close"]) - side * 0.0030, units=19_000.0, **exits)
        for bar in path[1:]:
            seen = bench.settle({0: bar})
            if not seen:
                break
            (ref,) = seen
            asked = exits_of(bench.propose({ref: with_units(seen[ref], seen[ref].initial_units)}, {0: bar}))
            now = bench.trades().get(ref)
            if now is None:
                break
            assert [left for _, left, _ in asked] == ([now.units] if now.units < now.initial_units else [])
            n_partials += len(asked)

    assert n_partials > 20


@given(data=st.data(), side=st.sampled_from([1, -1]), mode=st.sampled_from(list(TrailMode)))
@settings(max_examples=60)
def test_no_proposal_ever_loosens_a_stop_or_adds_units(data, side, mode):
    """Bars and quotes in any mix, a venue that accepts only sometimes, and a person who tightens by hand.

    Seen to fail: with the sides of `tighten` exchanged in `_is_tighter`.
    """
    bench = Bench(commission_per_unit=0.00003)
    path = walk(40, seed=data.draw(st.integers(0, 9)))
    bench.settle({0: path[0]})
    first = float(path[0]["close"])
    bench.enter(side, first - side * 0.0030, be_trigger_r=0.3, trail_mode=int(mode), trail_distance=0.8, trail_bars=5,
                partial_r=[0.4, 0.9, 0.0], partial_fraction=[0.5, 0.3, 0.0])  # fmt: skip
    (trade,) = bench.settle({0: path[1]}).values()

    for bar in path[1:]:
        if bar is not path[1]:
            bench.memory.settle({0: bar}, int(bar["close_ns"]), is_quote=False)
        price = data.draw(st.floats(float(bar["low"]), float(bar["high"])))
        quote = Quote("EURUSD", price, price + 0.0001, int(bar["close_ns"]), 0)
        quotes = data.draw(st.sampled_from([{}, {"EURUSD": quote}]))
        for proposal in bench.watcher.propose([trade], {"EURUSD": bar}, quotes):
            if isinstance(proposal.wish, Protect):
                assert side * (proposal.wish.stop_loss - trade.stop_loss) > 0
                if data.draw(st.booleans()):
                    trade = replace(trade, stop_loss=proposal.wish.stop_loss)
            else:
                assert 0 <= proposal.wish.remaining_units < trade.units
                if proposal.wish.remaining_units and data.draw(st.booleans()):
                    trade = replace(trade, units=proposal.wish.remaining_units)
        if data.draw(st.integers(0, 9)) == 0:
            trade = replace(trade, stop_loss=trade.stop_loss + side * 0.0001)


def long_trade(bench=None, *, bars=((1.1000,) * 4,), spread=0.0, **exits):
    """Return a bench with one long of 20,000 from 1.1000, stop 1.0950, that has seen its first bar."""
    bench = bench or Bench()
    flat = make_bars([(1.1000,) * 4, *bars], spread=spread, start=THURSDAY)
    bench.settle({0: flat[0]})
    bench.enter(1, 1.0950, **exits)
    (trade,) = bench.settle({0: flat[1]}).values()
    bench.propose({trade.trade_ref: trade}, {0: flat[1]})
    return bench, trade


def at(price, *, minutes=16.0, tradeable=True):
    """Return a quote without a spread."""
    ts_ns = utc(THURSDAY) + int((30 + minutes) * 60e9)
    return {"EURUSD": replace(quote_at(price, spread=0.0, tradeable=tradeable), ts_ns=ts_ns)}


def test_break_even_comes_with_the_quote_that_reaches_its_trigger():
    bench, trade = long_trade(be_trigger_r=1.0, be_offset=0.0001)

    before = bench.watcher.propose([trade], {}, at(1.10499))
    after = bench.watcher.propose([trade], {}, at(1.1050))

    assert before == []
    assert stops_of(after) == {trade.trade_ref: pytest.approx(1.1001, abs=1e-12)}
    assert after[0].wish.reason == "break_even"


def test_trailing_does_not_follow_quotes():
    bench, trade = long_trade(trail_mode=int(TrailMode.DISTANCE), trail_distance=0.0020)
    trade = replace(trade, stop_loss=1.0980)

    assert bench.watcher.propose([trade], {}, at(1.1090)) == []


def test_a_partial_target_is_taken_once_price_is_there_and_asked_for_until_it_is_done():
    """Half of 20,000 at 1 R.

    Seen to fail without the memory of what was taken: the second half went as well.
    """
    bench, trade = long_trade(Bench(repeat_seconds=5.0), partial_r=[1.0, 2.0, 0.0], partial_fraction=[0.5, 0.25, 0.0])

    first = bench.watcher.propose([trade], {}, at(1.1051))
    again_at_once = bench.watcher.propose([trade], {}, at(1.1052))
    bench.clock._move_to(5_000_000_000)
    later = bench.watcher.propose([trade], {}, at(1.1052))
    done = bench.watcher.propose([with_units(trade, 10_000)], {}, at(1.1052))

    wanted = [(trade.trade_ref, Decimal(10_000), ExitReason.TAKE_PROFIT)]
    assert (exits_of(first), exits_of(again_at_once), exits_of(later), exits_of(done)) == (wanted, [], wanted, [])


def test_a_stop_that_price_has_passed_already_closes_the_trade():
    """The close trails the stop to 1.1040, but by then 1.1035 is bid: a venue would refuse that stop."""
    bench, trade = long_trade(trail_mode=int(TrailMode.DISTANCE), trail_distance=0.0020)
    bar = make_bars([(1.1000, 1.1060, 1.1000, 1.1060)], start="2024-01-11T12:30")
    bench.memory.settle({0: bar[0]}, int(bar["close_ns"][0]), is_quote=False)

    proposals = bench.watcher.propose([trade], {"EURUSD": bar[0]}, at(1.1035))

    assert exits_of(proposals) == [(trade.trade_ref, 0, ExitReason.TRAILING)]


def test_a_stop_nearer_than_the_venue_allows_is_placed_as_near_as_it_allows():
    bench, trade = long_trade(Bench(min_stop_distance=0.0030), trail_mode=int(TrailMode.DISTANCE), trail_distance=0.002)
    bar = make_bars([(1.1000, 1.1060, 1.1000, 1.1060)], start="2024-01-11T12:30")
    bench.memory.settle({0: bar[0]}, int(bar["close_ns"][0]), is_quote=False)

    proposals = bench.watcher.propose([trade], {"EURUSD": bar[0]}, at(1.1060))

    assert stops_of(proposals) == {trade.trade_ref: pytest.approx(1.1030, abs=1e-12)}


def test_a_stop_that_differs_only_by_rounding_to_the_tick_is_not_sent_again():
    bench, trade = long_trade(be_trigger_r=1.0, be_offset=0.000102)

    moved = bench.watcher.propose([trade], {}, at(1.1060))
    rounded = replace(trade, stop_loss=1.1001)

    assert stops_of(moved) == {trade.trade_ref: pytest.approx(1.100102)}
    assert bench.watcher.propose([rounded], {}, at(1.1061)) == []


def test_an_exit_at_a_time_comes_although_no_bar_does():
    bench, trade = long_trade(exit_ns=utc("2024-01-11T13:00"))

    before = bench.watcher.propose([trade], {}, at(1.1000, minutes=29.9))
    after = bench.watcher.propose([trade], {}, at(1.1000, minutes=30))

    assert (before, exits_of(after)) == ([], [(trade.trade_ref, 0, ExitReason.TIME)])


def test_the_week_end_closes_a_trade_two_minutes_before_it_although_no_bar_does():
    """Seen to fail: at the last close of the week, where a back-test leaves, nobody trades any more."""
    bench, trade = long_trade(Bench(rules=rules_of(weekend_flatten=True)))
    friday = replace(at(1.1)["EURUSD"], ts_ns=utc("2024-01-12T21:57"))

    early = bench.watcher.propose([trade], {}, {"EURUSD": friday})
    late = bench.watcher.propose([trade], {}, {"EURUSD": replace(friday, ts_ns=utc("2024-01-12T21:58:30"))})

    assert (early, exits_of(late)) == ([], [(trade.trade_ref, 0, ExitReason.WEEKEND)])


def test_news_closes_a_trade_before_the_blackout():
    """From 12:50; the bar that closes at 12:45 is the last one before it."""
    bench, trade = long_trade(Bench(rules=rules_of(uses_news=True, news_flatten=True)))
    clock = bench.memory.quotes[0].clock
    clock.blackout_start_ns, clock.blackout_end_ns = utc("2024-01-11T12:50"), utc("2024-01-11T13:20")
    bar = make_bars([(1.1000,) * 4], start="2024-01-11T12:30")

    assert exits_of(bench.watcher.propose([trade], {"EURUSD": bar[0]}, {})) == [(trade.trade_ref, 0, ExitReason.NEWS)]


def test_a_bar_that_is_shown_twice_counts_once():
    """Two bars are held, the third would be the last.

    Seen to fail without the check.
    """
    bench, trade = long_trade(max_bars=3)
    bar = make_bars([(1.1000,) * 4], start="2024-01-11T12:30")[0]

    shown = [bench.watcher.propose([trade], {"EURUSD": bar}, {}) for _ in range(3)]

    assert shown == [[], [], []]


def test_trades_of_others_and_prices_that_nobody_trades_at_move_nothing():
    bench, trade = long_trade(be_trigger_r=1.0)

    assert bench.watcher.propose([replace(trade, ticket="")], {}, at(1.1090)) == []
    assert bench.watcher.propose([trade], {}, at(1.1090, tradeable=False)) == []


@pytest.mark.parametrize("source", ["bars", "book"])
@pytest.mark.parametrize("seed", range(6))
def test_a_new_watcher_goes_on_from_the_bars_since_the_entry_or_the_saved_book(seed, source):
    """Break-even, time exit and (from bars) partial targets after a restart in the middle equal those without one.

    Seen to fail without the excursions of the bars before.
    """
    partials = {"partial_r": [0.3, 0.0, 0.0], "partial_fraction": [0.5, 0.0, 0.0]} if source == "bars" else {}
    path = walk(60, seed=seed + 100)
    bench = Bench()
    bench.settle({0: path[0]})
    side, first = (1 if seed % 2 else -1), float(path[0]["close"])
    bench.enter(side, first - side * 0.0060, be_trigger_r=0.4, max_bars=50, **partials)
    whole, halves = [], []
    for k, bar in enumerate(path[1:]):
        before = {ref: (float(row.mfe), float(row.mae)) for ref, row in rows_of(bench).items()}
        seen = bench.settle({0: bar})
        if not seen:
            break
        ((ref, trade),) = seen.items()
        trade = with_units(trade, trade.initial_units)
        if k == 0:
            other = bench.new_watcher()
        elif k == 9:
            other = bench.new_watcher()
            if source == "bars":
                other.restore(trade, path[: k + 1])
            else:
                mfe, mae = before[ref]
                other.adopt(trade, mfe=mfe, mae=mae, n_bars=k)
        whole.append(bench.watcher.propose([trade], {"EURUSD": bar}, {}))
        halves.append(other.propose([trade], {"EURUSD": bar}, {}))
        assert (ref, other.wanted_stop(ref)) == (ref, bench.watcher.wanted_stop(ref))

    assert halves[9:] == whole[9:]
    assert any(whole)


def rows_of(bench):
    """Return the open POSITION records by trade."""
    return {f"0-{int(row.id)}": row for row in bench.memory.positions(0)}


@pytest.mark.parametrize(("units", "asked"), [(10_000, []), (20_000, [10_000])])
def test_partial_targets_taken_before_a_restart_are_told_by_the_units(units, asked):
    """Half was due at 1 R.

    Seen to fail when none counted as taken: the rest went as well.
    """
    bench, trade = long_trade(partial_r=[1.0, 2.0, 0.0], partial_fraction=[0.5, 0.25, 0.0])
    watcher = bench.new_watcher()
    trade = with_units(trade, units)

    watcher.adopt(trade, mfe=0.0060, mae=0.0, n_bars=3)

    assert [left for _, left, _ in exits_of(watcher.propose([trade], {}, at(1.1055)))] == asked
