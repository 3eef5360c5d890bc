"""BME280, temperature, humidity and air pressure: Bosch Sensortec BST-BME280-DS002, revision 1.6.

Registers: table 18. Trimming words: table 16. Compensation: the formulas in double precision of appendix A
(8.1). Longest measuring time: 9.1. Reset and start-up time: table 1 and 5.4.2. What a skipped measurement
reads: tables 20, 23 and 24. The worked example of the very same formulas is in the data sheet of the BMP280,
BST-BMP280-DS001, section 3.12; like that, and unlike the listing, t_fine keeps its fraction here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np

from agent.blocks import FaultKind
from agent.errors import ConfigError
from agent.sources.drivers.base import (
    SLOWEST_HZ,
    BusCost,
    ChipError,
    ChipSettings,
    ChipStream,
    Counts,
    NotReady,
    Place,
    StreamName,
    Triggered,
    expect,
    read_cost,
    set_and_check,
    write_cost,
    wrong_chip,
)
from agent.streams import StreamClass, StreamSpec, Unit

TRIM_1 = 0x88  # dig_T1 to dig_P9, one reserved byte, dig_H1
TRIM_1_BYTES = 26
CHIP_ID = 0xD0
RESET = 0xE0
TRIM_2 = 0xE1  # dig_H2 to dig_H6
TRIM_2_BYTES = 7
CTRL_HUM = 0xF2
STATUS = 0xF3
CTRL_MEAS = 0xF4
CONFIG = 0xF5

BME280_ID = 0x60
RESET_WORD = 0xB6
FORCED = 0x01  # of CTRL_MEAS: one measurement, then sleep
MEASURING = 0x08  # of STATUS
COPYING_TRIM = 0x01
OSRS_H = 0x07
CONFIG_BITS = 0xFD  # bit 1 is reserved
NEIGHBOURS = {
    0x50: "a BMP388: no humidity",
    0x55: "a BMP180: no humidity",
    0x56: "a BMP280: no humidity",
    0x57: "a BMP280: no humidity",
    0x58: "a BMP280: no humidity",
    0x60: "a BME280",
    0x61: "a BME680 or BME688",
}
OVERSAMPLING_CODES = {1: 1, 2: 2, 4: 3, 8: 4, 16: 5}  # tables 20, 23 and 24

STARTUP_S = 0.002  # table 1
STARTUPS = 10
NOT_MEASURED = (0x80000, 0x80000, 0x8000)  # temperature, pressure, humidity as after a reset
HIGHEST_20 = 0xFFFF0  # at oversampling × 1 the last four bits are 0
HIGHEST_16 = 0xFFFF
STILL_SAMPLES = 300  # the noise is above a count of each (tables 2 to 4): this long nothing stands still
SAMPLE_BITS = 16

Oversampling = Literal[1, 2, 4, 8, 16]


class Bme280Settings(ChipSettings, frozen=True, kw_only=True, tag="BME280"):
    """``temperature``, ``humidity``, ``air_pressure``: the streams' names.

    The three ``…_oversampling``: how many measurements make one value; more are quieter and take longer.
    """

    address: Annotated[int, msgspec.Meta(ge=0x76, le=0x77)] = 0x76
    rate_hz: Annotated[float, msgspec.Meta(ge=SLOWEST_HZ, le=100)] = 1.0
    temperature: StreamName = "temperature"
    humidity: StreamName = "humidity"
    air_pressure: StreamName = "air_pressure"
    temperature_oversampling: Oversampling = 1
    humidity_oversampling: Oversampling = 1
    pressure_oversampling: Oversampling = 1

    def make(self) -> Bme280:
        """Return the driver. Raises ConfigError."""
        names = (self.temperature, self.humidity, self.air_pressure)
        if len(set(names)) < len(names):
            raise ConfigError(
                "setting up the BME280",
                got=f"the streams {', '.join(names)}",
                expected="three names",
                remedy="Give each of temperature, humidity and air_pressure another name.",
            )
        driver = Bme280(self)
        longest_s = driver.conversion_s(0)
        if longest_s * self.rate_hz > 1:
            raise ConfigError(
                "setting up the BME280",
                got=f"rate_hz = {self.rate_hz:g}, and {longest_s * 1000:.1f} ms a measurement",
                expected=f"at most {1 / longest_s:.4g} a second",
                remedy="Lower rate_hz or the oversampling.",
            )
        return driver


@dataclass(frozen=True, slots=True)
class Trim:
    """The words that the factory has measured for this very chip: table 16."""

    t: tuple[int, ...]
    """dig_T1 to dig_T3."""
    p: tuple[int, ...]
    """dig_P1 to dig_P9."""
    h: tuple[int, ...]
    """dig_H1 to dig_H6."""

    @classmethod
    def parse(cls, first: bytes, second: bytes) -> Trim:
        """Read the words from 26 bytes at 0x88 and 7 bytes at 0xE1."""
        words = struct.unpack("<HhhHhhhhhhhh", first[:24])
        h2, h3, high_4, shared, high_5, h6 = struct.unpack("<hBbBbb", second)
        h4 = high_4 << 4 | shared & 0x0F
        h5 = high_5 << 4 | shared >> 4
        return cls(words[:3], words[3:], (first[25], h2, h3, h4, h5, h6))

    def temperature_fine(self, adc_t: int) -> float:
        """Return the temperature in 1/5120 degC, from which the others are reckoned: 8.1."""
        t1, t2, t3 = self.t
        var1 = (adc_t / 16384.0 - t1 / 1024.0) * t2
        var2 = (adc_t / 131072.0 - t1 / 8192.0) ** 2 * t3
        return var1 + var2

    def pressure_pa(self, adc_p: int, fine: float) -> float:
        """Return the pressure: 8.1. `fine`: of `temperature_fine`."""
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self.p
        var1 = fine / 2.0 - 64000.0
        var2 = var1 * var1 * p6 / 32768.0
        var2 = var2 + var1 * p5 * 2.0
        var2 = var2 / 4.0 + p4 * 65536.0
        var1 = (p3 * var1 * var1 / 524288.0 + p2 * var1) / 524288.0
        var1 = (1.0 + var1 / 32768.0) * p1
        if var1 == 0.0:
            return 0.0
        pressure = 1048576.0 - adc_p
        pressure = (pressure - var2 / 4096.0) * 6250.0 / var1
        var1 = p9 * pressure * pressure / 2147483648.0
        var2 = pressure * p8 / 32768.0
        return pressure + (var1 + var2 + p7) / 16.0

    def humidity_percent(self, adc_h: int, fine: float) -> float:
        """Return the relative humidity, within 0 to 100: 8.1."""
        h1, h2, h3, h4, h5, h6 = self.h
        var = fine - 76800.0
        var = (adc_h - (h4 * 64.0 + h5 / 16384.0 * var)) * (
            h2 / 65536.0 * (1.0 + h6 / 67108864.0 * var * (1.0 + h3 / 67108864.0 * var))
        )
        var = var * (1.0 - h1 * var / 524288.0)
        return min(max(var, 0.0), 100.0)

    def compensate(self, adc_t: int, adc_p: int, adc_h: int) -> tuple[float, float, float]:
        """Return degC, percent, Pa."""
        fine = self.temperature_fine(adc_t)
        return fine / 5120.0, self.humidity_percent(adc_h, fine), self.pressure_pa(adc_p, fine)


class Bme280(Triggered):
    """The chip in forced mode: it sleeps between the measurements, and no filter delays them."""

    chip: ClassVar[str] = "BME280"
    addresses: ClassVar[tuple[int, ...]] = (0x76, 0x77)

    def __init__(self, settings: Bme280Settings) -> None:
        self.rate_hz = settings.rate_hz
        still_s = STILL_SAMPLES * max(1.0, 1.0 / settings.rate_hz)

        def stream(name: str, axis: str, unit: Unit, still_s: float | None) -> ChipStream:
            spec = StreamSpec(
                name=name,
                axes=(axis,),
                unit=unit,
                rate_hz=settings.rate_hz,
                sample_bits=SAMPLE_BITS,
                kind=StreamClass.CLIMATE,
            )
            return ChipStream(spec, still_s=still_s)

        self.streams = (
            stream(settings.temperature, "t", Unit.DEGC, still_s),
            stream(settings.humidity, "h", Unit.PERCENT, None),  # dew holds it at 100
            stream(settings.air_pressure, "p", Unit.PA, still_s),
        )
        self.conversions = ((0, 1, 2),)
        self._times = (
            settings.temperature_oversampling,
            settings.pressure_oversampling,
            settings.humidity_oversampling,
        )
        t, p, h = (OVERSAMPLING_CODES[times] for times in self._times)
        self._ctrl_meas = t << 5 | p << 2
        self._ctrl_hum = h
        self._trim: Trim | None = None

    @classmethod
    def identify(cls, place: Place) -> None:
        """Raise `ChipError` unless the identity is a BME280's; its relatives are named."""
        found = place.read_registers(CHIP_ID)[0]
        if found != BME280_ID:
            name = NEIGHBOURS.get(found)
            raise wrong_chip(
                f"reading the identity (register 0x{CHIP_ID:02X})",
                got=f"0x{found:02X}" + (f", {name}" if name else ""),
                expected=f"0x{BME280_ID:02X} (BME280)",
            )

    def set_up(self, place: Place) -> Iterator[float]:
        """Reset, read the trimming words twice, set the oversampling; the filter stays off."""
        self._trim = None
        place.write_register(RESET, RESET_WORD)
        for _ in range(STARTUPS):
            yield STARTUP_S
            if not place.read_registers(STATUS)[0] & COPYING_TRIM:
                break
        else:
            raise ChipError(
                FaultKind.SILENT,
                "resetting it",
                got=f"not awake after {STARTUPS * STARTUP_S * 1000:.0f} ms",
                expected="awake after 2 ms",
            )
        self._trim = _read_trim(place)
        set_and_check(place, CONFIG, 0, CONFIG_BITS)
        # CTRL_HUM takes effect with the next writing of CTRL_MEAS (5.4.3)
        set_and_check(place, CTRL_HUM, self._ctrl_hum, OSRS_H)
        set_and_check(place, CTRL_MEAS, self._ctrl_meas)

    def check(self, place: Place) -> None:
        """Read the settings again, in one transaction."""
        ctrl_hum, _, ctrl_meas, config = place.read_registers(CTRL_HUM, 4)
        expect(CTRL_HUM, ctrl_hum & OSRS_H, self._ctrl_hum)
        expect(CTRL_MEAS, ctrl_meas & ~FORCED, self._ctrl_meas)
        expect(CONFIG, config & CONFIG_BITS, 0)

    @property
    def check_cost(self) -> BusCost:
        """What `check` costs."""
        return read_cost(4)

    def start(self, place: Place, conversion: int) -> None:
        """Begin one measurement."""
        place.write_register(CTRL_MEAS, self._ctrl_meas | FORCED)

    def conversion_s(self, conversion: int) -> float:
        """Longest time that it takes: 9.1."""
        t, p, h = self._times
        return (1.25 + 2.3 * t + (2.3 * p + 0.575) + (2.3 * h + 0.575)) / 1000

    def collect(self, place: Place, conversion: int) -> tuple[Counts, ...]:
        """Fetch the status, the settings and all values at once; degC, percent, Pa: each (1, 1) float32."""
        if self._trim is None:
            raise RuntimeError("collect before set_up")
        status, ctrl_meas, _, _, *data = place.read_registers(STATUS, 12)
        expect(CTRL_MEAS, ctrl_meas & ~FORCED, self._ctrl_meas)
        if status & MEASURING or ctrl_meas & FORCED:
            raise NotReady
        adc_p = data[0] << 12 | data[1] << 4 | data[2] >> 4
        adc_t = data[3] << 12 | data[4] << 4 | data[5] >> 4
        adc_h = data[6] << 8 | data[7]
        _refuse_nonsense(adc_t, adc_p, adc_h)
        values = self._trim.compensate(adc_t, adc_p, adc_h)
        return tuple(np.array([[value]], np.float32) for value in values)

    @property
    def round_cost(self) -> BusCost:
        """What one measurement costs."""
        return write_cost(1) + read_cost(12)


def _read_trim(place: Place) -> Trim:
    """Read the trimming words twice. Raises `ChipError` (BAD_DATA) unless they agree and can be true."""
    doing = "reading the trimming words (registers 0x88 and 0xE1)"
    first, second = (
        (place.read_registers(TRIM_1, TRIM_1_BYTES), place.read_registers(TRIM_2, TRIM_2_BYTES))
        for _ in range(2)
    )
    if first != second:
        raise ChipError(FaultKind.BAD_DATA, doing, got="others the second time", expected="the same twice")
    for name, words in (("0x88", first[0][:24]), ("0xE1", first[1])):
        if len(set(words)) == 1:
            raise ChipError(
                FaultKind.BAD_DATA,
                doing,
                got=f"0x{words[0]:02X} in each byte from {name} on",
                expected="words that the factory has measured",
            )
    trim = Trim.parse(*first)
    if trim.t[0] == 0 or trim.p[0] == 0:
        raise ChipError(
            FaultKind.BAD_DATA, doing, got="dig_T1 or dig_P1 is 0", expected="a number to divide by"
        )
    return trim


def _refuse_nonsense(adc_t: int, adc_p: int, adc_h: int) -> None:
    """Raise `ChipError` (BAD_DATA) for values that no measurement gives.

    Each reset value alone may well be measured (0x80000 is some 26 degC); all three at once may not.
    """
    values = (adc_t, adc_p, adc_h)
    if values == NOT_MEASURED:
        got, expected = "the values as after a reset", "a measurement"
    elif 0 in values or adc_t >= HIGHEST_20 or adc_p >= HIGHEST_20 or adc_h >= HIGHEST_16:
        got, expected = "a value at the converter's end", "one within its range"
    else:
        return
    raise ChipError(
        FaultKind.BAD_DATA,
        "reading the measurement",
        got=f"{got} (T 0x{adc_t:05X}, P 0x{adc_p:05X}, H 0x{adc_h:04X})",
        expected=expected,
    )
