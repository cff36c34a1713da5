"""Runs, data sets and environments of drlfusion for tests, and the engine playing the targets that an environment got.

`TargetPlayer` is the counterpart of an environment on the other side of every proof: a strategy that builds the
observation inside the engine and trades a table of targets, one per bar.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.envs.market_data import ModelConstants, market_data
from tradesentry.apps.drlfusion.envs.simulation_env import SimulationEnv
from tradesentry.apps.drlfusion.helpers import (
    BARS_NEEDED,
    HOLDING,
    N_FEATURES,
    N_MARKET,
    OBSERVER,
    PARAMS,
    blank_params,
    emit_target,
    normalize,
    observe_market,
    observe_own,
    shape_target,
)
from tradesentry.backtest.arena import Arena, Lane
from tradesentry.backtest.data import DataRequest, load_market_data
from tradesentry.backtest.resolve import ResolvedRun, RunSettings, _markets
from tradesentry.core.execution.decide import ANY_STEP, step_signature
from tradesentry.core.execution.setup import cost_profile, currency_table, limit_profile, new_account
from tradesentry.core.market.instruments import instrument
from tradesentry.core.market.synthetic import synthetic_bars
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.run_rules import rules_of
from tradesentry.core.utils.config_loader import Resolved
from tradesentry.core.utils.kernel import address_of, function_pointer, kernel, new_records, record_at

TARGET = np.dtype([("x", "f8"), ("is_given", "b1")], align=True)
SEEN = np.dtype([("observation", "f4", (N_FEATURES,))], align=True)
PLAYER_PARAMS = np.dtype([("model", PARAMS), ("targets", "i8"), ("seen", "i8")], align=True)
PLAYER_STATE = np.dtype([("observer", OBSERVER), ("holding", HOLDING), ("raw", "f4", (N_FEATURES,))], align=True)
target_at = record_at(TARGET)
seen_at = record_at(SEEN)


@kernel
def step(params, state, bar, view, intents):
    """Observe the bar, keep the observation, trade the target of the table."""
    if not observe_market(params.model, state.observer, bar, view):
        return 0
    seen = state.observer.hygiene.bar
    observe_own(params.model, state.holding, seen, view, state.raw)
    for i in range(N_MARKET):
        state.raw[i] = state.observer.features[i]
    normalize(params.model, state.raw, seen_at(params.seen, view.bar_index - 1).observation)
    target = target_at(params.targets, view.bar_index - 1)
    if not target.is_given:
        return 0
    observer = state.observer
    level = shape_target(params.model, state.holding, seen, view, target.x, observer.turbulence, observer.volatility)
    return emit_target(params.model, state.holding, seen, view, observer.atr.value, level, intents)


@cache
def _pointer():
    return function_pointer(step, exact=step_signature(PLAYER_PARAMS, PLAYER_STATE), general=ANY_STEP)


def settings_of(**settings):
    """Return run settings on made bars."""
    return RunSettings(**({"source": "synthetic:teaching:1", "from_": "2022-01-03", "to": "2022-04-04"} | settings))


def made_run(symbols=("EURUSD",), *, config=None, series=None, **settings):
    """Return a resolved run of the app's configuration without asking the app.

    Args:
        symbols: Markets.
        config: Values that differ from the defaults.
        series: Bars instead of those of the settings' source.
        settings: Fields of `RunSettings`.
    """
    chosen = DrlFusionConfig(symbols=tuple(symbols), **(config or {}))
    settings = settings_of(**(settings if series is None else {"from_": None, "to": None} | settings))
    request = DataRequest(
        symbols=chosen.symbols,
        timeframe=chosen.timeframe,
        source=settings.source,
        account_currency=settings.account_currency,
        rates=settings.rates,
        intrabar="pessimistic",
        from_=settings.from_,
        to=settings.to,
    )
    data = load_market_data(request, series)
    items = tuple(instrument(s.symbol) for s in data.series)
    costs = cost_profile(settings.costs)
    markets = _markets(chosen, settings, items, data, costs)
    strategy: Any = BaseStrategy
    limits = limit_profile(settings.limits)
    return ResolvedRun(strategy, Resolved(chosen, {}), settings, data, items, costs, limits, markets)


def torn_series(symbols, *, n_bars, seed=3, timeframe="H1"):
    """Return bars with holes, jumps and wide spreads at the rollover."""
    made = synthetic_bars(
        list(symbols), timeframe=timeframe, start="2022-01-03", n_bars=n_bars, seed=seed, variant="teaching",
        gaps=0.3, jumps=60.0,
    )  # fmt: skip
    return list(made.values())


def dyadic_run(symbols=("EURUSD",), *, tick=2.0**-17, spread_ticks=8, n_bars=1_500, seed=5, config=None):
    """Return a run whose prices lie on a binary grid, with one spread and no other costs: it has an exact mirror."""
    made = synthetic_bars(
        list(symbols), timeframe="H1", start="2022-01-03", n_bars=n_bars, seed=seed, variant="teaching", tick=tick
    )
    series = []
    for one in made.values():
        bars = one.bars.copy()
        bars["spread"] = spread_ticks * tick
        series.append(replace(one, bars=bars))
    run = made_run(symbols, series=series, costs="free", limits="off", config=config)
    run.markets["tick"] = tick
    return replace(run, items=tuple(replace(item, tick=tick) for item in run.items))


def environment(run, data=None, *, mirrors=False, **settings):
    """Return an environment of a run: its costs and limits, its bars, no normalizer unless one is given."""
    data = market_data(run, mirrors=mirrors) if data is None else data
    plain = {"constants": ModelConstants.plain(), "limits": run.limits, "capital": run.settings.capital}
    return SimulationEnv.of(data, config=run.config, **(plain | settings))


class TargetPlayer:
    """The engine on one market of a run, trading a table of targets.

    Args:
        run: The run; converting markets are played along.
        market: Row of the market.
        targets: Wish at the close of each bar, NaN for bars without one, shape (n_bars,).
        params: Parameters of the app, shape (1,); blank ones when None.
    """

    def __init__(self, run, market, targets, params=None):
        item = run.items[market]
        self.targets = np.zeros(len(targets), TARGET).view(np.recarray)
        self.targets.x, self.targets.is_given = np.nan_to_num(targets), np.isfinite(targets)
        self.seen = np.zeros(len(targets), SEEN).view(np.recarray)
        self.params = new_records(1, PLAYER_PARAMS)
        self.params["model"] = blank_params(run.config) if params is None else params
        self.params["targets"], self.params["seen"] = address_of(self.targets), address_of(self.seen)
        rules = rules_of(run.config, pip=item.pip, warmup_bars=BARS_NEEDED, is_always_open=item.is_always_open)
        lane = Lane(market, self.params, new_records(1, PLAYER_STATE), rules)
        account = new_account(
            run.settings.capital,
            run.limits,
            n_currencies=len(currency_table(run.items, run.settings.account_currency)),
            equity_step_ns=1,
        )
        markets = run.markets.copy()
        markets["cost_scale"] = run.settings.cost_scale
        self.arena = Arena(
            _pointer(), markets=markets, bars=[s.bars for s in run.data.series], lanes=[lane], account=account
        )
        self.bars = run.data.series[market].bars

    def run(self):
        """Play every bar, leave open what is open, and return the equity at the close of each, shape (n_bars,)."""
        while self.arena.play():
            pass
        rows = self.arena.equity_rows
        return rows["equity"][np.searchsorted(rows["ts_ns"], self.bars["close_ns"])]
