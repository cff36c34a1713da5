"""Parameters: bounds, contradictions, the kernel's record, the declared experiment and walk-forward."""

import math

import pytest
from pydantic import ValidationError

from tradesentry.apps.smgrid.backtest.backtest_runner import EXPERIMENT, GRID
from tradesentry.apps.smgrid.backtest.walk_forward import FOLDS, MAX_TRIALS, MIN_TRADES, SEARCH, TOP
from tradesentry.apps.smgrid.configs.smgrid_config import SMGridConfig
from tradesentry.apps.smgrid.layout import N_LEVELS, TAGS, bars_needed, context_params
from tradesentry.apps.smgrid.strategy import SMGridStrategy
from tradesentry.backtest.studies.experiment import experiment_of
from tradesentry.backtest.studies.folds import parse_length
from tradesentry.backtest.studies.variants import grid_variants, random_variants
from tradesentry.core.strategy.parameters import parameter_rows

BOUNDS = [
    ("levels", 2, 8, 5), ("ratio", 1.0, 1.3, 1.2), ("step", 0.25, 1.0, 0.5), ("stop_buffer", 0.1, 0.5, 0.25),
    ("tp", 0.2, 1.0, 0.4), ("activation", 1.0, 3.0, None), ("risk", 0.0025, 0.015, 0.0075),
    ("max_baskets", 1, 8, 4), ("regime_er", 0.0, 0.5, 0.35), ("max_touches", 0, 2, 0), ("time_stop", 24, 288, 96),
    ("reset_k", 2.0, 5.0, 3.0), ("reset_n", 1, 5, 3), ("cooldown", 4, 48, 12), ("lock", 4, 72, 24),
    ("swing_left", 3, 10, 5), ("swing_right", 3, 10, 5), ("base_body", 0.3, 0.6, 0.5), ("base_atr", 0.5, 1.0, 0.8),
    ("max_base", 3, 8, 6), ("dep_atr", 1.0, 2.5, 1.5), ("max_age", 60, 500, 240),
]  # fmt: skip


@pytest.mark.parametrize(("name", "low", "high", "default"), BOUNDS)
def test_parameter_has_its_default_and_its_bounds(name, low, high, default):
    step = 1 if isinstance(low, int) and isinstance(high, int) else 0.001

    assert getattr(SMGridConfig(), name) == default
    assert getattr(SMGridConfig(**{name: low}), name) == low
    assert getattr(SMGridConfig(**{name: high}), name) == high
    for beyond in (low - step, high + step):
        with pytest.raises(ValidationError, match=name):
            SMGridConfig(**{name: beyond})


@pytest.mark.parametrize("name", ["activation", "regime_er", "leverage", "max_spread"])
def test_parameter_can_be_off(name):
    assert math.isnan(SMGridStrategy.new_params(SMGridConfig(**{name: None}))[0][name])


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("anchor", ("zone", "atr_band")),
        ("zone_kind", ("both", "base", "order_block")),
        ("weights", ("equal", "linear", "geometric")),
        ("tp", ("zone_exit", "eq")),
        ("trend_mode", ("ema", "structure", "both")),
        ("range_source", ("swings", "leg", "day")),
        *((name, (False, True)) for name in ("recycle", "dual", "deleverage", "time_stop_to_break_even")),
    ],
)
def test_choice_is_accepted(name, choices):
    for choice in choices:
        assert getattr(SMGridConfig(**{name: choice}), name) == choice


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"timeframe": "H4"}, "longer than the hours of the zones"),
        ({"dual": True, "max_baskets": 1}, "dual holds two baskets"),
        ({"weights": "martingale"}, "weights"),
        ({"ratio": 2.0}, "ratio"),
        ({"tp": "moon"}, "tp"),
        ({"level": 5}, "level"),
    ],
)
def test_contradiction_is_refused_with_its_reason(values, says):
    with pytest.raises(ValidationError, match=says):
        SMGridConfig(**values)


def test_defaults_flatten_by_three_o_clock_on_friday():
    assert (SMGridConfig().weekend, SMGridConfig().weekend_lead) == ("flatten", 120)


def test_every_parameter_says_what_it_means():
    rows = parameter_rows(SMGridConfig)

    assert all(len(row["meaning"]) > 10 for row in rows)
    assert {row["parameter"] for row in rows} == set(SMGridConfig.model_fields)


@pytest.mark.parametrize(("tp", "mode", "distance"), [(0.3, 0, 0.3), ("zone_exit", 1, 0.4), ("eq", 2, 0.4)])
def test_record_says_where_a_basket_leaves(tp, mode, distance):
    record = SMGridStrategy.new_params(SMGridConfig(tp=tp))[0]

    assert (record.target_mode, record.tp_atr) == (mode, distance)


def test_only_the_components_of_the_anchor_are_followed():
    zone, band = context_params(SMGridConfig()), context_params(SMGridConfig(anchor="atr_band"))

    assert (zone.uses_bases, zone.uses_blocks) == (True, True)
    assert (band.uses_bases, band.uses_blocks) == (False, False)
    assert context_params(SMGridConfig(zone_kind="base")).uses_blocks is False


def test_warm_up_is_that_of_the_trend_or_of_the_swings():
    assert bars_needed(SMGridConfig()) == 605 * 4
    assert bars_needed(SMGridConfig(regime_er=None)) == 33 * 4


def test_tags_name_the_levels():
    assert {1: "level_1", N_LEVELS: "level_8"}.items() <= TAGS.items()


def test_grid_has_144_variants_and_all_are_valid():
    variants, refused = grid_variants("smgrid", SMGridConfig(), GRID)

    assert EXPERIMENT.n_variants == len(list(EXPERIMENT.variants())) == len(variants) == 144
    assert refused == {}
    assert experiment_of("smgrid") is EXPERIMENT


def test_experiment_screens_on_two_symbols():
    assert len(EXPERIMENT.screen_symbols) == 2
    assert set(EXPERIMENT.screen_symbols) < set(EXPERIMENT.symbols)


def test_search_space_has_nine_dimensions_that_can_be_drawn():
    from tradesentry.backtest.studies.variants import declared_space

    variants, refused = random_variants("smgrid", SMGridConfig(), declared_space(SEARCH), n=20, seed=1)

    assert len(SEARCH) == 9
    assert (len(variants), refused) == (20, {})
    assert EXPERIMENT.search is SEARCH
    assert MAX_TRIALS == EXPERIMENT.max_trials == 200


def test_walk_forward_windows_are_a_year_and_a_quarter_with_the_longest_basket_between():
    assert (FOLDS.train, FOLDS.test, FOLDS.step) == ("12m", "3m", None)
    assert parse_length(FOLDS.embargo).n * 96 >= SMGridConfig(time_stop=288).time_stop
    assert (MIN_TRADES, TOP) == (200, 3)
