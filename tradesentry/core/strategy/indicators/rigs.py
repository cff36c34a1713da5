"""The table of components that `run` knows: what each one needs around it to work on plain bars.

A rig wires one component to what it depends on, exactly as a strategy's `step` does, and says what it emits. A new
component is one kernel and one row here; `runner` needs no change. Rigs are separate from the components because a
component never calls another that it only reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tradesentry.core.strategy.config import ParamsModel, params_dtype
from tradesentry.core.strategy.indicators import (
    averages,
    bands,
    dealing_range,
    gaps,
    grid_basket,
    liquidity,
    midpoint,
    opening_range,
    order_blocks,
    regime,
    resample,
    sessions,
    structure,
    structure_rigs,
    supply_demand,
    swings,
    volatility,
    zone_rigs,
)
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.utils.kernel import kernel

N_VALUES = 8
"""Values of one row of a series."""
N_INPUTS = 2
"""Columns that a component may take beside the bars."""
N_RUN_EVENTS = 1_024
"""Capacity of the buffer that `run` and `stream` give a component: every zone of both sides may end on one bar."""

RUN_EVENTS = ev.events_dtype(N_RUN_EVENTS)

ROW = np.dtype(
    [
        ("is_set", "b1"),  # the component has a value on this bar
        ("index", "i8"),
        ("open_ns", "i8"),
        ("known_at_ns", "i8"),
        ("values", "f8", (N_VALUES,)),
        ("inputs", "f8", (N_INPUTS,)),  # what the caller gives beside the bar, NaN where nothing
    ],
    align=True,
)


def never(_params: Any) -> bool:
    """No calendar is needed."""
    return False


def wants_weekends(params: Any) -> bool:
    """A calendar is needed to tell weekends from other gaps."""
    return bool(params.weekend_tr != "off")


def wants_atr_weekends(params: Any) -> bool:
    """The ATR beside the component needs a calendar."""
    return wants_weekends(params.atr)


def wants_range(params: Any) -> bool:
    """Days and sessions as ranges need a calendar."""
    return params.range_source in {"day", "session"} or wants_weekends(params.structure.atr)


def wants_range_days(params: Any) -> bool:
    """Explicit windows replace sessions only."""
    return params.range_source == "day" or wants_weekends(params.structure.atr)


def wants_midpoint(params: Any) -> bool:
    """The dealing range may need a calendar."""
    return wants_range(params.dealing_range)


def wants_midpoint_days(params: Any) -> bool:
    """A reset by the calendar needs FX days, and so may the dealing range."""
    return params.reset_calendar != "off" or wants_range_days(params.dealing_range)


def wants_days(params: Any) -> bool:
    """A calendar is needed unless buckets are plain minutes."""
    return bool(params.period != "minutes")


def wants_sessions(_params: Any) -> bool:
    """Sessions always need a calendar or explicit windows."""
    return True


def wants_higher_days(params: Any) -> bool:
    """The higher timeframe, its ADX, or the ATR beside its structure needs a calendar."""
    return wants_days(params.resample) or wants_weekends(params.adx) or wants_weekends(params.structure.atr)


def wants_days_beside_windows(params: Any) -> bool:
    """Explicit windows do not replace FX days for weekends and for widths in ATR of FX days."""
    is_limited = params.w_lo is not None or params.w_hi is not None
    return wants_weekends(params.atr) or wants_weekends(params.day_atr) or (params.width_unit == "atr_d" and is_limited)


def wants_weekends_of_blocks(params: Any) -> bool:
    """The ATR of structure, or that of gaps, needs a calendar."""
    return wants_weekends(params.structure.atr) or wants_weekends(params.gaps.atr)


def fill_nothing(_params: Any, _record: Any, _tick: float) -> None:
    """The component needs no number of the market."""


@dataclass(frozen=True, slots=True)
class Rig:
    """One component ready to run on bars.

    Args:
        params: Model of its parameters and of those it depends on.
        state: Layout of its state for a capacity of live objects a side.
        step: Kernel (params, state, hygiene, clock, events, row) -> status.
        columns: Names of its series with their types; empty for a component that only emits events.
        needs_calendar: Whether these parameters need FX days or sessions.
        needs_days: Whether they need FX days even where explicit windows replace the sessions.
        inputs: Names of optional columns that it takes beside the bars, in `row.inputs`.
        market_fields: Fields of the parameter record before the configured ones: numbers of the market.
        fill: Writes them, given (params, record, tick); returns memory that the record points to, if any.
    """

    params: type[ParamsModel]
    state: Callable[[int], np.dtype[Any]]
    step: Any
    columns: dict[str, type] | None = None
    needs_calendar: Callable[[Any], bool] = never
    needs_days: Callable[[Any], bool] = never
    inputs: tuple[str, ...] = ()
    market_fields: tuple[tuple[str, Any], ...] = ()
    fill: Callable[[Any, Any, float], Any] = fill_nothing

    @property
    def params_dtype(self) -> np.dtype[Any]:
        """Layout of the parameter record."""
        return _layout_of(self.params, self.market_fields)


@cache
def _layout_of(model: type[ParamsModel], market_fields: tuple[tuple[str, Any], ...]) -> np.dtype[Any]:
    # In front: behind the model's own fields they would make a record that Numba takes for a kind of the model's, and
    # a component compiled for both, as in an app and here, would warn of it.
    own: Any = params_dtype(model)
    return np.dtype([*market_fields, *((name, own.fields[name][0]) for name in own.names)], align=True)


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


@kernel
def _resample(params: Any, state: Any, hygiene: Any, clock: Any, events: Any, _row: Any) -> int:
    return resample.update(params, state, hygiene.bar, clock, events)


@kernel
def _sessions(params: Any, state: Any, hygiene: Any, clock: Any, events: Any, _row: Any) -> int:
    if hygiene.is_reset:
        sessions.clear(state)
    return sessions.update(params, state, hygiene.bar, clock, events)


OPENING_RANGE_STATE = np.dtype(
    [
        ("day", resample.STATE),
        ("day_atr", volatility.STATE),
        ("atr", volatility.STATE),
        ("opening_range", opening_range.STATE),
        ("unseen", ev.EVENTS),  # buckets of FX days, which are not what was asked for
    ],
    align=True,
)


@kernel
def _opening_range(params: Any, state: Any, hygiene: Any, clock: Any, events: Any, _row: Any) -> int:
    bar = hygiene.bar
    if hygiene.is_reset:
        opening_range.clear(state.opening_range)
    ev.begin(state.unseen, events.bar_index, events.close_ns)
    if clock.fx_day_end_ns > 0:
        status = resample.update(params.day, state.day, bar, clock, state.unseen)
        if status != 0:
            return status
        for k in range(state.day.n_new):
            volatility.update(params.day_atr, state.day_atr, state.day.new[k], state.day.new_is_weekend[k] != 0)
    volatility.update(params.atr, state.atr, bar, hygiene.is_weekend)
    day_atr = state.day_atr.value if volatility.is_ready(params.day_atr, state.day_atr) else np.nan
    return opening_range.update(
        params,
        state.opening_range,
        bar,
        clock,
        state.atr.before,
        day_atr,
        opening_range.BOTH,
        opening_range.BOTH,
        events,
    )


REGIME_STATE = np.dtype(
    [
        ("higher", resample.STATE),
        ("structure", structure_rigs.STRUCTURE_STATE),  # of the higher timeframe
        ("regime", regime.STATE),
        ("unseen", ev.EVENTS),
    ],
    align=True,
)


@kernel
def _regime(params: Any, state: Any, hygiene: Any, clock: Any, events: Any, row: Any) -> int:
    bar = hygiene.bar
    ev.begin(state.unseen, events.bar_index, events.close_ns)
    status = resample.update(params.resample, state.higher, bar, clock, state.unseen)
    if status != 0:
        return status
    for k in range(state.higher.n_new):
        bucket = state.higher.new[k]
        is_weekend = state.higher.new_is_weekend[k] != 0
        regime.update_higher(params, state.regime, bucket, is_weekend)
        if regime.needs_structure(params):
            structure_rigs.follow_structure(params.structure, state.structure, bucket, is_weekend, state.unseen)
    status = regime.update(params, state.regime, bar, state.structure.structure.trend, events)
    row.is_set = regime.is_ready(params, state.regime)
    row.values[0] = state.regime.trend
    row.values[1] = state.regime.efficiency_ratio
    row.values[2] = state.regime.adx.value
    row.values[3] = 1.0 if state.regime.is_range else 0.0
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
    "resample": Rig(resample.ResampleParams, lambda _: resample.STATE, _resample, needs_calendar=wants_days),
    "sessions": Rig(sessions.SessionsParams, lambda _: sessions.STATE, _sessions, needs_calendar=wants_sessions),
    "opening_range": Rig(
        opening_range.OpeningRangeParams,
        lambda _: OPENING_RANGE_STATE,
        _opening_range,
        needs_calendar=wants_sessions,
        needs_days=wants_days_beside_windows,
    ),
    "regime": Rig(
        regime.RegimeParams,
        lambda _: REGIME_STATE,
        _regime,
        {"trend": int, "efficiency_ratio": float, "adx": float, "is_range": bool},
        wants_higher_days,
    ),
    "pivots": Rig(swings.PivotsParams, lambda _: swings.PIVOT_STATE, structure_rigs.pivots_step),
    "swings": Rig(swings.SwingsParams, lambda _: structure_rigs.SWINGS_STATE, structure_rigs.swings_step),
    "structure": Rig(
        structure.StructureParams,
        lambda _: structure_rigs.STRUCTURE_STATE,
        structure_rigs.structure_step,
        needs_calendar=wants_atr_weekends,
    ),
    "gaps": Rig(
        gaps.GapsParams,
        zone_rigs.gaps_state,
        zone_rigs.gaps_step,
        needs_calendar=wants_atr_weekends,
        market_fields=(("tick", "f8"),),
        fill=zone_rigs.fill_tick,
    ),
    "supply_demand": Rig(
        supply_demand.SupplyDemandParams,
        zone_rigs.supply_demand_state,
        zone_rigs.supply_demand_step,
        needs_calendar=wants_atr_weekends,
    ),
    "liquidity": Rig(
        liquidity.LiquidityParams,
        structure_rigs.liquidity_state,
        structure_rigs.liquidity_step,
        needs_days=wants_atr_weekends,
    ),
    "dealing_range": Rig(
        dealing_range.DealingRangeParams,
        lambda _: structure_rigs.RANGE_STATE,
        structure_rigs.dealing_range_step,
        {"range_low": float, "range_high": float, "equilibrium": float, "position": float},
        needs_calendar=wants_range,
        needs_days=wants_range_days,
    ),
    "midpoint": Rig(
        midpoint.MidpointParams,
        lambda _: structure_rigs.MIDPOINT_STATE,
        structure_rigs.midpoint_step,
        needs_calendar=wants_midpoint,
        needs_days=wants_midpoint_days,
        inputs=("exposure", "atr"),
    ),
    "grid": Rig(
        grid_basket.GridParams,
        lambda _: grid_basket.STATE,
        zone_rigs.grid_step,
        market_fields=grid_basket.MARKET_FIELDS,
        fill=grid_basket.fill_market,
    ),
    "order_blocks": Rig(
        order_blocks.OrderBlocksParams,
        zone_rigs.order_blocks_state,
        zone_rigs.order_blocks_step,
        needs_calendar=wants_weekends_of_blocks,
        market_fields=(("tick", "f8"),),
        fill=zone_rigs.fill_tick,
    ),
}
