"""Code shared by the two ant problems: R agents that learn to run by PPO, and their measures.

Dohare et al. (2024), "Stationary and slippery Ant". Paper - published code - ours:

  simulator        MuJoCo's Ant-v3 - the same - a model in plain array code (`physics.py`), or MuJoCo's Ant-v5
  observations     - 111, of which 84 are most likely always zero - the other 27
  friction         log-uniform on [0.02, 2] - from a stored table - drawn, the same sequence for all learners of a seed
  change           after 2 million steps - with the first episode that begins then - as in the code (`change_at`), for
                   each of the N environments of a run; N is 1 at paper scale
  return           undiscounted, of the episodes that end in a bin - the same - the same, and the mean reward per step,
                   which includes episodes that have not ended
  dormant units    of the policy, active in at most 1 % of 1,000 steps of acting - the same - in under 1 % of the last
                   1,000 observations, or of all if there are fewer, in the first rollout completed after the bin
  stable rank      of the policy's last hidden layer, in the same steps - the same - on the same observations
  weight change    in an update: sum over the policy's weights of |after - before|; the largest of 500 updates - the
                   same - the largest of a bin

Episode lengths, forward speed and falls are our additions. A step is a step of one environment, so that a step of all N
environments of a run counts N times.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from minilop import backend, draws
from minilop import state as states
from minilop.backend import Array, to_host, xp
from minilop.learner_settings import LearnerSettings
from minilop.reinforcement import PPO
from problems.ant.environment import AntEnvironments
from problems.ant.interface import Environments
from problems.ant.measures import BinnedMeasures, diagnose, weight_change
from problems.ant.mujoco_ants import MuJoCoAnts
from problems.ant.settings import Settings

# Steps, of all environments of all runs together, between two reports of progress.
STEPS_AT_A_TIME = {"numpy": 10_000, "cupy": 4_000_000}


def frictions(settings: Settings, seeds: np.ndarray) -> np.ndarray:
    """The coefficient of friction of each segment, (R, num_segments), on the host; log-uniform if it changes."""
    if not settings.change_period:
        return np.full((len(seeds), 1), settings.friction)
    segments = np.arange(settings.num_segments)
    drawn = to_host(draws.uniform(seeds[:, None], "friction", 1, step=segments, dtype="float64"))[..., 0]
    low, high = np.log(settings.lowest_friction), np.log(settings.highest_friction)
    return np.exp(low + (high - low) * drawn)


def make_ants(settings: Settings, seeds: Sequence[int], dtype: str) -> Environments:
    """The environments of all runs. Raises ValueError if the simulator is not installed."""
    return (MuJoCoAnts if settings.simulator == "mujoco" else AntEnvironments)(settings, seeds, dtype)


class AntRuns:
    """R runs of one learner, with the interface of `minilop.experiment.problem.Runs`."""

    def __init__(self, settings: Settings, learner_settings: LearnerSettings, seeds: Sequence[int]):
        self.settings = settings
        self.seeds = np.asarray(seeds)
        self.num_runs = len(seeds)
        self.resets = learner_settings.reset == "network"
        if learner_settings.reset not in ("nothing", "network"):
            raise ValueError(f"reset={learner_settings.reset} is not for PPO, which has two networks; choose network")
        if self.resets and not settings.change_period:
            raise ValueError("reset=network is for floors that change; set change_period, or reset=nothing")
        self.frictions = frictions(settings, self.seeds)
        self.ants = make_ants(settings, seeds, learner_settings.dtype)
        self.ppo = PPO(settings, learner_settings, self.ants.num_observations, self.ants.num_actions, seeds)
        self.parameters_before = xp.zeros_like(self.ppo.policy.network.parameters)  # when the last update began
        self.ants.set_friction(self.frictions[:, :1], at_once=True)
        self.observations = self.ants.reset()  # (R, I, N)
        self.time = 0  # steps of each environment
        self.network_segment = 0  # the segment of the last reset, for the learner that is reset
        self.bins_diagnosed = 0
        self.diverged_at = np.full(self.num_runs, -1)
        self.measures = BinnedMeasures(settings.steps_in_all // settings.bin_size, self.num_runs)

    @property
    def steps(self) -> int:
        """The steps so far, of all environments of a run together."""
        return self.time * self.settings.num_environments

    @property
    def segment(self) -> int:
        """The segment of constant friction that contains the next step."""
        return self.steps // self.settings.change_period if self.settings.change_period else 0

    @property
    def progress(self) -> float:
        """The fraction of steps and of learning epochs that are done."""
        settings = self.settings
        epochs_in_all = settings.steps_in_all // settings.num_samples * settings.num_epochs
        weight = settings.num_samples / settings.num_epochs  # an epoch counts as its part of the samples
        return (self.steps + weight * self.ppo.epochs_done) / (settings.steps_in_all + weight * epochs_in_all)

    def advance(self) -> None:
        """Take a few steps in all environments or, if the rollout is complete, learn from it for an epoch."""
        ppo = self.ppo
        if ppo.is_full:
            self.begin_update()
        elif ppo.epochs_left:
            ppo.learn_epoch()
            if not ppo.epochs_left:
                self.end_update()
        else:
            at_a_time = backend.choose(STEPS_AT_A_TIME) // (self.num_runs * self.settings.num_environments)
            for _ in range(max(1, at_a_time)):
                self.act()
                if ppo.is_full or self.steps == self.settings.steps_in_all:
                    break
            if self.steps == self.settings.steps_in_all and not ppo.is_full:
                self.diagnose_bin()
        backend.synchronize()  # so that progress does not run ahead of the device

    def act(self) -> None:
        """Change friction if due, reset the networks if the learner is reset, and take one step in all environments."""
        settings, ppo = self.settings, self.ppo
        if self.steps and settings.change_period and self.steps % settings.change_period == 0:
            self.ants.set_friction(
                self.frictions[:, self.segment : self.segment + 1], at_once=settings.change_at == "at_once"
            )
        if self.resets and self.segment > self.network_segment and not ppo.num_stored:
            self.network_segment = self.segment
            ppo.reset(self.segment)
        actions, log_probabilities = ppo.act(self.observations, self.time)
        step = self.ants.step(actions)
        ppo.store(
            observations=self.observations,
            actions=actions,
            log_probabilities=log_probabilities,
            rewards=step.rewards,
            terminated=step.terminated,
            timed_out=step.timed_out,
            last_observations=step.last_observations,
        )
        self.measures.add(self.steps // settings.bin_size, step)
        self.observations = step.observations
        self.time += 1

    def begin_update(self) -> None:
        """Diagnose the policy that has acted, and begin the update."""
        self.diagnose_bin()
        self.parameters_before[...] = self.ppo.policy.network.parameters
        self.ppo.begin_update()

    def diagnose_bin(self) -> None:
        """If a bin has ended since the last call, diagnose the policy that produced the rollout."""
        num_bins = self.steps // self.settings.bin_size
        if num_bins > self.bins_diagnosed and self.ppo.num_stored:
            self.bins_diagnosed = num_bins
            snapshots = diagnose(self.ppo, self.settings.num_diagnostic_observations)
            self.measures.set_snapshots(num_bins - 1, snapshots)

    def end_update(self) -> None:
        """Measure the change of the policy. A run has diverged if its parameters are not all finite."""
        bin_index = (self.steps - 1) // self.settings.bin_size
        change = weight_change(self.ppo.policy.network, self.parameters_before)
        largest = xp.fmax(self.measures.snapshots["weight_change"][bin_index], change)
        self.measures.set_snapshots(bin_index, {"weight_change": largest})
        parameters = (self.ppo.policy.network.parameters, self.ppo.value.network.parameters, self.ppo.log_std)
        finite = np.all([to_host(xp.isfinite(each).all(axis=-1)) for each in parameters], axis=0)
        self.diverged_at[(self.diverged_at < 0) & ~finite] = bin_index

    def walk(self) -> np.ndarray:
        """The walk of one ant of each run by the final policy, from a reset, without noise: (R, num_pose_steps, 15).

        A pose is position (3), quaternion (4), and hip and ankle angles of the four legs; NaN after a fall.
        """
        before = self.ants.state()
        observations, poses = self.ants.reset(), []
        walking = xp.ones((self.num_runs, 1), bool)
        for _ in range(self.settings.num_pose_steps):
            poses.append(to_host(xp.where(walking, self.ants.poses()[..., 0], xp.nan)))  # (R, 15)
            step = self.ants.step(self.ppo.policy.network.forward(observations)[-1])
            walking &= ~(step.terminated | step.timed_out)[:, :1]
            observations = step.observations
        self.ants.restore(before)
        return np.stack(poses, axis=1)

    def arrays(self) -> dict[str, Array]:
        """The measures, and the parameters before the last update, by name."""
        return {**self.measures.arrays(), "parameters_before": self.parameters_before}

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs to continue exactly."""
        return {
            **states.prefixed("ppo", self.ppo.state()),
            **states.prefixed("ants", self.ants.state()),
            **states.copied(self.arrays()),
            "observations": to_host(self.observations).copy(),
            "position": np.array([self.time, self.network_segment, self.bins_diagnosed]),
            "diverged_at": self.diverged_at.copy(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where `state` was taken. Raises ValueError if it does not fit."""
        states.restore(self.arrays(), state, ["ppo.", "ants.", "observations", "position", "diverged_at"])
        self.ppo.restore(states.part("ppo", state))
        self.ants.restore(states.part("ants", state))
        self.observations = xp.array(state["observations"])
        self.time, self.network_segment, self.bins_diagnosed = state["position"].tolist()
        self.diverged_at = state["diverged_at"].copy()

    def results(self) -> dict[str, np.ndarray]:
        """Measures of each bin (R, num_bins): means over steps or over ended episodes; NaN if there are none.

        friction      (R, num_segments)
        poses         (R, num_pose_steps, 15)
        diverged_at   (R,), the bin of divergence, -1 for never
        """
        return {
            **self.measures.by_run(self.settings.bin_size, self.diverged_at),
            "num_broken": to_host(self.ants.num_broken).copy(),  # before the walk adds to it
            "friction": self.frictions,
            "poses": self.walk(),
            "diverged_at": self.diverged_at,
        }


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """The simulator. No data are read, so `data_folder` is not used."""
    return "Ant-v5 of Gymnasium and MuJoCo" if settings.simulator == "mujoco" else "the ant of minilop"


def start(settings: Settings, learner: LearnerSettings, seeds: Sequence[int], data_folder: Path | None) -> AntRuns:
    """Begin R runs side by side. Raises ValueError if the settings or the simulator cannot be used."""
    return AntRuns(settings, learner, seeds)
