"""Metrics of the account curve against hand-computed numbers, slow plain versions and empyrical where installed."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradesentry.backtest.metrics import returns as metrics
from tradesentry.backtest.metrics.fx_time import DAY_NS

RETURNS = np.random.default_rng(3).standard_t(4, 1_001) * 0.006 + 0.0003

finite_returns = st.lists(st.floats(-0.2, 0.2, allow_nan=False), min_size=3, max_size=60).map(np.array)


def autocorrelated_returns(rho: float) -> np.ndarray:
    noise = np.random.default_rng(9).normal(0.0005, 0.01, 4_000)
    values = noise.copy()
    for i in range(1, len(values)):
        values[i] = rho * values[i - 1] + noise[i]
    return values


def test_sharpe_is_mean_over_sample_deviation_times_root_of_252():
    returns = np.array([0.01, -0.005, 0.02, 0.0])
    mean, deviation = statistics.fmean(returns), statistics.stdev(returns)

    assert metrics.annualized_sharpe(returns) == pytest.approx(mean / deviation * math.sqrt(252))


def test_sharpe_error_is_lo_equation_nine():
    returns = np.array([0.01, -0.005, 0.02, 0.0])
    per_day = statistics.fmean(returns) / statistics.stdev(returns)

    error = metrics.sharpe_standard_error(returns)

    assert error == pytest.approx(math.sqrt((1 + per_day**2 / 2) / 4) * math.sqrt(252))


def test_adjusted_sharpe_is_lower_when_good_days_follow_good_days_and_equal_without_memory():
    persistent = autocorrelated_returns(0.3)
    independent = autocorrelated_returns(0.0)

    shrunk = metrics.adjusted_sharpe(persistent) / metrics.annualized_sharpe(persistent)
    same = metrics.adjusted_sharpe(independent) / metrics.annualized_sharpe(independent)

    assert shrunk == pytest.approx(math.sqrt((1 - 0.3) / (1 + 0.3)), rel=0.08)
    assert same == pytest.approx(1.0, abs=0.06)


def test_max_drawdown_reports_depth_length_and_recovery_of_a_hand_made_curve():
    equity = np.array([100.0, 120.0, 90.0, 96.0, 120.0, 130.0, 125.0])

    fall = metrics.max_drawdown(equity)

    assert fall.depth == pytest.approx(0.25)
    assert (fall.peak, fall.trough, fall.recovery) == (1, 2, 4)
    assert (fall.length_days, fall.recovery_days) == (3.0, 2.0)


def test_max_drawdown_sees_the_adverse_extreme_inside_a_bar():
    equity, lows = np.array([100.0, 100.0, 101.0]), np.array([100.0, 80.0, 101.0])

    assert metrics.max_drawdown(equity, lows).depth == pytest.approx(0.2)
    assert metrics.max_drawdown(equity).depth == 0.0


def test_unrecovered_drawdown_has_a_length_to_the_end_but_no_recovery():
    fall = metrics.max_drawdown(np.array([100.0, 90.0, 95.0]), ts_ns=np.array([0, 5, 11]) * DAY_NS)

    assert fall.length_days == 11.0
    assert math.isnan(fall.recovery_days)


@settings(deadline=None)
@given(returns=finite_returns)
def test_max_drawdown_equals_a_search_over_all_pairs(returns):
    equity = np.concatenate(([1.0], np.cumprod(1 + returns)))
    slow = max(1 - equity[j] / equity[i] for i in range(len(equity)) for j in range(i, len(equity)))

    assert metrics.max_drawdown(equity).depth == pytest.approx(slow, abs=1e-12)


@settings(deadline=None)
@given(returns=finite_returns, scale=st.floats(0.01, 1e6))
def test_the_size_of_the_account_changes_no_ratio(returns, scale):
    equity = np.concatenate(([1.0], np.cumprod(1 + returns)))

    small, large = metrics.simple_returns(equity), metrics.simple_returns(equity * scale)

    assert large == pytest.approx(small, abs=1e-9)
    assert metrics.ulcer_index(equity * scale) == pytest.approx(metrics.ulcer_index(equity), abs=1e-9)


def test_ulcer_index_is_the_root_mean_square_of_drawdowns():
    equity = np.array([100.0, 90.0, 100.0, 80.0])

    assert metrics.ulcer_index(equity) == pytest.approx(math.sqrt((0.1**2 + 0.2**2) / 4))


def test_omega_is_gains_over_losses_and_cagr_is_the_calendar_root():
    assert metrics.omega_ratio(np.array([0.03, -0.01, -0.01])) == pytest.approx(1.5)
    assert metrics.cagr(np.array([100.0, 121.0]), 2.0) == pytest.approx(0.1)


def test_value_at_risk_and_its_tail_mean_on_a_known_grid():
    returns = np.arange(-50, 51) / 1_000.0

    assert metrics.value_at_risk(returns, 0.95) == pytest.approx(-0.045)
    assert metrics.conditional_value_at_risk(returns, 0.95) == pytest.approx(np.mean(np.arange(-50, -44)) / 1_000)


def test_grouped_returns_chain_to_the_total():
    equity = np.concatenate(([1_000.0], 1_000.0 * np.cumprod(1 + RETURNS[:90])))
    labels = np.repeat(np.arange(9), 10)

    groups, returns = metrics.grouped_returns(equity, labels)

    assert groups.tolist() == list(range(9))
    assert np.prod(1 + returns) - 1 == pytest.approx(metrics.total_return(equity))


def test_rolling_sharpe_equals_the_sharpe_of_each_window():
    rolled = metrics.rolling_sharpe(RETURNS[:100], 63)

    assert np.isnan(rolled[:62]).all()
    assert rolled[80] == pytest.approx(metrics.annualized_sharpe(RETURNS[18:81]))


@pytest.mark.parametrize("returns", [np.zeros(0), np.array([0.01]), np.full(50, 0.001)])
def test_ratios_of_returns_that_cannot_vary_are_undefined_not_infinite(returns):
    assert math.isnan(metrics.annualized_sharpe(returns))
    assert math.isnan(metrics.adjusted_sharpe(returns))


def test_returns_stop_being_defined_where_equity_is_gone():
    returns = metrics.simple_returns(np.array([100.0, 50.0, -10.0, 20.0]))

    assert returns[:2] == pytest.approx([-0.5, -1.2])
    assert np.isnan(returns[2])


@pytest.mark.reference
def test_definitions_shared_with_empyrical_agree_with_it():
    """Documented differences: empyrical compounds growth over 252 periods a year, we over calendar time."""
    empyrical = pytest.importorskip("empyrical", reason="the oracle library is not installed")
    equity = np.concatenate(([1.0], np.cumprod(1 + RETURNS)))

    assert metrics.annualized_sharpe(RETURNS) == pytest.approx(empyrical.sharpe_ratio(RETURNS))
    assert metrics.sortino_ratio(RETURNS) == pytest.approx(empyrical.sortino_ratio(RETURNS))
    assert metrics.annualized_volatility(RETURNS) == pytest.approx(empyrical.annual_volatility(RETURNS))
    assert metrics.downside_deviation(RETURNS) == pytest.approx(empyrical.downside_risk(RETURNS))
    assert metrics.omega_ratio(RETURNS) == pytest.approx(empyrical.omega_ratio(RETURNS))
    assert metrics.tail_ratio(RETURNS) == pytest.approx(empyrical.tail_ratio(RETURNS))
    assert metrics.value_at_risk(RETURNS, 0.95) == pytest.approx(empyrical.value_at_risk(RETURNS, 0.05))
    assert metrics.conditional_value_at_risk(RETURNS, 0.95) == pytest.approx(
        empyrical.conditional_value_at_risk(RETURNS, 0.05)
    )
    assert -metrics.max_drawdown(equity).depth == pytest.approx(empyrical.max_drawdown(RETURNS))
    assert metrics.cagr(equity, len(RETURNS) / 252) == pytest.approx(empyrical.cagr(RETURNS))
