"""Parameters: bounds, contradictions, calendar, the kernel's record, the declared experiment, chart and baselines."""

import math
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.unit.apps.smedge.factories import CHOCH, SWEPT, play, resolve, story
from tradesentry.apps.smedge.backtest_runner import EXPERIMENT, GRID, SEARCH
from tradesentry.apps.smedge.baselines import BASELINES, SUITE, exits
from tradesentry.apps.smedge.chart import chart_events
from tradesentry.apps.smedge.config import SMEdgeConfig
from tradesentry.apps.smedge.layout import TAGS, bars_needed
from tradesentry.apps.smedge.strategy import SMEdgeStrategy
from tradesentry.backtest.baselines import compare
from tradesentry.backtest.studies.experiment import experiment_of
from tradesentry.core.strategy.guide import with_table
from tradesentry.core.strategy.parameters import parameter_rows
from tradesentry.core.strategy.strategy_registry import strategy

PAGE = Path(__file__).resolve().parents[4] / "docs" / "strategy_guides" / "smedge.md"
BOUNDS = [
    ("left_bars", 3, 10, 5), ("right_bars", 3, 10, None), ("lookback", 8, 48, 24), ("reclaim", 0, 3, 1),
    ("displacement", 0.0, 1.5, 0.8), ("g_atr", 0.05, 0.5, 0.15), ("discount", 0.38, 0.705, 0.5),
    ("stop_buffer", 0.05, 0.3, 0.1), ("target_min", 1.0, 2.0, 1.5), ("target_cap", 2.0, 6.0, 4.0),
    ("order_life", 8, 64, 24), ("time_exit", 96, 384, 192), ("h4_coverage", 0.5, 1.0, 1.0),
    ("risk", 0.001, 0.01, 0.005),
]  # fmt: skip


@pytest.mark.parametrize(("name", "low", "high", "default"), BOUNDS)
def test_parameter_has_its_default_and_its_bounds(name, low, high, default):
    step = 1 if isinstance(low, int) else 0.001

    assert getattr(SMEdgeConfig(), name) == default
    assert getattr(SMEdgeConfig(**{name: low}), name) == low
    assert getattr(SMEdgeConfig(**{name: high}), name) == high
    for beyond in (low - step, high + step):
        with pytest.raises(ValidationError, match=name):
            SMEdgeConfig(**{name: beyond})


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("trend_mode", ("both", "ema", "structure", "off")),
        ("h4_anchor", ("fx_day", "utc")),
        ("break_mode", ("close", "wick")),
        ("label_mode", ("state", "pattern")),
        ("trigger", ("both", "choch", "bos", "choch_sweep")),
        ("zone", ("fvg_or_ob", "fvg", "ob", "overlap")),
        ("fvg_entry", ("mid", "near")),
        ("ob_entry", ("near", "mid")),
        ("target", ("pool", "1.5R", "2R", "3R")),
        ("no_pool", ("2R", "skip")),
        ("partial", (False, True)),
        ("trail", ("off", "swing")),
        ("use_breakers", (False, True)),
        ("sessions", (("london_day",), ("kill_zone_london", "kill_zone_new_york"))),
    ],
)
def test_choice_is_accepted_and_the_first_is_the_default(name, choices):
    assert getattr(SMEdgeConfig(), name) == choices[0]
    for choice in choices:
        assert getattr(SMEdgeConfig(**{name: choice}), name) == choice


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"timeframe": "H4"}, "too long for structure inside an H4 trend"),
        ({"partial": True, "target_min": 1.0}, "takes half off at 1 R"),
        ({"sessions": []}, "sessions"),
        ({"sessions": ["new_york"]}, "sessions"),
        ({"left_bar": 5}, "left_bar"),
    ],
)
def test_contradiction_is_refused_with_its_reason(values, says):
    with pytest.raises(ValidationError, match=says):
        SMEdgeConfig(**values)


def test_bars_after_a_swing_are_as_many_as_before_it_unless_said():
    assert SMEdgeConfig(left_bars=7).n_right == 7
    assert SMEdgeConfig(left_bars=7, right_bars=3).n_right == 3


def test_record_holds_the_parameters_of_every_component():
    config = SMEdgeConfig(
        left_bars=4, right_bars=6, g_atr=0.3, reclaim=2, use_breakers=True, break_mode="wick", trend_mode="structure",
        target="3R", sessions=("london_day", "kill_zone_new_york"),
    )  # fmt: skip

    record = SMEdgeStrategy.new_params(config)[0]

    within = record.blocks.structure
    assert (within.swings.left_bars, within.swings.right_bars, within.break_mode) == (4, 6, 1)
    assert (record.liquidity.pivots.left_bars, record.liquidity.pivots.right_bars) == (4, 6)
    assert (record.blocks.gaps.g_atr, record.liquidity.reclaim, record.blocks.breakers) == (0.3, 2, True)
    assert (record.regime.trend_mode, record.regime.fast_bars, record.regime.slow_bars) == (1, 20, 50)
    assert (record.target_r, record.sessions) == (3.0, 0b1001)
    assert math.isnan(SMEdgeStrategy.new_params(SMEdgeConfig())[0].target_r)


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ({}, 155 * 16),
        ({"trend_mode": "ema"}, 155 * 16),
        ({"trend_mode": "structure"}, 12 * 16),
        ({"trend_mode": "off"}, 16),
        ({"trend_mode": "off", "left_bars": 10}, 22),
        ({"timeframe": "M5"}, 155 * 48),
    ],
)
def test_warm_up_is_the_longest_of_what_trend_and_structure_need(values, bars):
    assert bars_needed(SMEdgeConfig(**values)) == bars


def test_every_parameter_says_what_it_means():
    rows = parameter_rows(SMEdgeConfig)

    assert all(len(row["meaning"]) > 10 for row in rows)
    assert {row["parameter"] for row in rows} == set(SMEdgeConfig.model_fields)


def test_variants_share_a_calendar():
    assert SMEdgeConfig(trigger="bos", sessions=("kill_zone_asia",)).calendar() == SMEdgeConfig().calendar()
    assert SMEdgeConfig(h4_anchor="utc").calendar() != SMEdgeConfig().calendar()


def test_grid_has_72_variants_and_all_are_valid():
    variants = list(EXPERIMENT.variants())

    assert experiment_of("smedge") is EXPERIMENT
    assert EXPERIMENT.n_variants == len(variants) == 72
    assert len({str(v) for v in variants}) == 72
    for variant in variants:
        SMEdgeConfig(**variant)


def test_search_space_has_eight_dimensions_of_parameters():
    assert len(SEARCH) == 8
    assert set(SEARCH) | set(GRID) <= set(SMEdgeConfig.model_fields)
    for name, (low, high) in SEARCH.items():
        SMEdgeConfig(**{name: low})
        SMEdgeConfig(**{name: high})


def test_app_is_found_by_its_name():
    assert strategy("smedge") is SMEdgeStrategy
    assert sorted(TAGS) == list(range(1, 13))
    assert TAGS[1] == "choch_ob"
    assert TAGS[12] == "bos_breaker"


def test_parameter_table_of_the_guide_is_the_one_of_the_model():
    page = PAGE.read_text(encoding="utf-8")

    command = "python -m tradesentry.core.strategy.guide smedge docs/strategy_guides/smedge.md"
    assert with_table(page, SMEdgeConfig) == page, f"run: {command}"


STORY = (*SWEPT, CHOCH, (12, 16, 6, 15), (15, 20, 0, 3), (3, 24, 2, 22))


def test_chart_shows_what_the_strategy_saw():
    run = resolve(story(*STORY))

    events = chart_events(
        run.config, run.data.series[0].bars, calendar=run.markets[0].calendar, tick=float(run.markets[0].tick)
    )

    seen = set(events["event"].cast(str).to_list())
    assert {"CHOCH", "BOS", "OB_NEW", "FVG_NEW", "SWEEP"} <= seen
    assert events["known_at_ns"].is_sorted()


def test_baselines_keep_side_stop_and_target():
    trades = play(story(*STORY), zone="ob", target="2R").trade_rows
    own = exits(SMEdgeConfig(target="2R", time_exit=100), trades, None)

    assert BASELINES == ("random_side",)
    assert own.target.tolist() == [2.0]
    assert own.limit_bars.tolist() == [100]
    assert exits(SMEdgeConfig(), trades, None).target.tolist() == pytest.approx([2.0])
    rows = {row.name: row for row in compare(resolve(story(*STORY), target="2R"))}
    assert {"flat", "hold", "short", "random_entry", "placebo", "random_side"} == set(rows)
    assert rows["random_side"].n_trades == 1
    assert SUITE.exits is exits
    assert np.isfinite(rows["placebo"].mean_r)
