"""Sizes and refusals in plain Python: the slow engine's side of `risk_manager` and `portfolio_manager`."""

import math
from dataclasses import dataclass

import numpy as np

from tradesentry.core.domain.orders import Action, OrderType, RejectCode, SizeRule, TradingState

NEAR = 1e-3


def round_to(value, step):
    """The nearest multiple of `step`; NaN stays NaN."""
    return value if math.isnan(value) else math.floor(value / step + 0.5) * step


def floor_to(value, step):
    """The largest multiple of `step` not above `value`, forgiving a relative 1e-12."""
    return math.floor(value / step * (1 + 1e-12)) * step


def block_of(book, now):
    """Why no entry may be made from `now` to the end of the next bar; 0 if it may."""
    rules, market = book.rules, book.market
    if book.engine.account.trading_state != TradingState.ACTIVE:
        return RejectCode.TRADING_STATE
    if book.is_locked:
        return RejectCode.MARKET_LOCKED
    if rules.weekend_flatten and now >= market.day.week_end_ns - rules.no_entry_lead_ns:
        return RejectCode.SESSION
    if rules.uses_news:
        if market.blackout.start_ns < now + rules.bar_ns and now < market.blackout.end_ns:
            return RejectCode.NEWS
        if rules.requires_calendar and not market.is_news_known:
            return RejectCode.NEWS
    return 0


def least_distance(market):
    """How far a stop lies from its entry at least."""
    return max(market.m.min_stop_distance, 3 * market.spread)


def spread_fault(book, exits):
    """Whether the spread is above what the strategy, or the entry, allows."""
    return any(0 < most < book.market.spread for most in (book.rules.max_spread, exits.max_spread))


def price_fault(book, intent, now):
    """Round the prices of an entry and return the first rule they break, 0 if none."""
    market, side = book.market, intent.side
    tick = market.m.tick
    near = NEAR * tick
    if side not in (1, -1):
        return RejectCode.NOT_FINITE
    if intent.stop_loss != intent.stop_loss:
        return RejectCode.NO_STOP
    quote = market.plain_ask if side > 0 else market.bid
    is_market = intent.type == OrderType.MARKET
    intent.stop_loss = round_to(intent.stop_loss, tick)
    intent.take_profit = round_to(intent.take_profit, tick)
    intent.price = intent.price if is_market else round_to(intent.price, tick)
    entry = intent.signal_price = quote if is_market else intent.price
    if not (0 < entry < math.inf and intent.size >= 0):
        return RejectCode.NOT_FINITE
    if 0 < intent.expiry_ns <= now:
        return RejectCode.EXPIRED
    if spread_fault(book, intent.exits):
        return RejectCode.SPREAD
    distance = side * (entry - intent.stop_loss)
    if distance <= near:
        return RejectCode.STOP_SIDE
    if distance < least_distance(market) - near:
        return RejectCode.STOP_TOO_NEAR
    if side * (intent.take_profit - entry) <= near:
        return RejectCode.TARGET_SIDE
    if not is_market:
        still_to_go = side * (quote - entry) if intent.type == OrderType.LIMIT else side * (entry - quote)
        if still_to_go <= near:
            return RejectCode.ENTRY_SIDE
    return 0


def loss_of(market, intent, units):
    """What so many units lose at the stop, before the cost scale: price, spread, slippage, commission of both sides."""
    m, value = market.m, market.plain_value()
    distance = abs(intent.signal_price - intent.stop_loss) + market.spread + market.expected_slippage(market.atr)
    fee = units * (m.commission_per_unit + m.commission_fraction * intent.signal_price * value)
    return units * distance * value + 2 * max(fee, m.commission_min)


def most_units(market, intent, budget):
    """The most units that lose no more than a budget: the loss grows with the units, so by halving."""
    low, high = 0.0, 1.0
    if loss_of(market, intent, 0.0) >= budget:
        return 0.0
    while loss_of(market, intent, high) < budget:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if loss_of(market, intent, middle) <= budget else (low, middle)
    return low


def size_of(book, intent):
    """Write units and money at risk; return a refusal or 0."""
    market, limits, rules = book.market, book.engine.account.limits, book.rules
    equity = book.engine.account.equity
    m = market.m
    value = market.plain_value()
    if not 0 < value < math.inf:
        return RejectCode.NOT_FINITE
    units = floor_to(intent.size, m.unit_step)
    if intent.size_rule == SizeRule.RISK:
        if limits.is_on and intent.size > limits.max_idea_risk:
            return RejectCode.IDEA_RISK
        budget = equity * intent.size
        units = most_units(market, intent, budget)
        returns = market.daily_returns()
        if rules.target_volatility > 0 and len(returns) >= 20:
            sigma = float(np.std(returns, ddof=1)) * math.sqrt(252)
            if sigma > 0:
                units = min(units, equity * rules.target_volatility / (sigma * market.bid * value))
        units = floor_to(units, m.unit_step)
        if units < m.unit_min and loss_of(market, intent, m.unit_min) <= 1.5 * budget:
            units = m.unit_min
    if units < m.unit_min:
        return RejectCode.SIZE_BELOW_MINIMUM
    intent.units = min(units, floor_to(m.unit_max, m.unit_step))
    intent.risk_money = loss_of(market, intent, intent.units)
    if limits.is_on and intent.risk_money > limits.max_idea_risk * equity * (1 + 1e-12):
        return RejectCode.IDEA_RISK
    if limits.is_on and intent.units * market.bid * value > limits.max_notional:
        return RejectCode.MAX_NOTIONAL
    return 0


@dataclass
class Holding:
    """One position, order or queued entry, as the limits see it."""

    book: object
    side: int
    notional: float
    risk: float

    def net(self, currency):
        m = self.book.market.m
        return self.side * self.notional * ((m.base_currency == currency) - (m.quote_currency == currency))

    def gross(self, currency):
        m = self.book.market.m
        return self.notional * ((m.base_currency == currency) + (m.quote_currency == currency))

    def leg_risk(self, currency):
        m = self.book.market.m
        return self.side * self.risk * ((m.base_currency == currency) - (m.quote_currency == currency))


def holdings_of(engine):
    """Return all that the account holds, has resting and has queued."""
    held = []
    for book in engine.books:
        market = book.market
        value = market.plain_value()
        for p in book.positions:
            price = market.bid if p.side > 0 else market.plain_ask
            loss = max(0.0, p.side * (price - p.stop_loss) * p.units * value)
            held.append(Holding(book, p.side, p.units * price * value, loss))
        held += [Holding(book, o.side, o.units * o.price * value, o.risk_money) for o in book.orders]
        queued = [q for q in book.queue if q.action == Action.ENTER]
        held += [Holding(book, q.side, q.units * q.signal_price * value, q.risk_money) for q in queued]
    return held


def vet(engine, book, intent):
    """Apply the limits of the account; shrink the entry where a limit says so. Return a refusal or 0."""
    a, limits, m = engine.account, engine.account.limits, book.market.m
    held = holdings_of(engine)
    value = book.market.plain_value()
    new = Holding(book, intent.side, intent.units * intent.signal_price * value, intent.risk_money)
    if limits.is_on:
        if len(held) >= limits.max_positions:
            return RejectCode.MAX_POSITIONS
        if sum(h.book.market is book.market for h in held) >= limits.max_per_market:
            return RejectCode.MAX_PER_MARKET
        if a.trades_today >= limits.max_trades_per_day:
            return RejectCode.TRADE_RATE
        share, code = shrink(engine, book, intent, held, new)
        if share < 1:
            units = floor_to(intent.units * share, m.unit_step)
            if units < m.unit_min:
                return code
            new = Holding(book, intent.side, new.notional * units / intent.units, loss_of(book.market, intent, units))
            intent.units, intent.risk_money = units, new.risk
        code = refusal(engine, book, held, new)
        if code:
            return code
    margin = sum(h.notional * h.book.market.m.margin_fraction for h in held)
    if a.equity - margin - new.notional * m.margin_fraction < limits.min_free_margin * a.equity:
        return RejectCode.MARGIN
    return 0


def net_room(engine, held, currency, side):
    """Notional by which the net exposure of a currency may still grow to that side."""
    if currency == 0:
        return math.inf
    return engine.account.limits.max_currency_net * engine.account.equity - side * sum(h.net(currency) for h in held)


def shrink(engine, book, intent, held, new):
    """Return the share of an entry that limits which shrink leave, and the limit that is the tightest."""
    a, limits, m = engine.account, engine.account.limits, book.market.m
    rows = [(1.0, 0)]
    if intent.basket == 0 and limits.open_risk_shrinks:
        room = limits.max_open_risk * a.equity - sum(h.risk for h in held)
        fitting = intent.units if new.risk <= room else most_units(book.market, intent, room)
        rows.append((fitting / intent.units, RejectCode.OPEN_RISK))
    if intent.basket == 0 and limits.currency_net_shrinks:
        legs = [(m.base_currency, new.side), (m.quote_currency, -new.side)]
        room = min(net_room(engine, held, currency, side) for currency, side in legs)
        rows.append((room / new.notional, RejectCode.CURRENCY_NET))
    share, code = min(rows, key=lambda row: row[0])
    return max(0.0, share), code


def refusal(engine, book, held, new):
    """Return the first limit on risk, currency, leverage or cluster that the entry breaks; 0 if none."""
    limits, equity = engine.account.limits, engine.account.equity
    most = limits.max_open_risk * equity * (1 + 1e-12)
    if sum(h.risk for h in held) + new.risk > most:
        return RejectCode.OPEN_RISK
    if sum(h.risk for h in held if h.book.app == book.app) + new.risk > limits.max_app_risk * most:
        return RejectCode.APP_RISK
    m = book.market.m
    for currency, side in ((m.base_currency, new.side), (m.quote_currency, -new.side)):
        if net_room(engine, held, currency, side) + 1e-9 * equity < new.notional:
            return RejectCode.CURRENCY_NET
        if sum(h.gross(currency) for h in held) + new.notional > limits.max_currency_gross * equity:
            return RejectCode.CURRENCY_GROSS
        leg = sum(h.leg_risk(currency) for h in held) + side * new.risk
        if currency != 0 and abs(leg) > limits.max_currency_risk * equity:
            return RejectCode.CURRENCY_NET
    if sum(h.notional for h in held) + new.notional > limits.max_leverage * equity:
        return RejectCode.LEVERAGE
    if cluster_risk(engine, book.market, [*held, new]) > limits.max_cluster_risk * equity:
        return RejectCode.CLUSTER_RISK
    return 0


def correlation(a, b):
    """Correlation of daily returns, at most 60 days, shrunk by 0.2; a guess where days are missing."""
    x, y = a.daily_returns(), b.daily_returns()
    n = min(len(x), len(y), 60)
    if n < 20:
        first, second = ({mkt.m.base_currency, mkt.m.quote_currency} for mkt in (a, b))
        return 1.0 if first & second else 0.5
    x, y = np.array(x[-n:]), np.array(y[-n:])
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return 0.8 * float(np.corrcoef(x, y)[0, 1])


def cluster_risk(engine, market, held):
    """sqrt(r' C r) of the markets that hang together with `market` by correlations of 0.7 and more."""
    risk = {mkt.index: 0.0 for mkt in engine.markets}
    for h in held:
        risk[h.book.market.index] += h.side * h.risk
    cluster, grown = [market], True
    while grown:
        grown = False
        for mkt in engine.markets:
            related = any(abs(correlation(mkt, member)) >= 0.7 for member in cluster)
            if mkt not in cluster and risk[mkt.index] != 0 and related:
                cluster.append(mkt)
                grown = True
    total = sum(
        risk[a.index] * risk[b.index] * (1.0 if a is b else correlation(a, b)) for a in cluster for b in cluster
    )
    return math.sqrt(max(0.0, total))
