"""Tracking: a linear target changes continually, and how fast each weight should learn can itself be learned.

Three small experiments, one after the other in every run. Every example is seen once, predicted, then learned from.

    compared   20 inputs, normal with variance 1; the target is the sum of the first 5, each with a sign; every 20
               examples one of the five signs, by chance, is inverted. The 15 other inputs are irrelevant. Squared error
               of the last 10,000 of 30,000 examples, for many step sizes or meta step sizes side by side. Sutton
               (1992), experiment 1
    observed   the same stream for 250,000 examples with one meta step size: the learned step sizes over time, relevant
               inputs against irrelevant ones. Sutton (1992), experiment 2
    rates      one input, always 1: z <- z + sigma N(0, 1), and the target is z + N(0, 1), at four noise levels sigma.
               The Kalman filter gives the best step size and its error in closed form, see `best_rate`

Draws, with the number t of the example as step:

    purpose           step                        numbers
    tracking input    t                           normal, one an input
    initial sign      0                           whole number below 2, one a relevant input; the sign is 2 w - 1
    inverted sign     number of the change, > 0   whole number: which relevant input
    tracking noise    t                           normal, where `target_noise` is not 0
    rate drift        t                           normal, times each sigma
    rate noise        t                           normal, the same for each sigma

Sutton (1992), "Adapting bias by gradient descent"; Mahmood et al. (2012) for Autostep; the `rates` after Degris et al.
(2024). Paper - published code - ours: no published code was found. IDBD's meta step size in `observed`, 0.001, and the
initial step sizes of 0.05 are the paper's, as are lengths and numbers of inputs; the ranges that are compared are ours.
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

TITLE = "Tracking: learned step sizes for linear prediction of a target that keeps changing"
