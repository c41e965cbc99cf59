"""What a known mistake is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minilop.verify.case import Case


@dataclass(frozen=True)
class Mistake:
    """One deliberate mistake, and the reference that makes it.

    name   "outgoing_weights_kept"
    says   a sentence: what the implementation does, and what it should do
    page   where the right thing is explained, a file of minilop
    kind   of the cases in which it can be made
    make   an adapter that plays the reference with it
    applies   to which cases of that kind
    """

    name: str
    says: str
    page: str
    kind: str
    make: Callable[[], Any]
    applies: Callable[[Case], bool] = lambda case: True
