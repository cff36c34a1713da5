"""Read and write one model: arrays by name and one JSON text, as a `.safetensors` file and as a `.pt` file.

A run reads the first, which holds numbers and cannot hold code, and needs no learning library. The second is what
users of torch expect; it is opened with `weights_only=True` alone, which runs nothing either. Both hold the same arrays
and the same text, and writing twice gives the same bytes. What must be true of the content is said in `model_checks`.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.layout import N_FEATURES, N_HIDDEN, N_LEVELS, N_OUT, N_QUARTERS
from tradesentry.core.domain.errors import ModelRefused

FORMAT: Final = "tradesentry.model/1"
N_GOLDEN: Final = 64
"""Observations whose shares a model carries."""
N_BINS: Final = 20
"""Bins of the histogram of each feature."""
MAX_BYTES: Final = 64 * 1024
"""Largest file; a model is some 50 kB."""
META: Final = "meta"
"""Key of the JSON text among the metadata of a .safetensors file; one key alone keeps the bytes the same."""
TENSORS: Final[Mapping[str, tuple[tuple[int, ...], str]]] = {
    "w1": ((N_FEATURES, N_HIDDEN), "float32"),
    "b1": ((N_HIDDEN,), "float32"),
    "w2": ((N_HIDDEN, N_HIDDEN), "float32"),
    "b2": ((N_HIDDEN,), "float32"),
    "w3": ((N_HIDDEN, N_OUT), "float32"),
    "b3": ((N_OUT,), "float32"),
    "obs_mean": ((N_FEATURES,), "float64"),
    "obs_scale": ((N_FEATURES,), "float64"),
    "day_table": ((N_QUARTERS, 2), "float64"),
    "golden_obs": ((N_GOLDEN, N_FEATURES), "float32"),
    "golden_pi": ((N_GOLDEN, N_LEVELS), "float64"),
    "drift_edges": ((N_FEATURES, N_BINS + 1), "float64"),
    "drift_share": ((N_FEATURES, N_BINS), "float64"),
    "drift_pi": ((N_LEVELS,), "float64"),
}
"""Shape and type of every array of a model."""

Tensors = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Model:
    """One trained agent, ready to be packaged or run."""

    tensors: Tensors
    meta: Mapping[str, Any]
    """What it is and where it comes from; see `model_package`."""

    @property
    def algorithm(self) -> str:
        """Return the agent's name."""
        return str(self.meta["algorithm"])

    @property
    def text(self) -> str:
        """Return the metadata as canonical JSON: keys sorted, no spaces, plain characters."""
        return json.dumps(self.meta, sort_keys=True, separators=(",", ":"), allow_nan=False)


def file_name(algorithm: str, kind: str) -> str:
    """Return the name of a model's file of kind `pt` or `safetensors`."""
    return f"{algorithm}_model.{kind}"


def refuse(path: Path, reason: str, remedy: str) -> ModelRefused:
    """Return the error that names file, reason and remedy."""
    return ModelRefused(f"Model {path} is refused: {reason}. {remedy}")


def _same(model: Model) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays in the order of `TENSORS`, contiguous, of their types."""
    return {name: np.ascontiguousarray(model.tensors[name], dtype) for name, (_, dtype) in TENSORS.items()}


def safetensors_bytes(model: Model) -> bytes:
    """Return the content of a model's `.safetensors` file."""
    from safetensors.numpy import save

    return bytes(save(_same(model), {META: model.text}))


def pt_bytes(model: Model) -> bytes:
    """Return the content of a model's `.pt` file; needs torch."""
    import torch

    tensors = {name: torch.from_numpy(values.copy()) for name, values in _same(model).items()}
    # Into memory first: the archive inside would carry the name of the file.
    content = io.BytesIO()
    torch.save({"format": FORMAT, META: model.text, "tensors": tensors}, content)
    return content.getvalue()


def _model(path: Path, text: Any, tensors: Tensors) -> Model:
    """Return the model of a file's text and arrays, or refuse a text that is no metadata of this format."""
    again = "Take the file from where it was trained again, or train anew with `tradesentry drl train`."
    try:
        meta = json.loads(text)
    except (TypeError, ValueError) as error:
        raise refuse(path, f"its metadata is no JSON ({error})", again) from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        found = meta.get("format") if isinstance(meta, dict) else None
        raise refuse(path, f"its format is {found!r} and this version reads {FORMAT!r}", again)
    return Model(tensors, meta)


def read_safetensors(path: Path) -> Model:
    """Return the model of a `.safetensors` file.

    Raises:
        ModelRefused: It is missing, damaged, too large, or of an unknown format.
    """
    from safetensors import SafetensorError, safe_open

    _check_size(path)
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(META)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise refuse(path, f"it is damaged ({error})", "Take it from where it was trained again.") from error
    return _model(path, text, tensors)


def read_pt(path: Path) -> Model:
    """Return the model of a `.pt` file; needs torch.

    Raises:
        ModelRefused: It is missing, holds anything but arrays and text, is too large, or of an unknown format.
    """
    import pickle

    import torch

    _check_size(path)
    remedy = "Nothing in it was run. Delete it and train your own set."
    if not zipfile.is_zipfile(path):
        raise refuse(path, "it holds more than arrays and text, or is damaged (no archive)", remedy)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        reason = f"it holds more than arrays and text, or is damaged ({str(error).splitlines()[0]})"
        raise refuse(path, reason, remedy) from error
    if not isinstance(content, dict) or set(content) != {"format", META, "tensors"}:
        raise refuse(path, "it is no model of TradeSentry", "Name a file that `tradesentry drl train` wrote.")
    tensors = {name: values.numpy() for name, values in content["tensors"].items()}
    return _model(path, content[META], tensors)


def _check_size(path: Path) -> None:
    """Refuse a file that is missing or larger than a model can be."""
    if not path.is_file():
        raise refuse(path, "it does not exist", "Name a folder with four models, or `shipped`.")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise refuse(path, f"it has {size:,} bytes and a model has at most {MAX_BYTES:,}", "Name another folder.")
