"""The figures of class-incremental CIFAR-100, as in the paper, drawn from result files only."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import ttest_1samp

from minilop.data import title_of
from minilop.experiment.figures import Axes, Figure, add_caption, new_figure
from minilop.experiment.results import LearnerResults, ResultSet
from problems.appearance import describe_runs, draw_curves

_REFERENCE = "retrained"
_BEST = "best epoch of each increment by test accuracy, as published"
_STOPPED = "of the network that early stopping selects by validation accuracy"


def figures(results: ResultSet) -> dict[str, Figure]:
    """Accuracy relative to the retrained network, if it has results; accuracy; and diagnostics."""
    settings, learners = results.settings, list(results.learners)
    images, size = title_of(results[learners[0]].metadata[0].get("data_source") or "CIFAR-100"), 32
    if settings.images != "cifar100":
        images, size = f"generated classes ({settings.images})", 32 // 2**settings.halvings
    about = (
        f"Class-incremental {images}, {size} x {size} pixels; {settings.num_training_images} training, "
        f"{settings.num_validation_images} validation and {settings.num_test_images} test images per class, "
        f"{settings.num_epochs} epochs after every {settings.classes_per_increment} new classes, stages of "
        f"{'-'.join(map(str, settings.widths))} channels."
    )
    drawn = {}
    others = [name for name in learners if name != _REFERENCE]
    relative = relative_to_retrained(results) if _REFERENCE in learners else None
    if relative and relative.learners:  # there are common seeds
        drawn["class_incremental_cifar"] = _relative_figure(relative, list(relative.learners), about)
    drawn["class_incremental_cifar_accuracy"] = _accuracy_figure(results, learners, about)
    drawn["class_incremental_cifar_diagnostics"] = _diagnostics_figure(results, others or learners, about)
    return drawn


def relative_to_retrained(results: ResultSet) -> ResultSet:
    """The accuracies of the other learners minus those of the retrained network with the same seed, run by run."""
    reference = results[_REFERENCE]
    of_seed = {metadata["seed"]: run for run, metadata in enumerate(reference.metadata)}
    learners = {}
    for name, learner in results.learners.items():
        pairs = [
            (run, of_seed[metadata["seed"]])
            for run, metadata in enumerate(learner.metadata)
            if metadata["seed"] in of_seed
        ]
        if name == _REFERENCE or not pairs:
            continue
        runs, references = (list(each) for each in zip(*pairs))
        differences = {
            measure: learner[measure][runs] - reference[measure][references]
            for measure in ("best_test_accuracy", "test_accuracy")
        }
        either = np.stack([learner["diverged_at"][runs], reference["diverged_at"][references]])
        first = np.where(
            either.min(axis=0) < 0, either.max(axis=0), either.min(axis=0)
        )  # the earlier one, or -1 if neither diverged
        metadata = [learner.metadata[run] for run in runs]
        learners[name] = LearnerResults({**differences, "diverged_at": first}, metadata)
    return replace(results, learners=learners)


def _draw(
    axes: Axes, results: ResultSet, learners: Sequence[str], measure: str, label: str, qualification: str
) -> None:
    """The learners' curves against the number of classes."""
    settings = results.settings
    positions = settings.classes_per_increment * (np.arange(settings.num_increments) + 1)
    draw_curves(axes, results, learners, measure, positions, label, qualification, "Number of classes")


def _relative_figure(relative: ResultSet, learners: Sequence[str], about: str) -> Figure:
    figure, panels = new_figure(2)
    label = "Test accuracy minus that of the retrained network (points)"
    for axes, measure, qualification in zip(panels, ("best_test_accuracy", "test_accuracy"), (_BEST, _STOPPED)):
        axes.axhline(0, color="0.45", linestyle="--", linewidth=1.2)
        _draw(axes, relative, learners, measure, label, qualification)
    about = f"{about} Differences between runs of the same seed. {significant_differences(relative, learners)}"
    add_caption(figure, f"{about} {describe_runs(relative, learners, 'increment')}")
    return figure


def significant_differences(relative: ResultSet, learners: Sequence[str]) -> str:
    """Describe which learners differ significantly from the retrained network in the published measure.

    Student's t test at 5 %, for each learner separately, of the runs' means over the second half of the increments.
    """
    significant = []
    for name in learners:
        measured = relative[name]["best_test_accuracy"]
        by_run = measured[:, measured.shape[1] // 2 :].mean(axis=1)  # (R,), NaN where a run has diverged
        by_run = by_run[np.isfinite(by_run)]
        if len(by_run) > 1 and ttest_1samp(by_run, 0).pvalue < 0.05:
            significant.append(f"{name} {by_run.mean():+.1f}")
    return (
        "Left, learners whose mean over the second half of the increments differs significantly (t test, 5 %) from the "
        f"retrained network: {', '.join(significant) or 'none'}."
    )


def _accuracy_figure(results: ResultSet, learners: Sequence[str], about: str) -> Figure:
    figure, panels = new_figure(2)
    for axes, measure, qualification in zip(panels, ("best_test_accuracy", "test_accuracy"), (_BEST, _STOPPED)):
        _draw(axes, results, learners, measure, "Test accuracy (%)", qualification)
    add_caption(figure, f"{about} {describe_runs(results, learners, 'increment')}")
    return figure


def _diagnostics_figure(results: ResultSet, learners: Sequence[str], about: str) -> Figure:
    figure, panels = new_figure(4)
    active = "active at under 1 % of positions and images"
    for axes, measure, label, qualification in zip(
        panels,
        ("dormant_units", "dormant_units_on_previous", "stable_rank", "weight_magnitude"),
        ("Dormant units (%)", "Dormant units on earlier classes (%)", "Stable rank", "Weight magnitude"),
        (
            f"{active} of the arriving classes, before learning from them",
            f"{active} of the earlier classes",
            "of the last hidden layer on the arriving classes, as a percentage of its units",
            "mean over all parameters, when classes arrive",
        ),
    ):
        _draw(axes, results, learners, measure, label, qualification)
    if learners != [_REFERENCE]:
        about += " The retrained network is omitted, because these are measured before it is reset."
    add_caption(figure, f"{about} {describe_runs(results, learners, 'increment')}")
    return figure
