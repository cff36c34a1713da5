"""Set a fitted strategy beside what it must beat, window by window: the same test windows, markets, costs and account.

Holding either side, momentum, carry, regressions on the same observation, the strategy's own positions at other times,
and the strategy under simpler rules. What learns, learns on the train slice and is chosen on validation, as the agents
are. A score is the annual net Sharpe ratio of one account on one market in one test window.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.baselines import HOLD_CAPITAL, N_DRAWS, hold_arena
from tradesentry.backtest.studies.fits import FoldFit
from tradesentry.backtest.studies.folds import Fold
from tradesentry.backtest.studies.outcome import outcome_of
from tradesentry.backtest.studies.seed_scores import sharpe_of
from tradesentry.backtest.studies.stage import Section, Stage, Stages, Window
from tradesentry.backtest.studies.walks import FitReport, say_nothing
from tradesentry.backtest.supervised import METHODS, Forecaster, Method, choose_forecaster, new_lesson
from tradesentry.backtest.targets import TargetHolding, WishPlayer, at_other_times, carry, momentum, own_series
from tradesentry.core.strategy.base_strategy import StrategyConfig

FloatArray = npt.NDArray[np.float64]

LESS_DRAWS: Final = 100
"""Draws at cost levels other than the settings': for the mean alone."""
JUDGED_SHARE: Final = 0.2
"""Part of a train slice, its end, that regressions are chosen on where the folds have no validation."""
CHANCE: Final = "random"
TEXTS: Final = {
    "flat": ("Flat", "No position at all."),
    "hold": ("Buy and hold", "Bought before the window, held to its end, without leverage."),
    "short": ("Short and hold", "Sold before the window, held to its end, without leverage."),
    CHANCE: (
        "Random, same turnover",
        "Its own positions at other times, on a side drawn anew: what is the time worth?",
    ),
    "momentum": (
        "Time-series momentum",
        "The side of the last twelve months' return; of three where there are no more.",
    ),
    "carry": ("Carry", "The side that is paid more, or charged less, overnight."),
}


@dataclass(frozen=True, slots=True, eq=False)
class BaselineScores:
    """What one baseline came to."""

    name: str
    label: str
    text: str
    tables: Mapping[float, FloatArray]
    """Annual net Sharpe ratio by multiple of the costs, shape (n_tasks,) in the order of folds and markets."""
    is_supervised: bool = False
    p_value: float | None = None
    """Share of draws whose mean ratio was at least that of the strategy, at the settings' costs."""
    n_draws: int = 0


class TargetBaselines:
    """The baselines of a fitted strategy over the folds of a walk-forward.

    Args:
        holding: How the app holds targets.
        stages: Stages of the study.
        folds: All folds.
        fits: What the fit of a fold came to.
        symbols: Traded markets.
        levels: Multiples of the costs.
        main: The settings' own multiple.
        seed: Of all draws.
        report: Told how far it is.
        methods: Regressions.
    """

    def __init__(
        self,
        holding: TargetHolding,
        stages: Stages,
        folds: Sequence[Fold],
        fits: Callable[[Fold], FoldFit],
        symbols: Sequence[str],
        levels: Sequence[float],
        *,
        main: float,
        seed: int = 0,
        report: FitReport = say_nothing,
        methods: Sequence[Method] = METHODS,
    ) -> None:
        self._holding, self._stages, self._methods = holding, stages, methods
        self._main, self._levels = main, sorted({*levels, main})
        self._seed, self._report = seed, report
        self._tasks = [_Task(fold, symbol, fits(fold).chosen.config) for fold in folds for symbol in symbols]
        self._folds = {fold.index: [task for task in self._tasks if task.fold is fold] for fold in folds}
        self._players: dict[tuple[int, str, str], WishPlayer] = {}

    def scores(self) -> list[BaselineScores]:
        """Return the scores of every baseline; a regression whose library is not installed is left out."""
        found = [self._plain("flat", lambda _task, _level: 0.0)]
        found += [self._plain(name, self._held(side)) for name, side in (("hold", 1), ("short", -1))]
        found.append(self._random())
        found += [self._plain(name, self._steady(name)) for name in ("momentum", "carry")]
        found += [one for one in map(self._supervised, self._methods) if one is not None]
        return found + [self._own(rule) for rule in self._holding.rules]

    def _plain(self, name: str, score: Callable[["_Task", float], float]) -> BaselineScores:
        return BaselineScores(name, *TEXTS[name], self._table(score))

    def _table(self, score: Callable[["_Task", float], float]) -> dict[float, FloatArray]:
        return {level: np.array([score(task, level) for task in self._tasks]) for level in self._levels}

    def _stage(self, task: "_Task", config: StrategyConfig | None = None) -> Stage:
        return self._stages.of(task.config if config is None else config, [task.symbol])[1]

    def _section(self, task: "_Task", window: Window, config: StrategyConfig | None = None) -> Section:
        chosen = task.config if config is None else config
        return self._stage(task, chosen).section(chosen, window)

    def _player(self, task: "_Task", window: Window, changes: Mapping[str, Any] | None = None) -> WishPlayer:
        """Return the player of a market in a window; its bars are looked at once, whatever is changed."""
        rows = self._players.get((task.fold.index, task.symbol, str(window)))
        config = task.config.model_copy(update=dict(changes or {}))
        made = WishPlayer(self._holding, self._section(task, window, config), None if rows is None else rows.rows)
        if rows is None:
            self._players[task.fold.index, task.symbol, str(window)] = made
        return made

    def _held(self, side: int) -> Callable[["_Task", float], float]:
        def score(task: "_Task", level: float) -> float:
            section = self._section(task, task.fold.test)
            arena = hold_arena(section.run, side, n_before=section.n_before, cost_scale=level)
            first = section.first_ns
            return sharpe_of(
                outcome_of(arena, capital=HOLD_CAPITAL, first_ns=first, from_ns=first if section.is_cut else None)
            )

        return score

    def _steady(self, name: str) -> Callable[["_Task", float], float]:
        def score(task: "_Task", level: float) -> float:
            player = self._player(task, task.fold.test, self._holding.steady)
            stage, bars = self._stage(task), player.run.data.series[0].bars
            if name == "carry":
                return player.sharpe(carry(stage.run.markets[0], len(bars)), cost_scale=level)
            whole = stage.run.data.series[0].bars
            begin = int(np.searchsorted(whole["open_ns"], bars["open_ns"][0]))
            wishes = momentum(whole, player.section.first_ns)[begin : begin + len(bars)]
            return player.sharpe(wishes, cost_scale=level)

        return score

    def _own(self, rule: Any) -> BaselineScores:
        def score(task: "_Task", level: float) -> float:
            config = task.config.model_copy(update=dict(rule.changes))
            return sharpe_of(self._stage(task, config).play(config, task.fold.test, cost_scale=level))

        return BaselineScores(rule.name, rule.label, rule.text, self._table(score))

    def _supervised(self, method: Method) -> BaselineScores | None:
        made: dict[int, Forecaster | None] = {}
        try:
            for done, (index, tasks) in enumerate(self._folds.items()):
                self._report(method.label, done, len(self._folds))
                made[index] = self._learned(method, tasks)
        except ImportError:
            return None

        def score(task: "_Task", level: float) -> float:
            forecaster = made[task.fold.index]
            player = self._player(task, task.fold.test)
            if forecaster is None:
                return 0.0
            return player.sharpe(forecaster.wishes(self._holding.observe(player.rows)), cost_scale=level)

        return BaselineScores(method.name, method.label, method.text, self._table(score), is_supervised=True)

    def _learned(self, method: Method, tasks: Sequence["_Task"]) -> Forecaster | None:
        pieces, judged = _slices(tasks[0].fold)
        lessons = []
        for task in tasks:
            section = self._section(task, task.fold.train)
            seen = self._holding.observe(self._holding.rows(section.run, 0))
            lessons.append(new_lesson(section.run.data.series[0].bars, seen, pieces))
        players = [self._player(task, judged) for task in tasks]

        def judge(wishes: Callable[[FloatArray], FloatArray]) -> float:
            found = [p.sharpe(wishes(self._holding.observe(p.rows)), cost_scale=self._main) for p in players]
            return math.fsum(found) / len(found)

        return choose_forecaster(method.fit, lessons, judge)

    def _random(self) -> BaselineScores:
        players, levels, own = [], [], []
        for task in self._tasks:
            player = self._player(task, task.fold.test, self._holding.ungated)
            held = own_series(self._holding.level, self._section(task, task.fold.test))[player.inside]
            levels.append(np.round(2.0 * np.nan_to_num(held)) / 2.0)
            players.append(player)
            own.append(sharpe_of(self._stage(task).play(task.config, task.fold.test, cost_scale=self._main)))
        tables, means = {}, np.zeros(0)
        for cost in self._levels:
            drawn = self._drawn(players, levels, cost, N_DRAWS if cost == self._main else LESS_DRAWS)
            tables[cost] = drawn.mean(axis=0)
            means = drawn.mean(axis=1) if cost == self._main else means
        as_good = int(np.sum(means >= math.fsum(own) / len(own)))
        p_value = (1 + as_good) / (1 + N_DRAWS)
        return BaselineScores(CHANCE, *TEXTS[CHANCE], tables, p_value=p_value, n_draws=N_DRAWS)

    def _drawn(
        self, players: Sequence[WishPlayer], levels: Sequence[FloatArray], cost: float, n_draws: int
    ) -> FloatArray:
        """Return the ratio of every draw on every task, shape (n_draws, n_tasks); fewer draws begin like more."""
        found = np.zeros((n_draws, len(players)))
        for draw in range(n_draws):
            self._report(f"Random at {cost:g}x", draw, n_draws)
            for i, (player, held) in enumerate(zip(players, levels, strict=True)):
                random = np.random.default_rng([self._seed, draw, i])
                wishes = np.full(len(player.run.data.series[0].bars), np.nan)
                if len(held) and np.any(held != 0.0):
                    wishes[player.inside] = at_other_times(held, random)
                    found[draw, i] = player.sharpe(wishes, cost_scale=cost)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One market in one test window, with the configuration that was chosen for it."""

    fold: Fold
    symbol: str
    config: StrategyConfig


def _slices(fold: Fold) -> tuple[tuple[Window, ...], Window]:
    """Return what a regression learns from and what it is chosen on."""
    if fold.validation is not None:
        return fold.pieces, fold.validation
    start, end = fold.train.bounds
    cut = end - int(JUDGED_SHARE * (end - start))
    pieces = [replace(piece, end_ns=min(piece.bounds[1], cut)) for piece in fold.pieces if piece.bounds[0] < cut]
    return tuple(pieces), Window(cut, end)
