"""The learners of Slowly-Changing Regression: the ones that run by default, and every published setting by its name.

Step sizes, decays, noise and rates are those of the published configuration files. The decay of `l2` and the noise of
`shrink_and_perturb` are ours, from those sweeps; `dropout`, `redo` and those that learn their step sizes are ours altogether.
"""

from dataclasses import replace

from minilop.layers.activation import ActivationName
from minilop.learner import LearnerSettings
from minilop.plasticity.continual_backprop import PAPER
from minilop.plasticity.dynamic import DynamicSettings

ACTIVATIONS: tuple[ActivationName, ...] = ("relu", "tanh", "sigmoid", "leaky_relu", "elu", "swish")
STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of decay and of noise

# The decay beside which the published sweep over the noise of Shrink & Perturb was made.
SHRINK_AND_PERTURB_DECAY = {
    "sgd": {"relu": 1e-2, "leaky_relu": 1e-2, "swish": 1e-2, "tanh": 1e-2, "elu": 1e-3, "sigmoid": 1e-3},
    "adam": {"relu": 1e-2, "leaky_relu": 1e-3, "swish": 1e-3, "tanh": 1e-3, "elu": 1e-4, "sigmoid": 1e-3},
}

_BACKPROP = LearnerSettings(step_size=0.01)
_CONTINUAL_BACKPROP = replace(_BACKPROP, replacement_rate=1e-4, maturity_threshold=10, rounding="chance")


def published_learners() -> dict[str, LearnerSettings]:
    """Every setting of the published configuration files, by a name that says what it is."""
    learners = {}
    for base in (_BACKPROP, replace(_BACKPROP, optimizer="adam")):
        for activation in ACTIVATIONS:
            kind = f"{base.optimizer}_{activation}"
            plain = replace(base, activation=activation)
            shrinking = replace(plain, weight_decay=SHRINK_AND_PERTURB_DECAY[base.optimizer][activation])
            for size in (0.01, 0.003, 0.001):
                learners[f"{kind}_step_{size:g}"] = replace(plain, step_size=size)
            for decay in STRENGTHS + ((1.0,) if activation in ("relu", "leaky_relu", "swish") else ()):
                learners[f"l2_{kind}_decay_{decay:g}"] = replace(plain, weight_decay=decay)
            for scale in STRENGTHS:
                learners[f"shrink_and_perturb_{kind}_scale_{scale:g}"] = replace(shrinking, perturb_scale=scale)
    for step_size in (0.03, 0.01, 0.003, 0.001, 0.0003):
        learners[f"linear_step_{step_size:g}"] = replace(_BACKPROP, network="linear", step_size=step_size)
    learners["continual_backprop_paper"] = replace(_CONTINUAL_BACKPROP, **PAPER)
    for rate in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2):
        learners[f"continual_backprop_rate_{rate:g}"] = replace(_CONTINUAL_BACKPROP, replacement_rate=rate)
    return learners


MAIN_LEARNERS = {
    "backprop": _BACKPROP,
    "l2": replace(_BACKPROP, weight_decay=1e-3),
    "shrink_and_perturb": replace(_BACKPROP, weight_decay=1e-2, perturb_scale=1e-3),
    "continual_backprop": _CONTINUAL_BACKPROP,
    "adam": replace(_BACKPROP, optimizer="adam"),
    "dropout": replace(_BACKPROP, dropout=0.1),  # ours: the published problem has neither dropout nor ReDo
    "redo": replace(_BACKPROP, redo_period=1000, redo_scores="period"),
    "linear": replace(_BACKPROP, network="linear"),
}
ACTIVATION_LEARNERS: dict[str, LearnerSettings] = {
    name: replace(_BACKPROP, activation=name) for name in ACTIVATIONS[1:]
}
# Values are ours, from a short search. They descend half the squared error: a step size of 0.01 is 0.005 of the others.
_NETWORK_IDBD = LearnerSettings(optimizer="network_idbd", step_size=0.003, meta_step_size=0.03)
_LINEAR = replace(_NETWORK_IDBD, network="linear", step_size=0.01, meta_step_size=0.01)
STEP_SIZE_LEARNERS: dict[str, LearnerSettings | DynamicSettings] = {
    "idbd": replace(_LINEAR, normalized=False, overshoot_limit=0.0),
    "autostep": _LINEAR,  # with the transient bound
    "network_idbd": _NETWORK_IDBD,
    "dynamic": DynamicSettings(activation="relu", meta_step_size=0.01),
}
LEARNERS: dict[str, LearnerSettings | DynamicSettings] = {
    **MAIN_LEARNERS,
    **ACTIVATION_LEARNERS,
    **STEP_SIZE_LEARNERS,
    **published_learners(),
}
