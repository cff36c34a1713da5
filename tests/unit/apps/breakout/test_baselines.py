"""What breakout must beat: times, sides and ends of the other entries, by hand."""

import numpy as np
import pytest

from tests.unit.apps.breakout.factories import hold, ns, put, quiet_bars, resolve, when
from tests.unit.apps.breakout.test_trades import BREAK
from tradesentry.apps.breakout.baselines import BASELINES, SUITE, exits
from tradesentry.backtest.baselines import _situations, compare
from tradesentry.backtest.runner import new_arena
from tradesentry.backtest.scripted import script_arena

DAYS = ("11", "12", "13")
SIDE, TIME, START = SUITE.baselines


def traded(**options):
    """A run with a trade on each of three days, and its trades."""
    bars = quiet_bars()
    for day in DAYS:
        hold(bars, f"2024-06-{day}T07:45", f"2024-06-{day}T21:00", 1.1015)
        put(bars, f"2024-06-{day}T07:30", BREAK)
    run = resolve(bars, **options)
    arena = new_arena(run)
    arena.run()
    assert len(arena.trade_rows) == 3
    return run, arena.trade_rows


def alternatives(baseline, n=20, **options):
    """The trades of the run and n other entries for each."""
    run, trades = traded(**options)
    (situation,) = _situations(run, trades, SUITE).values()
    return trades, baseline.alternatives(situation, np.random.default_rng(1), n)


def test_random_side_keeps_times_distances_targets_and_the_session_end():
    trades, entries = alternatives(SIDE)

    assert (entries["decide_ns"] == trades.entry_ns).all()
    assert entries["distance"] == pytest.approx(np.full((20, 3), 0.0020))
    assert (entries["target"] == 2.0).all()
    assert (entries["exit_ns"] == [ns(f"2024-06-{day}T16:00") for day in DAYS]).all()
    assert set(np.unique(entries["side"])) == {1, -1}


def test_random_time_keeps_the_side_and_never_comes_before_the_signal():
    trades, entries = alternatives(TIME, 200)

    assert (entries["decide_ns"] >= trades.entry_ns).all()
    assert (entries["side"] == trades.side).all()
    times = {when(at)[4:] for at in entries["decide_ns"].ravel()}
    assert min(times) == "07:45"
    assert max(times) == "09:45"
    assert len(times) == 9


def test_session_start_buys_when_the_session_begins():
    _, entries = alternatives(START, 1)

    assert entries["side"].tolist() == [[1, 1, 1]]
    assert [when(at)[4:] for at in entries["decide_ns"][0]] == ["07:00"] * 3


def test_exits_end_with_the_session_or_sooner():
    run, trades = traded()
    calendar = run.markets[0].calendar

    whole = exits(run.config, trades, calendar)
    short = exits(run.config.model_copy(update={"time_exit": 60, "target": None}), trades, calendar)

    # 07:45 to 16:00 is 33 bars of a quarter of an hour.
    assert whole.limit_bars.tolist() == [33] * 3
    assert whole.target.tolist() == [2.0] * 3
    assert short.limit_bars.tolist() == [4] * 3
    assert np.isnan(short.target).all()


def test_the_other_entries_are_filled_and_ended_by_the_engine():
    run, trades = traded()
    (situation,) = _situations(run, trades, SUITE).values()
    entries = SIDE.alternatives(situation, np.random.default_rng(1), 1)[0]

    arena, _scripts = script_arena(run, {0: entries})
    arena.run()

    made = arena.trade_rows
    assert made.entry_ns.tolist() == trades.entry_ns.tolist()
    assert made.side.tolist() == entries["side"].tolist()
    assert (made.exit_ns <= entries["exit_ns"]).all()


def test_the_comparison_has_the_general_baselines_and_the_three_of_breakout():
    run, _ = traded()

    rows = {row.name: row for row in compare(run)}

    assert list(rows) == ["flat", "hold", "short", "random_entry", "placebo", *BASELINES]
    assert BASELINES == ("random_side", "random_time", "session_start")
    assert rows["random_side"].n_trades == 3
    assert rows["random_side"].n_draws == 1_000
    assert rows["session_start"].p_value is None
