"""Play given target positions the way a strategy plays its own: what it must beat are other wishes, not other fills.

A strategy that holds a target position has no trades to replay with one thing left to chance. Its baselines are other
series of wishes, one number from -1 to 1 per bar: momentum, carry, a regression, its own positions at other times. The
app says how a wish becomes orders (`TargetHolding`); the engine plays it under the same costs, limits and week ends.
"""

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.arena import Arena
from tradesentry.backtest.metrics.fx_time import DAY_NS
from tradesentry.backtest.metrics.returns import annualized_sharpe, simple_returns
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.runner import new_arena, new_lanes
from tradesentry.backtest.studies.outcome import Outcome, daily_equity, nothing, outcome_of
from tradesentry.backtest.studies.stage import Section
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.strategy_registry import strategy
from tradesentry.core.utils.kernel import address_of

FloatArray = npt.NDArray[np.float64]

MOMENTUM_DAYS: Final = 365
"""Look-back of time-series momentum: twelve months."""
SHORT_MOMENTUM_DAYS: Final = 91
"""Where the data before the window hold no twelve months."""


@dataclass(frozen=True, slots=True)
class OwnRule:
    """The strategy itself with another setting, as a baseline."""

    name: str
    label: str
    text: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TargetHolding:
    """How an app turns wishes into positions; `TARGETS` of its module `baselines`."""

    strategy: type[BaseStrategy]
    """Its way to hold what a table wishes for; the parameter record has the addresses `rows` and `wishes`."""
    rows: Callable[[ResolvedRun, int], Any]
    """(run, market) → what that strategy needs of every bar, computed once per series."""
    table: Callable[[FloatArray], Any]
    """Wishes per bar, nan where nothing is wished for → the table."""
    observe: Callable[[Any], FloatArray]
    """Rows → observation of the market, shape (n_bars, n_features)."""
    wished: Callable[[Any], float]
    """State of the app's own strategy → its wish on the last bar, nan where it decided nothing on any bar yet."""
    level: Callable[[Any], float]
    """State of the app's own strategy → the level that it made of it, gates applied; nan before the first."""
    ungated: Mapping[str, Any] = field(default_factory=dict)
    """Settings under which a level is held as it is: its gates have been applied already."""
    steady: Mapping[str, Any] = field(default_factory=dict)
    """Settings under which a position may be held for months."""
    rules: tuple[OwnRule, ...] = ()


def targets_of(name: str) -> TargetHolding | None:
    """Return how a strategy holds targets, None for one that trades idea by idea.

    Args:
        name: Strategy.
    """
    module = f"{strategy(name).__module__.rpartition('.')[0]}.baselines"
    try:
        is_there = find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return None
    found = getattr(importlib.import_module(module), "TARGETS", None) if is_there else None
    return found if isinstance(found, TargetHolding) else None


class WishPlayer:
    """The engine on the one traded market of a section, ready to play any wishes on an account of its own.

    Args:
        holding: How the app holds targets.
        section: Bars of the market; nothing is entered on those before its window.
        rows: `holding.rows` of the market; written when None.
    """

    def __init__(self, holding: TargetHolding, section: Section, rows: Any = None) -> None:
        self.section, self.holding = section, holding
        self.run = replace(section.run, strategy=holding.strategy)
        self.rows = holding.rows(section.run, 0) if rows is None else rows
        (self._lane,) = new_lanes(self.run, n_before=section.n_before)
        self._lane.params["rows"] = address_of(self.rows)

    @property
    def inside(self) -> slice:
        """Return the bars of the window, without those before it."""
        return slice(self.section.n_before[0], None)

    def outcome(self, wishes: FloatArray, *, cost_scale: float) -> Outcome:
        """Return what wishes come to.

        Args:
            wishes: Per bar of the section, -1 to 1; nan leaves the position as it is.
            cost_scale: Multiple of the costs.
        """
        if not self.section.has_bars:
            return nothing(self.run.settings.capital)
        return outcome_of(self._played(wishes, cost_scale), **self._places())

    def sharpe(self, wishes: FloatArray, *, cost_scale: float) -> float:
        """Return the annual Sharpe ratio of wishes, 0 where the account stood still; arguments as `outcome`."""
        if not self.section.has_bars:
            return 0.0
        equity = daily_equity(self._played(wishes, cost_scale), **self._places())
        returns = simple_returns(equity)
        found = annualized_sharpe(np.where(np.isfinite(returns), returns, 0.0)) if len(returns) > 1 else math.nan
        return found if math.isfinite(found) else 0.0

    def _places(self) -> dict[str, Any]:
        own = self.section
        return {
            "capital": self.run.settings.capital,
            "first_ns": own.first_ns,
            "from_ns": own.first_ns if own.is_cut else None,
        }

    def _played(self, wishes: FloatArray, cost_scale: float) -> Arena:
        table = self.holding.table(wishes)
        params = self._lane.params.copy()
        params["wishes"] = address_of(table)
        lane = replace(self._lane, params=params, state=self.run.strategy.new_state(self.run.config))
        arena = new_arena(self.run, cost_scale=cost_scale, lanes=[lane])
        arena.run()
        return arena


def own_series(read: Callable[[Any], float], section: Section) -> FloatArray:
    """Return a figure of the strategy's own state after every bar of a section's one market, shape (n_bars,).

    Args:
        read: `wished` or `level` of a `TargetHolding`.
        section: Bars of the market; its strategy and configuration are played.
    """
    found = np.full(len(section.run.data.series[0].bars), np.nan)
    lanes = new_lanes(section.run, n_before=section.n_before)
    arena = new_arena(section.run, lanes=lanes)
    while True:
        is_left = arena.play(1)
        n_played = int(arena.series["next_bar"][0])
        if n_played:
            found[n_played - 1] = read(lanes[0].state)
        if not is_left:
            return found


def momentum(bars: Any, first_ns: int) -> FloatArray:
    """Return the side of the last twelve months' return at every bar; of three where there is no more before a window.

    Args:
        bars: All bars of a market, those before the window too.
        first_ns: Where the window starts.

    Source: Moskowitz, Ooi & Pedersen (2012), "Time Series Momentum", J. of Financial Economics 104(2).
    """
    closes, known = bars["close"], bars["close_ns"]
    has_year = int(known[0]) <= first_ns - MOMENTUM_DAYS * DAY_NS
    days = MOMENTUM_DAYS if has_year else SHORT_MOMENTUM_DAYS
    before = np.searchsorted(known, known - days * DAY_NS, side="right") - 1
    sides: FloatArray = np.where(before >= 0, np.sign(closes - closes[np.maximum(before, 0)]), 0.0)
    return sides


def carry(market: Any, n_bars: int) -> FloatArray:
    """Return the side that is paid more, or charged less, for holding overnight, at every bar.

    Args:
        market: MARKET record.
        n_bars: Bars.
    """
    return np.full(n_bars, float(np.sign(market["swap_long"] - market["swap_short"])))


def at_other_times(wishes: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return the same positions at other times: each as long and as often, changed as much, on a side drawn anew.

    The series of held levels is turned to start anywhere, the lengths of equally large positions change places, and
    every stretch between two flat ones keeps its sides or swaps them. So the turnover is that of the strategy, but for
    the seam; when it holds what is left to chance.

    Args:
        wishes: Levels, shape (n_bars,), finite.
        random: Draws.
    """
    starts = np.flatnonzero(np.concatenate(([True], wishes[1:] != wishes[:-1])))
    levels, lengths = wishes[starts], np.diff(np.append(starts, len(wishes)))
    turn = int(random.integers(len(levels)))
    levels, lengths = np.roll(levels, turn), np.roll(lengths, turn)
    sizes = np.abs(levels)
    for size in np.unique(sizes):
        own = np.flatnonzero(sizes == size)
        lengths[own] = random.permutation(lengths[own])
    stretch = np.cumsum(levels == 0.0)
    signs = random.choice((-1.0, 1.0), int(stretch[-1]) + 1)
    return np.repeat(levels * signs[stretch], lengths)
