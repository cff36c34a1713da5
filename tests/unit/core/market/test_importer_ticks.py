"""Ticks of vendors' files, Dukascopy's compressed hours among them."""

import pytest

from tests.unit.core.market import vendor_files as vendor
from tests.unit.core.market.fx_bars import ns
from tests.unit.core.market.importing import imported
from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.bars import TickSeries
from tradesentry.core.market.importers.dukascopy import bi5_hour, bi5_url_path


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
