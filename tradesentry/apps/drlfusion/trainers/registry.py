"""Find trainers and agents by algorithm, loading only the one asked for."""

import importlib
from pathlib import Path
from typing import Any

from tradesentry.apps.drlfusion.agents.base_agent import Agent
from tradesentry.apps.drlfusion.training_config import Algorithm


def agent_of(algorithm: Algorithm) -> Agent:
    """Return the agent of an algorithm.

    Args:
        algorithm: ppo, dqn, sac or a2c.
    """
    module = importlib.import_module(f"tradesentry.apps.drlfusion.agents.{algorithm}_agent")
    found: Agent = getattr(module, f"{algorithm.upper()}Agent")()
    return found


def trainer_of(
    algorithm: Algorithm, *, tensorboard: Path | None = None, checkpoint: Path | None = None, resume: bool = False
) -> Any:
    """Return a trainer of an algorithm: a `Trainer` that knows its `agent`.

    Args:
        algorithm: ppo, dqn, sac or a2c.
        tensorboard: Folder for TensorBoard events; none are written without it.
        checkpoint: File in which the run keeps what it could go on with.
        resume: Go on from `checkpoint` if it is there.
    """
    module = importlib.import_module(f"tradesentry.apps.drlfusion.trainers.{algorithm}_trainer")
    return getattr(module, f"{algorithm.upper()}Trainer")(tensorboard=tensorboard, checkpoint=checkpoint, resume=resume)
