"""A box on a truck bed that shakes as ASTM D4169 says, whose load stands on cells: samples and truth.

Unlike the virtual trip, whose cradle is rigid and whose sensors are ideal, this one has what makes weighing
hard: no springs between truck and box, a platform that swings on its cells, a converter that averages and
is late, an accelerometer that is calibrated only as well as its certificate says, noise, and tilt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.blocks import Block, RegularClock
from firmware_bridge.virtual.road import SAMPLE_RATE_HZ, RoadNoise
from firmware_bridge.virtual.streams import GRAVITY_MPS2

F64 = NDArray[np.float64]
CELL_SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))  # of front and left: fl, fr, rl, rr


@dataclass(frozen=True, slots=True)
class Ride:
    """What is hidden from the weighing. Noise: standard deviation of one sample (of one cell)."""

    seed: int
    seconds: int = 60
    mass_kg: float = 60.0
    level: str = "II"
    tilt_deg: float = 6.0
    tilt_period_s: float = 20.0
    resonance_hz: float = 30.0
    damping: float = 0.1
    motion_rate_hz: int = 1000
    motion_noise_mps2: float = 0.03
    load_rate_hz: int = 80
    load_noise_kg: float = 0.004
    load_delay_s: float = 0.005
    load_mean_part: float = 1.0  # of a period, over which a conversion averages
    centre_front: float = 0.06
    centre_right: float = -0.1
    lever: float = 0.14  # height of the load over its cells, in half widths of the platform
    accel_bias_mps2: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cell_bias_kg: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


def specific_force_mps2(ride: Ride) -> F64:
    """Specific force of the bed in the box's axes at 1 kHz, tilted: (seconds · 1000, 3)."""
    road = RoadNoise(ride.seed, level=ride.level)
    force = np.concatenate([road.platform_mps2(k) for k in range(ride.seconds)])
    t = np.arange(len(force)) / SAMPLE_RATE_HZ
    rng = np.random.default_rng((ride.seed, 0x71))
    phases = rng.uniform(0, 2 * math.pi, 2)
    omega = 2 * math.pi / ride.tilt_period_s
    # one turns while the other is level, so that the box leans by `tilt_deg` in some direction
    pitch = math.radians(ride.tilt_deg) * np.sin(omega * t + phases[0])
    roll = math.radians(ride.tilt_deg) * np.sin(0.77 * omega * t + phases[1])
    scale = np.minimum(1.0, math.radians(ride.tilt_deg) / np.maximum(np.hypot(pitch, roll), 1e-9))
    pitch, roll = pitch * scale, roll * scale
    force[:, 0] += GRAVITY_MPS2 * np.sin(pitch)
    force[:, 1] += GRAVITY_MPS2 * np.cos(pitch) * np.sin(roll)
    force[:, 2] += GRAVITY_MPS2 * np.cos(pitch) * np.cos(roll)
    return force


def _on_its_cells(force: F64, ride: Ride) -> F64:
    """Follow the bed with the platform's resonance."""
    padded = np.concatenate([np.repeat(force[:1], 2000, axis=0), force])
    hertz = np.fft.rfftfreq(len(padded), 1 / SAMPLE_RATE_HZ)
    ratio = hertz / ride.resonance_hz
    damper = 2j * ride.damping * ratio
    transfer = (1 + damper) / (1 - ratio**2 + damper)
    moved = np.fft.irfft(np.fft.rfft(padded, axis=0) * transfer[:, None], len(padded), axis=0)
    return np.asarray(moved[2000:], dtype=np.float64)


def _means(series: F64, rate_hz: int, seconds: int, *, part: float = 1.0, delay_s: float = 0.0) -> F64:
    """Means over `part` of a period, which ended `delay_s` before each sample: (seconds · rate, axes)."""
    running = np.concatenate([np.zeros((1, series.shape[1])), np.cumsum(series, axis=0)])
    period = SAMPLE_RATE_HZ / rate_hz
    width = max(period * part, 1.0)
    ends = np.maximum((np.arange(seconds * rate_hz) / rate_hz - delay_s) * SAMPLE_RATE_HZ, width)
    grid = np.arange(len(running))
    columns = [(np.interp(ends, grid, c) - np.interp(ends - width, grid, c)) / width for c in running.T]
    return np.stack(columns, axis=1)


def blocks(ride: Ride) -> tuple[Block, Block]:
    """Return what the cells and the accelerometer give, in SI units, each as one block."""
    rng = np.random.default_rng((ride.seed, 0x72))
    force = specific_force_mps2(ride)
    felt = _on_its_cells(force, ride)
    right = felt[:, 2] * ride.centre_right + felt[:, 1] * ride.lever
    front = felt[:, 2] * ride.centre_front - felt[:, 0] * ride.lever
    share = ride.mass_kg / 4 / GRAVITY_MPS2
    cells = np.stack([share * (felt[:, 2] + sf * front - sl * right) for sf, sl in CELL_SIGNS], axis=1)
    readings = _means(
        cells, ride.load_rate_hz, ride.seconds, part=ride.load_mean_part, delay_s=ride.load_delay_s
    )
    readings += ride.load_noise_kg * rng.standard_normal(readings.shape) + np.array(ride.cell_bias_kg)
    motion = force
    if ride.motion_rate_hz != SAMPLE_RATE_HZ:
        motion = _means(force, ride.motion_rate_hz, ride.seconds)
    motion = (
        motion + np.array(ride.accel_bias_mps2) + ride.motion_noise_mps2 * rng.standard_normal(motion.shape)
    )
    offset_ns = int(rng.integers(0, 10_000_000))  # no two clocks start together
    return (
        Block(
            "load",
            0,
            RegularClock.of_rate(ride.load_rate_hz, anchor_ns=offset_ns),
            readings.astype(np.float32),
        ),
        Block(
            "accel",
            0,
            RegularClock.of_rate(ride.motion_rate_hz, anchor_ns=offset_ns),
            motion.astype(np.float32),
        ),
    )
