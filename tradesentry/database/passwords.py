"""Random passwords of the database roles, in one file that only its owner may read.

Missing ones are made, existing ones are never overwritten: a lost password is a lost database.
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from tradesentry.core.domain.errors import DatabaseError


def write_private(path: Path, text: str, *, owner: tuple[int, int] | None = None) -> None:
    """Write a file that only its owner may read; it is complete or absent.

    Args:
        path: The file.
        text: What it holds.
        owner: uid and gid it is given to; this process's own when None.
    """
    half = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def ensure_passwords(path: Path, roles: Sequence[str], *, may_create: bool) -> dict[str, str]:
    """Return the password of each role, making those that are missing.

    Args:
        path: The file of passwords.
        roles: Names that need one.
        may_create: False when a database exists already, whose passwords must then exist too.

    Raises:
        DatabaseError: The file is missing, readable by others, or not what was written.
    """
    known = read_passwords(path) if path.exists() or not may_create else {}
    missing = [role for role in roles if role not in known]
    if missing:
        known |= {role: secrets.token_urlsafe(24) for role in missing}
        write_private(path, json.dumps(known, indent=2) + "\n")
    return known


def read_passwords(path: Path) -> dict[str, str]:
    """Return the passwords by role.

    Raises:
        DatabaseError: The file is missing, readable by others, or not what was written.
    """
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise DatabaseError(
                f"The passwords in {path} can be read by others. Run: chmod 600 {path}", code="passwords_exposed"
            )
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatabaseError(
            f"The database passwords in {path} cannot be read: {error}. Restore that file from a backup; without it "
            "the data can only be dropped with `tradesentry db reset --confirm HOME`.",
            code="passwords_lost",
        ) from error
    if not isinstance(values, Mapping) or not all(isinstance(value, str) for value in values.values()):
        raise DatabaseError(
            f"{path} does not hold one password per role. Restore it from a backup.", code="passwords_lost"
        )
    return dict(values)
