"""Mistakes of rules that replace units: what each is called, what it does, and where."""

from functools import partial

from minilop.verify.mistakes import replacement, utility_and_budget
from minilop.verify.mistakes.conditions import (
    accumulates,
    both,
    contributes,
    follows_mean,
    has,
    has_mini_batch,
    has_normalization,
    idbd,
    is_mlp,
    keeps_state,
    mistake,
    number_of_units,
    redoes,
    replaces,
    replaces_or_redoes,
    uses,
)
from minilop.verify.mistakes.replacement import replacing
from minilop.verify.mistakes.utility_and_budget import ChangedSettings
from minilop.verify.reference.learners import LearnerReference

CONTINUAL_BACKPROP = "minilop/plasticity/continual_backprop.py"
UTILITY = "minilop/plasticity/utility.py"
NUM_TO_REPLACE = "minilop/plasticity/num_to_replace.py"
REFERENCE = "minilop/verify/reference/continual_backprop.py"  # what only the kit has
UNITS = "minilop/plasticity/units.py"
REDO = "minilop/plasticity/redo.py"
INITIALIZATION = "minilop/initialization.py"
ADAM = "minilop/optimizers/adam.py"
NETWORK_IDBD = "minilop/optimizers/network_idbd.py"

JUDGING = [
    mistake(
        "raw_running_average",
        CONTINUAL_BACKPROP,
        partial(LearnerReference, {"bias_correction": False}),
        both(replaces, has(bias_correction=True)),
        "Units are ranked by the running average of their utility itself; it must first be divided by 1 - decay_rate^age.",
    ),
    mistake(
        "age_at_least",
        CONTINUAL_BACKPROP,
        partial(ChangedSettings, lambda case: {"maturity_threshold": case.settings["maturity_threshold"] - 1}),
        replaces,
        "A unit counts as mature from age = maturity_threshold on; its age must be above it.",
    ),
    mistake(
        "signed_activation",
        UTILITY,
        partial(LearnerReference, rule=utility_and_budget.OtherActivity),
        both(contributes, has(activation="tanh")),
        "The contribution takes the mean of a unit's features; it must be that of their absolute values.",
    ),
    mistake(
        "absolute_of_mean",
        UTILITY,
        partial(LearnerReference, rule=utility_and_budget.AbsoluteOfMean),
        both(contributes, has(activation="tanh"), has_mini_batch),
        "The contribution takes the absolute value of the mini-batch's mean feature; it must be the mean of absolute values.",
    ),
    mistake(
        "activity_summed_over_mini_batch",
        UTILITY,
        partial(LearnerReference, rule=utility_and_budget.SumOverMiniBatch),
        both(contributes, has_mini_batch),
        "The contribution sums |h| over the mini-batch; it must be the mean.",
    ),
    mistake(
        "signed_outgoing_weights",
        UTILITY,
        partial(LearnerReference, rule=utility_and_budget.SignedOutgoingWeights),
        both(
            replaces,
            is_mlp,
            has(utility=("contribution", "weight", "zero_contribution", "adaptable_contribution")),
        ),
        "The utility sums outgoing weights with their signs; it must sum their absolute values.",
    ),
    mistake(
        "outgoing_mean_for_sum",
        UTILITY,
        partial(LearnerReference, {"outgoing": "mean"}),
        both(replaces, has(outgoing="sum")),
        "The utility takes the mean of the absolute outgoing weights; this case asks for their sum.",
    ),
    mistake(
        "outgoing_sum_for_mean",
        UTILITY,
        partial(LearnerReference, {"outgoing": "sum"}),
        both(replaces, has(outgoing="mean")),
        "The utility takes the sum of the absolute outgoing weights; this case asks for their mean.",
    ),
    mistake(
        "corrected_running_average",
        CONTINUAL_BACKPROP,
        partial(LearnerReference, {"bias_correction": True}),
        both(replaces, has(bias_correction=False, average="utility")),
        "Units are ranked by the running average divided by 1 - decay_rate^age; this case asks for the average itself.",
    ),
    mistake(
        "lifetime_activity_ignored",
        CONTINUAL_BACKPROP,
        partial(LearnerReference, {"utility": "weight"}),
        both(replaces, has(average="lifetime_activity", utility="contribution")),
        "Units are ranked by their outgoing weights alone; this case asks for these times the lifetime activity.",
    ),
    mistake(
        "lifetime_activity_counted",
        REFERENCE,
        partial(LearnerReference, {"utility": "contribution"}),
        both(replaces, has(average="lifetime_activity", utility="weight")),
        "Units are ranked by their outgoing weights times the lifetime activity; this case asks for the weights alone.",
    ),
    mistake(
        "decay_rate_swapped",
        CONTINUAL_BACKPROP,
        partial(ChangedSettings, lambda case: {"decay_rate": 1 - case.settings["decay_rate"]}),
        both(replaces, uses("decay_rate")),
        "decay_rate is the share of the new value in running averages; it must be that of the old one.",
    ),
    mistake(
        "centre_not_corrected",
        UTILITY,
        partial(LearnerReference, rule=utility_and_budget.CentreNotCorrected),
        follows_mean,
        "Features are centred on the running mean itself; it must first be divided by 1 - decay_rate^age.",
    ),
    mistake(
        "centre_is_previous_mean",
        REFERENCE,
        partial(LearnerReference, {"centre": "previous"}),
        both(replaces, has(centre="updated")),
        "Features are centred on the running mean from before this mini-batch; this case asks for the updated one.",
    ),
    mistake(
        "centre_is_updated_mean",
        REFERENCE,
        partial(LearnerReference, {"centre": "updated"}),
        both(replaces, has(centre="previous")),
        "Features are centred on the updated running mean; this case asks for the one from before this mini-batch.",
    ),
    mistake(
        "utility_before_update",
        CONTINUAL_BACKPROP,
        utility_and_budget.UtilityBeforeUpdate,
        both(replaces, has(when="after_update")),
        "Utilities are of the weights from before the optimizer's step; they must be of the weights after it.",
    ),
    mistake(
        "replaced_before_update",
        CONTINUAL_BACKPROP,
        partial(LearnerReference, {"when": "before_update"}),
        both(replaces, has(when="after_update")),
        "Units are judged and replaced before the optimizer's step; this case asks for it after the step.",
    ),
    mistake(
        "replaced_after_update",
        CONTINUAL_BACKPROP,
        partial(LearnerReference, {"when": "after_update"}),
        both(replaces, has(when="before_update")),
        "Units are judged and replaced after the optimizer's step; this case asks for it before the step.",
    ),
    mistake(
        "shortcuts_ignored",
        REFERENCE,
        partial(LearnerReference, {"shortcuts": "ignored"}),
        both(replaces, has(shortcuts="cut")),
        "Weights that shortcuts lead to are ignored; this case asks for them to count in the utility and to be set to 0.",
    ),
]
BUDGETS = [
    mistake(
        "budget_counts_immature",
        NUM_TO_REPLACE,
        partial(LearnerReference, rule=utility_and_budget.BudgetCountsImmature),
        replaces,
        "What is due grows by replacement_rate times the number of all units, from the first step on; immature ones must not count.",
    ),
    mistake(
        "budget_counts_all_units",
        NUM_TO_REPLACE,
        partial(LearnerReference, {"rate_counts": "all"}),
        both(replaces, has(rate_counts="eligible")),
        "As soon as one unit is mature, all count in what is due; this case counts the mature ones alone.",
    ),
    mistake(
        "budget_counts_eligible_units",
        NUM_TO_REPLACE,
        partial(LearnerReference, {"rate_counts": "eligible"}),
        both(replaces, has(rate_counts="all")),
        "Mature units alone count in what is due; this case counts all as soon as one is mature.",
    ),
    mistake(
        "budget_reset_to_zero",
        NUM_TO_REPLACE,
        partial(LearnerReference, rule=utility_and_budget.BudgetResetToZero),
        accumulates,
        "A replacement sets what is due to 0; it must subtract the number of units replaced, so that the fraction is carried over.",
    ),
]
WHAT_IS_KEPT = [
    mistake(
        "outgoing_weights_kept",
        UNITS,
        replacing(replacement.OutgoingWeightsKept),
        replaces_or_redoes,
        "A replaced unit keeps its outgoing weights; they must be set to 0, so that the new unit is not heard yet.",
    ),
    mistake(
        "incoming_bias_kept",
        UNITS,
        replacing(replacement.IncomingBiasKept),
        replaces_or_redoes,
        "A replaced unit keeps its bias; it must be set to 0.",
    ),
    mistake(
        "normalization_kept",
        UNITS,
        replacing(replacement.NormalizationKept),
        both(replaces, has_normalization),
        "A replaced unit keeps scale, bias and running statistics of its normalization; they must become 1, 0, 0 and 1.",
    ),
    mistake(
        "consumers_bias_kept",
        REFERENCE,
        replacing(replacement.ConsumersBiasKept),
        both(replaces, uses("transfer_bias")),
        "Consumers of a replaced unit keep their biases; its mean feature times its weight must be added to each.",
    ),
    mistake(
        "age_kept",
        CONTINUAL_BACKPROP,
        partial(LearnerReference, rule=replacement.AgeKept),
        replaces,
        "A replaced unit keeps its age; it must become 0, or nothing protects the new unit.",
    ),
    mistake(
        "utility_kept",
        CONTINUAL_BACKPROP,
        partial(LearnerReference, rule=replacement.UtilityKept),
        both(replaces, has(average="utility"), lambda case: case.settings["utility"] != "random"),
        "A replaced unit keeps the running average of its utility; it must become 0.",
    ),
    mistake(
        "lifetime_activity_reset",
        CONTINUAL_BACKPROP,
        partial(LearnerReference, rule=replacement.UtilityReset),
        both(replaces, has(average="lifetime_activity")),
        "A replaced unit's lifetime activity becomes 0; this convention, as published, keeps it.",
    ),
    mistake(
        "mean_feature_kept",
        CONTINUAL_BACKPROP,
        partial(LearnerReference, rule=replacement.MeanFeatureKept),
        follows_mean,
        "A replaced unit keeps its mean feature; it must become 0.",
    ),
    mistake(
        "moments_kept",
        UNITS,
        replacing(replacement.OptimizerStateKept),
        keeps_state,
        "The optimizer's state of a replaced unit's weights is kept (momentum, moments or step sizes); this case asks for it to be reset.",
    ),
    mistake(
        "outgoing_moments_kept",
        UNITS,
        replacing(replacement.OutgoingStateKept),
        keeps_state,
        "The optimizer's state is reset for the weights that enter a replaced unit alone; it must be for those that leave it, too.",
    ),
    mistake(
        "adam_step_kept",
        ADAM,
        replacing(replacement.AdamStepKept),
        both(keeps_state, has(optimizer="adam")),
        "Moments of a replaced unit's weights are reset but not Adam's count of their steps; the bias correction must begin anew, too.",
    ),
    mistake(
        "step_sizes_reset_to_zero",
        NETWORK_IDBD,
        replacing(replacement.StepSizesResetToZero),
        both(keeps_state, idbd),
        "The step sizes of a replaced unit's weights become 0; they must become the initial one, or the new unit never learns.",
    ),
    mistake(
        "step_sizes_reset_to_one",
        NETWORK_IDBD,
        replacing(replacement.StepSizesResetToOne),
        both(keeps_state, idbd),
        "The logarithms of a replaced unit's step sizes become 0, and its step sizes 1; they must become the initial one.",
    ),
]
FRESH_WEIGHTS = [
    mistake(
        "fresh_weights_by_default_law",
        INITIALIZATION,
        replacing(replacement.FreshWeightsByDefaultLaw),
        both(replaces_or_redoes, has(initialization="kaiming", fresh_weights="initial")),
        "Fresh weights are drawn up to sqrt(1 / fan_in), PyTorch's default; the bound must be that of the initial law.",
    ),
    mistake(
        "fresh_weights_by_fan_out",
        INITIALIZATION,
        replacing(replacement.FreshWeightsByFanOut),
        both(replaces_or_redoes, has(initialization="kaiming")),
        "Fresh weights are scaled by the number of units of the layer; it must be by the number of inputs of a unit.",
    ),
    mistake(
        "fresh_weights_without_gain",
        INITIALIZATION,
        replacing(replacement.FreshWeightsWithoutGain),
        both(replaces_or_redoes, has(initialization="kaiming", fresh_weights="initial")),
        "The bound of fresh weights lacks the gain of the activation; it must be gain sqrt(3 / fan_in).",
    ),
]
DORMANT = [
    mistake(
        "redo_share_of_sum",
        REDO,
        partial(
            ChangedSettings,
            lambda case: {"redo_threshold": case.settings["redo_threshold"] * number_of_units(case)},
        ),
        both(redoes, is_mlp, uses("redo_threshold")),
        "A unit's activity is compared with the sum over its layer; it must be with the mean.",
    ),
    mistake(
        "redo_strictly_below",
        REDO,
        partial(LearnerReference, redo_rule=utility_and_budget.StrictlyBelow),
        both(redoes, has(redo_threshold=0.0)),
        "Units are dormant below the threshold; they must be at it, too, or silent ones stay where it is 0.",
    ),
    mistake(
        "redo_signed_activity",
        REDO,
        partial(LearnerReference, redo_rule=utility_and_budget.SignedReDo),
        both(redoes, has(activation="tanh"), has_mini_batch),
        "The score takes the absolute value of the mini-batch's mean feature; it must be the mean of absolute values.",
    ),
]
MISTAKES = [*JUDGING, *BUDGETS, *WHAT_IS_KEPT, *FRESH_WEIGHTS, *DORMANT]
