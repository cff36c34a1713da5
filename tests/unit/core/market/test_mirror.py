"""The mirrored market: twice is the identity, and who sold now buys at the same cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradesentry.core.domain.errors import ConfigError, DataError
from tradesentry.core.domain.records import BAR
from tradesentry.core.market.mirror import mirror, on_grid
from tradesentry.core.market.synthetic import synthetic_bars
from tradesentry.core.market.tick_grid import from_ticks, infer_tick, tick_fraction, to_ticks


def bars_of(rows, tick):
    """Build bars from (open, high, low, close, spread) in ticks."""
    bars = np.zeros(len(rows), BAR).view(np.recarray)
    for i, row in enumerate(rows):
        bars.open_ns[i], bars.close_ns[i], bars.volume[i] = i * 60, i * 60 + 60, i
        for name, ticks in zip(("open", "high", "low", "close", "spread"), row, strict=True):
            bars[name][i] = from_ticks(ticks, tick)
    return bars


@st.composite
def candles(draw):
    """Draw open, high, low, close and spread of one bar in ticks."""
    low = draw(st.integers(1, 400_000))
    first, last, top = (draw(st.integers(0, 500)) for _ in range(3))
    return low + first, low + max(first, last, top), low, low + last, draw(st.integers(0, 60))


@given(
    rows=st.lists(candles(), min_size=1, max_size=30),
    tick=st.sampled_from([1e-5, 0.001, 0.01, 0.1, 0.25, 1.0, 2.0**-17]),
)
@settings(deadline=None, max_examples=80)
def test_mirroring_twice_is_the_identity_to_the_bit(rows, tick):
    """Planted fault that this catches: pivot - bid instead of pivot - ask; multiplying ticks by the tick size."""
    bars = bars_of(rows, tick)

    once = mirror(bars, tick=tick)
    twice = mirror(once, tick=tick)

    assert twice.tobytes() == bars.tobytes()
    assert (once.low <= np.minimum(once.open, once.close)).all()
    assert (once.high >= np.maximum(once.open, once.close)).all()
    assert (once.low > 0).all()


def test_a_sale_becomes_a_purchase_at_the_same_cost():
    bars = bars_of([(100, 110, 95, 105, 3), (105, 120, 104, 118, 5)], 0.25)
    pivot = 100.0

    seen = mirror(bars, pivot)

    assert (seen.open + seen.spread == pivot - bars.open).all()
    assert (seen.open == pivot - (bars.open + bars.spread)).all()
    assert (seen.low == pivot - (bars.high + bars.spread)).all()
    assert (seen.spread == bars.spread).all()


def test_a_series_keeps_its_labels_and_says_that_it_is_mirrored():
    series = synthetic_bars(["EURUSD"], n_bars=500)["EURUSD"]

    seen = mirror(series)

    assert (seen.source, seen.is_synthetic, seen.provenance["is_mirrored"]) == ("synthetic", True, True)
    assert seen.checksum != series.checksum
    assert mirror(seen).bars.tobytes() == series.bars.tobytes()
    assert mirror(seen).provenance["is_mirrored"] is False


def test_spreads_between_ticks_are_refused_and_can_be_rounded():
    bars = bars_of([(100, 110, 95, 105, 3)], 0.01)
    bars.spread[0] = 0.0333

    with pytest.raises(DataError, match="on_grid"):
        mirror(bars, tick=0.01)

    assert mirror(on_grid(bars, 0.01), tick=0.01).spread[0] == 0.03


def test_a_pivot_below_the_prices_is_refused():
    with pytest.raises(DataError, match="pivot"):
        mirror(bars_of([(100, 110, 95, 105, 3)], 0.01), 1.0)


def test_no_bars_have_no_mirror_image():
    assert len(mirror(bars_of([], 0.01))) == 0


@given(n=st.integers(1, 10**7), tick=st.sampled_from([1e-5, 1e-3, 0.01, 0.1, 0.5, 0.25, 5.0, 2.0**-20]))
@settings(deadline=None)
def test_ticks_and_prices_convert_back_and_forth(n, tick):
    price = float(from_ticks(n, tick))

    assert to_ticks(price, tick) == n
    assert price == pytest.approx(n * tick)


def test_prices_have_the_bits_of_their_decimals():
    assert [float(from_ticks(n, 1e-5)) for n in (110_003, 123_457, 99_999)] == [1.10003, 1.23457, 0.99999]


def test_the_tick_is_found_from_the_prices():
    assert infer_tick(np.array([1.10003, 1.2])) == 1e-5
    assert infer_tick(np.array([1.5, 2.0**-17])) == 2.0**-17
    assert tick_fraction(2.0**-17) == (1, 2**17)
    with pytest.raises(DataError, match="no tick grid"):
        infer_tick(np.array([np.pi]))
    with pytest.raises(ConfigError, match="Tick 0"):
        tick_fraction(0.0)
