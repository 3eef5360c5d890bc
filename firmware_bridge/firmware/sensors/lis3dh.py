"""LIS3DH, three axes, 12 bits left-justified in 16: ST's datasheet DocID17530, revision 2.

Register map: table 20. Sensitivity: table 4. Data rates: table 31. Its FIFO keeps the uppermost 10 of the
12 bits, so that one step is four digits: 4 mg at 2 g, 48 mg at 16 g.
"""

from packing import copy
from sensors.fifo import SAMPLE_BYTES, FifoSensor
from sensors.registers import Registers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sensors.base import Told

WHO_AM_I = 0x0F
CTRL_REG1 = 0x20
CTRL_REG2 = 0x21
CTRL_REG3 = 0x22
CTRL_REG4 = 0x23
CTRL_REG5 = 0x24
OUT_X_L = 0x28
FIFO_CTRL_REG = 0x2E
FIFO_SRC_REG = 0x2F

LIS3DH_ID = 0x33
ALL_AXES = 0x07
BLOCK_UPDATE = 0x80
HIGH_RESOLUTION = 0x08
FIFO_ENABLE = 0x40
STREAM_MODE = 0x80
OVERRUN = 0x40  # of FIFO_SRC_REG: 32 samples wait, and the next one costs the oldest
BURST = 0x80  # of the sub-address on I2C

RATE_CODES = {10: 2, 25: 3, 50: 4, 100: 5, 200: 6, 400: 7, 1344: 9}  # table 31, in Hz
RANGE_CODES = {2: 0, 4: 1, 8: 2, 16: 3}  # CTRL_REG4, in g
MG_PER_DIGIT = {2: 1, 4: 2, 8: 4, 16: 12}  # table 4, high-resolution mode; 16 counts are a digit


class Lis3dh(FifoSensor):
    """The chip in FIFO stream mode; the whole FIFO comes in one transfer."""

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
        self._samples = bytearray(32 * SAMPLE_BYTES)
        whole = memoryview(self._samples)
        # a slice allocates, so each length that a transfer can have is cut here
        self._views = [whole[: count * SAMPLE_BYTES] for count in range(33)]

    def set_up(self) -> None:
        """Identify the chip, write each setting and read it back."""
        registers = self.registers
        registers.forget()
        registers.identify(WHO_AM_I, LIS3DH_ID, "LIS3DH")
        registers.set(CTRL_REG2, 0)
        registers.set(CTRL_REG3, 0)
        registers.set(CTRL_REG4, BLOCK_UPDATE | self._range_code << 4 | HIGH_RESOLUTION)
        registers.set(CTRL_REG5, FIFO_ENABLE)
        registers.write(FIFO_CTRL_REG, 0)
        registers.set(FIFO_CTRL_REG, STREAM_MODE)
        registers.set(CTRL_REG1, RATE_CODES[self.rate_hz] << 4 | ALL_AXES)

    def begin(self) -> None:
        """Empty the FIFO: 5.1.2, bypass resets it."""
        self.registers.write(FIFO_CTRL_REG, 0)
        self.registers.write(FIFO_CTRL_REG, STREAM_MODE)
        super().begin()

    def waiting(self) -> int:
        """Return the FIFO's fill: 31 and the overrun bit are 32."""
        source = self.registers.read(FIFO_SRC_REG)
        self.ran_over = bool(source & OVERRUN)
        return (source & 0x1F) + (1 if source & OVERRUN else 0)

    def copy(self, count: int, body: bytearray, at: int) -> None:
        """Read all at once: behind OUT_Z_H the address goes back to OUT_X_L while the FIFO is on."""
        self.registers.read_into(OUT_X_L, self._views[count])
        copy(self._samples, count * SAMPLE_BYTES, body, at)
