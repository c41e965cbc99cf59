"""Finds the file of minilop that explains a quantity of a case."""

from pathlib import Path

from minilop.verify.case import Case
from minilop.verify.reference.settings import learner_settings, missing_in_library

PACKAGE = Path(__file__).parents[1]
OTHER = "docs/verify.md"
REFERENCE = "minilop/verify/reference/continual_backprop.py"
FOLDERS = ("optimizers", "plasticity", "prediction", "reinforcement")
OF_PHASE = {
    "forward": "networks.py",
    "loss": "losses.py",
    "backward": "layers/dense.py",
    "perturb": "plasticity/shrink_and_perturb.py",
    "age_and_utility": "plasticity/continual_backprop.py",
    "selection": "plasticity/continual_backprop.py",
    "replacement": "plasticity/continual_backprop.py",
}
OF_FUNCTION = {
    "squared_error": "losses.py",
    "half_squared_error": "losses.py",
    "cross_entropy": "losses.py",
    "initial_weight_scale": "initialization.py",
    "utilities": "plasticity/utility.py",
    "ranks": "diagnostics.py",
    "silent_units": "diagnostics.py",
    "weight_magnitude": "diagnostics.py",
    "learning_curve": "experiment/figures.py",
    "redo_dormant_units": "plasticity/redo.py",
    "advantages": "reinforcement/advantages.py",
    "normalized_advantages": "reinforcement/advantages.py",
    "gaussian_log_probability": "reinforcement/policies.py",
    "ppo_policy_loss": "reinforcement/ppo.py",
    "ppo_value_loss": "reinforcement/ppo.py",
}


def page_of(case: Case, name: str) -> str:
    """The file of minilop for a quantity ("<phase>/<quantity>/<layer>"); docs/verify.md if there is none.

    A suite with the name of a file is explained in that file, except for the phases common to all learners and for
    conventions that only the kit has.
    """
    if case.kind == "function":
        page = OF_FUNCTION.get(str(case.settings["function"]))
        return f"minilop/{page}" if page else OTHER
    if case.kind == "curve":
        return OTHER
    phase = name.split("/")[0]
    shared = case.kind == "learner" and phase in ("forward", "loss", "backward", "perturb")
    if shared:
        return f"minilop/{OF_PHASE[phase]}"
    if case.kind == "learner" and phase == "optimizer":
        return f"minilop/optimizers/{case.settings.get('optimizer', 'sgd')}.py"
    if case.kind == "learner" and missing_in_library(learner_settings(case)):
        return REFERENCE
    for folder in FOLDERS:
        if (PACKAGE / folder / f"{case.suite}.py").exists():
            return f"minilop/{folder}/{case.suite}.py"
    if (PACKAGE / f"{case.suite}.py").exists():
        return f"minilop/{case.suite}.py"
    return f"minilop/{OF_PHASE[phase]}" if phase in OF_PHASE else OTHER
