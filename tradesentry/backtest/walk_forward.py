"""Walk forward: choose on the past, trade what follows, move on; only what followed counts.

One fold, in this order: play every variant of the search on every market of the train window; leave out trades that the
window's end cut off; rank by the lower bound of the mean R; choose at most `top` per market, near twins out, incumbents
kept; share each market's risk budget; trade the choice on one account over the test window. The test windows are joined
to one out-of-sample result. All variants are also played on the test window, after the choice, to see whether ranking
on the past told anything about the future. An app may fit a model instead (`fit(train, validation, seed)`): what it
chose is traded, and every seed beside it.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.data import Bars
from tradesentry.backtest.executor import Job, Runner, new_job
from tradesentry.backtest.metrics.fx_time import DAY_NS
from tradesentry.backtest.metrics.honesty import moments
from tradesentry.backtest.resolve import ResolvedRun, checked_settings, resolve_run
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.studies.evidence import Evidence, evidence_of, rank_correlation
from tradesentry.backtest.studies.experiment import fit_of
from tradesentry.backtest.studies.fits import FitPlace, Fits, FoldFit
from tradesentry.backtest.studies.folds import Fold, make_folds, parse_length
from tradesentry.backtest.studies.outcome import Outcome, days_of
from tradesentry.backtest.studies.portfolio import Share, WindowPlay, join_windows, play_window, worth_at
from tradesentry.backtest.studies.search import search
from tradesentry.backtest.studies.seed_scores import score_seeds
from tradesentry.backtest.studies.selection import Score, Trades, purged, ranked, score_of, select, weights_of
from tradesentry.backtest.studies.stage import Stage, Stages, Window
from tradesentry.backtest.studies.study import STORE_FOLDER, Report, Study
from tradesentry.backtest.studies.target_baselines import BaselineScores, TargetBaselines
from tradesentry.backtest.studies.trials import Look, TrialLedger, bars_digest
from tradesentry.backtest.studies.variants import Variant, grid_variants, random_variants
from tradesentry.backtest.studies.walks import (
    Choice,
    FitReport,
    Fitted,
    FitWindow,
    FoldRow,
    SeedFit,
    WalkForwardPlan,
    WalkForwardResult,
    pooled,
    say_nothing,
)
from tradesentry.backtest.targets import targets_of
from tradesentry.core.domain.errors import ConfigError

__all__ = ["Choice", "FitWindow", "Fitted", "FoldRow", "SeedFit", "WalkForwardPlan", "WalkForwardResult"]
__all__ += ["run_walk_forward"]

FloatArray = npt.NDArray[np.float64]
FITS: Final = "fits"
"""Folder of what fits have finished, beside the finished plays."""
MAX_TAIL_DAYS: Final = 31
"""Longest that a position may outlive its test window when the embargo is counted in bars."""


Scores = dict[str, tuple[Score, Score]]
"""Train and test score by variant key."""


def run_walk_forward(
    plan: WalkForwardPlan,
    *,
    runner: Runner,
    runs: Path,
    study_id: str,
    bars: Bars | None = None,
    report: Report | None = None,
    fit_report: FitReport = say_nothing,
    processes: int | None = None,
) -> WalkForwardResult:
    """Run a walk-forward, or what is left of it, and return its result.

    Args:
        plan: What to try and how to choose.
        runner: Executor, entered.
        runs: Folder of results: the ledger and the finished plays live in it.
        study_id: Name of the study in the ledger.
        bars: Series to use instead of the settings' source.
        report: Told how far it is.
        fit_report: Told how far the fit of a fold is, for apps that fit a model.
        processes: How many a fit may use; the runner's workers when None.

    Raises:
        TradeSentryError: Whatever is wrong with the plan or the data.
        ConfigError: No fold had an eligible variant.
    """
    base = resolve_run(plan.app, bars=bars, config=plan.config, settings=checked_settings(plan.settings))
    study = Study(Stages(plan.app, base), runner, runs=runs, report=report)
    place = FitPlace(runs / STORE_FOLDER / FITS, processes or runner.workers, fit_report)
    return _WalkForward(plan, base, study, TrialLedger(runs), study_id, place).run()


class _WalkForward:
    def __init__(
        self,
        plan: WalkForwardPlan,
        base: ResolvedRun,
        study: Study,
        ledger: TrialLedger,
        study_id: str,
        place: FitPlace,
    ) -> None:
        self.plan, self.base, self.study, self.ledger, self.study_id = plan, base, study, ledger, study_id
        traded = base.data.series[: base.data.n_traded]
        self.symbols = tuple(series.symbol for series in traded)
        self.folds = make_folds(plan.folds, [series.bars for series in traded])
        self.incumbents: dict[str, list[str]] = {symbol: [] for symbol in self.symbols}
        self.seen: dict[str, Variant] = {}
        self.fits: Fits | None = None
        if plan.method == "fit":
            self.fits = Fits(plan, base, study.stages, ledger, study_id, place, fit_of)
        self.test_returns: dict[str, list[FloatArray]] = {}
        self.test_data: dict[int, str] = {}
        self.choices: list[Choice] = []

    def run(self) -> WalkForwardResult:
        """Walk through all folds, then trade the choices and judge what came of them."""
        listed = self._listed()
        if listed is not None:
            self._note(listed)
            self.study.expect(2 * len(self.folds) * len(self.symbols) * len(listed))
        rows, picked = [], []
        for fold in self.folds:
            found = self._candidates(fold, listed)
            n_eligible, correlation, everyone = self._choose(fold, found)
            picked.append([choice for choice in self.choices if choice.fold == fold.index])
            n_variants = len({key for scores in found.values() for key in scores})
            rows.append(FoldRow(fold, n_variants, n_eligible, correlation, everyone, None))
        if not self.choices:
            share = self._least_trades()
            raise ConfigError(
                f"No variant was eligible in any of the {len(self.folds)} folds: none made {share} train trades on a "
                "market in at least 8 weeks. Lower --min-trades, lengthen --train, or widen the search."
            )
        return self._judge(rows, picked)

    def _judge(self, rows: Sequence[FoldRow], picked: Sequence[Sequence[Choice]]) -> WalkForwardResult:
        main = self.base.settings.cost_scale
        started = time.perf_counter()
        plays = self._trade(picked, main)
        result = join_windows(self.base, [p for p in plays if p is not None], seconds=time.perf_counter() - started)
        others = {}
        for level in self.plan.cost_levels:
            if level != main:
                traded = [p for p in self._trade(picked, level) if p is not None]
                others[f"{level:g}x"] = join_windows(self.base, traded, seconds=0.0)
        result = result.with_cost_runs(others) if others else result
        self._note_ratios()
        seeds = None
        if self.fits is not None:
            levels = self.plan.cost_levels
            seeds = score_seeds(self.study, self.folds, self.fits.of, self.symbols, levels, main=main)
        self.ledger.require(self.base, self.study_id)
        progress = self.study.progress
        return WalkForwardResult(
            self.plan,
            tuple(
                FoldRow(r.fold, r.n_variants, r.n_eligible, r.rank_correlation, r.all_test_mean_r, play)
                for r, play in zip(rows, plays, strict=True)
            ),
            tuple(self.choices),
            result,
            self._evidence(result),
            self.base,
            {"plays": progress.done, "reused": progress.reused, "bars": progress.bars, "seconds": progress.seconds},
            seeds,
            self._baselines(main),
            self._others(),
        )

    def _baselines(self, main: float) -> tuple[BaselineScores, ...]:
        """Return what a fitted strategy that holds a target position is set beside."""
        holding = targets_of(self.plan.app) if self.fits is not None and self.plan.baselines else None
        if holding is None or self.fits is None:
            return ()
        beside = TargetBaselines(
            holding, self.study.stages, self.folds, self.fits.of, self.symbols, self.plan.cost_levels, main=main,
            seed=self.plan.seed, report=self.fits.report,
        )  # fmt: skip
        return tuple(beside.scores())

    def _others(self) -> int:
        """Return how many other studies have seen the most-touched of these test windows."""
        return max(self.ledger.others_at(self.base, self.study_id, data) for data in self.test_data.values())

    def _listed(self) -> list[Variant] | None:
        """Return the variants that are the same in every fold; None when each fold finds its own."""
        plan, space = self.plan, self.plan.search_space()
        if plan.method in ("optuna", "fit"):
            return None
        if plan.method == "random":
            return random_variants(plan.app, self.base.config, space, n=max(plan.n_trials, 1), seed=plan.seed)[0]
        choices = {key: tuple(entry) for key, entry in space.items()}
        return grid_variants(plan.app, self.base.config, choices)[0]

    def _candidates(self, fold: Fold, listed: Sequence[Variant] | None) -> dict[str, Scores]:
        """Return train and test score by variant key, by market."""
        variants: dict[str, Sequence[Variant]] = {}
        for symbol in self.symbols:
            if listed is not None:
                variants[symbol] = listed
            elif self.fits is not None:
                variants[symbol] = self.fits.of(fold).variants
            else:
                variants[symbol] = self._searched(fold, symbol)
            self.seen |= {variant.key: variant for variant in variants[symbol]}
        train = self._scores(variants, fold.train, is_purged=True, is_expected=listed is not None)
        test = self._scores(variants, fold.test, is_purged=False, is_expected=listed is not None)
        self._note_looks(fold, variants)
        return {
            symbol: {v.key: (train[symbol, v.key], test[symbol, v.key]) for v in variants[symbol]}
            for symbol in self.symbols
        }

    def _note_looks(self, fold: Fold, variants: Mapping[str, Sequence[Variant]]) -> None:
        """Tell the ledger that a test window was touched, by what, and what it came to."""
        section = self.study.stages.of(self.base.config)[1].section(self.base.config, fold.test)
        data = self.test_data[fold.index] = bars_digest(section.run)
        keys = sorted({variant.key for listed in variants.values() for variant in listed})
        names = keys if self.fits is None else [name for key in keys for name in self.fits.recipes(key)]
        ratios = {name: _daily_ratio(self.test_returns[name][fold.index :]) for name in names}
        looks = [Look(self.plan.app, name, data, fold.index, None, "test", ratio) for name, ratio in ratios.items()]
        self.ledger.note_looks(self.base, self.study_id, looks)

    def _searched(self, fold: Fold, symbol: str) -> list[Variant]:
        def judge(variants: Sequence[Variant], _part: int) -> list[float]:
            self._note(variants)
            found = self._scores({symbol: variants}, fold.train, is_purged=True, is_expected=False)
            return [found[symbol, variant.key].bound for variant in variants]

        trials = search(
            self.plan.app,
            self.base.config,
            self.plan.search_space(),
            judge,
            n_trials=max(self.plan.n_trials, 1),
            seed=self.plan.seed,
            journal=self.ledger.root.parent / self.study_id / "optuna.journal",
            name=f"fold-{fold.index}-{symbol}",
        )
        return list({trial.variant.key: trial.variant for trial in trials}.values())

    def _scores(
        self, variants: Mapping[str, Sequence[Variant]], window: Window, *, is_purged: bool, is_expected: bool
    ) -> dict[tuple[str, str], Score]:
        """Return scores by (market, variant key); all markets are played side by side."""
        days = days_of(*window.bounds)
        scores: dict[tuple[str, str], Score] = {}
        kept: dict[tuple[str, str], Outcome] = {}
        wanted = [(symbol, self._job(v, symbol, window)) for symbol, listed in variants.items() for v in listed]
        markets, jobs = {job.digest: symbol for symbol, job in wanted}, [job for _, job in wanted]
        for job, outcome in self.study.outcomes(jobs, is_expected=is_expected):
            name = markets[job.digest], job.variant.key
            scores[name] = score_of(job.variant.key, outcome, days, is_purged=is_purged)
            if not is_purged:
                kept[name] = replace(outcome, trades=outcome.trades[:0].copy())
        # Sums must not depend on the order in which plays finish.
        for (_, key), outcome in sorted(kept.items()):
            for attempt in [key] if self.fits is None else self.fits.recipes(key):
                self._keep_returns(attempt, window, outcome)
        return scores

    def _keep_returns(self, name: str, window: Window, outcome: Outcome) -> None:
        """Add the daily returns of a test window to those of the attempt, the mean over markets."""
        index = next(fold.index for fold in self.folds if fold.test == window)
        windows = self.test_returns.setdefault(name, [])
        while len(windows) <= index:
            windows.append(np.zeros(0))
        share = outcome.returns / len(self.symbols)
        before = windows[index]
        n = max(len(before), len(share))
        windows[index] = np.pad(before, (0, n - len(before))) + np.pad(share, (0, n - len(share)))

    def _job(self, variant: Variant, symbol: str, window: Window) -> Job:
        key, stage = self.study.stages.of(variant.config, [symbol])
        return new_job(key, stage, variant, window)

    def _least_trades(self) -> int:
        return math.ceil(self.plan.min_trades / len(self.symbols))

    def _choose(self, fold: Fold, found: Mapping[str, Scores]) -> tuple[int, float, float]:
        """Choose on every market; return eligible candidates, rank correlation, mean R of everybody's test."""
        if self.fits is not None:
            return self._take(fold, self.fits.of(fold), found)
        n_eligible, correlations, tests = 0, [], []
        for symbol, scores in found.items():
            order = ranked(
                [train for train, _ in scores.values()],
                min_trades=self._least_trades(),
                min_bound=self.plan.min_bound,
            )
            n_eligible += len(order)
            both = [scores[score.key] for score in order]
            correlations.append(rank_correlation([a.bound for a, _ in both], [b.mean_r for _, b in both]))
            tests += [test for _, test in scores.values()]
            chosen = select(
                order,
                top=self.plan.top,
                max_overlap=self.plan.max_overlap,
                trades_of=self._trades_of(symbol, fold.train),
                incumbents=self.incumbents[symbol],
            )
            self.incumbents[symbol] = [score.key for score in chosen]
            weights = weights_of(chosen, self.plan.weights)
            for score in chosen:
                variant, test = self.seen[score.key], scores[score.key][1]
                self.choices.append(Choice(fold.index, symbol, variant, weights[score.key], score, test))
        known = [value for value in correlations if math.isfinite(value)]
        return n_eligible, math.fsum(known) / len(known) if known else math.nan, pooled(tests)

    def _take(self, fold: Fold, fit: FoldFit, found: Mapping[str, Scores]) -> tuple[int, float, float]:
        """Trade what the fit's own validation chose, on every market; the rank correlation is that of the seeds."""
        for symbol, scores in found.items():
            train, test = scores[fit.chosen.key]
            self.choices.append(Choice(fold.index, symbol, fit.chosen, 1.0, train, test))
        tests = {one.seed: pooled([scores[one.variant.key][1] for scores in found.values()]) for one in fit.seeds}
        correlation = rank_correlation([one.score for one in fit.seeds], list(tests.values()))
        everyone = [test for scores in found.values() for _, test in scores.values()]
        return sum(len(scores) for scores in found.values()), correlation, pooled(everyone)

    def _trades_of(self, symbol: str, window: Window) -> Any:
        found: dict[str, Trades] = {}

        def trades(key: str) -> Trades:
            if key not in found:
                job = self._job(self.seen[key], symbol, window)
                found[key] = purged(self.study.again(job).trades)
            return found[key]

        return trades

    def _trade(self, picked: Sequence[Sequence[Choice]], cost_scale: float) -> list[WindowPlay | None]:
        """Trade the choices of every fold on one account, each window with what the ones before left."""
        numbers = {key: number for number, key in enumerate(self.seen)}
        embargo = parse_length(self.plan.folds.embargo)
        tail = (min(embargo.n, MAX_TAIL_DAYS) if embargo.unit == "days" else MAX_TAIL_DAYS) * DAY_NS
        plays: list[WindowPlay | None] = []
        for fold, choices in zip(self.folds, picked, strict=True):
            before = [play for play in plays if play is not None]
            capital = worth_at(before, self.base.settings.capital, fold.test.bounds[0])
            groups: dict[str, tuple[Stage, list[Share]]] = {}
            for c in choices:
                key, stage = self.study.stages.of(c.variant.config)
                share = Share(c.variant, numbers[c.variant.key], c.symbol, c.weight)
                groups.setdefault(key, (stage, []))[1].append(share)
            if not groups or capital <= 0:
                plays.append(None)
                continue
            stages, shares = zip(*groups.values(), strict=True)
            plays.append(play_window(stages, shares, fold.test, capital=capital, cost_scale=cost_scale, tail_ns=tail))
        return plays

    def _note(self, variants: Sequence[Variant]) -> None:
        self.ledger.record(self.base, self.study_id, {variant.key: None for variant in variants})

    def _note_ratios(self) -> None:
        ratios = {name: _daily_ratio(windows) for name, windows in self.test_returns.items()}
        self.ledger.record(self.base, self.study_id, ratios)

    def _evidence(self, result: BacktestResult) -> Evidence:
        from tradesentry.backtest.evaluation import daily_curve

        whole = [w for _, w in sorted(self.test_returns.items()) if len(w) == len(self.folds)]
        lengths = [max(len(w[i]) for w in whole) for i in range(len(self.folds))] if whole else []
        series = [
            np.concatenate([np.pad(part, (0, n - len(part))) for part, n in zip(w, lengths, strict=True)])
            for w in whole
        ]
        returns = daily_curve(result).returns
        return evidence_of(
            np.where(np.isfinite(returns), returns, 0.0),
            gains=result.trades["net"].to_numpy().astype(np.float64),
            capital=result.capital,
            tried=self.ledger.tried(self.base),
            variants=np.stack(series, axis=1) if len(series) > 1 else None,
        )


def _daily_ratio(windows: Sequence[FloatArray]) -> float | None:
    """Return the Sharpe ratio per day of daily returns, None where they do not vary."""
    ratio = moments(np.concatenate(windows)).sharpe if windows else math.nan
    return ratio if math.isfinite(ratio) else None
