"""The agents learn what is there and leave noise alone: five tasks with exact answers, through the real environment."""

import pytest

pytest.importorskip("torch", reason="the extra [drl] is not installed")

from tradesentry.apps.drlfusion.envs.sanity_tasks import TASKS, best_decisions, score
from tradesentry.apps.drlfusion.trainers.sanity import judge, run_task

pytestmark = pytest.mark.drl
SEEDS = {"mean_reverting": (0, 1, 2)}
"""Root seeds by task; one where none is named."""
N_FIGURES = {"leak": 4, "sine": 4, "mean_reverting": 5, "shuffled": 5, "random_walk": 9}


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_agents_and_quorum_reach_every_figure_of_a_task(name):
    verdicts = list(run_task(name, seeds=SEEDS.get(name, (0,))))

    missed = [(one.agent, one.figure, one.value, one.bound) for one in verdicts if not one.passed]
    assert missed == []
    assert len(verdicts) == N_FIGURES[name]


@pytest.mark.parametrize("name", ["leak", "sine", "mean_reverting"])
def test_the_figures_are_parts_of_what_the_best_rule_earns(name):
    """The best rule, played through the environment, scores 1 and is judged to pass; flat scores 0 and is not."""
    task = TASKS[name]

    best = score(task, best_decisions(task, seed=0, n_windows=16, n=300), seed=0, n_windows=16, n=300)
    flat = score(task, lambda observations: 0.0 * observations[:, 0].astype(float), seed=0, n_windows=16, n=300)

    assert best.fraction == pytest.approx(1.0, abs=0.02)
    assert all(one.passed for one in judge(task, "ppo", (best,)))
    assert flat.fraction == 0.0
    assert not any(one.passed for one in judge(task, "ppo", (flat,)))
