"""How many environment steps a second training gets, beside a tidy environment of one account in plain NumPy.

Both play the same bars and features with targets that are held for eight bars on average. Ours trades them through the
engine (orders, stops, spread, commission, slippage, swap, limits); the anchor adds position times move less a cost and
returns the row of features, as environments in tutorials do. The two are timed in turn, so that a busy machine slows
both; processor time counts. `python simulation.py` prints one JSON line; gym-anytrading joins where it is installed.
"""

import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import tradesentry
from tests.support.simulation import made_run
from tradesentry.apps.drlfusion.envs.market_data import MarketData, market_data
from tradesentry.apps.drlfusion.envs.simulation_env import SimulationEnv
from tradesentry.apps.drlfusion.helpers import LEVELS

N_ENVS: Final = 256
STEPS: Final = 256
"""Steps of one timed stretch in each of our environments: one episode."""
ANCHOR_STEPS: Final = 20_000
HOLD_BARS: Final = 8
REPEATS: Final = 15


class NumpyEnvironment:
    """One account, one position, no orders: what a tutorial writes, with the own features and the ruin of ours.

    Args:
        closes: Prices, shape (n_bars,).
        features: One row per bar, shape (n_bars, n_features).
        cost: Of one unit of turnover, price units.
    """

    def __init__(self, closes: npt.NDArray[np.float64], features: npt.NDArray[np.float32], *, cost: float) -> None:
        self.moves = np.diff(closes, prepend=closes[0])
        self.rows = np.hstack([features, np.zeros((len(features), 4), np.float32)])
        self.cost = cost
        self.reset()

    def reset(self) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Begin at the first bar."""
        self.at, self.age = 0, 0
        self.held, self.profit, self.best = 0.0, 0.0, 0.0
        self.equity = self.peak = 1.0
        return self._observation(), {}

    def step(self, action: int) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Hold the level of `action` over the next bar."""
        target = LEVELS[action]
        turnover = abs(target - self.held)
        if target * self.held <= 0.0:
            self.profit, self.best, self.age = 0.0, 0.0, 0
        self.held = target
        self.at += 1
        reward = float(target * self.moves[self.at] - self.cost * turnover)
        self.profit += reward
        self.best = max(self.best, self.profit)
        self.age += 1
        self.equity += reward
        self.peak = max(self.peak, self.equity)
        is_ruined = self.equity <= 0.5 * self.peak
        return self._observation(), reward, is_ruined, self.at + 1 >= len(self.moves), {}

    def _observation(self) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = self.rows[self.at].copy()
        found[-4:] = self.held, self.profit, self.best - self.profit, min(self.age / 240.0, 1.0)
        return found


def held_actions(rng: np.random.Generator, n: int, width: int) -> npt.NDArray[np.int64]:
    """Return level numbers that are held for eight bars on average, shape (n, width)."""
    fresh = rng.integers(0, len(LEVELS), (n, width))
    turns = np.where(rng.random((n, width)) < 1.0 / HOLD_BARS, np.arange(n)[:, None], 0)
    found: npt.NDArray[np.int64] = np.take_along_axis(fresh, np.maximum.accumulate(turns, axis=0), axis=0)
    return found


def ours(env: SimulationEnv, actions: npt.NDArray[np.int64]) -> Callable[[], int]:
    """Return work that steps all environments and says how many steps that were."""
    targets = np.array(LEVELS)[actions]

    def work() -> int:
        for wished in targets:
            env.step(wished)
        return int(targets.size)

    env.reset()
    return work


def single(env: Any, actions: npt.NDArray[np.int64]) -> Callable[[], int]:
    """Return work that steps one environment and begins anew at its end."""
    chosen = actions[:, 0].tolist()

    def work() -> int:
        env.reset()
        for action in chosen:
            _seen, _reward, terminated, truncated, _info = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(chosen)

    return work


def anytrading(data: MarketData, actions: npt.NDArray[np.int64]) -> Callable[[], int] | None:
    """Return the same work for gym-anytrading's environment of shares, None where it is not installed."""
    if importlib.util.find_spec("gym_anytrading") is None:
        return None
    import pandas as pd
    from gym_anytrading.envs import StocksEnv

    bars = data.bars[0]
    frame = pd.DataFrame({name.title(): bars[name] for name in ("open", "high", "low", "close", "volume")})
    return single(StocksEnv(df=frame, window_size=10, frame_bound=(10, len(frame))), actions % 2)


def measured(works: dict[str, Callable[[], int]], repeats: int = REPEATS) -> dict[str, list[float]]:
    """Return steps per second of processor time, by name, of works that are run in turn."""
    for work in works.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            started = time.process_time()
            n = work()
            found[name].append(n / (time.process_time() - started))
    return found


def works_of(data: MarketData, config: Any) -> dict[str, Callable[[], int]]:
    """Return all that can be measured on a data set."""
    rng = np.random.default_rng(0)
    env = SimulationEnv.of(data, config=config, n_envs=N_ENVS)
    closes, features = data.bars["close"][0], np.ascontiguousarray(data.features["market"][0])
    works = {
        "TradeSentry": ours(env, held_actions(rng, STEPS, N_ENVS)),
        "plain NumPy": single(NumpyEnvironment(closes, features, cost=1e-5), held_actions(rng, ANCHOR_STEPS, 1)),
    }
    peer = anytrading(data, held_actions(rng, ANCHOR_STEPS, 1))
    return works | ({"gym-anytrading": peer} if peer else {})


def main() -> None:
    """Print the figures as one JSON line."""
    run = made_run(("EURUSD", "USDJPY"), to="2023-01-02")
    speeds = measured(works_of(market_data(run), run.config))
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    own = middle.pop("TradeSentry")
    answer = {
        "engine": "TradeSentry",
        "version": tradesentry.__version__,
        "bars": N_ENVS * STEPS,
        "seconds": [N_ENVS * STEPS / value for value in speeds["TradeSentry"]],
        "figures": {
            "environment_steps_per_second": own,
            **{f"environment_times_{name.split()[-1].lower()}": own / value for name, value in middle.items()},
        },
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
