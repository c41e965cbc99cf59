"""A group of MuJoCo's ants, in this process or in a separate one. `mujoco_ants.py` combines groups."""

import importlib
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from problems.ant.task_settings import MuJoCoSettings

SECONDS_TO_CLOSE = 5
_TORSO = 1  # index of the body in MuJoCo


class Group:
    """K environments in this process. The first axis of all arrays is K."""

    def __init__(self, settings: MuJoCoSettings, number: int):
        self.settings = settings
        self.mujoco = importlib.import_module("mujoco")
        options = {
            "include_cfrc_ext_in_observation": settings.contact_forces,
            "contact_cost_weight": 0.0,
            "ctrl_cost_weight": settings.control_cost,
            "healthy_reward": settings.healthy_reward,
        }
        gymnasium = import_gymnasium()
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
        """`step_one` of all: observations, last observations, rewards, speeds, terminated, broken."""
        results = [self.step_one(*each) for each in zip(self.environments, *arrays)]
        return tuple(map(np.array, zip(*results)))

    def step_one(
        self, environment: Any, action: np.ndarray, seed: int, friction: float, out_of_time: bool
    ) -> tuple[np.ndarray, np.ndarray, float, float, bool, bool]:
        """A broken episode ends with reward 0, and its last observation is the first of the next episode."""
        broken, terminated = not np.isfinite(np.square(action)).all(), True
        if not broken:
            if self.settings.control_cost_of == "clipped_action":
                action = np.clip(action, -1, 1)
            observation, reward, terminated, _, information = environment.step(np.roll(action, 2))  # fourth leg first
            speed = information["x_velocity"]
            # MuJoCo resets a robot whose simulation diverged, and warns.
            diverged = any(environment.data.warning[warning].number for warning in self.warnings)
            broken = diverged or not (np.isfinite(observation).all() and np.isfinite(reward))
        if not (broken or terminated or out_of_time):
            return observation, observation, reward, speed, False, False
        first = self.reset_one(environment, seed, friction)
        return (
            (first, first, 0.0, 0.0, True, True) if broken else (first, observation, reward, speed, terminated, False)
        )

    def positions(self) -> tuple[np.ndarray, ...]:
        return (np.array([environment.data.qpos for environment in self.environments]),)

    def state(self) -> tuple[np.ndarray, ...]:
        """MuJoCo's state, and the last computed position of the torso, from which the next speed is measured.

        This position differs by a fraction of a millimeter from the one in the state, because MuJoCo computes it before
        it integrates.
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


class ProcessGroup:
    """A `Group` in a separate process, which ends with this one."""

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
        return RuntimeError(f"A process of MuJoCo's ants ended unexpectedly with exit code {self.process.exitcode}.")

    def close(self) -> None:
        self.pipe.close()  # which tells the process to end
        self.process.join(SECONDS_TO_CLOSE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """A process that starts within this context ignores Ctrl-C and SIGTERM, which a terminal sends to all processes.

    The main process stops by itself after writing a checkpoint, for which it needs this process.
    """
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(pipe: Connection, settings: MuJoCoSettings, number: int) -> None:
    """Answer calls from the pipe, each with (problem, results), until the pipe is closed."""
    group = None
    while True:
        try:
            method, arrays = pipe.recv()
        except (EOFError, OSError):
            break
        try:
            group = group or Group(settings, number)
            group.begin(method, *arrays)
            answer: tuple[str, tuple[np.ndarray, ...]] = ("", group.finish())
        except Exception as problem:  # noqa: BLE001 (any error is reported to the main process)
            answer = (f"{type(problem).__name__}: {problem}", ())
        pipe.send(answer)


def import_gymnasium() -> Any:
    try:
        importlib.import_module("mujoco")
        return importlib.import_module("gymnasium")
    except ImportError:
        raise ValueError(
            'MuJoCo\'s ant needs Gymnasium and MuJoCo: install them with `python -m pip install -e ".[mujoco]"`.'
        ) from None
