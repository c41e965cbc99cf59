"""The cases as tests of the user's own pytest, in a process of its own."""

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADAPTER = """
from minilop.verify import reference
from minilop.verify.mistakes import MISTAKES

Adapter = MISTAKES["outgoing_weights_kept"].make  # without an error but in Continual Backprop

class OnlySGD:
    def load(self, case, parameters):
        if case.suite != "sgd":
            raise NotImplementedError
        self.reference = reference.Reference()
        self.reference.load(case, parameters)

    def step(self, x, y, draws):
        return self.reference.step(x, y, draws)

class Nothing:
    def load(self, case, parameters):
        raise NotImplementedError
    step = load
"""
WRONG = "continual_backprop/contribution"


@pytest.fixture
def run_pytest(tmp_path):
    """Runs pytest in an empty folder beside an installed minilop: its entry points are those that setup.cfg names."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    metadata = tmp_path / "installed" / "minilop-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: minilop\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(
        f"[pytest11]{settings['options.entry_points']['pytest11'].rstrip()}\n".replace("]", "]\n", 1)
    )
    work = tmp_path / "work"
    work.mkdir()
    (work / "adapter.py").write_text(ADAPTER)

    def run(*arguments):
        path = os.pathsep.join([str(metadata.parent), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=work,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


KIT = ("--pyargs", "minilop.verify", "--adapter", "adapter.py:Adapter")


def test_each_case_is_a_test(run_pytest):
    result = run_pytest(*KIT, "--suite=sgd", f"--case={WRONG}", "-v")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "test_implementation_agrees[sgd/plain] PASSED" in result.stdout
    assert f"test_implementation_agrees[{WRONG}] FAILED" in result.stdout
    assert "outgoing_weights_kept: A replaced unit keeps its outgoing weights" in result.stdout


def test_a_case_that_is_known_to_differ_is_expected_to(run_pytest, tmp_path):
    known = tmp_path / "known.txt"
    known.write_text(f"# not yet right\n{WRONG}  # to do\n\n")
    result = run_pytest(*KIT, f"--case={WRONG}", f"--xfail={known}")
    assert result.returncode == 0 and "1 xfailed" in result.stdout, result.stdout
    known.write_text("sgd/plain\n")
    result = run_pytest(*KIT, "--case=sgd/plain", f"--xfail={known}")
    assert result.returncode == 1 and "sgd/plain agrees; remove it from the --xfail file." in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (KIT[:2], 4, "minilop.verify has nothing to check; add --adapter FILE:CLASS"),
        ((*KIT, "--case=sgd/plian"), 2, "There is no case 'sgd/plian'; did you mean sgd/plain?"),
        ((*KIT, "--xfail=no.txt"), 2, "no.txt cannot be read (FileNotFoundError); --xfail must name a text file."),
        ((*KIT[:3], "adapter.py:Adaptor"), 2, "adapter.py has no class Adaptor; it has OnlySGD, Nothing."),
        (
            (*KIT[:3], "adapter.py:Nothing", "--mode=resync"),
            2,
            "Nothing has no method set_state, which --mode resync needs",
        ),
        ((*KIT[:3], "adapter.py:Nothing", "--suite=l2"), 5, "2 skipped"),  # nothing was checked
        (
            (*KIT[:3], "adapter.py:Nothing", "--case=sgd/plain"),
            1,
            "sgd/plain was requested but the adapter does not support it",
        ),
    ],
)
def test_what_cannot_be_judged_is_no_success(arguments, status, sentence, run_pytest):
    result = run_pytest(*arguments)
    assert result.returncode == status, result.stdout + result.stderr
    assert sentence in result.stdout + result.stderr


def test_an_adapter_option_of_another_project_is_left_alone(run_pytest, tmp_path):
    (tmp_path / "work" / "conftest.py").write_text("def pytest_addoption(parser):\n    parser.addoption('--adapter')\n")
    (tmp_path / "work" / "test_theirs.py").write_text("import pytest\n\ndef test_skipped():\n    pytest.skip('so')\n")
    for arguments in ((), ("--adapter", "usb")):
        result = run_pytest(*arguments)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("option", ["adapter", "suite", "case", "mode", "dtype", "xfail"])
def test_an_option_that_another_project_has_too_is_a_sentence(option, run_pytest, tmp_path):
    (tmp_path / "work" / "conftest.py").write_text(
        f"def pytest_addoption(parser):\n    parser.addoption('--{option}')\n"
    )
    result = run_pytest(*KIT, "--case=sgd/plain")
    assert result.returncode == 4 and "Traceback" not in result.stderr
    assert f"--{option} is also an option of a conftest.py or a plugin; add --noconftest" in result.stderr
    if option == "dtype":
        assert run_pytest(*KIT, "--case=sgd/plain", "--noconftest").returncode == 0


@pytest.mark.quick
def test_other_runs_of_pytest_have_no_new_options(run_pytest):
    """The entry point is in every run of pytest; it must leave those alone that are not of the kit."""
    result = run_pytest("--adapter", "adapter.py:Adapter")
    assert result.returncode == 4 and "unrecognized arguments: --adapter" in result.stderr
    assert "check an implementation" not in run_pytest("--help").stdout


def test_a_suite_that_was_named_and_wholly_skipped_is_no_success(run_pytest):
    """As for the command, which ends with status 2."""
    result = run_pytest("--pyargs", "minilop.verify", "--adapter", "adapter.py:OnlySGD", "--suite=sgd", "--suite=redo")
    assert result.returncode == 5, result.stdout + result.stderr
