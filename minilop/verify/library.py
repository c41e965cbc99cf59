"""The library as an adapter: checks minilop's own learners against the vectors.

    python -m minilop.verify run --adapter minilop.verify.library:Library

Learners of networks use only the library's code, from the forward pass to the last rule, and draw their own random
numbers from the case's seed. Conventions that only the kit has are skipped. Quantities that exist only between two
rules are not returned: utilities before a replacement, and parameters between noise and replacement.

In cases of linear methods, predictions, PPO, curves and single functions, `minilop.verify.reference:Reference` already
calls the library, and this adapter does the same. It skips the function `utilities`, whose table belongs to the kit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilop import losses
from minilop.backend import Array, to_host, xp
from minilop.learner_settings import make_learner
from minilop.plasticity.continual_backprop import ContinualBackprop
from minilop.plasticity.redo import ReDo
from minilop.plasticity.rule import Replaced, Rule
from minilop.verify.case import Arrays, Case
from minilop.verify.reference import REFERENCES, Reference
from minilop.verify.reference.networks import make_network, named, of_one_run, running_statistics, state_arrays
from minilop.verify.reference.settings import learner_settings, library_settings, missing_in_library

OF_UNITS = ("age", "utility", "mean_feature", "units_to_replace")


class Library(Reference):
    """All cases whose conventions the library has."""

    def load(self, case: Case, parameters: Arrays) -> None:
        self.reference = LibraryLearner() if case.kind == "learner" else REFERENCES[case.kind]()
        self.reference.load(case, parameters)

    def call(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if function == "utilities":
            raise NotImplementedError("the table of utilities belongs to the kit")
        return super().call(function, arguments)


@dataclass
class Watcher(Rule):
    """Records which units the other rules replaced in a step."""

    name: ClassVar[str] = "watcher"
    replaced: Any = None

    def units_replaced(self, replaced: Replaced) -> None:
        self.replaced = replaced


class LibraryLearner:
    """Runs the cases of learners of networks."""

    def load(self, case: Case, parameters: Arrays) -> None:
        settings = learner_settings(case)
        if missing := missing_in_library(settings):
            raise NotImplementedError(f"the library does not have this convention of {', '.join(missing)}")
        self.case, self.when = case, settings.when
        self.loss = getattr(losses, case.settings["loss"])
        self.network = make_network(case, settings)
        for name, view in named(self.network, self.network.parameters):
            view[...] = xp.asarray(parameters[name].reshape(view.shape))
        self.learner = make_learner(self.network, self.loss, library_settings(settings).with_rules(Watcher()))

    def step(self, x: np.ndarray, y: np.ndarray, draws: Arrays) -> Arrays:
        """The phases of `Learner.step`, with their results recorded in between."""
        learner, watcher = self.learner, self.learner.rules[-1]
        watcher.replaced = None  # type: ignore[attr-defined]
        values = learner.forward(xp.asarray(x)[None])
        each_loss, output_gradient = self.loss(values[-1], xp.asarray(y)[None])
        output_gradients = learner.backward(values, output_gradient)
        found = {"forward/outputs": to_host(values[-1])[0], "loss/losses": to_host(each_loss)[0]}
        for layer in self.network.hidden:
            found[f"forward/features/{layer.incoming.number}"] = to_host(values[layer.feature_index])[0]
        found |= {f"forward/{name}": of_one_run(name, array) for name, array in running_statistics(self.network)}
        for name, view in named(self.network, self.network.gradients):
            kind, number = name.split("/")
            found[f"backward/{kind}_gradient/{number}"] = of_one_run(name, view)
        learner.before_update(values)
        if self.when == "before_update":
            found |= self.after_rules()
        learner.update(values, output_gradients)
        found |= self.state_after("optimizer")
        learner.after_update(values)
        if self.when == "after_update":
            found |= self.after_rules()
        return {name: array.copy() for name, array in found.items() if name in self.case.expected}

    def state_after(self, phase: str) -> Arrays:
        return {f"{phase}/{name}": of_one_run(name, array) for name, array in state_arrays(self.learner)}

    def after_rules(self) -> Arrays:
        """The state after the rules, and the units that they replaced."""
        found = self.state_after("perturb" if "replacement" not in self.case.phases else "replacement")
        masks = self.learner.rules[-1].replaced or [None] * len(self.network.hidden)  # type: ignore[attr-defined]
        for layer, mask in zip(self.network.hidden, masks):
            none = np.zeros(layer.incoming.num_outputs, bool)
            found[f"selection/replaced/{layer.incoming.number}"] = none if mask is None else to_host(mask)[0]
        for name, array in self.state_of_units():
            phase = "selection" if name.startswith("units_to_replace") else "replacement"
            found[f"{phase}/{name}"] = to_host(array)[0] if array.ndim == 2 else array
        return found

    def state_of_units(self) -> Iterator[tuple[str, Array]]:
        """The state of the rules by name: quantities of units (1, H), and units_to_replace (1,)."""
        for rule in self.learner.rules:
            for index, layer in enumerate(self.network.hidden):
                number = layer.incoming.number
                if isinstance(rule, ContinualBackprop):
                    yield from ((f"{name}/{number}", rule.units[index][name]) for name in OF_UNITS)
                elif isinstance(rule, ReDo):
                    yield f"activity/{number}", rule.activity[index]

    def set_state(self, state: Mapping[str, Any]) -> None:
        for name, array in (*state_arrays(self.learner), *self.state_of_units()):
            if name in state:
                given = state[name].reshape(array.shape)
                array[...] = given if isinstance(array, np.ndarray) else xp.asarray(given)
        for rule in self.learner.rules:
            if isinstance(rule, ContinualBackprop):
                for units in rule.units:
                    units["correction"][...] = 1 - rule.decay_rate ** units["age"]
        self.learner.num_steps = state["step"]
