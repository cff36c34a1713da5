"""Bollinger bands, their width, and the squeeze: a width that is small against its own recent past.

Separate from the averages because of the squeeze, which keeps a ring of widths. What one bar does:

1. the close enters the ring; sums of C - C_ref give mean and population deviation. Every n bars the reference becomes
   the latest close and the sums are computed anew from the ring, so rounding never piles up;
2. the width is compared with the widths of the `squeeze_bars` bars before it (never with itself);
3. the width enters that reference.

The quantile is exact and costs one pass over that reference; the `minimum` variant keeps a monotonic queue. Both have a
bound that does not depend on history.
"""

from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.utils.kernel import kernel

N_CLOSES: Final = 200
"""Longest bands, bars."""
N_WIDTHS: Final = 256
"""Longest reference of the squeeze, bars."""

_BANDS: Final = int(ev.Component.BANDS)
_SQUEEZE_START: Final = int(ev.EventCode.SQUEEZE_START)
_SQUEEZE_END: Final = int(ev.EventCode.SQUEEZE_END)
_QUANTILE: Final = 0
_MINIMUM: Final = 1
_NOISE: Final = 1e-9
"""Deviation as a fraction of price that no market has; a tick of EURUSD is ten thousand times as much."""


class BandsParams(ParamsModel):
    """Bollinger bands and their squeeze."""

    n_bars: int = Field(
        20, ge=2, le=N_CLOSES, description="Length of mean and deviation.", json_schema_extra={"unit": "bars"}
    )
    k: float = Field(2.0, gt=0, le=10, description="Distance of the bands, population standard deviations.")
    squeeze_mode: Literal["quantile", "minimum", "off"] = Field(
        "quantile", description="Reference: a quantile of earlier widths, their minimum, or no squeeze."
    )
    squeeze_bars: int = Field(
        120, ge=2, le=N_WIDTHS, description="Earlier widths in the reference.", json_schema_extra={"unit": "bars"}
    )
    squeeze_q: float = Field(0.2, ge=0, le=1, description="Quantile of mode quantile, linear between ranks.")
    squeeze_e: float = Field(0.1, ge=0, le=1, description="Margin above the minimum of mode minimum, fraction.")


PARAMS = params_dtype(BandsParams)
STATE = np.dtype(
    [
        ("n", "i8"),  # bars seen
        ("position", "i8"),
        ("reference", "f8"),
        ("total", "f8"),  # of C - reference over the ring
        ("squares", "f8"),
        ("middle", "f8"),
        ("deviation", "f8"),
        ("lower", "f8"),
        ("upper", "f8"),
        ("width", "f8"),  # (upper - lower) / middle
        ("percent_b", "f8"),  # (C - lower) / (upper - lower); NaN when the bands have no width
        ("is_squeeze", "b1"),
        ("n_widths", "i8"),  # in the reference
        ("width_position", "i8"),
        ("first", "i8"),  # of the monotonic queue
        ("n_queued", "i8"),
        ("squeeze_id", "i8"),
        ("squeeze_index", "i8"),  # bar on which the present squeeze began
        ("squeeze_ns", "i8"),
        ("closes", "f8", (N_CLOSES,)),
        ("widths", "f8", (N_WIDTHS,)),
        ("queue_bar", "i8", (N_WIDTHS,)),  # mode minimum: candidates, ascending in bar and width
        ("queue_width", "f8", (N_WIDTHS,)),
    ],
    align=True,
)


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    state.n = 0
    state.position = 0
    state.reference = 0.0
    state.total = 0.0
    state.squares = 0.0
    state.middle = np.nan
    state.deviation = np.nan
    state.lower = np.nan
    state.upper = np.nan
    state.width = np.nan
    state.percent_b = np.nan
    state.is_squeeze = False
    state.n_widths = 0
    state.width_position = 0
    state.first = 0
    state.n_queued = 0
    state.squeeze_id = 0
    state.squeeze_index = -1
    state.squeeze_ns = -1
    for i in range(N_CLOSES):
        state.closes[i] = 0.0
    for i in range(N_WIDTHS):
        state.widths[i] = 0.0
        state.queue_bar[i] = 0
        state.queue_width[i] = 0.0


@kernel
def bars_needed(params: Any) -> int:
    """Return the number of bars before bands and squeeze exist."""
    return int(params.n_bars if params.squeeze_mode > _MINIMUM else params.n_bars + params.squeeze_bars)


@kernel
def is_ready(params: Any, state: Any) -> bool:
    """Return whether bands and squeeze exist."""
    return bool(state.n >= bars_needed(params))


@kernel
def _sum_anew(state: Any, n_bars: int, reference: float) -> None:
    total = 0.0
    squares = 0.0
    for i in range(n_bars):
        apart = state.closes[i] - reference
        total += apart
        squares += apart * apart
    state.reference = reference
    state.total = total
    state.squares = squares


@kernel
def _add_close(state: Any, n_bars: int, close: float) -> None:
    position = state.position
    if state.n == 0:
        state.reference = close
    apart = close - state.reference
    state.total += apart
    state.squares += apart * apart
    if state.n >= n_bars:
        apart = state.closes[position] - state.reference
        state.total -= apart
        state.squares -= apart * apart
    state.closes[position] = close
    state.n += 1
    position += 1
    if position == n_bars:
        position = 0
        _sum_anew(state, n_bars, close)
    state.position = position


@kernel
def _measure(state: Any, n_bars: int) -> None:
    apart = state.total / n_bars
    variance = state.squares / n_bars - apart * apart
    state.middle = state.reference + apart
    state.deviation = np.sqrt(max(variance, 0.0))


@kernel
def _is_within_quantile(widths: Any, n: int, q: float, width: float) -> bool:
    """Return whether `width` is at most the q-quantile of n values, linear between ranks.

    Counting the values below decides nearly always and, unlike keeping them sorted, needs no branch that depends on
    them; only a width between the two ranks asks for the quantile itself.
    """
    rank = (n - 1) * q
    below = int(rank)
    n_below = 0
    for i in range(n):
        n_below += widths[i] < width
    if n_below <= below:
        return True
    if n_below > below + 1 or n_below == n:
        return False
    lower = -np.inf
    upper = np.inf
    for i in range(n):
        if widths[i] < width:
            lower = max(lower, widths[i])
        else:
            upper = min(upper, widths[i])
    return bool(width <= lower + (rank - below) * (upper - lower))


@kernel
def _push_queue(state: Any, size: int, bar: int, width: float) -> None:
    """Add the width of `bar` to the monotonic queue of the last `size` bars."""
    if state.n_queued > 0 and state.queue_bar[state.first] <= bar - size:
        state.first = state.first + 1 if state.first + 1 < size else 0
        state.n_queued -= 1
    while state.n_queued > 0:
        last = state.first + state.n_queued - 1
        last = last - size if last >= size else last
        if state.queue_width[last] < width:
            break
        state.n_queued -= 1
    last = state.first + state.n_queued
    last = last - size if last >= size else last
    state.queue_bar[last] = bar
    state.queue_width[last] = width
    state.n_queued += 1


@kernel
def _judge_squeeze(params: Any, state: Any) -> bool:
    size = params.squeeze_bars
    width = state.width
    is_full = state.n_widths == size
    is_squeeze = False
    if params.squeeze_mode == _QUANTILE:
        if is_full:
            is_squeeze = _is_within_quantile(state.widths, size, params.squeeze_q, width)
    else:
        if is_full:
            is_squeeze = width <= (1.0 + params.squeeze_e) * state.queue_width[state.first]
        _push_queue(state, size, state.n, width)
    state.widths[state.width_position] = width
    state.width_position = state.width_position + 1 if state.width_position + 1 < size else 0
    if not is_full:
        state.n_widths += 1
    return bool(is_squeeze)


@kernel
def _announce(state: Any, bar: Any, code: int, events: Any) -> None:
    item = events.items[ev.new_event(events, _BANDS, code, 0, state.squeeze_id)]
    item.origin_index = state.squeeze_index
    item.origin_ns = state.squeeze_ns
    item.price_low = state.lower
    item.price_high = state.upper
    item.price = bar.close
    item.other_price = state.middle
    item.value = state.width


@kernel
def update(params: Any, state: Any, bar: Any, events: Any) -> int:
    """Take one closed bar; emit SQUEEZE_START and SQUEEZE_END where the squeeze begins and ends.

    Their origin is the bar on which the squeeze began, price the close, other_price the middle band, value the width.

    Returns:
        Status.OK or Status.FULL_EVENTS.

    Source: Bollinger (2001), "Bollinger on Bollinger Bands"; population deviation (ddof = 0).
    """
    if state.n == 0:
        reset(state)
    n_bars = params.n_bars
    _add_close(state, n_bars, bar.close)
    if state.n < n_bars:
        return ev.status(events)
    _measure(state, n_bars)
    if 0.0 < state.deviation < _NOISE * state.middle:
        # What rounding left of a flat market: summed anew, equal closes give exactly zero, and zero stays zero.
        _sum_anew(state, n_bars, bar.close)
        _measure(state, n_bars)
    reach = params.k * state.deviation
    state.lower = state.middle - reach
    state.upper = state.middle + reach
    height = state.upper - state.lower
    state.width = height / state.middle
    state.percent_b = (bar.close - state.lower) / height if height > 0.0 else np.nan
    if params.squeeze_mode <= _MINIMUM:
        is_squeeze = _judge_squeeze(params, state)
        if is_squeeze != state.is_squeeze:
            state.is_squeeze = is_squeeze
            if is_squeeze:
                state.squeeze_id += 1
                state.squeeze_index = events.bar_index
                state.squeeze_ns = bar.open_ns
            _announce(state, bar, _SQUEEZE_START if is_squeeze else _SQUEEZE_END, events)
    return ev.status(events)
