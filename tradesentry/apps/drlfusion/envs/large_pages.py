"""Lay the records of many environments side by side on large pages.

An account and its book take a hundred kilobytes, of which a bar touches two: with pages of four kilobytes every step
of another environment would look up half a dozen pages that the processor has forgotten, which takes longer than the
step. Where the system offers no large pages the memory is the same and only slower.
"""

import contextlib
import mmap
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

PAGE: Final = 2 << 20
LINE: Final = 64


def records_on_large_pages(*wanted: tuple[int, np.dtype[Any]]) -> list[np.recarray[Any, Any]]:
    """Return zeroed record arrays in one piece of memory, each beginning on a cache line.

    Args:
        *wanted: Length and layout of each array.
    """
    offsets = _offsets([n * dtype.itemsize for n, dtype in wanted])
    memory = mmap.mmap(-1, offsets[-1] + 2 * PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a refusal costs speed only
            memory.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(memory, np.uint8)
    begin = -whole.ctypes.data % PAGE
    found = []
    for (n, dtype), offset in zip(wanted, offsets, strict=False):
        part = whole[begin + offset : begin + offset + n * dtype.itemsize]
        found.append(part.view(dtype).view(np.recarray))
    return found


def _offsets(sizes: Sequence[int]) -> list[int]:
    """Return where arrays of these sizes begin, and where the last one ends."""
    found = [0]
    for size in sizes:
        found.append(found[-1] + -(-size // LINE) * LINE)
    return found
