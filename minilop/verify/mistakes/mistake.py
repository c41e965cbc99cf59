"""A known mistake of an implementation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minilop.verify.case import Case


@dataclass(frozen=True)
class Mistake:
    """A deliberate mistake, and the reference that makes it.

    name      for example "outgoing_weights_kept"
    says      a sentence: what the implementation does, and what it should do
    page      the file of minilop that explains the correct behavior
    kind      of the cases in which the mistake is possible
    make      returns an adapter, the reference with this mistake
    applies   whether the mistake is possible in a case of this kind
    """

    name: str
    says: str
    page: str
    kind: str
    make: Callable[[], Any]
    applies: Callable[[Case], bool] = lambda case: True
