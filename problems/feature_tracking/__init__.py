"""Feature tracking: a network tracks a target that depends on changing features of a few relevant inputs.

There are 200 inputs, normal with variance 1, of which only the first 5 are relevant. A teacher with 5 features computes
the target:

    y = sum_j s_j max(0, v_j . x) + N(0, 1)         v_j of length sqrt(2), in a random direction of the 5; s_j = +-1

Every 500 examples, one of the signs s_j, chosen at random, is inverted. A student network with 10 hidden units sees
every example once: it predicts the target, then learns. Each run consists of two streams in sequence:

    redrawn   in addition, every 5,000 examples one of the features v_j, chosen at random, is redrawn, so that learned
              features become obsolete; 100,000 examples
    fixed     the features do not change; 60,000 examples

With the teacher known, the error would be 1, that of the noise. The problem rewards learning step sizes, because
irrelevant inputs need small ones, and replacing units, because old features become useless. All values are ours. The
initial weights of the student are uniform within 1 / sqrt(fan-in), its biases are 0.

Draws, where t is the index of the example and m that of the redrawing:

    purpose                    step                      values
    feature input              t                         normal, one for each input
    feature noise              t                         normal
    teacher feature            m, 0 at first; slot j     normal, one for each relevant input; v_j has this direction and
                                                         the length sqrt(2)
    teacher sign               0                         integers w below 2, one for each feature; the sign is 2 w - 1
    inverted teacher sign      index of the change, > 0  integer: the index of the feature
    redrawn teacher feature    m, > 0                    integer: the index of the feature
    diagnostic feature input   0                         normal, one for each input and example
"""

from problems.feature_tracking.figures import figures
from problems.feature_tracking.learners import LEARNERS
from problems.feature_tracking.problem import FeatureStream, data_source, start
from problems.feature_tracking.settings import SCALES, Settings
from problems.feature_tracking.teacher import Teacher

__all__ = ["LEARNERS", "SCALES", "TITLE", "FeatureStream", "Settings", "Teacher", "data_source", "figures", "start"]

TITLE = "Feature tracking: weights, step sizes and units that adapt to changing features"
