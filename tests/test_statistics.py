"""The mean over runs and its standard error, by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from minilop.statistics import mean_and_error

nan = np.nan


@pytest.mark.quick
def test_the_band_is_one_standard_error_of_the_mean():
    """1, 2, 6: mean 3, variance (4 + 1 + 9) / 2 = 7, so sqrt(7 / 3)."""
    mean, error = mean_and_error(np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]]))
    assert_allclose(mean, [3, 5])
    assert_allclose(error, [np.sqrt(7 / 3), 0])


@pytest.mark.quick
def test_a_single_run_has_no_band():
    mean, error = mean_and_error(np.array([[4.0, 2.0]]))
    assert mean.tolist() == [4, 2] and error.tolist() == [0, 0]


@pytest.mark.quick
def test_diverged_runs_are_left_out_and_not_padded():
    """Bin 0 has three runs, bin 1 two, bin 2 one, bin 3 none."""
    mean, error = mean_and_error(np.array([[1, 1, 1, nan], [2, 3, nan, nan], [6, nan, nan, nan]]))
    assert_allclose(mean, [3, 2, 1, nan])
    assert_allclose(error, [np.sqrt(7 / 3), np.sqrt(2 / 2), 0, 0])  # of 1 and 3: variance 2, over two runs
