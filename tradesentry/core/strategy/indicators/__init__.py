"""Streaming components: what price did, known at the close of a named bar.

Each module declares the layouts of its parameters and state, a model of its parameters, and kernels `reset`,
`is_ready`, `bars_needed` and `update`. A strategy nests their states in its own; `run` and `stream` drive one of them
over plain bars for tests, charts and the scanner. Zeroed memory is a valid empty state of every component; values of a
series that do not exist yet are NaN from the first update on.
"""

from tradesentry.core.strategy.indicators.runner import Stream, run, stream

__all__ = ["Stream", "run", "stream"]
