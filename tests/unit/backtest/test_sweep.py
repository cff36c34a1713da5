"""A sweep says "no evidence" of noise and finds what was planted; killed anywhere, it ends the same."""

import math

import numpy as np
import polars as pl
import pytest

from tests.support.studies import GRID, bits, sweep, sweep_plan, tiny_strategy
from tradesentry.backtest.metrics.honesty import backtest_overfitting
from tradesentry.backtest.report import read_report_data
from tradesentry.backtest.resolve import checked_settings, resolve_run
from tradesentry.backtest.result import load_result
from tradesentry.backtest.runner import play
from tradesentry.backtest.studies.study_files import read_plan, save_sweep, write_plan
from tradesentry.backtest.studies.trials import TrialLedger
from tradesentry.backtest.studies.variants import Span
from tradesentry.backtest.sweep import SweepPlan, space_document
from tradesentry.core.domain.errors import DataError

YEAR = {"from_": "2022-01-03", "to": "2023-01-01"}


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    with tiny_strategy(tmp_path_factory.mktemp("tiny")):
        yield


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A sweep of 16 variants on a driftless random walk without costs."""
    return sweep(sweep_plan(settings=YEAR), tmp_path_factory.mktemp("noise"))


def rows_of(result):
    return [(row.variant.key, row.status, None if row.outcome is None else bits(row.outcome)) for row in result.rows]


def test_pure_noise_is_no_evidence(tmp_path, noise):
    """The deflated ratio is below the bar on every walk; with the sign of every week drawn, choosing is a coin.

    Undrawn, one year of one walk holds few independent weeks and the share scatters between 0.1 and 0.7.
    """
    generator = np.random.default_rng(0)
    others = [
        sweep(sweep_plan(source=f"synthetic:random_walk:{seed}", settings=YEAR), tmp_path / str(seed))
        for seed in (5, 7)
    ]

    evidence = [result.evidence for result in (noise, *others)]
    shares = []
    for result in (noise, *others):
        returns = np.stack([row.outcome.returns for row in result.rows], axis=1)
        for _ in range(6):
            signs = np.repeat(generator.choice([-1.0, 1.0], size=len(returns) // 5 + 1), 5)[: len(returns)]
            shares.append(backtest_overfitting(returns * signs[:, None]).probability)

    assert all(found.deflated_sharpe < 0.95 for found in evidence)
    assert not any(found.is_edge for found in evidence)
    assert all(found.overfitting.probability > 0.1 for found in evidence)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.1)


def test_a_planted_edge_is_reported(tmp_path):
    result = sweep(sweep_plan(source="synthetic:trend:3", settings=YEAR), tmp_path)

    assert result.evidence.is_edge
    assert result.evidence.deflated_sharpe > 0.99
    assert result.evidence.overfitting.probability < 0.1
    assert result.rows[0].outcome["mean_r_bound"] > 0.1


def test_the_best_has_the_highest_lower_bound_and_the_full_result_is_its_own(noise):
    objectives = [row.objective for row in noise.rows]
    alone = play(noise.best_run)

    assert objectives == sorted(objectives, reverse=True)
    assert noise.best.trades.equals(alone.trades)
    assert noise.best.summary["mean_r"] == noise.rows[0].outcome["mean_r"]


def test_a_sweep_is_a_loop_of_single_runs(noise):
    """Bit for bit; that a fault would be noticed is shown in test_plays."""
    for row in noise.rows[::5]:
        settings = checked_settings(noise.plan.settings)
        single = play(resolve_run("tiny", config=noise.plan.config | dict(row.variant.values), settings=settings))
        trades = single.trades.sort("exit_ns", "entry_ns", maintain_order=True)

        assert single.summary["n_trades"] == row.outcome["n_trades"]
        assert single.summary["sharpe"] == row.outcome["sharpe"]
        assert single.summary["mean_r"] == row.outcome["mean_r"]
        assert single.summary["max_drawdown"] == row.outcome["max_drawdown"]
        assert trades["net"].sum() == pytest.approx(row.outcome["net_profit"], abs=1e-6)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_threads_changes_nothing(tmp_path, noise, workers):
    again = sweep(sweep_plan(settings=YEAR), tmp_path, workers=workers)

    assert rows_of(again) == rows_of(noise)
    assert again.evidence.document() == noise.evidence.document()


def test_repeating_a_sweep_costs_nothing(tmp_path):
    first = sweep(sweep_plan(), tmp_path, study="one")
    again = sweep(sweep_plan(), tmp_path, study="two")

    assert (first.study["reused"], first.study["plays"]) == (0, 16)
    assert (again.study["reused"], again.study["bars"]) == (16, 0)
    assert rows_of(again) == rows_of(first)


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    """Ctrl-C after a few chunks; what they held is not played again, and the end is that of a whole sweep."""
    seen = []

    def interrupt(progress):
        seen.append(progress.done)
        if progress.done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(sweep_plan(), tmp_path, report=interrupt)
    resumed = sweep(sweep_plan(), tmp_path)
    whole = sweep(sweep_plan(), tmp_path / "elsewhere")

    assert 4 <= resumed.study["reused"] < 16
    assert rows_of(resumed) == rows_of(whole)
    assert resumed.evidence.document() == whole.evidence.document()


def test_every_attempt_is_counted_once_on_its_markets(tmp_path):
    plan = sweep_plan()
    run = resolve_run("tiny", config=plan.config, settings=checked_settings(plan.settings))
    other_market = resolve_run(
        "tiny", config=plan.config | {"symbols": ["GBPUSD"]}, settings=checked_settings(plan.settings)
    )
    ledger = TrialLedger(tmp_path)
    first = sweep(plan, tmp_path, study="one")
    sweep(plan, tmp_path, study="again")
    wider = sweep(sweep_plan(space=GRID | {"every_bars": [4, 8, 64]}), tmp_path, study="wider")

    tried = ledger.tried(run)

    assert first.evidence.n_trials == 16
    assert tried.n_trials == wider.evidence.n_trials == 16 + 4
    assert tried.sharpe_variance > 0
    assert ledger.tried(other_market).n_trials == 0


def test_a_killed_sweep_has_noted_what_it_tried(tmp_path):
    def interrupt(_progress):
        raise KeyboardInterrupt

    plan = sweep_plan()
    with pytest.raises(KeyboardInterrupt):
        sweep(plan, tmp_path, report=interrupt)

    run = resolve_run("tiny", config=plan.config, settings=checked_settings(plan.settings))
    assert TrialLedger(tmp_path).tried(run).n_trials == 16


def test_variants_that_lose_before_costs_are_screened_and_still_count(tmp_path):
    plan = sweep_plan(
        source="synthetic:random_walk:6",
        config={"symbols": ["EURUSD", "GBPUSD"]},
        screen_symbols=("EURUSD",),
        settings={"cost_scale": 1.0},
    )

    result = sweep(plan, tmp_path)

    statuses = {row.variant.key: row.status for row in result.rows}
    assert 0 < sum(status == "screened" for status in statuses.values()) < 16
    assert all((row.outcome is None) == (row.status == "screened") for row in result.rows)
    assert result.evidence is None or result.evidence.n_trials == 16


def test_a_search_finds_the_trend_and_plays_its_trials_on_the_whole_period(tmp_path):
    plan = sweep_plan(
        source="synthetic:trend:3",
        method="optuna",
        space=space_document({"every_bars": Span(4, 64), "hold_bars": Span(2, 32), "stop_pips": Span(5.0, 60.0)}),
        n_trials=24,
        n_parts=2,
    )

    result = sweep(plan, tmp_path)
    again = sweep(plan, tmp_path / "elsewhere", workers=1)

    assert result.rows[0].objective > 0.1
    assert {row.status for row in result.rows} <= {"played", "pruned"}
    assert rows_of(result) == rows_of(again)
    assert (tmp_path / "study" / "optuna.journal").is_file()


def test_a_draw_is_a_sweep_too(tmp_path):
    plan = sweep_plan(method="random", space=space_document({"every_bars": Span(4, 64)}), n_trials=5, seed=3)

    result = sweep(plan, tmp_path)

    assert len(result.rows) == 5
    assert all(4 <= row.variant.config.every_bars <= 64 for row in result.rows)


def test_the_folder_holds_the_study_and_the_run_of_its_best(tmp_path, noise):
    folder = tmp_path / "study"
    write_plan(folder, "sweep", noise.plan)
    save_sweep(noise, folder)

    table = pl.read_parquet(folder / "variants.parquet")
    returns = pl.read_parquet(folder / "returns.parquet")
    document = read_report_data(folder)

    assert read_plan(folder, "sweep") == noise.plan
    assert table.height == 16
    assert table["key"][0] == noise.rows[0].variant.key
    assert table["mean_r_bound"].is_sorted(descending=True)
    assert returns.columns == [row.variant.key for row in noise.rows]
    assert document["study"]["kind"] == "sweep"
    assert document["verdict"]["headline"].startswith("On generated prices: no evidence of an edge")
    assert len(set(document["charts"]["heatmap"]["pair"])) == 3
    assert sum(document["charts"]["stability"]["n"]) == 3 * 16
    assert load_result(folder).study["evidence"]["n_trials"] == 16


def test_the_page_shows_variants_and_luck(tmp_path, noise):
    page = (save_sweep(noise, tmp_path / "study") / "report.html").read_text()

    for text in ("Parameter map", "Stability by parameter", "How much is luck", "Deflated Sharpe", "every_bars"):
        assert text in page
    assert "Not corrected for the number of variants tried" not in page


def test_a_report_can_be_written_again_from_the_folder(tmp_path, noise):
    folder = save_sweep(noise, tmp_path / "study")
    first = read_report_data(folder)["charts"]["heatmap"]

    load_result(folder).report(folder)

    assert read_report_data(folder)["charts"]["heatmap"] == first


def test_a_folder_that_holds_no_study_says_so(tmp_path):
    with pytest.raises(DataError, match="holds no sweep that can be resumed"):
        read_plan(tmp_path, "sweep")


def test_a_plan_survives_its_file(tmp_path):
    plan = sweep_plan(space=space_document({"stop_pips": Span(1.0, 2.0), "hold_bars": (4, 8)}), method="random")
    write_plan(tmp_path / "a", "sweep", plan)

    assert read_plan(tmp_path / "a", "sweep") == plan
    assert SweepPlan(**plan.model_dump()).search_space() == {"stop_pips": Span(1.0, 2.0), "hold_bars": (4, 8)}


def test_a_sweep_without_a_trade_is_a_result_too(tmp_path):
    plan = sweep_plan(space={"every_bars": [400, 500]}, settings={"to": "2022-01-06"})

    result = sweep(plan, tmp_path)
    folder = save_sweep(result, write_plan(tmp_path / "study", "sweep", plan).parent)

    assert result.best is None
    assert all(math.isnan(row.objective) for row in result.rows)
    assert not (folder / "summary.json").exists()
    assert (folder / "variants.parquet").is_file()
