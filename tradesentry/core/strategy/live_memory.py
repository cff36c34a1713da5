"""Build the decision memory of a live account from its runs: markets, calendars, costs, limits, lanes.

The live twin of what `backtest.resolve` and `backtest.runner` do for a back-test, with a calendar that reaches past
today. Each run has market rows of its own, because sessions and blackouts are the strategy's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import numpy as np

from tradesentry.core.domain.errors import ConfigError
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.records import MARKET
from tradesentry.core.execution.setup import (
    CostProfile,
    LimitSettings,
    currency_table,
    fill_conversion,
    fill_market,
    new_account,
)
from tradesentry.core.market.bars import timeframe_ns
from tradesentry.core.market.calendar import build_calendar
from tradesentry.core.strategy.base_strategy import BaseStrategy, StrategyConfig
from tradesentry.core.strategy.decision_memory import DecisionMemory, LiveLane
from tradesentry.core.strategy.run_rules import rules_of
from tradesentry.core.utils.kernel import new_records

EQUITY_STEP_NS: Final = 3_600_000_000_000
"""Least time between two equity points: an hour, as in a back-test."""


@dataclass(frozen=True, slots=True)
class LiveRunSpec:
    """A strategy with its configuration on an account."""

    run_id: UUID
    strategy: type[BaseStrategy]
    config: StrategyConfig
    variant: str = "main"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Markets that it trades."""
        return tuple(self.config.symbols)


@dataclass(frozen=True, slots=True)
class LiveSetup:
    """What an account needs besides its runs."""

    instruments: Mapping[str, Instrument]
    """By symbol, as the venue trades them; also those that only convert."""
    costs: CostProfile
    limits: LimitSettings
    capital: float
    """Balance when the account begins, account currency."""
    currency: str
    calendar_ns: tuple[int, int]
    """First open and last close that the calendar must reach."""
    rates: Mapping[str, float] = field(default_factory=dict)
    news: Any = None
    """News calendar as `core.market.news` loads it; None without one."""
    converts: tuple[str, ...] = ()
    """Symbols that are not traded but convert for others."""


def live_markets(run: LiveRunSpec, setup: LiveSetup, currencies: Sequence[str]) -> Any:
    """Return the MARKET array of a run: its symbols, then those that convert.

    Args:
        run: The run.
        setup: Of the account.
        currencies: Currency table of the account.

    Raises:
        ConfigError: A symbol has no instrument, or nothing converts its quote currency.
    """
    names = _names(run, setup)
    items = [_instrument(setup, name) for name in names]
    markets = new_records(len(items), MARKET)
    rows = {name: i for i, name in enumerate(names)}
    spec = run.config.calendar()
    for i, item in enumerate(items):
        fill_market(markets[i], item, setup.costs, index=i, currencies=currencies)
        if i < len(run.symbols):
            fill_conversion(markets[i], item, account_currency=setup.currency, rows=rows, rates=setup.rates)
        markets["calendar"][i] = build_calendar(spec, item, *setup.calendar_ns, news=setup.news)[0]
    return markets


def _names(run: LiveRunSpec, setup: LiveSetup) -> list[str]:
    return list(dict.fromkeys((*run.symbols, *setup.converts)))


def _instrument(setup: LiveSetup, symbol: str) -> Instrument:
    if symbol not in setup.instruments:
        offered = ", ".join(sorted(setup.instruments)[:8])
        raise ConfigError(
            f"{symbol} is not traded at this venue, which offers {offered} and others. Take it out of `symbols`, "
            "or link an account that has it."
        )
    return setup.instruments[symbol]


def live_currencies(runs: Sequence[LiveRunSpec], setup: LiveSetup) -> list[str]:
    """Return the currencies of an account, its own first."""
    items = [_instrument(setup, name) for run in runs for name in _names(run, setup)]
    return currency_table(items, setup.currency)


def live_memory(runs: Sequence[LiveRunSpec], setup: LiveSetup) -> DecisionMemory:
    """Return the memory in which an account's runs decide, before its first bar.

    Args:
        runs: Strategies of the account; all on one timeframe.
        setup: Of the account.

    Raises:
        ConfigError: Timeframes differ, a symbol is unknown, or nothing converts a currency.
    """
    frames = sorted({run.config.timeframe for run in runs})
    if len(frames) > 1:
        raise ConfigError(
            f"The runs of one account trade on {', '.join(frames)}; an account decides on one timeframe. "
            "Link one account per timeframe."
        )
    currencies = live_currencies(runs, setup)
    parts = [live_markets(run, setup, currencies) for run in runs]
    lanes, symbols, offset = [], [], 0
    for number, (run, part) in enumerate(zip(runs, parts, strict=True)):
        symbols += _names(run, setup)
        for row in range(len(part)):
            part["index"][row] += offset
            if part["cross_index"][row] >= 0:
                part["cross_index"][row] += offset
        lanes += _lanes(run, setup, offset=offset, number=number)
        offset += len(part)
    limits = setup.limits.model_copy(update={"stop_out_level": 0.0})
    step_ns = max(EQUITY_STEP_NS, timeframe_ns(runs[0].config.timeframe))
    account = new_account(setup.capital, limits, n_currencies=len(currencies), equity_step_ns=step_ns)
    return DecisionMemory(np.concatenate(parts).view(np.recarray), symbols, account, lanes)


def _lanes(run: LiveRunSpec, setup: LiveSetup, *, offset: int, number: int) -> list[LiveLane]:
    config = run.config
    params = run.strategy.new_params(config)
    lanes = []
    for i, symbol in enumerate(run.symbols):
        item = _instrument(setup, symbol)
        warmup = run.strategy.bars_needed(config)
        rules = rules_of(config, pip=item.pip, warmup_bars=warmup, is_always_open=item.is_always_open)
        state = run.strategy.new_state(config)
        place = (run.run_id, symbol, offset + i)
        lanes.append(LiveLane(*place, run.strategy, params.copy(), state, rules, app=number, config=config))
    return lanes
