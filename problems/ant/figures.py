"""The figures of the ant problems, drawn from result files only: rewards, diagnostics of the policy, and walks."""

from collections.abc import Mapping, Sequence

import numpy as np

from minilop.experiment.figures import Figure, add_caption, new_figure
from minilop.experiment.results import ResultSet
from minilop.experiment.saving import Animation
from problems.ant.drawing import draw_walk, follow_walk
from problems.appearance import describe_runs, draw_curves, label_of

_POSES_APART = 10  # steps between two poses of a strip
_WALKERS = ("ppo", "ppo_continual_backprop")  # whose walks are shown, if they have results


def ant_figures(results: ResultSet, title: str) -> dict[str, Figure]:
    """Rewards per episode and per step, diagnostics of the policy, and final walks of at most two learners."""
    settings, learners = results.settings, list(results.learners)
    body = "MuJoCo's Ant-v5" if settings.simulator == "mujoco" else "minilop's own model of the body, not MuJoCo's"
    if settings.change_period:
        change = (
            f"friction log-uniform on [{settings.lowest_friction:g}, {settings.highest_friction:g}], redrawn every "
            f"{settings.change_period:,} steps (dotted lines), the same for all learners of a seed"
        )
    else:
        change = f"friction {settings.friction:g} throughout"
    hidden = "-".join(map(str, settings.hidden_units))
    about = (
        f"{title}: {body}; {change}; policy and value network of {hidden} units, {settings.num_environments} "
        f"environment{'s' if settings.num_environments > 1 else ''} per run, episodes of at most {settings.time_limit} "
        f"steps; reward: speed + {settings.healthy_reward:g} - {settings.control_cost:g} times the squared "
        f"{'clipped ' if settings.control_cost_of == 'clipped_action' else ''}actions."
    )
    num_observations = min(settings.num_diagnostic_observations, settings.num_samples)
    name = results.problem
    drawn = {
        name: _panels(
            results,
            learners,
            ("episode_return", "reward"),
            ("Reward per episode", "Reward per step"),
            (
                "of the episodes that end in a bin",
                f"over all steps of a bin; standing still earns {settings.healthy_reward:g}",
            ),
            about,
        ),
        f"{name}_diagnostics": _panels(
            results,
            learners,
            ("dormant_units", "stable_rank", "weight_magnitude", "weight_change"),
            ("Dormant units (%)", "Stable rank", "Weight magnitude", "Policy weight change"),
            (
                f"active on under 1 % of {num_observations:,} observations, all hidden layers",
                "of the last hidden layer, as a percentage of its units",
                "mean absolute weight of the policy's middle layer",
                "sum of the absolute changes in an update, the largest of a bin",
            ),
            about,
        ),
    }
    drawn[f"{name}_walk"] = _walk_figure(results, title)
    return drawn


def ant_animations(results: ResultSet, title: str) -> dict[str, Animation]:
    """The walks of `ant_figures`, side by side, as an animation."""
    walks, seed = _walks(results)
    figure, panels = new_figure(len(walks), most_columns=len(walks), height=3.4)
    add_caption(figure, f"{_about_walks(results, title, seed)} In real time.")
    num_frames = max(int(np.isfinite(poses[:, 0]).sum()) for poses in walks.values())
    step_seconds = results.settings.step_seconds

    def draw_frame(number: int) -> None:
        for axes, (learner, poses) in zip(panels, walks.items()):
            axes.clear()
            follow_walk(axes, poses, number, step_seconds)
            axes.set_title(label_of(learner), loc="left", fontsize=11)

    return {f"{results.problem}_walk": Animation(figure, draw_frame, num_frames, step_seconds)}


def _walks(results: ResultSet) -> tuple[Mapping[str, np.ndarray], int]:
    """The poses (T, 15) of the learners that are shown, from the first seed that all of them have, and this seed."""
    walkers = [learner for learner in _WALKERS if learner in results.learners] or list(results.learners)[:2]
    rows = {learner: {run["seed"]: row for row, run in enumerate(results[learner].metadata)} for learner in walkers}
    shared = set.intersection(*(set(of_learner) for of_learner in rows.values()))
    if not shared:  # no common seed: show one learner
        rows = {walkers[0]: rows[walkers[0]]}
    seed = min(shared or rows[walkers[0]])
    return {learner: results[learner]["poses"][of_learner[seed]] for learner, of_learner in rows.items()}, seed


def _panels(
    results: ResultSet,
    learners: Sequence[str],
    measures: Sequence[str],
    labels: Sequence[str],
    qualifications: Sequence[str],
    about: str,
) -> Figure:
    settings = results.settings
    positions = settings.bin_size * (np.arange(settings.steps_in_all // settings.bin_size) + 1)
    figure, panels = new_figure(len(measures))
    for axes, measure, label, qualification in zip(panels, measures, labels, qualifications):
        for segment in range(1, settings.num_segments):
            axes.axvline(segment * settings.change_period, color="0.7", linestyle=":", linewidth=1)
        x_label = f"Step (bins of {settings.bin_size:,})"
        draw_curves(axes, results, learners, measure, positions, label, qualification, x_label)
    add_caption(figure, f"{about} {describe_runs(results, learners, 'bin')}")
    return figure


def _about_walks(results: ResultSet, title: str, seed: int) -> str:
    learner = next(name for name in results.learners if any(run["seed"] == seed for run in results[name].metadata))
    row = [run["seed"] for run in results[learner].metadata].index(seed)
    friction = results[learner]["friction"][row, -1]  # the same for all learners of a seed
    seconds = results.settings.num_pose_steps * results.settings.step_seconds
    return (
        f"{title}: the first {seconds:g} s of a walk by the final policies, seed {seed}, friction {friction:.2g}, "
        "without noise, seen from the side and slightly from above. Units: meters."
    )


def _walk_figure(results: ResultSet, title: str) -> Figure:
    """One row per learner, all of the same seed and to the same scale."""
    walks, seed = _walks(results)
    figure, panels = new_figure(len(walks), most_columns=1, height=2.2)
    for axes, (learner, poses) in zip(panels, walks.items()):
        draw_walk(axes, poses, _POSES_APART)
        axes.set_title(label_of(learner), loc="left", fontsize=11)
    left, right, low, high = zip(*(axes.axis() for axes in panels))
    for axes in panels:
        axes.axis((min(left), max(right), min(low), max(high)))
    apart = _POSES_APART * results.settings.step_seconds
    add_caption(figure, f"{_about_walks(results, title, seed)} One pose every {apart:g} s, later ones darker.")
    return figure
