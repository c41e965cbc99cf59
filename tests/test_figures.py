"""Figures: curves and their labels, what a caption must say, and files that are whole or not there."""

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from PIL import Image

from minilop.experiment.figures import (
    Appearance,
    add_caption,
    finish_panel,
    new_figure,
)
from minilop.experiment.results import LearnerResults, ResultSet
from minilop.experiment.saving import Animation, save, save_animation
from minilop.experiment.settings import Experiment
from problems import PROBLEMS
from problems.appearance import appearance_of, color_of, describe_runs, draw_curves, label_of

nan = np.nan
BINNED = ["permuted_mnist", "slowly_changing_regression", "continual_imagenet"]  # the others' own files test theirs


def results_of(**learners):
    """A set of made-up results: for each learner its measure `error` (R, num_bins) and where its runs diverged."""
    made = {}
    for name, (values, diverged_at) in learners.items():
        arrays = {"error": np.array(values, float), "diverged_at": np.array(diverged_at)}
        made[name] = LearnerResults(arrays, [{}] * len(values))
    return ResultSet("toy", "smoke", None, made)


@pytest.fixture(scope="module")
def of_problems():
    """Real results of BINNED problems at smoke scale, some learners only, and fewer examples."""
    sets = {}
    for problem, changes, learners in (
        ("slowly_changing_regression", {"num_examples": 1000, "bin_size": 500}, ("backprop", "linear", "redo", "tanh")),
        ("permuted_mnist", {"task_length": 150}, ("backprop", "continual_backprop", "linear")),
        (
            "continual_imagenet",
            {"num_tasks": 4, "bin_size": 2},
            ("backprop", "continual_backprop", "linear", "backprop_step_0.01"),
        ),
    ):
        module = PROBLEMS[problem]
        scale = module.SCALES["smoke"]
        settings = replace(scale.settings, **changes)
        finished = {}
        for learner in learners:
            runs = module.start(settings, scale.learners[learner], [0, 1, 2], None)
            while runs.progress < 1:
                runs.advance()
            experiment = Experiment(problem, learner, settings, scale.learners[learner], module.__name__, "smoke")
            metadata = [{"seed": seed, **experiment.identity()} for seed in (0, 1, 2)]
            finished[learner] = LearnerResults(runs.results(), metadata)
        sets[problem] = ResultSet(problem, "smoke", settings, finished)
    return sets


# --- curves and captions ----------------------------------------------------------------------------------------------


def curves_of(results, learners):
    figure, (axes,) = new_figure()
    positions = np.arange(len(results[learners[0]]["error"][0])) + 1
    draw_curves(axes, results, learners, "error", positions, "Error", "smaller is better", "Task")
    return figure, axes


@pytest.mark.quick
def test_a_curve_is_the_mean_with_its_label_at_its_end_in_its_colour():
    results = results_of(backprop=([[1, 2], [3, 4]], [-1, -1]), shrink_and_perturb=([[0, 0], [0, 1]], [-1, -1]))
    _, axes = curves_of(results, ["backprop", "shrink_and_perturb"])
    assert [line.get_ydata().tolist() for line in axes.lines] == [[2, 3], [0, 0.5]]
    texts = {text.get_text(): text for text in axes.texts}
    assert {"Backprop", "Shrink & Perturb"} <= set(texts)
    assert texts["Backprop"].get_color() == axes.lines[0].get_color() == "C3"  # the same red in every figure
    assert axes.get_legend() is None


def test_labels_of_curves_that_end_together_stand_apart():
    results = results_of(**{name: ([[1.0, 1.0]], [-1]) for name in ("backprop", "l2", "adam")})
    _, axes = curves_of(results, list(results.learners))
    heights = sorted(text.get_position()[1] for text in axes.texts if text.get_position()[0] > 1)
    assert len(heights) == 3
    assert np.diff(heights).min() > 0.05  # of the panel's height: a line of text


def test_any_number_of_learners_can_be_drawn():
    """A sweep of twenty settings has more curves than there are colours."""
    results = results_of(**{f"l2_decay_{number}": ([[number, 1.0]], [-1]) for number in range(20)})
    _, axes = curves_of(results, list(results.learners))
    assert len(axes.lines) == 20
    assert len({line.get_color() for line in axes.lines[:6]}) == 6


def test_a_learner_that_is_missing_or_was_not_measured_is_not_drawn():
    results = results_of(backprop=([[1.0]], [-1]))
    _, axes = curves_of(results, ["backprop", "l2"])
    assert [line.get_marker() for line in axes.lines] == ["None", "o"]  # a point to which no line leads has a marker


def test_the_caption_counts_the_runs_that_are_there():
    three = results_of(backprop=([[1.0]] * 3, [-1] * 3), l2=([[1.0]] * 3, [-1] * 3))
    assert describe_runs(three, ["backprop", "l2"]) == "Mean over 3 runs; band: one standard error. Scale: smoke."
    fewer = results_of(backprop=([[1.0]] * 3, [-1] * 3), l2=([[1.0]], [-1]))
    assert "Mean over runs (Backprop: 3; L2: 1); band: one standard error." in describe_runs(fewer, ["backprop", "l2"])
    one = results_of(backprop=([[1.0]], [-1]))
    assert "Mean over 1 run;" in describe_runs(one, ["backprop", "missing"])


def test_the_caption_tells_which_runs_diverged():
    results = results_of(backprop=([[1.0], [nan]], [-1, 700]), l2=([[1.0], [1.0]], [-1, -1]))
    caption = describe_runs(results, ["backprop", "l2"])
    assert caption.endswith("Diverged and left out from then on: 1 of Backprop (the first after 700 examples).")
    assert describe_runs(results, ["backprop"], "task").endswith("1 of Backprop (the first after 700 tasks).")


def test_a_caption_is_wrapped_to_the_figure():
    figure, _ = new_figure()
    add_caption(figure, "word " * 100)
    lines = figure.get_supxlabel().split("\n")
    assert len(lines) > 3 and max(map(len, lines)) < 130
    assert " ".join(lines).split() == ["word"] * 100


@pytest.mark.parametrize("word", ["W" * 50, "m_" * 100, "permuted_mnist.network_idbd.meta_step_size=500.0,", "."])
@pytest.mark.parametrize("num_panels", [1, 2])
def test_no_caption_is_cut_at_the_right_edge(word, num_panels):
    """As it is drawn: wide letters, and a word longer than a line, which is broken."""
    figure, _ = new_figure(num_panels)
    add_caption(figure, f"{word} " * 5)
    figure.draw_without_rendering()
    (caption,) = [text for text in figure.texts if text.get_text() == figure.get_supxlabel()]
    assert caption.get_window_extent().x1 <= figure.bbox.x1
    assert "".join(figure.get_supxlabel().split()) == word * 5


@pytest.mark.quick
def test_a_caption_shows_dollar_signs_and_names_that_are_not_text(tmp_path):
    """A user's setting may be a file's name; neither becomes a formula, which would fail, nor stops the drawing."""
    figure, _ = new_figure()
    add_caption(figure, "toy.marker=$\\no_formula$ toy.file=\udcff")
    assert figure.get_supxlabel() == "toy.marker=$\\no_formula$ toy.file=\\udcff"
    save(figure, tmp_path / "curves", {"command": "--out \udcff"})
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.text["command"] == "--out \\udcff"


def test_a_label_without_a_height_is_left_out_and_an_infinite_one_is_at_the_top():
    _, (axes,) = new_figure()
    axes.set_ylim(0, 1)
    finish_panel(axes, [(nan, "lost", "C0"), (np.inf, "overflowed", "C1"), (0.2, "fine", "C2")], "", "", "")
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts if text.get_position()[0] > 1}
    assert heights == {"overflowed": 1.0, "fine": 0.2}


@pytest.mark.quick
def test_a_learner_without_an_entry_has_a_label_made_of_its_name_and_is_drawn_all_the_same():
    assert appearance_of("my_rule_2") == Appearance(label="My rule 2", color="", dashes="-")
    assert (label_of("my_rule_2"), color_of("my_rule_2")) == ("My rule 2", "black")
    assert appearance_of("linear").dashes == "--"  # a level that others are compared with


# --- the problems' figures --------------------------------------------------------------------------------------------

NAMES = {
    "slowly_changing_regression": [
        "slowly_changing_regression",
        "slowly_changing_regression_activations",
        "slowly_changing_regression_diagnostics",
    ],
    "permuted_mnist": ["permuted_mnist", "permuted_mnist_diagnostics"],
    "continual_imagenet": [
        "continual_imagenet",
        "continual_imagenet_diagnostics",
        "continual_imagenet_step_sizes",
        "continual_imagenet_step_sizes_diagnostics",
    ],
}
ABOUT = {
    "slowly_changing_regression": ("5 hidden units", "random data from the target network", "published code"),
    "permuted_mnist": ("1,797 real handwritten digits", "150 per task", "hidden layers 32-32"),
    "continual_imagenet": (
        "generated images, not ImageNet's (hard classes), 16 x 16 pixels",
        "2 epochs per task",
        "layers 8-16-32-32",
    ),
}


@pytest.mark.parametrize("problem", BINNED)
def test_a_problem_draws_its_figures_and_says_what_they_show(problem, of_problems):
    figures = PROBLEMS[problem].figures(of_problems[problem])
    assert list(figures) == NAMES[problem]
    for figure in figures.values():
        assert isinstance(figure, Figure)
        caption = " ".join(figure.get_supxlabel().split())
        assert "Mean over 3 runs; band: one standard error. Scale: smoke." in caption
        for words in ABOUT[problem]:
            assert words in caption


@pytest.mark.parametrize("problem", BINNED)
def test_curves_are_drawn_at_the_end_of_their_bins(problem, of_problems):
    results = of_problems[problem]
    (axes,) = PROBLEMS[problem].figures(results)[problem].axes
    measure, ends = {
        "slowly_changing_regression": ("squared_error", [500, 1000]),
        "permuted_mnist": ("accuracy", [1, 2]),
        "continual_imagenet": ("test_accuracy", [2, 4]),
    }[problem]
    assert axes.lines[0].get_xdata().tolist() == ends
    by_place = results["backprop"][measure].reshape(3, 2, -1)  # of the tasks in a bin, the last axis
    assert_allclose(axes.lines[0].get_ydata(), by_place.mean(axis=(0, 2)))
    drawn = {text.get_text() for text in axes.texts}
    assert {"Backprop", "Linear"} <= drawn and "Tanh" not in drawn  # activations have a figure of their own


@pytest.mark.parametrize("problem", BINNED)
def test_diagnostics_have_a_panel_each_and_leave_the_linear_network_out(problem, of_problems):
    figure = PROBLEMS[problem].figures(of_problems[problem])[f"{problem}_diagnostics"]
    titles = [axes.get_title(loc="left").strip() for axes in figure.axes]
    of_weights = "Weight magnitude"
    if problem == "continual_imagenet":
        assert titles == ["Dormant units (%)", "Stable rank", of_weights, "Training accuracy (%)"]
    else:
        assert titles == [of_weights, "Dead units (%)", "Effective rank", "Stable rank"]
    counts = {title: len(axes.lines) for title, axes in zip(titles, figure.axes)}
    of_all = counts.pop(of_weights)
    assert of_all == 3 and counts.pop("Training accuracy (%)", 3) == 3
    assert set(counts.values()) == {2}


def test_fewer_runs_of_one_learner_make_fewer_in_the_caption(of_problems):
    results = of_problems["permuted_mnist"]
    short = LearnerResults(
        {name: array[:1] for name, array in results["linear"].arrays.items()}, results["linear"].metadata[:1]
    )
    figures = PROBLEMS["permuted_mnist"].figures(replace(results, learners={**results.learners, "linear": short}))
    caption = " ".join(figures["permuted_mnist"].get_supxlabel().split())
    assert "runs (Backprop: 3; Continual Backprop: 3; Linear: 1);" in caption


def test_a_problem_without_other_activations_has_no_figure_of_them(of_problems):
    results = of_problems["slowly_changing_regression"]
    two = {name: results[name] for name in ("backprop", "linear")}
    figures = PROBLEMS["slowly_changing_regression"].figures(replace(results, learners=two))
    assert list(figures) == ["slowly_changing_regression", "slowly_changing_regression_diagnostics"]


def test_step_sizes_of_backprop_alone_leave_no_empty_figure(of_problems):
    results = of_problems["continual_imagenet"]
    alone = replace(results, learners={"backprop_step_0.01": results["backprop_step_0.01"]})
    figures = PROBLEMS["continual_imagenet"].figures(alone)
    assert list(figures) == ["continual_imagenet_step_sizes", "continual_imagenet_step_sizes_diagnostics"]


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_figure_is_saved_as_png_and_pdf_with_its_history_inside_and_nothing_else(tmp_path):
    figure, _ = new_figure()
    metadata = {"command": "python run_all.py", "fingerprints": "backprop 0123456789"}
    save(figure, tmp_path / "curves", metadata)
    save(figure, tmp_path / "curves", metadata)  # over the first one
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.pdf", "curves.png"]
    with Image.open(tmp_path / "curves.png") as picture:
        assert metadata.items() <= picture.text.items()
        assert picture.size[0] > 500
    content = (tmp_path / "curves.pdf").read_bytes()
    assert content.startswith(b"%PDF") and b"backprop 0123456789" in content


def test_a_name_with_dots_keeps_them(tmp_path):
    save(new_figure()[0], tmp_path / "rate_0.001", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rate_0.001.pdf", "rate_0.001.png"]


def test_a_figure_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    figure, _ = new_figure()
    save(figure, tmp_path / "curves", {"command": "first"})
    before = (tmp_path / "curves.png").read_bytes()
    monkeypatch.setattr(figure, "savefig", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save(figure, tmp_path / "curves", {"command": "second"})
    assert (tmp_path / "curves.png").read_bytes() == before


def test_the_first_ten_tasks_are_drawn_one_by_one_and_all_in_bins(of_problems):
    results = of_problems["continual_imagenet"]
    figure = PROBLEMS["continual_imagenet"].figures(results)["continual_imagenet_step_sizes"]
    first, all_tasks = figure.axes
    assert [line.get_xdata().tolist() for line in first.lines] == [[1, 2, 3, 4]] * 3  # there are but four
    assert_allclose(first.lines[0].get_ydata(), results["backprop"]["test_accuracy"].mean(axis=0))
    assert [line.get_xdata().tolist() for line in all_tasks.lines] == [[2, 4]] * 3
    assert "Backprop's own step size: 0.05." in " ".join(figure.get_supxlabel().split())


# --- animations -------------------------------------------------------------------------------------------------------


def moving_bar(num_frames=3, seconds=0.05):
    """A bar that grows, with ever longer numbers on its axis."""
    figure, (axes,) = new_figure()

    def draw_frame(number):
        axes.clear()
        axes.bar([0], [1000.0**number])

    return Animation(figure, draw_frame, num_frames, seconds)


def frames_of(path):
    """Each frame as an array, with its milliseconds, and what is said of all."""
    with Image.open(path) as film:
        frames = []
        for number in range(film.n_frames):
            film.seek(number)
            frames.append((np.array(film.convert("RGB")), film.info["duration"]))
        return frames, film.info


def test_an_animation_is_saved_as_a_gif_with_its_history_inside_and_nothing_else(tmp_path):
    metadata = {"command": "python run_all.py --animate", "fingerprints": "ppo 0123456789" * 30}  # longer than a block
    save_animation(moving_bar(), tmp_path / "bar_0.5", metadata)
    assert [path.name for path in tmp_path.iterdir()] == ["bar_0.5.gif"]
    frames, about = frames_of(tmp_path / "bar_0.5.gif")
    assert [milliseconds for _, milliseconds in frames] == [50, 50, 50]
    assert about["loop"] == 0  # for ever
    assert json.loads(about["comment"]) == metadata


def test_the_panels_of_an_animation_stay_where_they_are(tmp_path):
    """The axis on the left, a dark column, whatever the width of the numbers beside it."""
    save_animation(moving_bar(), tmp_path / "bar", {})
    columns = [
        np.flatnonzero((picture < 60).all(axis=-1).mean(axis=0) > 0.5)
        for picture, _ in frames_of(tmp_path / "bar.gif")[0]
    ]
    assert len(columns) == 3 and len(columns[0]) > 0
    assert columns[0].tolist() == columns[1].tolist() == columns[2].tolist()


def test_an_animation_that_cannot_be_finished_leaves_the_old_one(tmp_path):
    save_animation(moving_bar(), tmp_path / "bar", {})
    before = (tmp_path / "bar.gif").read_bytes()

    def fails(number):
        if number:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_animation(replace(moving_bar(), draw_frame=fails), tmp_path / "bar", {})
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]
