"""The library's own learners judged by the kit, as anybody's are; its reference has replacement rules of its own."""

import pytest

from minilop.plasticity import ContinualBackprop
from minilop.verify.case_files import case_ids, load_case
from minilop.verify.catalogue.learners import DESCRIPTIONS
from minilop.verify.judging import judge_case
from minilop.verify.library import Library
from minilop.verify.reference.settings import learner_settings, library_settings, missing_in_library

MISSING = {each.id: missing_in_library(learner_settings(each.case({}))) for each in DESCRIPTIONS}
KIT_ONLY = {case_id: missing for case_id, missing in MISSING.items() if missing}
OF_UNITS = ("replacement/age", "replacement/utility", "selection/replaced", "selection/units_to_replace")


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
        "continual_backprop/residual_cut_reset": ["shortcuts"],
        "continual_backprop/transfer_bias_several": ["transfer_bias"],
    }


@pytest.mark.quick
def test_the_library_refuses_the_conventions_that_it_lacks():
    assert not {"centre", "transfer_bias", "shortcuts"} & set(ContinualBackprop.__dataclass_fields__)
    for case_id, missing in KIT_ONLY.items():
        if "utility" in missing:
            with pytest.raises(ValueError, match="utility must be"):
                library_settings(learner_settings(load_case(case_id)))


@pytest.mark.parametrize("case_id", case_ids())
def test_the_library_learns_as_the_vectors_say(case_id):
    """In both modes, and in single precision; skipped are the conventions that it lacks, and no other case."""
    for mode, dtype in (("free", "float64"), ("resync", "float32")):
        judgment = judge_case(Library, case_id, mode, dtype)
        if case_id in KIT_ONLY or case_id.startswith("functions/utilities"):
            assert judgment.outcome == "skipped" and judgment.reason
            continue
        assert judgment.outcome == "agrees", judgment.verdict
        if judgment.case.kind == "learner":
            check_what_is_returned(judgment)


def check_what_is_returned(judgment):
    """All but utilities before a replacement, and parameters between noise and replacement."""
    assert judgment.verdict.largest_error < 0.25
    for name in judgment.verdict.not_returned:
        assert name.startswith(("age_and_utility/", "perturb/")), name
    if judgment.case.settings.get("replacement_rate"):
        returned = {name.rsplit("/", 1)[0] for name in judgment.verdict.compared}
        assert {name for name in OF_UNITS if f"{name}/0" in judgment.case.expected} <= returned
