"""A case of the verification kit: what is given, what is expected, and how exactly.

A case lies in `vectors/v1/<suite>/<name>/` and is three files. `case.json` says what it is; `inputs.npz` and
`expected.npz` hold arrays under names that are paths:

    inputs      state/<quantity>/<layer>             before the first step; parameters are weight and bias
                x, y                                 one entry a step, (T, ...); x/<argument> where there are several
                draws/<purpose>/<layer>              one entry a step: the random numbers a step may use, by slot
    expected    <phase>/<quantity>/<layer>           one entry a step, in the order in which they come to be

A single run: no array has a runs axis. Features come first and the batch last, inputs (I, B), weights (O, I) or
(O, C, k, k), biases and all else that units have (H,). Layers are counted from 0, those with weights alone.

A draw belongs to a slot, not to a place in a sequence: an implementation that replaces unit r takes row r of
`draws/fresh_weight`, so a wrong choice of a unit does not change what comes later.
"""

import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 1  # of case.json; raise it when a reader of the old one would misread the new one
VECTORS = Path(__file__).parent / "vectors" / "v1"
OBJECTS = ("conventions", "hyperparameters", "sizes", "tolerances", "margins", "quantities")  # in case.json
PARAMETERS = ("weight", "bias", "normalization_scale", "normalization_bias", "weights", "log_std")

Arrays = dict[str, np.ndarray]


class VerifyError(Exception):
    """Nothing can be compared; the message is one sentence that says what was found and what was expected."""


@dataclass(frozen=True)
class Case:
    """One case. All arrays are float64, but for those of choices and counts; `cast` makes them float32.

    id                suite and name, "continual_backprop/contribution"
    kind              "learner", "linear", "prediction", "function", "ppo" or "curve": which protocol it follows
    comment           what it is, in a sentence
    flags             the known mistakes (mistakes/) that it is there to catch
    conventions       choices by name, where paper and published code differ
    hyperparameters   numbers by name
    sizes             of network, mini-batch and the like
    steps             T
    tolerances        by dtype: how far a number may be off, as a share of the largest of its quantity in the whole case
    margins           by kind of choice (which unit, how many): how far, as a share, the closest one was from being made
                      otherwise. Rounding decides none as long as this is far above the tolerance
    seed              of all draws; `catalogue/` says what was drawn and how
    """

    id: str
    kind: str
    comment: str
    flags: tuple[str, ...]
    conventions: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    sizes: Mapping[str, Any]
    steps: int
    tolerances: Mapping[str, float]
    seed: int
    dtype: str = "float64"
    margins: Mapping[str, float] = field(default_factory=dict)
    inputs: Arrays = field(default_factory=dict, repr=False)
    expected: Arrays = field(default_factory=dict, repr=False)

    @property
    def suite(self) -> str:
        """The part of `id` before the stroke."""
        return self.id.split("/")[0]

    @property
    def settings(self) -> dict[str, Any]:
        """Conventions and hyperparameters together."""
        return {**self.conventions, **self.hyperparameters}

    @property
    def tolerance(self) -> float:
        """That of the present dtype."""
        return self.tolerances[self.dtype]

    @property
    def initial_state(self) -> Arrays:
        """State before the first step, by "<quantity>/<layer>"."""
        return below(self.inputs, "state")

    @property
    def parameters(self) -> Arrays:
        """Parameters before the first step: "weight/0", "bias/0", ..."""
        return {name: array for name, array in self.initial_state.items() if last_quantity(name) in PARAMETERS}

    @property
    def quantities(self) -> tuple[str, ...]:
        """Full names of all that is expected of a step, in order."""
        return tuple(self.expected)

    @cached_property
    def phases(self) -> tuple[str, ...]:
        """In order."""
        return tuple(dict.fromkeys(name.split("/")[0] for name in self.expected))

    @cached_property
    def final_names(self) -> dict[str, str]:
        """The name without its phase of each quantity, to its full name in the last phase that has it."""
        return {name.split("/", 1)[1]: name for name in self.expected}

    def final_name(self, name: str) -> str:
        """The full name of the same quantity in the last phase that has it."""
        return self.final_names[name.split("/", 1)[1]]

    def example(self, step: int) -> tuple[Any, np.ndarray | None, Arrays]:
        """x, y and draws of a step; x is a dictionary where there are several arguments, y None where there is none."""
        y = np.asarray(self.inputs["y"][step]) if "y" in self.inputs else None
        several = below_at(self.inputs, "x", step)
        return several or self.inputs["x"][step], y, below_at(self.inputs, "draws", step)

    def arguments(self, step: int) -> dict[str, Any]:
        """What a function is called with in a case of one: the arrays of an instance, and all settings by name."""
        settings = {name: value for name, value in self.settings.items() if name != "function"}
        return {**below_at(self.inputs, "x", step), **settings}

    def state_before(self, step: int) -> dict[str, Any]:
        """The reference's state before a step, by "<quantity>/<layer>", and how many steps it has taken, "step"."""
        initial = self.initial_state
        if step:
            initial = {name: self.expected[self.final_names[name]][step - 1] for name in initial}
        return {**{name: np.array(array) for name, array in initial.items()}, "step": step}

    def cast(self, dtype: str) -> "Case":
        """The same case with all numbers in `dtype`, float32 or float64; what is expected stays as exact as it is."""
        if dtype not in self.tolerances:
            raise VerifyError(f"{self.id} has tolerances for {' and '.join(self.tolerances)}, not for {dtype}.")
        inputs = {
            name: array.astype(dtype) if array.dtype.kind == "f" else array for name, array in self.inputs.items()
        }
        return replace(self, dtype=dtype, inputs=inputs)


def as_array(value: Any, what: str) -> np.ndarray:
    """`value` as a NumPy array. Raises VerifyError for ragged lists, a tensor on a device and the like."""
    try:
        return np.asarray(value)
    except Exception:  # noqa: BLE001 - each framework raises what it likes
        raise VerifyError(
            f"{what} is not an array that NumPy can read; it must be a regular one, on the host."
        ) from None


def below(arrays: Arrays, folder: str) -> Arrays:
    """The arrays whose names begin with `folder`/, by the rest of their names."""
    start = f"{folder}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def below_at(arrays: Arrays, folder: str, step: int) -> Arrays:
    """The same of a step, whose entry may be a single number."""
    return {name: np.asarray(array[step]) for name, array in below(arrays, folder).items()}


def last_quantity(name: str) -> str:
    """The quantity in "<phase>/<quantity>/<layer>", with or without a phase or a layer."""
    parts = [part for part in name.split("/") if not part.isdecimal()]
    return parts[-1]


# --- files ------------------------------------------------------------------------------------------------------------


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
    """The case of that name. Raises VerifyError if there is none, or if a file is not what the manifest says."""
    vectors = vectors or VECTORS
    manifest = read_manifest(vectors)
    if case_id not in manifest["cases"]:
        raise _no_such("case", case_id, manifest["cases"])
    folder, digests = vectors / case_id, manifest["cases"][case_id]
    text = _read(folder / "case.json")
    _check_digest(folder / "case.json", hashlib.sha256(text).hexdigest(), digests, "case")
    described = _described(
        folder / "case.json", text, **dict.fromkeys(OBJECTS, dict), flags=list, comment=str, steps=int
    )
    arrays = {}
    for name in ("inputs", "expected"):
        path = folder / f"{name}.npz"
        try:
            arrays[name] = read_arrays(path)
        except VerifyError as damage:
            raise VerifyError(f"{str(damage).removesuffix('.')}; install minilop anew.") from None
        _check_digest(path, digest(arrays[name]), digests, name)
    order = described["quantities"]  # an archive need not keep it
    arrays["expected"] = {name: arrays["expected"][name] for name in order if name in arrays["expected"]}
    fields: dict[str, Any] = {name: described[name] for name in Case.__dataclass_fields__ if name in described}
    fields["flags"] = tuple(fields["flags"])
    return Case(**fields, inputs=arrays["inputs"], expected=arrays["expected"])


def case_ids(vectors: Path | None = None) -> list[str]:
    """All of them, suite by suite."""
    ids = list(read_manifest(vectors)["cases"])
    suites = list(dict.fromkeys(case_id.split("/")[0] for case_id in ids))
    return sorted(ids, key=lambda case_id: suites.index(case_id.split("/")[0]))


def load_cases(suite: str | None = None, vectors: Path | None = None) -> Iterator[Case]:
    """All cases, or those of a suite. Raises VerifyError if there is no such suite."""
    ids = choose_cases((), () if suite is None else (suite,), vectors)
    return (load_case(case_id, vectors) for case_id in ids)


def choose_cases(names: Sequence[str], suites: Sequence[str], vectors: Path | None = None) -> list[str]:
    """The ids of the named cases and of all in the named suites; of all cases where nothing is named.

    Raises VerifyError for a name that does not exist.
    """
    ids = case_ids(vectors)
    known = list(dict.fromkeys(case_id.split("/")[0] for case_id in ids))
    for what, asked, there in (("case", names, ids), ("suite", suites, known)):
        for name in asked:
            if name not in there:
                raise _no_such(what, name, there)
    if not names and not suites:
        return ids
    return [case_id for case_id in ids if case_id in names or case_id.split("/")[0] in suites]


def read_manifest(vectors: Path | None = None) -> dict[str, Any]:
    """Version and license of the set, and the digests of each case. Raises VerifyError if it cannot be used."""
    path = (vectors or VECTORS) / "manifest.json"
    manifest = _described(path, _read(path), schema=int, cases=dict)
    if manifest["schema"] != SCHEMA:
        raise VerifyError(f"{path} has schema {manifest['schema']}; this minilop reads {SCHEMA}.")
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
    except Exception as problem:  # noqa: BLE001 - damage surfaces as almost any error
        kind = "a file" if is_json else "an .npz file without pickles"
        raise VerifyError(f"{path} cannot be read as {kind} ({type(problem).__name__}).") from None
    return {name: _from_lists(path, name, lists) for name, lists in json_object(path, text).items()}


def json_object(path: Path, text: bytes) -> dict[str, Any]:
    """The object that a file of JSON holds. Raises VerifyError if it holds anything else."""
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
    """`value`, and all that is in it, for JSON, which has no NaN and no infinity: they become texts."""
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


def _described(path: Path, text: bytes, **kinds: type) -> dict[str, Any]:
    """A description that came with the kit: a JSON object with entries of these types."""
    try:
        found = json_object(path, text)
    except VerifyError:
        found = {}
    if not all(isinstance(found.get(name), kind) for name, kind in kinds.items()):
        raise VerifyError(f"{path} is damaged; install minilop anew.")
    return found


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An .npz file of arrays, compressed."""
    names: dict[str, Any] = dict(arrays)
    np.savez_compressed(path, **names)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise VerifyError(f"{path} cannot be read ({problem.strerror}); install minilop anew.") from None


def _check_digest(path: Path, found: str, digests: Any, name: str) -> None:
    if not isinstance(digests, dict) or digests.get(name) != found:
        raise VerifyError(f"{path} is not what the manifest says (its SHA-256 differs); install minilop anew.")


def _no_such(what: str, name: str, names: Iterable[str]) -> VerifyError:
    """A case or a suite that does not exist; the sentence suggests those of which a part was named."""
    if what == "case" and (of_suite := [each for each in names if each.startswith(f"{name}/")]):
        return VerifyError(f"{name} is a suite, not a case; it has {', '.join(of_suite)}.")
    near = [each for each in names if name in each.split("/") or each in name.split("/")]
    near = near or difflib.get_close_matches(name, list(names), n=1)
    meant = f"did you mean {' or '.join(near)}?" if near else "`python -m minilop.verify list` names all."
    return VerifyError(f"There is no {what} {name!r}; {meant}")
