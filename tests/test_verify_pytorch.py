"""The vectors against learners written a second time, in plain PyTorch: pytorch_adapters/, which imports no minilop.

Where both agree in every number, the vectors say what the equations say, and not what one program happens to do.
"""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilop.verify import curves
from minilop.verify.adapter import NotCovered, load_adapter, run_adapter
from minilop.verify.case_files import case_ids, load_case, load_cases
from minilop.verify.comparison import compare
from minilop.verify.diagnosis import diagnose

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # tiny arrays

from pytorch_adapter import Adapter
from pytorch_adapters import continual_backprop, learners, replacement

FOLDER = Path(__file__).parent
DTYPES = ("float64", "float32")
STATELESS = ("functions", "slowly_changing_regression")  # suites without steps from state to state


@pytest.mark.campaign
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case_id", case_ids())
def test_pytorch_agrees_from_the_first_step_to_the_last(case_id: str, dtype: str) -> None:
    """And returns every quantity, so that none of them is what minilop alone says."""
    case = load_case(case_id).cast(dtype)
    actual = run_adapter(Adapter(), case, "free")
    if case.kind == "curve":  # of random numbers of its own
        verdict_of_curve = curves.judge(case, actual["curve/error"])
        assert verdict_of_curve.overall == "agrees", verdict_of_curve.says
        return
    verdict = compare(case, actual)
    assert verdict.agrees, verdict.difference
    assert verdict.not_returned == ()


@pytest.mark.campaign
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case_id", [case_id for case_id in case_ids() if case_id.split("/")[0] not in STATELESS])
def test_pytorch_agrees_step_by_step(case_id: str, dtype: str) -> None:
    """Every step from the reference's state: so `state` is all that goes from one step to the next."""
    case = load_case(case_id).cast(dtype)
    verdict = compare(case, run_adapter(Adapter(), case, "resync"))
    assert verdict.agrees, verdict.difference


@pytest.mark.quick
def test_adapter_is_found_by_file_and_class() -> None:
    assert load_adapter(f"{FOLDER / 'pytorch_adapter.py'}:Adapter").__name__ == "Adapter"


@pytest.mark.quick
def test_pytorch_side_imports_nothing_of_minilop() -> None:
    files = [FOLDER / "pytorch_adapter.py", *(FOLDER / "pytorch_adapters").glob("*.py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("minilop", "problems") for name in names), file


# --- a mistake in PyTorch is recognized by that of minilop's reference -----------------------------------------------


class RawAverage(continual_backprop.ContinualBackprop):
    def judge(self, layer: Any, values: Any, found: Any) -> Any:
        super().judge(layer, values, found)
        if (name := f"age_and_utility/bias_corrected_utility/{layer.number}") in found:
            found[name] = self.utility[layer.number].clone()
        return self.utility[layer.number]


class CorrectsByTheStep(continual_backprop.ContinualBackprop):
    num_steps = 0

    def step(self, features: Any, draws: Any) -> Any:
        self.num_steps += 1
        return super().step(features, draws)

    def correction(self, number: int) -> Any:
        return 1 - self["decay_rate"] ** torch.full_like(self.age[number], self.num_steps)


class KeepsOutgoingWeights(replacement.Replacer):
    def readers(self, layer: Any) -> Any:
        return [] if self.replacing else super().readers(layer)

    replacing = False

    def replace(self, layer: Any, unit: int, drawn: Any) -> None:
        self.replacing = True
        super().replace(layer, unit, drawn)
        self.replacing = False


class CountsFromTheThreshold(continual_backprop.ContinualBackprop):
    def __getitem__(self, name: str) -> Any:
        return self.settings[name] - 1 if name == "maturity_threshold" else self.settings[name]


@pytest.mark.parametrize(
    "name, place, mistaken",
    [
        ("raw_running_average", "ContinualBackprop", RawAverage),
        ("correction_by_step", "ContinualBackprop", CorrectsByTheStep),
        ("outgoing_weights_kept", "Replacer", KeepsOutgoingWeights),
        ("age_at_least", "ContinualBackprop", CountsFromTheThreshold),
    ],
)
def test_mistake_in_pytorch_gets_its_name(
    name: str, place: str, mistaken: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the implementation that makes it shares no line with the reference that is compared with it."""
    monkeypatch.setattr(learners, place, mistaken)
    for case in load_cases("continual_backprop"):
        actual = run_adapter(Adapter(), case)
        if not compare(case, actual).agrees:
            assert [found.name for found in diagnose(case, actual)[0]] == [name], case.id
            return
    pytest.fail("no case finds it")


@pytest.mark.quick
def test_adapter_says_what_it_does_not_know() -> None:
    """A learner of another network is a case that is left out, not a mistake."""
    case = load_case("sgd/plain")
    case.sizes["network"] = "transformer"  # type: ignore[index]
    with pytest.raises(NotCovered, match="transformer"):
        run_adapter(Adapter(), case)


def test_vectors_are_left_as_they_were() -> None:
    """An adapter may change the arrays that it is given: they are copies."""
    case = load_case("continual_backprop/contribution")
    before = {name: array.copy() for name, array in case.inputs.items()}
    run_adapter(Adapter(), case)
    assert all(np.array_equal(before[name], array) for name, array in case.inputs.items())
