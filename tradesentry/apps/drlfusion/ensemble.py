"""Make one wish of four proposals: heads, proposals, and the rule that combines them.

Order of work in one bar: `ask_agent` turns outputs into shares of the levels and averages them with those of the
mirrored market, so that a policy that ignores its input proposes exactly nothing; `propose` reduces them to mean and
deviation; `credit` of `shadow_accounts` books this bar on the proposals of the bar before and updates the weights;
`combine` applies the rule; `note_proposals` takes this bar's proposals into the shadow accounts. Nothing here has a
side of its own: mirrored proposals give the negated wish.
"""

import math
from typing import Any, Final

from tradesentry.apps.drlfusion.layout import N_AGENTS, N_FEATURES, N_LEVELS, Head, Rule
from tradesentry.apps.drlfusion.networks import exp_fixed, flip, forward, normal_cdf_fixed
from tradesentry.apps.drlfusion.shadow_accounts import BY_SCORE, EVEN, credit, note_proposals
from tradesentry.core.utils.kernel import inline_kernel, kernel

__all__ = [
    "ask_agent",
    "combine",
    "credit",
    "n_votes",
    "note_proposals",
    "propose",
    "reduce_head",
    "shares_of",
    "symmetrize",
    "vote_of",
]

LOGITS: Final = int(Head.LOGITS)
VALUES: Final = int(Head.VALUES)
SQUASHED: Final = int(Head.SQUASHED)
INNER_CUT: Final = 0.25
OUTER_CUT: Final = 0.75
INNER_SQUASHED: Final = 0.25541281188299536
"""atanh(1/4): where a tanh reaches the cut between flat and half."""
OUTER_SQUASHED: Final = 0.9729550745276566
"""atanh(3/4)."""
LEAST_LOG_DEVIATION: Final = -20.0
MOST_LOG_DEVIATION: Final = 2.0
QUORUM: Final = int(Rule.QUORUM)
MEAN: Final = int(Rule.MEAN)
SELECT: Final = int(Rule.SELECT)
GATE: Final = int(Rule.GATE)
QUORUM_WEIGHT: Final = 0.6
"""Weight that a side needs where votes are weighted."""


@kernel
def _soften(out: Any, temperature: float, pi: Any) -> None:
    """Write the softmax of out / temperature."""
    highest = out[0]
    for k in range(1, N_LEVELS):
        highest = max(highest, out[k])
    for k in range(N_LEVELS):
        pi[k] = exp_fixed((float(out[k]) - float(highest)) / temperature)
    total = (pi[0] + pi[4]) + (pi[1] + pi[3]) + pi[2]
    for k in range(N_LEVELS):
        pi[k] /= total


@kernel
def _cut(mean: float, log_deviation: float, inner: float, outer: float, pi: Any) -> None:
    """Write the shares of a normal distribution between the cuts -outer, -inner, inner, outer."""
    deviation = exp_fixed(min(max(log_deviation, LEAST_LOG_DEVIATION), MOST_LOG_DEVIATION))
    a = normal_cdf_fixed((-outer - mean) / deviation)
    b = normal_cdf_fixed((-inner - mean) / deviation)
    c = normal_cdf_fixed((inner - mean) / deviation)
    d = normal_cdf_fixed((outer - mean) / deviation)
    pi[0] = a
    pi[1] = max(b - a, 0.0)
    pi[2] = max(c - b, 0.0)
    pi[3] = max(d - c, 0.0)
    pi[4] = 1.0 - d


@kernel
def reduce_head(head: int, temperature: float, out: Any, pi: Any) -> None:
    """Turn the outputs of a network into shares of the five levels.

    Args:
        head: `layout.Head`: logits; mean and log deviation, plain or before a tanh; or action values.
        temperature: Of action values; not read for the other heads.
        out: Outputs, float32, shape (5,).
        pi: Shares of -1, -1/2, 0, 1/2, 1, float64, shape (5,); written, sums to 1.
    """
    if head == LOGITS:
        _soften(out, 1.0, pi)
    elif head == VALUES:
        _soften(out, temperature, pi)
    elif head == SQUASHED:
        _cut(float(out[0]), float(out[1]), INNER_SQUASHED, OUTER_SQUASHED, pi)
    else:
        _cut(float(out[0]), float(out[1]), INNER_CUT, OUTER_CUT, pi)


@kernel
def symmetrize(pi: Any, mirrored: Any) -> None:
    """Average the shares with those that the mirrored market gives the opposite levels.

    Args:
        pi: Shares on the observation, shape (5,); replaced by the average.
        mirrored: Shares on the mirrored observation, shape (5,).
    """
    for k in range(N_LEVELS):
        pi[k] = 0.5 * (pi[k] + mirrored[N_LEVELS - 1 - k])


@kernel
def propose(agent: Any) -> None:
    """Write the proposal of an agent: mean and deviation of its shares, summed in opposite pairs.

    Args:
        agent: AGENT; `pi` is read, `p` and `s` are written.
    """
    pi = agent.pi
    p = (pi[4] - pi[0]) + 0.5 * (pi[3] - pi[1])
    outer = pi[4] * (1.0 - p) * (1.0 - p) + pi[0] * (-1.0 - p) * (-1.0 - p)
    inner = pi[3] * (0.5 - p) * (0.5 - p) + pi[1] * (-0.5 - p) * (-0.5 - p)
    agent.p = p
    agent.s = math.sqrt(max((outer + inner) + pi[2] * p * p, 0.0))


@kernel
def ask_agent(params: Any, state: Any, agent: int) -> None:
    """Let one network say what it makes of `state.obs`: its shares of the levels, averaged with the mirror's.

    Args:
        params: Record of `layout.PARAMS`.
        state: STATE; obs is read, `ensemble.agents[agent].pi` is written, the rest is scratch.
        agent: Number of the agent.
    """
    pi = state.ensemble.agents[agent].pi
    head, temperature = params.head[agent], params.temperature[agent]
    forward(params, agent, state.obs, state.h1, state.h2, state.out)
    reduce_head(head, temperature, state.out, pi)
    if params.mirror:
        flip(state.obs, state.mirrored)
        forward(params, agent, state.mirrored, state.h1, state.h2, state.out)
        reduce_head(head, temperature, state.out, state.mirrored_pi)
        symmetrize(pi, state.mirrored_pi)


@kernel
def shares_of(params: Any, state: Any, agent: int, observations: Any, shares: Any) -> None:
    """Write what one agent makes of many observations, by the kernels that decide.

    Args:
        params: Record of `layout.PARAMS`.
        state: STATE; scratch.
        agent: Number of the agent.
        observations: Normalized, float32, shape (n, 28).
        shares: float64, shape (n, 5); written.
    """
    for row in range(observations.shape[0]):
        for i in range(N_FEATURES):
            state.obs[i] = observations[row, i]
        ask_agent(params, state, agent)
        for k in range(N_LEVELS):
            shares[row, k] = state.ensemble.agents[agent].pi[k]


@inline_kernel
def vote_of(p: float, threshold: float) -> int:
    """Return the vote of a proposal: its side where it is above the threshold, else 0."""
    return (1 if p > 0.0 else -1) if abs(p) > threshold else 0


@kernel
def _median_size(params: Any, agents: Any, side: int) -> float:
    """Return the median size of the proposals that vote for `side`; the mean of the middle two of an even number."""
    n = 0
    for i in range(N_AGENTS):
        if vote_of(agents[i].p, params.vote_threshold) == side:
            n += 1
    low = (n - 1) // 2
    high = n // 2
    total = 0.0
    for i in range(N_AGENTS):
        size = abs(agents[i].p)
        if vote_of(agents[i].p, params.vote_threshold) != side:
            continue
        # Its rank among the voters; of equals the one with the lower number comes first.
        rank = 0
        for j in range(N_AGENTS):
            if vote_of(agents[j].p, params.vote_threshold) == side:
                other = abs(agents[j].p)
                if other < size or (other == size and j < i):
                    rank += 1
        if rank == low:
            total += 0.5 * size
        if rank == high:
            total += 0.5 * size
    return total


@kernel
def _quorum(params: Any, agents: Any) -> float:
    """Return the wish of the side that enough agents share; 0 where none has, or both."""
    n_up = n_down = 0
    up = down = 0.0
    for i in range(N_AGENTS):
        vote = vote_of(agents[i].p, params.vote_threshold)
        if vote > 0:
            n_up += 1
            up += agents[i].weight
        elif vote < 0:
            n_down += 1
            down += agents[i].weight
    if params.weights == BY_SCORE:
        has_up = up >= QUORUM_WEIGHT
        has_down = down >= QUORUM_WEIGHT
    else:
        has_up = n_up >= params.quorum_n
        has_down = n_down >= params.quorum_n
    if has_up == has_down:
        return 0.0
    return _median_size(params, agents, 1) if has_up else 0.0 - _median_size(params, agents, -1)


@kernel
def _best(agents: Any) -> int:
    """Return the agent with the best last block; the lowest number of equals."""
    best = 0
    for i in range(1, N_AGENTS):
        if agents[i].last_sharpe > agents[best].last_sharpe:
            best = i
    return best


@kernel
def _weighted(agents: Any) -> float:
    """Return the weighted mean of the proposals."""
    total = 0.0
    for i in range(N_AGENTS):
        total += agents[i].weight * agents[i].p
    return total


@kernel
def _gate(params: Any, agents: Any, held: float) -> float:
    """Return the weighted mean where it is clear of its uncertainty, else what is held."""
    mean = _weighted(agents)
    square = 0.0
    for i in range(N_AGENTS):
        agent = agents[i]
        square += agent.weight * ((agent.p - mean) * (agent.p - mean) + agent.s * agent.s)
    return mean if abs(mean) > params.gate_k * math.sqrt(max(square, 0.0)) else held


@kernel
def combine(params: Any, ensemble: Any, held: float) -> float:
    """Return the wished exposure, -1 to 1, of the rule in use.

    Args:
        params: Record of `layout.PARAMS`; rule, quorum_n, vote_threshold, weights and gate_k are read.
        ensemble: ENSEMBLE with this bar's proposals and the weights as of this bar.
        held: Part of a full unit held, what rule gate falls back to.
    """
    agents = ensemble.agents
    rule = params.rule
    if rule == QUORUM:
        x = _quorum(params, agents)
    elif rule == MEAN:
        x = 0.0
        for i in range(N_AGENTS):
            x += agents[i].p
        x *= EVEN
    elif rule == SELECT:
        x = agents[_best(agents)].p
    elif rule == GATE:
        x = _gate(params, agents, held)
    else:
        x = _weighted(agents)
    return min(max(x, -1.0), 1.0)


@kernel
def n_votes(params: Any, agents: Any) -> int:
    """Return the sum of the votes, -4 to 4."""
    total = 0
    for i in range(N_AGENTS):
        total += vote_of(agents[i].p, params.vote_threshold)
    return total
