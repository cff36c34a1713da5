"""When a grid is laid, where its levels lie and how much each holds."""

import numpy as np
import pytest

from tests.support.markets import utc
from tests.unit.apps.smgrid.factories import (
    ATR,
    HOUR,
    LEVELS,
    PIP,
    STOPPED,
    TWO,
    basket,
    held,
    hold,
    hour,
    orders,
    play,
    positions,
    put,
    resolve,
    row_at,
    upside_down,
    watch,
    zone_bars,
)
from tradesentry.apps.smgrid.layout import Phase
from tradesentry.backtest.runner import new_arena


def test_no_grid_before_the_warm_up_is_over():
    bars = zone_bars(start="2024-06-11T20:00")

    arena = play(bars)

    assert arena.account.n_rejects[0] == 0
    assert basket(arena).id == 0


def test_zone_exit_takes_all_levels_beyond_the_zone():
    arena = watch(put(zone_bars(), "2024-06-12T10:15", TWO), "2024-06-12T10:30", tp="zone_exit")

    assert [float(p.take_profit) for p in positions(arena)] == [pytest.approx(LEVELS[0] + 0.4 * ATR, abs=5e-6)] * 2


def test_equilibrium_that_is_unknown_or_too_near_makes_no_grid():
    # Two swings have not been seen yet on these quiet hours, so there is no equilibrium.
    arena = watch(zone_bars(), "2024-06-12T10:00", tp="eq")

    assert orders(arena) == [] or basket(arena).fixed_target > LEVELS[0] + 5 * PIP


def test_price_inside_the_zone_rests_only_the_levels_below_it():
    bars = put(zone_bars(), "2024-06-12T10:15", TWO)
    run = resolve(bars, news=True)
    calendar = run.markets.view(np.ndarray)["calendar"]
    calendar["n_blackouts"] = 1
    calendar["blackouts"][0, 0] = (utc("2024-06-12T10:45"), utc("2024-06-12T11:00"))
    hold(bars, "2024-06-12T10:30", "2024-06-14T21:00", 1.0975, reach=0.5 * PIP)
    arena = new_arena(run)
    for _ in range(row_at(bars, "2024-06-12T11:00")):
        arena.play(1)

    assert [level for level, _, _ in orders(arena)] == [4, 5]


def test_weights_grow_with_the_level():
    linear = [units for _, _, units in orders(watch(zone_bars(), "2024-06-12T10:00", weights="linear"))]
    growing = [units for _, _, units in orders(watch(zone_bars(), "2024-06-12T10:00", weights="geometric", ratio=1.3))]

    # 11 + 18 + 21 + 20 + 15 = 85 pips of the first unit: 750 / 0.0085 = 88,235.
    assert linear == [88_000, 176_000, 264_000, 352_000, 441_000]
    assert growing[-1] / growing[0] == pytest.approx(1.3**4, rel=0.02)


def test_dual_rests_a_grid_on_both_sides_and_a_single_one_only_the_nearer():
    bars = zone_bars()
    for k, row in enumerate(
        ((1.1005, 1.1026, 1.1004, 1.1025), (1.1025, 1.1033, 1.1022, 1.1025), (1.1025, 1.1025, 1.0998, 1.1000))
    ):
        hour(bars, f"2024-06-12T{16 + k}:00", *row)
    hold(bars, "2024-06-12T19:00", "2024-06-14T21:00", 1.1000)

    both = watch(bars, "2024-06-12T19:15", dual=True)
    one = watch(bars, "2024-06-12T19:15")

    assert {int(o.side) for o in both.books[0].seen.orders[: both.books[0].seen.n_orders]} == {1, -1}
    assert len({int(o.side) for o in one.books[0].seen.orders[: one.books[0].seen.n_orders]}) == 1
    assert {int(o.basket) for o in both.books[0].seen.orders[: both.books[0].seen.n_orders]} == {1, 2}


def test_mirrored_bars_make_the_mirrored_basket():
    bars = put(zone_bars(), "2024-06-12T10:15", STOPPED)

    arena = play(upside_down(bars))

    assert arena.trade_rows.side.tolist() == [-1] * 5
    assert arena.trade_rows.net.sum() == pytest.approx(-749.0)
    assert basket(arena, -1).lock_until_ns - utc("2024-06-12T10:30") == 24 * HOUR


def test_order_says_which_zone_it_is_for():
    arena = watch(zone_bars(), "2024-06-12T10:00")

    seen = arena.books[0].seen
    born = arena.lanes[0].state[0].context.bases.zones.last_id
    assert [o.cause.tolist()[:2] for o in seen.orders[: seen.n_orders]] == [[born, 1]] * 5


def test_grid_that_fills_before_it_gives_way_is_kept():
    bars = held()
    arena = watch(bars, "2024-06-12T10:15")
    basket(arena).is_over = True

    arena.play(2)

    assert basket(arena).phase == Phase.HELD
    assert len(positions(arena)) == 2
