"""What a back-test hands back: tables, where they came from, and the way to a folder and to a page.

Separate from the engine that fills it and from the evaluation that reads it, so that both, the command line and the
API agree on one type. Importing this module is cheap: table, chart and file libraries are imported when first used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import polars as pl

Intrabar = Literal["pessimistic", "m1", "tick"]
"""How the path inside a bar was known."""


@dataclass(frozen=True)
class BacktestResult:
    """One finished back-test; money is account currency, times are int64 nanoseconds UTC.

    Frames carry the fields of `core.domain.records` with names instead of codes: `symbol` for the market index,
    `exit_reason`, `code` and `tag` as text, and the times a second time as UTC datetimes.
    """

    app: str
    symbols: tuple[str, ...]
    timeframe: str
    source: str
    is_synthetic: bool
    account_currency: str
    capital: float
    period: tuple[int, int]
    """First and last instant of the tested period."""
    bars: dict[str, np.ndarray[Any, np.dtype[np.void]]]
    """`BAR` records by symbol; empty when the result was loaded from disk."""
    trades: "pl.DataFrame"
    """Fields of `TRADE`, plus `entry_time`, `exit_time`."""
    equity: "pl.DataFrame"
    """Fields of `EQUITY`, plus `time`; one account, ascending."""
    rejects: "pl.DataFrame"
    """Fields of `REJECT`: what was not executed as asked."""
    config: dict[str, Any]
    """Resolved configuration, nested as in YAML."""
    origins: dict[str, Any]
    """Where each value came from, by dotted key: default, file, --set."""
    costs: dict[str, Any]
    """The cost model in words and numbers with units."""
    cost_runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Summaries of the same run at other cost levels: "0x", "1x", "2x"."""
    baselines: list[dict[str, Any]] = field(default_factory=list)
    """What the strategy is compared with, rows of `baselines.BaselineRow`; empty when not asked for."""
    provenance: list[dict[str, Any]] = field(default_factory=list)
    """Per series: source, symbol, timeframe, first, last, bars, checksum, clock, price side, is_synthetic."""
    warnings: list[str] = field(default_factory=list)
    events: "pl.DataFrame | None" = None
    """What the strategy saw, columns of the public events API; `symbol` when there are several markets."""
    decisions: "pl.DataFrame | None" = None
    """What a strategy that votes decided: `symbol`, `close_ns` and its numbers, a row per bar."""
    intrabar: Intrabar = "pessimistic"
    timing: dict[str, Any] = field(default_factory=dict)
    """bars, seconds, bars_per_second; `intents` asked for, where counted."""
    status: dict[str, Any] = field(default_factory=dict)
    """Final trading state of the account: `state` (name of `TradingState`), `since` (ns or None), `reason`."""

    study: dict[str, Any] = field(default_factory=dict)
    """What a study or the study ledger says of this result; a document of `reporting.studies`."""

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Metrics by key, None where undefined; `evaluation.METRICS` holds label, unit and source of each."""
        from tradesentry.backtest.evaluation import summarize

        return summarize(self)

    def report(self, path: str | Path) -> Path:
        """Write the self-contained page of this result and return where it is.

        Args:
            path: A file, or a folder that gets `report.html`.
        """
        from tradesentry.backtest.report import write_report

        return write_report(self, Path(path))

    def save(self, folder: str | Path, *, with_report: bool = True) -> Path:
        """Write the result as a run folder, all of it or nothing, and return the folder.

        Args:
            folder: `runs/<id>`; an earlier save of the same run is replaced, its other files are kept.
            with_report: Also write `report.html`.

        Raises:
            UsageError: The folder holds something that is not a run.
        """
        from tradesentry.backtest.result_files import save_result

        return save_result(self, Path(folder), with_report=with_report)

    def with_cost_runs(self, runs: Mapping[str, "BacktestResult"]) -> "BacktestResult":
        """Return this result with the summaries of the same run at other cost levels.

        Args:
            runs: Result by level, such as `{"0x": …, "2x": …}`; this result is its own "1x" unless given.
        """
        from dataclasses import replace

        summaries = {"1x": self.summary} | {level: run.summary for level, run in runs.items()}
        return replace(self, cost_runs=dict(sorted(summaries.items())))


def load_result(folder: str | Path) -> BacktestResult:
    """Return the result saved in `folder`, without its bars.

    Args:
        folder: A run folder written by `BacktestResult.save`.

    Raises:
        DataError: The folder is not a complete run, or its files cannot be read.
    """
    from tradesentry.backtest.result_files import read_result

    return read_result(Path(folder))
