"""Compare two result folders: did a change to the code change any number?

    python tests/compare_results.py OLD NEW [--tolerance 1e-9] [--problem NAME]

Files are matched by problem, learner and seed, and their arrays by name; settings and hashes may differ. Each learner
gets a line that counts the arrays equal to the bit, after one line for each array that differs, with its largest
difference. The difference of two values is |new - old| / max(1, |old|), and infinite where only one of them is finite.

Exit status: 0 if nothing is missing from NEW and no difference exceeds the tolerance, 1 otherwise, 2 for folders that
cannot be compared. The default tolerance, 0, demands equality to the bit. Results that only NEW has are listed and
change nothing.

The baseline is made where it is needed and is not committed. To compare the working tree with commit ed2b28e:

    git worktree add ../baseline ed2b28e
    (cd ../baseline && PYTHONPATH=. python run_all.py --scale smoke --out ../old --figures ../old)
    PYTHONPATH=. python run_all.py --scale smoke --out ../new --figures ../new
    python tests/compare_results.py ../old ../new
    git worktree remove ../baseline
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

FILE_NAME = re.compile(r"(?P<problem>\w+)-(?P<learner>\w+)-s(?P<seed>\d+)-[0-9a-f]+\.npz")
METADATA = "metadata"  # the one entry of a result file that is not a measurement


class Run(NamedTuple):
    """What names a result, whatever its settings."""

    problem: str
    learner: str
    seed: int


class Finding(NamedTuple):
    """One line of the report."""

    text: str
    difference: float | None = None  # None for a line that reports no difference; inf for what cannot be compared

    def exceeds(self, tolerance: float) -> bool:
        """Whether this is a failure. A difference of 0 is one of bits alone, such as -0 instead of 0."""
        return self.difference is not None and (tolerance == 0 or self.difference > tolerance)


def find_runs(folder: Path, problems: tuple[str, ...] = ()) -> dict[Run, Path]:
    """The result files of `folder` by problem, learner and seed; with `problems`, of these alone.

    Raises click.UsageError for a folder without results, or with two results of one run.
    """
    runs: dict[Run, Path] = {}
    for path in sorted(folder.glob("*.npz")):
        match = FILE_NAME.fullmatch(path.name)
        if not match or (problems and match["problem"] not in problems):
            continue
        run = Run(match["problem"], match["learner"], int(match["seed"]))
        if run in runs:
            raise click.UsageError(
                f"{folder} holds two results of {run.problem}, {run.learner}, seed {run.seed}: {runs[run].name} and "
                f"{path.name}; compare folders that were each made by one command."
            )
        runs[run] = path
    if not runs:
        raise click.UsageError(f"{folder} holds no results{' of ' + ', '.join(problems) if problems else ''}.")
    return runs


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The measurements of one result file. Raises click.UsageError for a file that cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if name != METADATA}
    except Exception as error:
        raise click.UsageError(f"{path} cannot be read ({type(error).__name__}); make it again.") from error


def compare_arrays(name: str, old: np.ndarray, new: np.ndarray) -> Finding | None:
    """The difference of two arrays, or None if they agree to the bit."""
    if (old.shape, old.dtype) != (new.shape, new.dtype):
        return Finding(f"{name} is {new.dtype} {new.shape}, was {old.dtype} {old.shape}", np.inf)
    old_bytes, new_bytes = (np.ascontiguousarray(array).view(np.uint8).reshape(array.size, -1) for array in (old, new))
    differs = (old_bytes != new_bytes).any(axis=-1).reshape(old.shape)
    if not differs.any():
        return None
    if old.dtype.kind not in "biuf":
        return Finding(f"{name}: {differs.sum()} of {old.size} values differ", np.inf)
    old_values, new_values = old.astype(float), new.astype(float)
    with np.errstate(invalid="ignore"):
        difference = abs(new_values - old_values) / np.maximum(1, abs(old_values))
    same = (old_values == new_values) | (np.isnan(old_values) & np.isnan(new_values))  # -0 and 0; two kinds of NaN
    difference = np.where(same, 0, np.where(np.isfinite(difference), difference, np.inf))
    place = np.unravel_index(difference.argmax(), old.shape)
    return Finding(
        f"{name}: {differs.sum()} of {old.size} values differ; the largest difference is {difference[place]:.2g}, "
        f"{new[place]} instead of {old[place]} at {[int(index) for index in place]}",
        float(difference[place]),
    )


def compare_learner(old_paths: dict[int, Path], new_paths: dict[int, Path]) -> Iterator[Finding]:
    """Compare all runs of one learner, given by seed."""
    num_arrays = num_equal = 0
    for seed in sorted(old_paths.keys() | new_paths.keys()):
        if seed not in new_paths:
            yield Finding(f"seed {seed} is missing", np.inf)
        elif seed not in old_paths:
            yield Finding(f"seed {seed} is new")
        else:
            old, new = read_arrays(old_paths[seed]), read_arrays(new_paths[seed])
            for name in sorted(old.keys() | new.keys()):
                if name not in new:
                    yield Finding(f"seed {seed}, {name} is missing", np.inf)
                elif name not in old:
                    yield Finding(f"seed {seed}, {name} is new")
                else:
                    num_arrays += 1
                    finding = compare_arrays(name, old[name], new[name])
                    num_equal += finding is None
                    if finding:
                        yield finding._replace(text=f"seed {seed}, {finding.text}")
    if num_arrays:
        yield Finding(f"{num_equal} of {num_arrays} arrays equal to the bit")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("old", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("new", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Of |new - old| / max(1, |old|); 0 demands equality to the bit.",
)
@click.option("--problem", "problems", multiple=True, metavar="NAME", help="Only this one; repeatable.")
def main(old: Path, new: Path, tolerance: float, problems: tuple[str, ...]) -> None:
    """Compare the results in folder OLD with those in folder NEW."""
    paths: dict[tuple[str, str], tuple[dict[int, Path], dict[int, Path]]] = defaultdict(lambda: ({}, {}))
    for index, folder in enumerate((old, new)):
        for run, path in find_runs(folder, problems).items():
            paths[run.problem, run.learner][index][run.seed] = path
    num_failures, largest = 0, 0.0
    for (problem, learner), (old_paths, new_paths) in sorted(paths.items()):
        for finding in compare_learner(old_paths, new_paths):
            click.echo(f"{problem} {learner}: {finding.text}")
            num_failures += finding.exceeds(tolerance)
            largest = max(largest, finding.difference or 0.0)
    click.echo(f"{num_failures} failures at tolerance {tolerance:g}; the largest difference is {largest:.2g}.")
    sys.exit(1 if num_failures else 0)


if __name__ == "__main__":
    main()
