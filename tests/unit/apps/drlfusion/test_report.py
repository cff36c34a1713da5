"""What a report of drlfusion shows besides the account: votes, weights, turbulence, from a file of every decision."""

from functools import cache

import numpy as np
import polars as pl
import pytest

from tradesentry.backtest.report import read_report_data, report_data
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.result_files import read_result
from tradesentry.backtest.runner import play, with_decisions

SETTINGS = {"source": "synthetic:teaching", "from_": "2022-01-03", "to": "2022-03-01"}


@cache
def played(app="drlfusion", **config):
    run = resolve_run(app, config={"symbols": ["EURUSD", "GBPUSD"], **config}, settings=RunSettings(**SETTINGS))
    return run, with_decisions(run, play(run))


def test_every_decided_bar_of_every_market_has_a_row():
    run, result = played()
    counts = dict(result.decisions.group_by("symbol").len().iter_rows())

    assert counts == {s.symbol: len(s.bars) - 400 for s in run.data.series}
    assert result.decisions["close_ns"].max() == int(run.data.series[0].bars["close_ns"][-1])
    assert result.decisions["rule"].unique().to_list() == ["quorum"]
    assert result.decisions.filter(pl.col("x").abs() > 1).is_empty()
    assert result.decisions["observation"].n_unique() > 1_000


def test_quorum_can_be_checked_from_the_rows():
    """Three of four proposals beyond the threshold on one side, and the median of their sizes."""
    _, result = played()
    proposals = result.decisions.select("p_ppo", "p_dqn", "p_sac", "p_a2c").to_numpy()
    wish = []
    for row in proposals:
        sides = {side: [abs(p) for p in row if p * side > 0.25] for side in (1, -1)}
        wish.append(next((s * float(np.median(v)) for s, v in sides.items() if len(v) >= 3), 0.0))

    assert result.decisions["x"].to_numpy() == pytest.approx(wish, abs=1e-12)


def test_report_draws_votes_weights_and_turbulence_and_says_the_notice(tmp_path):
    _, result = played()
    document = report_data(result)
    folder = result.save(tmp_path / "run")

    charts = document["charts"]
    assert {name for name in charts["weights"] if name != "time"} == {"w_ppo", "w_dqn", "w_sac", "w_a2c"}
    assert set(charts["votes"]) == {"time", "votes", "x", "held"}
    assert set(charts["turbulence"]) == {"time", "turbulence", "g"}
    assert any("a pattern we planted" in warning["text"] for warning in document["warnings"])
    assert read_report_data(folder)["charts"]["votes"] == charts["votes"]
    assert 'id="decided"' in (folder / "report.html").read_text(encoding="utf-8")
    assert read_result(folder).decisions.equals(result.decisions)


def test_a_strategy_that_does_not_vote_has_no_such_section():
    _, result = played("breakout")

    assert result.decisions is None
    assert "votes" not in report_data(result)["charts"]
