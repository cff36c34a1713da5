"""A search can be killed anywhere and goes on as if nothing had happened; its trials do not depend on threads."""

import pytest

from tradesentry.apps.breakout.config import BreakoutConfig
from tradesentry.backtest.studies.experiment import experiment_of
from tradesentry.backtest.studies.search import BATCH, search
from tradesentry.backtest.studies.variants import Span, declared_space
from tradesentry.core.domain.errors import ConfigError, DataError

SPACE = declared_space(experiment_of("breakout").search)
BASE = BreakoutConfig()


class Judge:
    """Values with one peak, and a kill after a number of judgments."""

    def __init__(self, dies_after=10**9):
        self.left = dies_after
        self.batches = []

    def __call__(self, variants, part):
        self.left -= len(variants)
        if self.left < 0:
            raise KeyboardInterrupt
        self.batches.append(len(variants))
        return [self.value(variant.config) + 0.01 * part for variant in variants]

    @staticmethod
    def value(config):
        return (config.stop == "mid") - abs((config.target or 5) - 3) / 5 - 100 * (config.buf_atr - 0.1) ** 2


def names(trials):
    return [(trial.variant.key, trial.value, trial.is_pruned) for trial in trials]


def run(judge, *, n=24, n_parts=3, seed=0, **more):
    return search("breakout", BASE, SPACE, judge, n_trials=n, n_parts=n_parts, seed=seed, **more)


@pytest.fixture(scope="module")
def whole():
    return run(Judge())


def test_a_search_asks_for_whole_batches_and_gives_up_the_worst_early(whole):
    judge = Judge()
    run(judge)

    assert len(whole) == 24
    assert max(judge.batches) == BATCH
    assert 0 < sum(trial.is_pruned for trial in whole) < 16
    assert max(trial.value for trial in whole if not trial.is_pruned) > max(t.value for t in whole if t.is_pruned)


@pytest.mark.parametrize("dies_after", [20, 50])
def test_a_killed_search_finds_what_a_whole_one_finds(tmp_path, whole, dies_after):
    """Seen to fail when the sampler is seeded once per process instead of once per trial."""
    journal = tmp_path / "optuna.journal"
    with pytest.raises(KeyboardInterrupt):
        run(Judge(dies_after), journal=journal)

    assert names(run(Judge(), journal=journal)) == names(whole)


def test_a_finished_search_judges_nothing_again(tmp_path):
    journal = tmp_path / "optuna.journal"
    first = run(Judge(), n=16, journal=journal)
    judge = Judge()

    assert names(run(judge, n=16, journal=journal)) == names(first)
    assert judge.batches == []


def test_more_trials_begin_with_those_of_a_shorter_search(tmp_path, whole):
    journal = tmp_path / "optuna.journal"
    run(Judge(), n=16, journal=journal)

    assert names(run(Judge(), journal=journal)) == names(whole)


def test_another_seed_searches_elsewhere(whole):
    assert names(run(Judge(), n=8, seed=1)) != names(whole)[:8]


def test_values_stay_inside_their_space_and_are_short(whole):
    for trial in whole:
        values = trial.variant.values
        assert 0 <= values["buf_atr"] <= 0.25
        assert values["buf_atr"] == round(values["buf_atr"], 6)
        assert values["or_minutes"] in (15, 30, 60)
        assert isinstance(values["entry_window"], int)


def test_a_variant_without_a_value_is_turned_away_from(whole):
    trials = search("breakout", BASE, SPACE, lambda variants, _: [float("nan")] * len(variants), n_trials=8)

    assert [trial.value != trial.value for trial in trials] == [True] * 8


def test_a_journal_of_another_search_is_refused(tmp_path):
    journal = tmp_path / "optuna.journal"
    search("breakout", BASE, {"buf_atr": Span(0.0, 0.2)}, Judge(), n_trials=8, journal=journal)

    with pytest.raises(DataError, match="The journal holds a search over buf_atr with other bounds"):
        search("breakout", BASE, {"buf_atr": Span(0.0, 0.1)}, Judge(), n_trials=8, journal=journal)


def test_a_search_without_anything_to_move_is_refused():
    with pytest.raises(ConfigError, match="nothing to move"):
        search("breakout", BASE, {}, Judge(), n_trials=8)
