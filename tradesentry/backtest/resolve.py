"""Resolve what a back-test needs before anything runs: configuration, data, calendar, costs, limits.

Whatever is wrong with a request is found here and said before the first bar; `runner` only plays what is resolved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from tradesentry.backtest.data import Bars, DataRequest, MarketData, load_market_data
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.records import MARKET
from tradesentry.core.execution.setup import (
    CostProfile,
    LimitSettings,
    cost_profile,
    currency_table,
    fill_conversion,
    fill_market,
    limit_profile,
)
from tradesentry.core.market.calendar import build_calendar
from tradesentry.core.market.instruments import canonical_symbol, instrument
from tradesentry.core.strategy.base_strategy import BaseStrategy, StrategyConfig
from tradesentry.core.strategy.strategy_registry import strategy
from tradesentry.core.utils.config_loader import Resolved, load_config
from tradesentry.core.utils.config_model import FrozenModel
from tradesentry.core.utils.kernel import new_records


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
    if (
        bars is not None
        and not (config and "symbols" in config)
        and not any(o.startswith("symbols") for o in overrides)
    ):
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
        chosen,
        resolved,
        settings,
        data,
        items,
        costs,
        limit_profile(settings.limits),
        markets,
        (*_notices(chosen, value), *_warnings(settings, data)),
    )


def _notices(chosen: type[BaseStrategy], config: StrategyConfig) -> tuple[str, ...]:
    """Return what a strategy says of what it runs on, such as where its weights come from: its `notices(config)`."""
    tell = getattr(chosen, "notices", None)
    return () if tell is None else tuple(tell(config))


def _warnings(settings: RunSettings, data: MarketData) -> tuple[str, ...]:
    notes = []
    for series in data.series[: data.n_traded]:
        share = float(np.mean(series.bars["spread"] <= 0)) if len(series.bars) else 0.0
        if share > 0:
            notes.append(
                f"{series.symbol}: {share:.0%} of bars carry no spread; cost profile {settings.costs!r} fills in."
            )
    if settings.limits == "off":
        notes.append("Account limits are off: results describe the rules, not what an account would have done.")
    if settings.costs == "free" or settings.cost_scale == 0:
        notes.append("No costs: for proofs and comparisons, never for decisions.")
    return tuple(notes)


def checked_settings(values: Mapping[str, Any]) -> RunSettings:
    """Return settings from loose values.

    Raises:
        ConfigError: A value of the wrong type or out of bounds.
    """
    return load_config(RunSettings, file_values=values).value
