"""Prediction: a cue is followed by an outcome ten steps later, and the value of every moment is to be predicted.

One endless stream. At random times there is a cue, and exactly 10 steps later an outcome, the cumulant 1 (else it is
0); the next cue comes 15 to 39 steps after the outcome, each with the same probability. Features: 12 taps, of which tap
k is 1 k steps after a cue; 20 distractors that are 1 by chance, with probability 0.1; and a bias, always 1. What is
predicted at a step is the discounted sum of the cumulants that come later, with gamma = 0.9. Every prediction counts as
it was made, before learning from the step.

    value error  =  (v_t - G_t)^2 averaged        G_t = sum_j gamma^(j - 1) r_(t + j), known to whoever made the stream

To predict 0 always has an error of 0.150; the next cue cannot be foreseen, which leaves about 0.007.

Draws, with the number t of the step as step:

    purpose      step   numbers
    cue gap      0      whole numbers below 25: 15 more is the gap before each cue, the first cue too
    distractor   t      uniform, one a distractor: 1 where it is below the probability

The stream is ours, after those with which such methods are usually compared; no small stream with published numbers was
found. For the methods see `minilop.prediction`.
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

TITLE = "Prediction: temporal-difference learning of a value, with given and with learned step sizes"
