"""The learners of Slowly-Changing Regression: those that run by default, and all published settings by name.

Step sizes, decays, noise and rates are those of the published configuration files. We chose the decay of `l2` and the
noise of `shrink_and_perturb` from these sweeps. All settings of `dropout`, `redo` and the learners with learned step
sizes are ours.
"""

from dataclasses import replace

from minilop.layers.activation import ActivationName
from minilop.learner_settings import LearnerSettings
from minilop.optimizers import SGD, Adam, NetworkIDBD
from minilop.plasticity import ContinualBackprop, GenerateAndTest, L2Init, ReDo, ShrinkAndPerturb
from minilop.plasticity.continual_backprop import PAPER

ACTIVATIONS: tuple[ActivationName, ...] = ("relu", "tanh", "sigmoid", "leaky_relu", "elu", "swish")
STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of weight decay and of noise

# The weight decay with which the published sweep over the noise of Shrink & Perturb was run.
SHRINK_AND_PERTURB_DECAY = {
    "sgd": {"relu": 1e-2, "leaky_relu": 1e-2, "swish": 1e-2, "tanh": 1e-2, "elu": 1e-3, "sigmoid": 1e-3},
    "adam": {"relu": 1e-2, "leaky_relu": 1e-3, "swish": 1e-3, "tanh": 1e-3, "elu": 1e-4, "sigmoid": 1e-3},
}

_BACKPROP = LearnerSettings(SGD(step_size=0.01))
_ADAM = LearnerSettings(Adam(step_size=0.01))
_CONTINUAL_BACKPROP = ContinualBackprop(replacement_rate=1e-4, maturity_threshold=10, rounding="chance")


def published_learners() -> dict[str, LearnerSettings]:
    """All settings of the published configuration files, by descriptive names."""
    learners = {}
    for base in (_BACKPROP, _ADAM):
        optimizer = base.optimizer.name
        for activation in ACTIVATIONS:
            kind = f"{optimizer}_{activation}"
            plain = base.change(activation=activation)
            shrinking = plain.change(weight_decay=SHRINK_AND_PERTURB_DECAY[optimizer][activation])
            for size in (0.01, 0.003, 0.001):
                learners[f"{kind}_step_{size:g}"] = plain.change(step_size=size)
            for decay in STRENGTHS + ((1.0,) if activation in ("relu", "leaky_relu", "swish") else ()):
                learners[f"l2_{kind}_decay_{decay:g}"] = plain.change(weight_decay=decay)
            for scale in STRENGTHS:
                perturbed = shrinking.with_rules(ShrinkAndPerturb(perturb_scale=scale))
                learners[f"shrink_and_perturb_{kind}_scale_{scale:g}"] = perturbed
    for step_size in (0.03, 0.01, 0.003, 0.001, 0.0003):
        learners[f"linear_step_{step_size:g}"] = _BACKPROP.change(kind="linear", step_size=step_size)
    learners["continual_backprop_paper"] = _BACKPROP.with_rules(replace(_CONTINUAL_BACKPROP, **PAPER))
    for rate in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2):
        rule = replace(_CONTINUAL_BACKPROP, replacement_rate=rate)
        learners[f"continual_backprop_rate_{rate:g}"] = _BACKPROP.with_rules(rule)
    return learners


MAIN_LEARNERS = {
    "backprop": _BACKPROP,
    "l2": _BACKPROP.change(weight_decay=1e-3),
    "shrink_and_perturb": _BACKPROP.change(weight_decay=1e-2).with_rules(ShrinkAndPerturb(perturb_scale=1e-3)),
    "continual_backprop": _BACKPROP.with_rules(_CONTINUAL_BACKPROP),
    "adam": _ADAM,
    "dropout": _BACKPROP.change(dropout=0.1),  # ours: the published problem has neither dropout nor ReDo
    "redo": _BACKPROP.with_rules(ReDo(redo_period=1000, redo_scores="period")),
    "linear": _BACKPROP.change(kind="linear"),
}
ACTIVATION_LEARNERS: dict[str, LearnerSettings] = {name: _BACKPROP.change(activation=name) for name in ACTIVATIONS[1:]}
# Values are ours, from a short search. The loss is half the squared error: step size 0.01 here is 0.005 of the others.
_NETWORK_IDBD = LearnerSettings(NetworkIDBD(step_size=0.003, meta_step_size=0.03))
_LINEAR = _NETWORK_IDBD.change(kind="linear", step_size=0.01, meta_step_size=0.01)
STEP_SIZE_LEARNERS = {
    "idbd": _LINEAR.change(normalized=False, overshoot_limit=0.0),
    "autostep": _LINEAR,  # with the transient bound
    "network_idbd": _NETWORK_IDBD,
    "dynamic": _NETWORK_IDBD.change(meta_step_size=0.01).with_rules(GenerateAndTest()),
}
LEARNERS = {
    **MAIN_LEARNERS,
    "l2_init": _BACKPROP.with_rules(L2Init(init_decay=1e-3)),  # ours; the strength of L2
    **ACTIVATION_LEARNERS,
    **STEP_SIZE_LEARNERS,
    **published_learners(),
}
