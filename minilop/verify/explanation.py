"""Describes a case in words: its settings, its inputs, and the expected quantities in order."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from minilop.verify import case_files
from minilop.verify.case import Case, below
from minilop.verify.case_files import finite, json_object, load_case
from minilop.verify.conventions import meaning
from minilop.verify.mistakes import MISTAKES
from minilop.verify.pages import page_of

WIDTH = 120


def explain(case: Case) -> str:
    """Everything that an implementer needs to know about a case."""
    lines = [
        textwrap.fill(f"{case.id}: {case.comment}", WIDTH, subsequent_indent="    "),
        *_block("sizes", case.sizes),
        *_block("conventions", case.conventions),
        *_block("hyperparameters", case.hyperparameters),
        *_block("steps, seed", {"steps": case.steps, "seed": case.seed}),
        *_block("tolerances, relative to the largest magnitude of a quantity", case.tolerances),
    ]
    if case.margins:
        lines += _block("relative margins of the closest choices (rounding decides no choice)", case.margins)
    if case.parameters:
        lines += ["", "parameters given to load", *_shapes(case.parameters)]
    others = {name: array for name, array in case.initial_state.items() if name not in case.parameters}
    if others:
        lines += ["", "the remaining state before the first step, as given to set_state", *_shapes(others)]
    given = {name: array for name, array in case.inputs.items() if name.split("/")[0] in ("x", "y")}
    lines += ["", "given at each step", *_shapes(given, one_entry_a_step=True)]
    draws = below(case.inputs, "draws")
    if draws:
        lines += [
            "",
            "draws of each step, unscaled, by slot: to replace unit r, use row r (docs/verify.md)",
            *_shapes(draws, one_entry_a_step=True),
        ]
    of_steps = case.kind != "curve"
    lines += ["", "expected at each step, by phase, in this order" if of_steps else "expected"]
    for phase in case.phases:
        inside = below(case.expected, phase)
        page = page_of(case, f"{phase}/{next(iter(inside))}")
        lines += [f"  {phase}   ({page})", *_shapes(inside, one_entry_a_step=of_steps)]
    if case.flags:
        lines += ["", "known mistakes that the case is designed to catch"]
        for name in case.flags:
            lines += _wrapped(name, MISTAKES[name].says if name in MISTAKES else "")
    lines += ["", f"files: {case_files.VECTORS / case.id}"]
    return "\n".join(lines)


def inputs_as_json(case_id: str) -> dict[str, Any]:
    """The contents of case.json, with the arrays as nested lists under "inputs"; NaN and infinity become strings."""
    path, given = case_files.VECTORS / case_id / "case.json", load_case(case_id).inputs
    lists = {name: array.tolist() for name, array in given.items()}
    return finite({**json_object(path, path.read_bytes()), "inputs": lists})


def _block(title: str, values: Mapping[str, Any]) -> list[str]:
    if not values:
        return []
    rows = [(name, _written(value), meaning(name, value)) for name, value in values.items()]
    width = max(len(written) for _, written, _ in rows)
    return ["", title, *(f"    {name:26}{written:{width}}    {says}".rstrip() for name, written, says in rows)]


def _written(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _shapes(arrays: Mapping[str, np.ndarray], one_entry_a_step: bool = False) -> list[str]:
    kinds = {"b": "  bool", "i": "  integers", "u": "  integers"}
    return [
        f"    {name:34}{array.shape[1:] if one_entry_a_step else array.shape}{kinds.get(array.dtype.kind, '')}"
        for name, array in arrays.items()
    ]


def _wrapped(name: str, says: str) -> list[str]:
    start, rest = f"    {name:32}  ", " " * 38
    lines = textwrap.wrap(says, WIDTH, initial_indent=start, subsequent_indent=rest, break_on_hyphens=False)
    return lines or [start.rstrip()]
