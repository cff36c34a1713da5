"""One user never sees or writes another's rows; a role does what it needs and nothing else; history stays."""

import asyncio
import uuid

import psycopg
import pytest
import sqlalchemy as sa

from tests.conformance.journal.rigs import event, fill, intent, postgres_rig
from tests.integration.database.facts import ACCOUNT, ORDER, POSITION
from tests.support.postgres import cloned
from tradesentry.core.execution.journal import (
    AttemptKind,
    EquityRecord,
    Reservation,
    SavedState,
)
from tradesentry.database.roles import AGENT, APP, OWNER, READONLY, RELAY
from tradesentry.database.session import create_engine, tenant_session


@pytest.fixture(scope="module")
def database(postgres):
    """One database for all tests here: what they try is refused and leaves nothing behind."""
    return cloned(postgres)


@pytest.fixture(scope="module")
def two_users(database):
    """A database in which two users have a row in every table; returns (mine, theirs) as (user, account, run)."""

    async def fill_in():
        async with postgres_rig(database) as rig:
            people = []
            for _ in range(2):
                user_id = rig.user()
                account_id = rig.link(user_id)
                lease = (await rig.claimed(account_id)).lease
                run_id = rig.runs[account_id]
                async with rig.journal.effect(lease) as transaction:
                    await transaction.add_intent(intent(lease), risk={})
                    await transaction.reserve(Reservation(account_id, 1, "EURUSD", {}, ACCOUNT.equity))
                    await transaction.add_attempt(1, AttemptKind.PLACE, {})
                    await transaction.add_events([event(lease, 1)])
                    await transaction.advance_cursor("log-1")
                    await transaction.add_fills([fill(lease, "f")])
                    await transaction.put_order(ORDER)
                    await transaction.put_position(POSITION)
                    await transaction.put_account(ACCOUNT)
                    await transaction.save_state(SavedState(run_id, "EURUSD", 1, "d", b"s"))
                    await transaction.add_equity(EquityRecord(1, ACCOUNT.equity, ACCOUNT.equity, ACCOUNT.flows))
                    await transaction.announce("run.launched", "run", {})
                database.rows(
                    "INSERT INTO paper_transactions (account_id, seq, user_id, epoch, kind, payload, ts_ns)"
                    " VALUES (%s, 1, %s, %s, 'k', '{}', 1)",
                    account_id, user_id, lease.epoch, role=AGENT, user=user_id,
                )  # fmt: skip
                people.append((user_id, account_id, run_id))
            return people

    return asyncio.run(fill_in())


def tenant_tables(database):
    return [
        row[0]
        for row in database.rows(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'"
            " WHERE c.relkind IN ('r', 'p', 'v') AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition"
        )
    ]


def test_every_table_shows_each_user_his_own_rows_and_nobody_without_a_name(database, two_users):
    """The list comes from the catalog, so a new table is covered. Guards: a dropped policy shows no row at all."""
    (mine, *_), (theirs, *_) = two_users

    tables = tenant_tables(database)

    assert len(tables) >= 20
    for table in tables:
        assert len(database.rows(f"SELECT user_id FROM {table}")) >= 2, f"{table} holds no row of both"
        for user in (mine, theirs):
            seen = {row[0] for row in database.rows(f"SELECT user_id FROM {table}", role=READONLY, user=user)}
            assert seen == {user}, table
        assert database.rows(f"SELECT user_id FROM {table}", role=READONLY) == [], table


def test_a_tenant_setting_ends_with_its_transaction(database, two_users):
    (mine, *_), _ = two_users

    async def work():
        engine = create_engine(database.url(APP), n_connections=1)
        try:
            async with tenant_session(engine, mine) as session:
                inside = (await session.execute(sa.text("SELECT count(*) FROM orders"))).scalar()
            async with engine.connect() as connection:
                after = (await connection.execute(sa.text("SELECT count(*) FROM orders"))).scalar()
        finally:
            await engine.dispose()
        return inside, after

    assert asyncio.run(work()) == (1, 0)


def test_nobody_writes_a_row_of_another_user_or_points_at_his_account(database, two_users):
    (mine, my_account, _), (theirs, their_account, _) = two_users
    insert = (
        "INSERT INTO live_runs (id, user_id, account_id, strategy, code_digest, config)"
        " VALUES (%s, %s, %s, 'x', 'd', '{}')"
    )

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        database.rows(insert, uuid.uuid4(), theirs, their_account, role=APP, user=mine)
    # Foreign keys ignore row-level security: the key of an account names its user too.
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        database.rows(insert, uuid.uuid4(), mine, their_account, role=APP, user=mine)
    update = "UPDATE live_runs SET desired = 'stopped' WHERE account_id = %s RETURNING 1"
    assert database.rows(update, their_account, role=APP, user=mine) == []
    assert database.rows("SELECT lock_account(%s)", their_account, role=APP, user=mine) == [(False,)]
    assert database.rows("SELECT lock_account(%s)", my_account, role=APP, user=mine) == [(True,)]


DENIED = [
    (APP, "UPDATE account_leases SET epoch = epoch + 1"),
    (APP, "INSERT INTO fills DEFAULT VALUES"),
    (APP, "UPDATE live_runs SET actual = 'running'"),
    (APP, "SELECT * FROM run_states"),
    (APP, "SELECT * FROM agents"),
    (APP, "DELETE FROM broker_links"),
    (APP, "SELECT * FROM venue_events_default"),
    (AGENT, "UPDATE account_leases SET instance = 1"),
    (AGENT, "UPDATE account_leases SET wanted = false"),
    (AGENT, "UPDATE live_runs SET desired = 'running'"),
    (AGENT, "DELETE FROM orders"),
    (AGENT, "UPDATE order_intents SET seq = 1"),
    (AGENT, "DELETE FROM fills"),
    (AGENT, "TRUNCATE venue_events"),
    (AGENT, "SELECT * FROM users"),
    (AGENT, "INSERT INTO account_state_history DEFAULT VALUES"),
    (AGENT, "SELECT refresh_wanted(gen_random_uuid())"),
    (RELAY, "UPDATE outbox SET payload = '{}'"),
    (RELAY, "SELECT * FROM orders"),
    (READONLY, "UPDATE orders SET units = 1"),
    ("ts_events", "UPDATE outbox SET seq = 1"),
    ("ts_worker", "SELECT * FROM orders"),
    ("ts_worker", "SELECT * FROM users"),
]


@pytest.mark.parametrize(("role", "statement"), DENIED)
def test_a_role_may_not_do_what_it_does_not_need(database, role, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.rows(statement, role=role)


@pytest.mark.parametrize(
    "table",
    [
        "order_intents", "order_attempts", "order_transitions", "venue_events", "fills", "account_state_history",
        "equity_points", "paper_transactions",
    ],
)  # fmt: skip
@pytest.mark.parametrize("statement", ["UPDATE {} SET epoch = 0", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_not_even_the_owner_rewrites_the_journal(database, two_users, table, statement):
    with pytest.raises(psycopg.Error, match="The journal is never rewritten") as caught:
        database.rows(statement.format(table), role=OWNER)

    assert caught.value.sqlstate == "TS002"


@pytest.mark.parametrize("statement", ["UPDATE {} SET epoch = 0", "DELETE FROM {}"])
def test_nor_through_a_partition(database, two_users, statement):
    partition = database.rows("SELECT tableoid::regclass::text FROM venue_events LIMIT 1")[0][0]

    with pytest.raises(psycopg.Error, match="The journal is never rewritten"):
        database.rows(statement.format(partition), role=OWNER)


def test_the_outbox_is_numbered_once_and_read_when_numbered(database, two_users):
    (mine, *_), _ = two_users
    assert database.rows("SELECT 1 FROM outbox", role="ts_events") == []

    numbered = database.rows(
        "WITH b AS (SELECT id FROM outbox WHERE seq IS NULL ORDER BY id LIMIT 1),"
        " n AS (SELECT id, nextval('outbox_seq') AS seq FROM (SELECT id FROM b ORDER BY id) q)"
        " UPDATE outbox o SET seq = n.seq FROM n WHERE o.id = n.id RETURNING o.seq",
        role=RELAY,
    )

    assert numbered == [(1,)]
    assert database.rows("SELECT user_id, seq FROM outbox", role="ts_events") == [(mine, 1)]
    with pytest.raises(psycopg.Error, match="has number 1 already"):
        database.rows("UPDATE outbox SET seq = 9 WHERE seq = 1", role=RELAY)
