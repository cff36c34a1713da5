"""Compute the series a report draws, once, under stable ids: the page and the dashboard show the same numbers.

Every chart is a dict of columns of equal length. Times are milliseconds UTC. Long curves are thinned by buckets that
keep the exact lowest and highest values and the last point, so no extreme is ever smoothed away.

=============  =====================================================================
id             columns
=============  =====================================================================
equity         time, equity, worst (adverse extreme), drawdown (fraction)
rolling        time, sharpe, low, high (95 % band)
monthly        year, month, return; month 0 is the whole year
distribution   from, to, n (R-multiples; the ends are open)
excursion      mae, mfe, r, symbol, time
price          symbol, time, open, high, low, close, bar_minutes
trades         symbol, side, entry and exit, stop, r, net, reason, tag
zones          symbol, name, direction, from, to, low, high
marks          symbol, name, direction, time, price
closeups       trade (row of trades), time, open, high, low, close
exposure       time and one column per currency (share of equity)
=============  =====================================================================
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.evaluation import (
    DailyCurve,
    daily_curve,
    equity_lows,
    equity_points,
    trade_columns,
)
from tradesentry.backtest.metrics import returns as returns_of
from tradesentry.backtest.reporting.text import plain_exit

if TYPE_CHECKING:
    from tradesentry.backtest.result import BacktestResult

Columns = dict[str, list[Any]]
Array = npt.NDArray[Any]

MAX_POINTS = 4_000
ROLLING_DAYS = 63
"""A quarter of trading days."""
HISTOGRAM_STEP = 0.25
HISTOGRAM_RANGE = (-3.0, 5.0)
MAX_DOTS = 3_000
EXPOSURE_POINTS = 400
MS = 1_000_000


def account_charts(result: "BacktestResult", *, max_points: int = MAX_POINTS) -> dict[str, Columns]:
    """Return the charts of the account curve: `equity`, `rolling`, `monthly`.

    Args:
        result: A finished back-test.
        max_points: Most points of the equity curve, at least 8.
    """
    curve = daily_curve(result)
    return {
        "equity": _equity(result, max(8, max_points)),
        "rolling": _rolling(curve),
        "monthly": _monthly(curve),
    }


def trade_charts(result: "BacktestResult") -> dict[str, Columns]:
    """Return the charts of the closed trades: `distribution`, `excursion`, `trades`, `exposure`."""
    trades = trade_columns(result)
    return {
        "distribution": _distribution(trades["r_multiple"]),
        "excursion": _excursion(trades),
        "trades": _trades(trades),
        "exposure": _exposure(result, trades),
    }


def thin(values: list[Array], max_points: int) -> npt.NDArray[np.int64]:
    """Return the rows that keep the shape of curves: lowest and highest of each curve per bucket, first and last row.

    Args:
        values: Curves of one length; the extremes of each are kept.
        max_points: Most rows to return.
    """
    n = len(values[0])
    if n <= max_points:
        return np.arange(n, dtype=np.int64)
    n_buckets = max(1, (max_points - 2) // (2 * len(values)))
    edges = np.linspace(0, n, n_buckets + 1).astype(np.int64)
    kept = [0, n - 1]
    for begin, end in pairwise(edges):
        for curve in values:
            part = np.nan_to_num(curve[begin:end])
            kept += [int(begin + np.argmin(part)), int(begin + np.argmax(part))]
    return np.unique(np.array(kept, dtype=np.int64))


def rounded(values: Array, digits: int) -> list[float | None]:
    """Return a float column for JSON: rounded, None for what is not finite."""
    numbers = np.round(np.asarray(values, np.float64), digits)
    return [float(number) if np.isfinite(number) else None for number in numbers.tolist()]


def milliseconds(ts_ns: Array) -> list[int]:
    """Return instants in milliseconds for JSON."""
    times: list[int] = (np.asarray(ts_ns, np.int64) // MS).tolist()
    return times


def _equity(result: "BacktestResult", max_points: int) -> Columns:
    ts_ns, equity = equity_points(result)
    lows = equity_lows(result)
    lows = equity if lows is None else np.fmin(equity, lows)
    begin = min(result.period[0], int(ts_ns[0])) if len(ts_ns) else result.period[0]
    ts_ns = np.concatenate(([begin], ts_ns))
    equity, lows = np.concatenate(([result.capital], equity)), np.concatenate(([result.capital], lows))
    peaks = np.maximum.accumulate(equity)
    fall = np.where(peaks > 0, lows / np.where(peaks > 0, peaks, 1.0) - 1.0, np.nan)
    rows = thin([equity, fall], max_points)
    return {
        "time": milliseconds(ts_ns[rows]),
        "equity": rounded(equity[rows], 2),
        "worst": rounded(lows[rows], 2),
        "drawdown": rounded(fall[rows], 5),
    }


def _rolling(curve: DailyCurve) -> Columns:
    ratio = returns_of.rolling_sharpe(curve.returns, ROLLING_DAYS)
    known = np.isfinite(ratio)
    days, ratio = curve.ts_ns[known], ratio[known]
    per_day = ratio / np.sqrt(returns_of.DAYS_PER_YEAR)
    half = 1.96 * np.sqrt((1.0 + per_day**2 / 2.0) / ROLLING_DAYS * returns_of.DAYS_PER_YEAR)
    rows = thin([ratio], MAX_POINTS // 2) if len(ratio) else np.zeros(0, np.int64)
    return {
        "time": milliseconds(days[rows]),
        "sharpe": rounded(ratio[rows], 3),
        "low": rounded((ratio - half)[rows], 3),
        "high": rounded((ratio + half)[rows], 3),
    }


def _monthly(curve: DailyCurve) -> Columns:
    months, returns = returns_of.grouped_returns(curve.equity, curve.months())
    years, annual = returns_of.grouped_returns(curve.equity, curve.months() // 12)
    return {
        "year": [*(months // 12 + 1970).tolist(), *(years + 1970).tolist()],
        "month": [*(months % 12 + 1).tolist(), *([0] * len(years))],
        "return": [*rounded(returns, 6), *rounded(annual, 6)],
    }


def _distribution(r_multiples: Array) -> Columns:
    finite = r_multiples[np.isfinite(r_multiples)]
    if not len(finite):
        return {"from": [], "to": [], "n": []}
    low, high = HISTOGRAM_RANGE
    edges = np.arange(low, high + HISTOGRAM_STEP / 2, HISTOGRAM_STEP)
    counts, _ = np.histogram(np.clip(finite, low, np.nextafter(high, low)), bins=edges)
    used = np.flatnonzero(counts)
    chosen = slice(int(used[0]), int(used[-1]) + 1)
    return {
        "from": rounded(edges[:-1][chosen], 2),
        "to": rounded(edges[1:][chosen], 2),
        "n": [int(count) for count in counts[chosen]],
    }


def _excursion(trades: Mapping[str, Array]) -> Columns:
    known = np.flatnonzero(np.isfinite(trades["r_multiple"]))
    if len(known) > MAX_DOTS:
        known = known[np.unique(np.linspace(0, len(known) - 1, MAX_DOTS).astype(np.int64))]
    return {
        "mae": rounded(trades["mae_r"][known], 3),
        "mfe": rounded(trades["mfe_r"][known], 3),
        "r": rounded(trades["r_multiple"][known], 3),
        "symbol": [str(symbol) for symbol in trades["symbol"][known]],
        "time": milliseconds(trades["entry_ns"][known]),
    }


def _trades(trades: Mapping[str, Array]) -> Columns:
    chosen = slice(max(0, len(trades["net"]) - MAX_DOTS), None)
    part = {name: column[chosen] for name, column in trades.items()}
    return {
        "symbol": [str(symbol) for symbol in part["symbol"]],
        "side": [int(side) for side in part["side"]],
        "entry": milliseconds(part["entry_ns"]),
        "entry_price": rounded(part["entry_price"], 6),
        "exit": milliseconds(part["exit_ns"]),
        "exit_price": rounded(part["exit_price"], 6),
        "stop": rounded(part["stop_at_entry"], 6),
        "units": rounded(part["units"], 4),
        "r": rounded(part["r_multiple"], 3),
        "net": rounded(part["net"], 2),
        "reason": [plain_exit(str(reason)) for reason in part["exit_reason"]],
        "tag": [str(tag) for tag in part["tag"]],
    }


def _exposure(result: "BacktestResult", trades: Mapping[str, Array]) -> Columns:
    """Return the net exposure by currency as a share of equity: the largest value, either way, of each time bucket."""
    legs = _currency_legs(result, trades)
    ts_ns, equity = equity_points(result)
    if not legs or not len(ts_ns):
        return {"time": []}
    edges = np.linspace(result.period[0], result.period[1], EXPOSURE_POINTS + 1).astype(np.int64)
    worth = np.concatenate(([result.capital], equity))[np.searchsorted(ts_ns, edges[1:], side="right")]
    columns: Columns = {"time": milliseconds(edges[1:])}
    for currency in sorted(legs, key=lambda name: (name == result.account_currency, name)):
        times = np.concatenate([part[0] for part in legs[currency]])
        changes = np.concatenate([part[1] for part in legs[currency]])
        order = np.argsort(times, kind="stable")
        moments, levels = times[order], np.cumsum(changes[order])
        last_of_moment = np.append(np.flatnonzero(np.diff(moments)), len(moments) - 1)
        extremes = _bucket_extremes(moments[last_of_moment], levels[last_of_moment], edges)
        columns[currency] = rounded(np.where(worth > 0, extremes / np.where(worth > 0, worth, 1.0), np.nan), 3)
    return columns


def _currency_legs(result: "BacktestResult", trades: Mapping[str, Array]) -> dict[str, list[tuple[Array, Array]]]:
    """Return per currency the times and signed changes of exposure, account currency, at entries and exits."""
    legs: dict[str, list[tuple[Array, Array]]] = {}
    for symbol in sorted({str(name) for name in trades["symbol"]}):
        chosen = trades["symbol"] == symbol
        base, quote = (symbol[:3], symbol[3:]) if len(symbol) == 6 and symbol.isalpha() else (symbol, "")
        value = trades["side"][chosen] * _notional(result, trades, chosen, base=base, quote=quote)
        times = np.concatenate((trades["entry_ns"][chosen], trades["exit_ns"][chosen]))
        changes = np.concatenate((value, -value))
        legs.setdefault(base, []).append((times, changes))
        if quote:
            legs.setdefault(quote, []).append((times, -changes))
    return legs


def _notional(result: "BacktestResult", trades: Mapping[str, Array], chosen: Array, *, base: str, quote: str) -> Array:
    """Return the size of trades in account currency at entry.

    A cross needs a rate that trades do not carry; it is read off their own profit: gross over price move and units.
    """
    units, price = trades["units"][chosen], trades["entry_price"][chosen]
    if quote == result.account_currency or not quote:
        return np.asarray(units * price)
    if base == result.account_currency:
        return np.asarray(units)
    move = trades["side"][chosen] * (trades["exit_price"][chosen] - price) * units
    usable = np.abs(move) > 1e-9
    rates = trades["gross"][chosen][usable] / move[usable]
    rates = rates[np.isfinite(rates) & (rates > 0)]
    return np.asarray(units * price * (float(np.median(rates)) if len(rates) else 1.0))


def _bucket_extremes(moments: Array, levels: Array, edges: Array) -> Array:
    """Return for each bucket the level furthest from zero, of those held at its start or reached inside it."""
    before = np.searchsorted(moments, edges[:-1], side="right")
    until = np.searchsorted(moments, edges[1:], side="right")
    padded = np.concatenate(([0.0], levels))
    result = np.zeros(len(edges) - 1)
    for bucket, (begin, end) in enumerate(zip(before, until, strict=True)):
        inside = padded[begin : end + 1]
        result[bucket] = inside[np.argmax(np.abs(inside))]
    return result
