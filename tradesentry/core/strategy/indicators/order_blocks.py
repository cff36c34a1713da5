"""Order blocks: the candle that a break of structure started from, as a zone.

A block is known at the close of the bar that broke, not at its candle. For a break of swing p on bar t in direction d
the candle is the extreme against d after p (the last one on ties), or the last one with a body against d from p on.
Both are kept up to date per level, so a break finds them at once. On one bar:

1. `advance`: life of the blocks made earlier (`zones`): TOUCH, MID, BREAK, and DEAD of a breaker;
2. `create`, after structure and before gaps: the block of this bar's break, unless a filter refuses it;
3. `confirm`, after gaps, only where a gap is asked for (`needs_gap`): a block whose leg made no gap before the bar of
   the break waits for one made on that bar or the next, and is known when the gap is.

"Mitigated" means touched to some authors and broken to others, so the word is not used.
"""

from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import structure, zones
from tradesentry.core.strategy.indicators.gaps import GapsParams
from tradesentry.core.strategy.indicators.structure import StructureParams
from tradesentry.core.utils.kernel import copy_record, kernel

N_CANDLES: Final = 128
"""Candles kept: a power of two above the bars that a pivot has to its right."""

_SLOT: Final = N_CANDLES - 1
_COMPONENT: Final = int(ev.Component.ORDER_BLOCKS)
_NEW: Final = int(ev.EventCode.OB_NEW)
_TOUCH: Final = int(ev.EventCode.OB_TOUCH)
_MID: Final = int(ev.EventCode.OB_MID)
_BREAK: Final = int(ev.EventCode.OB_BREAK)
_DEAD: Final = int(ev.EventCode.OB_DEAD)
_EXPIRED: Final = int(ev.EventCode.OB_EXPIRED)
_DROPPED: Final = int(ev.EventCode.OB_DROPPED)
_EXTREME: Final = 0
_BODY: Final = 1


class OrderBlocksParams(ParamsModel):
    """Which candle is the block, which blocks count, and how long."""

    select: Literal["extreme", "last_opposite"] = Field(
        "extreme",
        description="The candle of a break: the extreme after the broken swing, or the last body against the break.",
    )
    zone: Literal["wick", "body"] = Field("wick", description="The block is the candle's range, or its body.")
    zone_break: Literal["close", "wick"] = Field("close", description="Price that must lie beyond a block to break it.")
    breakers: bool = Field(False, description="A broken block becomes a zone of the other direction.")
    max_range_atr: float | None = Field(
        None, ge=0.1, le=20, description="Greatest range of the candle, multiples of the ATR (2 is usual); none: any."
    )
    disp_atr: float = Field(
        0.0, ge=0, le=5, description="Least body of the breaking bar, multiples of the previous ATR."
    )
    needs_gap: bool = Field(False, description="The leg must have made a fair value gap, one bar late at the most.")
    max_age: int = Field(
        500, ge=0, le=100_000, description="Age at which a block is forgotten; 0: never.",
        json_schema_extra={"unit": "bars"},
    )  # fmt: skip
    structure: StructureParams = StructureParams()
    gaps: GapsParams = GapsParams()


PARAMS = params_dtype(OrderBlocksParams)

CANDLE = np.dtype(
    [
        ("is_set", "b1"),
        ("index", "i8"),
        ("open_ns", "i8"),
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
    ],
    align=True,
)
TRACK = np.dtype(
    [
        ("id", "i8"),  # of the swing, 0 none
        ("index", "i8"),  # bar of the swing
        ("extreme", CANDLE),  # after it: lowest low of a swing high, highest high of a swing low
        ("opposite", CANDLE),  # from it on: the last body away from the level
    ],
    align=True,
)
"""What has happened since a level that may break."""

PENDING = np.dtype(
    [
        ("direction", "i8"),  # 0 none
        ("candle", CANDLE),
        ("parent_id", "i8"),
        ("swing_index", "i8"),
    ],
    align=True,
)
"""A block that waits for its gap."""


def state_dtype(capacity: int) -> np.dtype[Any]:
    """Return the layout of the state for `capacity` live blocks a side."""
    return np.dtype(
        [
            ("zones", zones.ring_dtype(capacity)),
            ("n", "i8"),  # bars seen
            ("high", TRACK),
            ("low", TRACK),
            ("origin", TRACK),
            ("now", PENDING),  # of this bar's break
            ("last", PENDING),  # of the break on the bar before
            ("new_id", "i8"),  # block made on this bar, 0 none
            ("new_direction", "i8"),
            ("candles", CANDLE, (N_CANDLES,)),
        ],
        align=True,
    )


STATE = state_dtype(zones.N_ZONES)


@kernel
def _life(params: Any) -> Any:
    return zones.Life(
        _COMPONENT, _NEW, _TOUCH, _MID, 0, _BREAK, _DEAD, _EXPIRED, _DROPPED,
        zones.NO_VALUE, 0, int(params.zone_break), int(params.breakers), int(params.max_age),
    )  # fmt: skip


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    zones.reset(state.zones)
    state.n = 0
    state.high.id = 0
    state.low.id = 0
    state.origin.id = 0
    state.now.direction = 0
    state.last.direction = 0
    state.new_id = 0
    state.new_direction = 0


@kernel
def bars_needed(params: Any) -> int:
    """Return the bars after which the first block can be known."""
    n = structure.bars_needed(params.structure)
    if params.disp_atr > 0.0 or not np.isnan(params.max_range_atr):
        n = max(n, params.structure.atr.n_bars + 2)
    return int(n)


@kernel
def is_ready(params: Any, state: Any) -> bool:
    """Return whether a block could have been made."""
    return bool(state.n >= bars_needed(params))


@kernel
def advance(params: Any, state: Any, bar: Any, events: Any) -> int:
    """Take one closed bar in the life of the blocks made on earlier bars.

    Args:
        params: PARAMS record.
        state: STATE record.
        bar: Closed bar.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    zones.advance(state.zones, bar, _life(params), events)
    return ev.status(events)


@kernel
def _see(track: Any, side: int, candle: Any) -> None:
    """Count a candle after the swing of a level; `side` is +1 for a level above price."""
    extreme = track.extreme
    is_further = candle.low <= extreme.low if side > 0 else candle.high >= extreme.high
    if is_further or not extreme.is_set:
        copy_record(extreme, candle)
    _see_body(track, side, candle)


@kernel
def _see_body(track: Any, side: int, candle: Any) -> None:
    if side * (candle.close - candle.open) < 0.0:
        copy_record(track.opposite, candle)


@kernel
def _follow(state: Any, track: Any, swing: Any, side: int) -> None:
    """Take over a swing that is new or replaced, with the candles from its bar on."""
    if swing.id == 0 or (swing.id == track.id and swing.index == track.index):
        return
    track.id = swing.id
    track.index = swing.index
    track.extreme.is_set = False
    track.opposite.is_set = False
    first = state.n
    oldest = max(0, state.n - N_CANDLES)
    while first > oldest and state.candles[(first - 1) & _SLOT].index >= swing.index:
        first -= 1
    for i in range(first, state.n):
        candle = state.candles[i & _SLOT]
        if candle.index > swing.index:
            _see(track, side, candle)
        else:
            _see_body(track, side, candle)


@kernel
def _push(state: Any, bar: Any, index: int) -> None:
    """Keep the bar as a candle, and show it to every level."""
    candle = state.candles[state.n & _SLOT]
    candle.is_set = True
    candle.index = index
    candle.open_ns = bar.open_ns
    candle.open = bar.open
    candle.high = bar.high
    candle.low = bar.low
    candle.close = bar.close
    state.n += 1


@kernel
def _lives(ring: Any, direction: int, index: int) -> bool:
    """Return whether the candle at `index` is already a live block of that direction."""
    for i in range(ring.n):
        zone = ring.items[i]
        if zone.origin_index == index and zone.direction == direction and not zone.is_flipped:
            return True
    return False


@kernel
def _make(params: Any, state: Any, bar: Any, waiting: Any, events: Any) -> None:
    """Make the block of a break, unless its candle is one already."""
    ring = state.zones
    d = waiting.direction
    candle = waiting.candle
    if _lives(ring, d, candle.index):
        return
    high = candle.high
    low = candle.low
    if params.zone == _BODY:
        high = max(candle.open, candle.close)
        low = min(candle.open, candle.close)
    life = _life(params)
    position = zones.add(ring, d, high if d > 0 else low, low if d > 0 else high, bar, life, events)
    zone = ring.items[position]
    zone.origin_index = candle.index
    zone.origin_ns = candle.open_ns
    zone.parent_id = waiting.parent_id
    zone.other_index = waiting.swing_index
    zones.announce(ring, position, life, events)
    state.new_id = zone.id
    state.new_direction = d


@kernel
def _select(params: Any, state: Any, breaks: Any, atr_before: float, atr: float, bar: Any) -> bool:
    """Write the block that this bar's break asks for into `state.now`; return False when a filter refuses it."""
    d = breaks.direction
    track = state.high if d > 0 else state.low
    if breaks.broken.id != track.id or breaks.broken.index != track.index:
        track = state.origin
    waiting = state.now
    if params.select != _EXTREME and track.opposite.is_set:
        copy_record(waiting.candle, track.opposite)
    elif track.extreme.is_set:
        copy_record(waiting.candle, track.extreme)
    else:
        copy_record(waiting.candle, state.candles[(state.n - 1) & _SLOT])
    height = waiting.candle.high - waiting.candle.low
    if not np.isnan(params.max_range_atr) and not height <= params.max_range_atr * atr:
        return False
    if params.disp_atr > 0.0 and not abs(bar.close - bar.open) >= params.disp_atr * atr_before:
        return False
    waiting.parent_id = breaks.n_breaks
    waiting.swing_index = breaks.broken.index
    return True


@kernel
def create(
    params: Any, state: Any, bar: Any, breaks: Any, newest_up: int, newest_down: int, atr_before: float, atr: float,
    events: Any,
) -> int:  # fmt: skip
    """Make the block of this bar's break, after `advance` and structure and before the gaps of the same bar.

    Args:
        params: PARAMS record.
        state: STATE record; `new_id` and `new_direction` say what was made.
        bar: Closed bar.
        breaks: `structure.STATE`, already updated on this bar.
        newest_up: Bar on which the newest up gap became known, -1 none (`gaps.STATE.newest_up - 1`); read with
            `needs_gap` only.
        newest_down: The same of down gaps.
        atr_before: ATR of the bar before, price units; NaN makes no block where `disp_atr` asks for one.
        atr: ATR of this bar; NaN makes no block where `max_range_atr` asks for one.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    state.new_id = 0
    state.new_direction = 0
    copy_record(state.last, state.now)
    state.now.direction = 0
    _follow(state, state.high, breaks.high.swing, 1)
    _follow(state, state.low, breaks.low.swing, -1)
    d = breaks.direction
    if d != 0:
        if _select(params, state, breaks, atr_before, atr, bar):
            state.now.direction = d
            newest = newest_up if d > 0 else newest_down
            if not params.needs_gap or newest >= breaks.broken.index:
                _make(params, state, bar, state.now, events)
                state.now.direction = 0
        copy_record(state.origin, state.low if d > 0 else state.high)
    _push(state, bar, events.bar_index)
    candle = state.candles[(state.n - 1) & _SLOT]
    if state.high.id > 0:
        _see(state.high, 1, candle)
    if state.low.id > 0:
        _see(state.low, -1, candle)
    if state.origin.id > 0:
        _see(state.origin, -breaks.trend, candle)
    return ev.status(events)


@kernel
def confirm(params: Any, state: Any, bar: Any, gap_direction: int, events: Any) -> int:
    """Make the blocks that waited for a gap made on this bar, after `create` and the gaps of the same bar.

    Args:
        params: PARAMS record.
        state: STATE record.
        bar: Closed bar.
        gap_direction: Direction of the gap made on this bar, 0 none (`gaps.STATE.new_direction`).
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    if gap_direction != 0:
        if state.last.direction == gap_direction:
            _make(params, state, bar, state.last, events)
        if state.now.direction == gap_direction:
            _make(params, state, bar, state.now, events)
            state.now.direction = 0
    return ev.status(events)
