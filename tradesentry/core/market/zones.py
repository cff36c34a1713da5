"""Convert wall clocks of IANA zones to UTC and back, whole arrays at once.

Separate because sessions, FX days, holidays and importers must read the same clock in the same way. The rules that
every caller gets:

* an ambiguous local time (clocks go back) is the first pass with fold 0 and the second with fold 1;
* a skipped local time (clocks go forward) is moved forward by the shift, whatever the fold.

The changes of a zone are found by probing the standard library's `zoneinfo` once a week and bisecting, a year at a
time and kept, so thousands of dates cost a binary search instead of thousands of `datetime` objects.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradesentry.core.domain.errors import ClockError, nearest

SECOND_NS: Final = 1_000_000_000
DAY_SECONDS: Final = 86_400
DAY_NS: Final = DAY_SECONDS * SECOND_NS
_WEEK_SECONDS: Final = 7 * DAY_SECONDS
_FIRST_YEAR: Final = 1900
_LAST_YEAR: Final = 2200

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClockChanges:
    """The changes of one zone over some years, sorted.

    `offsets` has one value more than `at`: `offsets[i]` is seconds east of UTC before change i, the last one after all.
    """

    at: IntArray
    """Instants of the changes, seconds since 1970 UTC."""
    offsets: IntArray


@lru_cache(maxsize=64)
def zone_info(zone: str) -> ZoneInfo:
    """Return the IANA zone named `zone`.

    Raises:
        ClockError: No such zone.
    """
    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        close = nearest(zone, available_timezones())
        hint = f"{close} " if close.startswith("Did you mean") else ""
        raise ClockError(
            f"Time zone {zone!r} does not exist. {hint}Use an IANA name such as 'Europe/London'."
        ) from error


def _offset_at(info: ZoneInfo, utc_s: int) -> int:
    offset = datetime.fromtimestamp(utc_s, info).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _year_start_s(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


@lru_cache(maxsize=4096)
def _changes_of_year(zone: str, year: int) -> tuple[tuple[int, int, int], ...]:
    """Return (instant, offset before, offset after) of each change in a UTC year."""
    info = zone_info(zone)
    end = _year_start_s(year + 1)
    low = _year_start_s(year)
    before = _offset_at(info, low - 1)
    low -= 1
    found = []
    while low < end - 1:
        high = min(low + _WEEK_SECONDS, end - 1)
        after = _offset_at(info, high)
        if after != before:
            left, right = low, high
            while right - left > 1:
                middle = (left + right) // 2
                left, right = (middle, right) if _offset_at(info, middle) == before else (left, middle)
            found.append((right, before, after))
        low, before = high, after
    return tuple(found)


@lru_cache(maxsize=256)
def clock_changes(zone: str, from_year: int, to_year: int) -> ClockChanges:
    """Return the clock changes of `zone` from the start of `from_year` to the end of `to_year`, UTC.

    Raises:
        ClockError: No such zone, or years outside 1900 to 2200.
    """
    if not _FIRST_YEAR <= from_year <= to_year <= _LAST_YEAR:
        raise ClockError(
            f"Years {from_year} to {to_year} are outside {_FIRST_YEAR} to {_LAST_YEAR}: the times are not nanoseconds "
            "since 1970. Check the unit of the time column."
        )
    rows = [row for year in range(from_year, to_year + 1) for row in _changes_of_year(zone, year)]
    first = rows[0][1] if rows else _offset_at(zone_info(zone), _year_start_s(from_year))
    return ClockChanges(
        at=np.array([at for at, _, _ in rows], dtype=np.int64),
        offsets=np.array([first, *(after for _, _, after in rows)], dtype=np.int64),
    )


def _changes_around(zone: str, seconds: IntArray) -> ClockChanges:
    if seconds.size == 0:
        return ClockChanges(np.zeros(0, np.int64), np.zeros(1, np.int64))
    edges = np.array([seconds.min() - 2 * DAY_SECONDS, seconds.max() + 2 * DAY_SECONDS], "datetime64[s]")
    first, last = (edges.astype("datetime64[Y]").astype(np.int64) + 1970).tolist()
    return clock_changes(zone, first, last)


def utc_from_local(zone: str, local_s: ArrayLike, *, fold: int = 0) -> IntArray:
    """Return the UTC instants of wall-clock times.

    Args:
        zone: IANA name.
        local_s: Wall-clock times counted as if they were UTC, seconds since 1970-01-01 00:00, any shape.
        fold: Which pass of an ambiguous time, 0 or 1. A skipped time is moved forward by the shift.

    Returns:
        Seconds since 1970 UTC, same shape.

    Raises:
        ClockError: No such zone.
    """
    local = np.asarray(local_s, dtype=np.int64)
    changes = _changes_around(zone, local)
    before, after = changes.offsets[:-1], changes.offsets[1:]
    # From this wall-clock time on the new offset holds: after a gap always, after a repeated hour by the fold.
    since = changes.at + (np.maximum(before, after) if fold == 0 else after)
    return np.asarray(local - changes.offsets[np.searchsorted(since, local, side="right")], dtype=np.int64)


def local_from_utc(zone: str, utc_s: ArrayLike) -> IntArray:
    """Return the wall-clock times of UTC instants, counted as if they were UTC.

    Args:
        zone: IANA name.
        utc_s: Seconds since 1970 UTC, any shape.

    Raises:
        ClockError: No such zone.
    """
    utc = np.asarray(utc_s, dtype=np.int64)
    changes = _changes_around(zone, utc)
    return np.asarray(utc + changes.offsets[np.searchsorted(changes.at, utc, side="right")], dtype=np.int64)
