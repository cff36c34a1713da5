"""Show a strategy beside what it must beat: one table, each baseline with what it leaves to chance.

Columns and layout of one section in one place, because only a result that was compared has it.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from tradesentry.backtest.evaluation import Evaluation
from tradesentry.backtest.reporting import text

if TYPE_CHECKING:
    from tradesentry.backtest.result import BacktestResult

Document = Mapping[str, Any]
Columns = dict[str, list[Any]]
FIELDS: Final = ("mean_r", "low", "high", "p_value", "n_draws", "total_return", "max_drawdown")
SIGNIFICANT: Final = 0.05
NOTE: Final = (
    "p is the share of {n:,} draws whose mean R was at least that of the strategy: small means that what the baseline "
    "leaves to chance was worth something. All entries are played by the same engine, costs and exits; intervals hold "
    "95 % of the draws, or of the mean where nothing is drawn. Exits by a signal of the strategy are not copied. "
    "Holding is bought without leverage, so compare its drawdown as well."
)


def baseline_columns(
    result: "BacktestResult", evaluation: Evaluation, interval: tuple[float, float] | None
) -> dict[str, Columns]:
    """Return the table `baselines`: the strategy first, then what it was compared with; nothing without a comparison.

    Args:
        result: The back-test.
        evaluation: Its metrics.
        interval: Of its mean R.
    """
    if not result.baselines:
        return {}
    values, (low, high) = evaluation.values, interval or (None, None)
    own = {"name": "strategy", "label": result.app, "text": "What is judged.", "low": low, "high": high, "n_draws": 0}
    own |= {key: values[key] for key in ("n_trades", "mean_r", "total_return", "max_drawdown")}
    names = ("name", "label", "text", "n_trades", *FIELDS)
    return {"baselines": {key: [row.get(key) for row in (own, *result.baselines)] for key in names}}


def baseline_sentence(baselines: Sequence[Mapping[str, Any]]) -> str | None:
    """Return in one sentence how the strategy stands against chance; None when nothing was drawn."""
    drawn = [row for row in baselines if row.get("p_value") is not None]
    if not drawn:
        return None
    worst = max(drawn, key=lambda row: float(row["p_value"]))
    beaten = [row for row in drawn if row["p_value"] < SIGNIFICANT]
    p = f"p = {text.number(worst['p_value'], 3)}"
    if len(beaten) == len(drawn):
        return (
            f"It beat all {len(drawn)} baselines of chance; the best of them is \N{LEFT DOUBLE QUOTATION MARK}"
            f"{worst['label'].lower()}\N{RIGHT DOUBLE QUOTATION MARK}, {p}."
        )
    return (
        f"It beat {len(beaten)} of {len(drawn)} baselines of chance; \N{LEFT DOUBLE QUOTATION MARK}"
        f"{worst['label'].lower()}\N{RIGHT DOUBLE QUOTATION MARK} does as well or better in "
        f"{text.percent(worst['p_value'])} of the draws."
    )


def baseline_parts(document: Document, *, table: Callable[..., str]) -> list[tuple[str, str, str]]:
    """Return the section of a document that was compared with baselines, none otherwise.

    Args:
        document: The report document.
        table: Lays out a table.
    """
    columns = document["charts"].get("baselines")
    if not columns:
        return []
    head = (
        *(("Entries", False), ("Trades", True), ("Mean R", True), ("95 % interval", True), ("p", True)),
        *(("Return", True), ("Max. drawdown", True)),
    )
    rows = [_row({key: values[i] for key, values in columns.items()}, i == 0) for i in range(len(columns["name"]))]
    note = NOTE.format(n=max(columns["n_draws"]) or 0)
    body = f'<p class="summary">{escape(note)}</p>{table(head, rows, caption="The strategy beside its baselines")}'
    return [("baselines", "Beside chance", f'<div class="stack">{body}</div>')]


def _row(value: Mapping[str, Any], is_strategy: bool) -> tuple[str, ...]:
    label = escape(value["label"])
    name = f"<strong>{label}</strong>" if is_strategy else f'{label}<span class="why">{escape(value["text"])}</span>'
    low, high = (text.number(value[key], 2, is_signed=True) for key in ("low", "high"))
    return (
        name,
        text.number(value["n_trades"], 0),
        text.r_multiple(value["mean_r"]),
        f"{low} to {high}" if value["low"] is not None else text.UNKNOWN,
        text.number(value["p_value"], 3),
        text.percent(value["total_return"], is_signed=True),
        text.percent(value["max_drawdown"]),
    )
