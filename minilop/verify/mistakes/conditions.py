"""How a mistake of a learner is made, and in which cases it can be."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from minilop.verify.case import Case
from minilop.verify.mistakes.mistake import Mistake
from minilop.verify.reference.continual_backprop import CENTRED, ContinualBackprop
from minilop.verify.reference.learners import LearnerReference
from minilop.verify.reference.redo import ReDo


def mistake(name: str, page: str, make: Callable[[], Any], applies: Callable[[Case], bool], says: str) -> Mistake:
    """One of these, with the sentence last."""
    return Mistake(name, says, page, "learner", make, applies)


class Family(list[Mistake]):
    """Mistakes in their order. A class that makes one says in its docstring what the mistake is."""

    def made_by(self, name: str, page: str, applies: Callable[[Case], bool]) -> Callable[[type], type]:
        """Add the mistake of the decorated class: of a part of rules that replace units, or of a reference."""

        def add(part: type) -> type:
            self.append(mistake(name, page, with_part(part), applies, " ".join((part.__doc__ or "").split())))
            return part

        return add

    def changed(
        self, name: str, page: str, settings: Mapping[str, Any], applies: Callable[[Case], bool], says: str
    ) -> None:
        """Add the mistake of other settings than the case's."""
        self.append(mistake(name, page, partial(LearnerReference, settings), applies, says))


def with_part(part: Any) -> Callable[[], LearnerReference]:
    """A maker of references whose rule is this one, or of which both rules have this part."""
    if issubclass(part, LearnerReference):
        return part
    if issubclass(part, ContinualBackprop):
        return partial(LearnerReference, rule=part)
    if issubclass(part, ReDo):
        return partial(LearnerReference, redo_rule=part)
    rule, redo_rule = (type(part.__name__, (part, each), {}) for each in (ContinualBackprop, ReDo))
    return partial(LearnerReference, rule=rule, redo_rule=redo_rule)


def has(**wanted: Any) -> Callable[[Case], bool]:
    """Whether settings have one of the values, a value or a tuple of them."""

    def applies(case: Case) -> bool:
        return all(
            case.settings.get(name) in (values if isinstance(values, tuple) else (values,))
            for name, values in wanted.items()
        )

    return applies


def uses(*names: str) -> Callable[[Case], bool]:
    """Whether all these settings are there and turned on."""
    return lambda case: all(case.settings.get(name) for name in names)


def both(*conditions: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: all(condition(case) for condition in conditions)


replaces = uses("replacement_rate")


def redoes(case: Case) -> bool:
    return bool(case.settings.get("redo_period"))


def replaces_or_redoes(case: Case) -> bool:
    return replaces(case) or redoes(case)


def has_mini_batch(case: Case) -> bool:
    return case.sizes["batch"] > 1


def several_outputs(case: Case) -> bool:
    return (case.sizes["layers"][-1] if "layers" in case.sizes else case.sizes["outputs"]) > 1


def is_mlp(case: Case) -> bool:
    return case.sizes["network"] == "mlp"


def has_normalization(case: Case) -> bool:
    return case.sizes["network"] == "resnet"


def keeps_state(case: Case) -> bool:
    """Whether the optimizer has a state that replacement resets."""
    return replaces_or_redoes(case) and bool(case.settings["reset_optimizer_state"])


def has_several_hidden_layers(case: Case) -> bool:
    return not is_mlp(case) or len(case.sizes["layers"]) > 3


def leaves_moments(case: Case) -> bool:
    """Whether the optimizer has moments that replacement leaves alone."""
    has_moments = case.settings["optimizer"] == "adam" or bool(case.settings.get("momentum"))
    return replaces_or_redoes(case) and has_moments and not case.settings["reset_optimizer_state"]


def is_random(case: Case) -> bool:
    return bool(case.settings["utility"] == "random")


accumulates = both(replaces, has(rounding=("accumulate", "single")))
follows_mean = both(replaces, lambda case: case.settings["utility"] in CENTRED or bool(case.settings["transfer_bias"]))
corrects = both(replaces, has(bias_correction=True, average="utility"), lambda case: not is_random(case))
contributes = both(replaces, has(utility="contribution", average="utility"))
squared = has(loss="squared_error")
decays = both(uses("weight_decay"), has(optimizer=("sgd", "adam")))
idbd = has(optimizer="network_idbd")
metaoptimizes = has(optimizer="metaoptimize")
