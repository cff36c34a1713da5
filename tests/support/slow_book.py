"""The book of one strategy on one market in plain Python: how a bar fills its orders and ends its positions."""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

from tests.support.slow_records import Position, Trade
from tradesentry.core.domain.orders import Action, ExitReason, OrderType, RejectCode, TrailMode

NEAR = 1e-3
"""Prices closer than this share of a tick are the same price."""


@dataclass
class SlowBook:
    """Orders, positions and queue of one strategy on one market."""

    engine: object
    market: object
    rules: SimpleNamespace
    script: list
    variant: int
    app: int
    positions: list = field(default_factory=list)
    orders: list = field(default_factory=list)
    queue: list = field(default_factory=list)
    seen: list = field(default_factory=list)
    bar_index: int = 0
    piece: int = 0
    day: object = None
    realized: float = 0.0
    day_start_value: float = 0.0
    unrealized: float = 0.0
    worst_unrealized: float = 0.0
    margin: float = 0.0
    is_locked: bool = False
    flatten_reason: ExitReason = ExitReason.NONE
    baskets_filled: set = field(default_factory=set)
    entry_times: list = field(default_factory=list)

    @property
    def near(self):
        return NEAR * self.market.m.tick

    def pay(self, money):
        self.realized += money
        self.engine.account.balance += money

    def settle(self):
        """Settle the present bar: day roll and swap, open, inside, close."""
        market = self.market
        if self.bar_index > 0 and market.day is not self.day:
            self.roll_day()
        self.day = market.day
        self.bar_index += 1
        for n, bar in enumerate(market.pieces()):
            self.piece += 1
            self.baskets_filled = set()
            self.at_open(bar, is_first=n == 0)
            self.inside(bar)
        self.at_close(market.bar)

    def roll_day(self):
        """Book the swap of every FX day that ended since the last bar: the new day starts with what is left."""
        days = self.market.days
        for day in days[days.index(self.day) : days.index(self.market.day)]:
            for position in self.positions:
                money = self.market.swap(position, day)
                position.swap += money
                self.engine.account.day_start_equity += money
                self.pay(money)
        self.day_start_value = self.realized + self.unrealized
        self.is_locked = False

    def open(self, ticket, price, ts_ns, *, slips, is_inside):
        """Open a position and charge its commission."""
        market, account = self.market, self.engine.account
        account.last_id += 1
        account.trades_today += 1
        number = self.entry_times.count(ts_ns)
        self.entry_times.append(ts_ns)
        slip = market.slippage(ts_ns, number, 0) if slips else 0.0
        fill = price + ticket.side * slip
        position = Position(
            account.last_id, ticket.side, ticket.units, fill, ts_ns, self.bar_index, market.day.week_end_ns,
            ticket.stop_loss, ticket.take_profit, ticket.basket, ticket.tag, ticket.exits, self.piece, is_inside,
            number,
        )  # fmt: skip
        position.initial_units, position.initial_stop = ticket.units, ticket.stop_loss
        value = market.price_unit_value(fill, fill, ts_ns)
        position.risk_money = position.distance * ticket.units * value
        position.slippage = slip * ticket.units * value
        position.spread_cost = (market.ask - market.bid) / 2 * ticket.units * value
        position.commission = market.commission(ticket.units, ticket.units * fill * value)
        self.pay(-position.commission)
        self.positions.append(position)
        if ticket.basket:
            self.baskets_filled.add(ticket.basket)

    def reduce(self, position, units, price, ts_ns, reason, *, slips=False):
        """Close some units; write the trade when none are left."""
        market = self.market
        position.n_exits += 1
        slip = market.slippage(position.entry_ns, position.number, position.n_exits) if slips else 0.0
        fill = price - position.side * slip
        gain = position.side * (fill - position.entry_price)
        gross = market.to_account(gain * units, fill, fill, ts_ns)
        value = market.price_unit_value(fill, fill, ts_ns)
        fee = market.commission(units, units * fill * value)
        position.realized += gross
        position.commission += fee
        position.slippage += slip * units * value
        position.spread_cost += (market.ask - market.bid) / 2 * units * value
        position.exit_value += units * fill
        position.units -= units
        position.mfe, position.mae = max(position.mfe, gain), max(position.mae, -gain)
        self.pay(gross - fee)
        if position.units <= 1e-9:
            self.positions.remove(position)
            self.engine.trades.append(self.trade_of(position, ts_ns, reason))

    def trade_of(self, p, ts_ns, reason):
        net = p.realized - p.commission + p.swap
        return Trade(
            self.market.index, self.variant, p.id, p.side, p.initial_units, p.entry_ns, ts_ns, p.entry_price,
            p.exit_value / p.initial_units, p.initial_stop, p.realized, p.commission, p.swap, p.slippage, p.spread_cost,
            net, net / p.risk_money if p.risk_money > 0 else math.nan, p.mae / p.distance if p.distance else math.nan,
            p.mfe / p.distance if p.distance else math.nan, self.bar_index - p.entry_bar, ExitReason(reason),
            p.basket, p.tag,
        )  # fmt: skip

    def cancel_entries(self, now, code):
        """Cancel every resting order and queued entry, each with its reason."""
        for ticket in self.orders + [q for q in self.queue if q.action == Action.ENTER]:
            self.engine.reject(now, self, code, ticket)
        self.orders = []
        self.queue = [q for q in self.queue if q.action != Action.ENTER]

    def reached(self, side, price, level):
        """Say whether `price` has come up (side 1) or down (side -1) to `level`."""
        return side * (price - level) >= -self.near

    def at_open(self, bar, *, is_first):
        """Fill what the open decides: closes, positions whose stop or target it passed, entries."""
        bid, ask = bar.open, bar.open + bar.cost_spread
        for position in list(self.positions):
            if self.flatten_reason:
                price = bid if position.side > 0 else ask
                self.reduce(position, position.units, price, bar.open_ns, self.flatten_reason, slips=True)
        self.flatten_reason = ExitReason.NONE
        queue, self.queue = self.queue, []
        for intent in [q for q in queue if q.action == Action.CLOSE]:
            self.close_asked(intent, bid, ask, bar.open_ns)
        for position in list(self.positions):
            self.position_at_open(position, bid if position.side > 0 else ask, bar.open_ns)
        for intent in [q for q in queue if q.action == Action.ENTER]:
            self.market_entry(intent, bar)
        self.orders_at_open(bid, ask, bar.open_ns, is_first=is_first)

    def close_asked(self, intent, bid, ask, ts_ns):
        for p in list(self.positions):
            meant = p.id == intent.target_id if intent.target_id > 0 else intent.basket in (0, p.basket)
            if meant and intent.side in (0, p.side) and p.units - intent.size > 1e-9:
                reason = ExitReason(intent.reason) if intent.reason > 0 else ExitReason.STRATEGY
                self.reduce(p, p.units - intent.size, bid if p.side > 0 else ask, ts_ns, reason, slips=True)

    def position_at_open(self, p, price, ts_ns):
        """A stop that the open passed fills there, worse; a target there too, better."""
        if self.reached(-p.side, price, p.stop_loss):
            self.reduce(p, p.units, price, ts_ns, p.stop_reason, slips=True)
        elif self.rules.weekend_flatten and ts_ns >= p.week_end_ns:
            self.reduce(p, p.units, price, ts_ns, ExitReason.WEEKEND, slips=True)
        elif self.reached(p.side, price, p.take_profit):
            self.reduce(p, p.units, price, ts_ns, ExitReason.TAKE_PROFIT)
        else:
            self.take_partials(p, best=price, at_open=price, ts_ns=ts_ns)

    def market_entry(self, intent, bar):
        """Whether the open is too far is judged by the plain spread; the fill pays the cost of it."""
        ts_ns, is_buy = bar.open_ns, intent.side > 0
        price = bar.open + bar.plain_spread if is_buy else bar.open
        drift, allowed = abs(price - intent.signal_price), abs(intent.signal_price - intent.stop_loss) / 2
        if self.market.is_gap:
            self.engine.reject(ts_ns, self, RejectCode.DATA_GAP, intent)
        elif drift > allowed + self.near:
            self.engine.reject(ts_ns, self, RejectCode.OPEN_TOO_FAR, intent)
        else:
            price = bar.open + bar.cost_spread if is_buy else bar.open
            self.open(intent, price, ts_ns, slips=True, is_inside=False)

    def cancel_siblings(self, group, ts_ns, code):
        """Take out what is left of a group of orders of which one cancels the others."""
        siblings = [o for o in self.orders if group and o.group == group]
        for order in siblings:
            self.engine.reject(ts_ns, self, code, order)
        self.orders = [o for o in self.orders if o not in siblings]

    def orders_at_open(self, bid, ask, ts_ns, *, is_first):
        for order in list(self.orders):
            if order not in self.orders:
                continue
            price, exit_price = (ask, bid) if order.side > 0 else (bid, ask)
            is_limit = order.type == OrderType.LIMIT
            if is_limit:
                passed = self.reached(-order.side, price, order.price - order.side * self.market.m.tick)
            else:
                passed = self.reached(order.side, price, order.price)
            if order.expiry_ns and ts_ns >= order.expiry_ns:
                self.engine.reject(ts_ns, self, RejectCode.ORDER_EXPIRED, order)
                self.orders.remove(order)
            elif passed and self.reached(-order.side, exit_price, order.stop_loss):
                self.engine.reject(ts_ns, self, RejectCode.GAP_BEYOND_STOP, order)
                self.orders.remove(order)
            elif passed:
                self.open(order, price, ts_ns, slips=not is_limit, is_inside=not is_first)
                self.orders.remove(order)
                self.cancel_siblings(order.group, ts_ns, RejectCode.SIBLING_FILLED)

    def is_touched(self, order, bar):
        """A limit needs a trade through by one tick at the side it meets, a stop a touch."""
        toward = -order.side if order.type == OrderType.LIMIT else order.side
        extreme = bar.high if toward > 0 else bar.low
        price = extreme + bar.cost_spread if order.side > 0 else extreme
        through = self.market.m.tick if order.type == OrderType.LIMIT else 0.0
        return self.reached(toward, price, order.price + toward * through)

    def inside(self, bar):
        """Entries, then stops (also of the entries), then targets of what was open before."""
        for order in list(self.orders):
            if order not in self.orders or not self.is_touched(order, bar):
                continue
            siblings = [o for o in self.orders if o is not order and order.group and o.group == order.group]
            if order.skip_if_both and any(self.is_touched(o, bar) for o in siblings):
                self.cancel_siblings(order.group, bar.open_ns, RejectCode.AMBIGUOUS_BAR)
                continue
            slips = order.type != OrderType.LIMIT
            self.open(order, order.price, bar.open_ns, slips=slips, is_inside=True)
            self.orders.remove(order)
            self.cancel_siblings(order.group, bar.open_ns, RejectCode.SIBLING_FILLED)
        for p in list(self.positions):
            worst = bar.low if p.side > 0 else bar.high + bar.cost_spread
            if self.reached(-p.side, worst, p.stop_loss):
                at_open = bar.open if p.side > 0 else bar.open + bar.cost_spread
                price = p.stop_loss if p.is_inside and p.piece == self.piece else worse(p.side, p.stop_loss, at_open)
                self.reduce(p, p.units, price, bar.close_ns, p.stop_reason, slips=True)
        for p in list(self.positions):
            if p.piece == self.piece or p.basket in self.baskets_filled:
                continue
            best = bar.high if p.side > 0 else bar.low + bar.cost_spread
            at_open = bar.open if p.side > 0 else bar.open + bar.cost_spread
            self.take_partials(p, best=best, at_open=at_open, ts_ns=bar.close_ns)
            if p in self.positions and self.reached(p.side, best, p.take_profit):
                self.reduce(p, p.units, p.take_profit, bar.close_ns, ExitReason.TAKE_PROFIT)

    def take_partials(self, p, *, best, at_open, ts_ns):
        """Take the steps of a partial profit that `best` reaches, at the open where that is better."""
        while p in self.positions and p.steps_taken < 3 and p.exits.partial_r[p.steps_taken] > 0:
            level = p.entry_price + p.side * p.exits.partial_r[p.steps_taken] * p.distance
            if not self.reached(p.side, best, level):
                return
            price = at_open if p.side * (at_open - level) > 0 else level
            step = self.market.m.unit_step
            units = math.floor(p.exits.partial_fraction[p.steps_taken] * p.initial_units / step * (1 + 1e-12)) * step
            p.steps_taken += 1
            if p.units - units < self.market.m.unit_min - 1e-9:
                units = p.units
            if units > 0:
                self.reduce(p, units, price, ts_ns, ExitReason.TAKE_PROFIT)

    def at_close(self, bar):
        """Expiry, excursions, scheduled exits, break-even and trailing, marks."""
        for order in list(self.orders):
            if order.expiry_ns and bar.close_ns >= order.expiry_ns:
                self.engine.reject(bar.close_ns, self, RejectCode.ORDER_EXPIRED, order)
                self.orders.remove(order)
        for p in list(self.positions):
            low, high = (bar.low, bar.high) if p.side > 0 else (bar.low + bar.cost_spread, bar.high + bar.cost_spread)
            close = bar.close if p.side > 0 else bar.close + bar.cost_spread
            worst, best = (low, high) if p.side > 0 else (high, low)
            if p.is_inside:
                best, p.is_inside = close, False
            p.mae = max(p.mae, p.side * (p.entry_price - worst))
            p.mfe = max(p.mfe, p.side * (best - p.entry_price))
            reason = self.due_exit(p, bar.close_ns)
            if reason:
                self.reduce(p, p.units, close, bar.close_ns, reason, slips=True)
            else:
                self.protect(p, bar)
        self.mark(bar)

    def due_exit(self, p, now):
        held = self.bar_index - p.entry_bar + 1
        if 0 < p.exits.exit_ns <= now or 0 < p.exits.max_bars <= held:
            return ExitReason.TIME
        next_close = now + self.rules.bar_ns
        if self.rules.weekend_flatten and next_close > p.week_end_ns - self.rules.weekend_lead_ns:
            return ExitReason.WEEKEND
        blackout = self.market.blackout
        if self.rules.news_flatten and next_close > blackout.start_ns and now < blackout.end_ns:
            return ExitReason.NEWS
        return None

    def tighten(self, p, stop, reason):
        if p.side * (stop - p.stop_loss) > 0:
            p.stop_loss, p.stop_reason = stop, reason

    def protect(self, p, bar):
        """Break-even once the trade was ahead enough, then the trailing rule, from the plain quote."""
        market, e = self.market, p.exits
        close = bar.close if p.side > 0 else bar.close + bar.plain_spread
        if e.be_trigger_r > 0 and p.mfe >= e.be_trigger_r * p.distance * (1 - 1e-9):
            value = market.price_unit_value(bar.close, bar.close + bar.cost_spread)
            to_come = market.commission(p.units, p.units * bar.close * value)
            costs = (p.commission + to_come - p.swap) / (p.units * value)
            self.tighten(p, p.entry_price + p.side * (costs + e.be_offset), ExitReason.BREAK_EVEN)
        if e.trail_mode == TrailMode.OFF or p.mfe < e.trail_start_r * p.distance * (1 - 1e-9):
            return
        if e.trail_mode == TrailMode.DISTANCE:
            self.tighten(p, close - p.side * e.trail_distance, ExitReason.TRAILING)
        elif market.atr == market.atr:
            since = self.bar_index - p.entry_bar + 1
            if e.trail_mode == TrailMode.CHANDELIER:
                close = market.extreme(p.side, min(e.trail_bars, since, 32))
            self.tighten(p, close - p.side * e.trail_distance * market.atr, ExitReason.TRAILING)

    def mark(self, bar):
        """Value what is open at the close, and at the worst price of the bar, no worse than the stop."""
        self.unrealized = self.worst_unrealized = self.margin = 0.0
        ask = bar.close + bar.cost_spread
        for p in self.positions:
            close, worst = (bar.close, bar.low) if p.side > 0 else (ask, bar.high + bar.cost_spread)
            worst = worse(p.side, close, max(worst, p.stop_loss) if p.side > 0 else min(worst, p.stop_loss))
            self.unrealized += self.market.to_account(p.side * (close - p.entry_price) * p.units, bar.close, ask)
            self.worst_unrealized += self.market.to_account(p.side * (worst - p.entry_price) * p.units, bar.close, ask)
            value = self.market.price_unit_value(bar.close, ask)
            self.margin += p.units * close * value * self.market.m.margin_fraction

    def mark_at_quote(self):
        """Value what is open at the present quote, with no look at the extremes of the bar."""
        market = self.market
        still = SimpleNamespace(close=market.bid, high=market.bid, low=market.bid, cost_spread=market.ask - market.bid)
        self.mark(still)

    def value_of(self, p):
        """What a position gains at the present quote, account currency."""
        market = self.market
        gain = p.side * (market.exit_quote(p.side) - p.entry_price) * p.units
        return market.to_account(gain, market.bid, market.ask)


def worse(side, a, b):
    """The worse of two exit prices."""
    return min(a, b) if side > 0 else max(a, b)
