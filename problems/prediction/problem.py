"""R runs of one prediction method, with all values of its parameter side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minilop.backend import Array, xp
from problems.prediction.learners import PredictionLearner
from problems.prediction.settings import Settings
from problems.prediction.stream import CueStream
from problems.shared.sweeps import Sweep, SweepRuns


def data_source(settings: Settings, data_folder: Path | None) -> str:
    """A description of the examples. They are drawn, so `data_folder` is not used."""
    return "random cues, each followed by an outcome, among random distractors"


def start(settings: Settings, learner: PredictionLearner, seeds: Sequence[int], data_folder: Path | None) -> SweepRuns:
    """Begin R runs side by side. The stream is drawn, so `data_folder` is not used."""
    num_features = settings.num_taps + settings.num_distractors + 1
    weights = xp.zeros((len(seeds), len(learner.compared), num_features), learner.dtype)
    method = learner.make(weights, settings.discount)

    def learn(features: Array, cumulant: Array, returned: Array) -> Array:
        return returned - method.step(features, cumulant)

    stream = CueStream(settings, np.asarray(seeds), learner.dtype)
    return SweepRuns(
        {"compared": Sweep(stream, method, learn, settings.num_steps, settings.bin_size, snapshots_per_bin=1)}
    )
