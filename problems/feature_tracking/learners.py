"""The learners of feature tracking: one, two or three levels of adaptation, and variants."""

from minilop.learner_settings import LearnerSettings, NetworkSettings
from minilop.optimizers import SGD, NetworkIDBD
from minilop.plasticity import GenerateAndTest

_TANH = NetworkSettings(activation="tanh")
_SGD = LearnerSettings(SGD(step_size=0.01), network=_TANH)
TWO_LEVELS = LearnerSettings(NetworkIDBD(step_size=0.003, meta_step_size=0.03), network=_TANH)
THREE_LEVELS = TWO_LEVELS.with_rules(GenerateAndTest())
STEP_SIZES = (0.003, 0.005, 0.01, 0.02)  # of SGD, for comparison
MAIN_LEARNERS = {
    "sgd": _SGD,
    "sgd_bounded": TWO_LEVELS.change(step_size=0.01, meta_step_size=0.0),
    "sgd_units": THREE_LEVELS.change(step_size=0.01, meta_step_size=0.0, overshoot_limit=0.0, inherit=False),
    "two_levels": TWO_LEVELS,
    "three_levels": THREE_LEVELS,
    "without_inheritance": THREE_LEVELS.change(inherit=False),
    "dense_units": THREE_LEVELS.change(new_inputs="all"),
}
LEARNERS = {
    **MAIN_LEARNERS,
    "uniform_inputs": THREE_LEVELS.change(new_inputs="uniform"),
    "two_levels_diagonal": TWO_LEVELS.change(curvature="gauss_newton_diagonal"),
    "two_levels_gauss_newton": TWO_LEVELS.change(curvature="gauss_newton"),
    "three_levels_diagonal": THREE_LEVELS.change(curvature="gauss_newton_diagonal"),
    "three_levels_gauss_newton": THREE_LEVELS.change(curvature="gauss_newton"),
    **{f"sgd_step_{step_size:g}": _SGD.change(step_size=step_size) for step_size in STEP_SIZES if step_size != 0.01},
}
DEFAULT_LEARNERS = tuple(MAIN_LEARNERS)
SMOKE_LEARNERS = {  # replace units within the few examples of smoke scale
    name: learner.change(maturity_threshold=100, replacement_rate=0.005) if learner.rules else learner
    for name, learner in LEARNERS.items()
}
