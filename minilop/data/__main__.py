"""The data command: download official files, make the store of ImageNet 32 x 32, draw the generated objects.

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
from minilop.data.imagenet32_conversion import convert
from minilop.data.printing import OutputError, ProgressPrinter, discard
from minilop.data.progress import download_progress, file_report
from minilop.data.synthetic_objects import contact_sheet


@click.group(context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
def main() -> None:
    """Prepare data for the problems."""


@main.command()
@click.argument("dataset", type=click.Choice(list(fetching.DOWNLOADS)))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Data folder; give it to run_all.py with --data."
)
def fetch(dataset: str, out: Path) -> None:
    """Download the official files of a data set into DIR/DATASET, from one of several servers.

    MNIST takes 10 MB, Fashion-MNIST 26 MB, CIFAR-100 169 MB. The checksums of all files are compared with the published
    ones. After an interruption, run the same command again to continue; complete files are not downloaded again.
    """
    with _printer() as printer:
        fetching.fetch(fetching.DOWNLOADS[dataset], out / dataset, printer.say, download_progress(printer))
        printer.say(f"{dataset} is in {out / dataset}; use it with --data {out}.")


@main.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the store.")
@click.option(
    "--checksums/--no-checksums", default=True, show_default=True, help="Compare the checksums of npz batches."
)
def imagenet32(source: Path, out: Path, checksums: bool) -> None:
    """Make a store of ImageNet 32x32 from the files in the folder SOURCE.

    SOURCE holds the ten official batches (train_data_batch_1.npz ... or, as pickles, train_data_batch_1 ...), or the
    prepared files classes/0.npy ... classes/999.npy. The store needs 2.2 GB (8.6 GB for prepared files of floats).
    After an interruption, run the same command again to continue.
    """
    with _printer() as printer:
        convert(source, out, checksums, file_report(printer), say=printer.say)
        printer.say(f"ImageNet 32x32 is in {out}.")


@main.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="PNG file.")
@click.option("--seed", default=0, show_default=True, help="Seed of the classes.")
def objects(out: Path, seed: int) -> None:
    """Draw ten generated classes in the presets hard, medium and easy, side by side."""
    from matplotlib.image import imsave  # the other commands do not need it

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
def _printer() -> Iterator[ProgressPrinter]:
    """Yields a printer; an error in the data, a failure to print or Ctrl-C ends the command with one sentence."""
    printer = ProgressPrinter(sys.stdout)
    try:
        yield printer
    except DataError as mistake:
        printer.clear()
        raise click.ClickException(str(mistake)) from None
    except OutputError as failure:
        discard(sys.stdout)
        raise click.ClickException(str(failure)) from None
    except KeyboardInterrupt:
        printer.say("\nInterrupted; completed work is kept. Run the same command again to continue.")
        sys.exit(130)


if __name__ == "__main__":
    main(prog_name="python -m minilop.data")
