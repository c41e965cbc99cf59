"""Blocks and experiments of the toy problem, shared by the tests of the experiment room."""

from pathlib import Path
from typing import Any

import numpy as np
import toy_problem
from toy_problem import ToyLearner, ToySettings

from minilop.experiment.blocks import Block
from minilop.experiment.results import read_result
from minilop.experiment.settings import Experiment


def experiment(learner: str = "fast", **settings: Any) -> Experiment:
    values: ToyLearner = toy_problem.LEARNERS[learner]
    told = ToySettings(**settings)
    source = toy_problem.data_source(told, None)
    return Experiment("toy", learner, told, values, "toy_problem", "smoke", data_source=source)


def block(seeds: tuple[int, ...] = (0, 1), learner: str = "fast", **settings: Any) -> Block:
    return Block(experiment(learner, **settings), seeds, seconds=0.1)


class Ears:
    """Keeps what an engine, a reader or the runner says."""

    def __init__(self) -> None:
        self.reports: list[float] = []
        self.done: list[Block] = []
        self.remarks: list[str] = []  # on those done
        self.failures: list[tuple[Block, str]] = []
        self.warnings: list[str] = []

    def progressed(self, block: Block, progress: float) -> None:
        self.reports.append(progress)

    def finished(self, block: Block, remark: str) -> None:
        self.done.append(block)
        self.remarks.append(remark)

    def failed(self, block: Block, sentence: str) -> None:
        self.failures.append((block, sentence))

    def warn(self, sentence: str) -> None:
        self.warnings.append(sentence)


def results(folder: Path, block: Block) -> dict[int, dict[str, np.ndarray]]:
    """The result files of a block that exist, by seed."""
    found = {seed: read_result(folder, block.experiment, seed, Ears().warn) for seed in block.seeds}
    return {seed: result[0] for seed, result in found.items() if result is not None}


def expected(block: Block) -> dict[int, dict[str, np.ndarray]]:
    """What the toy problem gives without files, interruptions or neighbours."""
    answer = {}
    for seed in block.seeds:
        runs = toy_problem.ToyRuns(
            ToySettings(block.experiment.problem_settings.num_steps), block.experiment.learner_settings, [seed]
        )
        while runs.progress < 1.0:
            runs.advance()
        answer[seed] = {name: array[0] for name, array in runs.results().items()}
    return answer


def assert_same(found: dict[int, dict[str, np.ndarray]], wanted: dict[int, dict[str, np.ndarray]]) -> None:
    """Equal to the last bit, types and NaN included."""
    assert found.keys() == wanted.keys()
    for seed, arrays in wanted.items():
        assert found[seed].keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[seed][name].dtype == array.dtype
            assert found[seed][name].tobytes() == array.tobytes(), (seed, name)
