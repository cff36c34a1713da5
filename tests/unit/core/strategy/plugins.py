"""Install a third-party package for a test: a module and the metadata that announces its strategies, on `sys.path`."""

import importlib
import sys
from contextlib import contextmanager

from tradesentry.core.strategy.strategy_registry import strategy, strategy_modules


@contextmanager
def installed(folder, entry_points, **modules):
    """Make strategies known by their entry points while the block runs.

    Args:
        folder: An empty folder.
        entry_points: `module:attribute` by name.
        **modules: Source text of the package's modules.
    """
    info = folder / "somebodys_strategies-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-strategies\nVersion: 1.0\n")
    lines = [f"{name} = {value}\n" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text("[tradesentry.strategies]\n" + "".join(lines))
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    sys.path.insert(0, str(folder))
    _forget()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in modules:
            sys.modules.pop(name, None)
        _forget()


def _forget():
    importlib.invalidate_caches()
    strategy_modules.cache_clear()
    strategy.cache_clear()
