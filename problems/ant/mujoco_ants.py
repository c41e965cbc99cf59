"""MuJoCo's own Ant behind the interface of `AntEnvironments`: Gymnasium's Ant-v5, with a floor that can be slippery.

    with MuJoCoAnts(MuJoCoSettings(num_environments=8, num_processes=2), seeds=[0]) as ants:
        ants.set_friction(0.1)
        observations = ants.reset()

Needs the extra `mujoco`. For a single ant it is faster than our own physics, for hundreds side by side 25 to 40 times slower; it
is there to compare with.

  friction      is that of all geometries, floor and robot. MuJoCo takes the larger one of two that touch, so a slippery
                floor alone would change nothing below the robot's own 1. The paper's code does the same, by another
                model file. It is a pyramid by MuJoCo's default: diagonally to a contact's axes a foot feels 0.71 of it
  actions       are in the order of the observed joints, first leg first, as for AntEnvironments; MuJoCo's motors begin
                with the fourth leg, so they are permuted here. Its ankles bend downwards by positive angles for the first
                and fourth leg, by negative ones for the others
  observation   27 numbers, or 105 with `contact_forces`; the angular velocity is in the torso's axes
  contact cost  none, like the paper's, whose contact forces were always zero

Draws (`minilop.draws`), at the number of the draw: 0 when the ants are made, then one for each call of `reset` or `step`.
Purpose "ant resets": N words, the seeds of Gymnasium's resets.
"""

import importlib
import multiprocessing
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.checks import check_range
from minilop.state import check_names
from problems.ant.environment import NUM_OBSERVATIONS, Environments, Step, TaskSettings

NUM_CONTACT_FORCES = 78
STEP_SECONDS = 0.05  # Ant-v5's
SECONDS_TO_CLOSE = 5

_TORSO = 1  # of MuJoCo's bodies


@dataclass(frozen=True)
class MuJoCoSettings(TaskSettings):
    """The task on MuJoCo's physics.

    num_processes   that share the environments of all runs; 0 computes them in this one. A worker of the command's
                    process engine may start none: there are as many workers as cores already A script that asks for some
                    must guard what it does by `if __name__ == "__main__":`, since they import it
    """

    num_environments: int = 8  # of a run; ours, the paper has one
    contact_forces: bool = False  # observed, clipped to [-1, 1]
    num_processes: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        super().__post_init__()
        check_range(self, "num_processes", 0)


class MuJoCoAnts(Environments):
    """R runs of N environments; attributes, `reset`, `step`, `set_friction`, `state` and `restore` as of AntEnvironments.

    Counts, returns and what broke are kept on the host, where MuJoCo is. Raises ValueError without the extra or where processes
    may not be started, and RuntimeError where one of them fails. They end with this one, or before that by `with` or `close`.
    """

    def __init__(self, settings: MuJoCoSettings, seeds: Sequence[int], dtype: str = "float32"):
        super().__init__(settings, seeds, dtype)
        _import_gymnasium()
        if settings.num_processes and multiprocessing.current_process().daemon:
            raise ValueError(
                f"num_processes={settings.num_processes} needs --engine serial, since a worker of the process engine may "
                "start none; or choose num_processes=0"
            )
        self.num_draws = 0
        self.episode_steps = np.zeros(self.shape, int)
        self.episode_returns = np.zeros(self.shape)
        self.num_broken = np.zeros(self.shape[0], int)
        self.num_observations = NUM_OBSERVATIONS + NUM_CONTACT_FORCES * settings.contact_forces
        shares = np.array_split(np.arange(self.seeds.size * settings.num_environments), max(1, settings.num_processes))
        shares = [share for share in shares if share.size]
        make: Any = _Group if settings.num_processes == 0 else _GroupElsewhere
        self.groups: list[_Group | _GroupElsewhere] = [make(settings, share.size) for share in shares]
        self.cuts = np.cumsum([share.size for share in shares])[:-1]
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
        """All environments begin an episode; observations (R, 27 or 105, N)."""
        self.friction = self.new_friction.copy()
        (observations,) = self._in_groups("reset", self._reset_seeds(), self.new_friction)
        self.episode_steps[...] = 0
        self.episode_returns[...] = 0
        return self._on_device(observations)

    def step(self, actions: Array) -> Step:
        """One step of all environments under actions (R, 8, N). Raises ValueError for another shape."""
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
        """As of AntEnvironments, (R, 15, N)."""
        (positions,) = self._in_groups("positions")  # (R, N, 15)
        positions[..., [10, 12]] *= -1  # ankles of the second and third leg
        return self._on_device(positions)

    def state(self) -> dict[str, np.ndarray]:
        """All that `restore` needs to go on to the bit, on the host; nothing of it changes later."""
        arrays = {name: np.array(to_host(getattr(self, name))) for name in _CHANGING}
        (physics,) = self._in_groups("state")
        return {**arrays, "physics": physics, "num_draws": np.array(self.num_draws)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from `state()`, of environments with the same settings and seeds. Raises ValueError where it does not fit."""
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
        """Call a method of all groups with their share of arrays (R, N, ...); its results are put together alike."""
        flat = [to_host(array).reshape(-1, *array.shape[2:]) for array in arrays]
        shares = zip(*(np.split(array, self.cuts) for array in flat)) if flat else [()] * len(self.groups)
        for group, share in zip(self.groups, shares):
            group.begin(method, *share)
        parts = zip(*[group.finish() for group in self.groups])
        return [np.concatenate(part).reshape(*self.shape, *part[0].shape[1:]) for part in parts]


_CHANGING = ("friction", "new_friction", "episode_steps", "episode_returns", "num_broken")


class _Group:
    """K environments in this process; arrays have them first."""

    def __init__(self, settings: MuJoCoSettings, number: int):
        self.settings = settings
        self.mujoco = importlib.import_module("mujoco")
        options = {
            "include_cfrc_ext_in_observation": settings.contact_forces,
            "contact_cost_weight": 0.0,
            "ctrl_cost_weight": settings.control_cost,
            "healthy_reward": settings.healthy_reward,
        }
        gymnasium = _import_gymnasium()
        self.environments = [gymnasium.make("Ant-v5", **options).unwrapped for _ in range(number)]
        warnings = self.mujoco.mjtWarning
        self.warnings = [
            int(warning) for warning in (warnings.mjWARN_BADQPOS, warnings.mjWARN_BADQVEL, warnings.mjWARN_BADQACC)
        ]
        self.results: tuple[np.ndarray, ...] = ()

    def begin(self, method: str, *arrays: np.ndarray) -> None:
        self.results = getattr(self, method)(*arrays)

    def finish(self) -> tuple[np.ndarray, ...]:
        return self.results

    def close(self) -> None:
        for environment in self.environments:
            environment.close()

    def reset(self, seeds: np.ndarray, friction: np.ndarray) -> tuple[np.ndarray, ...]:
        return (np.array([self.reset_one(*each) for each in zip(self.environments, seeds, friction)]),)

    def reset_one(self, environment: Any, seed: int, friction: float) -> np.ndarray:
        environment.model.geom_friction[:, 0] = friction
        return environment.reset(seed=int(seed))[0]

    def set_friction(self, friction: np.ndarray) -> tuple[np.ndarray, ...]:
        for environment, value in zip(self.environments, friction):
            environment.model.geom_friction[:, 0] = value
        return ()

    def step(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """`step_one` of all: observations, last ones, rewards, speeds, terminated, broken."""
        results = [self.step_one(*each) for each in zip(self.environments, *arrays)]
        return tuple(map(np.array, zip(*results)))

    def step_one(
        self, environment: Any, action: np.ndarray, seed: int, friction: float, out_of_time: bool
    ) -> tuple[np.ndarray, np.ndarray, float, float, bool, bool]:
        """One that breaks ends with reward 0, and its last observation is that of the next episode's start."""
        broken, terminated = not np.isfinite(np.square(action)).all(), True
        if not broken:
            if self.settings.control_cost_of == "clipped_action":
                action = np.clip(action, -1, 1)
            observation, reward, terminated, _, information = environment.step(np.roll(action, 2))  # fourth leg first
            speed = information["x_velocity"]
            # MuJoCo puts a robot that exploded back to its beginning, and warns.
            exploded = any(environment.data.warning[warning].number for warning in self.warnings)
            broken = exploded or not (np.isfinite(observation).all() and np.isfinite(reward))
        if not (broken or terminated or out_of_time):
            return observation, observation, reward, speed, False, False
        first = self.reset_one(environment, seed, friction)
        return (
            (first, first, 0.0, 0.0, True, True) if broken else (first, observation, reward, speed, terminated, False)
        )

    def positions(self) -> tuple[np.ndarray, ...]:
        return (np.array([environment.data.qpos for environment in self.environments]),)

    def state(self) -> tuple[np.ndarray, ...]:
        """MuJoCo's state, and the torso's place as it last worked it out, from which the next speed is measured.

        That is a fraction of a millimetre beside the state's own, since its integrator moves on after working it out.
        """
        kind = self.mujoco.mjtState.mjSTATE_INTEGRATION
        states = []
        for environment in self.environments:
            state = np.empty(self.mujoco.mj_stateSize(environment.model, kind))
            self.mujoco.mj_getState(environment.model, environment.data, state, kind)
            states.append(np.concatenate([state, environment.data.xpos[_TORSO]]))
        return (np.array(states),)

    def restore(self, states: np.ndarray, friction: np.ndarray) -> tuple[np.ndarray, ...]:
        kind = self.mujoco.mjtState.mjSTATE_INTEGRATION
        self.set_friction(friction)
        for environment, state in zip(self.environments, states):
            self.mujoco.mj_setState(environment.model, environment.data, np.ascontiguousarray(state[:-3]), kind)
            environment.data.xpos[_TORSO] = state[-3:]
        return ()


class _GroupElsewhere:
    """A `_Group` in a process of its own, which ends with this one."""

    def __init__(self, settings: MuJoCoSettings, number: int):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, settings, number), daemon=True)
        with _signals_ignored():
            self.process.start()
        theirs.close()

    def begin(self, method: str, *arrays: np.ndarray) -> None:
        try:
            self.pipe.send((method, arrays))
        except OSError:
            raise self._ended() from None

    def finish(self) -> tuple[np.ndarray, ...]:
        try:
            problem, results = self.pipe.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if problem:
            raise RuntimeError(f"A process of MuJoCo's ants failed: {problem}")
        return results

    def _ended(self) -> RuntimeError:
        self.process.join(SECONDS_TO_CLOSE)
        return RuntimeError(f"A process of MuJoCo's ants has ended unasked, with exit code {self.process.exitcode}.")

    def close(self) -> None:
        self.pipe.close()  # which it takes as the end
        self.process.join(SECONDS_TO_CLOSE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """A process that begins within it never hears of Ctrl-C or SIGTERM, which a terminal sends to all: the one that it serves
    stops by itself, with a checkpoint, and for that still needs it."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(pipe: Connection, settings: MuJoCoSettings, number: int) -> None:
    """Answer the calls that come through the pipe until it is closed, each with (problem, results)."""
    group = None
    while True:
        try:
            method, arrays = pipe.recv()
        except (EOFError, OSError):
            break
        try:
            group = group or _Group(settings, number)
            group.begin(method, *arrays)
            answer: tuple[str, tuple[np.ndarray, ...]] = ("", group.finish())
        except Exception as problem:  # noqa: BLE001 (whatever it is, it is told where it can be read)
            answer = (f"{type(problem).__name__}: {problem}", ())
        pipe.send(answer)


def _import_gymnasium() -> Any:
    try:
        importlib.import_module("mujoco")
        return importlib.import_module("gymnasium")
    except ImportError:
        raise ValueError(
            'MuJoCo\'s ant needs Gymnasium and MuJoCo: install them with `python -m pip install -e ".[mujoco]"`.'
        ) from None
