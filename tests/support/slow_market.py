"""The present of a market and what trading it costs, in plain Python: the slow engine's side of `costs` and
`quotes`."""

import itertools
import math
from types import SimpleNamespace

import numpy as np

MINUTE = 60_000_000_000
NONE = 1 << 62


def mix(word):
    """Scramble 32 bits."""
    word = ((word ^ (word >> 16)) * 0x21F0AAAD) % 2**32
    word = ((word ^ (word >> 15)) * 0x735A2D97) % 2**32
    return word ^ (word >> 15)


def key_of(entry_ns, entry_number, fill_number):
    """The 62 bits that name a fill: time and number of the entry, number of the fill."""
    first = mix(mix(mix(entry_ns % 2**32) ^ (entry_ns >> 32)) ^ entry_number)
    high = mix(first ^ fill_number)
    return (high >> 2) * 2**32 + mix(high ^ first)


def half_normal(seed, index, key):
    """A draw of mean 1 for a fill: two hashed 52-bit uniforms, Box-Muller, its absolute value over its mean."""
    seed = seed * 1_009 + index
    first = mix(mix(seed % 2**32) ^ (seed >> 32))
    second = mix(first ^ 0x5BD1E995)
    uniforms = []
    for counter in (2 * key, 2 * key + 1):
        high = mix(mix(mix(first ^ (counter % 2**32)) ^ (counter >> 32)) ^ second)
        uniforms.append((((high << 20) + (mix(high ^ first) >> 12)) + 0.5) / 2**52)
    normal = math.sqrt(-2 * math.log(uniforms[0])) * math.cos(2 * math.pi * uniforms[1])
    return abs(normal) / math.sqrt(2 / math.pi)


def plain(record):
    """Return a NumPy record as an object of plain Python numbers and lists."""
    out = {}
    for name in record.dtype.names:
        value = record[name]
        if value.dtype.names is None:
            out[name] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        elif value.shape == () and name != "calendar":
            out[name] = plain(value)
    return SimpleNamespace(**out)


class SlowMarket:
    """One market: its bars, its clock, its quote, its conversions."""

    def __init__(self, record, bars, fine):
        self.m = plain(record)
        calendar = record["calendar"]
        self.days = [plain(row) for row in calendar["fx_days"][: int(calendar["n_days"])]]
        self.blackouts = [plain(row) for row in calendar["blackouts"][: int(calendar["n_blackouts"])]]
        self.news_from_ns, self.news_to_ns = int(calendar["news_from_ns"]), int(calendar["news_to_ns"])
        self.index = self.m.index
        self.bars = [plain(bar) for bar in bars]
        self.fine = [plain(bar) for bar in fine]
        self.others = []
        self.bar = None
        self.day = self.blackout = None
        self.bid = self.ask = self.previous_bid = self.previous_ask = 0.0
        self.spread = 0.0
        self.is_gap = False
        self.is_news_known = False
        self.history = []
        self.true_ranges = []
        self.atr = self.atr_at_open = math.nan
        self.day_closes = []

    def take_bar(self, now):
        """Make the bar that closes at `now` the present one; None when there is none."""
        found = [bar for bar in self.bars if bar.close_ns == now]
        if not found:
            self.bar = None
            return
        self.bar = found[0]
        last = self.history[-1] if self.history else None
        old_day = self.day
        self.day = next(day for day in self.days if day.end_ns > self.bar.open_ns)
        open_blackouts = [b for b in self.blackouts if b.end_ns > now]
        self.blackout = open_blackouts[0] if open_blackouts else SimpleNamespace(start_ns=NONE, end_ns=NONE)
        self.is_news_known = self.news_from_ns <= now < self.news_to_ns
        self.is_gap = last is not None and self.bar.open_ns > last.close_ns
        if last is not None and old_day is not None and self.bar.open_ns >= old_day.end_ns:
            self.day_closes.append(last.close)
        self.spread = self.spread_of(self.bar)
        self.previous_bid, self.previous_ask = self.bid, self.ask
        self.bid = self.bar.close
        self.ask = self.bar.close + self.spread * self.m.cost_scale
        self.atr_at_open = self.atr
        if last is not None:
            self.track_atr(max(self.bar.high, last.close) - min(self.bar.low, last.close))
        self.bar.plain_spread, self.bar.cost_spread = self.spread, self.spread * self.m.cost_scale
        self.history.append(self.bar)

    def track_atr(self, true_range):
        """Wilder: the mean of the first 14, then a fourteenth of each new one."""
        self.true_ranges.append(true_range)
        if len(self.true_ranges) == 14:
            self.atr = sum(self.true_ranges) / 14
        elif len(self.true_ranges) > 14:
            self.atr = (13 * self.atr + true_range) / 14

    def spread_of(self, bar):
        """The bar's own spread, at least the market's minimum; without one the floor, wider at 17:00 and after news."""
        if bar.spread > 0:
            return max(bar.spread, self.m.min_spread)
        hour_of_week = (bar.open_ns // (60 * MINUTE) + 72) % 168
        floor = max(self.m.spread_floor[hour_of_week], self.m.min_spread)
        near_roll = bar.open_ns < self.day.start_ns + 15 * MINUTE or bar.open_ns >= self.day.end_ns - 15 * MINUTE
        after_news = any(b.start_ns <= bar.open_ns < b.start_ns + 5 * MINUTE for b in self.blackouts)
        return floor * self.m.spread_mult if near_roll or after_news else floor

    def pieces(self):
        """Return the finer bars inside the present bar with their cost of spread, or the bar itself."""
        inside = [b for b in self.fine if self.bar.open_ns <= b.open_ns < self.bar.close_ns]
        for b in inside:
            own = max(b.spread, self.m.min_spread) if b.spread > 0 else self.spread
            b.plain_spread, b.cost_spread = own, own * self.m.cost_scale
        return inside or [self.bar]

    def exit_quote(self, side):
        """The price at which a position of that side can be closed now."""
        return self.bid if side > 0 else self.ask

    def quote_at(self, ts_ns):
        """The last (bid, ask) that was known at a time, of the present one and the one before."""
        if self.history and self.history[-1].close_ns > ts_ns:
            return self.previous_bid, self.previous_ask
        return self.bid, self.ask

    def to_account(self, amount, bid, ask, ts_ns=NONE):
        """Sell a gain of quote currency, buy a loss of it: the worse side either way, at what was known then."""
        gain = amount > 0
        how = self.m.conversion
        if how == 0:
            return amount * self.m.fixed_rate
        if how == 1:
            return amount / (ask if gain else bid)
        cross_bid, cross_ask = self.others[self.m.cross_index].quote_at(ts_ns)
        if how == 2:
            return amount * (cross_bid if gain else cross_ask)
        if cross_bid == 0:
            return math.copysign(math.inf, amount)
        return amount / (cross_ask if gain else cross_bid)

    def price_unit_value(self, bid, ask, ts_ns=NONE):
        """Account money that one unit loses when price moves against it by 1."""
        return -self.to_account(-1.0, bid, ask, ts_ns)

    @property
    def plain_ask(self):
        """The ask by which everything is decided: before the cost scale."""
        return self.bid + self.spread

    def plain_value(self):
        """Account money that one unit loses when price moves against it by 1, as decisions reckon; 0 if unknown."""
        how = self.m.conversion
        if how == 0:
            return self.m.fixed_rate
        if how == 1:
            return 1 / self.bid
        cross = self.others[self.m.cross_index]
        if cross.bid == 0:
            return 0.0
        return cross.plain_ask if how == 2 else 1 / cross.bid

    def expected_slippage(self, atr):
        """Expected slippage of a market or stop fill, before the cost scale."""
        return self.m.slippage_mean + (0.0 if math.isnan(atr) else self.m.slippage_atr * atr)

    def slippage(self, entry_ns, entry_number, fill_number):
        """Slippage of one fill, by the volatility known when the bar opened."""
        expected = self.expected_slippage(self.atr_at_open) * self.m.cost_scale
        if self.m.slippage_seed:
            expected *= half_normal(self.m.slippage_seed, self.index, key_of(entry_ns, entry_number, fill_number))
        return expected

    def commission(self, units, notional):
        money = units * self.m.commission_per_unit + notional * self.m.commission_fraction
        return max(money, self.m.commission_min) * self.m.cost_scale

    def swap(self, position, day):
        """What a position earns when an FX day ends, at the last quotes before."""
        nightly = self.m.swap_long if position.side > 0 else self.m.swap_short
        if self.m.swap_is_rate:
            nightly *= self.previous_bid / 365
        nights = self.m.swap_day_weights[day.weekday] * self.m.cost_scale
        earned = nightly * nights * position.units
        return self.to_account(earned, self.previous_bid, self.previous_ask, day.end_ns)

    def daily_returns(self):
        """Log returns of the FX days that have ended, oldest first, the last 64."""
        closes = self.day_closes
        return [math.log(b / a) for a, b in itertools.pairwise(closes)][-64:]

    def extreme(self, side, n):
        """Best exit price of the last `n` bars: the highest bid for a long, the lowest ask for a short."""
        recent = self.history[-max(1, n) :]
        if side > 0:
            return max(bar.high for bar in recent)
        return min(bar.low + bar.plain_spread for bar in recent)
