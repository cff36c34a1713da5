"""Fair value gaps: three bars of which the middle one left prices that nobody traded on both sides.

A gap sits on its middle bar and is known one bar later, at the close of the third. What happens to it from the next bar
on is in `zones`: TOUCH at the edge that faces price, MID at half of it, FILL at the far edge, INVERT by a close beyond
it. `advance` lives that life, `create` looks for a new gap; a strategy breaks structure and makes order blocks between
the two. That gaps get filled is no information: random walks fill them too.
"""

from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.domain.records import BAR
from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import zones
from tradesentry.core.strategy.indicators.hygiene import steps_per_unit
from tradesentry.core.strategy.indicators.volatility import AtrParams
from tradesentry.core.utils.kernel import kernel

_COMPONENT: Final = int(ev.Component.GAPS)
_NEW: Final = int(ev.EventCode.FVG_NEW)
_TOUCH: Final = int(ev.EventCode.FVG_TOUCH)
_MID: Final = int(ev.EventCode.FVG_MID)
_FILL: Final = int(ev.EventCode.FVG_FILL)
_INVERT: Final = int(ev.EventCode.FVG_INVERT)
_MERGED: Final = int(ev.EventCode.FVG_MERGED)
_DEAD: Final = int(ev.EventCode.FVG_DEAD)
_EXPIRED: Final = int(ev.EventCode.FVG_EXPIRED)
_DROPPED: Final = int(ev.EventCode.FVG_DROPPED)
_STRICT_OVERLAP: Final = 1


class GapsParams(ParamsModel):
    """Which gaps count, and how long."""

    g_atr: float = Field(0.0, ge=0, le=5, description="Least height, multiples of the ATR before the third bar.")
    g_ticks: int = Field(0, ge=0, le=10_000, description="Least height.", json_schema_extra={"unit": "ticks"})
    body_filter: bool = Field(True, description="The middle bar's body must point the way of the gap.")
    contiguous_only: bool = Field(True, description="No gap across missing bars, a weekend for example.")
    fvg_shape: Literal["plain", "strict_overlap"] = Field(
        "plain", description="strict_overlap: the middle bar must overlap both of its neighbors."
    )
    inversions: bool = Field(False, description="A gap that was closed through becomes a zone of the other direction.")
    join_consecutive: bool = Field(False, description="A gap right after one of its direction takes in the older one.")
    max_age: int = Field(
        500, ge=0, le=100_000, description="Age at which a gap is forgotten; 0: never.",
        json_schema_extra={"unit": "bars"},
    )  # fmt: skip
    atr: AtrParams = AtrParams()


PARAMS = params_dtype(GapsParams)


def state_dtype(capacity: int) -> np.dtype[Any]:
    """Return the layout of the state for `capacity` live gaps a side."""
    return np.dtype(
        [
            ("zones", zones.ring_dtype(capacity)),
            ("n", "i8"),  # bars seen
            ("before", BAR),  # the bar two before the next
            ("last", BAR),  # the bar before the next
            ("last_index", "i8"),
            ("new_direction", "i8"),  # of the gap made on this bar, 0 none
            ("new_id", "i8"),
            ("newest_up", "i8"),  # 1 + index of the bar on which the newest up gap became known, 0 none
            ("newest_down", "i8"),
            ("joinable_id", "i8"),  # gap made on the last bar, 0 none
            ("joinable_direction", "i8"),
        ],
        align=True,
    )


STATE = state_dtype(zones.N_ZONES)


@kernel
def _life(params: Any) -> Any:
    return zones.Life(
        _COMPONENT, _NEW, _TOUCH, _MID, _FILL, _INVERT, _DEAD, _EXPIRED, _DROPPED,
        zones.FILL_FRACTION, 0, 0, int(params.inversions), int(params.max_age),
    )  # fmt: skip


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    zones.reset(state.zones)
    state.n = 0
    state.new_direction = 0
    state.new_id = 0
    state.newest_up = 0
    state.newest_down = 0
    state.joinable_id = 0
    state.joinable_direction = 0


@kernel
def bars_needed(params: Any) -> int:
    """Return the bars before the first gap can be judged: three, and the ATR of the second where one is needed."""
    return int(max(3, params.atr.n_bars + 2)) if params.g_atr > 0.0 else 3


@kernel
def is_ready(params: Any, state: Any) -> bool:
    """Return whether a gap could have been judged."""
    return bool(state.n >= bars_needed(params))


@kernel
def advance(params: Any, state: Any, bar: Any, events: Any) -> int:
    """Take one closed bar in the life of the gaps made on earlier bars.

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
def _overlaps(left: Any, right: Any) -> bool:
    """Return whether two bars traded at a common price."""
    return bool((left.low <= right.high) & (right.low <= left.high))


@kernel
def _direction(params: Any, state: Any, bar: Any, tick: float, atr_before: float) -> int:
    """Return the direction of the gap that the bar completes, 0 for none."""
    before = state.before
    middle = state.last
    direction = 0
    height = 0.0
    if bar.low > before.high:
        direction = 1
        height = bar.low - before.high
    elif bar.high < before.low:
        direction = -1
        height = before.low - bar.high
    if direction == 0 or (params.body_filter and not direction * (middle.close - middle.open) > 0.0):
        return 0
    if params.g_atr > 0.0 and not height >= params.g_atr * atr_before:
        return 0
    # Counted in whole ticks: prices on the grid are, their difference in floats is only almost.
    if params.g_ticks > 0 and tick > 0.0 and np.rint(height * steps_per_unit(tick)) < params.g_ticks:
        return 0
    if params.fvg_shape == _STRICT_OVERLAP and not (_overlaps(before, middle) and _overlaps(middle, bar)):
        return 0
    return direction


@kernel
def _make(params: Any, state: Any, bar: Any, direction: int, atr_before: float, events: Any) -> None:
    ring = state.zones
    life = _life(params)
    near = bar.low if direction > 0 else bar.high
    far = state.before.high if direction > 0 else state.before.low
    if params.join_consecutive and state.joinable_direction == direction:
        older = zones.find(ring, state.joinable_id)
        if older >= 0 and not ring.items[older].is_flipped:
            near = direction * max(direction * near, direction * ring.items[older].near)
            far = direction * min(direction * far, direction * ring.items[older].far)
            zones.remove(ring, older, life, _MERGED, events)
    position = zones.add(ring, direction, near, far, bar, life, events)
    zone = ring.items[position]
    zone.origin_index = state.last_index
    zone.origin_ns = state.last.open_ns
    zone.ruler = atr_before
    zones.announce(ring, position, life, events)
    state.new_direction = direction
    state.new_id = zone.id
    if direction > 0:
        state.newest_up = events.bar_index + 1
    else:
        state.newest_down = events.bar_index + 1


@kernel
def _copy_bar(target: Any, source: Any) -> None:
    target.open_ns = source.open_ns
    target.close_ns = source.close_ns
    target.open = source.open
    target.high = source.high
    target.low = source.low
    target.close = source.close


@kernel
def create(params: Any, state: Any, bar: Any, tick: float, atr_before: float, is_contiguous: bool, events: Any) -> int:
    """Look for a gap that is known at the close of the bar, after `advance` of the same bar.

    Args:
        params: PARAMS record.
        state: STATE record; `new_id` and `new_direction` say what was made.
        bar: Closed bar.
        tick: Smallest price step, 0 for none: then `g_ticks` asks nothing.
        atr_before: ATR of the bar before, price units; NaN makes no gap where `g_atr` asks for one.
        is_contiguous: No time is missing among this bar and the two before it (`hygiene.is_contiguous(state, 2)`).
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    state.new_direction = 0
    state.new_id = 0
    if state.n >= 2 and (is_contiguous or not params.contiguous_only):
        direction = _direction(params, state, bar, tick, atr_before)
        if direction != 0:
            _make(params, state, bar, direction, atr_before, events)
    state.joinable_id = state.new_id
    state.joinable_direction = state.new_direction
    _copy_bar(state.before, state.last)
    _copy_bar(state.last, bar)
    state.last_index = events.bar_index
    state.n += 1
    return ev.status(events)
