"""ADXL345, three axes, 3.9 mg a count: Analog Devices' data sheet, revision G.

Register map: table 19. Rates: table 7. Scale and noise: table 1. Self-test: tables 14 and 15, and the
section "Using self-test". FIFO: the section "FIFO", and "Retrieving data from FIFO" for the 5 us between
two samples, which are over before a transaction has said its address.

A read of the data registers lets the next sample in, so each sample is a transaction of its own. It begins
two registers earlier: INT_SOURCE says whether the FIFO was full by then, and DATA_FORMAT whether the range
is still the one that was set. FIFO_CTL stands before FIFO_STATUS and tells each look the same.
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
    check_identity,
    expect,
    read_cost,
)
from agent.sources.drivers.motion import (
    bad_fill,
    check_block,
    motion_stream,
    run_self_test,
    too_few,
)
from calibration.gravity import STANDARD_GRAVITY_MPS2

DEVID = 0x00
OFSX = 0x1E  # three axes, 15.6 mg a count, added to each sample
BW_RATE = 0x2C
POWER_CTL = 0x2D
INT_ENABLE = 0x2E
INT_MAP = 0x2F
INT_SOURCE = 0x30
DATA_FORMAT = 0x31
DATAX0 = 0x32
FIFO_CTL = 0x38
FIFO_STATUS = 0x39

DEVICE_ID = 0xE5
OVERRUN = 0x01  # of INT_SOURCE: the FIFO was full; reading a sample clears it
MEASURE = 0x08  # of POWER_CTL
SELF_TEST = 0x80  # of DATA_FORMAT
FULL_RESOLUTION = 0x08  # of DATA_FORMAT: 256 LSB/g in every range
STREAM_MODE = 0x80  # of FIFO_CTL: the newest 32 samples; 0 is bypass, and empties it
ENTRIES = 0x3F  # of FIFO_STATUS

LSB_PER_G = 256  # table 1
NOISE_LSB_AT_100_HZ = 0.75  # table 1, x and y; z has more
FIFO_DEPTH = 32
MOST_ENTRIES = FIFO_DEPTH + 1  # one more waits behind the filter
SAMPLE_READ = 8  # INT_SOURCE, DATA_FORMAT, and six bytes of data
TURN_ON_S = 0.0011  # table 1, note 6: this and one period

RATE_CODES = {25: 0x8, 50: 0x9, 100: 0xA, 200: 0xB, 400: 0xC, 800: 0xD}  # table 7
RANGE_CODES = {2: 0, 4: 1, 8: 2, 16: 3}  # table 21

TEST_RATE_HZ = 200  # "Using self-test": 100 to 800 Hz, full resolution, 16 g
TEST_SAMPLES = 16
GIVE_WAY_S = 1e-4  # after each of them: the samples of other chips do not wait for all
TEST_SETTLE_SAMPLES = 5  # table 1, note 5: final value after four periods
# Table 15, in LSB at 2.5 V, times table 14's factors for the 3.3 V of a Raspberry Pi
TEST_LOW = (50 * 1.77, -540 * 1.77, 75 * 1.47)
TEST_HIGH = (540 * 1.77, -50 * 1.77, 875 * 1.47)


class Adxl345Settings(ChipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ADXL345"):
    """``rate_hz`` ends where I2C at 400 kHz does (section "I2C": 800 Hz)."""

    address: Address = 0x53
    stream: StreamName = "accel"
    rate_hz: Literal[25, 50, 100, 200, 400, 800] = 200
    range_g: Literal[2, 4, 8, 16] = 16

    def make(self) -> Adxl345:
        """Return the driver."""
        return Adxl345(self)


class Adxl345(FreeRunning):
    """The chip in FIFO stream mode and full resolution."""

    chip = "ADXL345"
    addresses = (0x53, 0x1D)
    depth = FIFO_DEPTH
    burst = 1
    tolerance = 0.1  # the data sheet gives no limit

    def __init__(self, settings: Adxl345Settings) -> None:
        self.rate_hz = float(settings.rate_hz)
        end = LSB_PER_G * settings.range_g
        self.streams = (
            motion_stream(
                "accel",
                settings.stream,
                rate_hz=self.rate_hz,
                scale=STANDARD_GRAVITY_MPS2 / LSB_PER_G,
                rails=(-end, end - 1),
                noise_steps=NOISE_LSB_AT_100_HZ * (self.rate_hz / 100) ** 0.5,
            ),
        )
        self._wanted = _registers(
            RATE_CODES[settings.rate_hz], FULL_RESOLUTION | RANGE_CODES[settings.range_g]
        )
        self._excused = False
        """A FIFO that was full is known of already, or was so before it was emptied."""

    @classmethod
    def identify(cls, place: Place) -> None:
        """Raise `ChipError` unless DEVID is 0xE5."""
        check_identity(place, DEVID, DEVICE_ID, cls.chip)

    def set_up(self, place: Place) -> Iterator[float]:
        """Write all settings in standby, measure, and begin with an empty FIFO."""
        _configure(place, self._wanted)
        yield TURN_ON_S + 2 / self.rate_hz
        self.restart(place)
        self.check(place)

    def check(self, place: Place) -> None:
        """Compare all settings: two transactions, since one would read a sample on its way."""
        check_block(place, OFSX, DATA_FORMAT, self._wanted)
        check_block(place, FIFO_CTL, FIFO_CTL, {FIFO_CTL: STREAM_MODE})

    @property
    def check_cost(self) -> BusCost:
        """What `check` costs."""
        return read_cost(DATA_FORMAT - OFSX + 1) + read_cost(1)

    def look(self, place: Place) -> Waiting:
        """Read FIFO_CTL and FIFO_STATUS; a full FIFO does not say whether more than 32 came."""
        control, status = place.read_registers(FIFO_CTL, 2)
        expect(FIFO_CTL, control, STREAM_MODE)
        count = status & ENTRIES
        if count > MOST_ENTRIES:
            raise bad_fill(count, MOST_ENTRIES)
        full = count >= FIFO_DEPTH
        self._excused |= full
        return Waiting(count, overflowed=full)

    @property
    def look_cost(self) -> BusCost:
        """What `look` costs."""
        return read_cost(2)

    def take(self, place: Place, count: int) -> tuple[Counts, ...]:
        """Read sample by sample. Raises `ChipError`: OVERFLOW when the FIFO filled up meanwhile."""
        samples = bytearray()
        data_format = self._wanted[DATA_FORMAT]
        for _ in range(count):
            data = place.read_registers(INT_SOURCE, SAMPLE_READ)
            expect(DATA_FORMAT, data[1], data_format)
            if data[0] & OVERRUN and not self._excused:
                raise ChipError(
                    FaultKind.OVERFLOW,
                    "reading the FIFO",
                    got="it filled up while it was read",
                    expected=f"fewer than {FIFO_DEPTH} samples in it",
                )
            self._excused = False
            samples += data[2:]
        return (_decode(samples),)

    def take_cost(self, count: int) -> BusCost:
        """What `take` costs."""
        return read_cost(SAMPLE_READ) * count

    def restart(self, place: Place) -> None:
        """Go through bypass, which empties the FIFO."""
        place.write_register(FIFO_CTL, 0)
        place.write_register(FIFO_CTL, STREAM_MODE)
        # in bypass each sample overruns the one before it, and only reading one clears the bit
        self._excused = True

    def self_test(self, place: Place) -> Iterator[float]:
        """Compare with and without the electrostatic force, at 16 g in full resolution."""
        plain = FULL_RESOLUTION | RANGE_CODES[16]
        _configure(place, _registers(RATE_CODES[TEST_RATE_HZ], plain))

        def measure(on: bool) -> Generator[float, None, Counts]:
            place.write_register(DATA_FORMAT, plain | SELF_TEST if on else plain)
            yield TURN_ON_S + TEST_SETTLE_SAMPLES * (1 + self.tolerance) / TEST_RATE_HZ
            self.restart(place)
            yield (TEST_SAMPLES + 2) * (1 + self.tolerance) / TEST_RATE_HZ
            count = place.read_registers(FIFO_STATUS)[0] & ENTRIES
            if count < TEST_SAMPLES:
                raise too_few(count, TEST_SAMPLES)
            samples = bytearray()
            for _ in range(TEST_SAMPLES):
                samples += place.read_registers(DATAX0, 6)
                yield GIVE_WAY_S
            return _decode(samples)

        yield from run_self_test(measure, ("x", "y", "z"), TEST_LOW, TEST_HIGH, end=16 * LSB_PER_G - 1)


def _registers(rate_code: int, data_format: int) -> dict[int, int]:
    """Return what each register is set to."""
    return {
        OFSX: 0,
        OFSX + 1: 0,
        OFSX + 2: 0,
        BW_RATE: rate_code,
        POWER_CTL: MEASURE,
        INT_ENABLE: 0,
        INT_MAP: 0,
        DATA_FORMAT: data_format,
    }


def _configure(place: Place, wanted: dict[int, int]) -> None:
    """Set and read back everything but the FIFO, from any state: the chip has no reset."""
    place.write_register(POWER_CTL, 0)  # "Power sequencing": settings change in standby
    place.write_register(FIFO_CTL, 0)
    place.write_register(OFSX, 0, 0, 0)
    place.write_register(BW_RATE, wanted[BW_RATE])
    place.write_register(INT_ENABLE, 0, 0)
    place.write_register(DATA_FORMAT, wanted[DATA_FORMAT])
    place.write_register(POWER_CTL, MEASURE)
    check_block(place, OFSX, DATA_FORMAT, wanted)


def _decode(data: bytes | bytearray) -> Counts:
    """Return (n, 3) int16: low byte first, right-justified, sign extended by the chip."""
    return np.frombuffer(data, dtype="<i2").reshape(-1, 3).astype(np.int16)
