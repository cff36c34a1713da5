"""Translate between a vendor's wall clock and UTC.

A source clock is an IANA zone and a shift: MT5 servers that follow New York run on `America/New_York+7h`. The legal
rules leave two questions that only the order of the rows answers, and this module is the one place that answers them:

1. a local hour that happens twice is the first one until the rows step back, then the second;
2. a vendor that sets its clock back days after (or before) the legal change shows it as a step back of that size; the
   change is then taken where the rows step, not where the law has it.

A local time that never happened disproves the zone.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np

from tradesentry.core.domain.errors import ClockError, nearest
from tradesentry.core.market.bars import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Int64Array, utc_text
from tradesentry.core.market.zones import clock_changes

MAX_SWITCH_DELAY_NS: Final = 8 * DAY_NS
"""How far from the legal date a vendor's own clock change is looked for."""


@dataclass(frozen=True, slots=True)
class SourceClock:
    """A wall clock: an IANA zone and a shift of it."""

    zone: str
    shift_minutes: int = 0

    @staticmethod
    def parse(text: str) -> "SourceClock":
        """Return the clock written as `ZONE` or `ZONE+shift`: Europe/Athens, America/New_York+7h, UTC-5, UTC+5:30.

        Raises:
            ClockError: No such zone; names the nearest one.
        """
        text = text.strip()
        if _is_zone(text):
            return SourceClock(text)
        match = re.fullmatch(r"(.+?)\s*([+-])(\d{1,2})(?::?([0-5]\d))?h?", text)
        zone = match.group(1) if match else text
        if match is None or not _is_zone(zone):
            raise ClockError(
                f"Unknown clock {text!r}: no time zone {zone!r}. {nearest(zone, available_timezones())[:120]} "
                "Write an IANA zone with an optional shift, such as Europe/Athens, America/New_York+7h or UTC-5.",
                code="clock_unknown",
            )
        minutes = int(match.group(3)) * 60 + int(match.group(4) or 0)
        return SourceClock(zone, minutes if match.group(2) == "+" else -minutes)

    def __str__(self) -> str:
        if not self.shift_minutes:
            return self.zone
        hours, minutes = divmod(abs(self.shift_minutes), 60)
        return f"{self.zone}{'+' if self.shift_minutes > 0 else '-'}{hours}{f':{minutes:02}' if minutes else ''}h"


UTC_CLOCK: Final = SourceClock("UTC")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return bool(name)


@dataclass(frozen=True, slots=True, eq=False)
class Conversion:
    """UTC times of a column of wall times."""

    utc_ns: Int64Array
    notes: tuple[str, ...]
    """What the order of the rows had to decide."""


def offsets(zone: str, first_ns: int, last_ns: int) -> tuple[Int64Array, Int64Array]:
    """Return the changes of a zone's UTC offset over a period.

    Returns:
        Instants of change in ns UTC, shape (n,); offsets in ns before, between and after them, shape (n + 1,).
    """
    first, last = (datetime.fromtimestamp(ts // SECOND_NS, UTC).year for ts in (first_ns, last_ns))
    table = clock_changes(zone, first - 1, last + 1)
    return table.at * SECOND_NS, table.offsets * SECOND_NS


def utc_to_wall(utc_ns: Int64Array, clock: SourceClock) -> Int64Array:
    """Return what `clock` showed at the instants `utc_ns`, as nanoseconds of a clock without zone."""
    if utc_ns.size == 0:
        return utc_ns
    changes, shifts = offsets(clock.zone, int(utc_ns.min()), int(utc_ns.max()))
    wall = utc_ns + shifts[np.searchsorted(changes, utc_ns, side="right")] + clock.shift_minutes * MINUTE_NS
    return np.asarray(wall, np.int64)


def wall_to_utc(wall_ns: Int64Array, clock: SourceClock) -> Conversion:
    """Return the instants at which `clock` showed `wall_ns`.

    Args:
        wall_ns: Wall times in the order of the rows, nanoseconds of a clock without zone, shape (n,).
        clock: The vendor's clock.

    Raises:
        ClockError: A row shows a local time that never happened in that zone; names the row, counted from 1.
    """
    if wall_ns.size == 0:
        return Conversion(wall_ns, ())
    local = np.asarray(wall_ns - clock.shift_minutes * MINUTE_NS, np.int64)
    changes, shifts = offsets(clock.zone, int(local.min()), int(local.max()))
    if changes.size == 0:
        return Conversion(local - shifts[0], ())
    before, after = changes + shifts[:-1], changes + shifts[1:]
    period = np.searchsorted(np.maximum(before, after), local, side="right")
    _refuse_skipped_times(local, period, (before, after), clock)
    steps_back = np.flatnonzero(np.diff(local) < 0) + 1
    shift_ns = clock.shift_minutes * MINUTE_NS
    notes = _place_repeated_hours(local, period, (before, after), steps_back=steps_back, shift_ns=shift_ns)
    notes += _move_late_changes(local, period, (before, after), steps_back)
    return Conversion(np.asarray(local - shifts[period], np.int64), tuple(notes))


def _refuse_skipped_times(
    local: Int64Array, period: Int64Array, bounds: tuple[Int64Array, Int64Array], clock: SourceClock
) -> None:
    before, after = bounds
    next_change = np.minimum(period, before.size - 1)
    skipped = (after > before)[next_change] & (local >= before[next_change]) & (period < before.size)
    rows = np.flatnonzero(skipped)
    if rows.size:
        shown = utc_text(int(local[rows[0]]) + clock.shift_minutes * MINUTE_NS)
        raise ClockError(
            f"Row {rows[0] + 1} says {shown}, a local time that never happened on the clock {clock}: it was skipped "
            f"when the clock was set forward ({rows.size} rows). The file runs on another clock; use --detect-clock.",
            code="clock_skipped_time",
        )


def _place_repeated_hours(
    local: Int64Array,
    period: Int64Array,
    bounds: tuple[Int64Array, Int64Array],
    *,
    steps_back: Int64Array,
    shift_ns: int,
) -> list[str]:
    before, after = bounds
    is_bars = not np.any(local % MINUTE_NS)
    notes = []
    for change in np.flatnonzero(after < before):
        rows = np.flatnonzero((local >= after[change]) & (local < before[change]) & (period == change))
        if rows.size == 0:
            continue
        turns = steps_back[(steps_back >= rows[0]) & (steps_back <= rows[-1])]
        if turns.size == 0 and is_bars:
            # A bar as long as the repeated hour comes twice with one time; ticks may share a time by chance.
            turns = rows[1:][local[rows[1:]] == local[rows[1:] - 1]]
        hour = utc_text(int(after[change]) + shift_ns)
        if turns.size:
            period[rows[rows >= turns[0]]] = change + 1
            notes.append(
                f"the local hour from {hour} happened twice; split at row {turns[0] + 1}, where time steps back"
            )
        else:
            notes.append(f"the local hour from {hour} happened twice but occurs once; taken as the first")
    return notes


def _move_late_changes(
    local: Int64Array, period: Int64Array, bounds: tuple[Int64Array, Int64Array], steps_back: Int64Array
) -> list[str]:
    before, after = bounds
    set_back = np.flatnonzero(after < before)
    notes = []
    for row in steps_back:
        if period[row] != period[row - 1] or set_back.size == 0:
            continue
        change = set_back[np.argmin(np.abs(before[set_back] - local[row]))]
        size = before[change] - after[change]
        is_near = abs(int(before[change] - local[row])) <= MAX_SWITCH_DELAY_NS
        if not is_near or local[row] + size <= local[row - 1]:
            continue
        earlier = np.arange(local.size) < row
        if period[row] == change + 1:
            period[earlier & (period == change + 1) & (local >= after[change])] = change
        else:
            period[~earlier & (period == change)] = change + 1
        days = (int(local[row]) - int(after[change])) / (24 * HOUR_NS)
        notes.append(
            f"the vendor set its clock back at row {row + 1} ({utc_text(int(local[row]))}), "
            f"{abs(days):.1f} days {'after' if days > 0 else 'before'} the legal change"
        )
    return notes
