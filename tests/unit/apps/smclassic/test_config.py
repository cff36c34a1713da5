"""What a user of smclassic may set: every parameter of its table, bounds, the declared studies, refusals."""

import pytest
from pydantic import ValidationError

from tradesentry.apps.smclassic.backtest.backtest_runner import EXPERIMENT
from tradesentry.apps.smclassic.backtest.walk_forward import FOLDS, MIN_TRADES, SEARCH, TOP
from tradesentry.apps.smclassic.configs.smclassic_config import SMClassicConfig
from tradesentry.apps.smclassic.layout import RANGE_SLOT, bars_needed, context_params
from tradesentry.apps.smclassic.strategy import SMClassicStrategy
from tradesentry.backtest.resolve import app_config_path
from tradesentry.backtest.studies.experiment import experiment_of
from tradesentry.core.strategy.strategy_registry import strategy, strategy_names

TABLE = [
    ("swing_left", 5, 3, 10),
    ("base_body", 0.5, 0.3, 0.6),
    ("base_atr", 0.8, 0.5, 1.0),
    ("max_base", 6, 3, 8),
    ("dep_atr", 1.5, 1.0, 2.5),
    ("max_touches", 0, 0, 2),
    ("max_age", 240, 60, 500),
    ("height_min", 0.3, 0.1, 1.0),
    ("height_max", 2.0, 1.0, 4.0),
    ("discount", 0.05, 0.0, 0.15),
    ("min_rr", 1.2, 0.8, 2.0),
    ("er_max", 0.35, 0.25, 0.45),
    ("adx_max", 25.0, 20, 30),
    ("tranches", 1, 1, 2),
    ("stop_buffer", 0.15, 0.05, 0.4),
    ("eq_fraction", 0.6, 0.5, 1.0),
    ("rest_position", 0.75, 0.6, 1.0),
    ("time_stop", 128, 32, 256),
    ("reset_k", 3.0, 2, 5),
    ("reset_n", 3, 1, 5),
    ("cooldown", 12, 4, 48),
    ("loss_pause", 8, 0, 96),
    ("risk", 0.005, 0.001, 0.01),
]


@pytest.mark.parametrize(("name", "default", "low", "high"), TABLE, ids=[row[0] for row in TABLE])
def test_parameter_has_its_default_and_bounds(name, default, low, high):
    assert getattr(SMClassicConfig(), name) == default
    for value in (low, high):
        assert getattr(SMClassicConfig(**{name: value}), name) == value
    step = 1 if isinstance(default, int) else 1e-6
    for value in (low - step, high + step):
        with pytest.raises(ValidationError):
            SMClassicConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("zone_timeframe", ["h1", "h4"]),
        ("range_source", ["swings", "leg", "day", "session"]),
        ("regime", ["off", "er", "er_adx"]),
        ("entry", ["limit", "mid", "rejection"]),
    ],
)
def test_choice_is_that_of_the_table(name, choices):
    for choice in choices:
        assert getattr(SMClassicConfig(**{name: choice}), name) == choice
    with pytest.raises(ValidationError):
        SMClassicConfig(**{name: "other"})


def test_defaults_are_those_of_the_table():
    config = SMClassicConfig()

    assert (config.zone_timeframe, config.range_source, config.entry) == ("h1", "swings", "limit")
    assert (config.regime, config.timeframe, config.weekend) == ("er_adx", "M15", "flatten")


def test_declared_product_has_48_variants_and_each_is_a_configuration():
    variants = list(EXPERIMENT.variants())

    assert EXPERIMENT.n_variants == len(variants) == 48
    assert len({SMClassicConfig(**values).model_dump_json() for values in variants}) == 48
    assert experiment_of("smclassic") is EXPERIMENT


def test_search_covers_its_nine_dimensions_within_the_bounds():
    assert len(SEARCH) == 9
    for name, (low, high) in SEARCH.items():
        assert SMClassicConfig(**{name: low}) != SMClassicConfig(**{name: high})
    assert EXPERIMENT.max_trials == 200


def test_one_number_moves_both_sides_of_a_swing():
    swings = context_params(SMClassicConfig(swing_left=7)).midpoint.dealing_range.structure.swings
    uneven = context_params(SMClassicConfig(swing_left=7, swing_right=3)).midpoint.dealing_range.structure.swings

    assert (swings.left_bars, swings.right_bars) == (7, 7)
    assert (uneven.left_bars, uneven.right_bars) == (7, 3)


def test_walk_forward_trains_a_year_and_tests_a_quarter():
    assert (FOLDS.train, FOLDS.test, FOLDS.step, MIN_TRADES, TOP) == ("12m", "3m", "3m", 200, 3)


def test_strategy_is_found_by_name_with_its_shipped_configuration():
    assert "smclassic" in strategy_names()
    assert strategy("smclassic") is SMClassicStrategy
    assert app_config_path("smclassic").name == "smclassic_backtest_config.yaml"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"timeframe": "H1"}, "does not divide zone_timeframe H1"),
        ({"timeframe": "D1", "zone_timeframe": "h4"}, "does not divide"),
        ({"entry": "mid", "tranches": 2}, "rest twice at the middle"),
        ({"entry_session": "moon"}, "moon"),
        ({"range_session": "25:00-26:00 Europe/London"}, "25:00"),
        ({"swing_leftt": 3}, "swing_leftt"),
    ],
)
def test_impossible_configuration_says_what_is_wrong(values, text):
    with pytest.raises(ValidationError, match=text):
        SMClassicConfig(**values)


def test_warm_up_grows_with_the_zone_timeframe():
    assert bars_needed(SMClassicConfig()) < bars_needed(SMClassicConfig(zone_timeframe="h4"))
    assert bars_needed(SMClassicConfig(range_source="day")) >= 2 * 96
    assert bars_needed(SMClassicConfig(timeframe="M5")) == 3 * bars_needed(SMClassicConfig())


def test_range_of_a_session_follows_that_session_alone():
    model = context_params(SMClassicConfig(range_source="session", range_session="new_york")).midpoint.dealing_range

    assert (model.slot, model.sessions.n_slots) == (RANGE_SLOT, 1)
    assert SMClassicConfig(range_session="new_york").calendar().sessions[RANGE_SLOT].name == "new_york"
