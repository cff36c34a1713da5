"""Edge cases of ranges: states of a slot, coverage, width, volume."""

import pytest

from tests.unit.apps.breakout.factories import (
    hold,
    phase,
    play,
    put,
    quiet_bars,
    row_at,
    slot,
    watch,
    when,
    without,
)
from tests.unit.apps.breakout.test_trades import BREAK, broken
from tradesentry.core.strategy.indicators.opening_range import BAD_WIDTH, LOW_COVERAGE, LOW_VOLUME

MORNING = "2024-06-12T07:30"


def test_slot_walks_through_its_states():
    bars = broken(quiet_bars(), MORNING, (1.1010, 1.1020, 1.1006, 1.1015))

    seen = [
        phase(watch(bars, f"2024-06-12T{at}", sessions=["london"]))
        for at in ("06:30", "07:15", "07:30", "07:45", "08:00", "16:00", "16:15")
    ]

    assert seen == ["IDLE", "BUILDING", "ARMED", "DONE", "IN_TRADE", "DONE", "IDLE"]


def test_mode_london_is_set_until_london_opens():
    bars = quiet_bars()

    assert phase(watch(bars, "2024-06-12T06:30", modes=["london"]), 4) == "SET"
    assert phase(watch(bars, "2024-06-12T07:00", modes=["london"]), 4) == "ARMED"


def test_mode_london_ignores_a_break_before_london_opens():
    # The range ends at 07:00 London; the bar of 07:30 London breaks it and falls back.
    bars = put(quiet_bars(), "2024-06-12T06:30", BREAK)

    assert len(play(bars, modes=["london"]).trade_rows) == 0


@pytest.mark.parametrize(
    ("window", "from_utc"),
    [("london_00_07", "23:00"), ("london_00_08", "23:00"), ("tokyo_09_15", "00:00"), ("london_07_08", "06:00")],
)
def test_mode_london_takes_its_range_from_the_chosen_window(window, from_utc):
    bars = put(quiet_bars(), "2024-06-12T07:00", BREAK)
    hold(bars, "2024-06-12T07:15", "2024-06-12T21:00", 1.1015)

    arena = play(bars, modes=["london"], range_window=window)

    assert [when(t.entry_ns) for t in arena.trade_rows] == ["Wed 07:15"]
    found = slot(watch(bars, "2024-06-12T07:00", modes=["london"], range_window=window), 4).range.range
    assert when(found.start_ns)[4:] == from_utc


def test_missing_first_bar_of_the_range_fails_its_coverage():
    bars = without(broken(quiet_bars(), MORNING), "2024-06-12T07:00", "2024-06-12T07:15")

    arena = watch(bars, "2024-06-12T08:00")

    assert (phase(arena), slot(arena).range.reason) == ("REJECTED", LOW_COVERAGE)
    assert len(play(bars).trade_rows) == 0


def test_range_without_bars_is_rejected():
    bars = without(quiet_bars(), "2024-06-12T07:00", "2024-06-12T07:30")

    arena = watch(bars, "2024-06-12T08:00")

    assert phase(arena) == "REJECTED"


def test_break_on_the_bar_that_sets_the_range_from_outside_counts():
    # M5, coverage 5 of 6: the last bar of the range is missing, and the bar that sets it closes above it.
    bars = without(quiet_bars(minutes=5), "2024-06-12T07:25", "2024-06-12T07:30")
    put(bars, MORNING, BREAK)
    hold(bars, "2024-06-12T07:35", "2024-06-12T21:00", 1.1015)

    arena = play(bars)

    assert [when(t.entry_ns) for t in arena.trade_rows] == ["Wed 07:35"]


def long_history():
    """Quiet bars of four weeks: ATR_D exists, and is 10 pips."""
    return quiet_bars("2024-05-13T00:00")


def test_spike_in_the_range_fails_the_width_filter():
    bars = long_history()
    spike = put(bars.copy(), "2024-06-12T07:15", (1.1000, 1.1300, 1.0995, 1.1000))
    put(bars, "2024-06-12T02:00", (1.1000, 1.1010, 1.0990, 1.1000))

    # ATR_D is about 10 pips and every range is as wide: 1.0 x ATR_D passes 1.2, 30 x does not.
    calm = watch(bars, "2024-06-12T07:30", w_lo=0.1, w_hi=1.2)
    wild = watch(spike, "2024-06-12T07:30", w_lo=0.1, w_hi=1.2)

    assert phase(calm) == "ARMED"
    assert (phase(wild), slot(wild).range.reason) == ("REJECTED", BAD_WIDTH)


def test_width_filter_refuses_while_atr_d_is_unknown():
    arena = watch(quiet_bars(), "2024-06-12T07:30", w_lo=0.1, w_hi=1.2)

    assert (phase(arena), slot(arena).range.reason) == ("REJECTED", BAD_WIDTH)


def test_low_relative_volume_rejects():
    bars = long_history()
    bars.volume[row_at(bars, "2024-06-12T07:00") : row_at(bars, MORNING)] = 70.0

    low = watch(bars, MORNING, rvol_min=0.8)
    normal = watch(bars, "2024-06-11T07:30", rvol_min=0.8)

    assert slot(low).range.rvol == pytest.approx(0.7)
    assert (phase(low), slot(low).range.reason) == ("REJECTED", LOW_VOLUME)
    assert phase(normal) == "ARMED"
