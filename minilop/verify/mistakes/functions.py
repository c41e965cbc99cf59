"""What mistakes in single functions share."""

from collections.abc import Callable
from functools import partial
from typing import Any

from minilop.verify.case import Arrays, Case
from minilop.verify.mistakes.mistake import Mistake
from minilop.verify.reference.functions import FUNCTIONS, Function, FunctionReference


def instead(name: str, change: Callable[..., Arrays]) -> Function:
    """The function, whose results `change` replaces in part, given them and the arguments."""

    def mistaken(**arguments: Any) -> Arrays:
        found = FUNCTIONS[name](**arguments)
        return {**found, **change(found, **arguments)}

    return mistaken


def called_with(name: str, change: Callable[..., dict[str, Any]]) -> Function:
    """The function, some of whose arguments `change` replaces."""
    return lambda **arguments: FUNCTIONS[name](**{**arguments, **change(**arguments)})


def mistake(name: str, says: str, page: str, changed: dict[str, Function], applies: Any = None) -> Mistake:
    """One in some functions, which `changed` has in place of the right ones."""

    def is_made(case: Case) -> bool:
        return case.settings["function"] in changed and (applies is None or applies(case))

    return Mistake(name, says, f"minilop/{page}.py", "function", partial(FunctionReference, changed), is_made)


def of(name: str, change: Callable[..., Arrays]) -> dict[str, Function]:
    return {name: instead(name, change)}
