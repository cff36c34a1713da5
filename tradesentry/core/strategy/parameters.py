"""Tell people what a strategy lets them set: one row per parameter, for CLI help and docs tables."""

from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def _bounds(field: FieldInfo) -> str:
    """Return the bounds of a field as an interval."""
    low = high = ""
    left, right = "[", "]"
    for rule in field.metadata:
        for name, value in ((n, getattr(rule, n, None)) for n in ("ge", "gt", "le", "lt")):
            if value is None:
                continue
            if name in ("ge", "gt"):
                low, left = f"{value:g}", "[" if name == "ge" else "("
            else:
                high, right = f"{value:g}", "]" if name == "le" else ")"
    return f"{left}{low or '-inf'}, {high or 'inf'}{right}" if low or high else ""


def _choices(annotation: Any) -> str:
    """Return the values of a Literal, or of a tuple of them."""
    if get_origin(annotation) is not None and str(get_origin(annotation)) == "typing.Literal":
        return ", ".join(str(value) for value in get_args(annotation))
    inner = [_choices(argument) for argument in get_args(annotation) if argument is not Ellipsis]
    return "; ".join(text for text in inner if text)


def _default(value: Any) -> str:
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _unit(annotation: Any, extra: Any) -> str:
    """Return the unit of a field: its own, or that of its type, which `| None` hides from the field."""
    if isinstance(extra, dict) and "unit" in extra:
        return str(extra["unit"])
    for part in getattr(annotation, "__metadata__", ()):
        if isinstance(part, FieldInfo):
            return _unit(None, part.json_schema_extra)
    found = [_unit(argument, None) for argument in get_args(annotation) if argument is not Ellipsis]
    return next((unit for unit in found if unit), "")


def parameter_rows(model: type[BaseModel], prefix: str = "") -> list[dict[str, str]]:
    """Return one row per parameter: name, default, range, unit and meaning; nested models flattened with dots."""
    rows: list[dict[str, str]] = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            rows += parameter_rows(annotation, f"{prefix}{name}.")
            continue
        rows.append(
            {
                "parameter": prefix + name,
                "default": _default(field.get_default(call_default_factory=True)),
                "range": _bounds(field) or _choices(annotation),
                "unit": _unit(annotation, field.json_schema_extra),
                "meaning": field.description or "",
            }
        )
    return rows
