"""Turn parsed tick files into a checked series of ticks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market.bars import FloatArray, Int64Array, TickSeries, checksum_of, utc_text
from tradesentry.core.market.importers.base import RawTicks
from tradesentry.core.market.importers.context import (
    Imported,
    ImportOptions,
    Parsed,
    clock_of,
    provenance_of,
    symbol_of,
    to_utc,
)
from tradesentry.core.market.importers.prices import tick_size


def import_ticks(parsed: Sequence[Parsed[RawTicks]], options: ImportOptions) -> Imported[TickSeries]:
    """Return the checked series of parsed tick files.

    Raises:
        ImportRefused: A tick is at fault, or the files overlap.
        ClockError: The clock is missing, unclear or disproved.
    """
    parsed = [item for item in parsed if item.raw.times_ns.size] or list(parsed[:1])
    if parsed[0].raw.times_ns.size == 0:
        raise ImportRefused(f"{parsed[0].path.name}: holds no ticks; the market was closed.", code="no_bars")
    notes = [f"{item.path.name}: {note}" for item in parsed for note in item.raw.notes]
    symbol = symbol_of(parsed, options)
    clock = clock_of(parsed, 0, symbol, options=options, notes=notes)
    times = to_utc(parsed, clock, 0, symbol=symbol, trust=options.trust_clock, notes=notes)
    ordered = sorted(zip(parsed, times, strict=True), key=lambda pair: int(pair[1][0]))
    for item, at in ordered:
        _refuse_tick_faults(item, at)
    all_times = np.concatenate([at for _, at in ordered])
    if np.any(np.diff(all_times) < 0):
        raise ImportRefused("The tick files overlap in time. Name each period once.", code="overlap")
    columns = [_tick_column([item for item, _ in ordered], name) for name in ("bid", "ask", "bid_size", "ask_size")]
    n_crossed = int(np.count_nonzero(columns[1] < columns[0]))
    if n_crossed:
        notes.append(f"{n_crossed} ticks have the bid above the ask")
    provenance = provenance_of(parsed, options, clock, notes=notes, tick=tick_size(columns[0], options.hints.tick))
    checksum = checksum_of(all_times, *columns)
    series = TickSeries(
        all_times, columns[0], columns[1], columns[2], columns[3], symbol, options.source, provenance, checksum
    )
    return Imported(series, None, parsed[0].format, tuple(notes))


def tick_series_from(raws: Sequence[RawTicks], options: ImportOptions) -> TickSeries:
    """Return the tick series of columns that did not come from files; errors as for files."""
    return import_ticks([Parsed(raw, raw.vendor, Path(raw.vendor)) for raw in raws], options).series


def _tick_column(items: Sequence[Parsed[RawTicks]], name: str) -> FloatArray:
    parts = []
    for item in items:
        values = getattr(item.raw, name)
        parts.append(np.zeros(item.raw.times_ns.size) if values is None else values)
    return np.concatenate(parts)


def _refuse_tick_faults(item: Parsed[RawTicks], times: Int64Array) -> None:
    raw = item.raw
    good = np.isfinite(raw.bid) & np.isfinite(raw.ask) & (raw.bid > 0.0) & (raw.ask > 0.0)
    steps_back = np.concatenate([[False], np.diff(times) < 0])
    wrong = ~good | steps_back
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    place = f"row {row + 1}" if raw.lines is None else f"line {raw.lines[row]}"
    reason = "is earlier than the tick before it" if good[row] else f"has bid {raw.bid[row]:g} and ask {raw.ask[row]:g}"
    raise ImportRefused(
        f"{item.path.name}: {place} ({utc_text(int(times[row]))} UTC) {reason}; {np.count_nonzero(wrong)} such ticks. "
        f"Download the file again{'; check its clock' if good[row] else ''}.",
        code="bad_tick",
    )
