"""Where the episodes of the training environment begin: the records of an environment, random starts, the first quote.

The present of a market hangs on all bars before it. It is kept for every 256th bar, and a new episode observes the few
bars from there to its start, so it begins with the very quote that a back-test has on that bar. Separate from the loop
over bars, because it runs once per episode.
"""

from typing import Any, Final

import numpy as np

from tradesentry.apps.drlfusion.envs.rewards import REWARD_MEMORY, reset_reward
from tradesentry.apps.drlfusion.helpers import HOLDING, N_FEATURES
from tradesentry.core.domain.calendar_records import aligned
from tradesentry.core.domain.orders import Status
from tradesentry.core.domain.records import ACCOUNT, QUOTE
from tradesentry.core.execution.desk import bar_at, book_at, market_at, quote_at
from tradesentry.core.execution.quotes import observe
from tradesentry.core.utils.kernel import copy_record, kernel, record_at

OK: Final = int(Status.OK)
CHECKPOINT_BARS: Final = 256
"""Bars between two kept quotes."""

CROSS = aligned(  # the quote of the market that converts, as of each bar of the market that is traded
    ("bid", "f8"),
    ("ask", "f8"),
    ("prev_bid", "f8"),
    ("prev_ask", "f8"),
    ("spread", "f8"),
    ("last_close_ns", "i8"),
)
ROW = aligned(  # one series of bars: a market, or its mirror
    ("market", "i8"),  # address of its MARKET
    ("bars", "i8"),  # of a BAR array
    ("features", "i8"),  # of a FEATURE array
    ("quotes", "i8"),  # of the kept QUOTEs
    ("crosses", "i8"),  # of a CROSS array, 0 where nothing converts
    ("first", "i8"),  # first and last bar that an episode may touch
    ("last", "i8"),
)
SLOT = aligned(  # one environment
    ("row", "i8"),
    ("at", "i8"),  # present bar
    ("until", "i8"),  # last bar of the episode
    ("random", "u8"),  # state of its random numbers
    ("equity", "f8"),  # as of the present bar
    ("paid", "f8"),  # costs so far of the positions that are open, account currency
    ("money_per_atr", "f8"),  # what an ATR of one full unit is worth; 0 while no unit is fixed
    ("net", "f8"),  # of the last bar, in that money
    ("cost", "f8"),
    ("held", "f8"),  # after the last bar, in full units
    ("n_trades", "i8"),  # of the episode
    ("n_rejects", "i8"),
    ("memory", REWARD_MEMORY),
)
ACTION = np.dtype(
    [
        ("target", "f8"),  # wished exposure
        ("level", "f8"),  # what it became
        ("features", "i8"),  # address of the row's FEATURE array
        ("at", "i8"),
        ("holding", HOLDING),
        ("raw", "f4", (N_FEATURES,)),
    ],
    align=True,
)
"""State of the strategy that an environment plays: the action it was given, and its memory of the position."""
TEMPLATE = aligned(  # how every episode begins, and what an episode is
    ("account", ACCOUNT),
    ("warmup_bars", "i8"),
    ("episode_bars", "i8"),
    ("n_rows", "i8"),
    ("rows", "i8"),  # address of a ROW array
    ("accounts", "i8"),  # of the first ACCOUNT, BOOK and QUOTE, to be fetched ahead
    ("books", "i8"),
    ("quotes", "i8"),
)

row_at = record_at(ROW)
cross_at = record_at(CROSS)
kept_quote_at = record_at(QUOTE)
_SHIFT_12 = np.uint64(12)
_SHIFT_25 = np.uint64(25)
_SHIFT_27 = np.uint64(27)
_SHIFT_33 = np.uint64(33)
_FACTOR = np.uint64(0x2545F4914F6CDD1D)


@kernel
def next_random(slot: Any) -> int:
    """Return 31 random bits.

    Source: Vigna (2016), ACM Transactions on Mathematical Software 42(4): xorshift64*.
    """
    x = slot.random
    x ^= x >> _SHIFT_12
    x ^= x << _SHIFT_25
    x ^= x >> _SHIFT_27
    slot.random = x
    return int(np.int64((x * _FACTOR) >> _SHIFT_33))


@kernel
def draw(slot: Any, n: int) -> int:
    """Return a random whole number from 0 to n - 1, n below 2**31."""
    return (next_random(slot) * n) >> 31


@kernel
def keep_quotes(market: Any, bars: int, n_bars: int, quotes: int, blank: Any) -> int:
    """Write the quote before every 256th bar.

    Args:
        market: MARKET.
        bars: Address of a BAR array.
        n_bars: Its length.
        quotes: Address of a QUOTE array with a row for every 256 bars begun.
        blank: QUOTE before the first bar, moved on.

    Returns:
        A Status.
    """
    for i in range(n_bars):
        if i % CHECKPOINT_BARS == 0:
            copy_record(kept_quote_at(quotes, i // CHECKPOINT_BARS), blank)
        status = observe(market, blank, bar_at(bars, i))
        if status != OK:
            return status
    return OK


@kernel
def follow_cross(market: Any, quote: Any, bars: Any, closes: Any, out: Any) -> int:
    """Write the quote of a converting market as of given times.

    Args:
        market: MARKET of it.
        quote: QUOTE before its first bar, moved on.
        bars: BAR array.
        closes: Times, ns, ascending, shape (n,).
        out: CROSS array, shape (n,).

    Returns:
        A Status.
    """
    row = 0
    for i in range(closes.shape[0]):
        while row < bars.shape[0] and bars[row].close_ns <= closes[i]:
            status = observe(market, quote, bars[row])
            if status != OK:
                return status
            row += 1
        out[i].bid = quote.bid
        out[i].ask = quote.ask
        out[i].prev_bid = quote.prev_bid
        out[i].prev_ask = quote.prev_ask
        out[i].spread = quote.spread
        out[i].last_close_ns = quote.last_close_ns
    return OK


@kernel
def show_cross(desk: Any, row: Any, at: int) -> None:
    """Write the quote of the converting market as of bar `at`."""
    if row.crosses == 0:
        return
    cross = cross_at(row.crosses, at)
    quote = quote_at(desk.quotes, 1)
    quote.bid = cross.bid
    quote.ask = cross.ask
    quote.prev_bid = cross.prev_bid
    quote.prev_ask = cross.prev_ask
    quote.spread = cross.spread
    quote.last_close_ns = cross.last_close_ns


@kernel
def _empty_book(book: Any, market: Any, clock: Any, bars_seen: int) -> None:
    """Put a book where it is before its first trade; rules and numbers stay."""
    book.n_queue = 0
    book.settled = bars_seen
    book.entry_ns = 0
    book.n_at_entry = 0
    book.unrealized = 0.0
    book.worst_unrealized = 0.0
    book.margin_used = 0.0
    book.realized = 0.0
    book.day_start_value = 0.0
    book.is_locked = False
    book.flatten_reason = 0
    book.quiet_until_ns = 0
    book.filled_baskets = 0
    seen = book.seen
    seen.tick = market.tick
    seen.pip = market.pip
    seen.unit_step = market.unit_step
    seen.unit_min = market.unit_min
    seen.bar_index = bars_seen
    seen.n_positions = 0
    seen.n_orders = 0
    copy_record(seen.clock, clock)


@kernel
def _empty_holding(holding: Any) -> None:
    """Forget the position of the episode before."""
    holding.side = 0
    holding.net_units = 0.0
    holding.held = 0.0
    holding.unit.units = 0.0
    holding.unit.equity = 0.0
    holding.unit.distance = 0.0
    holding.unit.budget = 0.0
    holding.next_side = 0
    copy_record(holding.next_unit, holding.unit)
    holding.open_r = 0.0
    holding.best_r = 0.0
    holding.held_bars = 0
    holding.closed_side = 0
    holding.reason = 0
    holding.asked_level = 0.0
    holding.asked_units = 0.0


@kernel
def begin(template: Any, slot: Any, desk: Any, account: Any, state: Any, row_index: int, start: int) -> int:
    """Begin an episode flat at the close of bar `start`. Return a Status."""
    row = row_at(template.rows, row_index)
    desk.markets = row.market
    market = market_at(desk.markets, 0)
    book = book_at(desk.books, 0)
    quote = quote_at(desk.quotes, 0)
    kept = start // CHECKPOINT_BARS
    copy_record(quote, kept_quote_at(row.quotes, kept))
    for i in range(kept * CHECKPOINT_BARS, start + 1):
        status = observe(market, quote, bar_at(row.bars, i))
        if status != OK:
            return status
    show_cross(desk, row, start)
    copy_record(account, template.account)
    account.day_ns = quote.clock.fx_day_start_ns
    account.day_end_ns = quote.clock.fx_day_end_ns
    account.last_ns = quote.last_close_ns
    _empty_book(book, market, quote.clock, start + 1)
    _empty_holding(state.holding)
    state.features = row.features
    slot.row = row_index
    slot.at = start
    slot.until = min(start + template.episode_bars, row.last)
    slot.equity = account.equity
    slot.paid = 0.0
    slot.money_per_atr = 0.0
    slot.net = 0.0
    slot.cost = 0.0
    slot.held = 0.0
    slot.n_trades = 0
    slot.n_rejects = 0
    reset_reward(slot.memory)
    return OK


@kernel
def begin_anywhere(template: Any, slot: Any, desk: Any, account: Any, state: Any) -> int:
    """Begin an episode at a bar drawn from all that leave room for one. Return a Status."""
    row_index = draw(slot, template.n_rows)
    row = row_at(template.rows, row_index)
    low = row.first + template.warmup_bars
    start = low + draw(slot, row.last - template.episode_bars - low + 1)
    return begin(template, slot, desk, account, state, row_index, start)
