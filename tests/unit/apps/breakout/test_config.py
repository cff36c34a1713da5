"""Parameters: bounds, contradictions, calendar, the kernel's record, the declared experiment."""

import math

import pytest
from pydantic import ValidationError

from tradesentry.apps.breakout.backtest_runner import EXPERIMENT, GRID, SEARCH
from tradesentry.apps.breakout.config import BreakoutConfig
from tradesentry.apps.breakout.layout import SLOTS, TAGS, active_slots, bars_needed
from tradesentry.apps.breakout.strategy import BreakoutStrategy
from tradesentry.core.strategy.parameters import parameter_rows

BOUNDS = [
    ("entry_window", 60, 240, 150), ("buf_atr", 0, 0.25, 0.05), ("w_lo", 0.05, 0.25, 0.10), ("w_hi", 0.4, 1.2, 0.60),
    ("rvol_min", 0.8, 2.0, None), ("stop_atr", 1.0, 2.5, 1.5), ("target", 1, 10, 2.0), ("time_exit", 60, 480, None),
    ("retest_bars", 3, 12, 6), ("tol_atr", 0, 0.2, 0.05), ("bb_n", 10, 50, 20), ("bb_k", 1.5, 3.0, 2.0),
    ("squeeze_q", 0.05, 0.4, 0.2), ("squeeze_m", 60, 250, 120), ("max_trades", 1, 3, 1), ("top_k", 1, 10, 3),
    ("risk", 0.001, 0.01, 0.005), ("bb_time", 4, 96, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "low", "high", "default"), BOUNDS)
def test_parameter_has_its_default_and_its_bounds(name, low, high, default):
    step = 1 if isinstance(low, int) and isinstance(high, int) else 0.001

    assert getattr(BreakoutConfig(), name) == default
    assert getattr(BreakoutConfig(**{name: low}), name) == low
    assert getattr(BreakoutConfig(**{name: high}), name) == high
    for beyond in (low - step, high + step):
        with pytest.raises(ValidationError, match=name):
            BreakoutConfig(**{name: beyond})


@pytest.mark.parametrize(
    "name", ["w_lo", "w_hi", "rvol_min", "target", "time_exit", "bb_time", "spread_frac", "max_spread"]
)
def test_parameter_can_be_off(name):
    assert getattr(BreakoutConfig(**{name: None}), name) is None


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("or_minutes", (15, 30, 60)),
        ("range_window", ("london_00_07", "london_00_08", "tokyo_09_15", "london_07_08")),
        ("entry_mode", ("stop", "close", "retest")),
        ("direction", ("none", "or_candle", "htf")),
        ("stop", ("opposite", "mid", "atr", "day_atr")),
        ("bb_exit", ("mid_band", "atr_trail")),
        ("ambiguous", ("loss", "skip")),
        ("be", (False, True)),
        ("modes", (("orb",), ("london",), ("bb",), ("orb", "london", "bb"))),
        ("sessions", (("london",), ("new_york",), ("tokyo",), ("london", "new_york"))),
    ],
)
def test_choice_is_accepted(name, choices):
    for choice in choices:
        assert getattr(BreakoutConfig(**{name: choice}), name) == choice


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"timeframe": "M15", "or_minutes": 5}, "no multiple of a M15 bar"),
        ({"timeframe": "H4", "modes": ["bb"]}, "too long to see a range break"),
        ({"be": True, "target": 1.0}, "takes half off at 1 R"),
        ({"width_unit": "percentile", "w_hi": 1.1}, "is a rank"),
        ({"sessions": ["custom"]}, "Set custom_session"),
        ({"sessions": ["custom"], "custom_session": "nine to five"}, "nine to five"),
        ({"sessions": []}, "sessions"),
        ({"modes": ["orb", "scalp"]}, "modes"),
        ({"or_minute": 30}, "or_minute"),
    ],
)
def test_contradiction_is_refused_with_its_reason(values, says):
    with pytest.raises(ValidationError, match=says):
        BreakoutConfig(**values)


def test_five_minute_range_needs_five_minute_bars():
    assert BreakoutConfig(timeframe="M5", or_minutes=5).or_minutes == 5


def test_every_parameter_says_what_it_means():
    rows = parameter_rows(BreakoutConfig)

    assert all(len(row["meaning"]) > 10 for row in rows)
    assert {row["parameter"] for row in rows} == set(BreakoutConfig.model_fields)


def test_slots_follow_modes_and_sessions():
    config = BreakoutConfig(modes=("orb", "bb"), sessions=("tokyo", "london"))

    assert [SLOTS[k] for k in active_slots(config)] == [("orb", "london"), ("orb", "tokyo"), ("bb", "london")]
    assert TAGS[1] == "orb_london"
    assert TAGS[6] == "bb"


def test_variants_with_the_same_windows_share_a_calendar():
    first = BreakoutConfig(or_minutes=15, modes=("bb",), direction="htf")

    assert first.calendar() == BreakoutConfig().calendar()
    assert BreakoutConfig(range_window="tokyo_09_15").calendar() != BreakoutConfig().calendar()


def test_record_holds_the_ranges_of_every_slot():
    config = BreakoutConfig(or_minutes=60, entry_mode="stop", rvol_min=1.0, timeframe="M15", time_exit=120)

    record = BreakoutStrategy.new_params(config)[0]

    assert [float(r.or_minutes) for r in record.ranges[:5]] == [60, 60, 60, 60, 420]
    assert [math.isnan(r.rvol_min) for r in record.ranges[:5]] == [False] * 4 + [True]
    assert (record.entry_mode, record.ranges[0].entry_mode) == (0, 0)
    assert (record.n_active, record.active[:2].tolist(), record.hold_bars) == (2, [0, 1], 8)


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ({"w_lo": None, "w_hi": None}, 96),
        ({}, 16 * 96),
        ({"w_lo": None, "w_hi": None, "stop": "day_atr"}, 16 * 96),
        ({"w_lo": None, "w_hi": None, "rvol_min": 1.0}, 15 * 96),
        ({"w_lo": None, "w_hi": None, "contraction": "nr7"}, 8 * 96),
        ({"direction": "htf"}, 605 * 4),
        ({"direction": "htf", "htf": "h4"}, 155 * 16),
        ({"w_lo": None, "w_hi": None, "modes": ["bb"], "squeeze_m": 250, "bb_n": 50}, 300),
    ],
)
def test_warm_up_is_the_longest_of_what_the_filters_need(values, bars):
    assert bars_needed(BreakoutConfig(**values)) == bars


def test_grid_has_486_variants_and_all_are_valid():
    variants = list(EXPERIMENT.variants())

    assert EXPERIMENT.n_variants == len(variants) == 486
    assert len({str(v) for v in variants}) == 486
    for variant in variants:
        BreakoutConfig(**variant)


def test_experiment_screens_on_two_symbols_and_names_its_baselines():
    assert len(EXPERIMENT.screen_symbols) == 2
    assert set(EXPERIMENT.screen_symbols) < set(EXPERIMENT.symbols)
    assert EXPERIMENT.baselines == ("random_side", "random_time", "session_start")
    assert EXPERIMENT.max_trials == 200


def test_search_space_has_nine_dimensions_of_parameters():
    assert len(SEARCH) == 9
    assert set(SEARCH) | set(GRID) <= set(BreakoutConfig.model_fields)
