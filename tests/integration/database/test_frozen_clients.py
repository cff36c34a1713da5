"""Locks of clients that froze or left: others take the accounts over and trade on, whatever the server waits for."""

import asyncio
import time
from contextlib import contextmanager

import psycopg
import pytest

from tests.conformance.journal.rigs import OWNER, TTL, Rig
from tradesentry.core.domain.errors import JournalUnavailable
from tradesentry.database.repositories.journal import PostgresJournal
from tradesentry.database.session import create_pool

LOCK_LEASE = b"SELECT seq FROM account_leases WHERE account_id = $1 FOR NO KEY UPDATE"
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
IN_A_STATEMENT = f"{WAITS} AND wait_event = 'ClientRead'"
FOR_A_LOCK = f"{WAITS} AND wait_event_type = 'Lock'"


def run(work):
    return asyncio.run(work())


def until(database, statement, n, *, seconds=10.0):
    """Wait until a statement counts `n` sessions."""
    deadline = time.monotonic() + seconds
    while database.rows(statement, role="postgres") != [(n,)]:
        assert time.monotonic() < deadline, statement
        time.sleep(0.01)


@contextmanager
def frozen_in_a_statement(database, account_id):
    """Hold the lock on a lease as a client that froze between two messages of the protocol, without their end.

    To the server it is `active`: neither `idle_in_transaction_session_timeout` nor `statement_timeout` ends it.
    """
    with psycopg.connect(database.agent_url(), autocommit=True) as connection:
        wire = connection.pgconn
        wire.enter_pipeline_mode()
        wire.send_query_params(b"BEGIN", None)
        wire.send_query_params(LOCK_LEASE, [str(account_id).encode()])
        wire.send_flush_request()
        wire.flush()
        until(database, IN_A_STATEMENT, 1)
        yield wire
        wire.finish()


async def lapsed(database, journal):
    """Return a wanted account whose lease has run out."""
    rig = Rig(journal, database)
    return (await rig.claimed(ttl_seconds=0.0)).lease


async def claimed_within(journal, seconds):
    """Claim as another host until there is something, as an agent looks again and again."""
    deadline = time.monotonic() + seconds
    while not (claims := await journal.claim("host:1", limit=10, ttl_seconds=TTL)):
        assert time.monotonic() < deadline, f"nothing was claimed within {seconds:g} s"
        await asyncio.sleep(0.05)
    return claims


def test_an_account_is_taken_over_although_its_owner_froze_inside_a_statement(database):
    """Seen to fail: without an end to such sessions the account was claimed by nobody for as long as it was frozen."""

    async def work():
        pool = await create_pool(database.agent_url(), n_connections=2)
        journal = PostgresJournal(pool, frozen_seconds=0.3)
        lease = await lapsed(database, journal)
        with frozen_in_a_statement(database, lease.account_id):
            claims = await claimed_within(journal, 5.0)
        await pool.close()
        return lease, claims

    lease, claims = run(work)

    assert [(c.lease.account_id, c.lease.epoch) for c in claims] == [(lease.account_id, lease.epoch + 1)]


def test_a_client_that_is_merely_slow_keeps_its_transaction(database):
    async def work():
        pool = await create_pool(database.agent_url(), n_connections=2)
        journal = PostgresJournal(pool, frozen_seconds=60.0)
        lease = await lapsed(database, journal)
        with frozen_in_a_statement(database, lease.account_id):
            claims = await journal.claim("host:1", limit=10, ttl_seconds=TTL)
            n_waiting = database.rows(IN_A_STATEMENT, role="postgres")
        await pool.close()
        return claims, n_waiting

    assert run(work) == ([], [(1,)])


def test_a_lease_is_renewed_while_orders_hold_every_connection(database):
    """Seen to fail: on one pool a renewal waited for orders, and all accounts of the agent were lost together."""

    async def work():
        pool = await create_pool(database.agent_url(), n_connections=1)
        leases = await create_pool(database.agent_url(), n_connections=1)
        journal = PostgresJournal(pool, leases=leases, commit_seconds=0.5)
        rig = Rig(journal, database)
        busy, other = await rig.lease(), await rig.lease()
        async with journal.reading(busy):
            renewed = await journal.renew(OWNER, [busy, other], ttl_seconds=TTL)
            with pytest.raises(JournalUnavailable):
                await journal.read_account(other)
        await pool.close()
        await leases.close()
        return renewed, {busy.account_id, other.account_id}

    renewed, both = run(work)

    assert renewed == both


def test_the_server_gives_up_a_lock_when_its_client_has(database):
    """Another's book lock does not keep an owner from its own lease.

    Seen to fail: without a limit at the server the session went on waiting for a client that had left, and its lock on
    the lease kept every renewal waiting.
    """

    async def work():
        pool = await create_pool(database.agent_url(), n_connections=2)
        leases = await create_pool(database.agent_url(), n_connections=1)
        journal = PostgresJournal(pool, leases=leases, commit_seconds=1.0)
        rig = Rig(journal, database)
        user = rig.user()
        first, second = [(await rig.claimed(rig.link(user))).lease for _ in range(2)]
        async with journal.effect(first) as holder:
            await holder.lock_book()
            with pytest.raises(JournalUnavailable):
                async with journal.effect(second) as waiting:
                    await waiting.lock_book()
            n_waiting = database.rows(FOR_A_LOCK, role="postgres")
            await asyncio.to_thread(until, database, FOR_A_LOCK, 0, seconds=5.0)
            renewed = await journal.renew(OWNER, [second], ttl_seconds=TTL)
        await pool.close()
        await leases.close()
        return n_waiting, renewed, second

    n_waiting, renewed, second = run(work)

    assert n_waiting == [(1,)]
    assert renewed == {second.account_id}
