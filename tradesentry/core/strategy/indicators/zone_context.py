"""The zone timeframe beside execution bars: what smclassic and smgrid know about H1 or H4 when they decide on M15.

Execution bars are gathered into buckets; each completed bucket goes once through the components, in the order of
strategies 2.0: ATR, life of zones, breaks of structure, order blocks, supply-demand bases, pivots and swings, dealing
range, midpoint. A bucket that still runs changes nothing. On execution bars themselves run the sessions (where the
range needs them) and the range regime: efficiency ratio per bar, ADX and averages per completed hour, whatever the zone
timeframe is.

Separate from both apps because what they bet on differs and what they look at must not. Events of the zone timeframe
go to the caller's buffer: their indices count buckets from 0, their `known_at_ns` is the close of the execution bar
that released the bucket.
"""

from typing import Any, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.config import ParamsModel, fill_record, params_dtype
from tradesentry.core.strategy.indicators import (
    dealing_range,
    midpoint,
    order_blocks,
    regime,
    resample,
    sessions,
    structure,
    supply_demand,
    swings,
    volatility,
)
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators.midpoint import MidpointParams
from tradesentry.core.strategy.indicators.order_blocks import OrderBlocksParams
from tradesentry.core.strategy.indicators.regime import RegimeParams
from tradesentry.core.strategy.indicators.resample import ResampleParams
from tradesentry.core.strategy.indicators.supply_demand import SupplyDemandParams
from tradesentry.core.utils.kernel import kernel

N_EVENTS: Final = 1_024
"""Every live zone may be touched, broken and forgotten on one bar."""
EVENTS: Final = ev.events_dtype(N_EVENTS)
"""Buffer for a strategy that uses this context."""

_OK: Final = int(Status.OK)


class ZoneContextParams(ParamsModel):
    """All that the context computes, and from what."""

    zone_timeframe: Literal["h1", "h4"] = Field("h1", description="Timeframe of zones, structure and range.")
    h4_anchor: Literal["fx_day", "utc"] = Field(
        "fx_day", description="Where four-hour buckets start: 17:00 New York, or 00:00 UTC."
    )
    uses_bases: bool = Field(True, description="Follow supply-demand bases.")
    uses_blocks: bool = Field(False, description="Follow order blocks.")
    bases: SupplyDemandParams = SupplyDemandParams(contiguous_only=True)
    blocks: OrderBlocksParams = OrderBlocksParams()
    midpoint: MidpointParams = MidpointParams(anchor="eq")
    """Holds dealing range, structure, swings and ATR, each inside the other."""
    regime: RegimeParams = RegimeParams()

    @model_validator(mode="after")
    def _blocks_ask_for_no_gap(self) -> Self:
        if self.blocks.needs_gap:
            raise ValueError("blocks.needs_gap is not available here: gaps are not followed. Leave it off.")
        return self

    @property
    def zone_minutes(self) -> int:
        """Length of a bucket."""
        return 60 if self.zone_timeframe == "h1" else 240

    @property
    def bucket(self) -> ResampleParams:
        """How buckets of the zone timeframe are cut."""
        if self.zone_timeframe == "h1":
            return ResampleParams()
        return ResampleParams(period="h4", h4_anchor=self.h4_anchor)


PARAMS = np.dtype(
    [
        ("is_hourly", "b1"),  # buckets of the zone timeframe are hours
        ("uses_bases", "b1"),
        ("uses_blocks", "b1"),
        ("bucket", resample.PARAMS),
        ("hour", resample.PARAMS),
        ("bases", supply_demand.PARAMS),
        ("blocks", params_dtype(OrderBlocksParams, [("tick", "f8")])),  # the layout of `run`, so one compilation serves
        ("midpoint", midpoint.PARAMS),
        ("regime", regime.PARAMS),
    ],
    align=True,
)
STATE = np.dtype(
    [
        ("n_buckets", "i8"),  # of the zone timeframe, completed so far
        ("n_new", "i8"),  # completed by this bar: 0, 1 or 2
        ("last_close_ns", "i8"),  # of the last bucket
        ("bos", "i8"),  # direction of a BOS on this bar, 0 none
        ("choch", "i8"),  # direction of a CHoCH on this bar, 0 none
        ("is_reset", "b1"),  # the midpoint moved on this bar
        ("is_deferred", "b1"),  # this bar asked for a reset that waits for the exposure to go
        ("buckets", resample.STATE),
        ("hours", resample.STATE),  # empty where the zone timeframe is an hour
        ("sessions", sessions.STATE),
        ("regime", regime.STATE),
        ("atr", volatility.STATE),  # of the zone timeframe
        ("pivots", swings.PIVOT_STATE),
        ("swings", swings.STATE),
        ("structure", structure.STATE),
        ("bases", supply_demand.STATE),
        ("blocks", order_blocks.STATE),
        ("span", dealing_range.STATE),  # the dealing range
        ("midpoint", midpoint.STATE),
    ],
    align=True,
)

_DAY: Final = 2


def fill_params(model: ZoneContextParams, record: Any) -> None:
    """Write a model into a PARAMS record.

    Args:
        model: What to compute.
        record: One PARAMS record.
    """
    record["is_hourly"] = model.zone_timeframe == "h1"
    record["uses_bases"] = model.uses_bases
    record["uses_blocks"] = model.uses_blocks
    fill_record(model.bucket, record["bucket"])
    fill_record(ResampleParams(), record["hour"])
    for name in ("bases", "blocks", "midpoint", "regime"):
        fill_record(getattr(model, name), record[name])


def bars_needed(model: ZoneContextParams, bar_minutes: int) -> int:
    """Return the execution bars before the context can be trusted: swings, breaks, ATR, ADX and efficiency ratio.

    Args:
        model: What is computed.
        bar_minutes: Length of an execution bar.
    """
    within = model.midpoint.dealing_range.structure
    swing = within.swings.left_bars + within.swings.right_bars + 1
    # Two swings lie at least a pivot apart; a base needs the ATR, one bar, and its departure.
    buckets = max(3 * swing, within.atr.n_bars + model.bases.max_base + 2)
    hours = 2 * model.regime.adx.n_bars
    if model.regime.trend_mode in ("ema", "both"):
        hours = max(hours, 3 * model.regime.slow_bars + model.regime.slope_bars)
    minutes = max(buckets * model.zone_minutes, hours * 60)
    if model.midpoint.dealing_range.range_source == "day":
        minutes = max(minutes, 2 * 1_440)
    return max(minutes // bar_minutes, model.regime.er_bars + 1)


@kernel
def reset(context: Any) -> None:
    """Forget everything; call it before the first bar."""
    context.n_buckets = 0
    context.n_new = 0
    context.last_close_ns = 0
    resample.reset(context.buckets)
    resample.reset(context.hours)
    sessions.reset(context.sessions)
    regime.reset(context.regime)
    volatility.reset(context.atr)
    swings.pivot_reset(context.pivots)
    swings.reset(context.swings)
    structure.reset(context.structure)
    supply_demand.reset(context.bases)
    order_blocks.reset(context.blocks)
    dealing_range.reset(context.span)
    midpoint.reset(context.midpoint)


@kernel
def _follow_zones(params: Any, context: Any, bucket: Any, is_contiguous: bool, events: Any) -> int:
    """Take a bucket into life of zones, structure, new blocks and new bases: steps 2 to 5 of strategies 2.0."""
    atr = context.atr
    within = params.midpoint.dealing_range.structure
    if params.uses_blocks:
        order_blocks.advance(params.blocks, context.blocks, bucket, events)
    if params.uses_bases:
        supply_demand.advance(params.bases, context.bases, bucket, events)
    breaks = context.structure
    status = structure.update(within, breaks, bucket, context.swings, context.pivots, atr.before, events)
    if params.uses_blocks:
        order_blocks.create(params.blocks, context.blocks, bucket, breaks, -1, -1, atr.before, atr.value, events)
    if params.uses_bases:
        supply_demand.create(params.bases, context.bases, bucket, atr.before, is_contiguous, events)
    return status


@kernel
def _follow_bucket(
    params: Any, context: Any, bucket: Any, is_weekend: bool, clock: Any, exposure: float, events: Any
) -> int:
    """Take one completed bucket of the zone timeframe into every component of it."""
    within = params.midpoint.dealing_range.structure
    volatility.update(within.atr, context.atr, bucket, is_weekend)
    is_contiguous = bucket.open_ns == context.last_close_ns
    _follow_zones(params, context, bucket, is_contiguous, events)
    breaks = context.structure
    if breaks.direction != 0:
        if breaks.is_choch:
            context.choch = breaks.direction
        else:
            context.bos = breaks.direction
    swings.pivot_update(within.swings.left_bars, within.swings.right_bars, context.pivots, bucket, events)
    swings.update(within.swings, context.swings, context.pivots, events)
    dealing_range.update(
        params.midpoint.dealing_range, context.span, bucket, context.swings, context.pivots, breaks, context.sessions
    )
    was_deferred = context.midpoint.is_deferred
    midpoint.update(
        params.midpoint, context.midpoint, bucket, clock, breaks, context.span, exposure, context.atr.value, events
    )
    context.is_reset |= context.midpoint.is_new
    context.is_deferred |= context.midpoint.is_deferred and not was_deferred
    context.last_close_ns = bucket.close_ns
    context.n_buckets += 1
    return ev.status(events)


@kernel
def _follow_hours(params: Any, context: Any, bar: Any, clock: Any, events: Any) -> int:
    """Take the completed hours into ADX and averages, and the bar into the efficiency ratio."""
    hours = context.buckets
    if not params.is_hourly:
        hours = context.hours
        status = resample.update(params.hour, hours, bar, clock, events)
        if status != _OK:
            return int(status)
    for i in range(hours.n_new):
        regime.update_higher(params.regime, context.regime, hours.new[i], hours.new_is_weekend[i] != 0)
    return int(regime.update(params.regime, context.regime, bar, context.structure.trend, events))


@kernel
def update(params: Any, context: Any, hygiene: Any, clock: Any, exposure: float, events: Any) -> int:
    """Take one closed execution bar; everything it tells is in `context` afterwards.

    Args:
        params: PARAMS record.
        context: STATE record.
        hygiene: `hygiene.STATE`, already updated on this bar.
        clock: CLOCK of the bar.
        exposure: Units held by the strategy on this market, any sign; above 0 a midpoint reset waits.
        events: EVENTS buffer of the strategy.

    Returns:
        Status.OK, Status.FULL_EVENTS, or Status.NO_CALENDAR where FX days are needed and missing.
    """
    bar = hygiene.bar
    if hygiene.n_good == 1:
        reset(context)
    if hygiene.is_reset:
        sessions.clear(context.sessions)
        supply_demand.clear(context.bases)
    context.bos = 0
    context.choch = 0
    context.is_reset = False
    context.is_deferred = False
    if params.midpoint.dealing_range.range_source >= _DAY:
        sessions.update(params.midpoint.dealing_range.sessions, context.sessions, bar, clock, events)
    buckets = context.buckets
    status = resample.update(params.bucket, buckets, bar, clock, events)
    if status != _OK:
        return int(status)
    context.n_new = buckets.n_new
    if buckets.n_new > 0:
        # Blocks and swings compare indices, and one bar may release two buckets.
        bar_index = events.bar_index
        for i in range(buckets.n_new):
            events.bar_index = context.n_buckets
            is_weekend = buckets.new_is_weekend[i] != 0
            _follow_bucket(params, context, buckets.new[i], is_weekend, clock, exposure, events)
        events.bar_index = bar_index
    return _follow_hours(params, context, bar, clock, events)


@kernel
def range_position(context: Any, price: float) -> float:
    """Return where in the dealing range a price lies: 0 at its low, 1 at its high, NaN without a range."""
    span = context.span
    if not span.is_set or not span.range_high > span.range_low:
        return np.nan
    return float((price - span.range_low) / (span.range_high - span.range_low))


@kernel
def age(ring: Any, zone: Any) -> int:
    """Return the age of a live zone, buckets; `ring` is `bases.zones` or `blocks.zones`."""
    return int(ring.n_bars - zone.born)


@kernel
def nearest_ahead(ring: Any, side: int, price: float) -> float:
    """Return the proximal edge of the nearest live zone in the way of a trade, NaN when none lies ahead.

    Args:
        ring: `bases.zones` or `blocks.zones`.
        side: +1 for a buyer, whom supply above is in the way of; -1 for a seller.
        price: From where on to look.
    """
    nearest = np.nan
    for i in range(ring.n):
        zone = ring.items[i]
        direction = -zone.direction if zone.is_flipped else zone.direction
        if direction == -side and side * (zone.near - price) > 0.0 and not side * (zone.near - nearest) >= 0.0:
            nearest = zone.near
    return float(nearest)
