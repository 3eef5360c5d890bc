"""What happens on one leg of the trip, and when: the plan that physics plays and truth is told from.

A leg takes a minute, starts and ends parked and level, and is the same story each time with times and
sizes jittered by the seed. Its first 30 seconds hold the most. Times here count from the leg's start.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from firmware_bridge.virtual.physics_climate import ClimatePlan
from firmware_bridge.virtual.streams import GRAVITY_MPS2

Script = Literal["demo", "road", "none"]
LEG_S = 60

IMPACT_S = 0.050  # contact with a cushioned floor
SETTLE_S = 0.040  # the second, small contact
RESTITUTION = 0.1  # of speed: 0.07 s in the air after a drop of 0.6 m
SLALOM_TURNS = 4  # whole periods
PULL_AWAY_G = 0.045  # a laden truck
_PLAN_TAG = 0x9A7  # keeps this stream of random numbers apart from the trip's others


class Channel(enum.IntEnum):
    """What a push moves. Accelerations in m/s², angles in radians, shares from 0 to 1."""

    FORWARD = 0
    LEFT = 1
    PITCH = 2  # nose up
    ROLL = 3  # left side up
    ROAD = 4  # how much of the road's vibration is felt
    IDLE = 5  # how much of the engine's


@dataclass(frozen=True, slots=True)
class Push:
    """A smooth pulse on one channel: half-cosine edges of `edge_s` inside `start_s` to `end_s`."""

    kind: str  # as the truth names it; empty for what nobody would tell
    channel: Channel
    start_s: float
    end_s: float
    edge_s: float
    size: float

    def reaches(self, fraction: float) -> tuple[float, float]:
        """When the pulse first is at `fraction` of its size, and when it last is."""
        lag_s = self.edge_s * math.acos(1 - 2 * fraction) / math.pi
        return self.start_s + lag_s, self.end_s - lag_s


@dataclass(frozen=True, slots=True)
class Bump:
    """A speed bump under one axle."""

    start_s: float
    height_m: float


@dataclass(frozen=True, slots=True)
class Slalom:
    """Steering from side to side at one frequency, under a half-sine envelope at both ends."""

    start_s: float
    end_s: float
    frequency_hz: float
    size_mps2: float


@dataclass(frozen=True, slots=True)
class Drop:
    """Free fall from rest, an impact, a small rebound, and rest."""

    start_s: float
    height_m: float

    @property
    def fall_s(self) -> float:
        """Duration of the free fall: √(2h/g)."""
        return math.sqrt(2 * self.height_m / GRAVITY_MPS2)

    @property
    def impact_speed_mps(self) -> float:
        """Speed at the floor: √(2gh)."""
        return math.sqrt(2 * self.height_m * GRAVITY_MPS2)

    @property
    def impact_s(self) -> float:
        """When the box meets the floor."""
        return self.start_s + self.fall_s

    @property
    def rebound_s(self) -> tuple[float, float]:
        """From when until when the box is in the air again."""
        leaves_s = self.impact_s + IMPACT_S
        return leaves_s, leaves_s + 2 * RESTITUTION * self.impact_speed_mps / GRAVITY_MPS2

    @property
    def end_s(self) -> float:
        """When the box has come to rest."""
        return self.rebound_s[1] + SETTLE_S

    @property
    def peak_mps2(self) -> float:
        """Peak of the impact's half-sine: its area is the change of speed, and gravity's meanwhile."""
        return _half_sine_peak((1 + RESTITUTION) * self.impact_speed_mps, IMPACT_S)

    @property
    def settle_peak_mps2(self) -> float:
        """Peak of the second contact, after which nothing bounces."""
        return _half_sine_peak(RESTITUTION * self.impact_speed_mps, SETTLE_S)


@dataclass(frozen=True, slots=True)
class Shift:
    """Part of the load slides across the box, to the right (-1) or back to the left (+1)."""

    start_s: float
    end_s: float
    direction: int


@dataclass(frozen=True, slots=True)
class Leg:
    """All that happens on one leg."""

    number: int
    pushes: tuple[Push, ...] = ()
    bumps: tuple[Bump, ...] = ()
    tilt: Push | None = None
    drop: Drop | None = None
    shift: Shift | None = None
    slalom: Slalom | None = None
    climate: ClimatePlan | None = None
    story: tuple[Push, ...] = ()  # the harmless pushes that truth tells of


def plan_leg(seed: int, number: int, script: Script, slosh_hz: float) -> Leg:
    """Plan leg `number` of a trip; `slosh_hz` is the frequency at which the slalom rocks the tank."""
    if script == "none":
        return Leg(number)
    dice = _Dice(np.random.default_rng((seed, _PLAN_TAG, number)))
    return _plan_road(dice, number) if script == "road" else _plan_demo(dice, number, slosh_hz)


class _Dice:
    """Jitter: a figure, give or take."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def about(self, middle: float, spread: float) -> float:
        return float(middle + spread * self._rng.uniform(-1.0, 1.0))

    def tick(self, middle_s: float, spread_s: float) -> float:
        """A moment on a whole millisecond, so that pulses begin on a sample."""
        return round(self.about(middle_s, spread_s), 3)


def _plan_road(dice: _Dice, number: int) -> Leg:
    """Plain driving without harm, parked at both ends."""
    g = GRAVITY_MPS2
    side = 1 if number % 2 == 0 else -1
    at = dice.tick
    pushes = (
        Push("", Channel.ROAD, 2.2, 57.5, 1.0, 1.0),
        Push("", Channel.IDLE, 1.0, 60.0, 0.4, 1.0),
        Push("pull_away", Channel.FORWARD, 2.3, 5.8, 0.8, PULL_AWAY_G * g),
        _push("turn", Channel.LEFT, at(10.0, 1.0), 4.0, edge_s=1.2, size=side * dice.about(0.11, 0.01) * g),
        _push("brake", Channel.FORWARD, at(22.0, 1.0), 2.2, edge_s=0.4, size=-dice.about(0.24, 0.02) * g),
        _push("turn", Channel.LEFT, at(38.0, 1.0), 4.0, edge_s=1.2, size=-side * dice.about(0.11, 0.01) * g),
        _push("brake", Channel.FORWARD, at(55.0, 0.3), 2.4, edge_s=0.5, size=-dice.about(0.18, 0.02) * g),
    )
    bumps = _speed_bump(dice, at(30.0, 1.0))
    return Leg(number, pushes=pushes, bumps=bumps, story=tuple(p for p in pushes if p.kind))


def _plan_demo(dice: _Dice, number: int, slosh_hz: float) -> Leg:
    """A minute with one harm of each kind, between harmless things that look a little like them."""
    g = GRAVITY_MPS2
    side = -1 if number % 2 == 0 else 1  # where the load slides: to the right, then back
    at = dice.tick
    stop = at(7.5, 0.1)
    tilt = Push(
        "tilt", Channel.PITCH, at(10.2, 0.2), at(19.2, 0.1), 0.8,
        math.radians(dice.about(34.5, 0.5)),
    )  # fmt: skip
    drop = Drop(at(21.0, 0.2), dice.about(0.60, 0.04))
    slide_s = at(30.8, 0.2)
    shift = Shift(slide_s, slide_s + 0.4, side)
    slope = Push(
        "slope", Channel.PITCH, at(41.4, 0.2), at(46.4, 0.1), 1.2, math.radians(dice.about(8.0, 0.3))
    )
    slalom_s = at(47.8, 0.2)
    slalom = Slalom(slalom_s, slalom_s + SLALOM_TURNS / slosh_hz, slosh_hz, dice.about(0.078, 0.003) * g)
    pushes = (
        Push("", Channel.ROAD, 2.3, stop + 1.9, 0.9, 1.0),
        Push("", Channel.IDLE, 2.0, 10.0, 0.2, 1.0),
        Push("pull_away", Channel.FORWARD, 2.3, 4.3, 0.6, PULL_AWAY_G * g),
        _push("turn", Channel.LEFT, at(4.0, 0.1), 2.2, edge_s=0.9, size=-side * dice.about(0.11, 0.01) * g),
        Push("brake", Channel.FORWARD, stop, stop + 1.9, 0.35, -dice.about(0.275, 0.02) * g),
        tilt,
        Push("", Channel.ROAD, 24.0, 41.0, 1.0, 1.0),
        Push("", Channel.IDLE, 23.4, 60.0, 0.2, 1.0),
        Push("pull_away", Channel.FORWARD, 24.1, 27.6, 0.6, PULL_AWAY_G * g),
        # The turn that makes the load slide pushes it outwards: a left turn to the right.
        _push("turn", Channel.LEFT, slide_s - 1.2, 2.4, edge_s=0.9, size=-side * dice.about(0.12, 0.01) * g),
        Push("brake", Channel.FORWARD, 39.3, 41.0, 0.5, -0.18 * g),
        slope,
        Push("", Channel.ROAD, 46.5, 57.6, 0.8, 1.0),
        Push("pull_away", Channel.FORWARD, 46.5, 48.0, 0.6, PULL_AWAY_G * g),
        Push("brake", Channel.FORWARD, 55.4, 57.6, 0.6, -dice.about(0.17, 0.02) * g),
    )
    climate = ClimatePlan(
        open_s=at(10.0, 0.2),
        close_s=at(30.0, 0.2),
        dry_s=at(44.0, 0.3),
        yard_degc=dice.about(30.0, 0.5),
        yard_hpa=dice.about(18.2, 0.3),
    )
    story = tuple(p for p in pushes if p.kind and p is not tilt)
    return Leg(number, pushes, _speed_bump(dice, at(6.3, 0.1)), tilt, drop, shift, slalom, climate, story)


def _push(kind: str, channel: Channel, start_s: float, lasts_s: float, *, edge_s: float, size: float) -> Push:
    return Push(kind, channel, start_s, start_s + lasts_s, edge_s, size)


def _speed_bump(dice: _Dice, start_s: float) -> tuple[Bump, ...]:
    """Both axles over a speed bump; the box stands over the rear one and feels the front one less."""
    height_m = dice.about(0.04, 0.004)
    return (Bump(start_s, 0.5 * height_m), Bump(round(start_s + 0.7, 3), height_m))


def _half_sine_peak(speed_mps: float, lasts_s: float) -> float:
    return math.pi / (2 * lasts_s) * (speed_mps + GRAVITY_MPS2 * lasts_s)
