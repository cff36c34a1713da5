"""Train many cells, each once: a cell is one algorithm with one seed on one data set, named by all that shapes it.

Cells are pure functions of their key, so a killed study starts again at the first unfinished cell and its final output
is that of an uninterrupted one; inside a cell training starts from zero, which alone is exact. Results are files that
are written beside their place and moved there. Trainers hold the GIL, so cells run in processes of their own, one
thread each; processes end with their parent, also when it is killed.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tradesentry.apps.drlfusion.agents.base_agent import SHAPES
from tradesentry.apps.drlfusion.trainers.base_trainer import Progress, TrainedPolicy, canonical
from tradesentry.apps.drlfusion.training_config import Algorithm, TrainingConfig
from tradesentry.core.domain.errors import DataError

FORMAT: Final = "tradesentry.cell/1"


@dataclass(frozen=True, slots=True)
class Cell:
    """One training run of a study."""

    algorithm: Algorithm
    seed: int
    fold: int
    data: Path
    """Folder of the data set (`data_set.DataSet`)."""
    data_hash: str
    config: TrainingConfig
    code: str
    """Digest of the sources that decide and train."""
    tensorboard: Path | None = None
    resume: bool = False
    """Go on from the checkpoint of an interrupted run; the result then says that it is not exact."""

    @property
    def key(self) -> str:
        """Return the address of the cell's result."""
        parts = [self.algorithm, self.fold, self.seed, self.data_hash, self.config.digest, self.code]
        return hashlib.sha256(canonical(parts).encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """Return the cell in words."""
        return f"{self.algorithm}-fold{self.fold}-seed{self.seed}"


class CellStore:
    """Finished cells, by key.

    Args:
        root: Folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def checkpoint_of(self, cell: Cell) -> Path:
        """Return the file in which a cell in progress keeps what it could go on with."""
        return self.root / f"{cell.key}.checkpoint"

    def read(self, cell: Cell) -> TrainedPolicy | None:
        """Return the result of a cell, None when it is not finished or its file is damaged."""
        from safetensors import SafetensorError, safe_open

        path = self.root / f"{cell.key}.safetensors"
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                found = file.metadata()
                tensors = {name: file.get_tensor(name) for name in SHAPES}
            if found["format"] != FORMAT:
                return None
            policy = TrainedPolicy.from_document(json.loads(found["policy"]), tensors)
        except (SafetensorError, KeyError, ValueError, OSError):
            return None
        return policy if policy.digest == found["digest"] else None

    def write(self, cell: Cell, policy: TrainedPolicy) -> None:
        """Keep the result of a cell; a reader sees all of it or nothing."""
        from safetensors.numpy import save

        metadata = {"format": FORMAT, "policy": canonical(policy.document()), "digest": policy.digest}
        content = save({name: np.ascontiguousarray(values) for name, values in policy.tensors.items()}, metadata)
        self.root.mkdir(parents=True, exist_ok=True)
        new = self.root / f"{cell.key}.{os.getpid()}.new"
        try:
            new.write_bytes(content)
            new.replace(self.root / f"{cell.key}.safetensors")
        finally:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()


def train_cell(cell: Cell, store: CellStore, progress: Progress) -> TrainedPolicy:
    """Train one cell, keep its result and return it; a finished one is read.

    Args:
        cell: What to train.
        store: Where results are kept.
        progress: Told how far it is.

    Raises:
        DataError: The data set is not the one the cell names, or the training diverged.
    """
    from tradesentry.apps.drlfusion.trainers.data_set import DataSet
    from tradesentry.apps.drlfusion.trainers.registry import trainer_of

    found = store.read(cell)
    if found is not None:
        return found
    data = DataSet.open(cell.data)
    if data.hash != cell.data_hash:
        raise DataError(
            f"The data set in {cell.data} has the hash {data.hash[:12]}, the cell {cell.name} was made for "
            f"{cell.data_hash[:12]}. Start the study anew."
        )
    events = None if cell.tensorboard is None else cell.tensorboard / cell.name
    trainer = trainer_of(cell.algorithm, tensorboard=events, checkpoint=store.checkpoint_of(cell), resume=cell.resume)
    train, validation = data.environments(trainer.agent, cell.config, seed=cell.seed)
    policy: TrainedPolicy = trainer.fit(train, validation, config=cell.config, seed=cell.seed, progress=progress)
    store.write(cell, policy)
    return policy


def unfinished(cells: Sequence[Cell], store: CellStore) -> list[Cell]:
    """Return the cells without a result, each key once, in order."""
    wanted = {cell.key: cell for cell in cells}
    return [cell for cell in wanted.values() if store.read(cell) is None]


def train_cells(
    cells: Sequence[Cell], store: CellStore, *, processes: int = 1, progress: Progress
) -> dict[str, TrainedPolicy]:
    """Train what is not finished and return every result by key.

    Args:
        cells: What to train; equal ones are trained once.
        store: Where results are kept.
        processes: How many run at a time; 1 trains in this process.
        progress: Told how far each running cell is.

    Raises:
        TradeSentryError: A training failed; cells that were finished stay finished.
    """
    for _ in _trained(unfinished(cells, store), store, processes=processes, progress=progress):
        pass
    results: dict[str, Any] = {cell.key: store.read(cell) for cell in cells}
    lost = [cell.name for cell in cells if results[cell.key] is None]
    if lost:
        raise DataError(f"The results of {', '.join(lost)} were deleted while the study ran. Start it again.")
    return results


def _trained(cells: Sequence[Cell], store: CellStore, *, processes: int, progress: Progress) -> Iterator[Cell]:
    if processes == 1 or len(cells) < 2:
        for cell in cells:
            train_cell(cell, store, progress)
            yield cell
        return
    from tradesentry.apps.drlfusion.trainers.cell_processes import trained_in_processes

    yield from trained_in_processes(cells, store, processes=min(processes, len(cells)), progress=progress)
