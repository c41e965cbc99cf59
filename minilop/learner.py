"""One step of learning, in phases, and the settings of a learner.

    forward, loss, backward, optimizer, perturb, generate-and-test

Each phase is a method that takes what it needs and may be called from outside, by whoever wants to look between two
phases; `step` is the six of them in order. A learner is its settings: backprop is SGD with everything else turned off,
L2 adds `weight_decay`, Shrink & Perturb adds `perturb_scale` to that, Continual Backprop is backprop with a
`replacement_rate`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minilop.backend import Array, to_host, xp
from minilop.checks import check_choices, check_range
from minilop.initialization import Scheme
from minilop.layers import Dense, PendingDense
from minilop.layers.activation import ActivationName
from minilop.losses import Loss
from minilop.networks import Network, convnet, linear, mlp
from minilop.optimizers import SGD, Adam, MetaOptimize, NetworkIDBD
from minilop.optimizers.metaoptimize import MetaOptimizeSettings
from minilop.optimizers.network_idbd import NetworkIDBDSettings
from minilop.optimizers.optimizer import STEPS_BETWEEN_CLEANINGS, Optimizer, is_used
from minilop.plasticity import ContinualBackprop, ReDo, ShrinkAndPerturb
from minilop.plasticity.continual_backprop import ContinualBackpropSettings
from minilop.plasticity.redo import ReDoSettings


@dataclass(frozen=True)
class LearnerSettings(MetaOptimizeSettings, NetworkIDBDSettings, ReDoSettings, ContinualBackpropSettings):
    """Everything that makes a learner; what is not named is turned off.

    Defaults of Adam are those of Kingma and Ba and of the paper's "standard" Adam; the step size is the largest that the
    paper shows for the online problems. Every other default turns something off.
    """

    network: Literal["deep", "linear"] = "deep"  # the problem's own, or one without a single hidden unit
    begin_anew: Literal["nothing", "head", "parameters", "network"] = "nothing"  # see `forget`
    activation: ActivationName = "relu"
    step_size: float = 0.01  # where step sizes are learned: at the start
    # network_idbd is Autostep where network=linear
    optimizer: Literal["sgd", "adam", "network_idbd", "metaoptimize"] = "sgd"
    momentum: float = 0.0  # sgd
    beta_1: float = 0.9  # adam
    beta_2: float = 0.999  # adam
    epsilon: float = 1e-8  # adam
    weight_decay: float = 0.0  # L2 regularization, added to the gradient; for metaoptimize decoupled from it
    perturb_scale: float = 0.0  # standard deviation of Shrink & Perturb's noise
    dropout: float = 0.0  # probability that a feature is dropped
    batch_norm: bool = False  # normalize before each activation; for mini-batches
    # How plain SGD on one example is computed, equal but for rounding: with the gradient of all parameters; in place,
    # without storing it; or in place with the last updates saved up (layers/pending.py), the fastest for wide layers.
    update: Literal["gradient", "in_place", "pending"] = "gradient"
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range or that contradict each other."""
        check_choices(self)
        ReDoSettings.__post_init__(self)
        ContinualBackpropSettings.__post_init__(self)
        NetworkIDBDSettings.__post_init__(self)
        MetaOptimizeSettings.__post_init__(self)
        check_range(self, "step_size epsilon weight_decay perturb_scale", 0)
        check_range(self, "momentum beta_1 beta_2 dropout", 0, 1, below_high=True)
        of_units = (self.dropout, self.batch_norm, self.replacement_rate, self.redo_period)
        if self.network == "linear" and any(is_used(value) for value in of_units):
            raise ValueError("network=linear has no hidden units to drop, normalize or replace; choose network=deep")
        if self.optimizer != "sgd" and is_used(self.momentum):
            raise ValueError("momentum is for optimizer=sgd; Adam has beta_1, metaoptimize base=momentum")
        if self.optimizer == "network_idbd" and is_used(self.weight_decay):
            raise ValueError("network_idbd knows no weight decay; set weight_decay=0")
        if self.update == "gradient":
            return
        if self.optimizer != "sgd" or is_used(self.momentum):
            raise ValueError(f"update={self.update} is for plain SGD; choose optimizer=sgd and momentum=0")
        if not all(isinstance(value, (int, float)) for value in (self.step_size, self.weight_decay)):
            raise ValueError(f"update={self.update} takes numbers for all runs; choose update=gradient")
        others = (self.weight_decay, self.perturb_scale, self.replacement_rate, self.redo_period)
        if self.update == "pending" and any(is_used(value) for value in others):
            raise ValueError("update=pending is for plain SGD alone; choose update=in_place")


class Learner:
    """R networks of one kind that learn side by side.

    loss       what `step` descends; None where whoever calls forward and learn brings the gradient
    settings   hyperparameters that the optimizers and Shrink & Perturb take may be (R, 1) arrays instead of numbers
    """

    def __init__(self, network: Network, loss: Loss | None, settings: LearnerSettings):
        """Raises ValueError for a network whose units cannot be replaced where the settings ask for that."""
        self.network = network
        self.loss = loss
        self.settings = settings
        self.num_steps = 0
        lengths = [sum(map(math.prod, layer.parameter_shapes().values())) for layer in network.layers]
        self.optimizer = make_optimizer(network.parameters, settings, list(filter(None, lengths)))
        self.shrink_and_perturb = None
        self.continual_backprop = None
        self.redo = None
        if is_used(settings.perturb_scale):
            self.shrink_and_perturb = ShrinkAndPerturb(network, settings.perturb_scale)
        if is_used(settings.replacement_rate):
            self.continual_backprop = ContinualBackprop(network, settings, self.optimizer)
        if settings.redo_period:
            self.redo = ReDo(network, settings, settings.reset_optimizer_state, self.optimizer)

    def step(self, inputs: Array, targets: Array) -> tuple[Array, Array]:
        """Learn from one mini-batch; returns the outputs (R, O, B) and losses (R, B) from before the update.

        inputs    (R, I, B), or images (R, C, Y, X, B)
        targets   as the loss wants them: labels (R, B) for cross_entropy, (R, O, B) for squared_error
        """
        assert self.loss, "A learner without a loss learns by forward and learn."
        values = self.forward(inputs)
        losses, output_gradient = self.loss(values[-1], targets)
        self.learn(values, output_gradient)
        return values[-1], losses

    def learn(self, values: list[Array], output_gradient: Array) -> None:
        """The phases after the loss, from its gradient with respect to the outputs, (R, O, B)."""
        output_gradients = self.network.backward(values, output_gradient)
        if self.settings.when == "before_update":
            self.generate_and_test(values)
        self.update(values, output_gradients)
        self.perturb()
        if self.settings.when == "after_update":
            self.generate_and_test(values)
        self.num_steps += 1

    def forward(self, inputs: Array) -> list[Array]:
        """The values of all layers, with the dropout masks of this step. Raises ValueError for inputs of another shape."""
        self.network.check_inputs(inputs)
        self.network.begin_step(self.num_steps)
        return self.network.forward(inputs)

    def update(self, values: list[Array], output_gradients: list[Array]) -> None:
        """The optimizer's step."""
        if self.num_steps % STEPS_BETWEEN_CLEANINGS == 0:
            self.optimizer.drop_negligible()
        if self.settings.update == "gradient":
            self.optimizer.learn(self.network, values, output_gradients)
        else:
            self.network.descend(values, output_gradients, self.settings.step_size, self.settings.weight_decay)

    def perturb(self) -> None:
        """The noise of Shrink & Perturb, where it is part of the learner."""
        if self.shrink_and_perturb:
            self.shrink_and_perturb.step(self.num_steps)

    def generate_and_test(self, values: list[Array]) -> None:
        """Age, judge and replace units by the features of this step and the present weights."""
        if self.continual_backprop:
            self.continual_backprop.step(values, self.num_steps)
        if self.redo:
            self.redo.step(values, self.num_steps)

    def arrays(self) -> dict[str, Array]:
        """Every array that the learner carries from step to step, by name, each with the runs first."""
        arrays = {"parameters": self.network.parameters, **self.network.buffers(), **self.optimizer.state}
        if self.continual_backprop:
            for index, state in enumerate(self.continual_backprop.state):
                arrays.update({f"{name}.{index}": array for name, array in state.items()})
        if self.redo:
            arrays.update({f"activity.{index}": array for index, array in enumerate(self.redo.activity)})
        return arrays

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all that `restore` needs, on the host. Updates that were saved up are carried out first."""
        self.network.flush()
        state = {name: to_host(array).copy() for name, array in self.arrays().items()}
        state["num_steps"] = np.array(self.num_steps)
        if self.continual_backprop:
            for index, budget in enumerate(self.continual_backprop.budgets):
                state[f"replacements_due.{index}"] = budget.total.copy()
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where `state` was taken. Raises KeyError or ValueError where it does not fit this learner."""
        for name, array in self.arrays().items():
            if state[name].shape != array.shape:
                raise ValueError(f"{name} has the shape {state[name].shape}, not {array.shape}")
            array[...] = xp.asarray(state[name])
        self.num_steps = int(state["num_steps"])
        if self.continual_backprop:
            for index, budget in enumerate(self.continual_backprop.budgets):
                budget.restore(state[f"replacements_due.{index}"].copy(), state[f"age.{index}"], self.num_steps)

    def forget(self, draw: int) -> None:
        """What `begin_anew` of the settings wants at a new task, where the problem tells of it; `draw` > 0, each other.

        head         new weights and biases of the output layer
        parameters   of all layers, scales and biases of normalizations included
        network      `begin_anew`

        The first two are the published baselines of CIFAR-100: they leave running statistics of batch normalization,
        momentum and the state of Continual Backprop as they are.
        """
        network = self.network
        if self.settings.begin_anew == "head":
            network.dense_layers[-1].initialize(network.seeds, network.dtype, draw)
        elif self.settings.begin_anew == "parameters":
            kept = {name: array.copy() for name, array in network.buffers().items()}
            network.initialize(draw)
            for name, array in network.buffers().items():
                array[...] = kept[name]
        elif self.settings.begin_anew == "network":
            self.begin_anew(draw)

    def begin_anew(self, draw: int) -> None:
        """Forget everything: a new network, other for another `draw` > 0, and all state as before the first step."""
        state = {name: np.zeros(array.shape, array.dtype) for name, array in self.state().items()}
        self.restore({**state, "num_steps": np.array(self.num_steps)})
        self.network.initialize(draw)


def check_one_example(settings: LearnerSettings, batch_size: int) -> None:
    """Raises ValueError for a learner that learns from one example a step where mini-batches are larger."""
    if settings.optimizer == "network_idbd" and batch_size > 1:
        raise ValueError("network_idbd learns from one example a step; choose a batch_size of 1 or another optimizer")


def make_optimizer(parameters: Array, settings: LearnerSettings, layer_lengths: Sequence[int] = ()) -> Optimizer:
    """The optimizer that `settings` ask for, of parameters (R, P), of which each layer has so many."""
    if settings.optimizer == "sgd":
        return SGD(parameters, settings.step_size, settings.momentum, settings.weight_decay)
    if settings.optimizer == "network_idbd":
        return NetworkIDBD.of(settings, parameters, settings.step_size)
    if settings.optimizer == "metaoptimize":
        blocks = {"scalar": [parameters.shape[-1]], "layer": layer_lengths, "weight": []}
        return MetaOptimize(
            parameters,
            settings.step_size,
            settings.meta_step_size,
            settings.base,
            settings.meta,
            blocks[settings.step_sizes],
            settings.trace_decay,
            settings.weight_decay,
            settings.order,
        )
    return Adam(
        parameters,
        settings.step_size,
        settings.beta_1,
        settings.beta_2,
        settings.epsilon,
        settings.weight_decay,
        correct_each=settings.reset_optimizer_state,
    )


def make_mlp(
    sizes: Sequence[int],
    settings: LearnerSettings,
    seeds: Sequence[int],
    scheme: Scheme = "kaiming",
    first_number: int = 0,
    few_examples: bool = True,
) -> Network:
    """The multilayer perceptron that `settings` ask for, or its linear baseline from inputs to outputs.

    first_number   of its layers, among the draws; a second network of the same runs counts on where the first ends
    few_examples   at a time is what it will see; see Network
    """
    if settings.network == "linear":
        return linear(sizes[:1], sizes[-1], seeds, settings.dtype, first_number, few_examples)
    if settings.batch_norm:
        raise ValueError("batch_norm is for networks that learn from mini-batches of images; set it to false.")
    dense_layer = PendingDense if settings.update == "pending" else Dense
    return mlp(
        sizes,
        settings.activation,
        seeds,
        settings.dtype,
        scheme=scheme,
        dropout=settings.dropout,
        dense_layer=dense_layer,
        first_number=first_number,
        few_examples=few_examples,
    )


def make_convnet(
    input_shape: tuple[int, int, int],
    kernels: Sequence[tuple[int, int]],
    dense_units: Sequence[int],
    num_outputs: int,
    settings: LearnerSettings,
    seeds: Sequence[int],
    scheme: Scheme = "default",
) -> Network:
    """The convolutional network that `settings` ask for, or its linear baseline from pixels to outputs.

    input_shape   (C, Y, X) of images as high as wide
    kernels       number and size of the kernels of each convolution

    Raises ValueError where the images are too small for the kernels, or for updates that are for dense layers alone.
    """
    if input_shape[-1] != input_shape[-2]:
        raise ValueError(f"Images must be as high as wide, not {input_shape[-2]} x {input_shape[-1]} pixels.")
    if settings.update != "gradient":
        raise ValueError(f"update={settings.update} is for dense layers and one example a step; choose update=gradient")
    if settings.network == "linear":
        return linear(input_shape, num_outputs, seeds, settings.dtype)
    return convnet(
        seeds,
        settings.dtype,
        image_size=input_shape[-1],
        num_channels=input_shape[0],
        kernels=kernels,
        dense_units=dense_units,
        num_outputs=num_outputs,
        activation=settings.activation,
        scheme=scheme,
        dropout=settings.dropout,
        batch_norm=settings.batch_norm,
    )
