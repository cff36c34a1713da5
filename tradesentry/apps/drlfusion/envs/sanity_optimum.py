"""The best that anybody could earn on the sanity tasks, exactly.

A learner that reaches 95 % of a number nobody knows proves nothing. Positions here are the five levels, a change of
position costs `cost` per unit of turnover, and what a bar is expected to bring is known, so both problems are solved to
the end: `best_levels` plans one path backwards (dynamic programming), `mean_reverting_optimum` finds the best rule for
a mean-reverting price by relative value iteration. All money is in standard deviations of one bar, per full unit.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.float64]

LEVELS: Final = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
"""Positions that may be held, in full units."""
N_POINTS: Final = 401
GRID_DEVIATIONS: Final = 5.0
"""Half-width of the grid of a mean-reverting price, in its own standard deviations."""
TOLERANCE: Final = 1e-10
MAX_SWEEPS: Final = 20_000


def switching_costs(cost: float) -> Floats:
    """Return what it costs to go from level i to level j, shape (5, 5)."""
    costs: Floats = cost * np.abs(LEVELS[None, :] - LEVELS[:, None])
    return costs


def best_levels(expected: Floats, cost: float) -> tuple[Levels, Floats]:
    """Plan paths backwards from their ends; every path starts flat and owes nothing for what it holds at the end.

    Args:
        expected: What a full unit is expected to bring on each bar, shape (n_bars, n_paths); entry t belongs to the
            position chosen before bar t.
        cost: Of one unit of turnover.

    Returns:
        The best level on each bar, shape (n_bars, n_paths), and the value of each path, shape (n_paths,).

    Source: Bellman (1957), Dynamic Programming, ch. III.
    """
    n_bars, n_paths = expected.shape
    moves = switching_costs(cost)
    value = np.zeros((len(LEVELS), n_paths))
    choices = np.empty((n_bars, len(LEVELS), n_paths), np.int8)
    for t in range(n_bars - 1, -1, -1):
        after = value + LEVELS[:, None] * expected[t]
        gains = after[None, :, :] - moves[:, :, None]
        choices[t] = gains.argmax(axis=1)
        value = gains.max(axis=1)
    held = np.full(n_paths, len(LEVELS) // 2)
    chosen = np.empty((n_bars, n_paths))
    for t in range(n_bars):
        held = choices[t, held, np.arange(n_paths)]
        chosen[t] = LEVELS[held]
    best: Floats = value[len(LEVELS) // 2]
    return chosen, best


def earned(levels: Levels, moves: Floats, cost: float) -> Floats:
    """Return the net of holding `levels` over the price moves of the same bars, flat before the first.

    Args:
        levels: Positions chosen before each bar, full units, shape (n_bars, n_paths).
        moves: What a full unit brought, same shape.
        cost: Of one unit of turnover.
    """
    before = np.vstack([np.zeros((1, levels.shape[1])), levels[:-1]])
    net: Floats = (levels * moves - cost * np.abs(levels - before)).sum(axis=0)
    return net


@dataclass(frozen=True, slots=True, eq=False)
class MeanRevertingOptimum:
    """The best rule for x(t+1) = phi x(t) + noise, x of standard deviation 1."""

    grid: Floats
    """Values of x, shape (n_points,)."""
    choices: npt.NDArray[np.int64]
    """Best level by (held level, point), indices into LEVELS."""
    gain: float
    """Mean net per bar, in standard deviations of x."""

    def levels(self, x: Floats) -> Levels:
        """Follow the rule along paths that start flat.

        Args:
            x: Known before each bar, shape (n_bars, n_paths).

        Returns:
            The level chosen at each, same shape.
        """
        step = self.grid[1] - self.grid[0]
        points = np.clip(np.rint((x - self.grid[0]) / step), 0, len(self.grid) - 1).astype(np.int64)
        held = np.full(x.shape[1], len(LEVELS) // 2)
        chosen = np.empty(x.shape)
        for t in range(len(x)):
            held = self.choices[held, points[t]]
            chosen[t] = LEVELS[held]
        return chosen


def _transition(grid: Floats, phi: float) -> Floats:
    """Return the probability of each point after each point, shape (n, n): the mass of the cell round it."""
    noise = math.sqrt(1.0 - phi * phi)
    edges = np.concatenate(([-np.inf], (grid[1:] + grid[:-1]) / 2, [np.inf]))
    z = (edges[None, :] - phi * grid[:, None]) / (noise * math.sqrt(2.0))
    below: Any = np.vectorize(math.erf, otypes=[float])(z)
    mass: Floats = np.diff(0.5 * (1.0 + below), axis=1)
    return mass


@cache
def mean_reverting_optimum(phi: float, cost: float) -> MeanRevertingOptimum:
    """Find the rule with the highest mean net per bar.

    Args:
        phi: Share of a deviation that is left after one bar, 0 < phi < 1.
        cost: Of one unit of turnover, in standard deviations of x.

    Returns:
        The rule and its gain.

    Source: White (1963), J. of Mathematical Analysis and Applications 6: relative value iteration for the average
        reward; Tauchen (1986), Economics Letters 20: the grid.
    """
    grid = np.linspace(-GRID_DEVIATIONS, GRID_DEVIATIONS, N_POINTS)
    after = _transition(grid, phi).T
    moves = switching_costs(cost)
    drift = LEVELS[:, None] * ((phi - 1.0) * grid)
    value = np.zeros((len(LEVELS), N_POINTS))
    flat, middle = len(LEVELS) // 2, N_POINTS // 2
    for _ in range(MAX_SWEEPS):
        gains = (drift + value @ after)[None, :, :] - moves[:, :, None]
        fresh = gains.max(axis=1)
        gain = fresh[flat, middle] - value[flat, middle]
        change = fresh - value
        value = fresh - fresh[flat, middle]
        if change.max() - change.min() < TOLERANCE:
            break
    return MeanRevertingOptimum(grid, gains.argmax(axis=1), float(gain))
