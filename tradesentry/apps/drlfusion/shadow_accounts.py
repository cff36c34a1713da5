"""Keep a shadow account for every agent, and make weights of how they do.

An agent's shadow account holds its snapped proposal over the next bar, close to close, and pays half the spread for
every change; it lives in the state, so weights are the same in back-test, live and after a restart. The result of a
proposal is booked one bar after it was made, before the next one is looked at. Separate from the rules, because most of
them do not use weights.
"""

import math
from typing import Any, Final

from tradesentry.apps.drlfusion.layout import N_AGENTS, Rule
from tradesentry.apps.drlfusion.networks import exp_fixed
from tradesentry.apps.drlfusion.targets import snap
from tradesentry.core.utils.kernel import kernel

SOFTMAX: Final = int(Rule.SOFTMAX)
HEDGE: Final = int(Rule.HEDGE)
BY_SCORE: Final = 1
"""`weights` of the configuration: softmax."""
EVEN: Final = 1.0 / N_AGENTS
TRADING_DAYS: Final = 252.0


@kernel
def _normalize_weights(agents: Any) -> None:
    """Scale the weights to a sum of 1."""
    total = 0.0
    for i in range(N_AGENTS):
        total += agents[i].weight
    for i in range(N_AGENTS):
        agents[i].weight = agents[i].weight / total if total > 0.0 else EVEN


@kernel
def _weigh_by_score(params: Any, agents: Any) -> None:
    """Set the weights to the softmax of the scores, with a floor, scaled to a sum of 1."""
    best = agents[0].score
    for i in range(1, N_AGENTS):
        best = max(best, agents[i].score)
    for i in range(N_AGENTS):
        agents[i].weight = exp_fixed((agents[i].score - best) / params.tau)
    _normalize_weights(agents)
    for i in range(N_AGENTS):
        agents[i].weight = max(params.weight_floor, agents[i].weight)
    _normalize_weights(agents)


@kernel
def _hedge(params: Any, agents: Any) -> None:
    """Fixed share: weights grow with the result on this bar, then a part is spread evenly.

    Source: Herbster & Warmuth (1998), "Tracking the Best Expert".
    """
    for i in range(N_AGENTS):
        agents[i].weight *= exp_fixed(params.hedge_eta * agents[i].result)
    _normalize_weights(agents)
    for i in range(N_AGENTS):
        agents[i].weight = (1.0 - params.hedge_alpha) * agents[i].weight + params.hedge_alpha * EVEN


@kernel
def annual_sharpe(total: float, squares: float, n: int, years: float) -> float:
    """Return the annualized Sharpe ratio of n results; 0 where they do not vary: an agent that stayed flat has none.

    Args:
        total: Sum of the results.
        squares: Sum of their squares.
        n: Their number.
        years: Length of the block, trading years.
    """
    if n < 2 or not years > 0.0:
        return 0.0
    mean = total / n
    variance = (squares - total * mean) / (n - 1)
    if not variance > 1e-12 * squares:
        return 0.0
    return mean / math.sqrt(variance) * math.sqrt(n / years)


@kernel
def _end_block(params: Any, ensemble: Any) -> None:
    """Judge the shadow accounts over the block that has ended, and start the next one."""
    agents = ensemble.agents
    years = params.block_days / TRADING_DAYS
    for i in range(N_AGENTS):
        agent = agents[i]
        agent.last_sharpe = annual_sharpe(agent.shadow_sum, agent.shadow_sq, ensemble.block_bars, years)
        agent.score = (1.0 - params.score_alpha) * agent.score + params.score_alpha * agent.last_sharpe
        agent.shadow_sum = 0.0
        agent.shadow_sq = 0.0
    ensemble.block_bars = 0
    ensemble.n_days = 0
    ensemble.n_blocks += 1
    if params.rule == SOFTMAX or (params.rule != HEDGE and params.weights == BY_SCORE):
        _weigh_by_score(params, agents)


@kernel
def _credit_bar(ensemble: Any, close: float, per_atr: float) -> None:
    """Book this bar on the proposals of the bar before: their levels times the move, less the price of taking them."""
    move = close - ensemble.last_close
    for i in range(N_AGENTS):
        agent = ensemble.agents[i]
        result = (agent.shadow_level * move - agent.shadow_cost) / per_atr if per_atr > 0.0 else 0.0
        agent.result = result
        agent.shadow_sum += result
        agent.shadow_sq += result * result
    ensemble.block_bars += 1


@kernel
def credit(params: Any, ensemble: Any, close: float, per_atr: float, fx_day: int) -> None:
    """Book this bar on the shadow accounts and update the weights; before this bar's proposals are looked at.

    Args:
        params: Record of `layout.PARAMS`.
        ensemble: ENSEMBLE.
        close: Close of the bar, bid.
        per_atr: ATR of the bar before, price units.
        fx_day: Row of the FX day that holds the bar (`view.clock.fx_day`).
    """
    if ensemble.n_decisions == 0:
        for i in range(N_AGENTS):
            ensemble.agents[i].weight = EVEN
        ensemble.fx_day = fx_day
        return
    if fx_day != ensemble.fx_day:
        ensemble.fx_day = fx_day
        ensemble.n_days += 1
        if ensemble.n_days >= params.block_days:
            _end_block(params, ensemble)
    _credit_bar(ensemble, close, per_atr)
    if params.rule == HEDGE:
        _hedge(params, ensemble.agents)


@kernel
def note_proposals(ensemble: Any, close: float, spread: float) -> None:
    """Let the shadow accounts take this bar's proposals, to be held over the next bar.

    Args:
        ensemble: ENSEMBLE.
        close: Close of the bar, bid.
        spread: Spread of the bar, price units; half of it is paid per unit of change.
    """
    for i in range(N_AGENTS):
        agent = ensemble.agents[i]
        level = snap(agent.p)
        agent.shadow_cost = 0.5 * spread * abs(level - agent.shadow_level)
        agent.shadow_level = level
    ensemble.last_close = close
    ensemble.n_decisions += 1
