"""The library's own learners against the vectors of the kit, whose reference has replacement rules of its own."""

import numpy as np
import pytest

from minilop import losses
from minilop.backend import to_host, xp
from minilop.learner_settings import make_learner
from minilop.plasticity import ContinualBackprop
from minilop.verify.case import load_case
from minilop.verify.catalogue.learners import DESCRIPTIONS
from minilop.verify.reference.networks import make_network, named, of_one_run, running_statistics
from minilop.verify.reference.settings import learner_settings, library_settings, missing_in_library

MISSING = {each.id: missing_in_library(learner_settings(each.case({}))) for each in DESCRIPTIONS}
KIT_ONLY = {case_id: missing for case_id, missing in MISSING.items() if missing}
LIBRARY_CASES = [each.id for each in DESCRIPTIONS if each.id not in KIT_ONLY]


@pytest.mark.quick
def test_only_these_cases_have_conventions_that_the_library_lacks():
    """Every other case of a learner is played below."""
    assert KIT_ONLY == {
        "continual_backprop/weight": ["utility"],
        "continual_backprop/adaptation": ["utility"],
        "continual_backprop/zero_contribution": ["utility"],
        "continual_backprop/feature_by_input": ["utility"],
        "continual_backprop/previous_centre": ["utility", "centre"],
        "continual_backprop/lifetime_weight": ["utility"],
        "continual_backprop/transfer_bias": ["transfer_bias"],
        "continual_backprop/residual_cut": ["shortcuts"],
    }


@pytest.mark.quick
def test_the_library_refuses_the_conventions_that_it_lacks():
    assert not {"centre", "transfer_bias", "shortcuts"} & set(ContinualBackprop.__dataclass_fields__)
    for case_id, missing in KIT_ONLY.items():
        if "utility" in missing:
            with pytest.raises(ValueError, match="utility must be"):
                library_settings(learner_settings(load_case(case_id)))


def play_library(case):
    """Parameters and running statistics after each step, (T, ...) by "<quantity>/<layer>"."""
    settings = learner_settings(case)
    network = make_network(case, settings)
    for name, view in named(network, network.parameters):
        view[...] = xp.asarray(case.parameters[name].reshape(view.shape))
    learner = make_learner(network, getattr(losses, case.settings["loss"]), library_settings(settings))
    steps = []
    for step in range(case.steps):
        x, y, _ = case.example(step)
        learner.step(xp.asarray(x)[None], xp.asarray(y)[None])
        arrays = {name: of_one_run(name, view) for name, view in named(network, network.parameters)}
        arrays |= {name: to_host(array)[0].copy() for name, array in running_statistics(network)}
        steps.append(arrays)
    return {name: np.stack([arrays[name] for arrays in steps]) for name in steps[0]}


@pytest.mark.parametrize("case_id", LIBRARY_CASES)
def test_the_library_learns_as_the_vectors_say(case_id):
    """After the last phase of every step; rounding, amplified by learning, is all that may differ."""
    case = load_case(case_id)
    found = play_library(case)
    assert set(case.parameters) <= set(found) <= set(case.final_names)
    for name, array in found.items():
        expected = case.expected[case.final_names[name]]
        error = abs(array.reshape(expected.shape) - expected).max()
        assert error <= 1e-10 * abs(expected).max(), (name, error)
