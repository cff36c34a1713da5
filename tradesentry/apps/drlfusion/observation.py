"""What the agents see: the schema of an observation and the two kernels that build it.

Every number is a difference of prices divided by the ATR of the bar before, so scaling prices changes nothing; and
every odd feature is made of differences only, so a mirrored market flips its sign to the last bit. `observe_market`
depends on the market alone and is run once per data set by the training environment; `observe_own` of `holding` depends
on the own position alone. Nothing else builds an observation.

Order of work of `observe_market`: bar check; move, ranges and averages; turbulence of this bar against the moments of
the bars before; the moments; the 24 features. They are written raw: clipped to +-5, not normalized.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tradesentry.apps.drlfusion.layout import LEVELS, N_QUARTERS, N_RING
from tradesentry.core.strategy.indicators import hygiene, volatility
from tradesentry.core.utils.kernel import inline_kernel, kernel

SCHEMA_VERSION: Final = 1
CLIP: Final = 5.0
MASK: Final = N_RING - 1
QUARTER_NS: Final = 900_000_000_000
FIRST: Final = 97
"""Bars observed before the features exist: a move over 96 bars."""
HELD_BARS: Final = 240.0
MOMENTS_SPAN: Final = 252
ALPHA: Final = 2.0 / (MOMENTS_SPAN + 1.0)
SHRINKAGE: Final = 0.1
LEAST_VARIANCE: Final = 1e-6
"""A variance below that, square of a thousandth of an ATR, counts as that: a spread may never change."""

_FAST: Final = 2.0 / 13.0
_SLOW: Final = 2.0 / 49.0


@dataclass(frozen=True, slots=True)
class Feature:
    """One number of an observation."""

    name: str
    definition: str
    sign: int
    """-1: flips in a mirrored market (odd); 1: does not (even)."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The schema: what a model was trained on and a run must show it."""

    version: int
    features: tuple[Feature, ...]
    clip: float
    levels: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def signs(self) -> tuple[int, ...]:
        """Signs under the mirror in order."""
        return tuple(feature.sign for feature in self.features)

    @property
    def hash(self) -> str:
        """Digest of all that a model relies on; a model with another one does not load."""
        content = {
            "version": self.version,
            "features": [[f.name, f.definition, f.sign] for f in self.features],
            "clip": self.clip,
            "levels": list(self.levels),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


OBSERVATION: Final = Observation(
    SCHEMA_VERSION,
    (
        *(Feature(f"move_{k}", f"(C - C[{k}]) / (A[1] sqrt {k})", -1) for k in (1, 4, 12, 24, 96)),
        Feature("body", "(C - O) / A[1]", -1),
        Feature("close_place", "(2 C - H - L) / (H - L), 0 if H = L", -1),
        Feature("ema_gap_12", "(C - EMA12) / A[1]", -1),
        Feature("ema_gap_48", "(C - EMA48) / A[1]", -1),
        Feature("ema_slope_48", "(EMA48 - EMA48[12]) / A[1]", -1),
        Feature("band_z", "(C - mean20) / deviation20, 0 if 0", -1),
        Feature("channel_place_48", "place in the 48-bar high-low channel, -1 to 1", -1),
        Feature("rsi_14", "(RSI14 - 50) / 50", -1),
        Feature("efficiency_48", "(C - C[48]) / sum of 48 abs moves", -1),
        Feature("range", "(H - L) / A[1] - 1", 1),
        Feature("atr_ratio", "ATR14 / ATR96 - 1", 1),
        Feature("move_ratio", "mean abs move over 12 / over 96 - 1", 1),
        Feature("spread_ratio", "S / A[1]", 1),
        Feature("turbulence", "d / 3, moments of span 252 shrunk 0.1", 1),
        Feature("day_sin", "sine of the quarter hour of the FX day", 1),
        Feature("day_cos", "cosine of the quarter hour of the FX day", 1),
        Feature("tokyo", "session open", 1),
        Feature("london", "session open", 1),
        Feature("new_york", "session open", 1),
        Feature("held", "net units / unit", -1),
        Feature("open_r", "open profit / risk of the unit at the entry", 1),
        Feature("giveback_r", "best open_r since the entry - open_r", 1),
        Feature("held_share", "bars held / 240, at most 1", 1),
    ),
    CLIP,
    LEVELS,
)  # fmt: skip
"""Schema 1; C, H, L, O, S of the closed bar, A = ATR14, [k] = k bars earlier."""

SIGNS: Final = np.array(OBSERVATION.signs, np.float32)


@inline_kernel
def _clip(value: float) -> float:
    """Return `value` within the clip; NaN becomes 0."""
    if not abs(value) <= CLIP:
        return CLIP if value > 0.0 else (-CLIP if value < 0.0 else 0.0)
    return value


@inline_kernel
def _ratio(part: float, whole: float) -> float:
    """Return part / whole, 0 where the whole is not positive."""
    return part / whole if whole > 0.0 else 0.0


@kernel
def _follow_prices(observer: Any, bar: Any) -> float:
    """Bring rings, averages and RSI up to this bar; return the move of the close, 0 on the first bar.

    The averages are kept as their distance from the close: a mirrored market then has exactly the negative ones.
    """
    before = observer.at
    at = (before + 1) & MASK
    move = bar.close - observer.closes[before] if observer.n > 0 else 0.0
    observer.at = at
    observer.closes[at] = bar.close
    observer.highs[at] = bar.high
    observer.lows[at] = bar.low
    observer.fast_gap = (observer.fast_gap + move) * (1.0 - _FAST)
    observer.slow_gaps[at] = (observer.slow_gaps[before] + move) * (1.0 - _SLOW) if observer.n > 0 else 0.0
    up = max(move, 0.0)
    down = max(-move, 0.0)
    n = observer.n
    if 0 < n <= 14:
        observer.up += up / 14.0
        observer.down += down / 14.0
    elif n > 14:
        observer.up += (up - observer.up) / 14.0
        observer.down += (down - observer.down) / 14.0
    observer.n = n + 1
    return move


@kernel
def _distance(observer: Any, y0: float, y1: float, y2: float) -> float:
    """Return the squared Mahalanobis distance of (y0, y1, y2) from the moments, shrunk toward their diagonal."""
    c = observer.covariance
    keep = 1.0 - SHRINKAGE
    a = max(c[0, 0], LEAST_VARIANCE)
    b = max(c[1, 1], LEAST_VARIANCE)
    e = max(c[2, 2], LEAST_VARIANCE)
    u = keep * c[0, 1]
    v = keep * c[0, 2]
    w = keep * c[1, 2]
    i00 = b * e - w * w
    i11 = a * e - v * v
    i22 = a * b - u * u
    i01 = v * w - u * e
    i02 = u * w - v * b
    i12 = u * v - a * w
    determinant = a * i00 + u * i01 + v * i02
    if not determinant > 0.0:
        return 0.0
    z0 = y0 - observer.mean[0]
    z1 = y1 - observer.mean[1]
    z2 = y2 - observer.mean[2]
    squares = i00 * z0 * z0 + i11 * z1 * z1 + i22 * z2 * z2
    crossed = i01 * z0 * z1 + i02 * z0 * z2 + i12 * z1 * z2
    return float(max(0.0, (squares + 2.0 * crossed) / determinant))


@kernel
def _follow_turbulence(observer: Any, y0: float, y1: float, y2: float) -> None:
    """Judge this bar's (move, range, spread), in ATRs, by the bars before it; then take it into their moments."""
    mean, c = observer.mean, observer.covariance
    if observer.n_moments == 0:
        observer.turbulence = 0.0
        mean[0], mean[1], mean[2] = y0, y1, y2
    else:
        observer.turbulence = _distance(observer, y0, y1, y2)
        z0, z1, z2 = y0 - mean[0], y1 - mean[1], y2 - mean[2]
        mean[0] += ALPHA * z0
        mean[1] += ALPHA * z1
        mean[2] += ALPHA * z2
        keep = 1.0 - ALPHA
        c[0, 0] = keep * (c[0, 0] + ALPHA * z0 * z0)
        c[1, 1] = keep * (c[1, 1] + ALPHA * z1 * z1)
        c[2, 2] = keep * (c[2, 2] + ALPHA * z2 * z2)
        c[0, 1] = keep * (c[0, 1] + ALPHA * z0 * z1)
        c[0, 2] = keep * (c[0, 2] + ALPHA * z0 * z2)
        c[1, 2] = keep * (c[1, 2] + ALPHA * z1 * z2)
    observer.n_moments += 1


@kernel
def _write_moves(observer: Any, bar: Any, out: Any) -> None:
    """Write features 1 to 10: moves, the bar's own shape, distances from the averages."""
    at = observer.at
    closes, gaps = observer.closes, observer.slow_gaps
    close = bar.close
    per_atr = observer.atr_before
    out[0] = _clip(_ratio(close - closes[(at - 1) & MASK], per_atr))
    out[1] = _clip(_ratio(close - closes[(at - 4) & MASK], per_atr * 2.0))
    out[2] = _clip(_ratio(close - closes[(at - 12) & MASK], per_atr * math.sqrt(12.0)))
    out[3] = _clip(_ratio(close - closes[(at - 24) & MASK], per_atr * math.sqrt(24.0)))
    out[4] = _clip(_ratio(close - closes[(at - 96) & MASK], per_atr * math.sqrt(96.0)))
    out[5] = _clip(_ratio(close - bar.open, per_atr))
    out[6] = _clip(_ratio((close - bar.low) - (bar.high - close), bar.high - bar.low))
    out[7] = _clip(_ratio(observer.fast_gap, per_atr))
    out[8] = _clip(_ratio(gaps[at], per_atr))
    earlier = (at - 12) & MASK
    out[9] = _clip(_ratio((close - closes[earlier]) - (gaps[at] - gaps[earlier]), per_atr))


@kernel
def _write_places(observer: Any, out: Any) -> None:
    """Write features 11 to 13: place in the bands and the channel, RSI."""
    at = observer.at
    closes = observer.closes
    close = closes[at]
    total = 0.0
    squares = 0.0
    for k in range(1, 20):
        apart = closes[(at - k) & MASK] - close
        total += apart
        squares += apart * apart
    mean = total / 20.0
    variance = squares / 20.0 - mean * mean
    out[10] = _clip(-mean / math.sqrt(variance)) if variance > 1e-12 * squares else 0.0
    top = observer.highs[at]
    bottom = observer.lows[at]
    for k in range(1, 48):
        row = (at - k) & MASK
        top = max(top, observer.highs[row])
        bottom = min(bottom, observer.lows[row])
    out[11] = _clip(_ratio((close - bottom) - (top - close), top - bottom))
    out[12] = _clip(_ratio(observer.up - observer.down, observer.up + observer.down))


@kernel
def _write_ratios(params: Any, observer: Any, bar: Any, out: Any) -> None:
    """Write features 14 to 19: efficiency, range, ratios of volatility, spread, turbulence; and annual volatility."""
    at = observer.at
    closes = observer.closes
    close = closes[at]
    moved_12 = moved_48 = moved_96 = squares = 0.0
    later = close
    for k in range(1, 97):
        earlier = closes[(at - k) & MASK]
        moved = abs(later - earlier)
        moved_96 += moved
        squares += moved * moved
        if k == 12:
            moved_12 = moved_96
        elif k == 48:
            moved_48 = moved_96
        later = earlier
    per_atr = observer.atr_before
    out[13] = _clip(_ratio(close - closes[(at - 48) & MASK], moved_48))
    out[14] = _clip(_ratio(bar.high - bar.low, per_atr) - 1.0)
    out[15] = _clip(_ratio(observer.atr.value, observer.slow_atr.value) - 1.0)
    out[16] = _clip(_ratio(moved_12 * 8.0, moved_96) - 1.0)
    out[17] = _clip(_ratio(observer.spread, per_atr))
    out[18] = _clip(observer.turbulence / 3.0)
    observer.volatility = math.sqrt(squares / 96.0 * params.bars_per_year) / close


@kernel
def _write_times(params: Any, bar: Any, clock: Any, out: Any) -> None:
    """Write features 20 to 24: place in the FX day, sessions."""
    quarter = (bar.open_ns - clock.fx_day_start_ns) // QUARTER_NS
    row = min(max(quarter, 0), N_QUARTERS - 1)
    out[19] = params.day_table[row, 0]
    out[20] = params.day_table[row, 1]
    for slot in range(3):
        session = clock.sessions[slot]
        is_open = session.is_valid and session.start_ns <= bar.open_ns and bar.open_ns < session.end_ns
        out[21 + slot] = 1.0 if is_open else 0.0


@kernel
def observe_market(params: Any, observer: Any, bar: Any, view: Any) -> bool:
    """Take one closed bar into the observer and write the 24 market features of it.

    Args:
        params: Record with the fields of `layout.PARAMS`; hygiene, atr, slow_atr, bars_per_year, day_table are read.
        observer: OBSERVER. `features` (24, float32, raw), `atr.value`, `atr_before`, `turbulence`, `volatility` and
            `spread` are its output; `hygiene.bar` is the bar to go on with, prices on the tick grid.
        bar: BAR as received.
        view: VIEW; clock, tick and last_spread are read.

    Returns:
        False when the bar contradicts itself and must be ignored; nothing has changed then.
    """
    if not hygiene.check(params.hygiene, observer.hygiene, bar, view.clock, view.tick, observer.events):
        return False
    seen = observer.hygiene.bar
    is_weekend = observer.hygiene.is_weekend
    volatility.update(params.atr, observer.atr, seen, is_weekend)
    volatility.update(params.slow_atr, observer.slow_atr, seen, is_weekend)
    move = _follow_prices(observer, seen)
    observer.spread = view.last_spread
    observer.atr_before = observer.atr.before
    per_atr = observer.atr_before
    if per_atr > 0.0:
        _follow_turbulence(observer, move / per_atr, (seen.high - seen.low) / per_atr, observer.spread / per_atr)
    if observer.n >= FIRST:
        out = observer.features
        _write_moves(observer, seen, out)
        _write_places(observer, out)
        _write_ratios(params, observer, seen, out)
        _write_times(params, seen, view.clock, out)
    return True
