"""TradeSentry's side of the benchmarks: the same protocol as the peers, run by the project's own interpreter.

The engine runs as shipped: calendar, swap, margin, limits, equity points and full trade records are on. Two cost
models: `commission` is what every peer can express and what the comparison of trades uses; `full` adds spread, slippage
and swap, for the time that a real back-test takes. Limits are wide enough not to bind, since peers have none.
"""

import functools
import sys
from typing import Any

import numpy as np
from peers.protocol import Describe, Job, Outcome, Work, new_trades, serve
from sma_cross import SmaCross, SmaCrossConfig
from workloads import CAPITAL, COMMISSION_FRACTION, MINUTE_NS, PIP, TICK, VARIANTS, Bars, read_bars

import tradesentry
from tradesentry.backtest.arena import Arena, Lane
from tradesentry.core.domain.instruments import Instrument
from tradesentry.core.domain.orders import ExitReason
from tradesentry.core.domain.records import BAR, MARKET, TRADE
from tradesentry.core.execution.setup import (
    CostProfile,
    LimitSettings,
    currency_table,
    fill_conversion,
    fill_market,
    new_account,
    new_rules,
)
from tradesentry.core.market.calendar import build_calendar
from tradesentry.core.utils.kernel import new_records

Series = dict[str, np.ndarray[Any, Any]]
HOUR_NS = 60 * MINUTE_NS
COMMISSION = CostProfile(commission_per_million=COMMISSION_FRACTION * 1e6)
COSTS = {
    "full": COMMISSION.model_copy(update={"spread_factor": 0.3}),
    "commission": COMMISSION.model_copy(update={"spread_factor": 0.0, "slippage_pips": 0.0, "swap_factor": 0.0}),
}
LIMITS = LimitSettings(max_trades_per_day=100_000, drawdown_warn=0.7, drawdown_reduce=0.8, drawdown_halt=0.9)


def to_bars(bars: Bars) -> np.ndarray[Any, Any]:
    """Return the shared series as engine bars; the spread comes from the market's floor."""
    records = np.zeros(len(bars), BAR)
    for name in ("open_ns", "open", "high", "low", "close", "volume"):
        records[name] = bars[name]
    records["close_ns"] = bars["open_ns"] + MINUTE_NS
    return records


def new_markets(series: Series, costs: CostProfile) -> Any:
    """Return one MARKET record per series, quoted in account currency."""
    items = [Instrument(symbol, "fx", symbol[:3], symbol[3:], TICK, PIP) for symbol in series]
    currencies = currency_table(items, "USD")
    markets = new_records(len(items), MARKET)
    from_ns = min(int(bars["open_ns"][0]) for bars in series.values())
    to_ns = max(int(bars["close_ns"][-1]) for bars in series.values())
    for index, item in enumerate(items):
        fill_market(markets[index], item, costs, index=index, currencies=currencies)
        fill_conversion(markets[index], item, account_currency="USD", rows={}, rates={})
        markets["calendar"][index] = build_calendar(SmaCrossConfig().calendar(), item, from_ns, to_ns)[0]
    return markets


def new_arena(series: Series, markets: Any, config: SmaCrossConfig | None = None) -> Arena:
    """Return fresh memory for one run: account, books and states before the first bar."""
    config = config or SmaCrossConfig()
    rules = new_rules(bar_ns=MINUTE_NS, pip=PIP, weekend="hold")[0]
    lanes = [Lane(m, SmaCross.new_params(config), SmaCross.new_state(config), rules) for m in range(len(series))]
    account = new_account(CAPITAL, LIMITS, n_currencies=len(series) + 1, equity_step_ns=HOUR_NS)
    return Arena(SmaCross.pointer(), markets=markets, bars=list(series.values()), lanes=lanes, account=account)


def back_test(series: Series, markets: Any) -> Arena:
    """Return the finished run: every bar, every trade."""
    arena = new_arena(series, markets)
    arena.run()
    return arena


def sweep(series: Series, markets: Any, n_variants: int) -> tuple[np.ndarray[Any, Any], float]:
    """Return all trades of the first variants, each on an account of its own, and their profit."""
    trades, net = [], 0.0
    for fast_bars, slow_bars in VARIANTS[:n_variants]:
        arena = new_arena(series, markets, SmaCrossConfig(fast_bars=fast_bars, slow_bars=slow_bars))
        arena.run()
        trades.append(np.array(arena.trade_rows["net"]))
        net += float(arena.account.balance[0]) - CAPITAL
    return np.concatenate(trades), net


def describe_sweep(result: tuple[np.ndarray[Any, Any], float]) -> Outcome:
    """Return what a sweep found: how many trades, and their results."""
    nets, total = result
    trades = new_trades(len(nets))
    trades["net"] = nets
    return Outcome(trades, total)


def describe(arena: Arena, series: Series) -> Outcome:
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


def prepare(job: Job, *, costs: str) -> tuple[Work, Describe]:
    """Return one back-test on the bars of `job`."""
    stored = read_bars(job.data, job.n_symbols, job.n_bars_stored)
    series = {symbol: to_bars(bars[: job.n_bars]) for symbol, bars in stored.items()}
    markets = new_markets(series, COSTS[costs])
    if job.n_variants > 1:
        return functools.partial(sweep, series, markets, job.n_variants), describe_sweep
    return functools.partial(back_test, series, markets), functools.partial(describe, series=series)


def main() -> None:
    """Serve one of the two cost models; the first argument says which."""
    costs = sys.argv.pop(1)
    name = "TradeSentry" + (" (full costs)" if costs == "full" else "")
    serve(name, lambda: tradesentry.__version__, functools.partial(prepare, costs=costs))


if __name__ == "__main__":
    main()
