"""Pivots and swings: hand-checked cases, the slow version, and the final swings of smartmoneyconcepts."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.strategy.indicators import structure_oracles as oracles
from tests.unit.core.strategy.indicators.series import make_bars, random_bars, real_bars
from tests.unit.core.strategy.indicators.structure_oracles import plain
from tradesentry.core.strategy.indicators import run, stream
from tradesentry.core.strategy.indicators.swings import SwingsParams

ONE = {"left_bars": 1, "right_bars": 1}
COLUMNS = ("event", "direction", "id", "origin_index", "known_index", "price", "other_price", "other_index")


def path(*prices: float) -> Any:
    """Return bars whose high lies 1 above and whose low 1 below each price, open and close at it."""
    return make_bars([(price, price + 1.0, price - 1.0, price) for price in prices])


def say(component: str, bars: Any, **params: Any) -> list[tuple[Any, ...]]:
    """Return (event, direction, origin_index, known_index, price) of every row."""
    frame = run(component, params, bars)
    return plain(frame.select("event", "direction", "origin_index", "known_index", "price"))


def test_a_pivot_is_known_when_the_bars_to_its_right_have_closed():
    # Highs 11, 12, 15, 13, 12: with two bars a side the middle is the highest, known two bars later at bar 4. Lows are
    # two below the highs; the lowest, 9, has no two bars to its left.
    said = say("pivots", path(10, 11, 14, 12, 11), left_bars=2, right_bars=2)

    assert said == [("PIVOT", 1, 2, 4, 15.0)]


def test_a_pivot_needs_all_bars_of_its_window():
    assert say("pivots", path(14, 11, 10, 10.5), left_bars=2, right_bars=2) == []
    assert say("pivots", path(10, 11, 14, 12), left_bars=2, right_bars=2) == []


def test_equal_highs_are_pivots_all_of_them():
    # Highs 11, 15, 15, 12 with one bar a side: bar 1 equals its right neighbor, bar 2 its left one. Lows are 9, 13, 13,
    # 10: bars 1 and 2 are above a neighbor each.
    said = say("pivots", path(10, 14, 14, 11), **ONE)

    assert said == [("PIVOT", 1, 1, 2, 15.0), ("PIVOT", 1, 2, 3, 15.0)]


def test_a_bar_can_be_a_pivot_high_and_a_pivot_low():
    bars = make_bars([(10, 11, 9, 10), (10, 14, 6, 10), (10, 12, 8, 10)])

    assert say("pivots", bars, **ONE) == [("PIVOT", 1, 1, 2, 14.0), ("PIVOT", -1, 1, 2, 6.0)]


def test_a_higher_high_replaces_a_swing_and_an_equal_one_does_not():
    # One bar a side. Bars 1, 3 and 5 are pivot highs: 15 is new, 16 replaces it, the second 16 is ignored. Lows fall
    # from bar to bar, so none but the last, whose right side is missing, could be a pivot low.
    highs, lows = (11.0, 15.0, 13.0, 16.0, 14.0, 16.0, 12.0), (9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0)
    bars = make_bars([(10.0, high, low, 10.0) for high, low in zip(highs, lows, strict=True)])

    frame = run("swings", ONE, bars)

    assert plain(frame.select(COLUMNS)) == [
        ("SWING_NEW", 1, 1, 1, 2, 15.0, None, -1),
        ("SWING_REPLACE", 1, 1, 3, 4, 16.0, 15.0, 1),
    ]


def both_bars(*, first_low: bool) -> Any:
    """Return bars of which bar 1 is a pivot of one side only and bar 3 of both; no other is a pivot."""
    # Highs of 14 and 16 stand out on bars 1 and 3; lows fall to 4 on bar 3 and rise after it. Mirrored at 10 where the
    # first pivot is to be a low.
    highs, lows = (11.0, 14.0, 13.0, 16.0, 12.0), (9.0, 8.5, 8.0, 4.0, 7.0)
    if first_low:
        highs, lows = tuple(20.0 - low for low in lows), tuple(20.0 - high for high in highs)
    return make_bars([(10.0, high, low, 10.0) for high, low in zip(highs, lows, strict=True)])


@pytest.mark.parametrize("first_low", [False, True])
def test_a_bar_that_is_both_comes_first_as_the_opposite_of_the_last_swing(first_low: bool):
    said = say("swings", both_bars(first_low=first_low), **ONE)

    sign = -1 if first_low else 1
    assert [row[:4] for row in said] == [
        ("SWING_NEW", sign, 1, 2),
        ("SWING_NEW", -sign, 3, 4),
        ("SWING_NEW", sign, 3, 4),
    ]


def test_a_bar_that_is_both_is_a_high_only_where_asked():
    said = say("swings", both_bars(first_low=False), dual="high_only", **ONE)

    # The pivot low of bar 3 does not exist, so its high, 16, replaces 14.
    assert said == [("SWING_NEW", 1, 1, 2, 14.0), ("SWING_REPLACE", 1, 3, 4, 16.0)]


def test_a_first_bar_that_is_both_is_a_high_first():
    bars = make_bars([(10, 11, 9, 10), (10, 14, 6, 10), (10, 12, 8, 10)])

    assert [row[:2] for row in say("swings", bars, **ONE)] == [("SWING_NEW", 1), ("SWING_NEW", -1)]


def test_pivots_before_the_first_one_asked_for_make_no_swings():
    assert say("swings", path(10, 14, 11, 15, 10), first_pivot=2, **ONE)[0] == ("SWING_NEW", -1, 2, 3, 10.0)


def test_swings_stay_over_a_gap_of_data():
    bars = path(10, 14, 12, 11, 10, 16, 12)
    bars.open_ns[4:] += 5 * 86_400_000_000_000
    bars.close_ns[4:] += 5 * 86_400_000_000_000

    said = say("swings", bars, **ONE)

    # The pivot window counts bars received: bar 4 is the low between the highs of bars 1 and 5.
    assert [row[:3] for row in said if row[0] != "GAP_RESET"] == [
        ("SWING_NEW", 1, 1), ("SWING_NEW", -1, 4), ("SWING_NEW", 1, 5),
    ]  # fmt: skip


def test_a_refused_bar_is_no_part_of_a_window():
    bars = path(10, 14, 99, 12, 11)
    bars.low[2] = 120.0

    # Bar 2 contradicts itself; bars 0, 1, 3 are the window, and indices stay rows of the series.
    assert say("pivots", bars, **ONE)[1] == ("PIVOT", 1, 1, 3, 15.0)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000), left=st.integers(1, 6), right=st.integers(1, 6), step=st.integers(1, 3),
    dual=st.sampled_from(["opposite_first", "high_only"]), first=st.integers(0, 20),
)  # fmt: skip
def test_pivots_and_swings_equal_their_second_version(
    seed: int, left: int, right: int, step: int, dual: str, first: int
):
    """Fails when `>=` in `swings.pivot_update` is made `>`, or `<= 0.0` in `swings._take` `< 0.0` (both tried)."""
    bars = random_bars(90, seed, step=step)
    sides = {"left_bars": left, "right_bars": right}

    found = run("pivots", sides, bars)
    swings = run("swings", {**sides, "dual": dual, "first_pivot": first}, bars)

    assert plain(found.select("known_index", "direction", "origin_index", "price")) == oracles.pivots(bars, left, right)
    lists = oracles.swing_lists(bars, left, right, dual=dual, first_pivot=first)
    assert plain(swings.select(COLUMNS)) == plain(oracles.swing_events(lists))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), left=st.integers(1, 50), right=st.integers(1, 50))
def test_windows_of_any_length_fit_the_ring(seed: int, left: int, right: int):
    bars = random_bars(400, seed, step=2)

    found = run("pivots", {"left_bars": left, "right_bars": right}, bars)

    assert plain(found.select("known_index", "direction", "origin_index", "price")) == oracles.pivots(bars, left, right)


def test_nothing_is_beyond_a_pivot_until_it_is_known():
    """The consequence that makes a break before confirmation impossible."""
    bars = random_bars(600, 1)

    for row in run("pivots", {"left_bars": 3, "right_bars": 4}, bars).to_dicts():
        between = slice(row["origin_index"] + 1, row["known_index"] + 1)
        if row["direction"] > 0:
            assert bars.high[between].max() <= row["price"]
        else:
            assert bars.low[between].min() >= row["price"]


def parity(length: int) -> SwingsParams:
    """Return the parameters that reproduce `swing_highs_lows(length)`."""
    return SwingsParams(left_bars=length - 1, right_bars=length, dual="high_only", first_pivot=2 * length - 1)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the functions of smartmoneyconcepts, without its greeting."""
    monkeypatch.setenv("SMC_CREDIT", "0")
    return pytest.importorskip("smartmoneyconcepts").smc


def package_swings(package: Any, bars: Any, length: int) -> list[oracles.Swing]:
    """Return what the package lists at the end, without its two artificial points."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({name: np.array(bars[name], float) for name in ("open", "high", "low", "close")})
    table["volume"] = 1.0
    found = package.swing_highs_lows(table, length)
    rows = [
        (int(side), int(i), float(level))
        for i, (side, level) in enumerate(zip(found["HighLow"], found["Level"], strict=True))
        if side == side  # noqa: PLR0124 - NaN is no swing
    ]
    return rows[1:-1]


def final(rows: pl.DataFrame) -> list[oracles.Swing]:
    """Return the swings that are left when all events are taken."""
    left = {row["id"]: (row["direction"], row["origin_index"], row["price"]) for row in rows.to_dicts()}
    return [left[number] for number in sorted(left)]


def _series() -> list[Any]:
    real = [real_bars(name, 3_000) for name in ("mt5_london/EURUSD_M15", "ejtrader/USDJPY_H1")]
    return [random_bars(2_000, 11), random_bars(2_000, 12, step=1), *(bars for bars in real if bars is not None)]


@pytest.mark.parametrize("length", [2, 5, 20, 50])
def test_final_swings_equal_those_of_smartmoneyconcepts(length: int, package: Any):
    """Fails when ties replace a swing, when left and right are swapped, or without `first_pivot` (all tried)."""
    for bars in _series():
        ours = run("swings", parity(length), bars, tick=0.0)

        expected = package_swings(package, bars, length)
        assert len(expected) > 3
        assert final(ours) == expected
        assert (ours["known_index"] - ours["origin_index"] == length).all()


def test_final_swings_of_a_prefix_equal_those_of_the_package_on_that_prefix(package: Any):
    bars, length = random_bars(300, 13), 5
    running = stream("swings", parity(length))
    ours: list[Any] = []

    for t, bar in enumerate(bars):
        ours += running.push(bar)

        if t > 60 and t % 40 == 0:
            assert final(pl.DataFrame(ours)) == package_swings(package, bars[: t + 1], length)
