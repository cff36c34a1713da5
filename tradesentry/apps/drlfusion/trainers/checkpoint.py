"""Keep what an interrupted training run could go on with: tensors only, read without running code.

Continuing is not exact: the learning library restores neither its random states nor its replay buffer, so a model that
was continued says `inexact_resume`. The default is therefore to start a cell from zero, which gives the same bytes as
an uninterrupted run.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tradesentry.apps.drlfusion.agents.base_agent import Tensors
from tradesentry.apps.drlfusion.trainers.base_trainer import Look
from tradesentry.core.domain.errors import DataError

FORMAT: Final = "tradesentry.checkpoint/1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training run at a look at validation."""

    step: int
    parameters: Mapping[str, Any]
    """State of networks and optimizers, as the learning library names them."""
    looks: tuple[Look, ...]
    best: int
    tensors: Tensors
    """The best network so far."""


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint beside its place and move it there.

    Args:
        path: File.
        checkpoint: What to keep.
    """
    import torch

    document = {
        "format": FORMAT,
        "step": checkpoint.step,
        "parameters": dict(checkpoint.parameters),
        "looks": [[look.step, look.mean, look.error, look.turnover, look.exposure] for look in checkpoint.looks],
        "best": checkpoint.best,
        "tensors": {name: torch.from_numpy(values.copy()) for name, values in checkpoint.tensors.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}.new")
    try:
        torch.save(document, new)
        new.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint of a file.

    Raises:
        DataError: The file is no checkpoint; nothing in it was run.
    """
    import pickle

    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}")
        return Checkpoint(
            found["step"],
            found["parameters"],
            tuple(Look(*row) for row in found["looks"]),
            found["best"],
            {name: values.numpy() for name, values in found["tensors"].items()},
        )
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} is no checkpoint of a training run: {error}. Delete it; the run then starts from zero."
        ) from error
