"""What a fill costs: spread, slippage, commission, swap, and the way into account currency.

Bars are bid; ask = bid + spread. Where the data carry no spread (or less than the market's minimum) the floor of the
hour of the week applies, multiplied around 17:00 New York and after news starts. Every cost that is paid is multiplied
by `MARKET.cost_scale`: the spread of fills and marks, slippage, commission, swap. Everything that decides (the view,
prices that are vetted, sizes, limits, trailing stops, the drift of an open) uses the costs before the scale, so results
at 0, 1 and 2 times the costs come from the same decisions on the same bars, as far as equity and fills allow.
"""

import math
from enum import IntEnum
from typing import Any

from tradesentry.core.execution.desk import quote_at
from tradesentry.core.market.clock import first_ending_after
from tradesentry.core.utils.kernel import inline_kernel, kernel

NS_PER_MINUTE = 60_000_000_000
NS_PER_HOUR = 60 * NS_PER_MINUTE
ROLLOVER_NS = 15 * NS_PER_MINUTE
AFTER_NEWS_NS = 5 * NS_PER_MINUTE
EPOCH_HOUR_OF_WEEK = 72  # 1970-01-01 00:00 UTC was a Thursday; weeks count from Monday
FAR_FUTURE_NS = 1 << 62
HALF_NORMAL_MEAN = math.sqrt(2.0 / math.pi)
TWO_PI = 2.0 * math.pi
LOW_32 = 0xFFFFFFFF


class Conversion(IntEnum):
    """How quote currency becomes account currency."""

    FIXED = 0
    """`MARKET.fixed_rate`; 1 when the quote currency is the account's."""
    OWN_PRICE = 1
    """The base currency is the account's: divide by this market's own price."""
    CROSS_MULTIPLY = 2
    """Another market quotes QUOTE/ACCOUNT."""
    CROSS_DIVIDE = 3
    """Another market quotes ACCOUNT/QUOTE."""


OWN_PRICE = int(Conversion.OWN_PRICE)
CROSS_MULTIPLY = int(Conversion.CROSS_MULTIPLY)
CROSS_DIVIDE = int(Conversion.CROSS_DIVIDE)


@inline_kernel
def _cross_rates(how: int, bid: float, ask: float) -> tuple[float, float]:
    """Return account currency per unit of quote currency by another market's quote, for gains and for losses."""
    if how == CROSS_MULTIPLY:
        return bid, ask
    return 1.0 / ask, 1.0 / bid


@inline_kernel
def conversion_rates(market: Any, desk: Any, bid: float, ask: float) -> tuple[float, float]:
    """Return account currency per unit of quote currency, for gains (sold) and for losses (bought).

    Arguments as `to_account`.
    """
    how = market.conversion
    if how == 0:
        return market.fixed_rate, market.fixed_rate
    if how == OWN_PRICE:
        return 1.0 / ask, 1.0 / bid
    cross = quote_at(desk.quotes, market.cross_index)
    return _cross_rates(how, cross.bid, cross.ask)


@inline_kernel
def to_account(market: Any, desk: Any, amount: float, bid: float, ask: float) -> float:
    """Return `amount` of quote currency in account currency, at the side that is worse for the account.

    Args:
        market: MARKET whose quote currency `amount` is in.
        desk: DESK, the memory of the run.
        amount: Quote currency; a gain is sold, a loss is bought.
        bid: This market's bid at the moment of conversion, used when it quotes the account currency itself.
        ask: This market's ask.
    """
    gain, loss = conversion_rates(market, desk, bid, ask)
    return amount * (gain if amount > 0.0 else loss)


@inline_kernel
def to_account_at(market: Any, desk: Any, amount: float, bid: float, ask: float, ts_ns: int) -> float:
    """Return `amount` of quote currency in account currency, at the quotes that were known at `ts_ns`.

    A market that converts has shown its bar of this instant already; for a fill before that bar's close (at an open, or
    on an earlier finer bar) its quote of one bar ago is the one that was known.

    Args:
        market: MARKET whose quote currency `amount` is in.
        desk: DESK, the memory of the run.
        amount: Quote currency; a gain is sold, a loss is bought.
        bid: This market's price of the fill, used when it quotes the account currency itself.
        ask: The same on the other side.
        ts_ns: Time of the fill.
    """
    how = market.conversion
    if how == 0 or how == OWN_PRICE:
        return to_account(market, desk, amount, bid, ask)
    cross = quote_at(desk.quotes, market.cross_index)
    gain, loss = _cross_rates(how, cross.bid, cross.ask)
    if cross.last_close_ns > ts_ns:
        gain, loss = _cross_rates(how, cross.prev_bid, cross.prev_ask)
    return amount * (gain if amount > 0.0 else loss)


@inline_kernel
def plain_ask(quote: Any) -> float:
    """Return the present ask before the cost scale: what decisions are made with."""
    return quote.bid + quote.spread


@inline_kernel
def plain_unit_value(market: Any, desk: Any) -> float:
    """Return account money lost per unit for an adverse price move of 1, at the present quotes before the cost scale.

    Not positive and finite while the market that converts has had no bar.
    """
    how = market.conversion
    if how == 0:
        return market.fixed_rate
    if how == OWN_PRICE:
        return 1.0 / quote_at(desk.quotes, market.index).bid
    cross = quote_at(desk.quotes, market.cross_index)
    return plain_ask(cross) if how == CROSS_MULTIPLY else 1.0 / cross.bid


@inline_kernel
def price_unit_value(market: Any, desk: Any, bid: float, ask: float) -> float:
    """Return account money lost per unit for an adverse price move of 1 (the losing side of the conversion)."""
    return conversion_rates(market, desk, bid, ask)[1]


@kernel
def hour_of_week(ts_ns: int) -> int:
    """Return the UTC hour of the week, Monday 00:00 = 0."""
    return (ts_ns // NS_PER_HOUR + EPOCH_HOUR_OF_WEEK) % 168


@kernel
def _refresh_floor(market: Any, quote: Any, ts_ns: int) -> None:
    """Find the spread floor at `ts_ns` and until when it holds."""
    clock = quote.clock
    spread = max(market.spread_floor[hour_of_week(ts_ns)], market.min_spread)
    until = (ts_ns // NS_PER_HOUR + 1) * NS_PER_HOUR
    opened = clock.fx_day_start_ns + ROLLOVER_NS
    closes = clock.fx_day_end_ns - ROLLOVER_NS
    if ts_ns < opened:
        until = min(until, opened)
    until = min(until, closes if ts_ns < closes else clock.fx_day_end_ns)
    near_rollover = ts_ns < opened or ts_ns >= closes
    # Not the clock's blackout: that one ends after the bar's close, and a long bar may open in one and outlast it.
    row = first_ending_after(market.calendar.blackouts, market.calendar.n_blackouts, ts_ns)
    news_ns = market.calendar.blackouts[row].start_ns if row < market.calendar.n_blackouts else FAR_FUTURE_NS
    if ts_ns < news_ns:
        until = min(until, news_ns)
    elif ts_ns < news_ns + AFTER_NEWS_NS:
        until = min(until, news_ns + AFTER_NEWS_NS)
    if near_rollover or news_ns <= ts_ns < news_ns + AFTER_NEWS_NS:
        spread *= market.spread_mult
    quote.floor_spread = spread
    quote.floor_until_ns = until


@inline_kernel
def bar_spread(market: Any, quote: Any, bar: Any) -> float:
    """Return the spread of `bar` after the market's floor, before the cost scale, price units."""
    if bar.spread > 0.0:
        return max(bar.spread, market.min_spread)
    if bar.open_ns >= quote.floor_until_ns:
        _refresh_floor(market, quote, bar.open_ns)
    return quote.floor_spread


@kernel
def _mix(word: int) -> int:
    """Scramble 32 bits. No product reaches 2**63: compiled, a signed overflow is undefined and lost its mask.

    Source: Wellons, "Prospecting for hash functions" (2018), the multipliers below 2**31 found since.
    """
    word = ((word ^ (word >> 16)) * 0x21F0AAAD) & LOW_32
    word = ((word ^ (word >> 15)) * 0x735A2D97) & LOW_32
    return word ^ (word >> 15)


@kernel
def _uniform(seed: int, counter: int) -> float:
    """Return a uniform draw in (0, 1) that depends on (seed, counter) only."""
    first = _mix(_mix(seed & LOW_32) ^ ((seed >> 32) & LOW_32))
    second = _mix(first ^ 0x5BD1E995)
    high = _mix(_mix(_mix(first ^ (counter & LOW_32)) ^ ((counter >> 32) & LOW_32)) ^ second)
    low = _mix(high ^ first)
    return ((high << 20 | low >> 12) + 0.5) / 4503599627370496.0


@kernel
def expected_slippage(market: Any, atr: float) -> float:
    """Return `slippage_mean + slippage_atr * atr` before the cost scale, price units >= 0; no ATR while it is NaN."""
    expected = market.slippage_mean
    if market.slippage_atr > 0.0 and atr > 0.0:
        expected += market.slippage_atr * atr
    return expected


@kernel
def fill_key(entry_ns: int, entry_number: int, fill_number: int) -> int:
    """Return 62 bits that name a fill: the same trade has the same keys, whatever else the account does.

    Args:
        entry_ns: When its position was entered.
        entry_number: Which of the entries of that time, from 0.
        fill_number: Which of the position's fills: 0 the entry, then its exits.
    """
    first = _mix(_mix(_mix(entry_ns & LOW_32) ^ (entry_ns >> 32)) ^ entry_number)
    high = _mix(first ^ fill_number)
    return (high >> 2) << 32 | _mix(high ^ first)


@kernel
def slippage(market: Any, quote: Any, key: int) -> float:
    """Return the adverse slippage of a market or stop fill on the last bar of `quote`, price units >= 0.

    The expected value by the ATR that was known when the bar opened; with a seed, a half-normal draw of that mean that
    depends on (seed, market, fill key) only.

    Args:
        market: MARKET.
        quote: QUOTE of the market.
        key: Key of the fill (`fill_key`), below 2**62.
    """
    expected = expected_slippage(market, quote.prev_atr) * market.cost_scale
    if market.slippage_seed == 0 or expected == 0.0:
        return expected
    seed = market.slippage_seed * 1_009 + market.index
    radius = math.sqrt(-2.0 * math.log(_uniform(seed, 2 * key)))
    normal = radius * math.cos(TWO_PI * _uniform(seed, 2 * key + 1))
    return expected * abs(normal) / HALF_NORMAL_MEAN


@kernel
def commission(market: Any, units: float, notional: float) -> float:
    """Return the commission of one side, account currency >= 0.

    Args:
        market: MARKET with a price per unit, a fraction of notional and a minimum.
        units: Units filled.
        notional: Their value in account currency.
    """
    money = units * market.commission_per_unit + notional * market.commission_fraction
    if money < market.commission_min and units > 0.0:
        money = market.commission_min
    return money * market.cost_scale


@kernel
def swap_money(market: Any, desk: Any, position: Any, bid: float, ask: float, day: Any) -> float:
    """Return the swap booked on a position at the end of an FX day, account currency.

    Args:
        market: MARKET with `swap_long`, `swap_short` (price units a night, or an annual rate) and nights per weekday.
        desk: DESK, the memory of the run.
        position: POSITION that is open at 17:00 New York.
        bid: Last bid before the roll.
        ask: Last ask before the roll.
        day: FX_DAY that ends; Wednesday usually counts three nights.
    """
    per_night = market.swap_long if position.side > 0 else market.swap_short
    if market.swap_is_rate:
        per_night = per_night * bid / 365.0
    nights = market.swap_day_weights[day.weekday] * market.cost_scale
    return to_account_at(market, desk, per_night * nights * position.units, bid, ask, day.end_ns)
