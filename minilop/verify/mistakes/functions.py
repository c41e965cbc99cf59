"""Builds the mistakes of single functions."""

from collections.abc import Callable
from functools import partial
from typing import Any

from minilop.verify.case import Arrays, Case
from minilop.verify.mistakes.mistake import Mistake
from minilop.verify.reference.functions import FUNCTIONS, Function, FunctionReference


def with_changed_results(name: str, change: Callable[..., Arrays]) -> Function:
    """The function with some results replaced by `change`, which receives the results and the arguments."""

    def mistaken(**arguments: Any) -> Arrays:
        found = FUNCTIONS[name](**arguments)
        return {**found, **change(found, **arguments)}

    return mistaken


def changed_arguments(name: str, change: Callable[..., dict[str, Any]]) -> Function:
    """The function with some arguments replaced by `change`."""
    return lambda **arguments: FUNCTIONS[name](**{**arguments, **change(**arguments)})


def mistake(name: str, says: str, page: str, changed: dict[str, Function], applies: Any = None) -> Mistake:
    """A mistake in the functions that `changed` substitutes."""

    def is_made(case: Case) -> bool:
        return case.settings["function"] in changed and (applies is None or applies(case))

    return Mistake(name, says, f"minilop/{page}.py", "function", partial(FunctionReference, changed), is_made)


def changed_results(name: str, change: Callable[..., Arrays]) -> dict[str, Function]:
    return {name: with_changed_results(name, change)}
