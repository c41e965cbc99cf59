"""The interface of the ant environments, for any simulator: the result of a step, and friction."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minilop.backend import Array, xp
from problems.ant.task_settings import TaskSettings

NUM_ACTIONS = 8
NUM_OBSERVATIONS = 27


class Step(NamedTuple):
    """The result of a step. Where terminated or timed_out, the next episode has begun."""

    observations: Array  # (R, 27, N), to act on next
    rewards: Array  # (R, N)
    terminated: Array  # (R, N) bool: the ant fell, jumped too high, or broke
    timed_out: Array  # (R, N) bool: the time limit was reached, and not terminated
    last_observations: Array  # (R, 27, N): from before the next episode began; otherwise `observations`
    episode_returns: Array  # (R, N): undiscounted, including this step; of the episode that ended, if any
    episode_steps: Array  # (R, N): likewise its length
    forward_speed: Array  # (R, N) in m/s, over this step


class Environments(ABC):
    """R runs of N environments each, for any simulator.

    friction       (R, N), the current one
    new_friction   (R, N), the one after the next reset of an environment
    num_broken     (R,), how often a state or reward was not finite, for example after an action that is not finite.
                   Such an episode ends as terminated, with reward 0 in that step. Its last observation is the first of
                   the next episode
    """

    settings: Any
    friction: Array
    new_friction: Array
    num_broken: Array
    num_observations = NUM_OBSERVATIONS
    num_actions = NUM_ACTIONS

    def __init__(self, settings: TaskSettings, seeds: Sequence[int], dtype: str):
        self.settings = settings
        self.seeds = np.asarray(seeds)  # (R,)
        whole = self.seeds.ndim == 1 and self.seeds.size > 0 and self.seeds.dtype.kind in "iu"
        if not whole or self.seeds.min() < 0 or self.seeds.max() > 2**32 - 1:
            raise ValueError(f"seeds must be at least one whole number from 0 to 2^32 - 1, not {seeds}")
        self.dtype = dtype
        self.shape = (len(self.seeds), settings.num_environments)
        self.set_friction(1.0, at_once=True)

    def set_friction(self, values: float | Sequence[float] | np.ndarray, at_once: bool = False) -> None:
        """Set coefficients of friction, broadcast to (R, N), for the next episodes, or effective at once.

        Raises ValueError for values that are negative or not finite.
        """
        checked = np.asarray(values, float)
        if not (np.isfinite(checked) & (checked >= 0)).all():
            raise ValueError(f"friction must be finite and not negative, not {values}")
        try:
            broadcast = np.broadcast_to(checked, self.shape)
        except ValueError:
            raise ValueError(
                f"friction must be a number, or fit runs and environments {self.shape}, not have the shape "
                f"{checked.shape}"
            ) from None
        self.new_friction = xp.asarray(broadcast.copy(), self.dtype)
        if at_once:
            self.friction = self.new_friction.copy()

    @abstractmethod
    def reset(self) -> Array:
        """Begin an episode in all environments. Returns the observations (R, num_observations, N)."""

    @abstractmethod
    def step(self, actions: Array) -> Step:
        """Take one step in all environments with actions (R, 8, N). Raises ValueError for another shape."""

    @abstractmethod
    def poses(self) -> Array:
        """Position (3), quaternion (4), hip and ankle of each leg, ankles positive downward, (R, 15, N), a copy."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """A copy, on the host, of everything that `restore` needs to continue exactly."""

    @abstractmethod
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from `state()` with equal settings and seeds. Raises ValueError if it does not fit."""

    def checked_actions(self, actions: Array) -> Array:
        """Actions (R, 8, N) with the environments' dtype. Raises ValueError for another shape."""
        expected = (self.shape[0], NUM_ACTIONS, self.shape[1])
        if actions.shape != expected:
            raise ValueError(
                f"actions must have the shape (runs, actions, environments) {expected}, not {actions.shape}"
            )
        return xp.asarray(actions, self.dtype)
