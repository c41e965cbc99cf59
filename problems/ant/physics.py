"""The physics of the ant: a ball on four massless legs that push against the floor with dry friction.

The code handles any number of ants at once: the first axes of every array are components, the last ones are ants. Ants
never affect each other.

The model. The torso has mass m and the same inertia I about every axis. The legs have no mass, but each joint turns a
rotor of inertia K. With joint angles q and angular velocity omega, the Lagrangian is

    L = m |v|^2 / 2 + I |omega|^2 / 2 + K |dq/dt|^2 / 2 - m g z

Because the inertia is the same about every axis, there is no gyroscopic term, and omega can be expressed in the world's
axes. Because the legs have no mass, the mass matrix is diagonal. Motors, dampers and joint stops act on the rotors
only. The torso is moved by gravity and, through the feet, by the floor.

One substep of length dt is semi-implicit: it updates the velocities first, then the positions with the new velocities.

    joints      over = q - clip(q, low, high): beyond their stops there are springs with dampers, whose stiffness and
                damping are implicit: mobility = 1 / (K + dt (c + [over != 0] d) + dt^2 [over != 0] k)
                dq/dt <- mobility (K dq/dt + dt (torque - k over))
    gravity     v_z <- v_z - dt g
    feet        r is the vector from the center of the torso to a foot, in the world's axes, and dr/dq its derivatives;
                the velocity is u = v + omega x r + sum over the leg's joints (dr/dq dq/dt), in short u = J w
    contact     impulses in Coulomb's cone, p_z >= 0 and |p_xy| <= mu p_z, such that u + A p satisfies the contact with
                the floor (below); A = J M^-1 J' with the diagonal mass matrix M, whose joint entries are 1 / mobility
    impulses    v += sum p / m,   omega += sum (r x p) / I,   dq/dt += mobility (dr/dq . p) for a leg's own joints
    positions   position += dt v,   q += dt dq/dt,   quaternion += dt / 2 (0, omega) * quaternion, and normalized

A is 12 x 12, for three axes of four feet. Because the inertia is the same about every axis, it has a simple form, by
(a x b) x c = b (a . c) - a (b . c):

    A[foot, foot'] = (1 / m + r . r' / I) Id - r' r^T / I  (+ own joints: dr/dq mobility dr/dq^T)

Contact. Let b = u. The vertical rows also contain gap / dt for a foot above the floor, which may just reach the floor,
or 0.2 gap / dt for a foot below it, which is lifted out. Eight projected Jacobi iterations start from p = 0:

    p <- p - 0.6 (b + A p) / D, then p_z <- max(p_z, 0), and p_xy is shortened to length mu p_z if it is longer

D is the diagonal of A, except that both horizontal rows of a foot have the larger of their two entries, so friction has
no preferred direction. Feet in the air get zero impulse without a special case. With strong random torques and substeps
of 0.01 s, eight iterations leave a mean error of 0.025 m/s in the torso's velocity (three 0.06, twenty 0.005); without
relaxation, the iteration diverges.

This is not MuJoCo's Ant. The dimensions are the same (problems/ant/body.py), but the legs have no mass, so the torso
does not recoil when a leg swings; the feet are points; only the feet touch the floor; friction is a cone, not a
pyramid. Energy, momentum and friction obey the laws of mechanics, and gaits are similar, but policies do not transfer.
"""

from typing import NamedTuple

from minilop import backend
from minilop.backend import Array, blocks, xp
from problems.ant.body import ANT, Body, leg_vectors

STATE_SIZE = 29
ITERATIONS = 8
RELAXATION = 0.6
RECOVERY = 0.2  # fraction of its depth below the floor by which a foot is lifted in a substep

_SMALLEST = 1e-30  # a negligible impulse, avoids 0 / 0


class Motion(NamedTuple):
    """The parts of a state (29, ...), as views, in MuJoCo's order; state[2:] is the observation."""

    position: Array  # (3, ...), center of the torso, in the world's axes like all but the joints
    quaternion: Array  # (4, ...): w, x, y, z; the rotation from the torso's axes to the world's
    joints: Array  # (4 legs, 2, ...): hip and ankle
    velocity: Array  # (3, ...)
    spin: Array  # (3, ...), the angular velocity
    rates: Array  # (4, 2, ...), of the joints


def motion_of(state: Array) -> Motion:
    """The parts of a state (29, ...), as views."""
    of_joints = (4, 2, *state.shape[1:])
    joints, rates = state[7:15].reshape(of_joints), state[21:].reshape(of_joints)
    return Motion(state[:3], state[3:7], joints, state[15:18], state[18:21], rates)


def advance(state: Array, torques: Array, friction: Array, substeps: int, seconds: float, body: Body = ANT) -> None:
    """Take several substeps of `seconds` each with the same torques, in place.

    state (29, ...), in C order; torques (4 legs, 2, ...) of hip and ankle; friction (...)

    Raises ValueError for a state in another order, because a copy would change instead.
    """
    if not state.flags.c_contiguous:
        raise ValueError("the state must be in C order to be changed in place")
    num_ants = friction.size
    state, friction = state.reshape(STATE_SIZE, num_ants), friction.reshape(num_ants)
    torques = torques.reshape(4, 2, num_ants)
    for block in blocks(num_ants, 144 * num_ants):  # the largest array is A
        for _ in range(substeps):
            substep(state[:, block], torques[..., block], friction[block], seconds, body)


def substep(state: Array, torques: Array, friction: Array, seconds: float, body: Body = ANT) -> Array:
    """Take one substep, in place; shapes as in `advance`. Returns the impulses of the floor, (3 axes, 4 feet, ...)."""
    motion = motion_of(state)
    mobility = move_joints(motion, torques, seconds, body)  # (4, 2, ...)
    motion.velocity[2] -= seconds * body.gravity

    vectors = rotated(rotation_matrix(motion.quaternion), leg_vectors(motion.joints, body))  # (3, 4, 3, ...)
    feet, columns = vectors[:, :, 0], vectors[:, :, 1:]  # (3, 4, ...) and dr/dq (3, 4, 2, ...)
    approach = foot_velocities(motion, feet, columns)  # (3, 4, ...)
    gaps = motion.position[2] + feet[2]  # (4, ...)
    approach[2] += xp.where(gaps > 0, gaps, RECOVERY * gaps) / seconds
    impulses = contact_impulses(response(feet, columns, mobility, body), approach, friction)

    motion.velocity[...] += over_legs(impulses) / body.mass
    motion.spin[...] += over_legs(cross(feet, impulses)) / body.inertia
    pulls = columns * impulses[:, :, None]  # (3, 4, 2, ...)
    motion.rates[...] += (pulls[0] + pulls[1] + pulls[2]) * mobility

    motion.position[...] += seconds * motion.velocity
    motion.joints[...] += seconds * motion.rates
    turn(motion.quaternion, motion.spin, seconds)
    return impulses


def move_joints(motion: Motion, torques: Array, seconds: float, body: Body) -> Array:
    """Update the joint rates, without contact, in place. Returns the mobility of the joints, (4, 2, ...)."""
    joints, rates = motion.joints, motion.rates
    over = joints.copy()  # (4, 2, ...)
    for kind, (low, high) in enumerate((body.hip_range, body.ankle_range)):
        over[:, kind] -= xp.minimum(xp.maximum(joints[:, kind], low), high)
    stop = seconds * body.limit_damping + seconds**2 * body.limit_stiffness
    mobility = stop * (over != 0).astype(over.dtype)
    mobility += body.rotor_inertia + seconds * body.joint_damping
    xp.divide(1, mobility, out=mobility)
    over *= -body.limit_stiffness
    over += torques
    over *= seconds
    rates *= body.rotor_inertia
    rates += over
    rates *= mobility
    return mobility


def foot_velocities(motion: Motion, feet: Array, columns: Array) -> Array:
    """The velocities u = v + omega x r + dr/dq dq/dt, (3, 4, ...)."""
    swings = columns * motion.rates  # (3, 4, 2, ...)
    velocities = cross(motion.spin[:, None], feet)
    velocities += swings[:, :, 0]
    velocities += swings[:, :, 1]
    velocities += motion.velocity[:, None]
    return velocities


def response(feet: Array, columns: Array, mobility: Array, body: Body) -> Array:
    """The symmetric matrix A, (3, 4, 3, 4, ...): the derivatives of foot velocities by impulses."""
    matrix = xp.empty((3, 4, *feet.shape), feet.dtype)
    by_foot = (feet * (-1 / body.inertia)).swapaxes(0, 1)[:, :, None]  # (4, 3, 1, ...)
    xp.multiply(feet[:, None, None], by_foot, out=matrix)  # -r' r^T / I
    lever = matrix[0, :, 0] + matrix[1, :, 1]  # (4, 4, ...)
    lever += matrix[2, :, 2]  # -r . r' / I
    xp.subtract(1 / body.mass, lever, out=lever)
    for axis in range(3):
        matrix[axis, :, axis] += lever
    by_joint = columns[:, None] * (columns * mobility)  # (3, 3, 4, 2, ...)
    for leg in range(4):
        matrix[:, leg, :, leg] += by_joint[:, :, leg, 0] + by_joint[:, :, leg, 1]
    return matrix


def contact_impulses(matrix: Array, approach: Array, friction: Array) -> Array:
    """The floor's impulses p, (3, 4, ...), by projected Jacobi iteration.

    matrix     A, (3, 4, 3, 4, ...), symmetric; overwritten
    approach   b, (3, 4, ...)
    friction   mu, (...)

    An iteration is p <- project(S p - s b), with s = 0.6 / D and S = Id - s A.
    """
    diagonal = matrix.reshape(144, *friction.shape)[::13]  # (12, ...), a view
    step = -RELAXATION / diagonal.reshape(approach.shape)  # -s, (3, 4, ...)
    step[:2] = xp.maximum(step[0], step[1])  # the larger D gives the shorter step
    matrix *= step  # -s A, transposed: rows are impulses, columns are velocities
    diagonal += 1
    step *= approach
    impulses = step.copy()  # the first iteration, from 0
    project(impulses, friction)
    rows, step = matrix.reshape(12, 12, *friction.shape), step.reshape(12, *friction.shape)
    flat = impulses.reshape(step.shape)  # a view
    for _ in range(ITERATIONS - 1):
        xp.add(step, weighted_sum(rows, flat), out=flat)
        project(impulses, friction)
    return impulses


def weighted_sum(rows: Array, weights: Array) -> Array:
    """The sum over j of rows (j, i, ...) times weights (j, ...), always in this order of j."""
    if backend.name() == "cupy":  # its einsum would transpose the rows first
        return (rows * weights[:, None]).sum(axis=0)
    return xp.einsum("ji...,j...->i...", rows, weights)  # reads the rows once, without an array of products


def project(impulses: Array, friction: Array) -> None:
    """Project impulses (3, 4, ...) onto the friction cone, in place: p_z >= 0, |p_xy| <= mu p_z; friction (...)."""
    sideways, upward = impulses[:2], impulses[2]
    xp.maximum(upward, 0, out=upward)
    bound = friction * upward  # (4, ...)
    squares = sideways * sideways
    length = squares[0] + squares[1]
    xp.sqrt(length, out=length)
    xp.maximum(length, bound, out=length)
    xp.maximum(length, _SMALLEST, out=length)
    bound /= length  # at most 1
    sideways *= bound


def over_legs(vectors: Array) -> Array:
    """The sum over legs of (3, 4, ...), in an order that does not depend on the number of ants."""
    return vectors[:, 0] + vectors[:, 1] + vectors[:, 2] + vectors[:, 3]


def cross(a: Array, b: Array) -> Array:
    """a x b of (3, ...), with the shape of b."""
    product = xp.empty(b.shape, b.dtype)
    for axis in range(3):
        second, third = (axis + 1) % 3, (axis + 2) % 3
        xp.multiply(a[second], b[third], out=product[axis])
        product[axis] -= a[third] * b[second]
    return product


def rotation_matrix(quaternion: Array) -> Array:
    """(3, 3, ...) of quaternions (4, ...): 2 (w^2 + x^2) - 1, 2 (x y - w z), 2 (x z + w y) and so on, cyclically."""
    products = quaternion[:, None] * (2 * quaternion)  # (4, 4, ...)
    matrix = xp.empty((3, 3, *quaternion.shape[1:]), quaternion.dtype)
    for row in range(3):
        column, other = (row + 1) % 3, (row + 2) % 3
        matrix[row, row] = 1 - products[1 + column, 1 + column] - products[1 + other, 1 + other]
        xp.subtract(products[1 + row, 1 + column], products[0, 1 + other], out=matrix[row, column])
        xp.add(products[1 + row, 1 + column], products[0, 1 + other], out=matrix[column, row])
    return matrix


def rotated(matrix: Array, vectors: Array) -> Array:
    """Vectors (3, 4, 3, ...), whose first axis is rotated by matrices (3, 3, ...) into the world's axes."""
    columns = matrix[:, :, None, None]
    result = columns[:, 0] * vectors[0]
    term = columns[:, 1] * vectors[1]
    result += term
    xp.multiply(columns[:, 2], vectors[2], out=term)
    result += term
    return result


def turn(quaternion: Array, spin: Array, seconds: float) -> None:
    """Rotate quaternions (4, ...) by a small angle, in place; `spin`, in the world's axes, multiplies from the left."""
    half = spin * (seconds / 2)
    scalar, vector = quaternion[0], quaternion[1:]
    change = half * scalar + cross(half, vector)
    products = half * vector
    scalar -= products[0] + products[1] + products[2]
    vector += change
    squares = quaternion * quaternion
    quaternion /= xp.sqrt(squares[0] + squares[1] + squares[2] + squares[3])
