"""The command for data: fetch official files, make the store of ImageNet 32 x 32, draw the generated objects.

python -m minilop.data fetch mnist|fashion_mnist|cifar100 --out DIR
python -m minilop.data imagenet32 SOURCE --out DIR
python -m minilop.data objects --out FILE.png
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from minilop.data import fetching
from minilop.data.errors import DataError, remedy
from minilop.data.imagenet32 import convert
from minilop.data.narration import Narrator, download_progress, file_report
from minilop.data.synthetic_objects import contact_sheet


@click.group(context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
def main() -> None:
    """Prepare data for the problems."""


@main.command()
@click.argument("dataset", type=click.Choice(list(fetching.DOWNLOADS)))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Data folder; run_all.py knows it by --data."
)
def fetch(dataset: str, out: Path) -> None:
    """Fetch the official files of a data set into DIR/DATASET, from one of several servers.

    MNIST takes 10 MB, Fashion-MNIST 26 MB, CIFAR-100 169 MB. A file gets its name when its checksum is the published
    one. Interrupted, the same command goes on where it stopped; files that are there already are not fetched again.
    """
    narrator = Narrator()
    with _told():
        fetching.fetch(fetching.DOWNLOADS[dataset], out / dataset, narrator.say, download_progress(narrator))
    narrator.say(f"{dataset} is in {out / dataset}; read it by --data {out}.")


@main.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the store.")
@click.option(
    "--checksums/--no-checksums", default=True, show_default=True, help="Compare npz batches with the official."
)
def imagenet32(source: Path, out: Path, checksums: bool) -> None:
    """Make a store of ImageNet 32x32 from the files in the folder SOURCE.

    SOURCE holds the ten official batches (train_data_batch_1.npz ... or, as pickles, train_data_batch_1 ...), or the
    prepared files classes/0.npy ... classes/999.npy. The store needs 2.2 GB (8.6 GB for prepared files of floats).
    Interrupted, the same command goes on where it stopped.
    """
    narrator = Narrator()
    with _told():
        convert(source, out, checksums, file_report(narrator), say=narrator.say)
    click.echo(f"ImageNet 32x32 is in {out}.")


@main.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="PNG file.")
@click.option("--seed", default=0, show_default=True, help="Of the classes.")
def objects(out: Path, seed: int) -> None:
    """Draw ten generated classes in the presets hard, medium and easy, side by side."""
    from matplotlib.image import imsave  # not needed for the other command

    try:
        imsave(
            out,
            np.kron(contact_sheet(seed=seed), np.ones((2, 2, 1), np.uint8)),
            format="png",
            metadata={"Software": ""},
        )
    except OSError as problem:
        raise click.ClickException(f"{out} cannot be written ({problem.strerror}); {remedy(problem)}.") from None


@contextmanager
def _told() -> Iterator[None]:
    """Ends the command with a sentence where data cannot be used, or a key was pressed."""
    try:
        yield
    except DataError as mistake:
        raise click.ClickException(str(mistake)) from None
    except KeyboardInterrupt:
        click.echo("\nInterrupted; what was reached is kept. The same command goes on.")
        sys.exit(130)


if __name__ == "__main__":
    main(prog_name="python -m minilop.data")
