"""The list of live zones: its layout, and the prices that wake it up.

The memory of `zones`, apart from the life that happens in it. Zones lie in the order of their ids, both directions
together. The list caches the nearest prices and the next expiry that would change anything: a bar that reaches none of
them costs a few comparisons however many zones live.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from tradesentry.core.utils.kernel import kernel

N_ZONES: Final = 64
"""Live zones a side in every strategy."""

UNTOUCHED: Final = 0
TOUCHED: Final = 1
HALVED: Final = 2
FILLED: Final = 3

NO_VALUE: Final = 0
FILL_FRACTION: Final = 1
TOUCHES: Final = 2

_NEVER: Final = 1 << 62


class Life(NamedTuple):
    """Which steps of a life a component speaks of, and in which codes; 0 for those it does not know."""

    component: int
    new: int
    touch: int
    mid: int
    fill: int
    broken: int
    dead: int
    expired: int
    dropped: int
    value: int
    """What the events carry as value: NO_VALUE, FILL_FRACTION or TOUCHES."""
    repeats: int
    """1: every return to near after a bar away from it is a TOUCH; 0: only the first."""
    by_wick: int
    """1: PX breaks a zone; 0: the close does."""
    flips: int
    """1: a broken zone turns around; 0: it ends."""
    max_age: int
    """Bars that a zone may grow old, 0 for ever."""


ZONE: Final = np.dtype(
    [
        ("id", "i8"),
        ("direction", "i8"),  # at birth: +1 below price, -1 above it
        ("is_flipped", "b1"),  # broken, and now a zone of the other direction
        ("stage", "i8"),  # UNTOUCHED .. FILLED, as far as the component speaks of it
        ("n_touches", "i8"),
        ("is_reached", "b1"),  # the last bar was at or beyond near; kept where touches repeat
        ("near", "f8"),
        ("mid", "f8"),
        ("far", "f8"),
        ("deepest", "f8"),  # how far price came into the zone; kept where it fills
        ("filled", "f8"),  # the same as a fraction of its height, 0..1
        ("born", "i8"),  # RING.n_bars when it became known
        ("known_index", "i8"),
        ("origin_index", "i8"),
        ("origin_ns", "i8"),
        ("parent_id", "i8"),  # -1 none
        ("other_index", "i8"),  # -1 none
        ("pattern", "i8"),  # direction of the leg into a base, 0 none
        ("ruler", "f8"),  # ATR that judged its creation, NaN where none was needed
        ("peak", "f8"),  # best price before the first touch
        ("high", "f8"),  # of the bars from its creation to the next zone's: see `zones._fold`
        ("low", "f8"),
    ],
    align=True,
)


def ring_dtype(capacity: int) -> np.dtype[Any]:
    """Return the layout of a list of `capacity` live zones a side; zeroed memory is an empty list."""
    return np.dtype(
        [
            ("n", "i8"),
            ("n_up", "i8"),
            ("n_down", "i8"),
            ("n_bars", "i8"),  # worked on
            ("last_id", "i8"),
            ("low_at", "f8"),  # a low at or below it changes something
            ("high_at", "f8"),
            ("close_below", "f8"),  # a close strictly below it changes something
            ("close_above", "f8"),
            ("low_above", "f8"),  # a low strictly above it leaves a zone
            ("high_below", "f8"),
            ("expires", "i8"),  # n_bars at which the oldest zone expires
            ("items", ZONE, (2 * capacity,)),
        ],
        align=True,
    )


@kernel
def reset(ring: Any) -> None:
    """Forget all zones."""
    ring.n = 0
    ring.n_up = 0
    ring.n_down = 0
    ring.n_bars = 0
    ring.last_id = 0
    unwatch(ring)


@kernel
def unwatch(ring: Any) -> None:
    """Let no price change anything."""
    ring.low_at = -np.inf
    ring.high_at = np.inf
    ring.close_below = -np.inf
    ring.close_above = np.inf
    ring.low_above = np.inf
    ring.high_below = -np.inf
    ring.expires = _NEVER


@kernel
def _watch_reach(ring: Any, direction: int, price: float) -> None:
    """Wake up when PX comes to `price`."""
    if direction > 0:
        ring.low_at = max(ring.low_at, price)
    else:
        ring.high_at = min(ring.high_at, price)


@kernel
def _watch_leaving(ring: Any, direction: int, price: float) -> None:
    """Wake up when PX is no longer at or beyond `price`."""
    if direction > 0:
        ring.low_above = min(ring.low_above, price)
    else:
        ring.high_below = max(ring.high_below, price)


@kernel
def _watch_close(ring: Any, direction: int, price: float) -> None:
    """Wake up when a close lies beyond `price`, seen from a zone of `direction`."""
    if direction > 0:
        ring.close_below = max(ring.close_below, price)
    else:
        ring.close_above = min(ring.close_above, price)


@kernel
def watch(ring: Any, zone: Any, life: Any) -> None:
    """Add what would change `zone` to the prices and the expiry that wake the list up."""
    if life.max_age > 0:
        ring.expires = min(ring.expires, zone.born + life.max_age + 1)
    d = zone.direction
    if zone.is_flipped:
        if life.by_wick != 0:
            _watch_reach(ring, -d, zone.near)
        else:
            _watch_close(ring, -d, zone.near)
        return
    if life.repeats != 0:
        if not zone.is_reached:
            _watch_reach(ring, d, zone.near)
            return
        _watch_leaving(ring, d, zone.near)
    elif zone.stage == UNTOUCHED:
        _watch_reach(ring, d, zone.near)
        return
    # A close beyond far means that PX was beyond the levels in between, so those need no second watch.
    if life.fill != 0 and zone.stage < FILLED:
        _watch_reach(ring, d, zone.deepest)
    elif life.mid != 0 and zone.stage < HALVED:
        _watch_reach(ring, d, zone.mid)
    elif life.by_wick != 0:
        _watch_reach(ring, d, zone.far)
    else:
        _watch_close(ring, d, zone.far)


@kernel
def watch_all(ring: Any, life: Any) -> None:
    unwatch(ring)
    for i in range(ring.n):
        watch(ring, ring.items[i], life)


@kernel
def is_quiet(ring: Any, bar: Any) -> bool:
    """Return whether the bar changes no zone."""
    return bool(
        (bar.low > ring.low_at)
        & (bar.high < ring.high_at)
        & (bar.close >= ring.close_below)
        & (bar.close <= ring.close_above)
        & (bar.low <= ring.low_above)
        & (bar.high >= ring.high_below)
        & (ring.n_bars < ring.expires)
    )
