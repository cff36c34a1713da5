"""Print what the data commands found: tables to stdout, remarks and progress to stderr."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tradesentry.core.market.bars import BarSeries, TickSeries, utc_text


def say(text: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(text + "\n")


def series_row(series: BarSeries | TickSeries) -> dict[str, Any]:
    """Return the figures of a series that a user wants to see after an import."""
    is_bars = isinstance(series, BarSeries)
    times = series.bars.open_ns if isinstance(series, BarSeries) else series.ts_ns
    return {
        "source": series.source,
        "symbol": series.symbol,
        "timeframe": series.timeframe if isinstance(series, BarSeries) else "TICK",
        "rows": int(times.size),
        "from (UTC)": utc_text(int(times[0])),
        "to (UTC)": utc_text(int(times[-1])),
        "side": series.price_side if isinstance(series, BarSeries) else "bid and ask",
        "clock": str(series.provenance.get("clock", "")),
        "gaps (bars)": series.provenance.get("n_missing", "") if is_bars else "",
        "data": "SYNTHETIC" if series.provenance.get("is_synthetic") else "real",
    }


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows of the same keys: a table on a terminal, tab-separated lines in a pipe; numbers align right."""
    if not rows:
        return
    if not sys.stdout.isatty():
        lines = [list(rows[0]), *[[_text(value) for value in row.values()] for row in rows]]
        sys.stdout.write("".join("\t".join(line) + "\n" for line in lines))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, value in rows[0].items():
        table.add_column(name, justify="right" if _is_number(value) else "left", overflow="fold")
    for row in rows:
        table.add_row(*[f"{value:,}" if isinstance(value, int) else _text(value) for value in row.values()])
    Console().print(table)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and value.rstrip("%").replace(",", "").isdigit())


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total): a bar with the time left on a terminal, a line per tenth elsewhere."""
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=_percent(done, total), total=100)


def _percent(done: int, total: int) -> int:
    return 100 * done // max(total, 1)


def _lines(title: str) -> Callable[[int, int], None]:
    last = [0]

    def report(done: int, total: int) -> None:
        tenth = _percent(done, total) // 10
        if tenth > last[0]:
            last[0] = tenth
            say(f"{title}: {10 * tenth} %")

    return report
