"""Builds the mistakes of learners, and the conditions for the cases in which they are possible."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from minilop.verify.case import Case
from minilop.verify.mistakes.mistake import Mistake
from minilop.verify.reference.continual_backprop import CENTERED, ContinualBackprop
from minilop.verify.reference.learners import LearnerReference
from minilop.verify.reference.redo import ReDo


def mistake(name: str, page: str, make: Callable[[], Any], applies: Callable[[Case], bool], says: str) -> Mistake:
    """A mistake of a learner."""
    return Mistake(name, says, page, "learner", make, applies)


class Family(list[Mistake]):
    """An ordered list of mistakes."""

    def from_class(self, name: str, page: str, applies: Callable[[Case], bool]) -> Callable[[type], type]:
        """Add the mistake of the decorated class, a rule or a reference; its docstring is the description."""

        def add(part: type) -> type:
            self.append(mistake(name, page, with_part(part), applies, " ".join((part.__doc__ or "").split())))
            return part

        return add

    def from_settings(
        self, name: str, page: str, settings: Mapping[str, Any], applies: Callable[[Case], bool], says: str
    ) -> None:
        """Add a mistake that uses settings other than the case's."""
        self.append(mistake(name, page, partial(LearnerReference, settings), applies, says))


def with_part(part: Any) -> Callable[[], LearnerReference]:
    """A factory of references that use this rule, or this base class in both of their rules."""
    if issubclass(part, LearnerReference):
        return part
    if issubclass(part, ContinualBackprop):
        return partial(LearnerReference, rule=part)
    if issubclass(part, ReDo):
        return partial(LearnerReference, redo_rule=part)
    rule, redo_rule = (type(part.__name__, (part, each), {}) for each in (ContinualBackprop, ReDo))
    return partial(LearnerReference, rule=rule, redo_rule=redo_rule)


def has(**wanted: Any) -> Callable[[Case], bool]:
    """Whether each setting has the given value, or one of a tuple of values."""

    def applies(case: Case) -> bool:
        return all(
            case.settings.get(name) in (values if isinstance(values, tuple) else (values,))
            for name, values in wanted.items()
        )

    return applies


def uses(*names: str) -> Callable[[Case], bool]:
    """Whether all these settings are present and not 0 or False."""
    return lambda case: all(case.settings.get(name) for name in names)


def every(*conditions: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: all(condition(case) for condition in conditions)


replaces = uses("replacement_rate")


def uses_redo(case: Case) -> bool:
    return bool(case.settings.get("redo_period"))


def replaces_units(case: Case) -> bool:
    return replaces(case) or uses_redo(case)


def has_mini_batch(case: Case) -> bool:
    return case.sizes["batch"] > 1


def several_outputs(case: Case) -> bool:
    return (case.sizes["layers"][-1] if "layers" in case.sizes else case.sizes["outputs"]) > 1


def is_mlp(case: Case) -> bool:
    return case.sizes["network"] == "mlp"


def has_normalization(case: Case) -> bool:
    return case.sizes["network"] == "resnet"


def keeps_state(case: Case) -> bool:
    """Whether a replacement resets the optimizer's state."""
    return replaces_units(case) and bool(case.settings["reset_optimizer_state"])


def has_several_hidden_layers(case: Case) -> bool:
    return not is_mlp(case) or len(case.sizes["layers"]) > 3


def leaves_moments(case: Case) -> bool:
    """Whether the optimizer has moments that a replacement does not reset."""
    has_moments = case.settings["optimizer"] == "adam" or bool(case.settings.get("momentum"))
    return replaces_units(case) and has_moments and not case.settings["reset_optimizer_state"]


def is_random(case: Case) -> bool:
    return bool(case.settings["utility"] == "random")


accumulates = every(replaces, has(rounding=("accumulate", "single")))
follows_mean = every(
    replaces, lambda case: case.settings["utility"] in CENTERED or bool(case.settings["transfer_bias"])
)
corrects = every(replaces, has(bias_correction=True, average="utility"), lambda case: not is_random(case))
contributes = every(replaces, has(utility="contribution", average="utility"))
idbd = has(optimizer="network_idbd")
metaoptimizes = has(optimizer="metaoptimize")
