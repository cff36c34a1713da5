"""Plan a grid and price its targets: levels, stop, units bounded by the worst case, and where the basket leaves.

A plan is frozen once it rests. Its unit comes from the loss with every level filled and stopped, slippage included, so
no number of levels and no weights change what the grid may lose. Prices of a chart are bids: a buy limit and the stop
of a sell grid are met by the ask, so the spread is added to both, and the chart price that triggers them is the one
that the rule names. Long and short then mirror each other exactly.
"""

from typing import Any, Final

import numpy as np

from tradesentry.apps.smgrid.layout import Mark, Phase, ZoneKind
from tradesentry.core.execution.risk_manager import round_to
from tradesentry.core.strategy.indicators import grid, zones
from tradesentry.core.utils.kernel import kernel

_NONE: Final = int(ZoneKind.NONE)
_BASE: Final = int(ZoneKind.BASE)
_BLOCK: Final = int(ZoneKind.ORDER_BLOCK)
_WAITING: Final = int(Mark.WAITING)
_RESTING: Final = int(Phase.RESTING)
_NUDGE: Final = 1e-4
BAND: Final = 1
"""`anchor` atr_band."""
ZONE_EXIT: Final = 1
EQUILIBRIUM: Final = 2
STOP_SPREADS: Final = 3.0
"""The hard stop lies at least that far beyond the deepest level; a nearer one would be refused."""
REPLAN: Final = 0.25
"""Change of the step, as a share, at which a band without fills is planned anew."""


@kernel
def on_grid(price: float, side: int, tick: float) -> float:
    """Return a price on the tick grid; half ticks go up for a buy grid and down for a sell grid, as in a mirror."""
    # Sums of prices are a little off a half tick; the nudge makes all of them one.
    return float(side * round_to(side * price + _NUDGE * tick, tick))


@kernel
def is_wide(params: Any, view: Any) -> bool:
    """Return whether the spread forbids new entries; resting ones are pulled then."""
    return bool(view.last_spread > params.max_spread * view.pip)


@kernel
def is_against(params: Any, context: Any, side: int) -> bool:
    """Return whether the trend forbids a grid on `side`: it points the other way and price moves efficiently."""
    found = context.regime
    return bool(found.trend == -side and found.efficiency_ratio > params.regime_er)


@kernel
def _is_usable(params: Any, basket: Any, kind: int, zone: Any, now_ns: int) -> bool:
    """Return whether a grid may be laid into a zone.

    It may while the zone is untouched; into the one of the last basket up to `max_touches` if that ended at a target,
    and never again if it ended at the stop. While the side is locked only zones made since the stop count.
    """
    if now_ns < basket.lock_until_ns and zone.id <= (basket.lock_base if kind == _BASE else basket.lock_block):
        return False
    if basket.used.kind == kind and basket.used.id == zone.id:
        return bool(not basket.is_lost and max(zone.n_touches, 1) <= params.max_touches)
    return bool(zone.n_touches == 0)


@kernel
def _consider(params: Any, ring: Any, kind: int, baskets: Any, price: float, now_ns: int) -> None:
    """Make the nearest usable zone of one list the candidate of its side if it is nearer than what is there."""
    for i in range(ring.n):
        zone = ring.items[i]
        side = zone.direction
        basket = baskets[0 if side > 0 else 1]
        best = basket.candidate
        if basket.phase > _RESTING or zone.is_flipped or not side * (price - zone.near) > 0.0:
            continue
        if best.kind != _NONE and not side * (zone.near - best.near) > 0.0:
            continue
        if _is_usable(params, basket, kind, zone, now_ns):
            best.kind = kind
            best.id = zone.id
            best.near = zone.near
            best.far = zone.far


@kernel
def find_candidates(params: Any, context: Any, baskets: Any, price: float, now_ns: int) -> None:
    """Find the nearest zone beyond price on each side that holds nothing; call it when an hour is completed.

    Args:
        params: Parameters of smgrid.
        context: `zone_context.STATE`.
        baskets: BASKET of both sides; `candidate` of those that hold nothing is written.
        price: Last close.
        now_ns: Its time.
    """
    baskets[0].candidate.kind = _NONE
    baskets[1].candidate.kind = _NONE
    if params.context.uses_bases:
        _consider(params, context.bases.zones, _BASE, baskets, price, now_ns)
    if params.context.uses_blocks:
        _consider(params, context.blocks.zones, _BLOCK, baskets, price, now_ns)


@kernel
def _touches(context: Any, zone: Any) -> int:
    """Return how often the zone of a grid was touched, -1 when it does not live any more."""
    ring = context.bases.zones if zone.kind == _BASE else context.blocks.zones
    position = zones.find(ring, zone.id)
    return int(ring.items[position].n_touches) if position >= 0 else -1


@kernel
def is_gone(params: Any, context: Any, basket: Any) -> bool:
    """Return whether what a grid is anchored to has gone: its zone does not live, or the midpoint moved."""
    if params.anchor == BAND:
        return bool(basket.anchor != context.midpoint.anchor)
    return bool(context.n_new > 0 and _touches(context, basket.zone) < 0)


@kernel
def band_step(params: Any, context: Any, view: Any) -> float:
    """Return the step of a band now."""
    return float(grid.atr_step(params.step, context.atr.value, view.tick, view.last_spread))


@kernel
def is_stale(params: Any, context: Any, basket: Any, view: Any) -> bool:
    """Return whether a grid without fills has lost what it was laid for: its zone, or its midpoint and step."""
    if is_gone(params, context, basket):
        return True
    if context.n_new == 0:
        return False
    if params.anchor == BAND:
        return bool(abs(band_step(params, context, view) - basket.step) > REPLAN * basket.step)
    return bool(_touches(context, basket.zone) > params.max_touches)


@kernel
def _lay_zone(params: Any, basket: Any, atr: float, spread: float, tick: float) -> float:
    """Write chart prices of the levels of a zone; return the distance of the stop from the deepest."""
    near = basket.zone.near
    far = basket.zone.far
    n = params.levels
    while n > 1 and abs(near - far) < (n - 1 - _NUDGE) * tick:
        n -= 1
    basket.n = n
    basket.step = abs(near - far) / (n - 1) if n > 1 else abs(near - far)
    grid.place_in_zone(far, near, n, basket.prices)
    beyond = abs(basket.prices[n - 1] - far) + params.stop_buffer * atr
    return float(max(beyond, STOP_SPREADS * spread + tick))


@kernel
def _lay_band(params: Any, basket: Any, side: int, step: float, spread: float, tick: float) -> float:
    """Write chart prices of the levels of a band; return the distance of the stop from the deepest."""
    basket.n = params.levels
    basket.step = step
    grid.place_by_step(basket.anchor, side, step, params.levels, basket.prices)
    return float(max(step, STOP_SPREADS * spread + tick))


@kernel
def _size(params: Any, basket: Any, side: int, view: Any) -> int:
    """Write the units of the levels; return how many are used, 0 when none is large enough to trade."""
    slip = params.slip_pips * view.pip
    pv = view.price_unit_value
    grid.fill_weights(params.weights, params.ratio, basket.n, basket.weights)
    risk = params.risk
    unit = grid.unit_within_risk(
        basket.prices, basket.weights, basket.n, basket.stop, side, view.equity, risk, pv, slip
    )
    notional = 0.0
    for i in range(basket.n):
        notional += unit * basket.weights[i] * basket.prices[i] * pv
    # Fewer levels have a smaller notional for the same risk, because it is the deepest that are left out.
    if notional > params.leverage * view.equity:
        risk *= params.leverage * view.equity / notional
    n = grid.size_levels(
        basket.prices, basket.weights, basket.n, basket.stop, side, view.equity, risk, pv, slip, view.unit_step,
        view.unit_min, basket.units,
    )  # fmt: skip
    basket.n = n
    basket.allowed = params.risk * view.equity
    basket.worst = grid.worst_case(basket.prices, basket.units, n, basket.stop, side, pv, slip)
    return int(n)


@kernel
def _aim(params: Any, context: Any, basket: Any, side: int, near: float, spread: float) -> bool:
    """Write where the basket leaves; return False when the equilibrium lies too near to be worth it."""
    basket.tp = grid.target_distance(params.tp_atr, basket.atr, spread)
    basket.fixed_target = np.nan
    exit_cost = 0.0 if side > 0 else spread
    if params.target_mode == ZONE_EXIT:
        basket.fixed_target = near + side * basket.tp + exit_cost
    elif params.target_mode == EQUILIBRIUM:
        middle = context.span.equilibrium
        # The spread lies between entry and exit on either side.
        if not (context.span.is_set and side * (middle - near) >= (grid.MIN_TARGET_SPREADS + 1.0) * spread):
            return False
        basket.fixed_target = middle + exit_cost
    return True


@kernel
def plan(params: Any, context: Any, basket: Any, side: int, view: Any) -> bool:
    """Plan a grid on `basket.zone`, or on `basket.anchor` for a band: levels, stop, units, targets.

    Args:
        params: Parameters of smgrid.
        context: `zone_context.STATE`, ATR known.
        basket: BASKET; what it is anchored to is written already.
        side: +1 buys below price, -1 sells above it.
        view: VIEW, for spread, equity and unit sizes.

    Returns:
        False when there is no such grid: no level is large enough to trade, or the target is too near. The worst case
        of a plan never exceeds `risk` x equity.
    """
    spread = view.last_spread
    tick = view.tick
    basket.atr = context.atr.value
    basket.spread = spread
    if params.anchor == BAND:
        beyond = _lay_band(params, basket, side, band_step(params, context, view), spread, tick)
    else:
        beyond = _lay_zone(params, basket, basket.atr, spread, tick)
    near = basket.prices[0]
    entry_cost = spread if side > 0 else 0.0
    stop = basket.prices[basket.n - 1] - side * beyond
    basket.stop = on_grid(stop if side > 0 else stop + spread, side, tick)
    for i in range(basket.n):
        basket.prices[i] = on_grid(basket.prices[i] + entry_cost, side, tick)
        basket.marks[i] = _WAITING
    return bool(_aim(params, context, basket, side, near, spread) and _size(params, basket, side, view) > 0)


@kernel
def open_basket(state: Any, basket: Any) -> None:
    """Give a planned grid its number; it rests from now on."""
    state.n_baskets += 1
    basket.id = state.n_baskets
    basket.phase = _RESTING
    basket.n_filled = 0
    basket.target = np.nan
    basket.first_bar = 0
    basket.fx_day = 0
    basket.held_levels = 0
    basket.is_halved = False
    basket.is_free = False
    basket.is_over = False


@kernel
def level_target(params: Any, basket: Any, side: int, level: int, pv: float) -> float:
    """Return the target that the order of a level carries: that of the basket once the first `level` levels are filled.

    Levels fill shallowest first, so the average is known in advance. With `recycle` it is the level's own profit of one
    step, at least five spreads.
    """
    if params.recycle:
        step = max(basket.step, grid.MIN_TARGET_SPREADS * basket.spread)
        return float(basket.prices[level - 1] + side * step)
    if not np.isnan(basket.fixed_target):
        return float(basket.fixed_target)
    average = grid.average_price(basket.prices, basket.units, level)
    return float(grid.target_price(average, side, basket.tp, basket.fee, 0.0, pv, 1.0))


@kernel
def held_target(basket: Any, held: Any, side: int, pv: float) -> float:
    """Return the target of what is held, net of commissions both ways and of the swap so far."""
    average = held.cost / held.units
    even = grid.break_even(average, side, basket.fee * held.units, -held.swap, pv, held.units)
    if basket.is_free:
        return float(even)
    if np.isnan(basket.fixed_target):
        return float(even + side * basket.tp)
    return float(even if side * (even - basket.fixed_target) > 0.0 else basket.fixed_target)


@kernel
def floating(basket: Any, held: Any, side: int, price: float, pv: float) -> float:
    """Return what closing all that is held at `price` would earn after commissions and swap, account money."""
    return float(side * (price * held.units - held.cost) * pv - basket.fee * held.units + held.swap)
