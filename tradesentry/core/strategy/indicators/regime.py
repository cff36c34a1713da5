"""Is the market trending, and which way; or is it ranging?

Trend, from the higher timeframe: the fast EMA above the slow one with the slow one rising (`ema`), the state of market
structure (`structure`), or both; parts that do not agree give 0. The structure is kept by the caller, beside this
state, where `needs_structure` says so. Optionally the efficiency ratio must be high enough.
Range regime: low efficiency ratio and low ADX. The ratio is counted on the execution bars, averages and ADX on
completed buckets of the higher timeframe (`update_higher`), so an unfinished bucket changes nothing.
"""

from typing import Any, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import structure, volatility
from tradesentry.core.strategy.indicators.averages import EMA_STATE, ema_is_ready, ema_reset, ema_update
from tradesentry.core.strategy.indicators.resample import ResampleParams
from tradesentry.core.strategy.indicators.structure import StructureParams
from tradesentry.core.strategy.indicators.volatility import ADX_STATE, AdxParams
from tradesentry.core.utils.kernel import kernel

N_SLOPE: Final = 64
"""Capacity of the ring of slow averages."""
N_ER: Final = 500
"""Longest efficiency ratio, bars."""

_OK: Final = int(Status.OK)
_REGIME: Final = int(ev.Component.REGIME)
_TREND_EVENT: Final = int(ev.EventCode.TREND)
_REGIME_EVENT: Final = int(ev.EventCode.REGIME)
_MODE_EMA: Final = 0
_MODE_STRUCTURE: Final = 1
_MODE_BOTH: Final = 2


class RegimeParams(ParamsModel):
    """Trend filter and range regime."""

    trend_mode: Literal["ema", "structure", "both", "off"] = Field("ema", description="What makes a trend.")
    fast_bars: int = Field(50, ge=2, le=500, description="Span of the fast EMA.", json_schema_extra={"unit": "bars"})
    slow_bars: int = Field(200, ge=3, le=2_000, description="Span of the slow EMA.", json_schema_extra={"unit": "bars"})
    slope_bars: int = Field(
        5,
        ge=1,
        lt=N_SLOPE,
        description="Bars over which the slow EMA must rise or fall.",
        json_schema_extra={"unit": "bars"},
    )
    er_bars: int = Field(
        48, ge=2, le=N_ER, description="Length of the efficiency ratio.", json_schema_extra={"unit": "bars"}
    )
    er_min: float | None = Field(None, ge=0, le=1, description="Least efficiency ratio of a trend; none: any.")
    er_max: float | None = Field(0.35, ge=0, le=1, description="Greatest efficiency ratio of a range; none: any.")
    adx_max: float | None = Field(25.0, ge=0, le=100, description="Greatest ADX of a range; none: any.")
    adx: AdxParams = AdxParams()
    structure: StructureParams = StructureParams()
    resample: ResampleParams = ResampleParams()

    @model_validator(mode="after")
    def _spans_differ(self) -> Self:
        if self.fast_bars >= self.slow_bars:
            raise ValueError(f"fast_bars {self.fast_bars} must be below slow_bars {self.slow_bars}")
        return self


PARAMS = params_dtype(RegimeParams)
STATE = np.dtype(
    [
        ("fast", EMA_STATE),
        ("slow", EMA_STATE),
        ("adx", ADX_STATE),
        ("slope_position", "i8"),
        ("slope", "f8"),  # slow EMA now - slope_bars ago, NaN until known
        ("n", "i8"),  # execution bars seen
        ("position", "i8"),
        ("travel", "f8"),  # sum of |dC| over the ring
        ("efficiency_ratio", "f8"),  # 0..1, NaN until known
        ("ema_trend", "i8"),
        ("trend", "i8"),
        ("is_range", "b1"),
        ("n_events", "i8"),
        ("slow_values", "f8", (N_SLOPE,)),
        ("closes", "f8", (N_ER + 1,)),
    ],
    align=True,
)


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    ema_reset(state.fast)
    ema_reset(state.slow)
    volatility.adx_reset(state.adx)
    state.slope_position = 0
    state.slope = np.nan
    state.n = 0
    state.position = 0
    state.travel = 0.0
    state.efficiency_ratio = np.nan
    state.ema_trend = 0
    state.trend = 0
    state.is_range = False
    state.n_events = 0
    for i in range(N_SLOPE):
        state.slow_values[i] = 0.0
    for i in range(N_ER + 1):
        state.closes[i] = 0.0


@kernel
def bars_needed(params: Any) -> int:
    """Return the execution bars that the efficiency ratio needs; the rest is `higher_bars_needed`."""
    return int(params.er_bars + 1)


@kernel
def needs_structure(params: Any) -> bool:
    """Return whether the trend asks for the market structure of the higher timeframe."""
    return bool(params.trend_mode == _MODE_STRUCTURE or params.trend_mode == _MODE_BOTH)


@kernel
def higher_bars_needed(params: Any) -> int:
    """Return the buckets of the higher timeframe before trend and ADX are trusted; the first break may come later."""
    n = 2 * params.adx.n_bars
    if params.trend_mode == _MODE_EMA or params.trend_mode == _MODE_BOTH:
        n = max(n, 3 * params.slow_bars + params.slope_bars)
    if needs_structure(params):
        n = max(n, structure.bars_needed(params.structure))
    return int(n)


@kernel
def is_ready(params: Any, state: Any) -> bool:
    """Return whether trend, efficiency ratio and ADX are trusted."""
    return bool(state.n > params.er_bars and state.fast.n >= higher_bars_needed(params))


@kernel
def update_higher(params: Any, state: Any, bucket: Any, is_weekend: bool) -> int:
    """Take one completed bucket of the higher timeframe.

    Args:
        params: PARAMS record.
        state: STATE record.
        bucket: BAR of the bucket (`resample.STATE.new`).
        is_weekend: A weekend lies before it (`resample.STATE.new_is_weekend`).

    Returns:
        Status.OK.
    """
    volatility.adx_update(params.adx, state.adx, bucket, is_weekend)
    ema_update(params.fast_bars, state.fast, bucket.close)
    ema_update(params.slow_bars, state.slow, bucket.close)
    position = state.slope_position
    slow = state.slow.value
    state.slope = slow - state.slow_values[position] if state.slow.n > params.slope_bars else np.nan
    state.slow_values[position] = slow
    state.slope_position = position + 1 if position + 1 < params.slope_bars else 0
    state.ema_trend = 0
    if ema_is_ready(params.slow_bars, state.slow):
        if state.fast.value > slow and state.slope > 0.0:
            state.ema_trend = 1
        elif state.fast.value < slow and state.slope < 0.0:
            state.ema_trend = -1
    return _OK


@kernel
def _add_close(state: Any, n_bars: int, close: float) -> None:
    """Move the ring of the last n + 1 closes and the efficiency ratio."""
    position = state.position
    last = close if state.n == 0 else state.closes[position - 1 if position > 0 else n_bars]
    following = position + 1 if position < n_bars else 0
    if state.n > n_bars:
        oldest = state.closes[position]
        state.travel -= abs(state.closes[following] - oldest)
    state.travel += abs(close - last)
    state.closes[position] = close
    state.position = following
    state.n += 1
    if state.n <= n_bars:
        state.efficiency_ratio = np.nan
        return
    if following == 0:
        travel = 0.0
        for i in range(n_bars):
            travel += abs(state.closes[i + 1] - state.closes[i])
        state.travel = travel
    moved = abs(close - state.closes[following])
    state.efficiency_ratio = min(1.0, moved / state.travel) if moved > 0.0 else 0.0


@kernel
def _trend(params: Any, state: Any, structure_trend: int) -> int:
    mode = params.trend_mode
    trend = 0
    if mode == _MODE_EMA or (mode == _MODE_BOTH and state.ema_trend == structure_trend):
        trend = state.ema_trend
    elif mode == _MODE_STRUCTURE:
        trend = structure_trend
    if not np.isnan(params.er_min) and not state.efficiency_ratio >= params.er_min:
        trend = 0
    return int(trend)


@kernel
def _is_range(params: Any, state: Any) -> bool:
    is_quiet = np.isnan(params.er_max) or state.efficiency_ratio <= params.er_max
    is_weak = np.isnan(params.adx_max) or (
        volatility.adx_is_ready(params.adx, state.adx) and state.adx.value <= params.adx_max
    )
    return bool(is_quiet and is_weak)


@kernel
def _announce(state: Any, bar: Any, code: int, direction: int, value: float, events: Any) -> None:
    state.n_events += 1
    item = events.items[ev.new_event(events, _REGIME, code, direction, state.n_events)]
    item.origin_index = events.bar_index
    item.origin_ns = bar.open_ns
    item.price = bar.close
    item.value = value


@kernel
def update(params: Any, state: Any, bar: Any, structure_trend: int, events: Any) -> int:
    """Take one closed execution bar, after the buckets that it completed; emit TREND and REGIME where they change.

    Direction of TREND is the new trend and value the old one; value of REGIME is 1 where a range begins, 0 at its end.

    Args:
        params: PARAMS record.
        state: STATE record.
        bar: Closed bar.
        structure_trend: `structure.STATE.trend` of the higher timeframe: +1, 0, -1; 0 where it is not computed.
        events: Buffer.

    Returns:
        Status.OK or Status.FULL_EVENTS.

    Source: Kaufman (1995), "Smarter Trading" (efficiency ratio); Wilder (1978) (ADX).
    """
    _add_close(state, params.er_bars, bar.close)
    trend = _trend(params, state, structure_trend)
    if trend != state.trend:
        _announce(state, bar, _TREND_EVENT, trend, float(state.trend), events)
        state.trend = trend
    is_range = _is_range(params, state)
    if is_range != state.is_range:
        _announce(state, bar, _REGIME_EVENT, 0, 1.0 if is_range else 0.0, events)
        state.is_range = is_range
    return ev.status(events)
