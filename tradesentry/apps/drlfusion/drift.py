"""Notice that a market, or what the agents make of it, is no longer what they were trained on; say what to do then.

Statistics over a window of decided bars against what the models carry from training; levels of warning and action; and
the memory that turns repeated findings into a stop. Nothing here reaches into a decision: the answer is an alert, or a
wish about the state of the run, which only a person sets back.

===============================================================  ==================  ==================
statistic                                                        warn                act
===============================================================  ==================  ==================
share of features whose population stability index is too high   PSI > 0.10 on 20 %  PSI > 0.25 on 20 %
share of observations outside the range of training              2 %                 10 %
divergence of the mean distribution of actions                   0.2                 0.5
CUSUM of cost and of turnover, standard deviations               4                   8
rolling net result below a percentile of the walk-forward        10th                5th
===============================================================  ==================  ==================
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from tradesentry.core.domain.errors import DataError

Floats = npt.NDArray[np.floating[Any]]
N_BINS: Final = 20
WINDOW_BARS: Final = 500
EVERY_BARS: Final = 24
RANGE: Final = (0.001, 0.999)
"""Quantiles of training between which an observation counts as known."""
LEAST_SHARE: Final = 1e-4
"""An empty bin counts as that, else its logarithm would be infinite."""
SLACK: Final = 0.5
"""CUSUM ignores deviations up to that many standard deviations."""
MANY_FEATURES: Final = 0.2


class Finding(IntEnum):
    """How far a statistic is from training."""

    FINE = 0
    WARN = 1
    ACT = 2


@dataclass(frozen=True, slots=True)
class Statistic:
    """One figure, and the two levels it is judged by."""

    name: str
    value: float
    """nan where it is not known yet."""
    warn: float
    act: float
    detail: str = ""

    @property
    def finding(self) -> Finding:
        """Return whether the figure is above a level; what is not known raises nothing."""
        if self.value > self.act:
            return Finding.ACT
        return Finding.WARN if self.value > self.warn else Finding.FINE


@dataclass(frozen=True, slots=True)
class Reference:
    """What a model carries from training."""

    edges: Floats
    """Edges of the bins by feature, shape (n, 21); the outer two are the 0.1 and 99.9 % quantiles."""
    share: Floats
    """Share of training in each bin, shape (n, 20)."""
    pi: Floats
    """Mean shares of the levels, shape (5,)."""


def _binned(values: Floats, edges: Floats) -> Floats:
    """Return the share of values in each bin; what lies outside counts to the outer ones."""
    place = np.searchsorted(edges[1:-1], values, side="right")
    return np.bincount(place, minlength=len(edges) - 1) / max(len(values), 1)


def reference_of(observations: Floats, pi: Floats) -> dict[str, npt.NDArray[np.float64]]:
    """Return the arrays `drift_edges`, `drift_share`, `drift_pi` of a model.

    Args:
        observations: Normalized observations of the training slice, shape (n, features).
        pi: Shares that the agent gave the levels on them, shape (n, 5).

    Raises:
        DataError: No observation.
    """
    if not len(observations):
        raise DataError("Drift needs observations of the training slice, and there are none. Give the whole slice.")
    values = np.asarray(observations, np.float64)
    inner = np.quantile(values, np.arange(1, N_BINS) / N_BINS, axis=0)
    outer = np.quantile(values, RANGE, axis=0)
    edges = np.concatenate([np.minimum(outer[:1], inner[:1]), inner, np.maximum(outer[1:], inner[-1:])]).T
    share = np.stack([_binned(values[:, i], edges[i]) for i in range(values.shape[1])])
    return {
        "drift_edges": np.ascontiguousarray(edges),
        "drift_share": share,
        "drift_pi": np.asarray(pi, np.float64).mean(axis=0),
    }


def stability_index(found: Floats, expected: Floats) -> float:
    """Return the population stability index of two histograms: sum of (q - e) ln(q / e); 0 when they are equal.

    Args:
        found: Shares by bin.
        expected: Shares by bin in training.
    """
    q, e = np.maximum(found, LEAST_SHARE), np.maximum(expected, LEAST_SHARE)
    return float(np.sum((q - e) * np.log(q / e)))


def divergence(found: Floats, expected: Floats) -> float:
    """Return the Kullback-Leibler divergence of a distribution from the expected one, nats."""
    q, e = np.maximum(found, LEAST_SHARE), np.maximum(expected, LEAST_SHARE)
    q, e = q / q.sum(), e / e.sum()
    return float(np.sum(q * np.log(q / e)))


def feature_statistics(observations: Floats, reference: Reference) -> tuple[Statistic, Statistic, Statistic]:
    """Return the two shares of unstable features (at the levels 0.10 and 0.25) and the share outside the range.

    Args:
        observations: Normalized observations of the window, shape (n, features).
        reference: Of training.
    """
    values = np.asarray(observations, np.float64)
    index = [
        stability_index(_binned(values[:, i], reference.edges[i]), reference.share[i]) for i in range(values.shape[1])
    ]
    shifted, moved = (float(np.mean(np.array(index) > level)) for level in (0.10, 0.25))
    is_outside = (values < reference.edges[:, 0]) | (values > reference.edges[:, -1])
    worst = f"largest index {max(index):.2f}, feature {int(np.argmax(index)) + 1}"
    return (
        Statistic("features_shifted", shifted, MANY_FEATURES, math.inf, worst),
        Statistic("features_moved", moved, MANY_FEATURES, MANY_FEATURES, worst),
        Statistic("outside_range", float(is_outside.mean()), 0.02, 0.10),
    )


def action_statistic(pi: Floats, reference: Reference) -> Statistic:
    """Return how far the mean distribution over levels is from training.

    Args:
        pi: Shares of the levels over the window, shape (n, 5).
        reference: Of training.
    """
    return Statistic("actions", divergence(np.asarray(pi, np.float64).mean(axis=0), reference.pi), 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Cusum:
    """Sum of deviations above what was expected, in standard deviations; small ones are let pass."""

    name: str
    mean: float
    deviation: float
    value: float = 0.0

    def after(self, figures: Sequence[float]) -> "Cusum":
        """Return the sum after further figures."""
        value = self.value
        for figure in figures:
            z = (figure - self.mean) / self.deviation if self.deviation > 0.0 else 0.0
            value = max(0.0, value + z - SLACK)
        return replace(self, value=value)

    def statistic(self) -> Statistic:
        """Return the sum as a statistic."""
        return Statistic(self.name, self.value, 4.0, 8.0, f"expected {self.mean:.4g}")


def result_statistic(net: float, *, tenth: float, fifth: float) -> Statistic:
    """Return how far the rolling net result is below the walk-forward's percentiles.

    Args:
        net: Net result of the window, in the unit of the percentiles.
        tenth: 10th percentile of windows of that length in the walk-forward's bootstrap.
        fifth: 5th percentile.

    Returns:
        A statistic that is above its levels where the result is below the percentile.
    """
    return Statistic("net_result", -net, -tenth, -fifth, f"net {net:.4g}, 10th percentile {tenth:.4g}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check came to."""

    finding: Finding
    statistics: tuple[Statistic, ...]
    desired_state: Literal["paused", "flatten"] | None
    """What the run should become: None as it is, `paused`, or `flatten` at the second acting check in a row."""

    @property
    def evidence(self) -> Mapping[str, Any]:
        """Return every figure with its levels, in JSON types; nan as None."""
        return {
            s.name: {
                "value": None if math.isnan(s.value) else round(s.value, 6),
                "warn": s.warn if math.isfinite(s.warn) else None,
                "act": s.act if math.isfinite(s.act) else None,
                "finding": s.finding.name.lower(),
                "detail": s.detail,
            }
            for s in self.statistics
        }

    @property
    def words(self) -> str:
        """Return what is wrong in one line; empty when nothing is."""
        odd = [s for s in self.statistics if s.finding is not Finding.FINE]
        return "; ".join(f"{s.name} {s.value:.3g} (warn {s.warn:.3g}, act {s.act:.3g})" for s in odd)


def judge(statistics: Sequence[Statistic], *, was_acting: bool) -> Verdict:
    """Return what a check came to.

    Args:
        statistics: All figures of the check.
        was_acting: Whether the check before came to ACT.
    """
    finding = max((s.finding for s in statistics), default=Finding.FINE)
    state: Literal["paused", "flatten"] | None = None
    if finding is Finding.ACT:
        state = "flatten" if was_acting else "paused"
    return Verdict(finding, tuple(statistics), state)


@dataclass(slots=True)
class DriftWatch:
    """The window of a run: takes one decided bar after the other and says when a check is due.

    Args:
        references: What the four models carry, in the order of the agents.
        window_bars: Bars that a check looks at.
        every_bars: Bars between two checks.
    """

    references: tuple[Reference, ...]
    window_bars: int = WINDOW_BARS
    every_bars: int = EVERY_BARS
    cusums: tuple[Cusum, ...] = ()
    _seen: list[Floats] = field(default_factory=list)
    _pi: list[Floats] = field(default_factory=list)
    _n_bars: int = 0
    _was_acting: bool = False

    def take(self, observation: Floats, pi: Floats, *, figures: Mapping[str, float] | None = None) -> Verdict | None:
        """Take one decided bar; return a verdict when a check is due.

        Args:
            observation: Normalized observation, shape (features,).
            pi: Shares of the levels by agent, shape (agents, 5).
            figures: Further figures of this bar by the name of a CUSUM: cost, turnover.
        """
        self._seen.append(np.array(observation, np.float64))
        self._pi.append(np.array(pi, np.float64))
        del self._seen[: -self.window_bars], self._pi[: -self.window_bars]
        known = figures or {}
        self.cusums = tuple(c.after([known[c.name]]) if c.name in known else c for c in self.cusums)
        self._n_bars += 1
        if len(self._seen) < self.window_bars or self._n_bars % self.every_bars:
            return None
        return self.check()

    def check(self, further: Sequence[Statistic] = ()) -> Verdict:
        """Judge the window as it is.

        Args:
            further: Statistics computed elsewhere, such as `result_statistic`.
        """
        seen, pi = np.stack(self._seen), np.stack(self._pi)
        found: list[Statistic] = list(feature_statistics(seen, self.references[0]))
        for agent, reference in enumerate(self.references):
            found.append(replace(action_statistic(pi[:, agent], reference), name=f"actions_{agent}"))
        verdict = judge([*found, *(c.statistic() for c in self.cusums), *further], was_acting=self._was_acting)
        self._was_acting = verdict.finding is Finding.ACT
        return verdict
