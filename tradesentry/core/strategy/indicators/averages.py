"""Simple and exponential moving averages of closes.

Separate because the regime filter, apps and charts share them. The simple average keeps a running sum and computes it
anew from its ring every n bars, so rounding never piles up and a bar costs the same after a year as on the first day.

The standard names work on both averages at once; `ema_*` is the exponential one alone.
"""

from typing import Any, Final

import numpy as np
from pydantic import Field

from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.utils.kernel import kernel

N_SMA: Final = 1_000
"""Longest simple average, bars."""
TRUST: Final = 3
"""An exponential average is trusted after 3 n bars: the weight of its seed is then below 0.3 %."""
_OK: Final = int(Status.OK)


class AveragesParams(ParamsModel):
    """One simple and one exponential average of closes."""

    sma_bars: int = Field(
        20, ge=1, le=N_SMA, description="Length of the simple average.", json_schema_extra={"unit": "bars"}
    )
    ema_bars: int = Field(
        20,
        ge=1,
        le=5_000,
        description="Span n of the exponential average, alpha = 2 / (n + 1).",
        json_schema_extra={"unit": "bars"},
    )


PARAMS = params_dtype(AveragesParams)
EMA_STATE = np.dtype([("n", "i8"), ("value", "f8")], align=True)
SMA_STATE = np.dtype(
    [("n", "i8"), ("position", "i8"), ("total", "f8"), ("value", "f8"), ("closes", "f8", (N_SMA,))], align=True
)
STATE = np.dtype([("sma", SMA_STATE), ("ema", EMA_STATE)], align=True)


@kernel
def ema_reset(state: Any) -> None:
    """Forget everything."""
    state.n = 0
    state.value = np.nan


@kernel
def ema_is_ready(n_bars: int, state: Any) -> bool:
    """Return whether the average is trusted."""
    return bool(state.n >= TRUST * n_bars)


@kernel
def ema_update(n_bars: int, state: Any, close: float) -> int:
    """Take one close; the first one is the seed.

    Args:
        n_bars: Span; alpha = 2 / (n_bars + 1).
        state: EMA_STATE record.
        close: Price.

    Returns:
        Status.OK.
    """
    if state.n == 0:
        state.value = close
    else:
        state.value += (close - state.value) * (2.0 / (n_bars + 1.0))
    state.n += 1
    return _OK


@kernel
def sma_reset(state: Any) -> None:
    """Forget everything."""
    state.n = 0
    state.position = 0
    state.total = 0.0
    state.value = np.nan
    for i in range(N_SMA):
        state.closes[i] = 0.0


@kernel
def sma_update(n_bars: int, state: Any, close: float) -> int:
    """Take one close.

    Args:
        n_bars: Length, at most N_SMA, the same on every call.
        state: SMA_STATE record.
        close: Price.

    Returns:
        Status.OK.
    """
    position = state.position
    if state.n == 0:
        state.value = np.nan
    state.total += close - state.closes[position]
    state.closes[position] = close
    state.n += 1
    position += 1
    if position == n_bars:
        position = 0
        total = 0.0
        for i in range(n_bars):
            total += state.closes[i]
        state.total = total
    state.position = position
    if state.n >= n_bars:
        state.value = state.total / n_bars
    return _OK


@kernel
def reset(state: Any) -> None:
    """Forget everything."""
    sma_reset(state.sma)
    ema_reset(state.ema)


@kernel
def bars_needed(params: Any) -> int:
    """Return the number of bars before both averages are trusted."""
    return int(max(params.sma_bars, TRUST * params.ema_bars))


@kernel
def is_ready(params: Any, state: Any) -> bool:
    """Return whether both averages are trusted."""
    return bool(state.sma.n >= params.sma_bars and ema_is_ready(params.ema_bars, state.ema))


@kernel
def update(params: Any, state: Any, bar: Any) -> int:
    """Take one closed bar.

    Returns:
        Status.OK.
    """
    sma_update(params.sma_bars, state.sma, bar.close)
    ema_update(params.ema_bars, state.ema, bar.close)
    return _OK
