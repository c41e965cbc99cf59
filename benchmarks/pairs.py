"""Timing of two functions in alternation, A B A B ..., because the load of the machine varies."""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROUNDS = 9
SECONDS_PER_ROUND = 0.3


@dataclass(frozen=True)
class Pair:
    """The two functions that one row compares.

    ours, peer   do one step, or one batch of draws; peer may be None
    runs         number of runs that one call of ours advances; times are divided by it
    """

    ours: Callable[[], Any]
    peer: Callable[[], Any] | None
    runs: int = 1


@dataclass(frozen=True)
class Row:
    """A finished comparison: times in microseconds of processor time per run and step, ratios ours / peer."""

    name: str
    ours: float
    peer: float | None
    ratio: float | None
    lowest_ratio: float | None
    highest_ratio: float | None
    processor: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        text = f"{self.name:<44} ours {self.ours:>11.3f} us"
        if self.peer is None or self.ratio is None:
            return text + "   (no peer installed)"
        times = f"{1 / self.ratio:.0f} times faster" if self.ratio < 0.1 else f"{self.ratio:.2f}"
        spread = f"{self.lowest_ratio:.2g} to {self.highest_ratio:.2g}"
        return f"{text}   peer {self.peer:>11.1f} us   ours / peer {self.ratio:.3g} ({spread}): {times}"


def compare(name: str, pair: Pair) -> Row:
    """Time both in alternation. Returns medians of the times and of the ratios over the rounds."""
    ours_calls = _calls_per_round(pair.ours)
    peer_calls = _calls_per_round(pair.peer) if pair.peer else 0
    ours, peer = [], []
    for _ in range(ROUNDS):
        ours.append(_seconds(pair.ours, ours_calls) / pair.runs * 1e6)
        if pair.peer:
            peer.append(_seconds(pair.peer, peer_calls) * 1e6)
    if not peer:
        return Row(name, statistics.median(ours), None, None, None, None, processor())
    ratios = [a / b for a, b in zip(ours, peer)]
    middle = statistics.median(ratios)
    return Row(name, statistics.median(ours), statistics.median(peer), middle, min(ratios), max(ratios), processor())


def processor() -> str:
    """The name of the processor."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _calls_per_round(function: Callable[[], Any]) -> int:
    function()  # the first call allocates memory
    once = max(_seconds(function, 3), 1e-7)
    return max(1, int(SECONDS_PER_ROUND / once))


def _seconds(function: Callable[[], Any], calls: int) -> float:
    """Processor seconds per call. On a shared machine, wall-clock time would include the work of other processes."""
    start = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - start) / calls
