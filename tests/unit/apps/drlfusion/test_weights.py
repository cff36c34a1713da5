"""Weights by score against following the last winner, on made agents whose skill is known.

Eight scenarios: skills alike, apart for good, or of one agent at a time that stays the best from block to block with
probability 0.95 or 0.7; results of the agents correlated 0.5 or 0.9. The standard error of a Sharpe ratio over 63 days
is 2.0, so the last winner is mostly luck.
"""

from functools import cache

import numpy as np

from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig
from tradesentry.apps.drlfusion.layout import ENSEMBLE, N_AGENTS, blank_params
from tradesentry.apps.drlfusion.shadow_accounts import EVEN, _end_block
from tradesentry.core.utils.kernel import new_records

DAYS, BLOCKS, YEAR = 63, 400, 252
SKILLS = {"equal": None, "static": (0.5, 0.8, 1.1, 1.4), "stays 0.95": 0.95, "stays 0.70": 0.70}
SCENARIOS = [(skill, correlation) for skill in SKILLS for correlation in (0.5, 0.9)]


def skills(kind, rng):
    """Annual Sharpe ratio of each agent in each block."""
    if kind is None:
        return np.full((BLOCKS, N_AGENTS), 0.8)
    if isinstance(kind, tuple):
        return np.tile(kind, (BLOCKS, 1))
    out, best = np.full((BLOCKS, N_AGENTS), 0.4), 0
    for block in range(BLOCKS):
        best = best if rng.random() < kind else int(rng.integers(N_AGENTS))
        out[block, best] = 1.8
    return out


def results(kind, correlation, seed):
    """Daily results of each agent, deviation 1, shape (blocks, days, agents)."""
    rng = np.random.default_rng(seed)
    means = skills(kind, rng)[:, None, :] / np.sqrt(YEAR)
    shared = rng.normal(size=(BLOCKS, DAYS, 1))
    own = rng.normal(size=(BLOCKS, DAYS, N_AGENTS))
    return means + np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own


def sharpe(daily):
    return float(daily.mean() / daily.std(ddof=1) * np.sqrt(YEAR))


@cache
def played(skill, correlation, seed):
    """Sharpe ratios of the weights and of the last winner, each used on the block after the one it was judged on."""
    params, ensemble = blank_params(DrlFusionConfig(rule="softmax")), new_records(1, ENSEMBLE)[0]
    agents = ensemble["agents"]
    agents["weight"] = EVEN
    weighted, selected = [], []
    for block in results(SKILLS[skill], correlation, seed):
        weighted.append(block @ agents["weight"])
        selected.append(block[:, int(np.argmax(agents["last_sharpe"]))])
        agents["shadow_sum"], agents["shadow_sq"] = block.sum(axis=0), (block**2).sum(axis=0)
        ensemble.block_bars = DAYS
        _end_block(params[0], ensemble)
    return sharpe(np.concatenate(weighted)), sharpe(np.concatenate(selected))


def test_weights_by_score_beat_following_the_last_winner():
    """Better in at least five of eight scenarios and never much worse; medians over three seeds."""
    ratios = {
        scenario: float(np.median([a / b for a, b in (played(*scenario, seed) for seed in range(3))]))
        for scenario in SCENARIOS
    }

    assert sum(ratio > 1.0 for ratio in ratios.values()) >= 5, ratios
    assert min(ratios.values()) >= 0.7, ratios


def test_weights_never_leave_an_agent_out():
    """The floor holds before scaling, so at the worst a weight is 0.05 / 1.15."""
    params, ensemble = blank_params(DrlFusionConfig(rule="softmax")), new_records(1, ENSEMBLE)[0]
    for block in range(20):
        for i, agent in enumerate(ensemble.agents):
            agent.shadow_sum, agent.shadow_sq = (30.0 if i == 0 else -30.0), 63.0
        ensemble.block_bars = DAYS
        _end_block(params[0], ensemble)
        weights = [float(agent.weight) for agent in ensemble.agents]
        assert min(weights) >= 0.05 / 1.15 - 1e-12, block
        assert abs(sum(weights) - 1.0) < 1e-12
    assert weights[0] > 0.8
