"""ADXL345: Analog Devices' data sheet revision G; register map in table 19; section "FIFO".

The FIFO is read through DATAX0 to DATAZ1, one sample a read, however many of the six bytes are read: each
read of any of them pops it. FIFO_STATUS counts what can be read, the sample in the data registers with it,
up to 32. (The 33rd "at the output filter", of which the description of FIFO_STATUS speaks, is not modelled:
here the oldest of 33 is lost.) The overrun bit of INT_SOURCE is set, in every mode but bypass, "when FIFO is
filled" (section "Overrun"): at 32, one sample before anything is lost; a read of the data clears it.
"""

from __future__ import annotations

from scripts.virtual_pi.chips.base import NEVER_HZ, RegisterChip

DEVID = 0x00
OFSX = 0x1E
BW_RATE = 0x2C
POWER_CTL = 0x2D
INT_SOURCE = 0x30
DATA_FORMAT = 0x31
DATAX0, DATAZ1 = 0x32, 0x37
FIFO_CTL = 0x38
FIFO_STATUS = 0x39
READ_ONLY = {*range(0x1D), 0x2B, INT_SOURCE, *range(DATAX0, DATAZ1 + 1), FIFO_STATUS, *range(0x3A, 0x100)}

IDENTITY = 0xE5
BYPASS, FIFO, STREAM = 0, 1, 2  # FIFO_MODE, table 37; 3 (trigger) fills like stream, as nothing triggers
LEVELS = 32
WAKE_UP_HZ = (8, 4, 2, 1)  # POWER_CTL, table 29
# Within table 15 at 2.5 V, and within it times table 14 at 3.3 V.
SELF_TEST = (300, -300, 450)


class Adxl345(RegisterChip):
    """Registers; bypass, FIFO and stream mode; self-test and offset registers. Counts as DATA_FORMAT says."""

    default_address = 0x53
    coded_bits = 10

    def reset(self) -> None:
        """Table 19: all 0 but the identity and BW_RATE."""
        self.registers[:] = bytes(256)
        self.registers[BW_RATE] = 0x0A
        self._apply_mode()

    @property
    def bits(self) -> int:
        """Width of a sample: 10, and with FULL_RES one more for each doubling of the range."""
        form = self.registers[DATA_FORMAT]
        return 10 + (form & 3 if form & 0x08 else 0)

    def limits(self) -> tuple[int, int]:
        """Two's complement of `bits`."""
        half = 1 << (self.bits - 1)
        return -half, half - 1

    def shifts(self) -> tuple[int, ...]:
        """Self-test, and the offset registers (15.6 mg a count, four times that of the data)."""
        form = self.registers[DATA_FORMAT]
        coarser = 0 if form & 0x08 else form & 3
        tests = form & 0x80 and not self.self_test_fails
        offsets = self.registers[OFSX : OFSX + 3]
        if not tests and not any(offsets):
            return (0, 0, 0)
        return tuple(
            ((test if tests else 0) + 4 * ((offset ^ 0x80) - 0x80)) >> coarser
            for test, offset in zip(SELF_TEST, offsets, strict=True)
        )

    def set_register(self, register: int, value: int) -> None:
        """Write one register; those that are read-only or reserved stay."""
        if register in READ_ONLY:
            return
        if register in (DATA_FORMAT, OFSX, OFSX + 1, OFSX + 2):
            self.fix_waiting()
        changed = self.registers[register] != value
        self.registers[register] = value
        if register in (BW_RATE, POWER_CTL) and changed:
            self._apply_rate()
        elif register == FIFO_CTL:
            self._apply_mode()

    def _apply_rate(self) -> None:
        power = self.registers[POWER_CTL]
        if not power & 0x08:
            rate_hz = NEVER_HZ
        elif power & 0x04:
            rate_hz = WAKE_UP_HZ[power & 3]
        else:
            rate_hz = 3200 / (1 << (15 - (self.registers[BW_RATE] & 0x0F)))  # table 7
        if rate_hz != self._rate_hz:
            self.measure(rate_hz)

    def _apply_mode(self) -> None:
        self.update()
        mode = self.registers[FIFO_CTL] >> 6
        if mode == BYPASS:
            self.discard()
        self.depth = 1 if mode == BYPASS else LEVELS
        self.keeps_oldest = mode == FIFO

    def arrive(self, first: int, end: int) -> None:
        """Store; a FIFO that is full says so before it loses."""
        super().arrive(first, end)
        if self.depth > 1 and len(self._fifo) == LEVELS:
            self.overrun = True

    def give(self, count: int) -> bytes:
        """Give registers; having read data pops the FIFO, which registers read after it in one go show."""
        self.update()
        answer = bytearray(count)
        data: bytes | None = None
        for at in range(count):
            register = (self.pointer + at) & 0xFF
            if DATAX0 <= register <= DATAZ1:
                data = data or self._data()
                answer[at] = data[register - DATAX0]
                continue
            if data is not None:
                self._popped()
                data = None
            answer[at] = self.get_register(register)
        if data is not None:
            self._popped()
        self.pointer = (self.pointer + count) & 0xFF
        return bytes(answer)

    def _data(self) -> bytes:
        form = self.registers[DATA_FORMAT]
        left = 16 - self.bits if form & 0x04 else 0  # Justify, figure 50
        return b"".join((value << left & 0xFFFF).to_bytes(2, "little") for value in self.oldest())

    def _popped(self) -> None:
        self.pop()
        self.overrun = False

    def get_register(self, register: int) -> int:
        """Return what is held, and what follows from the FIFO."""
        if register == DEVID:
            return IDENTITY if self.identity is None else self.identity
        if register == INT_SOURCE:
            held = len(self._fifo)
            entries = held if self.depth > 1 else 0
            watermark = entries >= self.registers[FIFO_CTL] & 0x1F
            return (0x80 if held else 0) | (0x02 if watermark else 0) | (0x01 if self.overrun else 0)
        if register == FIFO_STATUS:
            return len(self._fifo) if self.depth > 1 else 0
        return self.registers[register]
