"""The options of `pytest --pyargs minilop.verify`; the tests are in test_implementation.py.

pytest loads this file in every run, because it is an entry point of the package (setup.cfg): pytest would read the
conftest.py of an installed package only after the command line. The file does nothing unless the command line names
minilop.verify.
"""

from argparse import ArgumentError
from collections.abc import Generator
from typing import Any

import pytest

NAME = "minilop.verify"
IS_OURS = pytest.StashKey[
    bool
]()  # whether this run of pytest is the kit's; other projects may have an option --adapter
OPTIONS: dict[str, dict[str, Any]] = {
    "--adapter": {"metavar": "FILE:CLASS", "help": "the adapter; see minilop.verify.adapter"},
    "--suite": {"action": "append", "default": [], "metavar": "NAME", "help": "run only this suite; repeatable"},
    "--case": {"action": "append", "default": [], "metavar": "ID", "help": "run only this case; repeatable"},
    "--mode": {"choices": ["free", "resync"], "default": "free", "help": "default: free"},
    "--dtype": {"choices": ["float64", "float32"], "default": "float64", "help": "default: float64"},
    "--xfail": {"metavar": "FILE", "help": "file with the cases known to differ, one per line; # begins a comment"},
}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: Any, parser: Any, args: list[str]) -> Generator[None, Any, Any]:
    """Add the options after those of every conftest.py, while the command line is being read.

    Raises UsageError for an option that another plugin or conftest.py already defines.
    """
    result = yield
    if "--pyargs" in args and any(arg.split("::")[0].startswith(NAME) for arg in args):
        early_config.stash[IS_OURS] = True
        group = parser.getgroup(NAME, "check an implementation against minilop")
        for name, attributes in OPTIONS.items():
            try:
                group.addoption(name, **attributes)
                parser.parse_known_args(args)  # pytest 8 detects the conflict here
            except (ValueError, ArgumentError):
                remedy = "add --noconftest, or -p no:PLUGIN, or run pytest in another folder"
                raise pytest.UsageError(f"{name} is also an option of a conftest.py or a plugin; {remedy}") from None
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Raises UsageError if this is a run of the kit and no adapter is named."""
    if config.stash.get(IS_OURS, False) and config.getoption("--adapter") is None:
        raise pytest.UsageError(f"{NAME} has nothing to check; add --adapter FILE:CLASS")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Set the exit status to 5, pytest's for no tests, if all cases, or all of a suite that was named, were skipped."""
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not config.stash.get(IS_OURS, False) or config.getoption("collectonly") or reporter is None or exitstatus:
        return
    judged = [report.nodeid for outcome in ("passed", "xfailed") for report in reporter.stats.get(outcome, [])]
    suites = {nodeid.partition("[")[2].partition("/")[0] for nodeid in judged}
    if not judged or set(config.getoption("--suite")) - suites:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
