"""Hand-checked opening ranges; the derivation of every number is beside it.

All cases: session window 08:00 to 12:00 UTC, 15-minute bars from 08:00, range of 30 minutes, so bars 0 and 1 are the
range and bar 1 sets it. Range 1.1000 to 1.1020, middle 1.1010, buffer 0 unless said.
"""

from typing import Any

import numpy as np
import pytest

from tests.unit.core.strategy.indicators.series import make_bars, ns, without
from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.strategy.indicators import run
from tradesentry.core.strategy.indicators.opening_range import OpeningRangeParams

WINDOW = (ns("2024-01-08T08:00"), ns("2024-01-08T12:00"))
RANGE = [(1.1005, 1.1020, 1.1000, 1.1010), (1.1010, 1.1015, 1.1005, 1.1012)]
INSIDE = (1.1012, 1.1016, 1.1008, 1.1012)
ABOVE = (1.1012, 1.1026, 1.1011, 1.1025)


def say(rows: list[tuple[float, float, float, float]], bars: Any = None, **params: Any) -> list[tuple[Any, ...]]:
    """Return (event, direction, known_index, price) of the rows after the range."""
    settings = {"buf_atr": 0.0, "tol_atr": 0.0, "windows": (WINDOW,), **params}
    frame = run("opening_range", settings, make_bars(RANGE + rows) if bars is None else bars)
    return [
        (row["event"], row["direction"], row["known_index"], None if np.isnan(row["price"]) else row["price"])
        for row in frame.to_dicts()
    ]


SET = ("OR_SET", 0, 1, None)


def test_a_range_is_set_by_the_bar_whose_close_reaches_its_end():
    frame = run("opening_range", {"windows": (WINDOW,)}, make_bars(RANGE))

    assert frame.height == 1
    row = frame.to_dicts()[0]
    assert (row["event"], row["origin_index"], row["origin_ns"], row["known_index"]) == ("OR_SET", 0, WINDOW[0], 1)
    assert (row["price_low"], row["price_high"], row["other_index"]) == (1.1000, 1.1020, 2)
    assert row["value"] == pytest.approx(0.0020)


def test_a_close_beyond_the_range_enters_at_that_close():
    assert say([INSIDE, ABOVE]) == [SET, ("BREAKOUT", 1, 3, 1.1025), ("ENTRY", 1, 3, 1.1025)]


def test_a_close_equal_to_the_edge_is_no_break():
    assert say([(1.1012, 1.1024, 1.1011, 1.1020)]) == [SET]


def test_a_close_inside_the_buffer_is_no_break():
    # True ranges of bars 1 and 2: 0.0010 and 0.0008; ATR(2) of bar 2 is 0.0009, so half of it ends at 1.10245.
    params = {"buf_atr": 0.5, "atr": {"n_bars": 2}}

    assert say([INSIDE, (1.1012, 1.1030, 1.1011, 1.10244)], **params) == [SET]
    assert say([INSIDE, (1.1012, 1.1030, 1.1011, 1.10246)], **params)[1:2] == [("BREAKOUT", 1, 3, 1.10246)]


def test_no_break_counts_while_the_buffer_has_no_atr():
    assert say([ABOVE], buf_atr=0.1) == [SET]


def test_a_stop_order_fills_at_its_price_by_touch():
    assert say([(1.1012, 1.1020, 1.1008, 1.1012)], entry_mode="stop") == [
        SET, ("BREAKOUT", 1, 2, 1.1020), ("ENTRY", 1, 2, 1.1020),
    ]  # fmt: skip


def test_a_stop_order_fills_at_the_open_that_gaps_beyond_it():
    assert say([(1.0990, 1.0995, 1.0985, 1.0992)], entry_mode="stop")[-1] == ("ENTRY", -1, 2, 1.0990)


def test_a_bar_that_reaches_both_stop_orders_ends_the_day():
    assert say([(1.1012, 1.1020, 1.1000, 1.1012), ABOVE], entry_mode="stop") == [SET, ("OR_AMBIGUOUS", 0, 2, None)]


@pytest.mark.parametrize(
    ("low", "close", "event"),
    [
        (1.1020, 1.1022, "ENTRY"),  # low touches the edge: a retest is not strict
        (1.1021, 1.1022, None),  # not near enough: still waiting
        (1.1015, 1.1020, None),  # close equals the edge: not strictly above
        (1.1005, 1.1009, "RETEST_CANCEL"),  # close beyond the middle 1.1010
        (1.1005, 1.1010, None),  # close at the middle: not beyond it
    ],
)
def test_a_retest_enters_cancels_or_waits(low: float, close: float, event: str | None):
    said = say([ABOVE, (1.1025, 1.1026, low, close)], entry_mode="retest")

    assert said[:2] == [SET, ("BREAKOUT", 1, 2, 1.1025)]
    assert said[2:] == ([] if event is None else [(event, 1, 3, close)])


def test_a_retest_times_out_and_a_new_break_counts_from_the_next_bar():
    far = (1.1025, 1.1030, 1.1022, 1.1028)

    said = say([ABOVE, far, far, far], entry_mode="retest", retest_bars=2)

    assert said[2:] == [("RETEST_TIMEOUT", 1, 4, 1.1028), ("BREAKOUT", 1, 5, 1.1028)]


def test_the_mirror_of_a_retest_sells():
    said = say([(1.1008, 1.1009, 1.0994, 1.0995), (1.0995, 1.1000, 1.0994, 1.0998)], entry_mode="retest")

    assert said[1:] == [("BREAKOUT", -1, 2, 1.0995), ("ENTRY", -1, 3, 1.0998)]


def test_a_bar_that_opens_at_the_cutoff_ends_the_range():
    # The range ends 08:30; an entry window of 30 minutes holds the bars of 08:30 and 08:45; 09:00 is the cutoff.
    assert say([INSIDE, INSIDE, ABOVE], entry_minutes=30) == [SET, ("OR_EXPIRED", 0, 4, None)]


def test_the_entry_window_ends_with_the_session():
    # The session ends 12:00, which is bar 16, although 300 minutes after 08:30 would be 13:30.
    assert say([INSIDE] * 15, entry_minutes=300)[-1] == ("OR_EXPIRED", 0, 16, None)


def test_trades_of_a_session_are_limited():
    assert [row[0] for row in say([ABOVE] * 4, max_trades=2)] == ["OR_SET", "BREAKOUT", "ENTRY", "BREAKOUT", "ENTRY"]


def test_the_bar_that_sets_the_range_from_outside_is_judged_at_its_close():
    # Bar 1 (08:15) is missing; the bar of 08:30 closes beyond the end and lies outside the range 1.1000 to 1.1020.
    bars = without(make_bars([*RANGE, ABOVE]), 1)

    assert say([], bars, min_coverage=0.5) == [
        ("OR_SET", 0, 1, None), ("BREAKOUT", 1, 1, 1.1025), ("ENTRY", 1, 1, 1.1025),
    ]  # fmt: skip


def test_stop_orders_work_from_the_bar_after_the_one_that_sets_the_range():
    bars = without(make_bars([*RANGE, ABOVE, ABOVE]), 1)

    assert say([], bars, min_coverage=0.5, entry_mode="stop")[1] == ("BREAKOUT", 1, 2, 1.1020)


def test_a_range_with_too_few_bars_is_rejected():
    # One of two bars is 50 %, below 80 %.
    assert say([], without(make_bars([*RANGE, ABOVE]), 1)) == [("OR_REJECT", 0, 1, None)]


def test_a_session_without_bars_in_its_range_is_missing():
    bars = without(make_bars([*RANGE, ABOVE, ABOVE]), 0, 1)

    assert say([], bars) == [("OR_MISSING", 0, 0, None)]


def test_a_gap_longer_than_three_days_drops_a_range_that_is_set():
    bars = make_bars([*RANGE, INSIDE, ABOVE])
    bars.open_ns[3:] += 4 * 86_400_000_000_000
    bars.close_ns[3:] += 4 * 86_400_000_000_000

    assert [row[0] for row in say([], bars)] == ["OR_SET", "GAP_RESET"]


def _sessions(n: int, width: float) -> Any:
    """Return n days of two-bar ranges of one width, and their windows."""
    days = [make_bars([(1.1, 1.1 + width, 1.1, 1.1)] * 3, start=f"2024-01-{8 + day:02d}T08:00") for day in range(n)]
    windows = [(ns(f"2024-01-{8 + day:02d}T08:00"), ns(f"2024-01-{8 + day:02d}T12:00")) for day in range(n)]
    return np.concatenate(days).view(np.recarray), tuple(windows)


def test_relative_volume_needs_fourteen_earlier_sessions():
    # Every range has the same volume, so relative volume is 1 from the fifteenth session on.
    bars, windows = _sessions(16, 0.001)

    said = say([], bars, windows=windows, rvol_min=1.0)

    assert [row[0] for row in said if row[0].startswith("OR_S") or row[0] == "OR_REJECT"] == ["OR_REJECT"] * 14 + [
        "OR_SET"
    ] * 2


def test_the_rank_of_a_width_needs_ten_earlier_sessions():
    # Equal widths have rank 0: none is below. The eleventh session is the first that is ranked.
    bars, windows = _sessions(12, 0.001)

    said = say([], bars, windows=windows, width_unit="percentile", w_lo=0.0, w_hi=0.5)

    assert [row[0] for row in said if row[0] in {"OR_SET", "OR_REJECT"}] == ["OR_REJECT"] * 10 + ["OR_SET"] * 2


def test_a_range_over_the_whole_session_needs_an_entry_window():
    with pytest.raises(ConfigError, match="needs `entry_minutes`"):
        run("opening_range", {"or_minutes": None, "entry_minutes": None, "windows": (WINDOW,)}, make_bars(RANGE))


def test_defaults_are_those_of_the_strategy_table():
    defaults = OpeningRangeParams()

    assert (defaults.or_minutes, defaults.entry_minutes, defaults.entry_mode) == (30, 150, "close")
    assert (defaults.buf_atr, defaults.retest_bars, defaults.tol_atr, defaults.max_trades) == (0.05, 6, 0.05, 1)
