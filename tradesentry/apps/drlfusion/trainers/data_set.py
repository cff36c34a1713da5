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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

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

PARTS: Final = ("train", "validation")
LEAST_BARS: Final = 64
"""Of a part, after the warm-up."""
ARRAYS: Final = {"bars": BAR, "features": FEATURE, "markets": MARKET, "crosses": CROSS}
VALIDATION_SEED: Final = 20_240_229
"""Of the starts that checkpoints are compared on: the same for every agent and seed."""


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """What training reads. In both parts decisions begin a warm-up after the first bar of each row."""

    train: MarketData
    validation: MarketData
    constants: ModelConstants
    config: DrlFusionConfig
    facts: Mapping[str, Any]
    """Symbols, source, whether it is synthetic, spans in UTC; part of a model's metadata."""
    hash: str
    limits: str = "default"

    def environments(self, agent: Agent, training: TrainingConfig, *, seed: int) -> tuple[SimulationEnv, SimulationEnv]:
        """Return the environments of one run: training and validation.

        Args:
            agent: Gives the number of environments.
            training: Reward and lengths of episodes.
            seed: Root seed of the run.
        """
        reward = RewardSettings(mode=training.reward, weight=training.reward_lambda)
        environment = self.environment(
            self.train, n_envs=agent.defaults(training).n_envs, episode_bars=training.episode_bars, reward=reward,
            seed=RunSeeds.of(seed).environment,
        )  # fmt: skip
        return environment, self.environment(
            self.validation, n_envs=training.validation_starts, episode_bars=training.episode_bars, seed=VALIDATION_SEED
        )

    def environment(
        self, part: MarketData, *, n_envs: int, episode_bars: int, seed: int, reward: RewardSettings | str = "net"
    ) -> SimulationEnv:
        """Return an environment on a part; its episodes are shorter where the part is.

        Args:
            part: `train` or `validation`.
            n_envs: Accounts side by side.
            episode_bars: Longest episode.
            seed: Of rows and starts.
            reward: What a bar pays.
        """
        room = int(part.lengths.min()) - BARS_NEEDED - 1
        return SimulationEnv.of(
            part, config=self.config, n_envs=n_envs, episode_bars=min(episode_bars, room), reward=reward, seed=seed,
            constants=self.constants, limits=self.limits,
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
        for part in PARTS:
            for name in ARRAYS:
                values = getattr(getattr(self, part), name)
                if values is not None:
                    plain = np.ascontiguousarray(values).view(np.ndarray)
                    np.save(draft / f"{part}_{name}.npy", plain.view(np.uint8))
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
            train, validation = (_opened(folder, part, document[part]) for part in PARTS)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{folder} is no data set of a training, or it is damaged: {error}. Delete it, and it is made again."
            ) from error
        mean, scale = (np.array(values) for values in document["normalizer"])
        constants = ModelConstants(mean, scale, *document["turbulence"])
        config = DrlFusionConfig.model_validate(document["config"])
        return cls(train, validation, constants, config, document["facts"], document["hash"], document["limits"])

    def _document(self) -> dict[str, Any]:
        return {
            "hash": self.hash,
            "train": _shape(self.train),
            "validation": _shape(self.validation),
            "normalizer": [self.constants.obs_mean.tolist(), self.constants.obs_scale.tolist()],
            "turbulence": [self.constants.turbulence_q90, self.constants.turbulence_q99],
            "config": self.config.model_dump(mode="json"),
            "facts": dict(self.facts),
            "limits": self.limits,
        }


def new_data_set(
    train: MarketData,
    validation: MarketData,
    *,
    config: DrlFusionConfig,
    facts: Mapping[str, Any],
    limits: str = "default",
) -> DataSet:
    """Return a data set, its normalizer and gate fitted on the training part.

    Args:
        train: Bars that are learned from, each row with a warm-up before them.
        validation: Bars that checkpoints are chosen on, each row with a warm-up before them.
        config: Configuration of the app: what is traded in training is what will be traded.
        facts: Where the bars come from.
        limits: Limits of the account.

    Raises:
        ConfigError: A part is too short.
    """
    for name, part in (("training", train), ("validation", validation)):
        if int(part.lengths.min()) < BARS_NEEDED + LEAST_BARS:
            raise ConfigError(
                f"The {name} slice has {int(part.lengths.min())} bars; it needs {LEAST_BARS} after {BARS_NEEDED} bars "
                "of warm-up. Use a longer period."
            )
    fitted = fit_constants(train, 0, int(train.lengths.max()) - 1)
    digest = hashlib.sha256()
    for part in (train, validation):
        for array in (part.bars, part.features, part.markets):
            _add_values(digest, np.asarray(array).view(np.ndarray))
    own = config.model_dump(mode="json", exclude={"models", "training", "symbols"})
    digest.update(canonical([_shape(train), _shape(validation), limits, own]).encode())
    return DataSet(train, validation, fitted, config, facts, digest.hexdigest(), limits)


def cut_rows(market: MarketData, spans: Sequence[tuple[int, int, int]]) -> MarketData:
    """Return parts of a data set as one of its own.

    Args:
        market: Bars and features.
        spans: Row, first and last bar of each part, inclusive; a row may be cut into several.
    """
    n_bars = max(last - first + 1 for _, first, last in spans)
    rows = [row for row, _, _ in spans]

    def cut(values: Any) -> Any:
        out = np.zeros((len(spans), n_bars), values.dtype)
        for i, (row, first, last) in enumerate(spans):
            out[i, : last - first + 1] = values[row, first : last + 1]
        return out

    return MarketData(
        bars=cut(market.bars),
        features=cut(market.features),
        markets=market.markets[rows].copy().view(np.recarray),
        crosses=None if market.crosses is None else cut(market.crosses),
        lengths=np.array([last - first + 1 for _, first, last in spans], np.int64),
        symbols=tuple(market.symbols[row] for row in rows),
        is_always_open=market.is_always_open,
    )


def purge_bars(config: DrlFusionConfig, training: TrainingConfig, *, decay: float = 0.95) -> int:
    """Return the gap between training and validation: what a position or an advantage may reach across.

    Args:
        config: Configuration of the app.
        training: Discount and decay of advantages.
        decay: Decay of advantages where `training` leaves it to the agents.
    """
    reach = math.ceil(math.log(0.01) / math.log(training.gamma * (training.gae_lambda or decay)))
    return max(reach, config.max_hold_bars)


def joined(parts: Sequence[MarketData]) -> MarketData:
    """Return the rows of several data sets as one.

    Args:
        parts: Data sets of the same account and timeframe.
    """
    n_bars = max(part.bars.shape[1] for part in parts)
    has_crosses = any(part.crosses is not None for part in parts)

    def stack(name: str, dtype: np.dtype[Any]) -> Any:
        out = np.zeros((sum(len(part.lengths) for part in parts), n_bars), dtype)
        row = 0
        for part in parts:
            values = getattr(part, name)
            if values is not None:
                out[row : row + len(part.lengths), : values.shape[1]] = values
            row += len(part.lengths)
        return out

    return MarketData(
        bars=stack("bars", BAR),
        features=stack("features", FEATURE),
        markets=np.concatenate([part.markets for part in parts]).view(np.recarray),
        crosses=stack("crosses", CROSS) if has_crosses else None,
        lengths=np.concatenate([part.lengths for part in parts]),
        symbols=tuple(name for part in parts for name in part.symbols),
        is_always_open=all(part.is_always_open for part in parts),
    )


def _add_values(digest: Any, records: npt.NDArray[Any]) -> None:
    """Add the values of records to a digest; bytes between the fields say nothing and differ between processes."""
    if records.dtype.names is None:
        digest.update(np.ascontiguousarray(records).view(np.uint8).data)
        return
    for name in records.dtype.names:
        _add_values(digest, records[name])


def _shape(part: MarketData) -> dict[str, Any]:
    """Return what is known of a part besides its arrays, in JSON types."""
    return {
        "shape": list(part.bars.shape),
        "lengths": part.lengths.tolist(),
        "symbols": list(part.symbols),
        "is_always_open": part.is_always_open,
    }


def _opened(folder: Path, part: str, known: Mapping[str, Any]) -> MarketData:
    """Return a part of a stored data set, mapped."""
    arrays = {name: _mapped(folder / f"{part}_{name}.npy", dtype, known["shape"]) for name, dtype in ARRAYS.items()}
    return MarketData(
        arrays["bars"], arrays["features"], arrays["markets"], arrays["crosses"],
        np.array(known["lengths"], np.int64), tuple(known["symbols"]), known["is_always_open"],
    )  # fmt: skip


def _mapped(path: Path, dtype: np.dtype[Any], shape: Sequence[int]) -> Any:
    if path.name.endswith("_crosses.npy") and not path.is_file():
        return None
    found = np.load(path, mmap_mode="r").view(np.ndarray).view(dtype)
    if path.name.endswith("_markets.npy"):
        return found.copy().view(np.recarray)
    return found.reshape(shape)
