"""Every vendor format gives the bars it holds; every known trap is refused or resolved."""

import json

import numpy as np
import polars as pl
import pytest

from tests.unit.core.market import vendor_files as vendor
from tests.unit.core.market.fx_bars import DAY, HOUR, MINUTE, bars_at, fx_opens, ns, same_bars
from tradesentry.core.domain.errors import ClockError, ImportRefused, UsageError
from tradesentry.core.market.bars import BarSeries, TickSeries
from tradesentry.core.market.importers import IMPORTERS, ImportOptions, ReadHints, import_files
from tradesentry.core.market.importers.dukascopy import bi5_hour, bi5_url_path
from tradesentry.core.market.source_clock import SourceClock

WEEKS = bars_at(fx_opens("2024-02-26", "2024-03-20", "M15"), "M15")
PARTS = ("open_ns", "close_ns", "open", "high", "low", "close")
ATHENS = "Europe/Athens"


def imported(path, **options):
    options = {"symbol": "EURUSD", **options}
    if "clock" in options:
        options["clock"] = SourceClock.parse(options["clock"])
    return import_files([path] if not isinstance(path, list) else path, ImportOptions(**options))


def series_in(path, **options):
    series = imported(path, **options).series
    assert isinstance(series, BarSeries)
    return series


def assert_same(bars, expected, *parts):
    for part in (*PARTS, *parts):
        assert np.array_equal(bars[part], expected[part]), part


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


def test_float_noise_is_rounded_to_the_files_own_decimals(tmp_path):
    result = imported(vendor.put(tmp_path, "r.csv", vendor.mt5_rates(WEEKS, ATHENS)), clock=ATHENS)

    assert result.series.provenance["tick"] == 1e-5
    assert any("float noise" in note for note in result.notes)


def test_close_labels_are_moved_to_opens(tmp_path):
    """The trap of CME-style files: a bar stamped 13:31 covers 13:30 to 13:31."""
    late = WEEKS.copy().view(np.recarray)
    late.open_ns = WEEKS.close_ns
    path = vendor.put(tmp_path, "6E_M15.csv.gz", vendor.tradingview_unix(late, "UTC"))

    assert_same(series_in(path, label="close").bars, WEEKS, "volume")


def test_a_file_sorted_backwards_is_refused_until_it_is_said(tmp_path):
    path = vendor.put(tmp_path, "EURUSD_15.csv", vendor.tradingview_unix(WEEKS[::-1], "UTC"))

    with pytest.raises(ImportRefused, match="--newest-first"):
        imported(path, timeframe="M15")

    assert_same(series_in(path, timeframe="M15", newest_first=True).bars, WEEKS)


def test_whole_point_prices_are_refused_and_then_scaled(tmp_path):
    bars = bars_at(fx_opens("2024-02-26", "2024-03-20"), price=82.0, tick=0.001)
    scaled = bars.copy().view(np.recarray)
    for part in ("open", "high", "low", "close"):
        scaled[part] = bars[part] * 1000
    path = vendor.put(tmp_path, "USDJPY_H1.csv", vendor.dukascopy_node(scaled, "UTC"))

    with pytest.raises(ImportRefused, match="--price-scale 0.001"):
        imported(path, symbol="USDJPY")

    assert_same(series_in(path, symbol="USDJPY", price_scale=0.001).bars, bars)


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


def test_files_that_overlap_are_refused_by_name(tmp_path):
    first = vendor.put(tmp_path, "a.csv", vendor.dukascopy_node(WEEKS[:50], "UTC"))
    second = vendor.put(tmp_path, "b.csv", vendor.dukascopy_node(WEEKS[49:90], "UTC"))

    with pytest.raises(ImportRefused, match=r"b\.csv begins at .* before a\.csv ends"):
        imported([first, second])


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


def test_months_in_bi5_paths_count_from_zero():
    assert bi5_hour("x/GBPJPY/2012/11/03/00h_ticks.bi5") == ("GBPJPY", ns("2012-12-03 00:00"))
    assert bi5_url_path("GBPJPY", ns("2012-12-03 12:00")) == "GBPJPY/2012/11/03/12h_ticks.bi5"
    with pytest.raises(ImportRefused, match="months count from 00 to 11"):
        bi5_hour("GBPJPY/2012/12/03/00h_ticks.bi5")


def test_bi5_hours_become_ticks(tmp_path):
    folder = "EURUSD/2024/00/02"
    first = vendor.put(tmp_path, f"{folder}/10h_ticks.bi5", vendor.bi5([5, 900], [1.1, 1.10001], [1.1001, 1.1002]))
    closed = vendor.put(tmp_path, f"{folder}/09h_ticks.bi5", b"")

    ticks = imported([first, closed], symbol=None).series

    assert isinstance(ticks, TickSeries)
    assert ticks.ts_ns.tolist() == [ns("2024-01-02 10:00") + 5 * 10**6, ns("2024-01-02 10:00") + 900 * 10**6]
    assert ticks.bid.tolist() == [1.1, 1.10001]
    assert ticks.bid_size.tolist() == [2_500_000.0] * 2


@pytest.mark.parametrize("cut", [-20, -7])
def test_a_bi5_file_that_is_cut_is_refused(tmp_path, cut):
    whole = vendor.bi5(range(50), [1.1] * 50, [1.2] * 50)
    path = vendor.put(tmp_path, "EURUSD/2024/00/02/10h_ticks.bi5", whole[:cut])

    with pytest.raises(ImportRefused, match="Download it again"):
        imported(path)


TICK_FILES = [
    ("truefx", "t.csv", "EUR/USD,20240102 10:00:00.005,1.1,1.2\nEUR/USD,20240102 10:00:00.900,1.1,1.3\n", None),
    (
        "truefx",
        "EURUSD.csv",
        "timestamp,bid,ask\n2024-01-02 10:00:00.005+00:00,1.1,1.2\n2024-01-02 10:00:00.900000+00:00,1.1,1.3\n",
        None,
    ),
    (
        "histdata_ticks",
        "DAT_ASCII_EURUSD_T_202401.csv",
        "20240102 050000005,1.1,1.2,0\n20240102 050000900,1.1,1.3,0\n",
        "America/New_York",
    ),
    (
        "jforex_ticks",
        "EURUSD_Ticks.csv",
        (
            "Gmt time,Ask,Bid,AskVolume,BidVolume\n"
            "02.01.2024 10:00:00.005,1.2,1.1,1,1\n02.01.2024 10:00:00.900,1.3,1.1,1,1\n"
        ),
        None,
    ),
    (
        "dukascopy_node",
        "eurusd-tick.csv",
        "timestamp,askPrice,bidPrice\n1704189600005,1.2,1.1\n1704189600900,1.3,1.1\n",
        None,
    ),
    (
        "mt5_ticks",
        "EURUSD.csv",
        (
            "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n2024.01.02\t12:00:00.001\t1.1\t\t\t\t2\n"
            "2024.01.02\t12:00:00.005\t\t1.2\t\t\t4\n2024.01.02\t12:00:00.900\t\t1.3\t\t\t4\n"
        ),
        "Europe/Athens",
    ),
    (
        "csv",
        "q.csv",
        "timestamp,bid,ask,x\n2024-01-02T10:00:00.005Z,1.1,1.2,0\n2024-01-02T10:00:00.900Z,1.1,1.3,0\n",
        None,
    ),
    ("lean", "forex/oanda/tick/eurusd/20240102_quote.zip", "36000005,1.1,1.2\n36000900,1.1,1.3", None),
]


@pytest.mark.parametrize(
    ("name", "file", "data", "clock"), TICK_FILES, ids=[f"{row[0]}-{row[1]}" for row in TICK_FILES]
)
def test_a_vendors_tick_file_gives_its_ticks(tmp_path, name, file, data, clock):
    content = vendor.zipped("20240102_eurusd_tick_quote.csv", data.encode()) if name == "lean" else data.encode()

    result = imported(vendor.put(tmp_path, file, content), **({"clock": clock} if clock else {}))

    assert result.format == name
    assert (result.series.ts_ns - ns("2024-01-02 10:00")).tolist() == [5 * 10**6, 900 * 10**6]
    assert result.series.bid.tolist() == [1.1, 1.1]
    assert result.series.ask.tolist() == [1.2, 1.3]


def test_ticks_out_of_order_are_refused_with_their_line(tmp_path):
    data = b"timestamp,bid,ask\n2024-01-02 10:00:01+00:00,1.1,1.2\n2024-01-02 10:00:00+00:00,1.1,1.2\n"

    with pytest.raises(ImportRefused, match="line 3 .*earlier than the tick before"):
        imported(vendor.put(tmp_path, "EURUSD.csv", data))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: text.rindex(b",") - 9], r"line \d+, column .*cut short"),
        (lambda text: text.replace(b",1.", b",x1.", 1), "line 2, column 'open': 'x1"),
        (lambda text: b"", "is empty"),
        (lambda text: text.split(b"\n")[0] + b"\n", "holds no rows|not recognized"),
        (lambda text: b"what,is,this\n1,2,3\n", "format is not recognized"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(tmp_path, damage, reason):
    path = vendor.put(tmp_path, "EURUSD.csv", damage(vendor.fxcm_one_side(WEEKS, "UTC")))

    with pytest.raises(ImportRefused, match=reason):
        imported(path)


def test_a_blank_line_does_not_shift_the_line_that_is_named(tmp_path):
    text = vendor.fxcm_one_side(WEEKS, "UTC").split(b"\n")
    text[10] = text[10].rsplit(b",", 1)[0] + b",9.9"
    text.insert(5, b"")

    with pytest.raises(ImportRefused, match="line 12 "):
        imported(vendor.put(tmp_path, "EURUSD.csv", b"\n".join(text)))


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


def test_repair_writes_what_it_changed_into_the_notes(tmp_path):
    bars = WEEKS.copy().view(np.recarray)
    bars.high[7] = 0.5
    path = vendor.put(tmp_path, "EURUSD_BID.csv", vendor.jforex(bars, "UTC"))

    with pytest.raises(ImportRefused, match="line 9 "):
        imported(path)
    result = imported(path, repair=True)

    assert result.series.bars.size == WEEKS.size - 1
    assert any(note.startswith("repaired: dropped 1 rows") for note in result.series.provenance["notes"])


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


def test_an_unknown_format_or_symbol_is_asked_for(tmp_path):
    path = vendor.put(tmp_path, "x.json", vendor.ccxt(WEEKS, "UTC"))

    with pytest.raises(UsageError, match="--symbol"):
        imported(path, symbol=None)
    with pytest.raises(UsageError, match="Did you mean 'ccxt'"):
        imported(path, format="cctx")


def test_broken_json_is_refused(tmp_path):
    whole = vendor.oanda(WEEKS, "UTC")

    with pytest.raises(ImportRefused, match="no whole JSON document"):
        imported(vendor.put(tmp_path, "c.json", whole[:-40]))
    page = json.loads(whole)
    del page["candles"][3]["bid"]["h"]
    with pytest.raises(ImportRefused, match="lacks 'h'"):
        imported(vendor.put(tmp_path, "c.json", json.dumps(page).encode()))


def test_every_format_has_a_name_and_a_description_of_its_own():
    names = [importer.name for importer in IMPORTERS]

    assert len(set(names)) == len(names)
    assert all(importer.description for importer in IMPORTERS)
