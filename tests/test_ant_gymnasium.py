"""Gymnasium's interface to our ants: its environment checker, and the ends of episodes."""

import numpy as np
import pytest
from conftest import host
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


MODES = (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP)


def make_vector(number=4, mode=AutoresetMode.SAME_STEP, **settings):
    return AntVectorEnv(AntSettings(num_environments=number, **settings), mode)


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


def test_each_ant_of_the_vector_is_a_run_of_our_environments():
    ants, ours = make_vector(time_limit=5), AntEnvironments(AntSettings(num_environments=1, time_limit=5), range(9, 13))
    observations, _ = ants.reset(seed=9)
    assert_array_equal(observations, ours.reset()[:, :, 0])
    for actions in make_actions(12):
        observations, rewards, terminations, truncations, information = ants.step(actions)
        step = ours.step(actions[:, :, None])
        assert_array_equal(observations, step.observations[:, :, 0])
        assert_array_equal(rewards, step.rewards[:, 0])
        assert_array_equal(terminations, step.terminated[:, 0])
        assert_array_equal(truncations, step.timed_out[:, 0])
        for number in np.flatnonzero(terminations | truncations):
            assert information["_final_obs"][number]
            assert_array_equal(information["final_obs"][number], step.last_observations[number, :, 0])
            assert information["final_info"]["episode_returns"][number] == step.episode_returns[number, 0]


# --- seeds ------------------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_ants_without_a_seed_differ():
    first, second = AntEnv().reset()[0], AntEnv().reset()[0]
    assert not np.array_equal(first, second)
    first, second = make_vector().reset()[0], make_vector().reset()[0]
    assert len(np.unique([*first, *second], axis=0)) == 8


def test_the_seeds_of_ants_without_a_seed_can_be_read_and_repeat_them():
    ants, ant = make_vector(), AntEnv()
    observations, _ = ants.reset()
    assert_array_equal(make_vector().reset(seed=ants.np_random_seed)[0], observations)
    observation, _ = ant.reset()
    assert_array_equal(AntEnv().reset(seed=ant.np_random_seed)[0], observation)


def test_a_reset_without_a_seed_continues_the_draws_of_the_last_seed():
    ants, twins = make_vector(), make_vector()
    first, _ = ants.reset(seed=3)
    twins.reset(seed=3)
    second, _ = ants.reset()
    assert (first != second).any(axis=1).all()
    assert_array_equal(second, twins.reset()[0])
    assert ants.np_random_seed == (3, 4, 5, 6)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("seed", "seeds"),
    [(9, [9, 10, 11, 12]), ([7, 3, 3, 0], [7, 3, 3, 0]), (np.array([1, 2, 3, 4]), [1, 2, 3, 4])],
    ids=["number", "list", "array"],
)
def test_a_number_seeds_ant_i_with_number_plus_i_and_a_list_has_one_seed_for_each(seed, seeds):
    observations, _ = make_vector().reset(seed=seed)
    assert_array_equal(observations, [AntEnv().reset(seed=each)[0] for each in seeds])


def test_none_in_a_list_of_seeds_is_a_seed_drawn_with_the_last_one(array_module):
    """So the second reset is reproducible, as in Gymnasium, and differs from the first."""
    ants, twins = make_vector(), make_vector()
    ants.reset(seed=5)
    twins.reset(seed=5)
    first, _ = ants.reset(seed=[8, None, None, 8])
    assert_array_equal(first, twins.reset(seed=[8, None, None, 8])[0])
    assert_array_equal(first[0], first[3])
    assert ants.np_random_seed[0] == 8 and not set(ants.np_random_seed) & {5, 6, 7}
    assert len(np.unique(first, axis=0)) == 3


def test_seeds_that_are_none_are_refused_and_change_nothing():
    ants, twins = make_vector(), make_vector()
    ants.reset(seed=5)
    twins.reset(seed=5)
    for seed in ([1, 2, 3], [1, 2, 3, 4, 5], 1.5):
        with pytest.raises(ValueError, match="seed must be a whole number, or a list of 4, one for each environment"):
            ants.reset(seed=seed)
    for seed in (-1, 2**32 - 1, [1, 2, 3, 0.5], [1, 2, 3, "4"]):
        with pytest.raises(ValueError, match=r"seeds must be at least one whole number from 0 to 2\^32 - 1, not"):
            ants.reset(seed=seed)
    assert_array_equal(ants.reset()[0], twins.reset()[0])
    with pytest.raises(ValueError, match="seeds must be at least one whole number"):
        AntEnv().reset(seed=1.5)


# --- ends of episodes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_the_end_of_an_episode_is_told_as_gymnasiums_own_vector_tells_it(mode):
    """The same three ants in SyncVectorEnv and in ours; the second leaves the healthy heights in the second step."""
    ant = lambda: AntEnv(AntSettings(num_environments=1))
    theirs, ours = gymnasium.vector.SyncVectorEnv([ant] * 3, autoreset_mode=mode), make_vector(3, mode)
    assert ours.metadata["autoreset_mode"] is mode
    assert_array_equal(ours.reset(seed=[3, 8, 4])[0], theirs.reset(seed=[3, 8, 4])[0])
    for time, actions in enumerate(make_actions(3, 3)):
        if time == 1:
            theirs.envs[1].environments.states[2] = 3.0
            ours.environments.states[2, 1] = 3.0
        # The next episode of the second ant has other draws in SyncVectorEnv, which calls `reset`.
        begun = time >= (1 if mode == AutoresetMode.SAME_STEP else 2)
        equal = [0, 2] if begun else [0, 1, 2]
        expected, found = theirs.step(actions), ours.step(actions)
        assert_array_equal(found[0][equal], expected[0][equal])
        assert_array_equal(found[1][equal], expected[1][equal].astype("float32"))
        assert found[2].tolist() == expected[2].tolist() == [False, time == 1, False]
        assert found[3].tolist() == expected[3].tolist() == [False] * 3
        assert set(found[4]) == set(expected[4])
        for name in (name for name in expected[4] if name.startswith("_")):
            assert_array_equal(found[4][name], expected[4][name])
        for name in ("forward_speed", "episode_returns", "episode_steps"):
            np.testing.assert_allclose(found[4][name][equal], expected[4][name][equal], rtol=1e-6)
        if "final_obs" in expected[4]:
            assert_array_equal(found[4]["final_obs"][1], expected[4]["final_obs"][1])
            assert found[4]["final_obs"].dtype == expected[4]["final_obs"].dtype == object
            assert set(found[4]["final_info"]) == set(expected[4]["final_info"])
            for name, values in expected[4]["final_info"].items():
                np.testing.assert_allclose(found[4]["final_info"][name], values, rtol=1e-6)
    theirs.close()


def test_in_the_mode_next_step_the_step_after_an_end_begins_the_next_episode_whatever_the_action(array_module):
    ants, twins = (make_vector(mode=AutoresetMode.NEXT_STEP, time_limit=3) for _ in range(2))
    ants.reset(seed=0, options={"friction": 0.3})
    twins.reset(seed=0, options={"friction": 0.3})
    actions = make_actions(9)
    for time in range(9):
        found, expected = ants.step(actions[time]), twins.step(-actions[time] if time in (3, 7) else actions[time])
        assert data_equivalence(found[:4], expected[:4], exact=True)
        assert (found[3] == (time in (2, 6))).all() and not found[2].any()
        if time in (3, 7):
            assert not found[1].any() and not found[4]["_forward_speed"].any()
            assert (abs(found[0][:, 0] - 0.55) <= 0.031).all()  # the heights at which episodes begin
            assert (host(ants.environments.episode_steps) == 0).all()
        else:
            assert found[1].all() and found[4]["_forward_speed"].all()
            assert (found[4]["episode_steps"] == time % 4 + 1).all()
    assert_array_equal(host(ants.environments.friction), np.full((4, 1), 0.3, "float32"))


def test_a_reset_in_the_mode_next_step_leaves_no_ant_waiting():
    ants = make_vector(mode=AutoresetMode.NEXT_STEP, time_limit=1)
    ants.reset(seed=0)
    actions = make_actions(1)[0]
    assert ants.step(actions)[3].all()
    ants.reset()
    assert ants.step(actions)[3].all()


def test_a_mode_without_resets_is_refused():
    with pytest.raises(ValueError, match="must be AutoresetMode.SAME_STEP or AutoresetMode.NEXT_STEP"):
        make_vector(mode=AutoresetMode.DISABLED)


# --- wrappers, options, and refused input -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_gymnasiums_statistics_of_episodes_are_ours(mode):
    """Every episode has three steps; in the mode NEXT_STEP, the step that begins an episode does not count."""
    ants = gymnasium.wrappers.vector.RecordEpisodeStatistics(make_vector(mode=mode, time_limit=3))
    ants.reset(seed=[4, 5, 6, 7])
    for actions in make_actions(7):
        *_, truncations, information = ants.step(actions)
        if truncations.any():
            ours = information["final_info"] if mode == AutoresetMode.SAME_STEP else information
            np.testing.assert_allclose(information["episode"]["r"], ours["episode_returns"], rtol=1e-5)
            assert information["episode"]["l"].tolist() == ours["episode_steps"].tolist() == [3, 3, 3, 3]
    assert ants.episode_count == 8


def test_gymnasiums_normalization_of_observations_works_in_the_mode_next_step():
    """It counts the last observation of an episode and the first of the next one, both once."""
    ants = make_vector(mode=AutoresetMode.NEXT_STEP, time_limit=3)
    normalized = gymnasium.wrappers.vector.NormalizeObservation(make_vector(mode=AutoresetMode.NEXT_STEP, time_limit=3))
    seen = [ants.reset(seed=2)[0]]
    normalized.reset(seed=2)
    for actions in make_actions(6):
        seen.append(ants.step(actions)[0])
        normalized.step(actions)
    # The wrapper begins with 0.0001 observations of mean 0.
    np.testing.assert_allclose(normalized.obs_rms.mean, np.mean(seen, axis=(0, 1), dtype=float), rtol=1e-5)


def test_gymnasiums_generator_for_wrappers_repeats_with_the_seed():
    for ants in (make_vector(), AntEnv()):
        ants.reset(seed=3)
        first = ants.np_random.random()
        ants.reset()
        second = ants.np_random.random()
        ants.reset(seed=3)
        assert ants.np_random.random() == first != second


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
    np.testing.assert_allclose(ants.environments.friction[:, 0], [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(ValueError, match="friction must be finite"):
        ants.reset(options={"friction": -1})
    with pytest.raises(
        ValueError, match=r"friction must be a number, or one for each environment \(4,\), not \[1, 2\]"
    ):
        ants.reset(options={"friction": [1, 2]})
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
