"""The definitions of the cases. `reference/` computes their vectors from reproducible draws.

All random numbers are draws of `minilop.draws` with the case's seed. Draws of an algorithm have the purposes of that
algorithm (the table in draws.py). The examples are normal numbers, rounded to float32 so that both dtypes use the same:

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
