"""Judge a bar before any component sees it: refuse nonsense, put prices on the tick grid, notice gaps.

The first step of every `step`. It is separate because all components must agree on what a bar is. In this order:

1. the event buffer is cleared; every bar received counts, also a refused one, so indices are rows of the series;
2. a bar that contradicts itself or goes back in time is refused with BAD_BAR and nothing else changes;
3. prices are rounded once to the nearest multiple of the tick, so equal prices are equal;
4. the gap to the previous bar is classified; one longer than `reset_gap_days` is GAP_RESET, and the caller clears the
   intraday state of its components (`is_reset`).
"""

from typing import Any, Final

import numpy as np
from pydantic import Field

from tradesentry.core.domain.records import BAR
from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.utils.kernel import kernel

DAY_NS: Final = 86_400_000_000_000
WEEK_OPEN_NS: Final = 5 * DAY_NS
"""From Sunday 17:00 to Friday 17:00 New York; no clock changes inside it."""

_EVENTS: Final = int(ev.Component.EVENTS)
_BAD_BAR: Final = int(ev.EventCode.BAD_BAR)
_GAP_RESET: Final = int(ev.EventCode.GAP_RESET)


class HygieneParams(ParamsModel):
    """What counts as a break in the data."""

    reset_gap_days: float = Field(
        3.0, gt=0, le=60, description="Gap after which intraday state is cleared.", json_schema_extra={"unit": "days"}
    )
    spike_atr: float = Field(8.0, ge=2, le=50, description="Range of a spike bar, multiples of the previous ATR.")


PARAMS = params_dtype(HygieneParams)
STATE = np.dtype(
    [
        ("n_bars", "i8"),  # received, refused ones included
        ("n_good", "i8"),
        ("last_open_ns", "i8"),
        ("last_close_ns", "i8"),
        ("last_close", "f8"),
        ("last_week_end_ns", "i8"),
        ("n_since_gap", "i8"),  # bars since the last gap, this one included
        ("is_gap", "b1"),  # time is missing between the previous bar and this one
        ("is_weekend", "b1"),  # and a weekend lies in it
        ("is_reset", "b1"),
        ("bar", BAR),  # the bar to work on, prices on the grid
    ],
    align=True,
)


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    state.n_bars = 0
    state.n_good = 0
    state.last_open_ns = 0
    state.last_close_ns = 0
    state.last_close = np.nan
    state.last_week_end_ns = 0
    state.n_since_gap = 0
    state.is_gap = False
    state.is_weekend = False
    state.is_reset = False


@kernel
def is_sound(bar: Any) -> bool:
    """Return whether prices are positive, finite and ordered (NaN fails every comparison)."""
    return bool(
        (bar.low <= bar.open)
        & (bar.low <= bar.close)
        & (bar.open <= bar.high)
        & (bar.close <= bar.high)
        & (bar.low > 0.0)
        & (bar.high < np.inf)
        & (bar.close_ns > bar.open_ns)
    )


@kernel
def is_usable(state: Any, bar: Any) -> bool:
    """Return whether `check` would accept the bar: sound, and later than the bar before."""
    is_later = (state.n_good == 0) | ((bar.open_ns > state.last_open_ns) & (bar.close_ns > state.last_close_ns))
    return bool(is_later and is_sound(bar))


@kernel
def steps_per_unit(tick: float) -> float:
    """Return 1 / tick, exact where the tick is a decimal fraction such as 0.00001.

    Dividing a whole number by it gives the double nearest to the decimal price; multiplying by the tick does not.
    """
    inverse = 1.0 / tick
    whole = np.rint(inverse)
    return float(whole) if abs(inverse - whole) < 1e-9 * inverse else float(inverse)


@kernel
def round_bar(bar: Any, tick: float, out: Any) -> None:
    """Copy `bar` into `out` with its prices rounded to the nearest multiple of `tick`; 0 leaves them as they are."""
    out.open_ns = bar.open_ns
    out.close_ns = bar.close_ns
    out.volume = bar.volume
    out.spread = bar.spread
    if tick > 0.0:
        steps = steps_per_unit(tick)
        out.open = np.rint(bar.open * steps) / steps
        out.high = np.rint(bar.high * steps) / steps
        out.low = np.rint(bar.low * steps) / steps
        out.close = np.rint(bar.close * steps) / steps
    else:
        out.open = bar.open
        out.high = bar.high
        out.low = bar.low
        out.close = bar.close


@kernel
def spans_weekend(last_close_ns: int, last_week_end_ns: int, open_ns: int, week_end_ns: int) -> bool:
    """Return whether the gap from one bar to the next spans Friday 17:00 to Sunday 17:00 New York.

    Args:
        last_close_ns: Close of the earlier bar.
        last_week_end_ns: End of its FX week (Friday 17:00), from its clock.
        open_ns: Open of the later bar.
        week_end_ns: End of the later bar's FX week.
    """
    return bool(
        (week_end_ns > last_week_end_ns)
        & (last_week_end_ns > 0)
        & (last_close_ns <= last_week_end_ns)
        & (open_ns >= week_end_ns - WEEK_OPEN_NS)
    )


@kernel
def check(params: Any, state: Any, bar: Any, clock: Any, tick: float, events: Any) -> bool:
    """Take one received bar: clear the buffer, judge the bar, and leave the one to work on in `state.bar`.

    Args:
        params: HYGIENE parameters.
        state: State of this kernel.
        bar: BAR as received.
        clock: CLOCK of this bar; only `week_end_ns` is read, 0 without a calendar.
        tick: Smallest price step, 0 for none.
        events: Buffer; BAD_BAR or GAP_RESET is written to it.

    Returns:
        False when the bar must be ignored.
    """
    index = state.n_bars
    state.n_bars = index + 1
    ev.begin(events, index, bar.close_ns)
    is_first = state.n_good == 0
    if not is_usable(state, bar):
        item = events.items[ev.new_event(events, _EVENTS, _BAD_BAR, 0, -1)]
        item.origin_index = index
        item.origin_ns = bar.open_ns
        return False
    gap_ns = 0 if is_first else bar.open_ns - state.last_close_ns
    state.is_gap = gap_ns > 0
    state.n_since_gap = 1 if (is_first or state.is_gap) else state.n_since_gap + 1
    state.is_weekend = state.is_gap and spans_weekend(
        state.last_close_ns, state.last_week_end_ns, bar.open_ns, clock.week_end_ns
    )
    state.is_reset = gap_ns > params.reset_gap_days * DAY_NS
    if state.is_reset:
        item = events.items[ev.new_event(events, _EVENTS, _GAP_RESET, 0, -1)]
        item.origin_index = index
        item.origin_ns = bar.open_ns
        item.value = gap_ns / DAY_NS
    state.last_close = np.nan if is_first else state.bar.close
    round_bar(bar, tick, state.bar)
    state.n_good += 1
    state.last_open_ns = bar.open_ns
    state.last_close_ns = bar.close_ns
    state.last_week_end_ns = clock.week_end_ns
    return True


@kernel
def is_contiguous(state: Any, k: int) -> bool:
    """Return whether no gap lies among the last k + 1 bars."""
    return bool(state.n_since_gap > k)


@kernel
def is_spike(params: Any, state: Any, atr_before: float) -> bool:
    """Return whether the bar is a spike: a huge range, closing within one ATR of the previous close.

    Args:
        params: HYGIENE parameters.
        state: State after `check` of this bar.
        atr_before: ATR of the previous bar, price units; NaN gives False.
    """
    bar = state.bar
    is_wide = bar.high - bar.low > params.spike_atr * atr_before
    return bool(is_wide & (abs(bar.close - state.last_close) <= atr_before))
