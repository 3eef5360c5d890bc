"""A physical trip for the virtual box: counts of every sensor by the second, and the truth beside them.

A box stands on an air-sprung platform in a truck. In its axes x is forward, y left, z up, and what the
accelerometer feels is specific force: acceleration less gravity, +1 g along z at rest. Every second
can be made by itself, in any order, and depends on the seed alone.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual import physics_climate as climate
from firmware_bridge.virtual.happenings import Happening, leg_happenings
from firmware_bridge.virtual.motion import Motion, slide_share
from firmware_bridge.virtual.physics_load import Cradle, cell_readings_kg, converter_means
from firmware_bridge.virtual.physics_tank import MEMORY_S, PRESSURE_RATE_HZ, TankGauge
from firmware_bridge.virtual.road import SAMPLE_RATE_HZ
from firmware_bridge.virtual.script import LEG_S, Leg, Script, plan_leg
from firmware_bridge.virtual.streams import STREAMS, VirtualStream

__all__ = ["Happening", "Trip"]

# Noise of each sensor, standard deviation of one sample, in the stream's unit.
NOISE = {
    "accel": 0.03,  # 3 mg, a MEMS chip at 1 kHz
    "load": 0.004,  # 4 g
    "pressure": 2.0,
    "temperature": 0.01,
    "humidity": 0.1,
}
_NOISE_TAG = 0x5E5  # keeps this stream of random numbers apart from the trip's others
_CONVERSION_LEAD = 20  # samples of the second before that a load cell's first conversion looks at
_CLIMATE_MEMORY_LEGS = 6  # each leg forgets nine tenths of the air that it began with


class Trip:
    """One trip of the virtual box; see the module's words."""

    def __init__(
        self,
        seed: int = 1,
        *,
        length_s: float | None = None,
        script: Script = "demo",
        road_level: str = "II",
    ) -> None:
        """Plan a trip of `length_s`, rounded up to whole legs, after which the box rests; None: for ever.

        `script` is "demo" (a harm of each kind once a minute), "road" (plain driving) or "none" (at
        rest); `road_level` the ASTM D4169 assurance level "I", "II" or "III". Raises ValueError for a
        seed below zero.
        """
        if seed < 0:
            raise ValueError(f"planning a trip: seed {seed}, expected a whole number from 0 up")
        self.seed = seed
        self.length_s = length_s
        self.road_level = road_level
        self._legs = math.inf if length_s is None else math.ceil(length_s / LEG_S)
        self.script: Script = script
        self.streams: tuple[VirtualStream, ...] = STREAMS
        self.cradle = Cradle()
        self._gauge = TankGauge()
        self.tank = self._gauge.tank
        self._leg = functools.lru_cache(maxsize=16)(self._plan)
        self.motion = Motion(seed, self._leg, road_level=road_level)
        self._tank_force = functools.lru_cache(maxsize=MEMORY_S + 8)(self._tank_force_mps2)
        self._start_air = functools.lru_cache(maxsize=16)(self._air_at_leg_start)

    def __reduce__(self) -> tuple[object, tuple[()]]:
        again = functools.partial(
            Trip, self.seed, length_s=self.length_s, script=self.script, road_level=self.road_level
        )
        return again, ()

    def second(self, k: int) -> dict[str, NDArray[np.int32]]:
        """Counts of every sample in [k, k + 1) s: for each stream (rate_hz, axes) int32.

        Raises ValueError before the trip's start.
        """
        if k < 0:
            raise ValueError(f"playing second {k} of a trip, expected a whole number from 0 up")
        number, into_leg = divmod(k, LEG_S)
        air = climate.air_at(self._leg(number).climate, self._start_air(number), float(into_leg))
        values = {
            "accel": self.motion.force_mps2(k),
            "load": self._load_kg(k),
            "pressure": self._pressure_pa(k)[:, None],
            "temperature": np.array([[air.temperature_degc]]),
            "humidity": np.array([[air.humidity_percent]]),
        }
        rng = np.random.default_rng((self.seed, _NOISE_TAG, k))
        return {stream.name: _counts(stream, values[stream.name], rng) for stream in self.streams}

    def truth(self, until_s: float) -> tuple[Happening, ...]:
        """All that has begun before `until_s`, in order; what is due later cannot be reported yet."""
        legs = range(math.ceil(until_s / LEG_S))
        return tuple(
            happening
            for number in legs
            for happening in leg_happenings(
                self._leg(number), self._start_air(number), self.cradle, self._gauge
            )
            if happening.start_s < until_s
        )

    def truth_json(self, until_s: float) -> str:
        """The truth as one JSON document: seed, script and a list of happenings."""
        happenings = [dataclasses.asdict(happening) for happening in self.truth(until_s)]
        document = {"seed": self.seed, "script": self.script, "until_s": until_s, "happenings": happenings}
        return json.dumps(document, indent=1, ensure_ascii=False)

    def _plan(self, number: int) -> Leg:
        return plan_leg(self.seed, number, self.script if number < self._legs else "none", self.tank.slosh_hz)

    def _air_at_leg_start(self, number: int) -> climate.Air:
        """Air in the box as a leg begins, from as many legs before as can still be felt."""
        air = climate.START_AIR
        for earlier in range(max(0, number - _CLIMATE_MEMORY_LEGS), number):
            air = climate.air_at(self._leg(earlier).climate, air, float(LEG_S))
        return air

    def _load_kg(self, second: int) -> NDArray[np.float64]:
        """What the four cells show in one second: (80, 4) kg."""
        lead = self.motion.force_mps2(second - 1)[-_CONVERSION_LEAD:]
        force = np.concatenate([lead, self.motion.force_mps2(second)])
        centre_y_m = self._centre_y_m(second, force.shape[0])
        readings = cell_readings_kg(self.cradle, force, centre_y_m)
        return converter_means(readings, _CONVERSION_LEAD)

    def _centre_y_m(self, second: int, samples: int) -> NDArray[np.float64]:
        """Where the load's centre is across the box: (samples,), of which the last is the second's end."""
        number, into_leg = divmod(second, LEG_S)
        # From one side to the other, so that each leg begins where the one before it ended.
        shifts = min(number, self._legs) if self.script == "demo" else 0
        start_y_m = self.cradle.shift_m / 2 * (1 if shifts % 2 == 0 else -1)
        shift = self._leg(number).shift
        if shift is None:
            return np.full(samples, start_y_m)
        time_s = into_leg + 1 + np.arange(-samples, 0) / SAMPLE_RATE_HZ
        return start_y_m + shift.direction * self.cradle.shift_m * slide_share(shift, time_s)

    def _tank_force_mps2(self, second: int) -> NDArray[np.float64]:
        """Lateral and vertical specific force as means over each gauge period: (50, 2)."""
        force = self.motion.force_mps2(second)[:, 1:]
        means: NDArray[np.float64] = force.reshape(PRESSURE_RATE_HZ, -1, 2).mean(axis=1)
        return means

    def _pressure_pa(self, second: int) -> NDArray[np.float64]:
        """What the gauge in the tank shows in one second: (50,) Pa."""
        seconds = range(second - MEMORY_S, second + 1)
        force = np.concatenate([self._tank_force(one) for one in seconds])
        return self._gauge.run_pa(force[:, 0], force[:, 1])


def _counts(
    stream: VirtualStream, values: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int32]:
    """Add the sensor's noise, quantise, and clip to what the sensor can say."""
    noisy = values + NOISE[stream.name] * rng.standard_normal(values.shape)
    widest = 2 ** (stream.sample_bits - 1) - 1
    if stream.full_scale is not None:
        widest = min(widest, round(stream.full_scale / stream.scale))
    return np.clip(np.rint(noisy / stream.scale), -widest, widest).astype(np.int32)
