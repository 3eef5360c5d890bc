"""A ride: the specific force that a box truly feels, and the physical ways to change it.

Axes of the box: x forward, y left, z up. Specific force is acceleration less gravity: +g along z at rest,
nothing in free fall.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.examination.scene import F64, GRAVITY_MPS2, Draw

SLOWEST_REST = 24
FINE = 16
"""Points a sample at which a quick pulse is evaluated: a MEMS sensor gives its mean over a sample."""


@dataclass(slots=True)
class Ride:
    """``force``: (n, 3) m/s²; ``gyro``: (n, 3) rad/s; ``begins_s``: the end of the rest before."""

    rate_hz: float
    force: F64
    gyro: F64
    begins_s: float = 0.0

    @property
    def time_s(self) -> F64:
        """Time of each sample: (n,)."""
        return np.arange(len(self.force)) / self.rate_hz

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.force) / self.rate_hz

    def accelerate(self, forward: F64, left: F64, pitch_deg_per_g: float = 4.0) -> None:
        """Add (n,) accelerations of the vehicle, m/s², whose body nods and leans by so much a g.

        3° to 5° a g are usual for trucks and vans: Gillespie, Fundamentals of Vehicle Dynamics, chapter 9.
        """
        lean = math.radians(pitch_deg_per_g) / GRAVITY_MPS2
        self.force[:, 0] += forward + GRAVITY_MPS2 * np.sin(lean * forward)
        self.force[:, 1] += left + GRAVITY_MPS2 * np.sin(lean * left)
        self.gyro[:, 1] -= np.gradient(lean * forward, 1 / self.rate_hz)
        self.gyro[:, 0] += np.gradient(lean * left, 1 / self.rate_hz)

    def without_manoeuvres(self) -> None:
        """Take out what the recording's own driver did: what lasts for 2 s and more, level.

        Where nobody marked it, its direction is not known, and a scene could contradict itself.
        """
        length = max(1, round(2.0 * self.rate_hz))
        kernel = np.ones(length) / length
        for axis in (0, 1):
            padded = np.pad(self.force[:, axis], (length // 2, length - 1 - length // 2), mode="edge")
            self.force[:, axis] -= np.convolve(padded, kernel, "valid")

    def yaw(self, left: F64, speed_mps: float) -> None:
        """Turn with the vehicle that is driven at `speed_mps` under the lateral acceleration `left` (n,)."""
        self.gyro[:, 2] += left / speed_mps

    def lean(self, angle_rad: F64, heading_rad: float) -> None:
        """Turn the box by `angle_rad` (n,) about a level axis; all that the vehicle feels is felt turned."""
        axis = np.array([math.cos(heading_rad), math.sin(heading_rad), 0.0])
        self.force = turned(self.force, axis, -angle_rad)
        self.gyro = turned(self.gyro, axis, -angle_rad)
        self.gyro += np.gradient(angle_rad, 1 / self.rate_hz)[:, None] * axis

    def jolt(self, pulse: Callable[[F64], F64], start_s: float, lasts_s: float, direction: F64) -> None:
        """Add `pulse` (of seconds after its start; m/s²) along the unit vector `direction`."""
        first = max(0, math.floor(start_s * self.rate_hz) - 1)
        last = min(len(self.force), math.ceil((start_s + lasts_s) * self.rate_hz) + 2)
        if last <= first:
            return
        fine = (np.arange(first * FINE, last * FINE) + 0.5) / (FINE * self.rate_hz) - start_s
        inside = (fine >= 0) & (fine < lasts_s)
        felt = np.where(inside, pulse(np.clip(fine, 0.0, lasts_s)), 0.0).reshape(-1, FINE).mean(axis=1)
        self.force[first:last] += felt[:, None] * direction

    def index(self, time_s: float) -> int:
        """Return the first sample at or after `time_s`."""
        return min(len(self.force), max(0, math.ceil(time_s * self.rate_hz)))

    def hold(self, start_s: float, end_s: float) -> None:
        """Take the vehicle away between these times: the box is in somebody's hands, or on the ground."""
        share = ramp(self.time_s, start_s - 0.2, 0.2) - ramp(self.time_s, end_s, 0.2)
        self.force *= (1 - share)[:, None]
        self.force[:, 2] += share * GRAVITY_MPS2


def ride(draw: Draw, seconds: float, *, rest_s: float = 4.0) -> Ride:
    """Return a ride on the drawn background, at its own rate, after a rest in which up can be learned.

    A recording at 100 to 999 Hz is sometimes brought to 1 kHz, as a faster sensor would have given it. A slow
    sensor is given longer to rest: two dozen samples.
    """
    low, high = draw.background.rates_hz
    rate_hz = int(draw.rng.integers(low, high + 1))
    if 100 <= rate_hz < 1000 and draw.chance(0.25):
        rate_hz = 1000
    if rest_s:
        rest_s = max(rest_s, SLOWEST_REST / rate_hz)
    samples = round((seconds - rest_s) * rate_hz)
    force = draw.background.make(samples, rate_hz, draw.rng)
    # a sensor has its errors (transit: 4 %) at rest, too; they do not begin as the vehicle moves
    still = np.tile(force.mean(axis=0), (round(rest_s * rate_hz), 1))
    whole = np.concatenate([still, force])
    joint = round(min(1.0, rest_s) * rate_hz)
    if joint:
        share = ramp(np.arange(joint) / joint, 0.0, 1.0)[:, None]
        begin = len(still)
        whole[begin : begin + joint] = (1 - share) * still[:1] + share * whole[begin : begin + joint]
    made = Ride(float(rate_hz), whole, np.zeros_like(whole), rest_s)
    made.gyro += draw.rng.normal(0, 0.004 if draw.background.moving else 0.0005, whole.shape)
    return made


def ramp(time_s: F64, start_s: float, lasts_s: float) -> F64:
    """Half-cosine from 0 to 1 over `lasts_s`."""
    share = np.clip((time_s - start_s) / max(lasts_s, 1e-9), 0.0, 1.0)
    return np.asarray(0.5 - 0.5 * np.cos(math.pi * share))


def plateau(time_s: F64, start_s: float, rise_s: float, hold_s: float, fall_s: float) -> F64:
    """Rise to 1, hold, and fall to 0 again."""
    return ramp(time_s, start_s, rise_s) - ramp(time_s, start_s + rise_s + hold_s, fall_s)


def turned(vectors: F64, axis: F64, angle_rad: F64) -> F64:
    """Return (n, 3) vectors turned about the unit vector `axis` by `angle_rad` (n,) each (Rodrigues)."""
    cosine, sine = np.cos(angle_rad)[:, None], np.sin(angle_rad)[:, None]
    along = (vectors @ axis)[:, None] * axis
    return np.asarray(vectors * cosine + np.cross(axis, vectors) * sine + along * (1 - cosine))


def any_rotation(rng: np.random.Generator) -> F64:
    """Return a rotation matrix drawn evenly (QR of a normal matrix, Mezzadri 2007)."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q if np.linalg.det(q) > 0 else -q)


def smooth_noise(rng: np.random.Generator, samples: int, rate_hz: float, corner_hz: float) -> F64:
    """Return (samples,) of Gaussian noise of unit variance below `corner_hz`."""
    points = max(4, math.ceil(samples / rate_hz * corner_hz * 2) + 3)
    knots = rng.standard_normal(points)
    at = np.linspace(1, points - 2, samples)
    k = np.floor(at).astype(int)
    k = np.clip(k, 1, points - 3)
    u = at - k
    # cubic through the knots (Catmull-Rom): smooth enough for a hand, a sea, a road's camber
    p0, p1, p2, p3 = knots[k - 1], knots[k], knots[k + 1], knots[k + 2]
    value = 0.5 * (
        2 * p1 + (p2 - p0) * u + (2 * p0 - 5 * p1 + 4 * p2 - p3) * u**2 + (3 * p1 - p0 - 3 * p2 + p3) * u**3
    )
    return np.asarray(value)
