"""Play a resolved back-test and collect its tables.

The engine knows only memory; here names become records and rows become tables. `backtest(...)` is the one entry for
Python, shell and API.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tradesentry.backtest.arena import Arena, Lane
from tradesentry.backtest.data import Bars
from tradesentry.backtest.resolve import ResolvedRun, RunSettings, checked_settings, resolve_run
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.tables import equity_table, reject_table, trade_table
from tradesentry.core.domain.errors import ConfigError, nearest
from tradesentry.core.domain.orders import ExitReason, TradingState
from tradesentry.core.execution.setup import currency_table, new_account
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.strategy.base_strategy import StrategyConfig
from tradesentry.core.strategy.run_rules import rules_of

EQUITY_STEP_NS = 3_600_000_000_000
"""Least time between two equity points: an hour."""


def new_lanes(
    run: ResolvedRun,
    *,
    config: StrategyConfig | None = None,
    markets: Sequence[int] | None = None,
    n_before: Sequence[int] = (),
    variant: int = 0,
) -> list[Lane]:
    """Return one configuration as a strategy on each of the markets, before its first bar.

    Args:
        run: The resolved run.
        config: Configuration; the run's own when None.
        markets: Rows of the markets to trade; all that the run trades when None.
        n_before: Bars per market before which nothing is entered, where that is more than the warm-up.
        variant: Number that trades and rejects carry.
    """
    chosen, config = run.strategy, run.config if config is None else config
    params = chosen.new_params(config)
    lanes = []
    for row in range(run.data.n_traded) if markets is None else markets:
        item = run.items[row]
        warmup_bars = max(chosen.bars_needed(config), n_before[row] if n_before else 0)
        rules = rules_of(config, pip=item.pip, warmup_bars=warmup_bars, is_always_open=item.is_always_open)
        lanes.append(Lane(row, params.copy(), chosen.new_state(config), rules, variant=variant))
    return lanes


def new_arena(
    run: ResolvedRun,
    *,
    cost_scale: float | None = None,
    lanes: Sequence[Lane] | None = None,
    capital: float | None = None,
) -> Arena:
    """Return fresh memory for one play of a resolved run.

    Args:
        run: The resolved run; its markets are shared, not copied, when their cost scale is the wanted one.
        cost_scale: Multiple of the costs; the settings' when None.
        lanes: Strategies on markets, all on one account; the run's configuration on all its markets when None.
        capital: Start balance; the settings' when None.
    """
    scale = run.settings.cost_scale if cost_scale is None else cost_scale
    markets = run.markets
    if not np.all(markets["cost_scale"] == scale):
        markets = markets.copy()
        markets["cost_scale"] = scale
    account = new_account(
        run.settings.capital if capital is None else capital,
        run.limits,
        n_currencies=len(currency_table(run.items, run.settings.account_currency)),
        equity_step_ns=max(EQUITY_STEP_NS, timeframe_ns(run.config.timeframe)),
    )
    return Arena(
        run.strategy.pointer(),
        markets=markets,
        bars=[s.bars for s in run.data.series],
        lanes=new_lanes(run) if lanes is None else lanes,
        account=account,
        fine=run.data.fine,
    )


def collect(run: ResolvedRun, arena: Arena, *, seconds: float) -> BacktestResult:
    """Return the tables of a played run.

    Args:
        run: The resolved run.
        arena: Its memory after the last bar.
        seconds: Time spent playing.
    """
    data = run.data
    names = [s.symbol for s in data.series]
    traded = data.series[: data.n_traded]
    n_bars = sum(len(s.bars) for s in traded)
    return BacktestResult(
        app=run.strategy.name,
        symbols=tuple(names[: data.n_traded]),
        timeframe=run.config.timeframe,
        source=run.settings.source if traded[0].source == "" else traded[0].source,
        is_synthetic=any(s.is_synthetic for s in traded),
        account_currency=run.settings.account_currency,
        capital=run.settings.capital,
        period=(
            min(int(s.bars["open_ns"][0]) for s in traded),
            max(int(s.bars["close_ns"][-1]) for s in traded),
        ),
        bars={s.symbol: s.bars for s in traded},
        trades=trade_table(arena.trade_rows, names, run.strategy.TAGS),
        equity=equity_table(arena.equity_rows),
        rejects=reject_table(arena.reject_rows, names, run.strategy.TAGS),
        config=run.config.model_dump(mode="json") | {"run": run.settings.model_dump(mode="json", by_alias=True)},
        origins=dict(run.resolved.origins),
        costs=describe_costs(run),
        provenance=[_provenance(s) for s in data.series],
        warnings=list(run.warnings),
        intrabar=run.config.intrabar,
        timing={"bars": n_bars, "seconds": seconds, "bars_per_second": n_bars / seconds if seconds > 0 else 0.0},
        status=_status(arena.account[0]),
    )


def _status(account: Any) -> dict[str, Any]:
    """Return the final trading state of an account, and since when and why it is not active."""
    state = TradingState(int(account.trading_state))
    is_active = state is TradingState.ACTIVE
    return {
        "state": state.name,
        "since": None if is_active else int(account.state_ns),
        "reason": "" if is_active else ExitReason(int(account.state_reason)).name.lower(),
    }


def describe_costs(run: ResolvedRun) -> dict[str, Any]:
    """Return the cost model of a run in words and numbers with units."""
    scale = run.settings.cost_scale
    return {"profile": run.settings.costs, "scale": scale} | run.costs.model_dump()


def _provenance(series: Any) -> dict[str, Any]:
    """Return where a series comes from; what the run says of itself wins over the file it was built from."""
    bars = series.bars
    return dict(series.provenance) | {
        "source": series.source,
        "symbol": series.symbol,
        "timeframe": series.timeframe,
        "first": int(bars["open_ns"][0]) if len(bars) else None,
        "last": int(bars["close_ns"][-1]) if len(bars) else None,
        "bars": len(bars),
        "checksum": series.checksum,
        "price_side": series.price_side,
        "is_synthetic": series.is_synthetic,
        "clock": series.provenance.get("clock", "UTC"),
    }


def with_events(run: ResolvedRun, result: BacktestResult) -> BacktestResult:
    """Return the result with what the strategy saw on the price, for the charts of the report."""
    import polars as pl

    found = []
    for i, series in enumerate(run.data.series[: run.data.n_traded]):
        events = run.strategy.chart_events(
            run.config, series.bars, calendar=run.markets["calendar"][i], tick=float(run.markets["tick"][i])
        )
        if events is not None:
            found.append(events.with_columns(symbol=pl.lit(series.symbol)))
    return replace(result, events=pl.concat(found)) if found else result


def with_decisions(run: ResolvedRun, result: BacktestResult) -> BacktestResult:
    """Return the result with what was decided on every bar, where the strategy keeps that: its `decisions(run)`."""
    import polars as pl

    tell = getattr(run.strategy, "decisions", None)
    if tell is None:
        return result
    found = [table.with_columns(symbol=pl.lit(symbol)) for symbol, table in tell(run) if table.height]
    return replace(result, decisions=pl.concat(found)) if found else result


def play(
    run: ResolvedRun, *, cost_scale: float | None = None, progress: Callable[[int], None] | None = None
) -> BacktestResult:
    """Play a resolved run once and return its result.

    Args:
        run: The resolved run.
        cost_scale: Multiple of the costs; the settings' when None.
        progress: Called with the number of bars played so far.
    """
    arena = new_arena(run, cost_scale=cost_scale)
    arena.warm_up()
    started = time.perf_counter()
    arena.run(progress)
    return collect(run, arena, seconds=time.perf_counter() - started)


def backtest(
    name: str,
    *,
    bars: Bars | None = None,
    config: Mapping[str, Any] | None = None,
    cost_levels: Sequence[float] = (),
    baselines: bool = False,
    progress: Callable[[int], None] | None = None,
    path: Path | None = None,
    overrides: Sequence[str] = (),
    **settings: Any,
) -> BacktestResult:
    """Back-test a strategy and return its result.

    Args:
        name: Strategy, such as `breakout`.
        bars: Series from `load_bars`; the source of the settings when None.
        config: Values that differ from the strategy's defaults.
        cost_levels: Further multiples of the costs to play the same run at, such as (0, 2).
        baselines: Also play what the strategy must beat, 1,000 draws each; takes seconds.
        progress: Called with the number of bars played so far.
        path: Configuration file.
        overrides: `key=value` texts as with `--set`.
        **settings: Fields of `RunSettings`: source, from_, to, capital, account_currency, costs, limits, rates, news.

    Raises:
        TradeSentryError: Whatever is wrong with the request or the data.

    Example:
        >>> from tradesentry import backtest, load_bars
        >>> result = backtest("breakout", bars=load_bars(["EURUSD"], "M15", "mt5_london"), capital=10_000)
    """
    unknown = set(settings) - set(RunSettings.model_fields)
    if unknown:
        key = sorted(unknown)[0]
        raise ConfigError(f"backtest() knows no setting {key!r}. {nearest(key, RunSettings.model_fields)}")
    run = resolve_run(
        name, bars=bars, config=config, path=path, overrides=overrides, settings=checked_settings(settings)
    )
    return _compared(run, play(run, progress=progress), cost_levels=cost_levels, baselines=baselines)


def _compared(
    run: ResolvedRun, result: BacktestResult, *, cost_levels: Sequence[float], baselines: bool
) -> BacktestResult:
    """Return the result beside the same run at other cost levels and beside its baselines, as asked for."""
    if cost_levels:
        others = {f"{level:g}x": play(run, cost_scale=level) for level in cost_levels if level != 1.0}
        result = result.with_cost_runs(others)
    if baselines:
        # The baselines are played by this module's own functions.
        from tradesentry.backtest.baselines import with_baselines

        result = with_baselines(run, result)
    return result
