"""A learner combines a network, a loss, an optimizer and rules. One step of learning has these phases:

    forward, loss, backward, before the update, update, after the update

    network = mlp((20, 5, 1), "relu", seeds=range(30), dtype="float32")
    learner = Learner(network, squared_error, SGD(step_size=0.01), [ContinualBackprop(replacement_rate=1e-4)])

Backprop is SGD without rules. L2 regularization is SGD with weight decay. Each phase is a public method, so that a
caller can inspect the learner between two phases; `step` runs all of them in order.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from minilop import state as states
from minilop.backend import Array
from minilop.checks import check_choice
from minilop.losses import Loss
from minilop.networks import Network
from minilop.optimizers.optimizer import FLUSH_INTERVAL, Optimizer
from minilop.plasticity.rule import Replaced, Rule

Reset = Literal["nothing", "head", "parameters", "network"]


class Learner:
    """R networks of the same architecture that learn side by side.

    loss        minimized by `step`; None if the caller computes its gradient and calls `learn`
    optimizer   bound to the network's parameters; it owns the step size
    rules       bound to the network, in the order in which they act
    """

    def __init__(self, network: Network, loss: Loss | None, optimizer: Optimizer, rules: Sequence[Rule] = ()):
        """Raises ValueError for a rule that does not fit the network or the optimizer, TypeError for wrong types."""
        if not isinstance(optimizer, Optimizer) or not all(isinstance(rule, Rule) for rule in rules):
            raise TypeError("Learner needs a network optimizer, such as SGD(), and a list of rules, such as [ReDo()].")
        if loss is not None and not callable(loss):
            raise TypeError(f"Learner needs a loss function, such as squared_error, or None, not {loss!r}.")
        self.network = network
        self.loss = loss
        self.num_steps = 0
        self.gradients: Array = None  # (R, P) of the last step; None if the optimizer does not form them
        if len({rule.name for rule in rules}) < len(rules):  # their states would have the same names
            raise ValueError("A learner takes at most one rule of each kind; remove the duplicate.")
        self.optimizer = optimizer.bind(network.parameters, network.layer_sizes)
        self.rules = [rule.bind(network, self.optimizer) for rule in rules]

    def step(self, inputs: Array, targets: Array) -> tuple[Array, Array]:
        """Learn from one mini-batch. Returns the outputs (R, O, B) and losses (R, B) from before the update.

        inputs    (R, I, B), or images (R, C, Y, X, B)
        targets   labels (R, B) for cross_entropy, (R, O, B) for squared_error
        """
        assert self.loss, "This learner has no loss; call forward and learn instead of step."
        values = self.forward(inputs)
        losses, output_gradient = self.loss(values[-1], targets)
        self.learn(values, output_gradient)
        return values[-1], losses

    def learn(self, values: list[Array], output_gradient: Array) -> None:
        """Run the phases after the loss, given its gradient with respect to the outputs, (R, O, B)."""
        output_gradients = self.backward(values, output_gradient)
        self.before_update(values)
        self.update(values, output_gradients)
        self.after_update(values)

    def forward(self, inputs: Array) -> list[Array]:
        """Returns the inputs and the outputs of every layer. Raises ValueError for inputs of the wrong shape."""
        self.network.check_inputs(inputs)
        self.network.begin_step(self.num_steps)
        return self.network.forward(inputs)

    def backward(self, values: list[Array], output_gradient: Array) -> list[Array]:
        """Returns the gradients with respect to the outputs of every layer; sets `gradients` of the parameters."""
        output_gradients = self.network.backward(values, output_gradient)
        if self.optimizer.forms_gradients:
            self.gradients = self.network.fill_gradients(values, output_gradients)
        return output_gradients

    def before_update(self, values: list[Array]) -> None:
        """Let the rules act before the optimizer's step."""
        for rule in self.rules:
            self.announce(rule.before_update(values, self.gradients, self.num_steps))

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        """Take the optimizer's step. Raises ValueError for a mini-batch if the optimizer takes one example per step."""
        if self.num_steps % FLUSH_INTERVAL == 0:
            self.optimizer.flush_subnormals()
        self.optimizer.update(self.network, values, output_gradients)

    def after_update(self, values: list[Array]) -> None:
        """Let the rules act after the optimizer's step."""
        for rule in self.rules:
            self.announce(rule.after_update(values, self.gradients, self.num_steps))
        self.num_steps += 1

    def announce(self, replaced: Replaced | None) -> None:
        """Inform all rules of the units that have been replaced."""
        if replaced is not None and any(mask is not None for mask in replaced):
            for rule in self.rules:
                rule.units_replaced(replaced)

    def arrays(self) -> dict[str, Array]:
        """All arrays that persist from step to step, by name; the first axis of each is R."""
        return {
            "parameters": self.network.parameters,
            **self.network.buffers(),
            **states.prefixed("optimizer", self.optimizer.state),
            **{name: array for rule in self.rules for name, array in states.prefixed(rule.name, rule.arrays()).items()},
        }

    def state(self) -> dict[str, np.ndarray]:
        """Returns a copy, on the host, of everything that `restore` needs. Applies buffered updates first."""
        self.network.flush()
        return {**states.copied(self.arrays()), "num_steps": np.array(self.num_steps)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue where `state` was taken. Raises ValueError if it does not fit this learner."""
        self.network.flush()  # the buffered updates belong to the old weights
        states.restore(self.arrays(), state, ["num_steps"])
        self.num_steps = int(state["num_steps"])

    def reset(self, what: Reset, draw: int) -> None:
        """Draw new initial values for some layers; every `draw` > 0 gives different values. `what` is one of:

        nothing      no change
        head         weights and biases of the output layer
        parameters   weights and biases of all layers, including the scales and biases of normalizations
        network      all parameters and all state as before the first step, except for the number of steps

        `head` and `parameters` are the published baselines for CIFAR-100. They keep the running statistics of batch
        normalization, the state of the optimizer and the state of the rules.
        """
        check_choice("reset", what, Reset)
        if what == "nothing":
            return
        network = self.network
        network.flush()
        if what == "network":
            for array in self.arrays().values():
                array[...] = 0
        layers = network.dense_layers[-1:] if what == "head" else network.layers
        statistics = {name: array.copy() for name, array in network.buffers().items()}
        for layer in layers:
            layer.initialize(network.seeds, network.dtype, draw)
        if what == "parameters":
            states.restore(network.buffers(), statistics)
        for rule in self.rules:
            rule.layers_reset(layers)
