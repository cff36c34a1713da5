"""Write and read the catalog's Parquet files.

Separate from the catalog because it is the part that needs pyarrow and polars, which a read from the cache does not.
The footer's key-value metadata repeats what matters one by one for other tools, and holds everything as one JSON.
"""

import contextlib
import errno
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tradesentry.core.domain.errors import DataError
from tradesentry.core.market.bar_cache import CACHE_FOLDER
from tradesentry.core.market.bars import (
    BarSeries,
    FloatArray,
    Int64Array,
    TickSeries,
    checksum_of,
    empty_bars,
    normalize_timeframe,
    timeframe_ns,
)
from tradesentry.core.market.validation import refuse_faults

PRICES: Final = ("open", "high", "low", "close")
DETAILS: Final = b"tradesentry"
FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write(series: BarSeries | TickSeries, path: Path, root: Path) -> Path:
    """Write a series in one step: a temporary file, flushed to the disk, then renamed.

    Raises:
        DataError: The disk is full or the folder cannot be written; nothing is left behind.
    """
    table = _bar_table(series) if isinstance(series, BarSeries) else _tick_table(series)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (root / CACHE_FOLDER).mkdir(exist_ok=True)
        with temporary.open("xb") as file:
            pq.write_table(table, file, compression="zstd", write_statistics=True, row_group_size=1 << 20)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        raise _cannot_write(path, error, table.nbytes) from error
    except BaseException:
        _remove(temporary)
        raise
    return path


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _sync_folder(folder: Path) -> None:
    # Windows cannot open folders; its rename is durable on its own.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _cannot_write(path: Path, error: OSError, n_bytes: int) -> DataError:
    if error.errno in FULL_DISK:
        return DataError(
            f"{path} cannot be written: {error.strerror}. It needs up to {n_bytes / 1e6:.0f} MB. Free space or choose "
            "another folder with --catalog; nothing was changed.",
            code="disk_full",
        )
    return DataError(
        f"{path} cannot be written: {error.strerror or error}. Check the folder's permissions; nothing was changed.",
        code="cannot_write",
    )


def _times(values: Int64Array) -> pa.Array:
    return pa.array(values).cast(pa.timestamp("ns", tz="UTC"))


def _bar_table(series: BarSeries) -> pa.Table:
    bars = series.bars
    columns = {"timestamp": _times(np.ascontiguousarray(bars.open_ns))}
    columns |= {name: pa.array(np.ascontiguousarray(bars[name])) for name in (*PRICES, "volume", "spread")}
    nominal = bars.open_ns + timeframe_ns(series.timeframe)
    if not np.array_equal(nominal, bars.close_ns):
        columns["close_timestamp"] = _times(np.ascontiguousarray(bars.close_ns))
    named = {"symbol": series.symbol, "timeframe": series.timeframe, "price_side": series.price_side}
    return _with_footer(pa.table(columns), series, named)


def _tick_table(series: TickSeries) -> pa.Table:
    columns = {"timestamp": _times(series.ts_ns)}
    columns |= {name: pa.array(getattr(series, name)) for name in ("bid", "ask", "bid_size", "ask_size")}
    return _with_footer(pa.table(columns), series, {"symbol": series.symbol, "timeframe": "TICK"})


def _with_footer(table: pa.Table, series: BarSeries | TickSeries, named: dict[str, str]) -> pa.Table:
    written = {"written": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    details = {**series.provenance, **named, **written, "rows": table.num_rows, "checksum": series.checksum}
    named |= {"source": series.source, "checksum": series.checksum, "timestamp_is": "bar open, UTC"}
    for key in ("vendor", "clock", "tick", "licence", "is_synthetic", "imported"):
        named[key] = str(series.provenance.get(key, ""))
    metadata: dict[bytes, bytes] = {key.encode(): value.encode() for key, value in named.items()}
    metadata[DETAILS] = json.dumps(details).encode()
    return table.replace_schema_metadata(metadata)


def _provenance(metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    footer = metadata or {}
    if DETAILS in footer:
        details: dict[str, Any] = json.loads(footer[DETAILS])
        return details
    return {key.decode(): value.decode() for key, value in footer.items() if key not in (b"ARROW:schema", b"pandas")}


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is no readable Parquet file ({str(error).splitlines()[0]}). Import it again.", code="bad_parquet"
        ) from error


def _column(table: pa.Table, name: str, *, missing: float = 0.0) -> FloatArray:
    if name not in table.column_names:
        return np.full(table.num_rows, missing)
    values = table[name].combine_chunks().cast(pa.float64()).fill_null(missing).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)


def _times_of(table: pa.Table, name: str) -> Int64Array:
    return np.asarray(table[name].cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64()).to_numpy(), np.int64)


def read_bars(path: Path) -> BarSeries:
    """Return the bars of a Parquet file in the catalog's layout.

    Nulls in volume and spread become zero; spreads below zero become zero and are counted in the provenance.

    A file written elsewhere is checked here, as it passed no importer.

    Raises:
        DataError: The file lacks a column, cannot be read or holds other bars than its footer says.
        ImportRefused: A file written elsewhere has a bar at fault.
    """
    table = _opened(path).read()
    missing = [name for name in ("timestamp", *PRICES) if name not in table.column_names]
    if missing:
        raise DataError(f"{path} holds no bars: it has no column {missing[0]!r}. Import it first.", code="no_bars")
    provenance = _provenance(table.schema.metadata)
    symbol, _, timeframe = path.stem.rpartition("_")
    timeframe = normalize_timeframe(timeframe)
    bars = empty_bars(table.num_rows)
    bars.open_ns = _times_of(table, "timestamp")
    has_close = "close_timestamp" in table.column_names
    bars.close_ns = _times_of(table, "close_timestamp") if has_close else bars.open_ns + timeframe_ns(timeframe)
    for name in PRICES:
        bars[name] = _column(table, name, missing=np.nan)
    bars.volume = _column(table, "volume")
    spread = _column(table, "spread")
    n_negative = int(np.count_nonzero(spread < 0.0))
    bars.spread = np.maximum(spread, 0.0)
    if n_negative:
        provenance["n_negative_spreads_set_to_zero"] = n_negative
    provenance.setdefault("is_synthetic", False)
    provenance.setdefault("clock", "UTC")
    checksum = checksum_of(bars)
    if DETAILS not in (table.schema.metadata or {}):
        refuse_faults(bars, timeframe, where=str(path))
    elif provenance.get("checksum") != checksum:
        raise DataError(
            f"{path} is damaged: its bars do not give the checksum in its footer. Import it again.", code="damaged"
        )
    # Catalogs of others may say "bid (inferred)"; the first word is the side.
    side = str(provenance.get("price_side") or "bid").split()[0]
    return BarSeries(bars, symbol, path.parent.name, timeframe, side, provenance, checksum)


def read_ticks(path: Path) -> TickSeries:
    """Return the ticks of a Parquet file in the catalog's layout.

    Raises:
        DataError: The file lacks a column or cannot be read.
    """
    table = _opened(path).read()
    missing = [name for name in ("timestamp", "bid", "ask") if name not in table.column_names]
    if missing:
        raise DataError(f"{path} holds no ticks: it has no column {missing[0]!r}. Import it first.", code="no_ticks")
    times = _times_of(table, "timestamp")
    columns = [_column(table, name) for name in ("bid", "ask", "bid_size", "ask_size")]
    symbol = path.stem.rpartition("_")[0]
    checksum = checksum_of(times, *columns)
    return TickSeries(
        times, columns[0], columns[1], columns[2], columns[3], symbol, path.parent.name,
        _provenance(table.schema.metadata), checksum,
    )  # fmt: skip


def overview(entries: Sequence[tuple[str, str, str, Path]]) -> pl.DataFrame:
    """Return one row per (source, symbol, timeframe, path), read from the footers alone."""
    rows = []
    for source, symbol, timeframe, path in entries:
        metadata = pq.read_metadata(path)
        provenance = _provenance(metadata.metadata)
        first, last = _span(metadata)
        rows.append(
            (
                source, symbol, timeframe, metadata.num_rows, first, last,
                str(provenance.get("price_side", "")).split(" ")[0],
                str(provenance.get("clock") or provenance.get("raw_clock") or ""),
                str(provenance.get("vendor") or provenance.get("source_repo") or ""),
                str(provenance.get("is_synthetic", False)).lower() == "true",
                str(provenance.get("checksum", "")), str(path),
            )
        )  # fmt: skip
    schema: dict[str, Any] = {
        "source": pl.String, "symbol": pl.String, "timeframe": pl.String, "rows": pl.Int64,
        "from": pl.Datetime("ns", "UTC"), "to": pl.Datetime("ns", "UTC"), "side": pl.String, "clock": pl.String,
        "vendor": pl.String, "is_synthetic": pl.Boolean, "checksum": pl.String, "path": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _span(metadata: pq.FileMetaData) -> tuple[datetime | None, datetime | None]:
    column = next((i for i in range(metadata.num_columns) if metadata.schema.column(i).name == "timestamp"), None)
    if column is None or metadata.num_rows == 0:
        return None, None
    groups = [metadata.row_group(i).column(column).statistics for i in range(metadata.num_row_groups)]
    found = [group for group in groups if group is not None and group.has_min_max]
    if not found:
        return None, None
    return min(_moment(group.min) for group in found), max(_moment(group.max) for group in found)


def _moment(value: Any) -> datetime:
    """Return a statistic as a date-time; pyarrow gives pandas stamps, date-times or whole numbers."""
    moment: Any = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
    if isinstance(moment, (int, np.integer)):
        moment = datetime.fromtimestamp(int(moment) / 1e9, UTC)
    aware: datetime = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware
