"""The plan of a grid: whatever levels, weights, sizes and prices are, it never loses more than it may."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradesentry.apps.smgrid.helpers import plan
from tradesentry.apps.smgrid.layout import ZoneKind
from tradesentry.apps.smgrid.strategy import SMGridConfig, SMGridStrategy
from tradesentry.core.domain.records import VIEW
from tradesentry.core.utils.kernel import new_records

PIP = 1e-4
TICK = 1e-5
STATE = SMGridStrategy.new_state(None)
SEEN = new_records(1, VIEW)


def planned(config, *, side=1, near=1.1, height=8.0, atr=12.0, spread=0.8, equity=10_000.0, step=1_000.0, pv=1.0):
    """Plan a grid and return its basket, None when there is none; distances in pips."""
    params, state, view = SMGridStrategy.new_params(config)[0], STATE[0], SEEN[0]
    context, basket = state.context, state.baskets[0]
    context.atr.value = atr * PIP
    context.span.is_set, context.span.equilibrium = True, near + side * 25 * PIP
    basket.zone.kind, basket.zone.id = ZoneKind.BASE, 1
    basket.zone.near, basket.zone.far = near, near - side * height * PIP
    basket.anchor, basket.fee = near + side * 5 * PIP, 0.0
    view.tick, view.pip, view.unit_step, view.unit_min = TICK, PIP, step, step
    view.last_spread, view.price_unit_value, view.equity = spread * PIP, pv, equity
    return basket if plan(params, context, basket, side, view) else None


CONFIGS = st.builds(
    SMGridConfig,
    anchor=st.sampled_from(["zone", "atr_band"]),
    levels=st.integers(2, 8),
    weights=st.sampled_from(["equal", "linear", "geometric"]),
    ratio=st.floats(1.0, 1.3),
    step=st.floats(0.25, 1.0),
    stop_buffer=st.floats(0.1, 0.5),
    tp=st.sampled_from([0.2, 0.4, 1.0, "zone_exit", "eq"]),
    risk=st.floats(0.0025, 0.015),
    slip_pips=st.floats(0.0, 5.0),
    leverage=st.sampled_from([None, 0.5, 2.0, 30.0]),
)
CASE = {
    "config": CONFIGS,
    "side": st.sampled_from([1, -1]),
    "near": st.floats(0.5, 2.0),
    "height": st.floats(0.05, 60.0),
    "atr": st.floats(0.5, 80.0),
    "spread": st.floats(0.0, 6.0),
    "equity": st.floats(100.0, 1e7),
    "step": st.sampled_from([1.0, 1_000.0, 100_000.0]),
    "pv": st.floats(0.005, 2.0),
}


@settings(max_examples=300, deadline=None)
@given(**CASE, fills=st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8))
def test_loss_never_exceeds_the_risk_whatever_the_grid_and_the_path(config, side, equity, pv, fills, **case):
    """Bites: with units rounded up, the first draws exceed the budget."""
    basket = planned(config, side=side, equity=equity, pv=pv, **case)

    if basket is None:
        return
    # A path that fills all levels at their prices or better, where it jumped over them, and then stops them.
    loss = 0.0
    for i in range(int(basket.n)):
        distance = (basket.prices[i] - basket.stop) * side
        loss += basket.units[i] * (distance * fills[i] + config.slip_pips * PIP) * pv
    assert loss <= config.risk * equity * (1 + 1e-9)
    assert basket.worst <= basket.allowed * (1 + 1e-9)


@settings(max_examples=200, deadline=None)
@given(**CASE)
def test_levels_run_from_shallow_to_deep_above_a_stop_that_is_far_enough(config, side, spread, step, equity, **case):
    basket = planned(config, side=side, spread=spread, step=step, equity=equity, **case)

    if basket is None:
        return
    n = int(basket.n)
    prices, units = basket.prices[:n], basket.units[:n]
    assert 1 <= n <= config.levels
    assert (np.diff(prices) * side < 0).all()
    assert (prices[-1] - basket.stop) * side >= 3 * spread * PIP - 0.51 * TICK
    assert (units >= step).all()
    np.testing.assert_allclose(units / step, np.rint(units / step), atol=1e-9)
    np.testing.assert_allclose(prices / TICK, np.rint(prices / TICK), atol=1e-4)
    if config.leverage is not None:
        assert (prices * units).sum() * case["pv"] <= config.leverage * equity * (1 + 1e-9)


def test_band_steps_down_from_the_midpoint_and_stops_one_step_beyond():
    basket = planned(SMGridConfig(anchor="atr_band", step=0.5, levels=3), near=1.1, atr=12.0)

    # The midpoint is 1.1005; steps of 6 pips, a spread of 0.8 for the ask.
    assert basket.prices[:3].tolist() == [pytest.approx(1.1005 - i * 6 * PIP + 0.8 * PIP) for i in (1, 2, 3)]
    assert basket.stop == pytest.approx(1.1005 - 4 * 6 * PIP)


def test_step_of_a_band_is_at_least_four_spreads():
    basket = planned(SMGridConfig(anchor="atr_band", step=0.25), atr=8.0, spread=1.0)

    assert basket.step == pytest.approx(4 * PIP)


def test_target_is_at_least_five_spreads():
    assert planned(SMGridConfig(tp=0.2), atr=10.0, spread=1.5).tp == pytest.approx(7.5 * PIP)


def test_equilibrium_nearer_than_five_spreads_makes_no_grid():
    # 25 pips away: six spreads of 4 are 24, of 4.5 are 27.
    assert planned(SMGridConfig(tp="eq"), spread=4.0, height=40) is not None
    assert planned(SMGridConfig(tp="eq"), spread=4.5, height=40) is None


def test_zone_of_a_few_ticks_holds_as_many_levels_as_differ():
    basket = planned(SMGridConfig(levels=8), height=0.3, equity=1e6)

    assert basket.n == 4
    assert len(set(basket.prices[:4])) == 4


def test_budget_below_the_smallest_order_makes_no_grid():
    assert planned(SMGridConfig(), equity=100.0, step=100_000.0) is None
