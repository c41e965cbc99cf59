"""The stand-in for CuPy refuses what CuPy refuses; whole learners run on it, and wait for it no more than they say."""

import operator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import strict_cupy
from conftest import device, host
from strict_cupy import Counts

from minilop import backend
from minilop.backend import xp
from minilop.fast import BufferedSGD, InPlaceSGD
from minilop.learner import Learner
from minilop.learner_settings import LearnerSettings, NetworkSettings, make_learner, make_mlp
from minilop.losses import cross_entropy
from minilop.optimizers import SGD, Adam, NetworkIDBD
from minilop.plasticity import ContinualBackprop, GenerateAndTest, L2Init, ReDo, ShrinkAndPerturb
from problems import permuted_mnist, slowly_changing_regression

ONES = np.ones(3)


# What it refuses


@pytest.mark.quick
def test_it_goes_by_the_name_of_cupy(strict: Counts) -> None:
    assert backend.name() == "cupy"
    assert not isinstance(device(ONES), np.ndarray)


@pytest.mark.quick
def test_implicit_conversion_is_refused(strict: Counts) -> None:
    array, target = device(ONES), np.zeros(3)
    for convert in (
        lambda: np.asarray(array),
        lambda: np.float64(array),
        lambda: np.testing.assert_array_equal(array, ONES),
        lambda: target.__setitem__(..., array),
    ):
        with pytest.raises(TypeError, match="Implicit conversion"):
            convert()


@pytest.mark.quick
def test_mixing_in_operators_is_refused_from_both_sides(strict: Counts) -> None:
    array = device(ONES)
    for mix in (
        lambda: array + ONES,
        lambda: ONES + array,
        lambda: ONES @ array,
        lambda: array == ONES,
        lambda: ONES < array,
        lambda: operator.iadd(array, ONES),
        lambda: operator.imul(ONES.copy(), array),
    ):
        with pytest.raises(TypeError):
            mix()


@pytest.mark.quick
def test_mixing_in_functions_is_refused(strict: Counts) -> None:
    array = device(ONES)
    for mix in (
        lambda: xp.exp(ONES),
        lambda: xp.maximum(array, ONES),
        lambda: xp.where(array > 0, ONES, array),
        lambda: xp.stack([array, ONES]),
        lambda: xp.multiply(array, array, out=np.empty(3)),
        lambda: xp.copyto(array, 0, where=ONES > 0),
        lambda: np.exp(array),
        lambda: xp.asarray([array, array]),
        lambda: array.sum(axis=np.array([0])),
    ):
        with pytest.raises(TypeError):
            mix()


def test_mixing_in_an_assignment_is_refused(strict: Counts) -> None:
    with pytest.raises(ValueError, match="non-scalar numpy.ndarray"):
        device(ONES)[...] = ONES


def test_scalars_of_python_and_numpy_are_accepted(strict: Counts) -> None:
    array = device(ONES)
    assert host(np.float64(2) * array + 1 - np.float32(0.5)).tolist() == [2.5] * 3
    array[0] = np.float64(7)
    array[1:] *= 2
    assert host(array).tolist() == [7, 2, 2]


@pytest.mark.parametrize("name", ["errstate", "random", "vectorize", "apply_along_axis", "nditer", "longdouble"])
def test_names_that_cupy_lacks_or_we_do_not_want_are_unknown(name: str, strict: Counts) -> None:
    with pytest.raises(AttributeError):
        getattr(xp, name)
    assert hasattr(np, name)


def test_keywords_that_cupy_lacks_are_refused(strict: Counts) -> None:
    array = device(ONES)
    with pytest.raises(TypeError, match="Wrong arguments"):
        xp.add(array, 1, where=array > 0)
    with pytest.raises(ValueError, match="kind can only be None or 'stable'"):
        xp.argsort(array, kind="quicksort")


def test_a_number_of_an_array_stays_on_the_device(strict: Counts) -> None:
    array = device(ONES)
    for number in (array[0], array.sum(), array.max(), xp.sum(array), array @ array):
        assert isinstance(number, strict_cupy.ndarray) and number.shape == ()
    array[0][...] = 5  # a view, as in CuPy, where NumPy would have made a number
    assert host(array).tolist() == [5, 1, 1]
    assert [type(each) for each in array] == [strict_cupy.ndarray] * 3


def test_waiting_is_counted(strict: Counts) -> None:
    array = device(ONES)
    assert vars(strict) == {"synchronisations": 0, "transfers": 0, "uploads": 1}
    for number, wait in enumerate((bool, int, float, strict_cupy.ndarray.item, range), start=1):
        wait(array[0].astype(int))
        assert strict.synchronisations == number
    xp.nonzero(array)
    array[array > 0]
    backend.synchronize()
    assert strict.synchronisations == 8
    host(array)
    assert vars(strict) == {"synchronisations": 8, "transfers": 1, "uploads": 1}
    assert array[np.array([2, 0])].shape == (2,)  # CuPy takes NumPy's arrays as indices, and uploads them
    assert strict.uploads == 2


def test_an_array_of_several_numbers_is_neither_true_nor_false(strict: Counts) -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        bool(device(ONES))


def test_arithmetic_is_numpys(strict: Counts) -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    array = device(values)
    for found, expected in (
        (abs(-array) ** 2 / 3, abs(-values) ** 2 / 3),
        (array.swapaxes(-1, -2) @ array, values.swapaxes(-1, -2) @ values),
        (array.transpose(2, 0, 1)[1:, ::-1, None], values.transpose(2, 0, 1)[1:, ::-1, None]),
        (array[device([1, 0]), :, device([3, 0])], values[[1, 0], :, [3, 0]]),
        (array.T.reshape(6, 4).mean(axis=-1, keepdims=True), values.T.reshape(6, 4).mean(axis=-1, keepdims=True)),
        (xp.linalg.svd(array, compute_uv=False), np.linalg.svd(values, compute_uv=False)),
        (xp.where(array > 5, 1, array), np.where(values > 5, 1, values)),
        (~(array > 5) & (array.astype(int) >> 1 == 2), ~(values > 5) & (values.astype(int) >> 1 == 2)),
    ):
        assert (host(found) == expected).all()


# Whole learners on it

REGRESSION = replace(
    slowly_changing_regression.SCALES["smoke"].settings,
    num_examples=600,
    bin_size=50,
    task_length=200,
)
DIGITS = replace(permuted_mnist.SCALES["smoke"].settings, task_length=200, num_diagnostic_examples=100)
CASES = [
    (problem, settings, name)
    for problem, settings in ((slowly_changing_regression, REGRESSION), (permuted_mnist, DIGITS))
    for name in problem.SCALES["smoke"].default_learners
]
IDS = [f"{problem.__name__.split('.')[-1]}-{name}" for problem, _, name in CASES]


def learner_settings(problem: ModuleType, name: str, dtype: str) -> LearnerSettings:
    """A learner of the smoke scale, with replacements so frequent that a few hundred steps see some."""
    settings = problem.SCALES["smoke"].learners[name].change(dtype=dtype)
    if name == "continual_backprop":
        return settings.change(replacement_rate=0.01, maturity_threshold=20)
    return settings.change(redo_period=100) if name == "redo" else settings


def results(module: str | ModuleType, problem: Any, settings: Any, learner: LearnerSettings) -> dict[str, np.ndarray]:
    backend.use(module)
    try:
        runs = problem.start(settings, learner, [3, 4], None)
        while runs.progress < 1:
            runs.advance()
        return {**runs.results(), "parameters": runs.state()["learner.parameters"]}
    finally:
        backend.use("numpy")


@pytest.mark.parametrize("problem, settings, name", CASES, ids=IDS)
def test_a_block_of_runs_ends_as_it_does_with_numpy(problem: Any, settings: Any, name: str) -> None:
    """In float64. The two keep the regression network in different memory orders and so round differently, by 1e-16,
    which grows little in a few hundred steps."""
    learner = learner_settings(problem, name, "float64")
    expected, found = (results(module, problem, settings, learner) for module in ("numpy", strict_cupy.cupy))
    assert expected.keys() == found.keys()
    for measure, values in expected.items():
        np.testing.assert_allclose(found[measure], values, rtol=1e-9, atol=1e-9, err_msg=measure)


@pytest.mark.parametrize("problem, settings, name", CASES, ids=IDS)
def test_the_first_bin_of_float32_is_numpys_but_for_rounding(problem: Any, settings: Any, name: str) -> None:
    """Only the first: a pre-activation within 1e-7 of 0 lets a relu's unit learn from an example in one of the two and
    not in the other, and from there on they are two different runs. It does happen within 100 examples."""
    settings = replace(
        settings, **({"num_examples": 50} if problem is slowly_changing_regression else {"num_tasks": 1})
    )
    learner = learner_settings(problem, name, "float32")
    expected, found = (results(module, problem, settings, learner) for module in ("numpy", strict_cupy.cupy))
    for measure, values in expected.items():
        np.testing.assert_allclose(found[measure], values, rtol=1e-5, atol=1e-5, err_msg=measure)


OFTEN: Any = {"replacement_rate": 0.01, "maturity_threshold": 20}  # a few hundred steps see some replacements
LEARNERS = {
    "backprop": LearnerSettings(),
    "in_place": LearnerSettings(InPlaceSGD(weight_decay=1e-3)),
    "buffered": LearnerSettings(BufferedSGD()),
    "l2": LearnerSettings(SGD(momentum=0.9, weight_decay=1e-3)),
    "l2_init": LearnerSettings(SGD(), (L2Init(init_decay=1e-3),)),
    "shrink_and_perturb": LearnerSettings(SGD(weight_decay=1e-3), (ShrinkAndPerturb(perturb_scale=1e-4),)),
    "continual_backprop": LearnerSettings(SGD(), (ContinualBackprop(**OFTEN),)),
    "continual_backprop_chance": LearnerSettings(SGD(), (ContinualBackprop(**OFTEN, rounding="chance"),)),
    "continual_backprop_single": LearnerSettings(SGD(), (ContinualBackprop(**OFTEN, rounding="single"),)),
    "continual_backprop_adam": LearnerSettings(
        Adam(step_size=0.01), (ContinualBackprop(**OFTEN, reset_optimizer_state=True), L2Init(init_decay=1e-3))
    ),
    "adam": LearnerSettings(Adam()),
    "network_idbd": LearnerSettings(NetworkIDBD()),
    "generate_and_test": LearnerSettings(NetworkIDBD(), (GenerateAndTest(**OFTEN),), NetworkSettings("deep", "tanh")),
    "dropout": LearnerSettings(network=NetworkSettings(dropout=0.1)),
    "redo": LearnerSettings(SGD(), (ReDo(redo_period=100, redo_scores="period", redo_threshold=0.5),)),
}
STEPS = 300
HIDDEN_LAYERS = 2
ONCE_A_LAYER_AND_STEP = [name for name in LEARNERS if name.startswith(("continual_backprop", "generate_and_test"))]


def learn(settings: LearnerSettings) -> Learner:
    """300 steps on one example each; the examples lie on the device when counting begins."""
    random = np.random.default_rng(0)
    inputs = device(random.normal(size=(STEPS, 2, 6, 1)), "float32")
    labels = device(random.integers(3, size=(STEPS, 2, 1)))
    learner = make_learner(make_mlp((6, 8, 7, 3), settings, [1, 2]), cross_entropy, settings)
    strict_cupy.counts.reset()
    for each, label in zip(inputs, labels):
        learner.step(each, label)
    return learner


@pytest.mark.parametrize("name", LEARNERS)
def test_a_step_waits_for_the_device_at_most_once_in_a_hidden_layer(
    name: str, strict: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learners without replacement of units never wait. Continual Backprop and generate-and-test fetch the numbers of
    eligible units, (R,), in every hidden layer and step. With rounding="chance" the uniform numbers of a layer are
    fetched as well, but for many steps at a time: here for 128, so that 300 steps need three draws for each layer. ReDo
    must know, once a period, how many units are dormant and in which runs."""
    monkeypatch.setattr("minilop.plasticity.num_to_replace.STEPS_PER_DRAW", 128)
    learner = learn(LEARNERS[name])
    periods = STEPS // 100
    expected = {"redo": (periods * HIDDEN_LAYERS, periods * HIDDEN_LAYERS)}
    expected |= dict.fromkeys(ONCE_A_LAYER_AND_STEP, (0, STEPS * HIDDEN_LAYERS))
    expected["continual_backprop_chance"] = (0, STEPS * HIDDEN_LAYERS + 3 * HIDDEN_LAYERS)
    assert (strict.synchronisations, strict.transfers) == expected.get(name, (0, 0))
    if name in ONCE_A_LAYER_AND_STEP:  # there were replacements
        assert all((host(units["age"]) < STEPS).any() for units in learner.rules[0].units)


@pytest.mark.parametrize("name", ["backprop", "in_place", "buffered", "l2", "l2_init", "adam", "network_idbd"])
def test_what_is_not_random_uploads_nothing_in_a_step(name: str, strict: Counts) -> None:
    learn(LEARNERS[name])
    assert strict.uploads == 0


@pytest.mark.parametrize("name", ["shrink_and_perturb", "dropout"])
def test_random_learners_draw_for_many_steps_at_a_time(name: str, strict: Counts) -> None:
    """A draw uploads its four coordinates: seed, step, slot and layer. 300 steps are a few draws."""
    learn(LEARNERS[name])
    assert 0 < strict.uploads < STEPS / 4
