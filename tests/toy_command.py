"""`run_all.py` with the toy problem in place of the real ones: python tests/toy_command.py --list"""

import sys
from pathlib import Path
from types import ModuleType

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import toy_problem

stub = ModuleType("problems")
stub.PROBLEMS = {"toy": toy_problem, "toy_again": toy_problem}  # type: ignore[attr-defined]
sys.modules["problems"] = stub

import run_all

if __name__ == "__main__":
    run_all.main(obj=run_all.PROBLEMS)
