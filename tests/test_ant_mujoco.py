"""Our interface to MuJoCo's ant: the same rewards as Gymnasium's, friction, processes, and exact resuming."""

import importlib
import os
import signal

import numpy as np
import pytest
from conftest import device, host
from numpy.testing import assert_allclose, assert_array_equal

from minilop import draws
from problems.ant.body import ANT
from problems.ant.mujoco_ants import MuJoCoAnts
from problems.ant.task_settings import MuJoCoSettings

pytestmark = pytest.mark.quick


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ValueError, match=r"python -m pip install -e \"\.\[mujoco\]\""):
        MuJoCoAnts(MuJoCoSettings(), [0])


try:
    mujoco = importlib.import_module("mujoco")
    gymnasium = importlib.import_module("gymnasium")
except ImportError:
    mujoco = gymnasium = None

needs_mujoco = pytest.mark.skipif(mujoco is None or gymnasium is None, reason="needs the extra mujoco")


def make_ants(seeds=(3, 8), number=2, dtype="float64", **settings):
    return MuJoCoAnts(MuJoCoSettings(num_environments=number, **settings), seeds, dtype)


def make_actions(steps, runs=2, number=2):
    return np.random.default_rng(0).uniform(-1, 1, (steps, runs, 8, number))


def on_host(step):
    return type(step)(*map(host, step))


def assert_same(found, expected):
    for of_found, of_expected in zip(found, expected):
        assert_array_equal(of_found, of_expected)


@needs_mujoco
@pytest.mark.parametrize("contact_forces", [False, True])
def test_it_is_gymnasiums_ant_with_the_first_leg_first(contact_forces, array_module):
    """Reset by the documented seed; MuJoCo's motors begin with the fourth leg."""
    theirs = gymnasium.make("Ant-v5", include_cfrc_ext_in_observation=contact_forces, contact_cost_weight=0).unwrapped
    seed = host(draws.words(np.array([8]), "ant resets", 2, step=0))[0, 1]
    observation, _ = theirs.reset(seed=int(seed))
    with make_ants(contact_forces=contact_forces) as ants:
        for number, actions in enumerate(make_actions(10)):
            step = on_host(ants.step(device(actions)))
            action = actions[1, :, 1]
            observation, reward, _, _, information = theirs.step(np.concatenate([action[6:], action[:6]]))
            assert_array_equal(step.last_observations[1, :, 1], observation)
            assert step.rewards[1, 1] == reward
            assert step.forward_speed[1, 1] == information["x_velocity"]
            assert step.observations.shape == (2, 105 if contact_forces else 27, 2)
    assert number == 9 and not step.terminated[1, 1]


@needs_mujoco
def test_an_action_turns_the_joint_that_is_observed_in_its_place():
    for joint in range(8):
        with make_ants((0,), 1) as still, make_ants((0,), 1) as ants:
            actions = np.zeros((1, 8, 1))
            expected = still.step(actions).last_observations[0, 19:, 0]
            actions[0, joint, 0] = 0.2
            gained = ants.step(actions).last_observations[0, 19:, 0] - expected
            assert np.argmax(abs(gained)) == joint and gained[joint] > 0


@needs_mujoco
def test_our_body_has_mujocos_mass_gear_and_joints():
    model = gymnasium.make("Ant-v5").unwrapped.model
    assert_allclose(model.body_mass.sum(), ANT.mass, rtol=0.01)
    assert_allclose(model.actuator_gear[:, 0], ANT.gear)
    assert_allclose(model.dof_armature[6:], ANT.rotor_inertia)
    assert_allclose(model.dof_damping[6:], ANT.joint_damping)
    assert_allclose(-model.opt.gravity[2], ANT.gravity)
    assert_allclose(model.jnt_range[1], ANT.hip_range)
    assert_allclose(model.jnt_range[2], ANT.ankle_range)


@needs_mujoco
def test_the_cost_can_be_that_of_the_clipped_action():
    actions = np.full((1, 8, 1), 3.0)
    with make_ants((0,), 1) as ants, make_ants((0,), 1, control_cost_of="clipped_action") as clipped:
        assert_allclose(clipped.step(actions).rewards - ants.step(actions).rewards, 0.5 * 8 * (3.0**2 - 1))


@needs_mujoco
def test_friction_is_that_of_all_geometries_at_the_next_reset_or_at_once():
    with make_ants(time_limit=2) as ants:
        frictions = lambda: np.array([each.model.geom_friction[:, 0] for each in ants.groups[0].environments])
        ants.set_friction([[0.1], [0.3]])
        ants.step(np.zeros((2, 8, 2)))
        assert (frictions() == 1).all() and (ants.friction == 1).all()
        ants.step(np.zeros((2, 8, 2)))
        assert (frictions() == np.array([0.1, 0.1, 0.3, 0.3])[:, None]).all()
        assert ants.friction.tolist() == [[0.1, 0.1], [0.3, 0.3]]
        ants.set_friction(0.7, at_once=True)
        assert (frictions() == 0.7).all()
        with pytest.raises(ValueError, match="friction must be finite"):
            ants.set_friction(np.nan)


@needs_mujoco
def test_processes_compute_the_same_and_a_run_alone_does_too():
    actions = make_actions(25)
    with make_ants(time_limit=10) as here, make_ants(time_limit=10, num_processes=3) as elsewhere:
        with make_ants((8,), time_limit=10) as alone:
            for each in actions:
                expected = here.step(each)
                assert_same(elsewhere.step(each), expected)
                assert_same(alone.step(each[1:]), [array[1:] for array in expected])
        assert expected.timed_out.sum() == 0 and ants_began_anew(here)
        processes = [group.process for group in elsewhere.groups]
    assert not any(process.is_alive() for process in processes)


def ants_began_anew(ants):
    return (ants.episode_steps < 25).all()


@needs_mujoco
@pytest.mark.parametrize("settings", [{}, {"num_processes": 2}, {"contact_forces": True}])
def test_a_restored_state_goes_on_to_the_bit(settings):
    """In the middle of episodes, into environments in a different state."""
    actions = make_actions(40)
    with make_ants(time_limit=15, **settings) as ants, make_ants(time_limit=15, **settings) as other:
        ants.set_friction([[0.2], [0.6]])
        for each in actions[:20]:
            ants.step(each)
        ants.set_friction(0.1)
        saved = ants.state()
        expected = [ants.step(each) for each in actions[20:]]
        other.step(actions[0])
        other.restore(saved)
        for each, wanted in zip(actions[20:], expected):
            assert_same(other.step(each), wanted)
        with pytest.raises(ValueError, match="lacks episode_returns; restore it into"):
            other.restore({})
        with pytest.raises(ValueError, match="^The state to restore has surplus in addition; restore it into"):
            other.restore({**saved, "surplus": np.zeros(2)})


@needs_mujoco
def test_what_is_not_finite_ends_its_own_episode(monkeypatch, tmp_path):
    """An action, or a robot whose simulation diverges."""
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log of warnings into the current folder
    with make_ants() as ants, make_ants() as twin:
        actions = make_actions(2)
        expected = twin.step(actions[0])
        actions[0, 1, 3, 0] = np.nan
        step = ants.step(actions[0])
        assert step.terminated.tolist() == [[False, False], [True, False]]
        assert step.rewards[1, 0] == 0 and np.isfinite(step.last_observations).all()
        assert_array_equal(step.observations[0], expected.observations[0])
        ants.groups[0].environments[0].data.qvel[:] = 1e12
        step = ants.step(actions[1])
        assert step.terminated.tolist() == [[True, False], [False, False]] and step.rewards[0, 0] == 0
        assert ants.num_broken.tolist() == [1, 1]
        assert not any(map(np.any, (step.timed_out, np.isnan(step.observations))))


@needs_mujoco
def test_the_failure_of_a_process_is_told_in_a_sentence():
    with make_ants(num_processes=1) as ants:
        with pytest.raises(RuntimeError, match=r"A process of MuJoCo's ants failed: AttributeError: .*fly"):
            ants._in_groups("fly")
        ants.groups[0].process.kill()
        with pytest.raises(RuntimeError, match="ended unexpectedly with exit code -9"):
            ants.step(np.zeros((2, 8, 2)))


@needs_mujoco
def test_processes_do_not_hear_of_an_interruption():
    """Ctrl-C reaches all processes of a terminal, but the main process still needs them for its checkpoint."""
    with make_ants(num_processes=1) as ants:
        os.kill(ants.groups[0].process.pid, signal.SIGINT)
        ants.step(np.zeros((2, 8, 2)))
        assert ants.state()["physics"].shape[:2] == (2, 2)


@needs_mujoco
def test_actions_of_another_shape_are_refused():
    with make_ants() as ants, pytest.raises(ValueError, match=r"\(2, 8, 2\), not \(2, 2, 8\)"):
        ants.step(np.zeros((2, 2, 8)))
