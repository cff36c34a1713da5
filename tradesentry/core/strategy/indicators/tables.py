"""Turn what users have (frames, mappings) into bars, and what components said into frames and rows.

The Python border of `runner`: checks once, names columns once.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from tradesentry.core.domain.calendar_records import N_DAYS
from tradesentry.core.domain.errors import DataError
from tradesentry.core.domain.records import BAR
from tradesentry.core.strategy.indicators.events import EVENT, Component, EventCode
from tradesentry.core.strategy.indicators.rigs import N_INPUTS
from tradesentry.core.utils.kernel import new_records

DAY_NS: Final = 86_400_000_000_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
REQUIRED: Final = ("open_ns", "close_ns", "open", "high", "low", "close")
COMPONENTS: Final = {int(member): member.name.lower() for member in Component}
CODES: Final = {int(member): member.name for member in EventCode}
EVENT_COLUMNS: Final[tuple[str, ...]] = EVENT.names or ()
COMPONENT_TYPE: Final = pl.Enum(list(COMPONENTS.values()))
EVENT_TYPE: Final = pl.Enum(list(CODES.values()))


def as_bars(bars: Any) -> np.recarray[Any, Any]:
    """Return `bars` as a contiguous BAR array.

    Args:
        bars: BAR array, or a frame (or mapping of columns) with open_ns, close_ns, open, high, low, close and
            optionally volume and spread, which are 0 when absent.

    Raises:
        DataError: A column is missing, or the array has another layout.
    """
    if isinstance(bars, np.ndarray):
        if bars.dtype.names != BAR.names or bars.ndim != 1:
            raise DataError(
                f"Bars are an array of {bars.dtype} with {bars.ndim} dimensions, not a one-dimensional BAR array. "
                "Load them with `load_bars`, or pass a frame with the columns " + ", ".join(REQUIRED) + "."
            )
        return np.ascontiguousarray(bars, BAR).view(np.recarray)
    columns = list(bars.columns) if isinstance(bars, pl.DataFrame) else list(bars)
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(
            f"Bars lack the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; present are "
            f"{', '.join(map(str, columns)) or 'none'}. Rename or add them; times are int64 nanoseconds UTC."
        )
    records = new_records(len(bars[REQUIRED[0]]), BAR)
    for name in BAR.names or ():
        if name in columns:
            records[name] = np.asarray(bars[name])
    return records


def as_bar(bar: Any) -> np.recarray[Any, Any]:
    """Return one bar (a BAR record or a mapping of its fields) as a BAR array of length 1.

    Raises:
        DataError: A field is missing.
    """
    if isinstance(bar, Mapping):
        return as_bars({name: [value] for name, value in bar.items()})
    return as_bars(np.asarray(bar, BAR).reshape(1))


def as_inputs(bars: Any, names: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """Return the columns of a frame or mapping that a component takes beside its bars; none of a BAR array.

    Args:
        bars: As for `as_bars` or `as_bar`.
        names: Columns wanted; one that is absent is NaN.

    Returns:
        Shape (n_bars, N_INPUTS), or (0, N_INPUTS) when nothing was given.
    """
    columns = bars.columns if isinstance(bars, pl.DataFrame) else list(bars) if isinstance(bars, Mapping) else []
    present = [name for name in names if name in columns]
    if not present:
        return np.empty((0, N_INPUTS))
    values = [np.atleast_1d(np.asarray(bars[name], np.float64)) for name in present]
    inputs = np.full((len(values[0]), N_INPUTS), np.nan)
    for name, column in zip(present, values, strict=True):
        inputs[:, names.index(name)] = column
    return inputs


def put_windows(calendar: Any, windows: Any) -> None:
    """Make explicit UTC windows the only session of a calendar record, in slot 0.

    Args:
        calendar: CALENDAR record, changed in place.
        windows: Pairs (start, end) of ns UTC or aware datetimes, half-open.

    Raises:
        DataError: A window ends before it starts, two overlap, or there are more than fit.
    """
    bounds = [(_instant_ns(start), _instant_ns(end)) for start, end in windows]
    for i, (start, end) in enumerate(bounds):
        if start >= end or (i > 0 and start < bounds[i - 1][1]):
            raise DataError(
                f"Window {i} from {start} to {end} ns UTC is empty or starts before the one before it ends. "
                "Give half-open windows in time order that do not overlap."
            )
    if len(bounds) > N_DAYS:
        raise DataError(f"{len(bounds)} windows do not fit a calendar of {N_DAYS}. Split the period.")
    calendar.n_sessions = 1
    calendar.n_bounds[:] = 0
    calendar.n_bounds[0] = len(bounds)
    for i, (start, end) in enumerate(bounds):
        calendar.session_bounds[0, i] = (start // DAY_NS, start, end, True)


def _instant_ns(instant: int | datetime) -> int:
    if isinstance(instant, int):
        return instant
    return (instant - EPOCH) // timedelta(microseconds=1) * 1_000


def events_frame(records: np.ndarray[Any, Any]) -> pl.DataFrame:
    """Return EVENT records as a frame with names for codes, one row per event in the order of work."""
    columns: dict[str, Any] = {name: np.ascontiguousarray(records[name]) for name in EVENT_COLUMNS}
    columns["component"] = _named(columns["component"], COMPONENTS, COMPONENT_TYPE)
    columns["event"] = _named(columns["event"], CODES, EVENT_TYPE)
    return pl.DataFrame(columns)


def _named(codes: np.ndarray[Any, Any], names: Mapping[int, str], kind: pl.Enum) -> pl.Series:
    """Return codes as an enumeration, whose n-th name is that of the n-th code."""
    positions = np.searchsorted(np.fromiter(names, np.int64), codes)
    return pl.Series(positions.astype(np.uint8)).cat.to(kind)


def event_rows(records: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """Return EVENT records as dictionaries, the rows of `events_frame`."""
    rows = [dict(zip(EVENT_COLUMNS, values, strict=True)) for values in records.tolist()]
    for row in rows:
        row["component"] = COMPONENTS[row["component"]]
        row["event"] = CODES[row["event"]]
    return rows


def series_rows(records: np.ndarray[Any, Any], columns: Mapping[str, type]) -> list[dict[str, Any]]:
    """Return rows of a series as dictionaries, the rows of `series_frame`."""
    return [
        {
            "index": int(record["index"]),
            "open_ns": int(record["open_ns"]),
            "known_at_ns": int(record["known_at_ns"]),
            **{name: kind(value) for (name, kind), value in zip(columns.items(), record["values"], strict=False)},
        }
        for record in records.view(np.ndarray)
    ]


def series_frame(records: np.ndarray[Any, Any], columns: Mapping[str, type]) -> pl.DataFrame:
    """Return rows of a series as a frame: index, open_ns, known_at_ns and the named values."""
    data: dict[str, Any] = {name: np.ascontiguousarray(records[name]) for name in ("index", "open_ns", "known_at_ns")}
    for position, (name, kind) in enumerate(columns.items()):
        data[name] = np.ascontiguousarray(records["values"][:, position]).astype(kind)
    return pl.DataFrame(data)
