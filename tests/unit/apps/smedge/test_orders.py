"""Edge cases of smedge: targets, what ends an idea, entry windows, newer breaks. Stories as in `factories`."""

import numpy as np
import pytest

from tests.unit.apps.smedge.factories import (
    CHOCH,
    START,
    SWEPT,
    intents_of,
    leg,
    only,
    order,
    pips,
    play,
    resolve,
    row_at,
    state_of,
    story,
    upside_down,
    watch,
    when,
    without,
)
from tradesentry.apps.smedge.layout import Kind, Stage, Trigger
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena

ORDER = (1, 1.0, -10.1, 23.2)
STAY = (12, 13, 10, 12)
"""A bar after CHOCH that touches nothing."""


def peak(price, *, hours=20):
    """Bars that leave a pool at `price` above a story: a spike so long before it that the ATR has forgotten it."""
    bars = story(*SWEPT, CHOCH, (12, 13, 0, 3))
    at = row_at(bars, START) - 4 * hours
    bars.high[at] = 1.1 + price * 0.0001
    return bars


@pytest.mark.parametrize(
    ("price", "options", "target"),
    [
        (25, {}, 25.0),
        (25, {"target": "1.5R"}, 17.7),
        (25, {"target": "2R"}, 23.2),
        (25, {"target": "3R"}, 34.3),
        (16, {}, 23.2),  # 15 pips away, 1.35 R: passed over, and there is no other
        (80, {}, 45.4),  # four times 11.1 pips
        (80, {"target_cap": 6.0}, 67.6),
        (20, {"target_min": 2.0}, 23.2),
    ],
)
def test_target_is_the_next_pool_within_its_limits(price, options, target):
    assert order(watch(peak(price), 3, **options))[3] == pytest.approx(target)


def test_pool_too_near_gives_way_to_the_next():
    bars = peak(16)
    bars.high[row_at(bars, START) - 60] = 1.1030

    assert order(watch(bars, 3))[3] == 30.0


def test_without_a_pool_there_may_be_no_order():
    assert order(watch(story(*SWEPT, CHOCH), 3, no_pool="skip")) is None
    assert order(watch(peak(25), 3, no_pool="skip")) is not None


def test_target_comes_a_spread_before_the_pool():
    bars = peak(30)
    bars.spread = 0.0001
    short = upside_down(bars)

    # A purchase leaves at the bid, a spread under the pool; a sale at the ask, when the bid is a spread above it.
    assert order(watch(bars, 3))[3] == 29.0
    assert order(watch(short, 3))[3] == -28.0


def test_price_at_the_pool_without_us_ends_the_idea():
    bars = peak(25)
    at = row_at(bars, START) + 3
    bars.high[at:] = 1.1012
    bars.open[at:] = bars.close[at:] = 1.1011
    bars.low[at:] = 1.1010
    reached = bars.copy()
    reached.high[at + 1] = 1.1025

    assert order(watch(bars, 5)) is not None
    assert order(watch(reached, 4)) is not None
    assert order(watch(reached, 5)) is None
    assert leg(watch(reached, 5)) is None


def test_new_pivot_renews_the_target_of_the_order():
    # A high of 20 that stands out from three bars on both sides is a pool when they have closed: 19 / 11.1 = 1.7 R.
    start = "2024-06-12T09:15"
    bars = story(*SWEPT, CHOCH, (12, 20, 11, 13), *[STAY] * 3, start=start)

    assert order(watch(bars, 6, start=start)) == ORDER
    assert order(watch(bars, 7, start=start)) == (1, 1.0, -10.1, 20.0)


def test_completed_session_renews_the_target_of_the_order():
    # Tokyo closes at 09:00 UTC, with the bar that reaches 20.
    bars = story(*SWEPT, CHOCH, (12, 20, 11, 13), STAY)

    assert order(watch(bars, 3)) == ORDER
    assert order(watch(bars, 4)) == (1, 1.0, -10.1, 20.0)


def test_choch_against_it_ends_the_idea():
    # Lows 10, 10, 10, 8, 10 ...: the swing low of 8 is closed through above the order.
    rows = (STAY, STAY, STAY, (12, 13, 8, 12), STAY, STAY, STAY, (12, 13, 5, 6))
    bars = story(*SWEPT, CHOCH, *rows)

    assert order(watch(bars, 10)) == ORDER
    assert order(watch(bars, 11)) is None


def test_close_beyond_the_stop_ends_a_leg_that_waits():
    bars = story(*SWEPT, CHOCH, (12, 13, -13, -12))

    assert leg(watch(bars, 3, zone="fvg")) is not None
    assert leg(watch(bars, 4, zone="fvg")) is None


def test_leg_that_waits_ends_after_its_life():
    bars = story(*SWEPT, CHOCH)

    assert leg(watch(bars, 10, zone="fvg", order_life=8)) is not None
    assert leg(watch(bars, 11, zone="fvg", order_life=8)) is None


def test_life_begins_anew_when_the_order_first_rests():
    # No order at first (the edge lies above half of the leg), then the leg runs on.
    bars = story((0, 4, -9, -7), SWEPT[1], CHOCH, *[(12, 14, 10, 12)] * 5, (12, 17, 10, 15), *[STAY] * 9)

    assert order(watch(bars, 8, order_life=8)) is None
    assert order(watch(bars, 9, order_life=8)) is not None
    assert order(watch(bars, 16, order_life=8)) is not None
    assert order(watch(bars, 17, order_life=8)) is None


def test_news_blackout_ends_the_idea(tmp_path):
    bars = story(*SWEPT, CHOCH)
    run = resolve(bars)
    file = tmp_path / "news.csv"
    file.write_text("time_utc,currency,impact,title\n2024-06-10T01:00,USD,3,a\n2024-06-12T09:35,USD,3,b\n")
    config = {**run.config.model_dump(), "news": True}
    settings = RunSettings(costs="free", limits="off", capital=100_000, news=file)
    arena = new_arena(resolve_run("smedge", bars=list(run.data.series), config=config, settings=settings))

    found = []
    for i in range(row_at(bars, START) + 12):
        arena.play(1)
        if i >= row_at(bars, START) + 2:
            found.append(order(arena) is not None)

    # Blocked from 09:05 to 10:05: at the close of 09:00 the next bar meets it. Nothing rests again afterwards.
    assert found == [True] + [False] * 9


def test_trend_that_flips_ends_the_idea():
    """Bites: without `allows` in `_is_over`, the leg lives on."""
    # On Tuesday 17:00 UTC an H4 bar closes at 8, above the H4 swing high of 5. On Wednesday 13:00 one closes at -7,
    # under the swing low of -5, while a purchase waits for a window.
    start = "2024-06-12T09:15"
    bars = story(*SWEPT, CHOCH, (12, 13, -8, -7), start=start, quiet_from="2024-06-05T00:00")
    at = row_at(bars, "2024-06-11T16:45")
    bars.high[at], bars.close[at], bars.open[at + 1], bars.high[at + 1] = 1.1009, 1.1008, 1.1008, 1.1008
    options = {"sessions": ["kill_zone_asia"], "order_life": 64}

    before, after, without_trend = (
        watch(bars, n, start=start, trend_mode=mode, **options)
        for n, mode in ((14, "structure"), (15, "structure"), (15, "off"))
    )

    assert state_of(before).trend.trend == 1
    assert leg(before) is not None
    assert state_of(after).trend.trend == -1
    assert leg(after) is None
    assert leg(without_trend) is not None


@pytest.mark.parametrize("field", ["weekend", "gap"])
def test_leg_that_spans_a_weekend_or_a_long_gap_is_void(field):
    # Friday 20:00 UTC is an hour before the week ends; the break comes on Sunday.
    if field == "weekend":
        options, start, gap = {"weekend": "hold"}, "2024-06-14T20:30", None
    else:
        options, start, gap = {"weekend": "hold"}, "2024-06-11T08:00", ("2024-06-11T08:30", "2024-06-14T08:45")
    bars = story(*SWEPT, CHOCH, start=start, end="2024-06-17T20:00")
    if gap is not None:
        later = bars.copy()
        at = row_at(bars, gap[1])
        shift = at - row_at(bars, gap[0])
        for name in ("open", "high", "low", "close"):
            later[name][at:] = bars[name][at - shift : len(bars) - shift]
        bars = without(later.view(np.recarray), *gap)
    n = row_at(bars, start) + 3
    arena = new_arena(resolve(bars, **options))
    for _ in range(n):
        arena.play(1)

    assert state_of(arena).structure.is_choch
    assert state_of(arena).week_index == n - 1
    assert leg(arena) is None


def test_order_does_not_survive_the_weekend():
    bars = story(*SWEPT, CHOCH, start="2024-06-14T20:15", end="2024-06-17T20:00")
    arena = new_arena(resolve(bars, weekend="hold", sessions=["kill_zone_asia"], order_life=64))
    rested = []
    for _ in range(len(bars)):
        arena.play(1)
        rested.append(arena.books[0].seen.n_orders)

    assert sum(rested) == 0
    assert leg(arena) is None


def test_order_rests_only_inside_the_entry_windows():
    # 18:15 UTC is 19:15 in London: the break closes at 19:00 UTC, the window's end.
    late = story(*SWEPT, CHOCH, start="2024-06-12T18:15")
    # 05:15 UTC is 06:15 in London: the break closes at 06:00 UTC, its beginning.
    early = story(*SWEPT, CHOCH, start="2024-06-12T05:15")
    earlier = story(*SWEPT, CHOCH, start="2024-06-12T05:00")

    assert order(watch(late, 3, start="2024-06-12T18:15")) is None
    assert order(watch(early, 3, start="2024-06-12T05:15")) is not None
    assert order(watch(earlier, 3, start="2024-06-12T05:00")) is None
    assert order(watch(earlier, 4, start="2024-06-12T05:00")) is not None


def test_order_is_taken_back_at_the_end_of_the_window_and_rests_again_in_the_next():
    start = "2024-06-12T17:45"
    bars = story(*SWEPT, CHOCH, start=start)
    options = {"sessions": ["london_day"], "order_life": 64}

    inside, after, morning, next_day = (watch(bars, n, start=start, **options) for n in (4, 5, 48, 49))

    # Placed 18:30 UTC, taken back 19:00; 06:00 UTC the next day is 53 bars after 18:30, within 64 less what has run.
    assert order(inside) == ORDER
    assert order(after) is None
    assert leg(after) is not None
    assert order(morning) is None
    assert order(next_day) == ORDER


def test_zone_that_was_reached_while_no_order_rested_is_spent():
    start = "2024-06-12T17:45"
    bars = story(*SWEPT, CHOCH, (12, 13, 10, 12), (12, 13, 10, 12), (12, 13, 0, 12), start=start)

    arena = watch(bars, 49, start=start, order_life=64)

    assert leg(arena).zones[0].stage == Stage.SPENT
    assert order(arena) is None


def test_kill_zones_are_windows_of_their_own():
    # The New York kill zone is 07:00 to 10:00 there, 11:00 to 14:00 UTC.
    bars = story(*SWEPT, CHOCH, start="2024-06-12T08:15")
    options = {"sessions": ["kill_zone_new_york"]}

    assert order(watch(bars, 3, start="2024-06-12T08:15", **options)) is None
    assert order(watch(bars, 11, start="2024-06-12T08:15", **options)) is not None


def test_wide_spread_puts_the_order_off():
    bars = story(*SWEPT, CHOCH)
    at = row_at(bars, START) + 2
    bars.spread[at] = 0.0003

    # With max_spread, and because a stop must lie three spreads away: 11.1 + 3 pips against 3 x 6.
    assert order(watch(bars, 3, max_spread=2.0)) is None
    assert order(watch(bars, 4, max_spread=2.0)) is not None
    bars.spread[at] = 0.0006
    assert order(watch(bars, 3)) is None
    assert order(watch(bars, 4)) is not None


SECOND = (STAY, (12, 16, 11, 14), STAY, STAY, STAY, (12, 27, 11, 25))
"""After CHOCH: a swing high of 16, and its break, a BOS with a body of 13 pips."""


def test_newer_break_takes_over_with_a_zone_that_price_meets_sooner():
    bars = story(*SWEPT, CHOCH, *SECOND)

    before, after = watch(bars, 8, discount=0.6), watch(bars, 9, discount=0.6)

    # The block of the second break is the last of the equal lows of 10, whose bar reaches 13; the leg from 10 to 27
    # allows entries up to 20.2.
    assert order(before)[:3] == ORDER[:3]
    assert leg(after).trigger == Trigger.BOS
    assert order(after)[1] == 13.0
    assert state_of(after).legs[1].side == 0


def test_newer_break_without_a_better_zone_leaves_the_order_alone():
    bars = story(*SWEPT, CHOCH, *SECOND)

    # Where only gaps count there is an order of the first leg, and the second leg has no gap.
    arena = watch(bars, 9, zone="ob", discount=0.38, ob_entry="near", trigger="choch_sweep")

    assert order(arena)[:3] == ORDER[:3]
    assert leg(arena).trigger == Trigger.CHOCH_SWEEP


def test_break_against_the_order_replaces_it():
    # In pattern mode the fall below the last low may be a BOS; either way the purchase is over.
    rows = (STAY, STAY, STAY, (12, 13, 8, 12), STAY, STAY, STAY, (14, 15, 3, 4))
    arena = watch(story(*SWEPT, CHOCH, *rows), 11, label_mode="pattern", discount=0.7)

    assert state_of(arena).structure.direction == -1
    found = order(arena)
    assert found is None or found[0] == -1


def test_break_while_a_position_is_open_starts_nothing():
    bars = story(*SWEPT, CHOCH, (12, 13, 0, 3), *[(3, 5, 2, 4)] * 4, (4, 22, 3, 21))

    arena = watch(bars, 9)

    assert arena.books[0].seen.n_positions == 1
    assert state_of(arena).structure.direction == 1
    assert leg(arena) is None
    assert order(arena) is None
    assert intents_of(arena) == []


BROKEN_BLOCK = (
    (0, 7, -3, 4), (4, 5, -14, -12), (-12, -8, -13, -9), (-9, -6, -11, -8), (-8, -7, -12, -9), (-9, 22, -10, 20),
)  # fmt: skip
"""A block of sales (-3 to 7, the high before a fall) that a CHoCH up from -14 breaks: a breaker for purchases."""


def test_breaker_serves_as_a_zone_where_it_is_on():
    bars = story(*BROKEN_BLOCK)
    options = {"trigger": "choch", "zone": "fvg", "discount": 0.705}

    off, on = watch(bars, 6, **options), watch(bars, 6, use_breakers=True, **options)

    kinds = [leg(on).zones[i].kind for i in range(leg(on).n_zones)]
    zone = leg(on).zones[kinds.index(Kind.BREAKER)]
    assert leg(off).n_zones == 0
    # Its far edge now faces price.
    assert (pips(zone.near), pips(zone.far)) == (7.0, -3.0)
    assert order(on)[1] == 7.0


def test_bad_bar_changes_nothing():
    bars = story(*SWEPT, CHOCH, (12, 13, 0, 3), (3, 24, 2, 22))
    bars.low[row_at(bars, "2024-06-12T05:00")] = 1.2

    assert when(only(play(bars)).entry_ns) == "Wed 08:45"


def test_no_order_before_the_warm_up():
    bars = story(*SWEPT, CHOCH)

    # A trend of EMA needs 155 H4 bars, one of structure 12 (192 bars of M15); the story begins after 224.
    assert leg(watch(bars, 3, trend_mode="ema")) is None
    assert resolve(bars, trend_mode="structure").config.trend_mode == "structure"
    early = story(*SWEPT, CHOCH, start="2024-06-10T02:00")
    assert order(watch(early, 3, start="2024-06-10T02:00")) is None
