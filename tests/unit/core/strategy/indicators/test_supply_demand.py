"""Hand-checked supply and demand zones, and their slow second version.

Unless said otherwise a case begins with four bars whose zone is derived once here; the ATR is that of one bar, so the
ATR before a bar is the true range of the bar before it. Bar 1 falls from 20 to 16 (true range 4). Bar 2 is the base:
body 0.5 of range 2, true range 2. Bar 3 departs: body 16.5 to 19.5 = 3, at least 1.2 x 2 and at least half its range of
4, and its close lies above the base's high 17. Demand: proximal is the highest body edge of the base, 16.5; distal the
lowest low of base and departure bar, 15. The leg into it fell: drop, base, rally.

Planted once, each seen to fail here: a departure on equality, a departure bar counted as base, a run not cleared by a
hole, distal without the departure bar, a touch counted on every bar inside, the ATR of the departure bar itself, and
extremes of a zone that goes lost to the older ones.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.strategy.indicators import zone_oracles
from tests.unit.core.strategy.indicators.series import DAY_NS, MIRROR_AT, TICK, make_bars, mirrored, random_bars
from tradesentry.core.strategy.indicators import run, stream, supply_demand
from tradesentry.core.strategy.indicators.supply_demand import SupplyDemandParams

LEG = [(20, 21, 19, 20), (20, 20, 16, 16)]
BASE = (16, 17, 15, 16.5)
DEPARTURE = (16.5, 20, 16, 19.5)
DEMAND = [*LEG, BASE, DEPARTURE]
AWAY = (17, 21, 17, 21)
NEW = ("SD_NEW", 1, 1, 3, -1)


def say(rows: list[tuple[float, float, float, float]], bars: Any = None, capacity: int = 64, **params: Any) -> Any:
    """Return (event, direction, id, known_index, value) of every event."""
    settings = {"atr": {"n_bars": 1}, **params}
    frame = run("supply_demand", settings, make_bars(rows) if bars is None else bars, capacity=capacity)
    return frame.select("event", "direction", "id", "known_index", "value").fill_nan(None).rows()


def test_a_zone_is_known_at_the_close_of_the_departure_bar_and_sits_on_its_base():
    bars = make_bars(DEMAND)

    row = run("supply_demand", {"atr": {"n_bars": 1}}, bars).to_dicts()[0]

    assert (row["component"], row["event"], row["direction"], row["id"]) == ("supply_demand", "SD_NEW", 1, 1)
    assert (row["origin_index"], row["origin_ns"], row["known_index"]) == (2, bars.open_ns[2], 3)
    assert (row["price_low"], row["price_high"]) == (15, 16.5)
    assert (row["price"], row["other_price"], row["value"]) == (16.5, 15, -1)


def test_the_mirror_is_supply_with_the_leg_mirrored():
    bars = random_bars(600, 3)
    params = {"dep_atr": 0.6, "atr": {"n_bars": 5}}

    plain = run("supply_demand", params, bars).filter(event="SD_NEW")
    other = run("supply_demand", params, mirrored(bars)).filter(event="SD_NEW")

    assert plain.height > 5
    assert plain["value"].to_list() == [-value for value in other["value"]]
    np.testing.assert_allclose(plain["price"], MIRROR_AT - other["price"].to_numpy(), rtol=1e-12)


def test_a_base_of_two_bars_counts_both():
    # Second base bar: body edges 16.25 and 16.75, low 14.5; its true range is 2, the departure needs a body of 2.4.
    frame = run("supply_demand", {"atr": {"n_bars": 1}}, make_bars([*LEG, BASE, (16.25, 16.5, 14.5, 16), DEPARTURE]))

    row = frame.to_dicts()[0]
    assert (row["origin_index"], row["known_index"], row["price"], row["other_price"]) == (2, 4, 16.5, 14.5)


def test_the_departure_bar_may_make_the_distal_edge():
    frame = run("supply_demand", {"atr": {"n_bars": 1}}, make_bars([*LEG, BASE, (16.5, 20, 14, 19.5)]))

    assert frame["other_price"][0] == 14


@pytest.mark.parametrize(
    ("leg", "pattern"),
    [((20, 20, 16, 16), -1), ((14, 18, 14, 16), 1), ((16, 20, 16, 16), 0)],
    ids=["DBR", "RBR", "none"],
)
def test_the_pattern_is_the_body_of_the_last_bar_that_was_no_base(leg: Any, pattern: int):
    # Bar 1 is no base whatever its shape, because no ATR exists before it.
    assert say([LEG[0], leg, BASE, DEPARTURE]) == [("SD_NEW", 1, 1, 3, pattern)]


@pytest.mark.parametrize(
    ("bar", "n_zones"),
    [
        ((16.5, 17.25, 16.25, 17), 0),  # body 0.5: far from 2.4
        ((14.6, 19, 14.6, 17), 0),  # the close equals the base's high
        ((14.6, 19, 14.6, 17.01), 1),
        ((16.5, 19, 16.5, 18.875), 0),  # body 2.375, less than 1.2 x 2
        ((16.5, 21, 15, 19.5), 1),  # body 3 is half the range of 6
        ((16.5, 21.01, 15, 19.5), 0),
    ],
)
def test_what_departs(bar: Any, n_zones: int):
    assert len(say([*LEG, BASE, bar])) == n_zones


def test_a_departure_whose_body_equals_the_least_one_counts():
    # Body 2.5 is 1.25 x 2.
    assert len(say([*LEG, BASE, (16.5, 19, 16.5, 19)], dep_atr=1.25)) == 1


def test_a_base_bar_has_a_small_body_or_a_small_range_or_none_at_all():
    # ATR before bar 2 is 4: a range of 3.2 is small enough (0.8 x 4), whatever the body; one of 3.3 is not.
    small, large, still = (16, 19.2, 16, 19.2), (16, 19.3, 16, 19.3), (16, 16, 16, 16)
    rally = (19.2, 30, 19.2, 30)

    assert len(say([*LEG, small, rally])) == 1
    assert say([*LEG, large, rally]) == []
    assert len(say([*LEG, still, rally], base_body=0.0, base_atr=0.0)) == 1


def test_no_bar_is_a_base_before_the_atr_exists():
    assert say([BASE, BASE, DEPARTURE]) == []


def test_a_longer_run_is_void_until_a_bar_that_is_no_base():
    quiet = (16.5, 17, 15.5, 16.75)

    assert len(say([*LEG, BASE, DEPARTURE], max_base=1)) == 1
    assert say([*LEG, BASE, quiet, DEPARTURE], max_base=1) == []
    # The strong bar ended the void run; a new base and departure count.
    again = [*LEG, BASE, quiet, DEPARTURE, (19.5, 20, 19, 19.75), (19.75, 30, 19.75, 30)]
    assert [row[3] for row in say(again, max_base=1)] == [6]


def test_a_bar_that_departs_is_no_base_bar_of_the_next_run():
    # Bar 3 has a body of half its range, so it would be quiet as well. Bar 4 would depart from it: above its high 21.
    rows = [*LEG, BASE, (16.5, 21, 15, 19.5), (19.5, 30, 19.5, 30)]

    assert [row[3] for row in say(rows)] == [3]


def test_a_gap_reset_clears_the_run_and_a_shorter_hole_only_where_asked():
    def with_hole(days: int) -> Any:
        bars = make_bars(DEMAND)
        bars.open_ns[3:] += days * DAY_NS
        bars.close_ns[3:] += days * DAY_NS
        return bars

    assert say([], with_hole(2)) == [NEW]
    assert say([], with_hole(2), contiguous_only=True) == []
    assert say([], make_bars(DEMAND), contiguous_only=True) == [NEW]
    assert [event for event, *_ in say([], with_hole(4))] == ["GAP_RESET"]


def test_a_refused_bar_changes_nothing():
    bars = make_bars([*LEG, BASE, BASE, DEPARTURE])
    bars.high[3] = bars.low[3] - 1

    assert say([], bars) == [("BAD_BAR", 0, -1, 3, None), ("SD_NEW", 1, 1, 4, -1)]


def test_touches_are_returns_and_are_counted():
    # Lows 18, 16.5 (equal to proximal), 16, 17, 16.4: two returns, the bar at 16 still belongs to the first.
    rows = [AWAY, (19, 19, 16.5, 18), (18, 18, 16, 17), (17, 18, 17, 18), (18, 18, 16.4, 17)]

    assert say([*DEMAND, *rows]) == [NEW, ("SD_TOUCH", 1, 1, 5, 1), ("SD_TOUCH", 1, 1, 8, 2)]


def test_price_that_has_not_left_since_the_departure_does_not_touch():
    # The departure bar's low, 16, lies at proximal already, and so does the next one.
    assert say([*DEMAND, (19.5, 20, 16.25, 19)]) == [NEW]
    assert say([*DEMAND, (19.5, 20, 16.25, 19), AWAY, (19.5, 20, 16.25, 19)])[1:] == [("SD_TOUCH", 1, 1, 6, 1)]


@pytest.mark.parametrize(("close", "expected"), [(15, []), (14.9, [("SD_BREAK", 1, 1, 5, None)])])
def test_a_close_strictly_beyond_distal_ends_the_zone(close: float, expected: Any):
    assert say([*DEMAND, AWAY, (18, 18, 14, close)]) == [NEW, ("SD_TOUCH", 1, 1, 5, 1), *expected]


def test_a_zone_that_price_never_left_can_break_without_a_touch():
    assert say([*DEMAND, (19.5, 19.5, 14, 14.5)]) == [NEW, ("SD_BREAK", 1, 1, 4, None)]


def test_a_zone_expires_when_it_is_older_than_its_greatest_age():
    touch = (19, 19, 16.5, 18)

    assert say([*DEMAND, AWAY, touch], max_age=2)[1:] == [("SD_TOUCH", 1, 1, 5, 1)]
    assert say([*DEMAND, AWAY, AWAY, touch], max_age=2)[1:] == [("SD_EXPIRED", 1, 1, 6, None)]


def test_a_full_side_drops_its_oldest_zone():
    # Base at 20 (true range 1), departure to 25: a second demand zone, above the first.
    second = [(19.5, 20.5, 19.5, 20), (20, 25, 20, 25)]

    assert say([*DEMAND, *second], capacity=1) == [
        NEW, ("SD_DROPPED", 1, 1, 5, None), ("SD_NEW", 1, 2, 5, 1),
    ]  # fmt: skip


def test_the_departure_distance_grows_until_the_first_touch():
    running = stream("supply_demand", {"atr": {"n_bars": 1}})
    rows = [(19.5, 22, 18, 21), (21, 25, 16.5, 24), (24, 30, 24, 29)]
    seen = []

    for i, bar in enumerate(make_bars([*DEMAND, *rows])):
        running.push(bar)
        if i >= 3:
            seen.append(supply_demand.departure(running._state[0].zones, 0))

    # In ATR of the bar before the departure, 2: (20 - 16.5) / 2, (22 - 16.5) / 2; bar 5 touches, its 25 comes too late.
    assert seen == [1.75, 2.75, 2.75, 2.75]


PARAMS = st.fixed_dictionaries({
    "dep_atr": st.sampled_from([0.4, 0.8, 1.2]), "max_base": st.sampled_from([1, 3, 6]),
    "base_body": st.sampled_from([0.3, 0.5]), "base_atr": st.sampled_from([0.0, 0.8]),
    "max_age": st.sampled_from([0, 1, 10, 50]), "contiguous_only": st.booleans(),
})  # fmt: skip


def _bars(seed: int, step: int) -> Any:
    bars = random_bars(240, seed, step=step, missing=0.05)
    bars.open_ns[150:] += 4 * DAY_NS
    bars.close_ns[150:] += 4 * DAY_NS
    return bars


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), step=st.integers(1, 4), capacity=st.sampled_from([1, 3, 64]), chosen=PARAMS)
def test_zones_equal_a_look_up_of_their_definitions(seed: int, step: int, capacity: int, chosen: dict[str, Any]):
    bars = _bars(seed, step)
    params = SupplyDemandParams(atr={"n_bars": 4}, **chosen)

    frame = run("supply_demand", params, bars, tick=TICK, capacity=capacity)

    assert zone_oracles.same_rows(frame, zone_oracles.supply_demand(bars, params, capacity=capacity))


@pytest.mark.parametrize(
    "planted", [{"max_base": 4}, {"dep_atr": 0.41}, {"contiguous_only": True}, {"max_age": 11}, {"base_body": 0.6}]
)
def test_the_look_up_notices_another_definition(planted: dict[str, Any]):
    bars, params = _bars(1, 3), SupplyDemandParams(dep_atr=0.4, max_base=3, max_age=10, atr={"n_bars": 4})

    frame = run("supply_demand", params, bars, tick=TICK)

    other = params.model_copy(update=planted)
    assert not zone_oracles.same_rows(frame, zone_oracles.supply_demand(bars, other))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), capacity=st.sampled_from([2, 64]))
def test_the_departure_distance_of_every_live_zone_equals_its_definition(seed: int, capacity: int):
    bars = random_bars(200, seed, missing=0.0)
    params = {"dep_atr": 0.4, "max_age": 60, "atr": {"n_bars": 4}}
    running = stream("supply_demand", params, tick=TICK, capacity=capacity)
    ruler = zone_oracles.atrs_before(bars, 4)
    touched: dict[int, int] = {}

    for t in range(len(bars)):
        touched |= {row["id"]: t for row in running.push(bars[t]) if row["event"] == "SD_TOUCH" and row["value"] == 1}
        state = running._state[0].zones
        for i in range(state.zones.n if t % 7 == 0 else 0):
            zone = state.zones.items[i]
            born, side = int(zone.known_index), int(zone.direction)
            until = touched.get(int(zone.id), t + 1)
            best = bars.high[born:until].max() if side > 0 else bars.low[born:until].min()
            assert supply_demand.departure(state, i) == pytest.approx(side * (best - zone.near) / ruler[born])
