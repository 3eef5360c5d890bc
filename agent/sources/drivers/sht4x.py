"""SHT40, SHT41, SHT45, temperature and humidity: Sensirion's data sheet, version 6.

Commands: table 8. Longest measuring time: table 5. Checksum: section 4.4. Conversion: 4.6. While it is busy
it acknowledges no read (4.3); it has neither registers nor settings, so each answer is proved by its
checksums.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

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
    wrong_chip,
)
from agent.streams import StreamClass, StreamSpec, Unit

MEASURE_HIGH = 0xFD  # high precision
READ_SERIAL = 0x89
SOFT_RESET = 0x94
ANSWER_BYTES = 6  # two words, each with its checksum
CRC_POLYNOMIAL = 0x31
CRC_START = 0xFF

MEASURING_S = 0.0083  # table 5
RESET_S = 0.001  # table 5
SERIAL_READS = 14  # it takes up to 1 ms to find its number; a refused read is tried three times, 25 µs each
REFUSALS = 3  # reads that may be refused after the longest measuring time: then nobody is there
STILL_SAMPLES = 300  # the noise is some counts of temperature (table 2): this long nothing stands still
SAMPLE_BITS = 16


class Sht4xSettings(ChipSettings, frozen=True, kw_only=True, tag="SHT4x"):
    """``temperature``, ``humidity``: the streams' names. The address is part of the chip's full name."""

    address: Annotated[int, msgspec.Meta(ge=0x44, le=0x46)] = 0x44
    rate_hz: Annotated[float, msgspec.Meta(ge=SLOWEST_HZ, le=100)] = 1.0
    temperature: StreamName = "temperature"
    humidity: StreamName = "humidity"

    def make(self) -> Sht4x:
        """Return the driver. Raises ConfigError."""
        if self.temperature == self.humidity:
            raise ConfigError(
                "setting up the SHT4x",
                got=f"two streams {self.temperature!r}",
                expected="two names",
                remedy="Give temperature and humidity different names.",
            )
        return Sht4x(self)


class Sht4x(Triggered):
    """The chip at its highest precision."""

    chip: ClassVar[str] = "SHT4x"
    addresses: ClassVar[tuple[int, ...]] = (0x44, 0x45, 0x46)

    serial: int | None = None
    """Its number, once it is set up."""

    def __init__(self, settings: Sht4xSettings) -> None:
        self.rate_hz = settings.rate_hz
        still_s = STILL_SAMPLES * max(1.0, 1.0 / settings.rate_hz)
        self.streams = tuple(
            ChipStream(
                StreamSpec(
                    name=name,
                    axes=(axis,),
                    unit=unit,
                    rate_hz=settings.rate_hz,
                    sample_bits=SAMPLE_BITS,
                    kind=StreamClass.CLIMATE,
                ),
                still_s=still,
            )
            for name, axis, unit, still in (
                (settings.temperature, "t", Unit.DEGC, still_s),
                (settings.humidity, "h", Unit.PERCENT, None),  # dew holds it at 100
            )
        )
        self.conversions = ((0, 1),)
        self._refused = 0

    @classmethod
    def identify(cls, place: Place) -> None:
        """Raise `ChipError` (WRONG_CHIP) unless it tells a serial number with the right checksums."""
        try:
            _read_serial(place)
        except ChipError as error:
            if error.kind is FaultKind.BAD_DATA:
                raise wrong_chip(error.doing, got=error.got, expected=error.expected) from error
            raise

    def set_up(self, place: Place) -> Iterator[float]:
        """Reset it, and read its number; there is nothing to set."""
        place.write(SOFT_RESET)
        yield RESET_S
        self.serial = _read_serial(place)

    def check(self, place: Place) -> None:
        """Do nothing: it has no settings that it could lose."""

    @property
    def check_cost(self) -> BusCost:
        """Nothing."""
        return BusCost(0, 0)

    def start(self, place: Place, conversion: int) -> None:
        """Begin one measurement."""
        self._refused = 0
        place.write(MEASURE_HIGH)

    def conversion_s(self, conversion: int) -> float:
        """Longest time that it takes."""
        return MEASURING_S

    def collect(self, place: Place, conversion: int) -> tuple[Counts, ...]:
        """Fetch it; degC and percent: each (1, 1) float32.

        A chip that measures and one that has been pulled out refuse alike. But the first is done by the
        time it is asked: a few more reads, and it is taken for the second.
        """
        try:
            answer = place.read(ANSWER_BYTES)
        except ChipError as error:
            self._refused += 1
            if error.kind is not FaultKind.NACK or self._refused > REFUSALS:
                raise
            raise NotReady from error
        temperature, humidity = _words("reading the measurement", answer)
        values = (
            -45.0 + 175.0 * temperature / 65535.0,
            min(max(-6.0 + 125.0 * humidity / 65535.0, 0.0), 100.0),
        )
        return tuple(np.array([[value]], np.float32) for value in values)

    @property
    def round_cost(self) -> BusCost:
        """What one measurement costs."""
        return BusCost(1, 2) + BusCost(1, 1 + ANSWER_BYTES)


def crc8(data: bytes) -> int:
    """Return the checksum of section 4.4."""
    crc = CRC_START
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (CRC_POLYNOMIAL if crc & 0x80 else 0)) & 0xFF
    return crc


def _words(doing: str, answer: bytes) -> tuple[int, int]:
    """Return both words of an answer. Raises `ChipError` (BAD_DATA) for a wrong checksum."""
    for begin in (0, 3):
        wanted, found = crc8(answer[begin : begin + 2]), answer[begin + 2]
        if found != wanted:
            raise ChipError(
                FaultKind.BAD_DATA,
                doing,
                got=f"{answer.hex(' ')}, the checksum 0x{found:02X}",
                expected=f"0x{wanted:02X} (SHT4x)",
            )
    return answer[0] << 8 | answer[1], answer[3] << 8 | answer[4]


def _read_serial(place: Place) -> int:
    """Return the serial number. Raises `ChipError`: BAD_DATA, or WRONG_CHIP where it tells none."""
    doing = "reading the serial number (command 0x89)"
    place.write(READ_SERIAL)
    refusal: ChipError | None = None
    for _ in range(SERIAL_READS):
        try:
            answer = place.read(ANSWER_BYTES)
        except ChipError as error:
            if error.kind is not FaultKind.NACK:
                raise
            refusal = error
        else:
            high, low = _words(doing, answer)
            if high == low == 0 or high == low == 0xFFFF:
                raise ChipError(
                    FaultKind.BAD_DATA, doing, got=f"0x{high:04X}{low:04X}", expected="a number (SHT4x)"
                )
            return high << 16 | low
    raise wrong_chip(
        doing, got="the command is taken, and no number given", expected="a number (SHT4x)"
    ) from refusal
