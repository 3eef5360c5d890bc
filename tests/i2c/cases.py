"""Every chip as the tests sample it: its settings, its model, and how a sample says which one it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.sources.drivers.ads1115 import Ads1115Input, Ads1115Settings
from agent.sources.drivers.adxl345 import Adxl345Settings
from agent.sources.drivers.adxl355 import Adxl355Settings
from agent.sources.drivers.base import ChipSettings
from agent.sources.drivers.bme280 import Bme280Settings, Trim
from agent.sources.drivers.lis3dh import Lis3dhSettings
from agent.sources.drivers.mpu6050 import Mpu6050Settings
from agent.sources.drivers.nau7802 import Nau7802Settings
from agent.sources.drivers.sht4x import Sht4xSettings
from scripts.virtual_pi.chips.ads1115 import Ads1115
from scripts.virtual_pi.chips.adxl345 import Adxl345
from scripts.virtual_pi.chips.adxl355 import Adxl355
from scripts.virtual_pi.chips.base import Chip
from scripts.virtual_pi.chips.bme280 import HUMIDITY_TRIM, Bme280
from scripts.virtual_pi.chips.bme280 import MOVES as BME280_MOVES
from scripts.virtual_pi.chips.lis3dh import Lis3dh
from scripts.virtual_pi.chips.mpu6050 import Mpu6050
from scripts.virtual_pi.chips.nau7802 import Nau7802
from scripts.virtual_pi.chips.sht4x import Sht4x
from tests.i2c.rig import Rig, Sample, Taken

Values = dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Case:
    """One chip. ``number``: which sample of the model these values are; ``wraps``: modulo what, or 0."""

    name: str
    settings: Callable[[float], ChipSettings]
    model: Callable[..., Chip]
    rate_hz: float
    streams: tuple[str, ...]
    number: Callable[[Chip, Values], int]
    kernel_rate_hz: float
    """On the virtual Pi's bus, whose processor is some thirty times slower than a Pi's."""
    kernel_fault_rate_hz: float
    """The same while things fail, when each costs time and is no reason to lose what others have."""
    wraps: int = 0
    triggered: bool = False
    conversion_s: float = 0.0
    moves: bool = True
    """Whether a value that stands still is a fault."""
    has_rails: bool = True
    error_ppm: float = 15_000.0

    def rate_on(self, rig: Rig, *, faults: bool = False) -> float:
        """Return the rate at which this rig's bus can sample it."""
        if rig.simulated:
            return self.rate_hz
        return self.kernel_fault_rate_hz if faults else self.kernel_rate_hz

    def make(self, rig: Rig, *, faults: bool = False) -> tuple[ChipSettings, Chip]:
        """Return settings and a model for this rig."""
        return (
            self.settings(self.rate_on(rig, faults=faults)),
            self.model(now_ns=rig.now_ns, rate_error_ppm=self.error_ppm),
        )


def _counts(stream: str) -> Callable[[Chip, Values], int]:
    return lambda chip, values: chip.number_of([round(v) for v in values[stream]])


def _six(chip: Chip, values: Values) -> int:
    return chip.number_of([round(v) for v in (*values["accel"], *values["gyro"])])


def _sht4x(chip: Chip, values: Values) -> int:
    """Section 4.6 of its data sheet, backwards."""
    words = [(values["temperature"][0] + 45) * 65535 / 175, (values["humidity"][0] + 6) * 65535 / 125]
    return chip.number_of([round(word) for word in words])


_EXAMPLE = Trim(
    (27504, 26435, -1000), (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000), HUMIDITY_TRIM
)
_bme280_numbers: dict[float, int] = {}


def _bme280(chip: Chip, values: Values) -> int:
    if not _bme280_numbers:
        for k in range(BME280_MOVES):
            _, _, pressure = _EXAMPLE.compensate(*chip.signal(k))
            _bme280_numbers[float(np.float32(pressure))] = k
    return _bme280_numbers[values["air_pressure"][0]]


def _ads1115(rate_hz: float) -> ChipSettings:
    return Ads1115Settings(
        rate_hz=rate_hz,
        inputs=(
            Ads1115Input(
                stream="pressure", input="AIN0", unit="Pa", pa_per_v=25_000.0, zero_v=0.5, data_rate=860
            ),
        ),
    )


def _rate(kind: Callable[..., ChipSettings]) -> Callable[[float], ChipSettings]:
    return lambda rate_hz: kind(rate_hz=int(rate_hz) if rate_hz == int(rate_hz) else rate_hz)


CASES = (
    Case("ADXL345", _rate(Adxl345Settings), Adxl345, 400, ("accel",), _counts("accel"), 200, 100),
    Case("ADXL355", _rate(Adxl355Settings), Adxl355, 1000, ("accel",), _counts("accel"), 250, 125),
    Case("LIS3DH", _rate(Lis3dhSettings), Lis3dh, 400, ("accel",), _counts("accel"), 200, 100, moves=False),
    Case("MPU-6050", _rate(Mpu6050Settings), Mpu6050, 500, ("accel", "gyro"), _six, 200, 100),
    Case("NAU7802", _rate(Nau7802Settings), Nau7802, 320, ("load",), _counts("load"), 80, 40),
    Case(
        "ADS1115",
        _ads1115,
        Ads1115,
        100,
        ("pressure",),
        _counts("pressure"),
        50,
        20,
        triggered=True,
        conversion_s=1 / 860,
        moves=False,
    ),
    Case(
        "BME280",
        _rate(Bme280Settings),
        Bme280,
        50,
        ("temperature", "humidity", "air_pressure"),
        _bme280,
        40,
        10,
        wraps=BME280_MOVES,
        triggered=True,
        conversion_s=0.0093,
        has_rails=False,
    ),
    Case(
        "SHT4x",
        _rate(Sht4xSettings),
        Sht4x,
        50,
        ("temperature", "humidity"),
        _sht4x,
        40,
        10,
        triggered=True,
        conversion_s=0.0083,
        has_rails=False,
    ),
)
BY_NAME = {case.name: case for case in CASES}


@dataclass(slots=True)
class Truth:
    """What a run is worth: each sample against the model that made it."""

    numbers: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    """Number in the model minus index: the same for all where every missing one was counted."""
    errors_us: Any = None
    """Time of each sample minus when it was made (free-running) or the middle of its measurement."""
    delays_ms: Any = None
    """From when it was made to when it was handed on."""

    def __str__(self) -> str:
        """Return the figures in a line."""
        e, d = self.errors_us, self.delays_ms
        return (
            f"{len(self.numbers)} samples, offsets {sorted(set(self.offsets))[:6]}, time σ {e.std():.1f} µs, "
            f"bias {e.mean():.1f} µs, worst {abs(e).max():.0f} µs, handed on after p50 "
            f"{np.percentile(d, 50):.2f} ms, p99 {np.percentile(d, 99):.2f} ms"
        )


def truth_of(case: Case, taken: Taken, chip: Chip) -> Truth:
    """Compare what came with what the model made. Raises AssertionError for a value it never made."""
    truth = Truth()
    streams = [taken.samples[name] for name in case.streams]
    # the last of them may not all have come when the test had enough
    whole = min(len(stream) for stream in streams)
    errors_ns: list[int] = []
    delays_ns: list[int] = []
    for together in zip(*(stream[:whole] for stream in streams), strict=True):
        first = together[0]
        assert len({sample.index for sample in together}) == 1, together
        number = case.number(chip, _values(case.streams, together))
        if case.wraps:
            last = truth.numbers[-1] if truth.numbers else -1
            number += (last + case.wraps - number) // case.wraps * case.wraps
        made_ns = chip.time_ns(number)
        middle_ns = made_ns - round(case.conversion_s * 0.5e9)
        truth.numbers.append(number)
        truth.offsets.append(number - first.index)
        errors_ns.append(first.time_ns - middle_ns)
        delays_ns.append(first.handed_ns - made_ns)
    truth.errors_us = np.array(errors_ns) / 1e3
    truth.delays_ms = np.array(delays_ns) / 1e6
    assert all(b > a for a, b in zip(truth.numbers, truth.numbers[1:], strict=False)), "twice, or back"
    return truth


def _values(names: Sequence[str], samples: Sequence[Sample]) -> Values:
    return {name: sample.values for name, sample in zip(names, samples, strict=True)}
