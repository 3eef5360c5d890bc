"""Nine parameters of an accelerometer from poses at rest, no turntable: how long is each reading of gravity?

The model and the idea are those of D. Tedaldi, A. Pretto, E. Menegatti, "A robust and easy to implement
method for IMU calibration without external equipments", ICRA 2014::

    a = T·K·(m − b),   T upper triangular with unit diagonal,   minimise Σ ((‖a‖ − g)/σ)²

by Levenberg–Marquardt (Marquardt 1963). The z axis of the result is the sensor's own, its y axis lies in
the plane of the sensor's y and z. A turn of all axes together is not seen by the length of gravity: that
is what :mod:`calibration.mounting` is for.

What is not in the paper: each pose counts by its own standard error; what the poses scatter beyond that is
estimated and added (C. Paule, J. Mandel 1982); an angle that the poses do not show may be held where data
sheets allow it, with that allowance in the uncertainty, but only one of the three; uncertainty by GUM
(JCGM 100:2008) with local gravity as a type B term.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.accel_model import (
    NOMINAL,
    PARAMETERS,
    SCALE_LIMIT,
    USUAL_STANDARD_MPS2,
    Problem,
    apply,
    design,
    first_guess,
    gain_of,
    rms,
)
from calibration.certificate import UncertaintyTerm
from calibration.errors import CalibrationRefused
from calibration.gravity import ANYWHERE_STANDARD_MPS2, STANDARD_GRAVITY_MPS2

F64 = npt.NDArray[np.float64]

ANGLE_NAMES = ("x and y", "x and z", "y and z")
# Cross-axis sensitivity in data sheets: ±1 % (ADXL345) and ±2 % (MPU-6050), to which the chip's place on
# its board adds about as much. As a standard deviation, in rad.
CROSS_AXIS_RAD = 0.02
# Of what one pose is wrong by, at most so much may come out in a parameter (both in parts of gravity): ten
# well-spread poses make 2 of it, six faces alone infinitely much.
AMPLIFICATION_LIMIT = 40.0
NAMES = (
    *(f"angle between {name}" for name in ANGLE_NAMES),
    "scale of x",
    "scale of y",
    "scale of z",
    "bias of x",
    "bias of y",
    "bias of z",
)
# Beyond this (standard deviation) an angle's square counts, and no uncertainty reckoned by slopes is honest.
ANGLE_LIMIT_RAD = 0.1
# The usual error of a pose, 0.2 mg, amplified so often, reaches that: 490.
BLIND = ANGLE_LIMIT_RAD * STANDARD_GRAVITY_MPS2 / USUAL_STANDARD_MPS2
NORMAL_95 = 1.959964
# Student's t for 95 %, two-sided, 1 to 10 degrees of freedom (JCGM 100:2008, table G.2).
STUDENT_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True, slots=True)
class AccelFit:
    """What a fit found. ``parameters``: T_xy, T_xz, T_yz, the three scales, the three biases in m/s².

    ``gain`` (3, 3) = T·K and ``bias`` (3,) are the certificate's. ``covariance`` (9, 9) is that of
    ``parameters``, gravity included. ``standard_uncertainty_mps2``: of a reading of 1 g corrected with it,
    in the worst direction, k = 1. ``fit_standard_mps2``: the same without gravity, which only scales.
    ``undetermined``: pairs of axes whose angle the poses do not show and the data sheet stands for.
    ``alone``: then the fit of the poses alone, if there is one.
    ``condition``: of the scaled problem; ``amplification``: of a pose's error, in the parameter that suffers
    most; ``pose_standard_mps2``: what the poses scatter beyond their noise.
    """

    parameters: F64
    gain: F64
    bias: F64
    residuals_mps2: F64
    residual_rms_mps2: float
    worst_mps2: float
    held_out_mps2: F64
    held_out_rms_mps2: float | None
    covariance: F64
    condition: float
    amplification: float
    poses: int
    pose_standard_mps2: float
    fit_standard_mps2: float
    standard_uncertainty_mps2: float
    budget: tuple[UncertaintyTerm, ...]
    undetermined: tuple[str, ...] = ()
    alone: AccelFit | None = None

    def correct(self, measured_mps2: F64) -> F64:
        """Return gain · (measured − bias) for readings of (n, 3)."""
        return apply(self.parameters, measured_mps2)


def student_95(degrees_of_freedom: float) -> float:
    """Return Student's t for 95 %, two-sided (table G.2 of JCGM 100:2008, beyond it Cornish–Fisher)."""
    whole = int(degrees_of_freedom)
    if whole <= len(STUDENT_95):
        return STUDENT_95[max(whole, 1) - 1]
    z = NORMAL_95
    return z + (z**3 + z) / (4 * whole) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * whole**2)


def fit_accelerometer(
    means_mps2: F64,
    *,
    standard_errors_mps2: F64 | None = None,
    gravity_mps2: float = STANDARD_GRAVITY_MPS2,
    gravity_standard_mps2: float = ANYWHERE_STANDARD_MPS2,
    cross_axis_rad: float = math.inf,
) -> AccelFit:
    """Fit poses at rest: their mean readings (n, 3), and the standard errors (n, 3) of these where known.

    Where they are not known, the residuals have to tell, and Student's t widens the covariance, so that
    ±1.96 σ holds 95 % all the same. ``cross_axis_rad``: how far a data sheet lets an angle between axes be
    off (standard deviation, as CROSS_AXIS_RAD); infinite to go by the poses alone.

    Raises CalibrationRefused for too few, degenerate or impossible poses.
    """
    means = np.asarray(means_mps2, dtype=np.float64)
    least = PARAMETERS if standard_errors_mps2 is not None else PARAMETERS + 1
    _refuse_few(means, least)
    errors = None if standard_errors_mps2 is None else np.asarray(standard_errors_mps2, dtype=np.float64)
    alone = not math.isfinite(cross_axis_rad)
    hidden = len(_judge(NOMINAL, means, gravity_mps2, alone)[2])
    freedom = len(means) - PARAMETERS + (0 if alone else hidden)
    problem = Problem(means, errors, gravity_mps2, cross_axis_rad, freedom)
    start = first_guess(means, gravity_mps2)
    parameters, sigma, extra = problem.solve(start)
    _refuse_impossible(parameters)
    condition, amplified, undetermined = _judge(parameters, means, gravity_mps2, alone)
    wider = student_95(freedom) / NORMAL_95 if errors is None else 1.0
    inverse = problem.covariance(parameters, sigma * wider)
    _refuse_vague(inverse, undetermined)
    scale = np.concatenate((np.zeros(3), parameters[3:6], np.zeros(3))) / gravity_mps2
    covariance = inverse + gravity_standard_mps2**2 * np.outer(scale, scale)
    residuals = design(parameters, means)[0] - gravity_mps2
    held_out = problem.held_out(parameters, sigma)
    fit_standard = worst_standard(parameters, inverse, gravity_mps2)
    budget = (
        UncertaintyTerm(
            name="poses",
            kind="A",
            standard=fit_standard,
            source=f"{len(means)} poses at rest; worst direction of a reading of 1 g",
        ),
        UncertaintyTerm(
            name="local gravity", kind="B", standard=gravity_standard_mps2, source="place of the calibration"
        ),
    )
    return AccelFit(
        parameters=parameters,
        gain=gain_of(parameters),
        bias=parameters[6:9].copy(),
        residuals_mps2=residuals,
        residual_rms_mps2=rms(residuals),
        worst_mps2=float(np.abs(residuals).max()),
        held_out_mps2=held_out,
        held_out_rms_mps2=rms(held_out) if len(held_out) else None,
        covariance=covariance,
        condition=condition,
        amplification=amplified,
        poses=len(means),
        pose_standard_mps2=extra,
        fit_standard_mps2=fit_standard,
        standard_uncertainty_mps2=math.hypot(fit_standard, gravity_standard_mps2),
        budget=budget,
        undetermined=undetermined,
    )


def worst_standard(parameters: F64, covariance: F64, gravity_mps2: float) -> float:
    """Return the standard uncertainty of a corrected reading of 1 g, in its worst direction and axis.

    Over a grid of directions: the corrected vector's covariance is C = J·P·Jᵀ, and its largest eigenvalue
    belongs to the worst axis.
    """
    up = sphere(200) * gravity_mps2
    y = np.linalg.solve(gain_of(parameters), up.T).T
    k = y * parameters[3:6]
    skew = gain_of(parameters) / parameters[3:6]
    jacobian = np.zeros((len(up), 3, PARAMETERS))
    jacobian[:, 0, 0], jacobian[:, 0, 1], jacobian[:, 1, 2] = k[:, 1], k[:, 2], k[:, 2]
    jacobian[:, :, 3:6] = skew[None] * y[:, None, :]
    jacobian[:, :, 6:9] = -gain_of(parameters)[None]
    vectors = jacobian @ covariance @ jacobian.transpose(0, 2, 1)
    return float(np.sqrt(np.linalg.eigvalsh(vectors)[:, -1].max()))


def sphere(count: int) -> F64:
    """Return `count` unit vectors (count, 3) spread evenly: the Fibonacci lattice."""
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    turn = np.pi * (1 + math.sqrt(5)) * i
    r = np.sqrt(1 - z * z)
    return np.column_stack((r * np.cos(turn), r * np.sin(turn), z))


def _judge(parameters: F64, means: F64, gravity: float, alone: bool) -> tuple[float, float, tuple[str, ...]]:
    """Return condition, amplification and undetermined angles; refuses where the poses show too little.

    Too little: not even with one of the angles held can all others be told. ``alone``: none will be held.
    """
    shape = design(parameters, means)[1] * np.array([1 / gravity] * 6 + [1.0] * 3)
    singular = np.linalg.svd(shape, compute_uv=False)
    condition = float(singular[0] / max(singular[-1], 1e-15))
    free = amplification(shape)
    if free.max() <= AMPLIFICATION_LIMIT:
        return condition, float(free.max()), ()
    held = [amplification(np.delete(shape, i, axis=1)) for i in range(len(ANGLE_NAMES))]
    best = min(range(len(held)), key=lambda i: float(held[i].max()))
    if held[best].max() > AMPLIFICATION_LIMIT or (alone and free.max() > BLIND):
        rest = np.insert(held[best], best, np.inf)
        hidden = [name for name, value in zip(NAMES, rest, strict=True) if value > AMPLIFICATION_LIMIT]
        raise CalibrationRefused(
            "fitting the poses of the accelerometer",
            got=f"{len(means)} poses that are too much alike: no pose shows the {', '.join(hidden)}",
            expected="poses all around: each axis up and down, and each two axes tilted together",
            remedy="Add poses that stand on an edge or a corner, turned to other sides than before.",
        )
    return condition, float(held[best].max()), (ANGLE_NAMES[best],)


def amplification(shape: F64) -> F64:
    """Return how many times a pose's error may come out in each parameter; `shape`: (n, parameters)."""
    _, singular, rows = np.linalg.svd(shape, full_matrices=True)
    padded = np.full(shape.shape[1], 1e-15)
    padded[: len(singular)] = np.maximum(singular, 1e-15)
    # 1e-9: what rounding leaves of a parameter in a direction that is not its own
    clean = np.where(np.abs(rows) < 1e-9, 0.0, rows)
    out: F64 = np.sqrt(np.sum((clean / padded[:, None]) ** 2, axis=0))
    return out


def _refuse_few(means: F64, least: int) -> None:
    shaped = means.ndim == 2 and means.shape[1] == 3
    if not shaped or len(means) < least or not np.isfinite(means).all():
        got = f"{len(means)} poses" if shaped else f"readings of shape {means.shape}"
        raise CalibrationRefused(
            "fitting the poses of the accelerometer",
            got=got if np.isfinite(means).all() else f"{got}, some without a number",
            expected=f"at least {least} poses at rest, three axes each",
            remedy="Go on: put the box down in another position, and keep it still for two seconds.",
        )


def _refuse_vague(covariance: F64, undetermined: tuple[str, ...]) -> None:
    standard = float(np.sqrt(np.diag(covariance)[:3].max()))
    if not standard <= ANGLE_LIMIT_RAD:
        raise CalibrationRefused(
            "fitting the poses of the accelerometer",
            got=f"no pose shows the angle between {' or '.join(undetermined) or 'axes'}: ±{standard:.2g} rad",
            expected=f"to know it to ±{ANGLE_LIMIT_RAD:g} rad",
            remedy="Add a pose on an edge, in which both of these axes are halfway up.",
        )


def _refuse_impossible(parameters: F64) -> None:
    scale = parameters[3:6]
    if not np.isfinite(parameters).all() or scale.max() > SCALE_LIMIT or scale.min() < 1 / SCALE_LIMIT:
        raise CalibrationRefused(
            "fitting the poses of the accelerometer",
            got=f"scales of {', '.join(f'{value:.3g}' for value in scale)}",
            expected=f"within {1 / SCALE_LIMIT:g} and {SCALE_LIMIT:g}: gravity read as roughly 9.8 m/s²",
            remedy="Check the unit and the range (±2 g, ±4 g, …) that the readings were scaled with, "
            "and that the box did not move.",
        )
