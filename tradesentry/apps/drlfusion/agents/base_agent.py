"""What an agent is: its hyper-parameters, its head, and the way from a learning library's policy to plain arrays.

Separate from the trainers, because an agent outlives its training: what is packaged, traded and compared is the arrays
that `export` returns. Nothing here imports a learning library; a policy is read by the names of its layers.

Arrays are input-major (`w[i, j]` leads from input i to output j), float32, all four agents alike: 28 -> 64 -> 64 -> 5.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.layout import N_FEATURES, N_HIDDEN, N_OUT, Head
from tradesentry.apps.drlfusion.training_config import Action, Algorithm, TrainingConfig
from tradesentry.core.domain.errors import DataError

Float32Array = npt.NDArray[np.float32]
Tensors = Mapping[str, Float32Array]
SHAPES: Final = {
    "w1": (N_FEATURES, N_HIDDEN), "b1": (N_HIDDEN,),
    "w2": (N_HIDDEN, N_HIDDEN), "b2": (N_HIDDEN,),
    "w3": (N_HIDDEN, N_OUT), "b3": (N_OUT,),
}  # fmt: skip
"""Shape of every array of a network."""
HIDDEN: Final = (N_HIDDEN, N_HIDDEN)


@dataclass(frozen=True, slots=True)
class Defaults:
    """Hyper-parameters of one agent at one size of data; None where the algorithm has no such thing."""

    n_envs: int
    minibatch: int
    learning_rate: float
    rollout_steps: int | None = None
    epochs: int | None = None
    gae_lambda: float | None = None
    buffer: int | None = None
    updates: int | None = None
    """Gradient steps per step of all environments."""


class Agent(ABC):
    """One of the four agents."""

    algorithm: ClassVar[Algorithm]
    SMALL: ClassVar[Defaults]
    """Below one million bars."""
    LARGE: ClassVar[Defaults]

    def defaults(self, config: TrainingConfig) -> Defaults:
        """Return the agent's hyper-parameters with what the configuration sets laid over them."""
        base = self.SMALL if config.size == "small" else self.LARGE
        return Defaults(
            n_envs=config.n_envs or base.n_envs,
            minibatch=config.minibatch or base.minibatch,
            learning_rate=config.learning_rate or base.learning_rate,
            rollout_steps=None if base.rollout_steps is None else config.rollout_steps or base.rollout_steps,
            epochs=None if base.epochs is None else config.epochs or base.epochs,
            gae_lambda=_laid_over(base.gae_lambda, config.gae_lambda),
            buffer=base.buffer,
            updates=base.updates,
        )

    def action(self, config: TrainingConfig) -> Action:
        """Return the space the agent learns in; what it trades are levels in both."""
        return config.action

    @abstractmethod
    def head(self, config: TrainingConfig) -> Head:
        """Return what the five outputs mean."""

    @abstractmethod
    def hyper_parameters(self, config: TrainingConfig) -> dict[str, Any]:
        """Return the arguments of the learning library's algorithm."""

    @abstractmethod
    def export(self, policy: Any) -> Tensors:
        """Return the network that decides as arrays.

        Args:
            policy: Policy of the learning library; `Any` because that library is optional.

        Raises:
            DataError: The network has another shape, or a value that is not finite.
        """


def _laid_over(base: float | None, given: float | None) -> float | None:
    return None if base is None else base if given is None else given


def network(first: Any, second: Any, weight: Any, bias: Any) -> Tensors:
    """Return the arrays of two hidden layers and a head, the head padded with zeros to five outputs.

    Args:
        first: Layer with `weight` (out, in) and `bias`.
        second: The next one.
        weight: Head, shape (n_outputs, 64), n_outputs <= 5.
        bias: Head, shape (n_outputs,).

    Raises:
        DataError: The network has another shape, or a value that is not finite.
    """
    head, shift = np.zeros(SHAPES["w3"], np.float32), np.zeros(SHAPES["b3"], np.float32)
    columns, values = _array(weight).T, _array(bias)
    if columns.shape[0] == N_HIDDEN and columns.shape[1] <= N_OUT:
        head[:, : columns.shape[1]], shift[: len(values)] = columns, values
    else:
        head = columns
    found = {
        "w1": _array(first.weight).T, "b1": _array(first.bias),
        "w2": _array(second.weight).T, "b2": _array(second.bias),
        "w3": head, "b3": shift,
    }  # fmt: skip
    tensors = {name: np.ascontiguousarray(values, np.float32) for name, values in found.items()}
    refuse_odd(tensors)
    return tensors


def refuse_odd(tensors: Tensors) -> None:
    """Refuse a network that the kernel cannot run.

    Raises:
        DataError: The network has another shape, or a value that is not finite.
    """
    for name, shape in SHAPES.items():
        if tensors[name].shape != shape:
            raise DataError(
                f"The trained network cannot be exported: {name} has the shape {tensors[name].shape}, not {shape}. "
                "Train with two hidden layers of 64 units on the 28 observed features."
            )
        if not np.isfinite(tensors[name]).all():
            raise DataError(
                f"The trained network cannot be exported: {name} holds a value that is not finite. The training "
                "diverged; lower training.learning_rate."
            )


def _array(values: Any) -> Float32Array:
    """Return a tensor of the learning library, or an array, as an array."""
    plain = values.detach().cpu().numpy() if hasattr(values, "detach") else values
    return np.asarray(plain, np.float32)
