"""The 24 market features computed slowly and plainly over whole series, to judge the streaming kernels by."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

CLIP = 5.0


def wilder(values: list[float], n: int) -> list[float]:
    """Return Wilder's average after each value; nan before n of them."""
    out, average = [], math.nan
    for i in range(len(values)):
        if i + 1 == n:
            average = sum(values[:n]) / n
        elif i + 1 > n:
            average += (values[i] - average) / n
        out.append(average)
    return out


def true_ranges(bars: Any) -> list[float]:
    """Return the true range of every bar but the first."""
    return [max(b.high, a.close) - min(b.low, a.close) for a, b in pairwise(bars)]


def ema(values: list[float], n: int) -> list[float]:
    """Return the exponential average after each value, seeded with the first."""
    out = [values[0]]
    for value in values[1:]:
        out.append(out[-1] + (value - out[-1]) * 2.0 / (n + 1))
    return out


def rsi(closes: list[float], n: int = 14) -> list[float]:
    """Return Wilder's RSI per close; nan before n moves."""
    moves = np.diff(closes)
    up = wilder([max(m, 0.0) for m in moves], n)
    down = wilder([max(-m, 0.0) for m in moves], n)
    return [math.nan] + [100.0 * u / (u + d) if u + d > 0 else 50.0 for u, d in zip(up, down, strict=True)]


def turbulence(vectors: list[np.ndarray[Any, Any]]) -> list[float]:
    """Return the squared distance of each vector from the moments of those before it."""
    alpha = 2.0 / 253.0
    mean, cov, out = vectors[0].copy(), np.zeros((3, 3)), [0.0]
    for y in vectors[1:]:
        shrunk = 0.9 * cov + 0.1 * np.diag(np.diag(cov))
        shrunk[np.diag_indices(3)] = np.maximum(np.diag(cov), 1e-6)
        z = y - mean
        out.append(float(z @ np.linalg.inv(shrunk) @ z))
        mean = mean + alpha * z
        cov = (1 - alpha) * (cov + alpha * np.outer(z, z))
    return out


def features(bars: Any, t: int, *, spread: float) -> np.ndarray[Any, Any]:
    """Return features 1 to 18 of bar t: all but turbulence and time."""
    bars = bars[: t + 1]
    c = [float(x) for x in bars.close]
    atr = [math.nan, *wilder(true_ranges(bars), 14)]
    slow = [math.nan, *wilder(true_ranges(bars), 96)]
    a = atr[t - 1]
    b = bars[t]
    moves = [abs(x - y) for x, y in zip(c[1:], c[:-1], strict=True)]
    e12, e48 = ema(c, 12), ema(c, 48)
    last20 = np.array(c[-20:])
    top, bottom = bars.high[-48:].max(), bars.low[-48:].min()
    out = [(c[t] - c[t - k]) / (a * math.sqrt(k)) for k in (1, 4, 12, 24, 96)]
    out += [(b.close - b.open) / a, (2 * b.close - b.high - b.low) / (b.high - b.low)]
    out += [(c[t] - e12[t]) / a, (c[t] - e48[t]) / a, (e48[t] - e48[t - 12]) / a]
    out += [(c[t] - last20.mean()) / last20.std(), (2 * c[t] - top - bottom) / (top - bottom)]
    out += [(rsi(c)[t] - 50) / 50, (c[t] - c[t - 48]) / sum(moves[-48:])]
    out += [(b.high - b.low) / a - 1, atr[t] / slow[t] - 1, np.mean(moves[-12:]) / np.mean(moves[-96:]) - 1]
    out += [spread / a]
    return np.clip(np.array(out), -CLIP, CLIP)
