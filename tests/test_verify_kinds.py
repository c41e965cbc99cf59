"""The verification kit on all kinds of cases but learners of networks: the reference agrees, known mistakes are named."""

import dataclasses

import pytest
from numpy.testing import assert_array_equal

from minilop.verify.adapter import run_adapter
from minilop.verify.case_files import load_case
from minilop.verify.catalogue import FAMILIES
from minilop.verify.comparison import compare
from minilop.verify.diagnosis import diagnose, mistaken_trace
from minilop.verify.generate import make_case
from minilop.verify.mistakes import MISTAKES
from minilop.verify.mistakes.linear import MistakenAutostep, MistakenIDBD, MistakenLMS
from minilop.verify.mistakes.prediction import MistakenSwiftTD, MistakenTDLambda, MistakenTIDBD, MistakenTrueOnline
from minilop.verify.reference import Reference
from minilop.verify.reference.linear import LinearReference
from minilop.verify.reference.prediction import PredictionReference

KINDS = ("linear", "prediction", "function", "ppo")
IDS = {kind: [each.id for family in FAMILIES for each in family.DESCRIPTIONS if each.kind == kind] for kind in KINDS}
EVERY = [case_id for ids in IDS.values() for case_id in ids]
every_case = pytest.mark.parametrize("case_id", EVERY)
both_modes = pytest.mark.parametrize("mode", ["free", "resync"])


# --- the reference ----------------------------------------------------------------------------------------------------


def check_agreement(case, mode):
    verdict = compare(case, run_adapter(Reference(), case, mode))
    assert verdict.agrees, verdict.difference
    assert not verdict.not_returned
    assert verdict.largest_error < 0.25  # of what is allowed, so that others have room for their rounding


@both_modes
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@every_case
def test_the_reference_agrees_with_its_own_vectors(case_id, dtype, mode):
    check_agreement(load_case(case_id).cast(dtype), mode)


@pytest.mark.usefixtures("strict")
@every_case
def test_the_reference_agrees_where_the_rules_of_cupy_hold(case_id):
    check_agreement(load_case(case_id), "free")


@pytest.mark.parametrize("family", [each for each in FAMILIES if each.DESCRIPTIONS[0].kind in KINDS])
def test_the_vectors_are_those_that_are_made_from_the_catalogue(family):
    for description in family.DESCRIPTIONS:
        stored = load_case(description.id)
        made = make_case(description.case(family.make_inputs(description.case({}))))
        assert stored.inputs.keys() == made.inputs.keys()
        for name, array in made.inputs.items():
            assert_array_equal(array, stored.inputs[name])
        assert compare(stored, made.expected).largest_error < 1e-3  # another machine's exp may round otherwise


@pytest.mark.quick
@every_case
def test_float32_holds_what_is_given(case_id):
    for name, array in load_case(case_id).inputs.items():
        if array.dtype.kind == "f" and not name.startswith("state/"):
            assert_array_equal(array, array.astype("float32"))


# --- known mistakes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, mistake in MISTAKES.items() if mistake.kind in KINDS])
def test_a_known_mistake_is_caught_by_the_cases_that_flag_it_and_named(name):
    mistake = MISTAKES[name]
    flagged = [case for case in map(load_case, IDS[mistake.kind]) if name in case.flags]
    assert flagged
    for case in flagged:
        for mode in ("free",) if mistake.kind == "function" else ("free", "resync"):
            trace = mistaken_trace(case, mistake, mode)
            assert not compare(case, trace).agrees
            assert [each.name for each in diagnose(case, trace, mode)[0]] == [name]


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_known_mistakes_look_alike(kind):
    """Over all cases of their kind: for any two there is one on which their traces differ."""
    cases = [load_case(case_id) for case_id in IDS[kind]]
    mistakes = [mistake for mistake in MISTAKES.values() if mistake.kind == kind]
    traces = [
        {case.id: mistaken_trace(case, mistake) for case in cases if mistake.applies(case)} for mistake in mistakes
    ]
    for place, first in enumerate(traces):
        for second in traces[:place]:
            alike = [
                case.id in first and case.id in second and compare(case, first[case.id], second[case.id]).agrees
                for case in cases
                if case.id in first or case.id in second
            ]
            assert not all(alike)


@pytest.mark.quick
def test_flags_name_known_mistakes_and_pages_are_files():
    names = {flag for case_id in EVERY for flag in load_case(case_id).flags}
    assert names <= MISTAKES.keys()


@both_modes
@pytest.mark.parametrize("case_id", IDS["linear"] + IDS["prediction"])
def test_the_methods_that_are_written_again_are_right_without_a_mistake(case_id, mode):
    """So that a mistake is the only thing by which its trace differs."""
    kinds = {
        "lms": MistakenLMS,
        "idbd": MistakenIDBD,
        "autostep": MistakenAutostep,
        "td_lambda": MistakenTDLambda,
        "true_online_td_lambda": MistakenTrueOnline,
        "tidbd": MistakenTIDBD,
        "swift_td": MistakenSwiftTD,
    }
    case = load_case(case_id)
    player = LinearReference if case.kind == "linear" else PredictionReference
    methods = {name: lambda weights, kind=kind, **given: kind("none", weights, **given) for name, kind in kinds.items()}
    assert compare(case, run_adapter(player(methods), case, mode)).agrees


@pytest.mark.quick
def test_a_step_that_is_left_out_is_found_where_it_happens():
    """Not a known mistake: weights that stay as they are in step 7."""

    class Sleeper(Reference):
        """Adapters are ordinary classes; this one dozes off once."""

        steps = 0

        def step(self, x, y, draws):
            self.steps += 1
            before = self.reference.state()["weights"]
            found = super().step(x, y, draws)
            if self.steps == 8:
                self.reference.method.weights[...] = before
                found["update/weights"] = before
            return found

    case = load_case("idbd/learned_step_sizes")
    difference = compare(case, run_adapter(Sleeper(), case)).difference
    assert (difference.step, difference.name) == (7, "update/weights")
    trace = run_adapter(Sleeper(), case)
    assert diagnose(case, trace)[0] == []


@pytest.mark.quick
def test_a_function_is_called_with_arrays_and_settings():
    seen = {}

    class Listener:
        def call(self, function, arguments):
            seen.update(arguments, function=function)
            return Reference().call(function, arguments)

    case = load_case("functions/advantages_bootstrapped")
    run_adapter(Listener(), dataclasses.replace(case, steps=1))
    assert seen["function"] == "advantages"
    assert (seen["time_outs"], seen["discount"], seen["lambda_"]) == ("bootstrapped", 0.97, 0.9)
    assert seen["rewards"].shape == (12, 2)
