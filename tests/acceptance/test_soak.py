"""Short soaks: everything is killed while orders go out, and every invariant holds (A3, A5).

The whole soak with its counts is `make soak`, also with `BROKER=gateway` and `BROKER=paper`; `make soak-mutants` runs
every faulty trader. In the suite OANDA soaks for some seconds. The other brokers, and two faulty traders that are
caught at each so that a soak that cannot fail is seen, take minutes: `pytest -m slow tests/acceptance/test_soak.py`.
Scaled times are stretched, because a suite shares its machine.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("gateway", "paper")]


def soaked(*arguments):
    """Run the soak with some arguments and return the finished process."""
    command = [sys.executable, "-m", "tests.acceptance.soak", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)


@pytest.mark.parametrize("broker", ["oanda", *SLOW])
def test_a_short_soak_loses_nothing_and_doubles_nothing(broker):
    done = soaked("--seconds", "12", "--requests", "60", "--slow", "2.5", "--least", "0", "--broker", broker)

    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-3_000:]


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["oanda", "gateway", "paper"])
def test_the_soak_catches_traders_that_ignore_late_evidence_or_count_twice(broker):
    done = soaked("--seconds", "15", "--slow", "2", "--broker", broker, "--mutants", "M3", "M5")

    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-3_000:]
    assert done.stdout.rstrip().endswith("all caught")
