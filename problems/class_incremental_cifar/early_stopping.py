"""Early stopping: each run keeps the network of its best epoch of an increment, by validation accuracy."""

from minilop.backend import Array, xp
from minilop.networks import Network


class EarlyStopping:
    """The best networks of R runs so far in an increment, and their accuracies.

    record   (R,) each: the highest test accuracy of any epoch; for the best epoch by validation accuracy, its test
             accuracy, validation accuracy and number
    best     copies of the parameters (R, P) and running statistics of each run's best epoch by validation accuracy
    """

    def __init__(self, network: Network):
        self.network = network
        self.best = {name: array.copy() for name, array in self.arrays().items()}
        self.begin()

    def begin(self) -> None:
        """Begin an increment. The recorded accuracies are below 0, so that the first epoch is better."""
        names = ("best_test_accuracy", "test_accuracy", "validation_accuracy", "stopping_epoch")
        self.record = {name: xp.full(len(self.network.seeds), -1.0) for name in names}

    def arrays(self) -> dict[str, Array]:
        """The arrays of the network to be kept: parameters and running statistics, but not momentum and ages."""
        return {"parameters": self.network.parameters, **self.network.buffers()}

    def end_epoch(self, epoch: int, validation: Array, test: Array) -> None:
        """Copy the network of each run whose validation accuracy (R,) strictly exceeds its best so far."""
        record = self.record
        better = validation > record["validation_accuracy"]  # (R,)
        for name, array in self.arrays().items():
            xp.copyto(self.best[name], array, where=better.reshape((-1,) + (1,) * (array.ndim - 1)))
        self.record = {
            "best_test_accuracy": xp.maximum(record["best_test_accuracy"], test),
            "test_accuracy": xp.where(better, test, record["test_accuracy"]),
            "validation_accuracy": xp.where(better, validation, record["validation_accuracy"]),
            "stopping_epoch": xp.where(better, epoch + 1.0, record["stopping_epoch"]),
        }

    def load_best(self) -> None:
        """Continue every run with its best network."""
        for name, array in self.arrays().items():
            array[...] = self.best[name]
