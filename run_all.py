"""The command: run the problems, go on where an earlier command stopped, draw the figures.

python run_all.py --list
python run_all.py --problem permuted_mnist --learner backprop --runs 5
"""

import os

# One thread per process and one process per core. NumPy reads this at its import, and workers inherit it.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

from minilop.experiment.command import main
from problems import PROBLEMS

if __name__ == "__main__":
    main(obj=PROBLEMS)
