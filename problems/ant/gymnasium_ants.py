"""Gymnasium's interface to our ants, for learners that use this interface.

Requires Gymnasium, which is part of the extra `mujoco`.

    environments = AntVectorEnv(AntSettings(num_environments=256))
    observations, _ = environments.reset(seed=0, options={"friction": 0.1})          # (N, 27)
    observations, rewards, terminations, truncations, info = environments.step(actions)     # (N, 8) in [-1, 1]

The mode metadata["autoreset_mode"] says when the next episode of an ant begins:

    SAME_STEP   In the step that ends an episode, the next one begins. `observations` are those to act on. The last
                observation is in info["final_obs"], and the information about the step in info["final_info"], where
                the masks info["_final_obs"] and info["_final_info"] are true.
    NEXT_STEP   `observations` has the last observation of an episode. The next step ignores the action, has reward 0,
                and gives the first observation. NormalizeObservation, a wrapper of Gymnasium, requires this mode.

Environments that were never given a seed take theirs from the operating system. The attribute `np_random_seed` has the
seeds, with which `reset` begins the same episodes again.

`AntEnv` is a single ant, which passes Gymnasium's environment checker. It is slow, because a step of one ant takes
nearly as long as a step of a hundred.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import Env
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from minilop import draws
from minilop.backend import to_host, xp
from problems.ant.environment import AntEnvironments
from problems.ant.interface import NUM_ACTIONS, NUM_OBSERVATIONS, Step
from problems.ant.task_settings import AntSettings

OBSERVATION_SPACE = Box(-np.inf, np.inf, (NUM_OBSERVATIONS,), np.float32)
ACTION_SPACE = Box(-1.0, 1.0, (NUM_ACTIONS,), np.float32)


class AntVectorEnv(VectorEnv):
    """N ants. Each is a run of AntEnvironments with one environment and a seed of its own."""

    # Declared as in Gymnasium.
    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(self, settings: AntSettings | None = None, autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP):
        """Raises ValueError for a mode other than SAME_STEP and NEXT_STEP."""
        settings = settings or AntSettings()
        if autoreset_mode not in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
            raise ValueError(
                f"autoreset_mode must be AutoresetMode.SAME_STEP or AutoresetMode.NEXT_STEP, not {autoreset_mode}"
            )
        self.metadata = {**self.metadata, "autoreset_mode": autoreset_mode}
        self.num_envs = settings.num_environments
        self.single_observation_space = OBSERVATION_SPACE
        self.single_action_space = ACTION_SPACE
        self.observation_space = batch_space(OBSERVATION_SPACE, self.num_envs)
        self.action_space = batch_space(ACTION_SPACE, self.num_envs)
        self.environments = AntEnvironments(replace(settings, num_environments=1), fresh_seeds(self.num_envs))
        self.waiting = np.zeros(self.num_envs, bool)  # for the step that begins the next episode

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]  # as in Gymnasium's SyncVectorEnv
        """The seed of each environment."""
        return tuple(self.environments.seeds.tolist())

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset all environments.

        seed      of all draws from now on: environment i gets the seed `seed + i`, or number i of a list. If None, the
                  draws continue. Where a list has None, the environment gets a seed drawn with its own seed
        options   {"friction": a number or an array (N,)}, effective at once

        Raises ValueError for any other option, invalid seeds, or an invalid friction.
        """
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else seed
        self.environments = renewed(self.environments, seeds, options)
        super().reset(seed=None if seed is None else self.np_random_seed[0])  # of np_random, for wrappers
        self.waiting[:] = False
        return by_environment(self.environments.reset()), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Raises ValueError unless the actions have the shape (N, 8) and are finite."""
        actions = checked(actions, (self.num_envs, NUM_ACTIONS))
        waited = self.waiting
        before = self.environments.states.copy()
        step = self.environments.step(np.where(waited[:, None], np.float32(0), actions)[:, :, None])
        rewards = np.where(waited, np.float32(0), to_host(step.rewards)[:, 0])
        terminations, truncations = (to_host(array)[:, 0] & ~waited for array in (step.terminated, step.timed_out))
        ended = terminations | truncations
        last_observations = by_environment(step.last_observations)
        if self.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP:
            # Where an environment waited, its next episode had begun already, and this step is undone.
            self.environments.begin_episodes(xp.asarray(waited)[:, None], before)
            self.waiting = ended
            first_observations = by_environment(self.environments.observations())
            observations = np.where(waited[:, None], first_observations, last_observations)
            return observations, rewards, terminations, truncations, masked(step, ~waited)
        info: dict[str, Any] = masked(step, ~ended)
        if ended.any():
            final = np.full(self.num_envs, None, object)
            for number in np.flatnonzero(ended):
                final[number] = last_observations[number]
            info |= {"final_obs": final, "_final_obs": ended, "final_info": masked(step, ended), "_final_info": ended}
        return by_environment(step.observations), rewards, terminations, truncations, info


class AntEnv(Env):
    """One ant. Reset it when its episode has ended; without a reset, the next step belongs to a new episode."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (as Gymnasium declares it)

    def __init__(self, settings: AntSettings | None = None):
        settings = settings or AntSettings(num_environments=1)
        if settings.num_environments != 1:
            raise ValueError(f"AntEnv is one ant: num_environments must be 1, not {settings.num_environments}")
        self.observation_space = OBSERVATION_SPACE
        self.action_space = ACTION_SPACE
        self.environments = AntEnvironments(settings, fresh_seeds(1))

    @property
    def np_random_seed(self) -> int:
        """The seed of the ant."""
        return int(self.environments.seeds[0])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """As AntVectorEnv.reset, for one ant."""
        self.environments = renewed(self.environments, None if seed is None else [seed], options)
        super().reset(seed=None if seed is None else self.np_random_seed)  # of np_random, for wrappers
        return by_environment(self.environments.reset())[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Raises ValueError unless the action has the shape (8,) and is finite."""
        step = self.environments.step(checked(action, (NUM_ACTIONS,))[None, :, None])
        info = {name: array[0].item() for name, array in finished(step).items()}
        observation = by_environment(step.last_observations)[0]
        reward = float(to_host(step.rewards)[0, 0])
        return observation, reward, bool(to_host(step.terminated)[0, 0]), bool(to_host(step.timed_out)[0, 0]), info


def fresh_seeds(number: int) -> list[int]:
    """Seeds from the operating system, different at every call."""
    return np.random.SeedSequence().generate_state(number).tolist()


def renewed(
    environments: AntEnvironments, seeds: Sequence[int | None] | None, options: dict[str, Any] | None
) -> AntEnvironments:
    """The environments to reset, new ones if there are seeds, with the friction of the options."""
    number = len(environments.seeds)
    options = dict(options or {})
    friction = options.pop("friction", None)
    if options:
        raise ValueError(f"the only option of reset is friction, not {', '.join(map(str, options))}")
    if friction is not None and np.shape(friction) not in ((), (number,)):
        raise ValueError(f"friction must be a number, or one for each environment ({number},), not {friction}")
    if seeds is not None:
        if not isinstance(seeds, Sequence | np.ndarray) or len(seeds) != number:
            raise ValueError(
                f"seed must be a whole number, or a list of {number}, one for each environment, not {seeds}"
            )
        drawn = to_host(draws.words(environments.seeds, "ant seed", 1, step=environments.num_draws))[:, 0].tolist()
        kept = environments.new_friction
        chosen = [drawn[i] if seed is None else seed for i, seed in enumerate(seeds)]
        environments = AntEnvironments(environments.settings, chosen)
        environments.set_friction(to_host(kept), at_once=True)
    if friction is not None:
        environments.set_friction(np.reshape(friction, (-1, 1)), at_once=True)
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
    """Observations (N, 27, 1) as an array (N, 27) on the host."""
    return np.ascontiguousarray(to_host(observations)[:, :, 0])


def finished(step: Step) -> dict[str, np.ndarray]:
    """Further information about a step, (N,) each."""
    names = ("forward_speed", "episode_returns", "episode_steps")
    return {name: to_host(getattr(step, name))[:, 0] for name in names}


def masked(step: Step, where: np.ndarray) -> dict[str, np.ndarray]:
    """The information about a step, 0 elsewhere, each with its mask, as Gymnasium has it."""
    information = {name: np.where(where, array, np.zeros_like(array)) for name, array in finished(step).items()}
    return information | {f"_{name}": where.copy() for name in information}
