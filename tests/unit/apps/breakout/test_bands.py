"""Edge cases of squeezed bands, and the events that the app shares with the public components."""

import pytest

from tests.unit.apps.breakout.factories import (
    hold,
    play,
    put,
    quiet_bars,
    resolve,
    row_at,
    watch,
    when,
)
from tests.unit.apps.breakout.test_trades import BB
from tradesentry.backtest.runner import new_arena
from tradesentry.core.strategy.indicators import run


def test_bb_is_not_entered_outside_its_mask():
    bars = put(quiet_bars(), "2024-06-12T05:00", (1.1000, 1.1021, 1.0999, 1.1020))
    hold(bars, "2024-06-12T05:15", "2024-06-12T21:00", 1.1025)

    # 06:00 London; the later closes outside the bands are not the first ones since the squeeze.
    assert len(play(bars, **BB).trade_rows) == 0


def test_bb_forgets_a_squeeze_after_ten_bars():
    bars = quiet_bars()
    # Closes that swing by 3 pips end the squeeze on their first bar; the burst comes on the eleventh bar after it.
    first = row_at(bars, "2024-06-12T07:00")
    for i in range(12):
        bars.close[first + i] = 1.1003 if i % 2 == 0 else 1.0997
        bars.open[first + i] = 1.1000
    late, early = bars.copy(), bars.copy()
    put(late, "2024-06-12T09:30", (1.1000, 1.1041, 1.0999, 1.1040))
    put(early, "2024-06-12T09:00", (1.1000, 1.1041, 1.0999, 1.1040))
    # The buffer keeps the first swing from being a close outside.
    options = {**BB, "breakout_bar": False, "buf_atr": 0.25}

    n_late = watch(late, "2024-06-12T09:45", **options).books[0].n_queue
    n_early = watch(early, "2024-06-12T09:15", **options).books[0].n_queue

    assert (n_early, n_late) == (1, 0)


def test_bb_leaves_after_the_london_session_at_the_end_of_its_mask():
    bars = put(quiet_bars(), "2024-06-12T17:00", (1.1000, 1.1021, 1.0999, 1.1020))
    hold(bars, "2024-06-12T17:15", "2024-06-12T21:00", 1.1025)

    trade = play(bars, **BB, bb_exit="atr_trail").trade_rows[0]

    assert (when(trade.entry_ns), when(trade.exit_ns)) == ("Wed 17:15", "Wed 19:00")


@pytest.mark.parametrize("mode", ["close", "retest"])
def test_range_and_entry_are_those_of_the_events_api(mode):
    from tests.unit.core.strategy.indicators.series import random_bars

    bars = random_bars(6_000, seed=3, start="2024-04-01T00:00", missing=0.01, step=30)
    bars.spread = 0.0
    options = {"sessions": ["london"], "entry_mode": mode, "buf_atr": 0.05, "timeframe": "M15"}
    run_ = resolve(bars, **options)
    arena = new_arena(run_)
    arena.run()

    atr = {"weekend_tr": "hl"}
    params = {"slot": 0, "entry_mode": mode, "atr": atr, "day_atr": atr}
    said = run("opening_range", params, bars, calendar=run_.markets["calendar"], tick=1e-5)
    entries = said.filter((said["event"] == "ENTRY") & (said["known_index"] >= 96))

    # Trades are fills: refused fills (a data gap, a runaway open) are entries too.
    refused = set(arena.reject_rows.ts_ns.tolist())
    filled = set(arena.trade_rows.entry_ns.tolist())
    expected = set(entries["known_at_ns"].to_list())
    assert filled <= expected
    assert len(expected) - len(filled) <= len(refused)
    assert len(filled) > 20
