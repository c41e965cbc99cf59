"""In which cases a mistake of a learner can be made."""

from collections.abc import Callable
from typing import Any

from minilop.verify.case import Case
from minilop.verify.mistakes.mistake import Mistake
from minilop.verify.reference.continual_backprop import CENTRED


def mistake(name: str, page: str, make: Callable[[], Any], applies: Callable[[Case], bool], says: str) -> Mistake:
    """One of these, with the sentence last."""
    return Mistake(name, says, page, "learner", make, applies)


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


accumulates = both(replaces, has(rounding=("accumulate", "single")))
follows_mean = both(replaces, lambda case: case.settings["utility"] in CENTRED or bool(case.settings["transfer_bias"]))
contributes = both(replaces, has(utility="contribution", average="utility"))
squared = has(loss="squared_error")
decays = both(uses("weight_decay"), has(optimizer=("sgd", "adam")))
idbd = has(optimizer="network_idbd")
metaoptimizes = has(optimizer="metaoptimize")


def number_of_units(case: Case) -> int:
    """Of the only hidden layer of a multilayer perceptron."""
    return int(case.sizes["layers"][1])
