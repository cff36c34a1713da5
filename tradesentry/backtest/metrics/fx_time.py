"""Cut time the way FX does, over whole arrays: days and weeks of 17:00 New York, open hours, sessions.

For evaluation only: decisions get their times from the compiled calendar. FX weeks change clocks while the market is
closed, so one look-up of the zone per week or day is exact.
"""

from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
WEEK_NS = 7 * DAY_NS
OPEN_WEEK_NS = 5 * DAY_NS
"""Sunday 17:00 to Friday 17:00 New York; clocks change inside the closed weekend, so always 120 hours."""
DAY_END_HOUR = 17
SESSIONS = (
    ("Sydney", "Australia/Sydney", 7, 16),
    ("Tokyo", "Asia/Tokyo", 9, 18),
    ("London", "Europe/London", 8, 17),
    ("New York", "America/New_York", 8, 17),
)
"""Name, zone, first hour and end hour on the wall clock; a later row wins where two overlap."""
OVERLAP = "London and New York"
OFF_HOURS = "Between sessions"
SESSION_NAMES = (*(name for name, *_ in SESSIONS), OVERLAP, OFF_HOURS)

_FIRST_MONDAY = 4
"""1970-01-05 as days since 1970-01-01."""


def utc_offsets(zone: str, days: IntArray) -> IntArray:
    """Return the offset from UTC at noon of each day, nanoseconds.

    Args:
        zone: IANA name.
        days: Days since 1970-01-01, any shape.
    """
    from datetime import UTC, datetime, timedelta

    unique, back = np.unique(days, return_inverse=True)
    zone_info, epoch = ZoneInfo(zone), datetime(1970, 1, 1, 12, tzinfo=UTC)
    offsets = [(epoch + timedelta(days=int(day))).astimezone(zone_info).utcoffset() for day in unique]
    seconds = np.array([offset.total_seconds() if offset else 0.0 for offset in offsets], dtype=np.int64)
    return seconds[back].reshape(days.shape) * 1_000_000_000 if len(unique) else np.zeros(days.shape, np.int64)


def fx_days(first_ns: int, last_ns: int) -> tuple[IntArray, IntArray]:
    """Return the FX days that touch a period: their dates and the instants at which they end.

    An FX day ends at 17:00 New York of the weekday it is named after, Monday to Friday; the weekend belongs to Monday.

    Args:
        first_ns: Start of the period; the day that ends exactly here is over.
        last_ns: End of the period; the day that ends exactly here is the last one.

    Returns:
        Dates as days since 1970-01-01 and ends in ns UTC, ascending, same shape (n_days,).
    """
    monday = (first_ns // DAY_NS - _FIRST_MONDAY) // 7 * 7 + _FIRST_MONDAY - 7
    n_weeks = int((last_ns // DAY_NS - monday) // 7 + 3)
    mondays = monday + 7 * np.arange(n_weeks, dtype=np.int64)
    dates = (mondays[:, None] + np.arange(5, dtype=np.int64)).ravel()
    offsets = np.repeat(utc_offsets("America/New_York", mondays), 5)
    ends = dates * DAY_NS + DAY_END_HOUR * HOUR_NS - offsets
    begin = int(np.searchsorted(ends, first_ns, side="right"))
    stop = int(np.searchsorted(ends, last_ns, side="left")) + 1
    return dates[begin:stop], ends[begin:stop]


def fx_week(ts_ns: IntArray) -> IntArray:
    """Return the Monday (days since 1970-01-01) of the FX week of each instant; weeks start Sunday 17:00 New York."""
    dates = fx_date(ts_ns)
    return (dates - _FIRST_MONDAY) // 7 * 7 + _FIRST_MONDAY


def fx_date(ts_ns: IntArray) -> IntArray:
    """Return the date of the FX day of each instant, days since 1970-01-01; Friday 17:00 on belongs to Monday."""
    if not len(ts_ns):
        return np.zeros(0, np.int64)
    dates, ends = fx_days(int(ts_ns.min()) - DAY_NS, int(ts_ns.max()) + 4 * DAY_NS)
    return dates[np.searchsorted(ends, ts_ns, side="right")]


def open_time(ts_ns: IntArray) -> IntArray:
    """Return a clock that runs only while the FX market is open: nanoseconds open since January 1970.

    Args:
        ts_ns: Instants; the difference of two results is the open time between them.
    """
    if not len(ts_ns):
        return np.zeros(0, np.int64)
    monday = (int(ts_ns.min()) // DAY_NS - _FIRST_MONDAY) // 7 * 7 + _FIRST_MONDAY - 7
    n_weeks = int((int(ts_ns.max()) // DAY_NS - monday) // 7 + 3)
    mondays = monday + 7 * np.arange(n_weeks, dtype=np.int64)
    starts = mondays * DAY_NS - (24 - DAY_END_HOUR) * HOUR_NS - utc_offsets("America/New_York", mondays)
    week = np.searchsorted(starts, ts_ns, side="right") - 1
    n_before = (mondays[week] - _FIRST_MONDAY) // 7
    result: IntArray = n_before * OPEN_WEEK_NS + np.clip(ts_ns - starts[week], 0, OPEN_WEEK_NS)
    return result


def session_of(ts_ns: IntArray) -> npt.NDArray[np.str_]:
    """Return the session of each instant by the wall clocks of Sydney, Tokyo, London and New York.

    The hours that London and New York share are their own session; elsewhere the one that opened last counts.
    """
    names: npt.NDArray[np.str_] = np.full(len(ts_ns), OFF_HOURS, dtype=f"<U{max(map(len, SESSION_NAMES))}")
    is_open: dict[str, npt.NDArray[np.bool_]] = {}
    for name, zone, begin, end in SESSIONS:
        local = ts_ns + utc_offsets(zone, ts_ns // DAY_NS)
        hour = local // HOUR_NS % 24
        is_open[name] = (hour >= begin) & (hour < end)
        names[is_open[name]] = name
    names[is_open["London"] & is_open["New York"]] = OVERLAP
    return names


def iso_date(day: int) -> str:
    """Return a day since 1970-01-01 as YYYY-MM-DD."""
    return str(np.datetime64(day, "D"))


def iso_minute(ts_ns: int) -> str:
    """Return an instant as YYYY-MM-DD HH:MM, UTC."""
    return str(np.datetime64(ts_ns, "ns").astype("datetime64[m]")).replace("T", " ")
