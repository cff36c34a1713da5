"""A variant has one name for good; what may be varied is checked and said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesentry.apps.breakout.config import BreakoutConfig
from tradesentry.backtest.studies.experiment import experiment_of, fit_of
from tradesentry.backtest.studies.variants import (
    Span,
    declared_space,
    grid_variants,
    make_variant,
    parse_grid,
    parse_space,
    random_variants,
    variant_key,
)
from tradesentry.core.domain.errors import ConfigError, UsageError

BASE = BreakoutConfig()


def test_the_name_of_a_variant_never_changes():
    """A new field of the model changes the names of its variants: that is a new study, and this line says so."""
    plain = {"risk": 0.005, "target": 2.0}
    first = variant_key("breakout", BASE)

    assert len(first) == 16
    assert first == variant_key("breakout", BreakoutConfig(**plain))
    assert first != variant_key("other", BASE)


def test_the_markets_are_not_part_of_the_name_and_everything_else_is():
    assert variant_key("breakout", BreakoutConfig(symbols=("GBPUSD",))) == variant_key("breakout", BASE)
    for field, value in (("timeframe", "M5"), ("risk", 0.004), ("target", None), ("or_minutes", 15), ("news", True)):
        assert variant_key("breakout", BASE.model_copy(update={field: value})) != variant_key("breakout", BASE), field


def test_a_grid_is_a_product_in_its_order_each_variant_once():
    variants, refused = grid_variants("breakout", BASE, {"or_minutes": (15, 30), "target": (1, 1.0, 2.0)})

    assert [(v.config.or_minutes, v.config.target) for v in variants] == [(15, 1.0), (15, 2.0), (30, 1.0), (30, 2.0)]
    assert refused == {}
    assert variants[0].label == "or_minutes=15, target=1"


def test_combinations_that_contradict_themselves_are_left_out_with_the_reason():
    variants, refused = grid_variants("breakout", BASE, {"be": (False, True), "target": (1.0, 2.0)})

    assert len(variants) == 3
    assert "be takes half off at 1 R" in next(iter(refused.values()))


def test_a_grid_without_a_possible_variant_is_refused():
    with pytest.raises(ConfigError, match="No variant of the grid is possible"):
        grid_variants("breakout", BASE, {"risk": (0.5,)})


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (["or_minuts=15"], ConfigError, "'or_minuts' is not a setting. Did you mean 'or_minutes'"),
        (["or_minutes"], UsageError, "Write --grid key=a,b,c"),
        (["symbols=EURUSD"], ConfigError, "Use --symbols"),
    ],
)
def test_a_wrong_axis_says_what_is_right(texts, error, message):
    with pytest.raises(error) as caught:
        parse_grid(texts, BreakoutConfig)

    assert message in str(caught.value)


def test_texts_become_values_of_their_field():
    grid = parse_grid(["target=1,2.5,off", "modes=orb,london+bb", "direction=none,htf"], BreakoutConfig)

    assert grid == {
        "target": (1, 2.5, None),
        "modes": (("orb",), ("london", "bb")),
        "direction": ("none", "htf"),
    }


def test_a_search_takes_ranges_choices_and_the_bounds_of_a_field():
    space = parse_space(["buf_atr=0..0.2", "target=1,2", "entry_window", "stop", "be"], BreakoutConfig)

    assert space == {
        "buf_atr": Span(0, 0.2),
        "target": (1, 2),
        "entry_window": Span(60, 240),
        "stop": ("opposite", "mid", "atr", "day_atr"),
        "be": (False, True),
    }
    with pytest.raises(UsageError, match="max_spread has no bounds of its own"):
        parse_space(["max_spread"], BreakoutConfig)


def test_two_declared_numbers_are_a_range_and_everything_else_a_choice():
    space = declared_space(experiment_of("breakout").search)

    assert space["entry_window"] == Span(60, 240)
    assert space["or_minutes"] == (15, 30, 60)
    assert len(grid_variants("breakout", BASE, experiment_of("breakout").grid)[0]) == 486
    assert fit_of("breakout") is None


@given(st.integers(0, 2**20), st.integers(1, 12))
def test_a_longer_draw_begins_with_the_shorter_one(seed, n):
    space = {"buf_atr": Span(0.0, 0.25), "or_minutes": (15, 30, 60), "entry_window": Span(60, 240)}

    shorter, _ = random_variants("breakout", BASE, space, n=n, seed=seed)
    longer, _ = random_variants("breakout", BASE, space, n=n + 3, seed=seed)

    assert [v.key for v in shorter] == [v.key for v in longer][:n]
    assert len({v.key for v in longer}) == n + 3
    assert all(0 <= v.config.buf_atr <= 0.25 and 60 <= v.config.entry_window <= 240 for v in longer)


def test_a_small_space_gives_what_it_holds():
    assert len(random_variants("breakout", BASE, {"be": (False, True)}, n=10, seed=1)[0]) == 2


def test_a_variant_that_is_refused_says_which_value():
    with pytest.raises(ConfigError, match="The variant risk=0.5 was refused"):
        make_variant("breakout", BASE, {"risk": 0.5})
