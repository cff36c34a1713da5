"""Hand-checked order blocks, and their slow second version over the breaks of structure.

Pivots need one bar on each side. Unless said otherwise a case begins with seven bars whose block is derived once here.
Bar 1 has the high 14 with 12 and 13 beside it: a swing high, known at bar 2. Lows after it: 9 (bar 2), 8 (bar 3), 7
(bar 4), 8 (bar 5). Bar 6 closes at 15, above 14: a break upward of the swing on bar 1. The candle is bar 4, whose low 7
is the lowest of bars 2..5: block from 7 to 11, near 11, middle 9, far 7; known at bar 6.

The last body downward before the break is bar 5 (11 to 10), from 8 to 12.

Planted once, each seen to fail here: the first candle on ties instead of the last, the breaking bar among the
candidates, the swing's own bar left out of the bodies, a second block on a live candle, a breaker dead on the bar of
its break, a block that waits for a gap two bars, and a replaced swing whose earlier candles are kept.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.strategy.indicators import zone_oracles
from tests.unit.core.strategy.indicators.series import TICK, make_bars, random_bars
from tradesentry.core.strategy.indicators import run
from tradesentry.core.strategy.indicators.order_blocks import OrderBlocksParams

BREAK = [
    (11, 12, 10, 11), (11, 14, 10, 12), (12, 13, 9, 10), (10, 12, 8, 11), (9, 11, 7, 10), (11, 12, 8, 10),
    (10, 16, 10, 15),
]  # fmt: skip
SWINGS = {"left_bars": 1, "right_bars": 1}
AWAY = (15, 16, 14, 15)
NEW = ("OB_NEW", 1, 1, 6, 11)


def say(rows: list[tuple[float, float, float, float]], capacity: int = 64, **params: Any) -> list[tuple[Any, ...]]:
    """Return (event, direction, id, known_index, price) of every event."""
    structure = {"swings": SWINGS, "atr": {"n_bars": 2}, **params.pop("structure", {})}
    frame = run("order_blocks", {"structure": structure, **params}, make_bars(rows), capacity=capacity)
    return frame.select("event", "direction", "id", "known_index", "price").fill_nan(None).rows()


def candle_of(rows: list[tuple[float, float, float, float]], **params: Any) -> list[tuple[Any, ...]]:
    """Return (candle, price_low, price_high) of every new block."""
    structure = {"swings": SWINGS, "atr": {"n_bars": 2}}
    frame = run("order_blocks", {"structure": structure, **params}, make_bars(rows)).filter(event="OB_NEW")
    return frame.select("origin_index", "price_low", "price_high").rows()


def test_a_block_is_known_at_the_break_and_sits_on_its_candle():
    bars = make_bars(BREAK)

    row = run("order_blocks", {"structure": {"swings": SWINGS}}, bars).to_dicts()[0]

    assert (row["component"], row["event"], row["direction"], row["id"]) == ("order_blocks", "OB_NEW", 1, 1)
    assert (row["origin_index"], row["origin_ns"], row["known_index"]) == (4, bars.open_ns[4], 6)
    assert (row["price_low"], row["price_high"], row["price"]) == (7, 11, 11)
    # The first break made it, and it broke the swing on bar 1.
    assert (row["parent_id"], row["other_index"]) == (1, 1)


def test_a_block_of_a_break_downward_is_the_highest_candle():
    # Every price p becomes 24 - p: the swing low 10 on bar 1 breaks at bar 6, the candle spans 13 to 17.
    down = [(24 - o, 24 - low, 24 - h, 24 - c) for o, h, low, c in BREAK]

    assert say(down) == [("OB_NEW", -1, 1, 6, 13)]
    assert candle_of(down) == [(4, 13, 17)]


def test_among_equal_lows_the_last_candle_is_the_block():
    tie = [*BREAK[:5], (11, 12, 7, 10), BREAK[6]]

    assert candle_of(tie) == [(5, 7, 12)]


def test_the_bar_that_breaks_is_no_candidate():
    assert candle_of([*BREAK[:6], (10, 16, 6, 15)]) == [(4, 7, 11)]


def test_the_last_opposite_body_may_be_the_swing_itself_and_without_one_the_extreme_counts():
    # With bars 2, 3, 4, 5 closing up, the only body downward from bar 1 on is that of bar 1 itself.
    ups = [BREAK[0], (12, 14, 10, 11), (10, 13, 9, 12), (10, 12, 8, 11), (9, 11, 7, 10), (10, 12, 8, 11), BREAK[6]]
    none = [ups[0], (11, 14, 10, 12), *ups[2:]]

    assert candle_of(BREAK, select="last_opposite") == [(5, 8, 12)]
    assert candle_of(ups, select="last_opposite") == [(1, 10, 14)]
    assert candle_of(none, select="last_opposite") == [(4, 7, 11)]


def test_a_block_may_be_the_body_of_its_candle():
    assert candle_of(BREAK, zone="body") == [(4, 9, 10)]


def test_a_volatile_candle_is_no_block_where_asked():
    # True ranges: bar 5: 12 - 8 = 4, bar 6: 16 - 10 = 6. ATR(2): bars 1, 2 give 4, 4 -> 4; bar 3: 4; bar 4: 4 (11 - 7),
    # bar 5: 4, bar 6: 4 + (6 - 4) / 2 = 5. The candle's range is 4: 0.8 of that, and equality passes.
    assert say(BREAK, max_range_atr=0.8) == [NEW]
    assert say(BREAK, max_range_atr=0.79) == []


def test_a_break_without_displacement_makes_no_block_where_asked():
    # Body of bar 6 is 5, ATR before it is 4: 1.25 of that, and equality passes.
    assert say(BREAK, disp_atr=1.25) == [NEW]
    assert say(BREAK, disp_atr=1.26) == []


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        ((15, 16, 11.5, 15), []),
        ((15, 16, 11, 15), [("OB_TOUCH", 11)]),  # equality touches
        ((15, 16, 9, 15), [("OB_TOUCH", 11), ("OB_MID", 9)]),
        ((15, 16, 6, 7), [("OB_TOUCH", 11), ("OB_MID", 9)]),  # a close equal to far breaks nothing
        ((15, 16, 6, 6.5), [("OB_TOUCH", 11), ("OB_MID", 9), ("OB_BREAK", 7)]),
    ],
)
def test_what_one_bar_does_to_a_block(bar: Any, expected: list[tuple[str, float]]):
    said = [row for row in say([*BREAK, bar]) if row[2] == 1]

    assert said == [NEW, *((event, 1, 1, 7, price) for event, price in expected)]


@pytest.mark.parametrize(("low", "is_broken"), [(7, False), (6.5, True)])
def test_a_wick_breaks_a_block_where_asked(low: float, is_broken: bool):
    said = say([*BREAK, (15, 16, low, 15)], zone_break="wick")

    assert (("OB_BREAK", 1, 1, 7, 7) in said) == is_broken


@pytest.mark.parametrize(("close", "expected"), [(11, []), (11.5, [("OB_DEAD", -1, 1, 8, 11)])])
def test_a_breaker_lives_until_a_later_close_strictly_beyond_near(close: float, expected: Any):
    said = [row for row in say([*BREAK, (15, 15, 6, 6.5), (6.5, 12, 6, close)], breakers=True) if row[2] == 1]

    assert said[-1 - len(expected) :] == [("OB_BREAK", 1, 1, 7, 7), *expected]


def test_the_bar_that_breaks_a_block_does_not_end_its_breaker():
    # By wick: bar 7 reaches below 7 and above 11 at once; the breaker ends on bar 8, whose high is above 11 again.
    rows = [*BREAK, (15, 16, 6, 15), (15, 16, 14, 15)]

    said = [row[0::3] for row in say(rows, breakers=True, zone_break="wick") if row[2] == 1]

    assert said[-2:] == [("OB_BREAK", 7), ("OB_DEAD", 8)]


def test_a_block_expires_when_it_is_older_than_its_greatest_age():
    touch = (15, 16, 11, 15)

    assert say([*BREAK, AWAY, touch], max_age=2)[1:] == [("OB_TOUCH", 1, 1, 8, 11)]
    assert say([*BREAK, AWAY, AWAY, touch], max_age=2)[1:] == [("OB_EXPIRED", 1, 1, 9, None)]


SECOND = [(15, 18, 14, 16), (16, 17, 12, 13), (13, 15, 12.5, 14), (14, 20, 14, 19)]
"""Bars 7 to 10: swing high 18 on bar 7, its low 12 on bar 8, a break at bar 10. The block: 12 to 17."""


def test_a_full_side_drops_its_oldest_block():
    assert say([*BREAK, *SECOND], capacity=1) == [
        NEW, ("OB_DROPPED", 1, 1, 10, None), ("OB_NEW", 1, 2, 10, 17),
    ]  # fmt: skip


def test_a_candle_is_one_block_only_while_it_lives():
    # The last body downward may lie before a swing that is broken later, so two breaks can start from one candle.
    params = {"structure": {"swings": SWINGS}, "select": "last_opposite", "max_age": 0}

    frame = run("order_blocks", params, random_bars(600, 5, missing=0.0)).to_dicts()

    living: dict[tuple[int, int], bool] = {}
    for row in frame:
        key = (row["origin_index"], row["direction"])
        if row["event"] == "OB_NEW":
            assert not living.get(key, False)
        living[key] = row["event"] not in {"OB_BREAK", "OB_EXPIRED", "OB_DROPPED"}


GAP_LEG = [*BREAK[:5], (10, 12, 8, 11), (11, 16, 11, 15)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # Bar 6's low 11 equals the high of bar 4: no gap yet. Bar 7's low 12.5 lies above the high 12 of bar 5.
        ([*GAP_LEG, (15, 17, 12.5, 16)], [("OB_NEW", 1, 1, 7, 11)]),
        # Bar 7 leaves none (low 12), bar 8 does (low 16.5 above 16 of bar 6): one bar too late.
        ([*GAP_LEG, (15, 18, 12, 17.5), (17.5, 19, 16.5, 18)], []),
        # Bar 6 itself leaves one: low 11.5 above the high 11 of bar 4; bar 5 closed up.
        ([*GAP_LEG[:6], (11.5, 16, 11.5, 15)], [("OB_NEW", 1, 1, 6, 11)]),
    ],
)  # fmt: skip
def test_a_block_that_needs_a_gap_is_known_when_the_gap_is(rows: Any, expected: Any):
    assert [row for row in say(rows, needs_gap=True) if row[0] == "OB_NEW"] == expected
    assert next(row for row in say(rows) if row[0] == "OB_NEW") == NEW


def test_a_gap_of_the_leg_before_the_break_is_enough():
    # Bar 4 leaves an up gap: low 9.5 above the high 9 of bar 2, bar 3 closes up. The lowest candle is bar 2, 7 to 9;
    # bar 6, away above, breaks the high 14 of bar 1.
    rows = [BREAK[0], BREAK[1], (9, 9, 7, 8), (8, 11, 8, 10.5), (10.5, 11.5, 9.5, 11), (11, 12, 10, 11), AWAY]

    assert say(rows, needs_gap=True) == [("OB_NEW", 1, 1, 6, 9)]


choice = st.sampled_from
PARAMS = st.fixed_dictionaries({
    "select": choice(["extreme", "last_opposite"]), "zone": choice(["wick", "body"]),
    "zone_break": choice(["close", "wick"]), "breakers": st.booleans(), "max_range_atr": choice([None, 1.2]),
    "disp_atr": choice([0.0, 0.5]), "needs_gap": st.booleans(), "max_age": choice([0, 1, 10, 50]),
    "gaps": st.fixed_dictionaries({"contiguous_only": st.booleans()}),
    "structure": st.fixed_dictionaries({
        "break_mode": choice(["close", "wick"]), "label_mode": choice(["state", "pattern"]),
        "choch_level": choice(["last", "protected"]), "atr": st.just({"n_bars": 5}),
        "swings": st.fixed_dictionaries({
            "left_bars": choice([1, 2]), "right_bars": choice([1, 3]), "dual": choice(["opposite_first", "high_only"]),
        }),
    }),
})  # fmt: skip


def _breaks(bars: Any, params: OrderBlocksParams) -> list[dict[str, Any]]:
    rows = run("structure", params.structure, bars, tick=TICK).to_dicts()
    return [row for row in rows if row["event"] in {"BOS", "CHOCH"}]


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 10_000), step=st.integers(1, 4), capacity=choice([1, 3, 64]), chosen=PARAMS)
def test_blocks_equal_a_look_up_of_their_definitions(seed: int, step: int, capacity: int, chosen: dict[str, Any]):
    bars = random_bars(200, seed, step=step, missing=0.05)
    params = OrderBlocksParams(**chosen)

    frame = run("order_blocks", params, bars, tick=TICK, capacity=capacity)

    expected = zone_oracles.order_blocks(bars, _breaks(bars, params), params, tick=TICK, capacity=capacity)
    assert zone_oracles.same_rows(frame, expected)


@pytest.mark.parametrize(
    "planted",
    [
        {"select": "last_opposite"}, {"zone": "body"}, {"zone_break": "wick"}, {"breakers": True}, {"needs_gap": True},
        {"max_age": 11}, {"disp_atr": 0.3}, {"max_range_atr": 1.0},
    ],
)  # fmt: skip
def test_the_look_up_notices_another_definition(planted: dict[str, Any]):
    bars = random_bars(400, 1)
    params = OrderBlocksParams(max_age=10, structure={"swings": SWINGS, "atr": {"n_bars": 5}})

    frame = run("order_blocks", params, bars, tick=TICK)

    other = params.model_copy(update=planted)
    assert not zone_oracles.same_rows(frame, zone_oracles.order_blocks(bars, _breaks(bars, params), other, tick=TICK))
