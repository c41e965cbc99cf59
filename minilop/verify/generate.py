"""Makes the vectors: `python -m minilop.verify.generate FOLDER`, for whoever gives the set another version.

The reference plays each case of `catalogue/` once, in float64. A case in which rounding could decide a choice is refused.
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

from minilop.verify.case import SCHEMA, VECTORS, Arrays, Case, digest, write_arrays
from minilop.verify.catalogue import FAMILIES
from minilop.verify.reference import REFERENCES

VERSION = "1.0.0"  # of the set: its last number is for words, the middle one for new cases, the first for other numbers
LICENCE = "CC0-1.0"
SMALLEST_MARGIN = 1e-3  # of a choice; rounding in float32 moves what it depends on by a tenth of that at most
SMALLEST_RELU = (
    3e-4  # the same of a relu's argument, which has no part in what is chosen; one of thousands is always near 0
)


def make_cases() -> Iterator[Case]:
    """All cases with their arrays, made in memory. Raises ValueError for one in which rounding could decide a choice."""
    for family in FAMILIES:
        for description in family.DESCRIPTIONS:
            yield make_case(description.case(family.make_inputs(description.case({}))))


def make_case(case: Case) -> Case:
    """A case with its state before the first step, what is expected, and margins, from one with its inputs."""
    reference = REFERENCES[case.kind]()
    if case.kind not in ("function", "curve"):
        reference.load(case, case.parameters)
        case.inputs.update({f"state/{name}": array for name, array in reference.state().items()})
    case = replace(case, expected=play(reference, case), margins=reference.margins)
    for choice, margin in case.margins.items():
        if margin < (SMALLEST_RELU if choice == "relu" else SMALLEST_MARGIN):
            raise ValueError(f"{case.id}: {choice} is decided by {margin:.1e}; give the case another seed.")
    return case


def play(reference: Any, case: Case) -> Arrays:
    """What the reference finds at each step, (T, ...)."""
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
    """All cases and the manifest below `folder`."""
    manifest: dict[str, Any] = {"schema": SCHEMA, "version": VERSION, "licence": LICENCE, "cases": {}}
    for case in make_cases():
        place = folder / case.id
        place.mkdir(parents=True, exist_ok=True)
        write_arrays(place / "inputs.npz", case.inputs)
        write_arrays(place / "expected.npz", case.expected)
        digests = {"inputs": digest(case.inputs), "expected": digest(case.expected)}
        described = {**description_of(case), "sha256": digests}
        text = as_text(described).encode()
        (place / "case.json").write_bytes(text)
        manifest["cases"][case.id] = {"case": hashlib.sha256(text).hexdigest(), **digests}
    (folder / "manifest.json").write_bytes((json.dumps(manifest, indent=1) + "\n").encode())


def description_of(case: Case) -> dict[str, Any]:
    """What `case.json` says, but for the digests."""
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
    """JSON with a line an entry, and a list of numbers or words in one."""
    text = json.dumps(described, indent=1)
    in_one_line = re.sub(r"\[[^][{}]*]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)
    return in_one_line.replace("[ ", "[").replace(" ]", "]") + "\n"


if __name__ == "__main__":
    write_vectors(Path(sys.argv[1]) if sys.argv[1:] else VECTORS)
