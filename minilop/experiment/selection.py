"""What the options of the command choose: problems, learners, settings and seeds, as experiments to run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minilop.experiment.problem import Problem, Scale
from minilop.experiment.settings import Experiment, SettingsError, override, unknown


@dataclass(frozen=True)
class Chosen:
    """One problem with the learners and seeds that were asked for."""

    problem: str
    module: Problem
    scale: Scale
    experiments: tuple[Experiment, ...]  # one per learner
    seeds: tuple[int, ...]  # all that the figures may show
    seeds_here: tuple[int, ...]  # those of this shard


def choose_problems(problems: Mapping[str, Problem], names: Sequence[str]) -> dict[str, Problem]:
    """The named problems in the order of their names, or all. Raises SettingsError for an unknown one."""
    for name in names:
        if name not in problems:
            raise unknown("problem", name, problems)
    return {name: problems[name] for name in names or problems}


def choose(
    problems: Mapping[str, Problem],
    scale_name: str,
    learners: Sequence[str] = (),
    num_runs: int | None = None,
    first_seed: int = 0,
    dtype: str | None = None,
    changes: Sequence[str] = (),
    shard: str | None = None,
) -> list[Chosen]:
    """The experiments of `problems` at a scale: of the named `learners`, or of each problem's default ones.

    `changes` are texts "problem.setting=value" or "problem.learner.setting=value". A learner that only some of the
    problems have is run there. Raises SettingsError, in one sentence, for whatever does not exist or has no effect.
    """
    scales = {name: module.SCALES[scale_name] for name, module in problems.items()}
    known = list(dict.fromkeys(learner for scale in scales.values() for learner in scale.learners))
    for learner in learners:
        if learner not in known:
            raise unknown("learner", learner, known)
    problem_settings = {name: scale.settings for name, scale in scales.items()}
    learner_settings = {
        name: {
            learner: scale.learners[learner]
            for learner in learners or scale.default_learners
            if learner in scale.learners
        }
        for name, scale in scales.items()
    }
    if dtype is not None:
        for of_problem in learner_settings.values():
            of_problem.update({learner: override(values, "dtype", dtype) for learner, values in of_problem.items()})
    for change in changes:
        _apply(change, scales, problem_settings, learner_settings)
    chosen = []
    for name, scale in scales.items():
        seeds = tuple(range(first_seed, first_seed + (num_runs or scale.runs)))
        experiments = tuple(
            Experiment(name, learner, problem_settings[name], values, problems[name].__name__, scale_name)
            for learner, values in learner_settings[name].items()
        )
        if experiments:
            chosen.append(Chosen(name, problems[name], scale, experiments, seeds, seeds[_shard(shard)]))
    return chosen


def _apply(
    change: str,
    scales: Mapping[str, Scale],
    problem_settings: dict[str, Any],
    learner_settings: dict[str, dict[str, Any]],
) -> None:
    """Do what one `--set` says."""
    match = re.fullmatch(r"\s*(\w+)\.(?:([^=]+)\.)?(\w+)\s*=(.*)", change)  # a learner's name may hold a dot
    if match is None:
        raise SettingsError(f"--set expects problem.setting=value or problem.learner.setting=value, not {change!r}.")
    problem, learner, setting, text = match.groups()
    try:
        if problem not in problem_settings:
            raise unknown("problem among those that run", problem, problem_settings)
        if learner is None:
            problem_settings[problem] = override(problem_settings[problem], setting, text)
        elif learner in learner_settings[problem]:
            learner_settings[problem][learner] = override(learner_settings[problem][learner], setting, text)
        elif learner in scales[problem].learners:
            raise SettingsError(f"It has no effect, since {learner} does not run; choose it with --learner.")
        else:
            raise unknown("learner", learner, scales[problem].learners)
    except SettingsError as error:
        raise SettingsError(f"--set {change}: {error}") from None


def _shard(text: str | None) -> slice:
    """Every n-th seed from the i-th on, for "i/n"."""
    match = re.fullmatch(r"(\d+)/(\d+)", text or "1/1")
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise SettingsError(f"--shard expects i/n with i from 1 to n, for example 2/4, not {text!r}.")
    return slice(int(match[1]) - 1, None, int(match[2]))
