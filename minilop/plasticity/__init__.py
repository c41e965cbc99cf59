"""Rules that keep a network plastic, one in each file. A learner applies them in addition to its optimizer."""

from minilop.plasticity.continual_backprop import ContinualBackprop
from minilop.plasticity.generate_and_test import GenerateAndTest
from minilop.plasticity.l2_init import L2Init
from minilop.plasticity.redo import ReDo
from minilop.plasticity.shrink_and_perturb import ShrinkAndPerturb

__all__ = ["ContinualBackprop", "GenerateAndTest", "L2Init", "ReDo", "ShrinkAndPerturb"]
