"""Decide whether bars may be used at all, and say what is odd about them.

Checked once, at the border, before a series enters the catalog. Refused is what would make a result wrong: times that
are unsorted, duplicate, overlapping or off the grid; prices that are not finite, not positive, outside their own range
or of the wrong power of ten; a feed stuck for days. Reported, never filled: gaps, spikes, zero spreads, flat bars.
`repair` only drops rows, only when asked, and says which.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from tradesentry.core.domain.errors import ImportRefused
from tradesentry.core.market import validation_kernels as kernels
from tradesentry.core.market.bars import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    WEEK_NS,
    BarArray,
    Int64Array,
    timeframe_name,
    timeframe_ns,
    utc_text,
)
from tradesentry.core.market.source_clock import SourceClock, offsets, wall_to_utc
from tradesentry.core.market.symbols import keeps_fx_week, plausible_prices

NEW_YORK: Final = SourceClock("America/New_York")
MIN_SEEN_FRACTION: Final = 0.6
"""A slot of the week counts as open where at least that share of weeks has a bar."""
STUCK_NS: Final = 4 * HOUR_NS
"""Shortest frozen stretch that is counted."""
MAX_STUCK_NS: Final = 24 * HOUR_NS
"""Frozen time in all above which a series is refused."""

_FAULTS: Final = {
    kernels.FAULT_NOT_FINITE: "has a price that is not a number",
    kernels.FAULT_NOT_POSITIVE: "has a price that is zero or negative",
    kernels.FAULT_HIGH_BELOW_LOW: "has its high below its low",
    kernels.FAULT_HIGH: "has an open or close above its high",
    kernels.FAULT_LOW: "has an open or close below its low",
    kernels.FAULT_UNSORTED: "is earlier than the row before it",
    kernels.FAULT_DUPLICATE: "has the time of the row before it",
    kernels.FAULT_OVERLAP: "begins before the bar before it has ended",
    kernels.FAULT_OFF_GRID: "does not begin on the grid of its timeframe",
    kernels.FAULT_NEGATIVE_VOLUME: "has a negative volume",
}
_ADVICE: Final = {
    kernels.FAULT_UNSORTED: "Sort the file by time (--newest-first reads a reversed one), and check its clock.",
    kernels.FAULT_DUPLICATE: "Give each period once: remove the repeated rows, or import with --repair.",
    kernels.FAULT_OVERLAP: "Check --timeframe: the rows are closer together than it says.",
    kernels.FAULT_OFF_GRID: "Check --timeframe and --clock, or import ticks as ticks.",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What is odd about a usable series; counts of bars unless named otherwise."""

    n_bars: int
    first_ns: int
    last_ns: int
    n_gaps: int
    n_missing: int
    missing_fraction: float
    """Of the bars expected in its trading week, 24 December to 2 January left out."""
    longest_gap_bars: int
    longest_gap_from_ns: int
    n_spikes: int
    n_flat: int
    n_stuck: int
    stuck_from_ns: int
    """0 when the feed was never stuck."""
    n_zero_spread: int
    n_negative_spread: int
    n_zero_volume: int

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return asdict(self)


def validate(
    bars: BarArray,
    timeframe: str,
    symbol: str,
    *,
    origin: str = "",
    lines: Int64Array | None = None,
    accept_stuck: bool = False,
) -> Report:
    """Return the report of usable bars.

    Args:
        bars: Records of BAR.
        timeframe: Their timeframe.
        symbol: Canonical symbol; its name tells the trading week and the plausible prices.
        origin: File or source named in messages.
        lines: Line of the file that holds each bar; rows are counted from 1 when None.
        accept_stuck: Take a feed that is stuck for days, and only report it.

    Raises:
        ImportRefused: The first bar at fault with its values, how many there are, and what to do.
    """
    where = origin or f"{symbol} {timeframe}"
    if bars.size == 0:
        raise ImportRefused(f"{where}: holds no bars. Check that the download is complete.", code="no_bars")
    refuse_faults(bars, timeframe, where=where, lines=lines)
    refuse_implausible_prices(bars, symbol, where=where, lines=lines)
    _refuse_wrong_timeframe(bars, timeframe, where=where)
    report = describe(bars, timeframe, symbol)
    if report.n_stuck * timeframe_ns(timeframe) >= MAX_STUCK_NS and not accept_stuck:
        row = int(np.flatnonzero(bars.open_ns == report.stuck_from_ns)[0])
        raise ImportRefused(
            f"{where}: {_place(row, lines)} ({utc_text(report.stuck_from_ns)} UTC) begins a stuck feed: "
            f"{report.n_stuck} bars show only two alternating prices ({bars.low[row]:.10g} and {bars.high[row]:.10g} "
            "at first). Import what precedes it (--to), drop those bars (--repair), or keep them (--accept-stuck).",
            code="stuck_feed",
        )
    return report


def grid_ns(timeframe: str) -> int:
    """Return what opens must be a multiple of; loose above H1, where vendors anchor days differently."""
    step = timeframe_ns(timeframe)
    if step <= HOUR_NS:
        return step if HOUR_NS % step == 0 else MINUTE_NS
    return MINUTE_NS if step >= DAY_NS else 30 * MINUTE_NS


def fault_codes(bars: BarArray, timeframe: str) -> Int64Array:
    """Return the fault of every bar, 0 for none, shape (n_bars,)."""
    codes = np.zeros(bars.size, np.int64)
    kernels.find_faults(bars, grid_ns(timeframe), codes)
    return codes


def refuse_faults(bars: BarArray, timeframe: str, *, where: str, lines: Int64Array | None = None) -> None:
    """Raise ImportRefused with the first bar at fault, if there is one."""
    codes = fault_codes(bars, timeframe)
    rows = np.flatnonzero(codes)
    if rows.size == 0:
        return
    row = int(rows[0])
    code = int(codes[row])
    bar = bars[row]
    values = f"open {bar.open:.10g}, high {bar.high:.10g}, low {bar.low:.10g}, close {bar.close:.10g}"
    if code in _ADVICE:
        values = f"after {utc_text(int(bars.open_ns[row - 1]))}" if row else f"timeframe {timeframe}"
    others = f" {rows.size - 1} more rows are at fault." if rows.size > 1 else ""
    advice = _ADVICE.get(code, "Export the file again, or import with --repair, which drops such rows.")
    raise ImportRefused(
        f"{where}: {_place(row, lines)} ({utc_text(int(bar.open_ns))} UTC) {_FAULTS[code]}: {values}.{others} {advice}",
        code="bad_bar",
    )


def _place(row: int, lines: Int64Array | None) -> str:
    return f"row {row + 1}" if lines is None else f"line {lines[row]}"


def refuse_implausible_prices(bars: BarArray, symbol: str, *, where: str, lines: Int64Array | None = None) -> None:
    """Raise ImportRefused when prices, or those of one bar, are off by a power of ten for that symbol."""
    limits = plausible_prices(symbol)
    if limits is None:
        return
    _refuse_wrong_scale(bars, symbol, limits, where=where)
    rows = np.flatnonzero(_wild(bars, limits))
    if rows.size:
        bar = bars[rows[0]]
        raise ImportRefused(
            f"{where}: {_place(int(rows[0]), lines)} ({utc_text(int(bar.open_ns))} UTC) has a price no {symbol} had: "
            f"high {bar.high:.10g}, low {bar.low:.10g}; {rows.size} rows do. Export again, or import with --repair.",
            code="implausible_price",
        )


def _wild(bars: BarArray, limits: tuple[float, float]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray((bars.low < limits[0] / 2) | (bars.high > limits[1] * 2), np.bool_)


def _refuse_wrong_scale(bars: BarArray, symbol: str, limits: tuple[float, float], *, where: str) -> None:
    middle = float(np.median(bars.close))
    if limits[0] <= middle <= limits[1]:
        return
    scale = 10.0 ** round(np.log10(np.sqrt(limits[0] * limits[1]) / middle))
    is_scaled = limits[0] <= middle * scale <= limits[1] and scale != 1.0
    advice = f"Import with --price-scale {scale:g}" if is_scaled else "Check --symbol"
    raise ImportRefused(
        f"{where}: the middle price {middle:.10g} cannot be {symbol}, which trades between {limits[0]:.4g} and "
        f"{limits[1]:.4g}; row 1 closes at {bars.close[0]:.10g}. Some vendors write prices as whole points. {advice}.",
        code="implausible_price",
    )


def _refuse_wrong_timeframe(bars: BarArray, timeframe: str, *, where: str) -> None:
    if bars.size < 10:
        return
    usual = usual_step_ns(bars.open_ns)
    if usual >= 2 * timeframe_ns(timeframe) and usual % timeframe_ns(timeframe) == 0:
        share = float(np.mean(np.diff(bars.open_ns) >= usual))
        if share > 0.98:
            raise ImportRefused(
                f"{where}: named {timeframe}, but rows are {timeframe_name(usual)} apart ({share:.0%} of them). "
                f"Import with --timeframe {timeframe_name(usual)}.",
                code="wrong_timeframe",
            )


def usual_step_ns(open_ns: Int64Array) -> int:
    """Return the commonest distance of consecutive opens, ns; 0 for fewer than two rows."""
    steps = np.diff(open_ns)
    steps = steps[steps > 0]
    if steps.size == 0:
        return 0
    values, counts = np.unique(steps, return_counts=True)
    return int(values[np.argmax(counts)])


def describe(bars: BarArray, timeframe: str, symbol: str) -> Report:
    """Return the report of bars that are free of faults."""
    step = timeframe_ns(timeframe)
    missing, n_expected = _missing_bars(bars, step, symbol)
    spikes = np.zeros(bars.size, np.bool_)
    stuck = stuck_mask(bars, timeframe)
    n_missing = int(missing.sum())
    longest = int(np.argmax(missing))
    has_gap = n_missing > 0
    return Report(
        n_bars=int(bars.size),
        first_ns=int(bars.open_ns[0]),
        last_ns=int(bars.open_ns[-1]),
        n_gaps=int(np.count_nonzero(missing)),
        n_missing=n_missing,
        missing_fraction=n_missing / n_expected if n_expected else 0.0,
        longest_gap_bars=int(missing[longest]),
        longest_gap_from_ns=int(bars.close_ns[longest - 1]) if has_gap else 0,
        n_spikes=int(kernels.find_spikes(bars, spikes)),
        n_flat=int(np.count_nonzero(bars.high == bars.low)),
        n_stuck=int(np.count_nonzero(stuck)),
        stuck_from_ns=int(bars.open_ns[np.argmax(stuck)]) if stuck.any() else 0,
        n_zero_spread=int(np.count_nonzero(bars.spread == 0.0)),
        n_negative_spread=int(np.count_nonzero(bars.spread < 0.0)),
        n_zero_volume=int(np.count_nonzero(bars.volume == 0.0)),
    )


def stuck_mask(bars: BarArray, timeframe: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which bars belong to a stretch of at least four hours and five bars with only two prices."""
    stuck = np.zeros(bars.size, np.bool_)
    step = timeframe_ns(timeframe)
    if step < DAY_NS:
        kernels.find_stuck(bars, max(5, STUCK_NS // step), stuck)
    return stuck


def _missing_bars(bars: BarArray, step: int, symbol: str) -> tuple[Int64Array, int]:
    missing = np.zeros(bars.size, np.int64)
    if step > HOUR_NS or HOUR_NS % step:
        return _missing_long_bars(bars, step, symbol, missing)
    changes, shifts = offsets(NEW_YORK.zone, int(bars.open_ns[0]), int(bars.open_ns[-1]))
    slots = WEEK_NS // step
    if keeps_fx_week(symbol) and symbol[0] != "X":
        is_expected = np.arange(slots) * step < 5 * DAY_NS
    else:
        possible, seen = np.zeros(slots, np.int64), np.zeros(slots, np.int64)
        kernels.count_slots(bars, step, changes, shifts, possible, seen)
        is_expected = seen >= MIN_SEEN_FRACTION * np.maximum(possible, 1)
    holidays = _year_ends(int(bars.open_ns[0]), int(bars.open_ns[-1]))
    n_expected = kernels.find_gaps(bars, step, changes, shifts, is_expected, holidays, missing)
    return missing, int(n_expected)


def _missing_long_bars(bars: BarArray, step: int, symbol: str, missing: Int64Array) -> tuple[Int64Array, int]:
    absent = bars.open_ns[1:] - bars.close_ns[:-1]
    weekend = 2 * DAY_NS + HOUR_NS if keeps_fx_week(symbol) else 0
    crosses = (absent >= 2 * DAY_NS - 8 * HOUR_NS) & (weekend > 0)
    missing[1:] = np.maximum(absent - np.where(crosses, weekend, 0), 0) // step
    return missing, int(bars.size + missing.sum())


def _year_ends(first_ns: int, last_ns: int) -> Int64Array:
    first = int(np.datetime64(first_ns, "ns").astype("datetime64[Y]").astype(int)) + 1969
    last = int(np.datetime64(last_ns, "ns").astype("datetime64[Y]").astype(int)) + 1970
    bounds = [f"{year + late}-{day}" for year in range(first, last + 1) for late, day in ((0, "12-24"), (1, "01-03"))]
    local = np.array(bounds, "datetime64[ns]").astype(np.int64)
    return wall_to_utc(local, NEW_YORK).utc_ns


def repair(bars: BarArray, timeframe: str, symbol: str) -> tuple[BarArray, list[str]]:
    """Return a copy without the rows that `validate` refuses, and what was changed.

    Nothing is invented: rows are sorted, rows at fault, repeated and stuck are dropped, negative spreads become zero.
    """
    changes: list[str] = []
    order = np.argsort(bars.open_ns, kind="stable")
    if np.any(np.diff(order) < 0):
        changes.append("sorted the rows by time")
    kept: BarArray = bars[order].view(np.recarray)
    negative = kept.spread < 0.0
    if negative.any():
        kept.spread[negative] = 0.0
        changes.append(f"set {np.count_nonzero(negative)} negative spreads to zero")
    while (codes := fault_codes(kept, timeframe)).any():
        for code in np.unique(codes[codes > 0]):
            changes.append(f"dropped {np.count_nonzero(codes == code)} rows: each {_FAULTS[int(code)]}")
        kept = kept[codes == 0].view(np.recarray)
    limits = plausible_prices(symbol)
    if limits is not None and kept.size:
        wild = _wild(kept, limits)
        if wild.any() and not wild.all():
            kept = kept[~wild].view(np.recarray)
            changes.append(f"dropped {np.count_nonzero(wild)} rows with prices impossible for {symbol}")
    stuck = stuck_mask(kept, timeframe)
    if stuck.any():
        kept = kept[~stuck].view(np.recarray)
        changes.append(f"dropped {np.count_nonzero(stuck)} rows of a stuck feed")
    return kept, changes
