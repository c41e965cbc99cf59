"""Mistakes of learners of networks."""

from minilop.verify.mistakes import judging, learned_step_sizes, redo, replacement, selection, updates

FAMILIES = (judging, selection, replacement, redo, updates, learned_step_sizes)
MISTAKES = [mistake for family in FAMILIES for mistake in family.MISTAKES]
