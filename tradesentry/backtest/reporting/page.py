"""Lay out the report document as one HTML page: what a reader sees, in the order of their questions.

Only layout: every number comes from the document. Everything that came from a user or a file is escaped. Tables are
HTML and readable without a script; charts are drawn by `assets/report.js` from the embedded document.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from tradesentry.backtest.reporting import text
from tradesentry.backtest.reporting.baseline_section import baseline_parts
from tradesentry.backtest.reporting.decision_section import DECIDED, decision_parts, decision_summary
from tradesentry.backtest.reporting.fit_section import fit_parts
from tradesentry.backtest.reporting.sections import chart_summary, figure_cards, monthly_table
from tradesentry.backtest.reporting.study_sections import study_parts

ASSETS = Path(__file__).with_name("assets")
Document = Mapping[str, Any]

GROUP_TITLES = {
    "return": "Return",
    "risk": "Risk",
    "ratio": "Ratios",
    "trade": "Trades",
    "cost": "Costs and refusals",
    "basket": "Baskets",
}
DIMENSIONS = {
    "symbol": "By symbol",
    "side": "By side",
    "session": "By session of entry",
    "weekday": "By FX weekday of entry",
    "hour": "By hour of entry, UTC",
    "tag": "By tag of the strategy",
    "exit": "By exit reason",
}
COST_LABELS = {
    "n_trades": ("Trades", "count"),
    "mean_r": ("Mean R", "R"),
    "profit_factor": ("Profit factor", "ratio"),
    "win_rate": ("Win rate", "fraction"),
    "total_return": ("Return", "fraction"),
    "max_drawdown": ("Max. drawdown", "fraction"),
    "sharpe": ("Sharpe", "ratio"),
    "cost_total": ("Costs", "money"),
}
CHARTS = {
    "equity": ("Equity and drawdown", "tall"),
    "rolling": ("Rolling Sharpe ratio, 63 days", ""),
    "distribution": ("Results per trade, R", ""),
    "excursion": ("Adverse and favorable excursion, R", ""),
    "price": ("Trades on the price", "tall"),
    "closeups": ("Single trades", ""),
    "exposure": ("Net exposure by currency", ""),
    "votes": ("Votes, wish and holding", ""),
    "weights": ("Weights of the agents", ""),
    "turbulence": ("Turbulence", ""),
    "heatmap": ("Parameter map", "tall"),
    "folds": ("Test windows", "tall"),
    "parameters": ("Parameters over time", ""),
}
PICKED = ("price", "closeups", "heatmap", "parameters")
"""Charts with a choice of what they show."""


def render_page(document: Document) -> str:
    """Return the self-contained HTML page of a report document."""
    scripts = (_asset("theme.js"), _plotly(), _asset("report.js"))
    verdict = document["verdict"]
    title = f"{verdict['app']} · {', '.join(verdict['symbols'])} {verdict['timeframe']} · back-test"
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n',
            f"<title>{escape(title)}</title>\n<style>{_asset('report.css')}</style>\n",
            f"<script>{scripts[0]}</script>\n</head>\n<body>\n",
            _body(document),
            f'<script type="application/json" id="report-data">{_embedded(document)}</script>\n',
            f"<script>{scripts[1]}</script>\n<script>{scripts[2]}</script>\n</body>\n</html>\n",
        )
    )


def table(
    head: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]], *, caption: str, is_hidden: bool = False
) -> str:
    """Return an HTML table in a scrollable region; cells are HTML already escaped.

    Args:
        head: Title and whether the column is numeric (right aligned).
        rows: Cells; the first is the row's header.
        caption: Says what the table shows.
        is_hidden: Show the caption to screen readers only.
    """
    style = ' class="visually-hidden"' if is_hidden else ""
    heads = "".join(f'<th scope="col"{_numeric(is_number)}>{escape(title)}</th>' for title, is_number in head)
    lines = []
    for first, *others in rows:
        cells = "".join(
            f"<td{_numeric(is_number)}>{cell}</td>" for cell, (_, is_number) in zip(others, head[1:], strict=True)
        )
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption{style}>{escape(caption)}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>\n"
    )


def _body(document: Document) -> str:
    parts = (
        ("result", "Result", _result_section(document)),
        *fit_parts(document, table=table),
        *study_parts(document, chart=_chart, table=table),
        *baseline_parts(document, table=table),
        ("curve", "Account", _curve_section(document)),
        ("trades", "Trades", _trades_section(document)),
        ("market", "On the price", _market_section(document)),
        *decision_parts(document, chart=_chart),
        ("when", "What worked when", _breakdown_section(document)),
        ("costs", "Costs and refusals", _costs_section(document)),
        ("figures", "All figures", _figures_section(document)),
        ("method", "Method and data", _method_section(document)),
    )
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in parts)
    sections = "".join(
        f'<section id="{key}" aria-labelledby="{key}-title">'
        f'<h2 id="{key}-title"{_hidden(key == "result")}>{escape(title)}</h2>{body}</section>\n'
        for key, title, body in parts
    )
    return (
        f'<a class="skip" href="#result">Skip to the result</a>\n{_header(document["verdict"])}'
        f'<nav aria-label="Sections">{links}</nav>\n<main>\n{sections}</main>\n{_footer()}'
    )


def _header(verdict: Mapping[str, Any]) -> str:
    badges = "".join(f'<span class="badge badge-{escape(b.lower())}">{escape(b)}</span>' for b in verdict["badges"])
    facts = (
        f"{', '.join(verdict['symbols'])} · {verdict['timeframe']}",
        f"{verdict['from']} to {verdict['to']}",
        text.money(verdict["capital"], verdict["account_currency"]),
        f"data: {verdict['source']}",
    )
    shown = ' <span aria-hidden="true">·</span> '.join(escape(fact) for fact in facts)
    return (
        f'<header><div><p class="brand">TradeSentry {badges}</p><p class="subject"><strong>{escape(verdict["app"])}'
        f"</strong> {shown}</p></div>"
        '<button type="button" id="theme" aria-live="polite">Theme: system</button></header>\n'
    )


def _footer() -> str:
    return (
        "<footer><p>Past and simulated results do not predict future ones. Trading foreign exchange on margin can lose "
        "more than was paid in. Times are UTC unless said otherwise.</p></footer>\n"
    )


def _result_section(document: Document) -> str:
    verdict = document["verdict"]
    details = "".join(f"<p>{escape(line)}</p>" for line in verdict["details"])
    banners = "".join(
        f'<div class="banner {escape(w["level"])}" role="note"><strong>{escape(w["title"])}.</strong> '
        f"{escape(w['text'])}</div>"
        for w in document["warnings"]
    )
    return (
        f'{banners}<div class="verdict {escape(verdict["tone"])}"><h1>{escape(verdict["headline"])}</h1>{details}</div>'
        f"{figure_cards(document)}"
    )


def _curve_section(document: Document) -> str:
    return _chart(document, "equity") + monthly_table(document) + _chart(document, "rolling")


def _trades_section(document: Document) -> str:
    return f'<div class="pair">{_chart(document, "distribution")}{_chart(document, "excursion")}</div>'


def _market_section(document: Document) -> str:
    return _chart(document, "price") + _chart(document, "closeups") + _chart(document, "exposure")


def _chart(document: Document, key: str) -> str:
    """Return a figure with its chart, a summary in words and a way to read the numbers; a sentence when empty."""
    title, style = CHARTS[key]
    summary = decision_summary(key, document) if key in DECIDED else chart_summary(key, document)
    columns = document["charts"][key]
    is_empty = not any(len(column) for column in columns.values())
    picker = (
        f'<label class="picker" for="{key}-choice"><span>Show</span> <select id="{key}-choice"></select></label>'
        if key in PICKED and not is_empty
        else ""
    )
    plot = (
        ""
        if is_empty
        else f'<div class="chart {style}" id="chart-{key}" data-chart="{key}" role="img" '
        f'aria-labelledby="{key}-caption" aria-describedby="{key}-summary"></div>'
        f'<details class="as-table" data-table="{key}"><summary>View as table</summary></details>'
    )
    return (
        f'<figure id="{key}"><figcaption><h3 id="{key}-caption">{escape(title)}</h3>{picker}</figcaption>'
        f'<p class="summary" id="{key}-summary">{escape(summary)}</p>{plot}</figure>\n'
    )


def _breakdown_section(document: Document) -> str:
    columns, currency = document["charts"]["breakdown"], document["verdict"]["account_currency"]
    if not columns["dimension"]:
        return '<p class="summary">No trades to break down.</p>'
    head = (
        *(("Group", False), ("Trades", True), ("Win rate", True), ("Mean R", True)),
        *(("95 % interval", True), ("Profit factor", True), ("Net", True)),
    )
    blocks = []
    for dimension, title in DIMENSIONS.items():
        rows = [i for i, value in enumerate(columns["dimension"]) if value == dimension]
        blocks.append(table(head, [_breakdown_row(columns, row, currency) for row in rows], caption=title))
    note = "Many small groups: some look good or bad by chance alone. Intervals assume independent trades."
    return f'<p class="summary">{note}</p><div class="stack">{"".join(blocks)}</div>'


def _breakdown_row(columns: Mapping[str, Sequence[Any]], row: int, currency: str) -> tuple[str, ...]:
    value = {name: column[row] for name, column in columns.items()}
    low, high = (text.number(value[name], 2, is_signed=True) for name in ("mean_r_low", "mean_r_high"))
    interval = f"{low} to {high}" if value["mean_r_low"] is not None else text.UNKNOWN
    group = str(value["group"]).replace("_", " ") if value["dimension"] == "tag" else str(value["group"])
    return (
        escape(group[:1].upper() + group[1:]),
        text.number(value["n_trades"], 0),
        text.percent(value["win_rate"]),
        _tinted(text.r_multiple(value["mean_r"])),
        interval,
        text.number(value["profit_factor"], 2),
        _tinted(escape(text.money(value["net"], currency, is_signed=True))),
    )


def _costs_section(document: Document) -> str:
    charts, currency = document["charts"], document["verdict"]["account_currency"]
    costs = charts["costs"]
    head = (("Costs", False), *((label, True) for label, _ in COST_LABELS.values()))
    rows = [
        (
            escape(level),
            *(escape(text.figure(costs[key][row], unit, currency, key=key)) for key, (_, unit) in COST_LABELS.items()),
        )
        for row, level in enumerate(costs["level"])
    ]
    missing = [level for level in ("0x", "1x", "2x") if level not in costs["level"]]
    note = (
        f"Not run at {' and '.join(missing)} costs; `--costs 0,1,2` shows how much of the result depends on them."
        if missing
        else "An edge that disappears at twice the costs is too thin to trade."
    )
    model = charts["cost_model"]
    items = [(escape(k.replace("_", " ")), escape(v)) for k, v in zip(model["item"], model["value"], strict=True)]
    blocks = table(head, rows, caption="Result at other cost levels") + f'<p class="summary">{escape(note)}</p>'
    if items:
        blocks += table((("Cost", False), ("Model", False)), items, caption="Cost model of this run")
    return blocks + _rejects_block(charts["rejects"])


def _rejects_block(rejects: Mapping[str, Sequence[Any]]) -> str:
    if not rejects["code"]:
        return '<h3>Refused intents</h3><p class="summary">Everything that was asked for was executed.</p>'
    rows = [
        (escape(reason[:1].upper() + reason[1:]), escape(kind), text.number(n, 0), text.percent(share))
        for reason, kind, n, share in zip(
            rejects["reason"], rejects["kind"], rejects["n"], rejects["share"], strict=True
        )
    ]
    head = (("Reason", False), ("Kind", False), ("Times", True), ("Of all intents", True))
    return table(head, rows, caption="Refused intents")


def _figures_section(document: Document) -> str:
    columns, currency = document["charts"]["figures"], document["verdict"]["account_currency"]
    has_baskets = columns["value"][columns["key"].index("n_baskets")]
    blocks = []
    for group, title in GROUP_TITLES.items():
        if group == "basket" and not has_baskets:
            continue
        rows = []
        for row, own in enumerate(columns["group"]):
            if own != group:
                continue
            value = {name: column[row] for name, column in columns.items()}
            shown = escape(text.figure(value["value"], value["unit"], currency, key=value["key"]))
            why = f' <span class="why">{escape(value["undefined"])}</span>' if value["undefined"] else ""
            source = "" if value["source"] == "arithmetic" else f" <cite>{escape(value['source'])}</cite>"
            rows.append((escape(value["label"]), shown + why, escape(value["description"]) + source))
        head = (("Figure", False), ("Value", True), ("Meaning", False))
        blocks.append(table(head, rows, caption=title))
        if group == "basket":
            blocks.append(
                '<p class="summary">A high win rate of baskets is geometry, not skill: many small targets '
                "are paid for by a rare full loss. Compare the share of full losses with its break-even.</p>"
            )
    return f'<div class="stack">{"".join(blocks)}</div>'


def _method_section(document: Document) -> str:
    verdict, config = document["verdict"], document["charts"]["config"]
    fills = "".join(f"<li>{escape(line)}</li>" for line in verdict["fill_model"])
    settings = [
        (f"<code>{escape(key)}</code>", escape(value), escape(origin or text.UNKNOWN))
        for key, value, origin in zip(config["key"], config["value"], config["origin"], strict=True)
    ]
    block = f"<h3>How fills were decided ({escape(verdict['intrabar'])})</h3><ul>{fills}</ul>"
    if settings:
        block += table((("Setting", False), ("Value", False), ("From", False)), settings, caption="Configuration")
    return block + _provenance_block(document["provenance"])


def _provenance_block(provenance: Sequence[Mapping[str, Any]]) -> str:
    if not provenance:
        return '<h3>Data</h3><p class="summary">The origin of the prices was not recorded.</p>'
    names = list(dict.fromkeys(name for series in provenance for name in series if name != "symbol"))
    head = (("Symbol", False), *((name.replace("_", " ").capitalize(), name == "bars") for name in names))
    rows = [
        (escape(str(series.get("symbol", text.UNKNOWN))), *(_origin_cell(series.get(name)) for name in names))
        for series in provenance
    ]
    return table(head, rows, caption="Data")


def _origin_cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return text.UNKNOWN
    return text.number(value, 0) if isinstance(value, int) else escape(str(value))


def _tinted(shown: str) -> str:
    """Return a signed figure in the color of its sign; zero and unknown stay plain."""
    tone = "gain" if shown[0] == "+" else "loss" if shown[0] == text.MINUS else ""
    return f'<span class="{tone}">{shown}</span>' if tone else shown


def _numeric(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _hidden(is_hidden: bool) -> str:
    return ' class="visually-hidden"' if is_hidden else ""


def _embedded(document: Document) -> str:
    """Return JSON that is safe inside a script element."""
    plain = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: Iterable[str]) -> str:
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    from importlib.resources import files

    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
