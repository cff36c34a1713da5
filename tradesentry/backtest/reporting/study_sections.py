"""Lay out what a report says of a study: sections for its variants or folds, and the honesty table of any result.

Only layout: every number comes from the study's document. Separate from the page, which knows the back-test alone.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from tradesentry.backtest.reporting import text

Document = Mapping[str, Any]
Part = tuple[str, str, str]
"""Id, title and HTML of a section."""
Chart = Callable[[Document, str], str]
Table = Callable[..., str]

TOP_ROWS = 25
FIGURE_HEADS = {
    "n_trades": ("Trades", "count"),
    "mean_r": ("Mean R", "R"),
    "mean_r_bound": ("Lower bound", "R"),
    "profit_factor": ("Profit factor", "ratio"),
    "total_return": ("Return", "fraction"),
    "max_drawdown": ("Max. drawdown", "fraction"),
    "sharpe": ("Sharpe", "ratio"),
}


def study_parts(document: Document, *, chart: Chart, table: Table) -> list[Part]:
    """Return the sections that the study of a document adds to its page, none without a study."""
    study = document.get("study") or {}
    charts = document["charts"]
    parts: list[Part] = []
    if study.get("kind") == "sweep":
        body = _variant_table(charts["variants"], document["verdict"]["account_currency"], table)
        drawn = chart(document, "heatmap") if charts["heatmap"]["pair"] else ""
        parts.append(("variants", "Variants", body + drawn + _stability_tables(charts["stability"], table)))
    if study.get("kind") == "walk-forward":
        body = chart(document, "folds") + _fold_table(charts["folds"], document["verdict"]["account_currency"], table)
        body += (chart(document, "parameters") if charts["parameters"]["time"] else "") + _choice_table(
            charts["choices"], table
        )
        parts.append(("walk", "Folds", body))
    if "honesty" in charts:
        parts.append(("honesty", "How much is luck", _honesty_table(charts["honesty"], table)))
    return parts


def _honesty_table(columns: Mapping[str, Sequence[Any]], table: Table) -> str:
    rows = [
        (escape(label), escape(value), escape(meaning))
        for label, value, meaning in zip(columns["label"], columns["value"], columns["meaning"], strict=True)
    ]
    head = (("Figure", False), ("Value", True), ("Meaning", False))
    return f'<div class="stack">{table(head, rows, caption="Luck and skill")}</div>'


def _variant_table(columns: Mapping[str, Sequence[Any]], currency: str, table: Table) -> str:
    known = ("rank", "key", "status", *FIGURE_HEADS)
    names = [name for name in columns if name not in known]
    head = [("Rank", True), *((name, False) for name in names), *((label, True) for label, _ in FIGURE_HEADS.values())]
    rows = []
    for row in range(min(TOP_ROWS, len(columns["rank"]))):
        figures = [
            escape(text.figure(columns[key][row], unit, currency, key=key)) for key, (_, unit) in FIGURE_HEADS.items()
        ]
        values = [escape(str(columns[name][row])) for name in names]
        rows.append((str(columns["rank"][row]), *values, *figures))
    caption = f"The best {len(rows)} variants, by the lower bound of their mean R"
    return table(head, rows, caption=caption)


def _stability_tables(columns: Mapping[str, Sequence[Any]], table: Table) -> str:
    if not columns["parameter"]:
        return ""
    head = (
        ("Parameter", False), ("Value", False), ("Variants", True), ("Mean lower bound", True),
        ("Best lower bound", True), ("Above zero", True),
    )  # fmt: skip
    rows = [
        (
            escape(str(name)),
            escape(str(columns["value"][i])),
            text.number(columns["n"][i], 0),
            text.r_multiple(columns["mean_bound"][i]),
            text.r_multiple(columns["best_bound"][i]),
            text.percent(columns["share_positive"][i]),
        )
        for i, name in enumerate(columns["parameter"])
    ]
    note = "An edge holds for neighboring values too; one that needs a single value is a fit to this sample."
    return f'<p class="summary">{note}</p>{table(head, rows, caption="Stability by parameter")}'


def _fold_table(columns: Mapping[str, Sequence[Any]], currency: str, table: Table) -> str:
    head = (
        ("Fold", True), ("Train", False), ("Test", False), ("Chosen", True), ("Train mean R", True),
        ("Test mean R", True), ("All variants", True), ("Rank corr.", True), ("Trades", True), ("Net", True),
    )  # fmt: skip
    rows = []
    for i, fold in enumerate(columns["fold"]):
        rows.append(
            (
                str(fold),
                f"{columns['train_from'][i]} to {columns['train_to'][i]}",
                f"{columns['test_from'][i]} to {columns['test_to'][i]}",
                f"{columns['chosen'][i]} of {columns['eligible'][i]:,}",
                text.r_multiple(columns["train_mean_r"][i]),
                text.r_multiple(columns["test_mean_r"][i]),
                text.r_multiple(columns["all_test_mean_r"][i]),
                text.number(columns["rank_correlation"][i], 2, is_signed=True),
                text.number(columns["trades"][i], 0),
                escape(text.money(columns["net"][i], currency, is_signed=True)),
            )
        )
    note = "Chosen: variants traded, of those eligible, each counted per market. Nothing after a train window was used."
    return f'<p class="summary">{note}</p>{table(head, rows, caption="Folds")}'


def _choice_table(columns: Mapping[str, Sequence[Any]], table: Table) -> str:
    head = (
        ("Fold", True), ("Market", False), ("Variant", False), ("Weight", True), ("Train trades", True),
        ("Train mean R", True), ("Lower bound", True), ("Test trades", True), ("Test mean R", True),
    )  # fmt: skip
    rows = [
        (
            str(fold),
            escape(str(columns["symbol"][i])),
            escape(str(columns["variant"][i])),
            text.percent(columns["weight"][i]),
            text.number(columns["train_trades"][i], 0),
            text.r_multiple(columns["train_mean_r"][i]),
            text.r_multiple(columns["train_bound"][i]),
            text.number(columns["test_trades"][i], 0),
            text.r_multiple(columns["test_mean_r"][i]),
        )
        for i, fold in enumerate(columns["fold"])
    ]
    return table(head, rows, caption="What was traded in each fold; figures of each variant on an account of its own")
