"""The catalog: whole files or none, fresh mappings, clear words for what is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.core.market.fx_bars import HOUR, bars_at, fx_opens, ns, same_bars, series_of
from tradesentry.core.domain.errors import DataError, ImportRefused
from tradesentry.core.market import bar_cache
from tradesentry.core.market.bars import BarSeries, TickSeries, checksum_of
from tradesentry.core.market.catalog import Catalog, load_bars

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRADESENTRY_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def catalog(tmp_path):
    return Catalog(tmp_path / "catalog")


def month(timeframe="M15", **kwargs):
    return series_of(bars_at(fx_opens("2024-01-02", "2024-02-01", timeframe), timeframe, **kwargs), timeframe)


def foreign_file(path, bars, **columns):
    """Write the layout of a catalog that this program did not write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"timestamp": pa.array(np.asarray(bars.open_ns) // 1000).cast(pa.timestamp("us", tz="UTC"))}
    values |= {name: pa.array(np.asarray(bars[name])) for name in ("open", "high", "low", "close", "volume", "spread")}
    values |= {name: pa.array(column) for name, column in columns.items()}
    table = pa.table(values).replace_schema_metadata({"price_side": "bid (inferred)", "source_repo": "a/b"})
    # Plain columns: the same number of bars gives the same number of bytes.
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)


def test_a_series_comes_back_bit_for_bit_with_its_provenance(catalog):
    series = month()

    catalog.write(series)
    back = catalog.read("test", "eur/usd", "15m")

    assert same_bars(back.bars, series.bars)
    assert (back.symbol, back.timeframe, back.price_side, back.checksum) == ("EURUSD", "M15", "bid", series.checksum)
    assert back.provenance["vendor"] == "test"


def test_the_footer_carries_what_other_tools_need(catalog):
    path = catalog.write(month())

    footer = {key.decode(): value.decode() for key, value in pq.read_schema(path).metadata.items()}

    assert footer["price_side"] == "bid"
    assert footer["clock"] == "UTC"
    assert footer["checksum"] == month().checksum
    assert json.loads(footer["tradesentry"])["rows"] == month().bars.size
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_ends_of_bars_that_are_not_nominal_are_kept(catalog):
    bars = bars_at(fx_opens("2024-01-02", "2024-01-05", "H4"), "H4")[:5]
    bars.close_ns[2] -= HOUR
    series = series_of(bars, "H4")

    catalog.write(series)

    assert same_bars(catalog.read("test", "EURUSD", "H4").bars, bars)


def test_ticks_come_back(catalog):
    at = ns("2024-01-02") + np.arange(5, dtype=np.int64)
    ticks = TickSeries(at, np.full(5, 1.1), np.full(5, 1.2), np.ones(5), np.ones(5), "EURUSD", "test")

    catalog.write(ticks)
    back = catalog.read_ticks("test", "EURUSD", from_ns=int(at[1]), to_ns=int(at[4]))

    assert back.ts_ns.tolist() == at[1:4].tolist()
    assert back.ask.tolist() == [1.2] * 3


def test_a_second_read_maps_the_copy_and_needs_no_table_library(catalog):
    catalog.write(month())
    catalog.read("test", "EURUSD", "M15")
    code = (
        "import sys; from pathlib import Path; from tradesentry.core.market.catalog import Catalog\n"
        f"series = Catalog(Path({str(catalog.root)!r})).read('test', 'EURUSD', 'M15')\n"
        "print(series.checksum, float(series.bars.close.sum()), {'polars', 'pyarrow', 'numba'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == f"{month().checksum} {float(month().bars.close.sum())} set()"


def test_a_replaced_series_is_never_read_from_an_old_copy(catalog):
    catalog.write(month(seed=1))
    before = catalog.read("test", "EURUSD", "M15")
    catalog.write(month(seed=2))

    after = catalog.read("test", "EURUSD", "M15")

    assert before.checksum != after.checksum
    assert same_bars(after.bars, month(seed=2).bars)


def test_a_file_edited_in_place_with_the_same_size_and_time_is_read_anew(catalog):
    path = catalog.root / "theirs" / "EURUSD_M15.parquet"
    first, second = month(seed=1).bars, month(seed=1).bars.copy()
    second.volume[:] = second.volume[::-1]
    foreign_file(path, first)
    times = path.stat()
    catalog.read("theirs", "EURUSD", "M15")
    foreign_file(path, second.view(np.recarray))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size

    again = catalog.read("theirs", "EURUSD", "M15")

    assert np.array_equal(again.bars.volume, second.volume)


def test_a_broken_copy_is_not_used(catalog):
    catalog.write(month())
    catalog.read("test", "EURUSD", "M15")
    copy = next((catalog.root / bar_cache.CACHE_FOLDER).glob("*.bars"))
    copy.write_bytes(copy.read_bytes()[:-64])

    assert same_bars(catalog.read("test", "EURUSD", "M15").bars, month().bars)


def test_nothing_written_to_mapped_bars_reaches_the_copy(catalog):
    catalog.write(month())
    catalog.read("test", "EURUSD", "M15")
    mapped = catalog.read("test", "EURUSD", "M15").bars
    mapped.close[0] = 99.0

    assert catalog.read("test", "EURUSD", "M15").bars.close[0] == month().bars.close[0]


def test_a_file_of_somebody_else_is_read_without_touching_its_folder(catalog):
    series = month()
    foreign_file(catalog.root / "theirs" / "EURUSD_M15.parquet", series.bars, volume=[None] * series.bars.size)

    back = catalog.read("theirs", "EURUSD", "M15")

    assert back.price_side == "bid"
    assert not back.bars.volume.any()
    assert sorted(p.name for p in catalog.root.iterdir()) == ["theirs"]


def test_negative_spreads_of_somebody_else_become_zero_and_are_counted(catalog):
    series = month()
    series.bars.spread[:7] = -1e-5
    foreign_file(catalog.root / "theirs" / "EURUSD_M15.parquet", series.bars)

    back = catalog.read("theirs", "EURUSD", "M15")

    assert not back.bars.spread[:7].any()
    assert back.provenance["n_negative_spreads_set_to_zero"] == 7


def test_a_file_of_somebody_else_is_checked(catalog):
    bars = month().bars
    bars.high[3] = 0.1
    foreign_file(catalog.root / "theirs" / "EURUSD_M15.parquet", bars)

    with pytest.raises(ImportRefused, match="row 4"):
        catalog.read("theirs", "EURUSD", "M15")


def test_a_damaged_file_is_noticed(catalog):
    series = month()
    lying = BarSeries(series.bars, "EURUSD", "test", "M15", "bid", series.provenance, checksum_of(series.bars[1:]))
    catalog.write(lying)

    with pytest.raises(DataError, match="damaged"):
        catalog.read("test", "EURUSD", "M15")


def test_a_full_disk_leaves_nothing_behind_and_keeps_the_old_series(catalog):
    """The limit on file sizes makes the operating system refuse the write, as a full disk does."""
    catalog.write(month(seed=1))
    code = (
        "import resource, signal; from pathlib import Path\n"
        "from tests.unit.core.market.test_catalog import month\n"
        "from tradesentry.core.market.catalog import Catalog\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "series = month(seed=2)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        f"Catalog(Path({str(catalog.root)!r})).write(series)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert "DataError" in done.stderr
    assert "Free space" in done.stderr
    assert [p.name for p in (catalog.root / "test").iterdir()] == ["EURUSD_M15.parquet"]
    assert same_bars(catalog.read("test", "EURUSD", "M15").bars, month(seed=1).bars)


def test_a_folder_that_cannot_be_made_is_said_plainly(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match="cannot be written"):
        Catalog(tmp_path / "file").write(month())


def test_the_list_shows_span_side_and_whether_it_is_synthetic(catalog):
    series = month()
    synthetic = BarSeries(series.bars, "GBPUSD", "made", "M15", "bid", {"is_synthetic": True}, series.checksum)
    catalog.write(series)
    catalog.write(synthetic)

    frame = catalog.list()

    assert frame.select("source", "symbol", "is_synthetic").rows() == [
        ("made", "GBPUSD", True),
        ("test", "EURUSD", False),
    ]
    assert frame["from"].cast(pl.Int64)[1] == series.bars.open_ns[0]
    assert frame["rows"].to_list() == [series.bars.size] * 2


def test_what_is_missing_is_named_with_what_exists(catalog):
    catalog.write(month())

    with pytest.raises(DataError, match="Did you mean 'test'"):
        catalog.read("tets", "EURUSD", "M15")
    with pytest.raises(DataError, match="Did you mean 'EURUSD'"):
        catalog.read("test", "EURUSB", "M15")
    with pytest.raises(DataError, match=r"has EURUSD as M15 \(2024-01-02 to 2024-01-31\); not as M5"):
        catalog.read("test", "EURUSD", "M5")


def test_a_period_cuts_by_opens_and_an_empty_one_names_the_span(catalog):
    catalog.write(month())

    part = load_bars("EURUSD", "M15", "test", catalog.root, "2024-01-10", "2024-01-11")[0]

    assert part.bars.open_ns[0] == ns("2024-01-10")
    assert part.bars.open_ns[-1] == ns("2024-01-10 23:45")
    assert part.checksum != month().checksum
    with pytest.raises(DataError, match="runs from 2024-01-02 00:00 to 2024-01-31 23:45"):
        load_bars("EURUSD", "M15", "test", catalog.root, "2025-01-01")


def test_an_absent_timeframe_is_built_from_a_finer_one_and_says_so(catalog):
    catalog.write(month("M15"))
    catalog.write(month("M5"))

    series = load_bars(["EURUSD"], "H4", "test", catalog.root)[0]

    assert series.timeframe == "H4"
    assert series.provenance["resampled_from"] == "M15"


def test_the_source_may_be_omitted_while_only_one_has_the_symbol(catalog):
    catalog.write(month())
    assert load_bars("EURUSD", "M15", catalog_root=catalog.root)[0].source == "test"

    series = month()
    catalog.write(BarSeries(series.bars, "EURUSD", "other", "M15", "bid", {}, series.checksum))

    with pytest.raises(DataError, match="comes from other, test"):
        load_bars("EURUSD", "M15", catalog_root=catalog.root)


@pytest.mark.parametrize("side", ["ask", "mid"])
def test_prices_that_are_no_bid_are_refused_for_a_back_test(catalog, side):
    series = month()
    catalog.write(BarSeries(series.bars, "EURUSD", "test", "M15", side, {}, series.checksum))

    with pytest.raises(DataError, match=f"holds {side} prices"):
        load_bars("EURUSD", "M15", "test", catalog.root)


def test_real_series_are_listed_and_read(shared_data):
    catalog = Catalog(shared_data)
    entries = [entry for entry in catalog.entries() if entry[2] != "TICK"]

    for source, symbol, timeframe in entries:
        series = catalog.read(source, symbol, timeframe)
        assert series.bars.size > 5_000
        assert np.all(np.diff(series.bars.open_ns) > 0)
        assert not (series.bars.spread < 0).any()

    assert len(entries) == 36
    assert catalog.read("fxcm", "GBPUSD", "M1").provenance["n_negative_spreads_set_to_zero"] == 347
    assert catalog.read("ejtrader", "USDJPY", "H1").bars.size == 25_467


def test_real_hours_built_from_minutes_move_with_another_vendors_hours(shared_data):
    """HistData minutes and OANDA hours of 2018; an hour's error of either clock would leave no correlation."""
    built = load_bars("EURUSD", "H1", "histdata", shared_data)[0].bars
    theirs = load_bars("EURUSD", "H1", "lean_oanda", shared_data, "2018-01-02", "2018-12-31")[0].bars

    _, mine, other = np.intersect1d(built.open_ns, theirs.open_ns, return_indices=True)
    changes, their_changes = np.diff(built.close[mine]), np.diff(theirs.close[other])

    assert mine.size > 6_000
    assert np.corrcoef(changes, their_changes)[0, 1] > 0.98
    assert abs(np.corrcoef(changes[1:], their_changes[:-1])[0, 1]) < 0.1
