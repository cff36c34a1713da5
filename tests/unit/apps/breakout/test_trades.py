"""Trades worked out by hand, one winner, one loser, one time exit and one canceled order per mode."""

import pytest

from tests.unit.apps.breakout.factories import codes, hold, play, put, quiet_bars, upside_down, when, without
from tradesentry.core.domain.orders import ExitReason, RejectCode

BREAK = (1.1000, 1.1011, 1.0999, 1.1010)
"""Closes 5 pips above the range of a quiet morning; the far side is 15 pips away."""


def broken(bars, text, *after):
    """A break at `text`, then `after`, then 1.1015 to the end of the day."""
    hold(bars, text, "2024-06-12T21:00", 1.1015)
    return put(bars, text, BREAK, *after)


def only(arena):
    assert len(arena.trade_rows) == 1
    return arena.trade_rows[0]


def test_orb_close_takes_two_r_at_the_target():
    bars = broken(quiet_bars(), "2024-06-12T07:30", (1.1010, 1.1020, 1.1006, 1.1015), (1.1015, 1.1045, 1.1010, 1.1035))

    trade = only(play(bars))

    # Entry at the next open 1.1010, stop at the low of the range 1.0995: 15 pips. 500 / 0.0015 = 333,333 units, down
    # to the step 333,000. Target 1.1010 + 2 x 0.0015 = 1.1040: 333,000 x 0.0030 = 999.
    assert (when(trade.entry_ns), trade.side, trade.units) == ("Wed 07:45", 1, 333_000)
    assert (trade.entry_price, trade.stop_at_entry) == (pytest.approx(1.1010), pytest.approx(1.0995))
    assert trade.exit_price == pytest.approx(1.1040)
    assert trade.net == pytest.approx(999.0)
    assert trade.r_multiple == pytest.approx(2.0)
    assert trade.exit_reason == ExitReason.TAKE_PROFIT


def test_orb_close_loses_the_budget_at_the_stop():
    bars = broken(quiet_bars(), "2024-06-12T07:30", (1.1010, 1.1020, 1.0990, 1.1000))

    trade = only(play(bars))

    # 333,000 x 0.0015 = 499.50, under the 500 of 0.5 % of 100,000.
    assert (trade.exit_price, trade.exit_reason) == (pytest.approx(1.0995), ExitReason.STOP_LOSS)
    assert trade.net == pytest.approx(-499.5)


def test_orb_close_leaves_at_the_end_of_the_session():
    bars = broken(quiet_bars(), "2024-06-12T07:30", (1.1010, 1.1020, 1.1006, 1.1015))

    trade = only(play(bars))

    # 17:00 London is 16:00 UTC; the close is 1.1015: 333,000 x 0.0005 = 166.50.
    assert (when(trade.exit_ns), trade.exit_reason) == ("Wed 16:00", ExitReason.TIME)
    assert trade.net == pytest.approx(166.5)


def test_orb_close_is_canceled_when_the_next_bar_is_missing():
    bars = without(broken(quiet_bars(), "2024-06-12T07:30"), "2024-06-12T07:45", "2024-06-12T08:00")

    arena = play(bars)

    assert len(arena.trade_rows) == 0
    assert codes(arena) == [RejectCode.DATA_GAP]


def test_orb_close_is_canceled_when_the_open_runs_away():
    # Half of 15 pips is 7.5; the open is 8 pips above the signal.
    bars = broken(quiet_bars(), "2024-06-12T07:30", (1.1018, 1.1020, 1.1015, 1.1015))

    arena = play(bars)

    assert codes(arena) == [RejectCode.OPEN_TOO_FAR]


def test_short_pays_the_spread_once_and_its_stop_lies_a_spread_above_the_range():
    bars = upside_down(
        broken(quiet_bars(), "2024-06-12T07:30", (1.1010, 1.1020, 1.1006, 1.1015), (1.1015, 1.1045, 1.1010, 1.1035))
    )
    bars.spread = 0.0001

    trade = only(play(bars))

    # Sold at the bid 1.0990; the bid reaches the range's high 1.1005 when the ask is 1.1006: 16 pips, and the budget
    # counts a spread on top: 500 / 0.0017 = 294,117, down to 294,000. Bought at the ask 1.0990 - 0.0032 = 1.0958.
    assert (trade.entry_price, trade.stop_at_entry) == (pytest.approx(1.0990), pytest.approx(1.1006))
    assert (trade.units, trade.exit_price) == (294_000, pytest.approx(1.0958))
    assert trade.net == pytest.approx(294_000 * 0.0032)


STOP = {"entry_mode": "stop", "buf_atr": 0.1}
"""One pip of buffer: quiet bars, which touch both edges of the range, do not reach the orders at 1.1006 and 1.0994."""


def test_orb_stop_order_fills_at_its_price_and_wins():
    bars = put(quiet_bars(), "2024-06-12T08:00", (1.1, 1.1012, 1.0998, 1.1010), (1.1010, 1.1030, 1.1008, 1.1020))
    hold(bars, "2024-06-12T08:30", "2024-06-12T21:00", 1.1003)

    trade = only(play(bars, **STOP))

    # Buy stop at 1.1005 + 0.1 x 10 pips, stop 1.0995: 11 pips, 500 / 0.0011 = 454,545 -> 454,000; target 1.1028.
    assert (trade.entry_price, trade.units) == (pytest.approx(1.1006), 454_000)
    assert when(trade.entry_ns) == "Wed 08:00"
    assert trade.net == pytest.approx(454_000 * 0.0022)
    assert trade.exit_reason == ExitReason.TAKE_PROFIT


def test_orb_stop_order_may_lose_on_the_bar_that_fills_it():
    bars = put(quiet_bars(), "2024-06-12T08:00", (1.1000, 1.1012, 1.0995, 1.1000))

    trade = only(play(bars, **STOP, stop="mid"))

    # 1.1006 and the middle 1.1000 lie inside the bar; the path is unknown, so the stop was hit after the entry.
    assert (trade.units, trade.exit_reason) == (833_000, ExitReason.STOP_LOSS)
    assert trade.net == pytest.approx(-833_000 * 0.0006)
    assert trade.exit_ns - trade.entry_ns == 15 * 60 * 10**9


def test_orb_stop_order_leaves_at_the_end_of_the_session():
    bars = put(quiet_bars(), "2024-06-12T08:00", (1.1, 1.1012, 1.0998, 1.1010))
    hold(bars, "2024-06-12T08:15", "2024-06-12T21:00", 1.1010)

    trade = only(play(bars, **STOP))

    assert (when(trade.exit_ns), trade.exit_reason) == ("Wed 16:00", ExitReason.TIME)
    assert trade.net == pytest.approx(454_000 * 0.0004)


def test_orb_stop_orders_are_canceled_at_the_cutoff():
    arena = play(quiet_bars(), **STOP)

    # The window is 07:30 + 150 minutes. Monday is the warm-up; both orders of four days end at 10:00.
    assert len(arena.trade_rows) == 0
    assert codes(arena) == [RejectCode.ORDER_EXPIRED] * 8
    assert {when(ts)[4:] for ts in arena.reject_rows.ts_ns} == {"10:00"}


def test_retest_enters_on_the_bar_that_comes_back_and_wins():
    bars = quiet_bars()
    hold(bars, "2024-06-12T07:30", "2024-06-12T21:00", 1.1015)
    put(bars, "2024-06-12T07:30", BREAK, (1.1010, 1.1014, 1.1008, 1.1012), (1.1012, 1.1013, 1.1004, 1.1009))
    put(bars, "2024-06-12T08:15", (1.1009, 1.1012, 1.1008, 1.1012), (1.1012, 1.1040, 1.1010, 1.1030))

    trade = only(play(bars, entry_mode="retest"))

    # The bar of 08:00 comes down to 1.1004 <= 1.1005 + tolerance and closes above 1.1005. Entry 1.1009, stop 1.0995:
    # 14 pips, 500 / 0.0014 = 357,142 -> 357,000; target 1.1037.
    assert (when(trade.entry_ns), trade.units) == ("Wed 08:15", 357_000)
    assert trade.net == pytest.approx(357_000 * 0.0028)


def test_retest_is_canceled_by_a_close_beyond_the_middle():
    bars = quiet_bars()
    hold(bars, "2024-06-12T07:30", "2024-06-12T21:00", 1.1002)
    put(bars, "2024-06-12T07:30", BREAK, (1.1010, 1.1011, 1.0997, 1.0998))

    arena = play(bars, entry_mode="retest")

    assert len(arena.trade_rows) == 0


def test_retest_runs_out_of_time():
    bars = quiet_bars()
    hold(bars, "2024-06-12T07:30", "2024-06-12T09:00", 1.1015)
    put(bars, "2024-06-12T07:30", BREAK)
    # Six bars after the break (07:45 to 09:00) nothing came back; the seventh does, too late.
    hold(bars, "2024-06-12T09:00", "2024-06-12T09:15", 1.1015)
    put(bars, "2024-06-12T09:15", (1.1015, 1.1015, 1.1004, 1.1007))
    hold(bars, "2024-06-12T09:30", "2024-06-12T21:00", 1.1003)

    arena = play(bars, entry_mode="retest")

    assert len(arena.trade_rows) == 0


def london_day(*after):
    bars = quiet_bars()
    hold(bars, "2024-06-12T07:15", "2024-06-12T21:00", 1.1015)
    return put(bars, "2024-06-12T07:00", BREAK, *after)


def test_london_takes_two_r_at_the_target():
    bars = london_day((1.1010, 1.1020, 1.1006, 1.1015), (1.1015, 1.1045, 1.1010, 1.1035))

    trade = only(play(bars, modes=["london"]))

    # The range is 00:00 to 07:00 London, 1.0995 to 1.1005; the bar of 08:00 London breaks it.
    assert (when(trade.entry_ns), trade.units, trade.tag) == ("Wed 07:15", 333_000, 5)
    assert trade.net == pytest.approx(999.0)


def test_london_loses_the_budget_at_the_stop():
    trade = only(play(london_day((1.1010, 1.1020, 1.0990, 1.1000)), modes=["london"]))

    assert trade.net == pytest.approx(-499.5)


def test_london_leaves_at_the_end_of_the_session():
    trade = only(play(london_day((1.1010, 1.1020, 1.1006, 1.1015)), modes=["london"]))

    assert (when(trade.exit_ns), trade.exit_reason) == ("Wed 16:00", ExitReason.TIME)
    assert trade.net == pytest.approx(166.5)


def test_london_is_canceled_when_the_next_bar_is_missing():
    arena = play(without(london_day(), "2024-06-12T07:15", "2024-06-12T07:30"), modes=["london"])

    assert codes(arena) == [RejectCode.DATA_GAP]


BB = {"modes": ["bb"], "bb_n": 10, "squeeze_m": 60, "breakout_bar": True}
BURST = (1.1000, 1.1021, 1.0999, 1.1020)
"""After nine closes at 1.1000: mean 1.1002, deviation 6 pips, upper band 1.1014."""


def burst(*after, then=1.1025):
    bars = quiet_bars()
    hold(bars, "2024-06-12T09:00", "2024-06-12T21:00", then)
    return put(bars, "2024-06-12T09:00", BURST, *after)


def test_bb_takes_two_r_at_the_target():
    bars = burst((1.1020, 1.1030, 1.1015, 1.1025), (1.1025, 1.1060, 1.1020, 1.1050))

    trade = only(play(bars, **BB))

    # Stop at the middle band 1.1002, which is more than one ATR (10 pips) away: 18 pips; 500 / 0.0018 = 277,777 ->
    # 277,000. Target 1.1020 + 0.0036 = 1.1056: 277,000 x 0.0036 = 997.20.
    assert (when(trade.entry_ns), trade.units, trade.tag) == ("Wed 09:15", 277_000, 6)
    assert trade.stop_at_entry == pytest.approx(1.1002)
    assert trade.net == pytest.approx(997.2)


def test_bb_stop_is_at_least_one_atr_away():
    bars = quiet_bars()
    bars.high, bars.low = 1.1015, 1.0985
    hold(bars, "2024-06-12T09:00", "2024-06-12T21:00", 1.1025)
    put(bars, "2024-06-12T09:00", BURST)

    trade = only(play(bars, **BB))

    # ATR is 30 pips, so the middle band, 18 pips away, is too near.
    assert trade.stop_at_entry == pytest.approx(1.1020 - 0.0030)


def test_bb_loses_the_budget_at_the_stop():
    trade = only(play(burst((1.1020, 1.1021, 1.1001, 1.1004)), **BB))

    assert trade.exit_reason == ExitReason.STOP_LOSS
    assert trade.net == pytest.approx(-277_000 * 0.0018)


def test_bb_leaves_on_a_close_inside_the_middle_band():
    bars = burst((1.1020, 1.1022, 1.1018, 1.1020), then=1.1020)
    # The middle band rises with every close at 1.1020; then a close falls below it, well above the stop.
    put(bars, "2024-06-12T10:30", (1.1020, 1.1020, 1.1009, 1.1010), (1.1012, 1.1013, 1.1011, 1.1012))

    trade = only(play(bars, **BB))

    # Ten closes to 10:45: 1.1000 x 3, 1.1020 x 6, 1.1010: mean 1.1013 > 1.1010. Out at the next open 1.1012.
    assert (when(trade.exit_ns), trade.exit_reason) == ("Wed 10:45", ExitReason.STRATEGY)
    assert trade.net == pytest.approx(277_000 * (1.1012 - 1.1020))


def test_bb_trails_by_three_atr():
    bars = burst((1.1020, 1.1040, 1.1018, 1.1040), (1.1040, 1.1060, 1.1040, 1.1060), then=1.1060)

    trade = only(play(bars, **BB, bb_exit="atr_trail", target=None))

    assert trade.stop_at_entry == pytest.approx(1.1002)
    assert trade.exit_reason in (ExitReason.TIME, ExitReason.TRAILING)


def test_bb_leaves_after_its_bars():
    trade = only(play(burst((1.1020, 1.1022, 1.1018, 1.1020)), **BB, bb_time=8, bb_exit="atr_trail"))

    # The bar of 09:15 counts as the first: the eighth closes at 11:15, at 1.1025.
    assert (when(trade.exit_ns), trade.exit_reason) == ("Wed 11:15", ExitReason.TIME)
    assert trade.net == pytest.approx(277_000 * 0.0005)


def test_bb_is_canceled_when_the_next_bar_is_missing():
    arena = play(without(burst(), "2024-06-12T09:15", "2024-06-12T09:30"), **BB)

    assert codes(arena) == [RejectCode.DATA_GAP]


def test_time_exit_ends_a_trade_after_its_minutes():
    bars = broken(quiet_bars(), "2024-06-12T07:30", (1.1010, 1.1020, 1.1006, 1.1015))

    trade = only(play(bars, time_exit=60))

    assert (when(trade.entry_ns), when(trade.exit_ns)) == ("Wed 07:45", "Wed 08:45")


def test_be_takes_half_off_at_one_r_and_moves_the_stop_to_entry():
    bars = quiet_bars()
    hold(bars, "2024-06-12T07:30", "2024-06-12T21:00", 1.1003)
    put(bars, "2024-06-12T07:30", BREAK, (1.1010, 1.1014, 1.1009, 1.1012))
    put(bars, "2024-06-12T08:00", (1.1012, 1.1026, 1.1011, 1.1020), (1.1020, 1.1022, 1.1005, 1.1006))

    trade = only(play(bars, be=True))

    # 1 R is 15 pips: at 1.1025 half of 333,000, down to the step 166,000, earns 249; the rest leaves at 1.1010.
    assert trade.exit_reason == ExitReason.BREAK_EVEN
    assert trade.net == pytest.approx(166_000 * 0.0015)


@pytest.mark.parametrize(("stop", "pips"), [("opposite", 15), ("mid", 10), ("atr", 15)])
def test_stop_lies_where_its_rule_says(stop, pips):
    bars = broken(quiet_bars(), "2024-06-12T07:30", (1.1010, 1.1020, 1.1006, 1.1015))

    trade = only(play(bars, stop=stop))

    # Range 1.0995 to 1.1005 and entry 1.1010; the ATR before the break is 10 pips, 1.5 of them are 15.
    assert trade.entry_price - trade.stop_at_entry == pytest.approx(pips * 1e-4)


def test_stop_day_atr_is_a_twentieth_of_the_atr_of_fx_days():
    bars = quiet_bars("2024-05-20T00:00")
    # One bar of 200 pips an FX day, after the session, makes ATR_D 200 pips.
    late = (bars.open_ns // (15 * 60 * 10**9)) % 96 == 76
    bars.high[late], bars.low[late] = 1.1100, 1.0900
    broken(bars, "2024-06-12T07:30", (1.1010, 1.1020, 1.1006, 1.1015))

    trade = only(play(bars, stop="day_atr"))

    assert trade.entry_price - trade.stop_at_entry == pytest.approx(0.0010)


@pytest.mark.parametrize("target", [1.0, 1.5, 2.0, 3.0, 10.0, None])
def test_target_is_a_multiple_of_the_risk(target):
    bars = broken(quiet_bars(), "2024-06-12T07:30", (1.1010, 1.1020, 1.1006, 1.1015), (1.1015, 1.1300, 1.1010, 1.1035))

    trade = only(play(bars, target=target))

    expected = 1.1015 if target is None else 1.1010 + target * 0.0015
    assert trade.exit_price == pytest.approx(expected)
