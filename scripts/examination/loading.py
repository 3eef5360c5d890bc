"""Load shift: the centre of the load moves on its four cells and stays; and loading by hand.

Statics of a rigid body on four cells, as in the virtual box. Harmful is a move of the whole load's centre by
a fifth of half the platform or more, twice the least that is called a shift. The condition is complete when
it has lain there for 2 s in a vehicle that neither brakes nor turns: before, a load that has slid looks like
one that is pressed forward. Who is told within 10 s is told in time: it does not slide back. Adding, taking
and stepping on change the mass, and are loading.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from scripts.examination.backgrounds import Background
from scripts.examination.driving import driven, ordinary
from scripts.examination.ride import Ride, plateau, ramp, ride
from scripts.examination.scene import (
    F64,
    GRAVITY_MPS2,
    HARMLESS,
    MAJOR,
    Draw,
    Scene,
    Truth,
    harmful,
    harmless,
)
from scripts.examination.sensors import Fitting, cradle_for, full_scale_for, load_cells, scene_of

STAYS_S = 2.0
GRACE_S = 10.0


def with_cells(background: Background) -> bool:
    """On any floor, at a rate that shows what moves the cells."""
    return background.quick


def still(background: Background) -> bool:
    """Standing: where loading is done."""
    return background.quick and not background.moving


def _slid(draw: Draw, made: Ride, start_s: float, *, along: bool, calm_s: float = 0.0) -> Scene:
    cradle, across = cradle_for(draw)
    half_m = cradle.half_length_m if along else cradle.half_width_m
    # from where it stands to the other side, so that it never leaves the platform
    before_m = cradle.centre_x_m if along else float(np.mean(across))
    size_m = -math.copysign(draw.between(0.22, 0.45) * half_m, before_m)
    lasts_s = math.exp(draw.between(math.log(0.15), math.log(2.5)))
    path = size_m * ramp(made.time_s, start_s, lasts_s)
    # it is thrown against whatever stops it
    thud, stops_s = draw.between(0.3, 1.5) * GRAVITY_MPS2, 0.02
    direction = np.array([1.0, 0.0, 0.0]) if along else np.array([0.0, 1.0, 0.0])
    made.jolt(lambda x: thud * np.sin(math.pi * x / stops_s), start_s + lasts_s, stops_s, direction)
    if along:
        cells = load_cells(draw, made, cradle, across, moved_x_m=path)
    else:
        cells = load_cells(draw, made, cradle, across + path)
    complete_s = max(start_s + lasts_s, calm_s) + STAYS_S
    truth = Truth("load_shift", MAJOR, start_s, complete_s, complete_s + GRACE_S)
    fitting = Fitting(full_scale_for(draw), extra=[cells])
    drawn: dict[str, float | str] = {
        "moved": abs(size_m) / half_m, "mass_kg": cradle.mass_kg, "lasts_s": lasts_s, "start_s": start_s,
    }  # fmt: skip
    return scene_of(draw, made, truth, fitting, drawn=drawn)


@harmful("load_shift", with_cells)
def slid_on_the_way(draw: Draw) -> Scene:
    """It slides across or along, on the road or because the stack gives way at rest."""
    made = ride(draw, draw.between(50, 70))
    return _slid(draw, made, draw.between(22, 35), along=draw.chance(0.5))


@harmful("load_shift", driven)
def slid_in_braking(draw: Draw) -> Scene:
    """Firm braking of 0.25 to 0.5 g, or a bend, sets it sliding; it stays where it came to."""
    made = ride(draw, draw.between(60, 75))
    start_s = draw.between(32, 40)
    ordinary(draw, made, start_s - 3)
    along = draw.chance(0.6)
    most = draw.between(0.25, 0.5) * GRAVITY_MPS2
    rise_s, hold_s = draw.between(0.3, 0.8), draw.between(1.0, 2.5)
    size = most * plateau(made.time_s, start_s, rise_s, hold_s, 0.5)
    nothing = np.zeros_like(size)
    made.accelerate(-size if along else nothing, nothing if along else size * draw.sign())
    calm_s = start_s + rise_s + hold_s + 0.5
    return _slid(draw, made, start_s + draw.between(0.3, 0.8), along=along, calm_s=calm_s)


def _weighed(draw: Draw, made: Ride, part: F64 | None, across: F64 | float | None = None) -> Scene:
    cradle, usual = cradle_for(draw)
    cells = load_cells(draw, made, cradle, usual if across is None else across, mass_part=part)
    return scene_of(draw, made, HARMLESS, Fitting(full_scale_for(draw), extra=[cells]))


@harmless(still)
def loading_by_hand(draw: Draw) -> Scene:
    """Parcels put on and taken off one by one, each with a knock; the centre goes where they stand."""
    made = ride(draw, draw.between(60, 100))
    t = made.time_s
    part, across = np.full(len(t), draw.between(0.2, 1.0)), np.full(len(t), draw.between(-0.05, 0.05))
    at = draw.between(7, 12)
    while at < made.seconds - 6:
        here = part[-1]
        put = draw.between(0.06, 0.3) if here < 0.8 or draw.chance(0.5) else -draw.between(0.06, 0.3)
        place = draw.between(-0.25, 0.25)
        share = ramp(t, at, draw.between(0.3, 1.2))
        moment = part * across + put * place * share
        part = np.maximum(part + put * share, 0.05)
        across = np.clip(moment / part, -0.3, 0.3)
        knock, lasts_s = draw.between(0.1, 1.0) * GRAVITY_MPS2, draw.between(0.01, 0.04)
        made.jolt(_thud(knock, lasts_s), at + 0.3, lasts_s, np.array([0.0, 0.0, 1.0]))
        at += draw.between(3, 14)
    return _weighed(draw, made, part, across)


@harmless(still)
def stepped_on(draw: Draw) -> Scene:
    """Somebody steps onto the platform, walks over it, and off again; a dog jumps on."""
    made = ride(draw, draw.between(50, 80))
    t = made.time_s
    cradle, usual = cradle_for(draw)
    person = draw.between(0.2, 1.5) * 60 / cradle.mass_kg
    start_s, lasts_s = draw.between(12, 25), draw.between(2, 12)
    share = person * plateau(t, start_s, 0.5, lasts_s, 0.5)
    bounce = 1 + 0.25 * np.sin(2 * math.pi * 1.8 * t)
    walks = draw.between(0.1, 0.3) * np.sin(2 * math.pi * t / (2 * lasts_s) + draw.between(0, 6))
    part = 1 + share * bounce
    across = (usual + share * bounce * walks) / part
    cells = load_cells(draw, made, cradle, across, mass_part=part)
    return scene_of(draw, made, HARMLESS, Fitting(full_scale_for(draw), extra=[cells]))


@harmless(driven)
def firm_but_tied(draw: Draw) -> Scene:
    """A tied load in brisk driving: 0.3 g either way moves what the cells show, and it comes back."""
    made = ride(draw, draw.between(60, 90))
    t, at = made.time_s, made.begins_s + 6
    while at < made.seconds - 8:
        size = (
            draw.sign()
            * draw.between(0.2, 0.33)
            * GRAVITY_MPS2
            * plateau(t, at, 0.8, draw.between(1, 5), 0.8)
        )
        nothing = np.zeros_like(size)
        if draw.chance(0.5):
            made.accelerate(size, nothing)
        else:
            made.accelerate(nothing, size)
        at += draw.between(5, 14)
    return _weighed(draw, made, None)


@harmless(lambda b: b.quick and not b.moving)
def loaded_slope(draw: Draw) -> Scene:
    """Parked with its load on a slope of up to 12°, and off again."""
    made = ride(draw, draw.between(70, 110))
    angle = np.radians(draw.between(5, 12)) * plateau(
        made.time_s, draw.between(12, 20), draw.between(2, 5), draw.between(20, 40), draw.between(2, 5)
    )
    made.lean(angle, draw.between(0, 2 * math.pi))
    return _weighed(draw, made, None)


@harmless(still)
def pushed_box(draw: Draw) -> Scene:
    """A roll cage bumps into it; somebody leans on it for 1 to 2 s, then lets go."""
    made = ride(draw, draw.between(45, 70))
    t = made.time_s
    cradle, usual = cradle_for(draw)
    leans = plateau(t, draw.between(12, 25), 0.4, draw.between(0.2, 1.2), 0.4) * draw.between(0.05, 0.2)
    across = usual + leans * draw.sign() * cradle.half_width_m
    bump, lasts_s = draw.between(0.2, 1.2) * GRAVITY_MPS2, draw.between(0.02, 0.08)
    made.jolt(_thud(bump, lasts_s), draw.between(30, 38), lasts_s, np.array([0.0, 1.0, 0.0]))
    cells = load_cells(draw, made, cradle, across, mass_part=1 + 0.2 * leans)
    return scene_of(draw, made, HARMLESS, Fitting(full_scale_for(draw), extra=[cells]))


def _thud(peak: float, lasts_s: float) -> Callable[[F64], F64]:
    return lambda x: np.asarray(peak * np.sin(math.pi * x / lasts_s))
