"""A named point kills the process that was told to die there, on the pass that was named, and nobody else."""

import os
import signal
import subprocess
import sys

from tradesentry.core.utils.crash_points import POINTS, VARIABLE, crash_point

LIFE = """
from tradesentry.core.utils.crash_points import crash_point
crash_point("before_journal")
print("first", flush=True)
crash_point("before_journal")
print("second", flush=True)
crash_point("before_reply")
print("end", flush=True)
"""


def live(point):
    """Return what a process said before it ended, and how it ended."""
    environment = os.environ | {VARIABLE: point}
    done = subprocess.run([sys.executable, "-c", LIFE], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.split(), done.returncode


def test_a_process_dies_at_its_point_and_on_its_pass():
    assert live("before_journal") == ([], -signal.SIGKILL)
    assert live("before_journal:2") == (["first"], -signal.SIGKILL)
    assert live("before_reply") == (["first", "second"], -signal.SIGKILL)


def test_a_process_that_was_told_nothing_lives():
    for name in POINTS:
        crash_point(name)

    assert live("")[1] == 0
