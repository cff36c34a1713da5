"""Run PostgreSQL's own client programs with the password where no process list shows it."""

import os
import subprocess
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from tradesentry.core.domain.errors import DatabaseError
from tradesentry.database.binaries import Binaries


def client_environment(url: str) -> dict[str, str]:
    """Return the environment that points a client program at a database.

    Args:
        url: Address, password included.
    """
    parsed = sa.make_url(url)
    values: Mapping[str, str | None] = {
        "PGHOST": parsed.host,
        "PGPORT": str(parsed.port or 5432),
        "PGUSER": parsed.username,
        "PGPASSWORD": None if parsed.password is None else str(parsed.password),
        "PGDATABASE": parsed.database,
        "PGOPTIONS": "-c idle_in_transaction_session_timeout=0",
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TERM", "SYSTEMROOT") if name in os.environ}
    query = {f"PG{name.upper()}": str(value) for name, value in parsed.query.items()}
    return kept | {name: value for name, value in values.items() if value is not None} | query


def run_client(programs: Binaries, name: str, url: str, arguments: Sequence[str]) -> bytes:
    """Run a client program such as `pg_dump` and return what it wrote.

    Args:
        programs: Where it is.
        name: Which one.
        url: Address of the database.
        arguments: Of the program.

    Raises:
        DatabaseError: It failed; the message holds what it said.
    """
    done = subprocess.run(
        [str(programs.program(name)), *arguments], capture_output=True, check=False, env=client_environment(url)
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-800:]
        raise DatabaseError(
            f"{name} of PostgreSQL {programs.major} failed: {said}. If it is older than the server, name newer "
            "programs in TRADESENTRY_PG_BIN; if the disk is full, free space.",
            code=f"{name}_failed",
        )
    return done.stdout
