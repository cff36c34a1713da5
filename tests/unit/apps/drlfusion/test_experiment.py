"""The declared experiment, and what studies must know of a strategy whose parameters come from files."""

from dataclasses import replace

import polars as pl
import pytest

from tests.unit.apps.drlfusion.factories import fading_set
from tradesentry.apps.drlfusion.backtest.backtest_runner import EXPERIMENT
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.decision_log import DecisionLog
from tradesentry.backtest.executor import new_job
from tradesentry.backtest.resolve import RunSettings, app_config_path, resolve_config, resolve_run
from tradesentry.backtest.studies.experiment import experiment_of
from tradesentry.backtest.studies.portfolio import _with_share
from tradesentry.backtest.studies.stage import WHOLE, Stage
from tradesentry.backtest.studies.variants import make_variant


def test_every_variant_of_the_declared_product_is_a_configuration():
    variants = [DrlFusionConfig(**values) for values in EXPERIMENT.variants()]

    assert experiment_of("drlfusion") is EXPERIMENT
    assert len({config.model_dump_json() for config in variants}) == EXPERIMENT.n_variants == 48
    assert EXPERIMENT.cost_levels == (0.0, 1.0, 2.0)


def test_shipped_file_is_found_and_sets_the_markets():
    assert app_config_path("drlfusion").name == "drlfusion_backtest_config.yaml"
    assert resolve_config("drlfusion").value.symbols == ("EURUSD", "GBPUSD", "USDJPY")


@pytest.mark.drl
def test_another_model_set_in_the_same_folder_is_another_play(tmp_path):
    """Seen to fail: with the address made of the configuration alone."""
    pytest.importorskip("torch", reason="hand-made sets are written with torch")
    folder = tmp_path / "set"
    settings = RunSettings(source="synthetic", from_="2022-01-03", to="2022-01-14")
    fading_set(folder)
    run = resolve_run("drlfusion", config={"symbols": ["EURUSD"], "models": str(folder)}, settings=settings)
    variant = make_variant("drlfusion", run.config, {})
    digests = [new_job("key", Stage(run), variant, WHOLE).digest for _ in range(2)]
    fading_set(folder, gate={"turbulence_q90": 1.0, "turbulence_q99": 2.0})
    digests.append(new_job("key", Stage(replace(run)), variant, WHOLE).digest)

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


@pytest.mark.drl
def test_a_notice_of_the_set_is_a_warning_of_every_run(tmp_path):
    pytest.importorskip("torch", reason="hand-made sets are written with torch")
    folder = fading_set(tmp_path / "set", notice="Made by hand.").folder
    settings = RunSettings(source="synthetic", from_="2022-01-03", to="2022-01-14")
    run = resolve_run("drlfusion", config={"symbols": ["EURUSD"], "models": str(folder)}, settings=settings)

    assert run.warnings[0] == "Made by hand."


def test_a_share_of_a_portfolio_is_taken_of_what_sizes_the_strategy():
    assert _with_share(DrlFusionConfig(), 0.5).risk_fraction == 0.0025


def test_a_decision_log_goes_on_in_the_file_of_its_day_after_a_restart(tmp_path):
    day, hour = 1_704_924_000_000_000_000, 3_600_000_000_000
    first, second = DecisionLog(tmp_path, "EURUSD"), DecisionLog(tmp_path, "EURUSD")
    for n in range(3):
        first.add({"close_ns": day + n * hour, "x": float(n)}, fx_day_start_ns=day)
    first.flush()
    second.add({"close_ns": day + 3 * hour, "x": 3.0}, fx_day_start_ns=day)
    second.add({"close_ns": day + 25 * hour, "x": 9.0}, fx_day_start_ns=day + 24 * hour)
    second.flush()

    found = {path.name: pl.read_parquet(path)["x"].to_list() for path in tmp_path.iterdir()}

    assert found == {
        "decisions-EURUSD-2024-01-11.parquet": [0.0, 1.0, 2.0, 3.0],
        "decisions-EURUSD-2024-01-12.parquet": [9.0],
    }


def test_a_decision_log_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    log = DecisionLog(tmp_path / "file" / "run", "EURUSD")

    for n in range(50):
        log.add({"close_ns": n, "x": 0.0}, fx_day_start_ns=0)
