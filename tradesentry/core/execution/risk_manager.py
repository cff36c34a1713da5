"""Size an entry and say no to what is wrong with it on its own: state, session, prices, stop, spread, size.

Every gate returns a RejectCode, 0 when it has nothing against; the first refusal wins. One definition for back-test,
paper and live. What concerns other positions of the account is `portfolio_manager`'s. All of it reckons with the costs
before the cost scale, as the strategy does, so runs at several scales decide alike.
"""

import math
from typing import Any

from tradesentry.core.domain.orders import Action, OrderType, RejectCode, SizeRule, TradingState
from tradesentry.core.domain.records import N_OUTCOMES
from tradesentry.core.execution.costs import expected_slippage, plain_ask, plain_unit_value
from tradesentry.core.execution.desk import book_at, quote_at
from tradesentry.core.execution.quotes import SLACK_TICKS, annual_volatility
from tradesentry.core.utils.kernel import inline_kernel, kernel

ENTER = int(Action.ENTER)
MARKET_ORDER = int(OrderType.MARKET)
LIMIT = int(OrderType.LIMIT)
RISK = int(SizeRule.RISK)
ACTIVE = int(TradingState.ACTIVE)
TRADING_STATE = int(RejectCode.TRADING_STATE)
MARKET_LOCKED = int(RejectCode.MARKET_LOCKED)
SESSION = int(RejectCode.SESSION)
NEWS = int(RejectCode.NEWS)
NO_STOP = int(RejectCode.NO_STOP)
STOP_SIDE = int(RejectCode.STOP_SIDE)
STOP_TOO_NEAR = int(RejectCode.STOP_TOO_NEAR)
TARGET_SIDE = int(RejectCode.TARGET_SIDE)
ENTRY_SIDE = int(RejectCode.ENTRY_SIDE)
NOT_FINITE = int(RejectCode.NOT_FINITE)
EXPIRED = int(RejectCode.EXPIRED)
SPREAD = int(RejectCode.SPREAD)
SIZE_BELOW_MINIMUM = int(RejectCode.SIZE_BELOW_MINIMUM)
NO_EDGE = int(RejectCode.NO_EDGE)
MAX_NOTIONAL = int(RejectCode.MAX_NOTIONAL)
IDEA_RISK = int(RejectCode.IDEA_RISK)

STOP_SPREADS = 3.0
"""A stop lies at least this many spreads away."""
MAX_MINIMUM_RISK = 1.5
"""The minimum size is taken when it risks no more than this multiple of the budget."""
ROUNDING = 1e-12
"""Relative; what a few operations on floats may be wrong by. Limits on sums of money allow as much."""
EXACT_STEPS = 2.0**52
"""Floats beyond it are whole; compiled, `floor` makes an integer, which NaN and infinity do not fit."""
KELLY_MIN_TRADES = 100
KELLY_SHARE = 0.25
KELLY_DRAWS = 200
KELLY_BLOCK = 10


@kernel
def round_to(value: float, step: float) -> float:
    """Return the multiple of `step` nearest to `value`, as the number that its decimal text means; NaN stays NaN.

    113767 * 0.00001 is not the number written 1.13767, but 113767 / 100000 is.
    """
    steps = value / step
    if not abs(steps) < EXACT_STEPS:
        return value
    n = math.floor(steps + 0.5)
    per_unit = math.floor(1.0 / step + 0.5)
    return n / per_unit if abs(per_unit * step - 1.0) < 1e-9 else n * step


@kernel
def floor_to(value: float, step: float) -> float:
    """Return the largest multiple of `step` not above `value`; NaN stays NaN.

    A value that is a multiple but for rounding (0.3 in steps of 0.1) stays that multiple: it may be exceeded by
    ROUNDING of itself, never by a share of a step.
    """
    steps = value / step
    if not abs(steps) < EXACT_STEPS:
        return value
    return math.floor(steps + abs(steps) * ROUNDING) * step


@inline_kernel
def entry_block(book: Any, account: Any, close_ns: int) -> int:
    """Return why no entry may be made or rest from `close_ns` to the end of the next bar; 0 if it may.

    News blocks when [close, close + bar) meets a blackout, or where the calendar of news does not reach and the
    strategy requires it; the week end blocks from `no_entry_lead_ns` before Friday 17:00 New York.
    """
    rules = book.rules
    clock = book.seen.clock
    if account.trading_state != ACTIVE:
        return TRADING_STATE
    if book.is_locked:
        return MARKET_LOCKED
    if rules.weekend_flatten and close_ns >= clock.week_end_ns - rules.no_entry_lead_ns:
        return SESSION
    if rules.uses_news:
        if close_ns + rules.bar_ns > clock.blackout_start_ns and close_ns < clock.blackout_end_ns:
            return NEWS
        if rules.requires_calendar and not clock.is_news_known:
            return NEWS
    return 0


@kernel
def expected_entry(quote: Any, intent: Any) -> float:
    """Return the price an entry is expected to pay: its own for a resting order, the opposite quote otherwise."""
    if intent.type != MARKET_ORDER:
        return intent.price
    return plain_ask(quote) if intent.side > 0 else quote.bid


@inline_kernel
def least_distance(market: Any, quote: Any) -> float:
    """Return how far a stop lies from its entry at least: the venue's distance, or three spreads; less the slack."""
    return max(market.min_stop_distance, STOP_SPREADS * quote.spread) - SLACK_TICKS * market.tick


@inline_kernel
def is_too_wide(book: Any, quote: Any, exits: Any) -> bool:
    """Say whether the spread is above what the strategy, or this entry, allows."""
    limit = book.rules.max_spread
    return (limit > 0.0 and quote.spread > limit) or (exits.max_spread > 0.0 and quote.spread > exits.max_spread)


@kernel
def check_prices(market: Any, quote: Any, book: Any, intent: Any, close_ns: int) -> int:
    """Round the prices of an entry to the tick and return the first rule of prices it breaks, 0 if none.

    Args:
        market: MARKET.
        quote: QUOTE at the decision.
        book: BOOK with its rules.
        intent: INTENT to enter; prices are rounded in place and `signal_price` is written.
        close_ns: Close of the bar that decided.
    """
    side = intent.side
    if side != 1 and side != -1:
        return NOT_FINITE
    if math.isnan(intent.stop_loss):
        return NO_STOP
    intent.stop_loss = round_to(intent.stop_loss, market.tick)
    intent.take_profit = round_to(intent.take_profit, market.tick)
    if intent.type != MARKET_ORDER:
        intent.price = round_to(intent.price, market.tick)
    entry = expected_entry(quote, intent)
    intent.signal_price = entry
    if not (math.isfinite(entry) and math.isfinite(intent.stop_loss) and entry > 0.0 and intent["size"] >= 0.0):
        return NOT_FINITE
    if intent.expiry_ns > 0 and intent.expiry_ns <= close_ns:
        return EXPIRED
    if is_too_wide(book, quote, intent.exits):
        return SPREAD
    distance = side * (entry - intent.stop_loss)
    slack = SLACK_TICKS * market.tick
    if distance <= slack:
        return STOP_SIDE
    if distance < least_distance(market, quote):
        return STOP_TOO_NEAR
    if side * (intent.take_profit - entry) <= slack:
        return TARGET_SIDE
    if intent.type != MARKET_ORDER:
        present = plain_ask(quote) if side > 0 else quote.bid
        ahead = side * (present - entry) if intent.type == LIMIT else side * (entry - present)
        if ahead <= slack:
            return ENTRY_SIDE
    return 0


@kernel
def _loss_per_unit(market: Any, desk: Any, intent: Any) -> tuple[float, float]:
    """Return the account money that one unit loses at the stop: (by price, by the commissions of both sides).

    Source: live 7, fixed fractional: d * q + c with d = abs(entry - stop) + spread + expected slippage.
    """
    quote = quote_at(desk.quotes, market.index)
    entry = intent.signal_price
    distance = abs(entry - intent.stop_loss) + quote.spread + expected_slippage(market, quote.atr)
    unit_value = plain_unit_value(market, desk)
    fees = market.commission_per_unit + market.commission_fraction * entry * unit_value
    return distance * unit_value, 2.0 * fees


@kernel
def loss_at_stop(market: Any, desk: Any, intent: Any, units: float) -> float:
    """Return what `units` of an entry lose at its stop, with the least commission where that is more.

    Args:
        market: MARKET.
        desk: DESK, the memory of the run.
        intent: INTENT with stop_loss and signal_price.
        units: Units of the base currency.

    Returns:
        Account currency before the cost scale.
    """
    by_price, by_fees = _loss_per_unit(market, desk, intent)
    return units * by_price + max(units * by_fees, 2.0 * market.commission_min)


@kernel
def units_within(market: Any, desk: Any, intent: Any, budget: float) -> float:
    """Return the most units whose loss at the stop stays within `budget`, before rounding; under 0 when none do.

    Arguments as `loss_at_stop`; `budget` in account currency.
    """
    by_price, by_fees = _loss_per_unit(market, desk, intent)
    units = budget / (by_price + by_fees)
    if units * by_fees < 2.0 * market.commission_min:
        units = (budget - 2.0 * market.commission_min) / by_price
    return units


@kernel
def kelly_cap(account: Any) -> float:
    """Return the cap on the risk fraction by a quarter of Kelly; NaN under 100 closed trades.

    f* = mean / variance of R on the 5th percentile of a seeded block bootstrap of the last outcomes, at least 0.

    Source: Kelly (1956); Politis & Romano (1994) for resampling in blocks.
    """
    n = min(account.n_outcomes, N_OUTCOMES)
    if n < KELLY_MIN_TRADES:
        return math.nan
    variance = 0.0
    mean = 0.0
    for i in range(n):
        mean += account.outcomes[i]
    mean /= n
    for i in range(n):
        variance += (account.outcomes[i] - mean) ** 2
    variance /= n - 1
    if variance <= 0.0:
        return 0.0
    # The 5th percentile of 200 draws is the 10th smallest: keep count of draws below each candidate by selection.
    low = _low_percentile_mean(account, n)
    return KELLY_SHARE * max(0.0, low / variance)


@kernel
def _bootstrap_mean(account: Any, n: int, draw: int) -> float:
    """Return the mean of one block-bootstrap draw of the outcomes."""
    total = 0.0
    count = 0
    seed = (draw * 2_654_435_761 + 12_345) & 0x7FFFFFFF
    while count < n:
        seed = (seed * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        start = (seed >> 8) % n
        for k in range(min(KELLY_BLOCK, n - count)):
            total += account.outcomes[(start + k) % n]
        count += min(KELLY_BLOCK, n - count)
    return total / n


@kernel
def _low_percentile_mean(account: Any, n: int) -> float:
    """Return the 5th percentile of the bootstrapped means, by repeated selection of the next smallest."""
    floor = -math.inf
    taken = 0
    while taken < KELLY_DRAWS // 20:
        smallest = math.inf
        for draw in range(KELLY_DRAWS):
            value = _bootstrap_mean(account, n, draw)
            if floor < value < smallest:
                smallest = value
        if smallest == math.inf:
            return floor
        floor = smallest
        taken += 1
    return floor


@kernel
def refresh_kelly(desk: Any, account: Any) -> None:
    """Recompute the Kelly cap if any book uses it; called when a trade has closed."""
    for b in range(desk.n_lanes):
        if book_at(desk.books, b).rules.kelly_cap:
            account.kelly_fraction = kelly_cap(account)
            return


@kernel
def size_entry(market: Any, desk: Any, book: Any, account: Any, intent: Any) -> int:
    """Write units and money at risk of an entry; return a RejectCode, 0 if it has a size.

    Rule RISK: the most whole steps that lose equity * fraction at the stop, lowered by volatility target and Kelly cap
    where they are on; under the minimum size the minimum is taken if it risks at most 1.5 budgets. Rule UNITS:
    floor_step(size). Whatever the rule, an entry that loses more than `max_idea_risk` of equity at its stop is refused.
    NOT_FINITE where the loss at the stop is not known, because the market that converts has had no bar yet.
    """
    quote = quote_at(desk.quotes, market.index)
    unit_value = plain_unit_value(market, desk)
    if not 0.0 < unit_value < math.inf:
        return NOT_FINITE
    units = intent["size"]
    if intent.size_rule == RISK:
        fraction = intent["size"]
        if account.limits.is_on and fraction > account.limits.max_idea_risk:
            return IDEA_RISK
        if book.rules.kelly_cap and not math.isnan(account.kelly_fraction):
            fraction = min(fraction, account.kelly_fraction)
            if fraction <= 0.0:
                return NO_EDGE
        budget = account.equity * fraction
        units = units_within(market, desk, intent, budget)
        sigma = annual_volatility(quote) if book.rules.target_volatility > 0.0 else math.nan
        if sigma > 0.0:
            units = min(units, account.equity * book.rules.target_volatility / (sigma * quote.bid * unit_value))
        units = floor_to(units, market.unit_step)
        if units < market.unit_min:
            if loss_at_stop(market, desk, intent, market.unit_min) <= MAX_MINIMUM_RISK * budget:
                units = market.unit_min
    else:
        units = floor_to(units, market.unit_step)
    if not units >= market.unit_min:
        return SIZE_BELOW_MINIMUM
    intent.units = min(units, floor_to(market.unit_max, market.unit_step))
    intent.risk_money = loss_at_stop(market, desk, intent, intent.units)
    if account.limits.is_on:
        if intent.risk_money > account.limits.max_idea_risk * account.equity * (1.0 + ROUNDING):
            return IDEA_RISK
        if intent.units * quote.bid * unit_value > account.limits.max_notional:
            return MAX_NOTIONAL
    return 0
