"""Decide where the embedded PostgreSQL keeps its data and which account it runs under.

PostgreSQL refuses to run as root. When root starts it, it drops to the owner of an existing data folder, else to
`nobody`; no account is created and no mode of a parent folder is changed. If that account cannot enter HOME, data and
programs lie in the system's state folder and HOME says where.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from tradesentry.core.domain.errors import DatabaseError
from tradesentry.database.binaries import is_reachable

SYSTEM_STATE = Path("/var/lib/tradesentry")
ACCOUNT = "nobody"


@dataclass(frozen=True, slots=True)
class RunAs:
    """The account that PostgreSQL's processes belong to."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an installation's PostgreSQL lives."""

    home: Path
    root: Path
    """HOME/pg, or its stand-in in the system's state folder."""
    run_as: RunAs | None
    """None: the account of this process."""

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.root / "data"

    @property
    def lock_file(self) -> Path:
        """Locked by the one process that runs the server."""
        return self.home / "pg" / "lock"

    @property
    def port_file(self) -> Path:
        """Port of the last start."""
        return self.home / "pg" / "port"

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self.home / "logs" / "postgres.log"

    @property
    def password_file(self) -> Path:
        """Random passwords of all roles, mode 0600."""
        return self.home / "secrets" / "postgres.json"


def place(home: Path, *, system_state: Path = SYSTEM_STATE) -> Placement:
    """Return where the PostgreSQL of `home` lives, making the folders that are missing.

    Args:
        home: Folder of the installation (TRADESENTRY_HOME).
        system_state: Used when the account of the server cannot enter HOME.

    Raises:
        DatabaseError: A folder cannot be made or belongs to somebody else.
    """
    home = home.absolute()
    try:
        for folder, mode in ((home, 0o755), (home / "pg", 0o711), (home / "logs", 0o755), (home / "secrets", 0o700)):
            if not folder.is_dir():
                folder.mkdir(parents=True, mode=mode)
                folder.chmod(mode)
        root = _recorded_root(home)
        if not _is_root():
            return _checked(Placement(home, root or home / "pg", None))
        run_as = _owner(root or home / "pg") or _nobody()
        if root is None:
            root = _reachable_root(home, run_as, system_state)
        return Placement(home, root, run_as)
    except OSError as error:
        raise DatabaseError(
            f"The folder {error.filename or home} for the database cannot be made or read: {error.strerror or error}. "
            "Correct its permissions, or set TRADESENTRY_HOME to a folder of your own.",
            code="home_unusable",
        ) from error


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _recorded_root(home: Path) -> Path | None:
    note = home / "pg" / "location"
    return Path(note.read_text(encoding="utf-8").strip()) if note.is_file() else None


def _owner(root: Path) -> RunAs | None:
    data = root / "data"
    if not data.is_dir() or data.stat().st_uid == 0:
        return None
    return RunAs(data.stat().st_uid, data.stat().st_gid)


def _nobody() -> RunAs:
    import pwd

    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise DatabaseError(
            f"PostgreSQL does not run as root, and the account {ACCOUNT!r} to run it under does not exist here. "
            "Start TradeSentry as an ordinary user, or use a server of your own through DATABASE_URL.",
            code="no_account",
        ) from None
    return RunAs(entry.pw_uid, entry.pw_gid)


def _reachable_root(home: Path, run_as: RunAs, system_state: Path) -> Path:
    inside = home / "pg"
    if is_reachable(inside, run_as.uid, run_as.gid):
        return inside
    name = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    root = system_state / name
    root.mkdir(parents=True, exist_ok=True, mode=0o755)
    if not is_reachable(root, run_as.uid, run_as.gid):
        raise DatabaseError(
            f"The account of PostgreSQL (uid {run_as.uid}) may enter neither {inside} nor {root}. Choose a "
            "TRADESENTRY_HOME below folders that everybody may enter.",
            code="home_unreachable",
        )
    note = home / "pg" / "location"
    note.write_text(f"{root}\n", encoding="utf-8")
    return root


def _checked(placement: Placement) -> Placement:
    """Refuse a data folder of another account: PostgreSQL would, with a message about modes."""
    data = placement.data
    if hasattr(os, "geteuid") and data.is_dir() and data.stat().st_uid != os.geteuid():
        raise DatabaseError(
            f"The data folder {data} belongs to uid {data.stat().st_uid}, this process to uid {os.geteuid()}. Start "
            "TradeSentry as that user (or as root), or set TRADESENTRY_HOME to a folder of your own.",
            code="data_of_another_user",
        )
    return placement
