"""The records of time: sessions, FX days and news as kernels see them, and the clock that strategies read.

Separate from the records of trading, because the market layer fills them and `core.market.clock` alone moves them.
"""

from typing import Final

import numpy as np

N_SESSIONS: Final = 8
"""Session slots of a calendar."""
N_DAYS: Final = 8_000
"""FX days of a calendar, 30 years."""
N_BLACKOUTS: Final = 16_384
"""Merged news intervals of a calendar."""


def aligned(*fields: tuple[str, object] | tuple[str, object, tuple[int, ...]]) -> np.dtype[np.void]:
    """Return the layout of a record with these fields, aligned like a C struct."""
    return np.dtype(list(fields), align=True)


SESSION_BOUNDS = aligned(
    ("date", "i8"),  # local date, days since 1970-01-01
    ("start_ns", "i8"),
    ("end_ns", "i8"),  # exclusive; earlier on early closes
    ("is_valid", "b1"),  # False on holidays of either currency
)
FX_DAY = aligned(
    ("start_ns", "i8"),  # 17:00 New York
    ("end_ns", "i8"),  # the next 17:00 New York, exclusive
    ("weekday", "i8"),  # of the day it is named after, Monday = 0
    ("week_end_ns", "i8"),  # Friday 17:00 New York of this FX week
    ("is_holiday", "b1"),
)
BLACKOUT = aligned(("start_ns", "i8"), ("end_ns", "i8"))
CALENDAR = aligned(
    ("n_sessions", "i8"),
    ("n_bounds", "i8", (N_SESSIONS,)),
    ("session_bounds", SESSION_BOUNDS, (N_SESSIONS, N_DAYS)),
    ("n_days", "i8"),
    ("fx_days", FX_DAY, (N_DAYS,)),
    ("n_blackouts", "i8"),
    ("blackouts", BLACKOUT, (N_BLACKOUTS,)),
    ("news_from_ns", "i8"),  # where a news calendar exists; 0, 0 when there is none
    ("news_to_ns", "i8"),
)
SESSION_CLOCK = aligned(("date", "i8"), ("start_ns", "i8"), ("end_ns", "i8"), ("is_valid", "b1"))
CLOCK = aligned(
    ("fx_day", "i8"),  # row number of the FX day that holds the bar's open
    ("fx_day_start_ns", "i8"),
    ("fx_day_end_ns", "i8"),
    ("weekday", "i8"),
    ("week_end_ns", "i8"),
    ("blackout_start_ns", "i8"),  # the present or next blackout; far future when none
    ("blackout_end_ns", "i8"),
    ("n_moves", "i8"),  # counts changes, so that a copy knows when it is stale
    ("is_holiday", "b1"),
    ("is_news_known", "b1"),
    ("sessions", SESSION_CLOCK, (N_SESSIONS,)),  # the session that holds the bar's open, else the next one
)

CURSOR = aligned(  # rows of the calendar in use; found again by search, so not part of any state
    ("fx_day_row", "i8"),
    ("blackout_row", "i8"),
    ("session_rows", "i8", (N_SESSIONS,)),
    ("next_ns", "i8"),  # no row changes before a bar closes at or after it
)
