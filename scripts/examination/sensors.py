"""The sensors of a scene: mounting, errors, noise, full scale and counts, as those of real boxes have them.

Bias up to 50 mg and gain within 3 % an axis are what an uncalibrated consumer accelerometer has (ADXL345:
±40 mg typical on x and y, ±80 mg on z; LIS3DH ±40 mg). It is mounted square to its box but for some degrees.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from agent.streams import TABLE
from firmware_bridge.virtual.physics_load import Cradle, cell_readings_kg
from scripts.examination.ride import Ride
from scripts.examination.scene import F64, GRAVITY_MPS2, HARMLESS, Draw, Scene, Series, Truth, Vector

BIAS_G = 0.05
GAIN = 0.03
MOST_ASKEW_DEG = 5.0
LOAD_RATE_HZ = 80
INT16_MAX = 2**15 - 1

_SQUARE: list[F64] = [
    np.array(m)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((-1.0, 1.0), repeat=3)
    for m in [[[signs[i] if j == order[i] else 0.0 for j in range(3)] for i in range(3)]]
    if np.linalg.det(np.array(m)) > 0
]


@dataclass(slots=True)
class Fitting:
    """What chance made of the accelerometer and what stands beside it; a kind may choose some of it."""

    full_scale_g: float = 16.0
    gyro: bool = False
    load: bool = False
    square: F64 | None = None
    """Which way the sensor stands in its box, but for some degrees; None: any."""
    extra: list[Series] = field(default_factory=list)
    tamper: list[Callable[[F64], None]] = field(default_factory=list)
    """What the sensor gets wrong: each changes (n, 3) m/s² in the sensor's own axes, in place."""


def full_scale_for(draw: Draw, *, shocks: bool = False) -> float:
    """Draw the range of an accelerometer, in g: those of the usual chips; one for shocks reaches farther."""
    if shocks:
        return draw.one_of(16.0, 16.0, 32.0, 100.0, 200.0)
    return draw.one_of(4.0, 8.0, 16.0, 16.0)


def scene_of(
    draw: Draw,
    ride: Ride,
    truth: Truth = HARMLESS,
    fitting: Fitting | None = None,
    *,
    settings: str = "",
    drawn: dict[str, float | str] | None = None,
) -> Scene:
    """Return the scene that sensors make of a ride."""
    fitting = fitting or Fitting()
    mount, up = _mounting(draw, fitting.square)
    series = [_accelerometer(draw, ride, fitting, mount)]
    if fitting.gyro:
        series.append(_gyro(draw, ride, mount))
    if fitting.load:
        series.append(load_cells(draw, ride, *cradle_for(draw)))
    series.extend(fitting.extra)
    return Scene(
        kind=draw.kind,
        number=draw.number,
        background=draw.background.name,
        seconds=ride.seconds,
        series=tuple(series),
        truth=truth,
        settings=settings,
        mount_up=up,
        drawn={"rate_hz": ride.rate_hz, "full_scale_g": fitting.full_scale_g, **(drawn or {})},
    )


def any_square(draw: Draw) -> F64:
    """Draw one of the 24 ways to mount a sensor square to its box: box axes to sensor axes, (3, 3)."""
    return _SQUARE[int(draw.rng.integers(len(_SQUARE)))]


def _mounting(draw: Draw, square: F64 | None) -> tuple[F64, Vector | None]:
    """Draw which way the sensor stands in its box; and which way is up, if anybody said so."""
    square = any_square(draw) if square is None else square
    axis = draw.rng.standard_normal(3)
    axis /= np.linalg.norm(axis)
    askew = math.radians(min(MOST_ASKEW_DEG, abs(draw.rng.normal(0, 2.0))))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    mount = (np.eye(3) + math.sin(askew) * cross + (1 - math.cos(askew)) * cross @ cross) @ square
    told = int(draw.rng.integers(3))
    if told == 0:
        return mount, None  # learned at the rest
    up = (square if told == 1 else mount) @ np.array([0.0, 0.0, 1.0])
    return mount, (float(up[0]), float(up[1]), float(up[2]))


def _accelerometer(draw: Draw, ride: Ride, fitting: Fitting, mount: F64) -> Series:
    bias = draw.rng.uniform(-BIAS_G, BIAS_G, 3) * GRAVITY_MPS2
    gain = 1 + draw.rng.uniform(-GAIN, GAIN, 3)
    noise_g = draw.between(0.001, 0.006)
    felt = ride.force @ mount.T * gain + bias
    felt += draw.rng.normal(0, noise_g * GRAVITY_MPS2, felt.shape)
    for wrong in fitting.tamper:
        wrong(felt)
    full_scale = fitting.full_scale_g * GRAVITY_MPS2
    scale = full_scale / INT16_MAX
    counts = np.clip(np.rint(felt / scale), -INT16_MAX, INT16_MAX).astype(np.int16)
    spec = msgspec.structs.replace(
        TABLE["accel"], rate_hz=ride.rate_hz, scale=scale, full_scale=full_scale * (1 - 1e-4)
    )
    return Series(spec, counts)


def _gyro(draw: Draw, ride: Ride, mount: F64) -> Series:
    felt = ride.gyro @ mount.T + draw.rng.uniform(-0.02, 0.02, 3)
    rate_hz = min(ride.rate_hz, 100.0)
    at = np.arange(math.floor(ride.seconds * rate_hz)) / rate_hz
    felt = np.stack([np.interp(at, ride.time_s, column) for column in felt.T], axis=1)
    felt += draw.rng.normal(0, 0.002, felt.shape)
    scale = math.radians(1000) / INT16_MAX
    counts = np.clip(np.rint(felt / scale), -INT16_MAX, INT16_MAX).astype(np.int16)
    return Series(msgspec.structs.replace(TABLE["gyro"], rate_hz=rate_hz, scale=scale), counts)


def cradle_for(draw: Draw) -> tuple[Cradle, F64 | float]:
    """Draw what lies on the cells, and where across the box its centre is."""
    mass_kg = math.exp(draw.between(math.log(15), math.log(600)))
    cradle = Cradle(
        mass_kg=mass_kg,
        half_length_m=draw.between(0.3, 0.6),
        half_width_m=draw.between(0.3, 0.5),
        centre_x_m=draw.between(-0.08, 0.08),
        centre_above_cells_m=draw.between(-0.05, 0.15),
    )
    return cradle, draw.between(-0.08, 0.08)


def load_cells(
    draw: Draw,
    ride: Ride,
    cradle: Cradle,
    centre_y_m: F64 | float,
    *,
    mass_part: F64 | None = None,
    moved_x_m: F64 | None = None,
) -> Series:
    """Return what four cells under the load show in a ride, at 80 Hz.

    ``mass_part``: (n,) of the mass that is there, where it changes. ``moved_x_m``: (n,) how far the centre
    has moved forward. Noise and gain of the cells as converters of 24 bits and class C3 cells have them.
    """
    across = np.broadcast_to(np.asarray(centre_y_m, dtype=np.float64), (len(ride.force),))
    cells = cell_readings_kg(cradle, ride.force, across)
    if moved_x_m is not None:
        share = cradle.mass_kg / 4 / GRAVITY_MPS2 * ride.force[:, 2] * moved_x_m / cradle.half_length_m
        cells += share[:, None] * np.array([1.0, 1.0, -1.0, -1.0])
    if mass_part is not None:
        cells *= mass_part[:, None]
    running = np.concatenate([np.zeros((1, 4)), np.cumsum(cells, axis=0)])
    edges = np.arange(math.floor(ride.seconds * LOAD_RATE_HZ) + 1) / LOAD_RATE_HZ * ride.rate_hz
    at = np.stack([np.interp(edges, np.arange(len(running)), column) for column in running.T], axis=1)
    # a converter gives the mean over its period; a ride slower than that has nothing in between
    means = np.diff(at, axis=0) * (LOAD_RATE_HZ / ride.rate_hz)
    means *= 1 + draw.rng.uniform(-0.002, 0.002, 4)
    means += draw.rng.uniform(-0.003, 0.003, 4) * cradle.mass_kg
    means += draw.rng.normal(0, cradle.mass_kg * draw.between(2e-5, 5e-4), means.shape)
    scale = 1e-5 * max(1.0, cradle.mass_kg / 60)
    spec = msgspec.structs.replace(TABLE["load"], rate_hz=float(LOAD_RATE_HZ), scale=scale)
    return Series(spec, np.rint(means / scale).astype(np.int32))


def slow_series(name: str, rate_hz: float, values: F64, scale: float) -> Series:
    """Return a stream of one axis from its values (n,)."""
    spec = msgspec.structs.replace(TABLE[name], rate_hz=rate_hz, scale=scale)
    counts = np.rint(values / scale)[:, None]
    widest = 2 ** (spec.sample_bits - 1) - 1
    return Series(spec, np.clip(counts, -widest, widest).astype(np.int32))
