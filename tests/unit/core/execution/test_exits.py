"""How an open position is guarded and left: partial targets, break-even, trailing, time, weekend, news; to the cent.

10,000 EURUSD, entered at the open of bar 1 at 1.1000 without spread, stop 1.0950: R is 50 pips, 50 dollars.
"""

import numpy as np
import pytest

from tests.support.markets import HOUR_NS, MINUTE_NS, flat_bars, make_bars, new_market, rules_of, utc
from tests.support.scripted import close, enter, modify, only_trade, play, rejects
from tradesentry.core.domain.orders import ExitReason, RejectCode, TrailMode

FLAT = (1.1000,) * 4
PARTIAL = {"partial_r": [1.0, 2.0, 0.0], "partial_fraction": [0.5, 0.25, 0.0]}


def run(rows, *script, spread=0.0, rules=None, **numbers):
    """Play a script over two flat bars and the given ones."""
    return play(new_market(**numbers), make_bars([FLAT, FLAT, *rows], spread=spread), script, rules=rules)


def money(trade):
    return round(float(trade.net), 2)


def test_partial_targets_take_their_share_of_the_first_size():
    """5,000 at 1.1050: 25.00. A quarter is 2,500, in steps of 1,000 it is 2,000, at 1.1100: 20.00. The other 3,000 at
    the target 1.1150: 45.00.

    Seen to fail with shares of what is left.
    """
    trade = only_trade(run([(1.1000, 1.1160, 1.1000, 1.1155)], enter(0, 1, 1.0950, 1.1150, **PARTIAL)))

    assert money(trade) == 90.00
    assert trade.exit_price == pytest.approx((5 * 1.1050 + 2 * 1.1100 + 3 * 1.1150) / 10)


def test_partial_targets_of_a_short_are_mirrored():
    """5,000 at 1.0950, 2,000 at 1.0900, 3,000 closed at 1.0890 by the end: 25.00 + 20.00 + 33.00."""
    trade = only_trade(run([(1.1000, 1.1000, 1.0885, 1.0890)], enter(0, -1, 1.1050, **PARTIAL)))

    assert money(trade) == 78.00


def test_partial_targets_that_the_open_passed_fill_there_even_if_the_stop_comes_later():
    """The bar opens at 1.1120: 5,000 and 2,000 there, 60.00 + 24.00. Then it falls to the stop: 3,000 x -0.0050.

    Seen to fail: the stop took all, although the open came first.
    """
    trade = only_trade(run([(1.1120, 1.1120, 1.0940, 1.0950)], enter(0, 1, 1.0950, **PARTIAL)))

    assert money(trade) == 69.00


def test_partial_that_would_leave_less_than_the_minimum_closes_all():
    """95 % of 10,000 in steps of 100 leaves 500, the minimum is 1,000: all at 1.1050."""
    script = enter(0, 1, 1.0950, partial_r=[1.0, 0.0, 0.0], partial_fraction=[0.95, 0.0, 0.0])

    trade = only_trade(run([(1.1000, 1.1060, 1.1000, 1.1055), FLAT], script, unit_step=100.0))

    assert trade.exit_reason == ExitReason.TAKE_PROFIT
    assert money(trade) == 50.00


def test_break_even_pays_for_the_commissions_and_the_offset():
    """0.35 each side is 0.7 pips of 10,000, the offset half a pip: stop 1.10012. Bar 3 falls through it:
    1.20 - 0.70 = 0.50.

    Seen to fail with the stop at the entry price.
    """
    rows = [(1.1000, 1.1050, 1.1000, 1.1040), (1.1040, 1.1040, 1.0990, 1.0995)]
    script = enter(0, 1, 1.0950, be_trigger_r=1.0, be_offset=0.00005)

    trade = only_trade(run(rows, script, commission_per_unit=3.5e-5))

    assert trade.exit_reason == ExitReason.BREAK_EVEN
    assert money(trade) == 0.50


def test_break_even_waits_for_the_close_of_the_bar():
    """The bar that reaches 1 R also falls back under the entry: which came first is not known, so nothing happens."""
    script = enter(0, 1, 1.0950, be_trigger_r=1.0)

    arena = run([(1.1000, 1.1050, 1.0990, 1.1020)], script)

    assert only_trade(arena).exit_reason == ExitReason.END_OF_DATA


def test_break_even_is_not_triggered_one_tick_short():
    rows = [(1.1000, 1.10499, 1.1000, 1.1040), (1.1040, 1.1040, 1.0990, 1.0995)]

    trade = only_trade(run(rows, enter(0, 1, 1.0950, be_trigger_r=1.0)))

    assert trade.exit_reason == ExitReason.END_OF_DATA


def test_trailing_by_distance_follows_closes_and_never_goes_back():
    """20 pips behind closes 1.1040 and 1.1030: 1.1020 stays. The third bar falls through it: 20.00.

    Seen to fail with a stop that follows down.
    """
    rows = [(1.1000, 1.1045, 1.1000, 1.1040), (1.1040, 1.1040, 1.1025, 1.1030), (1.1030, 1.1030, 1.1000, 1.1005)]
    script = enter(0, 1, 1.0950, trail_mode=TrailMode.DISTANCE, trail_distance=0.0020, trail_start_r=0.5)

    trade = only_trade(run(rows, script))

    assert trade.exit_reason == ExitReason.TRAILING
    assert money(trade) == 20.00


def test_trailing_waits_for_its_start():
    """Best 1.1020 is 0.4 R; it starts at 0.5."""
    rows = [(1.1000, 1.1020, 1.1000, 1.1020), (1.1020, 1.1020, 1.0990, 1.0995)]
    script = enter(0, 1, 1.0950, trail_mode=TrailMode.DISTANCE, trail_distance=0.0010, trail_start_r=0.5)

    assert only_trade(run(rows, script)).exit_reason == ExitReason.END_OF_DATA


def trending(side, n=18):
    """Return bars of 10 pips range, still for 16 bars and then moving 10 pips a bar to the side, spread 2 pips."""
    still = [(1.1000, 1.1005, 1.0995, 1.1000)] * 16
    rows, level = [], 1.1000
    for _ in range(n - 16):
        after = level + side * 0.0010
        rows.append((level, max(level, after), min(level, after), after))
        level = after
    return make_bars(still + rows, spread=0.0002)


@pytest.mark.parametrize("side", [1, -1])
def test_trailing_by_atr_hangs_from_the_close_at_the_exit_side(side):
    """ATR(14) of ranges of 10 pips is 10 pips. After two bars: 1.1020 - 2 x 0.0010 = 1.1000 for a long,
    1.0980 + 0.0002 + 2 x 0.0010 = 1.1002 for a short.
    """
    bars = np.concatenate(
        [trending(side), flat_bars(1, 1.1000 - side * 0.0300, start="2024-01-09T16:30", spread=0.0002)]
    )
    script = [enter(15, side, 1.1000 - side * 0.0100, trail_mode=TrailMode.ATR, trail_distance=2.0)]

    arena = play(new_market(), bars[:18], script)
    stopped = only_trade(play(new_market(), bars, script))

    stop = {1: 1.1000, -1: 1.1002}[side]
    assert arena.lanes[0].state[0].seen[17].stops == pytest.approx(stop, abs=1e-9)
    assert stopped.exit_reason == ExitReason.TRAILING


@pytest.mark.parametrize(("side", "stop"), [(1, 1.1000), (-1, 1.1002)])
def test_chandelier_hangs_from_the_best_exit_price_since_the_entry(side, stop):
    """The last bar turns back by 5 pips; the highest bid since the entry is 1.1020, the lowest ask 1.0980 + 0.0002; ATR
    is 10 pips (the turning bar has 10 too): two of them away.

    Seen to fail for shorts: from the lowest bid, a spread too tight.
    """
    bars = trending(side, 19)
    last = bars[18]
    last["close"] = last["open"] - side * 0.0005
    last["high"], last["low"] = max(last["open"], last["close"]), min(last["open"], last["close"])
    last["high" if side < 0 else "low"] = last["open"] - side * 0.0010
    exits = {"trail_mode": TrailMode.CHANDELIER, "trail_distance": 2.0, "trail_bars": 22}

    arena = play(new_market(), bars, [enter(15, side, 1.1000 - side * 0.0100, **exits)])

    assert arena.lanes[0].state[0].seen[18].stops == pytest.approx(stop, abs=1e-9)


def test_chandelier_counts_the_bar_of_the_entry():
    """Entered at the open of bar 16, which reaches 1.1030 and comes back; ATR(14) of ranges of 10 pips, once 40 (10 and
    3/14 of 10 more: 12.14 pips), then 10: (13 x 12.14 + 10) / 14 = 11.99. The stop hangs 2 ATR under 1.1030, at 1.1006.

    Seen to fail: from the bar after the entry on its high of 1.1005 counted, and the stop stayed where bar 16 left it.
    """
    still = [(1.1000, 1.1005, 1.0995, 1.1000)] * 16
    rows = [*still, (1.1000, 1.1030, 1.0990, 1.1025), (1.1025, 1.1027, 1.1017, 1.1020)]
    exits = {"trail_mode": TrailMode.CHANDELIER, "trail_distance": 2.0, "trail_bars": 22}

    arena = play(new_market(), make_bars(rows), [enter(15, 1, 1.0900, **exits)])

    atr = 0.0010 + 0.0030 / 14
    after = (13 * atr + 0.0010) / 14
    seen = arena.lanes[0].state[0].seen
    assert seen[16].stops == pytest.approx(1.1030 - 2 * atr, abs=1e-9)
    assert seen[17].stops == pytest.approx(1.1030 - 2 * after, abs=1e-9)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0])
def test_trailing_stop_of_a_short_is_the_same_at_any_cost_scale(scale):
    """Where a stop trails is decided by the spread of the data: 1.0980 + 0.0002 + 2 x 0.0010 = 1.1002.

    Seen to fail: with twice the costs it lay at 1.1004, without any at 1.1000.
    """
    for mode in (TrailMode.ATR, TrailMode.CHANDELIER):
        exits = {"trail_mode": mode, "trail_distance": 2.0, "trail_bars": 22}

        arena = play(new_market(cost_scale=scale), trending(-1), [enter(15, -1, 1.1100, **exits)])

        assert arena.lanes[0].state[0].seen[17].stops == pytest.approx(1.1002, abs=1e-9)


def test_stop_cannot_be_moved_away():
    arena = run([FLAT], enter(0, 1, 1.0950), modify(1, 1.0940, target_id=-1), modify(1, 1.0960, target_id=-1))

    assert rejects(arena) == [RejectCode.LOOSENS_STOP]
    assert arena.lanes[0].state[0].seen[2].stops == pytest.approx(1.0960)


@pytest.mark.parametrize(
    "exits", [{"max_bars": 2}, {"exit_ns": utc("2024-01-09T12:45")}], ids=["after bars", "at a time"]
)
def test_time_stop_closes_at_the_close(exits):
    """Entered at 12:15; the second bar closes at 12:45 at 1.1010: 10.00."""
    trade = only_trade(run([(1.1000, 1.1020, 1.1000, 1.1010), FLAT], enter(0, 1, 1.0950, **exits)))

    assert trade.exit_reason == ExitReason.TIME
    assert trade.exit_ns == utc("2024-01-09T12:45")
    assert money(trade) == 10.00


def friday(n, **more):
    """Return hourly bars from Friday 18:00 UTC; the FX week ends at 22:00."""
    return flat_bars(n, 1.1000, start="2024-01-12T18:00", minutes=60, **more)


def weekend_rules(**more):
    return rules_of(bar_ns=HOUR_NS, weekend_flatten=True, no_entry_lead_ns=2 * HOUR_NS, **more)


@pytest.mark.parametrize(("lead_minutes", "left"), [(0, "2024-01-12T22:00"), (60, "2024-01-12T21:00")])
def test_week_end_flattens_at_the_last_close_before_friday_17_new_york(lead_minutes, left):
    """Seen to fail with the first close at or after it."""
    rules = weekend_rules(weekend_lead_ns=lead_minutes * MINUTE_NS)

    trade = only_trade(play(new_market(), friday(4), [enter(0, 1, 1.0950)], rules=rules))

    assert trade.exit_reason == ExitReason.WEEKEND
    assert trade.exit_ns == utc(left)


def test_week_end_that_the_data_miss_flattens_at_the_open_of_sunday():
    """No bar after 20:00 on Friday; Sunday opens at 1.0970 at 22:00: -30.00 although the stop is at 1.0950."""
    bars = make_bars(
        [FLAT, FLAT, (1.0970,) * 4], start="2024-01-12T18:00", minutes=60, gap_after=1, gap_minutes=50 * 60
    )

    trade = only_trade(play(new_market(), bars, [enter(0, 1, 1.0950)], rules=weekend_rules()))

    assert trade.exit_reason == ExitReason.WEEKEND
    assert trade.exit_ns == utc("2024-01-14T22:00")
    assert money(trade) == -30.00


def test_position_that_is_held_over_the_weekend_is_stopped_at_the_open_of_sunday():
    """Stop 1.0950, Sunday opens at 1.0900: -100.00."""
    bars = make_bars(
        [FLAT, FLAT, (1.0900,) * 4], start="2024-01-12T18:00", minutes=60, gap_after=1, gap_minutes=50 * 60
    )

    trade = only_trade(play(new_market(), bars, [enter(0, 1, 1.0950)]))

    assert trade.exit_reason == ExitReason.STOP_LOSS
    assert money(trade) == -100.00


def test_no_entry_in_the_last_two_hours_of_the_week():
    arena = play(new_market(), friday(4), [enter(1, 1, 1.0950), enter(2, 1, 1.0950)], rules=weekend_rules())

    assert rejects(arena) == [RejectCode.SESSION] * 2


def test_resting_orders_are_canceled_where_entries_end():
    """An order of 19:00 is gone at 20:00."""
    from tests.support.scripted import limit

    arena = play(new_market(), friday(4), [limit(0, 1, 1.0900, 1.0800)], rules=weekend_rules())

    assert rejects(arena) == [RejectCode.SESSION]
    assert arena.reject_rows[0].ts_ns == utc("2024-01-12T20:00")


def news_rules(**more):
    return rules_of(uses_news=True, **more)


def test_news_flatten_closes_at_the_close_before_the_blackout():
    """Blackout from 12:40: the bar of 12:45 would meet it, so out at 12:30."""
    market = new_market(blackouts=[(utc("2024-01-09T12:40"), utc("2024-01-09T13:40"))])

    trade = only_trade(play(market, flat_bars(6, 1.1000), [enter(0, 1, 1.0950)], rules=news_rules(news_flatten=True)))

    assert trade.exit_reason == ExitReason.NEWS
    assert trade.exit_ns == utc("2024-01-09T12:30")


def test_closing_keeps_the_reason_that_the_strategy_gives():
    trade = only_trade(run([FLAT], enter(0, 1, 1.0950), close(1, reason=ExitReason.TIME)))

    assert trade.exit_reason == ExitReason.TIME


def test_excursions_are_measured_from_the_entry_to_the_exit_side():
    """Low 1.0980 is 0.4 R against, high 1.1020 0.4 R for; with finer bars an entry at 12:30 does not see what the bar
    did before.
    """
    trade = only_trade(run([(1.1000, 1.1020, 1.0980, 1.1000)], enter(0, 1, 1.0950)))

    assert float(trade.mae_r) == pytest.approx(0.4)
    assert float(trade.mfe_r) == pytest.approx(0.4)


def test_entry_at_the_open_of_a_later_finer_bar_does_not_see_the_high_before_it():
    """Bar 1 has a high of 1.1060 in its first third; the limit fills at the open of its second third, at 1.0970. With
    break-even at 1 R (20 pips) from that high the stop would be at 1.0970, and bar 2 would end it there.

    Seen to fail: break-even by a high from before the entry.
    """
    from tests.support.scripted import limit

    whole = [FLAT, (1.1000, 1.1060, 1.0965, 1.0975), (1.0975, 1.0980, 1.0960, 1.0980)]
    parts = [(1.1000, 1.1060, 1.1000, 1.1000), (1.0970, 1.0975, 1.0965, 1.0970), (1.0970, 1.0975, 1.0970, 1.0975)]
    fine = make_bars(parts, minutes=5, start="2024-01-09T12:15")

    arena = play(new_market(), make_bars(whole), [limit(0, 1, 1.0980, 1.0950, be_trigger_r=1.0)], fine=fine)

    assert only_trade(arena).entry_price == 1.0970
    assert only_trade(arena).exit_reason == ExitReason.END_OF_DATA
