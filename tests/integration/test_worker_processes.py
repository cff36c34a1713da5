"""Worker processes of a study end with their parent, also when it is killed and cannot tell them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STUDY = """
from multiprocessing import active_children
from tests.support.studies import sweep_plan
from tradesentry.backtest.executor import chunks_of, new_job, new_runner
from tradesentry.backtest.resolve import checked_settings, resolve_run
from tradesentry.backtest.studies.stage import WHOLE, Stages
from tradesentry.backtest.studies.variants import grid_variants

if __name__ == "__main__":
    plan = sweep_plan(app="breakout", config={"symbols": ["EURUSD"], "timeframe": "M15"}, space={"risk": [0.005]})
    stages = Stages("breakout", resolve_run("breakout", config=plan.config, settings=checked_settings(plan.settings)))
    key, stage = stages.of(stages.base.config)
    variants, _ = grid_variants("breakout", stages.base.config, {"risk": [0.001 + 1e-6 * i for i in range(1_000)]})
    jobs = [new_job(key, stage, variant, WHOLE) for variant in variants]
    with new_runner("processes", workers=2) as runner:
        for done in runner.run({key: stage}, chunks_of(jobs, chunk_bars=1)):
            print(*[child.pid for child in active_children()], flush=True)
"""
DEADLINE_SECONDS = 30.0


def is_running(pid):
    """Say whether a process lives; one that has ended and was not fetched yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    """Seen to fail without the thread that waits for the parent: the workers stayed, waiting for work."""
    script = tmp_path / "study.py"
    script.write_text(STUDY)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        alive = [is_running(pid) for pid in workers]

        parent.send_signal(signal.SIGKILL)

        deadline = time.monotonic() + DEADLINE_SECONDS
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        left = [pid for pid in workers if is_running(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)

    assert alive == [True, True]
    assert left == []
