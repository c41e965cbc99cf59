"""The command: run the problems, resume interrupted runs, draw the figures.

python run_all.py --list
python run_all.py --problem permuted_mnist --learner backprop --runs 5
"""

import os
import signal


def leave_at_once(signal_number: int, frame: object) -> None:
    """End with one line while modules are imported, which takes a second."""
    os.write(2, b"Interrupted before anything began; give the same command again.\n")
    os._exit(130)


usual_handler = signal.getsignal(signal.SIGINT)
if __name__ == "__main__" and usual_handler is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave_at_once)

# One thread per process and one process per core. NumPy reads this when imported, and workers inherit it.
for library in ("OPENBLAS", "MKL", "OMP", "BLIS", "VECLIB", "NUMEXPR"):
    os.environ[f"{library}_{'MAXIMUM_THREADS' if library == 'VECLIB' else 'NUM_THREADS'}"] = "1"

from minilop.experiment.command import main
from problems import PROBLEMS

if __name__ == "__main__":
    signal.signal(signal.SIGINT, usual_handler)
    main(obj=PROBLEMS)
