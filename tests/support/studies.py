"""Small studies: a strategy of a few lines on generated hours, played in milliseconds."""

from contextlib import contextmanager

import numpy as np

from tests.unit.core.strategy.plugins import installed
from tradesentry.backtest.executor import new_runner
from tradesentry.backtest.sweep import SweepPlan, run_sweep
from tradesentry.backtest.walk_forward import WalkForwardPlan, run_walk_forward
from tradesentry.core.domain.records import BAR

TINY = "tests.unit.core.strategy.tiny_strategies:TinyStrategy"
GRID = {"every_bars": [2, 4, 6, 8], "hold_bars": [3, 6], "stop_pips": [10.0, 30.0]}
CONFIG = {"symbols": ["EURUSD"], "timeframe": "H1"}
FREE = {"costs": "free", "cost_scale": 0.0, "limits": "off"}
HALF_YEAR = {"from_": "2022-01-03", "to": "2022-07-01"}
FOLDS = {"train": "8w", "test": "4w", "embargo": "1d"}


@contextmanager
def tiny_strategy(folder):
    """Make the strategy `tiny` known while the block runs."""
    with installed(folder / "plugin", {"tiny": TINY}):
        yield


def sweep_plan(*, source="synthetic:random_walk:3", settings=None, config=None, **more):
    """Return the plan of a sweep of tiny over half a year without costs."""
    values = {"source": source} | FREE | HALF_YEAR | (settings or {})
    return SweepPlan(**({"app": "tiny", "config": CONFIG | (config or {}), "settings": values, "space": GRID} | more))


def walk_plan(*, source="synthetic:random_walk:3", settings=None, config=None, **more):
    """Return the plan of a walk-forward of tiny over half a year without costs, two months to train and one to test."""
    values = {"source": source} | FREE | HALF_YEAR | (settings or {})
    plain = {
        "app": "tiny", "config": CONFIG | (config or {}), "settings": values, "space": GRID, "folds": FOLDS,
        "min_trades": 10, "top": 2,
    }  # fmt: skip
    return WalkForwardPlan(**(plain | more))


def sweep(plan, runs, *, study="study", executor="local", workers=2, **more):
    """Return the result of a sweep."""
    with new_runner(executor, workers=workers) as runner:
        return run_sweep(plan, runner=runner, runs=runs, study_id=study, **more)


def walk(plan, runs, *, study="study", executor="local", workers=2, **more):
    """Return the result of a walk-forward."""
    with new_runner(executor, workers=workers) as runner:
        return run_walk_forward(plan, runner=runner, runs=runs, study_id=study, **more)


def bits(outcome):
    """Return an outcome as bytes."""
    return outcome.figures.tobytes(), outcome.trades.tobytes(), outcome.equity.tobytes()


def empty_bars(opens, *, minutes=15):
    """Return bars that open at given instants and stand still."""
    bars = np.zeros(len(opens), BAR)
    bars["open_ns"] = opens
    bars["close_ns"] = bars["open_ns"] + minutes * 60_000_000_000
    for name in ("open", "high", "low", "close"):
        bars[name] = 1.1
    return bars
