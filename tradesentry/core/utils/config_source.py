"""Read YAML and JSON without YAML's surprises, and remember the line of every value.

Separate from `config_loader`, which knows models and precedence but no text. Plain YAML 1.1 turns `off` into False,
`12:30` into 750, `010` into 8, a date into an object and `1e-4` into text; each of them has cost somebody money. Here
only `true`, `false`, `null` and decimal numbers mean something, everything else is text, a key given twice is refused,
and no document can name a Python object.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from tradesentry.core.domain.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
"""Nested aliases make a few lines stand for millions of values."""


@dataclass(frozen=True, slots=True)
class SourceValues:
    """What a file says.

    Args:
        values: Nested mapping of the file.
        lines: Line number of every dotted key, the first line being 1.
    """

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


MERGE_TAG = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Safe loader with the scalars of YAML 1.2: what looks like text stays text."""


_Loader.yaml_implicit_resolvers = {}


class YamlDumper(yaml.SafeDumper):
    """Safe dumper whose text reads back the same here and in YAML 1.1 parsers: whatever either would take is quoted."""


_FLOAT = (
    r"[-+]?(?:[0-9][0-9_]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*\.?[eE][-+]?[0-9]+|[-+]?[0-9][0-9_]*\."
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_SCALARS = [
    ("tag:yaml.org,2002:bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", "[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    ("tag:yaml.org,2002:float", _FLOAT, "-+.0123456789"),
]
for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))
    YamlDumper.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(MERGE_TAG, re.compile(r"^<<$"), ["<"])


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


YamlDumper.add_representer(str, _represent_text)


def dump_value(value: Any) -> str:
    """Return `value` (numbers, text, null, lists, mappings) as one line of YAML that `parse_value` reads back."""
    text: str = yaml.dump(value, Dumper=YamlDumper, default_flow_style=True, width=float("inf"), sort_keys=False)
    return text.removesuffix("...\n").strip()


def _refuse(name: str, mark: yaml.Mark | None, problem: str, advice: str) -> NoReturn:
    place = f"{name}:{mark.line + 1}" if mark else name
    raise ConfigError(f"{place}: {problem} {advice}", code="config_syntax")


class _Lines:
    """Walk a node tree once: collect lines, refuse keys given twice and documents that unfold without end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[str, int] = {}
        self._n_nodes = 0

    def walk(self, node: yaml.Node, path: str = "") -> None:
        self._n_nodes += 1
        if self._n_nodes > MAX_NODES:
            _refuse(
                self.name, node.start_mark, f"the document unfolds to over {MAX_NODES:,} values.", "Remove aliases."
            )
        if isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self._enter(item, f"{path}.{i}" if path else str(i), item.start_mark)
        elif isinstance(node, yaml.MappingNode):
            self._walk_mapping(node, path)

    def _walk_mapping(self, node: yaml.MappingNode, path: str) -> None:
        seen: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == MERGE_TAG:
                for base in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    self.walk(base, path)
        for key, value in node.value:
            if key.tag == MERGE_TAG:
                continue
            if not isinstance(key, yaml.ScalarNode):
                _refuse(
                    self.name, key.start_mark, "a key is a list or a mapping.", "Write a plain name before the colon."
                )
            if key.value in seen:
                first = seen[key.value] + 1
                _refuse(self.name, key.start_mark, f"{key.value!r} is set twice (first on line {first}).", "Keep one.")
            seen[key.value] = key.start_mark.line
            # A key is a name, also when it looks like a number.
            key.tag = "tag:yaml.org,2002:str"
            self._enter(value, f"{path}.{key.value}" if path else key.value, key.start_mark)

    def _enter(self, node: yaml.Node, path: str, mark: yaml.Mark) -> None:
        self.lines[path] = mark.line + 1
        self.walk(node, path)


def _parse(text: str, name: str) -> tuple[Any, dict[str, int]]:
    loader = _Loader(text)
    loader.name = name
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        lines = _Lines(name)
        lines.walk(node)
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        _refuse(name, error.problem_mark, f"this is not valid YAML: {error.problem}.", "Correct the line.")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        _refuse(name, None, f"this cannot be read: {error}.", "Correct the file.")
    finally:
        loader.dispose()
    return value, lines.lines


def _parse_json(text: str, name: str) -> Any:
    def refuse_constant(word: str) -> NoReturn:
        raise ConfigError(f"{name}: {word} is not a JSON number. Write null, or use YAML's .inf.", code="config_syntax")

    try:
        return json.loads(text, parse_constant=refuse_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(
            f"{name}{line}: this is not valid JSON: {error}. Correct it.", code="config_syntax"
        ) from error


def parse_value(text: str, name: str = "value") -> Any:
    """Return the value that `text` means in YAML: a number, a truth value, null, text, a list or a mapping.

    Args:
        text: One YAML document, such as `3`, `off`, `[1, 2]` or `08:00-12:00`.
        name: What an error message calls it.

    Raises:
        ConfigError: The text is not YAML.
    """
    return _parse(text, name)[0]


def read_source(path: Path) -> SourceValues:
    """Return the values and line numbers of a YAML or JSON file.

    Args:
        path: A file ending in .yaml, .yml or .json.

    Raises:
        ConfigError: The file is missing, unreadable, not of its format, sets a key twice or is no mapping.
    """
    name = str(path)
    if path.suffix.lower() not in {".yaml", ".yml", ".json"}:
        raise ConfigError(f"{name} is neither YAML nor JSON. Give it the ending .yaml or .json.", code="config_file")
    try:
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{name} has {len(data):,} bytes; a configuration has at most {MAX_BYTES:,}.")
        text = data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"{name} does not exist. Check the path given with --config.", code="config_file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name} cannot be read: {error}. Save it as UTF-8 text.", code="config_file") from error
    if path.suffix.lower() == ".json":
        # Raw tabs cannot occur inside JSON strings, and YAML does not take them between tokens.
        value = _parse_json(text, name)
        lines = _parse(text.replace("\t", " "), name)[1]
    else:
        value, lines = _parse(text, name)
    if value is None:
        return SourceValues()
    if not isinstance(value, dict):
        raise ConfigError(f"{name} holds a {type(value).__name__}, not `key: value` lines.", code="config_syntax")
    return SourceValues(value, lines)
