"""What the box feels: specific force by the second, from the plan, the road and the springs.

Axes of the box: x forward, y left, z up. Specific force is acceleration less gravity, hence +g along z
at rest and nothing in free fall.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.road import SAMPLE_RATE_HZ, RoadNoise, bump_mps2
from firmware_bridge.virtual.script import (
    IMPACT_S,
    LEG_S,
    SETTLE_S,
    Bump,
    Channel,
    Drop,
    Leg,
    Push,
    Shift,
    Slalom,
)
from firmware_bridge.virtual.streams import GRAVITY_MPS2

BUMP_CROSSING_S = 0.35  # a tyre over a speed bump at walking pace
RELEASE_S = 0.006  # the hand lets go
TUMBLE_MPS2 = (0.15, 0.10, 0.05)  # what a slow tumble leaves to feel in free fall: 0.02 g

# The truck's body leans out of a turn and nods under braking, so that the box feels a little more.
PITCH_RAD_PER_MPS2 = math.radians(3.0) / GRAVITY_MPS2  # usual for trucks: 3 to 5 degrees at 1 g
ROLL_RAD_PER_MPS2 = math.radians(4.0) / GRAVITY_MPS2

# A four-stroke diesel with six cylinders at 640 rpm: one beat a turn, and its three firings.
IDLE_TONES = ((10.7, 0.004), (32.0, 0.010))  # Hz, g
IDLE_AXIS_SHARES = (0.5, 0.7, 1.0)

_CACHED_SECONDS = 40  # the tank's memory and some more


class Motion:
    """The box's specific force, second by second."""

    def __init__(self, seed: int, leg: Callable[[int], Leg], *, road_level: str = "II") -> None:
        """`leg` gives the plan of a leg by its number."""
        self._leg = leg
        self.road = RoadNoise(seed, level=road_level)
        self._bump = bump_mps2(self.road.isolator, crossing_s=BUMP_CROSSING_S)
        self.force_mps2 = functools.lru_cache(maxsize=_CACHED_SECONDS)(self._force)

    def _force(self, second: int) -> NDArray[np.float64]:
        """Specific force in [second, second + 1): (1000, 3), read-only; level rest before the trip."""
        if second < 0:
            rest = np.zeros((SAMPLE_RATE_HZ, 3))
            rest[:, 2] = GRAVITY_MPS2
            return _frozen(rest)
        number, into_leg = divmod(second, LEG_S)
        leg = self._leg(number)
        time_s = into_leg + np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
        driven = [_channel(leg.pushes, channel, time_s) for channel in Channel]
        forward, left, pitch, roll, road, idle = driven
        if leg.slalom is not None:
            left = left + _slalom(leg.slalom, time_s)
        pitch = pitch + PITCH_RAD_PER_MPS2 * forward
        roll = roll + ROLL_RAD_PER_MPS2 * left

        force = np.empty((SAMPLE_RATE_HZ, 3))
        force[:, 0] = forward + GRAVITY_MPS2 * np.sin(pitch)
        force[:, 1] = left + GRAVITY_MPS2 * np.cos(pitch) * np.sin(roll)
        force[:, 2] = GRAVITY_MPS2 * np.cos(pitch) * np.cos(roll)
        if road.any():
            force += road[:, None] * self.road.box_mps2(second)
        if idle.any():
            # Whole seconds from the trip's start keep the phase; floats stay small on long trips.
            for hertz, size_g in IDLE_TONES:
                phase = 2 * math.pi * (math.fmod(hertz * second, 1.0) + hertz * (time_s - into_leg))
                tone = size_g * GRAVITY_MPS2 * idle * np.sin(phase)
                force += tone[:, None] * np.asarray(IDLE_AXIS_SHARES)
        for bump in leg.bumps:
            self._add_bump(force[:, 2], bump, into_leg)
        if leg.drop is not None and leg.drop.start_s < into_leg + 1 and leg.drop.end_s > into_leg:
            _play_drop(force, leg.drop, time_s)
        return _frozen(force)

    def _add_bump(self, vertical: NDArray[np.float64], bump: Bump, into_leg: int) -> None:
        """Add the part of a bump's answer that falls in this second."""
        first = into_leg * SAMPLE_RATE_HZ - round(bump.start_s * SAMPLE_RATE_HZ)
        begin, end = max(first, 0), min(first + SAMPLE_RATE_HZ, self._bump.size)
        if begin < end:
            vertical[begin - first : end - first] += bump.height_m * self._bump[begin:end]


def ramp(time_s: NDArray[np.float64], start_s: float, lasts_s: float) -> NDArray[np.float64]:
    """Half-cosine from 0 to 1 over `lasts_s`."""
    share = np.clip((time_s - start_s) / lasts_s, 0.0, 1.0)
    result: NDArray[np.float64] = 0.5 - 0.5 * np.cos(math.pi * share)
    return result


def slide_share(shift: Shift, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of its way the sliding part of the load has gone, 0 to 1."""
    return ramp(time_s, shift.start_s, shift.end_s - shift.start_s)


def _channel(pushes: tuple[Push, ...], channel: Channel, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(time_s.size)
    for push in pushes:
        if push.channel is channel and push.start_s < time_s[-1] and push.end_s > time_s[0]:
            rise = ramp(time_s, push.start_s, push.edge_s)
            total += push.size * (rise - ramp(time_s, push.end_s - push.edge_s, push.edge_s))
    return total


def _slalom(slalom: Slalom, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    if slalom.start_s >= time_s[-1] or slalom.end_s <= time_s[0]:
        return np.zeros(time_s.size)
    edge_s = 0.5 / slalom.frequency_hz
    envelope = ramp(time_s, slalom.start_s, edge_s) - ramp(time_s, slalom.end_s - edge_s, edge_s)
    phase = 2 * math.pi * slalom.frequency_hz * (time_s - slalom.start_s)
    result: NDArray[np.float64] = slalom.size_mps2 * envelope * np.sin(phase)
    return result


def slalom_mps2(slalom: Slalom, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the box feels to the left in a slalom, the truck's lean included: (n,)."""
    left = _slalom(slalom, time_s)
    return left + GRAVITY_MPS2 * np.sin(ROLL_RAD_PER_MPS2 * left)


def _play_drop(force: NDArray[np.float64], drop: Drop, time_s: NDArray[np.float64]) -> None:
    """Replace the force between the release and the end of the drop, in place."""
    after_release = (time_s >= drop.start_s) & (time_s < drop.end_s)
    held = (1 - ramp(time_s, drop.start_s, RELEASE_S))[:, None]
    falling = held * force + (1 - held) * np.asarray(TUMBLE_MPS2)
    force[after_release] = falling[after_release]
    for start_s, lasts_s, peak_mps2 in (
        (drop.impact_s, IMPACT_S, drop.peak_mps2),
        (drop.rebound_s[1], SETTLE_S, drop.settle_peak_mps2),
    ):
        contact = (time_s >= start_s) & (time_s < start_s + lasts_s)
        force[contact, 2] += peak_mps2 * np.sin(math.pi * (time_s[contact] - start_s) / lasts_s)


def _frozen(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cached arrays are shared: nobody writes into them."""
    array.flags.writeable = False
    return array
