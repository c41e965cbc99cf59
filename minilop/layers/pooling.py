"""2 x 2 max-pooling with stride 2."""

from minilop.backend import Array, blocks, xp
from minilop.layers.layer import Layer


class MaxPool(Layer):
    """The largest of each 2 x 2 square: (R, C, Y, X, B) to (R, C, Y div 2, X div 2, B); an odd last line is left out.

    Of equal numbers the first in reading order gets the gradient, as in PyTorch. That matters: on pictures with even
    areas a quarter of the squares have ties. Comparing left with right, then upper with lower, each with >, keeps it.
    """

    right: Array  # where the right one of a pair was larger, (R C, 2 (Y div 2), X div 2, B); of the last forward pass
    lower: Array  # where the lower one was, (R C, Y div 2, X div 2, B)

    def forward(self, inputs: Array) -> Array:
        images = inputs.reshape(-1, *inputs.shape[-3:])  # (R C, Y, X, B), of which a few at a time stay in the cache
        height, width, batch = images.shape[1] // 2, images.shape[2] // 2, images.shape[3]
        self.right = xp.empty((len(images), 2 * height, width, batch), bool)
        self.lower = xp.empty((len(images), height, width, batch), bool)
        outputs = xp.empty(self.lower.shape, inputs.dtype)
        for block in blocks(len(images), images.size):
            left, right = _left_and_right(images[block])
            xp.greater(right, left, out=self.right[block])
            pairs = xp.maximum(left, right)
            upper, lower = pairs[:, 0::2], pairs[:, 1::2]
            xp.greater(lower, upper, out=self.lower[block])
            xp.maximum(upper, lower, out=outputs[block])
        return outputs.reshape(*inputs.shape[:-3], height, width, batch)

    def backward(self, inputs: Array, outputs: Array, output_gradient: Array) -> Array:
        output_gradient = output_gradient.reshape(self.lower.shape)
        gradient = xp.empty((len(self.lower), *inputs.shape[-3:]), output_gradient.dtype)
        gradient[:, self.right.shape[1] :] = 0  # an odd last line
        gradient[:, :, 2 * self.right.shape[2] :] = 0
        for block in blocks(len(gradient), gradient.size):
            pairs = xp.empty(self.right[block].shape, gradient.dtype)
            upper, lower = pairs[:, 0::2], pairs[:, 1::2]
            xp.multiply(output_gradient[block], self.lower[block], out=lower)
            xp.subtract(output_gradient[block], lower, out=upper)
            left, right = _left_and_right(gradient[block])
            xp.multiply(pairs, self.right[block], out=right)
            xp.subtract(pairs, right, out=left)
        return gradient.reshape(inputs.shape)


def _left_and_right(images: Array) -> tuple[Array, Array]:
    """The left and the right one of each pair of neighbours of (N, Y, X, B), but for an odd last line."""
    height, width = images.shape[1] // 2 * 2, images.shape[2] // 2 * 2
    return images[:, :height, 0:width:2], images[:, :height, 1:width:2]
