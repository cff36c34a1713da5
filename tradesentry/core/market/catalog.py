"""Keep market data on disk: one Parquet file per source, symbol and timeframe, with where it comes from in its footer.

A write is all or nothing: the file appears under its name only when it is whole and on the disk. Reads are served from
a raw copy of the BAR records that is mapped into memory, so a second read costs no decoding and loads no table library.
The copy carries the identity of the file it was made from; a file that changed is decoded again.

The layout `<root>/<source>/<SYMBOL>_<TF>.parquet` with columns timestamp, open, high, low, close, volume, spread is
read whoever wrote it; files of others are never touched and their copies are kept in the user's cache.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tradesentry.core.domain.errors import DataError, nearest
from tradesentry.core.market import bar_cache
from tradesentry.core.market.bars import (
    TRADABLE_SIDES,
    BarSeries,
    TickSeries,
    checksum_of,
    normalize_timeframe,
    timeframe_ns,
    to_ns,
    utc_text,
)
from tradesentry.core.market.instruments import canonical_symbol
from tradesentry.core.market.symbols import canonical

if TYPE_CHECKING:
    import polars as pl

__all__ = ["BarSeries", "Catalog", "TickSeries", "default_root", "load_bars"]

ROOT_VARIABLE: Final = "TRADESENTRY_CATALOG"
TICK: Final = "TICK"


@dataclass(frozen=True, slots=True)
class _Entry:
    source: str
    symbol: str
    timeframe: str
    path: Path


def default_root() -> Path:
    """Return the catalog's folder: TRADESENTRY_CATALOG, or `catalog` in the working folder."""
    return Path(os.environ.get(ROOT_VARIABLE) or "catalog")


class Catalog:
    """The series under one folder.

    Args:
        root: The folder; it need not exist before the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def path_of(self, source: str, symbol: str, timeframe: str) -> Path:
        """Return where a series is or would be; a file under the vendor's own spelling is found first."""
        name = normalize_timeframe(timeframe)
        as_written = self.root / source / f"{canonical(symbol)}_{name}.parquet"
        return (
            as_written if as_written.is_file() else as_written.with_name(f"{canonical_symbol(symbol)}_{name}.parquet")
        )

    def entries(self) -> tuple[tuple[str, str, str], ...]:
        """Return (source, symbol, timeframe) of every series, sorted."""
        return tuple((entry.source, entry.symbol, entry.timeframe) for entry in self._entries())

    def _entries(self) -> tuple[_Entry, ...]:
        entries = []
        for path in sorted(self.root.glob("*/*_*.parquet")):
            symbol, _, timeframe = path.stem.rpartition("_")
            if not path.parent.name.startswith("."):
                entries.append(_Entry(path.parent.name, symbol, timeframe, path))
        return tuple(entries)

    def write(self, series: BarSeries | TickSeries) -> Path:
        """Write a series under its name, replacing what was there, and return its path.

        Raises:
            DataError: The disk is full or the folder cannot be written; nothing is left behind.
        """
        from tradesentry.core.market import parquet_files

        timeframe = series.timeframe if isinstance(series, BarSeries) else TICK
        path = self.path_of(series.source, series.symbol, timeframe)
        return parquet_files.write(series, path, self.root)

    def read(
        self, source: str, symbol: str, timeframe: str, from_ns: int | None = None, to_ns: int | None = None
    ) -> BarSeries:
        """Return the bars of one series.

        Args:
            source: Folder of the source.
            symbol: Symbol, in any spelling.
            timeframe: Timeframe, in any spelling.
            from_ns: First open wanted, ns UTC.
            to_ns: Opens at or after it are left out, ns UTC.

        Raises:
            DataError: No such series (names the nearest and the spans that exist), or no bar in that period.
        """
        name = normalize_timeframe(timeframe)
        path = self.path_of(source, symbol, name)
        if name == TICK or not path.is_file():
            raise self._missing(source, canonical_symbol(symbol), name)
        series = bar_cache.read(path, self.root)
        return _cut(replace(series, source=source), from_ns, to_ns)

    def read_ticks(self, source: str, symbol: str, from_ns: int | None = None, to_ns: int | None = None) -> TickSeries:
        """Return the ticks of one series; arguments and errors as in `read`."""
        from tradesentry.core.market import parquet_files

        path = self.path_of(source, symbol, TICK)
        if not path.is_file():
            raise self._missing(source, canonical_symbol(symbol), TICK)
        ticks = parquet_files.read_ticks(path)
        begin = 0 if from_ns is None else int(np.searchsorted(ticks.ts_ns, from_ns))
        end = ticks.ts_ns.size if to_ns is None else int(np.searchsorted(ticks.ts_ns, to_ns))
        if end <= begin:
            raise DataError(
                f"{source} {ticks.symbol} ticks: none in that period. They run from {utc_text(int(ticks.ts_ns[0]))} to "
                f"{utc_text(int(ticks.ts_ns[-1]))} UTC. Change --from and --to.",
                code="empty_period",
            )
        rows = slice(begin, end)
        return replace(
            ticks, source=source, ts_ns=ticks.ts_ns[rows], bid=ticks.bid[rows], ask=ticks.ask[rows],
            bid_size=ticks.bid_size[rows], ask_size=ticks.ask_size[rows],
        )  # fmt: skip

    def list(self) -> "pl.DataFrame":
        """Return one row per series: what it is, its span, side, clock and whether it is synthetic."""
        from tradesentry.core.market import parquet_files

        return parquet_files.overview([(e.source, e.symbol, e.timeframe, e.path) for e in self._entries()])

    def _missing(self, source: str, symbol: str, timeframe: str) -> DataError:
        entries = self._entries()
        sources = {entry.source for entry in entries}
        if source not in sources:
            where = f"The catalog {self.root} has no source {source!r}. {nearest(source, sources)}"
            return DataError(f"{where} Import data with `tradesentry data import`.", code="no_source")
        mine = [entry for entry in entries if entry.source == source]
        symbols = {entry.symbol for entry in mine}
        if symbol not in symbols:
            return DataError(
                f"Source {source!r} has no {symbol}. {nearest(symbol, symbols)} It holds {', '.join(sorted(symbols))}.",
                code="no_symbol",
            )
        spans = ", ".join(self._span(entry) for entry in mine if entry.symbol == symbol)
        return DataError(
            f"Source {source!r} has {symbol} as {spans}; not as {timeframe}. Ask for one of these or a multiple of it.",
            code="no_timeframe",
        )

    def _span(self, entry: _Entry) -> str:
        if entry.timeframe == TICK:
            return "ticks"
        bars = bar_cache.read(entry.path, self.root).bars
        return f"{entry.timeframe} ({utc_text(int(bars.open_ns[0]))[:10]} to {utc_text(int(bars.open_ns[-1]))[:10]})"

    def finer(self, source: str, symbol: str, timeframe: str) -> str | None:
        """Return the longest timeframe of a series from which `timeframe` can be built; None when there is none."""
        wanted = timeframe_ns(timeframe)
        lengths = {
            timeframe_ns(entry.timeframe): entry.timeframe
            for entry in self._entries()
            if entry.source == source and entry.symbol in _spellings(symbol) and entry.timeframe != TICK
        }
        usable = [length for length in lengths if length < wanted and wanted % length == 0]
        return lengths[max(usable)] if usable else None


def _spellings(symbol: str) -> tuple[str, str]:
    return canonical(symbol), canonical_symbol(symbol)


def _cut(series: BarSeries, from_ns: int | None, to_ns: int | None) -> BarSeries:
    if from_ns is None and to_ns is None:
        return series
    bars = series.bars
    begin = 0 if from_ns is None else _first_at_or_after(bars, from_ns)
    end = bars.size if to_ns is None else _first_at_or_after(bars, to_ns)
    if end <= begin:
        raise DataError(
            f"{series.source} {series.symbol} {series.timeframe}: no bar in that period. It runs from "
            f"{utc_text(int(bars[0].open_ns))} to {utc_text(int(bars[-1].open_ns))} UTC. Change --from and --to.",
            code="empty_period",
        )
    if begin == 0 and end == bars.size:
        return series
    bounds = np.array([begin, end], np.int64)
    mark = checksum_of(np.frombuffer(series.checksum.encode(), np.uint8), bounds)
    return replace(series, bars=bars[begin:end].view(np.recarray), checksum=mark)


def _first_at_or_after(bars: Any, moment_ns: int) -> int:
    """Return the first row that opens at or after a moment, touching only the rows of a binary search."""
    low, high = 0, int(bars.size)
    while low < high:
        middle = (low + high) // 2
        if int(bars[middle].open_ns) < moment_ns:
            low = middle + 1
        else:
            high = middle
    return low


def load_bars(
    symbols: str | Sequence[str],
    timeframe: str,
    source: str | None = None,
    catalog_root: Path | str | None = None,
    from_: datetime | date | str | int | None = None,
    to: datetime | date | str | int | None = None,
) -> list[BarSeries]:
    """Return bid bars for a back-test, one series per symbol, in the order asked.

    Args:
        symbols: One symbol or several.
        timeframe: Wanted timeframe; built from a finer one where the source has only that, which the provenance says.
        source: Source of all of them; may be omitted while one source alone has a symbol.
        catalog_root: The catalog's folder; the default one when None.
        from_: First open wanted: ns UTC, an ISO date, a date or a date-time.
        to: Opens at or after it are left out.

    Raises:
        DataError: A series or period that does not exist, or prices that are no bid.
    """
    catalog = Catalog(Path(catalog_root) if catalog_root is not None else default_root())
    names = [symbols] if isinstance(symbols, str) else list(symbols)
    span = to_ns(from_), to_ns(to)
    return [_load(catalog, canonical(name), normalize_timeframe(timeframe), source, span) for name in names]


def _load(
    catalog: Catalog, symbol: str, timeframe: str, source: str | None, span: tuple[int | None, int | None]
) -> BarSeries:
    chosen = source or _only_source(catalog, symbol)
    if (
        catalog.path_of(chosen, symbol, timeframe).is_file()
        or (finer := catalog.finer(chosen, symbol, timeframe)) is None
    ):
        series = catalog.read(chosen, symbol, timeframe, *span)
    else:
        from tradesentry.core.market.resample import resample_series

        series = _cut(resample_series(catalog.read(chosen, symbol, finer), timeframe), *span)
    if series.price_side not in TRADABLE_SIDES:
        raise DataError(
            f"{chosen} {symbol} {timeframe} holds {series.price_side} prices; a back-test works on bids. "
            "Import it with both sides (--ask FILE) or with a spread (--spread-pips X).",
            code="not_bid",
        )
    return series


def _only_source(catalog: Catalog, symbol: str) -> str:
    entries = catalog.entries()
    sources = sorted(
        {source for source, name, timeframe in entries if name in _spellings(symbol) and timeframe != TICK}
    )
    if len(sources) == 1:
        return sources[0]
    if sources:
        raise DataError(f"{symbol} comes from {', '.join(sources)}. Say which with --source.", code="which_source")
    known = {name for _, name, _ in entries}
    raise DataError(f"The catalog {catalog.root} has no {symbol}. {nearest(symbol, known)}", code="no_symbol")
