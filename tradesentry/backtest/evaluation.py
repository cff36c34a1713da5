"""Judge a finished back-test: every metric with its unit and source, or the reason why it is undefined.

Separate from the engine, which only records, and from the report, which only shows. The figures themselves are pure
functions in `metrics_returns` and `metrics_trades`; here they are applied to one result, in this order:

1. sample the account curve at the end of each FX day (17:00 New York);
2. compute every metric of `METRICS`; what is undefined is None, never zero;
3. name the reason of every None.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.metrics import returns as returns_of
from tradesentry.backtest.metrics import trades as trades_of
from tradesentry.backtest.metrics.fx_time import HOUR_NS, fx_days
from tradesentry.backtest.metrics.table import BY_KEY, METRICS, REASONS, Metric

if TYPE_CHECKING:
    import polars as pl

    from tradesentry.backtest.result import BacktestResult

__all__ = ["BY_KEY", "METRICS", "DailyCurve", "Evaluation", "Metric", "daily_curve", "evaluate", "summarize"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Values = dict[str, float]
Facts = dict[str, bool]

NUMBERS = ("net", "gross", "commission", "swap", "slippage", "spread_cost", "r_multiple", "mae_r", "mfe_r")
NOT_REFUSED = ("shrunk", "none")
"""Codes of the reject table that stand for an order that was executed."""
NOT_ASKED = ("sibling_filled", "order_expired", "end_of_data")
"""Codes that end a resting order as planned: no refusal of what was asked."""


@dataclass(frozen=True, slots=True)
class DailyCurve:
    """The account at the end of each FX day."""

    dates: IntArray
    """Days since 1970-01-01, shape (n,)."""
    ts_ns: IntArray
    """When each day was sampled; the last may be the end of the run."""
    equity: FloatArray
    """Shape (n + 1,): the capital, then the end of each day."""
    returns: FloatArray
    """Simple returns, fraction, shape (n,)."""

    def months(self) -> IntArray:
        """Return months since 1970-01 of each day."""
        months: IntArray = self.dates.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        return months

    def weeks(self) -> IntArray:
        """Return the Monday of each day."""
        return (self.dates - 4) // 7 * 7 + 4


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All metrics of one result."""

    values: dict[str, Any]
    """By key; None where undefined, counts as int."""
    reasons: dict[str, str]
    """Why, for every None."""


def evaluate(result: "BacktestResult") -> Evaluation:
    """Return every metric of `METRICS` for `result`, with the reason of each that is undefined."""
    curve, trades = daily_curve(result), trade_columns(result)
    facts: Facts = {}
    values = _curve_values(result, curve, facts) | _drawdown_values(result, curve, facts)
    values |= _trade_values(result, trades, facts) | _r_values(trades, facts)
    values |= _cost_values(trades, facts) | _reject_values(result, facts) | _basket_values(result, trades, facts)
    plain = {metric.key: _plain(values[metric.key], metric) for metric in METRICS}
    reasons = {metric.key: _reason(metric, facts) for metric in METRICS if plain[metric.key] is None}
    return Evaluation(plain, reasons)


def summarize(result: "BacktestResult") -> dict[str, Any]:
    """Return the flat dict of metrics by key; None where undefined. Units are in `METRICS`."""
    return evaluate(result).values


def daily_curve(result: "BacktestResult") -> DailyCurve:
    """Return the equity of `result` at 17:00 New York of every weekday of its period, and at its end.

    A day without an equity point keeps the value of the day before; weekends belong to Monday.
    """
    ts_ns, equity = equity_points(result)
    if not len(ts_ns):
        empty = np.zeros(0, np.int64)
        return DailyCurve(empty, empty, np.array([result.capital]), np.zeros(0))
    dates, ends = fx_days(min(result.period[0], int(ts_ns[0])), int(ts_ns[-1]))
    sampled = np.minimum(ends, ts_ns[-1])
    rows = np.searchsorted(ts_ns, sampled, side="right")
    values = np.concatenate(([result.capital], np.concatenate(([result.capital], equity))[rows]))
    return DailyCurve(dates, sampled, values, returns_of.simple_returns(values))


def equity_points(result: "BacktestResult") -> tuple[IntArray, FloatArray]:
    """Return times and equity of every recorded point, ascending."""
    return result.equity["ts_ns"].to_numpy().astype(np.int64), result.equity["equity"].to_numpy().astype(np.float64)


def equity_lows(result: "BacktestResult") -> FloatArray | None:
    """Return the adverse extreme of equity before every point; None where it was not recorded."""
    if "worst_equity" not in result.equity.columns:
        return None
    return result.equity["worst_equity"].to_numpy().astype(np.float64)


def trade_columns(result: "BacktestResult") -> dict[str, npt.NDArray[Any]]:
    """Return the trades as arrays, in order of exit then entry; the adverse excursion is never positive."""
    frame: pl.DataFrame = result.trades
    columns = {
        name: frame[name].to_numpy() for name in frame.columns if name not in ("cause", "entry_time", "exit_time")
    }
    for name in NUMBERS:
        columns[name] = columns[name].astype(np.float64) if name in columns else np.zeros(frame.height)
    for name in ("variant", "basket"):
        columns.setdefault(name, np.zeros(frame.height, np.int64))
    columns["mae_r"] = -np.abs(columns["mae_r"])
    order = np.lexsort((columns["entry_ns"], columns["exit_ns"]))
    return {name: column[order] for name, column in columns.items()}


def reject_counts(result: "BacktestResult") -> dict[str, int]:
    """Return how often each code occurs in the reject table, most frequent first."""
    codes = [str(code).lower() for code in result.rejects["code"].to_list()]
    names, counts = np.unique(np.array(codes, dtype=np.str_), return_counts=True)
    return dict(
        sorted(((str(n), int(c)) for n, c in zip(names, counts, strict=True)), key=lambda item: (-item[1], item))
    )


def _curve_values(result: "BacktestResult", curve: DailyCurve, facts: Facts) -> Values:
    returns, equity = curve.returns, curve.equity
    is_positive = bool(np.all(equity > 0))
    facts |= {"positive": is_positive, "days": len(returns) > 1, "varies": returns_of.does_vary(returns)}
    facts["losing_days"] = bool(np.any(returns < 0))
    usable = returns if is_positive else np.zeros(0)
    years = _years(result)
    facts["span"] = years >= 30 / 365.25
    values = {
        "final_equity": float(equity[-1]),
        "net_profit": float(equity[-1] - result.capital),
        "total_return": returns_of.total_return(equity),
        "cagr": returns_of.cagr(equity, years),
        "volatility": returns_of.annualized_volatility(usable),
        "ulcer_index": returns_of.ulcer_index(equity),
        "downside_deviation": returns_of.downside_deviation(usable),
        "tail_ratio": returns_of.tail_ratio(usable),
        "sharpe": returns_of.annualized_sharpe(usable),
        "sharpe_error": returns_of.sharpe_standard_error(usable),
        "sharpe_adjusted": returns_of.adjusted_sharpe(usable),
        "sortino": returns_of.sortino_ratio(usable) if len(usable) else math.nan,
        "omega": returns_of.omega_ratio(usable),
    }
    for level in (95, 99):
        values[f"var_{level}"] = returns_of.value_at_risk(usable, level / 100)
        values[f"cvar_{level}"] = returns_of.conditional_value_at_risk(usable, level / 100)
    spans = {"day": usable}
    for name, labels in (("week", curve.weeks()), ("month", curve.months())):
        spans[name] = returns_of.grouped_returns(equity, labels)[1] if is_positive else usable
    for name, values_of in spans.items():
        values[f"best_{name}"] = float(np.max(values_of)) if len(returns) > 1 and len(values_of) else math.nan
        values[f"worst_{name}"] = float(np.min(values_of)) if len(returns) > 1 and len(values_of) else math.nan
    return values


def _drawdown_values(result: "BacktestResult", curve: DailyCurve, facts: Facts) -> Values:
    ts_ns, points = equity_points(result)
    lows = equity_lows(result)
    begin = min(result.period[0], int(ts_ns[0])) if len(ts_ns) else result.period[0]
    times = np.concatenate(([begin], ts_ns))
    points = np.concatenate(([result.capital], points))
    lows = points if lows is None else np.concatenate(([result.capital], lows))
    whole = returns_of.max_drawdown(points, lows, times)
    since = times >= times[-1] - int(returns_of.CALMAR_YEARS * returns_of.YEAR_NS)
    recent = returns_of.max_drawdown(points[since], lows[since], times[since])
    years = min(_years(result), returns_of.CALMAR_YEARS)
    facts |= {"drawdown": whole.depth > 0 and recent.depth > 0, "recovered": math.isfinite(whole.recovery_days)}
    return {
        "max_drawdown": whole.depth,
        "drawdown_days": whole.length_days,
        "recovery_days": whole.recovery_days,
        "mar": returns_of.return_over_drawdown(returns_of.cagr(curve.equity, _years(result)), whole.depth),
        "calmar": returns_of.return_over_drawdown(returns_of.cagr(points[since], years), recent.depth),
    }


def _trade_values(result: "BacktestResult", trades: Mapping[str, npt.NDArray[Any]], facts: Facts) -> Values:
    net = trades["net"]
    payoff = trades_of.payoff_ratio(net)
    hours = (trades["exit_ns"] - trades["entry_ns"]) / HOUR_NS
    exposure = trades_of.exposure_fraction(
        trades["entry_ns"].astype(np.int64), trades["exit_ns"].astype(np.int64), result.period
    )
    facts |= {"trades": len(net) > 0, "wins": bool(np.any(net > 0)), "losses": bool(np.any(net < 0))}
    facts["period"] = math.isfinite(exposure)
    return {
        "exposure": exposure,
        "n_trades": len(net),
        "n_long": int(np.sum(trades["side"] > 0)),
        "n_short": int(np.sum(trades["side"] < 0)),
        "win_rate": trades_of.win_rate(net),
        "payoff": payoff,
        "zero_edge_win_rate": trades_of.zero_edge_win_rate(payoff),
        "profit_factor": trades_of.profit_factor(net),
        "holding_mean_hours": float(np.mean(hours)) if len(net) else math.nan,
        "holding_median_hours": float(np.median(hours)) if len(net) else math.nan,
        "longest_wins": trades_of.longest_streak(net > 0),
        "longest_losses": trades_of.longest_streak(net <= 0),
    }


def _r_values(trades: Mapping[str, npt.NDArray[Any]], facts: Facts) -> Values:
    known = np.isfinite(trades["r_multiple"])
    r_multiples: FloatArray = trades["r_multiple"][known]
    weeks = trades_of.trade_weeks(trades["entry_ns"][known].astype(np.int64))
    block, normal = trades_of.bootstrap_interval(r_multiples, weeks), trades_of.normal_interval(r_multiples)
    facts |= {"r": len(r_multiples) > 0, "two_r": len(r_multiples) > 1, "weeks": math.isfinite(block.low)}
    facts["r_varies"] = len(r_multiples) > 1 and float(np.std(r_multiples)) > 1e-15
    return {
        "mean_r": trades_of.expectancy(r_multiples),
        "mean_r_low": block.low,
        "mean_r_high": block.high,
        "mean_r_normal_low": normal.low,
        "mean_r_normal_high": normal.high,
        "sqn": trades_of.system_quality_number(r_multiples),
        "best_trade_r": float(np.max(r_multiples)) if len(r_multiples) else math.nan,
        "worst_trade_r": float(np.min(r_multiples)) if len(r_multiples) else math.nan,
        "mae_r": _finite_mean(trades["mae_r"][known]),
        "mfe_r": _finite_mean(trades["mfe_r"][known]),
    }


def _cost_values(trades: Mapping[str, npt.NDArray[Any]], facts: Facts) -> Values:
    costs = trades_of.trade_costs(trades)
    paid = np.abs(trades["spread_cost"]) + trades["slippage"] + trades["gross"] - trades["net"]
    facts["profit_before_costs"] = costs.before_costs > 0
    return {
        "cost_total": costs.total,
        "cost_spread": costs.spread,
        "cost_slippage": costs.slippage,
        "cost_commission": costs.commission,
        "cost_swap": costs.swap,
        "profit_before_costs": costs.before_costs,
        "cost_share": costs.total / costs.before_costs if costs.before_costs > 0 else math.nan,
        "cost_per_trade_r": _finite_mean(paid / trades_of.risk_money(trades)),
    }


def _reject_values(result: "BacktestResult", facts: Facts) -> Values:
    counts = reject_counts(result)
    refused = sum(count for code, count in counts.items() if code not in (*NOT_REFUSED, *NOT_ASKED))
    asked = int(result.timing.get("intents") or 0) or refused + result.trades.height
    facts["intents"] = asked > 0
    return {
        "n_rejects": refused,
        "n_shrunk": counts.get("shrunk", 0),
        "reject_share": refused / asked if asked else math.nan,
    }


def _basket_values(result: "BacktestResult", trades: Mapping[str, npt.NDArray[Any]], facts: Facts) -> Values:
    each = trades_of.baskets(trades)
    known = np.isfinite(each["r"])
    break_even = trades_of.full_loss_break_even(each["r"][known], each["is_stopped"][known])
    facts |= {"baskets": len(each["net"]) > 0, "stopped_baskets": math.isfinite(break_even)}
    return {
        "n_baskets": len(each["net"]),
        "basket_win_rate": trades_of.win_rate(each["net"]),
        "basket_stop_share": _finite_mean(each["is_stopped"]),
        "basket_worst_r": float(np.min(each["r"][known])) if np.any(known) else math.nan,
        "basket_mae_r": _finite_mean(each["mae_r"]),
        "basket_risk_used": float(np.max(each["risk"][known])) / result.capital if np.any(known) else math.nan,
        "basket_break_even_loss_share": break_even,
    }


def _years(result: "BacktestResult") -> float:
    return float(max(result.period[1] - result.period[0], 0) / returns_of.YEAR_NS)


def _finite_mean(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.mean(finite)) if len(finite) else math.nan


def _plain(value: float, metric: Metric) -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if metric.unit == "count" else float(value)


def _reason(metric: Metric, facts: Facts) -> str:
    failed = next((need for need in metric.needs if not facts.get(need, True)), None)
    return REASONS[failed] if failed else "not defined for these numbers"
