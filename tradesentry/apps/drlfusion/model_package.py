"""Read, verify and write model sets: four models in a folder, with the checksums of their files, and nothing else.

Loading fails closed, naming file, reason and remedy. In this order: the folder and its checksums; for each model its
format, agent, schema, levels and timeframe, then shapes, types and finite numbers, then that our own kernels give the
shares that it was packaged with, equal to the bit; at last that all four share normalizer, schema, gate and timeframe.

==================  ==================================================================================
metadata            holds
==================  ==================================================================================
format, algorithm   `tradesentry.model/1`; ppo, dqn, sac or a2c
action              head (`layout.Head`, lower case), levels, temperature
schema              version, names, hash of `observation.OBSERVATION`
timeframe           length of a bar that it was trained on, such as H1
data                source, is_synthetic, symbols, train and validation spans, hash
gate                turbulence_q90, turbulence_q99
anything else       where it comes from: back-end, versions, code, seed, steps, reward, costs, metrics
notice              what to tell whoever uses it; empty for a set of one's own
==================  ==================================================================================
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.layout import AGENTS, LEVELS, Head, day_table
from tradesentry.apps.drlfusion.model_checks import NETWORK, SHARED, agent_shares, check_alike, verify_model
from tradesentry.apps.drlfusion.model_file import (
    FORMAT,
    TENSORS,
    Model,
    Tensors,
    file_name,
    pt_bytes,
    read_pt,
    read_safetensors,
    refuse,
    safetensors_bytes,
)
from tradesentry.apps.drlfusion.observation import OBSERVATION

__all__ = [
    "Model",
    "ModelSet",
    "agent_shares",
    "fill_from",
    "is_synthetic",
    "load_model_set",
    "models_folder",
    "new_model",
    "notice_of",
    "read_pt",
    "read_safetensors",
    "verify_model",
    "write_model_set",
]

SHIPPED: Final = "shipped"
CHECKSUMS: Final = "SHA256SUMS"
KINDS: Final = ("pt", "safetensors")


@dataclass(frozen=True, eq=False)
class ModelSet:
    """Four verified models, in the order of `layout.AGENTS`."""

    models: tuple[Model, ...]
    folder: Path
    digest: str
    """Of the checksums of all files: another digest is another set."""


def models_folder(models: str) -> Path:
    """Return the folder that the setting `models` means."""
    return Path(__file__).resolve().parent / "models" if models == SHIPPED else Path(models).expanduser()


def new_model(
    algorithm: str,
    network: Tensors,
    *,
    head: Head,
    temperature: float,
    normalizer: Mapping[str, npt.NDArray[Any]],
    gate: Mapping[str, float],
    golden_obs: npt.NDArray[np.float32],
    drift: Mapping[str, npt.NDArray[Any]],
    timeframe: str,
    data: Mapping[str, Any],
    notice: str = "",
    meta: Mapping[str, Any] | None = None,
) -> Model:
    """Return a model ready to be packaged, with the shares of its golden observations computed by our kernels.

    Args:
        algorithm: ppo, dqn, sac or a2c.
        network: `w1 b1 w2 b2 w3 b3`, input-major.
        head: What the outputs mean.
        temperature: Of action values; 1 for other heads.
        normalizer: `obs_mean`, `obs_scale`, of the training slice.
        gate: `turbulence_q90`, `turbulence_q99`, of the training slice.
        golden_obs: Normalized observations, shape (64, 28).
        drift: `drift_edges`, `drift_share`, `drift_pi` (`drift.reference_of`).
        timeframe: Length of a bar.
        data: source, is_synthetic, symbols, spans, hash.
        notice: What to tell whoever uses it.
        meta: Where it comes from, in JSON types.
    """
    observations = np.ascontiguousarray(golden_obs, np.float32)
    tensors = {
        **network,
        **normalizer,
        **drift,
        "day_table": day_table(),
        "golden_obs": observations,
        "golden_pi": agent_shares(network, head, temperature, observations),
    }
    found = {
        **(meta or {}),
        "format": FORMAT,
        "algorithm": algorithm,
        "action": {"head": head.name.lower(), "levels": list(LEVELS), "temperature": float(temperature)},
        "schema": {"version": OBSERVATION.version, "names": list(OBSERVATION.names), "hash": OBSERVATION.hash},
        "timeframe": timeframe,
        "data": dict(data),
        "gate": {name: float(value) for name, value in gate.items()},
        "notice": notice,
    }
    return Model({name: tensors[name] for name in TENSORS}, found)


def _read_checksums(folder: Path) -> dict[str, str]:
    """Return the expected sha256 by file name, or refuse a folder that does not hold exactly a set."""
    path = folder / CHECKSUMS
    if not path.is_file():
        raise refuse(folder, f"it has no {CHECKSUMS}", "Name a folder with four models, or `shipped`.")
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if any(len(row) != 2 for row in rows):
        raise refuse(path, "a line is not `sha256  file`", "Take the set from where it was trained again.")
    sums = {name: digest for digest, name in rows}
    wanted = {file_name(algorithm, kind) for algorithm in AGENTS for kind in KINDS}
    if set(sums) != wanted:
        odd = ", ".join(sorted(set(sums) ^ wanted))
        raise refuse(path, f"it does not name the eight files of a set ({odd})", "Take the set again, whole.")
    strange = sorted(p.name for p in folder.iterdir() if p.name not in wanted | {CHECKSUMS})
    if strange:
        raise refuse(folder, f"it holds more than a set: {', '.join(strange)}", "Remove it, or name another folder.")
    return sums


def _check_sum(path: Path, wanted: str) -> None:
    """Refuse a file that is not the one that was packaged."""
    if not path.is_file():
        raise refuse(path, "it does not exist", "Take the set from where it was trained again, whole.")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != wanted:
        reason = f"its checksum is {found[:12]}, {CHECKSUMS} says {wanted[:12]}"
        raise refuse(path, reason, "It was changed after it was packaged. Take the set again, or train anew.")


@lru_cache(maxsize=16)
def _load(folder: Path, timeframe: str | None, _marks: tuple[tuple[str, int, int], ...]) -> ModelSet:
    """Read and verify a set; kept as long as no file of the folder changes."""
    sums = _read_checksums(folder)
    for name, wanted in sums.items():
        _check_sum(folder / name, wanted)
    models = []
    for algorithm in AGENTS:
        path = folder / file_name(algorithm, "safetensors")
        model = read_safetensors(path)
        verify_model(path, model, algorithm=algorithm, timeframe=timeframe)
        models.append(model)
    check_alike(folder, models)
    digest = hashlib.sha256("".join(f"{name} {sums[name]}\n" for name in sorted(sums)).encode()).hexdigest()
    return ModelSet(tuple(models), folder, digest)


def load_model_set(models: str, *, timeframe: str | None = None) -> ModelSet:
    """Return the verified set that the setting `models` names.

    Args:
        models: A folder, or `shipped`.
        timeframe: The run's; a set of another is refused. None checks all else.

    Raises:
        ModelRefused: With file, reason and remedy.
    """
    folder = models_folder(models).resolve()
    if not folder.is_dir():
        raise refuse(folder, "there is no such folder", "Name one with `--set models=DIR`, or use `models=shipped`.")
    marks = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.iterdir())]
    return _load(folder, timeframe, tuple(marks))


def fill_from(models: ModelSet, record: Any) -> None:
    """Write networks, normalizer and gate constants of a set into a parameter record.

    Args:
        models: A verified set.
        record: A plain record of `layout.PARAMS`.
    """
    for agent, model in enumerate(models.models):
        for name in NETWORK:
            record[name][agent] = model.tensors[name]
        action = model.meta["action"]
        record["head"][agent] = Head[str(action["head"]).upper()]
        record["temperature"][agent] = action["temperature"]
    first = models.models[0]
    for name in SHARED:
        record[name] = first.tensors[name]
    record["turbulence_q90"] = first.meta["gate"]["turbulence_q90"]
    record["turbulence_q99"] = first.meta["gate"]["turbulence_q99"]


def is_synthetic(models: ModelSet) -> bool:
    """Say whether any model of a set was trained on generated prices; such a set never trades real money."""
    return any(bool(model.meta["data"].get("is_synthetic", True)) for model in models.models)


def notice_of(models: ModelSet) -> str:
    """Return what to tell whoever uses a set; empty where there is nothing to tell."""
    return next((str(model.meta["notice"]) for model in models.models if model.meta["notice"]), "")


def _write(folder: Path, name: str, content: bytes) -> None:
    """Write a file beside its place and move it there."""
    handle, new = tempfile.mkstemp(dir=folder.parent, prefix=".model-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(new).chmod(0o644)
        Path(new).replace(folder / name)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def write_model_set(folder: Path, models: Sequence[Model]) -> ModelSet:
    """Write four models as a set and return it as read back, which proves that it loads; needs torch.

    Args:
        folder: Created when absent; a set that lies there is replaced, file by file, its checksums last.
        models: One of each agent.

    Raises:
        ModelRefused: They do not make a set.
    """
    by_name = {model.algorithm: model for model in models}
    if sorted(by_name) != sorted(AGENTS) or len(models) != len(AGENTS):
        names = ", ".join(model.algorithm for model in models)
        raise refuse(folder, f"a set has one model of each of {', '.join(AGENTS)}, not {names}", "Train all four.")
    for algorithm in AGENTS:
        verify_model(folder / file_name(algorithm, "safetensors"), by_name[algorithm], algorithm=algorithm)
    check_alike(folder, [by_name[algorithm] for algorithm in AGENTS])
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for algorithm in AGENTS:
        contents = {"pt": pt_bytes(by_name[algorithm]), "safetensors": safetensors_bytes(by_name[algorithm])}
        for kind in KINDS:
            name = file_name(algorithm, kind)
            _write(folder, name, contents[kind])
            lines.append(f"{hashlib.sha256(contents[kind]).hexdigest()}  {name}\n")
    _write(folder, CHECKSUMS, "".join(sorted(lines, key=lambda line: line.split()[1])).encode())
    return load_model_set(str(folder))
