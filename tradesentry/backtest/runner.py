"""Resolve a back-test (configuration, data, calendar, costs, limits), play it, and collect its tables.

The engine knows only memory; here names become records and rows become tables. `backtest(...)` is the one entry for
Python, shell and API.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from tradesentry.backtest.arena import Arena, Lane
from tradesentry.backtest.data import Bars, DataRequest, MarketData, load_market_data
from tradesentry.backtest.result import BacktestResult
from tradesentry.backtest.tables import equity_table, reject_table, trade_table
from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.orders import ExitReason, TradingState
from tradesentry.core.domain.records import MARKET
from tradesentry.core.execution.setup import (
    CostProfile,
    LimitSettings,
    cost_profile,
    currency_table,
    fill_conversion,
    fill_market,
    limit_profile,
    new_account,
    new_rules,
)
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.market.calendar import build_calendar
from tradesentry.core.market.instruments import canonical_symbol, instrument
from tradesentry.core.strategy.base_strategy import BaseStrategy, StrategyConfig
from tradesentry.core.strategy.strategy_registry import strategy
from tradesentry.core.utils.config_loader import Resolved, load_config
from tradesentry.core.utils.config_model import FrozenModel
from tradesentry.core.utils.kernel import new_records

EQUITY_STEP_NS = 3_600_000_000_000
"""Least time between two equity points: an hour."""


class RunSettings(FrozenModel):
    """What a back-test needs besides the strategy's configuration."""

    source: str = Field("synthetic", description="Source in the catalog, or synthetic[:variant[:seed]].")
    from_: str | int | None = Field(None, description="First open, ISO date or ns UTC.")
    to: str | int | None = Field(None, description="Opens at or after it are left out.")
    capital: float = Field(10_000.0, gt=0, description="Start balance, account currency.")
    account_currency: str = Field("USD", min_length=3, max_length=4, description="ISO code of the account.")
    costs: str = Field("standard", description="Cost profile.")
    cost_scale: float = Field(1.0, ge=0, le=10, description="Multiple of all costs.")
    limits: str = Field("default", description="Limits of the account: default, prop or off.")
    rates: dict[str, float] = Field({}, description="Fixed conversion rates, account currency per unit.")
    news: Path | None = Field(None, description="News calendar file.")
    catalog: Path | None = Field(None, description="Catalog folder.")


@dataclass(frozen=True, slots=True)
class ResolvedRun:
    """A back-test ready to be played, as often as wanted."""

    strategy: type[BaseStrategy]
    resolved: Resolved[Any]
    settings: RunSettings
    data: MarketData
    items: tuple[Instrument, ...]
    """Instrument per series."""
    costs: CostProfile
    limits: LimitSettings
    markets: Any
    """MARKET array; its cost scale is set per play."""
    warnings: tuple[str, ...] = ()

    @property
    def config(self) -> StrategyConfig:
        """Return the strategy's configuration."""
        value: StrategyConfig = self.resolved.value
        return value


def app_config_path(name: str) -> Path | None:
    """Return the configuration file that ships with an app, None when there is none."""
    folder = Path(__file__).resolve().parents[1] / "apps" / name
    choices = [folder / "config.yaml", *sorted(folder.glob("backtest/*_backtest_config.yaml"))]
    return next((path for path in choices if path.is_file()), None)


def resolve_config(
    name: str,
    *,
    config: Mapping[str, Any] | None = None,
    path: Path | None = None,
    overrides: Sequence[str] = (),
) -> Resolved[Any]:
    """Return the configuration of a strategy: defaults, its shipped file or `path`, given values, overrides.

    Args:
        name: Strategy.
        config: Values from Python or a request.
        path: A file instead of the shipped one.
        overrides: `key=value` texts.

    Raises:
        ConfigError: Anything unknown or out of bounds.
    """
    chosen = strategy(name)
    return load_config(chosen.Config, path=path or app_config_path(name), file_values=config, overrides=overrides)


def _calendars(run_config: StrategyConfig, items: Sequence[Instrument], data: MarketData, news: Any) -> list[Any]:
    spec = run_config.calendar()
    first = min(int(s.bars["open_ns"][0]) for s in data.series if len(s.bars))
    last = max(int(s.bars["close_ns"][-1]) for s in data.series if len(s.bars))
    return [build_calendar(spec, item, first, last, news=news) for item in items]


def _markets(
    config: StrategyConfig, settings: RunSettings, items: Sequence[Instrument], data: MarketData, costs: CostProfile
) -> Any:
    news = None
    if settings.news is not None:
        from tradesentry.core.market.news import load_news

        news = load_news(settings.news)
    markets = new_records(len(items), MARKET)
    currencies = currency_table(items, settings.account_currency)
    rows = {item.symbol: i for i, item in enumerate(items)}
    calendars = _calendars(config, items, data, news)
    for i, item in enumerate(items):
        fill_market(markets[i], item, costs, index=i, currencies=currencies)
        if i < data.n_traded:
            fill_conversion(
                markets[i], item, account_currency=settings.account_currency, rows=rows, rates=settings.rates
            )
        markets["calendar"][i] = calendars[i][0]
    return markets


def resolve_run(
    name: str,
    *,
    bars: Bars | None = None,
    config: Mapping[str, Any] | None = None,
    path: Path | None = None,
    overrides: Sequence[str] = (),
    settings: RunSettings | None = None,
) -> ResolvedRun:
    """Resolve everything a back-test needs.

    Args:
        name: Strategy.
        bars: Series to use; the settings' source is asked when None.
        config: Configuration values.
        path: Configuration file.
        overrides: `key=value` texts.
        settings: Account, costs, limits, period and source.

    Raises:
        TradeSentryError: Whatever is wrong, before anything runs.
    """
    chosen = strategy(name)
    resolved = resolve_config(name, config=config, path=path, overrides=overrides)
    settings = settings or RunSettings()
    if bars is not None and not (config and "symbols" in config) and not any(o.startswith("symbols") for o in overrides):
        given = bars.values() if isinstance(bars, Mapping) else bars
        names = tuple(canonical_symbol(s.symbol) for s in given)
        resolved = replace(resolved, value=resolved.value.model_copy(update={"symbols": names}))
    value: StrategyConfig = resolved.value
    request = DataRequest(
        symbols=tuple(canonical_symbol(s) for s in value.symbols),
        timeframe=value.timeframe,
        source=settings.source,
        account_currency=settings.account_currency,
        rates=settings.rates,
        intrabar=value.intrabar,
        from_=settings.from_,
        to=settings.to,
        catalog=settings.catalog,
    )
    data = load_market_data(request, bars)
    items = tuple(instrument(s.symbol) for s in data.series)
    costs = cost_profile(settings.costs)
    markets = _markets(value, settings, items, data, costs)
    return ResolvedRun(
        chosen, resolved, settings, data, items, costs, limit_profile(settings.limits), markets, _warnings(settings, data)
    )


def _warnings(settings: RunSettings, data: MarketData) -> tuple[str, ...]:
    notes = []
    for series in data.series[: data.n_traded]:
        share = float(np.mean(series.bars["spread"] <= 0)) if len(series.bars) else 0.0
        if share > 0:
            notes.append(
                f"{series.symbol}: {share:.0%} of bars carry no spread; the floor of profile {settings.costs!r} is used."
            )
    if settings.limits == "off":
        notes.append("Account limits are off: results describe the rules, not what an account would have done.")
    if settings.costs == "free" or settings.cost_scale == 0:
        notes.append("No costs: for proofs and comparisons, never for decisions.")
    return tuple(notes)


def new_arena(run: ResolvedRun, *, cost_scale: float | None = None) -> Arena:
    """Return fresh memory for one play of a resolved run.

    Args:
        run: The resolved run.
        cost_scale: Multiple of the costs; the settings' when None.
    """
    config, chosen = run.config, run.strategy
    markets = run.markets.copy()
    markets["cost_scale"] = run.settings.cost_scale if cost_scale is None else cost_scale
    bar_ns = timeframe_ns(config.timeframe)
    currencies = currency_table(run.items, run.settings.account_currency)
    account = new_account(
        run.settings.capital,
        run.limits,
        n_currencies=len(currencies),
        equity_step_ns=max(EQUITY_STEP_NS, bar_ns),
    )
    lanes = []
    for i, item in enumerate(run.items[: run.data.n_traded]):
        rules = new_rules(
            bar_ns=bar_ns,
            pip=item.pip,
            warmup_bars=chosen.bars_needed(config),
            weekend="hold" if item.is_always_open else config.weekend,
            weekend_lead=config.weekend_lead,
            weekend_no_entry=config.weekend_no_entry,
            news=config.news,
            require_calendar=config.require_calendar,
            flatten_before=config.flatten_before,
            max_spread=config.max_spread,
            target_volatility=config.target_volatility,
            kelly_cap=config.kelly_cap,
        )
        lanes.append(Lane(i, chosen.new_params(config), chosen.new_state(config), rules[0]))
    return Arena(
        chosen.pointer(),
        markets=markets,
        bars=[s.bars for s in run.data.series],
        lanes=lanes,
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
    account = arena.account[0]
    state = TradingState(int(account.trading_state))
    is_active = state is TradingState.ACTIVE
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
        warnings=list(run.warnings) + _account_warnings(arena, n_bars),
        intrabar=run.config.intrabar,
        timing={"bars": n_bars, "seconds": seconds, "bars_per_second": n_bars / seconds if seconds > 0 else 0.0},
        status={
            "state": state.name,
            "since": None if is_active else int(account.state_ns),
            "reason": "" if is_active else ExitReason(int(account.state_reason)).name.lower(),
        },
    )


def describe_costs(run: ResolvedRun) -> dict[str, Any]:
    """Return the cost model of a run in words and numbers with units."""
    scale = run.settings.cost_scale
    return {"profile": run.settings.costs, "scale": scale} | run.costs.model_dump()


def _provenance(series: Any) -> dict[str, Any]:
    bars = series.bars
    return {
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
    } | {k: v for k, v in series.provenance.items() if k not in ("clock", "is_synthetic")}


def _account_warnings(arena: Arena, n_bars: int) -> list[str]:
    account = arena.account[0]
    if account.trading_state == TradingState.ACTIVE:
        return []
    when = np.datetime64(int(account.state_ns), "s" if False else "ns").astype("datetime64[D]")
    return [
        f"The account stopped opening trades on {when} ({ExitReason(int(account.state_reason)).name.lower()}): "
        f"drawdown reached {account.max_drawdown:.1%}. Later bars were watched, not traded; --limits off shows the rules alone."
    ]


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
    started = time.perf_counter()
    arena.run(progress)
    return collect(run, arena, seconds=time.perf_counter() - started)


def backtest(
    name: str,
    *,
    bars: Bars | None = None,
    config: Mapping[str, Any] | None = None,
    cost_levels: Sequence[float] = (),
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
        from tradesentry.core.domain.errors import nearest

        key = sorted(unknown)[0]
        raise ConfigError(f"backtest() knows no setting {key!r}. {nearest(key, RunSettings.model_fields)}")
    run = resolve_run(
        name, bars=bars, config=config, path=path, overrides=overrides, settings=checked_settings(settings)
    )
    result = play(run, progress=progress)
    if cost_levels:
        others = {f"{level:g}x": play(run, cost_scale=level) for level in cost_levels if level != 1.0}
        result = result.with_cost_runs(others)
    return result


def checked_settings(values: Mapping[str, Any]) -> RunSettings:
    """Return settings from loose values.

    Raises:
        ConfigError: A value of the wrong type or out of bounds.
    """
    return load_config(RunSettings, file_values=values).value
