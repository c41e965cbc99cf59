"""The command of the verification kit: what it says of an implementation, and of what cannot be judged."""

import dataclasses
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import strict_cupy
from click.testing import CliRunner

from minilop import backend
from minilop.verify import case_files
from minilop.verify.__main__ import main
from minilop.verify.adapter import load_adapter, run_adapter
from minilop.verify.case_files import load_case, write_arrays
from minilop.verify.conventions import MEANINGS
from minilop.verify.gaps import gaps
from minilop.verify.judging import Judgment, distinguishing_cases, exit_status, judge_case
from minilop.verify.mistakes import MISTAKES
from minilop.verify.pages import page_of
from minilop.verify.reference import Reference
from minilop.verify.report import details

ROOT = Path(__file__).parents[1]
REFERENCE = "minilop.verify.reference:Reference"
PLAIN, CONTRIBUTION = "sgd/plain", "continual_backprop/contribution"


def say(*arguments):
    """Exit status and all that the command writes, with the spaces of its layout made one."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def write_adapter(tmp_path):
    """Writes an adapter of the user's own: the reference, with other methods; returns how it is named."""

    def write(body, name="adapter"):
        text = "import numpy as np\nfrom minilop.verify.reference import Reference\n\nclass Adapter(Reference):\n"
        path = tmp_path / f"{name}.py"
        path.write_text(text + "".join(f"    {line}\n" for line in body.splitlines()))
        return f"{path}:Adapter"

    return write


@pytest.fixture
def copied_vectors(tmp_path, monkeypatch):
    """A copy of the vectors in the place of the package's own, to be damaged."""
    copy = tmp_path / "vectors"
    shutil.copytree(case_files.VECTORS, copy)
    monkeypatch.setattr(case_files, "VECTORS", copy)
    return copy


# --- Agreement --------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_the_reference_agrees_with_itself():
    status, said = say("run", "--adapter", REFERENCE, "--case", PLAIN, "--case", CONTRIBUTION)
    assert status == 0
    number = len(load_case(PLAIN).expected)
    assert f"agrees {PLAIN} {number} of {number} quantities" in said and "2 cases: 2 agree." in said


@pytest.mark.quick
def test_of_few_quantities_the_line_says_how_many(write_adapter):
    adapter = write_adapter("def step(self, *args):\n    return {'outputs': super().step(*args)['forward/outputs']}")
    status, said = say("run", "--adapter", adapter, "--case", PLAIN)
    assert status == 0 and f"1 of {len(load_case(PLAIN).expected)} quantities" in said


def test_a_case_that_the_adapter_does_not_know_is_skipped(write_adapter):
    adapter = write_adapter(
        "def load(self, case, parameters):\n"
        f"    if case.id != {PLAIN!r}:\n"
        "        raise NotImplementedError('only SGD')\n"
        "    super().load(case, parameters)"
    )
    status, said = say("run", "--adapter", adapter, "--case", PLAIN, "--suite", "sgd")
    assert status == 0
    status, said = say("run", "--adapter", adapter)
    assert status == 0 and f"skipped {CONTRIBUTION} only SGD" in said
    assert say("run", "--adapter", adapter, "--case", CONTRIBUTION)[0] == 2  # nothing was compared
    assert say("run", "--adapter", adapter, "--suite", "sgd", "--suite", "redo")[0] == 2  # nothing of a suite was
    assert say("run", "--adapter", adapter, "--case", PLAIN, "--case", CONTRIBUTION)[0] == 2  # it was asked for by name


@pytest.mark.quick
@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["agrees", "agrees"], 0),
        (["agrees", "skipped"], 0),
        (["agrees", "error", "differs"], 1),
        (["agrees", "error"], 2),
        (["skipped", "skipped"], 2),
        ([], 2),
    ],
)
def test_the_exit_status_is_0_only_where_nothing_speaks_against_it(outcomes, status):
    assert exit_status([Judgment(f"suite/{outcome}", outcome) for outcome in outcomes]) == status


def test_an_adapter_of_functions_alone_is_judged_on_functions_alone(tmp_path):
    """Where it has no `load`, it knows no learner."""
    (tmp_path / "adapter.py").write_text(
        "from minilop.verify.reference import Reference\n\n\nclass Adapter:\n    call = Reference.call\n"
    )
    adapter = f"{tmp_path}/adapter.py:Adapter"
    status, said = say("run", "--adapter", adapter, "--case", "functions/ranks", "--suite", "l2", "--mode", "resync")
    assert status == 2 and "agrees functions/ranks" in said and "skipped l2/plain it has no method load" in said
    assert say("run", "--adapter", adapter, "--suite", "functions")[0] == 0


@pytest.mark.quick
def test_not_implemented_in_the_middle_is_an_error(write_adapter):
    """PyTorch raises it for a missing kernel; that must not pass for "I do not know this case"."""
    adapter = write_adapter("def step(self, *args):\n    raise NotImplementedError('no kernel')")
    status, said = say("run", "--adapter", adapter, "--case", PLAIN)
    assert status == 2 and f"{PLAIN}, step 0: step raised NotImplementedError (adapter.py, line 6): no kernel" in said


def test_an_adapter_may_spoil_what_it_is_given(write_adapter):
    adapter = write_adapter(
        "def load(self, case, parameters):\n    super().load(case, parameters)\n    case.hyperparameters.clear()\n"
        "def step(self, *args):\n    return {'outputs': super().step(*args)['forward/outputs'] + 1}"
    )
    assert say("run", "--adapter", adapter, "--case", PLAIN)[0] == 1


# --- Differences ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """An adapter with a known mistake, and what the command says of it: status, output, report."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "adapter.py").write_text(
        "from minilop.verify.mistakes import MISTAKES\nAdapter = MISTAKES['outgoing_weights_kept'].make\n"
    )
    report = folder / "report.json"
    result = CliRunner().invoke(
        main,
        ["run", "--adapter", f"{folder}/adapter.py:Adapter", f"--case={PLAIN}", f"--case={CONTRIBUTION}"]
        + ["--report", str(report)],
    )
    return result.exit_code, " ".join(result.output.split()), json.loads(report.read_text())


def test_a_report_names_the_first_number_that_is_off_and_the_known_mistake(planted):
    """Unit 0 of layer 0 is the first to be replaced; layer 1 must then have no weight from it."""
    case = load_case(CONTRIBUTION)
    step = min(int(np.argmax(case.expected[f"selection/replaced/{layer}"].any(axis=1))) for layer in (0, 1))
    unit = int(np.argmax(case.expected["selection/replaced/0"][step]))
    status, said, _ = planted
    assert status == 1
    assert f"agrees {PLAIN}" in said and f"differs {CONTRIBUTION}" in said
    assert f"first step {step} (counted from 0), phase replacement, weight of layer 1, unit 0, input {unit}" in said
    assert "expected 0 got" in said
    assert "age_and_utility, selection, replacement/weight/0, replacement/bias/0" in said  # agreed before it
    assert "mistake outgoing_weights_kept: A replaced unit keeps its outgoing weights" in said
    assert f"see {MISTAKES['outgoing_weights_kept'].page}" in said
    assert f"{len(case.expected)} of {len(case.expected)} quantities were returned" in said


def test_the_json_report_has_the_same_facts(planted):
    _, _, report = planted
    assert report["exit_status"] == 1 and report["mode"] == "free" and report["dtype"] == "float64"
    plain, found = report["cases"]
    assert (
        plain["outcome"] == "agrees"
        and plain["compared"] == list(load_case(PLAIN).expected)
        and plain["not_returned"] == []
    )
    assert found["case"] == CONTRIBUTION and found["outcome"] == "differs"
    assert found["quantity"] == "replacement/weight/1" and found["phase"] == "replacement"
    assert found["unit"] == found["place"][0] == 0
    assert found["expected"] == 0 and abs(found["got"]) > found["allowed"] > 0
    assert found["agreed_before"][-2:] == ["replacement/weight/0", "replacement/bias/0"]
    assert [mistake["name"] for mistake in found["mistakes"]] == ["outgoing_weights_kept"]
    assert (ROOT / found["page"]).exists()


def test_nan_is_a_difference_and_is_called_nan(write_adapter, tmp_path):
    adapter = write_adapter(
        "def step(self, *args):\n    return {'outputs': np.nan * super().step(*args)['forward/outputs']}"
    )
    status, said = say("run", "--adapter", adapter, "--case", PLAIN, "--report", tmp_path / "report.json")
    assert status == 1
    assert "step 0 (counted from 0), phase forward, outputs, unit 0, example 0" in said and "got nan" in said
    (found,) = json.loads((tmp_path / "report.json").read_text())["cases"]
    assert found["got"] == "nan"


def test_what_no_known_mistake_looks_like_is_said_to_be_unknown(write_adapter):
    adapter = write_adapter("def step(self, *args):\n    return {'outputs': np.ones((2, 2))}")
    status, said = say("run", "--adapter", adapter, "--case", CONTRIBUTION)
    assert status == 1
    assert "none of the" in said and "--mode resync judges each step separately" in said


def test_two_mistakes_at_once_are_named_by_the_one_that_shows_first(write_adapter):
    """In the last step something else is wrong as well: no trace of a single mistake is the whole of it."""
    adapter = write_adapter(
        "def load(self, case, parameters):\n"
        "    from minilop.verify.mistakes import MISTAKES\n"
        "    self.steps_left = case.steps\n"
        "    self.reference = MISTAKES['outgoing_weights_kept'].make()\n"
        "    self.reference.load(case, parameters)\n"
        "def step(self, *args):\n"
        "    self.steps_left -= 1\n"
        "    return {'weight/1': super().step(*args)['replacement/weight/1'] + (self.steps_left == 0)}"
    )
    judgment = judge_case(load_adapter(adapter), CONTRIBUTION)
    assert not judgment.mistakes and [mistake.name for mistake in judgment.resembles] == ["outgoing_weights_kept"]
    assert (
        "It is not this mistake, or not this mistake alone."
        in say("run", "--adapter", adapter, "--case", CONTRIBUTION)[1]
    )


def describe(vectors, case_id, text):
    """Write another case.json, and its digest into the manifest."""
    (vectors / case_id / "case.json").write_bytes(text)
    manifest = json.loads((vectors / "manifest.json").read_text())
    manifest["cases"][case_id]["case"] = hashlib.sha256(text).hexdigest()
    (vectors / "manifest.json").write_text(json.dumps(manifest))


def change_description(vectors, case_id, **changes):
    """Change entries of case.json."""
    described = json.loads((vectors / case_id / "case.json").read_text())
    describe(vectors, case_id, json.dumps({**described, **changes}).encode())


def test_mistakes_that_look_alike_in_a_case_are_told_apart_by_one_that_catches_only_some(copied_vectors):
    change_description(copied_vectors, PLAIN, flags=["age_at_least"])
    alike = MISTAKES["age_at_least"], MISTAKES["raw_running_average"]
    told_apart = distinguishing_cases(alike)
    assert PLAIN in told_apart
    assert all(len({each.name for each in alike}.intersection(load_case(name).flags)) == 1 for name in told_apart)
    planted = judge_case(alike[0].make, CONTRIBUTION)
    assert planted.mistakes == alike[:1]
    said = " ".join(details(dataclasses.replace(planted, mistakes=alike)).split())
    assert "age_at_least: A unit" in said and "raw_running_average: Units" in said
    assert f"They are indistinguishable in this case; {', '.join(told_apart)} may distinguish them." in said


def test_every_quantity_has_a_page_that_exists():
    for case in case_files.load_cases():
        for name in case.expected:
            page = page_of(case, name)
            assert (ROOT / page).exists(), (name, page)


def test_what_fits_every_case_that_differs_is_said(tmp_path):
    """Of weights alone the raw average looks like other mistakes in some cases, but not in all."""
    (tmp_path / "adapter.py").write_text(
        "from minilop.verify.mistakes import MISTAKES\n\n\n"
        "class Adapter:\n"
        "    def load(self, case, parameters):\n"
        "        if case.suite != 'continual_backprop' or not case.settings['bias_correction']:\n"
        "            raise NotImplementedError\n"
        "        self.reference = MISTAKES['raw_running_average'].make()\n"
        "        self.reference.load(case, parameters)\n\n"
        "    def step(self, *args):\n"
        "        found = self.reference.step(*args)\n"
        "        return {name: found[name] for name in found if name.startswith('replacement/weight')}\n"
    )
    said = say("run", "--adapter", f"{tmp_path}/adapter.py:Adapter", "--suite", "continual_backprop")[1]
    assert re.search(r"All \d+ cases that differ fit raw_running_average\.$", said)


def test_resync_says_what_state_nobody_can_judge(write_adapter):
    adapter = write_adapter(
        "def step(self, *args):\n    return {'weight/0': super().step(*args)['replacement/weight/0']}"
    )
    status, said = say("run", "--adapter", adapter, "--case", CONTRIBUTION, "--mode", "resync")
    assert status == 0 and "not returned and therefore not judged: bias/0, weight/1" in said
    assert "not judged" not in say("run", "--adapter", adapter, "--case", CONTRIBUTION)[1]


@pytest.mark.quick
def test_a_mistake_that_fits_a_few_quantities_is_named_with_what_would_tell_for_sure(tmp_path):
    """A unit that counts as eligible a step early is also due a step early, which shows in units_to_replace."""
    trace = played(CONTRIBUTION, "age_at_least")
    few, sure = "selection/replaced/0", "selection/units_to_replace/0"
    write_arrays(tmp_path / "few.npz", {few: trace[few]})
    status, said = say("compare", CONTRIBUTION, tmp_path / "few.npz", "--report", tmp_path / "report.json")
    assert status == 1 and f"{few}: perhaps age_at_least" in said
    assert "age_at_least fits what you returned: A unit counts as mature" in said
    assert f"Return {sure} to be sure." in said
    assert json.loads((tmp_path / "report.json").read_text())["cases"][0]["to_be_sure"] == [sure]
    expected = load_case(CONTRIBUTION).expected
    assert not np.allclose(trace[sure], expected[sure])  # so the mistake does show there
    write_arrays(tmp_path / "all.npz", trace)
    said = say("compare", CONTRIBUTION, tmp_path / "all.npz")[1]
    assert "mistake age_at_least: A unit" in said and "perhaps" not in said and "to be sure" not in said


@pytest.mark.quick
def test_agreement_says_what_was_not_exercised_and_what_was_never_returned(tmp_path):
    """sgd/plain has mini-batches of four and the squared error; the suite has single examples and other losses, too."""
    outputs = {"outputs": load_case(PLAIN).expected["forward/outputs"]}
    write_arrays(tmp_path / "actual.npz", outputs)
    status, said = say("compare", PLAIN, tmp_path / "actual.npz", "--report", tmp_path / "report.json")
    assert status == 0
    assert "Not exercised: examples at once (one); loss (half_squared_error, cross_entropy)." in said
    assert "Never returned: weight; bias; features; losses; weight_gradient; bias_gradient." in said
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["not_exercised"] == ["examples at once (one)", "loss (half_squared_error, cross_entropy)"]
    assert report["never_returned"][:3] == ["weight", "bias", "features"]
    of_suite = say("run", "--adapter", REFERENCE, "--suite", "sgd")[1]
    assert "Not exercised" not in of_suite and "Never returned" not in of_suite


def test_continual_backprop_without_several_units_at_once_is_not_all_of_it():
    """Most cases replace one unit at most in a step; momentum's velocity, which is not returned here, comes first."""
    judgment = judge_case(Reference, "continual_backprop/momentum")
    kept = tuple(name for name in judgment.verdict.compared if "velocity" not in name)
    verdict = dataclasses.replace(judgment.verdict, compared=kept)
    found = gaps([dataclasses.replace(judgment, verdict=verdict)])
    assert "units replaced at once (several)" in found["not_exercised"]
    assert found["never_returned"] == ["velocity_weight", "velocity_bias"]
    assert any(each.startswith("momentum (0)") for each in found["not_exercised"])


VIEW = "def step(self, *args):\n    found = super().step(*args)\n    "


def test_a_view_is_told_as_shared_memory_and_not_as_a_fault_of_the_optimizer(write_adapter):
    """Step 12 is the first to replace a unit of layer 0: until then the weights after both phases are the same."""
    case = load_case(CONTRIBUTION)
    before, after = (case.expected[f"{phase}/weight/0"] for phase in ("optimizer", "replacement"))
    step = int(np.argmax((before != after).any(axis=(1, 2))))
    adapter = write_adapter(VIEW + "return found | {'optimizer/weight/0': found['replacement/weight/0']}")
    status, said = say("run", "--adapter", adapter, "--case", CONTRIBUTION)
    assert status == 2
    assert f"{CONTRIBUTION}, step {step}: optimizer/weight/0 and replacement/weight/0 share memory" in said
    assert "return copies." in said
    harmless = write_adapter(VIEW + "return found | {'optimizer/weight/0': found['optimizer/weight/0'][:]}", "harmless")
    assert say("run", "--adapter", harmless, "--case", CONTRIBUTION)[0] == 0


def test_a_view_of_what_is_not_returned_gets_a_hint(write_adapter):
    adapter = write_adapter(VIEW + "return {'optimizer/weight/0': found['replacement/weight/0']}")
    status, said = say("run", "--adapter", adapter, "--case", CONTRIBUTION)
    assert status == 1
    assert (
        "hint optimizer/weight/0 has the values of replacement/weight/0; return a copy if a later phase changes" in said
    )
    assert "see docs/verify.md" in said


def test_one_array_of_single_precision_is_named(write_adapter):
    """--dtype float32 would be no remedy: the others are float64."""
    adapter = write_adapter(VIEW + "return found | {'forward/outputs': found['forward/outputs'].astype('f4')}")
    said = say("run", "--adapter", adapter, "--case", PLAIN)[1]
    assert "hint forward/outputs is float32, less precise than float64" in said and "try --dtype" not in said


def test_single_precision_taken_for_double_gets_a_hint(write_adapter):
    adapter = write_adapter(
        "def step(self, *args):\n    found = super().step(*args)\n"
        "    return {name: array.astype('float32') for name, array in found.items()}"
    )
    assert (
        "hint the returned arrays are float32; try --dtype float32"
        in say("run", "--adapter", adapter, f"--case={PLAIN}")[1]
    )


# --- Backend ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def numpy_afterwards():
    yield
    backend.use("numpy")


@pytest.mark.usefixtures("numpy_afterwards")
def test_an_adapter_can_run_minilop_on_a_device(write_adapter, monkeypatch):
    """The stand-in refuses what CuPy refuses."""
    monkeypatch.setattr(strict_cupy.cupy.cuda, "runtime", SimpleNamespace(getDeviceCount=lambda: 1), raising=False)
    monkeypatch.setitem(sys.modules, "cupy", strict_cupy.cupy)
    adapter = write_adapter(
        "def load(self, *args):\n"
        "    from minilop import backend\n"
        "    assert backend.name() == 'cupy'\n"
        "    super().load(*args)"
    )
    status, said = say("run", "--adapter", adapter, "--backend", "cupy", "--case", CONTRIBUTION)
    assert status == 0, said
    assert say("run", "--adapter", adapter, "--case", CONTRIBUTION)[0] == 2  # NumPy, unless it is asked for


@pytest.mark.quick
def test_a_backend_that_is_missing_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    status, said = say("run", "--adapter", REFERENCE, "--backend", "cupy")
    assert status == 2 and said.startswith("Error: The backend cupy needs CuPy: install it with")
    assert say("run", "--adapter", REFERENCE, "--backend", "jax")[0] == 2


# --- Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "def step(self, *args):\n    raise KeyError('w')",
            f"{PLAIN}, step 0: step raised KeyError (adapter.py, line 6): 'w'",
        ),
        (
            "def step(self, *args):\n    raise SystemExit(0)",
            f"{PLAIN}, step 0: step raised SystemExit (adapter.py, line 6): 0",
        ),
        (
            "def step(self, *args):\n    raise RuntimeError('one\\n  two')",
            f"{PLAIN}, step 0: step raised RuntimeError (adapter.py, line 6): one two",
        ),
        (
            "def step(self, *args):\n    return {'outputs': [[1], [1, 2]]}",
            "forward/outputs is not an array that NumPy can read; it must be a regular array on the host.",
        ),
        ("def load(self, *args):\n    1 / 0", f"{PLAIN}: load raised ZeroDivisionError (adapter.py, line 6): division"),
        ("def step(self, *args):\n    return np.ones(3)", "step must return a dictionary of arrays, not ndarray"),
        (
            "def step(self, *args):\n    return {}",
            f"{PLAIN}: nothing was returned; `python -m minilop.verify explain {PLAIN}` lists the quantities.",
        ),
        (
            "def step(self, *args):\n    return {'weight/0': np.ones((3, 5))}",
            f"{PLAIN}, step 0: optimizer/weight/0 must have the shape (5, 3), not (3, 5).",
        ),
        (
            "def step(self, *args):\n    return {'weight/0': np.full((5, 3), 'one')}",
            "optimizer/weight/0 must be an array of numbers, not of <U3.",
        ),
        (
            "def step(self, *args):\n    return {'weights/0': np.ones(2)}",
            f"{PLAIN} has no quantity 'weights/0' (did you mean weight/0?); case.quantities, or `python -m minilop",
        ),
        (
            "def step(self, *args):\n    return {'weight/0': np.ones((5, 3)), 'optimizer/weight/0': np.ones((5, 3))}",
            "optimizer/weight/0 was returned both with and without its phase; return it once.",
        ),
        (
            "n = 0\ndef step(self, *args):\n    self.n += 1\n    return dict([*super().step(*args).items()][:self.n])",
            f"{PLAIN}, step 1: return the same quantities at every step; forward/features/1 differs.",
        ),
    ],
)
def test_an_adapter_that_gives_no_answer_is_a_sentence_and_status_2(body, sentence, write_adapter):
    status, said = say("run", "--adapter", write_adapter(body), "--case", PLAIN)
    assert status == 2
    assert f"error {PLAIN}" in said and sentence in said


def test_an_error_in_one_case_does_not_stop_the_next(write_adapter):
    """The other case still differs or agrees, and the status says that something could not be judged."""
    body = (
        f"def load(self, case, parameters):\n    assert case.id == {CONTRIBUTION!r}\n    super().load(case, parameters)"
    )
    status, said = say("run", "--adapter", write_adapter(body), "--case", PLAIN, "--case", CONTRIBUTION)
    assert status == 2
    assert "load raised AssertionError" in said and f"agrees {CONTRIBUTION}" in said
    assert "2 cases: 1 agree, 1 with an error." in said


@pytest.mark.parametrize(
    ("adapter", "sentence"),
    [
        ("nowhere.py:Adapter", "There is no file nowhere.py."),
        ("Adapter", "Name the adapter as FILE:CLASS, such as my_adapter.py:Adapter, not 'Adapter'."),
        ("no_such_module:Adapter", "no_such_module cannot be imported: ModuleNotFoundError"),
        ("minilop.verify.reference:Adaptor", "minilop.verify.reference has no class Adaptor; it has"),
    ],
)
def test_an_adapter_that_cannot_be_imported_is_a_sentence(adapter, sentence):
    status, said = say("run", "--adapter", adapter)
    assert status == 2 and sentence in said


@pytest.mark.parametrize("text", ["import not_there", "raise SystemExit(0)", "class Adapter(:"])
def test_a_file_that_raises_when_imported_is_a_sentence_and_not_success(text, tmp_path):
    (tmp_path / "broken.py").write_text(text)
    status, said = say("run", "--adapter", f"{tmp_path}/broken.py:Adapter")
    assert status == 2 and "broken.py cannot be imported: " in said


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (
            "class Adapter:\n    def load(self, *a): pass\n    def step(self, *a): return {}\n",
            ["--mode", "resync"],
            "The adapter Adapter has no method set_state, which --mode resync needs; add it or use --mode free.",
        ),
        ("class Adapter:\n    def __init__(self, size): pass\n", [], "Adapter() raised TypeError: "),
        ("class Adapter: pass\n", [], "The adapter Adapter has none of the methods load, call and curve."),
        ("def Adapter(): pass\n", [], "The adapter NoneType has none of the methods load, call and curve."),
        (
            "class Adapter:\n    def load(self, *a): pass\n",
            [],
            "The adapter Adapter has a method load but no method step; add step.",
        ),
    ],
)
def test_what_is_wrong_with_an_adapter_in_every_case_is_said_once(text, options, sentence, tmp_path):
    """Of all cases, not of one."""
    (tmp_path / "short.py").write_text(text)
    status, said = say("run", "--adapter", f"{tmp_path}/short.py:Adapter", *options)
    assert status == 2 and said.startswith(f"Error: {sentence}")
    assert said.count(sentence) == 1 and PLAIN not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--case", "sgd/plian"], "There is no case 'sgd/plian'; did you mean sgd/plain?"),
        (["--suite", "xyz"], "There is no suite 'xyz'; `python -m minilop.verify list` lists all."),
        (["--case", "paper"], "There is no case 'paper'; did you mean continual_backprop/paper?"),
        (["--case", "l2"], "l2 is a suite, not a case; it has l2/plain, l2/single_example."),
        (["--suite", "sgd/plain"], "There is no suite 'sgd/plain'; did you mean sgd?"),
        (["--report", "no/such/folder/report.json"], "--report must name a file in a folder that exists"),
    ],
)
def test_unknown_names_are_a_sentence(arguments, sentence):
    status, said = say("run", "--adapter", REFERENCE, *arguments)
    assert status == 2 and sentence in said
    if "--case" in arguments:
        status, said = say("explain", arguments[1])
        assert status == 2 and sentence in said


def test_vectors_that_were_changed_are_refused_and_others_are_still_judged(copied_vectors):
    path = copied_vectors / PLAIN / "expected.npz"
    arrays = case_files.read_arrays(path)
    arrays["optimizer/weight/0"][3] += 1e-12
    write_arrays(path, arrays)
    status, said = say("run", "--adapter", REFERENCE, "--case", PLAIN, "--case", CONTRIBUTION)
    assert status == 2
    assert f"{path} does not match the manifest (its SHA-256 differs)" in said
    assert f"agrees {CONTRIBUTION}" in said


def test_a_changed_tolerance_or_setting_is_noticed(copied_vectors):
    path = copied_vectors / PLAIN / "case.json"
    path.write_text(path.read_text().replace("1e-09", "1e+09"))
    status, said = say("run", "--adapter", REFERENCE, "--case", PLAIN)
    assert status == 2 and f"{path} does not match the manifest" in said


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (f"{PLAIN}/inputs.npz", b"PK", "; reinstall minilop."),
        (f"{PLAIN}/inputs.npz", None, "inputs.npz; reinstall minilop."),
        (f"{PLAIN}/case.json", b"{", "case.json does not match the manifest (its SHA-256 differs)"),
        ("manifest.json", b"{", "manifest.json is damaged; reinstall minilop."),
        ("manifest.json", b'{"schema": 1}', "manifest.json is damaged; reinstall minilop."),
        ("manifest.json", b"null", "manifest.json is damaged; reinstall minilop."),
        ("manifest.json", b"[1, 2]", "manifest.json is damaged; reinstall minilop."),
        ("manifest.json", b"[" * 200_000 + b"]" * 200_000, "manifest.json is damaged; reinstall minilop."),
        ("manifest.json", b"\xff\xfe", "manifest.json is damaged; reinstall minilop."),
        ("manifest.json", b'{"schema": 1, "cases": null}', "manifest.json is damaged; reinstall minilop."),
        ("manifest.json", b'{"schema": 1, "cases": {}}', "There is no case 'sgd/plain'"),
        ("manifest.json", b'{"schema": 1, "cases": {"sgd/plain": null}}', "does not match the manifest"),
        (
            "manifest.json",
            b'{"schema": 99, "cases": {}}',
            "manifest.json has schema 99; this version of minilop reads schema 1.",
        ),
        ("manifest.json", None, "manifest.json cannot be read (No such file or directory); reinstall minilop."),
    ],
)
def test_damaged_vectors_are_a_sentence(name, content, sentence, copied_vectors):
    if content is None:
        (copied_vectors / name).unlink()
    else:
        (copied_vectors / name).write_bytes(content)
    status, said = say("run", "--adapter", REFERENCE, "--case", PLAIN)
    assert status == 2 and sentence in said


@pytest.mark.parametrize("text", [b"null", b"[]", b"[" * 200_000 + b"]" * 200_000, b"{}"])
def test_a_case_that_is_described_wrongly_is_a_sentence_in_every_command(text, copied_vectors):
    """Even where the manifest has the digest of the wrong description."""
    describe(copied_vectors, PLAIN, text)
    for command in (["run", "--adapter", REFERENCE, "--case", PLAIN], ["explain", PLAIN], ["inputs", PLAIN], ["list"]):
        assert say(*command)[1].count(f"{PLAIN}/case.json is damaged; reinstall minilop.") == 1
    for name, value in {"conventions": None, "flags": None, "quantities": [], "steps": "many"}.items():
        change_description(copied_vectors, CONTRIBUTION, **{name: value})
        assert "case.json is damaged; reinstall minilop." in say("explain", CONTRIBUTION)[1], name


# --- Other languages --------------------------------------------------------------------------------------------------


def played(case_id, mistake=None):
    """What the reference finds, as a program in any language would write it down."""
    return run_adapter(MISTAKES[mistake].make() if mistake else Reference(), load_case(case_id))


def test_compare_judges_arrays_that_were_written_elsewhere(tmp_path):
    trace = played(CONTRIBUTION, "age_at_least")
    write_arrays(tmp_path / "wrong.npz", {"selection/replaced/0": trace["selection/replaced/0"]})
    status, said = say("compare", CONTRIBUTION, tmp_path / "wrong.npz")
    assert status == 1 and "mistake age_at_least" in said and "expected False got True" in said
    right = played(CONTRIBUTION)
    write_arrays(
        tmp_path / "right.npz", {"weight/0": right["replacement/weight/0"], "outputs": right["forward/outputs"]}
    )
    status, said = say("compare", CONTRIBUTION, tmp_path / "right.npz")
    assert status == 0 and f"2 of {len(load_case(CONTRIBUTION).expected)} quantities" in said


def test_compare_takes_float32_for_what_it_is(tmp_path):
    rounded = {name: array.astype("float32") for name, array in played(PLAIN).items()}
    write_arrays(tmp_path / "single.npz", rounded)
    assert say("compare", PLAIN, tmp_path / "single.npz")[0] == 1
    assert say("compare", PLAIN, tmp_path / "single.npz", "--dtype", "float32")[0] == 0


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({}, f"{PLAIN}: nothing was returned"),
        ({"weights": np.zeros(3)}, f"{PLAIN} has no quantity 'weights'"),
        ({"weight/0": np.zeros((5, 3))}, "optimizer/weight/0 must have the shape (60, 5, 3), not (5, 3)."),
        (
            {"weight/0": np.zeros((60, 5, 3)), "optimizer/weight/0": np.zeros((60, 5, 3))},
            "has optimizer/weight/0 both with and without its phase; write it once.",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_a_sentence(arrays, sentence, tmp_path):
    write_arrays(tmp_path / "actual.npz", arrays)
    status, said = say("compare", PLAIN, tmp_path / "actual.npz")
    assert status == 2 and sentence in said


def test_a_missing_file_or_a_pickle_is_a_sentence(tmp_path):
    assert say("compare", PLAIN, tmp_path / "no.npz") == (2, f"Error: There is no file {tmp_path}/no.npz.")
    np.savez(tmp_path / "pickle.npz", outputs=np.array([{}], object))
    status, said = say("compare", PLAIN, tmp_path / "pickle.npz")
    assert status == 2 and "cannot be read as an .npz file without pickles" in said


# --- Curves -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("errors", "outcome", "status"),
    [
        ("error", "agrees", 0),
        ("2 * error", "differs", 1),
        ("np.concatenate([0.1 * error[:5], 1.9 * error[:5]])", "error", 2),  # runs so far apart say nothing
        ("error[0]", "error", 2),
    ],
)
def test_a_curve_is_judged_by_its_mean(errors, outcome, status, write_adapter, tmp_path):
    case = next(case for case in case_files.load_cases() if case.kind == "curve")
    adapter = write_adapter(
        f"def curve(self, case):\n    import numpy as np\n    error = case.expected['curve/error']\n    return {errors}"
    )
    found, said = say("run", "--adapter", adapter, "--case", case.id, "--report", tmp_path / "report.json")
    assert found == status and f"{outcome} {case.id}" in said
    (told,) = json.loads((tmp_path / "report.json").read_text())["cases"]
    assert told["outcome"] == outcome and told["reason"]
    write_arrays(
        tmp_path / "actual.npz", {"curve/error": eval(errors, {"error": case.expected["curve/error"], "np": np})}
    )
    assert say("compare", case.id, tmp_path / "actual.npz")[0] == status
    write_arrays(tmp_path / "mean.npz", {"curve/mean": case.expected["curve/mean"]})
    assert (
        "is judged only by curve/error (runs, bins); return that, not curve/mean."
        in say("compare", case.id, tmp_path / "mean.npz")[1]
    )


# --- Words ------------------------------------------------------------------------------------------------------------


def test_list_names_every_case_with_its_comment():
    status, said = say("list")
    assert status == 0
    for case in case_files.load_cases():
        assert f"{case.id} {' '.join(case.comment.split())}" in said


def test_explain_says_what_is_given_and_expected_and_where_it_lies():
    status, said = say("explain", CONTRIBUTION)
    assert status == 0
    for words in (
        "layers 3, 5, 4, 2",
        f"maturity_threshold {load_case(CONTRIBUTION).settings['maturity_threshold']}",
        "fresh_weight/1 (4, 5)",
        "selection (minilop/plasticity/continual_backprop.py) replaced/0 (5,) bool",
        *(f"{name} {MISTAKES[name].says}" for name in load_case(CONTRIBUTION).flags if name in MISTAKES),
        f"files: {case_files.VECTORS / CONTRIBUTION}",
    ):
        assert words in said


def test_every_case_can_be_explained():
    for case_id in case_files.case_ids():
        assert say("explain", case_id)[0] == 0, case_id


# --- Explanations -----------------------------------------------------------------------------------------------------


def test_every_meaning_belongs_to_a_convention_of_some_case():
    found = {
        pair
        for case in case_files.load_cases()
        for pair in case.conventions.items()
        if isinstance(pair[1], (str, bool))
    }
    assert MEANINGS.keys() <= found


def test_explain_says_what_conventions_mean():
    _, said = say("explain", CONTRIBUTION)
    assert "utility contribution outgoing |W| times mean |h|" in said
    assert "rate_counts eligible quota per step: replacement_rate times the number of units with age > maturity" in said
