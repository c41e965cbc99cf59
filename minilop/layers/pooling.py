"""2 x 2 max-pooling with stride 2."""

from minilop.backend import Array, xp
from minilop.layers.layer import Layer


class MaxPool(Layer):
    """The largest of each 2 x 2 square: (R, C, Y, X, B) to (R, C, Y div 2, X div 2, B); an odd last line is left out.

    Of equal numbers the first in reading order gets the gradient, as in PyTorch. That matters: on pictures with even
    areas a quarter of the squares have ties. Comparing left with right, then upper with lower, each with >, keeps it.
    """

    right: Array  # where the right one of a pair was larger, (R, C, 2 (Y div 2), X div 2, B); of the last forward pass
    lower: Array  # where the lower one was, (R, C, Y div 2, X div 2, B)

    def forward(self, inputs: Array) -> Array:
        height, width = inputs.shape[-3] // 2 * 2, inputs.shape[-2] // 2 * 2
        left, right = inputs[..., :height, 0:width:2, :], inputs[..., :height, 1:width:2, :]
        self.right = right > left
        pairs = xp.maximum(left, right)
        upper, lower = pairs[..., 0::2, :, :], pairs[..., 1::2, :, :]
        self.lower = lower > upper
        return xp.maximum(upper, lower)

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        height, width = inputs.shape[-3] // 2 * 2, inputs.shape[-2] // 2 * 2
        pairs = xp.empty(self.right.shape, output_gradient.dtype)
        xp.multiply(output_gradient, self.lower, out=pairs[..., 1::2, :, :])
        xp.subtract(output_gradient, pairs[..., 1::2, :, :], out=pairs[..., 0::2, :, :])
        gradient = xp.zeros(inputs.shape, output_gradient.dtype)
        xp.multiply(pairs, self.right, out=gradient[..., :height, 1:width:2, :])
        xp.subtract(pairs, gradient[..., :height, 1:width:2, :], out=gradient[..., :height, 0:width:2, :])
        return gradient
