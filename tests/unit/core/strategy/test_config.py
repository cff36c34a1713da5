"""One model, many uses: what a user sets is what the kernel reads."""

import math
from typing import Annotated, Literal, get_args, get_origin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from tradesentry.core.strategy.base_strategy import StrategyConfig
from tradesentry.core.strategy.config import ParamsModel, Pips, fill_record, params_dtype, params_record
from tradesentry.core.strategy.parameters import parameter_rows
from tradesentry.core.strategy.strategy_registry import strategy, strategy_names

Mode = Literal["orb", "london", "bb"]
APPS = strategy_names()


class Inner(ParamsModel):
    length: int = Field(14, ge=2, description="Bars.")
    factor: float = Field(1.5, gt=0, description="Multiple.")


class Everything(ParamsModel):
    count: int = 3
    is_on: bool = True
    distance: Pips = 20.0
    cap: float | None = None
    limit: int | None = 7
    mode: Mode = "london"
    modes: tuple[Mode, ...] = ("bb", "orb")
    inner: Inner = Inner()
    label: str = "not for kernels"
    names: tuple[str, ...] = ("EURUSD",)
    window: str | None = None


def test_every_kind_of_field_has_its_record_format():
    dtype = params_dtype(Everything)

    assert {name: dtype[name].str for name in dtype.names if name != "inner"} == {
        "count": "<i8",
        "is_on": "|b1",
        "distance": "<f8",
        "cap": "<f8",
        "limit": "<f8",
        "mode": "<i8",
        "modes": "<i8",
    }
    assert dtype["inner"].names == ("length", "factor")
    assert dtype.isalignedstruct
    assert dtype["inner"].isalignedstruct


def test_every_kind_of_field_carries_its_value():
    record = params_record(Everything())[0]

    assert (record.count, record.is_on, record.distance, record.limit) == (3, True, 20.0, 7.0)
    assert math.isnan(record.cap)
    assert record.mode == 1
    assert record.modes == 0b101
    assert (record.inner.length, record.inner.factor) == (14, 1.5)


@given(
    mode=st.sampled_from(get_args(Mode)),
    modes=st.lists(st.sampled_from(get_args(Mode)), max_size=6),
    cap=st.none() | st.floats(allow_nan=False),
    length=st.integers(2, 2**60),
)
def test_values_can_be_read_back_from_the_record(mode, modes, cap, length):
    model = Everything(mode=mode, modes=tuple(modes), cap=cap, inner=Inner(length=length))

    record = params_record(model)[0]

    assert get_args(Mode)[record.mode] == mode
    assert {choice for i, choice in enumerate(get_args(Mode)) if record.modes >> i & 1} == set(modes)
    assert math.isnan(record.cap) if cap is None else record.cap == cap
    assert record.inner.length == length


def test_computed_fields_follow_the_configured_ones_and_are_left_alone():
    dtype = params_dtype(Inner, [("weights", "f8", (3,))])
    record = np.zeros(1, dtype).view(np.recarray)[0]
    record.weights[:] = 9.0

    fill_record(Inner(length=5), record)

    assert dtype.names == ("length", "factor", "weights")
    assert (record.length, list(record.weights)) == (5, [9.0, 9.0, 9.0])


def test_a_model_that_kernels_need_nothing_of_still_has_a_record():
    class Names(ParamsModel):
        label: str = ""

    assert params_record(Names()).dtype.names == ("unused",)


def test_unknown_keys_and_changes_are_refused():
    with pytest.raises(ValidationError, match="extra"):
        Inner(lenght=3)
    with pytest.raises(ValidationError, match="frozen"):
        Inner().length = 4


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("risk", 0.001, 0.01),
        ("news_pre", 5, 120),
        ("news_post", 5, 120),
        ("news_impact", 1, 3),
        ("weekend_lead", 0, 480),
        ("weekend_no_entry", 0, 1_440),
    ],
)
def test_shared_settings_accept_their_bounds_and_nothing_beyond(field, low, high):
    step = 1 if isinstance(low, int) else 1e-9

    for value in (low, high):
        assert getattr(StrategyConfig(**{field: value}), field) == value
    for value in (low - step, high + step):
        with pytest.raises(ValidationError):
            StrategyConfig(**{field: value})


@pytest.mark.parametrize(
    "values", [{"symbols": ()}, {"timeframe": "M7"}, {"max_spread": 0.0}, {"target_volatility": 2.1}, {"weekend": "go"}]
)
def test_shared_settings_refuse_what_makes_no_sense(values):
    with pytest.raises(ValidationError):
        StrategyConfig(**values)


def test_news_settings_are_none_while_news_are_ignored():
    assert StrategyConfig().news_settings() is None

    settings = StrategyConfig(news=True, news_pre=45, news_impact=2).news_settings()

    assert (settings.pre_minutes, settings.post_minutes, settings.min_impact) == (45, 30, 2)


def _leaves(annotation):
    """Return the plain types inside an annotation."""
    inner = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    if get_origin(annotation) is Literal or not inner:
        return {annotation}
    if get_origin(annotation) is Annotated:
        return _leaves(inner[0])
    return set().union(*(_leaves(argument) for argument in inner))


def _numbers(model):
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is not Literal and _leaves(field.annotation) & {int, float}:
            yield name


@pytest.mark.parametrize("name", APPS)
def test_every_parameter_of_an_app_says_what_it_means(name):
    assert [row["parameter"] for row in parameter_rows(strategy(name).Config) if len(row["meaning"]) < 10] == []


@pytest.mark.parametrize("name", APPS)
def test_every_number_of_an_app_has_bounds(name):
    model = strategy(name).Config
    bounds = {row["parameter"]: row["range"] for row in parameter_rows(model)}

    assert [number for number in _numbers(model) if not bounds[number]] == []


@pytest.mark.parametrize("name", APPS)
def test_every_number_of_an_app_has_a_unit_or_is_a_named_ratio_or_count(name):
    model = strategy(name).Config
    ratio = ("multiple", " / ", "ratio", "volatility", "impact", "deviation", "width", "atr", "growth", "adx")
    count = ("entries", "symbols", "levels", "touches", "returns to", "half of the size")
    rows = {row["parameter"]: row for row in parameter_rows(model)}

    unclear = [
        number
        for number in _numbers(model)
        if not rows[number]["unit"] and not any(word in rows[number]["meaning"].lower() for word in ratio + count)
    ]

    assert unclear == []


@pytest.mark.parametrize("name", APPS)
def test_the_schema_of_an_app_describes_every_field_and_refuses_others(name):
    schema = strategy(name).Config.model_json_schema()

    assert schema["additionalProperties"] is False
    assert [key for key, field in schema["properties"].items() if not field.get("description")] == []
    low, high = (0.0025, 0.015) if name == "smgrid" else (0.001, 0.01)  # a grid risks it with all its levels
    assert (
        schema["properties"]["risk"] | {"maximum": high, "minimum": low, "unit": "fraction"}
        == (schema["properties"]["risk"])
    )


@pytest.mark.parametrize("name", APPS)
def test_the_record_of_an_app_holds_every_field_under_its_own_name(name):
    """A field that is a number or a word is split, as smgrid's `tp` is into `target_mode` and `tp_atr`."""
    chosen = strategy(name)

    record = chosen.new_params(chosen.Config())[0]

    names = record.dtype.names
    missing = [
        number
        for number in _numbers(chosen.Config)
        if number not in names and not any(part.startswith(f"{number}_") for part in names)
    ]
    assert missing == []
    assert record.risk == chosen.Config().risk
    assert record.timeframe == 2
