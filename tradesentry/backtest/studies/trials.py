"""Remember every variant ever tried on a market: the number by which a good result must be deflated.

The best of many attempts looks good without any skill, whoever made them and in whichever study. The ledger therefore
counts by market (source and symbol), across strategies, studies and periods: a second look at the same prices is not a
fresh start. Each study owns one file per market, so that nothing is locked, killed studies leave what they tried, and
repeating a study adds nothing.
"""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tradesentry.backtest.data import is_synthetic
from tradesentry.backtest.resolve import ResolvedRun

FOLDER: Final = ".trials"
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried on a set of markets."""

    n_trials: int
    """Distinct variants."""
    sharpe_variance: float
    """Variance of their Sharpe ratios per day; 0 where fewer than two are known."""


def market_keys(run: ResolvedRun) -> list[str]:
    """Return the names under which the markets of a run are counted."""
    source = run.settings.source
    keys = []
    for series in run.data.series[: run.data.n_traded]:
        name = source if series.is_synthetic and is_synthetic(source) else series.source or source
        keys.append(f"{_UNSAFE.sub('-', name)}_{_UNSAFE.sub('-', series.symbol)}")
    return keys


class TrialLedger:
    """The ledger of one folder of runs.

    Args:
        runs: Folder of results.
    """

    def __init__(self, runs: Path) -> None:
        self.root = runs / FOLDER

    def record(self, run: ResolvedRun, study: str, tried: Mapping[str, float | None]) -> None:
        """Note the variants that a study has tried; what it noted before stays.

        Args:
            run: The study's run, for its markets.
            study: Its id.
            tried: Sharpe ratio per day by variant key, None where unknown.
        """
        for key in market_keys(run):
            path = self.root / key / f"{study}.json"
            known = _read(path)
            merged = known | {k: v for k, v in tried.items() if v is not None or k not in known}
            if merged != known:
                _write(path, merged)

    def tried(self, run: ResolvedRun) -> Tried:
        """Return how many variants were ever tried on any market of a run, and how their Sharpe ratios vary."""
        found: dict[str, float | None] = {}
        for key in market_keys(run):
            for path in sorted((self.root / key).glob("*.json")):
                for variant, ratio in _read(path).items():
                    if ratio is not None or variant not in found:
                        found[variant] = ratio
        ratios = np.array([ratio for ratio in found.values() if ratio is not None])
        return Tried(len(found), float(np.var(ratios, ddof=1)) if len(ratios) > 1 else 0.0)


def _read(path: Path) -> dict[str, float | None]:
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, float | None] = json.loads(path.read_text(encoding="utf-8"))["trials"]
        return found
    return {}


def _write(path: Path, trials: Mapping[str, float | None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"trials": dict(sorted(trials.items()))}, file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
