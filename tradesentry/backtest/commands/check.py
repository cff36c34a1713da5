"""The `check` command: prove a strategy on bars, a user's own included; exit code 1 when a check fails."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import typer

from tradesentry.backtest.cli import (
    FromOption,
    JsonOption,
    SetOption,
    SourceOption,
    SymbolsOption,
    TimeframeOption,
    ToOption,
    overrides_of,
)
from tradesentry.backtest.commands.options import show
from tradesentry.backtest.commands.terminal import say
from tradesentry.backtest.resolve import ResolvedRun, checked_settings, resolve_run
from tradesentry.backtest.runner import new_arena, play
from tradesentry.core.domain.errors import UsageError, nearest
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

CANARY_BARS_FROM, CANARY_BARS_TO = "2021-01-04", "2023-01-02"
GRID_TICK = 2.0**-17
"""Sums of prices on this step are exact, so mirrored decisions are exactly mirrored."""


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


def _mirror_run(name: str, overrides: list[str], timeframe: str) -> CheckResult:
    from tradesentry.core.market.synthetic import synthetic_bars

    made = synthetic_bars(
        ["EURUSD"], timeframe=timeframe, start=CANARY_BARS_FROM, end=CANARY_BARS_TO, tick=GRID_TICK, seed=5
    )
    series: BarSeries = made["EURUSD"]
    series = replace(series, bars=on_grid(series.bars, GRID_TICK))
    settings = checked_settings({"costs": "free", "limits": "off", "capital": 1_000_000.0})
    run = resolve_run(name, bars=[series], overrides=[*overrides, "symbols=[EURUSD]"], settings=settings)
    run.markets["tick"] = GRID_TICK
    return check_mirror(player_of(run), traded_bars(run), tick=GRID_TICK)


def _canary(name: str, overrides: list[str]) -> CheckResult:
    settings = checked_settings(
        {
            "source": "synthetic:random_walk:7",
            "costs": "free",
            "cost_scale": 0.0,
            "limits": "off",
            "from_": CANARY_BARS_FROM,
            "to": CANARY_BARS_TO,
        }
    )
    lines = [*overrides, "symbols=[EURUSD,GBPUSD,AUDUSD]", "intrabar=tick"]
    result = play(resolve_run(name, overrides=lines, settings=settings))
    return check_zero_edge(result.trades["r_multiple"].to_numpy())


def _checks(name: str, run: ResolvedRun, overrides: list[str]) -> dict[str, Callable[[], CheckResult]]:
    player, bars = player_of(run), traded_bars(run)
    return {
        "look-ahead": lambda: check_look_ahead(player, bars),
        "restart": lambda: check_restart(player, bars),
        "parity": lambda: check_parity(player, bars),
        "mirror": lambda: _mirror_run(name, overrides, run.config.timeframe),
        "zero-edge": lambda: _canary(name, overrides),
    }


def check(
    name: Annotated[str, typer.Argument(help="Strategy.")],
    which: Annotated[str, typer.Argument(help="look-ahead, restart, parity, mirror, zero-edge or all.")] = "all",
    symbols: SymbolsOption = None,
    timeframe: TimeframeOption = None,
    source: SourceOption = "synthetic",
    from_: FromOption = None,
    to: ToOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove a strategy: no look-ahead, restart, parity, mirror symmetry, no edge where there is none."""
    overrides = overrides_of(set_, symbols=symbols, timeframe=timeframe, intrabar=None)
    values = {"source": source, "from_": from_, "to": to, "limits": "off"}
    run = resolve_run(
        name, overrides=overrides, settings=checked_settings({k: v for k, v in values.items() if v is not None})
    )
    checks = _checks(name, run, overrides)
    if which != "all" and which not in checks:
        raise UsageError(f"There is no check {which!r}. {nearest(which, [*checks, 'all'])}")
    outcomes = []
    for label in checks if which == "all" else [which]:
        say(f"checking {label} ...")
        outcomes.append(checks[label]())
    rows = [{"check": o.name, "result": "passed" if o.is_passed else "FAILED", "detail": o.detail} for o in outcomes]
    show(rows, rows, as_json=as_json)
    if not all(o.is_passed for o in outcomes):
        raise typer.Exit(1)
