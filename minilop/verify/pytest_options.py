"""The options of `pytest --pyargs minilop.verify`; test_implementation.py has the tests.

pytest loads this small file in every run, because it is an entry point of the package (setup.cfg): it would read the
conftest.py of an installed package after the command line. The file does nothing unless the command line names
minilop.verify.
"""

from argparse import ArgumentError
from collections.abc import Generator
from typing import Any

import pytest

NAME = "minilop.verify"
IS_OURS = pytest.StashKey[bool]()  # whether this run of pytest is the kit's: other projects may have an --adapter, too
OPTIONS: dict[str, dict[str, Any]] = {
    "--adapter": {"metavar": "FILE:CLASS", "help": "the adapter; see minilop.verify.adapter"},
    "--suite": {"action": "append", "default": [], "metavar": "NAME", "help": "only these cases; repeatable"},
    "--case": {"action": "append", "default": [], "metavar": "ID", "help": "only this case; repeatable"},
    "--mode": {"choices": ["free", "resync"], "default": "free", "help": "default: free"},
    "--dtype": {"choices": ["float64", "float32"], "default": "float64", "help": "default: float64"},
    "--xfail": {"metavar": "FILE", "help": "names cases that are known to differ, one a line; # begins a comment"},
}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: Any, parser: Any, args: list[str]) -> Generator[None, Any, Any]:
    """Add the options after those of every conftest.py, while the command line is being read.

    Raises UsageError for an option that another plugin or conftest.py has added.
    """
    result = yield
    if "--pyargs" in args and any(arg.split("::")[0].startswith(NAME) for arg in args):
        early_config.stash[IS_OURS] = True
        group = parser.getgroup(NAME, "check an implementation against minilop")
        for name, attributes in OPTIONS.items():
            try:
                group.addoption(name, **attributes)
                parser.parse_known_args(args)  # where pytest 8 notices
            except (ValueError, ArgumentError):
                remedy = "add --noconftest, or -p no:PLUGIN, or run pytest in another folder"
                raise pytest.UsageError(f"{name} is also an option of a conftest.py or a plugin; {remedy}") from None
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Raises UsageError if this is a run of the kit and no adapter is named."""
    if config.stash.get(IS_OURS, False) and config.getoption("--adapter") is None:
        raise pytest.UsageError(f"{NAME} has nothing to check: say --adapter FILE:CLASS")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """If every case was skipped, nothing has been checked: the exit status is 5, pytest's own for no tests, not 0."""
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not config.stash.get(IS_OURS, False) or config.getoption("collectonly") or reporter is None or exitstatus:
        return
    if not any(reporter.stats.get(outcome) for outcome in ("passed", "xfailed")):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
