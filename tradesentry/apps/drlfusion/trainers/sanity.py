"""Train on the tasks with known answers and judge the result: proof that the machinery learns, and learns no noise.

The five tasks and their exact optima live with the environment (`envs/sanity_tasks.py`); here are budgets, the runs and
the figures that each must reach. A single agent under the reward `net` is never asked to stay flat: holding is free in
expectation. The quorum is, because noise does not make three agents agree.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tradesentry.apps.drlfusion.agents.proposals import Network, Quartet
from tradesentry.apps.drlfusion.envs.sanity_series import TaskName
from tradesentry.apps.drlfusion.envs.sanity_tasks import (
    GAMMA,
    TASKS,
    SanityScore,
    SanityTask,
    held_out_env,
    score,
    training_env,
)
from tradesentry.apps.drlfusion.trainers.base_trainer import Progress, RunSeeds, TrainedPolicy, quiet
from tradesentry.apps.drlfusion.trainers.evaluation import snapped
from tradesentry.apps.drlfusion.trainers.registry import trainer_of
from tradesentry.apps.drlfusion.trainers.temperature import COLDEST, fit_temperature, mean_entropy
from tradesentry.apps.drlfusion.training_config import ALGORITHMS, Algorithm, StepBudget, TrainingConfig

QUICK: Final = StepBudget(ppo=50_000, a2c=150_000, dqn=37_000, sac=15_000)
"""Environment steps of leak, sine and shuffled."""
LONG: Final = StepBudget(ppo=100_000, a2c=300_000, dqn=75_000, sac=30_000)
"""Of the mean-reverting price and the random walk."""
LONG_TASKS: Final = ("mean_reverting", "random_walk")
LOOK_SEED: Final = 500_000
"""Added to a seed for the path that checkpoints are chosen on."""
LOOK_BARS: Final = 128
LEAST: Final[Mapping[str, Mapping[str, float]]] = {
    "leak": {"ppo": 0.95, "a2c": 0.95, "dqn": 0.95, "sac": 0.92},
    "sine": {"ppo": 0.95, "a2c": 0.95, "dqn": 0.95, "sac": 0.92},
    "mean_reverting": {"ppo": 0.93, "a2c": 0.90, "dqn": 0.85, "sac": 0.85, "quorum": 0.93},
}
"""Least fraction of the optimum, by task and agent; medians over seeds."""
NOISE_ERRORS: Final = 3.0
"""Result before costs on the shuffled leak, standard errors from 0."""
MOST_TURNOVER: Final = 0.01
"""Levels changed per bar by the quorum where nothing can be learned."""
LEAST_WALK: Final = -0.35
"""Net per bar on the random walk, in costs of one unit of turnover; a random policy loses 0.67."""
MOST_HELD: Final = 0.3
QUORUM: Final = "quorum"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table: what an agent or the quorum made of a task."""

    task: TaskName
    agent: str
    scores: tuple[SanityScore, ...]
    """One per seed."""
    figure: str
    """What is judged."""
    value: float
    bound: float
    passed: bool


def sanity_config(task: SanityTask, *, budget: float = 1.0) -> TrainingConfig:
    """Return how a task is trained.

    Args:
        task: The task.
        budget: Multiple of the steps.
    """
    steps = LONG if task.name in LONG_TASKS else QUICK
    return TrainingConfig(
        steps=steps, budget=budget, gamma=GAMMA, reward=task.reward.mode, reward_lambda=task.reward.weight
    )


def train_task(
    task: SanityTask, algorithm: Algorithm, *, seed: int, budget: float = 1.0, progress: Progress = quiet
) -> TrainedPolicy:
    """Train one agent on one task and return its best network.

    Args:
        task: The task.
        algorithm: ppo, dqn, sac or a2c.
        seed: Of the path, the episodes and the learner.
        budget: Multiple of the steps.
        progress: Told how far it is.
    """
    config = sanity_config(task, budget=budget)
    trainer = trainer_of(algorithm)
    train = training_env(task, seed=seed, n_envs=trainer.agent.defaults(config).n_envs)
    train.seed = RunSeeds.of(seed).environment
    validation, _ = held_out_env(task, seed=LOOK_SEED + seed, n=LOOK_BARS)
    found: TrainedPolicy = trainer.fit(train, validation, config=config, seed=seed, progress=progress)
    return found


def networks_of(task: SanityTask, policies: Mapping[Algorithm, TrainedPolicy], *, seed: int) -> dict[str, Network]:
    """Return the networks of a seed, DQN with the temperature at which it is as certain as PPO.

    Args:
        task: The task.
        policies: One run per agent.
        seed: Of the runs.
    """
    networks: dict[str, Network] = {}
    for name, policy in policies.items():
        networks[name] = Network(policy.tensors, policy.head, temperature=COLDEST)
    if "dqn" not in networks or "ppo" not in networks:
        return networks
    validation, _ = held_out_env(task, seed=LOOK_SEED + seed, n=LOOK_BARS)
    observations = validation.reset(seed=seed)

    def entropy_at(temperature: float) -> float:
        networks["dqn"].temperature = temperature
        return mean_entropy(networks["dqn"].propose(observations).pi)

    wanted = mean_entropy(networks["ppo"].propose(observations).pi)
    networks["dqn"].temperature = fit_temperature(entropy_at, wanted)
    return networks


def score_network(task: SanityTask, network: Network, *, seed: int) -> SanityScore:
    """Return what one network makes of the held-out path."""
    return score(task, lambda observations: snapped(network.propose(observations).p), seed=seed)


def score_quorum(task: SanityTask, networks: Mapping[str, Network], *, seed: int) -> SanityScore:
    """Return what the vote of all four makes of the held-out path."""
    return score(task, Quartet(networks).wish, seed=seed)


def run_task(
    name: TaskName,
    *,
    seeds: Sequence[int],
    agents: Sequence[Algorithm] = ALGORITHMS,
    budget: float = 1.0,
    progress: Progress = quiet,
) -> Iterator[Verdict]:
    """Train and judge one task; yield a verdict per agent, then those of the quorum.

    Args:
        name: Task.
        seeds: Root seeds; medians are judged.
        agents: Agents; the quorum is judged when all four are there.
        budget: Multiple of the steps.
        progress: Told how far each run is.
    """
    task = TASKS[name]
    found: dict[str, list[SanityScore]] = {agent: [] for agent in (*agents, QUORUM)}
    for seed in seeds:
        policies = {agent: train_task(task, agent, seed=seed, budget=budget, progress=progress) for agent in agents}
        networks = networks_of(task, policies, seed=seed)
        for agent in agents:
            found[agent].append(score_network(task, networks[agent], seed=seed))
        if set(agents) == set(ALGORITHMS):
            found[QUORUM].append(score_quorum(task, networks, seed=seed))
    for who, scores in found.items():
        if scores:
            yield from judge(task, who, tuple(scores))


def judge(task: SanityTask, agent: str, scores: tuple[SanityScore, ...]) -> Iterator[Verdict]:
    """Yield the verdicts on one agent's scores of a task, one per seed.

    Args:
        task: The task.
        agent: Its name, or `quorum`.
        scores: One per seed.
    """

    def verdict(figure: str, value: float, bound: float, *, passed: bool) -> Verdict:
        return Verdict(task.name, agent, scores, figure, value, bound, passed)

    bound = LEAST.get(task.name, {}).get(agent)
    if bound is not None:
        value = statistics.median(one.fraction for one in scores)
        yield verdict("fraction of optimum", value, bound, passed=value >= bound)
    elif task.name == "shuffled" and agent != QUORUM:
        worst = max(_errors(one, task.cost) for one in scores)
        yield verdict("abs(gross) in errors", worst, NOISE_ERRORS, passed=worst <= NOISE_ERRORS)
    elif task.name == "random_walk" and agent != QUORUM:
        net = statistics.median(one.net for one in scores) / task.cost
        held = statistics.median(one.exposure for one in scores)
        yield verdict("net in costs", net, LEAST_WALK, passed=net >= LEAST_WALK)
        yield verdict("abs(held)", held, MOST_HELD, passed=held <= MOST_HELD)
    elif not task.has_optimum:
        value = statistics.median(one.turnover for one in scores)
        yield verdict("turnover", value, MOST_TURNOVER, passed=value <= MOST_TURNOVER)


def _errors(one: SanityScore, cost: float) -> float:
    """Return how many standard errors the result before costs is from zero; 0 where nothing was done.

    What is paid for turnover is known and says nothing of foresight; with a small position it would outweigh the noise.
    """
    gross = one.net + one.turnover * cost
    return abs(gross) / one.error if one.error > 0.0 else 0.0 if gross == 0.0 else math.inf
