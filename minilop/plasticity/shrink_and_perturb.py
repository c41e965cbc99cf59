"""Shrink & Perturb (Ash and Adams, NeurIPS 2020), in the form of Dohare et al. (2024): at every step.

    shrink    the weight decay of the optimizer's step
    perturb   p <- p + sigma N(0, 1)     for every weight and bias, after the step

sigma is `perturb_scale`, a standard deviation: the paper's ImageNet paragraph says variance, its other paragraphs and
the published code say standard deviation. The noise is scaled neither by the step size (as in some other
implementations) nor by the scale of the initial weights.
"""

import numpy as np

from minilop import draws
from minilop.backend import Array
from minilop.networks import Network

_NORMALS_AT_A_TIME = 1 << 17


class ShrinkAndPerturb:
    """The perturbation of a network; has no state."""

    def __init__(self, network: Network, perturb_scale: Array):
        """perturb_scale is a number, or an array (R, 1) with a value for each run."""
        self.parameters = network.parameters
        self.perturb_scale = perturb_scale
        seeds, layer, dtype = network.seeds, network.first_number, self.parameters.dtype

        def noise(steps: np.ndarray) -> Array:
            size = network.num_parameters
            return draws.normal(seeds, "perturbation", size, layer=layer, step=steps, dtype=dtype)  # (T, R, P)

        steps_at_a_time = max(1, _NORMALS_AT_A_TIME // self.parameters.size)
        self.noise = draws.Ahead(noise, steps_at_a_time, dimensions=seeds.ndim)

    def step(self, step: int) -> None:
        """Perturb the parameters in place."""
        self.parameters += self.perturb_scale * self.noise(step)
