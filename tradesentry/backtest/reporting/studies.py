"""Compute what a report shows of a study: the honesty table, the parameter map of a sweep, the folds of a walk-forward.

A study's document travels with its result (`BacktestResult.study`), so that the page can be written again from the
folder and the dashboard draws the same numbers. Columns of its charts:

===========  ==========================================================================
id           columns
===========  ==========================================================================
honesty      key, label, value (text), meaning
variants     rank, key, status, one column per varied parameter, figures (best first)
heatmap      pair, x_name, y_name, x, y, value (mean lower bound of mean R), n
stability    parameter, value, n, mean_bound, best_bound, share_positive
folds        fold, train_from, train_to, test_from, test_to, figures of train and test
choices      fold, symbol, variant, weight, train and test figures
parameters   parameter, value, time, until, symbol, weight
===========  ==========================================================================
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np

from tradesentry.backtest.metrics.fx_time import iso_date
from tradesentry.backtest.reporting import text
from tradesentry.backtest.reporting.charts import Columns
from tradesentry.backtest.reporting.fit_section import fit_charts, fit_details, fit_headline
from tradesentry.backtest.reporting.honesty_table import honesty_columns
from tradesentry.backtest.studies.evidence import Evidence, sentence
from tradesentry.backtest.studies.outcome import FIGURES
from tradesentry.backtest.studies.variants import plain_text
from tradesentry.backtest.sweep import Row, SweepResult
from tradesentry.backtest.walk_forward import Choice, FoldRow, WalkForwardResult

DAY_NS: Final = 86_400_000_000_000
MIN_TRADES: Final = 30
"""Fewer are judged by the seeds alone."""
MAX_ROWS: Final = 200
MAX_PAIRS: Final = 15
MAX_VALUES: Final = 8
"""Distinct numbers of a parameter before they are put into bins."""
SHOWN: Final = ("n_trades", "mean_r", "mean_r_bound", "profit_factor", "total_return", "max_drawdown", "sharpe")


def sweep_headline(result: SweepResult) -> tuple[str, str]:
    """Return the verdict on a sweep in words, and its tone."""
    if result.evidence is not None:
        return sentence(result.evidence, what=f"The best of {len(result.rows):,} variants")
    if result.rows and all(row.status == "screened" for row in result.rows):
        where = ", ".join(result.plan.screen_symbols)
        words = f"All {len(result.rows):,} variants lose before costs on {where}, where they were screened."
        return f"{words} --no-screen plays them on every market.", "bad"
    return "No variant traded enough to be ranked.", "neutral"


def sweep_study(result: SweepResult) -> dict[str, Any]:
    """Return the document of a finished sweep."""
    rows, plan = result.rows, result.plan
    played = [row for row in rows if math.isfinite(row.objective)]
    names = list(dict.fromkeys(name for row in rows for name in row.variant.values))
    counts = {status: sum(row.status == status for row in rows) for status in ("played", "screened", "pruned")}
    details = [_count_sentence(len(rows), counts, plan.method)]
    if result.refused:
        details.append(f"{len(result.refused):,} combinations contradict themselves and were left out.")
    headline, tone = sweep_headline(result)
    charts: dict[str, Columns] = {
        "variants": _variant_columns(rows, names),
        "heatmap": _heatmap(played, names),
        "stability": _stability(played, names),
    }
    if result.evidence is not None:
        details.append(_plateau_sentence(played, names))
        charts["honesty"] = honesty_columns(result.evidence)
    return {
        "kind": "sweep",
        "headline": headline,
        "tone": tone,
        "details": [line for line in details if line],
        "summaries": {"heatmap": "Mean lower bound of the mean R over all other parameters. A lone bright cell is a "
                      "lucky cell; an edge is a plateau."},
        "charts": charts,
        "evidence": None if result.evidence is None else result.evidence.document(),
    }  # fmt: skip


def walk_forward_study(result: WalkForwardResult) -> dict[str, Any]:
    """Return the document of a finished walk-forward."""
    headline, tone = sentence(result.evidence, what="The walk-forward")
    details = _walk_details(result)
    if result.seeds is not None:
        # A sentence about skill over a handful of trades would say more than they can.
        judged = [headline] if result.result.trades.height >= MIN_TRADES else []
        details = [*fit_details(result, result.seeds), *judged, *details]
        headline, tone = fit_headline(result, result.seeds)
    names = list(dict.fromkeys(name for choice in result.choices for name in choice.variant.values))
    return {
        "kind": "walk-forward",
        "headline": headline,
        "tone": tone,
        "details": details,
        "summaries": {
            "folds": "Each band is one test window; points are mean R of the choice in train and test, and of all.",
            "parameters": "What was traded in each test window; a parameter that jumps about is chosen by noise.",
        },
        "charts": {
            "honesty": honesty_columns(result.evidence),
            "folds": _fold_columns(result.folds, result.choices),
            "choices": _choice_columns(result.choices),
            "parameters": _parameter_columns(result, names),
        }
        | fit_charts(result),
        "evidence": result.evidence.document(),
    }


def single_study(found: Evidence) -> dict[str, Any]:
    """Return the document of a plain back-test: the honesty table alone."""
    return {
        "kind": "backtest",
        "details": [_attempt_sentence(found)],
        "summaries": {},
        "charts": {"honesty": honesty_columns(found)},
        "evidence": found.document(),
    }


def _attempt_sentence(found: Evidence) -> str:
    if found.n_trials < 2:
        return "The first variant tried on these markets, as far as this folder of runs knows."
    return (
        f"One of {found.n_trials:,} variants tried on these markets so far; the probability that its Sharpe ratio is "
        f"above what the best of them shows by luck is {text.percent(found.deflated_sharpe)}."
    )


def _count_sentence(n: int, counts: dict[str, int], method: str) -> str:
    extra = [
        f"{counts['screened']:,} lost before costs on the screening markets and were not played on the others"
        if counts["screened"] else "",
        f"{counts['pruned']:,} were given up early" if counts["pruned"] else "",
    ]  # fmt: skip
    tail = "".join(f"; {part}" for part in extra if part)
    return f"{n:,} variants tried by {method}{tail}. All of them count as attempts."


def _variant_columns(rows: Sequence[Row], names: Sequence[str]) -> Columns:
    shown = rows[:MAX_ROWS]
    columns: Columns = {
        "rank": [i + 1 for i in range(len(shown))],
        "key": [row.variant.key for row in shown],
        "status": [row.status for row in shown],
    }
    for name in names:
        columns[name] = [plain_text(row.variant.values.get(name)) for row in shown]
    for key in SHOWN:
        columns[key] = [None if row.outcome is None else _short(row.outcome[key], FIGURES[key]) for row in shown]
    return columns


def _heatmap(rows: Sequence[Row], names: Sequence[str]) -> Columns:
    """Return the mean objective by pairs of parameters, those that matter most first."""
    varied = _by_influence(rows, names)
    columns: Columns = {name: [] for name in ("pair", "x_name", "y_name", "x", "y", "value", "n")}
    for pair, (a, b) in enumerate(list(combinations(varied, 2))[:MAX_PAIRS]):
        x_of, y_of = _labels(rows, a), _labels(rows, b)
        cells: dict[tuple[str, str], list[float]] = {}
        for row, x, y in zip(rows, x_of, y_of, strict=True):
            cells.setdefault((x, y), []).append(row.objective)
        for x in _ordered(x_of):
            for y in _ordered(y_of):
                values = cells.get((x, y), [])
                mean = round(math.fsum(values) / len(values), 4) if values else None
                for name, value in zip(columns, (pair, a, b, x, y, mean, len(values)), strict=True):
                    columns[name].append(value)
    return columns


def _stability(rows: Sequence[Row], names: Sequence[str]) -> Columns:
    columns: Columns = {name: [] for name in ("parameter", "value", "n", "mean_bound", "best_bound", "share_positive")}
    for name in _by_influence(rows, names):
        labels = _labels(rows, name)
        for label in _ordered(labels):
            own = [row.objective for row, other in zip(rows, labels, strict=True) if other == label]
            share = sum(value > 0 for value in own) / len(own)
            cells = (name, label, len(own), round(math.fsum(own) / len(own), 4), round(max(own), 4), round(share, 4))
            for column, value in zip(columns, cells, strict=True):
                columns[column].append(value)
    return columns


def _by_influence(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Return the parameters that vary, by how much the mean objective differs between their values."""
    spread = {}
    for name in names:
        groups: dict[str, list[float]] = {}
        for row, label in zip(rows, _labels(rows, name), strict=True):
            groups.setdefault(label, []).append(row.objective)
        if len(groups) > 1:
            means = [math.fsum(values) / len(values) for values in groups.values()]
            spread[name] = max(means) - min(means)
    return sorted(spread, key=lambda name: (-spread[name], name))


def _labels(rows: Sequence[Row], name: str) -> list[str]:
    """Return the value of a parameter per row as text; many numbers are put into bins of equal counts."""
    values = [row.variant.values.get(name) for row in rows]
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) == len(values) and len(set(numbers)) > MAX_VALUES:
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, 6)))
        bins = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
        return [f"{edges[b]:.4g} to {edges[b + 1]:.4g}" for b in bins]
    return [plain_text(value) for value in values]


def _ordered(labels: Iterable[str]) -> list[str]:
    def place(label: str) -> tuple[int, float, str]:
        try:
            return 0, float(label.split(" to ", maxsplit=1)[0]), label
        except ValueError:
            return 1, 0.0, label

    return sorted(set(labels), key=place)


def _plateau_sentence(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Return how the best variant's neighbors do, those that differ in one parameter."""
    best = rows[0].variant.values
    near = [
        row.objective for row in rows[1:] if sum(row.variant.values.get(name) != best.get(name) for name in names) == 1
    ]
    if not near:
        return ""
    share = sum(value > 0 for value in near) / len(near)
    mean = text.number(math.fsum(near) / len(near), 2, is_signed=True)
    return (
        f"Of the {len(near):,} variants that differ from the best in one parameter, {text.percent(share)} have a lower "
        f"bound above zero (mean {mean} R; the best {text.number(rows[0].objective, 2, is_signed=True)} R)."
    )


def _walk_details(result: WalkForwardResult) -> list[str]:
    n_traded = sum(row.play is not None for row in result.folds)
    mean, error = result.rank_correlation
    lines = [
        f"{len(result.folds)} folds, {n_traded} traded; chosen on train windows alone, only test windows are shown."
    ]
    if math.isfinite(mean):
        around = f" ± {text.number(1.96 * error, 2)}" if math.isfinite(error) else ""
        said = f"Rank correlation of train and test across variants: {text.number(mean, 2, is_signed=True)}{around}."
        is_noise = not math.isfinite(error) or abs(mean) <= 2 * error
        lines.append(f"{said} Ranking on the past told nothing about the future." if is_noise else said)
    if math.isfinite(result.efficiency):
        lines.append(f"Walk-forward efficiency {text.percent(result.efficiency)}: mean R in test over mean R in train.")
    else:
        lines.append("No walk-forward efficiency: what was chosen had no positive mean R in train either.")
    return lines


def _fold_columns(rows: Sequence[FoldRow], choices: Sequence[Choice]) -> Columns:
    names = (
        *("fold", "train_from", "train_to", "test_from", "test_to", "variants", "eligible", "chosen"),
        *("train_mean_r", "test_mean_r", "all_test_mean_r", "rank_correlation", "trades", "net", "return"),
    )
    columns: Columns = {name: [] for name in names}
    for row in rows:
        own = [choice for choice in choices if choice.fold == row.fold.index]
        train, test = _weighted([c.train for c in own]), _weighted([c.test for c in own])
        net = None if row.play is None else float(row.play.equity["equity"][-1]) - row.play.capital
        dates = [iso_date(ns // DAY_NS) for ns in row.fold.span]
        cells = (
            *(row.fold.index + 1, *dates, row.n_variants, row.n_eligible, len(own)),
            *(_short(train), _short(test), _short(row.all_test_mean_r), _short(row.rank_correlation)),
            *(0 if row.play is None else len(row.play.trades), None if net is None else round(net, 2)),
            None if net is None or row.play is None else round(net / row.play.capital, 6),
        )
        for name, value in zip(names, cells, strict=True):
            columns[name].append(value)
    return columns


def _choice_columns(choices: Sequence[Choice]) -> Columns:
    names = (
        *("fold", "symbol", "variant", "weight", "train_trades", "train_mean_r", "train_bound"),
        *("test_trades", "test_mean_r"),
    )
    columns: Columns = {name: [] for name in names}
    for c in choices:
        cells = (
            *(c.fold + 1, c.symbol, c.variant.label, round(c.weight, 4)),
            *(c.train.n_trades, _short(c.train.mean_r), _short(c.train.bound)),
            *(c.test.n_trades, _short(c.test.mean_r)),
        )
        for name, value in zip(names, cells, strict=True):
            columns[name].append(value)
    return columns


def _parameter_columns(result: WalkForwardResult, names: Sequence[str]) -> Columns:
    spans = {row.fold.index: row.fold.test.bounds for row in result.folds}
    columns: Columns = {name: [] for name in ("parameter", "value", "time", "until", "symbol", "weight")}
    for name in names:
        for c in result.choices:
            begin, end = spans[c.fold]
            value = plain_text(c.variant.values.get(name))
            cells = (name, value, begin // 1_000_000, end // 1_000_000, c.symbol, round(c.weight, 4))
            for column, cell in zip(columns, cells, strict=True):
                columns[column].append(cell)
    return columns


def _weighted(scores: Sequence[Any]) -> float:
    n = sum(score.n_trades for score in scores if math.isfinite(score.mean_r))
    total = math.fsum(score.mean_r * score.n_trades for score in scores if math.isfinite(score.mean_r))
    return total / n if n else math.nan


def _short(value: float, unit: str = "R") -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if unit == "count" else round(value, 6)
