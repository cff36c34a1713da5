"""A strategy of a few lines with a choice of faults, so that every check can be seen to pass and to fail."""

from itertools import count
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.domain.records import N_INTENTS
from tradesentry.core.strategy import intents as write
from tradesentry.core.strategy.base_strategy import BaseStrategy, StrategyConfig
from tradesentry.core.utils.kernel import kernel, new_records

N_FUTURE = 100_000
FUTURE: dict[str, Any] = {"mids": np.zeros(0)}
"""What the fault `peeks` knows: the whole series, filled in by the test for the bars that are played."""
STARTS = count(1)
LUCKY_PIPS = 16.0
"""The one distance at which the fault `spike` knows the future."""
MARKET = int(write.MARKET_ORDER)
MOMENTUM, BUYS_ONLY, PEEKS, WRITES_PARAMS, DRAWS_STATE, OVERFLOWS, FAILS, SPIKE, BABBLES, MISCOUNTS = range(10)


class TinyConfig(StrategyConfig):
    """What the tiny strategy lets a test set."""

    behavior: Literal[
        "momentum", "buys_only", "peeks", "writes_params", "draws_state", "overflows", "fails", "spike",
        "babbles", "miscounts",
    ] = Field("momentum", description="Honest momentum, or one of the faults.")  # fmt: skip
    every_bars: int = Field(8, ge=1, le=500, description="Bars between two entries.")
    stop_pips: float = Field(16.0, gt=0, le=500, description="Distance of the stop.")
    hold_bars: int = Field(6, ge=1, le=500, description="Longest trade.")


STATE = np.dtype([("n_bars", "i8"), ("drawn", "i8"), ("last", "f8"), ("side", "i8")], align=True)


@kernel
def side_of(params, state, mid):
    """Return the side that the chosen behavior wants."""
    if params.behavior == BUYS_ONLY:
        return 1
    if params.behavior == PEEKS or (params.behavior == SPIKE and params.stop_pips == LUCKY_PIPS):
        later = min(state.n_bars + params.hold_bars, params.n_future - 1)
        mid, last = params.future[later], mid
    elif params.behavior == WRITES_PARAMS:
        params.hidden += 1
        return 1 if params.hidden % 2 == 0 else -1
    elif params.behavior == DRAWS_STATE:
        return 1 if (state.drawn + state.n_bars // params.every_bars) % 3 == 0 else -1
    else:
        last = state.last
    if last <= 0.0:
        return 0
    return 1 if mid > last else -1 if mid < last else 0


@kernel
def step(params, state, bar, view, intents):
    """Follow the last move every few bars, with a stop and a time exit."""
    state.n_bars += 1
    mid = bar.close + bar.spread / 2
    is_due = state.n_bars % params.every_bars == 0
    n = 0
    if is_due and params.behavior == FAILS:
        return -7
    if is_due and params.behavior == MISCOUNTS:
        return 1_000
    if is_due and params.behavior == BABBLES:
        for i in range(3 * N_INTENTS):
            n = write.enter(intents, n, MARKET, 1, np.nan, bar.close - view.pip, np.nan, params.risk)
            intents[n - 1].tag = i
        return n
    if is_due and (view.n_positions + view.n_orders == 0 or params.behavior == OVERFLOWS):
        state.side = side_of(params, state, mid)
        if state.side != 0:
            price = bar.close if state.side > 0 else bar.close + bar.spread
            stop = price - state.side * params.stop_pips * view.pip
            n = write.enter(intents, 0, MARKET, state.side, np.nan, stop, np.nan, params.risk)
            intents[0].exits.max_bars = params.hold_bars
            intents[0].tag = 1
    if is_due:
        state.last = mid
    return n


class TinyStrategy(BaseStrategy):
    """Momentum in one line."""

    name = "tiny"
    summary = "For tests."
    Config = TinyConfig
    STATE = STATE
    step = step
    EXTRA_PARAMS: ClassVar[list[tuple[str, Any]]] = [
        ("hidden", "i8"),
        ("n_future", "i8"),
        ("future", "f8", (N_FUTURE,)),  # type: ignore[list-item]
    ]
    TAGS: ClassVar[dict[int, str]] = {1: "momentum"}

    @classmethod
    def fill_params(cls, config, record):
        mids = FUTURE["mids"][:N_FUTURE]
        record.hidden, record.n_future = 0, len(mids)
        record.future[: len(mids)] = mids

    @classmethod
    def new_state(cls, config):
        state = new_records(1, STATE)
        if config.behavior == "draws_state":
            state.drawn = next(STARTS)
        return state
