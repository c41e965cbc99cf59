"""What keeps a network plastic: Shrink & Perturb, Continual Backprop, ReDo, and the learner Dynamic; one file each."""

from minilop.plasticity.continual_backprop import ContinualBackprop
from minilop.plasticity.dynamic import Dynamic
from minilop.plasticity.redo import ReDo
from minilop.plasticity.shrink_and_perturb import ShrinkAndPerturb

__all__ = ["ContinualBackprop", "Dynamic", "ReDo", "ShrinkAndPerturb"]
