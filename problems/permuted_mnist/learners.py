"""The learners of Online Permuted MNIST: the published ones, and ours for small networks and few steps."""

from dataclasses import replace

from minilop.fast import BufferedSGD, InPlaceSGD
from minilop.learner_settings import LearnerSettings
from minilop.optimizers import SGD, Adam, MetaOptimize, NetworkIDBD
from minilop.plasticity import ContinualBackprop, GenerateAndTest, L2Init, ReDo, ShrinkAndPerturb
from minilop.plasticity.continual_backprop import PAPER

# The published settings. The paper compares step size 0.003, decay 1e-4, scale 1e-5, rate 1e-6, and 1e-4 for Adam.
_BACKPROP = LearnerSettings(BufferedSGD(step_size=0.003))
_IN_PLACE = LearnerSettings(InPlaceSGD(step_size=0.003))  # for weight decay and for rules that read the weights
_L2 = _IN_PLACE.change(weight_decay=1e-4)
_CONTINUAL_BACKPROP = ContinualBackprop(replacement_rate=1e-6, maturity_threshold=100)
_ADAM = LearnerSettings(Adam(step_size=1e-4))
PUBLISHED_LEARNERS = {
    "backprop": _BACKPROP,
    "l2": _L2,
    "shrink_and_perturb": _L2.with_rules(ShrinkAndPerturb(perturb_scale=1e-5)),
    "continual_backprop": _IN_PLACE.with_rules(_CONTINUAL_BACKPROP),
    "adam": _ADAM,
    "dropout": _BACKPROP.change(dropout=0.1),
    "redo": _IN_PLACE.with_rules(ReDo(redo_period=10_000, redo_scores="period")),  # ours
    "linear": _BACKPROP.change(kind="linear"),
    "l2_init": LearnerSettings(SGD(step_size=0.003), (L2Init(init_decay=1e-4),)),  # ours; not tried at this scale
    **{f"backprop_step_{size:g}": _BACKPROP.change(step_size=size) for size in (0.01, 0.001)},
    **{f"adam_step_{size:g}": _ADAM.change(step_size=size) for size in (3e-5, 5e-5)},
    **{f"l2_decay_{decay:g}": _L2.change(weight_decay=decay) for decay in (1e-3, 1e-5)},
    **{
        f"shrink_and_perturb_scale_{scale:g}": _L2.with_rules(ShrinkAndPerturb(perturb_scale=scale))
        for scale in (1e-4, 1e-6)
    },
    "continual_backprop_paper": _IN_PLACE.with_rules(replace(_CONTINUAL_BACKPROP, **PAPER)),
    **{
        f"continual_backprop_rate_{rate:g}": _IN_PLACE.with_rules(replace(_CONTINUAL_BACKPROP, replacement_rate=rate))
        for rate in (1e-4, 1e-5)
    },
}
MAIN_LEARNERS = tuple(PUBLISHED_LEARNERS)[:8]

# Ours, for small networks and few steps: a larger step size, and remedies that are stronger in proportion.
_SMALL = LearnerSettings(SGD(step_size=0.01))
_SMALL_L2 = _SMALL.change(weight_decay=3e-3)
SMALL_LEARNERS = {
    "backprop": _SMALL,
    "l2": _SMALL_L2,
    "l2_init": _SMALL.with_rules(L2Init(init_decay=3e-3)),  # the strength of L2
    "shrink_and_perturb": _SMALL_L2.with_rules(ShrinkAndPerturb(perturb_scale=1e-3)),
    "continual_backprop": _SMALL.with_rules(ContinualBackprop(replacement_rate=1e-3)),
    "adam": LearnerSettings(Adam(step_size=1e-3)),
    "dropout": _SMALL.change(dropout=0.1),
    "redo": _SMALL.with_rules(ReDo(redo_period=500, redo_scores="period", redo_threshold=0.03)),
    "linear": _SMALL.change(kind="linear"),
}
# Values are ours, from a short search at laptop scale; not tried at paper scale.
STEP_SIZE_LEARNERS = {
    "network_idbd": LearnerSettings(NetworkIDBD(step_size=0.03, meta_step_size=0.03)),
    "metaoptimize": LearnerSettings(MetaOptimize(step_size=1e-4, meta_step_size=1e-3, trace_decay=0.999)),
    "dynamic": LearnerSettings(NetworkIDBD(step_size=0.03, meta_step_size=0.01), (GenerateAndTest(new_inputs="all"),)),
}
