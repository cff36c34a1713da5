"""Put what training reads into one folder: bars, mirrors, features, costs, and where training and validation lie.

Made once and mapped by every process that trains on it, so ten cells share one copy; named by its content, so a result
says on what it was made. Normalizer and turbulence gate are fitted on the training slice alone, here and nowhere else.
Validation may read the warm-up before its first bar, and learns nothing from it.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tradesentry.apps.drlfusion.agents.base_agent import Agent
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.envs.episodes import CROSS
from tradesentry.apps.drlfusion.envs.features import FEATURE
from tradesentry.apps.drlfusion.envs.market_data import MarketData, ModelConstants, fit_constants
from tradesentry.apps.drlfusion.envs.rewards import RewardSettings
from tradesentry.apps.drlfusion.envs.simulation_env import SimulationEnv
from tradesentry.apps.drlfusion.layout import BARS_NEEDED
from tradesentry.apps.drlfusion.trainers.base_trainer import RunSeeds, canonical
from tradesentry.apps.drlfusion.training_config import TrainingConfig
from tradesentry.core.domain.errors import ConfigError, DataError
from tradesentry.core.domain.records import BAR, MARKET

ARRAYS: Final = {"bars": BAR, "features": FEATURE, "markets": MARKET, "crosses": CROSS}
VALIDATION_SEED: Final = 20_240_229
"""Of the starts that checkpoints are compared on: the same for every agent and seed."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Bars of one part of a data set, both ends included."""

    first: int
    last: int

    @property
    def n_bars(self) -> int:
        """Return the number of bars."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """What training reads."""

    market: MarketData
    constants: ModelConstants
    config: DrlFusionConfig
    train: Slice
    validation: Slice
    facts: Mapping[str, Any]
    """Symbols, source, whether it is synthetic, spans in UTC; part of a model's metadata."""
    hash: str
    limits: str = "default"
    unit_units: float | None = None
    """Fixes the full unit, for tasks with a known answer."""

    def environments(self, agent: Agent, training: TrainingConfig, *, seed: int) -> tuple[SimulationEnv, SimulationEnv]:
        """Return the environments of one run: training and validation.

        Args:
            agent: Gives the number of environments.
            training: Reward and lengths of episodes.
            seed: Root seed of the run.
        """
        reward = RewardSettings(mode=training.reward, weight=training.reward_lambda)
        n_envs = agent.defaults(training).n_envs
        environment = self.environment(
            self.train, n_envs=n_envs, episode_bars=training.episode_bars, reward=reward,
            seed=RunSeeds.of(seed).environment,
        )  # fmt: skip
        room = self.validation.n_bars - 2
        return environment, self.environment(
            Slice(max(0, self.validation.first - BARS_NEEDED), self.validation.last),
            n_envs=training.validation_starts, episode_bars=min(training.episode_bars, room), seed=VALIDATION_SEED,
        )  # fmt: skip

    def environment(
        self,
        part: Slice,
        *,
        n_envs: int,
        episode_bars: int,
        seed: int,
        reward: RewardSettings | str = "net",
    ) -> SimulationEnv:
        """Return an environment on a slice; decisions begin a warm-up after its first bar."""
        return SimulationEnv.of(
            self.market, config=self.config, n_envs=n_envs, episode_bars=episode_bars, reward=reward,
            first=part.first, last=part.last, seed=seed, constants=self.constants, limits=self.limits,
            unit_units=self.unit_units,
        )  # fmt: skip

    def save(self, root: Path) -> Path:
        """Write the data set under `root`, in a folder named by its hash, and return the folder."""
        folder = root / self.hash[:32]
        if (folder / "data.json").is_file():
            return folder
        root.mkdir(parents=True, exist_ok=True)
        draft = root / f".{self.hash[:32]}.{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        for name in ARRAYS:
            values = getattr(self.market, name)
            if values is not None:
                np.save(draft / f"{name}.npy", np.ascontiguousarray(values).view(np.ndarray).view(np.uint8))
        (draft / "data.json").write_text(canonical(self._document()), encoding="utf-8")
        with contextlib.suppress(OSError):
            # Another process may have written the same set in the meantime; the content is the same.
            draft.rename(folder)
        shutil.rmtree(draft, ignore_errors=True)
        return folder

    @classmethod
    def open(cls, folder: Path) -> "DataSet":
        """Return the data set of a folder, mapped, not read.

        Raises:
            DataError: The folder holds none, or one that is damaged.
        """
        try:
            document = json.loads((folder / "data.json").read_text(encoding="utf-8"))
            rows = tuple(document["shape"])
            arrays = {name: _mapped(folder, name, dtype, rows) for name, dtype in ARRAYS.items()}
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{folder} is no data set of a training, or it is damaged: {error}. Delete it, and it is made again."
            ) from error
        symbols = tuple(document["symbols"])
        market = MarketData(
            arrays["bars"], arrays["features"], arrays["markets"], arrays["crosses"],
            np.array(document["lengths"], np.int64), symbols, document["is_always_open"],
        )  # fmt: skip
        mean, scale = (np.array(values) for values in document["normalizer"])
        constants = ModelConstants(mean, scale, *document["turbulence"])
        return cls(
            market, constants, DrlFusionConfig.model_validate(document["config"]), Slice(*document["train"]),
            Slice(*document["validation"]), document["facts"], document["hash"], document["limits"],
            document["unit_units"],
        )  # fmt: skip

    def _document(self) -> dict[str, Any]:
        return {
            "hash": self.hash,
            "shape": list(self.market.bars.shape),
            "lengths": self.market.lengths.tolist(),
            "symbols": list(self.market.symbols),
            "is_always_open": self.market.is_always_open,
            "normalizer": [self.constants.obs_mean.tolist(), self.constants.obs_scale.tolist()],
            "turbulence": [self.constants.turbulence_q90, self.constants.turbulence_q99],
            "config": self.config.model_dump(mode="json"),
            "train": [self.train.first, self.train.last],
            "validation": [self.validation.first, self.validation.last],
            "facts": dict(self.facts),
            "limits": self.limits,
            "unit_units": self.unit_units,
        }


def new_data_set(
    market: MarketData,
    *,
    config: DrlFusionConfig,
    train: Slice,
    validation: Slice,
    facts: Mapping[str, Any],
    limits: str = "default",
    constants: ModelConstants | None = None,
    unit_units: float | None = None,
) -> DataSet:
    """Return a data set, its normalizer and gate fitted on the training slice.

    Args:
        market: Bars and features.
        config: Configuration of the app: what is traded in training is what will be traded.
        train: Bars that are learned from; the warm-up of the first ones included.
        validation: Bars that checkpoints are chosen on.
        facts: Where the bars come from.
        limits: Limits of the account.
        constants: Normalizer and gate instead of fitted ones, for tasks with a known answer.
        unit_units: Fixes the full unit.

    Raises:
        ConfigError: Validation overlaps training, or one of them is too short.
    """
    if train.last >= validation.first:
        raise ConfigError(
            f"Training up to bar {train.last} overlaps validation from bar {validation.first}. Leave a gap between."
        )
    for name, part, least in (("training", train, BARS_NEEDED + 64), ("validation", validation, 64)):
        if part.n_bars < least:
            raise ConfigError(f"The {name} slice has {part.n_bars} bars; it needs {least}. Use a longer period.")
    fitted = constants or fit_constants(market, train.first, train.last)
    digest = hashlib.sha256()
    for array in (market.bars, market.features, market.markets):
        digest.update(np.ascontiguousarray(array).view(np.ndarray).view(np.uint8).data)
    shape = [
        [train.first, train.last, validation.first, validation.last], limits, unit_units, list(market.symbols),
        config.model_dump(mode="json", exclude={"models", "training", "symbols"}),
    ]  # fmt: skip
    digest.update(canonical(shape).encode())
    return DataSet(market, fitted, config, train, validation, facts, digest.hexdigest(), limits, unit_units)


def purge_bars(config: DrlFusionConfig, training: TrainingConfig, *, decay: float = 0.95) -> int:
    """Return the gap between training and validation: what a position or an advantage may reach across.

    Args:
        config: Configuration of the app.
        training: Discount and decay of advantages.
        decay: Decay of advantages where `training` leaves it to the agents.
    """
    reach = math.ceil(math.log(0.01) / math.log(training.gamma * (training.gae_lambda or decay)))
    return max(reach, config.max_hold_bars)


def _mapped(folder: Path, name: str, dtype: np.dtype[Any], rows: tuple[int, ...]) -> Any:
    path = folder / f"{name}.npy"
    if name == "crosses" and not path.is_file():
        return None
    found = np.load(path, mmap_mode="r").view(np.ndarray).view(dtype)
    if name == "markets":
        return found.copy().view(np.recarray)
    return found.reshape(rows)
