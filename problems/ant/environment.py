"""Environments in which ants are rewarded for running forward: the task of Gymnasium's Ant on our physics.

    environments = AntEnvironments(AntSettings(num_environments=256), seeds=range(3), dtype="float32")
    observations = environments.reset()             # (R, 27, N): R runs of N environments each
    step = environments.step(actions)               # (R, 8, N), in [-1, 1]: hip and ankle of the first leg, then others

An observation has 27 components in the order of Ant-v5 without contact forces: height; quaternion w, x, y, z; the eight
joint angles in the order of the actions; velocity; angular velocity; the eight joint rates.

    reward    forward speed over the step + 1 if healthy - 0.5 times the sum of the squared actions
    healthy   0.2 m <= height <= 1 m; otherwise the episode ends
    start     at (0, 0, 0.55) m, upright, hips at 0, ankles at 1 rad; position, angles and quaternion with uniform noise
              up to 0.1 (height 0.03), velocities normal with standard deviation 0.1

When an episode ends, the next one begins within the same step. Paper - Gymnasium - ours:

  observation   111 numbers of Ant-v3, of which 84 contact forces were always zero - 105 of Ant-v5, with contact forces,
                or 27 without - 27
  angular velocity                   - in the torso's axes - in the world's
  actions       - fourth leg first - the order of the observed joints
  healthy bonus - Ant-v3 adds it also in the step that ends the episode, Ant-v5 does not - as Ant-v5
  control cost  of the action before it is clipped - the same - the same; of the clipped action by an option
  friction      changes with the first episode that ends after 2 million steps - - at each environment's next reset, or
                at once
  start         - ankles at 0, 30 degrees outside their range, 0.75 m high - ankles within their range, feet near the
                floor or a few centimeters below it, from where they are lifted gently

Draws (`minilop.draws`) have the index of the draw as step: 0 when the environments are created, then one for each call
of `reset` or `step`. Purpose "ant positions": (15, N) uniform values for the first 15 components of a state; "ant
velocities": (14, N) normal values for the others. They are drawn for all environments and used by those that begin an
episode, so that the host need not wait for the device, and a run does not depend on the others of its block.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.state import check_names
from problems.ant.body import ANT
from problems.ant.interface import NUM_OBSERVATIONS, Environments, Step
from problems.ant.physics import STATE_SIZE, advance
from problems.ant.task_settings import AntSettings

HEALTHY_HEIGHTS = (0.2, 1.0)  # Gymnasium's Ant

_MIDDLE = (0, 0, 0.55, 1, 0, 0, 0, *(0, 1) * 4)  # of position, quaternion and angles when an episode begins
_SPREAD = (0.1, 0.1, 0.03, *(0.1,) * 12)  # in both directions
_VELOCITY_DEVIATION = 0.1
_ANTS_AT_A_TIME = 1024  # ants whose starts are drawn in one call; for fewer, overhead dominates


class AntEnvironments(Environments):
    """R runs of N independent ants each.

    states            (29, R, N), see problems/ant/physics.py
    episode_steps     (R, N), steps of the current episodes
    episode_returns   (R, N), their undiscounted returns so far
    """

    def __init__(self, settings: AntSettings, seeds: Sequence[int], dtype: str = "float32"):
        super().__init__(settings, seeds, dtype)
        self.num_draws = 0
        num_environments, steps_at_a_time = self.shape[1], max(1, _ANTS_AT_A_TIME // (self.shape[0] * self.shape[1]))
        self.draw_positions = draws.PrefetchedDraws(
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
        """Begin an episode in all environments. Returns the observations (R, 27, N)."""
        self.begin_episodes(xp.ones(self.shape, bool), self.initial_states())
        return self.observations()

    def step(self, actions: Array) -> Step:
        """Take one step in all environments with actions (R, 8, N). Raises ValueError for another shape."""
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
        healthy = (height >= HEALTHY_HEIGHTS[0]) & (height <= HEALTHY_HEIGHTS[1])  # false if it is NaN
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
        self.begin_episodes(ended, initial_states)
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

    def begin_episodes(self, where: Array, states: Array) -> None:
        """Begin an episode in the environments for which `where` (R, N) is true, with their states (29, R, N)."""
        self.states = xp.where(where, states, self.states)
        self.friction = xp.where(where, self.new_friction, self.friction)
        self.episode_steps *= ~where
        self.episode_returns = xp.where(where, xp.zeros_like(self.episode_returns), self.episode_returns)  # may be NaN

    def observations(self) -> Array:
        """The observations, (R, 27, N), a copy."""
        return xp.moveaxis(self.states[STATE_SIZE - NUM_OBSERVATIONS :], 0, 1).copy()

    def poses(self) -> Array:
        """Position (3), quaternion (4), hip and ankle of each leg, ankles positive downward, (R, 15, N), a copy."""
        return xp.ascontiguousarray(xp.moveaxis(self.states[:15], 0, 1))

    def initial_states(self) -> Array:
        """The states in which episodes begin now, (29, R, N), different at each call."""
        positions = self.draw_positions(self.num_draws)  # (R, 15, N)
        velocities = self.draw_velocities(self.num_draws)  # (R, 14, N)
        self.num_draws += 1
        positions = (2 * positions - 1) * self.spread + self.middle
        states = xp.empty((STATE_SIZE, *self.shape), self.dtype)
        states[:15] = xp.moveaxis(positions, 1, 0)
        states[15:] = xp.moveaxis(_VELOCITY_DEVIATION * velocities, 1, 0)
        squares = states[3:7] * states[3:7]
        states[3:7] /= xp.sqrt(squares[0] + squares[1] + squares[2] + squares[3])
        return states

    def state(self) -> dict[str, np.ndarray]:
        """A copy, on the host, of everything that `restore` needs to continue exactly."""
        arrays = {name: np.array(to_host(getattr(self, name))) for name in _CHANGING}
        return {**arrays, "num_draws": np.array(self.num_draws)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from `state()` with equal settings and seeds. Raises ValueError if it does not fit."""
        check_names(state, [*_CHANGING, "num_draws"])
        for name in _CHANGING:
            expected = getattr(self, name).shape
            if state[name].shape != expected:
                raise ValueError(f"{name} has the shape {state[name].shape}, not {expected}")
            setattr(self, name, xp.array(state[name], getattr(self, name).dtype))
        self.num_draws = int(state["num_draws"])


_CHANGING = ("states", "friction", "new_friction", "episode_steps", "episode_returns", "num_broken")
