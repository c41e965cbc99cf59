"""Dynamic: a streaming learner that adapts at three levels, one example at a time.

    weights       by back-propagated error
    step sizes    one a weight, learned from how that weight's changes agree over time
    units         the least useful are replaced, for ever; what the step sizes have learned decides what a new unit is
                  connected to, and how fast each of its connections learns

No buffer, no mini-batch, no task boundaries; a step costs a number of operations proportional to that of the weights, and
randomness enters only where a unit is made. Per example:

    1.  forward, loss, backward
    2.  step sizes and weights by network IDBD                   lines 0 to 6 of minilop/optimizers/network_idbd.py
    3.  in every hidden layer, for every unit with feature f and outgoing weights W'
            a  <-  a + 1                                                            age
            F  <-  eta F + (1 - eta) f                                              mean feature, F^ = F / (1 - eta^a)
            u  <-  eta u + (1 - eta) |f - F^| sum_k |W'_k|                          utility, u^ = u / (1 - eta^a)
    4.  c  <-  c + rho (number of units with a > m)              while c >= 1, the one of these with the least u^ goes:
            c  <-  c - 1
            outgoing weights  <-  0                              so the outputs miss what it gave and nothing else
            incoming weights  <-  0, but for K inputs, drawn with probability proportional to
                                  ( sum over the other units with a > m of their alpha for that input )^p
                                  where they are 1/2 N(0, 1); bias 0
            beta of each incoming weight  <-  mean beta of the other units for the same input; the bias likewise
            beta of each outgoing weight  <-  mean beta of the same consumer for the other units
            h, v, F, u, a  <-  0

rho is `replacement_rate`, m `maturity_threshold`, eta `decay_rate`, K `num_new_inputs`, p `input_power`. An input that no
unit has use for has small step sizes everywhere, since changes of its weights seldom agree: a new unit hardly ever looks
at it, and learns little about it. Units of high utility stay, as the backbone; the young ones are the fringe that explores.
Units that go in one step are not among each other's other units. Layers take their turn from the inputs on, so a fresh unit of a
later layer may be connected to one that was made just before.

A construction of ours, from parts that are known: IDBD and Autostep; the generate-and-test of Mahmood and Sutton (2013) and
of Continual Backprop, from which lines 3 and the count c are; the three levels and the word inheritance are not in them.
What each part is worth is measured by problems/feature_tracking.py.

Draws, named by layer, step of replacing and unit, as everywhere: "fresh weight", normal numbers, one an input (or with
`new_inputs = "all"` the initial law), and "fresh input", uniform numbers, one an input: the K inputs of the smallest
- ln(1 - u) / p_i have been drawn with probabilities p_i, one after the other without putting back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from minilop.checks import check_choices, check_range
from minilop.layers.activation import ActivationName
from minilop.losses import Loss
from minilop.networks import HiddenLayer, Network
from minilop.optimizers.network_idbd import NetworkIDBD, NetworkIDBDSettings
from minilop.optimizers.optimizer import STEPS_BETWEEN_CLEANINGS
from minilop.plasticity.budget import ReplacementBudget
from minilop.plasticity.continual_backprop import least_useful
from minilop.plasticity.units import replace_units, reset_optimizer_state
from minilop.plasticity.utility import update_average


@dataclass(frozen=True)
class DynamicSettings(NetworkIDBDSettings):
    """Everything that makes a dynamic learner; all defaults are ours.

    meta_step_size=0 leaves all step sizes as they begin, replacement_rate=0 all units as they are: so there are learners
    at two levels, and at one.
    """

    activation: ActivationName = "tanh"
    step_size: float = 0.003  # at the start; about a third of what would suit SGD
    meta_step_size: float = 0.03
    replacement_rate: float = 1e-4  # rho, of units a step
    maturity_threshold: int = 1000  # m, in steps
    decay_rate: float = 0.99  # eta, of utility and mean feature
    new_inputs: Literal["by_step_sizes", "uniform", "all"] = "by_step_sizes"  # what a new unit is connected to
    num_new_inputs: int = 3  # K
    input_power: float = 2.0  # p
    inherit: bool = True  # False: the step sizes of a new unit begin at `step_size`
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range."""
        check_choices(self)
        super().__post_init__()
        check_range(self, "step_size replacement_rate maturity_threshold input_power", 0)
        check_range(self, "decay_rate", 0, 1, below_high=True)
        check_range(self, "num_new_inputs", 1)


# --- the third level, phase by phase ----------------------------------------------------------------------------------


def judge_units(units: dict[str, Array], features: Array, outgoing_weight: Array, decay_rate: float) -> Array:
    """Line 3 in place; returns u^ (R, H).

    units             age, mean_feature, utility and correction = 1 - eta^a, the running average of ones, (R, H) each
    features          (R, H)
    outgoing_weight   (R, O, H)
    """
    units["age"] += 1
    update_average(units["correction"], 1, decay_rate)
    update_average(units["mean_feature"], features, decay_rate)
    variation = abs(features - units["mean_feature"] / units["correction"])
    update_average(units["utility"], variation * abs(outgoing_weight).sum(axis=-2), decay_rate)
    return units["utility"] / units["correction"]


def other_units(wanted: Array, runs: Array, units: Array) -> Array:
    """For each replaced unit (K,), which of `wanted` (R, H) stay in its run: (K, H). Where none do, all that were there."""
    stay = xp.ones_like(wanted)
    stay[runs, units] = False
    others = (wanted & stay)[runs]
    return others | ~others.any(axis=-1, keepdims=True)


def mean_over(values: Array, others: Array) -> Array:
    """Mean of values (K, ..., H) over the units in `others` (K, H): (K, ...)."""
    means = values.reshape(len(values), -1, others.shape[-1]) @ others.astype(values.dtype)[..., None]  # (K, n, 1)
    number = others.sum(axis=-1, dtype=values.dtype).reshape(-1, *(1,) * (values.ndim - 2))
    return means.reshape(values.shape[:-1]) / number


def log_input_chances(step_sizes: Array, mature: Array, input_power: float) -> Array:
    """Logarithms of the chances of being drawn, but for a constant: (K, I).

    step_sizes   (K, H, I)   of which those of the units in `mature` (K, H) count
    """
    total = (mature.astype(step_sizes.dtype)[:, None] @ step_sizes)[:, 0]
    return input_power * log_of(total)


def draw_inputs(log_chances: Array, number: int, uniforms: Array) -> Array:
    """`number` inputs of each new unit by their chances, from uniform numbers, both (K, I): (K, I) of bool.

    Each input waits for a random time, exponential with mean 1 / chance; the first `number` to come are drawn. Times are
    compared by their logarithms, so that no power of a small chance becomes 0.
    """
    log_waiting = log_of(-xp.log(1 - uniforms)) - log_chances
    order = xp.argsort(log_waiting, axis=-1, kind="stable")
    rank = xp.argsort(order, axis=-1, kind="stable")
    return rank < number


def log_of(values: Array) -> Array:
    """The logarithm of numbers that are not negative, finite for 0 too."""
    return xp.log(xp.maximum(values, float(xp.finfo(values.dtype).tiny)))


# --- the learner ------------------------------------------------------------------------------------------------------


class Dynamic:
    """R networks of dense layers that learn side by side; used as a `Learner` is.

        settings = DynamicSettings()
        network = mlp((20, 10, 1), settings.activation, range(30), settings.dtype)
        learner = Dynamic(network, half_squared_error, settings)

    optimizer   what adapts weights and step sizes
    units       one dictionary a hidden layer, see `judge_units`
    """

    def __init__(self, network: Network, loss: Loss, settings: DynamicSettings):
        """Raises ValueError for a network without the runs axis."""
        if network.seeds.ndim != 1:
            raise ValueError("Dynamic needs the runs axis; make the network with seeds=[seed].")
        self.network = network
        self.loss = loss
        self.settings = settings
        self.num_steps = 0
        self.optimizer = NetworkIDBD.of(settings, network.parameters, settings.step_size)
        self.units = []
        self.budgets = []
        for layer in network.hidden:
            number, num_units = layer.incoming.number, layer.incoming.num_outputs
            names = ("age", "mean_feature", "utility", "correction")
            self.units.append({name: network.zeros(num_units) for name in names})
            rate, threshold = settings.replacement_rate, settings.maturity_threshold
            self.budgets.append(
                ReplacementBudget(network.seeds, number, num_units, rate, threshold, "eligible", "accumulate")
            )

    def step(self, inputs: Array, targets: Array) -> tuple[Array, Array]:
        """Learn from one example; returns the outputs (R, O, 1) and losses (R, 1) from before the update.

        inputs    (R, I, 1)
        targets   as the loss wants them

        Raises ValueError for inputs of another shape.
        """
        self.network.check_inputs(inputs)
        values = self.network.forward(inputs)  # 1
        losses, output_gradient = self.loss(values[-1], targets)
        output_gradients = self.network.backward(values, output_gradient)
        if self.num_steps % STEPS_BETWEEN_CLEANINGS == 0:
            self.optimizer.drop_negligible()
        self.optimizer.learn(self.network, values, output_gradients)  # 2
        if self.settings.replacement_rate:
            for layer, units, budget in zip(self.network.hidden, self.units, self.budgets):
                features = values[layer.features][..., 0]
                utility = judge_units(units, features, layer.outgoing.weight, self.settings.decay_rate)  # 3
                number = budget.due(self.num_steps)  # 4
                if number is not None:
                    chosen = least_useful(utility, units["age"], self.settings.maturity_threshold, number)
                    self.replace(layer, units, *chosen)
        self.num_steps += 1
        return values[-1], losses

    def replace(self, layer: HiddenLayer, units: dict[str, Array], runs: np.ndarray, replaced: Array) -> None:
        """Make new units of those named by `runs` and `replaced` (K,), the rest of line 4."""
        seeds, runs = self.network.seeds[runs], xp.asarray(runs)
        weight = self.fresh_weights(layer, units["age"], runs, replaced, seeds)
        inherited = self.inherited_step_sizes(layer, units["age"], runs, replaced)
        replace_units(layer, runs, replaced, seeds, self.num_steps)
        if self.settings.new_inputs != "all":
            layer.incoming.weight[runs, replaced] = weight
        reset_optimizer_state(self.optimizer, self.network, layer, runs, replaced)
        if self.settings.inherit:
            incoming, bias, outgoing = self.log_step_sizes(layer)
            incoming[runs, replaced], bias[runs, replaced], outgoing[runs, :, replaced] = inherited
        for array in units.values():
            array[runs, replaced] = 0

    def log_step_sizes(self, layer: HiddenLayer) -> tuple[Array, Array, Array]:
        """Views of beta: of the weights that enter the units (R, H, I), their biases (R, H), what leaves them (R, O, H)."""
        views = self.network.views(self.optimizer.state["log_step_sizes"])
        incoming = views[layer.incoming.index]
        return incoming["weight"], incoming["bias"][..., 0], views[layer.outgoing.index]["weight"]

    def fresh_weights(self, layer: HiddenLayer, age: Array, runs: Array, replaced: Array, seeds: np.ndarray) -> Array:
        """Incoming weights (K, I) of new units: 0 but for a few inputs."""
        settings, number, num_inputs = self.settings, layer.incoming.number, layer.incoming.num_inputs
        where = {"layer": number, "step": self.num_steps, "slot": replaced, "dtype": self.network.dtype}
        if settings.new_inputs == "by_step_sizes":
            mature = other_units(age > settings.maturity_threshold, runs, replaced)
            log_chances = log_input_chances(xp.exp(self.log_step_sizes(layer)[0][runs]), mature, settings.input_power)
        else:
            log_chances = xp.zeros((len(replaced), num_inputs), self.network.dtype)
        uniforms = draws.uniform(seeds, "fresh input", num_inputs, **where)
        drawn = draw_inputs(log_chances, settings.num_new_inputs, uniforms)
        return xp.where(drawn, draws.normal(seeds, "fresh weight", num_inputs, **where) / 2, 0)

    def inherited_step_sizes(
        self, layer: HiddenLayer, age: Array, runs: Array, replaced: Array
    ) -> tuple[Array, Array, Array]:
        """beta of the weights that enter a new unit (K, I), of its bias (K,), and of what leaves it (K, O)."""
        incoming, bias, outgoing = self.log_step_sizes(layer)
        others = other_units(xp.ones_like(age, dtype=bool), runs, replaced)
        return (
            mean_over(incoming[runs].swapaxes(-1, -2), others),
            mean_over(bias[runs], others),
            mean_over(outgoing[runs], others),
        )

    def arrays(self) -> dict[str, Array]:
        """Every array that the learner carries from step to step, by name, each with the runs first."""
        of_units = {f"{name}.{place}": array for place, each in enumerate(self.units) for name, array in each.items()}
        return {"parameters": self.network.parameters, **self.optimizer.state, **of_units}

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all that `restore` needs, on the host."""
        due = {f"replacements_due.{place}": budget.total.copy() for place, budget in enumerate(self.budgets)}
        arrays = {name: to_host(array).copy() for name, array in self.arrays().items()}
        return {**arrays, **due, "num_steps": np.array(self.num_steps)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on where `state` was taken. Raises KeyError or ValueError where it does not fit this learner."""
        for name, array in self.arrays().items():
            if state[name].shape != array.shape:
                raise ValueError(f"{name} has the shape {state[name].shape}, not {array.shape}")
            array[...] = xp.asarray(state[name])
        self.num_steps = int(state["num_steps"])
        for place, budget in enumerate(self.budgets):
            budget.restore(state[f"replacements_due.{place}"].copy(), state[f"age.{place}"], self.num_steps)
