"""LIS3DH, three axes: ST's data sheet DocID17530, revision 2, and application note AN3308.

Register map: table 20. Sensitivity, noise and self-test: table 4. Rates: table 31. FIFO: section 5.1; each
level holds 10 bits, so that the chip's normal mode of 10 bits loses nothing, and lets pass four times the
bandwidth of the high-resolution mode (half of the rate instead of a ninth: table 10).
Its words are left-justified in 16 bits; counts are the 10 bits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Literal

import numpy as np

from agent.sources.drivers.base import (
    Address,
    BusCost,
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
    LONGEST_READ,
    MG_PER_G,
    bursts,
    bursts_cost,
    check_block,
    motion_stream,
    run_self_test,
    too_few,
)
from calibration.gravity import STANDARD_GRAVITY_MPS2

WHO_AM_I = 0x0F
TEMP_CFG_REG = 0x1F
CTRL_REG1 = 0x20
CTRL_REG2 = 0x21  # high-pass filter
CTRL_REG3 = 0x22
CTRL_REG4 = 0x23
CTRL_REG5 = 0x24
CTRL_REG6 = 0x25
OUT_X_L = 0x28  # with the FIFO on, a read goes from 0x2D back to here
FIFO_CTRL_REG = 0x2E
FIFO_SRC_REG = 0x2F
ACT_THS = 0x3E  # sleep to wake-up: other than 0, the chip goes down to 10 Hz where nothing moves
ACT_DUR = 0x3F

DEVICE_ID = 0x33
INCREMENT = 0x80  # of the sub-address on I2C: count on from register to register
ALL_AXES = 0x07  # of CTRL_REG1
BLOCK_UPDATE = 0x80  # of CTRL_REG4
SELF_TEST_0 = 0x02  # of CTRL_REG4
FIFO_ENABLE = 0x40  # of CTRL_REG5
STREAM_MODE = 0x80  # of FIFO_CTRL_REG; 0 is bypass, and empties it
OVERRUN = 0x40  # of FIFO_SRC_REG: 32 samples wait
EMPTY = 0x20  # of FIFO_SRC_REG
UNREAD = 0x1F  # of FIFO_SRC_REG

FIFO_DEPTH = 32
SAMPLE_OCTETS = 6
UNUSED_BITS = 6  # at the lower end of each word
LARGEST = 511  # 10 bits
RATE_CODES = {10: 2, 25: 3, 50: 4, 100: 5, 200: 6, 400: 7, 1344: 9}  # table 31, normal mode
RANGE_CODES = {2: 0, 4: 1, 8: 2, 16: 3}
MG_PER_COUNT = {2: 4, 4: 8, 8: 16, 16: 48}  # table 4, normal mode
NOISE_MG = 0.22  # table 4: in 1 Hz of bandwidth
SETTLE_SAMPLES = 7  # table 11: the longest that any change of mode takes

TEST_RATE_HZ = 100
TEST_RANGE_G = 2
TEST_SAMPLES = 10
TEST_SETTLE_S = 0.090  # AN3308, self-test procedure
TEST_LIMITS = (17, 360)  # table 4, "Self-test output change": 2 g, normal mode, each axis, either way


class Lis3dhSettings(ChipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="LIS3DH"):
    """The chip's normal mode; its low-power rates, of 8 bits, are not offered."""

    address: Address = 0x18
    stream: StreamName = "accel"
    rate_hz: Literal[10, 25, 50, 100, 200, 400, 1344] = 200
    range_g: Literal[2, 4, 8, 16] = 16

    def make(self) -> Lis3dh:
        """Return the driver."""
        return Lis3dh(self)


class Lis3dh(FreeRunning):
    """The chip in FIFO stream mode; the whole FIFO comes in one transaction."""

    chip = "LIS3DH"
    addresses = (0x18, 0x19)
    depth = FIFO_DEPTH
    burst = min(FIFO_DEPTH, LONGEST_READ // SAMPLE_OCTETS)
    tolerance = 0.1  # the data sheet gives no limit

    def __init__(self, settings: Lis3dhSettings) -> None:
        self.rate_hz = float(settings.rate_hz)
        mg_per_count = MG_PER_COUNT[settings.range_g]
        # at 16 g the counts go on to 24 g, where the data sheet promises nothing
        end = min(LARGEST, settings.range_g * MG_PER_G // mg_per_count)
        self.streams = (
            motion_stream(
                "accel",
                settings.stream,
                rate_hz=self.rate_hz,
                scale=mg_per_count * STANDARD_GRAVITY_MPS2 / MG_PER_G,
                rails=(-end, end),
                noise_steps=NOISE_MG * (self.rate_hz / 2) ** 0.5 / mg_per_count,
            ),
        )
        self._wanted = _registers(settings.rate_hz, settings.range_g)

    @classmethod
    def identify(cls, place: Place) -> None:
        """Raise `ChipError` unless WHO_AM_I is 0x33."""
        check_identity(place, WHO_AM_I, DEVICE_ID, cls.chip)

    def set_up(self, place: Place) -> Iterator[float]:
        """Write all settings while it is off, switch it on, and begin with an empty FIFO."""
        _configure(place, self._wanted)
        yield SETTLE_SAMPLES * (1 + self.tolerance) / self.rate_hz
        self.restart(place)
        self.check(place)

    def check(self, place: Place) -> None:
        """Compare all settings: two transactions, since one would read a sample on its way."""
        check_block(place, TEMP_CFG_REG, CTRL_REG6, self._wanted, increment=INCREMENT)
        check_block(place, FIFO_CTRL_REG, ACT_DUR, self._wanted, increment=INCREMENT)

    @property
    def check_cost(self) -> BusCost:
        """What `check` costs."""
        return read_cost(CTRL_REG6 - TEMP_CFG_REG + 1) + read_cost(ACT_DUR - FIFO_CTRL_REG + 1)

    def look(self, place: Place) -> Waiting:
        """Read FIFO_CTRL_REG and FIFO_SRC_REG; 31 and the overrun are 32, or more that are lost."""
        control, source = place.read_registers(FIFO_CTRL_REG | INCREMENT, 2)
        expect(FIFO_CTRL_REG, control, STREAM_MODE)
        if source & OVERRUN:
            return Waiting(FIFO_DEPTH, overflowed=True)
        return Waiting(0 if source & EMPTY else source & UNREAD)

    @property
    def look_cost(self) -> BusCost:
        """What `look` costs."""
        return read_cost(2)

    def take(self, place: Place, count: int) -> tuple[Counts, ...]:
        """Read `count` samples at once."""
        data = b"".join(
            place.read_registers(OUT_X_L | INCREMENT, n * SAMPLE_OCTETS) for n in bursts(count, self.burst)
        )
        return (np.frombuffer(data, dtype="<i2").reshape(-1, 3).astype(np.int16) >> UNUSED_BITS,)

    def take_cost(self, count: int) -> BusCost:
        """What `take` costs."""
        return bursts_cost(count, self.burst, SAMPLE_OCTETS)

    def restart(self, place: Place) -> None:
        """Go through bypass, which empties the FIFO (section 5.1.1)."""
        place.write_register(FIFO_CTRL_REG, 0)
        place.write_register(FIFO_CTRL_REG, STREAM_MODE)

    def self_test(self, place: Place) -> Iterator[float]:
        """Compare with and without the electrostatic force, at 2 g in normal mode."""
        wanted = _registers(TEST_RATE_HZ, TEST_RANGE_G)
        _configure(place, wanted)

        def measure(on: bool) -> Generator[float, None, Counts]:
            place.write_register(CTRL_REG4, wanted[CTRL_REG4] | (SELF_TEST_0 if on else 0))
            yield TEST_SETTLE_S
            self.restart(place)
            yield (TEST_SAMPLES + 2) * (1 + self.tolerance) / TEST_RATE_HZ
            count = self.look(place).count
            if count < TEST_SAMPLES:
                raise too_few(count, TEST_SAMPLES)
            return self.take(place, TEST_SAMPLES)[0]

        low, high = (np.full(3, counts) for counts in TEST_LIMITS)
        yield from run_self_test(measure, ("x", "y", "z"), low, high, end=LARGEST, absolute=True)


def _registers(rate_hz: int, range_g: int) -> dict[int, int]:
    """Return what each register is set to."""
    return {
        TEMP_CFG_REG: 0,
        CTRL_REG1: RATE_CODES[rate_hz] << 4 | ALL_AXES,
        CTRL_REG2: 0,
        CTRL_REG3: 0,
        CTRL_REG4: BLOCK_UPDATE | RANGE_CODES[range_g] << 4,
        CTRL_REG5: FIFO_ENABLE,
        CTRL_REG6: 0,
        FIFO_CTRL_REG: STREAM_MODE,
        ACT_THS: 0,
        ACT_DUR: 0,
    }


def _configure(place: Place, wanted: dict[int, int]) -> None:
    """Set and read back everything but the FIFO's mode, from any state: the chip's BOOT resets less."""
    place.write_register(CTRL_REG1, 0)
    place.write_register(FIFO_CTRL_REG, 0)
    place.write_register(ACT_THS | INCREMENT, 0, 0)
    place.write_register(TEMP_CFG_REG, 0)
    later = range(CTRL_REG2, CTRL_REG6 + 1)
    place.write_register(CTRL_REG2 | INCREMENT, *(wanted[register] for register in later))
    place.write_register(CTRL_REG1, wanted[CTRL_REG1])
    check_block(place, TEMP_CFG_REG, CTRL_REG6, wanted, increment=INCREMENT)
