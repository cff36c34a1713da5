"""Show `SimulationEnv` as gymnasium and stable-baselines3 expect an environment: spaces and shapes, no logic.

Separate from the environment, because this module imports gymnasium, which is an extra.
"""

from typing import Any, Literal

import gymnasium
import numpy as np
import numpy.typing as npt

from tradesentry.apps.drlfusion.envs.simulation_env import Float32Array, FloatArray, SimulationEnv
from tradesentry.apps.drlfusion.helpers import LEVELS, N_FEATURES, N_LEVELS
from tradesentry.apps.drlfusion.observation import CLIP
from tradesentry.core.domain.errors import UsageError

Action = Literal["discrete", "continuous"]
_LEVELS = np.array(LEVELS)


def observation_space(env: SimulationEnv) -> gymnasium.spaces.Box:
    """Return the bounds of an observation: what the clip leaves, normalized."""
    row = env.params.view(np.ndarray)[0]
    low = (np.full(N_FEATURES, -CLIP) - row["obs_mean"]) / row["obs_scale"]
    high = (np.full(N_FEATURES, CLIP) - row["obs_mean"]) / row["obs_scale"]
    # Rounded to float32, a bound may lie a hair inside the value that it bounds.
    return gymnasium.spaces.Box(
        np.nextafter(low.astype(np.float32), np.float32(-np.inf)),
        np.nextafter(high.astype(np.float32), np.float32(np.inf)),
        dtype=np.float32,
    )


def action_space(action: Action) -> gymnasium.spaces.Space[Any]:
    """Return the five levels, or the interval from -1 to 1."""
    if action == "discrete":
        return gymnasium.spaces.Discrete(N_LEVELS)
    return gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)


def targets_of(actions: Any, action: Action) -> FloatArray:
    """Return the exposures that actions of a space ask for, shape (n,)."""
    flat = np.asarray(actions).reshape(-1)
    found: FloatArray = _LEVELS[flat.astype(np.int64)] if action == "discrete" else flat.astype(np.float64)
    return found


class GymnasiumView(gymnasium.Env[Float32Array, Any]):
    """One environment for gymnasium.

    Args:
        env: A `SimulationEnv` of one account.
        action: discrete: five levels from -1 to 1. continuous: a number in [-1, 1].

    Raises:
        UsageError: The environment has several accounts.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it so

    def __init__(self, env: SimulationEnv, *, action: Action = "discrete") -> None:
        if env.n_envs != 1:
            raise UsageError(f"GymnasiumView shows one account and the environment has {env.n_envs}. Use n_envs=1.")
        self.env, self.action = env, action
        self.observation_space, self.action_space = observation_space(env), action_space(action)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Begin an episode. See `gymnasium.Env.reset`.

        Args:
            seed: Starts the random numbers anew.
            options: `row` and `start` of the episode, instead of random ones.
        """
        super().reset(seed=seed)
        chosen = options or {}
        rows = [chosen["row"]] if "row" in chosen else None
        starts = [chosen["start"]] if "start" in chosen else None
        return self.env.reset(seed=seed, rows=rows, starts=starts)[0].copy(), {}

    def step(self, action: Any) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Play one bar. See `gymnasium.Env.step`; the observation of an end is the last one of its episode."""
        found, rewards, terminated, truncated, _ = self.env.step(targets_of(action, self.action))
        is_over = bool(terminated[0] or truncated[0])
        observation = self.env.terminal_observations[0] if is_over else found[0]
        return observation.copy(), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}


def vec_env(env: SimulationEnv, *, action: Action) -> Any:
    """Return what `sb3_vec_env` promises."""
    from stable_baselines3.common.vec_env import VecEnv

    class SimulationVecEnv(VecEnv):
        """The environment under the names of stable-baselines3."""

        def __init__(self) -> None:
            super().__init__(env.n_envs, observation_space(env), action_space(action))
            self._targets = np.zeros(env.n_envs)
            self._seed: int | None = None

        def reset(self) -> Float32Array:
            """Begin an episode everywhere."""
            found = env.reset(seed=self._seed)
            self._seed = None
            return found

        def seed(self, seed: int | None = None) -> list[int | None]:
            """Take the seed of the next reset."""
            self._seed = seed
            return [seed] * env.n_envs

        def step_async(self, actions: npt.NDArray[Any]) -> None:
            """Take the actions of the next step."""
            self._targets = targets_of(actions, action)

        def step_wait(self) -> Any:
            """Play one bar everywhere."""
            found, rewards, terminated, truncated, infos = env.step(self._targets)
            return found, rewards.astype(np.float32), terminated | truncated, infos

        def close(self) -> None:
            """Nothing is open."""

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            """Return an attribute of the environment, once per account."""
            return [getattr(env, attr_name, None)] * len(list(self._get_indices(indices)))

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ARG002
            """Refuse: accounts have no attributes of their own."""
            raise UsageError(f"{attr_name} cannot be set on one account. Build another SimulationEnv.")

        def env_method(self, method_name: str, *_args: Any, indices: Any = None, **_kwargs: Any) -> list[Any]:  # noqa: ARG002
            """Refuse: accounts have no methods of their own."""
            raise UsageError(f"{method_name} cannot be called on one account. Call it on the SimulationEnv.")

        def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:  # noqa: ARG002
            """Say that nothing is wrapped."""
            return [False] * len(list(self._get_indices(indices)))

    return SimulationVecEnv()
