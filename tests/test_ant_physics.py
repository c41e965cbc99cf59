"""The physics of the ant: kinematics and contact by hand and by finite differences, then laws of mechanics.

Tolerances of motions are several times the errors measured at substeps from 0.005 to 0.025 s, unless physics gives a
bound.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from conftest import device, host, on_both_array_modules, slope
from numpy.testing import assert_allclose, assert_array_equal

from problems.ant import physics
from problems.ant.body import ANT, leg_vectors

GRAVITY, WEIGHT = 9.81, 0.91 * 9.81
STANDING_HEIGHT = (0.4 * math.sqrt(2) + 0.08) * math.sin(math.radians(30))  # ankles on their stops of 30 degrees
FRICTIONS = np.array([0.02, 0.1, 0.2, 0.5, 1.0])

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
by_seconds = pytest.mark.parametrize("seconds", [0.0125, 0.025])


def make_state(number, height=0.55, ankle=1.0, noise=0.0):
    """Upright and at rest, float64; with noise in every component."""
    state = np.zeros((29, number))
    state[2], state[3], state[8:15:2] = height, 1, ankle
    state += noise * np.random.default_rng(0).normal(size=state.shape)
    state[3:7] /= np.sqrt((state[3:7] ** 2).sum(axis=0))
    return state


def random_torques(steps, number, seed=1):
    """Actions uniform in [-1, 1], as torques (T, 4, 2, N)."""
    return 150 * np.random.default_rng(seed).uniform(-1, 1, (steps, 4, 2, number))


def move(state, torques, friction, seconds, dtype, body=ANT, push=(0.0, 0.0, 0.0)):
    """One substep for each of `torques` (T, 4, 2, N); all states (T, 29, N) and impulses (T, 3, 4, N).

    push   a force on the center of the torso in N, (3,) or (3, N)
    """
    number = state.shape[-1]
    state = device(state.astype(dtype))
    friction = device(np.broadcast_to(np.asarray(friction, dtype), number).copy())
    kick = seconds / body.mass * np.broadcast_to(np.asarray(push, float).T, (number, 3)).T  # (3, N)
    kick = device(kick.astype(dtype))
    states, impulses = [], []
    for torque in torques.astype(dtype):
        state[15:18] += kick
        impulses.append(host(physics.substep(state, device(torque), friction, seconds, body)))
        states.append(host(state).copy())
    return np.array(states), np.array(impulses)


def rest(seconds, duration, number):
    return np.zeros((round(duration / seconds), 4, 2, number))


@lru_cache
def settled(seconds, dtype, body=ANT):
    """States after ten seconds of standing without torques, one ant for each of FRICTIONS; read-only."""
    state = make_state(len(FRICTIONS), STANDING_HEIGHT, math.radians(30))
    return move(state, rest(seconds, 10, len(FRICTIONS)), FRICTIONS, seconds, dtype, body)[0][-1]


# --- kinematics and contact -------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_a_straight_leg_reaches_out_and_a_bent_one_down():
    """The first leg, at 45 degrees: bar 0.2 sqrt 2, upper 0.2 sqrt 2, lower 0.4 sqrt 2 + 0.08 of length."""
    half = math.sqrt(0.5)
    feet = host(leg_vectors(device([[[0.0, 0.0], [0.0, math.pi / 2]]] * 4)))[:, 0, 0]  # (3, 2)
    assert_allclose(feet[:, 0], [0.8 + 0.08 * half, 0.8 + 0.08 * half, 0], atol=1e-15)
    assert_allclose(feet[:, 1], [0.4, 0.4, -0.4 * math.sqrt(2) - 0.08], atol=1e-15)


@pytest.mark.quick
def test_the_legs_point_to_four_sides_and_a_hip_turns_its_leg_to_the_left():
    feet = host(leg_vectors(device(np.full((4, 2, 1), [[0.0], [0.5]]))))[:, :, 0, 0]  # (3, 4)
    assert_array_equal(np.sign(feet[:2]), [[1, -1, -1, 1], [1, 1, -1, -1]])
    turned = host(leg_vectors(device(np.full((4, 2, 1), [[math.pi / 4], [0.5]]))))[:, :, 0, 0]
    assert turned[1, 0] > feet[1, 0] and turned[0, 0] < feet[0, 0]


@pytest.mark.quick
@pytest.mark.parametrize("joint", [0, 1])
def test_the_derivatives_of_a_foot_are_those_of_finite_differences(joint):
    joints = np.random.default_rng(0).uniform(-1, 1, (4, 2, 3))
    direction = np.zeros(joints.shape)
    direction[:, joint] = 1
    found = host(leg_vectors(device(joints)))[:, :, 1 + joint]
    expected = slope(lambda point: host(leg_vectors(device(point)))[:, :, 0], joints, direction)
    assert_allclose(found, expected, atol=1e-9)


def feet_of(state):
    """Feet in the world (3, 4, N), and their derivatives by the joints (3, 4, 2, N) from the center of the torso."""
    motion = physics.motion_of(state)
    vectors = physics.rotated(physics.rotation_matrix(motion.quaternion), leg_vectors(motion.joints))
    return motion.position[:, None] + vectors[:, :, 0], vectors[:, :, 0], vectors[:, :, 1:]


@pytest.mark.quick
def test_the_velocity_of_a_foot_is_how_fast_its_place_changes():
    """A substep of 1e-6 s without gravity, torques, joint friction or a floor; the error is of the same order."""
    body = replace(ANT, gravity=0, joint_damping=0, limit_stiffness=0, limit_damping=0)
    state = device(make_state(5, height=9, noise=0.5))
    before, feet, columns = feet_of(state)
    velocities = host(physics.foot_velocities(physics.motion_of(state), feet, columns))
    physics.substep(state, device(np.zeros((4, 2, 5))), device(np.ones(5)), 1e-6, body)
    after, _, _ = feet_of(state)
    assert_allclose(host(after - before) / 1e-6, velocities, atol=1e-5)


def test_the_response_is_the_jacobian_times_inverse_masses_times_its_transpose():
    """A = J M^-1 J', with J (12, 14) written out: u = v + omega x r + the two joints of the leg."""
    state = make_state(1, noise=0.5)
    _, feet, columns = (host(array)[..., 0] for array in feet_of(device(state)))
    mobility = np.random.default_rng(2).uniform(0.1, 1, (4, 2))
    jacobian = np.zeros((3, 4, 14))
    for leg in range(4):
        x, y, z = feet[:, leg]
        jacobian[:, leg, :3] = np.eye(3)
        jacobian[:, leg, 3:6] = [[0, z, -y], [-z, 0, x], [y, -x, 0]]
        jacobian[:, leg, 6 + 2 * leg : 8 + 2 * leg] = columns[:, leg]
    jacobian = jacobian.reshape(12, 14)
    inverse_masses = np.concatenate([[1 / 0.91] * 3, [1 / 0.14] * 3, mobility.ravel()])
    found = physics.response(device(feet), device(columns), device(mobility), ANT)
    assert_allclose(host(found).reshape(12, 12), jacobian * inverse_masses @ jacobian.T, rtol=1e-12, atol=1e-12)


def one_foot(approach, friction):
    """The impulse of the first foot, if A is diagonal with 2 sideways and 4 upward."""
    matrix = np.zeros((3, 4, 3, 4))
    for axis, foot in np.ndindex(3, 4):
        matrix[axis, foot, axis, foot] = 4 if axis == 2 else 2
    feet = np.zeros((3, 4))
    feet[:, 0] = approach
    return host(physics.contact_impulses(device(matrix), device(feet), device(np.array(friction))))[:, 0]


def test_a_foot_that_comes_down_is_stopped_and_holds():
    """At 8 m/s down and 3 m/s sideways: 8 / 4 upward and 3 / 2 sideways; 8 iterations leave an error of 0.4^8."""
    done = 1 - 0.4**8
    assert_allclose(one_foot([3, 0, -8], friction=1.0), [-3 / 2 * done, 0, 8 / 4 * done], rtol=1e-12)


@on_both_array_modules
def test_a_foot_slides_where_friction_is_not_enough():
    """3 / 2 would be needed, but mu times the upward impulse is 0.5 * 2, in any direction of the velocity."""
    done = 1 - 0.4**8
    assert_allclose(one_foot([3, 0, -8], friction=0.5), [-0.5 * 2 * done, 0, 2 * done], rtol=1e-12)
    sideways = 0.5 * 2 * done
    assert_allclose(one_foot([1.8, -2.4, -8], 0.5), [-0.6 * sideways, 0.8 * sideways, 2 * done], rtol=1e-12)


def test_a_foot_that_leaves_the_floor_is_not_held():
    assert_array_equal(one_foot([3, -1, 0.1], friction=1.0), [0, 0, 0])
    assert_array_equal(one_foot([3, -1, -8], friction=0.0)[:2], [0, 0])


# --- flight -----------------------------------------------------------------------------------------------------------


@by_seconds
@by_dtype
def test_it_falls_as_galileo_says(seconds, dtype):
    """After 1 s: -9.81 m/s, and 4.905 m, plus g dt / 2 because each substep uses the new velocity."""
    states, impulses = move(make_state(3, height=20), rest(seconds, 1, 3), 1.0, seconds, dtype)
    assert_allclose(states[-1][17], -GRAVITY, atol=1e-4)
    assert_allclose(20 - states[-1][2], GRAVITY / 2 + GRAVITY * seconds / 2, atol=1e-4)
    assert not impulses.any()


@by_seconds
@by_dtype
def test_no_torque_of_the_legs_changes_momentum_in_the_air(seconds, dtype):
    state = make_state(8, height=20, noise=0.1)
    states, _ = move(state, random_torques(40, 8), 1.0, seconds, dtype)
    for kept in (slice(15, 17), slice(18, 21)):
        assert_allclose(states[-1][kept], state[kept].astype(dtype), rtol=0, atol=1e-6)


@by_seconds
@by_dtype
def test_quaternions_keep_their_length_and_stops_hold_the_joints(seconds, dtype):
    """Beyond its stop a joint comes to rest at 150 / 2500 rad, but the stop may act one substep late, at full speed.

    Under 150 N m over the whole range of a hip, 60 degrees, full speed is v^2 = 2 * 150 * 60 degrees.
    """
    torques = np.repeat(random_torques(100, 32), 4, axis=0)
    states, _ = move(make_state(32, noise=0.1), torques, 1.0, seconds, dtype)
    assert_allclose((states[:, 3:7] ** 2).sum(axis=1), 1, atol=1e-5)
    beyond = 150 / 2500 + seconds * math.sqrt(2 * 150 * math.radians(60))
    hips, ankles = states[:, 7:15:2], states[:, 8:15:2]
    assert abs(hips).max() < math.radians(30) + beyond
    assert ankles.min() > math.radians(30) - beyond and ankles.max() < math.radians(70) + beyond


# --- on the floor -----------------------------------------------------------------------------------------------------


@by_seconds
@by_dtype
def test_it_stands_still_and_the_floor_carries_its_weight(seconds, dtype):
    state = settled(seconds, dtype)
    states, impulses = move(state, rest(seconds, 1, len(FRICTIONS)), FRICTIONS, seconds, dtype)
    assert_allclose(states[-1][:3], state[:3], rtol=0, atol=1e-4)
    assert_allclose(impulses[:, 2].sum(axis=1), WEIGHT * seconds, rtol=0.01)
    assert_allclose(state[2], STANDING_HEIGHT, atol=0.01)


@by_seconds
@by_dtype
@pytest.mark.parametrize("heading", [0, 20, 45])
def test_it_slides_to_a_halt_at_mu_g(seconds, dtype, heading):
    """From 2 m/s, in the first 0.05 s, before it tips. The friction cone has no preferred direction."""
    state = settled(seconds, dtype).copy()
    direction = np.array([math.cos(math.radians(heading)), math.sin(math.radians(heading))])
    state[15:17] = 2 * direction[:, None]
    states, _ = move(state, rest(seconds, 0.05, len(FRICTIONS)), FRICTIONS, seconds, dtype)
    deceleration = (2 - direction @ states[-1][15:17]) / 0.05
    assert_allclose(deceleration, FRICTIONS * GRAVITY, rtol=0.03)


LOCKED = replace(ANT, hip_range=(0.0, 0.0), ankle_range=(math.radians(30), math.radians(30)))


def pushed(share, duration, seconds, dtype):
    """Speeds (T, N) along x of ants with locked joints under `share` times mu m g."""
    push = [share * FRICTIONS * WEIGHT, 0 * FRICTIONS, 0 * FRICTIONS]
    resting = rest(seconds, duration, len(FRICTIONS))
    return move(settled(seconds, dtype, LOCKED), resting, FRICTIONS, seconds, dtype, LOCKED, push)[0][:, 15]


@by_seconds
@by_dtype
def test_a_push_below_the_limit_of_friction_does_not_move_it(seconds, dtype):
    """0.9 mu m g for 0.5 s, which would cause a speed of f t / m on ice."""
    speeds = pushed(0.9, 0.5, seconds, dtype)
    assert (abs(speeds[-1]) < 0.05 * 0.9 * FRICTIONS * GRAVITY * 0.5).all()


@by_seconds
@by_dtype
def test_a_push_above_the_limit_of_friction_speeds_it_up_by_the_rest(seconds, dtype):
    """From 0.5 to 1 s, 0.1 mu m g of 1.1 mu m g accelerates the ant.

    Before that, part of the friction balances the sideways thrust with which each foot has settled.
    """
    speeds = pushed(1.1, 1.0, seconds, dtype)
    gained = speeds[-1] - speeds[len(speeds) // 2 - 1]
    assert_allclose(gained, 0.1 * FRICTIONS * GRAVITY * 0.5, rtol=0.01)
    assert (speeds[-1] < 1.3 * 0.1 * FRICTIONS * GRAVITY).all()


def energy(states):
    """The energy of motion, height and the springs of the stops, (T, N)."""
    hips, ankles = states[:, 7:15:2], states[:, 8:15:2]
    over = np.concatenate([hips - np.clip(hips, *ANT.hip_range), ankles - np.clip(ankles, *ANT.ankle_range)], axis=1)
    moving = 0.91 * states[:, 15:18] ** 2, 0.14 * states[:, 18:21] ** 2, states[:, 21:] ** 2, 2500 * over**2
    return sum(part.sum(axis=1) for part in moving) / 2 + WEIGHT * states[:, 2]


@by_seconds
@by_dtype
def test_a_passive_ant_never_gains_energy(seconds, dtype):
    """Dropped from 1.2 m while it spins."""
    state = make_state(16, height=1.2, noise=0.1)
    state[18:21] += np.random.default_rng(3).normal(size=(3, 16)) * 2
    states, _ = move(state, rest(seconds, 4, 16), np.geomspace(0.02, 2, 16), seconds, dtype)
    assert (energy(states) <= 1.001 * energy(state[None])).all()
    assert (energy(states[-1:]) < energy(state[None])).all()


# --- symmetry and many ants -------------------------------------------------------------------------------------------


def quarter_turn(state):
    """Rotate the world by 90 degrees about z, and renumber the legs: the first is now where the second was.

    The axes of the torso rotate with the numbers of the legs, so the quaternion becomes z q z^-1.
    """
    turned = state.copy()
    for x, y in ((0, 1), (15, 16), (18, 19), (4, 5)):
        turned[x], turned[y] = -state[y], state[x]
    for first in (7, 21):
        turned[first : first + 8] = np.roll(state[first : first + 8], 2, axis=0)
    return turned


@by_seconds
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("float64", 1e-9)])
def test_a_quarter_turn_with_the_legs_relabelled_is_the_same_motion(seconds, dtype, tolerance):
    state, torques = make_state(16, height=0.5, noise=0.1), random_torques(8, 16)
    states, impulses = move(state, torques, 0.5, seconds, dtype)
    turned, _ = move(quarter_turn(state), np.roll(torques, 1, axis=1), 0.5, seconds, dtype)
    assert impulses.any()
    assert_allclose(turned[-1], quarter_turn(states[-1]), rtol=0, atol=tolerance)


@by_dtype
@pytest.mark.parametrize("number", [1, 3, 16])
def test_an_ant_alone_moves_as_it_does_among_64(dtype, number):
    """To the bit, with any number of other ants."""
    state, torques = make_state(64, height=0.5, noise=0.1), random_torques(20, 64)
    friction = np.geomspace(0.02, 2, 64)
    among, chosen = move(state, torques, friction, 0.0125, dtype)[0], slice(17, 17 + number)
    alone, _ = move(state[:, chosen], torques[..., chosen], friction[chosen], 0.0125, dtype)
    assert_array_equal(alone, among[..., chosen])


def substep_slowly(state, torques, friction, seconds):
    """One ant, with J (12, 14), A = J M^-1 J' and loops over feet, as in the docstring of the module."""
    place, quaternion, joints, velocity, spin, rates = np.split(state.copy(), [3, 7, 15, 18, 21])
    low, high = np.radians([-30, 30] * 4), np.radians([30, 70] * 4)
    over = joints - np.clip(joints, low, high)
    mobility = 1 / (1 + seconds * (1 + 100 * (over != 0)) + seconds**2 * 2500 * (over != 0))
    rates = mobility * (rates + seconds * (torques.ravel() - 2500 * over))
    velocity[2] -= seconds * 9.81

    w, x, y, z = quaternion
    turned = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = np.eye(3) + 2 * w * turned + 2 * turned @ turned
    vectors = host(leg_vectors(device(joints.reshape(4, 2))))
    jacobian, gaps = np.zeros((4, 3, 14)), np.zeros(4)
    for leg in range(4):
        foot, *columns = (rotation @ vectors[:, leg]).T
        jacobian[leg, :, :3] = np.eye(3)
        jacobian[leg, :, 3:6] = np.cross(np.eye(3), foot).T  # e x r for each axis e
        jacobian[leg, :, 6 + 2 * leg : 8 + 2 * leg] = np.transpose(columns)
        gaps[leg] = place[2] + foot[2]
    jacobian = jacobian.reshape(12, 14)
    inverse_masses = np.concatenate([[1 / 0.91] * 3, [1 / 0.14] * 3, mobility])
    matrix = jacobian * inverse_masses @ jacobian.T
    speeds = np.concatenate([velocity, spin, rates])
    approach = jacobian @ speeds
    approach[2::3] += np.where(gaps > 0, gaps, 0.2 * gaps) / seconds
    diagonal = np.diag(matrix).copy().reshape(4, 3)
    diagonal[:, :2] = diagonal[:, :2].max(axis=1, keepdims=True)
    impulses = np.zeros(12)
    for _ in range(8):
        impulses -= 0.6 * (approach + matrix @ impulses) / diagonal.ravel()
        for foot in impulses.reshape(4, 3):
            foot[2] = max(foot[2], 0)
            length = np.hypot(foot[0], foot[1])
            if length > friction * foot[2]:
                foot[:2] *= friction * foot[2] / length
    velocity, spin, rates = np.split(speeds + inverse_masses * (jacobian.T @ impulses), [3, 6])
    sx, sy, sz = spin * seconds / 2
    left = np.array([[0, -sx, -sy, -sz], [sx, 0, -sz, sy], [sy, sz, 0, -sx], [sz, -sy, sx, 0]])  # times q from the left
    quaternion = quaternion + left @ quaternion
    quaternion /= np.linalg.norm(quaternion)
    return np.concatenate([place + seconds * velocity, quaternion, joints + seconds * rates, velocity, spin, rates])


@on_both_array_modules
def test_a_substep_is_that_of_the_description():
    """Three successive substeps, of ants that fall, stand and slide, on one to four feet."""
    state, torques, friction = make_state(24, height=0.3, noise=0.2), random_torques(3, 24), np.geomspace(0.02, 2, 24)
    expected = state
    for each in torques:
        ants = range(24)
        expected = np.transpose([substep_slowly(expected[:, n], each[..., n], friction[n], 0.0125) for n in ants])
    states, impulses = move(state, torques, friction, 0.0125, "float64")
    assert 0.1 < (impulses[:, 2] > 0).mean() < 0.9
    assert_allclose(states[-1], expected, rtol=1e-9, atol=1e-9)


@on_both_array_modules
def test_the_axes_of_the_ants_may_be_any_and_they_are_taken_in_blocks(monkeypatch):
    state, torques = make_state(60, height=0.5, noise=0.1), random_torques(1, 60)[0]
    friction = np.geomspace(0.02, 2, 60)
    expected, _ = move(state, np.array([torques] * 3), friction, 0.0125, "float64")
    monkeypatch.setattr(physics, "blocks", lambda length, size: [slice(0, 23), slice(23, 46), slice(46, 69)])
    found = device(state.reshape(29, 3, 20))
    physics.advance(found, device(torques.reshape(4, 2, 3, 20)), device(friction.reshape(3, 20)), 3, 0.0125)
    assert_array_equal(host(found).reshape(29, 60), expected[-1])


def test_a_state_that_cannot_be_changed_in_place_is_refused():
    state = device(np.zeros((2, 29))).T
    with pytest.raises(ValueError, match="must be in C order"):
        physics.advance(state, device(np.zeros((4, 2, 2))), device(np.ones(2)), 1, 0.0125)


@by_dtype
def test_wild_actions_on_any_floor_never_make_it_explode(dtype):
    """Random torques, then full ones back and forth, on floors from ice to rubber, without resets."""
    number, steps = 128, 240
    state = device(make_state(number, noise=0.05).astype(dtype))
    friction = device(np.geomspace(0.02, 2, number).astype(dtype))
    depths, speeds = [], []
    for step, torques in enumerate(random_torques(steps, number).astype(dtype)):
        if step >= steps // 2:
            torques = 150 * np.sign(torques)
        physics.advance(state, device(torques), friction, 4, 0.0125)
        depths.append(host(-feet_of(state)[0][2]))
        speeds.append([np.linalg.norm(host(state)[part], axis=0).max() for part in (slice(15, 18), slice(18, 21))])
        speeds[-1].append(abs(host(state)[21:]).max())
    assert np.isfinite(host(state)).all()
    speed, spin, rate = np.max(speeds, axis=0)
    assert speed < 20 and spin < 60 and rate < 40
    assert np.percentile(np.maximum(depths, 0), 99) < 0.03
