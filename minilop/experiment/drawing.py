"""From result files to figure files, in the process that gave the command."""

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import minilop
from minilop.experiment.archive import Warn
from minilop.experiment.results import load_results
from minilop.experiment.selection import Chosen
from minilop.experiment.settings import SettingsError


def draw(
    chosen: Chosen, results_folder: Path, figures_folder: Path, command: str, warn: Warn, animate: bool = False
) -> Iterable[str]:
    """Draw a problem's figures, with `animate` its animations too, from the runs that are done; say which files were made.

    The files' metadata tell the command, the version, the commit and the fingerprints of the settings.
    Raises whatever the problem's own `figures` and `animations` raise, and OSError where the folder cannot be written.
    """
    import matplotlib  # here, because workers and `--list` do without

    matplotlib.use("Agg")
    from minilop.experiment.figures import save, save_animation

    results = load_results(results_folder, chosen.experiments, chosen.seeds, warn)
    if not results.learners:
        yield f"{chosen.problem}: no run is done, so there is no figure."
        return
    drawn = [experiment for experiment in chosen.experiments if experiment.learner in results.learners]
    metadata = {
        "command": command,
        "minilop_version": minilop.__version__,
        "git_commit": _commit(),
        "fingerprints": ", ".join(f"{experiment.learner} {experiment.fingerprint}" for experiment in drawn),
    }
    for name, figure in chosen.module.figures(results).items():
        save(figure, figures_folder / name, metadata)
        yield f"{chosen.problem}: {figures_folder / name}.png and .pdf"
    if animate and hasattr(chosen.module, "animations"):
        for name, animation in chosen.module.animations(results).items():
            save_animation(animation, figures_folder / name, metadata)
            yield f"{chosen.problem}: {figures_folder / name}.gif"


def _commit() -> str:
    """The commit of the source, or "unknown" where it is no git checkout."""
    source = Path(minilop.__file__).parents[1]
    if not (source / ".git").exists():  # installed, or unpacked inside another project
        return "unknown"
    try:
        ask = ["git", "-C", str(source), "rev-parse", "--verify", "--quiet", "HEAD"]
        answer = subprocess.run(ask, check=False, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() or "unknown"


def check_writable(folder: Path, option: str) -> None:
    """Make `folder` and try to write in it. Raises SettingsError, naming the `option` that chooses another."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise SettingsError(
            f"The folder {folder} cannot be written ({problem.strerror}); choose another with {option}."
        ) from None
