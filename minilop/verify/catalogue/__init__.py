"""What the cases are, and how their vectors are made: by `reference/`, from draws that anyone can make again.

All random numbers are draws of `minilop.draws`, of the case's seed. Those that an algorithm uses have its own purposes
(the table in draws.py); the examples are normal numbers, rounded to float32 so that both dtypes see the same:

    x   "verify inputs",  step t      y   "verify targets", step t      x/<argument>   "verify <argument>", step t
"""

from minilop.verify.catalogue import (
    curves,
    learners,
    linear,
    network_functions,
    ppo,
    prediction,
    reinforcement_functions,
)

FAMILIES = (learners, linear, prediction, network_functions, reinforcement_functions, ppo, curves)
