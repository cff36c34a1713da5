"""The journal in PostgreSQL where several processes, a dying server and a lost answer meet."""

import asyncio
import uuid
from dataclasses import replace

import asyncpg
import psycopg
import pytest

from tests.conformance.journal.rigs import OWNER, TTL, event, fill, intent, postgres_rig
from tests.integration.database.facts import ACCOUNT, ORDER, POSITION
from tradesentry.core.domain.errors import UsageError
from tradesentry.core.domain.live_orders import OrderStatus
from tradesentry.core.execution.journal import AttemptKind, Reservation, Transition
from tradesentry.core.execution.lease import SelfFence
from tradesentry.database.repositories.journal import PostgresJournal
from tradesentry.database.roles import APP
from tradesentry.database.session import create_pool


def run(work):
    return asyncio.run(work())


def test_agents_that_claim_at_the_same_moment_share_the_accounts_without_overlap(database):
    """Guards: without SKIP LOCKED and the lock two claims return the same account."""
    user = database.user()
    accounts = {database.link(user) for _ in range(20)}
    for account_id in accounts:
        database.run(user, account_id)

    async def work():
        pools = [await create_pool(database.agent_url(), n_connections=2) for _ in range(4)]
        try:
            journals = [PostgresJournal(pool) for pool in pools]
            return await asyncio.gather(
                *(journal.claim(f"host:{n}", limit=8, ttl_seconds=TTL) for n, journal in enumerate(journals))
            )
        finally:
            for pool in pools:
                await pool.close()

    claimed = [claim.lease.account_id for claims in run(work) for claim in claims]

    assert len(claimed) == len(set(claimed))
    assert set(claimed) <= accounts
    assert len(claimed) >= 8


def test_concurrent_orders_of_one_account_get_numbers_without_gap_or_twin(database):
    async def work():
        async with postgres_rig(database) as rig:
            lease = await rig.lease()

            async def place():
                async with rig.journal.effect(lease) as transaction:
                    await transaction.add_intent(intent(lease), risk={})
                    return transaction.seq

            return await asyncio.gather(*(place() for _ in range(25)))

    assert sorted(run(work)) == list(range(1, 26))


def test_two_agents_never_pass_the_same_headroom(database):
    """Check and reserve are one step under the book's lock. Guards: without the lock both see an empty book."""

    async def work():
        async with postgres_rig(database) as rig:
            user = rig.user()
            links = [rig.link(user), rig.link(user)]
            leases = [c.lease for c in await rig.journal.claim(OWNER, limit=2, ttl_seconds=TTL)]
            assert {lease.account_id for lease in leases} == set(links)

            async def enter(lease):
                async with rig.journal.effect(lease) as transaction:
                    used = sum(row.risk for row in await transaction.lock_book())
                    if used + ACCOUNT.equity > ACCOUNT.equity:
                        return False
                    await transaction.add_intent(intent(lease), risk={})
                    await transaction.reserve(
                        Reservation(lease.account_id, transaction.seq, "EURUSD", {}, ACCOUNT.equity)
                    )
                    return True

            return await asyncio.gather(*(enter(lease) for lease in leases))

    assert sorted(run(work)) == [False, True]


def test_the_database_refuses_a_stale_epoch_even_without_the_fence_statement(database):
    """Guards: a writer that forgets the fence is stopped by the trigger of each table."""

    async def work():
        async with postgres_rig(database) as rig:
            old = (await rig.claimed(ttl_seconds=0.0)).lease
            new = (await rig.claimed(old.account_id, owner="host:1")).lease
            assert new.epoch == old.epoch + 1
            return old

    old = run(work)
    for table, columns, values in (
        (
            "order_intents",
            "seq, client_order_id, instrument, effect, intent, risk",
            "1, 'x', 'EURUSD', 'open', '{}', '{}'",
        ),
        ("venue_events", "log_id, seq, kind, raw, ts_ns, received_ns", "'l', 1, 'k', '{}', 1, 1"),
        ("event_cursors", "log_id, contiguous_seq", "'l', 1"),
        ("equity_points", "ts_ns, balance, equity, margin_used", "1, 1, 1, 1"),
        ("paper_transactions", "seq, kind, payload, ts_ns", "1, 'k', '{}', 1"),
    ):  # fmt: skip
        with pytest.raises(psycopg.Error, match=r"is at epoch 2; a write to \w+ of epoch 1 is refused") as caught:
            database.rows(
                f"INSERT INTO {table} (account_id, user_id, epoch, {columns}) VALUES (%s, %s, %s, {values})",
                old.account_id, old.user_id, old.epoch, role="ts_agent", user=old.user_id,
            )  # fmt: skip
        assert caught.value.sqlstate == "TS001"


def test_marks_cursors_states_and_epochs_never_go_back(database):
    async def work():
        async with postgres_rig(database) as rig:
            lease = await rig.lease()
            async with rig.journal.fenced(lease) as transaction:
                await transaction.put_account(ACCOUNT)
                await transaction.add_events([event(lease, seq) for seq in (1, 2, 3)])
                await transaction.advance_cursor("log-1")
            with pytest.raises(asyncpg.PostgresError, match="high_water_mark of account_states never goes back"):
                async with rig.journal.fenced(lease) as transaction:
                    await transaction.put_account(replace(ACCOUNT, high_water_mark=ACCOUNT.equity - 1))
            return lease

    lease = run(work)
    for statement in ("UPDATE event_cursors SET contiguous_seq = 1", "UPDATE account_leases SET epoch = 0",
                      "UPDATE account_leases SET seq = -1"):  # fmt: skip
        with pytest.raises(psycopg.Error, match="never goes back"):
            database.rows(statement)
    history = database.rows("SELECT trading_state, reason FROM account_state_history ORDER BY n")
    assert history == [("active", "started")]
    assert lease.epoch == 1


def test_an_account_is_wanted_while_a_run_an_order_or_a_trade_is_alive(database):
    def is_wanted():
        return database.rows("SELECT wanted FROM account_leases")[0][0]

    async def work():
        async with postgres_rig(database) as rig:
            account_id = rig.link()
            states = [is_wanted()]
            lease = (await rig.claimed(account_id)).lease
            async with rig.journal.fenced(lease) as transaction:
                await transaction.put_order(ORDER)
                await transaction.put_position(POSITION)
            database.rows("UPDATE live_runs SET desired = 'stopped'", role=APP, user=lease.user_id)
            states.append(is_wanted())
            async with rig.journal.fenced(lease) as transaction:
                await transaction.put_order(replace(ORDER, status=OrderStatus.FILLED))
            states.append(is_wanted())
            async with rig.journal.fenced(lease) as transaction:
                await transaction.put_position(replace(POSITION, units=POSITION.units - POSITION.units))
            states.append(is_wanted())
            database.rows("UPDATE broker_links SET validation_requested_at = now()", role=APP, user=lease.user_id)
            states.append(is_wanted())
            return states

    assert run(work) == [True, True, True, False, True]


def test_a_run_is_launched_once_per_account_strategy_and_variant(database):
    user = database.user()
    account_id = database.link(user)
    database.run(user, account_id)

    with pytest.raises(psycopg.errors.UniqueViolation):
        database.run(user, account_id)
    database.rows("UPDATE live_runs SET desired = 'stopped'", role=APP, user=user)
    database.run(user, account_id)


def test_two_accounts_that_share_an_instance_both_trade(database):
    """15 bits are shared by all accounts of an installation, so ids are unique within an account only."""

    async def work():
        async with postgres_rig(database) as rig:
            rig.link()
            rig.link()
            database.rows("UPDATE account_leases SET instance = 7")
            ids = []
            for lease in [claim.lease for claim in await rig.journal.claim(OWNER, limit=2, ttl_seconds=TTL)]:
                async with rig.journal.effect(lease) as transaction:
                    ids.append(await transaction.add_intent(intent(lease), risk={}))
            return ids

    ids = run(work)

    assert ids[0] == ids[1]


def test_pages_of_events_advance_the_cursor_past_the_last_of_them(database):
    async def work():
        async with postgres_rig(database) as rig:
            lease = await rig.lease()
            for page in range(10):
                async with rig.journal.fenced(lease, is_durable=False) as transaction:
                    await transaction.add_events([event(lease, page * 200 + n) for n in range(1, 201)])
                    await transaction.advance_cursor("log-1")
            async with rig.journal.fenced(lease) as transaction:
                assert await transaction.add_fills([fill(lease, str(uuid.uuid4()))])
            return (await rig.journal.read_account(lease)).cursor

    assert run(work) == 2000


def test_a_self_fence_closes_before_the_lease_ends_counted_from_before_the_question():
    now = [100.0]
    fence = SelfFence(lambda: now[0], ttl_seconds=10.0)
    assert not fence.is_open

    asked_at = fence.ask()
    now[0] = 103.0
    fence.renewed(asked_at)

    assert fence.left_seconds == pytest.approx(5.0)
    now[0] = 107.9
    assert fence.is_open
    now[0] = 108.0
    assert not fence.is_open
    fence.renewed(fence.ask())
    fence.renewed(asked_at)
    assert fence.is_open
    fence.lose()
    assert not fence.is_open


def test_a_terminal_order_can_be_reopened_by_evidence_but_not_placed_again(database):
    async def work():
        async with postgres_rig(database) as rig:
            lease = await rig.lease()
            async with rig.journal.effect(lease) as transaction:
                await transaction.add_intent(intent(lease), risk={})
                await transaction.add_attempt(1, AttemptKind.PLACE, {})
                await transaction.add_transition(1, Transition(OrderStatus.SENDING, OrderStatus.REJECTED, "r", "reply"))
            with pytest.raises(UsageError, match="sent at most once"):
                async with rig.journal.fenced(lease) as transaction:
                    await transaction.add_attempt(1, AttemptKind.PLACE, {})
            async with rig.journal.fenced(lease) as transaction:
                change = Transition(OrderStatus.REJECTED, OrderStatus.ACCEPTED, "late", "poll", "log-1", 7)
                return await transaction.add_transition(1, change)

    assert run(work) == 3
