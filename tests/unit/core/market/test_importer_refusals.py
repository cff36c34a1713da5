"""Every known trap in a file is refused with its place, or resolved when it is said."""

import json

import numpy as np
import pytest

from tests.unit.core.market import vendor_files as vendor
from tests.unit.core.market.fx_bars import bars_at, fx_opens
from tests.unit.core.market.importing import WEEKS, assert_same, imported, series_in
from tradesentry.core.domain.errors import ImportRefused, UsageError


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


def test_files_that_overlap_are_refused_by_name(tmp_path):
    first = vendor.put(tmp_path, "a.csv", vendor.dukascopy_node(WEEKS[:50], "UTC"))
    second = vendor.put(tmp_path, "b.csv", vendor.dukascopy_node(WEEKS[49:90], "UTC"))

    with pytest.raises(ImportRefused, match=r"b\.csv begins at .* before a\.csv ends"):
        imported([first, second])


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


def test_repair_writes_what_it_changed_into_the_notes(tmp_path):
    bars = WEEKS.copy().view(np.recarray)
    bars.high[7] = 0.5
    path = vendor.put(tmp_path, "EURUSD_BID.csv", vendor.jforex(bars, "UTC"))

    with pytest.raises(ImportRefused, match="line 9 "):
        imported(path)
    result = imported(path, repair=True)

    assert result.series.bars.size == WEEKS.size - 1
    assert any(note.startswith("repaired: dropped 1 rows") for note in result.series.provenance["notes"])


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
