"""Name the variants of a study: frozen configurations with a stable hash, from a product, a draw or a text.

Separate from the sweep that runs them, because the identity of a variant is what the study ledger counts and what
finished work is filed under: the same parameters have the same hash in every process, study and version of this file.
"""

import hashlib
import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tradesentry.core.domain.errors import ConfigError, UsageError, nearest
from tradesentry.core.strategy.base_strategy import StrategyConfig
from tradesentry.core.strategy.strategy_registry import strategy
from tradesentry.core.utils.config_source import parse_value

HASH_BYTES = 8
WHERE = ("symbols",)
"""Settings that say where a variant is run, not what it is."""
MODELS = "models"
"""Setting of a learned strategy that names a folder: what it holds counts, not where it lies."""
TRAINING = "training"
"""Settings of a learned strategy that no decision reads."""
RANGE = re.compile(r"^\s*(-?[\d.eE+-]+)\s*\.\.\s*(-?[\d.eE+-]+)\s*$")


class Span(NamedTuple):
    """A range of a number in a search space; both ends belong to it."""

    low: float
    high: float


Space: TypeAlias = dict[str, "Span | tuple[Any, ...]"]
"""What a search may move, by dotted key: a range, or choices."""


@dataclass(frozen=True)
class Variant:
    """One parameter set of a study."""

    app: str
    config: StrategyConfig
    values: Mapping[str, Any]
    """What the study set, by dotted key; the rest is the base configuration."""

    @cached_property
    def key(self) -> str:
        """Return the stable hash of strategy and parameters; the markets are not part of it."""
        return variant_key(self.app, self.config)

    @property
    def label(self) -> str:
        """Return the varied values in words."""
        return ", ".join(f"{name}={plain_text(value)}" for name, value in self.values.items()) or "as configured"


def variant_key(app: str, config: StrategyConfig) -> str:
    """Return the hash of a configuration, 16 hex digits.

    Of a learned strategy the weights count, which the configuration only names: another model set is another variant,
    also under an old name.

    Args:
        app: Strategy.
        config: Its configuration; `symbols` does not count.

    Raises:
        TradeSentryError: The models that the configuration names cannot be read.
    """
    if MODELS not in type(config).model_fields:
        return _key(app, config, WHERE)
    chosen = strategy(app)
    record = chosen.new_params(config)
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    for field in chosen.EXTRA_PARAMS:
        values = np.asarray(record[field[0]])
        # Nested records are computed from the configuration, which counts already; their padding says nothing.
        if values.dtype.names is None:
            digest.update(np.ascontiguousarray(values).tobytes())
    return _key(app, config, (*WHERE, MODELS, TRAINING), digest.hexdigest())


def settings_key(app: str, config: StrategyConfig) -> str:
    """Return the hash of what a fit is asked for, 16 hex digits: the configuration without the models it begins with.

    Args:
        app: Strategy.
        config: Its configuration, settings of training included.
    """
    return _key(app, config, (*WHERE, MODELS))


def _key(app: str, config: StrategyConfig, left_out: Sequence[str], *more: str) -> str:
    plain = {name: value for name, value in config.model_dump(mode="json").items() if name not in left_out}
    text = json.dumps([app, plain, *more], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=HASH_BYTES).hexdigest()


def make_variant(app: str, base: StrategyConfig, values: Mapping[str, Any]) -> Variant:
    """Return the variant of `base` with `values` laid over it.

    Raises:
        ConfigError: The values contradict the model.
    """
    try:
        return Variant(app, type(base).model_validate(_laid_over(base.model_dump(), values)), dict(values))
    except ValidationError as error:
        wrong = "; ".join(details["msg"].removeprefix("Value error, ") for details in error.errors(include_url=False))
        shown = ", ".join(f"{name}={plain_text(value)}" for name, value in values.items())
        raise ConfigError(f"The variant {shown} was refused: {wrong}. Leave the value out of the study.") from error


def grid_variants(
    app: str, base: StrategyConfig, grid: Mapping[str, Sequence[Any]]
) -> tuple[list[Variant], dict[str, str]]:
    """Return the variants of a product in its order, each once, and what was left out.

    Args:
        app: Strategy.
        base: Configuration that the values are laid over.
        grid: Values by dotted key.

    Returns:
        Variants, and the reason by label of every combination that contradicts itself.

    Raises:
        ConfigError: A key is unknown, or no combination is possible.
    """
    _refuse_unknown(type(base), grid)
    rows = (dict(zip(grid, values, strict=True)) for values in product(*grid.values()))
    return _distinct(app, base, rows)


def random_variants(
    app: str, base: StrategyConfig, space: Space, *, n: int, seed: int
) -> tuple[list[Variant], dict[str, str]]:
    """Return `n` distinct variants drawn from a space.

    Args:
        app: Strategy.
        base: Configuration that the values are laid over.
        space: What may be drawn, by dotted key.
        n: Variants wanted; fewer when the space holds fewer.
        seed: The same seed draws the same variants; a larger `n` begins with those of a smaller one.
    """
    _refuse_unknown(type(base), space)
    generator = np.random.default_rng(seed)
    found: dict[str, Variant] = {}
    refused: dict[str, str] = {}
    for _ in range(20 * n):
        if len(found) == n:
            break
        values = {name: _draw(generator, entry) for name, entry in space.items()}
        try:
            variant = make_variant(app, base, values)
        except ConfigError as error:
            refused[str(values)] = str(error)
            continue
        found.setdefault(variant.key, variant)
    if not found:
        raise ConfigError(f"No draw from the space is possible: {next(iter(refused.values()), 'it is empty')}")
    return list(found.values()), refused


def declared_space(search: Mapping[str, Sequence[Any]]) -> Space:
    """Return the search space that an app declares: two numbers are a range, everything else is a choice."""
    return {name: Span(*entry) if _is_pair(entry) else tuple(entry) for name, entry in search.items()}


def _is_pair(entry: Sequence[Any]) -> bool:
    return len(entry) == 2 and all(isinstance(c, (int, float)) and not isinstance(c, bool) for c in entry)


def parse_grid(texts: Iterable[str], model: type[BaseModel]) -> dict[str, tuple[Any, ...]]:
    """Return the product of `key=a,b,c` texts.

    A field that is a list takes its items with `+`: `modes=orb,london+bb` are two values.

    Raises:
        UsageError: A text without `=` or without a value.
        ConfigError: A key that is no setting.
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        key, equals, listed = text.partition("=")
        if not equals or not listed.strip():
            raise UsageError(f"--grid {text!r} cannot be understood. Write --grid key=a,b,c.")
        field = _field(model, key.strip())
        grid[key.strip()] = tuple(_value(part, field, f"--grid {key}") for part in listed.split(","))
    return grid


def parse_space(texts: Iterable[str], model: type[BaseModel]) -> Space:
    """Return the search space of `key=low..high`, `key=a,b,c` or `key` texts; a bare key takes the field's own bounds.

    Raises:
        UsageError: A bare key whose field has no bounds.
        ConfigError: A key that is no setting.
    """
    space: Space = {}
    for text in texts:
        key, equals, listed = text.partition("=")
        name = key.strip()
        field = _field(model, name)
        span = RANGE.match(listed)
        if not equals:
            space[name] = _own_bounds(name, field)
        elif span:
            space[name] = Span(parse_value(span[1]), parse_value(span[2]))
        else:
            space |= parse_grid([text], model)
    return space


def plain_text(value: Any) -> str:
    """Return a configuration value as short text."""
    if value is None:
        return "off"
    if isinstance(value, (list, tuple)):
        return "+".join(plain_text(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _laid_over(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for dotted, value in changes.items():
        *above, name = dotted.split(".")
        target = values
        for part in above:
            target = target.setdefault(part, {})
        target[name] = value
    return values


def _distinct(app: str, base: StrategyConfig, rows: Iterator[dict[str, Any]]) -> tuple[list[Variant], dict[str, str]]:
    found: dict[str, Variant] = {}
    refused: dict[str, str] = {}
    for values in rows:
        try:
            variant = make_variant(app, base, values)
        except ConfigError as error:
            refused[str(values)] = str(error)
            continue
        found.setdefault(variant.key, variant)
    if not found:
        raise ConfigError(f"No variant of the grid is possible: {next(iter(refused.values()), 'it is empty')}")
    return list(found.values()), refused


def _draw(generator: np.random.Generator, entry: Span | tuple[Any, ...]) -> Any:
    if not isinstance(entry, Span):
        return entry[int(generator.integers(len(entry)))]
    low, high = entry
    if isinstance(low, int) and isinstance(high, int):
        return int(generator.integers(low, high + 1))
    return float(np.round(generator.uniform(low, high), 6))


def _refuse_unknown(model: type[BaseModel], keys: Iterable[str]) -> None:
    for key in keys:
        _field(model, key)


def _field(model: type[BaseModel], dotted: str) -> FieldInfo:
    at: Any = model
    field: FieldInfo | None = None
    for part in dotted.split("."):
        fields = getattr(at, "model_fields", {})
        if part not in fields:
            raise ConfigError(f"{dotted!r} is not a setting. {nearest(part, fields)}")
        field = fields[part]
        at = field.annotation
    if field is None or dotted in WHERE:
        raise ConfigError(f"{dotted!r} cannot be varied: it says where a variant runs. Use --symbols.")
    return field


def _arms(annotation: Any) -> list[Any]:
    """Return the types that an annotation allows, without `Annotated`."""
    origin: Any = get_origin(annotation)
    if origin is Annotated:
        return _arms(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [arm for part in get_args(annotation) for arm in _arms(part)]
    return [annotation]


def _value(text: str, field: FieldInfo, place: str) -> Any:
    arms = _arms(field.annotation)
    origins: list[Any] = [get_origin(arm) for arm in arms]
    if tuple in origins or list in origins:
        return tuple(parse_value(item, place) for item in text.split("+"))
    value = parse_value(text, place)
    return None if value in ("off", "none") and type(None) in arms else value


def _own_bounds(name: str, field: FieldInfo) -> Span | tuple[Any, ...]:
    arms = _arms(field.annotation)
    for arm in arms:
        origin: Any = get_origin(arm)
        if origin is Literal:
            return tuple(get_args(arm))
        if arm is bool:
            return (False, True)
    low = next((rule.ge for rule in field.metadata if getattr(rule, "ge", None) is not None), None)
    high = next((rule.le for rule in field.metadata if getattr(rule, "le", None) is not None), None)
    if low is None or high is None:
        raise UsageError(f"--search {name} has no bounds of its own. Write --search {name}=LOW..HIGH.")
    cast = int if int in arms else float
    return Span(cast(low), cast(high))
