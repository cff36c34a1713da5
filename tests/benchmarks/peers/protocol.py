"""How an adapter is asked to run and how it answers, so that every engine is timed by the same lines of code.

An adapter gives `prepare(job) -> (work, describe)`. `prepare` loads bars and is never timed; `work()` is one whole
back-test from arrays of prices to closed trades and is all that is timed; `describe(result)` turns what `work`
returned into comparable trades and is never timed. The answer is one JSON line on stdout.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from workloads import TRADE_FIELDS


@dataclass(frozen=True, slots=True)
class Job:
    """What an adapter is asked to do.

    Args:
        workload: "w1", "w2", "w3", "cold" or "agreement".
        data: Folder written by `workloads.write_bars`.
        n_symbols: Series sharing one account.
        n_bars_stored: Bars per series in the files.
        n_bars: Bars per series to use, the first of those stored.
        n_runs: How often `work` will be called, for engines that run once.
        n_variants: Back-tests of `workloads.VARIANTS` that one call of `work` runs.
    """

    workload: str
    data: Path
    n_symbols: int
    n_bars_stored: int
    n_bars: int
    n_runs: int
    n_variants: int = 1


Work = Callable[[], Any]
Describe = Callable[[Any], "Outcome"]
Prepare = Callable[[Job], tuple[Work, Describe]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of one back-test.

    Args:
        trades: TRADE_FIELDS, ordered by symbol, then entry.
        net: Profit after commission, account currency; open trades marked at the last close.
    """

    trades: np.ndarray[Any, Any]
    net: float


def serve(engine: str, version: Callable[[], str], prepare: Prepare) -> None:
    """Run what the command line asks for and print the answer.

    Args:
        engine: Name in the tables.
        version: Returns the version of the engine; called after the work, so that it costs nothing.
        prepare: See the module docstring.
    """
    parser = argparse.ArgumentParser(prog=engine)
    parser.add_argument("--workload", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--symbols", type=int, default=1)
    parser.add_argument("--bars-stored", type=int, required=True)
    parser.add_argument("--bars", type=int, required=True)
    parser.add_argument("--variants", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=1, help="untimed runs before the timed ones")
    parser.add_argument("--trades", type=Path, help="where to save the trades")
    args = parser.parse_args()

    n_runs = args.warm_up + args.repeats
    job = Job(args.workload, args.data, args.symbols, args.bars_stored, args.bars, n_runs, args.variants)
    work, describe = prepare(job)
    for _ in range(args.warm_up):
        work()
    seconds, cpu_seconds = [], []
    for _ in range(args.repeats):
        started, cpu_started = time.perf_counter(), time.process_time()
        result = work()
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - cpu_started)
    outcome = describe(result)
    if args.trades:
        np.save(args.trades, outcome.trades)
    answer = {
        "engine": engine,
        "version": version(),
        "bars": job.n_bars * job.n_symbols * job.n_variants,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "n_trades": len(outcome.trades),
        "net": outcome.net,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(answer) + "\n")


def new_trades(n_trades: int) -> np.ndarray[Any, Any]:
    """Return `n_trades` zeroed rows of TRADE_FIELDS."""
    return np.zeros(n_trades, TRADE_FIELDS)
