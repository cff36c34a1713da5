"""Find and look after the folders in which compiled kernels are kept: one per digest of their sources.

Separate from compiling, because it is about files alone: which sources shape a module's machine code, where its folder
lies, and which folders nobody uses. Folders of old digests would pile up with every edit; each use of one renews its
time, and once a day an ending process removes those that nobody has used for `UNUSED_DAYS`.
"""

import atexit
import hashlib
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parents[2]
WITHOUT_CODE: Final = frozenset(PACKAGE / "core" / name for name in ("domain/errors.py", "utils/kernel_cache.py"))
"""Modules of words and files, which no kernel takes anything from: an edit of them compiles nothing again."""
UNUSED_DAYS: Final = 30
"""Cache folders that no process has used for so many days are removed."""


def cache_root() -> Path:
    """Return the writable folder of compiled kernels: TRADESENTRY_CACHE_DIR, the user cache, or a temporary folder."""
    chosen = os.environ.get("TRADESENTRY_CACHE_DIR")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tradesentry"
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError:
        base = Path(tempfile.gettempdir()) / f"tradesentry-{os.getuid()}"
        base.mkdir(parents=True, exist_ok=True)
    return base / "kernels"


IMPORT = re.compile(r"^from +([A-Za-z_][\w.]*) +import +(\([^)]*\)|[^\n]*)|^import +([A-Za-z_][\w.]*)", re.MULTILINE)
NAME = re.compile(r"([A-Za-z_]\w*)(?: +as +\w+)?")
CACHE_FOLDER = re.compile(r"[0-9a-f]{24}(\.stale-\d+)?")


@cache
def _imports(path: Path) -> tuple[bytes, tuple[Path, ...]]:
    """Return the text of a Python file and the files of its own package, and of ours, that it imports at top level."""
    text = path.read_bytes()
    top = path.parent
    while (top.parent / "__init__.py").is_file():
        top = top.parent
    found = []
    for module, names, plain in IMPORT.findall(text.decode()):
        first, *rest = (module or plain).split(".")
        root = top if first == top.name else PACKAGE if first == PACKAGE.name else None
        if root is None:
            continue
        place = root.joinpath(*rest)
        # `from package import name` may name a module of the package.
        places = [place, *(place / name for name in NAME.findall(names))]
        found += [file for at in places for file in (at.with_suffix(".py"), at / "__init__.py") if file.is_file()]
    return text, tuple(dict.fromkeys(found))


def source_digest(path: Path, versions: str) -> str:
    """Return the digest of all that shapes the machine code of a module's kernels.

    That is the module, every module of its package and of ours that it imports directly or through others, and the
    versions of what compiles; the processor is Numba's own check.

    Args:
        path: The module's file.
        versions: Of Python and the libraries that compile.
    """
    files, waiting = {path}, [path]
    while waiting:
        new = set(_imports(waiting.pop())[1]) - files
        files |= new
        waiting += new
    digest = hashlib.blake2b(versions.encode(), digest_size=12)
    for file in sorted(files - WITHOUT_CODE):
        digest.update(str(file).encode() + b"\0" + _imports(file)[0])
    return digest.hexdigest()


def prune_cache(root: Path, *, unused_days: float = UNUSED_DAYS) -> int:
    """Remove the cache folders that no process has used for `unused_days`; return how many.

    Safe beside other processes. A folder is first renamed and judged again: whoever renewed it before gets it back,
    whoever comes later makes a new one, and Numba itself compiles again what it does not find.

    Args:
        root: The folder of compiled kernels; only folders that are named like a digest are touched.
        unused_days: Age of the last use, days.
    """
    n_removed = 0
    oldest_ns = time.time_ns() - round(unused_days * 86_400e9)
    for folder in [path for path in root.iterdir() if CACHE_FOLDER.fullmatch(path.name)]:
        with suppress(OSError):
            if folder.lstat().st_mtime_ns >= oldest_ns:
                continue
            doomed = folder.with_name(f"{folder.name[:24]}.stale-{os.getpid()}")
            folder.rename(doomed)
            if doomed.lstat().st_mtime_ns >= oldest_ns:
                doomed.rename(folder)
            else:
                shutil.rmtree(doomed, ignore_errors=True)
                n_removed += 1
    return n_removed


def _prune_daily(root: Path) -> None:
    """Remove stale cache folders if nobody did so today."""
    with suppress(OSError):
        last_pruned = root / "pruned"
        if not last_pruned.exists() or time.time() - last_pruned.stat().st_mtime > 86_400:
            last_pruned.touch()
            prune_cache(root)


@cache
def _prune_at_exit(root: Path) -> None:
    # At the start, the folders that this process is about to use may look unused as well.
    atexit.register(_prune_daily, root)


@cache
def renew(folder: Path) -> None:
    """Say that this process uses a cache folder."""
    # A folder that cannot be written, as in a container's image, is used as it is.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    _prune_at_exit(folder.parent)
