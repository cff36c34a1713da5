"""Save a database to a file, and load it again beside the live one.

A backup is taken by `ts_owner`, whose policies show it every row; anybody else's would hold one tenant or nothing. A
restore fills a fresh database and then swaps names: rules and triggers are switched on after the data. It also draws
each account's `instance` anew and lifts every epoch far above what any agent may still hold, because orders sent after
the backup exist at the venue and nowhere else.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tradesentry.core.domain.errors import DatabaseError
from tradesentry.database.clients import run_client
from tradesentry.database.roles import create_database
from tradesentry.database.schema import migrate
from tradesentry.database.server import Server

EPOCH_JUMP = 1_000_000
_REDRAW = """
UPDATE account_leases l SET owner = NULL, lease_until = NULL, epoch = l.epoch + %s, instance = d.instance
  FROM (SELECT account_id, 1 + (row_number() OVER (ORDER BY random()) + floor(random() * 32767)::bigint) %% 32767
               AS instance FROM account_leases) d
 WHERE d.account_id = l.account_id
"""
_HALT = """
UPDATE account_states s SET trading_state = 'halted', return_state = NULL, epoch = l.epoch,
       reason = 'restored from a backup: a person confirms', updated_at = now()
  FROM account_leases l WHERE l.account_id = s.account_id
"""


def backup(server: Server, file: Path) -> int:
    """Write a backup; the file is complete or absent. Return its size in bytes.

    Args:
        server: Whose database is saved.
        file: Where to; an existing file is replaced when the new one is complete.

    Raises:
        DatabaseError: `pg_dump` failed or the file cannot be written.
    """
    half = file.with_name(f".{file.name}.half")
    try:
        half.parent.mkdir(parents=True, exist_ok=True)
        half.touch(mode=0o600)
        run_client(server.programs(), "pg_dump", server.url(), ["-Fc", "--enable-row-security", f"--file={half}"])
        half.replace(file)
    except OSError as error:
        raise DatabaseError(
            f"The backup {file} cannot be written: {error.strerror or error}. Choose another place.", code="backup"
        ) from error
    finally:
        half.unlink(missing_ok=True)
    return file.stat().st_size


def restore(server: Server, file: Path) -> str:
    """Load a backup into a fresh database and put it in the place of the live one; return the old one's new name.

    Args:
        server: Whose database is replaced.
        file: Written by `backup`.

    Raises:
        DatabaseError: The file cannot be read, or processes still use the live database.
    """
    if not file.is_file():
        raise DatabaseError(f"There is no backup {file}. Check the path.", code="no_backup")
    stamp = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
    fresh, old = f"{server.database}_new_{stamp}", f"{server.database}_before_{stamp}"
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        _refuse_sessions(admin, server.database)
        create_database(admin, fresh)
        try:
            url = server.url(database=fresh)
            arguments = ["--enable-row-security", "--exit-on-error", f"--dbname={fresh}", str(file)]
            run_client(server.programs(), "pg_restore", url, arguments)
            migrate(url)
            with psycopg.connect(url) as connection:
                connection.execute(_REDRAW, [EPOCH_JUMP])
                connection.execute(_HALT)
            _swap(admin, server.database, fresh, old)
        except BaseException:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(fresh)))
            raise
    return old


def _refuse_sessions(admin: "psycopg.Connection[Any]", database: str) -> None:
    row = admin.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename = ANY(%s)",
        [database, ["ts_agent", "ts_app", "ts_worker", "ts_relay", "ts_events"]],
    ).fetchone()
    if row and row[0]:
        raise DatabaseError(
            f"{row[0]} connections of TradeSentry use the database {database}; a restore would pull it from "
            "under them. Stop everything first: tradesentry down",
            code="in_use",
        )


def _swap(admin: "psycopg.Connection[Any]", live: str, fresh: str, old: str) -> None:
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    exists = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [live]).fetchone()
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)", [[live, fresh]])
    if exists:
        admin.execute(rename.format(sql.Identifier(live), sql.Identifier(old)))
    admin.execute(rename.format(sql.Identifier(fresh), sql.Identifier(live)))
