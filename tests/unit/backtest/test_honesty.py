"""Luck is measured as the papers measure it: their numbers, slow obvious versions, and how pure noise must look."""

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesentry.backtest.metrics.honesty import (
    Moments,
    backtest_overfitting,
    deflated_sharpe,
    effective_trials,
    expected_best_sharpe,
    min_track_record,
    moments,
    probabilistic_sharpe,
    unskilled_sharpe,
)
from tradesentry.backtest.metrics.resampling import (
    block_drawdowns,
    bootstrap_error,
    shuffled_drawdowns,
    stationary_interval,
)
from tradesentry.backtest.studies.evidence import evidence_of, luck_variance, rank_correlation, sentence
from tradesentry.backtest.studies.trials import Tried


def noise(n_days, n_variants, *, seed=0):
    return np.random.default_rng(seed).normal(0.0, 0.01, (n_days, n_variants))


def test_the_probabilistic_ratio_is_that_of_the_hedge_fund_in_the_paper():
    """Bailey & López de Prado (2012), numerical example: 24 months, skewness -2.448, kurtosis 10.164."""
    fat = Moments(0.458, -2.448, 10.164, 24)
    normal = Moments(0.458, 0.0, 3.0, 24)

    assert probabilistic_sharpe(fat) == pytest.approx(0.913, abs=5e-4)
    assert probabilistic_sharpe(normal) == pytest.approx(0.982, abs=5e-4)


def test_the_deflated_ratio_is_that_of_the_paper():
    """Bailey & López de Prado (2014), section "A numerical example": 100 trials leave 0.9004, 46 leave 0.9505."""
    found = Moments(2.5 / math.sqrt(250), -3.0, 10.0, 1250)
    variance = 0.5 / 250

    assert expected_best_sharpe(variance, 100) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(found, variance=variance, n_trials=100) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(found, variance=variance, n_trials=46) == pytest.approx(0.9505, abs=5e-5)


@pytest.mark.parametrize(("per_year", "years"), [(250, 2.73), (52, 2.83), (12, 3.24)])
def test_the_least_track_record_is_that_of_the_paper(per_year, years):
    """Bailey & López de Prado (2012): an annual ratio of 2 against a benchmark of 1, normal returns."""
    found = Moments(2 / math.sqrt(per_year), 0.0, 3.0, 100)

    assert min_track_record(found, 1 / math.sqrt(per_year)) / per_year == pytest.approx(years, abs=0.005)


def test_a_ratio_that_is_not_positive_never_becomes_significant():
    assert min_track_record(Moments(-0.1, 0.0, 3.0, 500)) == math.inf
    assert math.isnan(min_track_record(moments(np.zeros(10))))


def test_the_expected_best_of_many_is_what_a_simulation_shows():
    generator = np.random.default_rng(1)
    best = generator.normal(0.0, 0.05, (4_000, 50)).max(axis=1).mean()

    assert expected_best_sharpe(0.05**2, 50) == pytest.approx(best, rel=0.02)


def test_moments_are_those_of_the_textbook():
    returns = np.array([0.01, -0.02, 0.03, 0.005, -0.01])
    centered = returns - returns.mean()
    found = moments(returns)

    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert found.skew == pytest.approx((centered**3).mean() / (centered**2).mean() ** 1.5)
    assert found.kurtosis == pytest.approx((centered**4).mean() / (centered**2).mean() ** 2)
    assert found.n == 5


@given(st.integers(2, 400), st.floats(1e-6, 1e-2))
def test_more_attempts_never_make_a_result_better(n_trials, variance):
    found = Moments(0.08, -0.5, 5.0, 500)

    fewer = deflated_sharpe(found, variance=variance, n_trials=n_trials)
    more = deflated_sharpe(found, variance=variance, n_trials=n_trials + 1)

    assert more <= fewer <= probabilistic_sharpe(found)


def slow_overfitting(returns, n_blocks):
    """Return the probability of overfitting by the definition, one split at a time."""
    blocks = np.array_split(np.arange(len(returns)), n_blocks)
    n_below = n_splits = 0
    for inside in combinations(range(n_blocks), n_blocks // 2):
        own = np.concatenate([blocks[i] for i in inside])
        other = np.concatenate([blocks[i] for i in range(n_blocks) if i not in inside])
        first = returns[own].mean(axis=0) / returns[own].std(axis=0)
        second = returns[other].mean(axis=0) / returns[other].std(axis=0)
        chosen = int(np.argmax(first))
        rank = (second < second[chosen]).sum() + 1
        n_below += rank / (returns.shape[1] + 1) <= 0.5
        n_splits += 1
    return n_below / n_splits


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_overfitting_is_that_of_the_definition(seed):
    returns = noise(240, 12, seed=seed) + np.linspace(-0.001, 0.001, 12)

    assert backtest_overfitting(returns, n_blocks=8).probability == slow_overfitting(returns, 8)


def test_choosing_among_pure_noise_is_a_coin():
    found = [backtest_overfitting(noise(500, 60, seed=seed)).probability for seed in range(12)]

    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_a_planted_edge_survives_every_split():
    returns = noise(500, 60)
    returns[:, 7] += 0.003

    found = backtest_overfitting(returns)

    assert found.probability < 0.02
    assert found.probability_of_loss < 0.02
    assert found.n_splits == 12_870


def test_too_little_to_split_is_said_and_not_guessed():
    assert backtest_overfitting(noise(15, 10)) is None
    assert backtest_overfitting(noise(500, 1)) is None
    assert backtest_overfitting(np.zeros((500, 5))) is None


def test_the_best_of_noise_is_no_evidence_and_a_real_edge_is():
    returns = noise(500, 100, seed=5)
    tried = Tried(100, float(np.var([moments(column).sharpe for column in returns.T], ddof=1)))
    best = returns[:, np.argmax(returns.mean(axis=0))]

    lucky = evidence_of(best, gains=best * 1e4, capital=1e4, tried=tried, variants=returns)
    skilled = evidence_of(best + 0.002, gains=best * 1e4, capital=1e4, tried=tried, variants=returns)

    assert lucky.probabilistic_sharpe > 0.95 > lucky.deflated_sharpe
    assert not lucky.is_edge
    assert sentence(lucky, what="The best of 100 variants")[0].startswith("No evidence of an edge: the best of 100")
    assert skilled.is_edge
    assert sentence(skilled, what="The best of 100 variants")[0].startswith("The best of 100 variants earned more than")


def test_a_loss_is_called_one_only_beyond_noise():
    returns = noise(500, 1, seed=4)[:, 0]
    returns -= returns.mean()
    tried = Tried(1, 0.0)

    slight, clear = (
        sentence(evidence_of(returns - drift, gains=returns, capital=1.0, tried=tried), what="The walk-forward")
        for drift in (0.0001, 0.002)
    )

    assert slight[0].startswith("No evidence of an edge: the walk-forward has a Sharpe ratio of -0.16 after costs")
    assert clear[0].startswith("It loses money: the walk-forward")
    assert (slight[1], clear[1]) == ("neutral", "bad")


def test_variants_that_lose_to_costs_make_nobody_luckier():
    """Without the cap, heavy losers among the trials would hide a Sharpe ratio of 3 behind their own spread."""
    spread_by_losers = Tried(100, 0.05)

    assert luck_variance(spread_by_losers, 500) == pytest.approx(1 / 499)
    assert luck_variance(Tried(100, 0.0001), 500) == 0.0001
    assert luck_variance(Tried(100, 0.0), 500) == pytest.approx(1 / 499)


def test_the_error_of_the_mean_agrees_with_theory_on_independent_weeks():
    generator = np.random.default_rng(2)
    r_multiples, weeks = generator.normal(0.1, 1.0, 2_000), np.repeat(np.arange(200), 10)

    by_week = (r_multiples - r_multiples.mean()).reshape(200, 10).sum(axis=1)
    assert bootstrap_error(r_multiples, weeks) == pytest.approx(math.sqrt((by_week**2).sum()) / 2_000, rel=0.1)


def test_trades_that_share_their_week_are_worth_fewer():
    """Seen to fail when trades instead of weeks are drawn: 0.024 instead of 0.077."""
    generator = np.random.default_rng(3)
    r_multiples, weeks = np.repeat(generator.normal(0.0, 1.0, 200), 10), np.repeat(np.arange(200), 10)

    assert bootstrap_error(r_multiples, weeks) == pytest.approx(1 / math.sqrt(200), rel=0.15)
    assert math.isnan(bootstrap_error(r_multiples[:70], weeks[:70]))


def test_every_order_of_the_same_trades_ends_alike_and_falls_differently():
    gains = np.array([300.0, -100.0] * 40)

    band = shuffled_drawdowns(gains, 10_000.0)

    assert band.low < band.median < band.high < 0.2
    assert band.share_deeper > 0.95
    assert band == shuffled_drawdowns(gains, 10_000.0)
    assert shuffled_drawdowns(gains[:1], 10_000.0) is None


def test_the_band_of_random_walks_holds_the_drawdown_of_one():
    returns = noise(500, 1, seed=9)[:, 0] / 10

    band = block_drawdowns(returns)

    assert band.low < band.median < band.high
    assert 0.02 < band.share_deeper < 0.98
    assert block_drawdowns(returns[:5]) is None
    assert block_drawdowns(np.append(returns, np.nan)) is None


def test_rank_correlation_is_that_of_the_textbook():
    rising = [1.0, 2.0, 3.0, 4.0, 5.0]

    assert rank_correlation(rising, [10.0, 20.0, 30.0, 40.0, 500.0]) == pytest.approx(1.0)
    assert rank_correlation(rising, [5.0, 4.0, 3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    # 1 - 6 * sum(d²) / (n (n² - 1)) with d² = 1, 1, 0, 1, 1.
    assert rank_correlation(rising, [2.0, 1.0, 3.0, 5.0, 4.0]) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert rank_correlation([1.0, 2.0, 2.0, 3.0], [1.0, 2.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert math.isnan(rank_correlation([1.0, 2.0], [2.0, 1.0]))
    assert math.isnan(rank_correlation([1.0, 1.0, 1.0], [2.0, 1.0, 3.0]))
    assert math.isfinite(rank_correlation([1.0, math.nan, 2.0, 3.0], [1.0, 2.0, 4.0, 3.0]))


def test_a_normal_series_is_as_probable_as_the_normal_distribution_says():
    found = Moments(0.05, 0.0, 3.0, 401)
    spread = 1 + 0.5 * 0.05**2

    assert probabilistic_sharpe(found) == pytest.approx(NormalDist().cdf(0.05 * 20 / math.sqrt(spread)))


@pytest.mark.parametrize(
    ("n_days", "expected"),
    [(64, (2.10, 3.15, 5.06)), (253, (1.05, 1.57, 2.53)), (round(4.4 * 252) + 1, (0.50, 0.75, 1.21))],
)
def test_the_best_of_the_unskilled_looks_good_over_a_short_time(n_days, expected):
    """A quarter, one year and 4.4 years of days; 4, 10 and 100 attempts."""
    found = [unskilled_sharpe(n_days, n, periods_per_year=252) for n in (4, 10, 100)]

    assert found == pytest.approx(expected, abs=0.011)


def test_the_best_of_the_unskilled_is_what_chance_shows():
    """The mean over 2,000 studies of the best of 10 pure noises over 63 days."""
    returns = np.random.default_rng(2).normal(size=(2_000, 10, 63))
    best = np.max(returns.mean(axis=2) / returns.std(axis=2, ddof=1), axis=1).mean() * math.sqrt(252)

    assert unskilled_sharpe(63, 10, periods_per_year=252) == pytest.approx(best, rel=0.03)


def slow_clusters(distance, most):
    """Return the number of clusters: join the two that are nearest on average until none are near enough."""
    clusters = [[i] for i in range(len(distance))]

    def apart(a, b):
        return np.mean([distance[i, j] for i in a for j in b])

    while len(clusters) > 1:
        gap, a, b = min((apart(a, b), i, j) for i, a in enumerate(clusters) for j, b in enumerate(clusters) if i < j)
        if gap > most:
            break
        clusters[a] += clusters.pop(b)
    return len(clusters)


@pytest.mark.parametrize("seed", range(20))
def test_clusters_agree_with_a_slow_version(seed):
    random = np.random.default_rng(seed)
    kinds = noise(60, random.integers(1, 6), seed=seed)
    returns = kinds[:, random.integers(0, kinds.shape[1], 14)] + random.uniform(0, 2) * noise(60, 14, seed=seed + 99)
    distance = 1.0 - np.corrcoef(returns.T)

    assert effective_trials(returns) == slow_clusters(distance, 0.5)


def test_twins_are_one_attempt_and_strangers_are_many():
    kinds = noise(300, 5)
    twins = np.repeat(kinds, 8, axis=1) + 0.1 * noise(300, 40, seed=1)

    assert effective_trials(twins) == 5
    assert effective_trials(noise(300, 40)) == 40
    assert effective_trials(np.zeros((300, 3))) == 1
    assert effective_trials(np.zeros((300, 0))) == 0
    assert effective_trials(-kinds[:, :1] * [1.0, -1.0]) == 2


def test_the_evidence_counts_different_attempts_beside_all():
    kinds = noise(300, 4)
    variants = np.repeat(kinds, 5, axis=1)
    found = evidence_of(kinds[:, 0], gains=kinds[:, 0], capital=1.0, tried=Tried(30, 0.0), variants=variants)

    assert (found.n_trials, found.effective_trials) == (30, 4 + 10)
    assert evidence_of(kinds[:, 0], gains=kinds[:, 0], capital=1.0, tried=Tried(30, 0.0)).effective_trials is None


def test_the_interval_of_blocks_holds_the_truth_about_as_often_as_it_says():
    """100 series of 250 days with a true ratio of 1; and the interval widens when days resemble their neighbors."""
    random = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        low, high = stationary_interval(random.normal(1 / math.sqrt(252), 1, 250), periods_per_year=252, draws=200)
        held += low <= 1.0 <= high
    alike = np.repeat(random.normal(0, 1, 100), 10)
    mixed = random.permutation(alike)
    wide, narrow = (stationary_interval(series, periods_per_year=252) for series in (alike, mixed))

    assert held >= 85
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)


@pytest.mark.parametrize("returns", [np.zeros(50), np.ones(19), np.array([math.nan] * 50)])
def test_what_cannot_be_redrawn_has_no_interval(returns):
    assert stationary_interval(returns, periods_per_year=252) is None
