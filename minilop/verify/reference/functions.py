"""Single functions, called by name."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minilop.verify.case import Arrays
from minilop.verify.reference import network_functions, reinforcement_functions

Function = Callable[..., Arrays]
FUNCTIONS: dict[str, Function] = {
    function.__name__: function for function in (*network_functions.FUNCTIONS, *reinforcement_functions.FUNCTIONS)
}
MARGINS: dict[str, Callable[..., dict[str, float]]] = {**network_functions.MARGINS, **reinforcement_functions.MARGINS}


class FunctionReference:
    """Calls functions by name. `replaced` substitutes some of them, to make mistakes."""

    def __init__(self, replaced: Mapping[str, Function] | None = None):
        self.functions = {**FUNCTIONS, **(replaced or {})}
        self.margins: dict[str, float] = {}  # of the closest choices so far, by kind of choice

    def call(self, function: str, arguments: Mapping[str, Any]) -> Arrays:
        for choice, margin in MARGINS.get(function, lambda **_: {})(**arguments).items():
            self.margins[choice] = min(margin, self.margins.get(choice, np.inf))
        return self.functions[function](**arguments)
