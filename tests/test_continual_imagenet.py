"""Continual ImageNet: its tasks by independent loops, its measures, and the independence of runs.

Dohare et al., Nature 632 (2024), "Continual ImageNet"; the published driver is imagenet/single_expr.py.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import strict_cupy
from conftest import device, host
from numpy.testing import assert_allclose, assert_array_equal

from minilop import backend
from minilop.data import DataError, halve, open_store, synthetic_objects
from minilop.data.imagenet32_conversion import convert
from minilop.fast import BufferedSGD, InPlaceSGD
from minilop.learner_settings import LearnerSettings, NetworkSettings, make_convnet, make_learner, make_mlp
from minilop.losses import cross_entropy
from minilop.optimizers import SGD, Adam
from minilop.plasticity import ContinualBackprop, L2Init, ShrinkAndPerturb
from problems import continual_imagenet as problem
from problems import permuted_mnist
from problems import slowly_changing_regression as regression
from problems.continual_imagenet import ImagePairs, Settings

TINY = Settings(
    images="easy",
    halvings=1,  # 16 x 16 pixels: convolutions and pooling leave 7 x 7 positions, then 2 x 2
    num_classes=5,
    num_tasks=3,
    num_training_images=12,
    num_test_images=7,
    num_epochs=2,
    batch_size=8,  # three mini-batches per epoch, six per task
    num_channels=(4, 5),
    kernel_sizes=(3, 3),
    dense_units=(6, 7),
    initialization="kaiming",
    bin_size=1,
)
STEPS = 6
BACKPROP = LearnerSettings(SGD(step_size=0.05, momentum=0.9))
CONTINUAL_BACKPROP = BACKPROP.with_rules(
    ContinualBackprop(replacement_rate=0.05, maturity_threshold=2, rate_counts="all")
)
LEARNERS = {
    "backprop": BACKPROP,
    "l2_init": BACKPROP.with_rules(L2Init(init_decay=0.01)),
    "shrink_and_perturb": BACKPROP.change(weight_decay=0.01).with_rules(ShrinkAndPerturb(perturb_scale=1e-3)),
    "continual_backprop": CONTINUAL_BACKPROP,
    "continual_backprop_layer_style": CONTINUAL_BACKPROP.change(
        decay_rate=0.0, utility="contribution", rate_counts="eligible", when="before_update"
    ),
    "adam": LearnerSettings(Adam(step_size=0.005)),
    "dropout": BACKPROP.change(dropout=0.3),
    "batch_norm": BACKPROP.change(batch_norm=True),
    "linear": BACKPROP.change(kind="linear"),
    "fresh": BACKPROP.change(reset="network"),
    "fresh_with_all_kinds_of_state": LearnerSettings(
        Adam(step_size=0.005),
        (ContinualBackprop(replacement_rate=0.05, maturity_threshold=2),),
        NetworkSettings(batch_norm=True, dropout=0.3),
        reset="network",
    ),
}
MEASURED = ["test_accuracy", "training_accuracy", "weight_magnitude"]  # at the end of a task
DIAGNOSED = ["dormant_units", "stable_rank"]  # at its start


def start(learner="backprop", seeds=(3, 8), settings=TINY, **changes):
    learner = LEARNERS[learner] if isinstance(learner, str) else learner
    return problem.start(replace(settings, **changes), learner, list(seeds), None)


def finish(runs):
    while runs.progress < 1.0:
        runs.advance()
    assert runs.progress == 1.0
    return runs.results()


def advance_to(runs, task):
    """Advance to the end of the previous task; `task` has not begun."""
    while runs.task < task:
        runs.advance()
    assert runs.step == 0


@pytest.fixture
def one_step_an_advance(monkeypatch):
    monkeypatch.setattr("problems.continual_imagenet.problem.IMAGES_AT_A_TIME", {"numpy": 1})


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_array_equal(found[name], array, name)


# --- which classes ----------------------------------------------------------------------------------------------------


def pairs(runs, num_tasks):
    """The classes of the first tasks, (num_tasks, R, 2)."""
    found = []
    for runs.task in range(num_tasks):
        found.append(runs.classes())
    return np.array(found)


@pytest.mark.quick
@pytest.mark.parametrize("num_classes", [6, 5])
def test_the_pairs_of_a_round_are_a_random_order_of_the_classes_two_by_two(num_classes, array_module):
    """Each class occurs once in a round of tasks. If their number is odd, each round omits a different class."""
    found = pairs(start(num_classes=num_classes, seeds=[3, 8, 5]), 40)
    assert found.shape == (40, 3, 2) and set(np.unique(found)) == set(range(num_classes))
    pairs_a_round = num_classes // 2
    for run in range(3):
        orders = found[:, run].reshape(40 // pairs_a_round, -1) if num_classes == 5 else found[:39, run].reshape(13, -1)
        assert all(len(set(order)) == 2 * pairs_a_round for order in orders.tolist())
        assert len({tuple(order) for order in orders.tolist()}) > 5  # a new order in the next round
        left_out = {min(set(range(5)) - set(order)) for order in orders.tolist()} if num_classes == 5 else set(range(5))
        assert left_out == set(range(5))
    assert (found[:, 0] != found[:, 1]).any() and (found[:, 1] != found[:, 2]).any()  # other runs, other pairs


def test_every_ordered_pair_is_as_likely_as_any_other():
    """4 * 3 = 12 of them, in the first and in the second task of a round; within five standard deviations."""
    found = pairs(start(num_classes=4, seeds=range(5)), 1200)
    for place in (0, 1):
        first, second = found[place::2].reshape(-1, 2).T
        counts = np.bincount(4 * first + second, minlength=16).reshape(4, 4)
        assert (np.diag(counts) == 0).all()  # a class is never paired with itself
        expected = 3000 / 12
        assert abs(counts[~np.eye(4, dtype=bool)] - expected).max() < 5 * math.sqrt(expected * 11 / 12)


@pytest.mark.quick
def test_a_run_has_the_pairs_of_its_seed_alone_or_among_others_whatever_learns_from_them():
    """Paper: all algorithms share the sequences."""
    expected = pairs(start(seeds=[3, 8, 5]), 12)
    assert_array_equal(pairs(start(seeds=[8]), 12)[:, 0], expected[:, 1])
    for learner in LEARNERS:
        assert_array_equal(pairs(start(learner, seeds=[5, 3]), 12), expected[:, [2, 0]])


# --- images and labels ------------------------------------------------------------------------------------------------


def images_by_hand(class_number, indices, halvings=1):
    """(N, 3, Y, X): bytes / 255 - 1/2."""
    images = synthetic_objects(int(class_number), indices, "easy")
    for _ in range(halvings):
        images = halve(images)
    return images / 255 - 0.5


@pytest.mark.quick
@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_inputs_are_the_first_images_of_both_classes_to_train_on_and_the_next_to_test_on(halvings, array_module):
    """The first class of the pair comes first; (R, 3, Y, X, N), centered at zero."""
    runs = start(halvings=halvings, kernel_sizes=(3, 2))
    runs.task = 1
    runs.load_task()
    side = 32 >> halvings
    for run in range(2):
        for images, indices in ((runs.training_images, range(12)), (runs.test_images, range(12, 19))):
            expected = np.concatenate([images_by_hand(each, indices, halvings) for each in runs.classes()[run]])
            assert images.shape == (2, 3, side, side, 2 * len(indices)) and images.dtype == "float32"
            assert_allclose(np.moveaxis(host(images)[run], -1, 0), expected, atol=1e-7)  # rounding of float32
    assert -0.5 <= host(runs.training_images).min() < -0.2 and 0.2 < host(runs.training_images).max() <= 0.5


@pytest.mark.quick
def test_an_epoch_shows_every_training_image_once_with_the_place_of_its_class_in_the_pair(array_module):
    """Labels 0 and 1 by position in the pair; every epoch of every task and run has its own order."""
    runs = start()
    orders = set()
    for runs.task in (0, 1):
        for epoch in range(2):
            batches = [runs.mini_batch(step) for step in range(3 * epoch, 3 * epoch + 3)]
            assert [batch.shape for batch, _ in batches] == [(2, 3, 16, 16, 8)] * 3
            shown = np.concatenate([host(images) for images, _ in batches], axis=-1)  # (R, 3, Y, X, 24)
            labels = np.concatenate([host(labels) for _, labels in batches], axis=-1)  # (R, 24)
            for run in range(2):
                in_file = [image.tobytes() for image in np.moveaxis(host(runs.training_images)[run], -1, 0)]
                order = [in_file.index(image.tobytes()) for image in np.moveaxis(shown[run], -1, 0)]
                assert sorted(order) == list(range(24))
                assert labels[run].tolist() == [place // 12 for place in order]
                orders.add(tuple(order))
    assert len(orders) == 2 * 2 * 2


def test_a_mini_batch_is_the_same_whichever_was_asked_for_before():
    """So a run can be resumed in the middle of an epoch. Step 4 is in the second epoch of both tasks."""

    def mini_batch(runs, task, step):
        runs.task = task
        return runs.mini_batch(step)

    runs = start()
    for task, step in ((0, 4), (1, 4), (1, 1), (0, 1), (0, 2), (0, 5), (1, 3)):
        for found, expected in zip(mini_batch(runs, task, step), mini_batch(start(), task, step)):
            assert_array_equal(found, expected)


def test_two_classes_that_differ_are_told_apart_whichever_comes_first(array_module):
    """Class 0 is dark on the left, class 1 on the right, with noise. The labels may be swapped between tasks."""

    def read_class(class_number):
        images = np.random.default_rng(class_number).normal(0, 0.1, (19, 3, 16, 16)).astype("float32")
        images[..., 8 * class_number : 8 * class_number + 8] -= 0.4
        return images

    settings = replace(TINY, num_classes=2, num_tasks=4, num_epochs=20)
    runs = ImagePairs(settings, BACKPROP.change(step_size=0.01), [3, 8], read_class)
    assert {tuple(pair) for pair in pairs(runs, 4).reshape(-1, 2).tolist()} == {(0, 1), (1, 0)}
    runs.task = 0
    results = finish(runs)
    assert (results["test_accuracy"] == 100).all() and (results["training_accuracy"] == 100).all()


# --- the beginning of a task ------------------------------------------------------------------------------------------


def parts(runs, vector):
    """Copies of the head's part of a vector like the parameters, and of the rest; (R, ...)."""
    head = runs.learner.network.dense_layers[-1]
    size = head.num_outputs * (head.num_inputs + 1)
    return host(vector)[:, -size:].copy(), host(vector)[:, :-size].copy()


@pytest.mark.parametrize("task", [0, 1, 2])
def test_a_task_begins_with_a_zero_head_and_everything_else_is_carried_over(task, array_module):
    """Only weights and biases of the output layer are zero. Its momentum and all unit statistics are kept."""
    runs = start("continual_backprop")
    advance_to(runs, task)
    before = runs.learner.state()
    head, body = parts(runs, runs.learner.network.parameters)
    assert (head != 0).sum() > 10 or task == 0
    runs.begin_task()
    after = runs.learner.state()
    assert_array_equal(parts(runs, runs.learner.network.parameters)[0], 0)
    assert_array_equal(parts(runs, runs.learner.network.parameters)[1], body)
    of_rule = {f"continual_backprop.{name}" for name in ("age.0", "utility.3", "units_to_replace.2")}
    assert after.keys() == before.keys() and {"optimizer.velocity", *of_rule} < after.keys()
    for name in before.keys() - {"parameters"}:
        assert_array_equal(after[name], before[name], name)
    velocity_of_head = parts(runs, runs.learner.optimizer.state["velocity"])[0]
    assert (velocity_of_head != 0).any() == (task > 0)


@pytest.mark.parametrize("learner", ["adam", "batch_norm", "linear"])
def test_other_learners_begin_a_task_with_a_zero_head_too(learner):
    """The linear learner has no other layer, so every task starts from scratch except for the momentum."""
    runs = start(learner)
    advance_to(runs, 1)
    before = runs.learner.state()
    runs.begin_task()
    after = runs.learner.state()
    head, body = parts(runs, runs.learner.network.parameters)
    assert not head.any() and (body.shape[1] == 0 if learner == "linear" else body.any())
    for name in before.keys() - {"parameters"}:
        assert_array_equal(after[name], before[name], name)


@pytest.mark.parametrize("reset", ["nothing", "network"])
def test_l2_init_pulls_toward_the_zero_head_that_a_task_starts_with(reset, array_module):
    """And toward the other initial parameters: those of the first task, or of the new network."""
    runs = start(LEARNERS["l2_init"].change(reset=reset))
    body = parts(runs, runs.learner.network.parameters)[1]
    for task in range(2):
        advance_to(runs, task)
        runs.begin_task()
        pulled_to_head, pulled_to_body = parts(runs, runs.learner.rules[0].initial_parameters)
        assert not pulled_to_head.any()
        if reset == "network":
            body = parts(runs, runs.learner.network.parameters)[1]
        assert_array_equal(pulled_to_body, body)
    assert (parts(runs, runs.learner.network.parameters)[1] == body).all() == (reset == "network")


@pytest.mark.parametrize("task", [0, 1])
def test_the_first_step_of_a_task_leads_no_gradient_below_the_head(task, array_module):
    """The weights of the head are zero, so both classes have probability one half, the loss is ln 2, and no gradient
    passes below. The layers below move by momentum alone: v <- 0.9 v, p <- p - 0.05 v."""
    runs = start()
    advance_to(runs, task)
    runs.begin_task()
    _, body = parts(runs, runs.learner.network.parameters)
    _, velocity = parts(runs, runs.learner.optimizer.state["velocity"])
    outputs, losses = runs.learner.step(*runs.mini_batch(0))
    assert not host(outputs).any()
    assert_allclose(host(losses), math.log(2), rtol=1e-6)
    of_head, of_body = parts(runs, runs.learner.gradients)
    assert of_head.any(axis=-1).all() and not of_body.any()
    assert velocity.any() == (task > 0)
    assert_allclose(parts(runs, runs.learner.network.parameters)[1], body - 0.05 * 0.9 * velocity, atol=1e-7)
    runs.learner.step(*runs.mini_batch(1))
    assert parts(runs, runs.learner.gradients)[1].any(axis=-1).all()  # the second one does


# --- what is measured -------------------------------------------------------------------------------------------------


def make_mirror(learner, settings=TINY, seeds=(3, 8)):
    """A separate learner for an independent loop."""
    kernels = tuple(zip(settings.num_channels, settings.kernel_sizes))
    network = make_convnet((3, 16, 16), kernels, settings.dense_units, 2, learner, list(seeds), "kaiming")
    return make_learner(network, cross_entropy, learner)


def percent_correct(network, pair_of, indices):
    """By hand: the network in evaluation, image by image, for both classes of each run's pair."""
    network.begin_evaluation()
    right = np.zeros(len(pair_of))
    for label in (0, 1):
        images = np.stack([images_by_hand(pair[label], indices) for pair in pair_of])  # (R, N, 3, Y, X)
        outputs = host(network.forward(device(np.moveaxis(images, 1, -1), "float32"))[-1])  # (R, 2, N)
        right += (outputs.argmax(axis=1) == label).sum(axis=-1)
    return 100 * right / (2 * len(indices))


@pytest.mark.parametrize("learner", ["backprop", "dropout", "batch_norm", "continual_backprop", "linear"])
def test_accuracies_are_those_of_the_evaluated_network_after_the_last_epoch(learner, array_module):
    """An independent loop drives a second learner through the same mini-batches. In evaluation there is no dropout, and
    normalization uses running statistics. Evaluation changes nothing, or the later tasks would differ."""
    settings = LEARNERS[learner]
    results = finish(start(settings, num_epochs=4))
    stream, mirror = start(settings, num_epochs=4), make_mirror(settings)
    for stream.task in range(3):
        head = mirror.network.dense_layers[-1]
        head.weight[...], head.bias[...] = 0, 0
        for step in range(12):
            mirror.step(*stream.mini_batch(step))
        for name, indices in (("test_accuracy", range(12, 19)), ("training_accuracy", range(12))):
            expected = percent_correct(mirror.network, stream.classes(), indices)
            assert_allclose(results[name][:, stream.task], expected, err_msg=name)
        weights = [abs(host(layer.weight)).reshape(2, -1) for layer in mirror.network.weighted_layers]
        magnitude = np.concatenate(weights, axis=-1).mean(axis=-1)  # all kernels and matrices; biases do not count
        assert_allclose(results["weight_magnitude"][:, stream.task], magnitude, rtol=1e-5)
    assert len(np.unique(results["test_accuracy"])) > 2


def diagnosed_by_hand(runs):
    """Dormant units and stable rank of each run in percent, on the test images of the current task."""
    runs.load_task()
    network = runs.learner.network
    network.begin_evaluation()
    values = network.forward(runs.test_images)
    found = []
    for run in range(runs.num_runs):
        dormant, num_units = 0, 0
        for layer, units in zip(network.hidden, (4, 5, 6, 7)):
            features = host(values[layer.feature_index])[run]  # (C, Y, X, N), flattened (C S, N) or (H, N)
            for unit in range(units):
                places = len(features) // units
                of_unit = features[unit * places : (unit + 1) * places].ravel()
                dormant += np.count_nonzero(of_unit) < 0.01 * of_unit.size
                num_units += 1
        singular = np.linalg.svd(features.astype(float), compute_uv=False)
        rank = next(k for k in range(1, 8) if singular[:k].sum() > 0.99 * singular.sum())
        found.append((100 * dormant / num_units, 100 * rank / 7))
    return np.transpose(found)


def test_a_channel_is_dormant_by_its_places_and_the_rank_is_that_of_the_last_hidden_layer(array_module):
    """Active under 1 % of the time, on the test images, before the task is learned. In run 0 a bias leaves the first
    channel active at 3 of its 7 * 7 positions on 14 images, 0.4 %; four more positions make 1.02 %. In run 1 two of
    the 22 units are always silent, and at most 5 of the last layer's 7 directions are left."""
    runs = start()
    network = runs.learner.network
    runs.load_task()
    pooled = np.sort(host(network.forward(runs.test_images)[2])[0, 0].ravel())[::-1]  # what the bias is added to
    assert len(pooled) == 7 * 7 * 14
    shares = []
    for num_active in (3, 7):
        network.hidden[0].bias.bias[0, 0] = -float(pooled[num_active - 1] + pooled[num_active]) / 2
        shares.append(host(runs.diagnose()["dormant_units"])[0])
        assert shares[-1] == pytest.approx(diagnosed_by_hand(runs)[0, 0])
    assert shares[0] - shares[1] == pytest.approx(100 / 22)
    network.hidden[3].bias.bias[1, 1:3] = -1000
    dormant, rank = (host(array) for array in runs.diagnose().values())
    assert_allclose([dormant, rank], diagnosed_by_hand(runs))
    assert dormant[1] >= 200 / 22 and rank[1] <= 500 / 7
    network.parameters[...] = 0  # nothing is active at all
    dormant, rank = (host(array) for array in runs.diagnose().values())
    assert_allclose(dormant, [100, 100])
    assert rank.tolist() == [0, 0]


@pytest.mark.parametrize("learner", ["backprop", "dropout", "batch_norm", "continual_backprop", "fresh"])
def test_features_are_looked_at_before_a_task_is_learned(learner, array_module):
    """At the first task of the initial network, then of the network after the previous task, or of a new network."""
    runs = start(learner)
    expected = []
    for task in range(3):
        advance_to(runs, task)
        if learner == "fresh" and task:
            looked_at = start(learner)
            looked_at.learner.network.initialize(task)
            looked_at.task = task
        else:
            looked_at = runs
        expected.append(diagnosed_by_hand(looked_at))
    results = finish(runs)
    assert_allclose(results["dormant_units"], np.array(expected)[:, 0].T)
    assert_allclose(results["stable_rank"], np.array(expected)[:, 1].T)


@pytest.mark.parametrize("seeds", [[3], [3, 8, 5]])
def test_results_have_a_row_for_every_run_and_a_column_for_every_task(seeds, array_module):
    results = finish(start(seeds=seeds))
    assert list(results) == [*MEASURED, *DIAGNOSED, "diverged_at"]
    for name, array in results.items():
        assert isinstance(array, np.ndarray)
        assert array.shape == ((len(seeds),) if name == "diverged_at" else (len(seeds), 3))
        assert np.isfinite(array).all()
    assert (results["diverged_at"] == -1).all()
    assert list(finish(start("linear"))) == [*MEASURED, "diverged_at"]  # no hidden units to diagnose


def test_progress_is_the_share_of_the_steps(one_step_an_advance):
    runs = start()
    for step in range(3 * STEPS):
        assert runs.progress == step / (3 * STEPS)
        runs.advance()
    assert runs.progress == 1.0


# --- a fresh network for every task -----------------------------------------------------------------------------------


def test_the_first_task_of_a_fresh_network_is_that_of_backprop():
    fresh, backprop = start("fresh"), start("backprop")
    for runs in (fresh, backprop):
        advance_to(runs, 1)
    assert_same(fresh.state(), backprop.state())


@pytest.mark.parametrize("learner", ["fresh", "fresh_with_all_kinds_of_state"])
def test_a_fresh_task_begins_with_new_weights_and_no_memory(learner, array_module):
    """Weights differ between tasks and runs. Velocity, moments, and statistics of units and normalization are reset."""
    runs = start(learner)
    first = {name: array for name, array in runs.learner.state().items() if name not in ("parameters", "num_steps")}
    bodies = []
    for task in range(3):
        advance_to(runs, task)
        if task:  # so the state is not the initial one
            forgotten = [name for name, array in runs.learner.state().items() if name in first and array.any()]
            assert len(forgotten) > len(first) / 2
        runs.begin_task()
        state = runs.learner.state()
        assert_same({name: state[name] for name in first}, first)
        assert state["num_steps"] == STEPS * task  # by which masks and fresh weights are named
        head, body = parts(runs, runs.learner.network.parameters)
        assert not head.any()
        bodies += list(body)
    same = [(one == other).mean() for place, one in enumerate(bodies) for other in bodies[:place]]
    assert max(same) < 0.3  # but for the biases, which kaiming sets to 0, and what normalization begins with


@pytest.mark.parametrize("learner", ["fresh", "fresh_with_all_kinds_of_state"])
def test_a_fresh_task_is_that_of_a_new_learner(learner, array_module):
    """A learner created for this task alone, with the initial weights of draw 2, ends it bit for bit the same."""
    runs = start(learner)
    finish(runs)
    stream, mirror = start(learner), make_mirror(LEARNERS[learner])
    mirror.restore({**mirror.state(), "num_steps": np.array(2 * STEPS)})
    mirror.network.initialize(2)
    head = mirror.network.dense_layers[-1]
    head.weight[...], head.bias[...] = 0, 0
    stream.task = 2
    for step in range(STEPS):
        mirror.step(*stream.mini_batch(step))
    assert_same(runs.learner.state(), mirror.state())


# --- runs beside each other, and going on after a stop ----------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_run_alone_is_itself_among_others_to_the_bit(learner):
    """All measures, and the whole state of the learner."""
    alone, among = start(learner, seeds=[8]), start(learner, seeds=[3, 5, 8, 1])
    assert_same(finish(alone), {name: array[2:3] for name, array in finish(among).items()})
    states = [
        {name: array for name, array in runs.learner.state().items() if name != "num_steps"} for runs in (alone, among)
    ]
    assert_same(states[0], {name: array[2:3] for name, array in states[1].items()})


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_sequence_resumed_at_any_moment_ends_bit_for_bit_the_same(learner, one_step_an_advance):
    """In the middle of an epoch, between two epochs and between two tasks. A state is a copy: neither the original
    runs nor the restored ones change it."""
    uninterrupted = start(learner)
    expected = finish(uninterrupted)
    runs = start(learner)
    stops = 0
    while runs.progress < 1.0:
        runs.advance()
        state = runs.state()
        kept = {name: array.copy() for name, array in state.items()}
        if runs.progress < 1.0:
            runs.advance()
        runs = start(learner)
        runs.restore(state)
        again = start(learner)
        again.restore(state)
        again.finite &= False
        if again.progress < 1.0:
            again.advance()
        assert_same(state, kept)
        stops += 1
    assert stops == 3 * STEPS
    assert_same(runs.results(), expected)
    assert_same(runs.state(), uninterrupted.state())


def test_a_state_may_be_restored_where_other_images_are_loaded(one_step_an_advance):
    """Back to an earlier task and epoch, in the same object."""
    runs = start("continual_backprop")
    states = []
    while runs.progress < 1.0:
        states.append(runs.state())
        runs.advance()
    expected = runs.state()
    for state in (states[7], states[16], states[0]):
        runs.restore(state)
        finish(runs)
        assert_same(runs.state(), expected)


def test_a_state_of_another_problem_or_network_is_refused():
    state = start().state()
    with pytest.raises(ValueError, match="parameters has the shape"):
        start(dense_units=(6, 8)).restore(state)
    with pytest.raises(ValueError, match="lacks .*age"):
        start("continual_backprop").restore(state)
    with pytest.raises(ValueError):
        regression.start(regression.SCALES["smoke"].settings, BACKPROP, [3, 8], None).restore(state)
    with pytest.raises(ValueError, match="^The state to restore has surplus in addition; restore it into"):
        start().restore({**start().state(), "surplus": np.zeros(2)})


# --- divergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", ["backprop", "shrink_and_perturb", "continual_backprop", "batch_norm", "fresh"])
def test_a_step_size_too_large_breaks_one_run_of_a_sweep_and_no_other(learner):
    """From the task in which it diverges, everything is NaN, even if every task has a new network. Its features were
    measured before that task was learned."""

    def sweep(size):
        sizes = np.array([[0.05], [size], [0.05]], "float32")
        with np.errstate(all="ignore"):
            return finish(start(LEARNERS[learner].change(step_size=sizes), seeds=[3, 8, 5]))

    found, expected = sweep(1e30), sweep(0.05)
    assert found["diverged_at"].tolist() == [-1, 0, -1]
    for name in MEASURED + DIAGNOSED:
        assert_array_equal(found[name][[0, 2]], expected[name][[0, 2]], name)
        assert np.isfinite(found[name][[0, 2]]).all()
        known = 1 if name in DIAGNOSED else 0
        assert_array_equal(found[name][1, :known], expected[name][1, :known], name)
        assert np.isnan(found[name][1, known:]).all(), name


@pytest.mark.parametrize("step", [0, 3, STEPS])
def test_a_run_that_diverges_later_keeps_what_was_measured_before(step, one_step_an_advance):
    """In the second task: before its first step, in the middle, or by its last step. In the last case all losses are
    finite, but the final weights are not."""
    expected = finish(start(seeds=[3, 8, 5]))
    runs = start(seeds=[3, 8, 5])
    advance_to(runs, 1)

    def breaking(phase):
        def then_break(*arguments):
            found = phase(*arguments)
            if runs.task == 1 and runs.learner.num_steps == STEPS + step:
                runs.learner.network.hidden[1].incoming.weight[1] = np.nan
            return found

        return then_break

    runs.begin_task, runs.learner.step = breaking(runs.begin_task), breaking(runs.learner.step)
    with np.errstate(all="ignore"):
        found = finish(runs)
    assert found["diverged_at"].tolist() == [-1, 1, -1]
    for name in MEASURED + DIAGNOSED:
        known = 2 if name in DIAGNOSED else 1
        assert_array_equal(found[name][[0, 2]], expected[name][[0, 2]], name)
        assert_array_equal(found[name][1, :known], expected[name][1, :known], name)
        assert np.isnan(found[name][1, known:]).all(), name


def test_a_block_in_which_a_run_diverges_may_be_resumed_before_and_after(one_step_an_advance):
    """Also between the first loss that is not finite and the end of the task, where the divergence is recorded."""
    sizes = np.array([[0.05], [1e30], [0.05]], "float32")
    settings = BACKPROP.change(step_size=sizes)
    with np.errstate(all="ignore"):
        expected = finish(start(settings, seeds=[3, 8, 5]))
        runs = start(settings, seeds=[3, 8, 5])
        while runs.progress < 1.0:
            state = runs.state()
            kept = {name: array.copy() for name, array in state.items()}
            runs.advance()
            assert_same(state, kept)  # although a run has diverged since
            runs = start(settings, seeds=[3, 8, 5])
            runs.restore(state)
            assert_same(runs.state(), state)
            runs.advance()
    assert expected["diverged_at"].tolist() == [-1, 0, -1]
    assert_same(runs.results(), expected)


# --- Continual Backprop with batch normalization ----------------------------------------------------------------------


def test_a_channel_that_is_replaced_in_a_task_begins_its_normalization_anew(array_module):
    """Scale 1, bias 0, running mean 0 and variance 1, and zero outgoing weights, except to units that are new as well.
    The other channels do not change."""
    runs = start(CONTINUAL_BACKPROP.change(batch_norm=True, replacement_rate=0.1), num_epochs=4)
    runs.begin_task()
    (rule,), seen = runs.learner.rules, 0
    for step in range(2 * STEPS):
        runs.learner.step(*runs.mini_batch(step))
        replaced = [host(units["age"]) == 0 for units in rule.units]  # in this very step
        for layer, new, new_next in zip(runs.learner.network.hidden[:2], replaced, replaced[1:]):  # (R, C) each
            seen += new.sum()
            for name, fresh in (("scale", 1), ("bias", 0), ("running_mean", 0), ("running_variance", 1)):
                values = host(getattr(layer.normalization, name)).reshape(new.shape)
                assert (values[new] == fresh).all()
                if name.startswith("running"):
                    assert (values[~new] != fresh).all()
            leaving = host(layer.outgoing_weight(layer.outgoing.weight))  # (R, O, C, ...)
            silent = (leaving == 0).all(axis=tuple(range(3, leaving.ndim)))  # (R, O, C)
            assert_array_equal(silent, new[:, None, :] & ~new_next[:, :, None])
    assert seen > 10


# --- settings that cannot be used -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 7}, "batch_size, 7, must divide the 24 images of an epoch"),
        ({"num_tasks": 3, "bin_size": 2}, "num_tasks, 3, must be a multiple of bin_size, 2"),
        ({"kernel_sizes": (3,)}, "num_channels and kernel_sizes need one number for each convolution, at least one"),
        ({"num_channels": (), "kernel_sizes": ()}, "need one number for each convolution, at least one"),
        ({"num_channels": (4, 0)}, "num_channels, kernel_sizes and dense_units must be at least 1 each"),
        ({"kernel_sizes": (-1, 3)}, "num_channels, kernel_sizes and dense_units must be at least 1 each"),
        ({"dense_units": (6, 0)}, "num_channels, kernel_sizes and dense_units must be at least 1 each"),
        ({"images": "imagenet32"}, "halvings=1 is for generated images; set halvings=0 too, or choose images=hard"),
        ({"num_classes": 1}, "num_classes must be a finite number, at least 2"),
        ({"halvings": -1}, "halvings must be a finite number, at least 0"),
        *[
            ({name: 0}, f"{name} must be a finite number, at least 1")
            for name in ("num_tasks", "num_training_images", "num_test_images", "num_epochs", "batch_size", "bin_size")
        ],
    ],
    ids=str,
)
def test_settings_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"halvings": 3},
            "Images of 4 x 4 pixels are too small for kernels of size 3, 3, each followed by 2 x 2 pooling",
        ),
        ({"kernel_sizes": (17, 1)}, "Images of 16 x 16 pixels are too small for kernels"),
        ({"halvings": 6}, "cannot be halved"),
    ],
    ids=str,
)
def test_images_too_small_for_the_network_are_refused_at_the_start(changes, message):
    with pytest.raises(ValueError, match=message):
        start(**changes)


def test_learners_that_cannot_learn_from_images_are_refused_at_the_start():
    for optimizer in (InPlaceSGD(), BufferedSGD()):
        with pytest.raises(ValueError, match=f"{optimizer.name} is for networks of dense layers; choose sgd"):
            start(LearnerSettings(optimizer), batch_size=1)
        with pytest.raises(
            ValueError, match=f"{optimizer.name} learns from one example per step; choose a batch_size of 1"
        ):
            start(LearnerSettings(optimizer), batch_size=8)
    with pytest.raises(ValueError, match="batch_norm needs mini-batches; choose a batch_size of at least 2"):
        start("batch_norm", batch_size=1)
    finish(start("backprop", batch_size=1, num_tasks=1))
    finish(start("batch_norm", batch_size=2, num_tasks=1))


@pytest.mark.parametrize("online", [regression, permuted_mnist])
def test_the_online_problems_refuse_what_needs_tasks_or_mini_batches(online):
    settings = online.SCALES["smoke"].settings
    with pytest.raises(ValueError, match="reset is for problems that tell the learner of a new task"):
        online.start(settings, BACKPROP.change(reset="network"), [0], None)
    with pytest.raises(ValueError, match="batch_norm needs a network that learns from mini-batches"):
        online.start(settings, BACKPROP.change(batch_norm=True), [0], None)


# --- the store of ImageNet 32 x 32 ------------------------------------------------------------------------------------

OF_STORE = replace(
    TINY,
    images="imagenet32",
    halvings=0,
    num_classes=3,
    num_training_images=4,
    num_test_images=2,
    batch_size=4,
    num_channels=(3,),
    kernel_sizes=(5,),
    dense_units=(4,),
)


def make_store(folder, images):
    """Make a store of few classes from images (classes, 700, 3, 32, 32) in the prepared layout, classes/N.npy."""
    (folder / "classes").mkdir(parents=True)
    for class_number, of_class in enumerate(images):
        np.save(folder / "classes" / f"{class_number}.npy", of_class)
    convert(folder / "classes", folder / "store", num_classes=len(images))
    return folder / "store"


@pytest.fixture(scope="module")
def pixels():
    """(3 classes, 700, 3, 32, 32) bytes."""
    return np.random.default_rng(0).integers(0, 256, (3, 700, 3, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module", params=["bytes", "floats"])
def store(request, pixels, tmp_path_factory):
    """The folder of a store, and the inputs expected from it, (3, 700, 3, 32, 32)."""
    mean = (pixels[:, :600].mean(axis=(0, 1)) / 255).astype("float32")  # of the training images alone
    centred = pixels / np.float32(255) - mean
    images = pixels if request.param == "bytes" else centred
    return make_store(tmp_path_factory.mktemp(request.param), images), centred


def test_the_store_gives_the_first_images_to_train_on_and_the_last_to_test_on(store):
    """Published driver: of the 700 images of a class the first 600, and the last 100. Both are bytes / 255 - mean."""
    folder, expected = store
    runs = problem.start(OF_STORE, BACKPROP, [3, 8], folder)
    runs.load_task()
    for run, pair in enumerate(runs.classes()):
        for images, which in ((runs.training_images, slice(4)), (runs.test_images, slice(698, 700))):
            both = np.concatenate([expected[each, which] for each in pair])
            assert_allclose(np.moveaxis(images[run], -1, 0), both, atol=1e-6)
    results = finish(runs)
    assert np.isfinite(results["test_accuracy"]).all() and (results["diverged_at"] == -1).all()


def test_stores_are_told_apart_by_their_numbers_and_not_by_where_they_lie(store, pixels, tmp_path):
    """The source is part of a result's fingerprint. A store made from other images is a different source."""
    folder, _ = store
    found = problem.data_source(OF_STORE, folder)
    assert found.startswith("images in the form of ImageNet 32 x 32, not compared with a published checksum: 3 cl")
    images = np.array(open_store(folder).array)
    assert problem.data_source(OF_STORE, make_store(tmp_path / "copy", images)) == found
    images[2, 5, 1, 7, 9] = 1 - images[2, 5, 1, 7, 9] if images.dtype != np.uint8 else images[2, 5, 1, 7, 9] ^ 255
    assert problem.data_source(OF_STORE, make_store(tmp_path / "other", images)) != found
    assert problem.data_source(TINY, None) == "generated images, easy"
    assert problem.data_source(replace(TINY, images="hard"), None) == "generated images, hard"


def test_a_store_that_is_missing_or_too_small_is_told_in_one_sentence(store, tmp_path, monkeypatch):
    folder, _ = store
    monkeypatch.chdir(tmp_path)  # without --data, the folder is `data`
    for missing, named in ((tmp_path / "nowhere", tmp_path / "nowhere"), (None, "data")):
        remedy = (
            f"There is no {named}/images.npy, .*; make it with python -m minilop.data imagenet32 SOURCE --out {named}"
        )
        with pytest.raises(DataError, match=remedy):
            problem.start(OF_STORE, BACKPROP, [3], missing)
        with pytest.raises(DataError, match=remedy):
            problem.data_source(OF_STORE, missing)
    for changes, message in (
        ({"num_classes": 4}, "4 classes of 6 images are needed, but the store has 3 of 700; set num_classes"),
        ({"num_training_images": 700}, "3 classes of 702 images are needed, but the store has 3 of 700"),
    ):
        with pytest.raises(DataError, match=message):
            problem.start(replace(OF_STORE, **changes), BACKPROP, [3], folder)


# --- scales and learners ----------------------------------------------------------------------------------------------


def test_the_paper_scale_is_the_published_protocol():
    """1,000 classes, 600 and 100 images of each, 250 epochs of mini-batches of 100: 3,000 updates per task."""
    scale = problem.SCALES["paper"]
    values = scale.settings
    assert (values.images, values.num_classes, values.num_tasks) == ("imagenet32", 1000, 5000)
    assert (values.num_training_images, values.num_test_images) == (600, 100)
    assert (values.num_epochs, values.batch_size, values.steps_per_task) == (250, 100, 3000)
    assert (values.initialization, values.bin_size, scale.runs) == ("default", 50, 30)
    assert values.steps_per_task == 250 * 1200 // 100
    network = paper_network("backprop")
    assert network.num_parameters == 177_218
    assert [layer.incoming.num_outputs for layer in network.hidden] == [32, 64, 128, 128, 128]


def paper_network(name):
    scale = problem.SCALES["paper"]
    values, settings = scale.settings, scale.learners[name]
    kernels = tuple(zip(values.num_channels, values.kernel_sizes))
    return make_convnet((3, 32, 32), kernels, values.dense_units, 2, settings, [0], values.initialization)


def test_the_learners_of_the_paper_scale_are_the_published_ones():
    """Published configuration files: step size, decay, scale of the noise, replacement rate; momentum 0.9 for all."""
    learners = problem.SCALES["paper"].learners
    backprop = LearnerSettings(SGD(step_size=0.01, momentum=0.9))
    rule = ContinualBackprop(replacement_rate=3e-4, maturity_threshold=100, decay_rate=0.99)
    expected = {
        "backprop": backprop,
        "backprop_step_0.01": backprop,
        "backprop_step_0.001": backprop.change(step_size=0.001),
        "backprop_step_0.0001": backprop.change(step_size=0.0001),
        "l2": LearnerSettings(SGD(step_size=0.03, momentum=0.9, weight_decay=3e-6)),
        "shrink_and_perturb": LearnerSettings(
            SGD(step_size=0.01, momentum=0.9, weight_decay=1e-5), (ShrinkAndPerturb(perturb_scale=1e-5),)
        ),
        "continual_backprop": backprop.with_rules(
            replace(
                rule,
                utility="adaptable_contribution",
                rate_counts="all",
                rounding="accumulate",
                when="after_update",
            )
        ),
        "continual_backprop_layer_style": backprop.with_rules(
            replace(
                rule,
                decay_rate=0.0,
                utility="contribution",
                rate_counts="eligible",
                rounding="accumulate",
                when="before_update",
            )
        ),
        "fresh": backprop.change(reset="network"),
        "linear": backprop.change(kind="linear"),
    }
    for name, settings in expected.items():
        assert learners[name] == settings, name


@pytest.mark.parametrize("name", ["continual_backprop", "continual_backprop_layer_style"])
def test_a_task_of_the_paper_replaces_as_many_units_as_nine_tenths_of_a_layer(name):
    """From step 101 on, rho times all units of a layer are due per step: 28.8 of 32, 57.6 of 64 and 115.2 of 128 in the
    3,000 steps of a task. Counting only eligible units gives 3 % less, because each replaced unit, rho n per step, is
    not counted for the 100 steps until it is mature. Only the number of units matters, so dense layers suffice."""
    scale = problem.SCALES["paper"]
    settings, num_units = scale.learners[name], (32, 64, 128)
    network = make_mlp((1, *num_units, 1), settings, [0])
    rule = settings.rules[0].bind(network, settings.optimizer.bind(network.parameters))
    values = network.forward(np.ones((1, 1, 1), "float32"))
    num_tasks, steps = 3, scale.settings.steps_per_task
    replaced = np.zeros((num_tasks * steps, len(num_units)))
    for step in range(num_tasks * steps):
        for masks in (rule.before_update(values, None, step), rule.after_update(values, None, step)):
            for index, mask in enumerate(masks or []):
                replaced[step, index] += 0 if mask is None else mask.sum()
    assert not replaced[:100].any()  # no unit is mature
    rate = 1 if rule.rate_counts == "all" else 1 / (1 + 3e-4 * 101)
    late = replaced[steps:].sum(axis=0) / (num_tasks - 1)
    assert late == pytest.approx(np.array([28.8, 57.6, 115.2]) * rate, abs=0.5)
    if rule.rate_counts == "all":
        expected = [math.floor(3e-4 * number * (num_tasks * steps - 100) + 1e-9) for number in num_units]
        assert replaced.sum(axis=0).tolist() == expected


def test_every_learner_of_every_scale_makes_a_step():
    """Two steps, because the first step of a task changes only the head; small images and a small network."""
    shrunk = {field: getattr(TINY, field) for field in ("images", "halvings", "num_channels", "kernel_sizes")}
    images = {number: images_by_hand(number, range(19)).astype("float32") for number in range(5)}
    for scale in problem.SCALES.values():
        settings = replace(
            scale.settings,
            **shrunk,
            num_classes=5,
            num_training_images=12,
            num_test_images=7,
            batch_size=8,
            dense_units=(6, 7),
        )
        assert len(scale.learners) >= 21
        for name, learner in scale.learners.items():
            runs = ImagePairs(settings, learner, [0, 1], images.__getitem__)
            runs.begin_task()
            before = host(runs.learner.network.parameters).copy()
            for step in (0, 1):
                outputs, losses = runs.learner.step(*runs.mini_batch(step))
                assert outputs.shape == (2, 2, 8) and np.isfinite(host(losses)).all(), name
            after = host(runs.learner.network.parameters)
            assert np.isfinite(after).all() and (after != before).any(axis=-1).all(), name
            for layer in runs.learner.network.weighted_layers:
                assert host(layer.weight_gradient).reshape(2, -1).any(axis=-1).all(), name  # it reaches every layer


# --- on the device ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_sequence_of_tasks_on_the_device_is_that_on_the_host(learner):
    """The stand-in for CuPy refuses to mix the two. In float64, because it processes all rows of an image at a time and
    NumPy a few, so that they round differently by 1e-16."""
    settings = LEARNERS[learner].change(dtype="float64")
    found = []
    for module in ("numpy", strict_cupy.cupy):
        backend.use(module)
        try:
            runs = start(settings)
            advance_to(runs, 1)
            resumed = start(settings)
            resumed.restore(runs.state())
            found.append({**finish(resumed), "parameters": resumed.state()["learner.parameters"]})
        finally:
            backend.use("numpy")
    assert found[0].keys() == found[1].keys()
    for name, array in found[0].items():
        assert_allclose(found[1][name], array, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("learner", ["backprop", "l2_init", "shrink_and_perturb", "adam", "batch_norm"])
def test_between_the_borders_of_a_task_nobody_waits_for_the_device(learner, strict, one_step_an_advance):
    """There is no transfer in advances that neither begin nor end a task, because the device records whether losses are
    finite, and one synchronization at the end of an advance, so that progress is true. A learner without random draws
    uploads nothing in the middle of an epoch either."""
    runs = start(learner)
    for step in range(STEPS):
        strict.reset()
        runs.advance()
        if 0 < step < STEPS - 1:
            assert (strict.synchronisations, strict.transfers) == (1, 0)
            if learner != "shrink_and_perturb":
                assert (strict.uploads > 0) == (step % 3 == 0)  # an epoch's order is drawn from a few numbers
    assert strict.transfers > 0  # the end's measures


def test_continual_backprop_fetches_the_number_of_eligible_units_of_each_layer_and_nothing_else(
    strict, one_step_an_advance
):
    runs = start("continual_backprop")
    for step in range(STEPS):
        strict.reset()
        runs.advance()
        if 0 < step < STEPS - 1:
            assert (strict.synchronisations, strict.transfers) == (1, 4)  # four hidden layers


@pytest.mark.parametrize("learner", ["backprop", "fresh"])
def test_a_task_costs_as_many_transfers_whatever_its_length(learner, strict):
    found = []
    for num_epochs in (1, 4):
        runs = start(learner, num_epochs=num_epochs)
        advance_to(runs, 1)
        strict.reset()
        advance_to(runs, 2)
        found.append((strict.synchronisations, strict.transfers))
    assert found[0] == found[1]
    assert found[0][0] == 1  # all steps of the task are one advance here
