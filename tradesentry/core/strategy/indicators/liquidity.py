"""Liquidity pools: levels where stops are likely to rest, and what becomes of them.

Every confirmed pivot makes a pool, and so do high and low of completed FX days, FX weeks and valid sessions. A pivot
close to a live pool joins it instead: equal highs (EQH) and lows (EQL). A pool is pierced by the first bar beyond it;
it is swept when a close within `reclaim` bars is back inside, else broken, and ends either way. On one bar:

1. `advance`: pools of earlier bars, highs before lows and older before younger, are pierced, swept or broken;
2. the caller updates pivots and sessions;
3. `create`: pools of the pivots, the FX day, the FX week and the sessions of this bar, highs before lows.

A pool that is pierced takes no more pivots: its level must not move while it is judged. A full side drops its oldest
pool. The nearest level of each side is kept, so a bar that reaches none of them costs O(1).

Separate from the structure, whose levels are alternating swings and are broken by other rules.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators.sessions import SessionsParams, Window
from tradesentry.core.strategy.indicators.swings import PivotsParams
from tradesentry.core.strategy.indicators.volatility import AtrParams
from tradesentry.core.utils.kernel import copy_record, kernel

PIVOTS: Final = 0
FX_DAY: Final = 1
FX_WEEK: Final = 2
SESSIONS: Final = 3

_LIQUIDITY: Final = int(ev.Component.LIQUIDITY)
_POOL_NEW: Final = int(ev.EventCode.POOL_NEW)
_POOL_JOIN: Final = int(ev.EventCode.POOL_JOIN)
_POOL_DROPPED: Final = int(ev.EventCode.POOL_DROPPED)
_SWEEP: Final = int(ev.EventCode.SWEEP)
_POOL_BREAK: Final = int(ev.EventCode.POOL_BREAK)


class LiquidityParams(ParamsModel):
    """Which levels are pools, which are one pool, and what counts as a sweep."""

    sources: tuple[Literal["pivots", "fx_day", "fx_week", "sessions"], ...] = Field(
        ("pivots", "fx_day", "fx_week", "sessions"),
        description="What makes pools; without a calendar only pivots do.",
    )
    eq_atr: float = Field(
        0.1, ge=0, le=2, description="A pivot this near to a pool joins it, multiples of the ATR; 0: none joins."
    )
    reclaim: int = Field(
        1,
        ge=0,
        le=3,
        description="Bars after the piercing one that may still sweep.",
        json_schema_extra={"unit": "bars"},
    )
    depth_atr: float = Field(
        0.0, ge=0, le=5, description="Least depth of the piercing bar beyond the level, multiples of the previous ATR."
    )
    pivots: PivotsParams = PivotsParams()
    sessions: SessionsParams = SessionsParams()
    atr: AtrParams = AtrParams()

    @property
    def windows(self) -> Sequence[Window]:
        """Explicit UTC windows in place of the calendar's sessions."""
        return self.sessions.windows


PARAMS = params_dtype(LiquidityParams)

POOL = np.dtype(
    [
        ("id", "i8"),
        ("source", "i8"),  # PIVOTS, FX_DAY, FX_WEEK or SESSIONS
        ("index", "i8"),  # bar of the pivot, or the first one of the interval
        ("open_ns", "i8"),
        ("level", "f8"),  # the outermost of its members
        ("count", "i8"),  # its members
        ("is_pierced", "b1"),
        ("pierced_index", "i8"),  # bar a
        ("n_waited", "i8"),  # bars since a
        ("extreme", "f8"),  # furthest price beyond the level since a
    ],
    align=True,
)


def side_dtype(capacity: int) -> np.dtype[Any]:
    """Return the layout of the pools of one side, oldest first."""
    return np.dtype(
        [
            ("n", "i8"),  # live pools
            ("n_pierced", "i8"),  # of them waiting for a close back inside
            ("nearest", "f8"),  # level of the others that price meets first
            ("pools", POOL, (capacity,)),
        ],
        align=True,
    )


def state_dtype(capacity: int) -> np.dtype[Any]:
    """Return the layout of the state for `capacity` live pools a side."""
    side = side_dtype(capacity)
    return np.dtype([("n_pools", "i8"), ("highs", side), ("lows", side)], align=True)  # n_pools: the last id


STATE = state_dtype(64)


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    state.n_pools = 0
    state.highs.n = 0
    state.highs.n_pierced = 0
    state.highs.nearest = np.nan
    state.lows.n = 0
    state.lows.n_pierced = 0
    state.lows.nearest = np.nan


@kernel
def bars_needed(params: Any) -> int:
    """Return the bars after which the first pivot can be a pool; equal levels and depths need their ATR too."""
    n = params.pivots.left_bars + params.pivots.right_bars + 1
    if params.eq_atr > 0.0 or params.depth_atr > 0.0:
        n = max(n, params.atr.n_bars + 1)
    return int(n)


@kernel
def is_ready(_params: Any, state: Any) -> bool:
    """Return whether a pool was made."""
    return bool(state.n_pools > 0)


@kernel
def _emit(pool: Any, code: int, direction: int, events: Any) -> int:
    """Append an event of a pool and return its position."""
    position = ev.new_event(events, _LIQUIDITY, code, direction, pool.id)
    item = events.items[position]
    item.origin_index = pool.index
    item.origin_ns = pool.open_ns
    item.price = pool.level
    return position


@kernel
def _emit_end(pool: Any, code: int, direction: int, events: Any) -> None:
    item = events.items[_emit(pool, code, direction, events)]
    item.other_price = pool.extreme
    item.other_index = pool.pierced_index


@kernel
def _summarize(own: Any, side: int) -> None:
    """Find the level that price meets first, and count the pierced pools."""
    nearest = side * np.inf
    n_pierced = 0
    for i in range(own.n):
        pool = own.pools[i]
        if pool.is_pierced:
            n_pierced += 1
        elif side * (nearest - pool.level) > 0.0:
            nearest = pool.level
    own.nearest = nearest
    own.n_pierced = n_pierced


@kernel
def _judge(params: Any, pool: Any, side: int, reach: float, close: float, depth: float, events: Any) -> bool:
    """Take a bar into one pool; return whether the pool ends."""
    if pool.is_pierced:
        pool.n_waited += 1
        if side * (reach - pool.extreme) > 0.0:
            pool.extreme = reach
    else:
        beyond = side * (reach - pool.level)
        if not (beyond > 0.0 and beyond >= depth):
            return False
        pool.is_pierced = True
        pool.pierced_index = events.bar_index
        pool.n_waited = 0
        pool.extreme = reach
    if side * (close - pool.level) < 0.0:
        _emit_end(pool, _SWEEP, -side, events)
        return True
    if pool.n_waited >= params.reclaim:
        _emit_end(pool, _POOL_BREAK, side, events)
        return True
    return False


@kernel
def _advance_side(params: Any, own: Any, side: int, bar: Any, depth: float, events: Any) -> None:
    reach = bar.high if side > 0 else bar.low
    if own.n == 0 or (own.n_pierced == 0 and side * (reach - own.nearest) <= 0.0):
        return
    n_kept = 0
    for i in range(own.n):
        if _judge(params, own.pools[i], side, reach, bar.close, depth, events):
            continue
        if n_kept < i:
            copy_record(own.pools[n_kept], own.pools[i])
        n_kept += 1
    own.n = n_kept
    _summarize(own, side)


@kernel
def advance(params: Any, state: Any, bar: Any, atr_before: float, events: Any) -> int:
    """Take one closed bar into the pools of earlier bars; emit SWEEP and POOL_BREAK.

    Direction of a SWEEP is that of the reversal it lets expect (-1 for a swept high), of a POOL_BREAK that of the
    break. Origin is the pool's bar, price its level, other_price the furthest price since the piercing bar,
    other_index that bar.

    Args:
        params: PARAMS record.
        state: STATE record.
        bar: Closed bar.
        atr_before: ATR one bar ago, price units; read only with a least depth, which is not reached while it is NaN.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    depth = params.depth_atr * atr_before if params.depth_atr > 0.0 else 0.0
    _advance_side(params, state.highs, 1, bar, depth, events)
    _advance_side(params, state.lows, -1, bar, depth, events)
    return ev.status(events)


@kernel
def _drop_oldest(own: Any, side: int, events: Any) -> None:
    item = events.items[_emit(own.pools[0], _POOL_DROPPED, side, events)]
    item.value = own.pools[0].count
    for i in range(1, own.n):
        copy_record(own.pools[i - 1], own.pools[i])
    own.n -= 1
    _summarize(own, side)


@kernel
def _add(state: Any, side: int, source: int, level: float, index: int, open_ns: int, events: Any) -> None:
    """Make a pool; a full side loses its oldest one first."""
    own = state.highs if side > 0 else state.lows
    if own.n == len(own.pools):
        _drop_oldest(own, side, events)
    if own.n == 0 or side * (own.nearest - level) > 0.0:
        own.nearest = level
    pool = own.pools[own.n]
    own.n += 1
    state.n_pools += 1
    pool.id = state.n_pools
    pool.source = source
    pool.index = index
    pool.open_ns = open_ns
    pool.level = level
    pool.count = 1
    pool.is_pierced = False
    pool.pierced_index = -1
    pool.n_waited = 0
    pool.extreme = np.nan
    item = events.items[_emit(pool, _POOL_NEW, side, events)]
    item.value = pool.count


@kernel
def _join(own: Any, side: int, level: float, tolerance: float, index: int, open_ns: int, events: Any) -> bool:
    """Join a pivot to the nearest pool within `tolerance`, the older of two equally near; return whether one was."""
    found = -1
    smallest = tolerance
    for i in range(own.n):
        pool = own.pools[i]
        apart = abs(level - pool.level)
        if not pool.is_pierced and (apart < smallest or (apart == smallest and found < 0)):
            found = i
            smallest = apart
    if found < 0:
        return False
    pool = own.pools[found]
    pool.count += 1
    if side * (level - pool.level) > 0.0:
        pool.level = level
        _summarize(own, side)
    item = events.items[_emit(pool, _POOL_JOIN, side, events)]
    item.origin_index = index
    item.origin_ns = open_ns
    item.value = pool.count
    return True


@kernel
def _add_pivot(params: Any, state: Any, side: int, level: float, pivots: Any, atr: float, events: Any) -> None:
    own = state.highs if side > 0 else state.lows
    # While the ATR does not exist the tolerance is NaN, which nothing is within.
    if params.eq_atr > 0.0 and _join(own, side, level, params.eq_atr * atr, pivots.index, pivots.open_ns, events):
        return
    _add(state, side, PIVOTS, level, pivots.index, pivots.open_ns, events)


@kernel
def _add_range(state: Any, source: int, found: Any, events: Any) -> None:
    """Make the pools of a completed interval; its bar is the first one, as for the interval's own event."""
    if found.n_bars > 0:
        _add(state, 1, source, found.high, found.first_index, found.start_ns, events)
        _add(state, -1, source, found.low, found.first_index, found.start_ns, events)


@kernel
def create(params: Any, state: Any, pivots: Any, session_state: Any, atr: float, events: Any) -> int:
    """Make the pools that become known on this bar; emit POOL_NEW, POOL_JOIN and POOL_DROPPED.

    Direction is +1 for a high and -1 for a low, origin the bar of pivot or level, price the level, value the members.

    Args:
        params: PARAMS record.
        state: STATE record.
        pivots: `swings.PIVOT_STATE`, already updated on this bar.
        session_state: `sessions.STATE`, already updated on this bar; not updated at all without a calendar.
        atr: ATR of this bar, price units, NaN while it does not exist.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.
    """
    sources = params.sources
    if (sources >> PIVOTS) & 1 != 0:
        if pivots.is_high:
            _add_pivot(params, state, 1, pivots.high, pivots, atr, events)
        if pivots.is_low:
            _add_pivot(params, state, -1, pivots.low, pivots, atr, events)
    if (sources >> FX_DAY) & 1 != 0 and session_state.is_new_day:
        _add_range(state, FX_DAY, session_state.previous_day, events)
    if (sources >> FX_WEEK) & 1 != 0 and session_state.is_new_week:
        _add_range(state, FX_WEEK, session_state.previous_week, events)
    if (sources >> SESSIONS) & 1 != 0:
        for slot in range(params.sessions.n_slots):
            if session_state.is_new[slot] != 0 and session_state.completed[slot].is_valid:
                _add_range(state, SESSIONS, session_state.completed[slot], events)
    return ev.status(events)
