"""The nine-parameter model of an accelerometer, its derivatives, and the least-squares problem of its poses.

Model and frame as in :mod:`calibration.accelerometer`; Levenberg–Marquardt with the scaling of
D. W. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", J. SIAM 11 (1963).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

PARAMETERS = 9
NOMINAL: F64 = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0], dtype=np.float64)
# What a pose of 2 s is worth with the usual MEMS chip, for a first guess of weights: 0.2 mg.
USUAL_STANDARD_MPS2 = 2e-3
# What no pose is better than: 0.02 mg.
LEAST_STANDARD_MPS2 = 2e-4
# A chip whose scale is farther off than this is set to another range, or its unit is not m/s².
SCALE_LIMIT = 1.25


def gain_of(parameters: F64) -> F64:
    """Return T·K (3, 3) of the nine parameters."""
    t_xy, t_xz, t_yz = parameters[:3]
    skew = np.array([[1.0, t_xy, t_xz], [0.0, 1.0, t_yz], [0.0, 0.0, 1.0]])
    gain: F64 = skew * parameters[3:6]
    return gain


def apply(parameters: F64, measured_mps2: F64) -> F64:
    """Return the corrected readings (n, 3)."""
    corrected: F64 = (measured_mps2 - parameters[6:9]) @ gain_of(parameters).T
    return corrected


def upper_triangular(gain: F64) -> F64:
    """Return the upper triangular matrix that differs from `gain` (3, 3) only by a turn of all axes.

    So that a full matrix, from elsewhere, can be compared with a fit: R of an RQ decomposition of Gᵀ.
    """
    r = np.linalg.qr(gain)[1]
    turned: F64 = r * np.sign(np.diag(r))[:, None]
    return turned


def design(parameters: F64, measured_mps2: F64) -> tuple[F64, F64, F64]:
    """Return lengths (n,), their derivatives (n, 9), and the weight (n, 3) of each axis in a length."""
    y = measured_mps2 - parameters[6:9]
    k = y * parameters[3:6]
    a = apply(parameters, measured_mps2)
    lengths = np.sqrt((a * a).sum(axis=1))
    u = a / lengths[:, None]
    skew = gain_of(parameters) / parameters[3:6]
    through = u @ skew
    weight = through * parameters[3:6]
    angles = np.column_stack((u[:, 0] * k[:, 1], u[:, 0] * k[:, 2], u[:, 1] * k[:, 2]))
    return lengths, np.column_stack((angles, through * y, -weight)), weight


def rms(values: F64) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


class Problem:
    """The weighted least-squares problem: poses, their noise, and what is known of the angles."""

    def __init__(
        self, means: F64, errors: F64 | None, gravity: float, cross_axis: float, freedom: int
    ) -> None:
        self.means, self.errors, self.gravity = means, errors, gravity
        self.cross_axis, self.freedom = cross_axis, freedom

    def solve(self, start: F64) -> tuple[F64, F64, float]:
        """Return the parameters, each pose's standard deviation (n,), and what is beyond their noise."""
        n = len(self.means)
        extra = 0.0
        sigma = np.full(n, USUAL_STANDARD_MPS2)
        parameters = self.minimise(start, sigma)
        for _ in range(12):
            lengths, _, weight = design(parameters, self.means)
            residuals = lengths - self.gravity
            before = sigma
            if self.errors is None:
                spread = math.sqrt(float(np.sum(residuals**2)) / self.freedom)
                sigma = np.full(n, max(spread, LEAST_STANDARD_MPS2))
            else:
                noise: F64 = np.sqrt(((weight * self.errors) ** 2).sum(axis=1))
                noise = np.maximum(noise, LEAST_STANDARD_MPS2)
                extra = _beyond(residuals, noise, self.freedom)
                sigma = np.hypot(noise, extra)
            parameters = self.minimise(parameters, sigma)
            if np.allclose(before, sigma, rtol=1e-3):
                break
        return parameters, sigma, extra

    def minimise(self, start: F64, sigma: F64, keep: npt.NDArray[np.bool_] | None = None) -> F64:
        """Levenberg–Marquardt with Marquardt's scaling, until a step no longer counts."""
        means = self.means if keep is None else self.means[keep]
        sigma = sigma if keep is None else sigma[keep]
        parameters = start.copy()
        damping = 1e-3 if start is NOMINAL else 1e-6
        cost, residuals, jacobian = self._evaluate(parameters, means, sigma)
        for _ in range(200):
            normal = jacobian.T @ jacobian
            gradient = jacobian.T @ residuals
            scale = np.maximum(np.diag(normal), 1e-12 * np.diag(normal).max())
            step = -np.linalg.solve(normal + damping * np.diag(scale), gradient)
            tried = parameters + step
            new_cost, new_residuals, new_jacobian = self._evaluate(tried, means, sigma)
            if new_cost <= cost:
                parameters, cost, residuals, jacobian = tried, new_cost, new_residuals, new_jacobian
                damping = max(damping / 10, 1e-15)
            else:
                damping *= 10
            # a billionth of a standard deviation: whether such a step helps is a matter of rounding
            if float(np.sum(scale * step * step)) < 1e-18 or damping > 1e12:
                break
        return parameters

    def covariance(self, parameters: F64, sigma: F64) -> F64:
        """Return the parameters' covariance (9, 9) from the poses' noise and the data sheet's angles."""
        jacobian = self._evaluate(parameters, self.means, sigma)[2]
        return np.asarray(np.linalg.inv(jacobian.T @ jacobian), dtype=np.float64)

    def held_out(self, parameters: F64, sigma: F64) -> F64:
        """Return the residual of each pose by a fit of the others alone; none with nine poses or fewer."""
        n = len(self.means)
        if n <= PARAMETERS:
            return np.empty(0)
        out = np.empty(n)
        for i in range(n):
            others = self.minimise(parameters, sigma, np.arange(n) != i)
            out[i] = design(others, self.means[i : i + 1])[0][0] - self.gravity
        return out

    def _evaluate(self, parameters: F64, means: F64, sigma: F64) -> tuple[float, F64, F64]:
        lengths, derivative, _ = design(parameters, means)
        residuals = np.concatenate(((lengths - self.gravity) / sigma, parameters[:3] / self.cross_axis))
        known = np.zeros((3, PARAMETERS))
        known[:, :3] = np.eye(3) / self.cross_axis
        jacobian = np.vstack((derivative / sigma[:, None], known))
        return float(residuals @ residuals), residuals, jacobian


def _beyond(residuals: F64, noise: F64, degrees_of_freedom: int) -> float:
    """Return what has to be added to the noise for Σ (r/σ)² to be what it should (Paule and Mandel)."""
    if degrees_of_freedom < 1 or float(np.sum((residuals / noise) ** 2)) <= degrees_of_freedom:
        return 0.0
    low, high = 0.0, float(np.abs(residuals).max() * math.sqrt(len(residuals)))
    for _ in range(60):
        middle = (low + high) / 2
        if float(np.sum(residuals**2 / (noise**2 + middle**2))) > degrees_of_freedom:
            low = middle
        else:
            high = middle
    return high


def first_guess(means: F64, gravity: float) -> F64:
    """Return the ellipsoid along the axes through the poses, or the nominal sensor where there is none."""
    x = means / gravity
    solution = np.linalg.lstsq(np.column_stack((x * x, x)), np.ones(len(x)), rcond=None)[0]
    square, linear = solution[:3], solution[3:]
    if np.any(square <= 0):
        return NOMINAL
    centre = -linear / (2 * square)
    scale = np.sqrt(square / (1 + float(np.sum(square * centre**2))))
    if np.any(np.abs(np.log(scale)) > math.log(SCALE_LIMIT)) or np.any(np.abs(centre) > 0.5):
        return NOMINAL
    return np.concatenate((np.zeros(3), scale, centre * gravity))
