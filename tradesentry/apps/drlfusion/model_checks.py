"""Say what must be true of a model before it runs: its kind, its arrays, its outputs, and its fellows.

Apart from reading and writing, because a model is checked in both directions: a set that would be refused is never
written. Every refusal names file, reason and remedy.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.ensemble import shares_of
from tradesentry.apps.drlfusion.layout import AGENTS, LEVELS, N_LEVELS, STATE, Head, blank_params
from tradesentry.apps.drlfusion.model_file import TENSORS, Model, Tensors, file_name, refuse
from tradesentry.apps.drlfusion.observation import OBSERVATION
from tradesentry.core.utils.kernel import new_records, plain_record

NETWORK: Final = ("w1", "b1", "w2", "b2", "w3", "b3")
SHARED: Final = ("obs_mean", "obs_scale", "day_table")
"""Arrays that are equal in all four models of a set."""
RETRAIN: Final = "Train a set with this version: `tradesentry drl train --out DIR`."


def _network_params(tensors: Tensors, head: Head, temperature: float, agent: int) -> Any:
    """Return a parameter record in which one agent has this network and observations are mirrored."""
    params = blank_params(DrlFusionConfig())
    row = plain_record(params)
    for name in NETWORK:
        row[name][agent] = tensors[name]
    row["head"][agent], row["temperature"][agent] = head, temperature
    return params


def agent_shares(
    tensors: Tensors, head: Head, temperature: float, observations: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Return what a network makes of normalized observations, mirrors averaged, by the kernels that trade.

    Args:
        tensors: `w1 b1 w2 b2 w3 b3`, input-major, as in `TENSORS`.
        head: What its outputs mean.
        temperature: Of action values.
        observations: float32, shape (n, 28).

    Returns:
        Shares of the levels, shape (n, 5).
    """
    shares = np.zeros((len(observations), N_LEVELS))
    params, state = _network_params(tensors, head, temperature, 0), new_records(1, STATE)
    shares_of(params[0], state[0], 0, np.ascontiguousarray(observations, np.float32), shares)
    return shares


def _head_of(path: Path, model: Model) -> tuple[Head, float]:
    """Return head and temperature of a model, or refuse ones that are not known."""
    action = model.meta["action"]
    try:
        head = Head[str(action["head"]).upper()]
    except KeyError as error:
        raise refuse(path, f"its head {action['head']!r} is not known", RETRAIN) from error
    temperature = float(action["temperature"])
    if not 0.0 < temperature < float("inf"):
        raise refuse(path, f"its temperature is {temperature}", RETRAIN)
    return head, temperature


def _check_meta(path: Path, model: Model, algorithm: str, timeframe: str | None) -> None:
    """Refuse a model of another agent, schema, action or timeframe."""
    meta = model.meta
    missing = {"algorithm", "action", "schema", "timeframe", "data", "gate", "notice"} - set(meta)
    if missing:
        raise refuse(path, f"its metadata lacks {', '.join(sorted(missing))}", RETRAIN)
    if model.algorithm != algorithm:
        raise refuse(path, f"it is a model of {model.algorithm} and its name says {algorithm}", RETRAIN)
    if meta["schema"].get("hash") != OBSERVATION.hash:
        found = str(meta["schema"].get("hash"))[:12]
        reason = f"it was trained on observations of schema {found}, this version shows {OBSERVATION.hash[:12]}"
        raise refuse(path, reason, RETRAIN)
    if list(meta["action"].get("levels", ())) != list(LEVELS):
        raise refuse(path, f"its levels are {meta['action'].get('levels')}, not {list(LEVELS)}", RETRAIN)
    if timeframe is not None and meta["timeframe"] != timeframe:
        remedy = f"Set timeframe={meta['timeframe']}, or train a set on {timeframe}."
        raise refuse(path, f"it was trained on {meta['timeframe']} and the run is on {timeframe}", remedy)


def _check_tensors(path: Path, model: Model) -> None:
    """Refuse a model whose arrays have another name, shape or type, or hold a number that is none."""
    odd = set(model.tensors) ^ set(TENSORS)
    if odd:
        raise refuse(path, f"its arrays differ from those of a model: {', '.join(sorted(odd))}", RETRAIN)
    for name, (shape, dtype) in TENSORS.items():
        values = model.tensors[name]
        if values.shape != shape or values.dtype != np.dtype(dtype):
            reason = f"{name} is {values.dtype} of shape {values.shape}, not {dtype} of shape {shape}"
            raise refuse(path, reason, RETRAIN)
        if not np.isfinite(values).all():
            raise refuse(path, f"{name} holds a number that is not finite", RETRAIN)
    if not (model.tensors["obs_scale"] > 0.0).all():
        raise refuse(path, "obs_scale holds a number that is not positive", RETRAIN)


def _check_golden(path: Path, model: Model) -> None:
    """Refuse a model for which our kernels do not give the very shares that it was packaged with."""
    head, temperature = _head_of(path, model)
    shares = agent_shares(model.tensors, head, temperature, model.tensors["golden_obs"])
    if shares.tobytes() != np.ascontiguousarray(model.tensors["golden_pi"]).tobytes():
        worst = float(np.abs(shares - model.tensors["golden_pi"]).max())
        reason = f"its golden outputs are not reproduced to the bit (largest difference {worst:.3g})"
        raise refuse(path, reason, "Weights or code differ from those it was packaged with. " + RETRAIN)


def verify_model(path: Path, model: Model, *, algorithm: str, timeframe: str | None = None) -> None:
    """Refuse a model that may not run here.

    Args:
        path: Its file, for the message.
        model: The model.
        algorithm: The agent that it must be.
        timeframe: The run's; None checks all else.

    Raises:
        ModelRefused: With file, reason and remedy.
    """
    _check_meta(path, model, algorithm, timeframe)
    _check_tensors(path, model)
    _check_golden(path, model)


def check_alike(folder: Path, models: Sequence[Model]) -> None:
    """Refuse models that were not made together: other normalizers, schemas, gates or timeframes."""
    first = models[0]
    for algorithm, model in zip(AGENTS[1:], models[1:], strict=True):
        path = folder / file_name(algorithm, "safetensors")
        for name in SHARED:
            if model.tensors[name].tobytes() != first.tensors[name].tobytes():
                reason = f"its {name} differs from that of {first.algorithm}: the models were not trained together"
                raise refuse(path, reason, "Package four models of one training run.")
        for name in ("gate", "schema", "timeframe"):
            if model.meta[name] != first.meta[name]:
                reason = f"its {name} differs from that of {first.algorithm}: the models were not trained together"
                raise refuse(path, reason, "Package four models of one training run.")
