"""Optimizers turn gradients (R, P) into changes of the parameters (R, P).

LMS, IDBD and Autostep learn linear predictions from one example at a time. They need the error and the inputs
separately. Network IDBD does, too; it takes them from the values of a network.
"""

from minilop.optimizers.adam import Adam
from minilop.optimizers.autostep import Autostep
from minilop.optimizers.idbd import IDBD
from minilop.optimizers.lms import LMS
from minilop.optimizers.metaoptimize import MetaOptimize
from minilop.optimizers.network_idbd import NetworkIDBD
from minilop.optimizers.sgd import SGD

__all__ = ["IDBD", "LMS", "SGD", "Adam", "Autostep", "MetaOptimize", "NetworkIDBD"]
