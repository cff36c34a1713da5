"""Show what a strategy that votes decided: wish and holding, the weights of its members, how usual the market was.

A table of decisions has one row per bar: `symbol`, `close_ns` and numbers. Which numbers belong to which chart is said
here; a strategy without such a table has no section. One market is drawn, the first; the file holds all.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tradesentry.backtest.reporting import text
from tradesentry.backtest.reporting.charts import Columns, milliseconds, rounded, thin

if TYPE_CHECKING:
    from tradesentry.backtest.result import BacktestResult

Document = Mapping[str, Any]
MAX_POINTS: Final = 3_000
DECIDED: Final[Mapping[str, tuple[str, ...]]] = {
    "votes": ("votes", "x", "held"),
    "weights": ("w_",),
    "turbulence": ("turbulence", "g"),
}
"""Columns of each chart by name, or by prefix where it ends with an underscore."""


def decision_charts(result: "BacktestResult") -> dict[str, Columns]:
    """Return the charts `votes`, `weights` and `turbulence` of the first market; nothing without decisions.

    Args:
        result: A back-test.
    """
    table = result.decisions
    if table is None or not table.height:
        return {}
    first = table.filter(table["symbol"] == table["symbol"][0])
    charts: dict[str, Columns] = {}
    for key, wanted in DECIDED.items():
        names = [n for n in first.columns if n in wanted or any(w.endswith("_") and n.startswith(w) for w in wanted)]
        if not names:
            continue
        values = [np.asarray(first[name].to_numpy(), np.float64) for name in names]
        rows = thin(values, MAX_POINTS)
        columns: Columns = {"time": milliseconds(first["close_ns"].to_numpy()[rows])}
        charts[key] = columns | {n: rounded(v[rows], 4) for n, v in zip(names, values, strict=True)}
    return charts


def decision_parts(document: Document, *, chart: Callable[[Document, str], str]) -> list[tuple[str, str, str]]:
    """Return the section of the decisions, none without them."""
    drawn = [chart(document, key) for key in DECIDED if key in document["charts"]]
    return [("decided", "What was decided", "".join(drawn))] if drawn else []


def decision_summary(key: str, document: Document) -> str:
    """Return in one sentence what a chart of decisions shows."""
    columns = {name: values for name, values in document["charts"][key].items() if name != "time"}
    symbol = document["verdict"]["symbols"][0]
    if key == "votes":
        held = np.abs([value for value in columns["held"] if value is not None])
        return (
            f"{symbol}: the sum of the votes, the wish, and the part of a full unit held, {held.mean():.2f} on average."
        )
    if key == "weights":
        last = ", ".join(f"{name[2:]} {text.percent(values[-1])}" for name, values in columns.items())
        return f"{symbol}: what each vote counts; at the end {last}."
    lowest = min(value for value in columns["g"] if value is not None)
    return (
        f"{symbol}: how unusual each bar was, and the part of a new position that was allowed, {lowest:.0%} at least."
    )
