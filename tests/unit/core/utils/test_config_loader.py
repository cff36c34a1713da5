"""Configuration: precedence, origins, refusals that say what to write, and YAML without its surprises."""

import json
import math
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.utils.config_loader import load_config, parse_override
from tradesentry.core.utils.config_source import dump_value, parse_value, read_source


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Exits(Model):
    trail: Literal["off", "atr", "chandelier"] = "off"
    distance: Annotated[float, Field(json_schema_extra={"unit": "pips"})] = Field(
        20.0, gt=0, json_schema_extra={"unit": "pips"}, description="Distance of the trailing stop."
    )


class Cross(Model):
    fast_bars: int = Field(10, ge=2, le=500, description="Span of the fast average, bars.")
    slow_bars: int = Field(30, ge=3, le=2_000)
    exits: Exits = Exits(trail="atr", distance=15.0)
    symbols: tuple[str, ...] = ("EURUSD",)
    window: str | None = None
    max_notional: float = math.inf
    legs: tuple[Exits, ...] = ()
    rates: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fast_is_faster(self) -> "Cross":
        if self.fast_bars >= self.slow_bars:
            raise ValueError(f"fast_bars {self.fast_bars} must be below slow_bars {self.slow_bars}")
        return self


@pytest.fixture
def write(tmp_path: Path):
    def write_file(text: str, name: str = "cross.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def refusal(model: type[BaseModel], **arguments) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(model, **arguments)
    return str(caught.value)


def test_default_then_file_then_set_is_the_one_precedence(write):
    path = write("fast_bars: 5\nslow_bars: 50\n")

    resolved = load_config(Cross, path=path, overrides=["slow_bars=60"])

    assert (resolved.value.fast_bars, resolved.value.slow_bars) == (5, 60)
    assert resolved.origins["fast_bars"] == f"{path}:1"
    assert resolved.origins["slow_bars"] == "--set"
    assert resolved.origins["symbols"] == "default"


def test_values_of_a_caller_lie_over_the_file_and_are_called_given(write):
    path = write("fast_bars: 5\n")

    resolved = load_config(Cross, path=path, file_values={"fast_bars": 6, "exits": {"trail": "off"}})

    assert resolved.value.fast_bars == 6
    assert resolved.origins["fast_bars"] == resolved.origins["exits.trail"] == "given"


def test_setting_one_key_of_a_nested_default_keeps_its_other_keys(write):
    path = write("exits:\n  trail: chandelier\n")

    resolved = load_config(Cross, path=path)

    assert resolved.value.exits == Exits(trail="chandelier", distance=15.0)
    assert resolved.origins["exits.trail"] == f"{path}:2"
    assert resolved.origins["exits.distance"] == "default"


def test_dotted_override_reaches_a_nested_model_and_leaves_the_file_beside_it(write):
    path = write("exits: {trail: chandelier, distance: 3}\n")

    resolved = load_config(Cross, path=path, overrides=["exits.distance=4.5"])

    assert resolved.value.exits == Exits(trail="chandelier", distance=4.5)
    assert resolved.explain()[2:4] == [("exits.trail", "chandelier", f"{path}:1"), ("exits.distance", 4.5, "--set")]


@pytest.mark.parametrize("text", ["symbols=EURUSD,GBPUSD", "symbols=[EURUSD, GBPUSD]", 'symbols=["EURUSD","GBPUSD"]'])
def test_a_list_is_set_with_commas_or_brackets(text):
    resolved = load_config(Cross, overrides=[text])

    assert resolved.value.symbols == ("EURUSD", "GBPUSD")


def test_commas_stay_text_where_the_field_is_text():
    resolved = load_config(Cross, overrides=["window=08:00,12:30"])

    assert resolved.value.window == "08:00,12:30"


def test_unknown_key_suggests_the_nearest_with_file_and_line(write):
    path = write("slow_bars: 40\nfast_bar: 5\n")

    message = refusal(Cross, path=path)

    assert message == f"{path}:2: 'fast_bar' is not a setting. Did you mean 'fast_bars'?"


def test_unknown_nested_key_suggests_a_key_of_the_nested_model():
    message = refusal(Cross, overrides=["exits.distanse=3"])

    assert message == "--set: 'exits.distanse' is not a setting. Did you mean 'distance'?"


def test_dotted_key_in_a_file_is_told_to_nest(write):
    message = refusal(Cross, path=write("exits.distance: 3\n"))

    assert "Write 'distance' on a line of its own, indented under `exits:`." in message


def test_value_out_of_bounds_names_place_key_value_bound_default_and_meaning(write):
    path = write("\nfast_bars: 1\n")

    message = refusal(Cross, path=path)

    assert message == (
        f"{path}:2: fast_bars = 1 was refused: it should be greater than or equal to 2. "
        "Leave 'fast_bars' out for the default 10. Meaning: Span of the fast average, bars."
    )


def test_unit_of_a_nested_value_is_named():
    message = refusal(Cross, overrides=["exits.distance=-1"])

    assert message.startswith("--set: exits.distance = -1 was refused: it should be greater than 0.")
    assert "Unit: pips. Meaning: Distance of the trailing stop." in message


def test_all_wrong_keys_are_reported_at_once(write):
    path = write("fast_bars: 1\nexits:\n  trail: atrr\nlegs:\n  - trail: atr\n  - distance: -2\n")

    lines = refusal(Cross, path=path).splitlines()

    assert [line.split(": ")[0] for line in lines] == [f"{path}:1", f"{path}:3", f"{path}:6"]
    assert "'off', 'atr' or 'chandelier'" in lines[1]
    assert "legs.1.distance = -2.0" in lines[2] or "legs.1.distance = -2 " in lines[2]


def test_contradiction_between_two_values_is_told_in_the_words_of_the_model():
    message = refusal(Cross, overrides=["fast_bars=40"])

    assert "fast_bars 40 must be below slow_bars 30" in message


def test_missing_required_value_says_how_to_give_it():
    class Needs(Model):
        account: str

    message = refusal(Needs)

    assert message == "'account' is required and was not given. Add it to the file or use --set account=VALUE."


def test_choice_between_models_is_named_by_its_keys_not_by_its_class():
    class Either(Model):
        rule: Exits | int = 0

    message = refusal(Either, overrides=["rule.trial=atr"])

    assert "'rule.trial' is not a setting. Did you mean 'trail'?" in message


def test_section_of_a_shared_file_is_read_and_the_rest_ignored(write):
    path = write("other:\n  nonsense: 1\napps:\n  cross:\n    fast_bars: 7\n")

    resolved = load_config(Cross, path=path, section="apps.cross")

    assert resolved.value.fast_bars == 7
    assert resolved.origins["fast_bars"] == f"{path}:5"


def test_absent_section_sets_nothing_but_a_misspelled_one_is_refused(write):
    path = write("cros:\n  fast_bars: 7\n")

    assert load_config(Cross, path=path, section="breakout").value == Cross()
    assert "no section 'cross' but one named 'cros'" in refusal(Cross, path=path, section="cross")


def test_section_that_holds_a_single_value_is_refused(write):
    path = write("cross: 5\n")

    assert "section 'cross' holds 5" in refusal(Cross, path=path, section="cross")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("off", "off"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("010", "010"),
        ("2024-03-10", "2024-03-10"),
        ("1e-4", 1e-4),
        ("1_000", 1000),
        ("-.5", -0.5),
        (".inf", math.inf),
        ("5.", 5.0),
        ("true", True),
        ("null", None),
        ("", None),
        ("0", 0),
        ("+3", 3),
        ("1.2.3", "1.2.3"),
        ("'3'", "3"),
        ("[1, a]", [1, "a"]),
        ("{NO: 1, 2024: 2}", {"NO": 1, "2024": 2}),
    ],
)
def test_scalars_mean_what_they_look_like(text, expected):
    value = parse_value(text)

    assert value == expected
    assert type(value) is type(expected)


def test_key_set_twice_is_refused_with_both_lines(write):
    message = refusal(Cross, path=write("fast_bars: 5\nslow_bars: 60\nfast_bars: 6\n"))

    assert ":3: 'fast_bars' is set twice (first on line 1). Keep one." in message


def test_python_objects_in_yaml_are_refused(write):
    message = refusal(Cross, path=write("fast_bars: !!python/object/apply:os.getcwd []\n"))

    assert "could not determine a constructor" in message


def test_document_that_unfolds_without_end_is_refused(write):
    layers = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))

    assert "unfolds to over" in refusal(Cross, path=write("a0: &a0 [x]\n" + layers))
    assert "cannot be read" in refusal(Cross, path=write("a: &a {b: *a}\n"))


def test_merge_key_brings_values_with_the_line_they_stand_on(write):
    path = write("base: &base\n  fast_bars: 4\n  slow_bars: 44\ncross:\n  <<: *base\n  slow_bars: 55\n")

    resolved = load_config(Cross, path=path, section="cross")

    assert (resolved.value.fast_bars, resolved.value.slow_bars) == (4, 55)
    assert resolved.origins["fast_bars"] == f"{path}:2"
    assert resolved.origins["slow_bars"] == f"{path}:6"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yaml", "fast_bars: [1\n", "not valid YAML"),
        ("a.yaml", "- 1\n- 2\n", "holds a list"),
        ("a.json", '{"fast_bars": }', "a.json:1: this is not valid JSON"),
        ("a.json", '{"max_notional": NaN}', "NaN is not a JSON number"),
        ("a.json", '{"fast_bars": 5,\n"fast_bars": 6}', "a.json:2: 'fast_bars' is set twice"),
        ("a.toml", "fast_bars = 5", "neither YAML nor JSON"),
        ("a.yaml", "? [a, b]\n: 1\n", "a key is a list or a mapping"),
    ],
)
def test_unreadable_file_is_refused_with_its_name(write, name, text, words):
    assert words in refusal(Cross, path=write(text, name))


def test_absent_file_and_file_that_is_not_text_are_refused(tmp_path):
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe\x00")

    assert "does not exist" in refusal(Cross, path=tmp_path / "absent.yaml")
    assert "Save it as UTF-8" in refusal(Cross, path=binary)


def test_json_with_tabs_gives_values_and_lines(write):
    path = write('{\n\t"exits": {\n\t\t"distance": 7\n\t}\n}', "cross.json")

    resolved = load_config(Cross, path=path)

    assert resolved.value.exits.distance == 7
    assert resolved.origins["exits.distance"] == f"{path}:3"


def test_empty_file_means_all_defaults(write):
    assert load_config(Cross, path=write("# nothing\n")).value == Cross()


@pytest.mark.parametrize("text", ["fast_bars", "=3", "a..b=3", " =3"])
def test_override_without_key_or_value_says_how_to_write_it(text):
    with pytest.raises(ConfigError, match="Write --set key=value"):
        parse_override(text)


def test_override_keeps_later_equal_signs_in_the_value():
    assert parse_override("note=a=b") == ("note", "a=b")


def test_dump_states_every_value_with_its_origin(write):
    path = write("fast_bars: 5\n")

    text = load_config(Cross, path=path, overrides=["exits.trail=off", "window=08:00"]).dump_yaml()

    assert f"fast_bars: 5  # {path}:1\nslow_bars: 30  # default\nexits:\n  trail: off  # --set\n" in text.replace(
        "'", ""
    )


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.text("0123456789eE+-._:"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@example(value=["1e-4", "12:30", "true", "null", "010", "=", "<<", "a\nb", "# no comment", ": "])
@given(value=plain)
def test_dumped_value_reads_back_the_same(value):
    """Fails when the dumper does not quote what the reader would take: the text 1e-4 then comes back as a number."""
    again = parse_value(dump_value(value))

    assert again == value
    assert json.dumps(again) == json.dumps(value)


@given(
    config=st.builds(
        Cross,
        fast_bars=st.integers(2, 9),
        slow_bars=st.integers(10, 2_000),
        exits=st.builds(Exits, trail=st.sampled_from(["off", "atr"]), distance=st.floats(1e-9, 1e9)),
        symbols=st.lists(st.text(), max_size=3).map(tuple),
        window=st.none() | st.text(),
        max_notional=st.floats(0, math.inf),
        legs=st.lists(st.builds(Exits, distance=st.floats(0.1, 9)), max_size=2).map(tuple),
        rates=st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False), max_size=2),
    )
)
def test_dumped_configuration_loads_to_the_same_configuration(config, tmp_path_factory):
    path = tmp_path_factory.mktemp("dump") / "config.yaml"
    path.write_text(load_config(Cross, file_values=config.model_dump()).dump_yaml(), encoding="utf-8")

    assert load_config(Cross, path=path).value == config
    assert set(read_source(path).values) == set(Cross.model_fields)
