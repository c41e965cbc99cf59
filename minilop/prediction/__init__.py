"""Methods for the streaming prediction of a discounted sum of future signals, linear in the features."""

from minilop.prediction.swift_td import SwiftTD
from minilop.prediction.td_lambda import TDLambda, TrueOnlineTDLambda
from minilop.prediction.tidbd import TIDBD

__all__ = ["TIDBD", "SwiftTD", "TDLambda", "TrueOnlineTDLambda"]
