"""Market structure: which swing levels price breaks, and what that says about the trend.

A close (or wick) strictly beyond the last swing high or low is a break, one per level. With the trend state it is a
break of structure (BOS), against it a change of character (CHoCH); the label `pattern` looks at the swings instead of
the state, because the public conventions disagree. On one bar:

1. levels follow the swings as they stood at the close of the bar before (a new or replaced swing is unbroken again);
2. the bar enters the extremes since each level;
3. each side is judged; when both break, only the side of the bar's body counts;
4. the break is labelled and turns the trend state its way.

Separate from the swings, which are updated after it: a level confirmed on a bar can be broken on the next one at the
earliest. Zones, ranges and strategies read here what broke, from which swing the leg started, and the trend state.
"""

from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import swings
from tradesentry.core.strategy.indicators.swings import SWING, SwingsParams
from tradesentry.core.strategy.indicators.volatility import AtrParams
from tradesentry.core.utils.kernel import copy_record, kernel

_STRUCTURE: Final = int(ev.Component.STRUCTURE)
_BOS: Final = int(ev.EventCode.BOS)
_CHOCH: Final = int(ev.EventCode.CHOCH)
_STATE_LABEL: Final = 0
_CLOSE_MODE: Final = 0
_PROTECTED: Final = 1


class StructureParams(ParamsModel):
    """What counts as a break of a swing, and how it is called."""

    label_mode: Literal["state", "pattern"] = Field(
        "state",
        description="A CHoCH breaks against the trend state, or a swing after which the other side was exceeded.",
    )
    break_mode: Literal["close", "wick"] = Field("close", description="Price that must lie beyond the level.")
    buffer_atr: float = Field(
        0.0, ge=0, le=2, description="How far beyond the level a break begins, multiples of the previous ATR."
    )
    choch_level: Literal["last", "protected"] = Field(
        "last",
        description="Level of a break against the trend: the last swing, or the one where the last leg started, "
        "unless that was broken before.",
    )
    swings: SwingsParams = SwingsParams()
    atr: AtrParams = AtrParams()


PARAMS = params_dtype(StructureParams)

LEVEL = np.dtype(
    [
        ("swing", SWING),
        ("is_broken", "b1"),
        ("extreme", "f8"),  # of a high: lowest low of the bars after its bar; of a low: their highest high
    ],
    align=True,
)
"""A swing as something that can be broken."""

STATE = np.dtype(
    [
        ("trend", "i8"),  # T: +1, -1, 0 before the first break
        ("n_breaks", "i8"),  # the last id
        ("direction", "i8"),  # of the break on this bar, 0 none
        ("is_choch", "b1"),  # label of the last break
        ("break_index", "i8"),  # bar of the last break
        ("break_ns", "i8"),  # its open
        ("broken", SWING),  # what the last break broke
        ("origin", LEVEL),  # swing of the other side from which its leg started; id 0 none
        ("high", LEVEL),  # last swing high as of the bar before
        ("low", LEVEL),
    ],
    align=True,
)


@kernel
def _forget(level: Any) -> None:
    level.swing.id = 0
    level.swing.position = -1
    level.swing.price = np.nan
    level.is_broken = False
    level.extreme = np.nan


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    state.trend = 0
    state.n_breaks = 0
    state.direction = 0
    state.is_choch = False
    state.break_index = -1
    state.break_ns = -1
    state.broken.id = 0
    _forget(state.origin)
    _forget(state.high)
    _forget(state.low)


@kernel
def bars_needed(params: Any) -> int:
    """Return the bars after which the first break can be known: one after the first swing, and the buffer's ATR."""
    n = swings.bars_needed(params.swings) + 1
    if params.buffer_atr > 0.0:
        n = max(n, params.atr.n_bars + 2)
    return int(n)


@kernel
def is_ready(_params: Any, state: Any) -> bool:
    """Return whether a trend state exists."""
    return bool(state.trend != 0)


@kernel
def _follow(level: Any, swing: Any, pivots: Any, side: int) -> None:
    """Take over a swing that is new or replaced, with the bars that its pivot had to its right."""
    if swing.id == 0 or (swing.id == level.swing.id and swing.position == level.swing.position):
        return
    copy_record(level.swing, swing)
    level.is_broken = False
    after = swing.position + 1
    level.extreme = swings.lowest_since(pivots, after) if side > 0 else swings.highest_since(pivots, after)


@kernel
def _widen(state: Any, bar: Any) -> None:
    """Count the bar into the extreme since each level."""
    state.high.extreme = min(state.high.extreme, bar.low)
    state.low.extreme = max(state.low.extreme, bar.high)
    if state.trend > 0:
        state.origin.extreme = max(state.origin.extreme, bar.high)
    else:
        state.origin.extreme = min(state.origin.extreme, bar.low)


@kernel
def _is_beyond(params: Any, level: Any, side: int, bar: Any, buffer: float) -> bool:
    """Return whether the bar lies strictly beyond a level; a buffer whose ATR does not exist is never passed."""
    price = bar.close
    if params.break_mode != _CLOSE_MODE:
        price = bar.high if side > 0 else bar.low
    return bool(level.swing.id > 0 and side * price > side * level.swing.price + buffer)


@kernel
def _is_protected(params: Any, state: Any, side: int) -> bool:
    """Return whether a break on `side` is judged against the origin of the last leg.

    An origin that was broken before its leg started can not be broken again; then the last swing counts, as ever.
    """
    is_usable = state.origin.swing.id > 0 and not state.origin.is_broken
    return bool(params.choch_level == _PROTECTED and state.trend == -side and is_usable)


@kernel
def _breaks(params: Any, state: Any, side: int, bar: Any, buffer: float) -> bool:
    """Return whether the bar breaks its level on `side` for the first time."""
    if _is_protected(params, state, side):
        return _is_beyond(params, state.origin, side, bar, buffer)
    level = state.high if side > 0 else state.low
    return bool(not level.is_broken and _is_beyond(params, level, side, bar, buffer))


@kernel
def _break(params: Any, state: Any, side: int, bar: Any, buffer: float, events: Any) -> None:
    """Label the break of the level on `side`, announce it, and start the next leg from the last swing opposite."""
    last = state.high if side > 0 else state.low
    opposite = state.low if side > 0 else state.high
    level = state.origin if _is_protected(params, state, side) else last
    if params.label_mode == _STATE_LABEL:
        is_choch = state.trend == -side
    else:
        is_choch = side * (level.extreme - level.swing.opposite) < 0.0
    state.n_breaks += 1
    item = events.items[ev.new_event(events, _STRUCTURE, _CHOCH if is_choch else _BOS, side, state.n_breaks)]
    item.parent_id = level.swing.id
    item.origin_index = level.swing.index
    item.origin_ns = level.swing.open_ns
    item.price = level.swing.price
    item.value = state.trend
    copy_record(state.broken, level.swing)
    if _is_beyond(params, last, side, bar, buffer):
        last.is_broken = True
    copy_record(state.origin, opposite)
    state.trend = side
    state.direction = side
    state.is_choch = is_choch
    state.break_index = events.bar_index
    state.break_ns = bar.open_ns


@kernel
def update(
    params: Any, state: Any, bar: Any, swing_state: Any, pivot_state: Any, atr_before: float, events: Any
) -> int:
    """Take one closed bar; emit BOS or CHOCH where it breaks a level that was known one bar earlier.

    Direction is that of the break, origin the bar of the broken swing, parent_id its id, price the level, value the
    trend state before. `state.direction` is 0 on a bar without a break. The leg of a break starts at the last swing of
    the other side that is known then, whatever the label.

    Args:
        params: PARAMS record.
        state: STATE record.
        bar: Closed bar.
        swing_state: `swings.STATE`, not yet updated on this bar.
        pivot_state: `swings.PIVOT_STATE`, not yet updated on this bar.
        atr_before: ATR one bar ago, price units; read only with a buffer, NaN while it does not exist.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    state.direction = 0
    _follow(state.high, swing_state.high, pivot_state, 1)
    _follow(state.low, swing_state.low, pivot_state, -1)
    _widen(state, bar)
    buffer = params.buffer_atr * atr_before if params.buffer_atr > 0.0 else 0.0
    is_up = _breaks(params, state, 1, bar, buffer)
    is_down = _breaks(params, state, -1, bar, buffer)
    if is_up and is_down:
        body = bar.close - bar.open
        is_up = body > 0.0 or (body == 0.0 and state.trend >= 0)
        is_down = not is_up
    if is_up:
        _break(params, state, 1, bar, buffer, events)
    elif is_down:
        _break(params, state, -1, bar, buffer, events)
    return ev.status(events)
