"""Any other delimited or Parquet table, by the names of its columns or a map from ours to them.

Times with an offset, Unix times and Parquet times with a zone are UTC; naive ones need the source clock.
"""

import io
import re
from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.bars import FloatArray, Int64Array
from tradesentry.core.market.importers.base import (
    Content,
    RawBars,
    RawTicks,
    ReadHints,
    symbol_in_name,
    timeframe_in_name,
)
from tradesentry.core.market.importers.table import ISO, NAIVE, Table, epoch_ns, normal_name, read_table

VENDOR: Final = "unknown"
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": (
        "time",
        "timestamp",
        "datetime",
        "date_time",
        "date",
        "open_time",
        "gmt_time",
        "timestamp_utc",
        "ts_event",
    ),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c", "last"),
    "volume": ("volume", "vol", "v", "tick_volume", "tickvol"),
    "spread": ("spread",),
    "bid": ("bid",),
    "ask": ("ask",),
}
_OFFSET = re.compile(r"(Z|[+-]\d\d:?\d\d)$")


def find_columns(columns: list[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Return our names to the table's, from the user's map first, then from usual names.

    Raises:
        ImportRefused: The map names a column that the table lacks.
    """
    found: dict[str, str] = {}
    for ours, theirs in chosen.items():
        if normal_name(theirs) not in columns:
            raise ImportRefused(
                f"The column map says {ours}={theirs}, but the file has {', '.join(columns)}.", code="column_map"
            )
        found[ours] = normal_name(theirs)
    for ours, names in ALIASES.items():
        match = next((name for name in names if name in columns), None)
        if ours not in found and match:
            found[ours] = match
    return found


def _separator(line: str) -> str:
    return max("\t;,|", key=line.count)


def _times(table: Table, column: str, hints: ReadHints) -> tuple[Int64Array, bool]:
    first = str(table.frame[column][0])
    if hints.time_format:
        return table.times(column, [hints.time_format]), "%z" in hints.time_format
    if re.fullmatch(r"\d{9,19}(\.\d+)?", first):
        return table.epochs(column), True
    if _OFFSET.search(first) and len(first) > 16:
        return table.times(column, ISO), True
    return table.times(column, NAIVE), False


def _joined_date_and_time(table: Table, found: dict[str, str]) -> Table:
    """Return the table with date and time in one column, where the file splits them."""
    if found.get("time") != "time" or not table.has("date", "time"):
        return table
    frame = table.frame.with_columns((table.frame["date"] + " " + table.frame["time"]).alias("time"))
    return Table(frame, table.lines, table.content)


class GenericCsv:
    """Any delimited table with a header."""

    name = "csv"
    description = "any delimited table with a header; name its columns with --column time=..."

    def sniff(self, content: Content) -> bool:
        names = [normal_name(name) for name in content.first_line.split(_separator(content.first_line))]
        found = find_columns(names, {})
        return "time" in found and ({"open", "high", "low", "close"} <= found.keys() or {"bid", "ask"} <= found.keys())

    def read(self, content: Content, hints: ReadHints) -> RawBars | RawTicks:
        table = read_table(content, separator=_separator(content.first_line))
        found = find_columns(table.frame.columns, hints.columns)
        _require_columns(found, content)
        table = _joined_date_and_time(table, found)
        times, is_utc = _times(table, found["time"], hints)
        values = {ours: table.numbers(theirs) for ours, theirs in found.items() if ours != "time"}
        return _raw(content, times, values, is_utc=is_utc, lines=table.lines)


class GenericParquet:
    """Any Parquet table."""

    name = "parquet"
    description = "any Parquet table; name its columns with --column time=..."

    def sniff(self, content: Content) -> bool:
        return content.data[:4] == b"PAR1"

    def read(self, content: Content, hints: ReadHints) -> RawBars | RawTicks:
        try:
            frame = pl.read_parquet(io.BytesIO(content.data))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise ImportRefused(
                f"{content.path.name}: is no readable Parquet file ({error}).", code="bad_table"
            ) from error
        frame.columns = [normal_name(name) for name in frame.columns]
        found = find_columns(frame.columns, hints.columns)
        _require_columns(found, content)
        column = frame[found["time"]]
        is_utc = True
        if isinstance(column.dtype, pl.Datetime):
            is_utc = column.dtype.time_zone is not None
            times = column.dt.cast_time_unit("ns").to_physical().to_numpy()
        elif column.dtype.is_numeric():
            times = epoch_ns(column.cast(pl.Float64).to_numpy()) if column.dtype.is_float() else _whole(column)
        else:
            lines = np.arange(frame.height, dtype=np.int64) + 1
            times, is_utc = _times(Table(frame.cast(pl.String), lines, content), found["time"], hints)
        values = {
            ours: frame[theirs].cast(pl.Float64).fill_null(0.0 if ours in ("volume", "spread") else np.nan).to_numpy()
            for ours, theirs in found.items()
            if ours != "time"
        }
        return _raw(content, times, values, is_utc=is_utc, lines=None)


def _whole(column: pl.Series) -> Int64Array:
    values = column.cast(pl.Int64).to_numpy()
    first = abs(int(values[0])) if values.size else 0
    unit = next((ns for limit, ns in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)) if first < limit), 1)
    return np.asarray(values * unit, np.int64)


def _require_columns(found: dict[str, str], content: Content) -> None:
    missing = [name for name in ("time", "open", "high", "low", "close") if name not in found]
    if missing and not {"time", "bid", "ask"} <= found.keys():
        raise ImportRefused(
            f"{content.path.name}: no column is known as {', '.join(missing)}. Map it with --column {missing[0]}=NAME; "
            f"the file begins {content.first_line[:80]!r}.",
            code="column_map",
        )


def _raw(
    content: Content,
    times: Int64Array,
    values: dict[str, FloatArray],
    *,
    is_utc: bool,
    lines: Int64Array | None,
) -> RawBars | RawTicks:
    symbol = symbol_in_name(content.path.name)
    if "open" not in values:
        return RawTicks(times, values["bid"], values["ask"], is_utc=is_utc, vendor=VENDOR, lines=lines, symbol=symbol)
    return RawBars(
        times, (values["open"], values["high"], values["low"], values["close"]),
        volume=values.get("volume"), spread=values.get("spread"), lines=lines, is_utc=is_utc, vendor=VENDOR,
        price_side="ask" if "ask" in content.name.lower().replace("_", " ").split() else "bid",
        symbol=symbol, timeframe=timeframe_in_name(content.path.name),
    )  # fmt: skip
