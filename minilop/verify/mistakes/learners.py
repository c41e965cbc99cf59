"""Mistakes of learners of networks."""

from minilop.verify.mistakes import of_replacement, of_updates

MISTAKES = [*of_replacement.MISTAKES, *of_updates.MISTAKES]
