"""One configuration model, many uses: the YAML file, `--set`, CLI help, JSON schema, docs table and kernel record.

A strategy declares a frozen pydantic model with bounds, unit and description on every field. `params_dtype` turns the
model into a record layout of the same field names and `params_record` fills it. What kernels read:

==========================  =======================================================
field type                  record field
==========================  =======================================================
int, bool, float            i8, b1, f8
float | None, int | None    f8, NaN when None ("off")
Literal["a", "b"]           i8, the position of the value in the Literal
tuple[Literal, ...]         i8, bit i set when the i-th value of the Literal is in it
nested model                nested record
str and everything else     not in the record (names, windows: resolved in Python)
==========================  =======================================================
"""

import types as python_types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel, Field

from tradesentry.core.utils.config_model import FrozenModel
from tradesentry.core.utils.kernel import new_records, plain_record

Pips = Annotated[float, Field(json_schema_extra={"unit": "pips"})]
"""A distance in pips of the instrument."""


class ParamsModel(FrozenModel):
    """Base of everything a user may set for a strategy or component."""


def _unwrap(annotation: Any) -> Any:
    """Return `annotation` without aliases and `Annotated`."""
    return _unwrap(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _is_optional(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, python_types.UnionType) and type(None) in get_args(annotation)


def _field_format(annotation: Any) -> Any:
    """Return the record format of a field annotation, None when kernels do not see it."""
    annotation = _unwrap(annotation)
    if _is_optional(annotation):
        inner = [_unwrap(a) for a in get_args(annotation) if a is not type(None)]
        return "f8" if inner in ([float], [int]) else None
    if get_origin(annotation) is Literal:
        return "i8"
    if get_origin(annotation) is tuple:
        item = _unwrap(get_args(annotation)[0])
        return "i8" if get_origin(item) is Literal and get_args(annotation)[1:] == (Ellipsis,) else None
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return params_dtype(annotation)
    return {bool: "b1", int: "i8", float: "f8"}.get(annotation)


def params_dtype(model: type[BaseModel], extra: list[tuple[str, Any]] | None = None) -> np.dtype[Any]:
    """Return the record layout of a configuration model: its fields in order, under their own names.

    Args:
        model: A pydantic model.
        extra: Further fields that are computed, not configured (`EXTRA_PARAMS` of a strategy).
    """
    fields = [(name, _field_format(info.annotation)) for name, info in model.model_fields.items()]
    named = [(name, fmt) for name, fmt in fields if fmt is not None] + list(extra or [])
    return np.dtype(named or [("unused", "i8")], align=True)


def _encode(value: Any, annotation: Any) -> Any:
    annotation = _unwrap(annotation)
    if value is None:
        return np.nan
    if get_origin(annotation) is Literal:
        return get_args(annotation).index(value)
    if get_origin(annotation) is tuple:
        choices = get_args(_unwrap(get_args(annotation)[0]))
        return sum(1 << choices.index(item) for item in set(value))
    return value


def fill_record(model: BaseModel, record: Any) -> None:
    """Write the fields of `model` into `record`, a record of `params_dtype(type(model))` or a wider one."""
    for name, info in type(model).model_fields.items():
        if name not in record.dtype.names:
            continue
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            fill_record(value, record[name])
        else:
            record[name] = _encode(value, info.annotation)


def params_record(model: BaseModel, dtype: np.dtype[Any] | None = None) -> np.recarray[Any, Any]:
    """Return one kernel record holding the values of `model`, shape (1,)."""
    records = new_records(1, dtype if dtype is not None else params_dtype(type(model)))
    fill_record(model, plain_record(records))
    return records
