"""What follows from a refusal: ask again, pause, halt, look again; and what becomes of plans and first stops."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.support.order_rigs import enter, order_rig, play
from tradesentry.core.broker.base_broker import Accepted, NotSent, RefusalClass, Refused
from tradesentry.core.broker.paper import PaperBroker
from tradesentry.core.domain.live_account import Cancel, Protect, Reduce
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.execution.journal import AttemptKind, LiveState
from tradesentry.core.execution.order_requests import OrderSettings


def kinds(rig, seq=1):
    return [attempt.kind for (other, _), attempt in sorted(rig.rows.attempts.items()) if other == seq]


def refusing(operation, *answers):
    """Return a paper broker whose first commands of a kind end with `answers`, without reaching the venue."""

    left = list(answers)

    class Refusing(PaperBroker):
        pass

    async def command(self, *arguments, **named):
        if left:
            return left.pop(0)
        return await getattr(PaperBroker, operation)(self, *arguments, **named)

    setattr(Refusing, operation, command)
    return Refusing


BUSY = Refused("BUSY", "Later.", RefusalClass.BACK_OFF)
REQUOTE = Refused("REQUOTE", "The price moved.", RefusalClass.REQUOTE)
FINAL = Refused("INSUFFICIENT_MARGIN", "Too little.", RefusalClass.FINAL)


def test_a_requote_is_asked_again_at_most_twice_each_time_as_a_new_attempt():
    async def case(n_requotes):
        async with order_rig(broker=refusing("place_order", *[REQUOTE] * n_requotes)) as rig:
            await rig.submit(enter())
            await rig.orders.drain()
            return rig.statuses(), kinds(rig), rig.transitions(1)[1:4]

    twice, thrice = play(case(2)), play(case(3))

    assert twice[:2] == (["filled"], [AttemptKind.PLACE] * 3)
    assert twice[2] == [("new", "sending"), ("sending", "new"), ("new", "sending")]
    assert thrice[:2] == (["rejected"], [AttemptKind.PLACE] * 3)


def test_a_requote_outside_the_slippage_allowed_ends_the_entry():
    async def case():
        async with order_rig(broker=refusing("place_order", REQUOTE)) as rig:
            place = rig.broker.place_order

            async def move_and_place(order):
                outcome = await place(order)
                rig.show(1.1010)
                return outcome

            rig.broker.place_order = move_and_place
            await rig.submit(enter(reference_price=1.1001, max_slippage_pips=3.0))
            await rig.orders.drain()
            return next(iter(rig.book.orders.values())), rig.placed()

    order, placed = play(case())

    assert (order.status.value, order.reason, placed) == ("denied", "price_drift", [])


def test_an_entry_backs_off_one_two_four_seconds_while_its_decision_is_fresh():
    """Seen to fail: without the check of its age the entry went out after 15 s."""

    settings = OrderSettings(max_refusals=100)

    async def case(n_busy):
        async with order_rig(broker=refusing("place_order", *[BUSY] * n_busy), settings=settings) as rig:
            times = []
            place = rig.broker.place_order

            async def watch(order):
                times.append(rig.clock.monotonic())
                return await place(order)

            rig.broker.place_order = watch
            await rig.submit(enter(), bar_close_ns=rig.clock.now_ns())
            for _ in range(80):
                await rig.clock.advance(0.25)
                rig.show(1.1)
            await rig.settle(rig.orders.drain())
            return times, rig.statuses(), rig.rows.reservations

    times, statuses, _ = play(case(3))
    late_times, late_statuses, reserved = play(case(9))

    assert times == pytest.approx([0.0, 1.0, 3.0, 7.0], abs=0.01)
    assert statuses == ["filled"]
    assert len(late_times) == 4
    assert late_statuses == ["denied"]
    assert reserved == {}


def test_an_exit_is_asked_for_again_until_it_is_done_and_does_not_expire():
    async def case():
        answers = [BUSY, NotSent("connect_refused"), BUSY]
        async with order_rig(broker=refusing("close_trade", *answers)) as rig:
            await rig.submit(enter())
            await rig.submit(Reduce(next(iter(rig.book.trades))))
            await rig.settle(rig.orders.drain())
            return rig.statuses(), kinds(rig, 2), rig.book.trades

    statuses, attempts, trades = play(case())

    assert (statuses, trades) == (["filled", "filled"], {})
    assert attempts == [AttemptKind.CLOSE] * 4


def test_an_exit_that_fails_five_times_tells_people_and_reduces_the_account():
    async def case():
        async with order_rig(broker=refusing("close_trade", *[BUSY] * 9)) as rig:
            await rig.submit(enter())
            ref = next(iter(rig.book.trades))
            await rig.submit(Reduce(ref))
            await rig.settle(rig.orders.drain(), seconds=120)
            again = await rig.submit(Reduce(ref))
            return rig.statuses(), rig.orders.state, [code for code, _ in rig.alerts], again[0].verdict.code

    statuses, state, alerts, code = play(case())

    assert statuses == ["filled", "rejected"]
    assert (state, alerts, code) == (LiveState.REDUCING, ["reducing"], "exit_attempts")


def test_an_entry_that_was_not_sent_is_never_sent_again():
    async def case():
        async with order_rig(broker=refusing("place_order", NotSent("connect_refused"))) as rig:
            await rig.submit(enter())
            await rig.settle(rig.orders.drain())
            return rig.statuses(), kinds(rig), rig.placed()

    assert play(case()) == (["not_placed"], [AttemptKind.PLACE], [])


def test_three_refusals_in_a_row_pause_an_instrument_with_an_alert():
    async def case():
        async with order_rig(broker=refusing("place_order", FINAL, FINAL, FINAL)) as rig:
            for _ in range(3):
                await rig.submit(enter())
            await rig.clock.advance(0.1)
            rig.show(1.1)
            denied = await rig.submit(enter())
            other = await rig.submit(enter(symbol="USDJPY", units=1_000))
            await rig.clock.advance(901)
            rig.show(1.1)
            later = await rig.submit(enter())
            return denied[0], other[0], later[0], [code for code, _ in rig.alerts]

    denied, other, later, alerts = play(case())

    assert denied.verdict.code == "instrument_blocked"
    assert other.is_allowed
    assert getattr(later.verdict, "code", "") != "instrument_blocked"
    assert alerts == ["instrument_paused"]


def test_a_refusal_that_means_halt_halts_the_account():
    async def case():
        halt = Refused("ACCOUNT_LOCKED", "By the venue.", RefusalClass.HALT)
        async with order_rig(broker=refusing("place_order", halt)) as rig:
            await rig.submit(enter())
            await rig.orders.drain()
            return rig.orders.state, rig.statuses(), [code for code, _ in rig.alerts]

    assert play(case()) == (LiveState.HALTED, ["rejected"], ["halted"])


def test_a_stale_epoch_closes_the_fence():
    async def case():
        async with order_rig() as rig:
            rig.venue.epoch = 99
            await rig.submit(enter())
            return rig.fence.is_open, rig.statuses(), rig.orders.state

    assert play(case()) == (False, ["rejected"], LiveState.ACTIVE)


def test_a_target_that_is_gone_is_read_again():
    async def case():
        async with order_rig() as rig:
            await rig.submit(enter())
            ref = next(iter(rig.book.trades))
            rig.venue.close(ref, None)
            sent = await rig.submit(Reduce(ref))
            await rig.orders.drain()
            return sent[0].outcome.kind, rig.book.trades, rig.statuses()

    kind, trades, statuses = play(case())

    assert (kind, trades) == (RefusalClass.GONE, {})
    assert statuses[:2] == ["filled", "rejected"]


# Plans


def without_native_exits(rig):
    rig.broker.capabilities = replace(rig.broker.capabilities, native_exits=False)


def leg(side, number, policy, **fields):
    price = 1.0980 if side is Side.BUY else 1.1020
    stop = round(price - side * 0.004, 5)
    return enter(side, kind=OrderType.LIMIT, price=price, stop=stop, group="g", group_policy=policy, number=number,
                 **fields)  # fmt: skip


def test_the_first_fill_of_an_oco_plan_cancels_the_rest():
    async def case():
        async with order_rig() as rig:
            without_native_exits(rig)
            await rig.submit(leg(Side.BUY, 0, "oco"), leg(Side.SELL, 1, "oco"))
            rig.show(1.0975)
            await rig.orders.catch_up()
            await rig.settle(rig.orders.drain())
            return rig.statuses(), len(rig.book.trades)

    assert play(case()) == (["filled", "canceled"], 1)


def test_when_both_legs_of_an_oco_plan_fill_the_second_is_closed():
    async def case():
        async with order_rig() as rig:
            without_native_exits(rig)
            await rig.submit(leg(Side.BUY, 0, "oco"), leg(Side.SELL, 1, "oco"))
            rig.show(1.0975)
            await rig.clock.advance(0.1)
            rig.show(1.1025)
            await rig.orders.catch_up()
            await rig.settle(rig.orders.drain())
            return rig.statuses(), [trade.side for trade in rig.book.trades.values()]

    statuses, sides = play(case())

    assert statuses == ["filled", "filled", "filled"]
    assert sides == [Side.BUY]


def test_a_failed_leg_takes_back_a_plan_that_stands_or_falls_together():
    async def case():
        async with order_rig() as rig:
            await rig.submit(leg(Side.BUY, 0, "all_or_unwind"), leg(Side.SELL, 1, "all_or_unwind"))
            rig.show(1.0975)
            await rig.orders.catch_up()
            together = len(rig.book.trades)
            rig.venue.cancel(rig.book.order(2).venue_order_ids[-1])
            await rig.orders.catch_up()
            await rig.settle(rig.orders.drain())
            return together, rig.statuses(), rig.book.trades

    together, statuses, trades = play(case())

    assert together == 1
    assert (statuses, trades) == (["filled", "canceled", "filled"], {})


def test_a_plan_is_kept_by_the_next_owner():
    """Seen to fail: when the order of an open trade is not read back, nobody knows that its siblings must go."""

    async def case():
        async with order_rig() as rig:
            without_native_exits(rig)
            await rig.submit(leg(Side.BUY, 0, "oco"), leg(Side.SELL, 1, "oco"))
            rig.orders.listeners.remove(rig.orders._groups.on_changes)
            rig.show(1.0975)
            await rig.orders.catch_up()
            left = rig.statuses()
            await rig.orders.load()
            await rig.settle(rig.orders.drain())
            return left, sorted(rig.statuses())

    assert play(case()) == (["filled", "accepted"], ["canceled", "filled"])


def test_independent_legs_are_left_alone():
    async def case():
        async with order_rig() as rig:
            without_native_exits(rig)
            await rig.submit(leg(Side.BUY, 0, "independent"), leg(Side.SELL, 1, "independent"))
            rig.show(1.0975)
            await rig.orders.catch_up()
            await rig.settle(rig.orders.drain())
            return rig.statuses()

    assert play(case()) == ["filled", "accepted"]


# First stops


class Bare(PaperBroker):
    """A venue that takes no stop or target with the entry."""

    refuses = False

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.capabilities = replace(self.capabilities, brackets=False, native_exits=False)

    async def place_order(self, order):
        self.asked = order
        outcome = self.venue.place(replace(order, stop_loss=None, take_profit=None))
        events = tuple(self._event(row) for row in outcome)
        return Accepted(self.venue.report(self.venue.find(f"@{order.client_order_id}")), events)

    async def set_protection(self, target, *, stop_loss, take_profit):
        if self.refuses:
            return Refused("NO", "No.", RefusalClass.FINAL)
        return await super().set_protection(target, stop_loss=stop_loss, take_profit=take_profit)


def test_stop_and_target_follow_the_fill_at_once_where_they_cannot_travel_with_the_entry():
    async def case():
        async with order_rig(broker=Bare) as rig:
            await rig.submit(enter(take_profit=1.12))
            await rig.orders.drain()
            trade = next(iter(rig.book.trades.values()))
            return rig.broker.asked.take_profit, trade.stop_loss, trade.take_profit, rig.clock.monotonic()

    assert play(case()) == (None, 1.0950, 1.12, 0.0)


def test_a_trade_that_gets_no_stop_within_a_second_is_closed():
    """Seen to fail: without the deadline the trade stayed open and naked."""

    async def case():
        async with order_rig(broker=Bare) as rig:
            rig.broker.refuses = True
            await rig.submit(enter())
            await rig.settle(rig.orders.drain())
            return rig.book.trades, rig.clock.monotonic(), [code for code, _ in rig.alerts]

    trades, seconds, alerts = play(case())

    assert (trades, alerts) == ({}, ["naked_trade"])
    assert seconds <= 1.5


def test_a_stop_that_was_removed_by_hand_is_set_again_no_looser_than_the_tightest():
    """Seen to fail: restoring what the order was placed with loosens a stop that had been trailed."""

    async def case():
        async with order_rig() as rig:
            await rig.submit(enter())
            ref = next(iter(rig.book.trades))
            await rig.submit(Protect(ref, 1.0970))
            rig.venue.protect(ref, stop_loss=float("nan"), take_profit=None)
            await rig.orders.catch_up()
            naked = rig.book.trades[ref].stop_loss
            await rig.orders.protect_all()
            return naked, rig.book.trades[ref].stop_loss

    assert play(case()) == (None, 1.0970)


def test_a_withdrawn_order_that_waits_to_be_asked_again_is_over():
    async def case():
        async with order_rig(broker=refusing("place_order", BUSY)) as rig:
            await rig.submit(enter())
            sent = await rig.submit(Cancel(1))
            await rig.settle(rig.orders.drain())
            return sent[0].is_allowed, rig.statuses(), rig.placed()

    assert play(case()) == (True, ["denied"], [])


def test_settings_have_the_defaults_of_the_specification():
    settings = OrderSettings()

    assert (settings.max_decision_age_seconds, settings.max_requotes, settings.max_back_off_seconds) == (10, 2, 30)
    assert (settings.max_refusals, settings.max_exit_attempts, settings.exit_window_seconds) == (3, 5, 600)
    assert (settings.min_step_pips, settings.min_interval_seconds, settings.protect_seconds) == (1, 5, 1)
    assert not settings.closes_external
    assert settings.unwind_seconds == Decimal(5)
