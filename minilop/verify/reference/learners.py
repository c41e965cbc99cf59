"""Learners of networks, run phase by phase, with the results recorded after each phase.

The forward and backward passes, optimizers and Shrink & Perturb are the library's. The rules that replace units are
independent of the library: see `continual_backprop.py` and `redo.py` in this folder.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from minilop import losses
from minilop.backend import Array, to_host, xp
from minilop.layers import BatchNorm
from minilop.learner import Learner
from minilop.optimizers import MetaOptimize
from minilop.optimizers.metaoptimize import RATES
from minilop.plasticity.shrink_and_perturb import ShrinkAndPerturb
from minilop.verify.case import Arrays, Case
from minilop.verify.reference.continual_backprop import ContinualBackprop
from minilop.verify.reference.networks import (
    make_network,
    named,
    of_one_run,
    optimizer_arrays,
    running_statistics,
    state_arrays,
)
from minilop.verify.reference.redo import ReDo
from minilop.verify.reference.settings import learner_settings, optimizer_of


class LearnerReference:
    """Runs the phases of `Learner`. `changes` to its settings or other replacement rules introduce a mistake."""

    def __init__(
        self,
        changes: Mapping[str, Any] | None = None,
        rule: type[ContinualBackprop] = ContinualBackprop,
        redo_rule: type[ReDo] = ReDo,
    ):
        self.changes = changes or {}
        self.rule_class = rule
        self.redo_class = redo_rule
        self.closest: dict[str, float] = {}  # margins so far
        self.signs: dict[str, list[np.ndarray]] = {}  # arguments of sign functions and relus, by kind

    def load(self, case: Case, parameters: Arrays) -> None:
        self.case = case
        settings = learner_settings(case, **self.changes)
        self.network = make_network(case, settings)
        self.loss = getattr(losses, case.settings["loss"])
        self.settings = settings
        self.learner = Learner(self.network, self.loss, optimizer_of(settings))
        for name, view in named(self.network, self.network.parameters):
            view[...] = xp.asarray(parameters[name].reshape(view.shape))
        # Normalization removes the bias of the layer before it, so any computed gradient of it is rounding error.
        self.normalized = {
            layer.number for layer, after in pairwise(self.network.layers) if isinstance(after, BatchNorm)
        }
        optimizer = self.learner.optimizer
        self.shrink_and_perturb: ShrinkAndPerturb | None = None
        self.rules: list[ContinualBackprop | ReDo] = []
        if settings.perturb_scale:
            self.shrink_and_perturb = ShrinkAndPerturb(settings.perturb_scale).bind(self.network, optimizer)
        if settings.replacement_rate:
            self.rules.append(self.rule_class(self.network, settings, optimizer, self))
        if settings.redo_period:
            self.rules.append(self.redo_class(self.network, settings, optimizer, self))

    def step(self, x: np.ndarray, y: np.ndarray, draws: Arrays) -> Arrays:
        """Run the phases of `Learner.step` and the rules. The noise of Shrink & Perturb uses the case's seed."""
        self.written: Arrays = {}
        self.draws = draws
        learner, network = self.learner, self.network
        values = learner.forward(xp.asarray(x)[None])
        for layer in network.hidden:
            self.write(f"forward/features/{layer.incoming.number}", values[layer.feature_index], flat=False)
        self.write("forward/outputs", values[-1], flat=False)
        for name, array in running_statistics(network):
            self.write(f"forward/{name}", array)
        each_loss, output_gradient = self.loss(values[-1], xp.asarray(y)[None])
        self.write("loss/losses", each_loss)
        output_gradients = learner.backward(values, output_gradient)
        if not self.rules:  # with rules the files are large, and the optimizer's phase reveals the gradients
            self.write_gradients()
        if self.settings.when == "before_update":
            self.generate_and_test(values)
        self.record_sign_arguments()
        self.record_relu_inputs(values)
        self.update(values, output_gradients)
        self.write_parameters("optimizer")
        if self.shrink_and_perturb:
            self.perturb(self.shrink_and_perturb)
            self.write_parameters("perturb", optimizer=False)
        if self.settings.when == "after_update":
            self.generate_and_test(values)
        learner.num_steps += 1
        return self.written

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        self.learner.update(values, output_gradients)

    def perturb(self, rule: ShrinkAndPerturb) -> None:
        rule.after_update([], self.network.gradients, self.learner.num_steps)

    def generate_and_test(self, values: list[Array]) -> None:
        """Update the utilities and replace units, given the features of this step and the current weights."""
        for rule in self.rules:
            rule.step(values, self.learner.num_steps, self.draws)

    # --- recording ----------------------------------------------------------------------------------------------------

    def write(self, name: str, array: Array, flat: bool = True) -> None:
        """Record a quantity (1, ...)."""
        if self.case.expected and name not in self.case.expected:  # a mistake may produce additional quantities
            return
        self.written[name] = of_one_run(name, array) if flat else to_host(array)[0].copy()

    def write_units(self, name: str, values: np.ndarray) -> None:
        """Record a quantity of units, unchanged."""
        if not self.case.expected or name in self.case.expected:
            self.written[name] = values.copy()

    def write_gradients(self) -> None:
        """Record the gradients of the mean loss."""
        for name, view in named(self.network, self.network.gradients):
            kind, number = name.split("/")
            self.write(f"backward/{kind}_gradient/{number}", 0 * view if self.is_without_effect(name) else view)

    def is_without_effect(self, name: str) -> bool:
        """Whether this is a bias that a normalization takes away, or the optimizer's state for it."""
        quantity, _, number = name.rpartition("/")
        is_of_layer = quantity.endswith("bias") and not quantity.endswith("normalization_bias")
        return is_of_layer and int(number) in self.normalized

    def write_parameters(self, phase: str, optimizer: bool = True) -> None:
        """Record parameters and optimizer state; after a replacement also the running statistics."""
        for name, view in named(self.network, self.network.parameters):
            self.write(f"{phase}/{name}", view)
        for name, array in optimizer_arrays(self.learner) if optimizer else ():
            self.write(f"{phase}/{name}", 0 * array if self.is_without_effect(name) else array)
        for name, array in running_statistics(self.network) if phase == "replacement" else ():
            self.write(f"{phase}/{name}", array)

    # --- margins ------------------------------------------------------------------------------------------------------

    def record_margin(self, choice: str, margin: float) -> None:
        """Record the relative margin of a choice."""
        self.closest[choice] = min(margin, self.closest.get(choice, np.inf))

    def record_sign_arguments(self) -> None:
        """Record the arguments of the sign functions in Lion's next step."""
        optimizer = self.learner.optimizer
        if not isinstance(optimizer, MetaOptimize):
            return
        gradients = self.network.gradients
        meta_gradient = optimizer.block_sums(optimizer.state["traces"] * gradients)
        for of, rule, gradient, state in (
            ("base", optimizer.base, gradients, optimizer.base_state),
            ("meta", optimizer.meta, meta_gradient, optimizer.meta_state),
        ):
            if rule == "lion":
                moved = state["momentum"] + (1 - RATES[rule][0]) * (gradient - state["momentum"])
                self.signs.setdefault(f"sign_of_{of}_momentum", []).append(abs(to_host(moved)[0]))

    def record_relu_inputs(self, values: list[Array]) -> None:
        """Record the inputs of the relus. Images have so many that some are near 0 for every seed."""
        if self.case.sizes["network"] != "mlp" or self.case.settings["activation"] != "relu":
            return
        for layer in self.network.hidden:
            before = abs(to_host(values[layer.feature_index - 1])[0])
            self.signs.setdefault(f"relu/{layer.incoming.number}", []).append(before)

    @property
    def margins(self) -> dict[str, float]:
        """The margins of the closest choices so far, by kind. Exact zeros are not choices."""
        found = dict(self.closest)
        for choice, steps in self.signs.items():
            sizes = np.concatenate(steps, axis=None)
            kind = choice.split("/")[0]
            found[kind] = min(float(sizes[sizes > 0].min() / sizes.max()), found.get(kind, np.inf))
        return found

    # --- state --------------------------------------------------------------------------------------------------------

    def state(self) -> Arrays:
        """The complete state between steps, in the form that `set_state` takes."""
        return {name: of_one_run(name, array) for name, array in state_arrays(self.learner)} | {
            name: array.copy() for name, array in self.state_of_units()
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        for name, array in state_arrays(self.learner):
            array[...] = xp.asarray(state[name].reshape(array.shape))
        for name, values in self.state_of_units():
            values[...] = state[name]
        self.learner.num_steps = state["step"]

    def state_of_units(self) -> Iterator[tuple[str, np.ndarray]]:
        """The state of the rules' units by name, as views."""
        for rule in self.rules:
            for units in rule.layers:
                yield from ((f"{name}/{units.number}", getattr(units, name)) for name in rule.statistics())
            if isinstance(rule, ContinualBackprop) and self.settings.rounding != "chance":
                yield from ((f"units_to_replace/{units.number}", units.units_to_replace) for units in rule.layers)
