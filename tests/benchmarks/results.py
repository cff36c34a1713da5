"""Turn measurements into a table, a verdict and `docs/benchmarks.md`."""

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from agreement import CAUSES, Agreement
from workloads import WORKLOADS

ROOT: Final = Path(__file__).resolve().parents[2]
OURS: Final = "TradeSentry (full costs)"
"""The row that the goals judge: spread, slippage, swap, commission, margin, limits and full trade records are on."""
BARE: Final = "bare loop"
TITLES: Final = {name: workload.title for name, workload in WORKLOADS.items()} | {
    "latency": "live decision, one closed bar",
    "orders": "order, closed bar to first byte",
    "app": "breakout on M5",
    "scaling": "breakout, a grid on one thread",
    "simulation": "training environment, 256 accounts",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One engine on one workload.

    Args:
        workload: Key of TITLES.
        engine: Name.
        version: Of the engine.
        bars: Bars of one run, all symbols together.
        seconds: Wall time per run.
        n_trades: Closed and open trades.
        net: Profit, account currency; None where the workload has none.
        peak_mb: Most memory of the process, MB.
        cpu_seconds: Processor time per run; above the wall time where an engine uses threads, below on a busy machine.
    """

    workload: str
    engine: str
    version: str
    bars: int
    seconds: list[float]
    n_trades: int | None = None
    net: float | None = None
    cpu_seconds: list[float] | None = None
    peak_mb: float | None = None

    @property
    def median(self) -> float:
        """Median wall time, seconds."""
        return statistics.median(self.seconds)

    @property
    def bars_per_second(self) -> float:
        """Bars of one run over its median time; processor time where it is known, as a busy machine leaves it alone."""
        return self.bars / statistics.median(self.cpu_seconds or self.seconds)


@dataclass(slots=True)
class Results:
    """All rows of one invocation."""

    rows: list[Row] = field(default_factory=list)
    agreements: dict[str, Agreement] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    """Single numbers by name, of workloads that are more than one time."""
    skipped: list[str] = field(default_factory=list)
    """What could not be measured and why."""

    def of(self, workload: str) -> list[Row]:
        """Return the rows of one workload."""
        return [row for row in self.rows if row.workload == workload]

    def row(self, workload: str, engine: str) -> Row | None:
        """Return one row, None when it was not measured."""
        return next((row for row in self.of(workload) if row.engine == engine), None)


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal with what was measured; `measured` None means not measured, which is not a failure."""

    text: str
    measured: float | None
    wanted: float
    is_at_least: bool = True

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met, None when it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.wanted if self.is_at_least else self.measured <= self.wanted


def goals(results: Results) -> list[Goal]:
    """Return every goal of the specification with what was measured."""
    cold, app, latency = results.of("cold"), results.row("app", "TradeSentry"), results.row("latency", "TradeSentry")
    sweep = results.row("w2", OURS)
    ours_cold = next((row for row in cold if row.engine == "TradeSentry"), None)
    found = [
        Goal("W1: times the fastest peer", _ratio(results, "w1"), 4.0),
        Goal("W1: times nautilus_trader", _ratio(results, "w1", "nautilus_trader"), 1_000.0),
        Goal("W2: times the fastest peer", _ratio(results, "w2"), 4.0),
        Goal("W2: memory, MB", sweep.peak_mb if sweep else None, 400.0, is_at_least=False),
        Goal("W3: times the fastest peer", _ratio(results, "w3"), 8.0),
        Goal("cold start, seconds", ours_cold.median if ours_cold else None, 1.0, is_at_least=False),
        Goal("breakout, million bars/s", app.bars_per_second / 1e6 if app else None, 3.0),
        Goal("live decision, µs", latency.median * 1e6 if latency else None, 30.0, is_at_least=False),
    ]
    told = results.figures.get
    found += [
        Goal("order: bar closed to first byte, median ms", told("to_wire_p50_ms"), 8.0, is_at_least=False),
        Goal("order: the same, 99th percentile", told("to_wire_p99_ms"), 40.0, is_at_least=False),
        Goal("order: first byte to journaled, median ms", told("to_journal_p50_ms"), 15.0, is_at_least=False),
        Goal("order: the same, 99th percentile", told("to_journal_p99_ms"), 80.0, is_at_least=False),
        Goal("events journaled per second", told("ingest_per_second"), 2_000.0),
        Goal("time is linear in bars, R²", told("bars_r2"), 0.99),
        Goal("time is linear in variants, R²", told("variants_r2"), 0.99),
        Goal("two threads: times one", told("threads_times"), 1.8),
        Goal("Ray on one machine: share of the processors used", told("ray_efficiency"), 0.85),
        Goal("environment: times a tidy NumPy one", told("environment_times_numpy"), 6.0),
        Goal("environment: times gym-anytrading", told("environment_times_gym-anytrading"), 7.0),
    ]
    for peer, agreement in results.agreements.items():
        unexplained = float(agreement.causes["unexplained"])
        found.append(Goal(f"trades that differ from {peer} unexplained", unexplained, 0.0, is_at_least=False))
    return found


def _ratio(results: Results, workload: str, engine: str | None = None) -> float | None:
    """Return how many times faster we are than `engine`, or than the fastest peer."""
    ours = results.row(workload, OURS)
    peers = [row for row in results.of(workload) if not row.engine.startswith(("TradeSentry", BARE))]
    if engine is not None:
        peers = [row for row in peers if row.engine == engine]
    if ours is None or not peers:
        return None
    return ours.bars_per_second / max(row.bars_per_second for row in peers)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], n_left: int = 1) -> list[str]:
    """Return an aligned table; the first `n_left` columns align left, the others right."""
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]
    rule = [("-" * w if i < n_left else "-" * (w - 1) + ":") for i, w in enumerate(widths)]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i < n_left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    return [line(head), line(rule), *(line(row) for row in rows)]


def _time(seconds: float) -> str:
    factor, unit = (1.0, "s") if seconds >= 0.1 else (1e3, "ms") if seconds >= 1e-3 else (1e6, "µs")
    return f"{seconds * factor:.3g} {unit}"


def timing_table(results: Results) -> list[str]:
    """Return the table of times, fastest engine first within a workload."""
    head = (
        "workload",
        "engine",
        "version",
        "bars",
        "median",
        "min .. max",
        "cpu",
        "bars/s",
        "ours is",
        "trades",
        "net",
    )
    body = []
    for workload in TITLES:
        ours = results.row(workload, OURS) or results.row(workload, "TradeSentry")
        for row in sorted(results.of(workload), key=lambda r: -r.bars_per_second):
            ratio = "" if ours is None or row is ours else f"{ours.bars_per_second / row.bars_per_second:,.2f}x"
            spread = f"{_time(min(row.seconds))} .. {_time(max(row.seconds))}"
            cells = (TITLES[workload], row.engine, row.version, f"{row.bars:,}", _time(row.median), spread)
            cpu = "" if row.cpu_seconds is None else _time(statistics.median(row.cpu_seconds))
            net = "" if row.net is None else f"{row.net:,.2f}"
            trades = "" if row.n_trades is None else f"{row.n_trades:,}"
            body.append((*cells, cpu, f"{row.bars_per_second:,.0f}", ratio, trades, net))
    return markdown(head, body, n_left=3)


def agreement_table(results: Results) -> list[str]:
    """Return the table of equal trades and of differences by cause."""
    body = []
    for peer, found in results.agreements.items():
        body.append((peer, "ours / theirs", f"{found.n_ours:,} / {found.n_theirs:,}"))
        body.append((peer, "equal", f"{found.n_equal:,}"))
        for cause, meaning in CAUSES.items():
            if found.causes[cause]:
                body.append((peer, f"{cause}: {meaning}", f"{found.causes[cause]:,}"))
    return markdown(("peer", "W1 trades", "count"), body, n_left=2)


def goal_table(results: Results) -> list[str]:
    """Return the table of goals."""
    words = {True: "met", False: "missed", None: "not measured"}
    body = []
    for goal in goals(results):
        measured = "" if goal.measured is None else f"{goal.measured:,.2f}"
        wanted = f"{'>=' if goal.is_at_least else '<='} {goal.wanted:,g}"
        body.append((goal.text, wanted, measured, words[goal.is_met]))
    return markdown(("goal", "wanted", "measured", "verdict"), body)


def machine() -> dict[str, str]:
    """Return what the figures depend on: processor, memory, versions, commit."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    return {
        "processor": f"{processor}, {os.cpu_count()} logical cores; every engine uses one",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "load": f"{os.getloadavg()[0]:.1f} processes ready on average when the table was made",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy", "llvmlite")),
        "commit": commit(),
    }


def commit() -> str:
    """Return the short commit of the checkout, marked when the package differs from it."""

    def git(*args: str) -> str:
        return subprocess.run(
            ("git", "-C", str(ROOT), *args), capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = git("status", "--porcelain", "--", "tradesentry", "tests/benchmarks")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with local changes" if changed else "")


def document(results: Results) -> str:
    """Return the text of docs/benchmarks.md."""
    head = Path(__file__).with_name("benchmarks_head.md").read_text(encoding="utf-8").rstrip()
    facts = [f"- {name}: {value}" for name, value in machine().items()]
    skipped = [f"- {text}" for text in results.skipped] or ["- nothing"]
    parts: list[list[str]] = [
        [head],
        ["## Goals"],
        goal_table(results),
        ["## Times"],
        timing_table(results),
        ["## Do the engines agree?"],
        [
            "Our W1 trades against each peer's under matching rules, matched by the bar that decided them.",
            "A difference counts under a cause only when the bars prove it.",
        ],
        agreement_table(results),
        ["## Machine"],
        facts,
        ["## Not measured"],
        skipped,
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def as_json(results: Results) -> dict[str, Any]:
    """Return everything measured, for machines."""
    return {
        "machine": machine(),
        "rows": [asdict(row) | {"median": row.median, "bars_per_second": row.bars_per_second} for row in results.rows],
        "agreements": {
            peer: {"ours": a.n_ours, "theirs": a.n_theirs, "equal": a.n_equal, "causes": dict(a.causes)}
            for peer, a in results.agreements.items()
        },
        "goals": [asdict(goal) | {"is_met": goal.is_met} for goal in goals(results)],
        "skipped": results.skipped,
    }
