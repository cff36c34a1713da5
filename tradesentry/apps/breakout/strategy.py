"""Decide on one bar: follow the ranges of all sessions and modes, and trade the break of one of them.

Order inside one bar: bar check; buckets, ATR, trend and bands; what became of resting orders; every slot's range, break
or retest; exits; entries for the next bar. One position a symbol. The rules are in `docs/strategy_guides/breakout.md`.
"""

from typing import Any, ClassVar, Final

from tradesentry.apps.breakout import layout
from tradesentry.apps.breakout.config import BreakoutConfig
from tradesentry.apps.breakout.context import follow_market
from tradesentry.apps.breakout.layout import STATE
from tradesentry.apps.breakout.orders import enter_signal, manage_position, note_fills, rest_orders
from tradesentry.apps.breakout.slots import follow_slots, start_day
from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.indicators import hygiene
from tradesentry.core.utils.kernel import kernel

__all__ = ["STATE", "BreakoutConfig", "BreakoutStrategy", "step"]

_OK: Final = int(Status.OK)
_MODE_STOP: Final = 0


@kernel
def step(params: Any, state: Any, bar: Any, view: Any, intents: Any) -> int:
    """Take one closed bar and write what to do at the next open.

    Args:
        params: Parameter record of `BreakoutConfig`.
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
    status = follow_market(params, state, seen, view.clock)
    if status != _OK:
        return -status
    start_day(params, state, view.clock)
    is_resting = params.entry_mode == _MODE_STOP
    if is_resting:
        note_fills(state, seen, view)
    status = follow_slots(params, state, seen, view)
    if status != _OK:
        return -status
    n = manage_position(params, state, seen, view, intents, 0) if view.n_positions > 0 else 0
    if is_resting:
        n = rest_orders(params, state, seen, view, intents, n)
    elif state.n_signals > 0:
        n = enter_signal(params, state, seen, view, intents, n)
    return n


class BreakoutStrategy(BaseStrategy):
    """Opening ranges, the night range of London, and squeezed Bollinger bands, traded in the direction of the break."""

    name = "breakout"
    summary = "Expansion out of an opening range, a night range or squeezed Bollinger bands."
    Config = BreakoutConfig
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
        """Return ranges and breaks for the price chart; see `chart.chart_events`."""
        from tradesentry.apps.breakout.chart import chart_events

        return chart_events(config, bars, calendar=calendar, tick=tick)

    @classmethod
    def baselines(cls, config: Any) -> Any:  # noqa: ARG003
        """Return exits and baselines; see `baselines`."""
        from tradesentry.apps.breakout.baselines import SUITE

        return SUITE

    @classmethod
    def bars_needed(cls, config: Any) -> int:
        """Return the warm-up, execution bars."""
        return layout.bars_needed(config)
