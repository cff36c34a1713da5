"""The schema: migrations forth and back, `schema.sql`, models and the rules of tenancy agree."""

import threading

import psycopg
import pytest

from tests.support.postgres import TEMPLATE
from tradesentry.core.domain.errors import DatabaseError
from tradesentry.database.checks import check_database, schema_differences
from tradesentry.database.roles import ADMIN, AGENT, APP, OWNER
from tradesentry.database.schema import current, differences, dump, head, load, migrate, scratch_database
from tradesentry.database.server import Server, client_programs
from tradesentry.database.session import refuse_powerful_role


@pytest.fixture
def admin(postgres):
    return postgres.url(ADMIN, "postgres")


def server_of(postgres, name):
    return Server(postgres.url(ADMIN, "postgres"), name, postgres.passwords, lambda: client_programs(postgres))


def test_a_migrated_database_passes_every_check(postgres, database):
    findings = check_database(server_of(postgres, database.name))

    # The server of the tests syncs nothing, which the check must see.
    assert {finding.check for finding in findings if not finding.is_ok} == {"durability"}


def test_migrations_go_up_down_and_up_again_to_the_same_schema(postgres, admin):
    with scratch_database(admin, "up_down"):
        url = postgres.url(OWNER, "up_down")
        migrate(url)
        first = dump(url, client_programs(postgres))
        migrate(url, to="base")
        with psycopg.connect(url) as connection:
            left = connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ 'alembic'"
                " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            ).fetchall()
        migrate(url)

        assert left == []
        assert current(url) == head()
        assert dump(url, client_programs(postgres)) == first


def test_schema_sql_loaded_alone_equals_the_migrated_database(postgres, admin):
    with scratch_database(admin, "loaded"):
        load(postgres.url(OWNER, "loaded"))

        assert dump(postgres.url(OWNER, "loaded"), client_programs(postgres)) == dump(
            postgres.url(OWNER, TEMPLATE), client_programs(postgres)
        )


def test_models_and_migrations_agree_and_a_difference_is_seen(database):
    assert differences(database.url()) == []

    database.rows("ALTER TABLE orders ADD COLUMN planted text")
    database.rows("ALTER TABLE fills DROP COLUMN swap")

    assert sorted(text.split("'")[1] for text in differences(database.url())) == ["add_column", "remove_column"]


def test_a_schema_that_was_changed_by_hand_is_seen(postgres, database):
    database.rows("ALTER TABLE fills DISABLE TRIGGER fence_insert")
    database.rows("DROP INDEX ix_fills_user_id_account_id_ts_ns")

    text = " ".join(schema_differences(server_of(postgres, database.name)))

    assert "ALTER TABLE public.fills DISABLE TRIGGER fence_insert" in text
    assert "only in schema.sql: CREATE INDEX ix_fills_user_id_account_id_ts_ns" in text


def test_processes_that_migrate_together_wait_for_each_other(postgres, admin):
    with scratch_database(admin, "together"):
        errors = []

        def work():
            try:
                migrate(postgres.url(OWNER, "together"))
            except Exception as error:  # noqa: BLE001
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert errors == []
        assert current(postgres.url(OWNER, "together")) == head()


def test_a_database_of_a_newer_program_is_left_alone(database):
    database.rows("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseError, match="does not know .* Install the newer TradeSentry") as caught:
        migrate(database.url())

    assert caught.value.code == "newer_schema"


def test_a_lock_that_is_held_stops_the_migration_not_the_traders(postgres, admin):
    with scratch_database(admin, "held"):
        url = postgres.url(OWNER, "held")
        migrate(url)
        with psycopg.connect(url) as holder:
            holder.execute("LOCK TABLE orders, positions, outbox IN ACCESS SHARE MODE")
            with pytest.raises(DatabaseError, match="If a lock was held"):
                migrate(url, to="base")

        # Steps 0004 and 0005 change functions and need no table; 0003 is the newest that does.
        assert current(url) == "0003"


PLANTED = {
    "row security": ("ALTER TABLE orders DISABLE ROW LEVEL SECURITY", "without row-level security"),
    "forced row security": ("ALTER TABLE orders NO FORCE ROW LEVEL SECURITY", "without row-level security"),
    "policy": ("DROP POLICY tenant ON fills", "without a policy by app.user_id"),
    "nullable tenant": ("ALTER TABLE outbox ALTER user_id DROP NOT NULL", "whose user_id may be null"),
    "tenant index": ("DROP INDEX ix_account_states_user_id", "without an index that starts with user_id"),
    "composite key": (
        "ALTER TABLE orders ADD CONSTRAINT planted FOREIGN KEY (account_id) REFERENCES account_leases (account_id)",
        "that lacks user_id: orders.planted",
    ),
    "invoker view": ("ALTER VIEW net_positions RESET (security_invoker)", "views without security_invoker"),
    "partition grant": ("GRANT SELECT ON venue_events_default TO ts_app", "partitions with grants of their own"),
    "definer": (
        "CREATE FUNCTION planted() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        "not on the list, or without a fixed search_path: planted",
    ),
    "public function": ("GRANT EXECUTE ON FUNCTION prune_outbox TO PUBLIC", "functions anybody may call: prune_outbox"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_hole_in_the_tenancy_rules_is_seen(postgres, database, name):
    statement, words = PLANTED[name]

    database.rows(statement)

    tenancy = next(f for f in check_database(server_of(postgres, database.name)) if f.check == "tenancy")
    assert words in " ".join(tenancy.problems)


def test_roles_above_the_policies_are_refused_and_services_are_not(postgres, database):
    for role in (APP, AGENT, "ts_relay", "ts_events", "ts_readonly", "ts_worker"):
        refuse_powerful_role(database.url(role))

    for role in (OWNER, ADMIN):
        with pytest.raises(DatabaseError, match="is above row-level security") as caught:
            refuse_powerful_role(database.url(role))
        assert caught.value.code == "powerful_role"
    with (
        pytest.raises(DatabaseError, match="Run `tradesentry db migrate`"),
        scratch_database(postgres.url(ADMIN, "postgres"), "empty"),
    ):
        refuse_powerful_role(postgres.url(APP, "empty"))


def test_partitions_are_made_ahead_and_events_of_any_time_find_one(database):
    names = {row[0] for row in database.rows("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")}

    database.rows("SELECT ensure_partitions('2031-02-10'::timestamptz)")
    database.rows("SELECT ensure_partitions('2031-02-10'::timestamptz)")

    made = {
        row[0] for row in database.rows("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
    } - names
    assert {name for name in made if name.startswith("venue_events")} == {
        "venue_events_2031_02", "venue_events_2031_03", "venue_events_2031_04",
    }  # fmt: skip
    assert "equity_points_2031_02" in made
    assert "outbox_2031_02_10" in made


def test_delivered_outbox_days_are_dropped_and_undelivered_ones_are_kept(database):
    user = database.user()
    for day, seq in (("2024-03-01", 1), ("2024-03-02", None)):
        database.rows(f"SELECT ensure_partitions('{day}'::timestamptz, 0, 1)")
        database.rows(
            "INSERT INTO outbox (at, user_id, topic, subject, payload, seq) VALUES (%s, %s, 't', 's', '{}', %s)",
            f"{day} 12:00+00", user, seq,
        )  # fmt: skip

    dropped = database.rows("SELECT prune_outbox()", role="ts_relay")

    assert dropped == [(1,)]
    assert database.rows("SELECT at::date::text FROM outbox") == [("2024-03-02",)]
