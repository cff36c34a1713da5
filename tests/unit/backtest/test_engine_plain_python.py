"""The kernels as plain Python give the bits of the compiled ones, so a debugger shows what runs.

NUMBA_DISABLE_JIT is read at import, so the plain run is a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.support.random_runs import random_scenario
from tests.support.scripted import Scenario
from tradesentry.core.domain.records import TRADE
from tradesentry.core.utils.kernel import IS_COMPILED

ROOT = Path(__file__).resolve().parents[3]
SEEDS = (3, 5, 9)
N_BARS = 110


def outcome():
    """Return per seed the bytes of trades, equity and refusals of a short random run, as hexadecimal text."""
    out = {}
    for seed in SEEDS:
        whole = random_scenario(seed)
        whole.markets["slippage_seed"] = seed
        whole.markets["slippage_mean"] = whole.markets["pip"]
        bars = [b[:N_BARS] for b in whole.bars]
        arena = Scenario(whole.markets, bars, whole.players, whole.account, whole.fine).arena()
        arena.run()
        parts = (arena.trade_rows, arena.equity_rows, arena.reject_rows)
        out[str(seed)] = [np.ascontiguousarray(part).tobytes().hex() for part in parts]
    return out


def test_plain_python_gives_the_same_bits():
    """Trades, equity and refusals of three random runs with gaps, finer bars, costs and seeded slippage.

    Seen to fail with `floor` of NaN in `round_to`, which is an error in Python and a number when compiled.
    """
    command = (
        "import json; from tests.unit.backtest.test_engine_plain_python import outcome; print(json.dumps(outcome()))"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}

    plain = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert IS_COMPILED
    assert plain.returncode == 0, plain.stderr[-2_000:]
    compiled = outcome()
    assert json.loads(plain.stdout) == compiled
    assert sum(len(rows[0]) for rows in compiled.values()) >= 2 * 20 * TRADE.itemsize
