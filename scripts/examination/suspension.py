"""A quarter of a vehicle: what its floor feels of a road's profile.

Two masses on springs and dampers (Wong, Theory of Ground Vehicles, 7.2; Gillespie, chapter 5), linear, by
its transfer function from the road's height to the acceleration of the floor:

    H(s) = (c s + k)·kt·s² / ((ms s² + c s + k)(mu s² + c s + k + kt) - (c s + k)²)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scripts.examination.scene import F64, Draw

RATE_HZ = 1000
RINGS_S = 4.0


@dataclass(frozen=True, slots=True)
class Vehicle:
    """``body_hz``, ``wheel_hz``: natural frequencies; ``damping`` of the body, of critical; masses' ratio."""

    body_hz: float
    wheel_hz: float
    damping: float
    wheel_part: float


def drawn_vehicle(draw: Draw) -> Vehicle:
    """Draw a van or a truck: bodies of 1.3 to 2.5 Hz, axles that hop at 9 to 13 Hz."""
    return Vehicle(
        draw.between(1.3, 2.5), draw.between(9, 13), draw.between(0.15, 0.35), draw.between(0.08, 0.2)
    )


def answer(vehicle: Vehicle, profile_m: F64) -> F64:
    """Acceleration of the floor, m/s², over a profile under the wheel (n,) at 1 kHz; 4 s longer than it."""
    n = len(profile_m) + round(RINGS_S * RATE_HZ)
    size = 1 << math.ceil(math.log2(n + RATE_HZ))
    s = 2j * math.pi * np.fft.rfftfreq(size, 1 / RATE_HZ)
    ms, mu = 1.0, vehicle.wheel_part
    k = ms * (2 * math.pi * vehicle.body_hz) ** 2
    c = 2 * vehicle.damping * math.sqrt(k * ms)
    kt = mu * (2 * math.pi * vehicle.wheel_hz) ** 2 - k
    link = c * s + k
    transfer = link * kt * s**2 / ((ms * s**2 + link) * (mu * s**2 + link + kt) - link**2)
    # a tyre rolls over an edge, it does not fall off it: its footprint is some centimetres long
    felt = np.fft.irfft(np.fft.rfft(profile_m, size) * transfer, size)
    return np.asarray(felt[:n])


def pothole_m(length_m: float, speed_mps: float, depth_m: float) -> F64:
    """Height under the wheel over a pothole: down, along, and up over its far edge, footprint 15 cm."""
    edge_s = 0.15 / speed_mps
    lasts_s = length_m / speed_mps + edge_s
    t = np.arange(math.ceil((lasts_s + edge_s) * RATE_HZ)) / RATE_HZ
    down = 0.5 - 0.5 * np.cos(math.pi * np.clip(t / edge_s, 0, 1))
    up = 0.5 - 0.5 * np.cos(math.pi * np.clip((t - lasts_s + edge_s / 2) / edge_s, 0, 1))
    return np.asarray(-depth_m * (down - up))


def watts_hump_m(length_m: float, speed_mps: float, height_m: float) -> F64:
    """Height under the wheel over a round hump (Watts, TRL 1973: an arc of a circle, 3.7 m long)."""
    lasts_s = length_m / speed_mps
    t = np.arange(max(4, math.ceil(lasts_s * RATE_HZ))) / RATE_HZ
    x = np.clip(t / lasts_s, 0, 1)
    return np.asarray(height_m * 4 * x * (1 - x))
