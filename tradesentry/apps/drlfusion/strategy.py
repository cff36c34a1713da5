"""Decide on one bar: observe, ask four small networks, let them vote, and trade only what the rule supports.

Order inside one bar: bar check, market features, own features; each network on the observation and on its mirror;
shadow accounts and weights; the rule; the target level; intents for the next open. The rules are in
`docs/strategy_guides/drlfusion.md`.
"""

from typing import Any, ClassVar

import numpy as np

from tradesentry.apps.drlfusion import layout
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.ensemble import ask_agent, combine, credit, n_votes, note_proposals, propose
from tradesentry.apps.drlfusion.holding import observe_own
from tradesentry.apps.drlfusion.layout import BARS_NEEDED, N_AGENTS, N_MARKET, STATE
from tradesentry.apps.drlfusion.networks import normalize
from tradesentry.apps.drlfusion.observation import observe_market
from tradesentry.apps.drlfusion.targets import emit_target, shape_target, turbulence_multiplier
from tradesentry.core.strategy.base_strategy import BaseStrategy
from tradesentry.core.utils.kernel import kernel

__all__ = ["STATE", "DrlFusionConfig", "DrlFusionStrategy", "step"]


@kernel
def _note(params: Any, state: Any, x: float, level: float) -> None:
    """Keep what was decided, for decision logs and reports."""
    last = state.last
    agents = state.ensemble.agents
    for i in range(N_AGENTS):
        last.p[i] = agents[i].p
        last.s[i] = agents[i].s
        last.w[i] = agents[i].weight
    last.x = x
    last.a = level
    last.turbulence = state.observer.turbulence
    last.g = turbulence_multiplier(params, last.turbulence)
    last.held = state.holding.held
    last.votes = n_votes(params, agents)
    last.n_decisions += 1


@kernel
def step(params: Any, state: Any, bar: Any, view: Any, intents: Any) -> int:
    """Take one closed bar and write what to do at the next open.

    Args:
        params: Parameter record of `DrlFusionConfig` with a model set.
        state: STATE record.
        bar: BAR, closed.
        view: VIEW of this market.
        intents: INTENT array.

    Returns:
        The number of intents, 0 to 3.
    """
    observer = state.observer
    if not observe_market(params, observer, bar, view):
        return 0
    seen = observer.hygiene.bar
    observe_own(params, state.holding, seen, view, state.raw)
    if observer.n <= BARS_NEEDED:
        return 0
    for i in range(N_MARKET):
        state.raw[i] = observer.features[i]
    normalize(params, state.raw, state.obs)
    for i in range(N_AGENTS):
        ask_agent(params, state, i)
        propose(state.ensemble.agents[i])
    credit(params, state.ensemble, seen.close, observer.atr_before, view.clock.fx_day)
    x = combine(params, state.ensemble, state.holding.held)
    note_proposals(state.ensemble, seen.close, observer.spread)
    level = shape_target(params, state.holding, seen, view, x, observer.turbulence, observer.volatility)
    n = emit_target(params, state.holding, seen, view, observer.atr.value, level, intents)
    _note(params, state, x, level)
    return n


class DrlFusionStrategy(BaseStrategy):
    """Four learned agents, one vote: a target position that at least three of them support, else flat."""

    name = "drlfusion"
    summary = "Four learned agents vote on a target position; three must agree, else flat."
    Config = DrlFusionConfig
    STATE = layout.STATE
    step = step
    EXTRA_PARAMS = layout.EXTRA_PARAMS
    TAGS: ClassVar[dict[int, str]] = layout.TAGS

    @classmethod
    def params_dtype(cls) -> np.dtype[Any]:
        """Return the layout of the parameter record; settings of training are no part of it."""
        return layout.PARAMS

    @classmethod
    def fill_params(cls, config: Any, record: Any) -> None:
        """Write the networks of the model set that the configuration names, and what is computed from it."""
        from tradesentry.apps.drlfusion.model_package import fill_from, load_model_set

        layout.fill_constants(config, record)
        fill_from(load_model_set(config.models, timeframe=config.timeframe), record)

    @classmethod
    def bars_needed(cls, _config: Any) -> int:
        """Return the warm-up, execution bars."""
        return BARS_NEEDED

    @classmethod
    def notices(cls, config: Any) -> tuple[str, ...]:
        """Return what whoever uses the model set must know of it; shown by every back-test."""
        from tradesentry.apps.drlfusion.model_package import load_model_set, notice_of

        notice = notice_of(load_model_set(config.models, timeframe=config.timeframe))
        return (notice,) if notice else ()

    @classmethod
    def decisions(cls, run: Any) -> Any:
        """Play a resolved back-test bar by bar and yield (symbol, table) of what was decided."""
        from tradesentry.apps.drlfusion.decision_log import decisions_of

        return decisions_of(run)
