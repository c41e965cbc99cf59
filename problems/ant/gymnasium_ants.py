"""Gymnasium's interface to our ants, for learners that use this interface.

Requires Gymnasium, which is part of the extra `mujoco`.

    environments = AntVectorEnv(AntSettings(num_environments=256))
    observations, _ = environments.reset(seed=0, options={"friction": 0.1})          # (N, 27)
    observations, rewards, terminations, truncations, info = environments.step(actions)     # (N, 8) in [-1, 1]

When an episode ends, the next one begins in the same step (Gymnasium's AutoresetMode.SAME_STEP): `observations` are
those to act on. For the episodes that ended, info["final_obs"] has the last observation and info["final_info"] the
other information, where the masks info["_final_obs"] and info["_final_info"] are true.

`AntEnv` is a single ant, which passes Gymnasium's environment checker. It is slow, because a step of one ant takes
nearly as long as a step of a hundred.
"""

from typing import Any

import numpy as np
from gymnasium import Env
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from minilop.backend import to_host
from problems.ant.environment import AntEnvironments
from problems.ant.interface import NUM_ACTIONS, NUM_OBSERVATIONS, Step
from problems.ant.task_settings import AntSettings

OBSERVATION_SPACE = Box(-np.inf, np.inf, (NUM_OBSERVATIONS,), np.float32)
ACTION_SPACE = Box(-1.0, 1.0, (NUM_ACTIONS,), np.float32)


class AntVectorEnv(VectorEnv):
    """One run of N ants. The draws are those of AntEnvironments with the seed of the last `reset`."""

    # Declared as in Gymnasium.
    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(self, settings: AntSettings | None = None, seed: int = 0):
        self.settings = settings or AntSettings()
        self.num_envs = self.settings.num_environments
        self.single_observation_space = OBSERVATION_SPACE
        self.single_action_space = ACTION_SPACE
        self.observation_space = batch_space(OBSERVATION_SPACE, self.num_envs)
        self.action_space = batch_space(ACTION_SPACE, self.num_envs)
        self.environments = AntEnvironments(self.settings, [seed])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset all environments.

        seed      of all draws from now on; if None, the draws continue
        options   {"friction": a number or an array (N,)}, effective at once

        Raises ValueError for any other option, an invalid seed, or an invalid friction.
        """
        super().reset(seed=seed)
        self.environments = renewed(self.environments, self.settings, seed, options)
        return by_environment(self.environments.reset()), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Raises ValueError unless the actions have the shape (N, 8) and are finite."""
        step = self.environments.step(checked(actions, (self.num_envs, NUM_ACTIONS)).T[None])
        terminations, truncations = to_host(step.terminated)[0], to_host(step.timed_out)[0]
        info = {"forward_speed": to_host(step.forward_speed)[0], "_forward_speed": np.ones(self.num_envs, bool)}
        ended = terminations | truncations
        if ended.any():
            final = np.full(self.num_envs, None, object)
            last_observations = by_environment(step.last_observations)
            for number in np.flatnonzero(ended):
                final[number] = last_observations[number]
            info |= {"final_obs": final, "_final_obs": ended, "_final_info": ended}
            info["final_info"] = {
                name: value
                for key, array in finished(step).items()
                for name, value in ((key, array), (f"_{key}", ended))
            }
        return by_environment(step.observations), to_host(step.rewards)[0], terminations, truncations, info


class AntEnv(Env):
    """One ant. Reset it when its episode has ended; without a reset, the next step belongs to a new episode."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (as Gymnasium declares it)

    def __init__(self, settings: AntSettings | None = None, seed: int = 0):
        self.settings = settings or AntSettings(num_environments=1)
        if self.settings.num_environments != 1:
            raise ValueError(f"AntEnv is one ant: num_environments must be 1, not {self.settings.num_environments}")
        self.observation_space = OBSERVATION_SPACE
        self.action_space = ACTION_SPACE
        self.environments = AntEnvironments(self.settings, [seed])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """As AntVectorEnv.reset, for one ant."""
        super().reset(seed=seed)
        self.environments = renewed(self.environments, self.settings, seed, options)
        return by_environment(self.environments.reset())[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Raises ValueError unless the action has the shape (8,) and is finite."""
        step = self.environments.step(checked(action, (NUM_ACTIONS,))[None, :, None])
        info = {name: array[0].item() for name, array in finished(step).items()}
        observation = by_environment(step.last_observations)[0]
        reward = float(to_host(step.rewards)[0, 0])
        return observation, reward, bool(to_host(step.terminated)[0, 0]), bool(to_host(step.timed_out)[0, 0]), info


def renewed(
    environments: AntEnvironments, settings: AntSettings, seed: int | None, options: dict[str, Any] | None
) -> AntEnvironments:
    """The environments to reset, new ones if there is a seed, with the friction of the options."""
    options = dict(options or {})
    friction = options.pop("friction", None)
    if options:
        raise ValueError(f"the only option of reset is friction, not {', '.join(map(str, options))}")
    if seed is not None:
        kept = to_host(environments.new_friction)
        environments = AntEnvironments(settings, [seed])
        environments.set_friction(kept, at_once=True)
    if friction is not None:
        environments.set_friction(friction, at_once=True)
    return environments


def checked(actions: np.ndarray, expected: tuple[int, ...]) -> np.ndarray:
    """Actions as float32. Raises ValueError for another shape, or for values that are not finite."""
    actions = np.asarray(actions, np.float32)
    if actions.shape != expected:
        raise ValueError(f"actions must have the shape {expected}, not {actions.shape}")
    if not np.isfinite(actions).all():
        raise ValueError("actions must be finite; the network that chose them has probably diverged")
    return actions


def by_environment(observations: Any) -> np.ndarray:
    """Observations (1, 27, N) as an array (N, 27) on the host."""
    return np.ascontiguousarray(to_host(observations)[0].T)


def finished(step: Step) -> dict[str, np.ndarray]:
    """Further information about a step, (N,) each."""
    names = ("forward_speed", "episode_returns", "episode_steps")
    return {name: to_host(getattr(step, name))[0] for name in names}
