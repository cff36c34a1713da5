"""How fast an app plays bars, with its shipped configuration, on bars made from the shared M1 series.

`python apps.py` measures breakout on M5, as `make bench` does; `python apps.py smgrid M15` another app or timeframe.
"""

import json
import sys
import time

from workloads import MINUTE_NS, Bars, eurusd_m1

import tradesentry
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.runner import new_arena
from tradesentry.core.domain.records import BAR
from tradesentry.core.market.bars import BarSeries
from tradesentry.core.utils.kernel import new_records

N_BARS = 200_000
"""M5 bars, 2.7 years."""
REPEATS = 5


def to_bars(bars: Bars, minutes: int) -> BarSeries:
    """Return longer bars; the weeks of the series hold whole multiples of five and fifteen minutes."""
    rows = bars[: len(bars) // minutes * minutes].reshape(-1, minutes)
    records = new_records(len(rows), BAR)
    records["open_ns"], records["open"] = rows["open_ns"][:, 0], rows["open"][:, 0]
    records["close_ns"], records["close"] = rows["open_ns"][:, -1] + MINUTE_NS, rows["close"][:, -1]
    records["high"], records["low"] = rows["high"].max(axis=1), rows["low"].min(axis=1)
    records["volume"] = rows["volume"].sum(axis=1)
    return BarSeries(records, "EURUSD", "synthetic", f"M{minutes}", "bid", {"is_synthetic": True})


def main() -> None:
    """Print the times as one JSON line."""
    name, timeframe = (sys.argv[1:] + ["breakout", "M5"][len(sys.argv) - 1 :])[:2]
    series = to_bars(eurusd_m1(5 * N_BARS), int(timeframe.removeprefix("M")))
    # An account that is halted halfway would look fast.
    settings = RunSettings(limits="off" if len(sys.argv) > 1 else "default")
    run = resolve_run(name, bars=[series], config={"timeframe": timeframe}, settings=settings)
    new_arena(run).run()
    seconds = []
    for _ in range(REPEATS):
        arena = new_arena(run)
        started = time.perf_counter()
        arena.run()
        seconds.append(time.perf_counter() - started)
    answer = {"engine": "TradeSentry", "version": tradesentry.__version__, "bars": len(series.bars), "seconds": seconds}
    sys.stdout.write(json.dumps(answer | {"n_trades": len(arena.trade_rows)}) + "\n")


if __name__ == "__main__":
    main()
