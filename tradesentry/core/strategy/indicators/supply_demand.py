"""Supply and demand: a short pause of price, and the bar that left it with force.

A run of one to `max_base` quiet bars is a base; the bar directly after it that departs makes a zone of it, known at its
close. A longer run is a range and void until a bar that is not quiet. A bar that departs is no base bar of the next
run. Freshness (touches so far) and the departure distance (`departure`) are known later and only ever grow; what
happens to a zone is in `zones`.

A touch is a return: price at or beyond proximal on a bar whose predecessor was not, the departure bar included.
"""

from typing import Any, Final

import numpy as np
from pydantic import Field

from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import zones
from tradesentry.core.strategy.indicators.volatility import AtrParams
from tradesentry.core.utils.kernel import kernel

_COMPONENT: Final = int(ev.Component.SUPPLY_DEMAND)
_NEW: Final = int(ev.EventCode.SD_NEW)
_TOUCH: Final = int(ev.EventCode.SD_TOUCH)
_BREAK: Final = int(ev.EventCode.SD_BREAK)
_EXPIRED: Final = int(ev.EventCode.SD_EXPIRED)
_DROPPED: Final = int(ev.EventCode.SD_DROPPED)
_LEAST_BODY: Final = 0.5
"""Body of a departure bar as a fraction of its range."""


class SupplyDemandParams(ParamsModel):
    """What makes a base and a departure."""

    base_body: float = Field(0.5, ge=0, le=1, description="Greatest body of a base bar, fraction of its range.")
    base_atr: float = Field(0.8, ge=0, le=5, description="Or its greatest range, multiples of the previous ATR.")
    max_base: int = Field(6, ge=1, le=50, description="Longest base.", json_schema_extra={"unit": "bars"})
    dep_atr: float = Field(
        1.2, ge=0, le=10, description="Least body of the departure bar, multiples of the previous ATR."
    )
    contiguous_only: bool = Field(False, description="No base or departure across missing bars.")
    max_age: int = Field(
        500, ge=0, le=100_000, description="Age at which a zone is forgotten; 0: never.",
        json_schema_extra={"unit": "bars"},
    )  # fmt: skip
    atr: AtrParams = AtrParams()


PARAMS = params_dtype(SupplyDemandParams)


def state_dtype(capacity: int) -> np.dtype[Any]:
    """Return the layout of the state for `capacity` live zones a side."""
    return np.dtype(
        [
            ("zones", zones.ring_dtype(capacity)),
            ("n", "i8"),  # bars seen
            ("n_base", "i8"),  # length of the present run of base bars
            ("base_index", "i8"),  # its first bar
            ("base_ns", "i8"),
            ("base_high", "f8"),
            ("base_low", "f8"),
            ("body_high", "f8"),
            ("body_low", "f8"),
            ("leg", "i8"),  # direction of the body of the last bar that was no base bar
            ("new_id", "i8"),  # zone made on this bar, 0 none
            ("new_direction", "i8"),
        ],
        align=True,
    )


STATE = state_dtype(zones.N_ZONES)


@kernel
def _life(params: Any) -> Any:
    return zones.Life(
        _COMPONENT, _NEW, _TOUCH, 0, 0, _BREAK, 0, _EXPIRED, _DROPPED, zones.TOUCHES, 1, 0, 0, int(params.max_age)
    )


@kernel
def clear(state: Any) -> None:
    """Drop the present run, after a GAP_RESET; zones stay."""
    state.n_base = 0


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    clear(state)
    zones.reset(state.zones)
    state.n = 0
    state.leg = 0
    state.new_id = 0
    state.new_direction = 0


@kernel
def bars_needed(params: Any) -> int:
    """Return the bars before the first zone is possible: the ATR, a base bar and a departure bar."""
    return int(params.atr.n_bars + 3)


@kernel
def is_ready(params: Any, state: Any) -> bool:
    """Return whether a zone could have been made."""
    return bool(state.n >= bars_needed(params))


@kernel
def advance(params: Any, state: Any, bar: Any, events: Any) -> int:
    """Take one closed bar in the life of the zones made on earlier bars.

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
def _departs(params: Any, state: Any, bar: Any, atr_before: float) -> int:
    """Return the direction in which the bar leaves the present base, 0 when it does not."""
    if state.n_base == 0 or state.n_base > params.max_base:
        return 0
    body = abs(bar.close - bar.open)
    if not (body >= params.dep_atr * atr_before and body >= _LEAST_BODY * (bar.high - bar.low)):
        return 0
    if bar.close > state.base_high:
        return 1
    return -1 if bar.close < state.base_low else 0


@kernel
def _make(params: Any, state: Any, bar: Any, direction: int, atr_before: float, events: Any) -> None:
    ring = state.zones
    life = _life(params)
    proximal = state.body_high if direction > 0 else state.body_low
    distal = min(state.base_low, bar.low) if direction > 0 else max(state.base_high, bar.high)
    position = zones.add(ring, direction, proximal, distal, bar, life, events)
    zone = ring.items[position]
    zone.origin_index = state.base_index
    zone.origin_ns = state.base_ns
    zone.pattern = state.leg
    zone.ruler = atr_before
    zones.announce(ring, position, life, events)
    state.new_id = zone.id
    state.new_direction = direction


@kernel
def _add_base_bar(state: Any, bar: Any, index: int) -> None:
    body_high = max(bar.open, bar.close)
    body_low = min(bar.open, bar.close)
    if state.n_base == 0:
        state.base_index = index
        state.base_ns = bar.open_ns
        state.base_high = bar.high
        state.base_low = bar.low
        state.body_high = body_high
        state.body_low = body_low
    else:
        state.base_high = max(state.base_high, bar.high)
        state.base_low = min(state.base_low, bar.low)
        state.body_high = max(state.body_high, body_high)
        state.body_low = min(state.body_low, body_low)
    state.n_base += 1


@kernel
def _is_base(params: Any, bar: Any, atr_before: float) -> bool:
    """Return whether the bar is quiet; before the ATR exists no bar is."""
    height = bar.high - bar.low
    is_small = abs(bar.close - bar.open) <= params.base_body * height or height <= params.base_atr * atr_before
    return bool(is_small and not np.isnan(atr_before))


@kernel
def create(params: Any, state: Any, bar: Any, atr_before: float, is_contiguous: bool, events: Any) -> int:
    """Take one closed bar into the present base, or out of it, after `advance` of the same bar.

    Args:
        params: PARAMS record.
        state: STATE record; `new_id` and `new_direction` say what was made.
        bar: Closed bar.
        atr_before: ATR of the bar before, price units, NaN while unknown.
        is_contiguous: No time is missing between the bar before and this one (`hygiene.is_contiguous(state, 1)`).
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    state.new_id = 0
    state.new_direction = 0
    if params.contiguous_only and not is_contiguous:
        state.n_base = 0
    direction = _departs(params, state, bar, atr_before)
    if direction != 0:
        _make(params, state, bar, direction, atr_before, events)
    if direction == 0 and _is_base(params, bar, atr_before):
        _add_base_bar(state, bar, events.bar_index)
    else:
        state.n_base = 0
        state.leg = int(np.sign(bar.close - bar.open))
    state.n += 1
    return ev.status(events)


@kernel
def departure(state: Any, position: int) -> float:
    """Return how far price left the zone at `position` before its first touch, in ATR of the bar before departure."""
    return zones.excursion(state.zones, position)
