"""The table of components that `run` knows: what each one needs around it to work on plain bars.

A rig wires one component to what it depends on, exactly as a strategy's `step` does, and says what it emits. A new
component is one kernel and one row here; `runner` needs no change. Rigs are separate from the components because a
component never calls another that it only reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import averages, bands, volatility
from tradesentry.core.utils.kernel import kernel

N_VALUES = 8
"""Values of one row of a series."""

ROW = np.dtype(
    [
        ("is_set", "b1"),  # the component has a value on this bar
        ("index", "i8"),
        ("open_ns", "i8"),
        ("known_at_ns", "i8"),
        ("values", "f8", (N_VALUES,)),
    ],
    align=True,
)


def never(_params: Any) -> bool:
    """No calendar is needed."""
    return False


def wants_weekends(params: Any) -> bool:
    """A calendar is needed to tell weekends from other gaps."""
    return bool(params.weekend_tr != "off")


@dataclass(frozen=True, slots=True)
class Rig:
    """One component ready to run on bars.

    Args:
        params: Model of its parameters and of those it depends on.
        state: Layout of its state for a capacity of live objects a side.
        step: Kernel (params, state, hygiene, clock, events, row) -> status.
        columns: Names of its series with their types; empty for a component that only emits events.
        needs_calendar: Whether these parameters need FX days or sessions.
    """

    params: type[ParamsModel]
    state: Callable[[int], np.dtype[Any]]
    step: Any
    columns: dict[str, type] | None = None
    needs_calendar: Callable[[Any], bool] = never

    @property
    def params_dtype(self) -> np.dtype[Any]:
        """Layout of the parameter record."""
        return params_dtype(self.params)


@kernel
def _atr(params: Any, state: Any, hygiene: Any, _clock: Any, _events: Any, row: Any) -> int:
    status = volatility.update(params, state, hygiene.bar, hygiene.is_weekend)
    row.is_set = volatility.is_ready(params, state)
    row.values[0] = state.value
    return status


@kernel
def _adx(params: Any, state: Any, hygiene: Any, _clock: Any, _events: Any, row: Any) -> int:
    status = volatility.adx_update(params, state, hygiene.bar, hygiene.is_weekend)
    row.is_set = volatility.adx_is_ready(params, state)
    row.values[0] = state.value
    return status


@kernel
def _averages(params: Any, state: Any, hygiene: Any, _clock: Any, _events: Any, row: Any) -> int:
    status = averages.update(params, state, hygiene.bar)
    row.is_set = averages.is_ready(params, state)
    row.values[0] = state.sma.value
    row.values[1] = state.ema.value
    return status


@kernel
def _bands(params: Any, state: Any, hygiene: Any, _clock: Any, events: Any, row: Any) -> int:
    status = bands.update(params, state, hygiene.bar, events)
    row.is_set = state.n >= params.n_bars
    row.values[0] = state.lower
    row.values[1] = state.middle
    row.values[2] = state.upper
    row.values[3] = state.width
    row.values[4] = state.percent_b
    row.values[5] = 1.0 if state.is_squeeze else 0.0
    return status


RIGS: dict[str, Rig] = {
    "atr": Rig(volatility.AtrParams, lambda _: volatility.STATE, _atr, {"atr": float}, wants_weekends),
    "adx": Rig(volatility.AdxParams, lambda _: volatility.ADX_STATE, _adx, {"adx": float}, wants_weekends),
    "averages": Rig(averages.AveragesParams, lambda _: averages.STATE, _averages, {"sma": float, "ema": float}),
    "bands": Rig(
        bands.BandsParams,
        lambda _: bands.STATE,
        _bands,
        {"lower": float, "middle": float, "upper": float, "width": float, "percent_b": float, "is_squeeze": bool},
    ),
}
