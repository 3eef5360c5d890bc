"""A rough road with three harms a second, each of which tells to the sample when it is complete.

The road is the virtual trip's own (ASTM D4169 truck vibration), so that every stream carries what it always
does. Into it are written a fall (samples decide it), a swing of the tank's pressure and a tilt (hops of
time decide them), each at another moment of its second so that no grid of the agent's is favoured.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_bridge.virtual.streams import (
    ACCEL_MPS2_PER_COUNT,
    GRAVITY_MPS2,
    PRESSURE_PA_PER_COUNT,
    STREAMS,
    VirtualStream,
)
from firmware_bridge.virtual.trip import Trip

ACCEL_HZ = 1000
PRESSURE_HZ = 50
QUIET_S = 10  # the road alone first: clocks settle, and which way is up is known
FALL_SAMPLES = 200  # 20 cm
MIN_FALL_SAMPLES = 150  # with this one it is complete: [detect.drop] min_fall_s
SWING_PA = 4000.0
SWING_SAMPLES = 8
TILT_DEG = 45.0
TILT_SAMPLES = 380
_TAG = 0xA1A  # keeps this stream of random numbers apart from the trip's others

DETECT = """
[detect.drop]
min_fall_s = 0.15
major_height_m = 0.1
settle_s = 0.1
[detect.pressure]
swing_pa = 2500.0
window_s = 0.3
[detect.tilt]
levels = [{ angle_deg = 30.0, hold_s = 0.1, severity = 3 }]
lowpass_s = 0.04
release_s = 0.1
"""
"""Limits that let an event end before the next of its kind begins; an alarm's way is the same."""


@dataclass(frozen=True, slots=True)
class Harms:
    """Where in one second each harm begins: samples of its own stream since the trip's start."""

    fall: int
    swing: int
    tilt: int


@dataclass(frozen=True)
class AlarmTrip:
    """Second `QUIET_S` and every one after it holds a fall, a swing and a tilt."""

    seed: int = 1
    streams: tuple[VirtualStream, ...] = STREAMS

    def harms(self, k: int) -> Harms | None:
        """Return what is written into second `k`, if anything is."""
        if k < QUIET_S:
            return None
        dice = np.random.default_rng((self.seed, _TAG, k))
        return Harms(
            fall=k * ACCEL_HZ + int(dice.integers(20, 120)),
            swing=k * PRESSURE_HZ + int(dice.integers(24, 30)),
            tilt=k * ACCEL_HZ + int(dice.integers(520, 600)),
        )

    def second(self, k: int) -> dict[str, npt.NDArray[np.int32]]:
        """Return all samples in [k, k + 1) s."""
        counts = dict(_road(self.seed).second(k))
        harms = self.harms(k)
        if harms is None:
            return counts
        accel, pressure = counts["accel"].copy(), counts["pressure"].copy()
        noise = np.random.default_rng((self.seed, _TAG, k, 1)).normal(0, 3, (FALL_SAMPLES, 3))
        fall = harms.fall - k * ACCEL_HZ
        accel[fall : fall + FALL_SAMPLES] = np.rint(noise)
        tilt = harms.tilt - k * ACCEL_HZ
        lean = math.radians(TILT_DEG)
        turned = GRAVITY_MPS2 / ACCEL_MPS2_PER_COUNT * np.array([math.sin(lean), 0.0, math.cos(lean) - 1.0])
        accel[tilt : tilt + TILT_SAMPLES] += np.rint(turned).astype(np.int32)
        swing = harms.swing - k * PRESSURE_HZ
        pressure[swing : swing + SWING_SAMPLES] += round(SWING_PA / PRESSURE_PA_PER_COUNT)
        return {**counts, "accel": accel, "pressure": pressure}


@functools.cache
def _road(seed: int) -> Trip:
    """Return the road, composed once a process: it remembers much."""
    return Trip(seed, script="road")
