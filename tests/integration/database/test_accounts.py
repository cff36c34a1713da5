"""Accounts and runs as a shell links and commands them, and the rows by which agents share the work."""

import asyncio
import uuid

import pytest

from tests.conformance.journal.rigs import postgres_rig
from tradesentry.core.domain.errors import UsageError
from tradesentry.database.accounts import LOCAL_USER, Accounts
from tradesentry.database.repositories.agents import AgentRoster, Load
from tradesentry.database.roles import APP
from tradesentry.database.session import create_pool

PAPER = {"capital": 5_000.0, "symbols": ["EURUSD"]}


@pytest.fixture
def accounts(database):
    return Accounts(database.url(APP))


def linked(accounts, name="demo", **more):
    return accounts.link(**{"broker": "paper", "account_ref": name, "environment": "paper", "settings": PAPER} | more)


def launched(accounts, account_id, **more):
    values = {"strategy": "breakout", "variant": "main", "config": {"or_minutes": 30}, "code_digest": "d"}
    return accounts.launch(account_id, **values | more)


def test_linking_twice_gives_the_same_account_with_the_newer_settings(accounts):
    first = linked(accounts)
    second = linked(accounts, settings=PAPER | {"capital": 9_000.0})

    (row,) = accounts.all()
    assert first == second == row.account_id
    assert row.settings["capital"] == 9_000.0
    assert (row.owner, row.is_leased, row.epoch, row.trading_state) == (None, False, 0, None)


def test_an_account_never_changes_its_kind(accounts):
    linked(accounts, "101-004-1234567-001", broker="oanda", environment="demo")

    with pytest.raises(UsageError, match=r"Account …001 at oanda is linked as demo and was now given as real"):
        linked(accounts, "101-004-1234567-001", broker="oanda", environment="real")


def test_launching_twice_goes_on_with_the_run_and_another_configuration_is_refused(accounts):
    account_id = linked(accounts)
    run_id = launched(accounts, account_id)
    accounts.command(account_id, "paused")

    again = launched(accounts, account_id)
    with pytest.raises(UsageError, match="trades this account with another configuration: or_minutes differ"):
        launched(accounts, account_id, config={"or_minutes": 60})
    other = launched(accounts, account_id, config={"or_minutes": 60}, variant="hour")

    assert again == run_id
    assert other != run_id
    assert [(run.variant, run.desired) for run in accounts.runs(account_id)] == [
        ("main", "running"),
        ("hour", "running"),
    ]


def test_a_command_reaches_the_runs_that_are_wanted(accounts):
    account_id = linked(accounts)
    launched(accounts, account_id)
    launched(accounts, account_id, strategy="smgrid")

    stopped = accounts.command(account_id, "stopped", strategy="smgrid")
    paused = accounts.command(account_id, "paused")

    assert [run.strategy for run in stopped] == ["smgrid"]
    assert [run.strategy for run in paused] == ["breakout"]
    with pytest.raises(UsageError, match="No run of smgrid is wanted on this account"):
        accounts.command(account_id, "paused", strategy="smgrid")


def test_an_account_is_found_by_its_names(accounts):
    account_id = linked(accounts)
    linked(accounts, "other")

    assert {accounts.find(name).account_id for name in ("demo", "paper:demo", str(account_id))} == {account_id}
    with pytest.raises(UsageError, match=r"No account 'paper:dmo' is linked. Did you mean 'paper:demo'\?"):
        accounts.find("paper:dmo")


def test_one_tenant_never_sees_or_commands_another(database, accounts):
    """Seen to fail: as `ts_owner` both accounts were listed."""
    account_id = linked(accounts)
    launched(accounts, account_id)
    stranger_id = database.user()
    stranger = Accounts(database.url(APP), user_id=stranger_id)

    assert accounts.all()
    assert stranger.all() == []
    with pytest.raises(UsageError, match="No run is wanted"):
        stranger.command(account_id, "stopped")
    assert stranger_id != LOCAL_USER


def test_agents_share_the_wanted_accounts_evenly_with_one_to_spare(database):
    async def work():
        async with postgres_rig(database) as rig:
            pool = await create_pool(database.agent_url(), n_connections=2)
            try:
                roster = AgentRoster(pool, rig.journal)
                for _ in range(5):
                    rig.link()
                loads = [await roster.load(["paper"])]
                ids = [uuid.uuid4() for _ in range(2)]
                for slot, agent_id in enumerate(ids):
                    await roster.register(agent_id, host="h", slot=slot, brokers=["paper"], max_accounts=50)
                await roster.register(ids[0], host="h", slot=0, brokers=["paper"], max_accounts=50)
                loads.append(await roster.load(["paper"]))
                loads.append(await roster.load(["oanda"]))
                await roster.leave(ids[1])
                return [*loads, await roster.load(["paper"])]
            finally:
                await pool.close()

    loads = asyncio.run(work())

    assert [(load.n_wanted, load.n_agents) for load in loads] == [(5, 0), (5, 2), (0, 0), (5, 1)]
    assert [load.share(50) for load in loads] == [6, 4, 1, 6]
    assert Load(5, 1).share(2) == 2


def test_a_lost_account_is_reported_to_its_owner_without_a_lease(database):
    async def work():
        async with postgres_rig(database) as rig:
            pool = await create_pool(database.agent_url(), n_connections=2)
            try:
                lease = await rig.lease()
                roster = AgentRoster(pool, rig.journal)
                await rig.journal.release(lease)
                await roster.report_fenced(lease)
                return lease, await roster.link(lease), await roster.decided_ns(lease), await roster.is_wanted(lease)
            finally:
                await pool.close()

    lease, link, decided, is_wanted = asyncio.run(work())

    rows = database.rows("SELECT topic, account_id, payload FROM outbox")
    assert rows == [("run.fenced", lease.account_id, {"owner": "host:0", "epoch": 1})]
    assert (link.account_id, link.broker, link.desired_trading) == (lease.account_id, "paper", "normal")
    assert decided == {}
    assert is_wanted
