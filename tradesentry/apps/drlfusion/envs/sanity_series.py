"""Generated prices whose best use is known, with what an agent is shown of them.

Each task plants exactly one thing into the price, or nothing, so that a score says what went wrong: an agent that fails
`leak` cannot learn at all, one that fails `mean_reverting` learns without regard to costs, one that earns on `shuffled`
sees the future. Prices are sums of moves; bars open at the close before, without a spread. What is shown is odd: on the
mirrored price every column changes its sign. Everything is in standard deviations of one bar.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.envs.sanity_optimum import (
    MeanRevertingOptimum,
    best_levels,
    earned,
    mean_reverting_optimum,
)

Floats = npt.NDArray[np.float64]
TaskName = Literal["leak", "sine", "mean_reverting", "shuffled", "random_walk"]

PHI: Final = 0.9
"""Share of a deviation of the mean-reverting price that is left after one bar."""
DEVIATION: Final = 1.0 / math.sqrt(2.0 * (1.0 - PHI))
"""Standard deviation of the mean-reverting price when one bar moves it by 1."""
PERIOD: Final = 32
NOISE: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class SanitySeries:
    """One path: what each bar moves and what is shown at its close."""

    moves: Floats
    """Change of the price on each bar, shape (n_bars,)."""
    columns: Floats
    """Shown at the close of each bar, shape (n_bars, n_columns)."""
    expected: Floats
    """What the bar after each is expected to bring a full unit, knowing what is shown, shape (n_bars,)."""


def _leak(n_bars: int, rng: np.random.Generator) -> SanitySeries:
    moves = rng.normal(size=n_bars + 1)
    return SanitySeries(moves[:-1], moves[1:, None], moves[1:])


def _sine(n_bars: int, rng: np.random.Generator) -> SanitySeries:
    phase = 2.0 * math.pi * np.arange(n_bars + 1) / PERIOD + rng.uniform(0.0, 2.0 * math.pi)
    drift = np.sin(phase)
    moves = drift + NOISE * rng.normal(size=n_bars + 1)
    shown = np.column_stack([np.sin(phase[:-1]), np.cos(phase[:-1])])
    return SanitySeries(moves[:-1], shown, drift[1:])


def _mean_reverting(n_bars: int, rng: np.random.Generator) -> SanitySeries:
    noise = rng.normal(size=n_bars + 1) * math.sqrt(1.0 - PHI * PHI)
    noise[0] /= math.sqrt(1.0 - PHI * PHI)
    x = np.empty(n_bars + 1)
    level = 0.0
    for t, shock in enumerate(noise):
        level = PHI * level + shock
        x[t] = level
    return SanitySeries(np.diff(x) * DEVIATION, x[1:, None], (PHI - 1.0) * x[1:] * DEVIATION)


def _shuffled(n_bars: int, rng: np.random.Generator) -> SanitySeries:
    plain = _leak(n_bars, rng)
    return SanitySeries(plain.moves, rng.permutation(plain.columns), np.zeros(n_bars))


def _random_walk(n_bars: int, rng: np.random.Generator) -> SanitySeries:
    moves = rng.normal(size=n_bars + 11)
    shown = [moves[11:]]
    for n in (4, 12):
        shown.append(np.convolve(moves, np.full(n, 1.0 / math.sqrt(n)), mode="valid")[12 - n :])
    return SanitySeries(moves[11:], np.column_stack(shown), np.zeros(n_bars))


_MAKERS: Final[dict[str, Callable[[int, np.random.Generator], SanitySeries]]] = {
    "leak": _leak,
    "sine": _sine,
    "mean_reverting": _mean_reverting,
    "shuffled": _shuffled,
    "random_walk": _random_walk,
}


def sanity_series(name: TaskName, n_bars: int, seed: int) -> SanitySeries:
    """Return one path of a task.

    Args:
        name: Task.
        n_bars: Length.
        seed: Another seed is another path; training and scoring use different ones.
    """
    order = list(_MAKERS).index(name)
    return _MAKERS[name](n_bars, np.random.default_rng([seed, order]))


def optimal_levels(
    name: TaskName, series: SanitySeries, *, starts: npt.NDArray[np.int64], n: int, cost: float
) -> Floats:
    """Return the positions of the best rule on windows of a path, flat at the start of each.

    Args:
        name: Task.
        series: The path.
        starts: Bars at whose close the windows begin, shape (n_windows,).
        n: Bars of a window.
        cost: Of one unit of turnover, in standard deviations of one bar.

    Returns:
        Levels chosen at the close of bars start .. start + n - 1, shape (n, n_windows); 0 where nothing can be earned.
    """
    rows = starts[None, :] + np.arange(n)[:, None]
    if name == "mean_reverting":
        return best_mean_reversion(cost).levels(series.columns[rows, 0])
    return best_levels(series.expected[rows], cost)[0]


def best_mean_reversion(cost: float) -> MeanRevertingOptimum:
    """Return the best rule for the mean-reverting price; its gain is in deviations of that price.

    Args:
        cost: Of one unit of turnover, in standard deviations of one bar.
    """
    return mean_reverting_optimum(PHI, cost / DEVIATION)


def net_of(series: SanitySeries, levels: Floats, *, starts: npt.NDArray[np.int64], cost: float) -> Floats:
    """Return what positions earn on windows of a path.

    Args:
        series: The path.
        levels: As from `optimal_levels`, shape (n, n_windows).
        starts: As there.
        cost: As there.

    Returns:
        Net per window, standard deviations of one bar, shape (n_windows,).
    """
    rows = starts[None, :] + np.arange(1, len(levels) + 1)[:, None]
    return earned(levels, series.moves[rows], cost)
