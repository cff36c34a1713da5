"""Read delimited text into typed columns and say the line of the first cell that is wrong.

Prices are parsed at full speed; only when that fails is the file read again as text to find the cell.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.bars import FloatArray, Int64Array
from tradesentry.core.market.importers.base import Content, PriceColumns

ISO: Final = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z")
NAIVE: Final = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y.%m.%d %H:%M:%S%.f",
    "%Y.%m.%d %H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y%m%d %H:%M:%S%.f",
    "%Y%m%d %H:%M",
    "%Y%m%d %H%M%S",
    "%d.%m.%Y %H:%M:%S%.f",
    "%Y-%m-%d",
    "%Y.%m.%d",
    "%Y%m%d",
)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A delimited file as text columns, with the line of each row."""

    frame: pl.DataFrame
    lines: Int64Array
    content: Content

    def has(self, *names: str) -> bool:
        """Return whether all columns exist."""
        return all(name in self.frame.columns for name in names)

    def numbers(self, name: str, *, blank: float | None = None) -> FloatArray:
        """Return a column as float64.

        Args:
            name: The column.
            blank: What an empty cell means; None refuses it.

        Raises:
            ImportRefused: A cell is not a number; names line and text.
        """
        column = self.frame[name]
        values = column.cast(pl.Float64, strict=False)
        wrong = values.is_null() & (pl.lit(True) if blank is None else column.is_not_null())
        wrong = pl.select(wrong).to_series()
        if wrong.any():
            self._refuse(int(wrong.arg_max() or 0), name, "a number")
        return values.fill_null(blank if blank is not None else float("nan")).to_numpy()

    def prices(self, prefix: str = "") -> PriceColumns:
        """Return the columns open, high, low and close, each with `prefix` before its name."""
        return (
            self.numbers(f"{prefix}open"),
            self.numbers(f"{prefix}high"),
            self.numbers(f"{prefix}low"),
            self.numbers(f"{prefix}close"),
        )

    def times(self, name: str, formats: Sequence[str]) -> Int64Array:
        """Return a column of date-times as nanoseconds; of formats with an offset, as nanoseconds UTC.

        Args:
            name: The column.
            formats: Patterns; the first that reads the first cell is used for all.

        Raises:
            ImportRefused: A cell does not follow the pattern; names line and text.
        """
        column = self.frame[name]
        if any("%z" in pattern for pattern in formats):
            column = column.str.replace(r"(\d)T(\d)", "$1 $2").str.replace(r"Z$", "+00:00")
        elif column.head(1).str.contains("T", literal=True).any():
            column = column.str.replace(r"(\d)T(\d)", "$1 $2")
        for pattern in formats:
            if column.head(1).str.to_datetime(pattern, time_unit="ns", strict=False).null_count() == 0:
                parsed = column.str.to_datetime(pattern, time_unit="ns", strict=False)
                if parsed.null_count():
                    self._refuse(int(parsed.is_null().arg_max() or 0), name, f"a time like {column[0]!r}")
                return parsed.to_physical().to_numpy()
        self._refuse(0, name, "a known date and time")
        raise AssertionError

    def epochs(self, name: str) -> Int64Array:
        """Return a column of Unix times in seconds, milliseconds, microseconds or nanoseconds as nanoseconds."""
        values = self.numbers(name)
        return epoch_ns(values)

    def _refuse(self, row: int, name: str, wanted: str) -> None:
        cell = self.frame[name][row]
        shown = "nothing (the line is cut short)" if cell is None else repr(cell)
        raise ImportRefused(
            f"{self.content.path.name}: line {self.lines[row]}, column {name!r}: {shown} is not {wanted}. "
            "Download or export the file again, or remove that line.",
            code="bad_cell",
        )


def epoch_ns(values: FloatArray) -> Int64Array:
    """Return Unix times as nanoseconds; the unit follows from their size."""
    first = float(np.abs(values[0])) if values.size else 0.0
    unit = next((ns for limit, ns in ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3)) if first < limit), 1)
    whole = np.floor(values).astype(np.int64)
    return np.asarray(whole * unit + np.round((values - whole) * unit).astype(np.int64), np.int64)


def normal_name(column: str) -> str:
    """Return a column name in lower case without brackets, quotes and spaces."""
    return "".join(character for character in column.lower() if character.isalnum() or character == "_")


def read_table(content: Content, *, separator: str = ",", columns: Sequence[str] | None = None) -> Table:
    """Return a delimited file as text columns.

    Args:
        content: The file.
        separator: Between cells.
        columns: Names of the columns of a file without header; None reads them from the first line.

    Raises:
        ImportRefused: No rows, or a line with too many cells.
    """
    try:
        frame = pl.read_csv(
            io.BytesIO(content.data),
            separator=separator,
            has_header=columns is None,
            infer_schema=False,
            quote_char='"',
        )
    except (pl.exceptions.PolarsError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise ImportRefused(
            f"{content.path.name}: cannot be read as a table ({reason}). Check that it is complete.", code="bad_table"
        ) from error
    if columns is not None:
        frame = frame.select(frame.columns[: len(columns)])
        frame.columns = list(columns)[: frame.width]
    else:
        frame.columns = _unique([normal_name(name) for name in frame.columns])
    lines = np.arange(frame.height, dtype=np.int64) + (1 if columns is not None else 2)
    is_blank = pl.select(pl.all_horizontal([frame[name].is_null() for name in frame.columns])).to_series()
    if is_blank.any():
        lines = lines[~is_blank.to_numpy()]
        frame = frame.filter(~is_blank)
    if frame.height == 0:
        raise ImportRefused(f"{content.path.name}: holds no rows. Check that it is complete.", code="no_bars")
    return Table(frame, lines, content)


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result
