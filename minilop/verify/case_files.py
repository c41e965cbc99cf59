"""The files of the cases: how they are read, chosen, and checked against the digests in the manifest."""

import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minilop.verify.case import Arrays, Case, VerifyError

SCHEMA = 1  # of case.json; increase it when a reader of the old schema would misread the new one
VECTORS = Path(__file__).parent / "vectors" / "v1"
OBJECTS = ("conventions", "hyperparameters", "sizes", "tolerances", "margins", "quantities")  # in case.json


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays: for each, in the order of their names, a line of text, then the values in C order.

    The line is "name dtype shape", the latter two as the .npy format writes them: "x <f8 (60, 3, 4)", "y |b1 (60,)",
    "state/last_value <f8 ()". Numbers are little-endian.
    """
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def load_case(case_id: str, vectors: Path | None = None) -> Case:
    """The case of that name. Raises VerifyError if there is none, or if a file does not match the manifest."""
    vectors = vectors or VECTORS
    manifest = read_manifest(vectors)
    if case_id not in manifest["cases"]:
        raise _unknown_name("case", case_id, manifest["cases"])
    folder, digests = vectors / case_id, manifest["cases"][case_id]
    text = _read(folder / "case.json")
    _check_digest(folder / "case.json", hashlib.sha256(text).hexdigest(), digests, "case")
    described = _checked_description(
        folder / "case.json", text, **dict.fromkeys(OBJECTS, dict), flags=list, comment=str, steps=int
    )
    arrays = {}
    for name in ("inputs", "expected"):
        path = folder / f"{name}.npz"
        try:
            arrays[name] = read_arrays(path)
        except VerifyError as damage:
            raise VerifyError(f"{str(damage).removesuffix('.')}; reinstall minilop.") from None
        _check_digest(path, digest(arrays[name]), digests, name)
    order = described["quantities"]  # an archive does not guarantee it
    arrays["expected"] = {name: arrays["expected"][name] for name in order if name in arrays["expected"]}
    fields: dict[str, Any] = {name: described[name] for name in Case.__dataclass_fields__ if name in described}
    fields["flags"] = tuple(fields["flags"])
    return Case(**fields, inputs=arrays["inputs"], expected=arrays["expected"])


def case_ids(vectors: Path | None = None) -> list[str]:
    """The ids of all cases, suite by suite."""
    ids = list(read_manifest(vectors)["cases"])
    suites = list(dict.fromkeys(case_id.split("/")[0] for case_id in ids))
    return sorted(ids, key=lambda case_id: suites.index(case_id.split("/")[0]))


def load_cases(suite: str | None = None, vectors: Path | None = None) -> Iterator[Case]:
    """All cases, or those of one suite. Raises VerifyError if there is no such suite."""
    ids = choose_cases((), () if suite is None else (suite,), vectors)
    return (load_case(case_id, vectors) for case_id in ids)


def choose_cases(names: Sequence[str], suites: Sequence[str], vectors: Path | None = None) -> list[str]:
    """The ids of the named cases and of all cases in the named suites; of all cases if both lists are empty.

    Raises VerifyError for a name that does not exist.
    """
    ids = case_ids(vectors)
    known = list(dict.fromkeys(case_id.split("/")[0] for case_id in ids))
    for what, asked, there in (("case", names, ids), ("suite", suites, known)):
        for name in asked:
            if name not in there:
                raise _unknown_name(what, name, there)
    if not names and not suites:
        return ids
    return [case_id for case_id in ids if case_id in names or case_id.split("/")[0] in suites]


def read_manifest(vectors: Path | None = None) -> dict[str, Any]:
    """Version and license of the set, and the digests of each case. Raises VerifyError if it cannot be used."""
    path = (vectors or VECTORS) / "manifest.json"
    manifest = _checked_description(path, _read(path), schema=int, cases=dict)
    if manifest["schema"] != SCHEMA:
        raise VerifyError(f"{path} has schema {manifest['schema']}; this version of minilop reads schema {SCHEMA}.")
    return manifest


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file, or of a .json file of nested lists. Raises VerifyError if it cannot be read."""
    is_json = path.suffix.lower() == ".json"
    try:
        if not is_json:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        text = path.read_bytes()
    except FileNotFoundError:
        raise VerifyError(f"There is no file {path}.") from None
    except Exception as problem:  # noqa: BLE001 - a damaged file can raise almost any error
        kind = "a file" if is_json else "an .npz file without pickles"
        raise VerifyError(f"{path} cannot be read as {kind} ({type(problem).__name__}).") from None
    return {name: _from_lists(path, name, lists) for name, lists in json_object(path, text).items()}


def json_object(path: Path, text: bytes) -> dict[str, Any]:
    """The object in a JSON file. Raises VerifyError if the file holds anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as problem:
        place = (
            f" at line {problem.lineno}, column {problem.colno}" if isinstance(problem, json.JSONDecodeError) else ""
        )
        raise VerifyError(f"{path} cannot be read as JSON{place or ' in UTF-8, nested as deep as arrays'}.") from None
    if not isinstance(found, dict):
        raise VerifyError(f'{path} must hold a JSON object, {{"name": value, ...}}.')
    return found


def finite(value: Any) -> Any:
    """`value` prepared for JSON, which has no NaN and no infinity: they become strings, at any depth."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _from_lists(path: Path, name: str, lists: Any) -> np.ndarray:
    try:
        array = np.array(lists)
        return array if array.dtype.kind in "iub" else np.array(lists, float)  # "nan" becomes NaN, and so does null
    except (ValueError, TypeError, OverflowError):
        raise VerifyError(f"{path}: {name} must be numbers, in lists of lists that form a regular array.") from None


def _checked_description(path: Path, text: bytes, **kinds: type) -> dict[str, Any]:
    """A JSON object of the kit's own files. Raises VerifyError if entries are missing or have other types."""
    try:
        found = json_object(path, text)
    except VerifyError:
        found = {}
    if not all(isinstance(found.get(name), kind) for name, kind in kinds.items()):
        raise VerifyError(f"{path} is damaged; reinstall minilop.")
    return found


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to a compressed .npz file."""
    names: dict[str, Any] = dict(arrays)
    np.savez_compressed(path, **names)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise VerifyError(f"{path} cannot be read ({problem.strerror}); reinstall minilop.") from None


def _check_digest(path: Path, found: str, digests: Any, name: str) -> None:
    if not isinstance(digests, dict) or digests.get(name) != found:
        raise VerifyError(f"{path} does not match the manifest (its SHA-256 differs); reinstall minilop.")


def _unknown_name(what: str, name: str, names: Iterable[str]) -> VerifyError:
    """The error for a case or a suite that does not exist, with suggestions of similar names."""
    if what == "case" and (of_suite := [each for each in names if each.startswith(f"{name}/")]):
        return VerifyError(f"{name} is a suite, not a case; it has {', '.join(of_suite)}.")
    near = [each for each in names if name in each.split("/") or each in name.split("/")]
    near = near or difflib.get_close_matches(name, list(names), n=1)
    meant = f"did you mean {' or '.join(near)}?" if near else "`python -m minilop.verify list` lists all."
    return VerifyError(f"There is no {what} {name!r}; {meant}")
