"""The folder of one run: which file holds what, written whole or not at all.

Everything is first written to a hidden folder beside the target, then renamed; a full disk or Ctrl-C leaves the
target as it was. Files that others keep in the folder (`log.jsonl`) are linked across, so open handles stay valid.

===================  ======================================================================
file                 holds
===================  ======================================================================
summary.json         what was run, metrics with units and reasons, cost levels, status
trades.parquet       closed trades
equity.parquet       account curve
rejects.parquet      intents that were not executed as asked
events.parquet       what the strategy saw (optional)
decisions.parquet    what a strategy that votes decided, a row per bar (optional)
config.yaml          resolved configuration, the origin of each value as a comment
data.json            provenance of every price series
report.html          the page (optional)
===================  ======================================================================
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradesentry.backtest.result import BacktestResult
from tradesentry.core.domain.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

FORMAT = 1
"""Version of the folder's layout."""
OWN_FILES = (
    "summary.json",
    "trades.parquet",
    "equity.parquet",
    "rejects.parquet",
    "events.parquet",
    "decisions.parquet",
    "config.yaml",
    "data.json",
    "report.html",
)
STORED = (
    *("app", "symbols", "timeframe", "source", "is_synthetic", "account_currency", "capital", "period"),
    *("origins", "costs", "cost_runs", "baselines", "warnings", "intrabar", "timing", "status", "study"),
)
"""Fields of a result that `summary.json` keeps as they are."""
FOREIGN_FILES = ("log.jsonl", "sweep.json", "walk-forward.json", "optuna.journal")
"""Files of a run that other parts write."""


def save_result(result: BacktestResult, folder: Path, *, with_report: bool) -> Path:
    """Write `result` to `folder`, all files or none, and return the folder."""
    folder = folder.absolute()
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _staged(folder) as stage:
        _write_tables(result, stage)
        _write_text(stage / "summary.json", dumps(_summary_document(result)))
        _write_text(stage / "config.yaml", config_yaml(result.config, result.origins))
        _write_text(stage / "data.json", dumps(result.provenance))
        if with_report:
            result.report(stage / "report.html")
    return folder


def read_result(folder: Path) -> BacktestResult:
    """Return the result saved in `folder`, without its bars."""
    import polars as pl
    import yaml

    try:
        head = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if head.get("format") != FORMAT:
            raise DataError(
                f"{folder} was written in format {head.get('format')!r}, this version reads {FORMAT}. Run it again."
            )
        tables: dict[str, Any] = {
            name: pl.read_parquet(folder / f"{name}.parquet") for name in ("trades", "equity", "rejects")
        }
        events, decisions = folder / "events.parquet", folder / "decisions.parquet"
        result = BacktestResult(
            **_identity(head["run"]),
            bars={},
            **tables,
            config=yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) or {},
            provenance=json.loads((folder / "data.json").read_text(encoding="utf-8")),
            events=pl.read_parquet(events) if events.exists() else None,
            decisions=pl.read_parquet(decisions) if decisions.exists() else None,
        )
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{folder} is not a complete run folder: {error}. Choose a folder that `BacktestResult.save` wrote."
        ) from error
    return result


def dumps(document: Any) -> str:
    """Return indented JSON with null for numbers that are not finite."""
    return json.dumps(clean(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def clean(value: Any) -> Any:
    """Return `value` in JSON's types: NumPy scalars and arrays plain, not finite numbers None, keys text."""
    if isinstance(value, Mapping):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [clean(item) for item in (sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)]
    if hasattr(value, "tolist"):
        return clean(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def config_yaml(config: Mapping[str, Any], origins: Mapping[str, Any]) -> str:
    """Return the configuration as YAML, each value followed by its origin as a comment.

    Args:
        config: Resolved values, nested.
        origins: Origin by dotted key.
    """
    lines = ["# Resolved configuration: every value, and where it came from."]
    for depth, key, value, origin in _config_lines(config, origins):
        comment = f"  # {' '.join(origin.split())}" if origin else ""
        lines.append(f"{'  ' * depth}{_scalar(key)}:{'' if value is None else f' {value}'}{comment}")
    return "\n".join(lines) + "\n"


def flat_config(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every leaf of a nested configuration, in order."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat_config(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def origin_of(origins: Mapping[str, Any], dotted: str) -> str:
    """Return the origin of a value, its own or that of the group it belongs to; empty when unknown."""
    node: Any = origins.get(dotted, origins)
    if isinstance(node, Mapping):
        for part in dotted.split("."):
            node = node.get(part, "") if isinstance(node, Mapping) else node
    parent = dotted.rpartition(".")[0]
    if isinstance(node, Mapping) or (not node and parent):
        return origin_of(origins, parent) if parent else ""
    return str(node)


def _config_lines(
    config: Mapping[str, Any], origins: Mapping[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[int, str, str | None, str]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield depth, str(key), None, ""
            yield from _config_lines(value, origins, f"{prefix}{key}.", depth + 1)
        else:
            yield depth, str(key), _scalar(value), origin_of(origins, f"{prefix}{key}")


def _scalar(value: Any) -> str:
    import yaml

    if isinstance(value, str) and any(not character.isprintable() for character in value):
        return json.dumps(value)
    text = yaml.safe_dump(clean(value), default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.strip().removesuffix("...").strip()


def _identity(run: Mapping[str, Any]) -> dict[str, Any]:
    return dict(run) | {"symbols": tuple(run["symbols"]), "period": (int(run["period"][0]), int(run["period"][1]))}


def _summary_document(result: BacktestResult) -> dict[str, Any]:
    from tradesentry.backtest.evaluation import METRICS, evaluate

    evaluation = evaluate(result)
    return {
        "format": FORMAT,
        "run": {name: getattr(result, name) for name in STORED},
        "metrics": evaluation.values,
        "undefined": evaluation.reasons,
        "units": {metric.key: metric.unit for metric in METRICS},
    }


def _write_tables(result: BacktestResult, stage: Path) -> None:
    tables: dict[str, pl.DataFrame | None] = {
        "trades": result.trades,
        "equity": result.equity,
        "rejects": result.rejects,
        "events": result.events,
        "decisions": result.decisions,
    }
    for name, frame in tables.items():
        if frame is not None:
            frame.write_parquet(stage / f"{name}.parquet", compression="zstd")


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists():
        return
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else None
    if names is None or (names and not set(names) & {"summary.json", *FOREIGN_FILES}):
        raise UsageError(
            f"{folder} already holds {', '.join(names[:3]) if names else 'a file'}, which is no back-test. "
            "Choose a new folder."
        )


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `folder` that takes its place when the block ends without an exception."""
    stage = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        yield stage
        stage.chmod(0o755)
        _swap(stage, folder)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise


def _swap(stage: Path, folder: Path) -> None:
    if not folder.exists():
        stage.rename(folder)
        return
    for path in folder.iterdir():
        if path.name not in OWN_FILES:
            _carry(path, stage / path.name)
    retired = stage.with_suffix(".old")
    folder.rename(retired)
    try:
        stage.rename(folder)
    except BaseException:
        retired.rename(folder)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def _carry(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target, copy_function=_link_or_copy)
    else:
        _link_or_copy(path, target)


def _link_or_copy(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
