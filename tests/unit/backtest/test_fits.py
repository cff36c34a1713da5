"""An app that fits instead of searching: what its hook is given, what is traded of it, what the ledger learns.

`learn` below is a whole hook of the kind that `studies.walks.FitHook` asks for: it learns on the pieces of the train
slice, judges every seed on validation, keeps what took long under a name made of content, and says what it tried.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.support.studies import tiny_strategy, walk, walk_plan
from tradesentry.backtest import walk_forward as walks
from tradesentry.backtest.metrics.seeds import interquartile_mean
from tradesentry.backtest.studies.seed_scores import sharpe_of
from tradesentry.backtest.studies.stage import Stage
from tradesentry.backtest.studies.trials import LOOKS, TrialLedger
from tradesentry.backtest.walk_forward import Fitted, SeedFit
from tradesentry.core.domain.errors import DataError

FOLDS = {"train": "8w", "validation": "3w", "test": "3w", "embargo": "24b", "skip": "12b"}
TWO = {"symbols": ["EURUSD", "GBPUSD"]}
SEEDS = (0, 1, 2)
GIVEN = []
LEARNED = []


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    with tiny_strategy(tmp_path_factory.mktemp("tiny")):
        yield


@pytest.fixture(autouse=True)
def hook(monkeypatch):
    GIVEN.clear()
    LEARNED.clear()
    monkeypatch.setattr(walks, "fit_of", lambda name: learn)


def sharpe_per_day(window, values):
    """Return the Sharpe ratio per day of a variant on a slice that a fit was given."""
    config = window.run.config.model_copy(update=values)
    found = Stage(window.run).play(config, window.window)
    return sharpe_of(found) / math.sqrt(252)


def cell(train, seed, root):
    """Draw 4 holding times and keep the best of the train slice; finished work is found under its content's name."""
    name = f"{train.fold.index}-{train.window.start_ns}-{train.window.end_ns}-{seed}-{root}"
    path = train.folder / f"{name}.json"
    if path.is_file():
        return json.loads(path.read_text())
    LEARNED.append(name)
    random = np.random.default_rng([root, seed])
    drawn = [{"every_bars": int(every)} for every in random.integers(2, 20, 4)]
    best = max(drawn, key=lambda values: sharpe_per_day(train, values))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(best))
    return best


def learn(train, validation, seed):
    """Learn one policy per seed; validation chooses among them."""
    GIVEN.append((train, validation, seed))
    found = [cell(train, one, seed) for one in SEEDS]
    scores = [sharpe_per_day(validation, values) for values in found]
    best = max(range(len(SEEDS)), key=lambda i: scores[i])
    return Fitted(
        found[best],
        trials={f"seed {one}": score for one, score in zip(SEEDS, scores, strict=True)},
        seeds=tuple(SeedFit(*row) for row in zip(SEEDS, found, scores, strict=True)),
    )


def fit_plan(**more):
    return walk_plan(**({"method": "fit", "space": {}, "folds": FOLDS, "config": TWO} | more))


def test_a_fit_is_given_two_slices_and_nothing_after_either(tmp_path):
    """Seen to fail when the validation section ends with the test window, and when the pieces ignore `skip`."""
    walk(fit_plan(seed=7), tmp_path)

    assert [seed for *_, seed in GIVEN] == [7] * len(GIVEN)
    for train, validation, _ in GIVEN:
        fold = train.fold
        assert (train.window, validation.window) == (fold.train, fold.validation)
        for part in (train, validation):
            closes = [int(series.bars["close_ns"][-1]) for series in part.run.data.series]
            assert max(closes) <= part.window.end_ns < fold.test.start_ns
            for series, n_before in zip(part.run.data.series, part.n_before, strict=True):
                assert int(series.bars["open_ns"][n_before]) >= part.window.start_ns
        assert validation.pieces == (fold.validation,)
        assert train.pieces == fold.pieces
        assert train.workers == 2
    assert len(GIVEN) > 3
    assert len(GIVEN[-1][0].pieces) > 1
    for hole, after in zip(GIVEN[-1][0].pieces[:-1], GIVEN[-1][0].pieces[1:], strict=True):
        assert hole.end_ns < after.start_ns


def test_what_validation_chose_is_traded_and_every_seed_is_scored(tmp_path):
    found = walk(fit_plan(cost_levels=(0.0, 1.0, 2.0), settings={"costs": "standard", "cost_scale": 1.0}), tmp_path)
    seeds = found.seeds

    assert seeds.seeds == SEEDS
    assert [(task.fold, task.symbol) for task in seeds.tasks[:3]] == [(0, "EURUSD"), (0, "GBPUSD"), (1, "EURUSD")]
    assert sorted(seeds.tables) == [0.0, 1.0, 2.0]
    for table in seeds.tables.values():
        assert table.shape == (3, 2 * len(found.folds))
        assert np.isfinite(table).all()
    best = np.argmax(seeds.validation, axis=0)
    for choice in found.choices:
        stage = walks.Stages("tiny", found.run).of(choice.variant.config, [choice.symbol])[1]
        alone = stage.play(choice.variant.config, found.folds[choice.fold].fold.test)
        column = [(t.fold, t.symbol) for t in seeds.tasks].index((choice.fold, choice.symbol))
        assert seeds.tables[1.0][best[choice.fold], column] == sharpe_of(alone)
    assert seeds.estimate(0.0).value > seeds.estimate(1.0).value > seeds.estimate(2.0).value
    assert seeds.estimate(1.0).value == interquartile_mean(seeds.tables[1.0])
    assert seeds.estimate(1.0).low < seeds.estimate(1.0).value < seeds.estimate(1.0).high
    assert seeds.of_folds(1.0).shape == (3, len(found.folds))


def test_a_recipe_that_is_fitted_in_every_fold_is_one_attempt(tmp_path):
    """Seen to fail when every fold's variants are counted by themselves."""
    found = walk(fit_plan(), tmp_path)

    # Three names that the hook tried, three seeds as traded, and the choice.
    assert found.evidence.n_trials == 7
    assert found.evidence.overfitting is not None
    assert walk(fit_plan(), tmp_path).evidence.n_trials == 7


def test_the_ledger_has_a_row_for_every_touch_and_a_second_study_is_told(tmp_path):
    first = walk(fit_plan(), tmp_path, study="first")
    (path,) = (tmp_path / ".trials").glob(f"*EURUSD/*{LOOKS}")
    before = path.read_text()
    rows = [look for _, look in TrialLedger(tmp_path).looks(first.run, "first")]

    walk(fit_plan(), tmp_path, study="first")
    second = walk(fit_plan(), tmp_path, study="second")

    n_folds = len(first.folds)
    assert path.read_text() == before
    assert sum(row.split == "train" for row in rows) == sum(row.split == "validation" for row in rows) == 3 * n_folds
    assert {row.fold for row in rows if row.split == "test"} == set(range(n_folds))
    assert sum(row.split == "test" for row in rows) == 4 * n_folds
    assert all(math.isfinite(row.score) for row in rows if row.split == "validation")
    assert (first.n_others, second.n_others) == (0, 1)


def test_a_killed_walk_learns_nothing_twice_and_ends_alike(tmp_path):
    """The walk is stopped in its third fit; what had been learned is found, and the result is that of a whole one."""

    def interrupted(train, validation, seed):
        if train.fold.index == 2:
            cell(train, 0, seed)
            raise KeyboardInterrupt
        return learn(train, validation, seed)

    walks.fit_of = lambda name: interrupted
    with pytest.raises(KeyboardInterrupt):
        walk(fit_plan(), tmp_path / "killed")
    walks.fit_of = lambda name: learn
    resumed = walk(fit_plan(), tmp_path / "killed")
    n_learned, n_names = len(LEARNED), len(set(LEARNED))
    whole = walk(fit_plan(), tmp_path / "whole")

    assert n_learned == n_names == 3 * len(whole.folds)
    assert resumed.result.trades.equals(whole.result.trades)
    assert resumed.evidence.document() == whole.evidence.document()
    np.testing.assert_array_equal(resumed.seeds.tables[0.0], whole.seeds.tables[0.0])
    rows = [TrialLedger(tmp_path / place).looks(whole.run) for place in ("killed", "whole")]
    assert rows[0] == rows[1]


def test_a_study_that_the_ledger_does_not_know_gets_no_report(tmp_path):
    found = walk(fit_plan(), tmp_path)
    ledger = TrialLedger(tmp_path)
    ledger.require(found.run, "study")

    ledger.require_symbols(found.result.symbols, "study")
    for path in Path(tmp_path / ".trials").glob("*GBPUSD/study.json"):
        path.unlink()

    with pytest.raises(DataError, match=r"has nothing of study on synthetic-random-walk-3_GBPUSD.*not written"):
        ledger.require(found.run, "study")
    with pytest.raises(DataError, match="has nothing of study on GBPUSD, so nobody can tell"):
        ledger.require_symbols(found.result.symbols, "study")


def test_a_torn_row_is_no_row_and_the_next_one_is_whole(tmp_path):
    found = walk(fit_plan(), tmp_path)
    ledger = TrialLedger(tmp_path)
    (path,) = (tmp_path / ".trials").glob(f"*EURUSD/*{LOOKS}")
    rows = ledger.looks(found.run)
    path.write_text(path.read_text()[:-20])

    ledger.note_looks(found.run, "study", [rows[-1][1]])

    assert ledger.looks(found.run) == rows
