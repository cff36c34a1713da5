"""A slow, obvious engine to hold the compiled one against: plain Python, lists and dataclasses, no kernel.

Written from the rules (what happens in a bar, in which order, at which price), not from the kernels, and kept as plain
as they allow. It takes the same scenario: instruments, bars, scripts of intents, account limits; and gives the same
things: trades, refusals, account states. This module holds the timeline, the account and the carrying out of intents;
`slow_market` the present of a market and its costs, `slow_book` the fills, `slow_vetting` sizes and limits.
"""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

from tests.support.slow_book import SlowBook
from tests.support.slow_market import SlowMarket, plain
from tests.support.slow_records import Order
from tests.support.slow_vetting import block_of, least_distance, price_fault, round_to, size_of, spread_fault, vet
from tradesentry.core.domain.orders import Action, ExitReason, OrderType, RejectCode, TradingState


@dataclass
class Account:
    """What the account has, owes and may do."""

    balance: float
    equity: float
    peak_equity: float
    limits: SimpleNamespace
    worst_equity: float = 0.0
    margin_used: float = 0.0
    day_start_equity: float = 0.0
    day_end_ns: int = 0
    trading_state: TradingState = TradingState.ACTIVE
    state_reason: ExitReason = ExitReason.NONE
    drawdown: float = 0.0
    max_drawdown: float = 0.0
    trades_today: int = 0
    last_id: int = 0
    accepted: list = field(default_factory=list)
    """(quota key, book) of every entry that was taken under a quota."""
    last_ns: int = 0


@dataclass
class Reject:
    """An intent or order that was not carried out as asked."""

    ts_ns: int
    market: int
    variant: int
    code: RejectCode
    side: int
    tag: int


@dataclass
class Seen:
    """What a strategy sees at the close of a bar."""

    equity: float
    balance: float
    price_unit_value: float
    last_spread: float
    n_positions: int
    n_orders: int
    units: float
    stops: float
    is_blocked: bool
    trading_state: int


@dataclass
class Points:
    """Equity of one instant."""

    ts_ns: int
    equity: float
    balance: float
    worst_equity: float
    margin_used: float


@dataclass
class SlowEngine:
    """One run of a scenario."""

    markets: list[SlowMarket]
    books: list[SlowBook]
    account: Account
    trades: list = field(default_factory=list)
    rejects: list = field(default_factory=list)
    points: list = field(default_factory=list)

    @classmethod
    def of(cls, scenario):
        """Return the engine of a scenario, before its first bar."""
        fine = scenario.fine or [[] for _ in scenario.bars]
        markets = [SlowMarket(scenario.markets[m], bars, fine[m]) for m, bars in enumerate(scenario.bars)]
        for market in markets:
            market.others = markets
        a = plain(scenario.account[0])
        account = Account(a.balance, a.equity, a.peak_equity, a.limits, day_start_equity=a.day_start_equity)
        engine = cls(markets, [], account)
        for player in scenario.players:
            lane = player.lane()
            script = [(at, plain(row[0])) for at, row in sorted(player.script, key=lambda line: line[0])]
            rules = plain(lane.rules)
            engine.books.append(SlowBook(engine, markets[player.market], rules, script, player.variant, player.app))
        return engine

    def run(self):
        """Play everything and close what is open at the end."""
        for now in sorted({bar.close_ns for market in self.markets for bar in market.bars}):
            self.play(now)
        last_ns = self.account.last_ns
        for book in self.books:
            book.cancel_entries(last_ns, RejectCode.END_OF_DATA)
            for position in list(book.positions):
                price = book.market.exit_quote(position.side)
                book.reduce(position, position.units, price, last_ns, ExitReason.END_OF_DATA)
            book.mark_at_quote()
        self.update_account(last_ns)
        if self.points and self.points[-1].ts_ns == last_ns:
            self.points.pop()
        self.write_point(last_ns)
        return self

    def play(self, now):
        """Play all bars that close at `now`."""
        for market in self.markets:
            market.take_bar(now)
            if market.bar is not None and market.bar.open_ns >= self.account.day_end_ns:
                self.roll_day(market.day)
        active = [book for book in self.books if book.market.bar is not None]
        for book in active:
            book.settle()
        self.update_account(now)
        asked = []
        for book in active:
            asked += [(book, intent) for intent in self.ask(book, now)]
        entries = [pair for pair in asked if pair[1].action == Action.ENTER]
        others = [pair for pair in asked if pair[1].action != Action.ENTER]
        for book, intent in others + sorted(entries, key=lambda pair: -pair[1].score):
            self.execute(book, intent, now)
        self.write_point(now)

    def write_point(self, now):
        a = self.account
        self.points.append(Points(now, a.equity, a.balance, a.worst_equity, a.margin_used))

    def reject(self, now, book, code, ticket):
        self.rejects.append(Reject(now, book.market.index, book.variant, RejectCode(code), ticket.side, ticket.tag))

    def roll_day(self, day):
        """17:00 New York: a new start equity, and the lock of the day before is over."""
        a = self.account
        a.day_end_ns, a.day_start_equity, a.trades_today = day.end_ns, a.equity, 0
        if a.trading_state == TradingState.REDUCING and a.state_reason == ExitReason.DAILY_LOSS:
            a.trading_state, a.state_reason = TradingState.ACTIVE, ExitReason.NONE

    def sum_books(self):
        a = self.account
        a.equity = a.balance + sum(book.unrealized for book in self.books)
        a.worst_equity = min(a.equity, a.balance + sum(book.worst_unrealized for book in self.books))
        a.margin_used = sum(book.margin for book in self.books)

    def update_account(self, now):
        """Mark to market, margin, stop-out, peak, drawdown, daily loss."""
        a = self.account
        self.sum_books()
        while a.margin_used > 0 and a.equity < a.limits.stop_out_level * a.margin_used:
            losers = [(book.value_of(p), book, p) for book in self.books for p in book.positions]
            _, book, position = min(losers, key=lambda row: row[0])
            price = book.market.exit_quote(position.side)
            book.reduce(position, position.units, price, now, ExitReason.MARGIN)
            book.mark_at_quote()
            self.sum_books()
        a.last_ns = now
        a.peak_equity = max(a.peak_equity, a.equity)
        a.drawdown = 1 - a.worst_equity / a.peak_equity
        a.max_drawdown = max(a.max_drawdown, a.drawdown)
        if a.limits.is_on and a.trading_state != TradingState.HALTED:
            self.apply_limits(now)

    def apply_limits(self, now):
        """Drawdown halts or reduces, a daily loss locks the account or one market."""
        a = self.account
        if a.drawdown >= a.limits.drawdown_halt:
            self.worsen(now, TradingState.HALTED, ExitReason.DRAWDOWN)
            self.flatten(ExitReason.DRAWDOWN)
            return
        if a.drawdown >= a.limits.drawdown_reduce and a.state_reason != ExitReason.DRAWDOWN:
            self.worsen(now, TradingState.REDUCING, ExitReason.DRAWDOWN)
        if a.day_start_equity - a.worst_equity >= a.limits.daily_loss * a.day_start_equity:
            if a.trading_state == TradingState.ACTIVE:
                self.worsen(now, TradingState.REDUCING, ExitReason.DAILY_LOSS)
            self.flatten(ExitReason.DAILY_LOSS)
            return
        for book in self.books:
            lost = book.day_start_value - book.realized - min(book.unrealized, book.worst_unrealized)
            if not book.is_locked and lost >= a.limits.market_daily_loss * a.day_start_equity:
                book.is_locked = True
                book.cancel_entries(now, RejectCode.MARKET_LOCKED)
                if book.positions:
                    book.flatten_reason = ExitReason.DAILY_LOSS

    def worsen(self, now, state, reason):
        self.account.trading_state, self.account.state_reason = state, reason
        for book in self.books:
            book.cancel_entries(now, RejectCode.TRADING_STATE)

    def flatten(self, reason):
        for book in self.books:
            if book.positions:
                book.flatten_reason = reason

    def ask(self, book, now):
        """Show the strategy what it may see and return the intents of its script."""
        block = block_of(book, now)
        if block:
            book.cancel_entries(now, block)
        for order in [o for o in book.orders if spread_fault(book, o.exits)]:
            self.reject(now, book, RejectCode.SPREAD, order)
            book.orders.remove(order)
        market, a = book.market, self.account
        units = sum(p.side * p.units for p in book.positions)
        stops = sum(p.stop_loss for p in book.positions)
        value = market.plain_value()
        counts = (len(book.positions), len(book.orders))
        seen = Seen(a.equity, a.balance, value, market.spread, *counts, units, stops, bool(block), int(a.trading_state))
        book.seen.append(seen)
        intents = []
        while book.script and book.script[0][0] <= book.bar_index - 1:
            intent = SimpleNamespace(**vars(book.script.pop(0)[1]))
            if intent.target_id < 0:
                held = [*book.positions, *book.orders]
                intent.target_id = held[(-intent.target_id - 1) % len(held)].id if held else 999_999
            intents.append(intent)
        return [] if book.bar_index <= book.rules.warmup_bars else intents

    def execute(self, book, intent, now):
        """Carry out one intent, or write down why not."""
        if intent.action == Action.ENTER:
            self.enter(book, intent, now)
        elif intent.action == Action.CLOSE:
            if intent.target_id > 0 and all(p.id != intent.target_id for p in book.positions):
                self.reject(now, book, RejectCode.UNKNOWN_TARGET, intent)
            else:
                book.queue.append(intent)
        elif intent.action == Action.CANCEL:
            meant = [o for o in book.orders if names(intent, o) and intent.side in (0, o.side)]
            book.orders = [o for o in book.orders if o not in meant]
            if not meant and intent.target_id > 0:
                self.reject(now, book, RejectCode.UNKNOWN_TARGET, intent)
        elif intent.action == Action.MODIFY:
            code = modify(book, intent)
            if code:
                self.reject(now, book, code, intent)

    def quota_fault(self, book, intent):
        """Refuse when enough other books of the same app and variant were served under the same key."""
        if not intent.quota_key:
            return 0
        served = [b for key, b in self.account.accepted if key == intent.quota_key]
        rivals = {id(b) for b in served if (b.app, b.variant) == (book.app, book.variant)}
        return RejectCode.QUOTA if id(book) not in rivals and len(rivals) >= intent.quota_max else 0

    def enter(self, book, intent, now):
        asked = None
        code = block_of(book, now) or price_fault(book, intent, now) or duplicate(book, intent, now)
        code = code or size_of(book, intent)
        if not code:
            asked = intent.units
            code = vet(self, book, intent) or self.quota_fault(book, intent)
        if code:
            self.reject(now, book, code, intent)
            return
        if intent.units < asked:
            self.reject(now, book, RejectCode.SHRUNK, intent)
        if intent.quota_key:
            self.account.accepted.append((intent.quota_key, book))
        if intent.type == OrderType.MARKET:
            book.queue.append(intent)
        else:
            self.account.last_id += 1
            book.orders.append(Order(id=self.account.last_id, placed_ns=now, **order_fields(intent)))


def order_fields(intent):
    """Return what an order takes over from its intent."""
    names_taken = "side type price units stop_loss take_profit expiry_ns basket group skip_if_both tag risk_money exits"
    return {name: getattr(intent, name) for name in names_taken.split()}


def names(intent, ticket):
    """Say whether an intent means this position or order: by id, else by basket, else all."""
    if intent.target_id > 0:
        return ticket.id == intent.target_id
    return intent.basket in (0, ticket.basket)


def duplicate(book, intent, now):
    """Return DUPLICATE when this bar already asked for the same entry."""
    if intent.type == OrderType.MARKET:
        same = [
            q for q in book.queue if q.action == Action.ENTER and (q.side, q.basket) == (intent.side, intent.basket)
        ]
    else:
        key = (now, intent.side, intent.type, intent.price, intent.basket)
        same = [o for o in book.orders if (o.placed_ns, o.side, o.type, o.price, o.basket) == key]
    return RejectCode.DUPLICATE if same else 0


def modify(book, intent):
    """Move stops and targets of all that is meant until one of them must not be moved; return a refusal or 0."""
    market, tick = book.market, book.market.m.tick
    near = book.near
    stop, target = round_to(intent.stop_loss, tick), round_to(intent.take_profit, tick)
    code = RejectCode.UNKNOWN_TARGET
    for position in [p for p in book.positions if names(intent, p)]:
        code = 0
        leaves_at = market.bid if position.side > 0 else market.plain_ask
        if (target - leaves_at) * position.side <= near:
            return RejectCode.TARGET_SIDE
        if not math.isnan(stop) and stop != position.stop_loss:
            if (stop - position.stop_loss) * position.side <= 0:
                return RejectCode.LOOSENS_STOP
            position.stop_loss = stop
        position.take_profit = position.take_profit if math.isnan(target) else target
    for order in [o for o in book.orders if names(intent, o)]:
        code = 0
        away = (order.price - stop) * order.side
        if not math.isnan(stop) and stop != order.stop_loss:
            if (stop - order.stop_loss) * order.side < 0:
                return RejectCode.LOOSENS_STOP
            if away <= near:
                return RejectCode.STOP_SIDE
            if away < least_distance(market) - near:
                return RejectCode.STOP_TOO_NEAR
        if (target - order.price) * order.side <= near:
            return RejectCode.TARGET_SIDE
        order.stop_loss = order.stop_loss if math.isnan(stop) else stop
        order.take_profit = order.take_profit if math.isnan(target) else target
    return code
