"""Name the code that decides a result: one digest of the engine, the strategy and the libraries that compute.

Finished work is filed under it, and every node of a cluster must have the same. It says content, not place: two
machines with the same version agree, wherever it is installed.
"""

import hashlib
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from tradesentry.core.strategy.base_strategy import BaseStrategy

PACKAGE = Path(__file__).resolve().parents[1]
ENGINE = (
    *("core/domain", "core/execution", "core/strategy", "core/utils", "core/market/calendar.py"),
    *(
        "backtest/arena.py",
        "backtest/engine.py",
        "backtest/studies/outcome.py",
        "backtest/runner.py",
        "backtest/studies/stage.py",
    ),
    *("backtest/metrics/fx_time.py", "backtest/metrics/honesty.py", "backtest/metrics/resampling.py"),
    *("backtest/metrics/returns.py", "backtest/metrics/trades.py"),
)
"""What turns bars and parameters into an outcome; bars, instruments and costs are digested as data."""
LIBRARIES = ("numpy", "numba")
DIGEST_BYTES = 12


def code_digest(strategy: type[BaseStrategy]) -> str:
    """Return the digest of all code between bars and outcome.

    Args:
        strategy: The strategy; everything in its folder counts.
    """
    return _digest(strategy.__module__)


@cache
def _digest(module: str) -> str:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    digest.update(" ".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    for place in ENGINE:
        _add(digest, PACKAGE / place, PACKAGE)
    source = getattr(sys.modules[module], "__file__", None)
    if source is not None:
        file = Path(source)
        is_package = (file.parent / "__init__.py").is_file()
        _add(digest, file.parent if is_package else file, file.parent)
    return digest.hexdigest()


def _add(digest: "hashlib.blake2b", place: Path, root: Path) -> None:
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    for file in files:
        digest.update(str(file.relative_to(root).as_posix()).encode() + b"\0" + file.read_bytes())
