"""Rank a signal among others: z(contraction) + z(rvol) - 2 z(spread/stop) + trend agreement.

z compares a value with the last 60 of the same symbol, session and mode, the value itself not among them: 0 until 10
exist, when they do not vary, and for a filter that is off. Contraction is minus width / ATR_D.
"""

import math
from typing import Any, Final

from tradesentry.apps.breakout.layout import BANDS_SLOT, N_SCORES
from tradesentry.core.utils.kernel import kernel

MIN_SCORES: Final = 10


@kernel
def z_score(ring: Any, value: float) -> float:
    """Return (value - mean) / sample deviation of the ring's values."""
    n = ring.n
    if n < MIN_SCORES:
        return 0.0
    mean = 0.0
    for i in range(n):
        mean += ring.values[i]
    mean /= n
    total = 0.0
    for i in range(n):
        total += (ring.values[i] - mean) ** 2
    deviation = math.sqrt(total / (n - 1))
    # Equal values leave rounding dust, not a deviation.
    if not deviation > 1e-12 * abs(mean):
        return 0.0
    return float((value - mean) / deviation)


@kernel
def rate(ring: Any, value: float) -> float:
    """Return the z of a value among earlier ones, then keep it among them; 0 for a value that is not known."""
    if not math.isfinite(value):
        return 0.0
    z = z_score(ring, value)
    ring.values[ring.position] = value
    ring.position = ring.position + 1 if ring.position + 1 < N_SCORES else 0
    ring.n = min(ring.n + 1, N_SCORES)
    return float(z)


@kernel
def rate_range(slot: Any) -> None:
    """Rate width and volume of a range that has just been measured, once a session."""
    slot.is_measured = True
    slot.z_contraction = rate(slot.contraction, -slot.range.width_ratio)
    slot.z_rvol = rate(slot.volume, slot.range.rvol)


@kernel
def standing(params: Any, state: Any, index: int) -> float:
    """Return the part of a slot's score that its range alone gives, before there is a signal."""
    slot = state.slots[index]
    total = 0.0
    if index == BANDS_SLOT or not (math.isnan(params.w_lo) and math.isnan(params.w_hi)):
        total += slot.z_contraction
    if not math.isnan(params.rvol_min):
        total += slot.z_rvol
    return total


@kernel
def score(params: Any, state: Any, index: int, side: int, cost: float) -> float:
    """Return the score of a signal; the first cost of a session is kept among earlier ones.

    Args:
        params: Parameters of breakout.
        state: STATE.
        index: Slot.
        side: +1 or -1.
        cost: Spread / stop distance.
    """
    slot = state.slots[index]
    if not slot.is_costed:
        slot.is_costed = True
        slot.z_cost = rate(slot.cost, cost)
    total = standing(params, state, index)
    if not math.isnan(params.spread_frac):
        total -= 2.0 * slot.z_cost
    return float(total + side * state.trend.trend)
