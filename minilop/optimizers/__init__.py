"""Optimizers: each turns gradients (R, P) into a change of the parameters (R, P), with its state in equal shapes."""

from minilop.optimizers.adam import Adam
from minilop.optimizers.sgd import SGD

__all__ = ["SGD", "Adam"]
