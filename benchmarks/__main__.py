"""The command: python -m benchmarks [NAME ...] [--list] [--json FILE]."""

import os

for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[_variable] = "1"  # NumPy and PyTorch read these when imported, below

import json
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from benchmarks.pairs import compare, processor
from benchmarks.rows import ROWS
from minilop.experiment.memory import keep_freed_memory
from minilop.experiment.settings import unknown


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@click.option("--list", "only_list", is_flag=True, help="Show the names of the rows.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the rows to this file.")
def main(names: Sequence[str], only_list: bool, json_file: Path | None) -> None:
    """Time our steps and, if PyTorch is installed, the same learners written plainly in PyTorch."""
    if only_list:
        click.echo("\n".join(ROWS))
        return
    for name in names:
        if name not in ROWS:
            raise click.UsageError(str(unknown("row", name, ROWS)))
    keep_freed_memory()
    click.echo(f"One thread of {processor()}; processor time per run-step, medians of interleaved rounds.")
    rows = []
    with np.errstate(all="ignore"):
        for name in names or ROWS:
            rows.append(compare(name, ROWS[name]()))
            click.echo(str(rows[-1]))
    if json_file:
        json_file.write_text(json.dumps([row.as_dict() for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
