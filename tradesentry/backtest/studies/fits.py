"""Fit a model in every fold instead of searching parameters: what a fit is given, and what is traded of it.

Separate from the walk itself, which trades what is chosen, however it was found. In each fold the app's hook learns on
the train slice and chooses on the validation slice; what it chose is traded on the test window, and every seed beside
it, because a learned policy that is shown by its best seed shows nothing. A recipe (settings and seed) that is fitted
anew in every fold is one attempt in the ledger, not one per fold.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.studies.experiment import Fit, fit_of
from tradesentry.backtest.studies.folds import Fold
from tradesentry.backtest.studies.stage import Stages, Window
from tradesentry.backtest.studies.trials import Look, TrialLedger, bars_digest
from tradesentry.backtest.studies.variants import Variant, make_variant, settings_key
from tradesentry.backtest.studies.walks import FitReport, Fitted, FitWindow, WalkForwardPlan, say_nothing
from tradesentry.core.domain.errors import ConfigError

CHOSEN = "chosen"
"""Recipe of what validation chose."""


@dataclass(frozen=True, slots=True)
class SeedVariant:
    """One seed of a fold's fit, ready to be played."""

    seed: int
    variant: Variant
    score: float
    """On validation; nan where unknown."""


@dataclass(frozen=True, slots=True)
class FoldFit:
    """What the fit of one fold came to."""

    chosen: Variant
    seeds: tuple[SeedVariant, ...]

    @property
    def variants(self) -> list[Variant]:
        """Return what is played, the choice first, equal ones once."""
        found = {variant.key: variant for variant in (self.chosen, *(one.variant for one in self.seeds))}
        return list(found.values())


@dataclass(frozen=True, slots=True)
class FitPlace:
    """Where and how fits run."""

    folder: Path
    """Finished work, named by content."""
    workers: int = 1
    report: FitReport = say_nothing


class Fits:
    """The fits of a walk-forward, each made when first needed.

    Args:
        plan: What is asked.
        base: The resolved base run.
        stages: Stages of the study.
        ledger: Told of everything that was tried.
        study_id: Name of the study in it.
        place: Where and how fits run.
        hook: The app's `fit`; looked up by name when None.

    Raises:
        ConfigError: The app has no hook.
    """

    def __init__(
        self,
        plan: WalkForwardPlan,
        base: ResolvedRun,
        stages: Stages,
        ledger: TrialLedger,
        study_id: str,
        place: FitPlace,
        hook: Callable[[str], Fit | None] = fit_of,
    ) -> None:
        found = hook(plan.app)
        if found is None:
            raise ConfigError(
                f"{plan.app} has no fit(train, validation, seed) hook. Give --grid, --random or --optuna."
            )
        self._fit = found
        self._plan, self._base, self._stages = plan, base, stages
        self._ledger, self._study_id, self._place = ledger, study_id, place
        self._made: dict[int, FoldFit] = {}
        self._recipes: dict[str, list[str]] = {}
        self.report = place.report
        """Told how far long work of this study is."""

    def of(self, fold: Fold) -> FoldFit:
        """Return the fit of a fold."""
        if fold.index not in self._made:
            self._made[fold.index] = self._fitted(fold)
        return self._made[fold.index]

    def recipes(self, key: str) -> list[str]:
        """Return the names of the attempts that a variant is one fold of, by its key."""
        return self._recipes[key]

    def _fitted(self, fold: Fold) -> FoldFit:
        train = self._window(fold, fold.train, fold.pieces)
        judged = None if fold.validation is None else self._window(fold, fold.validation, (fold.validation,))
        found = self._fit(train, judged, self._plan.seed)
        fitted = found if isinstance(found, Fitted) else Fitted(found)
        made = FoldFit(
            make_variant(self._plan.app, self._base.config, fitted.values),
            tuple(
                SeedVariant(one.seed, make_variant(self._plan.app, self._base.config, one.values), one.score)
                for one in fitted.seeds
            ),
        )
        for one in made.seeds:
            self._name(one.variant, f"seed-{one.seed}")
        self._name(made.chosen, CHOSEN)
        self._record(fold, made, fitted, train, judged)
        return made

    def _window(self, fold: Fold, window: Window, pieces: tuple[Window, ...]) -> FitWindow:
        section = self._stages.of(self._base.config)[1].section(self._base.config, window)
        return FitWindow(
            section.run,
            section.n_before,
            fold,
            window,
            pieces,
            folder=self._place.folder.resolve(),
            workers=self._place.workers,
            report=self._place.report,
        )

    def _name(self, variant: Variant, recipe: str) -> None:
        name = f"{settings_key(self._plan.app, self._base.config)}-{recipe}"
        names = self._recipes.setdefault(variant.key, [])
        if name not in names:
            names.append(name)

    def _record(self, fold: Fold, made: FoldFit, fitted: Fitted, train: FitWindow, judged: FitWindow | None) -> None:
        """Tell the ledger what was tried in this fold, and which slices it has seen."""
        tried = dict(fitted.trials)
        for variant in made.variants:
            for name in self._recipes[variant.key]:
                tried.setdefault(name, None)
        self._ledger.record(self._base, self._study_id, tried)
        look = Look(self._plan.app, "", "", fold.index, None, "train", None)
        rows = []
        for one in made.seeds or (SeedVariant(self._plan.seed, made.chosen, math.nan),):
            named = replace(look, config=self._recipes[one.variant.key][0], seed=one.seed)
            rows.append(replace(named, data=bars_digest(train.run)))
            if judged is not None:
                score = one.score if math.isfinite(one.score) else None
                rows.append(replace(named, data=bars_digest(judged.run), split="validation", score=score))
        self._ledger.note_looks(self._base, self._study_id, rows)
