"""Compute the tables of a report as columns: figures, breakdowns, costs, refusals, configuration, cost model, data.

They live beside the charts in one document, so that the dashboard can show the same rows.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.evaluation import METRICS, NOT_ASKED, NOT_REFUSED, Evaluation, reject_counts, trade_columns
from tradesentry.backtest.metrics.fx_time import HOUR_NS, SESSION_NAMES, fx_date, session_of
from tradesentry.backtest.metrics.trades import group_rows
from tradesentry.backtest.reporting.baseline_section import baseline_columns
from tradesentry.backtest.reporting.charts import Columns
from tradesentry.backtest.reporting.text import WEEKDAYS, plain_exit, plain_reject
from tradesentry.backtest.reporting.verdict import mean_r_bounds
from tradesentry.backtest.result_files import clean, flat_config, origin_of

if TYPE_CHECKING:
    from tradesentry.backtest.result import BacktestResult

Array = npt.NDArray[Any]

COST_KEYS = ("n_trades", "mean_r", "profit_factor", "win_rate", "total_return", "max_drawdown", "sharpe", "cost_total")
MAX_GROUPS = 40
"""Rows of one breakdown; a strategy with more tags shows those with the most trades."""


def tables(result: "BacktestResult", evaluation: Evaluation) -> dict[str, Columns]:
    """Return the tables by id: figures, breakdown, costs, rejects, config, cost_model; baselines where compared."""
    return baseline_columns(result, evaluation, mean_r_bounds(evaluation.values)) | {
        "figures": _figures(evaluation),
        "breakdown": _breakdown(result),
        "costs": _costs(result, evaluation),
        "rejects": _rejects(result, evaluation),
        "config": _config(result),
        "cost_model": _cost_model(result.costs),
    }


def _figures(evaluation: Evaluation) -> Columns:
    return {
        "key": [metric.key for metric in METRICS],
        "label": [metric.label for metric in METRICS],
        "group": [metric.group for metric in METRICS],
        "unit": [metric.unit for metric in METRICS],
        "value": [_short(evaluation.values[metric.key]) for metric in METRICS],
        "undefined": [evaluation.reasons.get(metric.key, "") for metric in METRICS],
        "description": [metric.description for metric in METRICS],
        "source": [metric.source for metric in METRICS],
    }


def _breakdown(result: "BacktestResult") -> Columns:
    """Return figures by symbol, session, weekday, hour, tag, exit reason and side: one row per group."""
    trades = trade_columns(result)
    entries = trades["entry_ns"].astype(np.int64)
    dimensions: dict[str, tuple[Array, Mapping[Any, str]]] = {
        "symbol": (trades["symbol"].astype(np.str_), {}),
        "side": (trades["side"].astype(np.int64), {1: "Long", -1: "Short"}),
        "session": (_ranks(session_of(entries), SESSION_NAMES), dict(enumerate(SESSION_NAMES))),
        "weekday": ((fx_date(entries) + 3) % 7, dict(enumerate(WEEKDAYS))),
        "hour": (entries // HOUR_NS % 24, {hour: f"{hour:02d}:00" for hour in range(24)}),
        "tag": (trades["tag"].astype(np.str_), {"": "(none)"}),
        "exit": (trades["exit_reason"].astype(np.str_), {}),
    }
    names = ("group", "n_trades", "win_rate", "mean_r", "mean_r_low", "mean_r_high", "profit_factor", "net")
    columns: Columns = {"dimension": [], **{name: [] for name in names}}
    for dimension, (labels, words) in dimensions.items():
        rows = group_rows(labels, trades["net"], trades["r_multiple"])
        if len(rows) > MAX_GROUPS:
            rows = sorted(rows, key=lambda row: (-int(str(row["n_trades"])), str(row["group"])))[:MAX_GROUPS]
        for row in rows:
            label = plain_exit(str(row["group"])) if dimension == "exit" else words.get(row["group"], row["group"])
            columns["dimension"].append(dimension)
            for name in names:
                columns[name].append(label if name == "group" else _short(row[name]))
    return columns


def _costs(result: "BacktestResult", evaluation: Evaluation) -> Columns:
    """Return the result at every cost level that was run; this run is 1x unless the levels say otherwise."""
    runs = dict(result.cost_runs) or {"1x": evaluation.values}
    levels = sorted(runs, key=lambda level: (_multiple(level), level))
    columns: Columns = {"level": list(levels)}
    for key in COST_KEYS:
        columns[key] = [_short(runs[level].get(key)) for level in levels]
    return columns


def _rejects(result: "BacktestResult", evaluation: Evaluation) -> Columns:
    counts = reject_counts(result)
    refused, share = evaluation.values["n_rejects"], evaluation.values["reject_share"]
    asked = refused / share if share else refused + evaluation.values["n_trades"]
    kinds = [
        "shrunk" if code in NOT_REFUSED else "ended as planned" if code in NOT_ASKED else "refused" for code in counts
    ]
    return {
        "code": list(counts),
        "reason": [plain_reject(code) for code in counts],
        "kind": kinds,
        "n": list(counts.values()),
        "share": [_short(count / asked) if asked else None for count in counts.values()],
    }


def _config(result: "BacktestResult") -> Columns:
    rows = list(flat_config(result.config))
    return {
        "key": [key for key, _ in rows],
        "value": [value_text(value) for _, value in rows],
        "origin": [origin_of(result.origins, key) for key, _ in rows],
    }


def _cost_model(costs: Mapping[str, Any]) -> Columns:
    rows = list(flat_config(costs))
    return {"item": [key for key, _ in rows], "value": [value_text(value) for _, value in rows]}


def value_text(value: Any) -> str:
    """Return a configuration value as a person writes it."""
    value = clean(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "not set"
    if isinstance(value, list):
        return ", ".join(value_text(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {value_text(item)}" for key, item in value.items()) or "none"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _ranks(labels: Array, names: tuple[str, ...]) -> Array:
    rank = {name: position for position, name in enumerate(names)}
    return np.array([rank[str(label)] for label in labels], dtype=np.int64)


def _short(value: Any) -> Any:
    """Return a figure with 8 significant digits, None where it is not finite: same numbers, shorter file."""
    value = clean(value)
    return float(f"{value:.8g}") if isinstance(value, float) else value


def _multiple(level: str) -> float:
    try:
        return float(level.rstrip("x"))
    except ValueError:
        return float("inf")
