"""The dealing range: from where to where price trades now, its equilibrium, and where in it the close lies.

What anchors the range is the one free choice that decides everything downstream (`range_source`): the older of the
last two swings, the leg of the last break of structure, the previous FX day, or the last completed session. For swings
and legs the range is what price did from that bar through the present one, both included.

Below the middle is discount, above it premium, with a dead band around it. These are halves of the range: other
software calls only its outer twentieths so. Separate because targets, filters and grids must share one equilibrium.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.domain.calendar_records import N_SESSIONS
from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import structure, swings
from tradesentry.core.strategy.indicators.sessions import SessionsParams, Window
from tradesentry.core.strategy.indicators.structure import StructureParams
from tradesentry.core.utils.kernel import copy_record, kernel

DISCOUNT: Final = -1
PREMIUM: Final = 1

_OK: Final = int(Status.OK)
_SWINGS: Final = 0
_LEG: Final = 1
_DAY: Final = 2


class DealingRangeParams(ParamsModel):
    """What anchors the range, and the width of its middle."""

    range_source: Literal["swings", "leg", "day", "session"] = Field(
        "swings",
        description="Anchor: the last two swings, the leg of the last break, the previous FX day, or a session.",
    )
    band: float = Field(
        0.025, ge=0, lt=0.5, description="Half width of the middle that is neither discount nor premium, fraction."
    )
    slot: int = Field(0, ge=0, lt=N_SESSIONS, description="Session slot of range_source session.")
    structure: StructureParams = StructureParams()
    sessions: SessionsParams = SessionsParams()

    @property
    def windows(self) -> Sequence[Window]:
        """Explicit UTC windows in place of the calendar's sessions."""
        return self.sessions.windows


PARAMS = params_dtype(DealingRangeParams)

SPAN = np.dtype([("swing_id", "i8"), ("position", "i8"), ("high", "f8"), ("low", "f8")], align=True)
"""Extremes from the bar of a swing through the present one; swing_id 0: none."""

STATE = np.dtype(
    [
        ("is_set", "b1"),  # the range exists
        ("range_low", "f8"),
        ("range_high", "f8"),
        ("equilibrium", "f8"),
        ("position", "f8"),  # of the close: 0 at the low, 1 at the high; NaN when the range has no height
        ("zone", "i8"),  # DISCOUNT, PREMIUM or 0
        ("since_high", SPAN),  # from the last swing high
        ("since_low", SPAN),
        ("leg", SPAN),  # from the swing where the leg of the last break started
    ],
    align=True,
)


@kernel
def _clear(state: Any) -> None:
    state.is_set = False
    state.range_low = np.nan
    state.range_high = np.nan
    state.equilibrium = np.nan
    state.position = np.nan
    state.zone = 0


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    _clear(state)
    state.since_high.swing_id = 0
    state.since_low.swing_id = 0
    state.leg.swing_id = 0


@kernel
def bars_needed(params: Any) -> int:
    """Return the bars after which the range can exist; two swings, days and sessions may take longer."""
    if params.range_source == _LEG:
        return int(structure.bars_needed(params.structure))
    return int(swings.bars_needed(params.structure.swings)) if params.range_source == _SWINGS else 1


@kernel
def is_ready(_params: Any, state: Any) -> bool:
    """Return whether the range exists."""
    return bool(state.is_set)


@kernel
def _widen(span: Any, bar: Any) -> None:
    span.high = max(span.high, bar.high)
    span.low = min(span.low, bar.low)


@kernel
def _follow(span: Any, swing: Any, pivots: Any) -> None:
    """Begin anew at a swing that is new or replaced, with the bars that its pivot has to its right."""
    if swing.id == 0 or (swing.id == span.swing_id and swing.position == span.position):
        return
    span.swing_id = swing.id
    span.position = swing.position
    span.high = swings.highest_since(pivots, swing.position)
    span.low = swings.lowest_since(pivots, swing.position)


@kernel
def _start_leg(state: Any, structure_state: Any) -> None:
    """Take over the span of the swing where the leg of this bar's break started; without one there is no leg."""
    span = state.since_low if structure_state.direction > 0 else state.since_high
    if structure_state.origin.swing.id > 0 and span.swing_id == structure_state.origin.swing.id:
        copy_record(state.leg, span)
    else:
        state.leg.swing_id = 0


@kernel
def _set(params: Any, state: Any, low: float, high: float, close: float) -> None:
    state.is_set = True
    state.range_low = low
    state.range_high = high
    state.equilibrium = 0.5 * (low + high)
    state.position = (close - low) / (high - low) if high > low else np.nan
    state.zone = 0
    if state.position < 0.5 - params.band:
        state.zone = DISCOUNT
    elif state.position > 0.5 + params.band:
        state.zone = PREMIUM


@kernel
def _set_span(params: Any, state: Any, span: Any, close: float) -> None:
    if span.swing_id > 0:
        _set(params, state, span.low, span.high, close)


@kernel
def update(
    params: Any, state: Any, bar: Any, swing_state: Any, pivot_state: Any, structure_state: Any, session_state: Any
) -> int:
    """Take one closed bar, after structure, swings and sessions took it.

    Args:
        params: PARAMS record.
        state: STATE record.
        bar: Closed bar.
        swing_state: `swings.STATE`.
        pivot_state: `swings.PIVOT_STATE`.
        structure_state: `structure.STATE`; read for range_source leg.
        session_state: `sessions.STATE`; read for range_source day and session.

    Returns:
        Status.OK.
    """
    _widen(state.since_high, bar)
    _widen(state.since_low, bar)
    _widen(state.leg, bar)
    if structure_state.direction != 0:
        _start_leg(state, structure_state)
    _follow(state.since_high, swing_state.high, pivot_state)
    _follow(state.since_low, swing_state.low, pivot_state)
    _clear(state)
    source = params.range_source
    if source == _SWINGS:
        if state.since_high.swing_id > 0 and state.since_low.swing_id > 0:
            is_high_older = state.since_high.swing_id < state.since_low.swing_id
            _set_span(params, state, state.since_high if is_high_older else state.since_low, bar.close)
    elif source == _LEG:
        _set_span(params, state, state.leg, bar.close)
    else:
        found = session_state.previous_day if source == _DAY else session_state.completed[params.slot]
        # A day counts whatever its coverage; of sessions only a valid range may be used.
        if found.n_bars > 0 and (source == _DAY or found.is_valid):
            _set(params, state, found.low, found.high, bar.close)
    return _OK
