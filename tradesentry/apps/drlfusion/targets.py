"""From a wished exposure to a target level, and from the level to intents. Shared with the training environment.

`shape_target` says how much to hold: levels, hysteresis, gates, week end, longest holding. `emit_target` says how to
get there: what to close, what to enter, with which stop, so that everything open never loses more at its stop than the
risk that the first entry was given. Both read the position from the view as `observe_own` has seen it.
"""

import math
from typing import Any, Final

from tradesentry.apps.drlfusion.holding import DUST, exit_price, side_of
from tradesentry.apps.drlfusion.layout import Tag
from tradesentry.core.domain.orders import ExitReason, SizeRule
from tradesentry.core.execution.risk_manager import floor_to
from tradesentry.core.strategy.intents import MARKET_ORDER, close, enter, modify
from tradesentry.core.utils.kernel import inline_kernel, kernel

MAX_INTENTS: Final = 3
MINUTE_NS: Final = 60_000_000_000
FLATTEN: Final = 0
"""`weekend` of the configuration: flatten."""
ROUNDING: Final = 1e-9
TICK_ROUNDING: Final = 1e-6
"""Of a tick; the same for both sides, whatever the price."""
HALF: Final = 0.5
UNITS: Final = int(SizeRule.UNITS)
BY_STRATEGY: Final = int(ExitReason.STRATEGY)
BY_TIME: Final = int(ExitReason.TIME)
BY_WEEKEND: Final = int(ExitReason.WEEKEND)
TAG_ENTER: Final = int(Tag.ENTER)
TAG_ADD: Final = int(Tag.ADD)
TAG_REVERSE: Final = int(Tag.REVERSE)
TAG_TOO_SMALL: Final = int(Tag.SIZE_BELOW_MINIMUM)


@kernel
def snap(x: float) -> float:
    """Return the level nearest to `x`, of -1, -0.5, 0, 0.5, 1; the one nearer to 0 where two are equally near."""
    size = min(abs(x), 1.0)
    level = math.ceil(2.0 * size - HALF) * HALF + 0.0
    return level if x > 0.0 else 0.0 - level


@kernel
def floor_level(size: float) -> float:
    """Return the greatest of 0, 0.5 and 1 that is not above `size`."""
    return min(math.floor(2.0 * size + ROUNDING) * HALF, 1.0)


@kernel
def turbulence_multiplier(params: Any, turbulence: float) -> float:
    """Return g: 1 up to the 90 % quantile of training, down to turbulence_floor at the 99 % quantile.

    Args:
        params: Record of `layout.PARAMS`; 1 without the gate, or where the quantiles are unset (0).
        turbulence: Distance d of this bar (`observer.turbulence`).
    """
    width = params.turbulence_q99 - params.turbulence_q90
    if not params.turbulence_gate or not width > 0.0:
        return 1.0
    return float(min(max((params.turbulence_q99 - turbulence) / width, params.turbulence_floor), 1.0))


@inline_kernel
def _capped(level: float, held: float, most: float) -> float:
    """Return `level` with its size lowered to `most`, but never below what is held on its side."""
    kept = abs(held) if level * held > 0.0 else 0.0
    size = abs(level)
    if size > kept:
        size = max(kept, min(size, most))
    return size if level > 0.0 else -size


@kernel
def _gated(params: Any, level: float, held: float, turbulence: float, volatility: float) -> float:
    """Apply the regime gates: they lower increases only, and what they leave of one is rounded down to a level."""
    kept = abs(held) if level * held > 0.0 else 0.0
    size = abs(level)
    if not size > kept:
        return level
    size *= turbulence_multiplier(params, turbulence)
    if params.volatility_target > 0.0 and volatility > 0.0:
        size = min(size, params.volatility_target / volatility)
    return _capped(level, held, floor_level(size))


@kernel
def _within_age(params: Any, holding: Any, level: float, wished: float) -> float:
    """Close a side that was held too long, and keep it closed until the wish leaves it."""
    side = holding.side
    is_old = params.max_hold_bars > 0 and side != 0 and holding.held_bars >= params.max_hold_bars
    if is_old:
        holding.closed_side = side
    elif wished * holding.closed_side <= 0.0:
        holding.closed_side = 0
    if level * holding.closed_side > 0.0:
        holding.reason = BY_TIME
        return 0.0
    return level


@kernel
def shape_target(
    params: Any, holding: Any, bar: Any, view: Any, x: float, turbulence: float, volatility: float
) -> float:
    """Return the part of a full unit to hold from the next open on.

    In this order: the nearest level, or what is held if the wish is near to that; the gates, which lower increases
    only; blackout, locks and the last hours of the week, without increases, or flat; the longest holding.

    Args:
        params: Record of `layout.PARAMS`.
        holding: HOLDING after `observe_own`; `closed_side` and `reason` are written.
        bar: Closed bar.
        view: VIEW; is_blocked and the clock are read.
        x: Wished exposure, -1 to 1.
        turbulence: Of this bar (`observer.turbulence`).
        volatility: Annual, fraction (`observer.volatility`); read with volatility_target only.

    Returns:
        A level, or `holding.held` itself where nothing is to change; 0 is flat.
    """
    held = holding.held
    holding.reason = BY_STRATEGY
    wished = snap(x)
    level = held if abs(x - held) <= params.hysteresis else wished
    level = _gated(params, level, held, turbulence, volatility)
    is_late = bar.close_ns >= view.clock.week_end_ns - params.weekend_no_entry * MINUTE_NS
    if is_late and params.weekend == FLATTEN:
        if level != 0.0:
            holding.reason = BY_WEEKEND
        level = 0.0
    elif is_late or view.is_blocked:
        level = _capped(level, held, 0.0)
    return float(_within_age(params, holding, level, wished))


@inline_kernel
def _stop(params: Any, side: int, bar: Any, view: Any, atr: float) -> float:
    """Return the stop of an entry now: stop_atr x ATR from the price it could leave at, on the tick, inward."""
    distance = params.stop_atr * atr
    price = exit_price(side, bar, view) - side * distance
    if not view.tick > 0.0:
        return float(price)
    steps = 1.0 / view.tick
    whole = math.floor(steps + HALF)
    if abs(steps - whole) < ROUNDING * steps:
        steps = whole
    ticks = price * steps
    rounded = math.ceil(ticks - TICK_ROUNDING) if side > 0 else math.floor(ticks + TICK_ROUNDING)
    return float(rounded / steps)


@inline_kernel
def _entry_price(side: int, bar: Any, view: Any) -> float:
    """Return what an entry is expected to pay: ask for a purchase, bid for a sale."""
    return float(bar.close + view.last_spread if side > 0 else bar.close)


@kernel
def _fix_unit(params: Any, holding: Any, side: int, view: Any, atr: float) -> None:
    """Write what a full unit would be if it were entered now."""
    unit = holding.next_unit
    holding.next_side = side
    unit.distance = params.stop_atr * atr + view.last_spread
    unit.equity = view.equity
    if params.unit_units > 0.0:
        unit.units = params.unit_units
        unit.budget = unit.units * unit.distance * view.price_unit_value
    else:
        unit.budget = params.risk_fraction * view.equity
        unit.units = floor_to(unit.budget / (unit.distance * view.price_unit_value), view.unit_step)


@inline_kernel
def _was_left_out(holding: Any, level: float, net: float) -> bool:
    """Say whether an entry for this target was left out with the same holding before."""
    return bool(holding.asked_level == level and holding.asked_units == net)


@inline_kernel
def _leave_out(holding: Any, level: float, net: float) -> None:
    """Remember that an entry for this target is left out until target or holding changes."""
    holding.asked_level = level
    holding.asked_units = net


@kernel
def _ask(intents: Any, n: int, side: int, units: float, stop: float, level: float, tag: int) -> int:
    """Write one market entry of a number of units."""
    n = enter(intents, n, MARKET_ORDER, side, math.nan, stop, math.nan, 0.0)
    intent = intents[n - 1]
    intent.size_rule = UNITS
    intent["size"] = units
    intent.score = abs(level)
    intent.tag = tag
    return int(n)


@kernel
def _open(
    params: Any, holding: Any, bar: Any, view: Any, atr: float, level: float, tag: int, intents: Any, n: int
) -> int:
    """Ask for a position on a side that nothing is held on."""
    side = side_of(level)
    _fix_unit(params, holding, side, view, atr)
    units = floor_to(abs(level) * holding.next_unit.units, view.unit_step)
    if not units >= view.unit_min:
        if _was_left_out(holding, level, 0.0):
            return n
        _leave_out(holding, level, 0.0)
        tag = TAG_TOO_SMALL
    return _ask(intents, n, side, units, _stop(params, side, bar, view, atr), level, tag)


@kernel
def _add(params: Any, holding: Any, bar: Any, view: Any, atr: float, level: float, intents: Any, n: int) -> int:
    """Ask for more on the side that is held, all of it under the tighter of the old and the new stop."""
    side = holding.side
    net = holding.net_units
    wanted = floor_to(abs(level) * holding.unit.units - abs(net), view.unit_step)
    if not wanted >= view.unit_min or _was_left_out(holding, level, net):
        return n
    stop = _stop(params, side, bar, view, atr)
    for i in range(view.n_positions):
        old = view.positions[i].stop_loss
        if side * (old - stop) > 0.0:
            stop = old
    loss = 0.0
    for i in range(view.n_positions):
        position = view.positions[i]
        loss += position.side * (position.entry_price - stop) * position.units
    apart = side * (_entry_price(side, bar, view) - stop)
    room = holding.unit.budget / view.price_unit_value - loss
    allowed = floor_to(room / apart, view.unit_step) if apart > 0.0 and room > 0.0 else 0.0
    units = min(wanted, allowed)
    if units < HALF * wanted or units < view.unit_min:
        _leave_out(holding, level, net)
        return n
    n = _ask(intents, n, side, units, stop, level, TAG_ADD)
    return int(modify(intents, n, 0, stop, math.nan))


@kernel
def _reduce(holding: Any, view: Any, level: float, intents: Any, n: int) -> int:
    """Close the oldest positions first, as far as three intents go; the rest follows on the next bar."""
    keep = floor_to(abs(level) * holding.unit.units, view.unit_step)
    left = abs(holding.net_units) - keep
    for i in range(view.n_positions):
        if not left > DUST or n >= MAX_INTENTS:
            break
        position = view.positions[i]
        remaining = max(position.units - left, 0.0)
        if remaining < view.unit_min - DUST:
            remaining = 0.0
        left -= position.units - remaining
        n = close(intents, n, position.id, remaining, holding.reason)
    return int(n)


@kernel
def emit_target(params: Any, holding: Any, bar: Any, view: Any, atr: float, level: float, intents: Any) -> int:
    """Write what brings the position to the target level: 0 to 3 intents.

    Args:
        params: Record of `layout.PARAMS`.
        holding: HOLDING after `observe_own` and `shape_target`; the unit of an entry and what was left out are written.
        bar: Closed bar on the tick grid.
        view: VIEW.
        atr: ATR(14) of this bar (`observer.atr.value`), price units.
        level: Target of `shape_target`.
        intents: INTENT array; written from its first row on.

    Returns:
        The number of intents.
    """
    held = holding.held
    if abs(level - held) < params.deadband or level == held:
        return 0
    can_enter = atr > 0.0 and view.price_unit_value > 0.0 and not view.is_blocked
    n = 0
    if holding.side != 0 and level * held <= 0.0:
        n = close(intents, n, 0, 0.0, holding.reason)
        if level != 0.0 and can_enter:
            n = _open(params, holding, bar, view, atr, level, TAG_REVERSE, intents, n)
        return int(n)
    if abs(level) < abs(held):
        return int(_reduce(holding, view, level, intents, n))
    if not can_enter:
        return 0
    if holding.side == 0:
        return int(_open(params, holding, bar, view, atr, level, TAG_ENTER, intents, n))
    return int(_add(params, holding, bar, view, atr, level, intents, n))
