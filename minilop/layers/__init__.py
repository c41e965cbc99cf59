"""Layers: forward and backward side by side.

A layer without state of its own is three functions of arrays:

    outputs = layer.forward(inputs)
    input_gradient = layer.backward(inputs, outputs, output_gradient)
    layer.fill_gradients(inputs, output_gradient)          # only layers with parameters do something

Images are (R, C, Y, X, B), kernels (R, C_out, C_in, k, k). A gradient is that of the loss with respect to the array it is named after. `networks.py` binds the parameters.
"""

from minilop.layers.activation import Activation
from minilop.layers.convolution import Bias, Convolution, Flatten
from minilop.layers.dense import Dense
from minilop.layers.dropout import Dropout
from minilop.layers.normalization import BatchNorm
from minilop.layers.pending import PendingDense
from minilop.layers.pooling import MaxPool
from minilop.layers.residual import Add, GlobalAveragePool
from minilop.layers.winograd import Winograd

__all__ = [
    "Activation",
    "Add",
    "BatchNorm",
    "Bias",
    "Convolution",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePool",
    "MaxPool",
    "PendingDense",
    "Winograd",
]
