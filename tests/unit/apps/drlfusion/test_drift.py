"""Drift: nothing on data like those of training, a warning, then a stop, on data that moved away."""

import math

import numpy as np
import pytest

from tradesentry.apps.drlfusion.drift import (
    Cusum,
    DriftWatch,
    Finding,
    Reference,
    Statistic,
    action_statistic,
    divergence,
    feature_statistics,
    judge,
    reference_of,
    result_statistic,
    stability_index,
)
from tradesentry.core.domain.errors import DataError

N = 28
RNG = np.random.default_rng(0)
TRAINING = RNG.normal(0, 1, (20_000, N))
PI = RNG.dirichlet([1, 2, 4, 2, 1], 20_000)
ARRAYS = reference_of(TRAINING, PI)
REFERENCE = Reference(ARRAYS["drift_edges"], ARRAYS["drift_share"], ARRAYS["drift_pi"])


def test_reference_has_twenty_bins_of_equal_share_between_the_outer_quantiles():
    assert ARRAYS["drift_edges"].shape == (N, 21)
    assert ARRAYS["drift_share"] == pytest.approx(np.full((N, 20), 0.05), abs=1e-3)
    assert ARRAYS["drift_edges"][0, [0, 10, 20]] == pytest.approx([-3.09, 0.0, 3.09], abs=0.15)
    assert ARRAYS["drift_pi"] == pytest.approx([0.1, 0.2, 0.4, 0.2, 0.1], abs=0.01)


def test_a_feature_that_never_changes_has_a_reference_too():
    arrays = reference_of(np.zeros((100, 2)), PI[:100])

    assert arrays["drift_share"].sum(axis=1).tolist() == [1.0, 1.0]


def test_reference_of_nothing_is_refused():
    with pytest.raises(DataError, match="Give the whole slice"):
        reference_of(np.zeros((0, N)), PI[:0])


def test_stability_index_is_its_formula_and_zero_for_equal_histograms():
    q, e = np.array([0.5, 0.5]), np.array([0.25, 0.75])

    assert stability_index(e, e) == 0.0
    assert stability_index(q, e) == pytest.approx(0.25 * math.log(2) - 0.25 * math.log(0.5 / 0.75))
    assert stability_index(np.array([0.0, 1.0]), e) < math.inf


def test_divergence_is_that_of_kullback_and_leibler():
    q, e = np.array([0.5, 0.5]), np.array([0.25, 0.75])

    assert divergence(q, e) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75))
    assert divergence(e, e) == 0.0


def test_fresh_data_of_the_same_kind_raise_nothing():
    """Seen to fail: with bins of the window instead of those of training."""
    fresh = np.random.default_rng(1).normal(0, 1, (500, N))

    assert {s.finding for s in feature_statistics(fresh, REFERENCE)} == {Finding.FINE}
    assert action_statistic(PI[:500], REFERENCE).finding is Finding.FINE


@pytest.mark.parametrize(("shift", "finding"), [(0.35, Finding.WARN), (1.5, Finding.ACT)])
def test_features_that_moved_away_warn_and_then_act(shift, finding):
    moved = np.random.default_rng(1).normal(shift, 1, (500, N))

    assert max(s.finding for s in feature_statistics(moved, REFERENCE)) is finding


def test_one_odd_feature_of_many_raises_nothing_by_its_histogram():
    moved = np.random.default_rng(1).normal(0, 1, (500, N))
    moved[:, 3] += 2.0
    shifted, acting, outside = feature_statistics(moved, REFERENCE)

    assert (shifted.finding, acting.finding) == (Finding.FINE, Finding.FINE)
    assert shifted.value == acting.value == pytest.approx(1 / N)
    assert outside.value < 0.02


def test_observations_beyond_training_are_counted():
    far = np.random.default_rng(1).normal(0, 1, (500, N))
    far[:, :2] = 9.0
    outside = feature_statistics(far, REFERENCE)[2]

    assert outside.value == pytest.approx(2 / N, abs=0.01)
    assert outside.finding is Finding.WARN


def test_other_actions_warn_and_then_act():
    buying = np.tile([0.02, 0.05, 0.15, 0.28, 0.5], (500, 1))

    assert action_statistic(buying, REFERENCE).finding is Finding.ACT


def test_cusum_lets_small_deviations_pass_and_adds_up_large_ones():
    calm = Cusum("cost", 1.0, 0.5).after([1.2] * 1_000)
    rising = Cusum("cost", 1.0, 0.5).after([2.0] * 6)

    assert calm.value == 0.0
    assert rising.value == pytest.approx(9.0)
    assert rising.statistic().finding is Finding.ACT


def test_a_result_below_its_percentiles_warns_and_then_acts():
    levels = {"tenth": -2.0, "fifth": -3.0}

    assert [result_statistic(net, **levels).finding for net in (0.0, -2.5, -3.5)] == [0, 1, 2]


def test_a_second_acting_check_in_a_row_flattens_and_unknown_figures_raise_nothing():
    odd = [Statistic("x", 2.0, 0.5, 1.0)]

    assert judge(odd, was_acting=False).desired_state == "paused"
    assert judge(odd, was_acting=True).desired_state == "flatten"
    assert judge([Statistic("x", 0.7, 0.5, 1.0)], was_acting=True).desired_state is None
    assert judge([Statistic("x", math.nan, 0.5, 1.0)], was_acting=True).finding is Finding.FINE
    assert judge([], was_acting=False).finding is Finding.FINE


def watch_over(observations, pi):
    watch = DriftWatch((REFERENCE,) * 4, window_bars=200, every_bars=24)
    found = [watch.take(row, np.tile(p, (4, 1))) for row, p in zip(observations, pi, strict=True)]
    return [verdict for verdict in found if verdict is not None]


def test_a_watch_checks_every_day_once_its_window_is_full():
    fresh = np.random.default_rng(2).normal(0, 1, (300, N))
    found = watch_over(fresh, PI[:300])

    assert len(found) == 4
    assert {verdict.desired_state for verdict in found} == {None}


def test_a_watch_pauses_and_then_flattens_where_the_market_has_changed():
    """Seen to fail: with the memory of the check before not kept."""
    moved = np.random.default_rng(2).normal(2.0, 1, (300, N))
    found = watch_over(moved, PI[:300])

    assert [verdict.desired_state for verdict in found] == ["paused", "flatten", "flatten", "flatten"]
    assert found[0].evidence["features_moved"]["finding"] == "act"
    assert "features_moved" in found[0].words


def test_a_watch_reads_and_never_keeps_the_memory_that_it_is_shown():
    """The observation is a field of the running state, which the next bar overwrites."""
    watch = DriftWatch((REFERENCE,) * 4, window_bars=2, every_bars=2)
    row = np.zeros(N, np.float32)
    watch.take(row, np.tile(REFERENCE.pi, (4, 1)))
    row[:] = 99.0
    verdict = watch.take(np.zeros(N), np.tile(REFERENCE.pi, (4, 1)))

    assert verdict is not None
    assert verdict.evidence["outside_range"]["value"] == 0.0
