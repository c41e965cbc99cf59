"""The ant environments: rewards and ends of episodes by hand, independence of ants, and refused input."""

import numpy as np
import pytest
from conftest import device, host
from numpy.testing import assert_allclose, assert_array_equal
from strict_cupy import Counts

from minilop import draws
from problems.ant import AntEnvironments, AntSettings

SEEDS = (3, 8)


def make_environments(seeds=SEEDS, dtype="float64", **settings):
    return AntEnvironments(AntSettings(**{"num_environments": 5, **settings}), seeds, dtype)


def make_actions(steps, runs=2, number=5, scale=1.0):
    return scale * np.random.default_rng(0).uniform(-1, 1, (steps, runs, 8, number))


def place(environments, row, value, run=0, environment=0):
    """Set one number of one ant's state."""
    states = host(environments.states).copy()
    states[row, run, environment] = value
    environments.states = device(states)


def on_host(step):
    return type(step)(*map(host, step))


def still(runs=2, number=5):
    return device(np.zeros((runs, 8, number)))


# --- rewards and episodes ---------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize(("cost_of", "cost"), [("action", 0.5 * 8 * 2.0**2), ("clipped_action", 0.5 * 8 * 1.0**2)])
def test_the_reward_is_speed_and_health_less_the_cost_of_the_action(cost_of, cost, array_module):
    environments = make_environments(control_cost_of=cost_of)
    before = host(environments.states)[0].copy()
    step = on_host(environments.step(device(np.full((2, 8, 5), 2.0))))
    speed = (host(environments.states)[0] - before) / 0.05
    assert not step.terminated.any()
    assert_allclose(step.forward_speed, speed, rtol=1e-12)
    assert_allclose(step.rewards, speed + 1.0 - cost, rtol=1e-12)


@pytest.mark.quick
def test_motors_take_the_clipped_action(array_module):
    ones, twos = make_environments(), make_environments()
    ones.step(device(np.full((2, 8, 5), 1.0)))
    twos.step(device(np.full((2, 8, 5), 2.0)))
    assert_array_equal(host(ones.states), host(twos.states))


@pytest.mark.quick
def test_an_action_moves_the_joint_that_is_observed_in_its_place(array_module):
    """Observation 5 + i is the angle and 19 + i the rate of the joint that action i turns."""
    environments = make_environments(seeds=(3,))
    place(environments, 2, 0.9)  # in the air
    before = host(environments.observations())[0, :, 0]
    for joint in range(8):
        twin = make_environments(seeds=(3,))
        place(twin, 2, 0.9)
        actions = np.zeros((1, 8, 5))
        actions[0, joint, 0] = 0.1
        gained = host(twin.step(device(actions)).observations)[0, 19:, 0] - before[19:]
        assert np.argmax(abs(gained)) == joint and gained[joint] > 0


@pytest.mark.quick
def test_health_has_a_highest_and_a_lowest_height(array_module):
    """In the air from rest, four substeps lower the ant by g dt^2 (1 + 2 + 3 + 4). Upside down, no foot touches."""
    fall = 9.81 * 0.0125**2 * 10
    environments = make_environments(seeds=(3,))
    states = np.zeros((29, 1, 5))
    states[2, 0] = [1.001 + fall, 0.999 + fall, 0.6 + fall, 0.201 + fall, 0.199 + fall]
    states[4] = 1  # on its back, feet up
    states[8:15:2] = 1
    environments.states = device(states)
    step = on_host(environments.step(still(1)))
    assert step.terminated.tolist() == [[True, False, False, False, True]]
    assert_allclose(step.rewards, [[0, 1, 1, 1, 0]], atol=1e-12)
    assert not step.timed_out.any()


def test_an_episode_that_ends_begins_anew_within_the_step(array_module):
    environments = make_environments()
    place(environments, 2, 3.0, run=1, environment=2)
    step = on_host(environments.step(still()))
    assert step.terminated.sum() == 1 and step.terminated[1, 2]
    assert step.last_observations[1, 0, 2] > 2.9
    assert 0.52 <= step.observations[1, 0, 2] <= 0.58
    going_on = ~step.terminated
    for run, environment in np.argwhere(going_on):
        assert_array_equal(step.observations[run, :, environment], step.last_observations[run, :, environment])
    assert host(environments.episode_steps).tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 1, 1]]


def test_the_time_limit_ends_an_episode_but_is_no_fall(array_module):
    environments = make_environments(time_limit=3)
    rewards = []
    for number in range(1, 4):
        if number == 3:
            place(environments, 2, 3.0)  # this one ends by itself at the same time
        step = on_host(environments.step(still()))
        rewards.append(step.rewards)
        assert step.timed_out.any() == (number == 3)
    assert step.terminated[0, 0] and not step.timed_out[0, 0]
    assert step.timed_out.sum() == 9
    assert (step.observations != step.last_observations).any(axis=1).all()
    assert_allclose(step.episode_returns, np.sum(rewards, axis=0))
    assert (step.episode_steps == 3).all()
    assert not host(environments.episode_returns).any() and not host(environments.episode_steps).any()


def test_an_episode_starts_near_the_middle_by_the_documented_draws(array_module):
    """x by hand: 0.1 (2 u - 1); velocities are 0.1 times normal values. The third draw is that of the second step."""
    environments = make_environments()
    environments.step(still())
    environments.states = device(np.full((29, 2, 5), 9.0))  # too high: all episodes begin again
    environments.step(still())
    states, seeds = host(environments.states), np.array(SEEDS)
    uniform = host(draws.uniform(seeds, "ant positions", (15, 5), step=2, dtype="float64"))
    normal = host(draws.normal(seeds, "ant velocities", (14, 5), step=2, dtype="float64"))
    assert_allclose(states[0], 0.1 * (2 * uniform[:, 0] - 1), rtol=1e-12)
    assert_allclose(states[2], 0.55 + 0.03 * (2 * uniform[:, 2] - 1), rtol=1e-12)
    assert_allclose(states[8], 1 + 0.1 * (2 * uniform[:, 8] - 1), rtol=1e-12)
    assert_allclose(states[15:].swapaxes(0, 1), 0.1 * normal, rtol=1e-12)
    assert_allclose((states[3:7] ** 2).sum(axis=0), 1)


def test_reset_begins_new_episodes_everywhere(array_module):
    environments = make_environments()
    first = host(environments.observations())
    environments.step(still())
    observations = host(environments.reset())
    assert observations.shape == (2, 27, 5) and (observations != first).all()
    assert not host(environments.episode_steps).any() and not host(environments.episode_returns).any()
    assert (abs(observations[:, 0] - 0.55) <= 0.03).all()


# --- friction ---------------------------------------------------------------------------------------------------------


def test_new_friction_comes_into_force_with_the_next_episode(array_module):
    environments = make_environments()
    environments.set_friction(0.25)
    assert (host(environments.friction) == 1).all() and (host(environments.new_friction) == 0.25).all()
    place(environments, 2, 3.0, run=1, environment=4)
    environments.step(still())
    assert host(environments.friction).tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0.25]]
    environments.reset()
    assert (host(environments.friction) == 0.25).all()


def test_friction_at_once_is_in_force_and_may_differ_everywhere(array_module):
    """While ants slide, their deceleration is that of their own floor."""
    environments = make_environments()
    environments.set_friction([[0.0], [0.5]], at_once=True)
    assert host(environments.friction)[:, 3].tolist() == [0, 0.5]
    states = np.zeros((29, 2, 5))
    states[2], states[3], states[8:15:2], states[15] = 0.323, 1, np.radians(30), 5
    environments.states = device(states)
    speed = on_host(environments.step(still())).forward_speed
    assert_allclose(speed[0], 5, atol=0.01)
    assert (speed[1] < 4.9).all()


@pytest.mark.parametrize("values", [-0.1, np.nan, np.inf, [[0.5], [-1.0]]])
def test_a_friction_that_is_none_is_refused(values):
    environments = make_environments()
    with pytest.raises(ValueError, match="friction must be finite and not negative"):
        environments.set_friction(values)
    assert (environments.new_friction == 1).all()


def test_more_frictions_than_environments_are_refused():
    with pytest.raises(ValueError, match="friction must be a number, or fit runs and environments"):
        make_environments().set_friction(np.ones((2, 6)))


# --- independence of ants ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_an_action_that_is_not_finite_ends_that_episode_and_touches_no_other(value, array_module):
    """Nor does an action whose square is not finite."""
    broken, twin = make_environments(), make_environments()
    for number, actions in enumerate(make_actions(4)):
        expected = on_host(twin.step(device(actions)))
        if number == 1:
            actions = actions.copy()
            actions[1, 3, 2] = value
        with np.errstate(over="ignore"):
            found = on_host(broken.step(device(actions)))
        others = np.ones((2, 5), bool)
        others[1, 2] = False
        for of_found, of_expected in zip(found, expected):
            assert np.isfinite(of_found).all()
            found_others = np.moveaxis(of_found, 1, -1)[others] if of_found.ndim == 3 else of_found[others]
            expected_others = np.moveaxis(of_expected, 1, -1)[others] if of_found.ndim == 3 else of_expected[others]
            assert_array_equal(found_others, expected_others)
        if number == 1:
            assert found.terminated[1, 2] and found.rewards[1, 2] == 0 and found.forward_speed[1, 2] == 0
            assert_array_equal(found.last_observations[1, :, 2], found.observations[1, :, 2])
            assert found.episode_steps[1, 2] == 2
    assert host(broken.num_broken).tolist() == [0, 1] and host(twin.num_broken).tolist() == [0, 0]


def test_a_return_too_large_to_be_told_does_not_outlive_its_episode(array_module):
    """The cost of an action is finite in float32, 4e37, but the sum of 40 such costs is not."""
    environments = make_environments((3,), "float32", num_environments=1, time_limit=12)
    actions = device(np.full((1, 8, 1), 3e18, "float32"))
    place(environments, 2, 0.9)
    returns = []
    with np.errstate(over="ignore"):
        for _ in range(30):
            returns.append(host(environments.step(actions).episode_returns)[0, 0])
    assert np.isneginf(returns).any()
    environments.step(still(1, 1))
    assert not np.isnan(returns).any() and host(environments.num_broken).tolist() == [0]
    environments.reset()
    assert host(environments.step(still(1, 1)).episode_returns)[0, 0] > -5


def test_a_state_that_is_not_finite_ends_its_episode(array_module):
    environments = make_environments()
    place(environments, 20, np.nan)
    step = on_host(environments.step(still()))
    assert step.terminated[0, 0] and host(environments.num_broken).tolist() == [1, 0]
    assert np.isfinite(host(environments.states)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [1, 5])
def test_a_run_alone_is_the_same_run_as_in_a_block(dtype, number, array_module):
    """To the bit, also across the ends of episodes."""
    block = make_environments((3, 8, 5), dtype, num_environments=number, time_limit=7)
    alone = make_environments((8,), dtype, num_environments=number, time_limit=7)
    for actions in make_actions(20, 3, number):
        in_block, by_itself = on_host(block.step(device(actions))), on_host(alone.step(device(actions[1:2])))
        for of_block, of_alone in zip(in_block, by_itself):
            assert_array_equal(of_block[1:2], of_alone)


@pytest.mark.parametrize("seeds", [(3,), SEEDS])
@pytest.mark.parametrize("number", [1, 5])
def test_what_a_step_gave_does_not_change_later(seeds, number, array_module):
    environments = make_environments(seeds, num_environments=number)
    actions = [device(each) for each in make_actions(3, len(seeds), number)]
    first = environments.reset()
    kept_first = host(first).copy()
    step = environments.step(actions[0])
    kept = [host(array).copy() for array in step]
    for each in actions:
        environments.step(each)
    assert_array_equal(host(first), kept_first)
    for array, of_kept in zip(step, kept):
        assert_array_equal(host(array), of_kept)


def test_runs_differ(array_module):
    observations = host(make_environments().observations())
    assert (observations[0] != observations[1]).sum() > 100


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_restored_state_goes_on_to_the_bit(dtype, array_module):
    """In the middle of episodes, into environments in a different state. The saved state does not change."""
    actions = [device(each) for each in make_actions(24, scale=1.5)]
    environments, other = make_environments(dtype=dtype, time_limit=9), make_environments(dtype=dtype, time_limit=9)
    environments.set_friction([[0.3], [0.7]])
    for each in actions[:11]:
        environments.step(each)
    environments.set_friction(0.1)
    saved = environments.state()
    kept = {name: array.copy() for name, array in saved.items()}
    other.step(actions[-1])
    expected = [on_host(environments.step(each)) for each in actions[11:]]
    other.restore(saved)
    for each, wanted in zip(actions[11:], expected):
        for of_found, of_wanted in zip(on_host(other.step(each)), wanted):
            assert_array_equal(of_found, of_wanted)
    assert host(other.friction).tolist() == host(environments.friction).tolist()
    assert {name: array.tolist() for name, array in saved.items()} == {name: a.tolist() for name, a in kept.items()}


def test_a_step_does_not_wait_for_the_device(strict: Counts):
    environments = make_environments()
    actions = still()
    strict.reset()
    for _ in range(3):
        environments.step(actions)
    assert strict.synchronisations == 0 and strict.transfers == 0


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 5), (2, 5, 8), (1, 8, 5), (2, 8, 4)])
def test_actions_of_another_shape_are_refused(shape):
    environments = make_environments()
    with pytest.raises(ValueError, match=r"\(2, 8, 5\), not \(" + ", ".join(map(str, shape))):
        environments.step(np.zeros(shape))


def test_a_state_of_other_environments_is_refused():
    with pytest.raises(ValueError, match="states has the shape"):
        make_environments().restore(make_environments((3,)).state())
    with pytest.raises(ValueError, match="lacks episode_returns; restore it into"):
        make_environments().restore({})
    with pytest.raises(ValueError, match="^The state to restore has surplus in addition; restore it into"):
        make_environments().restore({**make_environments().state(), "surplus": np.zeros(2)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_environments": 0}, "num_environments must be"),
        ({"time_limit": 0}, "time_limit must be"),
        ({"substep_seconds": 0.0}, "substep_seconds must be"),
        ({"control_cost": -1.0}, "control_cost must be"),
        ({"control_cost_of": "torque"}, "control_cost_of must be action or clipped_action, not 'torque'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AntSettings(**settings)


@pytest.mark.parametrize("seeds", [(), (-1,), (2**32,), 3, (0.5,), ("3",), (2**70,)])
def test_seeds_that_are_none_are_refused(seeds):
    with pytest.raises(ValueError, match="seeds must be"):
        AntEnvironments(AntSettings(), seeds)
