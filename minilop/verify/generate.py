"""Generates the vectors: `python -m minilop.verify.generate FOLDER`, to release a new version of the set.

The reference runs each case of `catalogue/` once, in float64. A case in which rounding could decide a choice is
rejected. Existing cases keep their arrays bit for bit; an existing case whose numbers have changed is rejected.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minilop.verify.case import Arrays, Case
from minilop.verify.case_files import SCHEMA, VECTORS, digest, read_arrays, write_arrays
from minilop.verify.catalogue import FAMILIES
from minilop.verify.reference import REFERENCES

VERSION = "1.1.0"  # of the set: major for changed numbers, minor for new cases, patch for changed descriptions
LICENSE = "CC0-1.0"
SMALLEST_MARGIN = 1e-3  # of a choice; float32 rounding changes its inputs by at most a tenth of this
SMALLEST_RELU_MARGIN = 3e-4  # of a relu's input, which affects no choice; among thousands, some are always near 0


def make_cases() -> Iterator[Case]:
    """All cases with their arrays, in memory. Raises ValueError for a case in which rounding could decide a choice."""
    for family in FAMILIES:
        for description in family.DESCRIPTIONS:
            yield make_case(description.case(family.make_inputs(description.case({}))))


def make_case(case: Case) -> Case:
    """Complete a case that has its inputs: add the initial state, the expected results and the margins."""
    reference = REFERENCES[case.kind]()
    if case.kind not in ("function", "curve"):
        reference.load(case, case.parameters)
        case.inputs.update({f"state/{name}": array for name, array in reference.state().items()})
    case = replace(case, expected=run_reference(reference, case), margins=reference.margins)
    for choice, margin in case.margins.items():
        if margin < (SMALLEST_RELU_MARGIN if choice == "relu" else SMALLEST_MARGIN):
            raise ValueError(f"{case.id}: {choice} is decided by {margin:.1e}; give the case another seed.")
    return case


def run_reference(reference: Any, case: Case) -> Arrays:
    """The results of the reference at each step, (T, ...)."""
    if case.kind == "curve":
        return reference.expected_curve(case)
    found = []
    for step in range(case.steps):
        if case.kind == "function":
            found.append(reference.call(case.settings["function"], case.arguments(step)))
        else:
            found.append(reference.step(*case.example(step)))
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def write_vectors(folder: Path) -> None:
    """Write all cases and the manifest into `folder`."""
    manifest: dict[str, Any] = {"schema": SCHEMA, "version": VERSION, "licence": LICENSE, "cases": {}}
    for case in make_cases():
        case_folder = folder / case.id
        if case_folder.exists():
            case = stored(case, case_folder)
        else:
            case_folder.mkdir(parents=True)
            write_arrays(case_folder / "inputs.npz", case.inputs)
            write_arrays(case_folder / "expected.npz", case.expected)
        digests = {"inputs": digest(case.inputs), "expected": digest(case.expected)}
        text = as_text({**description_of(case), "sha256": digests}).encode()
        path = case_folder / "case.json"
        if not path.exists() or {**json.loads(path.read_bytes()), "generator": VERSION} != json.loads(text):
            path.write_bytes(text)
        text = path.read_bytes()
        manifest["cases"][case.id] = {"case": hashlib.sha256(text).hexdigest(), **digests}
    (folder / "manifest.json").write_bytes((json.dumps(manifest, indent=1) + "\n").encode())


def stored(case: Case, folder: Path) -> Case:
    """The case with the arrays stored in the folder. Raises ValueError if its numbers have changed."""
    inputs, expected = (read_arrays(folder / f"{name}.npz") for name in ("inputs", "expected"))
    for old, new in ((inputs, case.inputs), (expected, case.expected)):
        if old.keys() != new.keys() or not all(is_close(old[name], new[name]) for name in old):
            raise ValueError(f"{case.id}: its numbers are no longer those of the files; give the new case another id.")
    return replace(case, inputs=inputs, expected={name: expected[name] for name in case.expected})


def is_close(old: np.ndarray, new: np.ndarray) -> bool:
    """Whether arrays are equal up to rounding, which 16,000 steps amplify to 1e-8."""
    scale = abs(old).max(initial=0) if old.dtype.kind == "f" else 0
    return old.shape == new.shape and bool(np.allclose(new, old, rtol=0, atol=1e-7 * scale, equal_nan=True))


def description_of(case: Case) -> dict[str, Any]:
    """The contents of `case.json`, without the digests."""
    return {
        "schema": SCHEMA,
        "generator": VERSION,
        "id": case.id,
        "kind": case.kind,
        "comment": case.comment,
        "flags": list(case.flags),
        "conventions": dict(case.conventions),
        "hyperparameters": dict(case.hyperparameters),
        "sizes": dict(case.sizes),
        "dtype": case.dtype,
        "steps": case.steps,
        "seed": case.seed,
        "tolerances": dict(case.tolerances),
        "margins": {name: float(f"{margin:.3g}") for name, margin in case.margins.items()},
        "phases": list(case.phases),
        "quantities": {name: list(array.shape[1:]) for name, array in case.expected.items()},
    }


def as_text(described: dict[str, Any]) -> str:
    """JSON with one entry per line; a list of numbers or strings stays on one line."""
    text = json.dumps(described, indent=1)
    in_one_line = re.sub(r"\[[^][{}]*]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)
    return in_one_line.replace("[ ", "[").replace(" ]", "]") + "\n"


if __name__ == "__main__":
    write_vectors(Path(sys.argv[1]) if sys.argv[1:] else VECTORS)
