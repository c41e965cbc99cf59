"""Damaged data files by the thousand: no traceback, no reading without end, no change that passes for the original.

The campaign at full size is `python tests/data_mutations.py` (about three minutes); here it is a small part of it.
"""

import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="memory is limited as POSIX does it")
import data_mutations


def run(*arguments):
    """The campaign in a process of its own, whose memory is limited to 1 GB; gives what it printed."""
    root = Path(__file__).parents[1]
    command = [sys.executable, str(root / "tests" / "data_mutations.py"), *map(str, arguments)]
    environment = {"PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.quick
def test_a_mutation_changes_the_content_and_is_the_same_every_time():
    content = bytes(range(256))
    first = [data_mutations.mutate(content, random.Random(seed)) for seed in range(50)]
    assert first == [data_mutations.mutate(content, random.Random(seed)) for seed in range(50)]
    assert sum(changed != content for changed in first) > 40
    assert {len(changed) for changed in first} >= {256}


@pytest.mark.quick
def test_undamaged_files_of_every_format_are_read(tmp_path):
    """Else the campaign would count nothing but refusals."""
    lines = run(0, 10**9).splitlines()
    assert len(lines) == 2 + 16 + 1 and lines[-1].startswith("0 faults")


@pytest.mark.campaign
def test_no_damage_is_a_traceback_an_endless_reading_or_passes_for_the_original():
    assert "0 faults" in run(40, 61)
