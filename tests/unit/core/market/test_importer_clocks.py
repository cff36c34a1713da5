"""Clocks of vendors' files: daylight saving of either kind, repeated hours, labels, and what the weeks disprove."""

import numpy as np
import pytest

from tests.unit.core.market import vendor_files as vendor
from tests.unit.core.market.fx_bars import HOUR, bars_at, fx_opens, ns
from tests.unit.core.market.importing import ATHENS, WEEKS, assert_same, imported, series_in
from tradesentry.core.domain.errors import ClockError, ImportRefused
from tradesentry.core.market.source_clock import SourceClock


def test_histdata_minutes_follow_the_clock_that_is_said(tmp_path):
    minutes = bars_at(fx_opens("2018-03-08", "2018-03-13", "M1"), "M1")
    path = vendor.put(tmp_path, "DAT_ASCII_EURUSD_M1_2018.csv", vendor.histdata(minutes, "America/New_York"))

    series = series_in(path, symbol=None, clock="America/New_York")

    assert (series.symbol, series.timeframe) == ("EURUSD", "M1")
    assert_same(series.bars, minutes)


@pytest.mark.parametrize("rule", ["America/New_York", "Europe/London-5h", "EST"])
def test_histdata_years_of_either_daylight_saving_are_told_apart(tmp_path, rule):
    """The vendor documents EST; some years follow US dates and some EU dates. The weeks between tell which."""
    opens = fx_opens("2018-02-20", "2018-04-10", "M1")
    minutes = bars_at(opens[opens // HOUR % 24 >= 20], "M1")
    path = vendor.put(tmp_path, "DAT_ASCII_EURUSD_M1_2018.csv", vendor.histdata(minutes, rule))

    result = imported(path, detect_clock=True)

    assert result.series.provenance["clock"] == str(SourceClock.parse(rule))
    assert_same(result.series.bars, minutes)


def test_histdata_with_its_repeated_hour_in_trading_hours_comes_out_in_order(tmp_path):
    """A vendor that sets its clock back two days after the EU change repeats an hour of trading."""
    minutes = bars_at(fx_opens("2018-10-24", "2018-11-02", "M1"), "M1")
    late = minutes.open_ns >= ns("2018-10-30 05:00")
    shift = np.where(late, -5 * HOUR, -4 * HOUR)
    shown = minutes.copy().view(np.recarray)
    shown.open_ns += shift
    text = vendor.histdata(shown, "UTC")

    result = imported(
        vendor.put(tmp_path, "DAT_ASCII_EURUSD_M1_2018.csv", text), clock="Europe/London-5h", trust_clock=True
    )

    assert_same(result.series.bars, minutes)
    assert any("set its clock back" in note for note in result.notes)


def test_the_same_file_on_fixed_est_is_refused_at_the_step_back(tmp_path):
    minutes = bars_at(fx_opens("2018-11-01", "2018-11-09", "M1"), "M1")
    wall = np.where(minutes.open_ns >= ns("2018-11-07 12:00"), minutes.open_ns - 5 * HOUR, minutes.open_ns - 4 * HOUR)
    shifted = minutes.copy().view(np.recarray)
    shifted.open_ns = wall
    path = vendor.put(tmp_path, "DAT_ASCII_EURUSD_M1_2018.csv", vendor.histdata(shifted, "UTC"))

    with pytest.raises(ImportRefused, match="earlier than the row before"):
        imported(path, clock="EST", trust_clock=True)


def test_a_local_clock_that_is_not_said_is_asked_for(tmp_path):
    path = vendor.put(tmp_path, "EURUSD_M15.csv", vendor.mt5(WEEKS, ATHENS))

    with pytest.raises(ClockError, match=r"--clock ZONE .*--detect-clock"):
        imported(path)


def test_a_clock_that_the_weeks_disprove_is_refused_unless_trusted(tmp_path):
    path = vendor.put(tmp_path, "EURUSD_M15.csv", vendor.mt5(WEEKS, "America/New_York+7h"))

    with pytest.raises(ClockError, match="disproved"):
        imported(path, clock=ATHENS)

    assert series_in(path, clock=ATHENS, trust_clock=True).bars.size == WEEKS.size


def test_close_labels_are_moved_to_opens(tmp_path):
    """The trap of CME-style files: a bar stamped 13:31 covers 13:30 to 13:31."""
    late = WEEKS.copy().view(np.recarray)
    late.open_ns = WEEKS.close_ns
    path = vendor.put(tmp_path, "6E_M15.csv.gz", vendor.tradingview_unix(late, "UTC"))

    assert_same(series_in(path, label="close").bars, WEEKS, "volume")
