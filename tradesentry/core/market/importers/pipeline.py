"""Turn vendor files into a series: sniff, parse, apply the clock, make it a bid, validate.

One path for all formats. Everything that was decided or changed on the way is in the notes and the provenance of the
result; everything that cannot be trusted is refused with the line that shows it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tradesentry.core.domain.errors import UsageError
from tradesentry.core.market.bars import BarSeries, TickSeries
from tradesentry.core.market.importers.bar_import import import_bars
from tradesentry.core.market.importers.base import RawBars, RawTicks, open_content
from tradesentry.core.market.importers.context import Imported, ImportOptions, Parsed
from tradesentry.core.market.importers.registry import importer_named, sniff
from tradesentry.core.market.importers.tick_import import import_ticks


def _parse(paths: Sequence[Path], options: ImportOptions) -> tuple[list[Parsed[RawBars]], list[Parsed[RawTicks]]]:
    if not paths:
        raise UsageError("Nothing to import. Name at least one file.")
    bars: list[Parsed[RawBars]] = []
    ticks: list[Parsed[RawTicks]] = []
    for path in paths:
        content = open_content(path)
        importer = importer_named(options.format) if options.format else sniff(content)
        raw = importer.read(content, replace(options.hints, symbol=options.symbol))
        if isinstance(raw, RawBars):
            bars.append(Parsed(raw, importer.name, path))
        else:
            ticks.append(Parsed(raw, importer.name, path))
    if bars and ticks:
        raise UsageError("Bars and ticks cannot be imported into one series. Import them apart.")
    return bars, ticks


def import_files(paths: Sequence[Path], options: ImportOptions) -> Imported[BarSeries] | Imported[TickSeries]:
    """Return the series that the files hold, checked.

    Args:
        paths: Files of one symbol, in any order; their times must not overlap.
        options: What the user says about them.

    Raises:
        ImportRefused: A file cannot be read or holds what makes results wrong; names the line.
        ClockError: The clock is missing, unknown, unclear or disproved.
        UsageError: The options do not say enough.
    """
    bars, ticks = _parse(paths, options)
    if ticks:
        return import_ticks(ticks, options)
    if not options.ask_paths:
        return import_bars(bars, options)
    ask_bars, _ = _parse(options.ask_paths, options)
    plain = replace(options, ask_paths=(), side="ask", spread=None, from_ns=None, to_ns=None)
    return import_bars(bars, options, ask=import_bars(ask_bars, plain).series.bars)
