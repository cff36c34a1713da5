"""One list of live zones and their life: touched, half filled, filled, broken, turned around, expired, dropped.

Order blocks, gaps and supply-demand bases differ in how a zone is made and in which steps of its life they speak of;
they share this module, so a touch or a break means the same everywhere. For a zone of direction d, `near` is the edge
that faces price and `far` the other; PX is the low of a bar for d = +1 and its high for d = -1. On one bar, zone by
zone, older ids first:

1. a zone older than `max_age` bars is EXPIRED, before anything else can happen to it;
2. TOUCH: PX at or beyond near; MID: at or beyond the middle; FILL: at or beyond far;
3. BREAK (INVERT of a gap): strictly beyond far, by close or by PX;
4. where broken zones turn around, the zone lives on with direction -d and is DEAD on a later bar strictly beyond near
   again, in the same mode. It keeps its place, its id and its age.

Touches either happen once, or are counted: then a TOUCH is a bar with PX at or beyond near whose predecessor was not.
A full side drops its oldest zone. A bar that changes something costs one walk through the list, any other a few
comparisons (`zone_list`).
"""

from typing import Any

import numpy as np

from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators.zone_list import (
    FILL_FRACTION,
    FILLED,
    HALVED,
    N_ZONES,
    NO_VALUE,
    TOUCHED,
    TOUCHES,
    UNTOUCHED,
    ZONE,
    Life,
    is_quiet,
    reset,
    ring_dtype,
    unwatch,
    watch,
    watch_all,
)
from tradesentry.core.utils.kernel import copy_record, kernel

__all__ = [
    "FILLED", "FILL_FRACTION", "HALVED", "NO_VALUE", "N_ZONES", "TOUCHED", "TOUCHES", "UNTOUCHED", "ZONE", "Life",
    "add", "advance", "announce", "emit", "excursion", "find", "remove", "reset", "ring_dtype",
]  # fmt: skip


@kernel
def emit(zone: Any, life: Any, code: int, price: float, events: Any) -> None:
    """Append an event of `zone`, in the columns of its component; `price` is the edge or level reached."""
    direction = -zone.direction if zone.is_flipped else zone.direction
    item = events.items[ev.new_event(events, life.component, code, direction, zone.id)]
    item.parent_id = zone.parent_id
    item.origin_index = zone.origin_index
    item.origin_ns = zone.origin_ns
    item.price_low = min(zone.near, zone.far)
    item.price_high = max(zone.near, zone.far)
    item.price = price
    item.other_index = zone.other_index
    if life.value == FILL_FRACTION:
        item.value = zone.filled
    elif life.value == TOUCHES:
        item.price = zone.near
        item.other_price = zone.far
        if code == life.new:
            item.value = zone.pattern
        elif code == life.touch:
            item.value = zone.n_touches


@kernel
def _deepen(zone: Any, reach: float) -> None:
    """Move the deepest price and the fill fraction; both only ever grow."""
    d = zone.direction
    if d * (zone.deepest - reach) <= 0.0:
        return
    zone.deepest = reach
    if d * (reach - zone.far) <= 0.0:
        zone.filled = 1.0
    else:
        zone.filled = (zone.near - reach) / (zone.near - zone.far)


@kernel
def _reach(zone: Any, reach: float, life: Any, events: Any) -> None:
    """Tell a zone how far PX came: TOUCH, MID, FILL."""
    d = zone.direction
    was_reached = zone.is_reached if life.repeats != 0 else zone.stage > UNTOUCHED
    zone.is_reached = d * (zone.near - reach) >= 0.0
    if not zone.is_reached:
        return
    if life.fill != 0:
        _deepen(zone, reach)
    if not was_reached:
        zone.n_touches += 1
        zone.stage = max(zone.stage, TOUCHED)
        emit(zone, life, life.touch, zone.near, events)
    if life.mid != 0 and zone.stage < HALVED and d * (zone.mid - reach) >= 0.0:
        zone.stage = HALVED
        emit(zone, life, life.mid, zone.mid, events)
    if life.fill != 0 and zone.stage < FILLED and d * (zone.far - reach) >= 0.0:
        zone.stage = FILLED
        emit(zone, life, life.fill, zone.far, events)


@kernel
def _survives(ring: Any, zone: Any, bar: Any, life: Any, events: Any) -> bool:
    """Take one bar in the life of one zone; return False when it ends on it."""
    d = zone.direction
    if life.max_age > 0 and ring.n_bars - zone.born > life.max_age:
        emit(zone, life, life.expired, np.nan, events)
        return False
    if zone.is_flipped:
        back = bar.close
        if life.by_wick != 0:
            back = bar.high if d > 0 else bar.low
        if d * (back - zone.near) > 0.0:
            emit(zone, life, life.dead, zone.near, events)
            return False
        return True
    reach = bar.low if d > 0 else bar.high
    _reach(zone, reach, life, events)
    judged = reach if life.by_wick != 0 else bar.close
    if d * (zone.far - judged) > 0.0:
        emit(zone, life, life.broken, zone.far, events)
        zone.is_flipped = True
        return life.flips != 0
    return True


@kernel
def _fold(ring: Any, kept: int, zone: Any) -> None:
    """Give the extremes since a zone that goes to the zone before it.

    Each zone holds the extremes only of the bars up to the next zone's creation, so that a bar updates the youngest
    zone alone; what a zone has seen is the extreme of its own and all younger ones.
    """
    if kept > 0:
        before = ring.items[kept - 1]
        before.high = max(before.high, zone.high)
        before.low = min(before.low, zone.low)


@kernel
def _note_peaks(ring: Any) -> None:
    """Bring the best prices of untouched zones up to the last bar."""
    high = -np.inf
    low = np.inf
    for i in range(ring.n - 1, -1, -1):
        zone = ring.items[i]
        high = max(high, zone.high)
        low = min(low, zone.low)
        if zone.n_touches == 0:
            zone.peak = high if zone.direction > 0 else low


@kernel
def _forget(ring: Any, zone: Any) -> None:
    if zone.direction > 0:
        ring.n_up -= 1
    else:
        ring.n_down -= 1


@kernel
def _walk(ring: Any, bar: Any, life: Any, events: Any) -> None:
    """Take one bar in the life of every zone and close the ranks."""
    _note_peaks(ring)
    kept = 0
    for i in range(ring.n):
        zone = ring.items[i]
        if _survives(ring, zone, bar, life, events):
            if kept != i:
                copy_record(ring.items[kept], zone)
            kept += 1
        else:
            _fold(ring, kept, zone)
            _forget(ring, zone)
    ring.n = kept
    watch_all(ring, life)


@kernel
def advance(ring: Any, bar: Any, life: Any, events: Any) -> None:
    """Take one closed bar in the life of all zones made on earlier bars; call it on every bar, before `add`.

    Args:
        ring: List of zones.
        bar: Closed bar.
        life: Life of the component.
        events: Buffer.
    """
    ring.n_bars += 1
    if ring.n == 0:
        return
    if not is_quiet(ring, bar):
        _walk(ring, bar, life, events)
        if ring.n == 0:
            return
    youngest = ring.items[ring.n - 1]
    youngest.high = max(youngest.high, bar.high)
    youngest.low = min(youngest.low, bar.low)


@kernel
def remove(ring: Any, position: int, life: Any, code: int, events: Any) -> None:
    """End the zone at `position` with the event `code`."""
    zone = ring.items[position]
    emit(zone, life, code, np.nan, events)
    _fold(ring, position, zone)
    _forget(ring, zone)
    for i in range(position, ring.n - 1):
        copy_record(ring.items[i], ring.items[i + 1])
    ring.n -= 1
    watch_all(ring, life)


@kernel
def find(ring: Any, zone_id: int) -> int:
    """Return the position of the zone with that id, -1 when it does not live."""
    for i in range(ring.n - 1, -1, -1):
        if ring.items[i].id == zone_id:
            return i
    return -1


@kernel
def add(ring: Any, direction: int, near: float, far: float, bar: Any, life: Any, events: Any) -> int:
    """Make a zone that is known at the close of `bar`, dropping the oldest of a full side; return its position.

    The caller fills origin, parent and what else it knows, then calls `announce`.

    Args:
        ring: List of zones, already advanced to this bar.
        direction: +1 for a zone below price, -1 above it.
        near: Edge that faces price.
        far: The other edge.
        bar: Closed bar.
        life: Life of the component.
        events: Buffer.
    """
    n_side = ring.n_up if direction > 0 else ring.n_down
    if 2 * n_side >= len(ring.items):
        oldest = 0
        while ring.items[oldest].direction != direction:
            oldest += 1
        remove(ring, oldest, life, life.dropped, events)
    zone = ring.items[ring.n]
    ring.last_id += 1
    zone.id = ring.last_id
    zone.direction = direction
    zone.is_flipped = False
    zone.stage = UNTOUCHED
    zone.n_touches = 0
    reach = bar.low if direction > 0 else bar.high
    zone.is_reached = direction * (near - reach) >= 0.0
    zone.near = near
    zone.mid = 0.5 * (near + far)
    zone.far = far
    zone.deepest = near
    zone.filled = 0.0
    zone.born = ring.n_bars
    zone.known_index = events.bar_index
    zone.origin_index = -1
    zone.origin_ns = -1
    zone.parent_id = -1
    zone.other_index = -1
    zone.pattern = 0
    zone.ruler = np.nan
    zone.peak = bar.high if direction > 0 else bar.low
    zone.high = bar.high
    zone.low = bar.low
    if direction > 0:
        ring.n_up += 1
    else:
        ring.n_down += 1
    ring.n += 1
    return int(ring.n - 1)


@kernel
def announce(ring: Any, position: int, life: Any, events: Any) -> None:
    """Emit the creation of the zone at `position` and watch the prices that would change it."""
    zone = ring.items[position]
    if ring.n == 1:
        unwatch(ring)
    watch(ring, zone, life)
    emit(zone, life, life.new, zone.near, events)


@kernel
def excursion(ring: Any, position: int) -> float:
    """Return the greatest favorable distance from near before the first touch, in ATR of the zone's creation.

    Known at each bar and only growing until the first touch; NaN where creation needed no ATR.
    """
    zone = ring.items[position]
    best = zone.peak
    if zone.n_touches == 0:
        for i in range(position, ring.n):
            best = max(best, ring.items[i].high) if zone.direction > 0 else min(best, ring.items[i].low)
    return float(zone.direction * (best - zone.near) / zone.ruler)
