"""A hand-written loop for this one task: no account, no costs but the commission, no records but the trades.

Not an engine; the upper bound of what any engine can reach, and an independent statement of the rules of the work that
our trades are compared with. Plain Python compiles it as it stands.
"""

import functools
from typing import Any

import numba
import numpy as np
from workloads import (
    COMMISSION_FRACTION,
    FAST_BARS,
    MINUTE_NS,
    PIP,
    SLOW_BARS,
    STOP_PIPS,
    TARGET_PIPS,
    TICK,
    UNITS,
    Bars,
    read_bars,
)

from peers.protocol import Describe, Job, Outcome, Work, new_trades, serve

STOP = STOP_PIPS * PIP
TARGET = TARGET_PIPS * PIP
MAX_DRIFT = 0.5 * STOP
TOUCH = 1e-3 * TICK
"""A level closer to the extreme of a bar than this is touched."""


def simulate(bars: Bars, trades: np.ndarray[Any, Any]) -> tuple[int, float]:  # noqa: PLR0912
    """Play the work on one series; return (number of trades, net profit).

    Args:
        bars: BAR_FIELDS.
        trades: TRADE_FIELDS with room for every cross.
    """
    fast_sum = slow_sum = entry = stop = target = net = 0.0
    side = wanted = last_side = n = signal = 0
    for i in range(len(bars)):
        bar = bars[i]
        level = 0.0
        if wanted != 0:
            if side != 0:
                level = bar.open
        elif side != 0 and (side * (bar.open - stop) <= 0.0 or side * (bar.open - target) >= 0.0):
            level = bar.open
        if level > 0.0:
            net += close_trade(trades[n], i, level, entry, side)
            n += 1
            side = 0
        is_new = False
        if wanted != 0:
            is_gap = bar.open_ns - bars[i - 1].open_ns > MINUTE_NS
            close = bars[i - 1].close
            if not is_gap and abs(bar.open - close) <= MAX_DRIFT:
                side, entry, signal, is_new = wanted, bar.open, i - 1, True
                stop, target = close - side * STOP, close + side * TARGET
                trades[n].signal_bar = signal
            wanted = 0
        if side != 0:
            worst, best = (bar.low, bar.high) if side > 0 else (bar.high, bar.low)
            level = 0.0
            if side * (worst - stop) <= TOUCH:
                level = stop
            elif not is_new and side * (best - target) >= -TOUCH:
                level = target
            if level > 0.0:
                net += close_trade(trades[n], i, level, entry, side)
                n += 1
                side = 0
        fast_sum += bar.close
        slow_sum += bar.close
        if i >= FAST_BARS:
            fast_sum -= bars[i - FAST_BARS].close
        if i >= SLOW_BARS:
            slow_sum -= bars[i - SLOW_BARS].close
        if i >= SLOW_BARS - 1:
            is_above = 1 if SLOW_BARS * fast_sum > FAST_BARS * slow_sum else -1
            if last_side not in (0, is_above):
                wanted = is_above
            last_side = is_above
    if side != 0:
        last = len(bars) - 1
        net += close_trade(trades[n], last, bars[last].close, entry, side)
        trades[n].is_open = True
        n += 1
    return n, net


def close_trade(trade: Any, exit_bar: int, exit_price: float, entry: float, side: int) -> float:
    """Fill the record of a closed trade and return its net profit."""
    net = UNITS * (side * (exit_price - entry) - COMMISSION_FRACTION * (entry + exit_price))
    trade.exit_bar = exit_bar
    trade.side = side
    trade.entry_price = entry
    trade.exit_price = exit_price
    trade.net = net
    return net


def compile_loop() -> Any:
    """Return `simulate` and what it calls as machine code."""
    globals()["close_trade"] = numba.njit(close_trade)
    return numba.njit(simulate)


def back_test(series: dict[str, Bars], loop: Any) -> tuple[np.ndarray[Any, Any], float]:
    """Return all trades and the profit, symbol after symbol."""
    parts, total = [], 0.0
    for bars in series.values():
        trades = new_trades(len(bars) // 10)
        n, net = loop(bars, trades)
        parts.append(trades[:n])
        total += net
    return np.concatenate(parts), total


def prepare(job: Job) -> tuple[Work, Describe]:
    """Return one back-test on the bars of `job`."""
    series = {name: bars[: job.n_bars] for name, bars in read_bars(job.data, job.n_symbols, job.n_bars_stored).items()}
    return functools.partial(back_test, series, compile_loop()), lambda result: Outcome(*result)


if __name__ == "__main__":
    serve("bare loop", lambda: f"numba {numba.__version__}", prepare)
