"""What the documents tell a reader to type or to open exists."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import run_all

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {path: path.read_text() for path in DOCUMENTS}
COMMANDS = [
    (path.name, command)
    for path, text in TEXT.items()
    for command in re.findall(r"python run_all\.py([^\n`&]*)", text)
    if "cupy" not in command  # asks for a GPU
]


@pytest.mark.quick
@pytest.mark.parametrize(("document", "command"), COMMANDS)
def test_every_command_in_the_documents_is_understood(document, command, tmp_path):
    """With --status added nothing is computed, but every name and value is looked up."""
    arguments = shlex.split(re.split(r"\s{3,}", command)[0])  # what follows in the same line explains it
    arguments += ["--status", f"--out={tmp_path}", f"--figures={tmp_path}"]
    result = CliRunner().invoke(run_all.main, arguments, obj=run_all.PROBLEMS)
    assert result.exit_code == 0, result.output


@pytest.mark.quick
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(path):
    links = re.findall(r"\]\(([^)#]+)\)", TEXT[path])
    for target in [link for link in links if not link.startswith("http")]:
        assert (path.parent / target).exists(), target


@pytest.mark.quick
def test_the_readme_names_the_two_commands_of_the_project():
    text = TEXT[ROOT / "README.md"]
    assert "python -m pip install -e . && python run_all.py\n" in text
    assert 'python -m pip install -e ".[test]" && python -m pytest\n' in text


def first_loop():
    specification = importlib.util.spec_from_file_location("first_loop", ROOT / "docs" / "first_loop.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_first_loop_is_short_and_runs(capsys):
    assert len((ROOT / "docs" / "first_loop.py").read_text().splitlines()) < 80
    first_loop().main(num_tasks=1)
    assert capsys.readouterr().out.count("\n") == 4


@pytest.mark.campaign
def test_the_first_loop_prints_what_the_paper_says(capsys):
    """Backprop loses most of what it could do; Continual Backprop keeps it."""
    first_loop().main()
    _, backprop, continual, _ = capsys.readouterr().out.splitlines()
    _, early, late = map(float, backprop.split()[-3:])
    assert late < early - 10
    _, early, late = map(float, continual.split()[-3:])
    assert late > early - 3


@pytest.mark.quick
def test_the_route_has_ten_stops_that_can_be_read_in_an_afternoon():
    """At most 2,500 lines in all; a folder counts with all its files."""
    text = TEXT[ROOT / "docs" / "reading_order.md"].split("## Side trips")[0]
    stops = re.split(r"^ ?\d+\. ", text, flags=re.MULTILINE)[1:]
    assert len(stops) == 10
    files = [ROOT / "docs" / link for stop in stops for link in re.findall(r"\*\*\[`[^`]+`\]\(([^)]+)\)", stop)]
    files = [each for file in files for each in (file.parent.glob("*.py") if file.name == "__init__.py" else [file])]
    assert 1500 < sum(len(file.read_text().splitlines()) for file in files) <= 2500


@pytest.mark.quick
def test_the_route_names_files_that_exist():
    for name in re.findall(r"`((?:minilop|problems|tests|docs)/[\w/.]+)`", TEXT[ROOT / "docs" / "reading_order.md"]):
        assert (ROOT / name).exists(), name
