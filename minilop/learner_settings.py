"""The settings of a learner: its network, optimizer and rules, each with its own hyperparameters.

settings = LearnerSettings(SGD(step_size=0.01), (ContinualBackprop(replacement_rate=1e-4),))
network = make_mlp((20, 5, 1), settings, seeds=range(30))
learner = make_learner(network, squared_error, settings)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from minilop.checks import check_choices, check_range
from minilop.fast import BufferedDense
from minilop.initialization import Scheme
from minilop.layers import Dense
from minilop.layers.activation import ActivationName
from minilop.learner import Learner, Reset
from minilop.losses import Loss
from minilop.networks import Network
from minilop.optimizers import SGD
from minilop.optimizers.optimizer import Optimizer
from minilop.plasticity.rule import Rule
from minilop.recipes import convnet, linear, mlp


@dataclass(frozen=True)
class NetworkSettings:
    """Properties of the network that a learner chooses; the problem sets the sizes."""

    kind: Literal["deep", "linear"] = "deep"  # the problem's network, or a linear one without hidden units
    activation: ActivationName = "relu"
    dropout: float = 0.0  # probability that a feature is dropped
    batch_norm: bool = False  # normalize before each activation; for mini-batches

    def __post_init__(self) -> None:
        """Raises ValueError for values that are out of range or contradict each other."""
        check_choices(self)
        check_range(self, "dropout", 0, 1, below_high=True)
        if self.kind == "linear" and (self.dropout or self.batch_norm):
            raise ValueError("kind=linear has no hidden units to drop or normalize; choose kind=deep")


@dataclass(frozen=True)
class LearnerSettings:
    """All settings of a learner."""

    optimizer: Optimizer = field(default_factory=SGD)
    rules: tuple[Rule, ...] = ()
    network: NetworkSettings = NetworkSettings()
    reset: Reset = "nothing"  # at a new task; see Learner.reset
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Raises ValueError for values out of range or incompatible parts."""
        check_choices(self)
        for rule in self.rules:
            if rule.needs_hidden_units and self.network.kind == "linear":
                raise ValueError(f"{rule.name} acts on hidden units, and kind=linear has none; choose kind=deep")
            rule.check_optimizer(self.optimizer)

    def parts(self) -> dict[str, Any]:
        """Optimizer, network and rules by name."""
        return {"optimizer": self.optimizer, "network": self.network, **{rule.name: rule for rule in self.rules}}

    def with_rules(self, *rules: Rule) -> Self:
        """A copy with these rules appended."""
        return replace(self, rules=(*self.rules, *rules))

    def with_part(self, name: str, part: Any) -> Self:
        """A copy in which `part` replaces the part called `name`."""
        if name in ("optimizer", "network"):
            return replace(self, **{name: part})
        return replace(self, rules=tuple(part if rule.name == name else rule for rule in self.rules))

    def change(self, **values: Any) -> Self:
        """A copy with new values of settings, for example change(step_size=0.1).

        Raises ValueError unless each name is a setting of exactly one part.
        """
        own: dict[str, Any] = {}
        of_parts: dict[str, dict[str, Any]] = {}
        for key, value in values.items():
            owners = [name for name, part in self.parts().items() if key in {item.name for item in fields(part)}]
            if key in ("reset", "dtype"):
                own[key] = value
            elif len(owners) == 1:
                of_parts.setdefault(owners[0], {})[key] = value
            else:
                raise ValueError(f"{key} belongs to {' and '.join(owners) or 'no part'} of this learner; see parts()")
        changed = replace(self, **own)
        for name, changes in of_parts.items():
            changed = changed.with_part(name, replace(self.parts()[name], **changes))
        return changed


def make_learner(network: Network, loss: Loss | None, settings: LearnerSettings) -> Learner:
    """The learner that `settings` describe."""
    return Learner(network, loss, settings.optimizer, settings.rules)


def make_mlp(
    sizes: Sequence[int],
    settings: LearnerSettings,
    seeds: Sequence[int],
    scheme: Scheme = "kaiming",
    first_number: int = 0,
) -> Network:
    """The multilayer perceptron that `settings` describe, or its linear baseline from inputs to outputs.

    first_number   the number of its first layer; the layer numbers of a second network continue those of the first
    """
    if settings.network.batch_norm:
        raise ValueError("batch_norm needs a network that learns from mini-batches of images; set it to false.")
    dense_layer = BufferedDense if settings.optimizer.buffers_updates else Dense
    if settings.network.kind == "linear":
        return linear(sizes[:1], sizes[-1], seeds, settings.dtype, first_number, dense_layer=dense_layer)
    options: dict[str, Any] = {"scheme": scheme, "dropout": settings.network.dropout, "dense_layer": dense_layer}
    return mlp(sizes, settings.network.activation, seeds, settings.dtype, first_number=first_number, **options)


def make_convnet(
    input_shape: tuple[int, int, int],
    kernels: Sequence[tuple[int, int]],
    dense_units: Sequence[int],
    num_outputs: int,
    settings: LearnerSettings,
    seeds: Sequence[int],
    scheme: Scheme = "default",
) -> Network:
    """The convolutional network that `settings` describe, or its linear baseline from pixels to outputs.

    input_shape   (C, Y, X) of square images
    kernels       number and size of the kernels of each convolution

    Raises ValueError if the images are too small for the kernels, or if the optimizer supports dense layers only.
    """
    if input_shape[-1] != input_shape[-2]:
        raise ValueError(f"Images must be square, not {input_shape[-2]} x {input_shape[-1]} pixels.")
    if not settings.optimizer.forms_gradients:
        raise ValueError(f"{settings.optimizer.name} is for networks of dense layers; choose sgd")
    if settings.network.kind == "linear":
        return linear(input_shape, num_outputs, seeds, settings.dtype)
    num_channels, image_size, _ = input_shape
    sizes: dict[str, Any] = {"kernels": kernels, "dense_units": dense_units, "num_outputs": num_outputs}
    chosen: dict[str, Any] = {name: getattr(settings.network, name) for name in ("activation", "dropout", "batch_norm")}
    sizes |= {"num_channels": num_channels, "image_size": image_size}
    return convnet(seeds, settings.dtype, scheme=scheme, **sizes, **chosen)
