"""TradeSentry's side of the benchmarks: the same protocol as the peers, run by the project's own interpreter.

The engine runs as shipped: calendar, swap, margin, limits, equity points and full trade records are on. Two cost
models: `commission` is what every peer can express and what the comparison of trades uses; `full` adds spread, slippage
and swap, for the time that a real back-test takes.
"""

import functools
import sys
from typing import Any

import numpy as np
from peers.protocol import Describe, Job, Outcome, Work, new_trades, serve
from sma_cross import SmaCross, SmaCrossConfig
from workloads import CAPITAL, COMMISSION_FRACTION, MINUTE_NS, PIP, TICK, Bars, read_bars

import tradesentry
from tradesentry.backtest.arena import Arena, Lane
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.orders import ExitReason, TradingState
from tradesentry.core.domain.records import ACCOUNT, BAR, MARKET, RULES, TRADE
from tradesentry.core.execution.costs import Conversion
from tradesentry.core.market.calendar import CalendarSpec, build_calendar
from tradesentry.core.utils.kernel import new_records

HOUR_NS = 60 * MINUTE_NS
FULL_COSTS = {"spread_floor": 0.6 * PIP, "slippage_mean": 0.1 * PIP, "swap_long": -0.5 * PIP, "swap_short": -0.3 * PIP}
TRIPLE_WEDNESDAY = (1.0, 1.0, 3.0, 1.0, 1.0, 0.0, 0.0)


def to_bars(bars: Bars) -> np.ndarray[Any, Any]:
    """Return the shared series as engine bars; the spread comes from the market's floor."""
    records = np.zeros(len(bars), BAR)
    for name in ("open_ns", "open", "high", "low", "close", "volume"):
        records[name] = bars[name]
    records["close_ns"] = bars["open_ns"] + MINUTE_NS
    return records


def new_markets(series: dict[str, np.ndarray[Any, Any]], *, is_full: bool) -> np.recarray[Any, Any]:
    """Return one MARKET record per series, quoted in account currency."""
    markets = new_records(len(series), MARKET)
    from_ns = min(int(bars["open_ns"][0]) for bars in series.values())
    to_ns = max(int(bars["close_ns"][-1]) for bars in series.values())
    for index, symbol in enumerate(series):
        market = markets[index]
        market.index = index
        market.tick, market.pip = TICK, PIP
        market.contract_units, market.unit_step, market.unit_min, market.unit_max = 1e5, 1e3, 1e3, 1e7
        market.margin_fraction = 1 / 30
        market.commission_fraction = COMMISSION_FRACTION
        market.swap_day_weights = TRIPLE_WEDNESDAY
        market.spread_mult, market.cost_scale = 3.0, 1.0
        market.base_currency, market.quote_currency = index + 1, 0
        market.conversion, market.cross_index, market.fixed_rate = int(Conversion.FIXED), -1, 1.0
        if is_full:
            for name, value in FULL_COSTS.items():
                market[name] = value
        instrument = Instrument(symbol, "fx", symbol[:3], symbol[3:], TICK, PIP)
        markets["calendar"][index] = build_calendar(CalendarSpec(), instrument, from_ns, to_ns)[0]
    return markets


def new_account() -> np.recarray[Any, Any]:
    """Return a funded account with every limit switched on and wide enough not to bind."""
    accounts = new_records(1, ACCOUNT)
    account = accounts[0]
    for name in ("balance", "equity", "worst_equity", "free_margin", "peak_equity", "day_start_equity"):
        account[name] = CAPITAL
    account.trading_state = int(TradingState.ACTIVE)
    account.n_currencies = 32
    account.equity_step_ns = HOUR_NS
    account.kelly_fraction = np.nan
    limits = account.limits
    limits.is_on = True
    for name in ("max_idea_risk", "max_open_risk", "max_app_risk", "max_currency_risk", "max_cluster_risk"):
        limits[name] = 1.0
    limits.max_currency_net = limits.max_currency_gross = limits.max_leverage = 30.0
    limits.min_free_margin = 0.1
    limits.max_notional = np.inf
    limits.max_positions, limits.max_per_market, limits.max_trades_per_day = 1_000, 10, 1_000_000
    limits.daily_loss = limits.market_daily_loss = 0.5
    limits.drawdown_warn, limits.drawdown_reduce, limits.drawdown_halt = 0.7, 0.8, 0.9
    limits.stop_out_level = 0.5
    return accounts


def new_rules() -> Any:
    """Return rules that hold positions over the weekend, as the peers do."""
    rules = new_records(1, RULES)[0]
    rules.bar_ns = MINUTE_NS
    return rules


def back_test(series: dict[str, np.ndarray[Any, Any]], markets: np.recarray[Any, Any]) -> Arena:
    """Return the finished run: fresh account, books and states, every bar, every trade."""
    config = SmaCrossConfig()
    rules = new_rules()
    lanes = [
        Lane(index, SmaCross.new_params(config), SmaCross.new_state(config), rules) for index in range(len(series))
    ]
    arena = Arena(SmaCross.pointer(), markets=markets, bars=list(series.values()), lanes=lanes, account=new_account())
    arena.run()
    return arena


def describe(arena: Arena, series: dict[str, np.ndarray[Any, Any]]) -> Outcome:
    """Return the trades in the common form, ordered by symbol, then entry."""
    parts = []
    rows = np.asarray(arena.trade_rows.view(np.ndarray), TRADE)
    for index, bars in enumerate(series.values()):
        own = rows[rows["market"] == index]
        own = own[np.argsort(own["entry_ns"], kind="stable")]
        entry_bar = np.searchsorted(bars["open_ns"], own["entry_ns"])
        trades = new_trades(len(own))
        trades["signal_bar"] = entry_bar - 1
        trades["exit_bar"] = entry_bar + own["bars_held"]
        trades["is_open"] = own["exit_reason"] == int(ExitReason.END_OF_DATA)
        for name in ("side", "entry_price", "exit_price", "net"):
            trades[name] = own[name]
        parts.append(trades)
    return Outcome(np.concatenate(parts), float(arena.account.balance[0]) - CAPITAL)


def prepare(job: Job, *, is_full: bool) -> tuple[Work, Describe]:
    """Return one back-test on the bars of `job`."""
    stored = read_bars(job.data, job.n_symbols, job.n_bars_stored)
    series = {symbol: to_bars(bars[: job.n_bars]) for symbol, bars in stored.items()}
    markets = new_markets(series, is_full=is_full)
    return functools.partial(back_test, series, markets), functools.partial(describe, series=series)


def main() -> None:
    """Serve one of the two cost models; the first argument says which."""
    costs = sys.argv.pop(1)
    is_full = costs == "full"
    name = "TradeSentry" + (" (full costs)" if is_full else "")
    serve(name, lambda: tradesentry.__version__, functools.partial(prepare, is_full=is_full))


if __name__ == "__main__":
    main()
