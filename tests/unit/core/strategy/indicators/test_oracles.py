"""Every component equals its slow second version on random bars with many ties, and TA-Lib where it has the same."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.strategy.indicators import oracles
from tests.unit.core.strategy.indicators.series import calendar_of, ns, random_bars, real_bars
from tradesentry.core.market.sessions import fx_days
from tradesentry.core.strategy.indicators import run
from tradesentry.core.strategy.indicators.opening_range import OpeningRangeParams

SEEDS = st.integers(0, 10_000)
laws = settings(deadline=None, max_examples=15)


@laws
@given(seed=SEEDS, n=st.integers(1, 20))
def test_atr_equals_the_mean_then_steps_of_one_nth(seed: int, n: int):
    bars = random_bars(80, seed)

    rows = run("atr", {"n_bars": n}, bars)

    np.testing.assert_allclose(rows["atr"], oracles.wilder(oracles.true_ranges(bars), n), rtol=1e-12)
    assert rows["index"][0] == n


@laws
@given(seed=SEEDS, n=st.integers(2, 15))
def test_adx_equals_its_definition(seed: int, n: int):
    bars = random_bars(80, seed)

    rows = run("adx", {"n_bars": n}, bars)

    np.testing.assert_allclose(rows["adx"], oracles.adx(bars, n), rtol=1e-9, atol=1e-9)
    assert rows["index"][0] == 2 * n - 1


@laws
@given(seed=SEEDS, n=st.integers(1, 30))
def test_averages_equal_the_mean_of_the_window_and_the_recursion(seed: int, n: int):
    bars = random_bars(150, seed)

    rows = run("averages", {"sma_bars": n, "ema_bars": n}, bars)

    expected = [float(np.mean(bars.close[t - n + 1 : t + 1])) for t in rows["index"]]
    np.testing.assert_allclose(rows["sma"], expected, rtol=1e-14)
    np.testing.assert_allclose(rows["ema"], np.array(oracles.emas(bars.close, n))[rows["index"]], rtol=1e-14)
    assert rows["index"][0] == 3 * n - 1


@laws
@given(seed=SEEDS, n=st.integers(2, 12), m=st.integers(2, 30), q=st.floats(0, 1), e=st.floats(0, 1))
@pytest.mark.parametrize("mode", ["quantile", "minimum"])
def test_a_squeeze_is_a_width_below_its_reference(mode: Any, seed: int, n: int, m: int, q: float, e: float):
    bars = random_bars(150, seed)
    params = {"n_bars": n, "squeeze_mode": mode, "squeeze_bars": m, "squeeze_q": q, "squeeze_e": e}

    rows = run("bands", params, bars)

    widths = oracles.band_widths(bars.close, n, 2.0)
    np.testing.assert_allclose(rows["width"], widths, rtol=1e-9, atol=1e-15)
    judged = oracles.squeezes(widths, m, q=q if mode == "quantile" else None, e=e)
    assert not rows["is_squeeze"][:m].any()
    for is_squeeze, (width, limit) in zip(rows["is_squeeze"][m:], judged, strict=True):
        # Equal widths differ by rounding between the two versions; there both answers are right.
        assert is_squeeze == (width <= limit) or width == pytest.approx(limit, rel=1e-9)


def _rows(frame: pl.DataFrame, *events: str) -> list[dict[str, Any]]:
    return frame.filter(pl.col("event").cast(pl.String).is_in(events)).to_dicts()


def _same_rows(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert {name: row[name] for name in wanted} == pytest.approx(wanted)


@laws
@given(seed=SEEDS, minutes=st.sampled_from([30, 60, 240]), missing=st.floats(0, 0.6))
def test_minute_buckets_equal_a_grouping_of_all_bars(seed: int, minutes: int, missing: float):
    bars = random_bars(300, seed, missing=missing)
    step = minutes * oracles.MINUTE_NS
    first = int(bars.open_ns[0]) // step * step
    edges = [(first + i * step, first + (i + 1) * step) for i in range(int(bars.close_ns[-1] - first) // step + 1)]

    frame = run("resample", {"minutes": minutes}, bars)

    _same_rows(_rows(frame, "BUCKET"), oracles.buckets(bars, edges))


@laws
@given(seed=SEEDS, period=st.sampled_from(["fx_day", "fx_week", "h4"]), missing=st.floats(0, 0.6))
def test_calendar_buckets_equal_a_grouping_of_all_bars(seed: int, period: str, missing: float):
    bars = random_bars(400, seed, minutes=60, missing=missing, start="2024-03-03T22:00")
    days = fx_days(ns("2024-02-20"), ns("2024-05-10"))
    edges = [(int(day["start_ns"]), int(day["end_ns"])) for day in days]
    if period == "fx_week":
        ends = sorted({int(day["week_end_ns"]) for day in days})
        edges = [(end - 5 * oracles.DAY_NS, end) for end in ends]
    if period == "h4":
        edges = [
            (a + k, a + k + 4 * 60 * oracles.MINUTE_NS)
            for a, _ in edges
            for k in range(0, oracles.DAY_NS, 4 * 60 * oracles.MINUTE_NS)
        ]

    frame = run("resample", {"period": period}, bars, calendar=calendar_of(end="2024-05-01"))

    _same_rows(_rows(frame, "BUCKET"), oracles.buckets(bars, edges))


def _bounds(calendar: Any, slot: int) -> list[tuple[int, int, bool]]:
    record = calendar[0]
    rows = record.session_bounds[slot][: record.n_bounds[slot]]
    return [(int(row["start_ns"]), int(row["end_ns"]), bool(row["is_valid"])) for row in rows]


@laws
@given(seed=SEEDS, missing=st.floats(0, 0.5), session=st.sampled_from(["london", "new_york", "tokyo", "sydney"]))
def test_session_ranges_equal_a_grouping_of_all_bars(seed: int, missing: float, session: str):
    bars = random_bars(500, seed, missing=missing)
    calendar = calendar_of(session)

    frame = run("sessions", {"levels": False}, bars, calendar=calendar)

    found = [row for row in _rows(frame, "SESSION_SET", "SESSION_INVALID") if row["other_index"] > 0]
    _same_rows(found, oracles.session_ranges(bars, _started(calendar, bars), 0.8))


@settings(deadline=None, max_examples=25)
@given(
    seed=SEEDS,
    mode=st.sampled_from(["stop", "close", "retest"]),
    missing=st.sampled_from([0.0, 0.05, 0.4]),
    or_minutes=st.sampled_from([15, 30, 60, None]),
    entry_minutes=st.sampled_from([60, 150]),
    buf_atr=st.sampled_from([0.0, 0.05, 0.25]),
    tol_atr=st.sampled_from([0.0, 0.3]),
    retest_bars=st.integers(1, 6),
    max_trades=st.integers(1, 3),
    minutes=st.sampled_from([5, 15]),
)
def test_opening_ranges_equal_a_scan_of_each_session(seed: int, missing: float, minutes: int, mode: Any, **chosen: Any):
    bars = random_bars(700, seed, missing=missing, minutes=minutes, start="2024-01-07T23:00")
    params = OpeningRangeParams(entry_mode=mode, **chosen)
    calendar = calendar_of("london" if params.or_minutes else "asia_for_london")

    frame = run("opening_range", params, bars, calendar=calendar)

    found = [(r["event"], r["direction"], r["known_index"], _none(r["price"])) for r in frame.to_dicts()]
    assert found == oracles.opening_ranges(bars, _started(calendar, bars), params)


def _started(calendar: Any, bars: Any) -> list[tuple[int, int, bool]]:
    """Return the sessions that the bars can know."""
    first, last = bars.open_ns[0], bars.close_ns[-1]
    return [bound for bound in _bounds(calendar, 0) if bound[1] > first and bound[0] < last]


def _none(price: float) -> float | None:
    return None if np.isnan(price) else price


def test_the_scan_of_sessions_notices_a_break_made_non_strict():
    calendar = calendar_of("london")
    params = OpeningRangeParams(buf_atr=0.0, max_trades=10)
    planted = params.model_copy(update={"buf_atr": -1e-9})
    n_noticed = 0

    for seed in range(8):
        bars = random_bars(400, seed, step=1, missing=0.0, minutes=5, start="2024-01-07T23:00")
        found = run("opening_range", params, bars, calendar=calendar).height
        n_noticed += len(oracles.opening_ranges(bars, _started(calendar, bars), planted)) != found

    assert n_noticed > 0


@laws
@given(seed=SEEDS)
def test_regime_equals_its_definition_on_completed_buckets(seed: int):
    bars = random_bars(400, seed, missing=0.0)
    params = {
        "fast_bars": 3, "slow_bars": 8, "slope_bars": 2, "er_bars": 10, "er_min": 0.1, "er_max": 0.5, "adx_max": 30,
        "adx": {"n_bars": 5},
    }  # fmt: skip

    rows = run("regime", params, bars)

    hours = bars.close.reshape(-1, 4)[:, 3]
    fast, slow = oracles.emas(hours, 3), oracles.emas(hours, 8)
    higher = np.zeros(100, bars.dtype).view(np.recarray)
    higher.close, higher.high, higher.low = hours, bars.high.reshape(-1, 4).max(1), bars.low.reshape(-1, 4).min(1)
    adx = oracles.adx(higher, 5)
    for row in rows.to_dicts():
        t = row["index"]
        hour = (t + 1) // 4 - 1
        ratio = oracles.efficiency_ratio(bars.close, t, 10)
        slope = slow[hour] - slow[hour - 2]
        trend = 1 if fast[hour] > slow[hour] and slope > 0 else -1 if fast[hour] < slow[hour] and slope < 0 else 0
        assert row["efficiency_ratio"] == pytest.approx(ratio)
        assert row["adx"] == pytest.approx(adx[hour - 9])
        assert row["trend"] == (trend if ratio >= 0.1 else 0)
        assert row["is_range"] == (ratio <= 0.5 and adx[hour - 9] <= 30)


def _series() -> list[Any]:
    real = [real_bars(name, 3_000) for name in ("mt5_london/EURUSD_M15", "ejtrader/USDJPY_H1")]
    return [random_bars(2_000, 8), random_bars(2_000, 9, step=1), *(bars for bars in real if bars is not None)]


@pytest.mark.parametrize("n", [5, 14])
def test_atr_equals_ta_lib(n: int):
    talib = pytest.importorskip("talib")
    for bars in _series():
        columns = [np.array(bars[name], float) for name in ("high", "low", "close")]

        rows = run("atr", {"n_bars": n}, bars)

        np.testing.assert_allclose(rows["atr"], talib.ATR(*columns, timeperiod=n)[n:], rtol=1e-9)


@pytest.mark.parametrize(("n", "k"), [(20, 2.0), (7, 1.5)])
def test_bands_equal_ta_lib(n: int, k: float):
    talib = pytest.importorskip("talib")
    for bars in _series():
        upper, middle, lower = talib.BBANDS(np.array(bars["close"], float), n, k, k, 0)

        rows = run("bands", {"n_bars": n, "k": k}, bars)

        for name, expected in (("upper", upper), ("middle", middle), ("lower", lower)):
            np.testing.assert_allclose(rows[name], expected[n - 1 :], rtol=1e-7)
