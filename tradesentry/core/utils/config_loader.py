"""Turn defaults, a file and `--set` into one checked configuration that knows where each value came from.

One precedence: model default, then file, then `--set`. Bounds, units and descriptions stand on the fields of the
pydantic model and nowhere else; this module only merges, checks and explains. A refusal names the file, the line, the
key, the value, the bound and what to write instead, for all wrong keys at once.
"""

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tradesentry.core.domain.errors import ConfigError, nearest
from tradesentry.core.utils.config_source import SourceValues, dump_value, parse_value, read_source

ModelT = TypeVar("ModelT", bound=BaseModel)

DEFAULT = "default"
OVERRIDE = "--set"
GIVEN = "given"
"""Values handed over by a caller, such as a request body or a saved run."""


@dataclass(frozen=True, slots=True)
class Resolved(Generic[ModelT]):
    """A checked configuration and the origin of each of its values.

    Args:
        value: The validated model.
        origins: For every dotted key: "default", "FILE:LINE", "given" or "--set".
    """

    value: ModelT
    origins: dict[str, str]

    def explain(self) -> list[tuple[str, Any, str]]:
        """Return (dotted key, value, origin) of every value, in the order of the model."""
        return [(key, value, self.origins[key]) for key, value in _leaves(self.value)]

    def dump_yaml(self) -> str:
        """Return the whole configuration as YAML, each value with its origin as a comment; it loads to the same."""
        return "\n".join(self._yaml_lines(self.value, self.value.model_dump(mode="json"), "")) + "\n"

    def _yaml_lines(self, model: BaseModel, plain: dict[str, Any], prefix: str) -> Iterator[str]:
        indent = "  " * prefix.count(".")
        for name in type(model).model_fields:
            inner = getattr(model, name)
            if _is_branch(inner):
                yield f"{indent}{name}:"
                yield from self._yaml_lines(inner, plain[name], f"{prefix}{name}.")
            else:
                yield f"{indent}{name}: {dump_value(plain[name])}  # {self.origins[prefix + name]}"


def load_config(
    model: type[ModelT],
    *,
    path: Path | None = None,
    overrides: Sequence[str] = (),
    file_values: Mapping[str, Any] | None = None,
    section: str | None = None,
    option: str = OVERRIDE,
) -> Resolved[ModelT]:
    """Return the configuration that defaults, file and overrides make, checked against `model`.

    Args:
        model: Frozen pydantic model that forbids unknown keys.
        path: YAML or JSON file that lists what differs from the defaults.
        overrides: `key=value` texts as given with `--set`; dotted keys reach nested models, later ones win.
        file_values: Values somebody else has read (a request body, a saved run), laid over those of `path`.
        section: Dotted key of the part of the file that belongs to `model`; a file without it sets nothing.
        option: The command-line option that overrides are given with, for the words of a refusal.

    Raises:
        ConfigError: A key is unknown or set twice, a value is out of bounds, or the file cannot be read.
    """
    merged = _Merge(model, option)
    if path:
        source = _section(read_source(path), section, path)
        merged.add(source.values, str(path), source.lines)
    merged.add(dict(file_values or {}), GIVEN)
    for text in overrides:
        key, value = parse_override(text, option)
        merged.add_override(key, value)
    try:
        value = model.model_validate(merged.values)
    except ValidationError as error:
        raise ConfigError(_Refusals(model, merged).text(error)) from error
    return Resolved(value, {key: merged.origin(key) for key, _ in _leaves(value)})


def parse_override(text: str, option: str = OVERRIDE) -> tuple[str, Any]:
    """Return the dotted key and the value of one `--set` text.

    Args:
        text: `key=value`; the value is YAML: `3`, `true`, `null`, `[EURUSD, GBPUSD]`, `08:00`.
        option: What it was given with.

    Raises:
        ConfigError: There is no `=`, no key, or the value is not YAML.
    """
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not equals or not key or not all(key.split(".")):
        example = ", such as --set stop_pips=25" if option == OVERRIDE else ""
        raise ConfigError(f"{option} {text!r} cannot be understood. Write {option} key=value{example}.")
    return key, parse_value(raw, f"{option} {key}")


def _section(source: SourceValues, section: str | None, path: Path) -> SourceValues:
    """Return the part of a file under the dotted key `section`, line numbers included."""
    values: Any = source.values
    for name in section.split(".") if section else ():
        if not isinstance(values, dict):
            raise ConfigError(
                f"{path}: above section {name!r} stands {values!r}. Put `{name}:` and its lines under it."
            )
        close = difflib.get_close_matches(name, values, n=1, cutoff=0.8)
        if name not in values and close:
            raise ConfigError(f"{path} has no section {name!r} but one named {close[0]!r}. Rename it to {name!r}.")
        values = {} if values.get(name) is None else values[name]
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: section {section!r} holds {values!r}. Put `key: value` lines under it.")
    head = f"{section}." if section else ""
    return SourceValues(values, {k.removeprefix(head): n for k, n in source.lines.items() if k.startswith(head)})


class _Merge:
    """Values laid over one another, with the place where each was set."""

    def __init__(self, model: type[BaseModel], option: str = OVERRIDE) -> None:
        self.values: dict[str, Any] = {}
        self._model, self._option = model, option
        self._places: dict[str, str] = {}

    def add(self, values: dict[str, Any], origin: str, lines: Mapping[str, int] | None = None) -> None:
        """Lay `values` over what is there; mappings merge, everything else replaces."""
        self._lay(self.values, values, [], {key: f"{origin}:{line}" for key, line in (lines or {}).items()}, origin)

    def add_override(self, key: str, value: Any) -> None:
        """Lay one `--set` value over what is there; `a,b` is a list where the field is one."""
        names = key.split(".")
        field = _field_at(self._model, names)
        if isinstance(value, str) and field is not None and _is_list(field.annotation):
            value = [parse_value(item, f"{self._option} {key}") for item in value.split(",")]
        for name in reversed(names):
            value = {name: value}
        self.add(value, self._option)

    def _lay(
        self, target: dict[str, Any], values: dict[str, Any], above: list[str], places: dict[str, str], origin: str
    ) -> None:
        for name, value in values.items():
            names = [*above, name]
            key = ".".join(names)
            if isinstance(value, dict):
                if not isinstance(target.get(name), dict):
                    target[name] = _default_values(self._model, names)
                self._places[key] = places.get(key, origin)
                self._lay(target[name], value, names, places, origin)
                continue
            for below in [place for place in self._places if place.startswith(f"{key}.")]:
                del self._places[below]
            target[name] = value
            self._places |= {k: place for k, place in places.items() if k.startswith(f"{key}.")}
            self._places[key] = places.get(key, origin)

    def origin(self, key: str) -> str:
        """Return where `key`, or the last of what it holds, was set."""
        places = [place for name, place in self._places.items() if name == key or name.startswith(f"{key}.")]
        return places[-1] if places else DEFAULT

    def nearest_place(self, names: Sequence[str]) -> str:
        """Return the place of `names` or of the closest enclosing key; empty when only defaults are involved."""
        for n in range(len(names), 0, -1):
            place = self._places.get(".".join(names[:n]))
            if place:
                return place
        return ""


class _Refusals:
    """Words for what pydantic found wrong."""

    def __init__(self, model: type[BaseModel], merged: _Merge) -> None:
        self._model = model
        self._merged = merged

    def text(self, error: ValidationError) -> str:
        """Return one line for each wrong value, each with its place, cause and remedy."""
        return "\n".join(dict.fromkeys(self._line(details) for details in error.errors(include_url=False)))

    def _line(self, details: ErrorDetails) -> str:
        names = self._names(details)
        place = self._merged.nearest_place(names)
        key = ".".join(names)
        said = f"{place}: " if place else ""
        if details["type"] == "extra_forbidden":
            return f"{said}{key!r} is not a setting. {self._suggestion(names)}"
        if details["type"] == "missing":
            return f"{said}{key!r} is required and was not given. Add it to the file or use --set {key}=VALUE."
        field = _field_at(self._model, names) if names else None
        if field is None or isinstance(details["input"], dict | BaseModel):
            return f"{said}{key or 'These settings'}: {_reason(details)}. Change one of the values named."
        return f"{said}{key} = {details['input']!r} was refused: {_reason(details)}. {_remedy(key, field)}".rstrip()

    def _names(self, details: ErrorDetails) -> list[str]:
        """Return the keys of an error's location, without the names pydantic adds for the arms of a union."""
        names: list[str] = []
        at: Any = self._merged.values
        for part in details["loc"]:
            is_key = isinstance(at, dict) and part in at
            is_index = isinstance(at, list | tuple) and isinstance(part, int) and part < len(at)
            if is_key or is_index:
                at = at[part]
            elif _field_at(self._model, [*names, str(part)]):
                at = None
            else:
                continue
            names.append(str(part))
        return names

    def _suggestion(self, names: Sequence[str]) -> str:
        known = {name for model in _models_at(self._model, names[:-1]) for name in model.model_fields}
        if "." in names[-1]:
            first, _, rest = names[-1].partition(".")
            return f"Write {rest!r} on a line of its own, indented under `{first}:`."
        return nearest(names[-1], known)


def _reason(details: ErrorDetails) -> str:
    text = details["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")
    return text.replace("Input should", "it should")


def _remedy(key: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    unit = f" Unit: {extra['unit']}." if extra.get("unit") else ""
    meaning = f" Meaning: {field.description.rstrip('.')}." if field.description else ""
    if field.is_required():
        return f"{unit}{meaning}".strip()
    default = field.get_default(call_default_factory=True, validated_data={})
    shown = "the default" if isinstance(default, BaseModel) else f"the default {default!r}"
    return f"Leave {key!r} out for {shown}.{unit}{meaning}"


def _arms(annotation: Any) -> list[Any]:
    """Return the types an annotation allows, without `Annotated` and None."""
    if get_origin(annotation) is Annotated:
        return _arms(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [arm for part in get_args(annotation) if part is not type(None) for arm in _arms(part)]
    return [annotation]


def _is_list(annotation: Any) -> bool:
    return any((get_origin(arm) or arm) in (list, tuple, set, frozenset, Sequence) for arm in _arms(annotation))


def _inner_models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models an annotation holds, directly or as items of a list or mapping."""
    found: list[type[BaseModel]] = []
    for arm in _arms(annotation):
        if isinstance(arm, type) and issubclass(arm, BaseModel):
            found.append(arm)
        elif get_origin(arm) is not Literal:
            found += [model for item in get_args(arm) if item is not Ellipsis for model in _inner_models(item)]
    return found


def _models_at(model: type[BaseModel], names: Sequence[str]) -> list[type[BaseModel]]:
    """Return the models that may stand at a path; names that are no field are indices or keys of a container."""
    models = [model]
    for name in names:
        below = [
            inner for m in models if name in m.model_fields for inner in _inner_models(m.model_fields[name].annotation)
        ]
        models = below or models
    return models


def _field_at(model: type[BaseModel], names: Sequence[str]) -> FieldInfo | None:
    """Return the field at a path, None when the path leads into a list, a mapping or nowhere."""
    for candidate in _models_at(model, names[:-1]):
        if names[-1] in candidate.model_fields:
            return candidate.model_fields[names[-1]]
    return None


def _default_values(model: type[BaseModel], names: Sequence[str]) -> dict[str, Any]:
    """Return the default of a nested model as values, so that setting one of its keys keeps the others."""
    field = _field_at(model, names)
    if field is None or field.is_required() or len(_arms(field.annotation)) != 1:
        return {}
    default = field.get_default(call_default_factory=True, validated_data={})
    return default.model_dump() if isinstance(default, BaseModel) else {}


def _is_branch(value: Any) -> bool:
    return isinstance(value, BaseModel) and bool(type(value).model_fields)


def _leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if _is_branch(value):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
