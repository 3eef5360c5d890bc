"""Vibration beyond what the packaging was tested for; and up to it.

The limit is assurance level II of the truck spectrum of ASTM D4169, 0.52 g rms on the bed. Harmful is the
same spectrum at 1.6 times its level and more for over a minute; the condition is complete a minute after it
begins. Only where the sensor is fast enough to feel all of it, 1 to 200 Hz.
"""

from __future__ import annotations

import math

import numpy as np

from firmware_bridge.virtual.road import RoadNoise
from scripts.examination.backgrounds import Background, resampled
from scripts.examination.ride import Ride, ramp, ride
from scripts.examination.scene import (
    F64,
    GENERAL,
    GRAVITY_MPS2,
    HARMLESS,
    Draw,
    Scene,
    Truth,
    harmful,
    harmless,
)
from scripts.examination.sensors import Fitting, scene_of

LIMIT_G = 0.52
MINUTE_S = 60.0


def smooth_and_fast(background: Background) -> bool:
    """At least 400 Hz, and little vibration of its own."""
    return background.fast and background.rms_mps2 < 0.25 * GRAVITY_MPS2


def _shaken(draw: Draw, made: Ride, level: float) -> F64:
    """Return (n, 3) of the truck bed's vibration at `level` times level II, at the ride's rate."""
    noise = RoadNoise(int(draw.rng.integers(1 << 31)), level="II")
    seconds = math.ceil(made.seconds)
    bed = np.concatenate([noise.platform_mps2(k) for k in range(seconds)])
    if made.rate_hz != 1000:
        bed = resampled(bed, round(seconds * made.rate_hz))
    return level * bed[: len(made.force)]


@harmful("vibration", smooth_and_fast)
def beyond_the_packaging(draw: Draw) -> Scene:
    """A road that shakes 1.6 to 2.5 times as much as level II for 70 to 90 s."""
    lasts_s, level = draw.between(70, 90), math.exp(draw.between(math.log(1.65), math.log(2.5)))
    made = ride(draw, lasts_s + draw.between(20, 30))
    start_s = draw.between(8, 14)
    share = ramp(made.time_s, start_s, 2) - ramp(made.time_s, start_s + lasts_s, 2)
    made.force += share[:, None] * _shaken(draw, made, level)
    complete_s = start_s + MINUTE_S
    truth = Truth("vibration", GENERAL, start_s, complete_s, start_s + lasts_s + 5)
    fitting = Fitting(draw.one_of(8.0, 16.0, 16.0, 32.0))
    drawn: dict[str, float | str] = {"level": level, "start_s": start_s, "lasts_s": lasts_s}
    return scene_of(draw, made, truth, fitting, drawn=drawn)


@harmful("vibration", smooth_and_fast)
def out_of_balance(draw: Draw) -> Scene:
    """A machine beside it, or a wheel out of balance: 8 to 30 Hz at 0.9 to 1.4 g rms, and its noise."""
    lasts_s = draw.between(70, 90)
    made = ride(draw, lasts_s + draw.between(20, 30))
    start_s, hertz, rms_g = draw.between(8, 14), draw.between(8, 30), draw.between(0.9, 1.4)
    share = ramp(made.time_s, start_s, 3) - ramp(made.time_s, start_s + lasts_s, 3)
    wander = 0.5 * np.sin(2 * math.pi * 0.05 * made.time_s)
    tone = rms_g * GRAVITY_MPS2 * math.sqrt(2) * np.sin(2 * math.pi * hertz * made.time_s + wander)
    made.force += (share * tone)[:, None] * np.array([0.3, 0.2, 1.0])
    made.force += share[:, None] * _shaken(draw, made, 0.4)
    truth = Truth("vibration", GENERAL, start_s, start_s + MINUTE_S, start_s + lasts_s + 5)
    fitting = Fitting(draw.one_of(8.0, 16.0, 16.0, 32.0))
    drawn: dict[str, float | str] = {"hertz": hertz, "rms_g": rms_g, "start_s": start_s}
    return scene_of(draw, made, truth, fitting, drawn=drawn)


@harmless(smooth_and_fast)
def at_the_packaging_limit(draw: Draw) -> Scene:
    """The packaging test itself: level II on the bed, for as long as the scene lasts."""
    made = ride(draw, draw.between(90, 120))
    share = ramp(made.time_s, 8.0, 3)
    made.force += share[:, None] * _shaken(draw, made, draw.between(0.85, 1.0))
    return scene_of(draw, made, HARMLESS, Fitting(draw.one_of(8.0, 16.0, 16.0)))


@harmless(smooth_and_fast)
def cobbles(draw: Draw) -> Scene:
    """A stretch of cobbles: level II to I of the spectrum for 10 to 25 s, then smooth again."""
    made = ride(draw, draw.between(50, 70))
    start_s, lasts_s = draw.between(8, 14), draw.between(10, 25)
    share = ramp(made.time_s, start_s, 1.5) - ramp(made.time_s, start_s + lasts_s, 1.5)
    made.force += share[:, None] * _shaken(draw, made, draw.between(0.8, 1.3))
    return scene_of(draw, made, HARMLESS, Fitting(draw.one_of(8.0, 16.0, 16.0)))
