"""A real PostgreSQL for tests: one embedded server a process, one database a test, cloned from a migrated template.

The server syncs nothing to disk, which a test of crashes must not use: those start a server of their own.
"""

import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.roles import ADMIN, AGENT, APP, OWNER, provision
from tradesentry.database.schema import migrate

TEMPLATE = "ts_template"
_numbers = itertools.count(1)


@contextmanager
def home_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder for a server that any account may enter; pytest's own are closed to the server's when run as root."""
    folder = Path(tempfile.mkdtemp(prefix="ts-test-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def memory_folder() -> Path | None:
    """Where files cost no disk, if there is room: a database a test is thousands of files."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 3_000_000_000
    return memory if has_room else None


def asked_major() -> int | None:
    """The PostgreSQL version that the suite was asked to run on (`make test PG=16`)."""
    value = os.environ.get("TRADESENTRY_TEST_PG")
    return int(value) if value else None


@dataclass(frozen=True)
class DatabaseForTest:
    """A migrated database of its own."""

    server: EmbeddedPostgres
    name: str

    def url(self, role: str = OWNER) -> str:
        """The address for a role."""
        return self.server.url(role, self.name)

    def rows(self, statement: str, *values: object, role: str = OWNER, user: uuid.UUID | None = None) -> list[tuple]:
        """Run one statement in a transaction of its own and return its rows."""
        with psycopg.connect(self.url(role)) as connection:
            if user is not None:
                connection.execute("SELECT set_config('app.user_id', %s, true)", [str(user)])
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def user(self) -> uuid.UUID:
        """Add a user and return its id."""
        user_id = uuid.uuid4()
        statement = "INSERT INTO users (id, email) VALUES (%s, %s)"
        self.rows(statement, user_id, f"{user_id}@example.com", role=APP, user=user_id)
        return user_id

    def link(self, user_id: uuid.UUID, *, broker: str = "paper", environment: str = "paper") -> uuid.UUID:
        """Link an account of a user, as the API does, and return its id."""
        account_id = uuid.uuid4()
        self.rows(
            "INSERT INTO broker_links (id, user_id, broker, account_ref, environment) VALUES (%s, %s, %s, %s, %s)",
            account_id, user_id, broker, str(account_id), environment, role=APP, user=user_id,
        )  # fmt: skip
        return account_id

    def run(self, user_id: uuid.UUID, account_id: uuid.UUID, *, strategy: str = "breakout") -> uuid.UUID:
        """Launch a run, as the API does, and return its id."""
        run_id = uuid.uuid4()
        self.rows(
            "INSERT INTO live_runs (id, user_id, account_id, strategy, code_digest, config)"
            " VALUES (%s, %s, %s, %s, 'd', '{}')",
            run_id, user_id, account_id, strategy, role=APP, user=user_id,
        )  # fmt: skip
        return run_id

    def agent_url(self) -> str:
        """The address that an agent uses."""
        return self.url(AGENT)


def provisioned(server: EmbeddedPostgres) -> None:
    """Make the roles and the migrated template of a server that runs."""
    provision(server.url(ADMIN, "postgres"), server.passwords, database=TEMPLATE)
    migrate(server.url(OWNER, TEMPLATE))


def cloned(server: EmbeddedPostgres) -> DatabaseForTest:
    """Return a new database of a server, cloned from the template."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server.url(ADMIN, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {OWNER}")
        connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        connection.execute(f"GRANT CONNECT ON DATABASE {name} TO ts_app, ts_agent, ts_worker, ts_relay, ts_events,"
                           " ts_readonly")  # fmt: skip
    return DatabaseForTest(server, name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The embedded server of this test process."""
    with home_folder(memory_folder()) as home, EmbeddedPostgres(home, major=asked_major(), is_durable=False) as server:
        provisioned(server)
        yield server


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[DatabaseForTest]:
    """A migrated database of this test alone."""
    made = cloned(postgres)
    yield made
    with psycopg.connect(postgres.url(ADMIN, "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {made.name} WITH (FORCE)")
