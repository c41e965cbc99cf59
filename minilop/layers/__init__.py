"""Layers: forward and backward side by side.

A layer is three functions of arrays:

    outputs = layer.forward(inputs)
    input_gradient = layer.backward(inputs, outputs, output_gradient)
    layer.fill_gradients(inputs, output_gradient)          # does nothing in layers without parameters

Images are (R, C, Y, X, B), kernels (R, C_out, C_in, k, k). `output_gradient` is the gradient of the loss with respect
to the outputs, and so on. `networks.py` makes the parameters of all layers views of one array.
"""

from minilop.layers.activation import Activation
from minilop.layers.convolution import Bias, Convolution, Flatten
from minilop.layers.dense import Dense
from minilop.layers.dropout import Dropout
from minilop.layers.normalization import BatchNorm
from minilop.layers.pooling import MaxPool

__all__ = ["Activation", "BatchNorm", "Bias", "Convolution", "Dense", "Dropout", "Flatten", "MaxPool"]
