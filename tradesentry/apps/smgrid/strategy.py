"""Decide on one bar: lay bounded grids into zones or round the midpoint, follow them, and end them as a whole.

Order inside one bar: bar check; zones, range, midpoint and regime of the completed hour; what became of each basket
that rests or is held; its exits, targets and levels; new grids for the next bar. The rules are in
`docs/strategy_guides/smgrid.md`.
"""

from typing import Any, ClassVar, Final

from tradesentry.apps.smgrid import layout
from tradesentry.apps.smgrid.baskets import count_levels, follow, is_unchanged
from tradesentry.apps.smgrid.configs.smgrid_config import SMGridConfig
from tradesentry.apps.smgrid.helpers import (
    BAND,
    band_step,
    find_candidates,
    is_against,
    is_stale,
    is_wide,
    open_basket,
    plan,
)
from tradesentry.apps.smgrid.layout import STATE, Phase, ZoneKind
from tradesentry.apps.smgrid.orders import cancel_levels, is_idle, manage_held, place_levels, withdraw
from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.indicators import hygiene, volatility, zone_context
from tradesentry.core.utils.kernel import copy_record, kernel

__all__ = ["STATE", "SMGridConfig", "SMGridStrategy", "step"]

_OK: Final = int(Status.OK)
_FLAT: Final = int(Phase.FLAT)
_RESTING: Final = int(Phase.RESTING)
_HELD: Final = int(Phase.HELD)
_NO_ZONE: Final = int(ZoneKind.NONE)
_MINUTE_NS: Final = 60_000_000_000
SWITCH: Final = 0.5
"""Without `dual`, a grid that has not filled gives way to one on the other side that is nearer by this factor."""


@kernel
def _is_closed(params: Any, state: Any, bar: Any, view: Any) -> bool:
    """Return whether no grid may be opened or rest without fills: blocked, wide spread, warm-up, end of the week."""
    if view.is_blocked or is_wide(params, view) or state.hygiene.n_good <= params.warmup_bars:
        return True
    lead = max(params.weekend_lead, params.weekend_no_entry) * _MINUTE_NS
    return bool(params.weekend == 0 and bar.close_ns >= view.clock.week_end_ns - lead)


@kernel
def _manage(params: Any, state: Any, index: int, is_closed: bool, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Follow the basket of one side and decide on it."""
    basket = state.baskets[index]
    side = 1 - 2 * index
    held = state.held
    context = state.context
    is_off = is_closed or basket.is_over or state.hygiene.is_reset
    if is_unchanged(state, view):
        if basket.phase == _HELD and is_idle(params, context, basket, side, view):
            return n
        if basket.phase == _RESTING and not is_off and not is_against(params, context, side):
            if not is_stale(params, context, basket, view):
                return place_levels(params, basket, side, bar, view, intents, n) if basket.n_waiting > 0 else n
    follow(params, context, basket, held, side, bar, view)
    if basket.phase == _HELD:
        return manage_held(params, context, basket, held, side, bar, view, intents, n)
    if basket.phase == _FLAT:
        # It has ended: what still rests of it must never fill.
        return cancel_levels(basket, held, intents, n)
    if basket.phase != _RESTING:
        return n
    if is_off or basket.is_over or is_against(params, context, side) or is_stale(params, context, basket, view):
        return withdraw(basket, held, intents, n)
    return place_levels(params, basket, side, bar, view, intents, n)


@kernel
def _nearness(params: Any, state: Any, index: int, bar: Any, view: Any) -> float:
    """Return how far price is from the grid that a flat side could open now, price units; -1 when it could not."""
    basket = state.baskets[index]
    side = 1 - 2 * index
    if basket.phase != _FLAT or view.bar_index < basket.retry_bar:
        return -1.0
    if params.anchor == BAND:
        middle = state.context.midpoint.anchor
        length = band_step(params, state.context, view)
        if not (state.context.midpoint.is_set and abs(bar.close - middle) <= length) or view.n_positions > 0:
            return -1.0
        if bar.close_ns < basket.lock_until_ns and state.context.midpoint.n_resets == basket.lock_resets:
            return -1.0
        distance = side * (bar.close - middle) + length
    else:
        candidate = basket.candidate
        if candidate.kind == _NO_ZONE:
            return -1.0
        reach = bar.low if side > 0 else bar.high
        if not side * (reach - candidate.near) > 0.0:
            # Touched inside an hour that is not complete yet: no longer fresh.
            candidate.kind = _NO_ZONE
            return -1.0
        distance = side * (bar.close - candidate.near)
    return -1.0 if is_against(params, state.context, side) else float(distance)


@kernel
def _open(params: Any, state: Any, index: int, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Plan and rest a grid on a flat side."""
    basket = state.baskets[index]
    side = 1 - 2 * index
    copy_record(basket.zone, basket.candidate)
    basket.anchor = state.context.midpoint.anchor
    if params.anchor == BAND:
        # What a band hangs on is the last reset of the midpoint.
        basket.zone.kind = _NO_ZONE
        basket.zone.id = state.context.midpoint.n_resets
    if not plan(params, state.context, basket, side, view):
        return n
    open_basket(state, basket)
    return place_levels(params, basket, side, bar, view, intents, n)


@kernel
def _open_grids(params: Any, state: Any, bar: Any, view: Any, intents: Any, n: int) -> int:
    """Open what may be opened: both sides with `dual`, else the nearer one, which may displace one without fills."""
    buy = _nearness(params, state, 0, bar, view)
    sell = _nearness(params, state, 1, bar, view)
    if buy < 0.0 and sell < 0.0:
        return n
    if params.dual and params.max_baskets > 1:
        if buy >= 0.0:
            n = _open(params, state, 0, bar, view, intents, n)
        if sell >= 0.0:
            n = _open(params, state, 1, bar, view, intents, n)
        return n
    if buy >= 0.0 and sell >= 0.0:
        if buy == sell:
            return n
        return _open(params, state, 0 if buy < sell else 1, bar, view, intents, n)
    index = 0 if buy >= 0.0 else 1
    distance = buy if buy >= 0.0 else sell
    other = state.baskets[1 - index]
    if other.phase == _RESTING:
        side = 1 - 2 * index
        exit_price = bar.close + view.last_spread if side > 0 else bar.close
        if not distance < SWITCH * side * (other.prices[0] - exit_price):
            return n
        # Some of its levels may have been asked for on this very bar, so it goes on the next.
        other.is_over = True
        return n
    if other.phase != _FLAT:
        return n
    return _open(params, state, index, bar, view, intents, n)


@kernel
def step(params: Any, state: Any, bar: Any, view: Any, intents: Any) -> int:
    """Take one closed bar and write what to do at the next open.

    Args:
        params: Parameter record of `SMGridConfig`.
        state: STATE record.
        bar: BAR, closed.
        view: VIEW of this market.
        intents: INTENT array.

    Returns:
        The number of intents, or a negative Status.
    """
    if not hygiene.check(params.hygiene, state.hygiene, bar, view.clock, view.tick, state.events):
        return 0
    seen = state.hygiene.bar
    context = state.context
    status = zone_context.update(
        params.context, context, state.hygiene, view.clock, float(view.n_positions), state.events
    )
    if status != _OK:
        return -status
    is_closed = _is_closed(params, state, seen, view)
    has_changed = not is_unchanged(state, view)
    last_id = state.n_baskets
    n = 0
    for index in range(2):
        if state.baskets[index].phase != _FLAT:
            n = _manage(params, state, index, is_closed, seen, view, intents, n)
    if context.n_new > 0 and params.anchor != BAND:
        find_candidates(params, context, state.baskets, seen.close, seen.close_ns)
    is_known = volatility.is_ready(params.context.midpoint.dealing_range.structure.atr, context.atr)
    if is_known and not is_closed:
        n = _open_grids(params, state, seen, view, intents, n)
    if has_changed or n > 0 or state.n_baskets != last_id:
        count_levels(state)
    return n


class SMGridStrategy(BaseStrategy):
    """Bounded grids inside fresh zones or round the midpoint, sized by what they lose when everything goes wrong."""

    name = "smgrid"
    summary = "A bounded grid of limits in a fresh zone or round the midpoint, ended as one basket."
    Config = SMGridConfig
    STATE = layout.STATE
    step = step
    EXTRA_PARAMS = layout.EXTRA_PARAMS
    TAGS: ClassVar[dict[int, str]] = layout.TAGS

    @classmethod
    def fill_params(cls, config: Any, record: Any) -> None:
        """Write what is computed from the configuration."""
        layout.fill_params(config, record)

    @classmethod
    def chart_events(cls, config: Any, bars: Any, *, calendar: Any, tick: float) -> Any:
        """Return zones and structure for the price chart; see `chart.chart_events`."""
        from tradesentry.apps.smgrid.chart import chart_events

        return chart_events(config, bars, calendar=calendar, tick=tick)

    @classmethod
    def bars_needed(cls, config: Any) -> int:
        """Return the warm-up, execution bars."""
        return layout.bars_needed(config)
