"""Say in one sentence what a back-test shows, and what must be known before believing it.

Separate from evaluation, which only computes: words decide what a reader takes away. The sentence claims an edge only
when the lower bound of the mean R is above zero; the bound is the worse of the two intervals (weeks resampled,
independent trades). It is not yet deflated by the number of variants tried, and says so.
"""

import math
from typing import TYPE_CHECKING, Any, Final

from tradesentry.backtest.evaluation import Evaluation, reject_counts
from tradesentry.backtest.metrics.fx_time import iso_date, iso_minute
from tradesentry.backtest.reporting import text
from tradesentry.backtest.reporting.baseline_section import baseline_sentence

if TYPE_CHECKING:
    from tradesentry.backtest.result import BacktestResult

MIN_TRADES: Final = 30
ALARM_TRADES: Final = 300
ALARM_PROFIT_FACTOR: Final = 1.5
ALARM_WIN_RATE: Final = 0.10
"""Above the break-even win rate of the payoff."""
STOPPED_STATES: Final = ("halted", "reducing")
DAY_NS: Final = 86_400_000_000_000


def verdict(result: "BacktestResult", evaluation: Evaluation) -> dict[str, Any]:
    """Return the headline with its details and what was tested.

    Returns:
        `headline`, `tone` (good, bad, neutral), `details` (sentences), `badges`, and the identity of the run.
    """
    headline, tone = _headline(result, evaluation.values)
    found = result.study.get("evidence") or {}
    if result.study.get("headline"):
        headline, tone = result.study["headline"], result.study["tone"]
    elif tone == "good" and found.get("n_trials", 0) > 1 and not found["is_edge"]:
        headline = f"Good, but no better than the best of {found['n_trials']:,} tries by luck: {_after_colon(headline)}"
        tone = "neutral"
    if result.is_synthetic:
        headline, tone = f"On generated prices: {headline[0].lower()}{headline[1:]}", "neutral"
    return {
        "headline": headline,
        "tone": tone,
        "mean_r_interval": mean_r_bounds(evaluation.values),
        "details": _details(result, evaluation.values),
        "badges": ["BACKTEST", *(["SYNTHETIC"] if result.is_synthetic else [])],
        "app": result.app,
        "symbols": list(result.symbols),
        "timeframe": result.timeframe,
        "source": result.source,
        "is_synthetic": result.is_synthetic,
        "from": iso_date(result.period[0] // DAY_NS),
        "to": iso_date(result.period[1] // DAY_NS),
        "capital": result.capital,
        "account_currency": result.account_currency,
        "intrabar": result.intrabar,
        "fill_model": [text.INTRABAR_WORDS[result.intrabar], *text.FILL_RULES],
        "n_bars": result.timing.get("bars"),
    }


def warnings(result: "BacktestResult", evaluation: Evaluation) -> list[dict[str, str]]:
    """Return what a reader must know first: level (danger, warning, info), title and text, most serious first."""
    found = [_synthetic(result), _stopped(result), _wiped_out(evaluation), alarm(evaluation), _open_risk(result)]
    own = [{"level": "warning", "title": "Note", "text": line} for line in result.warnings]
    return [warning for warning in found if warning is not None] + own


def alarm(evaluation: Evaluation) -> dict[str, str] | None:
    """Return the banner against results too good to be true, or None.

    More than 300 trades with a profit factor above 1.5, or a win rate more than 10 points above what the payoff needs
    to break even, are more often a peek into the future or an optimistic fill than an edge.
    """
    values = evaluation.values
    if values["n_trades"] <= ALARM_TRADES:
        return None
    signs = []
    factor, rate, needed = values["profit_factor"], values["win_rate"], values["zero_edge_win_rate"]
    if factor is None or factor > ALARM_PROFIT_FACTOR:
        shown = "without a single losing trade" if factor is None else f"{factor:.2f} (alarm above 1.50)"
        signs.append(f"profit factor {shown}")
    if needed is not None and rate - needed > ALARM_WIN_RATE:
        signs.append(
            f"win rate {text.percent(rate)}, {100 * (rate - needed):.1f} points above the {text.percent(needed)} "
            "that its payoff needs to break even (alarm above 10)"
        )
    if not signs:
        return None
    return {
        "level": "danger",
        "title": "Check for look-ahead or fill optimism",
        "text": f"Over {values['n_trades']:,} trades: {'; '.join(signs)}. Results this good are rarely real. Run the "
        "look-ahead check, test with finer data inside bars, and compare with doubled costs before believing them.",
    }


def mean_r_bounds(values: dict[str, Any]) -> tuple[float, float] | None:
    """Return the wider 95 % interval of the mean R: the lowest lower and highest upper bound known, or None."""
    lows = [values[key] for key in ("mean_r_low", "mean_r_normal_low") if values[key] is not None]
    highs = [values[key] for key in ("mean_r_high", "mean_r_normal_high") if values[key] is not None]
    return (min(lows), max(highs)) if lows and highs else None


def _headline(result: "BacktestResult", values: dict[str, Any]) -> tuple[str, str]:
    n_trades, bounds = values["n_trades"], mean_r_bounds(values)
    if not n_trades:
        return f"No trades, so nothing can be said about {result.app}.", "neutral"
    if bounds is None:
        return _headline_without_r(result, values)
    interval = f"{text.number(bounds[0], 2, is_signed=True)} to {text.number(bounds[1], 2, is_signed=True)}"
    interval = f"95\N{NO-BREAK SPACE}% CI {interval}"
    mean = f"mean R {text.number(values['mean_r'], 2, is_signed=True)} ({interval}) over {n_trades:,} trades"
    if n_trades < MIN_TRADES:
        return f"Too few trades to judge: {mean}.", "neutral"
    if bounds[0] > 0:
        return f"The trades earned more than chance explains: {mean}, after costs.", "good"
    if bounds[1] < 0:
        return f"It loses money: {mean}, after costs.", "bad"
    return f"No evidence of an edge: {mean}, after costs.", "neutral"


def _after_colon(sentence: str) -> str:
    return sentence.partition(": ")[2] or sentence


def _headline_without_r(result: "BacktestResult", values: dict[str, Any]) -> tuple[str, str]:
    """Judge by the Sharpe ratio where trades have no stop or only one trade has an R."""
    ratio, error, n_trades = values["sharpe"], values["sharpe_error"], values["n_trades"]
    net = text.money(values["net_profit"], result.account_currency, is_signed=True)
    if ratio is None or n_trades < MIN_TRADES:
        return f"Too few trades to judge: net {net} over {n_trades:,} trade{'s' * (n_trades != 1)}.", "neutral"
    shown = f"Sharpe ratio {text.number(ratio, 2)} ± {text.number(1.96 * error, 2)} over {n_trades:,} trades, net {net}"
    if ratio - 1.96 * error > 0:
        return f"The account grew more than chance explains: {shown}.", "good"
    if ratio + 1.96 * error < 0:
        return f"It loses money: {shown}.", "bad"
    return f"No evidence of an edge: {shown}.", "neutral"


def _details(result: "BacktestResult", values: dict[str, Any]) -> list[str]:
    lines = []
    currency = result.account_currency
    growth, fall = text.percent(values["total_return"], is_signed=True), text.percent(values["max_drawdown"])
    lines.append(
        f"The account went from {text.money(result.capital, currency)} to "
        f"{text.money(values['final_equity'], currency)} ({growth}) with a deepest drawdown of {fall}."
    )
    if values["n_trades"]:
        lines.append(_cost_sentence(values, currency))
    elif counts := reject_counts(result):
        code, count = next(iter(counts.items()))
        total = sum(counts.values())
        lines.append(f"{total:,} intents were refused or ended unfilled; {count:,} of them: {text.plain_reject(code)}.")
    if sentence := baseline_sentence(result.baselines):
        lines.append(sentence)
    if (doubled := result.cost_runs.get("2x")) and doubled.get("mean_r") is not None:
        lines.append(f"At twice the costs the mean R is {text.number(doubled['mean_r'], 2, is_signed=True)}.")
    lines += result.study.get("details", [])
    if values["n_trades"] >= MIN_TRADES and not result.study:
        lines.append("Not corrected for the number of variants tried: the best of many tests always looks good.")
    return lines


def _cost_sentence(values: dict[str, Any], currency: str) -> str:
    before, total = values["profit_before_costs"], values["cost_total"]
    if values["cost_share"] is None:
        earned = text.money(before, currency, is_signed=True)
        return f"Even before costs the trades made {earned}; costs came to {text.money(total, currency)}."
    made = text.money(before, currency, is_signed=True)
    share = text.percent(values["cost_share"])
    return f"Before costs the trades made {made}; costs of {text.money(total, currency)} took {share} of it."


def _synthetic(result: "BacktestResult") -> dict[str, str] | None:
    if not result.is_synthetic:
        return None
    return {
        "level": "danger",
        "title": "Synthetic data",
        "text": "These prices were generated by a program, not by a market. The page shows how the software works; "
        "its figures say nothing about what the strategy would earn.",
    }


def _stopped(result: "BacktestResult") -> dict[str, str] | None:
    state = str(result.status.get("state") or "").lower()
    if state not in STOPPED_STATES:
        return None
    since, reason = result.status.get("since"), str(result.status.get("reason") or "")
    when = f" on {iso_minute(int(since))} UTC" if since else ""
    why = f" Reason: {text.plain_exit(reason)}." if reason else ""
    if state == "halted":
        return {
            "level": "danger",
            "title": "The account was halted",
            "text": f"A risk limit closed everything{when} and nothing was opened afterwards.{why} "
            "Figures over the whole period include the idle rest.",
        }
    return {
        "level": "warning",
        "title": "The account was reducing",
        "text": f"A risk limit forbade new entries{when} until the end of the test.{why} Later bars were watched, not "
        "traded; --limits off shows the rules alone.",
    }


def _wiped_out(evaluation: Evaluation) -> dict[str, str] | None:
    final = evaluation.values["final_equity"]
    depth = evaluation.values["max_drawdown"]
    if (final is None or final > 0) and (depth is None or depth < 1):
        return None
    return {
        "level": "danger",
        "title": "The account was wiped out",
        "text": "Equity fell to zero or below; ratios of returns are undefined from there on and left out.",
    }


def _open_risk(result: "BacktestResult") -> dict[str, str] | None:
    r_multiples = result.trades["r_multiple"].to_numpy()
    n_unknown = sum(1 for value in r_multiples if value is None or not math.isfinite(value))
    if not n_unknown:
        return None
    return {
        "level": "warning",
        "title": "Trades without a stop",
        "text": f"{n_unknown:,} of {len(r_multiples):,} trades had no stop at entry and so no R; R figures omit them.",
    }
