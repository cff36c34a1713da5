"""Name the instants at which a process may die, so that a test can make it die exactly there.

Production code says `crash_point("after_sending_commit")`, which does nothing. A process that is started with
TRADESENTRY_CRASH_POINT=name (or name:n, the n-th time it comes by) kills itself there with SIGKILL, so that nothing is
cleaned up: what a power cut leaves behind. The variable is read once.
"""

import os
import signal
from typing import Final

VARIABLE: Final = "TRADESENTRY_CRASH_POINT"
POINTS: Final = (
    "before_journal",
    "after_intent",
    "after_sending_commit",
    "before_reply",
    "before_outcome_commit",
    "mid_event_batch",
    "during_reconcile",
    "during_shutdown",
)
"""Before the journal; between intent and SENDING, inside their transaction; between SENDING and first byte; before the
reply; after the reply before its commit; inside the transaction of an event batch; inside recovery; inside a clean
stop."""


class _Armed:
    """Where this process is to die, and after how many passes."""

    def __init__(self) -> None:
        self.name, self.passes = "", 0
        self.arm(os.environ.get(VARIABLE, ""))

    def arm(self, text: str) -> None:
        """Choose a point as the variable does; empty: none."""
        name, _, count = text.partition(":")
        self.name, self.passes = name, int(count or 1)

    def pass_by(self) -> None:
        """Count one pass, die at the last."""
        self.passes -= 1
        if self.passes <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


_ARMED: Final = _Armed()


def crash_point(name: str) -> None:
    """Die here if this process was told to; else do nothing.

    Args:
        name: One of POINTS.
    """
    if _ARMED.name == name:
        _ARMED.pass_by()


def arm_crash_point(text: str) -> None:
    """Choose where this process dies, for one that was forked and so cannot be given a variable.

    Args:
        text: `name`, `name:n` for the n-th pass, or nothing.
    """
    _ARMED.arm(text)
