"""Live runs and the paper venue's log as agents and the API use them."""

import asyncio
from dataclasses import replace

import pytest

from tests.conformance.journal.rigs import postgres_rig
from tradesentry.core.domain.errors import LeaseLost
from tradesentry.database.repositories.paper_log import PaperEntry, PaperLog
from tradesentry.database.repositories.runs import AgentRuns, set_desired
from tradesentry.database.roles import APP
from tradesentry.database.session import create_engine, tenant_session


def run(work):
    return asyncio.run(work())


def entry(seq, snapshot=None):
    return PaperEntry(seq, "fill", {"units": "100"}, 1_790_000_000_000_000_000 + seq, snapshot)


def test_a_paper_log_goes_on_from_its_newest_snapshot_under_the_next_owner(database):
    async def work():
        async with postgres_rig(database) as rig:
            old = (await rig.claimed()).lease
            log = PaperLog(rig.journal)
            await log.append(old, [entry(1), entry(2, b"venue"), entry(3)])
            await log.append(old, [entry(3), entry(4)])
            await rig.journal.release(old)
            new = (await rig.claimed(old.account_id, owner="host:1")).lease
            with pytest.raises(LeaseLost):
                await log.append(old, [entry(5)])
            return await log.read(new)

    assert run(work) == [entry(2, b"venue"), entry(3), entry(4)]


def test_a_paper_log_without_a_snapshot_is_read_from_its_beginning(database):
    async def work():
        async with postgres_rig(database) as rig:
            lease = await rig.lease()
            log = PaperLog(rig.journal)
            empty = await log.read(lease)
            await log.append(lease, [entry(1), entry(2)])
            return empty, await log.read(lease)

    assert run(work) == ([], [entry(1), entry(2)])


def test_an_owner_commands_and_the_agent_obeys_and_reports(database):
    async def work():
        async with postgres_rig(database) as rig:
            lease = await rig.lease()
            runs, run_id = AgentRuns(rig.journal), rig.runs[lease.account_id]
            engine = create_engine(database.url(APP), n_connections=1)
            try:
                before = await runs.of_account(lease)
                await runs.set_actual(lease, run_id, "running")
                await runs.set_actual(lease, run_id, "running")
                async with tenant_session(engine, lease.user_id) as session:
                    assert await set_desired(session, run_id, "stopped")
                during = await runs.of_account(lease)
                await runs.set_actual(lease, run_id, "stopped")
                after = await runs.of_account(lease)
                async with tenant_session(engine, rig.user()) as session:
                    assert not await set_desired(session, run_id, "running")
            finally:
                await engine.dispose()
            with pytest.raises(LeaseLost):
                await runs.set_actual(replace(lease, epoch=0), run_id, "failed", error="late")
            return before, during, after

    before, during, after = run(work)

    assert [(row.desired, row.actual) for row in before] == [("running", "pending")]
    assert [(row.desired, row.actual) for row in during] == [("stopped", "running")]
    assert after == []
    assert [row[0] for row in database.rows("SELECT topic FROM outbox ORDER BY id")] == ["run.running", "run.stopped"]
    assert database.rows("SELECT wanted FROM account_leases") == [(False,)]


def test_commands_and_orders_at_the_same_time_never_wait_in_a_circle(database):
    """Guards: without `lock_account` first the two transactions lock run and lease in opposite order."""

    async def work():
        async with postgres_rig(database) as rig:
            lease = await rig.lease()
            runs, run_id = AgentRuns(rig.journal), rig.runs[lease.account_id]
            engine = create_engine(database.url(APP), n_connections=3)

            async def command(n):
                async with tenant_session(engine, lease.user_id) as session:
                    await set_desired(session, run_id, ("stopped", "running")[n % 2])

            async def obey(n):
                await runs.set_actual(lease, run_id, ("running", "paused", "stopped")[n % 3])

            try:
                await asyncio.gather(*(work(n) for n in range(12) for work in (command, obey)))
            finally:
                await engine.dispose()

    run(work)
