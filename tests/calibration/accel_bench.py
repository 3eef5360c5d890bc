"""A simulated accelerometer with hidden errors, in a hand that turns it from rest to rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from calibration.accel_model import gain_of
from calibration.gravity import STANDARD_GRAVITY_MPS2

F64 = npt.NDArray[np.float64]
MG_MPS2 = STANDARD_GRAVITY_MPS2 / 1000


def hidden(rng: np.random.Generator) -> F64:
    """Plausible parameters of a MEMS chip: ±2° between axes, scale ±3 %, bias ±80 mg."""
    return np.concatenate(
        (rng.uniform(-0.035, 0.035, 3), rng.uniform(0.97, 1.03, 3), rng.uniform(-80, 80, 3) * MG_MPS2)
    )


def reading_of(parameters: F64, true_mps2: F64) -> F64:
    reading: F64 = np.linalg.solve(gain_of(parameters), true_mps2.T).T + parameters[6:9]
    return reading


def units(vectors: F64) -> F64:
    out: F64 = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    return out


def all_around(rng: np.random.Generator, count: int, *, apart_deg: float = 18.0) -> F64:
    """Random directions, none too near another."""
    out: list[F64] = []
    while len(out) < count:
        up = units(rng.normal(size=(1, 3)))[0]
        if all(float(up @ other) < np.cos(np.radians(apart_deg)) for other in out):
            out.append(up)
    return np.array(out)


@dataclass
class HeldSensor:
    """Gives what it reads while it is turned and put down; ``resolution_mps2``: the steps it reads in."""

    parameters: F64
    rate_hz: float = 100.0
    noise_mg: float = 1.0
    resolution_mps2: float = 0.0
    seed: int = 0
    rng: np.random.Generator = field(init=False)
    up: F64 = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.up = np.array([0.0, 0.0, 1.0])

    def still(self, seconds: float) -> F64:
        count = round(seconds * self.rate_hz)
        return self._read(np.tile(self.up * STANDARD_GRAVITY_MPS2, (count, 1)))

    def turn(self, up: Sequence[float] | F64, seconds: float = 1.0) -> F64:
        """Turn it so that `up` points up, with the tremor of a hand."""
        goal = units(np.asarray(up, dtype=np.float64)[None])[0]
        t = np.arange(round(seconds * self.rate_hz)) / self.rate_hz
        part = (t / seconds)[:, None]
        path = units((1 - part) * self.up + part * goal + 1e-3 * self.rng.normal(size=3))
        tremor = sum(
            self.rng.normal(size=3) * np.sin(2 * np.pi * f * t + self.rng.uniform(0, 6))[:, None]
            for f in (2, 5, 9)
        )
        self.up = goal
        return self._read(path * STANDARD_GRAVITY_MPS2 + 0.8 * np.sin(np.pi * part) * tremor)

    def session(self, ups: F64, hold_s: float = 2.6) -> F64:
        """A whole recording: two seconds of rest, then each position."""
        parts = [self.still(3.0)]
        for up in ups:
            parts += [self.turn(up), self.still(hold_s)]
        return np.vstack(parts)

    def _read(self, true_mps2: F64) -> F64:
        reading = reading_of(self.parameters, true_mps2)
        reading = reading + self.rng.normal(size=reading.shape) * self.noise_mg * MG_MPS2
        if self.resolution_mps2:
            reading = np.round(reading / self.resolution_mps2) * self.resolution_mps2
        return reading
