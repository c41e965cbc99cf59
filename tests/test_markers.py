"""The test commands of CONTRIBUTING.md: what each selects, and that they work without pytest-xdist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.quick
@pytest.mark.parametrize("path", sorted(TESTS.glob("test_*.py")), ids=lambda path: path.stem)
def test_every_file_has_a_quick_test(path: Path) -> None:
    assert re.search(r"^\s*(@|pytestmark = \[?\s*)pytest\.mark\.quick$", path.read_text("utf-8"), re.MULTILINE)


def test_without_xdist_the_tests_run_one_after_the_other() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_losses.py"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    result = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


def test_the_plain_command_leaves_the_campaign_out(tmp_path: Path) -> None:
    """And `-m campaign` on the command line replaces the selection of setup.cfg."""
    pytest.importorskip("xdist")
    (tmp_path / "test_two.py").write_text(
        "import pytest\n\ndef test_short(): ...\n\n@pytest.mark.campaign\ndef test_long(): ...\n"
    )
    command = [sys.executable, "-m", "pytest", "-c", str(TESTS.parent / "setup.cfg"), "--rootdir", str(tmp_path)]
    for options, selected in (([], "test_short"), (["-m", "campaign"], "test_long")):
        arguments = [*command, "--collect-only", "-q", "-n0", *options, "test_two.py"]
        environment = {**os.environ, "PYTEST_ADDOPTS": ""}
        result = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert re.findall(r"::(\w+)", result.stdout) == [selected]
