"""The truth of a trip: what happened, when, and what a sound detector has to say about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from firmware_bridge.virtual import physics_climate as climate
from firmware_bridge.virtual.motion import slalom_mps2
from firmware_bridge.virtual.physics_climate import Air, ClimatePlan, air_at
from firmware_bridge.virtual.physics_load import Cradle
from firmware_bridge.virtual.physics_tank import MEMORY_S, PRESSURE_RATE_HZ, TankGauge
from firmware_bridge.virtual.script import IMPACT_S, LEG_S, Leg, Push
from firmware_bridge.virtual.streams import GRAVITY_MPS2

TILT_LIMIT_DEG = 30.0  # held for ...
TILT_HOLD_S = 5.0
FREE_FALL_S = 0.15  # shorter than this is a hop
LOAD_SETTLED_S = 2.0  # a load that has moved and stays
SWING_LIMIT_PA = 2000.0  # peak to peak within ...
SWING_WINDOW_S = 5.0

WORDS = {
    "pull_away": "the truck pulls away",
    "turn": "an ordinary turn",
    "brake": "firm braking to a stop, nothing harsh",
    "slope": "parked on a slope",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened.

    `expected_event` is the event type that a detector should report, None for what is harmless.
    `due_s` is when the condition is complete at the sensor; a detector's own filter comes on top.
    """

    kind: str
    what: str
    start_s: float
    end_s: float
    expected_event: str | None
    due_s: float
    values: dict[str, float]


def leg_happenings(leg: Leg, start_air: Air, cradle: Cradle, gauge: TankGauge) -> list[Happening]:
    """All that happens on one leg, in order of their starts, in seconds of the trip."""
    offset_s = leg.number * LEG_S
    found = [_harmless(push) for push in leg.story]
    if leg.bumps:
        height_m = max(bump.height_m for bump in leg.bumps)
        first_s, last_s = leg.bumps[0].start_s, leg.bumps[-1].start_s + 1.0
        found.append(Happening("bump", "a speed bump", first_s, last_s, None, last_s, {"height_m": height_m}))
    found += _tilt(leg) + _drop(leg) + _shift(leg, cradle) + _slosh(leg, gauge)
    if leg.climate is not None:
        found += _climate(leg.climate, start_air)
    moved = [
        Happening(
            one.kind,
            one.what,
            round(offset_s + one.start_s, 3),
            round(offset_s + one.end_s, 3),
            one.expected_event,
            round(offset_s + one.due_s, 3),
            {name: round(value, 4) for name, value in one.values.items()},
        )
        for one in found
    ]
    return sorted(moved, key=lambda one: (one.start_s, one.kind))


def _harmless(push: Push) -> Happening:
    if push.kind == "slope":
        values = {"angle_deg": math.degrees(push.size)}
    else:
        values = {"accel_g": abs(push.size) / GRAVITY_MPS2}
    return Happening(push.kind, WORDS[push.kind], push.start_s, push.end_s, None, push.end_s, values)


def _tilt(leg: Leg) -> list[Happening]:
    if leg.tilt is None:
        return []
    angle_deg = math.degrees(leg.tilt.size)
    start_s, end_s = leg.tilt.reaches(TILT_LIMIT_DEG / angle_deg)
    what = f"tipped by a forklift while parked, over {TILT_LIMIT_DEG:.0f}° for more than {TILT_HOLD_S:.0f} s"
    due_s = start_s + TILT_HOLD_S
    return [Happening("tilt", what, start_s, end_s, "tilt", due_s, {"angle_deg": angle_deg})]


def _drop(leg: Leg) -> list[Happening]:
    drop = leg.drop
    if drop is None:
        return []
    values = {
        "height_m": drop.height_m,
        "fall_s": drop.fall_s,
        "impact_speed_mps": drop.impact_speed_mps,
        "peak_g": drop.peak_mps2 / GRAVITY_MPS2,
    }
    # The liquid weighs nothing in the fall and many times its weight in the impact: seen at the gauge
    # as a swing of its own, by the time that the box is at rest.
    return [
        Happening("drop", "dropped while unloading", drop.start_s, drop.end_s, "drop", drop.impact_s, values),
        Happening(
            "surge",
            "the liquid's weight goes and comes back as the box is dropped",
            drop.start_s,
            drop.end_s,
            "pressure",
            drop.impact_s + 2 * IMPACT_S,
            {"height_m": drop.height_m},
        ),
    ]


def _shift(leg: Leg, cradle: Cradle) -> list[Happening]:
    shift = leg.shift
    if shift is None:
        return []
    side = "right" if shift.direction < 0 else "left"
    values = {"moved_mass_kg": cradle.moved_mass_kg, "centre_moved_m": shift.direction * cradle.shift_m}
    what = f"part of the load slides to the {side} in a turn and stays there"
    due_s = shift.end_s + LOAD_SETTLED_S
    return [Happening("load_shift", what, shift.start_s, shift.end_s, "load_shift", due_s, values)]


def _slosh(leg: Leg, gauge: TankGauge) -> list[Happening]:
    slalom = leg.slalom
    if slalom is None:
        return []
    seconds = LEG_S - slalom.start_s
    time_s = slalom.start_s + np.arange(int(seconds * PRESSURE_RATE_HZ)) / PRESSURE_RATE_HZ
    lead = np.zeros(MEMORY_S * PRESSURE_RATE_HZ)
    lateral = np.concatenate([lead, slalom_mps2(slalom, time_s)])
    pressure = gauge.run_pa(lateral, np.full(lateral.size, GRAVITY_MPS2))
    window = int(SWING_WINDOW_S * PRESSURE_RATE_HZ)
    before = np.full(window - 1, pressure[0])
    views = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, pressure]), window)
    swing = np.ptp(views, axis=1)
    over = np.flatnonzero(swing > SWING_LIMIT_PA)
    if over.size == 0:
        return []
    # The swing is over when no window of that length holds it any more, less the window itself.
    end_s = float(time_s[over[-1]]) - SWING_WINDOW_S
    values = {"swing_pa": float(swing.max()), "slosh_hz": slalom.frequency_hz}
    what = "the tank is rocked at its own frequency by swerving"
    due_s = float(time_s[over[0]])
    return [Happening("slosh", what, slalom.start_s, max(end_s, due_s), "pressure", due_s, values)]


def _climate(plan: ClimatePlan, start_air: Air) -> list[Happening]:
    # The chip is read once a second, on the second.
    air = [air_at(plan, start_air, float(second)) for second in range(LEG_S)]
    warm = [second for second, state in enumerate(air) if state.temperature_degc > climate.BAND_HIGH_DEGC]
    moist = [
        second for second, state in enumerate(air) if state.humidity_percent > climate.HUMIDITY_LIMIT_PERCENT
    ]
    found = []
    if warm:
        found.append(
            Happening(
                "temperature",
                "doors open in a warm yard: the air leaves its band of "
                f"{climate.BAND_LOW_DEGC:.0f} to {climate.BAND_HIGH_DEGC:.0f} °C",
                float(warm[0]),
                float(warm[-1] + 1),
                "temperature",
                float(warm[0]),
                {"max_degc": max(state.temperature_degc for state in air)},
            )
        )
    if moist:
        found.append(
            Happening(
                "humidity",
                "moist air of the yard is cooled before the coil can dry it",
                float(moist[0]),
                float(moist[-1] + 1),
                "humidity",
                float(moist[0]),
                {"max_percent": max(state.humidity_percent for state in air)},
            )
        )
    return found
