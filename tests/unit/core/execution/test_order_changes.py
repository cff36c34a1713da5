"""Exits, cancels and stops: absolute, only tightening, at their pace, and asked for again when they never arrived."""

from uuid import uuid4

import pytest

from tests.support.order_rigs import enter, limit, order_rig, play
from tests.support.venues import entry
from tradesentry.core.broker.base_broker import RefusalClass, Refused, Unknown
from tradesentry.core.domain.live_account import Amend, Cancel, Protect, Reduce
from tradesentry.core.domain.orders import Side
from tradesentry.core.execution.journal import AttemptKind, LiveState
from tradesentry.core.execution.order_requests import OrderSettings

RUN = uuid4()


@pytest.mark.parametrize(("fault", "n_asked"), [("lose_reply", 1), ("reset_before", 2)])
def test_an_exit_without_a_reply_ends_by_evidence_and_is_asked_for_again_when_it_never_arrived(fault, n_asked):
    async def case():
        async with order_rig(faults=f"{fault} at 1 on close") as rig:
            await rig.submit(enter())
            await rig.submit(Reduce(next(iter(rig.book.trades))))
            during = rig.statuses()
            await rig.orders.resolve()
            await rig.settle(rig.orders.drain())
            attempts = [attempt for (seq, _), attempt in rig.rows.attempts.items() if seq == 2]
            return during, rig.statuses(), len(attempts), rig.book.trades, rig.alerts

    during, after, n_attempts, trades, alerts = play(case())

    assert (during, after) == (["filled", "unknown"], ["filled", "filled"])
    assert (n_attempts, trades, alerts) == (n_asked, {}, [])


@pytest.mark.parametrize("operation", ["cancel", "replace"])
def test_a_change_without_a_reply_is_settled_by_the_complete_events(operation):
    async def case(fault):
        async with order_rig(faults=f"{fault} at 1 on {operation}") as rig:
            seq = (await rig.submit(limit()))[0].seq
            await rig.submit(Cancel(seq) if operation == "cancel" else Amend(seq, stop_loss=1.0930))
            during = rig.statuses()
            await rig.orders.resolve()
            order = rig.book.order(seq)
            return during, order.status.value, order.stop_loss

    executed, never = play(case("lose_reply")), play(case("reset_before"))

    assert executed[0] == never[0] == ["canceling" if operation == "cancel" else "replacing"]
    assert executed[1] == ("canceled" if operation == "cancel" else "accepted")
    assert never[1:] == ("accepted", 1.0920)
    assert operation == "cancel" or executed[2] == 1.0930


def test_an_exit_that_waited_to_be_asked_again_goes_on_under_the_next_owner():
    async def case():
        async with order_rig() as rig:
            await rig.submit(enter())
            close = rig.broker.close_trade

            async def busy(_target, *, remaining_units):
                return Refused("BUSY", f"Later: {remaining_units}.", RefusalClass.BACK_OFF)

            rig.broker.close_trade = busy
            await rig.submit(Reduce(next(iter(rig.book.trades))))
            waiting = rig.statuses()
            await rig.orders.close()
            rig.broker.close_trade = close
            await rig.orders.load()
            await rig.settle(rig.orders.drain())
            return waiting, rig.book.trades

    assert play(case()) == (["filled", "new"], {})


def test_stops_only_tighten_and_changes_wait_for_their_pace():
    settings = OrderSettings(min_step_pips=1.0, min_interval_seconds=5.0)

    async def case():
        async with order_rig(settings=settings) as rig:
            await rig.submit(enter())
            ref = next(iter(rig.book.trades))
            results = []
            for stop, wait in ((1.0940, 0), (1.09505, 0), (1.0960, 0), (1.0970, 1), (1.0970, 6)):
                await rig.clock.advance(wait)
                sent = await rig.submit(Protect(ref, stop))
                results.append(getattr(sent[0].verdict, "code", "sent"))
            return results, rig.book.trades[ref].stop_loss, [a.kind for a in rig.rows.attempts.values()]

    results, stop, kinds = play(case())

    assert results == ["loosens_stop", "change_too_small", "sent", "change_too_soon", "sent"]
    assert stop == 1.0970
    assert kinds == [AttemptKind.PLACE, AttemptKind.PROTECT, AttemptKind.PROTECT]


def test_a_change_under_way_blocks_the_next_change_and_never_the_cancel():
    async def case():
        async with order_rig(faults="lose_reply at 1 on replace; page_dropped at 1,2,3,4,5,6") as rig:
            sent = await rig.submit(limit())
            seq = sent[0].seq
            first = await rig.submit(Amend(seq, stop_loss=1.0930))
            second = await rig.submit(Amend(seq, stop_loss=1.0931))
            third = await rig.submit(Cancel(seq))
            return rig.transitions(seq), first, second, third

    steps, first, second, third = play(case())

    assert isinstance(first[0].outcome, Unknown)
    assert second[0].verdict.code == "change_under_way"
    assert third[0].is_allowed
    assert ("accepted", "replacing") in steps
    assert ("replacing", "canceling") in steps


def test_flatten_takes_back_entries_and_closes_trades_even_when_halted():
    async def case():
        async with order_rig() as rig:
            await rig.submit(enter(), limit(), enter(Side.SELL, symbol="USDJPY", units=1_000))
            rig.venue.place(entry(9, units=1_000))
            await rig.orders.catch_up()
            await rig.orders.set_state(LiveState.HALTED, "x")
            await rig.orders.flatten("kill switch")
            return rig.book.open_orders, list(rig.book.trades.values())

    orders, trades = play(case())

    assert orders == {}
    assert [trade.seq for trade in trades] == [None]
