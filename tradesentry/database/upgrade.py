"""Move the embedded data to a newer PostgreSQL with `pg_upgrade`, keeping the old data folder until it is removed.

Order: lock HOME, end a server that was left behind, check and start the old version once (a crashed folder is not
upgraded), save a dump, make a new folder with the newer `initdb`, copy, swap names. Whatever fails, the old folder is
what the next start finds.
"""

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from tradesentry.core.domain.errors import DatabaseError
from tradesentry.core.utils.logger import get_logger
from tradesentry.database.backup import backup
from tradesentry.database.binaries import Binaries, find_binaries
from tradesentry.database.embedded import EmbeddedPostgres
from tradesentry.database.postmaster import data_major
from tradesentry.database.roles import ADMIN, DATABASE
from tradesentry.database.server import Server

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade did."""

    old_major: int
    new_major: int
    kept: Path
    """The old data folder."""
    dump: Path


def upgrade(home: Path, *, major: int | None = None, bin_dir: Path | None = None) -> Upgraded | None:
    """Move the embedded data of `home` to a newer version; None when they are there already.

    Args:
        home: Folder of the installation.
        major: The version; the newest one found when None.
        bin_dir: Programs of the new version, when they are not the wheel's.

    Raises:
        DatabaseError: There are no data, another process runs them, or `pg_upgrade` refused.
    """
    server = EmbeddedPostgres(home)
    data = server.placement.data
    old_major = data_major(data)
    if old_major is None:
        raise DatabaseError(f"There are no data in {data} to upgrade. Run: tradesentry db init", code="no_data")
    new = find_binaries(major, folder=bin_dir)
    if new.major < old_major:
        raise DatabaseError(
            f"The data are of PostgreSQL {old_major} and cannot go back to {new.major}. Restore a backup into a new "
            "TRADESENTRY_HOME instead.",
            code="downgrade",
        )
    if new.major == old_major:
        return None
    old = server.binaries()
    with server:
        dump = home / "pg" / f"before-{new.major}.dump"
        backup(Server(server.url(ADMIN, "postgres"), DATABASE, server.passwords, lambda: old), dump)
    server.lock()
    try:
        kept = _moved(server, old, server.reachable(new))
    finally:
        server.stop()
    log.info("postgres_upgraded", old_major=old_major, new_major=new.major)
    return Upgraded(old_major, new.major, kept, dump)


def _moved(server: EmbeddedPostgres, old: Binaries, new: Binaries) -> Path:
    root, data, run_as = server.placement.root, server.placement.data, server.placement.run_as
    fresh, work = root / f"data-{new.major}", root / f"upgrade-{uuid.uuid4().hex[:8]}"
    kept = root / f"data-{old.major}-{uuid.uuid4().hex[:8]}"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        server.make_data(new, fresh)
        work.mkdir(mode=0o700)
        if run_as is not None:
            os.chown(work, run_as.uid, run_as.gid)
        done = server.run(
            [
                new.program("pg_upgrade"), "-b", old.folder, "-B", new.folder, "-d", data, "-D", fresh, "-U", ADMIN,
                "--socketdir", work, "--copy",
            ],
            cwd=work,
            extra_environment={"PGPASSWORD": server.passwords[ADMIN]},
        )  # fmt: skip
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()[-1200:]
            raise DatabaseError(
                f"pg_upgrade from {old.major} to {new.major} refused:\n{said}\nThe old data are untouched in {data}.",
                code="pg_upgrade",
            )
        data.rename(kept)
        fresh.rename(data)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(fresh, ignore_errors=True)
    return kept
