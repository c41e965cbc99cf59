"""Learners of networks, played phase by phase and recorded in between.

Forward, backward, optimizers and Shrink & Perturb are the library's. The rules that replace units are played here, with
the conventions of `continual_backprop.py` beside this file.
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
from minilop.verify.reference.continual_backprop import ReplacementBudget
from minilop.verify.reference.networks import make_network, named, of_one_run, running_statistics
from minilop.verify.reference.rules import RecordedContinualBackprop, RecordedReDo
from minilop.verify.reference.settings import learner_settings, optimizer_of, part_of


class LearnerReference:
    """Plays `Learner`. `changes` of its settings and other rules of replacement make it play with a mistake."""

    def __init__(
        self,
        changes: Mapping[str, Any] | None = None,
        rule: type[RecordedContinualBackprop] = RecordedContinualBackprop,
        redo_rule: type[RecordedReDo] = RecordedReDo,
    ):
        self.changes = changes or {}
        self.rule_class = rule
        self.redo_class = redo_rule
        self.closest: dict[str, float] = {}  # margins so far
        self.signs: dict[str, list[np.ndarray]] = {}  # numbers of which the sign was taken, by what they are
        self.replaced: dict[int, np.ndarray] = {}  # in this step, (1, H) of bool by layer

    def load(self, case: Case, parameters: Arrays) -> None:
        self.case = case
        settings = learner_settings(case, **self.changes)
        self.network = make_network(case, settings)
        self.loss = getattr(losses, case.settings["loss"])
        self.settings = settings
        self.learner = Learner(self.network, self.loss, optimizer_of(settings))
        for name, view in named(self.network, self.network.parameters):
            view[...] = xp.asarray(parameters[name].reshape(view.shape))
        # A normalization takes away whatever bias comes before it: the gradient is 0, and what is computed is rounding.
        self.normalized = {
            layer.number for layer, after in pairwise(self.network.layers) if isinstance(after, BatchNorm)
        }
        optimizer = self.learner.optimizer
        self.shrink_and_perturb: ShrinkAndPerturb | None = None
        self.rule: RecordedContinualBackprop | None = None
        self.redo: RecordedReDo | None = None
        if settings.perturb_scale:
            self.shrink_and_perturb = ShrinkAndPerturb(settings.perturb_scale).bind(self.network, optimizer)
        if settings.replacement_rate:
            self.rule = self.rule_class(self.network, settings, optimizer)
            self.rule.record = self
        if settings.redo_period:
            self.redo = part_of(settings, self.redo_class).bind(self.network, optimizer)
            self.redo.record = self

    def step(self, x: np.ndarray, y: np.ndarray, draws: Arrays) -> Arrays:
        """The phases of `Learner.step` and the rules. minilop makes the draws itself, from the case's seed."""
        self.written: Arrays = {}
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
        if not (self.rule or self.redo):  # large files, where the optimizer's phase shows them
            self.write_gradients()
        if self.settings.when == "before_update":
            self.generate_and_test(values)
        self.note_signs()
        self.note_kinks(values)
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
        """Update the utilities and replace units by the features of this step and the present weights."""
        if self.rule:
            self.rule.step(values, self.learner.num_steps)
        if self.redo:
            self.redo.after_update(values, self.network.gradients, self.learner.num_steps)

    # --- recording ----------------------------------------------------------------------------------------------------

    def write(self, name: str, array: Array, flat: bool = True) -> None:
        """Note a quantity (1, ...)."""
        if self.case.expected and name not in self.case.expected:  # with a mistake there may be more to write down
            return
        self.written[name] = of_one_run(name, array) if flat else to_host(array)[0].copy()

    def write_gradients(self) -> None:
        """Note those of the mean loss."""
        for name, view in named(self.network, self.network.gradients):
            kind, number = name.split("/")
            without_effect = kind == "bias" and int(number) in self.normalized
            self.write(f"backward/{kind}_gradient/{number}", 0 * view if without_effect else view)

    def write_parameters(self, phase: str, optimizer: bool = True) -> None:
        """Note parameters and the state of the optimizer; after replacement running statistics too."""
        for name, view in named(self.network, self.network.parameters):
            self.write(f"{phase}/{name}", view)
        for name, array in self.optimizer_arrays() if optimizer else ():
            self.write(f"{phase}/{name}", array)
        for name, array in running_statistics(self.network) if phase == "replacement" else ():
            self.write(f"{phase}/{name}", array)

    def begin_selection(self) -> None:
        """Nothing is replaced yet in this step."""
        self.replaced = {
            layer.incoming.number: np.zeros((1, layer.incoming.num_outputs), bool) for layer in self.network.hidden
        }

    def write_selection(self) -> None:
        """Note which units have been replaced in this step."""
        for number, replaced in self.replaced.items():
            self.written[f"selection/replaced/{number}"] = replaced[0].copy()

    # --- margins ------------------------------------------------------------------------------------------------------

    def note_margin(self, choice: str, margin: float) -> None:
        """Note by how much a choice was made, as a share."""
        self.closest[choice] = min(margin, self.closest.get(choice, np.inf))

    def note_signs(self) -> None:
        """Note the numbers of which Lion is about to take the sign."""
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

    def note_kinks(self, values: list[Array]) -> None:
        """Note what the relu is applied to. Images have so many of these that some are near 0 whatever the seed."""
        if self.case.sizes["network"] != "mlp" or self.case.settings["activation"] != "relu":
            return
        for layer in self.network.hidden:
            before = abs(to_host(values[layer.feature_index - 1])[0])
            self.signs.setdefault(f"relu/{layer.incoming.number}", []).append(before)

    @property
    def margins(self) -> dict[str, float]:
        """Of the closest choices so far, by their kind; numbers that are 0 in every arithmetic are none."""
        found = dict(self.closest)
        for choice, steps in self.signs.items():
            sizes = np.concatenate(steps, axis=None)
            kind = choice.split("/")[0]
            found[kind] = min(float(sizes[sizes > 0].min() / sizes.max()), found.get(kind, np.inf))
        return found

    # --- state --------------------------------------------------------------------------------------------------------

    def state(self) -> Arrays:
        """All that goes from step to step, as `set_state` wants it."""
        return {name: of_one_run(name, array) for name, array in self.state_arrays()} | {
            f"units_to_replace/{budget.layer}": budget.units_to_replace.copy() for budget in self.budgets()
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        for name, array in self.state_arrays():
            array[...] = xp.asarray(state[name].reshape(array.shape))
        self.learner.num_steps = state["step"]
        if not self.rule:
            return
        for layer, units, budget in zip(self.network.hidden, self.rule.state, self.rule.budgets):
            units["correction"][...] = 1 - self.rule.settings.decay_rate ** units["age"]
            units_to_replace = state.get(f"units_to_replace/{layer.incoming.number}", np.zeros(1))
            budget.restore(units_to_replace.copy(), to_host(units["age"]), state["step"])

    def state_arrays(self) -> Iterator[tuple[str, Array]]:
        """Arrays (1, ...) of the learner by name, as views."""
        yield from named(self.network, self.network.parameters)
        yield from running_statistics(self.network)
        yield from self.optimizer_arrays()
        if self.rule:
            for layer, units in zip(self.network.hidden, self.rule.state):
                yield from (
                    (f"{name}/{layer.incoming.number}", units[name]) for name in self.rule.recorded_statistics()
                )
        if self.redo and self.redo.redo_scores == "period":
            for layer, activity in zip(self.network.hidden, self.redo.activity):
                yield f"activity/{layer.incoming.number}", activity

    def optimizer_arrays(self) -> Iterator[tuple[str, Array]]:
        """The optimizer's state: what weights have by "<name>_<parameter>/<layer>", what they share by its name."""
        for state, array in self.learner.optimizer.state.items():
            if array.shape == self.network.parameters.shape:
                yield from named(self.network, array, f"{state}_")
            else:
                yield state, array

    def budgets(self) -> list[ReplacementBudget]:
        """Those of the layers, if a fraction of a unit is carried over from step to step."""
        return self.rule.budgets if self.rule and self.rule.settings.rounding != "chance" else []
