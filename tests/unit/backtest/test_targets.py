"""Positions by momentum, carry, chance and regression: each is what its name says, and none looks ahead."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesentry.backtest.studies.stage import Window
from tradesentry.backtest.supervised import (
    HORIZONS,
    Lesson,
    choose_forecaster,
    fit_boosting,
    fit_ridge,
    new_lesson,
    wishes_of,
)
from tradesentry.backtest.targets import MOMENTUM_DAYS, at_other_times, carry, momentum, targets_of
from tradesentry.core.domain.records import BAR, MARKET
from tradesentry.core.utils.kernel import new_records

DAY_NS = 86_400_000_000_000
LEVELS = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=1, max_size=60)


def runs(levels):
    """Return (size, length) of every stretch of one level."""
    starts = np.flatnonzero(np.concatenate(([True], levels[1:] != levels[:-1])))
    return [(abs(levels[a]), b - a) for a, b in zip(starts, [*starts[1:], len(levels)], strict=True)]


@given(LEVELS, st.integers(0, 2**32))
def test_positions_at_other_times_are_as_large_as_long_and_turned_over_as_often(levels, seed):
    """Seen to fail with lengths that change places among positions of other sizes, and with signs drawn per bar."""
    levels = np.array(levels)

    drawn = at_other_times(levels, np.random.default_rng(seed))

    assert sorted(np.abs(drawn)) == sorted(np.abs(levels))
    turnover, ours = np.abs(np.diff(drawn)).sum(), np.abs(np.diff(levels)).sum()
    # The seam joins what were first and last position; where it lies, one change is new and one may be gone.
    assert abs(turnover - ours) <= 2.0
    assert abs(len(runs(drawn)) - len(runs(levels))) <= 2


def test_draws_differ_and_take_either_side():
    levels = np.repeat([1.0, 0.0, 1.0, 0.5, 0.0], [7, 3, 11, 2, 20])
    drawn = np.stack([at_other_times(levels, np.random.default_rng(seed)) for seed in range(200)])

    assert len(np.unique(drawn, axis=0)) > 50
    assert abs(drawn.mean()) < 0.05


def daily(closes):
    bars = np.zeros(len(closes), BAR)
    bars["close_ns"] = (np.arange(len(closes)) + 1) * DAY_NS
    bars["open_ns"] = bars["close_ns"] - DAY_NS
    bars["close"] = closes
    return bars


def test_momentum_is_the_side_of_the_last_twelve_months():
    closes = np.concatenate((np.linspace(1.0, 2.0, 500), np.linspace(2.0, 1.0, 500)))
    bars = daily(closes)

    sides = momentum(bars, int(bars["close_ns"][700]))

    assert np.all(sides[:MOMENTUM_DAYS] == 0.0)
    expected = [math.copysign(1.0, closes[i] - closes[i - MOMENTUM_DAYS]) for i in range(400, 990, 7)]
    assert sides[400:990:7].tolist() == expected
    assert momentum(bars, int(bars["close_ns"][100]))[100] == 1.0


def test_momentum_knows_nothing_of_later_bars():
    bars = daily(np.random.default_rng(1).lognormal(0, 0.1, 800))
    changed = bars.copy()
    changed["close"][600:] *= 9.0

    assert momentum(bars, 0)[:600].tolist() == momentum(changed, 0)[:600].tolist()


@pytest.mark.parametrize(("long", "short", "side"), [(0.1, -0.5, 1.0), (-0.6, 0.2, -1.0), (-0.1, -0.3, 1.0)])
def test_carry_holds_the_side_that_is_paid_more(long, short, side):
    market = new_records(1, MARKET)
    market["swap_long"], market["swap_short"] = long, short

    assert carry(market[0], 3).tolist() == [side] * 3


def lesson(n=600, seed=3, pieces=((50, 300), (340, 600))):
    random = np.random.default_rng(seed)
    closes = 1.0 + np.cumsum(random.normal(0, 0.001, n))
    return Lesson(random.normal(size=(n, 3)), closes, np.full(n, 0.002), pieces)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_a_label_is_the_move_ahead_and_never_leaves_its_piece(horizon):
    """Seen to fail when labels run on to the end of the data."""
    own = lesson()
    labels = own.labels(horizon)

    for t in range(600):
        piece = next(((a, b) for a, b in own.pieces if a <= t < b), None)
        if piece is None or t + horizon >= piece[1]:
            assert math.isnan(labels[t])
        else:
            assert labels[t] == pytest.approx(np.clip((own.closes[t + horizon] - own.closes[t]) / 0.002, -10, 10))


def test_what_comes_after_a_piece_changes_no_label():
    own = lesson()
    poisoned = replace(own, closes=np.where(np.arange(600) >= 300, 99.0, own.closes), pieces=((50, 300),))

    for horizon in HORIZONS:
        np.testing.assert_array_equal(poisoned.labels(horizon)[:300], own.labels(horizon)[:300])


def test_a_lesson_begins_and_ends_with_its_windows():
    bars = daily(np.linspace(1.0, 2.0, 100))
    windows = [Window(int(bars["open_ns"][10]), int(bars["open_ns"][40])), Window(int(bars["open_ns"][60]), None)]

    assert new_lesson(bars, np.zeros((100, 2)), windows).pieces == ((10, 40), (60, 100))


def test_ridge_is_least_squares_with_a_penalty():
    """The slow version: rows of the penalty are added to the data and solved by least squares."""
    random = np.random.default_rng(2)
    seen = random.normal(size=(400, 5)) * [1, 10, 0.1, 3, 1]
    moves = seen @ [0.5, -0.02, 1.0, 0.0, 0.1] + random.normal(0, 0.1, 400) + 0.3
    x = (seen - seen.mean(axis=0)) / seen.std(axis=0)
    rows = np.vstack((x, math.sqrt(0.01 * 400) * np.eye(5)))
    slow = np.linalg.lstsq(rows, np.concatenate((moves - moves.mean(), np.zeros(5))), rcond=None)[0]

    found = fit_ridge(seen, moves)

    np.testing.assert_allclose(found.predict(seen), x @ slow + moves.mean(), atol=1e-9)


def test_trees_see_what_a_line_cannot():
    pytest.importorskip("sklearn", reason="gradient boosting is part of the extra [drl]")
    seen = np.random.default_rng(4).normal(size=(4_000, 3))
    moves = np.sign(seen[:, 0] * seen[:, 1])

    trees, line = fit_boosting(seen, moves), fit_ridge(seen, moves)

    assert np.corrcoef(trees.predict(seen), moves)[0, 1] > 0.8
    assert abs(np.corrcoef(line.predict(seen), moves)[0, 1]) < 0.1
    np.testing.assert_array_equal(trees.predict(seen), fit_boosting(seen, moves).predict(seen))


def test_horizon_and_caution_are_those_that_validation_likes_best():
    asked = []

    def judge(wishes):
        asked.append(wishes(np.ones((4, 3))))
        return -abs(len(asked) - 5)

    found = choose_forecaster(fit_ridge, [lesson()], judge)

    assert len(asked) == 12
    assert (found.horizon, found.caution) == (4, 1.0)
    assert choose_forecaster(fit_ridge, [lesson(pieces=((0, 60),))], judge) is None


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.floats(0.01, 3), st.floats(0.1, 3))
def test_wishes_grow_with_the_prediction_up_to_a_full_position(predicted, deviation, caution):
    wishes = wishes_of(np.array(predicted), deviation, caution)

    assert np.all(np.abs(wishes) <= 1.0)
    assert np.all(np.sign(wishes) == np.sign(predicted))
    assert wishes_of(np.array(predicted), 0.0, caution).tolist() == [0.0] * len(predicted)


def test_a_strategy_that_trades_idea_by_idea_holds_no_targets():
    assert targets_of("breakout") is None
    assert targets_of("drlfusion") is not None
