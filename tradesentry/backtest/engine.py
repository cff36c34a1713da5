"""Play bars through an account: the loop that back-test, sweep and paper account share.

Bars of all markets are merged by the time they are known (`close_ns`). At each instant, in this order: every market
that has a bar shows it to its quote; every book on those markets is settled; the account is marked and its limits act;
every strategy on those markets decides; all intents of the instant compete by score, market and sequence. All state is
memory handed in by the caller, so the loop can stop at any instant (step budget used up, an output array full) and go
on with the same call.
"""

from typing import Any

from tradesentry.backtest.coasting import coast, is_alone
from tradesentry.core.domain.orders import ExitReason, RejectCode, Status
from tradesentry.core.domain.records import BAR, N_INTENTS, N_ORDERS, N_POSITIONS
from tradesentry.core.execution.account import roll_account_day, roll_book_day, update_account, write_equity_point
from tradesentry.core.execution.book import cancel_all, reduce_position
from tradesentry.core.execution.costs import FAR_FUTURE_NS, conversion_rates
from tradesentry.core.execution.decide import ask_strategy, execute, failure, goes_before
from tradesentry.core.execution.desk import bar_at, book_at, equity_at, lane_at, market_at, quote_at, series_at
from tradesentry.core.execution.quiet import carry, is_quiet, value
from tradesentry.core.execution.quotes import observe
from tradesentry.core.execution.risk_manager import refresh_kelly
from tradesentry.core.execution.settle import mark_at_quote, settle
from tradesentry.core.utils.kernel import copy_record, inline_kernel, kernel, prefetch

OK = int(Status.OK)
PAUSED = int(Status.PAUSED)
GROW_TRADES = int(Status.GROW_TRADES)
GROW_EQUITY = int(Status.GROW_EQUITY)
GROW_REJECTS = int(Status.GROW_REJECTS)
END_OF_DATA = int(ExitReason.END_OF_DATA)
DATA_ENDED = int(RejectCode.END_OF_DATA)
BAR_BYTES = BAR.itemsize
LOOK_AHEAD_BARS = 8
"""Bars that are fetched ahead, about the time memory takes."""
ROOM_PER_LANE = N_POSITIONS + N_ORDERS + 2 * N_INTENTS
"""Trades or rejects that one instant can cause on one book."""


@inline_kernel
def next_instant(desk: Any) -> int:
    """Return the earliest `next_close_ns` of all markets; far future when every series has ended."""
    now = series_at(desk.series, 0).next_close_ns
    for m in range(1, desk.n_markets):
        now = min(now, series_at(desk.series, m).next_close_ns)
    return now


@kernel
def _find_finer(row: Any, bar: Any) -> None:
    """Point the series at the finer bars that open inside `bar`."""
    i = row.fine_to
    while i < row.n_fine and bar_at(row.fine, i).open_ns < bar.open_ns:
        i += 1
    row.fine_from = i
    while i < row.n_fine and bar_at(row.fine, i).open_ns < bar.close_ns:
        i += 1
    row.fine_to = i


@inline_kernel
def _observe_markets(desk: Any, account: Any, now: int) -> int:
    """Show the bars of this instant to their quotes; start a new account day when one of them begins it."""
    for m in range(desk.n_markets):
        row = series_at(desk.series, m)
        if row.next_close_ns != now:
            continue
        bar = bar_at(row.bars, row.next_bar)
        status = observe(market_at(desk.markets, m), quote_at(desk.quotes, m), bar)
        if status != OK:
            return status
        if row.n_fine > 0:
            _find_finer(row, bar)
        if bar.open_ns >= account.day_end_ns:
            roll_account_day(account, quote_at(desk.quotes, m).clock)
    return OK


@inline_kernel
def _settle_books(desk: Any, account: Any, now: int) -> int:
    """Settle every book whose market has a bar at this instant."""
    for b in range(desk.n_lanes):
        book = book_at(desk.books, b)
        m = book.market
        row = series_at(desk.series, m)
        if row.next_close_ns != now:
            continue
        seen = book.seen
        quote = quote_at(desk.quotes, m)
        if seen.clock.n_moves != quote.clock.n_moves:
            if seen.bar_index > 0 and quote.clock.fx_day != seen.clock.fx_day:
                roll_book_day(market_at(desk.markets, m), desk, book, account, quote.clock.fx_day)
            copy_record(seen.clock, quote.clock)
        seen.bar_index += 1
        bar = bar_at(row.bars, row.next_bar)
        spread = quote.spread * market_at(desk.markets, m).cost_scale
        if row.fine_to == row.fine_from and is_quiet(book, bar, spread):
            book.settled += 1
            if seen.n_positions > 0:
                market = market_at(desk.markets, m)
                gain, loss = conversion_rates(market, desk, bar.close, bar.close + spread)
                carry(seen, bar, spread, gain, loss)
                marks = value(seen, bar, spread, gain, loss, market.margin_fraction)
                book.unrealized, book.worst_unrealized, book.margin_used = marks
            continue
        status = settle(market_at(desk.markets, m), desk, book, account, bar, row.fine, row.fine_from, row.fine_to)
        if status != OK:
            return status
    return OK


@inline_kernel
def _sign(intents: Any, start: int, stop: int, lane: int) -> None:
    """Write into intents `start` to `stop` whose they are."""
    for i in range(start, stop):
        intents[i].lane = lane
        intents[i].seq = i


@inline_kernel
def _ask_strategies(desk: Any, account: Any, intents: Any, now: int) -> int:
    """Let every strategy with a bar at this instant decide; return the number of intents or a negative status."""
    total = 0
    for b in range(desk.n_lanes):
        lane = lane_at(desk.lanes, b)
        row = series_at(desk.series, lane.market)
        if row.next_close_ns != now:
            continue
        bar = bar_at(row.bars, row.next_bar)
        room = intents[total : total + N_INTENTS + 1]
        market = market_at(desk.markets, lane.market)
        n = ask_strategy(lane, market, desk, book_at(desk.books, b), account, bar, room)
        if n < 0:
            return n
        _sign(intents, total, total + n, b)
        total += n
    return total


@kernel
def _execute_all(desk: Any, account: Any, intents: Any, n: int, now: int) -> int:
    """Carry out the intents of one instant in their order of precedence."""
    for _ in range(n):
        best = -1
        for i in range(n):
            if intents[i].lane >= 0 and (best < 0 or goes_before(intents[i], intents[best])):
                best = i
        status = execute(desk, account, intents[best], now)
        if status != OK:
            return status
        intents[best].lane = -1
    return OK


@inline_kernel
def _move_on(desk: Any, now: int) -> int:
    """Advance the series that had a bar at this instant; return the next instant, as `next_instant`."""
    soonest = FAR_FUTURE_NS
    for m in range(desk.n_markets):
        row = series_at(desk.series, m)
        if row.next_close_ns == now:
            row.next_bar += 1
            # Many series are too many streams for the processor to foresee.
            prefetch(row.bars + (row.next_bar + LOOK_AHEAD_BARS) * BAR_BYTES)
            row.next_close_ns = bar_at(row.bars, row.next_bar).close_ns if row.next_bar < row.n_bars else FAR_FUTURE_NS
        soonest = min(soonest, row.next_close_ns)
    return soonest


@inline_kernel
def play_instant(desk: Any, account: Any, intents: Any, now: int) -> int:
    """Play all bars that close at `now`. See the module docstring for the order.

    Returns:
        A Status.
    """
    status = _observe_markets(desk, account, now)
    if status != OK:
        return status
    n_trades = account.n_trades
    status = _settle_books(desk, account, now)
    if status != OK:
        return status
    update_account(desk, account, now)
    if account.n_trades != n_trades:
        refresh_kelly(desk, account)
    n = _ask_strategies(desk, account, intents, now)
    if n < 0:
        return failure(n)
    if n > 0:
        return _execute_all(desk, account, intents, n, now)
    return OK


@kernel
def run(desks: Any, accounts: Any, intents: Any) -> int:
    """Play at most `DESK.steps_left` instants; go on with the same call when the answer is not OK.

    Args:
        desks: DESK array, shape (1,): where the memory of the run lies. `steps_left` counts down; the budget lets the
            caller show progress and be interrupted.
        accounts: ACCOUNT array, shape (1,).
        intents: INTENT array, shape (n_lanes * N_INTENTS + 1,); the last row is spare (`core.strategy.intents`).

    Returns:
        Status OK at the end of the data, PAUSED when the budget is used up, GROW_... when an output array is full,
        anything else is a failure that ends the run.
    """
    desk = desks[0]
    account = accounts[0]
    room = ROOM_PER_LANE * desk.n_lanes
    alone = is_alone(desk)
    now = next_instant(desk)
    while desk.steps_left > 0:
        if now >= FAR_FUTURE_NS:
            return OK
        if account.n_trades + room > desk.trade_room:
            return GROW_TRADES
        if account.n_rejects + room > desk.reject_room:
            return GROW_REJECTS
        if account.n_equity + 2 > desk.equity_room:
            return GROW_EQUITY
        status = play_instant(desk, account, intents, now)
        if status != OK:
            return status
        if now >= account.next_equity_ns:
            write_equity_point(desk, account, now)
        now = _move_on(desk, now)
        desk.steps_left -= 1
        if alone and desk.steps_left > 0:
            played, n = coast(desk, account, intents, desk.steps_left)
            desk.steps_left -= played
            now = next_instant(desk)
            if n < 0:
                return failure(n)
            if n > 0:
                _sign(intents, 0, n, 0)
                status = _execute_all(desk, account, intents, n, account.last_ns)
                if status != OK:
                    return status
    return PAUSED


@kernel
def finish(desks: Any, accounts: Any) -> None:
    """Close what is open at the last quotes, cancel what rests, and write the last equity point.

    Arguments as `run`; the arrays have room for one more instant.
    """
    desk = desks[0]
    account = accounts[0]
    for b in range(desk.n_lanes):
        book = book_at(desk.books, b)
        market = market_at(desk.markets, book.market)
        quote = quote_at(desk.quotes, book.market)
        cancel_all(book, account, desk, account.last_ns, DATA_ENDED)
        while book.seen.n_positions > 0:
            position = book.seen.positions[0]
            price = quote.bid if position.side > 0 else quote.ask
            reduce_position(market, desk, book, account, 0, position.units, price, False, account.last_ns, END_OF_DATA)
        mark_at_quote(market, desk, book)
    update_account(desk, account, account.last_ns)
    if account.n_equity > 0 and equity_at(desk.equity, account.n_equity - 1).ts_ns == account.last_ns:
        account.n_equity -= 1
    write_equity_point(desk, account, account.last_ns)
