"""Learn the next move from the observation by regression: what an agent that learns by reward must beat.

Ridge regression and gradient boosting see the same observation and the same slices as the agents: fitted on the train
slice, horizon and caution chosen on validation by the engine's own net result, played once on the test window. A label
is the move over the horizon in ATRs; none looks beyond the piece it begins in, so nothing of later slices is learned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.baselines import average_range

FloatArray = npt.NDArray[np.float64]

HORIZONS: Final = (1, 4, 12, 48)
"""Bars ahead, tried on validation."""
CAUTIONS: Final = (0.5, 1.0, 2.0)
"""Deviations of the prediction that make a full position, tried on validation."""
RIDGE: Final = 1e-2
"""Penalty, as a share of the number of samples; inputs have variance 1."""
CLIP: Final = 10.0
"""Labels beyond it, in ATRs, count as that."""
LEAST_SAMPLES: Final = 200
BOOSTING: Final = {
    "max_iter": 100, "learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": 200, "l2_regularization": 1.0,
    "early_stopping": False, "random_state": 0,
}  # fmt: skip


class Regression(Protocol):
    """Something that predicts a move from observations."""

    def predict(self, seen: FloatArray) -> FloatArray:
        """Return a prediction per row."""


Fitter = Callable[[FloatArray, FloatArray], Regression]


@dataclass(frozen=True, slots=True)
class Method:
    """One way of regression."""

    name: str
    label: str
    text: str
    fit: Fitter


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """A linear regression with a penalty."""

    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    offset: float

    def predict(self, seen: FloatArray) -> FloatArray:
        """Return a prediction per row."""
        found: FloatArray = ((seen - self.mean) / self.scale) @ self.weights + self.offset
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Bars to learn from: one market of one slice."""

    seen: FloatArray
    """Observation per bar, shape (n_bars, n_features)."""
    closes: FloatArray
    atr: FloatArray
    """nan before it is known."""
    pieces: tuple[tuple[int, int], ...]
    """First bar and end of every stretch that may be learned from."""

    def labels(self, horizon: int) -> FloatArray:
        """Return the move over a horizon in ATRs; nan where it leaves its piece or the ATR is unknown."""
        found = np.full(len(self.closes), np.nan)
        for begin, end in self.pieces:
            last = max(begin, end - horizon)
            moves = self.closes[begin + horizon : last + horizon] - self.closes[begin:last]
            found[begin:last] = np.clip(moves / self.atr[begin:last], -CLIP, CLIP)
        found[~np.isfinite(found)] = np.nan
        return found


def new_lesson(bars: Any, seen: FloatArray, windows: Sequence[Any]) -> Lesson:
    """Return what may be learned from a market.

    Args:
        bars: BAR array of a slice, bars to warm up on included.
        seen: Observation per bar.
        windows: Parts of the slice to learn from (`stage.Window`); a bar belongs to the one that it opens in.
    """
    ends = [np.searchsorted(bars["open_ns"], window.bounds) for window in windows]
    closes = np.ascontiguousarray(bars["close"])
    return Lesson(seen, closes, average_range(bars), tuple((int(begin), int(end)) for begin, end in ends))


def fit_ridge(seen: FloatArray, moves: FloatArray) -> Regression:
    """Return the ridge regression of moves on observations, inputs brought to variance 1.

    Args:
        seen: Shape (n, n_features).
        moves: Shape (n,).

    Source: Hoerl & Kennard (1970), Technometrics 12(1).
    """
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    x = (seen - mean) / scale
    offset = float(moves.mean())
    gram = x.T @ x + RIDGE * len(x) * np.eye(x.shape[1])
    return Ridge(mean, scale, np.linalg.solve(gram, x.T @ (moves - offset)), offset)


def fit_boosting(seen: FloatArray, moves: FloatArray) -> Regression:
    """Return gradient-boosted trees of moves on observations.

    Args:
        seen: Shape (n, n_features).
        moves: Shape (n,).

    Raises:
        ImportError: scikit-learn is not installed.

    Source: Friedman (2001), Annals of Statistics 29(5); histograms as in Ke et al. (2017), NeurIPS 30.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    # Its threads wait for one another by spinning, which is ruinous where processors are shared.
    with threadpool_limits(limits=1):
        model = HistGradientBoostingRegressor(**BOOSTING).fit(seen, moves)
    return OneThread(model)


@dataclass(frozen=True, slots=True, eq=False)
class OneThread:
    """A regression of a library, asked on one thread."""

    model: Any

    def predict(self, seen: FloatArray) -> FloatArray:
        """Return a prediction per row."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1):
            return np.asarray(self.model.predict(seen), np.float64)


METHODS: Final = (
    Method("ridge", "Ridge regression", "A linear forecast of the next move from the same observation.", fit_ridge),
    Method(
        "boosting",
        "Gradient boosting",
        "Trees that forecast the next move from the same observation.",
        fit_boosting,
    ),
)


@dataclass(frozen=True, slots=True)
class Forecaster:
    """A regression with the way its predictions become wishes."""

    model: Regression
    horizon: int
    deviation: float
    """Of its predictions on the train slice."""
    caution: float

    def wishes(self, seen: FloatArray) -> FloatArray:
        """Return a wish per bar, -1 to 1: the prediction over `caution` deviations."""
        return wishes_of(self.model.predict(seen), self.deviation, self.caution)


def wishes_of(predicted: FloatArray, deviation: float, caution: float) -> FloatArray:
    """Return predictions as wishes: a full position from `caution` deviations on."""
    scale = caution * deviation
    return np.clip(predicted / scale, -1.0, 1.0) if scale > 0 else np.zeros(len(predicted))


def choose_forecaster(
    fit: Fitter, lessons: Sequence[Lesson], judge: Callable[[Callable[[FloatArray], FloatArray]], float]
) -> Forecaster | None:
    """Return the forecaster that does best on validation; None with too few samples.

    Args:
        fit: Way of regression.
        lessons: What may be learned from, all markets pooled.
        judge: (observation → wishes) → score on validation, higher is better; the first of equals is kept.
    """
    best: tuple[float, Forecaster] | None = None
    for horizon in HORIZONS:
        labels = [lesson.labels(horizon) for lesson in lessons]
        known = [np.isfinite(own) for own in labels]
        seen = np.concatenate([lesson.seen[rows] for lesson, rows in zip(lessons, known, strict=True)])
        moves = np.concatenate([own[rows] for own, rows in zip(labels, known, strict=True)])
        if len(moves) < LEAST_SAMPLES:
            continue
        model = fit(seen, moves)
        deviation = float(np.std(model.predict(seen)))
        for caution in CAUTIONS:
            found = Forecaster(model, horizon, deviation, caution)
            score = judge(found.wishes)
            if best is None or score > best[0]:
                best = score, found
    return None if best is None else best[1]
