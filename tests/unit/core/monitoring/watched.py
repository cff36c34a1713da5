"""A position that `settle` guards, and the same one as a live trade that a watcher guards."""

from dataclasses import replace
from decimal import Decimal

import numpy as np

from tests.support.markets import MINUTE_NS, make_bars, new_account, new_markets, rules_of
from tests.support.venues import MATCHING, NO_LIMIT
from tradesentry.core.broker.paper_memory import PaperMemory, new_intent
from tradesentry.core.domain.clock import FakeClock
from tradesentry.core.domain.live_account import LiveTrade, Protect, Reduce
from tradesentry.core.domain.money import decimal_of
from tradesentry.core.domain.orders import Action, OrderType, Side
from tradesentry.core.execution.stop_rules import STOP_RULES
from tradesentry.core.monitoring.trade_watcher import TradeWatcher, WatchedMarket

THURSDAY = "2024-01-11T12:00"
BARS_TO_WEEK_END = 136
"""Of 15 minutes from Thursday noon to Friday 22:00."""


def walk(n, *, seed, price=1.1, spread=0.00012, gap_after=BARS_TO_WEEK_END - 1):
    """Return `n` bars of a random walk from Thursday noon, with the weekend as a gap."""
    random = np.random.default_rng(seed)
    steps = np.abs(random.normal(0, 0.0004 * price, (n, 2)))
    closes = price + np.cumsum(random.normal(0, 0.0006 * price, n))
    opens = np.concatenate([[price], closes[:-1]])
    rows = np.stack(
        [opens, np.maximum(opens, closes) + steps[:, 0], np.minimum(opens, closes) - steps[:, 1], closes], axis=1
    )
    gap = gap_after if n > gap_after else None
    spreads = spread * random.uniform(0.5, 2.0, n)
    return make_bars(np.round(rows, 5), start=THURSDAY, spread=spreads, gap_after=gap, gap_minutes=48 * 60)


class Bench:
    """A paper account whose books `settle` guards, and a watcher that is shown the same bars.

    What the watcher proposes is accepted at once by an imaginary venue; its stops are kept in `stops`.
    """

    def __init__(self, symbols=("EURUSD",), *, rules=None, repeat_seconds=0.0, **numbers):
        self.symbols = symbols
        self.rules = rules_of() if rules is None else rules
        markets = new_markets(symbols, **numbers)
        self.memory = PaperMemory(markets, new_account(10_000_000.0, **NO_LIMIT), self.rules, MATCHING)
        self.clock = FakeClock(0)
        self.repeat_seconds = repeat_seconds
        self.tickets = {}
        self.stops = {}
        self.entries = {}
        self.watcher = self.new_watcher()

    def new_watcher(self):
        """Return a watcher that knows nothing yet."""
        memory = self.memory
        watched = {
            symbol: WatchedMarket(memory.desk, m, memory.markets[m], memory.quotes[m], self.rules)
            for m, symbol in enumerate(self.symbols)
        }
        return TradeWatcher(STOP_RULES, watched, self.clock, repeat_seconds=self.repeat_seconds)

    def enter(self, side, stop, *, m=0, units=20_000.0, kind=OrderType.MARKET, price=np.nan, target=np.nan, **exits):
        """Send an entry to the book; it works from the next bar."""
        tag = len(self.tickets) + 1
        signal = float(self.memory.quotes[m].bid)
        intent = new_intent(
            Action.ENTER, side=side, type=int(kind), units=units, stop_loss=stop, take_profit=target, price=price,
            signal_price=signal, tag=tag,
        )  # fmt: skip
        for name, value in exits.items():
            intent["exits"][name] = value
        self.tickets[tag] = (np.asarray(intent).tobytes().hex(), kind)
        if kind is OrderType.MARKET:
            self.memory.queue(m, intent)
        else:
            self.memory.rest(m, intent, 0)

    def settle(self, bars):
        """Show bars to the account, by market row, and return the trades that were open before or are open now."""
        before = self.trades()
        now = max(int(bar["close_ns"]) for bar in bars.values())
        self.changes = self.memory.settle(bars, now, is_quote=False)
        for m, bar in bars.items():
            for row in self.memory.positions(m):
                ref = f"{m}-{int(row.id)}"
                if ref not in self.entries:
                    spread = float(self.memory.quotes[m].spread) * float(self.memory.markets[m].cost_scale)
                    at_open = float(bar["open"]) + (spread if row.side > 0 else 0.0)
                    is_inside = self.tickets[int(row.tag)][1] is not OrderType.MARKET and row.entry_price != at_open
                    # An entry inside a bar is stamped with its open by the kernels, and with its moment by a venue.
                    self.entries[ref] = int(bar["open_ns"]) + (7 * MINUTE_NS if is_inside else 0)
                    self.stops[ref] = float(row.initial_stop)
        return before | self.trades()

    def trades(self):
        """Return the open positions as live trades, guarded by the stops that were accepted."""
        found = {}
        for m, symbol in enumerate(self.symbols):
            for row in self.memory.positions(m):
                ref = f"{m}-{int(row.id)}"
                if ref in self.entries:
                    found[ref] = self.trade(ref, symbol, row)
        return found

    def trade(self, ref, symbol, row):
        return LiveTrade(
            trade_ref=ref, key="k", seq=1, run=None, symbol=symbol, side=Side(int(row.side)),
            units=decimal_of(float(row.units)), initial_units=decimal_of(float(row.initial_units)),
            entry_price=float(row.entry_price), entry_ts_ns=self.entries[ref], stop_loss=self.stops[ref],
            take_profit=None, initial_stop=float(row.initial_stop), commission=decimal_of(float(row.commission)),
            swap=decimal_of(float(row.swap)), ticket=self.tickets[int(row.tag)][0],
        )  # fmt: skip

    def propose(self, trades, bars, quotes=None):
        """Ask the watcher and accept the stops it proposes; return the proposals."""
        shown = {self.symbols[m]: bar for m, bar in bars.items()}
        proposals = self.watcher.propose(trades.values(), shown, quotes or {})
        for proposal in proposals:
            if isinstance(proposal.wish, Protect):
                self.stops[proposal.wish.trade_ref] = proposal.wish.stop_loss
        return proposals

    def settled_stop(self, ref):
        """Return the stop that `settle` has for a trade."""
        m, position_id = map(int, ref.split("-"))
        return float(self.memory.position(m, position_id).stop_loss)


def exits_of(proposals):
    """Return (trade, remaining units, reason) of the reductions."""
    return [(p.wish.trade_ref, p.wish.remaining_units, p.reason) for p in proposals if isinstance(p.wish, Reduce)]


def stops_of(proposals):
    """Return {trade: stop} of the stop moves."""
    return {p.wish.trade_ref: p.wish.stop_loss for p in proposals if isinstance(p.wish, Protect)}


def with_units(trade, units):
    """Return the trade with other open units."""
    return replace(trade, units=Decimal(units))
