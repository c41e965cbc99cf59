"""Mistakes of learners of networks."""

from minilop.verify.mistakes import learned_step_sizes, redo, replacement, selection, updates, utility

FAMILIES = (utility, selection, replacement, redo, updates, learned_step_sizes)
MISTAKES = [mistake for family in FAMILIES for mistake in family.MISTAKES]
