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
    rm -rf ../new
    PYTHONPATH=. python run_all.py --scale smoke --out ../new --figures ../new
    python tests/compare_results.py ../old ../new
    git worktree remove ../baseline

A finished run is never computed again, whatever has happened to the code, so the new folder is removed first.
"""

import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

FILE_NAME = re.compile(r"(?P<problem>\w+)-(?P<learner>[\w.]+)-s(?P<seed>\d+)-[0-9a-f]+\.npz")
METADATA = "metadata"  # the one entry of a result file that is not a measurement
SMALLEST = float(np.finfo(float).tiny)


class Failure(click.ClickException):
    """The folders cannot be compared; one sentence says why."""

    exit_code = 2


class Run(NamedTuple):
    """What names a result, whatever its settings."""

    problem: str
    learner: str
    seed: int


class Finding(NamedTuple):
    """One line of the report."""

    text: str
    difference: float | None = None  # of values; None for a line that reports none
    is_missing: bool = False
    num_compared: int = 0  # arrays

    def is_failure(self, tolerance: float) -> bool:
        """A difference of 0 is one of bits alone, such as -0 instead of 0; only tolerance 0 counts it."""
        exceeds = self.difference is not None and (tolerance == 0 or self.difference > tolerance)
        return self.is_missing or exceeds


def find_runs(folder: Path, problems: tuple[str, ...] = ()) -> dict[Run, Path]:
    """The result files of `folder` by problem, learner and seed; with `problems`, of these alone.

    Raises Failure for a folder without results, a file with another name, or two results of one run.
    """
    runs: dict[Run, Path] = {}
    for path in sorted(folder.glob("*.npz")):
        match = FILE_NAME.fullmatch(path.name)
        if not match:
            if path.name.endswith(".checkpoint.npz"):
                raise Failure(f"{path} is the checkpoint of an unfinished run; finish the command that made it.")
            raise Failure(f"{path} does not have the name of a result; move it away.")
        run = Run(match["problem"], match["learner"], int(match["seed"]))
        if problems and run.problem not in problems:
            continue
        if run in runs:
            raise Failure(
                f"{folder} holds two results of {run.problem}, {run.learner}, seed {run.seed}: {runs[run].name} and "
                f"{path.name}; compare folders that were each made by one command."
            )
        runs[run] = path
    for problem in problems:
        if problem not in {run.problem for run in runs}:
            raise Failure(f"{folder} holds no results of {problem}.")
    if not runs:
        raise Failure(f"{folder} holds no results.")
    return runs


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The measurements of one result file. Raises Failure for a file that cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if name != METADATA}
    except Exception as error:
        raise Failure(f"{path} cannot be read ({type(error).__name__}); make it again.") from error


def value_differences(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """|new - old| / max(1, |old|) of values that differ in their bits, each (n,); inf for what is not a number."""
    if old.dtype.kind in "iu":  # exactly, since float64 holds whole numbers only up to 2^53
        pairs = zip(old.tolist(), new.tolist())
        return np.array([max(SMALLEST, abs(after - before) / max(1, abs(before))) for before, after in pairs])
    if old.dtype.kind not in "bf" or old.dtype.itemsize > 8:
        return np.full(old.shape, np.inf)
    before, after = old.astype(float), new.astype(float)
    with np.errstate(invalid="ignore"):
        scale = np.maximum(1, abs(before))
        differences = abs(after / scale - before / scale)
    same = (before == after) | (np.isnan(before) & np.isnan(after))  # -0 and 0, or two kinds of NaN
    return np.where(same, 0.0, np.where(np.isfinite(differences), np.maximum(differences, SMALLEST), np.inf))


def compare_arrays(name: str, old: np.ndarray, new: np.ndarray) -> Finding | None:
    """The difference of two arrays, or None if they agree to the bit."""
    if (old.shape, old.dtype) != (new.shape, new.dtype):
        return Finding(f"{name} is {new.dtype} {new.shape}, was {old.dtype} {old.shape}", math.inf)
    if not old.size or not old.dtype.itemsize:
        return None
    old_bytes, new_bytes = (np.frombuffer(array.tobytes(), np.uint8).reshape(array.size, -1) for array in (old, new))
    places = np.flatnonzero((old_bytes != new_bytes).any(axis=-1))
    if not places.size:
        return None
    before, after = old.reshape(-1)[places], new.reshape(-1)[places]
    differences = value_differences(before, after)
    worst = differences.argmax()
    position = [int(index) for index in np.unravel_index(places[worst], old.shape)]
    text = (
        f"{name}: {places.size} of {old.size} values differ; the largest difference is {differences[worst]:.2g}, "
        f"{after[worst]} instead of {before[worst]} at {position}"
    )
    finite = differences[np.isfinite(differences)]
    if finite.size < differences.size and finite.size:
        text += f"; the largest finite one is {finite.max():.2g}"
    return Finding(text, float(differences[worst]))


def compare_learner(old_paths: dict[int, Path], new_paths: dict[int, Path]) -> Iterator[Finding]:
    """Compare all runs of one learner, given by seed."""
    num_arrays = num_equal = 0
    for seed in sorted(old_paths.keys() | new_paths.keys()):
        if seed not in new_paths:
            yield Finding(f"seed {seed} is missing", is_missing=True)
        elif seed not in old_paths:
            yield Finding(f"seed {seed} is new")
        else:
            old, new = read_arrays(old_paths[seed]), read_arrays(new_paths[seed])
            for name in sorted(old.keys() | new.keys()):
                if name not in new:
                    yield Finding(f"seed {seed}, {name} is missing", is_missing=True)
                elif name not in old:
                    yield Finding(f"seed {seed}, {name} is new")
                else:
                    num_arrays += 1
                    finding = compare_arrays(name, old[name], new[name])
                    num_equal += finding is None
                    if finding:
                        yield finding._replace(text=f"seed {seed}, {finding.text}")
    if num_arrays:
        yield Finding(f"{num_equal} of {num_arrays} arrays equal to the bit", num_compared=num_arrays)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("old", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("new", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--tolerance",
    type=float,
    default=0.0,
    show_default=True,
    help="Of |new - old| / max(1, |old|); 0 demands equality to the bit.",
)
@click.option("--problem", "problems", multiple=True, metavar="NAME", help="Only this one; repeatable.")
def main(old: Path, new: Path, tolerance: float, problems: tuple[str, ...]) -> None:
    """Compare the results in folder OLD with those in folder NEW."""
    if not 0 <= tolerance < math.inf:
        raise click.UsageError(f"--tolerance must be a finite number, at least 0, not {tolerance}.")
    paths: dict[tuple[str, str], tuple[dict[int, Path], dict[int, Path]]] = defaultdict(lambda: ({}, {}))
    for index, folder in enumerate((old, new)):
        for run, path in find_runs(folder, problems).items():
            paths[run.problem, run.learner][index][run.seed] = path
    findings = []
    for (problem, learner), (old_paths, new_paths) in sorted(paths.items()):
        for finding in compare_learner(old_paths, new_paths):
            click.echo(f"{problem} {learner}: {finding.text}")
            findings.append(finding)
    num_compared = sum(finding.num_compared for finding in findings)
    if not num_compared:
        raise Failure("No array is in both folders, so nothing was compared.")
    num_missing = sum(finding.is_missing for finding in findings)
    differences = [finding.difference for finding in findings if finding.difference is not None]
    num_failures = sum(finding.is_failure(tolerance) for finding in findings)
    click.echo(
        f"{len(differences)} of {num_compared} arrays differ, {num_missing} missing; the largest difference is "
        f"{max(differences, default=0):.2g}. {num_failures} of these count at tolerance {tolerance:g}."
    )
    sys.exit(1 if num_failures else 0)


if __name__ == "__main__":
    main()
