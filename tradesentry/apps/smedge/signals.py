"""What starts a leg: the trend of completed H4 bars, the memory of sweeps, and a break with displacement.

Order of work on one bar: H4 buckets that it completes; sweeps of known pools; the move since each level that may
break; the break itself. An H4 bar that misses bars is flagged and leaves the trend as it was.
"""

from typing import Any, Final

from tradesentry.apps.smedge.layout import Trigger
from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import regime, resample
from tradesentry.core.strategy.indicators.structure_rigs import follow_structure
from tradesentry.core.strategy.indicators.swings import N_RING
from tradesentry.core.utils.kernel import kernel

_OK: Final = int(Status.OK)
_OFF: Final = 3
_SWEEP: Final = int(ev.EventCode.SWEEP)
_NONE: Final = int(Trigger.NONE)
_CHOCH: Final = int(Trigger.CHOCH)
_CHOCH_SWEEP: Final = int(Trigger.CHOCH_SWEEP)
_BOS: Final = int(Trigger.BOS)
_MODE_CHOCH: Final = 0
_MODE_BOS: Final = 1
_MODE_CHOCH_SWEEP: Final = 3
_RING_SLOT: Final = N_RING - 1


@kernel
def _is_whole(params: Any, bucket: Any, n_bars: int, bar: Any) -> bool:
    """Return whether enough bars of a completed H4 bucket arrived."""
    n_expected = (bucket.close_ns - bucket.open_ns) // (bar.close_ns - bar.open_ns)
    return bool(n_bars >= params.h4_coverage * n_expected)


@kernel
def follow_trend(params: Any, state: Any, bar: Any, clock: Any) -> int:
    """Take a closed bar into the H4 trend; only completed buckets that miss no bars are read.

    Returns:
        A Status.
    """
    if params.trend_mode == _OFF:
        return _OK
    events = state.events
    first = events.n
    status = resample.update(params.regime.resample, state.higher, bar, clock, events)
    if status != _OK or state.higher.n_new == 0:
        return int(status)
    for i in range(state.higher.n_new):
        bucket = state.higher.new[i]
        state.is_stale = not _is_whole(params, bucket, events.items[first + i].other_index, bar)
        if state.is_stale:
            state.n_stale += 1
            continue
        is_weekend = state.higher.new_is_weekend[i] != 0
        regime.update_higher(params.regime, state.trend, bucket, is_weekend)
        ev.begin(state.higher_events, events.bar_index, events.close_ns)
        follow_structure(params.regime.structure, state.higher_structure, bucket, is_weekend, state.higher_events)
    return int(regime.update(params.regime, state.trend, bar, state.higher_structure.structure.trend, events))


@kernel
def allows(params: Any, state: Any, side: int) -> bool:
    """Return whether the H4 trend points to a side."""
    return bool(params.trend_mode == _OFF or state.trend.trend == side)


@kernel
def remember_sweeps(state: Any, first: int) -> None:
    """Keep the last sweep of each direction; of several on one bar the one that went furthest.

    Args:
        state: STATE.
        first: Position in the buffer of the first event of this bar's pools.
    """
    for i in range(first, state.events.n):
        item = state.events.items[i]
        if item.event != _SWEEP:
            continue
        side = item.direction
        kept = state.sweeps[0 if side > 0 else 1]
        is_same_bar = kept.id > 0 and kept.index == item.known_index
        if is_same_bar and side * (item.other_price - kept.extreme) >= 0.0:
            continue
        kept.id = item.id
        kept.index = item.known_index
        kept.extreme = item.other_price


@kernel
def _see(track: Any, side: int, high: float, low: float, index: int) -> None:
    """Count a bar into the move that a break on `side` would have."""
    start = low if side > 0 else high
    reach = high if side > 0 else low
    if track.start_index < 0 or side * (start - track.start) <= 0.0:
        track.start = start
        track.start_index = index
        track.reach = reach
    elif side * (reach - track.reach) > 0.0:
        track.reach = reach


@kernel
def follow_track(track: Any, side: int, level: Any, pivots: Any, bar: Any, index: int) -> None:
    """Take a bar into the move since a level, after structure took over the level and before pivots see the bar.

    Args:
        track: TRACK of the level.
        side: +1 for a swing high, -1 for a swing low.
        level: SWING of the level.
        pivots: `swings.PIVOT_STATE`, not yet updated on this bar.
        bar: Closed bar.
        index: Its index.
    """
    if level.id == 0:
        return
    if level.id != track.id or level.position != track.position:
        track.id = level.id
        track.position = level.position
        track.start_index = -1
        for i in range(level.position + 1, pivots.n):
            slot = i & _RING_SLOT
            _see(track, side, pivots.highs[slot], pivots.lows[slot], pivots.indices[slot])
    _see(track, side, bar.high, bar.low, index)


@kernel
def has_sweep(params: Any, state: Any, side: int) -> bool:
    """Return whether a pool was swept in favor of a side within the lookback, this bar included."""
    kept = state.sweeps[0 if side > 0 else 1]
    return bool(kept.id > 0 and state.events.bar_index - kept.index <= params.lookback)


@kernel
def trigger(params: Any, state: Any, bar: Any) -> int:
    """Return what this bar's break is worth to the strategy, a Trigger; its side is `state.structure.direction`.

    The H4 trend agrees, the body shows displacement, and no weekend lies between the start of the leg and the break.
    """
    side = state.structure.direction
    if side == 0 or not allows(params, state, side):
        return _NONE
    # While the ATR does not exist the body is compared with NaN.
    if params.displacement > 0.0 and not side * (bar.close - bar.open) >= params.displacement * state.atr.before:
        return _NONE
    if state.tracks[0 if side > 0 else 1].start_index < state.week_index:
        return _NONE
    mode = params.trigger
    if not state.structure.is_choch:
        return _NONE if mode == _MODE_CHOCH or mode == _MODE_CHOCH_SWEEP else _BOS
    if mode == _MODE_BOS:
        return _NONE
    if has_sweep(params, state, side):
        return _CHOCH_SWEEP
    return _CHOCH if mode == _MODE_CHOCH else _NONE
