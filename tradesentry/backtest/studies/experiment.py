"""The declared study of an app: what is varied, on which markets, against which baselines; and where to find it.

An app says what is special about its experiments as data; sweep and walk-forward read it. An app without one gets the
defaults. The app's module is found by name, so that this layer imports no app.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import product
from math import prod
from typing import Any

from tradesentry.core.strategy.strategy_registry import strategy

PLACES = ("{package}.backtest_runner", "{package}.backtest.backtest_runner")
"""Modules of an app that may hold `EXPERIMENT`."""
HOOKS = ("{package}.walk_forward", "{package}.backtest.walk_forward")
"""Modules of an app that may hold `fit`."""
Fit = Callable[[Any, Any, int], Any]
"""`fit(train, validation, seed)`, which replaces the search per fold: `studies.walks.FitHook` says what it must do."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One declared study."""

    symbols: tuple[str, ...]
    grid: Mapping[str, tuple[Any, ...]]
    """The product of variants: values by dotted key."""
    screen_symbols: tuple[str, ...] = ()
    """Variants that lose before costs on these are not run on the others."""
    timeframe: str = "M15"
    source: str = "synthetic"
    cost_levels: tuple[float, ...] = (0.0, 1.0, 2.0)
    baselines: tuple[str, ...] = ()
    search: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """What an optimizer may move: choices, or (low, high) of a number."""
    max_trials: int = 200
    """Trials of the optimizer per walk-forward step."""
    from_: str | None = None
    to: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    """What all variants share."""

    @property
    def n_variants(self) -> int:
        """Return the size of the declared product."""
        return prod(len(values) for values in self.grid.values())

    def variants(self) -> Iterator[dict[str, Any]]:
        """Yield the configuration values of every variant, in the order of the product."""
        for values in product(*self.grid.values()):
            yield dict(self.config) | dict(zip(self.grid, values, strict=True))


def experiment_of(name: str) -> Experiment | None:
    """Return the declared study of a strategy, None when it declares none.

    Args:
        name: Strategy.
    """
    found = _attribute(name, PLACES, "EXPERIMENT")
    return found if isinstance(found, Experiment) else None


def fit_of(name: str) -> Fit | None:
    """Return the `fit(train, validation, seed)` hook of a strategy, None when it searches instead."""
    found: Fit | None = _attribute(name, HOOKS, "fit")
    return found


def folds_of(name: str) -> Any:
    """Return the `FOLDS` that a strategy's walk-forward declares, a `studies.folds.FoldPlan`; None without them."""
    return _attribute(name, HOOKS, "FOLDS")


def _attribute(name: str, places: tuple[str, ...], attribute: str) -> Any:
    package = strategy(name).__module__.rpartition(".")[0]
    for place in places:
        module = place.format(package=package)
        try:
            is_there = bool(package) and find_spec(module) is not None
        except ModuleNotFoundError:
            is_there = False
        if is_there:
            found = getattr(importlib.import_module(module), attribute, None)
            if found is not None:
                return found
    return None
