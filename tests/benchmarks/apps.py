"""How fast an app plays bars, with its shipped configuration: breakout on M5, resampled from the shared M1 series."""

import json
import sys
import time

from workloads import MINUTE_NS, Bars, eurusd_m1

import tradesentry
from tradesentry.backtest.resolve import resolve_run
from tradesentry.backtest.runner import new_arena
from tradesentry.core.domain.records import BAR
from tradesentry.core.market.bars import BarSeries
from tradesentry.core.utils.kernel import new_records

N_BARS = 200_000
"""M5 bars, 2.7 years."""
FACTOR = 5
REPEATS = 5


def to_m5(bars: Bars) -> BarSeries:
    """Return M5 bars; the weeks of the series hold whole multiples of five minutes."""
    rows = bars.reshape(-1, FACTOR)
    records = new_records(len(rows), BAR)
    records["open_ns"], records["open"] = rows["open_ns"][:, 0], rows["open"][:, 0]
    records["close_ns"], records["close"] = rows["open_ns"][:, -1] + MINUTE_NS, rows["close"][:, -1]
    records["high"], records["low"] = rows["high"].max(axis=1), rows["low"].min(axis=1)
    records["volume"] = rows["volume"].sum(axis=1)
    return BarSeries(records, "EURUSD", "synthetic", "M5", "bid", {"is_synthetic": True})


def main() -> None:
    """Print the times as one JSON line."""
    series = to_m5(eurusd_m1(N_BARS * FACTOR))
    run = resolve_run("breakout", bars=[series], config={"timeframe": "M5"})
    new_arena(run).run()
    seconds = []
    for _ in range(REPEATS):
        arena = new_arena(run)
        started = time.perf_counter()
        arena.run()
        seconds.append(time.perf_counter() - started)
    answer = {"engine": "TradeSentry", "version": tradesentry.__version__, "bars": N_BARS, "seconds": seconds}
    sys.stdout.write(json.dumps(answer | {"n_trades": len(arena.trade_rows)}) + "\n")


if __name__ == "__main__":
    main()
