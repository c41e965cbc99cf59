"""The benchmarks compare the same work; how fast it is, they tell, and no test asserts."""

import json

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import pairs
from benchmarks.rows import ROWS


@pytest.mark.campaign
@pytest.mark.parametrize("name", ROWS)
def test_every_row_makes_a_pair_whose_two_sides_take_steps(name):
    pair = ROWS[name]()
    for _ in range(1 if name.startswith("resnet") else 3):  # whose steps take seconds
        pair.ours()
        if pair.peer:
            pair.peer()
    assert pair.runs >= 1


@pytest.mark.quick
def test_a_row_quotes_medians_and_the_median_of_the_ratios_of_the_rounds(monkeypatch):
    """Rounds of 2, 4, 9 seconds for us and 1, 4, 3 for the peer have ratios 2, 1, 3: median 2, not 4 / 3."""
    times = iter([1.0, 1.0, 2.0, 1.0, 4.0, 4.0, 9.0, 3.0])  # one each to count the calls of a round, then the rounds
    monkeypatch.setattr(pairs, "_seconds", lambda function, calls: next(times))
    monkeypatch.setattr(pairs, "ROUNDS", 3)
    row = pairs.compare("a row", pairs.Pair(lambda: None, lambda: None))
    assert (row.ours, row.peer) == (4e6, 3e6)
    assert (row.ratio, row.lowest_ratio, row.highest_ratio) == (2.0, 1.0, 3.0)


@pytest.mark.quick
def test_times_of_many_runs_side_by_side_are_per_run(monkeypatch):
    monkeypatch.setattr(pairs, "_seconds", lambda function, calls: 1.0)
    assert pairs.compare("a row", pairs.Pair(lambda: None, None, runs=4)).ours == 0.25e6


@pytest.mark.quick
def test_the_command_lists_rows_refuses_unknown_ones_and_writes_json(monkeypatch, tmp_path):
    runner = CliRunner()
    assert set(ROWS) == set(runner.invoke(command.main, ["--list"]).output.split())
    refused = runner.invoke(command.main, ["million_wurds"])
    assert refused.exit_code == 2 and "million_words" in refused.output
    monkeypatch.setattr(pairs, "ROUNDS", 1)
    monkeypatch.setattr(pairs, "SECONDS_PER_ROUND", 1e-3)
    done = runner.invoke(command.main, ["million_words", "--json", str(tmp_path / "rows.json")])
    assert done.exit_code == 0
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["name"] == "million_words" and row["ours"] > 0 and row["ratio"] > 0
