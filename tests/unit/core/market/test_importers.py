"""Every vendor format gives the bars it holds."""

import numpy as np
import polars as pl
import pytest

from tests.unit.core.market import vendor_files as vendor
from tests.unit.core.market.fx_bars import DAY, MINUTE, bars_at, fx_opens, ns, same_bars
from tests.unit.core.market.importing import ATHENS, WEEKS, assert_same, imported, series_in
from tradesentry.core.domain.errors import ClockError, ImportRefused
from tradesentry.core.market.importers import IMPORTERS, ReadHints

FORMATS = [
    ("mt5", vendor.mt5, "EURUSD_M15.csv", ATHENS, ("volume", "spread")),
    ("mt5", vendor.mt5, "EURUSD_M15.csv", "America/New_York+7h", ("volume", "spread")),
    ("mt5_dotdate", vendor.mt5_dotdate, "EURUSD_M15.csv", ATHENS, ("volume", "spread")),
    ("mt5_dotdate", vendor.mt4, "EURUSD15.csv", ATHENS, ("volume",)),
    ("mt5_rates", vendor.mt5_rates, "rates.csv", ATHENS, ("volume", "spread")),
    ("mt5_rates", vendor.mt5_rates_epoch, "rates.csv", ATHENS, ("volume", "spread")),
    ("jforex", vendor.jforex, "EURUSD_15m_BID.csv", None, ("volume",)),
    ("jforex", vendor.jforex_offset, "EURUSD_BID.csv", None, ("volume",)),
    ("dukascopy_node", vendor.dukascopy_node, "eurusd-m15-bid.csv", None, ("volume",)),
    ("fxcm", vendor.fxcm_one_side, "EURUSD_m15.csv", None, ()),
    ("fxcm", vendor.fxcm_both, "EURUSD.csv", None, ("spread",)),
    ("tradingview", vendor.tradingview_iso, "FX_EURUSD, 15.csv", None, ("volume",)),
    ("tradingview", vendor.tradingview_unix, "FX_EURUSD, 15.csv", None, ("volume",)),
    ("ccxt", vendor.ccxt, "ohlcv.json", None, ("volume",)),
    ("binance", vendor.binance, "EURUSDT-15m.csv", None, ("volume",)),
    ("binance", vendor.binance_micro, "EURUSDT-15m.csv", None, ("volume",)),
    ("oanda", vendor.oanda, "candles.json", None, ("volume", "spread")),
    ("csv", vendor.generic, "mine.csv", "America/New_York", ("volume",)),
]


@pytest.mark.parametrize(
    ("name", "write", "file", "clock", "parts"),
    FORMATS,
    ids=[f"{row[0]}-{row[1].__name__}-{row[3]}" for row in FORMATS],
)
def test_a_vendors_file_gives_its_bars(tmp_path, name, write, file, clock, parts):
    path = vendor.put(tmp_path, file, write(WEEKS, clock or "UTC"))

    result = imported(path, **({"clock": clock} if clock else {}))

    assert result.format == name
    assert result.series.symbol == "EURUSD"
    assert result.series.timeframe == "M15"
    assert_same(result.series.bars, WEEKS, *parts)


def test_float_noise_is_rounded_to_the_files_own_decimals(tmp_path):
    result = imported(vendor.put(tmp_path, "r.csv", vendor.mt5_rates(WEEKS, ATHENS)), clock=ATHENS)

    assert result.series.provenance["tick"] == 1e-5
    assert any("float noise" in note for note in result.notes)


def test_ask_bars_stay_ask_or_become_bids_with_a_spread(tmp_path):
    path = vendor.put(tmp_path, "EURUSD_ASK.csv", vendor.jforex(WEEKS, "UTC"))

    assert series_in(path).price_side == "ask"
    converted = series_in(path, spread=0.0001)

    assert converted.price_side == "bid"
    assert np.allclose(converted.bars.close, WEEKS.close - 0.0001, atol=1e-12)
    assert set(converted.bars.spread) == {0.0001}


def test_bid_and_ask_files_are_joined_into_a_spread(tmp_path):
    ask = WEEKS.copy().view(np.recarray)
    for part in ("open", "high", "low", "close"):
        ask[part] = np.round(WEEKS[part] + WEEKS.spread, 5)
    ask.close[4] = WEEKS.close[4] - 2e-5
    ask.low[4] = min(ask.low[4], ask.close[4])
    bid_path = vendor.put(tmp_path, "EURUSD_BID.csv", vendor.jforex(WEEKS, "UTC"))
    ask_path = vendor.put(tmp_path, "EURUSD_ASK.csv", vendor.jforex(ask[2:], "UTC"))

    result = imported(bid_path, ask_paths=(ask_path,))

    expected = WEEKS[2:].copy().view(np.recarray)
    expected.spread[2] = 0.0
    assert result.series.price_side == "bid"
    assert_same(result.series.bars, expected, "spread")
    assert result.report.n_negative_spread == 1
    assert any("2 bid bars without one dropped" in note for note in result.notes)


@pytest.mark.parametrize("side", ["bid", "ask", "mid"])
def test_oanda_pages_of_one_side_keep_it(tmp_path, side):
    path = vendor.put(tmp_path, "c.json", vendor.oanda(WEEKS, "UTC", sides=(side,)))

    result = imported(path)

    assert result.series.price_side == side
    assert result.series.bars.size == WEEKS.size
    assert any("1 incomplete" in note for note in result.notes)


def test_lean_quote_days_are_joined_in_order(tmp_path):
    days = ["2024-03-12", "2024-03-13"]
    minutes = bars_at(fx_opens("2024-03-12", "2024-03-14", "M1"), "M1")
    paths = []
    for day in reversed(days):
        inside = minutes[(minutes.open_ns >= ns(day)) & (minutes.open_ns < ns(day) + DAY)].view(np.recarray)
        name = f"forex/oanda/minute/eurusd/{day.replace('-', '')}_quote.zip"
        paths.append(vendor.put(tmp_path, name, vendor.lean_quote(inside, day)))

    series = series_in(paths, symbol=None)

    assert series.symbol == "EURUSD"
    assert_same(series.bars, minutes, "spread")


def test_lean_equity_prices_are_scaled_and_on_new_york_time(tmp_path):
    text = b"34200000,1674100,1674200,1674000,1674100,100\n34260000,1674100,1674200,1674000,1674100,100"
    data = vendor.zipped("20131007_spy_minute_trade.csv", text)
    path = vendor.put(tmp_path, "equity/usa/minute/spy/20131007_trade.zip", data)

    series = series_in(path, symbol=None)

    assert series.bars.open_ns[0] == ns("2013-10-07 13:30")
    assert (series.bars.open[0], series.price_side) == (167.41, "trade")


def test_fillers_of_closed_hours_in_jforex_files_are_dropped(tmp_path):
    flat = WEEKS[:4].copy().view(np.recarray)
    flat.high = flat.low = flat.open = flat.close = WEEKS.close[-1]
    flat.volume = 0.0
    flat.open_ns = WEEKS.open_ns[-1] + np.arange(1, 5) * 15 * MINUTE
    both = np.concatenate([WEEKS, flat]).view(np.recarray)

    result = imported(vendor.put(tmp_path, "EURUSD_BID.csv", vendor.jforex(both, "UTC")))

    assert_same(result.series.bars, WEEKS)
    assert any("dropped 4 flat bars" in note for note in result.notes)


def test_a_terminals_utf_16_export_is_read(tmp_path):
    data = vendor.mt5(WEEKS, ATHENS).decode().encode("utf-16")

    assert_same(series_in(vendor.put(tmp_path, "EURUSD_M15.csv", data), clock=ATHENS).bars, WEEKS)


def test_a_plain_table_is_read_by_a_column_map(tmp_path):
    text = vendor.lines(
        WEEKS, lambda b: f"{vendor.shown(b.open_ns, '%d/%m/%y %H.%M')}|{vendor.ohlc(b, '|')}", "stamp|a|b|c|d"
    )
    hints = ReadHints(
        columns={"time": "stamp", "open": "a", "high": "b", "low": "c", "close": "d"}, time_format="%d/%m/%y %H.%M"
    )
    path = vendor.put(tmp_path, "x.csv", text)

    assert_same(series_in(path, clock="UTC", format="csv", hints=hints).bars, WEEKS)
    with pytest.raises(ImportRefused, match="column map says open=z"):
        imported(path, clock="UTC", format="csv", hints=ReadHints(columns={"open": "z"}))


@pytest.mark.parametrize("zone", ["UTC", None])
def test_a_parquet_table_is_read_and_asks_for_a_clock_only_without_a_zone(tmp_path, zone):
    times = pl.Series("timestamp", np.asarray(WEEKS.open_ns)).cast(pl.Datetime("ns", zone))
    frame = pl.DataFrame(
        [times, *[pl.Series(part, np.asarray(WEEKS[part])) for part in ("open", "high", "low", "close", "spread")]]
    )
    frame.write_parquet(tmp_path / "EURUSD.parquet")

    if zone is None:
        with pytest.raises(ClockError, match="--clock"):
            imported(tmp_path / "EURUSD.parquet")
    options = {} if zone else {"clock": "UTC"}
    assert_same(series_in(tmp_path / "EURUSD.parquet", **options).bars, WEEKS, "spread")


def test_a_period_of_a_file_can_be_imported_alone(tmp_path):
    path = vendor.put(tmp_path, "EURUSD_BID.csv", vendor.jforex(WEEKS, "UTC"))

    series = series_in(path, from_ns=ns("2024-03-01"), to_ns=ns("2024-03-02"))

    assert series.bars.open_ns[0] == ns("2024-03-01")
    assert series.bars.open_ns[-1] < ns("2024-03-02")


def test_the_same_file_gives_the_same_bits_and_checksum(tmp_path):
    path = vendor.put(tmp_path, "EURUSD_M15.csv", vendor.mt5(WEEKS, ATHENS))

    first, second = series_in(path, clock=ATHENS), series_in(path, clock=ATHENS)

    assert same_bars(first.bars, second.bars)
    assert first.checksum == second.checksum


def test_every_format_has_a_name_and_a_description_of_its_own():
    names = [importer.name for importer in IMPORTERS]

    assert len(set(names)) == len(names)
    assert all(importer.description for importer in IMPORTERS)
