"""Compile kernels once, cache them for good, and hand out the memory they work on.

Numba's own cache notices a change in the file of a function, not in the files of the functions it calls, and would go
on running the old code. `@kernel` therefore keeps the cache in a folder named by a digest of the module and of all that
it imports; any edit of one of them starts a new folder, and edits elsewhere do not. Kernels see records (NumPy
structured dtypes) that callers allocate here.

Folders of old digests would pile up with every edit. Each use of a folder renews its time, and once a day an ending
process removes those that nobody has used for `UNUSED_DAYS`.
"""

import atexit
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.core.types.function_type import WrapperAddressProtocol
from numba.extending import intrinsic

from tradesentry.core.domain.errors import StateMismatch

PACKAGE = Path(__file__).resolve().parents[2]

IS_COMPILED = not bool(numba_config.DISABLE_JIT)
"""False under NUMBA_DISABLE_JIT=1, where kernels are plain Python functions for a debugger."""

OPAQUE = np.dtype([("head", "i8")], align=True)
"""A record whose real layout only the called function knows: parameters and state in the engine loops."""

F = TypeVar("F", bound=Callable[..., Any])

_plain_arrays: dict[int, np.ndarray[Any, Any]] = {}

UNUSED_DAYS = 30
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


@cache
def source_digest(path: Path) -> str:
    """Return the digest of all that shapes the machine code of a module's kernels.

    That is the module, every module of its package and of ours that it imports directly or through others, and the
    versions of Python, NumPy and Numba; the processor is Numba's own check.

    Args:
        path: The module's file.
    """
    files, waiting = {path}, [path]
    while waiting:
        new = set(_imports(waiting.pop())[1]) - files
        files |= new
        waiting += new
    digest = hashlib.blake2b(f"{numba.__version__} {np.__version__} {sys.version_info[:2]}".encode(), digest_size=12)
    for file in sorted(files):
        digest.update(str(file).encode() + b"\0" + _imports(file)[0])
    return digest.hexdigest()


def kernel(function: F) -> F:
    """Compile `function` to machine code that releases the GIL, cached under a digest of its sources.

    Args:
        function: Pure function over records, arrays and scalars. It returns counts and codes; it does not raise.
    """
    return _compiled(function, is_inlined=False)


def inline_kernel(function: F) -> F:
    """Like `kernel`, and merged into its callers: for the few steps that run on every bar of every run.

    Args:
        function: Short, or called from one place only.
    """
    return _compiled(function, is_inlined=True)


def is_cached(function: Any) -> bool:
    """Say whether compiled code of a kernel lies in the cache, so that its first call will be quick."""
    if not IS_COMPILED:
        return True
    source = Path(function.py_func.__code__.co_filename)
    return any((cache_root() / source_digest(source)).rglob(f"{source.stem}.{function.py_func.__name__}-*.nbc"))


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
def _renew(folder: Path) -> None:
    """Say that this process uses a cache folder."""
    # A folder that cannot be written, as in a container's image, is used as it is.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
    _prune_at_exit(folder.parent)


def _compiled(function: F, *, is_inlined: bool) -> F:
    folder = cache_root() / source_digest(Path(function.__code__.co_filename))
    if IS_COMPILED:
        _renew(folder)
    numba_config.CACHE_DIR = str(folder)
    # Without reference counts: kernels allocate nothing, and counting the arrays they pass on would cost more than
    # the work they do on a bar.
    compile_it = numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=is_inlined, _nrt=False)
    compiled: F = compile_it(function)
    return compiled


def record_type(dtype: np.dtype[Any]) -> Any:
    """Return the Numba type of one record of `dtype`."""
    return numba.from_dtype(dtype)


def array_type(dtype: np.dtype[Any]) -> Any:
    """Return the Numba type of a contiguous one-dimensional array of `dtype`."""
    return types.Array(numba.from_dtype(dtype), 1, "C")


def new_records(n: int, dtype: np.dtype[Any]) -> np.recarray[Any, Any]:
    """Return `n` zeroed records whose fields read as attributes, for kernels and debuggers alike."""
    return np.zeros(n, dtype).view(np.recarray)


def layout_digest(dtype: np.dtype[Any]) -> str:
    """Return a digest of names, formats and offsets of `dtype`; saved bytes carry it."""
    return hashlib.blake2b(repr(layout(dtype)).encode(), digest_size=8).hexdigest()


def layout(dtype: np.dtype[Any]) -> list[tuple[str, str, int]]:
    """Return (field path, format, offset) of every leaf field of `dtype`, then the size of a whole record."""
    return [*_leaves(dtype, "", 0), ("record size", "bytes", dtype.itemsize)]


def _leaves(dtype: np.dtype[Any], prefix: str, start: int) -> Iterator[tuple[str, str, int]]:
    for name in dtype.names or ():
        fields: Any = dtype.fields
        field, offset = fields[name][:2]
        base, shape = field.subdtype or (field, ())
        label = f"{prefix}{name}{list(shape) if shape else ''}"
        if base.names is None:
            yield label, base.str, start + offset
        else:
            yield from _leaves(base, f"{label}.", start + offset)


def save_records(records: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return a snapshot of `records`: bytes with the layout they were written in.

    Args:
        records: Any array of one dtype; the whole memory is copied.
    """
    return {"data": records.tobytes(), "digest": layout_digest(records.dtype), "layout": layout(records.dtype)}


def load_records(snapshot: dict[str, Any], dtype: np.dtype[Any]) -> np.recarray[Any, Any]:
    """Return the records of a snapshot, or refuse bytes of another layout.

    Raises:
        StateMismatch: The layout differs; the message names the first field that changed.
    """
    if snapshot["digest"] != layout_digest(dtype):
        saved = [tuple(row) for row in snapshot["layout"]]
        fresh = layout(dtype)
        changed = next((a for a, b in zip(saved, fresh, strict=False) if a != b), (saved + fresh)[-1])
        raise StateMismatch(
            f"Saved state cannot be restored: field {changed[0]!r} was {changed[1]} at {changed[2]} "
            "and is different in this version. Start the run anew, or restore it with the version that wrote it."
        )
    # A writable buffer of the very bytes: copying an array of padded records would not copy the padding.
    return np.frombuffer(bytearray(snapshot["data"]), dtype).view(np.recarray)


def address_of(records: np.ndarray[Any, Any]) -> int:
    """Return the address of the first of `records`, as engine loops take memory of any layout or length.

    The caller keeps `records` alive as long as the address is in use.
    """
    address = int(records.ctypes.data)
    if not IS_COMPILED:
        _plain_arrays[address] = records.view(np.recarray)
    return address


def record_at(dtype: np.dtype[Any]) -> Any:
    """Return a kernel function `(address, index) -> record` that reads memory as records of `dtype`, without a copy."""
    if not IS_COMPILED:
        return lambda address, index: _plain_arrays[address][index]
    record = numba.from_dtype(dtype)

    def typing(_typing_context: Any, _address: Any, _index: Any) -> Any:
        def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            step = context.get_constant(types.int64, dtype.itemsize)
            place = builder.add(arguments[0], builder.mul(arguments[1], step))
            return builder.inttoptr(place, context.get_value_type(record))

        return record(types.int64, types.int64), codegen

    return intrinsic(typing)


@intrinsic  # type: ignore[untyped-decorator]
def _copy_record(_typing_context: Any, target: Any, source: Any) -> Any:
    if target != source:
        return None

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        size = context.get_constant(types.intp, source.dtype.itemsize)
        cgutils.raw_memcpy(builder, arguments[0], arguments[1], size, 1)
        return context.get_dummy_value()

    return types.none(target, source), codegen


def _plain_copy_record(target: Any, source: Any) -> None:
    for name in source.dtype.names:
        target[name] = source[name]


copy_record: Any = _copy_record if IS_COMPILED else _plain_copy_record
"""Copy one record over another of the same dtype, in kernels: one memcpy, where assignment would move each byte."""


class FunctionPointer(WrapperAddressProtocol):  # type: ignore[misc]
    """One compiled kernel as a first-class function of a general signature.

    The engine loops are compiled once for all strategies: they call `step` through this pointer and pass parameters
    and state as `OPAQUE` records. Records are passed by address, so the exact and the general signature share one ABI.

    Args:
        function: A `@kernel`.
        exact: The signature it is compiled for, with its real records.
        general: The signature under which callers know it.
    """

    def __init__(self, function: Any, *, exact: Any, general: Any) -> None:
        function.compile(exact)
        compiled = function.overloads[exact.args]
        self._library = compiled.library
        self._address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
        self._signature = general

    def __wrapper_address__(self) -> int:
        return int(self._address)

    def signature(self) -> Any:
        return self._signature


def function_pointer(function: Any, *, exact: Any, general: Any) -> Any:
    """Return `function` as a first-class function for compiled loops; itself under NUMBA_DISABLE_JIT=1."""
    return FunctionPointer(function, exact=exact, general=general) if IS_COMPILED else function
