"""Map bars into memory from raw copies of their records, without a table library.

A copy belongs to one state of one Parquet file: its size, its times and its place on the disk are part of the copy's
name, so a file that was replaced or edited never meets an old copy. Copies of a TradeSentry catalog lie in its
`.cache` folder, copies of other folders in the user's cache. Losing them costs one decoding.

The mapping is private: kernels get ordinary writable records, and nothing written to them can reach the file.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from tradesentry.core.domain.records import BAR
from tradesentry.core.market.bars import BarArray, BarSeries

CACHE_FOLDER: Final = ".cache"
FORMAT: Final = 1
"""Raise it when what is stored beside the bars changes."""


def cache_folder(root: Path) -> Path:
    """Return where copies of the files under `root` are kept."""
    own = root / CACHE_FOLDER
    if own.is_dir() and os.access(own, os.W_OK):
        return own
    chosen = os.environ.get("TRADESENTRY_CACHE_DIR")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tradesentry"
    return base / "bars"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def copy_name(path: Path) -> tuple[str, str]:
    """Return the part of a copy's name that says which file, and the part that says which state of it."""
    state = path.stat()
    layout = f"{FORMAT} {np.dtype(BAR).descr}"
    identity = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino} {state.st_dev} {layout}"
    return _digest(str(path.resolve())), _digest(identity)


def read(path: Path, root: Path) -> BarSeries:
    """Return the bars of a Parquet file, from its copy when there is a current one.

    Raises:
        DataError: The file is not a table of bars.
    """
    folder = cache_folder(root)
    which, state = copy_name(path)
    copy = folder / f"{which}-{state}"
    series = _map(copy)
    if series is not None:
        return series
    from tradesentry.core.market import parquet_files

    series = parquet_files.read_bars(path)
    with contextlib.suppress(OSError):
        _store(series, folder, which, copy)
        return _map(copy) or series
    return series


def _map(copy: Path) -> BarSeries | None:
    try:
        described = json.loads(copy.with_suffix(".json").read_bytes())
        bars_path = copy.with_suffix(".bars")
        if bars_path.stat().st_size != described["rows"] * BAR.itemsize:
            return None
        bars: BarArray = np.asarray(np.memmap(bars_path, BAR, mode="c", shape=(described["rows"],))).view(np.recarray)
    except (OSError, ValueError, KeyError):
        return None
    return BarSeries(
        bars, described["symbol"], described["source"], described["timeframe"], described["price_side"],
        described["provenance"], described["checksum"],
    )  # fmt: skip


def _store(series: BarSeries, folder: Path, which: str, copy: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    described: dict[str, Any] = {
        "rows": int(series.bars.size), "symbol": series.symbol, "source": series.source, "timeframe": series.timeframe,
        "price_side": series.price_side, "provenance": series.provenance, "checksum": series.checksum,
    }  # fmt: skip
    _write_whole(copy.with_suffix(".bars"), series.bars.view(np.uint8).data)
    # The description is written last: a copy without one is not used.
    _write_whole(copy.with_suffix(".json"), memoryview(json.dumps(described).encode()))
    for stale in folder.glob(f"{which}-*"):
        if stale.stem != copy.stem:
            with contextlib.suppress(OSError):
                stale.unlink()


def _write_whole(path: Path, data: memoryview) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
