"""Certificates of six positions and three turns: of the accelerometer, and of the gyroscope if there is one.

See :mod:`calibration.ferraris` for the method. Uncertainties by GUM (JCGM 100:2008), k = 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.accel_model import rms
from calibration.accelerometer import sphere
from calibration.certificate import Certificate, Residuals, UncertaintyTerm
from calibration.ferraris import FACES, AxesFit, FerrarisFit, face_of, fit_six
from calibration.fitted import certificate_of
from calibration.gravity import STANDARD_GRAVITY_MPS2, Gravity
from calibration.poses import Pose

F64 = npt.NDArray[np.float64]

METHOD = "six positions and three turns (Ferraris, Grimaldi, Parvis 1995)"
FULL_TURN_RAD = 2 * math.pi


def faces_of(poses: Sequence[Pose]) -> list[Pose]:
    """Return the first pose on each of the six faces, in the order of FACES; none if one is missing."""
    first: dict[str, Pose] = {}
    for pose in poses:
        face = face_of(pose.mean)
        if face is not None:
            first.setdefault(face, pose)
    return [first[face] for face in FACES] if len(first) == len(FACES) else []


def six_of(poses: Sequence[Pose], gravity: Gravity | None = None) -> AxesFit | None:
    """Fit the first pose on each of the six faces, None where one is missing."""
    six = faces_of(poses)
    if not six:
        return None
    noise = rms(np.array([pose.standard_error for pose in six]))
    return fit_six(np.array([pose.mean for pose in six]), noise, gravity)


def standard_mps2(fit: AxesFit, gravity_mps2: float = STANDARD_GRAVITY_MPS2) -> float:
    """Return the standard uncertainty of a corrected reading of 1 g, in its worst direction and axis."""
    up = sphere(200) * gravity_mps2
    away = np.linalg.solve(fit.gain, up.T).T
    jacobian = np.zeros((len(up), 3, 12))
    for axis in range(3):
        jacobian[:, axis, 3 * axis : 3 * axis + 3] = away
    jacobian[:, :, 9:] = -fit.gain
    vectors = jacobian @ fit.covariance @ jacobian.transpose(0, 2, 1)
    return float(np.sqrt(np.linalg.eigvalsh(vectors)[:, -1].max()))


def accel_certificate(
    fit: AxesFit,
    *,
    made_at: str,
    gravity: Gravity | None = None,
    unseen_rms_mps2: float | None = None,
    low_degc: float | None = None,
    high_degc: float | None = None,
) -> Certificate:
    """Return the accelerometer's certificate: its axes are those of the housing, as it was put down."""
    gravity = gravity or Gravity()
    standard = standard_mps2(fit, gravity.mps2)
    poses = math.sqrt(max(standard**2 - gravity.standard_mps2**2, 0.0))
    hand_deg = math.degrees(fit.hand_rad)
    common = certificate_of(
        fit,
        stream="accel",
        unit="mps2",
        method=METHOD,
        uncertainty=(
            UncertaintyTerm(
                name="positions", kind="A", standard=poses, source=f"six, put down to {hand_deg:.2f}°"
            ),
            UncertaintyTerm(
                name="local gravity", kind="B", standard=gravity.standard_mps2, source=gravity.source
            ),
        ),
        standard_uncertainty=standard,
        made_at=made_at,
        low_degc=low_degc,
        high_degc=high_degc,
    )
    return msgspec.structs.replace(
        common,
        residuals=Residuals(
            rms=fit.residual_rms_mps2,
            worst=fit.worst_mps2,
            points=len(FACES),
            held_out_rms=unseen_rms_mps2,
        ),
        gravity_mps2=gravity.told_mps2,
        findings=(
            f"the six positions were off by {hand_deg:.2f}° (σ), as far as they contradict each other",
            f"gravity {gravity.mps2:.5f} ± {gravity.standard_mps2:.5f} m/s²: {gravity.source}",
        ),
    )


def gyro_certificate(fit: FerrarisFit, *, made_at: str) -> Certificate | None:
    """Return the gyroscope's certificate, None where the session has none.

    The effect of gravity on it has no place in a certificate's model: it is in the uncertainty.
    """
    gyro = fit.gyro
    if gyro is None:
        return None
    force = float(np.linalg.norm(gyro.sensitivity, axis=1).max()) * STANDARD_GRAVITY_MPS2 / math.sqrt(3)
    terms = (
        UncertaintyTerm(
            name="bias", kind="A", standard=float(gyro.bias_standard_radps.max()), source="six rests"
        ),
        UncertaintyTerm(name="gravity on the axes", kind="A", standard=force, source="rests, face by face"),
        UncertaintyTerm(
            name="turns",
            kind="B",
            standard=gyro.gain_standard,
            source="of 1 rad/s: a turn against an edge comes back to 1°",
        ),
    )
    return certificate_of(
        gyro,
        stream="gyro",
        unit="radps",
        method=METHOD,
        uncertainty=terms,
        standard_uncertainty=math.sqrt(sum(term.standard**2 for term in terms)),
        made_at=made_at,
    )
