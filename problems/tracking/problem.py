"""R runs of one rule on the experiments of tracking, with all values of its parameter side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minilop.backend import xp
from problems.shared.sweeps import Sweep, SweepRuns
from problems.tracking.learners import TrackingLearner
from problems.tracking.settings import Settings
from problems.tracking.streams import RateStream, SignStream


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """A description of the examples. They are drawn, so `data_folder` is not used."""
    return "normal inputs and a target with inverted signs; random walks in noise"


def start(settings: Settings, learner: TrackingLearner, seeds: Sequence[int], data_folder: Path | None) -> SweepRuns:
    """Begin R runs side by side. The examples are drawn, so `data_folder` is not used."""
    seed_array, dtype = np.asarray(seeds), learner.dtype

    def sweep(stream: SignStream | RateStream, values: Sequence[float], axes: tuple[int, ...], *lengths: int) -> Sweep:
        linear = learner.make(xp.zeros((len(seeds), *axes), dtype), values)
        return Sweep(stream, linear, linear.step, *lengths)

    num_inputs = settings.num_inputs
    sweeps = {
        "compared": sweep(
            SignStream(settings, seed_array, dtype),
            learner.compared,
            (len(learner.compared), num_inputs),
            settings.num_compared,
            settings.compared_bin,
        )
    }
    if learner.observed:
        sweeps["observed"] = sweep(
            SignStream(settings, seed_array, dtype),
            learner.observed,
            (len(learner.observed), num_inputs),
            settings.num_observed,
            settings.observed_bin,
            1,
        )
    if learner.rates:
        half = settings.num_rates // 2
        sweeps["rates"] = sweep(
            RateStream(settings, seed_array, dtype),
            learner.rates,
            (len(settings.sigmas), len(learner.rates), 1),
            settings.num_rates,
            half,
            half,
        )
    return SweepRuns(sweeps)
