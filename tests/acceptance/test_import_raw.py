"""Every raw vendor file is imported or refused with its reason, and gives what is known about it.

Run with `-s` to see the table of files, formats, rows and refusals.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.unit.core.market.fx_bars import ns
from tradesentry.core.domain.errors import ClockError, TradeSentryError
from tradesentry.core.market.bars import BarSeries, utc_text
from tradesentry.core.market.catalog import Catalog
from tradesentry.core.market.importers import ImportOptions, import_files
from tradesentry.core.market.resample import bars_from_ticks
from tradesentry.core.market.source_clock import SourceClock


@dataclass(frozen=True)
class Known:
    """What is known about a file: the options it needs and what comes out."""

    file: str
    format: str
    rows: int
    first: str
    symbol: str
    timeframe: str
    side: str = "bid"
    clock: str | None = None
    said_symbol: str | None = None


ATHENS = "Europe/Athens"
GOOD = (
    Known("binance_klines_ADABTC-1m-2021-11-27.csv", "binance", 10, "2021-11-27 00:00", "ADABTC", "M1", "trade"),
    Known("ccxt_fetch_ohlcv_1m.json", "ccxt", 500, "2017-11-04 23:02", "ALTBTC", "M1", "trade", said_symbol="ALT/BTC"),
    Known("dukascopy_bi5/GBPJPY/2012/11/03/00h_ticks.bi5", "bi5", 2054, "2012-12-03 00:00:01", "GBPJPY", "TICK"),
    Known("dukascopy_bi5/GBPJPY/2012/11/03/12h_ticks.bi5", "bi5", 4413, "2012-12-03 12:00", "GBPJPY", "TICK"),
    Known("dukascopy_jforex_EURUSD_1H_ASK.csv", "jforex", 1000, "2017-01-01 22:00", "EURUSD", "H1", "ask"),
    Known("dukascopy_jforex_EURUSD_4H_ASK.csv", "jforex", 500, "2003-05-04 21:00", "EURUSD", "H4", "ask"),
    Known("dukascopy_node_EURUSD_d1.csv", "dukascopy_node", 5, "2021-02-01 00:00", "EURUSD", "D1"),
    Known("fxcm_GBPUSD_m1_bid.csv", "fxcm", 1000, "2012-02-01 00:00", "GBPUSD", "M1"),
    Known(
        "histdata_DAT_ASCII_EURUSD_M1_2018_head.csv", "histdata", 3000, "2018-01-01 22:00", "EURUSD", "M1",
        clock="America/New_York",
    ),
    Known(
        "histdata_DAT_ASCII_EURUSD_M1_2018_us_dst_week.csv", "histdata", 2860, "2018-03-09 05:00", "EURUSD", "M1",
        clock="detect",
    ),
    Known(
        "lean/crypto/coinbase/minute/btcusd/20161007_trade.zip", "lean", 1419, "2016-10-07 00:00", "BTCUSD", "M1",
        "trade",
    ),
    Known("lean/equity/usa/minute/spy/20131007_trade.zip", "lean", 828, "2013-10-07 08:00", "SPY", "M1", "trade"),
    Known("lean/forex/oanda/minute/eurusd/20140502_quote.zip", "lean", 1222, "2014-05-02 00:00", "EURUSD", "M1"),
    Known("lean/forex/oanda/tick/eurusd/20140504_quote.zip", "lean", 1164, "2014-05-04 21:00", "EURUSD", "TICK"),
    Known("mt5_EURUSD_M15_dotdate.csv", "mt5_dotdate", 1000, "2022-10-09 21:00", "EURUSD", "M15", clock="detect"),
    Known("mt5_copy_rates_EURUSD_M15.csv", "mt5_rates", 1000, "2024-07-21 21:00", "EURUSD", "M15", clock="detect"),
    Known("mt5_export_US30m_H1_2024.csv", "mt5", 5870, "2024-01-01 23:00", "US30", "H1", clock="UTC"),
    Known("oanda_v20_candles_GBP_USD_D.json", "oanda", 70, "2018-10-11 00:00", "GBPUSD", "D1", "ask"),
    Known("tradingview_CAPITALCOM_EURUSD_5_iso.csv", "tradingview", 1000, "2024-10-20 21:00", "EURUSD", "M5"),
    Known("tradingview_SPY_1D_unix.csv", "tradingview", 300, "2003-09-25 13:30", "SPY", "D1"),
    Known("truefx_USDJPY_ticks_2013.csv", "truefx", 1000, "2013-01-01 22:00", "USDJPY", "TICK"),
)  # fmt: skip
REFUSED = {
    "dirty_bad_ohlc_EURUSD_M1.tsv": (
        "UTC",
        "bad_bar",
        "line 145 (2024-11-14 16:24 UTC) has an open or close above its high",
    ),
    "dirty_scaled_integer_prices_USDJPY_H1.csv": ("UTC+1", "implausible_price", "--price-scale 0.001"),
    "dirty_stuck_feed_US30_H1.csv": (ATHENS, "stuck_feed", "begins a stuck feed"),
}  # fmt: skip


def options_of(known: Known) -> ImportOptions:
    is_detected = known.clock == "detect"
    clock = None if known.clock is None or is_detected else SourceClock.parse(known.clock)
    return ImportOptions(source="raw", symbol=known.said_symbol, clock=clock, detect_clock=is_detected)


def import_table(folder: Path) -> list[tuple[str, str, int, str]]:
    """Return (file, format, rows read, why refused) of every file under a folder of raw vendor files."""
    needs = {known.file: options_of(known) for known in GOOD}
    needs |= {
        name: ImportOptions(source="raw", clock=SourceClock.parse(clock)) for name, (clock, _, _) in REFUSED.items()
    }
    rows = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        try:
            result = import_files([path], needs.get(name, ImportOptions(source="raw")))
        except TradeSentryError as refusal:
            rows.append((name, "", 0, str(refusal)))
        else:
            series = result.series
            size = series.bars.size if isinstance(series, BarSeries) else series.ts_ns.size
            rows.append((name, result.format, int(size), ""))
    return rows


@pytest.fixture
def raw(shared_data):
    return shared_data / "raw"


def test_every_raw_file_is_imported_or_refused_with_its_reason(raw):
    table = import_table(raw)

    for file, format_, rows, refusal in table:
        sys.stdout.write(f"{file:62} {format_ or 'refused':15} {rows or '':>6}  {refusal}\n")
    assert {row[0]: row[1:3] for row in table if not row[3]} == {k.file: (k.format, k.rows) for k in GOOD}
    assert {row[0] for row in table if row[3]} == set(REFUSED)


@pytest.mark.parametrize("known", GOOD, ids=lambda known: known.file)
def test_what_is_known_about_a_file_comes_out(raw, known, tmp_path):
    result = import_files([raw / known.file], options_of(known))
    series = result.series

    assert (result.format, series.symbol) == (known.format, known.symbol)
    if isinstance(series, BarSeries):
        assert (series.timeframe, series.price_side) == (known.timeframe, known.side)
        assert (series.bars.size, utc_text(int(series.bars.open_ns[0]))) == (known.rows, known.first)
        assert np.all(series.bars.close_ns > series.bars.open_ns)
        assert Catalog(tmp_path).write(series).is_file()
    else:
        assert known.timeframe == "TICK"
        assert (series.ts_ns.size, utc_text(int(series.ts_ns[0]))) == (known.rows, known.first)
        assert np.all(np.diff(series.ts_ns) >= 0)
        assert bars_from_ticks(series, "M1").bars.size > 5


@pytest.mark.parametrize("file", sorted(REFUSED))
def test_a_dirty_file_is_refused_with_its_place_and_reason(raw, file):
    clock, code, words = REFUSED[file]

    with pytest.raises(TradeSentryError) as refusal:
        import_files([raw / file], ImportOptions(clock=SourceClock.parse(clock)))

    assert refusal.value.code == code
    assert words in str(refusal.value)


def test_the_scaled_file_is_usable_once_the_scale_is_said(raw):
    path = raw / "dirty_scaled_integer_prices_USDJPY_H1.csv"

    series = import_files([path], ImportOptions(clock=SourceClock.parse("UTC+1"), price_scale=0.001)).series

    assert series.bars.close[0] == 81.201
    assert series.bars.open_ns[0] == ns("2012-11-16 11:00")


def test_a_server_that_shows_calendar_days_is_not_guessed_at(raw):
    """Its clock is UTC+1; but for one dead tick after each Friday's close its weeks look like Athens."""
    path = raw / "dirty_scaled_integer_prices_USDJPY_H1.csv"

    with pytest.raises(ClockError, match="do not settle the clock"):
        import_files([path], ImportOptions(detect_clock=True, price_scale=0.001))


def test_the_stuck_file_is_usable_before_it_sticks(raw):
    path = raw / "dirty_stuck_feed_US30_H1.csv"

    result = import_files([path], ImportOptions(clock=SourceClock.parse(ATHENS), to_ns=ns("2024-10-17 21:00")))

    assert result.report.n_stuck == 0
    assert result.series.bars.size > 80


def test_the_broken_file_is_usable_after_repair(raw):
    path = raw / "dirty_bad_ohlc_EURUSD_M1.tsv"

    result = import_files([path], ImportOptions(clock=SourceClock.parse("UTC"), repair=True))

    assert 2_850 < result.series.bars.size < 2_940
    assert result.series.bars.high.max() < 1.2


def test_fixed_est_is_disproved_by_the_week_of_the_us_clock_change(raw):
    path = raw / "histdata_DAT_ASCII_EURUSD_M1_2018_us_dst_week.csv"

    with pytest.raises(ClockError, match="America/New_York"):
        import_files([path], ImportOptions(clock=SourceClock.parse("EST")))


def test_three_days_without_a_weekend_do_not_tell_the_clock(raw):
    path = raw / "histdata_DAT_ASCII_EURUSD_M1_2018_head.csv"

    with pytest.raises(ClockError, match="no weekend lies inside"):
        import_files([path], ImportOptions(detect_clock=True))


def test_raw_files_give_the_bars_of_the_normalized_ones(raw, shared_data):
    """The same vendor files, normalized by other hands, agree row for row."""
    pairs = {
        "mt5_EURUSD_M15_dotdate.csv": ("mt5_smc", "EURUSD", "M15"),
        "mt5_copy_rates_EURUSD_M15.csv": ("mt5_london", "EURUSD", "M15"),
        "mt5_export_US30m_H1_2024.csv": ("mt5_exness", "US30", "H1"),
        "tradingview_CAPITALCOM_EURUSD_5_iso.csv": ("tradingview", "EURUSD", "M5"),
        "fxcm_GBPUSD_m1_bid.csv": ("fxcm", "GBPUSD", "M1"),
        "histdata_DAT_ASCII_EURUSD_M1_2018_us_dst_week.csv": ("histdata", "EURUSD", "M1"),
    }
    known = {item.file: item for item in GOOD}

    for file, (source, symbol, timeframe) in pairs.items():
        mine = import_files([raw / file], options_of(known[file])).series.bars
        theirs = Catalog(shared_data).read(source, symbol, timeframe).bars
        rows = np.searchsorted(theirs.open_ns, mine.open_ns)
        for part in ("open_ns", "open", "high", "low", "close"):
            assert np.allclose(mine[part], theirs[part][rows], rtol=0, atol=1e-9), (file, part)
        if source.startswith("mt5"):
            assert np.allclose(mine.spread, theirs.spread[rows], atol=1e-9), file


def test_bi5_hours_equal_the_normalized_ticks(raw, shared_data):
    folder = raw / "dukascopy_bi5/GBPJPY/2012/11/03"

    mine = import_files(sorted(folder.glob("*.bi5")), ImportOptions()).series
    theirs = Catalog(shared_data).read_ticks("ticks", "GBPJPY")

    rows = np.isin(theirs.ts_ns, mine.ts_ns)
    assert np.allclose(theirs.bid[rows], mine.bid)
    assert np.allclose(theirs.ask[rows], mine.ask)
