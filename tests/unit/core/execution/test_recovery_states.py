"""What an account may do after recovery: the linked one only, in the state it had, with what was lost meanwhile."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.support.recovering import Site, journal_fills, play, rows_of, statuses, venue_fills
from tests.support.venues import entry
from tradesentry.core.domain.errors import AccountMismatch, LeaseLost
from tradesentry.core.domain.live_orders import Evidence, OrderStatus, client_order_id
from tradesentry.core.domain.orders import OrderType
from tradesentry.core.execution.account_limits import causes_of
from tradesentry.core.execution.journal_rows import LiveState
from tradesentry.core.execution.reconciliation import reconcile
from tradesentry.core.execution.repairs import CursorAhead
from tradesentry.core.execution.venue_look import AccountLink, take_report

ACTIVE, HALTED, RECONCILING, REDUCING = LiveState.ACTIVE, LiveState.HALTED, LiveState.RECONCILING, LiveState.REDUCING
Status = OrderStatus


@pytest.mark.parametrize(
    ("link", "name"),
    [
        (AccountLink(account="001-001-1234567-999"), "account is '...001', not '...999'"),
        (AccountLink(environment="live"), "environment"),
        (AccountLink(currency="EUR"), "currency"),
        (AccountLink(is_hedging=False), "hedging"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_account_than_the_linked_one_is_refused(link, name):
    async def case():
        site = Site()
        owner = await site.own(link=link)
        with pytest.raises(AccountMismatch, match=name.replace(".", r"\.")):
            await owner.recover()
        return owner

    assert play(case()).broker.n_requests == 0


def test_a_new_numbering_of_the_venue_forces_a_full_snapshot():
    async def case():
        site = Site()
        first = await site.own()
        await first.recover()
        await first.buy()
        site.venue.log_id = "log-2"
        state = await first.recover("reconnect")
        return site, first, state

    site, owner, state = play(case())

    assert state is ACTIVE
    assert (owner.book.log_id, owner.book.cursor) == ("log-2", site.venue.last_seq)
    assert [trade.units for trade in owner.book.trades.values()] == [10_000]
    assert "event_log_replaced" in site.codes


def test_an_order_of_ours_that_the_journal_lacks_halts_until_a_person_confirms():
    """The journal was restored: the order stays, no number is used again, nothing is opened."""

    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        lost = client_order_id(owner.claim.lease.instance, 40)
        site.venue.place(replace(entry(1, kind=OrderType.LIMIT, price=1.05, stop=1.04), client_order_id=lost))
        state = await owner.recover("restored")
        denied = await owner.buy()
        armed = await owner.recovery.rearm()
        again = await owner.recover("person")
        sent = await owner.buy()
        return site, (state, armed, again), denied, sent

    site, states, denied, sent = play(case())

    assert states == (HALTED, ACTIVE, ACTIVE)
    assert denied.verdict.code == "halted"
    assert sent.seq > 40
    assert "journal_behind" in site.codes
    assert len(site.venue.resting()) == 1


def test_an_order_of_ours_that_lies_before_every_known_event_halts_a_fresh_journal():
    """An empty database over an account that was traded: no event tells of the order any more, only the look does."""

    async def case():
        site = Site()
        site.venue.place(replace(entry(1, kind=OrderType.LIMIT, price=1.05, stop=1.04)))
        owner = await site.own()
        first = await owner.recover()
        again = await owner.recover("again")
        armed = await owner.recovery.rearm()
        return site, owner, (first, again, armed, await owner.recover("person"))

    site, owner, states = play(case())

    assert states == (HALTED, HALTED, ACTIVE, ACTIVE)
    assert len(site.venue.resting()) == 1
    assert [order.seq for order in owner.book.open_orders.values()] == [None]
    assert site.codes.count("journal_behind") >= 1


def test_a_position_that_fills_do_not_explain_blocks_its_instrument_until_a_person_accepts_it():
    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        await owner.buy()
        position = site.venue.memory.position(0, site.venue.trades[next(iter(site.venue.trades))].position_id)
        position["units"] = 4_000.0
        state = await owner.recover("reconnect")
        denied = await owner.buy()
        other = await owner.buy(symbol="USDJPY", stop=149.0)
        await owner.settle(owner.recovery.rearm())
        units = [trade.units for trade in owner.book.trades.values() if trade.symbol == "EURUSD"]
        sent = await owner.buy()
        return site, state, denied, other, units, sent

    site, state, denied, other, units, sent = play(case())

    assert state is ACTIVE
    assert denied.verdict.code == "instrument_blocked"
    assert other.is_allowed
    assert units == [4_000]
    assert sent.is_allowed
    assert {"position_mismatch", "position_accepted"} <= set(site.codes)


def test_a_look_is_not_compared_with_a_book_that_heard_of_later_events():
    """Seen to fail: a trade closed by an event beyond a hole was adopted from the older look as somebody else's."""

    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        await owner.buy()
        look = await take_report(owner.broker)
        site.venue.close(next(iter(site.venue.trades)), None)
        page = (await owner.broker.events_since(owner.book.cursor)).events
        fills = [event for event in page if event.kind.value == "order_filled"]
        await owner.orders.ingest(fills, evidence=Evidence.STREAM)
        state = await owner.recovery.comparison._journal_state(look)
        await owner.settle(owner.orders.drain())
        return look, fills, dict(state.trades), reconcile(state, look)

    look, fills, trades, repairs = play(case())

    assert trades == {}
    assert repairs == [CursorAhead(fills[0].seq, look.account.last_seq)]


def test_the_account_returns_to_the_state_it_had():
    async def case(state, reason):
        site = Site()
        owner = await site.own()
        await owner.recover()
        await owner.orders.set_state(state, reason)
        await owner.die()
        second = await site.own()
        return second, await second.recover()

    for state, reason in ((HALTED, "kill_switch: by a person"), (REDUCING, "paused: by a person"), (ACTIVE, "")):
        owner, after = play(case(state, reason))

        assert after is state
        assert owner.orders.store.record.reason == reason
        assert owner.orders.store.record.return_state is None


def test_a_death_in_the_middle_of_recovery_forgets_no_halt():
    """Step 1 stores the state to return to; a second recovery must not take RECONCILING for it."""

    async def case():
        site = Site()
        first = await site.own()
        await first.recover()
        await first.orders.set_state(HALTED, "kill_switch: by a person")
        second = await site.own(faults="connect_refused 100% on connect")
        task = asyncio.ensure_future(second.recovery.recover())
        await site.clock.advance(5)
        middle = rows_of(site).account["now"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        third = await site.own()
        return middle, await third.recover(), third

    middle, state, third = play(case())

    assert (middle.state, middle.return_state) == (RECONCILING, HALTED)
    assert state is HALTED
    assert causes_of(third.orders.store.record.reason) == {"kill_switch": "by a person"}


def test_a_venue_that_is_away_is_asked_again_with_growing_pauses_and_an_alert_every_minute():
    async def case():
        site = Site()
        owner = await site.own(faults="connect_refused at 1,2,3,4,5,6,7,8 on connect")
        state = await owner.settle(owner.recovery.recover(), seconds=300)
        return site, owner, state

    site, owner, state = play(case())

    assert state is ACTIVE
    assert 120 < owner.recovery.last_seconds < 160
    assert site.codes.count("recovery_fails") == 2


def test_a_loss_while_nobody_watched_counts_when_somebody_does():
    """A gap of 3.5 % over the stop: the account comes back REDUCING and its resting entries are canceled."""

    async def case():
        site = Site()
        first = await site.own()
        await first.recover()
        await first.buy(100_000, stop=1.0750)
        await first.buy(1_000, type=OrderType.LIMIT, price=1.0, stop=0.99)
        await first.die()
        site.show(1.0650)
        second = await site.own()
        state = await second.recover()
        await second.settle(second.orders.drain())
        return site, second, state

    site, second, state = play(case())

    assert state is REDUCING
    assert journal_fills(site) == venue_fills(site)
    assert set(causes_of(second.orders.store.record.reason)) == {"daily_loss"}
    assert site.venue.resting() == []
    assert statuses(site, 2)[-1] is Status.CANCELED


def test_a_death_between_a_halt_and_its_effect_leaves_no_entry_at_the_venue():
    """Seen to fail: where only a new cause took entries back the order rested on under the halted account."""

    async def case():
        site = Site()
        first = await site.own()
        await first.recover()
        await first.buy(1_000, type=OrderType.LIMIT, price=1.05, stop=1.04)
        await first.orders.set_state(HALTED, "kill_switch: by a person")
        await first.die()
        second = await site.own()
        state = await second.recover()
        await second.settle(second.orders.drain())
        return site, state

    site, state = play(case())

    assert state is HALTED
    assert site.venue.resting() == []


def test_a_deposit_is_no_profit_and_a_withdrawal_no_loss():
    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        site.venue.transfer(Decimal(50_000))
        await owner.recover("reconnect")
        site.venue.transfer(Decimal(-100_000))
        state = await owner.recover("reconnect")
        return owner, state

    owner, state = play(case())
    record = owner.orders.store.record

    assert state is ACTIVE
    assert (record.high_water_mark, record.flows, record.day_start_equity) == (100_000, -50_000, 50_000)


def test_a_lost_lease_ends_recovery():
    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        rows_of(site).until_ns = site.clock.now_ns() - 1
        await site.own("host-2")
        with pytest.raises(LeaseLost):
            await owner.recover("reconnect")

    play(case())


def test_two_who_ask_for_recovery_at_once_get_one_after_the_other():
    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        both = asyncio.gather(owner.recovery.recover("reconnect"), owner.recovery.recover("journal"))
        states = await owner.settle(both)
        return states, owner.orders.store.record.return_state

    assert play(case()) == ([ACTIVE, ACTIVE], None)


async def together(owner, *works):
    """Let several writers wait for the journal at the same time, in that order."""
    async with owner.orders.store._lock:
        tasks = [asyncio.ensure_future(work) for work in works]
        for _ in range(30):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)


def test_a_halt_that_is_stored_while_recovery_waits_to_write_is_not_overwritten():
    """Found by the soak. Seen to fail: recovery stored the state that it had read before, so the halt was gone."""

    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        await together(owner, owner.orders.set_state(HALTED, "kill_switch: by hand"), owner.recover("reconnect"))
        return owner.orders.store.record

    record = play(case())

    assert (record.state, causes_of(record.reason)) == (HALTED, {"kill_switch": "by hand"})


def test_a_judgment_of_a_record_that_was_replaced_meanwhile_is_made_again():
    """Found by the soak. Seen to fail: the poll of the account's money stored ACTIVE over a halt."""

    async def case():
        site = Site()
        owner = await site.own()
        await owner.recover()
        await site.clock.advance(120)
        halt = owner.orders.set_state(HALTED, "kill_switch: by hand")
        await together(owner, halt, owner.recovery.look_at_money())
        return owner.orders.state

    assert play(case()) is HALTED
