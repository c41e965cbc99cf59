"""The command for data: make the store of ImageNet 32 x 32, draw the generated objects.

python -m minilop.data imagenet32 SOURCE --out DIR
python -m minilop.data objects --out FILE.png
"""

import sys
import time
from pathlib import Path

import click
import numpy as np

from minilop.data.errors import DataError
from minilop.data.imagenet32 import Report, convert
from minilop.data.synthetic_objects import contact_sheet

SECONDS_BETWEEN_LINES = 10.0


@click.group(context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
def main() -> None:
    """Prepare data for the problems."""


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
    try:
        convert(source, out, checksums, _narrator())
    except DataError as mistake:
        raise click.ClickException(str(mistake)) from None
    except KeyboardInterrupt:
        click.echo("\nInterrupted; what was reached is kept. The same command goes on.")
        sys.exit(130)
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
        raise click.ClickException(f"{out} cannot be written ({problem.strerror}); choose another --out.") from None


def _narrator() -> Report:
    """Says how far the conversion is: a live line on a terminal, else a line now and then."""
    live = sys.stdout.isatty()
    began = said = time.monotonic()
    first = -1

    def report(done: int, total: int, what: str) -> None:
        nonlocal said, first
        now = time.monotonic()
        if first < 0:
            first = done
            if done:
                click.echo(f"Going on after {done} of {total} files.")
        left = (now - began) / (done - first) * (total - done) if done > first else None
        line = f"{done} of {total} files are in" + (f", now {what}" if what else "")
        line += f", about {max(1, round(left / 60))} min left" if left else ""
        if live:
            click.echo(f"\r{line:<78}", nl=not what)
        elif done == first or not what or now - said > SECONDS_BETWEEN_LINES:
            click.echo(line)
            said = now

    return report


if __name__ == "__main__":
    main(prog_name="python -m minilop.data")
