"""Play entries that are given beforehand through the engine: when, which side, how far the stop, until when.

Baselines and placebos ask what other entries would have earned under the same fills, costs and exits. A script of them
is played by a strategy like any other, so there is no second fill code. Entries of a script do not know one another:
each is sized alone on an account that no loss dents, and many are open at once.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from tradesentry.backtest.arena import Arena, Lane
from tradesentry.backtest.resolve import ResolvedRun
from tradesentry.backtest.runner import new_arena, new_lanes
from tradesentry.core.domain.records import N_POSITIONS
from tradesentry.core.execution.setup import LIMIT_PROFILES
from tradesentry.core.strategy.base_strategy import BaseStrategy, StrategyConfig
from tradesentry.core.strategy.intents import MARKET_ORDER, enter
from tradesentry.core.utils.kernel import address_of, kernel, record_at

CAPITAL: Final = 1e9
"""Of the account that a script is played on; R-multiples do not depend on it."""
RISK: Final = 1e-6
"""Share of it that an entry risks: a thousand, so that units are fine and margin is no matter."""

ENTRY = np.dtype(
    [
        ("decide_ns", "i8"),  # close at which the entry is decided; it fills at the next open
        ("exit_ns", "i8"),  # close at the first bar close at or after it; 0 never
        ("side", "i8"),
        ("distance", "f8"),  # of the stop, price units
        ("target", "f8"),  # multiple of the distance, NaN for none
        ("id", "i8"),
    ],
    align=True,
)
STATE = np.dtype([("next_entry", "i8")], align=True)
entry_at = record_at(ENTRY)


@kernel
def step(params: Any, state: Any, bar: Any, view: Any, intents: Any) -> int:
    """Ask for the entries of the script that are due at this close; those that the data skipped are left out."""
    n = 0
    while state.next_entry < params.n_entries:
        entry = entry_at(params.entries, state.next_entry)
        if entry.decide_ns > bar.close_ns:
            break
        state.next_entry += 1
        if entry.decide_ns <= bar.open_ns:
            continue
        side = entry.side
        price = bar.close + view.last_spread if side > 0 else bar.close
        stop = price - side * entry.distance
        n = enter(
            intents, n, MARKET_ORDER, side, price, stop, price + side * entry.target * entry.distance, params.risk
        )
        intents[n - 1].exits.exit_ns = entry.exit_ns
        intents[n - 1].cause[0] = entry.id
    return n


class ScriptedEntries(BaseStrategy):
    """A script as a strategy."""

    name = "scripted_entries"
    summary = "Entries given beforehand."
    Config = StrategyConfig
    STATE = STATE
    step = step
    EXTRA_PARAMS: ClassVar[list[tuple[str, Any]]] = [("n_entries", "i8"), ("entries", "i8")]


def _spread_out(entries: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return the entries of one market in lanes: one entry a side and instant, and no more open than a book holds."""
    # Entries of one side and instant lie next to each other, so dealing them out in turn parts them.
    ordered = entries[np.lexsort((entries["side"], entries["decide_ns"]))]
    same = np.unique(np.stack((ordered["decide_ns"], ordered["side"])), axis=1, return_counts=True)[1]
    n_lanes = int(same.max())
    while True:
        lanes = [ordered[i::n_lanes] for i in range(n_lanes)]
        if all(_most_open(lane) < N_POSITIONS - 1 for lane in lanes):
            return [lane for lane in lanes if len(lane)]
        n_lanes += 1 + n_lanes // 4


def _most_open(entries: npt.NDArray[Any]) -> int:
    """Return how many entries may be open at once, if none ends before its time."""
    ends = np.sort(np.where(entries["exit_ns"] > 0, entries["exit_ns"], np.iinfo(np.int64).max))
    gone = np.searchsorted(ends, entries["decide_ns"], side="left")
    return int(np.max(np.arange(1, len(entries) + 1) - gone))


def script_arena(
    run: ResolvedRun,
    entries: Mapping[int, npt.NDArray[Any]],
    *,
    capital: float = CAPITAL,
    cost_scale: float | None = None,
    **rules: Any,
) -> tuple[Arena, list[npt.NDArray[Any]]]:
    """Return memory that plays scripts on the bars, costs and rules of a run, without its limits.

    Args:
        run: The resolved run.
        entries: ENTRY rows by market.
        capital: Start balance.
        cost_scale: Multiple of the costs; the settings' when None.
        **rules: Fields of the configuration to replace, such as `weekend="hold"`.

    Returns:
        The memory, and the scripts that it reads: the caller keeps both.
    """
    chosen: Any = ScriptedEntries
    free = {"risk": RISK, "kelly_cap": False, "target_volatility": None} | rules
    config = run.config.model_copy(update=free)
    scripted = replace(run, strategy=chosen, limits=LIMIT_PROFILES["off"])
    lanes: list[Lane] = []
    scripts = []
    for market, rows in entries.items():
        for part in _spread_out(rows) if len(rows) else ():
            scripts.append(np.ascontiguousarray(part))
            (lane,) = new_lanes(scripted, config=config, markets=[market])
            lane.params["n_entries"], lane.params["entries"] = len(part), address_of(scripts[-1])
            lanes.append(lane)
    return new_arena(scripted, cost_scale=cost_scale, lanes=lanes, capital=capital), scripts


def r_multiples(run: ResolvedRun, entries: Mapping[int, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """Play scripts and return the R-multiple of every entry by its id; NaN where it was not filled.

    Args:
        run: The resolved run.
        entries: ENTRY rows by market; ids count from 0 over all markets.
    """
    found = np.full(sum(len(rows) for rows in entries.values()), np.nan)
    if len(found):
        arena, _scripts = script_arena(run, entries)
        arena.run()
        trades = arena.trade_rows
        found[trades["cause"][:, 0]] = trades["r_multiple"]
    return found
