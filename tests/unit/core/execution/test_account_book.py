"""The account book: the same from zero, step by step, after a restart and in any order of the events."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.order_rigs import enter, order_rig, play
from tests.support.venues import entry
from tradesentry.core.domain.events import BrokerEvent, EventKind
from tradesentry.core.domain.live_account import Amend, Cancel, MoneyMoved, Protect, Reduce, TradeOpened, TradeReduced
from tradesentry.core.domain.live_orders import Evidence, OrderStatus
from tradesentry.core.domain.orders import OrderType, Side
from tradesentry.core.domain.records import INTENT
from tradesentry.core.execution.account_book import AccountBook
from tradesentry.core.execution.order_file import OrderFile
from tradesentry.core.execution.order_status import Answered, Asked, Claimed, DeniedHere, EventKey
from tradesentry.core.execution.trade_file import GuardGone, GuardSet, TradeFile, guard_now

TICKET = np.zeros(1, INTENT).tobytes().hex()
OURS = (Asked, Answered, Claimed, DeniedHere)


def fresh(rig):
    return AccountBook(rig.lease, rig.broker.facts, dict(rig.venue.instruments))


def seen(book, *, ended=True):
    """What a book shows, without how it was heard."""
    orders = book.orders if ended else book.open_orders
    return (
        {key: replace(order, evidence=None) for key, order in orders.items()},
        dict(book.trades),
        book.balance,
        book.log_id,
        book.cursor,
    )


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from([Side.BUY, Side.SELL]), st.sampled_from([1_000, 7_000])),
        st.tuples(st.just("rest"), st.sampled_from([Side.BUY, Side.SELL]), st.sampled_from([2_000, 3_000])),
        st.tuples(st.just("quote"), st.sampled_from([1.0930, 1.0970, 1.1000, 1.1030, 1.1080]), st.just(0)),
        st.tuples(st.just("reduce"), st.integers(0, 3), st.sampled_from([0, 500])),
        st.tuples(st.just("protect"), st.integers(0, 3), st.sampled_from([1, 2, 3])),
        st.tuples(st.just("amend"), st.integers(0, 3), st.sampled_from([1, 2])),
        st.tuples(st.just("cancel"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("stranger"), st.sampled_from([1_000, 2_000]), st.just(0)),
        st.tuples(st.just("transfer"), st.sampled_from([100, -50]), st.just(0)),
    ),
    min_size=1,
    max_size=10,
)


async def act(rig, action):
    kind, first, second = action
    book = rig.book
    if kind == "enter":
        await rig.submit(enter(first, units=second, risk=5))
    elif kind == "rest":
        price = 1.0960 if first is Side.BUY else 1.1040
        stop = price - first * 0.0040
        await rig.submit(enter(first, units=second, kind=OrderType.LIMIT, price=price, stop=stop, risk=5))
    elif kind == "quote":
        rig.show(first)
        await rig.orders.catch_up()
    elif kind == "stranger":
        rig.venue.place(replace(entry(1, units=first), client_order_id=""))
        await rig.orders.catch_up()
    elif kind == "transfer":
        rig.venue.transfer(Decimal(first))
        await rig.orders.catch_up()
    elif kind in ("reduce", "protect") and book.trades:
        trade = list(book.trades.values())[first % len(book.trades)]
        stop = (trade.stop_loss or 1.0) + trade.side * second * 0.0001
        wish = Reduce(trade.trade_ref, Decimal(second)) if kind == "reduce" else Protect(trade.trade_ref, stop)
        await rig.submit(wish)
    elif kind in ("amend", "cancel"):
        working = [order for order in book.open_orders.values() if order.seq is not None]
        if working:
            order = working[first % len(working)]
            await rig.submit(
                Cancel(order.seq) if kind == "cancel" else Amend(order.seq, order.stop_loss + second / 1e4)
            )


@settings(max_examples=60, deadline=None)
@given(actions=ACTIONS, data=st.data())
def test_the_book_is_the_same_step_by_step_from_zero_and_in_any_order_of_the_events(actions, data):
    """The reply to the last exit comes after everything that the stream says about it.

    Seen to fail: a cursor at the newest number instead of the first one missing takes late events for known.
    """

    async def case():
        async with order_rig() as rig:
            for action in actions:
                await act(rig, action)
            await rig.orders.drain()
            events = list(rig.rows.events.values())
            shuffled = data.draw(st.permutations(events + events[: len(events) // 2]))
            cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=3)))
            book, late = fresh(rig), {}
            for file in list(rig.book._orders.values()):
                if file.plan is not None:
                    marks = frozenset(item for item in file.evidence if isinstance(item, OURS))
                    if file.plan.intent.trade_ref is not None:
                        late = {
                            file.key: sorted((i for i in marks if not isinstance(i, Asked)), key=repr, reverse=True)
                        }
                    book.restore([OrderFile(file.key, file.plan, marks)], [])
            for name, items in late.items():
                marks = book._orders[name].evidence - set(items)
                book.restore([OrderFile(name, book._orders[name].plan, marks)], [])
                book._owners = {venue: owner for venue, owner in book._owners.items() if owner != name}
            for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True):
                book.apply(shuffled[start:end], Evidence.STREAM)
            for name, items in late.items():
                book.note(name, *items, source=Evidence.REPLY)
            return seen(rig.book), seen(book)

    step_by_step, from_zero = play(case())

    assert from_zero == step_by_step


@settings(max_examples=50, deadline=None)
@given(actions=ACTIONS, data=st.data())
def test_the_book_after_a_restart_at_any_cut_is_the_book_before_it(actions, data):
    """Seen to fail: rows without the first stop lose R."""

    async def case():
        async with order_rig() as rig:
            for action in actions:
                await act(rig, action)
                if data.draw(st.booleans()):
                    before = seen(rig.book, ended=False)
                    await rig.orders.store.reload()
                    assert seen(rig.book, ended=False) == before

    play(case())


@settings(max_examples=40, deadline=None)
@given(actions=ACTIONS, data=st.data())
def test_pages_with_holes_then_a_restart_then_the_rest_give_the_whole_account(actions, data):
    async def case():
        async with order_rig() as rig:
            for action in actions:
                await act(rig, action)
            await rig.orders.drain()
            whole = seen(rig.book, ended=False)
            events = data.draw(st.permutations(list(rig.rows.events.values())))
            plans = [file for file in rig.book._orders.values() if file.plan is not None]
            cut = data.draw(st.integers(0, len(events)))
        async with order_rig() as other:
            other.lease = rig.lease
            book = fresh(rig)
            marks = [OrderFile(f.key, f.plan, frozenset(i for i in f.evidence if isinstance(i, OURS))) for f in plans]
            book.restore(marks, [])
            book.apply(events[:cut], Evidence.STREAM)
            orders = [book._orders[key].record(live) for key, live in book.orders.items()]
            trades = [book._trades[ref].record(live) for ref, live in book._live_trades.items()]
            stored = await rig.journal.read_account(rig.lease)
            again = fresh(rig)
            stored = replace(stored, log_id=book.log_id, cursor=book.cursor, orders=orders, positions=trades)
            early = sorted(events[:cut], key=lambda event: event.seq)
            again.load(stored, early)
            again.apply(events[cut:], Evidence.POLL)
            return whole, seen(again, ended=False)

    whole, again = play(case())

    assert again == whole


def test_a_failed_transaction_leaves_the_book_as_it_was():
    """Seen to fail: with the way back left out, the trade of an unconfirmed commit stayed in the book."""

    async def case():
        async with order_rig() as rig:
            await rig.submit(enter())
            before = seen(rig.book)
            rig.venue.place(replace(entry(1), client_order_id=""))
            events = [rig.broker._event(row) for row in rig.venue.since(rig.book.cursor)]
            try:
                with rig.book.tentative():
                    rig.book.apply(events, Evidence.STREAM)
                    during = seen(rig.book)
                    raise TimeoutError
            except TimeoutError:
                return before, during, seen(rig.book)

    before, during, after = play(case())

    assert len(during[1]) == len(before[1]) + 1
    assert after == before


def test_a_fill_is_told_as_a_trade_with_its_numbers():
    async def case():
        async with order_rig() as rig:
            heard = []
            rig.orders.listeners.append(heard.extend)
            await rig.submit(enter(take_profit=1.12, tag="t", ticket=TICKET))
            trade = next(iter(rig.book.trades.values()))
            rig.show(1.1050)
            await rig.submit(Reduce(trade.trade_ref, Decimal(4_000), "partial"))
            return heard, trade, rig.book.trades[trade.trade_ref]

    heard, opened, left = play(case())

    assert (opened.units, opened.entry_price, opened.initial_stop, opened.take_profit) == (10_000, 1.1001, 1.0950, 1.12)
    assert (opened.tag, opened.ticket, opened.seq) == ("t", TICKET, 1)
    assert abs(opened.initial_risk - Decimal("51")) < Decimal("1e-9")
    assert [type(change) for change in heard if isinstance(change, TradeOpened | TradeReduced)] == [
        TradeOpened,
        TradeReduced,
    ]
    assert (left.units, left.initial_units, left.exit_value) == (4_000, 10_000, 6_000 * 1.1050)
    assert left.exit_reason == "MARKET_ORDER_TRADE_CLOSE"
    assert left.realized > 29


def test_orders_and_trades_of_others_are_adopted_and_told_once():
    async def case():
        async with order_rig() as rig:
            rig.venue.place(replace(entry(1, units=3_000), client_order_id="theirs"))
            await rig.orders.catch_up()
            await rig.orders.catch_up()
            return list(rig.book.orders.values()), list(rig.book.trades.values()), rig.alerts

    orders, trades, alerts = play(case())

    assert [(order.key, order.seq, order.units, order.is_external) for order in orders] == [
        ("venue:1", None, 3_000, True)
    ]
    assert [(trade.key, trade.units, trade.initial_risk) for trade in trades] == [(None, 3_000, None)]
    assert sorted(code for code, _ in alerts) == ["external_order", "external_trade"]


def test_money_that_no_trade_made_is_told():
    async def case():
        async with order_rig() as rig:
            heard = []
            rig.orders.listeners.append(heard.extend)
            rig.venue.transfer(Decimal(250))
            await rig.orders.catch_up()
            return heard, rig.book.balance

    heard, balance = play(case())

    assert [change.amount for change in heard if isinstance(change, MoneyMoved)] == [250]
    assert balance == 100_250


def test_overnight_interest_is_the_trades_and_no_payment():
    """Seen to fail: an interest that names no trade was taken for a withdrawal."""

    async def case():
        async with order_rig() as rig:
            await rig.submit(enter())
            ref = next(iter(rig.book.trades))
            book = fresh(rig)
            book.apply(list(rig.rows.events.values()), Evidence.POLL)
            said = {"amount": "-1.25", "balance": "99998.75", "trade_id": ref}
            one = BrokerEvent("a", "log-1", rig.book.cursor + 1, EventKind.SWAP, said, 9, 9)
            other = replace(one, seq=one.seq + 1, payload={"amount": "-2", "balance": "99996.75"})
            return book.apply([one], Evidence.POLL), book.apply([other], Evidence.POLL), book.trades[ref], book.balance

    one, other, trade, balance = play(case())

    assert [type(change).__name__ for change in one] == ["SwapBooked"]
    assert other == []
    assert (trade.swap, balance) == (Decimal("-1.25"), Decimal("99996.75"))


def test_an_end_whose_order_nobody_explains_is_dropped_once_no_event_is_missing():
    async def case():
        async with order_rig() as rig:
            book = fresh(rig)
            said = {"order_id": "77", "reason": "X", "client_order_id": None}
            made = [BrokerEvent("a", "log-1", n, EventKind.ORDER_CANCELED, said, 0, 0) for n in (1, 3)]
            book.apply([made[1]], Evidence.STREAM)
            waiting = dict(book._loose)
            book.apply([made[0], replace(made[0], seq=2)], Evidence.STREAM)
            return waiting, book._loose, book.cursor, dict(book.orders)

    waiting, left, cursor, orders = play(case())

    assert list(waiting) == ["77"]
    assert (left, cursor, orders) == ({}, 3, {})


def key(seq):
    return EventKey(1, seq)


def test_an_exit_gets_the_fill_that_the_stream_tells_before_anything_names_its_order():
    """Seen to fail: without the evidence that waits for its owner, the exit stays ACCEPTED for good."""

    async def case():
        async with order_rig() as rig:
            await rig.submit(enter())
            ref = next(iter(rig.book.trades))
            close, rig.broker.close_trade = rig.broker.close_trade, None
            heard = []

            async def close_while_the_stream_runs_backwards(target, *, remaining_units):
                outcome = await close(target, remaining_units=remaining_units)
                for event in reversed(outcome.events):
                    await rig.orders.ingest([event], evidence=Evidence.STREAM)
                    heard.append(rig.statuses()[-1])
                return outcome

            rig.broker.close_trade = close_while_the_stream_runs_backwards
            await rig.submit(Reduce(ref))
            return heard, rig.statuses(), rig.alerts

    heard, statuses, alerts = play(case())

    assert heard[-1] == "filled"
    assert (statuses, alerts) == (["filled", "filled"], [])


def test_a_stop_is_gone_only_when_the_newest_one_was_removed():
    first, second = GuardSet(key(1), "stop_loss", 1.09, "a"), GuardSet(key(5), "stop_loss", 1.095, "b")

    assert guard_now([first, second, GuardGone(key(6), "a", "stop_loss")], "stop_loss") == 1.095
    assert guard_now([first, second, GuardGone(key(6), "b", "stop_loss")], "stop_loss") is None
    assert guard_now([GuardGone(key(3), "b"), second], "stop_loss") == 1.095
    assert guard_now([], "stop_loss") is None


def test_a_trade_that_was_trailed_long_keeps_first_newest_and_tightest_stop_only():
    file = TradeFile("t1")
    for n in range(1, 200):
        file = file.with_evidence([GuardSet(key(n), "stop_loss", 1.0 + n / 1_000, str(n))])

    assert len(file.evidence) < 15
    assert guard_now(file.evidence, "stop_loss") == 1.199


def test_what_was_forgotten_is_read_back_when_an_event_names_it():
    """Seen to fail: when the journal is not asked, a late fill of a forgotten order is an order of somebody else."""

    async def case():
        async with order_rig() as rig:
            await rig.submit(enter())
            ref = next(iter(rig.book.trades))
            await rig.submit(Reduce(ref))
            rig.book.forget_ended(0)
            forgotten = dict(rig.book.orders), rig.book.trade(ref)
            first = next(event for event in rig.rows.events.values() if event.kind is EventKind.ORDER_FILLED)
            late = replace(first, seq=rig.book.cursor + 1)
            await rig.orders.ingest([late], evidence=Evidence.STREAM)
            return forgotten, rig.book.orders, rig.alerts

    forgotten, orders, alerts = play(case())

    assert forgotten == ({}, None)
    assert [order.seq for order in orders.values()] == [1]
    assert alerts == [("over_fill", alerts[0][1])]


def test_a_sending_order_is_unresolved_until_the_venue_has_spoken():
    async def case():
        async with order_rig(faults="lose_reply at 1 on place") as rig:
            await rig.submit(enter())
            during = rig.book.unresolved
            await rig.orders.catch_up()
            return during, rig.book.unresolved, rig.statuses()

    during, after, statuses = play(case())

    assert (during, after) == (frozenset({"EURUSD"}), frozenset())
    assert statuses == [OrderStatus.FILLED.value]
