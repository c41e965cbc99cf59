"""Gymnasium's interface to our ants: its environment checker, and the ends of episodes."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode

from problems.ant import AntEnvironments, AntSettings
from problems.ant.gymnasium_ants import AntEnv, AntVectorEnv

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore:.*infinity"),  # the checker recommends bounds of observations
    pytest.mark.filterwarnings("ignore:.*render modes"),
]


def make_vector(number=4, **settings):
    return AntVectorEnv(AntSettings(num_environments=number, **settings))


def make_actions(steps, number=4):
    return np.random.default_rng(0).uniform(-1, 1, (steps, number, 8)).astype("float32")


@pytest.mark.quick
def test_gymnasiums_checker_accepts_a_single_ant():
    check_env(AntEnv())


def test_an_episode_of_a_single_ant_ends_at_the_time_limit_and_begins_with_reset():
    ant = AntEnv(AntSettings(num_environments=1, time_limit=3))
    first, _ = ant.reset(seed=5)
    for number in range(1, 4):
        observation, _, terminated, truncated, information = ant.step(np.zeros(8, "float32"))
        assert (terminated, truncated) == (False, number == 3)
    assert information["episode_steps"] == 3
    assert abs(observation - first).max() < 2  # the last position, not the first of the next episode
    second, _ = ant.reset()
    assert not np.array_equal(first, second)
    assert_array_equal(ant.reset(seed=5)[0], first)


def test_the_vector_declares_spaces_and_resets_in_the_same_step():
    ants = make_vector()
    assert ants.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert ants.observation_space.shape == (4, 27) and ants.action_space.shape == (4, 8)
    observations, _ = ants.reset(seed=1)
    assert observations in ants.observation_space
    observations, rewards, terminations, truncations, _ = ants.step(ants.action_space.sample())
    assert observations in ants.observation_space
    assert rewards.shape == terminations.shape == truncations.shape == (4,)
    assert terminations.dtype == truncations.dtype == bool


def test_the_vector_is_one_run_of_our_environments():
    ants, ours = make_vector(time_limit=5), AntEnvironments(AntSettings(num_environments=4, time_limit=5), [9])
    observations, _ = ants.reset(seed=9)
    ours.reset()
    for actions in make_actions(12):
        observations, rewards, terminations, truncations, information = ants.step(actions)
        step = ours.step(actions.T[None])
        assert_array_equal(observations, step.observations[0].T)
        assert_array_equal(rewards, step.rewards[0])
        assert_array_equal(terminations, step.terminated[0])
        assert_array_equal(truncations, step.timed_out[0])
        for number in np.flatnonzero(terminations | truncations):
            assert information["_final_obs"][number]
            assert_array_equal(information["final_obs"][number], step.last_observations[0, :, number])
            assert information["final_info"]["episode_returns"][number] == step.episode_returns[0, number]


def test_the_end_of_an_episode_is_told_as_gymnasiums_own_vector_tells_it():
    """The same ant twice, in SyncVectorEnv and in ours: the same keys, masks and shapes."""
    theirs = gymnasium.vector.SyncVectorEnv(
        [lambda: AntEnv(AntSettings(num_environments=1, time_limit=2))] * 2, autoreset_mode=AutoresetMode.SAME_STEP
    )
    ours = make_vector(2, time_limit=2)
    told = []
    for ants in (theirs, ours):
        ants.reset(seed=3)
        ants.step(np.zeros((2, 8), "float32"))
        told.append(ants.step(np.zeros((2, 8), "float32"))[-1])
    expected, found = told
    for key in ("_final_obs", "_final_info"):
        assert_array_equal(found[key], expected[key])
    assert set(found["final_info"]) == set(expected["final_info"])
    assert found["final_obs"].dtype == expected["final_obs"].dtype == object
    assert found["final_obs"][1].shape == expected["final_obs"][1].shape == (27,)
    theirs.close()


def test_gymnasiums_wrappers_work_on_the_vector():
    ants = gymnasium.wrappers.vector.RecordEpisodeStatistics(make_vector(time_limit=3))
    ants.reset(seed=0)
    total = np.zeros(4)
    for actions in make_actions(3):
        _, rewards, _, _, information = ants.step(actions)
        total += rewards
    np.testing.assert_allclose(information["episode"]["r"], total, rtol=1e-5)


def test_what_is_returned_does_not_change_later():
    ants = make_vector()
    actions = make_actions(2)
    observations, _ = ants.reset(seed=0)
    kept = observations.copy()
    first = ants.step(actions[0])
    rewards = first[1].copy()
    ants.step(actions[1])
    assert data_equivalence(observations, kept, exact=True) and data_equivalence(first[1], rewards, exact=True)


def test_friction_is_an_option_of_reset_and_stays():
    ants = make_vector()
    ants.reset(seed=0, options={"friction": [0.1, 0.2, 0.3, 0.4]})
    ants.reset(seed=1)
    np.testing.assert_allclose(ants.environments.friction[0], [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(ValueError, match="friction must be finite"):
        ants.reset(options={"friction": -1})
    with pytest.raises(ValueError, match="the only option of reset is friction, not gravity"):
        ants.reset(options={"gravity": 0})


def test_bad_actions_are_refused_in_a_sentence():
    ants, ant = make_vector(), AntEnv()
    with pytest.raises(ValueError, match=r"shape \(4, 8\), not \(8, 4\)"):
        ants.step(np.zeros((8, 4)))
    with pytest.raises(ValueError, match="must be finite"):
        ants.step(np.full((4, 8), np.nan))
    with pytest.raises(ValueError, match=r"shape \(8,\), not \(1, 8\)"):
        ant.step(np.zeros((1, 8)))
    with pytest.raises(ValueError, match="num_environments must be 1, not 2"):
        AntEnv(AntSettings(num_environments=2))
