"""Tilt: the gravity vector turned, with whatever the vehicle does on top; and what is no sustained tilt.

Harmful is a lean of 35° and more for 8 s and more: beyond the 30° for 5 s that the box's makers ask for, by
more than an uncalibrated sensor can be wrong. The condition is complete 5 s after the box passes 30°.
"""

from __future__ import annotations

import math

import numpy as np

from scripts.examination.backgrounds import Background
from scripts.examination.ride import Ride, plateau, ramp, ride, smooth_noise
from scripts.examination.scene import F64, GRAVITY_MPS2, HARMLESS, Draw, Scene, Truth, harmful, harmless
from scripts.examination.sensors import Fitting, full_scale_for, scene_of

LEVEL_DEG = 30.0
HOLD_S = 5.0
GRACE_S = 3.0


def any_ground(background: Background) -> bool:
    """Whatever the vehicle: tilt is slow."""
    return True


def standing(background: Background) -> bool:
    """At rest, or with an engine idling, and fast enough to show a hand."""
    return not background.moving and background.quick


def _fitted(draw: Draw) -> Fitting:
    quick = draw.background.quick
    return Fitting(
        full_scale_for(draw), gyro=not draw.background.recorded and draw.chance(0.5),
        load=quick and draw.chance(0.25),
    )  # fmt: skip


def _leaned(draw: Draw, made: Ride, angle_deg: F64, begins_s: float, **drawn: float | str) -> Scene:
    made.lean(np.radians(angle_deg), draw.between(0, 2 * math.pi))
    passed_s = float(made.time_s[int(np.argmax(angle_deg > LEVEL_DEG))])
    complete_s = passed_s + HOLD_S
    truth = Truth("tilt", 3, begins_s, complete_s, complete_s + GRACE_S)
    return scene_of(draw, made, truth, _fitted(draw), drawn={"tilt_deg": float(angle_deg.max()), **drawn})


@harmful("tilt", any_ground)
def leaned_over(draw: Draw) -> Scene:
    """It leans over, quickly or slowly, stays so for a while, and is put right or stays."""
    made = ride(draw, draw.between(55, 75))
    start_s, rise_s = made.begins_s + draw.between(8, 18), math.exp(draw.between(math.log(0.5), math.log(8)))
    angle = draw.between(35, 75) * ramp(made.time_s, start_s, rise_s)
    if draw.chance(0.6):
        back_s = start_s + rise_s + draw.between(8, 18)
        angle *= 1 - ramp(made.time_s, back_s, draw.between(0.5, 3))
    return _leaned(draw, made, angle, start_s, start_s=start_s, rise_s=rise_s)


@harmful("tilt", any_ground)
def toppled(draw: Draw) -> Scene:
    """It topples onto a side or its head, as a rigid body does, with a thud, and stays there."""
    made = ride(draw, draw.between(55, 75))
    start_s, size = made.begins_s + draw.between(8, 20), draw.one_of(90, 90, 90, 180)
    falls_s = draw.between(0.6, 1.2) * (1 if size == 90 else 2)
    # over its edge it goes faster and faster: the cube of time is near an inverted pendulum's exponential
    share = np.clip((made.time_s - start_s) / falls_s, 0, 1) ** 3
    if draw.background.quick:
        landing = draw.rng.standard_normal(3)
        landing /= np.linalg.norm(landing)
        peak, lasts_s = draw.between(2, 12) * GRAVITY_MPS2, draw.between(0.008, 0.03)
        made.jolt(lambda t: peak * np.sin(math.pi * t / lasts_s), start_s + falls_s, lasts_s, landing)
    return _leaned(draw, made, size * share, start_s, start_s=start_s)


@harmful("tilt", any_ground)
def sank_in_stages(draw: Draw) -> Scene:
    """It sinks to one side in two steps: one that may be, one that may not."""
    made = ride(draw, draw.between(60, 75))
    first_s = made.begins_s + draw.between(6, 12)
    second_s = first_s + draw.between(6, 12)
    angle = draw.between(8, 14) * ramp(made.time_s, first_s, draw.between(1, 4))
    angle += draw.between(27, 45) * ramp(made.time_s, second_s, draw.between(1, 6))
    return _leaned(draw, made, angle, first_s, start_s=first_s)


@harmless(standing)
def parking_slope(draw: Draw) -> Scene:
    """Parked on a slope of 12° for minutes, in any direction, people stepping by."""
    made = ride(draw, draw.between(90, 120))
    up_s = draw.between(8, 20)
    angle = np.radians(draw.between(9, 12)) * ramp(made.time_s, up_s, draw.between(2, 6))
    made.lean(angle, draw.between(0, 2 * math.pi))
    return scene_of(draw, made, HARMLESS, _fitted(draw), drawn={"slope_deg": math.degrees(angle.max())})


@harmless(lambda b: b.moving)
def hilly_road(draw: Draw) -> Scene:
    """A road up and down with grades to 12 % and cambers to 4°."""
    made = ride(draw, draw.between(60, 120))
    n = len(made.force)
    grade = math.radians(6.8) * np.tanh(smooth_noise(draw.rng, n, made.rate_hz, 0.05))
    camber = math.radians(4) * np.tanh(smooth_noise(draw.rng, n, made.rate_hz, 0.05))
    share = ramp(made.time_s, made.begins_s, 4)
    made.lean(grade * share, math.pi / 2)
    made.lean(camber * share, 0.0)
    return scene_of(draw, made, HARMLESS, _fitted(draw))


@harmless(any_ground)
def ferry(draw: Draw) -> Scene:
    """On a ferry that rolls 10° in ten seconds and pitches 3°: the deck below the truck moves as one."""
    made = ride(draw, draw.between(60, 120))
    roll_hz, roll = draw.between(0.08, 0.12), math.radians(draw.between(6, 10))
    share = ramp(made.time_s, made.begins_s, 15)
    heading = draw.between(0, 2 * math.pi)
    made.lean(roll * share * np.sin(2 * math.pi * roll_hz * made.time_s), heading)
    pitch = math.radians(draw.between(1, 3)) * share
    made.lean(pitch * np.sin(2 * math.pi * draw.between(0.12, 0.2) * made.time_s + 1), heading + math.pi / 2)
    heave = 0.3 * share * np.sin(2 * math.pi * draw.between(0.1, 0.15) * made.time_s)
    made.force[:, 2] += heave
    return scene_of(draw, made, HARMLESS, _fitted(draw), drawn={"roll_deg": math.degrees(roll)})


@harmless(standing)
def tipped_to_look(draw: Draw) -> Scene:
    """Somebody tips it to 20° to 40° to look under it or to grip it, for less than 3 s, and sets it back."""
    made = ride(draw, draw.between(40, 60))
    size, drawn = draw.between(20, 40), draw.between(0.8, 3.0)
    start_s = draw.between(10, 20)
    rise_s = draw.between(0.4, 0.8)
    hold_s = max(0.0, drawn - rise_s)
    made.lean(np.radians(size) * plateau(made.time_s, start_s, rise_s, hold_s, rise_s), draw.between(0, 6.28))
    if draw.chance(0.5):
        later_s = start_s + draw.between(8, 14)
        again = plateau(made.time_s, later_s, rise_s, hold_s, rise_s)
        made.lean(np.radians(size) * again, draw.between(0, 6.28))
    return scene_of(draw, made, HARMLESS, _fitted(draw), drawn={"tipped_deg": size, "lasts_s": drawn})
