"""What keeps a network plastic: a rule in each file, which a learner applies beside its optimizer."""

from minilop.plasticity.continual_backprop import ContinualBackprop
from minilop.plasticity.generate_and_test import GenerateAndTest
from minilop.plasticity.l2_init import L2Init
from minilop.plasticity.redo import ReDo
from minilop.plasticity.shrink_and_perturb import ShrinkAndPerturb

__all__ = ["ContinualBackprop", "GenerateAndTest", "L2Init", "ReDo", "ShrinkAndPerturb"]
