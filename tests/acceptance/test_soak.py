"""A short soak inside the suite: everything is killed while orders go out, and every invariant holds (A3).

The whole soak with its counts is `make soak`; that it can fail is proven by `make soak-mutants` and by the tests of its
checker. Scaled times are stretched here, because a suite shares its machine.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_short_soak_loses_nothing_and_doubles_nothing():
    command = [sys.executable, "-m", "tests.acceptance.soak", "--seconds", "15", "--slow", "2", "--least", "0"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-3_000:]
