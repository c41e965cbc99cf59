"""Writes files of figures and animations, independent of the matplotlib settings of the user."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from minilop.data.atomic_files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Animation:
    """A figure with `num_frames` frames; `draw_frame(index)` draws a frame, which is shown for `seconds`."""

    figure: Figure
    draw_frame: Callable[[int], object]
    num_frames: int
    seconds: float


@contextmanager
def own_style() -> Iterator[None]:
    """Context in which matplotlib uses its defaults, whatever the settings of the user or of a notebook are."""
    os.environ["MPLBACKEND"] = "agg"  # the import of matplotlib would fail for a backend that is not installed
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def printable(text: str) -> str:
    r"""`text` with invalid bytes, which file names may contain, escaped as in `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def save(figure: Figure, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write `path`.png and `path`.pdf atomically, with the metadata inside."""
    for kind, inside in (
        ("png", {key: printable(str(value)) for key, value in metadata.items()}),
        ("pdf", {"Keywords": json.dumps(dict(metadata)), "CreationDate": None}),
    ):
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, dpi=150, metadata=inside)
        figure.set_layout_engine("none")  # keeps the layout, which takes as long as drawing
        atomic_write(path.with_name(f"{path.name}.{kind}"), partial(_copy, drawn.getvalue()))


def save_animation(animation: Animation, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write `path`.gif atomically, as an endless loop, with the metadata as its comment."""
    from PIL import Image  # installed with matplotlib

    frames = []
    for number in range(animation.num_frames):
        animation.draw_frame(number)
        if number == 0:  # keep the layout when numbers on an axis become wider
            animation.figure.draw_without_rendering()
            animation.figure.set_layout_engine("none")
        drawn = io.BytesIO()
        animation.figure.savefig(drawn, format="png", dpi=80)
        frames.append(Image.open(drawn).convert("RGB").quantize(64))
    film = io.BytesIO()
    frames[0].save(
        film,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 * animation.seconds),
        loop=0,
        comment=json.dumps(dict(metadata)),
    )
    atomic_write(path.with_name(f"{path.name}.gif"), partial(_copy, film.getvalue()))


def _copy(content: bytes, file: BinaryIO) -> None:
    file.write(content)
