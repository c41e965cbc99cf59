"""2 x 2 max-pooling with stride 2."""

from minilop.backend import Array, xp
from minilop.layers.layer import Layer


def corners(images: Array) -> list[Array]:
    """The four pixels of every 2 x 2 square of images (..., Y, X, B), in reading order.

    Each is a view (..., Y div 2, X div 2, B). If Y or X is odd, the last row or column belongs to no square.
    """
    height, width = images.shape[-3] // 2 * 2, images.shape[-2] // 2 * 2
    return [images[..., row:height:2, column:width:2, :] for row in (0, 1) for column in (0, 1)]


class MaxPool(Layer):
    """The maximum of each 2 x 2 square, (R, C, Y, X, B) to (R, C, Y div 2, X div 2, B).

    If several pixels of a square equal the maximum, the first in reading order gets the gradient, as in PyTorch. This
    rule matters: in pictures with uniform areas, a quarter of the squares have ties.
    """

    def forward(self, inputs: Array) -> Array:
        upper_left, upper_right, lower_left, lower_right = corners(inputs)
        return xp.maximum(xp.maximum(upper_left, upper_right), xp.maximum(lower_left, lower_right))

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        input_gradient = xp.zeros_like(inputs)
        is_unassigned = xp.ones(outputs.shape, bool)  # no earlier corner of the square equals the maximum
        for corner, corner_gradient in zip(corners(inputs), corners(input_gradient)):
            is_first = (corner == outputs) & is_unassigned
            xp.multiply(output_gradient, is_first, out=corner_gradient)
            is_unassigned &= ~is_first
        return input_gradient
