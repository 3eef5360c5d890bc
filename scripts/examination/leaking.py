"""Leak: a sensing rope gets wet, a puddle makes the air damp, a sealed pack loses its gas; and what is none.

Ropes of the resistive kind give a voltage that leaves its dry level by volts within seconds; either way,
for that is wiring. A puddle gives off vapour at the box's own temperature (evaporation cools it by less than
a kelvin) until the air is nearly saturated. Gas in a sealed pack follows p·V = n·R·T; what is missing has
leaked. Complete: a wet rope for 2 s; 20 points of humidity more than before for a minute; 30 % of the
overpressure lost for 20 s: the times that give a person no reason to doubt it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from scripts.examination.climate import DAMP, SCALE, air, any_weather, lagged, lid_of
from scripts.examination.ride import plateau, ramp, smooth_noise
from scripts.examination.scene import (
    F64,
    GENERAL,
    HARMLESS,
    MAJOR,
    Draw,
    Scene,
    Series,
    Truth,
    harmful,
    harmless,
)
from scripts.examination.sensors import slow_series

ROPE_HZ, GAUGE_HZ = 10.0, 10.0
ROPE_V, AIR_PA = 0.0005, 4.0
ROPE_STAYS_S, PUDDLE_POINTS, PUDDLE_STAYS_S, PACK_PART, PACK_STAYS_S = 2.0, 20.0, 60.0, 0.3, 20.0


def _scene(draw: Draw, series: tuple[Series, ...], seconds: float, truth: Truth, **drawn: float) -> Scene:
    return Scene(draw.kind, draw.number, draw.background.name, seconds, series, truth, drawn=dict(drawn))


def _climate(draw: Draw, seconds: int) -> tuple[Series, Series]:
    temperature = draw.between(3, 25) + 0.2 * smooth_noise(draw.rng, seconds, 1.0, 0.01)
    humidity = draw.between(35, 60) + 1.0 * smooth_noise(draw.rng, seconds, 1.0, 0.01)
    return slow_series("temperature", 1.0, temperature, SCALE), slow_series("humidity", 1.0, humidity, SCALE)


def _rope(draw: Draw, n: int) -> tuple[F64, F64, float]:
    """Times, the dry rope's voltage with hum and noise, and which way wet is."""
    t = np.arange(n) / ROPE_HZ
    dry, wet = (draw.between(2.8, 3.3), -1.0) if draw.chance(0.7) else (draw.between(0.05, 0.4), 1.0)
    hum = draw.between(0, 0.06) * np.sin(2 * math.pi * draw.between(0.1, 4.0) * t)
    return t, dry + hum + draw.between(0.002, 0.02) * draw.rng.standard_normal(n), wet


@harmful("leak", any_weather)
def rope_got_wet(draw: Draw) -> Scene:
    """Water reaches the rope: 0.9 to 2.5 V within 0.2 to 8 s, and it stays wet."""
    seconds = round(draw.between(60, 120))
    t, volts, wet = _rope(draw, round(seconds * ROPE_HZ))
    start_s, size, lasts_s = draw.between(20, 40), draw.between(0.9, 2.5), math.exp(draw.between(-1.6, 2))
    drip = 1 + 0.1 * smooth_noise(draw.rng, len(t), ROPE_HZ, 0.5)
    volts += wet * size * ramp(t, start_s, lasts_s) * drip
    complete_s = start_s + lasts_s + ROPE_STAYS_S
    truth = Truth("leak", MAJOR, start_s, complete_s, complete_s + 3)
    rope = slow_series("leak", ROPE_HZ, np.clip(volts, 0, 3.4), ROPE_V)
    return _scene(draw, (rope, *_climate(draw, seconds)), seconds, truth, size_v=size, start_s=start_s)


@harmful("leak", any_weather)
def puddle(draw: Draw) -> Scene:
    """A canister leaks under the goods: the air goes from 35 to 55 % to 85 to 98 % within 5 to 15 minutes.

    Where a contact says that the door is shut, an alarm is due. Where there is none, the first minutes look
    like those of a door that was opened in the rain, and an event is enough.
    """
    n, start_s = round(draw.between(2400, 3600)), draw.between(400, 900)
    t = np.arange(n)
    cools = draw.between(0.0, 0.8)
    temperature = draw.between(4, 25) + 0.2 * smooth_noise(draw.rng, n, 1.0, 0.002)
    target = np.where(t < start_s, draw.between(35, 55), draw.between(85, 98))
    humidity = lagged(target, float(target[0]), draw.between(150, 450))
    temperature -= cools * lagged(np.where(t >= start_s, 1.0, 0.0), 0.0, 300.0)
    more = humidity - float(target[0])
    complete_s = float(np.argmax(more > PUDDLE_POINTS)) + PUDDLE_STAYS_S
    contact = draw.chance(0.5)
    truth = Truth("leak", MAJOR if contact else GENERAL, start_s, complete_s, complete_s + 240)
    scene = air(draw, temperature, humidity, truth, "", dampest=float(humidity.max()), start_s=start_s)
    shut = lid_of(np.zeros(n, dtype=bool))
    return replace(scene, series=(*scene.series, shut)) if contact else scene


@harmful("leak", any_weather)
def pack_lost_its_gas(draw: Draw) -> Scene:
    """A sealed pack at 8 to 60 kPa over the air loses 45 to 95 % of it in 1 to 10 minutes."""
    seconds, start_s = round(draw.between(900, 1500)), draw.between(100, 250)
    t = np.arange(round(seconds * GAUGE_HZ)) / GAUGE_HZ
    over, part, lag_s = draw.between(8e3, 60e3), draw.between(0.45, 0.95), draw.between(60, 250)
    lost = part * (1 - np.exp(-np.clip(t - start_s, 0, None) / lag_s))
    weather = 40 * smooth_noise(draw.rng, seconds, 1.0, 0.003)
    complete_s = float(t[int(np.argmax(lost > PACK_PART))]) + PACK_STAYS_S
    truth = Truth("leak", MAJOR, start_s, complete_s, complete_s + 60)
    series = _pack(draw, over * (1 - lost), weather, _steady(draw, seconds))
    return _scene(draw, series, seconds, truth, over_pa=over, part=part, lag_s=lag_s, start_s=start_s)


def _steady(draw: Draw, seconds: int) -> F64:
    return draw.between(5, 25) + 0.1 * smooth_noise(draw.rng, seconds, 1.0, 0.005)


def _pack(draw: Draw, over: F64, weather: F64, temperature: F64) -> tuple[Series, ...]:
    """A gauge pressure at 10 Hz, the air's own and its temperature at 1 Hz, (n,) each."""
    at = np.arange(len(over)) / GAUGE_HZ
    kelvin = 273.15 + temperature
    warm = np.interp(at, np.arange(len(kelvin)), kelvin / kelvin[0])
    outside = 101_325 - draw.between(0, 15_000)
    here = np.interp(at, np.arange(len(weather)), weather)
    gauge = (over + outside) * warm - outside - here + draw.rng.normal(0, 15, len(over))
    return (
        slow_series("pressure", GAUGE_HZ, gauge, 4.0),
        slow_series("temperature", 1.0, temperature, SCALE),
        slow_series("air_pressure", 1.0, outside + weather, AIR_PA),
    )


@harmless(any_weather)
def dry_rope(draw: Draw) -> Scene:
    """A rope that ages, hums, and is touched by a wet boot for less than a second; single odd samples."""
    seconds = round(draw.between(90, 180))
    t, volts, wet = _rope(draw, round(seconds * ROPE_HZ))
    volts += draw.between(-0.2, 0.2) * ramp(t, 10, seconds - 20)
    for _ in range(int(draw.rng.integers(1, 5))):
        at = draw.between(10, seconds - 10)
        volts += wet * draw.between(0.3, 2.0) * plateau(t, at, 0.1, draw.between(0.0, 0.6), 0.2)
    volts[int(draw.rng.integers(50, len(volts)))] = draw.one_of(0.0, 3.4)
    rope = slow_series("leak", ROPE_HZ, np.clip(volts, 0, 3.4), ROPE_V)
    return _scene(draw, (rope, *_climate(draw, seconds)), seconds, HARMLESS)


@harmless(any_weather)
def cold_and_warm_again(draw: Draw) -> Scene:
    """A shut box of cartons cools by 6 to 12 K and warms again: cartons keep its relative humidity nearly."""
    n = round(draw.between(3600, 5400))
    t = np.arange(n, dtype=np.float64)
    swing = -draw.between(6, 12) * plateau(t, 600, 900, draw.between(300, 900), 1200)
    temperature = draw.between(15, 25) + lagged(swing, 0.0, 200.0)
    humidity = draw.between(45, 60) - 0.35 * swing + 1.0 * smooth_noise(draw.rng, n, 1.0, 0.002)
    return air(draw, temperature, humidity, HARMLESS, DAMP)


@harmless(any_weather)
def pack_over_a_pass(draw: Draw) -> Scene:
    """A tight pack over a pass of 800 m and through a cold night: its gauge follows the air and the heat."""
    seconds = round(draw.between(1200, 1800))
    t = np.arange(seconds, dtype=np.float64)
    climb = -draw.between(2000, 9000) * plateau(t, 100, 450, draw.between(60, 300), 400)
    temperature = draw.between(5, 25) + lagged(draw.between(-6, 6) * ramp(t, 200, 300), 0.0, 200.0)
    over = np.full(round(seconds * GAUGE_HZ), draw.between(8e3, 60e3))
    return _scene(draw, _pack(draw, over, climb, temperature), seconds, HARMLESS)
