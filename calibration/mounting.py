"""How the sensor sits in the vehicle: which way is up, from gravity at rest; which is forward, from braking.

The box frame is that of a road vehicle (ISO 8855): x forward, y left, z up. Two directions make it, by the
TRIAD of H. D. Black (AIAA Journal 2, 1964): up is believed, forward is what of it is level.

That a stop ends in rest tells braking from pulling away without any other sensor: the level force right
before a rest points backward, right after it forward. Corners cancel, since nobody stands at their end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.accelerometer import student_95
from calibration.errors import CalibrationRefused
from calibration.poses import HOLD_S
from calibration.stillness import stretches

F64 = npt.NDArray[np.float64]

# A stop from 30 km/h at a comfortable 2 m/s² takes four seconds.
WINDOW_S = 4.0
LEAST_IMPULSES = 3
# With 95 %; beyond it "forward" would not tell braking from a bend (a sideways share of a quarter).
FORWARD_LIMIT_DEG = 15.0
# Rests of a parked vehicle differ by what the road slopes, no more than this: else the box was turned.
SLOPE_LIMIT_DEG = 20.0


@dataclass(frozen=True, slots=True)
class Mounting:
    """``rotation`` (3, 3): box = rotation · sensor. ``forward_95_deg``: by how much forward may be off.

    ``impulses``: how many stops and starts it is from. ``slope_deg``: by what rests differ in up (σ).
    """

    rotation: F64
    forward_95_deg: float
    slope_deg: float
    impulses: int

    def to_box(self, values: F64) -> F64:
        """Return calibrated vectors (n, 3) in the box frame: forward, left, up."""
        turned: F64 = values @ self.rotation.T
        return turned


def mounting_from(rest_mps2: F64, braking_mps2: F64) -> F64:
    """Return the rotation (3, 3) from a reading at rest (3,) and one while braking straight ahead (3,).

    Raises CalibrationRefused where they do not differ in the level.
    """
    up = rest_mps2 / np.linalg.norm(rest_mps2)
    level = braking_mps2 - (braking_mps2 @ up) * up
    size = float(np.linalg.norm(level))
    if not size > 0.02 * float(np.linalg.norm(rest_mps2)):  # 0.02 g: what 1° of slope reads
        raise CalibrationRefused(
            "finding out which way is forward",
            got=f"{size:.2f} m/s² of braking",
            expected="more than a slope of the road would read, 0.2 m/s²",
            remedy="Brake once from 30 km/h to a stop, straight ahead and firmly.",
        )
    forward = -level / size
    return np.array([forward, np.cross(up, forward), up])


def find_mounting(values_mps2: F64, rate_hz: float, *, window_s: float = WINDOW_S) -> Mounting:
    """Find up and forward in a drive: calibrated readings (n, 3) with some stops in it.

    Raises CalibrationRefused where there are too few stops, or where they contradict each other.
    """
    values = np.asarray(values_mps2, dtype=np.float64)
    rests = [
        (stretch.begin, stretch.end, stretch.mean)
        for stretch in stretches(values, rate_hz)[0]
        if stretch.end - stretch.begin >= HOLD_S * rate_hz
    ]
    if not rests:
        raise _refused(
            "no rest of two seconds", "the vehicle standing, engine off or idling, for some seconds"
        )
    ups = np.array([mean / np.linalg.norm(mean) for _, _, mean in rests])
    weights = np.array([end - begin for begin, end, _ in rests], dtype=np.float64)
    up = (ups * weights[:, None]).sum(axis=0)
    up /= np.linalg.norm(up)
    away = np.degrees(np.arccos(np.clip(ups @ up, -1.0, 1.0)))
    if away.max() > SLOPE_LIMIT_DEG:
        raise _refused(f"rests that are {away.max():.0f}° apart", "a box that stays as it is mounted")
    impulses = _impulses(values, rate_hz, rests, window_s)
    level = impulses - (impulses @ up)[:, None] * up
    forward, spread_deg = _direction(level, up)
    rotation = np.array([forward, np.cross(up, forward), up])
    return Mounting(rotation, spread_deg, float(np.sqrt(np.mean(away**2))), len(level))


def _impulses(values: F64, rate_hz: float, rests: Sequence[tuple[int, int, F64]], window_s: float) -> F64:
    """Return the change of speed (k, 3), forward, before and after each rest, against the rest itself."""
    window = round(window_s * rate_hz)
    out = []
    for i, (begin, end, mean) in enumerate(rests):
        first = max(begin - window, rests[i - 1][1] if i else 0)
        last = min(end + window, rests[i + 1][0] if i + 1 < len(rests) else len(values))
        for part, sign in ((values[first:begin], -1.0), (values[end:last], 1.0)):
            if len(part) >= rate_hz and np.isfinite(part).all():
                out.append(sign * (part - mean).sum(axis=0) / rate_hz)
    # a door that slams is no departure: half of walking pace, 0.7 m/s
    return np.array([v for v in out if float(np.linalg.norm(v)) > 0.7]).reshape(-1, 3)


def _direction(level: F64, up: F64) -> tuple[F64, float]:
    """Return the mean direction (3,) of level impulses (k, 3), and how far off it may be with 95 %, deg."""
    if len(level) < LEAST_IMPULSES:
        raise _refused(f"{len(level)} stops and starts", f"at least {LEAST_IMPULSES}")
    total = level.sum(axis=0)
    forward = total / max(float(np.linalg.norm(total)), 1e-12)
    left = np.cross(up, forward)
    along, aside = level @ forward, level @ left
    count = len(level)
    scatter = math.sqrt(float(np.sum(aside**2)) / (count - 1) * count)
    wide = math.degrees(math.atan2(student_95(count - 1) * scatter, float(along.sum())))
    backward = float(np.abs(along[along < 0]).sum())
    if wide > FORWARD_LIMIT_DEG or backward > 0.25 * float(np.abs(along).sum()):
        raise _refused(
            f"{count} stops and starts that leave forward open by ±{wide:.0f}°", f"±{FORWARD_LIMIT_DEG:g}°"
        )
    return forward, wide


def _refused(got: str, expected: str) -> CalibrationRefused:
    return CalibrationRefused(
        "finding out how the box is mounted",
        got=got,
        expected=expected,
        remedy="Drive straight ahead, stop firmly, stand for three seconds, and start again: four times.",
    )
