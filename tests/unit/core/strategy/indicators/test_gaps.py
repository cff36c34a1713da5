"""Hand-checked fair value gaps, their slow second version, and the gaps of smartmoneyconcepts.

Unless said otherwise a case begins with three bars whose gap is derived once here: the high of bar 0 is 11, the low of
bar 2 is 13, the middle bar closes above its open. So bar 2 makes an up gap from 11 to 13: near 13, middle 12, far 11.

Planted once, each seen to fail here: life from the bar of creation on, a touch that needs more than equality, INVERT on
equality, the ATR of the third bar instead of the second, an age that counts refused bars, a gap of the youngest dropped
instead of the oldest, and a fill fraction that is not a running maximum.
"""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.strategy.indicators import zone_oracles
from tests.unit.core.strategy.indicators.series import TICK, make_bars, random_bars, real_bars
from tradesentry.core.strategy.indicators import run
from tradesentry.core.strategy.indicators.gaps import GapsParams

GAP = [(10, 11, 9, 10), (10, 14, 10, 14), (14, 16, 13, 15)]
AWAY = (15, 16, 14, 15)
NEW = ("FVG_NEW", 1, 1, 2, 13, 0)


def say(rows: list[tuple[float, float, float, float]], bars: Any = None, capacity: int = 64, **params: Any) -> Any:
    """Return (event, direction, id, known_index, price, value) of every event."""
    frame = run("gaps", params, make_bars(GAP + rows) if bars is None else bars, capacity=capacity)
    columns = ("event", "direction", "id", "known_index", "price", "value")
    return frame.select(columns).fill_nan(None).rows()


def test_a_gap_is_known_at_the_third_bar_and_sits_on_the_middle_one():
    bars = make_bars(GAP)

    row = run("gaps", {}, bars).to_dicts()[0]

    assert (row["component"], row["event"], row["direction"], row["id"], row["parent_id"]) == (
        "gaps", "FVG_NEW", 1, 1, -1,
    )  # fmt: skip
    assert (row["origin_index"], row["origin_ns"]) == (1, bars.open_ns[1])
    assert (row["known_index"], row["known_at_ns"]) == (2, bars.close_ns[2])
    assert (row["price_low"], row["price_high"], row["price"], row["value"]) == (11, 13, 13, 0)
    assert np.isnan(row["other_price"])


def test_a_down_gap_has_its_near_edge_at_the_high_of_the_third_bar():
    # Low of bar 0 is 9, high of bar 2 is 7: the gap runs from 7 to 9 and price comes back to it from below.
    said = say([], make_bars([(10, 11, 9, 10), (10, 10, 6, 6), (6, 7, 5, 6), (6, 7, 5, 6)]))

    assert said == [("FVG_NEW", -1, 1, 2, 7, 0), ("FVG_TOUCH", -1, 1, 3, 7, 0)]


def test_equal_prices_leave_no_gap():
    assert say([], make_bars([(10, 13, 9, 10), *GAP[1:]])) == []


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        ((15, 16, 13.5, 15), []),
        # Low 13 equals near: a touch is not strict; nothing of the gap is filled yet.
        ((15, 16, 13, 15), [("FVG_TOUCH", 13, 0)]),
        # Low 12.5 fills (13 - 12.5) / 2 = a quarter.
        ((15, 16, 12.5, 15), [("FVG_TOUCH", 13, 0.25)]),
        # Low 12 equals the middle.
        ((15, 16, 12, 15), [("FVG_TOUCH", 13, 0.5), ("FVG_MID", 12, 0.5)]),
        # Low 11 equals far and so does the close: filled, but a close equal to far inverts nothing.
        ((15, 16, 11, 11), [("FVG_TOUCH", 13, 1), ("FVG_MID", 12, 1), ("FVG_FILL", 11, 1)]),
        ((15, 16, 10, 10.5), [("FVG_TOUCH", 13, 1), ("FVG_MID", 12, 1), ("FVG_FILL", 11, 1), ("FVG_INVERT", 11, 1)]),
    ],
)  # fmt: skip
def test_what_one_bar_does_to_a_gap(bar: Any, expected: list[tuple[str, float, float]]):
    assert say([bar]) == [NEW, *((event, 1, 1, 3, price, value) for event, price, value in expected)]


def test_each_step_is_told_once_and_the_fill_fraction_is_a_running_maximum():
    # Lows 12.5, 11.5, 12.75: a quarter, three quarters, still three quarters; then the age of three bars is over.
    rows = [(15, 16, 12.5, 15), (15, 16, 11.5, 15), (15, 16, 12.75, 15), AWAY]

    assert say(rows, max_age=3) == [
        NEW, ("FVG_TOUCH", 1, 1, 3, 13, 0.25), ("FVG_MID", 1, 1, 4, 12, 0.75), ("FVG_EXPIRED", 1, 1, 6, None, 0.75),
    ]  # fmt: skip


def test_a_gap_that_was_closed_through_is_gone():
    assert say([(13, 13, 10, 10), (10, 15, 9, 15)], body_filter=True)[-1] == ("FVG_INVERT", 1, 1, 3, 11, 1)


@pytest.mark.parametrize(("close", "expected"), [(13, []), (13.5, [("FVG_DEAD", -1, 1, 4, 13, 1)])])
def test_an_inversion_lives_until_a_close_strictly_beyond_near(close: float, expected: Any):
    said = say([(13, 13, 10, 10), (10, 14, 10, close)], inversions=True)

    assert said == [
        NEW, ("FVG_TOUCH", 1, 1, 3, 13, 1), ("FVG_MID", 1, 1, 3, 12, 1), ("FVG_FILL", 1, 1, 3, 11, 1),
        ("FVG_INVERT", 1, 1, 3, 11, 1), *expected,
    ]  # fmt: skip


def test_an_inversion_expires_with_the_age_of_its_gap_and_as_a_zone_of_the_other_direction():
    said = say([(13, 13, 10, 10), (10, 13, 9, 10), (10, 13, 9, 10)], inversions=True, max_age=2)

    assert said[-1] == ("FVG_EXPIRED", -1, 1, 5, None, 1)


def test_a_gap_may_grow_as_old_as_its_greatest_age_and_not_a_bar_older():
    touch = (15, 16, 13, 15)

    assert say([AWAY, touch], max_age=2)[1:] == [("FVG_TOUCH", 1, 1, 4, 13, 0)]
    assert say([AWAY, AWAY, touch], max_age=2)[1:] == [("FVG_EXPIRED", 1, 1, 5, None, 0)]
    assert say([AWAY] * 600 + [touch], max_age=0)[-1] == ("FVG_TOUCH", 1, 1, 603, 13, 0)


def test_a_refused_bar_does_not_age_a_gap():
    bars = make_bars([*GAP, AWAY, AWAY, (15, 16, 13, 15)])
    bars.close[4] = np.nan

    assert say([], bars, max_age=2) == [NEW, ("BAD_BAR", 0, -1, 4, None, None), ("FVG_TOUCH", 1, 1, 5, 13, 0)]


def test_the_middle_body_must_point_the_way_of_the_gap():
    doji = make_bars([GAP[0], (12, 14, 10, 12), GAP[2]])

    assert say([], doji) == []
    assert say([], doji, body_filter=False) == [NEW]


@pytest.mark.parametrize(("g_atr", "n_gaps"), [(0.5, 1), (0.51, 0), (0.6, 0)])
def test_the_least_height_is_counted_in_the_atr_before_the_third_bar(g_atr: float, n_gaps: int):
    # True range of bar 1: 14 - 10 = 4, so a height of 2 is half of it. Bar 2 has 16 - 13 = 3: 0.6 of that would pass.
    assert len(say([], g_atr=g_atr, atr={"n_bars": 1})) == n_gaps


def test_no_gap_is_measured_while_there_is_no_atr():
    assert say([], g_atr=0.1, atr={"n_bars": 2}) == []


@pytest.mark.parametrize(("g_ticks", "n_gaps"), [(3, 1), (4, 0)])
def test_the_least_height_is_counted_in_whole_ticks(g_ticks: int, n_gaps: int):
    # 1.10006 - 1.10003 is three ticks of 0.00001, and 2.9999999999e-05 in floats.
    bars = make_bars([
        (1.1, 1.10003, 1.09999, 1.1), (1.1, 1.10007, 1.1, 1.10007), (1.10007, 1.10009, 1.10006, 1.10008)
    ])  # fmt: skip

    assert run("gaps", {"g_ticks": g_ticks}, bars, tick=1e-5).height == n_gaps


@pytest.mark.parametrize("row", [1, 2])
def test_a_hole_in_the_data_makes_no_gap_unless_asked_for(row: int):
    bars = make_bars(GAP)
    bars.open_ns[row:] += 15 * 60_000_000_000
    bars.close_ns[row:] += 15 * 60_000_000_000

    assert say([], bars) == []
    assert say([], bars, contiguous_only=False) == [NEW]


def test_a_strict_shape_overlaps_both_neighbors_and_touching_is_overlap():
    # Bar 1 from 11 to 13 shares 11 with bar 0 and 13 with bar 2; from 12 it shares nothing with bar 0.
    touching = make_bars([GAP[0], (11, 13, 11, 13), GAP[2]])
    apart = make_bars([GAP[0], (12, 14, 12, 14), GAP[2]])

    assert say([], touching, fvg_shape="strict_overlap") == [NEW]
    assert say([], apart, fvg_shape="strict_overlap") == []
    assert say([], apart) == [NEW]


def test_a_gap_right_after_another_takes_it_in():
    # Bar 3: low 14.5 > high 14 of bar 1, and bar 2 closed up: second gap, 14 to 14.5. Together: 11 to 14.5.
    said = run("gaps", {"join_consecutive": True}, make_bars([*GAP, (15, 17, 14.5, 16)]))

    assert said.select("event", "id", "known_index", "price_low", "price_high").rows() == [
        ("FVG_NEW", 1, 2, 11, 13), ("FVG_MERGED", 1, 3, 11, 13), ("FVG_NEW", 2, 3, 11, 14.5),
    ]  # fmt: skip
    assert [event for event, *_ in say([(15, 17, 14.5, 16)])] == ["FVG_NEW", "FVG_NEW"]


def test_a_full_side_drops_its_oldest_gap_and_leaves_the_other_side_alone():
    # The down gap: bar 3 falls to 10 (touching the first one), bar 4's high 12 lies below bar 2's low 13.
    down = [(15, 15, 11.5, 12), (12, 12, 11.5, 11.75)]
    # The next up gap: bar 6's low 16 lies above bar 4's high 12.
    up = [(12, 17, 11.5, 17), (17, 18, 16, 17)]

    dropped = [row for row in say([*down, *up], capacity=1) if row[0] in {"FVG_NEW", "FVG_DROPPED"}]

    assert dropped == [
        NEW, ("FVG_NEW", -1, 2, 4, 12, 0), ("FVG_DROPPED", 1, 1, 6, None, 0.75), ("FVG_NEW", 1, 3, 6, 16, 0),
    ]  # fmt: skip


def test_the_gap_that_is_dropped_is_the_oldest_of_those_that_live():
    # Bars 3, 4 and 5 leave gaps from 14 to 14.5, 16 to 16.5 and 17 to 17.5: the fourth finds a side of three full.
    rows = [(15, 17, 14.5, 16), (17, 19, 16.5, 18), (18, 21, 17.5, 20)]

    assert say(rows, capacity=3)[3:] == [("FVG_DROPPED", 1, 1, 5, None, 0), ("FVG_NEW", 1, 4, 5, 17.5, 0)]


def test_on_one_bar_the_older_gap_speaks_first():
    rows = [(15, 17, 14.5, 16), (16, 16, 12, 15)]

    # Bar 4 reaches 12: all of the younger gap (14 to 14.5), half of the older one (11 to 13).
    assert [row[:3] for row in say(rows)[2:]] == [
        ("FVG_TOUCH", 1, 1), ("FVG_MID", 1, 1), ("FVG_TOUCH", 1, 2), ("FVG_MID", 1, 2), ("FVG_FILL", 1, 2),
    ]  # fmt: skip


SHAPES = st.fixed_dictionaries({
    "join_consecutive": st.booleans(), "inversions": st.booleans(), "contiguous_only": st.booleans(),
    "body_filter": st.booleans(), "max_age": st.sampled_from([0, 1, 10, 50]), "g_atr": st.sampled_from([0.0, 0.3]),
    "g_ticks": st.sampled_from([0, 2]), "fvg_shape": st.sampled_from(["plain", "strict_overlap"]),
})  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), step=st.integers(1, 5), capacity=st.sampled_from([1, 3, 64]), shape=SHAPES)
def test_gaps_equal_a_look_up_of_their_definitions(seed: int, step: int, capacity: int, shape: dict[str, Any]):
    bars = random_bars(200, seed, step=step, missing=0.05)
    params = GapsParams(atr={"n_bars": 5}, **shape)

    frame = run("gaps", params, bars, tick=TICK, capacity=capacity)

    assert zone_oracles.same_rows(frame, zone_oracles.gaps(bars, params, tick=TICK, capacity=capacity))


@pytest.mark.parametrize(
    "planted", [{"max_age": 11}, {"contiguous_only": False}, {"g_ticks": 2}, {"inversions": True}, {"g_atr": 0.01}]
)
def test_the_look_up_notices_another_definition(planted: dict[str, Any]):
    bars, params = random_bars(400, 1), GapsParams(max_age=10)

    frame = run("gaps", params, bars, tick=TICK)

    assert not zone_oracles.same_rows(frame, zone_oracles.gaps(bars, params.model_copy(update=planted), tick=TICK))


def _package_gaps(bars: Any) -> list[tuple[int, int, float, float, int]]:
    """Return (row, direction, bottom, top, first touch) of every gap of smartmoneyconcepts."""
    pandas = pytest.importorskip("pandas")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setenv("SMC_CREDIT", "0")
        smc = pytest.importorskip("smartmoneyconcepts").smc
        frame = pandas.DataFrame({name: np.array(bars[name]) for name in ("open", "high", "low", "close", "volume")})
        table = smc.fvg(frame)
    return [
        (i, int(row.FVG), row.Bottom, row.Top, int(row.MitigatedIndex))
        for i, row in enumerate(table.itertuples())
        if np.isfinite(row.FVG)
    ]


def test_gaps_are_those_of_smartmoneyconcepts_known_one_bar_later():
    series = [random_bars(3_000, 11), random_bars(2_000, 12, step=9), real_bars(n=10_000)]
    params = {"contiguous_only": False, "max_age": 0}

    for bars in [bars for bars in series if bars is not None]:
        frame = run("gaps", params, bars, capacity=2_000)

        rows = frame.to_dicts()
        touches = {row["id"]: row["known_index"] for row in rows if row["event"] == "FVG_TOUCH"}
        found = [
            (row["origin_index"], row["direction"], row["price_low"], row["price_high"], touches.get(row["id"], 0))
            for row in rows
            if row["event"] == "FVG_NEW"
        ]
        assert len(found) > 100
        assert found == _package_gaps(bars)
        assert all(row["known_index"] == row["origin_index"] + 1 for row in rows if row["event"] == "FVG_NEW")


def test_the_comparison_with_smartmoneyconcepts_notices_a_filter():
    bars = random_bars(3_000, 11)

    n = run("gaps", {"contiguous_only": False, "max_age": 0, "g_ticks": 2}, bars, tick=TICK, capacity=2_000)["id"].max()

    assert n != len(_package_gaps(bars))
