"""Optimizers: each turns gradients (R, P) into a change of the parameters (R, P), with its state in equal shapes.

LMS, IDBD and Autostep are for linear predictions, one example at a time: they want error and inputs apart. So does network
IDBD, which finds them in the values of a network.
"""

from minilop.optimizers.adam import Adam
from minilop.optimizers.autostep import Autostep
from minilop.optimizers.idbd import IDBD
from minilop.optimizers.lms import LMS
from minilop.optimizers.metaoptimize import MetaOptimize
from minilop.optimizers.network_idbd import NetworkIDBD
from minilop.optimizers.sgd import SGD

__all__ = ["IDBD", "LMS", "SGD", "Adam", "Autostep", "MetaOptimize", "NetworkIDBD"]
