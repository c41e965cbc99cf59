"""The body of the ant: its dimensions, and the positions of its feet.

The torso is a ball with four massless legs at azimuths of 45, 135, 225 and 315 degrees (x is forward, y left, z up).
From the center of the torso, a bar leads out to the hip, which turns the leg about the torso's z axis. The upper link
follows, then the ankle, which bends the lower link downward. The foot is the tip of the lower link. With the azimuth
alpha, psi = alpha + hip, a = ankle and reach = upper + lower cos a, in the torso's axes

    foot          = (bar cos alpha + reach cos psi, bar sin alpha + reach sin psi, -lower sin a)
    d foot/d hip   = (-reach sin psi, reach cos psi, 0)
    d foot/d ankle = (-lower sin a cos psi, -lower sin a sin psi, -lower cos a)

The dimensions are those of Gymnasium's Ant-v5, a MuJoCo model; v3 and v4 have the same body. They were checked against
its mass matrix. Every joint of Ant-v5 has a rotor inertia of 1 kg m2, about 99 % of its total inertia, so we neglect
the mass of the legs.
"""

import math
from dataclasses import dataclass

from minilop.backend import Array, xp


@dataclass(frozen=True)
class Body:
    """Properties in kg, m, s and rad; those of Ant-v5 unless noted."""

    mass: float = 0.91  # total: a torso of 0.327 kg, and bars, upper and lower links of density 5 kg/m3
    inertia: float = 0.14  # of torso and legs, between the values about the three axes, (0.121, 0.121, 0.187)
    rotor_inertia: float = 1.0  # of each joint, "armature"
    joint_damping: float = 1.0
    gear: float = 150.0  # N m, the torque of an action of 1
    gravity: float = 9.81
    bar: float = 0.2 * math.sqrt(2)
    upper: float = 0.2 * math.sqrt(2)
    lower: float = 0.4 * math.sqrt(2) + 0.08  # to the tip of a capsule of radius 0.08
    hip_range: tuple[float, float] = (math.radians(-30), math.radians(30))
    ankle_range: tuple[float, float] = (math.radians(30), math.radians(70))  # positive is downward for all legs
    limit_stiffness: float = 2500.0  # ours; critically damped, time constant 0.02 s, as MuJoCo's default
    limit_damping: float = 100.0


ANT = Body()


def leg_vectors(joints: Array, body: Body = ANT) -> Array:
    """The foot and its derivatives by the hip and the ankle, in the torso's axes: (3 axes, 4 legs, 3, ...).

    joints   (4 legs, 2, ...): hip and ankle of each leg
    """
    trailing = joints.shape[2:]
    azimuths = (xp.arange(4, dtype=joints.dtype) + 0.5) * (math.pi / 2)
    azimuths = azimuths.reshape((4,) + (1,) * len(trailing))
    headings, ankles = joints[:, 0] + azimuths, joints[:, 1]  # (4, ...)
    cos_heading, sin_heading = xp.cos(headings), xp.sin(headings)
    drop, reach = body.lower * xp.sin(ankles), body.lower * xp.cos(ankles)
    vectors = xp.empty((3, 4, 3, *trailing), joints.dtype)
    (foot_x, hip_x, ankle_x), (foot_y, hip_y, ankle_y), (foot_z, hip_z, ankle_z) = vectors.swapaxes(1, 2)
    xp.negative(drop, out=foot_z)
    xp.multiply(foot_z, cos_heading, out=ankle_x)
    xp.multiply(foot_z, sin_heading, out=ankle_y)
    xp.negative(reach, out=ankle_z)
    reach += body.upper
    xp.multiply(reach, cos_heading, out=hip_y)
    xp.multiply(reach, sin_heading, out=foot_y)
    xp.negative(foot_y, out=hip_x)
    hip_z[...] = 0
    xp.add(hip_y, body.bar * xp.cos(azimuths), out=foot_x)
    foot_y += body.bar * xp.sin(azimuths)
    return vectors
