"""The midpoint that mean reversion and grids trade around, and when it may move.

An anchor price is reset by structure (a CHoCH, or a BOS that moves the equilibrium far), by drift (enough consecutive
closes far from the anchor) or by the calendar (a new FX day or week). Never under an open position: above the exposure
limit the reset is deferred, announced once, and made when the exposure is gone. Moving the center under a position is
averaging down by another name.

The first anchor is the first one that exists and makes no event. A deferred reset and the RESET that follows have one
id. Separate from the dealing range because the anchor stays where it was when the equilibrium moves on.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import dealing_range
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators.dealing_range import DealingRangeParams
from tradesentry.core.strategy.indicators.sessions import Window
from tradesentry.core.utils.kernel import kernel

NO_RULE: Final = 0
STRUCTURE_RULE: Final = 1
DRIFT_RULE: Final = 2
CALENDAR_RULE: Final = 3

_MIDPOINT: Final = int(ev.Component.MIDPOINT)
_RESET: Final = int(ev.EventCode.RESET)
_RESET_DEFERRED: Final = int(ev.EventCode.RESET_DEFERRED)
_ANCHOR_CLOSE: Final = 0
_CALENDAR_OFF: Final = 0
_CALENDAR_DAY: Final = 1


class MidpointParams(ParamsModel):
    """What the anchor is and what resets it."""

    anchor: Literal["close", "eq"] = Field("close", description="A new anchor: the close, or the equilibrium.")
    reset_move: float = Field(
        1.0, ge=0, le=10, description="Move of the equilibrium by a BOS that resets, multiples of the ATR."
    )
    reset_k: float = Field(3.0, gt=0, le=20, description="Distance of closes that reset, multiples of the ATR.")
    reset_n: int = Field(
        3, ge=1, le=50, description="Consecutive closes that far away.", json_schema_extra={"unit": "bars"}
    )
    reset_calendar: Literal["off", "fx_day", "fx_week"] = Field("off", description="Reset when one begins.")
    reset_max_exposure: float = Field(0.0, ge=0, description="Exposure up to which a reset may be made; 0: flat only.")
    cooldown: int = Field(
        12,
        ge=0,
        le=1_000,
        description="Bars since the last reset that must be exceeded.",
        json_schema_extra={"unit": "bars"},
    )
    dealing_range: DealingRangeParams = DealingRangeParams()

    @property
    def windows(self) -> Sequence[Window]:
        """Explicit UTC windows in place of the calendar's sessions."""
        return self.dealing_range.windows


PARAMS = params_dtype(MidpointParams)
STATE = np.dtype(
    [
        ("n", "i8"),  # bars seen
        ("n_resets", "i8"),
        ("is_set", "b1"),
        ("is_deferred", "b1"),  # a reset waits for the exposure to go
        ("is_new", "b1"),  # this bar made a reset
        ("rule", "i8"),  # of the last or the waiting reset
        ("anchor", "f8"),  # works from the next bar on
        ("last_reset", "i8"),  # value of n at the last reset
        ("n_far", "i8"),  # consecutive closes far from the anchor
        ("equilibrium", "f8"),  # one bar ago
        ("period_ns", "i8"),  # which FX day or week the last bar was in
    ],
    align=True,
)


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    state.n = 0
    state.n_resets = 0
    state.is_set = False
    state.is_deferred = False
    state.is_new = False
    state.rule = NO_RULE
    state.anchor = np.nan
    state.last_reset = 0
    state.n_far = 0
    state.equilibrium = np.nan
    state.period_ns = 0


@kernel
def bars_needed(params: Any) -> int:
    """Return the bars before every rule can work: ATR, drift and, for anchor eq, the dealing range."""
    n = params.dealing_range.structure.atr.n_bars + params.reset_n
    return int(max(n, dealing_range.bars_needed(params.dealing_range)))


@kernel
def is_ready(_params: Any, state: Any) -> bool:
    """Return whether an anchor exists."""
    return bool(state.is_set)


@kernel
def _has_turned(params: Any, state: Any, clock: Any) -> bool:
    """Return whether this bar is the first of an FX day or week."""
    if params.reset_calendar == _CALENDAR_OFF:
        return False
    period_ns = clock.fx_day_start_ns if params.reset_calendar == _CALENDAR_DAY else clock.week_end_ns
    has_turned = state.period_ns != 0 and period_ns != state.period_ns
    state.period_ns = period_ns
    return bool(has_turned)


@kernel
def _find_rule(
    params: Any, state: Any, bar: Any, structure_state: Any, equilibrium: float, atr: float, has_turned: bool
) -> int:
    """Return which rule asks for a reset on this bar; comparisons with what does not exist (NaN) are false."""
    state.n_far = state.n_far + 1 if abs(bar.close - state.anchor) > params.reset_k * atr else 0
    if structure_state.direction != 0:
        if structure_state.is_choch or abs(equilibrium - state.equilibrium) > params.reset_move * atr:
            return STRUCTURE_RULE
    if state.n_far >= params.reset_n:
        return DRIFT_RULE
    return CALENDAR_RULE if has_turned else NO_RULE


@kernel
def _emit(state: Any, bar: Any, code: int, object_id: int, anchor: float, events: Any) -> None:
    item = events.items[ev.new_event(events, _MIDPOINT, code, 0, object_id)]
    item.origin_index = events.bar_index
    item.origin_ns = bar.open_ns
    item.price = anchor
    item.other_price = state.anchor
    item.value = state.rule


@kernel
def _decide(params: Any, state: Any, bar: Any, rule: int, anchor: float, exposure: float, events: Any) -> None:
    """Make, defer or ignore the reset that `rule` asks for."""
    is_cooling = state.n_resets > 0 and state.n - state.last_reset <= params.cooldown
    if is_cooling or np.isnan(anchor) or (rule == NO_RULE and not state.is_deferred):
        return
    if abs(exposure) > params.reset_max_exposure:
        if not state.is_deferred:
            state.is_deferred = True
            state.rule = rule
            _emit(state, bar, _RESET_DEFERRED, state.n_resets + 1, anchor, events)
        return
    if not state.is_deferred:
        state.rule = rule
    state.n_resets += 1
    _emit(state, bar, _RESET, state.n_resets, anchor, events)
    state.anchor = anchor
    state.is_new = True
    state.is_deferred = False
    state.last_reset = state.n
    state.n_far = 0


@kernel
def update(
    params: Any, state: Any, bar: Any, clock: Any, structure_state: Any, range_state: Any, exposure: float, atr: float,
    events: Any,
) -> int:  # fmt: skip
    """Take one closed bar; emit RESET where the anchor moves and RESET_DEFERRED where it would but for the exposure.

    Price is the new anchor, other_price the old one, value the rule: 1 structure, 2 drift, 3 calendar, the first that
    holds. A deferred reset keeps its rule and takes the anchor of the bar on which it is made.

    Args:
        params: PARAMS record.
        state: STATE record.
        bar: Closed bar.
        clock: CLOCK of the bar; read only for `reset_calendar`.
        structure_state: `structure.STATE`, already updated on this bar.
        range_state: `dealing_range.STATE`, already updated on this bar.
        exposure: Of the positions that the anchor carries, any unit; its size counts.
        atr: ATR of this bar, price units, NaN while it does not exist.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    state.n += 1
    state.is_new = False
    equilibrium = range_state.equilibrium if range_state.is_set else np.nan
    anchor = bar.close if params.anchor == _ANCHOR_CLOSE else equilibrium
    has_turned = _has_turned(params, state, clock)
    if state.is_set:
        rule = _find_rule(params, state, bar, structure_state, equilibrium, atr, has_turned)
        _decide(params, state, bar, rule, anchor, exposure, events)
    elif not np.isnan(anchor):
        state.is_set = True
        state.anchor = anchor
    state.equilibrium = equilibrium
    return ev.status(events)
