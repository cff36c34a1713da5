"""Walk once over bars and count what is wrong or odd; the compiled half of `validation`.

A fault makes a series unusable and is a code with its row; an oddity (gap, spike, stuck feed) is counted.
"""

from typing import Any

import numpy as np

from tradesentry.core.utils.kernel import kernel

FAULT_NONE = 0
FAULT_NOT_FINITE = 1
FAULT_NOT_POSITIVE = 2
FAULT_HIGH_BELOW_LOW = 3
FAULT_HIGH = 4
FAULT_LOW = 5
FAULT_UNSORTED = 6
FAULT_DUPLICATE = 7
FAULT_OVERLAP = 8
FAULT_OFF_GRID = 9
FAULT_NEGATIVE_VOLUME = 10

ATR_BARS = 14
SPIKE_ATR = 8.0
WEEK_NS = 604_800_000_000_000
WEEK_ANCHOR_NS = 320_400_000_000_000  # Sunday 1970-01-04 17:00, start of an FX week on New York clocks


@kernel
def price_fault(bar: Any) -> int:
    """Return the fault of one bar's own prices, or FAULT_NONE."""
    if not (
        np.isfinite(bar.open)
        and np.isfinite(bar.high)
        and np.isfinite(bar.low)
        and np.isfinite(bar.close)
        and np.isfinite(bar.volume)
        and np.isfinite(bar.spread)
    ):
        return FAULT_NOT_FINITE
    if bar.open <= 0.0 or bar.high <= 0.0 or bar.low <= 0.0 or bar.close <= 0.0:
        return FAULT_NOT_POSITIVE
    if bar.high < bar.low:
        return FAULT_HIGH_BELOW_LOW
    if bar.high < bar.open or bar.high < bar.close:
        return FAULT_HIGH
    if bar.low > bar.open or bar.low > bar.close:
        return FAULT_LOW
    if bar.volume < 0.0:
        return FAULT_NEGATIVE_VOLUME
    return FAULT_NONE


@kernel
def find_faults(bars: Any, grid_ns: Any, faults: Any) -> int:
    """Write the fault of every bar into `faults`.

    Args:
        bars: Records of BAR.
        grid_ns: Opens must be multiples of it.
        faults: int64, shape (n_bars,).

    Returns:
        How many bars are at fault.
    """
    n_faults = 0
    for i in range(bars.shape[0]):
        fault = price_fault(bars[i])
        if fault == FAULT_NONE and bars[i].open_ns % grid_ns != 0:
            fault = FAULT_OFF_GRID
        if i > 0 and fault == FAULT_NONE:
            if bars[i].open_ns < bars[i - 1].open_ns:
                fault = FAULT_UNSORTED
            elif bars[i].open_ns == bars[i - 1].open_ns:
                fault = FAULT_DUPLICATE
            elif bars[i].open_ns < bars[i - 1].close_ns:
                fault = FAULT_OVERLAP
        faults[i] = fault
        if fault != FAULT_NONE:
            n_faults += 1
    return n_faults


@kernel
def find_spikes(bars: Any, spikes: Any) -> int:
    """Mark bars wider than 8 ATR(14) whose close is within 1 ATR of the previous close; return how many."""
    n_spikes = 0
    atr = 0.0
    for i in range(bars.shape[0]):
        spikes[i] = False
        if i == 0:
            continue
        before = bars[i - 1].close
        if i > ATR_BARS and bars[i].high - bars[i].low > SPIKE_ATR * atr and abs(bars[i].close - before) <= atr:
            spikes[i] = True
            n_spikes += 1
        true_range = max(bars[i].high, before) - min(bars[i].low, before)
        if i <= ATR_BARS:
            atr += true_range / ATR_BARS
        else:
            atr += (true_range - atr) / ATR_BARS
    return n_spikes


@kernel
def find_stuck(bars: Any, min_bars: Any, stuck: Any) -> int:
    """Mark runs of at least `min_bars` bars that show no more than two prices; return how many bars.

    A frozen feed repeats its last bid and ask for hours while its tick volume keeps counting.
    """
    n = bars.shape[0]
    n_stuck = 0
    start = 0
    while start < n:
        first = bars[start].open
        second = first
        end = start
        while end < n:
            is_same = True
            for part in range(4):
                price = bars[end].high
                if part == 0:
                    price = bars[end].open
                elif part == 1:
                    price = bars[end].low
                elif part == 2:
                    price = bars[end].close
                if price != first and price != second:
                    if second == first:
                        second = price
                    else:
                        is_same = False
            if not is_same:
                break
            end += 1
        is_run = end - start >= min_bars
        for i in range(start, max(end, start + 1)):
            stuck[i] = is_run
        if is_run:
            n_stuck += end - start
        start = max(end, start + 1)
    return n_stuck


@kernel
def week_slot(ts_ns: Any, shift_ns: Any, step_ns: Any) -> int:
    """Return the bar's place in the New York FX week, counted in bars from Sunday 17:00."""
    local = ts_ns + shift_ns
    return ((local - WEEK_ANCHOR_NS) % WEEK_NS) // step_ns


@kernel
def count_slots(bars: Any, step_ns: Any, changes: Any, shifts: Any, possible: Any, seen: Any) -> int:
    """Count for each slot of the week how often it passed and how often it had a bar.

    Args:
        bars: Records of BAR, sorted and on the grid.
        step_ns: Length of a bar.
        changes: When New York's offset changes, ns UTC.
        shifts: Its offsets, ns.
        possible: Counter per slot, int64, written.
        seen: Counter per slot, int64, written.
    """
    cursor = 0
    row = 0
    ts = bars[0].open_ns
    last = bars[bars.shape[0] - 1].open_ns
    while ts <= last:
        while cursor < changes.shape[0] and ts >= changes[cursor]:
            cursor += 1
        slot = week_slot(ts, shifts[cursor], step_ns)
        possible[slot] += 1
        if bars[row].open_ns == ts:
            seen[slot] += 1
            row += 1
        ts += step_ns
    return row


@kernel
def find_gaps(bars: Any, step_ns: Any, changes: Any, shifts: Any, is_expected: Any, holidays: Any, missing: Any) -> int:
    """Count the expected but absent bars before each bar.

    Args:
        bars: Records of BAR, sorted and on the grid.
        step_ns: Length of a bar.
        changes: When New York's offset changes, ns UTC.
        shifts: Its offsets, ns.
        is_expected: Whether a slot of the week has a bar, bool.
        holidays: Sorted (start, end) pairs in ns UTC in which nothing is expected, shape (2 * n,).
        missing: int64 per bar, written: absent bars since the bar before it.

    Returns:
        How many bars were expected between the first and the last.
    """
    cursor = 0
    holiday = 0
    row = 0
    n_expected = 0
    n_missing = 0
    ts = bars[0].open_ns
    last = bars[bars.shape[0] - 1].open_ns
    while ts <= last:
        while cursor < changes.shape[0] and ts >= changes[cursor]:
            cursor += 1
        while holiday < holidays.shape[0] and ts >= holidays[holiday + 1]:
            holiday += 2
        is_holiday = holiday < holidays.shape[0] and ts >= holidays[holiday]
        expected = is_expected[week_slot(ts, shifts[cursor], step_ns)] and not is_holiday
        if expected:
            n_expected += 1
        if bars[row].open_ns == ts:
            missing[row] = n_missing
            n_missing = 0
            row += 1
        elif expected:
            n_missing += 1
        ts += step_ns
    return n_expected
