"""Pressure: swings beyond 2 kPa within 5 s in a tank or a sealed pack; and air that changes as air does.

The condition is complete when the largest less the smallest of the last 5 s first exceeds 2 kPa, the limit
that a box has by default, in the pressure itself and not in what a noisy gauge says.
"""

from __future__ import annotations

import math

import numpy as np

from scripts.examination.backgrounds import Background
from scripts.examination.ride import plateau, ramp, ride, smooth_noise
from scripts.examination.scene import F64, HARMLESS, MAJOR, Draw, Scene, Truth, harmful, harmless
from scripts.examination.sensors import Fitting, full_scale_for, scene_of, slow_series

RATE_HZ = 50.0
LIMIT_PA, WINDOW_S = 2000.0, 5.0
SCALE_PA = 0.625
GRACE_S = 1.5


def quick(background: Background) -> bool:
    """Any that a box with a gauge would have: 50 Hz and more."""
    return background.quick


def _gauge(draw: Draw, seconds: float) -> tuple[F64, F64]:
    """Times at 50 Hz, and what a gauge shows of a quiet tank: its head, and the road in it."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    road_pa = draw.between(20, 150) if draw.background.moving else 0.0
    quiet = draw.between(500, 8000) + road_pa * smooth_noise(draw.rng, len(t), RATE_HZ, 1.5)
    return t, quiet


def _made(draw: Draw, pressure: F64, truth: Truth, seconds: float, **drawn: float | str) -> Scene:
    made = ride(draw, seconds)
    noisy = pressure + draw.rng.normal(0, draw.between(2, 30), len(pressure))
    fitting = Fitting(full_scale_for(draw), extra=[slow_series("pressure", RATE_HZ, noisy, SCALE_PA)])
    return scene_of(draw, made, truth, fitting, drawn=dict(drawn))


def complete_at(pressure: F64, start_s: float) -> float:
    """Return when the swing of the last 5 s first exceeds the limit, from `start_s` on."""
    window = round(WINDOW_S * RATE_HZ)
    padded = np.pad(pressure, (window - 1, 0), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, window)
    swing = views.max(axis=1) - views.min(axis=1)
    beyond = np.flatnonzero(swing > LIMIT_PA)
    beyond = beyond[beyond >= start_s * RATE_HZ]
    return float(beyond[0]) / RATE_HZ if len(beyond) else start_s


def _swung(draw: Draw, t: F64, pressure: F64, start_s: float, size_pa: float) -> Scene:
    complete_s = complete_at(pressure, start_s)
    truth = Truth("pressure", MAJOR, start_s, complete_s, complete_s + GRACE_S)
    return _made(draw, pressure, truth, float(len(t)) / RATE_HZ, size_pa=size_pa, start_s=start_s)


@harmful("pressure", quick)
def liquid_slammed(draw: Draw) -> Scene:
    """The liquid slams to and fro at 0.4 to 2 Hz, 3 to 9 kPa from crest to trough."""
    t, pressure = _gauge(draw, draw.between(40, 60))
    start_s, hertz, size = draw.between(12, 25), draw.between(0.4, 2.0), draw.between(3000, 9000)
    beats = draw.between(3, 10) / hertz
    envelope = plateau(t, start_s, 1 / hertz, beats, 2 / hertz)
    pressure += size / 2 * envelope * np.sin(2 * math.pi * hertz * (t - start_s))
    return _swung(draw, t, pressure, start_s, size)


@harmful("pressure", quick)
def seal_burst(draw: Draw) -> Scene:
    """A sealed pack bursts or a valve sticks: 3 to 10 kPa gone, or come, within 0.2 to 2 s."""
    t, pressure = _gauge(draw, draw.between(40, 60))
    start_s, size = draw.between(12, 25), draw.sign() * draw.between(3000, 10000)
    lag_s = draw.between(0.1, 0.7)
    pressure += size * (1 - np.exp(-np.clip(t - start_s, 0, None) / lag_s))
    return _swung(draw, t, pressure, start_s, abs(size))


@harmless(quick)
def tunnel_and_pass(draw: Draw) -> Scene:
    """A tunnel (±0.3 kPa in a second, UIC 779-11 has 1.5 kPa in 4 s for trains) and a pass at 20 Pa/s."""
    t, pressure = _gauge(draw, draw.between(60, 120))
    for _ in range(int(draw.rng.integers(1, 4))):
        start_s, size = draw.between(8, 40), draw.sign() * draw.between(100, 600)
        pressure += size * plateau(
            t, start_s, draw.between(0.6, 2), draw.between(3, 15), draw.between(0.6, 2)
        )
    pressure -= draw.sign() * draw.between(5, 20) * np.clip(t - 10, 0, None)
    return _made(draw, pressure, HARMLESS, float(len(t)) / RATE_HZ)


@harmless(quick)
def doors_and_small_waves(draw: Draw) -> Scene:
    """Doors slammed in a closed cabin (50 to 300 Pa), the tank's own small waves of 0.3 to 1.2 kPa."""
    t, pressure = _gauge(draw, draw.between(50, 80))
    hertz, start_s = draw.between(0.5, 1.3), draw.between(10, 20)
    wave = draw.between(300, 1200) / 2 * plateau(t, start_s, 2, draw.between(4, 12), 6)
    pressure += wave * np.sin(2 * math.pi * hertz * t)
    for _ in range(int(draw.rng.integers(1, 5))):
        at = draw.between(6, 40)
        slam = np.exp(-np.clip(t - at, 0, None) / 0.15) * (t >= at) * np.sin(2 * math.pi * 4 * (t - at))
        pressure += draw.between(50, 300) * slam
    return _made(draw, pressure, HARMLESS, float(len(t)) / RATE_HZ)


@harmless(quick)
def pumped_over(draw: Draw) -> Scene:
    """The tank is filled or emptied: 1 to 6 kPa of head over a minute, less than 0.2 kPa a second."""
    t, pressure = _gauge(draw, draw.between(80, 120))
    size = draw.sign() * draw.between(1000, 6000)
    lasts_s = max(50.0, abs(size) * math.pi / 2 / 200)
    pressure += size * ramp(t, 15.0, lasts_s)
    return _made(draw, np.clip(pressure, 0, None), HARMLESS, float(len(t)) / RATE_HZ)
