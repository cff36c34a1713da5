"""Decide on one bar: rest a limit at a fresh zone in discount or premium, and take it back to equilibrium.

Order inside one bar: bar check; the zone timeframe and the range regime; what became of orders and positions;
candidates, when a bucket or a trade changed them; exits; entries for the next bar. One position a symbol, or two
tranches of one. The rules are in `docs/strategy_guides/smclassic.md`.
"""

from typing import Any, ClassVar, Final

from tradesentry.apps.smclassic import layout
from tradesentry.apps.smclassic.configs.smclassic_config import SMClassicConfig
from tradesentry.apps.smclassic.helpers import ENTRY_REJECTION, find_candidates
from tradesentry.apps.smclassic.layout import STATE
from tradesentry.apps.smclassic.orders import enter_rejection, rest_limits
from tradesentry.apps.smclassic.positions import manage, note_entries, note_exit
from tradesentry.core.domain.orders import Status
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.strategy.indicators import hygiene, zone_context
from tradesentry.core.utils.kernel import kernel

__all__ = ["STATE", "SMClassicConfig", "SMClassicStrategy", "step"]

_OK: Final = int(Status.OK)


@kernel
def _count_bar(state: Any, clock: Any) -> None:
    """Count the bars of the FX week and those of a pause."""
    if clock.week_end_ns != state.week_end_ns:
        state.week_end_ns = clock.week_end_ns
        state.n_week = 0
    state.n_week += 1
    if state.pause > 0:
        state.pause -= 1


@kernel
def step(params: Any, state: Any, bar: Any, view: Any, intents: Any) -> int:
    """Take one closed bar and write what to do at the next open.

    Args:
        params: Parameter record of `SMClassicConfig`.
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
    exposure = 0.0
    for i in range(view.n_positions):
        exposure += view.positions[i].units
    status = zone_context.update(params.context, state.context, state.hygiene, view.clock, exposure, state.events)
    if status != _OK:
        return -status
    _count_bar(state, view.clock)
    if state.idea.is_open:
        note_exit(params, state, seen, view)
    else:
        note_entries(params, state, seen, view)
    if state.is_stale or state.context.n_new > 0:
        find_candidates(params, state)
    if view.n_positions > 0:
        return manage(params, state, seen, view, intents, 0)
    if params.entry == ENTRY_REJECTION:
        return enter_rejection(params, state, seen, view, intents, 0) if state.n_candidates > 0 else 0
    if state.n_candidates == 0 and view.n_orders == 0:
        return 0
    return rest_limits(params, state, seen, view, intents, 0)


class SMClassicStrategy(BaseStrategy):
    """Fresh supply and demand in premium and discount, traded back to the equilibrium of the dealing range."""

    name = "smclassic"
    summary = "Return to equilibrium from a fresh supply or demand zone at the edge of the dealing range."
    Config = SMClassicConfig
    STATE = layout.STATE
    step = step
    EXTRA_PARAMS = layout.EXTRA_PARAMS
    TAGS: ClassVar[dict[int, str]] = layout.TAGS

    @classmethod
    def fill_params(cls, config: Any, record: Any) -> None:
        """Write what is computed from the configuration."""
        layout.fill_params(config, record)

    @classmethod
    def bars_needed(cls, config: Any) -> int:
        """Return the warm-up, execution bars."""
        return layout.bars_needed(config)

    @classmethod
    def chart_events(cls, config: Any, bars: Any, *, calendar: Any, tick: float) -> Any:
        """Return zones, breaks and midpoint resets of the zone timeframe for the price chart; see `zone_events`."""
        from tradesentry.core.strategy.indicators.zone_events import zone_events

        return zone_events(layout.context_params(config), bars, calendar=calendar, tick=tick)

    @classmethod
    def baselines(cls, config: Any) -> Any:  # noqa: ARG003
        """Return exits and baselines; see `baselines`."""
        from tradesentry.apps.smclassic.baselines import SUITE

        return SUITE
