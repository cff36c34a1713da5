"""What breakout must beat: its own trades with one thing taken away, played through the same engine and costs.

Each baseline turns the strategy's trades into a script of entries (decision time, side, stop distance) that a small
strategy plays back with the same target, session end, sizing, spread and fills:

- `random_side`: the same times with a random direction, so the direction of the break is worth nothing;
- `random_time`: the same direction at a random later time of the entry window, so its moment is worth nothing. Earlier
  times are left out: the direction is not known yet, and such a baseline would profit from knowing the break;
- `session_start`: a purchase at the start of the same session, so the day is worth nothing but its drift.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, Literal, get_args

import numpy as np
import polars as pl

from tradesentry.apps.breakout import layout
from tradesentry.apps.breakout.config import MINUTE_NS, RANGE_WINDOWS, BreakoutConfig
from tradesentry.backtest.arena import Arena, Lane
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.runner import collect, new_arena
from tradesentry.core.domain.errors import CapacityError
from tradesentry.core.market.clock import first_ending_after
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.intents import MARKET_ORDER, enter
from tradesentry.core.utils.kernel import kernel, new_records

Baseline = Literal["random_side", "random_time", "session_start"]
BASELINES: Final[tuple[Baseline, ...]] = get_args(Baseline)
N_ROWS: Final = 16_384
"""Entries of a script per market."""

ROW = np.dtype(
    [("decide_ns", "i8"), ("exit_ns", "i8"), ("side", "i8"), ("tag", "i8"), ("distance", "f8"), ("target", "f8")],
    align=True,
)
STATE = np.dtype([("next_row", "i8")], align=True)


@kernel
def step(params: Any, state: Any, bar: Any, view: Any, intents: Any) -> int:
    """Play the entries of the script that are due at this close; rows that the data skipped are left out."""
    n = 0
    while state.next_row < params.n_rows and params.rows[state.next_row].decide_ns <= bar.close_ns:
        row = params.rows[state.next_row]
        state.next_row += 1
        if n > 0 or view.n_positions > 0 or row.decide_ns <= bar.open_ns:
            continue
        side = row.side
        entry = bar.close + view.last_spread if side > 0 else bar.close
        distance = row.distance
        n = enter(
            intents,
            n,
            MARKET_ORDER,
            side,
            entry,
            entry - side * distance,
            entry + side * row.target * distance,
            params.risk,
        )
        intents[n - 1].tag = row.tag
        intents[n - 1].exits.exit_ns = row.exit_ns
    return n


class ScriptedEntries(BaseStrategy):
    """Entries at given times with given sides and stops; everything else as in breakout."""

    name = "breakout_baseline"
    summary = "A baseline of breakout: its trades with one thing taken away."
    Config = BreakoutConfig
    STATE = STATE
    step = step
    EXTRA_PARAMS: ClassVar[list[tuple[str, Any]]] = [("n_rows", "i8"), ("rows", np.dtype((ROW, (N_ROWS,))))]
    TAGS: ClassVar[dict[int, str]] = layout.TAGS


def _bounds(calendar: Any, session: int, ts_ns: int) -> tuple[int, int]:
    """Return start and end of the session of a calendar slot that holds an instant, or else the next one."""
    row = int(first_ending_after(calendar.session_bounds[session], int(calendar.n_bounds[session]), ts_ns))
    bounds = calendar.session_bounds[session][min(row, int(calendar.n_bounds[session]) - 1)]
    return int(bounds.start_ns), int(bounds.end_ns)


def entry_window(config: BreakoutConfig, calendar: Any, slot: int, ts_ns: int) -> tuple[int, int, int]:
    """Return when a slot could be entered around an instant, and when its trades end.

    Args:
        config: Configuration of the strategy.
        calendar: CALENDAR of the market.
        slot: Slot.
        ts_ns: An instant of the session.

    Returns:
        First and last instant of the entry window and the session's end, ns UTC.
    """
    window = config.entry_window * MINUTE_NS
    if slot == layout.BANDS_SLOT:
        start, end = _bounds(calendar, layout.MASK_SESSION, ts_ns)
        london_start, london_end = _bounds(calendar, layout.LONDON_SESSION, ts_ns)
        return start, end, london_end if london_start < end else end
    start, end = _bounds(calendar, slot, ts_ns)
    if slot == layout.LONDON_SLOT:
        opened = max(_bounds(calendar, layout.LONDON_SESSION, ts_ns)[0], start + RANGE_WINDOWS[config.range_window][1])
        return opened, min(opened + window, end), end
    opened = start + config.or_minutes * MINUTE_NS
    return opened, min(opened + window, end), end


def script(
    trades: Any, kind: Baseline, *, config: BreakoutConfig, calendar: Any, seed: int = 0
) -> np.recarray[Any, Any]:
    """Return the entries of a baseline for one market, one per trade, in time order.

    Args:
        trades: TRADE rows of the strategy on that market.
        kind: Which baseline.
        config: Configuration of the strategy.
        calendar: CALENDAR of the market.
        seed: Of the random draws.
    """
    random = np.random.default_rng(seed)
    step_ns = config.bar_minutes * MINUTE_NS
    rows = new_records(len(trades), ROW)
    for row, trade in zip(rows, trades, strict=True):
        slot = int(trade.tag) - 1
        first, last, end = entry_window(config, calendar, slot, int(trade.entry_ns))
        # A market entry fills at the open of a bar, which is decided at the close before it: the same instant.
        decided = int(trade.entry_ns)
        if kind == "random_time":
            decided += int(random.integers(0, max(1, (last - decided) // step_ns))) * step_ns
        elif kind == "session_start":
            decided = first if slot >= layout.LONDON_SLOT else _bounds(calendar, slot, decided)[0]
        side = int(random.choice((-1, 1))) if kind == "random_side" else int(trade.side)
        row.decide_ns, row.exit_ns, row.tag = decided, end, trade.tag
        row.side = 1 if kind == "session_start" else side
        row.distance = abs(float(trade.entry_price) - float(trade.stop_at_entry))
        row.target = np.nan if config.target is None else config.target
    return np.sort(rows, order="decide_ns").view(np.recarray)


def _params(config: BreakoutConfig, rows: np.recarray[Any, Any]) -> np.recarray[Any, Any]:
    if len(rows) > N_ROWS:
        raise CapacityError(
            f"A baseline of {len(rows):,} trades does not fit its script of {N_ROWS:,}. Shorten the period, or raise "
            "N_ROWS in tradesentry/apps/breakout/baselines.py."
        )
    params = ScriptedEntries.new_params(config)
    params["n_rows"] = len(rows)
    params["rows"][0, : len(rows)] = rows
    return params


def play_baseline(run: ResolvedRun, trades: Any, kind: Baseline, *, seed: int = 0) -> Any:
    """Play one baseline of a back-test of breakout and return its result.

    Args:
        run: The resolved run of the strategy.
        trades: Its TRADE rows.
        kind: Which baseline.
        seed: Of the random draws.
    """
    config: Any = run.config
    fresh = new_arena(run)
    lanes = []
    for lane in fresh.lanes:
        own = trades[trades["market"] == lane.market].view(np.recarray)
        rows = script(own, kind, config=config, calendar=fresh.markets[lane.market].calendar, seed=seed + lane.market)
        lanes.append(Lane(lane.market, _params(config, rows), ScriptedEntries.new_state(config), lane.rules))
    arena = Arena(
        ScriptedEntries.pointer(),
        markets=fresh.markets,
        bars=fresh.bars,
        lanes=lanes,
        account=fresh.account,
        fine=fresh.fine,
    )
    arena.run()
    return collect(replace(run, strategy=ScriptedEntries), arena, seconds=0.0)


def compare(run: ResolvedRun, trades: Any, *, seeds: Sequence[int] = range(20)) -> pl.DataFrame:
    """Return mean R of the strategy beside its baselines; random ones over several seeds.

    Args:
        run: The resolved run of the strategy.
        trades: Its TRADE rows.
        seeds: Draws of the random baselines.

    Returns:
        Rows `strategy`, `random_side`, `random_time`, `session_start`: trades, mean R, its standard error over trades,
        and the lowest and highest mean R over the seeds.
    """
    rows = [_summary("strategy", [np.asarray(trades["r_multiple"], float)])]
    for kind in BASELINES:
        draws = seeds if kind != "session_start" else seeds[:1]
        results = [play_baseline(run, trades, kind, seed=1_000 * s).trades["r_multiple"].to_numpy() for s in draws]
        rows.append(_summary(kind, results))
    return pl.DataFrame(rows)


def _summary(name: str, draws: Sequence[Any]) -> dict[str, Any]:
    every = np.concatenate(draws)
    means = [float(np.mean(d)) for d in draws if len(d)]
    n = len(every) // len(draws)
    return {
        "entries": name,
        "n_trades": n,
        "mean_r": float(np.mean(every)) if len(every) else None,
        "standard_error": float(np.std(every, ddof=1) / np.sqrt(n)) if n > 1 else None,
        "lowest_mean_r": min(means, default=None),
        "highest_mean_r": max(means, default=None),
    }
