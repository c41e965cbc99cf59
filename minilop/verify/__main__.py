"""The command of the verification kit; docs/verify.md shows how to use it.

python -m minilop.verify list
python -m minilop.verify run --adapter my_adapter.py:Adapter --suite continual_backprop
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from minilop.backend import BackendError, use
from minilop.verify import report
from minilop.verify.adapter import Mode, load_adapter
from minilop.verify.case import VerifyError
from minilop.verify.case_files import choose_cases, load_case
from minilop.verify.explanation import explain, inputs_as_json
from minilop.verify.judging import exit_status, judge, judge_file

Names = Sequence[str]

TEMPLATES = Path(__file__).parent / "templates"

dtype_option = click.option("--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True)
report_option = click.option(
    "--report", "report_path", type=click.Path(path_type=Path), help="Also write JSON to this file."
)


@click.group(context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]})
def main() -> None:
    """Check an implementation of these algorithms against minilop, step by step.

    Exit status: 0 if everything compared agrees, 1 if something differs, 2 if something could not be judged.
    """


@main.command("list")
def list_() -> None:
    """List the suites and their cases."""
    with _exit_on_error():
        ids = choose_cases((), ())
        width = max(map(len, ids), default=0)
        suite = None
        for case in map(load_case, ids):
            if case.suite != suite:
                suite = case.suite
                click.echo(f"{suite}")
            click.echo(f"  {case.id:{width}}  {case.comment}")


@main.command()
@click.option("--adapter", "adapter_name", required=True, metavar="FILE:CLASS", help="Your adapter, or MODULE:CLASS.")
@click.option("--suite", "suites", multiple=True, metavar="NAME", help="Run only this suite; repeatable.")
@click.option("--case", "names", multiple=True, metavar="ID", help="Run only this case; repeatable.")
@click.option("--mode", type=click.Choice(["free", "resync"]), default="free", show_default=True)
@click.option(
    "--backend", type=click.Choice(["numpy", "cupy"]), default="numpy", help="Array module of minilop's own code."
)
@dtype_option
@report_option
def run(
    adapter_name: str, suites: Names, names: Names, mode: Mode, backend: str, dtype: str, report_path: Path | None
) -> None:
    """Run an adapter on all cases, or on some of them, and report the first difference in each.

    In the mode free, the adapter keeps its own state from step to step. In the mode resync, it receives the reference's
    state before each step. A case is skipped if the adapter raises NotImplementedError for it, unless --case names it.
    """
    with _exit_on_error():
        _check_writable(report_path)
        use(backend)
        chosen = choose_cases(names, suites)
        width = max(map(len, chosen), default=0)
        judgments = []
        for judgment in judge(load_adapter(adapter_name), names, suites, mode, dtype):
            judgments.append(judgment)
            click.echo(report.line(judgment, width))
        for judgment in judgments:
            if judgment.outcome == "differs":
                click.echo("\n" + report.details(judgment, mode))
        click.echo("\n" + report.summary(judgments))
        status = exit_status(judgments, names, suites)
        facts = {"adapter": adapter_name, "mode": mode, "backend": backend, "dtype": dtype}
        _write(report_path, report.as_json(judgments, status, **facts))
    sys.exit(status)


@main.command()
@click.argument("case_id", metavar="CASE")
@click.argument("actual", type=click.Path(path_type=Path), metavar="ACTUAL")
@dtype_option
@report_option
def compare(case_id: str, actual: Path, dtype: str, report_path: Path | None) -> None:
    """Compare arrays written by a program in any language with the expected results of CASE.

    ACTUAL is an .npz file, or a .json file that holds an object of nested lists. Its arrays are named
    "<phase>/<quantity>/<layer>", or without the phase for values at the end of the step. The first axis of each array
    is the step, (T, ...). `inputs CASE` prints the inputs of the case.
    """
    with _exit_on_error():
        _check_writable(report_path)
        judgment = judge_file(case_id, actual, dtype)
        if judgment.outcome == "error":
            raise VerifyError(judgment.reason)
        click.echo(report.line(judgment))
        if judgment.outcome == "differs":
            click.echo("\n" + report.details(judgment))
        click.echo("\n" + report.summary([judgment]))
        status = exit_status([judgment])
        _write(report_path, report.as_json([judgment], status, file=str(actual), dtype=dtype))
    sys.exit(status)


@main.command("explain")
@click.argument("case_id", metavar="CASE")
def explain_(case_id: str) -> None:
    """Show the inputs and the expected results of CASE, in order, and the folder of its files."""
    with _exit_on_error():
        click.echo(explain(load_case(case_id)))


@main.command()
@click.argument("case_id", metavar="CASE")
def inputs(case_id: str) -> None:
    """Print the inputs of CASE as JSON: its description, and its arrays as nested lists under "inputs".

    NaN and infinity, which JSON lacks, become the strings "nan", "inf" and "-inf".
    """
    with _exit_on_error():
        click.echo(json.dumps(inputs_as_json(case_id), indent=1, allow_nan=False))


@main.command()
@click.argument("framework", type=click.Choice(["torch", "jax", "numpy"]))
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write; - prints.  [default: FRAMEWORK_adapter.py]"
)
def new_adapter(framework: str, out: Path | None) -> None:
    """Write an adapter to start from: it works for three cases and marks where your own code goes."""
    with _exit_on_error():
        template = (TEMPLATES / f"{framework}_adapter.py").read_text()
        if out == Path("-"):
            click.echo(template, nl=False)
            return
        out = out or Path(f"{framework}_adapter.py")
        try:
            with out.open("x") as file:
                file.write(template)
        except FileExistsError:
            raise VerifyError(f"{out} already exists and is left unchanged; choose another --out.") from None
        except OSError as problem:
            raise VerifyError(f"{out} cannot be written ({problem.strerror}); choose another --out.") from None
        click.echo(f"Wrote {out}; try: python -m minilop.verify run --adapter {out}:Adapter")


def _check_writable(path: Path | None) -> None:
    """Raises VerifyError before any case is judged."""
    if path and (path.is_dir() or not path.resolve().parent.is_dir()):
        raise VerifyError(f"--report must name a file in a folder that exists, not {path}.")


def _write(path: Path | None, facts: dict[str, object]) -> None:
    if path:
        try:
            path.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")
        except OSError as problem:
            raise VerifyError(f"{path} cannot be written ({problem.strerror}); choose another --report.") from None


@contextmanager
def _exit_on_error() -> Iterator[None]:
    """End the command with one sentence if nothing can be compared."""
    try:
        yield
    except (VerifyError, BackendError) as mistake:
        click.echo(f"Error: {mistake}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main(prog_name="python -m minilop.verify")
