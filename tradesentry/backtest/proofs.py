"""Play what the checks of a strategy need: other bars, another cost level, a neighboring configuration.

`core.strategy.checks` and `core.strategy.robustness` judge; they know no engine. Here their plays are made from one
resolved run, so `tradesentry check NAME` proves a user's own strategy the same way as a shipped one.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np

from tradesentry.backtest.metrics import trades as trades_of
from tradesentry.backtest.resolve import ResolvedRun, checked_settings, resolve_run
from tradesentry.backtest.runner import new_arena, play
from tradesentry.core.market.bars import BarSeries
from tradesentry.core.market.mirror import on_grid
from tradesentry.core.strategy.checks import (
    BarsBySymbol,
    CheckResult,
    Player,
    check_look_ahead,
    check_mirror,
    check_parity,
    check_restart,
    check_zero_edge,
)
from tradesentry.core.strategy.robustness import Outcome, check_costs, check_sensitivity, neighbors

CANARY_FROM, CANARY_TO = "2021-01-04", "2023-01-02"
GRID_TICK: Final = 2.0**-17
"""Sums of prices on this step are exact, so mirrored decisions are exactly mirrored."""
MIRROR_SPREAD: Final = 8 * GRID_TICK
LIFT: Final = 4_096.0
"""Added to prices, so that they move by less than a millionth of themselves."""
COST_LEVELS: Final = (0.0, 1.0, 2.0)
COST_CAPITAL: Final = 1_000_000.0
"""Least capital of the check of costs: on a small account half a position rounds to another share of it, so that the
same trade earns another R for a reason that is not its costs."""


def player_of(run: ResolvedRun) -> Player:
    """Return a function that makes fresh memory of `run` for other bars of its markets."""

    def new_memory(bars: BarsBySymbol | None) -> Any:
        if bars is None:
            return new_arena(run)
        series = tuple(
            replace(s, bars=np.ascontiguousarray(bars[s.symbol]).view(np.recarray)) if s.symbol in bars else s
            for s in run.data.series
        )
        return new_arena(replace(run, data=replace(run.data, series=series)))

    return new_memory


def traded_bars(run: ResolvedRun) -> dict[str, np.ndarray[Any, Any]]:
    """Return the BAR arrays that a run trades, by symbol."""
    return {s.symbol: s.bars for s in run.data.series[: run.data.n_traded]}


def mirror_check(run: ResolvedRun) -> CheckResult:
    """Check a strategy on generated bars and on the same bars upside down.

    The bars make an exact image possible: a constant spread, since ranges of bids are not the image of ranges of asks
    when it changes, and a tick far finer than their prices, since half a tick is rounded up on both sides. What is
    measured relative to the price (the width of bands) has no image at all: if that alone breaks the symmetry, it is
    whole again when the same prices stand far higher, and the result says so.

    Args:
        run: A run of the strategy; its configuration is used, on EURUSD alone.
    """
    copy = _mirror_run(run)
    bars = traded_bars(copy)
    plain = check_mirror(player_of(copy), bars, tick=GRID_TICK)
    if plain.is_passed:
        return plain
    copy.markets["margin_fraction"] = 0.0
    high = {symbol: rows.copy() for symbol, rows in bars.items()}
    for rows in high.values():
        for name in ("open", "high", "low", "close"):
            rows[name] += LIFT
    lifted = check_mirror(player_of(copy), high, tick=GRID_TICK)
    if not lifted.is_passed:
        return plain
    text = f"{lifted.detail} once prices stand {LIFT:,.0f} higher; as they are: {plain.detail}"
    return replace(lifted, detail=f"{text} Only what is measured relative to the price differs.")


@cache
def _mirror_series(timeframe: str) -> BarSeries:
    from tradesentry.core.market.synthetic import synthetic_bars

    made = synthetic_bars(["EURUSD"], timeframe=timeframe, start=CANARY_FROM, end=CANARY_TO, tick=GRID_TICK, seed=5)
    series: BarSeries = made["EURUSD"]
    bars = on_grid(series.bars, GRID_TICK)
    bars["spread"] = MIRROR_SPREAD
    bars.flags.writeable = False
    return replace(series, bars=bars)


def _mirror_run(run: ResolvedRun) -> ResolvedRun:
    settings = checked_settings({"costs": "free", "limits": "off", "capital": 1_000_000.0})
    config = run.config.model_dump() | {"symbols": ["EURUSD"]}
    bars = [_mirror_series(run.config.timeframe)]
    copy = resolve_run(run.strategy.name, bars=bars, config=config, settings=settings)
    copy.markets["tick"] = GRID_TICK / 32
    return copy


def zero_edge_check(run: ResolvedRun) -> CheckResult:
    """Check that a strategy earns nothing on driftless random walks without costs, the path inside bars resolved.

    Args:
        run: A run of the strategy; its configuration is used, on three generated markets.
    """
    settings = checked_settings(
        {
            "source": "synthetic:random_walk:7",
            "costs": "free",
            "cost_scale": 0.0,
            "limits": "off",
            "from_": CANARY_FROM,
            "to": CANARY_TO,
        }
    )
    config = run.config.model_dump() | {"symbols": ["EURUSD", "GBPUSD", "AUDUSD"], "intrabar": "tick"}
    result = play(resolve_run(run.strategy.name, config=config, settings=settings))
    return check_zero_edge(result.trades["r_multiple"].to_numpy())


def _trades(run: ResolvedRun, *, cost_scale: float | None = None) -> Any:
    """Play a run to its end and return its TRADE rows."""
    arena = new_arena(run, cost_scale=cost_scale)
    arena.run()
    return arena.trade_rows


def cost_check(run: ResolvedRun) -> CheckResult:
    """Check at 0, 1 and 2 times the costs that more cost never helps the same trades.

    Args:
        run: The resolved run; its cost scale is replaced, and its capital where that is smaller than COST_CAPITAL.
    """
    capital = max(run.settings.capital, COST_CAPITAL)
    large = replace(run, settings=run.settings.model_copy(update={"capital": capital}))
    levels = {scale: _trades(large, cost_scale=scale) for scale in COST_LEVELS}
    symbols, currency = [s.symbol for s in run.data.series], run.settings.account_currency
    found = check_costs(levels, symbols=symbols, currency=currency)
    return replace(found, detail=f"{found.detail} Played with {capital:,.0f} {currency}.")


def neighbor_run(run: ResolvedRun, config: Any) -> ResolvedRun:
    """Return the run with another configuration; what it does not change is shared."""
    resolved = replace(run.resolved, value=config)
    if config.calendar() == run.config.calendar():
        return replace(run, resolved=resolved)
    return resolve_run(run.strategy.name, config=config.model_dump(), bars=run.data.series, settings=run.settings)


def outcome_of(trades: Any, base: Any = None) -> Outcome:
    """Return what trades earned, with the wider of two 95 % intervals: weeks resampled, independent trades.

    Args:
        trades: TRADE rows.
        base: TRADE rows of the base, to say whether anything changed.
    """
    known = np.isfinite(trades["r_multiple"])
    r = np.asarray(trades["r_multiple"][known], np.float64)
    weeks = trades_of.trade_weeks(np.asarray(trades["entry_ns"][known], np.int64))
    block, normal = trades_of.bootstrap_interval(r, weeks), trades_of.normal_interval(r)
    low, high = np.fmin(block.low, normal.low), np.fmax(block.high, normal.high)
    is_same = base is not None and trades.tobytes() == base.tobytes()
    return Outcome(len(trades), trades_of.expectancy(r), float(low), float(high), is_same)


def sensitivity_check(run: ResolvedRun) -> CheckResult:
    """Check that no number of the configuration, moved by a tenth, changes what the result says.

    Args:
        run: The resolved run.
    """
    base = _trades(run)
    tried = [(n, outcome_of(_trades(neighbor_run(run, n.config)), base)) for n in neighbors(run.config)[0]]
    return check_sensitivity(outcome_of(base), tried)


def checks_of(run: ResolvedRun) -> dict[str, Callable[[], CheckResult]]:
    """Return the checks of a strategy by name, ready to be called.

    Args:
        run: The run whose bars and configuration are used.
    """
    player, bars = player_of(run), traded_bars(run)
    return {
        "look-ahead": lambda: check_look_ahead(player, bars),
        "restart": lambda: check_restart(player, bars),
        "parity": lambda: check_parity(player, bars),
        "mirror": lambda: mirror_check(run),
        "zero-edge": lambda: zero_edge_check(run),
        "costs": lambda: cost_check(run),
        "sensitivity": lambda: sensitivity_check(run),
    }
