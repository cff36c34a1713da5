"""Second versions of the components: plain Python over the whole history, cut at bar t. Slow and obvious on purpose."""

from typing import Any

import numpy as np

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000


class Columns:
    """Bars as plain lists, which plain Python reads quickly."""

    def __init__(self, bars: Any) -> None:
        for name in bars.dtype.names:
            setattr(self, name, bars[name].tolist())
        self._n = len(bars)

    def __len__(self) -> int:
        return self._n


def true_ranges(bars: Any) -> list[float]:
    """Return TR_1, TR_2, ...: the first bar has none."""
    bars = bars if isinstance(bars, Columns) else Columns(bars)
    return [
        max(
            bars.high[t] - bars.low[t],
            abs(bars.high[t] - bars.close[t - 1]),
            abs(bars.low[t] - bars.close[t - 1]),
        )
        for t in range(1, len(bars))
    ]


def wilder(values: list[float], n: int) -> list[float]:
    """Return Wilder's smoothing from the n-th value on: a mean, then steps of 1/n."""
    smoothed = [sum(values[:n]) / n]
    for value in values[n:]:
        smoothed.append(smoothed[-1] + (value - smoothed[-1]) / n)
    return smoothed


def adx(bars: Any, n: int) -> list[float]:
    """Return the ADX from bar 2n - 1 on."""
    bars = bars if isinstance(bars, Columns) else Columns(bars)
    plus, minus = [], []
    for t in range(1, len(bars)):
        up, down = bars.high[t] - bars.high[t - 1], bars.low[t - 1] - bars.low[t]
        plus.append(up if up > 0 and up > down else 0.0)
        minus.append(down if down > 0 and down > up else 0.0)
    moved = []
    for up, down, atr in zip(wilder(plus, n), wilder(minus, n), wilder(true_ranges(bars), n), strict=True):
        plus_di, minus_di = (100 * up / atr, 100 * down / atr) if atr > 0 else (0.0, 0.0)
        both = plus_di + minus_di
        moved.append(100 * abs(plus_di - minus_di) / both if both > 0 else 0.0)
    return wilder(moved, n)


def band_widths(closes: Any, n: int, k: float) -> list[float]:
    """Return (upper - lower) / middle from bar n - 1 on."""
    return [
        2 * k * float(np.std(closes[t - n + 1 : t + 1])) / float(np.mean(closes[t - n + 1 : t + 1]))
        for t in range(n - 1, len(closes))
    ]


def squeezes(
    widths: list[float], m: int, *, q: float | None = None, e: float | None = None
) -> list[tuple[float, float]]:
    """Return (width, limit) where at least m earlier widths exist."""
    found = []
    for i in range(m, len(widths)):
        before = widths[i - m : i]
        found.append((widths[i], float(np.quantile(before, q)) if q is not None else (1 + (e or 0.0)) * min(before)))
    return found


def buckets(bars: Any, edges: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return a row per bucket that holds bars and is known, given all intervals [a, b) in order.

    A bar belongs to the first interval that ends after its open.
    """
    bars = bars if isinstance(bars, Columns) else Columns(bars)
    rows = []
    owners = [next(i for i, (_, end) in enumerate(edges) if end > opened) for opened in bars.open_ns]
    for i, (start, end) in enumerate(edges):
        inside = [t for t, owner in enumerate(owners) if owner == i]
        if not inside:
            continue
        known = [t for t in range(len(bars)) if t >= inside[0] and (bars.close_ns[t] >= end)]
        if not known:
            continue
        rows.append(
            {
                "origin_index": inside[0], "origin_ns": start, "known_index": known[0],
                "price_low": min(bars.low[t] for t in inside), "price_high": max(bars.high[t] for t in inside),
                "price": bars.close[inside[-1]], "other_price": bars.open[inside[0]], "other_index": len(inside),
                "value": sum(bars.volume[t] for t in inside),
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: (row["known_index"], row["origin_ns"]))


def session_ranges(bars: Any, bounds: list[tuple[int, int, bool]], min_coverage: float) -> list[dict[str, Any]]:
    """Return a row per session that holds bars and is known."""
    bars = bars if isinstance(bars, Columns) else Columns(bars)
    rows = []
    for start, end, is_valid in bounds:
        inside = [t for t in range(len(bars)) if start <= bars.open_ns[t] < end]
        known = [t for t in range(len(bars)) if bars.close_ns[t] >= end]
        if not inside or not known:
            continue
        expected = (end - start) // (bars.close_ns[inside[-1]] - bars.open_ns[inside[-1]])
        coverage = min(1.0, len(inside) / expected)
        rows.append(
            {
                "event": "SESSION_SET" if is_valid and coverage >= min_coverage else "SESSION_INVALID",
                "origin_index": inside[0], "origin_ns": start, "known_index": known[0],
                "price_low": min(bars.low[t] for t in inside), "price_high": max(bars.high[t] for t in inside),
                "other_index": len(inside), "value": coverage,
            }
        )  # fmt: skip
    return rows


def opening_ranges(bars: Any, bounds: list[tuple[int, int, bool]], params: Any) -> list[tuple[Any, ...]]:
    """Return (event, direction, known_index, price) of every session, session by session.

    Width and volume filters off; `params` is the model of the component.
    """
    bars = bars if isinstance(bars, Columns) else Columns(bars)
    atr = [np.nan] * params.atr.n_bars + wilder(true_ranges(bars), params.atr.n_bars)
    said: list[tuple[Any, ...]] = []
    for start, session_end, is_valid in bounds:
        said += _one_session(bars, atr, start, session_end, is_valid, params)
    return said


def _one_session(  # noqa: PLR0912 - one scan, read from top to bottom
    bars: Any, atr: list[float], start: int, session_end: int, is_valid: bool, params: Any
) -> list[Any]:
    end = session_end if params.or_minutes is None else start + params.or_minutes * MINUTE_NS
    cutoff = session_end if params.entry_minutes is None else end + params.entry_minutes * MINUTE_NS
    cutoff = min(cutoff, session_end) if params.or_minutes is not None else cutoff
    inside = [t for t in range(len(bars)) if start <= bars.open_ns[t] < end]
    known = [t for t in range(len(bars)) if bars.close_ns[t] >= end and bars.open_ns[t] >= start]
    if not known:
        return []
    first = known[0]
    if not inside:
        return [("OR_MISSING", 0, first, None)]
    upper, lower = max(bars.high[t] for t in inside), min(bars.low[t] for t in inside)
    expected = max(1, (end - start) // (bars.close_ns[inside[-1]] - bars.open_ns[inside[-1]]))
    if not is_valid or min(1.0, len(inside) / expected) < params.min_coverage:
        return [("OR_REJECT", 0, first, None)]
    said: list[Any] = [("OR_SET", 0, first, None)]
    judged_at_once = bars.open_ns[first] >= end
    n_trades, waiting, broke = 0, 0, 0
    for t in range(first if judged_at_once else first + 1, len(bars)):
        if bars.open_ns[t] >= cutoff:
            return [*said, ("OR_EXPIRED", 0, t, None)]
        close = bars.close[t]
        buffer = params.buf_atr * atr[t - 1] if params.buf_atr else 0.0
        if waiting:
            waiting -= 1
            near = params.tol_atr * atr[t - 1] if params.tol_atr else 0.0
            touched = bars.low[t] <= upper + near if broke > 0 else bars.high[t] >= lower - near
            beyond = close > upper if broke > 0 else close < lower
            if broke * (close - (upper + lower) / 2) < 0:
                said.append(("RETEST_CANCEL", broke, t, close))
                waiting = 0
            elif touched and beyond:
                said.append(("ENTRY", broke, t, close))
                waiting, n_trades = 0, n_trades + 1
            elif waiting == 0:
                said.append(("RETEST_TIMEOUT", broke, t, close))
        elif params.entry_mode == "stop":
            if t == first:
                continue
            is_up, is_down = bars.high[t] >= upper + buffer, bars.low[t] <= lower - buffer
            if is_up and is_down:
                return [*said, ("OR_AMBIGUOUS", 0, t, None)]
            if is_up or is_down:
                side = 1 if is_up else -1
                price = max(bars.open[t], upper + buffer) if is_up else min(bars.open[t], lower - buffer)
                said += [("BREAKOUT", side, t, price), ("ENTRY", side, t, price)]
                n_trades += 1
        else:
            side = 1 if close > upper + buffer else -1 if close < lower - buffer else 0
            if side:
                said.append(("BREAKOUT", side, t, close))
                if params.entry_mode == "close":
                    said.append(("ENTRY", side, t, close))
                    n_trades += 1
                else:
                    waiting, broke = params.retest_bars, side
        if n_trades >= params.max_trades:
            return said
    return said


def emas(closes: Any, n: int) -> list[float]:
    """Return the exponential average, seeded with the first close."""
    values = [float(closes[0])]
    for close in closes[1:]:
        values.append(values[-1] + (float(close) - values[-1]) * (2.0 / (n + 1.0)))
    return values


def efficiency_ratio(closes: Any, t: int, n: int) -> float:
    """Return |C_t - C_{t-n}| / sum |dC|; 0 when price did not move."""
    travel = sum(abs(float(closes[i] - closes[i - 1])) for i in range(t - n + 1, t + 1))
    moved = abs(float(closes[t] - closes[t - n]))
    return moved / travel if travel > 0 else 0.0
