"""Converts the options of the command (problems, learners, settings and seeds) to experiments."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from minilop.data.errors import DataError
from minilop.experiment.changes import group_changes
from minilop.experiment.problem import Problem, Scale
from minilop.experiment.settings import (
    Experiment,
    SettingsError,
    SettingsType,
    differences,
    override,
    sentence,
    shorten,
    unknown,
)

SEEDS = 2**32  # a seed is a 32-bit word


@dataclass(frozen=True)
class Chosen:
    """One problem with the selected learners and seeds."""

    problem: str
    module: Problem
    scale: Scale
    experiments: tuple[Experiment, ...]  # one per learner
    seeds: tuple[int, ...]  # shown in the figures
    seeds_here: tuple[int, ...]  # of this shard


def choose_problems(
    problems: Mapping[str, Problem], names: Sequence[str], stray: Sequence[str] = ()
) -> dict[str, Problem]:
    """The problems with these names, in this order; by default all.

    Raises SettingsError for an unknown name, and for `stray` words of the command that belong to no option.
    """
    if stray:
        raise SettingsError(
            f"{stray[0]!r} belongs to no option; repeat --problem (or --learner, or --set) before each name."
        )
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
    """The experiments of `problems` at a scale, of the given `learners` or of the default learners.

    `changes` are texts "problem.setting=value" or "problem.learner.[part.]setting=value". A learner runs on all
    problems that have it, and so does a scale. `find_data` adds the data later. Raises SettingsError, with one
    sentence, for options that do not exist, do not fit or have no effect.
    """
    scales = {name: module.SCALES[scale_name] for name, module in problems.items() if scale_name in module.SCALES}
    if not scales:
        known_scales = dict.fromkeys(scale for module in problems.values() for scale in module.SCALES)
        raise SettingsError(f"{' and '.join(problems)}: no {scale_name} scale; choose {' or '.join(known_scales)}.")
    known = list(dict.fromkeys(learner for scale in scales.values() for learner in scale.learners))
    for learner in learners:
        if learner not in known:
            raise unknown("learner", learner, known)
    running = {
        name: [learner for learner in dict.fromkeys(learners or scale.default_learners) if learner in scale.learners]
        for name, scale in scales.items()
    }
    texts = group_changes(changes, scales, running)
    chosen = []
    for name, scale in scales.items():
        settings = _change(scale.settings, name, texts)
        experiments = []
        for learner in running[name]:
            own, prefix = scale.learners[learner], f"{name}.{learner}"
            typed = own if dtype is None else override(own, {"dtype": dtype})
            values = _change(typed, prefix, texts)
            changed = [
                *differences(scale.settings, settings, name),
                *([f"dtype={dtype}"] if typed != own else []),
                *differences(typed, values, prefix),
            ]
            module = problems[name].__name__
            experiments.append(Experiment(name, learner, settings, values, module, scale_name, tuple(changed)))
        stop = first_seed + (num_runs or scale.runs)
        if stop > SEEDS:
            raise SettingsError(
                f"The last seed would be {stop - 1}, but seeds are below {SEEDS}; choose a smaller --seed or --runs."
            )
        seeds = tuple(range(first_seed, stop))
        if experiments:
            chosen.append(Chosen(name, problems[name], scale, tuple(experiments), seeds, seeds[_shard(shard)]))
    return chosen


def left_out(
    problems: Mapping[str, Problem],
    scale_name: str,
    names: Sequence[str],
    chosen: Sequence[Chosen],
    learners: Sequence[str],
) -> list[str]:
    """A sentence for the problems that do not have the scale, and one for each of `names` that has no such learner."""
    without_scale = [name for name, module in problems.items() if scale_name not in module.SCALES]
    sentences = [f"Left out, as they have no {scale_name} scale: {', '.join(without_scale)}."] if without_scale else []
    accounted = {*without_scale, *(one.problem for one in chosen)}
    return sentences + [
        f"{name} is left out: it has no learner {' or '.join(learners)}." for name in names if name not in accounted
    ]


def find_data(chosen: Sequence[Chosen], data_folder: Path | None, leave_out: Callable[[str], None]) -> list[Chosen]:
    """Add the data source of each problem to its experiments.

    Leaves out problems whose data cannot be used, and calls `leave_out` with the reason, one sentence.
    """
    usable = []
    for one in chosen:
        try:
            source = one.module.data_source(one.experiments[0].problem_settings, data_folder)
        except ValueError as mistake:
            leave_out(f"{one.problem}: {sentence(mistake)}")
        else:
            experiments = tuple(replace(experiment, data_source=source) for experiment in one.experiments)
            usable.append(replace(one, experiments=experiments))
    return usable


def try_changes(chosen: Sequence[Chosen], data_folder: Path | None) -> None:
    """Start one run of each experiment with changed settings, and discard it.

    Raises SettingsError for combinations of settings that only the problem itself can refuse.
    """
    for one in chosen:
        for experiment in one.experiments:
            if experiment.changes:
                settings, learner = experiment.problem_settings, experiment.learner_settings
                try:
                    one.module.start(settings, learner, one.seeds[:1], data_folder)
                except DataError as mistake:
                    raise SettingsError(sentence(f"{one.problem}: {mistake}")) from None
                except (ValueError, MemoryError) as mistake:
                    raise SettingsError(
                        sentence(f"{', '.join(experiment.changes)} cannot be used: {mistake}")
                    ) from None


def _change(settings: SettingsType, target: str, texts: Mapping[str, Mapping[str, str]]) -> SettingsType:
    """`settings` with the changes of `--set`."""
    try:
        return override(settings, texts.get(target, {}))
    except SettingsError as error:
        raise SettingsError(f"--set {target}: {error}") from None


def _shard(text: str | None) -> slice:
    """For "i/n", every n-th seed, starting with seed i."""
    match = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", text or "1/1")
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise SettingsError(f"--shard expects i/n with i from 1 to n, for example 2/4, not {shorten(text or '')!r}.")
    return slice(int(match[1]) - 1, None, int(match[2]))
