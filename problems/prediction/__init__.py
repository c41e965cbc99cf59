"""Prediction: an outcome follows a cue ten steps later, and the learner predicts the value at every step.

The stream never ends. Cues come at random times. Exactly 10 steps after a cue there is an outcome: the cumulant is 1 at
that step and 0 at all others. The next cue comes 15 to 39 steps after the outcome, each with the same probability. The
features are 12 taps, of which tap k is 1 exactly k steps after a cue; 20 distractors, each of which is 1 with
probability 0.1; and a bias, always 1. The learner predicts the discounted sum of the later cumulants, with gamma = 0.9.
Each prediction is scored before the learner updates.

    value error  =  (v_t - G_t)^2 averaged        G_t = sum_j gamma^(j - 1) r_(t + j), computed from the whole stream

Predicting 0 at every step has an error of 0.150. An error of about 0.007 is unavoidable, because the time of the next
cue is random.

Draws, where t is the index of the step:

    purpose      step   values
    cue gap      0      integers below 25; the gap before each cue, including the first, is 15 more
    distractor   t      uniform, one for each distractor, which is 1 if the value is below the probability

The stream is ours. It resembles those on which such methods are usually compared; we know of no small stream with
published numbers. The methods are in `minilop.prediction`.
"""

from problems.prediction.figures import figures
from problems.prediction.learners import LEARNERS, PredictionLearner
from problems.prediction.problem import data_source, start
from problems.prediction.settings import SCALES, Settings
from problems.prediction.stream import CueStream

__all__ = [
    "LEARNERS",
    "SCALES",
    "TITLE",
    "CueStream",
    "PredictionLearner",
    "Settings",
    "data_source",
    "figures",
    "start",
]

TITLE = "Prediction: temporal-difference learning with fixed and with learned step sizes"
