"""The bench second by second: what the hand did, through the sensors' hidden errors, to counts.

Warmth, creep and hysteresis remember. So the seconds are made one after the other; the same moves at the
same times give the same counts, and the noise of a second depends on the seed alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.calibration_hand import Heat, Timed
from firmware_bridge.virtual.calibration_motion import HandMotion
from firmware_bridge.virtual.calibration_truth import CELLS, Floats, LoadTruth, Truth
from firmware_bridge.virtual.streams import GRAVITY_MPS2, STREAMS, VirtualStream
from firmware_bridge.virtual.trip import NOISE

_NOISE_TAG = 0xBE7C
AIR_LAG_S = 90.0  # of the air behind what it is heated by
THERMOMETER_LAG_S = 4.0
HUMIDITY_PERCENT = 45.0
TANK_PA = 1961.33  # 0.2 m of water, as in the tank of the trip
# What the cells' hysteresis is made of: a stack of springs that slip at these shares of the capacity.
SLIPS = np.array([0.02, 0.06, 0.15, 0.3])


@dataclass(slots=True)
class Warmth:
    """Temperatures in °C: what heats, the air, the thermometer, and the two sensors."""

    goal: float
    air: float
    thermometer: float
    chip: float
    cells: float

    def step(self, truth: Truth, haste: float) -> None:
        """Let one second pass, in which the air gets warm `haste` times as fast as in nature."""
        before = self.air
        self.air = self.goal + (before - self.goal) * math.exp(-haste / AIR_LAG_S)
        mean = (before + self.air) / 2
        for name, lag_s in (
            ("thermometer", THERMOMETER_LAG_S / haste),
            ("chip", truth.accel.errors.lag_s),
            ("cells", truth.load.errors.lag_s),
        ):
            setattr(self, name, mean + (getattr(self, name) - mean) * math.exp(-1 / lag_s))


class Cells:
    """What four cells make of the force on them: creep, hysteresis and a curve that is not quite straight."""

    def __init__(self, truth: LoadTruth) -> None:
        self._truth = truth
        self._crept = np.zeros((len(truth.creep_lags_s), len(CELLS)))  # kg
        self._held = np.zeros((SLIPS.size, len(CELLS)))  # kg

    def show_kg(self, force_kg: Floats) -> Floats:
        """What is shown beside the truth in the next second: (80, 4) kg of (80, 4) kg."""
        truth = self._truth
        share = force_kg / truth.capacity_kg
        curve = 4 * np.array(truth.nonlinearity) * truth.capacity_kg * share * (1 - share)
        return curve + self._creep(force_kg) + self._hysteresis(force_kg)

    def _creep(self, force_kg: Floats) -> Floats:
        before = self._crept
        fade = np.exp(-1 / np.array(self._truth.creep_lags_s))[:, None]
        goal = np.array(self._truth.creep) * force_kg.mean(axis=0)
        self._crept = goal + (before - goal) * fade
        into = np.linspace(0.0, 1.0, force_kg.shape[0], endpoint=False)[:, None]
        crept: Floats = before.sum(axis=0) * (1 - into) + self._crept.sum(axis=0) * into
        return crept

    def _hysteresis(self, force_kg: Floats) -> Floats:
        """Play operators (Prandtl and Ishlinskii): each holds back until the force has gone its way."""
        slip = SLIPS[:, None] * self._truth.capacity_kg
        steady = np.ptp(force_kg, axis=0).max() < 1e-9
        steps = force_kg[:1] if steady else force_kg
        held = np.empty((steps.shape[0], len(CELLS)))
        for i, force in enumerate(steps):
            self._held = np.clip(self._held, force - slip, force + slip)
            held[i] = ((force - self._held) / slip).mean(axis=0)  # -1 on the way down, 1 on the way up
        widest = np.array(self._truth.hysteresis) * self._truth.capacity_kg
        shown: Floats = -widest / 2 * np.broadcast_to(held, force_kg.shape)
        return shown


class World:
    """What happens on the bench, one second after the other."""

    def __init__(
        self, seed: int, truth: Truth, *, gravity_mps2: float = GRAVITY_MPS2, haste: float = 1.0
    ) -> None:
        self._seed = seed
        self._truth = truth
        self._haste = haste
        self._motion = HandMotion(seed, truth.load, gravity_mps2)
        self._cells = Cells(truth.load)
        self._heats: list[tuple[float, float]] = []
        start = truth.accel.errors.reference_degc
        self.warmth = Warmth(start, start, start, start, start)
        self.next_second = 0

    def add(self, timed: Timed) -> None:
        """Take one more move; in order, and none before the next second."""
        if timed.begin_s < self.next_second:
            raise ValueError(f"moving what is on the bench: {timed}, expected {self.next_second} s or later")
        if isinstance(timed.move, Heat):
            self._heats.append((timed.begin_s, timed.move.temperature_degc))
        else:
            self._motion.add(timed.begin_s, timed.move)

    def step(self, wanted: tuple[VirtualStream, ...] = STREAMS) -> dict[str, NDArray[np.int32]]:
        """Let one second pass; return the counts of the `wanted` streams: (rate_hz, axes) each."""
        k = self.next_second
        self.next_second += 1
        before = self._rates()
        while self._heats and self._heats[0][0] < self.next_second:
            self.warmth.goal = self._heats.pop(0)[1]
        self.warmth.step(self._truth, self._haste)
        after = self._rates()
        counts = {}
        for stream in wanted:
            time_s = k + np.arange(stream.rate_hz) / stream.rate_hz
            into = (time_s - k)[:, None]
            values = self._values(stream.name, time_s, before, after, into)
            rng = np.random.default_rng((self._seed, _NOISE_TAG, STREAMS.index(stream), k))
            values = values + self._noise(stream.name) * rng.standard_normal(values.shape)
            counts[stream.name] = _counts(stream, values)
        return counts

    def _rates(self) -> dict[str, tuple[float, float]]:
        """How much warmer each sensor is than at its reference, and how fast it becomes so."""
        air = self.warmth.air
        accel, load = self._truth.accel.errors, self._truth.load.errors
        chip, cells = self.warmth.chip, self.warmth.cells
        return {
            "accel": (chip - accel.reference_degc, (air - chip) / accel.lag_s),
            "load": (cells - load.reference_degc, (air - cells) / load.lag_s),
        }

    def _values(
        self,
        name: str,
        time_s: Floats,
        before: dict[str, tuple[float, float]],
        after: dict[str, tuple[float, float]],
        into: Floats,
    ) -> Floats:
        match name:
            case "accel":
                mount = np.array(self._truth.accel.mount)
                errors = self._truth.accel.errors
                force = self._motion.force_mps2(time_s) @ mount  # the chip's axes: mountᵀ · force
            case "load":
                errors = self._truth.load.errors
                force = self._motion.load_kg(time_s)
                force = force + self._cells.show_kg(force)
            case "pressure":
                return np.full((time_s.size, 1), TANK_PA)
            case "temperature":
                return np.full((time_s.size, 1), self.warmth.thermometer)
            case _:
                return np.full((time_s.size, 1), HUMIDITY_PERCENT)
        drift_before, drift_after = errors.drift(*before[name]), errors.drift(*after[name])
        shown: Floats = (
            force @ np.linalg.inv(np.array(errors.gain)).T + drift_before * (1 - into) + drift_after * into
        )
        return shown

    def _noise(self, name: str) -> float:
        match name:
            case "accel":
                return self._truth.accel.errors.noise
            case "load":
                return self._truth.load.errors.noise
        return NOISE[name]


def _counts(stream: VirtualStream, values: Floats) -> NDArray[np.int32]:
    """Quantise, and clip to what the sensor can say."""
    widest = 2 ** (stream.sample_bits - 1) - 1
    if stream.full_scale is not None:
        widest = min(widest, round(stream.full_scale / stream.scale))
    return np.clip(np.rint(values / stream.scale), -widest, widest).astype(np.int32)
