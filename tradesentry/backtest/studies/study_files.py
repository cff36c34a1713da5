"""The folder of one study: what it was asked, how far it is, and what came of it.

The plan is written first, so that a study that is killed can be resumed from its folder; everything else is written
when it is finished. A finished study is a run folder too: `summary.json`, trades and report are those of its best
variant, or of the joined test windows.

===================  ======================================================================
file                 holds
===================  ======================================================================
sweep.json           plan, state, evidence of a sweep
walk-forward.json    plan, state, evidence, folds of a walk-forward
variants.parquet     one row per variant, best first
returns.parquet      daily returns of every variant played, one column per variant key
folds.parquet        one row per fold
choices.parquet      one row per fold, market and chosen variant
optuna.journal       trials of the optimizer, as its own tools read them
===================  ======================================================================
"""

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from pydantic import ValidationError

from tradesentry.backtest.result_files import dumps
from tradesentry.backtest.studies.outcome import FIGURES
from tradesentry.backtest.studies.variants import plain_text
from tradesentry.backtest.sweep import Row, SweepPlan, SweepResult
from tradesentry.backtest.walk_forward import WalkForwardPlan, WalkForwardResult
from tradesentry.core.domain.errors import DataError

if TYPE_CHECKING:
    import polars as pl

FORMAT: Final = 1
Kind = Literal["sweep", "walk-forward"]
PLANS: Final[dict[str, type[SweepPlan]]] = {"sweep": SweepPlan, "walk-forward": WalkForwardPlan}


def write_plan(folder: Path, kind: Kind, plan: SweepPlan) -> Path:
    """Write what a study is asked, before anything is played, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    return _write_manifest(folder, kind, {"state": "started", "plan": plan.model_dump(mode="json")})


def read_plan(folder: Path, kind: Kind) -> SweepPlan:
    """Return the plan of a study's folder.

    Raises:
        DataError: There is none, or it is of another kind or version.
    """
    path = folder / f"{kind}.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise DataError(f"{path} was written in format {document['format']}, this version reads {FORMAT}.")
        return PLANS[kind].model_validate(document["plan"])
    except (OSError, ValueError, KeyError, ValidationError) as error:
        raise DataError(
            f"{folder} holds no {kind} that can be resumed: {error}. `tradesentry runs list` shows what there is.",
            code="no_study",
        ) from error


def save_sweep(result: SweepResult, folder: Path, *, with_report: bool = True) -> Path:
    """Write a finished sweep and return its folder."""
    from tradesentry.backtest.reporting.studies import sweep_study

    document = sweep_study(result)
    if result.best is not None:
        from dataclasses import replace

        replace(result.best, study=document).save(folder, with_report=with_report)
    _write_table(folder / "variants.parquet", variant_table(result))
    _write_table(folder / "returns.parquet", return_table(result.rows))
    _write_manifest(
        folder,
        "sweep",
        {
            "state": "finished",
            "plan": result.plan.model_dump(mode="json"),
            "headline": document["headline"],
            "evidence": document["evidence"],
            "best": None if result.best is None else result.rows[0].variant.key,
            "n_variants": len(result.rows),
            "refused": result.refused,
            "study": result.study,
        },
    )
    return folder


def save_walk_forward(result: WalkForwardResult, folder: Path, *, with_report: bool = True) -> Path:
    """Write a finished walk-forward and return its folder."""
    from dataclasses import replace

    import polars as pl

    from tradesentry.backtest.reporting.studies import walk_forward_study

    document = walk_forward_study(result)
    replace(result.result, study=document).save(folder, with_report=with_report)
    _write_table(folder / "folds.parquet", pl.DataFrame(document["charts"]["folds"], infer_schema_length=None))
    _write_table(folder / "choices.parquet", pl.DataFrame(document["charts"]["choices"], infer_schema_length=None))
    mean, error = result.rank_correlation
    _write_manifest(
        folder,
        "walk-forward",
        {
            "state": "finished",
            "plan": result.plan.model_dump(mode="json"),
            "headline": document["headline"],
            "evidence": document["evidence"],
            "efficiency": result.efficiency,
            "rank_correlation": mean,
            "rank_correlation_error": error,
            "folds": document["charts"]["folds"],
            "choices": document["charts"]["choices"],
            "study": result.study,
        },
    )
    return folder


def variant_table(result: SweepResult) -> "pl.DataFrame":
    """Return one row per variant, best first: hash, parameters, status and figures."""
    import polars as pl

    names = list(dict.fromkeys(name for row in result.rows for name in row.variant.values))
    columns: dict[str, Any] = {
        "key": [row.variant.key for row in result.rows],
        "status": [row.status for row in result.rows],
    }
    for name in names:
        values: list[Any] = [row.variant.values.get(name) for row in result.rows]
        is_number = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        columns[f"set.{name}"] = [float(v) for v in values] if is_number else [plain_text(v) for v in values]
    figures = [None if row.outcome is None else row.outcome.row() for row in result.rows]
    for key, unit in FIGURES.items():
        kind = pl.Int64 if unit == "count" else pl.Float64
        columns[key] = pl.Series(key, [None if one is None else one[key] for one in figures], dtype=kind)
    return pl.DataFrame(columns)


def return_table(rows: tuple[Row, ...]) -> "pl.DataFrame":
    """Return the daily returns of every variant that was played, one column per key; short ones end with nulls."""
    import polars as pl

    series = {row.variant.key: row.outcome.returns for row in rows if row.outcome is not None}
    length = max((len(returns) for returns in series.values()), default=0)
    padded = {key: np.concatenate((returns, np.full(length - len(returns), np.nan))) for key, returns in series.items()}
    return pl.DataFrame(padded).fill_nan(None) if padded else pl.DataFrame()


def _write_manifest(folder: Path, kind: Kind, document: dict[str, Any]) -> Path:
    path = folder / f"{kind}.json"
    _write_whole(path, dumps({"format": FORMAT, "kind": kind} | document).encode())
    return path


def _write_table(path: Path, table: "pl.DataFrame") -> None:
    import io

    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    _write_whole(path, buffer.getvalue())


def _write_whole(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        partial.chmod(0o644)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
