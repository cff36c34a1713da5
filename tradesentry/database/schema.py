"""Bring a database to the present schema and prove that it is there.

Migrations run as `ts_owner`, one process at a time, and give up on a lock that is held rather than stop everybody. A
program that finds another head than its own refuses to work on it.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tradesentry.core.domain.errors import DatabaseError
from tradesentry.database import fold_models, journal_models
from tradesentry.database.binaries import Binaries
from tradesentry.database.clients import run_client
from tradesentry.database.models import Base

FOLDER = Path(str(files("tradesentry.database") / "migrations"))
SCHEMA_FILE = FOLDER.parent / "schema.sql"
MODELS = (fold_models, journal_models)
"""Imported so that their tables are known."""
LOCK_TIMEOUT = "3s"
PARTITION = re.compile(r"_(default|\d{4}_\d{2}(_\d{2})?)$")
HEADER = """\
-- The schema that all migrations lead to. Written by `python scripts/init_db.py --write-schema`; do not edit.
SET check_function_bodies = off;
"""


def sync_url(url: str) -> str:
    """Return an address in the form that SQLAlchemy takes for psycopg."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)


def head() -> str:
    """Return the newest migration of this program."""
    newest = ScriptDirectory(str(FOLDER)).get_current_head()
    if newest is None:
        raise DatabaseError("This installation holds no migrations. Install TradeSentry again.", code="no_migrations")
    return newest


def migrate(url: str, *, to: str = "head") -> None:
    """Bring a database to a migration and make the partitions of the coming months.

    Args:
        url: Address of the database for `ts_owner`.
        to: A migration, `head`, or `base` for an empty database.

    Raises:
        DatabaseError: Another process holds a lock, or the database is of a newer program.
    """
    engine = sa.create_engine(sync_url(url), poolclass=sa.pool.NullPool)
    try:
        with engine.connect() as own:
            own.execute(sa.text("SELECT pg_advisory_lock(hashtext('tradesentry.migrate'))"))
            own.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            own.commit()
            _refuse_newer(own)
            config = Config(stdout=io.StringIO())
            config.set_main_option("script_location", str(FOLDER))
            config.attributes["connection"] = own
            is_back = to == "base" or to.startswith("-")
            (command.downgrade if is_back else command.upgrade)(config, to)
            own.commit()
            if not is_back:
                own.execute(sa.text("SELECT ensure_partitions()"))
                own.commit()
    except sa.exc.OperationalError as error:
        raise DatabaseError(
            f"The database could not be migrated: {str(error.orig).strip()}. If a lock was held, stop the other "
            "processes or try again in a quiet moment; nothing was half done.",
            code="migrate",
        ) from error
    finally:
        engine.dispose()


def current(url: str) -> str | None:
    """Return the migration that a database is at; None when it has none.

    Args:
        url: Address of the database, for any role that owns or may read it.
    """
    engine = sa.create_engine(sync_url(url), poolclass=sa.pool.NullPool)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def _refuse_newer(connection: sa.Connection) -> None:
    at = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    known = {script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions()}
    if at is not None and at not in known:
        raise DatabaseError(
            f"The database is at migration {at}, which this program does not know (its newest is {head()}). Install "
            "the newer TradeSentry that made it, or restore a backup of before.",
            code="newer_schema",
        )


def is_table_of_models(name: str | None, kind: str, _parents: object) -> bool:
    """Leave out what migrations do not make from models: partitions, made by date, and Alembic's own table."""
    return not (kind == "table" and name is not None and (PARTITION.search(name) or name == "alembic_version"))


def differences(url: str) -> list[str]:
    """Return what `models.py` and a database do not agree on, in words; empty when they agree.

    Args:
        url: Address of the database for `ts_owner`.
    """
    engine = sa.create_engine(sync_url(url), poolclass=sa.pool.NullPool)
    try:
        with engine.connect() as connection:
            options = {"compare_type": True, "include_name": is_table_of_models}
            found = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    finally:
        engine.dispose()
    return [str(difference) for difference in found]


def dump(url: str, programs: Binaries, *, excluding_partitions: bool = True) -> str:
    """Return the schema of a database as SQL, the same text for equal schemas.

    Args:
        url: Address of the database for `ts_owner`.
        programs: Of the server's major or newer.
        excluding_partitions: Leave out partitions that are made by date.

    Raises:
        DatabaseError: pg_dump refused.
    """
    options = ["--schema-only", "--no-comments", "--exclude-table=alembic_version"]
    if excluding_partitions:
        options += [f"--exclude-table={name}_[0-9]*" for name in ("venue_events", "equity_points", "outbox")]
    return normalized(run_client(programs, "pg_dump", url, options).decode())


def normalized(text: str) -> str:
    """Return a dump without what differs between equal schemas: versions, random marks, settings, blank lines."""
    dropped = re.compile(r"^(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict)")
    # An upgraded server names the NOT NULL constraints that older ones had without a name.
    lines = [re.sub(r"CONSTRAINT \S+ NOT NULL", "NOT NULL", line).rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line and not dropped.match(line)) + "\n"


def schema_text(url: str, programs: Binaries) -> str:
    """Return what `schema.sql` should hold.

    Args:
        url: Address of a migrated database for `ts_owner`.
        programs: Of the server's major or newer.
    """
    return HEADER + dump(url, programs)


def load(url: str) -> None:
    """Load `schema.sql` into an empty database.

    Args:
        url: Address of the database for `ts_owner`.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA_FILE.read_bytes())


@contextmanager
def scratch_database(admin_url: str, name: str) -> Iterator[None]:
    """Make an empty database owned by `ts_owner` for a while.

    Args:
        admin_url: Address for an administrator.
        name: Of the database.
    """
    from tradesentry.database.roles import create_database

    with psycopg.connect(admin_url, autocommit=True) as connection:
        create_database(connection, name)
    try:
        yield
    finally:
        with psycopg.connect(admin_url, autocommit=True) as connection:
            drop = psycopg.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(drop.format(psycopg.sql.Identifier(name)))
