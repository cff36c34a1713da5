"""What is refused, with row and advice; what is only reported; what repair changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.market.fx_bars import DAY, HOUR, MINUTE, bars_at, fx_opens, ns, same_bars
from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.validation import describe, repair, validate

WEEKS = fx_opens("2018-03-01", "2018-04-20")


def week(timeframe="H1", **kwargs):
    return bars_at(WEEKS, timeframe, **kwargs)


def set_value(bars, row, field, value):
    bars[field][row] = value


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("close", np.nan, "not a number"),
        ("open", np.inf, "not a number"),
        ("low", 0.0, "zero or negative"),
        ("low", -1.1, "zero or negative"),
        ("high", 0.9, "high below its low"),
        ("volume", -1.0, "negative volume"),
    ],
)
def test_a_bar_with_impossible_numbers_is_refused_with_its_line(field, value, reason):
    bars = week()
    set_value(bars, 41, field, value)

    with pytest.raises(ImportRefused, match=reason) as refusal:
        validate(bars, "H1", "EURUSD", origin="a.csv", lines=np.arange(bars.size) + 2)

    assert "a.csv: line 43 (" in str(refusal.value)


@pytest.mark.parametrize(("field", "shift", "reason"), [("high", -1, "above its high"), ("low", 1, "below its low")])
def test_a_range_that_does_not_hold_its_own_bar_is_refused(field, shift, reason):
    bars = week()
    middle = (bars.open[7] + bars.close[7]) / 2
    bars.open[7], bars.close[7] = middle - 1e-4, middle + 1e-4
    bars.high[7], bars.low[7] = middle + 2e-4, middle - 2e-4
    set_value(bars, 7, field, middle)

    with pytest.raises(ImportRefused, match=f"row 8 .*{reason}"):
        validate(bars, "H1", "EURUSD")


def test_rows_out_of_order_are_refused():
    bars = week()
    bars[[10, 11]] = bars[[11, 10]]

    with pytest.raises(ImportRefused, match=r"row 12 .*earlier than the row before"):
        validate(bars, "H1", "EURUSD")


def test_a_repeated_time_is_refused():
    bars = week()
    bars[11] = bars[10]

    with pytest.raises(ImportRefused, match=r"row 12 .*time of the row before"):
        validate(bars, "H1", "EURUSD")


def test_a_time_off_the_grid_is_refused():
    bars = week()
    bars.open_ns[5] += 7 * MINUTE

    with pytest.raises(ImportRefused, match=r"row 6 .*grid"):
        validate(bars, "H1", "EURUSD")


def test_bars_that_overlap_are_refused():
    opens = np.array([ns("2024-01-02 00:00"), ns("2024-01-02 02:00")])

    with pytest.raises(ImportRefused, match="before the bar before it has ended"):
        validate(bars_at(opens, "H4"), "H4", "EURUSD")


def test_a_wrong_timeframe_is_refused_with_the_right_one():
    with pytest.raises(ImportRefused, match="--timeframe H1"):
        validate(bars_at(WEEKS, "M15"), "M15", "EURUSD")


def test_prices_scaled_to_whole_points_are_refused_with_the_scale():
    bars = bars_at(WEEKS, price=82_000.0, tick=1.0)

    with pytest.raises(ImportRefused, match="--price-scale 0.001"):
        validate(bars, "H1", "USDJPY")


def test_one_price_that_lost_its_decimal_point_is_refused():
    bars = week()
    bars.high[30] = 1_058.0

    with pytest.raises(ImportRefused, match=r"row 31 .*1058"):
        validate(bars, "H1", "EURUSD")


def test_a_feed_that_alternates_between_two_prices_for_days_is_refused_from_its_first_row():
    bars = week()
    low, high = 1.1, 1.10001
    stuck = slice(100, 148)
    bars.open[stuck], bars.close[stuck] = low, high
    bars.open[101:148:2], bars.close[101:148:2] = high, low
    bars.low[stuck], bars.high[stuck] = low, high

    with pytest.raises(ImportRefused, match=r"row 101 .*stuck feed: 48 bars"):
        validate(bars, "H1", "EURUSD")

    assert validate(bars, "H1", "EURUSD", accept_stuck=True).n_stuck == 48


def test_sound_bars_pass_and_the_week_end_is_no_gap():
    report = validate(week(), "H1", "EURUSD")

    assert (report.n_bars, report.n_gaps, report.n_missing) == (WEEKS.size, 0, 0)


def test_gaps_are_counted_in_bars_of_the_trading_week_across_a_clock_change():
    kept = np.ones(WEEKS.size, bool)
    kept[20:24] = False
    across = (ns("2018-03-09 20:00") <= WEEKS) & (ns("2018-03-11 23:00") > WEEKS)
    kept[across] = False

    report = describe(bars_at(WEEKS[kept]), "H1", "EURUSD")

    assert report.n_gaps == 2
    assert report.n_missing == 4 + int(across.sum())
    assert report.longest_gap_bars == max(4, int(across.sum()))


def test_a_market_with_a_daily_break_has_no_gap_in_its_break():
    opens = fx_opens("2018-01-08", "2018-03-30")
    local_hour = ((opens // HOUR) - 5) % 24
    winter = opens < ns("2018-03-09")
    metals = opens[winter & (local_hour != 17)]

    assert describe(bars_at(metals, price=1300.0, tick=0.01), "H1", "XAUUSD").n_missing == 0


def test_the_turn_of_the_year_is_left_out_of_the_gaps():
    opens = fx_opens("2018-11-01", "2019-02-01")
    closed = (opens >= ns("2018-12-24 05:00")) & (opens < ns("2019-01-03 05:00"))

    assert describe(bars_at(opens[~closed]), "H1", "EURUSD").n_missing == 0


def test_spikes_flat_bars_and_spreads_are_counted():
    bars = week()
    bars.high[200] = bars.high[200] + 0.02
    bars.high[60] = bars.low[60] = bars.open[60] = bars.close[60] = 1.1
    bars.spread[:3] = 0.0
    bars.spread[3] = -1e-5

    report = describe(bars, "H1", "EURUSD")

    assert report.n_spikes == 1
    assert report.n_flat >= 1
    assert (report.n_zero_spread, report.n_negative_spread) == (3, 1)


def test_repair_drops_rows_at_fault_and_says_which():
    bars = week()
    bars.high[5] = 0.5
    bars.close[9] = np.nan
    bars[12] = bars[11]
    bars.spread[20] = -1.0
    bars[[30, 31]] = bars[[31, 30]]
    before = bars.copy()

    repaired, changes = repair(bars, "H1", "EURUSD")

    assert np.asarray(bars).tobytes() == np.asarray(before).tobytes()
    assert repaired.size == bars.size - 3
    validate(repaired, "H1", "EURUSD")
    assert len(changes) == 5


def test_repair_leaves_sound_bars_alone():
    bars = week()

    repaired, changes = repair(bars, "H1", "EURUSD")

    assert same_bars(repaired, bars)
    assert changes == []


@settings(max_examples=30)
@given(row=st.integers(1, 500), field=st.sampled_from(["open", "high", "low", "close"]), value=st.floats(0.2, 5.0))
def test_every_accepted_bar_contains_its_prices(row, field, value):
    """Planted fault: with the check of the high removed from the kernel this fails at once."""
    bars = week()
    set_value(bars, row, field, value)

    try:
        validate(bars, "H1", "EURUSD")
    except ImportRefused:
        return

    assert np.all(bars.low <= np.minimum(bars.open, bars.close))
    assert np.all(bars.high >= np.maximum(bars.open, bars.close))


def test_days_on_a_new_york_clock_may_begin_an_hour_apart_across_a_clock_change():
    opens = np.array([ns("2024-03-07 22:00"), ns("2024-03-10 21:00"), ns("2024-03-11 21:00")])

    report = validate(bars_at(opens, "D1"), "D1", "EURUSD")

    assert report.n_bars == 3


def test_missing_days_are_counted_without_the_week_end():
    opens = ns("2024-01-01 22:00") + np.arange(21, dtype=np.int64) * DAY
    weekdays = np.array([at for at in opens if ((at // DAY) + 3) % 7 not in (4, 5)])

    assert describe(bars_at(weekdays, "D1"), "D1", "EURUSD").n_missing == 0
    assert describe(bars_at(np.delete(weekdays, 2), "D1"), "D1", "EURUSD").n_missing == 1
