"""Alerts in PostgreSQL: taken until somebody has them, marked once, told apart by user, delivered by one process."""

import asyncio
from contextlib import asynccontextmanager

import psycopg
import pytest

from tests.conformance.journal.rigs import postgres_rig
from tests.support.receivers import WAIT, Receiver
from tradesentry.core.domain.clock import FakeClock, SystemClock
from tradesentry.core.domain.errors import JournalUnavailable
from tradesentry.core.monitoring.alerts import AlertDelivery
from tradesentry.core.utils.notifier import DeliveryPolicy, Notifier, Severity
from tradesentry.database.repositories.outbox import PostgresOutbox, acknowledge
from tradesentry.database.roles import AGENT, APP, RELAY
from tradesentry.database.session import create_engine, create_pool, tenant_session
from tradesentry.workers.relay import deliver_alerts

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()"
)


def run(work):
    return asyncio.run(work())


@asynccontextmanager
async def outbox_of(database, **options):
    """The outbox as the relay sees it, and a journal that writes into it."""
    pool = await create_pool(database.url(RELAY), n_connections=3)
    try:
        async with postgres_rig(database) as rig:
            yield PostgresOutbox(pool, **options), rig
    finally:
        await pool.close()


async def announce(rig, lease, *codes, key=None):
    """Write alerts in a transaction of the journal, as whatever caused them does."""
    async with rig.journal.fenced(lease) as transaction:
        for code in codes:
            await transaction.announce(f"alert.{code}", "acc", {"code": code, "text": "What, why, do."}, dedupe_key=key)


def codes(alerts):
    return [alert.code for alert in alerts]


def test_alerts_of_all_users_are_taken_oldest_first_until_they_are_marked(database):
    async def work():
        async with outbox_of(database) as (outbox, rig):
            first, second = await rig.lease(), await rig.lease()
            await announce(rig, first, "a")
            await announce(rig, second, "b", "c")
            async with rig.journal.fenced(first) as transaction:
                await transaction.announce("equity.point", "acc", {})
            taken = await outbox.take(limit=10)
            await outbox.mark_delivered([taken[0].id])
            await outbox.mark_delivered([taken[0].id])
            left = await outbox.take(limit=10, exclude=[taken[1].id])
            return taken, left, await outbox.count_pending()

    taken, left, n_pending = run(work)

    assert codes(taken) == ["a", "b", "c"]
    assert (taken[0].text, taken[0].severity) == ("What, why, do.", Severity.WARNING)
    assert codes(left) == ["c"]
    assert n_pending == 2


def test_a_repeat_is_one_of_the_same_user_and_key_that_was_delivered_lately(database):
    """Seen to fail without the user in the comparison: another user's alert was taken for a repeat."""

    async def work():
        async with outbox_of(database) as (outbox, rig):
            mine, theirs = await rig.lease(), await rig.lease()
            await announce(rig, mine, "a", key="k")
            await outbox.mark_delivered([alert.id for alert in await outbox.take(limit=1)])
            await announce(rig, mine, "again", key="k")
            await announce(rig, mine, "other", key="l")
            await announce(rig, mine, "keyless")
            await announce(rig, theirs, "theirs", key="k")
            await asyncio.to_thread(database.rows, "UPDATE outbox SET delivered_at = delivered_at - interval '1 hour'")
            old = await outbox.take(limit=10)
            await asyncio.to_thread(database.rows, "UPDATE outbox SET delivered_at = now() WHERE delivered_at < now()")
            return await outbox.take(limit=10), old

    taken, old = run(work)

    assert {alert.code: alert.is_repeat for alert in taken} == {
        "again": True, "other": False, "keyless": False, "theirs": False,
    }  # fmt: skip
    assert not any(alert.is_repeat for alert in old)


def test_only_the_owner_acknowledges_and_then_nothing_is_escalated(database):
    async def work():
        async with outbox_of(database) as (outbox, rig):
            lease = await rig.lease()
            await announce(rig, lease, "over_fill", "halted")
            young = await outbox.unacknowledged(older_than_seconds=60, limit=10)
            silent = await outbox.unacknowledged(older_than_seconds=-1, limit=10)
            engine = create_engine(database.url(APP), n_connections=1)
            try:
                async with tenant_session(engine, rig.user()) as session:
                    by_stranger = await acknowledge(session, silent[0].id)
                async with tenant_session(engine, lease.user_id) as session:
                    by_owner = await acknowledge(session, silent[0].id)
            finally:
                await engine.dispose()
            left = await outbox.unacknowledged(older_than_seconds=-1, limit=10)
            await outbox.mark_escalated([alert.id for alert in left])
            return young, by_stranger, by_owner, left, await outbox.unacknowledged(older_than_seconds=-1, limit=10)

    young, by_stranger, by_owner, left, after = run(work)

    assert (young, by_stranger, by_owner) == ([], False, True)
    assert codes(left) == ["halted"]
    assert after == []


def test_a_number_is_still_given_once_and_marks_come_before_or_after_it(database):
    async def work():
        async with outbox_of(database) as (outbox, rig):
            await announce(rig, await rig.lease(), "a")
            await asyncio.to_thread(database.rows, "UPDATE outbox SET seq = 1", role=RELAY)
            await outbox.mark_delivered([alert.id for alert in await outbox.take(limit=1)])

    run(work)

    assert database.rows("SELECT seq, delivered_at IS NOT NULL FROM outbox") == [(1, True)]
    with pytest.raises(psycopg.errors.Error, match="has number 1 already"):
        database.rows("UPDATE outbox SET seq = 2", role=RELAY)


@pytest.mark.parametrize(
    ("role", "column"), [(AGENT, "delivered_at"), (APP, "delivered_at"), (RELAY, "acknowledged_at"), (RELAY, "payload")]
)
def test_each_role_sets_its_own_mark_only(database, role, column):
    value = "'{}'" if column == "payload" else "now()"

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.rows(f"UPDATE outbox SET {column} = {value}", role=role)


def test_two_deliverers_take_turns(database):
    async def work():
        order = []
        async with outbox_of(database) as (first, _), outbox_of(database) as (second, _):
            entered, may_leave = asyncio.Event(), asyncio.Event()

            async def deliver(outbox, name):
                async with outbox.alone():
                    order.append(f"{name} in")
                    entered.set()
                    await may_leave.wait()
                    order.append(f"{name} out")

            running = [asyncio.create_task(deliver(first, "first"))]
            await entered.wait()
            running.append(asyncio.create_task(deliver(second, "second")))
            async with asyncio.timeout(WAIT):
                while not await asyncio.to_thread(_n_waiting, database):
                    continue
            may_leave.set()
            await asyncio.gather(*running)
        return order

    assert run(work) == ["first in", "first out", "second in", "second out"]


def _n_waiting(database):
    return database.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


def test_a_database_that_does_not_answer_is_said_to_be_away(database):
    async def work():
        async with outbox_of(database, timeout_seconds=0.2) as (outbox, _):
            await outbox.take(limit=1)

    with psycopg.connect(database.url()) as holder:
        holder.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")

        with pytest.raises(JournalUnavailable, match="did not answer"):
            run(work)


def test_alerts_are_delivered_again_after_the_database_was_away(database):
    """Every connection is cut; the alert of afterwards arrives, and the deliverer ends when it is told to.

    Seen to fail: the error of the lost connection took the place of the cancellation, and it never ended.
    """
    receiver = Receiver()

    async def work():
        clock, pending = FakeClock(0), []
        notifier = Notifier([receiver.url], policy=DeliveryPolicy(n_attempts=1))
        delivering = asyncio.create_task(
            deliver_alerts(database.url(RELAY), notifier, clock, on_pending=pending.append)
        )

        async def until(is_true):
            async with asyncio.timeout(WAIT):
                while not is_true():
                    await clock.advance(0.5)
                    await asyncio.wait({asyncio.ensure_future(asyncio.sleep(0.005))})

        async with postgres_rig(database) as rig:
            lease = await rig.lease()
            await announce(rig, lease, "over_fill")
            await until(lambda: len(receiver.payloads) == 1)
            await asyncio.to_thread(database.rows, CUT, role=RELAY)
            await announce(rig, lease, "halted")
            await until(lambda: len(receiver.payloads) >= 2 and pending[-1] == 0)
        delivering.cancel()
        await asyncio.wait({delivering}, timeout=WAIT)
        notifier.close()
        return delivering.cancelled()

    try:
        assert run(work)
    finally:
        receiver.close()
    assert {payload["title"] for payload in receiver.payloads} == {"Over fill", "Halted"}
    assert database.rows("SELECT count(*) FROM outbox WHERE delivered_at IS NULL") == [(0,)]


def test_an_alert_of_a_transaction_reaches_a_webhook_and_is_marked(database):
    receiver = Receiver()

    async def work():
        async with outbox_of(database) as (outbox, rig):
            await announce(rig, await rig.lease(), "halted")
            notifier = Notifier([receiver.url], policy=DeliveryPolicy(n_attempts=1))
            delivery = AlertDelivery(outbox, notifier, SystemClock())
            await delivery.deliver_due()
            await delivery.close(WAIT)
            return await outbox.count_pending()

    try:
        assert run(work) == 0
    finally:
        receiver.close()
    assert [payload["title"] for payload in receiver.payloads] == ["Halted"]
