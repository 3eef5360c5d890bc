"""Six positions and three turns: an accelerometer's and a gyroscope's session as laboratories record it.

F. Ferraris, U. Grimaldi, M. Parvis, "Procedure for effortless in-field calibration of three-axis rate gyros
and accelerometers", Sensors and Materials 7 (1995) 311–330: each axis of the housing points up once and
down once, then the housing is turned once about each. The axes are then those of the housing.

Other than there, a position is not taken for exact. The length of gravity is believed to the noise, its
direction to what the hand is off by, which is estimated with the rest; and that the sensor's axes stand
square, to what data sheets allow. So the hand's degree of error stays out of scale and bias as far as six
positions can tell, and is in the uncertainty. The gyroscope: bias and the effect of gravity from the rests,
the matrix from the angles of the turns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.accel_model import LEAST_STANDARD_MPS2, rms
from calibration.accelerometer import CROSS_AXIS_RAD, NORMAL_95, student_95
from calibration.errors import CalibrationRefused
from calibration.gravity import Gravity
from calibration.poses import HOLD_S, Pose, angle_deg, find_poses
from calibration.stillness import QUIETEST_MPS2

F64 = npt.NDArray[np.float64]

AXES = "xyz"
FACES = ("x_p", "x_a", "y_p", "y_a", "z_p", "z_a")  # plus: this axis up; anti: down. Names as in imucal.
TURNS = ("x_rot", "y_rot", "z_rot")
PAIRS = ((0, 1), (0, 2), (1, 2))
# A face is the one whose axis is nearest: nearer than halfway to an edge.
FACE_DEG = 22.5
# What hands that put a box on a table are off by, for a first guess; then it is estimated.
HAND_RAD = math.radians(1.0)
HAND_FREEDOM = 6  # twelve level components, six of which go into the matrix
# How well a turn against an edge comes back to where it began.
TURN_STANDARD_RAD = math.radians(1.0)

Section = tuple[int, int]


@dataclass(frozen=True, slots=True)
class AxesFit:
    """true = gain · (measured − bias), with the covariance (12, 12) of gain (row by row) and bias.

    ``residual_rms_mps2``, ``worst_mps2``: over the six rests; ``hand_rad``: by what the housing was tilted
    in them.
    """

    gain: F64
    bias: F64
    covariance: F64
    residual_rms_mps2: float
    worst_mps2: float
    hand_rad: float

    def correct(self, measured_mps2: F64) -> F64:
        """Return gain · (measured − bias) for readings of (n, 3)."""
        corrected: F64 = (measured_mps2 - self.bias) @ self.gain.T
        return corrected


@dataclass(frozen=True, slots=True)
class GyroFit:
    """true = gain · (measured − bias − sensitivity · a), rad/s and m/s²; a is the true specific force.

    ``bias_standard_radps`` (3,); ``gain_standard``: of each element, from how well a turn comes back.
    """

    gain: F64
    bias: F64
    sensitivity: F64
    bias_standard_radps: F64
    gain_standard: float

    def correct(self, measured_radps: F64, accel_mps2: F64) -> F64:
        """Return true rates (n, 3) of measured ones and the true specific force (n, 3)."""
        corrected: F64 = (measured_radps - self.bias - accel_mps2 @ self.sensitivity.T) @ self.gain.T
        return corrected


@dataclass(frozen=True, slots=True)
class FerrarisFit:
    """Both sensors, the sections that they are from, and all rests, with what the fit leaves in each."""

    accel: AxesFit
    gyro: GyroFit | None
    sections: dict[str, Section]
    rests: tuple[Pose, ...]
    unseen_mps2: F64

    @property
    def unseen_rms_mps2(self) -> float | None:
        """Root mean square of |a| − g over the rests that the fit did not see, if there are any."""
        return rms(self.unseen_mps2) if len(self.unseen_mps2) else None


def find_sections(
    accel_mps2: F64, gyro_radps: F64 | None, rate_hz: float, *, hold_s: float = HOLD_S
) -> dict[str, Section]:
    """Find the six rests and the three turns in a recording of (n, 3) each, as sample ranges.

    Of several rests on one face the first long one counts: it is the one before the turns. A turn is what
    stands between two rests on the same face, about the axis that the gyroscope saw turn most.
    """
    poses = find_poses(accel_mps2, rate_hz, hold_s=hold_s)
    out: dict[str, Section] = {}
    faces = [face_of(pose.mean) for pose in poses]
    for name in FACES:
        mine = [pose for pose, face in zip(poses, faces, strict=True) if face == name]
        if mine:
            longest = max(pose.end - pose.begin for pose in mine)
            first = next(pose for pose in mine if 2 * (pose.end - pose.begin) >= longest)
            out[name] = (first.begin, first.end)
    if gyro_radps is not None:
        out |= _turns(gyro_radps, rate_hz, poses, faces)
    return out


def fit_ferraris(
    accel_mps2: F64,
    gyro_radps: F64 | None,
    rate_hz: float,
    sections: Mapping[str, Section] | None = None,
    *,
    gravity: Gravity | None = None,
    turn_rad: float | None = None,
) -> FerrarisFit:
    """Fit a session: accelerations (n, 3), rates (n, 3) or None, and sample ranges where they are known.

    ``turn_rad``: how far each turn went, with its sign; None: the nearest whole turns to what the gyroscope
    says. Raises CalibrationRefused where a position or a turn is missing.
    """
    accel = np.asarray(accel_mps2, dtype=np.float64)
    gyro = None if gyro_radps is None else np.asarray(gyro_radps, dtype=np.float64)
    found = dict(find_sections(accel, gyro, rate_hz) if sections is None else sections)
    _refuse_missing(found, FACES)
    gravity = gravity or Gravity()
    rests = find_poses(accel, rate_hz)
    means = np.array([accel[slice(*found[name])].mean(axis=0) for name in FACES])
    noise = max(
        (float(np.sqrt(np.mean(pose.standard_error**2))) for pose in rests), default=LEAST_STANDARD_MPS2
    )
    fit = fit_six(means, noise, gravity)
    wanted = [found[name] for name in FACES]
    unseen = [p for p in rests if not any(p.begin < end and begin < p.end for begin, end in wanted)]
    lengths = np.sqrt((fit.correct(np.array([p.mean for p in unseen]).reshape(-1, 3)) ** 2).sum(axis=1))
    turning = None
    if gyro is not None:
        turning = _fit_gyro(fit, accel, gyro, rate_hz, found, turn_rad)
    return FerrarisFit(fit, turning, found, tuple(rests), lengths - gravity.mps2)


def fit_six(means_mps2: F64, noise_mps2: float, gravity: Gravity | None = None) -> AxesFit:
    """Fit twelve parameters to the six positions (6, 3), in the order of FACES, by Gauss–Newton.

    Each position says two things: its length is gravity (to `noise_mps2`), and its direction is the
    housing's axis (to what the hand is off by, which is estimated from what does not fit together).
    """
    gravity = gravity or Gravity()
    up = np.vstack([sign * np.eye(3)[axis] for axis in range(3) for sign in (1.0, -1.0)])
    if len({face_of(mean) for mean in means_mps2}) < len(FACES):
        raise _not_six([face_of(mean) or "tilted" for mean in means_mps2])
    noise = max(noise_mps2, QUIETEST_MPS2)
    homogeneous = np.column_stack((means_mps2, -np.ones(6)))
    matrix: F64 = np.asarray(np.linalg.lstsq(homogeneous, up * gravity.mps2, rcond=None)[0], np.float64)
    hand = HAND_RAD
    for _ in range(50):
        jacobian, residuals, across = _six_rows(matrix, homogeneous, up, gravity.mps2, noise, hand)
        step = np.linalg.lstsq(jacobian, -residuals, rcond=None)[0]
        matrix = np.asarray(matrix + step.reshape(4, 3), np.float64)
        hand = max(math.sqrt(float(np.sum(across**2)) / HAND_FREEDOM), noise) / gravity.mps2
        if float(np.abs(step).max()) < 1e-12 * gravity.mps2:
            break
    wide = hand * student_95(HAND_FREEDOM) / NORMAL_95
    jacobian, _, _ = _six_rows(matrix, homogeneous, up, gravity.mps2, noise, wide)
    inner = np.linalg.inv(jacobian.T @ jacobian)
    gain = matrix[:3].T
    bias: F64 = np.asarray(np.linalg.solve(gain, matrix[3]), np.float64)
    change = _to_gain_and_bias(gain, bias)
    covariance = change @ inner @ change.T
    # What a lean that is not known does to an angle that is not known is of second order, and a slope's
    # uncertainty passes it over: a bias inherits g times both.
    sheared = [float((inner[3 * i + j] + inner[3 * j + i])[[3 * i + j, 3 * j + i]].sum()) for i, j in PAIRS]
    covariance[9:, 9:] += np.eye(3) * (gravity.mps2 * wide) ** 2 * float(np.mean(sheared))
    with_gravity = np.concatenate((gain.ravel(), np.zeros(3))) / gravity.mps2
    covariance = covariance + gravity.standard_mps2**2 * np.outer(with_gravity, with_gravity)
    lengths = np.sqrt(((homogeneous @ matrix) ** 2).sum(axis=1))
    left = lengths - gravity.mps2
    return AxesFit(gain, bias, covariance, rms(left), float(np.abs(left).max()), hand)


def face_of(mean_mps2: F64) -> str | None:
    """Return which face is up (``x_p`` …), None for a reading halfway."""
    axis = int(np.argmax(np.abs(mean_mps2)))
    up = np.eye(3)[axis] * np.sign(mean_mps2[axis])
    name = f"{AXES[axis]}_{'p' if mean_mps2[axis] > 0 else 'a'}"
    return name if angle_deg(mean_mps2, up) < FACE_DEG else None


def _six_rows(
    matrix: F64, homogeneous: F64, up: F64, gravity: float, noise: float, hand: float
) -> tuple[F64, F64, F64]:
    """Return Jacobian (21, 12), residuals (21,), and what is across (6, 3), for matrix (4, 3) row by row."""
    a = homogeneous @ matrix
    length = np.sqrt((a * a).sum(axis=1))
    unit = a / length[:, None]
    across = a - (a * up).sum(axis=1)[:, None] * up
    rows, residuals = [], []
    for i in range(6):
        rows.append(np.outer(homogeneous[i], unit[i]).ravel() / noise)
        residuals.append((length[i] - gravity) / noise)
        for axis in range(3):
            if up[i, axis] == 0:
                rows.append(np.outer(homogeneous[i], np.eye(3)[axis]).ravel() / (hand * gravity))
                residuals.append(a[i, axis] / (hand * gravity))
    for i, j in PAIRS:
        square = np.zeros((4, 3))
        square[i, j] = square[j, i] = 1 / CROSS_AXIS_RAD
        rows.append(square.ravel())
        residuals.append(float(np.sum(square * matrix)))
    return np.array(rows), np.array(residuals), across


def _to_gain_and_bias(gain: F64, bias: F64) -> F64:
    """Return the derivative (12, 12) of gain row by row and bias, to the matrix (4, 3) row by row."""
    change = np.zeros((12, 12))
    inverse = np.linalg.inv(gain)
    for row in range(3):
        for column in range(3):
            change[3 * row + column, 3 * column + row] = 1.0
            # G·b = c, so dG·b + G·db = dc
            change[9:, 3 * column + row] = -inverse[:, row] * bias[column]
        change[9:, 9 + row] = inverse[:, row]
    return change


def _turns(
    gyro: F64, rate_hz: float, poses: Sequence[Pose], faces: Sequence[str | None]
) -> dict[str, Section]:
    rest = np.mean([gyro[pose.begin : pose.end].mean(axis=0) for pose in poses], axis=0) if poses else 0.0
    best: dict[str, tuple[float, Section]] = {}
    for (before, face), (after, same) in zip(
        zip(poses, faces, strict=True), list(zip(poses, faces, strict=True))[1:], strict=False
    ):
        if face is None or face != same:
            continue
        # a little of either rest, so that the turn is whole
        margin = round(0.1 * rate_hz)
        section = (max(before.end - margin, 0), min(after.begin + margin, len(gyro)))
        angle = (gyro[slice(*section)] - rest).sum(axis=0) / rate_hz
        axis = int(np.argmax(np.abs(angle)))
        name = TURNS[axis]
        if abs(angle[axis]) > 1.5 * math.pi and abs(angle[axis]) > best.get(name, (0.0, section))[0]:
            best[name] = (abs(float(angle[axis])), section)
    return {name: section for name, (_, section) in best.items()}


def _fit_gyro(
    fit: AxesFit,
    accel: F64,
    gyro: F64,
    rate_hz: float,
    sections: Mapping[str, Section],
    turn_rad: float | None,
) -> GyroFit:
    _refuse_missing(sections, TURNS)
    rests = np.array([gyro[slice(*sections[name])].mean(axis=0) for name in FACES])
    force = fit.correct(np.array([accel[slice(*sections[name])].mean(axis=0) for name in FACES]))
    known = np.column_stack((np.ones(6), force))
    solution = np.linalg.lstsq(known, rests, rcond=None)[0]
    bias, sensitivity = solution[0], solution[1:].T
    left = rests - known @ solution
    scatter = np.sqrt((left**2).sum(axis=0) / 2)
    bias_standard = scatter * math.sqrt(float(np.linalg.inv(known.T @ known)[0, 0]))
    seen = np.zeros((3, 3))
    true = np.zeros((3, 3))
    for axis, name in enumerate(TURNS):
        part = slice(*sections[name])
        rates = gyro[part] - bias - fit.correct(accel[part]) @ sensitivity.T
        seen[:, axis] = rates.sum(axis=0) / rate_hz
        nearest = 2 * math.pi * round(float(seen[axis, axis]) / (2 * math.pi))
        true[axis, axis] = nearest if turn_rad is None else turn_rad
    if np.any(np.diag(true) == 0) or abs(np.linalg.det(seen / (2 * math.pi))) < 0.1:
        raise CalibrationRefused(
            "fitting the turns of the gyroscope",
            got=f"angles of {', '.join(f'{math.degrees(v):.0f}°' for v in np.diag(seen))} about x, y and z",
            expected="at least one whole turn about each axis",
            remedy="Turn the box once all round about each of its axes, against an edge, and begin again.",
        )
    gain = true @ np.linalg.inv(seen)
    gain_standard = TURN_STANDARD_RAD / float(np.abs(np.diag(true)).min())
    return GyroFit(gain, bias, sensitivity, bias_standard, gain_standard)


def _refuse_missing(sections: Mapping[str, Section], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in sections]
    if missing:
        raise CalibrationRefused(
            "looking for six positions and three turns",
            got=f"none for {', '.join(missing)}",
            expected="each axis up (p) and down (a) for two seconds, and a whole turn about each (rot)",
            remedy="Record it again, and keep the box still before and after each turn.",
        )


def _not_six(faces: Sequence[str]) -> CalibrationRefused:
    return CalibrationRefused(
        "fitting six positions",
        got=", ".join(faces),
        expected=", ".join(FACES),
        remedy="Put each axis up once and down once, within 20° of the vertical.",
    )
