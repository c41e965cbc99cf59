"""Feature tracking: the stream by an independent loop, the measures, and the independence of runs."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import host
from numpy.testing import assert_allclose, assert_array_equal

from minilop import draws
from minilop.experiment.results import LearnerResults, ResultSet
from minilop.experiment.selection import choose
from minilop.fast import BufferedSGD
from minilop.learner_settings import LearnerSettings
from minilop.optimizers import MetaOptimize
from minilop.plasticity import GenerateAndTest, L2Init
from problems import feature_tracking
from problems.feature_tracking import LEARNERS, FeatureStream, Settings, Teacher

SMALL = Settings(
    num_inputs=6,
    num_relevant=3,
    num_features=4,
    num_hidden=4,
    task_length=50,
    redraw_period=150,
    num_redrawn=900,
    num_fixed=300,
    bin_size=150,
    num_diagnostic_examples=20,
)
QUICK = {"maturity_threshold": 40, "replacement_rate": 0.005}
ALL_SMALL = {
    "sgd": LEARNERS["sgd"],
    "two_levels": LEARNERS["two_levels"],
    "three_levels": LEARNERS["three_levels"].change(**QUICK),
    "without_inheritance": LEARNERS["without_inheritance"].change(**QUICK),
    "l2_init": LEARNERS["sgd"].with_rules(L2Init(init_decay=0.01)),
    "metaoptimize": replace(LEARNERS["sgd"], optimizer=MetaOptimize(step_size=1e-3, meta_step_size=1e-3)),
}


def finish(settings, learner, seeds):
    runs = feature_tracking.start(settings, learner, list(seeds), None)
    while runs.progress < 1.0:
        runs.advance()
    return runs.results()


def assert_same_results(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_array_equal(found[name], array, name)


# --- the stream -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_redrawn", [True, False])
def test_the_target_is_a_teacher_whose_signs_and_features_change(is_redrawn, array_module):
    """A loop over examples draws the changes one by one."""
    runs = FeatureStream(SMALL, LEARNERS["sgd"].change(dtype="float64"), [3, 8], is_redrawn)
    parts = [runs.examples(start, start + 50) for start in range(0, 500, 50)]
    inputs = np.concatenate([host(part[0]) for part in parts])
    targets = np.concatenate([host(part[1]) for part in parts])
    assert inputs.shape == (500, 2, 6, 1) and targets.shape == (500, 2, 1, 1)
    for run, seed in enumerate((3, 8)):

        def feature(number, place, seed=seed):
            v = host(draws.normal(seed, "teacher feature", 3, step=number, slot=place, dtype="float64"))
            return np.sqrt(2) * v / np.linalg.norm(v)

        signs = 2 * host(draws.integers(seed, "teacher sign", 4, 2)) - 1
        features = [feature(0, place) for place in range(4)]
        noise = host(draws.normal(seed, "feature noise", 1, step=np.arange(500), dtype="float64"))[:, 0]
        for step in range(500):
            if step and step % 50 == 0:
                signs[host(draws.integers(seed, "inverted teacher sign", 1, 4, step=step // 50))[0]] *= -1
            if is_redrawn and step and step % 150 == 0:
                place = host(draws.integers(seed, "redrawn teacher feature", 1, 4, step=step // 150))[0]
                features[place] = feature(step // 150, place)
            x = inputs[step, run, :3, 0]
            expected = noise[step] + sum(s * max(0, v @ x) for s, v in zip(signs, features))
            assert targets[step, run, 0, 0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.quick
def test_examples_do_not_depend_on_how_many_are_asked_for_at_a_time():
    whole = [
        np.concatenate(arrays) for arrays in zip(*(stream().examples(start, start + 50) for start in range(0, 300, 50)))
    ]
    one = stream()
    parts = [one.examples(start, stop) for start, stop in ((0, 20), (20, 50), (50, 99), (99, 100), (100, 150))]
    for place in range(2):
        assert_array_equal(np.concatenate([part[place] for part in parts]), whole[place][:150])


def stream(learner="sgd"):
    return FeatureStream(SMALL, LEARNERS[learner], [3, 8], True)


@pytest.mark.quick
def test_features_have_length_root_two_and_any_of_them_is_redrawn():
    teacher = Teacher(replace(SMALL, num_features=5), np.arange(40), True)
    features = np.array(
        [host(teacher.features(task, "float64")) for task in range(0, 90, 3)]
    )  # (tasks, R, J, relevant)
    assert_allclose((features**2).sum(axis=-1), 2)
    changed = (features[1:] != features[:-1]).any(axis=-1)  # (tasks - 1, R, J)
    assert (changed.sum(axis=-1) == 1).all()
    counts = changed.sum(axis=(0, 1))
    assert abs(counts - changed.sum() / 5).max() < 4 * np.sqrt(changed.sum() / 5)


def test_to_predict_zero_has_an_error_of_the_number_of_features_and_the_noise():
    """E max(0, v . x)^2 = |v|^2 / 2 = 1 for each feature, mixed terms cancel on average over the signs, and the noise
    has variance 1; within a few standard errors over 40 teachers."""
    runs = FeatureStream(Settings(num_inputs=5, task_length=20), LEARNERS["sgd"], range(40), False)
    targets = np.concatenate([host(runs.examples(20 * task, 20 * task + 20)[1]) for task in range(100)])
    assert (targets**2).mean() == pytest.approx(5 + 1, rel=0.15)


# --- what is measured -------------------------------------------------------------------------------------------------


def test_the_error_is_that_of_predictions_made_before_learning():
    settings = ALL_SMALL["three_levels"].change(dtype="float64")
    results = finish(SMALL, settings, [3, 8])
    runs = FeatureStream(SMALL, settings, [3, 8], True)
    errors = []
    for start in range(0, 900, 50):
        for x, y in zip(*runs.examples(start, start + 50)):
            before = runs.learner.network.forward(x)[-1]
            outputs, _ = runs.learner.step(x, y)
            assert_array_equal(outputs, before)
            errors.append(((y - before) ** 2)[:, 0, 0])
    expected = np.array(errors).reshape(6, 150, 2).mean(axis=1).T
    assert_allclose(results["redrawn.squared_error"], expected, rtol=1e-12)
    assert host(runs.learner.rules[0].units[0]["age"]).min() < 800  # units were replaced


def test_step_sizes_are_measured_where_they_are_learned():
    """At the start of a bin, so the first one is the initial step size."""
    results = finish(SMALL, ALL_SMALL["two_levels"], [3, 8])
    for name in ("relevant_step_size", "irrelevant_step_size"):
        assert results[f"redrawn.{name}"].shape == (2, 6)
        assert results[f"redrawn.{name}"][:, 0] == pytest.approx(0.003)
        assert (results[f"redrawn.{name}"][:, 1:] != results[f"redrawn.{name}"][:, :1]).all()
    assert "redrawn.relevant_step_size" not in finish(SMALL, ALL_SMALL["sgd"], [3])
    assert "fixed.squared_error" not in finish(replace(SMALL, num_fixed=0), ALL_SMALL["sgd"], [3])


@pytest.mark.quick
def test_relevant_step_sizes_are_those_of_the_first_inputs():
    runs = FeatureStream(SMALL, ALL_SMALL["two_levels"], [3, 8], True)  # 3 relevant inputs of 6
    network, optimizer = runs.learner.network, runs.learner.optimizer
    network.views(optimizer.state["log_step_sizes"])[0]["weight"][1, :, 2] = np.log(7.0)  # of run 1, all from input 2
    measured = runs.diagnose()
    assert host(measured["relevant_step_size"]) == pytest.approx([0.003, 0.003 * (1 + 1 + 7) / 3])
    assert host(measured["irrelevant_step_size"]) == pytest.approx([0.003, 0.003])


def settings_of(learner):
    """The settings of optimizer, network and rules by name."""
    return {key: value for part in learner.parts().values() for key, value in vars(part).items()}


@pytest.mark.quick
def test_learners_differ_in_what_their_names_say():
    def differences(name, other):
        one, two = (settings_of(LEARNERS[each]) for each in (name, other))
        return {key: (one[key], two[key]) for key in one if one[key] != two[key]}

    assert LEARNERS["three_levels"] == LEARNERS["two_levels"].with_rules(GenerateAndTest(replacement_rate=1e-4))
    assert differences("three_levels", "without_inheritance") == {"inherit": (True, False)}
    assert differences("three_levels", "dense_units") == {"new_inputs": ("by_step_sizes", "all")}
    assert differences("three_levels", "uniform_inputs") == {"new_inputs": ("by_step_sizes", "uniform")}
    assert differences("two_levels", "two_levels_diagonal") == {"curvature": ("layer_local", "gauss_newton_diagonal")}
    assert set(differences("three_levels", "sgd_units")) == {
        "step_size",
        "meta_step_size",
        "overshoot_limit",
        "inherit",
    }


def test_learned_step_sizes_track_better_than_sgd_at_its_best_step_size():
    """Examples 4,000 to 8,000, where no unit has been replaced: about 3.2 and 2.6, of which the noise is 1."""
    settings = Settings(num_redrawn=8_000, num_fixed=0)
    errors = {
        name: finish(settings, LEARNERS[name], range(4))["redrawn.squared_error"][:, 2:].mean()
        for name in ("sgd", "two_levels")
    }
    assert errors["two_levels"] < errors["sgd"] - 0.3


# --- runs side by side, and resuming ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_SMALL)
@pytest.mark.parametrize("num_inputs", [6, 150])  # tiny matrices, and larger ones
def test_a_run_is_the_same_to_the_bit_whoever_runs_beside_it(name, num_inputs):
    settings = replace(SMALL, num_inputs=num_inputs, num_redrawn=300, num_fixed=0)
    beside = finish(settings, ALL_SMALL[name], [4, 9, 2])
    alone = finish(settings, ALL_SMALL[name], [9])
    assert_same_results(alone, {key: array[1:2] for key, array in beside.items()})


@pytest.mark.parametrize("name", ALL_SMALL)
def test_a_restored_run_goes_on_bit_for_bit(name):
    settings = replace(SMALL, num_redrawn=450, num_fixed=150)
    expected = finish(settings, ALL_SMALL[name], [3, 8])
    runs = feature_tracking.start(settings, ALL_SMALL[name], [3, 8], None)
    count = 0
    while runs.progress < 1.0:
        runs.advance()
        count += 1
        if count % 4 == 0:
            state = runs.state()
            runs = feature_tracking.start(settings, ALL_SMALL[name], [3, 8], None)
            runs.restore(state)
    assert_same_results(runs.results(), expected)


def test_every_learner_makes_a_step():
    for name, learner in LEARNERS.items():
        runs = stream(name)
        before = host(runs.learner.network.parameters).copy()
        assert (before.reshape(2, -1)[:, 24:28] == 0).all()  # biases of the hidden units
        inputs, targets = runs.examples(0, 1)
        _, losses = runs.learner.step(inputs[0], targets[0])
        assert np.isfinite(host(losses)).all() and (host(runs.learner.network.parameters) != before).any(), name
        assert learner.network.activation == "tanh"


# --- settings and figures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_relevant": 7}, "num_relevant must be at most num_inputs, 6, not 7"),
        ({"redraw_period": 75}, "redraw_period must be a multiple of task_length, not 75"),
        ({"num_fixed": 100}, "num_redrawn and num_fixed must be multiples of bin_size, 150"),
        ({"num_hidden": 0}, "num_hidden must be a finite number, at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    "learner",
    [
        *(
            LEARNERS["sgd"].change(**changes)
            for changes in ({"kind": "linear"}, {"reset": "head"}, {"batch_norm": True})
        ),
        LearnerSettings(BufferedSGD()),
    ],
    ids=["linear", "reset", "batch_norm", "buffered"],
)
def test_learners_that_want_another_network_are_refused(learner):
    with pytest.raises(ValueError, match="Feature tracking needs kind=deep"):
        feature_tracking.start(SMALL, learner, [0], None)


def test_settings_of_optimizers_and_rules_can_be_changed_by_name():
    changes = ["feature_tracking.three_levels.input_power=1", "feature_tracking.sgd.momentum=0.5"]
    (chosen,) = choose({"feature_tracking": feature_tracking}, "smoke", ["sgd", "three_levels"], changes=changes)
    sgd, three_levels = (experiment.learner_settings for experiment in chosen.experiments)
    assert sgd.optimizer.momentum == 0.5 and three_levels.rules[0].input_power == 1.0


def results_of(*names, settings=SMALL):
    learners = {}
    for name in names:
        arrays = finish(settings, ALL_SMALL[name], [3, 8])
        learners[name] = LearnerResults(arrays, [{"seed": 3}, {"seed": 8}])
    return ResultSet("feature_tracking", "smoke", settings, learners)


def text_of(figure):
    return " ".join(each.get_text() for each in figure.findobj(lambda each: hasattr(each, "get_text")))


def test_figures_show_every_learner_and_say_their_errors():
    results = results_of("sgd", "three_levels", "without_inheritance")
    figures = feature_tracking.figures(results)
    assert list(figures) == ["feature_tracking", "feature_tracking_ablations", "feature_tracking_step_sizes"]
    text = " ".join(text_of(figures["feature_tracking"]).split())
    mean = results["sgd"]["redrawn.squared_error"][:, 3:].mean()
    assert f"SGD: {mean:.2f};" in text and "Three levels" in text and "Mean over 2 runs" in text
    assert len(figures["feature_tracking"].axes) == 2
    text = " ".join(text_of(figures["feature_tracking_ablations"]).split())
    assert "Without inheritance: three levels, but new units do not inherit step sizes." in text
    assert "Dense units" not in text and "inputs whatever" not in text  # only what is shown is explained


def test_a_learner_that_diverges_is_told_by_its_name_and_not_as_a_number():
    results = results_of("two_levels")
    arrays = dict(results["two_levels"].arrays)
    arrays["redrawn.squared_error"] = np.full_like(arrays["redrawn.squared_error"], np.nan)
    arrays["redrawn.diverged_at"] = np.array([7, 30])
    diverged = replace(results, learners={"two_levels": replace(results["two_levels"], arrays=arrays)})
    text = " ".join(text_of(feature_tracking.figures(diverged)["feature_tracking"]).split())
    assert "Two levels: diverged." in text and "nan" not in text
    assert text.count("Diverged and left out from then on: 2 of Two levels (the first after 7 examples).") == 1


def test_figures_of_few_learners_and_of_one_stream():
    settings = replace(SMALL, num_fixed=0)
    figures = feature_tracking.figures(results_of("sgd", settings=settings))
    assert list(figures) == ["feature_tracking"] and len(figures["feature_tracking"].axes) == 1
    figures = feature_tracking.figures(results_of("without_inheritance", settings=settings))
    assert list(figures) == ["feature_tracking_ablations", "feature_tracking_step_sizes"]
