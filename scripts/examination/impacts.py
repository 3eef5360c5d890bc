"""Shock and bump: pulses on the box itself, and what the road throws up through the suspension.

Shock pulses are those of IEC 60068-2-27 and MIL-STD-810H 516.8: half-sines and terminal-peak sawteeth of
25 to 100 g and 3 to 20 ms. What they can break is bounded by peak and by velocity change (ASTM D3332,
damage boundary): an alarm is due from 2 m/s and 25 g on, a fall of 20 cm onto the same pulse; below it, the
event. A knock beside the sensor is loud and carries nothing: under 1 ms, under 0.15 m/s.

A bump is hard when loose cargo leaves the floor for good: 1.2 g beside gravity in the mean over 20 ms; these
go to 1.4 g and more, over the springs of a quarter of a van or truck.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from scripts.examination.backgrounds import Background
from scripts.examination.ride import Ride, ride
from scripts.examination.scene import (
    F64,
    GENERAL,
    GRAVITY_MPS2,
    HARMLESS,
    MAJOR,
    Draw,
    Scene,
    Truth,
    harmful,
    harmless,
)
from scripts.examination.sensors import Fitting, full_scale_for, scene_of
from scripts.examination.suspension import Vehicle, answer, drawn_vehicle, pothole_m, watts_hump_m

GRACE_S = 0.6
ALARM_MPS = 2.0
HARD_BUMP_G = 1.2


def fast(background: Background) -> bool:
    """At least 400 Hz: a pulse of 3 ms has a sample or more."""
    return background.fast


def even_road(background: Background) -> bool:
    """Moving, and shaken little enough for a bump to be seen at all: 0.25 g rms."""
    return background.moving and background.quick and background.rms_mps2 < 0.25 * GRAVITY_MPS2


def _struck(draw: Draw, pulse: Callable[[F64], F64], peak_g: float, lasts_s: float, area: float) -> Scene:
    made = ride(draw, draw.between(30, 45))
    start_s = draw.between(10, 25)
    direction = draw.rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    made.jolt(pulse, start_s, lasts_s, direction)
    change_mps = area * peak_g * GRAVITY_MPS2 * lasts_s
    peak = peak_g * GRAVITY_MPS2
    # what holds the box, a strap or the floor's friction, brings it back slowly
    back_s = draw.between(0.05, 0.15)
    if change_mps / back_s < 0.25 * peak:
        back = change_mps / back_s * math.pi / 2
        made.jolt(
            lambda t: -back * np.sin(math.pi * t / back_s), start_s + lasts_s + 0.002, back_s, direction
        )
    due_s = start_s + lasts_s
    severity = MAJOR if change_mps >= ALARM_MPS else GENERAL
    truth = Truth("shock", severity, start_s, due_s, due_s + GRACE_S)
    fitting = Fitting(full_scale_for(draw, shocks=True))
    return scene_of(
        draw, made, truth, fitting,
        drawn={"peak_g": peak_g, "lasts_ms": lasts_s * 1e3, "dv_mps": change_mps, "start_s": start_s},
    )  # fmt: skip


@harmful("shock", fast)
def half_sine(draw: Draw) -> Scene:
    """A half-sine pulse of 25 to 100 g and 3 to 20 ms, in any direction."""
    peak_g = math.exp(draw.between(math.log(25), math.log(100)))
    lasts_s = math.exp(draw.between(math.log(0.003), math.log(0.020)))
    peak = peak_g * GRAVITY_MPS2
    return _struck(draw, lambda t: peak * np.sin(math.pi * t / lasts_s), peak_g, lasts_s, 2 / math.pi)


@harmful("shock", fast)
def sawtooth(draw: Draw) -> Scene:
    """A terminal-peak sawtooth of 25 to 100 g and 3 to 20 ms, in any direction."""
    peak_g = math.exp(draw.between(math.log(25), math.log(100)))
    lasts_s = math.exp(draw.between(math.log(0.004), math.log(0.020)))
    peak = peak_g * GRAVITY_MPS2
    return _struck(draw, lambda t: peak * t / lasts_s, peak_g, lasts_s, 0.5)


def lifting(felt: F64) -> F64:
    """The part of the floor's vertical acceleration that can lift cargo: its mean over 20 ms, at 1 kHz."""
    return np.convolve(felt, np.ones(20) / 20, "same")


def _crossed(draw: Draw, made: Ride, profile_m: F64, start_s: float, vehicle: Vehicle) -> None:
    """Drive over a profile, given at 1 kHz, a sensor's period at a time."""
    felt = answer(vehicle, profile_m)
    period = max(1, round(1000 / made.rate_hz))
    felt = np.convolve(felt, np.ones(period) / period, "same")
    grid = np.arange(len(felt)) / 1000
    at = made.time_s - start_s
    made.force[:, 2] += np.interp(at, grid, felt, left=0.0, right=0.0)
    # a wheel on one side: some of it comes sideways and along
    made.force[:, 1] += 0.2 * np.interp(at, grid, felt, left=0.0, right=0.0) * draw.between(-1, 1)


def _lifted(draw: Draw, profile_m: Callable[[], F64], most_g: float) -> Scene:
    """Drive over a profile of height 1, drawn when its turn comes, so high that cargo leaves the floor."""
    made = ride(draw, draw.between(40, 60))
    start_s, vehicle = draw.between(15, 30), drawn_vehicle(draw)
    profile = profile_m()
    size = draw.between(HARD_BUMP_G + 0.2, most_g) * GRAVITY_MPS2
    size /= float(np.abs(lifting(answer(vehicle, profile))).max())
    felt = lifting(answer(vehicle, profile * size))
    _crossed(draw, made, profile * size, start_s, vehicle)
    due_s = start_s + float(np.argmax(np.abs(felt) > HARD_BUMP_G * GRAVITY_MPS2)) / 1000
    truth = Truth("bump", GENERAL, start_s, due_s, due_s + 1.5)
    drawn: dict[str, float | str] = {
        "peak_g": float(np.abs(felt).max()) / GRAVITY_MPS2, "size_m": size, "start_s": start_s,
    }  # fmt: skip
    return scene_of(draw, made, truth, Fitting(full_scale_for(draw)), drawn=drawn)


@harmful("bump", even_road)
def hard_pothole(draw: Draw) -> Scene:
    """A pothole so deep that loose cargo leaves the floor: more than 1.2 g beside gravity, to 3 g."""
    return _lifted(draw, lambda: pothole_m(draw.between(0.4, 1.0), draw.between(6, 17), 1.0), 3.0)


@harmful("bump", even_road)
def kerb_at_speed(draw: Draw) -> Scene:
    """Over a hump far too fast: 1.4 to 2.5 g beside gravity."""
    return _lifted(draw, lambda: watts_hump_m(draw.between(0.3, 0.9), draw.between(6, 12), 1.0), 2.5)


@harmless(lambda b: b.moving and b.quick)
def speed_bumps(draw: Draw) -> Scene:
    """A street of speed bumps: Watts profiles 5 to 10 cm high, 3.7 m long, at 10 to 30 km/h, each axle."""
    made = ride(draw, draw.between(50, 80))
    vehicle, speed = drawn_vehicle(draw), draw.between(2.8, 8.3)
    start_s = draw.between(8, 12)
    while start_s < made.seconds - 8:
        profile = watts_hump_m(3.7, speed, draw.between(0.05, 0.10))
        for axle_m in (0.0, 3.5):
            felt = answer(vehicle, profile) * (0.4 if axle_m == 0.0 else 0.6)
            grid = np.arange(len(felt)) / 1000
            at = made.time_s - start_s - axle_m / speed
            made.force[:, 2] += np.interp(at, grid, felt, left=0.0, right=0.0)
        start_s += draw.between(6, 14)
    return scene_of(draw, made, HARMLESS, Fitting(full_scale_for(draw)), drawn={"speed_kmh": 3.6 * speed})


@harmless(lambda b: b.moving and b.quick)
def worn_road(draw: Draw) -> Scene:
    """Joints, manhole covers and shallow potholes, 0.2 to 0.8 g, dozens of them."""
    made = ride(draw, draw.between(50, 80))
    vehicle, speed = drawn_vehicle(draw), draw.between(8, 20)
    start_s = 7.0
    while start_s < made.seconds - 5:
        profile = pothole_m(draw.between(0.15, 0.8), speed, 1.0)
        size = draw.between(0.2, 0.8) * GRAVITY_MPS2 / float(np.abs(answer(vehicle, profile)).max())
        _crossed(draw, made, profile * size, start_s, vehicle)
        start_s += draw.between(0.8, 6)
    return scene_of(draw, made, HARMLESS, Fitting(full_scale_for(draw)))


@harmless(fast)
def knocks(draw: Draw) -> Scene:
    """Knocks beside the sensor, a tool, a ring, a pallet jack's fork: 3 to 25 g for 0.2 to 1 ms."""
    made = ride(draw, draw.between(30, 45))
    for _ in range(int(draw.rng.integers(3, 10))):
        direction = draw.rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        lasts_s = math.exp(draw.between(math.log(0.0002), math.log(0.001)))
        change_mps = draw.between(0.01, 0.09)
        peak = min(25 * GRAVITY_MPS2, change_mps * math.pi / 2 / lasts_s)
        start_s = draw.between(6, made.seconds - 3)
        made.jolt(_half_sine(peak, lasts_s), start_s, lasts_s, direction)
        made.jolt(_ringing(peak / 8, draw.between(120, 350), 0.01), start_s + lasts_s, 0.08, direction)
    return scene_of(draw, made, HARMLESS, Fitting(full_scale_for(draw, shocks=draw.chance(0.5))))


@harmless(lambda b: b.quick and not b.moving)
def slammed_doors(draw: Draw) -> Scene:
    """Doors and tail lift slammed, roll cages pushed in: 0.5 to 4 g, ringing at 20 to 120 Hz for 50 ms."""
    made = ride(draw, draw.between(30, 60))
    for _ in range(int(draw.rng.integers(3, 9))):
        direction = draw.rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        size = math.exp(draw.between(math.log(0.5), math.log(4))) * GRAVITY_MPS2
        hertz = math.exp(draw.between(math.log(20), math.log(120)))
        made.jolt(
            _ringing(size, hertz, draw.between(0.02, 0.06)), draw.between(6, made.seconds - 3), 0.4, direction
        )
    fitting = Fitting(full_scale_for(draw), load=draw.chance(0.3))
    return scene_of(draw, made, HARMLESS, fitting)


def _half_sine(peak: float, lasts_s: float) -> Callable[[F64], F64]:
    return lambda t: np.asarray(peak * np.sin(math.pi * t / lasts_s))


def _ringing(peak: float, hertz: float, decay_s: float) -> Callable[[F64], F64]:
    return lambda t: np.asarray(peak * np.exp(-t / decay_s) * np.sin(2 * math.pi * hertz * t))
