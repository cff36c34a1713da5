"""Every component obeys every law, and every law notices a planted fault."""

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.unit.core.strategy.indicators import checklist as laws
from tests.unit.core.strategy.indicators.checklist import CASES, Case
from tests.unit.core.strategy.indicators.series import REPOSITORY, TICK, random_bars, real_bars
from tradesentry.core.strategy.indicators import Stream
from tradesentry.core.strategy.indicators.rigs import RIGS

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)


def test_every_component_is_asked():
    assert {case.component for case in CASES} == set(RIGS)


@each_case
def test_a_prefix_of_the_bars_gives_a_prefix_of_the_rows(case: Case):
    laws.prefix_invariance(case.run, laws.short_bars())


@each_case
def test_other_bars_in_the_future_change_nothing_known_before(case: Case):
    laws.changed_future_invariance(case.run, laws.long_bars())


@pytest.mark.parametrize("case", [case for case in CASES if case.has_mirror], ids=lambda case: case.label)
def test_mirrored_prices_give_mirrored_rows(case: Case):
    laws.mirror_symmetry(case.run, laws.long_bars(), case)


@each_case
def test_a_restart_after_any_bar_changes_nothing(case: Case):
    laws.restart_equivalence(case.stream, laws.short_bars())


@each_case
def test_a_run_equals_the_stream_of_its_bars(case: Case):
    laws.batch_equals_stream(case, laws.medium_bars())


@each_case
def test_scaling_prices_and_tick_by_a_power_of_two_scales_prices_only(case: Case):
    laws.scale_invariance(case.run, laws.long_bars(), case)


@each_case
def test_two_prefixes_of_real_bars_agree(case: Case):
    bars = real_bars()
    if bars is None:
        pytest.skip("no ../shared/data; the same law is asked of made bars above")
    whole = case.run(bars, calendar=_real_calendar(case), tick=1e-5)

    for n in (1_000, 4_321):
        part = case.run(bars.head(n), calendar=_real_calendar(case), tick=1e-5)

        assert laws.same(part, laws.known_before(whole, n))


def _real_calendar(case: Case) -> Any:
    return None if case.calendar is None else laws.calendar_of(*case.calendar, start="2024-07-01", end="2025-02-28")


def test_plain_python_gives_the_same_rows_and_the_work_per_bar_does_not_grow():
    """Runs this file as a script with compilation off: the same kernels as Python functions, their lines counted."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(REPOSITORY)}
    answer = subprocess.run(
        [sys.executable, __file__], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert answer.returncode == 0, answer.stderr
    for label, measured in json.loads(answer.stdout).items():
        case = next(case for case in CASES if case.label == label)
        plain = pl.DataFrame(measured["rows"], schema=case.run(_counted_bars()).schema, orient="row")
        assert laws.same(plain, case.run(_counted_bars()), tolerance=1e-12), label
        early, late = measured["lines"]
        assert late <= 1.25 * early, f"{label}: {early} lines a bar at first, {late} later"


def _counted_bars() -> Any:
    return random_bars(240, seed=5, missing=0.0, minutes=30)


def _count_lines(case: Case) -> dict[str, Any]:
    """Return rows of the component and the lines executed per bar in two spans of equal sessions."""
    counter = [0]

    def trace(frame: Any, event: str, _argument: Any) -> Any:
        if "tradesentry/core/strategy/indicators" not in frame.f_code.co_filename:
            return None
        counter[0] += event == "line"
        return trace

    bars, running, lines = _counted_bars(), case.stream(), []
    for day in range(5):
        counter[0] = 0
        sys.settrace(trace if day in {1, 4} else None)
        running.feed(bars[48 * day : 48 * day + 48])
        sys.settrace(None)
        lines.append(counter[0] / 48)
    return {"rows": running.take().rows(), "lines": [lines[1], lines[4]]}


@pytest.mark.parametrize("label", ["opening_range by stop", "liquidity with full sides", "midpoint at the equilibrium"])
def test_components_allocate_nothing_after_the_first_bar(label: str):
    runtime = pytest.importorskip("numba.core.runtime")
    rtsys = runtime.rtsys
    runtime._nrt_python.memsys_enable_stats()
    case = next(case for case in CASES if case.label == label)
    running, bars = case.stream(), random_bars(2_000, seed=6)
    running.feed(bars[:1])
    before = rtsys.get_allocation_stats().alloc

    running.feed(bars[1:])

    assert rtsys.get_allocation_stats().alloc - before < 20, "arguments only, not one per bar"


def test_prefix_invariance_notices_a_bar_used_before_it_is_known():
    def centered(bars: Any) -> pl.DataFrame:
        ahead = np.append(bars.close[1:], bars.close[-1:])
        return pl.DataFrame({"index": np.arange(len(bars)), "value": bars.close + ahead})

    with pytest.raises(AssertionError):
        laws.prefix_invariance(centered, random_bars(30))


def test_changed_future_invariance_notices_a_whole_sample_statistic():
    def normalized(bars: Any) -> pl.DataFrame:
        return pl.DataFrame({"index": np.arange(len(bars)), "value": bars.close / bars.close.max()})

    with pytest.raises(AssertionError):
        laws.changed_future_invariance(normalized, random_bars(60))


def test_mirror_symmetry_notices_a_break_made_non_strict_on_one_side():
    def breaks(bars: Any) -> pl.DataFrame:
        up = bars.close[1:] >= bars.high[:-1]
        down = bars.close[1:] < bars.low[:-1]
        return pl.DataFrame({"index": np.arange(1, len(bars)), "direction": up.astype(int) - down.astype(int)})

    with pytest.raises(AssertionError):
        laws.mirror_symmetry(breaks, random_bars(400), Case("", "atr"))


def test_scale_invariance_notices_a_distance_in_absolute_prices():
    def far(bars: Any, **_options: Any) -> pl.DataFrame:
        return pl.DataFrame({"index": np.arange(len(bars)), "is_far": bars.high - bars.low > 4 * TICK})

    with pytest.raises(AssertionError):
        laws.scale_invariance(far, random_bars(60), Case("", "atr"))


@pytest.mark.parametrize("lost", ["hygiene", "state"])
def test_restart_equivalence_notices_memory_that_is_not_saved(lost: str):
    case = next(case for case in CASES if case.label == "opening_range by retest")

    class Forgetful(Stream):
        def restore(self, snapshot: dict[str, Any]) -> None:
            fresh = case.stream().save()
            super().restore({**snapshot, lost: fresh[lost]})

    def make() -> Stream:
        return Forgetful(case.component, case.params, **case.options())

    with pytest.raises(AssertionError):
        laws.restart_equivalence(make, laws.short_bars())


def test_batch_equality_notices_a_stream_that_loses_a_bar():
    class Deaf(Case):
        def stream(self) -> Stream:
            running = super().stream()
            running.push(random_bars(3, start="2024-01-04T10:00")[0])
            return running

    with pytest.raises(AssertionError):
        laws.batch_equals_stream(Deaf("", "atr", {"n_bars": 5}), random_bars(60))


if __name__ == "__main__":
    one_each = {(case.component, case.output, case.params.get("squeeze_mode")): case for case in CASES}
    print(json.dumps({case.label: _count_lines(case) for case in one_each.values()}))  # noqa: T201
