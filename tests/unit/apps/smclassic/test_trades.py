"""Trades worked out by hand: a winner, a loser, a time exit and a canceled order per mode, and two tranches."""

import pytest

from tests.unit.apps.breakout.factories import upside_down, when
from tests.unit.apps.smclassic.factories import hold, orders, play, positions, stop_pips, story, to_pips, watch
from tradesentry.apps.smclassic.layout import SECOND_TAG, TAGS
from tradesentry.core.domain.orders import ExitReason

DOWN = [(8, 9, -12, -10), (-10, -9, -28, -27)]
FILL = (-27, -26, -34, -30)
"""01:30 to 01:45 on Wednesday: through the limit at -32."""
TO_EQ = [(-30, -8, -31, -10), (-10, 6, -11, 5)]
TO_REST = (5, 25, 4, 24)
TO_STOP = (-30, -29, -43, -41)


def only(arena):
    assert len(arena.trade_rows) == 1
    return arena.trade_rows[0]


def test_the_limit_rests_at_the_near_edge_with_its_stop_beyond_the_far_one():
    # ATR of the story's hours is 13.30 pips: -40 - 0.15 x 13.30 = -41.995. The rest leaves at -40 + 0.75 x 85 = 23.75.
    assert stop_pips() == -42.0
    assert orders(watch(story(), "2024-06-12T01:00")) == [(1, -32.0, -42.0, 23.8)]


def test_limit_wins_at_equilibrium_and_with_the_rest_beyond():
    trade = only(play(story(*DOWN, FILL, *TO_EQ, TO_REST, *hold(24, 2))))

    # -32 to -42 is 10 pips: 500 / 0.0010 = 500,000 units. 300,000 leave at 2.5 (34.5 pips), 200,000 at 23.8 (55.8).
    assert (when(trade.entry_ns), trade.side, trade.units) == ("Wed 01:30", 1, 500_000)
    assert (to_pips(trade.entry_price), to_pips(trade.stop_at_entry)) == (-32.0, -42.0)
    assert trade.net == pytest.approx(300_000 * 0.00345 + 200_000 * 0.00558)
    assert (trade.exit_reason, TAGS[int(trade.tag)]) == (ExitReason.TAKE_PROFIT, "limit")


def test_all_may_leave_at_equilibrium():
    trade = only(play(story(*DOWN, FILL, *TO_EQ, TO_REST), eq_fraction=1.0))

    assert to_pips(trade.exit_price) == 2.5
    assert trade.net == pytest.approx(500_000 * 0.00345)


def test_limit_loses_the_budget_at_the_stop():
    trade = only(play(story(*DOWN, FILL, TO_STOP, *hold(-41, 2))))

    assert (to_pips(trade.exit_price), trade.exit_reason) == (-42.0, ExitReason.STOP_LOSS)
    assert trade.net == pytest.approx(-500.0)


def test_limit_leaves_after_its_time():
    trade = only(play(story(*DOWN, FILL, *hold(-25, 40)), time_stop=32))

    # The bar of the fill is the first of 32: 01:30 + 8 hours. -32 to -25 are 7 pips.
    assert (when(trade.exit_ns), trade.exit_reason) == ("Wed 09:30", ExitReason.TIME)
    assert trade.net == pytest.approx(500_000 * 0.0007)


def test_limit_is_canceled_once_the_zone_was_touched_without_a_fill():
    # -32.0 is a touch, a limit needs -32.1; at 02:00 the hour is complete and the zone no longer fresh.
    bars = story(*DOWN, (-27, -26, -32, -30), (-30, -28, -31, -29), (-29, -28, -35, -30), *hold(-30, 3))

    assert len(orders(watch(bars, "2024-06-12T01:45"))) == 1
    assert orders(watch(bars, "2024-06-12T02:00")) == []
    assert len(play(bars).trade_rows) == 0


def test_limit_comes_back_where_one_touch_is_allowed():
    bars = story(*DOWN, (-27, -26, -32, -30), (-30, -28, -31, -29), (-29, -28, -35, -30), *hold(-30, 3))

    trade = only(play(bars, max_touches=1))

    assert (when(trade.entry_ns), to_pips(trade.entry_price)) == ("Wed 02:00", -32.0)


TURNED_BACK = (-30, -25, -34, -27)
"""Reaches into the zone and closes above it, above its open."""
REJECTION = {"entry": "rejection"}


def test_rejection_enters_at_the_next_open_and_wins():
    trade = only(play(story(*DOWN, TURNED_BACK, (-27, -8, -28, -10), *TO_EQ[1:], TO_REST, *hold(24, 2)), **REJECTION))

    # -27 to -42 is 15 pips: 500 / 0.0015 = 333,333 -> 333,000; 60 % are 199,800 -> 199,000 at 2.5 (29.5 pips), the
    # other 134,000 at 23.8 (50.8 pips).
    assert (when(trade.entry_ns), trade.units, to_pips(trade.entry_price)) == ("Wed 01:45", 333_000, -27.0)
    assert trade.net == pytest.approx(199_000 * 0.00295 + 134_000 * 0.00508)
    assert TAGS[int(trade.tag)] == "rejection"


def test_rejection_loses_the_budget_at_the_stop():
    trade = only(play(story(*DOWN, TURNED_BACK, (-27, -26, -43, -41), *hold(-41, 2)), **REJECTION))

    assert trade.net == pytest.approx(-333_000 * 0.0015)


def test_rejection_leaves_after_its_time():
    trade = only(play(story(*DOWN, TURNED_BACK, *hold(-27, 40)), time_stop=32, **REJECTION))

    assert (when(trade.exit_ns), trade.exit_reason) == ("Wed 09:45", ExitReason.TIME)
    assert trade.net == pytest.approx(0.0)


@pytest.mark.parametrize(
    "bar",
    [(-30, -25, -34, -30), (-30, -25, -31, -27), (-36, -30, -37, -33)],
    ids=["no body", "zone not reached", "close inside the zone"],
)
def test_bar_that_was_not_turned_back_enters_nothing(bar):
    assert len(play(story(*DOWN, bar, *hold(bar[3], 4)), **REJECTION).trade_rows) == 0


def test_rejection_is_canceled_when_the_reward_is_gone():
    # A close at -12 leaves 14.5 pips to equilibrium, and 30 to the stop.
    assert len(play(story(*DOWN, (-30, -11, -34, -12), *hold(-12, 4)), **REJECTION).trade_rows) == 0


MID = {"entry": "mid"}


def test_mid_wins_from_the_middle_of_the_zone():
    trade = only(play(story(*DOWN, (-27, -26, -37, -34), *TO_EQ, TO_REST, *hold(24, 2)), **MID))

    # -36 to -42 is 6 pips: 500 / 0.0006 -> 833,000; 499,000 leave at 2.5 (38.5 pips), 334,000 at 23.8 (59.8 pips).
    assert (to_pips(trade.entry_price), trade.units, TAGS[int(trade.tag)]) == (-36.0, 833_000, "mid")
    assert trade.net == pytest.approx(499_000 * 0.00385 + 334_000 * 0.00598)


def test_mid_loses_the_budget_at_the_stop():
    trade = only(play(story(*DOWN, (-27, -26, -37, -34), TO_STOP, *hold(-41, 2)), **MID))

    assert trade.net == pytest.approx(-833_000 * 0.0006)


def test_mid_leaves_after_its_time():
    trade = only(play(story(*DOWN, (-27, -26, -37, -34), *hold(-35, 40)), time_stop=32, **MID))

    assert trade.exit_reason == ExitReason.TIME
    assert trade.net == pytest.approx(833_000 * 0.0001)


def test_mid_is_canceled_when_price_turns_at_the_near_edge():
    bars = story(*DOWN, FILL, (-30, -20, -31, -21), *hold(-21, 4))

    assert orders(watch(bars, "2024-06-12T01:45", **MID)) == [(1, -36.0, -42.0, 23.8)]
    assert orders(watch(bars, "2024-06-12T02:00", **MID)) == []
    assert len(play(bars, **MID).trade_rows) == 0


TWO = {"tranches": 2}


def test_second_tranche_waits_for_the_first_and_both_lose_the_budget_together():
    bars = story(*DOWN, FILL, (-30, -29, -37, -36), (-36, -35, -43, -41), *hold(-41, 2))

    before, between = watch(bars, "2024-06-12T01:30", **TWO), watch(bars, "2024-06-12T01:45", **TWO)
    trades = play(bars, **TWO).trade_rows

    # Distances of 10 and 6 pips share 500: 312.50 and 187.50, so 312,500 -> 312,000 units each.
    assert orders(before) == [(1, -32.0, -42.0, 23.8)]
    assert orders(between) == [(1, -36.0, -42.0, 23.8)]
    assert [int(t.units) for t in trades] == [312_000, 312_000]
    assert [TAGS[int(t.tag)] for t in trades] == ["limit", "second_tranche"]
    assert sum(t.net for t in trades) == pytest.approx(-312_000 * 0.0016)


def test_one_bar_through_both_levels_fills_the_first_tranche_alone():
    arena = watch(story(*DOWN, (-27, -26, -38, -30), *hold(-30, 2)), "2024-06-12T01:45", **TWO)

    assert [to_pips(p.entry_price) for p in positions(arena)] == [-32.0]
    assert orders(arena) == [(1, -36.0, -42.0, 23.8)]


def test_second_tranche_is_canceled_once_a_part_was_taken():
    bars = story(*DOWN, FILL, *TO_EQ, *hold(5, 3))

    arena = watch(bars, "2024-06-12T02:15", **TWO)

    assert [float(p.units) for p in positions(arena)] == [312_000 - 187_000]
    assert orders(arena) == []


def test_second_tranche_ends_with_the_first():
    # Filled 15 minutes later, it has one bar of its time left when the first has none.
    bars = story(*DOWN, FILL, (-30, -29, -37, -35), *hold(-34, 40))

    trades = play(bars, time_stop=32, **TWO).trade_rows

    first, second = sorted(trades, key=lambda t: t.tag)
    assert (int(second.tag), first.exit_reason, second.exit_reason) == (
        SECOND_TAG, ExitReason.TIME, ExitReason.STRATEGY,
    )  # fmt: skip
    assert first.exit_ns == second.exit_ns


def test_short_is_the_mirror_image_and_pays_its_spread():
    bars = upside_down(story(*DOWN, FILL, *TO_EQ, TO_REST, *hold(24, 2)))
    bars.spread = 0.0001

    trade = only(play(bars))

    # Sold at the bid 33, a spread inside the zone; stopped when the bid comes to 40 + 2.0 + a spread, at the ask 44.0.
    # Eleven pips and the spread that sizing adds: 500 / 0.0012 -> 416,000 units. Bought back at -1.5 and, rounded, at
    # -22.8: the asks of -2.5 and -23.75.
    assert (trade.side, to_pips(trade.entry_price), to_pips(trade.stop_at_entry)) == (-1, 33.0, 44.0)
    assert trade.units == 416_000
    assert trade.net == pytest.approx(249_000 * 0.00345 + 167_000 * 0.00558)


def test_purchase_waits_for_the_ask_and_its_stop_lies_a_spread_lower():
    bars = story()
    bars.spread = 0.0001

    assert orders(watch(bars, "2024-06-12T01:00")) == [(1, -32.0, -43.0, 23.8)]
