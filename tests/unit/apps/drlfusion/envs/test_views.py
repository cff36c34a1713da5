"""The views are the environment under other names: gymnasium's own check, and stable-baselines3's reading of a step."""

import warnings

import numpy as np
import pytest

from tests.support.simulation import environment
from tradesentry.apps.drlfusion.envs.market_data import fit_constants
from tradesentry.apps.drlfusion.envs.simulation_env import sb3_vec_env
from tradesentry.core.domain.errors import UsageError

gymnasium = pytest.importorskip("gymnasium", reason="the extra [drl] is not installed")


def view_of(env, **settings):
    from tradesentry.apps.drlfusion.envs.simulation_env import GymnasiumView

    return GymnasiumView(env, **settings)


@pytest.mark.parametrize("action", ["discrete", "continuous"])
def test_gymnasium_accepts_the_view(run, data, action):
    from gymnasium.utils.env_checker import check_env

    env = environment(run, data, n_envs=1, episode_bars=30, constants=fit_constants(data, 0, 900))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*not within the spec.*")
        check_env(view_of(env, action=action), skip_render_check=True)


def test_the_view_gives_the_last_observation_of_an_episode(run, data):
    env = environment(run, data, n_envs=1, episode_bars=3)
    view = view_of(env)
    view.reset(options={"row": 0, "start": 450})

    ends = [view.step(4) for _ in range(3)]

    assert [end[3] for end in ends] == [False, False, True]
    assert np.array_equal(ends[-1][0], env.terminal_observations[0])


def test_the_view_shows_one_account_only(run, data):
    with pytest.raises(UsageError, match="n_envs=1"):
        view_of(environment(run, data, n_envs=2))


@pytest.mark.drl
@pytest.mark.parametrize("action", ["discrete", "continuous"])
def test_stable_baselines_sees_the_same_steps(run, data, action):
    pytest.importorskip("stable_baselines3", reason="the extra [drl] is not installed")
    plain = environment(run, data, n_envs=6, episode_bars=15, seed=7)
    vector = sb3_vec_env(environment(run, data, n_envs=6, episode_bars=15, seed=7), action=action)
    rng = np.random.default_rng(1)

    assert np.array_equal(vector.reset(), plain.reset())
    for _ in range(40):
        codes = rng.integers(0, 5, 6)
        targets = codes / 2.0 - 1.0
        seen, rewards, dones, infos = vector.step(codes if action == "discrete" else targets[:, None])
        expected, paid, terminated, truncated, told = plain.step(targets)
        assert np.array_equal(seen, expected)
        assert np.array_equal(rewards, paid.astype(np.float32))
        assert np.array_equal(dones, terminated | truncated)
        assert [sorted(info) for info in infos] == [sorted(info) for info in told]


@pytest.mark.drl
def test_seed_of_the_vector_environment_starts_its_episodes_anew(run, data):
    pytest.importorskip("stable_baselines3", reason="the extra [drl] is not installed")
    vector = sb3_vec_env(environment(run, data, n_envs=4, episode_bars=15, seed=7))

    vector.seed(11)
    first = vector.reset().copy()
    second = vector.reset().copy()
    vector.seed(11)
    again = vector.reset().copy()

    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert vector.num_envs == 4
    assert vector.get_attr("n_envs") == [4, 4, 4, 4]
