"""Connect: as whom, for which tenant, and what to do when the server goes away.

Use cases run on SQLAlchemy over psycopg, the journal's few hot statements on asyncpg. A transaction belongs to one
tenant, named by `app.user_id` inside the transaction only, so that nothing leaks through a pool. A role that policies
do not bind is refused.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg
import psycopg
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from tradesentry.core.domain.errors import DatabaseError, JournalUnavailable
from tradesentry.core.execution.journal_rows import Durability, json_text
from tradesentry.database.schema import head, sync_url

T = TypeVar("T")
OLDEST_SERVER: Final = 150_000
_TRIES: Final = 5
_BOUNDS: Final = {"idle_in_transaction_session_timeout": "5s", "lock_timeout": "2s"}
"""A transaction whose owner has frozen keeps its locks, and neither could anybody take the account over nor trade
another one of the same book: it ends after 5 s, half a lease. A statement that waits for a lock gives up when its
client does, after 2 s; the server would go on waiting for a client that has left, and keep what it has locked."""


def role_url(url: str, role: str, password: str, *, database: str | None = None) -> str:
    """Return an address for another role, and another database if asked.

    Args:
        url: Any address of the server.
        role: Who connects.
        password: Of that role.
        database: Which database; that of `url` when None.
    """
    parsed = sa.make_url(sync_url(url)).set(username=role, password=password, drivername="postgresql")
    if database is not None:
        parsed = parsed.set(database=database)
    return parsed.render_as_string(hide_password=False)


def create_engine(url: str, *, n_connections: int = 5) -> AsyncEngine:
    """Return an engine for use cases.

    Args:
        url: Address for the process's own role.
        n_connections: Size of the pool.
    """
    return create_async_engine(sync_url(url), pool_size=n_connections, max_overflow=0, pool_pre_ping=True)


@asynccontextmanager
async def tenant_session(engine: AsyncEngine, user_id: UUID) -> AsyncIterator[AsyncSession]:
    """Open one transaction of a tenant; leaving the block commits.

    Args:
        engine: Of `create_engine`.
        user_id: The tenant; no row of another one is seen or written.
    """
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        await session.execute(sa.text("SELECT set_config('app.user_id', :user, true)"), {"user": str(user_id)})
        yield session


async def create_pool(url: str, *, n_connections: int = 10, timeout_seconds: float = 5.0) -> "asyncpg.Pool[Any]":
    """Return a pool for the journal.

    A connection comes back as it is: a round trip after every commit would only take back what transactions have taken
    back already. Whoever leaves something else on one, a lock or a setting, takes it back himself.

    Args:
        url: Address for `ts_agent`.
        n_connections: Largest number of connections.
        timeout_seconds: Longest wait for the server.

    Raises:
        JournalUnavailable: The server does not answer.
    """
    try:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=n_connections,
            connect=_connect,
            init=_prepare,
            reset=_as_it_is,
            timeout=timeout_seconds,
            max_inactive_connection_lifetime=60.0,
            server_settings={"application_name": "tradesentry", "timezone": "UTC"} | _BOUNDS,
        )
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise unavailable(error) from error


async def _connect(*values: Any, **named: Any) -> "asyncpg.Connection[Any]":
    """Connect in a task of its own: the driver leaves an error behind that nobody takes when it is canceled half-way.

    Whoever waits may be canceled at any time. The attempt then goes on to its own timeout, and its end is looked at.
    """
    attempt = asyncio.ensure_future(asyncpg.connect(*values, **named))
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        attempt.add_done_callback(_forget)
        raise


def _forget(attempt: "asyncio.Future[asyncpg.Connection[Any]]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().terminate()


async def _as_it_is(_connection: "asyncpg.Connection[Any]") -> None:
    """Do nothing with a connection that comes back; the driver has ended what was open on it."""


async def _prepare(connection: "asyncpg.Connection[Any]") -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=json_text,
        decoder=json.loads,
    )


def unavailable(error: BaseException) -> JournalUnavailable:
    """Return what a lost or missing server means for trading."""
    reason = str(error).strip() or type(error).__name__
    return JournalUnavailable(
        f"The database did not answer or did not confirm: {reason}. Nothing may be sent until it is back and the "
        "account is reconciled. Is PostgreSQL running, and is the disk full?"
    )


def is_lost(error: BaseException) -> bool:
    """Say whether an error means that the server or the connection is gone, not that the statement was wrong.

    SQLSTATE class 08 and 57P0x, what drivers raise when a socket breaks, and a lock that did not come (55P03): nobody
    answered in time.
    """
    state = getattr(error, "sqlstate", None) or ""
    if state.startswith(("08", "57P0", "53", "55P03")):
        return True
    if state:
        return False
    kinds = (OSError, TimeoutError, asyncpg.InterfaceError, psycopg.OperationalError, asyncpg.InternalClientError)
    return isinstance(error, kinds)


async def retried(work: Callable[[], Awaitable[T]], *, wait: Callable[[float], Awaitable[None]]) -> T:
    """Return what an idempotent transaction returns, repeating it whole when the server went away.

    Args:
        work: The transaction; it must be harmless to run twice.
        wait: Sleeps that many seconds.

    Raises:
        JournalUnavailable: The server stayed away.
    """
    for n in range(_TRIES):
        try:
            return await work()
        except Exception as error:
            cause = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig is not None else error
            if not is_lost(cause):
                raise
            if n == _TRIES - 1:
                raise unavailable(cause) from error
        await wait(0.1 * 2**n)
    raise AssertionError("unreachable")


@contextmanager
def driver_errors() -> Iterator[None]:
    """Turn what the drivers raise into words for the person at the command line; a password is never part of them.

    Raises:
        DatabaseError: The server went away or refused.
    """
    try:
        yield
    except (psycopg.Error, sa.exc.DBAPIError) as error:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        raise DatabaseError(
            f"PostgreSQL refused or went away: {str(cause).strip()}. Check DATABASE_URL, that the server runs and lets "
            "this host in, and that the role may do this (`db init` needs an administrator).",
            code="refused",
        ) from error


def refuse_powerful_role(url: str) -> None:
    """Refuse an address whose role is above row-level security, or whose schema is not this program's.

    Args:
        url: Address that a service is about to use.

    Raises:
        DatabaseError: The role is a superuser, bypasses policies or owns tables; the server is too old; the database
            is not migrated.
    """
    with connect(url) as connection:
        role, is_super, bypasses, n_owned, version = connection.execute(
            "SELECT rolname, rolsuper, rolbypassrls, (SELECT count(*) FROM pg_class WHERE relowner = r.oid AND relkind"
            " IN ('r', 'p')), current_setting('server_version_num')::int FROM pg_roles r WHERE rolname = current_user"
        ).fetchone() or ("", True, True, 0, 0)
        if is_super or bypasses or n_owned:
            raise DatabaseError(
                f"The role {role!r} of DATABASE_URL is above row-level security (superuser {is_super}, bypasses "
                f"{bypasses}, owns {n_owned} tables), so one user could see another's. Use the role of the service: "
                "`tradesentry db init` makes them.",
                code="powerful_role",
            )
        if version < OLDEST_SERVER:
            raise DatabaseError(
                f"The server is PostgreSQL {version // 10_000}; 15 or newer is needed. Upgrade it.", code="old_server"
            )
        at = connection.execute("SELECT to_regclass('public.account_leases') IS NOT NULL").fetchone()
        if at != (True,):
            raise DatabaseError(
                f"The database holds no schema (its head would be {head()}). Run `tradesentry db migrate`.",
                code="not_migrated",
            )


def connect(url: str) -> "psycopg.Connection[Any]":
    """Return a plain connection.

    Args:
        url: Address.

    Raises:
        DatabaseError: The server cannot be reached or refuses; the message never shows a password.
    """
    try:
        return psycopg.connect(url, connect_timeout=10, autocommit=True)
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        parts = {name: value for name, value in _parts(url).items() if name in {"host", "port", "dbname", "user"}}
        where = " ".join(f"{name}={value}" for name, value in parts.items()) or "DATABASE_URL"
        raise DatabaseError(
            f"PostgreSQL cannot be used ({where}): {str(error).strip()}. Check DATABASE_URL, and that the server runs "
            "and lets this host in.",
            code="unreachable",
        ) from None


def _parts(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        return {}


def durability(url: str) -> Durability:
    """Return whether a confirmed commit of that server survives a crash.

    Args:
        url: Address, any role.
    """
    with connect(url) as connection:
        row = connection.execute("SELECT current_setting('fsync'), current_setting('full_page_writes')").fetchone()
        return Durability(*(value == "on" for value in row or ("off", "off")))
