"""Shrink & Perturb (Ash and Adams, NeurIPS 2020) at every step, as in Dohare et al. (2024).

    shrink    the weight decay of the optimizer's step: SGD(weight_decay=...)
    perturb   p <- p + sigma N(0, 1)     for every weight and bias, after the step

sigma is `perturb_scale`, a standard deviation. The paper's ImageNet paragraph calls it a variance, but its other
paragraphs and the published code use it as a standard deviation. The noise is scaled neither by the step size (as in
some other implementations) nor by the scale of the initial weights.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minilop import draws
from minilop.backend import Array, like
from minilop.checks import check_range
from minilop.plasticity.rule import Rule

_NORMALS_AT_A_TIME = 1 << 17


@dataclass
class ShrinkAndPerturb(Rule):
    """The perturbation, without state. `perturb_scale` is a number, or (R, 1) with a value for each run."""

    perturb_scale: Array = 1e-5  # the paper's for Permuted MNIST

    name: ClassVar[str] = "shrink_and_perturb"

    def __post_init__(self) -> None:
        """Raises ValueError for a negative scale."""
        check_range(self, "perturb_scale", 0)

    def start(self) -> None:
        network = self.network
        self.perturb_scale = like(network.parameters, self.perturb_scale)

        def draw(steps: np.ndarray) -> Array:
            size, layer, dtype = network.num_parameters, network.first_number, network.dtype
            return draws.normal(network.seeds, "perturbation", size, layer=layer, step=steps, dtype=dtype)  # (T, R, P)

        steps_at_a_time = max(1, _NORMALS_AT_A_TIME // network.parameters.size)
        self.noise = draws.PrefetchedDraws(draw, steps_at_a_time, dimensions=network.seeds.ndim)

    def after_update(self, values: list[Array], gradients: Array, step: int) -> None:
        """Perturb the parameters in place."""
        self.network.parameters += self.perturb_scale * self.noise(step)
