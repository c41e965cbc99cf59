"""Each case as a test of an adapter: `pytest --pyargs minilop.verify --adapter FILE:CLASS`.

A case that the adapter does not support is skipped. A case listed in the --xfail file is expected to differ. If it
agrees, its test fails, so that the list stays correct. An error is a failure, whether the case is listed or not.
"""

from pathlib import Path
from typing import Any

import pytest

from minilop.verify import report
from minilop.verify.adapter import check_methods, load_adapter, make_adapter
from minilop.verify.case import VerifyError
from minilop.verify.case_files import choose_cases
from minilop.verify.judging import judge_case


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.getoption
    if not option("--adapter", default=None):
        reason = "no --adapter; run pytest --pyargs minilop.verify --adapter FILE:CLASS"
        nothing = pytest.param(None, "", False, marks=pytest.mark.skip(reason=reason), id="no adapter")
        metafunc.parametrize(("adapter", "case_id", "is_listed"), [nothing])
        return
    try:
        chosen = choose_cases(option("--case"), option("--suite"))
        listed = read_names(Path(option("--xfail"))) if option("--xfail") else []
        adapter = load_adapter(option("--adapter"))
        check_methods(make_adapter(adapter), option("--mode"))
    except VerifyError as mistake:
        raise pytest.UsageError(str(mistake)) from None
    cases = [(adapter, case_id, case_id in listed) for case_id in chosen]
    metafunc.parametrize(("adapter", "case_id", "is_listed"), cases, ids=chosen)


def read_names(path: Path) -> list[str]:
    """The cases in a file, one per line. Raises VerifyError if it cannot be read, or for an unknown name."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise VerifyError(f"{path} cannot be read ({type(problem).__name__}); --xfail must name a text file.") from None
    names = [line.split("#")[0].strip() for line in lines]
    return choose_cases(found, ()) if (found := [name for name in names if name]) else []


def test_implementation_agrees(adapter: Any, case_id: str, is_listed: bool, pytestconfig: pytest.Config) -> None:
    option = pytestconfig.getoption
    judgment = judge_case(adapter, case_id, option("--mode"), option("--dtype"))
    if judgment.outcome == "skipped" and case_id in option("--case"):
        pytest.fail(f"{case_id} was requested but the adapter does not support it: {judgment.reason}", pytrace=False)
    if judgment.outcome == "skipped":
        pytest.skip(judgment.reason)
    if judgment.outcome == "error":
        pytest.fail(judgment.reason, pytrace=False)
    if judgment.outcome == "differs" and is_listed:
        pytest.xfail(report.line(judgment))
    if judgment.outcome == "differs":
        pytest.fail(report.details(judgment, option("--mode")), pytrace=False)
    if is_listed:
        pytest.fail(f"{case_id} agrees; remove it from the --xfail file.", pytrace=False)
