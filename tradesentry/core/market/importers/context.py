"""What every import needs, bars or ticks: the options, the symbol, the clock, the provenance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import numpy as np

from tradesentry.core.domain.errors import ClockError, UsageError
from tradesentry.core.market.bars import BarSeries, Int64Array, TickSeries
from tradesentry.core.market.clock_detection import BoolArray, detect_clock, leftovers, verify_clock
from tradesentry.core.market.importers.base import RawBars, RawTicks, ReadHints
from tradesentry.core.market.instruments import canonical_symbol
from tradesentry.core.market.source_clock import UTC_CLOCK, SourceClock, wall_to_utc
from tradesentry.core.market.validation import Report

Raw = TypeVar("Raw", RawBars, RawTicks)
Series = TypeVar("Series", BarSeries, TickSeries)

CLOCK_EXPECTED: Final = (
    "Say the vendor's clock with --clock ZONE (such as Europe/Athens), or let --detect-clock find it."
)


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
class Imported(Generic[Series]):
    """What came out of one import."""

    series: Series
    report: Report | None
    """None for ticks."""
    format: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Parsed(Generic[Raw]):
    """The columns of one file."""

    raw: Raw
    format: str
    path: Path


def symbol_of(parsed: Sequence[Parsed[Raw]], options: ImportOptions) -> str:
    """Return the canonical symbol that the user or the files name.

    Raises:
        UsageError: Neither does.
    """
    name = options.symbol or next((item.raw.symbol for item in parsed if item.raw.symbol), None)
    if name is None:
        raise UsageError(f"{parsed[0].path.name} does not tell its symbol. Say it with --symbol.")
    return canonical_symbol(name)


def clock_of(
    parsed: Sequence[Parsed[Raw]], bar_ns: int, symbol: str, *, options: ImportOptions, notes: list[str]
) -> SourceClock:
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
            f"{parsed[0].path.name}: {parsed[0].format} files show a local clock but not which. {CLOCK_EXPECTED}",
            code="clock_missing",
        )
    ordered = sorted(parsed, key=lambda item: int(item.raw.times_ns[0]))
    quiet = [_leftovers(item.raw) for item in ordered]
    found = detect_clock(
        np.concatenate([item.raw.times_ns for item in ordered]), bar_ns, symbol, quiet=np.concatenate(quiet)
    )
    notes.append(f"clock {found.clock} detected (confidence {found.confidence:.0%}): " + "; ".join(found.evidence))
    return found.clock


def _leftovers(raw: RawBars | RawTicks) -> BoolArray:
    if isinstance(raw, RawTicks):
        return np.zeros(raw.times_ns.size, np.bool_)
    return leftovers((raw.prices[1], raw.prices[2]), raw.volume)


def to_utc(
    parsed: Sequence[Parsed[Raw]], clock: SourceClock, bar_ns: int, *, symbol: str, trust: bool, notes: list[str]
) -> list[Int64Array]:
    """Return the times of each file in UTC, after checking the clock against the market's weeks.

    Raises:
        ClockError: The weeks disprove the clock, or a row shows a time that never happened.
    """
    columns = []
    for item in parsed:
        wall = item.raw.times_ns
        if not trust:
            verify_clock(wall, bar_ns, symbol, clock=clock, quiet=_leftovers(item.raw))
        converted = wall_to_utc(wall, clock)
        notes.extend(f"{item.path.name}: {note}" for note in converted.notes)
        columns.append(converted.utc_ns)
    return columns


def provenance_of(
    parsed: Sequence[Parsed[Raw]], options: ImportOptions, clock: SourceClock, *, notes: list[str], tick: float
) -> dict[str, Any]:
    """Return where a series comes from, as JSON values."""
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
