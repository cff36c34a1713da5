"""Every journal: what is written together, once, in order, and read back equal."""

import uuid
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.conformance.journal.rigs import event, fill, intent
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.domain.live_orders import Effect, OrderStatus
from tradesentry.core.domain.orders import Side
from tradesentry.core.execution.journal import (
    AccountRecord,
    AttemptKind,
    EquityRecord,
    LiveState,
    OrderRecord,
    PositionRecord,
    Reservation,
    SavedState,
    Transition,
)

SENDING = Transition(OrderStatus.NEW, OrderStatus.SENDING, "released")


def test_an_intent_is_read_back_equal_by_its_client_order_id(with_rig):
    async def check(rig, lease):
        asked = intent(lease, run=rig.runs[lease.account_id], bar_close_ns=1_790_000_000_000_000_000, index=2)
        async with rig.journal.effect(lease) as transaction:
            client_order_id = await transaction.add_intent(asked, risk={"equity": Decimal("10000.5")})

        stored = await rig.journal.read_intent(lease, client_order_id)

        assert stored.intent == replace(asked, seq=1)
        assert stored.epoch == lease.epoch
        assert client_order_id.startswith("ts1-")
        assert len(client_order_id) == 17
        assert await rig.journal.read_intent(lease, "ts1-unknown") is None

    with_rig(check)


def test_an_error_inside_a_transaction_leaves_nothing_behind(with_rig):
    async def check(rig, lease):
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with rig.journal.effect(lease) as transaction:
                lost = await transaction.add_intent(intent(lease), risk={})
                await transaction.add_events([event(lease, 1)])
                await transaction.advance_cursor("log-1")
                await transaction.add_fills([fill(lease, "f1")])
                await transaction.announce("alert.test", "account", {"a": 1})
                _ = 1 / 0

        assert await rig.journal.read_intent(lease, lost) is None
        assert await rig.journal.read_events(lease, "log-1", after=0, limit=10) == []
        assert await rig.journal.read_fills(lease) == []
        assert (await rig.journal.read_account(lease)).cursor == 0
        async with rig.journal.effect(lease) as transaction:
            assert transaction.seq == 1

    with_rig(check)


def test_a_bar_is_decided_once(with_rig):
    async def check(rig, lease):
        asked = intent(lease, run=rig.runs[lease.account_id], bar_close_ns=1_790_000_000_000_000_000, index=0)
        async with rig.journal.effect(lease) as transaction:
            await transaction.add_intent(asked, risk={})

        with pytest.raises(UsageError, match="a bar is decided once") as caught:
            async with rig.journal.effect(lease) as transaction:
                await transaction.add_intent(asked, risk={})
        async with rig.journal.effect(lease) as transaction:
            await transaction.add_intent(replace(asked, intent_index=1), risk={})

        assert caught.value.code == "duplicate_decision"

    with_rig(check)


def test_an_entry_is_placed_once_until_it_is_proven_not_executed(with_rig):
    """Guards: without the rule a second PLACE attempt of an UNKNOWN order is stored, and would be sent."""

    async def check(rig, lease):
        async with rig.journal.effect(lease) as transaction:
            await transaction.add_intent(intent(lease), risk={})
            assert await transaction.add_attempt(1, AttemptKind.PLACE, {"units": "10000"}) == 1
            assert await transaction.add_transition(1, SENDING) == 2

        for status in (OrderStatus.SENDING, OrderStatus.UNKNOWN):
            with pytest.raises(UsageError, match="an entry is sent at most once") as caught:
                async with rig.journal.fenced(lease) as transaction:
                    await transaction.add_attempt(1, AttemptKind.PLACE, {"units": "10000"})
            assert caught.value.code == "already_sent"
            async with rig.journal.fenced(lease) as transaction:
                await transaction.add_transition(1, Transition(status, OrderStatus.UNKNOWN, "no_reply"))
        async with rig.journal.fenced(lease) as transaction:
            assert await transaction.add_attempt(1, AttemptKind.CANCEL, {}) == 2
            await transaction.add_transition(1, Transition(OrderStatus.UNKNOWN, OrderStatus.NEW, "requote", "reply"))
            assert await transaction.add_attempt(1, AttemptKind.PLACE, {"units": "10000"}) == 3

    with_rig(check)


def test_nothing_is_written_about_an_order_without_an_intent(with_rig):
    async def check(rig, lease):
        reservation = Reservation(lease.account_id, 9, "EURUSD", {"EUR": Decimal(1)}, Decimal(1))
        writes = (
            lambda transaction: transaction.add_transition(9, SENDING),
            lambda transaction: transaction.add_attempt(9, AttemptKind.PLACE, {}),
            lambda transaction: transaction.add_attempt(9, AttemptKind.CANCEL, {}),
            lambda transaction: transaction.reserve(reservation),
        )
        for write in writes:
            with pytest.raises(UsageError, match="has no intent in the journal"):
                async with rig.journal.fenced(lease) as transaction:
                    await write(transaction)

    with_rig(check)


def test_events_are_stored_once_whatever_order_page_or_time_they_come_with(with_rig):
    async def check(rig, lease):
        first, second, third = (event(lease, seq) for seq in (1, 2, 3))
        # The same event of another month: PostgreSQL keeps it in another partition.
        repeated = event(lease, 1, ts_ns=1_700_000_000_000_000_000)

        async with rig.journal.fenced(lease, is_durable=False) as transaction:
            new = await transaction.add_events([second, first, first, second])
        async with rig.journal.fenced(lease, is_durable=False) as transaction:
            late = await transaction.add_events([repeated, third, first])

        assert new == [second, first]
        assert late == [third]
        assert await rig.journal.read_events(lease, "log-1", after=0, limit=10) == [first, second, third]
        assert await rig.journal.read_events(lease, "log-1", after=1, limit=1) == [second]

    with_rig(check)


def test_what_a_venue_sends_is_stored_though_json_or_the_database_could_not_say_it(with_rig):
    async def check(rig, lease):
        odd = replace(event(lease, 1), payload={"a": "x\x00y", "b": float("nan"), "c": Decimal("1.50")})

        async with rig.journal.fenced(lease) as transaction:
            assert await transaction.add_events([odd]) == [odd]

        assert len(await rig.journal.read_events(lease, "log-1", after=0, limit=10)) == 1

    with_rig(check)


def test_the_cursor_moves_over_contiguous_events_only(with_rig):
    """Guards: a cursor at the last id of a page passes over the hole at 3, and the missing fill is never fetched."""

    async def check(rig, lease):
        async def ingest(*seqs, log_id="log-1", start=0):
            async with rig.journal.fenced(lease, is_durable=False) as transaction:
                await transaction.add_events([event(lease, seq, log_id=log_id) for seq in seqs])
                return await transaction.advance_cursor(log_id, start=start)

        assert await ingest(1, 2) == 2
        assert await ingest(5, 4) == 2
        assert await ingest(2, 1) == 2
        assert await ingest(3) == 5
        assert await ingest(6100, log_id="log-2", start=6099) == 6100
        assert await ingest(6102, log_id="log-2") == 6100
        assert (await rig.journal.read_account(lease)).log_id == "log-2"
        assert (await rig.journal.read_account(lease)).cursor == 6100

    with_rig(check)


def test_fills_are_booked_once_per_leg(with_rig):
    async def check(rig, lease):
        legs = [fill(lease, "17", 0), fill(lease, "17", 1)]
        async with rig.journal.fenced(lease) as transaction:
            assert await transaction.add_fills(legs) == legs
        async with rig.journal.fenced(lease) as transaction:
            assert await transaction.add_fills([*legs, fill(lease, "18")]) == [fill(lease, "18")]

        assert await rig.journal.read_fills(lease) == [*legs, fill(lease, "18")]

    with_rig(check)


def test_recovery_reads_what_is_open_and_nothing_that_is_over(with_rig):
    async def check(rig, lease):
        order = OrderRecord(
            order_key="ts1-a", seq=1, instrument="EURUSD", side=Side.SELL, effect=Effect.OPEN,
            status=OrderStatus.UNKNOWN, units=Decimal("10000"), average_price=1.10005, venue_order_ids=("7", "9"),
            terms={"type": "limit", "price": "1.1"}, last_ts_ns=5,
        )  # fmt: skip
        external = replace(order, order_key="venue:4", seq=None, status=OrderStatus.ACCEPTED, average_price=None)
        position = PositionRecord(
            "t1", 1, "EURUSD", Side.SELL, Decimal("4000"), 1.1, 1.2, None, Decimal("12.5"), 5, 6
        )  # fmt: skip
        account = AccountRecord(
            LiveState.RECONCILING, "start", Decimal("10000"), Decimal("10001.25"), Decimal("10100"), Decimal("10000"),
            7, Decimal("500"), LiveState.ACTIVE,
        )  # fmt: skip
        reservation = Reservation(lease.account_id, 1, "EURUSD", {"EUR": Decimal("-11000.5")}, Decimal("40"))
        async with rig.journal.effect(lease) as transaction:
            await transaction.add_intent(intent(lease), risk={})
            await transaction.reserve(reservation)
            await transaction.add_attempt(1, AttemptKind.PLACE, {"units": "10000"})
            for row in (order, external, replace(order, order_key="ts1-b", seq=2, status=OrderStatus.FILLED)):
                await transaction.put_order(row)
            await transaction.put_position(replace(position, units=Decimal("5000")))
            await transaction.put_position(position)
            await transaction.put_position(replace(position, trade_ref="t2", units=Decimal(0)))
            await transaction.put_account(replace(account, state=LiveState.ACTIVE))
            await transaction.put_account(account)
            await transaction.add_equity(EquityRecord(7, Decimal(1), Decimal(2), Decimal(0)))
            await transaction.add_equity(EquityRecord(7, Decimal(1), Decimal(3), Decimal(0)))

        found = await rig.journal.read_account(lease)

        assert list(found.orders) == [order, external]
        assert list(found.positions) == [position]
        assert list(found.reservations) == [reservation]
        assert found.account == account
        assert [(a.seq, a.attempt, a.kind, a.request) for a in found.attempts] == [
            (1, 1, AttemptKind.PLACE, {"units": "10000"})
        ]
        assert found.attempts[0].sending_ns > 0

    with_rig(check)


def test_several_orders_of_one_transaction_have_numbers_of_their_own(with_rig):
    async def check(rig, lease):
        async with rig.journal.effect(lease) as transaction:
            ids = [await transaction.add_intent(intent(lease), risk={})]
            for _ in range(2):
                assert await transaction.allocate() == transaction.client_order_id
                ids.append(await transaction.add_intent(intent(lease), risk={}))
        stored = [await rig.journal.read_intent(lease, client_order_id) for client_order_id in ids]

        assert [row.intent.seq for row in stored] == [1, 2, 3]
        async with rig.journal.fenced(lease) as transaction:
            await transaction.raise_seq(50)
            await transaction.raise_seq(20)
        async with rig.journal.effect(lease) as transaction:
            assert transaction.seq == 51

    with_rig(check)


def test_orders_and_trades_are_read_back_by_key_exact_to_the_last_bit(with_rig):
    """Guards: the numeric columns hold eight decimals; a price or amount with more must survive in `terms`."""

    async def check(rig, lease):
        exact = {"price": 1.1000000000000003, "realized": "-12.345678901234567", "tiny": 5e-324, "none": None}
        order = OrderRecord(
            order_key="ts1-a", seq=1, instrument="EURUSD", side=Side.BUY, effect=Effect.OPEN,
            status=OrderStatus.FILLED, units=Decimal("10000"), terms=exact,
        )  # fmt: skip
        trade = PositionRecord(
            "t1", 1, "EURUSD", Side.BUY, Decimal(0), 1.1, 1.0, None, None, 5, 6, {"evidence": [exact]}
        )  # fmt: skip
        async with rig.journal.effect(lease) as transaction:
            await transaction.add_intent(intent(lease), risk={})
            await transaction.put_order(order)
            await transaction.put_position(trade)

        orders, trades = await rig.journal.read_files(lease, ["ts1-a", "ts1-a", "ts1-z"], ["t1", "t9"])

        assert (orders, trades) == ([order], [trade])

    with_rig(check)


def test_headroom_given_back_may_be_taken_again_by_the_same_order(with_rig):
    async def check(rig, lease):
        reservation = Reservation(lease.account_id, 1, "EURUSD", {"EUR": Decimal(1000)}, Decimal("10.5"))
        async with rig.journal.effect(lease) as transaction:
            await transaction.add_intent(intent(lease), risk={})
            await transaction.reserve(reservation)
            await transaction.release_reservation(1)
            await transaction.reserve(replace(reservation, risk=Decimal("9.5")))
            held = await transaction.lock_book()

        assert list(held) == [replace(reservation, risk=Decimal("9.5"))]

    with_rig(check)


def test_a_book_holds_the_open_reservations_of_a_user_and_environment(with_rig):
    async def check(rig, _lease):
        user, other = rig.user(), rig.user()
        links = [rig.link(user), rig.link(user), rig.link(user, environment="demo"), rig.link(other)]
        leases = {lease.account_id: lease for lease in [
            claim.lease for claim in await rig.journal.claim("host:9", limit=10, ttl_seconds=60.0)
        ]}  # fmt: skip
        for account_id in links:
            async with rig.journal.effect(leases[account_id]) as transaction:
                await transaction.add_intent(intent(leases[account_id]), risk={})
                await transaction.reserve(Reservation(account_id, 1, "EURUSD", {"EUR": Decimal(1000)}, Decimal("10.5")))

        async with rig.journal.fenced(leases[links[0]]) as transaction:
            before = await transaction.lock_book()
            await transaction.release_reservation(1)
            await transaction.release_reservation(1)
            after = await transaction.lock_book()

        assert {row.account_id for row in before} == set(links[:2])
        assert [row.account_id for row in after] == [links[1]]

    with_rig(check)


def test_the_other_accounts_of_a_book_are_seen_with_their_trades_and_equity(with_rig):
    async def check(rig, _lease):
        user, other = rig.user(), rig.user()
        mine, twin, demo, foreign = rig.link(user), rig.link(user), rig.link(user, environment="demo"), rig.link(other)
        claims = await rig.journal.claim("host:9", limit=10, ttl_seconds=60.0)
        leases = {claim.lease.account_id: claim.lease for claim in claims}
        trade = PositionRecord("t1", None, "EURUSD", Side.SELL, Decimal(5), 1.1, 1.2, None, None, 5, 6)
        for account_id in (twin, demo, foreign):
            async with rig.journal.fenced(leases[account_id]) as transaction:
                await transaction.put_position(trade)
                await transaction.put_position(replace(trade, trade_ref="t2", units=Decimal(0)))
                await transaction.put_account(
                    AccountRecord(LiveState.ACTIVE, "", Decimal(1), Decimal(7), Decimal(8), Decimal(9), 11)
                )

        async with rig.journal.fenced(leases[mine]) as transaction:
            await transaction.lock_book()
            seen = list(await transaction.read_book())

        assert [(one.account_id, one.equity, one.as_of_ns, one.positions) for one in seen] == [
            (twin, Decimal(7), 11, (trade,))
        ]

    with_rig(check)


def test_a_strategy_state_is_read_back_byte_for_byte(with_rig):
    async def check(rig, lease):
        run_id = rig.runs[lease.account_id]
        state = SavedState(run_id, "EURUSD", 5, "digest", bytes(range(256)))
        async with rig.journal.fenced(lease) as transaction:
            await transaction.save_state(replace(state, bar_close_ns=4, snapshot=b"old"))
        async with rig.journal.fenced(lease) as transaction:
            await transaction.save_state(state)

        assert await rig.journal.read_state(lease, run_id, "EURUSD") == state
        assert await rig.journal.read_state(lease, uuid.uuid4(), "EURUSD") is None

    with_rig(check)
