"""The label, color and line style of each learner in all figures.

A method has the same color in every figure. Reference levels are dashed. A learner that is not in the table is labeled
with its own name and gets a color that no learner in the table has.
"""

from functools import partial

from minilop.experiment import figures
from minilop.experiment.figures import Appearance

DASHED = "--"

APPEARANCES = {
    "backprop": Appearance("Backprop", "C3"),
    "l2": Appearance("L2", "C4"),
    "l2_init": Appearance("L2 Init", "indigo"),
    "shrink_and_perturb": Appearance("Shrink & Perturb", "C1"),
    "continual_backprop": Appearance("Continual Backprop", "C0"),
    "continual_backprop_l2": Appearance("Continual Backprop + L2", "navy"),
    "adam": Appearance("Adam", "C5"),
    "dropout": Appearance("Dropout", "C6"),
    "redo": Appearance("ReDo", "C8"),
    "batch_norm": Appearance("Batch norm", "C9"),
    "fresh": Appearance("Fresh network", "C2", DASHED),
    "head_reset": Appearance("Head resetting", "C2"),
    "linear": Appearance("Linear", "0.45", DASHED),
    "retrained": Appearance("Retrained network", "0.45", DASHED),
    "ppo": Appearance("PPO", "C3"),
    "ppo_tuned_adam": Appearance("Tuned Adam", "C5"),
    "ppo_l2": Appearance("L2", "C4"),
    "ppo_continual_backprop": Appearance("Continual Backprop", "C0"),
    "ppo_redo": Appearance("ReDo", "C8"),
    "ppo_fresh": Appearance("Fresh network", "0.45", DASHED),
    "lms": Appearance("LMS", "C3"),
    "idbd": Appearance("IDBD", "C0"),
    "autostep": Appearance("Autostep", "C1"),
    "autostep_transient": Appearance("Autostep, transient bound", "C2"),
    "network_idbd": Appearance("Network IDBD", "C9"),
    "metaoptimize": Appearance("MetaOptimize", "C6"),
    "dynamic": Appearance("Dynamic", "C2"),
    "td_lambda": Appearance("TD(λ)", "0.45"),
    "true_online_td": Appearance("True online TD(λ)", "C3"),
    "tidbd": Appearance("TIDBD", "C4"),
    "tidbd_normalized": Appearance("Autostep-TIDBD", "C1"),
    "swift_td": Appearance("SwiftTD", "C0"),
    "swift_td_bound_0.5": Appearance("SwiftTD, bound 0.5", "C2"),
    "sgd": Appearance("SGD", "C3"),
    "sgd_bounded": Appearance("SGD, bounded", "C4"),
    "sgd_units": Appearance("SGD, units replaced", "C5"),
    "two_levels": Appearance("Two levels", "C1"),
    "three_levels": Appearance("Three levels", "C0"),
    "without_inheritance": Appearance("Without inheritance", "C2"),
    "dense_units": Appearance("Dense units", "C8"),
    "uniform_inputs": Appearance("Inputs at random", "C9"),
    "elu": Appearance("ELU"),
    "leaky_relu": Appearance("Leaky ReLU"),
}


def appearance_of(learner: str) -> Appearance:
    """The learner's entry in the table, or else one made from its name."""
    return APPEARANCES.get(learner) or Appearance(learner.replace("_", " ").capitalize())


def label_of(learner: str) -> str:
    """The label of a learner in figures."""
    return appearance_of(learner).label


def color_of(learner: str) -> str:
    """A learner's color. A learner without one is black here; `draw_curves` gives such learners different colors."""
    return appearance_of(learner).color or "black"


# The functions of minilop.experiment know no learner by name; these use the table.
draw_curves = partial(figures.draw_curves, appearance_of=appearance_of)
describe_runs = partial(figures.describe_runs, appearance_of=appearance_of)
