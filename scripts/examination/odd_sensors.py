"""A sensor that lies: saturated, stuck, spiking, drifting. Nothing happens to the cargo: no alarm is due.

What such sensors do: SPI words with a flipped bit give one sample of any value; a broken bond or a brown-out
sticks at a value or at an end of the range for seconds; a warm-up drifts by some 30 mg.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from scripts.examination.backgrounds import Background
from scripts.examination.ride import ride
from scripts.examination.scene import F64, GRAVITY_MPS2, HARMLESS, Draw, Scene, harmless
from scripts.examination.sensors import Fitting, full_scale_for, scene_of


def quick(background: Background) -> bool:
    """50 Hz and more."""
    return background.quick


@harmless(quick)
def spikes(draw: Draw) -> Scene:
    """Single samples of any value, dozens of them, one at a time."""
    made = ride(draw, draw.between(30, 60))
    fitting = Fitting(full_scale_for(draw))
    for _ in range(int(draw.rng.integers(5, 30))):
        at = int(draw.rng.integers(made.index(6.0), len(made.force) - 2))
        axis = int(draw.rng.integers(3))
        value = draw.between(-1, 1) * fitting.full_scale_g * GRAVITY_MPS2
        fitting.tamper.append(_instead(slice(at, at + 1), [axis], value))
    return scene_of(draw, made, HARMLESS, fitting)


@harmless(quick)
def saturated_for_seconds(draw: Draw) -> Scene:
    """One axis, or all, at the end of its range for 0.5 to 8 s, without any motion to explain it."""
    made = ride(draw, draw.between(40, 60))
    fitting = Fitting(full_scale_for(draw))
    start_s, lasts_s = draw.between(10, 25), draw.between(0.5, 8)
    first, last = made.index(start_s), made.index(start_s + lasts_s)
    end = draw.sign() * fitting.full_scale_g * GRAVITY_MPS2 * 1.01
    axes = [0, 1, 2] if draw.chance(0.3) else [int(draw.rng.integers(3))]
    fitting.tamper.append(_instead(slice(first, last), axes, end))
    return scene_of(draw, made, HARMLESS, fitting, drawn={"lasts_s": lasts_s, "axes": float(len(axes))})


@harmless(quick)
def stuck(draw: Draw) -> Scene:
    """It repeats its last value for 0.2 to 10 s, then goes on."""
    made = ride(draw, draw.between(40, 60))
    fitting = Fitting(full_scale_for(draw))
    start_s, lasts_s = draw.between(10, 25), math.exp(draw.between(math.log(0.2), math.log(10)))
    first, last = made.index(start_s), made.index(start_s + lasts_s)
    fitting.tamper.append(_again(slice(first, last)))
    return scene_of(draw, made, HARMLESS, fitting, drawn={"lasts_s": lasts_s})


@harmless(quick)
def gives_zeros(draw: Draw) -> Scene:
    """It gives zeros on all axes for 2 to 20 s: a brown-out, and no fall of 20 m."""
    made = ride(draw, draw.between(40, 60))
    fitting = Fitting(full_scale_for(draw))
    start_s, lasts_s = draw.between(10, 20), draw.between(2, 20)
    when = slice(made.index(start_s), made.index(start_s + lasts_s))
    fitting.tamper.append(_instead(when, [0, 1, 2], 0.0))
    return scene_of(draw, made, HARMLESS, fitting, drawn={"lasts_s": lasts_s})


@harmless(quick)
def warms_up(draw: Draw) -> Scene:
    """Its zero drifts by 20 to 60 mg on every axis as it warms up."""
    made = ride(draw, draw.between(80, 120))
    drift = draw.rng.uniform(-0.06, 0.06, 3) * GRAVITY_MPS2
    made.force += (1 - np.exp(-made.time_s / draw.between(10, 40)))[:, None] * drift
    return scene_of(draw, made, HARMLESS, Fitting(full_scale_for(draw)))


def _instead(when: slice, axes: Sequence[int], value: float) -> Callable[[F64], None]:
    def wrong(felt: F64) -> None:
        felt[when, axes] = value

    return wrong


def _again(when: slice) -> Callable[[F64], None]:
    def wrong(felt: F64) -> None:
        felt[when] = felt[when.start].copy()

    return wrong
