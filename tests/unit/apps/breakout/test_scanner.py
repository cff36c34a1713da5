"""What the scanner shows, and what the score is made of."""

import numpy as np
import pytest

from tests.unit.apps.breakout.factories import (
    BARE,
    hold,
    ns,
    put,
    quiet_bars,
    row_at,
    series_of,
    slot,
    watch,
    without,
)
from tests.unit.apps.breakout.test_trades import BB, BREAK
from tradesentry.apps.breakout.layout import RING, SLOTS
from tradesentry.apps.breakout.scanner import scan, scan_run
from tradesentry.apps.breakout.score import rate, z_score
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.core.domain.errors import DataError
from tradesentry.core.utils.kernel import new_records

MORNING = "2024-06-12T07:30"


def several(bars_by_symbol, **config):
    values = {**BARE, "modes": ["orb"], "symbols": list(bars_by_symbol), **config}
    series = [series_of(bars, symbol) for symbol, bars in bars_by_symbol.items()]
    settings = RunSettings(costs="free", limits="off", capital=100_000)
    return resolve_run("breakout", bars=series, config=values, settings=settings)


def test_z_is_zero_until_ten_values_exist_and_leaves_its_own_out():
    ring = new_records(1, RING)[0]
    values = [1.0, 3.0, 2.0, 5.0, 4.0, 1.5, 2.5, 3.5, 4.5, 2.0, 6.0]

    z = [rate(ring, value) for value in values]

    before = np.array(values[:10])
    assert z[:10] == [0.0] * 10
    assert z[10] == pytest.approx((6.0 - before.mean()) / before.std(ddof=1))


def test_z_looks_back_sixty_values():
    ring = new_records(1, RING)[0]
    values = np.random.default_rng(1).normal(size=90)
    for value in values[:-1]:
        rate(ring, value)

    last = values[29:89]
    assert z_score(ring, values[-1]) == pytest.approx((values[-1] - last.mean()) / last.std(ddof=1))


def test_equal_values_and_unknown_values_score_nothing():
    ring = new_records(1, RING)[0]
    for _ in range(20):
        rate(ring, 0.1)

    assert rate(ring, 0.1) == 0.0
    assert rate(ring, np.nan) == 0.0
    assert ring.n == 21


def test_signal_carries_its_score():
    # Four weeks of ranges of 10 pips, every other one of 8; the last one of 6 is a contraction.
    bars = quiet_bars("2024-05-06T00:00")
    for i, day in enumerate(range(ns("2024-05-06T07:15"), ns("2024-06-12T00:00"), 24 * 3600 * 10**9)):
        row = int(np.searchsorted(bars.open_ns, day))
        if row < len(bars) and bars.open_ns[row] == day and i % 2 == 0:
            bars.high[row - 1 : row + 1], bars.low[row - 1 : row + 1] = 1.1004, 1.0996
    put(bars, "2024-06-12T07:00", (1.1, 1.1003, 1.0997, 1.1), (1.1, 1.1003, 1.0997, 1.1), BREAK)
    hold(bars, "2024-06-12T07:45", "2024-06-12T21:00", 1.1015)

    arena = watch(bars, "2024-06-12T07:45", w_lo=0.05, w_hi=1.2)

    found = slot(arena)
    earlier = found.contraction.values[: found.contraction.n - 1]
    latest = found.contraction.values[found.contraction.n - 1]
    assert found.z_contraction == pytest.approx((latest - earlier.mean()) / earlier.std(ddof=1))
    assert found.z_contraction > 2
    assert arena.books[0].queue[0].score == pytest.approx(found.z_contraction)


def test_scan_says_state_bounds_and_reason():
    bars = put(quiet_bars(), MORNING, BREAK)
    hold(bars, "2024-06-12T07:45", "2024-06-12T21:00", 1.1015)
    holed = without(quiet_bars(), "2024-06-12T07:00", "2024-06-12T07:15")
    run = several({"EURUSD": bars, "GBPUSD": holed})

    rows = {row["symbol"]: row for row in scan_run(run, ns("2024-06-12T08:00")).to_dicts()}

    assert rows["EURUSD"]["state"] == "IN_TRADE"
    assert rows["EURUSD"]["width"] == pytest.approx(0.0010)
    assert (rows["EURUSD"]["rank"], rows["EURUSD"]["is_picked"]) == (1, True)
    assert (rows["GBPUSD"]["state"], rows["GBPUSD"]["rank"]) == ("REJECTED", 0)
    assert "too few bars" in rows["GBPUSD"]["reason"]


def test_scan_picks_the_best_of_a_session_and_breaks_ties_by_symbol():
    run = several({"USDCHF": quiet_bars(), "EURUSD": quiet_bars(), "GBPUSD": quiet_bars()}, top_k=2)

    rows = scan_run(run, ns(MORNING))

    assert rows["symbol"].to_list() == ["EURUSD", "GBPUSD", "USDCHF"]
    assert rows["is_picked"].to_list() == [True, True, False]


def test_scan_covers_symbols_sessions_and_modes():
    run = several({"EURUSD": quiet_bars()}, modes=["orb", "london", "bb"], sessions=["london", "tokyo"])

    rows = scan(run.markets, run.data.series, config=run.config)

    assert {(r["mode"], r["session"]) for r in rows.to_dicts()} == {SLOTS[0], SLOTS[2], SLOTS[4], SLOTS[5]}


def test_scan_knows_nothing_of_later_bars():
    bars = quiet_bars()
    changed = bars.copy()
    later = changed.open_ns >= ns("2024-06-12T07:30")
    for name in ("open", "high", "low", "close"):
        changed[name][later] += 0.01
    at = ns("2024-06-12T07:30")

    assert scan_run(several({"EURUSD": bars}), at).equals(scan_run(several({"EURUSD": changed}), at))


def test_scan_without_bars_is_refused():
    with pytest.raises(DataError, match="no bars to scan"):
        scan_run(several({"EURUSD": quiet_bars()}), ns("2024-06-01T00:00"))


def test_scan_of_bands_shows_the_break():
    bars = put(quiet_bars(), "2024-06-12T09:00", (1.1000, 1.1021, 1.0999, 1.1020))
    hold(bars, "2024-06-12T09:15", "2024-06-12T21:00", 1.1025)
    run = several({"EURUSD": bars}, **BB)

    before = scan_run(run, ns("2024-06-12T09:00")).to_dicts()[0]
    after = scan_run(run, ns("2024-06-12T09:30")).to_dicts()[0]

    assert (before["state"], after["state"]) == ("ARMED", "IN_TRADE")


def test_row_helper_finds_bars():
    bars = quiet_bars()

    assert bars.open_ns[row_at(bars, MORNING)] == ns(MORNING)
