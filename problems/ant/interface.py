"""What the ant's environments have in common, whatever computes their physics: what a step gives, and friction."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minilop.backend import Array, xp
from problems.ant.task_settings import TaskSettings

NUM_ACTIONS = 8
NUM_OBSERVATIONS = 27


class Step(NamedTuple):
    """What a step gives. Where terminated or timed_out the next episode has begun."""

    observations: Array  # (R, 27, N), to act on next
    rewards: Array  # (R, N)
    terminated: Array  # (R, N) bool: the ant fell, jumped too high, or broke
    timed_out: Array  # (R, N) bool: the time limit, without the above
    last_observations: Array  # (R, 27, N): before the next episode began, otherwise as `observations`
    episode_returns: Array  # (R, N): undiscounted, with this step; of a finished episode where one ended
    episode_steps: Array  # (R, N): the same of its length
    forward_speed: Array  # (R, N) in m/s, over this step


class Environments(ABC):
    """What R runs of N environments have in common, whatever computes their physics.

    friction       (R, N) in force
    new_friction   (R, N), what an environment takes at its next reset
    num_broken     (R,), how often a state or reward was not finite, as after an action that is not. Such an episode
                   ends as terminated, with reward 0 for that step, and its last observation is that of the next one's
                   start
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
        if self.seeds.ndim != 1 or self.seeds.size == 0 or self.seeds.min() < 0 or self.seeds.max() > 2**32 - 1:
            raise ValueError(f"seeds must be at least one whole number from 0 to 2^32 - 1, not {seeds}")
        self.dtype = dtype
        self.shape = (len(self.seeds), settings.num_environments)
        self.set_friction(1.0, at_once=True)

    def set_friction(self, values: float | Sequence[float] | np.ndarray, at_once: bool = False) -> None:
        """Coefficients of friction, broadcast to (R, N), for each environment's next episode, or in force at once.

        Raises ValueError for one that is negative or not finite.
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
        """All environments begin an episode; observations (R, num_observations, N)."""

    @abstractmethod
    def step(self, actions: Array) -> Step:
        """One step of all environments under actions (R, 8, N). Raises ValueError for another shape."""

    @abstractmethod
    def poses(self) -> Array:
        """Position (3), quaternion (4), hip and ankle of each leg, ankles positive downwards, (R, 15, N), a copy."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """All that `restore` needs to go on to the bit, on the host; nothing of it changes later."""

    @abstractmethod
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from `state()` of environments with the same settings and seeds; ValueError where it does not fit."""

    def checked_actions(self, actions: Array) -> Array:
        """Actions (R, 8, N) in the environments' type. Raises ValueError for another shape."""
        expected = (self.shape[0], NUM_ACTIONS, self.shape[1])
        if actions.shape != expected:
            raise ValueError(
                f"actions must have the shape (runs, actions, environments) {expected}, not {actions.shape}"
            )
        return xp.asarray(actions, self.dtype)
