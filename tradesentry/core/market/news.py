"""Read a calendar of scheduled news and say when it blocks trading.

Only what was known beforehand is used: time, currency, impact, title. Actual and forecast values are no inputs and are
not read. Separate from `core.market.calendar`, because users bring these files and the errors name their rows.

A file is CSV, JSON (a list of rows, or an object with `events` and optionally `from` and `to`) or Parquet, with

* a time: `ts_ns` (ns UTC), or `time_utc` (without offset), or `time` with an offset, or `time` with the wall clock of
  an IANA zone in a column `zone` or in the `zone` argument;
* `currency`; `impact` 1 to 3 or low, medium, high; `title` (optional).

Times of one file are sorted here; a calendar is taken to be complete from the UTC day of its first event to that of
its last, unless the file says otherwise.
"""

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradesentry.core.domain.calendar_records import BLACKOUT
from tradesentry.core.domain.errors import ConfigError, ImportRefused, TradeSentryError
from tradesentry.core.market.zones import DAY_NS, SECOND_NS, IntArray, utc_from_local

MINUTE_NS: Final = 60 * SECOND_NS
SPECIAL: Final = re.compile(
    r"non-?\s?farm (payroll|employment)|\bnfp\b|\bfomc\b|\bcpi\b|consumer price"
    r"|(interest|bank|cash|funds|deposit|policy|refinancing|repo) rate\b|\brate (decision|statement)|monetary policy",
    re.IGNORECASE,
)
"""Titles that block longer: US payrolls, FOMC, consumer prices, rate decisions."""
_IMPACTS: Final = {"1": 1, "2": 2, "3": 3, "low": 1, "medium": 2, "med": 2, "high": 3}
_MICROSECOND_NS: Final = 1_000


@dataclass(frozen=True, slots=True)
class NewsSettings:
    """How news block trading of a symbol.

    Raises:
        ConfigError: A setting out of bounds.
    """

    pre_minutes: float = 30.0
    """Before an event, 5 to 120."""
    post_minutes: float = 30.0
    """After an event, 5 to 120."""
    min_impact: int = 3
    """Least impact that blocks, 1 to 3."""
    special_minutes: float = 60.0
    """Before and after payrolls, FOMC, consumer prices and rate decisions, where that is longer; 0 to 240."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("pre_minutes", 5, 120),
            ("post_minutes", 5, 120),
            ("min_impact", 1, 3),
            ("special_minutes", 0, 240),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"News setting {name} is {value}; it must lie between {low} and {high}.")


@dataclass(frozen=True, slots=True)
class NewsTable:
    """Scheduled events, sorted by time; arrays of shape (n_events,)."""

    ts_ns: IntArray
    """ns UTC."""
    currency: NDArray[np.str_]
    impact: IntArray
    """1 to 3."""
    is_special: NDArray[np.bool_]
    title: tuple[str, ...]
    from_ns: int
    """From here on the calendar is complete, ns UTC."""
    to_ns: int
    """Up to here, exclusive."""

    def __len__(self) -> int:
        return len(self.title)


def _ns(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND_NS + delta.microseconds * _MICROSECOND_NS


def _parse_time(value: Any, zone: str | None) -> int:
    """Return ns UTC of a time with an offset, or of a wall clock of `zone`."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    if moment.tzinfo is not None:
        return _ns(moment)
    if not zone:
        raise ValueError(f"time {value} has no offset and no zone; add a column `zone`, or write it as `time_utc`")
    local = moment.replace(tzinfo=UTC)
    return int(utc_from_local(zone, int(local.timestamp()))) * SECOND_NS + local.microsecond * _MICROSECOND_NS


def _row_time(row: Mapping[str, Any], zone: str | None) -> int:
    if row.get("ts_ns") not in (None, ""):
        return int(row["ts_ns"])
    if row.get("time_utc") not in (None, ""):
        return _parse_time(row["time_utc"], "UTC")
    if row.get("time") in (None, ""):
        raise ValueError("no time; the columns are `ts_ns`, `time_utc` or `time`")
    return _parse_time(row["time"], row.get("zone") or zone)


def _row(row: Mapping[str, Any], zone: str | None) -> tuple[int, str, int, str]:
    currency = str(row.get("currency") or "").strip().upper()
    if not (len(currency) == 3 and currency.isalpha()):
        raise ValueError(f"currency {row.get('currency')!r} is not a three-letter code")
    impact = _IMPACTS.get(str(row.get("impact", "")).strip().lower())
    if impact is None:
        raise ValueError(f"impact {row.get('impact')!r} is not 1, 2, 3, low, medium or high")
    return _row_time(row, zone), currency, impact, str(row.get("title") or "").strip()


def news_table(
    rows: Iterable[Mapping[str, Any]],
    *,
    zone: str | None = None,
    from_ns: int | None = None,
    to_ns: int | None = None,
    source: str = "news",
    first_row: int = 1,
) -> NewsTable:
    """Return a news calendar from rows, checked and sorted.

    Args:
        rows: Mappings with time, currency, impact and title, as the module says.
        zone: IANA zone of times that carry neither offset nor zone.
        from_ns: Start of the complete period, ns UTC; the first event's UTC day when None.
        to_ns: End of it, exclusive; the end of the last event's UTC day when None.
        source: What to call the rows in an error.
        first_row: Number of the first row in an error.

    Raises:
        ImportRefused: A row that cannot be used, named by its number.
    """
    parsed = []
    for number, row in enumerate(rows, start=first_row):
        try:
            parsed.append(_row(row, zone))
        except (ValueError, TypeError, OverflowError, TradeSentryError) as error:
            raise ImportRefused(f"{source} row {number} cannot be used: {error}. Correct or remove the row.") from error
    parsed.sort(key=lambda event: event[0])
    first = parsed[0][0] if parsed else 0
    last = parsed[-1][0] if parsed else 0
    return NewsTable(
        ts_ns=np.array([event[0] for event in parsed], dtype=np.int64),
        currency=np.array([event[1] for event in parsed], dtype="U3"),
        impact=np.array([event[2] for event in parsed], dtype=np.int64),
        is_special=np.array([SPECIAL.search(event[3]) is not None for event in parsed], dtype=np.bool_),
        title=tuple(event[3] for event in parsed),
        from_ns=from_ns if from_ns is not None else first // DAY_NS * DAY_NS,
        to_ns=to_ns if to_ns is not None else (last // DAY_NS + 1) * DAY_NS if parsed else 0,
    )


def _read_json(path: Path, zone: str | None) -> NewsTable:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        bounds = document if isinstance(document, dict) else {}
        rows = document["events"] if isinstance(document, dict) else document
        from_ns, to_ns = (_parse_time(bounds[key], zone or "UTC") if key in bounds else None for key in ("from", "to"))
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("the events are not a list of objects")
    except (ValueError, KeyError, TypeError) as error:
        raise ImportRefused(
            f"{path} is not a news calendar: {error}. Write a list of objects, or an object with `events`."
        ) from error
    return news_table(rows, zone=zone, from_ns=from_ns, to_ns=to_ns, source=str(path))


def load_news(path: Path, *, zone: str | None = None) -> NewsTable:
    """Read a news calendar.

    Args:
        path: A .csv, .json or .parquet file, as the module says.
        zone: IANA zone of times that carry neither offset nor zone.

    Raises:
        ImportRefused: Another kind of file, or a row that cannot be used, named by its number (line for CSV).
    """
    kind = path.suffix.lower()
    if kind == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            return news_table(csv.DictReader(file), zone=zone, source=str(path), first_row=2)
    if kind == ".json":
        return _read_json(path, zone)
    if kind == ".parquet":
        # pyarrow takes longer to import than a cold back-test may last.
        import pyarrow.parquet as pq

        return news_table(pq.read_table(path).to_pylist(), zone=zone, source=str(path))
    raise ImportRefused(f"{path} is not a news calendar: files end in .csv, .json or .parquet. Convert it first.")


def merge_intervals(start_ns: IntArray, end_ns: IntArray) -> NDArray[np.void]:
    """Return half-open intervals sorted, with overlapping or touching ones merged and empty ones dropped.

    Args:
        start_ns: Starts in any order, shape (n,).
        end_ns: Ends, exclusive, shape (n,).

    Returns:
        BLACKOUT rows, sorted and disjoint.
    """
    keep = end_ns > start_ns
    order = np.argsort(start_ns[keep], kind="stable")
    start, reach = start_ns[keep][order], np.maximum.accumulate(end_ns[keep][order])
    is_first = np.ones(len(start), dtype=np.bool_)
    is_first[1:] = start[1:] > reach[:-1]
    first = np.flatnonzero(is_first)
    merged = np.zeros(len(first), BLACKOUT)
    merged["start_ns"] = start[first]
    merged["end_ns"] = reach[np.append(first[1:], len(start)) - 1] if len(first) else 0
    return merged


def blackouts(
    events: NewsTable,
    currencies: Iterable[str],
    pre: float = 30.0,
    post: float = 30.0,
    min_impact: int = 3,
    *,
    special: float = 60.0,
) -> NDArray[np.void]:
    """Return when news of the given currencies block trading.

    Args:
        events: A news calendar.
        currencies: Base and quote currency.
        pre: Blocked before an event, minutes.
        post: Blocked after an event, minutes.
        min_impact: Least impact that blocks, 1 to 3.
        special: Least minutes before and after payrolls, FOMC, consumer prices and rate decisions.

    Returns:
        BLACKOUT rows: half-open intervals [t - pre, t + post), sorted, overlapping or touching ones merged.

    Raises:
        ConfigError: Negative minutes or an impact outside 1 to 3.
    """
    if min(pre, post, special) < 0 or not 1 <= min_impact <= 3:
        raise ConfigError(
            f"News blackout of {pre} minutes before, {post} after, special {special}, impact {min_impact} makes no "
            "sense. Minutes are 0 or more, impact is 1 to 3."
        )
    wanted = np.isin(events.currency, sorted(set(currencies))) & (events.impact >= min_impact)
    ts_ns, is_special = events.ts_ns[wanted], events.is_special[wanted]
    before = np.where(is_special, round(max(pre, special) * MINUTE_NS), round(pre * MINUTE_NS))
    after = np.where(is_special, round(max(post, special) * MINUTE_NS), round(post * MINUTE_NS))
    return merge_intervals(ts_ns - before, ts_ns + after)
