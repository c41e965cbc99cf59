"""Code shared by the online problems: one example per step, measured before the update, averaged over bins.

Divergence of a run is a result. From `diverged_at`, the first example whose loss is not finite, all measures of that
run are NaN. The other runs of the block are unaffected.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minilop import diagnostics
from minilop import state as states
from minilop.backend import Array, to_host, xp
from minilop.checks import check_range
from minilop.learner import Learner
from minilop.learner_settings import LearnerSettings, make_mlp
from minilop.networks import Network
from problems.shared.curves import Curves

CHUNK = 500  # examples that are drawn and measured together


def check_stream(settings: Any) -> None:
    """Raises ValueError unless bins and intervals are positive and the stream is a whole number of bins."""
    check_range(settings, "num_examples task_length bin_size magnitude_interval", 1)
    if settings.num_examples % settings.bin_size:
        raise ValueError(f"num_examples, {settings.num_examples}, must be a multiple of bin_size, {settings.bin_size}")


def make_network(sizes: Sequence[int], settings: LearnerSettings, seeds: Sequence[int]) -> Network:
    """The learner's network for these runs. Raises ValueError for a learner that is reset at task boundaries."""
    if settings.reset != "nothing":
        raise ValueError("reset is for problems that tell the learner of a new task; set it to nothing")
    return make_mlp(sizes, settings, seeds)


class OnlineRuns(ABC):
    """R runs of one learner on a stream of examples, with the interface of `minilop.experiment.problem.Runs`.

    num_examples         length of the stream, a whole number of bins
    task_length          examples between two changes of the task
    bin_size             examples whose measures are averaged into one point of a curve
    magnitude_interval   steps between two measurements of the weight magnitude; 1 in the published code
    """

    def __init__(
        self,
        learner: Learner,
        num_examples: int,
        task_length: int,
        bin_size: int,
        magnitude_interval: int,
    ):
        self.learner = learner
        self.num_examples = num_examples
        self.task_length = task_length
        self.bin_size = bin_size
        self.magnitude_interval = magnitude_interval
        self.snapshots_per_bin = -(-bin_size // magnitude_interval)
        self.position = 0
        self.num_runs = len(learner.network.seeds)
        self.diverged_at = np.full(self.num_runs, -1)
        self.measured = Curves(num_examples // bin_size, self.num_runs)  # mean over the examples of each bin
        self.diagnosed = Curves(num_examples // bin_size, self.num_runs)  # at the start of each bin

    @abstractmethod
    def examples(self, start: int, stop: int) -> tuple[Array, Array]:
        """Inputs (n, R, I, 1) and targets (n, R, ...) of the examples `start` to `stop`, all of one task."""

    @abstractmethod
    def measure(self, outputs: Array, targets: Array, losses: Array) -> dict[str, Array]:
        """Measures of n examples, each (n, R), from outputs (n, R, O), targets and losses (n, R)."""

    @abstractmethod
    def diagnostic_inputs(self) -> Array:
        """The inputs (R, I, N) on which the hidden layers are diagnosed before the example at `position`."""

    @property
    def progress(self) -> float:
        """The fraction of the stream that has been learned from."""
        return self.position / self.num_examples

    def advance(self) -> None:
        """Learn from the next chunk of examples; at the start of a bin, diagnose the network first."""
        start, bin_index = self.position, self.position // self.bin_size
        stop = min(start + length - start % length for length in (CHUNK, self.task_length, self.bin_size))
        if start % self.bin_size == 0:
            self.diagnosed.add(bin_index, self.diagnose())
        inputs, targets = self.examples(start, stop)
        outputs, losses, magnitudes = [], [], []
        for example, target in zip(inputs, targets):
            if (self.learner.num_steps - bin_index * self.bin_size) % self.magnitude_interval == 0:
                magnitudes.append(self.weight_magnitude())
            output, loss = self.learner.step(example, target)
            outputs.append(output[..., 0])
            losses.append(loss[..., 0])
        losses = xp.stack(losses)  # (n, R)
        finite = to_host(xp.isfinite(losses))
        newly_diverged = (self.diverged_at < 0) & ~finite.all(axis=0)
        self.diverged_at[newly_diverged] = start + np.argmin(finite, axis=0)[newly_diverged]
        measures = self.measure(xp.stack(outputs), targets, losses)
        # Along contiguous memory, the order in which NumPy sums does not depend on the number of runs.
        totals = {name: xp.ascontiguousarray(each.T).sum(axis=-1) for name, each in measures.items()}
        self.measured.add(bin_index, {name: total / self.bin_size for name, total in totals.items()})
        if magnitudes:
            self.measured.add(bin_index, {"weight_magnitude": sum(magnitudes) / self.snapshots_per_bin})
        self.learner.network.flush()  # a checkpoint needs this; done always, so that a checkpoint changes nothing
        self.position = stop

    def weight_magnitude(self) -> Array:
        """Mean absolute weight of each run, (R,)."""
        self.learner.network.flush()
        return diagnostics.weight_magnitude(layer.rows() for layer in self.learner.network.weighted_layers)

    def diagnose(self) -> dict[str, Array]:
        """Dead units, dormant units and ranks of all hidden layers, as percentages of the number of units, (R,)."""
        network = self.learner.network
        if not network.hidden:
            return {}
        network.flush()
        network.begin_evaluation()
        values = network.forward(self.diagnostic_inputs())
        features = [layer.unit_features(values) for layer in network.hidden]  # (R, H, N) each
        num_units = [h.shape[-2] for h in features]
        units = {"dead_units": diagnostics.dead_unit_fraction, "dormant_units": diagnostics.dormant_unit_fraction}
        ranks = {
            "effective_rank": diagnostics.effective_rank,
            "stable_rank": diagnostics.stable_rank,
            "approximate_rank": diagnostics.approximate_rank,
        }
        percent = 100 / sum(num_units)
        return {
            **{
                name: diagnostics.percentage_of_units([fraction(h) for h in features], num_units)
                for name, fraction in units.items()
            },
            **{name: percent * sum(rank(h) for h in features) for name, rank in ranks.items()},
        }

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs to continue exactly."""
        return {
            **states.prefixed("learner", self.learner.state()),
            **states.prefixed("measured", states.copied(self.measured.arrays)),
            **states.prefixed("diagnosed", states.copied(self.diagnosed.arrays)),
            "position": np.array(self.position),
            "diverged_at": self.diverged_at.copy(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where `state` was taken. Raises ValueError if it does not fit."""
        states.check_names(state, ["learner.", "measured.", "diagnosed.", "position", "diverged_at"])
        self.learner.restore(states.part("learner", state))
        self.measured.arrays = states.copied(states.part("measured", state))
        self.diagnosed.arrays = states.copied(states.part("diagnosed", state))
        self.position = int(state["position"])
        self.diverged_at = state["diverged_at"].copy()

    def results(self) -> dict[str, np.ndarray]:
        """All measures, (R, num_bins) each, and `diverged_at` (R,), -1 for a run that never diverged."""
        starts = np.arange(self.num_examples // self.bin_size) * self.bin_size  # (num_bins,)
        end = np.where(self.diverged_at < 0, self.num_examples, self.diverged_at)[:, None]  # (R, 1)
        measured = self.measured.by_run(starts + self.bin_size <= end)
        diagnosed = self.diagnosed.by_run(starts <= end)
        return {**measured, **diagnosed, "diverged_at": self.diverged_at}
