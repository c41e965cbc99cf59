"""Ants that are paid for running forward, as many as one likes side by side: Gymnasium's Ant's task on our physics.

    environments = AntEnvironments(AntSettings(num_environments=256), seeds=range(3), dtype="float32")
    observations = environments.reset()             # (R, 27, N): R runs of N environments each
    step = environments.step(actions)               # (R, 8, N), in [-1, 1]: hip and ankle of the first leg, then others

Observation, 27 numbers in the order of Ant-v5 without its contact forces: height; quaternion w, x, y, z; eight angles of
joints in the order of the actions; velocity; angular velocity; the joints' eight rates.

    reward    forward speed over the step + 1 if healthy - 0.5 times the sum of the actions' squares
    healthy   0.2 m <= height <= 1 m; where not, the episode ends
    start     at (0, 0, 0.55) m, upright, hips at 0, ankles at 1 rad; places, angles and quaternion uniformly up to 0.1 off
              (height 0.03), velocities normal with deviation 0.1

An environment whose episode ends begins the next one within the same step. Paper - Gymnasium - ours:

  observation   111 numbers of Ant-v3, of which 84 contact forces were always zero - 105 of Ant-v5, with contact forces,
                or 27 without - 27
  angular velocity                   - in the torso's axes - in the world's
  actions       - fourth leg first - the order of the observed joints
  healthy bonus - Ant-v3 pays it also in the step that ends the episode, Ant-v5 does not - as Ant-v5
  control cost  of the action before it is clipped - the same - the same, or clipped by an option
  friction      changes with the first episode that ends after 2 million steps - - at each environment's next reset, or
                at once
  start         - ankles at 0, 30 degrees short of their stops, 0.75 m high - ankles within, feet about on the floor or some
                centimetres below it, which lifts them gently

Draws (`minilop.draws`), at the number of the draw: 0 when the environments are made, then one for each call of `reset` or
`step`. Purpose "ant positions": (15, N)
uniform numbers, for the first 15 of a state; "ant velocities": (14, N) normal ones, for the others. They are made for all
environments and taken by those that begin, so nothing waits for the device, and a run is the same alone or in a block.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.checks import check_range
from minilop.state import check_names
from problems.ant.body import ANT
from problems.ant.physics import STATE_SIZE, advance

NUM_ACTIONS = 8
NUM_OBSERVATIONS = 27
HEALTHY_HEIGHTS = (0.2, 1.0)  # Gymnasium's Ant

_MIDDLE = (0, 0, 0.55, 1, 0, 0, 0, *(0, 1) * 4)  # of places and angles when an episode begins
_SPREAD = (0.1, 0.1, 0.03, *(0.1,) * 12)  # to both sides
_VELOCITY_DEVIATION = 0.1
_ANTS_AT_A_TIME = 1024  # for whose starts is drawn in one call: fewer cost mostly overhead


@dataclass(frozen=True)
class TaskSettings:
    """The task, whatever computes its physics; values of Gymnasium's Ant-v5, as in the paper, where nothing else is said.

    control_cost_of   action: as the policy chose it; clipped_action: as the motors take it
    """

    num_environments: int = 256  # of a run; ours, the paper has one
    control_cost: float = 0.5
    control_cost_of: Literal["action", "clipped_action"] = "action"
    healthy_reward: float = 1.0
    time_limit: int = 1000  # steps of an episode

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_range(self, "num_environments time_limit", 1)
        check_range(self, "control_cost healthy_reward", 0)
        if self.control_cost_of not in ("action", "clipped_action"):
            raise ValueError(f"control_cost_of must be action or clipped_action, not {self.control_cost_of!r}")


@dataclass(frozen=True)
class AntSettings(TaskSettings):
    """The task on our physics: 4 x 0.0125 s are one step of 0.05 s, as Ant-v5's; 2 x 0.025 s are faster and coarser."""

    substeps: int = 4  # ours, as the next: those of Ant-v5 are 5 of 0.01 s by another method
    substep_seconds: float = 0.0125

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        super().__post_init__()
        check_range(self, "substeps", 1)
        check_range(self, "substep_seconds", 1e-4, 0.05)

    @property
    def step_seconds(self) -> float:
        return self.substeps * self.substep_seconds


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
    num_broken     (R,), how often a state or reward was not finite, as after an action that is not. Such an episode ends as
                   terminated, with reward 0 for that step, and its last observation is that of the next one's start
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
                f"friction must be a number, or fit runs and environments {self.shape}, not have the shape {checked.shape}"
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
        """Position (3), quaternion (4), hip and ankle of each leg with ankles downwards positive, (R, 15, N), a copy."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """All that `restore` needs to go on to the bit, on the host; nothing of it changes later."""

    @abstractmethod
    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from `state()`, of environments with the same settings and seeds. Raises ValueError where it does not fit."""

    def checked_actions(self, actions: Array) -> Array:
        """Actions (R, 8, N) in the environments' type. Raises ValueError for another shape."""
        expected = (self.shape[0], NUM_ACTIONS, self.shape[1])
        if actions.shape != expected:
            raise ValueError(
                f"actions must have the shape (runs, actions, environments) {expected}, not {actions.shape}"
            )
        return xp.asarray(actions, self.dtype)


class AntEnvironments(Environments):
    """R runs of N ants each, with no more in common than the call that moves them.

    states            (29, R, N), see problems/ant/physics.py
    episode_steps     (R, N), of the episodes under way
    episode_returns   (R, N), their undiscounted rewards so far
    """

    def __init__(self, settings: AntSettings, seeds: Sequence[int], dtype: str = "float32"):
        super().__init__(settings, seeds, dtype)
        self.num_draws = 0
        num_environments, steps_at_a_time = self.shape[1], max(1, _ANTS_AT_A_TIME // (self.shape[0] * self.shape[1]))
        self.draw_places = draws.PrefetchedDraws(
            lambda steps: draws.uniform(self.seeds, "ant positions", (15, num_environments), step=steps, dtype=dtype),
            steps_at_a_time,
        )
        self.draw_velocities = draws.PrefetchedDraws(
            lambda steps: draws.normal(self.seeds, "ant velocities", (14, num_environments), step=steps, dtype=dtype),
            steps_at_a_time,
        )
        self.middle = xp.asarray(np.array(_MIDDLE).reshape(-1, 1), dtype)  # (15, 1)
        self.spread = xp.asarray(np.array(_SPREAD).reshape(-1, 1), dtype)
        self.states = xp.zeros((STATE_SIZE, *self.shape), dtype)
        self.episode_steps = xp.zeros(self.shape, int)
        self.episode_returns = xp.zeros(self.shape, dtype)
        self.num_broken = xp.zeros(self.shape[0], int)
        self.reset()

    def reset(self) -> Array:
        """All environments begin an episode; observations (R, 27, N)."""
        self.states = self.initial_states()
        self.friction = self.new_friction.copy()
        self.episode_steps[...] = 0
        self.episode_returns[...] = 0
        return self.observations()

    def step(self, actions: Array) -> Step:
        """One step of all environments under actions (R, 8, N). Raises ValueError for another shape."""
        settings: AntSettings = self.settings
        actions = self.checked_actions(actions)
        clipped = xp.clip(actions, -1, 1)
        torques = xp.ascontiguousarray(xp.moveaxis(ANT.gear * clipped, 1, 0))  # (8, R, N)
        start = self.states[0].copy()  # (R, N)
        advance(
            self.states,
            torques.reshape(4, 2, *self.shape),
            self.friction,
            settings.substeps,
            settings.substep_seconds,
        )
        height = self.states[2]
        healthy = (height >= HEALTHY_HEIGHTS[0]) & (height <= HEALTHY_HEIGHTS[1])  # not where it is NaN
        forward_speed = (self.states[0] - start) * (1 / settings.step_seconds)
        rewards = forward_speed + settings.healthy_reward * healthy.astype(self.dtype)
        costly = clipped if settings.control_cost_of == "clipped_action" else actions
        rewards -= settings.control_cost * (costly * costly).sum(axis=-2)

        initial_states = self.initial_states()
        whole = xp.isfinite(self.states).all(axis=0) & xp.isfinite(rewards)  # (R, N)
        self.states = xp.where(whole, self.states, initial_states)
        rewards, forward_speed = (xp.where(whole, array, xp.zeros_like(array)) for array in (rewards, forward_speed))
        self.num_broken += (~whole).sum(axis=-1)

        self.episode_steps += 1
        self.episode_returns += rewards
        terminated = ~(healthy & whole)
        timed_out = (self.episode_steps >= settings.time_limit) & ~terminated
        ended = terminated | timed_out
        last_observations = self.observations()
        episode_returns, episode_steps = self.episode_returns.copy(), self.episode_steps.copy()
        self.states = xp.where(ended, initial_states, self.states)
        self.friction = xp.where(ended, self.new_friction, self.friction)
        self.episode_steps *= ~ended
        self.episode_returns = xp.where(ended, xp.zeros_like(rewards), self.episode_returns)  # which may be infinite
        return Step(
            self.observations(),
            rewards,
            terminated,
            timed_out,
            last_observations,
            episode_returns,
            episode_steps,
            forward_speed,
        )

    def observations(self) -> Array:
        """(R, 27, N), a copy."""
        return xp.moveaxis(self.states[STATE_SIZE - NUM_OBSERVATIONS :], 0, 1).copy()

    def poses(self) -> Array:
        """Position (3), quaternion (4), hip and ankle of each leg with ankles downwards positive, (R, 15, N), a copy."""
        return xp.ascontiguousarray(xp.moveaxis(self.states[:15], 0, 1))

    def initial_states(self) -> Array:
        """Where an episode that begins now starts: (29, R, N), other ones at each call."""
        places, velocities = self.draw_places(self.num_draws), self.draw_velocities(self.num_draws)  # (R, 15 or 14, N)
        self.num_draws += 1
        places = (2 * places - 1) * self.spread + self.middle
        states = xp.empty((STATE_SIZE, *self.shape), self.dtype)
        states[:15] = xp.moveaxis(places, 1, 0)
        states[15:] = xp.moveaxis(_VELOCITY_DEVIATION * velocities, 1, 0)
        squares = states[3:7] * states[3:7]
        states[3:7] /= xp.sqrt(squares[0] + squares[1] + squares[2] + squares[3])
        return states

    def state(self) -> dict[str, np.ndarray]:
        """All that `restore` needs to go on to the bit, on the host; nothing of it changes later."""
        arrays = {name: np.array(to_host(getattr(self, name))) for name in _CHANGING}
        return {**arrays, "num_draws": np.array(self.num_draws)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from `state()`, of environments with the same settings and seeds. Raises ValueError where it does not fit."""
        check_names(state, [*_CHANGING, "num_draws"])
        for name in _CHANGING:
            expected = getattr(self, name).shape
            if state[name].shape != expected:
                raise ValueError(f"{name} has the shape {state[name].shape}, not {expected}")
            setattr(self, name, xp.array(state[name], getattr(self, name).dtype))
        self.num_draws = int(state["num_draws"])


_CHANGING = ("states", "friction", "new_friction", "episode_steps", "episode_returns", "num_broken")
