"""What components say: one record per event, in a buffer that is cleared at each bar.

Events are how components are tested, plotted and scanned; a strategy's `step` reads the same buffer, so a chart shows
what the strategy saw. The buffer lives in the strategy's state and has a fixed capacity: an event that does not fit is
Status.FULL_EVENTS, never a silent drop. Order inside the buffer is the order of work; within one step older ids come
first and up before down.

Codes are stored in result files: a number is never reused or renumbered.
"""

from enum import IntEnum
from typing import Any, Final

import numpy as np

from tradesentry.core.domain.orders import Status
from tradesentry.core.utils.kernel import kernel

N_EVENTS: Final = 64
"""Default capacity of a buffer: more than one bar of components without zones can cause."""

EVENT: Final = np.dtype(
    [
        ("component", "i8"),  # Component
        ("event", "i8"),  # EventCode
        ("direction", "i8"),  # +1 up, -1 down, 0 none
        ("id", "i8"),  # the object, from 1 per component; life events repeat it
        ("parent_id", "i8"),  # the object that made it, -1 none
        ("origin_index", "i8"),  # bar that the object sits on
        ("origin_ns", "i8"),  # its open, or the start of its interval
        ("known_index", "i8"),  # bar at whose close it is known
        ("known_at_ns", "i8"),  # that close
        ("price_low", "f8"),  # bounds of zone, range, gap or bucket
        ("price_high", "f8"),
        ("price", "f8"),
        ("other_price", "f8"),
        ("other_index", "i8"),
        ("value", "f8"),
    ],
    align=True,
)
"""One event. Unused prices and values are NaN, unused integers -1."""

_FULL_EVENTS: Final = int(Status.FULL_EVENTS)
_OK: Final = int(Status.OK)


class Component(IntEnum):
    """Who emitted an event."""

    EVENTS = 0
    ATR = 1
    ADX = 2
    AVERAGES = 3
    BANDS = 4
    PIVOTS = 5
    SWINGS = 6
    STRUCTURE = 7
    ORDER_BLOCKS = 8
    GAPS = 9
    LIQUIDITY = 10
    SUPPLY_DEMAND = 11
    DEALING_RANGE = 12
    MIDPOINT = 13
    SESSIONS = 14
    OPENING_RANGE = 15
    GRID = 16
    RESAMPLE = 17
    REGIME = 18


class EventCode(IntEnum):
    """What happened."""

    BAD_BAR = 1
    GAP_RESET = 2
    SQUEEZE_START = 10
    SQUEEZE_END = 11
    PIVOT = 20
    SWING_NEW = 21
    SWING_REPLACE = 22
    BOS = 30
    CHOCH = 31
    OB_NEW = 40
    OB_TOUCH = 41
    OB_MID = 42
    OB_BREAK = 43
    OB_DEAD = 44
    OB_EXPIRED = 45
    OB_DROPPED = 46
    FVG_NEW = 50
    FVG_TOUCH = 51
    FVG_MID = 52
    FVG_FILL = 53
    FVG_INVERT = 54
    FVG_MERGED = 55
    FVG_DEAD = 56
    FVG_EXPIRED = 57
    FVG_DROPPED = 58
    POOL_NEW = 60
    POOL_JOIN = 61
    POOL_DROPPED = 62
    SWEEP = 63
    POOL_BREAK = 64
    SD_NEW = 70
    SD_TOUCH = 71
    SD_BREAK = 72
    SD_EXPIRED = 73
    SD_DROPPED = 74
    RESET = 80
    RESET_DEFERRED = 81
    SESSION_SET = 90
    SESSION_INVALID = 91
    DAY_LEVELS = 92
    WEEK_LEVELS = 93
    OR_SET = 100
    OR_MISSING = 101
    OR_REJECT = 102
    OR_AMBIGUOUS = 103
    OR_EXPIRED = 104
    BREAKOUT = 105
    RETEST_CANCEL = 106
    RETEST_TIMEOUT = 107
    ENTRY = 108
    FILL = 110
    BASKET_STOP = 111
    BASKET_TARGET = 112
    BUCKET = 120
    TREND = 130
    REGIME = 131


def events_dtype(capacity: int) -> np.dtype[Any]:
    """Return the layout of an event buffer that holds `capacity` events."""
    return np.dtype(
        [
            ("n", "i8"),
            ("is_full", "b1"),
            ("bar_index", "i8"),  # of the bar being worked on
            ("close_ns", "i8"),
            ("items", EVENT, (capacity,)),
        ],
        align=True,
    )


EVENTS: Final = events_dtype(N_EVENTS)
"""Buffer of the components in this package that keep no zones."""


@kernel
def begin(events: Any, bar_index: int, close_ns: int) -> None:
    """Clear the buffer for the bar that is known at `close_ns`."""
    events.n = 0
    events.is_full = False
    events.bar_index = bar_index
    events.close_ns = close_ns


@kernel
def new_event(events: Any, component: int, code: int, direction: int, object_id: int) -> int:
    """Append an event that is known now and return its position; everything else in it is unset.

    The caller fills origin, prices and value of `events.items[position]`. When the buffer is full, `is_full` is set
    and the last position is returned, so callers need no branch; `status` reports it.
    """
    position = events.n
    if position >= len(events.items):
        events.is_full = True
        position = len(events.items) - 1
    else:
        events.n = position + 1
    item = events.items[position]
    item.component = component
    item.event = code
    item.direction = direction
    item.id = object_id
    item.parent_id = -1
    item.origin_index = -1
    item.origin_ns = -1
    item.known_index = events.bar_index
    item.known_at_ns = events.close_ns
    item.price_low = np.nan
    item.price_high = np.nan
    item.price = np.nan
    item.other_price = np.nan
    item.other_index = -1
    item.value = np.nan
    return int(position)


@kernel
def status(events: Any) -> int:
    """Return Status.FULL_EVENTS when an event of this bar did not fit, else Status.OK."""
    return _FULL_EVENTS if events.is_full else _OK
