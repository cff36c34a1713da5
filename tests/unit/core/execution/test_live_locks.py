"""Locks after losses: each rule, that they survive a restart, and that they keep a real account from entering."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.markets import utc
from tests.support.recovering import Site, play
from tests.support.venues import quote_at
from tradesentry.core.domain.errors import StateMismatch
from tradesentry.core.domain.live_account import Enter, LiveTrade
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.execution.live_locks import ClosedTrade, LockBoard, LockKeeper, LockSettings, locks_of

NOON = utc("2024-01-09T12:00")
MINUTE = 60_000_000_000
RUN = UUID(int=7)


def closed(number, r, *, minute=0, symbol="EURUSD", app="breakout", is_stop=True):
    return ClosedTrade(str(number), symbol, app, NOON + minute * MINUTE, r, is_stop)


def codes(trades, minute, **settings):
    locks = locks_of(trades, LockSettings(**settings), now_ns=NOON + minute * MINUTE)
    return [(lock.code, lock.symbol, lock.app, (lock.until_ns - NOON) // MINUTE) for lock in locks]


LOSSES = [closed(i, -1.0, minute=i * 10) for i in range(3)]


def test_no_lock_is_on_by_default():
    assert codes(LOSSES, 21) == []


def test_losses_in_a_row_lock_the_instrument_for_a_while():
    assert codes(LOSSES, 21, streak_losses=3) == [("losing_streak", "EURUSD", "breakout", 260)]
    assert codes(LOSSES, 260, streak_losses=3) == []
    assert codes([*LOSSES[:2], closed(9, 0.5, minute=15), LOSSES[2]], 21, streak_losses=3) == []


def test_a_streak_over_several_instruments_locks_the_strategy():
    spread = [replace(trade, symbol=symbol) for trade, symbol in zip(LOSSES, ("A", "B", "C"), strict=True)]

    assert codes(spread, 21, streak_losses=3) == []
    assert codes(spread, 21, streak_losses=3, scope="app") == [("losing_streak", "", "breakout", 260)]


def test_stop_exits_within_the_look_back_lock_although_winners_lie_between():
    mixed = [*LOSSES, closed(9, 2.0, minute=15, is_stop=False)]

    assert codes(mixed, 21, guard_stops=3) == [("stop_guard", "EURUSD", "breakout", 260)]
    assert codes(mixed, 21, guard_stops=3, lookback_minutes=19) == []


def test_an_instrument_whose_profit_is_below_the_floor_is_locked():
    assert codes(LOSSES, 21, profit_trades=3, profit_floor_r=-2.5) == [("low_profit", "EURUSD", "breakout", 260)]
    assert codes(LOSSES, 21, profit_trades=4, profit_floor_r=-2.5) == []


def test_an_exit_is_followed_by_a_pause_of_its_instrument():
    assert codes([LOSSES[0]], 4, cool_down_minutes=5) == [("cool_down", "EURUSD", "breakout", 5)]
    assert codes([LOSSES[0]], 5, cool_down_minutes=5) == []


@given(st.permutations(range(3)))
def test_locks_do_not_depend_on_the_order_of_the_trades(order):
    rules = {"streak_losses": 2, "guard_stops": 2, "profit_trades": 2, "cool_down_minutes": 30}

    assert codes([LOSSES[i] for i in order], 21, **rules) == codes(LOSSES, 21, **rules)


def live_trade(ref="1", *, net="-100", units="0", reason="STOP_LOSS_ORDER"):
    return LiveTrade(
        trade_ref=ref,
        key="k",
        seq=1,
        run=UUID(int=1),
        symbol="EURUSD",
        side=Side.BUY,
        units=Decimal(units),
        initial_units=Decimal(1_000),
        entry_price=1.1,
        entry_ts_ns=1,
        stop_loss=1.09,
        take_profit=None,
        initial_stop=1.09,
        initial_risk=Decimal(100),
        realized=Decimal(net),
        exit_ts_ns=NOON,
        exit_reason=reason,
    )


def test_a_lock_survives_a_restart():
    settings = LockSettings(streak_losses=2)
    before = LockKeeper("breakout", settings)
    for trade in (live_trade("1"), live_trade("2"), live_trade("2"), live_trade("3", units="5")):
        before.note(trade)

    after = LockKeeper("breakout", settings)
    after.load(before.saved(UUID(int=1), bar_close_ns=NOON))

    assert after.locks(now_ns=NOON + 1) == before.locks(now_ns=NOON + 1)
    assert [lock.code for lock in after.locks(now_ns=NOON + 1)] == ["losing_streak"]


def test_saved_locks_of_another_version_are_refused():
    keeper = LockKeeper("breakout")
    state = replace(keeper.saved(UUID(int=1), bar_close_ns=NOON), dtype_digest="locks-0")

    with pytest.raises(StateMismatch, match="version 'locks-0'"):
        keeper.load(state)


async def trade_of_run(owner, *, symbol="EURUSD", stop=1.0950):
    """Send an entry of the run and return what became of it."""
    wish = Enter(symbol, Side.BUY, Decimal(10_000), OrderType.MARKET, stop)
    (sent,) = await owner.settle(owner.orders.submit([wish], run=RUN, bar_close_ns=0))
    return sent


async def lock_after_two_losses(site, owner):
    """Begin the locks of a life: two losses in a row lock the instrument."""
    board = LockBoard(owner.orders, site.clock, {RUN: LockKeeper("breakout", LockSettings(streak_losses=2))})
    owner.orders.name_run(RUN, "breakout")
    await board.begin(site.journal, owner.claim.lease)


def test_two_stops_in_a_row_lock_the_instrument_and_a_restart_does_not_open_it():
    """Seen to fail: with the saved state left out the new process enters at once."""

    async def case():
        site = Site()
        first = await site.own()
        await first.recover()
        await lock_after_two_losses(site, first)
        for _ in range(2):
            site.show(1.1000)
            await trade_of_run(first)
            site.show(1.0940)
            await first.settle(first.orders.catch_up())
        site.show(1.1000)
        locked = await trade_of_run(first)
        other = await trade_of_run(first, symbol="USDJPY", stop=149.0)
        await first.settle(first.orders.drain())
        second = await site.own()
        await second.recover()
        await lock_after_two_losses(site, second)
        still = await trade_of_run(second)
        await site.clock.advance(240 * 60)
        site.show(1.1000)
        await second.recovery.look_at_clock()
        after = await trade_of_run(second)
        return locked, other, still, after

    locked, other, still, after = play(case())

    assert (locked.verdict.code, still.verdict.code) == ("locked", "locked")
    assert "breakout lost 2 times in a row on EURUSD" in locked.verdict.text
    assert other.is_allowed
    assert after.is_allowed


def test_what_closed_while_nobody_kept_the_locks_counts_as_well():
    """A process that dies between the close and the save leaves the close in the journal, where it is read back.

    Seen to fail: with the saved trades alone the next process enters at once.
    """

    async def case():
        site = Site()
        first = await site.own()
        await first.recover()
        first.orders.name_run(RUN, "breakout")
        for _ in range(2):
            site.show(1.1000)
            await trade_of_run(first)
            site.show(1.0940)
            await first.settle(first.orders.catch_up())
        second = await site.own()
        await second.recover()
        await lock_after_two_losses(site, second)
        site.show(1.1000)
        return await trade_of_run(second)

    assert play(case()).verdict.code == "locked"


def test_a_lock_holds_at_once_although_the_clock_of_the_venue_is_ahead():
    """Seen to fail: the exit lay 0.4 s in our future, so it counted only when the next trade closed."""

    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        await lock_after_two_losses(site, owner)
        for _ in range(2):
            site.show(1.1000)
            await trade_of_run(owner)
            ahead_ns = site.clock.now_ns() + 400_000_000
            site.venue.on_quote(replace(quote_at(1.0940), ts_ns=ahead_ns, received_ts_ns=ahead_ns))
            await owner.settle(owner.orders.catch_up())
        site.show(1.1000)
        return await trade_of_run(owner)

    assert play(case()).verdict.code == "locked"
