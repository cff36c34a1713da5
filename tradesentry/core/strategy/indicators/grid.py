"""Grid arithmetic: where levels lie, how much each may hold, what the basket costs, where it breaks even.

A grid has zero expectation before costs on a martingale, whatever its spacing, weights or resets; so it is bounded from
the other end. The unit comes from the loss at the hard stop with every level filled, never from the first level, and no
weights or number of levels change that loss. Weights grow by a ratio of at most 1.3, because growth only moves the loss
later and into one level; a martingale is not offered.

Plain functions of prices and numbers, used by every strategy that scales in and by `grid_basket`, which rests levels as
orders. `side` is +1 for a buy grid below price and -1 for a sell grid above it; levels run from the shallowest to the
deepest. `zone_levels`, `atr_levels` and `bounded_unit` are the same for Python callers: they check, and raise.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradesentry.core.domain.errors import UsageError
from tradesentry.core.utils.kernel import kernel

N_LEVELS: Final = 16
"""Most levels of one grid."""
EQUAL: Final = 0
LINEAR: Final = 1
GEOMETRIC: Final = 2
MAX_RATIO: Final = 1.3
"""Largest ratio of geometric weights."""
MIN_STEP_SPREADS: Final = 4.0
MIN_TARGET_SPREADS: Final = 5.0

_DUST: Final = 1e-9
_EXACT: Final = 1.0 + 1e-12


@kernel
def place_in_zone(distal: float, proximal: float, n: int, out: Any) -> None:
    """Write n equal steps from `proximal` to `distal` inclusive into `out`; one level lies in the middle."""
    if n == 1:
        out[0] = 0.5 * (distal + proximal)
        return
    for i in range(n):
        out[i] = distal if i == n - 1 else proximal + (distal - proximal) * i / (n - 1)


@kernel
def place_by_step(mid: float, side: int, step: float, n: int, out: Any) -> None:
    """Write `mid - side * i * step` for i = 1..n into `out`."""
    for i in range(n):
        out[i] = mid - side * (i + 1) * step


@kernel
def atr_step(multiple: float, atr_before: float, min_step: float, spread: float) -> float:
    """Return the step of an ATR-anchored grid: `multiple` x ATR_{t-1}, at least `min_step` and four spreads.

    The caller freezes it, with the distances of stop and target, while any level is filled.
    """
    return float(max(multiple * atr_before, min_step, MIN_STEP_SPREADS * spread))


@kernel
def target_distance(multiple: float, atr: float, spread: float) -> float:
    """Return how far beyond the average a basket's target lies: `multiple` x ATR, at least five spreads."""
    return float(max(multiple * atr, MIN_TARGET_SPREADS * spread))


@kernel
def fill_weights(kind: int, ratio: float, n: int, out: Any) -> None:
    """Write the weights of n levels, shallowest first: EQUAL, LINEAR 1..n, or GEOMETRIC with `ratio`, at most 1.3."""
    weight = 1.0
    growth = min(ratio, MAX_RATIO)
    for i in range(n):
        if kind == LINEAR:
            out[i] = i + 1.0
        else:
            out[i] = weight
            if kind == GEOMETRIC:
                weight *= growth


@kernel
def worst_case(levels: Any, units: Any, n: int, stop: float, side: int, pv: float, slip: float) -> float:
    """Return the loss with all n levels filled and stopped: pv x sum units ((level - stop) side + slip).

    Args:
        levels: Entry prices.
        units: Units of each, or weights: then this is the loss of a unit of 1.
        n: How many of them.
        stop: Hard stop of the basket.
        side: +1 or -1.
        pv: Account money per unit for a price move of 1.
        slip: Slippage of the stop, price units >= 0.
    """
    loss = 0.0
    for i in range(n):
        loss += units[i] * ((levels[i] - stop) * side + slip)
    return pv * loss


@kernel
def unit_within_risk(
    levels: Any, weights: Any, n: int, stop: float, side: int, equity: float, risk: float, pv: float, slip: float
) -> float:
    """Return the unit u with which all levels filled and stopped lose `risk` x `equity`; level i holds u x weight i.

    Arguments as in `bounded_unit`, with the number of levels.

    Returns:
        Units of the instrument; 0 when the stop does not lie beyond the deepest level or a number is not positive.
    """
    if n < 1 or not (levels[n - 1] - stop) * side > 0.0 or not (pv > 0.0 and risk > 0.0 and equity > 0.0):
        return 0.0
    loss = worst_case(levels, weights, n, stop, side, pv, slip)
    return risk * equity / loss if loss > 0.0 else 0.0


@kernel
def _round_units(unit: float, weights: Any, n: int, unit_step: float, unit_min: float, dust: float, out: Any) -> bool:
    """Write `unit` x weights rounded down to `unit_step`; return whether every level is large enough to trade."""
    least = np.inf
    for i in range(n):
        out[i] = math.floor(unit * weights[i] / unit_step + dust) * unit_step
        least = min(least, out[i])
    return bool(least > 0.0 and least >= unit_min)


@kernel
def size_levels(
    levels: Any, weights: Any, n: int, stop: float, side: int, equity: float, risk: float, pv: float, slip: float,
    unit_step: float, unit_min: float, out: Any,
) -> int:  # fmt: skip
    """Write the units of each level, rounded down; leave out the deepest levels while one would be too small to trade.

    Args:
        levels: Entry prices, shallowest first.
        weights: Weight of each.
        n: How many are wanted.
        stop: Hard stop, beyond the deepest.
        side: +1 or -1.
        equity: Account money.
        risk: Fraction of it that the whole grid may lose.
        pv: Account money per unit for a price move of 1.
        slip: Slippage of the stop, price units.
        unit_step: Step of order sizes, units.
        unit_min: Smallest order, units.
        out: Units by level.

    Returns:
        The levels used, 0 when not even one is large enough. Their worst case never exceeds `risk` x `equity`.
    """
    while n > 0:
        unit = unit_within_risk(levels, weights, n, stop, side, equity, risk, pv, slip)
        is_enough = _round_units(unit, weights, n, unit_step, unit_min, _DUST, out)
        if worst_case(levels, out, n, stop, side, pv, slip) > risk * equity * _EXACT:
            is_enough = _round_units(unit, weights, n, unit_step, unit_min, 0.0, out)
        if is_enough:
            return n
        n -= 1
    return 0


@kernel
def average_price(prices: Any, units: Any, n: int) -> float:
    """Return the average of the first n levels, weighted by their units."""
    cost = 0.0
    total = 0.0
    for i in range(n):
        cost += prices[i] * units[i]
        total += units[i]
    return cost / total


@kernel
def break_even(average: float, side: int, commission: float, swap: float, pv: float, units: float) -> float:
    """Return the price at which a basket has earned its costs back.

    The spread is in it already: entries fill at the ask and exits at the bid.

    Args:
        average: Average price of the basket.
        side: +1 or -1.
        commission: Commissions both ways, account money >= 0.
        swap: Swap accrued, account money, positive when paid.
        pv: Account money per unit for a price move of 1.
        units: All units of the basket.
    """
    return average + side * (commission + swap) / (pv * units)


@kernel
def target_price(
    average: float, side: int, distance: float, commission: float, swap: float, pv: float, units: float
) -> float:
    """Return the price at which a basket has earned `distance` per unit after costs; arguments as `break_even`."""
    return break_even(average, side, commission, swap, pv, units) + side * distance


def _require(is_met: bool, message: str) -> None:
    if not is_met:
        raise UsageError(message, code="grid")


def zone_levels(distal: float, proximal: float, n: int) -> NDArray[np.float64]:
    """Return n levels in equal steps over a zone, shallowest first; a single one lies in its middle.

    Args:
        distal: Far edge of the zone, the deepest level.
        proximal: Near edge, the shallowest.
        n: How many, 1 to N_LEVELS.

    Raises:
        UsageError: n is out of bounds, or an edge is not finite.
    """
    _require(1 <= n <= N_LEVELS, f"A grid of {n} levels was asked for. Use 1 to {N_LEVELS}.")
    _require(
        math.isfinite(distal) and math.isfinite(proximal),
        f"The zone runs from {proximal} to {distal}. Both edges must be prices.",
    )
    out = np.empty(n)
    place_in_zone(distal, proximal, n, out)
    return out


def atr_levels(mid: float, side: int, step: float, n: int) -> NDArray[np.float64]:
    """Return n levels `mid - side * i * step`, i = 1..n.

    Args:
        mid: Anchor M.
        side: +1 for a buy grid below it, -1 for a sell grid above it.
        step: Distance of neighbors, price units > 0 (`atr_step`).
        n: How many, 1 to N_LEVELS.

    Raises:
        UsageError: An argument is out of bounds.
    """
    _require(1 <= n <= N_LEVELS, f"A grid of {n} levels was asked for. Use 1 to {N_LEVELS}.")
    _require(side in (1, -1), f"The side of a grid is {side}. Use 1 to buy below price, -1 to sell above it.")
    _require(0.0 < step < math.inf, f"The step between levels is {step}. It must be a positive distance.")
    out = np.empty(n)
    place_by_step(mid, side, step, n, out)
    return out


def check_levels(levels: Sequence[float] | NDArray[np.float64], stop: float, side: int) -> None:
    """Refuse levels that do not run from shallow to deep, or whose stop does not lie beyond the deepest.

    Raises:
        UsageError: See above.
    """
    _require(side in (1, -1), f"The side of a grid is {side}. Use 1 to buy below price, -1 to sell above it.")
    _require(
        1 <= len(levels) <= N_LEVELS and all(math.isfinite(level) for level in levels),
        f"A grid has 1 to {N_LEVELS} levels that are prices; these are {[float(level) for level in levels]}.",
    )
    word = "fall" if side > 0 else "rise"
    _require(
        all((a - b) * side > 0 for a, b in pairwise(levels)),
        f"Levels {[float(level) for level in levels]} of a grid with side {side} must {word}: shallowest first.",
    )
    _require(
        (levels[-1] - stop) * side > 0,
        f"The stop {stop} does not lie beyond the deepest level {levels[-1]} of a grid with side {side}. "
        f"Move it {'below' if side > 0 else 'above'} that level.",
    )


def bounded_unit(
    levels: ArrayLike, weights: ArrayLike, stop: float, side: int, equity: float, risk: float, pv: float, slip: float
) -> float:
    """Return the unit u = risk x equity / (pv x sum w_i ((p_i - stop) side + slip)).

    With u w_i units at level i, all levels filled and stopped lose `risk` x `equity`, whatever levels and weights are.

    Args:
        levels: Prices p_i, shallowest first.
        weights: Weights w_i > 0.
        stop: Hard stop, beyond the deepest level.
        side: +1 for a buy grid, -1 for a sell grid.
        equity: Account money.
        risk: Fraction of it that the whole grid may lose, 0..1.
        pv: Account money per unit for a price move of 1.
        slip: Slippage of the stop, price units >= 0.

    Raises:
        UsageError: The stop does not lie beyond the deepest level, or another argument is impossible.
    """
    prices, shares = np.asarray(levels, np.float64), np.asarray(weights, np.float64)
    check_levels(prices, stop, side)
    _require(
        shares.shape == prices.shape and bool((shares > 0).all()),
        f"{len(prices)} levels have the weights {shares.tolist()}. Give one positive weight for each.",
    )
    numbers = {"equity": equity, "risk": risk, "pv": pv}
    for name, number in numbers.items():
        _require(0.0 < number < math.inf, f"`{name}` is {number}. It must be positive.")
    _require(0.0 <= slip < math.inf, f"`slip` is {slip}. It must be a distance of 0 or more.")
    return float(unit_within_risk(prices, shares, len(prices), stop, side, equity, risk, pv, slip))
