"""MuJoCo's Ant with the interface of `AntEnvironments`: Gymnasium's Ant-v5, with variable friction.

    with MuJoCoAnts(MuJoCoSettings(num_environments=8, num_processes=2), seeds=[0]) as ants:
        ants.set_friction(0.1)
        observations = ants.reset()

Requires the extra `mujoco`. It serves for comparison. For a single ant it is faster than our own physics; for hundreds
side by side it is 25 to 40 times slower.

  friction      applies to all geometries, floor and robot. MuJoCo uses the larger coefficient of two geometries in
                contact, so a slippery floor alone would have no effect below the robot's own 1. The paper's code does
                the same by another model file. By MuJoCo's default the friction cone is a pyramid: diagonally to the
                axes of a contact, friction is 0.71 of the coefficient
  actions       in the order of the observed joints, first leg first, as in AntEnvironments. MuJoCo's motors begin with
                the fourth leg, so the actions are permuted here. Positive ankle angles bend downward for the first and
                fourth leg, negative ones for the others
  observation   27 components, or 105 with `contact_forces`; the angular velocity is in the torso's axes
  contact cost  none, as in effect in the paper, whose contact forces were always zero

Draws (`minilop.draws`) have the index of the draw as step: 0 when the ants are created, then one for each call of
`reset` or `step`. Purpose "ant resets": N words, the seeds of Gymnasium's resets.
"""

import multiprocessing
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.state import check_names
from problems.ant.interface import NUM_OBSERVATIONS, Environments, Step
from problems.ant.mujoco_group import Group, ProcessGroup, import_gymnasium
from problems.ant.task_settings import MuJoCoSettings

NUM_CONTACT_FORCES = 78


class MuJoCoAnts(Environments):
    """R runs of N environments, with the attributes and methods of AntEnvironments.

    Counts and returns are on the host, where MuJoCo runs. Raises ValueError if the extra is not installed or processes
    must not be started, and RuntimeError if one of them fails. The processes end at the end of `with`, by `close`, or
    with this process.
    """

    def __init__(self, settings: MuJoCoSettings, seeds: Sequence[int], dtype: str = "float32"):
        super().__init__(settings, seeds, dtype)
        import_gymnasium()
        if settings.num_processes and multiprocessing.current_process().daemon:
            raise ValueError(
                f"num_processes={settings.num_processes} needs --engine serial, since a worker of the process engine "
                "may start none; or choose num_processes=0"
            )
        self.num_draws = 0
        self.episode_steps = np.zeros(self.shape, int)
        self.episode_returns = np.zeros(self.shape)
        self.num_broken = np.zeros(self.shape[0], int)
        self.num_observations = NUM_OBSERVATIONS + NUM_CONTACT_FORCES * settings.contact_forces
        parts = np.array_split(np.arange(self.seeds.size * settings.num_environments), max(1, settings.num_processes))
        parts = [part for part in parts if part.size]
        make: Any = Group if settings.num_processes == 0 else ProcessGroup
        self.groups: list[Group | ProcessGroup] = [make(settings, part.size) for part in parts]
        self.cuts = np.cumsum([part.size for part in parts])[:-1]
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        for group in self.groups:
            group.close()
        self.groups = []

    def set_friction(self, values: float | Sequence[float] | np.ndarray, at_once: bool = False) -> None:
        super().set_friction(values, at_once)
        if at_once and hasattr(self, "groups"):
            self._in_groups("set_friction", self.friction)

    def reset(self) -> Array:
        """Begin an episode in all environments. Returns the observations (R, 27 or 105, N)."""
        self.friction = self.new_friction.copy()
        (observations,) = self._in_groups("reset", self._reset_seeds(), self.new_friction)
        self.episode_steps[...] = 0
        self.episode_returns[...] = 0
        return self._on_device(observations)

    def step(self, actions: Array) -> Step:
        """Take one step in all environments with actions (R, 8, N). Raises ValueError for another shape."""
        settings: MuJoCoSettings = self.settings
        chosen = to_host(self.checked_actions(actions)).astype(float)  # (R, 8, N)
        self.episode_steps += 1
        out_of_time = self.episode_steps >= settings.time_limit
        observations, last_observations, rewards, speed, terminated, broken = self._in_groups(
            "step", chosen.swapaxes(1, 2), self._reset_seeds(), self.new_friction, out_of_time
        )
        self.num_broken += broken.sum(axis=-1)
        self.episode_returns += rewards
        timed_out = out_of_time & ~terminated
        ended = terminated | timed_out
        episode_returns, episode_steps = self.episode_returns.copy(), self.episode_steps.copy()
        self.friction = xp.where(xp.asarray(ended), self.new_friction, self.friction)
        self.episode_steps[ended] = 0
        self.episode_returns[ended] = 0
        return Step(
            self._on_device(observations),
            xp.asarray(rewards, self.dtype),
            xp.asarray(terminated),
            xp.asarray(timed_out),
            self._on_device(last_observations),
            xp.asarray(episode_returns, self.dtype),
            xp.asarray(episode_steps),
            xp.asarray(speed, self.dtype),
        )

    def poses(self) -> Array:
        """As in AntEnvironments, (R, 15, N)."""
        (positions,) = self._in_groups("positions")  # (R, N, 15)
        positions[..., [10, 12]] *= -1  # ankles of the second and third leg
        return self._on_device(positions)

    def state(self) -> dict[str, np.ndarray]:
        """A copy, on the host, of everything that `restore` needs to continue exactly."""
        arrays = {name: np.array(to_host(getattr(self, name))) for name in _CHANGING}
        (physics,) = self._in_groups("state")
        return {**arrays, "physics": physics, "num_draws": np.array(self.num_draws)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from `state()` with equal settings and seeds. Raises ValueError if it does not fit."""
        check_names(state, [*_CHANGING, "physics", "num_draws"])
        for name in _CHANGING:
            expected = getattr(self, name).shape
            if state[name].shape != expected:
                raise ValueError(f"{name} has the shape {state[name].shape}, not {expected}")
        for name in ("episode_steps", "episode_returns", "num_broken"):
            setattr(self, name, np.array(state[name]))
        self.friction, self.new_friction = (xp.array(state[name], self.dtype) for name in ("friction", "new_friction"))
        self.num_draws = int(state["num_draws"])
        self._in_groups("restore", np.asarray(state["physics"]), self.friction)

    def _reset_seeds(self) -> Array:
        words = draws.words(self.seeds, "ant resets", self.shape[1], step=self.num_draws)  # (R, N)
        self.num_draws += 1
        return words

    def _on_device(self, observations: np.ndarray) -> Array:
        return xp.asarray(np.ascontiguousarray(observations.swapaxes(1, 2)), self.dtype)  # (R, O, N)

    def _in_groups(self, method: str, *arrays: Array) -> list[np.ndarray]:
        """Call a method of all groups, each with its part of the arrays (R, N, ...), and concatenate the results."""
        flat = [to_host(array).reshape(-1, *array.shape[2:]) for array in arrays]
        parts = zip(*(np.split(array, self.cuts) for array in flat)) if flat else [()] * len(self.groups)
        for group, part in zip(self.groups, parts):
            group.begin(method, *part)
        results = zip(*[group.finish() for group in self.groups])
        return [np.concatenate(arrays).reshape(*self.shape, *arrays[0].shape[1:]) for arrays in results]


_CHANGING = ("friction", "new_friction", "episode_steps", "episode_returns", "num_broken")
