"""The words and tables of a fitted strategy: every seed counts, and a stronger baseline is named in the first line."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from tradesentry.backtest.reporting import fit_section
from tradesentry.backtest.reporting.page import table
from tradesentry.backtest.studies.evidence import evidence_of
from tradesentry.backtest.studies.seed_scores import SeedScores, Task
from tradesentry.backtest.studies.target_baselines import BaselineScores
from tradesentry.backtest.studies.trials import Tried

TASKS = tuple(Task(fold, symbol) for fold in range(3) for symbol in ("EURUSD", "USDJPY"))


def seeds(mean=0.8, n_seeds=5, spread=0.3):
    """Scores of seeds around a mean at 1x, better without costs and worse at twice the costs."""
    noise = np.random.default_rng(7).normal(0, spread, (n_seeds, len(TASKS)))
    tables = {level: mean + (1 - level) * 0.4 + noise for level in (0.0, 1.0, 2.0)}
    return SeedScores(tuple(range(n_seeds)), noise[:, :3], TASKS, tables)


def baseline(name, ratio, *, is_supervised=False, p_value=None):
    tables = {level: np.full(len(TASKS), ratio - 0.1 * level) for level in (0.0, 1.0, 2.0)}
    return BaselineScores(name, name.capitalize(), f"About {name}.", tables, is_supervised, p_value)


@dataclass
class Walk:
    """What the section reads of a walk-forward."""

    seeds: SeedScores
    baselines: tuple = ()
    n_others: int = 0
    edge: float = 0.0
    run: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(settings=SimpleNamespace(cost_scale=1.0)))

    @property
    def evidence(self):
        returns = np.random.default_rng(5).normal(self.edge, 0.01, 300)
        return evidence_of(returns, gains=returns, capital=1.0, tried=Tried(12, 0.0))


def headline(walk):
    return fit_section.fit_headline(walk, walk.seeds)


def test_a_result_that_does_not_beat_the_supervised_baselines_says_so_first():
    """Seen to fail when baselines are compared at no costs, or only those that do not learn."""
    walk = Walk(
        seeds(0.8), (baseline("ridge", 0.95, is_supervised=True), baseline("boosting", 0.5, is_supervised=True))
    )

    words, tone = headline(walk)

    assert words.startswith("It does not beat the supervised baselines (ridge on the same observation earns +0.85): ")
    assert "over 5 seeds, 2 markets, 3 folds; deflated probability" in words
    assert "at twice the costs" in words
    assert tone == "neutral"
    assert [one.name for one in fit_section.unbeaten(walk)] == ["ridge"]


def test_rules_and_chance_do_not_count_as_supervised():
    walk = Walk(seeds(0.8), (baseline("momentum", 3.0), baseline("random", 2.0, p_value=0.9)))

    assert fit_section.unbeaten(walk) == []
    assert headline(walk)[0].startswith("No evidence of an edge: net Sharpe ratio +0.")


def test_an_edge_that_beats_everything_and_survives_deflation_is_called_one():
    walk = Walk(seeds(2.0), (baseline("ridge", 1.0, is_supervised=True),), edge=0.004)

    words, tone = headline(walk)

    assert words.startswith("It earned more than luck explains, with every seed counted: ")
    assert tone == "good"


def test_a_loss_is_called_a_loss():
    words, tone = headline(Walk(seeds(-1.5), edge=-0.004))

    assert words.startswith("It loses money: net Sharpe ratio \N{MINUS SIGN}1.")
    assert tone == "bad"


@pytest.mark.parametrize(("n_seeds", "said"), [(5, "Seeds differ: their means go from"), (1, "One seed was trained")])
def test_the_spread_over_seeds_is_said(n_seeds, said):
    walk = Walk(seeds(n_seeds=n_seeds), (baseline("ridge", 0.1, is_supervised=True),), n_others=2)

    lines = fit_section.fit_details(walk, walk.seeds)

    assert lines[0].startswith(said)
    assert lines[1].startswith("Net Sharpe ratio by costs: +1.")
    assert "reported on by 2 other studies before" in lines[2]
    assert "Gradient boosting was not played" in lines[3]


def test_tables_hold_every_seed_and_every_baseline():
    walk = Walk(seeds(), (baseline("ridge", 0.4, is_supervised=True), baseline("random", 0.0, p_value=0.25)))

    charts = fit_section.fit_charts(walk)
    (part,) = fit_section.fit_parts({"charts": charts}, table=table)

    assert charts["skill"]["name"] == ["strategy", "ridge", "random"]
    assert charts["skill"]["kind"] == ["strategy", "supervised", "drawn"]
    assert charts["skill"]["sharpe_2x"][1:] == [0.2, -0.2]
    assert charts["skill"]["improvement"][0] is None
    assert charts["skill"]["improvement"][1] > 0.8
    assert charts["seeds"]["seed"] == [0, 1, 2, 3, 4]
    assert list(charts["seeds"])[3:] == ["fold 1", "fold 2", "fold 3"]
    assert part[:2] == ("skill", "What it is worth")
    for text in (
        "5 seeds, 2 markets, 3 folds",
        "Sharpe 0x",
        "About ridge.",
        "0.250",
        "Every seed: score on validation",
    ):
        assert text in part[2]


def test_what_searches_has_no_such_section():
    walk = Walk(None)

    assert fit_section.fit_charts(walk) == {}
    assert fit_section.fit_parts({"charts": {}}, table=table) == []
