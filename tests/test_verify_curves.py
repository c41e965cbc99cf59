"""The verification kit on curves: the judgment by hand, and on runs with other random numbers."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minilop.verify.adapter import run_adapter
from minilop.verify.case import VerifyError
from minilop.verify.case_files import load_case
from minilop.verify.catalogue import curves
from minilop.verify.curves import judge
from minilop.verify.reference import Reference
from minilop.verify.reference.curves import CurveReference
from problems.slowly_changing_regression import Settings, Stream

IDS = [each.id for each in curves.DESCRIPTIONS]
every_case = pytest.mark.parametrize("case_id", IDS)


def by_hand(mean, standard_error):
    """A case whose reference has these, with a margin of 10 %."""
    expected = {"curve/mean": np.array(mean), "curve/standard_error": np.array(standard_error)}
    return dataclasses.replace(load_case(IDS[0]), expected=expected)


@pytest.mark.quick
@pytest.mark.parametrize(
    "own, judgment",
    [
        ([2.0, 2.0], "agrees"),  # off by 0
        ([2.1, 2.1], "agrees"),  # 5 %, and 1.645 * 0.05 / 2 = 4.1 %
        ([2.15, 2.15], "inconclusive"),  # 7.5 % + 4.1 % is above 10 %
        ([1.75, 1.75], "inconclusive"),  # 12.5 % - 4.1 % is not
        ([2.3, 2.3], "differs"),  # 15 % - 4.1 %
        ([1.7, 1.7], "differs"),
        ([1.55, 2.45], "inconclusive"),  # 0 %, but its own standard error is 0.15: 13 %
        ([np.nan, 2.0], "differs"),
    ],
)
def test_a_bin_by_hand(own, judgment):
    """Reference 2 with a standard error of 0.05."""
    verdict = judge(by_hand([2.0], [0.05]), np.array(5 * own)[:, None])  # ten runs, of two values
    assert verdict.overall == judgment
    if np.isfinite(own).all():
        own_error = abs(own[1] - own[0]) / 2 * np.sqrt(10 / 9) / np.sqrt(10)
        assert verdict.uncertainty == pytest.approx(1.645 * np.hypot(own_error, 0.05) / 2)
        assert verdict.difference == pytest.approx((sum(own) / 2 - 2) / 2)


@pytest.mark.quick
def test_a_curve_differs_where_a_bin_does_and_agrees_where_all_do():
    case = by_hand([2.0, 1.0, 4.0], [0.05, 0.001, 0.001])
    agrees, unsure, differs = [2.0, 1.0, 4.0], [2.15, 1.0, 4.0], [2.15, 1.0, 3.0]
    for errors, overall, bins in (
        (agrees, "agrees", ("agrees",) * 3),
        (unsure, "inconclusive", ("inconclusive", "agrees", "agrees")),
        (differs, "differs", ("inconclusive", "agrees", "differs")),
    ):
        verdict = judge(case, 10 * [errors])
        assert (verdict.overall, verdict.bins) == (overall, bins)
    assert "Bin 2 is off by -25.0%" in judge(case, 10 * [differs]).says
    assert "give more than 10 runs" in judge(case, 10 * [unsure]).says
    assert "All bins are within 10%" in judge(case, 10 * [agrees]).says
    assert "bin 1 is not finite" in judge(case, [*9 * [agrees], [2.0, np.inf, 4.0]]).says


@pytest.mark.quick
@pytest.mark.parametrize("errors", [np.zeros((30, 5)), np.zeros(4), np.zeros((9, 4)), [["a"] * 4] * 10])
def test_other_shapes_get_a_sentence(errors):
    with pytest.raises(VerifyError, match=r"curve must be numbers \(runs, 4\) of 10 runs or more, not"):
        judge(load_case(IDS[0]), errors)


@pytest.mark.quick
def test_what_is_no_array_gets_a_sentence():
    with pytest.raises(VerifyError, match="the curve is not an array that NumPy can read"):
        judge(load_case(IDS[0]), [[1.0, 2.0], [1.0]])


@every_case
def test_what_is_expected_is_mean_and_standard_error_of_the_runs(case_id):
    case = load_case(case_id)
    errors = case.expected["curve/error"]
    assert errors.shape == (30, 4)
    assert_allclose(case.expected["curve/mean"], errors.mean(axis=0))
    assert_allclose(case.expected["curve/standard_error"], errors.std(axis=0, ddof=1) / 30**0.5)


@every_case
def test_the_stream_is_the_problems(case_id):
    """All of its inputs and targets; which of the 32 inputs of a task each example is, is drawn otherwise."""
    case = load_case(case_id)
    settings = Settings(num_examples=16_000, bin_size=4_000, task_length=1_000, target_threshold="paper")
    stream = Stream(settings, np.array([case.seed]))
    x = case.inputs["x"].reshape(16, 1_000, 20)
    for task in range(16):
        assert_array_equal(x[task, :, :15], np.broadcast_to(stream.slow_bits(task)[0], (1_000, 15)))
        fast = x[task, :, 15:] @ 2 ** np.arange(5)
        assert set(fast) == set(range(32))
        targets = stream.targets(stream.inputs(task))[0, fast]
        assert_array_equal(case.inputs["y"].reshape(16, 1_000)[task], targets)


@every_case
def test_other_random_numbers_and_another_precision_agree(case_id):
    case = load_case(case_id).cast("float32")
    errors = CurveReference(first_seed=5000).curve(case)
    assert (errors != case.expected["curve/error"]).all()
    assert judge(case, errors).overall == "agrees"


def test_continual_backpropagation_that_never_replaces_differs():
    case = load_case("slowly_changing_regression/continual_backprop")
    assert judge(case, CurveReference(first_seed=5000, replacement_rate=0.0).curve(case)).overall == "differs"


def test_an_adapter_returns_the_errors_of_its_runs():
    case = load_case(IDS[0])
    returned = run_adapter(Reference(), case)
    assert list(returned) == ["curve/error"]
    assert judge(case, returned["curve/error"]).overall == "agrees"
