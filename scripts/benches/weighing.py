"""Weighing while driving, against a known mass, beside the plain mean of the same samples.

Each ride is drawn by its seed: mass, road, tilt, resonance, rates, noise, the converter's delay, and errors
of accelerometer and cells as large as their certificates say. The stated uncertainty (k = 2) should hold 95
of 100: of all windows, and of those of any kind of ride.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agent.blocks import NS_PER_S, SiBlock
from agent.features.table import Layout
from agent.features.weighed import DOUBTS, SUMS, WEIGHED, Weighing
from agent.features.weighing import Weigher
from scripts.benches.figures import Figure
from scripts.benches.weighing_road import Ride, blocks

RIDES = 200
LONG_WINDOWS = 10
UP = (0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Certified:
    """What the certificates say: standard uncertainty of the accelerometer, and of the cells' sum."""

    accel_mps2: float | None = None
    load_kg: float = 0.0


NONE = Certified()


@dataclass(slots=True)
class Errors:
    """Relative errors of the weighing and of the plain mean, and whether the stated uncertainty held them."""

    weighed: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)

    def take(self, mass_kg: float, weighing: Weighing, plain_kg: float) -> None:
        """Compare with the truth."""
        error_kg = float(weighing.mass_kg) - mass_kg
        self.weighed.append(error_kg / mass_kg)
        self.plain.append(plain_kg / mass_kg - 1)
        self.held.append(abs(error_kg) <= float(weighing.expanded_uncertainty_kg))

    @property
    def rms_percent(self) -> float:
        """Of the weighing."""
        return _rms_percent(self.weighed)

    @property
    def plain_rms_percent(self) -> float:
        """Of the plain mean."""
        return _rms_percent(self.plain)

    @property
    def coverage_percent(self) -> float:
        """How many of 100 the stated uncertainty held."""
        return 100 * sum(self.held) / len(self.held)


def weigh(ride: Ride, certified: Certified) -> list[tuple[Weighing, float]]:
    """Return each second's weighing, and the plain mean in kg of the same samples."""
    load, accel = blocks(ride)
    weigher = Weigher(UP, accel_uncertainty_mps2=certified.accel_mps2, load_uncertainty_kg=certified.load_kg)
    for block in (load, accel):
        weigher.feed(SiBlock(block.stream, 0, block.times_ns(), block.period_ns, block.values))
    total_kg = load.values.sum(axis=1, dtype=np.float64)
    window = load.times_ns() // NS_PER_S
    found = weigher.advance(ride.seconds * NS_PER_S)
    return [(weighing, float(total_kg[window == k].mean())) for k, weighing in found.items()]


def together(windows: Sequence[Weighing]) -> Weighing:
    """Return windows as one longer window, as the table of features merges them."""
    names = {f"load.{name}": rule for name, rule in WEIGHED.items()}
    table = Layout(names).empty(np.arange(len(windows)))
    for i, one in enumerate(windows):
        table[f"load.{SUMS}"][i], table[f"load.{DOUBTS}"][i] = one.sums, one.doubts
    return Weighing.of(table.whole().part("load")).row(0)


def judge(rides: Iterable[tuple[Ride, Certified]]) -> tuple[Errors, Errors]:
    """Weigh on each of the `rides`; return the errors of windows of 1 s and of 10 s."""
    short, long = Errors(), Errors()
    for ride, certified in rides:
        found = weigh(ride, certified)
        for weighing, plain_kg in found:
            short.take(ride.mass_kg, weighing, plain_kg)
        for i in range(0, len(found) - LONG_WINDOWS + 1, LONG_WINDOWS):
            part = found[i : i + LONG_WINDOWS]
            merged = together([weighing for weighing, _ in part])
            long.take(ride.mass_kg, merged, sum(kg for _, kg in part) / LONG_WINDOWS)
    return short, long


def drawn(seed: int) -> tuple[Ride, Certified]:
    """Draw a ride."""
    rng = np.random.default_rng((seed, 0xD4169))

    def between(low: float, high: float) -> float:
        return float(math.exp(rng.uniform(math.log(low), math.log(high))))

    mass_kg = between(3, 1000)
    accel_mps2 = between(0.0005, 0.01)
    certified = Certified(accel_mps2, load_kg=mass_kg * between(2e-5, 6e-4))
    bias = rng.normal(0, accel_mps2, 3).tolist()
    cells = rng.normal(0, certified.load_kg / 2, 4).tolist()
    ride = Ride(
        seed=seed,
        mass_kg=mass_kg,
        level=str(rng.choice(["I", "II", "III"])),
        tilt_deg=float(rng.uniform(0, 6)),
        tilt_period_s=between(4, 60),
        resonance_hz=between(15, 50),
        damping=between(0.05, 0.4),
        motion_rate_hz=int(rng.choice([200, 250, 400, 500, 800, 1000])),
        motion_noise_mps2=between(0.005, 0.3),
        load_rate_hz=int(rng.choice([80, 100, 160, 320])),
        load_noise_kg=mass_kg * between(1e-5, 1e-3),
        load_delay_s=float(rng.uniform(0, 0.03)),
        accel_bias_mps2=(bias[0], bias[1], bias[2]),
        cell_bias_kg=(cells[0], cells[1], cells[2], cells[3]),
    )
    return ride, certified


def without_bias(seed: int) -> tuple[Ride, Certified]:
    """Draw a ride whose sensors are right, so that only chance is left."""
    ride, _ = drawn(seed)
    still = replace(ride, accel_bias_mps2=(0.0, 0.0, 0.0), cell_bias_kg=(0.0, 0.0, 0.0, 0.0))
    return still, NONE


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    del args
    figures = []
    kinds = (("by certificate", drawn), ("by chance alone", without_bias))
    for kind, draw in kinds:
        for windows, errors, at_most in zip(
            ("1 s", "10 s"), judge(draw(seed) for seed in range(RIDES)), (0.3, 0.2), strict=True
        ):
            peer = f"plain mean of the same samples: {errors.plain_rms_percent:.3g} %"
            name = f"weighing, {kind}, {windows}"
            figures.append(Figure(f"{name}: error, RMS", errors.rms_percent, "%", peer, at_most=at_most))
            held = errors.coverage_percent
            figures.append(
                Figure(f"{name}: held by k = 2", held, "%", f"{len(errors.held)} windows", 90.0, 98.0)
            )
    return figures


def _rms_percent(parts: list[float]) -> float:
    return 100 * float(np.sqrt(np.mean(np.square(parts))))
