"""Pivots, and the alternating swings that they make; both known only when the bars to the right have closed.

A pivot high is a bar whose high no bar in `left_bars` before and `right_bars` after it exceeds; ties are pivots too,
for equal highs are liquidity. It is known at the close of the last of those bars, never earlier: labelling the bar
itself is the look-ahead of most public code. Swings are pivots thinned until highs and lows alternate. A swing that a
later pivot replaces was the live level until then, so a table of final swings leaks and is kept nowhere.

Separate because structure, liquidity, ranges and zones must agree on what a swing is. They read `high` and `low`, the
live levels, and through `highest_since` and `lowest_since` the bars that a new pivot already has to its right.

The standard names (`STATE`, `reset`, `update`, ...) are the swings; those of the pivots start with `pivot_`. On one bar
the pivots come first, then the swings; breaks of levels are judged before both, against the levels of the bar before.
"""

from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.utils.kernel import kernel

N_SIDE: Final = 50
"""Most bars on one side of a pivot."""
N_RING: Final = 128
"""Capacity of the ring of bars: a power of two above 2 x N_SIDE + 1."""

_SLOT: Final = N_RING - 1
_PIVOTS: Final = int(ev.Component.PIVOTS)
_SWINGS: Final = int(ev.Component.SWINGS)
_PIVOT: Final = int(ev.EventCode.PIVOT)
_SWING_NEW: Final = int(ev.EventCode.SWING_NEW)
_SWING_REPLACE: Final = int(ev.EventCode.SWING_REPLACE)
_HIGH_ONLY: Final = 1


class PivotsParams(ParamsModel):
    """How many bars a pivot stands out from."""

    left_bars: int = Field(
        5, ge=1, le=N_SIDE, description="Bars before a pivot that do not exceed it.", json_schema_extra={"unit": "bars"}
    )
    right_bars: int = Field(
        5,
        ge=1,
        le=N_SIDE,
        description="Bars after a pivot that do not exceed it; it is known at the close of the last one.",
        json_schema_extra={"unit": "bars"},
    )


class SwingsParams(PivotsParams):
    """How pivots become alternating swings."""

    dual: Literal["opposite_first", "high_only"] = Field(
        "opposite_first",
        description="A bar that is both pivots: the one opposite to the last swing comes first, or it is a high only.",
    )
    first_pivot: int = Field(
        0,
        ge=0,
        le=1_000,
        description="Pivots on bars before this one are ignored, counted from 0.",
        json_schema_extra={"unit": "bars"},
    )


PIVOT_STATE = np.dtype(
    [
        ("n", "i8"),  # bars seen
        ("n_pivots", "i8"),  # the last id
        ("is_high", "b1"),  # this bar confirmed a pivot high
        ("is_low", "b1"),
        ("position", "i8"),  # of the candidate, the bar `right_bars` ago: bars seen before it; -1 none yet
        ("index", "i8"),  # its bar index
        ("open_ns", "i8"),
        ("high", "f8"),
        ("low", "f8"),
        ("high_first", "i8"),  # monotonic queues over the window: positions, best first
        ("high_last", "i8"),
        ("low_first", "i8"),
        ("low_last", "i8"),
        ("high_queue", "i8", (N_RING,)),
        ("low_queue", "i8", (N_RING,)),
        ("highs", "f8", (N_RING,)),  # the last bars, each at its position modulo N_RING
        ("lows", "f8", (N_RING,)),
        ("indices", "i8", (N_RING,)),
        ("opens_ns", "i8", (N_RING,)),
    ],
    align=True,
)

SWING = np.dtype(
    [
        ("id", "i8"),  # 0: none yet; a replaced swing keeps its id
        ("position", "i8"),  # bars seen before its bar
        ("index", "i8"),  # bar index that it sits on
        ("open_ns", "i8"),
        ("price", "f8"),
        ("opposite", "f8"),  # last swing of the other side when this became the level, NaN none
        ("known_index", "i8"),  # bar at whose close it is known
        ("known_ns", "i8"),
    ],
    align=True,
)

PARAMS = params_dtype(SwingsParams)
STATE = np.dtype(
    [
        ("n_swings", "i8"),  # the last id
        ("direction", "i8"),  # of the last swing: +1 high, -1 low, 0 none yet
        ("high", SWING),  # the last swing high: the live level
        ("low", SWING),
        ("new_high", "b1"),  # this bar made or replaced it
        ("new_low", "b1"),
    ],
    align=True,
)


@kernel
def pivot_reset(state: Any) -> None:
    """Forget everything."""
    state.n = 0
    state.n_pivots = 0
    state.is_high = False
    state.is_low = False
    state.position = -1
    state.index = -1
    state.open_ns = -1
    state.high = np.nan
    state.low = np.nan
    state.high_first = 0
    state.high_last = -1
    state.low_first = 0
    state.low_last = -1


@kernel
def pivot_bars_needed(left_bars: int, right_bars: int) -> int:
    """Return the bars of one window, after which the first pivot can be known."""
    return left_bars + right_bars + 1


@kernel
def pivot_is_ready(left_bars: int, right_bars: int, state: Any) -> bool:
    """Return whether a whole window was seen."""
    return bool(state.n > left_bars + right_bars)


@kernel
def _push(state: Any, bar: Any, index: int) -> None:
    """Put a bar into the ring and at the end of both queues, where it drives out what it equals or exceeds."""
    n = state.n
    slot = n & _SLOT
    state.highs[slot] = bar.high
    state.lows[slot] = bar.low
    state.indices[slot] = index
    state.opens_ns[slot] = bar.open_ns
    last = state.high_last
    while last >= state.high_first and state.highs[state.high_queue[last & _SLOT] & _SLOT] <= bar.high:
        last -= 1
    state.high_last = last + 1
    state.high_queue[state.high_last & _SLOT] = n
    last = state.low_last
    while last >= state.low_first and state.lows[state.low_queue[last & _SLOT] & _SLOT] >= bar.low:
        last -= 1
    state.low_last = last + 1
    state.low_queue[state.low_last & _SLOT] = n
    state.n = n + 1


@kernel
def _emit_pivot(state: Any, direction: int, price: float, events: Any) -> None:
    state.n_pivots += 1
    item = events.items[ev.new_event(events, _PIVOTS, _PIVOT, direction, state.n_pivots)]
    item.origin_index = state.index
    item.origin_ns = state.open_ns
    item.price = price


@kernel
def pivot_update(left_bars: int, right_bars: int, state: Any, bar: Any, events: Any) -> int:
    """Take one closed bar; emit PIVOT for the bar `right_bars` ago where it is one, the high before the low.

    Direction is +1 for a high and -1 for a low, price the level. Costs O(1) amortized. A bar that must make no pivots
    (a spike of the data, say) is not given to it.

    Args:
        left_bars: Bars before a pivot that do not exceed it, the same on every call.
        right_bars: Bars after it, the same on every call.
        state: PIVOT_STATE record.
        bar: Closed bar.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    if state.n == 0:
        pivot_reset(state)
    _push(state, bar, events.bar_index)
    state.is_high = False
    state.is_low = False
    n_window = left_bars + right_bars + 1
    if state.n < n_window:
        return ev.status(events)
    first = state.n - n_window
    while state.high_queue[state.high_first & _SLOT] < first:
        state.high_first += 1
    while state.low_queue[state.low_first & _SLOT] < first:
        state.low_first += 1
    state.position = state.n - 1 - right_bars
    slot = state.position & _SLOT
    state.index = state.indices[slot]
    state.open_ns = state.opens_ns[slot]
    state.high = state.highs[slot]
    state.low = state.lows[slot]
    state.is_high = state.high >= state.highs[state.high_queue[state.high_first & _SLOT] & _SLOT]
    state.is_low = state.low <= state.lows[state.low_queue[state.low_first & _SLOT] & _SLOT]
    if state.is_high:
        _emit_pivot(state, 1, state.high, events)
    if state.is_low:
        _emit_pivot(state, -1, state.low, events)
    return ev.status(events)


@kernel
def highest_since(state: Any, position: int) -> float:
    """Return the highest high from the bar at `position` to the last one.

    Args:
        state: PIVOT_STATE record.
        position: At most N_RING bars back; a bar not seen yet gives -inf.
    """
    highest = -np.inf
    for i in range(position, state.n):
        highest = max(highest, state.highs[i & _SLOT])
    return float(highest)


@kernel
def lowest_since(state: Any, position: int) -> float:
    """Return the lowest low from the bar at `position` to the last one; as `highest_since`."""
    lowest = np.inf
    for i in range(position, state.n):
        lowest = min(lowest, state.lows[i & _SLOT])
    return float(lowest)


@kernel
def _forget(swing: Any) -> None:
    swing.id = 0
    swing.position = -1
    swing.index = -1
    swing.open_ns = -1
    swing.price = np.nan
    swing.opposite = np.nan
    swing.known_index = -1
    swing.known_ns = -1


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    state.n_swings = 0
    state.direction = 0
    state.new_high = False
    state.new_low = False
    _forget(state.high)
    _forget(state.low)


@kernel
def bars_needed(params: Any) -> int:
    """Return the bars after which the first swing can be known."""
    first = max(params.first_pivot, params.left_bars)
    return int(first + params.right_bars + 1)


@kernel
def is_ready(_params: Any, state: Any) -> bool:
    """Return whether a swing high and a swing low exist."""
    return bool(state.high.id > 0 and state.low.id > 0)


@kernel
def _take(state: Any, pivots: Any, direction: int, events: Any) -> None:
    """Append, replace or ignore one confirmed pivot."""
    swing = state.high if direction > 0 else state.low
    price = pivots.high if direction > 0 else pivots.low
    is_same = direction == state.direction
    if is_same and direction * (price - swing.price) <= 0.0:
        return
    if not is_same:
        state.n_swings += 1
    code = _SWING_REPLACE if is_same else _SWING_NEW
    object_id = swing.id if is_same else state.n_swings
    item = events.items[ev.new_event(events, _SWINGS, code, direction, object_id)]
    item.origin_index = pivots.index
    item.origin_ns = pivots.open_ns
    item.price = price
    if is_same:
        item.other_price = swing.price
        item.other_index = swing.index
    other = state.low if direction > 0 else state.high
    swing.id = object_id
    swing.position = pivots.position
    swing.index = pivots.index
    swing.open_ns = pivots.open_ns
    swing.price = price
    swing.opposite = other.price if other.id > 0 else np.nan
    swing.known_index = events.bar_index
    swing.known_ns = events.close_ns
    state.direction = direction
    if direction > 0:
        state.new_high = True
    else:
        state.new_low = True


@kernel
def update(params: Any, state: Any, pivots: Any, events: Any) -> int:
    """Take what the pivots say on this bar; emit SWING_NEW, or SWING_REPLACE with the old level and bar.

    Args:
        params: PARAMS record.
        state: STATE record.
        pivots: PIVOT_STATE record, already updated on this bar.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    state.new_high = False
    state.new_low = False
    is_low = pivots.is_low
    if pivots.position < params.first_pivot or not (pivots.is_high or is_low):
        return ev.status(events)
    if pivots.is_high and is_low and params.dual == _HIGH_ONLY:
        is_low = False
    if is_low and state.direction > 0:
        _take(state, pivots, -1, events)
        is_low = False
    if pivots.is_high:
        _take(state, pivots, 1, events)
    if is_low:
        _take(state, pivots, -1, events)
    return ev.status(events)
