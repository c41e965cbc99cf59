"""The toy problem with composed learners: the step size of the optimizer is the rate. One learner is flat."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import toy_problem
from toy_problem import ToyLearner, ToyRuns, ToySettings, data_source

from minilop.experiment.problem import Scale
from minilop.fast import InPlaceSGD
from minilop.learner_settings import LearnerSettings, NetworkSettings
from minilop.optimizers import SGD, Adam
from minilop.plasticity import ContinualBackprop, ReDo

__all__ = ["LEARNERS", "SCALES", "TITLE", "data_source", "figures", "start"]

TITLE = "the same numbers with learners that have parts"

BACKPROP = LearnerSettings(SGD(step_size=3.9))
LEARNERS: dict[str, LearnerSettings | ToyLearner] = {
    "backprop": BACKPROP,
    "backprop_step_0.01": BACKPROP.change(step_size=0.01),
    "adam": LearnerSettings(Adam(step_size=3.0)),
    "tanh": replace(BACKPROP, network=NetworkSettings(activation="tanh")),
    "redo": replace(BACKPROP, rules=(ReDo(),)),
    "continual_backprop": replace(BACKPROP, rules=(ContinualBackprop(replacement_rate=0.5),)),
    "both": replace(BACKPROP, rules=(ContinualBackprop(), ReDo())),
    **{
        f"rate_{rate}": replace(BACKPROP, rules=(ContinualBackprop(replacement_rate=rate),))
        for rate in (0.1, 0.2, 0.3, 0.4)
    },
    "flat": ToyLearner(),
}

SMOKE = Scale(ToySettings(), LEARNERS, ("backprop", "adam", "continual_backprop"), runs=2, block=2, seconds=0.5)
IN_PLACE = replace(BACKPROP, optimizer=InPlaceSGD(step_size=3.5))
SCALES = {
    "smoke": SMOKE,
    "laptop": replace(SMOKE, default_learners=("backprop", "both", "flat")),
    "paper": replace(SMOKE, learners=LEARNERS | {"backprop": IN_PLACE}),
}


def start(settings: ToySettings, learner: Any, seeds: Sequence[int], data_folder: Path | None) -> ToyRuns:
    return ToyRuns(settings, ToyLearner(rate=learner.optimizer.step_size, dtype=learner.dtype), seeds)


def figures(results: Any) -> dict[str, Any]:
    return toy_problem.figures(results)
