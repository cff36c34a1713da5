"""The roles of the database, and how an administrator makes them.

Every process connects as its own role and may do only what that role needs; tenancy is row-level security, which holds
for all of them (no role is a superuser, bypasses policies or, but for `ts_owner`, owns a table). What each may do to
which table is part of the migrations.
"""

from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg import sql

ADMIN: Final = "postgres"
"""Superuser of the embedded server; used to make roles and databases, by no service."""
OWNER: Final = "ts_owner"
"""Owns all tables: migrations, backup and restore."""
APP: Final = "ts_app"
"""The API."""
WORKER: Final = "ts_worker"
"""Batch jobs."""
AGENT: Final = "ts_agent"
"""Live runs: leases and the journal."""
RELAY: Final = "ts_relay"
"""Numbers the outbox and delivers it."""
EVENTS: Final = "ts_events"
"""Reads the numbered outbox for the API's event stream."""
READONLY: Final = "ts_readonly"
"""Reports."""
ROLES: Final = (OWNER, APP, WORKER, AGENT, RELAY, EVENTS, READONLY)
DATABASE: Final = "tradesentry"
_IDLE_SECONDS = 30


def provision(url: str, passwords: Mapping[str, str], *, database: str = DATABASE) -> None:
    """Make the roles and the database that are missing; repeating it changes nothing but passwords.

    Args:
        url: Address of an administrator, of any database of the server.
        passwords: By role, for all of ROLES.
        database: Name of the database.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('tradesentry.provision'))")
        known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        for role in ROLES:
            verb = sql.SQL("ALTER" if role in known else "CREATE")
            options = sql.SQL("LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOREPLICATION")
            connection.execute(
                sql.SQL("{} ROLE {} {} PASSWORD {}").format(
                    verb, sql.Identifier(role), options, sql.Literal(passwords[role])
                )
            )
            connection.execute(sql.SQL("ALTER ROLE {} SET search_path = public, queue").format(sql.Identifier(role)))
            connection.execute(
                sql.SQL("ALTER ROLE {} SET idle_in_transaction_session_timeout = {}").format(
                    sql.Identifier(role), sql.Literal(f"{_IDLE_SECONDS}s")
                )
            )
        create_database(connection, database)


def create_database(connection: psycopg.Connection[tuple[object, ...]], database: str) -> None:
    """Make a database that only our roles may enter, owned by `ts_owner`, unless it exists.

    Args:
        connection: Of an administrator, with autocommit.
        database: Its name.
    """
    name = sql.Identifier(database)
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        connection.execute(
            sql.SQL(
                "CREATE DATABASE {} OWNER {} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
            ).format(name, sql.Identifier(OWNER))
        )
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    connection.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.SQL(", ").join(map(sql.Identifier, ROLES)))
    )
