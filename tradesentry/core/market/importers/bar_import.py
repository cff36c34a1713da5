"""Turn parsed bar files into a checked series of bars."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from tradesentry.core.domain.errors import ImportRefused, UsageError
from tradesentry.core.market.bars import (
    HOUR_NS,
    TRADABLE_SIDES,
    BarArray,
    BarSeries,
    Int64Array,
    checksum_of,
    empty_bars,
    normalize_timeframe,
    timeframe_name,
    timeframe_ns,
    utc_text,
)
from tradesentry.core.market.importers.base import PriceColumns, RawBars
from tradesentry.core.market.importers.context import (
    Imported,
    ImportOptions,
    Parsed,
    clock_of,
    provenance_of,
    symbol_of,
    to_utc,
)
from tradesentry.core.market.importers.prices import BarColumns, columns_of, tick_size
from tradesentry.core.market.validation import Report, refuse_faults, repair, usual_step_ns, validate


def import_bars(
    parsed: Sequence[Parsed[RawBars]], options: ImportOptions, ask: BarArray | None = None
) -> Imported[BarSeries]:
    """Return the checked series of parsed bar files.

    Args:
        parsed: Columns of one or more files that do not overlap.
        options: What the user says about them.
        ask: Ask bars to take the spread from.

    Raises:
        ImportRefused: A bar is at fault or the files overlap.
        ClockError: The clock is missing, unclear or disproved.
        UsageError: Symbol or timeframe cannot be told.
    """
    notes = [f"{item.path.name}: {note}" for item in parsed for note in item.raw.notes]
    symbol, timeframe = symbol_of(parsed, options), _timeframe(parsed, options, notes)
    step = timeframe_ns(timeframe)
    _prepare_rows(parsed, options, step)
    clock = clock_of(parsed, step, symbol, options=options, notes=notes)
    times = to_utc(parsed, clock, step, symbol=symbol, trust=options.trust_clock, notes=notes)
    sides = [columns_of(item.raw, options.side, options=options, symbol=symbol) for item in parsed]
    pieces = [(item, _bars(at, columns, step)) for item, at, columns in zip(parsed, times, sides, strict=True)]
    side = sides[0].side
    if ask is not None:
        pieces = [(parsed[0], _joined_with_ask([bars for _, bars in pieces], ask, notes=notes))]
        side = "bid"
    bars, changes = _checked(pieces, timeframe, symbol, options=options)
    notes += [note for columns in sides for note in columns.notes] + changes
    report = _validated(bars, parsed, timeframe, symbol, options=options, notes=notes)
    if side not in TRADABLE_SIDES:
        notes.append(f"these are {side} prices: a back-test refuses them until --spread-pips or --ask makes them a bid")
    provenance = provenance_of(parsed, options, clock, notes=notes, tick=tick_size(bars.close, options.hints.tick))
    provenance |= {"price_side": side, "n_gaps": report.n_gaps, "n_missing": report.n_missing}
    series = BarSeries(bars, symbol, options.source, timeframe, side, provenance, checksum_of(bars))
    return Imported(series, report, parsed[0].format, tuple(notes))


def _validated(
    bars: BarArray,
    parsed: Sequence[Parsed[RawBars]],
    timeframe: str,
    symbol: str,
    *,
    options: ImportOptions,
    notes: list[str],
) -> Report:
    negative = bars.spread < 0.0
    if negative.any():
        bars.spread[negative] = 0.0
        notes.append(f"{np.count_nonzero(negative)} negative spreads set to zero")
    raw = parsed[0].raw
    lines = raw.lines if len(parsed) == 1 and bars.size == raw.times_ns.size else None
    origin = ", ".join(item.path.name for item in parsed[:3])
    report = validate(bars, timeframe, symbol, origin=origin, lines=lines, accept_stuck=options.accept_stuck)
    return replace(report, n_negative_spread=int(np.count_nonzero(negative)))


def bar_series_from(raws: Sequence[RawBars], options: ImportOptions) -> BarSeries:
    """Return the series of columns that did not come from files: what a download received.

    Raises:
        ImportRefused: As for files.
        ClockError: As for files.
    """
    return import_bars([Parsed(raw, raw.vendor, Path(raw.vendor)) for raw in raws], options).series


def _timeframe(parsed: Sequence[Parsed[RawBars]], options: ImportOptions, notes: list[str]) -> str:
    raw = parsed[0].raw
    told = options.timeframe or raw.timeframe
    if told is not None and timeframe_ns(told):
        return normalize_timeframe(told)
    step = usual_step_ns(np.sort(raw.times_ns))
    if step == 0 or step % 1_000_000_000:
        raise UsageError(f"{parsed[0].path.name} does not tell its timeframe. Say it with --timeframe.")
    name = timeframe_name(step)
    notes.append(f"timeframe {name}, the commonest distance of rows")
    return name


def _prepare_rows(parsed: Sequence[Parsed[RawBars]], options: ImportOptions, step: int) -> None:
    """Turn newest-first files round and close labels into open labels."""
    for item in parsed:
        raw = item.raw
        if options.newest_first:
            raw.prices = _reversed(raw.prices)
            raw.ask = None if raw.ask is None else _reversed(raw.ask)
            for column in ("times_ns", "volume", "spread", "spread_points", "lines"):
                values = getattr(raw, column)
                setattr(raw, column, None if values is None else values[::-1].copy())
        if options.label == "close":
            raw.times_ns = raw.times_ns - step


def _reversed(prices: PriceColumns) -> PriceColumns:
    open_, high, low, close = (column[::-1].copy() for column in prices)
    return open_, high, low, close


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


def _joined_with_ask(pieces: Sequence[BarArray], ask: BarArray, *, notes: list[str]) -> BarArray:
    """Return the bid bars with ask close less bid close as spread, for the times both sides have."""
    bid = np.concatenate(pieces).view(np.recarray)
    common, at_bid, at_ask = np.intersect1d(bid.open_ns, ask.open_ns, return_indices=True)
    if common.size == 0:
        raise ImportRefused("The bid and ask files share no bar. Check their clocks and periods.", code="no_bars")
    joined: BarArray = bid[at_bid].view(np.recarray)
    joined.spread = np.round(ask.close[at_ask] - joined.close, 10)
    lost = bid.size - common.size
    notes.append(
        f"spread from the ask file for {common.size} bars" + (f"; {lost} bid bars without one dropped" if lost else "")
    )
    return joined


def _checked(
    pieces: Sequence[tuple[Parsed[RawBars], BarArray]], timeframe: str, symbol: str, *, options: ImportOptions
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
    for (before, earlier), (after, later) in pairwise(ordered):
        if later.open_ns[0] < earlier.close_ns[-1]:
            raise ImportRefused(
                f"{after.path.name} begins at {utc_text(int(later.open_ns[0]))} UTC, before {before.path.name} ends at "
                f"{utc_text(int(earlier.close_ns[-1]))}. They must not overlap; leave one out or use --repair.",
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
