"""Clock detection on years of real bars, re-stamped on the clocks that vendors use: never wrong, rarely silent."""

import numpy as np
import pytest

from tradesentry.core.domain.errors import ClockError
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.market.catalog import Catalog
from tradesentry.core.market.clock_detection import detect_clock, leftovers, verify_clock
from tradesentry.core.market.source_clock import SourceClock, utc_to_wall

CLOCKS = ("UTC", "Europe/Athens", "America/New_York", "America/New_York+7h", "EST", "Europe/London-5h")
CURRENCIES = ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "USDCAD", "EURJPY")


@pytest.mark.parametrize("text", CLOCKS)
def test_a_real_series_on_a_vendors_clock_is_never_taken_for_another(shared_data, text):
    clock = SourceClock.parse(text)
    catalog = Catalog(shared_data)
    settled, unclear = [], []

    for source, symbol, timeframe in catalog.entries():
        if timeframe == "TICK" or source.endswith("_ask"):
            continue
        bars = catalog.read(source, symbol, timeframe).bars
        quiet = leftovers((bars.high, bars.low), bars.volume)
        wall, step = utc_to_wall(np.asarray(bars.open_ns), clock), timeframe_ns(timeframe)
        verify_clock(wall, step, symbol, clock=clock, quiet=quiet)
        try:
            found = detect_clock(wall, step, symbol, quiet=quiet)
        except ClockError:
            unclear.append((source, symbol))
        else:
            assert clock in (found.clock, *found.same_here), (source, symbol, found)
            settled.append((source, symbol))

    assert len(settled) >= 24
    assert not [pair for pair in unclear if pair[1] in CURRENCIES]
