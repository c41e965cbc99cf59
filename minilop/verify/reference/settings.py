"""The settings of a learner of networks, flat as in the cases, and their conversion to the library's settings."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from minilop.checks import check_choices
from minilop.layers.activation import ActivationName
from minilop.learner_settings import LearnerSettings, NetworkSettings
from minilop.optimizers import SGD, Adam, MetaOptimize, NetworkIDBD
from minilop.optimizers.optimizer import Optimizer
from minilop.plasticity.continual_backprop import ContinualBackprop
from minilop.plasticity.redo import ReDo
from minilop.plasticity.shrink_and_perturb import ShrinkAndPerturb
from minilop.verify.case import Case

Utility = Literal[
    "contribution", "weight", "adaptation", "zero_contribution", "adaptable_contribution", "feature_by_input", "random"
]
OPTIMIZERS: dict[str, type[Optimizer]] = {each.name: each for each in (SGD, Adam, NetworkIDBD, MetaOptimize)}


@dataclass(frozen=True)
class ReferenceSettings:
    """The settings of a learner of the kit; by default no rule is used.

    The names are those of the library's optimizers and rules. Only the kit has the conventions `centre`,
    `transfer_bias`, `shortcuts` and four of the utilities; see `continual_backprop.py` in this folder.
    """

    activation: ActivationName = "relu"
    dtype: Literal["float32", "float64"] = "float64"

    optimizer: Literal["sgd", "adam", "network_idbd", "metaoptimize"] = "sgd"
    step_size: float = 0.01
    momentum: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    meta_step_size: float = 0.01
    tau: float = 1e4
    curvature: Literal["layer_local", "gauss_newton_diagonal", "gauss_newton"] = "layer_local"
    overshoot_limit: float = 1.0
    normalized: bool = True
    base: Literal["sgd", "momentum", "adam", "lion"] = "adam"
    meta: Literal["sgd", "momentum", "adam", "lion"] = "adam"
    step_sizes: Literal["scalar", "layer", "weight"] = "scalar"
    trace_decay: float = 1.0
    order: Literal["meta_last", "meta_first"] = "meta_last"

    perturb_scale: float = 0.0  # 0 for no Shrink & Perturb

    replacement_rate: float = 0.0  # 0 for no Continual Backprop
    maturity_threshold: int = 100
    decay_rate: float = 0.99
    utility: Utility = "adaptable_contribution"
    outgoing: Literal["mean", "sum"] = "mean"
    average: Literal["utility", "lifetime_activity"] = "utility"
    centre: Literal["updated", "previous"] = "updated"  # the running mean with or without the current mini-batch
    bias_correction: bool = True
    rate_counts: Literal["eligible", "all"] = "eligible"
    rounding: Literal["accumulate", "chance", "single"] = "accumulate"
    initialization: Literal["kaiming", "kaiming_normal", "default"] = "kaiming"  # the distribution of fresh weights
    fresh_weights: Literal["initial", "normal"] = "initial"
    transfer_bias: bool = False  # add the mean output of a replaced unit to its consumers' biases
    reset_optimizer_state: bool = False
    when: Literal["after_update", "before_update"] = "after_update"
    shortcuts: Literal["ignored", "cut"] = "ignored"  # of a residual network

    redo_period: int = 0  # 0 for no ReDo
    redo_threshold: float = 0.1
    redo_scores: Literal["mini_batch", "period"] = "mini_batch"

    def __post_init__(self) -> None:
        """Raises ValueError for unknown values and for values that contradict each other."""
        check_choices(self)
        if self.average == "lifetime_activity" and self.utility not in ("weight", "contribution"):
            raise ValueError("average=lifetime_activity needs utility=weight or utility=contribution")
        if self.shortcuts == "cut" and self.transfer_bias:
            raise ValueError("transfer_bias changes only the biases of the next layer; choose shortcuts=ignored")


NAMES = {field.name for field in fields(ReferenceSettings)}


def learner_settings(case: Case, **changes: Any) -> ReferenceSettings:
    """The settings of the learner in a case."""
    given = {name: value for name, value in case.settings.items() if name in NAMES}
    return ReferenceSettings(**{**given, "dtype": case.dtype, **changes})


def missing_in_library(settings: ReferenceSettings) -> list[str]:
    """The names of the conventions whose value only the kit has; empty without Continual Backprop."""
    if not settings.replacement_rate:
        return []
    defaults = {"centre": "updated", "transfer_bias": False, "shortcuts": "ignored"}
    missing = [name for name, default in defaults.items() if getattr(settings, name) != default]
    utilities = get_args(get_type_hints(ContinualBackprop)["utility"])
    return missing if settings.utility in utilities else ["utility", *missing]


def part_of(settings: ReferenceSettings, kind: type) -> Any:
    """The library's optimizer or rule of this kind, with the settings that it takes."""
    names = [field.name for field in fields(kind) if field.name in NAMES]
    return kind(**{name: getattr(settings, name) for name in names})


def optimizer_of(settings: ReferenceSettings) -> Optimizer:
    """The library's optimizer, not yet bound to parameters."""
    return part_of(settings, OPTIMIZERS[settings.optimizer])


def library_settings(settings: ReferenceSettings) -> LearnerSettings:
    """The settings of the same learner in the library, with the rules in the order in which they act.

    Raises ValueError for a utility that only the kit has.
    """
    used = {
        ShrinkAndPerturb: settings.perturb_scale,
        ContinualBackprop: settings.replacement_rate,
        ReDo: settings.redo_period,
    }
    rules = tuple(part_of(settings, kind) for kind, amount in used.items() if amount)
    network = NetworkSettings(activation=settings.activation)
    return LearnerSettings(optimizer_of(settings), rules, network, dtype=settings.dtype)
