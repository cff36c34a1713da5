"""Markets, accounts and bars for tests of the execution core, made with few arguments.

Costs are zero unless a test asks for one, limits are off unless it sets one, and the calendar is the real FX calendar,
so that a case shows only what matters to it.
"""

from datetime import UTC, datetime
from functools import cache

import numpy as np

from tradesentry.core.domain.records import BAR, MARKET
from tradesentry.core.execution.setup import CostProfile, LimitSettings, fill_conversion, fill_market, new_rules
from tradesentry.core.execution.setup import new_account as account_of
from tradesentry.core.market.calendar import CalendarSpec, build_calendar
from tradesentry.core.market.instruments import instrument
from tradesentry.core.utils.kernel import new_records

CURRENCIES = ("USD", "EUR", "GBP", "JPY", "CHF", "AUD")
MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
TUESDAY = "2024-01-09T12:00"
FREE = CostProfile(slippage_pips=0.0, swap_factor=0.0, spread_factor=0.0, rollover_factor=1.0)
LIMITLESS = LimitSettings(is_on=False, min_free_margin=0.0, stop_out_level=0.0)


def utc(text):
    """Return ns UTC of an ISO time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@cache
def fx_calendar(symbol):
    """Return the calendar of a symbol over the first months of 2024, without sessions and news."""
    return build_calendar(CalendarSpec(), instrument(symbol), utc("2024-01-01"), utc("2024-06-01"))


def new_market(symbol="EURUSD", *, index=0, rows=None, blackouts=(), **numbers):
    """Return a MARKET without costs; `numbers` overwrite its fields.

    Args:
        symbol: A symbol of the table of instruments.
        index: Row of the market in the run.
        rows: Row of every market of the run by symbol, for conversion to dollars.
        blackouts: (start, end) of news intervals, ns.
        numbers: MARKET fields.
    """
    market = new_records(1, MARKET)
    item = instrument(symbol)
    fill_market(market[0], item, FREE, index=index, currencies=CURRENCIES)
    rates = {"EUR": 1.1, "GBP": 1.25, "JPY": 0.007, "CHF": 1.1, "AUD": 0.65}
    fill_conversion(market[0], item, account_currency="USD", rows=rows or {}, rates=rates)
    market["calendar"] = fx_calendar(symbol)
    calendar = market["calendar"].view(np.ndarray)
    calendar["n_blackouts"] = len(blackouts)
    for i, (start_ns, end_ns) in enumerate(blackouts):
        calendar["blackouts"][0, i] = (start_ns, end_ns)
    calendar["news_to_ns"] = utc("2025-01-01")
    for name, value in numbers.items():
        market[name] = value
    return market


def new_markets(symbols, **numbers):
    """Return the MARKET array of several symbols of one run, converting through each other where they can."""
    rows = {symbol: i for i, symbol in enumerate(symbols)}
    markets = new_records(len(symbols), MARKET)
    for i, symbol in enumerate(symbols):
        markets[i] = new_market(symbol, index=i, rows=rows, **numbers)[0]
    return markets


def new_account(capital=100_000.0, **limits):
    """Return a dollar ACCOUNT without limits; `limits` overwrite fields of LIMITS."""
    account = account_of(capital, LIMITLESS, n_currencies=len(CURRENCIES), equity_step_ns=1)
    for name, value in limits.items():
        account["limits"][name] = value
    return account


def rules_of(**numbers):
    """Return RULES of 15-minute bars that hold over weekends; `numbers` overwrite fields."""
    rules = new_rules(bar_ns=15 * MINUTE_NS, pip=0.0001, weekend="hold")
    for name, value in numbers.items():
        rules[name] = value
    return rules[0]


def make_bars(rows, *, start=TUESDAY, minutes=15, spread=0.0, gap_after=None, gap_minutes=0):
    """Return BAR records from (open, high, low, close) rows.

    Args:
        rows: Bid prices, one row per bar.
        start: ISO time UTC of the first bar's open.
        minutes: Length of a bar; 0 makes ticks, a second apart.
        spread: Price units, one number or one per bar.
        gap_after: Bar after which time is missing.
        gap_minutes: How much.
    """
    prices = np.array(rows, dtype=float).reshape(len(rows), 4)
    bars = np.zeros(len(prices), BAR)
    step_ns = minutes * MINUTE_NS or 1_000_000_000
    bars["open_ns"] = utc(start) + np.arange(len(prices)) * step_ns
    if gap_after is not None:
        bars["open_ns"][gap_after + 1 :] += gap_minutes * MINUTE_NS
    bars["close_ns"] = bars["open_ns"] + minutes * MINUTE_NS
    for column, name in enumerate(("open", "high", "low", "close")):
        bars[name] = prices[:, column]
    bars["volume"], bars["spread"] = 1.0, spread
    return bars


def flat_bars(n, price, **more):
    """Return `n` bars that stand still at `price`."""
    return make_bars([(price,) * 4] * n, **more)
