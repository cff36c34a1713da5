"""Pack sessions, FX days, holidays and news of one instrument into the record that kernels read.

An app declares what it needs in a `CalendarSpec`; equal specs share one calendar, so a sweep of a thousand variants
builds it once. Rows are whole days beyond both ends of the period, and rows of the past never change when a live run
rebuilds its calendar.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from tradesentry.core.domain.calendar_records import CALENDAR, N_BLACKOUTS, N_DAYS, N_SESSIONS
from tradesentry.core.domain.errors import CapacityError, ConfigError
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.market.holidays import ExtraHolidays, closed_days, early_closes
from tradesentry.core.market.news import NewsSettings, NewsTable, blackouts
from tradesentry.core.market.sessions import (
    NEW_YORK,
    SessionWindow,
    fx_days,
    session_bounds_ns,
    session_window,
    weekday_of,
)
from tradesentry.core.market.zones import DAY_NS, SECOND_NS, IntArray, local_from_utc
from tradesentry.core.utils.kernel import new_records

MARGIN_DAYS: Final = 14
"""Days beyond each end of the period, so that the last bars still see the next session and the next FX day."""
_SATURDAY: Final = 5

Calendar = np.recarray[Any, Any]


@dataclass(frozen=True, slots=True)
class CalendarSpec:
    """What an app needs from a calendar; hashable, so variants with the same needs share one.

    Raises:
        ConfigError: An unknown session or H4 anchor.
        CapacityError: More sessions than a calendar has slots.
    """

    sessions: tuple[SessionWindow | str, ...] = ()
    """Slots in order; names and window strings are turned into windows."""
    news: NewsSettings | None = None
    """None: news block nothing."""
    h4_anchor: Literal["fx_day", "utc"] = "fx_day"
    """Where four-hour buckets start: 17:00 New York, or 00:00 UTC."""

    def __post_init__(self) -> None:
        if len(self.sessions) > N_SESSIONS:
            raise CapacityError(
                f"{len(self.sessions)} sessions are declared and a calendar has {N_SESSIONS} slots. Declare fewer, or "
                "raise N_SESSIONS in core/domain/records.py."
            )
        if self.h4_anchor not in ("fx_day", "utc"):
            raise ConfigError(f"h4_anchor {self.h4_anchor!r} does not exist. Use 'fx_day' or 'utc'.")
        object.__setattr__(self, "sessions", tuple(session_window(session) for session in self.sessions))


def _span(days: IntArray) -> tuple[int, int]:
    years = days[[0, -1]].astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    return int(years[0]), int(years[1])


def _refuse(what: str, n: int, capacity: int, remedy: str) -> CapacityError:
    return CapacityError(f"The period needs {n:,} {what} and a calendar holds {capacity:,}. {remedy}")


def _fill_fx_days(calendar: NDArray[np.void], rows: NDArray[np.void], closed: IntArray) -> None:
    if len(rows) > N_DAYS:
        raise _refuse("FX days", len(rows), N_DAYS, "Shorten the period, or run it in parts.")
    dates = local_from_utc(NEW_YORK, rows["end_ns"] // SECOND_NS) * SECOND_NS // DAY_NS
    rows["is_holiday"] = np.isin(dates, closed)
    calendar["fx_days"][0, : len(rows)] = rows
    calendar["n_days"] = len(rows)


def _fill_session(
    table: NDArray[np.void], window: SessionWindow, dates: IntArray, *, closed: IntArray, early: dict[int, int]
) -> int:
    """Write one row per date into `table` and return how many."""
    if len(dates) > N_DAYS:
        raise _refuse("dates per session", len(dates), N_DAYS, "Shorten the period, or run it in parts.")
    start_ns, end_ns = session_bounds_ns(dates, window)
    is_open = ~np.isin(dates, closed)
    for row in np.flatnonzero(np.isin(dates, list(early))):
        end_ns[row] = max(min(end_ns[row], early[int(dates[row])]), start_ns[row])
    table = table[: len(dates)]
    table["date"], table["start_ns"], table["end_ns"] = dates, start_ns, end_ns
    table["is_valid"] = is_open & (end_ns > start_ns)
    return len(dates)


def _fill_news(
    calendar: NDArray[np.void],
    news: NewsTable,
    settings: NewsSettings,
    currencies: tuple[str, ...],
    span: tuple[int, int],
) -> None:
    rows = blackouts(
        news,
        currencies,
        settings.pre_minutes,
        settings.post_minutes,
        settings.min_impact,
        special=settings.special_minutes,
    )
    rows = rows[(rows["end_ns"] > span[0]) & (rows["start_ns"] < span[1])]
    if len(rows) > N_BLACKOUTS:
        raise _refuse("news blackouts", len(rows), N_BLACKOUTS, "Raise `min_impact`, or shorten the period.")
    calendar["blackouts"][0, : len(rows)] = rows
    calendar["n_blackouts"] = len(rows)
    calendar["news_from_ns"], calendar["news_to_ns"] = news.from_ns, news.to_ns


def build_calendar(
    spec: CalendarSpec,
    instrument: Instrument,
    from_ns: int,
    to_ns: int,
    *,
    news: NewsTable | None = None,
    holidays: ExtraHolidays | None = None,
) -> Calendar:
    """Return the calendar of one instrument over a period.

    A holiday of base or quote currency makes that date's sessions invalid and marks the FX day; an early close of
    either shortens them. Symbols that trade through the weekend get seven FX days a week.

    Args:
        spec: Sessions, news settings and anchor.
        instrument: Gives the two currencies and whether it trades at weekends.
        from_ns: First bar's open, ns UTC.
        to_ns: Last bar's close, ns UTC.
        news: Scheduled events; used only when the spec has news settings.
        holidays: Holidays and early closes to add to the table.

    Returns:
        One CALENDAR record, shape (1,).

    Raises:
        ConfigError: The period is empty.
        CapacityError: The period does not fit.
    """
    if to_ns < from_ns:
        raise ConfigError(f"The period of the calendar is empty: it ends at {to_ns} ns, before its start {from_ns} ns.")
    margin = MARGIN_DAYS * DAY_NS
    rows = fx_days(from_ns - margin, to_ns + margin, is_always_open=instrument.is_always_open)
    first, last = int(rows["start_ns"][0]) // DAY_NS, int(rows["end_ns"][-1]) // DAY_NS
    dates = np.arange(first, last + 1, dtype=np.int64)
    currencies = (instrument.base, instrument.quote)
    closed = closed_days(currencies, *_span(dates), extra=holidays)
    early = early_closes(currencies, *_span(dates), extra=holidays)

    records = new_records(1, CALENDAR)
    calendar = records.view(np.ndarray)
    _fill_fx_days(calendar, rows, closed)
    dates = dates[weekday_of(dates) < _SATURDAY]
    calendar["n_sessions"] = len(spec.sessions)
    for slot, session in enumerate(spec.sessions):
        table = calendar["session_bounds"][0, slot]
        calendar["n_bounds"][0, slot] = _fill_session(table, session_window(session), dates, closed=closed, early=early)
    if spec.news is not None and news is not None:
        span = (int(rows["start_ns"][0]), int(rows["end_ns"][-1]))
        _fill_news(calendar, news, spec.news, currencies=currencies, span=span)
    return records
