"""Decide on one bar: follow the market, keep the leg of the last break and its resting order, guard the position.

Order inside one bar: bar check; all components (`context`); then either the position, or the legs, a new break, and
the order for the next bar. One position a symbol. The rules are in `docs/strategy_guides/smedge.md`.
"""

from typing import Any, ClassVar, Final

from tradesentry.apps.smedge import layout
from tradesentry.apps.smedge.config import SMEdgeConfig
from tradesentry.apps.smedge.context import follow_market
from tradesentry.apps.smedge.layout import STATE
from tradesentry.apps.smedge.orders import follow_legs, forget_legs, manage_position, place, take_trigger
from tradesentry.apps.smedge.signals import trigger
from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.indicators import events as ev
from tradesentry.core.strategy.indicators import hygiene
from tradesentry.core.utils.kernel import kernel

__all__ = ["STATE", "SMEdgeConfig", "SMEdgeStrategy", "step"]

_OK: Final = int(Status.OK)
_LIQUIDITY: Final = int(ev.Component.LIQUIDITY)


@kernel
def _has_pool_event(events: Any) -> bool:
    """Return whether a pool came, moved or went on this bar."""
    for i in range(events.n):
        if events.items[i].component == _LIQUIDITY:
            return True
    return False


@kernel
def _seek_entry(params: Any, state: Any, bar: Any, view: Any, intents: Any) -> int:
    """Keep legs and order; return the number of intents."""
    n = 0
    if state.legs[0].side != 0:
        n = follow_legs(params, state, bar, view, intents, n)
    found = trigger(params, state, bar) if state.structure.direction != 0 else 0
    if found != 0:
        n = take_trigger(params, state, bar, view, found, intents, n)
    if state.legs[0].side == 0 or state.hygiene.n_good <= params.warmup_bars:
        return n
    return place(params, state, bar, view, _has_pool_event(state.events), intents, n)


@kernel
def step(params: Any, state: Any, bar: Any, view: Any, intents: Any) -> int:
    """Take one closed bar and write what to do at the next open.

    Args:
        params: Parameter record of `SMEdgeConfig`.
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
    status = follow_market(params, state, seen, view.clock, view.tick)
    if status != _OK:
        return -status
    if view.n_positions > 0:
        forget_legs(state)
        return manage_position(params, state, seen, view, intents, 0)
    return _seek_entry(params, state, seen, view, intents)


class SMEdgeStrategy(BaseStrategy):
    """Breaks of structure with the H4 trend, entered by a limit in a block or gap of the leg that broke."""

    name = "smedge"
    summary = "Continuation after a structure break with the H4 trend, from order blocks and fair value gaps."
    Config = SMEdgeConfig
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
        """Return breaks, zones and sweeps for the price chart; see `chart.chart_events`."""
        from tradesentry.apps.smedge.chart import chart_events

        return chart_events(config, bars, calendar=calendar, tick=tick)

    @classmethod
    def baselines(cls, config: Any) -> Any:  # noqa: ARG003
        """Return exits and baselines; see `baselines`."""
        from tradesentry.apps.smedge.baselines import SUITE

        return SUITE

    @classmethod
    def bars_needed(cls, config: Any) -> int:
        """Return the warm-up, execution bars."""
        return layout.bars_needed(config)
