"""State by name: arrays saved to the host, restored in place, and put together under prefixes."""

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules

from minilop import state as states

pytestmark = pytest.mark.quick


def make_arrays():
    """An array on the device and one on the host, as a rule that counts on the host has."""
    return {"weight": device([[1.0, 2.0], [3.0, 4.0]]), "count": np.array([5, 6])}


@on_both_array_modules
def test_a_saved_array_is_a_copy_on_the_host():
    arrays = make_arrays()
    state = states.copied(arrays)
    assert all(isinstance(array, np.ndarray) for array in state.values())
    for array in arrays.values():
        array[...] = 0
    assert state["weight"].tolist() == [[1, 2], [3, 4]] and state["count"].tolist() == [5, 6]


@on_both_array_modules
def test_restoring_happens_in_place_and_copies():
    """Views into the arrays, such as the weights of layers, show the restored values."""
    arrays = make_arrays()
    view = arrays["weight"][:, 1]
    state = {"weight": np.array([[7.0, 8.0], [9.0, 10.0]]), "count": np.array([11, 12])}
    states.restore(arrays, state)
    assert host(view).tolist() == [8, 10] and arrays["count"].tolist() == [11, 12]
    for array in state.values():
        array[...] = 0
    assert host(view).tolist() == [8, 10] and arrays["count"].tolist() == [11, 12]


@on_both_array_modules
def test_what_was_saved_can_be_restored():
    arrays = make_arrays()
    state = states.copied(arrays)
    for array in arrays.values():
        array += 1
    states.restore(arrays, state)
    assert host(arrays["weight"]).tolist() == [[1, 2], [3, 4]] and arrays["count"].tolist() == [5, 6]


def test_a_restored_array_keeps_its_precision():
    array = device([[0.0]], "float32")
    states.restore({"weight": array}, {"weight": np.array([[0.1]])})
    assert array.dtype == np.float32 and host(array)[0, 0] == np.float32(0.1)


def test_other_arrays_are_expected_only_where_the_caller_restores_them():
    """By name, or any number under a prefix: a state may hold that of several objects."""
    array = device([1.0])
    state = {"weight": np.array([2.0]), "position": np.array(3), "learner.age": np.array([4.0])}
    states.restore({"weight": array}, state, ["position", "learner."])
    assert host(array).tolist() == [2]
    states.restore({"weight": array}, {"weight": np.array([5.0]), "position": np.array(3)}, ["position", "learner."])
    assert host(array).tolist() == [5]


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (
            {"weight": np.zeros((2, 2))},
            ValueError,
            "^The state to restore lacks count; restore it into an object made with the same settings.$",
        ),
        (
            {"weight": np.zeros((2, 2)), "count": np.zeros(2), "age": np.zeros(2), "utility.0": np.zeros(2)},
            ValueError,
            "^The state to restore has age in addition; restore it into an object",
        ),
        (
            {"weight": np.zeros((2, 2)), "number": np.zeros(2)},
            ValueError,
            "^The state to restore lacks count and has number in addition; restore",
        ),
        (
            {"weight": np.zeros((2, 2)), "count": np.zeros(3)},
            ValueError,
            r"^count has the shape \(3,\), not \(2,\)$",
        ),
        # NumPy would broadcast these two.
        (
            {"weight": np.zeros((2, 2)), "count": np.array(0)},
            ValueError,
            r"^count has the shape \(\), not \(2,\)$",
        ),
        (
            {"weight": np.zeros((1, 2)), "count": np.zeros(2)},
            ValueError,
            r"^weight has the shape \(1, 2\), not \(2, 2\)$",
        ),
    ],
    ids=["missing", "surplus", "another name", "too long", "a number", "too few runs"],
)
@on_both_array_modules
def test_nothing_is_changed_if_one_array_does_not_fit(state, error, message):
    arrays = make_arrays()
    with pytest.raises(error, match=message):
        states.restore(arrays, state)
    assert host(arrays["weight"]).tolist() == [[1, 2], [3, 4]] and arrays["count"].tolist() == [5, 6]


def test_a_part_is_what_the_prefix_was_put_before():
    policy, value = {"age.0": 1, "utility.0": 2}, {"age.0": 3}
    state = {**states.prefixed("policy", policy), **states.prefixed("value", value)}
    assert state == {"policy.age.0": 1, "policy.utility.0": 2, "value.age.0": 3}
    assert states.part("policy", state) == policy and states.part("value", state) == value


def test_prefixes_can_be_nested():
    inner = states.prefixed("optimizer", {"velocity": 1})
    state = states.prefixed("policy", inner)
    assert list(state) == ["policy.optimizer.velocity"]
    assert states.part("optimizer", states.part("policy", state)) == states.part("policy.optimizer", state)


def test_a_prefix_ends_at_its_point():
    """Neither another prefix that begins alike nor the prefix further inside a name counts."""
    state = {"value.age": 1, "value_2.age": 2, "policy.value.age": 3, "value": 4}
    assert states.part("value", state) == {"age": 1}
    assert states.part("critic", state) == {}


def test_the_names_under_a_prefix_are_the_same_arrays():
    array = device([1.0])
    assert states.prefixed("a", {"b": array})["a.b"] is array
    assert states.part("a", {"a.b": array})["b"] is array
