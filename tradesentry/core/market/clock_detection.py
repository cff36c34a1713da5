"""Find out which clock a file runs on, and catch a wrong one, from when its market opened and closed.

The FX week runs from Sunday 17:00 to Friday 17:00 New York. Read with the right clock, every week's first and last bar
say so: in summer, in winter, and in the weeks of March, October and November when US and EU clocks differ, which is
where clocks that agree for the rest of the year part. Metals and indices may open an hour later but close at 17:00.

A server that stamps calendar days may show a last tick or two after the close; such `leftovers` are not counted as the
week's end. Each candidate is scored by how many weekly edges it explains; clocks that give the same UTC times for every
edge of the file count as one, because for this file the choice makes no difference. Too little evidence is an error.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np

from tradesentry.core.domain.errors import ClockError
from tradesentry.core.market.bars import DAY_NS, HOUR_NS, MINUTE_NS, WEEK_NS, FloatArray, Int64Array, utc_text
from tradesentry.core.market.source_clock import UTC_CLOCK, SourceClock, offsets, utc_to_wall, wall_to_utc
from tradesentry.core.market.symbols import is_fx_pair

BoolArray: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

NEW_YORK: Final = SourceClock("America/New_York")
MIN_GAP_NS: Final = 30 * HOUR_NS
MAX_GAP_NS: Final = 5 * DAY_NS
FIT, LATE, MISS = 0, 1, 2
LOG_LIKELIHOOD: Final = np.log([0.97, 0.04, 0.01])
"""Of an edge under the right clock: it fits, the week's first quote is up to an hour late, or it misleads otherwise.

Weeks begin late more often than they end early: many MT5 servers show no bar before Monday 00:00 on their clock.
"""
MIN_CONFIDENCE: Final = 0.9
MIN_FIT_FRACTION: Final = 0.8
DISPROVED_BELOW: Final = 0.05
_SUNDAY_CLOSE_NS: Final = 3 * DAY_NS + 17 * HOUR_NS
_FX_WEEK_NS: Final = 5 * DAY_NS

NAMED: Final = (
    SourceClock("UTC"),
    SourceClock("Europe/Athens"),
    SourceClock("America/New_York"),
    SourceClock("America/New_York", 7 * 60),
    SourceClock("EST"),
    SourceClock("Europe/London"),
    SourceClock("Europe/Berlin"),
    SourceClock("Europe/London", -5 * 60),
    SourceClock("America/Chicago"),
)
CANDIDATES: Final = (*NAMED, *(SourceClock("UTC", 60 * hours) for hours in range(-11, 15) if hours))
"""Clocks that vendors are known to use, then every fixed whole-hour offset; earlier ones win a tie."""


@dataclass(frozen=True, slots=True)
class Detection:
    """The clock that explains a file's weeks, and why."""

    clock: SourceClock
    confidence: float
    """Probability of this clock (or of one that is the same for this file) among all candidates."""
    evidence: tuple[str, ...]
    same_here: tuple[SourceClock, ...]
    """Other clocks that give the same UTC times for this file."""


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """First and last moments of trading weeks on the vendor's wall clock."""

    wall_ns: Int64Array
    is_open: BoolArray


def leftovers(prices: tuple[FloatArray, FloatArray], volume: FloatArray | None) -> BoolArray:
    """Return which bars are too quiet to show an open market: a hundredth of the usual ticks, or one single price.

    Args:
        prices: High and low, each of shape (n,).
        volume: Tick volume, shape (n,); None where the vendor has none.
    """
    if volume is not None and volume.any():
        return np.asarray(volume <= 0.01 * np.median(volume), np.bool_)
    return np.asarray(prices[0] == prices[1], np.bool_)


def _weekly_edges(wall_ns: Int64Array, bar_ns: int, quiet: BoolArray | None) -> _Edges:
    if quiet is not None:
        wall_ns = wall_ns[~quiet]
    gaps = np.diff(wall_ns)
    rows = np.flatnonzero((gaps >= MIN_GAP_NS + bar_ns) & (gaps <= MAX_GAP_NS))
    # The last period's end, less an instant, so that a close at exactly 17:00 lies inside its week.
    closes = wall_ns[rows] + max(bar_ns, 1) - 1
    opens = wall_ns[rows + 1]
    both = np.empty(2 * rows.size, np.int64)
    both[0::2], both[1::2] = closes, opens
    return _Edges(both, np.arange(both.size) % 2 == 1)


def _grades(edges: _Edges, clock: SourceClock, *, is_fx: bool) -> tuple[Int64Array, Int64Array]:
    """Return the edges in UTC under `clock` and how well each fits the FX week."""
    try:
        utc = wall_to_utc(edges.wall_ns, clock).utc_ns
    except ClockError:
        return edges.wall_ns, np.full(edges.wall_ns.size, MISS, np.int64)
    since_open = (utc_to_wall(utc, NEW_YORK) - _SUNDAY_CLOSE_NS) % WEEK_NS
    latest_open = HOUR_NS if is_fx else 2 * HOUR_NS
    fits_open = since_open < latest_open
    fits_close = (since_open >= _FX_WEEK_NS - HOUR_NS) & (since_open < _FX_WEEK_NS)
    is_late = edges.is_open & (since_open < latest_open + HOUR_NS)
    fits = np.where(edges.is_open, fits_open, fits_close)
    return utc, np.where(fits, FIT, np.where(is_late, LATE, MISS)).astype(np.int64)


def _differs(utc_ns: Int64Array) -> BoolArray:
    """Return which instants lie in weeks when New York is not five hours behind London."""
    gaps = []
    for zone in ("Europe/London", "America/New_York"):
        changes, shifts = offsets(zone, int(utc_ns.min()), int(utc_ns.max()))
        gaps.append(shifts[np.searchsorted(changes, utc_ns, side="right")])
    return np.asarray(gaps[0] - gaps[1] != 5 * HOUR_NS, np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    clocks: list[SourceClock]
    utc_ns: Int64Array
    fits: BoolArray
    probability: float = 0.0


def _ranked(edges: _Edges, candidates: tuple[SourceClock, ...], *, is_fx: bool) -> list[_Group]:
    groups: dict[bytes, _Group] = {}
    scores: dict[bytes, float] = {}
    for clock in candidates:
        utc, grades = _grades(edges, clock, is_fx=is_fx)
        key = utc.tobytes() if (grades == FIT).any() else b"none"
        if key in groups:
            groups[key].clocks.append(clock)
        else:
            groups[key] = _Group([clock], utc, grades == FIT)
            scores[key] = float(np.sum(LOG_LIKELIHOOD[grades]))
    top = max(scores.values())
    weights = {key: math.exp(score - top) for key, score in scores.items()}
    total = math.fsum(weights.values())
    ranked = [replace(group, probability=weights[key] / total) for key, group in groups.items()]
    return sorted(ranked, key=lambda group: -group.probability)


def detect_clock(wall_ns: Int64Array, bar_ns: int, symbol: str, *, quiet: BoolArray | None = None) -> Detection:
    """Propose the clock of a file from its weekly opens and closes.

    Args:
        wall_ns: Opens of the bars (or times of the ticks) on the vendor's clock, in file order, shape (n,).
        bar_ns: Length of a bar, 0 for ticks.
        symbol: Canonical symbol; currencies open at 17:00 New York, others by 18:00.
        quiet: Bars to leave out as `leftovers`.

    Raises:
        ClockError: Not enough evidence, or evidence that no known clock explains; says what was found.
    """
    if bar_ns > HOUR_NS:
        raise ClockError(
            f"{symbol}: the clock cannot be told from bars of {bar_ns // HOUR_NS} hours; that needs H1 or finer. "
            "Say it with --clock ZONE.",
            code="clock_unclear",
        )
    edges = _weekly_edges(wall_ns, bar_ns, quiet)
    if edges.wall_ns.size == 0:
        raise ClockError(
            f"{symbol}: the clock cannot be told from {utc_text(int(wall_ns[0]))} to {utc_text(int(wall_ns[-1]))}: no "
            "weekend lies inside. Import more weeks, or say the clock with --clock ZONE.",
            code="clock_unclear",
        )
    best, *others = _ranked(edges, CANDIDATES, is_fx=is_fx_pair(symbol))
    fraction = float(np.mean(best.fits))
    if best.probability < MIN_CONFIDENCE or fraction < MIN_FIT_FRACTION:
        rivals = ", ".join(f"{g.clocks[0]} ({np.mean(g.fits):.0%})" for g in [best, *others][:3])
        raise ClockError(
            f"{symbol}: {edges.wall_ns.size} weekly edges do not settle the clock; the nearest are {rivals}. "
            "Import a span with weeks in March or November, or say the clock with --clock ZONE.",
            code="clock_unclear",
        )
    evidence = _evidence(edges, best, others)
    return Detection(best.clocks[0], best.probability, evidence, tuple(best.clocks[1:]))


def _evidence(edges: _Edges, best: _Group, others: list[_Group]) -> tuple[str, ...]:
    def counted(mask: BoolArray) -> str:
        return f"{np.count_nonzero(best.fits & mask)} of {np.count_nonzero(mask)}"

    lines = [
        f"{counted(edges.is_open)} weekly opens lie at Sunday 17:00 New York or within the market's first hour",
        f"{counted(~edges.is_open)} weekly closes lie in the hour before Friday 17:00 New York",
    ]
    differs = _differs(best.utc_ns)
    if differs.any():
        lines.append(f"{counted(differs)} edges fit in the weeks when US and EU daylight saving differ")
    else:
        lines.append("no edge lies in a week when US and EU daylight saving differ")
    if others:
        lines.append(
            f"next best: {others[0].clocks[0]}, {np.count_nonzero(others[0].fits)} of {others[0].fits.size} edges"
        )
    if len(best.clocks) > 1:
        lines.append(f"the same for these weeks: {', '.join(str(clock) for clock in best.clocks[1:4])}")
    return tuple(lines)


def verify_clock(
    wall_ns: Int64Array,
    bar_ns: int,
    symbol: str,
    *,
    clock: SourceClock = UTC_CLOCK,
    quiet: BoolArray | None = None,
) -> None:
    """Raise ClockError when the weekly opens and closes disprove `clock`.

    Silent without evidence: no weekend inside, bars longer than H1, or a market that keeps no FX week.

    Args:
        wall_ns: Times on the vendor's clock, in file order, shape (n,).
        bar_ns: Length of a bar, 0 for ticks.
        symbol: Canonical symbol.
        clock: What was said to be the clock.
        quiet: Bars to leave out as `leftovers`.
    """
    edges = _weekly_edges(wall_ns, bar_ns, quiet)
    if bar_ns > HOUR_NS or edges.wall_ns.size == 0:
        return
    candidates = (clock, *(other for other in CANDIDATES if other != clock))
    ranked = _ranked(edges, candidates, is_fx=is_fx_pair(symbol))
    chosen = next(group for group in ranked if clock in group.clocks)
    best = ranked[0]
    is_settled = best.probability >= MIN_CONFIDENCE and float(np.mean(best.fits)) >= MIN_FIT_FRACTION
    if not is_settled or chosen.probability >= DISPROVED_BELOW:
        return
    row = int(np.flatnonzero(~chosen.fits)[0])
    kind = "opens" if edges.is_open[row] else "closes"
    shown = utc_text(int(utc_to_wall(chosen.utc_ns[row : row + 1], NEW_YORK)[0]) // MINUTE_NS * MINUTE_NS)
    raise ClockError(
        f"{symbol}: the clock {clock} is disproved by the file. Read with it, a week {kind} at {shown} New York; "
        f"{np.count_nonzero(chosen.fits)} of {chosen.fits.size} weekly opens and closes fit Sunday and Friday 17:00; "
        f"with {best.clocks[0]} {np.count_nonzero(best.fits)} fit. Use --clock {best.clocks[0]} or --detect-clock.",
        code="clock_disproved",
    )
