"""What a caller of `run` and `stream` meets: names, columns, refusals."""

from typing import Any

import polars as pl
import pytest

from tests.unit.core.strategy.indicators.series import calendar_of, make_bars, random_bars
from tradesentry.core.domain.errors import CapacityError, ConfigError, DataError, StateMismatch, UsageError
from tradesentry.core.strategy.indicators import run, stream
from tradesentry.core.strategy.indicators.events import EVENT
from tradesentry.core.strategy.indicators.rigs import N_RUN_EVENTS, RIGS
from tradesentry.core.strategy.indicators.volatility import AtrParams

BARS = random_bars(60)


def test_an_unknown_component_names_the_nearest_one():
    with pytest.raises(UsageError, match="Did you mean 'sessions'"):
        run("session", {}, BARS)


def test_an_unknown_parameter_names_the_nearest_one():
    with pytest.raises(ConfigError, match="'n_bar' is unknown. Did you mean 'n_bars'"):
        run("atr", {"n_bar": 5}, BARS)


def test_an_unknown_parameter_of_a_part_names_the_nearest_one():
    with pytest.raises(ConfigError, match=r"'adx.n_bar' is unknown. Did you mean 'adx.n_bars'"):
        run("regime", {"adx": {"n_bar": 5}}, BARS)


def test_a_parameter_out_of_bounds_is_refused_with_its_value():
    with pytest.raises(ConfigError, match="'n_bars' is 0"):
        run("atr", {"n_bars": 0}, BARS)


def test_parameters_of_another_component_are_refused():
    with pytest.raises(ConfigError, match="AtrParams, not BandsParams"):
        run("bands", AtrParams(), BARS)


@pytest.mark.parametrize(
    ("component", "params"),
    [
        ("sessions", {}), ("opening_range", {}), ("resample", {"period": "h4"}), ("atr", {"weekend_tr": "hl"}),
        ("regime", {"resample": {"period": "h4"}}), ("opening_range", {"w_lo": 0.1, "windows": ((0, 10),)}),
    ],
)  # fmt: skip
def test_a_component_that_needs_a_calendar_says_so(component: str, params: dict[str, Any]):
    with pytest.raises(UsageError, match="build_calendar"):
        run(component, params, BARS)


def test_a_bar_outside_the_calendar_is_refused():
    with pytest.raises(DataError, match="outside the FX days of the calendar"):
        run(
            "resample",
            {"period": "fx_day"},
            make_bars([(1.1, 1.1, 1.1, 1.1)], start="2030-01-08T08:00"),
            calendar=calendar_of(),
        )


def test_bars_may_be_a_frame_without_volume_and_spread():
    frame = pl.DataFrame({name: BARS[name] for name in ("open_ns", "close_ns", "open", "high", "low", "close")})

    assert run("atr", {}, frame).equals(run("atr", {}, BARS))


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="lack the column close_ns"):
        run("atr", {}, pl.DataFrame({name: BARS[name] for name in ("open_ns", "open", "high", "low", "close")}))


def test_a_series_is_asked_only_of_components_that_have_one():
    with pytest.raises(UsageError, match="has no series"):
        run("resample", {}, BARS, output="series")


@pytest.mark.parametrize(("options", "text"), [({"tick": -1.0}, "tick is -1"), ({"capacity": 0}, "capacity is 0")])
def test_impossible_options_are_refused(options: dict[str, Any], text: str):
    with pytest.raises(UsageError, match=text):
        run("atr", {}, BARS, **options)


def test_windows_that_overlap_are_refused():
    with pytest.raises(DataError, match="Window 1"):
        run("sessions", {"windows": ((0, 10), (5, 15))}, BARS)


def test_an_event_has_the_columns_of_the_record():
    assert run("resample", {}, BARS).columns == list(EVENT.names or ())


@pytest.mark.parametrize("component", [name for name, rig in RIGS.items() if rig.columns])
def test_a_series_has_the_columns_of_its_component(component: str):
    columns = ["index", "open_ns", "known_at_ns", *(RIGS[component].columns or {})]

    assert run(component, {}, BARS).columns == columns


def test_no_bars_give_no_rows():
    assert run("atr", {}, BARS[:0]).height == 0


def test_a_stream_takes_mappings_and_returns_rows():
    running = stream("resample", {"minutes": 15})
    bar = {name: BARS[name][0].item() for name in BARS.dtype.names}

    rows = running.push(bar)

    assert [row["event"] for row in rows] == ["BUCKET"]
    assert running.push(BARS[1]) != []


def test_a_snapshot_of_another_component_is_refused():
    with pytest.raises(StateMismatch, match="Saved state cannot be restored"):
        stream("atr").restore(stream("bands").save())


def test_a_capacity_error_names_component_and_bar():
    running = stream("atr")

    with pytest.raises(CapacityError, match=f"'atr' stopped at bar -1 .* more than {N_RUN_EVENTS} events"):
        running._refuse(14, BARS[0])
