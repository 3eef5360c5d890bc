"""The road: truck vibration of the ASTM D4169 spectrum, and the springs between the truck and the box.

The spectrum is that of the truck schedule of ASTM D4169 (editions before 2014, assurance levels I to
III, 0.73, 0.52 and 0.37 g rms over 1 to 200 Hz). It is played as stationary Gaussian noise of any
length: blocks of random spectrum under a sine window, each half over the one before it, so that the
squares of the windows add up to one everywhere and no seam can be heard. A block depends on the seed
and its number alone, hence any second can be made without those before it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.streams import GRAVITY_MPS2

SAMPLE_RATE_HZ = 1000

# ASTM D4169, truck spectrum, assurance level II: (Hz, g²/Hz), straight lines on log-log paper between.
ASTM_D4169_TRUCK_II_G2_PER_HZ = (
    (1.0, 0.00005),
    (4.0, 0.01),
    (16.0, 0.01),
    (40.0, 0.001),
    (80.0, 0.001),
    (200.0, 0.00001),
)
ASTM_D4169_TRUCK_II_RMS_G = 0.52  # overall level that the standard prints for level II
LEVEL_POWER_FACTORS = {"I": 2.0, "II": 1.0, "III": 0.5}  # ASTM D4169: 3 dB from level to level

# The standard's spectrum is the vertical one. Sideways a truck bed shakes less: shares of amplitude
# along x, y, z, chosen within what surveys of trucks report (a third to a half of the vertical).
AXIS_SHARES = (0.35, 0.45, 1.0)

_BLOCK_S = 4  # 0.25 Hz of resolution: the slope from 1 to 4 Hz falls by 200
_HOP_S = _BLOCK_S // 2
_BLOCK_SAMPLES = _BLOCK_S * SAMPLE_RATE_HZ
_NOISE_TAG = 0xA57  # keeps this stream of random numbers apart from the trip's others

_BUMP_TEMPLATE_S = 4.0  # the isolator's ring is below 1e-4 by then


@dataclass(frozen=True, slots=True)
class Isolator:
    """A mass on a spring and a damper, moved at its foot: the air-sprung platform under the box."""

    natural_hz: float = 2.0  # air springs: 6 cm of static travel
    damping: float = 0.3  # of critical

    def transfer(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Acceleration of the box over that of the platform, complex, at `frequency_hz`."""
        ratio = frequency_hz / self.natural_hz
        damper = 2j * self.damping * ratio
        result: NDArray[np.complex128] = (1 + damper) / (1 - ratio**2 + damper)
        return result


def truck_psd_g2_per_hz(frequency_hz: NDArray[np.float64], level: str = "II") -> NDArray[np.float64]:
    """One-sided power spectral density of the truck bed, g²/Hz; nothing outside 1 to 200 Hz."""
    corners = np.asarray(ASTM_D4169_TRUCK_II_G2_PER_HZ)
    inside = (frequency_hz >= corners[0, 0]) & (frequency_hz <= corners[-1, 0])
    safe_hz = np.where(inside, frequency_hz, 1.0)
    psd = np.exp(np.interp(np.log(safe_hz), np.log(corners[:, 0]), np.log(corners[:, 1])))
    return np.where(inside, psd * LEVEL_POWER_FACTORS[level], 0.0)


class RoadNoise:
    """Random vibration of the truck bed and of the box on its springs, by the second."""

    def __init__(self, seed: int, *, level: str = "II", isolator: Isolator | None = None) -> None:
        """Prepare the spectrum of `level` ("I", "II" or "III"); no sample is made yet."""
        self.isolator = isolator or Isolator()
        self._seed = seed
        frequency_hz = _frequencies_hz(_BLOCK_SAMPLES)
        psd = truck_psd_g2_per_hz(frequency_hz, level) * GRAVITY_MPS2**2
        self._bins = np.flatnonzero(psd)
        # E|X|² = S·fs·N/2 makes irfft(X) a process of one-sided density S; half of it in each part.
        amplitude = np.sqrt(psd[self._bins] * SAMPLE_RATE_HZ * _BLOCK_SAMPLES / 4)
        self._amplitude = amplitude[:, None] * np.asarray(AXIS_SHARES)
        self._transfer = self.isolator.transfer(frequency_hz[self._bins])[:, None]
        phase = math.pi * (np.arange(_BLOCK_SAMPLES) + 0.5) / _BLOCK_SAMPLES
        self._window = np.sin(phase)[:, None]
        self._block = functools.lru_cache(maxsize=4)(self._make_block)

    def platform_mps2(self, second: int) -> NDArray[np.float64]:
        """Acceleration of the truck bed in [second, second + 1): (1000, 3)."""
        return self._overlap(second, sprung=False)

    def box_mps2(self, second: int) -> NDArray[np.float64]:
        """Acceleration of the box above its springs in [second, second + 1): (1000, 3)."""
        return self._overlap(second, sprung=True)

    def _overlap(self, second: int, *, sprung: bool) -> NDArray[np.float64]:
        newest, offset_s = divmod(second, _HOP_S)
        total = np.zeros((SAMPLE_RATE_HZ, len(AXIS_SHARES)))
        for number, start_s in ((newest, offset_s), (newest - 1, offset_s + _HOP_S)):
            start = start_s * SAMPLE_RATE_HZ
            total += self._block(number, sprung)[start : start + SAMPLE_RATE_HZ]
        return total

    def _make_block(self, number: int, sprung: bool) -> NDArray[np.float64]:
        # Block -1 begins before the trip does; a seed sequence wants numbers from zero up.
        rng = np.random.default_rng((self._seed, _NOISE_TAG, number + 1))
        parts = rng.standard_normal((2, *self._amplitude.shape))
        spectrum = np.zeros((_BLOCK_SAMPLES // 2 + 1, len(AXIS_SHARES)), dtype=np.complex128)
        spectrum[self._bins] = (parts[0] + 1j * parts[1]) * self._amplitude
        if sprung:
            spectrum[self._bins] *= self._transfer
        block: NDArray[np.float64] = np.fft.irfft(spectrum, _BLOCK_SAMPLES, axis=0) * self._window
        return block


def bump_mps2(isolator: Isolator, *, crossing_s: float) -> NDArray[np.float64]:
    """Vertical acceleration of the box for each metre of a bump's height: (4000,) at 1000 Hz.

    One axle rises and falls by a haversine in `crossing_s`: as acceleration, a half-sine pulse down
    between two halves of a pulse up, without change of speed or height at its end.
    """
    samples = int(_BUMP_TEMPLATE_S * SAMPLE_RATE_HZ)
    # Twice as long, so that no ring comes round; mid-sample, so that the jumps at both ends weigh right.
    time_s = (np.arange(2 * samples) + 0.5) / SAMPLE_RATE_HZ
    omega = 2 * math.pi / crossing_s
    pulse = np.where(time_s < crossing_s, 0.5 * omega**2 * np.cos(omega * time_s), 0.0)
    spectrum = np.asarray(np.fft.rfft(pulse), dtype=np.complex128)
    spectrum *= isolator.transfer(_frequencies_hz(pulse.size))
    return np.asarray(np.fft.irfft(spectrum, pulse.size)[:samples], dtype=np.float64)


def _frequencies_hz(samples: int) -> NDArray[np.float64]:
    return np.asarray(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ), dtype=np.float64)
