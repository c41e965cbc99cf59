"""The online problems: their streams by independent loops, their measures, and the independence of runs.

Dohare et al., Nature 632 (2024), Methods, "Slowly-Changing Regression" and "Online Permuted MNIST".
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import host
from numpy.testing import assert_allclose, assert_array_equal

from minilop.data import DataError, handwritten_digits, synthetic_digits
from minilop.experiment.results import LearnerResults, ResultSet
from minilop.fast import BufferedSGD, InPlaceSGD
from minilop.learner_settings import LearnerSettings, make_learner, make_mlp
from minilop.losses import cross_entropy, half_squared_error, squared_error
from minilop.optimizers import IDBD, SGD, Adam, MetaOptimize, NetworkIDBD
from minilop.plasticity import ContinualBackprop, GenerateAndTest, L2Init, ReDo, ShrinkAndPerturb
from problems import PROBLEMS, permuted_mnist
from problems import slowly_changing_regression as regression
from problems.permuted_mnist import PermutedDigits, load_digits
from problems.slowly_changing_regression import RegressionRuns, Stream

REGRESSION = regression.Settings(num_examples=1800, bin_size=600, task_length=450, magnitude_interval=7)
PERMUTED = permuted_mnist.Settings(
    digits="handwritten",
    num_tasks=2,
    task_length=130,
    num_hidden=9,
    num_hidden_layers=2,
    num_diagnostic_examples=40,
    magnitude_interval=3,
)
BUFFERED = replace(PERMUTED, num_tasks=1, task_length=1100, magnitude_interval=1000)  # chunks end within intervals

BACKPROP = LearnerSettings(SGD(step_size=0.01))
IDBD_NETWORK = LearnerSettings(NetworkIDBD(step_size=0.01, meta_step_size=0.01))
QUICK_RULE = ContinualBackprop(replacement_rate=1e-2, maturity_threshold=10)
LEARNERS = {
    "backprop": BACKPROP,
    "l2_init": BACKPROP.with_rules(L2Init(init_decay=0.01)),
    "shrink_and_perturb": BACKPROP.change(weight_decay=0.01).with_rules(ShrinkAndPerturb(perturb_scale=1e-3)),
    "continual_backprop": BACKPROP.with_rules(QUICK_RULE),
    "by_chance": BACKPROP.with_rules(replace(QUICK_RULE, rounding="chance")),
    "adam": LearnerSettings(Adam(step_size=0.003)),
    "dropout": BACKPROP.change(dropout=0.1),
    "redo": BACKPROP.with_rules(ReDo(redo_period=50, redo_scores="period")),
    "linear": BACKPROP.change(kind="linear"),
    "idbd": IDBD_NETWORK.change(kind="linear", normalized=False, overshoot_limit=0.0, meta_step_size=1e-3),
    "network_idbd": IDBD_NETWORK,
    "metaoptimize": LearnerSettings(MetaOptimize(step_size=0.001, meta_step_size=0.01, step_sizes="layer")),
    "dynamic": IDBD_NETWORK.change(meta_step_size=0.03).with_rules(
        GenerateAndTest(replacement_rate=1e-2, maturity_threshold=10)
    ),
}


def start_regression(settings=REGRESSION, learner=BACKPROP, seeds=(3, 8)):
    return RegressionRuns(settings, learner, list(seeds))


def start_permuted(settings=PERMUTED, learner=BACKPROP, seeds=(3, 8)):
    return permuted_mnist.start(settings, learner, list(seeds), None)


BOTH = {"regression": start_regression, "permuted": start_permuted}


def finish(runs):
    while runs.progress < 1.0:
        runs.advance()
    assert runs.progress == 1.0
    return runs.results()


def assert_same_results(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_array_equal(found[name], array, name)


# --- Slowly-Changing Regression: the stream ---------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize("threshold", ["paper", "published_code"])
def test_the_target_is_a_network_of_threshold_units(threshold):
    """y = sum_i v_i [w_i x + b_i > 0.7 (n + 1) - S_i] + c. Paper: S counts the -1 in w and b; the published code has
    S = (n - sum w + b) / 2, with the wrong sign before b."""
    stream = Stream(replace(REGRESSION, target_threshold=threshold, num_target_units=12), np.array([3, 8]))
    inputs = np.random.default_rng(0).integers(0, 2, size=(2, 20, 40))
    found = stream.targets(inputs)
    for run in range(2):
        for example in range(40):
            total = int(stream.output_bias[run, 0, 0])
            for unit in range(12):
                weights, bias = stream.weight[run, unit].tolist(), int(stream.bias[run, unit, 0])
                if threshold == "paper":
                    count = weights.count(-1) + (bias == -1)
                else:
                    count = (20 - sum(weights) + bias) / 2
                evidence = sum(w * x for w, x in zip(weights, inputs[run, :, example].tolist())) + bias
                total += int(stream.output_weight[run, 0, unit]) * (evidence > 0.7 * 21 - count)
            assert found[run, example] == total


@pytest.mark.quick
def test_every_weight_and_bias_of_the_target_is_a_fair_sign():
    """+1 or -1 with probability one half, including the bias of the output; within four standard deviations."""
    stream = Stream(REGRESSION, np.arange(200))
    for signs in (stream.weight, stream.bias, stream.output_weight, stream.output_bias):
        assert set(np.unique(signs)) == {-1, 1}
        assert abs(signs.mean()) < 4 / math.sqrt(signs.size)


@pytest.mark.quick
def test_target_units_fire_as_often_as_their_thresholds_say():
    """A unit fires on k or more matching bits of 20: k = 14 for a bias of +1; for -1 it is 15 by the paper's formula
    and 17 by the published code's, so that half of its units almost never fire. 5.77, 2.07 and 0.13 %."""
    at_least = {k: sum(math.comb(20, j) for j in range(k, 21)) / 2**20 for k in (14, 15, 17)}
    assert [round(100 * at_least[k], 2) for k in (14, 15, 17)] == [5.77, 2.07, 0.13]
    inputs = np.random.default_rng(0).integers(0, 2, size=(1, 20, 2000))
    for threshold, of_minus_one in (("paper", 15), ("published_code", 17)):
        stream = Stream(replace(REGRESSION, target_threshold=threshold, num_target_units=1000), np.array([5]))
        fires = (stream.weight @ inputs + stream.bias > stream.threshold)[0]  # (U, N)
        for sign, k in ((1, 14), (-1, of_minus_one)):
            fired = fires[stream.bias[0, :, 0] == sign]
            deviation = math.sqrt(at_least[k] * (1 - at_least[k]) / fired.size)  # units are pairwise independent
            assert abs(fired.mean() - at_least[k]) < 4 * deviation


@pytest.mark.quick
def test_flip_one_inverts_exactly_one_slow_bit_after_every_task():
    """Paper: "after every T examples one of the first f bits is selected at random and its value is flipped"."""
    stream = Stream(REGRESSION, np.arange(30))
    bits = np.array([stream.slow_bits(task) for task in range(60)])  # (task, R, 15)
    assert set(np.unique(bits)) == {0, 1}
    assert (abs(np.diff(bits, axis=0)).sum(axis=-1) == 1).all()
    which = abs(np.diff(bits, axis=0)).argmax(axis=-1)  # (task, R)
    counts = np.bincount(which.ravel(), minlength=15)
    assert abs(counts - which.size / 15).max() < 4 * math.sqrt(which.size / 15)  # each of them, at random
    assert (which[:, 0] != which[:, 1]).any()


def test_redraw_all_draws_all_slow_bits_anew():
    """The default of the published data generator. On average, half of the bits change."""
    stream = Stream(replace(REGRESSION, change="redraw_all"), np.arange(30))
    bits = np.array([stream.slow_bits(task) for task in range(40)])
    changed = (bits[1:] != bits[:-1]).mean()
    assert abs(changed - 0.5) < 4 * 0.5 / math.sqrt(bits[1:].size)
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / math.sqrt(bits.size)


def test_a_task_has_all_32_inputs_that_share_its_slow_bits():
    stream = Stream(REGRESSION, np.array([3, 8]))
    inputs = stream.inputs(2)
    assert inputs.shape == (2, 20, 32)
    for run in range(2):
        assert (inputs[run, :15] == stream.slow_bits(2)[run][:, None]).all()
        assert len({tuple(column) for column in inputs[run, 15:].T.tolist()}) == 32


def examples_of(runs, task):
    """Inputs (T, R, 20) and targets (T, R) of a task."""
    length = runs.task_length
    inputs, targets = runs.examples(task * length, (task + 1) * length)
    return host(inputs)[..., 0], host(targets)[..., 0, 0]


def test_the_last_five_bits_are_random_in_every_example(array_module):
    """All 32 values are equally frequent, and runs and tasks differ; within five standard deviations."""
    runs = start_regression(replace(REGRESSION, num_examples=12_000, bin_size=6000, task_length=6000), seeds=range(6))
    fast = np.concatenate([examples_of(runs, task)[0][..., 15:] for task in (0, 1)])  # (2 T, R, 5)
    values = (fast @ (2 ** np.arange(5))).astype(int)
    counts = np.bincount(values.ravel(), minlength=32)
    assert abs(counts - values.size / 32).max() < 5 * math.sqrt(values.size / 32)
    assert (values[:6000] != values[6000:]).any() and (values[:, 0] != values[:, 1]).any()
    followed = np.bincount((32 * values[:-1] + values[1:]).ravel(), minlength=1024)  # whatever came before
    assert abs(followed - followed.mean()).max() < 5 * math.sqrt(followed.mean())


def test_an_example_is_a_tasks_input_and_the_targets_answer_to_it(array_module):
    runs = start_regression()
    for task in (0, 3):
        inputs, targets = examples_of(runs, task)
        slow = runs.stream.slow_bits(task)
        assert (inputs[..., :15] == slow).all()
        assert_array_equal(targets.T, runs.stream.targets(np.moveaxis(inputs, 0, -1).astype(int)))


# --- Online Permuted MNIST: the stream --------------------------------------------------------------------------------


def test_a_task_permutes_the_pixels_and_the_order_of_the_examples(array_module):
    """Each task of each run has new random permutations of pixels and examples, see the module."""
    runs = start_permuted(seeds=range(4))
    orders, pixels = [], []
    for task in range(3):
        runs.enter(task)
        orders.append(host(runs.order).copy())
        pixels.append(host(runs.pixels).copy())
    for run in range(4):
        for task in range(3):
            assert sorted(pixels[task][run].tolist()) == list(range(64))
            assert len(set(orders[task][run].tolist())) == 130  # of 1,797, each at most once
    assert len({tuple(permutation[run]) for permutation in pixels for run in range(4)}) == 12
    assert len({tuple(order[run]) for order in orders for run in range(4)}) == 12


def test_a_whole_pass_shows_every_example_once(array_module):
    runs = start_permuted(replace(PERMUTED, task_length=1797))
    runs.enter(1)
    assert sorted(host(runs.order)[1].tolist()) == list(range(1797))


def test_an_example_has_the_permuted_pixels_and_the_label_of_its_image(array_module):
    images, labels = handwritten_digits()
    runs = start_permuted()
    inputs, targets = (host(array) for array in runs.examples(140, 150))  # examples 10 to 19 of the second task
    order, pixels = host(runs.order), host(runs.pixels)
    assert inputs.shape == (10, 2, 64, 1) and targets.shape == (10, 2, 1)
    for example in range(10):
        for run in range(2):
            source = order[run, 10 + example]
            flat = images[source].ravel() / 16
            assert_array_equal(inputs[example, run, :, 0], flat[pixels[run]].astype("float32"))
            assert targets[example, run, 0] == labels[source]


def test_the_diagnostic_examples_are_the_first_of_the_coming_task(array_module):
    """Dead units and ranks: on the first 2,000 examples of the newly permuted data, before learning from them."""
    runs = start_permuted()
    runs.position = 130
    inputs = host(runs.diagnostic_inputs())  # (R, pixels, n)
    assert inputs.shape == (2, 64, 40)
    assert_array_equal(np.moveaxis(inputs, -1, 0), host(runs.examples(130, 170)[0])[..., 0])


def test_digits_are_scaled_to_one():
    for settings, pixels in (
        (PERMUTED, 64),
        (replace(PERMUTED, halvings=1), 16),
        (replace(PERMUTED, digits="synthetic", task_length=50), 784),
        (replace(PERMUTED, digits="synthetic", task_length=50, halvings=2), 49),
    ):
        images, labels = load_digits(settings, None)
        assert images.shape == (len(labels), pixels)
        assert images.min() == 0 and 0.8 < images.max() <= 1
        assert set(labels) <= set(range(10))
    assert_array_equal(load_digits(PERMUTED, None)[0][5], handwritten_digits()[0][5].ravel() / 16)
    assert_array_equal(load_digits(replace(PERMUTED, digits="synthetic"), None)[1], synthetic_digits(range(130))[1])


def test_digits_that_cannot_be_had_are_told_in_one_sentence(tmp_path):
    too_many = replace(PERMUTED, task_length=1798)
    with pytest.raises(DataError, match="task_length is 1798, but there are only 1797 handwritten digits"):
        load_digits(too_many, None)
    with pytest.raises(DataError, match="MNIST was not found in"):
        load_digits(replace(PERMUTED, digits="mnist"), tmp_path)
    with pytest.raises(DataError, match="cannot be halved"):
        load_digits(replace(PERMUTED, halvings=4), None)


# --- what is measured -------------------------------------------------------------------------------------------------


def test_the_accuracy_is_that_of_guesses_made_before_learning(array_module):
    """Online: "the average percentage of examples that were correctly classified" as they came, per task."""
    settings = BACKPROP.change(step_size=0.05)
    runs = start_permuted(learner=settings)
    mirror = make_learner(make_mlp((64, 9, 9, 10), settings, [3, 8]), cross_entropy, settings)
    correct, losses, magnitudes = np.zeros((2, 130)), np.zeros((2, 130)), []
    inputs, labels = runs.examples(0, 130)
    for example in range(130):
        if example % 3 == 0:
            weights = [host(layer.weight) for layer in mirror.network.dense_layers]
            num_weights = 64 * 9 + 9 * 9 + 9 * 10
            magnitudes.append(sum(abs(weight).sum(axis=(1, 2)) for weight in weights) / num_weights)
        guess = host(mirror.network.forward(inputs[example])[-1])[..., 0].argmax(axis=-1)
        correct[:, example] = guess == host(labels)[example, :, 0]
        losses[:, example] = host(mirror.step(inputs[example], labels[example])[1])[:, 0]
    results = finish(runs)
    assert_allclose(results["accuracy"][:, 0], 100 * correct.mean(axis=-1), rtol=1e-12)
    assert 10 < results["accuracy"][:, 0].min() < 90  # it learns, but is scored before it learns from an example
    assert_allclose(results["loss"][:, 0], losses.mean(axis=-1), rtol=1e-5)  # sums of 130 numbers in float32
    assert len(magnitudes) == 44  # examples 0, 3, ..., 129
    assert_allclose(results["weight_magnitude"][:, 0], np.mean(magnitudes, axis=0), rtol=1e-5)


def test_a_bin_of_the_regression_is_the_mean_of_its_squared_errors(array_module):
    runs = start_regression()
    mirror = make_learner(make_mlp((20, 5, 1), BACKPROP, [3, 8]), squared_error, BACKPROP)
    errors, magnitudes = [], []
    for step in range(1200):
        first = step % 450
        if first == 0:
            inputs, targets = runs.examples(step, step + 450)
        if step % 600 % 7 == 0:
            weights = [host(layer.weight) for layer in mirror.network.dense_layers]
            magnitudes.append(sum(abs(weight).sum(axis=(1, 2)) for weight in weights) / (20 * 5 + 5))
        prediction = host(mirror.network.forward(inputs[first])[-1])[:, 0, 0]
        errors.append((prediction - host(targets)[first, :, 0, 0]) ** 2)
        mirror.step(inputs[first], targets[first])
    results = finish(runs)
    for place in (0, 1):
        mean = np.mean(errors[600 * place : 600 * (place + 1)], axis=0)
        assert_allclose(results["squared_error"][:, place], mean, rtol=1e-4)  # sums in float32
        mean = np.mean(magnitudes[86 * place : 86 * (place + 1)], axis=0)  # at examples 0, 7, ..., 595 of a bin
        assert_allclose(results["weight_magnitude"][:, place], mean, rtol=1e-5)


@pytest.mark.parametrize("learner", ["idbd", "network_idbd", "dynamic"])
def test_those_who_learn_step_sizes_descend_half_the_squared_error_and_are_measured_by_all_of_it(learner):
    """IDBD and Autostep minimize delta^2 / 2; the curves of all learners are comparable."""
    settings = LEARNERS[learner]
    runs = start_regression(learner=settings)
    mirror = make_learner(make_mlp((20, 5, 1), settings, [3, 8]), half_squared_error, settings)
    errors = []
    for start in (0, 450):  # of the tasks in the first bin
        for inputs, targets in zip(*runs.examples(start, min(start + 450, 600))):
            outputs, _ = mirror.step(inputs, targets)
            errors.append((outputs - targets)[:, 0, 0] ** 2)
    assert_allclose(finish(runs)["squared_error"][:, 0], np.mean(errors, axis=0), rtol=1e-4)  # sums in float32


def test_linear_idbd_of_the_regression_is_idbd():
    """Sutton (1992), with the bias as one more weight, whose input is 1."""
    settings = regression.LEARNERS["idbd"].change(dtype="float64")
    runs = start_regression(learner=settings)
    meta_step_size, step_size = settings.optimizer.meta_step_size, settings.optimizer.step_size
    idbd = IDBD(runs.learner.network.parameters.copy(), meta_step_size, step_size)
    for inputs, targets in zip(*runs.examples(0, 450)):
        prediction, _ = runs.learner.step(inputs, targets)
        with_bias = np.concatenate([inputs[..., 0], np.ones((2, 1))], axis=-1)
        error = idbd.step(with_bias, targets[:, 0, 0])
        assert_allclose((targets - prediction)[:, 0, 0], error, rtol=0, atol=1e-10)
    assert_allclose(runs.learner.optimizer.step_sizes, idbd.step_sizes, rtol=1e-10)
    assert (idbd.step_sizes != step_size).any()


def test_dead_units_and_ranks_are_percentages_of_all_hidden_units(array_module):
    """In the first bin, before any learning, 2 of 5 units are silenced by their biases: 40 %."""
    runs = start_regression()
    runs.learner.network.hidden[0].incoming.bias[:, 1:3] = -1000
    results = finish(runs)
    assert (results["dead_units"][:, 0] >= 40).all() and (results["dead_units"] % 20 == 0).all()
    assert (results["dormant_units"] >= results["dead_units"]).all()
    for rank in ("effective_rank", "stable_rank", "approximate_rank"):
        assert ((results[rank] >= 0) & (results[rank] <= 100)).all()
    assert (results["stable_rank"][:, 0] <= 60).all()  # three units are left
    assert (results["approximate_rank"] <= results["stable_rank"]).all()


@pytest.mark.parametrize(
    ("problem", "measured", "num_bins"),
    [("regression", ["squared_error"], 3), ("permuted", ["accuracy", "loss"], 2)],
)
def test_results_have_a_row_for_every_run_and_a_column_for_every_bin(problem, measured, num_bins, array_module):
    diagnosed = ["dead_units", "dormant_units", "effective_rank", "stable_rank", "approximate_rank"]
    for seeds in ([3], [3, 8, 5]):
        results = finish(BOTH[problem](seeds=seeds))
        assert list(results) == [*measured, "weight_magnitude", *diagnosed, "diverged_at"]
        for name, array in results.items():
            assert isinstance(array, np.ndarray)
            assert array.shape == ((len(seeds),) if name == "diverged_at" else (len(seeds), num_bins))
            assert np.isfinite(array).all()
        assert (results["diverged_at"] == -1).all()
    linear = finish(BOTH[problem](learner=LEARNERS["linear"]))
    assert list(linear) == [*measured, "weight_magnitude", "diverged_at"]  # no hidden units to diagnose


# --- runs side by side, and resuming ----------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize(
    ("start", "settings"),
    [
        (start_regression, REGRESSION),
        (start_permuted, PERMUTED),
        (start_permuted, replace(PERMUTED, halvings=1, num_hidden=4)),  # 134 parameters
    ],
    ids=["regression", "permuted", "permuted tiny"],
)
def test_a_run_alone_is_itself_among_others_to_the_bit(start, settings, learner):
    settings = replace(settings, **({"num_examples": 600} if start is start_regression else {"num_tasks": 1}))
    alone = finish(start(settings, LEARNERS[learner], [8]))
    among = finish(start(settings, LEARNERS[learner], [3, 5, 8, 1]))
    assert_same_results(alone, {name: array[2:3] for name, array in among.items()})


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("problem", BOTH)
def test_a_stream_resumed_at_the_end_of_any_chunk_ends_bit_for_bit_the_same(problem, learner):
    """Also if a chunk ends within a bin or a task. A state is a copy: continuing does not change it."""
    settings = LEARNERS[learner]
    expected = finish(BOTH[problem](learner=settings))
    runs = BOTH[problem](learner=settings)
    stops = 0
    while runs.progress < 1.0:
        runs.advance()
        state = {name: array.copy() for name, array in runs.state().items()}
        kept = runs.state()
        if runs.progress < 1.0:
            runs.advance()
        for name, array in state.items():
            assert_array_equal(kept[name], array, name)
        runs = BOTH[problem](learner=settings)
        runs.restore(state)
        stops += 1
    assert stops == {"regression": 9, "permuted": 2}[problem]
    assert_same_results(runs.results(), expected)


def test_a_learner_that_buffers_updates_may_be_stopped_as_well():
    """Its state requires that buffered updates are applied. This happens at the end of every chunk in any case."""
    settings = LearnerSettings(BufferedSGD(step_size=0.01))
    uninterrupted = start_permuted(BUFFERED, settings)
    expected = finish(uninterrupted)
    runs = start_permuted(BUFFERED, settings)
    while runs.progress < 1.0:
        runs.advance()
        state = runs.state()
        runs = start_permuted(BUFFERED, settings)
        runs.restore(state)
    assert_same_results(runs.results(), expected)
    assert_array_equal(runs.learner.network.parameters, uninterrupted.learner.network.parameters)


def test_a_state_of_another_problem_is_refused():
    with pytest.raises(ValueError):
        start_regression().restore(start_permuted().state())
    with pytest.raises(ValueError, match="^The state to restore has surplus in addition; restore it into"):
        start_regression().restore({**start_regression().state(), "surplus": np.zeros(2)})


@pytest.mark.parametrize("problem", BOTH)
def test_all_learners_of_a_seed_see_the_same_stream_and_begin_alike(problem, array_module):
    """Paper: the same data streams for all activations and step sizes."""
    streams, beginnings = [], []
    for name in ("backprop", "adam", "continual_backprop", "redo", "network_idbd", "metaoptimize", "dynamic"):
        runs = BOTH[problem](learner=LEARNERS[name])
        beginnings.append(host(runs.learner.network.parameters).copy())
        streams.append([host(array) for array in runs.examples(130, 140)])
    for stream, beginning in zip(streams[1:], beginnings[1:]):
        assert_array_equal(beginning, beginnings[0])
        assert_array_equal(stream[0], streams[0][0])
        assert_array_equal(stream[1], streams[0][1])


# --- divergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", ["backprop", "network_idbd", "metaoptimize", "dynamic"])
@pytest.mark.parametrize("problem", BOTH)
def test_a_run_that_diverges_is_nan_from_there_on_and_nobody_else_is(problem, learner):
    expected = finish(BOTH[problem](learner=LEARNERS[learner], seeds=[3, 8, 5]))
    runs = BOTH[problem](learner=LEARNERS[learner], seeds=[3, 8, 5])
    runs.advance()
    at = runs.position  # the end of a task: example 450 of bins of 600, 130 of bins of 130
    runs.learner.network.dense_layers[-1].weight[1] = np.nan  # so the hidden layers have not changed
    state = runs.state()
    with np.errstate(all="ignore"):
        found = finish(runs)
    assert found["diverged_at"].tolist() == [-1, at, -1]
    assert (state["diverged_at"] == -1).all()  # a state is a copy
    for name in expected.keys() - {"diverged_at"}:
        assert_array_equal(found[name][[0, 2]], expected[name][[0, 2]], name)
        whole = at // runs.bin_size  # bins that had ended; one more had been diagnosed before its first example
        last = whole + 1 if name in runs.diagnosed.arrays else whole
        assert_array_equal(found[name][1, :last], expected[name][1, :last], name)
        assert np.isnan(found[name][1, last:]).all(), name
    assert np.isfinite(found["weight_magnitude"][[0, 2]]).all()


@pytest.mark.parametrize("learner", ["backprop", "continual_backprop", "redo", "shrink_and_perturb"])
@pytest.mark.parametrize("problem", BOTH)
def test_a_block_that_diverges_altogether_still_gives_results(problem, learner):
    with np.errstate(all="ignore"):
        results = finish(BOTH[problem](learner=LEARNERS[learner].change(step_size=1e30)))
    assert ((results["diverged_at"] >= 1) & (results["diverged_at"] < 100)).all()
    assert np.isnan(results["weight_magnitude"]).all()
    assert np.isfinite(results["stable_rank"][:, 0]).all()  # taken before the first example
    assert np.isnan(results["stable_rank"][:, 1:]).all()


def test_a_step_size_for_each_run_makes_a_sweep_of_one_block():
    settings = BACKPROP.change(step_size=np.array([[0.01], [1e30], [0.01]], "float32"))
    with np.errstate(all="ignore"):
        found = finish(start_regression(learner=settings, seeds=[3, 8, 5]))
    assert (found["diverged_at"] >= 0).tolist() == [False, True, False]
    same_sizes = BACKPROP.change(step_size=np.full((3, 1), 0.01, "float32"))
    expected = finish(start_regression(learner=same_sizes, seeds=[3, 8, 5]))
    assert_array_equal(found["squared_error"][[0, 2]], expected["squared_error"][[0, 2]])


# --- settings, learners, scales ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task_length": 0}, "task_length must be a finite number, at least 1"),
        ({"bin_size": 0}, "bin_size must be a finite number, at least 1"),
        ({"magnitude_interval": 0}, "magnitude_interval must be a finite number, at least 1"),
        ({"num_examples": 1000}, "num_examples, 1000, must be a multiple of bin_size, 600"),
        ({"num_slow_bits": 20}, "num_slow_bits must be at least 1, and 1 to 16 less than num_bits"),
        ({"num_hidden": 0}, "num_hidden must be a finite number, at least 1"),
        ({"num_target_units": 0}, "num_target_units must be a finite number, at least 1"),
        ({"num_bits": 60}, "num_slow_bits must be at least 1, and 1 to 16 less than num_bits"),
        ({"num_slow_bits": 0}, "num_slow_bits must be at least 1, and 1 to 16 less than num_bits"),
    ],
)
def test_settings_of_the_regression_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(REGRESSION, **changes)


@pytest.mark.parametrize("name", ["num_tasks", "task_length", "num_hidden", "num_hidden_layers", "magnitude_interval"])
def test_settings_of_permuted_mnist_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be a finite number, at least 1"):
        replace(PERMUTED, **{name: 0})


def test_the_paper_scale_is_the_published_protocol():
    """Regression: 3 million examples, bins of 40,000, one bit every 10,000, 100 runs. MNIST: 800 tasks of 60,000
    through three layers of 2,000 units, 30 runs, step size 0.003. Published weight magnitudes are those of every
    step; ours are those of every sixteenth."""
    scale = regression.SCALES["paper"]
    values = scale.settings
    assert (values.num_examples, values.bin_size, values.task_length) == (3_000_000, 40_000, 10_000)
    assert (values.num_bits, values.num_slow_bits, values.num_target_units, values.beta) == (20, 15, 100, 0.7)
    assert (values.change, values.num_hidden, values.magnitude_interval, scale.runs) == ("flip_one", 5, 1, 100)
    scale = permuted_mnist.SCALES["paper"]
    values = scale.settings
    assert (values.digits, values.num_tasks, values.task_length, values.halvings) == ("mnist", 800, 60_000, 0)
    assert (values.num_hidden, values.num_hidden_layers, values.num_diagnostic_examples) == (2000, 3, 2000)
    assert (values.magnitude_interval, scale.runs) == (16, 30)
    (rule,) = scale.learners["continual_backprop"].rules
    assert (rule.maturity_threshold, rule.decay_rate) == (100, 0.99)
    assert (rule.utility, rule.rounding) == ("adaptable_contribution", "accumulate")
    of_regression = regression.SCALES["paper"].learners["continual_backprop"]
    (rule,) = of_regression.rules
    assert (rule.maturity_threshold, rule.rounding, of_regression.optimizer) == (10, "chance", SGD(step_size=0.01))


def test_learners_with_learned_step_sizes_leave_the_published_comparison_as_it_was():
    """They are available at every scale. At paper scale, the published learners and our baselines run by default."""
    main = ["backprop", "l2", "shrink_and_perturb", "continual_backprop", "adam", "dropout", "redo", "linear"]
    activations = ["tanh", "sigmoid", "leaky_relu", "elu", "swish"]
    for problem, expected in ((regression, [*main, *activations]), (permuted_mnist, main)):
        paper = problem.SCALES["paper"]
        assert list(paper.default_learners) == expected
        assert set(problem.STEP_SIZE_LEARNERS) <= set(paper.learners)


OVERNIGHT = {  # the problems that have this scale, and its default learners
    "continual_imagenet": ["backprop", "l2", "shrink_and_perturb", "continual_backprop_l2", "linear", "fresh"],
    "class_incremental_cifar": ["backprop", "l2", "shrink_and_perturb", "continual_backprop", "retrained"],
    "slippery_ant": ["ppo", "ppo_tuned_adam", "ppo_l2", "ppo_continual_backprop"],
    "stationary_ant": ["ppo", "ppo_l2", "ppo_continual_backprop"],
}


@pytest.mark.quick
def test_the_overnight_scale_takes_seven_core_hours_and_no_problem_more_than_70_minutes_on_two_cores():
    """By the estimates that the command announces; a block is all runs of a learner that one process takes."""
    core_seconds = {}
    for problem in OVERNIGHT:
        scale = PROBLEMS[problem].SCALES["overnight"]
        core_seconds[problem] = scale.seconds * scale.runs / scale.block * len(scale.default_learners)
        assert core_seconds[problem] <= 2 * 70 * 60, problem
    assert sum(core_seconds.values()) <= 7 * 3600


@pytest.mark.quick
def test_the_overnight_scale_has_the_published_structure():
    """2,000 tasks, as published of backprop; 100 classes by five; ten floors; at the laptop's sizes of networks."""
    overnight, laptop, paper = (
        {problem: PROBLEMS[problem].SCALES[name].settings for problem in OVERNIGHT}
        for name in ("overnight", "laptop", "paper")
    )
    assert overnight["continual_imagenet"].num_tasks == 2000
    assert overnight["continual_imagenet"].steps_per_task == 100
    cifar = "class_incremental_cifar"
    for field in ("num_classes", "classes_per_increment"):
        assert getattr(overnight[cifar], field) == getattr(paper[cifar], field)
    assert overnight["slippery_ant"].num_segments == paper["slippery_ant"].num_segments == 10
    assert overnight["stationary_ant"].steps_in_all == overnight["slippery_ant"].steps_in_all >= 10_000_000
    for problem, sizes in {
        "continual_imagenet": ("num_channels", "dense_units", "images", "halvings"),
        cifar: ("widths", "blocks", "images", "halvings"),
        "slippery_ant": ("hidden_units", "num_environments", "num_steps"),
        "stationary_ant": ("hidden_units", "num_environments", "num_steps"),
    }.items():
        for size in sizes:
            assert getattr(overnight[problem], size) == getattr(laptop[problem], size), size


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_scale_knows_the_same_learners_and_runs_the_main_ones(problem):
    scales = PROBLEMS[problem].SCALES
    assert list(scales) == ["smoke", "laptop", *(["overnight"] if problem in OVERNIGHT else []), "paper"]
    for name, scale in scales.items():
        assert set(scale.default_learners) <= set(scale.learners)
        assert set(scale.learners) == set(scales["paper"].learners)
        if name == "overnight":
            assert list(scale.default_learners) == OVERNIGHT[problem]
            continue
        if "backprop" not in scale.learners:  # linear learners, compared with each other
            continue
        main = {"backprop", "shrink_and_perturb", "continual_backprop"}
        if problem != "class_incremental_cifar":  # whose base system has weight decay
            main |= {"l2", "adam"}
        if problem.endswith("_ant"):  # whose base system is PPO
            main = {"ppo", "ppo_l2", "ppo_continual_backprop"}
        assert main <= set(scale.default_learners)


def test_every_learner_of_the_regression_makes_a_step():
    learners = {repr(learner): learner for scale in regression.SCALES.values() for learner in scale.learners.values()}
    assert len(learners) > 150
    for settings in learners.values():
        runs = start_regression(learner=settings, seeds=[0])
        inputs, targets = runs.examples(0, 1)
        before = host(runs.learner.network.parameters).copy()
        outputs, losses = runs.learner.step(inputs[0], targets[0])
        assert outputs.shape == (1, 1, 1) and np.isfinite(host(losses)).all()
        assert (host(runs.learner.network.parameters) != before).any()


def test_every_learner_of_permuted_mnist_makes_a_step():
    """With the learners of every scale, and a small network."""
    images, labels = load_digits(PERMUTED, None)
    for scale in permuted_mnist.SCALES.values():
        for settings in scale.learners.values():
            runs = PermutedDigits(
                replace(scale.settings, num_hidden=12, task_length=50), settings, [0, 1], images, labels
            )
            inputs, targets = runs.examples(0, 1)
            before = host(runs.learner.network.parameters).copy()
            outputs, losses = runs.learner.step(inputs[0], targets[0])
            runs.learner.network.flush()
            assert outputs.shape == (2, 10, 1) and np.isfinite(host(losses)).all()
            assert (host(runs.learner.network.parameters) != before).any()


def test_both_problems_run_on_the_device_without_mixing_it_with_the_host(array_module):
    for start in BOTH.values():
        for learner in ("continual_backprop", "l2_init", "redo", "dropout", "network_idbd", "metaoptimize", "dynamic"):
            runs = start(learner=LEARNERS[learner])
            runs.advance()
            assert runs.progress > 0
            restored = start(learner=LEARNERS[learner])
            restored.restore(runs.state())
            assert_array_equal(host(restored.learner.network.parameters), host(runs.learner.network.parameters))


def test_the_source_of_the_examples_tells_files_apart(tmp_path):
    """The source is part of a result's name, so that results of other digits do not count as done."""
    built_in = permuted_mnist.data_source(PERMUTED, None)
    assert built_in.startswith("1,797 real handwritten digits") and "sha256" in built_in
    sources = set()
    for brightness in (1, 2):
        write_training_set(tmp_path, num_images=20, brightness=brightness)
        settings = replace(PERMUTED, digits="mnist", task_length=10)
        sources.add(permuted_mnist.data_source(settings, tmp_path))
    assert len(sources) == 2 and all("MNIST: 20 images" in source for source in sources)
    assert "random" in regression.data_source(REGRESSION, None)


def write_training_set(folder, num_images, brightness):
    """Write the two files of MNIST in their official format, with very few digits."""
    images = np.full((num_images, 28, 28), brightness, "uint8")
    header = np.array([0x803, num_images, 28, 28], ">u4").tobytes()
    (folder / "train-images-idx3-ubyte").write_bytes(header + images.tobytes())
    labels = np.arange(num_images, dtype="uint8") % 10
    (folder / "train-labels-idx1-ubyte").write_bytes(np.array([0x801, num_images], ">u4").tobytes() + labels.tobytes())


def test_the_learners_of_permuted_mnist_at_paper_scale_are_the_published_ones():
    """Published configuration files: step size, decay, scale of the noise, replacement rate. The optimizers are fast
    forms of SGD; the one that buffers updates is for learners without weight decay and rules."""
    buffered = LearnerSettings(BufferedSGD(step_size=0.003))
    in_place = LearnerSettings(InPlaceSGD(step_size=0.003))
    adam = LearnerSettings(Adam(step_size=1e-4, beta_1=0.9, beta_2=0.999, epsilon=1e-8))
    rule = ContinualBackprop(
        replacement_rate=1e-6, maturity_threshold=100, decay_rate=0.99, utility="adaptable_contribution"
    )

    def decayed(decay, *rules):
        return LearnerSettings(InPlaceSGD(step_size=0.003, weight_decay=decay), rules)

    expected = {
        "backprop": buffered,
        "backprop_step_0.01": buffered.change(step_size=0.01),
        "backprop_step_0.001": buffered.change(step_size=0.001),
        "dropout": buffered.change(dropout=0.1),
        "linear": buffered.change(kind="linear"),
        "l2": decayed(1e-4),
        "l2_decay_0.001": decayed(1e-3),
        "l2_decay_1e-05": decayed(1e-5),
        "shrink_and_perturb": decayed(1e-4, ShrinkAndPerturb(perturb_scale=1e-5)),
        "shrink_and_perturb_scale_0.0001": decayed(1e-4, ShrinkAndPerturb(perturb_scale=1e-4)),
        "shrink_and_perturb_scale_1e-06": decayed(1e-4, ShrinkAndPerturb(perturb_scale=1e-6)),
        "continual_backprop": in_place.with_rules(rule),
        "continual_backprop_rate_0.0001": in_place.with_rules(replace(rule, replacement_rate=1e-4)),
        "continual_backprop_rate_1e-05": in_place.with_rules(replace(rule, replacement_rate=1e-5)),
        "redo": in_place.with_rules(ReDo(redo_period=10_000, redo_scores="period")),
        "adam": adam,
        "adam_step_3e-05": adam.change(step_size=3e-5),
        "adam_step_5e-05": adam.change(step_size=5e-5),
    }
    learners = permuted_mnist.SCALES["paper"].learners
    for name, settings in expected.items():
        assert learners[name] == settings, name


# --- L2 Init, which runs only on request ------------------------------------------------------------------------------

WITH_L2_INIT = ["slowly_changing_regression", "permuted_mnist", "continual_imagenet"]


def finish_smoke(problem, learner, seeds=(0, 1)):
    """Runs at smoke scale, and their parameters from before the first step."""
    runs = PROBLEMS[problem].start(PROBLEMS[problem].SCALES["smoke"].settings, learner, list(seeds), None)
    initial = runs.learner.network.parameters.copy()
    finish(runs)
    return runs, initial


@pytest.mark.parametrize("problem", WITH_L2_INIT)
def test_l2_init_is_a_learner_of_every_scale_and_of_no_default(problem):
    for scale in PROBLEMS[problem].SCALES.values():
        (rule,) = scale.learners["l2_init"].rules
        assert isinstance(rule, L2Init) and rule.init_decay > 0
        assert "l2_init" not in scale.default_learners
    runs, initial = finish_smoke(problem, PROBLEMS[problem].SCALES["smoke"].learners["l2_init"])
    assert (runs.learner.network.parameters != initial).any(axis=-1).all()
    for name, array in runs.results().items():
        assert np.isfinite(array).all(), name
    assert (runs.results()["diverged_at"] == -1).all()


@pytest.mark.parametrize("problem", WITH_L2_INIT)
def test_l2_init_without_strength_is_backprop_to_the_bit(problem):
    learners = PROBLEMS[problem].SCALES["smoke"].learners
    weak, _ = finish_smoke(problem, learners["l2_init"].change(init_decay=0.0))
    backprop, _ = finish_smoke(problem, learners["backprop"])
    assert_same_results(weak.results(), backprop.results())
    assert_array_equal(weak.learner.network.parameters, backprop.learner.network.parameters)


@pytest.mark.parametrize("problem", WITH_L2_INIT)
def test_l2_init_of_great_strength_stays_near_the_initial_parameters(problem):
    """A step of size alpha leaves 1 - alpha init_decay of the distance and adds alpha g. So a distance of about
    g / init_decay stays, where backprop adds up all its steps. The output layer of Continual ImageNet starts every task
    with zeros and is pulled toward those."""
    learners = PROBLEMS[problem].SCALES["smoke"].learners
    distances = []
    for learner in (learners["l2_init"].change(init_decay=30.0), learners["backprop"]):
        runs, initial = finish_smoke(problem, learner)
        if problem == "continual_imagenet":
            for view in runs.learner.network.views(initial)[-1].values():
                view[...] = 0
        distances.append(abs(runs.learner.network.parameters - initial).mean(axis=-1))
    assert (distances[0] > 0).all() and (distances[0] < 0.3 * distances[1]).all()


@pytest.mark.parametrize("width", [40, 90])
def test_a_run_alone_is_itself_among_others_also_where_weights_are_summed_by_blocks(width, monkeypatch):
    """The order of a sum must not depend on the number of runs side by side: `minilop.backend.blocks`."""
    monkeypatch.setattr("minilop.backend.NUMBERS_IN_CACHE", 700)
    settings = replace(PERMUTED, num_hidden=width)
    learner = permuted_mnist.SCALES["laptop"].learners["continual_backprop"].change(maturity_threshold=5)
    results, states = [], []
    for seeds in ([3], [2, 3], [0, 1, 2, 3, 4, 5]):
        runs = permuted_mnist.start(settings, learner, seeds, None)
        for _ in range(2):
            runs.advance()
        place = seeds.index(3)
        states.append({name: array[place] for name, array in runs.learner.state().items() if array.ndim > 1})
        results.append(runs.measured.arrays["weight_magnitude"][:, place])
    for state, magnitude in zip(states[1:], results[1:]):
        assert_array_equal(magnitude, results[0])
        for name, array in state.items():
            assert_array_equal(array, states[0][name], err_msg=name)


@pytest.mark.parametrize(
    ("problem", "learners", "panels"),
    [
        ("slowly_changing_regression", ["backprop", "linear", "dynamic"], [{"Backprop", "Dynamic"}]),
        ("slowly_changing_regression", ["linear", "idbd", "network_idbd"], [{"Linear", "IDBD"}, {"Network IDBD"}]),
        ("permuted_mnist", ["backprop", "metaoptimize"], [{"Backprop", "MetaOptimize"}]),
    ],
)
def test_learned_step_sizes_have_a_figure_of_their_own_and_stay_out_of_the_others(problem, learners, panels):
    results = {}
    for name in learners:
        settings = PROBLEMS[problem].SCALES["smoke"].learners[name]
        results[name] = LearnerResults(
            finish(BOTH[problem.split("_")[0 if problem == "permuted_mnist" else -1]](learner=settings)), [{}] * 2
        )
    settings = REGRESSION if problem.startswith("slowly") else PERMUTED
    figures = PROBLEMS[problem].figures(ResultSet(problem, "smoke", settings, results))
    drawn = [{text.get_text() for text in axes.texts} for axes in figures[f"{problem}_step_sizes"].axes]
    assert len(drawn) == len(panels) and all(names <= found for names, found in zip(panels, drawn))
    learned = {"Dynamic", "IDBD", "Network IDBD", "MetaOptimize"}
    for name in (problem, f"{problem}_diagnostics"):
        assert not learned & {text.get_text() for axes in figures[name].axes for text in axes.texts}
    diagnostics = figures[f"{problem}_step_sizes_diagnostics"]
    titles = [axes.get_title(loc="left").strip() for axes in diagnostics.axes]
    assert titles == ["Weight magnitude", "Dead units (%)", "Effective rank", "Stable rank"]
    assert learned & {text.get_text() for text in diagnostics.axes[1].texts}
    assert "Linear" not in {text.get_text() for text in diagnostics.axes[1].texts}  # it has no units


@pytest.mark.parametrize(
    ("problem", "learners", "num_panels"),
    [
        ("slowly_changing_regression", ["idbd", "autostep"], 1),  # linear: only the weights can be measured
        ("slowly_changing_regression", ["dynamic"], 4),
        ("permuted_mnist", ["network_idbd", "dynamic"], 4),
    ],
)
def test_learned_step_sizes_alone_leave_no_empty_figure(problem, learners, num_panels):
    results = {}
    for name in learners:
        settings = PROBLEMS[problem].SCALES["smoke"].learners[name]
        make = BOTH["permuted" if problem == "permuted_mnist" else "regression"]
        results[name] = LearnerResults(finish(make(learner=settings)), [{}] * 2)
    settings = REGRESSION if problem.startswith("slowly") else PERMUTED
    figures = PROBLEMS[problem].figures(ResultSet(problem, "smoke", settings, results))
    assert list(figures) == [f"{problem}_step_sizes", f"{problem}_step_sizes_diagnostics"]
    assert len(figures[f"{problem}_step_sizes_diagnostics"].axes) == num_panels
    for figure in figures.values():
        assert all(axes.lines for axes in figure.axes)
        assert "Mean over 2 runs;" in " ".join(figure.get_supxlabel().split())
