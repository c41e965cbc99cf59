"""Tracking: the streams by independent loops, the measures, the independence of runs, and published results.

Sutton (1992), experiments 1 and 2; the closed form of a random walk in noise.
"""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from conftest import host
from numpy.testing import assert_allclose, assert_array_equal
from test_idbd import slow_idbd

from minilop import backend, draws
from minilop.backend import xp
from minilop.experiment.figures import new_figure
from minilop.experiment.results import LearnerResults, ResultSet
from minilop.experiment.selection import choose
from minilop.experiment.settings import SettingsError
from minilop.optimizers import IDBD
from problems import tracking
from problems.shared.sweep_figures import logarithmic, mean_in_words
from problems.shared.sweeps import Sweep
from problems.tracking import LEARNERS, RateStream, Settings, SignStream, TrackingLearner, best_rate, error_at_rate

SMALL = Settings(
    num_inputs=6,
    num_relevant=3,
    task_length=15,
    num_compared=1200,
    compared_bin=600,
    num_observed=1200,
    observed_bin=100,
    num_rates=400,
    sigmas=(0.5, 2.0),
)
IDBD_SMALL = TrackingLearner("idbd", (0.001, 0.02), (0.01,), (0.01, 0.03), dtype="float64")
ALL_SMALL = {
    "lms": TrackingLearner("lms", (0.01, 0.05), (), (0.1, 0.3)),
    "idbd": replace(IDBD_SMALL, dtype="float32"),
    "autostep": TrackingLearner("autostep", (0.01, 0.1, 1.0), (0.02,), (0.01,)),
    "autostep_transient": TrackingLearner("autostep", (0.01, 0.1, 1.0), (0.02,), bound="transient"),
}


def finish(settings, learner, seeds):
    runs = tracking.start(settings, learner, list(seeds), None)
    with np.errstate(all="ignore"):  # as the runner does
        while runs.progress < 1.0:
            runs.advance()
    assert runs.progress == 1.0
    return runs.results()


def assert_same_results(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert_array_equal(found[name], array, name)


# --- the streams ------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_one_sign_is_inverted_after_every_task_and_no_other_time():
    """Sutton: every 20 examples one of the five s_i, chosen at random, changes its sign."""
    stream = SignStream(replace(SMALL, num_relevant=5), np.arange(40), "float64")
    signs = host(stream.signs(0, 3000))  # (T, R, 5)
    assert set(np.unique(signs)) == {-1, 1}
    changed = (signs[1:] != signs[:-1]).sum(axis=-1)  # (T - 1, R)
    assert (changed[14::15] == 1).all()  # before examples 15, 30, ...
    assert changed.sum() == changed[14::15].size
    which = (signs[15::15] != signs[:-15:15]).argmax(axis=-1)
    counts = np.bincount(which.ravel(), minlength=5)
    assert abs(counts - which.size / 5).max() < 4 * np.sqrt(which.size / 5)
    assert abs(signs[0].mean()) < 4 / np.sqrt(signs[0].size)


@pytest.mark.quick
@pytest.mark.parametrize("target_noise", [0.0, 0.5])
def test_the_target_is_the_sum_of_the_relevant_inputs_with_their_signs(target_noise, array_module):
    settings = replace(SMALL, target_noise=target_noise)
    stream = SignStream(settings, np.array([3, 8]), "float64")
    signs = host(SignStream(settings, np.array([3, 8]), "float64").signs(0, 200))
    inputs, targets = (host(array) for array in stream.examples(0, 200))
    assert inputs.shape == (200, 2, 1, 6) and targets.shape == (200, 2, 1)
    noise = targets[..., 0] - (signs * inputs[:, :, 0, :3]).sum(axis=-1)
    if target_noise:
        assert noise.std() == pytest.approx(target_noise, rel=0.15)  # 400 numbers
    else:
        assert_allclose(noise, 0, atol=1e-14)


@pytest.mark.quick
@pytest.mark.parametrize("kind", [SignStream, RateStream])
def test_examples_do_not_depend_on_how_many_are_asked_for_at_a_time(kind):
    whole = kind(SMALL, np.array([3, 8]), "float64").examples(0, 200)
    stream = kind(SMALL, np.array([3, 8]), "float64")
    parts = [stream.examples(start, stop) for start, stop in ((0, 15), (15, 40), (40, 41), (41, 200))]
    for place, array in enumerate(whole):
        # The steps of the walk are added in a different order.
        assert_allclose(np.concatenate([part[place] for part in parts]), array, rtol=0, atol=1e-13)


def test_the_rate_stream_is_a_random_walk_in_noise(array_module):
    stream = RateStream(SMALL, np.array([3, 8]), "float64")
    inputs, targets = (host(array) for array in stream.examples(0, 60))
    assert (inputs == 1).all() and targets.shape == (60, 2, 2, 1)
    for run, seed in enumerate((3, 8)):
        for place, sigma in enumerate(SMALL.sigmas):
            level = 0.0
            for step in range(60):
                level += sigma * host(draws.normal(seed, "rate drift", 1, step=step, dtype="float64"))[0]
                noise = host(draws.normal(seed, "rate noise", 1, step=step, dtype="float64"))[0]
                assert targets[step, run, place, 0] == pytest.approx(level + noise, abs=1e-12)


@pytest.mark.quick
def test_the_best_rate_is_the_steady_state_of_the_kalman_filter():
    """Variance P before an example, gain P / (P + 1), variance P / (P + 1) after it, then plus sigma^2; error P + 1."""
    for sigma in (0.1, 0.5, 2.0):
        uncertainty = 1.0
        for _ in range(2000):
            uncertainty = uncertainty / (uncertainty + 1) + sigma**2
        rate, error = best_rate(sigma)
        assert rate == pytest.approx(uncertainty / (uncertainty + 1)) and error == pytest.approx(uncertainty + 1)
        assert error_at_rate(sigma, rate) == pytest.approx(error)
        for other in (0.9, 1.1):
            assert error_at_rate(sigma, other * rate) > error


# --- what is measured -------------------------------------------------------------------------------------------------


def test_errors_and_step_sizes_are_those_of_the_rule_applied_weight_by_weight():
    """Bins are means over their examples; step sizes are those after the last example of a bin."""
    results = finish(SMALL, IDBD_SMALL, [3, 8])
    stream = SignStream(SMALL, np.array([3, 8]), "float64")
    inputs, targets = stream.examples(0, 1200)
    for run in range(2):
        for place, theta in enumerate(IDBD_SMALL.compared):
            errors, _, _ = slow_idbd(inputs[:, run, 0], targets[:, run, 0], theta, 0.05)
            expected = np.square(errors).reshape(2, 600).mean(axis=-1)
            assert_allclose(results["compared.squared_error"][run, place], expected, rtol=1e-9)
        errors, _, step_sizes = slow_idbd(inputs[:, run, 0], targets[:, run, 0], 0.01, 0.05)
        assert_allclose(results["observed.squared_error"][run, 0, -1], np.square(errors[-100:]).mean(), rtol=1e-9)
        assert_allclose(results["observed.step_sizes"][run, 0, -1], step_sizes, rtol=1e-9)
        _, _, step_sizes = slow_idbd(inputs[:300, run, 0], targets[:300, run, 0], 0.01, 0.05)
        assert_allclose(results["observed.step_sizes"][run, 0, 2], step_sizes, rtol=1e-9)


def test_rates_are_means_over_every_example_of_a_half():
    results = finish(SMALL, IDBD_SMALL, [3, 8])
    _, targets = RateStream(SMALL, np.array([3, 8]), "float64").examples(0, 400)
    assert results["rates.step_sizes"].shape == (2, 2, 2, 2, 1)  # runs, sigmas, meta step sizes, halves, weights
    learner, errors, step_sizes = IDBD(np.zeros(1), 0.03), [], []
    for target in targets[:, 1, 0, 0]:  # run 1, sigma 0.5
        errors.append(learner.step(np.ones(1), target))
        step_sizes.append(learner.step_sizes)
    assert_allclose(results["rates.squared_error"][1, 0, 1, 1], np.square(errors[200:]).mean(), rtol=1e-9)
    assert_allclose(results["rates.step_sizes"][1, 0, 1, 1], np.mean(step_sizes[200:], axis=0), rtol=1e-9)


def test_snapshots_are_evenly_spaced_and_the_last_is_at_the_end_of_the_bin():
    """A learner whose step size is the number of examples seen: 3 snapshots in bins of 10 are after 4, 7 and 10."""

    class Counting:
        weights, state = np.zeros((1, 1, 1)), {}
        step_sizes = np.zeros((1, 1, 1))

    class Nothing:
        arrays: ClassVar = {}

        def examples(self, start, stop):
            return (np.zeros((stop - start, 1, 1)),)

    learner = Counting()

    def learn(zeros):
        learner.step_sizes = learner.step_sizes + 1
        return zeros

    sweep = Sweep(Nothing(), learner, learn, 20, 10, snapshots_per_bin=3)
    sweep.advance()
    sweep.advance()
    assert sweep.results()["step_sizes"][0, 0, :, 0] == pytest.approx([(4 + 7 + 10) / 3, (14 + 17 + 20) / 3])


@pytest.mark.parametrize("name", ALL_SMALL)
def test_a_run_alone_is_the_run_among_others(name):
    """To the bit, for any other runs beside it."""
    block = finish(SMALL, ALL_SMALL[name], [3, 8, 9, 11, 12])
    for seeds, place in (([8], 1), ([9, 8], 1), ([12], 4)):
        found = finish(SMALL, ALL_SMALL[name], seeds)
        for measure, array in block.items():
            assert_array_equal(found[measure][seeds.index({1: 8, 4: 12}[place])], array[place], measure)


@pytest.mark.parametrize("name", ALL_SMALL)
def test_a_parameter_alone_is_the_parameter_among_others(name):
    learner = ALL_SMALL[name]
    both = finish(SMALL, learner, [3, 8])["compared.squared_error"]
    one = finish(SMALL, replace(learner, compared=learner.compared[1:2]), [3, 8])["compared.squared_error"]
    assert_array_equal(one[:, 0], both[:, 1])


@pytest.mark.parametrize("name", ALL_SMALL)
def test_the_strict_backend_finds_the_same(name, strict):
    """To the bit, because NumPy computes in the same order. It waits only when a chunk of 500 is measured."""
    found = finish(SMALL, ALL_SMALL[name], [3, 8])
    assert strict.synchronisations == 0
    backend.use("numpy")
    assert_same_results(found, finish(SMALL, ALL_SMALL[name], [3, 8]))


@pytest.mark.parametrize("name", ["idbd", "autostep"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_ends(name, array_module):
    learner = replace(ALL_SMALL[name], compared=(0.01, 5.0))  # IDBD overflows by 5
    expected = finish(SMALL, learner, [3, 8])
    assert name == "autostep" or (expected["compared.diverged_at"][:, 1] >= 0).all()
    runs = tracking.start(SMALL, learner, [3, 8], None)
    with np.errstate(all="ignore"):
        while runs.progress < 1.0:
            state = {key: array.copy() for key, array in runs.state().items()}
            runs = tracking.start(SMALL, learner, [3, 8], None)
            runs.restore(state)
            runs.advance()
    assert_same_results(runs.results(), expected)


def test_a_state_of_other_runs_is_refused():
    state = tracking.start(SMALL, IDBD_SMALL, [3], None).state()
    with pytest.raises(ValueError, match="has the shape"):
        tracking.start(SMALL, IDBD_SMALL, [3, 8], None).restore(state)
    with pytest.raises(ValueError, match="lacks .*; restore it into"):
        tracking.start(SMALL, replace(IDBD_SMALL, rule="autostep"), [3], None).restore(state)
    for name in ("compared.surplus", "surplus"):
        with pytest.raises(ValueError, match="^The state to restore has surplus in addition; restore it into"):
            tracking.start(SMALL, IDBD_SMALL, [3], None).restore({**state, name: np.zeros(2)})


def test_a_run_that_overflows_is_a_result_and_nothing_else_notices(array_module):
    """NaN from the bin in which its error is no longer finite. With another meta step size the run continues."""
    learner = replace(IDBD_SMALL, compared=(0.001, 5.0, 0.02), observed=(), rates=(), dtype="float32")
    results = finish(SMALL, learner, [3, 8])
    at = results["compared.diverged_at"]
    assert (at[:, [0, 2]] == -1).all() and (at[:, 1] >= 0).all()
    quiet = finish(SMALL, replace(learner, compared=(0.001, 0.02)), [3, 8])
    assert_array_equal(results["compared.squared_error"][:, [0, 2]], quiet["compared.squared_error"])
    assert np.isnan(results["compared.squared_error"][:, 1, -1]).all()
    runs = tracking.start(SMALL, learner, [3, 8], None)
    sweep = runs.sweeps["compared"]
    examples = [host(array) for array in SignStream(SMALL, np.array([3, 8]), "float32").examples(0, 500)]
    finite = []
    with np.errstate(all="ignore"):
        for x, y in zip(*examples):
            finite.append(np.isfinite(host(sweep.learner.step(xp.asarray(x), xp.asarray(y)))[:, 1] ** 2))
    assert (np.argmin(finite, axis=0) == at[:, 1]).all()


def test_an_error_whose_square_overflows_has_overflowed():
    """LMS that diverges slowly: for a while the error is finite, but its square is not."""
    results = finish(SMALL, TrackingLearner("lms", (0.05, 0.4)), [3, 8, 9])
    assert (results["compared.diverged_at"][:, 0] == -1).all() and (results["compared.diverged_at"][:, 1] > 0).all()
    assert not np.isinf(results["compared.squared_error"]).any()


def test_the_example_of_an_overflow_is_counted_from_the_start_of_the_stream(array_module):
    """A weight is infinite after example 500, in a bin that ends at 600 and becomes NaN. The other run continues."""
    runs = tracking.start(SMALL, replace(IDBD_SMALL, observed=(), rates=()), [3, 8], None)
    with np.errstate(all="ignore"):
        runs.advance()
        runs.sweeps["compared"].learner.weights[1, 0, 2] = np.inf
        while runs.progress < 1.0:
            runs.advance()
    assert runs.results()["compared.diverged_at"].tolist() == [[-1, -1], [500, -1]]
    assert np.isnan(runs.results()["compared.squared_error"]).tolist() == [[[0, 0], [0, 0]], [[1, 1], [0, 0]]]


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_that_make_no_sense_are_refused():
    for changes, words in (
        ({"compared_bin": 7000}, "num_compared, 30000, must be a multiple of compared_bin, 7000"),
        ({"num_observed": 500}, "must be a multiple of observed_bin"),
        ({"num_relevant": 20}, "num_relevant must be below num_inputs, 20, not 20"),
        ({"num_rates": 3}, "num_rates must be even"),
        ({"sigmas": ()}, "sigmas must hold at least one number"),
    ):
        with pytest.raises(ValueError, match=words):
            Settings(**changes)
    for changes in ({"compared": ()}, {"compared": (-0.1,)}, {"rates": (-1.0,)}, {"tau": 0.0}):
        with pytest.raises(ValueError):
            TrackingLearner(**changes)


def test_the_command_changes_these_learners_as_any_others():
    """--set, --dtype and the fingerprints that name result files."""

    def experiment(**options):
        return choose({"tracking": tracking}, "smoke", ["idbd"], **options)[0].experiments[0]

    plain = experiment()
    changed = experiment(changes=["tracking.idbd.compared=0.001, 0.01", "tracking.sigmas=0.5"])
    assert changed.learner_settings.compared == (0.001, 0.01)
    assert changed.problem_settings.sigmas == (0.5,)
    assert experiment(dtype="float64").learner_settings.dtype == "float64"
    fingerprints = {each.fingerprint for each in (plain, changed, experiment(dtype="float64"))}
    assert len(fingerprints) == 3 and plain.fingerprint == experiment().fingerprint
    with pytest.raises(SettingsError, match="no setting 'meta_step_size'; choose from rule, compared, observed, rates"):
        experiment(changes=["tracking.idbd.meta_step_size=0.1"])
    with pytest.raises(SettingsError, match="compared must hold at least one number"):
        experiment(changes=["tracking.idbd.compared="])


# --- published and measured numbers, by seeds that nothing was tuned on -----------------------------------------------

SEEDS = range(101, 109)
ONLY_COMPARED = {"observed": (), "rates": ()}


@pytest.mark.parametrize(
    "name, parameter, expected, tolerance",
    [
        ("lms", 0.035, 3.34, 0.08),  # published: about 3.5 at best
        ("idbd", 0.01, 1.53, 0.06),  # published: about 1.5
        ("autostep", 0.03, 2.11, 0.15),
        ("autostep_transient", 0.1, 1.05, 0.05),
    ],
)
def test_experiment_1(name, parameter, expected, tolerance):
    """The median of 8 runs: at this theta about one run of IDBD in fifty has a burst that would dominate the mean."""
    learner = replace(LEARNERS[name], compared=(parameter,), **ONLY_COMPARED)
    errors = finish(Settings(), learner, SEEDS)["compared.squared_error"][:, 0, -1]
    assert np.median(errors) == pytest.approx(expected, abs=tolerance)


def test_experiment_2():
    """Published: relevant 0.13 +- 0.015, all irrelevant ones below 0.007; measured elsewhere 0.1303 and 0.0076."""
    settings = replace(Settings(), num_compared=10_000)
    learner = replace(LEARNERS["idbd"], compared=(0.001,), rates=())
    step_sizes = finish(settings, learner, SEEDS[:3])["observed.step_sizes"][:, 0]
    assert step_sizes[:, -1, :5].mean() == pytest.approx(0.130, abs=0.01)
    assert step_sizes[:, -1, 5:].mean() == pytest.approx(0.0076, abs=0.0007)


@pytest.mark.parametrize("name, value", [("idbd", 0.001), ("autostep", 0.01)])
def test_random_walks_are_followed_at_the_kalman_filters_rate(name, value):
    settings = replace(Settings(), num_compared=10_000)
    learner = replace(LEARNERS[name], compared=(value,), observed=(), rates=(value,))
    results = finish(settings, learner, SEEDS)
    found = results["rates.step_sizes"][:, :, 0, 1, 0].mean(axis=0)  # (L,)
    assert found[1] == pytest.approx(0.390, abs=0.015)  # sigma 0.5
    rate, error = best_rate(np.array(settings.sigmas))
    assert_allclose(found, rate, atol=0.02)  # IDBD at sigma 0.1 has not quite converged: 0.084 instead of 0.095
    # 8 runs of 20,000 squared errors, correlated over a few steps, with the same noise for all: about 1 %.
    assert_allclose(results["rates.squared_error"][:, :, 0, 1].mean(axis=0), error, rtol=0.03)


def test_the_error_of_a_constant_rate_is_that_of_the_closed_form():
    settings = replace(Settings(), num_compared=10_000)
    learner = replace(LEARNERS["lms"], compared=(0.03,), rates=(0.1, 0.6))
    errors = finish(settings, learner, SEEDS)["rates.squared_error"][..., 1].mean(axis=0)  # (L, K)
    expected = error_at_rate(np.array(settings.sigmas)[:, None], np.array([0.1, 0.6]))
    assert_allclose(errors, expected, rtol=0.05)  # slow rates on strong walks: correlated errors


# --- figures ----------------------------------------------------------------------------------------------------------


def results_of(*names, **changes):
    learners = {}
    for name in names:
        learner = replace(ALL_SMALL[name], **changes)
        settings = {field: list(getattr(learner, field)) for field in ("compared", "observed", "rates")}
        metadata = [{"seed": seed, "learner_settings": settings} for seed in (3, 8)]
        learners[name] = LearnerResults(finish(SMALL, learner, [3, 8]), metadata)
    return ResultSet("tracking", "smoke", SMALL, learners)


def text_of(figure):
    words = " ".join(text.get_text() for text in figure.findobj(lambda each: hasattr(each, "get_text")))
    return " ".join(words.split())


def test_figures_show_every_learner_and_say_what_they_show():
    figures = tracking.figures(results_of(*ALL_SMALL))
    assert list(figures) == ["tracking", "tracking_step_sizes", "tracking_rates"]
    assert "Autostep, transient bound" in text_of(figures["tracking"])
    assert "Shown are medians over 2 runs" in text_of(figures["tracking"])
    assert "IDBD (meta step size 0.01): " in text_of(figures["tracking_step_sizes"])
    assert "published" not in text_of(figures["tracking"])  # not the published task
    assert "Closed form" in text_of(figures["tracking_rates"])


def test_figures_do_without_what_is_not_there():
    assert list(tracking.figures(results_of("lms"))) == ["tracking", "tracking_rates"]
    assert list(tracking.figures(results_of("autostep_transient"))) == ["tracking", "tracking_step_sizes"]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["lms"], ["Step size, the same for all inputs"]),
        (["idbd", "autostep"], ["Meta step size (logarithmic)"]),
        (["lms", "idbd"], ["Step size, the same for all inputs", "Meta step size (logarithmic)"]),
    ],
)
def test_there_is_a_panel_only_for_learners_that_are_there(names, labels):
    axes = tracking.figures(results_of(*names))["tracking"].axes
    assert [each.get_xlabel() for each in axes] == labels


def test_the_published_levels_are_marked_on_the_published_task():
    results = replace(results_of("idbd"), settings=replace(Settings(), num_observed=1200, observed_bin=100))
    settings = replace(results.settings, sigmas=SMALL.sigmas)
    figures = tracking.figures(replace(results, settings=settings))
    assert "IDBD, published" in text_of(figures["tracking"])
    assert "published" not in text_of(figures["tracking_step_sizes"])  # after 250,000 examples, not 1,200
    shorter = tracking.figures(replace(results, settings=replace(settings, num_compared=1_500, compared_bin=500)))
    assert "published" not in text_of(shorter["tracking"])


def test_overflowed_runs_are_told_of_and_not_averaged_away():
    results = results_of("idbd", compared=(0.001, 5.0))
    first = results["idbd"]["compared.diverged_at"][:, 1].min()
    text = text_of(tracking.figures(results)["tracking"])
    assert f"Runs that overflowed: 2 of IDBD at 5 (the first after {first} examples)." in text


def test_a_learner_that_overflowed_everywhere_is_at_the_top_and_its_values_are_on_the_axis():
    (axes,) = tracking.figures(results_of("idbd", compared=(5.0, 50.0)))["tracking"].axes
    (label,) = [text for text in axes.texts if text.get_text() == "IDBD (overflowed)"]
    assert label.get_position()[1] == 1.0
    assert axes.get_xlim()[0] < 5 and axes.get_xlim()[1] > 50
    (triangles,) = [line for line in axes.lines if line.get_marker() == "^"]
    assert triangles.get_xdata().tolist() == [5, 50]


def test_values_are_drawn_in_their_order():
    (axes,) = tracking.figures(results_of("idbd", compared=(0.02, 0.001)))["tracking"].axes
    assert axes.lines[0].get_xdata().tolist() == [0.001, 0.02]


def test_a_meta_step_size_of_zero_is_a_level():
    """A logarithmic axis cannot show it, and no line leads there."""
    results = results_of("idbd", compared=(0.0, 0.001, 0.02))
    (axes,) = tracking.figures(results)["tracking"].axes
    error = np.median(results["idbd"]["compared.squared_error"][:, 0, -1])
    assert f"IDBD at 0: {error:.3f}" in [text.get_text() for text in axes.texts]
    assert [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "o"] == [[0.001, 0.02]]
    (axes,) = tracking.figures(results_of("idbd", compared=(0.0,)))["tracking"].axes
    assert "IDBD" not in [text.get_text() for text in axes.texts]  # only its level


def test_rates_that_overflow_have_no_label_and_are_told_of():
    figure = tracking.figures(results_of("idbd", rates=(1e8, 0.01)))["tracking_rates"]
    text = text_of(figure)
    assert "Runs that overflowed: 2 of IDBD at 1e+08 (the first after " in text
    assert "IDBD, 1e+08" not in text and "nan" not in text
    heights = [each.get_position()[1] for each in figure.axes[1].texts if each.get_position()[0] > 1]
    assert len(heights) == 2 and abs(heights[0] - heights[1]) > 0.05  # IDBD, 0.01 and the closed form


def test_an_error_that_is_not_finite_is_told_in_words():
    text = text_of(tracking.figures(results_of("idbd", observed=(50.0,)))["tracking_step_sizes"])
    assert "IDBD (meta step size 50): diverged." in text
    assert mean_in_words(np.array([1.0, 2.0]), 2) == "1.50"
    assert mean_in_words(np.array([1.0, np.nan, np.inf]), 2) == "diverged in 2 of 3 runs"


def test_step_sizes_are_written_as_plain_numbers():
    """Few decades have ticks at 1, 2 and 5, many only at 1, or labels would overlap."""
    axes = new_figure()[1][0]
    logarithmic(axes, "y")
    for low, high, expected in ((0.011, 0.09, [0.02, 0.05]), (2e-7, 0.5, [1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.1])):
        axes.set_ylim(low, high)
        shown = [tick for tick in axes.get_yticks() if low <= tick <= high]
        assert_allclose(shown, expected)
    assert axes.yaxis.get_major_formatter()(0.04, 0) == "0.04"
