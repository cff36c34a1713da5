"""What the app holds: the own position as the view shows it, its full unit, and the four own features.

The position is always read from `view`, never believed. What the view cannot know is kept beside it: the size of a full
unit, fixed at the entry until flat or reversed, and what has happened since. All of it hangs on this market's own
position alone, never on balance or on other strategies: training on one market and a shared live account see the same.
"""

from typing import Any, Final

from tradesentry.apps.drlfusion.layout import N_MARKET
from tradesentry.apps.drlfusion.observation import CLIP, HELD_BARS
from tradesentry.core.utils.kernel import copy_record, inline_kernel, kernel

DUST: Final = 1e-9
"""Units that are none."""
_HELD: Final = N_MARKET
_OPEN_R: Final = N_MARKET + 1
_GIVEBACK_R: Final = N_MARKET + 2
_SHARE: Final = N_MARKET + 3


@inline_kernel
def side_of(value: float) -> int:
    """Return the sign of a number: 1, -1 or 0."""
    return 1 if value > 0.0 else (-1 if value < 0.0 else 0)


@inline_kernel
def exit_price(side: int, bar: Any, view: Any) -> float:
    """Return what a position of that side could be closed at: bid for a purchase, ask for a sale."""
    return float(bar.close if side > 0 else bar.close + view.last_spread)


@kernel
def net_units(view: Any) -> float:
    """Return the signed sum of the own positions."""
    total = 0.0
    for i in range(view.n_positions):
        total += view.positions[i].side * view.positions[i].units
    return float(total)


@kernel
def _open_profit(bar: Any, view: Any) -> float:
    """Return the open profit of all own positions, units x price units; before fees."""
    total = 0.0
    for i in range(view.n_positions):
        position = view.positions[i]
        price = exit_price(position.side, bar, view)
        total += position.side * (price - position.entry_price) * position.units
    return float(total)


@kernel
def forget(holding: Any) -> None:
    """Forget a position that is gone: unit, best result, age. What was refused and closed is remembered."""
    holding.side = 0
    holding.net_units = 0.0
    holding.held = 0.0
    unit = holding.unit
    unit.units = 0.0
    unit.equity = 0.0
    unit.distance = 0.0
    unit.budget = 0.0
    holding.open_r = 0.0
    holding.best_r = 0.0
    holding.held_bars = 0


@kernel
def _begin(params: Any, holding: Any, side: int, net: float, view: Any) -> None:
    """Start to follow a position of a new side: with the unit that was asked for, else with what is held as full."""
    unit = holding.unit
    if holding.next_side == side:
        copy_record(unit, holding.next_unit)
    else:
        # Not asked for by this memory: a position taken over. It counts as full, with the stop that it carries.
        position = view.positions[0]
        unit.units = abs(net)
        unit.equity = view.equity
        unit.distance = abs(position.entry_price - position.initial_stop)
        unit.budget = params.risk_fraction * view.equity
    holding.side = side
    holding.held_bars = 0
    holding.best_r = 0.0


@kernel
def follow_position(params: Any, holding: Any, bar: Any, view: Any) -> None:
    """Bring the holding up to what the view shows after this bar: side, part held, profit, age.

    Args:
        params: Record of `layout.PARAMS`; risk_fraction is read for a position taken over.
        holding: HOLDING.
        bar: Closed bar on the tick grid (`observer.hygiene.bar`).
        view: VIEW after the bar was settled.
    """
    net = net_units(view)
    if not abs(net) > DUST:
        if holding.side != 0:
            forget(holding)
        holding.next_side = 0
        return
    side = side_of(net)
    is_new = side != holding.side
    if is_new:
        _begin(params, holding, side, net, view)
    if holding.next_side == side:
        holding.next_side = 0
    unit = holding.unit
    holding.net_units = net
    holding.held = net / unit.units if unit.units > 0.0 else 0.0
    at_risk = unit.units * unit.distance
    holding.open_r = _open_profit(bar, view) / at_risk if at_risk > 0.0 else 0.0
    holding.best_r = holding.open_r if is_new else max(holding.best_r, holding.open_r)
    holding.held_bars += 1


@kernel
def observe_own(params: Any, holding: Any, bar: Any, view: Any, raw: Any) -> None:
    """Bring the holding up to date and write the four own features of the raw observation.

    Called once per closed bar, before anything reads the holding.

    Args:
        params: Record of `layout.PARAMS`.
        holding: HOLDING; `held` is what `shape_target` compares with.
        bar: Closed bar on the tick grid (`observer.hygiene.bar`).
        view: VIEW after the bar was settled.
        raw: Raw observation, float32, shape (28,); the last four are written, clipped, not normalized.
    """
    follow_position(params, holding, bar, view)
    raw[_HELD] = min(max(holding.held, -CLIP), CLIP)
    raw[_OPEN_R] = min(max(holding.open_r, -CLIP), CLIP)
    raw[_GIVEBACK_R] = min(max(holding.best_r - holding.open_r, 0.0), CLIP)
    raw[_SHARE] = min(holding.held_bars / HELD_BARS, 1.0)
