"""Draws figures from result files, in the main process."""

import contextlib
import glob
import hashlib
import io
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import minilop
from minilop.experiment.archive import FileError, Warn
from minilop.experiment.results import load_results, result_path
from minilop.experiment.saving import own_style, save, save_animation
from minilop.experiment.selection import Chosen
from minilop.experiment.settings import SettingsError, scale_label, sentence


def draw(
    chosen: Chosen, results_folder: Path, figures_folder: Path, command: str, warn: Warn, animate: bool = False
) -> Iterable[str]:
    """Draw the figures of a problem, and if `animate` its animations, from the finished runs. Yields lines to print.

    The metadata of the files contain the command, the version, the commit and the fingerprints of the settings. Raises
    what the `figures` and `animations` of the problem raise, and OSError if the folder cannot be written.
    """
    with own_style():
        origin = _origin(chosen, results_folder)
        results = load_results(results_folder, chosen.experiments, chosen.seeds, warn)
        if not results.learners:
            yield f"{chosen.problem}: no run is done, so no figure is drawn."
            return
        figures = chosen.module.figures(results)
        metadata = {"command": command, **origin, "figures": ", ".join(figures)}
        for name, figure in figures.items():
            save(figure, figures_folder / name, metadata)
            yield f"{chosen.problem}: {figures_folder / name}.png and .pdf"
        if animate and hasattr(chosen.module, "animations"):
            for name, animation in chosen.module.animations(results).items():
                save_animation(animation, figures_folder / name, metadata)
                yield f"{chosen.problem}: {figures_folder / name}.gif"


def is_drawn(chosen: Chosen, results_folder: Path, figures_folder: Path) -> bool:
    """Whether the figures of the problem show all finished runs and are newer than their results."""
    from PIL import Image  # installed with matplotlib

    origin, current = _origin(chosen, results_folder), {}
    for picture in figures_folder.glob(f"{glob.escape(chosen.problem)}*.png"):
        with contextlib.suppress(Exception), Image.open(picture) as image:  # damaged, or not a figure of minilop
            if origin.items() <= image.info.items():
                current[picture.name.removesuffix(".png")] = image.info["figures"].split(", ")
    names = {name for of_one in current.values() for name in of_one}
    files = [figures_folder / f"{name}.{kind}" for name in names for kind in ("png", "pdf")]
    newest = max((path.stat().st_mtime for path in _runs_done(chosen, results_folder)), default=0.0)
    are_newer = all(file.exists() and file.stat().st_mtime >= newest for file in files)
    return bool(names) and names == set(current) and are_newer


def _runs_done(chosen: Chosen, folder: Path) -> list[Path]:
    paths = [result_path(folder, experiment, seed) for experiment in chosen.experiments for seed in chosen.seeds]
    return [path for path in paths if path.exists()]


def _origin(chosen: Chosen, results_folder: Path) -> dict[str, str]:
    """Everything on which the figures depend, as metadata."""
    done = [path.name for path in _runs_done(chosen, results_folder)]
    return {
        "minilop_version": minilop.__version__,
        "git_commit": _commit(),
        "scale": scale_label(chosen.experiments),
        "fingerprints": ", ".join(
            f"{experiment.learner} {experiment.fingerprint}" for experiment in chosen.experiments
        ),
        "runs": f"{len(done)} runs, sha256 of their names {hashlib.sha256(' '.join(done).encode()).hexdigest()[:12]}",
    }


def why_not_drawn(problem: str, folder: Path, error: Exception) -> str:
    """A sentence about an error that `draw` has raised."""
    if isinstance(error, FileError):  # of a result, and already a sentence
        return sentence(f"{problem}: {error}")
    if isinstance(error, OSError):
        return (
            f"The figures of {problem} cannot be written in {folder} ({error.strerror or error}); make room there, or "
            "choose another folder with --figures."
        )
    return sentence(f"The figures of {problem} failed: {type(error).__name__}: {error}")


def check_drawing(folder: Path) -> None:
    """Try to draw and to write, before hours of computation. Raises SettingsError if that fails."""
    check_writable(folder, "--figures")
    try:
        with own_style():
            from matplotlib.figure import Figure

            for kind in ("png", "pdf"):
                Figure().savefig(io.BytesIO(), format=kind)
    except Exception:  # noqa: BLE001 - a damaged file of settings, a missing library, a full disk
        raise SettingsError(
            "No figure can be drawn because matplotlib does not start; move a damaged matplotlibrc away or install "
            "matplotlib again."
        ) from None


def _commit() -> str:
    """The commit of the source, or "unknown" if it is not a git checkout."""
    source = Path(minilop.__file__).parents[1]
    if not (source / ".git").exists():  # installed, or part of another project
        return "unknown"
    try:
        ask = ["git", "-C", str(source), "rev-parse", "--verify", "--quiet", "HEAD"]
        answer = subprocess.run(ask, check=False, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() or "unknown"


def check_writable(folder: Path, option: str) -> None:
    """Make `folder` and try to write in it. Raises SettingsError, which names the `option` that chooses it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise SettingsError(
            f"The folder {folder} cannot be written ({problem.strerror}); choose another with {option}."
        ) from None
