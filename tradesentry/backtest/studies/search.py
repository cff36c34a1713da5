"""Search parameters with Optuna's tree of Parzen estimators, so that a search can be killed, resumed and repeated.

Trials are asked for in batches of a fixed size, whatever the number of threads, and the sampler is seeded anew for
every trial from the seed and the trial's number. So the sequence of trials depends on the search alone, and a search
that was killed in the middle of a batch goes on as if nothing had happened. Trials are stored in a journal that
Optuna's own tools read.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tradesentry.backtest.studies.variants import Space, Span, Variant, make_variant, plain_text
from tradesentry.core.domain.errors import ConfigError, DataError
from tradesentry.core.strategy.base_strategy import StrategyConfig

BATCH: Final = 8
"""Trials asked for before any of them is judged."""
STARTUP: Final = 16
"""Trials drawn at random before the estimator has something to learn from."""
MIN_FINISHED: Final = 4
"""Finished trials before any is given up early."""
WORST: Final = -1e9
"""Value of a trial that has none, so that the estimator turns away from it."""

Judge = Callable[[Sequence[Variant], int], Sequence[float]]
"""From variants and the number of a part of the period to the value of each on it; nan where it has none."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt of a search."""

    variant: Variant
    value: float
    """Mean over the parts it was judged on; nan where it had none."""
    is_pruned: bool
    """Given up before it was judged on every part."""


def search(
    app: str,
    base: StrategyConfig,
    space: Space,
    judge: Judge,
    *,
    n_trials: int,
    n_parts: int = 1,
    seed: int = 0,
    journal: Path | None = None,
    name: str = "search",
) -> list[Trial]:
    """Return the trials of a search in their order.

    Args:
        app: Strategy.
        base: Configuration that the values are laid over.
        space: What may be moved.
        judge: Plays variants on one part of the period and returns the value to be maximized.
        n_trials: Trials wanted, those of an earlier, killed run included.
        n_parts: Parts of the period; a trial below the median of the finished ones is given up between parts.
        seed: The same seed gives the same trials.
        journal: File that keeps them; nothing is kept when None.
        name: Name of the search in the journal.

    Raises:
        ConfigError: The space is empty.
        DataError: The journal belongs to another search.
    """
    if not space:
        raise ConfigError("The search has nothing to move. Give --search KEY=LOW..HIGH, or choose --grid.")
    return _Search(app, base, space, judge, n_parts=n_parts, seed=seed).run(n_trials, journal, name)


class _Search:
    def __init__(self, app: str, base: StrategyConfig, space: Space, judge: Judge, *, n_parts: int, seed: int) -> None:
        self.app, self.base, self.space, self.judge = app, base, space, judge
        self.n_parts, self.seed = n_parts, seed

    def run(self, n_trials: int, journal: Path | None, name: str) -> list[Trial]:
        """Finish what is open, then go on batch by batch."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=_storage(journal),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.NopPruner(),
        )
        distributions = self._distributions()
        self._refuse_other(study, distributions)
        while True:
            trials = study.get_trials(deepcopy=False)
            asked = len(trials)
            open_ = [optuna.trial.Trial(study, t._trial_id) for t in trials if not t.state.is_finished()]
            wanted = min(n_trials, (asked - len(open_)) // BATCH * BATCH + BATCH) - asked
            for number in range(asked, asked + wanted):
                study.sampler = self._sampler(number)
                open_.append(study.ask(distributions))
            if not open_:
                break
            self._judge_batch(study, open_)
        return self._trials(study)

    def _sampler(self, number: int) -> Any:
        import optuna

        return optuna.samplers.TPESampler(
            seed=(self.seed * 1_000_003 + number) % 2**32,
            n_startup_trials=STARTUP,
        )

    def _distributions(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        found: dict[str, Any] = {}
        for key, entry in self.space.items():
            if not isinstance(entry, Span):
                found[key] = CategoricalDistribution([plain_text(value) for value in entry])
            elif isinstance(entry.low, int) and isinstance(entry.high, int):
                found[key] = IntDistribution(entry.low, entry.high)
            else:
                found[key] = FloatDistribution(float(entry.low), float(entry.high))
        return found

    def _values(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return configuration values of Optuna's: choices by their text, floats short enough to read."""
        values: dict[str, Any] = {}
        for key, entry in self.space.items():
            if isinstance(entry, Span):
                value = params[key]
                values[key] = min(max(round(value, 6), entry.low), entry.high) if isinstance(value, float) else value
            else:
                values[key] = next(value for value in entry if plain_text(value) == params[key])
        return values

    def _variant(self, params: dict[str, Any]) -> Variant | None:
        try:
            return make_variant(self.app, self.base, self._values(params))
        except ConfigError:
            return None

    def _judge_batch(self, study: Any, batch: Sequence[Any]) -> None:
        """Judge the trials of a batch part by part and tell the study, in the order of their numbers."""
        from optuna.trial import TrialState

        alive: list[tuple[Any, Variant]] = []
        for trial in batch:
            variant = self._variant(trial.params)
            if variant is None:
                study.tell(trial, state=TrialState.FAIL)
            else:
                alive.append((trial, variant))
        values: dict[int, list[float]] = {trial.number: [] for trial, _ in alive}
        for part in range(self.n_parts):
            judged = self.judge([variant for _, variant in alive], part) if alive else []
            left = []
            for (trial, variant), value in zip(alive, judged, strict=True):
                values[trial.number].append(value if math.isfinite(value) else WORST)
                mean = math.fsum(values[trial.number]) / len(values[trial.number])
                _report(study, trial, mean, part)
                is_last = part == self.n_parts - 1
                if not is_last and _is_below_median(study, trial.number, mean, part):
                    study.tell(trial, state=TrialState.PRUNED)
                elif is_last:
                    study.tell(trial, mean)
                else:
                    left.append((trial, variant))
            alive = left

    def _refuse_other(self, study: Any, distributions: dict[str, Any]) -> None:
        for trial in study.get_trials(deepcopy=False)[:1]:
            if trial.distributions != distributions:
                raise DataError(
                    f"The journal holds a search over {', '.join(trial.distributions)} with other bounds. "
                    "Start a new study, or resume with the search space it was made with.",
                    code="other_search",
                )

    def _trials(self, study: Any) -> list[Trial]:
        from optuna.trial import TrialState

        found = []
        for trial in study.get_trials(deepcopy=False):
            variant = self._variant(trial.params)
            if variant is None or trial.state == TrialState.FAIL:
                continue
            is_pruned = trial.state == TrialState.PRUNED
            last = trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else math.nan
            value = last if is_pruned else trial.value
            found.append(Trial(variant, value if value is not None and value > WORST / 2 else math.nan, is_pruned))
        return found


def _report(study: Any, trial: Any, value: float, part: int) -> None:
    """Report a value unless a killed run did so."""
    if part not in study.get_trials(deepcopy=False)[trial.number].intermediate_values:
        trial.report(value, part)


def _is_below_median(study: Any, number: int, value: float, part: int) -> bool:
    """Say whether a trial is worse after a part than the median of those finished in earlier batches.

    Trials of its own batch do not count: which of them were told before a kill must not matter.
    """
    earlier = study.get_trials(deepcopy=False)[: number // BATCH * BATCH]
    values = [t.intermediate_values[part] for t in earlier if t.value is not None and part in t.intermediate_values]
    return len(values) >= MIN_FINISHED and value < statistics.median(values)


def _storage(journal: Path | None) -> Any:
    if journal is None:
        return None
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(journal)))
