"""The rollout of PPO (ppo.py): the arrays of its steps by name, their storage, and their conversion to samples."""

from collections.abc import Mapping

from minilop.backend import Array, xp

ROLLOUT = (
    *("observations", "actions", "log_probabilities", "rewards"),
    *("terminated", "timed_out", "last_observations"),
)
SAMPLES = ("observations", "actions", "log_probabilities", "advantages", "targets")


def empty_rollout(
    num_steps: int, num_runs: int, num_environments: int, features: Mapping[str, tuple[int, ...]], dtype: str
) -> dict[str, Array]:
    """Zeros (T, R, n, N) for what `features` names with its n, (T, R, N) for the rest, by the names of ROLLOUT."""
    rollout = {}
    for name in ROLLOUT:
        shape = (num_steps, num_runs, *features.get(name, ()), num_environments)
        rollout[name] = xp.zeros(shape, bool if name in ("terminated", "timed_out") else dtype)
    return rollout


def empty_samples(
    num_runs: int, num_samples: int, features: Mapping[str, tuple[int, ...]], dtype: str
) -> dict[str, Array]:
    """Zeros (R, M, n) for what `features` names with its n, (R, M) for the rest, by the names of SAMPLES."""
    return {name: xp.zeros((num_runs, num_samples, *features.get(name, ())), dtype) for name in SAMPLES}


def store_step(rollout: Mapping[str, Array], index: int, step: Mapping[str, Array]) -> None:
    """Make `step` number `index` of the rollout. Raises ValueError, before any change, for other names or shapes."""
    if step.keys() != rollout.keys():
        raise ValueError(f"A step needs the arrays {', '.join(rollout)}, not {', '.join(step)}.")
    for name, array in step.items():
        check_shape(name, array, rollout[name].shape[1:])
    for name, array in step.items():
        rollout[name][index] = array


def check_shape(name: str, array: Array, expected: tuple[int, ...]) -> None:
    """Raises ValueError if the array does not have the expected shape."""
    if array.shape != expected:
        letters = "R, n, N" if len(expected) == 3 else "R, N"
        raise ValueError(f"{name} must have the shape ({letters}), here {expected}, not {array.shape}.")


def by_run(array: Array) -> Array:
    """Steps (T, R, n, N) or (T, R, N) as samples of each run, (R, M, n) or (R, M).

    Samples are ordered by step, then by environment. The result is contiguous, so that the order of sums over samples
    does not depend on the number of runs.
    """
    order = (1, 0, 2) if array.ndim == 3 else (1, 0, 3, 2)
    by_run = xp.ascontiguousarray(xp.transpose(array, order))  # (R, T, N) or (R, T, N, n)
    return by_run.reshape(array.shape[1], -1, *by_run.shape[3:])
