"""What is wrong with the sensors of the box on the bench: drawn from a seed, hidden, and told afterwards.

Errors of the size that datasheets state: MEMS accelerometers (ADXL345, LIS3DH: zero-g offset ±40 to
±80 mg, sensitivity ±3 %, 0.4 to 1.2 mg/°C) and the four single-ended cells of a cheap platform. They
are stated in the certificate's model::

    true = gain · (measured − bias − b1·ΔT − b2·ΔT² − k·(T − T_c)/lag),   ΔT = T_c − reference_degc

with T the air's temperature and T_c the sensor's own, which follows it with the lag.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.physics_load import CELL_SIGNS
from firmware_bridge.virtual.streams import GRAVITY_MPS2

Row = tuple[float, ...]
Matrix = tuple[Row, ...]
Floats = NDArray[np.float64]

CELLS = ("fl", "fr", "rl", "rr")
_TRUTH_TAG = 0xCA1  # keeps this stream of random numbers apart from the bench's others
_MG = GRAVITY_MPS2 * 1e-3


@dataclass(frozen=True, slots=True)
class SensorTruth:
    """One sensor's errors: `gain` (axes, axes), the others an axis each, in the stream's unit.

    `bias` is the one at `reference_degc`, at which the bench begins. `noise` is of one sample, k = 1.
    """

    gain: Matrix
    bias: Row
    reference_degc: float
    bias_per_degc: Row
    bias_per_degc2: Row
    bias_per_degc_per_s: Row
    lag_s: float
    noise: float

    def correct(self, measured: NDArray[np.floating], warmth_degc: float = 0.0, per_s: float = 0.0) -> Floats:
        """Return what was to be measured: (n, axes) in the stream's unit.

        `warmth_degc`: how much warmer than at the reference the sensor is, and `per_s` how fast, in °C/s,
        it becomes warmer.
        """
        true: Floats = (measured - self.drift(warmth_degc, per_s)) @ np.array(self.gain).T
        return true

    def distort(self, true: Floats, warmth_degc: float = 0.0, per_s: float = 0.0) -> Floats:
        """Return what such a sensor shows, without its noise: (n, axes) in the stream's unit."""
        shown: Floats = true @ np.linalg.inv(np.array(self.gain)).T + self.drift(warmth_degc, per_s)
        return shown

    def off(self, gain: NDArray[np.floating], bias: NDArray[np.floating], true: Floats) -> Floats:
        """Return by how much a calibration misses what is `true`, at the reference: (n, axes).

        Found less true; `gain` (axes, axes) and `bias` (axes,) are what was found. What four cells carry in
        all is missed by the sum over the axes.
        """
        missed: Floats = (self.distort(true) - bias) @ np.asarray(gain).T - true
        return missed

    def hastened(self, haste: float) -> SensorTruth:
        """Return the same sensor, as warm and as wrong as it was, but `haste` times as fast."""
        rates = tuple(value / haste for value in self.bias_per_degc_per_s)
        return dataclasses.replace(self, lag_s=self.lag_s / haste, bias_per_degc_per_s=rates)

    def drift(self, warmth_degc: float, per_s: float) -> Floats:
        """Return what is shown where there is nothing: (axes,) in the stream's unit."""
        shown: Floats = (
            np.array(self.bias)
            + np.array(self.bias_per_degc) * warmth_degc
            + np.array(self.bias_per_degc2) * warmth_degc**2
            + np.array(self.bias_per_degc_per_s) * per_s
        )
        return shown


@dataclass(frozen=True, slots=True)
class AccelTruth:
    """The accelerometer: `errors` lead to axes of its own, at right angles; `mount` from there to the box.

    Gravity alone, at rest, cannot tell how the chip sits in the box. So as in Tedaldi, Pretto and
    Menegatti (ICRA 2014) the gain is upper triangular: the chip's x axis is where it is.
    `mount` (3, 3) is a rotation: in the box's axes the force is mount · true.
    """

    errors: SensorTruth
    mount: Matrix


@dataclass(frozen=True, slots=True)
class LoadTruth:
    """Four cells under one plate, in the order of `CELLS`.

    What is true of them is what each carries. How a mass is shared out is statics, but for `softness`: over
    one cell of a soft plate (1), it is carried by that one alone; a stiff one (0) on springs like each other
    lets its neighbours carry a quarter each.

    `errors` hold for loads that came slowly and stay shortly; their gain is full since the cells feel each
    other through plate and frame. Beside them, which no gain can correct: `nonlinearity`, at half of
    `capacity_kg`, and `hysteresis`, between the way up to the capacity and the way down, as shares of the
    capacity; `creep`, shares of the load that come with `creep_lags_s`.
    """

    errors: SensorTruth
    softness: float
    capacity_kg: float
    nonlinearity: Row
    hysteresis: Row
    creep: Matrix  # (lags, cells)
    creep_lags_s: Row

    def shares(self, x: float, y: float) -> Floats:
        """Share of a mass that each cell carries: (4,), sum 1.

        `x` forward and `y` to the left, in half distances: over a cell both are 1 or -1.
        """
        signs = np.array(CELL_SIGNS, dtype=np.float64)
        warp = self.softness * signs.prod(axis=1) * x * y
        shares: Floats = (1 + signs @ np.array([x, y]) + warp) / len(CELLS)
        return shares

    def carried_kg(self, mass_kg: float, place: str) -> Floats:
        """What each cell carries of a mass exactly at "centre", or over a cell: (4,) kg."""
        x, y = (0, 0) if place == "centre" else CELL_SIGNS[CELLS.index(place)]
        return mass_kg * self.shares(x, y)


@dataclass(frozen=True, slots=True)
class Truth:
    """All that is hidden in one box."""

    accel: AccelTruth
    load: LoadTruth

    def hastened(self, haste: float) -> Truth:
        """Return the same box where things warm up, cool down and creep `haste` times as fast."""
        accel, load = self.accel, self.load
        return Truth(
            dataclasses.replace(accel, errors=accel.errors.hastened(haste)),
            dataclasses.replace(
                load,
                errors=load.errors.hastened(haste),
                creep_lags_s=tuple(lag_s / haste for lag_s in load.creep_lags_s),
            ),
        )

    def to_json(self) -> str:
        """Return it as one JSON document."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def draw_truth(seed: int) -> Truth:
    """Draw a box. Raises ValueError for a seed below zero."""
    if seed < 0:
        raise ValueError(f"drawing a box's errors: seed {seed}, expected a whole number from 0 up")
    rng = np.random.default_rng((seed, _TRUTH_TAG))
    start_degc = float(rng.uniform(12, 28))
    return Truth(_draw_accel(rng, start_degc), _draw_load(rng, start_degc))


def _draw_accel(rng: np.random.Generator, start_degc: float) -> AccelTruth:
    scale = 1 + rng.uniform(-0.03, 0.03, 3)
    # where each axis really points: up to 2° from where it should
    skew = np.deg2rad(2.0) / np.sqrt(2) * rng.uniform(-1, 1, (3, 3))
    np.fill_diagonal(skew, 0.0)
    directions = np.eye(3) + skew
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    to_box = np.linalg.inv(scale[:, None] * directions)
    mount, gain = np.linalg.qr(to_box)
    signs = np.sign(np.diag(gain))
    mount, gain = mount * signs, np.triu(gain * signs[:, None])
    tempco = np.array([0.4, 0.4, 1.2]) * _MG
    return AccelTruth(
        SensorTruth(
            gain=_matrix(gain),
            bias=_row(rng.uniform(-80, 80, 3) * _MG),
            reference_degc=start_degc,
            bias_per_degc=_row(tempco * rng.uniform(-1, 1, 3)),
            bias_per_degc2=_row(tempco * 0.004 * rng.uniform(-1, 1, 3)),
            bias_per_degc_per_s=(0.0, 0.0, 0.0),
            lag_s=float(rng.uniform(60, 180)),  # chip, board and housing
            noise=float(rng.uniform(1.0, 3.5)) * _MG,
        ),
        _matrix(mount),
    )


def _draw_load(rng: np.random.Generator, start_degc: float) -> LoadTruth:
    capacity_kg = 50.0
    span = 1 + rng.uniform(-0.1, 0.1, 4)
    felt = np.eye(4) + np.where(np.eye(4), 0.0, rng.uniform(-0.015, 0.015, (4, 4)))
    per_degc = 1e-4 * capacity_kg  # 0.1 % of the capacity over 10 °C
    return LoadTruth(
        SensorTruth(
            gain=_matrix(np.linalg.inv(span[:, None] * felt)),
            bias=_row(rng.uniform(-0.5, 0.5, 4)),
            reference_degc=start_degc,
            bias_per_degc=_row(per_degc * rng.uniform(-2, 2, 4)),
            bias_per_degc2=_row(per_degc * 0.01 * rng.uniform(-1, 1, 4)),
            bias_per_degc_per_s=_row(per_degc * 200.0 * rng.uniform(-1, 1, 4)),
            lag_s=float(rng.uniform(600, 1500)),  # a kilogram of steel
            noise=0.004,
        ),
        softness=float(rng.uniform(0.7, 1.0)),
        capacity_kg=capacity_kg,
        nonlinearity=_row(rng.uniform(-2e-4, 2e-4, 4)),
        hysteresis=_row(rng.uniform(0.5e-4, 2e-4, 4)),
        creep=_matrix(np.array([[1.0], [0.7]]) * rng.uniform(0.5e-4, 2e-4, 4)),
        creep_lags_s=(40.0, 600.0),
    )


def _row(values: NDArray[np.floating]) -> Row:
    return tuple(float(v) for v in values)


def _matrix(values: NDArray[np.floating]) -> Matrix:
    return tuple(_row(row) for row in values)
