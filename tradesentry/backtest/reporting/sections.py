"""The parts of the page that say something in words: key figures, the calendar of months, a sentence per chart."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tradesentry.backtest.reporting import text

Document = Mapping[str, Any]


def figure_cards(document: Document) -> str:
    """Return the key figures as cards: each with what it must be read against."""
    value, why = _values(document)
    currency = document["verdict"]["account_currency"]

    error = f"± {text.number(1.96 * value['sharpe_error'], 2)} (95 %)" if value["sharpe_error"] is not None else ""
    cards = (
        ("total_return", "Return", text.money(value["net_profit"], currency, is_signed=True)),
        ("max_drawdown", "Max. drawdown", _drawdown_note(value)),
        ("mean_r", "Mean R per trade", _interval_note(document["verdict"]["mean_r_interval"])),
        ("n_trades", "Trades", f"in the market {text.percent(value['exposure'])} of the time"),
        ("profit_factor", "Profit factor", f"payoff {text.number(value['payoff'], 2)}"),
        ("win_rate", "Win rate", f"breaks even at {text.percent(value['zero_edge_win_rate'])}"),
        ("sharpe", "Sharpe ratio", error or why["sharpe"]),
        ("cost_total", "Costs", _cost_note(value, why)),
    )
    units = dict(zip(document["charts"]["figures"]["key"], document["charts"]["figures"]["unit"], strict=True))
    shown = []
    for key, label, note in cards:
        number = escape(text.figure(value[key], units[key], currency, key=key))
        is_clear = key == "total_return" or (key == "mean_r" and document["verdict"]["tone"] in ("good", "bad"))
        tone = _sign(value[key]) if is_clear else ""
        shown.append(f'<div class="card"><dt>{escape(label)}</dt><dd class="{tone}">{number}</dd>')
        shown.append(f'<dd class="note">{escape(note if value[key] is not None else why[key])}</dd></div>')
    return f'<dl class="cards">{"".join(shown)}</dl>'


def monthly_table(document: Document) -> str:
    """Return the returns by month and year as a tinted calendar."""
    columns = document["charts"]["monthly"]
    if not columns["year"]:
        return ""
    cells = {
        (year, month): value
        for year, month, value in zip(columns["year"], columns["month"], columns["return"], strict=True)
    }
    largest = max((abs(value) for (_, month), value in cells.items() if month and value is not None), default=0.0)
    rows = []
    for year in sorted({year for year, _ in cells}):
        months = "".join(_month_cell(cells.get((year, month), ""), largest) for month in range(1, 13))
        whole = cells.get((year, 0))
        total = f'<td class="number total {_sign(whole)}">{text.percent(whole, is_signed=True)}</td>'
        rows.append(f'<tr><th scope="row">{year}</th>{months}{total}</tr>')
    heads = "".join(f'<th scope="col" class="number">{month}</th>' for month in text.MONTHS)
    return (
        '<figure id="monthly"><figcaption><h3>Return by month, %</h3></figcaption>'
        f'<p class="summary">{escape(chart_summary("monthly", document))}</p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Return by month"><table class="calendar">'
        '<caption class="visually-hidden">Return by month and year, percent</caption><thead><tr>'
        f'<th scope="col">Year</th>{heads}<th scope="col" class="number">Year</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></figure>\n"
    )


def chart_summary(key: str, document: Document) -> str:
    """Return one or two sentences that say what a chart shows, for people who do not see it."""
    columns = document["charts"][key]
    if not any(len(column) for column in columns.values()):
        return _EMPTY.get(key, "Nothing to show.")
    if key in _SUMMARIES:
        return _SUMMARIES[key](document, columns)
    return str(document["study"]["summaries"][key])


_EMPTY = {
    "rolling": "The test is shorter than the window of 63 FX days.",
    "distribution": "No trade has an R-multiple.",
    "excursion": "No trade has an R-multiple.",
    "price": "The bars are not part of this result; a report made together with the back-test shows them.",
    "closeups": "No trades with bars around them.",
    "exposure": "No position was held.",
}


def _equity_summary(document: Document, _columns: Mapping[str, Sequence[Any]]) -> str:
    value, _ = _values(document)
    currency = document["verdict"]["account_currency"]
    if not value["max_drawdown"]:
        return f"From {text.money(document['verdict']['capital'], currency)}, never below a value it had before."
    healed = "not recovered by the end" if value["recovery_days"] is None else "recovered"
    start, end = (text.money(amount, currency) for amount in (document["verdict"]["capital"], value["final_equity"]))
    return (
        f"From {start} to {end}. "
        f"Deepest drawdown {text.percent(value['max_drawdown'])} at the adverse extreme inside bars, "
        f"{text.figure(value['drawdown_days'], 'days', currency)} long, {healed}."
    )


def _monthly_summary(_document: Document, columns: Mapping[str, Sequence[Any]]) -> str:
    known = [
        value for month, value in zip(columns["month"], columns["return"], strict=True) if month and value is not None
    ]
    if not known:
        return "No month has a defined return."
    n_up = sum(1 for value in known if value > 0)
    best, worst = text.percent(max(known), is_signed=True), text.percent(min(known), is_signed=True)
    return f"{n_up} of {len(known)} months gained; the best {best}, the worst {worst}."


def _rolling_summary(_document: Document, columns: Mapping[str, Sequence[Any]]) -> str:
    ratios = [value for value in columns["sharpe"] if value is not None]
    return (
        f"Between {text.number(min(ratios), 2)} and {text.number(max(ratios), 2)}, last {text.number(ratios[-1], 2)}. "
        "The band is the 95 % interval of each window: it is wide, so single highs and lows mean little."
    )


def _distribution_summary(document: Document, columns: Mapping[str, Sequence[Any]]) -> str:
    value, _ = _values(document)
    return (
        f"{sum(columns['n']):,} trades; mean {text.r_multiple(value['mean_r'])}, worst "
        f"{text.r_multiple(value['worst_trade_r'])}, best {text.r_multiple(value['best_trade_r'])}. "
        "The outermost bars hold everything beyond them."
    )


def _excursion_summary(document: Document, columns: Mapping[str, Sequence[Any]]) -> str:
    value, _ = _values(document)
    return (
        f"Before closing, a trade was on average {text.r_multiple(value['mae_r'])} at its worst and "
        f"{text.r_multiple(value['mfe_r'])} at its best. {len(columns['r']):,} trades shown."
    )


def _price_summary(document: Document, _columns: Mapping[str, Sequence[Any]]) -> str:
    zones, marks = len(document["charts"]["zones"]["symbol"]), len(document["charts"]["marks"]["symbol"])
    shown, total = len(document["charts"]["trades"]["symbol"]), _values(document)[0]["n_trades"]
    part = f"{shown:,} trades" if shown == total else f"the last {shown:,} of {total:,} trades"
    extra = f", {zones:,} zones and {marks:,} events of the strategy" if zones or marks else ""
    return f"{part[0].upper()}{part[1:]}{extra}. Bid prices; candles are merged for the overview."


def _closeup_summary(_document: Document, columns: Mapping[str, Sequence[Any]]) -> str:
    return f"{len(set(columns['trade']))} trades up close: the best, the worst and the last, with entry, stop and exit."


def _exposure_summary(_document: Document, columns: Mapping[str, Sequence[Any]]) -> str:
    largest = {
        currency: max((abs(value) for value in column if value is not None), default=0.0)
        for currency, column in columns.items()
        if currency != "time"
    }
    parts = [f"{currency} {text.number(value, 1)}x" for currency, value in largest.items()]
    return f"Largest net exposure as a multiple of equity: {', '.join(parts)}."


_SUMMARIES = {
    "equity": _equity_summary,
    "monthly": _monthly_summary,
    "rolling": _rolling_summary,
    "distribution": _distribution_summary,
    "excursion": _excursion_summary,
    "price": _price_summary,
    "closeups": _closeup_summary,
    "exposure": _exposure_summary,
}


def _values(document: Document) -> tuple[dict[str, Any], dict[str, str]]:
    figures = document["charts"]["figures"]
    values = dict(zip(figures["key"], figures["value"], strict=True))
    return values, dict(zip(figures["key"], figures["undefined"], strict=True))


def _drawdown_note(value: Mapping[str, Any]) -> str:
    if not value["max_drawdown"]:
        return "never below a value it had before"
    return f"{text.figure(value['drawdown_days'], 'days', '')} under water"


def _interval_note(interval: Sequence[float] | None) -> str:
    if interval is None:
        return "interval unknown: fewer than two trades"
    low, high = (text.number(bound, 2, is_signed=True) for bound in interval)
    return f"95 %: {low} to {high}"


def _cost_note(value: Mapping[str, Any], why: Mapping[str, str]) -> str:
    if value["cost_share"] is None:
        return why["cost_share"]
    return f"{text.percent(value['cost_share'])} of the profit before costs"


def _month_cell(value: Any, largest: float) -> str:
    if value == "" or value is None:
        return '<td class="number"></td>' if value == "" else f'<td class="number">{text.UNKNOWN}</td>'
    strength = round(100 * abs(value) / largest) if largest else 0
    shown = text.number(100 * value, 1, is_signed=True)
    return f'<td class="number heat {_sign(value)}" style="--heat:{strength}%">{shown}</td>'


def _sign(value: float | None) -> str:
    return "" if not value else "gain" if value > 0 else "loss"
