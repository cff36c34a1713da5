"""Does time grow with the work and no faster, and do more processors help?

Time against bars and against variants is fitted with a straight line; the figure is the R² of the fit. The same jobs
then run on one thread, on one thread per processor, and on a Ray cluster of this machine where Ray is installed. Chunks
are of the size that the product hands out, about a second. A machine that is busy, or that has one processor, cannot
answer the second question: each figure is the best of several runs.
"""

import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from ours import COSTS, back_test, new_markets, sweep, to_bars
from workloads import read_bars, write_bars

import tradesentry
from tradesentry.backtest.executor import Job, chunks_of, new_job, new_runner
from tradesentry.backtest.resolve import RunSettings, resolve_run
from tradesentry.backtest.studies.stage import WHOLE, Stages
from tradesentry.backtest.studies.variants import grid_variants

BARS: Final = (250_000, 500_000, 750_000, 1_000_000)
VARIANTS: Final = (25, 50, 75, 100)
VARIANT_BARS: Final = 100_000
REPEATS: Final = 5
WORKERS: Final = 2
GRID: Final = {"or_minutes": (15, 30, 45, 60), "target": (1.0, 1.5, 2.0, None), "entry_mode": ("close", "stop")}
N_ROUNDS: Final = 6
"""How often the grid is played: some seconds of work for each of the workers."""


def best(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Return the shortest of several times, seconds."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def r_squared(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Return how much of the times a straight line explains."""
    slope, start = np.polyfit(sizes, seconds, 1)
    left = np.array(seconds) - (slope * np.array(sizes) + start)
    return float(1.0 - left.var() / np.array(seconds).var())


def linear(data: Path) -> dict[str, float]:
    """Return R² of time over bars and over variants."""
    write_bars(data, 1, BARS[-1])
    stored = {symbol: to_bars(bars) for symbol, bars in read_bars(data, 1, BARS[-1]).items()}

    def part(n_bars: int) -> dict[str, Any]:
        return {symbol: bars[:n_bars] for symbol, bars in stored.items()}

    markets = new_markets(stored, COSTS["full"])
    back_test(part(VARIANT_BARS), markets)
    by_bars = [best(lambda n=n: back_test(part(n), markets)) for n in BARS]  # type: ignore[misc]
    few = part(VARIANT_BARS)
    by_variants = [best(lambda n=n: sweep(few, markets, n)) for n in VARIANTS]  # type: ignore[misc]
    return {"bars_r2": r_squared(BARS, by_bars), "variants_r2": r_squared(VARIANTS, by_variants)}


def jobs() -> tuple[Stages, list[Job]]:
    """Return plays of breakout on the embedded market, some seconds of work."""
    run = resolve_run("breakout", config={"symbols": ["EURUSD"]}, settings=RunSettings(limits="off"))
    stages, found = Stages("breakout", run), []
    variants = grid_variants("breakout", run.config, GRID)[0]
    for variant, _ in product(variants, range(N_ROUNDS)):
        key, stage = stages.of(variant.config)
        found.append(new_job(key, stage, variant, WHOLE))
    return stages, found


def timed(name: str, workers: int, stages: Stages, work: list[Job]) -> float:
    """Return the best time of an executor, seconds, after a run that fills every cache."""
    with new_runner(name, workers=workers) as runner:

        def play() -> None:
            for _ in runner.run(stages.all(), chunks_of(work)):
                pass

        play()
        return best(play, 3)


def main() -> None:
    """Print the figures as one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        figures = linear(Path(folder))
    stages, work = jobs()
    alone = timed("local", 1, stages, work)
    figures["threads_times"] = alone / timed("local", WORKERS, stages, work)
    if importlib.util.find_spec("ray") is not None:
        with new_runner("ray") as runner:
            n_nodes = runner.workers
        figures["ray_efficiency"] = alone / (n_nodes * timed("ray", n_nodes, stages, work))
    n_bars = sum(job.n_bars for job in work)
    answer = {"engine": "TradeSentry", "version": tradesentry.__version__, "bars": n_bars, "seconds": [alone]}
    sys.stdout.write(json.dumps(answer | {"figures": figures}) + "\n")


if __name__ == "__main__":
    main()
