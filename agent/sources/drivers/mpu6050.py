"""MPU-6050, three accelerations and three rates of turn, through a FIFO of 1024 bytes.

InvenSense's register map RM-MPU-6000A-00, revision 4.2 ("RM"), and specification PS-MPU-6000A-00, revision
3.4 ("PS"). FIFO: RM, registers 35, 106 and 114 to 116. Filter: RM, register 26. Self-test: RM, registers 13
to 16, and PS 6.1 and 6.2 for the 14 %. Sensitivity and noise: PS 6.1 and 6.2. Clock: PS 6.5.

The FIFO counts bytes and knows nothing of samples: what is lost when it overflows is no whole number of them,
and everything behind it is out of step until it is emptied. A full one therefore counts as overflowed.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from agent.errors import ConfigError
from agent.sources.drivers.base import (
    Address,
    BusCost,
    ChipSettings,
    Counts,
    FreeRunning,
    Place,
    StreamName,
    Waiting,
    read_cost,
    set_and_check,
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

SELF_TEST_X = 0x0D  # followed by those of y and z, and the accelerometer's lower bits
SMPLRT_DIV = 0x19
CONFIG = 0x1A
GYRO_CONFIG = 0x1B
ACCEL_CONFIG = 0x1C
FIFO_EN = 0x23
INT_PIN_CFG = 0x37
INT_ENABLE = 0x38
INT_STATUS = 0x3A
USER_CTRL = 0x6A
PWR_MGMT_1 = 0x6B
PWR_MGMT_2 = 0x6C
FIFO_COUNT_H = 0x72
FIFO_R_W = 0x74  # a read goes on here and does not come to the next register
WHO_AM_I = 0x75

DEVICE_ID = 0x68
# what is sold as an MPU-6050, or put in its place; their registers differ
OTHERS = {
    0x12: "ICM-20602",
    0x19: "MPU-6886",
    0x70: "MPU-6500",
    0x71: "MPU-9250",
    0x73: "MPU-9255",
    0x74: "MPU-6515",
    0x98: "ICM-20689",
}
DEVICE_RESET = 0x80  # of PWR_MGMT_1
CLOCK_OF_GYRO_X = 0x01  # of PWR_MGMT_1: awake, and the clock locked to the x gyroscope
FIFO_ON = 0x40  # of USER_CTRL
FIFO_RESET = 0x04  # of USER_CTRL, while the FIFO is off
ACCEL_AND_GYRO = 0x78  # of FIFO_EN: in the order of their registers, twelve bytes
OVERFLOW = 0x10  # of INT_ENABLE and INT_STATUS; reading clears it
TEST_ALL_AXES = 0xE0  # of GYRO_CONFIG and ACCEL_CONFIG

RESET_S = 0.1  # PS 6.3: 100 ms from power-up until registers can be written
START_S = 0.05  # PS 6.1: the gyroscopes need 30 ms
FIFO_OCTETS = 1024
TORN_LOOKS = 3  # in a row that find a part of a sample: none takes so long to be written
SAMPLE_OCTETS = 12
INTERNAL_HZ = 1000  # RM, register 25, with the low-pass filter on
# RM, register 26: the widest filter below half of each rate: code, bandwidth of accelerometer, of gyroscope
FILTERS = {
    1000: (1, 184, 188),
    500: (1, 184, 188),
    250: (2, 94, 98),
    200: (2, 94, 98),
    125: (3, 44, 42),
    100: (3, 44, 42),
    50: (4, 21, 20),
}
ACCEL_CODES = {2: 0, 4: 1, 8: 2, 16: 3}
ACCEL_LSB_PER_G = {2: 16384, 4: 8192, 8: 4096, 16: 2048}  # PS 6.2
GYRO_CODES = {250: 0, 500: 1, 1000: 2, 2000: 3}
GYRO_LSB_PER_DPS = {250: 131.0, 500: 65.5, 1000: 32.8, 2000: 16.4}  # PS 6.1
ACCEL_NOISE_G = 400e-6  # PS 6.2: in 1 Hz of bandwidth
GYRO_NOISE_DPS = 0.005  # PS 6.1: in 1 Hz of bandwidth
RAILS = (-32768, 32767)

TEST_RATE_HZ = 200
TEST_ACCEL_G = 8  # RM, registers 13 to 16
TEST_GYRO_DPS = 250
TEST_SAMPLES = 20
TEST_SETTLE_S = 0.1
TEST_TOLERANCE = 0.14  # PS 6.1 and 6.2: change from factory trim
TEST_AXES = ("x", "y", "z", "turn about x", "turn about y", "turn about z")


class Mpu6050Settings(ChipSettings, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="MPU-6050"):
    """``range_dps``: of the gyroscopes, in degrees a second."""

    address: Address = 0x68
    stream: StreamName = "accel"
    gyro_stream: StreamName = "gyro"
    rate_hz: Literal[50, 100, 125, 200, 250, 500, 1000] = 200
    range_g: Literal[2, 4, 8, 16] = 16
    range_dps: Literal[250, 500, 1000, 2000] = 1000

    def make(self) -> Mpu6050:
        """Return the driver. Raises ConfigError when both streams have one name."""
        if self.stream == self.gyro_stream:
            raise ConfigError(
                f"reading the settings of the MPU-6050 at 0x{self.address:02X}",
                got=f"stream and gyro_stream are both {self.stream!r}",
                expected="two names",
                remedy='Leave both keys out: they are "accel" and "gyro" by default.',
            )
        return Mpu6050(self)


class Mpu6050(FreeRunning):
    """The chip with accelerometer and gyroscopes through its FIFO; two streams, sample by sample."""

    chip = "MPU-6050"
    addresses = (0x68, 0x69)
    depth = FIFO_OCTETS // SAMPLE_OCTETS
    burst = LONGEST_READ // SAMPLE_OCTETS
    tolerance = 0.02  # PS 6.5, clock of a gyroscope: 1 % at 25 degC, and 1 % over temperature

    def __init__(self, settings: Mpu6050Settings) -> None:
        self.rate_hz = float(settings.rate_hz)
        _, accel_hz, gyro_hz = FILTERS[settings.rate_hz]
        per_g = ACCEL_LSB_PER_G[settings.range_g]
        per_dps = GYRO_LSB_PER_DPS[settings.range_dps]
        self.streams = (
            motion_stream(
                "accel",
                settings.stream,
                rate_hz=self.rate_hz,
                scale=STANDARD_GRAVITY_MPS2 / per_g,
                rails=RAILS,
                noise_steps=ACCEL_NOISE_G * accel_hz**0.5 * per_g,
            ),
            motion_stream(
                "gyro",
                settings.gyro_stream,
                rate_hz=self.rate_hz,
                scale=math.radians(1) / per_dps,
                rails=RAILS,
                noise_steps=GYRO_NOISE_DPS * gyro_hz**0.5 * per_dps,
            ),
        )
        self._wanted = _registers(settings.rate_hz, settings.range_g, settings.range_dps)
        self._torn = 0

    @classmethod
    def identify(cls, place: Place) -> None:
        """Raise `ChipError` unless WHO_AM_I is 0x68, whatever the address."""
        found = place.read_registers(WHO_AM_I)[0]
        if found != DEVICE_ID:
            other = OTHERS.get(found)
            raise wrong_chip(
                f"reading the identity (register 0x{WHO_AM_I:02X})",
                got=f"0x{found:02X}" + (f", which is an {other}" if other else ""),
                expected=f"0x{DEVICE_ID:02X} ({cls.chip})",
            )

    def set_up(self, place: Place) -> Iterator[float]:
        """Reset the chip, wake it, write all settings, and begin with an empty FIFO."""
        yield from _configure(place, self._wanted)
        self.restart(place)
        self.check(place)

    def check(self, place: Place) -> None:
        """Compare all settings: two transactions, one on either side of the data."""
        check_block(place, SMPLRT_DIV, INT_ENABLE, self._wanted)
        check_block(place, USER_CTRL, PWR_MGMT_2, self._wanted)

    @property
    def check_cost(self) -> BusCost:
        """What `check` costs."""
        return read_cost(INT_ENABLE - SMPLRT_DIV + 1) + read_cost(PWR_MGMT_2 - USER_CTRL + 1)

    def look(self, place: Place) -> Waiting:
        """Read FIFO_COUNT, and INT_STATUS only when that is no whole number of samples.

        That is so while one is being written, and ever after an overflow: 1024 is no multiple of twelve.
        It is so, too, after a read that ended half-way and was begun anew.
        """
        found = int.from_bytes(place.read_registers(FIFO_COUNT_H, 2), "big")
        if found > FIFO_OCTETS:
            raise bad_fill(found, FIFO_OCTETS)
        count, rest = divmod(found, SAMPLE_OCTETS)
        overflowed = count >= self.depth
        self._torn = self._torn + 1 if rest else 0
        if rest and not overflowed:
            overflowed = bool(place.read_registers(INT_STATUS)[0] & OVERFLOW) or self._torn >= TORN_LOOKS
        return Waiting(count, overflowed=overflowed)

    @property
    def look_cost(self) -> BusCost:
        """What `look` costs, but for the rare second transaction."""
        return read_cost(2)

    def take(self, place: Place, count: int) -> tuple[Counts, ...]:
        """Read `count` samples: accelerations and rates of turn, equally many."""
        data = b"".join(place.read_registers(FIFO_R_W, n * SAMPLE_OCTETS) for n in bursts(count, self.burst))
        both = np.frombuffer(data, dtype=">i2").reshape(-1, 6).astype(np.int16)
        return both[:, :3], both[:, 3:]

    def take_cost(self, count: int) -> BusCost:
        """What `take` costs."""
        return bursts_cost(count, self.burst, SAMPLE_OCTETS)

    def restart(self, place: Place) -> None:
        """Let nothing be written, empty the FIFO, and go on with a whole sample."""
        place.write_register(FIFO_EN, 0)
        place.write_register(USER_CTRL, FIFO_RESET)
        place.write_register(USER_CTRL, FIFO_ON)
        place.read_registers(INT_STATUS)  # forgets the overflow
        self._torn = 0
        place.write_register(FIFO_EN, ACCEL_AND_GYRO)

    def self_test(self, place: Place) -> Iterator[float]:
        """Compare what the test force moves with what it moved in the factory."""
        wanted = _registers(TEST_RATE_HZ, TEST_ACCEL_G, TEST_GYRO_DPS)
        yield from _configure(place, wanted)
        trim = factory_trim(place.read_registers(SELF_TEST_X, 4))
        judged = np.flatnonzero(trim)  # 0: the factory left no trim for this axis
        if not len(judged):
            return

        def measure(on: bool) -> Generator[float, None, Counts]:
            force = TEST_ALL_AXES if on else 0
            place.write_register(GYRO_CONFIG, wanted[GYRO_CONFIG] | force, wanted[ACCEL_CONFIG] | force)
            yield TEST_SETTLE_S
            self.restart(place)
            yield (TEST_SAMPLES + 2) * (1 + self.tolerance) / TEST_RATE_HZ
            count = self.look(place).count
            if count < TEST_SAMPLES:
                raise too_few(count, TEST_SAMPLES)
            return np.hstack(self.take(place, TEST_SAMPLES))[:, judged]

        ends = np.sort([trim[judged] * (1 - TEST_TOLERANCE), trim[judged] * (1 + TEST_TOLERANCE)], axis=0)
        yield from run_self_test(measure, tuple(TEST_AXES[i] for i in judged), ends[0], ends[1], end=RAILS[1])


def factory_trim(registers: bytes) -> npt.NDArray[np.float64]:
    """Return by how many counts the force moved each of the six axes in the factory: RM, registers 13 to 16.

    `registers`: 0x0D to 0x10. Accelerations at 8 g, then rates of turn at 250 degrees a second; 0 where
    there is no trim.
    """
    x, y, z, low = registers
    accel = [(top >> 5) << 2 | (low >> shift) & 3 for top, shift in ((x, 4), (y, 2), (z, 0))]
    gyro = [top & 0x1F for top in (x, y, z)]
    trim = [4096 * 0.34 * (0.92 / 0.34) ** ((code - 1) / 30) if code else 0.0 for code in accel]
    signs = (1, -1, 1)
    trim += [
        sign * 25 * 131 * 1.046 ** (code - 1) if code else 0.0 for sign, code in zip(signs, gyro, strict=True)
    ]
    return np.array(trim)


def _registers(rate_hz: int, range_g: int, range_dps: int) -> dict[int, int]:
    """Return what each register is set to."""
    return {
        SMPLRT_DIV: INTERNAL_HZ // rate_hz - 1,
        CONFIG: FILTERS[rate_hz][0],
        GYRO_CONFIG: GYRO_CODES[range_dps] << 3,
        ACCEL_CONFIG: ACCEL_CODES[range_g] << 3,
        FIFO_EN: ACCEL_AND_GYRO,
        INT_PIN_CFG: 0,
        INT_ENABLE: OVERFLOW,
        USER_CTRL: FIFO_ON,
        PWR_MGMT_1: CLOCK_OF_GYRO_X,
        PWR_MGMT_2: 0,
    }


def _configure(place: Place, wanted: dict[int, int]) -> Iterator[float]:
    """Reset the chip, and set and read back everything but the FIFO."""
    place.write_register(PWR_MGMT_1, DEVICE_RESET)
    yield RESET_S
    set_and_check(place, PWR_MGMT_1, CLOCK_OF_GYRO_X)  # asleep, other registers would not hold
    yield START_S
    place.write_register(PWR_MGMT_2, 0)
    first = (SMPLRT_DIV, CONFIG, GYRO_CONFIG, ACCEL_CONFIG)
    place.write_register(SMPLRT_DIV, *(wanted[register] for register in first))
    place.write_register(INT_PIN_CFG, wanted[INT_PIN_CFG], wanted[INT_ENABLE])
    check_block(place, SMPLRT_DIV, ACCEL_CONFIG, wanted)
    check_block(place, INT_PIN_CFG, INT_ENABLE, wanted)
    yield START_S  # the filters take up the new settings
