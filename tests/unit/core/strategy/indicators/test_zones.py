"""The list of zones: what a bar costs, and what its memory holds.

Its life rules are proven through the components that use it. Planted once and seen to fail here: a list that is walked
on every bar.
"""

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.unit.core.strategy.indicators.series import REPOSITORY, make_bars, random_bars
from tradesentry.core.strategy.indicators import run, stream
from tradesentry.core.strategy.indicators.gaps import STATE
from tradesentry.core.strategy.indicators.zones import N_ZONES


def ladder(n: int) -> Any:
    """Return 3 n bars that leave n up gaps above one another: in step k, from 10 k + 1 to 10 k + 3."""
    rows = []
    for k in range(n):
        at = 10 * k + 100
        rows += [(at, at + 1, at - 1, at), (at, at + 4, at, at + 4), (at + 4, at + 8, at + 3, at + 8)]
    return make_bars(rows)


def quiet(n: int, at: float) -> Any:
    """Return n bars that stay where they are."""
    return make_bars([(at, at + 1, at - 1, at)] * n, start="2024-02-08T08:00")


def test_every_strategy_keeps_64_zones_a_side():
    assert N_ZONES == 64
    assert STATE["zones"]["items"].shape == (128,)


def test_one_bar_may_end_every_zone():
    frame = run("gaps", {"body_filter": False, "inversions": False, "max_age": 0}, _with_crash(60))

    last = frame.filter(known_index=180)
    # All gaps live between their steps; the crash touches, halves, fills and inverts each of them, older ids first.
    assert last.height > 4 * 60
    assert last.filter(event="FVG_INVERT")["id"].to_list() == sorted(last.filter(event="FVG_INVERT")["id"])


def _with_crash(n: int) -> Any:
    top = 10 * n + 100
    crash = make_bars([(top, top, 50, 50)], start="2024-02-08T08:00")
    return np.concatenate([ladder(n), crash]).view(np.recarray)


@pytest.mark.parametrize("component", ["gaps", "supply_demand", "order_blocks"])
def test_memory_beyond_the_live_zones_is_the_same_for_the_same_bars(component: str):
    bars = random_bars(400, 2)
    running = stream(component, {"max_age": 20}, capacity=3)
    for bar in bars:
        running.push(bar)
    whole = stream(component, {"max_age": 20}, capacity=3)
    whole.feed(bars)

    assert running.state_bytes() == whole.state_bytes()


def test_a_bar_that_reaches_no_zone_costs_the_same_however_many_live():
    """Runs this file as a script with compilation off and counts the lines of the kernels."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(REPOSITORY)}
    answer = subprocess.run(
        [sys.executable, __file__], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert answer.returncode == 0, answer.stderr
    few, some, many = json.loads(answer.stdout)
    assert few["live"] < some["live"] < many["live"]
    assert few["quiet"] == some["quiet"] == many["quiet"]
    # A bar that touches one walks through all of them once: so many lines for each zone, however many there are.
    per_zone = (some["touch"] - few["touch"]) / (some["live"] - few["live"])
    assert 1 < (many["touch"] - some["touch"]) / (many["live"] - some["live"]) <= 1.1 * per_zone


def _count_lines() -> list[dict[str, int]]:
    """Return the live gaps, and the lines executed by 20 bars that reach none and by one that touches the highest."""
    counter = [0]

    def trace(frame: Any, event: str, _argument: Any) -> Any:
        if "tradesentry/core/strategy/indicators" not in frame.f_code.co_filename:
            return None
        counter[0] += event == "line"
        return trace

    counted = []
    for n in (2, 8, 20):
        running, top = stream("gaps", {"max_age": 0, "atr": {"n_bars": 1}}), 10 * n + 100
        running.feed(ladder(n))
        running.feed(quiet(20, top))
        ring = running._state[0].gaps.zones
        row = {"live": int(ring.n)}
        touch = make_bars([(top, top + 1, ring.items[ring.n - 1].near, top)], start="2024-03-08T08:00")
        for name, bars in (("quiet", quiet(40, top)[20:]), ("touch", touch)):
            counter[0] = 0
            sys.settrace(trace)
            running.feed(bars)
            sys.settrace(None)
            row[name] = counter[0]
        counted.append(row)
    return counted


if __name__ == "__main__":
    print(json.dumps(_count_lines()))  # noqa: T201
