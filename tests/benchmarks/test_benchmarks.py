"""What the benchmarks rest on: fair bars, a right strategy, a comparison that can fail, a gate that can fail."""

import json
from typing import Any

import numpy as np
import pytest
from agreement import compare
from results import OURS, Results, Row, as_json, document, goals, timing_table
from sma_cross import SmaCross, SmaCrossConfig
from workloads import (
    BAR_FIELDS,
    COMMISSION_FRACTION,
    FAST_BARS,
    MINUTE_NS,
    PIP,
    SLOW_BARS,
    TICK,
    TRADE_FIELDS,
    Bars,
    average_gap,
    eurusd_m1,
    read_bars,
    to_ticks,
    write_bars,
)

from tradesentry.core.domain.orders import Action, SizeRule
from tradesentry.core.domain.records import BAR, INTENT, VIEW
from tradesentry.core.utils.kernel import new_records


@pytest.fixture(scope="module")
def bars() -> Bars:
    """Two weeks of the shared series."""
    return eurusd_m1(14_280)


def test_series_of_any_length_is_a_prefix_of_a_longer_one(bars: Bars) -> None:
    shorter = eurusd_m1(5_000)

    assert np.array_equal(shorter, bars[:5_000])


def test_bars_are_consistent_and_on_the_tick_grid(bars: Bars) -> None:
    body_high, body_low = np.maximum(bars["open"], bars["close"]), np.minimum(bars["open"], bars["close"])

    assert np.all(bars["high"] >= body_high)
    assert np.all(bars["low"] <= body_low)
    assert np.all(np.diff(bars["open_ns"]) >= MINUTE_NS)
    assert np.array_equal(to_ticks(bars["close"]) / 100_000, bars["close"])


def test_averages_never_tie(bars: Bars) -> None:
    assert np.all(average_gap(to_ticks(bars["close"])) != 0)


def test_files_hold_what_was_made(tmp_path: Any) -> None:
    write_bars(tmp_path, 2, 1_000)

    series = read_bars(tmp_path, 2, 1_000)

    assert list(series) == ["EURUSD", "GBPUSD"]
    assert np.array_equal(series["EURUSD"], eurusd_m1(1_000))
    assert not np.array_equal(series["EURUSD"]["close"], series["GBPUSD"]["close"])


def crosses(closes: Any) -> list[tuple[int, int]]:
    """Return (bar, side) of every cross, from whole averages of exact ticks: slow and obvious."""
    ticks = to_ticks(closes)
    found, last = [], 0
    for i in range(SLOW_BARS - 1, len(ticks)):
        fast = int(ticks[i - FAST_BARS + 1 : i + 1].sum()) * SLOW_BARS
        slow = int(ticks[i - SLOW_BARS + 1 : i + 1].sum()) * FAST_BARS
        side = 1 if fast > slow else -1
        if last not in (0, side):
            found.append((i, side))
        last = side
    return found


def decide(bars: Bars, n_positions: int) -> list[tuple[int, Any]]:
    """Return (bar, intents) of every bar on which `step` wrote some."""
    config = SmaCrossConfig()
    params, state = SmaCross.new_params(config), SmaCross.new_state(config)
    view, intents, bar = new_records(1, VIEW), new_records(4, INTENT), new_records(1, BAR)
    view[0].pip = PIP
    view[0].n_positions = n_positions
    found = []
    for i, row in enumerate(bars):
        bar[0].close = row["close"]
        n = SmaCross.step(params[0], state[0], bar[0], view[0], intents)
        if n:
            found.append((i, intents[:n].copy()))
    return found


def test_step_decides_on_exactly_the_bars_where_whole_averages_cross(bars: Bars) -> None:
    decided = decide(bars[:5_000], n_positions=0)

    assert [(i, int(intents[0].side)) for i, intents in decided] == crosses(bars["close"][:5_000])


def test_step_brackets_the_deciding_close(bars: Bars) -> None:
    i, intents = decide(bars[:2_000], n_positions=0)[0]

    close, side = bars["close"][i], int(intents[0].side)
    assert intents[0].action == Action.ENTER
    assert intents[0].size_rule == SizeRule.UNITS
    assert intents[0]["size"] == 10_000
    assert intents[0].stop_loss == pytest.approx(close - side * 20 * PIP, abs=1e-12)
    assert intents[0].take_profit == pytest.approx(close + side * 40 * PIP, abs=1e-12)


def test_step_closes_what_is_open_before_it_enters(bars: Bars) -> None:
    _bar, intents = decide(bars[:2_000], n_positions=1)[0]

    assert [int(intent.action) for intent in intents] == [Action.CLOSE, Action.ENTER]
    assert intents[0]["size"] == 0


def flat_bars(n_bars: int = 20, price: float = 1.1) -> Bars:
    """Return bars that stand still; tests move single ones."""
    rows = np.zeros(n_bars, BAR_FIELDS)
    rows["open_ns"] = np.arange(n_bars) * MINUTE_NS
    for name in ("open", "high", "low", "close"):
        rows[name] = price
    return rows


def trade(signal_bar: int, exit_bar: int, exit_price: float, side: int = 1, *, is_open: bool = False) -> Any:
    """Return one trade entered at 1.1 on the bar after `signal_bar`."""
    row = np.zeros(1, TRADE_FIELDS)
    net = 10_000 * (side * (exit_price - 1.1) - COMMISSION_FRACTION * (1.1 + exit_price))
    row[0] = (signal_bar, exit_bar, side, is_open, 1.1, exit_price, net)
    return row


def test_equal_lists_agree() -> None:
    trades = np.concatenate([trade(1, 5, 1.101), trade(6, 9, 1.102, -1)])

    found = compare(trades, trades, flat_bars())

    assert found.n_equal == 2
    assert found.is_explained
    assert not found.causes


def test_a_planted_difference_is_unexplained() -> None:
    """The comparison can fail: one exit moved by one tick on bars that offer no reason."""
    ours, theirs = trade(1, 5, 1.101), trade(1, 5, 1.101 + TICK)

    found = compare(ours, theirs, flat_bars())

    assert not found.is_explained
    assert "bar 1" in found.examples[0]


def test_a_missing_trade_is_unexplained() -> None:
    found = compare(trade(1, 5, 1.101), trade(1, 5, 1.101)[:0], flat_bars())

    assert found.causes["unexplained"] == 1


def test_an_entry_we_refuse_over_a_gap_is_explained() -> None:
    bars = flat_bars()
    bars["open_ns"][2:] += 60 * MINUTE_NS

    found = compare(trade(1, 5, 1.101)[:0], trade(1, 5, 1.101), bars)

    assert found.causes["entry refused after a gap"] == 1
    assert found.is_explained


def test_a_stop_on_the_entry_bar_that_they_ignore_is_explained() -> None:
    found = compare(trade(1, 2, 1.098), trade(1, 7, 1.101), flat_bars())

    assert found.causes["entry-bar stop ignored"] == 1


def test_a_target_that_they_fill_on_the_entry_bar_is_explained() -> None:
    found = compare(trade(1, 7, 1.101), trade(1, 2, 1.104), flat_bars())

    assert found.causes["entry-bar target"] == 1


def test_a_stop_that_swallows_the_signal_of_its_bar_is_explained() -> None:
    bars = flat_bars()
    ours = np.concatenate([trade(1, 6, 1.1), trade(5, 9, 1.101, -1)])
    theirs = trade(1, 6, 1.098)

    found = compare(ours, theirs, bars)

    assert found.causes["stop and signal on one bar"] == 2
    assert found.is_explained


def test_a_level_touched_exactly_is_explained() -> None:
    bars = flat_bars()
    bars["low"][4] = 1.098

    found = compare(trade(1, 8, 1.101), trade(1, 4, 1.098), bars)

    assert found.causes["last bit of a price"] == 1


def measured(ours: float, rust: float, nautilus: float) -> Results:
    """Return results of W1 with the given seconds for a million bars."""
    rows = [("vectorbt (Rust)", rust), ("nautilus_trader", nautilus), ("bare loop", 0.001), (OURS, ours)]
    return Results([Row("w1", name, "1", 1_000_000, [s, s * 2, s * 3], 10, 1.0) for name, s in rows])


def test_goals_are_met_by_a_fast_engine_and_missed_by_a_slow_one() -> None:
    fast = {goal.text: goal.is_met for goal in goals(measured(0.02, 0.1, 30.0))}
    slow = {goal.text: goal.is_met for goal in goals(measured(0.05, 0.1, 30.0))}

    assert fast["W1: times the fastest peer"] is True
    assert slow["W1: times the fastest peer"] is False
    assert fast["W1: times nautilus_trader"] is True
    assert fast["cold start, seconds"] is None


def test_table_says_the_ratio_to_us_and_keeps_its_columns_aligned() -> None:
    lines = timing_table(measured(0.02, 0.1, 30.0))

    assert len({len(line) for line in lines}) == 1
    assert "5.00x" in next(line for line in lines if "Rust" in line)


def test_json_holds_medians_and_causes() -> None:
    results = measured(0.02, 0.1, 30.0)
    results.agreements["a peer"] = compare(trade(1, 5, 1.101), trade(1, 5, 1.102), flat_bars())

    saved = json.loads(json.dumps(as_json(results)))

    assert {row["engine"]: row["median"] for row in saved["rows"]}[OURS] == pytest.approx(0.04)
    assert saved["agreements"]["a peer"]["causes"] == {"unexplained": 1}


def test_an_unexplained_trade_misses_the_goal() -> None:
    results = measured(0.02, 0.1, 30.0)
    results.agreements["a peer"] = compare(trade(1, 5, 1.101), trade(1, 5, 1.102), flat_bars())

    verdicts = {goal.text: goal.is_met for goal in goals(results)}

    assert verdicts["trades that differ from a peer unexplained"] is False


def test_page_says_goals_times_and_causes() -> None:
    results = measured(0.02, 0.1, 30.0)
    results.agreements["a peer"] = compare(trade(1, 5, 1.101), trade(1, 5, 1.101), flat_bars())

    page = document(results)

    assert "| W1: times the fastest peer " in page
    assert "backtesting.py may fill a target on the entry bar" in page
    assert "| a peer | equal " in page
