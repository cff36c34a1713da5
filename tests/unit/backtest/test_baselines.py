"""Baselines: other entries are played like the strategy's own, chance is told from skill, and the numbers are right.

The proof that the replay is the engine's: a script of a strategy's own entries earns what the strategy earned.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.strategy.plugins import installed
from tests.unit.core.strategy.tiny_strategies import FUTURE
from tradesentry.backtest import baselines as module
from tradesentry.backtest.baselines import (
    GENERAL,
    N_DRAWS,
    Baseline,
    Exits,
    Situation,
    compare,
    exits_of_trades,
    with_baselines,
)
from tradesentry.backtest.resolve import checked_settings, resolve_run
from tradesentry.backtest.runner import backtest, new_arena, play
from tradesentry.backtest.scripted import ENTRY, _most_open, _spread_out, r_multiples
from tradesentry.core.domain.orders import ExitReason
from tradesentry.core.domain.records import BAR, N_POSITIONS, TRADE
from tradesentry.core.market.bars import BarSeries, checksum_of
from tradesentry.core.utils.kernel import new_records

TINY = "tests.unit.core.strategy.tiny_strategies:TinyStrategy"
HOUR = 3_600 * 10**9
WALK = {"source": "synthetic:random_walk:3", "from_": "2022-01-03", "to": "2022-07-01", "limits": "off"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A function that resolves a run of the tiny strategy with some behavior."""
    with installed(tmp_path_factory.mktemp("plugin"), {"tiny": TINY}):

        def resolve(behavior="momentum", *more, bars=None, **changes):
            run = resolve_run(
                "tiny", bars=bars, overrides=[f"behavior={behavior}", *more], settings=checked_settings(WALK | changes)
            )
            series = run.data.series[0].bars
            FUTURE["mids"] = series["close"] + series["spread"] / 2
            return run

        yield resolve


def trades_of(run):
    arena = new_arena(run)
    arena.run()
    return arena.trade_rows


def gapless(n=3_000, seed=5):
    """Bars without spread that open where the last one closed, one week after the other."""
    random = np.random.default_rng(seed)
    start = np.datetime64("2022-01-03T00:00", "ns").astype(np.int64)
    bars = np.zeros(n, BAR).view(np.recarray)
    week, inside = np.divmod(np.arange(n), 116)
    bars.open_ns = start + week * 7 * 24 * HOUR + inside * HOUR
    bars.close_ns = bars.open_ns + HOUR
    bars.close = 1.1 + np.cumsum(np.rint(random.normal(0, 80, n))) * 1e-5
    bars.open = np.concatenate(([1.1], bars.close[:-1]))
    bars.high = np.maximum(bars.open, bars.close) + np.rint(random.random(n) * 50) * 1e-5
    bars.low = np.minimum(bars.open, bars.close) - np.rint(random.random(n) * 50) * 1e-5
    return BarSeries(bars, "EURUSD", "test", "H1", "bid", {"clock": "UTC"}, checksum_of(bars))


def test_a_script_of_the_own_entries_earns_what_the_strategy_earned(tiny):
    """Seen to fail with the stop placed from the next open, and with an exit one bar later."""
    run = tiny(
        "momentum", "timeframe=H1", "stop_pips=30", bars=[gapless()], costs="free", cost_scale=0.0,
        source="", from_=None, to=None,
    )  # fmt: skip
    trades = trades_of(run)
    bars = run.data.series[0].bars
    entries = np.zeros(len(trades), ENTRY)
    entries["decide_ns"], entries["side"], entries["target"] = trades["entry_ns"], trades["side"], np.nan
    # A week begins where the last one ended, a weekend earlier: the decision was made at that close.
    entries["decide_ns"] = bars["close_ns"][np.searchsorted(bars["open_ns"], trades["entry_ns"]) - 1]
    entries["distance"] = np.abs(trades["entry_price"] - trades["stop_at_entry"])
    last = np.searchsorted(bars["open_ns"], trades["entry_ns"]) + run.config.hold_bars - 1
    entries["exit_ns"] = bars["close_ns"][np.minimum(last, len(bars) - 1)]
    entries["id"] = np.arange(len(trades))

    found = r_multiples(run, {0: entries})

    assert len(trades) > 100
    assert {int(ExitReason.STOP_LOSS), int(ExitReason.TIME)} <= set(trades["exit_reason"].tolist())
    np.testing.assert_allclose(found, trades["r_multiple"], atol=1e-9)


def rows_of(run):
    return {row.name: row for row in compare(run)}


def test_a_strategy_that_knows_the_future_beats_every_draw(tiny):
    rows = rows_of(tiny("peeks"))

    for name in ("random_entry", "placebo"):
        assert rows[name].p_value == 1 / (1 + N_DRAWS)
        assert rows[name].low < rows[name].mean_r < rows[name].high < 0.1
        assert rows[name].n_draws == N_DRAWS


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_chance_does_not_beat_chance(tiny, seed):
    """Momentum on a random walk is a random entry; its p-values are somewhere in the middle."""
    rows = rows_of(tiny("momentum", source=f"synthetic:random_walk:{seed}"))

    assert all(0.004 < rows[name].p_value < 0.996 for name in ("random_entry", "placebo"))


def test_costs_weigh_on_baselines_as_on_the_strategy(tiny):
    free = rows_of(tiny("momentum", costs="free", cost_scale=0.0))
    retail = rows_of(tiny("momentum", costs="retail"))

    for name in ("random_entry", "placebo"):
        assert retail[name].mean_r < free[name].mean_r - 0.03
        assert free[name].low < 0 < free[name].high


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tiny):
    run = tiny("momentum")

    assert compare(run) == compare(run)
    assert compare(run, seed=1)[3] != compare(run)[3]


def test_holding_earns_the_change_of_the_price_less_its_costs(tiny):
    run = tiny("momentum", costs="free", cost_scale=0.0)
    bars = run.data.series[0].bars

    hold = rows_of(run)["hold"]

    assert hold.total_return == pytest.approx(float(bars["close"][-1] / bars["open"][1] - 1), abs=2e-4)
    assert hold.max_drawdown == pytest.approx(
        float(np.max(1 - bars["low"] / np.maximum.accumulate(bars["high"]))), abs=3e-3
    )
    assert hold.p_value is None
    assert rows_of(tiny("momentum", costs="retail"))["hold"].total_return < hold.total_return


@pytest.mark.parametrize("symbols", ["[USDJPY]", "[EURUSD,USDJPY,EURGBP]"])
def test_holding_spreads_the_capital_over_the_markets_in_any_currency(tiny, symbols):
    run = tiny("momentum", f"symbols={symbols}", costs="free", cost_scale=0.0, source="synthetic:plain:2")
    changes = [float(s.bars["close"][-1] / s.bars["close"][0]) - 1 for s in run.data.series[: run.data.n_traded]]

    hold = rows_of(run)["hold"]

    # Profit in yen or pounds is worth its rate, and sizes are set once: a few hundredths of the change.
    assert hold.n_trades == len(changes)
    assert hold.total_return == pytest.approx(np.mean(changes), abs=0.1 * np.max(np.abs(changes)))


def test_a_run_without_trades_has_only_what_needs_none(tiny):
    run = tiny("momentum", "every_bars=500", to="2022-01-04")

    assert [row.name for row in compare(run)] == ["flat", "hold", "short"]


def trades(**fields):
    rows = new_records(len(next(iter(fields.values()))), TRADE)
    for name, value in fields.items():
        rows[name] = value
    return rows


def test_exits_are_read_from_the_trades_by_tag():
    hit, stopped = int(ExitReason.TAKE_PROFIT), int(ExitReason.STOP_LOSS)
    found = exits_of_trades(
        trades(
            tag=[1, 1, 1, 2, 2], entry_price=[1.1] * 5, stop_at_entry=[1.09, 1.11, 1.09, 1.09, 1.09],
            exit_price=[1.12, 1.08, 1.09, 1.09, 1.13], exit_reason=[hit, hit, stopped, stopped, 4],
            bars_held=[3, 9, 1, 0, 0],
        )
    )  # fmt: skip

    assert found.target[:3] == pytest.approx([2.0] * 3)
    assert np.isnan(found.target[3:]).all()
    assert found.limit_bars.tolist() == [9, 9, 9, 1, 1]


def situation(n_bars=2_000, n_trades=50):
    """A market whose ATR rises steadily, with trades all over it."""
    bars = np.zeros(n_bars, BAR)
    bars["close_ns"] = np.arange(1, n_bars + 1) * HOUR
    at = np.linspace(20, n_bars - 50, n_trades).astype(int)
    rows = trades(entry_ns=bars["close_ns"][at], side=np.resize([1, -1], n_trades))
    rows.entry_price, rows.stop_at_entry = 1.1, 1.1 - rows.side * 0.01
    atr = np.concatenate((np.full(14, np.nan), np.arange(14, n_bars) * 1e-5))
    return Situation(rows, bars, None, None, atr, Exits(np.full(n_trades, 2.0), np.full(n_trades, 7))), at


def row_of(entries, bars):
    return np.searchsorted(bars["close_ns"], entries["decide_ns"])


def test_a_placebo_keeps_side_stop_and_target_at_bars_of_similar_atr():
    at, decided = situation()
    placebo = GENERAL[1]

    entries = placebo.alternatives(at, np.random.default_rng(1), 40)

    rows = row_of(entries, at.bars)
    assert entries.shape == (40, 50)
    assert (entries["side"] == at.trades.side).all()
    assert entries["distance"] == pytest.approx(np.full((40, 50), 0.01))
    assert (entries["target"] == 2.0).all()
    assert (entries["exit_ns"] == at.bars["close_ns"][np.minimum(rows + 7, 1_999)]).all()
    # A twentieth of all bars: fifty to each side, all of it at the ends.
    assert np.abs(rows - decided).max() <= 100
    assert np.abs(rows - decided)[:, 5:-5].max() <= 51
    assert len(np.unique(rows[:, 20])) > 20


def test_a_random_entry_may_be_anywhere_with_exits_scaled_by_atr():
    at, decided = situation()

    entries = GENERAL[0].alternatives(at, np.random.default_rng(1), 40)

    rows = row_of(entries, at.bars)
    assert rows.min() < 100
    assert rows.max() > 1_900
    assert set(np.unique(entries["side"])) == {-1, 1}
    assert entries["distance"] == pytest.approx(0.01 * at.atr[rows] / at.atr[decided])


def test_atr_is_wilders(tiny):
    bars = tiny("momentum").data.series[0].bars

    ours = module.average_range(bars)

    theirs = talib.ATR(*(np.array(bars[name]) for name in ("high", "low", "close")), timeperiod=14)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert np.isnan(module.average_range(bars[:14])).all()


def test_a_draw_takes_one_filled_alternative_of_each_trade():
    nothing = math.nan
    outcomes = np.array([[1.0, nothing, nothing], [3.0, 10.0, nothing], [1.0, nothing, nothing]])

    means, n_trades = module._draw_means(outcomes, 3_000, seed=0)

    assert n_trades == 2
    assert set(means.tolist()) == {5.5, 6.5}
    assert np.mean(means == 6.5) == pytest.approx(1 / 3, abs=0.03)


def test_p_counts_the_draws_that_do_at_least_as_well(tiny, monkeypatch):
    at, _ = situation(n_trades=4)
    monkeypatch.setattr(module, "_outcomes", lambda *_: np.array([[1.0] * 4, [1.0] * 4]))
    baseline = GENERAL[0]

    def p(mean_r):
        return module._row(None, {0: at}, baseline, mean_r, seed=0).p_value

    assert p(1.0) == 1.0
    assert p(1.1) == 1 / (1 + N_DRAWS)


def test_what_is_not_drawn_is_played_once_and_has_no_p(tiny):
    run = tiny("momentum")
    own = trades_of(run)
    same = Baseline(
        "own", "Own", "", is_random=False,
        alternatives=lambda at, _random, n: at.entries(
            n, decide_ns=at.trades["entry_ns"], exit_ns=at.end_after(at.decided), side=-at.trades["side"]
        ),
    )  # fmt: skip
    at = Situation(
        own,
        run.data.series[0].bars,
        None,
        run.config,
        module.average_range(run.data.series[0].bars),
        exits_of_trades(own),
    )

    row = module._row(run, {0: at}, same, 0.0, seed=0)

    assert (row.n_draws, row.p_value) == (0, None)
    assert row.n_trades > 0.9 * len(own)
    assert row.low < row.mean_r < row.high
    assert row.mean_r != pytest.approx(float(own.r_multiple.mean()))


@settings(max_examples=60, deadline=None)
@given(
    starts=st.lists(st.integers(0, 30), min_size=1, max_size=150),
    length=st.integers(0, 40),
    sides=st.integers(0, 2**32 - 1),
)
def test_lanes_keep_every_entry_and_never_hold_too_many(starts, length, sides):
    entries = np.zeros(len(starts), ENTRY)
    entries["decide_ns"], entries["id"] = starts, np.arange(len(starts))
    entries["exit_ns"] = np.where(length, entries["decide_ns"] + length, 0)
    entries["side"] = np.random.default_rng(sides).choice((-1, 1), len(starts))

    lanes = _spread_out(entries)

    assert sorted(np.concatenate(lanes)["id"]) == list(range(len(starts)))
    for lane in lanes:
        assert len(np.unique(lane[["decide_ns", "side"]])) == len(lane)
        assert _most_open(lane) < N_POSITIONS
        assert np.all(np.diff(lane["decide_ns"]) >= 0)


def test_the_comparison_stands_beside_the_result_and_survives_the_folder(tiny, tmp_path):
    from tradesentry.backtest.result import load_result

    run = tiny("momentum")
    result = with_baselines(run, play(run))

    loaded = load_result(result.save(tmp_path / "run", with_report=False))

    assert [row["name"] for row in loaded.baselines] == ["flat", "hold", "short", "random_entry", "placebo"]
    assert loaded.baselines == result.baselines
    assert replace(result, baselines=[]).summary == result.summary


def test_one_argument_is_all_it_takes():
    config = {"symbols": ["EURUSD"], "or_minutes": 15}
    period = {"from_": "2022-01-03", "to": "2022-03-05", "limits": "off"}

    result = backtest("breakout", config=config, baselines=True, **period)

    names = [row["name"] for row in result.baselines]
    assert names == ["flat", "hold", "short", "random_entry", "placebo", "random_side", "random_time", "session_start"]
    assert backtest("breakout", config=config, **period).baselines == []
