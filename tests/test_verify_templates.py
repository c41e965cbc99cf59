"""The templates run as they are, and say what they do not know."""

import importlib.util

import pytest
from click.testing import CliRunner

from minilop.verify.__main__ import main
from minilop.verify.case_files import load_case

KNOWN = ("sgd/plain", "continual_backprop/contribution", "continual_backprop/immature_units")
CASES = [argument for case_id in KNOWN for argument in ("--case", case_id)]
RANKS_MATURE_UNITS = {
    "numpy": "np.where(eligible, corrected_utility, np.inf)",
    "torch": "corrected_utility.masked_fill(~eligible, math.inf)",
    "jax": "jnp.where(eligible, corrected_utility, jnp.inf)",
}


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_a_new_adapter_agrees_before_anything_is_changed(framework, tmp_path, monkeypatch):
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    result = runner.invoke(main, ["new-adapter", framework])
    assert result.exit_code == 0
    command = result.output.split("python -m minilop.verify ")[1].split()  # the command that it proposes
    for options in ([], ["--mode", "resync"], ["--dtype", "float32"], ["--dtype", "float32", "--mode", "resync"]):
        result = runner.invoke(main, [*command, *CASES, *options])
        assert result.exit_code == 0, result.output
        for case_id in CASES[1::2]:
            number = len(load_case(case_id).expected)
            assert f"{number} of {number} quantities" in result.output


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_what_a_template_does_not_know_is_skipped(framework, tmp_path, monkeypatch):
    """All cases are asked for; the three that it knows agree, and the others speak against nothing."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(main, ["new-adapter", framework])
    result = CliRunner().invoke(main, ["run", "--adapter", f"{framework}_adapter.py:Adapter"])
    assert result.exit_code == 0, result.output
    assert "3 agree" in result.output and "error" not in result.output.rsplit("\n", 2)[1]


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_a_template_that_no_longer_protects_immature_units_differs(framework, tmp_path, monkeypatch):
    """All units are ranked: the mistake is found by the cases that the template comes with, and has its name."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(main, ["new-adapter", framework])
    file = tmp_path / f"{framework}_adapter.py"
    text = file.read_text()
    assert text.count(RANKS_MATURE_UNITS[framework]) == 1
    file.write_text(text.replace(RANKS_MATURE_UNITS[framework], "corrected_utility"))
    result = CliRunner().invoke(main, ["run", "--adapter", f"{framework}_adapter.py:Adapter", *CASES])
    assert result.exit_code == 1
    assert "mistake       immature_replaced" in result.output


@pytest.mark.quick
def test_a_file_that_is_there_is_never_overwritten(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("precious")
    result = CliRunner().invoke(main, ["new-adapter", "numpy", "--out", str(file)])
    assert result.exit_code == 2 and f"{file} already exists and is left unchanged" in result.output
    assert file.read_text() == "precious"


@pytest.mark.quick
def test_an_adapter_can_be_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["new-adapter", "torch", "--out", "-"])
    assert result.exit_code == 0 and "class Adapter:" in result.output
    assert not list(tmp_path.iterdir())
