"""Try many variants on the same bars and say honestly what the best of them is worth.

One sweep, in this order: resolve the base run; list the variants (grid, random draw, or Optuna's search); note them in
the study ledger; screen on a few markets before costs where the app asks for it; play every variant on an account of
its own; rank by the lower bound of the mean R; judge the best against all that was ever tried; write the folder. A
sweep that is killed continues where it was, because finished plays are filed by content.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tradesentry.backtest.data import Bars
from tradesentry.backtest.executor import Job, Runner, new_job
from tradesentry.backtest.metrics.returns import DAYS_PER_YEAR
from tradesentry.backtest.resolve import ResolvedRun, checked_settings, resolve_run
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.runner import play
from tradesentry.backtest.studies.evidence import Evidence, evidence_of
from tradesentry.backtest.studies.outcome import Outcome
from tradesentry.backtest.studies.search import search
from tradesentry.backtest.studies.stage import WHOLE, Stages, Window
from tradesentry.backtest.studies.study import Report, Study
from tradesentry.backtest.studies.trials import TrialLedger
from tradesentry.backtest.studies.variants import (
    Space,
    Span,
    Variant,
    grid_variants,
    random_variants,
)
from tradesentry.core.utils.config_model import FrozenModel

OBJECTIVE: Final = "mean_r_bound"
"""What variants are ranked by: the mean R less one standard error by weeks."""
Status = Literal["played", "screened", "pruned"]
FloatArray = npt.NDArray[np.float64]


class SweepPlan(FrozenModel):
    """Everything a sweep is made of: the same plan gives the same results, to the last bit."""

    app: str = Field(description="Strategy.")
    config: dict[str, Any] = Field({}, description="Base configuration, as resolved.")
    settings: dict[str, Any] = Field({}, description="Account, costs, limits, period and source.")
    method: Literal["grid", "random", "optuna"] = Field("grid", description="How variants are found.")
    space: dict[str, Any] = Field({}, description="Values by key; {low, high} is a range.")
    n_trials: int = Field(0, ge=0, description="Draws of random, trials of optuna.")
    seed: int = Field(0, ge=0, description="Of the draw or the search.")
    n_parts: int = Field(4, ge=1, le=32, description="Parts of the period between which optuna gives trials up.")
    screen_symbols: tuple[str, ...] = Field((), description="Markets on which variants are screened before costs.")

    def search_space(self) -> Space:
        """Return the space with its ranges."""
        return {
            key: Span(entry["low"], entry["high"]) if isinstance(entry, Mapping) else tuple(map(_hashable, entry))
            for key, entry in self.space.items()
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One variant of a sweep."""

    variant: Variant
    status: Status
    outcome: Outcome | None
    """None when it was not played on all markets; without its trades."""

    @property
    def objective(self) -> float:
        """Return what it is ranked by; nan without enough trades."""
        return math.nan if self.outcome is None else self.outcome[OBJECTIVE]


@dataclass(frozen=True)
class SweepResult:
    """A finished sweep."""

    plan: SweepPlan
    rows: tuple[Row, ...]
    """Every variant, best first; those that could not be ranked last."""
    refused: Mapping[str, str]
    """Combinations that contradict themselves, with the reason."""
    evidence: Evidence | None
    """Of the best variant; None when no variant could be ranked."""
    best: BacktestResult | None
    """Its full result at the costs of the settings."""
    best_run: ResolvedRun | None
    study: dict[str, Any]
    """Plays, bars and seconds of this process."""


def space_document(space: Mapping[str, Sequence[Any] | Span]) -> dict[str, Any]:
    """Return a space in JSON types, as a plan stores it."""
    return {
        key: {"low": entry.low, "high": entry.high} if isinstance(entry, Span) else list(entry)
        for key, entry in space.items()
    }


def run_sweep(
    plan: SweepPlan,
    *,
    runner: Runner,
    runs: Path,
    study_id: str,
    bars: Bars | None = None,
    report: Report | None = None,
) -> SweepResult:
    """Run a sweep, or what is left of it, and return its result.

    Args:
        plan: What to try.
        runner: Executor, entered.
        runs: Folder of results: the ledger and the finished plays live in it.
        study_id: Name of the sweep in the ledger.
        bars: Series to use instead of the settings' source.
        report: Told how far it is.

    Raises:
        TradeSentryError: Whatever is wrong with the plan or the data.
    """
    base = resolve_run(plan.app, bars=bars, config=plan.config, settings=checked_settings(plan.settings))
    study = Study(Stages(plan.app, base), runner, runs=runs, report=report)
    sweep = _Sweep(plan, base, study, runs, study_id)
    rows, refused = sweep.search() if plan.method == "optuna" else sweep.listed()
    sweep.note(rows)
    ranked = tuple(sorted(rows, key=_rank))
    best_run = study.stages.of(ranked[0].variant.config)[1].with_config(ranked[0].variant.config)
    is_ranked = math.isfinite(ranked[0].objective)
    best = play(best_run) if is_ranked else None
    progress = study.progress
    return SweepResult(
        plan,
        ranked,
        refused,
        sweep.judge(ranked) if is_ranked else None,
        best,
        best_run if is_ranked else None,
        {
            "plays": progress.done,
            "reused": progress.reused,
            "bars": progress.bars,
            "seconds": progress.seconds,
        },
    )


class _Sweep:
    def __init__(self, plan: SweepPlan, base: ResolvedRun, study: Study, runs: Path, study_id: str) -> None:
        self.plan, self.base, self.study = plan, base, study
        self.ledger, self.study_id = TrialLedger(runs), study_id

    def listed(self) -> tuple[list[Row], dict[str, str]]:
        """Play the variants of a grid or a draw."""
        plan, space = self.plan, self.plan.search_space()
        if plan.method == "random":
            variants, refused = random_variants(
                plan.app, self.base.config, space, n=max(plan.n_trials, 1), seed=plan.seed
            )
        else:
            listed = {key: entry for key, entry in space.items() if not isinstance(entry, Span)}
            variants, refused = grid_variants(plan.app, self.base.config, listed)
        self._note_attempts(variants)
        kept = self._screen(variants)
        outcomes = self._play([variant for variant in variants if variant.key in kept])
        rows = [
            Row(variant, "played" if variant.key in kept else "screened", outcomes.get(variant.key))
            for variant in variants
        ]
        return rows, refused

    def search(self) -> tuple[list[Row], dict[str, str]]:
        """Let Optuna move the parameters; the trials that it finished are played on the whole period."""
        plan = self.plan
        windows = self._parts()

        def judge(variants: Sequence[Variant], part: int) -> list[float]:
            self._note_attempts(variants)
            found = self._play(variants, windows[part])
            return [found[variant.key][OBJECTIVE] for variant in variants]

        trials = search(
            plan.app,
            self.base.config,
            plan.search_space(),
            judge,
            n_trials=max(plan.n_trials, 1),
            n_parts=len(windows),
            seed=plan.seed,
            journal=self.ledger.root.parent / self.study_id / "optuna.journal",
        )
        finished = {trial.variant.key: trial.variant for trial in trials if not trial.is_pruned}
        pruned = {trial.variant.key: trial.variant for trial in trials if trial.variant.key not in finished}
        outcomes = self._play(list(finished.values()))
        played = [Row(variant, "played", outcomes[key]) for key, variant in finished.items()]
        return [*played, *(Row(variant, "pruned", None) for variant in pruned.values())], {}

    def note(self, rows: Sequence[Row]) -> None:
        """Write the Sharpe ratios of what was played into the ledger."""
        tried = {row.variant.key: _daily_sharpe(row.outcome) for row in rows}
        self.ledger.record(self.base, self.study_id, tried)

    def judge(self, ranked: Sequence[Row]) -> Evidence | None:
        """Return the evidence for the best variant against all attempts."""
        played = [row.outcome for row in ranked if row.outcome is not None]
        length = max(len(outcome.returns) for outcome in played)
        same = [outcome.returns for outcome in played if len(outcome.returns) == length]
        best = ranked[0]
        stage_key, stage = self.study.stages.of(best.variant.config)
        whole = self.study.again(new_job(stage_key, stage, best.variant, WHOLE))
        return evidence_of(
            whole.returns,
            gains=np.ascontiguousarray(whole.trades["net"]),
            capital=self.base.settings.capital,
            tried=self.ledger.tried(self.base),
            variants=np.stack(same, axis=1),
        )

    def _note_attempts(self, variants: Sequence[Variant]) -> None:
        self.ledger.record(self.base, self.study_id, {variant.key: None for variant in variants})

    def _screen(self, variants: Sequence[Variant]) -> set[str]:
        """Return the variants that do not lose before costs on the screening markets; all without a screen."""
        symbols = [series.symbol for series in self.base.data.series[: self.base.data.n_traded]]
        screen = [symbol for symbol in symbols if symbol in self.plan.screen_symbols]
        everyone = {variant.key for variant in variants}
        if not screen or len(screen) == len(symbols):
            return everyone
        jobs = self._jobs(variants, WHOLE, symbols=screen, cost_scale=0.0)
        gains = {job.variant.key: outcome["mean_r"] for job, outcome in self.study.outcomes(jobs)}
        return {key for key, mean in gains.items() if mean > 0}

    def _play(self, variants: Sequence[Variant], window: Window = WHOLE) -> dict[str, Outcome]:
        """Return the outcomes of variants by key, without their trades: thousands of variants must fit into memory."""
        found = {}
        for job, outcome in self.study.outcomes(self._jobs(variants, window)):
            found[job.variant.key] = Outcome(outcome.figures, outcome.trades[:0].copy(), outcome.equity)
        return found

    def _jobs(
        self,
        variants: Sequence[Variant],
        window: Window,
        *,
        symbols: Sequence[str] | None = None,
        cost_scale: float | None = None,
    ) -> list[Job]:
        jobs = []
        for variant in variants:
            key, stage = self.study.stages.of(variant.config, symbols)
            jobs.append(new_job(key, stage, variant, window, cost_scale=cost_scale))
        return jobs

    def _parts(self) -> list[Window]:
        """Return equal parts of the period."""
        first, last = self.study.stages.of(self.base.config)[1].span
        edges = np.linspace(first, last, self.plan.n_parts + 1).astype(np.int64).tolist()
        return [Window(begin, end) for begin, end in pairwise(edges)]


def _rank(row: Row) -> tuple[bool, float, str]:
    value = row.objective
    return not math.isfinite(value), -value if math.isfinite(value) else 0.0, row.variant.key


def _daily_sharpe(outcome: Outcome | None) -> float | None:
    if outcome is None or not math.isfinite(outcome["sharpe"]):
        return None
    return outcome["sharpe"] / math.sqrt(DAYS_PER_YEAR)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
