"""What a user may set, and what of it reaches the kernels."""

import numpy as np
import pytest
from pydantic import ValidationError

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.layout import PARAMS, Rule, blank_params
from tradesentry.core.utils.kernel import layout_digest

DEFAULTS = {
    "models": "shipped", "rule": "quorum", "quorum_n": 3, "vote_threshold": 0.25, "weights": "equal", "block_days": 63,
    "tau": 0.5, "score_alpha": 0.2, "weight_floor": 0.05, "hedge_eta": 0.05, "hedge_alpha": 0.02, "gate_k": 1.0,
    "risk_fraction": 0.005, "stop_atr": 3.0, "max_hold_bars": 240, "hysteresis": 0.3, "deadband": 0.05,
    "turbulence_gate": True, "turbulence_floor": 0.25, "volatility_target": 0.0, "mirror": True, "timeframe": "H1",
}  # fmt: skip
BOUNDS = {
    "quorum_n": (2, 4), "vote_threshold": (0, 0.9), "block_days": (5, 252), "gate_k": (0, 5),
    "risk_fraction": (0.0001, 0.02), "stop_atr": (1, 50), "max_hold_bars": (0, 5_000), "hysteresis": (0, 0.5),
    "deadband": (0, 0.25), "turbulence_floor": (0, 1), "volatility_target": (0, 1),
}  # fmt: skip


def test_defaults_are_those_of_the_specification():
    config = DrlFusionConfig()

    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_those_of_the_specification(name):
    low, high = BOUNDS[name]
    step = 1 if isinstance(low, int) and isinstance(high, int) and high > 1 else 1e-6

    assert getattr(DrlFusionConfig(**{name: low}), name) == low
    assert getattr(DrlFusionConfig(**{name: high}), name) == high
    for wrong in (low - step, high + step):
        with pytest.raises(ValidationError):
            DrlFusionConfig(**{name: wrong})


@pytest.mark.parametrize("timeframe", ["M5", "D1"])
def test_timeframes_run_from_a_quarter_hour_to_four_hours(timeframe):
    with pytest.raises(ValidationError):
        DrlFusionConfig(timeframe=timeframe)


@pytest.mark.parametrize("rule", [rule.name.lower() for rule in Rule])
def test_every_rule_has_the_code_that_kernels_compare(rule):
    assert blank_params(DrlFusionConfig(rule=rule))["rule"][0] == Rule[rule.upper()]


def test_settings_of_training_reach_no_kernel():
    one = blank_params(DrlFusionConfig())
    other = blank_params(DrlFusionConfig(training={"budget": 0.1, "seeds": 1}))

    assert "training" not in (PARAMS.names or ())
    assert one.tobytes() == other.tobytes()
    assert layout_digest(one.dtype) == layout_digest(PARAMS)


def test_a_year_has_252_trading_days_of_bars():
    assert DrlFusionConfig().bars_per_year == 252 * 24
    assert DrlFusionConfig(timeframe="H4").bars_per_year == 252 * 6


def test_parameters_are_about_a_hundred_kilobytes():
    assert 100_000 < PARAMS.itemsize < 110_000
    assert np.isfinite(blank_params(DrlFusionConfig())["obs_scale"]).all()


def test_sessions_are_the_slots_of_the_observation():
    assert [window.name for window in DrlFusionConfig().calendar().sessions] == ["tokyo", "london", "new_york"]
