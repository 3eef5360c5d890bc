"""Load cells under one plate: the matrix from what they show to what each carries, and how well it is known.

Model: forces = gain · (readings − bias), a full matrix, for one frame's cells feel each other. A known
mass at a known place gives as many equations as statics has (`load_plate`): the sum of the forces is the
mass, and their moments are those of its place. The sum needs no place and is as good as the mass; the
moments are as good as the mass was put down. Beyond statics nothing is measured, and no wish makes it so:

- the warp of the plate is taken as that of a soft one times an unknown *softness*, a parameter of the fit;
- cross-talk is taken as small and without pattern; how small is weighed by the evidence of the data
  themselves (MacKay, Neural Computation 4 (1992) 415), and this is what makes the softness known;
- a cell's span is taken as within 15 % of the others' as long as nothing says better.

All else is Gaussian, so that the estimate is a generalised least squares, and its covariance states what
was not seen as unknown. Repeatability is estimated from the sums' own scatter (Paule and Mandel, J. Res. NBS
87 (1982) 377) together with what is known beforehand. Readings share their zeros; the covariance says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.errors import CalibrationRefused
from calibration.load_plate import F64, Plate

SPAN_SPREAD = 0.15  # of one cell's span to the others', standard; cheap cells are within ±10 %
CROSS_TALK = 0.03  # what is expected of a bolted frame: scale of a half-Cauchy distribution
_CROSS_TALKS = np.geomspace(0.003, 0.2, 13)  # which are tried
_SOFTNESS = (0.5, 0.5)  # mean and standard deviation: stiff is 0, soft is 1
_WARP_UNKNOWN = 0.1  # of the mass: how unevenly a frame lies
_PLACE_SHARED = 0.8  # of the placement's uncertainty repeats each time at the same place (0.8² + 0.6² = 1)
_REPEATABILITY_WEIGHT = 2.0  # degrees of freedom of what is known of it beforehand


@dataclass(frozen=True, slots=True, eq=False)
class LoadObservations:
    """What the cells showed: m steps of n cells. ``masses_kg`` (m,): 0 is the empty plate.

    ``readings_kg`` and ``standard_errors_kg`` (m, n): means and how well they are known. ``times_s`` (m,).
    """

    readings_kg: F64
    standard_errors_kg: F64
    masses_kg: F64
    places: tuple[str, ...]
    times_s: F64

    def without(self, i: int) -> LoadObservations:
        """All but step i."""
        keep = np.arange(len(self.masses_kg)) != i
        places = tuple(p for k, p in enumerate(self.places) if k != i)
        return LoadObservations(
            self.readings_kg[keep], self.standard_errors_kg[keep], self.masses_kg[keep], places,
            self.times_s[keep],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class MatrixFit:
    """The matrix and its bias, with the covariance of what the matrix is made of.

    ``gain`` (n, n); ``bias_kg`` (n,); ``covariance`` (n², n²) of the gain row by row; ``softness`` of the
    plate; ``cross_talk`` its standard deviation as estimated; ``repeatability_kg`` of a sum from one
    placing to the next; ``freedom`` degrees of freedom of that; ``errors_kg`` (k,) of the sums at the
    ``loaded`` steps, zero taken between its neighbours; ``separated``: a mass was over every cell;
    ``sum_standard``: uncertainty of the sum by the matrix, relative to the load, at the worst place.
    """

    gain: F64
    bias_kg: F64
    covariance: F64
    softness: float
    softness_standard: float
    cross_talk: float
    repeatability_kg: float
    freedom: float
    errors_kg: F64
    loaded: tuple[int, ...]
    separated: bool
    sum_standard: float

    @property
    def standard_errors(self) -> F64:
        """Standard uncertainty of each entry of the gain: (n, n)."""
        out: F64 = np.sqrt(np.diag(self.covariance)).reshape(self.gain.shape)
        return out

    def forces_kg(self, readings_kg: F64) -> F64:
        """What each cell carries: (…, n) from readings (…, n)."""
        out: F64 = (readings_kg - self.bias_kg) @ self.gain.T
        return out

    def total_standard_kg(self, forces_kg: F64) -> float:
        """Standard uncertainty, from the matrix alone, of the sum when the cells carry ``forces_kg`` (n,)."""
        return _sum_standard(self.covariance, np.asarray(np.linalg.solve(self.gain, forces_kg), np.float64))


def fit_load_cells(
    seen: LoadObservations,
    plate: Plate,
    *,
    mass_standard: float = 0.0,
    expected_repeatability_kg: float = 0.0,
) -> MatrixFit:
    """Fit matrix and bias to masses at places.

    ``mass_standard``: relative standard uncertainty of the masses, common to all.
    ``expected_repeatability_kg``: what is thought of it before any was seen.
    Raises CalibrationRefused without a zero, without a mass, or where the sum does not rise with the mass.
    """
    loaded = tuple(int(i) for i in np.flatnonzero(seen.masses_kg > 0))
    empty = np.flatnonzero(seen.masses_kg == 0)
    if not loaded or not len(empty):
        raise CalibrationRefused(
            "fitting the load cells",
            got=f"{len(empty)} readings of the empty plate, {len(loaded)} with a known mass",
            expected="at least one of each",
            remedy="Read the empty plate, then put a known mass in its centre.",
        )
    masses = seen.masses_kg[list(loaded)]
    places = [seen.places[i] for i in loaded]
    weights = _zero_weights(seen, loaded, empty)
    rise = weights @ seen.readings_kg
    sums = rise.sum(axis=1)
    scale = float(masses @ sums / (sums @ sums)) if sums.any() else 0.0
    if not np.isfinite(scale) or scale <= 0:
        raise CalibrationRefused(
            "fitting the load cells",
            got="readings that do not rise with the mass",
            expected="more mass, more reading",
            remedy="Check the wires of the cells: with A+ and A− swapped a cell counts backwards.",
        )
    rise, variances = rise * scale, (seen.standard_errors_kg * scale) ** 2
    problem = _Problem(plate, rise, masses, places, weights, variances)
    repeatability_kg, freedom = problem.repeatability(expected_repeatability_kg)
    theta, covariance, cross_talk = problem.solve(repeatability_kg)
    n = plate.count
    gain = theta[: n * n].reshape(n, n) * scale
    of_gain = covariance[: n * n, : n * n] * scale**2
    of_gain = of_gain + mass_standard**2 * np.outer(gain.ravel(), gain.ravel())
    separated = n == 1 or set(plate.cells) <= set(places)
    # A load anywhere between the cells reads as a mixture of loads over them, and is known no worse.
    inverse = np.asarray(np.linalg.inv(gain), np.float64)
    unseen = [] if separated else [inverse @ plate.loads_at(place) for place in plate.places]
    tried = [*(rise / scale / masses[:, None]), *unseen]
    return MatrixFit(
        gain=gain,
        bias_kg=seen.readings_kg[empty].mean(axis=0),
        covariance=of_gain,
        softness=float(theta[-1]) if n > 3 else 1.0,
        softness_standard=float(np.sqrt(covariance[-1, -1])) if n > 3 else 0.0,
        cross_talk=cross_talk if n > 1 else 0.0,
        repeatability_kg=repeatability_kg,
        freedom=freedom,
        errors_kg=(rise / scale) @ gain.sum(axis=0) - masses,
        loaded=loaded,
        separated=separated,
        sum_standard=max(_sum_standard(of_gain, reading) for reading in tried),
    )


def held_out_errors_kg(
    seen: LoadObservations, plate: Plate, *, expected_repeatability_kg: float = 0.0
) -> F64:
    """Errors of the sum at steps that the fit did not see, each left out in turn: (k,).

    Only steps whose place was loaded more than once: without any at its place, a cell is not separated.
    """
    out = []
    for i in np.flatnonzero(seen.masses_kg > 0):
        others = [p for k, p in enumerate(seen.places) if k != i and seen.masses_kg[k] > 0]
        if seen.places[i] in others:
            fit = fit_load_cells(
                seen.without(int(i)), plate, expected_repeatability_kg=expected_repeatability_kg
            )
            rise = _zero_weights(seen, (int(i),), np.flatnonzero(seen.masses_kg == 0)) @ seen.readings_kg
            out.append(float((rise @ fit.gain.T).sum() - seen.masses_kg[i]))
    return np.array(out)


def _sum_standard(covariance: F64, readings: F64) -> float:
    row = np.tile(readings, len(readings))
    variance = float(row @ covariance @ row)
    return math.sqrt(max(0.0, variance))


def _zero_weights(seen: LoadObservations, loaded: Sequence[int], empty: npt.NDArray[np.intp]) -> F64:
    """How each loaded reading loses its zero, (k, m): the zero between its neighbours, linear in time."""
    order = empty[np.argsort(seen.times_s[empty], kind="stable")]
    times = seen.times_s[order]
    out = np.zeros((len(loaded), len(seen.masses_kg)))
    for row, i in enumerate(loaded):
        out[row, i] = 1.0
        after = int(np.searchsorted(times, seen.times_s[i], side="right"))
        if after == 0 or after == len(times):
            out[row, order[0 if after == 0 else -1]] -= 1.0
            continue
        gap_s = times[after] - times[after - 1]
        share = (seen.times_s[i] - times[after - 1]) / gap_s if gap_s > 0 else 0.5
        out[row, order[after - 1]] -= 1.0 - share
        out[row, order[after]] -= share
    return out


class _Problem:
    """The equations of all steps, readings scaled so that a perfect cell has a gain of 1."""

    def __init__(
        self, plate: Plate, rise: F64, masses: F64, places: Sequence[str], weights: F64, variances: F64
    ) -> None:
        n = plate.count
        self._n, self._rise, self._masses = n, rise, masses
        self._weights, self._variances = weights, variances
        statics, warps = plate.statics, plate.warps
        rows = np.concatenate((statics, warps))
        self._rows, self._equations = rows, len(rows)
        axes = [i for i in range(2) if np.abs(plate.positions[:, i]).max() > 1e-9]
        self._softness = bool(len(warps))
        design, known = [], []
        for reading, mass, place in zip(rise, masses, places, strict=True):
            right = np.concatenate(([1.0], plate.position_of(place)[axes], np.zeros(len(warps)))) * mass
            block = np.einsum("qj,k->qjk", rows, reading).reshape(len(rows), n * n)
            if self._softness:
                column = np.concatenate((np.zeros(len(statics)), -mass * plate.warp_of(place)))
                block = np.column_stack((block, column))
            design.append(block)
            known.append(right)
        self._design, self._known = np.concatenate(design), np.concatenate(known)
        same = np.array([[a == b for b in places] for a in places], float)
        share = _PLACE_SHARED**2 * same + (1 - _PLACE_SHARED**2) * np.eye(len(places))
        placing = np.zeros(len(rows))
        placing[1 : len(statics)] = plate.placement
        placing[len(statics) :] = np.hypot(2 * plate.placement, _WARP_UNKNOWN)
        self._placing = np.kron(share * np.outer(masses, masses), np.diag(placing**2))

    def covariance(self, repeatability_kg: float) -> F64:
        """Covariance of all equations' errors."""
        k, q, n = len(self._masses), self._equations, self._n
        out = self._placing.copy().reshape(k, q, k, q)
        for cell in range(n):
            variance = self._variances[:, cell] + repeatability_kg**2 / n
            shared = (self._weights * variance) @ self._weights.T
            row = self._rows[:, cell]
            out += shared[:, None, :, None] * (row[None, :, None, None] * row[None, None, None, :])
        return np.asarray(out.reshape(k * q, k * q), np.float64)

    def solve(self, repeatability_kg: float) -> tuple[F64, F64, float]:
        """Return estimate, covariance and cross-talk, over all sizes of cross-talk by their evidence.

        By orthogonal transformations throughout: sums are known a thousand times better than moments.
        """
        n = self._n
        diagonal = np.eye(n, dtype=bool).ravel()
        mean = diagonal.astype(float)
        if self._softness:
            mean = np.append(mean, _SOFTNESS[0])
        data, left = self._whitened(repeatability_kg, mean)
        thetas, covariances, evidences = [], [], []
        sizes = _CROSS_TALKS if n > 1 else _CROSS_TALKS[:1]
        for size in sizes:
            standard = np.where(diagonal, SPAN_SPREAD, size)
            if self._softness:
                standard = np.append(standard, _SOFTNESS[1])
            q, r = np.linalg.qr(np.concatenate((data, np.diag(1 / standard))))
            explained = q[: len(left)].T @ left
            inverse = np.linalg.inv(r)
            thetas.append(mean + inverse @ explained)
            covariances.append(inverse @ inverse.T)
            evidences.append(
                0.5 * float(explained @ explained)
                - float(np.log(np.abs(np.diag(r))).sum())
                - float(np.log(standard).sum())
                + float(np.log(size / (1 + (size / CROSS_TALK) ** 2)))
            )
        weights = np.exp(np.array(evidences) - max(evidences))
        weights /= weights.sum()
        theta: F64 = weights @ np.array(thetas)
        apart = np.array(thetas) - theta
        spread: F64 = np.einsum("s,sij->ij", weights, np.array(covariances))
        spread = spread + np.einsum("s,si,sj->ij", weights, apart, apart)
        return theta, spread, float(weights @ sizes)

    def _whitened(self, repeatability_kg: float, mean: F64) -> tuple[F64, F64]:
        """Return the equations as a triangle: all equally certain, none depending on another."""
        noise = self.covariance(repeatability_kg)
        standard = np.sqrt(np.diag(noise) + 1e-18 * float(self._masses @ self._masses))
        alike = noise / np.outer(standard, standard) + 1e-12 * np.eye(len(noise))
        design = self._design / standard[:, None]
        left = (self._known - self._design @ mean) / standard
        both = np.linalg.solve(np.linalg.cholesky(alike), np.column_stack((design, left)))
        q, r = np.linalg.qr(both[:, :-1])
        return np.asarray(r, np.float64), np.asarray(q.T @ both[:, -1], np.float64)

    def repeatability(self, expected_kg: float) -> tuple[float, float]:
        """Estimate the standard deviation of a sum from one placing to the next, and its freedom."""
        k, n = len(self._masses), self._n
        prior = np.eye(n) / SPAN_SPREAD**2

        def misfit(standard_kg: float) -> tuple[float, float]:
            noise = np.zeros((k, k))
            for cell in range(n):
                variance = self._variances[:, cell] + standard_kg**2 / n
                noise += (self._weights * variance) @ self._weights.T
            noise += 1e-18 * float(self._masses @ self._masses) * np.eye(k)
            weighed = np.linalg.solve(noise, self._rise)
            information = self._rise.T @ weighed + prior
            theta = np.linalg.solve(information, weighed.T @ self._masses + prior @ np.ones(n))
            left = self._masses - self._rise @ theta
            used = float(np.trace(np.linalg.solve(information, self._rise.T @ weighed)))
            return float(left @ np.linalg.solve(noise, left)), k - used

        low, high = 1e-9 * float(self._masses.max()), 0.3 * float(self._masses.max())
        freedom = max(0.0, misfit(low)[1])
        found = 0.0
        if freedom > 0.5:
            for _ in range(50):
                middle = float(np.sqrt(low * high))
                chi2, free = misfit(middle)
                low, high = (middle, high) if chi2 > free else (low, middle)
            found = high if high > 2e-9 * float(self._masses.max()) else 0.0
            freedom = max(0.0, misfit(high)[1])
        pooled = freedom * found**2 + _REPEATABILITY_WEIGHT * expected_kg**2
        return float(np.sqrt(pooled / (freedom + _REPEATABILITY_WEIGHT))), freedom
