"""A trained network decides the same in our kernel as in the library that trained it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra [drl] is not installed")

from tests.support.training import TINY, tiny_data  # noqa: E402
from tradesentry.apps.drlfusion.agents.proposals import Network  # noqa: E402
from tradesentry.apps.drlfusion.configs.drlfusion_config import DrlFusionConfig  # noqa: E402
from tradesentry.apps.drlfusion.envs.simulation_env import sb3_vec_env  # noqa: E402
from tradesentry.apps.drlfusion.layout import N_FEATURES, N_LEVELS, STATE, Head, blank_params  # noqa: E402
from tradesentry.apps.drlfusion.model_checks import NETWORK  # noqa: E402
from tradesentry.apps.drlfusion.networks import forward  # noqa: E402
from tradesentry.apps.drlfusion.trainers.base_trainer import RunSeeds, quiet  # noqa: E402
from tradesentry.apps.drlfusion.trainers.registry import trainer_of  # noqa: E402
from tradesentry.core.domain.errors import DataError  # noqa: E402
from tradesentry.core.utils.kernel import new_records  # noqa: E402

pytestmark = pytest.mark.drl
N = 4_096
CUTS = torch.tensor([-0.75, -0.25, 0.25, 0.75], dtype=torch.float64)
CASES = [("ppo", "discrete"), ("a2c", "discrete"), ("dqn", "discrete"), ("sac", "continuous"), ("ppo", "continuous")]


def observed():
    return np.random.default_rng(0).normal(size=(N, N_FEATURES)).astype(np.float32)


def kernel_outputs(tensors):
    params, state = blank_params(DrlFusionConfig()), new_records(1, STATE)
    for name in NETWORK:
        params[name][0, 0] = tensors[name]
    rows = []
    for row in observed():
        forward(params[0], 0, row, state[0].h1, state[0].h2, state[0].out)
        rows.append(state[0].out.copy())
    return np.stack(rows)


def torch_outputs(algorithm, action, policy):
    """What the library computes before it draws, padded to five."""
    with torch.no_grad():
        seen = torch.from_numpy(observed())
        if algorithm == "dqn":
            out = policy.q_net(seen)
        elif algorithm == "sac":
            mean, log_deviation, _ = policy.actor.get_action_dist_params(seen)
            out = torch.cat([mean, log_deviation], dim=1)
        else:
            latent, _ = policy.mlp_extractor(seen)
            out = policy.action_net(latent)
            if action == "continuous":
                out = torch.cat([out, policy.log_std.expand(len(out), 1)], dim=1)
    return np.pad(out.numpy(), ((0, 0), (0, N_LEVELS - out.shape[1])))


def torch_shares(head, outputs, temperature):
    out = torch.from_numpy(outputs).double()
    if head is Head.LOGITS:
        return torch.softmax(out, dim=1).numpy()
    if head is Head.VALUES:
        return torch.softmax(out / temperature, dim=1).numpy()
    cuts = torch.atanh(CUTS) if head is Head.SQUASHED else CUTS
    below = torch.distributions.Normal(out[:, :1], out[:, 1:2].exp()).cdf(cuts)
    ends = torch.zeros(len(out), 1), torch.ones(len(out), 1)
    return torch.diff(torch.cat([ends[0], below, ends[1]], dim=1), dim=1).numpy()


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def trained(request):
    """An algorithm whose networks have been drawn by the library, with its environment."""
    algorithm, action = request.param
    config = TINY.model_copy(update={"action": action})
    trainer = trainer_of(algorithm)
    environment, _ = tiny_data().environments(trainer.agent, config, seed=0)
    model = trainer._new_model(environment, config, RunSeeds.of(1))
    return trainer, config, model


def test_outputs_and_shares_of_the_kernel_are_those_of_the_library(trained):
    trainer, config, model = trained
    tensors, head = trainer.agent.export(model.policy), trainer.agent.head(config)
    expected = torch_outputs(trainer.algorithm, config.action, model.policy)

    outputs = kernel_outputs(tensors)
    shares = Network(tensors, head, temperature=0.1, mirror=False).propose(observed()).pi

    assert np.abs(outputs - expected).max() <= 1e-5
    assert np.abs(shares - torch_shares(head, expected, 0.1)).max() <= 1e-6
    assert np.ptp(outputs[:, 0]) > 1e-4


def test_a_policy_without_the_shape_of_ours_is_refused():
    trainer = trainer_of("dqn")
    environment, _ = tiny_data().environments(trainer.agent, TINY, seed=0)
    policy = trainer.library_class()(
        "MlpPolicy", sb3_vec_env(environment), policy_kwargs={"net_arch": [32, 32]}, buffer_size=64
    ).policy

    with pytest.raises(DataError, match="two hidden layers of 64 units on the 28 observed features"):
        trainer.agent.export(policy)


def test_training_leaves_the_process_as_it_was():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    trainer = trainer_of("a2c")
    environments = tiny_data().environments(trainer.agent, TINY, seed=0)

    trainer.fit(*environments, config=TINY.model_copy(update={"budget": 0.25}), seed=0, progress=quiet)

    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
