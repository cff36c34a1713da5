"""`tradesentry db ...` as a user meets it: on the embedded server, on a real one, with mistakes."""

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace
from unittest import mock

import psycopg
import pytest

from tests.support.postgres import DatabaseForTest, home_folder, memory_folder
from tradesentry.backtest.commands.shell import run_command
from tradesentry.cli import app
from tradesentry.database.binaries import WHEEL_FOLDERS
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.roles import ADMIN, AGENT, DATABASE, OWNER, provision
from tradesentry.database.schema import head, migrate


@pytest.fixture
def home():
    with home_folder(memory_folder()) as folder:
        yield folder


def db(home, *arguments, **environment):
    """Run `tradesentry db` and return exit code and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    clean = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "TRADESENTRY_PG_BIN"}}
    values = clean | {"TRADESENTRY_HOME": str(home)} | environment
    with mock.patch.dict(os.environ, values, clear=True), redirect_stdout(out), redirect_stderr(err):
        code = run_command(app, ["db", *map(str, arguments)])
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def with_facts(server):
    """Fill a provisioned server with a user, an account, a state and an order; return the account."""
    made = DatabaseForTest(server, DATABASE)
    user = made.user()
    account = made.link(user)
    made.run(user, account)
    made.rows("UPDATE account_leases SET owner = 'host:0', epoch = 5, lease_until = now() + interval '1 h'")
    made.rows(
        "INSERT INTO account_states (account_id, user_id, epoch, trading_state, reason, balance, equity,"
        " high_water_mark, day_start_equity, as_of_ns) VALUES (%s, %s, 5, 'active', 'x', 1, 1, 1, 1, 1)",
        account, user, role=AGENT, user=user,
    )  # fmt: skip
    return account


def test_init_check_backup_and_restore_keep_every_row_and_disarm_every_account(home, tmp_path):
    file = tmp_path / "saved.dump"
    assert db(home, "init").returncode == 0
    assert db(home, "init").stderr.endswith(f"is ready at migration {head()}.\n")
    with EmbeddedPostgres(home) as server:
        account = with_facts(server)
        instance = DatabaseForTest(server, DATABASE).rows("SELECT instance FROM account_leases")[0][0]

    saved = db(home, "backup", file)
    restored = db(home, "restore", file)
    checked = db(home, "check", "--json")

    assert (saved.returncode, restored.returncode, checked.returncode) == (0, 0, 0), restored.stderr + checked.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert "orders sent after the backup may exist at the venue" in restored.stderr
    assert {row["check"]: row["ok"] for row in json.loads(checked.stdout)}["tenancy"]
    with EmbeddedPostgres(home) as server:
        made = DatabaseForTest(server, DATABASE)
        leases = made.rows("SELECT account_id, owner, epoch, wanted, instance FROM account_leases")
        assert leases[0][:4] == (account, None, 1_000_005, True)
        assert made.rows("SELECT trading_state FROM account_states") == [("halted",)]
        assert [row[0] for row in made.rows("SELECT trading_state FROM account_state_history ORDER BY n")] == [
            "active", "halted",
        ]  # fmt: skip
        assert instance in range(32_768)
        with psycopg.connect(server.url(ADMIN, "postgres")) as connection:
            names = [row[0] for row in connection.execute("SELECT datname FROM pg_database WHERE datname ~ '_before_'")]
        assert len(names) == 1


def test_a_restore_into_a_database_in_use_is_refused(home, tmp_path):
    assert db(home, "init").returncode == 0
    assert db(home, "backup", tmp_path / "b").returncode == 0
    with EmbeddedPostgres(home) as server, psycopg.connect(server.url(AGENT)):
        refused = db(home, "restore", tmp_path / "b")

    assert refused.returncode == 4
    assert "Stop everything first: tradesentry down" in refused.stderr


def test_a_command_uses_the_server_that_already_runs(home):
    with EmbeddedPostgres(home, is_durable=False) as server:
        provision(server.url(ADMIN, "postgres"), server.passwords)
        migrate(server.url(OWNER))

        done = db(home, "migrate")

        assert done.returncode == 0, done.stderr
        assert server.is_running


def test_a_damaged_schema_fails_the_check_with_exit_code_1(home):
    assert db(home, "init").returncode == 0
    with EmbeddedPostgres(home) as server:
        DatabaseForTest(server, DATABASE).rows("DROP POLICY tenant ON orders")

    checked = db(home, "check")

    assert checked.returncode == 1
    assert "WRONG\ttenancy" in checked.stdout
    assert "without a policy by app.user_id: orders" in checked.stdout


def test_a_real_server_is_made_ready_by_its_administrator(home):
    """The real server is another embedded one: to the command it is an address."""
    with home_folder(memory_folder()) as elsewhere, EmbeddedPostgres(elsewhere, is_durable=False) as server:
        url = server.url(ADMIN, "postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE company")

        made = db(home, "init", DATABASE_URL=server.url(ADMIN, "company"))

        assert made.returncode == 4
        assert "permission denied" in made.stderr
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE company OWNER TO {OWNER}")
        made = db(home, "init", DATABASE_URL=server.url(ADMIN, "company"))
        assert made.returncode == 0, made.stderr
        assert not (home / "pg" / "data").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///x.db", "works on PostgreSQL 15 or newer only"),
        ("nonsense", "Write it as postgresql://"),
        ("postgresql://u:secret-pw@127.0.0.1:1/x", "Check DATABASE_URL, that the server runs"),
    ],
)
def test_a_wrong_address_is_explained_and_never_shows_its_password(home, url, words):
    refused = db(home, "check", DATABASE_URL=url)

    assert refused.returncode == 4, refused.stderr
    assert words in refused.stderr
    assert "secret-pw" not in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr


def test_reset_wants_the_folder_to_be_named(home):
    assert db(home, "init").returncode == 0

    refused = db(home, "reset", "--confirm", "/elsewhere")
    kept = (home / "pg" / "data").is_dir()
    done = db(home, "reset", "--confirm", home)

    assert (refused.returncode, kept) == (2, True)
    assert "Nothing was deleted" in refused.stderr
    assert done.returncode == 0
    assert not (home / "pg" / "data").exists()
    assert db(home, "init").returncode == 0


def test_data_of_16_are_moved_to_18_with_every_row_and_the_old_folder_is_kept(home):
    old, new = min(WHEEL_FOLDERS), max(WHEEL_FOLDERS)
    with EmbeddedPostgres(home, major=old) as server:
        provision(server.url(ADMIN, "postgres"), server.passwords)
        migrate(server.url(OWNER))
        account = with_facts(server)

    moved = db(home, "upgrade")

    assert moved.returncode == 0, moved.stderr
    assert f"PostgreSQL {old} to {new}" in moved.stderr
    with EmbeddedPostgres(home) as server:
        assert DatabaseForTest(server, DATABASE).rows("SELECT account_id FROM account_leases") == [(account,)]
        version = DatabaseForTest(server, DATABASE).rows("SHOW server_version_num")[0][0]
    assert int(version) // 10_000 == new
    assert len(list((home / "pg").glob(f"data-{old}-*"))) == 1
    checked = db(home, "check")
    assert checked.returncode == 0, checked.stdout
    assert "of that version already" in db(home, "upgrade").stderr
