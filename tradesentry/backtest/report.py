"""Write the report of one back-test: a single page that opens anywhere, offline, for years.

`report_data` computes one JSON document, `{verdict, warnings, provenance, charts: {id: columns}}`; the page embeds it
and draws from it, and the API serves the same document to the dashboard. The page holds its styles, its script and
plotly; its content security policy forbids every network access. The same result gives the same bytes.
"""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tradesentry.backtest.evaluation import evaluate
from tradesentry.backtest.reporting import verdict as verdict_of
from tradesentry.backtest.reporting.charts import MAX_POINTS, account_charts, trade_charts
from tradesentry.backtest.reporting.decision_section import decision_charts
from tradesentry.backtest.reporting.page import render_page
from tradesentry.backtest.reporting.prices import price_charts
from tradesentry.backtest.reporting.tables import tables
from tradesentry.backtest.result_files import clean
from tradesentry.core.domain.errors import DataError

if TYPE_CHECKING:
    from tradesentry.backtest.result import BacktestResult

DATA_ELEMENT: Final = "report-data"
"""Id of the element that holds the JSON document."""


def report_data(result: "BacktestResult", *, max_points: int = MAX_POINTS) -> dict[str, Any]:
    """Return everything the report shows, in JSON types.

    Args:
        result: A finished back-test.
        max_points: Most points of the equity curve; extremes and the last point are always kept.

    Returns:
        `verdict`, `warnings` (level, title, text), `provenance` (per series) and `charts` (columns by stable id).
    """
    evaluation = evaluate(result)
    by_trade = trade_charts(result)
    charts = account_charts(result, max_points=max_points) | by_trade | price_charts(result, by_trade["trades"])
    charts |= decision_charts(result)
    document = {
        "verdict": verdict_of.verdict(result, evaluation),
        "warnings": verdict_of.warnings(result, evaluation),
        "provenance": result.provenance,
        "charts": charts | tables(result, evaluation),
    }
    if result.study:
        document |= {"study": {key: result.study.get(key) for key in ("kind", "summaries")}}
        document["charts"] |= result.study["charts"]
    plain: dict[str, Any] = clean(document)
    return plain


def render_report(result: "BacktestResult") -> str:
    """Return the page of `result` as HTML."""
    return render_page(report_data(result))


def write_report(result: "BacktestResult", path: Path) -> Path:
    """Write the page, whole or not at all, and return where it is.

    Args:
        result: A finished back-test.
        path: A file, or a folder that gets `report.html`.
    """
    target = path / "report.html" if path.is_dir() else path
    target.parent.mkdir(parents=True, exist_ok=True)
    page = render_report(result)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(page)
        partial.chmod(0o644)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return target


def read_report_data(path: Path) -> dict[str, Any]:
    """Return the JSON document that a written report holds.

    Args:
        path: `report.html`, or the folder it is in.

    Raises:
        DataError: The file is no report.
    """
    target = path / "report.html" if path.is_dir() else path
    pattern = rf'<script type="application/json" id="{DATA_ELEMENT}">(.*?)</script>'
    found = re.search(pattern, target.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise DataError(f"{target} holds no report data. Choose a report.html that a back-test wrote.")
    document: dict[str, Any] = json.loads(found.group(1))
    return document
