"""Keep finished work so that it is never done twice: outcomes on disk, addressed by what went into them.

The address of an outcome is the digest of configuration, window, cost scale, data, settings and code. A study that was
killed finds here what it had finished; a repeated one finds everything. Files appear whole or not at all, hold any
number of outcomes, and may be deleted at any time: that costs computing, nothing else.
"""

import contextlib
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tradesentry.backtest.studies.outcome import FIGURES, ROUND_TRIP, Outcome

FORMAT = 1
SUFFIX = ".npz"
DIGEST_CHARS = 32
_LAYOUT = np.dtype(f"S{DIGEST_CHARS}")


class Store:
    """Outcomes of one stage: a folder of files.

    Args:
        root: Folder of all stages.
        stage: Digest of the stage.
    """

    def __init__(self, root: Path, stage: str) -> None:
        self.folder = root / f"{FORMAT}-{stage}"
        self._files: dict[str, tuple[Path, int]] | None = None

    def known(self) -> Mapping[str, tuple[Path, int]]:
        """Return file and row of every stored outcome by its digest."""
        if self._files is None:
            self._files = {}
            for path in sorted(self.folder.glob(f"*{SUFFIX}")):
                for row, digest in enumerate(_digests(path)):
                    self._files.setdefault(digest, (path, row))
        return self._files

    def __contains__(self, digest: str) -> bool:
        return digest in self.known()

    def read(self, digests: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
        """Yield the stored outcomes of `digests`, each file read once; those that cannot be read are left out."""
        by_file: dict[Path, list[tuple[int, str]]] = {}
        for digest in digests:
            place = self.known().get(digest)
            if place is not None:
                by_file.setdefault(place[0], []).append((place[1], digest))
        for path, rows in by_file.items():
            parts = _arrays_of(path, ("figures", "trades", "equity", "trade_ends", "equity_ends"))
            if parts is not None:
                yield from ((digest, _part(parts, row)) for row, digest in sorted(rows))

    def write(self, outcomes: Mapping[str, Outcome]) -> None:
        """Store outcomes as one file, whole or not at all."""
        if not outcomes:
            return
        name = hashlib.blake2b("".join(outcomes).encode(), digest_size=16).hexdigest()
        path = self.folder / f"{name}{SUFFIX}"
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=self.folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **_arrays(outcomes))
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
        if self._files is not None:
            for row, digest in enumerate(outcomes):
                self._files.setdefault(digest, (path, row))


def _arrays_of(path: Path, names: Iterable[str]) -> dict[str, Any] | None:
    """Return arrays of a file; None when it is damaged or of another layout, so that its work is done again."""
    damage = (OSError, ValueError, KeyError, zipfile.BadZipFile)
    # The file is opened here, because NumPy forgets to close one that it cannot read.
    with contextlib.suppress(*damage), path.open("rb") as file, np.load(file) as data:
        if data["figures"].shape[1:] == (len(FIGURES),) and data["trades"].dtype == ROUND_TRIP:
            return {name: data[name] for name in names}
    return None


def _digests(path: Path) -> list[str]:
    found = _arrays_of(path, ("digests",))
    return [] if found is None else [digest.decode() for digest in found["digests"].tolist()]


def _arrays(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    values = list(outcomes.values())
    return {
        "digests": np.array([digest.encode() for digest in outcomes], _LAYOUT),
        "figures": np.stack([one.figures for one in values]),
        "trades": np.concatenate([one.trades for one in values]),
        "equity": np.concatenate([one.equity for one in values]),
        "trade_ends": np.cumsum([len(one.trades) for one in values]),
        "equity_ends": np.cumsum([len(one.equity) for one in values]),
    }


def _part(data: Mapping[str, Any], row: int) -> Outcome:
    def cut(name: str) -> Any:
        ends = data["trade_ends" if name == "trades" else "equity_ends"]
        begin = int(ends[row - 1]) if row else 0
        return data[name][begin : int(ends[row])].copy()

    figures = np.asarray(data["figures"][row], np.float64).copy()
    return Outcome(figures, cut("trades").astype(ROUND_TRIP), cut("equity").astype(np.float64))
