"""What all slots of breakout share on one bar: ATR, completed FX days, the trend, the bands and their squeeze.

Order of work (strategies 2.0): higher-timeframe buckets that the bar completes, then volatility, then bands. Only
completed buckets are read, so an unfinished hour or day changes nothing.
"""

import math
from typing import Any, Final

import numpy as np

from tradesentry.apps.breakout.layout import N_DAYS
from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.indicators import bands, regime, resample, volatility
from tradesentry.core.utils.kernel import kernel

_OK: Final = int(Status.OK)
_BB_BIT: Final = 4
SQUEEZE_BARS: Final = 10
"""A squeeze counts on that many bars, its own included."""
_NR4: Final = 1
_NR7: Final = 2
_INSIDE_DAY: Final = 3


@kernel
def _keep_day(days: Any, day: Any) -> None:
    """Put a completed FX day in front of the others."""
    for i in range(N_DAYS - 1, 0, -1):
        days.highs[i] = days.highs[i - 1]
        days.lows[i] = days.lows[i - 1]
        days.stretches[i] = days.stretches[i - 1]
    days.highs[0] = day.high
    days.lows[0] = day.low
    days.stretches[0] = min(day.high - day.open, day.open - day.low)
    days.n = min(days.n + 1, N_DAYS)


@kernel
def _follow_days(params: Any, state: Any, bar: Any, clock: Any) -> int:
    status = resample.update(params.day, state.day, bar, clock, state.events)
    for i in range(state.day.n_new):
        volatility.update(params.atr, state.day_atr, state.day.new[i], state.day.new_is_weekend[i] != 0)
        _keep_day(state.days, state.day.new[i])
    is_ready = volatility.is_ready(params.atr, state.day_atr)
    state.atr_d = state.day_atr.value if is_ready else np.nan
    return int(status)


@kernel
def _follow_trend(params: Any, state: Any, bar: Any, clock: Any) -> int:
    status = resample.update(params.higher, state.higher, bar, clock, state.events)
    if status != _OK:
        return int(status)
    for i in range(state.higher.n_new):
        regime.update_higher(params.regime, state.trend, state.higher.new[i], state.higher.new_is_weekend[i] != 0)
    # Only the efficiency ratio is counted on execution bars; without it a trend changes with a bucket or not at all.
    if state.higher.n_new > 0 or not math.isnan(params.htf_er_min):
        return int(regime.update(params.regime, state.trend, bar, 0, state.events))
    return _OK


@kernel
def follow_market(params: Any, state: Any, bar: Any, clock: Any) -> int:
    """Take one closed bar into everything that is not a slot.

    Args:
        params: Parameters of breakout.
        state: STATE, its hygiene already updated.
        bar: The bar to work on, on the tick grid.
        clock: CLOCK of the bar.

    Returns:
        A Status.
    """
    if state.hygiene.n_good == 1:
        regime.reset(state.trend)
        volatility.reset(state.day_atr)
    status = _follow_days(params, state, bar, clock)
    if status == _OK:
        status = _follow_trend(params, state, bar, clock)
    if status != _OK:
        return status
    volatility.update(params.atr, state.atr, bar, state.hygiene.is_weekend)
    if (params.modes & _BB_BIT) != 0:
        return int(bands.update(params.bands, state.bands, bar, state.events))
    return _OK


@kernel
def stretch(days: Any) -> float:
    """Return the mean of min(H - O, O - L) of the last 10 FX days, price units; NaN while fewer are known.

    Source: Crabel (1990), "Day Trading with Short-Term Price Patterns and Opening Range Breakout".
    """
    if days.n < N_DAYS:
        return np.nan
    total = 0.0
    for i in range(N_DAYS):
        total += days.stretches[i]
    return total / N_DAYS


@kernel
def is_narrow(days: Any, n_days: int) -> bool:
    """Return whether the last FX day has the smallest range of the last `n_days` (NR4, NR7), strictly."""
    if days.n < n_days:
        return False
    last = days.highs[0] - days.lows[0]
    for i in range(1, n_days):
        if not last < days.highs[i] - days.lows[i]:
            return False
    return True


@kernel
def is_contracted(params: Any, days: Any) -> bool:
    """Return whether the day before fits the contraction filter; stretch is a matter of prices, so it always does."""
    wanted = params.contraction
    if wanted == _NR4:
        return is_narrow(days, 4)
    if wanted == _NR7:
        return is_narrow(days, 7)
    if wanted == _INSIDE_DAY:
        return bool(days.n > 1 and days.highs[0] < days.highs[1] and days.lows[0] > days.lows[1])
    return True
