"""vectorbt 1.x (`Portfolio.from_signals`), with its Numba or its Rust kernels.

Arrays without an index go in, and stops as one fraction of the entry price (20 pips at 1.10): vectorbt's fastest way.
For the comparison of trades the fractions vary by bar, so that stops lie 20 pips from the deciding close, as elsewhere.
vectorbt gives one order per bar: a stop and a new signal on one bar exclude each other (the stop wins), and a stop is
first looked at on the bar after the entry.
"""

import functools
import sys
from typing import Any

import numpy as np
import vectorbt as vbt
from vectorbt.generic import dispatch as generic
from vectorbt.portfolio.enums import OppositeEntryMode, StopEntryPrice, StopExitPrice, TradeStatus
from workloads import (
    CAPITAL,
    COMMISSION_FRACTION,
    FAST_BARS,
    PIP,
    SLOW_BARS,
    STOP_PIPS,
    TARGET_PIPS,
    UNITS,
    VARIANTS,
    read_bars,
)

from peers.protocol import Describe, Job, Outcome, Work, new_trades, serve

Array = np.ndarray[Any, Any]
COLUMNS = 10
"""Variants simulated at a time: of 1, 4, 10, 20 and 100 the fastest here."""


def back_test(prices: dict[str, Array], *, kernels: str, n_symbols: int, is_exact: bool) -> Any:
    """Return the portfolio and its trade records.

    Args:
        prices: open, high, low, close, shape (n_bars, n_symbols).
        kernels: "numba" or "rust".
        n_symbols: More than one share cash.
        is_exact: Measure stop and target from the deciding close instead of as a fixed fraction of the entry.
    """
    close, opens = prices["close"], prices["open"]
    fast = generic.rolling_mean(close, FAST_BARS, minp=None, engine=kernels)
    slow = generic.rolling_mean(close, SLOW_BARS, minp=None, engine=kernels)
    is_above = fast > slow
    buys = np.zeros(close.shape, np.bool_)
    sells = np.zeros(close.shape, np.bool_)
    # The first bar with both averages has no predecessor to cross from; a signal is used one bar later.
    buys[SLOW_BARS + 1 :] = is_above[SLOW_BARS:-1] & ~is_above[SLOW_BARS - 1 : -2]
    sells[SLOW_BARS + 1 :] = ~is_above[SLOW_BARS:-1] & is_above[SLOW_BARS - 1 : -2]
    stop, target = _distances(close, opens, buys) if is_exact else (STOP_PIPS * PIP / 1.1, TARGET_PIPS * PIP / 1.1)
    grouping = {"group_by": True, "cash_sharing": True} if n_symbols > 1 else {}
    portfolio = _simulate(prices, buys, sells, stop, target, kernels, grouping)
    return portfolio, portfolio.exit_trades.values


def _simulate(
    prices: dict[str, Array], buys: Array, sells: Array, stop: Any, target: Any, kernels: str, grouping: dict[str, Any]
) -> Any:
    return vbt.Portfolio.from_signals(
        prices["close"],
        entries=buys,
        short_entries=sells,
        open=prices["open"],
        high=prices["high"],
        low=prices["low"],
        price=prices["open"],
        size=UNITS,
        fees=COMMISSION_FRACTION,
        sl_stop=stop,
        tp_stop=target,
        stop_entry_price=StopEntryPrice.FillPrice,
        stop_exit_price=StopExitPrice.StopLimit,
        upon_opposite_entry=OppositeEntryMode.Reverse,
        init_cash=CAPITAL,
        max_orders=buys.size // 10,
        freq="1min",
        engine=kernels,
        **grouping,
    )


def _distances(close: Array, opens: Array, buys: Array) -> tuple[Array, Array]:
    """Return stop and target as fractions of the entry price, so that they lie 20 and 40 pips from the deciding close.

    A billionth of a price unit widens what touches the stop: vectorbt multiplies, which may miss it by the last bit.
    """
    last_close = np.empty_like(close)
    last_close[0], last_close[1:] = close[0], close[:-1]
    moved = np.where(buys, opens - last_close, last_close - opens)
    stop = (STOP_PIPS * PIP + moved - 1e-9) / opens
    target = (TARGET_PIPS * PIP - moved) / opens
    return np.maximum(stop, 0.0), np.maximum(target, 0.0)


def sweep(prices: dict[str, Array], *, kernels: str, n_variants: int) -> Outcome:
    """Return the trades of many variants: columns of signals on the same prices, a hundred at a time."""
    close = prices["close"]
    lengths = VARIANTS[:n_variants]
    means = {n: generic.rolling_mean(close, n, minp=None, engine=kernels)[:, 0] for n in {*sum(lengths, ())}}
    nets, total = [], 0.0
    for first in range(0, n_variants, COLUMNS):
        part = lengths[first : first + COLUMNS]
        buys = np.zeros((len(close), len(part)), np.bool_)
        sells = np.zeros((len(close), len(part)), np.bool_)
        for column, (fast, slow) in enumerate(part):
            is_above = means[fast] > means[slow]
            buys[slow + 1 :, column] = is_above[slow:-1] & ~is_above[slow - 1 : -2]
            sells[slow + 1 :, column] = ~is_above[slow:-1] & is_above[slow - 1 : -2]
        portfolio = _simulate(prices, buys, sells, STOP_PIPS * PIP / 1.1, TARGET_PIPS * PIP / 1.1, kernels, {})
        nets.append(portfolio.exit_trades.values["pnl"])
        total += float(np.sum(portfolio.total_profit()))
    trades = new_trades(sum(map(len, nets)))
    trades["net"] = np.concatenate(nets)
    return Outcome(trades, total)


def describe(result: Any) -> Outcome:
    """Return vectorbt's exit trades in the common form."""
    portfolio, records = result
    trades = new_trades(len(records))
    trades["signal_bar"] = records["entry_idx"] - 1
    trades["exit_bar"] = records["exit_idx"]
    trades["side"] = np.where(records["direction"] == 0, 1, -1)
    trades["is_open"] = records["status"] == TradeStatus.Open
    for name in ("entry_price", "exit_price"):
        trades[name] = records[name]
    trades["net"] = records["pnl"]
    return Outcome(trades, float(np.sum(portfolio.total_profit())))


def prepare(job: Job, *, kernels: str) -> tuple[Work, Describe]:
    """Return one back-test on the bars of `job`."""
    series = read_bars(job.data, job.n_symbols, job.n_bars_stored)
    prices = {
        name: np.ascontiguousarray(np.column_stack([bars[name][: job.n_bars] for bars in series.values()]))
        for name in ("open", "high", "low", "close")
    }
    if job.n_variants > 1:
        return functools.partial(sweep, prices, kernels=kernels, n_variants=job.n_variants), lambda outcome: outcome
    is_exact = job.workload == "agreement"
    return functools.partial(back_test, prices, kernels=kernels, n_symbols=job.n_symbols, is_exact=is_exact), describe


def main() -> None:
    """Serve one of the two engines; the first argument says which."""
    kernels = sys.argv.pop(1)
    serve(
        f"vectorbt ({kernels.capitalize()})", lambda: str(vbt.__version__), functools.partial(prepare, kernels=kernels)
    )


if __name__ == "__main__":
    main()
