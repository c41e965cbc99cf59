"""Known mistakes: the reference with one error that has been observed in reimplementations."""

from minilop.verify.mistakes import learners, linear, network_functions, ppo, prediction, reinforcement_functions
from minilop.verify.mistakes.mistake import Mistake

FAMILIES = (learners, linear, prediction, network_functions, reinforcement_functions, ppo)
MISTAKES: dict[str, Mistake] = {mistake.name: mistake for family in FAMILIES for mistake in family.MISTAKES}
