"""Makes the vectors: `python -m minilop.verify.generate FOLDER`, for whoever gives the set another version.

The reference plays each case of `catalogue/` once, in float64. A case in which rounding could decide a choice is refused.
Cases that are there already keep their arrays to the bit; one whose numbers have changed is refused.
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

from minilop.verify.case import SCHEMA, VECTORS, Arrays, Case, digest, read_arrays, write_arrays
from minilop.verify.catalogue import FAMILIES
from minilop.verify.reference import REFERENCES

VERSION = "1.1.0"  # of the set: its last number is for words, the middle one for new cases, the first for other numbers
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
        if place.exists():
            case = stored(case, place)
        else:
            place.mkdir(parents=True)
            write_arrays(place / "inputs.npz", case.inputs)
            write_arrays(place / "expected.npz", case.expected)
        digests = {"inputs": digest(case.inputs), "expected": digest(case.expected)}
        text = as_text({**description_of(case), "sha256": digests}).encode()
        path = place / "case.json"
        if not path.exists() or {**json.loads(path.read_bytes()), "generator": VERSION} != json.loads(text):
            path.write_bytes(text)
        text = path.read_bytes()
        manifest["cases"][case.id] = {"case": hashlib.sha256(text).hexdigest(), **digests}
    (folder / "manifest.json").write_bytes((json.dumps(manifest, indent=1) + "\n").encode())


def stored(case: Case, place: Path) -> Case:
    """The case with the arrays that are in the folder. Raises ValueError if its numbers are others."""
    inputs, expected = (read_arrays(place / f"{name}.npz") for name in ("inputs", "expected"))
    for old, new in ((inputs, case.inputs), (expected, case.expected)):
        if old.keys() != new.keys() or not all(is_near(old[name], new[name]) for name in old):
            raise ValueError(f"{case.id}: its numbers are no longer those of the files; give the new case another id.")
    return replace(case, inputs=inputs, expected={name: expected[name] for name in case.expected})


def is_near(old: np.ndarray, new: np.ndarray) -> bool:
    """Whether arrays are the same but for rounding, which 16,000 steps amplify to 1e-8."""
    size = abs(old).max(initial=0) if old.dtype.kind == "f" else 0
    return old.shape == new.shape and bool(np.allclose(new, old, rtol=0, atol=1e-7 * size, equal_nan=True))


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
