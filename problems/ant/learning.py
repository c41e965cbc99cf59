"""What the two problems of the ant share: R agents that learn to run by PPO, and what is measured of them.

Dohare et al. (2024), "Stationary and slippery Ant". Paper - published code - ours:

  simulator        MuJoCo's Ant-v3 - the same - a model in plain array code (`physics.py`), or MuJoCo's Ant-v5
  observations     - 111, of which 84 are most likely always zero - the other 27
  coefficients     log-uniform on [0.02, 2] - from a stored table - drawn, a sequence for each seed that all learners share
  a change         after 2 million steps - with the first episode that begins then - the code's (`change_at`), for each of
                   the N environments of a run; paper scale has one
  return           undiscounted, of the episodes that end in a bin - the same - the same, and the mean reward of a step,
                   which also tells of episodes that have not ended
  dormant units    of the policy, active in at most 1 % of 1,000 steps of acting - the same - in under 1 % of the last
                   1,000 observations of the rollout that is complete next after the bin's end, or of all it has
  stable rank      of the policy's last hidden layer, in the same steps - the same - in the same observations
  weight change    of an update: sum over the policy's weights of |after - before|; the largest of 500 updates - the same -
                   the largest of a bin

Lengths of episodes, forward speed and falls are ours. A step is one of one environment; those of the N environments of a
run add up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from minilop import backend, diagnostics, draws
from minilop import state as states
from minilop.backend import Array, to_host, xp
from minilop.checks import check_range
from minilop.learner_settings import LearnerSettings
from minilop.reinforcement import PPO, PPOSettings
from minilop.reinforcement.rollout import by_run
from problems.ant.environment import AntEnvironments, AntSettings, Environments, Step
from problems.ant.mujoco_ants import STEP_SECONDS, MuJoCoAnts, MuJoCoSettings

Simulator = Literal["minilop", "mujoco"]
ChangeAt = Literal["reset", "at_once"]

# Steps of all environments of all runs between two looks at the clock.
STEPS_AT_A_TIME = {"numpy": 10_000, "cupy": 4_000_000}

SUMS = ("reward", "forward_speed", "falls", "episodes", "episode_return", "episode_length")
LOOKS = (
    *("dormant_units", "stable_rank", "weight_magnitude"),
    *("saturated_actions", "standard_deviation", "weight_change"),
)


@dataclass(frozen=True)
class Settings(PPOSettings, AntSettings, MuJoCoSettings):
    """The problem; values of the published slippery Ant where nothing else is said.

    simulator   minilop: the model of `physics.py`; mujoco: Gymnasium's Ant-v5, which needs the extra `mujoco`
    change_at   when an environment takes a new friction: at its next reset, or at once

    `friction` is for floors that stay, `lowest_friction`, `highest_friction` and `change_at` for those that change; `substeps` and
    `substep_seconds` for minilop's own simulator, `contact_forces` and `num_processes` for MuJoCo's.
    """

    simulator: Simulator = "minilop"
    steps_in_all: int = 20_000_000  # of a run
    change_period: int = 2_000_000  # steps between changes of friction; 0: it stays what `friction` says
    friction: float = 1.0
    lowest_friction: float = 0.02
    highest_friction: float = 2.0
    change_at: ChangeAt = "reset"
    bin_size: int = 100_000  # steps averaged to a point of the figures
    num_diagnostic_observations: int = 1000
    num_pose_steps: int = 60  # of the walk that is kept for the picture

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range or that contradict each other."""
        PPOSettings.__post_init__(self)
        AntSettings.__post_init__(self)
        if self.simulator == "minilop" and (self.contact_forces or self.num_processes):
            raise ValueError(
                "contact_forces and num_processes are for simulator=mujoco; leave them out, or choose that"
            )
        check_range(self, "steps_in_all bin_size num_diagnostic_observations num_pose_steps", 1)
        check_range(self, "change_period friction lowest_friction highest_friction", 0)
        if self.change_period and self.friction != 1.0:
            raise ValueError(f"friction={self.friction} is for a floor that stays; set change_period=0 too")
        if not 0 < self.lowest_friction <= self.highest_friction:
            raise ValueError(
                f"lowest_friction, {self.lowest_friction}, must be above 0 and at most highest_friction, "
                f"{self.highest_friction}"
            )
        for name, known in (("simulator", get_args(Simulator)), ("change_at", get_args(ChangeAt))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be {' or '.join(known)}, not {getattr(self, name)}")
        for name, unit, of in (
            ("steps_in_all", self.bin_size, "bin_size"),
            ("bin_size", self.num_environments, "num_environments"),
            ("change_period", self.num_environments, "num_environments"),
        ):
            if getattr(self, name) % unit:
                raise ValueError(f"{name}, {getattr(self, name)}, must be a multiple of {of}, {unit}")

    @property
    def step_seconds(self) -> float:
        return STEP_SECONDS if self.simulator == "mujoco" else super().step_seconds

    @property
    def num_segments(self) -> int:
        """Stretches of one friction."""
        return -(-self.steps_in_all // self.change_period) if self.change_period else 1


def frictions(settings: Settings, seeds: np.ndarray) -> np.ndarray:
    """The coefficient of each stretch, (R, num_segments), on the host; log-uniform where it changes."""
    if not settings.change_period:
        return np.full((len(seeds), 1), settings.friction)
    segments = np.arange(settings.num_segments)
    drawn = to_host(draws.uniform(seeds[:, None], "friction", 1, step=segments, dtype="float64"))[..., 0]
    low, high = np.log(settings.lowest_friction), np.log(settings.highest_friction)
    return np.exp(low + (high - low) * drawn)


def make_ants(settings: Settings, seeds: Sequence[int], dtype: str) -> Environments:
    """The environments of all runs. Raises ValueError where a simulator is not installed."""
    return (MuJoCoAnts if settings.simulator == "mujoco" else AntEnvironments)(settings, seeds, dtype)


class AntRuns:
    """R runs of one learner; `minilop.experiment.problem.Runs` says how it is driven.

    sums    what is summed up over each bin, by name, (num_bins, R)
    looks   what is seen once a bin, by name, (num_bins, R); NaN where it was not
    """

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
        self.network_segment = 0  # in which the networks began, for the learner that is reset
        self.bins_looked_at = 0
        self.diverged_at = np.full(self.num_runs, -1)
        shape = (settings.steps_in_all // settings.bin_size, self.num_runs)
        self.sums = {name: xp.zeros(shape) for name in SUMS}
        self.looks = {name: xp.full(shape, xp.nan) for name in LOOKS}

    # --- how the work is divided --------------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """Of all environments of a run."""
        return self.time * self.settings.num_environments

    @property
    def segment(self) -> int:
        """The stretch of one friction that the next step belongs to."""
        return self.steps // self.settings.change_period if self.settings.change_period else 0

    @property
    def progress(self) -> float:
        """The share of steps and of learning epochs that is done."""
        settings = self.settings
        epochs_in_all = settings.steps_in_all // settings.num_samples * settings.num_epochs
        weight = settings.num_samples / settings.num_epochs  # an epoch counts as its share of an update's samples
        return (self.steps + weight * self.ppo.epochs_done) / (settings.steps_in_all + weight * epochs_in_all)

    def advance(self) -> None:
        """Take a few steps in all environments, or learn for an epoch from the rollout when that is complete."""
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
                self.look()
        backend.synchronize()  # so that progress does not run ahead of the device

    def act(self) -> None:
        """One step of all environments; before it friction changes where it is time, and a learner that is reset then is."""
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
        self.add(step)
        self.observations = step.observations
        self.time += 1

    # --- what is measured ---------------------------------------------------------------------------------------------

    def add(self, step: Step) -> None:
        """Sum up rewards, speeds and episodes that end, in the bin that the step belongs to."""
        ended = step.terminated | step.timed_out  # (R, N)
        measured = {
            "reward": step.rewards,
            "forward_speed": step.forward_speed,
            "falls": step.terminated,
            "episodes": ended,
            "episode_return": xp.where(ended, step.episode_returns, 0),
            "episode_length": xp.where(ended, step.episode_steps, 0),
        }
        for name, values in measured.items():
            self.sums[name][self.steps // self.settings.bin_size] += values.sum(axis=-1)

    def begin_update(self) -> None:
        """A look at the network that has acted; then advantages."""
        self.look()
        self.parameters_before[...] = self.ppo.policy.network.parameters
        self.ppo.begin_update()

    def look(self) -> None:
        """Where a bin has ended since the last look, diagnose the network that has made the rollout."""
        num_bins = self.steps // self.settings.bin_size
        if num_bins > self.bins_looked_at and self.ppo.num_stored:
            self.bins_looked_at = num_bins
            self.set_looks(num_bins - 1, self.diagnose())

    def end_update(self) -> None:
        """How much the policy has changed; a run whose parameters are not all finite has diverged."""
        place = (self.steps - 1) // self.settings.bin_size
        change = self.policy_weight_change()
        self.set_looks(place, {"weight_change": xp.fmax(self.looks["weight_change"][place], change)})
        parameters = (self.ppo.policy.network.parameters, self.ppo.value.network.parameters, self.ppo.log_std)
        finite = np.all([to_host(xp.isfinite(each).all(axis=-1)) for each in parameters], axis=0)
        self.diverged_at[(self.diverged_at < 0) & ~finite] = place

    def policy_weight_change(self) -> Array:
        """Sum over the policy's weights, without biases, of |now - when the last update began|, (R,)."""
        network = self.ppo.policy.network
        before = network.views(self.parameters_before)
        changes = (abs(layer.weight - before[layer.index]["weight"]) for layer in network.dense_layers)
        return sum(change.sum(axis=(-1, -2)) for change in changes)

    def set_looks(self, place: int, values: Mapping[str, Array]) -> None:
        for name, value in values.items():
            self.looks[name][place] = value

    def diagnose(self) -> dict[str, Array]:
        """The policy: dormant units and stable rank in percent of its units, size of its weights, its actions; (R,).

        weight_magnitude     mean |weight| of the layer in the middle, as published
        saturated_actions    percent of the mean actions that are beyond -1 or 1, where the motors do not follow
        standard_deviation   of the actions about their mean
        """
        network = self.ppo.policy.network
        observations = by_run(self.ppo.rollout["observations"][: self.ppo.num_stored])  # (R, M, I)
        recent = observations[:, -self.settings.num_diagnostic_observations :].swapaxes(-1, -2)
        values = network.forward(recent)
        features = [layer.unit_features(values) for layer in network.hidden]
        measures = {
            "weight_magnitude": diagnostics.weight_magnitude([network.dense_layers[len(network.hidden) // 2].weight]),
            "saturated_actions": 100.0 * (abs(values[-1]) > 1).mean(axis=(-1, -2)),
            "standard_deviation": xp.exp(self.ppo.log_std).mean(axis=-1),
        }
        if not features:
            return measures
        num_units = [h.shape[-2] for h in features]
        dormant = [diagnostics.dormant_unit_fraction(h) for h in features]
        return {
            **measures,
            "dormant_units": diagnostics.percentage_of_units(dormant, num_units),
            "stable_rank": 100 / num_units[-1] * diagnostics.stable_rank(features[-1]),
        }

    def walk(self) -> np.ndarray:
        """How one ant of each run walks in the end, from a reset on and without noise: poses (R, num_pose_steps, 15).

        Of each step position (3), quaternion (4) and the angles of hip and ankle of the four legs; NaN after a fall.
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

    # --- stopping and going on ----------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, Array]:
        """What is measured, and what the weight change is measured from, by name."""
        measured = {**states.prefixed("sums", self.sums), **states.prefixed("looks", self.looks)}
        return {**measured, "parameters_before": self.parameters_before}

    def state(self) -> dict[str, np.ndarray]:
        """What `restore` needs to go on bit for bit."""
        return {
            **states.prefixed("ppo", self.ppo.state()),
            **states.prefixed("ants", self.ants.state()),
            **states.copied(self.arrays()),
            "observations": to_host(self.observations).copy(),
            "position": np.array([self.time, self.network_segment, self.bins_looked_at]),
            "diverged_at": self.diverged_at.copy(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where `state` was taken; raises ValueError where it does not fit."""
        states.restore(self.arrays(), state, ["ppo.", "ants.", "observations", "position", "diverged_at"])
        self.ppo.restore(states.part("ppo", state))
        self.ants.restore(states.part("ants", state))
        self.observations = xp.array(state["observations"])
        self.time, self.network_segment, self.bins_looked_at = state["position"].tolist()
        self.diverged_at = state["diverged_at"].copy()

    def results(self) -> dict[str, np.ndarray]:
        """Measures of each bin (R, num_bins), means over steps or over the episodes that ended; NaN where there were none.

        friction      (R, num_segments)
        poses         (R, num_pose_steps, 15)
        diverged_at   (R,) the bin, -1 for never
        """
        sums = {name: to_host(array).T for name, array in self.sums.items()}
        episodes = np.where(sums["episodes"] > 0, sums["episodes"], np.nan)
        per_step = {name: sums[name] / self.settings.bin_size for name in ("reward", "forward_speed")}
        per_episode = {name: sums[name] / episodes for name in ("episode_return", "episode_length", "falls")}
        looks = {name: to_host(array).T for name, array in self.looks.items()}
        bins = np.arange(len(self.sums["reward"]))
        known = bins < np.where(self.diverged_at < 0, len(bins), self.diverged_at)[:, None]  # (R, num_bins)
        measured = {**per_step, **per_episode, **looks}
        return {
            **{name: np.where(known, array, np.nan) for name, array in measured.items()},
            "num_broken": to_host(self.ants.num_broken).copy(),  # before a walk adds to it
            "friction": self.frictions,
            "poses": self.walk(),
            "diverged_at": self.diverged_at,
        }


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """What the ants are; nothing is read, so `data_folder` is not looked at."""
    return "Ant-v5 of Gymnasium and MuJoCo" if settings.simulator == "mujoco" else "the ant of minilop"


def start(settings: Settings, learner: LearnerSettings, seeds: Sequence[int], data_folder: Path | None) -> AntRuns:
    """Begin R runs side by side. Raises ValueError where settings or simulator cannot be used."""
    return AntRuns(settings, learner, seeds)
