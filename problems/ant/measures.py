"""The measures of the ant problems: sums over the steps of a bin, and snapshots of the policy."""

from collections.abc import Mapping

import numpy as np

from minilop import diagnostics
from minilop import state as states
from minilop.backend import Array, to_host, xp
from minilop.networks import Network
from minilop.reinforcement import PPO
from minilop.reinforcement.rollout import by_run
from problems.ant.interface import Step

SUMS = ("reward", "forward_speed", "falls", "episodes", "episode_return", "episode_length")
SNAPSHOTS = (
    *("dormant_units", "stable_rank", "weight_magnitude"),
    *("saturated_actions", "standard_deviation", "weight_change"),
)


class BinnedMeasures:
    """Measures of R runs in each bin.

    sums        over the steps of a bin, by name, (num_bins, R)
    snapshots   of the policy, once per bin, by name, (num_bins, R); NaN if there is none
    """

    def __init__(self, num_bins: int, num_runs: int):
        self.sums = {name: xp.zeros((num_bins, num_runs)) for name in SUMS}
        self.snapshots = {name: xp.full((num_bins, num_runs), xp.nan) for name in SNAPSHOTS}

    def add(self, bin_index: int, step: Step) -> None:
        """Add the rewards, speeds and ended episodes of a step to the sums of a bin."""
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
            self.sums[name][bin_index] += values.sum(axis=-1)

    def set_snapshots(self, bin_index: int, values: Mapping[str, Array]) -> None:
        """Store `values`, (R,) each, for a bin."""
        for name, value in values.items():
            self.snapshots[name][bin_index] = value

    def arrays(self) -> dict[str, Array]:
        """The arrays themselves, by their names in a checkpoint."""
        return {**states.prefixed("sums", self.sums), **states.prefixed("snapshots", self.snapshots)}

    def by_run(self, bin_size: int, diverged_at: np.ndarray) -> dict[str, np.ndarray]:
        """Means over steps or over ended episodes, (R, num_bins); NaN from the bin `diverged_at` (R,) on, if not -1."""
        sums = {name: to_host(array).T for name, array in self.sums.items()}
        episodes = np.where(sums["episodes"] > 0, sums["episodes"], np.nan)
        per_step = {name: sums[name] / bin_size for name in ("reward", "forward_speed")}
        per_episode = {name: sums[name] / episodes for name in ("episode_return", "episode_length", "falls")}
        snapshots = {name: to_host(array).T for name, array in self.snapshots.items()}
        bins = np.arange(len(self.sums["reward"]))
        known = bins < np.where(diverged_at < 0, len(bins), diverged_at)[:, None]  # (R, num_bins)
        measured = {**per_step, **per_episode, **snapshots}
        return {name: np.where(known, array, np.nan) for name, array in measured.items()}


def diagnose(ppo: PPO, num_observations: int) -> dict[str, Array]:
    """Measures, (R,) each, of the policy on its last observations; units and rank are percentages of the units.

    weight_magnitude     mean |weight| of the middle layer, as published
    saturated_actions    percentage of the mean actions beyond -1 or 1, where the motors saturate
    standard_deviation   of the actions about their means
    """
    network = ppo.policy.network
    observations = by_run(ppo.rollout["observations"][: ppo.num_stored])  # (R, M, I)
    recent = observations[:, -num_observations:].swapaxes(-1, -2)
    values = network.forward(recent)
    features = [layer.unit_features(values) for layer in network.hidden]
    measures = {
        "weight_magnitude": diagnostics.weight_magnitude([network.dense_layers[len(network.hidden) // 2].weight]),
        "saturated_actions": 100.0 * (abs(values[-1]) > 1).mean(axis=(-1, -2)),
        "standard_deviation": xp.exp(ppo.log_std).mean(axis=-1),
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


def weight_change(network: Network, parameters_before: Array) -> Array:
    """Sum over the weights of a network, without biases, of |after - before|, (R,)."""
    before = network.views(parameters_before)
    changes = (abs(layer.weight - before[layer.index]["weight"]) for layer in network.dense_layers)
    return sum(change.sum(axis=(-1, -2)) for change in changes)
