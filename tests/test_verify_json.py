"""The kit without Python: what a case gives, and what a program found, as JSON."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from minilop.verify import case_files
from minilop.verify.__main__ import main
from minilop.verify.case_files import finite, load_case, read_arrays

DOCS = Path(__file__).parents[1] / "docs"
PLAIN = "sgd/plain"


def say(*arguments):
    """Exit status and output of the command."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def refuse(constant):
    """What JSON does not know: NaN, Infinity, -Infinity."""
    raise AssertionError(constant)


@pytest.mark.quick
def test_inputs_are_the_description_and_the_arrays_of_a_case():
    status, text = say("inputs", PLAIN)
    assert status == 0
    case, found = load_case(PLAIN), json.loads(text, parse_constant=refuse)
    assert found["id"] == PLAIN and found["hyperparameters"] == case.hyperparameters and found["steps"] == case.steps
    assert found["quantities"] == {name: list(array.shape[1:]) for name, array in case.expected.items()}
    assert found["inputs"].keys() == case.inputs.keys()
    for name, array in case.inputs.items():
        assert np.array_equal(np.array(found["inputs"][name]), array), name  # to the last bit


def test_the_inputs_of_every_case_are_json_that_any_parser_reads():
    for case_id in case_files.case_ids():
        found = json.loads(say("inputs", case_id)[1], parse_constant=refuse)["inputs"]
        assert all(np.array_equal(found[name], array) for name, array in load_case(case_id).inputs.items()), case_id


@pytest.mark.quick
def test_nan_and_infinity_are_texts_there_and_back(tmp_path):
    values = [1.5, np.nan, np.inf, -np.inf]
    assert finite({"a": [values]}) == {"a": [[1.5, "nan", "inf", "-inf"]]}
    path = tmp_path / "actual.json"
    path.write_text('{"a": [[1.5, "nan", "inf", "-inf"]], "null": [0.5, null], "chosen": [true, false], "count": [2]}')
    found = read_arrays(path)
    assert np.array_equal(found["a"], [values], equal_nan=True)
    assert np.array_equal(found["null"], [0.5, np.nan], equal_nan=True)  # JavaScript writes NaN so
    assert found["chosen"].dtype == bool and found["count"].dtype == int


@pytest.mark.quick
def test_compare_judges_json_as_it_judges_npz(tmp_path):
    expected = load_case(PLAIN).expected
    path = tmp_path / "actual.json"
    path.write_text(json.dumps({name: array.tolist() for name, array in expected.items()}))
    status, said = say("compare", PLAIN, path)
    assert status == 0 and f"{len(expected)} of {len(expected)} quantities" in said
    outputs = expected["forward/outputs"].copy()
    outputs[7, 2, 3] += 1
    path.write_text(json.dumps({"outputs": outputs.tolist()}))
    status, said = say("compare", PLAIN, path)
    assert status == 1 and "step 7 (counted from 0), phase forward, outputs, unit 2, example 3" in said


@pytest.mark.quick
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "cannot be read as JSON at line 1, column 1."),
        ('{"outputs": [1,\n 2}', "cannot be read as JSON at line 2, column 3."),
        (b"\xff\xfe\x00", "cannot be read as JSON in UTF-8, nested as deep as arrays."),
        ("[" * 200_000 + "]" * 200_000, "cannot be read as JSON in UTF-8, nested as deep as arrays."),
        ("null", 'must hold a JSON object, {"name": value, ...}.'),
        ("[[1, 2]]", 'must hold a JSON object, {"name": value, ...}.'),
        ("{}", "nothing was returned"),
        ('{"outputs": [[1, 2], [3]]}', "outputs must be numbers, in lists of lists that form a regular array."),
        ('{"outputs": {"unit": 1}}', "outputs must be numbers, in lists of lists that form a regular array."),
        ('{"outputs": ["one"]}', "outputs must be numbers, in lists of lists that form a regular array."),
        ('{"outputs": [' + "9" * 400 + "]}", "outputs must be numbers, in lists of lists that form a regular array."),
        ('{"outputs": ' + "[" * 500 + "]" * 500 + "}", "outputs must be numbers, in lists of lists"),
        ('{"outputs": null}', "forward/outputs must have the shape (60, 3, 4), not ()."),
        ('{"outputs": [[1, 2], [3, 4]]}', "forward/outputs must have the shape (60, 3, 4), not (2, 2)."),
        ('{"output": [1]}', "has no quantity 'output' (did you mean outputs?)"),
    ],
)
def test_json_that_is_no_answer_is_a_sentence(text, sentence, tmp_path):
    path = tmp_path / "actual.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    status, said = say("compare", PLAIN, path)
    assert status == 2 and said.startswith("Error: ") and sentence in said and said.count("\n") == 1


def test_a_place_that_is_no_file_is_a_sentence(tmp_path):
    assert say("compare", PLAIN, tmp_path / "no.json") == (2, f"Error: There is no file {tmp_path}/no.json.\n")
    (tmp_path / "folder.json").mkdir()
    assert "folder.json cannot be read as a file" in say("compare", PLAIN, tmp_path / "folder.json")[1]
    assert "did you mean sgd/plain?" in say("inputs", "sgd/plian")[1]


def test_the_example_in_javascript_agrees(tmp_path):
    """As the page says: Python writes the inputs and judges the answer, and Node.js does the rest."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    example = DOCS / "verify_example.mjs"
    assert len(example.read_text().splitlines()) <= 60
    (tmp_path / "inputs.json").write_text(say("inputs", PLAIN)[1])
    subprocess.run([node, example, "inputs.json", "actual.json"], cwd=tmp_path, check=True, timeout=60)
    status, said = say("compare", PLAIN, tmp_path / "actual.json")
    number = len(load_case(PLAIN).expected)
    assert status == 0 and f"{number} of {number} quantities" in said
