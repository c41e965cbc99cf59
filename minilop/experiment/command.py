"""The command line. `run_all.py` calls `main` with the problems by name: main(obj=PROBLEMS)."""

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

import minilop
from minilop import backend
from minilop.data.printing import OutputError
from minilop.experiment import overview
from minilop.experiment.archive import FileError
from minilop.experiment.blocks import divide, take_stock
from minilop.experiment.drawing import check_drawing, check_writable, draw, is_drawn, why_not_drawn
from minilop.experiment.engines import SerialEngine, choose_engine
from minilop.experiment.output import complain, output, tell, warn
from minilop.experiment.problem import Problem
from minilop.experiment.progress import Progress, announce
from minilop.experiment.results import older_results
from minilop.experiment.runner import RunContext
from minilop.experiment.selection import choose, choose_problems, find_data, left_out, try_changes
from minilop.experiment.settings import SettingsError


@click.command(context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
@click.option("--backend", "backend_name", type=click.Choice(["numpy", "cupy"]), default="numpy", show_default=True)
@click.option(
    "--scale",
    type=click.Choice(["smoke", "laptop", "overnight", "paper"]),
    default="laptop",
    show_default=True,
    help="Seconds, minutes, hours (only the problems of images and ants), or as published.",
)
@click.option("--problem", "problem_names", multiple=True, metavar="NAME", help="Only this NAME; repeatable.")
@click.option("--learner", "learners", multiple=True, metavar="NAME", help="Only this NAME; repeatable.")
@click.option("--runs", "num_runs", type=click.IntRange(min=1), help="Runs of each learner.  [default: by scale]")
@click.option(
    "--seed", "first_seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the first run."
)
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="[default: by learner, float32]")
@click.option("--out", type=click.Path(path_type=Path), default="results", show_default=True, help="Folder of results.")
@click.option(
    "--figures", type=click.Path(path_type=Path), default="figures", show_default=True, help="Folder of figures."
)
@click.option("--data", type=click.Path(path_type=Path), envvar="MINILOP_DATA", help="Data folder; also MINILOP_DATA.")
@click.option("--engine", "engine_name", metavar="NAME", help="serial or process[:n].  [default: a process per core]")
@click.option("--shard", metavar="I/N", help="Only every N-th run, from the I-th on.")
@click.option(
    "--set", "changes", multiple=True, metavar="WHAT=VALUE", help="problem.[learner.[part.]]setting=value; repeatable."
)
@click.option("--list", "only_list", is_flag=True, help="Show problems, learners and settings.")
@click.option("--status", "only_status", is_flag=True, help="Show what is done.")
@click.option("--figures-only", is_flag=True, help="Draw what is done.")
@click.option("--animate", is_flag=True, help="Also animate the ants' walks (GIF); no other problem has an animation.")
@click.argument("stray", nargs=-1, metavar="")
@click.pass_obj
def main(
    problems: Mapping[str, Problem],
    backend_name: str, scale: str, problem_names: Sequence[str], learners: Sequence[str], num_runs: int | None,
    first_seed: int, dtype: str | None, out: Path, figures: Path, data: Path | None, engine_name: str | None,
    shard: str | None, changes: Sequence[str], only_list: bool, only_status: bool, figures_only: bool, animate: bool,
    stray: Sequence[str],
) -> None:  # fmt: skip
    """Run all problems, continuing where an earlier command stopped, and draw the figures.

    Finished runs are not repeated. Exit status: 0 success, 1 some run failed, 2 wrong usage, 130 interrupted.
    """
    command = shlex.join(["python", *sys.argv])
    unusable: list[str] = []  # sentences on problems whose data or results cannot be read, which are left out
    failures: list[str] = []  # sentences that are repeated at the end

    def leave_out(failure: str) -> None:
        unusable.append(failure)
        complain(failure)

    def finish_problem(name: str) -> Iterable[str]:
        try:
            yield from draw(named[name], out, figures, command, warn, animate)
        except OutputError:
            raise
        except Exception as error:  # noqa: BLE001 - a figure that fails must not stop the problems that still run
            failures.append(why_not_drawn(name, figures, error))
            yield failures[-1]

    with output(command):
        try:
            wanted = choose_problems(problems, problem_names, stray)
            chosen = choose(wanted, scale, learners, num_runs, first_seed, dtype, changes, shard)
            tell(*left_out(wanted, scale, problem_names, chosen, learners))
            if only_list:
                tell(*overview.describe(wanted, learners))
                return
            engine = choose_engine(engine_name, backend_name)
            backend.use(backend_name)
            if not only_status:
                check_drawing(figures)
            chosen = find_data(chosen, data, leave_out)
            if not (only_status or figures_only):
                check_writable(out, "--out")
                try_changes(chosen, data)
        except (SettingsError, backend.BackendError) as mistake:
            raise click.UsageError(str(mistake)) from None
        named = {one.problem: one for one in chosen}
        if older := older_results(out, [(experiment, one.seeds) for one in chosen for experiment in one.experiments]):
            warn(older)
        if figures_only:
            for name in named:
                tell(*finish_problem(name))
            sys.exit(1 if failures or unusable else 0)
        standings = {}
        for name, one in named.items():
            try:
                standings[name] = [
                    take_stock(experiment, one.seeds_here, out, backend_name, warn, look_only=only_status)
                    for experiment in one.experiments
                ]
            except FileError as error:
                leave_out(f"{name}: {error}")
        if only_status:
            for name, of_problem in standings.items():
                tell(*overview.status(name, of_problem))
        if only_status or not standings:
            sys.exit(1 if unusable else 0)
        blocks = [
            block
            for name, of_problem in standings.items()
            for block in divide(of_problem, named[name].scale, engine.processes)
        ]
        num_done = sum(len(standing.done) for of_problem in standings.values() for standing in of_problem)
        tell(f"minilop {minilop.__version__}, {scale} scale, {backend_name}, results in {out}")
        tell(announce(blocks, num_done, engine.processes))
        beside = not isinstance(engine, SerialEngine)
        with Progress(blocks, engine.processes, finish_problem, sys.stdout, beside) as progress:
            for name in [name for name in standings if all(block.experiment.problem != name for block in blocks)]:
                if not animate and is_drawn(named[name], out, figures):
                    progress.printer.say(f"{name}: its figures are up to date; use --figures-only to draw them again.")
                else:
                    progress.finish(name)
            engine.run(blocks, RunContext(out, backend_name, data), progress)
        failures += progress.failures
        for failure in failures:
            complain(failure)
        failed = bool(failures or unusable)
        tell(f"Results are in {out}, figures in {figures}." + " Failed runs are left out." * failed)
        sys.exit(1 if failed else 0)
