"""Mistakes of losses, optimizers and noise: what each is called, what it does, and where."""

from functools import partial

from minilop.verify.mistakes import learned_step_sizes, updates
from minilop.verify.mistakes.conditions import (
    both,
    decays,
    has,
    has_mini_batch,
    idbd,
    metaoptimizes,
    mistake,
    several_outputs,
    squared,
    uses,
)
from minilop.verify.reference.learners import LearnerReference

LOSSES = "minilop/losses.py"
SGD = "minilop/optimizers/sgd.py"
ADAM = "minilop/optimizers/adam.py"
NOISE = "minilop/plasticity/shrink_and_perturb.py"
META = "minilop/optimizers/metaoptimize.py"
NETWORK_IDBD = "minilop/optimizers/network_idbd.py"

LOSSES_AND_DECAY = [
    mistake(
        "loss_summed_over_mini_batch",
        LOSSES,
        updates.LossSummedOverMiniBatch,
        has_mini_batch,
        "The gradient is that of the sum of the losses over the mini-batch; it must be of their mean.",
    ),
    mistake(
        "squared_error_halved",
        LOSSES,
        updates.SquaredErrorHalved,
        squared,
        "The squared error has a factor 1/2; this case asks for it without, so gradients are twice as large.",
    ),
    mistake(
        "half_squared_error_doubled",
        LOSSES,
        updates.SquaredErrorDoubled,
        has(loss="half_squared_error"),
        "The squared error lacks its factor 1/2, which this case asks for.",
    ),
    mistake(
        "loss_averaged_over_outputs",
        LOSSES,
        updates.LossAveragedOverOutputs,
        both(several_outputs, has(loss=("squared_error", "half_squared_error"))),
        "The squared error is averaged over outputs, as torch.nn.MSELoss does; it must be summed over them.",
    ),
    mistake(
        "decay_skips_biases",
        SGD,
        updates.OtherDecay,
        decays,
        "Weight decay leaves out the biases; it must act on them as well.",
    ),
    mistake(
        "decay_doubled",
        SGD,
        updates.DecayDoubled,
        decays,
        "Twice weight_decay times the parameter is added to the gradient; it must be once, that of half the squared length.",
    ),
    mistake(
        "decay_decoupled",
        SGD,
        updates.DecayDecoupled,
        both(decays, lambda case: bool(case.settings["optimizer"] == "adam" or case.settings.get("momentum"))),
        "Weight decay acts on the parameters apart from the gradient, as in AdamW; it must be added to the gradient.",
    ),
    mistake(
        "decay_not_scaled_by_step_size",
        SGD,
        updates.DecayNotScaledByStepSize,
        decays,
        "Parameters shrink by weight_decay at each step; it must be added to the gradient, and so be scaled by the step size.",
    ),
    mistake(
        "momentum_dampened",
        SGD,
        updates.MomentumDampened,
        uses("momentum"),
        "The gradient enters the velocity times 1 - momentum; it must enter it whole.",
    ),
    mistake(
        "nesterov",
        SGD,
        updates.Nesterov,
        uses("momentum"),
        "The step is Nesterov's, gradient + momentum velocity; it must be the velocity.",
    ),
]
ADAMS = [
    mistake(
        "adam_epsilon_before_correction",
        ADAM,
        updates.OtherAdam,
        has(optimizer="adam"),
        "Epsilon is added to the root of the second moment before its bias is corrected; it must be added after that.",
    ),
    mistake(
        "adam_epsilon_inside_root",
        ADAM,
        updates.AdamEpsilonInsideRoot,
        has(optimizer="adam"),
        "Epsilon is added to the corrected second moment under the root; it must be added to the root.",
    ),
    mistake(
        "adam_published_correction",
        ADAM,
        updates.AdamPublishedCorrection,
        has(optimizer="adam"),
        "The step is multiplied by 1 - beta_2^t; it must be by sqrt(1 - beta_2^t) / (1 - beta_1^t).",
    ),
    mistake(
        "adam_uncorrected",
        ADAM,
        updates.AdamUncorrected,
        has(optimizer="adam"),
        "Adam's moments are used as they are; each must be divided by its bias correction.",
    ),
]
NOISES = [
    mistake(
        "noise_skips_biases",
        NOISE,
        updates.OtherNoise,
        uses("perturb_scale"),
        "Noise leaves out the biases; it must be added to them as well.",
    ),
    mistake(
        "noise_scaled_by_step_size",
        NOISE,
        updates.NoiseScaledByStepSize,
        uses("perturb_scale"),
        "Noise is multiplied by the step size; it must be by perturb_scale alone.",
    ),
    mistake(
        "noise_as_variance",
        NOISE,
        updates.NoiseAsVariance,
        uses("perturb_scale"),
        "perturb_scale is taken for the variance of the noise; it is its standard deviation.",
    ),
    mistake(
        "noise_before_update",
        NOISE,
        updates.NoiseBeforeUpdate,
        uses("perturb_scale"),
        "Noise is added before the optimizer's step; it must be added after it.",
    ),
]
STEP_SIZES = [
    mistake(
        "meta_trace_first",
        META,
        learned_step_sizes.MetaTraceFirst,
        both(metaoptimizes, has(order="meta_last")),
        "The meta-gradient takes the trace that has this step's change in it; it must be the trace from before.",
    ),
    mistake(
        "meta_first_for_last",
        META,
        partial(LearnerReference, {"order": "meta_first"}),
        both(metaoptimizes, has(order="meta_last")),
        "Step sizes are adapted before they are used; this case asks for it after the step.",
    ),
    mistake(
        "meta_last_for_first",
        META,
        partial(LearnerReference, {"order": "meta_last"}),
        both(metaoptimizes, has(order="meta_first")),
        "Step sizes are adapted after the step; this case asks for it before they are used.",
    ),
    mistake(
        "meta_gradient_averaged",
        META,
        learned_step_sizes.MetaGradientAveraged,
        both(metaoptimizes, has(step_sizes=("scalar", "layer"), meta=("sgd", "adam"))),
        "The meta-gradient of a block is the mean over its weights; it must be the sum.",
    ),
    mistake(
        "meta_decay_coupled",
        META,
        learned_step_sizes.MetaDecayCoupled,
        both(metaoptimizes, uses("weight_decay")),
        "Weight decay is added to the gradient; in MetaOptimize it is decoupled from it.",
    ),
    mistake(
        "meta_trace_not_decayed",
        META,
        learned_step_sizes.MetaTraceNotDecayed,
        both(metaoptimizes, uses("weight_decay")),
        "Traces do not shrink with the weight decay; they must be multiplied by 1 - weight_decay step_size.",
    ),
    mistake(
        "lion_momentum_first",
        META,
        learned_step_sizes.LionMomentumFirst,
        both(metaoptimizes, has(meta="lion")),
        "Lion takes the sign of its updated momentum; it must be that of beta_1 momentum + (1 - beta_1) gradient, before the update.",
    ),
    mistake(
        "idbd_without_positive_part",
        NETWORK_IDBD,
        learned_step_sizes.IDBDWithoutPositivePart,
        both(idbd, has(curvature=("layer_local", "gauss_newton_diagonal"))),
        "Traces are multiplied by 1 - step size times curvature even where that is negative; it must then be by 0.",
    ),
    mistake(
        "idbd_unbounded",
        NETWORK_IDBD,
        partial(LearnerReference, {"overshoot_limit": 0.0}),
        both(idbd, uses("overshoot_limit")),
        "Nothing bounds the overshoot; step sizes must be divided by M wherever it is above 1.",
    ),
    mistake(
        "idbd_bound_stored",
        NETWORK_IDBD,
        learned_step_sizes.IDBDBoundStored,
        both(idbd, uses("overshoot_limit")),
        "The bound M divides the stored step sizes for good; it must divide those of this step alone.",
    ),
    mistake(
        "idbd_new_trace_first",
        NETWORK_IDBD,
        learned_step_sizes.IDBDNewTraceFirst,
        both(idbd, has(curvature=("layer_local", "gauss_newton_diagonal"))),
        "Step sizes are adapted with the traces of after this step; it must be with those from before.",
    ),
    mistake(
        "idbd_sensitivity_of_loss",
        NETWORK_IDBD,
        learned_step_sizes.IDBDSensitivityOfLoss,
        both(idbd, lambda case: bool(case.settings["overshoot_limit"]) or case.settings["curvature"] != "layer_local"),
        "The gradient of the loss stands for that of the output; it must be divided by the length of the error.",
    ),
    mistake(
        "idbd_trace_not_forgotten",
        NETWORK_IDBD,
        learned_step_sizes.IDBDTraceNotForgotten,
        both(idbd, has(curvature=("layer_local", "gauss_newton_diagonal"))),
        "Traces only grow by each change; they must first be multiplied by [1 - step size times curvature]+.",
    ),
    mistake(
        "idbd_unnormalized",
        NETWORK_IDBD,
        partial(LearnerReference, {"normalized": False}),
        both(idbd, has(normalized=True)),
        "The logarithms of step sizes move by the meta-gradient itself; it must be divided by its normalizer.",
    ),
]
MISTAKES = [*LOSSES_AND_DECAY, *ADAMS, *NOISES, *STEP_SIZES]
