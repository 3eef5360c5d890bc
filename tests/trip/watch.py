"""Plain detectors in a few lines each, as anybody would write them, to hold the trip's truth against.

Each takes physical values of a whole trip and gives the moments at which its condition was complete.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.script import Script
from firmware_bridge.virtual.streams import GRAVITY_MPS2, STREAMS
from firmware_bridge.virtual.trip import Trip

Values = NDArray[np.float64]


@functools.lru_cache(maxsize=12)
def played(seed: int, script: Script, seconds: int) -> dict[str, Values]:
    """Physical values of the first `seconds` of a trip, by stream: (n, axes)."""
    trip = Trip(seed, script=script)
    parts = [trip.second(k) for k in range(seconds)]
    return {s.name: np.concatenate([part[s.name] for part in parts]) * s.scale for s in STREAMS}


def events(values: dict[str, Values]) -> dict[str, list[float]]:
    """Moments of every kind of event in a trip."""
    return {
        "tilt": tilts(values["accel"]),
        "drop": drops(values["accel"]),
        "load_shift": load_shifts(values["load"]),
        "pressure": pressure_swings(values["pressure"][:, 0]),
        "temperature": excursions(values["temperature"][:, 0], 8.0, 0.3),
        "humidity": excursions(values["humidity"][:, 0], 75.0, 2.0),
    }


def tilts(accel_mps2: Values) -> list[float]:
    """More than 30° between z and the specific force behind a low-pass of 1 s, for 5 s."""
    force = accel_mps2.reshape(-1, 20, 3).mean(axis=1)
    smooth = np.empty_like(force)
    state = force[0]
    for i, sample in enumerate(force):
        state = state + (sample - state) / 50
        smooth[i] = state
    angle_deg = np.degrees(np.arccos(smooth[:, 2] / np.linalg.norm(smooth, axis=1)))
    return [begin / 50 + 5 for begin, end in _runs(angle_deg > 30.0) if end - begin >= 250]


def falls(accel_mps2: Values) -> list[tuple[float, float]]:
    """Start and duration of every stretch under half a g that is longer than 0.15 s."""
    light = np.linalg.norm(accel_mps2, axis=1) < 0.5 * GRAVITY_MPS2
    return [(begin / 1000, (end - begin) / 1000) for begin, end in _runs(light) if end - begin > 150]


def drops(accel_mps2: Values) -> list[float]:
    """When each fall ends."""
    return [start_s + lasts_s for start_s, lasts_s in falls(accel_mps2)]


def centre_m(load_kg: Values) -> Values:
    """Where the load's centre is across the box: (n,), positive to the left; cells at ±0.45 m."""
    left, right = load_kg[:, [0, 2]].sum(axis=1), load_kg[:, [1, 3]].sum(axis=1)
    centre: Values = 0.45 * (left - right) / np.maximum(left + right, 1.0)
    return centre


def load_shifts(load_kg: Values) -> list[float]:
    """The centre has moved by more than 5 cm and stays for 2 s; then that is where it stands."""
    smooth = centre_m(load_kg).reshape(-1, 20).mean(axis=1)  # a quarter of a second
    stands_m, away, found = smooth[:8].mean(), 0, []
    for i, here_m in enumerate(smooth):
        away = away + 1 if abs(here_m - stands_m) > 0.05 else 0
        if away > 8:
            found.append((i + 1) / 4)
            stands_m, away = here_m, 0
    return found


def swings_pa(pressure_pa: Values) -> Values:
    """Peak to peak within the last 5 s, ten times a second."""
    hops = pressure_pa.reshape(-1, 5)
    low = np.concatenate([np.full(49, hops[0, 0]), hops.min(axis=1)])
    high = np.concatenate([np.full(49, hops[0, 0]), hops.max(axis=1)])
    view = np.lib.stride_tricks.sliding_window_view
    swing: Values = view(high, 50).max(axis=1) - view(low, 50).min(axis=1)
    return swing


def pressure_swings(pressure_pa: Values) -> list[float]:
    """More than 2 kPa within 5 s; over when under 1.4 kPa."""
    return [begin / 10 for begin in _latched(swings_pa(pressure_pa), 2000.0, 1400.0)]


def excursions(values: Values, limit: float, hysteresis: float) -> list[float]:
    """Above the limit; over when under it by the hysteresis."""
    return [float(begin) for begin in _latched(values, limit, limit - hysteresis)]


def _latched(values: Values, on: float, off: float) -> list[int]:
    found, active = [], False
    for i, value in enumerate(values):
        if not active and value > on:
            found.append(i)
        active = value > on or (active and value > off)
    return found


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin and end of every stretch of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
