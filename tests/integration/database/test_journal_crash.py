"""The journal when its server dies, freezes or loses an answer."""

import asyncio
import os
import signal

import pytest

from tests.conformance.journal.rigs import OWNER, TTL, Rig, intent, postgres_rig
from tests.support.postgres import asked_major, cloned, home_folder, provisioned
from tradesentry.core.domain.errors import JournalUnavailable, LeaseLost, UsageError
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.repositories.journal import PostgresJournal
from tradesentry.database.session import create_pool, retried


def run(work):
    return asyncio.run(work())


def test_a_server_that_is_gone_is_reported_before_anything_could_be_sent(postgres):
    async def work():
        with pytest.raises(JournalUnavailable, match="Nothing may be sent until it is back"):
            await create_pool("postgresql://ts_agent:x@127.0.0.1:1/none", timeout_seconds=2.0)

    run(work)


@pytest.fixture
def own_server():
    """A durable server of this test, to be killed."""
    with home_folder() as home, EmbeddedPostgres(home, major=asked_major()) as server:
        provisioned(server)
        yield server


def test_confirmed_transactions_survive_the_kill_of_the_server_and_the_journal_goes_on(own_server):
    """Guards: `synchronous_commit = off` for effects may lose confirmed intents here."""
    database = cloned(own_server)

    async def write_until_killed(rig, lease, confirmed):
        while True:
            async with rig.journal.effect(lease) as transaction:
                client_order_id = await transaction.add_intent(intent(lease), risk={})
            confirmed.append(client_order_id)
            if len(confirmed) == 30:
                os.kill(own_server.pid, signal.SIGKILL)

    async def work():
        async with postgres_rig(database) as rig:
            lease = await rig.lease()
            confirmed = []
            with pytest.raises(JournalUnavailable, match="Nothing may be sent|may or may not have happened"):
                await write_until_killed(rig, lease, confirmed)
            with pytest.raises(JournalUnavailable):
                await rig.journal.renew(OWNER, [lease], ttl_seconds=TTL)
            await asyncio.to_thread(own_server.stop)
            await asyncio.to_thread(own_server.start)

            async def renew():
                return await rig.journal.renew(OWNER, [lease], ttl_seconds=TTL)

            try:
                renewed = await renew()
            except JournalUnavailable:
                renewed = await renew()
            found = [await rig.journal.read_intent(lease, client_order_id) for client_order_id in confirmed]
            async with rig.journal.effect(lease) as transaction:
                next_seq = transaction.seq
            return renewed, lease, confirmed, found, next_seq

    renewed, lease, confirmed, found, next_seq = run(work)

    assert renewed == {lease.account_id}
    assert len(confirmed) >= 30
    assert None not in found
    assert next_seq > len(confirmed)


def test_a_commit_whose_confirmation_is_lost_is_unknown_and_read_back(own_server):
    """The server is frozen between the last statement and COMMIT, longer than anybody waits, then goes on."""
    database = cloned(own_server)

    async def work():
        pool = await create_pool(database.agent_url(), n_connections=2)
        try:
            rig = Rig(PostgresJournal(pool, commit_seconds=1.0), database)
            lease = await rig.lease()
            backend = 0
            with pytest.raises(JournalUnavailable, match="may or may not have happened") as caught:  # noqa: PT012
                async with rig.journal.effect(lease) as transaction:
                    client_order_id = await transaction.add_intent(intent(lease), risk={})
                    backend = await transaction._connection.fetchval("SELECT pg_backend_pid()")
                    os.kill(backend, signal.SIGSTOP)
            os.kill(backend, signal.SIGCONT)
            found = None
            while found is None:
                found = await rig.journal.read_intent(lease, client_order_id)
            return caught.value, found
        finally:
            pool.terminate()

    error, found = run(work)

    assert error.code == "commit_unknown"
    assert found.intent.symbol == "EURUSD"


def test_a_frozen_owner_finds_its_transaction_refused_when_it_wakes(database):
    async def work():
        async with postgres_rig(database) as rig:
            claim = await rig.claimed(ttl_seconds=0.0)
            new = await rig.claimed(claim.lease.account_id, owner="host:1")
            async with rig.journal.effect(new.lease) as transaction:
                await transaction.add_intent(intent(new.lease), risk={})
            with pytest.raises(LeaseLost):
                async with rig.journal.effect(claim.lease) as transaction:
                    await transaction.add_intent(intent(claim.lease), risk={})
            return claim.lease

    lease = run(work)

    assert database.rows("SELECT count(*) FROM order_intents WHERE epoch = %s", lease.epoch) == [(0,)]


def test_a_cut_session_is_replaced_without_a_word(database):
    async def work():
        async with postgres_rig(database) as rig:
            lease = await rig.lease()
            with pytest.raises(JournalUnavailable):  # noqa: PT012
                async with rig.journal.effect(lease) as transaction:
                    pid = await transaction._connection.fetchval("SELECT pg_backend_pid()")
                    await asyncio.to_thread(database.rows, "SELECT pg_terminate_backend(%s)", pid, role="postgres")
                    await transaction.add_intent(intent(lease), risk={})
            async with rig.journal.effect(lease) as transaction:
                return transaction.seq

    assert run(work) == 1


def test_an_idempotent_transaction_is_repeated_whole_and_others_are_not():
    pauses, calls = [], []

    async def wait(seconds):
        pauses.append(seconds)

    async def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionResetError("gone")
        return "done"

    async def wrong():
        raise UsageError("wrong", code="wrong")

    async def gone():
        raise ConnectionResetError("gone")

    async def work():
        assert await retried(flaky, wait=wait) == "done"
        with pytest.raises(UsageError):
            await retried(wrong, wait=wait)
        with pytest.raises(JournalUnavailable, match="gone"):
            await retried(gone, wait=wait)

    run(work)

    assert pauses[:2] == [0.1, 0.2]


def test_a_connection_that_breaks_when_it_is_given_back_takes_nothing_back(database):
    """Found by the soak. Seen to fail: a lease that had been renewed ended the agent with the driver's own error."""

    async def work():
        async with postgres_rig(database) as rig:
            lease = await rig.lease()
            pids = []

            async def reset(connection, **_options):
                pids.append(await connection.fetchval("SELECT pg_backend_pid()"))
                await asyncio.to_thread(database.rows, "SELECT pg_terminate_backend(%s)", pids[0], role="postgres")
                await connection.fetchval("SELECT 1")

            rig.journal._pool._reset = reset
            renewed = await rig.journal.renew(OWNER, [lease], ttl_seconds=TTL)
            rig.journal._pool._reset = None
            return renewed, lease, await rig.journal.renew(OWNER, [lease], ttl_seconds=TTL)

    renewed, lease, again = run(work)

    assert renewed == {lease.account_id}
    assert again == {lease.account_id}
