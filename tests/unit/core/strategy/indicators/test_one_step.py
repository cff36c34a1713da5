"""All components of market structure in one step, in the order of work of a strategy, say what `run` says of each.

The step below is what an app's `step` does: one state that nests theirs, one event buffer, kernels called in order.
Also here: which fields of a state a restart needs.
"""

from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.unit.core.strategy.indicators import checklist as laws
from tests.unit.core.strategy.indicators.checklist import CASES
from tests.unit.core.strategy.indicators.series import random_bars
from tradesentry.core.domain.calendar_records import CLOCK
from tradesentry.core.strategy.config import params_dtype, params_record
from tradesentry.core.strategy.indicators import (
    Stream,
    dealing_range,
    liquidity,
    midpoint,
    run,
    sessions,
    structure,
    swings,
    tables,
    volatility,
)
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators.liquidity import LiquidityParams
from tradesentry.core.strategy.indicators.midpoint import MidpointParams
from tradesentry.core.strategy.indicators.rigs import RUN_EVENTS
from tradesentry.core.strategy.indicators.structure import StructureParams
from tradesentry.core.utils.kernel import new_records

SWINGS = {"left_bars": 2, "right_bars": 2}
STRUCTURE = {"swings": SWINGS, "atr": {"n_bars": 5}, "break_mode": "wick"}
MIDPOINT = MidpointParams(reset_k=1.0, reset_n=2, cooldown=3, dealing_range={"structure": STRUCTURE})
LIQUIDITY = LiquidityParams(pivots=SWINGS, atr={"n_bars": 5}, reclaim=2)

STATE = np.dtype(
    [
        ("atr", volatility.STATE),
        ("pivots", swings.PIVOT_STATE),
        ("swings", swings.STATE),
        ("structure", structure.STATE),
        ("liquidity", liquidity.STATE),
        ("dealing_range", dealing_range.STATE),
        ("midpoint", midpoint.STATE),
        ("sessions", sessions.STATE),
        ("events", RUN_EVENTS),
    ],
    align=True,
)


def step(params: Any, pools: Any, state: Any, bar: Any, clock: Any) -> int:
    """Take one closed bar in the order of strategies 2.0; returns a Status."""
    ranges = params.dealing_range
    breaking = ranges.structure
    volatility.update(breaking.atr, state.atr, bar, False)
    liquidity.advance(pools, state.liquidity, bar, state.atr.before, state.events)
    structure.update(breaking, state.structure, bar, state.swings, state.pivots, state.atr.before, state.events)
    swings.pivot_update(breaking.swings.left_bars, breaking.swings.right_bars, state.pivots, bar, state.events)
    swings.update(breaking.swings, state.swings, state.pivots, state.events)
    liquidity.create(pools, state.liquidity, state.pivots, state.sessions, state.atr.value, state.events)
    dealing_range.update(ranges, state.dealing_range, bar, state.swings, state.pivots, state.structure, state.sessions)
    return midpoint.update(
        params, state.midpoint, bar, clock, state.structure, state.dealing_range, 0.0, state.atr.value, state.events
    )


def test_one_step_says_what_each_component_says_alone():
    bars = random_bars(600, 21)
    params = params_record(MIDPOINT, params_dtype(MidpointParams))[0]
    pools, clock, state = params_record(LIQUIDITY)[0], new_records(1, CLOCK)[0], new_records(1, STATE)[0]
    said = []

    for i, bar in enumerate(bars):
        ev.begin(state.events, i, bar.close_ns)
        assert step(params, pools, state, bar, clock) == 0
        said.append(state.events.items[: state.events.n].copy())

    together = tables.events_frame(np.concatenate(said))
    for component, settings in (
        ("pivots", SWINGS), ("swings", SWINGS), ("structure", STRUCTURE), ("liquidity", LIQUIDITY),
        ("midpoint", MIDPOINT),
    ):  # fmt: skip
        alone = run(component, settings, bars)
        assert alone.height > 10
        assert laws.same(together.filter(pl.col("component") == component), alone), component


FORGOTTEN = [
    ("pivots", "n"), ("pivots", "high_queue"), ("pivots", "lows"), ("pivots", "n_pivots"),
    ("swings", "swings.direction"), ("swings", "swings.high"),
    ("structure by close", "structure.trend"), ("structure by close", "structure.low"),
    ("structure by pattern", "structure.high"), ("structure with protected swings", "structure.origin"),
    ("structure by wick with a buffer", "atr"),
    ("liquidity of all sources", "liquidity.highs"), ("liquidity of all sources", "sessions"),
    ("dealing range of swings", "dealing_range.since_low"), ("dealing range of leg", "dealing_range.leg"),
    ("midpoint at the close", "midpoint.n_far"), ("midpoint at the close", "midpoint.last_reset"),
    ("midpoint at the equilibrium", "midpoint.equilibrium"),
]  # fmt: skip


@pytest.mark.parametrize(("label", "path"), FORGOTTEN, ids=[" ".join(pair) for pair in FORGOTTEN])
def test_a_state_field_that_is_not_saved_is_noticed(label: str, path: str):
    case = next(case for case in CASES if case.label == label)

    class Forgetful(Stream):
        def restore(self, snapshot: dict[str, Any]) -> None:
            super().restore(snapshot)
            field: Any = self._state.view(np.ndarray)
            *outer, last = path.split(".")
            for name in outer:
                field = field[name]
            field[last] = np.zeros((), field[last].dtype)

    def make() -> Stream:
        return Forgetful(case.component, case.params, **case.options())

    with pytest.raises(AssertionError):
        laws.restart_equivalence(make, laws.short_bars())


def test_a_step_that_takes_swings_before_breaks_is_noticed():
    """Structure updated after the swings of its bar loses the break of a level that is replaced on that very bar."""
    bars = random_bars(600, 22)
    breaking = StructureParams(swings=SWINGS)
    params, state, said = params_record(breaking)[0], new_records(1, STATE)[0], []

    for i, bar in enumerate(bars):
        ev.begin(state.events, i, bar.close_ns)
        swings.pivot_update(2, 2, state.pivots, bar, state.events)
        swings.update(params.swings, state.swings, state.pivots, state.events)
        structure.update(params, state.structure, bar, state.swings, state.pivots, state.atr.before, state.events)
        said.append(state.events.items[: state.events.n].copy())

    wrong = tables.events_frame(np.concatenate(said)).filter(pl.col("component") == "structure")
    assert not laws.same(wrong, run("structure", breaking, bars))
