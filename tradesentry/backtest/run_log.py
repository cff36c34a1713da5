"""Keep the log of one run beside its results: what was resolved, read, warned of, played and found.

The events go through the logger of `core.utils.logger`, masked and timed like all others; `log.jsonl` holds those of
this run alone, one JSON object a line, in the order in which they happened.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.result import BacktestResult
from tradesentry.core.market.bars import utc_text
from tradesentry.core.utils.logger import collect_lines, get_logger

LOG_FILE: Final = "log.jsonl"
LOGGED: Final = (
    "n_trades",
    "mean_r",
    "mean_r_low",
    "mean_r_high",
    "total_return",
    "max_drawdown",
    "sharpe",
    "n_rejects",
)
"""Metrics of the closing event."""

log = get_logger(__name__)


class RunLog:
    """The log of a run in the making.

    Args:
        lines: Where the events arrive, lines of JSON.
    """

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def resolved(self, run: ResolvedRun) -> None:
        """Note what the run is, every series it reads and every warning."""
        data = run.data
        log.info(
            "run_resolved",
            symbols=[s.symbol for s in data.series[: data.n_traded]],
            timeframe=run.config.timeframe,
            source=run.settings.source,
            intrabar=run.config.intrabar,
            costs=run.settings.costs,
            limits=run.settings.limits,
            capital=run.settings.capital,
            currency=run.settings.account_currency,
            changed={key: value for key, value, origin in run.resolved.explain() if origin != "default"},
        )
        for i, series in enumerate(data.series):
            bars = series.bars
            log.info(
                "series_read",
                symbol=series.symbol,
                source=series.source,
                timeframe=series.timeframe,
                bars=len(bars),
                first=utc_text(int(bars["open_ns"][0])) if len(bars) else None,
                last=utc_text(int(bars["close_ns"][-1])) if len(bars) else None,
                checksum=series.checksum,
                is_synthetic=series.is_synthetic,
                is_traded=i < data.n_traded,
            )
        for text in run.warnings:
            log.warning("run_warned", text=text)

    def played(self, result: BacktestResult, *, cost_scale: float) -> None:
        """Note one play and its time."""
        timing = result.timing
        log.info(
            "bars_played",
            cost_scale=cost_scale,
            bars=timing["bars"],
            seconds=round(timing["seconds"], 6),
            trades=result.trades.height,
            rejects=result.rejects.height,
        )

    def step(self, event: str, **fields: Any) -> None:
        """Note something else, a past-tense name with fields."""
        log.info(event, **fields)

    def finished(self, result: BacktestResult) -> None:
        """Note the outcome."""
        log.info("run_finished", state=result.status.get("state"), **{key: result.summary.get(key) for key in LOGGED})

    def write(self, folder: Path) -> Path:
        """Write `log.jsonl` into the folder of the run, whole or not at all, and return where it is."""
        handle, name = tempfile.mkstemp(prefix=f".{LOG_FILE}.", suffix=".partial", dir=folder)
        partial = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in self._lines)
            partial.chmod(0o644)
            partial.replace(folder / LOG_FILE)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return folder / LOG_FILE


@contextmanager
def run_log(run_id: str, app: str) -> Iterator[RunLog]:
    """Collect the events of a run.

    Args:
        run_id: Name of the run's folder.
        app: Strategy.
    """
    with collect_lines("info", run_id=run_id, app=app) as lines:
        yield RunLog(lines)
