"""Turn vendor files into a series: sniff, parse, apply the clock, make it a bid, validate.

One path for all formats. Everything that was decided or changed on the way is in the notes and the provenance of the
result; everything that cannot be trusted is refused with the line that shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from tradesentry.core.domain.errors import ClockError, ImportRefused, UsageError
from tradesentry.core.market.bars import (
    DAY_NS,
    HOUR_NS,
    TRADABLE_SIDES,
    BarArray,
    BarSeries,
    FloatArray,
    Int64Array,
    TickSeries,
    checksum_of,
    empty_bars,
    normalize_timeframe,
    timeframe_name,
    timeframe_ns,
    utc_text,
)
from tradesentry.core.market.clock_detection import detect_clock, verify_clock
from tradesentry.core.market.importers.base import RawBars, RawTicks, ReadHints, open_content
from tradesentry.core.market.importers.prices import BarColumns, columns_of, tick_size
from tradesentry.core.market.importers.registry import importer_named, sniff
from tradesentry.core.market.source_clock import UTC_CLOCK, SourceClock, wall_to_utc
from tradesentry.core.market.symbols import canonical
from tradesentry.core.market.validation import Report, refuse_faults, repair, usual_step_ns, validate

CLOCK_EXPECTED: Final = "Say the vendor's clock with --clock ZONE (such as Europe/Athens), or let --detect-clock find it."


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user says about the files; None where the file or its name tells."""

    source: str = "import"
    symbol: str | None = None
    timeframe: str | None = None
    format: str | None = None
    clock: SourceClock | None = None
    detect_clock: bool = False
    trust_clock: bool = False
    """Skip the check of the clock against weekly opens."""
    side: str | None = None
    """bid, ask, mid or trade; overrides what the format says."""
    spread: float | None = None
    """Price units: turns ask or middle bars into bid bars, and fills bars without a spread."""
    ask_paths: tuple[Path, ...] = ()
    """The ask side of the same bars."""
    label: str = "open"
    """close: the file's times are ends of bars."""
    price_scale: float = 1.0
    newest_first: bool = False
    repair: bool = False
    accept_stuck: bool = False
    from_ns: int | None = None
    to_ns: int | None = None
    licence: str = ""
    hints: ReadHints = field(default_factory=ReadHints)


@dataclass(frozen=True, slots=True)
class Imported:
    """What came out of one import."""

    series: BarSeries | TickSeries
    report: Report | None
    """None for ticks."""
    format: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Parsed:
    raw: RawBars | RawTicks
    format: str
    path: Path


def _parse(paths: Sequence[Path], options: ImportOptions) -> list[_Parsed]:
    if not paths:
        raise UsageError("Nothing to import. Name at least one file.")
    parsed = []
    for path in paths:
        content = open_content(path)
        importer = importer_named(options.format) if options.format else sniff(content)
        raw = importer.read(content, replace(options.hints, symbol=options.symbol))
        parsed.append(_Parsed(raw, importer.name, path))
    kinds = {type(item.raw) for item in parsed}
    if len(kinds) > 1:
        raise UsageError("Bars and ticks cannot be imported into one series. Import them apart.")
    return parsed


def import_files(paths: Sequence[Path], options: ImportOptions) -> Imported:
    """Return the series that the files hold, checked.

    Args:
        paths: Files of one symbol, in any order; their times must not overlap.
        options: What the user says about them.

    Raises:
        ImportRefused: A file cannot be read or holds what makes results wrong; names the line.
        ClockError: The clock is missing, unknown, unclear or disproved.
        UsageError: The options do not say enough.
    """
    parsed = _parse(paths, options)
    if isinstance(parsed[0].raw, RawTicks):
        return _import_ticks(parsed, options)
    return _import_bars(parsed, options)


def _symbol(parsed: Sequence[_Parsed], options: ImportOptions) -> str:
    name = options.symbol or next((item.raw.symbol for item in parsed if item.raw.symbol), None)
    if name is None:
        raise UsageError(f"{parsed[0].path.name} does not tell its symbol. Say it with --symbol.")
    return canonical(name)


def _timeframe(parsed: Sequence[_Parsed], options: ImportOptions, notes: list[str]) -> str:
    raw = parsed[0].raw
    told = options.timeframe or (raw.timeframe if isinstance(raw, RawBars) else None)
    if told is not None:
        return normalize_timeframe(told)
    step = usual_step_ns(np.sort(raw.times_ns))
    if step == 0 or step % 1_000_000_000:
        raise UsageError(f"{parsed[0].path.name} does not tell its timeframe. Say it with --timeframe.")
    name = timeframe_name(step)
    notes.append(f"timeframe {name}, the commonest distance of rows")
    return name


def _clock_of(parsed: Sequence[_Parsed], bar_ns: int, symbol: str, *, options: ImportOptions, notes: list[str]) -> SourceClock:
    """Return the clock of the files: fixed by the format, said by the user, or detected."""
    raw = parsed[0].raw
    if raw.is_utc:
        return UTC_CLOCK
    if raw.clock is not None and options.clock is None:
        return raw.clock
    if options.clock is not None:
        return options.clock
    if not options.detect_clock:
        raise ClockError(
            f"{parsed[0].path.name}: {parsed[0].format} files show a local clock and do not say which. {CLOCK_EXPECTED}",
            code="clock_missing",
        )
    ordered = sorted(parsed, key=lambda item: int(item.raw.times_ns[0]))
    found = detect_clock(np.concatenate([item.raw.times_ns for item in ordered]), bar_ns, symbol)
    notes.append(f"clock {found.clock} detected (confidence {found.confidence:.0%}): " + "; ".join(found.evidence))
    return found.clock


def _to_utc(
    parsed: Sequence[_Parsed], clock: SourceClock, bar_ns: int, *, symbol: str, trust: bool, notes: list[str]
) -> list[Int64Array]:
    columns = []
    for item in parsed:
        wall = item.raw.times_ns
        if not trust:
            verify_clock(wall, bar_ns, symbol, clock=clock)
        converted = wall_to_utc(wall, clock)
        notes.extend(f"{item.path.name}: {note}" for note in converted.notes)
        columns.append(converted.utc_ns)
    return columns


def _import_bars(parsed: Sequence[_Parsed], options: ImportOptions) -> Imported:
    notes = [f"{item.path.name}: {note}" for item in parsed for note in item.raw.notes]
    symbol, timeframe = _symbol(parsed, options), _timeframe(parsed, options, notes)
    step = timeframe_ns(timeframe)
    if step == 0:
        raise UsageError(f"{parsed[0].path.name} holds bars, not ticks. Say their length with --timeframe.")
    _prepare_rows(parsed, options, step)
    clock = _clock_of(parsed, step, symbol, options=options, notes=notes)
    times = _to_utc(parsed, clock, step, symbol=symbol, trust=options.trust_clock, notes=notes)
    sides = [columns_of(_raw_bars(item), options.side, options=options, symbol=symbol) for item in parsed]
    pieces = [
        (item, _bars(at, columns, step)) for item, at, columns in zip(parsed, times, sides, strict=True)
    ]
    side = sides[0].side
    if options.ask_paths:
        pieces = [(parsed[0], _joined_with_ask([bars for _, bars in pieces], options, timeframe, notes=notes))]
        side = "bid"
    bars, changes = _checked(pieces, timeframe, symbol, options=options)
    notes += [note for columns in sides for note in columns.notes] + changes
    n_negative = int(np.count_nonzero(bars.spread < 0.0))
    if n_negative:
        bars.spread[bars.spread < 0.0] = 0.0
        notes.append(f"{n_negative} negative spreads set to zero")
    origin = ", ".join(item.path.name for item in parsed[:3])
    lines = parsed[0].raw.lines if len(parsed) == 1 and bars.size == parsed[0].raw.times_ns.size else None
    report = validate(bars, timeframe, symbol, origin=origin, lines=lines, accept_stuck=options.accept_stuck)
    report = replace(report, n_negative_spread=n_negative)
    if side not in TRADABLE_SIDES:
        notes.append(f"these are {side} prices: a back-test refuses them until --spread-pips or --ask makes them a bid")
    provenance = _provenance(parsed, options, clock, notes=notes, tick=tick_size(bars.close, options.hints.tick))
    provenance |= {"price_side": side, "n_gaps": report.n_gaps, "n_missing": report.n_missing}
    series = BarSeries(bars, symbol, options.source, timeframe, side, provenance, checksum_of(bars))
    return Imported(series, report, parsed[0].format, tuple(notes))


def _raw_bars(item: _Parsed) -> RawBars:
    assert isinstance(item.raw, RawBars)
    return item.raw


def _prepare_rows(parsed: Sequence[_Parsed], options: ImportOptions, step: int) -> None:
    """Turn newest-first files round and close labels into open labels."""
    for item in parsed:
        raw = _raw_bars(item)
        if options.newest_first:
            for column in ("times_ns", "open", "high", "low", "close", "volume", "spread", "spread_points", "lines"):
                values = getattr(raw, column)
                setattr(raw, column, None if values is None else values[::-1].copy())
            raw.ask = tuple(part[::-1].copy() for part in raw.ask) if raw.ask else None  # type: ignore[assignment]
        if options.label == "close":
            raw.times_ns = raw.times_ns - step


def _bars(times: Int64Array, columns: BarColumns, step: int) -> BarArray:
    bars = empty_bars(times.size)
    bars.open_ns = times
    bars.close_ns = times + step
    if step > HOUR_NS and times.size > 1:
        # Days and four-hour bars on a clock with daylight saving may be an hour short; they end where the next begins.
        near = (times[1:] < times[:-1] + step) & (times[1:] >= times[:-1] + step - HOUR_NS)
        bars.close_ns[:-1] = np.where(near, times[1:], bars.close_ns[:-1])
    bars.open, bars.high, bars.low, bars.close = columns.prices
    bars.volume, bars.spread = columns.volume, columns.spread
    return bars


def _joined_with_ask(pieces: list[BarArray], options: ImportOptions, timeframe: str, *, notes: list[str]) -> BarArray:
    """Return the bid bars with ask close less bid close as spread, for the times both sides have."""
    ask = import_files(
        options.ask_paths,
        replace(options, ask_paths=(), side="ask", spread=None, timeframe=timeframe, from_ns=None, to_ns=None),
    ).series
    bid = np.concatenate(pieces).view(np.recarray)
    assert isinstance(ask, BarSeries)
    common, at_bid, at_ask = np.intersect1d(bid.open_ns, ask.bars.open_ns, return_indices=True)
    if common.size == 0:
        raise ImportRefused("The bid and ask files share no bar. Check their clocks and periods.", code="no_bars")
    joined: BarArray = bid[at_bid].view(np.recarray)
    joined.spread = np.round(ask.bars.close[at_ask] - joined.close, 10)
    lost = bid.size - common.size
    notes.append(f"spread from the ask file for {common.size} bars" + (f"; {lost} bid bars without an ask dropped" if lost else ""))
    return joined


def _checked(
    pieces: Sequence[tuple[_Parsed, BarArray]], timeframe: str, symbol: str, *, options: ImportOptions
) -> tuple[BarArray, list[str]]:
    """Return the bars of all files in order, each checked on its own so that messages name its lines."""
    ordered = sorted(pieces, key=lambda piece: int(piece[1].open_ns[0]))
    if options.repair:
        bars = np.concatenate([bars for _, bars in ordered]).view(np.recarray)
        bars, changes = repair(_within(bars, options), timeframe, symbol)
        return bars, [f"repaired: {change}" for change in changes]
    for item, bars in ordered:
        lines = item.raw.lines if bars.size == item.raw.times_ns.size else None
        refuse_faults(bars, timeframe, where=item.path.name, lines=lines)
    for (before, earlier), (after, later) in zip(ordered, ordered[1:], strict=False):
        if later.open_ns[0] < earlier.close_ns[-1]:
            raise ImportRefused(
                f"{after.path.name} begins at {utc_text(int(later.open_ns[0]))} UTC, before {before.path.name} ends at "
                f"{utc_text(int(earlier.close_ns[-1]))}. Files of one import must not overlap; leave one out or use --repair.",
                code="overlap",
            )
    return _within(np.concatenate([bars for _, bars in ordered]).view(np.recarray), options), []


def _within(bars: BarArray, options: ImportOptions) -> BarArray:
    keep = np.ones(bars.size, np.bool_)
    if options.from_ns is not None:
        keep &= bars.open_ns >= options.from_ns
    if options.to_ns is not None:
        keep &= bars.open_ns < options.to_ns
    return bars if keep.all() else bars[keep].view(np.recarray)


def _provenance(
    parsed: Sequence[_Parsed], options: ImportOptions, clock: SourceClock, *, notes: list[str], tick: float
) -> dict[str, Any]:
    raw = parsed[0].raw
    return {
        "vendor": raw.vendor,
        "format": parsed[0].format,
        "files": [item.path.name for item in parsed],
        "clock": str(clock),
        "clock_zone": clock.zone,
        "clock_shift_minutes": clock.shift_minutes,
        "tick": tick,
        "imported": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "licence": options.licence,
        "is_synthetic": False,
        "notes": list(notes),
    }


def _import_ticks(parsed: Sequence[_Parsed], options: ImportOptions) -> Imported:
    parsed = [item for item in parsed if item.raw.times_ns.size] or list(parsed[:1])
    if parsed[0].raw.times_ns.size == 0:
        raise ImportRefused(f"{parsed[0].path.name}: holds no ticks; the market was closed.", code="no_bars")
    notes = [f"{item.path.name}: {note}" for item in parsed for note in item.raw.notes]
    symbol = _symbol(parsed, options)
    clock = _clock_of(parsed, 0, symbol, options=options, notes=notes)
    times = _to_utc(parsed, clock, 0, symbol=symbol, trust=options.trust_clock, notes=notes)
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
    provenance = _provenance(parsed, options, clock, notes=notes, tick=tick_size(columns[0], options.hints.tick))
    checksum = checksum_of(all_times, *columns)
    series = TickSeries(
        all_times, columns[0], columns[1], columns[2], columns[3], symbol, options.source, provenance, checksum
    )
    return Imported(series, None, parsed[0].format, tuple(notes))


def _tick_column(items: Sequence[_Parsed], name: str) -> FloatArray:
    parts = []
    for item in items:
        values = getattr(item.raw, name)
        parts.append(np.zeros(item.raw.times_ns.size) if values is None else values)
    return np.concatenate(parts)


def _refuse_tick_faults(item: _Parsed, times: Int64Array) -> None:
    raw = item.raw
    assert isinstance(raw, RawTicks)
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
        f"Download the file again{'; check its clock' if good[row] and abs(int(times[row])) > DAY_NS else ''}.",
        code="bad_tick",
    )
