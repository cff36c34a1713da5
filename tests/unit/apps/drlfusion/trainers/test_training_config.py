"""How agents are trained: budgets, what counts as another training, what is slow."""

import pytest

from tradesentry.apps.drlfusion.layout import AGENTS
from tradesentry.apps.drlfusion.trainers.registry import agent_of
from tradesentry.apps.drlfusion.training_config import ALGORITHMS, TrainingConfig


def test_agents_come_in_the_order_of_the_ensemble():
    assert ALGORITHMS == AGENTS


@pytest.mark.parametrize(("budget", "steps"), [(1.0, 200_000), (0.1, 20_000), (1e-9, 1)])
def test_the_budget_multiplies_the_steps_and_leaves_at_least_one(budget, steps):
    assert TrainingConfig(budget=budget).steps_of("ppo") == steps


def test_seeds_and_agents_do_not_make_another_training():
    base = TrainingConfig()

    same = base.model_copy(update={"seeds": 2, "first_seed": 7, "agents": ("ppo",)})
    other = base.model_copy(update={"gamma": 0.5})

    assert same.digest == base.digest
    assert other.digest != base.digest


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_setting_wins_over_the_default_of_an_agent(algorithm):
    agent = agent_of(algorithm)

    own = agent.defaults(TrainingConfig())
    set_ = agent.defaults(TrainingConfig(learning_rate=0.02, minibatch=7, n_envs=3, gae_lambda=0.0))

    assert own == agent.SMALL
    assert (set_.learning_rate, set_.minibatch, set_.n_envs) == (0.02, 7, 3)
    assert set_.gae_lambda == (None if own.gae_lambda is None else 0.0)
    assert agent.defaults(TrainingConfig(size="large")) == agent.LARGE


def test_small_shapes_are_warned_of_with_what_to_change():
    warnings = TrainingConfig().warnings(7, 127)

    assert len(warnings) == 2
    assert "Use 8 or more (training.n_envs)" in warnings[0]
    assert "Use 128 or more (training.minibatch)" in warnings[1]
    assert TrainingConfig().warnings(8, 128) == ()
