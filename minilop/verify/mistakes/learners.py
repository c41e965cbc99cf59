"""Mistakes of learners of networks."""

from minilop.verify.mistakes import judging, list_of_updates, redo, replacement, selection

FAMILIES = (judging, selection, replacement, redo, list_of_updates)
MISTAKES = [mistake for family in FAMILIES for mistake in family.MISTAKES]
