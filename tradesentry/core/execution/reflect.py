"""Bring a book that a venue fills up to the close of a bar: `settle` without the fills.

Live, the venue opens and closes positions and books overnight interest; what is left to do on a closed bar before the
strategy is asked is the same bookkeeping as in a back-test: clock, day, excursions, marks. `reflect_clock` comes before
the venue's changes are written into the book, `reflect_marks` after them.
"""

from typing import Any

from tradesentry.core.execution.costs import to_account_at
from tradesentry.core.execution.desk import bar_at, book_at, market_at, quote_at, series_at
from tradesentry.core.execution.settle import mark_positions, widen_excursions
from tradesentry.core.utils.kernel import copy_record, kernel


@kernel
def reflect_clock(desks: Any, b: int) -> None:
    """Show book `b` the time of the bar that its quote has just been shown; start its FX day when one begins.

    Args:
        desks: DESK array, shape (1,).
        b: Row of the book; overnight interest that the venue booked for the day that ends is in `realized` already.
    """
    book = book_at(desks[0].books, b)
    quote = quote_at(desks[0].quotes, book.market)
    seen = book.seen
    if seen.clock.n_moves != quote.clock.n_moves:
        if seen.bar_index > 0 and quote.clock.fx_day != seen.clock.fx_day:
            book.day_start_value = book.realized + book.unrealized
            book.is_locked = False
        copy_record(seen.clock, quote.clock)
    seen.bar_index += 1
    book.settled += 1


@kernel
def reflect_marks(desks: Any, b: int) -> None:
    """Widen the excursions of book `b` by the bar and value its positions at the close, account currency.

    Args:
        desks: DESK array, shape (1,).
        b: Row of the book, its positions as the venue has them.
    """
    desk = desks[0]
    book = book_at(desk.books, b)
    market = market_at(desk.markets, book.market)
    row = series_at(desk.series, book.market)
    bar = bar_at(row.bars, row.next_bar)
    spread = quote_at(desk.quotes, book.market).spread * market.cost_scale
    seen = book.seen
    for i in range(seen.n_positions):
        widen_excursions(seen.positions[i], bar, spread)
    mark_positions(market, desk, book, bar.close, bar.close + spread, bar.low, bar.high + spread)


@kernel
def loss_rate(desks: Any, m: int, price: float, ts_ns: int) -> float:
    """Return account money per unit that a price move of 1 against a fill at `price` and `ts_ns` costs.

    Args:
        desks: DESK array, shape (1,).
        m: Row of the market.
        price: Of the fill.
        ts_ns: When it was filled.
    """
    desk = desks[0]
    return -to_account_at(market_at(desk.markets, m), desk, -1.0, price, price, ts_ns)
