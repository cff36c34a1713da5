"""Keep what was decided on every bar: a row per decision, live a file per FX day, of a back-test one table.

A row says what the agents saw (as a hash), what each proposed and how sure it was, the weights, the wish, the target
and the turbulence multiplier. Nothing is logged inside a decision: rows are read off the state afterwards. A log that
cannot be written is reported once and never stops trading.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tradesentry.apps.drlfusion.layout import AGENTS, Rule
from tradesentry.core.utils.logger import get_logger

if TYPE_CHECKING:
    import polars as pl

_log = get_logger(__name__)
FLUSH_ROWS: Final = 24
"""Rows that may wait for the disk: a day of hours."""
HASH_BYTES: Final = 8


def decision_row(params: Any, state: Any, close_ns: int) -> dict[str, Any]:
    """Return the row of the last decision.

    Args:
        params: Record of `layout.PARAMS`.
        state: STATE right after the bar.
        close_ns: Close of the bar.
    """
    last = state.last
    row: dict[str, Any] = {
        "close_ns": int(close_ns),
        "observation": hashlib.blake2b(np.ascontiguousarray(state.obs).tobytes(), digest_size=HASH_BYTES).hexdigest(),
    }
    for name, values in (("p", last.p), ("s", last.s), ("w", last.w)):
        row |= {f"{name}_{agent}": float(value) for agent, value in zip(AGENTS, values, strict=True)}
    return row | {
        "votes": int(last.votes),
        "x": float(last.x),
        "a": float(last.a),
        "held": float(last.held),
        "g": float(last.g),
        "turbulence": float(last.turbulence),
        "rule": Rule(int(params.rule)).name.lower(),
    }


class DecisionLog:
    """The rows of one strategy on one market of a live run.

    Args:
        folder: Of the run; created with the first row.
        symbol: The market.
    """

    def __init__(self, folder: Path, symbol: str) -> None:
        self._folder, self._symbol = folder, symbol
        self._day = -1
        self._rows: dict[int, dict[str, Any]] = {}
        self._n_waiting = 0
        self._is_broken = False

    def add(self, row: Mapping[str, Any], *, fx_day_start_ns: int) -> None:
        """Take a row; the file of its FX day is written when enough wait, and when the next day begins.

        Args:
            row: Of `decision_row`.
            fx_day_start_ns: Start of the FX day of the bar.
        """
        if fx_day_start_ns != self._day:
            self.flush()
            self._day = fx_day_start_ns
            self._rows = self._read()
        self._rows[int(row["close_ns"])] = dict(row)
        self._n_waiting += 1
        if self._n_waiting >= FLUSH_ROWS:
            self.flush()

    @property
    def path(self) -> Path:
        """Return the file of the present FX day, named by the date on which it ends."""
        day = np.datetime64(self._day, "ns") + np.timedelta64(12, "h")
        return self._folder / f"decisions-{self._symbol}-{day.astype('datetime64[D]')}.parquet"

    def _read(self) -> dict[int, dict[str, Any]]:
        """Return the rows that an earlier process wrote of this day."""
        import polars as pl

        if not self.path.is_file():
            return {}
        try:
            return {int(row["close_ns"]): row for row in pl.read_parquet(self.path).iter_rows(named=True)}
        except (OSError, pl.exceptions.PolarsError):
            return {}

    def flush(self) -> None:
        """Write what waits, whole or not at all."""
        import polars as pl

        if not self._n_waiting or self._is_broken:
            return
        new = self.path.with_suffix(".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            pl.DataFrame([self._rows[key] for key in sorted(self._rows)]).write_parquet(new, compression="zstd")
            new.replace(self.path)
        except OSError as error:
            self._is_broken = True
            _log.warning("decision_log_stopped", path=str(self.path), error=str(error))
        self._n_waiting = 0


def live_folder(run: Any) -> Path:
    """Return where the decisions of a live run are kept: beside the results of back-tests.

    Args:
        run: Its id.
    """
    from tradesentry.settings import load_settings

    return load_settings().runs / "live" / str(run)


def decisions_of(run: Any) -> "Iterator[tuple[str, pl.DataFrame]]":
    """Play a resolved back-test once more, bar by bar, and yield what was decided on each market.

    Args:
        run: `backtest.resolve.ResolvedRun` of drlfusion.

    Yields:
        Symbol and table, one row per decided bar.
    """
    import polars as pl

    from tradesentry.backtest.runner import new_arena

    arena = new_arena(run)
    rows: list[list[dict[str, Any]]] = [[] for _ in arena.lanes]
    counts = [0] * len(arena.lanes)
    is_more = True
    while is_more:
        is_more = arena.play(1)
        for i, lane in enumerate(arena.lanes):
            state = lane.state[0]
            if int(state.last.n_decisions) != counts[i]:
                counts[i] = int(state.last.n_decisions)
                rows[i].append(decision_row(lane.params[0], state, int(state.observer.hygiene.last_close_ns)))
    for lane, found in zip(arena.lanes, rows, strict=True):
        yield run.data.series[lane.market].symbol, pl.DataFrame(found)
