"""Tracking: a linear target changes continually, and learners can learn the step size of each weight.

Each run consists of three small experiments in sequence. The learner sees every example once: it predicts the target,
then learns from it.

    compared   20 inputs, normal with variance 1. The target is the sum of the first 5 inputs, each times its own sign;
               the 15 others are irrelevant. After every 20 examples, one of the five signs, chosen at random, is
               inverted. Measured is the squared error of the last 10,000 of 30,000 examples, for many step sizes or
               meta step sizes side by side. Sutton (1992), experiment 1
    observed   the same stream for 250,000 examples with one meta step size. Measured are the learned step sizes of
               relevant and irrelevant inputs over time. Sutton (1992), experiment 2
    rates      one input, always 1: z <- z + sigma N(0, 1), and the target is z + N(0, 1), at four noise levels sigma.
               The Kalman filter gives the best step size and its error in closed form, see `best_rate`

Draws, where t is the index of the example:

    purpose           step                       values
    tracking input    t                          normal, one for each input
    initial sign      0                          integers w below 2, one for each relevant input; the sign is 2 w - 1
    inverted sign     index of the change, > 0   integer: the index of the relevant input
    tracking noise    t                          normal, if `target_noise` is not 0
    rate drift        t                          normal, multiplied by each sigma
    rate noise        t                          normal, the same for each sigma

Sutton (1992), "Adapting bias by gradient descent"; Mahmood et al. (2012) for Autostep; `rates` after Degris et al.
(2024). Paper - published code - ours: we know of no published code. The meta step size of IDBD in `observed`, 0.001,
the initial step sizes of 0.05, the lengths and the numbers of inputs are the paper's; the compared ranges are ours.
"""

from problems.tracking.closed_form import best_rate, error_at_rate
from problems.tracking.figures import figures
from problems.tracking.learners import LEARNERS, TrackingLearner
from problems.tracking.problem import data_source, start
from problems.tracking.settings import SCALES, Settings
from problems.tracking.streams import RateStream, SignStream

__all__ = [
    "LEARNERS",
    "SCALES",
    "TITLE",
    "RateStream",
    "Settings",
    "SignStream",
    "TrackingLearner",
    "best_rate",
    "data_source",
    "error_at_rate",
    "figures",
    "start",
]

TITLE = "Tracking: learned step sizes for linear prediction of a changing target"
