"""How long a live decision takes: from a closed bar in memory to vetted intents, called from Python bar by bar.

One `play(1)` of the compiled loop shows the bar to its quote, settles the book, marks the account, asks the strategy,
sizes and vets. That is what a live trader does between the tick that closes a bar and the order it sends.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ours import COSTS, new_arena, new_markets, to_bars
from workloads import read_bars, write_bars

import tradesentry

N_BARS = 20_000
N_WARM = 2_000


def measure(data: Path) -> list[float]:
    """Return the seconds of each decision after the warm-up."""
    write_bars(data, 1, N_BARS)
    series = {symbol: to_bars(bars) for symbol, bars in read_bars(data, 1, N_BARS).items()}
    arena = new_arena(series, new_markets(series, COSTS["full"]))
    arena.play(N_WARM)
    seconds = []
    for _ in range(N_BARS - N_WARM):
        started = time.perf_counter()
        arena.play(1)
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    """Print median, 99th percentile and maximum as one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = np.array(measure(Path(folder)))
    p50, p99, worst = (float(np.percentile(seconds, q)) for q in (50, 99, 100))
    answer = {"engine": "TradeSentry", "version": tradesentry.__version__, "bars": 1, "seconds": [p50], "p99": p99}
    sys.stdout.write(json.dumps(answer | {"worst": worst}) + "\n")


if __name__ == "__main__":
    main()
