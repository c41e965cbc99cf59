"""Feature tracking: a network follows a target whose features, hidden in many irrelevant inputs, keep changing.

200 inputs, normal with variance 1, of which the first 5 matter. The target is made by a teacher of 5 features:

    y = sum_j s_j max(0, v_j . x) + N(0, 1)         v_j of length sqrt(2), in a random direction of the 5; s_j = +-1

Every 500 examples one sign s_j, by chance, is inverted. A network with 10 hidden units sees every example once,
predicts, then learns. Two streams, one after the other in every run:

    redrawn   besides, every 5,000 examples one teacher feature v_j, by chance, is drawn anew, so that features
              themselves go out of date; 100,000 examples
    fixed     features stay what they are; 60,000 examples

To know the teacher would leave an error of 1, the noise. The problem was made so that there is something to learn about
step sizes (irrelevant inputs want small ones) and about units (old features must go). All values are ours. Weights of
the student begin uniform within 1 / sqrt(fan-in), biases at 0.

Draws, each named by its step:

    purpose                    step                       numbers
    feature input              t                          normal, one an input
    feature noise              t                          normal
    teacher feature            m of drawing it, slot j    normal, one a relevant input; v_j is sqrt(2) along it; m = 0
                                                          at first
    teacher sign               0                          whole number below 2, one a feature; the sign is 2 w - 1
    inverted teacher sign      number of the change, > 0  whole number: which feature
    redrawn teacher feature    m, > 0                     whole number: which feature
    diagnostic feature input   0                          normal, one an input and example
"""

from problems.feature_tracking.figures import figures
from problems.feature_tracking.learners import LEARNERS
from problems.feature_tracking.problem import FeatureStream, data_source, start
from problems.feature_tracking.settings import SCALES, Settings
from problems.feature_tracking.teacher import Teacher

__all__ = ["LEARNERS", "SCALES", "TITLE", "FeatureStream", "Settings", "Teacher", "data_source", "figures", "start"]

TITLE = "Feature tracking: weights, step sizes and units that adapt to features which go out of date"
