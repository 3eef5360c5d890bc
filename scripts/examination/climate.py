"""Temperature and humidity: out of the band for longer than the goods may; and doors, weather, sun.

Air in a box follows what is around it as a first-order lag; relative humidity follows from vapour and
temperature (Magnus formula, WMO-No. 8, annex 4.B), so that opening a cold box makes it damp. The vaccine
scenes are judged by the profile ``vaccines`` (2 to 8 °C); others by a band and times that the scene states.
The condition is complete when the air has been outside for as long as that profile, or that scene, allows;
harmful scenes go 2 K and more beyond the band and stay. Sensors: ±0.2 K, ±2 %RH (SHT31 class).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.physics_climate import Air, saturation_hpa
from scripts.examination.backgrounds import Background
from scripts.examination.box_settings import config_of
from scripts.examination.ride import plateau, smooth_noise
from scripts.examination.scene import F64, HARMLESS, MAJOR, Draw, Scene, Series, Truth, harmful, harmless
from scripts.examination.sensors import slow_series

VACCINES = '[cargo]\nprofile = "vaccines"\n'
LOW_DEGC, HIGH_DEGC = 2.0, 8.0
DAMP_PERCENT = 80.0
DAMP = f"""[detect.humidity]
high_percent = {DAMP_PERCENT}
hold_s = 60.0
major_after_s = 600.0
critical_after_s = 600.0
"""
GRACE_S = 90.0
SCALE = 0.01


def any_weather(background: Background) -> bool:
    """No road is in these: one background stands for all."""
    return background.name == "made rest"


def lagged(ambient: F64, start: float, lag_s: F64 | float) -> F64:
    """Return what follows `ambient` (n,) at 1 Hz with a lag of `lag_s` (n,)."""
    lags = np.broadcast_to(np.asarray(lag_s, dtype=np.float64), ambient.shape)
    gains = 1 - np.exp(-1 / lags)
    out, now = np.empty(len(ambient)), start
    for k, (target, gain) in enumerate(zip(ambient.tolist(), gains.tolist(), strict=True)):
        now += gain * (target - now)
        out[k] = now
    return out


def air(draw: Draw, temperature: F64, humidity: F64, truth: Truth, settings: str, **drawn: float) -> Scene:
    """Return the scene that a climate chip makes of the air at 1 Hz."""
    n = len(temperature)
    wrong = draw.between(-0.2, 0.2) + 0.03 * draw.rng.standard_normal(n)
    damp = draw.between(-2, 2) + 0.15 * draw.rng.standard_normal(n)
    series = (
        slow_series("temperature", 1.0, temperature + wrong, SCALE),
        slow_series("humidity", 1.0, np.clip(humidity + damp, 0, 100), SCALE),
    )
    return Scene(
        draw.kind, draw.number, draw.background.name, float(n), series, truth, settings, drawn=dict(drawn)
    )


def saturation(temperature_degc: F64) -> F64:
    """Saturation vapour pressure over water, hPa."""
    return np.array([saturation_hpa(t) for t in temperature_degc.tolist()])


def relative(vapour_hpa: F64, temperature: F64) -> F64:
    """Relative humidity, %; what is beyond saturation has fallen out as dew."""
    return np.minimum(100.0, 100 * vapour_hpa / saturation(temperature))


def _outside(draw: Draw, temperature: F64, start_s: float, **drawn: float) -> Scene:
    settings = config_of(VACCINES).detect.temperature
    outside = (temperature < LOW_DEGC) | (temperature > HIGH_DEGC)
    left_s = float(np.argmax(outside))
    complete_s = left_s + settings.major_after_s
    # a sensor that is 0.2 K wrong and a lag sees it leave later: by so much as the air takes for 0.4 K
    far = (temperature < LOW_DEGC - 0.4) | (temperature > HIGH_DEGC + 0.4)
    late_s = float(np.argmax(far)) - left_s
    humidity = 45 + 6 * smooth_noise(draw.rng, len(temperature), 1.0, 0.002)
    truth = Truth("temperature", MAJOR, start_s, complete_s, complete_s + late_s + GRACE_S)
    return air(draw, temperature, humidity, truth, VACCINES, start_s=start_s, **drawn)


def _minutes(draw: Draw, extra_s: float = 0.0) -> int:
    allowed_s = config_of(VACCINES).detect.temperature.major_after_s
    return round(allowed_s + extra_s + draw.between(2400, 3600))


@harmful("temperature", any_weather)
def cooling_failed(draw: Draw) -> Scene:
    """The cooling fails and the air creeps up to 10 to 18 °C with a lag of 6 to 20 minutes."""
    n, start_s = _minutes(draw), draw.between(300, 900)
    t = np.arange(n)
    ambient = np.where(t < start_s, 5.0, draw.between(12, 24))
    temperature = lagged(ambient, 5.0, draw.between(360, 1200))
    temperature += 0.3 * smooth_noise(draw.rng, n, 1.0, 0.005)
    return _outside(draw, temperature, start_s, warmest=float(temperature.max()))


@harmful("temperature", any_weather)
def left_in_the_sun(draw: Draw) -> Scene:
    """The box is left on the apron in the sun, 30 to 45 °C around it."""
    n, start_s = _minutes(draw), draw.between(300, 900)
    ambient = np.where(np.arange(n) < start_s, 4.5, draw.between(30, 45))
    temperature = lagged(ambient, 4.5, draw.between(1200, 3600))
    temperature += 0.1 * smooth_noise(draw.rng, n, 1.0, 0.005)
    return _outside(draw, temperature, start_s, warmest=float(temperature.max()))


@harmful("temperature", any_weather)
def frozen(draw: Draw) -> Scene:
    """Beside ice packs out of the freezer the air falls to -3 to -8 °C, and stays there."""
    n, start_s = _minutes(draw), draw.between(300, 900)
    ambient = np.where(np.arange(n) < start_s, 4.0, draw.between(-8, -3))
    temperature = lagged(ambient, 4.0, draw.between(300, 900))
    temperature += 0.1 * smooth_noise(draw.rng, n, 1.0, 0.005)
    return _outside(draw, temperature, start_s, coldest=float(temperature.min()))


def door_air(draw: Draw, opened: NDArray[np.bool_], inside: Air, outside: Air) -> tuple[F64, F64]:
    """Temperature and relative humidity of a box whose door is open at times: (n,) each, at 1 Hz.

    An open door changes the air once in a minute or three, and heat and vapour come with it alike. Behind a
    shut door walls and goods, a hundred times as heavy as the air, bring back their own temperature in
    minutes; the coil, or cartons and wood, take the vapour up (half of it in 2 to 6 minutes).
    """
    exchange_s = draw.between(60, 180)
    heat_s, dry_s = draw.between(80, 240), draw.between(180, 500)
    temperature = lagged(
        np.where(opened, outside.temperature_degc, inside.temperature_degc),
        inside.temperature_degc,
        np.where(opened, exchange_s, heat_s),
    )
    vapour = lagged(
        np.where(opened, outside.vapour_hpa, inside.vapour_hpa),
        inside.vapour_hpa,
        np.where(opened, exchange_s, dry_s),
    )
    return temperature, relative(vapour, temperature)


def damp_air(temperature_degc: float, percent: float) -> Air:
    """Air of this temperature and relative humidity."""
    return Air(temperature_degc, percent / 100 * saturation_hpa(temperature_degc))


def opened_at(draw: Draw, n: int, shortest_s: float, longest_s: float) -> NDArray[np.bool_]:
    """When the door is open: every 12 to 25 minutes for so long."""
    t = np.arange(n)
    opened = np.zeros(n, dtype=bool)
    at = draw.between(200, 500)
    while at < n - 600:
        opened |= (t >= at) & (t < at + draw.between(shortest_s, longest_s))
        at += draw.between(700, 1500)
    return opened


def longest_s(when: NDArray[np.bool_]) -> int:
    """Return the longest time without a break for which it is so, at 1 Hz."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], when, [False]]).astype(np.int8)))
    return int(np.diff(edges)[::2].max(initial=0))


def lid_of(opened: NDArray[np.bool_]) -> Series:
    """Return what a contact at the door says, at 10 Hz."""
    return slow_series("lid", 10.0, np.repeat(np.where(opened, 0.0, 1.0), 10), 1.0)


def _door_scene(draw: Draw, opened: NDArray[np.bool_], inside: Air, outside: Air, settings: str) -> Scene:
    while True:
        temperature, humidity = door_air(draw, opened, inside, outside)
        if longest_s(humidity > DAMP_PERCENT - 3) < 0.8 * config_of(DAMP).detect.humidity.major_after_s:
            break  # else the air was damp for longer than the scene itself allows
    scene = air(
        draw, temperature, humidity, HARMLESS, settings,
        outside_degc=outside.temperature_degc, outside_percent=outside.humidity_percent,
    )  # fmt: skip
    return replace(scene, series=(*scene.series, lid_of(opened))) if draw.chance(0.5) else scene


@harmless(any_weather)
def delivery_round(draw: Draw) -> Scene:
    """Doors open for 1 to 3 minutes at each stop: warm damp air in, and cold again in minutes."""
    opened = opened_at(draw, round(draw.between(2400, 4200)), 60, 180)
    outside = damp_air(draw.between(14, 30), draw.between(40, 70))
    return _door_scene(draw, opened, damp_air(4.5, draw.between(45, 60)), outside, VACCINES + DAMP)


@harmless(any_weather)
def sun_on_the_roof(draw: Draw) -> Scene:
    """The sun on the roof: from 3.5 up to 7.3 °C in an hour, never out of the band."""
    n = round(draw.between(3000, 4500))
    ambient = np.full(n, draw.between(6.4, 7.3))
    temperature = lagged(ambient, 3.5, draw.between(400, 1500)) + 0.1 * smooth_noise(draw.rng, n, 1.0, 0.01)
    # the vapour stays what it was, and the goods keep the air nearly as damp as it was
    humidity = 50 - 0.8 * (temperature - 3.5) + 1.5 * smooth_noise(draw.rng, n, 1.0, 0.001)
    return air(draw, temperature, humidity, HARMLESS, VACCINES + DAMP)


@harmless(any_weather)
def defrosting(draw: Draw) -> Scene:
    """The evaporator defrosts: 2 K up for 10 to 20 minutes, and the compressor's saw all the time."""
    n = round(draw.between(3000, 4500))
    t = np.arange(n, dtype=np.float64)
    saw = 0.6 * np.abs((t / draw.between(200, 500)) % 2 - 1)
    temperature = 4.0 + saw
    temperature += draw.between(1.2, 2.4) * plateau(t, 900, 300, draw.between(300, 900), 400)
    humidity = 55 + 12 * plateau(t, 900, 300, 600, 400) + 1.5 * smooth_noise(draw.rng, n, 1.0, 0.01)
    return air(draw, temperature, humidity, HARMLESS, VACCINES + DAMP)


@harmless(any_weather)
def bad_readings(draw: Draw) -> Scene:
    """A climate chip that now and then gives a reading of its range's end, or none that makes sense."""
    n = round(draw.between(1200, 2400))
    temperature = 5.0 + 0.3 * smooth_noise(draw.rng, n, 1.0, 0.01)
    humidity = 50 + 4 * smooth_noise(draw.rng, n, 1.0, 0.01)
    scene_air = temperature.copy()
    for _ in range(int(draw.rng.integers(2, 12))):
        at = int(draw.rng.integers(60, n - 5))
        scene_air[at : at + int(draw.rng.integers(1, 3))] = draw.one_of(-127.0, 85.0, -45.0, 130.0, 0.0)
    return air(draw, scene_air, humidity, HARMLESS, VACCINES + DAMP)


def _damp(draw: Draw, temperature: F64, humidity: F64, start_s: float, **drawn: float) -> Scene:
    settings = config_of(DAMP).detect.humidity
    left_s = float(np.argmax(humidity > DAMP_PERCENT))
    far_s = float(np.argmax(humidity > DAMP_PERCENT + 4)) - left_s
    complete_s = left_s + settings.major_after_s
    truth = Truth("humidity", MAJOR, start_s, complete_s, complete_s + max(0.0, far_s) + GRACE_S)
    return air(draw, temperature, humidity, truth, DAMP, start_s=start_s, **drawn)


@harmful("humidity", any_weather)
def wet_load(draw: Draw) -> Scene:
    """Something wet was put in: the air goes to 90 to 99 % within minutes and stays there."""
    n, start_s = round(draw.between(2400, 3600)), draw.between(300, 700)
    t = np.arange(n)
    temperature = draw.between(8, 25) + 0.4 * smooth_noise(draw.rng, n, 1.0, 0.002)
    target = np.where(t < start_s, draw.between(35, 60), draw.between(91, 99))
    humidity = lagged(target, float(target[0]), draw.between(60, 400))
    return _damp(draw, temperature, humidity, start_s, dampest=float(humidity.max()))


@harmful("humidity", any_weather)
def cooled_below_dew(draw: Draw) -> Scene:
    """A closed box cools down at night with its vapour in it, until it is damp everywhere."""
    n, start_s = round(draw.between(3600, 4800)), draw.between(300, 700)
    t = np.arange(n)
    warm = draw.between(20, 30)
    temperature = lagged(np.where(t < start_s, warm, draw.between(4, 8)), warm, draw.between(300, 700))
    vapour = np.full(n, draw.between(0.50, 0.65) * saturation_hpa(warm))
    return _damp(draw, temperature, relative(vapour, temperature), start_s)


@harmless(any_weather)
def rain_outside(draw: Draw) -> Scene:
    """Hours of rain: damp creeps in through the seals of a shut box, which take hours to change its air."""
    n = round(draw.between(3600, 5400))
    temperature = draw.between(8, 18) + 0.5 * smooth_noise(draw.rng, n, 1.0, 0.001)
    humidity = lagged(np.full(n, draw.between(75, 95)), draw.between(40, 55), draw.between(7200, 20000))
    humidity += 1.0 * smooth_noise(draw.rng, n, 1.0, 0.002)
    return air(draw, temperature, humidity, HARMLESS, DAMP)


@harmless(any_weather)
def doors_in_the_rain(draw: Draw) -> Scene:
    """Doors opened in the rain for 1 to 3 minutes: 85 to 97 % outside, and 5 to 12 K colder than inside."""
    opened = opened_at(draw, round(draw.between(2400, 3600)), 60, 180)
    inside = damp_air(draw.between(14, 20), draw.between(40, 52))
    outside = damp_air(inside.temperature_degc - draw.between(5, 12), draw.between(85, 97))
    return _door_scene(draw, opened, inside, outside, DAMP)
