"""Remember every variant ever tried on a market: the number by which a good result must be deflated.

The best of many attempts looks good without any skill, whoever made them and in whichever study. The ledger therefore
counts by market (source and symbol), across strategies, studies and periods: a second look at the same prices is not a
fresh start. Each study owns its files of a market, so that nothing is locked, killed studies leave what they tried, and
repeating a study adds nothing.

===================  ===============================================================================================
file of a market     holds
===================  ===============================================================================================
<study>.json         Sharpe ratio per day by attempt: what is counted
<study>.looks.jsonl  one row per fit or evaluation, only ever added to: which slice of the data was touched, by what
===================  ===============================================================================================
"""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from tradesentry.backtest.data import is_synthetic
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.core.domain.errors import DataError
from tradesentry.core.market.bars import checksum_of

FOLDER: Final = ".trials"
LOOKS: Final = ".looks.jsonl"
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Tried:
    """What was tried on a set of markets."""

    n_trials: int
    """Distinct variants."""
    sharpe_variance: float
    """Variance of their Sharpe ratios per day; 0 where fewer than two are known."""


@dataclass(frozen=True, slots=True)
class Look:
    """One fit or evaluation: what has seen which slice of the data."""

    app: str
    config: str
    """Hash of the variant or name of the recipe."""
    data: str
    """Digest of the bars of the slice."""
    fold: int
    seed: int | None
    split: Literal["train", "validation", "test"]
    """A fit touches `train`; a choice touches `validation`; a report touches `test`."""
    score: float | None
    """What it came to there, Sharpe ratio per day; None where unknown."""


def bars_digest(run: ResolvedRun) -> str:
    """Return the digest of the bars that a run trades."""
    return checksum_of(*(series.bars for series in run.data.series[: run.data.n_traded]))


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

    def note_looks(self, run: ResolvedRun, study: str, looks: Sequence[Look]) -> None:
        """Add one row per look; those that the study has noted before stay as they are.

        Args:
            run: The study's run, for its markets.
            study: Its id.
            looks: What has seen which slice.
        """
        for key in market_keys(run):
            path = self.root / key / f"{study}{LOOKS}"
            known = {_identity(one) for one in _looks(path)}
            fresh = {_identity(one): one for one in looks if _identity(one) not in known}
            if fresh:
                path.parent.mkdir(parents=True, exist_ok=True)
                lines = "".join(json.dumps(asdict(one), sort_keys=True) + "\n" for one in fresh.values())
                # A kill may have torn the last line; a row on a line of its own is whole.
                torn = path.is_file() and not path.read_bytes().endswith(b"\n")
                with path.open("a", encoding="utf-8") as file:
                    file.write(("\n" if torn else "") + lines)

    def looks(self, run: ResolvedRun, study: str | None = None) -> list[tuple[str, Look]]:
        """Return (study, look) of every row on the first market of a run; of one study when it is given."""
        found = []
        for path in sorted((self.root / market_keys(run)[0]).glob(f"{study or '*'}{LOOKS}")):
            found += [(path.name.removesuffix(LOOKS), look) for look in _looks(path)]
        return found

    def others_at(self, run: ResolvedRun, study: str, data: str) -> int:
        """Return how many other studies have reported on the test slice with that digest."""
        return len({name for name, look in self.looks(run) if name != study and _is_test(look, data)})

    def require(self, run: ResolvedRun, study: str) -> None:
        """Refuse a report of a study that the ledger knows nothing of.

        Raises:
            DataError: The ledger has no file of this study for one of its markets.
        """
        missing = [key for key in market_keys(run) if not _read(self.root / key / f"{study}.json")]
        self._refuse(study, missing)

    def require_symbols(self, symbols: Sequence[str], study: str) -> None:
        """Refuse to write the report of a finished study again that the ledger knows nothing of.

        Args:
            symbols: Markets of the study.
            study: Its id.

        Raises:
            DataError: As `require`.
        """
        safe = {symbol: _UNSAFE.sub("-", symbol) for symbol in symbols}
        found = {symbol for symbol, name in safe.items() if any(map(_read, self.root.glob(f"*_{name}/{study}.json")))}
        self._refuse(study, [symbol for symbol in symbols if symbol not in found])

    def _refuse(self, study: str, missing: Sequence[str]) -> None:
        if missing:
            raise DataError(
                f"The study ledger in {self.root} has nothing of {study} on {', '.join(missing)}, so nobody can tell "
                "how many attempts its result is the best of. A report without its ledger is not written: run the "
                "study again, or put the ledger back.",
                code="no_ledger",
            )


def _is_test(look: Look, data: str) -> bool:
    return look.split == "test" and look.data == data


def _identity(look: Look) -> str:
    text = json.dumps([look.app, look.config, look.data, look.fold, look.seed, look.split])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _looks(path: Path) -> Iterator[Look]:
    """Yield the rows of a file; a line that a kill has torn is none."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, TypeError):
                yield Look(**json.loads(line))


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
