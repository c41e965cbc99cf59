"""The verification kit on linear methods: its vectors are those of slow loops over weights, and show what they are to show."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_autostep import slow_autostep
from test_idbd import slow_idbd
from test_prediction import per_step, slow_swift_td, slow_tidbd, slow_true_online

from minilop.verify.case_files import load_case
from minilop.verify.catalogue import linear, prediction

pytestmark = pytest.mark.quick

IDS = {"linear": [each.id for each in linear.DESCRIPTIONS], "prediction": [each.id for each in prediction.DESCRIPTIONS]}

# Rounding of 1e-16 in 100 steps of sums of 6 numbers; exp and log of step sizes round differently here and there.
CLOSE = {"rtol": 0, "atol": 1e-11}


# --- slow definitions, after one step, after some, after all ----------------------------------------------------------


def prefixes(case):
    return [1, case.steps // 3, case.steps]


def arguments(case, *names):
    return [case.settings[name] for name in names]


@pytest.mark.parametrize("case_id", [each for each in IDS["linear"] if each.startswith("lms/")])
def test_lms_vectors_are_the_rule_weight_by_weight(case_id):
    case = load_case(case_id)
    w = [0.0] * 6
    for step, (x, y) in enumerate(zip(case.inputs["x"], case.inputs["y"])):
        error = y - sum(w[i] * x[i] for i in range(6))
        w = [w[i] + case.settings["step_size"] * error * x[i] for i in range(6)]
        assert_allclose(case.expected["predict/error"][step], error, **CLOSE)
        assert_allclose(case.expected["update/weights"][step], w, **CLOSE)


@pytest.mark.parametrize("case_id", [each for each in IDS["linear"] if each.startswith(("idbd/", "autostep/"))])
def test_vectors_of_learned_step_sizes_are_the_rule_weight_by_weight(case_id):
    case = load_case(case_id)
    for steps in prefixes(case):
        examples = case.inputs["x"][:steps], case.inputs["y"][:steps]
        if case.suite == "idbd":
            errors, weights, step_sizes = slow_idbd(*examples, *arguments(case, "meta_step_size", "initial_step_size"))
            found = np.exp(case.expected["update/log_step_sizes"][steps - 1])
        else:
            names = "meta_step_size", "initial_step_size", "tau", "bound"
            errors, weights, step_sizes = slow_autostep(*examples, *arguments(case, *names))
            found = case.expected["update/step_sizes"][steps - 1]
        assert_allclose(case.expected["predict/error"][:steps], errors, **CLOSE)
        assert_allclose(case.expected["update/weights"][steps - 1], weights, **CLOSE)
        assert_allclose(found, step_sizes, rtol=1e-11)


def slow_td_lambda(features, cumulants, step_size, gamma, lambda_):
    n = len(features[0])
    w, z, x, decay = [0.0] * n, [0.0] * n, [0.0] * n, 0.0
    values = []
    for x_next, r, gamma_next in zip(features.tolist(), cumulants.tolist(), per_step(gamma, features)):
        values.append(sum(w[i] * x_next[i] for i in range(n)))
        delta = r + gamma_next * values[-1] - sum(w[i] * x[i] for i in range(n))
        z = [decay * z[i] + x[i] for i in range(n)]
        w = [w[i] + step_size * delta * z[i] for i in range(n)]
        x, decay = x_next, gamma_next * lambda_
    return values


@pytest.mark.parametrize("case_id", IDS["prediction"])
def test_vectors_of_temporal_differences_are_the_equations_feature_by_feature(case_id):
    case = load_case(case_id)
    changes = "x/discount" in case.inputs
    stream = case.inputs["x/features" if changes else "x"], case.inputs["y"]
    values, step_sizes = case.expected["predict/value"], None
    gamma_lambda = [case.inputs["x/discount"] if changes else case.settings["discount"], case.settings["trace_decay"]]
    if case.suite == "td_lambda":
        slow = slow_td_lambda if case.settings["method"] == "td_lambda" else slow_true_online
        expected = slow(*stream, case.settings["step_size"], *gamma_lambda)
    elif case.suite == "tidbd":
        tau = case.settings["tau"] if case.settings["normalize"] else None
        names = "meta_step_size", "initial_step_size", "gradient"
        expected, step_sizes = slow_tidbd(*stream, *gamma_lambda, *arguments(case, *names), tau)
    else:
        names = "meta_step_size", "initial_step_size", "step_bound", "step_decay", "smallest_step_size"
        expected, step_sizes = slow_swift_td(*stream, *gamma_lambda, *arguments(case, *names))
    assert_allclose(values, expected, **CLOSE)
    assert np.abs(values).max() > 0.1
    if step_sizes:
        assert_allclose(np.exp(case.expected["update/log_step_sizes"][-1]), step_sizes, rtol=1e-10)


# --- the cases are what they say --------------------------------------------------------------------------------------


def test_the_trace_of_idbd_is_forgotten_in_one_case_and_not_in_the_other():
    for case_id, forgotten in (("idbd/trace_is_forgotten", True), ("idbd/learned_step_sizes", False)):
        case = load_case(case_id)
        step_sizes = np.exp(case.expected["update/log_step_sizes"])
        assert (step_sizes * case.inputs["x"] ** 2 > 1).any() == forgotten


def test_the_bound_of_autostep_acts_and_a_normalizer_stays_0_for_a_while():
    stays, passes, sparse = map(load_case, IDS["linear"][-3:])
    assert [stays.settings["bound"], passes.settings["bound"]] == ["permanent", "transient"]
    assert (np.diff(np.log(stays.expected["update/step_sizes"]), axis=0) < -0.1 - 1e-9).any()  # more than mu downwards
    overshoot = (passes.expected["update/step_sizes"] * passes.inputs["x"] ** 2).sum(axis=-1)
    assert (overshoot > 1).sum() > 10
    assert (sparse.expected["update/normalizers"][:5] == 0).any()


def test_the_bound_of_swift_td_is_met_often_or_never():
    for case_id, often in (("swift_td/bound_often_met", True), ("swift_td/bound_never_met", False)):
        case = load_case(case_id)
        reset = (case.expected["update/h"][1:] == 0).all(axis=-1).sum()
        assert reset > 20 if often else not reset
        smallest = case.settings["smallest_step_size"]
        assert (case.expected["update/log_step_sizes"] <= np.log(smallest) + 1e-12).any() == often
