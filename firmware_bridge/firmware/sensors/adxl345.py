"""ADXL345, three axes, 3.9 mg a count: Analog Devices' datasheet, revision G.

Register map: table 19. Data rates: table 7. Scale factor in full resolution: table 1, 256 LSB/g.
"""

from packing import copy
from sensors.base import Trouble
from sensors.fifo import DEPTH, SAMPLE_BYTES, FifoSensor
from sensors.registers import Registers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sensors.base import Told

DEVID = 0x00
OFSX = 0x1E
BW_RATE = 0x2C
POWER_CTL = 0x2D
INT_ENABLE = 0x2E
INT_SOURCE = 0x30
DATA_FORMAT = 0x31
DATAX0 = 0x32
FIFO_CTL = 0x38
FIFO_STATUS = 0x39

ADXL345_ID = 0xE5
OVERRUN = 0x01  # of INT_SOURCE
MEASURE = 0x08
FULL_RESOLUTION = 0x08
STREAM_MODE = 0x80

MPS2_PER_COUNT = 9.80665 / 256  # table 1: 256 LSB/g in full resolution at any range
RATE_CODES = {25: 8, 50: 9, 100: 10, 200: 11, 400: 12, 800: 13, 1600: 14, 3200: 15}  # table 7, in Hz
RANGE_CODES = {2: 0, 4: 1, 8: 2, 16: 3}  # DATA_FORMAT, in g
FASTEST_I2C_HZ = {400_000: 800, 100_000: 200}  # "Serial communications": bits/s → samples/s
SLOWEST_SPI_HZ = 2_000_000  # the same: 1600 and 3200 samples/s want at least this


class Adxl345(FifoSensor):
    """The chip in FIFO stream mode."""

    def __init__(
        self,
        place: str,
        streams: "list[dict[str, Any]]",
        faults: "list[Told]",
        registers: Registers,
        range_g: int,
    ) -> None:
        super().__init__(place, streams, faults, registers)
        self._range_code = RANGE_CODES[range_g]
        self._sample = bytearray(SAMPLE_BYTES)

    def set_up(self) -> None:
        """Identify the chip, write each setting and read it back."""
        registers = self.registers
        registers.forget()
        registers.identify(DEVID, ADXL345_ID, "ADXL345")
        registers.write(POWER_CTL, 0)  # settings change in standby
        registers.set(INT_ENABLE, 0)
        for axis in range(3):
            registers.set(OFSX + axis, 0)
        registers.set(BW_RATE, RATE_CODES[self.rate_hz])
        registers.set(DATA_FORMAT, FULL_RESOLUTION | self._range_code)
        registers.write(FIFO_CTL, 0)  # bypass empties the FIFO
        registers.set(FIFO_CTL, STREAM_MODE)
        registers.set(POWER_CTL, MEASURE)

    def begin(self) -> None:
        """Empty the FIFO."""
        self.registers.write(FIFO_CTL, 0)
        self.registers.write(FIFO_CTL, STREAM_MODE)
        super().begin()

    def waiting(self) -> int:
        """Return the FIFO's fill."""
        count = self.registers.read(FIFO_STATUS) & 0x3F
        self.ran_over = count >= DEPTH and bool(self.registers.read(INT_SOURCE) & OVERRUN)
        if count > DEPTH + 1:
            raise Trouble(str(count) + " samples in the FIFO", "at most 33")
        return count

    def copy(self, count: int, body: bytearray, at: int) -> None:
        """Read sample by sample: each read of the six data registers lets the next one in."""
        for _ in range(count):
            self.registers.read_into(DATAX0, self._sample)
            copy(self._sample, SAMPLE_BYTES, body, at)
            at += SAMPLE_BYTES
