"""What training is: the `Trainer` port, what it returns, and where its random numbers come from.

Nothing of a learning library leaves a trainer: a `TrainedPolicy` is float32 arrays by name and plain metadata. One root
seed gives three independent streams (environment, network, sampler), so that a change of one does not shift the others.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from tradesentry.apps.drlfusion.agents.base_agent import Tensors
from tradesentry.apps.drlfusion.layout import Head
from tradesentry.apps.drlfusion.training_config import Algorithm, TrainingConfig
from tradesentry.core.domain.errors import UsageError

__all__ = [
    "Algorithm",
    "Look",
    "Progress",
    "RunSeeds",
    "TrainedPolicy",
    "Trainer",
    "TrainingConfig",
    "TrainingProgress",
]

MAX_SEED: Final = 2**31 - 1
EXTRA_MODULES: Final = ("gymnasium", "stable_baselines3", "torch")
PACKAGES: Final = {"stable_baselines3": "stable-baselines3"}
"""Names of packages that differ from those of their modules."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at validation."""

    step: int
    """Environment steps of training before it."""
    mean: float
    """Net result per bar in ATRs of one full unit, mean over starts."""
    error: float
    """Standard error of the mean over starts."""
    turnover: float
    """Levels changed per bar."""
    exposure: float
    """Mean absolute level held."""

    @property
    def score(self) -> float:
        """Return what checkpoints are compared by: the lower bound, one standard error below the mean."""
        return self.mean - self.error


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far one training run is."""

    algorithm: Algorithm
    seed: int
    step: int
    n_steps: int
    best: float
    """Best validation score so far; nan before the first look."""


Progress = Callable[[TrainingProgress], None]


@dataclass(frozen=True, slots=True)
class RunSeeds:
    """The random streams of one training run."""

    environment: int
    network: int
    sampler: int

    @classmethod
    def of(cls, seed: int) -> "RunSeeds":
        """Return the streams of a root seed.

        Args:
            seed: 0 or more.
        """
        children = np.random.SeedSequence(seed).spawn(3)
        return cls(*(int(child.generate_state(1)[0]) & MAX_SEED for child in children))


@dataclass(frozen=True)
class TrainedPolicy:
    """What a training run leaves."""

    algorithm: Algorithm
    head: Head
    """What the outputs mean."""
    tensors: Tensors
    looks: tuple[Look, ...]
    """Every look at validation, in order."""
    best: int
    """Index of the look whose network this is."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Seed, steps, back-end and versions, hyper-parameters; equal for equal runs."""

    @property
    def score(self) -> float:
        """Return the validation score of the network that was kept."""
        return self.looks[self.best].score

    @property
    def digest(self) -> str:
        """Return the hash of the network, sha256."""
        digest = hashlib.sha256(f"{self.algorithm} {self.head.name}".encode())
        for name in sorted(self.tensors):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(self.tensors[name]).tobytes())
        return digest.hexdigest()

    def document(self) -> dict[str, Any]:
        """Return everything but the arrays in JSON types."""
        looks = [[look.step, look.mean, look.error, look.turnover, look.exposure] for look in self.looks]
        return {
            "algorithm": self.algorithm,
            "head": self.head.name.lower(),
            "looks": looks,
            "best": self.best,
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], tensors: Tensors) -> "TrainedPolicy":
        """Return the policy that `document` and its arrays describe."""
        looks = tuple(Look(*row) for row in document["looks"])
        return cls(
            document["algorithm"],
            Head[document["head"].upper()],
            tensors,
            looks,
            document["best"],
            document["metadata"],
        )


class Trainer(Protocol):
    """A back-end that trains one of the four agents."""

    algorithm: Algorithm

    def fit(
        self, train: Any, validation: Any, *, config: TrainingConfig, seed: int, progress: Progress
    ) -> TrainedPolicy:
        """Train on `train` and return the network that was best on `validation`.

        Args:
            train: `SimulationEnv` of the training slice.
            validation: `SimulationEnv` of the validation slice, with the reward `net`.
            config: Budget and hyper-parameters.
            seed: Root seed.
            progress: Told how far it is.

        Raises:
            DataError: The training diverged.
            UsageError: The learning library is not installed.
        """


def quiet(_progress: TrainingProgress) -> None:
    """Take progress and be quiet."""


def canonical(document: Any) -> str:
    """Return the one JSON text of a document: sorted keys, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def require_extra() -> dict[str, str]:
    """Return the versions of the learning libraries.

    Raises:
        UsageError: One of them is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {name: version(PACKAGES.get(name, name)) for name in EXTRA_MODULES}
    except PackageNotFoundError as error:
        raise UsageError(
            f"Training needs the package {error.name}, which is not installed. Install `tradesentry[drl]`: "
            "pip install 'trade-sentry-ai[drl]'.",
            code="no_drl_extra",
        ) from error
