"""Boil one play down to what a study needs: a row of figures, its closed trades, its daily equity.

A study plays thousands of variants and looks closely at a few, so the tables and the eighty metrics of a full result
would cost more than the play. The figures here are computed by the same functions on the same numbers as those of
`evaluation`, and equal them to the last bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.arena import Arena
from tradesentry.backtest.metrics import returns as returns_of
from tradesentry.backtest.metrics import trades as trades_of
from tradesentry.backtest.metrics.fx_time import DAY_NS, fx_days
from tradesentry.backtest.metrics.honesty import moments
from tradesentry.backtest.metrics.resampling import bootstrap_error
from tradesentry.core.domain.orders import TradingState

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FIGURES: Final[Mapping[str, str]] = {
    "n_trades": "count",
    "win_rate": "fraction",
    "profit_factor": "ratio",
    "mean_r": "R",
    "mean_r_error": "R",
    "mean_r_bound": "R",
    "total_return": "fraction",
    "net_profit": "money",
    "max_drawdown": "fraction",
    "sharpe": "ratio",
    "skew": "ratio",
    "kurtosis": "ratio",
    "cost_total": "money",
    "n_days": "count",
    "is_stopped": "count",
}
"""Figures of an outcome with their units. `mean_r_bound` is the mean R less one standard error by weeks; `is_stopped`
is 1 when a limit of the account had stopped trading at the end."""
_ROW: Final = {key: i for i, key in enumerate(FIGURES)}
ROUND_TRIP: Final = np.dtype(
    [
        ("entry_ns", "i8"),
        ("exit_ns", "i8"),
        ("market", "i4"),
        ("side", "i4"),
        ("reason", "i4"),
        ("is_r", "i4"),
        ("r", "f8"),
        ("net", "f8"),
    ],
    align=True,
)
"""A closed trade as studies keep it; `is_r` is 0 when it had no stop and so no R."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one play came to."""

    figures: FloatArray
    """In the order of `FIGURES`; nan where undefined."""
    trades: npt.NDArray[np.void]
    """ROUND_TRIP array in order of exit, then entry."""
    equity: FloatArray
    """The capital, then the account at the end of each FX day."""

    def __getitem__(self, key: str) -> float:
        return float(self.figures[_ROW[key]])

    @property
    def returns(self) -> FloatArray:
        """Return simple daily returns; zero from the day the account was wiped out."""
        returns = returns_of.simple_returns(self.equity)
        return np.where(np.isfinite(returns), returns, 0.0)

    def row(self) -> dict[str, float | int | None]:
        """Return the figures by key in JSON types, None where undefined."""
        plain: dict[str, float | int | None] = {}
        for (key, unit), value in zip(FIGURES.items(), self.figures.tolist(), strict=True):
            plain[key] = None if not math.isfinite(value) else int(value) if unit == "count" else value
        return plain


@dataclass(frozen=True, slots=True)
class Days:
    """The FX days of a period: what daily equity is sampled by."""

    dates: IntArray
    ends: IntArray
    week_dates: IntArray
    """Dates of a wider span, to find the week of every entry."""
    week_ends: IntArray


@cache
def days_of(first_ns: int, last_ns: int) -> Days:
    """Return the FX days from the first instant of a period to its last equity point."""
    return Days(*fx_days(first_ns, last_ns), *fx_days(first_ns - DAY_NS, last_ns + 4 * DAY_NS))


def outcome_of(arena: Arena, *, capital: float, first_ns: int, from_ns: int | None = None) -> Outcome:
    """Return the outcome of a finished play.

    Args:
        arena: Its memory after the last bar.
        capital: Balance at the start.
        first_ns: First instant of the period, as of the first bar that may be traded.
        from_ns: Equity points before it are left out: the account stood still while states warmed up.
    """
    ts_ns, equity, lows = _points(arena, from_ns)
    days, daily = _sampled(ts_ns, equity, capital=capital, first_ns=first_ns)
    trades, columns = _round_trips(arena.trade_rows)
    figures = np.full(len(FIGURES), np.nan)
    for key, value in (
        _trade_figures(trades, columns, days) | _curve_figures(daily, capital) | _fall(ts_ns, equity, lows, capital)
    ).items():
        figures[_ROW[key]] = value
    figures[_ROW["is_stopped"]] = float(int(arena.account.trading_state[0]) != int(TradingState.ACTIVE))
    return Outcome(figures, trades, daily)


def daily_equity(arena: Arena, *, capital: float, first_ns: int, from_ns: int | None = None) -> FloatArray:
    """Return the capital, then the account at the end of each FX day; arguments and value as with `outcome_of`."""
    ts_ns, equity, _ = _points(arena, from_ns)
    return _sampled(ts_ns, equity, capital=capital, first_ns=first_ns)[1]


def _points(arena: Arena, from_ns: int | None) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return times, equity and adverse extremes of the points from an instant on."""
    points = arena.equity_rows
    ts_ns = np.ascontiguousarray(points["ts_ns"])
    begin = 0 if from_ns is None else int(np.searchsorted(ts_ns, from_ns))
    equity, lows = np.ascontiguousarray(points["equity"]), np.ascontiguousarray(points["worst_equity"])
    return ts_ns[begin:], equity[begin:], lows[begin:]


def _sampled(ts_ns: IntArray, equity: FloatArray, *, capital: float, first_ns: int) -> tuple[Days, FloatArray]:
    """Return the FX days of the points, and the capital with the equity at the end of each."""
    days = days_of(min(first_ns, int(ts_ns[0])), int(ts_ns[-1]))
    rows = np.searchsorted(ts_ns, np.minimum(days.ends, ts_ns[-1]), side="right")
    return days, np.concatenate(([capital], np.concatenate(([capital], equity))[rows]))


def nothing(capital: float) -> Outcome:
    """Return the outcome of a window without a bar."""
    figures = np.full(len(FIGURES), np.nan)
    for key in ("n_trades", "total_return", "net_profit", "n_days", "max_drawdown", "is_stopped", "cost_total"):
        figures[_ROW[key]] = 0.0
    return Outcome(figures, np.zeros(0, ROUND_TRIP), np.array([capital]))


def _round_trips(rows: Any) -> tuple[npt.NDArray[np.void], dict[str, npt.NDArray[Any]]]:
    order = np.lexsort((rows["entry_ns"], rows["exit_ns"]))
    columns = {
        name: np.ascontiguousarray(rows[name])[order]
        for name in ("entry_ns", "gross", "net", "commission", "spread_cost", "slippage", "r_multiple")
    }
    trades = np.zeros(len(order), ROUND_TRIP)
    for name, source in (("exit_ns", "exit_ns"), ("market", "market"), ("side", "side"), ("reason", "exit_reason")):
        trades[name] = rows[source][order]
    known = np.isfinite(columns["r_multiple"])
    trades["entry_ns"], trades["net"], trades["is_r"] = columns["entry_ns"], columns["net"], known
    trades["r"] = np.where(known, columns["r_multiple"], 0.0)
    return trades, columns


def _trade_figures(
    trades: npt.NDArray[np.void], columns: Mapping[str, npt.NDArray[Any]], days: Days
) -> dict[str, float]:
    net = columns["net"]
    mean, error = mean_and_error(trades, days)
    return {
        "n_trades": float(len(net)),
        "win_rate": trades_of.win_rate(net),
        "profit_factor": trades_of.profit_factor(net),
        "mean_r": mean,
        "mean_r_error": error,
        "mean_r_bound": mean - error,
        "cost_total": trades_of.trade_costs(columns).total,
    }


def mean_and_error(trades: npt.NDArray[np.void], days: Days) -> tuple[float, float]:
    """Return the mean R of trades and its standard error by block bootstrap over FX weeks.

    Args:
        trades: ROUND_TRIP array.
        days: FX days of their period.
    """
    known = trades[trades["is_r"] == 1]
    r_multiples = np.ascontiguousarray(known["r"])
    dates = days.week_dates[np.searchsorted(days.week_ends, known["entry_ns"], side="right")]
    return trades_of.expectancy(r_multiples), bootstrap_error(r_multiples, (dates - 4) // 7)


def _curve_figures(daily: FloatArray, capital: float) -> dict[str, float]:
    returns = returns_of.simple_returns(daily)
    usable = returns if bool(np.all(daily > 0)) else np.zeros(0)
    shape = moments(usable)
    return {
        "total_return": returns_of.total_return(daily),
        "net_profit": float(daily[-1] - capital),
        "sharpe": returns_of.annualized_sharpe(usable),
        "skew": shape.skew,
        "kurtosis": shape.kurtosis,
        "n_days": float(len(returns)),
    }


def _fall(ts_ns: IntArray, equity: FloatArray, lows: FloatArray, capital: float) -> dict[str, float]:
    points, lows = np.concatenate(([capital], equity)), np.concatenate(([capital], lows))
    times = np.concatenate(([ts_ns[0]], ts_ns))
    return {"max_drawdown": returns_of.max_drawdown(points, lows, times).depth}
