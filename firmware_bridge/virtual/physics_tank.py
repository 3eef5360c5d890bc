"""The tank: hydrostatic head, the first slosh mode, and what a gauge at its end wall feels.

Linear theory of a liquid in a rectangular tank pushed sideways (Abramson, NASA SP-106, chapter 2). The
tank stands across the truck, so turning makes it slosh and braking does not. The gauge sits at the
foot of the end wall, in the middle of the short side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.streams import GRAVITY_MPS2

WATER_KG_PER_M3 = 1000.0
PRESSURE_RATE_HZ = 50
# Share of the first mode in the surface's slope at the wall: 8/π², from the series of a straight line.
FIRST_MODE_SHARE = 8 / math.pi**2
MEMORY_S = 24  # e^(-ζω·24 s) < 0.003 Pa of a 1.5 kPa swing


@dataclass(frozen=True, slots=True)
class Tank:
    """A rectangular tank, partly filled; `length_m` across the truck."""

    length_m: float = 1.0
    depth_m: float = 0.2
    damping: float = 0.06  # of critical; baffled
    damper_hz: float = 1.2  # pulsation damper (snubber) before the gauge, second order, Butterworth

    @property
    def slosh_hz(self) -> float:
        """First natural frequency: f² = (πg/L)·tanh(πh/L)/(4π²)."""
        wave = math.pi / self.length_m
        return math.sqrt(wave * GRAVITY_MPS2 * math.tanh(wave * self.depth_m)) / (2 * math.pi)

    @property
    def wave_at_foot(self) -> float:
        """How much of a surface wave's pressure is left at the foot of the wall: 1/cosh(πh/L)."""
        return 1 / math.cosh(math.pi * self.depth_m / self.length_m)


class TankGauge:
    """Gauge pressure from the specific force on the tank, by convolution with two impulse responses."""

    def __init__(self, tank: Tank | None = None) -> None:
        """Compute the impulse responses once, `MEMORY_S` long at 50 Hz."""
        self.tank = tank or Tank()
        # 400 points a second make the sampled impulse responses exact to 0.1 %.
        fine = 8
        step_s = 1 / (PRESSURE_RATE_HZ * fine)
        points = np.arange(MEMORY_S * PRESSURE_RATE_HZ * fine, dtype=np.float64)
        time_s = (points + 0.5) * step_s
        mode = _second_order(time_s, self.tank.slosh_hz, self.tank.damping) * step_s
        damper = _second_order(time_s, self.tank.damper_hz, math.sqrt(0.5)) * step_s
        size = 2 * time_s.size
        slow = np.fft.irfft(np.fft.rfft(mode, size) * np.fft.rfft(damper, size), size)[: time_s.size]
        self._wave = _normal(slow.reshape(-1, fine).sum(axis=1))
        self._damper = _normal(damper.reshape(-1, fine).sum(axis=1))

    def run_pa(
        self, lateral_mps2: NDArray[np.float64], vertical_mps2: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Gauge pressure from (n,) specific forces at 50 Hz, without the first `MEMORY_S`: (n - 1200,).

        `lateral_mps2` is positive where it raises the surface at the gauge.
        """
        tank = self.tank
        first = tank.length_m / 2 * FIRST_MODE_SHARE * tank.wave_at_foot
        # What is not wave follows at once: the higher modes, and the liquid below the wave.
        rigid = tank.depth_m * vertical_mps2 + (tank.length_m / 2 - first) * lateral_mps2
        head = np.convolve(rigid[1:], self._damper, "valid")
        wave = np.convolve(first * lateral_mps2[1:], self._wave, "valid")
        # A gauge in the open air reads zero: it does not suck.
        pressure: NDArray[np.float64] = np.maximum(WATER_KG_PER_M3 * (head + wave), 0.0)
        return pressure


def _second_order(time_s: NDArray[np.float64], natural_hz: float, damping: float) -> NDArray[np.float64]:
    """Impulse response of ω²/(s² + 2ζωs + ω²), damping below one."""
    omega = 2 * math.pi * natural_hz
    damped = omega * math.sqrt(1 - damping**2)
    response: NDArray[np.float64] = (
        omega**2 / damped * np.exp(-damping * omega * time_s) * np.sin(damped * time_s)
    )
    return response


def _normal(response: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make a constant pass unchanged, whatever the sampling did."""
    return np.asarray(response / response.sum(), dtype=np.float64)
