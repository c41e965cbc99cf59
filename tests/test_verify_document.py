"""What docs/verify.md shows is what happens."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from minilop import draws
from minilop.verify.__main__ import main
from minilop.verify.case_files import load_case
from minilop.verify.mistakes.table import with_table

pytestmark = pytest.mark.quick

PAGE = Path(__file__).parents[1] / "docs" / "verify.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
EXAMPLE = next(text for language, text in BLOCKS if language == "python" and "class Adapter" in text)
WRONG_OUTPUT, RIGHT_OUTPUT = (text for _, text in BLOCKS if text.startswith(("differs", "agrees")))


def test_the_worked_example_is_found_as_the_page_says(tmp_path, monkeypatch):
    """The command of the page on the file of the page, and once more with the line that the page corrects."""
    monkeypatch.chdir(tmp_path)
    command = re.search(r"`python -m minilop\.verify (run --adapter my_adapter[^`]*)`", TEXT)
    for source, output, status in (
        (EXAMPLE, WRONG_OUTPUT, 1),
        (EXAMPLE.replace(">= self.settings", "> self.settings"), RIGHT_OUTPUT, 0),
    ):
        Path("my_adapter.py").write_text(source)
        result = CliRunner().invoke(main, shlex.split(command[1]))
        assert result.exit_code == status
        assert without_rounding(result.output) == without_rounding(output)


def without_rounding(output):
    """How large the rounding errors are differs between processors."""
    return re.sub(r"largest error \S+ of", "largest error of", output).strip()


def test_every_command_of_the_page_is_understood():
    """With --help nothing is done, but every option is looked up."""
    commands = re.findall(r"python -m minilop\.verify ([^\n`]*)", TEXT)
    for command in [each for each in commands if not each.startswith((".", "generate", "mistakes"))]:
        words = shlex.split(re.split(r"\s{3,}", command)[0])
        if words[-1:] == ["continual_backprop/contribution"]:
            load_case(words[-1])
        result = CliRunner().invoke(main, [*words, "--help"])
        assert result.exit_code == 0, (command, result.output)


def test_the_table_of_known_mistakes_is_up_to_date():
    assert with_table(TEXT) == TEXT, "python -m minilop.verify.mistakes.table docs/verify.md brings it up to date"


def test_the_draw_of_the_page_is_the_one_of_the_case():
    snippet = next(text for language, text in BLOCKS if language == "python" and "draws.uniform" in text)
    expression = snippet.replace("from minilop import draws", "").strip()
    found = eval(expression, {"draws": draws})
    case = load_case("continual_backprop/contribution")
    assert np.array_equal(found, case.inputs["draws/fresh_weight/0"][17, 4])
