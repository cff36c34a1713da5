"""Make models of trained policies: what they were trained on, what they must reproduce, what drift is measured by.

Separate from the training run, because it is the border between training and trading: from here on a policy is a
`Model`, which loads without a learning library and is refused when anything about it is off. Nothing that differs
between two equal trainings (time, place, seconds) is written, so packaging twice gives the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from tradesentry.apps.drlfusion.agents.base_agent import Float32Array
from tradesentry.apps.drlfusion.agents.proposals import Network
from tradesentry.apps.drlfusion.drift import reference_of
from tradesentry.apps.drlfusion.envs.market_data import MarketData
from tradesentry.apps.drlfusion.layout import BARS_NEEDED
from tradesentry.apps.drlfusion.model_file import N_GOLDEN, Model
from tradesentry.apps.drlfusion.model_package import ModelSet, new_model, write_model_set
from tradesentry.apps.drlfusion.trainers.base_trainer import TrainedPolicy
from tradesentry.apps.drlfusion.trainers.data_set import DataSet
from tradesentry.apps.drlfusion.trainers.training_run import (
    SAMPLE_SEED,
    Selection,
    Trained,
    deciding,
    require_all,
    sample,
)
from tradesentry.apps.drlfusion.training_config import ALGORITHMS

NOTICE: Final = (
    "Trained on generated prices with a pattern we planted. It shows that the machinery works and has no reason to "
    "earn anything on a real market. Train on your own data, and believe only the walk-forward report."
)
"""Goes wherever a set that was trained on generated prices is used."""


def package(
    trained: Trained, folder: Path, *, selected: Selection | None = None, notice: str | None = None
) -> ModelSet:
    """Write one run of each agent as a model set and return it as read back.

    Args:
        trained: The finished study, with all four agents.
        folder: Created when absent; a set that lies there is replaced.
        selected: The runs; the best of each agent when None.
        notice: What to tell whoever uses the set; that of generated prices when None and the data are synthetic.

    Raises:
        ConfigError: An agent was not trained.
        ModelRefused: The models do not make a set.
    """
    require_all(trained.study.config)
    data, runs = trained.study.data, selected or trained.best()
    said = notice if notice is not None else NOTICE if data.facts.get("is_synthetic", True) else ""
    networks = runs.networks()
    golden = _golden(data, networks["ppo"])
    models = [_model(trained, runs.policies[name], networks[name], golden, said) for name in ALGORITHMS]
    return write_model_set(folder, models)


def _model(trained: Trained, policy: TrainedPolicy, network: Network, golden: Float32Array, notice: str) -> Model:
    data = trained.study.data
    met = sample(data, data.train, deciding(network), seed=SAMPLE_SEED)
    return new_model(
        policy.algorithm,
        policy.tensors,
        head=policy.head,
        temperature=network.temperature,
        normalizer={"obs_mean": data.constants.obs_mean, "obs_scale": data.constants.obs_scale},
        gate={"turbulence_q90": data.constants.turbulence_q90, "turbulence_q99": data.constants.turbulence_q99},
        golden_obs=golden,
        drift=reference_of(met, network.propose(met).pi),
        timeframe=data.config.timeframe,
        data=dict(data.facts) | {"hash": data.hash},
        notice=notice,
        meta=_meta(trained, policy),
    )


def _meta(trained: Trained, policy: TrainedPolicy) -> dict[str, Any]:
    """Return where a model comes from, equal for equal trainings."""
    study = trained.study
    facts: Mapping[str, Any] = policy.metadata
    kept = ("backend", "versions", "seed", "steps", "hyper_parameters", "gamma", "reward", "inexact_resume")
    return {name: facts[name] for name in kept if name in facts} | {
        "code": study.code,
        "fold": study.fold,
        "config_hash": study.config.digest,
        "strategy": study.data.config.model_dump(mode="json", exclude={"models", "training", "symbols"}),
        "metrics": trained.figures(policy.algorithm),
    }


def _golden(data: DataSet, network: Network) -> Float32Array:
    """Return the observations whose shares the models carry: spread evenly over validation, some with a position."""
    met = sample(data, data.validation, deciding(network), seed=SAMPLE_SEED)
    picked = np.linspace(0, len(met) - 1, N_GOLDEN).astype(np.int64)
    return np.ascontiguousarray(met[picked])


def train_bars(data: DataSet) -> int:
    """Return the number of bars that were learned from, over all markets without their mirrors."""
    return _n_bars(data.train)


def validation_bars(data: DataSet) -> int:
    """Return the number of bars that judged, over all markets without their mirrors."""
    return _n_bars(data.validation)


def _n_bars(part: MarketData) -> int:
    own = [not name.startswith("-") for name in part.symbols]
    return int((part.lengths[own] - BARS_NEEDED).sum())
