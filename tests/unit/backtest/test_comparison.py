"""Two runs differ, or they do not: figures, settings, data, and the days they share."""

from dataclasses import replace

import polars as pl
import pytest

from tests.unit.backtest.factories import realistic_result
from tradesentry.backtest.studies.comparison import compare


@pytest.fixture(scope="module")
def run():
    return realistic_result(n_weeks=40, n_trades=200)


def scaled(run, factor, *, drift=0.0):
    """Return a run whose account moved `factor` times as much, with a drift per point on top."""
    moved = run.capital + (pl.col("equity") - run.capital) * factor + drift * pl.int_range(pl.len())
    return replace(run, equity=run.equity.with_columns(equity=moved, worst_equity=moved))


def test_a_run_does_not_differ_from_itself(run):
    found = compare(run, run)

    assert found.verdict.startswith("No difference: the same returns on all")
    assert all(row["difference"] in (0, None) for row in found.metrics)
    assert found.settings == []
    assert found.data == []
    assert found.paired.common_trades == 1.0
    assert found.paired.correlation == pytest.approx(1.0)


def test_a_run_that_earns_more_every_day_is_better_by_more_than_noise(run):
    found = compare(run, scaled(run, 1.0, drift=5.0))

    assert found.paired.low > 0
    assert found.verdict.startswith("The second run was better by more than noise")
    assert compare(scaled(run, 1.0, drift=5.0), run).verdict.startswith("The second run was worse")


def test_other_trades_on_the_same_days_are_noise(run):
    other = realistic_result(n_weeks=40, n_trades=230)

    found = compare(run, other)

    assert not found.paired.is_different
    assert found.verdict.startswith("No difference beyond noise")
    assert found.paired.low < found.paired.difference < found.paired.high


def test_what_the_runs_differ_in_is_listed(run):
    changed = replace(run, config=run.config | {"risk": 0.009, "extra": 1}, app="another")
    bars = [row | {"checksum": "other"} for row in run.provenance]

    found = compare(run, replace(changed, provenance=bars))

    assert {row["setting"] for row in found.settings} >= {"app", "risk", "extra"}
    assert len(found.data) == len(run.provenance)
    assert "has other bars" in found.data[0]


def test_runs_of_other_years_are_compared_by_their_figures_alone(run):
    year = 366 * 86_400_000_000_000
    later = replace(
        run,
        equity=run.equity.with_columns(pl.col("ts_ns") + 3 * year),
        period=(run.period[0] + 3 * year, run.period[1] + 3 * year),
    )

    found = compare(run, later)

    assert found.paired is None
    assert "share too few days" in found.verdict
