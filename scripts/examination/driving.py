"""Harsh driving, and brisk driving that is not.

A manoeuvre is harsh from 0.45 g on, the strictest brake threshold in use (figures: brake 0.38 to 0.45 g,
corner 0.38 to 0.56 g, at least 100 ms, after a 2 Hz low-pass); these go to 0.5 to 0.8 g. The condition is
complete when the vehicle has been above it for 100 ms. Every such ride first pulls away, turns and brakes in
an ordinary way, so that whoever must learn which way is forward can; what else its recording's driver did,
unmarked and in directions not known for sure, is taken out of the harmful ones. Dry asphalt allows 0.8 g, a
cargo truck 0.6 g; UN R13 asks 0.5 g.
"""

from __future__ import annotations

import math

import numpy as np

from scripts.examination.backgrounds import CALM_LEVEL_MPS2, CALM_LOWPASS_S, Background
from scripts.examination.ride import Ride, plateau, ride
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
from scripts.examination.sensors import Fitting, full_scale_for, scene_of

HARSH_G = 0.45
HOLD_S = 0.1
GRACE_S = 2.0


def driven(background: Background) -> bool:
    """On the road, at 50 Hz or more, and not shaken so that nothing else is felt."""
    return background.moving and background.quick and background.rms_mps2 < 0.4 * GRAVITY_MPS2


def ordinary(draw: Draw, made: Ride, until_s: float) -> None:
    """Pull away, take a turn or two and brake, as everybody does, before `until_s`."""
    t = made.time_s
    nothing = np.zeros_like(t)
    begin = made.begins_s + draw.between(1, 3)
    pulls = draw.between(0.10, 0.2) * GRAVITY_MPS2 * plateau(t, begin, 1.0, draw.between(2, 4), 1.5)
    made.accelerate(pulls, nothing)
    turn_s = begin + draw.between(9, 11)
    left = draw.sign() * draw.between(0.1, 0.25) * GRAVITY_MPS2 * plateau(t, turn_s, 1.2, 1.5, 1.2)
    made.accelerate(nothing, left)
    made.yaw(left, draw.between(6, 11))
    brake_s = turn_s + draw.between(6, 8)
    if brake_s + 5 < until_s:
        brake = draw.between(0.12, 0.25) * GRAVITY_MPS2 * plateau(t, brake_s, 0.8, draw.between(1, 2), 0.4)
        made.accelerate(-brake, nothing)


def _fitted(draw: Draw) -> Fitting:
    return Fitting(
        full_scale_for(draw), gyro=not draw.background.recorded and draw.chance(0.5), load=draw.chance(0.2)
    )


def _due_s(made: Ride, size: F64) -> float:
    return float(made.time_s[int(np.argmax(np.abs(size) > HARSH_G * GRAVITY_MPS2))]) + HOLD_S


def _ridden(draw: Draw) -> tuple[Ride, float]:
    """Draw a ride and when to spoil it, until nothing on it is harsh as it is: sways and turns may add up."""
    while True:
        made = ride(draw, draw.between(45, 65))
        start_s = draw.between(32, 40)
        made.without_manoeuvres()
        ordinary(draw, made, start_s - 3)
        length = max(1, round(CALM_LOWPASS_S * made.rate_hz))
        kernel = np.ones(length) / length
        forward, left = (np.convolve(made.force[:, axis], kernel, "same") for axis in (0, 1))
        if float(np.hypot(forward, left).max()) < CALM_LEVEL_MPS2:
            return made, start_s


def _manoeuvre(draw: Draw, event: str, longest_g: float, rise: tuple[float, float]) -> Scene:
    made, start_s = _ridden(draw)
    peak_g = draw.between(0.52, longest_g)
    rise_s, hold_s = draw.between(*rise), draw.between(0.8, 3.0)
    size = peak_g * GRAVITY_MPS2 * plateau(made.time_s, start_s, rise_s, hold_s, draw.between(0.2, 0.8))
    nothing = np.zeros_like(size)
    if event == "harsh_turn":
        size *= draw.sign()
        made.accelerate(nothing, size, draw.between(2, 5))
        made.yaw(size, draw.between(8, 16))
    else:
        made.accelerate(-size if event == "harsh_brake" else size, nothing, draw.between(2, 5))
    due_s = _due_s(made, size)
    truth = Truth(event, GENERAL, start_s, due_s, due_s + GRACE_S)
    drawn: dict[str, float | str] = {"peak_g": peak_g, "rise_s": rise_s, "hold_s": hold_s, "start_s": start_s}
    return scene_of(draw, made, truth, _fitted(draw), drawn=drawn)


@harmful("harsh_brake", driven)
def emergency_braking(draw: Draw) -> Scene:
    """Braking at 0.52 to 0.8 g for 1 to 3 s, built up in 0.2 to 0.6 s."""
    return _manoeuvre(draw, "harsh_brake", 0.8, (0.2, 0.6))


@harmful("harsh_acceleration", driven)
def racing_start(draw: Draw) -> Scene:
    """Accelerating at 0.52 to 0.7 g, as only a strong electric van does."""
    return _manoeuvre(draw, "harsh_acceleration", 0.7, (0.3, 0.8))


@harmful("harsh_turn", driven)
def evading(draw: Draw) -> Scene:
    """A bend taken at 0.52 to 0.75 g, the gyro turning with it where there is one."""
    return _manoeuvre(draw, "harsh_turn", 0.75, (0.4, 1.0))


@harmless(driven)
def brisk_driving(draw: Draw) -> Scene:
    """Brisk: starts, bends and stops of 0.3 to 0.35 g, one after the other."""
    made = ride(draw, draw.between(60, 90))
    t, at = made.time_s, made.begins_s + 2
    nothing = np.zeros_like(t)
    while at < made.seconds - 8:
        rise_s, hold_s = draw.between(0.6, 1.2), draw.between(0.8, 3)
        size = draw.sign() * draw.between(0.28, 0.35) * GRAVITY_MPS2 * plateau(t, at, rise_s, hold_s, rise_s)
        if draw.chance(0.5):
            made.accelerate(size, nothing)
        else:
            made.accelerate(nothing, size)
            made.yaw(size, draw.between(8, 15))
        at += 2 * rise_s + hold_s + draw.between(1, 6)
    return scene_of(draw, made, HARMLESS, _fitted(draw))


@harmless(driven)
def motorway_braking(draw: Draw) -> Scene:
    """The end of a queue: braking at 0.3 g for 8 s, then standing still, then on."""
    made = ride(draw, draw.between(50, 80))
    size = 0.3 * GRAVITY_MPS2 * plateau(made.time_s, draw.between(12, 20), draw.between(0.5, 1), 8.0, 0.4)
    made.accelerate(-size, np.zeros_like(size))
    return scene_of(draw, made, HARMLESS, _fitted(draw))


@harmless(driven)
def roundabout(draw: Draw) -> Scene:
    """Round and round: 0.25 to 0.33 g sideways for 6 to 14 s, a lean of 4° a g, out the other way."""
    made = ride(draw, draw.between(45, 70))
    t, start_s, lasts_s = made.time_s, draw.between(10, 18), draw.between(6, 14)
    side, size = draw.sign(), draw.between(0.25, 0.33) * GRAVITY_MPS2
    left = side * size * plateau(t, start_s, 1.2, lasts_s, 0.8)
    left -= 0.8 * side * size * plateau(t, start_s + lasts_s + 1.6, 0.8, 0.6, 1.0)
    left -= 0.6 * side * size * plateau(t, start_s - 2.4, 0.9, 0.3, 0.9)
    made.accelerate(np.zeros_like(t), left)
    made.yaw(left, draw.between(6, 10))
    return scene_of(draw, made, HARMLESS, _fitted(draw), drawn={"size_g": size / GRAVITY_MPS2})


@harmless(lambda b: b.moving)
def just_driving(draw: Draw) -> Scene:
    """Nothing at all but the road, two minutes of it."""
    made = ride(draw, 120.0, rest_s=draw.one_of(0.0, 4.0))
    return scene_of(draw, made, HARMLESS, Fitting(full_scale_for(draw), load=draw.chance(0.3)))


@harmless(lambda b: not b.moving)
def just_standing(draw: Draw) -> Scene:
    """Nothing at all: at rest, or an engine idling; a night in the depot."""
    made = ride(draw, 120.0, rest_s=draw.one_of(0.0, 4.0))
    return scene_of(draw, made, HARMLESS, Fitting(full_scale_for(draw), load=draw.chance(0.5)))


@harmless(driven)
def shunting(draw: Draw) -> Scene:
    """Manoeuvring at a ramp: short starts and stops of 0.2 g with jerk, both ways, and a soft dock."""
    made = ride(draw, draw.between(45, 70))
    t, at = made.time_s, made.begins_s + 3
    nothing = np.zeros_like(t)
    while at < made.seconds - 6:
        size = draw.sign() * draw.between(0.1, 0.22) * GRAVITY_MPS2
        made.accelerate(size * plateau(t, at, 0.4, draw.between(0.5, 1.2), 0.3), nothing)
        at += draw.between(2.5, 6)
    docks, lasts_s = draw.between(0.4, 0.9) * GRAVITY_MPS2, draw.between(0.08, 0.2)
    made.jolt(
        lambda x: docks * np.sin(math.pi * x / lasts_s), made.seconds - 5, lasts_s, np.array([1.0, 0.0, 0.0])
    )
    return scene_of(draw, made, HARMLESS, _fitted(draw))
