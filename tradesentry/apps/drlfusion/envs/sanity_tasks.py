"""Tasks with known answers, played through the real environment: what an agent makes of them in parts of the optimum.

The environment is the one that trains for the market: the same fills, the same intents, the same observation. Only the
bars are made so that the best rule is known: they open at the close before, carry no spread, never end a week, and the
stop lies fifty bars' deviations away. The task's columns take the first market features, the others are zero. All
results are in standard deviations of one bar per full unit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.envs.features import FEATURE
from tradesentry.apps.drlfusion.envs.market_data import MarketData, ModelConstants
from tradesentry.apps.drlfusion.envs.rewards import RewardSettings
from tradesentry.apps.drlfusion.envs.sanity_series import (
    SanitySeries,
    TaskName,
    net_of,
    optimal_levels,
    sanity_series,
)
from tradesentry.apps.drlfusion.envs.simulation_env import SimulationEnv
from tradesentry.apps.drlfusion.helpers import BARS_NEEDED
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.records import BAR, MARKET
from tradesentry.core.execution.costs import FAR_FUTURE_NS
from tradesentry.core.execution.setup import CostProfile, LimitSettings, fill_conversion, fill_market
from tradesentry.core.market.bars import HOUR_NS, to_ns
from tradesentry.core.market.calendar import build_calendar
from tradesentry.core.utils.kernel import new_records

Floats = npt.NDArray[np.float64]
Decide = Callable[[npt.NDArray[np.float32]], Floats]
"""From observations (n, 28) to targets (n,)."""

SIGMA: Final = 1e-4
"""Standard deviation of one bar, price units."""
LEVEL: Final = 2.0
"""Where the price begins, far above the longest fall."""
UNITS: Final = 10_000.0
STOP_BARS: Final = 50.0
CAPITAL: Final = 1e6
"""A thousand bars' deviations of a full unit are a thousandth of it: nothing that happens dents the account."""
N_BARS: Final = 20_000
N_WINDOWS: Final = 64
WINDOW_BARS: Final = 1_500
HELD_OUT: Final = 1_000_003
"""Added to a seed for the path that is scored on."""
START: Final = "2001-01-01"
GAMMA: Final = 0.9
"""Discount that these short horizons are learned with."""
NO_LIMITS: Final = LimitSettings(is_on=False, min_free_margin=0.0, stop_out_level=0.0)
ITEM: Final = Instrument(
    "SANITY", "crypto", "XXX", "USD", tick=1e-6, pip=1e-4, contract_units=1.0, unit_step=1.0, unit_min=1.0,
    unit_max=1e9, margin_fraction=1e-6, typical_spread_pips=0.0, swap_long_pips=0.0, swap_short_pips=0.0,
    is_always_open=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SanityTask:
    """One task."""

    name: TaskName
    cost: float
    """Of one unit of turnover, standard deviations of one bar."""
    reward: RewardSettings = field(default_factory=RewardSettings)
    has_optimum: bool = True
    """False: nothing can be earned; what is judged is how little is lost."""


TASKS: Final[dict[TaskName, SanityTask]] = {
    task.name: task
    for task in (
        SanityTask("leak", 0.02),
        SanityTask("sine", 0.1),
        SanityTask("mean_reverting", 0.05),
        SanityTask("shuffled", 0.02, has_optimum=False),
        SanityTask("random_walk", 0.1, RewardSettings(mode="mean_variance", weight=0.1), has_optimum=False),
    )
}


@dataclass(frozen=True, slots=True)
class SanityScore:
    """What decisions came to on the held-out path, per bar."""

    net: float
    """Mean net per bar."""
    error: float
    """Its standard error over the windows."""
    optimum: float
    """The best rule's net on the same bars; 0 where nothing can be earned."""
    turnover: float
    """Levels changed per bar."""
    exposure: float
    """Mean absolute level held."""

    @property
    def fraction(self) -> float:
        """Return net as a part of the optimum; nan where that is 0."""
        return self.net / self.optimum if self.optimum > 0.0 else math.nan


def task_config() -> DrlFusionConfig:
    """Return the configuration of the tasks: levels and hysteresis as in trading, nothing that ends a position."""
    return DrlFusionConfig(
        symbols=(ITEM.symbol,), timeframe="H1", weekend="hold", stop_atr=STOP_BARS, max_hold_bars=0,
        turbulence_gate=False,
    )  # fmt: skip


@cache
def _calendar(n_bars: int) -> Any:
    start_ns = to_ns(START) or 0
    calendar = build_calendar(task_config().calendar(), ITEM, start_ns, start_ns + n_bars * HOUR_NS)
    # No week ends, so none has last hours in which nothing may be entered.
    calendar["fx_days"]["week_end_ns"] = FAR_FUTURE_NS
    return calendar


def _market(task: SanityTask, n_bars: int) -> Any:
    """Return the MARKET of a task, shape (1,): commission and nothing else."""
    market = new_records(1, MARKET)
    free = CostProfile(slippage_pips=0.0, spread_factor=0.0, swap_factor=0.0, rollover_factor=1.0)
    fill_market(market[0], ITEM, free, index=0, currencies=("USD", "XXX"))
    fill_conversion(market[0], ITEM, account_currency="USD", rows={}, rates={})
    market["commission_per_unit"] = task.cost * SIGMA
    market["calendar"] = _calendar(n_bars)
    return market


def _bars(moves: Floats) -> npt.NDArray[Any]:
    """Return bars that open at the close before and whose body is the whole bar."""
    bars = np.zeros(len(moves), BAR)
    closes = LEVEL + SIGMA * np.cumsum(moves)
    opens = np.concatenate(([LEVEL], closes[:-1]))
    bars["open_ns"] = (to_ns(START) or 0) + HOUR_NS * np.arange(len(moves))
    bars["close_ns"] = bars["open_ns"] + HOUR_NS
    bars["open"], bars["close"] = opens, closes
    bars["high"], bars["low"], bars["volume"] = np.maximum(opens, closes), np.minimum(opens, closes), 1.0
    return bars


def task_data(task: SanityTask, series: SanitySeries) -> MarketData:
    """Return a path of a task and its mirror as a data set.

    Args:
        task: The task.
        series: The path.
    """
    n_bars, n_columns = series.columns.shape
    bars = np.stack([_bars(side * series.moves) for side in (1.0, -1.0)])
    features = np.zeros(bars.shape, FEATURE)
    for row, side in enumerate((1.0, -1.0)):
        features["market"][row, :, :n_columns] = side * series.columns
    features["is_good"], features["atr"] = True, SIGMA
    features["bar"]["close_ns"], features["bar"]["close"] = bars["close_ns"], bars["close"]
    market = _market(task, n_bars)
    return MarketData(
        bars=bars,
        features=features,
        markets=np.concatenate([market, market]).view(np.recarray),
        crosses=None,
        lengths=np.full(2, n_bars, np.int64),
        symbols=(ITEM.symbol, f"-{ITEM.symbol}"),
        is_always_open=True,
    )


def _environment(task: SanityTask, series: SanitySeries, **settings: Any) -> SimulationEnv:
    fixed = {"unit_units": UNITS, "capital": CAPITAL, "limits": NO_LIMITS, "constants": ModelConstants.plain()}
    return SimulationEnv.of(task_data(task, series), config=task_config(), **(fixed | settings))


def training_env(
    task: SanityTask, *, seed: int, n_envs: int = 64, n_bars: int = N_BARS, episode_bars: int = 256
) -> SimulationEnv:
    """Return the environment to train on.

    Args:
        task: The task.
        seed: Of the path and of the episodes.
        n_envs: Accounts side by side.
        n_bars: Length of the path.
        episode_bars: Bars of an episode.
    """
    series = sanity_series(task.name, n_bars, seed)
    return _environment(task, series, n_envs=n_envs, episode_bars=episode_bars, reward=task.reward, seed=seed)


@cache
def _held_out(name: TaskName, seed: int, n_windows: int, n: int) -> SanitySeries:
    return sanity_series(name, BARS_NEEDED + n_windows * n + 2, HELD_OUT + seed)


def held_out_env(
    task: SanityTask, *, seed: int, n_windows: int = N_WINDOWS, n: int = WINDOW_BARS
) -> tuple[SimulationEnv, npt.NDArray[np.int64]]:
    """Return the environment that is scored on, and the starts of its windows.

    Args:
        task: The task.
        seed: As in training; the path is another one.
        n_windows: Stretches that are played, one after the other on the path.
        n: Bars of each.
    """
    series = _held_out(task.name, seed, n_windows, n)
    env = _environment(task, series, n_envs=n_windows, episode_bars=n, reward="net", seed=seed)
    return env, BARS_NEEDED + n * np.arange(n_windows, dtype=np.int64)


def score(
    task: SanityTask, decide: Decide, *, seed: int, n_windows: int = N_WINDOWS, n: int = WINDOW_BARS
) -> SanityScore:
    """Play decisions on the held-out path and compare them with the best rule on the very same bars.

    Args:
        task: The task.
        decide: The policy, deterministic.
        seed: As in training.
        n_windows: As `held_out_env`.
        n: As there.
    """
    env, starts = held_out_env(task, seed=seed, n_windows=n_windows, n=n)
    observation = env.reset(rows=[0] * n_windows, starts=[int(start) for start in starts])
    net, changed, exposed = np.zeros(n_windows), 0.0, 0.0
    before = np.zeros(n_windows)
    for _ in range(n - 1):
        observation, rewards, *_ends = env.step(decide(observation))
        held = env.slots["held"].copy()
        changed += float(np.mean(np.abs(held - before)))
        exposed += float(np.mean(np.abs(held)))
        net += rewards
        before = held
    # On the last bar the accounts begin anew, so only its money is known.
    net += env.step(decide(observation))[1]
    return SanityScore(
        net=float(net.mean()) / n,
        error=float(net.std(ddof=1)) / math.sqrt(n_windows) / n,
        optimum=_optimum(task, seed, starts, n) if task.has_optimum else 0.0,
        turnover=changed / (n - 1),
        exposure=exposed / (n - 1),
    )


def _optimum(task: SanityTask, seed: int, starts: npt.NDArray[np.int64], n: int) -> float:
    """Return what the best rule earns per bar on the windows."""
    series = _held_out(task.name, seed, len(starts), n)
    levels = optimal_levels(task.name, series, starts=starts, n=n, cost=task.cost)
    return float(net_of(series, levels, starts=starts, cost=task.cost).mean()) / n


def best_decisions(task: SanityTask, *, seed: int, n_windows: int = N_WINDOWS, n: int = WINDOW_BARS) -> Decide:
    """Return the best rule as a policy for `score`: it knows the path and reads its place from a count of calls.

    Args:
        task: A task with an optimum.
        seed: As `score`.
        n_windows: As there.
        n: As there.
    """
    series = _held_out(task.name, seed, n_windows, n)
    starts = BARS_NEEDED + n * np.arange(n_windows, dtype=np.int64)
    rows = iter(optimal_levels(task.name, series, starts=starts, n=n, cost=task.cost))
    return lambda _observation: next(rows)
