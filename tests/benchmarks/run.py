"""Measure TradeSentry and its peers on the same work and say whether the goals of the specification are met.

Each engine runs in a process of its own, peers under the interpreter of their own environment, one after the other.
Progress goes to stderr, tables to stdout. Exit code 1 when a goal is missed, unless `--no-gate`.

    python tests/benchmarks/run.py --peers-python .bench-venv/bin/python
    BENCH=w1,cold python tests/benchmarks/run.py --no-gate
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from agreement import compare
from results import ROOT, Results, Row, agreement_table, as_json, document, goal_table, goals, timing_table
from workloads import WORKLOADS, read_bars, write_bars

HERE: Final = Path(__file__).resolve().parent
ALL: Final = ("w1", "w2", "w3", "cold", "agreement", "latency", "app", "orders", "scaling", "simulation")
DOCUMENTED: Final = {"w1", "w2", "w3", "cold", "agreement"}
"""docs/benchmarks.md is written only when all of these were measured, so that a partial run never thins it out."""
PEERS_PYTHON: Final = ROOT / ".bench-venv" / "bin" / "python"
TIMEOUT_SECONDS: Final = 1_800
ONE_THREAD: Final = dict.fromkeys(
    ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)


@dataclass(frozen=True, slots=True)
class Engine:
    """How to run one engine.

    Args:
        name: As the adapter reports it.
        module: Module and arguments.
        is_peer: Runs under the peers' interpreter.
        bars: Bars per symbol and workload; a workload that is missing is not run.
        repeats: Timed runs.
    """

    name: str
    module: tuple[str, ...]
    is_peer: bool
    bars: dict[str, int]
    repeats: int = 5


WHOLE: Final = {name: workload.n_bars for name, workload in WORKLOADS.items()}
WARM: Final = {name: WHOLE[name] for name in ("w1", "w2", "w3")}
SINGLE: Final = {name: n_bars for name, n_bars in WHOLE.items() if name != "w2"}
"""Without the sweep, for engines that take minutes for one back-test or know one only."""
COMPARED: Final = {"agreement": 300_000}
SLOW: Final = 3
"""Timed runs of engines that need seconds to minutes for one."""
ENGINES: Final = (
    Engine("TradeSentry", ("ours", "commission"), False, WHOLE | COMPARED),
    Engine("TradeSentry (full costs)", ("ours", "full"), False, WARM),
    Engine("vectorbt (Rust)", ("peers.vectorbt_engine", "rust"), True, WHOLE | COMPARED),
    Engine("vectorbt (Numba)", ("peers.vectorbt_engine", "numba"), True, WHOLE),
    Engine("bare loop", ("peers.bare_loop",), True, {"w1": WHOLE["w1"], "w3": WHOLE["w3"]} | COMPARED),
    Engine("backtesting.py", ("peers.backtesting_engine",), True, COMPARED | {"w1": 100_000, "cold": 100_000}, SLOW),
    Engine("nautilus_trader", ("peers.nautilus_engine",), True, SINGLE | {"w1": 50_000, "w3": 2_500}, SLOW),
)


def say(text: str) -> None:
    """Write one line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class Bench:
    """One invocation: interpreters, data folder and what was measured so far.

    Args:
        peers_python: Interpreter of the peers' environment, None to measure our side only.
        data: Folder for the shared series.
        repeats: Overrides the timed runs of every engine.
    """

    def __init__(self, peers_python: Path | None, data: Path, repeats: int | None) -> None:
        self.peers_python = peers_python
        self.data = data
        self.repeats = repeats
        self.results = Results()

    def engines(self, workload: str) -> list[Engine]:
        """Return the engines that take part in a workload and can be run."""
        able = [engine for engine in ENGINES if workload in engine.bars]
        return [engine for engine in able if not engine.is_peer or self.peers_python]

    def command(self, engine: Engine, workload: str, *options: str) -> list[str]:
        """Return the command line of one engine on one workload."""
        base = WORKLOADS["w1" if workload == "agreement" else workload]
        python = str(self.peers_python) if engine.is_peer else sys.executable
        return [
            *(python, "-m", *engine.module, "--workload", workload, "--data", str(self.data)),
            *("--symbols", str(base.n_symbols), "--bars-stored", str(base.n_bars)),
            *("--bars", str(engine.bars[workload]), "--variants", str(base.n_variants), *options),
        ]

    def ask(self, engine: Engine, workload: str, *options: str) -> dict[str, Any] | None:
        """Run one engine and return its answer, or None and a line about the failure."""
        environment = os.environ | ONE_THREAD
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # every engine starts from the byte code an installation has
        done = subprocess.run(
            self.command(engine, workload, *options),
            cwd=HERE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            self.results.skipped.append(f"{workload} with {engine.name}: {lines[-1][:200]}")
            say(f"  {engine.name}: failed, {lines[-1][:200]}")
            return None
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer

    def warm(self, workload: str) -> None:
        """Measure engines inside their process, after an untimed run."""
        for engine in self.engines(workload):
            repeats = str(self.repeats or engine.repeats)
            answer = self.ask(engine, workload, "--repeats", repeats)
            if answer is not None:
                self.add(workload, answer, answer["seconds"])

    def cold(self) -> None:
        """Measure whole processes from outside; one run before fills every cache."""
        for engine in self.engines("cold"):
            seconds = []
            answer = None
            for _ in range(1 + (self.repeats or engine.repeats)):
                started = time.perf_counter()
                answer = self.ask(engine, "cold", "--repeats", "1", "--warm-up", "0")
                seconds.append(time.perf_counter() - started)
                if answer is None:
                    break
            if answer is not None:
                self.add("cold", answer, seconds[1:])

    def agree(self) -> None:
        """Compare our trades of W1 with those of every engine that keeps to the same rules."""
        base = WORKLOADS["w1"]
        bars = read_bars(self.data, 1, base.n_bars)["EURUSD"][: COMPARED["agreement"]]
        trades = {}
        with tempfile.TemporaryDirectory() as folder:
            for engine in self.engines("agreement"):
                path = Path(folder) / "trades.npy"
                if self.ask(engine, "agreement", "--repeats", "1", "--warm-up", "0", "--trades", str(path)) is not None:
                    trades[engine.name] = np.load(path)
        ours = trades.pop("TradeSentry", None)
        if ours is None:
            return
        for name, theirs in trades.items():
            found = self.results.agreements[name] = compare(ours, theirs, bars)
            say(f"  {name}: {found.n_equal:,} of {found.n_theirs:,} equal, {dict(found.causes)}")
            for example in found.examples:
                say(f"    unexplained: {example}")

    def ours_only(self, workload: str) -> None:
        """Measure what peers have no counterpart for."""
        command = [sys.executable, "-m", {"app": "apps"}.get(workload, workload)]
        environment = os.environ | ONE_THREAD
        done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            self.results.skipped.append(f"{workload}: {lines[-1][:200]}")
            say(f"  failed, {lines[-1][:200]}")
            return
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        self.results.figures |= answer.get("figures", {})
        self.add(workload, answer, answer["seconds"])

    def add(self, workload: str, answer: dict[str, Any], seconds: list[float]) -> None:
        """Keep one measurement."""
        row = Row(
            workload,
            answer["engine"],
            answer["version"],
            answer["bars"],
            seconds,
            answer.get("n_trades"),
            answer.get("net"),
            answer.get("cpu_seconds") if workload != "cold" else None,
            answer.get("peak_mb"),
        )
        self.results.rows.append(row)
        say(f"  {row.engine}: {row.bars:,} bars, median {row.median:.4g} s, {row.bars_per_second:,.0f} bars/s")

    def measure(self, workload: str) -> None:
        """Measure one workload."""
        say(f"{workload}")
        if workload in WORKLOADS:
            write_bars(self.data, WORKLOADS[workload].n_symbols, WORKLOADS[workload].n_bars)
        if workload == "agreement":
            write_bars(self.data, 1, WORKLOADS["w1"].n_bars)
            self.agree()
        elif workload == "cold":
            self.cold()
        elif workload in WORKLOADS:
            self.warm(workload)
        else:
            self.ours_only(workload)


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = [name for name in os.environ.get("BENCH", "").replace(",", " ").split() if name] or list(ALL)
    parser.add_argument("workloads", nargs="*", metavar="|".join(ALL), help="default: $BENCH, else all")
    installed = PEERS_PYTHON if PEERS_PYTHON.exists() else None
    parser.add_argument(
        "--peers-python",
        type=Path,
        default=installed,
        help="interpreter with requirements-peers.txt installed; default .bench-venv where `make bench` made it",
    )
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "tradesentry-bench")
    parser.add_argument("--repeats", type=int, help="timed runs per engine; default 5, 3 for slow peers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--no-gate", action="store_true", help="exit with 0 even when a goal is missed")
    args = parser.parse_args()
    selected = args.workloads or chosen
    unknown = sorted(set(selected) - set(ALL))
    if unknown:
        parser.error(f"unknown workload {', '.join(unknown)}; known: {', '.join(ALL)}")
    if args.peers_python and not args.peers_python.exists():
        parser.error(f"{args.peers_python} does not exist; create it with `make bench`, or leave out --peers-python")

    # Not `resolve`: it would follow the link of a virtual environment to the bare interpreter.
    peers = Path.cwd() / args.peers_python if args.peers_python else None
    bench = Bench(peers, args.data.resolve(), args.repeats)
    for workload in selected:
        bench.measure(workload)
    return report(bench.results, args, is_complete=bool(peers) and set(selected) >= DOCUMENTED)


def report(results: Results, args: argparse.Namespace, *, is_complete: bool) -> int:
    """Print the tables, write the files and return the exit code."""
    tables = [timing_table(results), agreement_table(results), goal_table(results)]
    sys.stdout.write("\n\n".join("\n".join(table) for table in tables if len(table) > 2) + "\n")
    for text in results.skipped:
        say(f"not measured: {text}")
    if args.json:
        args.json.write_text(json.dumps(as_json(results), indent=2) + "\n", encoding="utf-8")
    if is_complete:
        args.docs.parent.mkdir(parents=True, exist_ok=True)
        args.docs.write_text(document(results), encoding="utf-8")
        say(f"wrote {args.docs}")
    else:
        say("docs/benchmarks.md is kept: it needs w1, w2, w3, cold, agreement and --peers-python")
    is_missed = any(goal.is_met is False for goal in goals(results))
    return 1 if is_missed and not args.no_gate else 0


if __name__ == "__main__":
    sys.exit(main())
