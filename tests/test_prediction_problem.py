"""The prediction problem: its stream by independent loops, its measures, and errors known independently."""

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import host
from numpy.testing import assert_allclose, assert_array_equal
from test_prediction import slow_swift_td

from minilop import backend
from minilop.experiment.results import LearnerResults, ResultSet
from problems import prediction

SMALL = prediction.Settings(num_steps=1000, bin_size=250, num_distractors=3)
SMALL_LEARNERS = {name: replace(learner, compared=(0.001, 0.02)) for name, learner in prediction.LEARNERS.items()}


def finish(settings, learner, seeds):
    runs = prediction.start(settings, learner, list(seeds), None)
    with np.errstate(all="ignore"):  # as the runner does
        while runs.progress < 1.0:
            runs.advance()
    assert runs.progress == 1.0
    return runs.results()


@pytest.mark.quick
def test_an_outcome_comes_ten_steps_after_each_cue_and_the_next_cue_15_to_39_steps_later():
    cue_stream = prediction.CueStream(prediction.Settings(), np.arange(20), "float64")
    gaps = []
    for cues, cumulants in zip(cue_stream.cues, cue_stream.cumulants):
        cue_times, outcomes = np.flatnonzero(cues), np.flatnonzero(cumulants)
        assert_array_equal(outcomes, cue_times[: len(outcomes)] + 10)
        gaps += [cue_times[0], *(cue_times[1:] - outcomes[: len(cue_times) - 1])]
    counts = np.bincount(gaps, minlength=40)
    assert not counts[:15].any() and len(counts) == 40
    assert abs(counts[15:] - len(gaps) / 25).max() < 4 * np.sqrt(len(gaps) / 25)


@pytest.mark.quick
def test_returns_are_the_discounted_outcomes_that_come_later():
    cue_stream = prediction.CueStream(SMALL, np.array([3, 8]), "float64")
    long = prediction.CueStream(replace(SMALL, num_steps=1500), np.array([3, 8]), "float64")
    assert_array_equal(long.cumulants[:, :1000], cue_stream.cumulants)
    for step in (0, 17, 500, 998, 999):  # also at the end, where the outcomes follow the stream
        later = long.cumulants[:, step + 1 :]
        expected = later @ 0.9 ** np.arange(later.shape[-1])
        assert_allclose(cue_stream.returns[:, step], expected, rtol=0, atol=1e-8)  # 0.9^k is cut at 1e-9


@pytest.mark.quick
def test_features_are_taps_of_the_cue_distractors_and_a_bias(array_module):
    cue_stream = prediction.CueStream(SMALL, np.array([3, 8]), "float32")
    parts = [cue_stream.examples(start, stop) for start, stop in ((0, 130), (130, 1000))]
    features, cumulants, returns = (np.concatenate([host(array) for array in arrays]) for arrays in zip(*parts))
    assert features.shape == (1000, 2, 1, 12 + 3 + 1) and cumulants.shape == returns.shape == (1000, 2, 1)
    for step in range(1000):
        for run in range(2):
            taps = [step >= tap and cue_stream.cues[run, step - tap] for tap in range(12)]
            assert features[step, run, 0, :12].tolist() == taps
    assert (features[..., -1] == 1).all()
    distractors = features[..., 12:15]
    assert set(np.unique(distractors)) == {0, 1} and abs(distractors.mean() - 0.1) < 4 * np.sqrt(0.09 / 6000)
    assert_array_equal(cumulants[..., 0].T, cue_stream.cumulants)


@pytest.mark.quick
def test_an_error_is_the_return_less_the_value_from_before_learning():
    learner = replace(prediction.LEARNERS["swift_td"], compared=(0.001, 0.02), dtype="float64")
    results = finish(SMALL, learner, [3, 8])
    features, cumulants, returns = prediction.CueStream(SMALL, np.array([3, 8]), "float64").examples(0, 1000)
    for run in range(2):
        values, _ = slow_swift_td(
            features[:, run, 0], cumulants[:, run, 0], 0.9, 0.95, 0.02, 0.01, 0.1, 0.99, math.exp(-15)
        )
        expected = np.square(returns[:, run, 0] - values).reshape(4, 250).mean(axis=-1)
        assert_allclose(results["compared.squared_error"][run, 1], expected, rtol=1e-9)


@pytest.mark.parametrize("name", SMALL_LEARNERS)
def test_a_run_of_the_problem_alone_is_the_run_among_others_on_either_backend(name, strict):
    found = finish(SMALL, SMALL_LEARNERS[name], [8])
    assert strict.synchronisations == 0
    backend.use("numpy")
    block = finish(SMALL, SMALL_LEARNERS[name], [3, 8, 9])
    for measure, array in block.items():
        assert_array_equal(found[measure][0], array[1], measure)


def test_a_resumed_run_ends_where_an_uninterrupted_one_ends(array_module):
    for name in ("td_lambda", "tidbd_normalized", "swift_td"):
        runs = prediction.start(SMALL, SMALL_LEARNERS[name], [3, 8], None)
        while runs.progress < 1.0:
            state = runs.state()
            runs = prediction.start(SMALL, SMALL_LEARNERS[name], [3, 8], None)
            runs.restore(state)
            runs.advance()
        for measure, array in finish(SMALL, SMALL_LEARNERS[name], [3, 8]).items():
            assert_array_equal(runs.results()[measure], array, measure)


def test_a_step_size_that_overflows_is_a_result():
    results = finish(SMALL, replace(SMALL_LEARNERS["td_lambda"], compared=(0.01, 3.0)), [3, 8])
    assert (results["compared.diverged_at"][:, 0] == -1).all() and (results["compared.diverged_at"][:, 1] > 0).all()
    assert np.isnan(results["compared.squared_error"][:, 1, -1]).all()
    assert np.isfinite(results["compared.squared_error"][:, 0]).all()


def test_settings_that_make_no_sense_are_refused():
    for changes in ({"bin_size": 300}, {"longest_gap": 10}, {"discount": 1.0}, {"distractor_probability": 2.0}):
        with pytest.raises(ValueError):
            prediction.Settings(**changes)
    for changes in ({"compared": ()}, {"compared": (-0.1,)}, {"trace_decay": 1.1}, {"step_bound": 0.0}):
        with pytest.raises(ValueError):
            prediction.PredictionLearner(**changes)


def test_lifetime_errors_are_the_known_ones():
    """Measured by independent code with seeds not used for tuning: true online TD(lambda) 0.0145 at its best and 0.0180
    at 0.01, SwiftTD 0.0132, and always predicting 0 has 0.1498. Means of 4 and of 10 runs differ by 1 %."""
    settings, seeds = prediction.Settings(), range(101, 105)
    true_online = replace(prediction.LEARNERS["true_online_td"], compared=(0.01, 0.03))
    swift = replace(prediction.LEARNERS["swift_td"], compared=(0.01,))
    known, best = finish(settings, true_online, seeds)["compared.squared_error"].mean(axis=(0, 2))
    found = finish(settings, swift, seeds)["compared.squared_error"].mean()
    assert known == pytest.approx(0.0180, abs=0.0005) and best == pytest.approx(0.0145, abs=0.0005)
    assert found == pytest.approx(0.0132, abs=0.0015) and found < best
    returns = prediction.CueStream(settings, np.array(seeds), "float64").returns
    assert np.square(returns).mean() == pytest.approx(0.1498, abs=0.002)


def results_of(learners):
    finished = {}
    for name, learner in learners.items():
        metadata = [{"seed": seed, "learner_settings": {"compared": list(learner.compared)}} for seed in (3, 8)]
        finished[name] = LearnerResults(finish(SMALL, learner, [3, 8]), metadata)
    return ResultSet("prediction", "smoke", SMALL, finished)


def caption_of(figure):
    return " ".join(figure.get_supxlabel().split())


def test_figures_show_what_is_there():
    results = results_of(SMALL_LEARNERS)
    figures = prediction.figures(results)
    assert list(figures) == ["prediction", "prediction_step_sizes"]
    texts = {text.get_text() for text in figures["prediction"].findobj(lambda each: hasattr(each, "get_text"))}
    assert {"TD(λ)", "True online TD(λ)", "TIDBD", "Autostep-TIDBD", "SwiftTD", "SwiftTD, bound 0.5"} <= texts
    alone = replace(results, learners={"td_lambda": results["td_lambda"]})
    assert list(prediction.figures(alone)) == ["prediction"]
    caption = caption_of(figures["prediction"])
    assert "SwiftTD: 0.02; SwiftTD, bound 0.5: 0.0" in caption and "chosen on these same runs" in caption
    assert caption.count("Scale: smoke.") == 1


def test_no_curve_is_cut_without_a_word():
    """Panels extend from the least error to that of always predicting 0; errors above are triangles."""
    values = (0.003, 0.03, 0.3, 1.0)
    results = results_of({"td_lambda": replace(SMALL_LEARNERS["td_lambda"], compared=values)})
    left, right = prediction.figures(results)["prediction"].axes
    of_zero = np.square(prediction.CueStream(SMALL, np.array([3, 8]), "float64").returns).mean()
    for axes in (left, right):
        assert axes.get_yscale() == "log"
        assert axes.get_ylim()[0] < of_zero < axes.get_ylim()[1]
        assert of_zero in axes.lines[0].get_ydata()
        assert "always predicting 0" in [text.get_text() for text in axes.texts]
    errors = results["td_lambda"]["compared.squared_error"].mean(axis=-1)
    medians = np.median(np.where(np.isnan(errors), np.inf, errors), axis=0)
    assert left.get_ylim()[0] < medians.min()
    (triangles,) = [line for line in left.lines if line.get_marker() == "^"]
    assert triangles.get_xdata().tolist() == [v for v, m in zip(values, medians) if m > left.get_ylim()[1]] != []
    curve = right.lines[1].get_ydata()
    assert right.get_ylim()[0] < curve.min() and curve.max() < right.get_ylim()[1]


def test_a_method_that_overflowed_everywhere_has_no_best_value():
    results = results_of({"tidbd": replace(SMALL_LEARNERS["tidbd"], compared=(100.0, 1e10))})
    figures = prediction.figures(results)
    assert list(figures) == ["prediction"] and len(figures["prediction"].axes) == 1
    caption = caption_of(figures["prediction"])
    assert "2 of TIDBD at 100 (the first after" in caption and "Right" not in caption
    assert "TIDBD (overflowed)" in [text.get_text() for text in figures["prediction"].axes[0].texts]
