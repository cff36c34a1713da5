"""A walk-forward chooses on the past alone, trades what follows, and joins it to one account."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.support.studies import GRID, tiny_strategy, walk, walk_plan
from tradesentry.backtest import walk_forward as walks
from tradesentry.backtest.report import read_report_data
from tradesentry.backtest.resolve import checked_settings, resolve_run
from tradesentry.backtest.result import load_result
from tradesentry.backtest.runner import play
from tradesentry.backtest.studies.folds import make_folds
from tradesentry.backtest.studies.portfolio import play_portfolio
from tradesentry.backtest.studies.selection import purged
from tradesentry.backtest.studies.stage import Window
from tradesentry.backtest.studies.study_files import read_plan, save_walk_forward, write_plan
from tradesentry.backtest.studies.variants import grid_variants
from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.market.synthetic import synthetic_bars

DAY_NS = 86_400_000_000_000
TWO = {"symbols": ["EURUSD", "GBPUSD"]}


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    with tiny_strategy(tmp_path_factory.mktemp("tiny")):
        yield


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A walk-forward of 16 variants on two markets of a generated market, with costs at three levels."""
    plan = walk_plan(config=TWO, settings={"costs": "standard", "cost_scale": 1.0}, cost_levels=(0.0, 1.0, 2.0))
    return walk(plan, tmp_path_factory.mktemp("walk"))


def bars_of(plan, *, change_after=None, factor=1.01):
    """Return the bars of a plan; those that close after an instant are multiplied by a factor."""
    settings = plan.settings
    made = synthetic_bars(
        plan.config["symbols"], timeframe="H1", start=settings["from_"], end=settings["to"], variant="random_walk",
        seed=3,
    )  # fmt: skip
    found = []
    for series in made.values():
        bars = series.bars.copy()
        if change_after is not None:
            for name in ("open", "high", "low", "close"):
                bars[name][bars["close_ns"] > change_after] *= factor
        found.append(replace(series, bars=bars))
    return found


def chosen(result, fold=None):
    return [
        (c.fold, c.symbol, c.variant.key, c.weight, c.train) for c in result.choices if fold is None or c.fold <= fold
    ]


def test_every_fold_trades_what_its_train_window_showed(result):
    for choice in result.choices:
        others = [c.train.bound for c in result.choices if (c.fold, c.symbol) == (choice.fold, choice.symbol)]
        assert choice.train.n_trades >= 10 / 2
        assert choice.train.bound in others
    for row in result.folds:
        own = [c for c in result.choices if c.fold == row.fold.index]
        assert {c.symbol for c in own} == {"EURUSD", "GBPUSD"}
        for symbol in ("EURUSD", "GBPUSD"):
            weights = [c.weight for c in own if c.symbol == symbol]
            assert 1 <= len(weights) <= 2
            assert math.fsum(weights) == pytest.approx(1.0)


def test_the_joined_account_is_capital_and_all_that_was_earned(result):
    joined = result.result

    assert joined.equity["equity"][-1] == pytest.approx(joined.capital + joined.trades["net"].sum(), abs=1e-6)
    assert joined.equity["equity"][-1] == pytest.approx(joined.equity["balance"][-1])
    assert joined.equity["ts_ns"].is_sorted()
    assert joined.equity["ts_ns"].n_unique() == joined.equity.height
    assert (joined.equity["worst_equity"] <= joined.equity["equity"] + 1e-6).all()
    assert joined.period[0] == result.folds[0].fold.test.start_ns
    assert sorted(joined.cost_runs) == ["0x", "1x", "2x"]
    assert joined.cost_runs["0x"]["mean_r"] > joined.cost_runs["2x"]["mean_r"]


def test_every_trade_is_entered_inside_the_window_of_its_choice(result):
    spans = {row.fold.index: row.fold.test.bounds for row in result.folds}
    numbers = {}
    for row in result.folds:
        begin, end = spans[row.fold.index]
        entries = row.play.trades["entry_ns"]
        assert entries.min() >= begin
        # What was decided on the last bar of a window is carried out at the next open.
        assert entries.max() <= end + 3 * DAY_NS
        keys = {c.variant.key for c in result.choices if c.fold == row.fold.index}
        assert len(set(row.play.trades["variant"])) <= len(keys)
        numbers[row.fold.index] = keys
    assert len(numbers) == len(result.folds) >= 3


def test_each_window_begins_with_what_the_ones_before_left(result):
    capital = result.result.capital
    for row in result.folds:
        assert row.play.capital == pytest.approx(capital, abs=1e-6)
        capital += row.play.trades["net"].sum()


def test_nothing_after_a_train_window_touches_the_choice(tmp_path):
    """Every bar after the train window of the last fold is changed: all choices stay, to the last bit."""
    plan = walk_plan()
    folds = make_folds(plan.folds, [series.bars for series in bars_of(plan)])
    last = folds[-1].train.end_ns

    plain = walk(plan, tmp_path / "a", bars=bars_of(plan))
    changed = walk(plan, tmp_path / "b", bars=bars_of(plan, change_after=last))

    assert chosen(plain) == chosen(changed)
    assert plain.result.trades["net"].sum() != changed.result.trades["net"].sum()


def test_a_choice_that_peeks_would_be_noticed(tmp_path, monkeypatch):
    """The planted fault: candidates are ranked by a train window that reaches into the test."""
    honest = walks._WalkForward._scores

    def peeking(self, variants, window, *, is_purged, is_expected):
        fold = next((f for f in self.folds if f.train == window), None)
        used = Window(fold.train.start_ns, fold.test.end_ns) if fold is not None else window
        return honest(self, variants, used, is_purged=is_purged, is_expected=is_expected)

    plan = walk_plan()
    last = make_folds(plan.folds, [series.bars for series in bars_of(plan)])[-1].train.end_ns
    monkeypatch.setattr(walks._WalkForward, "_scores", peeking)
    plain = walk(plan, tmp_path / "a", bars=bars_of(plan))
    changed = walk(plan, tmp_path / "b", bars=bars_of(plan, change_after=last, factor=0.97))

    assert chosen(plain) != chosen(changed)


def test_the_number_of_threads_changes_nothing(tmp_path, result):
    again = walk(result.plan, tmp_path, workers=1)

    assert chosen(again) == chosen(result)
    assert again.result.trades.equals(result.result.trades)
    assert again.result.equity.equals(result.result.equity)
    assert again.evidence.document() == result.evidence.document()


def test_a_killed_walk_goes_on_where_it_was(tmp_path):
    def interrupt(progress):
        if progress.done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk(walk_plan(), tmp_path, report=interrupt)
    resumed = walk(walk_plan(), tmp_path)
    whole = walk(walk_plan(), tmp_path / "elsewhere")

    assert resumed.study["reused"] >= 40
    assert chosen(resumed) == chosen(whole)
    assert resumed.result.trades.equals(whole.result.trades)
    assert resumed.evidence.document() == whole.evidence.document()


def test_pure_noise_is_no_evidence_and_ranking_tells_nothing(tmp_path):
    found = walk(walk_plan(settings={"to": "2023-01-01"}), tmp_path)
    mean, error = found.rank_correlation

    assert not found.evidence.is_edge
    assert found.evidence.n_trials == 16
    assert abs(mean) < 3 * error


def test_a_planted_trend_is_found_in_the_windows_that_follow(tmp_path):
    found = walk(walk_plan(source="synthetic:trend:3", settings={"to": "2023-01-01"}), tmp_path)

    assert found.evidence.is_edge
    assert found.result.summary["mean_r_low"] > 0
    assert found.efficiency > 0.5
    assert found.rank_correlation[0] > 0.5


def test_one_variant_on_one_market_is_the_plain_play_of_its_window(tmp_path):
    plan = walk_plan(space={"every_bars": [8]}, top=1, min_trades=1)
    found = walk(plan, tmp_path)
    stage = walks.Stages("tiny", found.run).of(found.choices[0].variant.config)[1]

    for row, choice in zip(found.folds, found.choices, strict=True):
        alone = stage.play(choice.variant.config, row.fold.test)
        assert row.play.trades["entry_ns"].tolist() == alone.trades["entry_ns"].tolist()
        assert row.play.trades["exit_ns"].tolist() == alone.trades["exit_ns"].tolist()
        assert choice.test.n_trades == len(alone.trades)


def test_an_app_may_fit_instead_of_search(tmp_path, monkeypatch):
    given = []

    def fit(train, validation, seed):
        given.append((train, validation, seed))
        return {"every_bars": 4 + 4 * train.fold.index}

    monkeypatch.setattr(walks, "fit_of", lambda name: fit)
    found = walk(walk_plan(method="fit", space={}, top=1, min_trades=1), tmp_path)

    assert [c.variant.values["every_bars"] for c in found.choices] == [4 + 4 * c.fold for c in found.choices]
    assert len(given) == len(found.folds)
    for train, validation, seed in given:
        last = max(int(series.bars["close_ns"][-1]) for series in train.run.data.series)
        assert last <= train.fold.train.end_ns < train.fold.test.start_ns
        assert (validation, seed) == (None, 0)


def test_a_search_per_fold_and_market_can_be_repeated(tmp_path):
    plan = walk_plan(method="optuna", space={"every_bars": {"low": 4, "high": 40}}, n_trials=8, top=1)

    first = walk(plan, tmp_path / "a")
    again = walk(plan, tmp_path / "b", workers=1)

    assert chosen(first) == chosen(again)
    assert len({c.variant.key for c in first.choices}) >= 1


def test_no_eligible_variant_says_what_to_change(tmp_path):
    with pytest.raises(ConfigError, match=r"No variant was eligible in any of the \d+ folds.*Lower --min-trades"):
        walk(walk_plan(min_trades=10_000), tmp_path)


def test_a_fit_that_does_not_exist_says_what_to_give(tmp_path):
    with pytest.raises(ConfigError, match=r"tiny has no fit\(train, validation, seed\) hook"):
        walk(walk_plan(method="fit"), tmp_path)


def test_trades_that_the_train_window_cut_off_do_not_count(result):
    first = result.choices[0]
    plan, folds = result.plan, result.folds
    run = resolve_run("tiny", config=plan.config, settings=checked_settings(plan.settings))
    stage = walks.Stages("tiny", run).of(first.variant.config, [first.symbol])[1]

    outcome = stage.play(first.variant.config, folds[0].fold.train)

    assert len(purged(outcome.trades)) == first.train.n_trades <= len(outcome.trades)


def test_the_folder_holds_folds_and_choices_and_the_page_shows_them(tmp_path, result):
    folder = tmp_path / "study"
    write_plan(folder, "walk-forward", result.plan)
    save_walk_forward(result, folder)
    page, document = (folder / "report.html").read_text(), read_report_data(folder)

    assert read_plan(folder, "walk-forward") == result.plan
    assert pl.read_parquet(folder / "folds.parquet").height == len(result.folds)
    assert pl.read_parquet(folder / "choices.parquet").height == len(result.choices)
    assert load_result(folder).trades.equals(result.result.trades)
    assert document["study"]["kind"] == "walk-forward"
    assert len(document["charts"]["parameters"]["value"]) == 3 * len(result.choices)
    for text in ("Test windows", "Parameters over time", "How much is luck", "Rank corr.", "Rank correlation of train"):
        assert text in page


def test_variants_on_one_account_share_its_risk(tmp_path):
    plan = walk_plan(settings={"limits": "default", "costs": "standard", "cost_scale": 1.0})
    run = resolve_run("tiny", config=plan.config, settings=checked_settings(plan.settings))
    variants, _ = grid_variants("tiny", run.config, GRID)

    together = play_portfolio(run, variants)
    alone = play(run)

    assert set(together.trades["variant"]) == set(range(len(variants)))
    assert together.equity["equity"][-1] == pytest.approx(run.settings.capital + together.trades["net"].sum(), abs=1e-6)
    risk = (together.trades["net"] / together.trades["r_multiple"]).abs()
    full = (alone.trades["net"] / alone.trades["r_multiple"]).abs()
    assert risk.median() < 2 * full.median() / len(variants) + 1


def test_one_variant_alone_on_the_account_is_its_plain_back_test():
    plan = walk_plan(config=TWO)
    run = resolve_run("tiny", config=plan.config, settings=checked_settings(plan.settings))
    variants, _ = grid_variants("tiny", run.config, {"every_bars": [8]})

    together, alone = play_portfolio(run, variants), play(run)

    columns = ["symbol", "entry_ns", "exit_ns", "units", "net"]
    order = ["exit_ns", "entry_ns", "symbol"]
    assert together.trades.select(columns).sort(order).equals(alone.trades.select(columns).sort(order))
    assert np.allclose(together.equity["equity"], alone.equity["equity"])
