"""ADXL355, three axes of 20 bits: Analog Devices' data sheet ADXL354/ADXL355, revision D.

Registers: "Register map", "Register definitions". Scale, noise, self-test: table 2. FIFO: section "FIFO".

Never reset by its RESET register: up to revision 1 of the silicon that may load the factory's trim wrongly
(section "Register 0x2F"), and only a comparison with registers read before the first reset would show it.
Every setting is written instead. An ADXL357 has the same identity; only its scale is another.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Literal

import numpy as np

from agent.blocks import FaultKind
from agent.sources.drivers.base import (
    Address,
    BusCost,
    ChipError,
    ChipSettings,
    Counts,
    FreeRunning,
    Place,
    StreamName,
    Waiting,
    read_cost,
    signed,
    wrong_chip,
)
from agent.sources.drivers.motion import (
    LONGEST_READ,
    bad_fill,
    bursts,
    bursts_cost,
    check_block,
    motion_stream,
    run_self_test,
    too_few,
)
from calibration.gravity import STANDARD_GRAVITY_MPS2

DEVID_AD = 0x00  # followed by DEVID_MST and PARTID
STATUS = 0x04
FIFO_ENTRIES = 0x05
FIFO_DATA = 0x11  # a read goes on here and does not come to the next register
OFFSET_X_H = 0x1E  # six registers, subtracted from each sample
ACT_EN = 0x24
FILTER = 0x28
FIFO_SAMPLES = 0x29
INT_MAP = 0x2A
SYNC = 0x2B
RANGE = 0x2C
POWER_CTL = 0x2D
SELF_TEST = 0x2E

IDENTITY = bytes((0xAD, 0x1D, 0xED))
FIFO_OVERRUN = 0x04  # of STATUS
WATERMARK = 0x60  # of FIFO_SAMPLES, at reset
FAST_BUS = 0x80  # of RANGE, at reset: I2C_HS
STANDBY = 0x01  # of POWER_CTL
ST1 = 0x01  # of SELF_TEST: self-test mode
ST2 = 0x02  # of SELF_TEST: the force

MARKS = 0x03  # of the last byte of each axis: bit 0 marks x, bit 1 that the FIFO was empty
MARKS_OF_SAMPLE = np.array([1, 0, 0], dtype=np.uint8)
AXIS_BITS = 20
AXIS_OCTETS = 3
SAMPLE_OCTETS = 3 * AXIS_OCTETS
RAILS = (-(1 << (AXIS_BITS - 1)), (1 << (AXIS_BITS - 1)) - 1)
FIFO_ENTRIES_MOST = 96  # one an axis
FIFO_DEPTH = FIFO_ENTRIES_MOST // 3
TURN_ON_S = 0.010  # table 2: standby to measurement

RATE_CODES = {125: 5, 250: 4, 500: 3, 1000: 2, 2000: 1}  # "Register 0x28"; slower ones are no whole numbers
RANGE_CODES = {2: 1, 4: 2, 8: 3}
LSB_PER_G = {2: 256_000, 4: 128_000, 8: 64_000}  # table 2
NOISE_G = 25e-6  # table 2: in 1 Hz of bandwidth
BANDWIDTH_PART = 0.25  # of the rate: "Register 0x28"

TEST_RATE_HZ = 500
TEST_RANGE_G = 8
TEST_SAMPLES = 24
TEST_SETTLE_S = 0.050
# table 2, "Self test, output change", in g
TEST_LOW_G = (0.1, 0.1, 0.5)
TEST_HIGH_G = (0.6, 0.6, 3.0)


class Adxl355Settings(ChipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ADXL355"):
    """``range_g``: the chip's ends are a little further, 2.048 g and so on."""

    address: Address = 0x1D
    stream: StreamName = "accel"
    rate_hz: Literal[125, 250, 500, 1000, 2000] = 250
    range_g: Literal[2, 4, 8] = 8

    def make(self) -> Adxl355:
        """Return the driver."""
        return Adxl355(self)


class Adxl355(FreeRunning):
    """The chip with its FIFO of 96 axes: 32 samples."""

    chip = "ADXL355"
    addresses = (0x1D, 0x53)
    depth = FIFO_DEPTH
    burst = LONGEST_READ // SAMPLE_OCTETS
    tolerance = 0.05  # the data sheet gives no limit

    def __init__(self, settings: Adxl355Settings) -> None:
        self.rate_hz = float(settings.rate_hz)
        lsb_per_g = LSB_PER_G[settings.range_g]
        self.streams = (
            motion_stream(
                "accel",
                settings.stream,
                rate_hz=self.rate_hz,
                scale=STANDARD_GRAVITY_MPS2 / lsb_per_g,
                rails=RAILS,
                noise_steps=NOISE_G * (self.rate_hz * BANDWIDTH_PART) ** 0.5 * lsb_per_g,
                sample_bits=AXIS_BITS,
            ),
        )
        self._wanted = _registers(settings.rate_hz, settings.range_g)

    @classmethod
    def identify(cls, place: Place) -> None:
        """Raise `ChipError` unless DEVID_AD, DEVID_MST and PARTID are right."""
        found = place.read_registers(DEVID_AD, len(IDENTITY))
        if found != IDENTITY:
            raise wrong_chip(
                "reading the identity (registers 0x00 to 0x02)",
                got=found.hex(" ").upper(),
                expected=f"{IDENTITY.hex(' ').upper()} ({cls.chip})",
            )

    def set_up(self, place: Place) -> Iterator[float]:
        """Write all settings in standby, empty the FIFO there, and measure."""
        _configure(place, self._wanted)
        yield TURN_ON_S + 4 / self.rate_hz
        self.restart(place)
        self.check(place)

    def check(self, place: Place) -> None:
        """Compare all settings: one transaction."""
        check_block(place, OFFSET_X_H, SELF_TEST, self._wanted)

    @property
    def check_cost(self) -> BusCost:
        """What `check` costs."""
        return read_cost(SELF_TEST - OFFSET_X_H + 1)

    def look(self, place: Place) -> Waiting:
        """Read STATUS and FIFO_ENTRIES; an axis or two of a sample that is being written do not count."""
        status, entries = place.read_registers(STATUS, 2)
        if entries > FIFO_ENTRIES_MOST:
            raise bad_fill(entries, FIFO_ENTRIES_MOST)
        return Waiting(entries // 3, overflowed=bool(status & FIFO_OVERRUN))

    @property
    def look_cost(self) -> BusCost:
        """What `look` costs."""
        return read_cost(2)

    def take(self, place: Place, count: int) -> tuple[Counts, ...]:
        """Read `count` samples. Raises `ChipError`: BAD_DATA when they do not begin with x, or are none."""
        reads = (place.read_registers(FIFO_DATA, n * SAMPLE_OCTETS) for n in bursts(count, self.burst))
        return (_decode(b"".join(reads)),)

    def take_cost(self, count: int) -> BusCost:
        """What `take` costs."""
        return bursts_cost(count, self.burst, SAMPLE_OCTETS)

    def restart(self, place: Place) -> None:
        """Read the FIFO until it is empty: there is no other way while it measures."""
        for n in bursts(self.look(place).count, self.burst):
            place.read_registers(FIFO_DATA, n * SAMPLE_OCTETS)
        self.look(place)  # STATUS forgets the overrun when it is read

    def self_test(self, place: Place) -> Iterator[float]:
        """Compare with and without the force, in self-test mode."""
        _configure(place, _registers(TEST_RATE_HZ, TEST_RANGE_G))

        def measure(on: bool) -> Generator[float, None, Counts]:
            place.write_register(SELF_TEST, ST1 | ST2 if on else ST1)
            yield TEST_SETTLE_S
            self.restart(place)
            yield (TEST_SAMPLES + 2) * (1 + self.tolerance) / TEST_RATE_HZ
            count = self.look(place).count
            if count < TEST_SAMPLES:
                raise too_few(count, TEST_SAMPLES)
            return self.take(place, TEST_SAMPLES)[0]

        yield TURN_ON_S
        yield from run_self_test(
            measure,
            ("x", "y", "z"),
            np.array(TEST_LOW_G) * LSB_PER_G[TEST_RANGE_G],
            np.array(TEST_HIGH_G) * LSB_PER_G[TEST_RANGE_G],
            end=RAILS[1],
            absolute=True,
        )


def _registers(rate_hz: int, range_g: int) -> dict[int, int]:
    """Return what each register is set to."""
    return {
        **dict.fromkeys(range(OFFSET_X_H, OFFSET_X_H + 6), 0),
        ACT_EN: 0,
        FILTER: RATE_CODES[rate_hz],
        FIFO_SAMPLES: WATERMARK,
        INT_MAP: 0,
        SYNC: 0,
        RANGE: FAST_BUS | RANGE_CODES[range_g],
        POWER_CTL: 0,
        SELF_TEST: 0,
    }


def _configure(place: Place, wanted: dict[int, int]) -> None:
    """Set and read back everything, and begin to measure with an empty FIFO."""
    place.write_register(POWER_CTL, STANDBY)
    for first, last in ((OFFSET_X_H, ACT_EN), (FILTER, RANGE)):
        place.write_register(first, *(wanted[register] for register in range(first, last + 1)))
    place.write_register(SELF_TEST, 0)
    # Nothing is written in standby, so that also the axis or two that somebody left can be read away.
    left = place.read_registers(FIFO_ENTRIES)[0]
    if left > FIFO_ENTRIES_MOST:
        raise bad_fill(left, FIFO_ENTRIES_MOST)
    for n in bursts(left * AXIS_OCTETS, LONGEST_READ):
        place.read_registers(FIFO_DATA, n)
    place.write_register(POWER_CTL, 0)
    check_block(place, OFFSET_X_H, SELF_TEST, wanted)


def _decode(data: bytes) -> Counts:
    """Return (n, 3) int32 of what the FIFO gave: 20 bits left-justified in three bytes, high byte first."""
    octets = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3, AXIS_OCTETS)
    marks = octets[:, :, 2] & MARKS
    wrong = (marks != MARKS_OF_SAMPLE).any(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ChipError(
            FaultKind.BAD_DATA,
            "reading the FIFO",
            got=f"marks {marks[first].tolist()} in sample {first + 1} of {len(octets)}",
            expected="1 at the x axis, 0 at the others",
        )
    wide = octets.astype(np.uint32)
    return signed((wide[:, :, 0] << 12) | (wide[:, :, 1] << 4) | (wide[:, :, 2] >> 4), AXIS_BITS)
