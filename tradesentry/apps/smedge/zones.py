"""The leg of a break and where its retracement is entered: block, gaps, their overlap, breakers; discount and pools.

A leg runs from its start (the low since the broken swing, for a purchase) to a running extreme that goes on until the
order is filled. Its zones are the block of the break, the gaps made on the way up to one bar after the break, what
block and gap both cover, and broken blocks of the other side. A zone that price stands in when it becomes known waits
until a close lies half an ATR away from it; then it is entered once: when price has been at its entry point, or closed
beyond it, it is spent.

All prices are bids, mirrored by `side`: a higher purchase and a lower sale are both "nearer".
"""

import math
from typing import Any, Final

from tradesentry.apps.smedge.layout import Kind, Stage
from tradesentry.core.strategy.indicators import zones as lists
from tradesentry.core.utils.kernel import copy_record, kernel

_OB: Final = int(Kind.OB)
_FVG: Final = int(Kind.FVG)
_OVERLAP: Final = int(Kind.OVERLAP)
_BREAKER: Final = int(Kind.BREAKER)
_WAITING: Final = int(Stage.WAITING)
_READY: Final = int(Stage.READY)
_SPENT: Final = int(Stage.SPENT)
_ZONE_FVG: Final = 0
_ZONE_OB: Final = 1
_ZONE_OVERLAP: Final = 2
_MID: Final = 1
_SKIP: Final = 1
DEPARTURE_ATR: Final = 0.5
"""How far price must depart from a zone that it stood in, multiples of the ATR of the break."""
NO_POOL_R: Final = 2.0


@kernel
def _add(params: Any, leg: Any, kind: int, zone_id: int, near: float, far: float, close: float, index: int) -> None:
    """Take a zone into the leg, unless its entry does not lie before the stop."""
    side = leg.side
    point = params.ob_entry if kind == _OB or kind == _BREAKER else params.fvg_entry
    entry = 0.5 * (near + far) if point == _MID else near
    if not side * (entry - leg.stop) > 0.0:
        return
    zone = leg.zones[leg.n_zones]
    leg.n_zones += 1
    zone.kind = kind
    zone.id = zone_id
    zone.known_index = index
    zone.near = near
    zone.far = far
    zone.entry = entry
    zone.stage = _READY if side * (close - near) > 0.0 else _WAITING


@kernel
def _add_gap(params: Any, leg: Any, gap: Any, close: float, index: int) -> None:
    """Take a gap into the leg, or what it shares with the block."""
    if params.zone != _ZONE_OVERLAP:
        _add(params, leg, _FVG, gap.id, gap.near, gap.far, close, index)
        return
    side = leg.side
    near = side * min(side * gap.near, side * leg.block_near)
    far = side * max(side * gap.far, side * leg.block_far)
    if side * (near - far) > 0.0:
        _add(params, leg, _OVERLAP, gap.id, near, far, close, index)


@kernel
def _find_block(state: Any, side: int) -> int:
    """Return the position of the block of this bar's break: made now, or its candle was one already; -1 none."""
    ring = state.blocks.zones
    if state.blocks.new_id > 0:
        return lists.find(ring, state.blocks.new_id)
    for i in range(ring.n - 1, -1, -1):
        zone = ring.items[i]
        is_same = zone.origin_index == state.blocks.now.candle.index
        if is_same and zone.direction == side and not zone.is_flipped:
            return i
    return -1


@kernel
def _collect(params: Any, state: Any, leg: Any, close: float) -> None:
    """Take in the zones that are known at the break."""
    side = leg.side
    index = leg.break_index
    if params.zone != _ZONE_FVG and params.zone != _ZONE_OVERLAP:
        _add(params, leg, _OB, leg.block_id, leg.block_near, leg.block_far, close, index)
    if params.zone != _ZONE_OB:
        ring = state.gaps.zones
        for i in range(ring.n):
            gap = ring.items[i]
            if gap.direction == side and gap.origin_index >= leg.start_index:
                _add_gap(params, leg, gap, close, index)
    if params.use_breakers:
        ring = state.blocks.zones
        for i in range(ring.n):
            block = ring.items[i]
            if block.is_flipped and block.direction == -side:
                # What was the far edge of the block now faces price.
                _add(params, leg, _BREAKER, block.id, block.far, block.near, close, index)


@kernel
def forget_gaps(state: Any) -> None:
    """Drop the gaps that lie before the start of any leg to come: it only moves on, so no leg will ever take them in.

    What is left are a few gaps, and a bar that touches one of them costs little.
    """
    ring = state.gaps.zones
    kept = 0
    n_up = 0
    for i in range(ring.n):
        gap = ring.items[i]
        if gap.origin_index < state.tracks[0 if gap.direction > 0 else 1].start_index:
            continue
        if kept != i:
            copy_record(ring.items[kept], gap)
        kept += 1
        if gap.direction > 0:
            n_up += 1
    ring.n = kept
    ring.n_up = n_up
    ring.n_down = kept - n_up


@kernel
def start_leg(params: Any, state: Any, leg: Any, bar: Any, trigger: int) -> None:
    """Make `leg` the leg of this bar's break; a leg whose block does not exist has side 0.

    The stop lies beyond the far edge of the block and, after a sweep, beyond its extreme too; it never moves.

    Args:
        params: Parameters of smedge.
        state: STATE, all components updated.
        leg: LEG to write.
        bar: Closed bar.
        trigger: Trigger of the break.
    """
    side = state.structure.direction
    row = 0 if side > 0 else 1
    leg.side = 0
    position = _find_block(state, side)
    if position < 0 or not state.atr.value > 0.0:
        return
    block = state.blocks.zones.items[position]
    track = state.tracks[row]
    sweep = state.sweeps[row]
    leg.side = side
    leg.trigger = trigger
    leg.break_id = state.structure.n_breaks
    leg.break_index = state.events.bar_index
    leg.start = track.start
    leg.start_index = track.start_index
    leg.reach = track.reach
    leg.atr = state.atr.value
    leg.ends_index = leg.break_index + params.order_life
    leg.has_rested = False
    leg.block_id = block.id
    leg.block_near = block.near
    leg.block_far = block.far
    outermost = block.far
    leg.sweep_id = 0
    if state.structure.is_choch and sweep.id > 0 and leg.break_index - sweep.index <= params.lookback:
        leg.sweep_id = sweep.id
        outermost = side * min(side * outermost, side * sweep.extreme)
    leg.stop = outermost - side * params.stop_buffer * leg.atr
    leg.n_zones = 0
    _collect(params, state, leg, bar.close)


@kernel
def _follow_zone(leg: Any, zone: Any, bar: Any) -> None:
    side = leg.side
    deepest = bar.low if side > 0 else bar.high
    if side * (zone.far - bar.close) > 0.0:
        zone.stage = _SPENT
    elif zone.stage == _WAITING:
        if side * (bar.close - zone.near) >= DEPARTURE_ATR * leg.atr:
            zone.stage = _READY
    elif side * (zone.entry - deepest) >= 0.0:
        zone.stage = _SPENT


@kernel
def follow_leg(params: Any, state: Any, leg: Any, bar: Any) -> None:
    """Take a bar after the break into the leg: extreme, zones, and the gap whose middle bar made the break."""
    side = leg.side
    reach = bar.high if side > 0 else bar.low
    if side * (reach - leg.reach) > 0.0:
        leg.reach = reach
    for i in range(leg.n_zones):
        if leg.zones[i].stage != _SPENT:
            _follow_zone(leg, leg.zones[i], bar)
    if params.zone != _ZONE_OB and state.gaps.new_direction == side:
        ring = state.gaps.zones
        gap = ring.items[ring.n - 1]
        if gap.origin_index == leg.break_index:
            _add_gap(params, leg, gap, bar.close, state.events.bar_index)


@kernel
def discount_level(params: Any, leg: Any) -> float:
    """Return the price up to which a purchase, or down to which a sale, may be entered."""
    return float(leg.start + params.discount * (leg.reach - leg.start))


@kernel
def choose_zone(params: Any, leg: Any, close: float, newer_than: int) -> int:
    """Return the position of the zone that price would touch first, -1 without any.

    Ready, its entry at or under the discount level, and price not yet there; of equal edges the one known first.

    Args:
        params: Parameters of smedge.
        leg: LEG.
        close: Bid.
        newer_than: Only zones that the leg took in after that bar.
    """
    side = leg.side
    level = discount_level(params, leg)
    best = -1
    for i in range(leg.n_zones):
        zone = leg.zones[i]
        if zone.stage != _READY or zone.known_index <= newer_than:
            continue
        if side * (zone.entry - level) > 0.0 or not side * (close - zone.entry) > 0.0:
            continue
        if best < 0 or side * (zone.near - leg.zones[best].near) > 0.0:
            best = i
    return best


@kernel
def _nearest_pool(state: Any, side: int, beyond: float) -> float:
    """Return the level of the nearest opposing pool at or beyond a price, NaN without any."""
    own = state.liquidity.highs if side > 0 else state.liquidity.lows
    nearest = math.nan
    for i in range(own.n):
        pool = own.pools[i]
        if pool.is_pierced or side * (pool.level - beyond) < 0.0:
            continue
        if not side * (pool.level - nearest) >= 0.0:
            nearest = pool.level
    return nearest


@kernel
def aim(params: Any, state: Any, side: int, price: float, stop: float, spread: float) -> tuple[float, float]:
    """Return the target of an order and the pool behind it.

    Args:
        params: Parameters of smedge.
        state: STATE.
        side: +1 or -1.
        price: Of the order: at the ask for a purchase.
        stop: Of the order: at the ask for a sale.
        spread: Spread when it is placed.

    Returns:
        Take profit (NaN: there is none, place no order) and level of the pool (NaN: not aimed at one).
    """
    risk = side * (price - stop)
    if not math.isnan(params.target_r):
        return price + side * params.target_r * risk, math.nan
    # The exit comes one spread before the pool on the chart; a sale leaves at the ask, one spread above it again.
    cost = spread if side > 0 else -2.0 * spread
    pool = _nearest_pool(state, side, price + side * params.target_min * risk + cost)
    if math.isnan(pool):
        return (math.nan if params.no_pool == _SKIP else price + side * NO_POOL_R * risk), math.nan
    target = side * min(side * (pool - cost), side * (price + side * params.target_cap * risk))
    return target, pool
