"""Positions at rest: which there are in a recording, which are too near each other, which is missing.

How much a position adds is what it adds to the information of the nine parameters, by the determinant
(D-optimal design: A. C. Atkinson, A. N. Donev, "Optimum experimental designs", 1992, ch. 9).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.accel_model import NOMINAL, PARAMETERS, design
from calibration.gravity import STANDARD_GRAVITY_MPS2
from calibration.stillness import TREMOR_FACTOR, VARIANCE_FACTOR, Stretch, stretches

F64 = npt.NDArray[np.float64]

HOLD_S = 2.0
ENOUGH_POSES = 10
# Ten caps share a sphere when each is 37° wide (1 − cos r = 2/10). Nearer than half of that is the same.
TOO_NEAR_DEG = 18.0
AXES = "xyz"
FACTORS = (VARIANCE_FACTOR, 8.0, 12.0, TREMOR_FACTOR)


@dataclass(frozen=True, slots=True)
class Pose:
    """Samples `begin` to `end` of a recording, their mean (3,) in m/s², and its standard error (3,)."""

    begin: int
    end: int
    mean: F64
    standard_error: F64


@dataclass(frozen=True, slots=True)
class MissingPose:
    """A position to take next: in words, and as the direction of the sensor (3,) that has to point up."""

    words: str
    up: tuple[float, float, float]


def find_poses(values_mps2: F64, rate_hz: float, *, hold_s: float = HOLD_S) -> list[Pose]:
    """Return every rest of at least `hold_s` in a recording (n, 3), in its order, near ones included.

    Of the factors between which Tedaldi et al. (ICRA 2014, IV-A) search, the strictest that finds ten
    different positions, or else the one that finds most: who holds a sensor in the hand shakes a little.
    """
    values = np.asarray(values_mps2, dtype=np.float64)
    best: list[Pose] = []
    different = -1
    for factor in FACTORS:
        rests, resolution = stretches(values, rate_hz, factor=factor)
        poses = [
            pose_of(stretch, resolution)
            for stretch in rests
            if stretch.end - stretch.begin >= hold_s * rate_hz
        ]
        count = min(len(distinct(poses)), ENOUGH_POSES)
        if count > different:
            best, different = poses, count
        if different == ENOUGH_POSES:
            break
    return best


def pose_of(stretch: Stretch, resolution: F64) -> Pose:
    """Return a stretch of rest as a pose; `resolution` (3,): the steps that the sensor reads in."""
    rest = stretch.settled()
    return Pose(rest.begin, rest.end, rest.mean, rest.standard_error(resolution))


def angle_deg(a: F64, b: F64) -> float:
    """Return the angle between two readings (3,)."""
    cosine = float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def nearest(mean: F64, poses: Sequence[Pose]) -> int | None:
    """Return which pose (from 0) is too near to this reading, or None."""
    near = [(angle_deg(mean, pose.mean), i) for i, pose in enumerate(poses)]
    best = min(near, default=(math.inf, 0))
    return best[1] if best[0] < TOO_NEAR_DEG else None


def distinct(poses: Sequence[Pose]) -> list[Pose]:
    """Return the poses without those too near an earlier one."""
    kept: list[Pose] = []
    for pose in poses:
        if nearest(pose.mean, kept) is None:
            kept.append(pose)
    return kept


def well_spread(poses: Sequence[Pose], count: int = ENOUGH_POSES) -> list[int]:
    """Return which `count` of the poses tell most about the nine parameters, in their order."""
    rows = _rows(np.array([pose.mean for pose in poses]).reshape(-1, 3))
    information = _PRIOR.copy()
    chosen: list[int] = []
    while len(chosen) < min(count, len(poses)):
        best = _best(information, rows, chosen)
        chosen.append(best)
        information += np.outer(rows[best], rows[best])
    return sorted(chosen)


def missing_poses(poses: Sequence[Pose], count: int = ENOUGH_POSES, *, least: int = 0) -> list[MissingPose]:
    """Return the positions to take next, best first: up to `count` poses in all, and at least `least`."""
    information = _PRIOR.copy()
    taken = [pose.mean / np.linalg.norm(pose.mean) for pose in poses]
    for row in _rows(np.array([pose.mean for pose in poses]).reshape(-1, 3)):
        information += np.outer(row, row)
    rows = _rows(_CANDIDATES * STANDARD_GRAVITY_MPS2)
    out: list[MissingPose] = []
    for _ in range(max(count - len(poses), least)):
        near = [
            i for i, up in enumerate(_CANDIDATES) if any(angle_deg(up, t) < 2 * TOO_NEAR_DEG for t in taken)
        ]
        if len(near) == len(_CANDIDATES):
            near = [
                i for i, up in enumerate(_CANDIDATES) if any(angle_deg(up, t) < TOO_NEAR_DEG for t in taken)
            ]
        if len(near) == len(_CANDIDATES):
            break
        best = _best(information, rows, near)
        up = _CANDIDATES[best]
        information += np.outer(rows[best], rows[best])
        taken.append(up)
        out.append(MissingPose(words_of(up), (float(up[0]), float(up[1]), float(up[2]))))
    return out


def words_of(up: F64) -> str:
    """Say how the sensor has to lie, by the axes that are printed on it."""
    parts = [f"{'+' if value > 0 else '−'}{AXES[i]}" for i, value in enumerate(up) if abs(value) > 0.1]
    if len(parts) == 1:
        return f"flat, {parts[0]} straight up"
    if len(parts) == 2:
        return f"on an edge, {parts[0]} and {parts[1]} both halfway up (45°)"
    return f"on a corner, {', '.join(parts[:-1])} and {parts[-1]} all pointing up alike"


def _candidates() -> F64:
    """Return six faces, twelve edges and eight corners as unit vectors (26, 3)."""
    ways = [np.array(v, dtype=np.float64) for v in itertools.product((0, 1, -1), repeat=3) if any(v)]
    ways.sort(key=lambda v: float(np.abs(v).sum()))
    return np.array([v / np.linalg.norm(v) for v in ways])


def _rows(means: F64) -> F64:
    """Return what each pose tells of the nine parameters (n, 9), in parts of gravity."""
    if not len(means):
        return np.empty((0, PARAMETERS))
    rows: F64 = design(NOMINAL, means)[1] / ([STANDARD_GRAVITY_MPS2] * 6 + [1.0] * 3)
    return rows


def _best(information: F64, rows: F64, without: Sequence[int]) -> int:
    gain = np.einsum("ni,ij,nj->n", rows, np.linalg.inv(information), rows)
    gain[list(without)] = -1.0
    # of what is equal but for rounding, the first: a face is easier than an edge
    return int(np.flatnonzero(gain >= gain.max() * (1 - 1e-6))[0])


_CANDIDATES = _candidates()
_PRIOR: F64 = np.eye(PARAMETERS) * 1e-6
