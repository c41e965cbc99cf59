"""Mistakes of learners of networks."""

from minilop.verify.mistakes import list_of_replacement, list_of_updates

MISTAKES = [*list_of_replacement.MISTAKES, *list_of_updates.MISTAKES]
