"""Drive one account bar by bar from Python: the slow twin of the engine loop, and the way a live bar is decided.

Calls the same kernels in the same order as `backtest.engine`, one call each, without its quiet-bar shortcut. Parity of
the two is a check that every strategy passes; a live orchestrator uses `observe` and `decide` the same way and leaves
`settle` to the venue.
"""

from typing import Any

from tradesentry.core.domain.orders import Status
from tradesentry.core.domain.records import N_INTENTS
from tradesentry.core.execution.account import roll_account_day, roll_book_day, update_account
from tradesentry.core.execution.costs import FAR_FUTURE_NS
from tradesentry.core.execution.decide import ask_strategy, execute, failure, goes_before
from tradesentry.core.execution.desk import bar_at, book_at, lane_at, market_at, quote_at, series_at
from tradesentry.core.execution.quotes import observe
from tradesentry.core.execution.settle import settle
from tradesentry.core.utils.kernel import copy_record, kernel

OK = int(Status.OK)


@kernel
def observe_market(desks: Any, accounts: Any, m: int) -> int:
    """Show the next bar of market `m` to its quote; start a new account day when it begins one. Return a Status."""
    desk, account = desks[0], accounts[0]
    row = series_at(desk.series, m)
    quote = quote_at(desk.quotes, m)
    bar = bar_at(row.bars, row.next_bar)
    status = observe(market_at(desk.markets, m), quote, bar)
    if status == OK and bar.open_ns >= account.day_end_ns:
        roll_account_day(account, quote.clock)
    return status


@kernel
def settle_book(desks: Any, accounts: Any, b: int) -> int:
    """Settle book `b` on the bar its quote has just been shown. Return a Status."""
    desk, account = desks[0], accounts[0]
    book = book_at(desk.books, b)
    m = book.market
    quote = quote_at(desk.quotes, m)
    seen = book.seen
    if seen.clock.n_moves != quote.clock.n_moves:
        if seen.bar_index > 0 and quote.clock.fx_day != seen.clock.fx_day:
            roll_book_day(market_at(desk.markets, m), desk, book, account, quote.clock.fx_day)
        copy_record(seen.clock, quote.clock)
    seen.bar_index += 1
    row = series_at(desk.series, m)
    bar = bar_at(row.bars, row.next_bar)
    return settle(market_at(desk.markets, m), desk, book, account, bar, row.fine, row.fine_from, row.fine_to)


@kernel
def mark_account(desks: Any, accounts: Any, now: int) -> None:
    """Mark the account at `now` and apply its limits."""
    update_account(desks[0], accounts[0], now)


@kernel
def decide_book(desks: Any, accounts: Any, intents: Any, b: int) -> int:
    """Ask the strategy of book `b`; return the number of intents, which carry their lane and sequence."""
    desk, account = desks[0], accounts[0]
    lane = lane_at(desk.lanes, b)
    row = series_at(desk.series, lane.market)
    bar = bar_at(row.bars, row.next_bar)
    market = market_at(desk.markets, lane.market)
    n = ask_strategy(lane, market, desk, book_at(desk.books, b), account, bar, intents)
    for i in range(n):
        intents[i].lane = b
        intents[i].seq = i
    return n


@kernel
def execute_best(desks: Any, accounts: Any, intents: Any, n: int, now: int) -> int:
    """Carry out the intent that goes first among the `n` not yet done, and mark it done. Return a Status."""
    best = -1
    for i in range(n):
        if intents[i].lane >= 0 and (best < 0 or goes_before(intents[i], intents[best])):
            best = i
    if best < 0:
        return OK
    status = execute(desks[0], accounts[0], intents[best], now)
    intents[best].lane = -1
    return status


def play_bar_by_bar(memory: Any, max_instants: int) -> int:
    """Play at most `max_instants` instants one kernel call at a time.

    Args:
        memory: The memory of a run without finer bars (`backtest.arena.Arena`), with room in its output arrays.
        max_instants: Where to stop.

    Returns:
        A Status: OK at the end of the data, PAUSED at the budget, anything else a failure.
    """
    account, series = memory.account, memory.series
    for _ in range(max_instants):
        now = int(series["next_close_ns"].min())
        if now >= FAR_FUTURE_NS:
            return OK
        due = [m for m in range(len(series)) if series["next_close_ns"][m] == now]
        books = [b for b in range(len(memory.books)) if memory.books["market"][b] in due]
        status = _play_instant(memory, due, books, now)
        if status != OK:
            return status
        if now >= int(account["next_equity_ns"][0]):
            account["next_equity_ns"] = now + account["equity_step_ns"]
            account["n_equity"] += 1
            account["drawdown"] = 1.0 - account["worst_equity"] / account["peak_equity"]
        for m in due:
            row = int(series["next_bar"][m]) + 1
            series["next_bar"][m] = row
            bars = memory.bars[m]
            series["next_close_ns"][m] = bars["close_ns"][row] if row < len(bars) else FAR_FUTURE_NS
    return int(Status.PAUSED)


def _play_instant(memory: Any, due: list[int], books: list[int], now: int) -> int:
    """Play one instant: observe, settle, mark, decide, execute."""
    desk, account, intents = memory.desk, memory.account, memory.intents
    for m in due:
        status = int(observe_market(desk, account, m))
        if status != OK:
            return status
    for b in books:
        status = int(settle_book(desk, account, b))
        if status != OK:
            return status
    mark_account(desk, account, now)
    n = 0
    for b in books:
        asked = int(decide_book(desk, account, intents[n : n + N_INTENTS + 1], b))
        if asked < 0:
            return int(failure(asked))
        intents["seq"][n : n + asked] = range(n, n + asked)
        n += asked
    for _ in range(n):
        status = int(execute_best(desk, account, intents, n, now))
        if status != OK:
            return status
    return OK
