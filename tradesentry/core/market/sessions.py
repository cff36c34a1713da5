"""Say when trading sessions and FX days begin and end, in UTC.

Sessions are wall-clock windows of IANA zones, half-open. The bounds of each local date are converted on their own,
never "yesterday's plus 24 hours": clocks of New York, London and Sydney change on different weekends. Separate from
`core.market.calendar`, which adds holidays and news and packs the result for kernels.

The FX day runs from 17:00 to 17:00 New York and carries the name of the date it ends on; the week has five, Monday to
Friday. Time in the weekend gap belongs to the FX day that comes next.
"""

import datetime as dt
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tradesentry.core.domain.calendar_records import FX_DAY
from tradesentry.core.domain.errors import ConfigError, nearest
from tradesentry.core.market.zones import (
    DAY_SECONDS,
    SECOND_NS,
    IntArray,
    local_from_utc,
    utc_from_local,
    zone_info,
)

NEW_YORK: Final = "America/New_York"
FX_CLOSE_SECONDS: Final = 17 * 3600
"""The FX day ends at 17:00 New York."""
_MONDAY_OFFSET: Final = 3
"""1970-01-01 was a Thursday."""
_DAYS_TO_TRADING: Final = np.array([0, 0, 0, 0, 0, 2, 1], dtype=np.int64)
"""From a weekday to the next one that has an FX day: Saturday and Sunday count to Monday."""
_TIME = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)$|^24:00$")
_WINDOW = re.compile(r"^\s*(\d\d:\d\d)\s*-\s*(\d\d:\d\d)\s+(\S+)\s*$")


@dataclass(frozen=True, slots=True)
class SessionWindow:
    """A daily window of the wall clock, [start, end), one per local date Monday to Friday.

    A window whose end is not after its start ends on the next date.

    Raises:
        ConfigError: A time that is not HH:MM, or a start day other than 0 and -1.
        ClockError: An unknown zone.
    """

    name: str
    zone: str
    """IANA zone of `start`, and of `end` unless `end_zone` is given."""
    start: str
    """HH:MM."""
    end: str
    """HH:MM, exclusive; 24:00 is the end of the day."""
    end_zone: str | None = None
    """IANA zone of `end`, for windows that run from one city's hour to another's."""
    start_day: int = 0
    """-1: starts on the evening before the date it is named after."""

    def __post_init__(self) -> None:
        for label, text in (("start", self.start), ("end", self.end)):
            if not _TIME.match(text):
                raise ConfigError(
                    f"Session {self.name!r}: {label} {text!r} is not a time of day. Write HH:MM, 00:00 to 24:00."
                )
        if self.start_day not in (0, -1):
            raise ConfigError(
                f"Session {self.name!r}: start_day {self.start_day} must be 0 or -1 (the evening before)."
            )
        zone_info(self.zone)
        zone_info(self.end_zone or self.zone)

    def __str__(self) -> str:
        return f"{self.start}-{self.end} {self.end_zone or self.zone}"


def _table(*windows: SessionWindow) -> MappingProxyType[str, SessionWindow]:
    return MappingProxyType({window.name: window for window in windows})


LONDON: Final = "Europe/London"
SESSIONS: Final = _table(
    SessionWindow("sydney", "Australia/Sydney", "07:00", "16:00"),
    SessionWindow("tokyo", "Asia/Tokyo", "09:00", "18:00"),
    SessionWindow("london", LONDON, "08:00", "17:00"),
    SessionWindow("new_york", NEW_YORK, "08:00", "17:00"),
    SessionWindow("asia_for_london", LONDON, "00:00", "07:00"),
    SessionWindow("london_new_york", NEW_YORK, "08:00", "17:00", end_zone=LONDON),
    SessionWindow("kill_zone_asia", NEW_YORK, "20:00", "24:00", start_day=-1),
    SessionWindow("kill_zone_london", NEW_YORK, "02:00", "05:00"),
    SessionWindow("kill_zone_new_york", NEW_YORK, "07:00", "10:00"),
    SessionWindow("kill_zone_london_close", NEW_YORK, "10:00", "12:00"),
)
"""Sessions by name. Kill zones are the customary windows in New York time; set your own as window strings."""


def session_window(session: str | SessionWindow) -> SessionWindow:
    """Return the window that a setting means.

    Args:
        session: A name of `SESSIONS`, a window string such as "00:00-07:00 Europe/London", or a window.

    Raises:
        ConfigError: Neither a known name nor a window string.
        ClockError: An unknown zone in a window string.
    """
    if isinstance(session, SessionWindow):
        return session
    if session in SESSIONS:
        return SESSIONS[session]
    match = _WINDOW.match(session)
    if match is None:
        raise ConfigError(
            f"Session {session!r} does not exist. {nearest(session, SESSIONS)} "
            "An own window is written '00:00-07:00 Europe/London'."
        )
    start, end, zone = match.groups()
    return SessionWindow(session.strip(), zone, start, end)


def _seconds(text: str) -> int:
    return int(text[:2]) * 3600 + int(text[3:]) * 60


def day_number(date: dt.date | str) -> int:
    """Return `date` (a date or "YYYY-MM-DD") as days since 1970-01-01."""
    return int(np.datetime64(date, "D").astype(np.int64))


def weekday_of(days: IntArray) -> IntArray:
    """Return the weekday of each day number, Monday = 0."""
    return (days + _MONDAY_OFFSET) % 7


def session_bounds_ns(days: IntArray, session: str | SessionWindow) -> tuple[IntArray, IntArray]:
    """Return start and end of a session on many local dates, ns UTC.

    Args:
        days: Local dates as days since 1970-01-01, shape (n,).
        session: A name, a window string or a window.

    Returns:
        Two arrays of shape (n,): start, end (exclusive).
    """
    window = session_window(session)
    first, last = _seconds(window.start), _seconds(window.end)
    start_days = days + window.start_day
    end_days = start_days + int(window.end_zone is None and last <= first)
    start = utc_from_local(window.zone, start_days * DAY_SECONDS + first, fold=0)
    end = utc_from_local(window.end_zone or window.zone, end_days * DAY_SECONDS + last, fold=1)
    return start * SECOND_NS, end * SECOND_NS


def session_bounds(date: dt.date | str, session: str | SessionWindow) -> tuple[int, int]:
    """Return start and end of a session on one local date.

    Args:
        date: The local date, a `dt.date` or "YYYY-MM-DD".
        session: A name of `SESSIONS`, a window string such as "00:00-07:00 Europe/London", or a window.

    Returns:
        (start_ns, end_ns), ns UTC, half-open.

    Raises:
        ConfigError: An unknown session.
        ClockError: An unknown zone.
    """
    start, end = session_bounds_ns(np.array([day_number(date)], dtype=np.int64), session)
    return int(start[0]), int(end[0])


def _fx_day_numbers(instants_ns: IntArray, *, is_always_open: bool) -> IntArray:
    """Return the date that names the FX day of each instant; the weekend gap counts to Monday."""
    local = local_from_utc(NEW_YORK, np.floor_divide(instants_ns, SECOND_NS))
    days = np.floor_divide(local + DAY_SECONDS - FX_CLOSE_SECONDS, DAY_SECONDS)
    if is_always_open:
        return days
    return days + _DAYS_TO_TRADING[weekday_of(days)]


def _fx_close_ns(days: IntArray) -> IntArray:
    return utc_from_local(NEW_YORK, days * DAY_SECONDS + FX_CLOSE_SECONDS) * SECOND_NS


def fx_day(instant_ns: int, *, is_always_open: bool = False) -> tuple[int, int]:
    """Return start and end of the FX day that holds an instant.

    Args:
        instant_ns: ns UTC. From Friday to Sunday 17:00 New York the next FX day, Monday, is meant.
        is_always_open: Seven FX days a week, for symbols that trade through the weekend.

    Returns:
        (start_ns, end_ns): 17:00 New York and the next 17:00 New York, ns UTC.
    """
    day = _fx_day_numbers(np.array([instant_ns], dtype=np.int64), is_always_open=is_always_open)
    return int(_fx_close_ns(day - 1)[0]), int(_fx_close_ns(day)[0])


def fx_days(from_ns: int, to_ns: int, *, is_always_open: bool = False) -> NDArray[np.void]:
    """Return all FX days from the one that holds `from_ns` to the one that holds `to_ns`.

    Args:
        from_ns: First instant, ns UTC.
        to_ns: Last instant, ns UTC.
        is_always_open: Seven FX days a week instead of five. The week then ends on Sunday 17:00 New York.

    Returns:
        FX_DAY rows, sorted; `is_holiday` is left False.
    """
    edges = np.array([from_ns, to_ns], dtype=np.int64)
    first, last = _fx_day_numbers(edges, is_always_open=is_always_open).tolist()
    days = np.arange(first, last + 1, dtype=np.int64)
    days = days if is_always_open else days[weekday_of(days) < 5]
    rows = np.zeros(len(days), FX_DAY)
    rows["start_ns"] = _fx_close_ns(days - 1)
    rows["end_ns"] = _fx_close_ns(days)
    rows["weekday"] = weekday_of(days)
    rows["week_end_ns"] = _fx_close_ns(days + (6 if is_always_open else 4) - weekday_of(days))
    return rows
