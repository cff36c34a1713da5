"""How far price moves in a bar: true range, Wilder's ATR and, with direction, Wilder's ADX.

The ruler of every other component; separate because widths, buffers and depths are all counted in ATR. A rule that
judges the current bar uses `before` (the ATR one bar ago), else a wide bar licenses itself.

The standard names (`PARAMS`, `STATE`, `reset`, `update`, ...) are the ATR; those of the ADX start with `adx_`.
"""

from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.utils.kernel import kernel

_OK: Final = int(Status.OK)
_HIGH_LOW: Final = 1


class AtrParams(ParamsModel):
    """Average true range."""

    n_bars: int = Field(
        14, ge=1, le=1_000, description="Length of Wilder's smoothing.", json_schema_extra={"unit": "bars"}
    )
    weekend_tr: Literal["off", "hl"] = Field(
        "off",
        description="True range of the first bar after a weekend: off = as any other, hl = its high minus its low.",
    )


class AdxParams(ParamsModel):
    """Average directional index."""

    n_bars: int = Field(
        14, ge=2, le=500, description="Length of Wilder's smoothing.", json_schema_extra={"unit": "bars"}
    )
    weekend_tr: Literal["off", "hl"] = Field("off", description="As in the ATR.")


PARAMS = params_dtype(AtrParams)
STATE = np.dtype(
    [
        ("n", "i8"),  # bars seen
        ("last_close", "f8"),
        ("total", "f8"),  # of the first true ranges
        ("true_range", "f8"),
        ("value", "f8"),  # ATR after this bar, NaN until ready
        ("before", "f8"),  # ATR after the previous bar
    ],
    align=True,
)

ADX_PARAMS = params_dtype(AdxParams)
ADX_STATE = np.dtype(
    [
        ("n", "i8"),
        ("last_high", "f8"),
        ("last_low", "f8"),
        ("atr", STATE),
        ("plus_dm", "f8"),  # sums while the first n are gathered, then smoothed
        ("minus_dm", "f8"),
        ("total_dx", "f8"),
        ("dx", "f8"),
        ("value", "f8"),  # ADX after this bar, NaN until ready
    ],
    align=True,
)


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    state.n = 0
    state.last_close = np.nan
    state.total = 0.0
    state.true_range = np.nan
    state.value = np.nan
    state.before = np.nan


@kernel
def bars_needed(params: Any) -> int:
    """Return the number of bars before the ATR exists: n + 1, because the first bar has no true range."""
    return int(params.n_bars + 1)


@kernel
def is_ready(params: Any, state: Any) -> bool:
    """Return whether the ATR exists."""
    return bool(state.n > params.n_bars)


@kernel
def true_range(bar: Any, last_close: float) -> float:
    """Return max(H - L, |H - C'|, |L - C'|), where C' is the previous close."""
    return float(max(bar.high, last_close) - min(bar.low, last_close))


@kernel
def update(params: Any, state: Any, bar: Any, is_weekend: bool) -> int:
    """Take one closed bar.

    Args:
        params: PARAMS record.
        state: STATE record.
        bar: Closed bar.
        is_weekend: The bar is the first after a weekend (`hygiene.STATE.is_weekend`).

    Returns:
        Status.OK.

    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; first value is the mean of n true ranges.
    """
    n = state.n
    if n == 0:
        reset(state)
    else:
        n_bars = params.n_bars
        if is_weekend and params.weekend_tr == _HIGH_LOW:
            moved = bar.high - bar.low
        else:
            moved = true_range(bar, state.last_close)
        state.true_range = moved
        state.before = state.value
        if n > n_bars:
            state.value += (moved - state.value) / n_bars
        else:
            state.total += moved
            if n == n_bars:
                state.value = state.total / n_bars
    state.last_close = bar.close
    state.n = n + 1
    return _OK


@kernel
def adx_reset(state: Any) -> None:
    """Forget everything."""
    reset(state.atr)
    state.n = 0
    state.last_high = np.nan
    state.last_low = np.nan
    state.plus_dm = 0.0
    state.minus_dm = 0.0
    state.total_dx = 0.0
    state.dx = np.nan
    state.value = np.nan


@kernel
def adx_bars_needed(params: Any) -> int:
    """Return the number of bars before the ADX exists: n movements for the first DX, n DX for the first ADX."""
    return int(2 * params.n_bars)


@kernel
def adx_is_ready(params: Any, state: Any) -> bool:
    """Return whether the ADX exists."""
    return bool(state.n >= 2 * params.n_bars)


@kernel
def _direction_index(plus_dm: float, minus_dm: float, atr: float) -> float:
    """Return DX, 0..100; 0 when nothing moved."""
    if not atr > 0.0:
        return 0.0
    plus = 100.0 * plus_dm / atr
    minus = 100.0 * minus_dm / atr
    return float(100.0 * abs(plus - minus) / (plus + minus)) if plus + minus > 0.0 else 0.0


@kernel
def adx_update(params: Any, state: Any, bar: Any, is_weekend: bool) -> int:
    """Take one closed bar; arguments and source as for the ATR.

    +DM is H_t - H_{t-1} where that is positive and larger than L_{t-1} - L_t, else 0; -DM mirrored. All smoothing is
    Wilder's, started with a plain mean.

    Returns:
        Status.OK.
    """
    if state.n == 0:
        adx_reset(state)
    n_bars = params.n_bars
    update(params, state.atr, bar, is_weekend)
    if state.n > 0:
        up = bar.high - state.last_high
        down = state.last_low - bar.low
        plus = up if (up > 0.0 and up > down) else 0.0
        minus = down if (down > 0.0 and down > up) else 0.0
        if state.n <= n_bars:
            state.plus_dm += plus
            state.minus_dm += minus
            if state.n == n_bars:
                state.plus_dm /= n_bars
                state.minus_dm /= n_bars
        else:
            state.plus_dm += (plus - state.plus_dm) / n_bars
            state.minus_dm += (minus - state.minus_dm) / n_bars
        if state.n >= n_bars:
            state.dx = _direction_index(state.plus_dm, state.minus_dm, state.atr.value)
            if state.n < 2 * n_bars:
                state.total_dx += state.dx
                if state.n == 2 * n_bars - 1:
                    state.value = state.total_dx / n_bars
            else:
                state.value += (state.dx - state.value) / n_bars
    state.last_high = bar.high
    state.last_low = bar.low
    state.n += 1
    return _OK
