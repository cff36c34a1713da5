"""Streaming components: what price did, known at the close of a named bar.

Each module declares the layouts of its parameters and state, a model of its parameters, and kernels `reset`,
`is_ready`, `bars_needed` and `update`. A strategy nests their states in its own; `run` and `stream` drive one of them
over plain bars for tests, charts and the scanner. Zeroed memory is a valid empty state of every component; values of a
series that do not exist yet are NaN from the first update on.

`run` and `stream` bring table libraries with them and are imported when first used, so that a back-test starts quickly.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tradesentry.core.strategy.indicators.runner import Stream, run, stream

__all__ = ["Stream", "run", "stream"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("tradesentry.core.strategy.indicators.runner"), name)
