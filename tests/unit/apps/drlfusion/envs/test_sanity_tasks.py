"""The known answers are right: against enumeration, against simulation, and through the real environment."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesentry.apps.drlfusion.envs.sanity_optimum import LEVELS, best_levels, earned, mean_reverting_optimum
from tradesentry.apps.drlfusion.envs.sanity_series import PHI, net_of, optimal_levels, sanity_series
from tradesentry.apps.drlfusion.envs.sanity_tasks import (
    TASKS,
    best_decisions,
    held_out_env,
    score,
    task_data,
    training_env,
)

SOLVABLE = [name for name, task in TASKS.items() if task.has_optimum]
N = 120


@given(seed=st.integers(0, 10_000), cost=st.floats(0.0, 1.0))
def test_planned_path_earns_as_much_as_the_best_of_all_paths(seed, cost):
    expected = np.random.default_rng(seed).normal(size=(4, 1))
    paths = np.array(list(product(LEVELS, repeat=4))).T

    levels, value = best_levels(expected, cost)

    best = earned(paths, np.broadcast_to(expected, paths.shape), cost).max()
    assert value[0] == pytest.approx(best, abs=1e-12)
    assert earned(levels, expected, cost)[0] == pytest.approx(best, abs=1e-12)


def test_plan_never_pays_for_a_turn_that_costs_more_than_it_brings():
    expected = np.array([[1.0], [-0.01], [1.0]])

    levels, value = best_levels(expected, 0.1)

    assert levels[:, 0].tolist() == [1.0, 1.0, 1.0]
    assert value[0] == pytest.approx(1.99 - 0.1)


def test_no_rule_of_one_threshold_beats_the_best_mean_reversion_whose_gain_is_what_it_earns():
    cost, n, n_paths = 0.05, 1_000, 200
    rng = np.random.default_rng(1)
    x = np.empty((n + 1, n_paths))
    x[0] = rng.normal(size=n_paths)
    for t in range(n):
        x[t + 1] = PHI * x[t] + np.sqrt(1.0 - PHI * PHI) * rng.normal(size=n_paths)
    moves = np.diff(x, axis=0)

    found = mean_reverting_optimum(PHI, cost)

    net = earned(found.levels(x[:-1]), moves, cost) / n
    assert abs(net.mean() - found.gain) < 3.5 * net.std() / np.sqrt(n_paths)
    for threshold in np.arange(0.0, 1.0, 0.1):
        held, levels = np.zeros(n_paths), np.empty((n, n_paths))
        for t in range(n):
            held = np.where(x[t] > threshold, -1.0, np.where(x[t] < -threshold, 1.0, held))
            levels[t] = held
        ahead = net - earned(levels, moves, cost) / n
        assert ahead.mean() > -3.5 * ahead.std() / np.sqrt(n_paths)


@pytest.mark.parametrize("name", list(TASKS))
def test_series_move_by_one_deviation_and_the_same_seed_gives_the_same_path(name):
    series, again, other = (sanity_series(name, 20_000, seed) for seed in (3, 3, 4))

    assert np.std(series.moves) == pytest.approx(0.866 if name == "sine" else 1.0, rel=0.03)
    assert np.array_equal(series.moves, again.moves)
    assert not np.array_equal(series.moves, other.moves)


@pytest.mark.parametrize("name", ["leak", "sine", "mean_reverting"])
def test_what_is_shown_foretells_the_next_move_and_nothing_else_does(name):
    """The expectation of a task is the regression of the next move on what is shown."""
    series = sanity_series(name, 50_000, 5)

    following = series.moves[1:]
    error = following - series.expected[:-1]

    assert np.corrcoef(series.expected[:-1], following)[0, 1] > 0.1
    assert abs(np.corrcoef(series.expected[:-1], error)[0, 1]) < 0.02 if name != "leak" else np.all(error == 0.0)


@pytest.mark.parametrize("name", ["shuffled", "random_walk"])
def test_nothing_shown_foretells_the_next_move_where_nothing_can_be_earned(name):
    series = sanity_series(name, 50_000, 5)

    for column in series.columns.T:
        assert abs(np.corrcoef(column[:-1], series.moves[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("name", SOLVABLE)
def test_best_rule_played_through_the_environment_earns_exactly_the_optimum(name):
    """Fills, costs and sizes of the environment add up to the textbook's. Seen to fail: hours in which nothing may be
    entered, before the week of the tasks was made endless (0.988 of the optimum of `leak`)."""
    task = TASKS[name]

    found = score(task, best_decisions(task, seed=2, n_windows=8, n=N), seed=2, n_windows=8, n=N)

    assert found.fraction == pytest.approx(1.0, abs=1e-9)
    assert found.optimum > 0.1


@pytest.mark.parametrize("name", list(TASKS))
def test_doing_nothing_earns_nothing_and_acting_at_random_costs_what_turnover_costs(name):
    task, rng = TASKS[name], np.random.default_rng(0)

    idle = score(task, lambda seen: np.zeros(len(seen)), seed=2, n_windows=8, n=N)
    busy = score(task, lambda seen: rng.integers(0, 5, len(seen)) / 2 - 1.0, seed=2, n_windows=8, n=N)

    assert (idle.net, idle.turnover, idle.exposure) == (0.0, 0.0, 0.0)
    assert abs(busy.net + task.cost * busy.turnover) < 4.0 * busy.error


def test_training_and_scoring_see_different_paths_and_mirrored_rows_are_exact_opposites():
    task = TASKS["mean_reverting"]

    env = training_env(task, seed=0, n_envs=2, n_bars=1_000)
    held_out, _starts = held_out_env(task, seed=0, n_windows=2, n=N)
    data = task_data(task, sanity_series("mean_reverting", 500, 0))

    assert not np.array_equal(env._data[0]["close"][0, :500], held_out._data[0]["close"][0, :500])
    assert np.array_equal(data.features["market"][0], -data.features["market"][1])
    assert np.allclose(data.bars["close"][0] - 2.0, 2.0 - data.bars["close"][1], atol=1e-12)


def test_rewards_of_the_tasks_are_of_order_one():
    rng = np.random.default_rng(0)
    env = training_env(TASKS["leak"], seed=0, n_envs=32, n_bars=1_000)

    env.reset()
    paid = np.array([env.step(rng.integers(0, 5, 32) / 2 - 1.0)[1] for _ in range(100)])

    assert 0.5 < np.std(paid) < 1.0


def test_optimum_of_windows_is_that_of_each_window_alone():
    series = sanity_series("sine", 1_000, 1)
    starts = np.array([100, 400])

    both = optimal_levels("sine", series, starts=starts, n=50, cost=0.1)
    one = optimal_levels("sine", series, starts=starts[1:], n=50, cost=0.1)

    assert np.array_equal(both[:, 1:], one)
    alone = net_of(series, one, starts=starts[1:], cost=0.1)[0]
    assert net_of(series, both, starts=starts, cost=0.1)[1] == pytest.approx(alone, rel=1e-12)
