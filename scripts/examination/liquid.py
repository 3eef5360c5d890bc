"""Liquid in a tank: slosh over the freeboard, and pressure that swings; and what stays inside.

The truth is the surface by linear theory (Dodge 2000, chapter 1; Abramson, NASA SP-106): a straight surface
that follows the specific force, of which the first wave, 8/π² of it, answers as an oscillator. It is reckoned
from what the tank truly feels, the background too. The freeboard is then chosen so that the harm goes to 1.3
to 1.8 times it, and what came before reaches 0.6 of it at the most; the harmless stay below 0.75. The
condition is complete when the surface first passes the freeboard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.examination.backgrounds import Background
from scripts.examination.driving import driven, ordinary
from scripts.examination.ride import Ride, plateau, ride
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
from scripts.examination.sensors import Fitting, any_square, full_scale_for, scene_of

Pushed = tuple[Ride, float]

FIRST_SHARE = 8 / math.pi**2
GRACE_S = 2.0
STEP_HZ = 50


def smooth_road(background: Background) -> bool:
    """On the road at 50 Hz and more, with little of its own at a wave's frequency."""
    return driven(background) and background.rms_mps2 < 0.2 * GRAVITY_MPS2


def gentle(background: Background) -> bool:
    """Smooth, or at rest."""
    return background.quick and background.rms_mps2 < 0.2 * GRAVITY_MPS2


@dataclass(frozen=True, slots=True)
class Tank:
    """A rectangular tank, its length along the vehicle."""

    length_m: float
    width_m: float
    fill_m: float
    damping: float

    def wave_hz(self, side_m: float) -> float:
        """First natural frequency along a side: f² = (πg/L)·tanh(πh/L)/(4π²)."""
        k = math.pi / side_m
        return math.sqrt(k * GRAVITY_MPS2 * math.tanh(k * self.fill_m)) / (2 * math.pi)

    def rise_m(self, made: Ride) -> F64:
        """How far the surface stands above its rest at the walls, at 50 Hz: (m,)."""
        at = np.arange(math.floor(made.seconds * STEP_HZ)) / STEP_HZ
        smooth = max(1, round(made.rate_hz / STEP_HZ))
        kernel = np.ones(smooth) / smooth
        rises = np.zeros(len(at))
        down = np.interp(at, made.time_s, np.convolve(made.force[:, 2], kernel, "same"))
        down = np.convolve(
            np.pad(down, STEP_HZ // 2, mode="edge"), np.ones(STEP_HZ + 1) / (STEP_HZ + 1), "valid"
        )
        for axis, side_m in ((0, self.length_m), (1, self.width_m)):
            push = np.interp(at, made.time_s, np.convolve(made.force[:, axis], kernel, "same"))
            slope = push / np.clip(down, 0.5 * GRAVITY_MPS2, 1.5 * GRAVITY_MPS2)
            wave = _oscillator(slope, self.wave_hz(side_m), self.damping)
            rises += np.abs(side_m / 2 * (slope + FIRST_SHARE * (wave - slope)))
        return rises


def _oscillator(push: F64, natural_hz: float, damping: float) -> F64:
    """Answer of x'' + 2ζω x' + ω² x = ω² push at 50 Hz, by its impulse response (padded: no wrap)."""
    size = 1 << math.ceil(math.log2(2 * len(push)))
    omega = 2 * math.pi * natural_hz
    damped = omega * math.sqrt(1 - damping**2)
    t = (np.arange(size // 2) + 0.5) / STEP_HZ
    response = omega**2 / damped * np.exp(-damping * omega * t) * np.sin(damped * t) / STEP_HZ
    out = np.fft.irfft(np.fft.rfft(push - push[0], size) * np.fft.rfft(response, size), size)
    return np.asarray(out[: len(push)] + push[0])


def drawn_tank(draw: Draw) -> Tank:
    """Draw one: from a barrel to an IBC and a small road tank."""
    length_m = math.exp(draw.between(math.log(0.4), math.log(2.0)))
    return Tank(
        length_m,
        length_m * draw.between(0.5, 1.0),
        length_m * draw.between(0.25, 0.7),
        draw.between(0.01, 0.04),
    )


def _contained(draw: Draw, made: Ride, tank: Tank, freeboard_m: float, truth: Truth, **drawn: float) -> Scene:
    square = any_square(draw)
    along = square @ np.array([1.0, 0.0, 0.0])
    axis = "xyz"[int(np.argmax(np.abs(along)))]
    settings = (
        f"[detect.slosh]\nlength_m = {tank.length_m:.4f}\nwidth_m = {tank.width_m:.4f}\n"
        f'fill_m = {tank.fill_m:.4f}\nfreeboard_m = {freeboard_m:.4f}\nlength_axis = "{axis}"\n'
    )
    if draw.chance(0.5):
        settings += f"damping = {tank.damping:.4f}\n"
    fitting = Fitting(full_scale_for(draw), square=square)
    return scene_of(
        draw, made, truth, fitting, settings=settings,
        drawn={"length_m": tank.length_m, "freeboard_m": freeboard_m, **drawn},
    )  # fmt: skip


def _spilled(draw: Draw, push: Callable[[Draw, Tank], Pushed]) -> Scene:
    """Draw until the harm stands out of what the road itself does to this tank by as much as was promised."""
    beyond = draw.between(1.3, 1.8)
    while True:
        tank = drawn_tank(draw)
        made, start_s = push(draw, tank)
        rise = tank.rise_m(made)
        peak_m = float(rise[int(start_s * STEP_HZ) :].max())
        if float(rise[: int(start_s * STEP_HZ)].max()) <= 0.6 * peak_m / beyond:
            break
    freeboard_m = peak_m / beyond
    passed = np.flatnonzero((rise > freeboard_m) & (np.arange(len(rise)) >= start_s * STEP_HZ))
    complete_s = float(passed[0]) / STEP_HZ if len(passed) else start_s
    truth = Truth("slosh", MAJOR, start_s, complete_s, complete_s + GRACE_S)
    return _contained(draw, made, tank, freeboard_m, truth, beyond=beyond, start_s=start_s)


@harmful("slosh", smooth_road)
def surged_in_braking(draw: Draw) -> Scene:
    """Braking or a bend of 0.45 to 0.7 g throws the liquid up a wall, beyond the freeboard."""
    return _spilled(draw, _surge)


@harmful("slosh", smooth_road)
def kept_time_with_the_wave(draw: Draw) -> Scene:
    """Gentle swerves that keep time with the wave for 6 to 15 periods, until it goes over."""
    return _spilled(draw, _swerves)


def _surge(draw: Draw, tank: Tank) -> Pushed:
    del tank
    made = ride(draw, draw.between(45, 60))
    start_s = draw.between(30, 36)
    ordinary(draw, made, start_s - 3)
    most = draw.between(0.45, 0.7) * GRAVITY_MPS2
    size = most * plateau(made.time_s, start_s, draw.between(0.2, 0.5), draw.between(1.0, 3.0), 0.5)
    along = draw.chance(0.6)
    nothing = np.zeros_like(size)
    made.accelerate(-size if along else nothing, nothing if along else size * draw.sign())
    return made, start_s


def _swerves(draw: Draw, tank: Tank) -> Pushed:
    made = ride(draw, draw.between(60, 75))
    start_s = draw.between(22, 28)
    ordinary(draw, made, start_s - 3)
    along = draw.chance(0.4)
    hertz = tank.wave_hz(tank.length_m if along else tank.width_m) * draw.between(0.97, 1.03)
    lasts_s = draw.between(6, 15) / hertz
    size = (
        draw.between(0.1, 0.22) * GRAVITY_MPS2 * plateau(made.time_s, start_s, 1 / hertz, lasts_s, 1 / hertz)
    )
    size *= np.sin(2 * math.pi * hertz * (made.time_s - start_s))
    nothing = np.zeros_like(size)
    made.accelerate(size if along else nothing, nothing if along else size, 1.0)
    return made, start_s


@harmless(gentle)
def stays_in_the_tank(draw: Draw) -> Scene:
    """Driving with a tank whose surface never takes more than three quarters of its freeboard."""
    tank = drawn_tank(draw)
    made = ride(draw, draw.between(50, 80))
    if draw.background.moving:
        ordinary(draw, made, made.seconds)
        for _ in range(int(draw.rng.integers(1, 4))):
            at = draw.between(30, made.seconds - 8)
            size = (
                draw.sign() * draw.between(0.15, 0.3) * GRAVITY_MPS2 * plateau(made.time_s, at, 0.8, 1.5, 0.8)
            )
            made.accelerate(size, np.zeros_like(size))
    freeboard_m = max(float(tank.rise_m(made).max()) / draw.between(0.5, 0.75), 0.1 * tank.length_m)
    return _contained(draw, made, tank, freeboard_m, HARMLESS)
