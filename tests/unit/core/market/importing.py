"""Import a vendor file in one line, and compare what came out."""

import numpy as np

from tests.unit.core.market.fx_bars import bars_at, fx_opens
from tradesentry.core.market.bars import BarSeries
from tradesentry.core.market.importers import ImportOptions, import_files
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
