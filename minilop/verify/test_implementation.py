"""Each case as a test of the adapter that `pytest --pyargs minilop.verify --adapter FILE:CLASS` names.

A case that the adapter does not know is skipped. A case in the file that --xfail names is expected to differ; if it
agrees, its test fails, so that the list stays true. An error is a failure, whether the case is listed or not.
"""

from pathlib import Path
from typing import Any

import pytest

from minilop.verify import report
from minilop.verify.adapter import check_methods, load_adapter, make_adapter
from minilop.verify.case import VerifyError, choose_cases
from minilop.verify.judging import judge_case


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.getoption
    if not option("--adapter", default=None):
        reason = "no --adapter: say pytest --pyargs minilop.verify --adapter FILE:CLASS"
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
    """The cases in a file, one per line. Raises VerifyError if it cannot be read, or for a name that does not exist."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise VerifyError(f"{path} cannot be read ({type(problem).__name__}); --xfail names a text file.") from None
    names = [line.split("#")[0].strip() for line in lines]
    return choose_cases(found, ()) if (found := [name for name in names if name]) else []


def test_implementation_agrees(adapter: Any, case_id: str, is_listed: bool, pytestconfig: pytest.Config) -> None:
    option = pytestconfig.getoption
    judgement = judge_case(adapter, case_id, option("--mode"), option("--dtype"))
    if judgement.outcome == "skipped" and case_id in option("--case"):
        pytest.fail(f"{case_id} was asked for, and the adapter does not know it: {judgement.reason}", pytrace=False)
    if judgement.outcome == "skipped":
        pytest.skip(judgement.reason)
    if judgement.outcome == "error":
        pytest.fail(judgement.reason, pytrace=False)
    if judgement.outcome == "differs" and is_listed:
        pytest.xfail(report.line(judgement))
    if judgement.outcome == "differs":
        pytest.fail(report.details(judgement, option("--mode")), pytrace=False)
    if is_listed:
        pytest.fail(f"{case_id} agrees; take it off the list that --xfail names.", pytrace=False)
