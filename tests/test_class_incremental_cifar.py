"""Class-incremental CIFAR-100: arriving classes, outputs of unseen classes, early stopping, measures.

Dohare et al., Nature 632 (2024), Methods, "Class-incremental CIFAR-100", and the published code.
"""

from dataclasses import replace

import numpy as np
import pytest
from conftest import device, host
from numpy.testing import assert_allclose, assert_array_equal

from minilop import data, diagnostics
from minilop.experiment.results import LearnerResults, ResultSet
from minilop.fast import InPlaceSGD
from minilop.learner_settings import LearnerSettings
from minilop.losses import cross_entropy
from minilop.optimizers import SGD, Adam
from minilop.plasticity import ContinualBackprop, ShrinkAndPerturb
from problems import class_incremental_cifar as problem
from problems.class_incremental_cifar import SCALES, Settings
from problems.class_incremental_cifar.figures import relative_to_retrained, significant_differences
from problems.class_incremental_cifar.measures import count_correct, diagnose, diagnose_on

TINY = Settings(
    images="easy",
    halvings=1,
    num_classes=6,
    classes_per_increment=2,
    num_training_images=12,
    num_validation_images=4,
    num_test_images=6,
    num_epochs=3,
    batch_size=8,
    crop_padding=2,
    widths=(4, 4, 8),
    blocks=(1, 1, 1),
    num_diagnostic_images=20,
)
PLAIN = replace(TINY, flip=False, crop_padding=0, rotation=0.0)
LEARNERS = {name: SCALES["smoke"].learners[name] for name in SCALES["smoke"].default_learners}
LEARNERS["continual_backprop"] = LEARNERS["continual_backprop"].change(replacement_rate=0.02, maturity_threshold=2)
BACKPROP = LEARNERS["backprop"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Let `advance` process two or three mini-batches at a time, so that a run can be stopped within an epoch."""
    monkeypatch.setattr("problems.class_incremental_cifar.problem.IMAGES_AT_A_TIME", {"numpy": 48})


def start(settings=TINY, learner=BACKPROP, seeds=(3, 8)):
    return problem.start(settings, learner, list(seeds), None)


def percent_correct(runs, which):
    number = runs.settings.mini_batches(runs.increment, len(runs.examples.indices_of[which]))
    network, num_seen = runs.learner.network, runs.num_seen
    runs.num_correct[which] = count_correct(network, runs.examples, which, num_seen, range(number))
    return host(runs.accuracy(which))


def mini_batch(runs, step):
    return runs.examples.mini_batch(runs.increment, runs.epoch, step, runs.learner.num_steps)


def advance_to(runs, increment, epoch=0):
    while (runs.increment, runs.epoch) < (increment, epoch):
        runs.advance()
    return runs


def finish(runs):
    while runs.progress < 1.0:
        runs.advance()
    assert runs.progress == 1.0
    return runs.results()


def assert_same_results(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_array_equal(found[name], array, name)


def arrays_of(runs):
    return {name: host(array).copy() for name, array in runs.learner.arrays().items()}


# --- classes and images -----------------------------------------------------------------------------------------------


def test_every_run_has_an_order_of_the_classes_that_all_learners_share(array_module):
    orders = [start(learner=learner, seeds=range(5)).examples.class_order for learner in LEARNERS.values()]
    for order in orders:
        assert (np.sort(order, axis=-1) == np.arange(6)).all()
        assert_array_equal(order, orders[0])
    assert len({tuple(order) for order in orders[0]}) > 2
    assert_array_equal(start(seeds=[3]).examples.class_order[0], orders[0][3])


@pytest.mark.quick
def test_an_epoch_shows_every_training_image_of_the_classes_so_far_once(array_module):
    """And no validation or test images. The label is the position of the class in the order of arrival."""
    runs = start(PLAIN)
    kept = {}
    for increment in range(3):
        for epoch in range(2):
            runs.increment, runs.epoch = increment, epoch
            number = runs.settings.steps_per_epoch(increment)
            assert number == 3 * (increment + 1)
            batches = [mini_batch(runs, step) for step in range(number)]
            labels = np.concatenate([host(batch[1]) for batch in batches], axis=-1)  # (R, N)
            images = np.concatenate([host(batch[0]) for batch in batches], axis=-1)  # (R, C, Y, X, N)
            indices = host(runs.examples.epoch_indices)
            for run in range(2):
                expected = [22 * c + i for c in runs.examples.class_order[run, : 2 * increment + 2] for i in range(12)]
                assert sorted(indices[run].tolist()) == sorted(expected)
                assert_array_equal(runs.examples.class_order[run][labels[run]], indices[run] // 22)
            kept[increment, epoch] = indices[0].tolist()
            image = data.halve(data.synthetic_objects(indices[1, 5] // 22, [indices[1, 5] % 22], "easy"))[0]
            assert_allclose(images[1, ..., 5], (image / 255 - 0.4) / 0.22, rtol=1e-4, atol=1e-5)
    assert len(set(map(tuple, kept.values()))) == 6  # every epoch has its own order


@pytest.mark.quick
def test_images_to_train_on_are_changed_and_those_to_measure_with_are_not(array_module):
    changed, plain = (host(mini_batch(start(settings), 0)[0]) for settings in (TINY, PLAIN))
    assert changed.shape == plain.shape == (2, 3, 16, 16, 8)
    assert (changed != plain).any(axis=(1, 2, 3)).mean() > 0.9
    assert_array_equal(
        host(start(TINY).examples.inputs(device([[5], [7]]))), host(start(PLAIN).examples.inputs(device([[5], [7]])))
    )


@pytest.mark.quick
def test_an_increment_of_five_classes_has_25_updates_an_epoch():
    """Published: 25 with 5 classes, 500 with 100; 1.05 million in all."""
    settings = Settings()
    assert [settings.steps_per_epoch(increment) for increment in (0, 1, 19)] == [25, 50, 500]
    assert sum(200 * settings.steps_per_epoch(increment) for increment in range(20)) == 1_050_000


@pytest.mark.quick
def test_where_the_batch_does_not_divide_the_images_the_last_one_is_smaller():
    runs = start(replace(TINY, batch_size=10))
    assert runs.settings.steps_per_epoch(0) == 3
    assert [mini_batch(runs, step)[1].shape[-1] for step in range(3)] == [10, 10, 4]


def test_the_step_size_falls_three_times_in_an_increment_and_starts_again():
    """Published: epochs 0-59 0.1, 60-119 0.02, 120-159 0.004, 160-199 0.0008."""
    factors = [Settings().step_size_at(epoch) for epoch in range(200)]
    assert_allclose(factors, [1] * 60 + [0.2] * 60 + [0.04] * 40 + [0.008] * 40)
    runs = start(replace(TINY, num_epochs=5, step_size_falls=(0.4, 0.8)))
    used = {}
    while runs.progress < 1.0:
        place = runs.increment, runs.epoch
        runs.advance()
        used.setdefault(place, set()).add(runs.learner.optimizer.step_size)
    for increment in range(3):
        for epoch, factor in enumerate([1, 1, 0.2, 0.2, 0.04]):
            (step_size,) = used[increment, epoch]
            assert step_size == pytest.approx(BACKPROP.optimizer.step_size * factor)


# --- outputs of classes seen and unseen -------------------------------------------------------------------------------


def test_the_loss_and_the_accuracy_are_those_among_the_classes_seen(array_module):
    runs = start()
    outputs = np.random.default_rng(0).normal(size=(2, 6, 9)).astype("float32")
    labels = np.random.default_rng(1).integers(0, 4, size=(2, 9))
    runs.increment = 1
    losses, gradient = (host(array) for array in runs.loss(device(outputs), device(labels)))
    expected, inner = (host(array) for array in cross_entropy(device(outputs[:, :4]), device(labels)))
    assert_array_equal(losses, expected)
    assert_array_equal(gradient[:, :4], inner)
    assert (gradient[:, 4:] == 0).all()

    head = runs.learner.network.dense_layers[-1]
    head.weight[...] = 0
    head.bias[...] = device([[0.0], [1], [0], [0], [9], [9]])  # the last two classes have not arrived
    for which in ("training", "validation", "test"):
        assert percent_correct(runs, which).tolist() == [25, 25]


def test_published_outputs_are_there_from_the_start_and_only_decay_until_their_classes_arrive(array_module):
    runs = start(learner=BACKPROP.change(weight_decay=0.0))
    head = runs.learner.network.dense_layers[-1]
    before = host(head.weight).copy()
    advance_to(runs, 1)
    assert_array_equal(host(head.weight)[:, 2:], before[:, 2:])
    assert (host(head.weight)[:, :2] != before[:, :2]).any()
    runs = start(replace(TINY, num_epochs=1), BACKPROP.change(weight_decay=0.1))
    head, expected, velocity = runs.learner.network.dense_layers[-1], before[:, 2:], 0
    runs.advance()  # an epoch of three mini-batches
    for _ in range(3):
        velocity = 0.9 * velocity + np.float32(0.1) * expected
        expected = expected - BACKPROP.optimizer.step_size * velocity
    assert_allclose(host(head.weight)[:, 2:], expected, rtol=1e-5)


def test_outputs_of_the_paper_are_fresh_when_their_classes_arrive(array_module):
    """With the distribution of the first outputs, and without momentum. The other outputs do not change."""
    runs = advance_to(start(replace(TINY, heads="paper")), 1)
    network = runs.learner.network
    head, velocity = network.dense_layers[-1], runs.learner.optimizer.state["velocity"]
    assert (host(head.weight)[:, 2:] == 0).all()
    old = host(head.weight)[:, :2].copy()
    network.views(velocity)[head.index]["weight"][...] = 1
    network.views(velocity)[head.index]["bias"][...] = 1
    runs.begin_increment()
    weight = host(head.weight)
    assert_array_equal(weight[:, :2], old)
    assert (weight[:, 2:4] != 0).all() and (weight[:, 4:] == 0).all()
    assert len(np.unique(weight[:, 2:4])) > 0.9 * weight[:, 2:4].size
    for view in network.views(velocity)[head.index].values():
        assert (host(view)[:, :2] == 1).all() and (host(view)[:, 2:] == 0).all()
    first = start(replace(TINY, heads="paper"))
    before = host(first.learner.network.dense_layers[-1].weight).copy()
    first.begin_increment()
    assert_array_equal(host(first.learner.network.dense_layers[-1].weight)[:, :2], before[:, :2])


# --- early stopping ---------------------------------------------------------------------------------------------------


def test_every_run_goes_on_with_the_network_of_its_best_epoch(monkeypatch, array_module):
    """Only a strictly better epoch counts. Running statistics are restored, but momentum and ages are not."""
    runs = start(replace(TINY, num_epochs=4), LEARNERS["continual_backprop"], seeds=[3, 8, 5])
    validation = np.array([[10.0, 30, 20], [30, 30, 10], [30, 20, 50], [20, 10, 40]])  # (epoch, R)
    best_epoch, calls = [1, 0, 2], []

    def scripted(which):
        if which == "validation":
            calls.append(arrays_of(runs))
            return device(validation[runs.epoch])
        return device(validation[min(runs.epoch, 3)] + 1.0)

    monkeypatch.setattr(runs, "accuracy", scripted)
    advance_to(runs, 1)
    assert len(calls) == 4
    found = arrays_of(runs)
    for name, array in found.items():
        rolled_back = name == "parameters" or name.startswith("running")
        for run, epoch in enumerate(best_epoch):
            assert_array_equal(array[run], calls[epoch if rolled_back else 3][name][run], name)
    assert (calls[3]["parameters"] != found["parameters"]).any(axis=-1).all()
    assert runs.at_end.arrays["stopping_epoch"][0].tolist() == [2, 1, 3]
    assert runs.at_end.arrays["test_accuracy"][0].tolist() == [31, 31, 51]  # at the best epoch of validation
    assert runs.at_end.arrays["best_test_accuracy"][0].tolist() == [31, 31, 51]


def test_the_published_accuracy_is_the_best_on_the_test_images_whenever_that_was(monkeypatch):
    runs = start(replace(TINY, num_epochs=2), seeds=[3])
    accuracies = {"validation": [20.0, 10.0], "test": [40.0, 70.0], "training": [0.0, 5.0]}
    monkeypatch.setattr(runs, "accuracy", lambda which: np.array([accuracies[which][min(runs.epoch, 1)]]))
    advance_to(runs, 1)
    measured = {name: array[0, 0] for name, array in runs.at_end.arrays.items()}
    assert measured == {
        "best_test_accuracy": 70,
        "test_accuracy": 40,
        "validation_accuracy": 20,
        "stopping_epoch": 1,
        "training_accuracy": 5,
    }


def test_the_record_starts_again_with_every_increment(array_module):
    runs = start()
    record = runs.early_stopping.record
    runs.early_stopping.record = {
        name: array + 200.0 for name, array in record.items()
    }  # as after an impossibly good epoch
    results = finish(runs)
    assert (results["stopping_epoch"] >= 1).all() and (results["best_test_accuracy"] <= 100).all()


# --- learners that are reset ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["nothing", "head", "parameters", "network"])
def test_what_is_reset_when_classes_arrive(what, array_module):
    """Published: head resetting draws all 100 outputs anew, the retrained network all weights, biases and scales; both
    keep momentum, running statistics and ages. Only `network` (of Continual ImageNet) resets everything."""
    runs = advance_to(start(learner=LEARNERS["continual_backprop"].change(reset=what)), 1)
    learner, network = runs.learner, runs.learner.network
    before, steps = arrays_of(runs), learner.num_steps
    runs.begin_increment()
    after = arrays_of(runs)
    changed = {name for name in after if (after[name] != before[name]).any()}
    everything = set(after) - {name for name in after if ".mean_feature." in name}  # not needed here, so zero
    assert learner.num_steps == steps
    assert (
        changed
        == {
            "nothing": set(),
            "head": {"parameters"},
            "parameters": {"parameters"},
            "network": everything,
        }[what]
    )
    if what == "nothing":
        return
    head = network.dense_layers[-1]
    assert (host(head.bias) == 0).all()
    initial = start(seeds=[3, 8]).learner.network  # as it was made
    initial.initialize(1)  # a different draw
    expected = host(initial.dense_layers[-1].weight if what == "head" else initial.parameters)
    assert_array_equal(host(head.weight if what == "head" else network.parameters), expected)
    if what == "head":
        head.weight[...] = network.views(device(before["parameters"]))[head.index]["weight"]
        head.bias[...] = network.views(device(before["parameters"]))[head.index]["bias"]
        assert_array_equal(host(network.parameters), before["parameters"])
    learner.reset(what, draw=2)
    assert (host(network.parameters) != after["parameters"]).any()


def test_learners_that_are_reset_differ_only_from_the_second_increment_on():
    """All three have the same first increment. Then only two of them start with new weights."""
    results = {name: finish(start(learner=LEARNERS[name])) for name in ("backprop", "head_reset", "retrained")}
    for name in ("head_reset", "retrained"):
        assert_array_equal(results[name]["best_test_accuracy"][:, 0], results["backprop"]["best_test_accuracy"][:, 0])
        for measure in ("weight_magnitude", "dormant_units"):  # before anything is redrawn
            assert_array_equal(results[name][measure][:, :2], results["backprop"][measure][:, :2])
        assert (results[name]["weight_magnitude"][:, 2] != results["backprop"]["weight_magnitude"][:, 2]).all()


# --- what is measured -------------------------------------------------------------------------------------------------


def test_results_have_a_row_for_every_run_and_a_column_for_every_increment(array_module):
    names = {
        *("best_test_accuracy", "test_accuracy", "validation_accuracy", "training_accuracy", "stopping_epoch"),
        *("dormant_units", "dormant_units_on_previous", "stable_rank", "weight_magnitude", "diverged_at"),
    }
    for seeds in ([3], [3, 8, 5]):
        results = finish(start(seeds=seeds))
        assert set(results) == names
        for name, array in results.items():
            assert isinstance(array, np.ndarray)
            assert array.shape == ((len(seeds),) if name == "diverged_at" else (len(seeds), 3))
            known = array[:, 1:] if name == "dormant_units_on_previous" else array
            assert np.isfinite(known).all(), name
        assert np.isnan(results["dormant_units_on_previous"][:, 0]).all()  # there are no earlier classes
        assert (results["test_accuracy"] <= results["best_test_accuracy"]).all()
        for name in ("best_test_accuracy", "validation_accuracy", "training_accuracy", "dormant_units", "stable_rank"):
            assert ((results[name] >= 0) & (results[name] <= 100)).all()


def test_the_linear_baseline_has_no_hidden_units_to_look_at():
    results = finish(start(learner=BACKPROP.change(kind="linear")))
    assert "dormant_units" not in results and np.isfinite(results["weight_magnitude"]).all()


def test_an_accuracy_is_counted_image_by_image_with_running_statistics(array_module):
    runs = advance_to(start(), 1)
    network = runs.learner.network
    found = percent_correct(runs, "test")
    statistics = arrays_of(runs)
    right = np.zeros(2)
    network.begin_evaluation()
    for run in range(2):
        for label, number in enumerate(runs.examples.class_order[run, :4].tolist()):
            for index in range(16, 22):
                image = runs.examples.inputs(device([[22 * number + index]] * 2))  # (R, C, Y, X, 1)
                right[run] += host(network.forward(image)[-1])[run, :4, 0].argmax() == label
    assert_allclose(found, 100 * right / 24)
    for name, array in arrays_of(runs).items():
        assert_array_equal(array, statistics[name], name)  # measuring does not change the network


def test_diagnostics_are_of_new_and_of_earlier_classes_before_learning(array_module):
    """All training and validation images, 32 of two classes, at most `num_diagnostic_images`. They are normalized by
    their own mean and variance, and the running statistics do not change."""
    settings = replace(TINY, num_diagnostic_images=1000)
    runs = advance_to(start(settings), 1)
    network, before = runs.learner.network, arrays_of(runs)
    found = {name: host(array) for name, array in diagnose(runs.learner, runs.examples, runs.increment).items()}
    for name, array in arrays_of(runs).items():
        assert_array_equal(array, before[name], name)
    assert_allclose(found["weight_magnitude"], abs(before["parameters"]).mean(axis=-1), rtol=1e-5)
    for measure, classes in (("dormant_units", slice(2, 4)), ("dormant_units_on_previous", slice(0, 2))):
        indices = [
            [22 * c + i for c in order for i in range(16)] for order in runs.examples.class_order[:, classes].tolist()
        ]
        network.begin_step(0)
        values = network.forward(runs.examples.inputs(device(indices)))
        features = [host(layer.unit_features(values)) for layer in network.hidden]
        silent = [((h != 0).mean(axis=-1) < 0.01).sum(axis=-1) for h in features]
        assert_allclose(found[measure], 100 * sum(silent) / sum(h.shape[1] for h in features))
        if measure == "dormant_units":
            rank = host(diagnostics.stable_rank(device(features[-1])))
            assert abs(found["stable_rank"] - 100 * rank / features[-1].shape[1]).max() <= 100 / features[-1].shape[1]


def test_units_that_never_fire_are_dormant(array_module):
    runs = start()
    layer = runs.learner.network.hidden[0]
    num_units = layer.incoming.num_outputs
    layer.normalization.bias[0, : num_units // 2] = -1000
    found = host(diagnose(runs.learner, runs.examples, runs.increment)["dormant_units"])
    total = sum(hidden.incoming.num_outputs for hidden in runs.learner.network.hidden)
    assert found[0] >= 100 * (num_units // 2) / total > found[1]


def test_no_more_images_than_wanted_are_looked_at():
    runs = advance_to(start(), 1)
    seen = []
    forward = runs.learner.network.layers[0].forward
    runs.learner.network.layers[0].forward = lambda inputs: (seen.append(inputs.shape[-1]), forward(inputs))[1]
    diagnose_on(runs.learner, runs.examples, runs.increment, 0, 2)
    assert seen == [20]


# --- runs side by side, and resuming ----------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_run_alone_is_itself_among_others_to_the_bit(learner):
    alone = finish(start(learner=LEARNERS[learner], seeds=[8]))
    among = finish(start(learner=LEARNERS[learner], seeds=[3, 5, 8]))
    assert_same_results(alone, {name: array[2:] for name, array in among.items()})


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("heads", ["published_code", "paper"])
def test_a_run_resumed_at_any_moment_ends_bit_for_bit_the_same(learner, heads):
    """Within an epoch, between two epochs, after early stopping, and after the first steps with new classes."""
    settings = replace(TINY, num_epochs=2, heads=heads)
    expected_runs = start(settings, LEARNERS[learner])
    expected = finish(expected_runs)
    runs, moments = start(settings, LEARNERS[learner]), set()
    while runs.progress < 1.0:
        runs.advance()
        state = {name: array.copy() for name, array in runs.state().items()}
        kept = runs.state()
        if runs.progress < 1.0:
            runs.advance()
        for name, array in state.items():
            assert_array_equal(kept[name], array, name)  # a state is a copy: continuing does not change it
        runs = start(settings, LEARNERS[learner])
        runs.restore(state)
        moments.add((runs.increment, runs.epoch > 0, runs.step > 0))
    assert {(1, False, False), (1, False, True), (1, True, False), (1, True, True)} <= moments
    assert_same_results(runs.results(), expected)
    for name, array in arrays_of(expected_runs).items():
        assert_array_equal(arrays_of(runs)[name], array, name)


def test_runs_resume_on_the_device_as_well(array_module):
    for learner in ("continual_backprop", "retrained"):
        runs = start(replace(TINY, num_epochs=1, heads="paper"), LEARNERS[learner])
        advance_to(runs, 1)
        runs.advance()
        restored = start(replace(TINY, num_epochs=1, heads="paper"), LEARNERS[learner])
        restored.restore(runs.state())
        assert_same_results(finish(restored), finish(runs))


def test_a_state_of_another_network_is_refused():
    with pytest.raises(ValueError):
        start().restore(start(replace(TINY, widths=(4, 4, 4))).state())
    with pytest.raises(ValueError, match="^The state to restore has surplus in addition; restore it into"):
        start().restore({**start().state(), "surplus": np.zeros(2)})


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_run_that_diverges_is_nan_from_there_on_and_nobody_else_is(learner):
    """Early stopping may load earlier weights, but the momentum has diverged as well."""
    settings = replace(TINY, num_epochs=2)
    expected = finish(start(settings, LEARNERS[learner], [3, 8, 5]))
    runs = advance_to(start(settings, LEARNERS[learner], [3, 8, 5]), 1, epoch=1)
    runs.learner.network.dense_layers[-1].weight[1] = np.nan
    with np.errstate(all="ignore"):
        found = finish(runs)
    assert found["diverged_at"].tolist() == [-1, 1, -1]
    at_start = ("dormant_units", "dormant_units_on_previous", "stable_rank", "weight_magnitude")
    for name in expected.keys() - {"diverged_at"}:
        assert_array_equal(found[name][[0, 2]], expected[name][[0, 2]], name)
        known = 2 if name in at_start else 1  # measured before learning, hence of the network of the previous increment
        assert_array_equal(found[name][1, :known], expected[name][1, :known], name)
        assert np.isnan(found[name][1, known:]).all(), name


def test_a_block_that_diverges_altogether_still_gives_results():
    with np.errstate(all="ignore"):
        results = finish(start(learner=BACKPROP.change(step_size=1e30)))
    assert results["diverged_at"].tolist() == [0, 0]
    assert np.isnan(results["best_test_accuracy"]).all() and np.isfinite(results["stable_rank"][:, 0]).all()


# --- data, settings, learners -----------------------------------------------------------------------------------------


def write_cifar(folder, num_training=6, num_test=4, brightness=0):
    """Write CIFAR-100's binary files with very few images. Pixel 0 of an image is its index within its class."""
    (folder / "cifar-100-binary").mkdir(exist_ok=True)
    for name, number in (("train", num_training), ("test", num_test)):
        labels = np.tile(np.arange(100, dtype="uint8"), number)  # the images of a class are scattered
        records = np.full((len(labels), 3074), brightness, "uint8")
        records[:, 1], records[:, 2] = labels, np.arange(len(labels)) // 100
        records[:, 3] = labels + (100 if name == "test" else 0)
        (folder / "cifar-100-binary" / f"{name}.bin").write_bytes(records.tobytes())


CIFAR = Settings(num_classes=10, num_training_images=4, num_validation_images=2, num_test_images=4)


def test_the_official_images_are_split_as_published(tmp_path):
    """The first images of a class in the file are for validation, the others for training; test images come last."""
    write_cifar(tmp_path)
    images = problem.read_images(CIFAR, tmp_path)
    assert images.shape == (10, 10, 3, 32, 32) and images.dtype == np.uint8
    assert images[:, :, 0, 0, 0].tolist() == [[2, 3, 4, 5, 0, 1, 0, 1, 2, 3]] * 10
    for number in range(10):
        assert images[number, :, 0, 0, 1].tolist() == [number] * 6 + [100 + number] * 4


def test_official_images_are_standardized_by_the_published_constants(tmp_path):
    write_cifar(tmp_path, brightness=102)
    runs = problem.start(replace(CIFAR, widths=(4, 4, 4, 4)), BACKPROP, [0], tmp_path)
    found = runs.examples.inputs(np.array([[3]]))[0, :, 9, 9, 0]
    expected = (0.4 - np.array([0.5071, 0.4865, 0.4409])) / np.array([0.2673, 0.2564, 0.2762])
    assert_allclose(found, expected, rtol=1e-5)


def test_the_source_of_the_images_tells_files_apart(tmp_path):
    sources = set()
    for brightness in (1, 2):
        write_cifar(tmp_path, brightness=brightness)
        sources.add(problem.data_source(CIFAR, tmp_path))
    assert len(sources) == 2 and all("CIFAR-100: 10 classes of 10 images" in source for source in sources)
    assert problem.data_source(TINY, None) == "generated images, easy"


def test_images_that_are_not_there_are_told_in_one_sentence(tmp_path):
    with pytest.raises(data.DataError, match="CIFAR-100 was not found in"):
        problem.start(CIFAR, BACKPROP, [0], tmp_path)
    write_cifar(tmp_path)
    with pytest.raises(data.DataError, match=r"10 classes of 4 \+ 2 \+ 5 images are needed"):
        problem.read_images(replace(CIFAR, num_test_images=5), tmp_path)
    with pytest.raises(data.DataError, match="105 classes"):
        problem.read_images(replace(CIFAR, num_classes=105), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_epochs": 0}, "num_epochs must be a finite number, at least 1"),
        ({"batch_size": 1}, "batch_size must be a finite number, at least 2"),
        ({"rotation": -1}, "rotation must be a finite number, at least 0"),
        ({"classes_per_increment": 4}, "num_classes, 6, must be a multiple of classes_per_increment, 4"),
        ({"blocks": (1, 1)}, "widths and blocks need one number for each stage"),
        ({"images": "cifar100"}, "halvings=1 is for generated images"),
        ({"step_size_falls": (60.0, 120.0)}, "step_size_falls are shares of an increment's epochs, from 0 to 1"),
        ({"step_size_falls": (float("nan"),)}, "step_size_falls are shares of an increment's epochs, from 0 to 1"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)


@pytest.mark.parametrize(
    ("changes", "learner", "message"),
    [
        ({"heads": "paper"}, LearnerSettings(Adam()), "heads=paper starts outputs without state of their own"),
        ({"crop_padding": 16}, BACKPROP, "crop_padding=16 must be less than the 16 pixels of an image's side"),
        ({"halvings": 4, "crop_padding": 1, "num_diagnostic_images": 1}, BACKPROP, "has no variance to normalize by"),
        ({}, LearnerSettings(InPlaceSGD()), "sgd_in_place learns from one example per step"),
        ({}, BACKPROP.change(dropout=0.1), "the residual network has relus, is always normalized and never drops"),
        ({}, BACKPROP.change(activation="tanh"), "the residual network has relus"),
        ({}, BACKPROP.change(batch_norm=True), "the residual network has relus"),
    ],
)
def test_what_cannot_be_learned_is_refused_at_the_start(changes, learner, message):
    with pytest.raises(ValueError, match=message):
        start(replace(TINY, **changes), learner)


def test_the_paper_scale_is_the_published_protocol():
    scale = SCALES["paper"]
    values = scale.settings
    assert (values.images, values.num_classes, values.classes_per_increment) == ("cifar100", 100, 5)
    assert (values.num_training_images, values.num_validation_images, values.num_test_images) == (450, 50, 100)
    assert (values.num_epochs, values.batch_size, values.num_diagnostic_images) == (200, 90, 1000)
    assert (values.flip, values.crop_padding, values.rotation, values.heads) == (True, 4, 15, "published_code")
    assert (values.widths, values.blocks, scale.runs) == ((64, 128, 256, 512), (2, 2, 2, 2), 30)
    backprop = LearnerSettings(SGD(step_size=0.1, momentum=0.9, weight_decay=5e-4))
    rule = ContinualBackprop(
        replacement_rate=1e-5,
        maturity_threshold=1000,
        decay_rate=0.99,
        utility="contribution",
        average="lifetime_activity",
        bias_correction=False,
        rate_counts="all",
        fresh_weights="normal",
        rounding="accumulate",
    )
    assert scale.learners == {
        "backprop": backprop,
        "l2": backprop,
        "shrink_and_perturb": backprop.with_rules(ShrinkAndPerturb(perturb_scale=1e-5)),
        "continual_backprop": backprop.with_rules(rule),
        "continual_backprop_rate_0.0001": backprop.with_rules(replace(rule, replacement_rate=1e-4)),
        "head_reset": backprop.change(reset="head"),
        "retrained": backprop.change(reset="parameters"),
    }


# --- figures ----------------------------------------------------------------------------------------------------------


def results_of(accuracies, seeds):
    array = np.array(accuracies, float)  # (R, increments)
    arrays = {"best_test_accuracy": array, "test_accuracy": array - 1, "diverged_at": np.full(len(array), -1)}
    return LearnerResults(arrays, [{"seed": seed} for seed in seeds])


def test_accuracies_are_compared_between_runs_of_the_same_seed():
    learners = {
        "backprop": results_of([[50, 60], [70, 80], [1, 1]], seeds=[0, 2, 9]),
        "retrained": results_of([[75, 90], [0, 0], [51, 65]], seeds=[2, 1, 0]),
        "head_reset": results_of([[9, 9]], seeds=[7]),
    }
    relative = relative_to_retrained(ResultSet("class_incremental_cifar", "smoke", TINY, learners))
    assert list(relative.learners) == ["backprop"]
    assert relative["backprop"]["best_test_accuracy"].tolist() == [[-1, -5], [-5, -10]]
    assert relative["backprop"]["test_accuracy"].tolist() == [[-1, -5], [-5, -10]]
    assert relative["backprop"].num_runs == 2


def test_figures_show_the_number_of_classes():
    metadata = [{"seed": seed} for seed in (3, 8)]
    learners = {
        name: LearnerResults(finish(start(replace(TINY, num_epochs=1), LEARNERS[name])), metadata)
        for name in ("backprop", "retrained", "head_reset")
    }
    results = ResultSet("class_incremental_cifar", "smoke", TINY, learners)
    drawn = problem.figures(results)
    assert list(drawn) == [f"class_incremental_cifar{name}" for name in ("", "_accuracy", "_diagnostics")]
    relative, accuracy, looks = drawn.values()
    assert [len(axes.lines) for axes in relative.axes] == [3, 3]  # with the level of the retrained network
    assert [len(axes.lines) for axes in accuracy.axes] == [3, 3]
    assert [len(axes.lines) for axes in looks.axes] == [2, 2, 2, 2]
    assert accuracy.axes[0].lines[0].get_xdata().tolist() == [2, 4, 6]
    assert_allclose(accuracy.axes[0].lines[0].get_ydata(), learners["backprop"]["best_test_accuracy"].mean(axis=0))
    texts = {text.get_text(): text.get_color() for text in accuracy.axes[0].texts}
    assert texts["Head resetting"] == "C2" and texts["Retrained network"] == "0.45"
    for figure in drawn.values():
        caption = " ".join(figure.get_supxlabel().split())
        assert "generated classes (easy), 16 x 16 pixels" in caption and "Mean over 2 runs" in caption
    alone = replace(results, learners={"backprop": learners["backprop"]})
    assert list(problem.figures(alone)) == ["class_incremental_cifar_accuracy", "class_incremental_cifar_diagnostics"]


def test_the_caption_says_who_differs_significantly_from_the_retrained_network():
    """With four runs the t test at 5 % requires 3.18 standard errors: -3 and -1 with 0.58 are 5.2 and 1.7."""
    learners = {
        "backprop": results_of([[9, 62], [0, 71], [0, 82], [0, 93]], seeds=range(4)),
        "head_reset": results_of([[9, 64], [0, 73], [0, 84], [0, 95]], seeds=range(4)),
        "retrained": results_of([[0, 66], [0, 75], [0, 84], [0, 95]], seeds=range(4)),
    }
    relative = relative_to_retrained(ResultSet("class_incremental_cifar", "smoke", TINY, learners))
    beginning = (
        "Left, learners whose mean over the second half of the increments differs significantly (t test, 5 %) from "
    )
    assert (
        significant_differences(relative, ["backprop", "head_reset"])
        == f"{beginning}the retrained network: backprop -3.0."
    )
    assert significant_differences(relative, ["head_reset"]) == f"{beginning}the retrained network: none."


def test_a_difference_ends_where_the_first_of_both_runs_diverged():
    backprop, retrained = results_of(np.ones((4, 2)), range(4)), results_of(np.ones((4, 2)), range(4))
    backprop["diverged_at"][...] = [-1, 1, 0, 1]
    retrained["diverged_at"][...] = [-1, -1, 1, 0]
    results = ResultSet("class_incremental_cifar", "smoke", TINY, {"backprop": backprop, "retrained": retrained})
    assert relative_to_retrained(results)["backprop"]["diverged_at"].tolist() == [-1, 1, 0, 0]


def test_runs_without_a_common_seed_are_not_compared():
    learners = {"backprop": results_of([[50, 60]], seeds=[0]), "retrained": results_of([[51, 65]], seeds=[1])}
    results = ResultSet("class_incremental_cifar", "smoke", replace(TINY, num_classes=4), learners)
    assert not relative_to_retrained(results).learners
    drawn = problem.figures(results)
    assert list(drawn) == ["class_incremental_cifar_accuracy", "class_incremental_cifar_diagnostics"]
