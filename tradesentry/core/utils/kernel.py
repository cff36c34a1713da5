"""Compile kernels once, cache them for good, and hand out the memory they work on.

Numba's own cache notices a change in the file of a function, not in the files of the functions it calls, and would go
on running the old code. `@kernel` therefore keeps the cache in a folder named by a digest of the module and of all that
it imports; any edit of one of them starts a new folder, and edits elsewhere do not. Kernels see records (NumPy
structured dtypes) that callers allocate here; `kernel_cache` looks after the folders.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.core.types.function_type import WrapperAddressProtocol
from numba.core.typing.typeof import typeof_impl
from numba.extending import intrinsic

from tradesentry.core.domain.errors import StateMismatch
from tradesentry.core.utils import kernel_cache

IS_COMPILED = not bool(numba_config.DISABLE_JIT)
"""False under NUMBA_DISABLE_JIT=1, where kernels are plain Python functions for a debugger."""

OPAQUE = np.dtype([("head", "i8")], align=True)
"""A record whose real layout only the called function knows: parameters and state in the engine loops."""

F = TypeVar("F", bound=Callable[..., Any])

_plain_arrays: dict[int, np.ndarray[Any, Any]] = {}
_plain_functions: dict[int, Any] = {}


@cache
def source_digest(path: Path) -> str:
    """Return the digest of all that shapes the machine code of the kernels in the module at `path`."""
    return kernel_cache.source_digest(path, f"{numba.__version__} {np.__version__} {sys.version_info[:2]}")


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
    return any(
        (kernel_cache.cache_root() / source_digest(source)).rglob(f"{source.stem}.{function.py_func.__name__}-*.nbc")
    )


def _compiled(function: F, *, is_inlined: bool) -> F:
    folder = kernel_cache.cache_root() / source_digest(Path(function.__code__.co_filename))
    if IS_COMPILED:
        kernel_cache.renew(folder)
    numba_config.CACHE_DIR = str(folder)
    # Without reference counts: kernels allocate nothing, and counting the arrays they pass on would cost more than
    # the work they do on a bar.
    compile_it = numba.njit(nogil=True, error_model="numpy", forceinline=is_inlined, _nrt=False)
    compiled: Any = compile_it(function)
    if IS_COMPILED:
        compiled._cache = _QuickCache(function)
    return cast(F, compiled)


class _QuickCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache without its preparations for compiling, which take longer than all else a short process does.

    Compiled code needs none of the rules by which Numba types and lowers Python; a kernel that is not in the cache
    loads them when it is compiled.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def record_type(dtype: np.dtype[Any]) -> Any:
    """Return the Numba type of one record of `dtype`."""
    return numba.from_dtype(dtype)


def array_type(dtype: np.dtype[Any]) -> Any:
    """Return the Numba type of a contiguous one-dimensional array of `dtype`."""
    return types.Array(numba.from_dtype(dtype), 1, "C")


def counting(*arguments: Any) -> Any:
    """Return the signature of a kernel that takes `arguments` and returns a count or code."""
    return types.int64(*arguments)


def new_records(n: int, dtype: np.dtype[Any]) -> np.recarray[Any, Any]:
    """Return `n` zeroed records whose fields read as attributes, for kernels and debuggers alike."""
    return np.zeros(n, dtype).view(np.recarray)


def plain_record(records: np.ndarray[Any, Any], row: int = 0) -> Any:
    """Return record `row` of `records` for writing many fields: its names are keys, which is far faster in Python."""
    return records.view(np.ndarray)[row]


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


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(_typing_context: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        line = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(fetch, [line, word(0), word(3), word(1)])  # for reading, into all caches, of data
        return context.get_dummy_value()

    return types.none(address), codegen


prefetch: Any = _prefetch if IS_COMPILED else lambda _address: None
"""Ask for the cache line at an address that will be read soon; any address is allowed."""


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
        self.native_address = int(compiled.library.get_pointer_to_function(compiled.fndesc.mangled_name))
        self._address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
        self._signature = general

    def __wrapper_address__(self) -> int:
        return int(self._address)

    def signature(self) -> Any:
        return self._signature


@typeof_impl.register(FunctionPointer)  # type: ignore[untyped-decorator]
def _type_of_pointer(pointer: FunctionPointer, _context: Any) -> Any:
    # Numba registers this only when it prepares for compiling, which a kernel found in the cache never does.
    return types.FunctionType(pointer.signature())


def function_pointer(function: Any, *, exact: Any, general: Any) -> Any:
    """Return `function` as a first-class function for compiled loops; itself under NUMBA_DISABLE_JIT=1."""
    return FunctionPointer(function, exact=exact, general=general) if IS_COMPILED else function


def native_address(function: Any) -> int:
    """Return where the machine code of a `function_pointer` lies, for loops that call it by `function_at`.

    The caller keeps `function` alive as long as the address is in use.
    """
    if IS_COMPILED:
        return int(function.native_address)
    _plain_functions[id(function)] = function
    return id(function)


def function_at(signature: Any) -> Any:
    """Return a kernel function `(address, five arguments) -> result` that calls the code of `signature` at an address.

    A first-class function goes through a wrapper that can raise Python errors, which costs as much as a short `step`;
    kernels never raise, and this goes to their code itself. A function that fails all the same returns -1.

    Args:
        signature: The general signature of five arguments with an integer result.
    """
    if not IS_COMPILED:
        return lambda address, *arguments: _plain_functions[address](*arguments)

    def typing(_typing_context: Any, _address: Any, _a: Any, _b: Any, _c: Any, _d: Any, _e: Any) -> Any:
        def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            convention = context.call_conv
            kind = convention.get_function_type(signature.return_type, signature.args)
            callee = builder.inttoptr(arguments[0], kind.as_pointer())
            result, values = signature.return_type, arguments[1:]
            status, value = convention.call_function(builder, callee, result, signature.args, values)
            return builder.select(status.is_ok, value, context.get_constant(result, -1))

        return signature.return_type(types.int64, *signature.args), codegen

    return intrinsic(typing)
