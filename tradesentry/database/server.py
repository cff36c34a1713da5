"""The server of this installation: the embedded one or a real one, with the address of each role.

Commands use it for a moment. An embedded server that already runs (under `tradesentry up`) is used as it is; else it is
started and stopped again. With `DATABASE_URL` nothing is started; the address names an administrator for `db init` and
may name any role later, because the passwords of our roles are in HOME.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tradesentry.core.domain.errors import DatabaseError
from tradesentry.database.binaries import Binaries, find_binaries
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.passwords import ensure_passwords, read_passwords
from tradesentry.database.placement import place
from tradesentry.database.postmaster import last_port, leftover_pid
from tradesentry.database.roles import ADMIN, DATABASE, OWNER, ROLES, provision
from tradesentry.database.schema import migrate, sync_url
from tradesentry.database.session import role_url


@dataclass(frozen=True, slots=True)
class Server:
    """Where the database is, for every role."""

    admin_url: str
    """Of an administrator, any database."""
    database: str
    passwords: dict[str, str]
    find_programs: Callable[[], Binaries]

    def url(self, role: str = OWNER, *, database: str | None = None) -> str:
        """Return the address for a role.

        Raises:
            DatabaseError: This installation does not know the role's password.
        """
        if role not in self.passwords:
            raise DatabaseError(
                f"The password of {role} is not known here. Run `tradesentry db init` with an administrator's "
                "DATABASE_URL, or copy secrets/postgres.json of the host where that was done.",
                code="no_password",
            )
        return role_url(self.admin_url, role, self.passwords[role], database=database or self.database)

    def programs(self) -> Binaries:
        """Return PostgreSQL's programs, for dumps and restores."""
        return self.find_programs()

    def initialize(self) -> None:
        """Make roles and database, and migrate; repeating it is harmless."""
        provision(self.admin_url, self.passwords, database=self.database)
        migrate(self.url())


@contextmanager
def open_server(home: Path, *, database_url: str | None = None, bin_dir: Path | None = None) -> Iterator[Server]:
    """Lend the server of an installation, started if it has to be.

    Args:
        home: Folder of the installation.
        database_url: A real server; the embedded one when None.
        bin_dir: PostgreSQL's programs to use.

    Raises:
        DatabaseError: It cannot be started or reached.
    """
    if database_url is not None:
        yield _real(home, database_url, bin_dir)
        return
    server = EmbeddedPostgres(home, bin_dir=bin_dir)
    data = server.placement.data
    if leftover_pid(data) is not None and is_locked(server):
        server.passwords = read_passwords(server.placement.password_file)
        server.port = last_port(server.placement.port_file)
        yield server_of(server)
        return
    with server:
        yield server_of(server)


def is_locked(server: EmbeddedPostgres) -> bool:
    """Say whether another process runs the server of this HOME."""
    try:
        server.lock()
    except DatabaseError:
        return True
    server.stop()
    return False


def server_of(server: EmbeddedPostgres) -> Server:
    """Return the addresses of an embedded server that runs.

    Args:
        server: Started by this process or another.
    """
    return Server(server.url(ADMIN, "postgres"), DATABASE, server.passwords, lambda: client_programs(server))


def client_programs(server: EmbeddedPostgres) -> Binaries:
    """Return programs for dumps: the server's own, or the wheel's where a bare server has none.

    Args:
        server: The embedded server.
    """
    own = server.binaries()
    return own if own.has("pg_dump") else find_binaries()


def _real(home: Path, database_url: str, bin_dir: Path | None) -> Server:
    try:
        parsed = sa.make_url(sync_url(database_url))
    except sa.exc.ArgumentError as error:
        raise DatabaseError(
            "DATABASE_URL is no address. Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE.", code="bad_url"
        ) from error
    if not parsed.drivername.startswith("postgresql"):
        raise DatabaseError(
            f"DATABASE_URL is of {parsed.drivername!r}; TradeSentry works on PostgreSQL 15 or newer only. Write it as "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or leave it out to use the embedded one.",
            code="bad_url",
        )
    passwords = ensure_passwords(place(home).password_file, ROLES, may_create=True)
    if parsed.username in ROLES and parsed.password is not None:
        passwords |= {parsed.username: str(parsed.password)}
    plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    return Server(plain, parsed.database or DATABASE, passwords, lambda: find_binaries(folder=bin_dir))
