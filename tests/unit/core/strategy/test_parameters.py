"""What help and docs tables say about parameters is what the model enforces."""

from typing import Literal

from pydantic import Field

from tradesentry.core.strategy.base_strategy import Fraction, StrategyConfig
from tradesentry.core.strategy.config import ParamsModel, Pips
from tradesentry.core.strategy.parameters import parameter_rows


class Averages(ParamsModel):
    fast_bars: int = Field(10, ge=2, le=500, description="Span.", json_schema_extra={"unit": "bars"})


class Shown(ParamsModel):
    stop: Pips = Field(20.0, gt=0, description="Stop.")
    share: Fraction = Field(0.5, ge=0, lt=1, description="Share.")
    cap: float | None = Field(None, le=3, description="Cap.")
    mode: Literal["a", "b"] = Field("a", description="Mode.")
    modes: tuple[Literal["x", "y"], ...] = Field(("x", "y"), description="Modes.")
    is_on: bool = Field(False, description="Switch.")
    names: list[str] = Field(default_factory=lambda: ["one"], description="Names.")
    averages: Averages = Averages()
    quiet: Pips | None = Field(None, gt=0, description="Quiet.")


def row_of(model, name):
    return next(row for row in parameter_rows(model) if row["parameter"] == name)


def test_bounds_are_shown_as_an_interval_open_where_the_bound_is_excluded():
    assert row_of(Shown, "share")["range"] == "[0, 1)"
    assert row_of(Shown, "cap")["range"] == "[-inf, 3]"
    assert row_of(Shown, "averages.fast_bars")["range"] == "[2, 500]"


def test_choices_stand_where_there_are_no_bounds():
    assert row_of(Shown, "mode")["range"] == "a, b"
    assert row_of(Shown, "modes")["range"] == "x, y"
    assert row_of(Shown, "is_on")["range"] == ""


def test_defaults_are_written_as_people_say_them():
    shown = {row["parameter"]: row["default"] for row in parameter_rows(Shown)}

    assert shown == {
        "stop": "20.0",
        "share": "0.5",
        "cap": "off",
        "mode": "a",
        "modes": "x, y",
        "is_on": "off",
        "names": "one",
        "averages.fast_bars": "10",
        "quiet": "off",
    }


def test_units_come_from_the_field_or_from_its_type():
    assert row_of(Shown, "averages.fast_bars")["unit"] == "bars"
    assert row_of(Shown, "mode")["unit"] == ""
    assert row_of(StrategyConfig, "max_spread")["unit"] == "pips"


def test_a_unit_that_comes_with_the_type_survives_a_described_field():
    assert row_of(Shown, "share")["unit"] == "fraction"
    assert row_of(Shown, "quiet")["unit"] == "pips"
    assert row_of(Shown, "stop") == {
        "parameter": "stop",
        "default": "20.0",
        "range": "(0, inf]",
        "unit": "pips",
        "meaning": "Stop.",
    }
